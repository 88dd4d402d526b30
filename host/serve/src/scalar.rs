//! Single values: of a key's columns and of a request's fields, read from parameters or JSON, each as its type is written.
//!
//! Must not know what a value is for.

use crate::entity::push_json;
use arrow_array::{
    ArrayRef, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int32Array, Int64Array, StringArray, StringViewArray, TimestampMillisecondArray,
};
use arrow_schema::DataType as ArrowType;
use serde_json::{Number, Value};
use std::borrow::Cow;
use std::sync::Arc;
use weir_event::suggestion::shown;
use weir_event::{DataType, Date, DecimalType, EventTime};
use weir_format::base64;
use weir_format::json::{push_cell, push_time};

/// A column of the key, or a field of a request.
#[derive(Debug, Clone)]
pub(crate) struct ScalarColumn {
    pub(crate) name: String,
    /// Its name as a JSON member, with the colon.
    label: String,
    pub(crate) arrow: ArrowType,
}

/// Its value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar {
    Text(String),
    Bytes(Vec<u8>),
    Integer(i64),
    Double(f64),
    Boolean(bool),
    /// Milliseconds since the epoch.
    Time(i64),
    Date(Date),
    /// The whole number of its last digit.
    Decimal(i128),
}

impl ScalarColumn {
    pub(crate) fn new(name: &str, arrow: ArrowType) -> Self {
        ScalarColumn { name: name.to_owned(), label: format!("{}:", Value::from(name)), arrow }
    }

    /// The type of a key of decimals.
    fn decimal(&self) -> Option<DecimalType> {
        match DataType::from_arrow(&self.arrow) {
            Some(DataType::Decimal(of)) => Some(of),
            _ => None,
        }
    }

    pub(crate) fn noun(&self) -> Cow<'static, str> {
        if let Some(of) = self.decimal() {
            return format!("a number of type {of}").into();
        }
        let noun = match self.arrow {
            ArrowType::Date32 => "a date such as 2026-01-31",
            ArrowType::Int32 => "a whole number of 32 bits",
            ArrowType::Int64 => "a whole number of 64 bits",
            ArrowType::Float32 | ArrowType::Float64 => "a number",
            ArrowType::Boolean => "true or false",
            ArrowType::Timestamp(..) => "a time (RFC 3339, or whole milliseconds since 1970)",
            ArrowType::BinaryView => "bytes in base64",
            _ => "a string",
        };
        noun.into()
    }

    /// Reads the text of a parameter.
    pub(crate) fn of_text(&self, text: &str) -> Result<Scalar, String> {
        let value = match self.arrow {
            ArrowType::Int32 => text.parse::<i32>().ok().map(|value| Scalar::Integer(value.into())),
            ArrowType::Int64 => text.parse().ok().map(Scalar::Integer),
            ArrowType::Float32 | ArrowType::Float64 => text.parse().ok().map(Scalar::Double),
            ArrowType::Boolean => text.parse().ok().map(Scalar::Boolean),
            ArrowType::Timestamp(..) => {
                text.parse::<EventTime>().ok().map(|time| Scalar::Time(time.millis()))
            }
            ArrowType::Date32 => text.parse().ok().map(Scalar::Date),
            ArrowType::Decimal128(..) => {
                self.decimal().and_then(|of| of.parse(text.as_bytes()).ok()).map(Scalar::Decimal)
            }
            ArrowType::BinaryView => {
                let mut bytes = Vec::new();
                base64::read(text.as_bytes(), &mut bytes).map(|()| Scalar::Bytes(bytes))
            }
            _ => Some(Scalar::Text(text.to_owned())),
        };
        value.ok_or_else(|| format!("`{}`: `{}` is not {}", self.name, shown(text), self.noun()))
    }

    /// Reads a member of a JSON object; strings never become numbers.
    pub(crate) fn of_json(&self, value: &Value) -> Result<Scalar, String> {
        let read = match (&self.arrow, value) {
            (ArrowType::Int32, Value::Number(number)) => {
                number.as_i64().filter(|value| i32::try_from(*value).is_ok()).map(Scalar::Integer)
            }
            (ArrowType::Int64, Value::Number(number)) => number.as_i64().map(Scalar::Integer),
            (ArrowType::Float32 | ArrowType::Float64, Value::Number(number)) => {
                number.as_f64().map(Scalar::Double)
            }
            (ArrowType::Boolean, Value::Bool(value)) => Some(Scalar::Boolean(*value)),
            (ArrowType::Timestamp(..), Value::Number(number)) => number.as_i64().map(Scalar::Time),
            // A number that is not whole has been read as a double, which tells so many digits apart.
            (ArrowType::Decimal128(..), Value::Number(number)) if number.is_f64() && digits(number) > 15 => {
                return Err(format!(
                    "`{}`: {} has more digits than a JSON number keeps here; write it in quotes",
                    self.name,
                    shown(&number.to_string())
                ));
            }
            (ArrowType::Decimal128(..), Value::Number(number)) => self.of_text(&number.to_string()).ok(),
            (
                ArrowType::Timestamp(..)
                | ArrowType::Date32
                | ArrowType::Decimal128(..)
                | ArrowType::BinaryView,
                Value::String(text),
            ) => self.of_text(text).ok(),
            (ArrowType::Utf8 | ArrowType::Utf8View, Value::String(text)) => Some(Scalar::Text(text.clone())),
            _ => None,
        };
        read.ok_or_else(|| format!("`{}`: {} is not {}", self.name, shown(&value.to_string()), self.noun()))
    }

    /// The value as a column of one row, of the column's type.
    pub(crate) fn array(&self, value: &Scalar) -> ArrayRef {
        match value {
            Scalar::Text(text) if self.arrow == ArrowType::Utf8 => {
                Arc::new(StringArray::from(vec![text.as_str()]))
            }
            Scalar::Text(text) => Arc::new(StringViewArray::from(vec![text.as_str()])),
            Scalar::Bytes(bytes) => Arc::new(BinaryViewArray::from(vec![bytes.as_slice()])),
            Scalar::Integer(value) if self.arrow == ArrowType::Int32 => {
                Arc::new(Int32Array::from(vec![*value as i32]))
            }
            Scalar::Integer(value) => Arc::new(Int64Array::from(vec![*value])),
            Scalar::Double(value) if self.arrow == ArrowType::Float32 => {
                Arc::new(Float32Array::from(vec![*value as f32]))
            }
            Scalar::Double(value) => Arc::new(Float64Array::from(vec![*value])),
            Scalar::Boolean(value) => Arc::new(BooleanArray::from(vec![*value])),
            Scalar::Time(millis) => Arc::new(TimestampMillisecondArray::from(vec![*millis])),
            Scalar::Date(date) => Arc::new(Date32Array::from(vec![date.days()])),
            Scalar::Decimal(value) => {
                Arc::new(Decimal128Array::from(vec![*value]).with_data_type(self.arrow.clone()))
            }
        }
    }

    /// Appends the column and its value as a JSON member; `text` is how a value of bytes was written.
    pub(crate) fn push_member(&self, value: &Scalar, text: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(self.label.as_bytes());
        match value {
            Scalar::Text(text) => push_json(text, out),
            Scalar::Bytes(_) => push_json(text, out),
            Scalar::Integer(value) => push_json(value, out),
            Scalar::Double(value) => push_json(value, out),
            Scalar::Boolean(value) => push_json(value, out),
            Scalar::Time(millis) => push_time(*millis, out),
            Scalar::Date(_) | Scalar::Decimal(_) => push_cell(self.array(value).as_ref(), 0, out),
        }
    }
}

/// Digits of a number's text.
fn digits(number: &Number) -> usize {
    let text = number.to_string();
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    mantissa.trim_start_matches(['-', '0', '.']).bytes().filter(u8::is_ascii_digit).count()
}
