//! A value by itself: read as a member of a record of its type is.
//!
//! Must not know what it is a value of.

use super::JsonDecoder;
use arrow_array::{Array, ArrayRef};
use serde_json::{Value, json};
use weir_connect::{Decoder, Framing, KnownTimes, RawBlock};
use weir_event::{DataType, Field, PartitionId, Position, StreamSchema};

/// What a record's only member is called.
const MEMBER: &str = "value";

/// A column of one row: this value, read as this type; the error says what does not fit.
///
/// ```
/// use weir_format::json::read_single;
/// let list = "array<double>".parse()?;
/// assert_eq!(read_single(&serde_json::json!([1, 2.5]), &list)?.len(), 1);
/// assert!(read_single(&serde_json::json!(["a"]), &list).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn read_single(value: &Value, data_type: &DataType) -> Result<ArrayRef, String> {
    let fields = vec![Field::named(MEMBER, data_type.clone())];
    let decoder = JsonDecoder::new(&StreamSchema { fields, event_time: 1 }, &[0]);
    let decoded = decoder.decode(&RawBlock {
        partition: PartitionId::default(),
        data: json!({ MEMBER: value }).to_string().into(),
        framing: Framing::Lines { first: 0 },
        known: KnownTimes::Unknown,
        next: Position::default(),
        refused: Vec::new(),
    });
    if let Some(bad) = decoded.bad.first() {
        return Err(bad.reason.clone());
    }
    let column = decoded.columns.column(0);
    if column.len() == 1 { Ok(column.clone()) } else { Err(format!("it is not of type {data_type}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::cast::AsArray;
    use arrow_array::types::Float64Type;

    #[test]
    fn a_value_is_read_as_its_type_or_refused_with_the_reason() {
        let read = |value: Value, data_type: &str| read_single(&value, &data_type.parse().unwrap());
        let list = read(json!([1, 2.5]), "array<double>").unwrap();
        assert_eq!(list.as_list::<i32>().value(0).as_primitive::<Float64Type>().values(), &[1.0, 2.5]);
        let document = read(json!({"a": [1, "b"]}), "json").unwrap();
        assert_eq!(document.as_string::<i32>().value(0), r#"{"a":[1,"b"]}"#);
        assert!(read(Value::Null, "map<string, int>").unwrap().is_null(0));
        for (value, data_type) in [
            (json!("7"), "double"),
            (json!([1, "b"]), "array<int>"),
            (json!(1.5), "bigint"),
            (json!({}), "array<int>"),
        ] {
            let reason = read(value.clone(), data_type).unwrap_err();
            assert!(reason.contains(MEMBER), "{value}: {reason}");
        }
    }
}
