//! Covariance and correlation of two columns, over the rows where neither is null.
//!
//! As with the moments of one column, the sums are exact and the formulas are, up to the last division or root.

use super::big::Term;
use super::call::{Call, Descriptor, Duplicates, aggregate, is_number};
use super::catalog::{BuiltinDoc, BuiltinError};
use super::fold::{Fold, Place};
use super::moments::{Number, Numbers, Sums, divisor, spread};
use super::{Aggregate, Algebra};
use crate::bytes::Reader;
use arrow_array::{ArrayRef, Float64Array};
use arrow_schema::DataType;
use std::sync::Arc;

const fn descriptor(
    name: &'static str,
    signature: &'static str,
    does: &'static str,
    nulls: &'static str,
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
        takes: "two columns of int, bigint, float, double or decimal",
        distinct: Duplicates::Counted,
        bind,
    }
}

pub(super) const BUILTINS: &[Descriptor] = &[
    descriptor(
        "COVAR_POP",
        "COVAR_POP(y, x)",
        "the covariance of the pairs as a whole population",
        "pairs with a null are ignored; null of no pairs",
        |call| bind::<3>(call, ComomentFigure::Covariance { sample: false }),
    ),
    descriptor(
        "COVAR_SAMP",
        "COVAR_SAMP(y, x)",
        "the covariance that the pairs, as a sample, suggest",
        "pairs with a null are ignored; null of fewer than two pairs",
        |call| bind::<3>(call, ComomentFigure::Covariance { sample: true }),
    ),
    descriptor(
        "CORR",
        "CORR(y, x)",
        "the correlation of the pairs, from -1 to 1",
        "pairs with a null are ignored; null of no pairs or where one column does not vary",
        |call| bind::<5>(call, ComomentFigure::Correlation),
    ),
];

fn bind<const SUMS: usize>(
    call: &Call<'_>,
    figure: ComomentFigure,
) -> Result<Arc<dyn Aggregate>, BuiltinError> {
    call.no_parameters()?;
    if call.arguments.len() != 2 || !call.arguments.iter().all(is_number) {
        return Err(call.wrong_arguments());
    }
    Ok(aggregate(Comoments::<SUMS> { figure }, call.card(DataType::Float64, &[])))
}

#[derive(Debug, Clone, Copy)]
enum ComomentFigure {
    Covariance { sample: bool },
    Correlation,
}

/// A figure of two columns. The sums are of a, b and a b, and for a correlation also of a² and b².
#[derive(Debug, Clone)]
pub(crate) struct Comoments<const SUMS: usize> {
    figure: ComomentFigure,
}

impl<const SUMS: usize> Comoments<SUMS> {
    fn value(&self, state: &Sums<SUMS>) -> Option<f64> {
        let rows = state.rows;
        let sample = matches!(self.figure, ComomentFigure::Covariance { sample: true });
        if rows < 1 + i64::from(sample) {
            return None;
        }
        if state.strange != 0 {
            return Some(f64::NAN);
        }
        let (a, b, products) = (state.sum(0), state.sum(1), state.sum(2));
        let joint = super::big::Exact::whole(rows).times(&products).minus(&a.times(&b));
        match self.figure {
            ComomentFigure::Covariance { sample } => {
                Some(joint.rounded().over(divisor(rows, sample)).value())
            }
            ComomentFigure::Correlation => {
                let spreads = spread(rows, &a, &state.sum(3)).times(&spread(rows, &b, &state.sum(4)));
                // Rounding may lead past the bounds that the exact value keeps.
                let value = || joint.rounded().over(spreads.rounded().square_root()).value().clamp(-1.0, 1.0);
                (!spreads.is_zero()).then(value)
            }
        }
    }

    fn change(state: &mut Sums<SUMS>, columns: &[Numbers<'_>; 2], row: usize, takes_out: bool) {
        let (Some(a), Some(b)) = (columns[0].get(row), columns[1].get(row)) else { return };
        let (Number::Finite(a), Number::Finite(b)) = (a, b) else { return state.change(None, takes_out) };
        let terms: [Term; SUMS] = std::array::from_fn(|at| match at {
            0 => a,
            1 => b,
            2 => a.times(&b),
            3 => a.times(&a),
            _ => b.times(&b),
        });
        state.change(Some(&terms), takes_out);
    }
}

impl<const SUMS: usize> Fold for Comoments<SUMS> {
    type State = Sums<SUMS>;
    type Column<'a> = [Numbers<'a>; 2];
    type Builder = Vec<Option<f64>>;
    const INVERSE: bool = true;
    const OWES: bool = true;

    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<Self::Column<'a>> {
        match arguments {
            [a, b] => Some([Numbers::of(a)?, Numbers::of(b)?]),
            _ => None,
        }
    }

    fn insert(&self, state: &mut Self::State, columns: &Self::Column<'_>, row: usize, _place: Place) {
        Self::change(state, columns, row, false);
    }

    fn remove(&self, state: &mut Self::State, columns: &Self::Column<'_>, row: usize, _place: Place) {
        Self::change(state, columns, row, true);
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
