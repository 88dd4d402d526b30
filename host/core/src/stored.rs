//! How state is named in a checkpoint: key group (two bytes, big endian), the encoded key, then column (two bytes),
//! level (one byte) and start (eight bytes, sign flipped), so that a checkpoint can be read by any number of shards. The key
//! group alone names how far that has come, and comes before all of its blocks. Also judges which of it is out of reach.
//!
//! Must not know where it is kept.

use weir_event::key::KEY_GROUPS;
use weir_event::{KeyGroup, key_group, key_hash};
use weir_timeline::Block;

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
pub(crate) const NO_GROUP: [u8; GROUP_BYTES] = [0xff; GROUP_BYTES];

/// The name of something that is stored of a key group; unique among what is stored of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name<'a> {
    /// How far the group has come.
    Reached(KeyGroup),
    /// A block of a key's state.
    Block {
        /// The encoded key.
        key: &'a [u8],
        /// Which block of the key's.
        block: Block,
    },
}

impl<'a> Name<'a> {
    /// The column of which results of a key sinks have, beside those of timelines.
    pub(crate) const WRITTEN: u16 = u16::MAX;

    /// The key group that it belongs to.
    pub fn group(&self) -> KeyGroup {
        match self {
            Name::Reached(group) => *group,
            Name::Block { key, .. } => key_group(key_hash(key)),
        }
    }

    /// Appends its bytes, of which there are none where it names the group itself.
    pub fn put(&self, out: &mut Vec<u8>) {
        let Name::Block { key, block } = self else { return };
        out.extend_from_slice(key);
        out.extend_from_slice(&block.column.to_be_bytes());
        out.push(block.level);
        out.extend_from_slice(&((block.start as u64) ^ (1 << 63)).to_be_bytes());
    }

    /// Appends the bytes of the key group and its own: its name among all of a job's state.
    pub fn put_with_group(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.group().0.to_be_bytes());
        self.put(out);
    }

    /// What [`Name::put`] wrote of something of a key group.
    pub fn parse(group: KeyGroup, name: &'a [u8]) -> Option<Name<'a>> {
        if name.is_empty() {
            return Some(Name::Reached(group));
        }
        let (key, block) = name.split_at_checked(name.len().checked_sub(BLOCK_BYTES)?)?;
        let column = u16::from_be_bytes([block[0], block[1]]);
        let start = u64::from_be_bytes(block[3..].try_into().ok()?) ^ (1 << 63);
        Some(Name::Block { key, block: Block { column, level: block[2], start: start as i64 } })
    }

    /// What [`Name::put_with_group`] wrote.
    pub fn parse_with_group(entry: &'a [u8]) -> Option<Name<'a>> {
        let (group, name) = entry.split_first_chunk::<GROUP_BYTES>()?;
        let group = KeyGroup(u16::from_be_bytes(*group));
        Name::parse(group, name).filter(|_| group.0 < KEY_GROUPS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::expiry::Expiry;
    use crate::tests::plan;
    use weir_event::EventTime;

    #[test]
    fn tiles_whose_windows_are_out_of_reach_are_not_kept() {
        let query = "SELECT user, COUNT(*) AS n FROM events GROUP BY user, TUMBLE(t, INTERVAL '100' SECOND)";
        let plan = plan(query, "", "history: 50s\nlate: {allow: 50s}");
        let is_expired = |start: i64, settled: i64| {
            let mut entry = Vec::new();
            let block = Block { column: Block::TILES, level: 0, start };
            Name::Block { key: b"u1", block }.put_with_group(&mut entry);
            let settled = EventTime::from_millis(settled);
            Expiry::at(&plan, settled, EventTime::MIN, []).unwrap().is_expired(&entry)
        };
        // A lookup 50 s back finds the window that ends at 100 s until a millisecond before it finds the next one.
        assert!(!is_expired(0, 249_998) && is_expired(0, 249_999) && !is_expired(100_000, 249_999));
        assert!(!is_expired(0, i64::MIN));
    }

    #[test]
    fn a_block_s_name_reads_back_and_sorts_by_start() {
        let entry = |key: &[u8], start| {
            let mut entry = Vec::new();
            Name::Block { key, block: Block { column: 3, level: 1, start } }.put_with_group(&mut entry);
            entry
        };
        let (early, late) = (entry(b"u1", -5), entry(b"u1", 7));
        assert!(early < late);
        let block = Block { column: 3, level: 1, start: -5 };
        let name = Name::Block { key: b"u1", block };
        assert_eq!(Name::parse_with_group(&early), Some(name));
        assert_eq!(early[..2], name.group().0.to_be_bytes());
        assert_eq!(Name::parse_with_group(&[0, 5, 1, 2]), None, "too short");
        assert_eq!(Name::parse_with_group(&[0, 128]), None, "not a key group");
    }

    #[test]
    fn how_far_a_group_has_come_is_named_before_its_blocks() {
        let mut entries = [Vec::new(), Vec::new()];
        let block = Name::Block { key: b"", block: Block { column: 0, level: 0, start: i64::MIN } };
        Name::Reached(block.group()).put_with_group(&mut entries[0]);
        block.put_with_group(&mut entries[1]);
        assert!(entries[0] < entries[1]);
        assert_eq!(Name::parse_with_group(&entries[0]), Some(Name::Reached(block.group())));
        assert_eq!(Name::parse_with_group(&entries[1]), Some(block), "of the key without columns");
    }
}
