//! A shard's state: the timelines of a range of key groups, in segments with a lock each.
//!
//! The writer holds one segment at a time; a lookup copies states out under the read lock and finishes them
//! outside. Also the only place that knows how a block of state is keyed in a checkpoint: key group (two bytes,
//! big endian), the encoded key, then column (two bytes), level (one byte) and start (eight bytes, sign flipped),
//! so that a checkpoint can be read by any number of shards.

use crate::entries::Entries;
use crate::route::{SEGMENTS, segment_of, shard_of};
use crate::views::has_views;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use weir_event::{EventTime, key_group, key_hash};
use weir_plan::KeyedStage;
use weir_timeline::{AggregateError, Block, DecodeError, SpecError, StageSpec, Stats, Timelines};

/// All shards of a job.
pub(crate) struct Shards {
    shards: Vec<Vec<RwLock<Timelines>>>,
}

/// Bytes of column, level and start behind the key.
const BLOCK_BYTES: usize = 2 + 1 + 8;
const GROUP_BYTES: usize = 2;
/// In place of a key group: state of the whole job, behind that of all keys.
pub(crate) const NO_GROUP: [u8; GROUP_BYTES] = [0xff; GROUP_BYTES];

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

/// Judges which stored blocks have expired at a *committed* watermark. (At the running one, a block could be gone
/// that a replay after a crash still needs.)
pub(crate) struct BlockExpiry(Timelines);

impl BlockExpiry {
    /// `oldest` is the oldest time that may be asked for, as [`Timelines::restore_done`] takes it.
    pub(crate) fn at(
        spec: &Arc<StageSpec>,
        settled: EventTime,
        oldest: EventTime,
    ) -> Result<Self, AggregateError> {
        let mut judge =
            Timelines::new(spec.clone()).map_err(|error| AggregateError::Broken(error.to_string()))?;
        judge.restore_done(settled, oldest).map_err(|error| AggregateError::Damaged(error.to_string()))?;
        judge.expire();
        Ok(BlockExpiry(judge))
    }

    pub(crate) fn is_expired(&self, entry: &[u8]) -> bool {
        parse_entry_key(entry).is_some_and(|(_, block)| self.0.is_expired(block))
    }
}

fn put_entry_key(key: &[u8], block: Block, entry: &mut Vec<u8>) {
    entry.extend_from_slice(&key_group(key_hash(key)).0.to_be_bytes());
    entry.extend_from_slice(key);
    entry.extend_from_slice(&block.column.to_be_bytes());
    entry.push(block.level);
    entry.extend_from_slice(&((block.start as u64) ^ (1 << 63)).to_be_bytes());
}

fn parse_entry_key(entry: &[u8]) -> Option<(&[u8], Block)> {
    let (rest, block) = entry.split_at_checked(entry.len().checked_sub(BLOCK_BYTES)?)?;
    let key = rest.get(GROUP_BYTES..)?;
    let column = u16::from_be_bytes([block[0], block[1]]);
    let start = u64::from_be_bytes(block[3..].try_into().ok()?) ^ (1 << 63);
    Some((key, Block { column, level: block[2], start: start as i64 }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_event::Span;
    use weir_timeline::{Frames, Grid};

    #[test]
    fn tiles_whose_windows_are_out_of_reach_are_not_kept() {
        let span = Span::from_millis;
        let spec = Arc::new(StageSpec {
            frames: Frames::Grid(Grid { size: span(100), slide: span(100), offset: Span::ZERO }),
            aggregates: Vec::new(),
            inputs: Vec::new(),
            carried: Vec::new(),
            history: span(50),
            corrects: true,
            retention: None,
            tail: None,
            emit_changes: false,
        });
        let is_expired = |start, settled| {
            let mut entry = Vec::new();
            put_entry_key(b"u1", Block { column: Block::TILES, level: 0, start }, &mut entry);
            BlockExpiry::at(&spec, EventTime::from_millis(settled), EventTime::MIN)
                .unwrap()
                .is_expired(&entry)
        };
        // At 248 a lookup 50 back finds the window that ends at 100, at 249 the next one.
        assert!(!is_expired(0, 248) && is_expired(0, 249) && !is_expired(100, 249));
        assert!(!is_expired(0, i64::MIN));
    }

    #[test]
    fn a_block_s_key_reads_back_and_sorts_by_start() {
        let block = |start| Block { column: 3, level: 1, start };
        let entry_key = |key: &[u8], block| {
            let mut entry = Vec::new();
            put_entry_key(key, block, &mut entry);
            entry
        };
        let (early, late) = (entry_key(b"u1", block(-5)), entry_key(b"u1", block(7)));
        assert!(early < late);
        let (key, parsed) = parse_entry_key(&early).unwrap();
        assert_eq!((key, parsed.column, parsed.level, parsed.start), (&b"u1"[..], 3, 1, -5));
        assert!(parse_entry_key(b"short").is_none());
    }
}
