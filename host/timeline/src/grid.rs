//! A stage with windows on a grid: rows into panes, windows out of panes.
//!
//! What is returned, and when: a window when the settled boundary passes its end; a window that was returned and
//! then got a late row, once more; at a flush, every open window. A pane says of each key whether anything `CHANGED`
//! since the last flush; a window without a changed pane was returned by that flush, and is not returned again.

use crate::aggregate::{AggregateError, States};
use crate::answer::{Inserted, Results, Rows, Slot};
use crate::coarse::Coarse;
use crate::collect::Collector;
use crate::cursor::hop::Hop;
use crate::feed::feed_batch;
use crate::grid_change::Changes;
use crate::kept::Kept;
use crate::ordered::{self, Ordered, probe};
use crate::pane::{CHANGED, LISTED, Pane, WRITTEN};
use crate::slots::Slots;
use crate::spec::StageSpec;
use crate::tiles::{Geometry, Panes, decode_tile, fold_window};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// Panes, cursor and, for ordered aggregates, logs of one segment.
pub(crate) struct GridStage {
    pub(crate) spec: Arc<StageSpec>,
    pub(crate) geometry: Geometry,
    pub(crate) panes: Panes,
    pub(crate) ordered: Option<Ordered>,
    /// Folds of many panes; only where windows are long.
    pub(crate) coarse: Option<Coarse>,
    /// Stands on the newest complete window; only where windows overlap.
    pub(crate) hop: Option<Hop>,
    pub(crate) settled: i64,
    /// The newest window that is complete.
    closed: Option<i64>,
    /// The last window that a flush in parts has returned; only between its parts.
    flushed: Option<i64>,
    /// What has changed; only if that will be asked for.
    pub(crate) changes: Option<Changes>,
    /// Stored notes on windows, by key, that nobody keeps up to date any more: they go with the next commit, so that who
    /// asks for changes again does not take them for true.
    pub(crate) unread: Vec<(Box<[u8]>, i64)>,
    /// Panes and slots that late rows came into after windows over them were returned.
    due: BTreeSet<(i64, u32)>,
    /// Windows that some rows in their panes do not count in.
    pub(crate) kept: Kept,
    /// How far the horizon is behind the boundary, milliseconds.
    pub(crate) reach: i64,
    /// The oldest time that may be asked for, as it was when the boundary last moved.
    pub(crate) horizon: i64,
}

/// Rows of one batch that go to one pane.
pub(crate) struct Share {
    pub(crate) pane: i64,
    groups: Vec<u32>,
    pub(crate) rows: Vec<u32>,
    pub(crate) slots: Vec<u32>,
}

impl GridStage {
    pub(crate) fn new(spec: Arc<StageSpec>, geometry: Geometry) -> GridStage {
        GridStage {
            coarse: Coarse::new(&geometry, &spec.aggregates),
            geometry,
            ordered: Ordered::new(&spec),
            changes: spec.emit_changes.then(Changes::default),
            unread: Vec::new(),
            reach: spec.reach().millis(),
            spec,
            panes: Panes::new(),
            hop: None,
            settled: i64::MIN,
            closed: None,
            flushed: None,
            due: BTreeSet::new(),
            kept: Kept::default(),
            horizon: i64::MIN,
        }
    }

    pub(crate) fn insert(&mut self, slots: &mut Slots, rows: &Rows<'_>) -> Result<Inserted, AggregateError> {
        self.flushed = None;
        probe(self.spec.aggregates.iter().filter(|aggregate| aggregate.is_ordered()), rows)?;
        let mut inserted = Inserted::default();
        let sealed = self.sealed(rows.watermark.millis());
        let mut shares = self.share(rows, sealed, &mut inserted);
        for share in &shares {
            self.keep_sealed(slots, share, sealed)?;
        }
        let changed = self.feed_kept(rows, &shares, sealed)?;
        self.find_groups(&mut shares);
        self.update_fallible(rows, &shares)?;
        for share in &shares {
            self.update_infallible(rows, share)?;
            inserted.late += self.count_rows(slots, rows, share, sealed);
        }
        self.log_rows(slots, rows, &shares)?;
        self.change_kept(rows, changed)?;
        Ok(inserted)
    }

    /// Splits a batch by pane, and leaves rows out that change no window.
    fn share(&self, rows: &Rows<'_>, sealed: Option<i64>, inserted: &mut Inserted) -> Vec<Share> {
        let mut shares: Vec<Share> = Vec::new();
        let mut places: BTreeMap<i64, usize> = BTreeMap::new();
        // Neighbours mostly fall into the same pane.
        let (mut from, mut to, mut at) = (0, 0, None);
        for (slot, row) in rows.slots.iter().zip(rows.rows) {
            let time = rows.times[*row as usize];
            if at.is_none() || time < from || time >= to {
                let Some(pane) = self.geometry.pane_of(time) else {
                    inserted.between += 1;
                    continue;
                };
                if sealed.is_some_and(|sealed| self.geometry.last_window(pane) <= sealed) {
                    inserted.too_late.push(*row);
                    continue;
                }
                (from, to) = (pane, self.geometry.pane_end(pane));
                at = Some(*places.entry(pane).or_insert_with(|| {
                    shares.push(Share { pane, groups: Vec::new(), rows: Vec::new(), slots: Vec::new() });
                    shares.len() - 1
                }));
            }
            let share = &mut shares[at.unwrap_or(0)];
            share.rows.push(*row);
            share.slots.push(slot.0);
        }
        shares
    }

    /// Makes panes, and in them groups, for all rows.
    fn find_groups(&mut self, shares: &mut [Share]) {
        for share in shares {
            let pane = self.panes.entry(share.pane).or_insert_with(|| Pane::new(&self.spec.aggregates));
            share.groups.extend(share.slots.iter().map(|slot| pane.group_or_insert(*slot)));
            pane.make_room();
        }
    }

    /// Feeds aggregates that may fail, of all panes or of none.
    fn update_fallible(&mut self, rows: &Rows<'_>, shares: &[Share]) -> Result<(), AggregateError> {
        let aggregates = &self.spec.aggregates;
        let mut saved = Vec::new();
        let mut outcome = Ok(());
        'shares: for share in shares {
            let Some(pane) = self.panes.get_mut(&share.pane) else { continue };
            for (at, aggregate) in aggregates.iter().enumerate() {
                if aggregate.is_ordered() || !aggregate.function.fallible() {
                    continue;
                }
                let mut groups = share.groups.clone();
                groups.sort_unstable();
                groups.dedup();
                let before = pane.states[at].copy(&groups);
                outcome = feed_batch(pane.states[at].as_mut(), aggregate, rows, &share.groups, &share.rows);
                if outcome.is_err() {
                    break 'shares;
                }
                saved.push((share.pane, at, groups, before));
            }
        }
        if outcome.is_err() {
            ordered::put_back(&mut self.panes, saved)?;
        }
        outcome
    }

    fn update_infallible(&mut self, rows: &Rows<'_>, share: &Share) -> Result<(), AggregateError> {
        let Some(pane) = self.panes.get_mut(&share.pane) else { return Ok(()) };
        for (at, aggregate) in self.spec.aggregates.iter().enumerate() {
            if !aggregate.is_ordered() && !aggregate.function.fallible() {
                feed_batch(pane.states[at].as_mut(), aggregate, rows, &share.groups, &share.rows)?;
            }
        }
        Ok(())
    }

    /// Counts rows of a share, and marks what is due if windows over its pane were returned. Gives how many are late.
    fn count_rows(&mut self, slots: &mut Slots, rows: &Rows<'_>, share: &Share, sealed: Option<i64>) -> u64 {
        let open = self.open_windows(share.pane);
        let Some(pane) = self.panes.get_mut(&share.pane) else { return 0 };
        let mut changes = self.changes.as_mut().filter(|_| !open.is_empty());
        for (group, row) in share.groups.iter().zip(&share.rows) {
            let (at, time) = (*group as usize, rows.times[*row as usize]);
            if pane.rows[at] == 0 {
                slots.retain(pane.slots[at]);
            }
            pane.rows[at] = pane.rows[at].saturating_add(1);
            pane.newest[at] = pane.newest[at].max(time);
            pane.flags[at] |= CHANGED;
            if let Some(changes) = &mut changes {
                pane.flags[at] |= LISTED;
                changes.note_row(pane.slots[at], share.pane, open.clone());
            }
            pane.mark_dirty(*group);
            if let Some(coarse) = &mut self.coarse {
                coarse.mark_stale(share.pane, pane.slots[at]);
            }
        }
        let Some(closed) = self.closed.filter(|closed| self.geometry.first_window(share.pane) <= *closed)
        else {
            return 0;
        };
        let changes_returned = Some(closed.min(self.geometry.last_window(share.pane))) > sealed;
        for (group, slot) in share.groups.iter().zip(&share.slots) {
            if changes_returned {
                pane.set_due(*group, pane.due(*group) + 1);
                self.due.insert((share.pane, *slot));
            }
            if let Some(hop) = self.hop.as_mut().filter(|hop| share.pane >= hop.start()) {
                hop.mark_stale(*slot);
            }
        }
        share.rows.len() as u64
    }

    /// Keeps the rows that ordered aggregates will be fed.
    fn log_rows(
        &mut self,
        slots: &mut Slots,
        rows: &Rows<'_>,
        shares: &[Share],
    ) -> Result<(), AggregateError> {
        let Some(ordered) = &mut self.ordered else { return Ok(()) };
        let mistyped = || AggregateError::Broken("an input column is not of its declared type".to_owned());
        let sources = ordered.logs.layout.sources(rows.columns).ok_or_else(mistyped)?;
        for share in shares {
            for (slot, row) in share.slots.iter().zip(&share.rows) {
                let row = *row as usize;
                let place = crate::aggregate::fold::Place { time: rows.times[row], rank: rows.ranks[row] };
                let is_settled = place.time < self.settled;
                ordered.logs.insert(slots, *slot, place, is_settled, 0, (&sources, row));
                if is_settled && let Some(pane) = self.panes.get_mut(&share.pane) {
                    ordered.mark_refold(share.pane, pane, *slot);
                }
            }
        }
        Ok(())
    }

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

    /// The newest window that is complete.
    pub(crate) fn closed(&self) -> Option<i64> {
        self.closed
    }

    /// Windows that were returned and then got late rows, as far back as results may be returned again.
    fn correct(&mut self, out: &mut Collector) -> Result<(), AggregateError> {
        let Some(closed) = self.closed else { return Ok(()) };
        self.correct_kept(out)?;
        let out_of_reach = self.out_of_reach();
        let mut windows: BTreeMap<i64, Vec<(u32, bool)>> = BTreeMap::new();
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
                let all = crate::tiles::counted(slots.len());
                out.values(at, first, states.finish(&all, &vec![bounds.1; slots.len()])?);
            }
        }
        Ok(())
    }

    /// One window's states of one aggregate, for some keys.
    pub(crate) fn fold_window(
        &self,
        at: usize,
        window: i64,
        slots: &[u32],
    ) -> Result<Box<dyn States>, AggregateError> {
        let function = self.spec.aggregates[at].function.as_ref();
        fold_window(&self.panes, self.coarse.as_ref(), &self.geometry, (at, function), window, slots)
    }

    /// Whether a closed window had rows of a key before the late ones.
    fn was_returned(&self, window: i64, slot: u32) -> bool {
        let (start, end) = self.geometry.bounds(window);
        self.panes.range(start..end).any(|(_, pane)| {
            let group = pane.group(slot);
            group.is_some_and(|group| pane.rows[group as usize] > pane.due(group))
        })
    }

    /// Windows that are panes, after those that are closed and up to `limit`.
    fn close_whole(&self, limit: Option<i64>, out: &mut Collector) -> Result<(), AggregateError> {
        let Some(limit) = limit else { return Ok(()) };
        let from = self.closed.map_or(i64::MIN, |closed| closed.saturating_add(1));
        if from > limit {
            return Ok(());
        }
        for (start, pane) in self.panes.range(from..=limit) {
            self.emit_pane(pane, *start, out)?;
        }
        Ok(())
    }

    /// The results of a window that is one pane.
    fn emit_pane(&self, pane: &Pane, window: i64, out: &mut Collector) -> Result<(), AggregateError> {
        let is_due = |group: &u32| {
            let at = *group as usize;
            pane.flags[at] & CHANGED != 0 && !self.is_current(window, pane.slots[at])
        };
        let groups: Vec<u32> = pane.live().filter(is_due).collect();
        if groups.is_empty() {
            return Ok(());
        }
        let slots: Vec<u32> = groups.iter().map(|group| pane.slots[*group as usize]).collect();
        let (bounds, first) = (self.geometry.bounds(window), out.len());
        let was_returned = |(group, slot): (&u32, &u32)| {
            let is_noted = self.changes.as_ref().is_some_and(|changes| changes.is_returned(window, *slot));
            is_noted || pane.flags[*group as usize] & WRITTEN != 0
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
        limit: Option<i64>,
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
        closed: Option<i64>,
        (limit, results): (i64, usize),
        out: &mut Collector,
    ) -> Result<Option<i64>, AggregateError> {
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
    fn next_window(&self, closed: Option<i64>) -> Option<i64> {
        let following = match closed {
            Some(closed) => self.geometry.following(closed)?,
            None => i64::MIN,
        };
        let mut panes = self.panes.range(self.geometry.start_of(following)..);
        let (pane, _) = panes.find(|(_, pane)| pane.live().next().is_some())?;
        Some(self.geometry.first_window(*pane).max(following))
    }

    fn emit_window(&self, hop: &Hop, out: &mut Collector) -> Result<(), AggregateError> {
        let (mut slots, mut revised) = hop.changed();
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
        }
        let closed = self.closed;
        let open = |pane: i64| closed.is_none_or(|closed| self.geometry.last_window(pane) > closed);
        for (_, pane) in self.panes.iter_mut().rev().take_while(|(start, _)| open(**start)) {
            for group in pane.live().collect::<Vec<u32>>() {
                pane.change_flags(group, WRITTEN, CHANGED | LISTED);
            }
        }
        Ok(())
    }

    /// When the next window becomes complete that has rows.
    pub(crate) fn next_result(&self) -> Option<i64> {
        if !self.due.is_empty() || self.kept.has_due() {
            return Some(i64::MIN);
        }
        self.next_window(self.closed).map(|window| self.geometry.end_of(window))
    }

    /// Forgets what is kept of keys that are gone.
    pub(crate) fn forget(&mut self, slots: &[u32]) {
        if let Some(ordered) = &mut self.ordered {
            slots.iter().for_each(|slot| ordered.logs.forget(*slot));
        }
        if let Some(changes) = self.changes.as_mut().filter(|_| !slots.is_empty()) {
            changes.forget(slots);
        }
    }

    /// A stored tile of a key.
    pub(crate) fn decode(
        &mut self,
        slots: &mut Slots,
        slot: Slot,
        start: i64,
        stored: &[u8],
    ) -> Result<(), AggregateError> {
        decode_tile(&mut self.panes, &self.spec.aggregates, slots, slot, start, stored)
    }

    pub(crate) fn restore_done(&mut self, settled: i64, oldest: i64) -> Vec<u32> {
        (self.settled, self.closed) = (settled, self.geometry.last_complete(settled));
        self.horizon = oldest;
        if oldest == i64::MIN {
            self.move_horizon();
        }
        for (start, pane) in &self.panes {
            let due = pane.live().filter(|group| pane.due(*group) > 0);
            self.due.extend(due.map(|group| (*start, pane.slots[group as usize])));
        }
        if let Some(changes) = &mut self.changes {
            changes.restore_done(&self.panes, self.closed);
        }
        let Some(ordered) = &mut self.ordered else { return Vec::new() };
        ordered.restore_done(&self.panes, settled)
    }

    pub(crate) fn settled(&self) -> i64 {
        self.settled
    }

    pub(crate) fn tiles(&self) -> u64 {
        self.panes.values().map(|pane| pane.slots.len() as u64).sum()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let panes: usize = self.panes.values().map(Pane::memory_bytes).sum();
        let logs = self.ordered.as_ref().map_or(0, |ordered| ordered.logs.memory_bytes());
        let changes = self.changes.as_ref().map_or(0, Changes::memory_bytes);
        let coarse = self.coarse.as_ref().map_or(0, Coarse::memory_bytes);
        panes
            + logs
            + changes
            + coarse
            + self.kept.memory_bytes()
            + self.hop.as_ref().map_or(0, Hop::memory_bytes)
    }
}
