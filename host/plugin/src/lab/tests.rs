//! The lab catches what is wrong and lets pass what is right. Aggregates are made here of functions over lists of
//! numbers, so that each wrong one is a line.

use super::subject::{Failed, Row, Subject};
use super::value::Value;
use super::{LabSettings, Verdict, try_aggregate};
use crate::limits::MAX_STATE_BYTES;
use crate::wire::{DataType, LogicalType};
use std::cell::Cell;
use weir_timeline::Algebra;
use weir_timeline::Algebra::{Approximate, Exact, Ordered};

const SETTINGS: LabSettings = LabSettings { cases: 60, seed: 7 };

/// A state is a list of numbers; of no rows it is an empty one.
type Numbers = Vec<f64>;

/// An aggregate of one double.
struct Made {
    update: fn(Numbers, f64) -> Numbers,
    merge: fn(Numbers, Numbers) -> Numbers,
    finish: fn(&[f64]) -> Option<f64>,
    /// What goes wrong around these three, if something does.
    around: Around,
    /// What an instance remembers.
    remembered: Cell<f64>,
}

#[derive(Clone, Copy, PartialEq)]
enum Around {
    Nothing,
    AddsWhatItRemembers,
    CountsCalls,
    GivesAllRowsToTheFirstKey,
    ForgetsKeysWithoutRows,
    MergesTwoAtMost,
    MergesOfOneAgain,
    WritesSinglePrecision,
    LeavesOutTheLastRowOfACall,
    TrapsOnNotANumber,
    FailsAlways,
    FailsToMerge,
    ChangesWhenLookedAt,
}

fn read(state: &[u8]) -> Numbers {
    state.chunks_exact(8).map(|bytes| f64::from_le_bytes(bytes.try_into().unwrap())).collect()
}

fn written(numbers: &[f64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn refused(reason: &str) -> Failed {
    Failed { reason: reason.to_owned() }
}

impl Subject for Made {
    fn arguments(&self) -> Vec<DataType> {
        vec![DataType { logical: LogicalType::Double, list: false }]
    }

    fn update(&self, states: &[Vec<u8>], groups: &[u32], rows: &[&Row]) -> Result<Vec<Vec<u8>>, Failed> {
        if self.around == Around::FailsAlways {
            return Err(refused("no row is good enough"));
        }
        let mut numbers: Vec<Numbers> = states.iter().map(|state| read(state)).collect();
        let mut touched = vec![false; states.len()];
        let given = match self.around {
            Around::LeavesOutTheLastRowOfACall if rows.len() > 2 => rows.len() - 1,
            _ => rows.len(),
        };
        for (row, group) in rows.iter().zip(groups).take(given) {
            let Value::Double(value) = row.values[0] else { continue };
            if self.around == Around::TrapsOnNotANumber && value.is_nan() {
                return Err(refused("trapped"));
            }
            let group = if self.around == Around::GivesAllRowsToTheFirstKey { 0 } else { *group as usize };
            touched[group] = true;
            numbers[group] = (self.update)(std::mem::take(&mut numbers[group]), value);
        }
        if self.around == Around::CountsCalls {
            numbers.iter_mut().for_each(|state| *state = (self.update)(std::mem::take(state), 1.0));
        }
        if self.around == Around::AddsWhatItRemembers {
            self.remembered.set(self.remembered.get() + rows.len() as f64);
        }
        let forgets = self.around == Around::ForgetsKeysWithoutRows;
        let kept = numbers.iter().zip(touched).map(|(state, touched)| match self.around {
            _ if forgets && !touched => Vec::new(),
            Around::WritesSinglePrecision => {
                written(&state.iter().map(|it| f64::from(*it as f32)).collect::<Vec<_>>())
            }
            _ => written(state),
        });
        let kept: Vec<Vec<u8>> = kept.collect();
        match kept.iter().map(Vec::len).max() {
            Some(longest) if longest > MAX_STATE_BYTES => Err(refused("gave a state that is too long")),
            _ => Ok(kept),
        }
    }

    fn merge(&self, states: &[Vec<u8>], groups: &[u32], count: usize) -> Result<Vec<Vec<u8>>, Failed> {
        if self.around == Around::FailsToMerge {
            return Err(refused("cannot merge"));
        }
        let mut merged: Vec<Option<(Numbers, usize)>> = vec![None; count];
        for (state, group) in states.iter().zip(groups) {
            let state = read(state);
            let held = &mut merged[*group as usize];
            *held = Some(match held.take() {
                None if self.around == Around::MergesOfOneAgain => ((self.merge)(state.clone(), state), 1),
                None => (state, 1),
                Some((early, 2)) if self.around == Around::MergesTwoAtMost => (early, 2),
                Some((early, parts)) => ((self.merge)(early, state), parts + 1),
            });
        }
        Ok(merged.into_iter().map(|held| written(&held.unwrap_or_default().0)).collect())
    }

    fn finish(&self, states: &[Vec<u8>], _: &[i64]) -> Result<Vec<Value>, Failed> {
        let looked = self.remembered.get();
        if self.around == Around::ChangesWhenLookedAt {
            self.remembered.set(looked + 1.0);
        }
        let value = |state: &Vec<u8>| match (self.finish)(&read(state)) {
            None => Value::Null,
            Some(value) => Value::Double(value + looked),
        };
        Ok(states.iter().map(value).collect())
    }

    fn forget(&self) {
        self.remembered.set(0.0);
    }
}

/// Nothing when one of two is nothing, and else what is made of both.
fn both(early: Numbers, late: Numbers, make: impl Fn(&[f64], &[f64]) -> Numbers) -> Numbers {
    match (early.is_empty(), late.is_empty()) {
        (true, _) => late,
        (_, true) => early,
        _ => make(&early, &late),
    }
}

fn made(
    update: fn(Numbers, f64) -> Numbers,
    merge: fn(Numbers, Numbers) -> Numbers,
    finish: fn(&[f64]) -> Option<f64>,
) -> Made {
    Made { update, merge, finish, around: Around::Nothing, remembered: Cell::new(0.0) }
}

fn first(state: &[f64]) -> Option<f64> {
    state.first().copied()
}

fn sum() -> Made {
    made(
        |state, value| vec![state.first().unwrap_or(&0.0) + value],
        |early, late| both(early, late, |a, b| vec![a[0] + b[0]]),
        first,
    )
}

fn largest() -> Made {
    made(
        |state, value| vec![state.first().map_or(value, |held| held.max(value))],
        |early, late| both(early, late, |a, b| vec![a[0].max(b[0])]),
        first,
    )
}

fn newest() -> Made {
    made(|_, value| vec![value], |early, late| both(early, late, |_, b| b.to_vec()), first)
}

/// The number of values, their sum and the sum of their squares.
fn moments(finish: fn(&[f64]) -> Option<f64>) -> Made {
    made(
        |state, value| {
            let of = |at: usize| state.get(at).copied().unwrap_or(0.0);
            vec![of(0) + 1.0, of(1) + value, of(2) + value * value]
        },
        |early, late| both(early, late, |a, b| (0..3).map(|at| a[at] + b[at]).collect()),
        finish,
    )
}

fn mean(state: &[f64]) -> Option<f64> {
    state.first().map(|count| state[1] / count)
}

fn with(around: Around, made: Made) -> Made {
    Made { around, ..made }
}

/// The laws that are broken.
fn broken(subject: &Made, algebra: Algebra) -> Vec<&'static str> {
    let findings = try_aggregate(subject, algebra, SETTINGS);
    let is_broken = |verdict: &Verdict| matches!(verdict, Verdict::Broken { .. });
    findings.iter().filter(|finding| is_broken(&finding.verdict)).map(|finding| finding.law).collect()
}

#[test]
fn sound_aggregates_keep_every_law() {
    for (subject, algebra) in [
        (sum(), Ordered),
        (newest(), Ordered),
        (moments(mean), Ordered),
        (sum(), Approximate),
        (largest(), Exact),
    ] {
        assert_eq!(broken(&subject, algebra), [""; 0]);
    }
}

/// What is wrong, the law that says so, the aggregate and what it says of itself.
type Wrong = (&'static str, &'static str, Made, Algebra);

/// Merging is not what adding rows is.
fn wrong_tiles() -> [Wrong; 6] {
    [
        ("tiles of maxima are summed", "tiles", Made { merge: sum().merge, ..largest() }, Ordered),
        (
            "tiles of minima are summed",
            "tiles",
            made(
                |state, value| vec![state.first().map_or(value, |held| held.min(value))],
                sum().merge,
                first,
            ),
            Ordered,
        ),
        (
            "the mean of means, whatever their numbers of rows",
            "tiles",
            made(
                |state, value| {
                    let count = state.get(1).unwrap_or(&0.0) + 1.0;
                    let mean = state.first().unwrap_or(&0.0);
                    vec![mean + (value - mean) / count, count]
                },
                |early, late| both(early, late, |a, b| vec![f64::midpoint(a[0], b[0]), a[1] + b[1]]),
                first,
            ),
            Ordered,
        ),
        (
            "deviations of tiles give their mean",
            "tiles",
            made(
                |state, value| {
                    let of = |at: usize| state.get(at).copied().unwrap_or(0.0);
                    vec![of(0) + 1.0, of(1) + value, of(2) + value * value, f64::NAN]
                },
                |early, late| {
                    both(early, late, |a, b| {
                        let of = |it: &[f64]| deviation(it).unwrap_or(0.0);
                        vec![a[0] + b[0], a[1] + b[1], a[2] + b[2], f64::midpoint(of(a), of(b))]
                    })
                },
                deviation,
            ),
            Ordered,
        ),
        (
            "merging takes the earlier of two newest",
            "tiles",
            Made { merge: |early, late| both(early, late, |a, _| a.to_vec()), ..newest() },
            Ordered,
        ),
        (
            "a maximum that meets a state of no rows as nought",
            "identity",
            Made {
                merge: |early, late| {
                    let of = |state: &[f64]| state.first().copied().unwrap_or(0.0);
                    vec![of(&early).max(of(&late))]
                },
                ..largest()
            },
            Ordered,
        ),
    ]
}

fn wrong_otherwise() -> [Wrong; 12] {
    [
        ("the newest, said to be exact", "order", newest(), Exact),
        ("a sum of doubles, said to be exact", "order", sum(), Exact),
        ("rows of earlier calls are remembered", "memory", with(Around::AddsWhatItRemembers, sum()), Ordered),
        ("looking is counted", "memory", with(Around::ChangesWhenLookedAt, sum()), Ordered),
        ("calls are counted", "calls", with(Around::CountsCalls, sum()), Ordered),
        (
            "the last row of a call is left out",
            "calls",
            with(Around::LeavesOutTheLastRowOfACall, sum()),
            Ordered,
        ),
        ("states keep half of the digits", "calls", with(Around::WritesSinglePrecision, sum()), Ordered),
        ("all rows go to the first key", "keys", with(Around::GivesAllRowsToTheFirstKey, sum()), Ordered),
        ("keys without rows are forgotten", "keys", with(Around::ForgetsKeysWithoutRows, sum()), Ordered),
        ("the third state is dropped", "steps", with(Around::MergesTwoAtMost, sum()), Ordered),
        ("a state merged alone is doubled", "identity", with(Around::MergesOfOneAgain, sum()), Ordered),
        (
            "all rows are kept",
            "growth",
            made(
                |mut state, value| {
                    state.extend([value; 4]);
                    state
                },
                |early, late| [early, late].concat(),
                |state| state.last().copied(),
            ),
            Ordered,
        ),
    ]
}

/// Each is wrong in one way that has been shipped by somebody; the law is the one that tells its author most.
#[test]
fn wrong_aggregates_are_caught() {
    for (what, law, subject, algebra) in wrong_tiles().into_iter().chain(wrong_otherwise()) {
        let broken = broken(&subject, algebra);
        assert!(broken.contains(&law), "{what}: {law} is not among {broken:?}");
    }
}

/// Rows that have no value are the function's affair; that no row has one is a mistake.
#[test]
fn what_fails_is_told_and_breaks_no_law() {
    let traps = with(Around::TrapsOnNotANumber, sum());
    assert_eq!(broken(&traps, Ordered), [""; 0]);
    let values = &try_aggregate(&traps, Ordered, SETTINGS)[0];
    let Verdict::Noted { note } = &values.verdict else { panic!("{values:?}") };
    assert!(note.contains("histories fail, such as row 1 at") && note.contains("NaN: trapped"), "{note}");
    assert_eq!(broken(&with(Around::FailsAlways, sum()), Ordered), ["values", "growth"]);
    assert_eq!(broken(&with(Around::FailsToMerge, sum()), Ordered), ["identity", "tiles", "keys"]);
}

/// Of moments, or what a merge has put in their place.
fn deviation(state: &[f64]) -> Option<f64> {
    match state {
        [_, _, _, given] if !given.is_nan() => Some(*given),
        [count, sum, squares, ..] => Some((squares / count - (sum / count).powi(2)).max(0.0).sqrt()),
        _ => None,
    }
}

#[test]
fn the_case_that_is_shown_is_small() {
    let findings = try_aggregate(&Made { merge: sum().merge, ..largest() }, Ordered, SETTINGS);
    let tiles = findings.iter().find(|finding| finding.law == "tiles").unwrap();
    let Verdict::Broken { rows, because } = &tiles.verdict else { panic!("{tiles:?}") };
    // The smallest is two rows of which one is not nought.
    assert!(rows.len() <= 2, "{rows:?}");
    assert!(
        because[0].starts_with("all rows at once: ") && because[1].contains("cut before row"),
        "{because:?}"
    );
}
