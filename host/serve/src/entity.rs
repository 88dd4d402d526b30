//! Entities: the values of a job's key columns, read from parameters or JSON, as the timelines are keyed.
//!
//! Must not know features or how a key is looked up.

use crate::scalar::ScalarColumn;
use arrow_array::ArrayRef;
use serde_json::{Map, Value};
use weir_plan::KeyedStage;

/// The key columns of a stage, in the order of its key.
pub(crate) fn key_columns(stage: &KeyedStage) -> Vec<ScalarColumn> {
    let columns = stage.key_names.iter().zip(&stage.key_types);
    columns.map(|(name, arrow)| ScalarColumn::new(name, arrow.clone())).collect()
}

/// A key ready to be looked up: one column of one row per key column.
pub(crate) type Key = Vec<ArrayRef>;

/// Reads an entity whose keys' texts `take` gives, and appends it to `echo` as a JSON object. All that is wrong is
/// returned at once.
pub(crate) fn of_texts<T: AsRef<str>>(
    columns: &[ScalarColumn],
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
pub(crate) fn of_members(columns: &[ScalarColumn], entity: &Map<String, Value>) -> Result<Key, Vec<String>> {
    let (mut key, mut errors) = (Vec::with_capacity(columns.len()), Vec::new());
    for column in columns {
        let value = match entity.get(&column.name) {
            None => Err(missing(column)),
            Some(Value::Null) => {
                let name = &column.name;
                Err(format!("`{name}` is null; a null key is written to sinks and not looked up"))
            }
            Some(value) => column.of_json(value),
        };
        match value {
            Ok(value) => key.push(column.array(&value)),
            Err(reason) => errors.push(reason),
        }
    }
    if errors.is_empty() { Ok(key) } else { Err(errors) }
}

fn missing(column: &ScalarColumn) -> String {
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
    use crate::scalar::Scalar;
    use arrow_array::cast::AsArray;
    use arrow_schema::{DataType as ArrowType, TimeUnit};
    use serde_json::json;

    fn columns() -> Vec<ScalarColumn> {
        let time = ArrowType::Timestamp(TimeUnit::Millisecond, None);
        let types = [
            ("user_id", ArrowType::Utf8View),
            ("n", ArrowType::Int32),
            ("at", time),
            ("b", ArrowType::Boolean),
            ("fare", ArrowType::Decimal128(20, 2)),
            ("day", ArrowType::Date32),
        ];
        types.into_iter().map(|(name, arrow)| ScalarColumn::new(name, arrow)).collect()
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
        let fare = ScalarColumn::new("fare", ArrowType::Decimal128(20, 2));
        let all = [json!(1.5), json!("1.50"), json!("15e-1")].map(|value| fare.of_json(&value).unwrap());
        assert!(all.iter().all(|value| *value == Scalar::Decimal(150)));
        assert_eq!(
            fare.of_json(&json!("123456789012345678.90")),
            Ok(Scalar::Decimal(12_345_678_901_234_567_890))
        );
        assert_eq!(fare.of_json(&json!(7)), Ok(Scalar::Decimal(700)));
    }
}
