//! How a connector or a format reads its own options: every key of its table is asked for once, a key without a row is an
//! error, and all errors come out together.
//!
//! Knows JSON values and names of keys. Must not know what any option means, nor where the text was written: the
//! caller finds the line of a key by its path.

use crate::key::KeyDoc;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::fmt;
use weir_event::suggestion::unknown;

/// One thing that is wrong with the options of a connector or a format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct SettingError {
    /// The key below its name, such as `path`; empty for it as a whole.
    pub key: String,
    /// What is wrong and what to do; lower case, no full stop.
    pub message: String,
}

impl SettingError {
    /// An error at a key.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        SettingError { key: key.into(), message: message.into() }
    }
}

impl fmt::Display for SettingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.key.is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.key, self.message)
        }
    }
}

/// The message that this build of weir was made without `what`: heavy clients are features of its crates.
pub fn left_out(what: &str) -> String {
    format!("this weir was built without {what}; `make weir` makes one that has everything")
}

/// What serde says of a value of another type, in the words of those who write definitions; other things as they are.
fn misfit(said: &str) -> String {
    let told = said.strip_prefix("invalid type: ").or_else(|| said.strip_prefix("invalid value: "));
    let Some((found, wanted)) = told.and_then(|told| told.rsplit_once(", expected ")) else {
        return said.to_owned();
    };
    let found = match found.split_once(' ') {
        Some(("string", text)) => format!("the text {text}"),
        Some(("integer", number)) => format!("the number {number}"),
        Some(("floating", point)) => point.replacen("point", "the number", 1),
        Some(("boolean", value)) => value.to_owned(),
        _ if found == "map" => "a mapping".to_owned(),
        _ if found == "sequence" => "a list".to_owned(),
        _ => found.to_owned(),
    };
    let wanted = match wanted {
        "a string" => "a text",
        "a boolean" => "true or false",
        "a sequence" => "a list",
        "a map" => "a mapping",
        "f32" | "f64" => "a number",
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, not negative,",
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number",
        _ if wanted.starts_with("struct ") => "a mapping",
        _ => wanted,
    };
    format!("{found} stands where {wanted} belongs")
}

/// Reads the options of one connector or format.
///
/// ```
/// use weir_connect::KeyDoc;
/// use weir_connect::settings::Settings;
/// const KEYS: &[KeyDoc] = &[
///     KeyDoc::new("path", "glob", "required", "the files"),
///     KeyDoc::new("follow", "true or false", "false", "whether to wait for more"),
/// ];
/// let value = serde_json::json!({"path": "a.jsonl", "folow": true});
/// let mut settings = Settings::new(&value, KEYS);
/// let path: Option<String> = settings.required("path", "a file or a glob");
/// let follow: Option<bool> = settings.optional("follow");
/// let errors = settings.finish().unwrap_err();
/// assert_eq!(path.as_deref(), Some("a.jsonl"));
/// assert_eq!(follow, None);
/// assert_eq!(errors[0].to_string(), "folow: unknown key; did you mean `follow`?");
/// ```
#[derive(Debug)]
pub struct Settings<'a> {
    given: Option<&'a Map<String, Value>>,
    table: &'static [KeyDoc],
    asked: Vec<&'static str>,
    errors: Vec<SettingError>,
}

impl<'a> Settings<'a> {
    /// Over an object, or null for no options at all; its keys are those of `table`.
    pub fn new(value: &'a Value, table: &'static [KeyDoc]) -> Self {
        let mut errors = Vec::new();
        if !matches!(value, Value::Object(_) | Value::Null) {
            errors.push(SettingError::new("", "the options are not a mapping; write {key: value, ..}"));
        }
        Settings { given: value.as_object(), table, asked: Vec::new(), errors }
    }

    /// The value of a key that may be absent or null; `None` also when it is wrong, which is then on record.
    pub fn optional<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        debug_assert!(
            self.table.iter().any(|row| row.name == key),
            "`{key}` has no row in its table of keys"
        );
        self.asked.push(key);
        let value = self.given?.get(key).filter(|value| !value.is_null())?;
        match T::deserialize(value) {
            Ok(read) => Some(read),
            Err(error) => {
                self.error(key, misfit(&error.to_string()));
                None
            }
        }
    }

    /// The value of a key that must be there; `what` says what belongs there.
    pub fn required<T: DeserializeOwned>(&mut self, key: &'static str, what: &str) -> Option<T> {
        let present = self.given.and_then(|given| given.get(key)).is_some_and(|value| !value.is_null());
        if !present {
            self.error(key, format!("missing; give {what}"));
        }
        self.optional(key)
    }

    /// As [`Settings::optional`] for a value that is read from text by `T::from_str`; a number counts as its
    /// text.
    pub fn parsed<T>(&mut self, key: &'static str) -> Option<T>
    where
        T: std::str::FromStr,
        T::Err: fmt::Display,
    {
        let value: Value = self.optional(key)?;
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        text.parse().map_err(|error: T::Err| self.error(key, error.to_string())).ok()
    }

    /// Records what is wrong with a value that was read elsewhere, whose keys begin below this one.
    pub fn below(&mut self, key: &str, errors: Vec<SettingError>) {
        self.errors.extend(errors.into_iter().map(|error| {
            let key = if error.key.is_empty() { key.to_owned() } else { format!("{key}.{}", error.key) };
            SettingError::new(key, error.message)
        }));
    }

    /// Records that a value that could be read is still wrong.
    pub fn error(&mut self, key: &str, message: impl Into<String>) {
        self.errors.push(SettingError::new(key, message));
    }

    /// Everything that was wrong, keys without a row among it.
    pub fn finish(mut self) -> Result<(), Vec<SettingError>> {
        let known: Vec<&str> = self.table.iter().map(|row| row.name).collect();
        for name in &known {
            debug_assert!(self.asked.contains(name), "nobody reads the key `{name}`");
        }
        for key in self.given.into_iter().flat_map(Map::keys) {
            if !known.contains(&key.as_str()) {
                let message = unknown("key", key, known.iter().copied());
                self.errors.push(SettingError::new(key, message));
            }
        }
        if self.errors.is_empty() { Ok(()) } else { Err(self.errors) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{NONE, REQUIRED};
    use serde_json::json;
    use weir_event::Span;

    const KEYS: &[KeyDoc] = &[
        KeyDoc::new("rate", "number", NONE, ""),
        KeyDoc::new("path", "folder", REQUIRED, ""),
        KeyDoc::new("roll", "duration", NONE, ""),
    ];

    #[test]
    fn all_errors_come_together() {
        let value = json!({"rate": "fast", "zzz": 1, "roll": "1 week"});
        let mut settings = Settings::new(&value, KEYS);
        let _: Option<u64> = settings.optional("rate");
        let _: Option<String> = settings.required("path", "a folder");
        let _: Option<Span> = settings.parsed("roll");
        let keys: Vec<_> = settings.finish().unwrap_err().into_iter().map(|error| error.key).collect();
        assert_eq!(keys, ["rate", "path", "roll", "zzz"]);
    }

    #[test]
    fn what_is_of_another_type_is_told_in_words_of_definitions() {
        fn said<T: DeserializeOwned>(value: Value) -> String {
            misfit(&T::deserialize(value).err().map(|error| error.to_string()).unwrap_or_default())
        }
        assert_eq!(said::<Vec<String>>(json!("dt")), "the text \"dt\" stands where a list belongs");
        assert_eq!(said::<String>(json!(["a"])), "a list stands where a text belongs");
        assert_eq!(said::<bool>(json!(1.5)), "the number `1.5` stands where true or false belongs");
        assert_eq!(said::<f64>(json!(true)), "`true` stands where a number belongs");
        assert_eq!(
            said::<u32>(json!(-1)),
            "the number `-1` stands where a whole number, not negative, belongs"
        );
        assert_eq!(said::<Map<String, Value>>(json!(2)), "the number `2` stands where a mapping belongs");
    }

    #[test]
    fn no_options_are_an_empty_mapping_and_a_list_is_none() {
        assert!(Settings::new(&Value::Null, &[]).finish().is_ok());
        assert!(Settings::new(&json!([]), &[]).finish().is_err());
    }
}
