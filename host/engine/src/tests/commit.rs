//! Who goes on from a checkpoint, and from which.

use super::harness::{World, plan};
use super::waiting::moment;
use crate::checkpoint::Committer;
use crate::manifest::Body;
use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Condvar, Mutex};
use weir_plan::JobPlan;
use weir_store::{CheckpointStore, Commit, Entry, Epoch, Manifest, SegmentRef, SledStore, StoreError};

/// Where a thread waits while it is closed.
#[derive(Default)]
struct Gate {
    is_closed: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn close(&self) {
        *self.is_closed.lock().unwrap() = true;
    }

    fn open(&self) {
        *self.is_closed.lock().unwrap() = false;
        self.opened.notify_all();
    }

    fn pass(&self) {
        drop(self.opened.wait_while(self.is_closed.lock().unwrap(), |is_closed| *is_closed).unwrap());
    }
}

/// A store whose disk takes as long as a test wants.
struct Slow {
    store: Arc<SledStore>,
    commits: Arc<Gate>,
    merges: Arc<Gate>,
}

impl Slow {
    fn new(store: Arc<SledStore>) -> Slow {
        Slow { store, commits: Arc::default(), merges: Arc::default() }
    }
}

/// Whether something is not done though it was given some moments.
async fn is_held<F: Future + Unpin>(work: &mut F) -> bool {
    for _ in 0..20 {
        if futures_util::poll!(&mut *work).is_ready() {
            return false;
        }
        moment().await;
    }
    true
}

impl CheckpointStore for Slow {
    fn head(&self) -> Result<Option<Commit>, StoreError> {
        self.store.head()
    }

    fn write_segment(
        &self,
        job: &str,
        epoch: Epoch,
        entries: &mut dyn Iterator<Item = Entry>,
    ) -> Result<SegmentRef, StoreError> {
        self.store.write_segment(job, epoch, entries)
    }

    fn commit(&self, jobs: BTreeMap<String, Manifest>) -> Result<Commit, StoreError> {
        self.commits.pass();
        self.store.commit(jobs)
    }

    fn read_range(
        &self,
        manifest: &Manifest,
        from: &[u8],
        to: Option<&[u8]>,
        visit: &mut weir_store::Visit<'_>,
    ) -> Result<(), StoreError> {
        self.store.read_range(manifest, from, to, visit)
    }

    fn compact(
        &self,
        job: &str,
        epoch: Epoch,
        manifest: &Manifest,
        expired: &dyn Fn(&[u8]) -> bool,
    ) -> Result<Option<Manifest>, StoreError> {
        self.merges.pass();
        self.store.compact(job, epoch, manifest, expired)
    }

    fn discard(&self, segment: &SegmentRef) -> Result<(), StoreError> {
        self.store.discard(segment)
    }

    fn forget(&self, job: &str) -> Result<(), StoreError> {
        self.store.forget(job)
    }
}

/// The state of a later attempt must not be that of an older checkpoint with the segments of a newer one.
#[tokio::test]
async fn an_attempt_looks_where_to_go_on_when_nothing_is_on_its_way_any_more() {
    let world = World::new();
    let slow = Slow::new(world.store.clone());
    let commits = slow.commits.clone();
    let committer = Committer::start(Arc::new(slow)).unwrap();
    let plan = Arc::new(plan());
    let body = Body { checkpoint: 7, ..Body::first(&plan) };
    let cpu = weir_connect::CpuTime::default();
    commits.close();
    {
        // The attempt is gone before it hears of its checkpoint.
        let mut handed_in = pin!(committer.commit(&plan, body, Box::new(std::iter::empty()), &cpu));
        assert!(is_held(&mut handed_in).await);
    }
    let mut settled = pin!(committer.settle());
    assert!(is_held(&mut settled).await);
    assert!(world.store.head().unwrap().is_none());
    commits.open();
    settled.await;
    let head = world.store.head().unwrap().unwrap();
    assert_eq!(Body::read(&plan, &head.jobs["counts"]).unwrap().checkpoint, 7);
}

/// Commits the next checkpoint of a job, which changes some entries.
async fn change(committer: &Committer, plan: &Arc<JobPlan>, checkpoint: u64, entries: Vec<Entry>) {
    let body = Body { checkpoint, ..Body::first(plan) };
    let cpu = weir_connect::CpuTime::default();
    let committed = committer.commit(plan, body, Box::new(entries.into_iter()), &cpu);
    committed.await.unwrap();
}

/// The entries that a store has of a job.
fn entries(store: &SledStore, job: &str) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut found = BTreeMap::new();
    let head = store.head().unwrap().unwrap();
    if let Some(manifest) = head.jobs.get(job) {
        let mut visit = |key: &[u8], value: &[u8]| {
            found.insert(key.to_vec(), value.to_vec());
            Ok(())
        };
        store.read(manifest, &mut visit).unwrap();
    }
    found
}

#[tokio::test]
async fn commits_go_on_while_segments_are_merged_and_nothing_is_lost() {
    let world = World::new();
    let slow = Slow::new(world.store.clone());
    let merges = slow.merges.clone();
    let committer = Committer::start(Arc::new(slow)).unwrap();
    let plan = Arc::new(plan());
    let segments = || world.store.head().unwrap().unwrap().jobs["counts"].segments.len();
    let mut model = BTreeMap::new();
    merges.close();
    for checkpoint in 1..=1000_u64 {
        if checkpoint == 30 {
            assert!(segments() > 20, "nothing could be merged");
            merges.open();
        }
        let key = format!("0{}", checkpoint % 7).into_bytes();
        let value = (checkpoint % 5 > 0).then(|| checkpoint.to_be_bytes().to_vec());
        match &value {
            Some(value) => drop(model.insert(key.clone(), value.clone())),
            None => drop(model.remove(&key)),
        }
        change(&committer, &plan, checkpoint, vec![Entry { key: key.into(), value: value.map(Into::into) }])
            .await;
        assert_eq!(entries(&world.store, "counts"), model, "after {checkpoint}");
        if checkpoint >= 60 && segments() < 20 {
            return;
        }
    }
    panic!("{} segments are left", segments());
}

#[tokio::test]
async fn a_job_that_is_dropped_while_its_segments_are_merged_starts_anew() {
    let world = World::new();
    let slow = Slow::new(world.store.clone());
    let merges = slow.merges.clone();
    let committer = Committer::start(Arc::new(slow)).unwrap();
    let plan = Arc::new(plan());
    let entry = |number: u64| Entry { key: vec![b'0', number as u8].into(), value: Some(vec![1].into()) };
    merges.close();
    for checkpoint in 1..10 {
        change(&committer, &plan, checkpoint, vec![entry(checkpoint)]).await;
    }
    let mut forgotten = pin!(committer.forget("counts"));
    assert!(is_held(&mut forgotten).await, "a segment that is being written cannot be discarded");
    merges.open();
    forgotten.await.unwrap();
    assert!(entries(&world.store, "counts").is_empty());
    for checkpoint in 1..10 {
        change(&committer, &plan, checkpoint, vec![entry(20 + checkpoint)]).await;
    }
    assert_eq!(entries(&world.store, "counts").len(), 9);
}

#[tokio::test]
async fn what_takes_the_place_of_a_state_is_all_of_it_though_segments_are_being_merged() {
    let world = World::new();
    let slow = Slow::new(world.store.clone());
    let merges = slow.merges.clone();
    let committer = Committer::start(Arc::new(slow)).unwrap();
    let plan = Arc::new(plan());
    let entry = |number: u64| Entry { key: vec![b'0', number as u8].into(), value: Some(vec![1].into()) };
    merges.close();
    for checkpoint in 1..10 {
        change(&committer, &plan, checkpoint, vec![entry(checkpoint)]).await;
    }
    let body = Body { checkpoint: 10, ..Body::first(&plan) };
    let all = Box::new([entry(3), entry(77)].into_iter());
    committer.replace(&plan, body, all, &weir_connect::CpuTime::default()).await.unwrap();
    let numbers = || entries(&world.store, "counts").into_keys().map(|key| key[1]).collect::<Vec<u8>>();
    assert_eq!(numbers(), [3, 77]);
    merges.open();
    for checkpoint in 11..60 {
        change(&committer, &plan, checkpoint, vec![entry(checkpoint)]).await;
        let expected: Vec<u8> = [3].into_iter().chain(11..=checkpoint as u8).chain([77]).collect();
        assert_eq!(numbers(), expected);
    }
}
