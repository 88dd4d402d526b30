//! Parts of times and of lengths of time: `EXTRACT(HOUR FROM t)`, `EXTRACT(EPOCH FROM b - a)`, `UNIX_TIMESTAMP(t)`.
//!
//! Knows what each part is. Must not know time zones: a time that has one comes with it.

use super::{BatchCall, Constants, Own, as_time, constant_text, is_text};
use arrow_array::cast::AsArray;
use arrow_array::types::{DurationMillisecondType, Float64Type, Int64Type, TimestampMillisecondType};
use arrow_array::{ArrayRef, PrimitiveArray};
use arrow_schema::{DataType, Field, TimeUnit};
use datafusion_common::config::ConfigOptions;
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::ScalarFunctionArgs;
use std::sync::Arc;

pub(super) const FUNCTIONS: [Own; 2] = [
    Own {
        name: "date_part",
        told: None,
        takes: "a part, such as 'hour', and a time or a difference of times",
        arguments: |given| match given {
            [part, of] if is_text(part) => Some(vec![DataType::Utf8, part_of(of)?]),
            _ => None,
        },
        result: part_type,
        call: part,
    },
    Own {
        name: "unix_timestamp",
        told: None,
        takes: "a time, or a text that is one",
        arguments: |given| match given {
            [of] if is_text(of) => Some(vec![DataType::Timestamp(TimeUnit::Millisecond, None)]),
            [of] => as_time(of).map(|time| vec![time]),
            _ => None,
        },
        result: |_, _| Ok(DataType::Int64),
        call: |call| {
            let times = call.array(0)?;
            let seconds: PrimitiveArray<Int64Type> =
                times.as_primitive::<TimestampMillisecondType>().unary(|millis| millis.div_euclid(1000));
            Ok(Arc::new(seconds))
        },
    },
];

/// The parts that there are, each with other names for it.
const PARTS: [(&str, &[&str]); 15] = [
    ("year", &["years"]),
    ("isoyear", &[]),
    ("quarter", &["quarters"]),
    ("month", &["months"]),
    ("week", &["weeks", "isoweek"]),
    ("day", &["days", "dayofmonth"]),
    ("doy", &["dayofyear"]),
    ("dow", &[]),
    ("isodow", &[]),
    ("hour", &["hours"]),
    ("minute", &["minutes"]),
    ("second", &["seconds"]),
    ("millisecond", &["milliseconds"]),
    ("microsecond", &["microseconds"]),
    ("epoch", &[]),
];

/// The name that a part has here; the error names those that there are.
pub(crate) fn part_named(name: &str) -> Result<&'static str, String> {
    let lower = name.trim_matches(['\'', '"']).to_lowercase();
    let found = PARTS.iter().find(|(known, others)| *known == lower || others.contains(&lower.as_str()));
    found.map(|(known, _)| *known).ok_or_else(|| {
        let known: Vec<_> = PARTS.iter().map(|(known, _)| known.to_uppercase()).collect();
        format!("`{name}` is not a part of a time; write one of {}", known.join(", "))
    })
}

/// The type in which a part is taken of a value.
fn part_of(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Duration(_) => Some(DataType::Duration(TimeUnit::Millisecond)),
        DataType::Date32 | DataType::Date64 => Some(DataType::Date32),
        other => as_time(other),
    }
}

fn part_type(types: &[DataType], constants: &Constants<'_>) -> Result<DataType> {
    let part = constant_text(constants.first().copied().flatten()).unwrap_or_default();
    if part == "epoch" {
        return Ok(DataType::Float64);
    }
    if !matches!(types.get(1), Some(DataType::Duration(_))) {
        return Ok(DataType::Int32);
    }
    match unit_millis(part) {
        Some(_) => Ok(DataType::Int64),
        None => Err(DataFusionError::Plan(format!(
            "a difference of times has no part `{part}`; write DAY, HOUR, MINUTE, SECOND, MILLISECOND or EPOCH, or \
             TIMESTAMPDIFF(MONTH, a, b)"
        ))),
    }
}

fn unit_millis(part: &str) -> Option<i64> {
    Some(match part {
        "week" => 7 * 86_400_000,
        "day" => 86_400_000,
        "hour" => 3_600_000,
        "minute" => 60_000,
        "second" => 1_000,
        "millisecond" => 1,
        _ => return None,
    })
}

fn part(call: &BatchCall<'_>) -> Result<ArrayRef> {
    let (part, of) = (call.text(0)?, call.array(1)?);
    let Some(lengths) = of.as_primitive_opt::<DurationMillisecondType>() else {
        return library_part(call);
    };
    // A difference of times has no calendar, so that its part is the whole of it in that unit.
    if part == "epoch" {
        let seconds: PrimitiveArray<Float64Type> = lengths.unary(|millis| millis as f64 / 1000.0);
        return Ok(Arc::new(seconds));
    }
    let unit = unit_millis(part).unwrap_or(1);
    let whole: PrimitiveArray<Int64Type> = lengths.unary(|millis| millis / unit);
    Ok(Arc::new(whole))
}

fn library_part(call: &BatchCall<'_>) -> Result<ArrayRef> {
    let library = datafusion_functions::datetime::date_part();
    let arguments = ScalarFunctionArgs {
        args: call.arguments.to_vec(),
        arg_fields: call
            .arguments
            .iter()
            .map(|argument| Arc::new(Field::new("", argument.data_type(), true)))
            .collect(),
        number_rows: call.rows,
        return_field: Arc::new(Field::new("", call.result.clone(), true)),
        config_options: Arc::new(ConfigOptions::default()),
    };
    library.invoke_with_args(arguments)?.into_array(call.rows)
}
