//! A stretch of one key's rows in total order, as it is kept and as it is stored.

use super::column::{CellSource, LogColumn, decode_packed, encode_packed};
use super::packed::Packed;
use crate::aggregate::fold::Place;
use crate::aggregate::value::Kind;
use crate::bytes::{self, Reader};
use crate::marks::{Marks, StoredMarks};
use arrow_schema::DataType;
use weir_event::{PartitionId, Rank};

/// Rows in a block at most: one insert into the middle moves no more than this.
pub(crate) const BLOCK_ROWS: usize = 256;
/// Bytes of values in a block, about, at most: a block is encoded whole when one row of it changes.
const BLOCK_BYTES: usize = 2048;
/// Version of a stored block's bytes.
const FORMAT: u8 = 1;

/// What of a row's marks is stored.
const STORED_MARKS: StoredMarks = StoredMarks(&[
    (Marks::STALE, 16),
    (Marks::RETURNED, 2),
    (Marks::DUE, 1),
    (Marks::LISTED, 4),
    (Marks::REFUSED, 8),
]);
/// What an older weir stored of an event that was stale and then returned anew by a flush.
const STALE_BEFORE_RETURNED: u8 = 16 | 2;

/// From here up, also in what is stored: how many edits were made since the row was kept.
const EDIT: i64 = 256;
/// So many and more are the same.
const MOST_EDITS: i64 = u32::MAX as i64;

/// Rows in total order.
#[derive(Debug, Clone)]
pub(crate) struct RowBlock {
    /// Number of its first row, counted over the life of the key's log.
    pub(crate) start: u64,
    /// What it is stored under.
    pub(crate) serial: i64,
    pub(crate) is_dirty: bool,
    /// Whether a form of it was stored, so that its end is told too.
    pub(crate) is_stored: bool,
    /// Time of the last row: most searches look at no more of a block.
    last_time: i64,
    times: Packed,
    partitions: Packed,
    offsets: Packed,
    /// Each row's marks, as they are in memory, and multiples of `EDIT`.
    marks: Packed,
    pub(crate) columns: Vec<LogColumn>,
}

impl RowBlock {
    pub(crate) fn new(start: u64, serial: i64, kinds: &[Kind]) -> RowBlock {
        RowBlock {
            start,
            serial,
            is_dirty: true,
            is_stored: false,
            last_time: i64::MIN,
            times: Packed::default(),
            partitions: Packed::default(),
            offsets: Packed::default(),
            marks: Packed::default(),
            columns: kinds.iter().map(|kind| LogColumn::new(*kind)).collect(),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }

    /// Number of the row after its last.
    pub(crate) fn end(&self) -> u64 {
        self.start + self.len() as u64
    }

    pub(crate) fn is_full(&self) -> bool {
        self.len() >= BLOCK_ROWS || self.bytes() >= BLOCK_BYTES
    }

    /// Bytes of its rows.
    pub(crate) fn bytes(&self) -> usize {
        let columns: usize = self.columns.iter().map(LogColumn::bytes).sum();
        self.times.bytes() + self.partitions.bytes() + self.offsets.bytes() + self.marks.bytes() + columns
    }

    pub(crate) fn time(&self, index: usize) -> i64 {
        self.times.get(index)
    }

    pub(crate) fn last_time(&self) -> i64 {
        self.last_time
    }

    fn find_last_time(&mut self) {
        self.last_time = self.len().checked_sub(1).map_or(i64::MIN, |last| self.time(last));
    }

    /// Whether all rows are before a place.
    pub(crate) fn is_before(&self, place: Place) -> bool {
        self.last_time < place.time || self.last_time == place.time && self.place(self.len() - 1) < place
    }

    pub(crate) fn rank(&self, index: usize) -> Rank {
        let partition = self.partitions.get(index) as u32;
        Rank {
            partition: PartitionId { source: (partition >> 16) as u16, partition: partition as u16 },
            offset: self.offsets.get(index) as u64,
        }
    }

    pub(crate) fn place(&self, index: usize) -> Place {
        Place { time: self.time(index), rank: self.rank(index) }
    }

    pub(crate) fn marks(&self, index: usize) -> Marks {
        marks_of(self.marks.get(index))
    }

    pub(crate) fn set_marks(&mut self, index: usize, marks: Marks) {
        if self.marks(index) != marks {
            self.marks.set(index, edits_of(self.marks.get(index)) | i64::from(marks.bits()));
            self.is_dirty = true;
        }
    }

    /// How many edits were made since a row was kept.
    pub(crate) fn edits(&self, index: usize) -> i64 {
        self.marks.get(index) / EDIT
    }

    /// Whether no row has a mark, however many edits were made since.
    pub(crate) fn is_unmarked(&self) -> bool {
        self.marks.is_only(0) || self.marks.iter().all(|number| marks_of(number) == Marks::NONE)
    }

    /// Index of the first row that `before` does not hold for; it must hold for a first stretch of rows only.
    pub(crate) fn partition_point(&self, before: impl Fn(&RowBlock, usize) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if before(self, middle) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    pub(crate) fn insert(
        &mut self,
        at: usize,
        place: Place,
        marks: Marks,
        sources: &[CellSource<'_>],
        row: usize,
    ) {
        self.times.insert(at, place.time);
        self.last_time = self.last_time.max(place.time);
        let PartitionId { source, partition } = place.rank.partition;
        self.partitions.insert(at, i64::from(u32::from(source) << 16 | u32::from(partition)));
        self.offsets.insert(at, place.rank.offset as i64);
        self.marks.insert(at, i64::from(marks.bits()));
        for (column, source) in self.columns.iter_mut().zip(sources) {
            column.insert(at, source, row);
        }
        self.is_dirty = true;
    }

    pub(crate) fn remove(&mut self, at: usize) {
        self.times.remove(at);
        self.partitions.remove(at);
        self.offsets.remove(at);
        self.marks.remove(at);
        self.columns.iter_mut().for_each(|column| column.remove(at));
        self.find_last_time();
        self.is_dirty = true;
    }

    /// Cuts its second half off, to be stored under another number.
    pub(crate) fn split(&mut self, serial: i64) -> RowBlock {
        let at = self.len() / 2;
        self.is_dirty = true;
        let tail = RowBlock {
            start: self.start + at as u64,
            serial,
            is_dirty: true,
            is_stored: false,
            last_time: self.last_time,
            times: self.times.split_off(at),
            partitions: self.partitions.split_off(at),
            offsets: self.offsets.split_off(at),
            marks: self.marks.split_off(at),
            columns: self.columns.iter_mut().map(|column| column.split_off(at)).collect(),
        };
        self.find_last_time();
        tail
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(FORMAT);
        bytes::put_unsigned(self.len() as u64, out);
        for list in [&self.times, &self.partitions, &self.offsets] {
            encode_packed(list, out);
        }
        if self.is_unmarked() {
            encode_packed(&self.marks, out);
        } else {
            let stored = self.marks.iter();
            let stored = stored.map(|it| edits_of(it) | i64::from(STORED_MARKS.write(marks_of(it))));
            encode_packed(&stored.collect(), out);
        }
        self.columns.iter().for_each(|column| column.encode(out));
    }

    /// The same rows with other columns, each from where `origins` says, or null; they are one edit older.
    pub(crate) fn with_columns(self, origins: &[Option<usize>], types: &[(DataType, Kind)]) -> RowBlock {
        let rows = self.len();
        let column = |(from, (_, kind)): (&Option<usize>, &(DataType, Kind))| {
            from.map_or_else(|| LogColumn::nulls(*kind, rows), |from| self.columns[from].clone())
        };
        let columns = origins.iter().zip(types).map(column).collect();
        let older = |marks: i64| if marks / EDIT < MOST_EDITS { marks + EDIT } else { marks };
        let marks = self.marks.iter().map(older).collect();
        RowBlock { marks, columns, ..self }
    }

    /// Reads a stored block back; `None` if it is damaged. Its `start` is 0.
    pub(crate) fn decode(stored: &[u8], serial: i64, types: &[(DataType, Kind)]) -> Option<RowBlock> {
        let mut reader = Reader::new(stored);
        if reader.byte()? != FORMAT {
            return None;
        }
        let rows = usize::try_from(reader.unsigned()?).ok().filter(|rows| (1..=BLOCK_ROWS).contains(rows))?;
        let mut block = RowBlock::new(0, serial, &[]);
        block.is_dirty = false;
        block.is_stored = true;
        block.times = decode_packed(&mut reader, rows)?;
        block.find_last_time();
        block.partitions = decode_packed(&mut reader, rows)?;
        block.offsets = decode_packed(&mut reader, rows)?;
        block.marks = decode_packed(&mut reader, rows)?;
        if !block.marks.is_only(0) {
            let marks = block.marks.iter();
            let marks = marks.map(|it| Some(edits_of(it) | i64::from(read_marks(it)?.bits())));
            block.marks = marks.collect::<Option<Packed>>()?;
        }
        for (data_type, kind) in types {
            block.columns.push(LogColumn::decode(&mut reader, rows, data_type, *kind)?);
        }
        let is_rising = (1..rows).all(|row| block.place(row - 1) < block.place(row));
        (reader.is_empty() && is_rising).then_some(block)
    }
}

/// A row's marks from a list that has them as they are in memory.
fn marks_of(number: i64) -> Marks {
    Marks::of_bits(number as u8)
}

/// The part of a number in a list of marks that is not of marks.
fn edits_of(number: i64) -> i64 {
    number & !(EDIT - 1)
}

/// A row's marks from a stored list; `None` if no marks are stored so.
fn read_marks(stored: i64) -> Option<Marks> {
    let is_sound = (0..=MOST_EDITS).contains(&stored.div_euclid(EDIT));
    let stored = u8::try_from(stored & (EDIT - 1)).ok().filter(|_| is_sound)?;
    let marks = STORED_MARKS.read(stored)?;
    let is_current = stored & STALE_BEFORE_RETURNED == STALE_BEFORE_RETURNED;
    Some(if is_current { marks.without(Marks::CHANGED) } else { marks })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A row for each number, which are those of its marks.
    fn block(marks: &[i64]) -> RowBlock {
        let mut block = RowBlock::new(0, 1, &[]);
        for time in 0..marks.len() {
            let place = Place { time: time as i64, rank: Rank::default() };
            block.insert(time, place, Marks::NONE, &[], 0);
        }
        block.marks = marks.iter().copied().collect();
        block
    }

    fn stored(block: &RowBlock) -> Option<RowBlock> {
        let mut bytes = Vec::new();
        block.encode(&mut bytes);
        RowBlock::decode(&bytes, 1, &[])
    }

    #[test]
    fn rows_are_unmarked_however_many_edits_were_made() {
        let mut edited = block(&[0, 0, 0]).with_columns(&[], &[]);
        edited.insert(3, Place { time: 9, rank: Rank::default() }, Marks::NONE, &[], 0);
        for block in [edited.clone(), stored(&edited).unwrap()] {
            assert!(block.is_unmarked());
            assert_eq!([0, 3].map(|row| block.edits(row)), [1, 0]);
        }
        edited.set_marks(1, Marks::RETURNED);
        let mut again = stored(&edited.with_columns(&[], &[])).unwrap();
        assert!(!again.is_unmarked() && again.marks(1) == Marks::RETURNED);
        assert_eq!([0, 1, 3].map(|row| again.edits(row)), [2, 2, 1]);
        again.remove(1);
        assert!(again.is_unmarked());
    }

    #[test]
    fn numbers_of_edits_that_no_edit_makes_are_damage() {
        let most = block(&[MOST_EDITS * EDIT, 0]);
        let older = stored(&most).unwrap().with_columns(&[], &[]);
        assert_eq!([0, 1].map(|row| older.edits(row)), [MOST_EDITS, 1]);
        for damaged in [-EDIT, (MOST_EDITS + 1) * EDIT, i64::MIN, i64::MAX] {
            assert!(stored(&block(&[0, damaged])).is_none(), "{damaged}");
        }
    }
}
