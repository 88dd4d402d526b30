//! Intervals of a fixed length.
//!
//! Knows numbers and units. Must not know windows.

use crate::report::Refusal;
use sqlparser::ast::{DateTimeField, Expr, Interval, Spanned, UnaryOperator, Value};
use sqlparser::tokenizer::Location;
use weir_event::Span;

/// Reads an INTERVAL of a fixed length; it stands at or after `at`.
pub(crate) fn interval(expression: &Expr, at: Location) -> Result<Span, Refusal> {
    let place = expression.span().start;
    let at = if place.line == 0 { at } else { place };
    let Expr::Interval(interval) = expression else {
        let meant = quoted(expression).and_then(meant).unwrap_or_else(|| "INTERVAL '90' DAY".to_owned());
        let message = format!("`{expression}` is not a length of time; write it as {meant}");
        return Err(Refusal::new(at, message));
    };
    if interval.last_field.is_some() {
        let message = "intervals of two units are not available; write one number and one unit, such as INTERVAL '90' \
                       MINUTE";
        return Err(Refusal::new(at, message));
    }
    if interval.leading_field.is_none()
        && let Some(meant) = quoted(&interval.value).and_then(meant)
    {
        return Err(Refusal::new(at, format!("an interval's unit stands behind the quotes; write {meant}")));
    }
    let (number, unit_millis) = (number(interval, at)?, unit(interval.leading_field.as_ref(), at)?);
    millis(&number, unit_millis).map(Span::from_millis).ok_or_else(|| {
        let message = format!(
            "INTERVAL '{number}' is not a whole number of milliseconds in range; write INTERVAL '90' DAY"
        );
        Refusal::new(at, message)
    })
}

/// A text in single quotes.
fn quoted(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => Some(text),
            _ => None,
        },
        _ => None,
    }
}

/// `INTERVAL '24' HOUR` of `24 hours`, as other databases write it.
fn meant(text: &str) -> Option<String> {
    let (number, unit) = text.trim().split_once(' ')?;
    let unit = unit.trim().to_uppercase();
    let unit = unit.strip_suffix('S').unwrap_or(&unit);
    let units = ["DAY", "HOUR", "MINUTE", "SECOND", "MILLISECOND", "WEEK", "MONTH", "YEAR"];
    (number.parse::<f64>().is_ok() && units.contains(&unit)).then(|| format!("INTERVAL '{number}' {unit}"))
}

/// Whether an interval counts weeks.
pub(crate) fn is_weeks(expression: &Expr) -> bool {
    let Expr::Interval(interval) = expression else { return false };
    matches!(interval.leading_field, Some(DateTimeField::Week(_) | DateTimeField::Weeks))
}

/// The number of an interval, as it was written.
pub(crate) fn number(interval: &Interval, at: Location) -> Result<String, Refusal> {
    let (sign, value) = match &*interval.value {
        Expr::UnaryOp { op: UnaryOperator::Minus, expr } => ("-", &**expr),
        value => ("", value),
    };
    match value {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) | Value::Number(text, _) => Ok(format!("{sign}{}", text.trim())),
            _ => Err(Refusal::new(at, "an interval is one number and one unit, such as INTERVAL '90' DAY")),
        },
        _ => Err(Refusal::new(at, "an interval is a constant, such as INTERVAL '90' DAY")),
    }
}

fn unit(field: Option<&DateTimeField>, at: Location) -> Result<i64, Refusal> {
    use DateTimeField as F;
    match field {
        Some(F::Week(_) | F::Weeks) => Ok(7 * 86_400_000),
        Some(F::Day | F::Days) => Ok(86_400_000),
        Some(F::Hour | F::Hours) => Ok(3_600_000),
        Some(F::Minute | F::Minutes) => Ok(60_000),
        Some(F::Second | F::Seconds) => Ok(1_000),
        Some(F::Millisecond | F::Milliseconds) => Ok(1),
        Some(F::Month | F::Months | F::Year | F::Years | F::Quarter) => Err(Refusal::new(
            at,
            "months and years have no fixed length; write days, such as INTERVAL '30' DAY",
        )),
        Some(other) => {
            let message = format!(
                "an interval in units of {other} is not available; write DAY, HOUR, MINUTE or SECOND"
            );
            Err(Refusal::new(at, message))
        }
        None => {
            Err(Refusal::new(at, "the interval has no unit; write it after the quotes, as INTERVAL '90' DAY"))
        }
    }
}

/// A decimal number of units in whole milliseconds; `None` if there is a remainder or it is out of range.
fn millis(number: &str, unit_millis: i64) -> Option<i64> {
    let (sign, digits) = number.strip_prefix('-').map_or((1, number), |digits| (-1, digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !all_digits(whole) || !all_digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let whole = whole.parse::<i64>().ok()?.checked_mul(unit_millis)?;
    let scale = 10_i128.pow(fraction.len() as u32);
    let parts = fraction.parse::<i128>().unwrap_or(0) * i128::from(unit_millis);
    if parts % scale != 0 {
        return None;
    }
    whole.checked_add((parts / scale) as i64)?.checked_mul(sign)
}
