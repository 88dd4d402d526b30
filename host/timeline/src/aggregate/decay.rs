//! Exponentially decayed sums: a row that is one half-life old counts half, two half-lives a quarter, and so on, as of
//! the time that is asked for.
//!
//! Weights grow forward from fixed points instead of shrinking back from now: time is cut into half-lives, and a row
//! at a part r of its half-life weighs 2^r there. Of each half-life the weighted sum is exact, so that rows may come
//! and go in any order; the half-lives are put together, each half of the next, when a value is asked for. A row
//! [`HALF_LIVES`] or more before that time weighs nothing, which bounds the state.

use super::big::Term;
use super::call::{Call, Descriptor, Duplicates, aggregate};
use super::catalog::{BuiltinDoc, BuiltinError};
use super::fold::{Fold, Place};
use super::moments::{Number, Numbers, Sums};
use super::{Aggregate, Algebra, Parameter};
use crate::bytes::{self, Reader};
use arrow_array::{ArrayRef, Float64Array};
use arrow_schema::DataType;
use std::f64::consts::{LN_2, SQRT_2};
use std::sync::Arc;
use weir_event::Span;

/// Half-lives after which a row weighs nothing: 2^-128 of it would not show beside anything else.
const HALF_LIVES: i64 = 128;

const fn descriptor(
    name: &'static str,
    signature: &'static str,
    does: &'static str,
    nulls: &'static str,
    takes: &'static str,
    bind: fn(&Call<'_>) -> Result<Arc<dyn Aggregate>, BuiltinError>,
) -> Descriptor {
    Descriptor {
        doc: BuiltinDoc {
            name,
            aliases: &[],
            signature,
            does,
            algebra: Algebra::Exact,
            inverse: true,
            bounded: true,
            nulls,
        },
        takes,
        distinct: Duplicates::Counted,
        bind,
    }
}

const NUMBER: &str = "a half-life and one column of int, bigint, float, double or decimal";

pub(super) const BUILTINS: &[Descriptor] = &[
    descriptor(
        "DECAY_SUM",
        "DECAY_SUM('7d', x)",
        "the sum of x, each row weighed by half for every half-life (text, or milliseconds) that it is old; 128 half-lives are the end",
        "skipped; null of no values",
        NUMBER,
        |call| bind(call, DecayFigure::Sum),
    ),
    descriptor(
        "DECAY_COUNT",
        "DECAY_COUNT('7d' [, x])",
        "the number of rows, or of rows where x is not null, each weighed by half for every half-life that it is old",
        "not counted; 0 of no rows",
        "a half-life and no column or one",
        |call| bind(call, DecayFigure::Count),
    ),
    descriptor(
        "DECAY_AVG",
        "DECAY_AVG('7d', x)",
        "the mean of x, each row weighed by half for every half-life that it is old",
        "ignored; null of no values, or of none younger than 128 half-lives",
        NUMBER,
        |call| bind(call, DecayFigure::Average),
    ),
];

fn bind(call: &Call<'_>, figure: DecayFigure) -> Result<Arc<dyn Aggregate>, BuiltinError> {
    let usage = || {
        format!(
            "write {} with a half-life such as '7d', '12h' or milliseconds",
            call.descriptor.doc.signature
        )
    };
    let half_life = match call.parameters {
        [Parameter::Int(millis)] => *millis,
        [Parameter::Text(text)] => match text.parse::<Span>() {
            Ok(span) => span.millis(),
            Err(error) => return call.refuse(error.to_string()),
        },
        _ => return call.refuse(usage()),
    };
    if half_life < 1 {
        return call.refuse(format!("the half-life is {half_life} ms; it must be at least 1 ms"));
    }
    match (figure, call.arguments) {
        (DecayFigure::Count, [] | [_]) => {}
        _ => drop(call.number()?),
    }
    let card = call.card(DataType::Float64, &[half_life.to_string()]);
    Ok(aggregate(Decay { figure, half_life }, card))
}

/// What is computed of the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DecayFigure {
    Sum,
    Count,
    Average,
}

/// A decayed figure.
#[derive(Debug, Clone)]
pub(crate) struct Decay {
    figure: DecayFigure,
    /// Milliseconds.
    half_life: i64,
}

/// What is kept of the rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Decayed {
    /// Rows, those that weigh nothing any more included.
    rows: i64,
    /// The newest half-life that was ever seen: those `HALF_LIVES` before it are forgotten.
    newest: Option<i64>,
    /// In order of time.
    buckets: Vec<Bucket>,
}

/// One half-life's rows: the exact sums of weights, and of values times weights, as far as the figure needs them.
#[derive(Debug, Clone)]
struct Bucket {
    at: i64,
    sums: Sums<2>,
}

/// A column whose numbers are summed, or only its presence is counted.
pub(crate) enum Weighed<'a> {
    Rows,
    Present(&'a ArrayRef),
    Numbers(Numbers<'a>),
}

/// 2^r for r from 0 to 1: a power series, for the same bits on every machine.
fn power_of_two(r: f64) -> f64 {
    /// Terms after which nothing is left to add where |y| < 0.35.
    const TERMS: u32 = 16;
    let y = (r - 0.5) * LN_2;
    (1..=TERMS).rev().fold(1.0, |sum, term| 1.0 + sum * y / f64::from(term)) * SQRT_2
}

impl Decayed {
    /// Changes one half-life's sums, unless it is forgotten.
    fn change(&mut self, at: i64, change: impl FnOnce(&mut Sums<2>)) {
        let newest = self.newest.map_or(at, |newest| newest.max(at));
        if self.newest != Some(newest) {
            self.newest = Some(newest);
            let forgotten = self.buckets.partition_point(|bucket| is_forgotten(bucket.at, newest));
            self.buckets.drain(..forgotten);
        }
        if is_forgotten(at, newest) {
            return;
        }
        let found = self.buckets.partition_point(|bucket| bucket.at < at);
        if self.buckets.get(found).is_none_or(|bucket| bucket.at != at) {
            self.buckets.insert(found, Bucket { at, sums: Sums::default() });
        }
        change(&mut self.buckets[found].sums);
        if self.buckets[found].sums.rows == 0 {
            self.buckets.remove(found);
        }
    }
}

fn is_forgotten(at: i64, newest: i64) -> bool {
    newest.saturating_sub(at) >= HALF_LIVES
}

impl Decay {
    fn change(&self, state: &mut Decayed, column: &Weighed<'_>, row: usize, time: i64, takes_out: bool) {
        let value = match column {
            Weighed::Rows => None,
            Weighed::Present(array) if arrow_array::Array::is_null(array, row) => return,
            Weighed::Present(_) => None,
            Weighed::Numbers(numbers) => match numbers.get(row) {
                None => return,
                number => number,
            },
        };
        let part = time.rem_euclid(self.half_life) as f64 / self.half_life as f64;
        let nothing = Term::whole(0);
        let weight = Term::double(power_of_two(part)).unwrap_or(nothing);
        let terms = match value {
            None => Some([weight, nothing]),
            Some(Number::Finite(value)) => {
                Some([if self.figure == DecayFigure::Sum { nothing } else { weight }, value.times(&weight)])
            }
            Some(Number::Strange) => None,
        };
        state.rows = state.rows.wrapping_add(if takes_out { -1 } else { 1 });
        state.change(time.div_euclid(self.half_life), |sums| sums.change(terms.as_ref(), takes_out));
    }

    /// The decayed sum of weights (0) or of weighed values (1), as of a time.
    fn total(&self, state: &Decayed, at: usize, as_of: i64) -> f64 {
        let now = as_of.div_euclid(self.half_life);
        let part = as_of.rem_euclid(self.half_life) as f64 / self.half_life as f64;
        let live = state.buckets.iter().filter(|bucket| !is_forgotten(bucket.at, now));
        let (mut total, mut stands) = (0.0, now);
        for bucket in live {
            // The first factor meets a total of nothing.
            total = total * halved(bucket.at.saturating_sub(stands)) + bucket.sums.sum(at).rounded().value();
            stands = bucket.at;
        }
        total * halved(now.saturating_sub(stands)) / power_of_two(part)
    }

    fn value(&self, state: &Decayed, as_of: i64) -> Option<f64> {
        if state.rows == 0 {
            return (self.figure == DecayFigure::Count).then_some(0.0);
        }
        let now = as_of.div_euclid(self.half_life);
        let is_strange = |bucket: &Bucket| bucket.sums.strange != 0 && !is_forgotten(bucket.at, now);
        if state.buckets.iter().any(is_strange) {
            return Some(f64::NAN);
        }
        match self.figure {
            DecayFigure::Count => Some(self.total(state, 0, as_of)),
            DecayFigure::Sum => Some(self.total(state, 1, as_of)),
            DecayFigure::Average => {
                let weight = self.total(state, 0, as_of);
                (weight != 0.0).then(|| self.total(state, 1, as_of) / weight)
            }
        }
    }
}

/// 2^-times. (Live half-lives are at most [`HALF_LIVES`] apart; the bounds are for damaged state.)
fn halved(times: i64) -> f64 {
    f64::from_bits(((1023 - times.clamp(-1000, 1000)) as u64) << 52)
}

impl Fold for Decay {
    type State = Decayed;
    type Column<'a> = Weighed<'a>;
    type Builder = Vec<Option<f64>>;
    const INVERSE: bool = true;

    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<Weighed<'a>> {
        match (self.figure, arguments.first()) {
            (DecayFigure::Count, None) => Some(Weighed::Rows),
            (DecayFigure::Count, Some(array)) => Some(Weighed::Present(array)),
            (_, Some(array)) => Numbers::of(array).map(Weighed::Numbers),
            (_, None) => None,
        }
    }

    fn insert(&self, state: &mut Decayed, column: &Weighed<'_>, row: usize, place: Place) {
        self.change(state, column, row, place.time, false);
    }

    fn remove(&self, state: &mut Decayed, column: &Weighed<'_>, row: usize, place: Place) {
        self.change(state, column, row, place.time, true);
    }

    fn merge(&self, into: &mut Decayed, other: &Decayed) {
        into.rows = into.rows.wrapping_add(other.rows);
        for bucket in other.buckets.iter().rev() {
            into.change(bucket.at, |sums| sums.combine(&bucket.sums, false));
        }
        into.newest = into.newest.max(other.newest);
    }

    fn unmerge(&self, from: &mut Decayed, leaving: &Decayed) {
        from.rows = from.rows.wrapping_sub(leaving.rows);
        for bucket in leaving.buckets.iter().rev() {
            from.change(bucket.at, |sums| sums.combine(&bucket.sums, true));
        }
    }

    fn builder(&self, capacity: usize) -> Self::Builder {
        Vec::with_capacity(capacity)
    }

    fn push(&self, state: &Decayed, as_of: i64, builder: &mut Self::Builder) -> Result<(), String> {
        builder.push(self.value(state, as_of));
        Ok(())
    }

    fn build(&self, builder: Self::Builder) -> ArrayRef {
        Arc::new(Float64Array::from(builder))
    }

    fn encode(&self, state: &Decayed, out: &mut Vec<u8>) {
        bytes::put_signed(state.rows, out);
        out.push(u8::from(state.newest.is_some()));
        let Some(newest) = state.newest else { return };
        bytes::put_signed(newest, out);
        bytes::put_unsigned(state.buckets.len() as u64, out);
        for bucket in &state.buckets {
            bytes::put_signed(bucket.at, out);
            bucket.sums.encode(out);
        }
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Option<Decayed> {
        let mut state = Decayed { rows: reader.signed()?, ..Decayed::default() };
        if reader.byte().filter(|has| *has <= 1)? == 0 {
            return Some(state);
        }
        let newest = reader.signed()?;
        state.newest = Some(newest);
        for _ in 0..reader.count(5)? {
            let at = reader.signed()?;
            let is_behind = state.buckets.last().is_some_and(|last| last.at >= at);
            if is_behind || at > newest || is_forgotten(at, newest) {
                return None;
            }
            state.buckets.push(Bucket { at, sums: Sums::decode(reader)? });
        }
        Some(state)
    }

    fn heap_bytes(&self, state: &Decayed) -> usize {
        let sums: usize = state.buckets.iter().map(|bucket| bucket.sums.heap_bytes()).sum();
        state.buckets.capacity() * size_of::<Bucket>() + sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn values_are_what_the_formula_says(
            rows in prop::collection::vec((-500..500_i64, -100.0..100.0_f64), 1..40),
            half_life in 5..400_i64,
            later in 0..300_i64,
        ) {
            let as_of = 500 + later;
            let arguments: [ArrayRef; 1] = [Arc::new(rows.iter().map(|row| Some(row.1)).collect::<Float64Array>())];
            let decay = |figure| Decay { figure, half_life };
            let value = |figure: DecayFigure| {
                let (decay, mut state) = (decay(figure), Decayed::default());
                let column = decay.column(&arguments).unwrap();
                for (row, (time, _)) in rows.iter().enumerate() {
                    decay.insert(&mut state, &column, row, Place { time: *time, rank: weir_event::Rank::default() });
                }
                decay.value(&state, as_of)
            };
            let weight = |time: i64| {
                let is_live = as_of.div_euclid(half_life) - time.div_euclid(half_life) < HALF_LIVES;
                if is_live { 0.5_f64.powf((as_of - time) as f64 / half_life as f64) } else { 0.0 }
            };
            let count: f64 = rows.iter().map(|(time, _)| weight(*time)).sum();
            let sum: f64 = rows.iter().map(|(time, value)| weight(*time) * value).sum();
            let scale: f64 = rows.iter().map(|(time, value)| weight(*time) * value.abs()).sum();
            let is_near = |value: f64, expected: f64, scale: f64| (value - expected).abs() <= 1e-12 * scale;
            prop_assert!(is_near(value(DecayFigure::Count).unwrap(), count, count));
            prop_assert!(is_near(value(DecayFigure::Sum).unwrap(), sum, scale));
            match value(DecayFigure::Average) {
                Some(average) => prop_assert!(is_near(average, sum / count, scale / count)),
                None => prop_assert!(count == 0.0),
            }
        }
    }

    #[test]
    fn powers_of_two_are_those_of_the_library() {
        for step in 0..1000 {
            let r = f64::from(step) / 1000.0;
            assert!((power_of_two(r) - r.exp2()).abs() < 1e-15, "{r}");
        }
    }

    #[test]
    fn the_state_of_a_long_life_is_short() {
        let decay = Decay { figure: DecayFigure::Sum, half_life: 10 };
        let column: ArrayRef = Arc::new(Float64Array::from(vec![1.0]));
        let arguments = [column];
        let column = decay.column(&arguments).unwrap();
        let mut state = Decayed::default();
        for time in (0..100_000).step_by(5) {
            decay.insert(&mut state, &column, 0, Place { time, rank: weir_event::Rank::default() });
        }
        assert_eq!(state.buckets.len(), HALF_LIVES as usize);
        // 1 + 2^-1/2 + 2^-1 + ..
        let value = decay.value(&state, 99_995).unwrap();
        assert!((value - 1.0 / (1.0 - 0.5_f64.sqrt())).abs() < 1e-12, "{value}");
        assert_eq!(decay.value(&state, 99_995 + 10 * HALF_LIVES), Some(0.0));
    }
}
