//! Windows that a row in their panes does not count in.
//!
//! A row that is too late for a window may still count in others that hold its pane. Before it does, the key's state
//! of each window that it must not change is taken aside, also where the key has no row in it, and also where the window
//! is still open as other partitions are behind: lookups and results find it here. From then on rows of other partitions
//! that do change such a window are fed to what was taken aside (`kept_change.rs`), and how many of its rows are not
//! returned yet is noted beside it.
//!
//! Knows states, windows by their name, and slots. Must not know which windows are to be kept.

use crate::aggregate::{AggregateError, States};
use crate::answer::{Block, BlockSink, Slot};
use crate::bytes::{self, Reader};
use crate::geometry::WindowName;
use crate::marks::Marks;
use crate::migration::Migrating;
use crate::slots::{ByNumber, Slots};
use crate::spec::AggregateSpec;
use crate::state_origins::StateOrigins;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use weir_event::{PartitionId, Rank};

/// Version of the stored bytes.
const FORMAT: u8 = 3;
/// The version that ends before whether it is listed: it is not.
const WITHOUT_LISTED: u8 = 2;
/// The version that ends before how many rows are not returned yet: none is.
const WITHOUT_UNRETURNED: u8 = 1;
/// All versions that are read.
const FORMATS: [u8; 3] = [FORMAT, WITHOUT_LISTED, WITHOUT_UNRETURNED];

/// A key's state of one window.
pub(crate) struct KeptState {
    pub(crate) rows: u64,
    /// Newest event time; of no meaning without rows.
    pub(crate) newest: i64,
    /// Of each aggregate, states of one group.
    pub(crate) states: Vec<Box<dyn States>>,
    /// How many of the rows came since the window was last returned; all, if it never was.
    pub(crate) unreturned: u64,
    /// Whether any of the rows came since changes were last asked for.
    pub(crate) is_listed: bool,
    /// Rows in its panes that do not count in it; only where an ordered aggregate is fed from logs that have them.
    pub(crate) left_out: Vec<Rank>,
}

impl KeptState {
    /// Whether it was returned, and what has come since.
    pub(crate) fn marks(&self) -> Marks {
        Marks::NONE
            .with_if(Marks::CHANGED, self.unreturned > 0)
            .with_if(Marks::RETURNED, self.rows > self.unreturned)
            .with_if(Marks::LISTED, self.is_listed)
    }

    fn encode(&self, (window, slot): (WindowName, u32), slots: &Slots, out: &mut BlockSink<'_>) {
        let (mut bytes, mut state) = (vec![FORMAT], Vec::new());
        bytes::put_unsigned(self.rows, &mut bytes);
        bytes::put_signed(self.newest, &mut bytes);
        for states in &self.states {
            state.clear();
            states.encode(0, &mut state);
            bytes::put_bytes(&state, &mut bytes);
        }
        bytes::put_unsigned(self.unreturned, &mut bytes);
        bytes::put_unsigned(self.left_out.len() as u64, &mut bytes);
        for Rank { partition, offset } in &self.left_out {
            bytes::put_unsigned(u64::from(partition.source), &mut bytes);
            bytes::put_unsigned(u64::from(partition.partition), &mut bytes);
            bytes::put_unsigned(*offset, &mut bytes);
        }
        bytes.push(u8::from(self.is_listed));
        out(
            slots.key(Slot(slot)),
            Block { column: Block::KEPT, level: 0, start: window.millis() },
            Some(&bytes),
        );
    }
}

/// What is kept, by window and slot.
#[derive(Default)]
pub(crate) struct Kept {
    windows: BTreeMap<WindowName, ByNumber<KeptState>>,
    dirty: BTreeSet<(WindowName, u32)>,
    /// Those that are `CHANGED`.
    changed: BTreeSet<(WindowName, u32)>,
    /// Those that are `LISTED`.
    listed: BTreeSet<(WindowName, u32)>,
}

impl Kept {
    pub(crate) fn find(&self, window: WindowName, slot: u32) -> Option<&KeptState> {
        self.windows.get(&window)?.get(&slot)
    }

    /// What is kept of a window, by slot.
    pub(crate) fn of_window(&self, window: WindowName) -> Option<&ByNumber<KeptState>> {
        self.windows.get(&window)
    }

    /// Those of these windows that anything is kept of.
    pub(crate) fn among(&self, windows: RangeInclusive<WindowName>) -> impl Iterator<Item = WindowName> {
        self.windows.range(windows).map(|(window, _)| *window)
    }

    /// Whether any has changed of windows up to a last one.
    pub(crate) fn has_changed(&self, last: Option<WindowName>) -> bool {
        self.changed.first().is_some_and(|first| Some(first.0) <= last)
    }

    pub(crate) fn keep(&mut self, slots: &mut Slots, window: WindowName, slot: u32, state: KeptState) {
        slots.retain(slot);
        self.note(window, slot, &state);
        self.windows.entry(window).or_default().insert(slot, state);
        self.dirty.insert((window, slot));
    }

    fn note(&mut self, window: WindowName, slot: u32, state: &KeptState) {
        if state.marks().has(Marks::CHANGED) {
            self.changed.insert((window, slot));
        }
        if state.marks().has(Marks::LISTED) {
            self.listed.insert((window, slot));
        }
    }

    /// A state to be changed.
    pub(crate) fn change(&mut self, window: WindowName, slot: u32) -> Option<&mut KeptState> {
        let state = self.windows.get_mut(&window)?.get_mut(&slot)?;
        self.dirty.insert((window, slot));
        Some(state)
    }

    /// Rows that count in it came; with `is_listed`, so that changes will say so.
    pub(crate) fn mark_changed(&mut self, window: WindowName, slot: u32, is_listed: bool) {
        self.changed.insert((window, slot));
        if is_listed && let Some(state) = self.change(window, slot) {
            state.is_listed = true;
            self.listed.insert((window, slot));
        }
    }

    /// What has changed of windows up to a last one: slots, and whether each was returned before. All of it is returned
    /// now.
    pub(crate) fn take_changed(&mut self, last: WindowName) -> BTreeMap<WindowName, Vec<(u32, bool)>> {
        let mut taken: BTreeMap<WindowName, Vec<(u32, bool)>> = BTreeMap::new();
        while let Some((window, slot)) = self.changed.first().copied().filter(|first| first.0 <= last) {
            let is_revised = self.take_changed_of(window, slot);
            taken.entry(window).or_default().extend(is_revised.map(|is_revised| (slot, is_revised)));
        }
        taken
    }

    /// Whether a window that has changed was returned before; all of it is returned now.
    pub(crate) fn take_changed_of(&mut self, window: WindowName, slot: u32) -> Option<bool> {
        self.changed.remove(&(window, slot)).then_some(())?;
        let state = self.change(window, slot)?;
        let is_revised = state.marks().has(Marks::RETURNED);
        state.unreturned = 0;
        Some(is_revised)
    }

    /// Changes were asked for.
    pub(crate) fn forget_listed(&mut self) {
        for (window, slot) in std::mem::take(&mut self.listed) {
            if let Some(state) = self.change(window, slot) {
                state.is_listed = false;
            }
        }
    }

    /// Drops windows before `oldest`.
    pub(crate) fn expire(&mut self, slots: &mut Slots, oldest: WindowName) {
        while let Some(first) = self.windows.first_entry().filter(|first| *first.key() < oldest) {
            first.remove().into_keys().for_each(|slot| slots.release(slot));
        }
        self.changed = self.changed.split_off(&(oldest, 0));
        self.listed = self.listed.split_off(&(oldest, 0));
    }

    pub(crate) fn encode_dirty(&mut self, slots: &Slots, left: &mut usize, out: &mut BlockSink<'_>) {
        while *left > 0
            && let Some((window, slot)) = self.dirty.pop_first()
        {
            *left -= 1;
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
        (slot, window): (u32, WindowName),
        stored: &[u8],
    ) -> Result<(), AggregateError> {
        let damaged = || AggregateError::Damaged("a kept window's bytes do not read".to_owned());
        let mut reader = Reader::new(stored);
        let format = reader.byte().filter(|format| FORMATS.contains(format));
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
        let unreturned_and_left_out =
            if format == WITHOUT_UNRETURNED { Some((0, Vec::new())) } else { take_unreturned(&mut reader) };
        let (unreturned, left_out) = unreturned_and_left_out.ok_or_else(damaged)?;
        let is_listed = if format == FORMAT { take_flag(&mut reader) } else { Some(false) };
        let is_listed = is_listed.filter(|_| reader.is_empty()).ok_or_else(damaged)?;
        let state = KeptState { rows, newest, states, unreturned, is_listed, left_out };
        self.note(window, slot, &state);
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
            + (self.dirty.len() + self.changed.len() + self.listed.len()) * size_of::<(WindowName, u32)>()
    }
}

fn take_unreturned(reader: &mut Reader<'_>) -> Option<(u64, Vec<Rank>)> {
    let unreturned = reader.unsigned()?;
    let left_out = (0..reader.unsigned()?).map(|_| take_rank(reader)).collect::<Option<_>>()?;
    Some((unreturned, left_out))
}

fn take_flag(reader: &mut Reader<'_>) -> Option<bool> {
    reader.byte().filter(|flag| *flag <= 1).map(|flag| flag == 1)
}

fn take_rank(reader: &mut Reader<'_>) -> Option<Rank> {
    let source = u16::try_from(reader.unsigned()?).ok()?;
    let partition = u16::try_from(reader.unsigned()?).ok()?;
    Some(Rank { partition: PartitionId { source, partition }, offset: reader.unsigned()? })
}

/// A stored state of a window with those of other aggregates.
pub(crate) fn restated(stored: &[u8], states: &StateOrigins, migrating: &mut Migrating) -> Option<Vec<u8>> {
    let mut reader = Reader::new(stored);
    reader.byte().filter(|format| FORMATS.contains(format))?;
    reader.unsigned()?;
    reader.signed()?;
    let mut out = reader.read_of(stored).to_vec();
    states.copy(&mut reader, 1, migrating, &mut out)?;
    out.extend_from_slice(reader.rest());
    Some(out)
}

/// One group without rows.
pub(crate) fn identity(aggregate: &AggregateSpec) -> Box<dyn States> {
    let mut states = aggregate.function.states();
    states.resize(1);
    states
}
