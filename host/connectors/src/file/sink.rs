//! The sink: rows in files of a folder, exactly once.
//!
//! Rows are written aside and synced before their checkpoint is safe; a file gets its name once it is. What the
//! token of a checkpoint says of the folder is in `written.rs`, what happens to files in `folder.rs`.

use super::content::Content;
use super::folder::{Folder, FolderSettings, mark_of};
use super::partition::Partitioning;
use super::real::real;
use super::target::LocalFolder;
use super::written::Written;
use crate::blocking::blocking;
use async_trait::async_trait;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use weir_connect::{ConnectError, Delivery, Op, Sink, SinkRows, StateMark, Token};
use weir_event::{Clock, Span};

/// Where and how a [`FileSink`] writes.
#[derive(Debug)]
pub struct FileSinkSettings {
    /// The folder.
    pub folder: PathBuf,
    /// The same, from the project's folder if it is in that.
    pub place: PathBuf,
    /// What stands in files, and how the names of finished ones end.
    pub content: Content,
    /// Whether it has a use for what weir knows of each row.
    pub meta: bool,
    /// The folders below that rows belong into.
    pub partition: Partitioning,
    /// A file collects the rows of all checkpoints until it is that old; else each checkpoint finishes its own.
    pub roll: Option<Span>,
    /// A file is finished when it has about so many bytes.
    pub target_bytes: Option<u64>,
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
    content: Content,
    partition: Partitioning,
    meta: bool,
    roll: Option<Span>,
    clock: Arc<dyn Clock>,
    bytes: u64,
}

impl FileSink {
    /// A sink of a job's rows. Does no I/O.
    pub fn new(job: &str, settings: FileSinkSettings, clock: Arc<dyn Clock>) -> Self {
        let FileSinkSettings { folder, place, content, meta, partition, roll, target_bytes, mark } = settings;
        let names = (folder.clone(), format!("{job}-*.{}", content.ending()));
        let mark_at = mark_of(&folder, job);
        let target = LocalFolder { path: folder.clone(), job: job.to_owned(), depth: partition.depth() };
        let folder = Folder::new(FolderSettings {
            stage: folder,
            target: Arc::new(target),
            job: job.to_owned(),
            is_hidden: content.is_made() || partition.depth() > 0,
            content: content.clone(),
            target_bytes,
            mark,
        });
        let folder = Arc::new(Mutex::new(folder));
        FileSink { folder, names, place, mark: mark_at, content, partition, meta, roll, clock, bytes: 0 }
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
        self.meta || self.partition.has_time()
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
        // Rows that only ask for their time do not say that they delete.
        if rows.columns.num_rows() == 0 || (rows.meta.op == Op::Delete && !self.meta) {
            return Ok(());
        }
        let mut parts = Vec::new();
        for (under, rows) in self.partition.split(rows.clone())? {
            let appended = self.content.appended(&rows)?;
            self.bytes += appended.bytes.len() as u64;
            parts.push((under, appended));
        }
        let now = self.clock.now();
        let append = move |folder: &mut Folder| {
            parts.iter().try_for_each(|(under, appended)| folder.append(under, appended, now))
        };
        self.with_folder(append).await
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
