//! JSON, one object per record: what it is read as, and how columns look in it.
//!
//! With `envelope: debezium` each record is a change of a table: one that reads, inserts or updates a row (`op` is `r`, `c` or
//! `u`) is the row as it is `after` it, and one that updates or deletes it (`u` or `d`) also the row as it was `before`,
//! which is taken back. With `deletes: ignore` nothing is: what an update replaces stays, and a delete is set aside with its
//! reason, among the dead letters.
//!
//! Times, dates, bytes, decimals and `json` columns are written in the form in which they are read.

mod decode;
mod encode;
mod single;

pub use decode::JsonDecoder;
pub(crate) use decode::JsonReading;
pub(crate) use encode::Cells;
pub use encode::{JsonEncoder, push_cell, push_time};
pub use single::read_single;

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
        "of a stream: records are changes of a table as Debezium writes them, and results are over the rows that the table has",
    ),
    KeyDoc::new(
        "deletes",
        "retract, ignore",
        "retract",
        "what becomes of rows that are updated or deleted: they are taken back, or they stay and deletes are dead letters",
    ),
];

/// What records are, and what becomes of the deletes among them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Envelope {
    /// Each is a row.
    None,
    /// Each is a change, and the row after it; a delete is none.
    Rows,
    /// Each is a change: the row before it, which it takes back, and the row after it.
    Changes,
}

/// Reads `{envelope, deletes}` of a stream.
pub(crate) fn envelope(options: &Value) -> Result<Envelope, Vec<SettingError>> {
    let mut settings = Settings::new(options, KEYS);
    let envelope: Option<String> = settings.optional("envelope");
    let deletes: Option<String> = settings.optional("deletes");
    if let Some(other) = envelope.as_deref().filter(|name| *name != "debezium") {
        settings.error("envelope", format!("`{other}`: unknown envelope; known: debezium"));
    }
    let ignores = match deletes.as_deref() {
        None | Some("retract") => false,
        Some("ignore") => true,
        Some(other) => {
            settings.error("deletes", format!("`{other}`: unknown value; known: retract, ignore"));
            false
        }
    };
    if envelope.is_none() && deletes.is_some() {
        settings.error("deletes", "is for `envelope: debezium`; leave it out");
    }
    settings.finish()?;
    Ok(match envelope {
        None => Envelope::None,
        Some(_) if ignores => Envelope::Rows,
        Some(_) => Envelope::Changes,
    })
}
