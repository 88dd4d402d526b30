//! A shard's state: the timelines of a range of key groups, in segments with a lock each.
//!
//! The writer holds one segment at a time; a lookup copies states out under the read lock and finishes them
//! outside.

use crate::entries::Entries;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use weir_core::intake::route::{SEGMENTS, segment_of, shard_of};
use weir_core::keyed::views::has_views;
use weir_core::stored::{parse_entry_key, put_entry_key};
use weir_event::{EventTime, key_hash};
use weir_plan::KeyedStage;
use weir_timeline::{DecodeError, SpecError, Stats, Timelines};

/// All shards of a job.
pub(crate) struct Shards {
    shards: Vec<Vec<RwLock<Timelines>>>,
}

impl std::fmt::Debug for Shards {
    /// Their number: what they hold is for lookups.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Shards({})", self.shards.len())
    }
}

impl Shards {
    /// Empty timelines; `gives_results` says whether anybody wants results beside lookups.
    pub(crate) fn new(stage: &KeyedStage, shards: usize, gives_results: bool) -> Result<Shards, SpecError> {
        let timelines = || {
            let timelines = Timelines::new(stage.spec.clone())?;
            let timelines = if has_views(stage) { timelines.with_list_views() } else { timelines };
            Ok(if gives_results { timelines } else { timelines.without_results() })
        };
        let segment = || timelines().map(RwLock::new);
        let shard = || (0..SEGMENTS).map(|_| segment()).collect::<Result<Vec<_>, _>>();
        Ok(Shards { shards: (0..shards).map(|_| shard()).collect::<Result<_, _>>()? })
    }

    pub(crate) fn write(&self, shard: usize, segment: usize) -> RwLockWriteGuard<'_, Timelines> {
        self.shards[shard][segment].write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The segment that holds a key, to read.
    pub(crate) fn of_key(&self, hash: u64) -> RwLockReadGuard<'_, Timelines> {
        self.read(shard_of(hash, self.shards.len()), segment_of(hash))
    }

    pub(crate) fn read(&self, shard: usize, segment: usize) -> RwLockReadGuard<'_, Timelines> {
        self.shards[shard][segment].read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.len()
    }

    /// Sizes of all timelines together.
    pub(crate) fn stats(&self) -> Stats {
        let mut total = Stats::default();
        for segment in self.shards.iter().flatten() {
            let stats = segment.read().unwrap_or_else(PoisonError::into_inner).stats();
            total.keys += stats.keys;
            total.tiles += stats.tiles;
            total.rows += stats.rows;
            total.memory_bytes += stats.memory_bytes;
        }
        total
    }

    /// What changed in a shard since it was last asked, sorted by key.
    pub(crate) fn encode_dirty(&self, shard: usize) -> Entries {
        let mut entries = Entries::default();
        for segment in 0..SEGMENTS {
            self.write(shard, segment).encode_dirty(&mut |key, block, value| {
                entries.push(|out| put_entry_key(key, block, out), value);
            });
        }
        entries.sort();
        entries
    }

    /// Takes a stored block back.
    pub(crate) fn decode(&self, entry: &[u8], value: &[u8]) -> Result<(), DecodeEntryError> {
        let (key, block) = parse_entry_key(entry).ok_or(DecodeEntryError::Key)?;
        let hash = key_hash(key);
        let shard = shard_of(hash, self.len());
        Ok(self.write(shard, segment_of(hash)).decode(key, hash, block, value)?)
    }

    /// All blocks of a checkpoint whose watermark was `settled`, and which can answer times since `oldest`, are back.
    pub(crate) fn restore_done(&self, settled: EventTime, oldest: EventTime) -> Result<(), DecodeEntryError> {
        for shard in 0..self.len() {
            for segment in 0..SEGMENTS {
                let mut timelines = self.write(shard, segment);
                timelines.restore_done(settled, oldest)?;
                timelines.expire();
            }
        }
        Ok(())
    }
}

/// A stored block that does not read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeEntryError {
    #[error("a block's key is too short")]
    Key,
    #[error(transparent)]
    Block(#[from] DecodeError),
}
