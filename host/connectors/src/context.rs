//! What a connector may need beside its own options.

use crate::http::IngestLogs;
use crate::settings::Settings;
use std::path::PathBuf;
use std::sync::Arc;
use weir_connect::{FileLayout, RowShape, StateMark};
use weir_event::{Clock, EventTime};

/// What a source may need beside its own options.
#[derive(Debug, Clone)]
pub struct SourceContext {
    /// The project folder: where relative paths start.
    pub project: PathBuf,
    /// Where weir keeps what is its own.
    pub data_dir: PathBuf,
    /// The stream that the source feeds.
    pub stream: String,
    /// How files of the stream's format fall into records.
    pub layout: FileLayout,
    /// Where time is taken from.
    pub clock: Arc<dyn Clock>,
    /// The ingest logs, shared with whoever accepts rows over HTTP.
    pub logs: Arc<IngestLogs>,
}

impl SourceContext {
    /// Says of a source whose records are lines of JSON that the stream's format is another.
    pub(crate) fn needs_lines(&self, settings: &mut Settings<'_>) {
        if self.layout != FileLayout::Lines {
            settings.error("", "its events are JSON, one a line; leave `format` out, or give it as json");
        }
    }
}

/// What a sink may need beside its own options.
#[derive(Debug, Clone)]
pub struct SinkContext {
    /// The project folder: where relative paths start.
    pub project: PathBuf,
    /// Where weir keeps what is its own.
    pub data_dir: PathBuf,
    /// The job whose results go there.
    pub job: String,
    /// What the sink is called in its job.
    pub sink: String,
    /// What the job's result rows look like; `None` while its query is not planned.
    pub shape: Option<Arc<RowShape>>,
    /// So much a sink may keep of rows that the other side refuses for ever.
    pub refused_bytes: u64,
    /// Where time is taken from.
    pub clock: Arc<dyn Clock>,
    /// When this run of the job began, by that clock: where two write for one job, the one that began later goes on.
    pub began: EventTime,
    /// Marks what is written as made with the server's state.
    pub mark: Arc<dyn StateMark>,
}
