//! Which JSON values are values of a type: what a definition may give as a default.
//!
//! Must not know where a value stood.

use serde_json::Value as Json;
use weir_event::DataType;

/// Whether a value is one of this type, as JSON shows it.
pub fn fits(value: &Json, data_type: &DataType) -> bool {
    match (data_type, value) {
        (_, Json::Null)
        | (DataType::Json, _)
        | (DataType::String | DataType::Bytes, Json::String(_))
        | (DataType::Double | DataType::Float, Json::Number(_))
        | (DataType::Boolean, Json::Bool(_)) => true,
        (DataType::Bigint | DataType::Timestamp, Json::Number(number)) => number.is_i64(),
        (DataType::Int, Json::Number(number)) => {
            number.as_i64().is_some_and(|number| i32::try_from(number).is_ok())
        }
        (DataType::Decimal(of), Json::Number(number)) => of.parse(number.to_string().as_bytes()).is_ok(),
        (DataType::Decimal(of), Json::String(text)) => of.parse(text.as_bytes()).is_ok(),
        (DataType::Date, Json::String(text)) => text.parse::<weir_event::Date>().is_ok(),
        (DataType::Timestamp, Json::String(text)) => text.parse::<weir_event::EventTime>().is_ok(),
        (DataType::Array(item), Json::Array(items)) => items.iter().all(|value| fits(value, item)),
        (DataType::Map(_, item), Json::Object(members)) => members.values().all(|value| fits(value, item)),
        (DataType::Row(fields), Json::Object(members)) => members.iter().all(|(name, value)| {
            fields.iter().find(|(field, _)| field == name).is_some_and(|(_, item)| fits(value, item))
        }),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn defaults_fit_their_types() {
        for (data_type, value, wanted) in [
            ("bigint", json!(0), true),
            ("bigint", json!(0.5), false),
            ("int", json!(3_000_000_000_i64), false),
            ("double", json!(1), true),
            ("string", json!(1), false),
            ("boolean", json!(false), true),
            ("timestamp", json!("2026-01-01T00:00:00Z"), true),
            ("decimal(4, 2)", json!(0.25), true),
            ("decimal(4, 2)", json!("0.250"), true),
            ("decimal(4, 2)", json!(0.125), false),
            ("decimal(4, 2)", json!(100), false),
            ("date", json!("2026-01-31"), true),
            ("date", json!("2026-01-31T00:00:00Z"), false),
            ("timestamp", json!("yesterday"), false),
            ("array<string>", json!(["a"]), true),
            ("array<string>", json!([1]), false),
            ("map<string, int>", json!({"a": 1}), true),
            ("row<a int>", json!({"b": 1}), false),
        ] {
            assert_eq!(fits(&value, &data_type.parse().unwrap()), wanted, "{data_type} {value}");
        }
    }
}
