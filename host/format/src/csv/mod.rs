//! CSV: rows of fields, as RFC 4180 has them.
//!
//! **What is a record.** Fields between delimiters, ended by a line end (`\n` or `\r\n`) outside of quotes. A field
//! that begins with a quote ends at the next one that is not doubled; it may hold delimiters, doubled quotes and line
//! ends. A quote within a field that does not begin with one is a character like others. Blank lines are not records. A
//! record has as many fields as there are names, else it is bad, and so is one that is not UTF-8.
//!
//! **Names.** Files begin with a line of names unless `header: false`; a column is found by its name (its `from`, dots and
//! all), and one that a file's line does not name is null in all of its rows. Records from elsewhere, and of files
//! without that line, have the stream's fields in their order.
//!
//! **What is a good value.** A field without quotes whose text is that of `null` is null, with quotes it is that text. Around anything
//! but a text blanks do not count. Numbers, times, dates, bytes and decimals are written as in JSON, whole numbers may have a
//! sign and zeros in front, a time may be its milliseconds, booleans are `true`, `t`, `1`, `false`, `f` or `0` in any case;
//! lists, maps, rows and `json` are JSON.
//!
//! Rows are written in the same form, quotes only where they are needed.

mod cell;
mod decode;
mod encode;
mod scan;
#[cfg(test)]
mod tests;

pub(crate) use cell::CellReading;
pub use decode::CsvDecoder;
pub(crate) use decode::names;
pub use encode::CsvEncoder;
pub use scan::{Boundary, Dialect};

use serde_json::Value;
use weir_connect::KeyDoc;
use weir_connect::settings::{SettingError, Settings};

/// The keys of `csv`.
pub(crate) const KEYS: &[KeyDoc] = &[
    KeyDoc::new(
        "header",
        "true or false",
        "true",
        "whether files begin with a line of names; without it, and in records that are not of files, fields are in the order \
         of `fields`",
    ),
    KeyDoc::new("delimiter", "a character", "\",\"", "what stands between fields; \"\\t\" is a tab"),
    KeyDoc::new(
        "quote",
        "a character",
        "'\"'",
        "what encloses fields that hold delimiters, quotes (doubled) or line ends",
    ),
    KeyDoc::new("null", "text", "\"\"", "which text without quotes is null"),
];

/// How CSV is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvOptions {
    /// Whether files begin with a line of names.
    pub header: bool,
    /// The characters that mean something.
    pub dialect: Dialect,
    /// What is null, where it stands without quotes.
    pub null: String,
}

impl Default for CsvOptions {
    fn default() -> Self {
        CsvOptions { header: true, dialect: Dialect { delimiter: b',', quote: b'"' }, null: String::new() }
    }
}

impl CsvOptions {
    /// Reads `{header, delimiter, quote, null}`.
    pub(crate) fn of(value: &Value) -> Result<CsvOptions, Vec<SettingError>> {
        let mut settings = Settings::new(value, KEYS);
        let usual = CsvOptions::default();
        let header = settings.optional("header").unwrap_or(usual.header);
        let delimiter = character(&mut settings, "delimiter", usual.dialect.delimiter);
        let quote = character(&mut settings, "quote", usual.dialect.quote);
        let null: String = settings.optional("null").unwrap_or_default();
        if delimiter == quote {
            settings.error("quote", "is the delimiter too; write another character");
        }
        let breaks = |byte: u8| byte == delimiter || byte == quote || byte == b'\n' || byte == b'\r';
        if null.bytes().any(breaks) {
            settings.error(
                "null",
                "holds a delimiter, a quote or a line end, and so would need quotes; write another text",
            );
        }
        settings.finish()?;
        Ok(CsvOptions { header, dialect: Dialect { delimiter, quote }, null })
    }
}

/// A setting that is one character.
fn character(settings: &mut Settings<'_>, key: &'static str, usual: u8) -> u8 {
    let Some(text) = settings.optional::<String>(key) else { return usual };
    match text.as_bytes() {
        [byte] if byte.is_ascii() && !matches!(byte, b'\n' | b'\r' | 0) => *byte,
        _ => {
            settings.error(key, format!("`{text}` is not one character of ASCII; write one such as \";\""));
            usual
        }
    }
}
