//! Rows that are posted over HTTP: durable in a local log before the sender is answered, and read from that log
//! as a replayable source.
//!
//! Knows the log's files and how a body falls into rows. Must not know HTTP itself (routes, headers and status
//! codes belong to the server) nor what a row means.

mod frame;
mod log;
mod logs;
mod recovery;
mod rows;
mod segment;
mod source;
mod writer;

#[cfg(test)]
mod tests;

pub use log::{Appended, IngestLog, LogSettings, MAX_KEY_BYTES};
pub use logs::IngestLogs;
pub use rows::split_rows;
pub use source::HttpSource;
