//! The contract of a checkpoint store. Knows no sled: the engine is written against this alone.

use std::collections::BTreeMap;

use crate::{Commit, Entry, Epoch, Manifest, SegmentRef, StoreError};

/// Takes one key and its value; an error ends the read, see [`StoreError::visit`].
pub type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError> + 'a;

/// Keeps commits. All calls block: run them off the async threads. Jobs may write, read and compact at the same
/// time; commits are taken one after the other.
pub trait CheckpointStore: Send + Sync {
    /// The newest commit that is safe, `None` before the first. Survives crashes.
    fn head(&self) -> Result<Option<Commit>, StoreError>;

    /// Writes one segment of `job` for `epoch`. Keys must be unique and rise, else [`StoreError::Unsorted`].
    ///
    /// The segment is not part of anything until a manifest that names it is committed; after a crash before that,
    /// it is gone. A failed call leaves nothing behind.
    fn write_segment(
        &self,
        job: &str,
        epoch: Epoch,
        entries: &mut dyn Iterator<Item = Entry>,
    ) -> Result<SegmentRef, StoreError>;

    /// Makes one commit of these manifests; jobs not named keep the manifest that they have. When it returns `Ok`,
    /// the commit and all its segments survive the loss of power, and effects of the epoch may become visible.
    ///
    /// On an error the epoch may or may not be found after a restart; the same commit may be tried again if the
    /// error says so. Segments that none of the kept commits names are deleted little by little.
    fn commit(&self, jobs: BTreeMap<String, Manifest>) -> Result<Commit, StoreError>;

    /// Visits the newest value of every key in the manifest's segments, in key order, without the deleted ones. Every
    /// chunk's checksum and each segment's rolling hash are checked on the way; values may have been visited
    /// before damage is found, so use them only after `Ok`.
    fn read(&self, manifest: &Manifest, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.read_range(manifest, &[], None, visit)
    }

    /// As [`CheckpointStore::read`], for `from <= key < to` (`to` = `None`: no end). Finds its place by the segments'
    /// indexes, so a small range costs a few chunks per segment. The rolling hash is checked for whole segments only.
    fn read_range(
        &self,
        manifest: &Manifest,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError>;

    /// Merges some neighbouring segments of the manifest into one where that pays, else gives `None`.
    ///
    /// Keys for which `expired` says true are dropped, and tombstones where no older segment remains. The manifest
    /// that comes back holds the same values and takes effect when it is committed; until then the old one stays valid.
    /// Segments that were written meanwhile are to be appended to it by the caller.
    fn compact(
        &self,
        job: &str,
        epoch: Epoch,
        manifest: &Manifest,
        expired: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Option<Manifest>, StoreError>;

    /// Deletes a segment that was written but will never be committed. Of no effect on one that a commit names.
    fn discard(&self, segment: &SegmentRef) -> Result<(), StoreError>;

    /// Makes a commit without this job, so that it starts anew. Of no effect if there is no such job.
    fn forget(&self, job: &str) -> Result<(), StoreError>;
}
