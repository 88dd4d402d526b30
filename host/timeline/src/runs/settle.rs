//! What runs return: sessions that are over, corrections, deletions, changes; and what is dropped.

use super::{RunStage, is_deferred};
use crate::aggregate::{AggregateError, States};
use crate::answer::{RefusedRow, Results, Slot};
use crate::collect::Collector;
use crate::feed::Feeder;
use crate::marks::Marks;
use crate::row_log::logs::Stay;
use crate::slots::Slots;
use crate::slots::counted;
use std::cmp::Reverse;
use std::ops::Range;

/// Rows of one run: the key, the run, the numbers in the key's log.
type RunPart = (u32, u32, Range<u64>);

impl RunStage {
    pub(crate) fn settle(&mut self, to: i64) -> Result<Results, AggregateError> {
        let to = to.max(self.settled);
        let mut out = Collector::new(&self.spec);
        out.results().refused = self.fold_settled(to)?;
        self.settled = to;
        if self.closes {
            self.emit_gone(&mut out)?;
            let closed = self.close(to);
            self.emit(&closed, &mut out)?;
        }
        self.move_horizon();
        out.finish(&self.spec)
    }

    /// The oldest time that may be asked for.
    pub(crate) fn horizon(&self) -> i64 {
        self.horizon
    }

    /// Moves the horizon on to where the boundary is.
    pub(super) fn move_horizon(&mut self) {
        let reached = self.settled.saturating_sub(self.spec.reach().millis());
        self.horizon = self.horizon.max(reached);
    }

    pub(crate) fn flush(&mut self) -> Result<Results, AggregateError> {
        // A lifetime value has no other end than that of its changes.
        if !self.closes {
            return self.changes();
        }
        let mut out = Collector::new(&self.spec);
        out.results().refused = self.fold_settled(self.settled)?;
        self.emit_gone(&mut out)?;
        let all: Vec<u32> = self.table.live().collect();
        self.emit(&all, &mut out)?;
        out.finish(&self.spec)
    }

    /// Feeds what is settled at `to` to the aggregates that wait for it. Returns rows that one failed on.
    pub(super) fn fold_settled(&mut self, to: i64) -> Result<Vec<RefusedRow>, AggregateError> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        if !self.defers {
            return Ok(Vec::new());
        }
        let mut parts: Vec<RunPart> = Vec::new();
        for run in std::mem::take(&mut self.refold) {
            let run_now = self.table.run_mut(run);
            if run_now.rows == 0 || !run_now.marks.has(Marks::REFOLD) {
                continue;
            }
            run_now.marks.clear(Marks::REFOLD);
            let (slot, start, last) = (run_now.slot, run_now.start, run_now.last);
            let log = self.logs.log(slot);
            let end = log.first_after(last).min(self.logs.settled(slot));
            parts.push((slot, run, log.first_at(start)..end));
        }
        let refolded: Vec<u32> = parts.iter().map(|(_, run, _)| *run).collect();
        for (slot, rows) in self.logs.settle(to) {
            self.by_run(slot, rows, &mut parts);
        }
        let mut refused = Vec::new();
        for at in 0..self.states.len() {
            if !is_deferred(&self.spec.aggregates[at]) {
                continue;
            }
            self.states[at].resize(self.table.bound());
            self.states[at].reset(&refolded);
            self.bases.merge_into(at, self.states[at].as_mut(), &refolded, &refolded)?;
            self.fold_parts(at, &parts, &mut refused)?;
        }
        parts.iter().for_each(|(_, run, _)| self.touch(*run));
        refused.retain(|row| self.is_refused_first(row));
        Ok(refused)
    }

    /// Cuts a stretch of a key's log where its runs start.
    fn by_run(&self, slot: u32, rows: Range<u64>, parts: &mut Vec<RunPart>) {
        let log = self.logs.log(slot);
        let mut from = rows.start;
        while from < rows.end {
            // Every row that is in the log is of a run, or of one that was dropped before it.
            let Some(run) = self.table.at(slot, log.time(from)) else { break };
            let to = log.first_after(self.table.run(run).last).clamp(from + 1, rows.end);
            parts.push((slot, run, from..to));
            from = to;
        }
    }

    fn fold_parts(
        &mut self,
        at: usize,
        parts: &[RunPart],
        refused: &mut Vec<RefusedRow>,
    ) -> Result<(), AggregateError> {
        let aggregate = &self.spec.aggregates[at];
        let mut feeder = Feeder::new(&self.logs.layout, aggregate);
        let (mut runs, mut slots) = (Vec::new(), Vec::new());
        for (slot, run, rows) in parts {
            feeder.push(self.logs.log(*slot), rows.clone());
            runs.resize(feeder.len(), *run);
            slots.resize(feeder.len(), *slot);
        }
        let feed = feeder.finish();
        let failed = feed.fold(self.states[at].as_mut(), &runs)?;
        refused.extend(failed.into_iter().map(|(row, reason)| RefusedRow {
            slot: Slot(slots[row as usize]),
            time: feed.times[row as usize],
            rank: feed.ranks[row as usize],
            aggregate: at,
            reason,
        }));
        Ok(())
    }

    /// Whether it was not told yet that a row was refused. The row stays in the log: other aggregates need it.
    fn is_refused_first(&mut self, row: &RefusedRow) -> bool {
        let log = self.logs.log(row.slot.0);
        let found = (log.first_at(row.time)..log.end()).find_map(|number| {
            let (block, index) = log.row(number);
            (block.rank(index) == row.rank).then(|| (number, block.marks(index)))
        });
        let Some((number, marks)) = found.filter(|(_, marks)| !marks.has(Marks::REFUSED)) else {
            return false;
        };
        self.logs.set_marks(row.slot.0, number, marks.with(Marks::REFUSED));
        true
    }

    /// Runs that are over at a boundary and were not.
    fn close(&mut self, to: i64) -> Vec<u32> {
        let mut closed = Vec::new();
        while let Some(Reverse((time, run))) = self.closing.peek().copied().filter(|top| top.0.0 < to) {
            self.closing.pop();
            let run_now = self.table.run(run);
            if run_now.rows == 0 || run_now.is_closed || run_now.queued != time {
                continue;
            }
            let end = self.table.end(run);
            if end < to {
                self.table.run_mut(run).is_closed = true;
                self.await_expiry(run);
                closed.push(run);
            } else {
                self.table.run_mut(run).queued = end;
                self.closing.push(Reverse((end, run)));
            }
        }
        closed
    }

    /// Windows that were returned and are no more, as far back as the horizon.
    pub(super) fn emit_gone(&mut self, out: &mut Collector) -> Result<(), AggregateError> {
        let gone = std::mem::take(&mut self.gone);
        if gone.is_empty() {
            return Ok(());
        }
        let first = out.len();
        for (run, windows) in gone {
            self.touch(run);
            if self.table.end(run) < self.horizon {
                continue;
            }
            for window in windows {
                out.window(window, &[self.table.run(run).slot], std::iter::once(true));
                out.results().deleted.push(true);
            }
        }
        let count = out.len() - first;
        for (at, aggregate) in self.spec.aggregates.iter().enumerate() {
            let mut nothing = aggregate.function.states();
            nothing.resize(count);
            let as_of: Vec<i64> = out.results().windows[first..].iter().map(|(_, end)| *end).collect();
            out.values(at, first, nothing.finish(&counted(count), &as_of)?);
        }
        Ok(())
    }

    /// Those of some runs that have changed since they were returned, as they stand.
    pub(super) fn emit(&mut self, runs: &[u32], out: &mut Collector) -> Result<(), AggregateError> {
        let is_wanted = |run: &u32| {
            self.table.end(*run) >= self.horizon && self.table.run(*run).marks.has(Marks::CHANGED)
        };
        let runs: Vec<u32> = runs.iter().copied().filter(is_wanted).collect();
        if runs.is_empty() {
            return Ok(());
        }
        let first = out.len();
        let mut as_of = Vec::with_capacity(runs.len());
        for run in &runs {
            let (end, run_now) = (self.table.end(*run), self.table.run(*run));
            let results = out.results();
            results.slots.push(Slot(run_now.slot));
            results.revised.push(self.was_returned(*run));
            if self.closes {
                results.windows.push((run_now.start, end));
                results.deleted.push(false);
            }
            as_of.push(if self.closes { end } else { run_now.last });
        }
        for at in 0..self.states.len() {
            let finished = match self.with_pending(at, &runs)? {
                Some(states) => states.finish(&counted(runs.len()), &as_of)?,
                None => self.states[at].finish(&runs, &as_of)?,
            };
            out.values(at, first, finished);
        }
        for run in runs {
            let end = self.table.end(run);
            let run_now = self.table.run_mut(run);
            run_now.marks.clear(Marks::CHANGED);
            run_now.returned = Some(end);
            self.touch(run);
        }
        Ok(())
    }

    /// Whether a result of the same identity may have been returned.
    fn was_returned(&self, run: u32) -> bool {
        if self.closes {
            return self.table.run(run).returned.is_some();
        }
        let others = self.table.of_slot(self.table.run(run).slot);
        others.iter().any(|other| self.table.run(*other).returned.is_some())
    }

    /// Copies of the states of an aggregate that waits for settled rows, fed with those that are not; `None` if there
    /// are none.
    fn with_pending(&self, at: usize, runs: &[u32]) -> Result<Option<Box<dyn States>>, AggregateError> {
        if !is_deferred(&self.spec.aggregates[at]) {
            return Ok(None);
        }
        let mut feeder = Feeder::new(&self.logs.layout, &self.spec.aggregates[at]);
        let mut groups = Vec::new();
        for (group, run) in runs.iter().enumerate() {
            let run_now = self.table.run(*run);
            if run_now.last < self.settled {
                continue;
            }
            let log = self.logs.log(run_now.slot);
            let from = log.first_at(run_now.start).max(self.logs.settled(run_now.slot));
            feeder.push(log, from..log.first_after(run_now.last).max(from));
            groups.resize(feeder.len(), group as u32);
        }
        if groups.is_empty() {
            return Ok(None);
        }
        let mut states = self.states[at].copy(runs);
        feeder.finish().fold(states.as_mut(), &groups)?;
        Ok(Some(states))
    }

    /// When the next session is over, at the earliest.
    pub(crate) fn next_result(&self) -> Option<i64> {
        if !self.gone.is_empty() {
            return Some(i64::MIN);
        }
        self.closing.peek().map(|Reverse((end, _))| end.saturating_add(1))
    }

    pub(crate) fn expire(&mut self, slots: &mut Slots) {
        while let Some(Reverse((time, run))) =
            self.expiring.peek().copied().filter(|top| top.0.0 <= self.horizon)
        {
            self.expiring.pop();
            let run_now = self.table.run(run);
            if run_now.rows == 0 || !run_now.is_closed || run_now.queued != time {
                continue;
            }
            let is_over = self.expiry(run).is_some_and(|time| time <= self.horizon);
            if is_over { self.drop_run(slots, run) } else { self.await_expiry(run) }
        }
        self.broken = self.broken.take().or(self.evict(slots).err());
    }

    fn drop_run(&mut self, slots: &mut Slots, run: u32) {
        let (slot, start) = (self.table.run(run).slot, self.table.run(run).start);
        self.bury(slots, run, start);
        self.table.unlist(run);
        self.bases.remove(run);
        self.gone.remove(&run);
        self.states.iter_mut().filter(|states| states.len() > run as usize).for_each(|it| it.reset(&[run]));
        self.table.free(run);
        slots.release(slot);
    }

    /// Drops rows that no late row and no lookup can go back to, and keeps their states.
    fn evict(&mut self, slots: &mut Slots) -> Result<(), AggregateError> {
        let until = if self.closes { self.horizon.saturating_sub(self.table.gap) } else { self.horizon };
        let RunStage { spec, logs, table, bases, .. } = self;
        let layout = logs.layout.clone();
        let mut leaving: Vec<(Feeder, Vec<u32>)> =
            spec.aggregates.iter().map(|it| (Feeder::new(&layout, it), Vec::new())).collect();
        let mut left: Vec<(u32, u64)> = Vec::new();
        // States that depend on order are folded anew when a late row comes, which it may anywhere in a session that
        // late rows reach at all; but not where it is older than the retention.
        let oldest = spec.retention.map_or(i64::MIN, |it| self.horizon.saturating_sub(it.millis()));
        let is_refolded = self.closes && self.defers;
        let stays = |slot: u32| {
            let runs = if is_refolded { table.of_slot(slot) } else { &[] };
            let run = *runs.get(runs.partition_point(|run| table.end(*run) < until))?;
            Some(Stay { from: table.run(run).start.max(oldest), until: table.end(run) })
        };
        logs.evict(slots, until, stays, |slot, log, until| {
            for run in table.of_slot(slot).iter().copied() {
                let run_now = table.run(run);
                let from = log.first_at(run_now.start);
                let to = log.first_after(run_now.last).min(until);
                if from >= to {
                    continue;
                }
                left.push((run, to - from));
                if run_now.logged <= to - from && !run_now.marks.has(Marks::REFOLD) {
                    bases.remove(run);
                    continue;
                }
                let group = bases.group_or_insert(run, log.time(to - 1));
                for (feeder, groups) in &mut leaving {
                    feeder.push(log, from..to);
                    groups.resize(feeder.len(), group);
                }
            }
        });
        for (run, rows) in left {
            let run_now = self.table.run_mut(run);
            run_now.logged -= rows.min(run_now.logged);
            self.touch(run);
        }
        self.bases.fold(leaving)
    }

    /// Forgets what is kept of keys that are gone.
    pub(crate) fn forget(&mut self, slots: &[u32]) {
        slots.iter().for_each(|slot| self.logs.forget(*slot));
    }
}
