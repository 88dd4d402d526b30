//! Which types of a file fit which declared types, and columns of the one as columns of the other.
//!
//! As everywhere: whole numbers fit `double`, text never becomes a number nor a number text, decimals keep all digits, and
//! finer times are floored to milliseconds. What does not fit as a type is refused as a column, what does not as a value as
//! a row.

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int64Type, TimestampMicrosecondType, TimestampNanosecondType};
use arrow_array::{
    Array, ArrayRef, Int64Array, ListArray, StringArray, StructArray, TimestampMillisecondArray, UInt32Array,
    new_null_array,
};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType as ArrowType, Field as ArrowField, Fields, TimeUnit as ArrowUnit};
use arrow_select::concat::concat;
use arrow_select::take::take;
use std::sync::Arc;
use weir_event::suggestion::shown;
use weir_event::{DataType, EventTime, Field, TimeForm, TimeUnit};

/// What Hive writes for the value of a partition that is null or empty.
const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// A column of a declared type.
#[derive(Debug)]
pub(super) struct Fitted {
    /// Null where a value does not fit.
    pub(super) array: ArrayRef,
    /// The rows of which it does not, and why.
    pub(super) failed: Vec<(usize, String)>,
}

/// A column of a file as one of the declared type; the error is that it can never be one.
pub(super) fn fit(array: &ArrayRef, field: &Field) -> Result<Fitted, String> {
    let (from, to) = (array.data_type(), &field.data_type);
    if let (DataType::Timestamp, true) = (to, !matches!(from, ArrowType::Timestamp(..) | ArrowType::Null)) {
        return written_times(array, &field.form);
    }
    if !fits(from, to) {
        return Err(format!("it is {from} in the file, which does not fit the declared `{to}`"));
    }
    if let Ok(array) = fitted(array, to) {
        return Ok(Fitted { array, failed: Vec::new() });
    }
    // Some value does not fit: which ones is found one by one.
    let (mut parts, mut failed) = (Vec::with_capacity(array.len()), Vec::new());
    for row in 0..array.len() {
        parts.push(fitted(&array.slice(row, 1), to).unwrap_or_else(|error| {
            failed.push((row, error.to_string()));
            new_null_array(&to.to_arrow(), 1)
        }));
    }
    let parts: Vec<&dyn Array> = parts.iter().map(AsRef::as_ref).collect();
    let array = concat(&parts).map_err(|error| error.to_string())?;
    Ok(Fitted { array, failed })
}

/// The value of a partition, in each of so many rows. It stands in a path, so that numbers are written as text.
pub(super) fn of_partition(value: &str, field: &Field, count: usize) -> Result<ArrayRef, String> {
    let to = field.data_type.to_arrow();
    if value == NO_VALUE {
        return Ok(new_null_array(&to, count));
    }
    let text: ArrayRef = Arc::new(StringArray::from(vec![value]));
    let one = if field.data_type == DataType::Timestamp {
        let Fitted { array, failed } = written_times(&text, &field.form)?;
        failed.into_iter().next().map_or(Ok(array), |(_, reason)| Err(reason))
    } else {
        cast(&text, &to).map_err(|error| error.to_string())
    };
    let one = one.map_err(|error| {
        format!("the partition's value `{value}` is not of type {}: {error}", field.data_type)
    })?;
    take(&one, &UInt32Array::from(vec![0; count]), None).map_err(|error| error.to_string())
}

fn is_text(of: &ArrowType) -> bool {
    matches!(of, ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View)
}

fn is_decimal(of: &ArrowType) -> bool {
    matches!(
        of,
        ArrowType::Decimal32(..)
            | ArrowType::Decimal64(..)
            | ArrowType::Decimal128(..)
            | ArrowType::Decimal256(..)
    )
}

fn fits(from: &ArrowType, to: &DataType) -> bool {
    if let ArrowType::Dictionary(_, values) = from {
        return fits(values, to);
    }
    if *from == ArrowType::Null {
        return true;
    }
    match to {
        DataType::String | DataType::Json => is_text(from),
        DataType::Bigint | DataType::Int => from.is_integer(),
        DataType::Double | DataType::Float => from.is_integer() || from.is_floating() || is_decimal(from),
        DataType::Decimal(_) => from.is_integer() || is_decimal(from),
        DataType::Boolean => *from == ArrowType::Boolean,
        DataType::Timestamp => matches!(from, ArrowType::Timestamp(..)),
        DataType::Date => matches!(from, ArrowType::Date32 | ArrowType::Date64),
        DataType::Bytes => matches!(
            from,
            ArrowType::Binary
                | ArrowType::LargeBinary
                | ArrowType::BinaryView
                | ArrowType::FixedSizeBinary(_)
        ),
        DataType::Array(item) => match from {
            ArrowType::List(of) | ArrowType::LargeList(of) | ArrowType::FixedSizeList(of, _) => {
                fits(of.data_type(), item)
            }
            _ => false,
        },
        DataType::Map(key, value) => match from {
            ArrowType::Map(entries, _) => match entries.data_type() {
                ArrowType::Struct(fields) if fields.len() == 2 => {
                    fits(fields[0].data_type(), key) && fits(fields[1].data_type(), value)
                }
                _ => false,
            },
            _ => false,
        },
        DataType::Row(members) => match from {
            ArrowType::Struct(fields) => members.iter().all(|(name, member)| {
                fields.find(name).is_none_or(|(_, field)| fits(field.data_type(), member))
            }),
            _ => false,
        },
    }
}

fn cast(array: &dyn Array, to: &ArrowType) -> Result<ArrayRef, ArrowError> {
    cast_with_options(array, to, &CastOptions { safe: false, ..CastOptions::default() })
}

/// A column that fits, as one of the declared type; the error is of some value.
fn fitted(array: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    let arrow = to.to_arrow();
    match (array.data_type(), to) {
        (ArrowType::Null, _) => Ok(new_null_array(&arrow, array.len())),
        (ArrowType::Timestamp(unit, _), DataType::Timestamp) => in_millis(array, *unit),
        (from, DataType::Decimal(_)) if is_decimal(from) => {
            let decimal = cast(array, &arrow)?;
            let same = cast(&decimal, from)?;
            if same.to_data() != array.to_data() {
                return Err(ArrowError::CastError(format!("it has digits that {to} does not hold")));
            }
            Ok(decimal)
        }
        (ArrowType::LargeList(item) | ArrowType::FixedSizeList(item, _), DataType::Array(_)) => {
            let list = cast(array, &ArrowType::List(item.clone()))?;
            fitted(&list, to)
        }
        (ArrowType::List(_), DataType::Array(item)) => {
            let list = array.as_list::<i32>();
            let field = Arc::new(ArrowField::new("item", item.to_arrow(), true));
            let values = fitted(list.values(), item)?;
            let list = ListArray::try_new(field, list.offsets().clone(), values, list.nulls().cloned())?;
            Ok(Arc::new(list))
        }
        (ArrowType::Struct(_), DataType::Row(members)) => {
            let row = array.as_struct();
            let columns = members.iter().map(|(name, member)| match row.column_by_name(name) {
                Some(column) => fitted(column, member),
                None => Ok(new_null_array(&member.to_arrow(), array.len())),
            });
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            let ArrowType::Struct(fields) = arrow else { return cast(array, &arrow) };
            Ok(Arc::new(StructArray::try_new(Fields::clone(&fields), columns, row.nulls().cloned())?))
        }
        _ => cast(array, &arrow),
    }
}

/// Times floored to milliseconds, without a zone: all are in UTC.
fn in_millis(array: &ArrayRef, unit: ArrowUnit) -> Result<ArrayRef, ArrowError> {
    let millis: TimestampMillisecondArray = match unit {
        ArrowUnit::Second | ArrowUnit::Millisecond => {
            let millis = cast(array, &ArrowType::Timestamp(ArrowUnit::Millisecond, None))?;
            return Ok(millis);
        }
        ArrowUnit::Microsecond => {
            array.as_primitive::<TimestampMicrosecondType>().unary(|micros| micros.div_euclid(1000))
        }
        ArrowUnit::Nanosecond => {
            array.as_primitive::<TimestampNanosecondType>().unary(|nanos| nanos.div_euclid(1_000_000))
        }
    };
    Ok(Arc::new(millis))
}

/// Times that the file holds as numbers or as text, as the definition says that they are written.
fn written_times(array: &ArrayRef, form: &TimeForm) -> Result<Fitted, String> {
    let mut failed = Vec::new();
    let mut times = TimestampMillisecondArray::builder(array.len());
    let from = array.data_type();
    let plain = match from {
        ArrowType::Dictionary(_, values) => values,
        other => other,
    };
    if plain.is_integer() && !matches!(form, TimeForm::Pattern(_)) {
        let unit = if let TimeForm::Unit(unit) = form { *unit } else { TimeUnit::Millis };
        let numbers = cast(array, &ArrowType::Int64).map_err(|error| error.to_string())?;
        let numbers: &Int64Array = numbers.as_primitive::<Int64Type>();
        for (row, number) in numbers.iter().enumerate() {
            let time = number.map(|number| unit.millis(number).ok_or(number));
            if let Some(Err(number)) = time {
                failed.push((row, format!("{number} is not a time that can be held")));
            }
            times.append_option(time.and_then(Result::ok));
        }
    } else if let (ArrowType::Float64, TimeForm::Unit(unit)) = (plain, form) {
        let numbers = cast(array, &ArrowType::Float64).map_err(|error| error.to_string())?;
        for (row, number) in numbers.as_primitive::<Float64Type>().iter().enumerate() {
            let time = number.map(|number| unit.read(&number.to_string()).ok_or(number));
            if let Some(Err(number)) = time {
                failed.push((row, format!("{number} is not a time that can be held")));
            }
            times.append_option(time.and_then(Result::ok).map(EventTime::millis));
        }
    } else if is_text(plain) && !matches!(form, TimeForm::Unit(_)) {
        let texts = cast(array, &ArrowType::Utf8).map_err(|error| error.to_string())?;
        for (row, text) in texts.as_string::<i32>().iter().enumerate() {
            let time = text.map(|text| time(text, form));
            if let Some(Err(reason)) = &time {
                failed.push((row, reason.clone()));
            }
            times.append_option(time.and_then(Result::ok).map(EventTime::millis));
        }
    } else {
        return Err(format!(
            "it is {from} in the file, which is not how the declared `timestamp` is written"
        ));
    }
    Ok(Fitted { array: Arc::new(times.finish()), failed })
}

fn time(text: &str, form: &TimeForm) -> Result<EventTime, String> {
    match form {
        TimeForm::Pattern(pattern) => pattern
            .read(text)
            .ok_or_else(|| format!("`{}` is not a time of the declared pattern", shown(text))),
        _ => text.parse::<EventTime>().map_err(|error| error.to_string()),
    }
}
