//! `features` of a job -> [`FeatureDefinition`]s.

use super::keys;
use super::node::{Key, Node, Value};
use super::report::Report;
use super::stream::data_type;
use crate::definition::FeatureDefinition;
use crate::values::fits;
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
        let message =
            format!("`{label}`: {value} is not a {data_type}; give a default of the feature's type");
        report.error(node.place, message);
        return None;
    }
    Some(value)
}
