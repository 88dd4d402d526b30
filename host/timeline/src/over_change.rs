//! `OVER` results as their events come: each pending event as of its own time, and a key's newest event again when a
//! row that came out of order has altered its frames.
//!
//! What was returned is marked in the log. An event that was returned and then got another row into its frames, and is
//! not the key's newest, is only marked so: it is returned once more when it is final. Late events are not returned
//! here: they are corrections, which `settle` returns.

use crate::aggregate::AggregateError;
use crate::aggregate::fold::Place;
use crate::answer::Results;
use crate::collect::Collector;
use crate::cursor::over::Walk;
use crate::over::OverStage;
use crate::row_log::Log;
use crate::row_log::block::{AGAIN, NEW, WRITTEN};
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

impl OverStage {
    /// Pending events that came since the last call, and what they have altered.
    pub(crate) fn changes(&mut self) -> Result<Results, AggregateError> {
        let mut out = Collector::new(&self.spec);
        let (mut walks, mut stale) = (Vec::new(), Vec::new());
        for (slot, places) in std::mem::take(&mut self.arrived) {
            let Some(log) = self.logs.find(slot).filter(|log| !log.is_empty()) else { continue };
            let new = numbers(log, &places);
            let changed = self.frames.changed(log, &new, self.logs.settled(slot)..log.end());
            let is_returned = |number: &u64| *number + 1 == log.end() || new.binary_search(number).is_ok();
            let (events, others): (Vec<u64>, Vec<u64>) = changed.into_iter().partition(is_returned);
            stale.extend(others.into_iter().map(|number| (slot, number)));
            let late = new.into_iter().take_while(|number| *number < self.logs.settled(slot));
            stale.extend(late.map(|number| (slot, number)));
            walks.push(Walk { slot, group: 0, events });
        }
        walks.retain(|walk| !walk.events.is_empty());
        self.emit_aside(&mut walks, |marks| marks & (WRITTEN | AGAIN) != 0, &mut out)?;
        for Walk { slot, events, .. } in walks {
            for number in events {
                let time = self.change_marks(slot, number, |marks| (marks | WRITTEN) & !(NEW | AGAIN));
                self.written_until = self.written_until.max(time);
            }
        }
        for (slot, number) in stale {
            self.change_marks(slot, number, |marks| {
                let again = if marks & WRITTEN == 0 { 0 } else { AGAIN };
                (marks | again) & !(WRITTEN | NEW)
            });
        }
        out.finish(&self.spec)
    }

    /// Changes a row's marks. Gives its time.
    fn change_marks(&mut self, slot: u32, number: u64, change: impl Fn(i64) -> i64) -> i64 {
        let (block, row) = self.logs.log(slot).row(number);
        let (marks, time) = (block.marks(row), block.time(row));
        if change(marks) != marks {
            self.logs.set_marks(slot, number, change(marks));
        }
        time
    }
}
