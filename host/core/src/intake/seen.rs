//! Repeated events: the ids that a job has seen, and which rows bring one again.
//!
//! The rule, a function of one partition's log alone like every verdict on a row: a row is a repetition, and does
//! not count, if an earlier row *of its partition* with the same id counted, the two event times are at most
//! `dedup_for` apart, and the earlier one is not older than the partition's watermark less `dedup_for`. What is
//! compared within a partition only: producers repeat an event under its key, so into the same partition, and
//! which of two copies in different partitions came first is nothing that a replay could find again. Whatever its
//! id, WHERE is not asked before: a row is a repetition of the stream's, not of the query's. Of an id that counted
//! several times, the newest time is remembered. A row without id is never a repetition; one whose time cannot be
//! is not remembered.
//!
//! Ids are kept as 128-bit hashes: among ten thousand million different ids the chance that any two are taken for
//! one is below 2e-19. A checkpoint holds the ids that are new since the one before it, in blocks by time that are
//! never written again and go as a whole when the committed watermark has passed them.
//!
//! Knows no clock and no connector.

use crate::stored::{NO_GROUP, Stored};
use arrow_array::{Array, ArrayRef};
use hashbrown::HashTable;
use std::collections::BTreeMap;
use weir_event::key::{EncodedKeys, KeyTypeError};
use weir_event::{EventTime, PartitionId, Span, id_hash};

/// Marks entries of seen ids among those without a key group.
const KIND: u8 = 0;
/// Ids in one stored block: 3 KiB, which a chunk of the store takes whole.
const BLOCK_IDS: usize = 128;
/// Hash and event time.
const ID_BYTES: usize = 16 + 8;
/// Ids are dropped in this many slices of `dedup_for`, so that little more is kept than is needed.
const SLICES: i64 = 16;
/// The shortest slice, milliseconds: a block holds what came in one, and needs to hold enough.
const SHORTEST_SLICE_MS: i64 = 1000;

/// The ids that a job has seen.
#[derive(Debug)]
pub(crate) struct Seen {
    within: Span,
    partitions: BTreeMap<PartitionId, Ids>,
}

/// The ids of one partition.
#[derive(Debug)]
struct Ids {
    within: Span,
    /// In two halves and not as u128, whose alignment would cost 8 bytes each.
    times: HashTable<Id>,
    /// Which ids fall into the slice that ends at the key.
    slices: BTreeMap<i64, Vec<[u64; 2]>>,
    /// New since the last checkpoint.
    fresh: Vec<Id>,
}

#[derive(Debug, Clone, Copy)]
struct Id {
    hash: [u64; 2],
    time: i64,
}

/// The rows of a block, and what their partition has seen before.
#[derive(Debug)]
pub(crate) struct Repeats<'a> {
    ids: &'a mut Ids,
    rows: Vec<Option<u128>>,
}

impl Seen {
    pub(crate) fn new(within: Span) -> Self {
        Seen { within, partitions: BTreeMap::new() }
    }

    /// How many ids are remembered.
    pub(crate) fn count(&self) -> usize {
        self.partitions.values().map(|ids| ids.times.len()).sum()
    }

    /// Archives are read to their ends: their ids are remembered for the partition that goes on behind them, where there is
    /// but one, and else for none.
    pub(crate) fn end_archives(&mut self, goes_on: Option<PartitionId>) {
        let archives: Vec<PartitionId> =
            self.partitions.keys().copied().filter(|it| it.is_of_archive()).collect();
        for archive in archives {
            let Some(ids) = self.partitions.remove(&archive) else { continue };
            if let Some(partition) = goes_on {
                let known = self.partition(partition);
                ids.times.iter().for_each(|id| known.remember(*id));
            }
        }
    }

    /// A block of a partition, with the column of its ids.
    pub(crate) fn block(
        &mut self,
        partition: PartitionId,
        column: &ArrayRef,
    ) -> Result<Repeats<'_>, KeyTypeError> {
        let keys = EncodedKeys::encode(std::slice::from_ref(column), column.len())?;
        let id = |row: usize| column.is_valid(row).then(|| id_hash(keys.key(row)));
        Ok(Repeats { rows: (0..column.len()).map(id).collect(), ids: self.partition(partition) })
    }

    fn partition(&mut self, partition: PartitionId) -> &mut Ids {
        let within = self.within;
        self.partitions.entry(partition).or_insert_with(|| Ids::new(within))
    }

    /// What is new since the last checkpoint, sorted by key.
    pub(crate) fn take_fresh(&mut self, checkpoint: u64) -> Vec<Stored> {
        let mut entries = Vec::new();
        for (partition, ids) in &mut self.partitions {
            let mut fresh = std::mem::take(&mut ids.fresh);
            fresh.sort_by_key(|id| slice_end(id.time, self.within));
            let slices =
                fresh.chunk_by(|a, b| slice_end(a.time, self.within) == slice_end(b.time, self.within));
            for slice in slices {
                let end = slice_end(slice[0].time, self.within);
                for (number, block) in slice.chunks(BLOCK_IDS).enumerate() {
                    let key = entry_key(*partition, end, checkpoint, number as u32);
                    entries.push(Stored { key, value: encode(block) });
                }
            }
        }
        entries
    }

    /// Appends all ids of a partition.
    pub(crate) fn put_all(&self, partition: PartitionId, bytes: &mut Vec<u8>) {
        let Some(ids) = self.partitions.get(&partition) else { return };
        let mut all: Vec<Id> = ids.times.iter().copied().collect();
        all.sort_by_key(|id| (id.time, id.hash));
        bytes.extend_from_slice(&encode(&all));
    }

    /// Takes all ids of a partition back; `None` if they do not read.
    pub(crate) fn take_all(&mut self, partition: PartitionId, bytes: &[u8]) -> Option<()> {
        let ids = self.partition(partition);
        let (rows, rest) = bytes.as_chunks::<ID_BYTES>();
        for row in rows {
            let word = |at: usize| row[at..at + 8].try_into().map(u64::from_le_bytes).ok();
            ids.remember(Id { hash: [word(0)?, word(8)?], time: word(16)? as i64 });
        }
        ids.fresh.clear();
        rest.is_empty().then_some(())
    }

    /// Takes a stored block back; `None` if its bytes do not read.
    pub(crate) fn decode(&mut self, key: &[u8], block: &[u8]) -> Option<()> {
        let (partition, _) = parse_entry_key(key)?;
        self.take_all(partition, block)
    }
}

impl Repeats<'_> {
    /// Whether a row is a repetition; if not, it is remembered. To be asked once for each row in order, with its
    /// partition's watermark before it.
    pub(crate) fn is_repeat(&mut self, row: usize, time: EventTime, watermark: EventTime) -> bool {
        self.rows[row].is_some_and(|id| self.ids.is_repeat(id, time.millis(), watermark))
    }
}

impl Ids {
    fn new(within: Span) -> Self {
        Ids { within, times: HashTable::new(), slices: BTreeMap::new(), fresh: Vec::new() }
    }

    fn is_repeat(&mut self, id: u128, time: i64, watermark: EventTime) -> bool {
        let floor = (watermark - self.within).millis();
        self.expire(floor);
        let id = Id { hash: [id as u64, (id >> 64) as u64], time };
        let earlier = self.times.find(id.hash[0], |other| other.hash == id.hash);
        // What is below the floor may be dropped already: it counts as if it were.
        let is_near = |earlier: &&Id| {
            earlier.time >= floor && time.abs_diff(earlier.time) <= self.within.millis().unsigned_abs()
        };
        if earlier.is_some_and(|earlier| is_near(&earlier)) {
            return true;
        }
        if time >= floor {
            self.remember(id);
        }
        false
    }

    /// Remembers the newest time of an id.
    fn remember(&mut self, id: Id) {
        match self.times.find_mut(id.hash[0], |other| other.hash == id.hash) {
            Some(known) if known.time >= id.time => return,
            Some(known) => known.time = id.time,
            None => {
                self.times.insert_unique(id.hash[0], id, |id| id.hash[0]);
            }
        }
        self.slices.entry(slice_end(id.time, self.within)).or_default().push(id.hash);
        self.fresh.push(id);
    }

    /// Drops the slices that end at or before the floor.
    fn expire(&mut self, floor: i64) {
        while let Some(slice) = self.slices.first_entry().filter(|slice| *slice.key() <= floor) {
            for hash in slice.remove() {
                let known = self.times.find_entry(hash[0], |other| other.hash == hash);
                // An id that came again since then is in a later slice too.
                if let Ok(known) = known.map_err(|_| ())
                    && slice_end(known.get().time, self.within) <= floor
                {
                    known.remove();
                }
            }
        }
    }
}

/// The end of the slice of time that holds `time`.
fn slice_end(time: i64, within: Span) -> i64 {
    let width = Span::from_millis((within.millis() / SLICES).max(SHORTEST_SLICE_MS));
    (EventTime::from_millis(time).floor_to(width, Span::ZERO) + width).millis()
}

fn encode(ids: &[Id]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(ids.len() * ID_BYTES);
    for Id { hash, time } in ids {
        bytes.extend_from_slice(&hash[0].to_le_bytes());
        bytes.extend_from_slice(&hash[1].to_le_bytes());
        bytes.extend_from_slice(&time.to_le_bytes());
    }
    bytes
}

const KEY_BYTES: usize = 2 + 1 + 2 + 2 + 8 + 8 + 4;

/// No key group, kind, source, partition, end of the slice (sign flipped), checkpoint, number: all big endian.
fn entry_key(partition: PartitionId, end: i64, checkpoint: u64, number: u32) -> Vec<u8> {
    let mut key = Vec::with_capacity(KEY_BYTES);
    key.extend_from_slice(&NO_GROUP);
    key.push(KIND);
    key.extend_from_slice(&partition.source.to_be_bytes());
    key.extend_from_slice(&partition.partition.to_be_bytes());
    key.extend_from_slice(&((end as u64) ^ (1 << 63)).to_be_bytes());
    key.extend_from_slice(&checkpoint.to_be_bytes());
    key.extend_from_slice(&number.to_be_bytes());
    key
}

/// The partition of an entry of seen ids; `None` for what is not one.
pub(crate) fn partition_of(key: &[u8]) -> Option<PartitionId> {
    parse_entry_key(key).map(|(partition, _)| partition)
}

/// The partition and the end of the slice; `None` for what is not an entry of seen ids.
fn parse_entry_key(key: &[u8]) -> Option<(PartitionId, i64)> {
    let key: &[u8; KEY_BYTES] = key.try_into().ok()?;
    if !is_entry(key) {
        return None;
    }
    let short = |at: usize| u16::from_be_bytes([key[at], key[at + 1]]);
    let end = u64::from_be_bytes(key[7..15].try_into().ok()?) ^ (1 << 63);
    Some((PartitionId { source: short(3), partition: short(5) }, end as i64))
}

/// Whether an entry of a checkpoint belongs here.
pub(crate) fn is_entry(key: &[u8]) -> bool {
    key.starts_with(&[NO_GROUP[0], NO_GROUP[1], KIND])
}

/// Whether no row can repeat what a stored block holds, where partitions' watermarks are these. A partition that
/// is not named has no watermark yet.
pub(crate) fn is_expired(key: &[u8], within: Span, watermarks: &BTreeMap<PartitionId, EventTime>) -> bool {
    parse_entry_key(key).is_some_and(|(partition, end)| match watermarks.get(&partition) {
        Some(watermark) => end <= (*watermark - within).millis(),
        // An archive has one while it is read, as it has ids.
        None => partition.is_of_archive(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::StringViewArray;
    use std::sync::Arc;

    const P0: PartitionId = PartitionId { source: 0, partition: 0 };
    const P1: PartitionId = PartitionId { source: 0, partition: 1 };

    /// Whether the one row of a block is a repetition; times and watermark in seconds.
    fn ask(seen: &mut Seen, partition: PartitionId, id: Option<&str>, time: i64, watermark: i64) -> bool {
        let column: ArrayRef = Arc::new(StringViewArray::from_iter([id]));
        let at = |seconds: i64| EventTime::from_millis(seconds * 1000);
        seen.block(partition, &column).unwrap().is_repeat(0, at(time), at(watermark))
    }

    fn minute() -> Seen {
        Seen::new(Span::from_millis(60_000))
    }

    #[test]
    fn the_first_of_a_partition_counts() {
        let seen = &mut minute();
        assert!(!ask(seen, P0, Some("a"), 100, 90));
        assert!(ask(seen, P0, Some("a"), 100, 90));
        assert!(ask(seen, P0, Some("a"), 95, 90), "out of order, and the same id");
        assert!(!ask(seen, P0, Some("b"), 100, 90));
        assert!(!ask(seen, P1, Some("a"), 100, 90), "partitions are not compared");
        assert!(!ask(seen, P0, None, 100, 90));
        assert!(!ask(seen, P0, None, 100, 90), "no id repeats nothing");
    }

    #[test]
    fn an_id_may_be_used_again_after_a_while() {
        let seen = &mut minute();
        assert!(!ask(seen, P0, Some("a"), 100, 0));
        assert!(ask(seen, P0, Some("a"), 160, 0));
        assert!(!ask(seen, P0, Some("a"), 161, 0), "further than dedup_for from the one that counted");
        assert!(ask(seen, P0, Some("a"), 161, 221), "as old as the watermark less dedup_for");
        assert!(!ask(seen, P0, Some("a"), 161, 222), "forgotten");
    }

    /// Forgetting happens in slices, and must not be seen: with every id, however long since something was dropped,
    /// the answer is that of a memory that drops nothing.
    #[test]
    fn when_memory_is_freed_makes_no_difference() {
        let (seen, mut random) = (&mut minute(), 7_u64);
        let mut all: BTreeMap<u64, i64> = BTreeMap::new();
        let mut watermark = 0;
        for _ in 0..20_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let (id, time) = ((random >> 33) % 40, watermark + ((random >> 40) % 200) as i64 - 90);
            let floor = watermark - 60;
            let known = all.get(&id).filter(|known| **known >= floor && (time - **known).abs() <= 60);
            let expected = known.is_some();
            assert_eq!(ask(seen, P0, Some(&id.to_string()), time, watermark), expected);
            if !expected && time >= floor {
                let newest = all.get(&id).copied().unwrap_or(time).max(time);
                all.insert(id, newest);
            }
            watermark = watermark.max(time - 30);
        }
        let ids = &seen.partitions[&P0];
        assert!(ids.times.len() <= 40 && ids.slices.len() <= 60, "{} {}", ids.times.len(), ids.slices.len());
    }

    #[test]
    fn a_checkpoint_holds_what_is_new_and_all_of_them_read_back() {
        let seen = &mut minute();
        let mut stored = BTreeMap::new();
        for checkpoint in 0..3 {
            for id in 0..300 {
                ask(seen, P1, Some(&format!("{checkpoint}-{id}")), 100 + checkpoint * 10, 0);
            }
            let entries = seen.take_fresh(checkpoint as u64);
            assert!(entries.is_sorted_by(|a, b| a.key < b.key));
            let bytes: usize = entries.iter().map(|entry| entry.value.len()).sum();
            assert_eq!(bytes, 300 * ID_BYTES, "only what is new");
            stored.extend(entries.into_iter().map(|entry| (entry.key, entry.value)));
        }
        assert!(seen.take_fresh(3).is_empty());
        let again = &mut minute();
        for (key, value) in &stored {
            assert!(is_entry(key));
            again.decode(key, value).unwrap();
        }
        assert!(again.take_fresh(4).is_empty(), "what was read back is not new");
        assert!(ask(again, P1, Some("1-299"), 110, 0));
        assert!(!ask(again, P0, Some("1-299"), 110, 0));

        let key = stored.keys().next().unwrap();
        assert!(again.decode(key, &[0; ID_BYTES - 1]).is_none());
        assert!(again.decode(&key[1..], &[]).is_none());
        let at = |seconds: i64| BTreeMap::from([(P1, EventTime::from_millis(seconds * 1000))]);
        let within = Span::from_millis(60_000);
        assert!(!is_expired(key, within, &at(160)) && is_expired(key, within, &at(165)));
        assert!(!is_expired(key, within, &BTreeMap::new()));
    }
}
