//! The nouns of the store: epochs, entries, segments, manifests, commits. Values only: no I/O, no sled.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// The number of a commit. The first is 1; each commit's is one above the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl Epoch {
    /// The epoch of the commit after this one.
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One key of a segment with its value, or the word that it has none any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Memcomparable: the store orders keys as bytes and knows nothing else of them.
    pub key: Bytes,
    /// `None` is a tombstone: it hides the values that older segments have for this key.
    pub value: Option<Bytes>,
}

/// One immutable segment, as a manifest names it. Made by [`crate::CheckpointStore::write_segment`] only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentRef {
    /// Unique in the store's folder, never used again while anything of it is on disk.
    pub id: u64,
    /// The epoch it was written for.
    pub epoch: Epoch,
    /// Keys in it, tombstones included.
    pub entries: u64,
    /// Tombstones in it.
    pub tombstones: u64,
    /// Bytes of all its chunks, index included, before sled's own overhead.
    pub bytes: u64,
    /// Chunks that hold entries.
    pub chunks: u32,
    /// Chunks that hold the index of first keys.
    pub index_chunks: u32,
    /// Rolling hash: CRC-32 over the checksums of all chunks of entries, in order.
    pub hash: u32,
}

impl SegmentRef {
    /// Whether it holds no entry: such a segment may be left out of the manifest.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }
}

/// What a job says of itself at a barrier: its segments, and what only the engine understands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Version of `body` and of the entries' bytes, the engine's to judge.
    pub format: u32,
    /// The job's live segments, oldest first: where two hold the same key, the later one counts.
    pub segments: Vec<SegmentRef>,
    /// Positions, watermarks, tokens of sinks, plan hash, expiry floor: opaque here.
    pub body: serde_json::Value,
}

/// An atomic record of every job's newest manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Commit {
    /// Number of this commit.
    pub epoch: Epoch,
    /// Each job's manifest: of this epoch, or of an older one where the job missed the barrier.
    pub jobs: BTreeMap<String, Manifest>,
    /// The epoch at which each job of `jobs` last gave a manifest.
    pub manifest_epochs: BTreeMap<String, Epoch>,
}
