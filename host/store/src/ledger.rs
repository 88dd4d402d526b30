//! Which commits are kept, and which segments are alive, waiting for their commit, or to be deleted. Pure
//! bookkeeping in memory: the disk is the caller's business.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crate::{Commit, Epoch, Manifest, SegmentRef};

/// One commit that can be gone back to.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    pub(crate) epoch: Epoch,
    /// Each job's manifest and the epoch at which it gave it.
    pub(crate) jobs: BTreeMap<String, (Epoch, Arc<Manifest>)>,
}

impl Kept {
    /// All segments that this commit names.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &SegmentRef> {
        self.jobs.values().flat_map(|(_, manifest)| &manifest.segments)
    }

    /// As callers see it.
    pub(crate) fn commit(&self) -> Commit {
        Commit {
            epoch: self.epoch,
            jobs: self.jobs.iter().map(|(job, (_, manifest))| (job.clone(), (**manifest).clone())).collect(),
            manifest_epochs: self.jobs.iter().map(|(job, (epoch, _))| (job.clone(), *epoch)).collect(),
        }
    }
}

/// What falls away when a commit is taken.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outdated {
    /// Commits that are no longer kept.
    pub(crate) commits: Vec<Epoch>,
    /// Manifests that no kept commit names any more.
    pub(crate) manifests: Vec<(String, Epoch)>,
}

/// The books.
#[derive(Debug)]
pub(crate) struct Ledger {
    /// Oldest first.
    kept: VecDeque<Kept>,
    /// Written but in no commit yet, with the job they are for.
    pending: BTreeMap<u64, String>,
    /// To be deleted.
    doomed: VecDeque<u64>,
    next_segment: u64,
    keep: usize,
}

impl Ledger {
    /// Opens the books over the kept commits (oldest first) and the segments that are on disk.
    pub(crate) fn new(kept: Vec<Kept>, on_disk: &[u64], keep: usize) -> Self {
        let kept = VecDeque::from(kept);
        let live = live_ids(kept.iter());
        let next_segment = live.iter().chain(on_disk).max().map_or(1, |id| id + 1);
        let doomed = on_disk.iter().copied().filter(|id| !live.contains(id)).collect();
        // Without the newest there would be nothing to go on from.
        Ledger { kept, pending: BTreeMap::new(), doomed, next_segment, keep: keep.max(1) }
    }

    /// The newest commit.
    pub(crate) fn head(&self) -> Option<&Kept> {
        self.kept.back()
    }

    /// The commits that can be gone back to, oldest first.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &Kept> {
        self.kept.iter()
    }

    /// The number of the next new segment.
    pub(crate) fn next_segment(&self) -> u64 {
        self.next_segment
    }

    /// Gives no number below this one any more.
    pub(crate) fn number_segments_from(&mut self, next: u64) {
        self.next_segment = self.next_segment.max(next);
    }

    /// A number for a new segment of `job`.
    pub(crate) fn begin_segment(&mut self, job: &str) -> u64 {
        let id = self.next_segment;
        self.next_segment += 1;
        self.pending.insert(id, job.to_owned());
        id
    }

    /// Gives up a segment that no commit names; those that one names are left alone.
    pub(crate) fn discard(&mut self, id: u64) {
        if self.pending.remove(&id).is_some() {
            self.doomed.push_back(id);
        }
    }

    /// Gives up all segments of a job that no commit names.
    pub(crate) fn discard_job(&mut self, job: &str) {
        let given_up: Vec<u64> =
            self.pending.iter().filter(|(_, owner)| *owner == job).map(|(id, _)| *id).collect();
        for id in given_up {
            self.discard(id);
        }
    }

    /// The first segment of the manifest that is neither in a kept commit nor waiting for one.
    pub(crate) fn unknown_segment(&self, manifest: &Manifest) -> Option<u64> {
        let live = live_ids(self.kept.iter());
        let known = |id: &u64| live.contains(id) || self.pending.contains_key(id);
        manifest.segments.iter().map(|segment| segment.id).find(|id| !known(id))
    }

    /// The commit after the newest, with these manifests put in and that job left out.
    pub(crate) fn next_commit(&self, manifests: BTreeMap<String, Manifest>, without: Option<&str>) -> Kept {
        let epoch = self.head().map_or(Epoch(0), |head| head.epoch).next();
        let mut jobs = self.head().map(|head| head.jobs.clone()).unwrap_or_default();
        if let Some(job) = without {
            jobs.remove(job);
        }
        for (job, manifest) in manifests {
            jobs.insert(job, (epoch, Arc::new(manifest)));
        }
        Kept { epoch, jobs }
    }

    /// What would fall away if `next` were taken.
    pub(crate) fn outdated_by(&self, next: &Kept) -> Outdated {
        let leaving = (self.kept.len() + 1).saturating_sub(self.keep);
        let staying: BTreeSet<(&String, Epoch)> =
            self.kept.iter().skip(leaving).chain([next]).flat_map(manifest_names).collect();
        let dropped: BTreeSet<(&String, Epoch)> =
            self.kept.iter().take(leaving).flat_map(manifest_names).collect();
        Outdated {
            commits: self.kept.iter().take(leaving).map(|kept| kept.epoch).collect(),
            manifests: dropped.difference(&staying).map(|(job, epoch)| ((*job).clone(), *epoch)).collect(),
        }
    }

    /// Chunks of the segments that `next` is the first commit to name.
    pub(crate) fn fresh_chunks(&self, next: &Kept) -> usize {
        let fresh = next.segments().filter(|segment| self.pending.contains_key(&segment.id));
        fresh.map(|segment| segment.chunks as usize).sum()
    }

    /// Takes `next` as the newest commit; segments that only older ones named are to be deleted.
    pub(crate) fn take(&mut self, next: Kept) {
        for segment in next.segments() {
            self.pending.remove(&segment.id);
        }
        self.kept.push_back(next);
        let leaving = self.kept.len().saturating_sub(self.keep);
        let dropped: Vec<Kept> = self.kept.drain(..leaving).collect();
        let live = live_ids(self.kept.iter());
        self.doomed.extend(live_ids(dropped.iter()).difference(&live));
    }

    /// The next segment to delete.
    pub(crate) fn doomed(&self) -> Option<u64> {
        self.doomed.front().copied()
    }

    /// The segment is deleted.
    pub(crate) fn buried(&mut self, id: u64) {
        self.doomed.retain(|doomed| *doomed != id);
    }

    /// Bytes of all segments that kept commits name.
    pub(crate) fn live_bytes(&self) -> u64 {
        let by_id: BTreeMap<u64, u64> =
            self.kept.iter().flat_map(Kept::segments).map(|segment| (segment.id, segment.bytes)).collect();
        by_id.values().sum()
    }
}

fn manifest_names(kept: &Kept) -> impl Iterator<Item = (&String, Epoch)> {
    kept.jobs.iter().map(|(job, (epoch, _))| (job, *epoch))
}

fn live_ids<'a>(kept: impl Iterator<Item = &'a Kept>) -> BTreeSet<u64> {
    kept.flat_map(Kept::segments).map(|segment| segment.id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(ids: &[u64]) -> Manifest {
        let segment = |id: &u64| SegmentRef {
            id: *id,
            epoch: Epoch(1),
            entries: 1,
            tombstones: 0,
            bytes: 10,
            chunks: 1,
            index_chunks: 1,
            hash: 0,
        };
        Manifest { format: 1, segments: ids.iter().map(segment).collect(), body: serde_json::Value::Null }
    }

    fn take(ledger: &mut Ledger, job: &str, ids: &[u64]) -> Outdated {
        let next = ledger.next_commit(BTreeMap::from([(job.to_owned(), manifest(ids))]), None);
        let outdated = ledger.outdated_by(&next);
        ledger.take(next);
        outdated
    }

    #[test]
    fn a_segment_dies_with_the_last_kept_commit_that_names_it() {
        let mut ledger = Ledger::new(Vec::new(), &[], 2);
        let ids: Vec<u64> = (0..4).map(|_| ledger.begin_segment("a")).collect();
        assert_eq!(ids, [1, 2, 3, 4]);
        assert_eq!(take(&mut ledger, "a", &[1]), Outdated::default());
        assert_eq!(take(&mut ledger, "a", &[1, 2]), Outdated::default());
        let outdated = take(&mut ledger, "a", &[3]);
        assert_eq!(outdated.commits, [Epoch(1)]);
        assert_eq!(outdated.manifests, [("a".to_owned(), Epoch(1))]);
        assert_eq!(ledger.doomed(), None);
        assert_eq!(ledger.live_bytes(), 30);
        take(&mut ledger, "b", &[4]);
        assert_eq!(ledger.doomed, [1, 2]);
        assert_eq!(ledger.unknown_segment(&manifest(&[3, 4])), None);
        assert_eq!(ledger.unknown_segment(&manifest(&[3, 1])), Some(1));
    }

    #[test]
    fn a_job_that_missed_keeps_its_manifest_as_long_as_it_is_the_newest() {
        let mut ledger = Ledger::new(Vec::new(), &[], 1);
        let lasting = ledger.begin_segment("slow");
        take(&mut ledger, "slow", &[lasting]);
        for _ in 0..3 {
            let outdated = take(&mut ledger, "quick", &[]);
            assert!(outdated.manifests.iter().all(|(job, _)| job == "quick"));
        }
        let head = ledger.head().expect("four commits");
        assert_eq!((head.epoch, head.jobs["slow"].0), (Epoch(4), Epoch(1)));
        let without = ledger.next_commit(BTreeMap::new(), Some("slow"));
        ledger.take(without);
        assert_eq!(ledger.doomed(), Some(lasting));
    }

    #[test]
    fn what_is_on_disk_without_a_commit_is_doomed() {
        let ledger = Ledger::new(Vec::new(), &[4, 9], 3);
        assert_eq!((ledger.doomed.len(), ledger.next_segment), (2, 10));
    }
}
