//! `GAP_MIN`, `GAP_MAX` and `GAP_STDDEV`: the times between each row and the next.
//!
//! Which row is the next is known only in order: a state knows where its stretch of time begins and ends, so that
//! the gap to the stretch after it can be told when they are joined.

use super::big::Term;
use super::call::{Call, Descriptor, Duplicates, aggregate};
use super::catalog::{BuiltinDoc, BuiltinError};
use super::fold::{Fold, Place};
use super::moments::{Sums, divisor, powers, spread};
use super::since::{Millis, NULLS, counts, millis_array};
use super::{Aggregate, Algebra};
use crate::bytes::{self, Reader};
use arrow_array::ArrayRef;
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
            nulls: NULLS,
        },
        takes: "no column or one",
        distinct: Duplicates::Counted,
        bind,
    }
}

pub(super) const BUILTINS: &[Descriptor] = &[
    descriptor(
        "GAP_MIN",
        "GAP_MIN([x])",
        "the shortest time between a row and the next, in milliseconds; null of fewer than two rows",
        |call| bind(call, GapFigure::Least, DataType::Int64),
    ),
    descriptor(
        "GAP_MAX",
        "GAP_MAX([x])",
        "the longest time between a row and the next, in milliseconds; null of fewer than two rows",
        |call| bind(call, GapFigure::Greatest, DataType::Int64),
    ),
    descriptor(
        "GAP_STDDEV",
        "GAP_STDDEV([x])",
        "the standard deviation that the times between a row and the next, as a sample, suggest; null of fewer than three rows",
        |call| bind(call, GapFigure::Deviation, DataType::Float64),
    ),
];

fn bind(call: &Call<'_>, figure: GapFigure, result: DataType) -> Result<Arc<dyn Aggregate>, BuiltinError> {
    call.no_parameters()?;
    if call.arguments.len() > 1 {
        return Err(call.wrong_arguments());
    }
    Ok(aggregate(Gaps { figure }, call.card(result, &[])))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum GapFigure {
    Least,
    Greatest,
    Deviation,
}

/// A figure of the gaps.
#[derive(Debug, Clone)]
pub(crate) struct Gaps {
    figure: GapFigure,
}

/// A stretch of time with at least one row: its ends and its gaps, milliseconds.
#[derive(Debug, Clone)]
pub(crate) struct KeptGaps {
    first: i64,
    last: i64,
    least: Option<i64>,
    greatest: Option<i64>,
    /// Of the gaps and of their squares; kept for the deviation alone.
    sums: Sums<2>,
}

impl Gaps {
    fn join(&self, state: &mut Option<KeptGaps>, later: &KeptGaps) {
        let Some(stretch) = state else {
            *state = Some(later.clone());
            return;
        };
        let gap = later.first.saturating_sub(stretch.last);
        let least = [stretch.least, later.least, Some(gap)].into_iter().flatten().min();
        stretch.least = least;
        stretch.greatest = [stretch.greatest, later.greatest, Some(gap)].into_iter().flatten().max();
        stretch.last = later.last;
        if self.figure == GapFigure::Deviation {
            stretch.sums.combine(&later.sums, false);
            stretch.sums.change(Some(&powers(&Term::whole(gap))), false);
        }
    }
}

fn deviation(gaps: &Sums<2>) -> Option<f64> {
    let spread = || spread(gaps.rows, &gaps.sum(0), &gaps.sum(1)).rounded();
    (gaps.rows > 1).then(|| spread().over(divisor(gaps.rows, true)).square_root().value())
}

impl Fold for Gaps {
    type State = Option<KeptGaps>;
    type Column<'a> = Option<&'a ArrayRef>;
    type Builder = Millis;

    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<Self::Column<'a>> {
        Some(arguments.first())
    }

    fn insert(&self, state: &mut Self::State, column: &Self::Column<'_>, row: usize, place: Place) {
        if counts(*column, row) {
            let (first, last) = (place.time, place.time);
            self.join(state, &KeptGaps { first, last, least: None, greatest: None, sums: Sums::default() });
        }
    }

    fn merge(&self, into: &mut Self::State, other: &Self::State) {
        if let Some(later) = other {
            self.join(into, later);
        }
    }

    fn builder(&self, _capacity: usize) -> Millis {
        Millis::default()
    }

    fn push(&self, state: &Self::State, _as_of: i64, (wholes, doubles): &mut Millis) -> Result<(), String> {
        let state = state.as_ref();
        match self.figure {
            GapFigure::Least => wholes.push(state.and_then(|stretch| stretch.least)),
            GapFigure::Greatest => wholes.push(state.and_then(|stretch| stretch.greatest)),
            GapFigure::Deviation => doubles.push(state.and_then(|stretch| deviation(&stretch.sums))),
        }
        Ok(())
    }

    fn build(&self, builder: Millis) -> ArrayRef {
        millis_array(builder, self.figure == GapFigure::Deviation)
    }

    fn encode(&self, state: &Self::State, out: &mut Vec<u8>) {
        let Some(stretch) = state else { return out.push(0) };
        let gaps = stretch.least.zip(stretch.greatest);
        out.push(if gaps.is_some() { 2 } else { 1 });
        bytes::put_signed(stretch.first, out);
        bytes::put_signed(stretch.last, out);
        if let Some((least, greatest)) = gaps {
            bytes::put_signed(least, out);
            bytes::put_signed(greatest, out);
            stretch.sums.encode(out);
        }
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Option<Self::State> {
        let has_gaps = match reader.byte()? {
            0 => return Some(None),
            1 => false,
            2 => true,
            _ => return None,
        };
        let (first, last) = (reader.signed()?, reader.signed()?);
        let mut stretch = KeptGaps { first, last, least: None, greatest: None, sums: Sums::default() };
        if has_gaps {
            (stretch.least, stretch.greatest) = (Some(reader.signed()?), Some(reader.signed()?));
            stretch.sums = Sums::decode(reader)?;
        }
        Some(Some(stretch))
    }

    fn heap_bytes(&self, state: &Self::State) -> usize {
        state.as_ref().map_or(0, |stretch| stretch.sums.heap_bytes())
    }
}
