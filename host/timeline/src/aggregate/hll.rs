//! `APPROX_COUNT_DISTINCT`: HyperLogLog, as Apache DataSketches have it.
//!
//! Hashes and bytes are those of their Java and C++ libraries (HLL_8, 2^12 registers). The estimate that does not
//! depend on the order of values is taken, so that the value is the same however tiles are cut.

use super::Algebra;
use super::call::{Descriptor, Duplicates, aggregate};
use super::catalog::BuiltinDoc;
use super::cell::{Cell, CellRef, Cells};
use super::fold::{Fold, Place};
use super::value::Value;
use crate::bytes::{self, Reader};
use arrow_array::{ArrayRef, Int64Array};
use arrow_schema::DataType;
use datasketches::hash::value::{canonical_float, raw_bytes};
use datasketches::hll::{Coupon, HllSketch, HllType, HllUnion};
use std::sync::Arc;

pub(super) const BUILTINS: &[Descriptor] = &[Descriptor {
    doc: BuiltinDoc {
        name: "APPROX_COUNT_DISTINCT",
        aliases: &[],
        signature: "APPROX_COUNT_DISTINCT(x)",
        does: "about the number of distinct values, with a standard error of 1.6 %; at most 4 KiB of state",
        algebra: Algebra::Approximate,
        inverse: false,
        bounded: true,
        nulls: "not counted; 0 of no values",
    },
    takes: "one column of numbers, booleans, times, dates, text or bytes",
    distinct: Duplicates::Ignored,
    bind: |call| {
        call.no_parameters()?;
        call.value()?;
        Ok(aggregate(ApproxDistinct, call.card(DataType::Int64, &[])))
    },
}];

/// 4,096 registers: 1.04 / 64 is the standard error.
const LOG_REGISTERS: u8 = 12;
const REGISTERS: usize = 1 << LOG_REGISTERS;

/// An approximate distinct count.
#[derive(Debug, Clone)]
pub(crate) struct ApproxDistinct;

fn empty() -> HllSketch {
    HllSketch::new(LOG_REGISTERS, HllType::Hll8).expect("12 is among the sizes that there are")
}

fn coupon(value: CellRef<'_>) -> Coupon {
    match value {
        CellRef::Whole(value) => Coupon::from_value(value),
        CellRef::Double(value) => Coupon::from_value(canonical_float::from_f64(value.value())),
        CellRef::Boolean(value) => Coupon::from_value(i64::from(value)),
        CellRef::Bytes(value) => Coupon::from_value(raw_bytes::from_slice(value)),
        CellRef::Decimal(value) => Coupon::from_value(raw_bytes::from_slice(&value.value().to_le_bytes())),
    }
}

/// Whether the number of empty registers, which the library trusts, is what stored bytes of registers say.
fn registers_agree(bytes: &[u8]) -> bool {
    /// Where the number of empty registers stands, and where the registers begin.
    const EMPTY_AT: usize = 32;
    const REGISTERS_AT: usize = 40;
    /// A register holds the length of a run of zeros in 64 bits.
    const HIGHEST: u8 = 63;
    let Some(empty) = bytes.get(EMPTY_AT..).and_then(|rest| rest.first_chunk()) else { return false };
    let Some(registers) = bytes.get(REGISTERS_AT..REGISTERS_AT + REGISTERS) else { return false };
    let zeros = registers.iter().filter(|register| **register == 0).count();
    u32::from_le_bytes(*empty) as usize == zeros && registers.iter().all(|register| *register <= HIGHEST)
}

impl Fold for ApproxDistinct {
    type State = Option<Box<HllSketch>>;
    type Column<'a> = Cells<'a>;
    type Builder = Vec<i64>;

    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<Cells<'a>> {
        Cell::columns(arguments)
    }

    fn insert(&self, state: &mut Self::State, column: &Cells<'_>, row: usize, _place: Place) {
        if let Some(value) = Cell::get(column, row) {
            state.get_or_insert_with(|| Box::new(empty())).update_with_coupon(coupon(value));
        }
    }

    fn merge(&self, into: &mut Self::State, other: &Self::State) {
        match (into.as_mut(), other) {
            (_, None) => {}
            (None, Some(other)) => *into = Some(other.clone()),
            (Some(sketch), Some(other)) => {
                let mut union = HllUnion::new(LOG_REGISTERS).expect("12 is among the sizes that there are");
                union.update(sketch);
                union.update(other);
                **sketch = union.to_sketch(HllType::Hll8);
            }
        }
    }

    fn builder(&self, capacity: usize) -> Vec<i64> {
        Vec::with_capacity(capacity)
    }

    fn push(&self, state: &Self::State, _as_of: i64, builder: &mut Vec<i64>) -> Result<(), String> {
        builder.push(state.as_ref().map_or(0, |sketch| sketch.composite_estimate().round() as i64));
        Ok(())
    }

    fn build(&self, builder: Vec<i64>) -> ArrayRef {
        Arc::new(Int64Array::from(builder))
    }

    fn encode(&self, state: &Self::State, out: &mut Vec<u8>) {
        let sketch = state.as_ref().map_or_else(Vec::new, |sketch| sketch.serialize());
        bytes::put_bytes(&sketch, out);
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Option<Self::State> {
        /// The lowest two bits of this byte say how values are kept; 2 is in registers.
        const MODE_AT: usize = 7;
        const IN_REGISTERS: u8 = 2;
        let bytes = reader.bytes()?;
        if bytes.is_empty() {
            return Some(None);
        }
        let sketch = HllSketch::deserialize(bytes).ok()?;
        let fits = sketch.lg_config_k() == LOG_REGISTERS && sketch.target_type() == HllType::Hll8;
        let is_whole = bytes.get(MODE_AT)? & 3 != IN_REGISTERS || registers_agree(bytes);
        (fits && is_whole).then(|| Some(Box::new(sketch)))
    }

    fn heap_bytes(&self, state: &Self::State) -> usize {
        state.as_ref().map_or(0, |sketch| size_of::<HllSketch>() + sketch.estimated_size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Array;
    use weir_event::Rank;

    fn sketch(values: impl Iterator<Item = i64>) -> Option<Box<HllSketch>> {
        let mut state = None;
        let arguments: [ArrayRef; 1] = [Arc::new(values.map(Some).collect::<Int64Array>())];
        let column = ApproxDistinct.column(&arguments).unwrap();
        for row in 0..arguments[0].len() {
            ApproxDistinct.insert(&mut state, &column, row, Place { time: 0, rank: Rank::default() });
        }
        state
    }

    fn estimate(state: &Option<Box<HllSketch>>) -> i64 {
        let mut builder = Vec::new();
        ApproxDistinct.push(state, 0, &mut builder).unwrap();
        builder[0]
    }

    #[test]
    fn estimates_are_near_and_the_same_however_they_came_about() {
        for count in [0, 5, 100, 2000, 50_000] {
            let whole = sketch(0..count);
            let error = (estimate(&whole) - count) as f64 / (count.max(1) as f64);
            assert!(error.abs() < 0.05, "{count}: {}", estimate(&whole));
            let mut parts = None;
            for part in 0..7 {
                ApproxDistinct.merge(&mut parts, &sketch((0..count).rev().filter(|it| it % 7 == part)));
            }
            assert_eq!(estimate(&parts), estimate(&whole));
        }
    }

    #[test]
    fn damaged_registers_are_refused() {
        let mut bytes = Vec::new();
        ApproxDistinct.encode(&sketch(0..50_000), &mut bytes);
        assert!(ApproxDistinct.decode(&mut Reader::new(&bytes)).is_some());
        // Two bytes of length come first.
        bytes[2 + 32] ^= 1;
        assert!(ApproxDistinct.decode(&mut Reader::new(&bytes)).is_none());
    }
}
