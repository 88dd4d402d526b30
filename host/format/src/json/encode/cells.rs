//! A column, downcast once, whose cells can be written as JSON.

use super::time::{push_date, push_time};
use crate::base64;
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowDictionaryKeyType, Date32Type, Date64Type, Decimal128Type, Float32Type, Float64Type, Int8Type,
    Int16Type, Int32Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, BooleanArray, Decimal128Array};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType as ArrowType, TimeUnit};
use std::fmt;

type Read<'a, T> = Box<dyn Fn(usize) -> T + Send + Sync + 'a>;

/// The cells of a column.
pub(crate) struct Cells<'a> {
    nulls: Option<NullBuffer>,
    kind: CellKind<'a>,
}

enum CellKind<'a> {
    Null,
    Integer(Read<'a, i64>),
    Unsigned(Read<'a, u64>),
    Double(Read<'a, f64>),
    Float(Read<'a, f32>),
    Decimal(&'a Decimal128Array),
    Boolean(&'a BooleanArray),
    Text(Read<'a, &'a str>),
    /// Text that is JSON itself: what a `json` column looks like in Arrow.
    Raw(Read<'a, &'a str>),
    Bytes(Read<'a, &'a [u8]>),
    /// Milliseconds since the epoch.
    Time(Read<'a, i64>),
    /// Days since the epoch.
    Date(Read<'a, i32>),
    Dictionary {
        index: Read<'a, usize>,
        values: Box<Cells<'a>>,
    },
    List {
        range: Read<'a, (usize, usize)>,
        items: Box<Cells<'a>>,
    },
    Map {
        range: Read<'a, (usize, usize)>,
        keys: Box<Cells<'a>>,
        values: Box<Cells<'a>>,
    },
    Row(Vec<(String, Cells<'a>)>),
}

impl fmt::Debug for Cells<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cells").field("nulls", &self.nulls).finish_non_exhaustive()
    }
}

macro_rules! primitive {
    ($array:expr, $type:ty, $target:ty) => {{
        let values = $array.as_primitive::<$type>().values();
        Box::new(move |row| <$target>::from(values[row]))
    }};
}

macro_rules! dictionary {
    ($array:expr, $type:ty) => {
        dictionary::<$type>($array, |key| key as usize)?
    };
}

impl<'a> CellKind<'a> {
    /// Of an array that holds its values itself; `None` for any other.
    fn of_values(array: &'a dyn Array) -> Option<Self> {
        Some(match array.data_type() {
            ArrowType::Null => CellKind::Null,
            ArrowType::Int8 => CellKind::Integer(primitive!(array, Int8Type, i64)),
            ArrowType::Int16 => CellKind::Integer(primitive!(array, Int16Type, i64)),
            ArrowType::Int32 => CellKind::Integer(primitive!(array, Int32Type, i64)),
            ArrowType::Int64 => CellKind::Integer(primitive!(array, Int64Type, i64)),
            ArrowType::UInt8 => CellKind::Unsigned(primitive!(array, UInt8Type, u64)),
            ArrowType::UInt16 => CellKind::Unsigned(primitive!(array, UInt16Type, u64)),
            ArrowType::UInt32 => CellKind::Unsigned(primitive!(array, UInt32Type, u64)),
            ArrowType::UInt64 => CellKind::Unsigned(primitive!(array, UInt64Type, u64)),
            ArrowType::Float32 => CellKind::Float(primitive!(array, Float32Type, f32)),
            ArrowType::Float64 => CellKind::Double(primitive!(array, Float64Type, f64)),
            ArrowType::Decimal128(..) => CellKind::Decimal(array.as_primitive::<Decimal128Type>()),
            ArrowType::Boolean => CellKind::Boolean(array.as_boolean()),
            ArrowType::Utf8View => {
                let array = array.as_string_view();
                CellKind::Text(Box::new(move |row| array.value(row)))
            }
            ArrowType::Utf8 => {
                let array = array.as_string::<i32>();
                CellKind::Raw(Box::new(move |row| array.value(row)))
            }
            ArrowType::LargeUtf8 => {
                let array = array.as_string::<i64>();
                CellKind::Text(Box::new(move |row| array.value(row)))
            }
            ArrowType::BinaryView => {
                let array = array.as_binary_view();
                CellKind::Bytes(Box::new(move |row| array.value(row)))
            }
            ArrowType::Binary => {
                let array = array.as_binary::<i32>();
                CellKind::Bytes(Box::new(move |row| array.value(row)))
            }
            ArrowType::LargeBinary => {
                let array = array.as_binary::<i64>();
                CellKind::Bytes(Box::new(move |row| array.value(row)))
            }
            ArrowType::Timestamp(unit, _) => CellKind::Time(times(array, *unit)),
            ArrowType::Date32 => CellKind::Date(primitive!(array, Date32Type, i32)),
            ArrowType::Date64 => CellKind::Time(primitive!(array, Date64Type, i64)),
            _ => return None,
        })
    }

    /// Of an array whose values are in others below it. The error is a type that has no form in JSON.
    fn of_children(array: &'a dyn Array) -> Result<Self, ArrowType> {
        let nested = |array: &'a dyn Array| Cells::new(array).map(Box::new);
        Ok(match array.data_type() {
            ArrowType::Dictionary(key, _) => match key.as_ref() {
                ArrowType::Int8 => dictionary!(array, Int8Type),
                ArrowType::Int16 => dictionary!(array, Int16Type),
                ArrowType::Int32 => dictionary!(array, Int32Type),
                ArrowType::Int64 => dictionary!(array, Int64Type),
                ArrowType::UInt8 => dictionary!(array, UInt8Type),
                ArrowType::UInt16 => dictionary!(array, UInt16Type),
                ArrowType::UInt32 => dictionary!(array, UInt32Type),
                ArrowType::UInt64 => dictionary!(array, UInt64Type),
                other => return Err(other.clone()),
            },
            ArrowType::List(_) => {
                let array = array.as_list::<i32>();
                let offsets = array.value_offsets();
                let range = Box::new(move |row| (offsets[row] as usize, offsets[row + 1] as usize));
                CellKind::List { range, items: nested(array.values())? }
            }
            ArrowType::LargeList(_) => {
                let array = array.as_list::<i64>();
                let offsets = array.value_offsets();
                let range = Box::new(move |row| (offsets[row] as usize, offsets[row + 1] as usize));
                CellKind::List { range, items: nested(array.values())? }
            }
            ArrowType::ListView(_) => {
                let array = array.as_list_view::<i32>();
                let range = Box::new(move |row| {
                    let start = array.value_offset(row) as usize;
                    (start, start + array.value_size(row) as usize)
                });
                CellKind::List { range, items: nested(array.values())? }
            }
            ArrowType::FixedSizeList(_, length) => {
                let array = array.as_fixed_size_list();
                let length = *length as usize;
                let range = Box::new(move |row| {
                    let start = array.value_offset(row) as usize;
                    (start, start + length)
                });
                CellKind::List { range, items: nested(array.values())? }
            }
            ArrowType::Map(..) => {
                let array = array.as_map();
                let offsets = array.value_offsets();
                let range = Box::new(move |row| (offsets[row] as usize, offsets[row + 1] as usize));
                CellKind::Map { range, keys: nested(array.keys())?, values: nested(array.values())? }
            }
            ArrowType::Struct(fields) => {
                let children = fields.iter().zip(array.as_struct().columns());
                let row =
                    children.map(|(field, child)| Ok((field.name().clone(), Cells::new(child.as_ref())?)));
                CellKind::Row(row.collect::<Result<_, ArrowType>>()?)
            }
            other => return Err(other.clone()),
        })
    }
}

impl<'a> Cells<'a> {
    /// The cells of an array. The error is a type that has no form in JSON.
    pub(crate) fn new(array: &'a dyn Array) -> Result<Self, ArrowType> {
        let kind = match CellKind::of_values(array) {
            Some(kind) => kind,
            None => CellKind::of_children(array)?,
        };
        Ok(Cells { nulls: array.nulls().cloned(), kind })
    }

    fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Appends the text of a cell.
    pub(super) fn write(&self, row: usize, out: &mut Vec<u8>) {
        if self.is_null(row) {
            return out.extend_from_slice(b"null");
        }
        match &self.kind {
            CellKind::Null => out.extend_from_slice(b"null"),
            CellKind::Integer(read) => push_json(&read(row), out),
            CellKind::Unsigned(read) => push_json(&read(row), out),
            CellKind::Double(read) => push_json(&read(row), out),
            CellKind::Float(read) => push_json(&read(row), out),
            CellKind::Decimal(array) => out.extend_from_slice(array.value_as_string(row).as_bytes()),
            CellKind::Boolean(array) => push_json(&array.value(row), out),
            CellKind::Text(read) => push_json(read(row), out),
            CellKind::Raw(read) => push_raw(read(row), out),
            CellKind::Bytes(read) => push_base64(read(row), out),
            CellKind::Time(read) => push_time(read(row), out),
            CellKind::Date(read) => push_date(read(row), out),
            CellKind::Dictionary { index, values } => values.write(index(row), out),
            CellKind::List { range, items } => {
                let (start, end) = range(row);
                push_sequence(*b"[]", start..end, out, |item, out| items.write(item, out));
            }
            CellKind::Map { range, keys, values } => {
                let (start, end) = range(row);
                push_sequence(*b"{}", start..end, out, |entry, out| {
                    keys.write_key(entry, out);
                    out.push(b':');
                    values.write(entry, out);
                });
            }
            CellKind::Row(children) => push_sequence(*b"{}", children.iter(), out, |(name, cells), out| {
                push_json(name, out);
                out.push(b':');
                cells.write(row, out);
            }),
        }
    }

    /// Appends the text of a cell as it stands outside of JSON, texts without quotes and escapes; `false` where it is
    /// null, and then nothing.
    pub(crate) fn write_plain(&self, row: usize, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        match &self.kind {
            _ if self.is_null(row) => return false,
            CellKind::Text(read) => out.extend_from_slice(read(row).as_bytes()),
            CellKind::Bytes(read) => base64::push(read(row), out),
            CellKind::Dictionary { index, values } => return values.write_plain(index(row), out),
            CellKind::Time(_) | CellKind::Date(_) => {
                self.write(row, out);
                if out[start] == b'"' {
                    out.pop();
                    out.remove(start);
                }
            }
            CellKind::Null | CellKind::Double(_) | CellKind::Float(_) => {
                self.write(row, out);
                if out[start..] == *b"null" {
                    out.truncate(start);
                    return false;
                }
            }
            _ => self.write(row, out),
        }
        true
    }

    /// A member's name is a text whatever the map's key type.
    pub(super) fn write_key(&self, row: usize, out: &mut Vec<u8>) {
        let start = out.len();
        self.write(row, out);
        if out.get(start) != Some(&b'"') {
            let text = out.split_off(start);
            push_json(String::from_utf8_lossy(&text).as_ref(), out);
        }
    }
}

fn dictionary<K: ArrowDictionaryKeyType>(
    array: &dyn Array,
    index: impl Fn(K::Native) -> usize + Send + Sync + 'static,
) -> Result<CellKind<'_>, ArrowType> {
    let array = array.as_dictionary::<K>();
    let keys = array.keys().values();
    let values = Box::new(Cells::new(array.values().as_ref())?);
    Ok(CellKind::Dictionary { index: Box::new(move |row| index(keys[row])), values })
}

/// Milliseconds, floored where the unit is finer.
fn times(array: &dyn Array, unit: TimeUnit) -> Read<'_, i64> {
    match unit {
        TimeUnit::Second => {
            let values = array.as_primitive::<TimestampSecondType>().values();
            Box::new(move |row| values[row].saturating_mul(1000))
        }
        TimeUnit::Millisecond => {
            let values = array.as_primitive::<TimestampMillisecondType>().values();
            Box::new(move |row| values[row])
        }
        TimeUnit::Microsecond => {
            let values = array.as_primitive::<TimestampMicrosecondType>().values();
            Box::new(move |row| values[row].div_euclid(1000))
        }
        TimeUnit::Nanosecond => {
            let values = array.as_primitive::<TimestampNanosecondType>().values();
            Box::new(move |row| values[row].div_euclid(1_000_000))
        }
    }
}

/// Writing to memory does not fail, and neither numbers nor text can be refused.
fn push_json<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    let start = out.len();
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
}

/// Text that ought to be JSON: as it is but for line breaks, which may only stand between its tokens and would
/// end the line; as a string if it is not JSON after all.
fn push_raw(text: &str, out: &mut Vec<u8>) {
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
        return push_json(text, out);
    }
    out.extend(text.bytes().map(|byte| if byte == b'\n' || byte == b'\r' { b' ' } else { byte }));
}

fn push_sequence<T>(
    brackets: [u8; 2],
    items: impl Iterator<Item = T>,
    out: &mut Vec<u8>,
    mut write: impl FnMut(T, &mut Vec<u8>),
) {
    out.push(brackets[0]);
    for (index, item) in items.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(item, out);
    }
    out.push(brackets[1]);
}

fn push_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    base64::push(bytes, out);
    out.push(b'"');
}
