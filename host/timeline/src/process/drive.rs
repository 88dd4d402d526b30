//! Keyed logic, driven on: events and timers of many keys, each key's in the order of time, a call for many keys at once.
//!
//! A timer fires before the first event behind it, and where none is left, before a boundary. A key of which nothing has
//! happened for longer than the retention begins anew. Knows what logic remembers. Must not know where rows are kept, or
//! what becomes of those that are made.

use super::logic::{Events, FailedKey, KeyedLogic, Progress, Turn};
use super::memory::{Memory, NewestRow};
use super::row;
use crate::aggregate::AggregateError;
use crate::collect::join;
use crate::feed::Feed;
use arrow_array::{ArrayRef, UInt32Array};
use arrow_select::take::take;
use std::ops::Range;
use weir_event::Rank;

/// So many timers of a key fire without an event between them, or so many rows are made by them. Then the next one does not:
/// where each sets another, and time goes on by years at once, there would be no end.
const MOST_TIMERS: u32 = 10_000;

/// So many events of a key go into the first call that has any, and then up to twice as many as it took before: one that sets
/// a timer before each next event takes them one by one.
const FIRST_EVENTS: usize = 64;

/// One key on its way.
#[derive(Debug)]
pub(super) struct Course {
    pub(super) slot: u32,
    pub(super) memory: Memory,
    /// Its rows that are left, among those of the feed.
    rows: Range<usize>,
    /// Timers before this fire when no row is left.
    until: i64,
    /// The newest row that it has made on this way: time, number, and place among all.
    made: Option<(i64, u32, usize)>,
    /// Rows before which it is taken down what the logic is, the last one first.
    stops: Vec<usize>,
    passed: Vec<Passed>,
    /// How many events go into its next call at the most.
    allowance: usize,
}

/// What a key's logic was when it came to one of its stops.
#[derive(Debug)]
struct Passed {
    time: i64,
    memory: Memory,
    made: Option<(i64, u32, usize)>,
}

/// What a key's logic is of everything before a time, which is that of one of its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Waypoint {
    pub(super) time: i64,
    pub(super) memory: Memory,
}

/// A row that was made.
#[derive(Debug, Clone, Copy)]
pub(super) struct MadeRow {
    pub(super) course: usize,
    pub(super) time: i64,
    pub(super) number: u32,
}

/// An event or a timer that failed alone.
#[derive(Debug)]
pub(super) struct FailedStep {
    pub(super) course: usize,
    pub(super) time: i64,
    /// Of the event; of a timer, that of the event before it.
    pub(super) rank: Rank,
    pub(super) is_timer: bool,
    pub(super) misbehaved: bool,
    pub(super) reason: String,
}

/// Keys that have arrived, and what they have made on their way.
#[derive(Debug)]
pub(super) struct Driven {
    pub(super) courses: Vec<Course>,
    /// Of each course what it was at its stops.
    pub(super) waypoints: Vec<Vec<Waypoint>>,
    /// Those of one course in the order of time.
    pub(super) made: Vec<MadeRow>,
    /// The columns of the rows that were made.
    pub(super) columns: Vec<ArrayRef>,
    pub(super) failed: Vec<FailedStep>,
}

impl Course {
    pub(super) fn new(slot: u32, memory: Memory, rows: Range<usize>, until: i64) -> Course {
        Course {
            slot,
            memory,
            rows,
            until,
            made: None,
            stops: Vec::new(),
            passed: Vec::new(),
            allowance: FIRST_EVENTS,
        }
    }

    /// Takes down what the logic is before these rows of the feed, rising, each the first of its time.
    pub(super) fn stopping_at(self, stops: impl DoubleEndedIterator<Item = usize>) -> Course {
        Course { stops: stops.rev().collect(), ..self }
    }

    /// It has come to a row, and no timer fires before: whether that is one of its stops is seen.
    fn pass(&mut self, time: i64) {
        let mut is_stop = false;
        // Where events were left out, several may have become one.
        while self.stops.pop_if(|stop| *stop <= self.rows.start).is_some() {
            is_stop = true;
        }
        if is_stop {
            self.passed.push(Passed { time, memory: self.memory.clone(), made: self.made });
        }
    }

    fn next_number(&self, time: i64) -> u32 {
        match self.made {
            Some((newest, number, _)) if newest == time => number.saturating_add(1),
            Some(_) => 0,
            None => self.memory.next_number(time),
        }
    }
}

/// What comes next of a key.
enum Step {
    Events(usize),
    Timer,
    Nothing,
}

/// What is kept of the rows that are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeptRows {
    /// All of them.
    Rows,
    /// The newest of each key, which it remembers.
    Newest,
}

/// Keys on their way.
struct Drive<'a> {
    logic: &'a dyn KeyedLogic,
    feed: &'a Feed,
    keeps: KeptRows,
    retention: Option<i64>,
    courses: Vec<Course>,
    made: Vec<MadeRow>,
    columns: Vec<Vec<ArrayRef>>,
    failed: Vec<FailedStep>,
}

/// Drives keys on, each through its rows of the feed and up to its boundary.
pub(super) fn drive(
    logic: &dyn KeyedLogic,
    retention: Option<i64>,
    (feed, keeps): (&Feed, KeptRows),
    courses: Vec<Course>,
) -> Result<Driven, AggregateError> {
    let columns = vec![Vec::new(); logic.card().results.len()];
    let (made, failed) = (Vec::new(), Vec::new());
    let mut drive = Drive { logic, feed, keeps, retention, courses, made, columns, failed };
    let mut left: Vec<usize> = (0..drive.courses.len()).collect();
    while !left.is_empty() {
        left = drive.round(&left)?;
    }
    drive.arrive()
}

impl Drive<'_> {
    /// Takes a step with each of some keys; gives those that have more before them.
    fn round(&mut self, left: &[usize]) -> Result<Vec<usize>, AggregateError> {
        let (mut events, mut timers, mut still) = (Vec::new(), Vec::new(), Vec::new());
        for at in left {
            match self.next(*at) {
                Step::Events(count) => events.push((*at, count)),
                Step::Timer => timers.push(*at),
                Step::Nothing => continue,
            }
            still.push(*at);
        }
        if !events.is_empty() {
            self.give(&events)?;
        }
        if !timers.is_empty() {
            self.fire(&timers)?;
        }
        Ok(still)
    }

    fn next(&mut self, at: usize) -> Step {
        let course = &mut self.courses[at];
        loop {
            let times = &self.feed.times[course.rows.clone()];
            let row = times.first().copied();
            let timer = course.memory.timer;
            let timer = timer.filter(|timer| row.map_or(*timer < course.until, |row| *timer < row));
            let Some(time) = timer.or(row) else { return Step::Nothing };
            if course.memory.is_forgotten(time, self.retention) {
                (course.memory, course.made) = (Memory::default(), None);
                continue;
            }
            if timer.is_some() {
                return Step::Timer;
            }
            course.pass(time);
            let before_stop = course.stops.last().map_or(times.len(), |stop| stop - course.rows.start);
            let times = &times[..before_stop.min(course.allowance)];
            let bound = course.memory.timer.unwrap_or(i64::MAX);
            let in_time = times.iter().take_while(|time| **time <= bound).count();
            let goes_on =
                |pair: &[i64]| self.retention.is_none_or(|most| pair[1].saturating_sub(pair[0]) <= most);
            let together = times[..in_time].windows(2).take_while(|pair| goes_on(pair)).count() + 1;
            return Step::Events(together);
        }
    }

    /// Gives keys the first of their events.
    fn give(&mut self, keys: &[(usize, usize)]) -> Result<(), AggregateError> {
        let of_key = |(at, count): &(usize, usize)| {
            let first = self.courses[*at].rows.start;
            first..first + count
        };
        let rows: Vec<usize> = keys.iter().flat_map(of_key).collect();
        let times: Vec<i64> = rows.iter().map(|row| self.feed.times[*row]).collect();
        let counts: Vec<u32> = keys.iter().map(|(_, count)| *count as u32).collect();
        let arguments = self.arguments(&rows)?;
        let ats: Vec<usize> = keys.iter().map(|(at, _)| *at).collect();
        let events = Events { counts: &counts, times: &times, arguments: &arguments };
        let progress = self.turn(&ats, |turn| self.logic.on_events(turn, events))?;
        if progress.taken.iter().all(|taken| *taken == 0) {
            return Err(AggregateError::Broken("keyed logic takes none of its events".to_owned()));
        }
        let owners: Vec<usize> =
            keys.iter().flat_map(|(at, count)| std::iter::repeat_n(*at, *count)).collect();
        self.note_made(&progress, |by| Some((*owners.get(by)?, *times.get(by)?)));
        for FailedKey { key, reason, misbehaved } in &progress.failed {
            let course = ats[*key as usize];
            let row = self.courses[course].rows.start;
            let (time, rank, reason) = (self.feed.times[row], self.feed.ranks[row], reason.clone());
            self.failed.push(FailedStep {
                course,
                time,
                rank,
                is_timer: false,
                misbehaved: *misbehaved,
                reason,
            });
        }
        let has_failed =
            |key: usize| progress.failed.binary_search_by_key(&(key as u32), |it| it.key).is_ok();
        for (key, ((state, timer), taken)) in
            progress.states.into_iter().zip(progress.timers).zip(progress.taken).enumerate()
        {
            let course = &mut self.courses[ats[key]];
            let Some(newest) = (taken as usize).checked_sub(1).map(|before| course.rows.start + before)
            else {
                continue;
            };
            course.rows.start = newest + 1;
            course.allowance = (taken as usize).saturating_mul(2);
            if has_failed(key) {
                continue;
            }
            let time = self.feed.times[newest];
            let memory = &mut course.memory;
            (memory.state, memory.timer) = (state, timer.map(|timer| timer.max(time)));
            (memory.last, memory.rank, memory.fired) = (Some(time), self.feed.ranks[newest], 0);
        }
        Ok(())
    }

    /// Fires the timers of keys.
    fn fire(&mut self, keys: &[usize]) -> Result<(), AggregateError> {
        let mut firing = Vec::with_capacity(keys.len());
        for at in keys {
            if self.courses[*at].memory.fired < MOST_TIMERS {
                firing.push(*at);
                continue;
            }
            let reason = format!(
                "has fired {MOST_TIMERS} times without an event, or made so many rows; no further one is set until there is one"
            );
            self.fail_timer(*at, reason, false);
        }
        if firing.is_empty() {
            return Ok(());
        }
        let times: Vec<i64> = firing.iter().filter_map(|at| self.courses[*at].memory.timer).collect();
        let progress = self.turn(&firing, |turn| self.logic.on_timers(turn))?;
        self.note_made(&progress, |by| Some((*firing.get(by)?, *times.get(by)?)));
        let mut rows = vec![0_u32; firing.len()];
        progress.made_by.iter().for_each(|by| rows[*by as usize] += 1);
        for (key, (state, timer)) in progress.states.into_iter().zip(progress.timers).enumerate() {
            let memory = &mut self.courses[firing[key]].memory;
            memory.last = memory.last.max(memory.timer);
            (memory.state, memory.timer) = (state, timer);
            memory.fired = memory.fired.saturating_add(rows[key].max(1));
        }
        for FailedKey { key, reason, misbehaved } in progress.failed {
            // What fires is gone, whatever came of it.
            let (at, time) = (firing[key as usize], times[key as usize]);
            self.courses[at].memory.timer = Some(time);
            self.fail_timer(at, reason, misbehaved);
        }
        Ok(())
    }

    fn fail_timer(&mut self, at: usize, reason: String, misbehaved: bool) {
        let memory = &mut self.courses[at].memory;
        if let Some(time) = memory.timer.take() {
            let reason = format!("the timer at {}: {reason}", weir_event::EventTime::from_millis(time));
            let rank = memory.rank;
            self.failed.push(FailedStep { course: at, time, rank, is_timer: true, misbehaved, reason });
        }
    }

    /// A call for some keys.
    fn turn(
        &self,
        keys: &[usize],
        call: impl FnOnce(Turn<'_>) -> Result<Progress, AggregateError>,
    ) -> Result<Progress, AggregateError> {
        let memories = || keys.iter().map(|at| &self.courses[*at].memory);
        let states: Vec<&[u8]> = memories().map(|memory| &*memory.state).collect();
        let timers: Vec<Option<i64>> = memories().map(|memory| memory.timer).collect();
        call(Turn { states: &states, timers: &timers })
    }

    fn arguments(&self, rows: &[usize]) -> Result<Vec<ArrayRef>, AggregateError> {
        let (first, count) = (rows.first().copied().unwrap_or(0), rows.len());
        if rows.windows(2).all(|pair| pair[1] == pair[0] + 1) {
            return Ok(self.feed.arguments.iter().map(|column| column.slice(first, count)).collect());
        }
        let rows: UInt32Array = rows.iter().map(|row| *row as u32).collect();
        let gather = |column: &ArrayRef| take(column, &rows, None);
        let gathered = self.feed.arguments.iter().map(gather).collect::<Result<_, _>>();
        gathered.map_err(|error| AggregateError::Broken(error.to_string()))
    }

    /// Takes the rows down that a call has made; `maker` gives the key and the time of what made one.
    fn note_made(&mut self, progress: &Progress, maker: impl Fn(usize) -> Option<(usize, i64)>) {
        for (row, by) in progress.made_by.iter().enumerate() {
            let Some((at, time)) = maker(*by as usize) else { continue };
            let (course, place) = (&mut self.courses[at], self.made.len());
            let number = course.next_number(time);
            if self.keeps == KeptRows::Newest {
                let is_last = progress
                    .made_by
                    .get(row + 1)
                    .and_then(|by| maker(*by as usize))
                    .is_none_or(|it| it.0 != at);
                let mut values = Vec::new();
                if is_last {
                    row::encode(&progress.rows, row, &mut values);
                }
                course.memory.newest = Some(NewestRow { time, number, values: values.into() });
                continue;
            }
            course.made = Some((time, number, place));
            self.made.push(MadeRow { course: at, time, number });
        }
        if self.keeps == KeptRows::Rows && !progress.made_by.is_empty() {
            self.columns.iter_mut().zip(&progress.rows).for_each(|(all, rows)| all.push(rows.clone()));
        }
    }

    fn arrive(self) -> Result<Driven, AggregateError> {
        let Drive { logic, mut courses, made, columns, failed, .. } = self;
        let types = logic.card().results.iter().map(|(_, data_type)| data_type);
        let columns = columns.into_iter().zip(types).map(|(parts, of_type)| join(parts, of_type));
        let columns: Vec<ArrayRef> = columns.collect::<Result<_, _>>()?;
        let with_newest = |memory: &mut Memory, made: Option<(i64, u32, usize)>| {
            if let Some((time, number, place)) = made {
                let mut values = Vec::new();
                row::encode(&columns, place, &mut values);
                memory.newest = Some(NewestRow { time, number, values: values.into() });
            }
        };
        let mut waypoints = Vec::with_capacity(courses.len());
        for course in &mut courses {
            with_newest(&mut course.memory, course.made);
            let passed = course.passed.drain(..).map(|Passed { time, mut memory, made }| {
                with_newest(&mut memory, made);
                Waypoint { time, memory }
            });
            waypoints.push(passed.collect());
        }
        Ok(Driven { courses, waypoints, made, columns, failed })
    }
}
