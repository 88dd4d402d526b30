//! Values of the environment, which may be secrets: in what is said of a definition their variables stand for them.
//!
//! Knows texts. Must not know what a definition is, or where values come from.

use std::fmt;

/// From this length on a value is found inside of words too: what is shorter stands in many by chance.
const FOUND_IN_WORDS_BYTES: usize = 8;

/// Variables that a definition has values of. What is said of it shows the variables, and so does this itself.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Masks(Vec<(String, String)>);

impl Masks {
    /// From now on a variable stands for this value.
    pub(crate) fn note(&mut self, name: &str, value: &str) {
        let is_new = self.0.iter().all(|(_, other)| *other != value);
        // Two words that say nothing of anybody, and stand in messages of their own.
        if is_new && !matches!(value.trim(), "" | "true" | "false") {
            self.0.push((name.to_owned(), value.to_owned()));
            // The longest first: another may be a part of it.
            self.0.sort_by_key(|(_, value)| std::cmp::Reverse(value.len()));
        }
    }

    /// A message without the values.
    pub fn masked(&self, message: String) -> String {
        self.0.iter().fold(message, |message, (name, value)| masked(&message, name, value))
    }
}

impl fmt::Debug for Masks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
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
