//! Windows as they stand, returned as their rows come: which keys got rows since the last time, and which open windows
//! were returned and hold no newer row.
//!
//! That a row came is marked in its tile. What was returned of open windows is noted beside, as `RETURNED` or `STALE`,
//! and stored in blocks of its own; a window that is complete needs no note.

use super::GridStage;
use super::hop::Hop;
use super::ordered;
use crate::aggregate::AggregateError;
use crate::answer::{Block, BlockSink, Results, Slot};
use crate::collect::Collector;
use crate::geometry::{PaneStart, WindowName};
use crate::marks::Marks;
use crate::slots::counted;
use crate::slots::{ByNumber, Slots};
use crate::tiles::Panes;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// What is stored of a window that was returned, when a newer row has come since.
const STORED_STALE: u8 = 0;
/// What is stored of a window that was returned with all of its rows.
const STORED_CURRENT: u8 = 1;

/// What is known of changes; only where they will be asked for.
#[derive(Default)]
pub(crate) struct Changes {
    /// Slots, and panes that got rows of theirs since changes were last returned.
    listed: BTreeSet<(u32, PaneStart)>,
    /// By open window and slot, what was returned.
    notes: BTreeMap<WindowName, ByNumber<Marks>>,
    dirty: BTreeSet<(WindowName, u32)>,
}

fn to_store(note: Marks) -> u8 {
    if note.is_current() { STORED_CURRENT } else { STORED_STALE }
}

pub(super) fn name(window: WindowName) -> Block {
    Block { column: Block::EMITTED, level: 0, start: window.millis() }
}

impl Changes {
    /// A row of a key came into a pane of these open windows.
    pub(crate) fn note_row(&mut self, slot: u32, pane: PaneStart, windows: RangeInclusive<WindowName>) {
        self.listed.insert((slot, pane));
        for (window, notes) in self.notes.range_mut(windows) {
            if let Some(note) = notes.get_mut(&slot).filter(|note| note.is_current()) {
                note.set(Marks::CHANGED);
                self.dirty.insert((*window, slot));
            }
        }
    }

    fn note_returned(&mut self, window: WindowName, slot: u32) {
        self.notes.entry(window).or_default().insert(slot, Marks::RETURNED);
        self.dirty.insert((window, slot));
    }

    fn note(&self, window: WindowName, slot: u32) -> Option<Marks> {
        self.notes.get(&window)?.get(&slot).copied()
    }

    /// Whether a window was returned, and no row has come since.
    pub(crate) fn is_current(&self, window: WindowName, slot: u32) -> bool {
        self.note(window, slot).is_some_and(Marks::is_current)
    }

    /// Whether a window was returned.
    pub(crate) fn is_returned(&self, window: WindowName, slot: u32) -> bool {
        self.note(window, slot).is_some()
    }

    /// Windows up to this one are complete.
    pub(crate) fn close(&mut self, closed: WindowName) {
        while let Some(first) = self.notes.first_entry().filter(|first| *first.key() <= closed) {
            first.remove();
        }
        while let Some(first) = self.dirty.first().filter(|first| first.0 <= closed).copied() {
            self.dirty.remove(&first);
        }
    }

    /// Every window is returned as it stands: the panes say so from now on.
    pub(crate) fn forget_all(&mut self) {
        self.listed.clear();
        for (window, notes) in std::mem::take(&mut self.notes) {
            self.dirty.extend(notes.into_keys().map(|slot| (window, slot)));
        }
    }

    /// Keys are gone, and their slots, which are sorted, may become others'.
    pub(crate) fn forget(&mut self, slots: &[u32]) {
        let stays = |slot: &u32| slots.binary_search(slot).is_err();
        for notes in self.notes.values_mut() {
            notes.retain(|slot, _| stays(slot));
        }
        self.dirty.retain(|(_, slot)| stays(slot));
        self.listed.retain(|(slot, _)| stays(slot));
    }

    pub(crate) fn encode_dirty(&mut self, slots: &Slots, left: &mut usize, out: &mut BlockSink<'_>) {
        while *left > 0
            && let Some((window, slot)) = self.dirty.pop_first()
        {
            *left -= 1;
            let note = self.note(window, slot).map(|note| [to_store(note)]);
            out(slots.key(Slot(slot)), name(window), note.as_ref().map(|note| &note[..]));
        }
    }

    pub(crate) fn encode_all(&self, slots: &Slots, out: &mut BlockSink<'_>) {
        for (window, notes) in &self.notes {
            notes.iter().for_each(|(slot, note)| {
                out(slots.key(Slot(*slot)), name(*window), Some(&[to_store(*note)]))
            });
        }
    }

    pub(crate) fn decode(
        &mut self,
        slot: u32,
        window: WindowName,
        stored: &[u8],
    ) -> Result<(), AggregateError> {
        let note = match stored {
            [STORED_STALE] => Marks::STALE,
            [STORED_CURRENT] => Marks::RETURNED,
            _ => return Err(AggregateError::Damaged("a note on a window does not read".to_owned())),
        };
        self.notes.entry(window).or_default().insert(slot, note);
        Ok(())
    }

    /// All is back; windows up to `closed` are complete.
    pub(crate) fn restore_done(&mut self, panes: &Panes, closed: Option<WindowName>) {
        for (start, pane) in panes {
            let listed = pane.live().filter(|group| pane.marks[*group as usize].has(Marks::LISTED));
            self.listed.extend(listed.map(|group| (pane.slots[group as usize], *start)));
        }
        if let Some(closed) = closed {
            self.close(closed);
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let notes: usize = self.notes.values().map(ByNumber::allocation_size).sum();
        notes + (self.listed.len() + self.dirty.len()) * size_of::<(WindowName, u32)>()
    }
}

impl GridStage {
    /// Open windows that hold a pane; `None` if all are complete.
    pub(crate) fn open_windows(&self, pane: PaneStart) -> Option<RangeInclusive<WindowName>> {
        let first = self.geometry.first_window(pane);
        let next = self.closed().map_or(Some(first), |closed| self.geometry.following(closed));
        // After the last window of all there is none.
        let open = first.max(next?)..=self.geometry.last_window(pane);
        (!open.is_empty()).then_some(open)
    }

    /// For every key that got rows since the last call, the window that ends next of those that hold them.
    pub(crate) fn changes(&mut self, slots: &mut Slots) -> Result<Results, AggregateError> {
        let mut out = Collector::new(&self.spec);
        let mut windows = self.changed_windows();
        for (window, changed) in self.take_kept(&mut windows) {
            self.return_kept(window, changed, &mut out)?;
        }
        if windows.is_empty() {
            return out.finish(&self.spec);
        }
        let mut saved = Vec::new();
        if let Some(ordered) = &mut self.ordered {
            out.results().refused =
                ordered.settle(&self.spec, &self.geometry, &mut self.panes, slots, self.settled)?;
            let changed: BTreeSet<u32> = windows.values().flatten().copied().collect();
            let pending = changed.into_iter().filter_map(|slot| ordered.logs.pending_of(slot));
            saved = ordered.fold_pending(&self.spec, &self.geometry, &mut self.panes, pending.collect())?;
        }
        let mut hop = self.hop.take();
        let mut outcome = hop.as_mut().map_or(Ok(()), |hop| hop.rebuild_stale(&self.panes));
        for (window, slots) in &windows {
            outcome = outcome.and_then(|()| self.emit_open(hop.as_mut(), *window, slots, &mut out));
        }
        self.hop = hop;
        ordered::put_back(&mut self.panes, saved)?;
        outcome?;
        if let Some(changes) = &mut self.changes {
            for (window, slots) in &windows {
                slots.iter().for_each(|slot| changes.note_returned(*window, *slot));
            }
        }
        out.finish(&self.spec)
    }

    /// By window, the keys whose result is to be returned; each key once.
    fn changed_windows(&mut self) -> BTreeMap<WindowName, Vec<u32>> {
        let listed = self.changes.as_mut().map(|changes| std::mem::take(&mut changes.listed));
        let mut next: BTreeMap<u32, WindowName> = BTreeMap::new();
        for (slot, start) in listed.unwrap_or_default() {
            if let Some(pane) = self.panes.get_mut(&start)
                && let Some(group) = pane.group(slot)
            {
                pane.change_marks(group, Marks::NONE, Marks::LISTED);
            }
            if let Some(window) = self.first_changed(start, slot) {
                let first = next.entry(slot).or_insert(window);
                *first = (*first).min(window);
            }
        }
        self.kept.forget_listed();
        let mut windows: BTreeMap<WindowName, Vec<u32>> = BTreeMap::new();
        for (slot, window) in next {
            if !self.is_current(window, slot) {
                windows.entry(window).or_default().push(slot);
            }
        }
        windows
    }

    /// The open window that ends first of those that a key's new rows in a pane count in.
    fn first_changed(&self, pane: PaneStart, slot: u32) -> Option<WindowName> {
        let windows = self.open_windows(pane)?;
        let counts = |window: &WindowName| {
            self.kept.find(*window, slot).is_none_or(|kept| kept.marks().has(Marks::LISTED))
        };
        let next = |window: &WindowName| self.geometry.following(*window);
        std::iter::successors(Some(*windows.start()), next)
            .take_while(|window| windows.contains(window))
            .find(counts)
    }

    /// Takes those out of what is to be returned that are kept aside: slots, and whether each was returned before.
    fn take_kept(
        &mut self,
        windows: &mut BTreeMap<WindowName, Vec<u32>>,
    ) -> BTreeMap<WindowName, Vec<(u32, bool)>> {
        let mut taken: BTreeMap<WindowName, Vec<(u32, bool)>> = BTreeMap::new();
        for (window, slots) in &mut *windows {
            slots.retain(|slot| {
                let is_kept = self.kept.find(*window, *slot).is_some();
                if let Some(is_revised) = self.kept.take_changed_of(*window, *slot) {
                    taken.entry(*window).or_default().push((*slot, is_revised));
                }
                !is_kept
            });
        }
        windows.retain(|_, slots| !slots.is_empty());
        taken
    }

    fn emit_open(
        &self,
        mut hop: Option<&mut Hop>,
        window: WindowName,
        slots: &[u32],
        out: &mut Collector,
    ) -> Result<(), AggregateError> {
        let (bounds, first) = (self.geometry.bounds(window), out.len());
        let was_returned = |slot: &u32| {
            let is_noted = self.changes.as_ref().is_some_and(|changes| changes.is_returned(window, *slot));
            is_noted || self.was_flushed(window, *slot)
        };
        out.window(bounds, slots, slots.iter().map(was_returned));
        for at in 0..self.spec.aggregates.len() {
            let ahead = match &mut hop {
                Some(hop) => hop.look_ahead(&self.panes, at, window, slots)?,
                None => None,
            };
            let states = match ahead {
                Some(states) => states,
                None => self.fold_window(at, window, slots)?,
            };
            out.values(at, first, states.finish(&counted(slots.len()), &vec![bounds.1; slots.len()])?);
        }
        Ok(())
    }

    /// Whether a flush has returned the window of a key.
    fn was_flushed(&self, window: WindowName, slot: u32) -> bool {
        self.panes
            .range(self.geometry.panes(window))
            .any(|(_, pane)| pane.group(slot).is_some_and(|at| pane.marks[at as usize].has(Marks::RETURNED)))
    }

    /// Whether an open window of a key was returned as a change, and no row has come since that counts in it.
    pub(crate) fn is_current(&self, window: WindowName, slot: u32) -> bool {
        if let Some(kept) = self.kept.find(window, slot) {
            return !kept.marks().has(Marks::CHANGED);
        }
        self.changes.as_ref().is_some_and(|changes| changes.is_current(window, slot))
    }
}
