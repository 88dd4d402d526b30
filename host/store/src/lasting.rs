//! A store that outlives failures of the disk: sled does nothing more after the first one, so it is closed and opened
//! again, with all the checks of a start, when it is asked for the next time. A full disk has room again some time.
//!
//! Knows when to open; must not know what is in the folder.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::checkpoint::{CheckpointStore, Visit};
use crate::{Commit, Entry, Epoch, Manifest, SegmentRef, SledStore, StoreError, StoreOptions};

/// A [`SledStore`] that is opened again after the disk has failed.
pub struct LastingStore {
    folder: PathBuf,
    options: StoreOptions,
    current: Mutex<Current>,
}

struct Current {
    /// `None` as long as it cannot be opened again.
    store: Option<Arc<SledStore>>,
    /// Numbers below it have been given to segments, also to such as were lost with the failure.
    next_segment: u64,
}

impl LastingStore {
    /// Opens the folder as [`SledStore::open`] does.
    pub fn open(folder: &Path, options: StoreOptions) -> Result<Self, StoreError> {
        let store = Some(Arc::new(SledStore::open(folder, options.clone())?));
        // What was accepted at the start is not accepted unasked later.
        let options = StoreOptions { accept_older: false, ..options };
        Ok(LastingStore {
            folder: folder.to_path_buf(),
            options,
            current: Mutex::new(Current { store, next_segment: 0 }),
        })
    }

    /// Leaves a mark of the newest commit as [`SledStore::leave_mark`] does.
    pub fn leave_mark(&self, at: &Path) -> Result<(), StoreError> {
        self.store()?.leave_mark(at)
    }

    /// What an error comes from: a segment that was given out before the last failure is in no commit since.
    fn told(&self, error: StoreError) -> StoreError {
        let next_segment = self.current.lock().unwrap_or_else(PoisonError::into_inner).next_segment;
        match error {
            StoreError::UnknownSegment { job, id } if id < next_segment => {
                StoreError::Lost { folder: self.folder.clone(), job, id }
            }
            other => other,
        }
    }

    fn store(&self) -> Result<Arc<SledStore>, StoreError> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = current.store.take() {
            let failure = store.disk_failure();
            // Whoever still reads or writes is told of the failure soon, and the folder is free then.
            if let Some(error) = failure.filter(|_| Arc::strong_count(&store) == 1) {
                current.next_segment = store.next_segment();
                close(store, &error);
            } else {
                current.store = Some(store.clone());
                return store.disk_failure().map_or(Ok(store), Err);
            }
        }
        let store = SledStore::open(&self.folder, self.options.clone())?;
        store.number_segments_from(current.next_segment);
        tracing::info!(folder = %self.folder.display(), "the state is open again");
        let store = Arc::new(store);
        current.store = Some(store.clone());
        Ok(store)
    }
}

fn close(store: Arc<SledStore>, failure: &StoreError) {
    tracing::warn!(%failure, "closing the state to open it again");
    // sled panics where the last sync fails too; what was to be synced is not relied on.
    if catch_unwind(AssertUnwindSafe(|| drop(store))).is_err() {
        tracing::warn!("the disk failed again while the state was closed");
    }
}

impl CheckpointStore for LastingStore {
    fn head(&self) -> Result<Option<Commit>, StoreError> {
        self.store()?.head()
    }

    fn write_segment(
        &self,
        job: &str,
        epoch: Epoch,
        entries: &mut dyn Iterator<Item = Entry>,
    ) -> Result<SegmentRef, StoreError> {
        self.store()?.write_segment(job, epoch, entries)
    }

    fn commit(&self, jobs: BTreeMap<String, Manifest>) -> Result<Commit, StoreError> {
        self.store()?.commit(jobs).map_err(|error| self.told(error))
    }

    fn read_range(
        &self,
        manifest: &Manifest,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        self.store()?.read_range(manifest, from, to, visit)
    }

    fn compact(
        &self,
        job: &str,
        epoch: Epoch,
        manifest: &Manifest,
        expired: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Option<Manifest>, StoreError> {
        self.store()?.compact(job, epoch, manifest, expired)
    }

    fn discard(&self, segment: &SegmentRef) -> Result<(), StoreError> {
        self.store()?.discard(segment)
    }

    fn forget(&self, job: &str) -> Result<(), StoreError> {
        self.store()?.forget(job)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn segment(store: &LastingStore, value: &[u8]) -> Result<SegmentRef, StoreError> {
        let value = Some(Bytes::copy_from_slice(value));
        let entry = Entry { key: Bytes::from_static(b"k"), value };
        store.write_segment("j", Epoch(1), &mut std::iter::once(entry))
    }

    fn commit(store: &LastingStore, segment: &SegmentRef) -> Result<Commit, StoreError> {
        let manifest = Manifest { format: 1, segments: vec![segment.clone()], body: serde_json::json!({}) };
        store.commit(BTreeMap::from([("j".to_owned(), manifest)]))
    }

    #[test]
    fn after_a_failure_of_the_disk_it_goes_on_from_the_last_commit() {
        let folder = tempfile::tempdir().unwrap();
        let store = LastingStore::open(folder.path(), StoreOptions::default()).unwrap();
        let first = commit(&store, &segment(&store, b"1").unwrap()).unwrap();
        let lost = segment(&store, b"2").unwrap();
        let in_use = store.store().unwrap();
        in_use.fail_disk();
        assert!(commit(&store, &lost).unwrap_err().to_string().contains("disk"), "somebody still uses it");
        drop(in_use);
        let head = store.head().unwrap().unwrap();
        assert_eq!(head.epoch, first.epoch);
        let error = commit(&store, &lost).unwrap_err();
        assert_eq!(error.fault(), weir_event::Fault::External, "{error}");
        assert!(error.to_string().contains("was lost when the disk failed"), "it is in no commit: {error}");
        let again = segment(&store, b"3").unwrap();
        assert!(again.id > lost.id, "a number means one segment for ever");
        let never = SegmentRef { id: again.id + 1, ..again.clone() };
        assert!(
            matches!(commit(&store, &never), Err(StoreError::UnknownSegment { .. })),
            "nobody gave it out"
        );
        let second = commit(&store, &again).unwrap();
        let mut read = Vec::new();
        let manifest = &second.jobs["j"];
        let mut keep = |_: &[u8], value: &[u8]| {
            read.push(value.to_vec());
            Ok(())
        };
        store.read(manifest, &mut keep).unwrap();
        assert_eq!(read, [b"3"]);
    }
}
