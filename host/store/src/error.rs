//! What can go wrong in the store. Each error answers whose fault it is, whether a retry helps and what to do.

use std::io;
use std::path::PathBuf;

use weir_event::Fault;

use crate::Epoch;

/// An error of the checkpoint store.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another process has the folder open.
    #[error(
        "the state folder {folder} is in use by another server{}; stop that one first, or give this one another data_dir",
        .pid.map(|pid| format!(" (process {pid})")).unwrap_or_default()
    )]
    Locked {
        /// The store's folder.
        folder: PathBuf,
        /// The process that holds it, where it could be read.
        pid: Option<u32>,
    },
    /// The folder cannot be made, listed or written.
    #[error(
        "the state folder {folder} cannot be used: {source}; check that it is a folder and its permissions"
    )]
    Folder {
        /// The store's folder.
        folder: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A newer weir wrote the state.
    #[error(
        "the state in {folder} has format {found}, and this weir knows formats up to {known}; start the newer weir \
         that wrote it, or give this one another data_dir"
    )]
    NewerFormat {
        /// The store's folder.
        folder: PathBuf,
        /// Format on disk.
        found: u32,
        /// Newest format that this program reads.
        known: u32,
    },
    /// A file operation failed.
    #[error("{doing} {path} failed: {source}; check free space and the disk, then try again")]
    Io {
        /// What was being done, as "writing".
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The disk failed under sled: what is on it is unknown until the folder is opened again.
    #[error(
        "the disk failed under {folder}: {reason}; check free space and the disk, then restart: it goes on from the last commit"
    )]
    Disk {
        /// The store's folder.
        folder: PathBuf,
        /// What failed.
        reason: String,
    },
    /// Something that no commit held yet went with a failure of the disk.
    #[error(
        "segment {id} of job {job} was lost when the disk failed under {folder}: check free space and the disk; the job \
         goes on from its last commit"
    )]
    Lost {
        /// The store's folder.
        folder: PathBuf,
        /// Whose segment.
        job: String,
        /// The segment.
        id: u64,
    },
    /// The folder or files in it went while it was open.
    #[error(
        "the state folder {folder} was taken away while it was in use ({reason}), and what it held with it: put it back \
         from a copy and restart; a restart without it begins every job at its source's start"
    )]
    Gone {
        /// The store's folder.
        folder: PathBuf,
        /// What failed.
        reason: String,
    },
    /// Stored bytes are not what was written.
    #[error(
        "the state in {folder} is damaged: {what}; restart, and if that does not help restore the folder from a copy, or move it away to start anew"
    )]
    Damaged {
        /// The store's folder.
        folder: PathBuf,
        /// What was found.
        what: String,
    },
    /// sled did not get ahead in time while the store was opened.
    #[error(
        "opening the state in {folder} made no progress for {seconds} s; it is damaged, or the disk does not answer: restore it from a copy, or move it away to start anew"
    )]
    Stalled {
        /// The store's folder.
        folder: PathBuf,
        /// How long it was waited for.
        seconds: u64,
    },
    /// The newest commit cannot be read in full.
    #[error("the newest commit in {folder}, epoch {epoch}, is damaged: {what}; {}", older_choice(.intact))]
    DamagedHead {
        /// The store's folder.
        folder: PathBuf,
        /// The damaged commit.
        epoch: Epoch,
        /// What was found.
        what: String,
        /// Older kept commits that were read in full, newest first.
        intact: Vec<Epoch>,
    },
    /// The witness file, or a mark outside the folder, knows a newer commit than sled.
    #[error(
        "epoch {witness} was committed in {folder}, as {by} says, but {} can be found there: files were lost, damaged or put back; {}",
        .found.map_or_else(|| "no commit".to_owned(), |found| format!("only epoch {found}")),
        older_choice(.found.as_slice())
    )]
    BehindWitness {
        /// The store's folder.
        folder: PathBuf,
        /// The newest commit in sled.
        found: Option<Epoch>,
        /// The newest epoch that is known.
        witness: Epoch,
        /// The file that says so.
        by: PathBuf,
    },
    /// A mark outside the folder is of another state.
    #[error(
        "{at} was left by another state than the one in {folder}, which was deleted, replaced or moved: rows would be \
         counted or written twice; put that state back, or let `data_dir` be where it is"
    )]
    OtherState {
        /// The store's folder.
        folder: PathBuf,
        /// The mark.
        at: PathBuf,
    },
    /// Entries of a segment came out of order.
    #[error(
        "entries of a segment of job {job} are not in rising key order at entry {at}; this is a bug in weir, please report it"
    )]
    Unsorted {
        /// Whose segment.
        job: String,
        /// Number of the first entry that does not fit, from 0.
        at: u64,
    },
    /// A manifest names a segment that the store does not hold.
    #[error(
        "the manifest of job {job} names segment {id}, which is not in the store; this is a bug in weir, please report it"
    )]
    UnknownSegment {
        /// Whose manifest.
        job: String,
        /// The segment.
        id: u64,
    },
    /// The caller's visitor gave up.
    #[error("{0}")]
    Visit(Box<dyn std::error::Error + Send + Sync>),
}

fn older_choice(intact: &[Epoch]) -> String {
    match intact.first() {
        Some(epoch) => {
            let all: Vec<String> = intact.iter().map(Epoch::to_string).collect();
            format!(
                "restore the folder from a copy, or accept an older epoch and go on from {epoch} (intact: {})",
                all.join(", ")
            )
        }
        None => "no older epoch is intact: restore the folder from a copy, or move it away to start anew"
            .to_owned(),
    }
}

impl StoreError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            StoreError::Locked { .. } | StoreError::Folder { .. } | StoreError::NewerFormat { .. } => {
                Fault::User
            }
            StoreError::Io { .. }
            | StoreError::Disk { .. }
            | StoreError::Lost { .. }
            | StoreError::Gone { .. } => Fault::External,
            StoreError::Damaged { .. }
            | StoreError::Stalled { .. }
            | StoreError::DamagedHead { .. }
            | StoreError::BehindWitness { .. }
            | StoreError::OtherState { .. }
            | StoreError::Unsorted { .. }
            | StoreError::UnknownSegment { .. }
            | StoreError::Visit(_) => Fault::Weir,
        }
    }

    /// Whether the same call may succeed later in this process, with nothing changed here.
    pub fn retry(&self) -> bool {
        matches!(self, StoreError::Io { .. } | StoreError::Locked { .. })
    }

    /// Wraps an error of a visitor of [`crate::CheckpointStore::read`].
    pub fn visit(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        StoreError::Visit(error.into())
    }
}
