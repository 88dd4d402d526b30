//! The row log: one key's rows in total order, in blocks, with only the columns that the stage needs.
//!
//! Rows are named by their number in the key's log, counted over its whole life, so that names stay good while old
//! rows go; a row that is inserted in the middle shifts those after it. Knows nothing of windows and aggregates.

pub(crate) mod block;
pub(crate) mod column;
pub(crate) mod gather;
pub(crate) mod logs;
pub(crate) mod packed;

use crate::aggregate::fold::Place;
use crate::aggregate::value::{Kind, kind_of};
use crate::marks::Marks;
use arrow_array::ArrayRef;
use arrow_schema::DataType;
use block::RowBlock;
use column::CellSource;
use std::collections::VecDeque;
use std::ops::Range;

/// Which input columns logs keep, and their types.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    /// Input columns, rising.
    inputs: Vec<usize>,
    pub(crate) types: Vec<(DataType, Kind)>,
    kinds: Vec<Kind>,
}

impl Layout {
    /// Of these input columns; `None` if one is of a type that is not kept.
    pub(crate) fn new(mut inputs: Vec<usize>, types: &[DataType]) -> Option<Layout> {
        inputs.sort_unstable();
        inputs.dedup();
        let types: Vec<(DataType, Kind)> = inputs
            .iter()
            .map(|input| types.get(*input).and_then(|it| Some((it.clone(), kind_of(it)?))))
            .collect::<Option<_>>()?;
        let kinds = types.iter().map(|(_, kind)| *kind).collect();
        Some(Layout { inputs, types, kinds })
    }

    /// Where an input column is among the kept ones.
    pub(crate) fn position(&self, input: usize) -> Option<usize> {
        self.inputs.binary_search(&input).ok()
    }

    /// The kept columns of a batch; `None` if one is not of its type.
    pub(crate) fn sources<'a>(&self, columns: &'a [ArrayRef]) -> Option<Vec<CellSource<'a>>> {
        self.inputs
            .iter()
            .zip(&self.kinds)
            .map(|(input, kind)| CellSource::of(columns.get(*input)?, *kind))
            .collect()
    }
}

/// One key's rows.
#[derive(Debug, Default)]
pub(crate) struct Log {
    blocks: VecDeque<RowBlock>,
    /// Number of the next row at the end, where there is no block to tell.
    end: u64,
}

impl Log {
    /// Number of the oldest row.
    pub(crate) fn start(&self) -> u64 {
        self.blocks.front().map_or(self.end, |block| block.start)
    }

    /// Number after the newest row.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    pub(crate) fn blocks(&self) -> impl Iterator<Item = &RowBlock> {
        self.blocks.iter()
    }

    pub(crate) fn blocks_mut(&mut self) -> impl Iterator<Item = &mut RowBlock> {
        self.blocks.iter_mut()
    }

    /// The block that holds a row. Rows are mostly asked for where they come in and where they go.
    fn block_at(&self, number: u64) -> usize {
        match (self.blocks.front(), self.blocks.back()) {
            (Some(front), _) if number < front.end() => 0,
            (_, Some(back)) if back.start <= number && number < back.end() => self.blocks.len() - 1,
            _ => self.blocks.partition_point(|block| block.end() <= number),
        }
    }

    /// The first block with a row at or after `time`. Mostly it is one of the first or of the last.
    fn block_since(&self, time: i64) -> usize {
        let is_before = |block: &RowBlock| block.last_time() < time;
        let before_last = self.blocks.len().saturating_sub(2);
        match (self.blocks.front(), self.blocks.get(before_last)) {
            (Some(front), _) if !is_before(front) => 0,
            (_, Some(block)) if is_before(block) => {
                before_last
                    + 1
                    + usize::from(self.blocks.back().is_some_and(is_before) && self.blocks.len() > 1)
            }
            _ => self.blocks.partition_point(is_before),
        }
    }

    /// The block that holds a row, and its index there. The row must be in the log.
    pub(crate) fn row(&self, number: u64) -> (&RowBlock, usize) {
        let block = &self.blocks[self.block_at(number)];
        (block, (number - block.start) as usize)
    }

    pub(crate) fn time(&self, number: u64) -> i64 {
        let (block, index) = self.row(number);
        block.time(index)
    }

    /// Number of the first row at or after `time`.
    pub(crate) fn first_at(&self, time: i64) -> u64 {
        let at = self.block_since(time);
        self.blocks.get(at).map_or(self.end, |block| {
            block.start + block.partition_point(|block, index| block.time(index) < time) as u64
        })
    }

    /// Number of the first row after `time`.
    pub(crate) fn first_after(&self, time: i64) -> u64 {
        time.checked_add(1).map_or(self.end, |next| self.first_at(next))
    }

    /// Stands on the first row at or after `time`, to be moved on to later ones.
    pub(crate) fn seek(&self, time: i64) -> Seeker<'_> {
        let mut seeker = Seeker { log: self, block: self.block_since(time), row: 0 };
        seeker.move_to(time);
        seeker
    }

    /// Shows the rows of a range in order, block by block.
    pub(crate) fn for_each(&self, range: Range<u64>, mut visit: impl FnMut(&RowBlock, Range<usize>)) {
        self.stretches(range).for_each(|(block, rows)| visit(block, rows));
    }

    /// The rows of a range, block by block.
    pub(crate) fn stretches(
        &self,
        range: Range<u64>,
    ) -> impl DoubleEndedIterator<Item = (&RowBlock, Range<usize>)> {
        let blocks = if range.start < range.end {
            let first = self.block_at(range.start);
            let is_one = self.blocks.get(first).is_some_and(|block| range.end <= block.end());
            first..if is_one { first + 1 } else { self.block_at(range.end - 1) + 1 }
        } else {
            0..0
        };
        self.blocks.range(blocks).map(move |block| {
            let from = range.start.max(block.start) - block.start;
            let to = range.end.min(block.end()) - block.start;
            (block, from as usize..to as usize)
        })
    }

    /// Shows single rows, named by rising numbers.
    pub(crate) fn for_numbers(
        &self,
        numbers: impl Iterator<Item = u64>,
        mut visit: impl FnMut(&RowBlock, usize),
    ) {
        let mut at = None;
        for number in numbers {
            let block = match at {
                Some(block) => block,
                None => &self.blocks[self.block_at(number)],
            };
            let block: &RowBlock =
                if number < block.end() { block } else { &self.blocks[self.block_at(number)] };
            visit(block, (number - block.start) as usize);
            at = Some(block);
        }
    }

    /// Inserts a row at its place and returns its number. `serial` is the last number that a block was given.
    pub(crate) fn insert(
        &mut self,
        layout: &Layout,
        place: Place,
        marks: Marks,
        sources: &[CellSource<'_>],
        row: usize,
        serial: &mut i64,
    ) -> u64 {
        let is_last = self.blocks.back().is_none_or(|block| block.is_before(place));
        let mut at = if is_last {
            self.blocks.len().saturating_sub(1)
        } else {
            self.blocks.partition_point(|block| block.is_before(place))
        };
        if self.blocks.is_empty() || is_last && self.blocks[at].is_full() {
            self.make_room();
            self.blocks.push_back(RowBlock::new(self.end, next(serial), &layout.kinds));
            at = self.blocks.len() - 1;
        } else if self.blocks[at].is_full() && self.blocks[at].len() > 1 {
            let tail = self.blocks[at].split(next(serial));
            let goes_to_tail = tail.place(0) < place;
            self.make_room();
            self.blocks.insert(at + 1, tail);
            at += usize::from(goes_to_tail);
        }
        let block = &mut self.blocks[at];
        let index =
            if is_last { block.len() } else { block.partition_point(|block, it| block.place(it) < place) };
        block.insert(index, place, marks, sources, row);
        let number = block.start + index as u64;
        self.blocks.range_mut(at + 1..).for_each(|block| block.start += 1);
        self.end += 1;
        number
    }

    /// For one more block. Most keys have one in all their life, and by itself a list makes room for four.
    fn make_room(&mut self) {
        if self.blocks.len() == self.blocks.capacity() {
            self.blocks.reserve_exact((self.blocks.len() / 2).max(1));
        }
    }

    /// Takes a row out; returns the number under which its block was stored if nothing is left of it.
    pub(crate) fn remove(&mut self, number: u64) -> Option<i64> {
        let at = self.block_at(number);
        let block = &mut self.blocks[at];
        block.remove((number - block.start) as usize);
        self.blocks.range_mut(at + 1..).for_each(|block| block.start -= 1);
        self.end -= 1;
        let emptied = (self.blocks[at].len() == 0).then(|| self.blocks.remove(at)).flatten();
        emptied.filter(|block| block.is_stored).map(|block| block.serial)
    }

    /// Sets a row's marks.
    pub(crate) fn set_marks(&mut self, number: u64, marks: Marks) {
        let at = self.block_at(number);
        let block = &mut self.blocks[at];
        block.set_marks((number - block.start) as usize, marks);
    }

    /// Drops the oldest block.
    pub(crate) fn evict_block(&mut self) -> Option<RowBlock> {
        self.blocks.pop_front()
    }

    /// The oldest block.
    pub(crate) fn front(&self) -> Option<&RowBlock> {
        self.blocks.front()
    }

    /// Takes a stored block back. Once all are back, `restore_done` orders them.
    pub(crate) fn restore(&mut self, block: RowBlock) {
        self.blocks.retain(|known| known.serial != block.serial);
        self.make_room();
        self.blocks.push_back(block);
    }

    /// Puts restored blocks in order; false if they overlap, which no log's blocks do.
    pub(crate) fn restore_done(&mut self) -> bool {
        self.blocks.make_contiguous().sort_by_key(|block| block.place(0));
        self.end = 0;
        for block in &mut self.blocks {
            block.start = self.end;
            self.end = block.end();
        }
        let blocks = self.blocks.iter();
        blocks.zip(self.blocks.iter().skip(1)).all(|(a, b)| a.place(a.len() - 1) < b.place(0))
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let column = size_of::<column::LogColumn>();
        let of_block = |block: &RowBlock| block.columns.len() * column + block.bytes();
        self.blocks.capacity() * size_of::<RowBlock>() + self.blocks.iter().map(of_block).sum::<usize>()
    }
}

/// A place in a log that only moves forward; small steps cost little.
pub(crate) struct Seeker<'a> {
    log: &'a Log,
    block: usize,
    row: usize,
}

impl Seeker<'_> {
    /// Moves on to the first row at or after `time`, which is none before where it stands, and gives its number.
    pub(crate) fn move_to(&mut self, time: i64) -> u64 {
        while let Some(block) = self.log.blocks.get(self.block) {
            if block.last_time() >= time {
                if block.time(self.row) < time {
                    let is_next = block.time(self.row + 1) >= time;
                    let after = |block: &RowBlock, row| block.time(row) < time;
                    self.row = if is_next { self.row + 1 } else { block.partition_point(after) };
                }
                return block.start + self.row as u64;
            }
            (self.block, self.row) = (self.block + 1, 0);
        }
        self.log.end
    }
}

fn next(serial: &mut i64) -> i64 {
    *serial += 1;
    *serial
}
