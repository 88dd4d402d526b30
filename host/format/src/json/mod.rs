//! JSON, one object per record: what it is read as, and how columns look in it.
//!
//! With `envelope: debezium` each record is a change of a table: one that reads, inserts or updates a row (`op` is `r`, `c` or
//! `u`) is the row as it is `after` it. A delete cannot be taken back from results yet: it is set aside with its reason, among
//! the dead letters, and `deletes: ignore` has to say that this is wanted.
//!
//! Times, dates, bytes, decimals and `json` columns are written in the form in which they are read.

mod decode;
mod encode;

pub use decode::JsonDecoder;
pub(crate) use decode::JsonReading;
pub(crate) use encode::Cells;
pub use encode::{JsonEncoder, push_cell, push_time};

use serde_json::Value;
use weir_connect::KeyDoc;
use weir_connect::key::NONE;
use weir_connect::settings::{SettingError, Settings};

/// The keys of `json`.
pub(crate) const KEYS: &[KeyDoc] = &[
    KeyDoc::new(
        "envelope",
        "debezium",
        NONE,
        "of a stream: records are changes of a table as Debezium writes them; rows are those after inserts and updates",
    ),
    KeyDoc::new(
        "deletes",
        "ignore",
        NONE,
        "needed with `envelope`: deletes are set aside among the dead letters, as results do not take them back yet",
    ),
];

/// Reads `{envelope, deletes}` of a stream: whether records are in Debezium's envelope.
pub(crate) fn has_envelope(options: &Value) -> Result<bool, Vec<SettingError>> {
    let mut settings = Settings::new(options, KEYS);
    let envelope: Option<String> = settings.optional("envelope");
    let deletes: Option<String> = settings.optional("deletes");
    if let Some(other) = envelope.as_deref().filter(|name| *name != "debezium") {
        settings.error("envelope", format!("`{other}`: unknown envelope; known: debezium"));
    }
    match (&envelope, deletes.as_deref()) {
        (_, Some("ignore")) | (None, None) => {}
        (Some(_), None) => settings.error(
            "deletes",
            "missing: results do not take back rows that are deleted; say `deletes: ignore` to set deletes aside",
        ),
        (_, Some(other)) => settings.error("deletes", format!("`{other}`: unknown value; known: ignore")),
    }
    if envelope.is_none() && deletes.is_some() {
        settings.error("deletes", "is for `envelope: debezium`; leave it out");
    }
    settings.finish()?;
    Ok(envelope.is_some())
}
