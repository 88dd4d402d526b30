//! The sink: rows in files of a folder, exactly once.
//!
//! Rows are written aside and synced before their checkpoint is safe; a file gets its name once it is. What the
//! token of a checkpoint says of the folder is in `written.rs`, what happens to files in `folder.rs`.

use super::content::FileContent;
use super::folder::{Folder, FolderSettings, mark_of};
use super::objects::Objects;
use super::partition::{Divided, Partitioning};
use super::real::real;
use super::target::{LocalFolder, Target};
use super::written::Written;
use crate::blocking::blocking;
use crate::object::ObjectPlace;
use crate::upsert::{RefusedRows, refused_line};
use async_trait::async_trait;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use weir_connect::{ConnectError, Delivery, Op, Probe, Sink, SinkCounts, SinkRows, StateMark, Token};
use weir_event::{Clock, Span};

/// Where and how a [`FileSink`] writes.
#[derive(Debug)]
pub struct FileSinkSettings {
    /// The folder.
    pub folder: PathBuf,
    /// Finished files appear there; else in the folder.
    pub objects: Option<ObjectPlace>,
    /// The place where they do, from the project's folder if it is in that.
    pub place: PathBuf,
    /// What stands in files, and how the names of finished ones end.
    pub content: FileContent,
    /// Whether it has a use for what weir knows of each row.
    pub meta: bool,
    /// The folders below that rows belong into.
    pub partition: Partitioning,
    /// Where rows go that no folder can be made for.
    pub(crate) refused: RefusedRows,
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
    settings: FileSinkSettings,
    job: String,
    clock: Arc<dyn Clock>,
    bytes: u64,
    refused_rows: u64,
}

impl FileSink {
    /// A sink of a job's rows. Does no I/O.
    pub fn new(job: &str, settings: FileSinkSettings, clock: Arc<dyn Clock>) -> Self {
        let (stage, depth) = (settings.folder.clone(), settings.partition.depth());
        let (target, mark): (Arc<dyn Target>, _) = match &settings.objects {
            Some(place) => (Arc::new(Objects::new(place.clone(), job, stage.clone())), None),
            None => {
                let target = LocalFolder { path: stage.clone(), job: job.to_owned(), depth };
                (Arc::new(target), Some(settings.mark.clone()))
            }
        };
        let folder = Folder::new(FolderSettings {
            stage,
            target,
            job: job.to_owned(),
            is_hidden: settings.content.is_made() || depth > 0,
            content: settings.content.clone(),
            target_bytes: settings.target_bytes,
            mark,
        });
        FileSink {
            folder: Arc::new(Mutex::new(folder)),
            settings,
            job: job.to_owned(),
            clock,
            bytes: 0,
            refused_rows: 0,
        }
    }

    /// What the names of its files have in common.
    fn names(&self) -> String {
        format!("{}-*.{}", self.job, self.settings.content.ending())
    }

    /// Keeps rows that cannot be written with the reason.
    async fn set_aside(&mut self, rows: &SinkRows, refused: &[(usize, String)]) -> Result<(), ConnectError> {
        if refused.is_empty() {
            return Ok(());
        }
        let lines: Vec<Vec<u8>> =
            refused.iter().map(|(row, reason)| refused_line(rows, *row, &[], reason)).collect();
        let aside = self.settings.refused.clone();
        blocking(move || aside.append(&lines.concat())).await?;
        self.refused_rows += refused.len() as u64;
        Ok(())
    }

    /// Files that are older than `roll` are finished with the checkpoint.
    async fn prepare_with(&mut self, roll: Option<Span>) -> Result<Token, ConnectError> {
        let now = self.clock.now();
        let written = self.with_folder(move |folder| folder.prepare(roll, now)).await?;
        serde_json::to_value(written)
            .map(Token)
            .map_err(|error| ConnectError::internal(format!("a file sink's token: {error}")))
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
        self.settings.meta || self.settings.partition.has_time()
    }

    fn goes_on(&self) -> bool {
        true
    }

    fn keeps_what_goes(&self) -> Option<&'static str> {
        (!self.settings.meta).then_some("write `meta: true` for it, so that each row says what it does")
    }

    fn counts(&self) -> SinkCounts {
        SinkCounts { bytes: self.bytes, refused: self.refused_rows, ..SinkCounts::default() }
    }

    fn own_place(&self) -> Option<String> {
        Some(match &self.settings.objects {
            Some(place) => format!("{place}/{}", self.names()),
            None => real(&self.settings.folder).join(self.names()).display().to_string(),
        })
    }

    fn place(&self) -> String {
        self.settings.place.join(self.names()).display().to_string()
    }

    fn mark(&self) -> Option<PathBuf> {
        self.settings.objects.is_none().then(|| mark_of(&self.settings.folder, &self.job))
    }

    async fn probe(&mut self) -> Result<Probe, ConnectError> {
        self.with_folder(|folder| folder.probe()).await.map(Probe::Ready)
    }

    async fn start(&mut self, last: Option<&Token>) -> Result<(), ConnectError> {
        let last = last.map(read_token).transpose()?;
        self.with_folder(move |folder| folder.start(last.as_ref())).await
    }

    async fn write(&mut self, rows: &SinkRows) -> Result<(), ConnectError> {
        // Rows that only ask for their time do not say that they delete.
        if rows.columns.num_rows() == 0 || (rows.meta.op == Op::Delete && !self.settings.meta) {
            return Ok(());
        }
        self.settings.content.ready(rows).await?;
        let mut parts = Vec::new();
        let Divided { folders, refused } = self.settings.partition.split(rows.clone())?;
        self.set_aside(rows, &refused).await?;
        for (under, rows) in folders {
            let appended = self.settings.content.appended(&rows)?;
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
        self.prepare_with(self.settings.roll).await
    }

    async fn prepare_last(&mut self, _epoch: u64) -> Result<Token, ConnectError> {
        self.prepare_with(None).await
    }

    async fn commit(&mut self, token: &Token) -> Result<(), ConnectError> {
        let written = read_token(token)?;
        self.with_folder(move |folder| folder.commit(&written)).await
    }
}
