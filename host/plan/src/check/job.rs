//! A job's file -> [`JobDefinition`]. Dryft's configuration is a job file too: it adds `stream`, `sink` and
//! `lookback`, and `{}` where a default is meant.

use super::node::{Node, Place, Value};
use super::report::{Mapping, Report};
use super::{Context, bootstrap, connectors, features, keys, names, pins, query, transform};
use crate::definition::{JobDefinition, StreamOrigin};
use crate::job_plan::{Bootstrap, Emit, Late, LatePolicy, SinkPlan};
use std::collections::BTreeMap;
use weir_event::Span;

/// How far back late rows correct results unless the job says otherwise.
const LATE_ALLOW: Span = Span::from_millis(3_600_000);

/// Said of a value that has a meaning which this version does not carry out.
const NOT_YET: &str = "weir 0.1 does not have this yet";

/// Reads a job; `name` gets its name and place as soon as they are known.
pub(super) fn read(
    root: &Node,
    file: &str,
    default_name: &str,
    queries: &BTreeMap<String, String>,
    context: &Context<'_>,
    name: &mut Option<(String, Place)>,
    report: &mut Report,
) -> Option<JobDefinition> {
    let mut keys = report.mapping("job", root, "a mapping such as {job: NAME, query: ..}", keys::JOB)?;
    *name = names::read("job", keys.take("job"), default_name, report);
    let job = name.as_ref().map_or(default_name, |(name, _)| name);
    let version = keys.take("version").map_or(Some(1), |node| features::version("version", node, report));
    let query = query::read(root, file, &mut keys, queries, report);
    let features = keys.take("features").map(|node| features::read(node, report)).unwrap_or_default();
    let request = keys.take("request").map(|node| transform::request(node, report));
    let derived = keys.take("transform").map(|node| transform::transform(node, file, report));
    let late = keys.take("late").map_or_else(|| Some(default_late()), |node| late(node, report));
    let emit = keys.take("emit").map_or(Some(Emit::Close), |node| emit(node, report));
    let history = keys.take("history").map(|node| report.span("history", node));
    let retention = keys.take("retention").and_then(|node| retention(node, report));
    let stale_after = keys.take("stale_after").and_then(|node| report.positive_span("stale_after", node));
    let sinks = sinks(job, &mut keys, context, report);
    let bootstrap = keys.take("bootstrap").map(|node| bootstrap::read(node, &sinks, report));
    let origin = keys.take("stream").and_then(|node| origin(node, context, report));
    let tail = keys.take("tail").and_then(|node| tail(node, report));
    let pins = keys.take("plugins").map(|node| pins::read(node, report));
    refuse_what_waits(&mut keys, report);
    keys.finish("", report);

    let late = late?;
    Some(JobDefinition {
        name: job.to_owned(),
        version: version?,
        file: file.to_owned(),
        query: query?,
        features,
        request: request.unwrap_or_default(),
        transform: derived.unwrap_or_default(),
        late,
        emit: emit?,
        history: history.unwrap_or(Some(late.allow))?,
        retention,
        tail,
        stale_after,
        bootstrap: bootstrap.unwrap_or(Some(Bootstrap::default()))?,
        sinks,
        origin,
        pins: pins.unwrap_or_default(),
        state_made_by: BTreeMap::new(),
        masks: report.masks(),
    })
}

fn default_late() -> Late {
    Late { policy: LatePolicy::Correct, allow: LATE_ALLOW }
}

fn late(node: &Node, report: &mut Report) -> Option<Late> {
    let mut keys =
        report.mapping("late", node, "a mapping such as {policy: correct, allow: 1h}", keys::LATE)?;
    let words =
        [("correct", LatePolicy::Correct), ("drop", LatePolicy::Drop), ("divert", LatePolicy::Divert)];
    let Late { policy, allow } = default_late();
    let policy = keys.take("policy").map_or(Some(policy), |node| report.word("late.policy", node, &words));
    let allow = keys.take("allow").map_or(Some(allow), |node| report.span("late.allow", node));
    keys.finish("late.", report);
    Some(Late { policy: policy?, allow: allow? })
}

/// A duration, or `{}` for none.
fn retention(node: &Node, report: &mut Report) -> Option<Span> {
    match &node.value {
        Value::Mapping(entries) if entries.is_empty() => None,
        Value::Mapping(_) => {
            report.error(
                node.place,
                "`retention`: expected a duration such as 90d, or {} for none, found a mapping",
            );
            None
        }
        _ => report.positive_span("retention", node),
    }
}

/// `sinks` is a list, `sink` a single one as Dryft writes it.
fn sinks(job: &str, keys: &mut Mapping<'_>, context: &Context<'_>, report: &mut Report) -> Vec<SinkPlan> {
    let on_full = keys.take("on_full").and_then(|node| connectors::on_full("on_full", node, report));
    let of_job = connectors::SinksOf { job, on_full: on_full.unwrap_or_default(), kinds: context.kinds };
    let many = keys.take("sinks");
    let one = keys.take_entry("sink");
    match (many, one) {
        (Some(_), Some((key, _))) => {
            report.error(key.place, "`sink`: `sinks` is given too; move this one into its list");
            Vec::new()
        }
        (Some(node), None) => of_job.list(node, report),
        (None, Some((key, node))) if matches!(node.value, Value::List(_)) => {
            report.error(key.place, "`sink`: is for one; call a list of them `sinks`");
            Vec::new()
        }
        (None, Some((_, node))) => of_job.one("sink", node, report).into_iter().collect(),
        (None, None) => Vec::new(),
    }
}

fn origin(node: &Node, context: &Context<'_>, report: &mut Report) -> Option<StreamOrigin> {
    if !matches!(node.value, Value::Mapping(_)) {
        let message = "`stream`: a job's query names its streams; leave this out, or write {KIND: NAME} for where \
                       the query's only table is read from";
        report.error(node.place, message);
        return None;
    }
    connectors::named_source(node, context.kinds, report)
}

/// A duration, or `exact` for none.
fn tail(node: &Node, report: &mut Report) -> Option<Span> {
    match &node.value {
        Value::Text(text) if text == "exact" => None,
        Value::Text(text) if text.parse::<Span>().is_ok() => report.positive_span("tail", node),
        other => {
            let message = format!("`tail`: expected exact or a duration such as 1d, found {}", shown(other));
            report.error(node.place, message);
            None
        }
    }
}

/// `lookback`: only its default is carried out.
fn refuse_what_waits(keys: &mut Mapping<'_>, report: &mut Report) {
    if let Some((key, node)) = keys.take_entry("lookback") {
        match &node.value {
            Value::Mapping(entries) if entries.is_empty() => {}
            _ => report.error(
                key.place,
                format!(
                    "`lookback`: {NOT_YET}; write {{}}, or leave it out: a job begins with the past that the `archive` \
                     of its stream has"
                ),
            ),
        }
    }
}

fn emit(node: &Node, report: &mut Report) -> Option<Emit> {
    let mut keys = report.mapping("emit", node, "{on: close}, {on: change} or {every: 1s}", keys::EMIT)?;
    let words = [("close", Emit::Close), ("change", Emit::Change)];
    let on = keys.take_entry("on").map(|(key, node)| (key.place, report.word("emit.on", node, &words)));
    let every = keys.take("every").map(|node| report.positive_span("emit.every", node));
    keys.finish("emit.", report);
    match (on, every) {
        (Some((place, _)), Some(_)) => {
            report.error(place, "`emit.on`: `every` is given too; keep one of them");
            None
        }
        (Some((_, on)), None) => on,
        (None, Some(every)) => every.map(Emit::Every),
        (None, None) => Some(Emit::Close),
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("`{text}`"),
        other => other.noun().to_owned(),
    }
}
