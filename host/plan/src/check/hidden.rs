//! Values of the environment, which may be secrets: in what is said of a definition their variables stand for them.
//!
//! Knows texts. Must not know what a definition is.

use super::environment::Environment;
use std::cell::RefCell;

/// From this length on a value is found inside of words too: what is shorter stands in many by chance.
const FOUND_IN_WORDS_BYTES: usize = 8;

/// What variables were asked for, and their values.
#[derive(Debug, Default)]
pub(super) struct Hidden(RefCell<Vec<(String, String)>>);

impl Hidden {
    /// An environment whose values are hidden from now on.
    pub(super) fn noting<'a>(
        &'a self,
        environment: &'a Environment<'a>,
    ) -> impl Fn(&str) -> Option<String> + 'a {
        |name| {
            let value = environment(name)?;
            let mut known = self.0.borrow_mut();
            let is_new = known.iter().all(|(_, other)| *other != value);
            // Two words that say nothing of anybody, and stand in messages of their own.
            if is_new && !matches!(value.trim(), "" | "true" | "false") {
                known.push((name.to_owned(), value.clone()));
                // The longest first: another may be a part of it.
                known.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
            }
            Some(value)
        }
    }

    /// A message without the values.
    pub(super) fn masked(&self, message: String) -> String {
        self.0.borrow().iter().fold(message, |message, (name, value)| masked(&message, name, value))
    }
}

fn masked(message: &str, name: &str, value: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(message.len()), message);
    while let Some(at) = rest.find(value) {
        let (before, found) = rest.split_at(at);
        let behind = &found[value.len()..];
        out.push_str(before);
        let is_in_word = out.ends_with(char::is_alphanumeric) || behind.starts_with(char::is_alphanumeric);
        if is_in_word && value.len() < FOUND_IN_WORDS_BYTES {
            out.push_str(value);
        } else {
            out.extend(["${", name, "}"]);
        }
        rest = behind;
    }
    out.push_str(rest);
    out
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
        }
    }
}
