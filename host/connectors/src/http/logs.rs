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
    open: Mutex<HashMap<String, Arc<IngestLog>>>,
}

impl IngestLogs {
    /// Logs live in `<data_dir>/ingest/<stream>/`. Opens none.
    pub fn new(data_dir: &Path, clock: Arc<dyn Clock>) -> IngestLogs {
        IngestLogs { root: data_dir.join("ingest"), clock, open: Mutex::default() }
    }

    /// The log of a stream, opened when it is asked for the first time (the settings count only then). Blocks
    /// while it is opened.
    pub fn open(&self, stream: &str, settings: LogSettings) -> Result<Arc<IngestLog>, ConnectError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(log) = open.get(stream) {
            return Ok(log.clone());
        }
        let log = IngestLog::open(&self.root.join(stream), settings, self.clock.clone())?;
        open.insert(stream.to_owned(), log.clone());
        Ok(log)
    }

    /// The log of a stream if it is open.
    pub fn get(&self, stream: &str) -> Option<Arc<IngestLog>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).get(stream).cloned()
    }
}
