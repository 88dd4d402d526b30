//! Windows that a row in their panes does not count in.
//!
//! A row that is too late for a window may still count in others that hold its pane. Before it does, the key's state
//! of each window that it must not change is taken aside, also where the key has no row in it; lookups find it here.
//! From then on rows of other partitions that do change such a window are fed to what was taken aside
//! (`kept_change.rs`), and what is due is noted beside it.
//!
//! Knows states, windows by their number, and slots. Must not know which windows are to be kept.

use crate::aggregate::{AggregateError, States};
use crate::answer::{Block, BlockSink, Slot};
use crate::bytes::{self, Reader};
use crate::slots::{ByNumber, Slots};
use crate::spec::AggregateSpec;
use std::collections::{BTreeMap, BTreeSet};
use weir_event::{PartitionId, Rank};

/// Version of the stored bytes.
const FORMAT: u8 = 2;
/// The version that ends before what is due: nothing is.
const WITHOUT_DUE: u8 = 1;

/// A key's state of one window.
pub(crate) struct KeptState {
    pub(crate) rows: u64,
    /// Newest event time; of no meaning without rows.
    pub(crate) newest: i64,
    /// Of each aggregate, states of one group.
    pub(crate) states: Vec<Box<dyn States>>,
    /// How many of the rows came after the window was returned, and it was not returned again since.
    pub(crate) due: u64,
    /// Rows in its panes that do not count in it; only where an ordered aggregate is fed from logs that have them.
    pub(crate) left_out: Vec<Rank>,
}

impl KeptState {
    fn encode(&self, (window, slot): (i64, u32), slots: &Slots, out: &mut BlockSink<'_>) {
        let (mut bytes, mut state) = (vec![FORMAT], Vec::new());
        bytes::put_unsigned(self.rows, &mut bytes);
        bytes::put_signed(self.newest, &mut bytes);
        for states in &self.states {
            state.clear();
            states.encode(0, &mut state);
            bytes::put_bytes(&state, &mut bytes);
        }
        bytes::put_unsigned(self.due, &mut bytes);
        bytes::put_unsigned(self.left_out.len() as u64, &mut bytes);
        for Rank { partition, offset } in &self.left_out {
            bytes::put_unsigned(u64::from(partition.source), &mut bytes);
            bytes::put_unsigned(u64::from(partition.partition), &mut bytes);
            bytes::put_unsigned(*offset, &mut bytes);
        }
        out(slots.key(Slot(slot)), Block { column: Block::KEPT, level: 0, start: window }, Some(&bytes));
    }
}

/// What is kept, by window and slot.
#[derive(Default)]
pub(crate) struct Kept {
    windows: BTreeMap<i64, ByNumber<KeptState>>,
    dirty: BTreeSet<(i64, u32)>,
    /// Those with rows that are due.
    due: BTreeSet<(i64, u32)>,
}

impl Kept {
    pub(crate) fn find(&self, window: i64, slot: u32) -> Option<&KeptState> {
        self.windows.get(&window)?.get(&slot)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.windows.is_empty()
    }

    /// Whether anything is to be returned again.
    pub(crate) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    pub(crate) fn keep(&mut self, slots: &mut Slots, window: i64, slot: u32, state: KeptState) {
        slots.retain(slot);
        if state.due > 0 {
            self.due.insert((window, slot));
        }
        self.windows.entry(window).or_default().insert(slot, state);
        self.dirty.insert((window, slot));
    }

    /// A state to be changed.
    pub(crate) fn change(&mut self, window: i64, slot: u32) -> Option<&mut KeptState> {
        let state = self.windows.get_mut(&window)?.get_mut(&slot)?;
        self.dirty.insert((window, slot));
        Some(state)
    }

    pub(crate) fn mark_due(&mut self, window: i64, slot: u32) {
        self.due.insert((window, slot));
    }

    /// What is due, by window: slots, and whether each was returned before. It is due no more.
    pub(crate) fn take_due(&mut self) -> BTreeMap<i64, Vec<(u32, bool)>> {
        let mut taken: BTreeMap<i64, Vec<(u32, bool)>> = BTreeMap::new();
        for (window, slot) in std::mem::take(&mut self.due) {
            let Some(state) = self.change(window, slot) else { continue };
            taken.entry(window).or_default().push((slot, state.rows > state.due));
            state.due = 0;
        }
        taken
    }

    /// Drops windows before `oldest`.
    pub(crate) fn expire(&mut self, slots: &mut Slots, oldest: i64) {
        while let Some(first) = self.windows.first_entry().filter(|first| *first.key() < oldest) {
            first.remove().into_keys().for_each(|slot| slots.release(slot));
        }
        self.due = self.due.split_off(&(oldest, 0));
    }

    pub(crate) fn encode_dirty(&mut self, slots: &Slots, out: &mut BlockSink<'_>) {
        for (window, slot) in std::mem::take(&mut self.dirty) {
            if let Some(kept) = self.find(window, slot) {
                kept.encode((window, slot), slots, out);
            }
        }
    }

    pub(crate) fn encode_all(&self, slots: &Slots, out: &mut BlockSink<'_>) {
        for (window, states) in &self.windows {
            states.iter().for_each(|(slot, kept)| kept.encode((*window, *slot), slots, out));
        }
    }

    /// Takes a stored state back.
    pub(crate) fn decode(
        &mut self,
        aggregates: &[AggregateSpec],
        slots: &mut Slots,
        (slot, window): (u32, i64),
        stored: &[u8],
    ) -> Result<(), AggregateError> {
        let damaged = || AggregateError::Damaged("a kept window's bytes do not read".to_owned());
        let mut reader = Reader::new(stored);
        let format = reader.byte().filter(|format| [FORMAT, WITHOUT_DUE].contains(format));
        let Some(format) = format else {
            return Err(AggregateError::Damaged("a kept window is of an unknown format".to_owned()));
        };
        let rows = reader.unsigned().ok_or_else(damaged)?;
        let newest = reader.signed().ok_or_else(damaged)?;
        let mut states = Vec::with_capacity(aggregates.len());
        for aggregate in aggregates {
            let mut own = identity(aggregate);
            own.decode(0, reader.bytes().ok_or_else(damaged)?)?;
            states.push(own);
        }
        let due_and_left_out = if format == FORMAT { take_due(&mut reader) } else { Some((0, Vec::new())) };
        let (due, left_out) = due_and_left_out.ok_or_else(damaged)?;
        if !reader.is_empty() {
            return Err(damaged());
        }
        if due > 0 {
            self.due.insert((window, slot));
        }
        let state = KeptState { rows, newest, states, due, left_out };
        if self.windows.entry(window).or_default().insert(slot, state).is_none() {
            slots.retain(slot);
        }
        Ok(())
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let of_state = |kept: &KeptState| {
            let states = kept.states.iter().map(|states| states.memory_bytes()).sum::<usize>();
            states + kept.left_out.capacity() * size_of::<Rank>()
        };
        let of_window =
            |kept: &ByNumber<KeptState>| kept.allocation_size() + kept.values().map(of_state).sum::<usize>();
        self.windows.values().map(of_window).sum::<usize>()
            + (self.dirty.len() + self.due.len()) * size_of::<(i64, u32)>()
    }
}

fn take_due(reader: &mut Reader<'_>) -> Option<(u64, Vec<Rank>)> {
    let due = reader.unsigned()?;
    let left_out = (0..reader.unsigned()?).map(|_| take_rank(reader)).collect::<Option<_>>()?;
    Some((due, left_out))
}

fn take_rank(reader: &mut Reader<'_>) -> Option<Rank> {
    let source = u16::try_from(reader.unsigned()?).ok()?;
    let partition = u16::try_from(reader.unsigned()?).ok()?;
    Some(Rank { partition: PartitionId { source, partition }, offset: reader.unsigned()? })
}

/// One group without rows.
pub(crate) fn identity(aggregate: &AggregateSpec) -> Box<dyn States> {
    let mut states = aggregate.function.states();
    states.resize(1);
    states
}
