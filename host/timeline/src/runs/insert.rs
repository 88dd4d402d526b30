//! Rows of a batch into the runs of their keys, which begin, grow or are joined by them.

use super::judge::Verdict;
use super::table::{Change, Placement, Run};
use super::{RunStage, base, is_deferred};
use crate::aggregate::AggregateError;
use crate::aggregate::fold::Place;
use crate::answer::{Inserted, Rows};
use crate::feed::{feed_batch, probe};
use crate::marks::Marks;
use crate::slots::Slots;
use std::cmp::Reverse;

/// Rows of a batch and the runs that they went to.
#[derive(Default)]
struct Placed {
    runs: Vec<u32>,
    rows: Vec<u32>,
    /// Runs that were joined, in this order: what is left, what is no more.
    joins: Vec<(u32, u32)>,
}

impl RunStage {
    pub(crate) fn insert(&mut self, slots: &mut Slots, rows: &Rows<'_>) -> Result<Inserted, AggregateError> {
        probe(self.spec.aggregates.iter().filter(|aggregate| is_deferred(aggregate)), rows)?;
        let mut inserted = Inserted::default();
        let placed = self.place(slots, rows, &mut inserted)?;
        for (states, aggregate) in self.states.iter_mut().zip(&self.spec.aggregates) {
            states.resize(self.table.bound());
            if !is_deferred(aggregate) && !placed.rows.is_empty() {
                feed_batch(states.as_mut(), aggregate, rows, &placed.runs, &placed.rows)?;
            }
        }
        for (into, from) in placed.joins {
            for (states, aggregate) in self.states.iter_mut().zip(&self.spec.aggregates) {
                if !is_deferred(aggregate) {
                    base::absorb(states.as_mut(), into, from)?;
                }
                states.reset(&[from]);
            }
            self.table.free(from);
        }
        Ok(inserted)
    }

    /// Finds each row's run, and puts the row into the log.
    fn place(
        &mut self,
        slots: &mut Slots,
        rows: &Rows<'_>,
        inserted: &mut Inserted,
    ) -> Result<Placed, AggregateError> {
        let mistyped = || AggregateError::Broken("an input column is not of its declared type".to_owned());
        let layout = self.logs.layout.clone();
        let sources = layout.sources(rows.columns).ok_or_else(mistyped)?;
        let mut placed = Placed::default();
        for (slot, row) in rows.slots.iter().zip(rows.rows) {
            let (slot, at) = (slot.0, *row as usize);
            let place = Place { time: rows.times[at], rank: rows.ranks[at] };
            match self.judge(slot, place.time, rows.watermark.millis()) {
                Verdict::OnTime => {}
                Verdict::Late => inserted.late += 1,
                Verdict::TooLate => {
                    inserted.too_late.push(*row);
                    continue;
                }
            }
            let placement = self.table.place(slot, place.time);
            let run = placement.run;
            self.note(slots, placement, place.time, &mut placed)?;
            // Where no aggregate waits for settled rows, none needs to be told from the pending ones.
            let is_settled = !self.defers || place.time < self.settled;
            self.logs.insert(slots, slot, place, is_settled, Marks::NONE, (&sources, at));
            placed.runs.push(run);
            placed.rows.push(*row);
        }
        Ok(placed)
    }

    /// Takes note of a row and of what it did to its run.
    fn note(
        &mut self,
        slots: &mut Slots,
        Placement { run, last, change }: Placement,
        time: i64,
        placed: &mut Placed,
    ) -> Result<(), AggregateError> {
        let Run { rows, logged, is_closed, .. } = *self.table.run(run);
        if rows > 0 && logged == 0 && self.bases.last(run).is_none() {
            // Its rows are all gone from the log, and this is the first of the batch.
            self.bases.adopt(run, last, &self.states)?;
        }
        match change {
            Change::New => {
                slots.retain(self.table.run(run).slot);
                self.succeed(run);
            }
            Change::Grown => {}
            Change::Moved { from } => {
                let returned = self.table.run_mut(run).returned;
                self.bury(slots, run, from);
                if self.closes
                    && let Some(end) = returned
                {
                    self.table.run_mut(run).returned = None;
                    self.gone.entry(run).or_default().push((from, end));
                }
            }
            Change::Joined { with } => {
                self.join(slots, run, with)?;
                placed.joins.push((run, with));
            }
        }
        if self.closes && (change == Change::New || is_closed) {
            let end = self.table.end(run);
            let run_now = self.table.run_mut(run);
            run_now.is_closed = false;
            run_now.queued = end;
            self.closing.push(Reverse((end, run)));
        } else if change == Change::New {
            self.table.run_mut(run).is_closed = true;
            self.await_expiry(run);
        }
        let run_now = self.table.run_mut(run);
        run_now.rows += 1;
        run_now.logged += 1;
        run_now.marks.set(Marks::CHANGED);
        if self.defers && time < self.settled && !run_now.marks.has(Marks::REFOLD) {
            run_now.marks.set(Marks::REFOLD);
            self.refold.push(run);
        }
        self.list(run);
        self.touch(run);
        Ok(())
    }

    /// Makes a later run part of an earlier one; states follow when the batch has been fed.
    fn join(&mut self, slots: &mut Slots, run: u32, with: u32) -> Result<(), AggregateError> {
        let later = self.table.run(with).clone();
        self.bury(slots, with, later.start);
        slots.release(later.slot);
        self.bases.pass_on(with, run)?;
        let mut gone = self.gone.remove(&with).unwrap_or_default();
        gone.extend(later.returned.filter(|_| self.closes).map(|end| (later.start, end)));
        if !gone.is_empty() {
            self.gone.entry(run).or_default().extend(gone);
        }
        let run_now = self.table.run_mut(run);
        run_now.rows += later.rows;
        run_now.logged += later.logged;
        if !self.closes {
            run_now.returned = run_now.returned.or(later.returned);
        }
        // Its number waits to be freed; a run without rows is not looked at.
        self.table.run_mut(with).rows = 0;
        Ok(())
    }

    /// Remembers that a run has changed, if changes will be asked for.
    pub(super) fn list(&mut self, run: u32) {
        let run_now = self.table.run_mut(run);
        if self.spec.emit_changes && !run_now.marks.has(Marks::LISTED) {
            run_now.marks.set(Marks::LISTED);
            self.changed.push(run);
        }
    }
}
