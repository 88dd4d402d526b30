//! The cursor of overlapping windows: it stands on one window and moves on to the next, pane by pane, for all keys
//! that have rows in it.
//!
//! Aggregates with an inverse run: panes that come in are merged, panes that go are taken out. The others are folded
//! around fixed boundaries (`blocks.rs`).

use super::blocks::Blocks;
use crate::aggregate::{AggregateError, Finished, States};
use crate::geometry::{Geometry, PaneStart, WindowName};
use crate::marks::Marks;
use crate::pane::Pane;
use crate::slots::counted;
use crate::spec::AggregateSpec;
use crate::tiles::{Panes, present};
use std::ops::Range;

/// Stands on a window.
pub(crate) struct Hop {
    geometry: Geometry,
    window: WindowName,
    /// By slot.
    tallies: Vec<KeyTally>,
    /// Slots that have rows in the window, and some that just lost theirs.
    live: Vec<u32>,
    columns: Vec<Sliding>,
    /// Slots that a late row made wrong.
    stale: Vec<u32>,
}

/// What the window holds of a key.
#[derive(Debug, Clone, Copy, Default)]
struct KeyTally {
    rows: u64,
    changed_panes: u32,
    returned_panes: u32,
    is_listed: bool,
    is_stale: bool,
}

/// States by slot.
enum Sliding {
    Running(Box<dyn States>),
    Blocks(Blocks),
}

impl Hop {
    /// Stands on a window.
    pub(crate) fn new(
        panes: &Panes,
        geometry: Geometry,
        aggregates: &[AggregateSpec],
        window: WindowName,
        slots: usize,
    ) -> Result<Hop, AggregateError> {
        let columns = aggregates.iter().map(|aggregate| {
            let function = &aggregate.function;
            // Nothing leaves a window that grows; it ends all at once.
            if function.card().inverse && !geometry.is_growing() {
                Sliding::Running(function.states())
            } else {
                Sliding::Blocks(Blocks::new(function.clone()))
            }
        });
        let columns = columns.collect();
        let mut hop =
            Hop { geometry, window, tallies: Vec::new(), live: Vec::new(), columns, stale: Vec::new() };
        hop.make_room(slots);
        hop.enter(panes, hop.geometry.panes(window))?;
        for (at, column) in hop.columns.iter_mut().enumerate() {
            if let Sliding::Blocks(blocks) = column {
                blocks.stand_on(panes, at, &hop.geometry, window)?;
            }
        }
        Ok(hop)
    }

    pub(crate) fn make_room(&mut self, slots: usize) {
        if self.tallies.len() < slots {
            self.tallies.resize(slots, KeyTally::default());
            for column in &mut self.columns {
                match column {
                    Sliding::Running(states) => states.resize(slots),
                    Sliding::Blocks(blocks) => blocks.make_room(slots),
                }
            }
        }
    }

    /// The window that it stands on.
    pub(crate) fn window(&self) -> WindowName {
        self.window
    }

    /// The first pane of the window that it stands on.
    pub(crate) fn first_pane(&self) -> PaneStart {
        self.geometry.panes(self.window).start
    }

    /// Whether any key has rows in the window.
    pub(crate) fn has_rows(&self) -> bool {
        self.live.iter().any(|slot| self.tallies[*slot as usize].rows > 0)
    }

    /// A late row came to a key.
    pub(crate) fn mark_stale(&mut self, slot: u32) {
        self.make_room(slot as usize + 1);
        let tally = &mut self.tallies[slot as usize];
        if !tally.is_stale {
            tally.is_stale = true;
            self.stale.push(slot);
        }
    }

    /// Makes what late rows made wrong right again.
    pub(crate) fn rebuild_stale(&mut self, panes: &Panes) -> Result<(), AggregateError> {
        let window = self.geometry.panes(self.window);
        for slot in std::mem::take(&mut self.stale) {
            let is_listed = self.tallies[slot as usize].is_listed;
            self.tallies[slot as usize] = KeyTally { is_listed, ..KeyTally::default() };
            for column in &mut self.columns {
                if let Sliding::Running(states) = column {
                    states.reset(&[slot]);
                }
            }
            for pane in panes.range(window.clone()).map(|(_, pane)| pane) {
                if let Some(group) = pane.group(slot) {
                    self.enter_groups(pane, &[slot], &[group])?;
                }
            }
            for (at, column) in self.columns.iter_mut().enumerate() {
                if let Sliding::Blocks(blocks) = column {
                    blocks.rebuild(panes, at, &self.geometry, self.window, slot)?;
                }
            }
        }
        Ok(())
    }

    /// Moves on to a later window.
    pub(crate) fn advance(&mut self, panes: &Panes, window: WindowName) -> Result<(), AggregateError> {
        let old = self.window;
        let (left, entered) = (self.geometry.panes(old), self.geometry.panes(window));
        self.leave(panes, left.start..entered.start.min(left.end))?;
        self.window = window;
        self.enter(panes, entered.start.max(left.end)..entered.end)?;
        for (at, column) in self.columns.iter_mut().enumerate() {
            if let Sliding::Blocks(blocks) = column {
                blocks.advance(panes, at, &self.geometry, old, window)?;
            }
        }
        self.forget_dead();
        Ok(())
    }

    /// Slots whose result of the window is to be returned, and whether it may have been returned before.
    pub(crate) fn changed(&self) -> (Vec<u32>, Vec<bool>) {
        let tallies = self.live.iter().map(|slot| (*slot, &self.tallies[*slot as usize]));
        let changed = tallies.filter(|(_, tally)| tally.rows > 0 && tally.changed_panes > 0);
        changed.map(|(slot, tally)| (slot, tally.returned_panes > 0)).unzip()
    }

    /// The window's values of some slots.
    pub(crate) fn finish(&self, aggregate: usize, slots: &[u32]) -> Result<Finished, AggregateError> {
        let as_of = vec![self.geometry.end_of(self.window); slots.len()];
        match &self.columns[aggregate] {
            Sliding::Running(states) => states.finish(slots, &as_of),
            Sliding::Blocks(blocks) => blocks.value(slots)?.finish(&counted(slots.len()), &as_of),
        }
    }

    /// A copy of a key's states: those to be folded to the left and those to the right of the boundary. `None` if
    /// the cursor cannot tell.
    pub(crate) fn copy(
        &self,
        aggregate: usize,
        window: WindowName,
        slot: u32,
    ) -> Option<[Option<Box<dyn States>>; 2]> {
        let tally = self.tallies.get(slot as usize)?;
        if window != self.window || tally.is_stale {
            return None;
        }
        Some(match &self.columns[aggregate] {
            Sliding::Running(states) => [None, Some(states.copy(&[slot]))],
            Sliding::Blocks(blocks) => blocks.copy(slot).map(Some),
        })
    }

    /// One aggregate's states of the window after the one that it stands on, before it gets there; `None` if the
    /// cursor cannot tell. Late rows must have been dealt with.
    pub(crate) fn look_ahead(
        &mut self,
        panes: &Panes,
        aggregate: usize,
        window: WindowName,
        slots: &[u32],
    ) -> Result<Option<Box<dyn States>>, AggregateError> {
        self.make_room(slots.iter().max().map_or(0, |slot| *slot as usize + 1));
        let Sliding::Running(running) = &self.columns[aggregate] else { return Ok(None) };
        if self.geometry.following(self.window) != Some(window) {
            return Ok(None);
        }
        let (left, entered) = (self.geometry.panes(self.window), self.geometry.panes(window));
        let mut states = running.copy(slots);
        for pane in panes.range(left.start..entered.start.min(left.end)).map(|(_, pane)| pane) {
            let (places, groups) = present(pane, slots);
            states.unmerge(&places, pane.states[aggregate].as_ref(), &groups)?;
        }
        for pane in panes.range(entered.start.max(left.end)..entered.end).map(|(_, pane)| pane) {
            let (places, groups) = present(pane, slots);
            states.merge(&places, pane.states[aggregate].as_ref(), &groups)?;
        }
        Ok(Some(states))
    }

    fn enter(&mut self, panes: &Panes, range: Range<PaneStart>) -> Result<(), AggregateError> {
        if range.start >= range.end {
            return Ok(());
        }
        for pane in panes.range(range).map(|(_, pane)| pane) {
            let groups: Vec<u32> = pane.live().collect();
            let slots: Vec<u32> = groups.iter().map(|group| pane.slots[*group as usize]).collect();
            self.enter_groups(pane, &slots, &groups)?;
        }
        Ok(())
    }

    fn enter_groups(&mut self, pane: &Pane, slots: &[u32], groups: &[u32]) -> Result<(), AggregateError> {
        self.make_room(slots.iter().max().map_or(0, |slot| *slot as usize + 1));
        for (slot, group) in slots.iter().zip(groups) {
            let tally = &mut self.tallies[*slot as usize];
            let marks = pane.marks[*group as usize];
            tally.rows += u64::from(pane.rows[*group as usize]);
            tally.changed_panes += u32::from(marks.has(Marks::CHANGED));
            tally.returned_panes += u32::from(marks.has(Marks::RETURNED));
            if !tally.is_listed {
                tally.is_listed = true;
                self.live.push(*slot);
            }
        }
        for (states, column) in pane.states.iter().zip(&mut self.columns) {
            if let Sliding::Running(running) = column {
                running.merge(slots, states.as_ref(), groups)?;
            }
        }
        Ok(())
    }

    fn leave(&mut self, panes: &Panes, range: Range<PaneStart>) -> Result<(), AggregateError> {
        for pane in panes.range(range).map(|(_, pane)| pane) {
            let groups: Vec<u32> = pane.live().collect();
            let slots: Vec<u32> = groups.iter().map(|group| pane.slots[*group as usize]).collect();
            for (slot, group) in slots.iter().zip(&groups) {
                let tally = &mut self.tallies[*slot as usize];
                let marks = pane.marks[*group as usize];
                tally.rows -= u64::from(pane.rows[*group as usize]);
                tally.changed_panes -= u32::from(marks.has(Marks::CHANGED));
                tally.returned_panes -= u32::from(marks.has(Marks::RETURNED));
            }
            for (states, column) in pane.states.iter().zip(&mut self.columns) {
                if let Sliding::Running(running) = column {
                    running.unmerge(&slots, states.as_ref(), &groups)?;
                }
            }
        }
        Ok(())
    }

    /// Takes keys without rows off the list, and what their running states still take up.
    fn forget_dead(&mut self) {
        let tallies = &mut self.tallies;
        let (live, dead) = self.live.iter().partition(|slot| tallies[**slot as usize].rows > 0);
        self.live = live;
        let dead: Vec<u32> = dead;
        for slot in &dead {
            tallies[*slot as usize].is_listed = false;
        }
        for column in &mut self.columns {
            if let Sliding::Running(states) = column {
                states.reset(&dead);
            }
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let columns = self.columns.iter().map(|column| match column {
            Sliding::Running(states) => states.memory_bytes(),
            Sliding::Blocks(blocks) => blocks.memory_bytes(),
        });
        columns.sum::<usize>() + self.tallies.capacity() * size_of::<KeyTally>() + self.live.capacity() * 4
    }
}
