//! The settings that every store of keys has.
//!
//! Each store puts these rows into its own table of keys. Must not know any store.

use crate::settings::Settings;
use serde::Deserialize;
use std::time::Duration;
use weir_connect::KeyDoc;
use weir_connect::key::NONE;
use weir_event::Span;

/// How rows are put together.
pub const BATCH: KeyDoc = KeyDoc::new(
    "batch",
    "{rows: number, bytes: number, every: duration}",
    "{rows: 500, bytes: 1048576, every: 100ms}",
    "what goes there together: at most so many rows and bytes, and no row waits longer for others",
);
/// How many batches are on their way.
pub const CONCURRENCY: KeyDoc = KeyDoc::new(
    "concurrency",
    "number",
    "4",
    "so many batches are on their way at once, never two rows of one key",
);
/// How fast rows are given.
pub const WRITE_RATE: KeyDoc = KeyDoc::new("write_rate", "rows a second", NONE, "it is given no more");
/// How often rows are tried again.
pub const RETRY_COUNT: KeyDoc = KeyDoc::new(
    "retry_count",
    "number",
    "5",
    "so often it is tried again, with growing pauses, before the sink counts as failed; then it starts anew, and no row is lost",
);
/// Whom the certificate of a server may be signed by.
pub const CA: KeyDoc = KeyDoc::new(
    "ca",
    "path",
    NONE,
    "certificates in PEM that it may be signed by, beside those of the machine",
);
/// What is kept of a key.
pub const KEEP: KeyDoc = KeyDoc::new(
    "keep",
    "newest or all",
    "newest",
    "a row per key, its newest; or a row per key and window (or event)",
);

/// What is wrong with a zero.
const NEVER: &str = "nothing would ever be written; give 1 or more";

/// What a store keeps of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// Its newest row.
    #[default]
    Newest,
    /// All of its rows.
    All,
}

/// How rows are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpsertSettings {
    /// The most rows that go together.
    pub batch_rows: usize,
    /// The most bytes that go together, roughly; one larger row goes alone.
    pub batch_bytes: u64,
    /// The longest that a row waits for others to go with.
    pub every: Duration,
    /// The most batches on their way at once.
    pub concurrency: usize,
    /// The most rows a second.
    pub write_rate: Option<u32>,
    /// How often is tried again what a store puts off.
    pub retry_count: u32,
    /// What is kept of a key.
    pub keep: Keep,
}

impl Default for UpsertSettings {
    /// As the rows of the table say.
    fn default() -> Self {
        UpsertSettings {
            batch_rows: 500,
            batch_bytes: 1 << 20,
            every: Duration::from_millis(100),
            concurrency: 4,
            write_rate: None,
            retry_count: 5,
            keep: Keep::Newest,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchGiven {
    rows: Option<usize>,
    bytes: Option<u64>,
    every: Option<String>,
}

impl UpsertSettings {
    /// Reads [`BATCH`], [`CONCURRENCY`], [`WRITE_RATE`] and [`RETRY_COUNT`], all of which are in the store's table; one that
    /// can keep all rows of a key has [`KEEP`] there as well, and reads it itself.
    pub fn read(settings: &mut Settings<'_>) -> UpsertSettings {
        let mut read = UpsertSettings::default();
        if let Some(batch) = settings.optional::<BatchGiven>(BATCH.name) {
            read.batch_rows = batch.rows.unwrap_or(read.batch_rows);
            read.batch_bytes = batch.bytes.unwrap_or(read.batch_bytes);
            if let Some(every) = batch.every {
                match every.parse::<Span>() {
                    Ok(every) => read.every = Duration::from_millis(every.millis().max(0) as u64),
                    Err(error) => settings.error("batch.every", error.to_string()),
                }
            }
        }
        read.concurrency = settings.optional(CONCURRENCY.name).unwrap_or(read.concurrency);
        let counts = [
            ("batch.rows", read.batch_rows == 0),
            ("batch.bytes", read.batch_bytes == 0),
            (CONCURRENCY.name, read.concurrency == 0),
        ];
        for (key, _) in counts.into_iter().filter(|(_, is_zero)| *is_zero) {
            settings.error(key, NEVER);
        }
        read.with_rate(settings)
    }

    /// Reads [`WRITE_RATE`] and [`RETRY_COUNT`] alone, for a store whose rows are not put together here.
    pub fn with_rate(mut self, settings: &mut Settings<'_>) -> UpsertSettings {
        self.write_rate = settings.optional(WRITE_RATE.name);
        self.retry_count = settings.optional(RETRY_COUNT.name).unwrap_or(self.retry_count);
        if self.write_rate == Some(0) {
            settings.error(WRITE_RATE.name, NEVER);
        }
        self
    }
}
