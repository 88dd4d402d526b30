//! The laws of keyed logic: what a key's logic makes depends on nothing except that key's events, however the host cuts
//! them into calls. Must not know aggregates, or how keys are driven.

use super::courses::{Arrived, Course, Cut, Keyed, MadeRow, PluginKeyed, drive};
use super::laws::{Broken, History};
use super::subject::Row;
use super::value::{self, Dice, Taste, Value};
use super::{Finding, LabSettings, Verdict, finding, history, shrink, told, try_histories};
use crate::limits::MAX_STATE_BYTES;
use crate::process::PluginProcess;
use crate::wire::DataType;

const TASTES: [Taste; 3] = [Taste::Ordinary, Taste::Extreme, Taste::Uneven];
/// Keys among which a history is dealt where a law is about several.
const KEYS: usize = 3;
const AT_ONCE: Cut = Cut::UpTo(usize::MAX);
const ONE_BY_ONE: Cut = Cut::UpTo(1);

struct KeyedLaw {
    name: &'static str,
    says: &'static str,
    try_on: fn(&dyn Keyed, &History) -> Result<(), Broken>,
}

const LAWS: [KeyedLaw; 4] = [
    KeyedLaw {
        name: "contract",
        says: "no call traps, and each answers as wit/process.wit says",
        try_on: contract,
    },
    KeyedLaw { name: "keys", says: "keys in one call make what each makes alone", try_on: keys },
    KeyedLaw {
        name: "calls",
        says: "a key's events make the same in however many calls they are given",
        try_on: calls,
    },
    KeyedLaw {
        name: "memory",
        says: "an instance that has worked makes what a fresh one makes",
        try_on: memory,
    },
];

/// Every law of a plugin's keyed logic.
pub(super) fn try_process(
    logic: &PluginProcess,
    arguments: Vec<DataType>,
    settings: LabSettings,
) -> Vec<Finding> {
    try_laws(&PluginKeyed { logic, arguments }, settings)
}

pub(super) fn try_laws(keyed: &dyn Keyed, settings: LabSettings) -> Vec<Finding> {
    let types = keyed.arguments();
    let mut findings = try_events(keyed, settings);
    findings.extend(LAWS.iter().map(|law| {
        let make = |taste, seed| events(&types, taste, seed);
        let try_on = |history: &History| (law.try_on)(keyed, history);
        finding(law.name, law.says, try_histories(make, &TASTES, settings, try_on))
    }));
    findings.push(try_growth(keyed, settings));
    findings
}

/// The events of a history; where values are extreme, so are the times, from the year 1 to the year 9999.
fn events(types: &[DataType], taste: Taste, seed: u64) -> History {
    const PAUSES: [i64; 3] = [86_400_000, 400 * 86_400_000, 50 * 366 * 86_400_000];
    const FIRST: i64 = -62_135_596_800_000;
    const LAST: i64 = 253_402_300_799_999;
    let mut history = history(types, taste, seed);
    if taste != Taste::Extreme {
        return history;
    }
    let mut dice = Dice::new(history.seed);
    let mut later = if dice.one_in(2) { FIRST - 1_700_000_000_000 } else { 0 };
    for row in &mut history.rows {
        if dice.one_in(6) {
            later += PAUSES[dice.below(PAUSES.len())];
        }
        row.time = (row.time + later).min(LAST);
    }
    if let Some(last) = history.rows.last_mut().filter(|_| dice.one_in(4)) {
        last.time = LAST;
    }
    history
}

/// Drives keys; a failure of the host's keeps a law from being tried.
fn driven(keyed: &dyn Keyed, keys: &[Vec<&Row>], cut: Cut, is_fresh: bool) -> Result<Arrived, Broken> {
    drive(keyed, keys, cut, is_fresh).map_err(|failure| Broken::Fails(failure.reason))
}

fn alone(keyed: &dyn Keyed, rows: &[&Row], cut: Cut, is_fresh: bool) -> Result<Course, Broken> {
    let mut arrived = driven(keyed, &[rows.to_vec()], cut, is_fresh)?;
    Ok(arrived.courses.pop().unwrap_or_default())
}

fn all(history: &History) -> Vec<&Row> {
    history.rows.iter().collect()
}

/// The rows of a history, dealt among keys.
fn dealt(history: &History) -> Vec<Vec<&Row>> {
    let mut dice = Dice::new(history.seed);
    let mut keys = vec![Vec::new(); KEYS];
    history.rows.iter().for_each(|row| keys[dice.below(KEYS)].push(row));
    keys.retain(|rows| !rows.is_empty());
    keys
}

fn contract(keyed: &dyn Keyed, history: &History) -> Result<(), Broken> {
    let together = driven(keyed, &dealt(history), AT_ONCE, false)?;
    let one_by_one = driven(keyed, &[all(history)], ONE_BY_ONE, false)?;
    match together.faults.into_iter().chain(one_by_one.faults).next() {
        Some(fault) => Err(Broken::Forbidden(fault)),
        None => Ok(()),
    }
}

fn keys(keyed: &dyn Keyed, history: &History) -> Result<(), Broken> {
    let mut keys = dealt(history);
    let each = |rows: &Vec<&Row>| alone(keyed, rows, AT_ONCE, false);
    let mut apart = keys.iter().map(each).collect::<Result<Vec<Course>, Broken>>()?;
    let at_random = Cut::AtRandom(Dice::new(history.seed));
    for (how, cut) in [
        ("with other keys", AT_ONCE),
        ("with other keys, in calls of other lengths", at_random),
        ("with other keys, the last key first", AT_ONCE),
    ] {
        if how.ends_with("first") {
            keys.reverse();
            apart.reverse();
        }
        let together = driven(keyed, &keys, cut, false)?;
        for ((rows, apart), together) in keys.iter().zip(&apart).zip(&together.courses) {
            let of_key = format!("the key of {}, alone", numbers(history, rows));
            agree(&of_key, apart, how, together)?;
        }
    }
    Ok(())
}

/// Which rows of a history these are.
fn numbers(history: &History, rows: &[&Row]) -> String {
    let is_one = |row: &Row| rows.iter().any(|own| std::ptr::eq(*own, row));
    let own = history.rows.iter().enumerate().filter(|(_, row)| is_one(row));
    let numbers: Vec<String> = own.map(|(at, _)| (at + 1).to_string()).collect();
    format!("row {}", numbers.join(", "))
}

fn calls(keyed: &dyn Keyed, history: &History) -> Result<(), Broken> {
    let rows = all(history);
    let at_once = alone(keyed, &rows, AT_ONCE, false)?;
    let one_by_one = alone(keyed, &rows, ONE_BY_ONE, false)?;
    agree("as many events as it takes in a call", &at_once, "a call for each event", &one_by_one)?;
    let at_random = alone(keyed, &rows, Cut::AtRandom(Dice::new(history.seed)), false)?;
    agree("as many events as it takes in a call", &at_once, "calls of some events each", &at_random)
}

fn memory(keyed: &dyn Keyed, history: &History) -> Result<(), Broken> {
    let rows = all(history);
    let cut = Cut::AtRandom(Dice::new(history.seed));
    let fresh = alone(keyed, &rows, cut.clone(), true)?;
    let used = alone(keyed, &rows, cut, false)?;
    agree("an instance for each call", &fresh, "one that has worked before", &used)
}

/// Compares what a key made on two ways.
fn agree(one: &str, course: &Course, other: &str, instead: &Course) -> Result<(), Broken> {
    match difference(course, instead) {
        None => Ok(()),
        Some((gave, instead)) => {
            Err(Broken::Differs { one: one.to_owned(), gave, other: other.to_owned(), instead })
        }
    }
}

/// The first thing in which two ways differ, in words.
fn difference(one: &Course, other: &Course) -> Option<(String, String)> {
    let most = one.rows.len().max(other.rows.len());
    let differ = |at: &usize| match (one.rows.get(*at), other.rows.get(*at)) {
        (Some(one), Some(other)) => !is_same(one, other),
        _ => true,
    };
    if let Some(at) = (0..most).find(differ) {
        return Some((shown(&one.rows, at), shown(&other.rows, at)));
    }
    if one.refused != other.refused {
        return Some((told_refused(one, other), told_refused(other, one)));
    }
    if one.now.timer != other.now.timer {
        let timer =
            |course: &Course| course.now.timer.map_or("no timer".to_owned(), |at| format!("a timer at {at}"));
        return Some((timer(one), timer(other)));
    }
    let state = |course: &Course| {
        format!("a state of {} bytes, {}", course.now.state.len(), hexadecimal(&course.now.state))
    };
    (one.now.state != other.now.state).then(|| (state(one), state(other)))
}

fn is_same(one: &MadeRow, other: &MadeRow) -> bool {
    one.time == other.time && one.values.iter().zip(&other.values).all(|(one, other)| one.same(other, false))
}

fn shown(rows: &[MadeRow], at: usize) -> String {
    let number = at + 1;
    let Some(MadeRow { time, values }) = rows.get(at) else {
        return format!("makes {} rows", rows.len());
    };
    let values: Vec<String> = values.iter().map(Value::to_string).collect();
    format!("makes row {number} at {time}: {}", values.join(", "))
}

/// What of the refused ones the other way did not refuse.
fn told_refused(one: &Course, other: &Course) -> String {
    match one.refused.iter().find(|refused| !other.refused.contains(refused)) {
        Some((what, reason)) => format!("{what} fails: {reason}"),
        None => format!("fails {} times", one.refused.len()),
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    const MOST: usize = 40;
    let shown: String = bytes.iter().take(MOST).map(|byte| format!("{byte:02x}")).collect();
    if bytes.len() > MOST { format!("{shown}…") } else { shown }
}

/// Whether events are taken, and make rows.
fn try_events(keyed: &dyn Keyed, settings: LabSettings) -> Vec<Finding> {
    const EVENTS: (&str, &str) = ("events", "made-up events are taken");
    const ROWS: (&str, &str) = ("rows", "made-up events make rows");
    let types = keyed.arguments();
    let takes_all = |history: &History| {
        let course = alone(keyed, &all(history), AT_ONCE, false)?;
        match course.refused.into_iter().next() {
            Some((what, reason)) => Err(Broken::Fails(format!("{what}: {reason}"))),
            None => Ok(()),
        }
    };
    let (mut given, mut refused, mut all_courses, mut first) = (0, 0, Course::default(), None);
    for case in 0..settings.cases {
        let taste = TASTES[case as usize % TASTES.len()];
        let history = events(&types, taste, settings.seed.wrapping_add(u64::from(case)));
        let Ok(course) = alone(keyed, &all(&history), AT_ONCE, false) else { continue };
        given += history.rows.len();
        refused += course.refused.len();
        all_courses.timers += course.timers;
        all_courses.rows.extend(course.rows);
        all_courses.longest = all_courses.longest.max(course.longest);
        if let Some((what, reason)) = course.refused.into_iter().next() {
            first.get_or_insert((history, Broken::Fails(format!("{what}: {reason}"))));
        }
    }
    let Course { rows, timers, longest, .. } = all_courses;
    let is_nothing = rows.is_empty() && timers == 0 && longest == 0;
    let taken = first.map_or(Verdict::Holds { cases: settings.cases }, |(history, fails)| {
        let (smallest, fails) = shrink::shrink(history, fails, takes_all);
        match told(&smallest, &fails) {
            Verdict::Broken { rows, because } if !is_nothing => {
                let (rows, because) = (rows.join("; "), because.join("; "));
                let note = format!(
                    "{refused} of {given} made-up events, and timers, fail, such as {rows}: {because}"
                );
                Verdict::Noted { note }
            }
            broken => broken,
        }
    });
    let rows = if rows.is_empty() {
        let note = format!(
            "{given} made-up events and {timers} timers make no row, so that the laws have little to compare"
        );
        Verdict::Noted { note }
    } else {
        Verdict::Holds { cases: settings.cases }
    };
    vec![finding(EVENTS.0, EVENTS.1, taken), finding(ROWS.0, ROWS.1, rows)]
}

/// How long the state of many events becomes, and whether it stays within its bound.
fn try_growth(keyed: &dyn Keyed, settings: LabSettings) -> Finding {
    const LAW: (&str, &str) = ("growth", "the state of many events of one key stays below 65,536 bytes");
    const EVENTS: usize = 2000;
    /// Calls that are far from a budget.
    const CALL: usize = 250;
    let types = keyed.arguments();
    let mut dice = Dice::new(settings.seed);
    let event = |at: usize| Row {
        time: 1_700_000_000_000 + (at as i64) * 60_000,
        values: types.iter().map(|it| value::make(*it, Taste::Uneven, &mut dice)).collect(),
    };
    let events: Vec<Row> = (0..EVENTS).map(event).collect();
    let events: Vec<&Row> = events.iter().collect();
    let longest = |events: &[&Row]| {
        let arrived =
            drive(keyed, &[events.to_vec()], Cut::UpTo(CALL), false).map_err(|failure| failure.reason)?;
        let course = arrived.courses.into_iter().next().unwrap_or_default();
        // A guest may see for itself that a state is too long, and fail.
        let is_long = course.longest > MAX_STATE_BYTES / 2;
        let failed = course.refused.into_iter().map(|(what, reason)| format!("{what}: {reason}"));
        match arrived.faults.into_iter().chain(failed.filter(|_| is_long)).next() {
            Some(reason) => Err(format!("after {} bytes of state: {reason}", course.longest)),
            None => Ok(course.longest),
        }
    };
    let verdict = match longest(&events[..EVENTS / 2]).and_then(|half| Ok((half, longest(&events)?))) {
        Err(reason) => {
            let rows = vec![format!("{EVENTS} made-up events, one a minute")];
            Verdict::Broken { rows, because: vec![reason] }
        }
        Ok((half, whole)) => Verdict::Noted { note: grown(EVENTS, half, whole) },
    };
    finding(LAW.0, LAW.1, verdict)
}

/// What is to be said of the longest state of the first half of some events, and of all.
fn grown(events: usize, half: usize, whole: usize) -> String {
    let of_all = format!("the longest state of {events} events, one a minute, has {whole} bytes");
    if whole <= 1024 || whole <= half + half / 2 {
        return format!("{of_all} of the {MAX_STATE_BYTES} that it may have");
    }
    let left = (MAX_STATE_BYTES - whole) * events / (2 * (whole - half));
    format!(
        "{of_all}, and that of the first {} has {half}: it grows with the events, and at about {} of one key it is refused",
        events / 2,
        events + left
    )
}

#[cfg(test)]
mod tests {
    use super::super::courses::{Remembered, Stepped};
    use super::*;
    use crate::failure::{Cause, Failure};
    use crate::wire::LogicalType;
    use std::cell::Cell;

    const SETTINGS: LabSettings = LabSettings { cases: 60, seed: 7 };
    const PAUSE_MS: i64 = 600_000;

    /// What is wrong with logic that tells every third number, and all numbers when none came for a while. Numbers below zero
    /// leave the timer as it is.
    #[derive(Clone, Copy, PartialEq)]
    enum Wrong {
        Nothing,
        RemembersInTheInstance,
        LooksAtOtherKeys,
        PassesItsTimer,
        CountsTheCall,
        LosesItsTimer,
        TrapsOnInfinity,
        TrapsOnTimers,
        FailsAlways,
        MakesNothing,
        KeepsAll,
        KeepsAllAndFails,
    }

    struct Fake {
        wrong: Wrong,
        remembered: Cell<f64>,
    }

    fn read(state: &[u8]) -> Vec<f64> {
        state.chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap())).collect()
    }

    impl Fake {
        /// The state, in which a number has come.
        fn added(&self, state: &[f64], number: f64) -> Vec<f64> {
            if matches!(self.wrong, Wrong::KeepsAll | Wrong::KeepsAllAndFails) {
                return [state, &[number; 6]].concat();
            }
            let of = |at: usize| state.get(at).copied().unwrap_or(0.0);
            vec![of(0) + 1.0, of(1) + number]
        }

        fn row(&self, time: i64, state: &[f64], more: f64) -> Vec<MadeRow> {
            if self.wrong == Wrong::MakesNothing {
                return Vec::new();
            }
            let remembered = self.remembered.get();
            if self.wrong == Wrong::RemembersInTheInstance {
                self.remembered.set(remembered + 1.0);
            }
            let sum: f64 = state.iter().sum();
            vec![MadeRow { time, values: vec![Value::Double(sum + more + remembered)] }]
        }

        fn now(&self, state: &[f64], timer: Option<i64>) -> Result<Remembered, Failure> {
            let state: Vec<u8> = state.iter().flat_map(|number| number.to_le_bytes()).collect();
            if state.len() <= MAX_STATE_BYTES {
                return Ok(Remembered { state, timer });
            }
            let cause = if self.wrong == Wrong::KeepsAll { Cause::Output } else { Cause::Refused };
            Err(Failure::new(cause, "gave a state that is too long"))
        }

        fn taken(&self, key: &Remembered, events: &[&Row], keys: usize) -> Result<Stepped, Failure> {
            let (mut state, mut timer, mut rows) = (read(&key.state), key.timer, Vec::new());
            let mut taken = 0;
            if self.wrong == Wrong::LosesItsTimer {
                timer = None;
            }
            for row in events {
                if self.wrong != Wrong::PassesItsTimer && timer.is_some_and(|timer| timer < row.time) {
                    break;
                }
                taken += 1;
                let Value::Double(number) = row.values[0] else { continue };
                match self.wrong {
                    Wrong::FailsAlways => return Err(Failure::refused("is never good enough")),
                    Wrong::TrapsOnInfinity if number.is_infinite() => {
                        return Err(Failure::new(Cause::Trap, "trapped"));
                    }
                    _ if number.is_nan() => return Err(Failure::refused("is not a number")),
                    _ => {}
                }
                state = self.added(&state, number);
                if number >= 0.0 {
                    timer = Some(row.time.saturating_add(PAUSE_MS));
                }
                if taken % 3 == 0 && self.wrong == Wrong::CountsTheCall || state[0] % 3.0 == 0.0 {
                    let more = if self.wrong == Wrong::LooksAtOtherKeys { keys } else { 0 };
                    rows.extend(self.row(row.time, &state, more as f64));
                }
            }
            Ok(Stepped { now: self.now(&state, timer)?, taken, rows })
        }
    }

    impl Keyed for Fake {
        fn arguments(&self) -> Vec<DataType> {
            vec![DataType { logical: LogicalType::Double, list: false }]
        }

        fn on_events(&self, keys: &[Remembered], events: &[&[&Row]]) -> Result<Vec<Stepped>, Failure> {
            keys.iter().zip(events).map(|(key, events)| self.taken(key, events, keys.len())).collect()
        }

        fn on_timers(&self, keys: &[Remembered]) -> Result<Vec<Stepped>, Failure> {
            if self.wrong == Wrong::TrapsOnTimers {
                return Err(Failure::new(Cause::Trap, "trapped"));
            }
            let fired = |key: &Remembered| {
                let (state, timer) = (read(&key.state), key.timer.unwrap_or_default());
                Stepped { now: Remembered::default(), taken: 0, rows: self.row(timer, &state, 0.0) }
            };
            Ok(keys.iter().map(fired).collect())
        }

        fn forget(&self) {
            self.remembered.set(0.0);
        }
    }

    fn found(wrong: Wrong) -> Vec<Finding> {
        try_laws(&Fake { wrong, remembered: Cell::new(0.0) }, SETTINGS)
    }

    /// The laws that are broken.
    fn broken(wrong: Wrong) -> Vec<&'static str> {
        let is_broken = |found: &Finding| matches!(found.verdict, Verdict::Broken { .. });
        found(wrong).iter().filter(|found| is_broken(found)).map(|found| found.law).collect()
    }

    fn note(wrong: Wrong, law: &str) -> String {
        let found = found(wrong).into_iter().find(|found| found.law == law).unwrap();
        let Verdict::Noted { note } = found.verdict else { panic!("{found:?}") };
        note
    }

    #[test]
    fn sound_logic_keeps_every_law() {
        assert_eq!(broken(Wrong::Nothing), [""; 0]);
        let note = note(Wrong::Nothing, "events");
        assert!(
            note.contains(" made-up events, and timers, fail, such as row 1 at ")
                && note.contains("is not a number"),
            "{note}"
        );
        let note = self::note(Wrong::Nothing, "growth");
        assert!(note.ends_with("has 16 bytes of the 65536 that it may have"), "{note}");
    }

    #[test]
    fn wrong_logic_is_caught() {
        for (what, law, wrong) in [
            ("what it remembers is in the instance", "memory", Wrong::RemembersInTheInstance),
            ("rows tell how many keys there are", "keys", Wrong::LooksAtOtherKeys),
            ("events behind the timer are taken", "calls", Wrong::PassesItsTimer),
            ("rows depend on an event's place in its call", "calls", Wrong::CountsTheCall),
            ("a timer is lost that no event sets anew", "calls", Wrong::LosesItsTimer),
            ("it panics on what it did not think of", "contract", Wrong::TrapsOnInfinity),
            ("it panics when a timer fires", "contract", Wrong::TrapsOnTimers),
            ("no event is good enough", "events", Wrong::FailsAlways),
            ("all events are kept", "growth", Wrong::KeepsAll),
            ("all events are kept, until it fails by itself", "growth", Wrong::KeepsAllAndFails),
        ] {
            let broken = broken(wrong);
            assert!(broken.contains(&law), "{what}: {law} is not among {broken:?}");
        }
        let note = note(Wrong::MakesNothing, "rows");
        assert!(note.contains("timers make no row"), "{note}");
    }

    #[test]
    fn the_case_that_is_shown_is_small() {
        let found = found(Wrong::LosesItsTimer);
        let calls = found.iter().find(|found| found.law == "calls").unwrap();
        let Verdict::Broken { rows, because } = &calls.verdict else { panic!("{calls:?}") };
        // One that sets the timer, and one that does not and comes before it fires.
        assert_eq!(rows.len(), 2, "{rows:?}");
        assert!(
            because[0].starts_with("as many events as it takes in a call: makes row 1 at "),
            "{because:?}"
        );
        assert_eq!(because[1], "a call for each event: makes 0 rows");
    }
}
