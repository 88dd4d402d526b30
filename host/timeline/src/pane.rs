//! One slice of the time grid: for each key that has rows in it, the row count and one state per aggregate.
//!
//! Columns by group, which is a key's number within the pane. Knows no other pane.

use crate::aggregate::{AggregateError, States};
use crate::bytes::{self, Reader};
use crate::marks::{Marks, StoredMarks};
use crate::migration::Migrating;
use crate::spec::AggregateSpec;
use crate::state_origins::StateOrigins;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

/// Version of a stored tile's bytes.
const FORMAT: u8 = 1;

/// What of a tile's marks is stored.
const STORED_MARKS: StoredMarks =
    StoredMarks(&[(Marks::CHANGED, 1), (Marks::RETURNED, 2), (Marks::REFOLD, 4), (Marks::LISTED, 16)]);

/// The keys' partial aggregates in one slice of time.
pub(crate) struct Pane {
    index: HashTable<u32>,
    /// Key of each group.
    pub(crate) slots: Vec<u32>,
    /// Rows of each group. A group without rows is as if it was not there.
    pub(crate) rows: Vec<u32>,
    /// Newest event time of each group.
    pub(crate) newest: Vec<i64>,
    /// Marks of each group.
    pub(crate) marks: Vec<Marks>,
    /// Rows of each group whose corrections are still due; mostly there are none, and the list is shorter.
    due: Vec<u32>,
    /// One column of states per aggregate.
    pub(crate) states: Vec<Box<dyn States>>,
    dirty: Vec<u32>,
}

/// Spreads slots over a hash table's buckets and tags.
fn hash_of(slot: u32) -> u64 {
    u64::from(slot).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

impl Pane {
    pub(crate) fn new(aggregates: &[AggregateSpec]) -> Pane {
        Pane {
            index: HashTable::new(),
            slots: Vec::new(),
            rows: Vec::new(),
            newest: Vec::new(),
            marks: Vec::new(),
            due: Vec::new(),
            states: aggregates.iter().map(|aggregate| aggregate.function.states()).collect(),
            dirty: Vec::new(),
        }
    }

    /// The group of a key that has rows here.
    pub(crate) fn group(&self, slot: u32) -> Option<u32> {
        let group = self.index.find(hash_of(slot), |group| self.slots[*group as usize] == slot);
        group.copied().filter(|group| self.rows[*group as usize] > 0)
    }

    /// The group of a key, made if need be: without rows, states at identity.
    pub(crate) fn group_or_insert(&mut self, slot: u32) -> u32 {
        let slots = &mut self.slots;
        let is_same = |group: &u32| slots[*group as usize] == slot;
        match self.index.entry(hash_of(slot), is_same, |group| hash_of(slots[*group as usize])) {
            Entry::Occupied(occupied) => *occupied.get(),
            Entry::Vacant(vacant) => {
                let group = slots.len() as u32;
                vacant.insert(group);
                slots.push(slot);
                self.rows.push(0);
                self.newest.push(i64::MIN);
                self.marks.push(Marks::NONE);
                group
            }
        }
    }

    /// Makes every aggregate have a state for every group.
    pub(crate) fn make_room(&mut self) {
        let groups = self.slots.len();
        self.states
            .iter_mut()
            .filter(|states| states.len() < groups)
            .for_each(|states| states.resize(groups));
    }

    /// Groups that have rows.
    pub(crate) fn live(&self) -> impl Iterator<Item = u32> + '_ {
        (0..self.slots.len() as u32).filter(|group| self.rows[*group as usize] > 0)
    }

    pub(crate) fn mark_dirty(&mut self, group: u32) {
        let marks = &mut self.marks[group as usize];
        if !marks.has(Marks::DIRTY) {
            marks.set(Marks::DIRTY);
            self.dirty.push(group);
        }
    }

    /// Sets some marks of a group and takes others away.
    pub(crate) fn change_marks(&mut self, group: u32, set: Marks, clear: Marks) {
        let marks = &mut self.marks[group as usize];
        let changed = marks.with(set).without(clear);
        if *marks != changed {
            *marks = changed;
            self.mark_dirty(group);
        }
    }

    /// Rows of a group whose corrections are still due.
    pub(crate) fn due(&self, group: u32) -> u32 {
        self.due.get(group as usize).copied().unwrap_or(0)
    }

    pub(crate) fn set_due(&mut self, group: u32, rows: u32) {
        if self.due.len() <= group as usize {
            if rows == 0 {
                return;
            }
            self.due.resize(self.slots.len(), 0);
        }
        self.due[group as usize] = rows;
        self.mark_dirty(group);
    }

    /// Groups that were touched and not taken since, so many at the most.
    pub(crate) fn take_dirty(&mut self, limit: usize) -> Vec<u32> {
        let rest = self.dirty.len().saturating_sub(limit);
        let dirty = self.dirty.split_off(rest);
        for group in &dirty {
            self.marks[*group as usize].clear(Marks::DIRTY);
        }
        dirty
    }

    /// Appends one key's tile as bytes.
    pub(crate) fn encode(&self, group: u32, out: &mut Vec<u8>) {
        let at = group as usize;
        out.push(FORMAT);
        out.push(STORED_MARKS.write(self.marks[at]));
        bytes::put_unsigned(u64::from(self.rows[at]), out);
        bytes::put_signed(self.newest[at], out);
        bytes::put_unsigned(u64::from(self.due(group)), out);
        let mut state = Vec::new();
        for states in &self.states {
            state.clear();
            states.encode(group, &mut state);
            bytes::put_bytes(&state, out);
        }
    }

    /// Takes a stored tile of a key in.
    pub(crate) fn decode(&mut self, slot: u32, stored: &[u8]) -> Result<(), AggregateError> {
        let damaged = || AggregateError::Damaged("a tile's head does not read".to_owned());
        let mut reader = Reader::new(stored);
        if reader.byte() != Some(FORMAT) {
            return Err(AggregateError::Damaged("a tile is of an unknown format".to_owned()));
        }
        let marks = reader.byte().and_then(|stored| STORED_MARKS.read(stored)).ok_or_else(damaged)?;
        let mut whole = || u32::try_from(reader.unsigned()?).ok();
        let rows = whole().filter(|rows| *rows > 0).ok_or_else(damaged)?;
        let newest = reader.signed().ok_or_else(damaged)?;
        let due = reader.unsigned().and_then(|due| u32::try_from(due).ok()).ok_or_else(damaged)?;
        let group = self.group_or_insert(slot);
        self.make_room();
        for states in &mut self.states {
            let state = reader.bytes().ok_or_else(damaged)?;
            states.decode(group, state)?;
        }
        if !reader.is_empty() {
            return Err(damaged());
        }
        let at = group as usize;
        (self.rows[at], self.newest[at], self.marks[at]) = (rows, newest, marks);
        if due > 0 {
            self.due.resize(self.slots.len(), 0);
            self.due[at] = due;
        }
        Ok(())
    }

    /// A stored tile with the states of other aggregates.
    pub(crate) fn restated(
        stored: &[u8],
        states: &StateOrigins,
        migrating: &mut Migrating,
    ) -> Option<Vec<u8>> {
        let mut reader = Reader::new(stored);
        reader.byte().filter(|format| *format == FORMAT)?;
        reader.byte()?;
        reader.unsigned()?;
        reader.signed()?;
        reader.unsigned()?;
        let mut out = reader.read_of(stored).to_vec();
        states.copy(&mut reader, 1, migrating, &mut out)?;
        reader.is_empty().then_some(out)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let states: usize = self.states.iter().map(|states| states.memory_bytes()).sum();
        // Slot, rows, newest, marks.
        let columns = self.slots.capacity() * 17;
        self.index.allocation_size() + columns + (self.due.capacity() + self.dirty.capacity()) * 4 + states
    }
}
