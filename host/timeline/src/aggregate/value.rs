//! Values of columns as aggregates keep them: whole numbers, times and dates, doubles, booleans, text and bytes.
//! (Decimals are in a file of their own.)
//!
//! One order for each, total, the same wherever values are compared. For doubles: -0.0 is below 0.0, and NaN, of
//! which there is one, is above every number.

use super::decimal::nearest_double;
use crate::bytes::{self, Reader};
use arrow_array::builder::{BinaryViewBuilder, BooleanBuilder, StringBuilder, StringViewBuilder};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMillisecondType,
};
use arrow_array::{
    Array, ArrayRef, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int32Array, Int64Array, StringArray, StringViewArray, TimestampMillisecondArray,
};
use arrow_buffer::i256;
use arrow_schema::{DataType, TimeUnit};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt::Debug;
use std::hash::Hash;
use std::sync::Arc;

/// How the values of an Arrow type are kept; `None` for types that are not.
pub(crate) fn kind_of(data_type: &DataType) -> Option<Kind> {
    Some(match data_type {
        DataType::Int32
        | DataType::Int64
        | DataType::Date32
        | DataType::Timestamp(TimeUnit::Millisecond, None) => Kind::Whole,
        DataType::Decimal128(..) => Kind::Decimal,
        DataType::Float32 | DataType::Float64 => Kind::Double,
        DataType::Boolean => Kind::Boolean,
        DataType::Utf8View | DataType::Utf8 | DataType::BinaryView => Kind::Bytes,
        _ => return None,
    })
}

/// The ways in which values are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Whole numbers, times and dates.
    Whole,
    /// Floating-point numbers.
    Double,
    /// Decimals.
    Decimal,
    /// Truth values.
    Boolean,
    /// Text and bytes.
    Bytes,
}

impl Kind {
    const ALL: [Kind; 5] = [Kind::Whole, Kind::Double, Kind::Decimal, Kind::Boolean, Kind::Bytes];

    /// How values of a type are kept; `None` if they are not.
    pub fn of(data_type: &DataType) -> Option<Kind> {
        kind_of(data_type)
    }

    /// What it is called where it is stored.
    pub fn word(self) -> &'static str {
        match self {
            Kind::Whole => "whole",
            Kind::Double => "double",
            Kind::Decimal => "decimal",
            Kind::Boolean => "boolean",
            Kind::Bytes => "bytes",
        }
    }

    /// The one that is called so.
    pub fn of_word(word: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.word() == word)
    }
}

/// A kept value.
pub(crate) trait Value: Clone + Debug + Eq + Ord + Hash + Send + Sync + 'static {
    /// The value as a column shows it, without a copy.
    type Borrowed<'a>: Copy;
    /// A column of such values, its type resolved.
    type Column<'a>;
    /// Where values are collected.
    type Builder;

    fn column(array: &ArrayRef) -> Option<Self::Column<'_>>;
    /// Of the columns that make up one argument: one, but for rows.
    fn columns(arguments: &[ArrayRef]) -> Option<Self::Column<'_>> {
        arguments.first().and_then(Self::column)
    }
    /// `None` is null. (The bound says nothing; it lets implementations name the lifetime as the trait does.)
    fn get<'a>(column: &Self::Column<'a>, row: usize) -> Option<Self::Borrowed<'a>>
    where
        'a: 'a;
    fn own(borrowed: Self::Borrowed<'_>) -> Self;
    /// The value as it is told apart from others: the same for all spellings of one value.
    fn identity(borrowed: Self::Borrowed<'_>) -> Self {
        Self::own(borrowed)
    }
    fn compare(&self, other: Self::Borrowed<'_>) -> Ordering;

    fn builder(data_type: &DataType, capacity: usize) -> Self::Builder;
    fn append(builder: &mut Self::Builder, value: Option<&Self>);
    fn build(builder: Self::Builder) -> ArrayRef;

    fn encode(&self, out: &mut Vec<u8>);
    fn decode(reader: &mut Reader<'_>) -> Option<Self>;
    fn heap_bytes(&self) -> usize {
        0
    }
}

/// A column of whole numbers, times or dates.
pub(crate) enum Wholes<'a> {
    Int32(&'a Int32Array),
    Int64(&'a Int64Array),
    Time(&'a TimestampMillisecondArray),
    Date(&'a Date32Array),
}

impl Value for i64 {
    type Borrowed<'a> = i64;
    type Column<'a> = Wholes<'a>;
    type Builder = (DataType, Vec<Option<i64>>);

    fn column(array: &ArrayRef) -> Option<Wholes<'_>> {
        Some(match array.data_type() {
            DataType::Int32 => Wholes::Int32(array.as_primitive::<Int32Type>()),
            DataType::Int64 => Wholes::Int64(array.as_primitive::<Int64Type>()),
            DataType::Date32 => Wholes::Date(array.as_primitive::<Date32Type>()),
            DataType::Timestamp(TimeUnit::Millisecond, None) => {
                Wholes::Time(array.as_primitive::<TimestampMillisecondType>())
            }
            _ => return None,
        })
    }

    fn get<'a>(column: &Wholes<'a>, row: usize) -> Option<i64>
    where
        'a: 'a,
    {
        match column {
            Wholes::Int32(array) => array.is_valid(row).then(|| i64::from(array.value(row))),
            Wholes::Int64(array) => array.is_valid(row).then(|| array.value(row)),
            Wholes::Time(array) => array.is_valid(row).then(|| array.value(row)),
            Wholes::Date(array) => array.is_valid(row).then(|| i64::from(array.value(row))),
        }
    }

    fn own(borrowed: i64) -> Self {
        borrowed
    }

    fn compare(&self, other: i64) -> Ordering {
        self.cmp(&other)
    }

    fn builder(data_type: &DataType, capacity: usize) -> Self::Builder {
        (data_type.clone(), Vec::with_capacity(capacity))
    }

    fn append(builder: &mut Self::Builder, value: Option<&i64>) {
        builder.1.push(value.copied());
    }

    fn build((data_type, values): Self::Builder) -> ArrayRef {
        match data_type {
            DataType::Int32 => {
                Arc::new(values.iter().map(|value| value.map(|it| it as i32)).collect::<Int32Array>())
            }
            DataType::Date32 => {
                Arc::new(values.iter().map(|value| value.map(|it| it as i32)).collect::<Date32Array>())
            }
            DataType::Timestamp(..) => Arc::new(TimestampMillisecondArray::from(values)),
            _ => Arc::new(Int64Array::from(values)),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        bytes::put_signed(*self, out);
    }

    fn decode(reader: &mut Reader<'_>) -> Option<i64> {
        reader.signed()
    }
}

/// A double under its total order: the bits, moved so that they compare as the numbers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Double(i64);

impl Double {
    pub(crate) fn new(value: f64) -> Self {
        let bits =
            if value.is_nan() { f64::NAN.to_bits() & (i64::MAX as u64) } else { value.to_bits() } as i64;
        Double(bits ^ (((bits >> 63) as u64) >> 1) as i64)
    }

    /// Bits that compare as the numbers do.
    pub(crate) fn ordered_bits(self) -> i64 {
        self.0
    }

    /// The double of such bits.
    pub(crate) fn of_bits(bits: i64) -> Self {
        Double(bits)
    }

    pub(crate) fn value(self) -> f64 {
        f64::from_bits((self.0 ^ (((self.0 >> 63) as u64) >> 1) as i64) as u64)
    }
}

/// A column of doubles, of floats, or of decimals as the doubles nearest to them.
pub(crate) enum Doubles<'a> {
    Float32(&'a Float32Array),
    Float64(&'a Float64Array),
    Decimal { array: &'a Decimal128Array, scale: i8 },
}

impl Doubles<'_> {
    /// `None` is null.
    pub(crate) fn get(&self, row: usize) -> Option<f64> {
        match self {
            Doubles::Float32(array) => array.is_valid(row).then(|| f64::from(array.value(row))),
            Doubles::Float64(array) => array.is_valid(row).then(|| array.value(row)),
            Doubles::Decimal { array, scale } => {
                array.is_valid(row).then(|| nearest_double(i256::from_i128(array.value(row)), *scale))
            }
        }
    }
}

impl Value for Double {
    type Borrowed<'a> = Double;
    type Column<'a> = Doubles<'a>;
    type Builder = (DataType, Vec<Option<f64>>);

    fn column(array: &ArrayRef) -> Option<Doubles<'_>> {
        Some(match array.data_type() {
            DataType::Float32 => Doubles::Float32(array.as_primitive::<Float32Type>()),
            DataType::Float64 => Doubles::Float64(array.as_primitive::<Float64Type>()),
            DataType::Decimal128(_, scale) => Doubles::Decimal { array: array.as_primitive(), scale: *scale },
            _ => return None,
        })
    }

    fn get<'a>(column: &Doubles<'a>, row: usize) -> Option<Double>
    where
        'a: 'a,
    {
        column.get(row).map(Double::new)
    }

    fn own(borrowed: Double) -> Self {
        borrowed
    }

    fn identity(borrowed: Double) -> Self {
        if borrowed.value() == 0.0 { Double::new(0.0) } else { borrowed }
    }

    fn compare(&self, other: Double) -> Ordering {
        self.cmp(&other)
    }

    fn builder(data_type: &DataType, capacity: usize) -> Self::Builder {
        (data_type.clone(), Vec::with_capacity(capacity))
    }

    fn append(builder: &mut Self::Builder, value: Option<&Double>) {
        builder.1.push(value.map(|it| it.value()));
    }

    fn build((data_type, values): Self::Builder) -> ArrayRef {
        match data_type {
            DataType::Float32 => {
                Arc::new(values.iter().map(|value| value.map(|it| it as f32)).collect::<Float32Array>())
            }
            _ => Arc::new(Float64Array::from(values)),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.value().to_le_bytes());
    }

    fn decode(reader: &mut Reader<'_>) -> Option<Double> {
        reader.double().map(Double::new)
    }
}

impl Value for bool {
    type Borrowed<'a> = bool;
    type Column<'a> = &'a BooleanArray;
    type Builder = BooleanBuilder;

    fn column(array: &ArrayRef) -> Option<&BooleanArray> {
        array.as_boolean_opt()
    }

    fn get<'a>(column: &&'a BooleanArray, row: usize) -> Option<bool>
    where
        'a: 'a,
    {
        column.is_valid(row).then(|| column.value(row))
    }

    fn own(borrowed: bool) -> Self {
        borrowed
    }

    fn compare(&self, other: bool) -> Ordering {
        self.cmp(&other)
    }

    fn builder(_data_type: &DataType, capacity: usize) -> BooleanBuilder {
        BooleanBuilder::with_capacity(capacity)
    }

    fn append(builder: &mut BooleanBuilder, value: Option<&bool>) {
        builder.append_option(value.copied());
    }

    fn build(mut builder: BooleanBuilder) -> ArrayRef {
        Arc::new(builder.finish())
    }

    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn decode(reader: &mut Reader<'_>) -> Option<bool> {
        reader.byte().filter(|byte| *byte <= 1).map(|byte| byte == 1)
    }
}

/// A column of text or bytes.
pub(crate) enum Texts<'a> {
    View(&'a StringViewArray),
    Text(&'a StringArray),
    Bytes(&'a BinaryViewArray),
}

/// Collects text or bytes.
pub(crate) enum TextBuilder {
    View(StringViewBuilder),
    Text(StringBuilder),
    Bytes(BinaryViewBuilder),
}

/// Text or bytes. What was text stays UTF-8: a decoded one is checked when it leaves. Most are names and ids, short
/// enough to need no allocation of their own.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Bytes(SmallVec<[u8; 16]>);

impl Clone for Bytes {
    /// As a copy of all bytes at once; what would be derived copies them one by one.
    fn clone(&self) -> Bytes {
        Bytes(SmallVec::from_slice(&self.0))
    }
}

impl Value for Bytes {
    type Borrowed<'a> = &'a [u8];
    type Column<'a> = Texts<'a>;
    type Builder = TextBuilder;

    fn column(array: &ArrayRef) -> Option<Texts<'_>> {
        Some(match array.data_type() {
            DataType::Utf8View => Texts::View(array.as_string_view()),
            DataType::Utf8 => Texts::Text(array.as_string()),
            DataType::BinaryView => Texts::Bytes(array.as_binary_view()),
            _ => return None,
        })
    }

    fn get<'a>(column: &Texts<'a>, row: usize) -> Option<&'a [u8]>
    where
        'a: 'a,
    {
        match column {
            Texts::View(array) => array.is_valid(row).then(|| array.value(row).as_bytes()),
            Texts::Text(array) => array.is_valid(row).then(|| array.value(row).as_bytes()),
            Texts::Bytes(array) => array.is_valid(row).then(|| array.value(row)),
        }
    }

    fn own(borrowed: &[u8]) -> Self {
        Bytes(SmallVec::from_slice(borrowed))
    }

    fn compare(&self, other: &[u8]) -> Ordering {
        self.0.as_slice().cmp(other)
    }

    fn builder(data_type: &DataType, capacity: usize) -> TextBuilder {
        match data_type {
            DataType::Utf8 => TextBuilder::Text(StringBuilder::with_capacity(capacity, capacity * 8)),
            DataType::BinaryView => TextBuilder::Bytes(BinaryViewBuilder::with_capacity(capacity)),
            _ => TextBuilder::View(StringViewBuilder::with_capacity(capacity)),
        }
    }

    fn append(builder: &mut TextBuilder, value: Option<&Bytes>) {
        // Text went in as UTF-8; only damaged state that got past its checksums could be anything else.
        let value = value.map(|Bytes(bytes)| bytes.as_slice());
        match builder {
            TextBuilder::View(builder) => builder.append_option(value.map(text)),
            TextBuilder::Text(builder) => builder.append_option(value.map(text)),
            TextBuilder::Bytes(builder) => builder.append_option(value),
        }
    }

    fn build(builder: TextBuilder) -> ArrayRef {
        match builder {
            TextBuilder::View(mut builder) => Arc::new(builder.finish()),
            TextBuilder::Text(mut builder) => Arc::new(builder.finish()),
            TextBuilder::Bytes(mut builder) => Arc::new(builder.finish()),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        bytes::put_bytes(&self.0, out);
    }

    fn decode(reader: &mut Reader<'_>) -> Option<Bytes> {
        reader.bytes().map(Bytes::own)
    }

    fn heap_bytes(&self) -> usize {
        if self.0.spilled() { self.0.capacity() } else { 0 }
    }
}

fn text(bytes: &[u8]) -> Cow<'_, str> {
    // What is sound, as nearly all is, is found so faster.
    str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_keep_their_order_and_their_value() {
        let rising = [f64::NEG_INFINITY, -1.5, -0.0, 0.0, f64::MIN_POSITIVE, 2.0, f64::INFINITY, f64::NAN];
        for pair in rising.windows(2) {
            assert!(Double::new(pair[0]) < Double::new(pair[1]), "{pair:?}");
        }
        assert_eq!(Double::new(-0.0).value().to_bits(), (-0.0_f64).to_bits());
        assert_eq!(Double::new(-f64::NAN), Double::new(f64::NAN));
    }
}
