//! `AVG`: a double whatever the argument. The exact sum, rounded, over the number of values; null if there is none.

use super::Algebra;
use super::call::{Descriptor, Duplicates, aggregate};
use super::catalog::BuiltinDoc;
use super::decimal::{DecimalTotal, nearest_double};
use super::fold::{Fold, Place};
use super::sum::{DecimalSum, DoubleSum, DoubleTotal, WholeSum, WholeTotal};
use crate::bytes::Reader;
use arrow_array::{ArrayRef, Float64Array};
use arrow_schema::DataType;
use std::sync::Arc;

pub(super) const BUILTINS: &[Descriptor] = &[Descriptor {
    doc: BuiltinDoc {
        name: "AVG",
        aliases: &["MEAN"],
        signature: "AVG(x)",
        does: "the mean, a double: the exact sum, rounded, over the number of values",
        algebra: Algebra::Exact,
        inverse: true,
        bounded: true,
        nulls: "skipped; null of no values",
    },
    takes: "one column of int, bigint, float, double or decimal",
    distinct: Duplicates::Counted,
    bind: |call| {
        call.no_parameters()?;
        let card = call.card(DataType::Float64, &[]);
        Ok(match call.number()? {
            DataType::Int32 | DataType::Int64 => aggregate(Average(WholeSum), card),
            DataType::Decimal128(_, scale) => aggregate(Average(DecimalSum { scale: *scale }), card),
            _ => aggregate(Average(DoubleSum), card),
        })
    },
}];

/// The mean over the state of a sum.
#[derive(Debug, Clone)]
pub(crate) struct Average<S>(pub(crate) S);

/// A sum whose states have a mean.
pub(crate) trait Mean: Fold {
    /// `None` of no values.
    fn mean(&self, state: &Self::State) -> Option<f64>;
}

impl Mean for WholeSum {
    fn mean(&self, state: &WholeTotal) -> Option<f64> {
        (state.count > 0).then(|| state.sum() as f64 / state.count as f64)
    }
}

impl Mean for DoubleSum {
    fn mean(&self, state: &DoubleTotal) -> Option<f64> {
        (state.count > 0).then(|| state.sum.value() / state.count as f64)
    }
}

impl Mean for DecimalSum {
    fn mean(&self, state: &DecimalTotal) -> Option<f64> {
        (state.count > 0).then(|| nearest_double(state.sum(), self.scale) / state.count as f64)
    }
}

macro_rules! average_over {
    ($sum:ty) => {
        impl Fold for Average<$sum> {
            type State = <$sum as Fold>::State;
            type Column<'a> = <$sum as Fold>::Column<'a>;
            type Builder = Vec<Option<f64>>;
            const INVERSE: bool = true;
            const OWES: bool = true;

            fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<Self::Column<'a>> {
                self.0.column(arguments)
            }

            fn insert(&self, state: &mut Self::State, column: &Self::Column<'_>, row: usize, place: Place) {
                self.0.insert(state, column, row, place);
            }

            fn remove(&self, state: &mut Self::State, column: &Self::Column<'_>, row: usize, place: Place) {
                self.0.remove(state, column, row, place);
            }

            fn merge(&self, into: &mut Self::State, other: &Self::State) {
                self.0.merge(into, other);
            }

            fn unmerge(&self, from: &mut Self::State, leaving: &Self::State) {
                self.0.unmerge(from, leaving);
            }

            fn builder(&self, capacity: usize) -> Self::Builder {
                Vec::with_capacity(capacity)
            }

            fn push(
                &self,
                state: &Self::State,
                _as_of: i64,
                builder: &mut Self::Builder,
            ) -> Result<(), String> {
                builder.push(self.0.mean(state));
                Ok(())
            }

            fn build(&self, builder: Self::Builder) -> ArrayRef {
                Arc::new(Float64Array::from(builder))
            }

            fn encode(&self, state: &Self::State, out: &mut Vec<u8>) {
                self.0.encode(state, out);
            }

            fn decode(&self, reader: &mut Reader<'_>) -> Option<Self::State> {
                self.0.decode(reader)
            }

            fn heap_bytes(&self, state: &Self::State) -> usize {
                self.0.heap_bytes(state)
            }
        }
    };
}

average_over!(WholeSum);
average_over!(DoubleSum);
average_over!(DecimalSum);
