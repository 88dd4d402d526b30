//! `archive` of a stream's file: where its past is, and how that is laid out.
//!
//! Its columns are the stream's; only where they stand in a record may differ. Must not know any connector or format.

use super::connectors::{self, RecordKind};
use super::node::{Node, Place, Value};
use super::report::Report;
use super::{Context, keys};
use crate::definition::{Archive, FormatDefinition};
use weir_event::suggestion::unknown;
use weir_event::{Field, StreamSchema};

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
    for (name, node) in [("cut", keys.take("cut")), ("allow_gap", keys.take("allow_gap"))] {
        if let Some(node) = node {
            let message =
                "weir 0.1 does not have this yet, as no job begins with its stream's archive; leave it out";
            report.error(node.place, format!("`archive.{name}`: {message}"));
        }
    }
    keys.finish("archive.", report);
    let (format, schema) = (format?, StreamSchema { fields: fields?, ..live.schema.clone() });
    let kind = connectors::judge_format((&format, &schema), of_format, live.places, context.kinds, report)?;
    if kind != live.kind {
        let message = "`archive.format`: rows of the one and changes of the other are not the same events; archive what \
                       the stream's own format reads";
        report.error(of_format.place, message);
        return None;
    }
    let schema = match kind {
        RecordKind::Rows => schema,
        RecordKind::Changes => schema.with_taken_back(),
    };
    let origin = connectors::source(live.stream, (&format, &schema), source?, context.kinds, report)?;
    Some(Archive { format, schema, origin })
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
