//! Keys on their way through keyed logic, as the lab drives them: how many events go into a call is the law's to say, and
//! what fails is cut down to what fails alone, as the host does it. Must not know the laws.

use super::subject::Row;
use super::value::{self, Dice, Value};
use crate::failure::{Cause, Failure};
use crate::process::{Answer, PluginProcess};
use crate::wire::DataType;
use arrow_array::ArrayRef;
use weir_timeline::{Events, Turn};

/// So many timers of a key fire between two events; the next one is dropped. The host lets more fire.
const MOST_BETWEEN: u32 = 200;
/// So many fire behind the last event, whenever they are.
const MOST_BEHIND: u32 = 10;

/// What keyed logic remembers of a key.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Remembered {
    pub(crate) state: Vec<u8>,
    pub(crate) timer: Option<i64>,
}

/// A row with the time of what made it.
#[derive(Debug, Clone)]
pub(crate) struct MadeRow {
    pub(crate) time: i64,
    pub(crate) values: Vec<Value>,
}

/// What came of a call for one of its keys.
#[derive(Debug, Clone)]
pub(crate) struct Stepped {
    pub(crate) now: Remembered,
    /// How many events it took; of a timer none.
    pub(crate) taken: usize,
    pub(crate) rows: Vec<MadeRow>,
}

/// Keyed logic as `wit/process.wit` has it; an answer that breaks what is written there is a failure.
pub(crate) trait Keyed {
    /// The types of its arguments.
    fn arguments(&self) -> Vec<DataType>;
    /// Gives each key its events, of which there is one at least.
    fn on_events(&self, keys: &[Remembered], events: &[&[&Row]]) -> Result<Vec<Stepped>, Failure>;
    /// Fires the timers of keys, which all have one.
    fn on_timers(&self, keys: &[Remembered]) -> Result<Vec<Stepped>, Failure>;
    /// Drops every instance: whatever one remembers is gone.
    fn forget(&self);
}

/// How many of a key's events go into a call.
#[derive(Debug, Clone)]
pub(crate) enum Cut {
    UpTo(usize),
    AtRandom(Dice),
}

impl Cut {
    fn of(&mut self, left: usize) -> usize {
        match self {
            Cut::UpTo(most) => left.min(*most),
            Cut::AtRandom(dice) => 1 + dice.below(left),
        }
    }
}

/// What has become of a key.
#[derive(Debug, Clone, Default)]
pub(crate) struct Course {
    pub(crate) now: Remembered,
    pub(crate) rows: Vec<MadeRow>,
    /// Events and timers on which the logic fails alone, with the reasons.
    pub(crate) refused: Vec<(String, String)>,
    /// The length of its longest state.
    pub(crate) longest: usize,
    /// How many timers have fired.
    pub(crate) timers: usize,
}

/// Keys that have arrived.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) courses: Vec<Course>,
    /// What no call may do, whether or not it does it for an event alone.
    pub(crate) faults: Vec<String>,
}

/// Drives keys through their events, and on through a few timers behind them; `is_fresh` has an instance for each call.
/// An error is the host's.
pub(crate) fn drive(
    keyed: &dyn Keyed,
    keys: &[Vec<&Row>],
    cut: Cut,
    is_fresh: bool,
) -> Result<Arrived, Failure> {
    let place = |_: &Vec<&Row>| Underway::default();
    let places = keys.iter().map(place).collect();
    let mut drive = Driving { keyed, keys, cut, is_fresh, places, faults: Vec::new() };
    while drive.round()? {}
    let courses = drive.places.into_iter().map(|place| place.course).collect();
    Ok(Arrived { courses, faults: drive.faults })
}

/// A key on its way.
#[derive(Default)]
struct Underway {
    course: Course,
    /// How many events are behind it.
    next: usize,
    /// Timers since its last event.
    fired: u32,
}

struct Driving<'a> {
    keyed: &'a dyn Keyed,
    keys: &'a [Vec<&'a Row>],
    cut: Cut,
    is_fresh: bool,
    places: Vec<Underway>,
    faults: Vec<String>,
}

impl Driving<'_> {
    /// Takes a step with each key; gives whether one did.
    fn round(&mut self) -> Result<bool, Failure> {
        let (mut events, mut timers) = (Vec::new(), Vec::new());
        for (key, place) in self.places.iter_mut().enumerate() {
            let left = &self.keys[key][place.next..];
            let now = &mut place.course.now;
            let is_due = |timer: i64| left.first().is_none_or(|row| timer < row.time);
            let most = if left.is_empty() { MOST_BEHIND } else { MOST_BETWEEN };
            match now.timer.filter(|timer| is_due(*timer)) {
                Some(_) if place.fired < most => timers.push(key),
                Some(_) if left.is_empty() => {}
                due => {
                    now.timer = now.timer.filter(|_| due.is_none());
                    let in_time = |row: &&&Row| now.timer.is_none_or(|timer| row.time <= timer);
                    let given = left.iter().take_while(in_time).count();
                    if given > 0 {
                        events.push((key, self.cut.of(given)));
                    }
                }
            }
        }
        self.give(&events)?;
        self.fire(&timers)?;
        Ok(!events.is_empty() || !timers.is_empty())
    }

    /// Gives each key so many events.
    fn give(&mut self, keys: &[(usize, usize)]) -> Result<(), Failure> {
        if keys.is_empty() {
            return Ok(());
        }
        let now: Vec<Remembered> = keys.iter().map(|(key, _)| self.places[*key].course.now.clone()).collect();
        let events = |(key, count): &(usize, usize)| {
            let next = self.places[*key].next;
            &self.keys[*key][next..next + count]
        };
        let events: Vec<&[&Row]> = keys.iter().map(events).collect();
        self.renew();
        let units = events.iter().map(|events| events.len()).sum();
        let first = events[0][0].time;
        let Some(failure) =
            self.settle(keys.iter().map(|(key, _)| *key), self.keyed.on_events(&now, &events))
        else {
            return Ok(());
        };
        self.note(&failure, units)?;
        match *keys {
            [(key, 1)] => {
                let place = &mut self.places[key];
                place.next += 1;
                place.course.refused.push((format!("the event at {first}"), failure.reason));
                Ok(())
            }
            [(key, count)] => self.give(&[(key, count.div_ceil(2))]),
            _ => {
                let (one, other) = keys.split_at(keys.len() / 2);
                self.give(one)?;
                self.give(other)
            }
        }
    }

    fn fire(&mut self, keys: &[usize]) -> Result<(), Failure> {
        if keys.is_empty() {
            return Ok(());
        }
        let now: Vec<Remembered> = keys.iter().map(|key| self.places[*key].course.now.clone()).collect();
        self.renew();
        let Some(failure) = self.settle(keys.iter().copied(), self.keyed.on_timers(&now)) else {
            return Ok(());
        };
        self.note(&failure, keys.len())?;
        let [key] = *keys else {
            let (one, other) = keys.split_at(keys.len() / 2);
            self.fire(one)?;
            return self.fire(other);
        };
        let place = &mut self.places[key];
        place.fired += 1;
        if let Some(timer) = place.course.now.timer.take() {
            place.course.refused.push((format!("the timer at {timer}"), failure.reason));
        }
        Ok(())
    }

    fn renew(&self) {
        if self.is_fresh {
            self.keyed.forget();
        }
    }

    /// Takes down what came of a call for some keys, or gives why nothing did.
    fn settle(
        &mut self,
        keys: impl Iterator<Item = usize>,
        steps: Result<Vec<Stepped>, Failure>,
    ) -> Option<Failure> {
        let steps = match steps {
            Ok(steps) => steps,
            Err(failure) => return Some(failure),
        };
        for (key, Stepped { now, taken, rows }) in keys.zip(steps) {
            let place = &mut self.places[key];
            place.next += taken;
            place.fired = if taken > 0 { 0 } else { place.fired + 1 };
            let course = &mut place.course;
            course.timers += usize::from(taken == 0);
            course.longest = course.longest.max(now.state.len());
            course.now = now;
            course.rows.extend(rows);
        }
        None
    }

    /// Takes a failure down if no call may fail so: what is too much for a call of several is given in smaller ones.
    fn note(&mut self, failure: &Failure, units: usize) -> Result<(), Failure> {
        let is_fault = match failure.cause {
            Cause::Host => return Err(failure.clone()),
            Cause::Refused => false,
            Cause::Fuel | Cause::Memory => units == 1,
            Cause::Trap | Cause::Output => true,
        };
        if is_fault {
            self.faults.push(failure.reason.clone());
        }
        Ok(())
    }
}

/// A component's keyed logic.
pub(crate) struct PluginKeyed<'a> {
    pub(crate) logic: &'a PluginProcess,
    pub(crate) arguments: Vec<DataType>,
}

impl PluginKeyed<'_> {
    fn columns(&self, rows: &[&Row]) -> Result<Vec<ArrayRef>, Failure> {
        let column = |(at, data_type): (usize, &DataType)| {
            let values: Vec<&Value> = rows.iter().map(|row| &row.values[at]).collect();
            value::column(&values, *data_type)
        };
        self.arguments.iter().enumerate().map(column).collect()
    }
}

impl Keyed for PluginKeyed<'_> {
    fn arguments(&self) -> Vec<DataType> {
        self.arguments.clone()
    }

    fn on_events(&self, keys: &[Remembered], events: &[&[&Row]]) -> Result<Vec<Stepped>, Failure> {
        let rows = events.concat();
        let arguments = self.columns(&rows)?;
        let counts: Vec<u32> = events.iter().map(|events| events.len() as u32).collect();
        let times: Vec<i64> = rows.iter().map(|row| row.time).collect();
        let given = Events { counts: &counts, times: &times, arguments: &arguments };
        let answer = self.logic.run(|guest| {
            let (states, timers) = lent(keys);
            let keys = Turn { states: &states, timers: &timers };
            self.logic.take_events(guest, keys, given).map(|(answer, _)| answer)
        })?;
        Ok(steps(answer, &counts, &times))
    }

    fn on_timers(&self, keys: &[Remembered]) -> Result<Vec<Stepped>, Failure> {
        let (states, timers) = lent(keys);
        let times: Vec<i64> = timers.into_iter().flatten().collect();
        let fired = self.logic.run(|guest| self.logic.take_timers(guest, &states, &times));
        let (answer, _) = fired?;
        let taken = vec![0; keys.len()];
        Ok(steps(Answer { taken, ..answer }, &vec![1; keys.len()], &times))
    }

    fn forget(&self) {
        self.logic.forget();
    }
}

fn lent(keys: &[Remembered]) -> (Vec<&[u8]>, Vec<Option<i64>>) {
    keys.iter().map(|key| (key.state.as_slice(), key.timer)).unzip()
}

/// An answer by keys, each with so many events, or its timer, of these times.
fn steps(answer: Answer, counts: &[u32], times: &[i64]) -> Vec<Stepped> {
    let Answer { states, timers, taken, made_by, rows } = answer;
    let columns: Vec<Vec<Value>> = rows.iter().map(value::values).collect();
    let mut made = made_by.iter().enumerate().peekable();
    let mut end = 0;
    let keys = states.into_iter().zip(timers).zip(taken).zip(counts);
    let step = |(((state, timer), taken), count): (((Vec<u8>, Option<i64>), u32), &u32)| {
        end += count;
        let mut rows = Vec::new();
        while let Some((row, by)) = made.next_if(|(_, by)| **by < end) {
            let values = columns.iter().map(|column| column[row].clone()).collect();
            rows.push(MadeRow { time: times[*by as usize], values });
        }
        Stepped { now: Remembered { state, timer }, taken: taken as usize, rows }
    };
    keys.map(step).collect()
}
