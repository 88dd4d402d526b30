//! Windows that are returned: one when the settled boundary passes its end; one that was returned and then got a late
//! row, once more; at a flush, every open window. A tile says whether anything has `CHANGED` since the last
//! flush; a window without a changed pane was returned by that flush, and is not returned again.

use super::fold::fold_window;
use super::hop::Hop;
use super::{GridStage, ordered};
use crate::aggregate::{AggregateError, States};
use crate::answer::Results;
use crate::collect::Collector;
use crate::geometry::{PaneStart, WindowName};
use crate::marks::Marks;
use crate::pane::Pane;
use crate::slots::{Slots, counted};
use std::collections::BTreeMap;
use std::ops::Bound;

impl GridStage {
    pub(crate) fn settle(&mut self, slots: &mut Slots, to: i64) -> Result<Results, AggregateError> {
        self.flushed = None;
        let mut out = Collector::new(&self.spec);
        let to = to.max(self.settled);
        if let Some(ordered) = &mut self.ordered {
            out.results().refused = ordered.settle(&self.spec, &self.geometry, &mut self.panes, slots, to)?;
        }
        if let Some(coarse) = &mut self.coarse {
            coarse.make(&self.panes, to)?;
        }
        self.correct(&mut out)?;
        let limit = self.geometry.last_complete(to);
        if let Some(limit) = limit {
            self.return_changed(limit, &mut out)?;
        }
        if self.geometry.is_whole() {
            self.close_whole(limit, &mut out)?;
        } else {
            self.close_hop(slots, limit, &mut out)?;
        }
        (self.settled, self.closed) = (to, limit);
        self.move_horizon();
        if let (Some(changes), Some(closed)) = (&mut self.changes, limit) {
            changes.close(closed);
        }
        out.finish(&self.spec)
    }

    /// Windows that were returned and then got late rows, as far back as results may be returned again.
    fn correct(&mut self, out: &mut Collector) -> Result<(), AggregateError> {
        let Some(closed) = self.closed else { return Ok(()) };
        let out_of_reach = self.out_of_reach();
        let mut windows: BTreeMap<WindowName, Vec<(u32, bool)>> = BTreeMap::new();
        let due = std::mem::take(&mut self.due);
        for (start, slot) in &due {
            let mut window = self.geometry.first_window(*start);
            while window <= closed.min(self.geometry.last_window(*start)) {
                // A kept window has its own note of what is due.
                if Some(window) > out_of_reach && self.kept.find(window, *slot).is_none() {
                    windows.entry(window).or_default().push((*slot, self.was_returned(window, *slot)));
                }
                let Some(next) = self.geometry.following(window) else { break };
                window = next;
            }
        }
        for (start, slot) in due {
            if let Some(pane) = self.panes.get_mut(&start)
                && let Some(group) = pane.group(slot)
            {
                pane.set_due(group, 0);
            }
        }
        for (window, mut slots) in windows {
            slots.sort_unstable();
            slots.dedup();
            let (slots, revised): (Vec<u32>, Vec<bool>) = slots.into_iter().unzip();
            let (bounds, first) = (self.geometry.bounds(window), out.len());
            out.window(bounds, &slots, revised.into_iter());
            for at in 0..self.spec.aggregates.len() {
                let states = self.fold_window(at, window, &slots)?;
                let all = counted(slots.len());
                out.values(at, first, states.finish(&all, &vec![bounds.1; slots.len()])?);
            }
        }
        Ok(())
    }

    /// One window's states of one aggregate, for some keys.
    pub(crate) fn fold_window(
        &self,
        at: usize,
        window: WindowName,
        slots: &[u32],
    ) -> Result<Box<dyn States>, AggregateError> {
        let function = self.spec.aggregates[at].function.as_ref();
        fold_window(&self.panes, self.coarse.as_ref(), &self.geometry, (at, function), window, slots)
    }

    /// Whether a closed window had rows of a key before the late ones.
    fn was_returned(&self, window: WindowName, slot: u32) -> bool {
        self.panes.range(self.geometry.panes(window)).any(|(_, pane)| {
            let group = pane.group(slot);
            group.is_some_and(|group| pane.rows[group as usize] > pane.due(group))
        })
    }

    /// Windows that are panes, after those that are closed and up to `limit`.
    fn close_whole(&self, limit: Option<WindowName>, out: &mut Collector) -> Result<(), AggregateError> {
        let Some(limit) = limit.filter(|limit| self.closed.is_none_or(|closed| closed < *limit)) else {
            return Ok(());
        };
        let pane_of = |window: WindowName| self.geometry.panes(window).start;
        let from = self.closed.map_or(Bound::Unbounded, |closed| Bound::Excluded(pane_of(closed)));
        for (start, pane) in self.panes.range((from, Bound::Included(pane_of(limit)))) {
            self.emit_pane(pane, self.geometry.first_window(*start), out)?;
        }
        Ok(())
    }

    /// The results of a window that is one pane.
    fn emit_pane(&self, pane: &Pane, window: WindowName, out: &mut Collector) -> Result<(), AggregateError> {
        let is_due = |group: &u32| {
            let at = *group as usize;
            pane.marks[at].has(Marks::CHANGED) && !self.is_current(window, pane.slots[at])
        };
        let groups: Vec<u32> = pane.live().filter(is_due).collect();
        if groups.is_empty() {
            return Ok(());
        }
        let slots: Vec<u32> = groups.iter().map(|group| pane.slots[*group as usize]).collect();
        let (bounds, first) = (self.geometry.bounds(window), out.len());
        let was_returned = |(group, slot): (&u32, &u32)| {
            let is_noted = self.changes.as_ref().is_some_and(|changes| changes.is_returned(window, *slot));
            is_noted || pane.marks[*group as usize].has(Marks::RETURNED)
        };
        out.window(bounds, &slots, groups.iter().zip(&slots).map(was_returned));
        let as_of = vec![bounds.1; groups.len()];
        for (at, states) in pane.states.iter().enumerate() {
            out.values(at, first, states.finish(&groups, &as_of)?);
        }
        Ok(())
    }

    /// Overlapping windows, after those that are closed and up to `limit`.
    fn close_hop(
        &mut self,
        slots: &Slots,
        limit: Option<WindowName>,
        out: &mut Collector,
    ) -> Result<(), AggregateError> {
        let Some(limit) = limit else { return Ok(()) };
        if let Some(hop) = &mut self.hop {
            hop.rebuild_stale(&self.panes)?;
        }
        let mut hop = self.hop.take();
        let outcome = self.run_windows(&mut hop, slots.bound(), self.closed, (limit, usize::MAX), out);
        self.hop = hop;
        outcome.map(|_| ())
    }

    /// Moves a cursor over the windows after `closed` and up to `limit`, those without rows skipped. Where there are
    /// more than so many `results` on the way, it stops and says after which window.
    fn run_windows(
        &self,
        hop: &mut Option<Hop>,
        slots: usize,
        closed: Option<WindowName>,
        (limit, results): (WindowName, usize),
        out: &mut Collector,
    ) -> Result<Option<WindowName>, AggregateError> {
        let mut closed = closed;
        loop {
            if out.len() > results {
                return Ok(closed);
            }
            let window = if hop.as_ref().is_some_and(Hop::has_rows) {
                closed.and_then(|closed| self.geometry.following(closed))
            } else {
                self.next_window(closed)
            };
            let Some(window) = window.filter(|window| *window <= limit && Some(*window) > closed) else {
                break;
            };
            match hop {
                Some(hop) => hop.advance(&self.panes, window)?,
                None => {
                    let geometry = self.geometry.clone();
                    *hop = Some(Hop::new(&self.panes, geometry, &self.spec.aggregates, window, slots)?);
                }
            }
            closed = Some(window);
            if let Some(hop) = hop {
                self.emit_window(hop, out)?;
            }
        }
        if let Some(hop) = hop.as_mut().filter(|hop| hop.window() < limit) {
            hop.advance(&self.panes, limit)?;
        }
        Ok(None)
    }

    /// The first window after `closed` that has rows.
    pub(super) fn next_window(&self, closed: Option<WindowName>) -> Option<WindowName> {
        let following = match closed {
            Some(closed) => Some(self.geometry.following(closed)?),
            None => None,
        };
        let from = following.map(|following| self.geometry.panes(following).start);
        let mut panes = self.panes.range((from.map_or(Bound::Unbounded, Bound::Included), Bound::Unbounded));
        let (pane, _) = panes.find(|(_, pane)| pane.live().next().is_some())?;
        Some(self.geometry.first_window(*pane)).max(following)
    }

    fn emit_window(&self, hop: &Hop, out: &mut Collector) -> Result<(), AggregateError> {
        let (mut slots, mut revised) = hop.changed();
        if let Some(kept) = self.kept.of_window(hop.window()) {
            // It is returned by what was taken aside.
            let changed = slots.into_iter().zip(revised).filter(|(slot, _)| !kept.contains_key(slot));
            (slots, revised) = changed.unzip();
        }
        if let Some(changes) = &self.changes {
            let changed = slots.into_iter().zip(revised);
            let due = changed.filter(|(slot, _)| !changes.is_current(hop.window(), *slot));
            let due = due.map(|(slot, revised)| (slot, revised || changes.is_returned(hop.window(), slot)));
            (slots, revised) = due.unzip();
        }
        if slots.is_empty() {
            return Ok(());
        }
        let first = out.len();
        out.window(self.geometry.bounds(hop.window()), &slots, revised.into_iter());
        for at in 0..self.spec.aggregates.len() {
            out.values(at, first, hop.finish(at, &slots)?);
        }
        Ok(())
    }

    pub(crate) fn flush(&mut self, slots: &mut Slots, limit: usize) -> Result<Results, AggregateError> {
        let mut out = Collector::new(&self.spec);
        if let Some(ordered) = &mut self.ordered {
            out.results().refused =
                ordered.settle(&self.spec, &self.geometry, &mut self.panes, slots, self.settled)?;
        }
        self.correct(&mut out)?;
        self.return_changed(WindowName::LAST, &mut out)?;
        let mut saved = Vec::new();
        if let Some(ordered) = &self.ordered {
            let pending = ordered.logs.pending();
            saved = ordered.fold_pending(&self.spec, &self.geometry, &mut self.panes, pending)?;
        }
        let outcome = self.flush_open(slots, limit, &mut out);
        ordered::put_back(&mut self.panes, saved)?;
        outcome?;
        out.finish(&self.spec)
    }

    fn flush_open(&mut self, slots: &Slots, limit: usize, out: &mut Collector) -> Result<(), AggregateError> {
        let Some(last) = self.panes.last_key_value().map(|(start, _)| self.geometry.last_window(*start))
        else {
            return Ok(());
        };
        if self.geometry.is_whole() {
            self.close_whole(Some(last), out)?;
        } else {
            let from = self.flushed.take().max(self.closed);
            let limit = limit.saturating_add(out.len());
            self.flushed = self.run_windows(&mut None, slots.bound(), from, (last, limit), out)?;
            if self.flushed.is_some() {
                out.results().more = true;
                return Ok(());
            }
            // It has counted what changed before this flush.
            self.hop = None;
        }
        if let Some(changes) = &mut self.changes {
            changes.forget_all();
            self.kept.forget_listed();
        }
        let closed = self.closed;
        let open = |pane: PaneStart| closed.is_none_or(|closed| self.geometry.last_window(pane) > closed);
        for (_, pane) in self.panes.iter_mut().rev().take_while(|(start, _)| open(**start)) {
            for group in pane.live().collect::<Vec<u32>>() {
                pane.change_marks(group, Marks::RETURNED, Marks::CHANGED.with(Marks::LISTED));
            }
        }
        Ok(())
    }
}
