//! Entities: the values of a job's key columns, read from parameters or JSON, as the timelines are keyed.
//!
//! Knows how each key type is written. Must not know features or how a key is looked up.

use arrow_array::{
    ArrayRef, BinaryViewArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int32Array, Int64Array, StringArray, StringViewArray, TimestampMillisecondArray,
};
use arrow_schema::DataType as ArrowType;
use serde_json::{Map, Number, Value};
use std::borrow::Cow;
use std::sync::Arc;
use weir_event::suggestion::shown;
use weir_event::{DataType, Date, DecimalType, EventTime};
use weir_format::base64;
use weir_format::json::{push_cell, push_time};
use weir_plan::KeyedStage;

/// One key column.
#[derive(Debug, Clone)]
pub(crate) struct KeyColumn {
    pub(crate) name: String,
    /// Its name as a JSON member, with the colon.
    label: String,
    arrow: ArrowType,
}

/// The value of a key column.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum KeyValue {
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

/// The key columns of a stage, in the order of its key.
pub(crate) fn key_columns(stage: &KeyedStage) -> Vec<KeyColumn> {
    let columns = stage.key_names.iter().zip(&stage.key_types);
    columns.map(|(name, arrow)| KeyColumn::new(name, arrow.clone())).collect()
}

impl KeyColumn {
    fn new(name: &str, arrow: ArrowType) -> Self {
        KeyColumn { name: name.to_owned(), label: format!("{}:", Value::from(name)), arrow }
    }

    /// The type of a key of decimals.
    fn decimal(&self) -> Option<DecimalType> {
        match DataType::from_arrow(&self.arrow) {
            Some(DataType::Decimal(of)) => Some(of),
            _ => None,
        }
    }

    fn noun(&self) -> Cow<'static, str> {
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
    pub(crate) fn of_text(&self, text: &str) -> Result<KeyValue, String> {
        let value = match self.arrow {
            ArrowType::Int32 => text.parse::<i32>().ok().map(|value| KeyValue::Integer(value.into())),
            ArrowType::Int64 => text.parse().ok().map(KeyValue::Integer),
            ArrowType::Float32 | ArrowType::Float64 => text.parse().ok().map(KeyValue::Double),
            ArrowType::Boolean => text.parse().ok().map(KeyValue::Boolean),
            ArrowType::Timestamp(..) => {
                text.parse::<EventTime>().ok().map(|time| KeyValue::Time(time.millis()))
            }
            ArrowType::Date32 => text.parse().ok().map(KeyValue::Date),
            ArrowType::Decimal128(..) => {
                self.decimal().and_then(|of| of.parse(text.as_bytes()).ok()).map(KeyValue::Decimal)
            }
            ArrowType::BinaryView => {
                let mut bytes = Vec::new();
                base64::read(text.as_bytes(), &mut bytes).map(|()| KeyValue::Bytes(bytes))
            }
            _ => Some(KeyValue::Text(text.to_owned())),
        };
        value.ok_or_else(|| format!("`{}`: `{}` is not {}", self.name, shown(text), self.noun()))
    }

    /// Reads a member of a JSON entity; strings never become numbers.
    pub(crate) fn of_json(&self, value: &Value) -> Result<KeyValue, String> {
        let read = match (&self.arrow, value) {
            (_, Value::Null) => {
                return Err(format!(
                    "`{}` is null; a null key is written to sinks and not looked up",
                    self.name
                ));
            }
            (ArrowType::Int32, Value::Number(number)) => {
                number.as_i64().filter(|value| i32::try_from(*value).is_ok()).map(KeyValue::Integer)
            }
            (ArrowType::Int64, Value::Number(number)) => number.as_i64().map(KeyValue::Integer),
            (ArrowType::Float32 | ArrowType::Float64, Value::Number(number)) => {
                number.as_f64().map(KeyValue::Double)
            }
            (ArrowType::Boolean, Value::Bool(value)) => Some(KeyValue::Boolean(*value)),
            (ArrowType::Timestamp(..), Value::Number(number)) => number.as_i64().map(KeyValue::Time),
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
            (ArrowType::Utf8 | ArrowType::Utf8View, Value::String(text)) => {
                Some(KeyValue::Text(text.clone()))
            }
            _ => None,
        };
        read.ok_or_else(|| format!("`{}`: {} is not {}", self.name, shown(&value.to_string()), self.noun()))
    }

    /// The value as a column of one row, of the key's type.
    pub(crate) fn array(&self, value: &KeyValue) -> ArrayRef {
        match value {
            KeyValue::Text(text) if self.arrow == ArrowType::Utf8 => {
                Arc::new(StringArray::from(vec![text.as_str()]))
            }
            KeyValue::Text(text) => Arc::new(StringViewArray::from(vec![text.as_str()])),
            KeyValue::Bytes(bytes) => Arc::new(BinaryViewArray::from(vec![bytes.as_slice()])),
            KeyValue::Integer(value) if self.arrow == ArrowType::Int32 => {
                Arc::new(Int32Array::from(vec![*value as i32]))
            }
            KeyValue::Integer(value) => Arc::new(Int64Array::from(vec![*value])),
            KeyValue::Double(value) if self.arrow == ArrowType::Float32 => {
                Arc::new(Float32Array::from(vec![*value as f32]))
            }
            KeyValue::Double(value) => Arc::new(Float64Array::from(vec![*value])),
            KeyValue::Boolean(value) => Arc::new(BooleanArray::from(vec![*value])),
            KeyValue::Time(millis) => Arc::new(TimestampMillisecondArray::from(vec![*millis])),
            KeyValue::Date(date) => Arc::new(Date32Array::from(vec![date.days()])),
            KeyValue::Decimal(value) => {
                Arc::new(Decimal128Array::from(vec![*value]).with_data_type(self.arrow.clone()))
            }
        }
    }

    /// Appends the column and its value as a JSON member; `text` is how a value of bytes was written.
    fn push_member(&self, value: &KeyValue, text: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(self.label.as_bytes());
        match value {
            KeyValue::Text(text) => push_json(text, out),
            KeyValue::Bytes(_) => push_json(text, out),
            KeyValue::Integer(value) => push_json(value, out),
            KeyValue::Double(value) => push_json(value, out),
            KeyValue::Boolean(value) => push_json(value, out),
            KeyValue::Time(millis) => push_time(*millis, out),
            KeyValue::Date(_) | KeyValue::Decimal(_) => push_cell(self.array(value).as_ref(), 0, out),
        }
    }
}

/// Digits of a number's text.
fn digits(number: &Number) -> usize {
    let text = number.to_string();
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    mantissa.trim_start_matches(['-', '0', '.']).bytes().filter(u8::is_ascii_digit).count()
}

/// A key ready to be looked up: one column of one row per key column.
pub(crate) type Key = Vec<ArrayRef>;

/// Reads an entity whose keys' texts `take` gives, and appends it to `echo` as a JSON object. All that is wrong is
/// returned at once.
pub(crate) fn of_texts<T: AsRef<str>>(
    columns: &[KeyColumn],
    mut take: impl FnMut(&str) -> Option<T>,
    echo: &mut Vec<u8>,
) -> Result<Key, Vec<String>> {
    let (mut key, mut errors) = (Vec::with_capacity(columns.len()), Vec::new());
    echo.push(b'{');
    for (index, column) in columns.iter().enumerate() {
        let Some(text) = take(&column.name) else {
            errors.push(missing(column));
            continue;
        };
        match column.of_text(text.as_ref()) {
            Ok(value) => {
                if index > 0 {
                    echo.push(b',');
                }
                column.push_member(&value, text.as_ref(), echo);
                key.push(column.array(&value));
            }
            Err(reason) => errors.push(reason),
        }
    }
    echo.push(b'}');
    if errors.is_empty() { Ok(key) } else { Err(errors) }
}

/// Reads a job's key from a JSON entity, which may have members for other jobs too.
pub(crate) fn of_members(columns: &[KeyColumn], entity: &Map<String, Value>) -> Result<Key, Vec<String>> {
    let (mut key, mut errors) = (Vec::with_capacity(columns.len()), Vec::new());
    for column in columns {
        match entity.get(&column.name).ok_or_else(|| missing(column)).and_then(|value| column.of_json(value))
        {
            Ok(value) => key.push(column.array(&value)),
            Err(reason) => errors.push(reason),
        }
    }
    if errors.is_empty() { Ok(key) } else { Err(errors) }
}

fn missing(column: &KeyColumn) -> String {
    format!("the key `{}` is missing; give it as {}", column.name, column.noun())
}

/// Appends a value's JSON; writing numbers and text to memory does not fail.
pub(crate) fn push_json<T: serde::Serialize + ?Sized>(value: &T, out: &mut Vec<u8>) {
    let start = out.len();
    if serde_json::to_writer(&mut *out, value).is_err() {
        out.truncate(start);
        out.extend_from_slice(b"null");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::cast::AsArray;
    use arrow_schema::TimeUnit;
    use serde_json::json;

    fn columns() -> Vec<KeyColumn> {
        let time = ArrowType::Timestamp(TimeUnit::Millisecond, None);
        let types = [
            ("user_id", ArrowType::Utf8View),
            ("n", ArrowType::Int32),
            ("at", time),
            ("b", ArrowType::Boolean),
            ("fare", ArrowType::Decimal128(20, 2)),
            ("day", ArrowType::Date32),
        ];
        types.into_iter().map(|(name, arrow)| KeyColumn::new(name, arrow)).collect()
    }

    #[test]
    fn parameters_become_a_key_of_the_stage_s_types() {
        let texts = Map::from_iter([
            ("user_id".to_owned(), json!("u\"1")),
            ("n".to_owned(), json!("-7")),
            ("at".to_owned(), json!("1970-01-01T00:00:01Z")),
            ("b".to_owned(), json!("true")),
            ("fare".to_owned(), json!("1.5")),
            ("day".to_owned(), json!("2026-01-31")),
        ]);
        let mut echo = Vec::new();
        let key = of_texts(&columns(), |name| texts.get(name).and_then(Value::as_str), &mut echo).unwrap();
        for (array, column) in key.iter().zip(columns()) {
            assert_eq!((array.data_type(), array.len()), (&column.arrow, 1));
        }
        assert_eq!(key[0].as_string_view().value(0), "u\"1");
        assert_eq!(
            String::from_utf8(echo).unwrap(),
            r#"{"user_id":"u\"1","n":-7,"at":"1970-01-01T00:00:01.000Z","b":true,"fare":1.50,"day":"2026-01-31"}"#
        );
    }

    #[test]
    fn everything_that_is_wrong_is_said_at_once() {
        let texts = |name: &str| if name == "n" { Some("seven") } else { None };
        let errors = of_texts(&columns(), texts, &mut Vec::new()).unwrap_err();
        assert_eq!(errors.len(), 6);
        assert_eq!(errors[0], "the key `user_id` is missing; give it as a string");
        assert_eq!(errors[1], "`n`: `seven` is not a whole number of 32 bits");
    }

    #[test]
    fn json_entities_are_typed_strictly() {
        let entity = |value: Value| value.as_object().cloned().unwrap();
        let good = json!({
            "user_id": "u1", "n": 7, "at": 1000, "b": false, "fare": 1.5, "day": "2026-01-31", "other": 1
        });
        assert_eq!(of_members(&columns(), &entity(good)).unwrap().len(), 6);
        let bad =
            json!({"user_id": 7, "n": "7", "at": "soon", "b": null, "fare": 0.125, "day": "2026-02-30"});
        assert_eq!(of_members(&columns(), &entity(bad)).unwrap_err().len(), 6);
        let wide = json!({
            "user_id": "u", "n": 3_000_000_000_i64, "at": 0, "b": true, "fare": 0.1 + 0.2, "day": "2026-01-31"
        });
        let errors = of_members(&columns(), &entity(wide)).unwrap_err();
        assert_eq!(errors.len(), 2);
        assert!(errors[1].contains("write it in quotes"), "{}", errors[1]);
    }

    #[test]
    fn one_decimal_is_one_key_however_it_is_written() {
        let fare = KeyColumn::new("fare", ArrowType::Decimal128(20, 2));
        let all = [json!(1.5), json!("1.50"), json!("15e-1")].map(|value| fare.of_json(&value).unwrap());
        assert!(all.iter().all(|value| *value == KeyValue::Decimal(150)));
        assert_eq!(
            fare.of_json(&json!("123456789012345678.90")),
            Ok(KeyValue::Decimal(12_345_678_901_234_567_890))
        );
        assert_eq!(fare.of_json(&json!(7)), Ok(KeyValue::Decimal(700)));
    }
}
