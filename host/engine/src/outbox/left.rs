//! The outboxes of sinks that a job has no more.
//!
//! They stay until a checkpoint is safe that does not name them: a sink that comes back before is given what waits for it.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;

/// The outboxes of a job's earlier sinks.
#[derive(Debug, Clone)]
pub(crate) struct LeftOutboxes {
    job: String,
    /// Where the outboxes of the job are.
    folder: PathBuf,
    /// The sinks that it has.
    sinks: BTreeSet<String>,
}

impl LeftOutboxes {
    /// All in this folder, except those of these sinks.
    pub(crate) fn of(job: &str, folder: PathBuf, sinks: BTreeSet<String>) -> LeftOutboxes {
        LeftOutboxes { job: job.to_owned(), folder, sinks }
    }

    /// Removes them. Blocking.
    pub(crate) fn remove(&self) {
        if let Err(error) = self.try_remove() {
            let (job, folder) = (&self.job, self.folder.display());
            tracing::warn!(job, %error, "`{folder}`: the outbox of an earlier sink could not be removed");
        }
    }

    fn try_remove(&self) -> io::Result<()> {
        let entries = match fs::read_dir(&self.folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let is_left = entry.file_name().to_str().is_some_and(|name| !self.sinks.contains(name));
            if is_left && entry.file_type()?.is_dir() {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }
}
