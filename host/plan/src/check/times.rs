//! The columns of times, and how a stream's file says that they are written.
//!
//! Knows the keys `unit`, `pattern` and `zone`, which `event_time` and every field may have. Must not know how a time
//! is read.

use super::keys;
use super::node::{Node, Place, Value};
use super::report::{Mapping, Report};
use super::stream::{DeclaredColumn, column as named};
use weir_event::{DataType, Field, PatternError, TIME_UNITS, TimeForm, TimePattern};

/// Reads `event_time`: a column's name, or `{column: ts, unit: s}`.
pub(super) fn event_time(node: &Node, columns: &mut [DeclaredColumn], report: &mut Report) -> Option<usize> {
    const KEY: &str = "event_time";
    if !matches!(node.value, Value::Mapping(_)) {
        return column(KEY, node, columns, report);
    }
    let mut keys = report.mapping(KEY, node, "a column", keys::EVENT_TIME)?;
    let given = keys.take("column");
    if given.is_none() {
        report.error(node.place, "`event_time.column`: missing; write {column: NAME, unit: s}");
    }
    let form = form(KEY, &mut keys, report);
    keys.finish("event_time.", report);
    let Some((form, place)) = form? else {
        return column(KEY, given?, columns, report);
    };
    let at = named("event_time.column", given?, DataType::Timestamp, columns, report)?;
    let column = &mut columns[at];
    if column.valid && column.field.form != TimeForm::Standard {
        let message = format!(
            "`event_time`: `fields.{}` says already how it is written; leave one of the two out",
            column.field.name
        );
        report.error(place, message);
        return None;
    }
    if column.valid {
        give(KEY, place, &mut column.field, form, report)?;
    }
    Some(at)
}

/// The column of times that a key names.
pub(super) fn column(
    key: &str,
    node: &Node,
    columns: &[DeclaredColumn],
    report: &mut Report,
) -> Option<usize> {
    let at = named(key, node, DataType::Timestamp, columns, report)?;
    let column = &columns[at];
    let name = &column.field.name;
    if !column.valid || column.field.data_type == DataType::Timestamp {
        return Some(at);
    }
    let found = &column.field.data_type;
    let written = match found {
        DataType::String => ", pattern: \"%Y-%m-%d %H:%M:%S\"",
        DataType::Bigint | DataType::Int | DataType::Double => ", unit: s",
        _ => "",
    };
    let how = match (written, key) {
        ("", _) => String::new(),
        (written, "event_time") => format!(" (written otherwise: `event_time: {{column: {name}{written}}}`)"),
        (written, _) => format!(" (written otherwise: `{name}: {{type: timestamp{written}}}`)"),
    };
    let message =
        format!("`{key}`: `{name}` is declared {found}; declare it timestamp{how}, or name a column that is");
    report.error(node.place, message);
    None
}

/// How times are written, and where that is said; the outer `None` after an error.
pub(super) fn form(
    label: &str,
    keys: &mut Mapping<'_>,
    report: &mut Report,
) -> Option<Option<(TimeForm, Place)>> {
    let (unit, pattern) = (keys.take_entry("unit"), keys.take_entry("pattern"));
    let zone = keys.take_entry("zone");
    if let Some((zone, _)) = zone.filter(|_| pattern.is_none()) {
        let message = format!(
            "`{label}.zone`: `pattern` is missing; say how the texts are written, such as pattern: \"%Y-%m-%d %H:%M:%S\""
        );
        report.error(zone.place, message);
        return None;
    }
    match (unit, pattern) {
        (None, None) => Some(None),
        (Some(_), Some((pattern, _))) => {
            let message = format!(
                "`{label}.pattern`: a time is a number of a `unit` or a text of a `pattern`; keep one"
            );
            report.error(pattern.place, message);
            None
        }
        (Some((key, node)), None) => {
            let unit = report.word(&format!("{label}.unit"), node, &TIME_UNITS)?;
            Some(Some((TimeForm::Unit(unit), key.place)))
        }
        (None, Some((key, node))) => {
            let pattern = report.text(&format!("{label}.pattern"), node)?;
            let zone_name = match zone {
                Some((_, zone)) => Some(report.text(&format!("{label}.zone"), zone)?),
                None => None,
            };
            match TimePattern::new(&pattern, zone_name.as_deref()) {
                Ok(pattern) => Some(Some((TimeForm::Pattern(pattern), key.place))),
                Err(error) => {
                    let (key, node) = match (&error, zone) {
                        (PatternError::Zone(..) | PatternError::TwoZones(_), Some((_, zone))) => {
                            ("zone", zone)
                        }
                        _ => ("pattern", node),
                    };
                    report.error(node.place, format!("`{label}.{key}`: {error}"));
                    None
                }
            }
        }
    }
}

/// Makes a column one of times that are written so: declared as a timestamp, or as what is written.
pub(super) fn give(
    label: &str,
    place: Place,
    field: &mut Field,
    form: TimeForm,
    report: &mut Report,
) -> Option<()> {
    let (fits, wanted) = match (&form, &field.data_type) {
        (_, DataType::Timestamp) => (true, ""),
        (TimeForm::Pattern(_), found) => (*found == DataType::String, "a text"),
        (_, found) => (matches!(found, DataType::Bigint | DataType::Int | DataType::Double), "a number"),
    };
    let found = &field.data_type;
    if !fits {
        let message = format!(
            "`{label}`: `{}` is declared {found}, and what is written so is {wanted}; declare it timestamp",
            field.name
        );
        report.error(place, message);
        return None;
    }
    if *found != DataType::Timestamp {
        let message = format!(
            "`{label}`: `{}` is a timestamp in queries, though it is declared {found}; declare it timestamp",
            field.name
        );
        report.warning(place, message);
    }
    field.data_type = DataType::Timestamp;
    field.form = form;
    Some(())
}
