//! What a cell of a result column is to a store: the one place that says so.
//!
//! As a value, whole numbers and decimals are exact, times are milliseconds, lists, maps and records are nested. As a text
//! it is what JSON says of it: times in RFC 3339 with milliseconds in UTC, dates as 2026-01-31, bytes as base64, decimals with the
//! digits of their scale, lists, maps and records as JSON; texts as they are, and numbers that JSON does not have as `NaN`,
//! `Infinity`, `-Infinity`. Must not know any store.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, downcast_dictionary_array};
use arrow_schema::{DataType, TimeUnit};
use weir_format::json::push_cell;

/// A cell.
#[derive(Debug, Clone, PartialEq)]
pub enum CellValue {
    /// No value.
    Null,
    /// True or false.
    Boolean(bool),
    /// A whole number.
    Integer(i64),
    /// A whole number that may be above those.
    Unsigned(u64),
    /// A number with a binary fraction.
    Double(f64),
    /// The same with less digits.
    Float(f32),
    /// A number with decimal digits.
    Decimal(String),
    /// A text.
    Text(String),
    /// A text that is JSON.
    Json(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// Milliseconds since the epoch.
    Time(i64),
    /// Days since the epoch.
    Date(i32),
    /// Values of one type.
    List(Vec<CellValue>),
    /// Values by keys.
    Map(Vec<(CellValue, CellValue)>),
    /// Values by name.
    Row(Vec<(String, CellValue)>),
}

impl CellValue {
    /// A cell of a column. A type that no query has a column of is null.
    pub fn of(array: &dyn Array, row: usize) -> CellValue {
        if array.is_null(row) {
            return CellValue::Null;
        }
        match array.data_type() {
            DataType::Boolean => CellValue::Boolean(array.as_boolean().value(row)),
            DataType::Float32 => CellValue::Float(array.as_primitive::<Float32Type>().value(row)),
            DataType::Float64 => CellValue::Double(array.as_primitive::<Float64Type>().value(row)),
            DataType::Decimal128(..) => {
                CellValue::Decimal(array.as_primitive::<Decimal128Type>().value_as_string(row))
            }
            DataType::Date32 => CellValue::Date(array.as_primitive::<Date32Type>().value(row)),
            DataType::Timestamp(..) => times(array, row),
            other if other.is_integer() => integer(array, row),
            other if other.is_nested() => nested(array, row),
            DataType::Dictionary(..) => of_dictionary(array, row),
            _ => text_or_bytes(array, row),
        }
    }
}

fn integer(array: &dyn Array, row: usize) -> CellValue {
    CellValue::Integer(match array.data_type() {
        DataType::Int8 => array.as_primitive::<Int8Type>().value(row).into(),
        DataType::Int16 => array.as_primitive::<Int16Type>().value(row).into(),
        DataType::Int32 => array.as_primitive::<Int32Type>().value(row).into(),
        DataType::Int64 => array.as_primitive::<Int64Type>().value(row),
        DataType::UInt8 => array.as_primitive::<UInt8Type>().value(row).into(),
        DataType::UInt16 => array.as_primitive::<UInt16Type>().value(row).into(),
        DataType::UInt32 => array.as_primitive::<UInt32Type>().value(row).into(),
        _ => return CellValue::Unsigned(array.as_primitive::<UInt64Type>().value(row)),
    })
}

/// Floored where the unit is finer than milliseconds.
fn times(array: &dyn Array, row: usize) -> CellValue {
    let DataType::Timestamp(unit, _) = array.data_type() else { return CellValue::Null };
    let value = match unit {
        TimeUnit::Second => array.as_primitive::<arrow_array::types::TimestampSecondType>().value(row),
        TimeUnit::Millisecond => {
            array.as_primitive::<arrow_array::types::TimestampMillisecondType>().value(row)
        }
        TimeUnit::Microsecond => {
            array.as_primitive::<arrow_array::types::TimestampMicrosecondType>().value(row)
        }
        TimeUnit::Nanosecond => {
            array.as_primitive::<arrow_array::types::TimestampNanosecondType>().value(row)
        }
    };
    CellValue::Time(match unit {
        TimeUnit::Second => value.saturating_mul(1000),
        TimeUnit::Millisecond => value,
        TimeUnit::Microsecond => value.div_euclid(1000),
        TimeUnit::Nanosecond => value.div_euclid(1_000_000),
    })
}

fn text_or_bytes(array: &dyn Array, row: usize) -> CellValue {
    match array.data_type() {
        DataType::Utf8View => CellValue::Text(array.as_string_view().value(row).to_owned()),
        DataType::LargeUtf8 => CellValue::Text(array.as_string::<i64>().value(row).to_owned()),
        // What a `json` column looks like in Arrow.
        DataType::Utf8 => CellValue::Json(array.as_string::<i32>().value(row).to_owned()),
        DataType::BinaryView => CellValue::Bytes(array.as_binary_view().value(row).to_vec()),
        DataType::Binary => CellValue::Bytes(array.as_binary::<i32>().value(row).to_vec()),
        DataType::LargeBinary => CellValue::Bytes(array.as_binary::<i64>().value(row).to_vec()),
        _ => CellValue::Null,
    }
}

fn of_dictionary(array: &dyn Array, row: usize) -> CellValue {
    downcast_dictionary_array!(
        array => array.key(row).map_or(CellValue::Null, |key| CellValue::of(array.values(), key)),
        _ => CellValue::Null
    )
}

fn nested(array: &dyn Array, row: usize) -> CellValue {
    let list = |items: ArrayRef| CellValue::List(each(&items));
    match array.data_type() {
        DataType::List(_) => list(array.as_list::<i32>().value(row)),
        DataType::LargeList(_) => list(array.as_list::<i64>().value(row)),
        DataType::ListView(_) => list(array.as_list_view::<i32>().value(row)),
        DataType::FixedSizeList(..) => list(array.as_fixed_size_list().value(row)),
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            CellValue::Map(each(entries.column(0)).into_iter().zip(each(entries.column(1))).collect())
        }
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(array.as_struct().columns());
            CellValue::Row(
                columns.map(|(field, column)| (field.name().clone(), CellValue::of(column, row))).collect(),
            )
        }
        _ => of_dictionary(array, row),
    }
}

fn each(items: &ArrayRef) -> Vec<CellValue> {
    (0..items.len()).map(|item| CellValue::of(items, item)).collect()
}

/// A cell as a text; `None` of a null.
pub fn text(array: &dyn Array, row: usize) -> Option<String> {
    let not_finite = |value: f64| {
        let name = if value.is_nan() { "NaN" } else { "Infinity" };
        (!value.is_finite()).then(|| format!("{}{name}", if value == f64::NEG_INFINITY { "-" } else { "" }))
    };
    match CellValue::of_scalar(array, row)? {
        CellValue::Text(text) => Some(text),
        CellValue::Double(value) if !value.is_finite() => not_finite(value),
        CellValue::Float(value) if !value.is_finite() => not_finite(f64::from(value)),
        CellValue::Time(_) | CellValue::Date(_) | CellValue::Bytes(_) => {
            json(array, row).map(|json| json.trim_matches('"').to_owned())
        }
        _ => json(array, row),
    }
}

fn json(array: &dyn Array, row: usize) -> Option<String> {
    let mut json = Vec::new();
    push_cell(array, row, &mut json);
    String::from_utf8(json).ok()
}

impl CellValue {
    /// The value of a cell that holds no others; of others that there is one; `None` of a null.
    fn of_scalar(array: &dyn Array, row: usize) -> Option<CellValue> {
        if array.is_null(row) {
            return None;
        }
        let is_plain = !array.data_type().is_nested() && !matches!(array.data_type(), DataType::Utf8);
        Some(if is_plain { CellValue::of(array, row) } else { CellValue::List(Vec::new()) })
            .filter(|value| *value != CellValue::Null)
    }
}
