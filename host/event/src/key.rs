//! Keys as bytes: memcomparable, null tagged, hashed once.
//!
//! The encoding and the hash are stored and partitioned by, so they never change: a column is a tag byte (0
//! null, 1 value) and then, for text and bytes, the bytes with 0x00 escaped as 0x00 0xFF and ended by 0x00 0x00;
//! for whole numbers, times and dates, eight bytes big endian with the sign bit flipped; for decimals sixteen, of the
//! number that their last digit counts; for doubles, the usual
//! order-preserving transform of the IEEE bits, with -0.0 as 0.0 and one NaN; for booleans, one byte.

use arrow_array::builder::{
    BinaryViewBuilder, BooleanBuilder, Date32Builder, Decimal128Builder, Float32Builder, Float64Builder,
    Int32Builder, Int64Builder, StringViewBuilder, TimestampMillisecondBuilder,
};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int32Type, Int64Type, TimestampMillisecondType,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType as ArrowType, TimeUnit};
use std::sync::Arc;
use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// A slice of the key space: the unit in which state moves between shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyGroup(pub u16);

/// Key groups per job. Fixed for a job's life: it bounds the shards that a job can ever be spread over.
pub const KEY_GROUPS: u16 = 128;

/// The hash that places a key: xxh3 with 64 bits, seed 0, of its encoded bytes.
pub fn key_hash(key: &[u8]) -> u64 {
    xxh3_64(key)
}

/// The hash by which an event's id is remembered: xxh3 with 128 bits, seed 0, of its encoded bytes.
pub fn id_hash(id: &[u8]) -> u128 {
    xxh3_128(id)
}

/// The key group of a hash: its high bits.
///
/// ```
/// assert_eq!(weir_event::key_group(u64::MAX).0, 127);
/// ```
pub fn key_group(hash: u64) -> KeyGroup {
    KeyGroup((hash >> (64 - KEY_GROUPS.trailing_zeros())) as u16)
}

/// A key column of a type that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a column of type {0} cannot be a key; group by a string, number, boolean, timestamp or date")]
pub struct KeyTypeError(pub ArrowType);

/// Whether columns of this Arrow type can be keys.
pub fn is_key_type(data_type: &ArrowType) -> bool {
    matches!(
        data_type,
        ArrowType::Utf8View
            | ArrowType::Utf8
            | ArrowType::BinaryView
            | ArrowType::Int32
            | ArrowType::Int64
            | ArrowType::Float32
            | ArrowType::Float64
            | ArrowType::Decimal128(..)
            | ArrowType::Boolean
            | ArrowType::Date32
            | ArrowType::Timestamp(TimeUnit::Millisecond, None)
    )
}

/// The encoded keys of a batch, end to end.
#[derive(Debug, Default, Clone)]
pub struct EncodedKeys {
    bytes: Vec<u8>,
    ends: Vec<u32>,
}

impl EncodedKeys {
    /// Encodes row `i` of every column as key `i`.
    pub fn encode(columns: &[ArrayRef], rows: usize) -> Result<EncodedKeys, KeyTypeError> {
        let encoders: Vec<_> = columns.iter().map(Column::of).collect::<Result<_, _>>()?;
        let mut keys = EncodedKeys { bytes: Vec::with_capacity(rows * 16), ends: Vec::with_capacity(rows) };
        for row in 0..rows {
            for (encoder, column) in encoders.iter().zip(columns) {
                if column.is_null(row) {
                    keys.bytes.push(0);
                } else {
                    keys.bytes.push(1);
                    encoder.push(row, &mut keys.bytes);
                }
            }
            keys.ends.push(keys.bytes.len() as u32);
        }
        Ok(keys)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The bytes of key `row`.
    pub fn key(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] as usize };
        &self.bytes[start..self.ends[row] as usize]
    }
}

enum Column<'a> {
    View(&'a arrow_array::StringViewArray),
    Text(&'a arrow_array::StringArray),
    Bytes(&'a arrow_array::BinaryViewArray),
    Int32(&'a [i32]),
    Int64(&'a [i64]),
    Float32(&'a [f32]),
    Float64(&'a [f64]),
    Decimal(&'a [i128]),
    Boolean(&'a arrow_array::BooleanArray),
}

impl<'a> Column<'a> {
    fn of(array: &'a ArrayRef) -> Result<Self, KeyTypeError> {
        Ok(match array.data_type() {
            ArrowType::Utf8View => Column::View(array.as_string_view()),
            ArrowType::Utf8 => Column::Text(array.as_string()),
            ArrowType::BinaryView => Column::Bytes(array.as_binary_view()),
            ArrowType::Int32 => Column::Int32(array.as_primitive::<Int32Type>().values()),
            ArrowType::Int64 => Column::Int64(array.as_primitive::<Int64Type>().values()),
            ArrowType::Float32 => Column::Float32(array.as_primitive::<Float32Type>().values()),
            ArrowType::Float64 => Column::Float64(array.as_primitive::<Float64Type>().values()),
            ArrowType::Decimal128(..) => Column::Decimal(array.as_primitive::<Decimal128Type>().values()),
            ArrowType::Boolean => Column::Boolean(array.as_boolean()),
            ArrowType::Date32 => Column::Int32(array.as_primitive::<Date32Type>().values()),
            ArrowType::Timestamp(TimeUnit::Millisecond, None) => {
                Column::Int64(array.as_primitive::<TimestampMillisecondType>().values())
            }
            other => return Err(KeyTypeError(other.clone())),
        })
    }

    fn push(&self, row: usize, out: &mut Vec<u8>) {
        match self {
            Column::View(array) => push_bytes(array.value(row).as_bytes(), out),
            Column::Text(array) => push_bytes(array.value(row).as_bytes(), out),
            Column::Bytes(array) => push_bytes(array.value(row), out),
            Column::Int32(values) => push_integer(i64::from(values[row]), out),
            Column::Int64(values) => push_integer(values[row], out),
            Column::Float32(values) => push_double(f64::from(values[row]), out),
            Column::Float64(values) => push_double(values[row], out),
            Column::Decimal(values) => {
                out.extend_from_slice(&((values[row] as u128) ^ (1 << 127)).to_be_bytes());
            }
            Column::Boolean(array) => out.push(u8::from(array.value(row))),
        }
    }
}

fn push_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    let mut rest = bytes;
    while let Some(zero) = rest.iter().position(|byte| *byte == 0) {
        out.extend_from_slice(&rest[..zero]);
        out.extend_from_slice(&[0, 0xFF]);
        rest = &rest[zero + 1..];
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(&[0, 0]);
}

fn push_integer(value: i64, out: &mut Vec<u8>) {
    out.extend_from_slice(&((value as u64) ^ (1 << 63)).to_be_bytes());
}

fn push_double(value: f64, out: &mut Vec<u8>) {
    let value = if value.is_nan() { f64::NAN } else { value + 0.0 };
    let bits = value.to_bits();
    let ordered = if bits >> 63 == 1 { !bits } else { bits | (1 << 63) };
    out.extend_from_slice(&ordered.to_be_bytes());
}

/// Stored key bytes that do not decode: state was damaged, or the key's type is another one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a stored key does not fit its columns; the state is damaged or belongs to another definition")]
pub struct KeyDecodeError;

/// Decodes keys back into columns of the types that they were encoded from.
pub fn decode_keys<'a>(
    keys: impl ExactSizeIterator<Item = &'a [u8]>,
    types: &[ArrowType],
) -> Result<Vec<ArrayRef>, KeyDecodeError> {
    let builder = |data_type| Builder::of(data_type, keys.len());
    let mut builders: Vec<Builder> =
        types.iter().map(builder).collect::<Option<_>>().ok_or(KeyDecodeError)?;
    for key in keys {
        let mut rest = key;
        for builder in &mut builders {
            rest = builder.push(rest).ok_or(KeyDecodeError)?;
        }
        if !rest.is_empty() {
            return Err(KeyDecodeError);
        }
    }
    Ok(builders.into_iter().map(Builder::finish).collect())
}

enum Builder {
    View(StringViewBuilder),
    Text(arrow_array::builder::StringBuilder),
    Bytes(BinaryViewBuilder),
    Int32(Int32Builder),
    Int64(Int64Builder),
    Time(TimestampMillisecondBuilder),
    Date(Date32Builder),
    Decimal(Decimal128Builder),
    Float32(Float32Builder),
    Float64(Float64Builder),
    Boolean(BooleanBuilder),
}

impl Builder {
    fn of(data_type: &ArrowType, keys: usize) -> Option<Builder> {
        Some(match data_type {
            ArrowType::Utf8View => Builder::View(StringViewBuilder::with_capacity(keys)),
            ArrowType::Utf8 => Builder::Text(arrow_array::builder::StringBuilder::with_capacity(keys, 0)),
            ArrowType::BinaryView => Builder::Bytes(BinaryViewBuilder::with_capacity(keys)),
            ArrowType::Int32 => Builder::Int32(Int32Builder::with_capacity(keys)),
            ArrowType::Int64 => Builder::Int64(Int64Builder::with_capacity(keys)),
            ArrowType::Timestamp(TimeUnit::Millisecond, None) => {
                Builder::Time(TimestampMillisecondBuilder::with_capacity(keys))
            }
            ArrowType::Date32 => Builder::Date(Date32Builder::with_capacity(keys)),
            ArrowType::Decimal128(..) => {
                Builder::Decimal(Decimal128Builder::with_capacity(keys).with_data_type(data_type.clone()))
            }
            ArrowType::Float32 => Builder::Float32(Float32Builder::with_capacity(keys)),
            ArrowType::Float64 => Builder::Float64(Float64Builder::with_capacity(keys)),
            ArrowType::Boolean => Builder::Boolean(BooleanBuilder::with_capacity(keys)),
            _ => return None,
        })
    }

    /// Takes one value off the front of `key` and returns the rest.
    fn push<'a>(&mut self, key: &'a [u8]) -> Option<&'a [u8]> {
        let (tag, rest) = key.split_first()?;
        if *tag == 0 {
            self.push_null();
            return Some(rest);
        }
        match self {
            Builder::View(builder) => {
                let (bytes, rest) = take_bytes(rest)?;
                builder.append_value(std::str::from_utf8(&bytes).ok()?);
                return Some(rest);
            }
            Builder::Text(builder) => {
                let (bytes, rest) = take_bytes(rest)?;
                builder.append_value(std::str::from_utf8(&bytes).ok()?);
                return Some(rest);
            }
            Builder::Bytes(builder) => {
                let (bytes, rest) = take_bytes(rest)?;
                builder.append_value(&bytes);
                return Some(rest);
            }
            Builder::Boolean(builder) => {
                let (byte, rest) = rest.split_first()?;
                builder.append_value(*byte == 1);
                return Some(rest);
            }
            Builder::Decimal(builder) => {
                let (bits, rest) = rest.split_first_chunk::<16>()?;
                builder.append_value((u128::from_be_bytes(*bits) ^ (1 << 127)) as i128);
                return Some(rest);
            }
            _ => {}
        }
        let (bits, rest) = rest.split_first_chunk::<8>()?;
        let bits = u64::from_be_bytes(*bits);
        let integer = (bits ^ (1 << 63)) as i64;
        let double = f64::from_bits(if bits >> 63 == 1 { bits ^ (1 << 63) } else { !bits });
        match self {
            Builder::Int32(builder) => builder.append_value(i32::try_from(integer).ok()?),
            Builder::Int64(builder) => builder.append_value(integer),
            Builder::Time(builder) => builder.append_value(integer),
            Builder::Date(builder) => builder.append_value(i32::try_from(integer).ok()?),
            Builder::Float32(builder) => builder.append_value(double as f32),
            Builder::Float64(builder) => builder.append_value(double),
            Builder::View(_)
            | Builder::Text(_)
            | Builder::Bytes(_)
            | Builder::Boolean(_)
            | Builder::Decimal(_) => return None,
        }
        Some(rest)
    }

    fn push_null(&mut self) {
        match self {
            Builder::View(builder) => builder.append_null(),
            Builder::Text(builder) => builder.append_null(),
            Builder::Bytes(builder) => builder.append_null(),
            Builder::Int32(builder) => builder.append_null(),
            Builder::Int64(builder) => builder.append_null(),
            Builder::Time(builder) => builder.append_null(),
            Builder::Date(builder) => builder.append_null(),
            Builder::Decimal(builder) => builder.append_null(),
            Builder::Float32(builder) => builder.append_null(),
            Builder::Float64(builder) => builder.append_null(),
            Builder::Boolean(builder) => builder.append_null(),
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Builder::View(mut builder) => Arc::new(builder.finish()),
            Builder::Text(mut builder) => Arc::new(builder.finish()),
            Builder::Bytes(mut builder) => Arc::new(builder.finish()),
            Builder::Int32(mut builder) => Arc::new(builder.finish()),
            Builder::Int64(mut builder) => Arc::new(builder.finish()),
            Builder::Time(mut builder) => Arc::new(builder.finish()),
            Builder::Date(mut builder) => Arc::new(builder.finish()),
            Builder::Decimal(mut builder) => Arc::new(builder.finish()),
            Builder::Float32(mut builder) => Arc::new(builder.finish()),
            Builder::Float64(mut builder) => Arc::new(builder.finish()),
            Builder::Boolean(mut builder) => Arc::new(builder.finish()),
        }
    }
}

fn take_bytes(key: &[u8]) -> Option<(std::borrow::Cow<'_, [u8]>, &[u8])> {
    let first = key.windows(2).position(|pair| pair[0] == 0)?;
    if key[first + 1] == 0 {
        return Some((key[..first].into(), &key[first + 2..]));
    }
    let mut bytes = Vec::new();
    let mut at = 0;
    loop {
        match key.get(at)? {
            0 if *key.get(at + 1)? == 0 => return Some((bytes.into(), &key[at + 2..])),
            0 => {
                bytes.push(0);
                at += 2;
            }
            byte => {
                bytes.push(*byte);
                at += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{
        BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringViewArray,
    };

    #[test]
    fn keys_read_back_and_sort_as_their_values() {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(StringViewArray::from(vec![None, Some(""), Some("a\0b"), Some("a\0\0"), Some("a")])),
            Arc::new(Int64Array::from(vec![Some(i64::MIN), Some(-1), Some(0), None, Some(i64::MAX)])),
            Arc::new(Float64Array::from(vec![-0.0, f64::NEG_INFINITY, 1.5, f64::NAN, -2.5])),
            Arc::new(BooleanArray::from(vec![Some(true), None, Some(false), Some(true), None])),
        ];
        let keys = EncodedKeys::encode(&columns, 5).unwrap();
        let types: Vec<_> = columns.iter().map(|column| column.data_type().clone()).collect();
        let back = decode_keys((0..5).map(|row| keys.key(row)), &types).unwrap();
        assert_eq!(&back[0], &columns[0]);
        assert_eq!(&back[1], &columns[1]);
        let mut order: Vec<usize> = (0..5).collect();
        order.sort_by_key(|row| keys.key(*row).to_vec());
        assert_eq!(order, vec![0, 1, 4, 3, 2]);
    }

    #[test]
    fn decimals_and_dates_read_back_and_sort_as_their_values() {
        let most = 10_i128.pow(38) - 1;
        let decimals =
            Decimal128Array::from(vec![Some(-most), Some(-1), Some(0), Some(150), Some(most), None]);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(decimals.with_precision_and_scale(38, 2).unwrap()),
            Arc::new(Date32Array::from(vec![
                Some(-1),
                None,
                Some(0),
                Some(i32::MIN),
                Some(i32::MAX),
                Some(1),
            ])),
        ];
        let types: Vec<_> = columns.iter().map(|column| column.data_type().clone()).collect();
        assert!(types.iter().all(is_key_type));
        let keys = EncodedKeys::encode(&columns, 6).unwrap();
        let back = decode_keys((0..6).map(|row| keys.key(row)), &types).unwrap();
        assert_eq!(back, columns);
        assert!((0..4).all(|row| keys.key(row) < keys.key(row + 1)) && keys.key(5) < keys.key(0));
    }

    #[test]
    fn damaged_keys_are_an_error() {
        for key in [&[][..], &[1], &[1, 65], &[1, 65, 0], &[7, 0, 0, 9]] {
            assert!(decode_keys([key].into_iter(), &[ArrowType::Utf8View]).is_err());
        }
    }

    #[test]
    fn the_hash_never_changes() {
        let columns: Vec<ArrayRef> = vec![Arc::new(StringViewArray::from(vec!["u1"]))];
        let keys = EncodedKeys::encode(&columns, 1).unwrap();
        assert_eq!(keys.key(0), b"\x01u1\0\0");
        assert_eq!(key_hash(keys.key(0)), 17_780_055_547_610_770_861);
    }
}
