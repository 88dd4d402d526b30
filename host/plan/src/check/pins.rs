//! `plugins` of a job -> versions that it pins.
//!
//! Must not know which plugins there are: they come and go while definitions stay.

use super::node::{Key, Node, Value};
use super::report::Report;
use crate::definition::Pin;
use crate::is_name;
use std::collections::BTreeMap;

/// What stands for the version that is active, whichever that is.
const ACTIVE: &str = "active";

/// Reads `plugins: {NAME: VERSION, ..}`.
pub(super) fn read(node: &Node, report: &mut Report) -> BTreeMap<String, Pin> {
    let Value::Mapping(entries) = &node.value else {
        let found = node.value.noun();
        let message =
            format!("`plugins`: expected a mapping of versions by plugin such as {{geo: 2}}, found {found}");
        report.error(node.place, message);
        return BTreeMap::new();
    };
    report.repeated(entries);
    entries.iter().filter_map(|(key, node)| Some((key.name.clone(), pin(key, node, report)?))).collect()
}

fn pin(key: &Key, node: &Node, report: &mut Report) -> Option<Pin> {
    let label = format!("plugins.{}", key.name);
    if !is_name(&key.name) {
        report.error(key.place, format!("`{label}`: is not a name of a plugin; write [a-z][a-z0-9_]*"));
        return None;
    }
    match &node.value {
        Value::Text(word) if word == ACTIVE => None,
        Value::Number(_) => {
            let version = report.integer(&label, node, 1..=u64::from(u32::MAX))?;
            Some(Pin { version: u32::try_from(version).ok()?, place: key.place })
        }
        other => {
            let found = match other {
                Value::Text(text) => format!("`{text}`"),
                other => other.noun().to_owned(),
            };
            let message = format!(
                "`{label}`: expected the number of a version, such as 2, or {ACTIVE}, found {found}; `weir plugin list` \
                 shows the versions"
            );
            report.error(node.place, message);
            None
        }
    }
}
