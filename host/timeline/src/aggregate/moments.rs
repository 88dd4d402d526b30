//! Variance, standard deviation, skewness and kurtosis.
//!
//! A state has the number of values and the exact sums of their powers; the formulas are computed exactly up to the
//! last division or root, so that neither order nor cancellation can spoil a digit.

use super::big::{BigSum, Exact, Scaled, Term};
use super::call::{Call, Descriptor, Duplicates, aggregate};
use super::catalog::{BuiltinDoc, BuiltinError};
use super::fold::{Fold, Place};
use super::value::{Double, Doubles, Value, Wholes};
use super::{Aggregate, Algebra};
use crate::bytes::{self, Reader};
use arrow_array::{ArrayRef, Float64Array};
use arrow_schema::DataType;
use std::sync::Arc;

const fn descriptor(
    name: &'static str,
    aliases: &'static [&'static str],
    signature: &'static str,
    does: &'static str,
    nulls: &'static str,
    bind: fn(&Call<'_>) -> Result<Arc<dyn Aggregate>, BuiltinError>,
) -> Descriptor {
    Descriptor {
        doc: BuiltinDoc {
            name,
            aliases,
            signature,
            does,
            algebra: Algebra::Exact,
            inverse: true,
            bounded: true,
            nulls,
        },
        takes: "one column of int, bigint, float, double or decimal",
        distinct: Duplicates::Counted,
        bind,
    }
}

const ANY: &str = "skipped; null of no values";
const TWO: &str = "ignored; null of fewer than two values";
const SPREAD: &str = "ignored; null of no values or values that are all the same";

pub(super) const BUILTINS: &[Descriptor] = &[
    descriptor(
        "VAR_POP",
        &[],
        "VAR_POP(x)",
        "the variance of the values as a whole population",
        ANY,
        |call| bind::<2>(call, MomentFigure::Variance { sample: false }),
    ),
    descriptor(
        "VAR_SAMP",
        &["VARIANCE", "VAR"],
        "VAR_SAMP(x)",
        "the variance that the values, as a sample, suggest",
        TWO,
        |call| bind::<2>(call, MomentFigure::Variance { sample: true }),
    ),
    descriptor(
        "STDDEV_POP",
        &[],
        "STDDEV_POP(x)",
        "the standard deviation of the values as a whole population",
        ANY,
        |call| bind::<2>(call, MomentFigure::Deviation { sample: false }),
    ),
    descriptor(
        "STDDEV_SAMP",
        &["STDDEV"],
        "STDDEV_SAMP(x)",
        "the standard deviation that the values, as a sample, suggest",
        TWO,
        |call| bind::<2>(call, MomentFigure::Deviation { sample: true }),
    ),
    descriptor(
        "SKEWNESS",
        &[],
        "SKEWNESS(x)",
        "the third standardised moment of the values as a whole population",
        SPREAD,
        |call| bind::<3>(call, MomentFigure::Skewness),
    ),
    descriptor(
        "KURTOSIS",
        &[],
        "KURTOSIS(x)",
        "the fourth standardised moment of the values as a whole population, less 3 (0 of a normal distribution)",
        SPREAD,
        |call| bind::<4>(call, MomentFigure::Kurtosis),
    ),
];

fn bind<const POWERS: usize>(
    call: &Call<'_>,
    figure: MomentFigure,
) -> Result<Arc<dyn Aggregate>, BuiltinError> {
    call.no_parameters()?;
    call.number()?;
    Ok(aggregate(Moments::<POWERS> { figure }, call.card(DataType::Float64, &[])))
}

/// What is computed of the moments.
#[derive(Debug, Clone, Copy)]
pub(crate) enum MomentFigure {
    Variance { sample: bool },
    Deviation { sample: bool },
    Skewness,
    Kurtosis,
}

/// A column of numbers.
pub(crate) enum Numbers<'a> {
    Whole(Wholes<'a>),
    Double(Doubles<'a>),
}

/// A number of a column.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Number {
    Finite(Term),
    /// Infinite or NaN.
    Strange,
}

impl Numbers<'_> {
    pub(crate) fn of(array: &ArrayRef) -> Option<Numbers<'_>> {
        let doubles = <Double as Value>::column(array).map(Numbers::Double);
        doubles.or_else(|| <i64 as Value>::column(array).map(Numbers::Whole))
    }

    /// `None` is null.
    pub(crate) fn get(&self, row: usize) -> Option<Number> {
        match self {
            Numbers::Whole(column) => {
                <i64 as Value>::get(column, row).map(|it| Number::Finite(Term::whole(it)))
            }
            Numbers::Double(column) => {
                column.get(row).map(|it| Term::double(it).map_or(Number::Strange, Number::Finite))
            }
        }
    }
}

/// Some exact sums over the same rows.
#[derive(Debug, Clone)]
pub(crate) struct Sums<const COUNT: usize> {
    pub(crate) rows: i64,
    /// Rows with a number that is infinite or NaN: while there are any, so is every result.
    pub(crate) strange: i64,
    sums: [BigSum; COUNT],
}

impl<const COUNT: usize> Default for Sums<COUNT> {
    fn default() -> Self {
        Sums { rows: 0, strange: 0, sums: std::array::from_fn(|_| BigSum::default()) }
    }
}

impl<const COUNT: usize> Sums<COUNT> {
    /// Adds a row's terms, or takes them out; `None` if one of its numbers is infinite or NaN.
    pub(crate) fn change(&mut self, terms: Option<&[Term; COUNT]>, takes_out: bool) {
        let by = if takes_out { -1 } else { 1 };
        self.rows = self.rows.wrapping_add(by);
        match terms {
            None => self.strange = self.strange.wrapping_add(by),
            Some(terms) => self.sums.iter_mut().zip(terms).for_each(|(sum, term)| sum.add(term, takes_out)),
        }
    }

    pub(crate) fn combine(&mut self, other: &Sums<COUNT>, takes_out: bool) {
        let sign = |count: i64| if takes_out { count.wrapping_neg() } else { count };
        self.rows = self.rows.wrapping_add(sign(other.rows));
        self.strange = self.strange.wrapping_add(sign(other.strange));
        self.sums.iter_mut().zip(&other.sums).for_each(|(sum, other)| sum.combine(other, takes_out));
    }

    pub(crate) fn sum(&self, at: usize) -> Exact {
        self.sums[at].exact()
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        bytes::put_signed(self.rows, out);
        bytes::put_signed(self.strange, out);
        self.sums.iter().for_each(|sum| sum.encode(out));
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let mut sums = Sums { rows: reader.signed()?, strange: reader.signed()?, ..Sums::default() };
        for sum in &mut sums.sums {
            *sum = BigSum::decode(reader)?;
        }
        Some(sums)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        self.sums.iter().map(BigSum::heap_bytes).sum()
    }
}

/// The first powers of a number.
pub(crate) fn powers<const COUNT: usize>(number: &Term) -> [Term; COUNT] {
    let mut power = *number;
    std::array::from_fn(|at| {
        if at > 0 {
            power = power.times(number);
        }
        power
    })
}

/// `n * sum of squares - square of sum`: the variance times n squared.
pub(crate) fn spread(rows: i64, sum: &Exact, squares: &Exact) -> Exact {
    Exact::whole(rows).times(squares).minus(&sum.times(sum))
}

/// The divisor that makes a variance of [`spread`].
pub(crate) fn divisor(rows: i64, sample: bool) -> Scaled {
    Exact::whole(rows).times(&Exact::whole(rows - i64::from(sample))).rounded()
}

/// A figure of the moments; the state has as many sums of powers as it needs.
#[derive(Debug, Clone)]
pub(crate) struct Moments<const POWERS: usize> {
    figure: MomentFigure,
}

impl<const POWERS: usize> Moments<POWERS> {
    fn value(&self, state: &Sums<POWERS>) -> Option<f64> {
        let rows = state.rows;
        if rows < 1 {
            return None;
        }
        let least = match self.figure {
            MomentFigure::Variance { sample: true } | MomentFigure::Deviation { sample: true } => 2,
            _ => 1,
        };
        if rows < least {
            return None;
        }
        if state.strange != 0 {
            return Some(f64::NAN);
        }
        let (sum, squares) = (state.sum(0), state.sum(1));
        let spread = spread(rows, &sum, &squares);
        match self.figure {
            MomentFigure::Variance { sample } => Some(spread.rounded().over(divisor(rows, sample)).value()),
            MomentFigure::Deviation { sample } => {
                Some(spread.rounded().over(divisor(rows, sample)).square_root().value())
            }
            MomentFigure::Skewness | MomentFigure::Kurtosis if spread.is_zero() => None,
            MomentFigure::Skewness => Some(skewness(rows, &sum, &squares, &state.sum(2), &spread)),
            MomentFigure::Kurtosis => {
                Some(kurtosis(rows, [&sum, &squares, &state.sum(2), &state.sum(3)], &spread))
            }
        }
    }
}

/// Of sums s1, s2, s3: (n² s3 - 3 n s1 s2 + 2 s1³) / spread^(3/2).
fn skewness(rows: i64, sum: &Exact, squares: &Exact, cubes: &Exact, spread: &Exact) -> f64 {
    let (n, times) = (Exact::whole(rows), |factor| Exact::whole(factor));
    let third = n.times(&n).times(cubes);
    let third = third.minus(&times(3).times(&n).times(sum).times(squares));
    let third = third.plus(&times(2).times(sum).times(sum).times(sum));
    let spread = spread.rounded();
    third.rounded().over(spread.times(spread.square_root())).value()
}

/// Of sums s1 to s4: (n³ s4 - 4 n² s1 s3 + 6 n s1² s2 - 3 s1⁴ - 3 spread²) / spread².
fn kurtosis(rows: i64, [s1, s2, s3, s4]: [&Exact; 4], spread: &Exact) -> f64 {
    let (n, times) = (Exact::whole(rows), |factor| Exact::whole(factor));
    let fourth = n.times(&n).times(&n).times(s4);
    let fourth = fourth.minus(&times(4).times(&n).times(&n).times(s1).times(s3));
    let fourth = fourth.plus(&times(6).times(&n).times(s1).times(s1).times(s2));
    let fourth = fourth.minus(&times(3).times(s1).times(s1).times(s1).times(s1));
    let square = spread.times(spread);
    fourth.minus(&times(3).times(&square)).rounded().over(square.rounded()).value()
}

impl<const POWERS: usize> Fold for Moments<POWERS> {
    type State = Sums<POWERS>;
    type Column<'a> = Numbers<'a>;
    type Builder = Vec<Option<f64>>;
    const INVERSE: bool = true;
    const OWES: bool = true;

    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<Numbers<'a>> {
        arguments.first().and_then(Numbers::of)
    }

    fn insert(&self, state: &mut Self::State, column: &Numbers<'_>, row: usize, _place: Place) {
        match column.get(row) {
            Some(Number::Finite(number)) => state.change(Some(&powers(&number)), false),
            Some(Number::Strange) => state.change(None, false),
            None => {}
        }
    }

    fn remove(&self, state: &mut Self::State, column: &Numbers<'_>, row: usize, _place: Place) {
        match column.get(row) {
            Some(Number::Finite(number)) => state.change(Some(&powers(&number)), true),
            Some(Number::Strange) => state.change(None, true),
            None => {}
        }
    }

    fn merge(&self, into: &mut Self::State, other: &Self::State) {
        into.combine(other, false);
    }

    fn unmerge(&self, from: &mut Self::State, leaving: &Self::State) {
        from.combine(leaving, true);
    }

    fn builder(&self, capacity: usize) -> Self::Builder {
        Vec::with_capacity(capacity)
    }

    fn push(&self, state: &Self::State, _as_of: i64, builder: &mut Self::Builder) -> Result<(), String> {
        builder.push(self.value(state));
        Ok(())
    }

    fn build(&self, builder: Self::Builder) -> ArrayRef {
        Arc::new(Float64Array::from(builder))
    }

    fn encode(&self, state: &Self::State, out: &mut Vec<u8>) {
        state.encode(out);
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Option<Self::State> {
        Sums::decode(reader)
    }

    fn heap_bytes(&self, state: &Self::State) -> usize {
        state.heap_bytes()
    }
}
