//! Times that can be written: a time far outside of the calendar is a mistake of units, and has no RFC 3339 text.

use arrow_array::cast::AsArray;
use arrow_array::types::{ArrowPrimitiveType, Date32Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef, PrimitiveArray};
use arrow_schema::{DataType, TimeUnit};
use std::fmt::Display;
use std::ops::Range;

/// The years 1 to 9999, in milliseconds and in days since 1970.
const MILLIS: Range<i64> = -62_135_596_800_000..253_402_300_800_000;
const DAYS: Range<i32> = -719_162..2_932_897;

/// Refuses values that hold a time outside of the years 1 to 9999.
pub(super) fn check(values: &ArrayRef) -> Result<(), String> {
    match values.data_type() {
        DataType::Timestamp(TimeUnit::Millisecond, _) => {
            within(values.as_primitive::<TimestampMillisecondType>(), &MILLIS, "ms")
        }
        DataType::Date32 => within(values.as_primitive::<Date32Type>(), &DAYS, "days"),
        DataType::List(_) => {
            let (list, rows) = (values.as_list::<i32>(), values.len());
            let (first, end) = (list.value_offsets()[0] as usize, list.value_offsets()[rows] as usize);
            check(&list.values().slice(first, end - first))
        }
        DataType::Struct(_) => values.as_struct().columns().iter().try_for_each(check),
        DataType::Map(_, _) => values.as_map().entries().columns().iter().try_for_each(check),
        _ => Ok(()),
    }
}

fn within<T: ArrowPrimitiveType>(
    values: &PrimitiveArray<T>,
    range: &Range<T::Native>,
    unit: &str,
) -> Result<(), String>
where
    T::Native: PartialOrd + Display,
{
    // Nulls may have any bytes, so that they are looked for only where something is amiss.
    if values.values().iter().all(|value| range.contains(value)) {
        return Ok(());
    }
    match values.iter().flatten().find(|value| !range.contains(value)) {
        None => Ok(()),
        Some(value) => Err(format!(
            "{value} {unit} since 1970 is a time outside of the years 1 to 9999; is it in another unit?"
        )),
    }
}
