//! The aggregates under test: the built-in ones, one that depends on order, and one that depends on how it is cut.

use super::figures;
use super::model::Row;
use crate::aggregate::fold::{Builtin, Fold, Place};
use crate::aggregate::value::{Double, Doubles, Value, Wholes};
use crate::bytes::{self, Reader};
use crate::{
    Aggregate, AggregateError, AggregateSpec, Algebra, Card, Inserted, Parameter, Rows, Slot, Timelines,
    builtin,
};
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringViewArray,
};
use arrow_schema::DataType;
use std::sync::Arc;
use weir_event::Rank;

/// Columns of the stage: whole, double, text, flag, one that nothing uses, and the wholes as decimals.
pub(super) fn inputs() -> Vec<DataType> {
    vec![
        DataType::Int64,
        DataType::Float64,
        DataType::Utf8View,
        DataType::Boolean,
        DataType::Date32,
        DataType::Decimal128(38, 20),
    ]
}

/// The decimal of a whole number: one of more than 64 bits.
pub(super) fn decimal(whole: i64) -> i128 {
    i128::from(whole) * 123_456_789_012_345_678_901
}

/// Inserts rows of these slots as one batch, in their order, of a partition that the boundary follows.
pub(super) fn insert_batch(
    timelines: &mut Timelines,
    slots: &[Slot],
    times: &[i64],
    ranks: &[Rank],
    columns: &[ArrayRef],
) -> Result<Inserted, AggregateError> {
    let rows: Vec<u32> = (0..times.len() as u32).collect();
    let watermark = timelines.settled();
    timelines.insert(&Rows { slots, rows: &rows, times, ranks, columns, watermark })
}

/// The columns of some rows.
pub(super) fn columns(rows: &[Row]) -> Vec<ArrayRef> {
    let decimals: Decimal128Array = rows.iter().map(|row| row.whole.map(decimal)).collect();
    vec![
        Arc::new(rows.iter().map(|row| row.whole).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.double).collect::<Float64Array>()),
        Arc::new(rows.iter().map(|row| row.text.clone()).collect::<StringViewArray>()),
        Arc::new(rows.iter().map(|row| row.flag).collect::<BooleanArray>()),
        Arc::new(Date32Array::from(vec![0; rows.len()])),
        Arc::new(decimals.with_data_type(inputs()[5].clone())),
    ]
}

/// The aggregates, in the order of the oracle's values; their frames go round.
pub(super) fn aggregates(frames: usize) -> Vec<AggregateSpec> {
    let types = inputs();
    let of = |name: &str, distinct, argument: Option<usize>, parameters: &[Parameter]| {
        let argument_types: Vec<DataType> = argument.iter().map(|at| types[*at].clone()).collect();
        builtin(name, distinct, &argument_types, parameters).unwrap()
    };
    let text = |value: &str| Parameter::Text(value.to_owned());
    let calls: Vec<Call> = vec![
        (of("COUNT", false, None, &[]), None, false),
        (of("COUNT", false, Some(2), &[]), Some(2), false),
        (of("SUM", false, Some(0), &[]), Some(0), true),
        (of("SUM", false, Some(1), &[]), Some(1), false),
        (of("AVG", false, Some(0), &[]), Some(0), false),
        (of("MIN", false, Some(1), &[]), Some(1), false),
        (of("MAX", false, Some(1), &[]), Some(1), false),
        (of("MIN", false, Some(2), &[]), Some(2), false),
        (of("MAX", false, Some(3), &[]), Some(3), false),
        (of("FIRST_VALUE", false, Some(2), &[]), Some(2), false),
        (of("LAST_VALUE", false, Some(0), &[]), Some(0), true),
        (of("TOP", false, Some(2), &[Parameter::Int(3)]), Some(2), false),
        (of("TOP", false, Some(0), &[Parameter::Int(2), text("desc")]), Some(0), true),
        (of("COUNT", true, Some(2), &[]), Some(2), false),
        (of("COUNT", true, Some(1), &[]), Some(1), false),
        (of("SUM", false, Some(5), &[]), Some(5), false),
        (of("MAX", false, Some(5), &[]), Some(5), false),
        (of("LAST_VALUE", false, Some(5), &[]), Some(5), true),
        (tester(Chain, Algebra::Ordered, DataType::Int64), Some(0), false),
        (tester(Adder, Algebra::Approximate, DataType::Float64), Some(1), false),
    ];
    let basic = calls.into_iter().map(|(function, argument, filtered)| {
        let arguments: Vec<usize> = argument.into_iter().collect();
        (function, arguments, filtered)
    });
    let spec = |(at, (function, arguments, filtered)): (usize, (_, Vec<usize>, bool))| AggregateSpec {
        function,
        arguments,
        filter: filtered.then_some(3),
        frame: at % frames,
        edits: None,
    };
    basic.chain(figures::calls(&types)).enumerate().map(spec).collect()
}

/// Function, argument, and whether it has a filter.
type Call = (Arc<dyn Aggregate>, Option<usize>, bool);

fn tester<F: Fold>(fold: F, algebra: Algebra, result: DataType) -> Arc<dyn Aggregate> {
    let card =
        Card { algebra, inverse: false, bounded: true, result, identity: "tester#1".to_owned(), nulls: "" };
    Arc::new(Builtin { fold, card, selection: None })
}

/// A hash of the values in their order.
#[derive(Debug, Clone)]
struct Chain;

impl Fold for Chain {
    /// The hash, and 31 to the number of values.
    type State = Option<(i64, i64)>;
    type Column<'a> = Wholes<'a>;
    type Builder = Vec<i64>;

    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<Wholes<'a>> {
        arguments.first().and_then(<i64 as Value>::column)
    }

    fn insert(&self, state: &mut Self::State, column: &Wholes<'_>, row: usize, _place: Place) {
        if let Some(value) = <i64 as Value>::get(column, row) {
            self.merge(state, &Some((value + 7, 31)));
        }
    }

    fn merge(&self, into: &mut Self::State, other: &Self::State) {
        let ((hash, factor), Some((later, later_factor))) = (into.unwrap_or((0, 1)), *other) else { return };
        *into =
            Some((hash.wrapping_mul(later_factor).wrapping_add(later), factor.wrapping_mul(later_factor)));
    }

    fn builder(&self, _capacity: usize) -> Vec<i64> {
        Vec::new()
    }

    fn push(&self, state: &Self::State, _as_of: i64, builder: &mut Vec<i64>) -> Result<(), String> {
        builder.push(state.map_or(0, |(hash, _)| hash));
        Ok(())
    }

    fn build(&self, builder: Vec<i64>) -> ArrayRef {
        Arc::new(Int64Array::from(builder))
    }

    fn encode(&self, state: &Self::State, out: &mut Vec<u8>) {
        let (hash, factor) = state.unwrap_or((0, 1));
        bytes::put_signed(hash, out);
        bytes::put_signed(factor, out);
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Option<Self::State> {
        Some(Some((reader.signed()?, reader.signed()?)))
    }
}

/// A sum whose last bits depend on how it is bracketed.
#[derive(Debug, Clone)]
struct Adder;

impl Fold for Adder {
    type State = f64;
    type Column<'a> = Doubles<'a>;
    type Builder = Vec<f64>;

    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<Doubles<'a>> {
        arguments.first().and_then(<Double as Value>::column)
    }

    fn insert(&self, state: &mut f64, column: &Doubles<'_>, row: usize, place: Place) {
        // As if every row was another one, of a magnitude that its place gives.
        let value = column.get(row).filter(|value| value.is_finite()).unwrap_or(0.0);
        *state += value * 1.1 * 10_f64.powi((place.time % 7) as i32 * 3);
    }

    fn merge(&self, into: &mut f64, other: &f64) {
        *into += other;
    }

    fn builder(&self, _capacity: usize) -> Vec<f64> {
        Vec::new()
    }

    fn push(&self, state: &f64, _as_of: i64, builder: &mut Vec<f64>) -> Result<(), String> {
        builder.push(*state);
        Ok(())
    }

    fn build(&self, builder: Vec<f64>) -> ArrayRef {
        Arc::new(Float64Array::from(builder))
    }

    fn encode(&self, state: &f64, out: &mut Vec<u8>) {
        out.extend_from_slice(&state.to_le_bytes());
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Option<f64> {
        reader.double()
    }
}
