//! The values of fields, as a column holds them.

use crate::base64;
use crate::column::{Column, Values};
use crate::json::JsonReading;
use crate::no_time::{self, Shape};
use crate::scalar;
use weir_event::{DataType, DecimalError, TimeForm};

/// How the fields of a column are read.
#[derive(Debug)]
pub(crate) enum CellReading {
    /// As one value.
    Value(TimeForm),
    /// As JSON.
    Json(JsonReading),
}

impl CellReading {
    pub(crate) fn of(data_type: &DataType, form: &TimeForm) -> CellReading {
        match data_type {
            DataType::Json | DataType::Array(_) | DataType::Map(..) | DataType::Row(_) => {
                CellReading::Json(JsonReading::of(data_type))
            }
            _ => CellReading::Value(form.clone()),
        }
    }

    /// Adds a field's text, which is UTF-8. `place` is where in the block it stands as it is, if it does. The error says
    /// what does not fit.
    #[inline]
    pub(crate) fn push(
        &mut self,
        column: &mut Column,
        block: &[u8],
        place: Option<(usize, usize)>,
        text: &[u8],
    ) -> Result<(), String> {
        let form = match self {
            CellReading::Json(reading) => return reading.push_text(column, text),
            CellReading::Value(form) => form,
        };
        match (&column.data_type, &mut column.values) {
            (DataType::String, Values::Views(views)) => match place {
                Some((start, end)) => views.push_borrowed(block, start, end),
                None => drop(views.push_rewritten(|out| {
                    out.extend_from_slice(text);
                    Some(())
                })),
            },
            _ => push_value(column, form, text.trim_ascii())
                .ok_or_else(|| mismatch(&column.data_type, form, text))?,
        }
        column.added();
        Ok(())
    }
}

#[inline]
fn push_value(column: &mut Column, form: &TimeForm, text: &[u8]) -> Option<()> {
    match &mut column.values {
        Values::Views(views) => views.push_rewritten(|out| base64::read(text, out))?,
        Values::Int64(values) if column.data_type == DataType::Timestamp => values.push(match form {
            TimeForm::Standard => scalar::timestamp(text).or_else(|| scalar::whole_text(text))?,
            TimeForm::Unit(unit) => scalar::counted(*unit, text)?,
            TimeForm::Pattern(pattern) => scalar::patterned(pattern, text)?,
        }),
        Values::Int64(values) => values.push(scalar::whole_text(text)?),
        Values::Int32(values) if column.data_type == DataType::Date => values.push(scalar::date(text)?),
        Values::Int32(values) => values.push(i32::try_from(scalar::whole_text(text)?).ok()?),
        Values::Float64(values) => {
            values.push(as_str(text).parse().ok().filter(|value: &f64| value.is_finite())?);
        }
        Values::Float32(values) => {
            values.push(as_str(text).parse().ok().filter(|value: &f32| value.is_finite())?);
        }
        Values::Decimal(of, values) => values.push(of.parse(text).ok()?),
        Values::Boolean(values) => values.append(boolean(text)?),
        Values::Json { .. } | Values::List { .. } | Values::Map { .. } | Values::Row(_) => return None,
    }
    Some(())
}

fn boolean(text: &[u8]) -> Option<bool> {
    let is = |words: [&str; 3]| words.iter().any(|word| text.eq_ignore_ascii_case(word.as_bytes()));
    if is(["true", "t", "1"]) { Some(true) } else { is(["false", "f", "0"]).then_some(false) }
}

fn as_str(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

/// Values longer than this are cut in a reason: the payload is kept beside it.
const SHOWN_CHARACTERS: usize = 40;

#[cold]
fn mismatch(data_type: &DataType, form: &TimeForm, text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    let mut shown: String = text.chars().take(SHOWN_CHARACTERS).collect();
    if shown.len() < text.len() {
        shown.push_str("..");
    }
    let is_number = text.trim().parse::<f64>().is_ok();
    let shape = if is_number { Shape::Number } else { Shape::Text };
    if *data_type == DataType::Timestamp
        && let Some(why) = no_time::no_written_time(form, shape)
    {
        return format!("the text `{shown}` {why}");
    }
    let why = match data_type {
        DataType::Timestamp if is_number => {
            let or_unit = no_time::or_unit(text.trim());
            return format!("the text `{shown}` is not a whole number of milliseconds{or_unit}");
        }
        DataType::Timestamp => return format!("the text `{shown}` {}", no_time::no_time(&text)),
        DataType::Date => "is not a date such as 2026-01-31 and does not fit",
        DataType::Bytes => "is not base64 and does not fit",
        DataType::Decimal(of) => {
            let why = of.parse(text.trim().as_bytes()).err().unwrap_or(DecimalError::NotANumber);
            return format!("the text `{shown}` {why} type {data_type}");
        }
        DataType::Bigint | DataType::Int if is_number => "is not a whole number in range of",
        DataType::Double | DataType::Float if is_number => "is out of range of",
        _ => "does not fit",
    };
    format!("the text `{shown}` {why} type {data_type}")
}
