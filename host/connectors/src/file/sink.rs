//! The sink: rows as records in files of a folder, exactly once.
//!
//! Rows are written aside and synced before their checkpoint is safe; a file gets its name once it is. What the
//! token of a checkpoint says of the folder is in `written.rs`.

use super::real::real;
use super::written::{Folder, Written, mark_of};
use crate::blocking::blocking;
use async_trait::async_trait;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use weir_connect::{ConnectError, Delivery, Encoder, Sink, SinkRows, StateMark, Token};
use weir_event::{Clock, Span};
use weir_format::Format;

/// Where and how a [`FileSink`] writes.
#[derive(Debug)]
pub struct FileSinkSettings {
    /// The folder.
    pub folder: PathBuf,
    /// The same, from the project's folder if it is in that.
    pub place: PathBuf,
    /// What makes records of rows, and how the names of finished files end.
    pub format: &'static Format,
    /// Whether it has a use for what weir knows of each row.
    pub meta: bool,
    /// A file collects the rows of all checkpoints until it is that old; else each checkpoint finishes its own.
    pub roll: Option<Span>,
    /// Marks the folder as written with the server's state.
    pub mark: Arc<dyn StateMark>,
}

/// Writes a job's rows into files of a folder.
#[derive(Debug)]
pub struct FileSink {
    folder: Arc<Mutex<Folder>>,
    /// Where it writes, as its settings say it, and what the names of its files have in common.
    names: (PathBuf, String),
    place: PathBuf,
    mark: PathBuf,
    encoder: Arc<dyn Encoder>,
    meta: bool,
    roll: Option<Span>,
    clock: Arc<dyn Clock>,
    bytes: u64,
}

impl FileSink {
    /// A sink of a job's rows. Does no I/O.
    pub fn new(job: &str, settings: FileSinkSettings, clock: Arc<dyn Clock>) -> Self {
        let FileSinkSettings { folder, place, format, meta, roll, mark } = settings;
        let names = (folder.clone(), format!("{job}-*.{}", format.ending));
        let mark_at = mark_of(&folder, job);
        let folder = Arc::new(Mutex::new(Folder::new(folder, job, format.ending, mark)));
        let encoder = format.encoder(meta);
        FileSink { folder, names, place, mark: mark_at, encoder, meta, roll, clock, bytes: 0 }
    }

    /// Does something with the folder off the async threads: disks block.
    async fn with_folder<T: Send + 'static>(
        &self,
        act: impl FnOnce(&mut Folder) -> Result<T, ConnectError> + Send + 'static,
    ) -> Result<T, ConnectError> {
        let folder = self.folder.clone();
        blocking(move || act(&mut folder.lock().unwrap_or_else(PoisonError::into_inner))).await
    }
}

fn read_token(token: &Token) -> Result<Written, ConnectError> {
    serde_json::from_value(token.0.clone()).map_err(|error| {
        ConnectError::internal(format!("`{}` is not a token of a file sink: {error}", token.0))
    })
}

#[async_trait]
impl Sink for FileSink {
    fn delivery(&self) -> Delivery {
        Delivery::ExactlyOnce
    }

    fn wants_meta(&self) -> bool {
        self.meta
    }

    fn written_bytes(&self) -> u64 {
        self.bytes
    }

    fn own_place(&self) -> Option<String> {
        let (folder, names) = &self.names;
        Some(real(folder).join(names).display().to_string())
    }

    fn place(&self) -> String {
        self.place.join(&self.names.1).display().to_string()
    }

    fn mark(&self) -> Option<PathBuf> {
        Some(self.mark.clone())
    }

    async fn start(&mut self, last: Option<&Token>) -> Result<(), ConnectError> {
        let last = last.map(read_token).transpose()?;
        self.with_folder(move |folder| folder.start(last.as_ref())).await
    }

    async fn write(&mut self, rows: &SinkRows) -> Result<(), ConnectError> {
        let mut records = Vec::new();
        self.encoder.encode(rows, &mut records)?;
        if records.is_empty() {
            return Ok(());
        }
        let now = self.clock.now();
        self.bytes += records.len() as u64;
        self.with_folder(move |folder| folder.append(&records, now)).await
    }

    async fn prepare(&mut self, _epoch: u64) -> Result<Token, ConnectError> {
        let (roll, now) = (self.roll, self.clock.now());
        let written = self.with_folder(move |folder| folder.prepare(roll, now)).await?;
        serde_json::to_value(written)
            .map(Token)
            .map_err(|error| ConnectError::internal(format!("a file sink's token: {error}")))
    }

    async fn commit(&mut self, token: &Token) -> Result<(), ConnectError> {
        let written = read_token(token)?;
        self.with_folder(move |folder| folder.commit(&written)).await
    }
}
