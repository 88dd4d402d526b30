//! Tests of the store as its callers see it: on real folders, with damage done to them.

mod damage;
mod model;
mod store;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::{
    CheckpointStore, Commit, Entry, Epoch, Manifest, SegmentRef, SledStore, StoreError, StoreOptions,
};

pub(super) fn options() -> StoreOptions {
    StoreOptions { patience: Duration::from_secs(20), ..StoreOptions::default() }
}

pub(super) fn open(folder: &Path) -> SledStore {
    SledStore::open(folder, options()).expect("a whole folder opens")
}

/// The error of an open that must fail.
pub(super) fn refused(folder: &Path, options: StoreOptions) -> StoreError {
    match SledStore::open(folder, options) {
        Ok(_) => panic!("it opened"),
        Err(error) => error,
    }
}

pub(super) fn put(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Entry {
    Entry { key: key.into().into(), value: Some(value.into().into()) }
}

pub(super) fn gone(key: impl Into<Vec<u8>>) -> Entry {
    Entry { key: key.into().into(), value: None }
}

pub(super) fn write(store: &SledStore, job: &str, entries: Vec<Entry>) -> SegmentRef {
    let epoch = store.head().expect("head").map_or(Epoch(1), |commit| commit.epoch.next());
    store.write_segment(job, epoch, &mut entries.into_iter()).expect("a segment is written")
}

pub(super) fn manifest(segments: Vec<SegmentRef>) -> Manifest {
    Manifest { format: 1, segments, body: serde_json::json!({"positions": {"0": 17}}) }
}

pub(super) fn commit(store: &SledStore, job: &str, segments: Vec<SegmentRef>) -> Commit {
    store.commit(BTreeMap::from([(job.to_owned(), manifest(segments))])).expect("a commit is taken")
}

pub(super) type Content = BTreeMap<Vec<u8>, Vec<u8>>;

pub(super) fn try_content(store: &SledStore, manifest: &Manifest) -> Result<Content, StoreError> {
    let mut content = Content::new();
    store.read(manifest, &mut |key, value| {
        assert!(content.last_key_value().is_none_or(|(last, _)| last.as_slice() < key), "keys rise");
        content.insert(key.to_vec(), value.to_vec());
        Ok(())
    })?;
    Ok(content)
}

pub(super) fn content(store: &SledStore, manifest: &Manifest) -> Content {
    try_content(store, manifest).expect("readable")
}

/// What the newest commit holds of a job.
pub(super) fn committed(store: &SledStore, job: &str) -> Content {
    let head = store.head().expect("head").expect("a commit");
    content(store, &head.jobs[job])
}

/// A value that no compression or page layout makes regular.
pub(super) fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}
