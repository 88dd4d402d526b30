//! The files that a sink writes into its folder: their names, and what happens to them at a checkpoint. Blocking.
//!
//! A file is `JOB-NUMBER.ENDING.tmp` until it is finished and `JOB-NUMBER.ENDING` from then on. The numbers of one
//! job rise over its life and over resets of its state, so that names sort in order of writing and a finished
//! file is never written over. Names of jobs hold no hyphen: those of several jobs in one folder cannot be mixed
//! up. Before files are finished, the state that they were made with leaves its mark in `.JOB.state`, so that one that is
//! put back from before does not write the same rows again unnoticed. Must not know rows.

use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;
use weir_connect::{ConnectError, StateMark, make_folder};
use weir_event::{EventTime, Span};

const UNFINISHED: &str = ".tmp";

/// What a checkpoint knows of the folder.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Written {
    /// The files that are finished once the checkpoint is safe, by number.
    finish: Vec<u64>,
    /// The file that goes on.
    open: Option<Unfinished>,
    /// The number of the next file.
    next: u64,
    /// The folder that it is about; tokens of an older weir do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    folder: Option<FolderId>,
}

/// What tells a folder from another of the same path: one that was put in its place, or that shows where a disk is not
/// mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct FolderId {
    inode: u64,
    /// When it was made, milliseconds, where the file system knows.
    born: Option<u64>,
}

impl FolderId {
    fn of(path: &Path) -> io::Result<FolderId> {
        let about = fs::metadata(path)?;
        let born = about.created().ok().and_then(|born| born.duration_since(UNIX_EPOCH).ok());
        Ok(FolderId { inode: about.ino(), born: born.map(|born| born.as_millis() as u64) })
    }
}

/// A file that collects the rows of several checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Unfinished {
    number: u64,
    /// How many of its bytes belong to the checkpoint.
    length: u64,
    /// When it was begun.
    since: EventTime,
}

/// Where the mark lies of the state that a job's files in a folder were made with.
pub(super) fn mark_of(folder: &Path, job: &str) -> PathBuf {
    folder.join(format!(".{job}.state"))
}

/// A job's files in a folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    job: String,
    /// How names of finished files end, with the dot.
    ending: String,
    mark: Arc<dyn StateMark>,
    /// Files that are whole but belong to no safe checkpoint yet.
    pending: Vec<u64>,
    open: Option<(File, Unfinished)>,
    next: u64,
    /// The folder that it found at its start.
    found: Option<FolderId>,
}

impl Folder {
    pub(super) fn new(path: PathBuf, job: &str, ending: &str, mark: Arc<dyn StateMark>) -> Self {
        let (job, ending) = (job.to_owned(), format!(".{ending}"));
        Folder { path, job, ending, mark, pending: Vec::new(), open: None, next: 0, found: None }
    }

    /// Brings the folder to what the last safe checkpoint says.
    pub(super) fn start(&mut self, last: Option<&Written>) -> Result<(), ConnectError> {
        make_folder(&self.path).map_err(|error| self.failed("make", &self.path, &error))?;
        (self.pending, self.open, self.next) = (Vec::new(), None, 1);
        self.found = FolderId::of(&self.path).ok();
        let known = last.and_then(|last| last.folder);
        let is_another = known.is_some() && self.found.is_some() && known != self.found;
        if let Some(last) = last {
            if is_another {
                self.tell_missing(last);
            }
            self.commit(last)?;
            self.open = last.open.clone().map(|unfinished| self.reopen(unfinished)).transpose()?;
            self.next = last.next;
        }
        let keep = self.open.as_ref().map(|(_, unfinished)| unfinished.number);
        for (number, is_finished) in self.numbers()? {
            if is_finished {
                self.next = self.next.max(number + 1);
            } else if Some(number) != keep {
                let path = self.unfinished(number);
                if is_another {
                    self.tell_unknown(&path);
                    self.next = self.next.max(number + 1);
                    continue;
                }
                fs::remove_file(&path).map_err(|error| self.failed("remove", &path, &error))?;
            }
        }
        self.sync()
    }

    /// The folder is not the one that the last checkpoint is about: says which of its files are not here.
    fn tell_missing(&self, last: &Written) {
        let is_missing =
            |number: &&u64| !self.finished(**number).exists() && !self.unfinished(**number).exists();
        for number in last.finish.iter().filter(is_missing) {
            let (folder, file) = (self.path.display(), self.finished(*number));
            let name = file.file_name().unwrap_or_default().display();
            tracing::warn!(
                job = self.job,
                "`{folder}` is not the folder that this sink wrote to before, and `{name}` of the last checkpoint is not \
                 in it; if that is `{name}{UNFINISHED}` in the folder of before, it is whole: rename it to `{name}`"
            );
        }
    }

    /// What an unfinished file holds in a folder that the last checkpoint is not about is not known.
    fn tell_unknown(&self, path: &Path) {
        tracing::warn!(
            job = self.job,
            "`{}` was left by this sink when its folder was taken away, and is kept: if its rows are missing, remove \
             `{UNFINISHED}` from its name, else remove it",
            path.display()
        );
    }

    fn reopen(&self, unfinished: Unfinished) -> Result<(File, Unfinished), ConnectError> {
        let path = self.unfinished(unfinished.number);
        let file = OpenOptions::new().append(true).open(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => ConnectError::external(format!(
                "`{}` holds rows of the last checkpoint and is gone; restore it, or reset the job",
                path.display()
            )),
            _ => self.failed("open", &path, &error),
        })?;
        let length = file.metadata().map_err(|error| self.failed("open", &path, &error))?.len();
        if length < unfinished.length {
            return Err(ConnectError::external(format!(
                "`{}` held {} bytes at the last checkpoint and holds {length} now; restore it, or reset the job",
                path.display(),
                unfinished.length
            )));
        }
        file.set_len(unfinished.length).map_err(|error| self.failed("cut", &path, &error))?;
        Ok((file, unfinished))
    }

    /// Appends to the open file, or to a new one.
    pub(super) fn append(&mut self, bytes: &[u8], now: EventTime) -> Result<(), ConnectError> {
        let (mut file, mut unfinished) = match self.open.take() {
            Some(open) => open,
            None => self.begin(now)?,
        };
        let written = file.write_all(bytes);
        if written.is_ok() {
            unfinished.length += bytes.len() as u64;
        } else {
            // Half a row must not stay; if this fails too, the next start cuts the file or removes it.
            let _ = file.set_len(unfinished.length);
        }
        let path = self.unfinished(unfinished.number);
        if unfinished.length > 0 {
            self.open = Some((file, unfinished));
        }
        written.map_err(|error| self.failed("write to", &path, &error))
    }

    fn begin(&mut self, now: EventTime) -> Result<(File, Unfinished), ConnectError> {
        let number = self.next;
        let path = self.unfinished(number);
        let mut options = OpenOptions::new();
        // Nothing of this name is left after `start`; one that a failed write left behind is empty.
        let file = options.append(true).create(true).open(&path);
        let file = file.map_err(|error| self.failed("make", &path, &error))?;
        file.set_len(0).map_err(|error| self.failed("make", &path, &error))?;
        self.next += 1;
        Ok((file, Unfinished { number, length: 0, since: now }))
    }

    /// Makes everything so far durable. The open file is finished with this checkpoint unless it is younger than
    /// `roll`.
    pub(super) fn prepare(&mut self, roll: Option<Span>, now: EventTime) -> Result<Written, ConnectError> {
        if let Some((file, unfinished)) = self.open.take() {
            let path = self.unfinished(unfinished.number);
            // Where its folder was moved or replaced, the file goes on under another path, and would never be finished.
            let synced = file.sync_all().and_then(|()| fs::metadata(&path).map(drop));
            let goes_on = roll.is_some_and(|roll| now.since(unfinished.since) < roll);
            if goes_on || synced.is_err() {
                self.open = Some((file, unfinished));
            } else {
                self.pending.push(unfinished.number);
            }
            synced.map_err(|error| self.failed("sync", &path, &error))?;
            self.sync()?;
        }
        let open = self.open.as_ref().map(|(_, unfinished)| unfinished.clone());
        Ok(Written { finish: self.pending.clone(), open, next: self.next, folder: self.found })
    }

    /// Gives the files that a checkpoint finished their final names. Idempotent.
    pub(super) fn commit(&mut self, written: &Written) -> Result<(), ConnectError> {
        if !written.finish.is_empty() {
            let at = mark_of(&self.path, &self.job);
            self.mark.leave(&at).map_err(|error| self.failed("write", &at, &error))?;
        }
        for number in &written.finish {
            let (from, to) = (self.unfinished(*number), self.finished(*number));
            if to.exists() {
                // What is finished is never written over: another of this name is of a folder that was away.
                continue;
            }
            match fs::rename(&from, &to) {
                Ok(()) => {}
                // What this process has prepared was not renamed before.
                Err(error) if self.pending.contains(number) => {
                    return Err(self.failed("finish", &from, &error));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // It was renamed before; readers may have taken it away since.
                    tracing::debug!(file = %to.display(), "a finished file had its name already");
                }
                Err(error) => return Err(self.failed("finish", &from, &error)),
            }
        }
        self.pending.retain(|number| !written.finish.contains(number));
        if written.finish.is_empty() { Ok(()) } else { self.sync() }
    }

    /// Makes the names in the folder durable.
    fn sync(&self) -> Result<(), ConnectError> {
        let synced = File::open(&self.path).and_then(|folder| folder.sync_all());
        synced.map_err(|error| self.failed("sync", &self.path, &error))
    }

    /// The numbers of the job's files in the folder, and whether each is finished.
    fn numbers(&self) -> Result<Vec<(u64, bool)>, ConnectError> {
        let mut numbers = Vec::new();
        let entries = fs::read_dir(&self.path).map_err(|error| self.failed("list", &self.path, &error))?;
        for entry in entries {
            let entry = entry.map_err(|error| self.failed("list", &self.path, &error))?;
            numbers.extend(entry.file_name().to_str().and_then(|name| self.number_of(name)));
        }
        Ok(numbers)
    }

    fn number_of(&self, name: &str) -> Option<(u64, bool)> {
        let rest = name.strip_prefix(&self.job)?.strip_prefix('-')?;
        let (finished, is_finished) =
            rest.strip_suffix(UNFINISHED).map_or((rest, true), |name| (name, false));
        Some((finished.strip_suffix(&self.ending)?.parse().ok()?, is_finished))
    }

    fn finished(&self, number: u64) -> PathBuf {
        self.path.join(format!("{}-{number:012}{}", self.job, self.ending))
    }

    fn unfinished(&self, number: u64) -> PathBuf {
        self.path.join(format!("{}-{number:012}{}{UNFINISHED}", self.job, self.ending))
    }

    fn failed(&self, what: &str, path: &Path, error: &io::Error) -> ConnectError {
        let message = format!("job `{}` cannot {what} `{}`: {error}", self.job, path.display());
        match error.kind() {
            io::ErrorKind::PermissionDenied
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::AlreadyExists
            | io::ErrorKind::InvalidFilename
            | io::ErrorKind::InvalidInput => ConnectError::user(format!(
                "{message}; the sink's `path` must be a folder that weir may write to"
            )),
            _ => ConnectError::unavailable(message),
        }
    }
}
