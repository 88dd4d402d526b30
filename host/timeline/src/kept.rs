//! Results of windows that stay as they are though a late row has come into their panes.
//!
//! A row that is too late for a window may still count in others that hold its pane. Before it does, the key's state
//! of each window that it must not change is taken aside, also where the key has no row in it; lookups find it here.
//!
//! Knows states, windows by their number, and slots. Must not know which windows are to be kept.

use crate::aggregate::{AggregateError, States};
use crate::answer::{Block, BlockSink, Slot};
use crate::bytes::{self, Reader};
use crate::grid::GridStage;
use crate::slots::{ByNumber, Slots};
use crate::spec::AggregateSpec;
use std::collections::BTreeMap;

/// Version of the stored bytes.
const FORMAT: u8 = 1;

/// A key's state of one window.
pub(crate) struct KeptState {
    pub(crate) rows: u64,
    /// Newest event time; of no meaning without rows.
    pub(crate) newest: i64,
    /// Of each aggregate, states of one group.
    pub(crate) states: Vec<Box<dyn States>>,
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
        out(slots.key(Slot(slot)), Block { column: Block::KEPT, level: 0, start: window }, Some(&bytes));
    }
}

/// What is kept, by window and slot.
#[derive(Default)]
pub(crate) struct Kept {
    windows: BTreeMap<i64, ByNumber<KeptState>>,
    dirty: Vec<(i64, u32)>,
}

impl Kept {
    pub(crate) fn find(&self, window: i64, slot: u32) -> Option<&KeptState> {
        self.windows.get(&window)?.get(&slot)
    }

    fn keep(&mut self, slots: &mut Slots, window: i64, slot: u32, state: KeptState) {
        slots.retain(slot);
        self.windows.entry(window).or_default().insert(slot, state);
        self.dirty.push((window, slot));
    }

    /// Drops windows before `oldest`.
    pub(crate) fn expire(&mut self, slots: &mut Slots, oldest: i64) {
        while let Some(first) = self.windows.first_entry().filter(|first| *first.key() < oldest) {
            first.remove().into_keys().for_each(|slot| slots.release(slot));
        }
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
        if reader.byte() != Some(FORMAT) {
            return Err(AggregateError::Damaged("a kept window is of an unknown format".to_owned()));
        }
        let rows = reader.unsigned().ok_or_else(damaged)?;
        let newest = reader.signed().ok_or_else(damaged)?;
        let mut states = Vec::with_capacity(aggregates.len());
        for aggregate in aggregates {
            let mut own = identity(aggregate);
            own.decode(0, reader.bytes().ok_or_else(damaged)?)?;
            states.push(own);
        }
        if !reader.is_empty() {
            return Err(damaged());
        }
        let state = KeptState { rows, newest, states };
        if self.windows.entry(window).or_default().insert(slot, state).is_none() {
            slots.retain(slot);
        }
        Ok(())
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let of_state =
            |kept: &KeptState| kept.states.iter().map(|states| states.memory_bytes()).sum::<usize>();
        let of_window =
            |kept: &ByNumber<KeptState>| kept.allocation_size() + kept.values().map(of_state).sum::<usize>();
        self.windows.values().map(of_window).sum::<usize>() + self.dirty.capacity() * size_of::<(i64, u32)>()
    }
}

fn identity(aggregate: &AggregateSpec) -> Box<dyn States> {
    let mut states = aggregate.function.states();
    states.resize(1);
    states
}

impl GridStage {
    /// Takes aside what windows over a pane hold of some keys, where rows that are about to come into the pane must
    /// not change it.
    pub(crate) fn keep_sealed(
        &mut self,
        slots: &mut Slots,
        pane: i64,
        keys: &[u32],
    ) -> Result<(), AggregateError> {
        let (Some(oldest), Some(sealed)) = (self.oldest_kept(), self.sealed()) else { return Ok(()) };
        let mut next = Some(self.geometry.first_window(pane));
        if next.is_none_or(|first| first > sealed) {
            return Ok(());
        }
        let mut keys = keys.to_vec();
        keys.sort_unstable();
        keys.dedup();
        while let Some(window) = next.filter(|window| *window <= sealed.min(self.geometry.last_window(pane)))
        {
            next = self.geometry.following(window);
            let new = keys.iter().copied().filter(|slot| self.kept.find(window, *slot).is_none());
            let new: Vec<u32> = new.collect();
            if window >= oldest && !new.is_empty() {
                self.keep_window(slots, window, &new)?;
            }
        }
        Ok(())
    }

    fn keep_window(&mut self, slots: &mut Slots, window: i64, keys: &[u32]) -> Result<(), AggregateError> {
        let aggregates = 0..self.spec.aggregates.len();
        let folded =
            aggregates.map(|at| self.fold_window(at, window, keys)).collect::<Result<Vec<_>, _>>()?;
        let (start, end) = self.geometry.bounds(window);
        for (place, slot) in keys.iter().enumerate() {
            let (mut rows, mut newest) = (0, i64::MIN);
            for pane in self.panes.range(start..end).map(|(_, pane)| pane) {
                if let Some(group) = pane.group(*slot) {
                    rows += u64::from(pane.rows[group as usize]);
                    newest = newest.max(pane.newest[group as usize]);
                }
            }
            let states = folded.iter().map(|states| states.copy(&[place as u32])).collect();
            self.kept.keep(slots, window, *slot, KeptState { rows, newest, states });
        }
        Ok(())
    }
}
