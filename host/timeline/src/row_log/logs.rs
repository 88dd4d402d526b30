//! The logs of all keys of a segment: which rows are pending, what is old enough to go, what is not stored yet.

use super::block::RowBlock;
use super::column::CellSource;
use super::{Layout, Log};
use crate::aggregate::fold::Place;
use crate::answer::{self, Block, DecodeError, Slot};
use crate::marks::Marks;
use crate::slots::Slots;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::ops::Range;

/// How long rows are of use. A row is, as long as one of these says so:
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Life {
    /// Until the horizon is more than this many milliseconds after it,
    pub(crate) span: Option<i64>,
    /// or until more than this many rows after it are before the horizon. Without either, for ever.
    pub(crate) rows: Option<u64>,
}

/// Rows of one key that are of use however old they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stay {
    /// From this time on,
    pub(crate) from: i64,
    /// until the horizon is past this.
    pub(crate) until: i64,
}

/// Logs by slot.
pub(crate) struct Logs {
    pub(crate) layout: Layout,
    entries: Vec<LogEntry>,
    /// Slots that have pending rows, by the time of the first.
    pending: BTreeSet<(i64, u32)>,
    lives: Vec<Life>,
    /// Slots by the horizon up to which their oldest block is of use, as it was when they were last looked at.
    watched: BinaryHeap<Reverse<(i64, u32)>>,
    /// Number that the newest block is stored under.
    serial: i64,
    dirty: Vec<u32>,
    /// Stored blocks that are no more, with their key.
    graves: Vec<(Box<[u8]>, i64)>,
    rows: u64,
}

#[derive(Default)]
struct LogEntry {
    log: Log,
    /// Number of the first pending row.
    settled: u64,
    first_pending: Option<i64>,
    is_dirty: bool,
    is_watched: bool,
}

impl Life {
    /// Of rows that are of no use before the horizon.
    pub(crate) const NONE: Life = Life { span: Some(0), rows: None };

    /// The horizon up to which a block is of use; `None` if there is none yet.
    fn of(self, log: &Log, block: &RowBlock) -> Option<i64> {
        let by_span = self.span.map(|span| block.last_time().saturating_add(span));
        let outlived = self.rows.and_then(|rows| block.end().checked_add(rows));
        let by_rows = outlived.filter(|number| *number < log.end()).map(|number| log.time(number));
        match (by_span, by_rows) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }
    }
}

/// The horizon up to which a block is of use to any; `None` if there is none yet.
fn of_use(lives: &[Life], log: &Log, block: &RowBlock) -> Option<i64> {
    lives.iter().try_fold(i64::MIN, |last, life| Some(last.max(life.of(log, block)?)))
}

fn name(serial: i64) -> answer::Block {
    answer::Block { column: answer::Block::ROWS, level: 0, start: serial }
}

impl Logs {
    /// Logs of rows that are of no use before the horizon.
    pub(crate) fn new(layout: Layout) -> Logs {
        Logs::with_lives(layout, vec![Life::NONE])
    }

    pub(crate) fn with_lives(layout: Layout, lives: Vec<Life>) -> Logs {
        Logs {
            layout,
            lives,
            entries: Vec::new(),
            pending: BTreeSet::new(),
            watched: BinaryHeap::new(),
            serial: 0,
            dirty: Vec::new(),
            graves: Vec::new(),
            rows: 0,
        }
    }

    pub(crate) fn make_room(&mut self, slots: usize) {
        if self.entries.len() < slots {
            self.entries.resize_with(slots, LogEntry::default);
        }
    }

    /// A key's log, if it has one.
    pub(crate) fn find(&self, slot: u32) -> Option<&Log> {
        self.entries.get(slot as usize).map(|entry| &entry.log)
    }

    /// The log of a key that has one.
    pub(crate) fn log(&self, slot: u32) -> &Log {
        &self.entries[slot as usize].log
    }

    /// Number of a key's first pending row.
    pub(crate) fn settled(&self, slot: u32) -> u64 {
        self.entries.get(slot as usize).map_or(0, |entry| entry.settled)
    }

    pub(crate) fn set_marks(&mut self, slot: u32, number: u64, marks: Marks) {
        self.entries[slot as usize].log.set_marks(number, marks);
        self.touch(slot);
    }

    fn touch(&mut self, slot: u32) {
        let entry = &mut self.entries[slot as usize];
        if !entry.is_dirty {
            entry.is_dirty = true;
            self.dirty.push(slot);
        }
    }

    /// Inserts a row; `is_settled` says whether it is behind the settled boundary.
    pub(crate) fn insert(
        &mut self,
        slots: &mut Slots,
        slot: u32,
        place: Place,
        is_settled: bool,
        marks: Marks,
        (sources, row): (&[CellSource<'_>], usize),
    ) {
        self.make_room(slot as usize + 1);
        let entry = &mut self.entries[slot as usize];
        if entry.log.is_empty() {
            slots.retain(slot);
        }
        entry.log.insert(&self.layout, place, marks, sources, row, &mut self.serial);
        if !entry.is_watched
            && let Some(block) = entry.log.front()
            && let Some(until) = of_use(&self.lives, &entry.log, block)
        {
            entry.is_watched = true;
            self.watched.push(Reverse((until, slot)));
        }
        self.rows += 1;
        if is_settled {
            entry.settled += 1;
        } else if entry.first_pending.is_none_or(|first| place.time < first) {
            if let Some(first) = entry.first_pending.replace(place.time) {
                self.pending.remove(&(first, slot));
            }
            self.pending.insert((place.time, slot));
        }
        self.touch(slot);
    }

    /// Time of the first pending row of all.
    pub(crate) fn first_pending(&self) -> Option<i64> {
        self.pending.first().map(|(time, _)| *time)
    }

    /// Slots that have pending rows, with those rows' numbers.
    pub(crate) fn pending(&self) -> Vec<(u32, Range<u64>)> {
        let slots = self.pending.iter().map(|(_, slot)| *slot);
        slots.map(|slot| (slot, self.settled(slot)..self.log(slot).end())).collect()
    }

    /// A slot's pending rows, if it has any.
    pub(crate) fn pending_of(&self, slot: u32) -> Option<(u32, Range<u64>)> {
        let rows = self.settled(slot)..self.find(slot)?.end();
        (rows.start < rows.end).then_some((slot, rows))
    }

    /// Moves the settled boundary to `to`: gives the rows that came behind it.
    pub(crate) fn settle(&mut self, to: i64) -> Vec<(u32, Range<u64>)> {
        let mut settled = Vec::new();
        while let Some((time, slot)) = self.pending.first().copied().filter(|(time, _)| *time < to) {
            self.pending.remove(&(time, slot));
            let entry = &mut self.entries[slot as usize];
            let boundary = entry.log.first_at(to);
            settled.push((slot, entry.settled..boundary));
            entry.settled = boundary;
            entry.first_pending = (boundary < entry.log.end()).then(|| entry.log.time(boundary));
            if let Some(first) = entry.first_pending {
                self.pending.insert((first, slot));
            }
        }
        settled
    }

    /// Takes a settled row out of its log.
    pub(crate) fn remove_settled(&mut self, slots: &mut Slots, slot: u32, number: u64) {
        let entry = &mut self.entries[slot as usize];
        entry.settled -= 1;
        self.rows -= 1;
        if let Some(serial) = entry.log.remove(number) {
            self.graves.push((slots.key(answer::Slot(slot)).into(), serial));
        }
        if self.entries[slot as usize].log.is_empty() {
            slots.release(slot);
        }
        self.touch(slot);
    }

    /// Drops blocks none of whose rows is of use at the horizon, except what `stays` of a key; `leaving` is first told
    /// which rows of a key will go.
    pub(crate) fn evict(
        &mut self,
        slots: &mut Slots,
        horizon: i64,
        stays: impl Fn(u32) -> Option<Stay>,
        mut leaving: impl FnMut(u32, &Log, u64),
    ) {
        while let Some(Reverse((_, slot))) =
            self.watched.peek().copied().filter(|Reverse((until, _))| *until < horizon)
        {
            self.watched.pop();
            let entry = &mut self.entries[slot as usize];
            entry.is_watched = false;
            if entry.log.is_empty() {
                continue;
            }
            let log = &entry.log;
            let stay = stays(slot).filter(|stay| stay.until >= horizon);
            let stays_until = |block: &RowBlock| {
                stay.filter(|stay| block.last_time() >= stay.from).map_or(i64::MIN, |stay| stay.until)
            };
            let last_use =
                |log: &Log, block: &RowBlock| Some(of_use(&self.lives, log, block)?.max(stays_until(block)));
            let is_useless = |block: &&RowBlock| last_use(log, block).is_some_and(|until| until < horizon);
            let useless = log.blocks().take_while(is_useless);
            let (blocks, until) = useless.fold((0, 0), |(blocks, _), block| (blocks + 1, block.end()));
            if blocks > 0 {
                leaving(slot, log, until);
            }
            for block in (0..blocks).filter_map(|_| entry.log.evict_block()) {
                self.rows -= block.len() as u64;
                if block.is_stored {
                    self.graves.push((slots.key(answer::Slot(slot)).into(), block.serial));
                }
            }
            match entry.log.front() {
                None => slots.release(slot),
                Some(block) => {
                    if let Some(until) = last_use(&entry.log, block) {
                        entry.is_watched = true;
                        self.watched.push(Reverse((until, slot)));
                    }
                }
            }
        }
    }

    /// Forgets everything of a key that is gone.
    pub(crate) fn forget(&mut self, slot: u32) {
        if let Some(entry) = self.entries.get_mut(slot as usize) {
            let LogEntry { is_dirty, is_watched, .. } = *entry;
            *entry = LogEntry { is_dirty, is_watched, ..LogEntry::default() };
        }
    }

    /// Shows the stored form of every block.
    pub(crate) fn encode_all(&self, slots: &Slots, out: &mut answer::BlockSink<'_>) {
        let mut bytes = Vec::new();
        for (slot, entry) in self.entries.iter().enumerate() {
            for block in entry.log.blocks() {
                bytes.clear();
                block.encode(&mut bytes);
                out(slots.key(answer::Slot(slot as u32)), name(block.serial), Some(&bytes));
            }
        }
    }

    /// Shows the stored form of blocks that changed, of as many keys as are `left` to be shown.
    pub(crate) fn encode_dirty(&mut self, slots: &Slots, left: &mut usize, out: &mut answer::BlockSink<'_>) {
        for (key, serial) in self.graves.drain(..) {
            out(&key, name(serial), None);
        }
        let mut bytes = Vec::new();
        let rest = self.dirty.len().saturating_sub(*left);
        for slot in self.dirty.drain(rest..) {
            *left -= 1;
            let entry = &mut self.entries[slot as usize];
            entry.is_dirty = false;
            for block in entry.log.blocks_mut().filter(|block| block.is_dirty) {
                block.is_dirty = false;
                block.is_stored = true;
                bytes.clear();
                block.encode(&mut bytes);
                out(slots.key(answer::Slot(slot)), name(block.serial), Some(&bytes));
            }
        }
    }

    /// Takes a stored block back, whose start is its serial number.
    pub(crate) fn decode(
        &mut self,
        slots: &mut Slots,
        slot: Slot,
        block: Block,
        stored: &[u8],
    ) -> Result<(), DecodeError> {
        let Some(rows) = RowBlock::decode(stored, block.start, &self.layout.types) else {
            return Err(DecodeError::new(block, "the row block's bytes do not read"));
        };
        self.make_room(slot.0 as usize + 1);
        let log = &mut self.entries[slot.0 as usize].log;
        if log.is_empty() {
            slots.retain(slot.0);
        }
        log.restore(rows);
        self.serial = self.serial.max(block.start);
        Ok(())
    }

    /// Orders what was taken back. Gives the slots whose blocks contradict each other.
    pub(crate) fn restore_done(&mut self, settled: i64) -> Vec<u32> {
        let mut damaged = Vec::new();
        for (slot, entry) in self.entries.iter_mut().enumerate().filter(|(_, entry)| !entry.log.is_empty()) {
            let slot = slot as u32;
            if !entry.log.restore_done() {
                damaged.push(slot);
                continue;
            }
            self.rows += entry.log.end();
            entry.settled = entry.log.first_at(settled);
            entry.first_pending = (entry.settled < entry.log.end()).then(|| entry.log.time(entry.settled));
            self.pending.extend(entry.first_pending.map(|first| (first, slot)));
            let front = entry.log.front();
            if let Some(until) = front.and_then(|block| of_use(&self.lives, &entry.log, block)) {
                entry.is_watched = true;
                self.watched.push(Reverse((until, slot)));
            }
        }
        damaged
    }

    /// Rows that carry any of these marks: slot, number, marks.
    pub(crate) fn marked(&self, marks: Marks) -> Vec<(u32, u64, Marks)> {
        let mut found = Vec::new();
        for (slot, entry) in self.entries.iter().enumerate() {
            for block in entry.log.blocks().filter(|block| !block.is_unmarked()) {
                let rows = (0..block.len()).filter(|row| block.marks(*row).has_any(marks));
                found.extend(rows.map(|row| (slot as u32, block.start + row as u64, block.marks(row))));
            }
        }
        found
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let logs: usize = self.entries.iter().map(|entry| entry.log.memory_bytes()).sum();
        logs + self.entries.capacity() * size_of::<LogEntry>()
            + (self.pending.len() + self.watched.len()) * 24
    }
}
