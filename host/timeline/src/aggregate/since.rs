//! `TIME_SINCE_FIRST`, `TIME_SINCE_LAST` and `GAP_AVG`: what follows from the number of rows and the times of the
//! first and the last.

use super::call::{Call, Descriptor, Duplicates, aggregate};
use super::catalog::{BuiltinDoc, BuiltinError};
use super::fold::{Fold, Place};
use super::{Aggregate, Algebra};
use crate::bytes::{self, Reader};
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array};
use arrow_schema::DataType;
use std::sync::Arc;

/// What becomes of nulls where an argument only says which rows count.
pub(super) const NULLS: &str = "without an argument every row counts, with one those where it is not null";

const fn descriptor(
    name: &'static str,
    signature: &'static str,
    does: &'static str,
    bind: fn(&Call<'_>) -> Result<Arc<dyn Aggregate>, BuiltinError>,
) -> Descriptor {
    Descriptor {
        doc: BuiltinDoc {
            name,
            aliases: &[],
            signature,
            does,
            algebra: Algebra::Exact,
            inverse: false,
            bounded: true,
            nulls: NULLS,
        },
        takes: "no column or one",
        distinct: Duplicates::Counted,
        bind,
    }
}

pub(super) const BUILTINS: &[Descriptor] = &[
    descriptor(
        "TIME_SINCE_FIRST",
        "TIME_SINCE_FIRST([x])",
        "milliseconds from the first row to the time that is asked for; null of no rows",
        |call| bind(call, SinceFigure::SinceFirst, DataType::Int64),
    ),
    descriptor(
        "TIME_SINCE_LAST",
        "TIME_SINCE_LAST([x])",
        "milliseconds from the last row to the time that is asked for; null of no rows",
        |call| bind(call, SinceFigure::SinceLast, DataType::Int64),
    ),
    descriptor(
        "GAP_AVG",
        "GAP_AVG([x])",
        "the mean time between a row and the next, in milliseconds; null of fewer than two rows",
        |call| bind(call, SinceFigure::Gap, DataType::Float64),
    ),
];

fn bind(call: &Call<'_>, figure: SinceFigure, result: DataType) -> Result<Arc<dyn Aggregate>, BuiltinError> {
    call.no_parameters()?;
    if call.arguments.len() > 1 {
        return Err(call.wrong_arguments());
    }
    Ok(aggregate(Reach { figure }, call.card(result, &[])))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SinceFigure {
    SinceFirst,
    SinceLast,
    Gap,
}

/// A figure of the first and the last time.
#[derive(Debug, Clone)]
pub(crate) struct Reach {
    figure: SinceFigure,
}

/// Rows, and the times of the first and the last, milliseconds.
#[derive(Debug, Clone)]
pub(crate) struct Times {
    rows: i64,
    first: i64,
    last: i64,
}

impl Times {
    fn extend(state: &mut Option<Times>, other: &Times) {
        let Some(state) = state else {
            *state = Some(other.clone());
            return;
        };
        state.rows = state.rows.wrapping_add(other.rows);
        state.first = state.first.min(other.first);
        state.last = state.last.max(other.last);
    }

    fn gap(&self) -> Option<f64> {
        let gaps = self.rows - 1;
        (gaps > 0).then(|| (i128::from(self.last) - i128::from(self.first)) as f64 / gaps as f64)
    }
}

/// Whether a row counts: where there is a column with nulls, those where it is not null.
pub(crate) fn counts(column: Option<&ArrayRef>, row: usize) -> bool {
    column.is_none_or(|array| array.is_valid(row))
}

/// Milliseconds, whole or as doubles: only one of them is filled.
pub(crate) type Millis = (Vec<Option<i64>>, Vec<Option<f64>>);

/// The column of what is filled.
pub(crate) fn millis_array((wholes, doubles): Millis, are_doubles: bool) -> ArrayRef {
    if are_doubles { Arc::new(Float64Array::from(doubles)) } else { Arc::new(Int64Array::from(wholes)) }
}

impl Fold for Reach {
    type State = Option<Times>;
    type Column<'a> = Option<&'a ArrayRef>;
    type Builder = Millis;

    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<Self::Column<'a>> {
        Some(arguments.first())
    }

    fn insert(&self, state: &mut Self::State, column: &Self::Column<'_>, row: usize, place: Place) {
        if counts(*column, row) {
            Times::extend(state, &Times { rows: 1, first: place.time, last: place.time });
        }
    }

    fn merge(&self, into: &mut Self::State, other: &Self::State) {
        if let Some(other) = other {
            Times::extend(into, other);
        }
    }

    fn builder(&self, _capacity: usize) -> Millis {
        Millis::default()
    }

    fn push(&self, state: &Self::State, as_of: i64, (wholes, doubles): &mut Millis) -> Result<(), String> {
        let state = state.as_ref();
        match self.figure {
            SinceFigure::SinceFirst => wholes.push(state.map(|times| as_of.saturating_sub(times.first))),
            SinceFigure::SinceLast => wholes.push(state.map(|times| as_of.saturating_sub(times.last))),
            SinceFigure::Gap => doubles.push(state.and_then(Times::gap)),
        }
        Ok(())
    }

    fn build(&self, builder: Millis) -> ArrayRef {
        millis_array(builder, self.figure == SinceFigure::Gap)
    }

    fn encode(&self, state: &Self::State, out: &mut Vec<u8>) {
        out.push(u8::from(state.is_some()));
        if let Some(times) = state {
            [times.rows, times.first, times.last].into_iter().for_each(|it| bytes::put_signed(it, out));
        }
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Option<Self::State> {
        match reader.byte()? {
            0 => Some(None),
            1 => {
                let rows = reader.signed().filter(|rows| *rows > 0)?;
                Some(Some(Times { rows, first: reader.signed()?, last: reader.signed()? }))
            }
            _ => None,
        }
    }
}
