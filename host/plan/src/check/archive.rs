//! `archive` of a stream's file: where its past is, and how that is laid out.
//!
//! Its columns are the stream's; only where they stand in a record may differ. Must not know any connector or format.

use super::connectors::{self, RecordKind};
use super::node::{Node, Place, Value};
use super::report::Report;
use super::{Context, keys};
use crate::definition::{Archive, ArchiveCut, FormatDefinition, OffsetColumns};
use weir_event::suggestion::unknown;
use weir_event::{DataType, Field, StreamSchema};

/// What is known of the stream whose archive it is.
pub(super) struct Live<'a> {
    pub(super) stream: &'a str,
    pub(super) schema: &'a StreamSchema,
    pub(super) places: &'a [Place],
    pub(super) format: &'a FormatDefinition,
    pub(super) kind: RecordKind,
}

/// Reads `archive: {source: .., format: .., columns: {NAME: COLUMN}}`.
pub(super) fn read(
    node: &Node,
    live: &Live<'_>,
    context: &Context<'_>,
    report: &mut Report,
) -> Option<Archive> {
    let shape = "a mapping such as {source: {file: {path: \"archive/*.parquet\"}}, format: parquet}";
    let mut keys = report.mapping("archive", node, shape, keys::ARCHIVE)?;
    let fields = match keys.take("columns") {
        Some(columns) => renamed(columns, live.schema, report),
        None => Some(live.schema.fields.clone()),
    };
    let format = keys.take("format");
    let (format, of_format) = match format {
        Some(node) => (connectors::format(node, report), node),
        None => (Some(live.format.clone()), node),
    };
    let source = keys.take("source");
    if source.is_none() {
        report.error(node.place, format!("`archive.source`: missing; write {shape}"));
    }
    let of_cut = keys.take("cut");
    let allow_gap =
        keys.take("allow_gap").map_or(Some(false), |node| report.boolean("archive.allow_gap", node));
    keys.finish("archive.", report);
    let (format, schema) = (format?, StreamSchema { fields: fields?, ..live.schema.clone() });
    let kind = connectors::judge_format((&format, &schema), of_format, live.places, context.kinds, report)?;
    if kind != live.kind {
        let message = "`archive.format`: rows of the one and changes of the other are not the same events; archive what \
                       the stream's own format reads";
        report.error(of_format.place, message);
        return None;
    }
    let mut schema = match kind {
        RecordKind::Rows => schema,
        RecordKind::Changes => schema.with_taken_back(),
    };
    // Behind all others, as columns of the stream are numbered the same in both.
    let cut = of_cut.map_or(Some(ArchiveCut::Auto), |node| cut(node, &mut schema.fields, report));
    if kind == RecordKind::Changes && !matches!(cut, Some(ArchiveCut::ByOffset(_)) | None) {
        let message = "`archive.cut`: changes of a table take others back, so that no time parts them: cut by the log's \
                       offsets, as {partition: COLUMN, offset: COLUMN}";
        report.error(of_cut.map_or(of_format.place, |node| node.place), message);
    }
    let origin = connectors::source(live.stream, (&format, &schema), source?, true, context.kinds, report)?;
    Some(Archive { format, schema, origin, cut: cut?, allow_gap: allow_gap? })
}

/// Reads `cut: auto`, a time, or `{partition: COLUMN, offset: COLUMN}`, whose columns are added to the fields where they
/// are none of them.
fn cut(node: &Node, fields: &mut Vec<Field>, report: &mut Report) -> Option<ArchiveCut> {
    match &node.value {
        Value::Text(text) if text == "auto" => Some(ArchiveCut::Auto),
        Value::Text(_) | Value::Number(_) => {
            let wanted = "auto, a time such as 2026-02-01T00:00:00Z, or {partition: COLUMN, offset: COLUMN}";
            report.parsed("archive.cut", node, wanted).map(ArchiveCut::At)
        }
        _ => {
            let shape =
                "auto, a time, or a mapping such as {partition: kafka_partition, offset: kafka_offset}";
            let mut keys = report.mapping("archive.cut", node, shape, keys::CUT)?;
            let mut column = |key: &'static str, report: &mut Report| {
                let label = format!("archive.cut.{key}");
                let Some(named) = keys.take(key) else {
                    report.error(node.place, format!("`{label}`: missing; name the archive's column"));
                    return None;
                };
                let name = report.text(&label, named)?;
                number_column(&label, named, &name, fields, report)
            };
            let partition = column("partition", report);
            let offset = column("offset", report);
            keys.finish("archive.cut.", report);
            Some(ArchiveCut::ByOffset(OffsetColumns { partition: partition?, offset: offset? }))
        }
    }
}

/// The index of a column that holds whole numbers.
fn number_column(
    label: &str,
    node: &Node,
    name: &str,
    fields: &mut Vec<Field>,
    report: &mut Report,
) -> Option<usize> {
    let path = vec![name.to_owned()];
    if let Some(at) = fields.iter().position(|field| field.path == path) {
        let found = &fields[at].data_type;
        if *found != DataType::Bigint {
            report.error(node.place, format!("`{label}`: `{name}` is declared {found}; declare it bigint"));
            return None;
        }
        return Some(at);
    }
    fields.push(Field::named(name, DataType::Bigint));
    Some(fields.len() - 1)
}

/// The stream's columns where the archive has them: `{NAME: COLUMN}`.
fn renamed(node: &Node, live: &StreamSchema, report: &mut Report) -> Option<Vec<Field>> {
    let Value::Mapping(entries) = &node.value else {
        let found = node.value.noun();
        report.error(node.place, format!("`archive.columns`: expected {{NAME: COLUMN, ..}}, found {found}"));
        return None;
    };
    report.repeated(entries);
    let mut fields = live.fields.clone();
    for (key, node) in entries {
        let Some(at) = fields.iter().position(|field| field.name == key.name) else {
            let known = live.fields.iter().map(|field| field.name.as_str());
            report.error(
                key.place,
                format!("`archive.columns`: `{}`: {}", key.name, unknown("column", &key.name, known)),
            );
            continue;
        };
        if let Some(name) = report.text(&format!("archive.columns.{}", key.name), node) {
            fields[at].path = vec![name];
        }
    }
    Some(fields)
}
