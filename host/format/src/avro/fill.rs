//! Values of Avro, as a column holds them.
//!
//! Knows a plan and bytes. What it refuses may leave columns one row too long, and who calls cuts them back.

use super::input::{Input, NESTING_LIMIT};
use super::json::push_json;
use super::resolve::{Absent, Below, BelowPlan, How, RecordPlan, Step};
use super::schema::Schema;
use crate::column::{Column, Values, unplanned};
use crate::json::JsonReading;
use crate::no_time;
use crate::scalar;
use std::collections::HashSet;
use weir_event::{DataType, DecimalType, TimeForm};

/// What is said of bytes that end too early or cannot be what the schema says.
pub(super) fn short() -> String {
    "not a record of its schema: the bytes end too early or hold a length, a number or a type that cannot be"
        .to_owned()
}

/// Names of wanted columns, for reasons; a row's are its own.
pub(super) type NameOf<'a> = &'a dyn Fn(usize) -> String;

/// Adds the fields of a record to columns.
pub(super) fn fill_record(
    plan: &RecordPlan,
    schema: &Schema,
    input: &mut Input<'_>,
    columns: &mut [Column],
    name: NameOf<'_>,
) -> Result<(), String> {
    for field in &plan.fields {
        let start = input.at;
        if field.columns.is_empty() && field.below.is_none() {
            input.skip(schema, field.node, 0).ok_or_else(short)?;
            continue;
        }
        for (column, step) in &field.columns {
            input.at = start;
            fill(step, schema, input, &mut columns[*column])
                .map_err(|reason| format!("field `{}`: {reason}", name(*column)))?;
        }
        if let Some(below) = &field.below {
            input.at = start;
            fill_below(below, schema, input, columns, name)?;
        }
    }
    for (column, absent) in &plan.absent {
        match absent {
            Absent::Null => columns[*column].push_null(),
            Absent::Default(reader, bytes, step) => {
                fill(step, reader, &mut Input::new(bytes, false), &mut columns[*column])
                    .map_err(|reason| format!("the default of `{}`: {reason}", name(*column)))?;
            }
        }
    }
    Ok(())
}

fn fill_below(
    below: &BelowPlan,
    schema: &Schema,
    input: &mut Input<'_>,
    columns: &mut [Column],
    name: NameOf<'_>,
) -> Result<(), String> {
    let branches = match &below.how {
        Below::Record(plan) => return fill_record(plan, schema, input, columns, name),
        Below::Union(branches) => branches,
    };
    let at = input.long().and_then(|at| usize::try_from(at).ok()).ok_or_else(short)?;
    match branches.get(at).ok_or_else(short)? {
        (true, _) => {
            below.columns.iter().for_each(|column| columns[*column].push_null());
            Ok(())
        }
        (false, Some(plan)) => fill_record(plan, schema, input, columns, name),
        (false, None) => {
            let column = below.columns.first().map_or_else(String::new, |column| name(*column));
            Err(format!("field `{column}`: the field above it is not a record"))
        }
    }
}

/// Adds a value to a column; the error says what does not fit.
pub(super) fn fill(
    step: &Step,
    schema: &Schema,
    input: &mut Input<'_>,
    column: &mut Column,
) -> Result<(), String> {
    match &step.how {
        How::Null => {
            column.push_null();
            return Ok(());
        }
        How::Union(steps) => {
            let at = input.long().and_then(|at| usize::try_from(at).ok()).ok_or_else(short)?;
            return match steps.get(at).ok_or_else(short)? {
                Some(step) => fill(step, schema, input, column),
                None => Err(format!("the value is of a type that does not fit type {}", column.data_type)),
            };
        }
        How::Json => {
            let Values::Json { ends, text } = &mut column.values else { return Err(unplanned()) };
            push_json(schema, step.node, input, NESTING_LIMIT, text).ok_or_else(short)?;
            ends.push(i32::try_from(text.len()).map_err(|_| "the block holds too much JSON".to_owned())?);
        }
        How::JsonText => {
            let text = std::str::from_utf8(input.bytes().ok_or_else(short)?).map_err(|_| short())?;
            return JsonReading::of(&column.data_type).push_text(column, text.as_bytes());
        }
        How::Array(item) => fill_array(item, schema, input, column)?,
        How::Map(value) => fill_map(value, schema, input, column)?,
        How::Record(plan) => {
            let Values::Row(children) = &mut column.values else { return Err(unplanned()) };
            let DataType::Row(fields) = &column.data_type else { return Err(unplanned()) };
            fill_record(plan, schema, input, children, &|index| fields[index].0.clone())?;
        }
        how => fill_value(how, input, column)?,
    }
    column.added();
    Ok(())
}

fn fill_array(
    item: &Step,
    schema: &Schema,
    input: &mut Input<'_>,
    column: &mut Column,
) -> Result<(), String> {
    let Values::List { ends, items } = &mut column.values else { return Err(unplanned()) };
    input.items(short, |input| fill(item, schema, input, items))?;
    ends.push(i32::try_from(items.len()).map_err(|_| "the block holds too many items".to_owned())?);
    Ok(())
}

fn fill_map(value: &Step, schema: &Schema, input: &mut Input<'_>, column: &mut Column) -> Result<(), String> {
    let Values::Map { ends, keys, values } = &mut column.values else { return Err(unplanned()) };
    let mut seen = HashSet::new();
    input.items(short, |input| {
        let start = input.at;
        let key = input.bytes().ok_or_else(short)?;
        if !seen.insert(key) {
            return Err(format!("the map has the key `{}` twice", String::from_utf8_lossy(key)));
        }
        input.at = start;
        push_text(input, keys)?;
        keys.added();
        fill(value, schema, input, values)
    })?;
    ends.push(i32::try_from(keys.len()).map_err(|_| "the block holds too many entries".to_owned())?);
    Ok(())
}

fn fill_value(how: &How, input: &mut Input<'_>, column: &mut Column) -> Result<(), String> {
    match how {
        How::Boolean => {
            let Values::Boolean(values) = &mut column.values else { return Err(unplanned()) };
            match input.byte() {
                Some(flag @ 0..=1) => values.append(flag == 1),
                _ => return Err(short()),
            }
        }
        How::Int => push_long(i64::from(input.int().ok_or_else(short)?), column)?,
        How::Long => push_long(input.long().ok_or_else(short)?, column)?,
        How::Float => {
            let value = f32::from_le_bytes(input.array().ok_or_else(short)?);
            match &mut column.values {
                Values::Float32(values) => values.push(value),
                _ => push_double(f64::from(value), column)?,
            }
        }
        How::Double => push_double(f64::from_le_bytes(input.array().ok_or_else(short)?), column)?,
        How::Bytes => push_text(input, column)?,
        How::Fixed(size) => {
            let bytes = input.take(*size).ok_or_else(short)?;
            push_copy(bytes, column)?;
        }
        How::Uuid => push_copy(uuid(input.array().ok_or_else(short)?).as_bytes(), column)?,
        How::Enum(symbols) => {
            let at = input.long().and_then(|at| usize::try_from(at).ok());
            push_copy(at.and_then(|at| symbols.get(at)).ok_or_else(short)?.as_bytes(), column)?;
        }
        How::Decimal(size, scale) => {
            let bytes = match size {
                Some(size) => input.take(*size),
                None => input.bytes(),
            };
            let value = big_endian(bytes.ok_or_else(short)?);
            push_decimal(value, *scale, column)?;
        }
        How::DecimalText => {
            let text = input.bytes().ok_or_else(short)?;
            let Values::Decimal(of, values) = &mut column.values else { return Err(unplanned()) };
            let parsed = of.parse(text);
            values.push(parsed.map_err(|why| format!("the text {} {why} type {of}", shown(text)))?);
        }
        How::Time(unit) => column.push_time(unit.millis(input.long().ok_or_else(short)?))?,
        How::TimeNumber(unit) => {
            let value = f64::from_le_bytes(input.array().ok_or_else(short)?);
            column.push_time(unit.read(&value.to_string()).map(weir_event::EventTime::millis))?;
        }
        How::TimeText(form) => push_time_text(form, input.bytes().ok_or_else(short)?, column)?,
        How::DateText => {
            let text = input.bytes().ok_or_else(short)?;
            let Values::Int32(values) = &mut column.values else { return Err(unplanned()) };
            values.push(
                scalar::date(text)
                    .ok_or_else(|| format!("the text {} is not a date such as 2026-01-31", shown(text)))?,
            );
        }
        How::Null
        | How::Union(_)
        | How::Json
        | How::JsonText
        | How::Array(_)
        | How::Map(_)
        | How::Record(_) => {
            return Err(unplanned());
        }
    }
    Ok(())
}

#[inline]
fn push_long(value: i64, column: &mut Column) -> Result<(), String> {
    match &mut column.values {
        Values::Int64(values) => values.push(value),
        Values::Int32(values) => values.push(i32::try_from(value).map_err(|_| short())?),
        Values::Float64(values) => values.push(value as f64),
        Values::Float32(values) => values.push(value as f32),
        Values::Decimal(..) => push_decimal(Some(i128::from(value)), 0, column)?,
        _ => return Err(unplanned()),
    }
    Ok(())
}

fn push_double(value: f64, column: &mut Column) -> Result<(), String> {
    let Values::Float64(values) = &mut column.values else { return Err(unplanned()) };
    values.push(value);
    Ok(())
}

/// Adds text, or bytes, that stands behind its length.
#[inline]
fn push_text(input: &mut Input<'_>, column: &mut Column) -> Result<(), String> {
    let bytes = input.bytes().ok_or_else(short)?;
    if column.data_type == DataType::String && std::str::from_utf8(bytes).is_err() {
        return Err("the text is not valid UTF-8".to_owned());
    }
    let Values::Views(views) = &mut column.values else { return Err(unplanned()) };
    if input.in_block {
        views.push_borrowed(input.bytes, input.at - bytes.len(), input.at);
        return Ok(());
    }
    push_copy(bytes, column)
}

fn push_copy(bytes: &[u8], column: &mut Column) -> Result<(), String> {
    let Values::Views(views) = &mut column.values else { return Err(unplanned()) };
    let pushed = views.push_rewritten(|out| {
        out.extend_from_slice(bytes);
        Some(())
    });
    pushed.ok_or_else(unplanned)
}

fn push_decimal(value: Option<i128>, scale: u32, column: &mut Column) -> Result<(), String> {
    let Values::Decimal(of, values) = &mut column.values else { return Err(unplanned()) };
    let fits = value.and_then(|value| rescaled(value, scale, *of));
    values.push(fits.ok_or_else(|| format!("the decimal has more digits than type {of}"))?);
    Ok(())
}

/// The whole number of a decimal's last digit where a type has another scale; `None` where digits would be lost.
fn rescaled(value: i128, scale: u32, of: DecimalType) -> Option<i128> {
    let wanted = u32::from(of.scale());
    let rescaled = if scale <= wanted {
        value.checked_mul(10_i128.checked_pow(wanted - scale)?)?
    } else if value == 0 {
        0
    } else {
        let power = 10_i128.checked_pow(scale - wanted)?;
        (value % power == 0).then(|| value / power)?
    };
    let limit = 10_i128.checked_pow(u32::from(of.precision()))?;
    (rescaled.checked_abs()? < limit).then_some(rescaled)
}

/// A whole number of two's complement, the largest byte first; `None` where it has more than 128 bits.
pub(super) fn big_endian(bytes: &[u8]) -> Option<i128> {
    let fill = if bytes.first().is_some_and(|byte| *byte >= 0x80) { 0xff } else { 0 };
    let (surplus, kept) = bytes.split_at(bytes.len().saturating_sub(16));
    let mut whole = [fill; 16];
    whole[16 - kept.len()..].copy_from_slice(kept);
    let value = i128::from_be_bytes(whole);
    let is_sign =
        surplus.iter().all(|byte| *byte == fill) && (surplus.is_empty() || (value < 0) == (fill != 0));
    is_sign.then_some(value)
}

fn push_time_text(form: &TimeForm, text: &[u8], column: &mut Column) -> Result<(), String> {
    let millis = match form {
        TimeForm::Pattern(pattern) => scalar::patterned(pattern, text),
        _ => scalar::timestamp(text),
    };
    if millis.is_some() {
        return column.push_time(millis);
    }
    let why = no_time::no_written_time(form, no_time::Shape::Text);
    let why = why.unwrap_or_else(|| no_time::no_time(&String::from_utf8_lossy(text)));
    Err(format!("the text {} {why}", shown(text)))
}

/// Texts longer than this are cut in a reason: the payload is kept beside it.
const SHOWN_CHARACTERS: usize = 40;

fn shown(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let cut: String = text.chars().take(SHOWN_CHARACTERS).collect();
    if cut.len() < text.len() { format!("`{cut}..`") } else { format!("`{cut}`") }
}

/// As people write it.
pub(super) fn uuid(bytes: [u8; 16]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
