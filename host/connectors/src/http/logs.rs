//! The ingest logs of one server, each opened once: whoever accepts rows and whoever reads them share it.

use super::log::{IngestLog, LogSettings};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use weir_connect::ConnectError;
use weir_event::Clock;

/// The logs under one data folder, by stream.
#[derive(Debug)]
pub struct IngestLogs {
    root: PathBuf,
    clock: Arc<dyn Clock>,
    streams: Mutex<HashMap<String, Entry>>,
}

#[derive(Debug)]
struct Entry {
    settings: LogSettings,
    open: Option<Arc<IngestLog>>,
}

impl IngestLogs {
    /// Logs live in `<data_dir>/ingest/<stream>/`. Does no I/O.
    pub fn new(data_dir: &Path, clock: Arc<dyn Clock>) -> IngestLogs {
        IngestLogs { root: data_dir.join("ingest"), clock, streams: Mutex::default() }
    }

    /// Says that a stream has an ingest log. Does no I/O; the settings of a log that is already open stay.
    pub fn declare(&self, stream: &str, settings: LogSettings) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.entry(stream.to_owned()).or_insert(Entry { settings, open: None }).settings = settings;
    }

    /// The log of a stream, opened when it is asked for the first time; `None` for a stream that was never
    /// declared. Blocks while the log is opened.
    pub fn open(&self, stream: &str) -> Result<Option<Arc<IngestLog>>, ConnectError> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = streams.get_mut(stream) else {
            return Ok(None);
        };
        if entry.open.is_none() {
            let log = IngestLog::open(&self.root.join(stream), entry.settings, self.clock.clone())?;
            entry.open = Some(log);
        }
        Ok(entry.open.clone())
    }
}
