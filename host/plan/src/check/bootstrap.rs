//! `bootstrap` of a job's file: how it begins with the archives of its streams.
//!
//! Must not know what an archive is.

use super::keys;
use super::node::{Node, Value};
use super::report::Report;
use super::server::SHARDS_LIMIT;
use crate::job_plan::{Bootstrap, PastWrites, SinkPlan};
use weir_event::suggestion::unknown;

const SHAPE: &str = "a mapping such as {shards: 8, writes: skip}";

/// Reads `bootstrap: {shards: .., writes: skip | {separate: [SINK, ..]}}`.
pub(super) fn read(node: &Node, sinks: &[SinkPlan], report: &mut Report) -> Option<Bootstrap> {
    let mut keys = report.mapping("bootstrap", node, SHAPE, keys::BOOTSTRAP)?;
    let shards = keys.take("shards").map(|node| report.integer("bootstrap.shards", node, 1..=SHARDS_LIMIT));
    let writes = keys.take("writes").map_or(Some(PastWrites::default()), |node| writes(node, sinks, report));
    keys.finish("bootstrap.", report);
    let shards = match shards {
        Some(shards) => Some(shards? as u16),
        None => None,
    };
    Some(Bootstrap { shards, writes: writes? })
}

fn writes(node: &Node, sinks: &[SinkPlan], report: &mut Report) -> Option<PastWrites> {
    let label = "bootstrap.writes";
    if let Value::Text(_) = node.value {
        return report.word(label, node, &[("skip", ())]).map(|()| PastWrites::Skip);
    }
    let mut keys = report.mapping(label, node, "skip or {separate: [SINK, ..]}", keys::PAST_WRITES)?;
    let separate = keys.take("separate").map(|node| separate(node, sinks, report));
    keys.finish("bootstrap.writes.", report);
    separate.unwrap_or_else(|| {
        report.error(node.place, format!("`{label}`: is empty; write skip or {{separate: [SINK, ..]}}"));
        None
    })
}

/// The names of sinks that get the results of the past.
fn separate(node: &Node, sinks: &[SinkPlan], report: &mut Report) -> Option<PastWrites> {
    let label = "bootstrap.writes.separate";
    let Value::List(items) = &node.value else {
        let found = node.value.noun();
        report.error(node.place, format!("`{label}`: expected a list of sinks of the job, found {found}"));
        return None;
    };
    if items.is_empty() {
        report.error(
            node.place,
            format!("`{label}`: is empty; name a sink of the job, or write `writes: skip`"),
        );
        return None;
    }
    let mut names = Vec::with_capacity(items.len());
    for item in items {
        let name = report.text(label, item)?;
        if !sinks.iter().any(|sink| sink.name == name) {
            let known = sinks.iter().map(|sink| sink.name.as_str());
            report.error(item.place, format!("`{label}`: `{name}`: {}", unknown("sink", &name, known)));
            return None;
        }
        names.push(name);
    }
    Some(PastWrites::Separate(names))
}
