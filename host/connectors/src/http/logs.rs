//! The ingest logs of one server, each opened once: whoever accepts rows and whoever reads them share it.

use super::claims::Claims;
use super::log::{IngestLog, LogSettings};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use weir_connect::{ConnectError, StateMark};
use weir_event::{Clock, Position};

/// The logs under one data folder, by stream.
#[derive(Debug)]
pub struct IngestLogs {
    root: PathBuf,
    clock: Arc<dyn Clock>,
    mark: Arc<dyn StateMark>,
    streams: Mutex<HashMap<String, Entry>>,
}

fn root(data_dir: &Path) -> PathBuf {
    data_dir.join("ingest")
}

/// Where the mark lies in the folder of a log.
pub(super) fn mark_of(dir: &Path) -> PathBuf {
    dir.join("state.mark")
}

/// A stream that has a log, or of which only is known how far jobs have read it.
#[derive(Debug, Default)]
struct Entry {
    settings: Option<LogSettings>,
    claims: Arc<Claims>,
    open: Option<Arc<IngestLog>>,
}

impl IngestLogs {
    /// Logs live in `<data_dir>/ingest/<stream>/`; the state that has read them leaves its mark there. Does no I/O.
    pub fn new(data_dir: &Path, clock: Arc<dyn Clock>, mark: Arc<dyn StateMark>) -> IngestLogs {
        IngestLogs { root: root(data_dir), clock, mark, streams: Mutex::default() }
    }

    /// Where the state that has read a log has left its mark: of each log that there is.
    pub fn marks(data_dir: &Path) -> Vec<PathBuf> {
        // A folder that cannot be listed is refused when a log is opened in it.
        let logs = std::fs::read_dir(root(data_dir)).into_iter().flatten().flatten();
        logs.map(|log| mark_of(&log.path())).collect()
    }

    /// Says that a stream has an ingest log. Does no I/O; the settings of a log that is already open stay.
    pub fn declare(&self, stream: &str, settings: LogSettings) {
        self.streams().entry(stream.to_owned()).or_default().settings = Some(settings);
    }

    /// Says where the newest checkpoint of a job stands in a stream's log, before it is opened or while it is open: a log
    /// that is made anew begins above it, one that is behind it takes no rows, and no row that the job has not read is
    /// deleted.
    pub fn claim(&self, stream: &str, job: &str, position: &Position) {
        let mut streams = self.streams();
        let entry = streams.entry(stream.to_owned()).or_default();
        entry.claims.put(job, position);
        if let Some(log) = &entry.open {
            log.checkpointed();
        }
    }

    /// Says that a job has no state any more, or is gone.
    pub fn release(&self, job: &str) {
        self.streams().values().for_each(|entry| entry.claims.remove(job));
    }

    /// The log of a stream, opened when it is asked for the first time; `None` for a stream that was never
    /// declared. Blocks while the log is opened.
    pub fn open(&self, stream: &str) -> Result<Option<Arc<IngestLog>>, ConnectError> {
        let mut streams = self.streams();
        let Some(entry) = streams.get_mut(stream) else { return Ok(None) };
        let Some(settings) = entry.settings else { return Ok(None) };
        if entry.open.is_none() {
            let (dir, claims) = (self.root.join(stream), entry.claims.clone());
            let (clock, mark) = (self.clock.clone(), self.mark.clone());
            entry.open = Some(IngestLog::open(&dir, settings, clock, claims, mark)?);
        }
        Ok(entry.open.clone())
    }

    fn streams(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
