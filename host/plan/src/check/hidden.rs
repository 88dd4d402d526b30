//! Values of the environment, which may be secrets: in what is said of a definition their variables stand for them.
//!
//! Knows who asks for values. Must not know what a definition is.

use super::environment::Environment;
use crate::masks::Masks;
use std::cell::RefCell;

/// What variables were asked for, and their values.
#[derive(Debug, Default)]
pub(super) struct Hidden(RefCell<Masks>);

impl Hidden {
    /// An environment whose values are hidden from now on.
    pub(super) fn noting<'a>(
        &'a self,
        environment: &'a Environment<'a>,
    ) -> impl Fn(&str) -> Option<String> + 'a {
        |name| {
            let value = environment(name)?;
            self.0.borrow_mut().note(name, &value);
            Some(value)
        }
    }

    /// A message without the values.
    pub(super) fn masked(&self, message: String) -> String {
        self.0.borrow().masked(message)
    }

    /// For what is said of the definition elsewhere.
    pub(super) fn masks(&self) -> Masks {
        self.0.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_stands_for_its_value() {
        let hidden = Hidden::default();
        let values = |name: &str| {
            let value = match name {
                "KEY" => "s3cret-of-mine",
                "PORT" => "80",
                "PART" => "s3cret",
                "ON" => "true",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let noting = hidden.noting(&values);
        for name in ["PART", "KEY", "PORT", "ON", "KEY", "NONE"] {
            noting(name);
        }
        for (message, wanted) in [
            (
                "`url`: `http://u:s3cret-of-mine@h:80` is not one",
                "`url`: `http://u:${KEY}@h:${PORT}` is not one",
            ),
            ("xs3cret-of-minex, s3cret", "x${KEY}x, ${PART}"),
            ("found 80, from 1 to 8080", "found ${PORT}, from 1 to 8080"),
            ("found true or false", "found true or false"),
            ("", ""),
        ] {
            assert_eq!(hidden.masked(message.to_owned()), wanted);
            assert_eq!(hidden.masks().masked(message.to_owned()), wanted);
        }
        assert_eq!(format!("{:?}", hidden.masks()), r#"{"KEY", "PART", "PORT"}"#);
    }
}
