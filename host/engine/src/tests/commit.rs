//! Who goes on from a checkpoint, and from which.

use super::harness::{World, plan};
use crate::checkpoint::Committer;
use crate::manifest::Body;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use weir_store::{CheckpointStore, Commit, Entry, Epoch, Manifest, SegmentRef, SledStore, StoreError};

/// A store whose disk takes its time.
struct Slow(Arc<SledStore>);

impl CheckpointStore for Slow {
    fn head(&self) -> Result<Option<Commit>, StoreError> {
        self.0.head()
    }

    fn write_segment(
        &self,
        job: &str,
        epoch: Epoch,
        entries: &mut dyn Iterator<Item = Entry>,
    ) -> Result<SegmentRef, StoreError> {
        self.0.write_segment(job, epoch, entries)
    }

    fn commit(&self, jobs: BTreeMap<String, Manifest>) -> Result<Commit, StoreError> {
        std::thread::sleep(Duration::from_millis(300));
        self.0.commit(jobs)
    }

    fn read_range(
        &self,
        manifest: &Manifest,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut weir_store::Visit<'_>,
    ) -> Result<(), StoreError> {
        self.0.read_range(manifest, from, to, visit)
    }

    fn compact(
        &self,
        job: &str,
        epoch: Epoch,
        manifest: &Manifest,
        expired: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Option<Manifest>, StoreError> {
        self.0.compact(job, epoch, manifest, expired)
    }

    fn discard(&self, segment: &SegmentRef) -> Result<(), StoreError> {
        self.0.discard(segment)
    }

    fn forget(&self, job: &str) -> Result<(), StoreError> {
        self.0.forget(job)
    }

    fn disk_bytes(&self) -> Result<u64, StoreError> {
        self.0.disk_bytes()
    }

    fn live_bytes(&self) -> u64 {
        self.0.live_bytes()
    }
}

/// The state of a later attempt must not be that of an older checkpoint with the segments of a newer one.
#[tokio::test]
async fn an_attempt_looks_where_to_go_on_when_nothing_is_on_its_way_any_more() {
    let world = World::new();
    let committer = Committer::start(Arc::new(Slow(world.store.clone()))).unwrap();
    let plan = Arc::new(plan());
    let body = Body { checkpoint: 7, ..Body::first(&plan) };
    let cpu = weir_connect::CpuTime::default();
    let handed_in = committer.commit(&plan, body, Box::new(std::iter::empty()), &cpu);
    // The attempt is gone before it hears of its checkpoint.
    assert!(tokio::time::timeout(Duration::from_millis(50), handed_in).await.is_err());
    assert!(world.store.head().unwrap().is_none());
    committer.settle().await;
    let head = world.store.head().unwrap().unwrap();
    assert_eq!(Body::read(&plan, &head.jobs["counts"]).unwrap().checkpoint, 7);
}
