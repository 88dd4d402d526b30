//! `features` of a job -> [`FeatureDefinition`]s.

use super::keys;
use super::node::{Key, Node, Value};
use super::report::Report;
use super::stream::data_type;
use crate::definition::FeatureDefinition;
use serde_json::Value as Json;
use weir_event::DataType;

/// Reads `features: {NAME: {type: .., version: .., ..}, ..}`.
pub(super) fn read(node: &Node, report: &mut Report) -> Vec<FeatureDefinition> {
    let Value::Mapping(entries) = &node.value else {
        let message = format!(
            "`features`: expected a mapping such as {{rides: {{type: bigint}}}}, found {}",
            node.value.noun()
        );
        report.error(node.place, message);
        return Vec::new();
    };
    report.repeated(entries);
    entries.iter().filter_map(|(key, node)| feature(key, node, report)).collect()
}

fn feature(key: &Key, node: &Node, report: &mut Report) -> Option<FeatureDefinition> {
    let label = format!("features.{}", key.name);
    let mut feature = FeatureDefinition { name: key.name.clone(), place: key.place, ..Default::default() };
    if key.name.is_empty() {
        report.error(key.place, "`features`: a feature needs a name");
    }
    if matches!(node.value, Value::Null) {
        return Some(feature);
    }
    let mut keys =
        report.mapping(&label, node, "a mapping such as {type: bigint, default: 0}", keys::FEATURE)?;
    feature.data_type = keys.take("type").and_then(|node| data_type(&format!("{label}.type"), node, report));
    feature.version =
        keys.take("version").and_then(|node| version(&format!("{label}.version"), node, report));
    feature.description =
        keys.take("description").and_then(|node| report.text(&format!("{label}.description"), node));
    feature.owner = keys.take("owner").and_then(|node| report.text(&format!("{label}.owner"), node));
    if let Some(node) = keys.take("default") {
        feature.default = default(&format!("{label}.default"), node, feature.data_type.as_ref(), report);
    }
    keys.finish(&format!("{label}."), report);
    Some(feature)
}

/// Versions count from 1.
pub(super) fn version(label: &str, node: &Node, report: &mut Report) -> Option<u32> {
    report.integer(label, node, 1..=u32::MAX.into()).map(|version| version as u32)
}

fn default(label: &str, node: &Node, data_type: Option<&DataType>, report: &mut Report) -> Option<Json> {
    report.repeated_below(node);
    let value = node.to_json();
    if let Some(data_type) = data_type.filter(|data_type| !fits(&value, data_type)) {
        let message = format!("`{label}`: {value} is no {data_type}; give a default of the feature's type");
        report.error(node.place, message);
        return None;
    }
    Some(value)
}

/// Whether a value is one of this type, as JSON shows it.
fn fits(value: &Json, data_type: &DataType) -> bool {
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
