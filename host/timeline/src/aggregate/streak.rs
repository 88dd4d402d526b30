//! `STREAK` and `LONGEST_STREAK`: runs of equal values in order of time.
//!
//! A state knows the runs at the two ends of its stretch of time, so that one that goes on in the next stretch is
//! counted whole when they are joined.

use super::call::{Call, Descriptor, Duplicates, aggregate};
use super::catalog::{BuiltinDoc, BuiltinError};
use super::cell::{Cell, Cells};
use super::fold::{Fold, Place};
use super::value::Value;
use super::{Aggregate, Algebra};
use crate::bytes::{self, Reader};
use arrow_array::{ArrayRef, Int64Array};
use arrow_schema::DataType;
use std::sync::Arc;

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
            algebra: Algebra::Ordered,
            inverse: false,
            bounded: true,
            nulls: "skipped, and end no run; 0 of no values",
        },
        takes: "one column of numbers, booleans, times, dates, text or bytes",
        distinct: Duplicates::Counted,
        bind,
    }
}

pub(super) const BUILTINS: &[Descriptor] = &[
    descriptor(
        "STREAK",
        "STREAK(x)",
        "how many of the last values in order of time are equal to the last",
        |call| bind(call, false),
    ),
    descriptor(
        "LONGEST_STREAK",
        "LONGEST_STREAK(x)",
        "the most values in a row, in order of time, that are equal",
        |call| bind(call, true),
    ),
];

fn bind(call: &Call<'_>, longest: bool) -> Result<Arc<dyn Aggregate>, BuiltinError> {
    call.no_parameters()?;
    call.value()?;
    Ok(aggregate(Streak { longest }, call.card(DataType::Int64, &[])))
}

/// The length of the last run or of the longest.
#[derive(Debug, Clone)]
pub(crate) struct Streak {
    longest: bool,
}

/// The runs of a stretch of time with at least one value.
#[derive(Debug, Clone)]
pub(crate) struct Runs {
    first: Cell,
    last: Cell,
    /// Lengths of the first, the last and the longest run.
    head: i64,
    tail: i64,
    longest: i64,
    /// Values in all.
    values: i64,
}

impl Runs {
    fn join(&mut self, later: &Runs) {
        let goes_on = self.last == later.first;
        if goes_on {
            self.longest = self.longest.max(self.tail.wrapping_add(later.head));
        }
        self.longest = self.longest.max(later.longest);
        if goes_on && self.head == self.values {
            self.head = self.values.wrapping_add(later.head);
        }
        let tail_is_all = goes_on && later.tail == later.values;
        self.tail = if tail_is_all { self.tail.wrapping_add(later.tail) } else { later.tail };
        self.last = later.last.clone();
        self.values = self.values.wrapping_add(later.values);
    }
}

impl Fold for Streak {
    type State = Option<Runs>;
    type Column<'a> = Cells<'a>;
    type Builder = Vec<i64>;

    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<Cells<'a>> {
        Cell::columns(arguments)
    }

    fn insert(&self, state: &mut Self::State, column: &Cells<'_>, row: usize, _place: Place) {
        let Some(value) = Cell::get(column, row).map(Cell::identity) else { return };
        match state {
            None => {
                let (first, last) = (value.clone(), value);
                *state = Some(Runs { first, last, head: 1, tail: 1, longest: 1, values: 1 });
            }
            Some(runs) => {
                let goes_on = runs.last == value;
                if goes_on && runs.head == runs.values {
                    runs.head = runs.head.wrapping_add(1);
                }
                runs.tail = if goes_on { runs.tail.wrapping_add(1) } else { 1 };
                runs.longest = runs.longest.max(runs.tail);
                runs.values = runs.values.wrapping_add(1);
                if !goes_on {
                    runs.last = value;
                }
            }
        }
    }

    fn merge(&self, into: &mut Self::State, other: &Self::State) {
        match (into.as_mut(), other) {
            (_, None) => {}
            (None, Some(later)) => *into = Some(later.clone()),
            (Some(runs), Some(later)) => runs.join(later),
        }
    }

    fn builder(&self, capacity: usize) -> Vec<i64> {
        Vec::with_capacity(capacity)
    }

    fn push(&self, state: &Self::State, _as_of: i64, builder: &mut Vec<i64>) -> Result<(), String> {
        let length = |runs: &Runs| if self.longest { runs.longest } else { runs.tail };
        builder.push(state.as_ref().map_or(0, length));
        Ok(())
    }

    fn build(&self, builder: Vec<i64>) -> ArrayRef {
        Arc::new(Int64Array::from(builder))
    }

    fn encode(&self, state: &Self::State, out: &mut Vec<u8>) {
        out.push(u8::from(state.is_some()));
        if let Some(runs) = state {
            runs.first.encode(out);
            runs.last.encode(out);
            for length in [runs.head, runs.tail, runs.longest, runs.values] {
                bytes::put_signed(length, out);
            }
        }
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Option<Self::State> {
        match reader.byte()? {
            0 => Some(None),
            1 => {
                let (first, last) = (Cell::decode(reader)?, Cell::decode(reader)?);
                let mut length = || reader.signed().filter(|length| *length > 0);
                let (head, tail, longest, values) = (length()?, length()?, length()?, length()?);
                Some(Some(Runs { first, last, head, tail, longest, values }))
            }
            _ => None,
        }
    }

    fn heap_bytes(&self, state: &Self::State) -> usize {
        state.as_ref().map_or(0, |runs| runs.first.heap_bytes() + runs.last.heap_bytes())
    }
}
