//! Windows of the calendar: days, weeks, months, quarters and years as a time zone has them.
//!
//! Knows time zones, from the database that is built in, so that every machine has the same. Must not know queries.

use crate::intervals::number;
use crate::report::Refusal;
use jiff::civil::{Time, date};
use jiff::tz::TimeZone;
use sqlparser::ast::{DateTimeField, Expr, Interval, Spanned, Value};
use sqlparser::tokenizer::Location;
use std::fmt;
use std::sync::Arc;

/// Years whose windows are known, the last one not among them: every time that an event may have, in every zone. The
/// first begins on a Monday, as weeks do.
const YEARS: std::ops::Range<i16> = 1894..2201;

/// The length of a calendar's window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CalendarUnit {
    Day,
    /// From Monday to Sunday.
    Week,
    Month,
    Quarter,
    Year,
}

/// Windows that follow one another as a time zone's calendar has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Calendar {
    pub(crate) unit: CalendarUnit,
    /// The zone's name in the database.
    pub(crate) zone: String,
}

impl fmt::Display for CalendarUnit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            CalendarUnit::Day => "day",
            CalendarUnit::Week => "week",
            CalendarUnit::Month => "month",
            CalendarUnit::Quarter => "quarter",
            CalendarUnit::Year => "year",
        })
    }
}

impl Calendar {
    /// The bounds of the windows, rising, in milliseconds. A day that a zone skipped (as those do that cross the
    /// date line) has no window.
    pub(crate) fn starts(&self) -> Result<Arc<[i64]>, String> {
        let zone = TimeZone::get(&self.zone).map_err(|error| error.to_string())?;
        let step = jiff::Span::new();
        let step = match self.unit {
            CalendarUnit::Day => step.days(1),
            CalendarUnit::Week => step.weeks(1),
            CalendarUnit::Month => step.months(1),
            CalendarUnit::Quarter => step.months(3),
            CalendarUnit::Year => step.years(1),
        };
        let end = date(YEARS.end, 1, 1);
        let dates = date(YEARS.start, 1, 1).series(step).take_while(|date| *date <= end);
        let starts = dates.map(|date| {
            let midnight = zone.to_timestamp(date.to_datetime(Time::midnight()));
            midnight.map(jiff::Timestamp::as_millisecond).map_err(|error| error.to_string())
        });
        let mut starts = starts.collect::<Result<Vec<_>, _>>()?;
        starts.dedup();
        Ok(starts.into())
    }
}

/// The calendar that TUMBLE's length and third argument ask for; `None` if they are a fixed length and an offset.
pub(crate) fn calendar(
    length: &Expr,
    shift: Option<&Expr>,
    at: Location,
) -> Result<Option<Calendar>, Refusal> {
    let zone = shift.and_then(text);
    let Expr::Interval(interval) = length else { return Ok(None) };
    let has_fixed_length = matches!(unit(interval), None | Some(CalendarUnit::Day | CalendarUnit::Week));
    let (name, place) = match (zone, shift) {
        (Some(zone), _) => zone,
        (None, _) if has_fixed_length => return Ok(None),
        (None, None) => ("UTC".to_owned(), at),
        (None, Some(shift)) => {
            let message = format!(
                "windows of the calendar have no offset; write a time zone instead of `{shift}`, such as \
                 'Europe/Berlin'"
            );
            return Err(Refusal::new(located(shift, at), message));
        }
    };
    let length_at = located(length, at);
    let Some(unit) = unit(interval).filter(|_| interval.last_field.is_none()) else {
        let message = format!(
            "`{length}` is not a window of the calendar; with a time zone write INTERVAL '1' DAY, WEEK, MONTH, QUARTER \
             or YEAR"
        );
        return Err(Refusal::new(length_at, message));
    };
    if number(interval, length_at)? != "1" {
        let message = format!(
            "`{length}` is not a window of the calendar, which is one day, week, month, quarter or year; write \
             INTERVAL '1' {}",
            unit.to_string().to_uppercase()
        );
        return Err(Refusal::new(length_at, message));
    }
    Ok(Some(Calendar { unit, zone: zone_named(&name, place)? }))
}

fn located(expression: &Expr, otherwise: Location) -> Location {
    let at = expression.span().start;
    if at.line == 0 { otherwise } else { at }
}

fn unit(interval: &Interval) -> Option<CalendarUnit> {
    use DateTimeField as F;
    Some(match interval.leading_field.as_ref()? {
        F::Day | F::Days => CalendarUnit::Day,
        F::Week(None) | F::Weeks => CalendarUnit::Week,
        F::Month | F::Months => CalendarUnit::Month,
        F::Quarter => CalendarUnit::Quarter,
        F::Year | F::Years => CalendarUnit::Year,
        _ => return None,
    })
}

/// The text of a constant, with its place.
fn text(expression: &Expr) -> Option<(String, Location)> {
    match expression {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some((text.clone(), value.span.start)),
            _ => None,
        },
        _ => None,
    }
}

/// The name of a zone as the database writes it.
pub(crate) fn zone_named(name: &str, at: Location) -> Result<String, Refusal> {
    let zone = weir_event::zone_named(name).map_err(|error| Refusal::new(at, error.quoted('\'')))?;
    Ok(zone.iana_name().unwrap_or(name).to_owned())
}
