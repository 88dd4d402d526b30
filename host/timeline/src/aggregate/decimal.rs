//! Decimals as aggregates keep them, and sums of them that cannot overflow on the way.
//!
//! A decimal is the whole number of its last digit; the scale is its column's and stands with no value.

use super::value::Value;
use crate::bytes::{self, Reader};
use arrow_array::cast::AsArray;
use arrow_array::types::Decimal128Type;
use arrow_array::{Array, ArrayRef, Decimal128Array};
use arrow_buffer::i256;
use arrow_schema::DataType;
use std::cmp::Ordering;
use std::sync::Arc;

/// A decimal. Two halves and not an i128, whose alignment would make every state larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Decimal {
    // First, so that the order of the fields is the order of the numbers.
    high: i64,
    low: u64,
}

impl Decimal {
    pub(crate) fn new(value: i128) -> Decimal {
        Decimal { high: (value >> 64) as i64, low: value as u64 }
    }

    pub(crate) fn value(self) -> i128 {
        i128::from(self.high) << 64 | i128::from(self.low)
    }
}

impl Value for Decimal {
    type Borrowed<'a> = Decimal;
    type Column<'a> = &'a Decimal128Array;
    type Builder = (DataType, Vec<Option<i128>>);

    fn column(array: &ArrayRef) -> Option<&Decimal128Array> {
        array.as_primitive_opt::<Decimal128Type>()
    }

    fn get<'a>(column: &&'a Decimal128Array, row: usize) -> Option<Decimal>
    where
        'a: 'a,
    {
        column.is_valid(row).then(|| Decimal::new(column.value(row)))
    }

    fn own(borrowed: Decimal) -> Self {
        borrowed
    }

    fn compare(&self, other: Decimal) -> Ordering {
        self.cmp(&other)
    }

    fn builder(data_type: &DataType, capacity: usize) -> Self::Builder {
        (data_type.clone(), Vec::with_capacity(capacity))
    }

    fn append(builder: &mut Self::Builder, value: Option<&Decimal>) {
        builder.1.push(value.map(|it| it.value()));
    }

    fn build((data_type, values): Self::Builder) -> ArrayRef {
        Arc::new(Decimal128Array::from(values).with_data_type(data_type))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        bytes::put_signed(self.high, out);
        bytes::put_unsigned(self.low, out);
    }

    fn decode(reader: &mut Reader<'_>) -> Option<Decimal> {
        Some(Decimal { high: reader.signed()?, low: reader.unsigned()? })
    }
}

/// Sum and number of decimals, in 192 bits: as many of the largest as a count can hold do not overflow it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct DecimalTotal {
    low: u64,
    middle: u64,
    high: i64,
    pub(crate) count: i64,
}

impl DecimalTotal {
    fn of(value: i128, count: i64) -> DecimalTotal {
        DecimalTotal { low: value as u64, middle: (value >> 64) as u64, high: (value >> 127) as i64, count }
    }

    pub(crate) fn add(&mut self, value: Decimal) {
        self.combine(&DecimalTotal::of(value.value(), 1));
    }

    pub(crate) fn subtract(&mut self, value: Decimal) {
        // A decimal has at most 38 digits, so that its negation is a number of 128 bits too.
        self.combine(&DecimalTotal::of(value.value().wrapping_neg(), -1));
    }

    pub(crate) fn combine(&mut self, other: &DecimalTotal) {
        let (low, carry) = self.low.overflowing_add(other.low);
        let (middle, carry_one) = self.middle.overflowing_add(other.middle);
        let (middle, carry_two) = middle.overflowing_add(u64::from(carry));
        let carry = i64::from(carry_one || carry_two);
        (self.low, self.middle) = (low, middle);
        self.high = self.high.wrapping_add(other.high).wrapping_add(carry);
        self.count = self.count.wrapping_add(other.count);
    }

    pub(crate) fn take_out(&mut self, other: &DecimalTotal) {
        let mut negated =
            DecimalTotal { low: !other.low, middle: !other.middle, high: !other.high, count: -other.count };
        negated.combine(&DecimalTotal::of(1, 0));
        self.combine(&negated);
    }

    /// The sum, however large.
    pub(crate) fn sum(&self) -> i256 {
        i256::from_parts(u128::from(self.middle) << 64 | u128::from(self.low), i128::from(self.high))
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        bytes::put_signed(self.count, out);
        bytes::put_unsigned(self.low, out);
        // Close to 0 for small sums of either sign.
        bytes::put_signed(self.middle as i64, out);
        bytes::put_signed(self.high, out);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<DecimalTotal> {
        let (count, low) = (reader.signed()?, reader.unsigned()?);
        Some(DecimalTotal { count, low, middle: reader.signed()? as u64, high: reader.signed()? })
    }
}

/// The double nearest to a whole number over a power of ten.
pub(crate) fn nearest_double(value: i256, scale: i8) -> f64 {
    /// Powers of ten that a double holds exactly, as it does whole numbers up to 2^53: one division then rounds
    /// correctly.
    const EXACT_SCALE: i8 = 22;
    const EXACT_BELOW: u64 = 1 << 53;
    match value.to_i128() {
        Some(value)
            if value.unsigned_abs() <= u128::from(EXACT_BELOW) && (0..=EXACT_SCALE).contains(&scale) =>
        {
            value as f64 / 10_f64.powi(i32::from(scale))
        }
        // Its text is a number.
        _ => format!("{value}e{}", -i32::from(scale)).parse().unwrap_or(f64::NAN),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MOST: i128 = 10_i128.pow(38) - 1;

    fn decimal() -> impl Strategy<Value = i128> {
        prop_oneof![-1000_i128..1000, -MOST..=MOST, Just(MOST), Just(-MOST), Just(0)]
    }

    proptest! {
        #[test]
        fn sums_are_those_of_wider_numbers(
            values in proptest::collection::vec(decimal(), 0..40), taken in 0_usize..40, cut in 0_usize..40
        ) {
            let (cut, taken) = (cut.min(values.len()), taken.min(values.len()));
            let total_of = |values: &[i128]| {
                let mut total = DecimalTotal::default();
                values.iter().for_each(|value| total.add(Decimal::new(*value)));
                total
            };
            let oracle = |values: &[i128]| {
                values.iter().fold(i256::ZERO, |sum, value| sum.wrapping_add(i256::from_i128(*value)))
            };
            let mut total = total_of(&values[..cut]);
            total.combine(&total_of(&values[cut..]));
            prop_assert_eq!((total.sum(), total.count), (oracle(&values), values.len() as i64));
            let mut bytes = Vec::new();
            total.encode(&mut bytes);
            prop_assert_eq!(DecimalTotal::decode(&mut Reader::new(&bytes)), Some(total));
            total.take_out(&total_of(&values[..taken]));
            prop_assert_eq!(total.sum(), oracle(&values[taken..]));
            values[taken..].iter().for_each(|value| total.subtract(Decimal::new(*value)));
            prop_assert_eq!(total, DecimalTotal::default());
        }

        #[test]
        fn values_read_back_and_keep_their_order(a in decimal(), b in decimal()) {
            prop_assert_eq!(Decimal::new(a).cmp(&Decimal::new(b)), a.cmp(&b));
            let mut bytes = Vec::new();
            Decimal::new(a).encode(&mut bytes);
            prop_assert_eq!(Decimal::decode(&mut Reader::new(&bytes)).map(Decimal::value), Some(a));
        }

        #[test]
        fn doubles_are_the_nearest(value in decimal(), scale in 0_i8..39) {
            let text: f64 = format!("{value}e-{scale}").parse().unwrap();
            prop_assert_eq!(nearest_double(i256::from_i128(value), scale).to_bits(), text.to_bits());
        }
    }
}
