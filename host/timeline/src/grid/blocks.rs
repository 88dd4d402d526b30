//! Sliding folds without an inverse: two merges per pane and key, however many panes a window has.
//!
//! Time is cut into blocks as long as a window, fixed by the grid. A window reaches over at most one cut: what lies
//! before it is a suffix of a block, folded from right to left once per block; what lies after it is a prefix of the
//! next, folded as panes come in. The brackets are the same wherever the cursor started, so that the bits are, too.

use crate::aggregate::{Aggregate, AggregateError, States};
use crate::geometry::{Geometry, PaneStart, WindowName};
use crate::slots::counted;
use crate::tiles::Panes;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// One aggregate's sliding folds, by slot.
pub(crate) struct Blocks {
    function: Arc<dyn Aggregate>,
    /// The cut behind the window's start.
    boundary: PaneStart,
    /// From the window's start to the cut.
    front: Box<dyn States>,
    /// From the cut to the window's end.
    back: Box<dyn States>,
    /// By pane before the cut: from it to the cut.
    suffixes: BTreeMap<PaneStart, Suffix>,
    /// By slot, raised when a late row makes its suffixes wrong.
    epochs: Vec<u32>,
}

/// Folds from one pane to the cut, one for each key that has rows in the pane.
struct Suffix {
    states: Box<dyn States>,
    entries: Vec<SuffixEntry>,
}

#[derive(Clone, Copy)]
struct SuffixEntry {
    slot: u32,
    /// Good while it is its slot's.
    epoch: u32,
    /// The next pane before the cut that has rows of the slot, and the entry there.
    next: Option<(PaneStart, u32)>,
}

impl Blocks {
    pub(crate) fn new(function: Arc<dyn Aggregate>) -> Blocks {
        let (front, back) = (function.states(), function.states());
        let suffixes = BTreeMap::new();
        Blocks { function, boundary: PaneStart::FIRST, front, back, suffixes, epochs: Vec::new() }
    }

    pub(crate) fn make_room(&mut self, slots: usize) {
        self.front.resize(slots);
        self.back.resize(slots);
        self.epochs.resize(slots, 0);
    }

    /// Folds a window from its panes.
    pub(crate) fn stand_on(
        &mut self,
        panes: &Panes,
        aggregate: usize,
        geometry: &Geometry,
        window: WindowName,
    ) -> Result<(), AggregateError> {
        let Range { start, end } = geometry.panes(window);
        let slots = self.epochs.len();
        (self.front, self.back) = (self.function.states(), self.function.states());
        self.front.resize(slots);
        self.back.resize(slots);
        self.suffixes.clear();
        self.boundary = geometry.boundary(window);
        let mut newest: Vec<Option<(PaneStart, u32)>> = vec![None; slots];
        for (pane_start, pane) in panes.range(start..self.boundary.min(end)).rev() {
            let groups: Vec<u32> = pane.live().collect();
            let slots: Vec<u32> = groups.iter().map(|group| pane.slots[*group as usize]).collect();
            let all = counted(groups.len());
            let mut states = pane.states[aggregate].copy(&groups);
            states.merge(&all, self.front.as_ref(), &slots)?;
            self.front.reset(&slots);
            self.front.merge(&slots, states.as_ref(), &all)?;
            let entry = |(at, slot): (usize, &u32)| {
                let next = newest[*slot as usize].replace((*pane_start, at as u32));
                SuffixEntry { slot: *slot, epoch: self.epochs[*slot as usize], next }
            };
            let entries = slots.iter().enumerate().map(entry).collect();
            self.suffixes.insert(*pane_start, Suffix { states, entries });
        }
        self.extend_back(panes, aggregate, self.boundary, end)
    }

    /// Moves on from one window to a later one.
    pub(crate) fn advance(
        &mut self,
        panes: &Panes,
        aggregate: usize,
        geometry: &Geometry,
        old: WindowName,
        window: WindowName,
    ) -> Result<(), AggregateError> {
        if geometry.boundary(window) != self.boundary {
            return self.stand_on(panes, aggregate, geometry, window);
        }
        let Range { start, end } = geometry.panes(window);
        while let Some(entry) = self.suffixes.first_entry().filter(|entry| *entry.key() < start) {
            let left = entry.remove();
            self.step_front(&left.entries)?;
        }
        let old_end = geometry.panes(old).end.max(self.boundary);
        self.extend_back(panes, aggregate, old_end, end)
    }

    /// The front leaves a pane: its keys go on to their next.
    fn step_front(&mut self, left: &[SuffixEntry]) -> Result<(), AggregateError> {
        let mut good: Vec<&SuffixEntry> =
            left.iter().filter(|entry| entry.epoch == self.epochs[entry.slot as usize]).collect();
        good.sort_unstable_by_key(|entry| entry.next);
        let slots: Vec<u32> = good.iter().map(|entry| entry.slot).collect();
        self.front.reset(&slots);
        for run in good.chunk_by(|a, b| a.next.map(|(pane, _)| pane) == b.next.map(|(pane, _)| pane)) {
            let Some(next) = run[0].next.and_then(|(pane, _)| self.suffixes.get(&pane)) else { continue };
            let slots: Vec<u32> = run.iter().map(|entry| entry.slot).collect();
            let groups: Vec<u32> = run.iter().filter_map(|entry| Some(entry.next?.1)).collect();
            self.front.merge(&slots, next.states.as_ref(), &groups)?;
        }
        Ok(())
    }

    fn extend_back(
        &mut self,
        panes: &Panes,
        aggregate: usize,
        from: PaneStart,
        to: PaneStart,
    ) -> Result<(), AggregateError> {
        if from >= to {
            return Ok(());
        }
        for pane in panes.range(from..to).map(|(_, pane)| pane) {
            let groups: Vec<u32> = pane.live().collect();
            let slots: Vec<u32> = groups.iter().map(|group| pane.slots[*group as usize]).collect();
            self.back.merge(&slots, pane.states[aggregate].as_ref(), &groups)?;
        }
        Ok(())
    }

    /// Folds one key's window anew.
    pub(crate) fn rebuild(
        &mut self,
        panes: &Panes,
        aggregate: usize,
        geometry: &Geometry,
        window: WindowName,
        slot: u32,
    ) -> Result<(), AggregateError> {
        self.make_room(self.epochs.len().max(slot as usize + 1));
        self.epochs[slot as usize] += 1;
        let epoch = self.epochs[slot as usize];
        self.front.reset(&[slot]);
        self.back.reset(&[slot]);
        let Range { start, end } = geometry.panes(window);
        let mut next = None;
        for (pane_start, pane) in panes.range(start..self.boundary.min(end)).rev() {
            let Some(group) = pane.group(slot) else { continue };
            let mut states = pane.states[aggregate].copy(&[group]);
            states.merge(&[0], self.front.as_ref(), &[slot])?;
            self.front.reset(&[slot]);
            self.front.merge(&[slot], states.as_ref(), &[0])?;
            let empty = || Suffix { states: self.function.states(), entries: Vec::new() };
            let suffix = self.suffixes.entry(*pane_start).or_insert_with(empty);
            let at = suffix.entries.len() as u32;
            suffix.states.resize(suffix.entries.len() + 1);
            suffix.states.merge(&[at], states.as_ref(), &[0])?;
            suffix.entries.push(SuffixEntry { slot, epoch, next });
            next = Some((*pane_start, at));
        }
        if self.boundary < end {
            for pane in panes.range(self.boundary..end).map(|(_, pane)| pane) {
                if let Some(group) = pane.group(slot) {
                    self.back.merge(&[slot], pane.states[aggregate].as_ref(), &[group])?;
                }
            }
        }
        Ok(())
    }

    /// The window's states of some slots.
    pub(crate) fn value(&self, slots: &[u32]) -> Result<Box<dyn States>, AggregateError> {
        let mut value = self.front.copy(slots);
        value.merge(&counted(slots.len()), self.back.as_ref(), slots)?;
        Ok(value)
    }

    /// Copies of a key's states before and after the cut.
    pub(crate) fn copy(&self, slot: u32) -> [Box<dyn States>; 2] {
        [self.front.copy(&[slot]), self.back.copy(&[slot])]
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let suffixes = self.suffixes.values();
        let suffixes: usize = suffixes
            .map(|it| it.states.memory_bytes() + it.entries.capacity() * size_of::<SuffixEntry>())
            .sum();
        self.front.memory_bytes() + self.back.memory_bytes() + suffixes
    }
}
