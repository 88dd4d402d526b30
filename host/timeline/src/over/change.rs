//! `OVER` results as their events come: each pending event as of its own time, and a key's newest event again when a
//! row that came out of order has altered its frames.
//!
//! What was returned is marked in the log. An event that was returned and then got another row into its frames, and is
//! not the key's newest, is only marked so: it is returned once more when it is final. Late events are not returned
//! here: they are corrections, which `settle` returns.

use super::OverStage;
use super::cursor::{Source, Walk};
use super::settle::emit;
use crate::aggregate::AggregateError;
use crate::aggregate::fold::Place;
use crate::answer::Results;
use crate::collect::Collector;
use crate::marks::Marks;
use crate::row_log::Log;
use std::collections::BTreeMap;

/// By slot, the rows that came since changes were last asked for.
pub(crate) type Arrived = BTreeMap<u32, Vec<Place>>;

/// The numbers of rows in their key's log, rising; those that are gone are left out.
pub(crate) fn numbers(log: &Log, places: &[Place]) -> Vec<u64> {
    let number = |place: &Place| {
        let mut tied = log.first_at(place.time)..log.first_after(place.time);
        tied.find(|number| {
            let (block, row) = log.row(*number);
            block.place(row) == *place
        })
    };
    let mut numbers: Vec<u64> = places.iter().filter_map(number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// The marks of an event that is returned with all that has come.
pub(super) fn returned(marks: Marks) -> Marks {
    marks.with(Marks::RETURNED).without(Marks::CHANGED.with(Marks::LISTED))
}

impl OverStage {
    /// Pending events that came since the last call, and what they have altered.
    pub(crate) fn changes(&mut self) -> Result<Results, AggregateError> {
        let mut out = Collector::new(&self.spec);
        let (mut walks, mut stale) = (Vec::new(), Vec::new());
        for (slot, places) in std::mem::take(&mut self.arrived) {
            let Some(log) = self.logs.find(slot).filter(|log| !log.is_empty()) else { continue };
            let new = numbers(log, &places);
            let changed = self.frames.changed(log, &new, self.logs.settled(slot)..log.end());
            let newest = self.newest_result(log, log.end(), self.logs.settled(slot));
            let is_returned = |number: &u64| {
                self.has_result(log, *number)
                    && (newest == Some(*number) || new.binary_search(number).is_ok())
            };
            let (events, others): (Vec<u64>, Vec<u64>) = changed.into_iter().partition(is_returned);
            stale.extend(others.into_iter().map(|number| (slot, number)));
            let late = new.into_iter().take_while(|number| *number < self.logs.settled(slot));
            stale.extend(late.map(|number| (slot, number)));
            walks.push(Walk { slot, group: slot, events });
        }
        walks.retain(|walk| !walk.events.is_empty());
        self.emit_on(&mut walks, &mut out)?;
        for Walk { slot, events, .. } in walks {
            for number in events {
                let time = self.change_marks(slot, number, returned);
                self.returned_until = self.returned_until.max(time);
            }
        }
        for (slot, number) in stale {
            self.change_marks(slot, number, |marks| {
                let was_returned = marks.has(Marks::RETURNED);
                marks.with_if(Marks::CHANGED, was_returned).without(Marks::LISTED)
            });
        }
        out.finish(&self.spec)
    }

    /// The newest event before `end`, and at or after `from`, that has a result.
    pub(crate) fn newest_result(&self, log: &Log, end: u64, from: u64) -> Option<u64> {
        (from.max(log.start())..end).rev().find(|number| self.has_result(log, *number))
    }

    /// Results of events from where the cursor stands; it goes back where it must.
    pub(crate) fn emit_on(&mut self, walks: &mut [Walk], out: &mut Collector) -> Result<(), AggregateError> {
        self.leave_results(walks);
        self.cursor.make_room(walks.iter().map(|walk| walk.group as usize + 1).max().unwrap_or(0));
        let ends =
            walks.iter().filter_map(|walk| Some((walk.slot, walk.events.first()?, walk.events.last()?)));
        for (slot, first, last) in ends.filter(|_| self.spec.emit_changes).collect::<Vec<_>>() {
            let [first, last] = [first, last].map(|number| self.logs.log(slot).time(*number));
            self.step_back(slot, first);
            self.stands.insert(slot, last);
        }
        let OverStage { spec, logs, frames, tail, cursor, .. } = self;
        let source = Source { spec, logs, frames, tail: tail.as_ref() };
        emit(&source, cursor, walks, |marks| marks.has(Marks::RETURNED), out)
    }

    /// A row or an event is not after the time that a key's cursor stands at: the next walk starts from the log. (A
    /// tied row may come between rows that are in the frame already.)
    pub(crate) fn step_back(&mut self, slot: u32, time: i64) {
        if self.stands.get(&slot).is_some_and(|stands| time <= *stands) {
            self.stands.remove(&slot);
            self.cursor.reset(slot);
        }
    }

    /// Changes a row's marks. Gives its time.
    fn change_marks(&mut self, slot: u32, number: u64, change: impl Fn(Marks) -> Marks) -> i64 {
        let (block, row) = self.logs.log(slot).row(number);
        let (marks, time) = (block.marks(row), block.time(row));
        if change(marks) != marks {
            self.logs.set_marks(slot, number, change(marks));
        }
        time
    }
}
