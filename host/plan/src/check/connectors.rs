//! What a definition says about connectors and formats: a kind and its settings, which only the connector or the format can
//! judge.
//!
//! Must not know the name of any kind or setting: [`ConnectorKinds`] answers for all of them.

use super::node::{Key, Node, Place, Value};
use super::report::Report;
use crate::definition::{FormatDefinition, StreamOrigin};
use crate::job_plan::{OnFull, SinkPlan};
use serde_json::json;
use weir_event::StreamSchema;

/// One thing that is wrong with a connector's settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingProblem {
    /// The key below the connector's kind, such as `path` or `options.acks`; empty for the connector as a whole,
    /// as where its kind is unknown.
    pub key: String,
    /// What is wrong and what to do; lower case, no full stop.
    pub message: String,
}

/// One thing that is wrong with a stream's format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormatProblem {
    /// With one of its options, or with it as a whole.
    Option(SettingProblem),
    /// With the declared field of this index, as the format knows it.
    Field(usize, String),
}

/// What the records of a stream are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RecordKind {
    /// Each is a row.
    #[default]
    Rows,
    /// Each is a change of a table's row: a row that is new, or one that takes an earlier one back, or both.
    Changes,
}

/// Judges kinds of connectors, formats and their settings; of all there is outside it asks nothing but files that a
/// format names. Whoever knows the connectors implements it.
pub trait ConnectorKinds {
    /// Everything that is wrong with the source of a stream of these columns whose records have this format; one of the
    /// stream's past has an end.
    fn check_source(
        &self,
        stream: &str,
        records: (&FormatDefinition, &StreamSchema),
        origin: &StreamOrigin,
        is_archive: bool,
    ) -> Vec<SettingProblem>;

    /// Everything that is wrong with a sink of a job.
    fn check_sink(&self, job: &str, kind: &str, settings: &serde_json::Value) -> Vec<SettingProblem>;

    /// Where a sink of a job writes, if no other of the job may write there; `None` also where its settings are wrong.
    fn sink_place(&self, job: &str, kind: &str, settings: &serde_json::Value) -> Option<String>;

    /// What records of this format are, or everything that is wrong with the format of a stream of these columns.
    fn check_format(
        &self,
        format: &FormatDefinition,
        schema: &StreamSchema,
    ) -> Result<RecordKind, Vec<FormatProblem>>;

    /// The setting of a source of this kind that holds the name of what is read (a topic, a path), for
    /// `stream: {KIND: NAME}`; `None` where the kind has no such setting. The error says why the kind cannot be
    /// used.
    fn name_setting(&self, kind: &str) -> Result<Option<&'static str>, String>;
}

/// The only entry of a mapping such as `{kafka: {..}}`.
fn only_entry<'n>(key: &str, node: &'n Node, shape: &str, report: &mut Report) -> Option<&'n (Key, Node)> {
    if let Value::Mapping(entries) = &node.value {
        report.repeated(entries);
        if let [entry] = entries.as_slice() {
            return Some(entry);
        }
    }
    let found = match &node.value {
        Value::Mapping(entries) => match entries.as_slice() {
            // The commonest slip: what belongs to a kind is not indented.
            [(kind, Node { value: Value::Null, .. }), (beside, _), ..] => {
                let message = format!(
                    "`{key}`: `{0}` stands beside `{1}` and belongs to it; indent it further, as {{{1}: {{{0}: ..}}}}",
                    beside.name, kind.name
                );
                report.error(beside.place, message);
                return None;
            }
            entries => format!("{} kinds", entries.len()),
        },
        other => other.noun().to_owned(),
    };
    report.error(node.place, format!("`{key}`: expected exactly one kind, as {shape}; found {found}"));
    None
}

/// Settings as the connector gets them: no value at all stands for none.
fn settings(node: &Node, report: &mut Report) -> serde_json::Value {
    report.repeated_below(node);
    if matches!(node.value, Value::Null) { json!({}) } else { node.to_json() }
}

/// Problems with a kind stand at its name, those with a setting at the setting.
fn place_problems(problems: Vec<SettingProblem>, (kind, node): &(Key, Node), report: &mut Report) {
    for problem in problems {
        if problem.key.is_empty() {
            report.error(kind.place, problem.message);
        } else {
            let place = node.place_of(&problem.key).unwrap_or(kind.place);
            report.error(place, format!("`{}.{}`: {}", kind.name, problem.key, problem.message));
        }
    }
}

/// Reads `format: NAME` or `format: {NAME: {..}}` of a stream.
pub(super) fn format(node: &Node, report: &mut Report) -> Option<FormatDefinition> {
    if let Value::Text(name) = &node.value {
        return Some(FormatDefinition { name: name.clone(), ..FormatDefinition::default() });
    }
    let (kind, node) = only_entry("format", node, "json or {csv: {header: true}}", report)?;
    Some(FormatDefinition { name: kind.name.clone(), options: settings(node, report) })
}

/// Says what is wrong with a stream's format, or what its records are. `fields` are the places of its columns.
pub(super) fn judge_format(
    (format, schema): (&FormatDefinition, &StreamSchema),
    node: &Node,
    fields: &[Place],
    kinds: &dyn ConnectorKinds,
    report: &mut Report,
) -> Option<RecordKind> {
    let problems = match kinds.check_format(format, schema) {
        Ok(kind) => return Some(kind),
        Err(problems) => problems,
    };
    for problem in problems {
        match problem {
            FormatProblem::Option(problem) => match &node.value {
                Value::Mapping(entries) if entries.len() == 1 => {
                    place_problems(vec![problem], &entries[0], report);
                }
                _ => report.error(node.place, problem.message),
            },
            FormatProblem::Field(index, message) => {
                let name = schema.fields.get(index).map_or("", |field| &field.name);
                report.error(
                    fields.get(index).copied().unwrap_or(node.place),
                    format!("`fields.{name}`: {message}"),
                );
            }
        }
    }
    None
}

/// Reads `source: {KIND: {..}}` of a stream of these columns whose records have this format, or of its archive.
pub(super) fn source(
    stream: &str,
    records: (&FormatDefinition, &StreamSchema),
    node: &Node,
    is_archive: bool,
    kinds: &dyn ConnectorKinds,
    report: &mut Report,
) -> Option<StreamOrigin> {
    let example = if is_archive { "{file: {path: ..}}" } else { "{http: {}}" };
    let entry = only_entry("source", node, example, report)?;
    let origin = StreamOrigin { kind: entry.0.name.clone(), settings: settings(&entry.1, report) };
    place_problems(kinds.check_source(stream, records, &origin, is_archive), entry, report);
    Some(origin)
}

/// What is the same for all sinks of a job.
pub(super) struct SinksOf<'a> {
    pub(super) job: &'a str,
    /// For those that do not say it themselves.
    pub(super) on_full: OnFull,
    pub(super) kinds: &'a dyn ConnectorKinds,
}

impl SinksOf<'_> {
    /// Reads `sinks: [{KIND: {..}}, ..]` of a job.
    pub(super) fn list(&self, node: &Node, report: &mut Report) -> Vec<SinkPlan> {
        let Value::List(items) = &node.value else {
            let found = node.value.noun();
            report
                .error(node.place, format!("`sinks`: expected a list such as [stdout: {{}}], found {found}"));
            return Vec::new();
        };
        let mut plans: Vec<SinkPlan> = Vec::new();
        let mut places: Vec<String> = Vec::new();
        for item in items {
            let Some(plan) = self.one("sinks", item, report) else { continue };
            if let Some(place) = self.kinds.sink_place(self.job, &plan.kind, &plan.settings) {
                if places.contains(&place) {
                    let message = format!(
                        "`sinks`: two of them write {place}, and each would take the other's rows for its own; write one \
                         of them to another place, or leave it out"
                    );
                    report.error(item.place, message);
                }
                places.push(place);
            }
            plans.push(plan);
        }
        number(&mut plans);
        plans
    }

    /// Reads one sink, an item of `sinks` or the value of `sink`; its name is its kind.
    pub(super) fn one(&self, key: &str, node: &Node, report: &mut Report) -> Option<SinkPlan> {
        let entry = only_entry(key, node, "{stdout: {}}", report)?;
        let kind = entry.0.name.clone();
        let mut settings = settings(&entry.1, report);
        settings.as_object_mut().and_then(|settings| settings.remove(ON_FULL));
        let own = entry.1.entry(ON_FULL).map(|(_, node)| node);
        let own = own.filter(|node| !matches!(node.value, Value::Null));
        let on_full = own.and_then(|node| on_full(&format!("{kind}.{ON_FULL}"), node, report));
        place_problems(self.kinds.check_sink(self.job, &kind, &settings), entry, report);
        let on_full = on_full.unwrap_or(self.on_full);
        Some(SinkPlan { name: kind.clone(), kind, settings, on_full, stands_at: entry.0.place })
    }
}

/// The one setting of a sink that is not its connector's.
const ON_FULL: &str = "on_full";

/// Reads what happens when a sink's outbox is full.
pub(super) fn on_full(key: &str, node: &Node, report: &mut Report) -> Option<OnFull> {
    report.word(key, node, &[("pause", OnFull::Pause), ("suspend", OnFull::Suspend)])
}

/// The first of a kind keeps its name when a second is added, as what it has written is known by that name.
fn number(plans: &mut [SinkPlan]) {
    for at in 1..plans.len() {
        let before = plans[..at].iter().filter(|plan| plan.kind == plans[at].kind).count();
        if before > 0 {
            plans[at].name = format!("{}-{}", plans[at].kind, before + 1);
        }
    }
}

/// Reads `stream: {KIND: NAME}` of a job: the physical source of its query's only table.
pub(super) fn named_source(
    node: &Node,
    kinds: &dyn ConnectorKinds,
    report: &mut Report,
) -> Option<StreamOrigin> {
    let (kind, name) = only_entry("stream", node, "{KIND: NAME}", report)?;
    let setting = kinds.name_setting(&kind.name).map_err(|message| report.error(kind.place, message)).ok()?;
    let name_text = report.text(&kind.name, name)?;
    let settings = setting.map_or_else(|| json!({}), |setting| json!({ setting: name_text }));
    Some(StreamOrigin { kind: kind.name.clone(), settings })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sinks_of_one_kind_are_numbered_from_the_second() {
        let plan = |kind: &str| SinkPlan {
            kind: kind.to_owned(),
            settings: json!({}),
            name: kind.to_owned(),
            on_full: OnFull::Pause,
            stands_at: (1, 1),
        };
        let mut plans = [plan("file"), plan("stdout"), plan("file"), plan("file")];
        number(&mut plans);
        let names: Vec<_> = plans.iter().map(|plan| plan.name.as_str()).collect();
        assert_eq!(names, ["file", "stdout", "file-2", "file-3"]);
    }
}
