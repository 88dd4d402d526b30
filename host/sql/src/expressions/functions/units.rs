//! `TIMESTAMPDIFF(unit, a, b)` and `TIMESTAMPADD(unit, n, t)`: whole units between times, and times so many units away.
//!
//! Months and what is made of them are the calendar's, as are days of a time in a zone; all other units have a fixed
//! length. Must not know how a query spells them.

use super::{Own, as_time, is_text, is_whole};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use arrow_array::{ArrayRef, Int64Array, TimestampMillisecondArray};
use arrow_schema::{DataType, TimeUnit};
use datafusion_common::{DataFusionError, Result};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use std::sync::Arc;

pub(super) const FUNCTIONS: [Own; 2] = [
    Own {
        name: "timestampdiff",
        told: None,
        takes: "a unit and two times",
        arguments: |given| match given {
            [unit, from, to] if is_text(unit) => Some(vec![DataType::Utf8, as_time(from)?, as_time(to)?]),
            _ => None,
        },
        result: |_, _| Ok(DataType::Int64),
        call: |call| difference(call.text(0)?, &call.array(1)?, &call.array(2)?),
    },
    Own {
        name: "timestampadd",
        told: None,
        takes: "a unit, a whole number and a time",
        arguments: |given| match given {
            [unit, count, time] if is_text(unit) && is_whole(count) => {
                Some(vec![DataType::Utf8, DataType::Int64, as_time(time)?])
            }
            _ => None,
        },
        result: |types, _| Ok(types.get(2).cloned().unwrap_or(DataType::Null)),
        call: |call| later(call.text(0)?, &call.array(1)?, &call.array(2)?),
    },
];

/// A unit of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Of so many milliseconds.
    Fixed(i64),
    Days(i64),
    Months(i64),
}

const NAMES: [(&str, Unit); 9] = [
    ("millisecond", Unit::Fixed(1)),
    ("second", Unit::Fixed(1_000)),
    ("minute", Unit::Fixed(60_000)),
    ("hour", Unit::Fixed(3_600_000)),
    ("day", Unit::Days(1)),
    ("week", Unit::Days(7)),
    ("month", Unit::Months(1)),
    ("quarter", Unit::Months(3)),
    ("year", Unit::Months(12)),
];

impl Unit {
    /// The unit of a name, which may be a plural or begin with `SQL_TSI_`, with the name that it has here; the error
    /// names those that there are.
    pub(crate) fn named(name: &str) -> Result<(&'static str, Unit), String> {
        let lower = name.to_lowercase();
        let lower = lower.strip_prefix("sql_tsi_").unwrap_or(&lower);
        let found = NAMES.iter().find(|(known, _)| lower.strip_suffix('s').unwrap_or(lower) == *known);
        found.copied().ok_or_else(|| {
            let known: Vec<_> = NAMES.iter().map(|(known, _)| known.to_uppercase()).collect();
            format!("`{name}` is not a unit of time; write one of {}", known.join(", "))
        })
    }

    fn of(name: &str) -> Result<Unit> {
        Unit::named(name).map(|(_, unit)| unit).map_err(DataFusionError::Execution)
    }
}

/// The clock that times of a type are read by.
fn clock(data_type: &DataType) -> Result<TimeZone> {
    match data_type {
        DataType::Timestamp(_, Some(zone)) => zone_named(zone),
        _ => Ok(TimeZone::UTC),
    }
}

fn is_zoned(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Timestamp(_, Some(_)))
}

fn zone_named(name: &str) -> Result<TimeZone> {
    let zone = TimeZone::get(name).or_else(|_| {
        let offset = format!("2000-01-01T00:00[{name}]");
        offset.parse::<jiff::Zoned>().map(|time| time.time_zone().clone())
    });
    zone.map_err(failed)
}

#[allow(clippy::needless_pass_by_value, reason = "what map_err hands over")]
fn failed(error: jiff::Error) -> DataFusionError {
    DataFusionError::Execution(error.to_string())
}

fn civil(millis: i64, clock: &TimeZone) -> Result<DateTime> {
    Ok(clock.to_datetime(Timestamp::from_millisecond(millis).map_err(failed)?))
}

fn difference(unit: &str, from: &ArrayRef, to: &ArrayRef) -> Result<ArrayRef> {
    let zoned = if is_zoned(from.data_type()) { from } else { to };
    let (unit, clock) = (Unit::of(unit)?, clock(zoned.data_type())?);
    let (from, to) =
        (from.as_primitive::<TimestampMillisecondType>(), to.as_primitive::<TimestampMillisecondType>());
    let units: Result<Int64Array> = from
        .iter()
        .zip(to.iter())
        .map(|(from, to)| match (from, to) {
            (Some(from), Some(to)) => units_between(unit, from, to, &clock).map(Some),
            _ => Ok(None),
        })
        .collect();
    Ok(Arc::new(units?))
}

fn units_between(unit: Unit, from: i64, to: i64, clock: &TimeZone) -> Result<i64> {
    let clocks = || Ok::<_, DataFusionError>((civil(from, clock)?, civil(to, clock)?));
    match unit {
        Unit::Fixed(millis) => Ok(to.checked_sub(from).ok_or_else(out_of_range)? / millis),
        Unit::Days(days) => {
            let (from, to) = clocks()?;
            Ok(i64::from(from.until((jiff::Unit::Day, to)).map_err(failed)?.get_days()) / days)
        }
        Unit::Months(months) => {
            let (from, to) = clocks()?;
            let between = if from <= to { months_between(from, to) } else { -months_between(to, from) };
            Ok(between / months)
        }
    }
}

/// How many months can be added to the earlier time without passing the later one; the 31st and a month is the last
/// day of a shorter month.
fn months_between(from: DateTime, to: DateTime) -> i64 {
    let years = i64::from(to.year()) - i64::from(from.year());
    let months = years * 12 + i64::from(to.month()) - i64::from(from.month());
    let is_past = from.checked_add(months.months()).is_ok_and(|after| after > to);
    months - i64::from(is_past)
}

fn later(unit: &str, counts: &ArrayRef, times: &ArrayRef) -> Result<ArrayRef> {
    let (unit, clock) = (Unit::of(unit)?, clock(times.data_type())?);
    let zone = match times.data_type() {
        DataType::Timestamp(TimeUnit::Millisecond, zone) => zone.clone(),
        _ => None,
    };
    let times = times.as_primitive::<TimestampMillisecondType>();
    let later: Result<TimestampMillisecondArray> = counts
        .as_primitive::<Int64Type>()
        .iter()
        .zip(times.iter())
        .map(|(count, time)| match (count, time) {
            (Some(count), Some(time)) => moved(unit, count, time, &clock).map(Some),
            _ => Ok(None),
        })
        .collect();
    Ok(Arc::new(later?.with_timezone_opt(zone)))
}

fn moved(unit: Unit, count: i64, time: i64, clock: &TimeZone) -> Result<i64> {
    let by = |units: i64| count.checked_mul(units).ok_or_else(out_of_range);
    let span = match unit {
        Unit::Fixed(millis) => return time.checked_add(by(millis)?).ok_or_else(out_of_range),
        Unit::Days(days) => 0.days().try_days(by(days)?),
        Unit::Months(months) => 0.months().try_months(by(months)?),
    };
    let moved = civil(time, clock)?.checked_add(span.map_err(failed)?).map_err(failed)?;
    Ok(clock.to_timestamp(moved).map_err(failed)?.as_millisecond())
}

fn out_of_range() -> DataFusionError {
    DataFusionError::Execution("the time or the number of units is out of range".to_owned())
}
