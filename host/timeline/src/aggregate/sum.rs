//! `SUM`: of whole numbers a bigint, of floats and doubles an exact double, of decimals a decimal of their scale and
//! 38 digits. Null if there was no value.

use super::Algebra;
use super::call::{Descriptor, Duplicates, aggregate};
use super::catalog::BuiltinDoc;
use super::decimal::{Decimal, DecimalTotal};
use super::exact::ExactSum;
use super::fold::{Fold, Place};
use super::value::{Double, Doubles, Value, Wholes};
use crate::bytes::{self, Reader};
use arrow_array::{ArrayRef, Decimal128Array, Float64Array, Int64Array};
use arrow_schema::{DECIMAL128_MAX_PRECISION, DataType};
use std::sync::Arc;

pub(super) const BUILTINS: &[Descriptor] = &[Descriptor {
    doc: BuiltinDoc {
        name: "SUM",
        aliases: &[],
        signature: "SUM(x)",
        does: "the sum: of whole numbers a bigint, of decimals a decimal of 38 digits, an error where it overflows; of doubles exact until it is rounded once",
        algebra: Algebra::Exact,
        inverse: true,
        bounded: true,
        nulls: "skipped; null of no values",
    },
    takes: "one column of int, bigint, float, double or decimal",
    distinct: Duplicates::Counted,
    bind: |call| {
        call.no_parameters()?;
        Ok(match call.number()? {
            DataType::Int32 | DataType::Int64 => aggregate(WholeSum, call.card(DataType::Int64, &[])),
            DataType::Decimal128(_, scale) => {
                let sum = DecimalSum { scale: *scale };
                let card = call.card(sum.data_type(), &[]);
                aggregate(sum, card)
            }
            _ => aggregate(DoubleSum, call.card(DataType::Float64, &[])),
        })
    },
}];

/// Sum of int or bigint. It is kept with 128 bits, so that values that leave a frame bring a sum back into range.
#[derive(Debug, Clone)]
pub(crate) struct WholeSum;

/// Sum and number of whole numbers.
#[derive(Debug, Clone, Default)]
pub(crate) struct WholeTotal {
    // Not an i128, whose alignment would make every state larger.
    low: u64,
    high: i64,
    pub(crate) count: i64,
}

impl WholeTotal {
    pub(crate) fn sum(&self) -> i128 {
        i128::from(self.high) << 64 | i128::from(self.low)
    }

    pub(crate) fn add(&mut self, sum: i128, count: i64) {
        let sum = self.sum().wrapping_add(sum);
        (self.low, self.high) = (sum as u64, (sum >> 64) as i64);
        self.count += count;
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        bytes::put_signed(self.count, out);
        bytes::put_unsigned(self.low, out);
        bytes::put_signed(self.high, out);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<WholeTotal> {
        let count = reader.signed()?;
        Some(WholeTotal { count, low: reader.unsigned()?, high: reader.signed()? })
    }
}

impl Fold for WholeSum {
    type State = WholeTotal;
    type Column<'a> = Wholes<'a>;
    type Builder = Vec<Option<i64>>;
    const INVERSE: bool = true;
    const OWES: bool = true;

    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<Wholes<'a>> {
        arguments.first().and_then(<i64 as Value>::column)
    }

    fn insert(&self, state: &mut WholeTotal, column: &Wholes<'_>, row: usize, _place: Place) {
        if let Some(value) = <i64 as Value>::get(column, row) {
            state.add(i128::from(value), 1);
        }
    }

    fn remove(&self, state: &mut WholeTotal, column: &Wholes<'_>, row: usize, _place: Place) {
        if let Some(value) = <i64 as Value>::get(column, row) {
            state.add(-i128::from(value), -1);
        }
    }

    fn merge(&self, into: &mut WholeTotal, other: &WholeTotal) {
        into.add(other.sum(), other.count);
    }

    fn unmerge(&self, from: &mut WholeTotal, leaving: &WholeTotal) {
        from.add(leaving.sum().wrapping_neg(), -leaving.count);
    }

    fn builder(&self, capacity: usize) -> Self::Builder {
        Vec::with_capacity(capacity)
    }

    fn push(&self, state: &WholeTotal, _as_of: i64, builder: &mut Self::Builder) -> Result<(), String> {
        let sum = i64::try_from(state.sum());
        builder.push(sum.ok().filter(|_| state.count > 0));
        match sum {
            Ok(_) => Ok(()),
            Err(_) => Err(format!("SUM overflows bigint: {} values add up to {}", state.count, state.sum())),
        }
    }

    fn build(&self, builder: Self::Builder) -> ArrayRef {
        Arc::new(Int64Array::from(builder))
    }

    fn encode(&self, state: &WholeTotal, out: &mut Vec<u8>) {
        state.encode(out);
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Option<WholeTotal> {
        WholeTotal::decode(reader)
    }
}

/// Exact sum and number of doubles.
#[derive(Debug, Clone, Default)]
pub(crate) struct DoubleTotal {
    pub(crate) sum: ExactSum,
    pub(crate) count: i64,
}

impl DoubleTotal {
    pub(crate) fn add(&mut self, value: f64) {
        self.sum.add(value);
        self.count += 1;
    }

    pub(crate) fn subtract(&mut self, value: f64) {
        self.sum.subtract(value);
        self.count -= 1;
    }

    pub(crate) fn combine(&mut self, other: &DoubleTotal, sign: i64) {
        self.sum.combine(&other.sum, sign);
        self.count += sign * other.count;
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        bytes::put_signed(self.count, out);
        self.sum.encode(out);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<DoubleTotal> {
        let count = reader.signed()?;
        Some(DoubleTotal { count, sum: ExactSum::decode(reader)? })
    }
}

/// Sum of floats or doubles.
#[derive(Debug, Clone)]
pub(crate) struct DoubleSum;

impl Fold for DoubleSum {
    type State = DoubleTotal;
    type Column<'a> = Doubles<'a>;
    type Builder = Vec<Option<f64>>;
    const INVERSE: bool = true;
    const OWES: bool = true;

    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<Doubles<'a>> {
        arguments.first().and_then(<Double as Value>::column)
    }

    fn insert(&self, state: &mut DoubleTotal, column: &Doubles<'_>, row: usize, _place: Place) {
        if let Some(value) = column.get(row) {
            state.add(value);
        }
    }

    fn remove(&self, state: &mut DoubleTotal, column: &Doubles<'_>, row: usize, _place: Place) {
        if let Some(value) = column.get(row) {
            state.subtract(value);
        }
    }

    fn merge(&self, into: &mut DoubleTotal, other: &DoubleTotal) {
        into.combine(other, 1);
    }

    fn unmerge(&self, from: &mut DoubleTotal, leaving: &DoubleTotal) {
        from.combine(leaving, -1);
    }

    fn builder(&self, capacity: usize) -> Self::Builder {
        Vec::with_capacity(capacity)
    }

    fn push(&self, state: &DoubleTotal, _as_of: i64, builder: &mut Self::Builder) -> Result<(), String> {
        builder.push((state.count > 0).then(|| state.sum.value()));
        Ok(())
    }

    fn build(&self, builder: Self::Builder) -> ArrayRef {
        Arc::new(Float64Array::from(builder))
    }

    fn encode(&self, state: &DoubleTotal, out: &mut Vec<u8>) {
        state.encode(out);
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Option<DoubleTotal> {
        DoubleTotal::decode(reader)
    }

    fn heap_bytes(&self, state: &DoubleTotal) -> usize {
        state.sum.heap_bytes()
    }
}

/// Sum of decimals, of their scale and as many digits as there can be.
#[derive(Debug, Clone)]
pub(crate) struct DecimalSum {
    pub(crate) scale: i8,
}

impl DecimalSum {
    pub(crate) fn data_type(&self) -> DataType {
        DataType::Decimal128(DECIMAL128_MAX_PRECISION, self.scale)
    }
}

impl Fold for DecimalSum {
    type State = DecimalTotal;
    type Column<'a> = &'a Decimal128Array;
    type Builder = Vec<Option<i128>>;
    const INVERSE: bool = true;
    const OWES: bool = true;

    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<&'a Decimal128Array> {
        arguments.first().and_then(Decimal::column)
    }

    fn insert(&self, state: &mut DecimalTotal, column: &&Decimal128Array, row: usize, _place: Place) {
        if let Some(value) = Decimal::get(column, row) {
            state.add(value);
        }
    }

    fn remove(&self, state: &mut DecimalTotal, column: &&Decimal128Array, row: usize, _place: Place) {
        if let Some(value) = Decimal::get(column, row) {
            state.subtract(value);
        }
    }

    fn merge(&self, into: &mut DecimalTotal, other: &DecimalTotal) {
        into.combine(other);
    }

    fn unmerge(&self, from: &mut DecimalTotal, leaving: &DecimalTotal) {
        from.take_out(leaving);
    }

    fn builder(&self, capacity: usize) -> Self::Builder {
        Vec::with_capacity(capacity)
    }

    fn push(&self, state: &DecimalTotal, _as_of: i64, builder: &mut Self::Builder) -> Result<(), String> {
        const LIMIT: u128 = 10_u128.pow(DECIMAL128_MAX_PRECISION as u32);
        let sum = state.sum().to_i128().filter(|sum| sum.unsigned_abs() < LIMIT);
        builder.push(sum.filter(|_| state.count > 0));
        match sum {
            Some(_) => Ok(()),
            None => Err(format!(
                "SUM overflows decimal({DECIMAL128_MAX_PRECISION}, {}): {} values add up to more digits",
                self.scale, state.count
            )),
        }
    }

    fn build(&self, builder: Self::Builder) -> ArrayRef {
        Arc::new(Decimal128Array::from(builder).with_data_type(self.data_type()))
    }

    fn encode(&self, state: &DecimalTotal, out: &mut Vec<u8>) {
        state.encode(out);
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Option<DecimalTotal> {
        DecimalTotal::decode(reader)
    }
}
