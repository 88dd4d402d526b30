//! A stream's file -> [`StreamDefinition`].

use super::connectors::RecordKind;
use super::node::{Node, Place, Value};
use super::report::{Mapping, Report};
use super::{Context, archive, connectors, keys, names, times};
use crate::definition::{Dedup, FormatDefinition, StreamDefinition, WhenIdle};
use weir_event::suggestion::unknown;
use weir_event::{DataType, Field, Span, StreamSchema};

const IDLE_AFTER: Span = Span::from_millis(60_000);
const MAX_FUTURE: Span = Span::from_millis(3_600_000);
/// Producers that retry have given up long before.
const DEDUP_FOR: Span = Span::from_millis(86_400_000);

/// Always an alias of the event time in queries.
const ROWTIME: &str = "rowtime";

/// Reads a stream; `name` gets its name and place as soon as they are known.
pub(super) fn read(
    root: &Node,
    default_name: &str,
    context: &Context<'_>,
    name: &mut Option<(String, Place)>,
    report: &mut Report,
) -> Option<StreamDefinition> {
    let mut keys =
        report.mapping("stream", root, "a mapping such as {stream: NAME, fields: ..}", keys::STREAM)?;
    let given = keys.take("stream");
    *name = names::read("stream", given, default_name, report);

    let fields = keys.take_entry("fields").map(|(key, node)| (fields(node, report), key.place));
    if fields.is_none() {
        report.error(root.place, "`fields`: missing; declare the columns as {NAME: TYPE, ..}");
    }
    let mut fields = fields.map(|(fields, _)| fields).unwrap_or_default();
    let event_time = keys.take("event_time");
    if event_time.is_none() {
        report
            .error(root.place, "`event_time`: missing; name the timestamp column that says when it happened");
    }
    let event_time = event_time.and_then(|node| times::event_time(node, &mut fields, report));
    let known_time = keys.take("known_time").map(|node| times::column("known_time", node, &fields, report));
    check_rowtime(&fields, event_time, report);

    let disorder = keys.take("disorder").map(|node| report.span("disorder", node));
    let idle_after = keys.take("idle_after").map(|node| report.span("idle_after", node));
    let max_future = keys.take("max_future").map(|node| report.span("max_future", node));
    let words = [("advance", WhenIdle::Advance), ("hold", WhenIdle::Hold), ("flush", WhenIdle::Flush)];
    let when_idle = keys.take("when_idle").map(|node| report.word("when_idle", node, &words));
    let max_skew = keys.take("max_skew").map(|node| report.span("max_skew", node));
    let dedup = read_dedup(&mut keys, &fields, report);
    let stream = name.as_ref().map_or(default_name, |(name, _)| name);
    let mut records = Records::of(&fields, event_time);
    let format = records.format(keys.take("format"), context, report);
    records.check_ids(&dedup, report);
    let origin = keys.take("source").map(|node| {
        let records = (format.as_ref().unwrap_or(&records.usual), &records.schema);
        connectors::source(stream, records, node, false, context.kinds, report)
    });
    let archive = keys.take("archive").map(|node| {
        let Records { schema, places, usual, kind, .. } = &records;
        let format = format.as_ref().unwrap_or(usual);
        archive::read(node, &archive::Live { stream, schema, places, format, kind: *kind }, context, report)
    });
    keys.finish("", report);

    Some(StreamDefinition {
        name: stream.to_owned(),
        schema: StreamSchema { event_time: event_time?, ..records.schema() },
        disorder: disorder.unwrap_or(Some(Span::ZERO))?,
        idle_after: idle_after.unwrap_or(Some(IDLE_AFTER))?,
        when_idle: when_idle.unwrap_or(Some(WhenIdle::Advance))?,
        max_future: max_future.unwrap_or(Some(MAX_FUTURE))?,
        max_skew: max_skew.map_or(Some(None), |skew| skew.map(Some))?,
        dedup: dedup?.map(|(dedup, _)| dedup),
        known_time: known_time.map_or(Some(None), |column| column.map(Some))?,
        format: format?,
        origin: origin.map_or(Some(None), |origin| origin.map(Some))?,
        archive: archive.map_or(Some(None), |archive| archive.map(Some))?,
    })
}

/// What is known of a stream's records when its format is judged.
struct Records {
    /// The columns; where the event time is missing, the first stands for it.
    schema: StreamSchema,
    places: Vec<Place>,
    /// Whether every column could be read: else nothing is said of the format's view of them.
    is_whole: bool,
    usual: FormatDefinition,
    kind: RecordKind,
}

impl Records {
    fn of(columns: &[DeclaredColumn], event_time: Option<usize>) -> Records {
        let fields = columns.iter().map(|column| column.field.clone()).collect();
        Records {
            schema: StreamSchema { fields, event_time: event_time.unwrap_or(0) },
            places: columns.iter().map(|column| column.place).collect(),
            is_whole: event_time.is_some() && columns.iter().all(|column| column.valid),
            usual: FormatDefinition::default(),
            kind: RecordKind::Rows,
        }
    }

    /// Reads and judges `format`.
    fn format(
        &mut self,
        node: Option<&Node>,
        context: &Context<'_>,
        report: &mut Report,
    ) -> Option<FormatDefinition> {
        let Some(node) = node else { return Some(self.usual.clone()) };
        let format = connectors::format(node, report)?;
        let no_columns = StreamSchema { fields: Vec::new(), event_time: 0 };
        let schema = if self.is_whole { &self.schema } else { &no_columns };
        self.kind = connectors::judge_format((&format, schema), node, &self.places, context.kinds, report)?;
        Some(format)
    }

    /// The columns that are decoded of them.
    fn schema(self) -> StreamSchema {
        match self.kind {
            RecordKind::Rows => self.schema,
            RecordKind::Changes => self.schema.with_taken_back(),
        }
    }

    /// Refuses ids of changes: all changes of a row have the row's.
    fn check_ids(&self, dedup: &Option<Option<(Dedup, Place)>>, report: &mut Report) {
        if let (RecordKind::Changes, Some(Some((_, place)))) = (self.kind, dedup) {
            let message = "`event_id`: every change of a row has the row's columns, so that what updates or deletes it \
                           would be taken for a repeated event; leave `event_id` out";
            report.error(*place, message);
        }
    }
}

/// Reads `event_id`, which stands at the place beside, and `dedup_for`.
fn read_dedup(
    keys: &mut Mapping<'_>,
    columns: &[DeclaredColumn],
    report: &mut Report,
) -> Option<Option<(Dedup, Place)>> {
    let within = keys.take_entry("dedup_for");
    let span = within.map(|(_, node)| report.positive_span("dedup_for", node));
    let Some(node) = keys.take("event_id") else {
        if let Some((key, _)) = within {
            let message = "`dedup_for`: `event_id` is missing; name the column that tells events apart, or leave \
                           this out";
            report.error(key.place, message);
            return None;
        }
        return Some(None);
    };
    let event_id = column("event_id", node, DataType::String, columns, report)?;
    let DeclaredColumn { field, valid, .. } = &columns[event_id];
    // Times are floored to milliseconds, and two events of one millisecond are two.
    let is_id =
        field.data_type != DataType::Timestamp && weir_event::key::is_key_type(&field.data_type.to_arrow());
    if *valid && !is_id {
        let (name, found) = (&field.name, &field.data_type);
        let message = format!("`event_id`: `{name}` is declared {found}; an id is a text or a number");
        report.error(node.place, message);
        return None;
    }
    let dedup = Dedup { event_id, within: span.unwrap_or(Some(DEDUP_FOR))? };
    Some(Some((dedup, node.place)))
}

/// A declared column; one whose declaration is wrong stays, so that what names it is not reported too.
pub(super) struct DeclaredColumn {
    pub(super) field: Field,
    pub(super) place: Place,
    pub(super) valid: bool,
}

fn fields(node: &Node, report: &mut Report) -> Vec<DeclaredColumn> {
    let shape = "a mapping such as {user_id: string, event_time: timestamp}";
    let Value::Mapping(entries) = &node.value else {
        report.error(node.place, format!("`fields`: expected {shape}, found {}", node.value.noun()));
        return Vec::new();
    };
    report.repeated(entries);
    if entries.is_empty() {
        report.error(node.place, format!("`fields`: is empty; write {shape}"));
    }
    let mut columns = Vec::with_capacity(entries.len());
    for (key, value) in entries {
        let (name, label) = (key.name.clone(), format!("fields.{}", key.name));
        if name.is_empty() {
            report.error(key.place, "`fields`: a column needs a name");
        }
        let field = match &value.value {
            Value::Mapping(_) => detailed(&label, &name, value, report),
            _ => data_type(&label, value, report).map(|data_type| Field::named(&name, data_type)),
        };
        let valid = field.is_some();
        let field = field.unwrap_or_else(|| Field::named(&name, DataType::Json));
        columns.push(DeclaredColumn { field, place: key.place, valid });
    }
    columns
}

/// Reads `{type: double, from: payload.fare}`.
fn detailed(label: &str, name: &str, node: &Node, report: &mut Report) -> Option<Field> {
    let mut keys = report.mapping(label, node, "a type", keys::FIELD)?;
    let found = keys.take("type").map(|node| data_type(&format!("{label}.type"), node, report));
    if found.is_none() {
        report.error(node.place, format!("`{label}.type`: missing; write {{type: TYPE, from: MEMBER}}"));
    }
    let path = match keys.take("from") {
        Some(node) => from(&format!("{label}.from"), node, report),
        None => Some(vec![name.to_owned()]),
    };
    let form = times::form(label, &mut keys, report);
    keys.finish(&format!("{label}."), report);
    let mut field = Field::named(name, found.flatten()?);
    field.path = path?;
    if let Some((form, place)) = form? {
        times::give(label, place, &mut field, form, report)?;
    }
    Some(field)
}

fn from(label: &str, node: &Node, report: &mut Report) -> Option<Vec<String>> {
    let text = report.text(label, node)?;
    let path: Vec<String> = text.split('.').map(str::to_owned).collect();
    if path.iter().any(String::is_empty) {
        let message =
            format!("`{label}`: `{text}` names no member; write names with dots between, as payload.fare");
        report.error(node.place, message);
        return None;
    }
    Some(path)
}

/// Reads a type. In a flow mapping a comma ends an unquoted text, which is why half a type may arrive.
pub(super) fn data_type(label: &str, node: &Node, report: &mut Report) -> Option<DataType> {
    if let Value::Text(text) = &node.value
        && [('<', '>'), ('(', ')')]
            .iter()
            .any(|(open, close)| text.contains(*open) && !text.trim_end().ends_with([*close, '>']))
    {
        let message = format!("`{label}`: `{text}` is half a type; quote a type that holds a comma");
        report.error(node.place, message);
        return None;
    }
    report.parsed(label, node, "a type such as bigint")
}

/// The index of the declared column that a key names; it is most often of the usual type.
pub(super) fn column(
    key: &str,
    node: &Node,
    usual: DataType,
    columns: &[DeclaredColumn],
    report: &mut Report,
) -> Option<usize> {
    let name = report.text(key, node)?;
    let found = columns.iter().position(|column| column.field.name == name);
    if found.is_none() {
        let message = unknown("column", &name, columns.iter().map(|column| column.field.name.as_str()));
        report.error(
            node.place,
            format!("`{key}`: `{name}`: {message} (or add `{name}: {usual}` to `fields`)"),
        );
    }
    found
}

fn check_rowtime(columns: &[DeclaredColumn], event_time: Option<usize>, report: &mut Report) {
    for (at, column) in columns.iter().enumerate() {
        if column.field.name == ROWTIME && event_time.is_some_and(|event_time| event_time != at) {
            let message = "`fields.rowtime`: in queries `rowtime` is the event-time column; call this one \
                           otherwise and say `from: rowtime`";
            report.error(column.place, message);
        }
    }
}
