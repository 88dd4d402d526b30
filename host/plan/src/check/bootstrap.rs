//! `bootstrap` of a job's file: how it begins with the archives of its streams.
//!
//! Must not know what an archive is.

use super::keys;
use super::node::{Node, Value};
use super::report::Report;
use super::server::SHARDS_LIMIT;
use crate::job_plan::{Bootstrap, PastPace, PastWrites, SinkPlan};
use weir_event::suggestion::unknown;

const SHAPE: &str = "a mapping such as {shards: 8, writes: skip}";

/// What may stand at `writes`, for messages.
const WRITES: &str = "skip, {separate: [SINK, ..]} or {smooth: {rate: 1000}}";

/// Reads `bootstrap: {shards: .., writes: skip | {separate: [SINK, ..]} | {smooth: {rate: ..}}}`.
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
    let mut keys = report.mapping(label, node, WRITES, keys::PAST_WRITES)?;
    let separate = keys.take("separate").map(|node| (node, separate(node, sinks, report)));
    let smooth = keys.take("smooth").map(|node| (node, smooth(node, report)));
    keys.finish("bootstrap.writes.", report);
    match (separate, smooth) {
        (Some(_), Some((node, _))) => {
            let message = format!("`{label}.smooth`: has no place beside `separate`; write one of the two");
            report.error(node.place, message);
            None
        }
        (Some((_, writes)), None) | (None, Some((_, writes))) => writes,
        (None, None) => {
            report.error(node.place, format!("`{label}`: is empty; write {WRITES}"));
            None
        }
    }
}

/// The pace at which every sink gets the results of the past.
fn smooth(node: &Node, report: &mut Report) -> Option<PastWrites> {
    let label = "bootstrap.writes.smooth";
    let mut keys = report.mapping(label, node, "a mapping such as {rate: 1000}", keys::SMOOTH)?;
    let rate =
        keys.take("rate").map(|node| report.integer("bootstrap.writes.smooth.rate", node, 1..=u64::MAX));
    keys.finish("bootstrap.writes.smooth.", report);
    let rate = rate.unwrap_or_else(|| {
        let message =
            format!("`{label}.rate`: missing; write how many rows a second, such as {{rate: 1000}}");
        report.error(node.place, message);
        None
    })?;
    Some(PastWrites::Smooth(PastPace { rate }))
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
