//! The files that a sink writes: their names, and what happens to them at a checkpoint. Blocking.
//!
//! A file is `JOB-NUMBER.ENDING.tmp` until it is finished and `JOB-NUMBER.ENDING` from then on. The numbers of one
//! job rise over its life and over resets of its state, so that names sort in order of writing and a finished
//! file is never written over. Names of jobs hold no hyphen: those of several jobs in one folder cannot be mixed
//! up. A file that is made of what was appended is made when it is finished, from `JOB-NUMBER.ENDING.rows`, which stays
//! until the checkpoint is safe: the one before goes on with it. Before files are finished, the state that they were made
//! with leaves its mark in `.JOB.state`, so that one that is put back from before does not write the same rows again
//! unnoticed. `.JOB.ENDING.lock` is held by the one process that writes. Must not know rows.

use super::content::{AppendedRows, FileContent};
use super::target::{Target, failed, sync_folder};
use super::written::{FolderId, Ready, Unfinished, Written};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weir_connect::{ConnectError, StateMark, make_folder};
use weir_event::{EventTime, Span};

/// The endings of what is not finished: a file, and what one is made of.
const UNFINISHED: &str = ".tmp";
const ROWS: &str = ".rows";

/// So many files are open at once; where rows fall into more folders, the one that was begun first is finished.
const MOST_OPEN: usize = 256;
/// What a file is taken to become of what it is made of, until one was made.
const FIRST_RATIO: f64 = 0.25;

/// Where the mark lies of the state that a job's files in a folder were made with.
pub(super) fn mark_of(folder: &Path, job: &str) -> PathBuf {
    folder.join(format!(".{job}.state"))
}

/// What a [`Folder`] is made of.
#[derive(Debug)]
pub(super) struct FolderSettings {
    /// Where unfinished files lie.
    pub(super) stage: PathBuf,
    /// Where finished files appear.
    pub(super) target: Arc<dyn Target>,
    pub(super) job: String,
    pub(super) content: FileContent,
    /// Whether readers that take every file for data have to pass over unfinished ones: by a dot before their names.
    pub(super) is_hidden: bool,
    /// A file is finished when it has about so many bytes.
    pub(super) target_bytes: Option<u64>,
    /// Leaves its mark beside finished files.
    pub(super) mark: Option<Arc<dyn StateMark>>,
}

/// A job's files.
#[derive(Debug)]
pub(super) struct Folder {
    settings: FolderSettings,
    /// How names of finished files end, with the dot.
    ending: String,
    /// Files that are whole but belong to no safe checkpoint yet.
    pending: Vec<Ready>,
    /// By the folder that they belong into.
    open: BTreeMap<String, (File, Unfinished)>,
    next: u64,
    /// The folder that it found at its start.
    found: Option<FolderId>,
    /// How long the last file was that was made, for each byte of what it was made of.
    ratio: f64,
    /// Held while this process writes here.
    claim: Option<File>,
}

impl Folder {
    pub(super) fn new(settings: FolderSettings) -> Self {
        let ending = format!(".{}", settings.content.ending());
        let ratio = if settings.content.is_made() { FIRST_RATIO } else { 1.0 };
        let (pending, open) = (Vec::new(), BTreeMap::new());
        Folder { settings, ending, pending, open, next: 0, found: None, ratio, claim: None }
    }

    fn stage(&self) -> &Path {
        &self.settings.stage
    }

    fn failed(&self, what: &str, path: &Path, error: &io::Error) -> ConnectError {
        failed(&self.settings.job, what, path, error)
    }

    /// Looks whether finished files can appear; see [`Target::probe`].
    pub(super) fn probe(&self) -> Result<String, ConnectError> {
        self.settings.target.probe()
    }

    /// Takes the folder for this process: another that writes the same job's files, such as a successor on shared storage,
    /// would take its names and cut its files. Where the file system knows no locks, nobody is kept out; what waits for an
    /// object store lies with weir's own data, which one process alone opens.
    fn claim(&mut self) -> Result<(), ConnectError> {
        if self.claim.is_some() || self.settings.mark.is_none() {
            return Ok(());
        }
        let path = self.lock(&self.ending);
        let file = OpenOptions::new().create(true).append(true).open(&path);
        let file = file.map_err(|error| self.failed("make", &path, &error))?;
        if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
            return Err(ConnectError::unavailable(format!(
                "job `{}`: another weir writes this job's files into `{}`; they come again when it has ended, or give the job \
                 a folder of its own",
                self.settings.job,
                self.stage().display()
            )));
        }
        self.claim = Some(file);
        Ok(())
    }

    /// What the process holds that writes a job's files of this ending here: the job's sinks of other formats have their own.
    fn lock(&self, ending: &str) -> PathBuf {
        self.stage().join(format!(".{}{ending}.lock", self.settings.job))
    }

    /// Whether a process writes the job's files of this ending now.
    fn is_written(&self, ending: &str) -> bool {
        File::open(self.lock(ending)).is_ok_and(|file| file.try_lock().is_err())
    }

    /// Brings the folder to what the last safe checkpoint says.
    pub(super) fn start(&mut self, last: Option<&Written>) -> Result<(), ConnectError> {
        make_folder(self.stage()).map_err(|error| self.failed("make", self.stage(), &error))?;
        self.settings.target.open()?;
        self.claim()?;
        (self.pending, self.open, self.next) = (Vec::new(), BTreeMap::new(), 1);
        self.found = FolderId::of(self.stage()).ok();
        let known = last.and_then(|last| last.folder);
        let is_another = known.is_some() && self.found.is_some() && known != self.found;
        if let Some(last) = last {
            if is_another {
                self.tell_missing(last);
            }
            self.adopt(last)?;
            self.commit(last)?;
            for unfinished in &last.open {
                let opened = self.reopen(unfinished.clone())?;
                self.open.insert(unfinished.under.clone(), opened);
            }
            self.next = last.next;
        }
        let finished = self.settings.target.names()?;
        let finished = finished.iter().filter_map(|name| self.number_of(name, "")).max();
        self.next = self.next.max(finished.map_or(0, |number| number + 1));
        self.clear(is_another)?;
        self.settings.target.clear()?;
        sync_folder(&self.settings.job, self.stage())
    }

    /// Gives what the last checkpoint names the names that this sink would: partitions that were added or taken away since
    /// have changed whether they begin with a dot.
    fn adopt(&self, last: &Written) -> Result<(), ConnectError> {
        let numbers = last.finish.iter().map(|ready| ready.number);
        for number in numbers.chain(last.open.iter().map(|unfinished| unfinished.number)) {
            for end in [UNFINISHED, ROWS] {
                let (now, before) =
                    (self.staged(number, end), self.staged_as(!self.settings.is_hidden, number, end));
                if before.exists() && !now.exists() {
                    fs::rename(&before, &now).map_err(|error| self.failed("rename", &before, &error))?;
                }
            }
        }
        Ok(())
    }

    /// Says which unfinished files are of another format than the sink's, and of none that is written now: those that it had
    /// before its definition was changed, after a crash or in an older weir. Nobody goes on with them.
    fn tell_of_other_formats(&self, names: &BTreeSet<String>) {
        let start = format!("{}-", self.settings.job);
        for name in names {
            let plain = name.strip_prefix('.').unwrap_or(name);
            let stem = plain.strip_suffix(UNFINISHED).or_else(|| plain.strip_suffix(ROWS));
            let Some((number, ending)) = stem.and_then(|stem| stem.strip_prefix(&start)?.split_once('.'))
            else {
                continue;
            };
            let ending = format!(".{ending}");
            let is_numbered = number.bytes().all(|digit| digit.is_ascii_digit());
            if is_numbered && ending != self.ending && !self.is_written(&ending) {
                tracing::warn!(
                    job = self.settings.job,
                    "`{}` holds rows that the job wrote in another format, and this sink does not go on with it; if no other \
                     sink of the job does, start the job once with that format again, and stop it: those that a checkpoint \
                     has appear",
                    self.stage().join(name).display()
                );
            }
        }
    }

    /// Removes unfinished files that no checkpoint names; those of a folder that the last one is not about are kept.
    fn clear(&mut self, is_another: bool) -> Result<(), ConnectError> {
        let keep: BTreeSet<u64> = self.open.values().map(|(_, unfinished)| unfinished.number).collect();
        let listed = |error| self.failed("list", self.stage(), &error);
        let mut unknown = Vec::new();
        let mut others = BTreeSet::new();
        for entry in fs::read_dir(self.stage()).map_err(listed)? {
            let Ok(name) = entry.map_err(listed)?.file_name().into_string() else { continue };
            match self.unfinished_number(&name) {
                Some(number) if keep.contains(&number) => {}
                Some(number) => unknown.push((number, self.stage().join(name))),
                None => drop(others.insert(name)),
            }
        }
        self.tell_of_other_formats(&others);
        for (number, path) in unknown {
            if is_another {
                self.tell_unknown(&path);
                self.next = self.next.max(number + 1);
                continue;
            }
            fs::remove_file(&path).map_err(|error| self.failed("remove", &path, &error))?;
        }
        Ok(())
    }

    /// The folder is not the one that the last checkpoint is about: says which of its files are not here.
    fn tell_missing(&self, last: &Written) {
        let stage = self.stage();
        let is_missing = |ready: &&Ready| {
            !stage.join(self.finished(ready)).exists() && !self.unfinished(ready.number).exists()
        };
        for ready in last.finish.iter().filter(is_missing) {
            let (folder, name) = (stage.display(), self.finished(ready));
            let unfinished = self.unfinished(ready.number);
            let unfinished = unfinished.file_name().unwrap_or_default().display();
            tracing::warn!(
                job = self.settings.job,
                "`{folder}` is not the folder that this sink wrote to before, and `{name}` of the last checkpoint is not \
                 in it; if that is `{unfinished}` in the folder of before, it is whole: rename it to `{name}`"
            );
        }
    }

    /// What an unfinished file holds in a folder that the last checkpoint is not about is not known.
    fn tell_unknown(&self, path: &Path) {
        tracing::warn!(
            job = self.settings.job,
            "`{}` was left by this sink when its folder was taken away, and is kept: if its rows are missing, remove \
             `{UNFINISHED}` from its name, else remove it",
            path.display()
        );
    }

    fn reopen(&self, unfinished: Unfinished) -> Result<(File, Unfinished), ConnectError> {
        let path = self.appended(unfinished.number);
        let file = OpenOptions::new().read(true).append(true).open(&path);
        let file = file.map_err(|error| match error.kind() {
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

    /// Appends to the open file of a folder below, or to a new one.
    pub(super) fn append(
        &mut self,
        under: &str,
        appended: &AppendedRows,
        now: EventTime,
    ) -> Result<(), ConnectError> {
        let (mut file, mut unfinished) = match self.open.remove(under) {
            Some((_, unfinished)) if unfinished.kind != appended.kind => {
                // Rows of an edited query do not fit into the file.
                self.finish(unfinished)?;
                self.begin(under, appended.kind, now)?
            }
            Some(open) => open,
            None => self.begin(under, appended.kind, now)?,
        };
        let head: &[u8] = if unfinished.length == 0 { &appended.head } else { &[] };
        let written = file.write_all(head).and_then(|()| file.write_all(&appended.bytes));
        if written.is_ok() {
            unfinished.length += (head.len() + appended.bytes.len()) as u64;
        } else {
            // Half a row must not stay; if this fails too, the next start cuts the file or removes it.
            let _ = file.set_len(unfinished.length);
        }
        let path = self.appended(unfinished.number);
        let is_full = self.is_full(unfinished.length);
        if is_full && written.is_ok() {
            self.finish(unfinished)?;
        } else if unfinished.length > 0 {
            self.open.insert(under.to_owned(), (file, unfinished));
        }
        written.map_err(|error| self.failed("write to", &path, &error))
    }

    fn is_full(&self, length: u64) -> bool {
        let expected = (length as f64 * self.ratio) as u64;
        self.settings.target_bytes.is_some_and(|target| expected >= target)
    }

    fn begin(
        &mut self,
        under: &str,
        kind: Option<u32>,
        now: EventTime,
    ) -> Result<(File, Unfinished), ConnectError> {
        if self.open.len() >= MOST_OPEN {
            let first = self.open.values().map(|(_, unfinished)| unfinished).min_by_key(|file| file.number);
            let first = first.map(|first| first.under.clone()).unwrap_or_default();
            if let Some((_, unfinished)) = self.open.remove(&first) {
                self.finish(unfinished)?;
            }
        }
        let number = self.next;
        let path = self.appended(number);
        let mut options = OpenOptions::new();
        // Nothing of this name is left after `start`; one that a failed write left behind is empty.
        let file = options.read(true).append(true).create(true).open(&path);
        let file = file.map_err(|error| self.failed("make", &path, &error))?;
        file.set_len(0).map_err(|error| self.failed("make", &path, &error))?;
        self.next += 1;
        Ok((file, Unfinished { number, length: 0, since: now, under: under.to_owned(), kind }))
    }

    /// Makes everything so far durable. An open file is finished with this checkpoint unless it is younger than
    /// `roll`.
    pub(super) fn prepare(&mut self, roll: Option<Span>, now: EventTime) -> Result<Written, ConnectError> {
        let open = std::mem::take(&mut self.open);
        let has_changed = !open.is_empty();
        for (under, (file, unfinished)) in open {
            if roll.is_some_and(|roll| now.since(unfinished.since) < roll) {
                self.sync(&file, unfinished.number)?;
                self.open.insert(under, (file, unfinished));
            } else {
                self.finish(unfinished)?;
            }
        }
        if has_changed {
            sync_folder(&self.settings.job, self.stage())?;
        }
        self.bring()?;
        let open = self.open.values().map(|(_, unfinished)| unfinished.clone()).collect();
        Ok(Written { finish: self.pending.clone(), open, next: self.next, folder: self.found })
    }

    /// Brings what is whole to where a word lets it appear.
    fn bring(&mut self) -> Result<(), ConnectError> {
        let mut pending = std::mem::take(&mut self.pending);
        for ready in pending.iter_mut().filter(|ready| ready.upload.is_none()) {
            ready.upload =
                self.settings.target.bring(&self.unfinished(ready.number), &self.finished(ready))?;
        }
        self.pending = pending;
        Ok(())
    }

    fn sync(&self, file: &File, number: u64) -> Result<(), ConnectError> {
        let path = self.appended(number);
        // Where its folder was moved or replaced, the file goes on under another path, and would never be finished.
        let synced = file.sync_all().and_then(|()| fs::metadata(&path).map(drop));
        synced.map_err(|error| self.failed("sync", &path, &error))
    }

    /// No more is appended to a file: it is whole and durable.
    fn finish(&mut self, unfinished: Unfinished) -> Result<(), ConnectError> {
        let Unfinished { number, length, under, .. } = unfinished;
        let (appended, path) = (self.appended(number), self.unfinished(number));
        let file = File::open(&appended).map_err(|error| self.failed("sync", &appended, &error))?;
        if self.settings.content.is_made() {
            let made = File::create(&path).and_then(|made| self.settings.content.make(&file, length, made));
            let made = made.and_then(|()| fs::metadata(&path));
            let made = made.map_err(|error| self.failed("write", &path, &error))?.len();
            self.ratio = made as f64 / length.max(1) as f64;
        } else {
            self.sync(&file, number)?;
        }
        self.pending.push(Ready { number, under, upload: None });
        Ok(())
    }

    /// Gives the files that a checkpoint finished their final names. Idempotent.
    pub(super) fn commit(&mut self, written: &Written) -> Result<(), ConnectError> {
        if written.finish.is_empty() {
            return Ok(());
        }
        if let Some(mark) = &self.settings.mark {
            let at = mark_of(self.stage(), &self.settings.job);
            mark.leave(&at).map_err(|error| self.failed("write", &at, &error))?;
        }
        for ready in &written.finish {
            let (from, is_prepared) = (self.unfinished(ready.number), self.pending.contains(ready));
            let name = self.finished(ready);
            self.settings.target.publish(&from, &name, ready.upload.as_ref(), is_prepared)?;
        }
        self.settings.target.settle(&written.finish.iter().map(|ready| ready.under.as_str()).collect())?;
        if self.settings.content.is_made() {
            for ready in &written.finish {
                let rows = self.appended(ready.number);
                match fs::remove_file(&rows) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(self.failed("remove", &rows, &error));
                    }
                    _ => {}
                }
            }
        }
        self.pending.retain(|ready| !written.finish.contains(ready));
        Ok(())
    }

    /// The number of a file whose name ends so behind the ending of finished ones.
    fn number_of(&self, name: &str, end: &str) -> Option<u64> {
        let name = name.rsplit_once('/').map_or(name, |(_, name)| name);
        let rest = name.strip_prefix(&self.settings.job)?.strip_prefix('-')?;
        rest.strip_suffix(end)?.strip_suffix(&self.ending)?.parse().ok()
    }

    fn unfinished_number(&self, name: &str) -> Option<u64> {
        let name = name.strip_prefix('.').unwrap_or(name);
        self.number_of(name, UNFINISHED).or_else(|| self.number_of(name, ROWS))
    }

    /// The name of a finished file, below the target.
    fn finished(&self, ready: &Ready) -> String {
        let slash = if ready.under.is_empty() { "" } else { "/" };
        format!("{}{slash}{}-{:012}{}", ready.under, self.settings.job, ready.number, self.ending)
    }

    fn staged(&self, number: u64, end: &str) -> PathBuf {
        self.staged_as(self.settings.is_hidden, number, end)
    }

    fn staged_as(&self, is_hidden: bool, number: u64, end: &str) -> PathBuf {
        let dot = if is_hidden { "." } else { "" };
        self.stage().join(format!("{dot}{}-{number:012}{}{end}", self.settings.job, self.ending))
    }

    fn unfinished(&self, number: u64) -> PathBuf {
        self.staged(number, UNFINISHED)
    }

    /// What is appended to.
    fn appended(&self, number: u64) -> PathBuf {
        self.staged(number, if self.settings.content.is_made() { ROWS } else { UNFINISHED })
    }
}
