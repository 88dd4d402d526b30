//! The laws of aggregates, a function each: what `wit/aggregate.wit` promises the host, tried on one history of rows.
//! Must not know how histories are made or made smaller.

use super::subject::{Failed, Row, Subject};
use super::value::{Dice, Value};
use weir_timeline::Algebra;

/// What a law is tried on: the rows of one key in order, and a seed for where they are cut.
#[derive(Debug, Clone)]
pub(crate) struct History {
    pub(crate) rows: Vec<Row>,
    pub(crate) seed: u64,
}

/// Why a law does not hold on a history.
#[derive(Debug, Clone)]
pub(crate) enum Broken {
    /// Two ways that must agree, and what each gave.
    Differs { one: String, gave: String, other: String, instead: String },
    /// A call failed where others of the same rows did not, or trapped.
    Fails(String),
    /// What must not be, whatever the rows are.
    Forbidden(String),
}

/// A law: its name, what it says, for which algebras, and the trial.
pub(crate) struct Law {
    pub(crate) name: &'static str,
    pub(crate) says: &'static str,
    holds_for: &'static [Algebra],
    pub(crate) try_on: fn(&dyn Subject, &History, Algebra) -> Result<(), Broken>,
}

impl Law {
    pub(crate) fn holds_for(&self, algebra: Algebra) -> bool {
        self.holds_for.contains(&algebra)
    }
}

const EVERY: &[Algebra] = &[Algebra::Exact, Algebra::Ordered, Algebra::Approximate];
const CUT_AT_WILL: &[Algebra] = &[Algebra::Exact, Algebra::Ordered];

/// All laws, in the order in which they are reported.
pub(crate) const LAWS: &[Law] = &[
    Law {
        name: "identity",
        says: "merging with the state of no rows changes nothing",
        holds_for: EVERY,
        try_on: identity,
    },
    Law {
        name: "tiles",
        says: "rows cut into stretches whose states are merged give what they give at once",
        holds_for: CUT_AT_WILL,
        try_on: tiles,
    },
    Law {
        name: "steps",
        says: "states merged in steps give what they give merged at once",
        holds_for: CUT_AT_WILL,
        try_on: steps,
    },
    Law {
        name: "order",
        says: "rows and states in another order give the same bits (algebra exact)",
        holds_for: &[Algebra::Exact],
        try_on: order,
    },
    Law {
        name: "calls",
        says: "rows given in several calls give what they give in one",
        holds_for: EVERY,
        try_on: calls,
    },
    Law {
        name: "keys",
        says: "rows mixed with those of other keys give what they give alone",
        holds_for: EVERY,
        try_on: keys,
    },
    Law {
        name: "memory",
        says: "an instance that has worked gives what a fresh one gives, and looking changes nothing",
        holds_for: EVERY,
        try_on: memory,
    },
];

/// State of no rows.
const NOTHING: &[u8] = &[];

/// The state of some rows added in one call to `state`.
pub(crate) fn fed(subject: &dyn Subject, state: &[u8], rows: &[Row]) -> Result<Vec<u8>, Failed> {
    let rows: Vec<&Row> = rows.iter().collect();
    let states = subject.update(&[state.to_vec()], &vec![0; rows.len()], &rows)?;
    Ok(states.into_iter().next().unwrap_or_default())
}

fn merged(subject: &dyn Subject, states: &[Vec<u8>]) -> Result<Vec<u8>, Failed> {
    let folded = subject.merge(states, &vec![0; states.len()], 1)?;
    Ok(folded.into_iter().next().unwrap_or_default())
}

/// The value of a state just after its last row.
pub(crate) fn finished(subject: &dyn Subject, state: &[u8], rows: &[Row]) -> Result<Value, Failed> {
    let as_of = rows.iter().map(|row| row.time).max().unwrap_or(0).saturating_add(1);
    let values = subject.finish(&[state.to_vec()], &[as_of])?;
    Ok(values.into_iter().next().unwrap_or(Value::Null))
}

/// The value of rows that are given in one call.
pub(crate) fn at_once(subject: &dyn Subject, rows: &[Row]) -> Result<Value, Failed> {
    finished(subject, &fed(subject, NOTHING, rows)?, rows)
}

/// Compares two ways; a way that fails breaks the law, since the first did not.
fn agree(
    one: &str,
    gave: &Value,
    other: &str,
    instead: Result<Value, Failed>,
    nearly: bool,
) -> Result<(), Broken> {
    let instead = instead.map_err(|failed| Broken::Fails(format!("{other}: {}", failed.reason)))?;
    if gave.same(&instead, nearly) {
        return Ok(());
    }
    let (gave, instead) = (gave.to_string(), instead.to_string());
    Err(Broken::Differs { one: one.to_owned(), gave, other: other.to_owned(), instead })
}

/// The value of all rows at once; nothing to compare with if there is none.
fn expected(subject: &dyn Subject, rows: &[Row]) -> Option<Value> {
    at_once(subject, rows).ok()
}

/// The bounds of some stretches of the rows; some may be empty.
fn cuts(history: &History, stretches: usize) -> Vec<usize> {
    let mut dice = Dice::new(history.seed);
    let mut cuts: Vec<usize> = (1..stretches).map(|_| dice.below(history.rows.len() + 1)).collect();
    cuts.extend([0, history.rows.len()]);
    cuts.sort_unstable();
    cuts
}

/// The states of the stretches between cuts, each from nothing.
fn stretches(subject: &dyn Subject, rows: &[Row], cuts: &[usize]) -> Result<Vec<Vec<u8>>, Failed> {
    cuts.windows(2).map(|cut| fed(subject, NOTHING, &rows[cut[0]..cut[1]])).collect()
}

fn nearly(algebra: Algebra) -> bool {
    algebra != Algebra::Exact
}

fn identity(subject: &dyn Subject, history: &History, algebra: Algebra) -> Result<(), Broken> {
    let rows = &history.rows;
    let Some(alone) = expected(subject, rows) else { return Ok(()) };
    let state = || fed(subject, NOTHING, rows);
    let with = |states: fn(Vec<u8>) -> Vec<Vec<u8>>| {
        let merged = merged(subject, &states(state()?))?;
        finished(subject, &merged, rows)
    };
    let ways: [(&str, fn(Vec<u8>) -> Vec<Vec<u8>>); 4] = [
        ("merged with nothing else", |state| vec![state]),
        ("behind the state of no rows", |state| vec![Vec::new(), state]),
        ("before the state of no rows", |state| vec![state, Vec::new()]),
        ("between states of no rows", |state| vec![Vec::new(), state, Vec::new(), Vec::new()]),
    ];
    for (way, states) in ways {
        agree("the state alone", &alone, way, with(states), nearly(algebra))?;
    }
    let Some(empty) = expected(subject, &[]) else { return Ok(()) };
    for (way, count) in [("no states merged", 0), ("two states of no rows merged", 2)] {
        let states = vec![Vec::new(); count];
        let value = merged(subject, &states).and_then(|state| finished(subject, &state, &[]));
        agree("no rows", &empty, way, value, nearly(algebra))?;
    }
    Ok(())
}

fn tiles(subject: &dyn Subject, history: &History, algebra: Algebra) -> Result<(), Broken> {
    let rows = &history.rows;
    let Some(whole) = expected(subject, rows) else { return Ok(()) };
    for count in [2, 4] {
        let cuts = cuts(history, count);
        let value = stretches(subject, rows, &cuts)
            .and_then(|states| merged(subject, &states))
            .and_then(|state| finished(subject, &state, rows));
        agree(
            "all rows at once",
            &whole,
            &format!("cut before row {}", shown(&cuts)),
            value,
            nearly(algebra),
        )?;
    }
    Ok(())
}

fn shown(cuts: &[usize]) -> String {
    let inner = &cuts[1..cuts.len() - 1];
    inner.iter().map(|cut| (cut + 1).to_string()).collect::<Vec<_>>().join(", ")
}

fn steps(subject: &dyn Subject, history: &History, algebra: Algebra) -> Result<(), Broken> {
    let rows = &history.rows;
    let cuts = cuts(history, 4);
    let Ok(states) = stretches(subject, rows, &cuts) else { return Ok(()) };
    let Ok(whole) = merged(subject, &states).and_then(|state| finished(subject, &state, rows)) else {
        return Ok(());
    };
    let from_left = || {
        let mut folded = states[0].clone();
        for later in &states[1..] {
            folded = merged(subject, &[folded, later.clone()])?;
        }
        finished(subject, &folded, rows)
    };
    let in_pairs = || {
        let (early, late) = states.split_at(2);
        let state = merged(subject, &[merged(subject, early)?, merged(subject, late)?])?;
        finished(subject, &state, rows)
    };
    let how = format!("four states, cut before row {}, merged at once", shown(&cuts));
    agree(&how, &whole, "one after another", from_left(), nearly(algebra))?;
    agree(&how, &whole, "in pairs", in_pairs(), nearly(algebra))
}

fn order(subject: &dyn Subject, history: &History, _: Algebra) -> Result<(), Broken> {
    let rows = &history.rows;
    let Some(whole) = expected(subject, rows) else { return Ok(()) };
    let mut backwards = rows.clone();
    backwards.reverse();
    let mut shuffled = rows.clone();
    let mut dice = Dice::new(history.seed);
    for at in (1..shuffled.len()).rev() {
        shuffled.swap(at, dice.below(at + 1));
    }
    agree("rows in order", &whole, "backwards", at_once(subject, &backwards), false)?;
    agree("rows in order", &whole, "in another order", at_once(subject, &shuffled), false)?;
    let merged_backwards = stretches(subject, rows, &cuts(history, 3)).and_then(|mut states| {
        states.reverse();
        finished(subject, &merged(subject, &states)?, rows)
    });
    agree("rows in order", &whole, "stretches merged backwards", merged_backwards, false)
}

fn calls(subject: &dyn Subject, history: &History, _: Algebra) -> Result<(), Broken> {
    let rows = &history.rows;
    let Some(whole) = expected(subject, rows) else { return Ok(()) };
    let in_calls = |cuts: &[usize]| {
        let mut state = NOTHING.to_vec();
        for cut in cuts.windows(2) {
            state = fed(subject, &state, &rows[cut[0]..cut[1]])?;
        }
        finished(subject, &state, rows)
    };
    let each: Vec<usize> = (0..=rows.len()).collect();
    agree("all rows in one call", &whole, "a call for each row", in_calls(&each), false)?;
    let cuts = cuts(history, 3);
    let how = format!("in calls that begin with row {}", shown(&cuts));
    agree("all rows in one call", &whole, &how, in_calls(&cuts), false)
}

fn keys(subject: &dyn Subject, history: &History, _: Algebra) -> Result<(), Broken> {
    let rows = &history.rows;
    let mut dice = Dice::new(history.seed);
    let groups: Vec<u32> = rows.iter().map(|_| dice.below(3) as u32).collect();
    let of_group = |group: u32| {
        let own = rows.iter().zip(&groups).filter(|(_, of)| **of == group);
        own.map(|(row, _)| row.clone()).collect::<Vec<Row>>()
    };
    let mut alone = Vec::new();
    for group in 0..4 {
        let Some(value) = expected(subject, &of_group(group)) else { return Ok(()) };
        alone.push(value);
    }
    let all: Vec<&Row> = rows.iter().collect();
    // The fourth key has no row in this call; its state must come back as it was.
    let mut states = vec![NOTHING.to_vec(); 4];
    let kept = fed(subject, NOTHING, rows).map_err(|failed| Broken::Fails(failed.reason))?;
    let whole = finished(subject, &kept, rows).map_err(|failed| Broken::Fails(failed.reason))?;
    states[3] = kept;
    let mixed = subject.update(&states, &groups, &all).map_err(|failed| Broken::Fails(failed.reason))?;
    for group in 0..3_u32 {
        let value = finished(subject, &mixed[group as usize], &of_group(group));
        agree("rows of a key alone", &alone[group as usize], "in a call with other keys", value, false)?;
    }
    let untouched = finished(subject, &mixed[3], rows);
    agree("a key's state", &whole, "after a call without rows of it", untouched, false)?;
    let both = subject.merge(&[mixed[0].clone(), mixed[1].clone()], &[1, 0], 2);
    let both = both.map_err(|failed| Broken::Fails(failed.reason))?;
    for (at, group) in [(0, 1_u32), (1, 0)] {
        let value = finished(subject, &both[at], &of_group(group));
        agree("a key's state", &alone[group as usize], "merged in a call with another key", value, false)?;
    }
    Ok(())
}

fn memory(subject: &dyn Subject, history: &History, _: Algebra) -> Result<(), Broken> {
    let rows = &history.rows;
    subject.forget();
    let Some(fresh) = expected(subject, rows) else { return Ok(()) };
    let used = at_once(subject, rows);
    agree("in a fresh instance", &fresh, "in one that has worked before", used, false)?;
    let between = || {
        let state = fed(subject, NOTHING, rows)?;
        subject.forget();
        finished(subject, &state, rows)
    };
    agree("in a fresh instance", &fresh, "finished by another instance", between(), false)?;
    let twice = || {
        let state = fed(subject, NOTHING, rows)?;
        finished(subject, &state, rows)?;
        finished(subject, &state, rows)
    };
    agree("in a fresh instance", &fresh, "looked at twice", twice(), false)
}
