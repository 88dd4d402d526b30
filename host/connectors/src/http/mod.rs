//! Rows that are posted over HTTP: durable in a local log before the sender is answered, and read from that log
//! as a replayable source.
//!
//! Knows the log's files and how a body falls into rows. Must not know HTTP itself (routes, headers and status
//! codes belong to the server) nor what a row means.

mod claims;
mod end;
mod frame;
mod identity;
mod key;
mod log;
mod logs;
mod memory;
mod recovery;
mod retention;
mod rows;
mod segment;
mod source;
mod tail;
mod writer;

#[cfg(test)]
mod tests;

pub use key::{IdempotencyKey, MAX_KEY_BYTES};
pub use log::{AppendError, Appended, IngestLog, LogSettings};
pub use logs::IngestLogs;
pub use rows::split_rows;
pub use source::HttpSource;

use crate::context::SourceContext;
use crate::settings::{SettingError, Settings};
use serde_json::Value;
use std::sync::Arc;
use weir_connect::{KeyDoc, Source};

/// The keys of an `http` source.
pub(crate) const SOURCE_KEYS: &[KeyDoc] =
    &[KeyDoc::new("keep", "duration", "7d", "how long posted events stay in the ingest log")];

/// The options of an `http` source: `keep`, how long rows stay in the log. The log is declared with the
/// context's [`IngestLogs`] and opened by whoever needs it first.
pub(crate) fn source(value: &Value, context: &SourceContext) -> Result<Arc<dyn Source>, Vec<SettingError>> {
    let mut settings = Settings::new(value, SOURCE_KEYS);
    let keep = settings.parsed("keep");
    context.needs_lines(&mut settings);
    settings.finish()?;
    let defaults = LogSettings::default();
    context.logs.declare(&context.stream, LogSettings { keep: keep.unwrap_or(defaults.keep), ..defaults });
    Ok(Arc::new(source::Declared::new(context.logs.clone(), context.stream.clone())))
}
