//! How state is named in a checkpoint: key group (two bytes, big endian), the encoded key, then column (two bytes),
//! level (one byte) and start (eight bytes, sign flipped), so that a checkpoint can be read by any number of shards.
//! Also judges which of it is out of reach.
//!
//! Must not know where it is kept.

use std::sync::Arc;
use weir_event::{EventTime, key_group, key_hash};
use weir_timeline::{AggregateError, Block, StageSpec, Timelines};

/// Something to be kept under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// Its key.
    pub key: Vec<u8>,
    /// Its bytes.
    pub value: Vec<u8>,
}

/// Bytes of column, level and start behind the key.
const BLOCK_BYTES: usize = 2 + 1 + 8;
const GROUP_BYTES: usize = 2;
/// In place of a key group: state of the whole job, behind that of all keys.
pub const NO_GROUP: [u8; GROUP_BYTES] = [0xff; GROUP_BYTES];

/// Judges which stored blocks have expired at a *committed* watermark. (At the running one, a block could be gone
/// that a replay after a crash still needs.)
pub struct BlockExpiry(Timelines);

impl BlockExpiry {
    /// `oldest` is the oldest time that may be asked for, as [`Timelines::restore_done`] takes it.
    pub fn at(spec: &Arc<StageSpec>, settled: EventTime, oldest: EventTime) -> Result<Self, AggregateError> {
        let mut judge =
            Timelines::new(spec.clone()).map_err(|error| AggregateError::Broken(error.to_string()))?;
        judge.restore_done(settled, oldest).map_err(|error| AggregateError::Damaged(error.to_string()))?;
        judge.expire();
        Ok(BlockExpiry(judge))
    }

    pub fn is_expired(&self, entry: &[u8]) -> bool {
        parse_entry_key(entry).is_some_and(|(_, block)| self.0.is_expired(block))
    }
}

pub fn put_entry_key(key: &[u8], block: Block, entry: &mut Vec<u8>) {
    entry.extend_from_slice(&key_group(key_hash(key)).0.to_be_bytes());
    entry.extend_from_slice(key);
    entry.extend_from_slice(&block.column.to_be_bytes());
    entry.push(block.level);
    entry.extend_from_slice(&((block.start as u64) ^ (1 << 63)).to_be_bytes());
}

pub fn parse_entry_key(entry: &[u8]) -> Option<(&[u8], Block)> {
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
