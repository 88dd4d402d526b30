//! `request` and `transform` of a job -> [`RequestField`]s and [`DerivedDefinition`]s.
//!
//! Must not know what a query's columns are called: whoever plans it refuses names that are taken there.

use super::node::{Key, Node, Value};
use super::query::text_of;
use super::report::Report;
use super::stream::data_type;
use crate::definition::{DerivedDefinition, RequestField};

/// What a lookup takes beside an entity's key and the fields of its request: a field of such a name could not be given.
pub const LOOKUP_PARAMETERS: [&str; 3] = ["as_of", "meta", "explain"];

/// Reads `request: {NAME: TYPE, ..}`.
pub(super) fn request(node: &Node, report: &mut Report) -> Vec<RequestField> {
    let entries = entries("request", node, "a mapping such as {amount: double}", report);
    let fields = entries.iter().filter_map(|(key, node)| {
        let name = named("request", key, report)?;
        if LOOKUP_PARAMETERS.contains(&&*name) {
            let message = format!(
                "`request.{name}`: lookups have a parameter of this name; give the field another one, such as \
                 request_{name}"
            );
            report.error(key.place, message);
            return None;
        }
        let data_type = data_type(&format!("request.{name}"), node, report)?;
        Some(RequestField { name, data_type, place: key.place })
    });
    fields.collect()
}

/// Reads `transform: {NAME: EXPRESSION, ..}`.
pub(super) fn transform(node: &Node, file: &str, report: &mut Report) -> Vec<DerivedDefinition> {
    let wanted = "a mapping such as {ratio: amount / mean_fare}";
    let entries = entries("transform", node, wanted, report);
    let features = entries.iter().filter_map(|(key, node)| {
        let name = named("transform", key, report)?;
        let label = format!("transform.{name}");
        let expression = text_of(&label, node, file, report)?;
        if expression.text.trim().is_empty() {
            report.error(node.place, format!("`{label}`: is empty; write an expression, such as a / b"));
            return None;
        }
        Some(DerivedDefinition { name, expression, place: key.place })
    });
    features.collect()
}

fn entries<'n>(label: &str, node: &'n Node, wanted: &str, report: &mut Report) -> &'n [(Key, Node)] {
    let Value::Mapping(entries) = &node.value else {
        report.error(node.place, format!("`{label}`: expected {wanted}, found {}", node.value.noun()));
        return &[];
    };
    report.repeated(entries);
    entries
}

/// The name at a key.
fn named(label: &str, key: &Key, report: &mut Report) -> Option<String> {
    if key.name.is_empty() {
        report.error(key.place, format!("`{label}`: an entry needs a name"));
        return None;
    }
    Some(key.name.clone())
}
