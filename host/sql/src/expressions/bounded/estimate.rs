//! What a call would cost, from its arguments alone.
//!
//! Knows the functions whose values or whose work may be far larger than what they are given.

use super::{BATCH_LIMIT_BYTES, VALUE_LIMIT_BYTES, size, too_large};
use arrow_array::cast::AsArray;
use arrow_array::types::{Date32Type, Int64Type, IntervalMonthDayNanoType};
use arrow_array::{Array, ArrayRef, Int64Array, StringArray};
use arrow_cast::cast;
use arrow_schema::{DataType, TimeUnit};
use datafusion_common::{DataFusionError, Result};
use datafusion_expr::ColumnarValue;

/// The most pairs of items that a call compares one by one: some tens of milliseconds.
const PAIRS_LIMIT: u128 = 1 << 24;

/// The longest pattern that may come with an event, and how often it may repeat a part of itself: what a pattern is
/// compiled to grows with both, and it is compiled for each event.
const PATTERN_LIMIT_BYTES: u64 = 1024;
const REPETITIONS_LIMIT: u64 = 100;

/// What a call costs per row.
enum Cost {
    /// The bytes of its value.
    Bytes(fn(&[Argument], usize) -> u128),
    /// The most bytes that its value may have: it is refused where even the memory of a batch would not do.
    BytesAtMost(fn(&[Argument], usize) -> u128),
    /// The pairs of items that it compares.
    Pairs(fn(&[Argument], usize) -> u128),
}

/// An argument, a value per row.
struct Argument {
    values: ArrayRef,
    sizes: Vec<u64>,
    /// The values as whole numbers, where they are numbers or times.
    numbers: Option<Int64Array>,
}

/// Refuses calls that would cost too much.
pub(super) fn check(name: &str, arguments: &[ColumnarValue], rows: usize) -> Result<()> {
    if name.starts_with("regexp_")
        && let Some(patterns) = arguments.get(1)
    {
        check_patterns(name, patterns)?;
    }
    let Some(cost) = cost(name) else { return Ok(()) };
    // Constants are computed once, also where there is no row.
    let is_constant = arguments.iter().all(|argument| matches!(argument, ColumnarValue::Scalar(_)));
    let rows = if is_constant { 1 } else { rows };
    let arguments: Vec<Argument> =
        arguments.iter().map(|it| Argument::of(it, rows)).collect::<Result<_>>()?;
    let mut together = 0;
    for row in 0..rows {
        match &cost {
            Cost::Bytes(of) => {
                let bytes = of(&arguments, row);
                if bytes > u128::from(VALUE_LIMIT_BYTES) {
                    return Err(too_large(name, bytes));
                }
                together += bytes;
            }
            Cost::BytesAtMost(of) => {
                let bytes = of(&arguments, row);
                if bytes > u128::from(BATCH_LIMIT_BYTES) {
                    return Err(too_large(name, bytes));
                }
                together += bytes;
            }
            Cost::Pairs(of) => {
                let pairs = of(&arguments, row);
                if pairs > PAIRS_LIMIT {
                    let message = format!("`{name}` would compare {pairs} pairs; the limit is {PAIRS_LIMIT}");
                    return Err(DataFusionError::Execution(message));
                }
            }
        }
    }
    if together > u128::from(BATCH_LIMIT_BYTES) && rows > 1 {
        // No row's fault: smaller batches are tried.
        return Err(DataFusionError::Execution(format!("`{name}` would make {together} bytes in one batch")));
    }
    Ok(())
}

/// Whether a call of this function has a cost, even over no rows: its buffers are made for the rows to come.
pub(super) fn has_cost(name: &str) -> bool {
    cost(name).is_some()
}

fn cost(name: &str) -> Option<Cost> {
    Some(match name {
        "repeat" => Cost::Bytes(|of, row| of[0].bytes(row) * of[1].count(row)),
        "lpad" | "rpad" => Cost::Bytes(|of, row| of[1].count(row)),
        "replace" => Cost::Bytes(replaced),
        "regexp_replace" => Cost::BytesAtMost(|of, row| {
            // Each group of a match lies within it, so that even a replacement of groups alone adds what it is long.
            of[0].bytes(row) + (of[0].bytes(row) + 1) * of[2].bytes(row)
        }),
        "array_to_string" => Cost::Bytes(|of, row| of[0].items(row).saturating_sub(1) * of[1].bytes(row)),
        "array_repeat" => Cost::Bytes(|of, row| (of[0].bytes(row) + 1) * of[1].count(row)),
        "range" | "generate_series" => Cost::Bytes(|of, row| steps(of, row) * size_of::<i64>() as u128),
        "array_resize" => Cost::Bytes(|of, row| {
            of[1].count(row) * of.get(2).map_or(size_of::<i64>() as u128, |filling| filling.bytes(row) + 1)
        }),
        "array_replace_n" | "array_replace_all" => {
            Cost::BytesAtMost(|of, row| of[0].bytes(row) + of[0].items(row) * of[2].bytes(row))
        }
        "levenshtein" => Cost::Pairs(|of, row| of[0].bytes(row) * of[1].bytes(row)),
        "array_has_all" | "array_has_any" => Cost::Pairs(|of, row| of[0].items(row) * of[1].items(row)),
        _ => return None,
    })
}

impl Argument {
    fn of(value: &ColumnarValue, rows: usize) -> Result<Self> {
        let values = value.to_array(rows)?;
        let counts =
            values.data_type().is_integer() || matches!(values.data_type(), DataType::Timestamp(_, _));
        let numbers = if counts { Some(cast(&values, &DataType::Int64)?) } else { None };
        let numbers = numbers.map(|numbers| numbers.as_primitive::<Int64Type>().clone());
        Ok(Argument { sizes: size::sizes(&values)?, values, numbers })
    }

    fn bytes(&self, row: usize) -> u128 {
        u128::from(self.sizes[row])
    }

    /// A whole number that says how many; 0 where it is none.
    fn count(&self, row: usize) -> u128 {
        self.number(row).map_or(0, |count| count.max(0) as u128)
    }

    fn number(&self, row: usize) -> Option<i128> {
        let numbers = self.numbers.as_ref()?;
        match (self.values.is_valid(row), numbers.is_valid(row)) {
            (true, true) => Some(i128::from(numbers.value(row))),
            // More than a bigint holds.
            (true, false) => Some(i128::from(i64::MAX)),
            (false, _) => None,
        }
    }

    fn text(&self, row: usize) -> Option<String> {
        let text = cast(&self.values.slice(row, 1), &DataType::Utf8).ok()?;
        let text: &StringArray = text.as_string_opt::<i32>()?;
        text.is_valid(0).then(|| text.value(0).to_owned())
    }

    fn items(&self, row: usize) -> u128 {
        let list = &self.values;
        let items = match list.data_type() {
            DataType::List(_) => list.as_list::<i32>().value_length(row) as u128,
            DataType::LargeList(_) => list.as_list::<i64>().value_length(row) as u128,
            DataType::FixedSizeList(_, size) => *size as u128,
            _ => 0,
        };
        if list.is_null(row) { 0 } else { items }
    }

    /// A time or a number on one scale: of times the nanoseconds.
    fn place(&self, row: usize) -> Option<i128> {
        let nanos = match self.values.data_type() {
            DataType::Timestamp(TimeUnit::Second, _) => 1_000_000_000,
            DataType::Timestamp(TimeUnit::Millisecond, _) => 1_000_000,
            DataType::Timestamp(TimeUnit::Microsecond, _) => 1000,
            DataType::Date32 => {
                let days = self.values.as_primitive::<Date32Type>();
                return days.is_valid(row).then(|| i128::from(days.value(row)) * NANOS_PER_DAY);
            }
            _ => 1,
        };
        Some(self.number(row)? * nanos)
    }

    /// How far a step goes, on the same scale; `None` for one that goes forth and back.
    fn stride(&self, row: usize) -> Option<i128> {
        let Some(steps) = self.values.as_primitive_opt::<IntervalMonthDayNanoType>() else {
            return self.number(row);
        };
        let step = steps.is_valid(row).then(|| steps.value(row))?;
        let parts = [i128::from(step.months), i128::from(step.days), i128::from(step.nanoseconds)];
        let goes_both_ways = parts.iter().any(|part| *part < 0) && parts.iter().any(|part| *part > 0);
        let [months, days, nanos] = parts;
        (!goes_both_ways).then_some((months * DAYS_PER_SHORTEST_MONTH + days) * NANOS_PER_DAY + nanos)
    }
}

const NANOS_PER_DAY: i128 = 86_400_000_000_000;
const DAYS_PER_SHORTEST_MONTH: i128 = 28;

/// How many items a series has: `(stop)`, `(start, stop)` or `(start, stop, step)`.
fn steps(of: &[Argument], row: usize) -> u128 {
    let (start, stop) = match of {
        [stop] => (Some(0), stop.place(row)),
        [start, stop, ..] => (start.place(row), stop.place(row)),
        [] => return 0,
    };
    let (Some(start), Some(stop)) = (start, stop) else { return 0 };
    let stride = match of.get(2) {
        None => 1,
        Some(step) if step.values.is_null(row) => return 0,
        // The library says what is wrong with a step of nothing.
        Some(step) => match step.stride(row) {
            Some(0) => return 0,
            Some(stride) => stride,
            None => return u128::MAX / size_of::<i64>() as u128,
        },
    };
    // A step away from the end is a series of nothing.
    if (stop - start).signum() * stride.signum() < 0 {
        1
    } else {
        (stop - start).unsigned_abs() / stride.unsigned_abs() + 1
    }
}

/// The bytes of a text in which a part is replaced; between all characters where the part is nothing.
fn replaced(of: &[Argument], row: usize) -> u128 {
    let (whole, part, by) = (of[0].bytes(row), of[1].bytes(row), of[2].bytes(row));
    let at_most = whole + (whole / part.max(1) + 1) * by;
    if at_most <= u128::from(VALUE_LIMIT_BYTES) || part == 0 {
        return at_most;
    }
    let (Some(text), Some(part_text)) = (of[0].text(row), of[1].text(row)) else { return 0 };
    let found = text.matches(part_text.as_str()).count() as u128;
    whole - found * part + found * by
}

/// Refuses patterns that come with events and would take long to compile; one that comes with the query is compiled
/// once a batch.
pub(super) fn check_patterns(name: &str, patterns: &ColumnarValue) -> Result<()> {
    let ColumnarValue::Array(patterns) = patterns else { return Ok(()) };
    let texts = cast(patterns, &DataType::Utf8View)?;
    for pattern in texts.as_string_view().iter().flatten() {
        let message = if pattern.len() as u64 > PATTERN_LIMIT_BYTES {
            format!(
                "`{name}`: the pattern is {} bytes long; the limit is {PATTERN_LIMIT_BYTES}",
                pattern.len()
            )
        } else if repetitions(pattern) > REPETITIONS_LIMIT {
            format!("`{name}`: the pattern repeats a part more than {REPETITIONS_LIMIT} times")
        } else {
            continue;
        };
        return Err(DataFusionError::Execution(message));
    }
    Ok(())
}

/// How often a pattern may come to repeat a part: the product of its counted repetitions, as they may be nested.
fn repetitions(pattern: &str) -> u64 {
    let counted = pattern.split('{').skip(1).filter_map(|rest| rest.split_once('}'));
    counted
        .filter_map(|(bounds, _)| {
            bounds.split(',').filter_map(|bound| bound.trim().parse::<u64>().ok()).max()
        })
        .fold(1, |product: u64, bound| product.saturating_mul(bound.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_repetitions_multiply() {
        assert_eq!(repetitions("^[a-z]{2,4}-x{3}$"), 12);
        assert_eq!(repetitions("((a{1000}){1000}){1000}"), 1_000_000_000);
        assert_eq!(repetitions(r"\{no} {x} a{99999999999999999999}"), 1);
        assert_eq!(repetitions("a{4,}"), 4);
    }
}
