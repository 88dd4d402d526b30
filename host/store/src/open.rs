//! The guarded start: lock, format, witness, sled, every chunk of HEAD, and what to do when one of them is not right.
//!
//! All of sled's part runs on a thread of its own that must show progress (`guard.rs`), for sled can hang on damaged files.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::guard::{self, Failure, Progress};
use crate::ledger::{Kept, Ledger};
use crate::mark::{self, Mark, Marks};
use crate::record::{self, CommitRecord, Name};
use crate::rows::Rows;
use crate::{Epoch, Manifest, StoreError, files, rebuild, segment};

/// How to open a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// Memory for sled's page cache, in bytes. 16 to 64 MiB: more does not help, for a checkpoint is written and read once.
    pub cache_bytes: u64,
    /// How many commits can be gone back to; at least one is kept.
    pub keep: usize,
    /// Go on from an older commit where the newest is damaged or lost, instead of refusing to start.
    pub accept_older: bool,
    /// Where marks of this state may lie outside its folder.
    pub marks: Vec<PathBuf>,
    /// How long opening may show no progress before it is given up. Big files get a second more for every 16 MiB.
    pub patience: Duration,
    /// Files smaller than this are never rebuilt, in bytes: the copy would cost more than the space is worth.
    pub rebuild_above_bytes: u64,
}

impl Default for StoreOptions {
    fn default() -> Self {
        StoreOptions {
            cache_bytes: 32 << 20,
            keep: 3,
            accept_older: false,
            marks: Vec::new(),
            patience: Duration::from_mins(1),
            rebuild_above_bytes: 64 << 20,
        }
    }
}

/// Files are rebuilt when they take this many times the live data.
const REBUILD_FACTOR: u64 = 8;
/// sled reads its whole log before it says anything; a slow disk gives at least this much of it each second.
pub(crate) const BYTES_PER_SECOND: u64 = 16 << 20;
/// Chunks checked between two words of progress.
const CHUNKS_PER_STEP: usize = 256;

/// An open folder, all checks behind it.
pub(crate) struct Opened {
    pub(crate) rows: Rows,
    pub(crate) ledger: Ledger,
    /// The state's id.
    pub(crate) id: String,
    /// Held for as long as the store is open.
    pub(crate) lock: File,
}

/// Opens the folder, or says why not.
pub(crate) fn open(folder: &Path, options: &StoreOptions) -> Result<Opened, StoreError> {
    let lock = files::lock(folder, files::Patience::Waits)?;
    let id = mark::read_id(folder)?;
    let marks = Marks::read(&options.marks, id.as_deref());
    refuse_others(folder, &marks, options)?;
    let live = match files::read_state(folder)? {
        Some(name) => name,
        None => begin(folder)?,
    };
    let witness = match files::read_witness(folder) {
        Err(StoreError::Damaged { .. }) if options.accept_older => None,
        other => other?,
    };
    let id = id.map_or_else(|| mark::give_id(folder), Ok)?;
    let job =
        Start { folder: folder.to_path_buf(), live, witness, marked: marks.newest, options: options.clone() };
    let size_bytes = files::tree_bytes(&folder.join(&job.live)).unwrap_or(0);
    let patience = options.patience + Duration::from_secs(size_bytes / BYTES_PER_SECOND);
    let (rows, ledger) =
        guard::run(patience, move |progress| job.run(progress)).map_err(|failure| match failure {
            Failure::Stalled => {
                StoreError::Stalled { folder: folder.to_path_buf(), seconds: patience.as_secs() }
            }
            Failure::Panicked(what) => StoreError::Damaged {
                folder: folder.to_path_buf(),
                what: format!("opening it panicked: {what}"),
            },
            Failure::NoThread(reason) => {
                let source = std::io::Error::other(reason);
                StoreError::Io { doing: "starting a thread to open", path: folder.to_path_buf(), source }
            }
        })??;
    // Accepted once, they are of this state from now on.
    let epoch = ledger.head().map_or(Epoch::default(), |head| head.epoch);
    for at in &marks.of_others {
        mark::write(at, &Mark { id: id.clone(), epoch })?;
    }
    Ok(Opened { rows, ledger, id, lock })
}

/// Refuses a state that is not the one that left the marks, unless the operator accepts that.
fn refuse_others(folder: &Path, marks: &Marks, options: &StoreOptions) -> Result<(), StoreError> {
    let Some(first) = marks.of_others.first() else { return Ok(()) };
    let refusal = StoreError::OtherState { folder: folder.to_path_buf(), at: first.clone() };
    if !options.accept_older {
        return Err(refusal);
    }
    for at in &marks.of_others {
        tracing::warn!(
            "going on without the state that {} was left by: what lies there is read or written again from where this \
             state stands, or from the start",
            at.display()
        );
    }
    Ok(())
}

/// Names the first sled folder of a folder that has no state.
fn begin(folder: &Path) -> Result<String, StoreError> {
    if files::has_generation(folder)? {
        let what = "its state file is gone while there is data".to_owned();
        return Err(StoreError::Damaged { folder: folder.to_path_buf(), what });
    }
    let first = files::generation_after(None);
    files::write_state(folder, &first)?;
    Ok(first)
}

/// What is known before sled is touched.
struct Start {
    folder: PathBuf,
    live: String,
    witness: Option<Epoch>,
    /// The newest epoch that a mark outside the folder knows, and where that lies.
    marked: Option<(Epoch, PathBuf)>,
    options: StoreOptions,
}

/// What sled has.
struct Found {
    /// Commits that could be read, oldest first; chunks not yet checked.
    commits: Vec<Kept>,
    /// The newest commit's number, and what is wrong with it.
    broken_head: Option<(Epoch, String)>,
}

impl Start {
    fn run(self, progress: &Progress) -> Result<(Rows, Ledger), StoreError> {
        let rows = Rows::open(&self.folder.join(&self.live), self.options.cache_bytes)?;
        progress.step();
        let mut checks = Checks::default();
        let mut found = find(&rows)?;
        if let Some(head) = found.commits.last().filter(|_| found.broken_head.is_none())
            && let Err(what) = checks.commit(&rows, head, progress)
        {
            found.broken_head = Some((head.epoch, what));
            found.commits.pop();
        }
        let (rows, kept) = match self.judge(&rows, &mut found, &mut checks, progress)? {
            None if !self.outgrown(&rows, &found.commits)? => (rows, found.commits),
            chosen => {
                let mut kept = chosen.unwrap_or(found.commits);
                // An older commit may be damaged while the newest is not; it cannot be copied, nor gone back to.
                kept.retain(|kept| checks.commit(&rows, kept, progress).is_ok());
                self.rebuild(rows, kept, progress)?
            }
        };
        if let Some(head) = kept.last().filter(|head| Some(head.epoch) != self.witness) {
            files::write_witness(&self.folder, head.epoch)?;
        }
        let on_disk = rows.segments()?;
        Ok((rows, Ledger::new(kept, &on_disk, self.options.keep)))
    }

    /// `None`: all is well. Else the commits to go on from, where the operator accepts that, or the refusal.
    fn judge(
        &self,
        rows: &Rows,
        found: &mut Found,
        checks: &mut Checks,
        progress: &Progress,
    ) -> Result<Option<Vec<Kept>>, StoreError> {
        let best = found.commits.last().map(|kept| kept.epoch);
        let refusal = if let Some((epoch, what)) = found.broken_head.take() {
            found.commits.retain(|kept| checks.commit(rows, kept, progress).is_ok());
            let intact = found.commits.iter().rev().map(|kept| kept.epoch).collect();
            StoreError::DamagedHead { folder: self.folder.clone(), epoch, what, intact }
        } else if let Some((witness, by)) = self.newest_known().filter(|(witness, _)| Some(*witness) > best) {
            StoreError::BehindWitness { folder: self.folder.clone(), found: best, witness, by }
        } else {
            return Ok(None);
        };
        let Some(newest) = found.commits.last().filter(|_| self.options.accept_older) else {
            return Err(refusal);
        };
        let lost = match &refusal {
            StoreError::DamagedHead { epoch, .. } => Some(*epoch),
            _ => None,
        };
        let lost = lost.max(self.newest_known().map(|(epoch, _)| epoch));
        // The number of an epoch whose effects may be out in the world is never given again.
        let epoch = lost.unwrap_or_default().next();
        tracing::warn!(
            from = %newest.epoch, %epoch,
            "going on from an older commit: what ingest logs got since is read again, and results since are written \
             again: {refusal}"
        );
        let again = Kept { epoch, jobs: newest.jobs.clone() };
        let mut kept = std::mem::take(&mut found.commits);
        kept.push(again);
        Ok(Some(kept))
    }

    /// The newest epoch that is known to have been safe, and the file that says so.
    fn newest_known(&self) -> Option<(Epoch, PathBuf)> {
        let own = self.witness.map(|epoch| (epoch, files::witness(&self.folder)));
        own.into_iter().chain(self.marked.clone()).max_by_key(|(epoch, _)| *epoch)
    }

    fn outgrown(&self, rows: &Rows, commits: &[Kept]) -> Result<bool, StoreError> {
        if commits.is_empty() {
            return Ok(false);
        }
        let path = rows.folder();
        let disk_bytes = rows.disk_bytes().map_err(|source| StoreError::Io {
            doing: "listing",
            path: path.to_path_buf(),
            source,
        })?;
        let live_bytes = Ledger::new(commits.to_vec(), &[], self.options.keep).live_bytes();
        Ok(disk_bytes > self.options.rebuild_above_bytes && disk_bytes / REBUILD_FACTOR > live_bytes)
    }

    /// Copies these commits into a new sled folder and makes it the live one.
    fn rebuild(
        &self,
        old: Rows,
        mut kept: Vec<Kept>,
        progress: &Progress,
    ) -> Result<(Rows, Vec<Kept>), StoreError> {
        let name = files::generation_after(Some(&self.live));
        let path = self.folder.join(&name);
        // One that did not come to its end may be there.
        files::remove_other_generations(&self.folder, &self.live).map_err(|source| StoreError::Io {
            doing: "clearing",
            path: path.clone(),
            source,
        })?;
        let new = Rows::open(&path, self.options.cache_bytes)?;
        let surplus = kept.len().saturating_sub(self.options.keep.max(1));
        kept.drain(..surplus);
        rebuild::copy(&old, &new, &kept, progress)?;
        files::write_state(&self.folder, &name)?;
        tracing::info!(folder = name, "rebuilt the state into a fresh folder");
        drop(old);
        progress.step();
        if let Err(error) = files::remove_other_generations(&self.folder, &name) {
            tracing::warn!(%error, "the old state folder could not be removed; the next start tries again");
        }
        Ok((new, kept))
    }
}

/// Reads all commits that there are.
fn find(rows: &Rows) -> Result<Found, StoreError> {
    let epochs = record::commits(rows)?;
    let mut found = Found { commits: Vec::new(), broken_head: None };
    let head: Option<Epoch> = match record::get(rows, &Name::Head) {
        Ok(head) => head,
        Err(error) => {
            found.broken_head = Some((epochs.last().copied().unwrap_or_default(), reason(error)?));
            None
        }
    };
    let newest = head.or_else(|| epochs.last().copied());
    if head.is_none()
        && found.broken_head.is_none()
        && let Some(epoch) = newest
    {
        found.broken_head = Some((epoch, "HEAD is missing".to_owned()));
    }
    for epoch in epochs.into_iter().filter(|epoch| Some(*epoch) <= newest) {
        match read_commit(rows, epoch) {
            Ok(kept) => found.commits.push(kept),
            Err(error) => {
                let what = reason(error)?;
                tracing::warn!(%epoch, what, "a kept commit cannot be read");
                if Some(epoch) == head {
                    found.broken_head = Some((epoch, what));
                }
            }
        }
    }
    if let Some(epoch) = head.filter(|head| found.commits.last().map(|kept| kept.epoch) != Some(*head)) {
        found.broken_head.get_or_insert((epoch, "its record is missing".to_owned()));
    }
    Ok(found)
}

fn read_commit(rows: &Rows, epoch: Epoch) -> Result<Kept, StoreError> {
    let missing = |what: String| rows.damaged(format!("{what} is missing"));
    let commit: CommitRecord =
        record::get(rows, &Name::Commit(epoch))?.ok_or_else(|| missing(format!("commit {epoch}")))?;
    let mut jobs = BTreeMap::new();
    for (job, given_at) in commit.jobs {
        let name = Name::Manifest(job.clone(), given_at);
        let manifest: Manifest = record::get(rows, &name)?
            .ok_or_else(|| missing(format!("the manifest of {job} at {given_at}")))?;
        jobs.insert(job, (given_at, Arc::new(manifest)));
    }
    Ok(Kept { epoch, jobs })
}

/// What is damaged, where that is the error; other errors end the start.
fn reason(error: StoreError) -> Result<String, StoreError> {
    match error {
        StoreError::Damaged { what, .. } => Ok(what),
        other => Err(other),
    }
}

/// Segments checked so far, so that none is read twice.
#[derive(Default)]
struct Checks(BTreeMap<u64, Result<(), String>>);

impl Checks {
    /// Checks every chunk of every segment of a commit; the error says what is wrong.
    fn commit(&mut self, rows: &Rows, kept: &Kept, progress: &Progress) -> Result<(), String> {
        for segment in kept.segments() {
            let verdict = self.0.entry(segment.id).or_insert_with(|| {
                let mut seen = 0;
                segment::check(rows, segment, |_, _| {
                    seen += 1;
                    if seen % CHUNKS_PER_STEP == 0 {
                        progress.step();
                    }
                    Ok(())
                })
                .map_err(|error| match error {
                    StoreError::Damaged { what, .. } => what,
                    other => other.to_string(),
                })
            });
            verdict.clone()?;
        }
        Ok(())
    }
}
