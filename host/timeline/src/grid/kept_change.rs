//! Which windows are kept, and what rows make of those that are.
//!
//! A row changes the windows that end after its partition's floor. Rows of several partitions have several floors: so a
//! window that one row left as it was may be changed by the next, and then what is kept of it is. Aggregates that depend
//! on order are fed again from the log, without the rows that do not count.
//!
//! Knows panes and logs of the stage. Must not know how floors come about.

use super::GridStage;
use super::insert::Share;
use super::kept::{KeptState, identity};
use crate::aggregate::{AggregateError, States};
use crate::answer::Rows;
use crate::collect::Collector;
use crate::feed::{Feeder, feed_batch};
use crate::geometry::WindowName;
use crate::marks::Marks;
use crate::pane::Pane;
use crate::row_log::Log;
use crate::slots::Slots;
use crate::slots::counted;
use std::collections::BTreeMap;
use std::ops::Range;
use weir_event::Rank;

/// What rows of a batch make of what is kept of a key's window.
pub(crate) struct Changed {
    window: WindowName,
    slot: u32,
    rows: Vec<u32>,
    /// The new states; `None` if the rows do not count in it.
    states: Option<Vec<Box<dyn States>>>,
}

impl GridStage {
    /// Takes aside what windows over a pane hold of some keys, where rows that are about to come into the pane must not
    /// change it.
    pub(crate) fn keep_sealed(
        &mut self,
        slots: &mut Slots,
        share: &Share,
        sealed: Option<WindowName>,
    ) -> Result<(), AggregateError> {
        let first = Some(self.geometry.first_window(share.pane)).max(self.oldest_kept());
        let last = sealed.min(Some(self.geometry.last_window(share.pane)));
        if first > last {
            return Ok(());
        }
        let mut keys = share.slots.clone();
        keys.sort_unstable();
        keys.dedup();
        let next = |window: &WindowName| self.geometry.following(*window);
        let windows: Vec<WindowName> =
            std::iter::successors(first, next).take_while(|window| Some(*window) <= last).collect();
        for window in windows {
            let new = keys.iter().copied().filter(|slot| self.kept.find(window, *slot).is_none());
            let new: Vec<u32> = new.collect();
            if !new.is_empty() {
                self.keep_window(slots, window, &new)?;
            }
        }
        Ok(())
    }

    fn keep_window(
        &mut self,
        slots: &mut Slots,
        window: WindowName,
        keys: &[u32],
    ) -> Result<(), AggregateError> {
        let aggregates = 0..self.spec.aggregates.len();
        let folded =
            aggregates.map(|at| self.fold_window(at, window, keys)).collect::<Result<Vec<_>, _>>()?;
        let of_window = self.geometry.panes(window);
        let is_open = Some(window) > self.closed();
        for (place, slot) in keys.iter().enumerate() {
            let (mut rows, mut newest, mut unreturned, mut marks) = (0, i64::MIN, 0, Marks::NONE);
            for pane in self.panes.range(of_window.clone()).map(|(_, pane)| pane) {
                if let Some(group) = pane.group(*slot) {
                    rows += u64::from(pane.rows[group as usize]);
                    newest = newest.max(pane.newest[group as usize]);
                    unreturned +=
                        if is_open { unreturned_rows(pane, group) } else { u64::from(pane.due(group)) };
                    marks.set(pane.marks[group as usize]);
                }
            }
            let changes = self.changes.as_ref().filter(|_| is_open);
            if changes.is_some_and(|changes| changes.is_returned(window, *slot)) {
                unreturned = u64::from(!self.is_current(window, *slot));
            }
            let states = folded.iter().map(|states| states.copy(&[place as u32])).collect();
            let is_listed = changes.is_some() && marks.has(Marks::LISTED);
            let state = KeptState { rows, newest, states, unreturned, is_listed, left_out: Vec::new() };
            self.kept.keep(slots, window, *slot, state);
            // Of an open window, some rows wait in the log to be folded.
            if is_open || marks.has(Marks::REFOLD) {
                self.refold_kept(window, *slot)?;
            }
        }
        Ok(())
    }

    /// What rows that are about to come make of what is kept; nothing is changed yet.
    pub(crate) fn feed_kept(
        &self,
        rows: &Rows<'_>,
        shares: &[Share],
        sealed: Option<WindowName>,
    ) -> Result<Vec<Changed>, AggregateError> {
        let mut found: BTreeMap<(WindowName, u32), Vec<u32>> = BTreeMap::new();
        for share in shares {
            let (first, last) =
                (self.geometry.first_window(share.pane), self.geometry.last_window(share.pane));
            for window in self.kept.among(first..=last) {
                for (slot, row) in share.slots.iter().zip(&share.rows) {
                    if self.kept.find(window, *slot).is_some() {
                        found.entry((window, *slot)).or_default().push(*row);
                    }
                }
            }
        }
        let mut changed = Vec::with_capacity(found.len());
        for ((window, slot), of_key) in found {
            let kept = self.kept.find(window, slot).filter(|_| Some(window) > sealed);
            let states = kept.map(|kept| self.fed(kept, rows, &of_key)).transpose()?;
            changed.push(Changed { window, slot, rows: of_key, states });
        }
        Ok(changed)
    }

    /// Copies of states, fed with rows; those that depend on order as they are.
    fn fed(
        &self,
        kept: &KeptState,
        rows: &Rows<'_>,
        of_key: &[u32],
    ) -> Result<Vec<Box<dyn States>>, AggregateError> {
        let groups = vec![0; of_key.len()];
        let mut fed = Vec::with_capacity(kept.states.len());
        for (states, aggregate) in kept.states.iter().zip(&self.spec.aggregates) {
            let mut states = states.copy(&[0]);
            if !aggregate.is_ordered() {
                feed_batch(states.as_mut(), aggregate, rows, &groups, of_key)?;
            }
            fed.push(states);
        }
        Ok(fed)
    }

    /// Changes what is kept, once the rows are in panes and logs.
    pub(crate) fn change_kept(
        &mut self,
        rows: &Rows<'_>,
        changed: Vec<Changed>,
    ) -> Result<(), AggregateError> {
        for Changed { window, slot, rows: of_key, states } in changed {
            let Some(states) = states else {
                if self.ordered.is_some()
                    && let Some(kept) = self.kept.change(window, slot)
                {
                    kept.left_out.extend(of_key.iter().map(|row| rows.ranks[*row as usize]));
                }
                continue;
            };
            if let Some(kept) = self.kept.change(window, slot) {
                let newest = of_key.iter().map(|row| rows.times[*row as usize]).max();
                kept.newest = kept.newest.max(newest.unwrap_or(i64::MIN));
                kept.rows += of_key.len() as u64;
                kept.unreturned += of_key.len() as u64;
                kept.states = states;
            }
            let is_listed = self.changes.is_some() && Some(window) > self.closed();
            self.kept.mark_changed(window, slot, is_listed);
            self.refold_kept(window, slot)?;
        }
        Ok(())
    }

    /// Feeds aggregates that depend on order again. All rows of a window that may still be changed are in the logs.
    fn refold_kept(&mut self, window: WindowName, slot: u32) -> Result<(), AggregateError> {
        let Some(ordered) = &self.ordered else { return Ok(()) };
        let (Some(log), Some(kept)) = (ordered.logs.find(slot), self.kept.change(window, slot)) else {
            return Ok(());
        };
        let (start, end) = self.geometry.bounds(window);
        let stretches = without(log, log.first_at(start)..log.first_at(end), &kept.left_out);
        for (states, aggregate) in kept.states.iter_mut().zip(&self.spec.aggregates) {
            if !aggregate.is_ordered() {
                continue;
            }
            let mut feeder = Feeder::new(&ordered.logs.layout, aggregate);
            stretches.iter().for_each(|rows| feeder.push(log, rows.clone()));
            let feed = feeder.finish();
            *states = identity(aggregate);
            // Rows that fail are refused when their pane is folded.
            feed.fold(states.as_mut(), &vec![0; feed.times.len()])?;
        }
        Ok(())
    }

    /// Returns what is kept of windows up to a last one, where rows that count in it have come since it was last
    /// returned.
    pub(crate) fn return_changed(
        &mut self,
        last: WindowName,
        out: &mut Collector,
    ) -> Result<(), AggregateError> {
        let out_of_reach = self.out_of_reach();
        for (window, changed) in self.kept.take_changed(last) {
            if Some(window) > out_of_reach {
                self.return_kept(window, changed, out)?;
            }
        }
        Ok(())
    }

    /// Returns what is kept of a window of some keys; with each, whether it was returned before.
    pub(crate) fn return_kept(
        &self,
        window: WindowName,
        keys: Vec<(u32, bool)>,
        out: &mut Collector,
    ) -> Result<(), AggregateError> {
        let (slots, revised): (Vec<u32>, Vec<bool>) = keys.into_iter().unzip();
        let (bounds, first) = (self.geometry.bounds(window), out.len());
        out.window(bounds, &slots, revised.into_iter());
        let (all, as_of) = (counted(slots.len()), vec![bounds.1; slots.len()]);
        for (at, aggregate) in self.spec.aggregates.iter().enumerate() {
            let mut states = aggregate.function.states();
            states.resize(slots.len());
            for (group, slot) in all.iter().zip(&slots) {
                if let Some(kept) = self.kept.find(window, *slot) {
                    states.merge(&[*group], kept.states[at].as_ref(), &[0])?;
                }
            }
            out.values(at, first, states.finish(&all, &as_of)?);
        }
        Ok(())
    }
}

/// How many rows of a key came into a pane of an open window since a flush has returned it; less than all, if one has.
fn unreturned_rows(pane: &Pane, group: u32) -> u64 {
    let (rows, marks) = (u64::from(pane.rows[group as usize]), pane.marks[group as usize]);
    if marks.has(Marks::CHANGED) { rows.saturating_sub(u64::from(marks.has(Marks::RETURNED))) } else { 0 }
}

/// The stretches of a log's rows between those that are left out.
fn without(log: &Log, rows: Range<u64>, left_out: &[Rank]) -> Vec<Range<u64>> {
    if left_out.is_empty() {
        return vec![rows];
    }
    let is_left_out = |number: &u64| {
        let (block, row) = log.row(*number);
        left_out.contains(&block.rank(row))
    };
    let mut stretches = Vec::new();
    let mut from = rows.start;
    for number in rows.clone().filter(is_left_out) {
        stretches.push(from..number);
        from = number + 1;
    }
    stretches.push(from..rows.end);
    stretches
}
