//! Flink's functions of time: `HOUR(t)`, `TIMESTAMPDIFF(DAY, a, b)`, `FLOOR(t TO HOUR)`, `t AT TIME ZONE 'z'`.
//!
//! Knows their names and what they are made of. Must not know how they are computed.

use super::patterns::{LIBRARY_PATTERN, doubt, translated};
use super::tree::{call, cast, constant_text, constant_whole, exactly, operation, text, whole};
use crate::calendar::zone_named;
use crate::expressions::{Unit, part_named};
use crate::report::Refusal;
use crate::syntax::{arguments, event_time, place};
use sqlparser::ast::{
    BinaryOperator, CastKind, DataType, DateTimeField, Expr, Function, Spanned, TimezoneInfo, Visit, Visitor,
};
use sqlparser::tokenizer::Location;
use std::ops::ControlFlow;

/// The function that `AT TIME ZONE` is read as.
pub(crate) const AT_TIME_ZONE: &str = "at_time_zone";

/// The units that a time can be truncated to.
const TRUNCATED_TO: [&str; 10] =
    ["year", "quarter", "month", "week", "day", "hour", "minute", "second", "millisecond", "microsecond"];

/// The call in its one form, if it is one of Flink's of time.
pub(super) fn respelt(name: &str, function: &Function) -> Result<Option<Expr>, Refusal> {
    let at = function.name.span().start;
    let part = |part: &str| -> Result<Expr, Refusal> {
        let [of] = exactly(function, &format!("{}(t)", name.to_uppercase()))?;
        Ok(call("date_part", vec![text(part, at), of], at))
    };
    Ok(Some(match name {
        "year" | "quarter" | "month" | "week" | "hour" | "minute" | "second" => part(name)?,
        "dayofmonth" => part("day")?,
        "dayofyear" => part("doy")?,
        // From 1 for Sunday to 7, as in Flink.
        "dayofweek" => operation(part("dow")?, BinaryOperator::Plus, whole(1)),
        "timestampdiff" if !is_respelt(function) => {
            let [unit, from, to] = exactly(function, "TIMESTAMPDIFF(SECOND, from, to)")?;
            call(name, vec![unit_text(&unit, at)?, from, to], at)
        }
        "timestampadd" if !is_respelt(function) => {
            let [unit, count, time] = exactly(function, "TIMESTAMPADD(DAY, 7, t)")?;
            call(name, vec![unit_text(&unit, at)?, count, time], at)
        }
        "unix_timestamp" if arguments(function)?.is_empty() => {
            let message = "UNIX_TIMESTAMP() differs from call to call, so a replay would make other features; write \
                           UNIX_TIMESTAMP(rowtime)";
            return Err(Refusal::new(at, message));
        }
        "unix_timestamp" if arguments(function)?.len() == 2 => {
            let [time, pattern] = exactly(function, "UNIX_TIMESTAMP(text, 'yyyy-MM-dd HH:mm:ss')")?;
            call(name, vec![call("to_timestamp", vec![time, pattern], at)], at)
        }
        "from_unixtime" => from_unixtime(function)?,
        "to_timestamp_ltz" => to_timestamp_ltz(function)?,
        _ => return Ok(None),
    }))
}

/// Whether the unit is a constant text already, in the name that it has in weir.
fn is_respelt(function: &Function) -> bool {
    let first = arguments(function).ok().and_then(|given| given.first().copied().and_then(constant_text));
    first.is_some_and(|(unit, _)| Unit::named(unit).is_ok_and(|(known, _)| known == unit))
}

/// `SECOND`, `'second'` or `SQL_TSI_SECOND`.
fn unit_text(unit: &Expr, at: Location) -> Result<Expr, Refusal> {
    let at = place(unit, at);
    let name = match unit {
        Expr::Identifier(name) => name.value.clone(),
        other => constant_text(other).map_or_else(|| other.to_string(), |(name, _)| name.to_owned()),
    };
    Unit::named(&name).map(|(known, _)| text(known, at)).map_err(|message| Refusal::new(at, message))
}

/// Seconds since 1970 as text, in Flink's usual pattern or the one that is given.
fn from_unixtime(function: &Function) -> Result<Expr, Refusal> {
    let at = function.name.span().start;
    let (seconds, pattern) = match arguments(function)?.as_slice() {
        [seconds] => ((*seconds).clone(), text("%Y-%m-%d %H:%M:%S", at)),
        [seconds, pattern] => ((*seconds).clone(), (*pattern).clone()),
        _ => {
            return exactly::<2>(function, "FROM_UNIXTIME(n, 'yyyy-MM-dd HH:mm:ss')")
                .map(|_| super::tree::null());
        }
    };
    Ok(call("date_format", vec![call("to_timestamp_seconds", vec![seconds], at), pattern], at))
}

/// Seconds or milliseconds since 1970 as a time.
fn to_timestamp_ltz(function: &Function) -> Result<Expr, Refusal> {
    let at = function.name.span().start;
    let [number, digits] =
        exactly(function, "TO_TIMESTAMP_LTZ(n, 3) for milliseconds since 1970, 0 for seconds")?;
    let name = match constant_whole(&digits) {
        Some(0) => "to_timestamp_seconds",
        Some(3) => "to_timestamp_millis",
        _ => {
            let message = "the second argument of TO_TIMESTAMP_LTZ is 0 for seconds or 3 for milliseconds";
            return Err(Refusal::new(place(&digits, at), message));
        }
    };
    Ok(call(name, vec![number], at))
}

/// `EXTRACT(part FROM t)`.
pub(super) fn extract(field: &DateTimeField, of: Expr, at: Location) -> Result<Expr, Refusal> {
    let name = match field {
        DateTimeField::DayOfWeek => {
            return Ok(operation(
                call("date_part", vec![text("dow", at), of], at),
                BinaryOperator::Plus,
                whole(1),
            ));
        }
        field => field.to_string(),
    };
    let part = part_named(&name).map_err(|message| Refusal::new(at, message))?;
    Ok(call("date_part", vec![text(part, at), of], at))
}

/// The name in the library of a unit that a time is truncated to.
pub(super) fn truncated_to(name: &str, at: Location) -> Result<&'static str, Refusal> {
    let lower = name.to_lowercase();
    TRUNCATED_TO.into_iter().find(|known| *known == lower).ok_or_else(|| {
        let known: Vec<_> = TRUNCATED_TO.iter().map(|known| known.to_uppercase()).collect();
        Refusal::new(
            at,
            format!("`{name}` is not a unit that a time is truncated to; write one of {}", known.join(", ")),
        )
    })
}

/// `FLOOR(t TO unit)`.
pub(super) fn floor_to(time: Expr, unit: &DateTimeField, at: Location) -> Result<Expr, Refusal> {
    let unit = truncated_to(&unit.to_string(), at)?;
    Ok(call("date_trunc", vec![text(unit, at), time], at))
}

/// `CEIL(t TO unit)`: the time itself where a unit begins, else the beginning of the next one.
pub(super) fn ceil_to(time: Expr, unit: &DateTimeField, at: Location) -> Result<Expr, Refusal> {
    let unit = truncated_to(&unit.to_string(), at)?;
    if unit == "microsecond" {
        return Err(Refusal::new(at, "times are whole milliseconds; write CEIL(t TO SECOND)"));
    }
    let before = call("timestampadd", vec![text("millisecond", at), whole(-1), time], at);
    let floor = call("date_trunc", vec![text(unit, at), before], at);
    Ok(call("timestampadd", vec![text(unit, at), whole(1), floor], at))
}

/// `t AT TIME ZONE 'z'`.
pub(super) fn at_time_zone(time: Expr, zone: &Expr, at: Location) -> Result<Expr, Refusal> {
    let Some((name, place)) = constant_text(zone) else {
        let message = format!("a time zone is a constant text; write 'Europe/Berlin' instead of `{zone}`");
        return Err(Refusal::new(place(zone, at), message));
    };
    let name = if is_offset(name) { name.to_owned() } else { zone_named(name, place)? };
    Ok(call(AT_TIME_ZONE, vec![time, text(&name, place)], at))
}

/// `+02:00`.
fn is_offset(name: &str) -> bool {
    let bytes = name.as_bytes();
    let number = |from: usize| name.get(from..from + 2).and_then(|it| it.parse::<u8>().ok());
    bytes.len() == 6
        && matches!(bytes[0], b'+' | b'-')
        && bytes[3] == b':'
        && number(1).is_some_and(|hours| hours < 15)
        && number(4).is_some_and(|minutes| minutes < 60)
}

/// The date of the row.
pub(super) fn current_date(at: Location) -> Expr {
    cast(CastKind::Cast, event_time(at), DataType::Date)
}

/// Reads `TIMESTAMP_LTZ` as what every timestamp is.
pub(super) fn plain(data_type: &mut DataType) {
    if let DataType::Custom(name, _) = data_type
        && name.to_string().eq_ignore_ascii_case("timestamp_ltz")
    {
        *data_type = DataType::Timestamp(Some(3), TimezoneInfo::None);
    }
}

/// Doubts about the patterns of times in a part of a query, as it was written.
pub(crate) fn doubtful_patterns<T: Visit>(part: &T) -> Vec<(Location, String)> {
    struct Patterns(Vec<(Location, String)>);
    impl Visitor for Patterns {
        type Break = ();
        fn pre_visit_expr(&mut self, expression: &Expr) -> ControlFlow<()> {
            const FUNCTIONS: [&str; 5] =
                ["date_format", "from_unixtime", "to_date", "to_timestamp", "unix_timestamp"];
            if let Expr::Function(function) = expression
                && FUNCTIONS.contains(&function.name.to_string().to_lowercase().as_str())
                && let Some(given) = arguments(function).ok().and_then(|given| given.get(1).copied())
                && let Some((written, at)) = constant_text(given)
                && let Some(doubt) = doubt(written)
            {
                self.0.push((at, format!("the pattern '{written}': {doubt}")));
            }
            ControlFlow::Continue(())
        }
    }
    let mut patterns = Patterns(Vec::new());
    let _ = part.visit(&mut patterns);
    patterns.0
}

/// Translates the pattern of a function that writes or reads times; `is_zoned` if its time has a zone.
pub(super) fn pattern(name: &str, pattern: &mut Expr, is_zoned: bool) -> Result<(), Refusal> {
    let Some((written, at)) = constant_text(pattern) else {
        let message =
            format!("the pattern of {} is a constant text, such as {LIBRARY_PATTERN}", name.to_uppercase());
        return Err(Refusal::new(place(pattern, Location { line: 0, column: 0 }), message));
    };
    let takes_java = name != "to_char";
    let library = translated(written, takes_java, is_zoned).map_err(|message| Refusal::new(at, message))?;
    *pattern = text(&library, at);
    Ok(())
}
