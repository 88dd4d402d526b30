//! What the logic makes when the settled boundary moves on: of each key's events that are settled, of its timers, and anew
//! of everything behind a late event. Of that is returned what is not as it was returned before.

use super::drive::{Course, Driven, FailedStep, KeptRows, MadeRow};
use super::memory::Memory;
use super::{ProcessStage, Returned, row};
use crate::aggregate::AggregateError;
use crate::answer::{RefusedRow, Results, Slot};
use crate::collect::join;
use crate::marks::Marks;
use crate::row_log::Log;
use crate::slots::Slots;
use crate::timeline::Wanted;
use arrow_array::{ArrayRef, TimestampMillisecondArray, UInt32Array};
use arrow_select::take::take;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use weir_event::{EventTime, key_hash};

/// Of so many events of a key it is taken down what its logic was before the first.
const EVENTS_BETWEEN_WAYPOINTS: u64 = if cfg!(test) { 3 } else { 256 };

/// Where a key's logic starts from.
struct Start {
    memory: Memory,
    rows: Range<u64>,
    /// Rows that are made from this time on may be others than before.
    since: i64,
}

impl ProcessStage {
    pub(crate) fn settle(
        &mut self,
        slots: &mut Slots,
        to: i64,
        wanted: Wanted,
    ) -> Result<Results, AggregateError> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        let (from, to) = (self.settled, to.max(self.settled));
        let starts = self.starts(from, to);
        let keeps = if wanted == Wanted::Results { KeptRows::Rows } else { KeptRows::Newest };
        let since: Vec<i64> = starts.values().map(|start| start.since).collect();
        let driven = self.run(starts, to, keeps)?;
        self.settled = to;
        self.due.clear();
        let refused = self.refused(&driven, from);
        let mut results = Results { refused, ..Results::default() };
        if wanted == Wanted::Results {
            results = Results { refused: results.refused, ..self.returned(&driven, &since, to)? };
        }
        for (Course { slot, memory, .. }, waypoints) in driven.courses.into_iter().zip(driven.waypoints) {
            let known = &mut self.held[slot as usize].waypoints;
            let last = known.last().map(|waypoint| waypoint.time);
            known.extend(waypoints.into_iter().filter(|waypoint| last < Some(waypoint.time)));
            self.set_now(slots, slot, memory);
            self.note_returned_early(slot);
        }
        self.move_horizon();
        Ok(results)
    }

    /// Corrections, and what the logic would make of the events that are pending.
    pub(crate) fn flush(&mut self, slots: &mut Slots) -> Result<Results, AggregateError> {
        let corrected = self.settle(slots, self.settled, Wanted::Results)?;
        let pending = self.logs.pending().into_iter();
        self.make_room(slots.bound());
        let start = |slot: u32, rows| (slot, self.going_on(slot, rows, self.settled));
        let starts: BTreeMap<u32, Start> = pending.map(|(slot, rows)| start(slot, rows)).collect();
        if starts.is_empty() {
            return Ok(corrected);
        }
        // Nobody says that time has come as far as the timers behind the last event.
        let since = vec![self.settled; starts.len()];
        let driven = self.run(starts, i64::MIN, KeptRows::Rows)?;
        let open = self.returned(&driven, &since, i64::MAX)?;
        for Course { slot, .. } in driven.courses {
            self.changed(slots, slot);
            self.note_returned_early(slot);
        }
        appended(corrected, open)
    }

    /// The keys of which something happens up to a boundary, in order.
    fn starts(&mut self, from: i64, to: i64) -> BTreeMap<u32, Start> {
        let mut starts: BTreeMap<u32, Start> = BTreeMap::new();
        for (slot, rows) in self.logs.settle(to) {
            self.make_room(slot as usize + 1);
            starts.insert(slot, self.going_on(slot, rows, from));
        }
        for (_, slot) in self.timers.range(..(to, 0)) {
            let end = self.logs.settled(*slot);
            starts.entry(*slot).or_insert_with(|| self.going_on(*slot, end..end, from));
        }
        // What was returned of them may not be made any more.
        while let Some((time, slot)) = self.returned_early.first().copied().filter(|(time, _)| *time < to) {
            self.returned_early.remove(&(time, slot));
            let end = self.logs.settled(slot);
            starts.entry(slot).or_insert_with(|| self.going_on(slot, end..end, from));
        }
        for (slot, since) in &self.due {
            let held = &mut self.held[*slot as usize];
            held.waypoints.truncate(held.waypoints.partition_point(|waypoint| waypoint.time <= *since));
            let (memory, from) = held.known_before(*since);
            let first = self.logs.log(*slot).first_at(from);
            let rows = first..self.logs.settled(*slot);
            starts.insert(*slot, Start { memory: memory.clone(), rows, since: *since });
        }
        starts
    }

    fn going_on(&self, slot: u32, rows: Range<u64>, since: i64) -> Start {
        Start { memory: self.held[slot as usize].now().clone(), rows, since }
    }

    fn run(
        &self,
        starts: BTreeMap<u32, Start>,
        until: i64,
        keeps: KeptRows,
    ) -> Result<Driven, AggregateError> {
        let mut feeder = self.feeder();
        let mut courses = Vec::with_capacity(starts.len());
        for (slot, start) in starts {
            let first = feeder.len();
            let mut stops = Vec::new();
            if let Some(log) = self.logs.find(slot) {
                let mut from = start.rows.start;
                for number in waypoints(log, &start.rows) {
                    feeder.push(log, from..number);
                    stops.push(feeder.len());
                    from = number;
                }
                feeder.push(log, from..start.rows.end);
            }
            let course = Course::new(slot, start.memory, first..feeder.len(), until);
            courses.push(course.stopping_at(stops.into_iter()));
        }
        self.drive((&feeder.finish(), keeps), courses)
    }

    /// Events and timers on which the logic failed, each the first time; `from` is where the boundary was.
    fn refused(&mut self, driven: &Driven, from: i64) -> Vec<RefusedRow> {
        let mut refused = Vec::new();
        for failed in &driven.failed {
            let slot = driven.courses[failed.course].slot;
            if self.is_refused_first(slot, failed).unwrap_or(failed.time >= from) {
                if failed.misbehaved {
                    self.process.logic.misbehaved(&failed.reason);
                }
                refused.push(RefusedRow {
                    slot: Slot(slot),
                    time: failed.time,
                    rank: failed.rank,
                    aggregate: 0,
                    reason: match failed.is_timer {
                        true => failed.reason.clone(),
                        false => {
                            format!("the event at {}: {}", EventTime::from_millis(failed.time), failed.reason)
                        }
                    },
                });
            }
        }
        refused
    }

    /// Whether it was not told yet that an event, or the timer behind it, was refused; `None` where the event is not in the
    /// log any more. It stays there, and is left out from then on.
    fn is_refused_first(&mut self, slot: u32, failed: &FailedStep) -> Option<bool> {
        let log = self.logs.find(slot)?;
        let since = if failed.is_timer { log.start() } else { log.first_at(failed.time) };
        let (number, marks) = (since..log.first_after(failed.time)).rev().find_map(|number| {
            let (block, index) = log.row(number);
            (block.rank(index) == failed.rank).then(|| (number, block.marks(index)))
        })?;
        let mark = if failed.is_timer { Marks::LISTED } else { Marks::REFUSED };
        if marks.has(mark) {
            return Some(false);
        }
        self.logs.set_marks(slot, number, marks.with(mark));
        Some(true)
    }

    /// What of the rows that were made is not as it was returned, and what was returned and is made no more; of each course
    /// from its time on and before `to`.
    fn returned(&mut self, driven: &Driven, since: &[i64], to: i64) -> Result<Results, AggregateError> {
        let mut of_courses: Vec<Vec<(usize, Returned)>> = vec![Vec::new(); driven.courses.len()];
        let mut bytes = Vec::new();
        for (place, MadeRow { course, time, number }) in driven.made.iter().enumerate() {
            if *time >= since[*course].max(self.horizon) {
                bytes.clear();
                row::encode(&driven.columns, place, &mut bytes);
                of_courses[*course]
                    .push((place, Returned { time: *time, number: *number, hash: key_hash(&bytes) }));
            }
        }
        let mut out = Returning::default();
        for ((course, made), since) in driven.courses.iter().zip(of_courses).zip(since) {
            let held = &mut self.held[course.slot as usize];
            let first = held.returned.partition_point(|row| row.time < *since);
            let end = held.returned.partition_point(|row| row.time < to);
            let before = &held.returned[first..end.max(first)];
            let find = |rows: &[Returned], row: &Returned| {
                rows.binary_search_by_key(&(row.time, row.number), |it| (it.time, it.number)).ok()
            };
            let now: Vec<Returned> = made.iter().map(|(_, row)| *row).collect();
            for gone in before.iter().filter(|row| find(&now, row).is_none()) {
                out.push(course.slot, gone, None, true);
            }
            for (place, row) in &made {
                let known = find(before, row).map(|at| before[at]);
                if known != Some(*row) {
                    out.push(course.slot, row, Some(*place), known.is_some());
                }
            }
            held.returned.splice(first..end.max(first), now);
        }
        out.finish(&driven.columns)
    }
}

/// Which of a log's rows are waypoints, each the first of its time.
fn waypoints(log: &Log, rows: &Range<u64>) -> impl Iterator<Item = u64> {
    // By the numbers of rows, so that it does not matter how many are settled at a time.
    let first = rows.start.next_multiple_of(EVENTS_BETWEEN_WAYPOINTS);
    let each = (first..rows.end).step_by(EVENTS_BETWEEN_WAYPOINTS as usize);
    let first_of_time = move |number: u64| log.first_at(log.time(number));
    let (begin, mut last) = (rows.start, None);
    each.map(first_of_time).filter(move |number| *number >= begin && last.replace(*number) != Some(*number))
}

/// Rows that are returned, in the making.
#[derive(Default)]
struct Returning {
    results: Results,
    /// Which of the rows that were made it is; `None` of one that is no more.
    places: Vec<Option<u32>>,
}

impl Returning {
    fn push(&mut self, slot: u32, row: &Returned, place: Option<usize>, is_revised: bool) {
        let Returning { results, places } = self;
        results.slots.push(Slot(slot));
        results.made.push((row.time, row.number));
        results.revised.push(is_revised);
        results.deleted.push(place.is_none());
        places.push(place.map(|place| place as u32));
    }

    fn finish(self, columns: &[ArrayRef]) -> Result<Results, AggregateError> {
        let Returning { mut results, places } = self;
        let places = UInt32Array::from(places);
        let gather = |column: &ArrayRef| take(column, &places, None);
        let values = columns.iter().map(gather).collect::<Result<_, _>>();
        results.values = values.map_err(|error| AggregateError::Broken(error.to_string()))?;
        results.carried = vec![times(&results.made)];
        Ok(results)
    }
}

/// The times of rows as a column.
pub(super) fn times(made: &[(i64, u32)]) -> ArrayRef {
    Arc::new(TimestampMillisecondArray::from_iter_values(made.iter().map(|(time, _)| *time)))
}

/// Results behind others.
fn appended(mut first: Results, then: Results) -> Result<Results, AggregateError> {
    for (own, other) in [(&mut first.values, then.values), (&mut first.carried, then.carried)] {
        for (own, other) in own.iter_mut().zip(other) {
            *own = join(vec![own.clone(), other], &own.data_type().clone())?;
        }
    }
    first.slots.extend(then.slots);
    first.made.extend(then.made);
    first.revised.extend(then.revised);
    first.deleted.extend(then.deleted);
    Ok(first)
}
