//! The store over sled: the order in which things are written and synced. Bytes, books and the start are elsewhere.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::checkpoint::{CheckpointStore, Visit};
use crate::index::Index;
use crate::ledger::{Kept, Ledger};
use crate::mark::{self, Mark};
use crate::record::{self, Name};
use crate::rows::{Change, Rows};
use crate::segment::{self, Cursor, SegmentWriter};
use crate::{
    Commit, Entry, Epoch, Manifest, SegmentRef, StoreError, StoreOptions, files, merge, open, rebuild, tier,
};

/// At least so many chunks of dead segments are deleted after a commit, in all 4 MiB: some ten milliseconds.
const SWEEP_CHUNKS: usize = 1024;

/// A [`CheckpointStore`] in a folder, held by this process alone.
///
/// Opening checks every chunk of the newest commit, so damage is found before anything runs. Deleting is done after
/// commits, a few megabytes each time.
pub struct SledStore {
    folder: PathBuf,
    id: String,
    rows: Rows,
    ledger: Mutex<Ledger>,
    indexes: Mutex<HashMap<u64, Arc<Index>>>,
    /// Held by whoever commits or sweeps: one at a time.
    turn: Mutex<()>,
    /// Held by whoever leaves a mark: several may be told to leave the same one.
    marking: Mutex<()>,
    _lock: File,
}

/// The books stay whole whatever panics: every change to them is one call that ends before anything else can fail.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl SledStore {
    /// Opens the folder, makes it if it is not there, and checks what is in it.
    ///
    /// Errors: [`StoreError::Locked`], [`StoreError::Folder`], [`StoreError::NewerFormat`],
    /// [`StoreError::DamagedHead`], [`StoreError::BehindWitness`], [`StoreError::OtherState`], [`StoreError::Stalled`],
    /// [`StoreError::Damaged`].
    pub fn open(folder: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let open::Opened { rows, ledger, id, lock } = open::open(folder, &options)?;
        let live = rows.folder().file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Err(error) = files::remove_other_generations(folder, live) {
            tracing::warn!(%error, "an old state folder could not be removed; the next start tries again");
        }
        Ok(SledStore {
            folder: folder.to_path_buf(),
            id,
            rows,
            ledger: Mutex::new(ledger),
            indexes: Mutex::default(),
            marking: Mutex::default(),
            turn: Mutex::default(),
            _lock: lock,
        })
    }

    /// The epochs of all commits that can be gone back to, oldest first.
    pub fn kept_epochs(&self) -> Vec<Epoch> {
        held(&self.ledger).kept().map(|kept| kept.epoch).collect()
    }

    /// How the disk has failed, if it has: then every further call fails.
    pub(crate) fn disk_failure(&self) -> Option<StoreError> {
        self.rows.disk_failure()
    }

    pub(crate) fn next_segment(&self) -> u64 {
        held(&self.ledger).next_segment()
    }

    pub(crate) fn number_segments_from(&self, next: u64) {
        held(&self.ledger).number_segments_from(next);
    }

    /// Leaves a mark of the newest commit in a file outside the folder, in place of an older one; none before the first
    /// commit, nor where the folder for it is not there.
    ///
    /// Errors: [`StoreError::Io`].
    pub fn leave_mark(&self, at: &Path) -> Result<(), StoreError> {
        let _alone = held(&self.marking);
        let epoch = held(&self.ledger).head().map(|head| head.epoch);
        epoch.map_or(Ok(()), |epoch| mark::write(at, &Mark { id: self.id.clone(), epoch }))
    }

    fn index(&self, segment: &SegmentRef) -> Result<Arc<Index>, StoreError> {
        if let Some(index) = held(&self.indexes).get(&segment.id) {
            return Ok(Arc::clone(index));
        }
        let index = Arc::new(segment::read_index(&self.rows, segment)?);
        held(&self.indexes).insert(segment.id, Arc::clone(&index));
        Ok(index)
    }

    fn cursors<'a>(&'a self, segments: &'a [SegmentRef], from: &[u8]) -> Result<Vec<Cursor<'a>>, StoreError> {
        let place = |segment| {
            let number = if from.is_empty() { 0 } else { self.index(segment)?.seek(from) };
            Cursor::new(&self.rows, segment, number)
        };
        segments.iter().filter(|segment| !segment.is_empty()).map(place).collect()
    }

    /// Writes a segment by `fill`; a failure leaves it to the sweeper.
    fn new_segment(
        &self,
        job: &str,
        epoch: Epoch,
        fill: impl FnOnce(&mut SegmentWriter<'_>) -> Result<(), StoreError>,
    ) -> Result<SegmentRef, StoreError> {
        let id = held(&self.ledger).begin_segment(job);
        let mut writer = SegmentWriter::new(&self.rows, id);
        let written = fill(&mut writer).and_then(|()| writer.finish(epoch));
        if written.is_err() {
            held(&self.ledger).discard(id);
        }
        written
    }

    /// Steps 2 to 4 of the protocol; the caller holds its turn.
    fn make_safe(&self, next: Kept) -> Result<Commit, StoreError> {
        self.rows.sync()?;
        self.rows.change_records(self.commit_changes(&next)?)?;
        self.rows.sync()?;
        files::write_witness(&self.folder, next.epoch)?;
        let commit = next.commit();
        held(&self.ledger).take(next);
        Ok(commit)
    }

    fn commit_changes(&self, next: &Kept) -> Result<Vec<Change>, StoreError> {
        let outdated = held(&self.ledger).outdated_by(next);
        let mut changes = Vec::new();
        for epoch in outdated.commits {
            changes.extend(record::remove(&self.rows, &Name::Commit(epoch))?);
        }
        for (job, epoch) in outdated.manifests {
            changes.extend(record::remove(&self.rows, &Name::Manifest(job, epoch))?);
        }
        for (job, (epoch, manifest)) in &next.jobs {
            if *epoch == next.epoch {
                changes.extend(record::put_manifest(job, *epoch, manifest)?);
            }
        }
        changes.extend(rebuild::head_changes(next)?);
        Ok(changes)
    }

    /// Deletes up to `limit` chunks of dead segments; the caller holds its turn. The commit before it is safe whatever
    /// happens here, so a failure is only logged, and shows again at the next call.
    fn sweep(&self, mut limit: usize) {
        while limit > 0 {
            let Some(id) = held(&self.ledger).doomed() else { return };
            match self.rows.remove_chunks(id, limit) {
                Ok(removed) if removed < limit => {
                    limit -= removed;
                    held(&self.ledger).buried(id);
                    held(&self.indexes).remove(&id);
                }
                Ok(_) => return,
                Err(error) => {
                    tracing::warn!(%error, segment = id, "a dead segment could not be deleted");
                    return;
                }
            }
        }
    }
}

impl CheckpointStore for SledStore {
    fn head(&self) -> Result<Option<Commit>, StoreError> {
        Ok(held(&self.ledger).head().map(Kept::commit))
    }

    fn write_segment(
        &self,
        job: &str,
        epoch: Epoch,
        entries: &mut dyn Iterator<Item = Entry>,
    ) -> Result<SegmentRef, StoreError> {
        self.new_segment(job, epoch, |writer| {
            for entry in entries {
                if !writer.accepts(&entry.key) {
                    return Err(StoreError::Unsorted { job: job.to_owned(), at: writer.entries() });
                }
                writer.push(&entry.key, entry.value.as_deref())?;
            }
            Ok(())
        })
    }

    fn commit(&self, jobs: BTreeMap<String, Manifest>) -> Result<Commit, StoreError> {
        let _turn = held(&self.turn);
        let (next, limit) = {
            let ledger = held(&self.ledger);
            for (job, manifest) in &jobs {
                if let Some(id) = ledger.unknown_segment(manifest) {
                    return Err(StoreError::UnknownSegment { job: job.clone(), id });
                }
            }
            let next = ledger.next_commit(jobs, None);
            // Twice what comes in, so that deleting never falls behind.
            let limit = SWEEP_CHUNKS.max(2 * ledger.fresh_chunks(&next));
            (next, limit)
        };
        let commit = self.make_safe(next)?;
        self.sweep(limit);
        Ok(commit)
    }

    fn read_range(
        &self,
        manifest: &Manifest,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let cursors = self.cursors(&manifest.segments, from)?;
        merge::newest(cursors, from, |key, value| {
            if to.is_some_and(|to| key >= to) {
                return Ok(false);
            }
            value.map_or(Ok(()), |value| visit(key, value))?;
            Ok(true)
        })
    }

    fn compact(
        &self,
        job: &str,
        epoch: Epoch,
        manifest: &Manifest,
        expired: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Option<Manifest>, StoreError> {
        let sizes: Vec<u64> = manifest.segments.iter().map(|segment| segment.bytes).collect();
        let Some(run) = tier::choose(&sizes) else { return Ok(None) };
        let oldest = run.start == 0;
        let cursors = self.cursors(&manifest.segments[run.clone()], &[])?;
        let merged = self.new_segment(job, epoch, |writer| {
            merge::newest(cursors, &[], |key, value| {
                if !(expired(key) || oldest && value.is_none()) {
                    writer.push(key, value)?;
                }
                Ok(true)
            })
        })?;
        let mut compacted = manifest.clone();
        if merged.is_empty() {
            self.discard(&merged)?;
            compacted.segments.drain(run);
        } else {
            compacted.segments.splice(run, [merged]);
        }
        Ok(Some(compacted))
    }

    fn discard(&self, segment: &SegmentRef) -> Result<(), StoreError> {
        held(&self.ledger).discard(segment.id);
        Ok(())
    }

    fn forget(&self, job: &str) -> Result<(), StoreError> {
        let _turn = held(&self.turn);
        let next = {
            let mut ledger = held(&self.ledger);
            ledger.discard_job(job);
            if !ledger.head().is_some_and(|head| head.jobs.contains_key(job)) {
                return Ok(());
            }
            ledger.next_commit(BTreeMap::new(), Some(job))
        };
        self.make_safe(next)?;
        self.sweep(SWEEP_CHUNKS);
        Ok(())
    }
}

#[cfg(test)]
impl SledStore {
    /// As if the disk had failed.
    pub(crate) fn fail_disk(&self) {
        self.rows.fail_disk();
    }

    /// Bytes of all its files.
    pub(crate) fn disk_bytes(&self) -> u64 {
        files::tree_bytes(&self.folder).expect("listed")
    }

    /// Bytes of the segments that the kept commits name.
    pub(crate) fn live_bytes(&self) -> u64 {
        held(&self.ledger).live_bytes()
    }

    /// Chunks of a segment that are on disk.
    pub(crate) fn rows_of(&self, segment: u64) -> Vec<u32> {
        let chunks = self.rows.chunks(segment, 0, u32::MAX);
        chunks.map(|found| found.expect("readable").0.number).collect()
    }

    /// Rows of records of any kind.
    pub(crate) fn record_count(&self) -> usize {
        self.rows.records(&[]).expect("readable").len()
    }

    /// Puts something else in place of a chunk.
    pub(crate) fn spoil(&self, segment: u64, number: u32) {
        let address = crate::chunk::Address { segment, number };
        self.rows.put_chunks(vec![(address, b"spoiled".to_vec())]).expect("put");
    }
}
