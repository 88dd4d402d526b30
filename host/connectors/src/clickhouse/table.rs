//! What a job's rows look like in a table: its columns, its key, the statement that makes it, and a row as JSON.
//!
//! Must not ask the server.

use super::types::{made, takes};
use crate::upsert::{Item, Keep};
use arrow_array::Array;
use serde::Deserialize;
use std::collections::BTreeSet;
use weir_connect::{Op, RowIdentity, RowShape};
use weir_event::{DataType, EventTime};
use weir_format::json::push_cell;

/// Where the newest of a key's rows is told from the others: its time first, then its revision.
const VERSION: (&str, &str) = ("_version", "UInt128");
/// 1 where the row takes another away.
const DELETED: (&str, &str) = ("_deleted", "UInt8");
/// Names that are weir's own.
const OWN: [&str; 6] = ["_version", "_deleted", "_window_start", "_window_end", "_event_time", "_event"];

/// Rows of a job in a table.
#[derive(Debug, Clone)]
pub(super) struct ReplacingTable {
    /// The query's columns in its order, then those of the key that it does not have.
    columns: Vec<ReplacingColumn>,
    /// How many of them are the query's.
    of_query: usize,
    /// Those that are weir's own, and their types.
    own: Vec<(&'static str, &'static str)>,
    /// What the table is sorted by.
    key: Vec<String>,
}

#[derive(Debug, Clone)]
struct ReplacingColumn {
    name: String,
    data_type: DataType,
    is_key: bool,
    /// `"NAME":`.
    label: Vec<u8>,
}

/// A column as the server tells it.
#[derive(Debug, Deserialize)]
pub(super) struct FoundColumn {
    name: String,
    #[serde(rename = "type")]
    found: String,
}

impl ReplacingTable {
    /// Of the rows of a job; the error says which column no table can have.
    pub(super) fn of(shape: &RowShape, keep: Keep) -> Result<ReplacingTable, String> {
        let mut columns = Vec::new();
        let key_columns: Vec<usize> = shape.key_columns.iter().copied().flatten().collect();
        let of_query = shape.columns.fields().iter().enumerate();
        let hidden =
            shape.keys.fields().iter().zip(&shape.key_columns).filter(|(_, column)| column.is_none());
        let all = of_query
            .map(|(at, field)| (field, key_columns.contains(&at)))
            .chain(hidden.map(|(field, _)| (field, true)));
        for (field, is_key) in all {
            let name = field.name().clone();
            if OWN.contains(&name.as_str()) || name.is_empty() {
                return Err(format!(
                    "the column `{name}` is weir's own in a table; give that column another name"
                ));
            }
            let data_type = DataType::from_arrow(field.data_type()).ok_or_else(|| {
                format!(
                    "column `{name}` of type {} has no form in a table; cast it to another type",
                    field.data_type()
                )
            })?;
            let label = format!("{}:", serde_json::Value::from(name.as_str())).into_bytes();
            columns.push(ReplacingColumn { name, data_type, is_key, label });
        }
        let (time, bound) = match shape.identity {
            RowIdentity::WindowEnd => (WINDOW, Some("_window_end")),
            RowIdentity::WindowStart => (WINDOW, Some("_window_start")),
            RowIdentity::Event => (EVENT, Some("_event")),
            RowIdentity::Key => (&[][..], None),
        };
        let key = columns.iter().filter(|column| column.is_key).map(|column| column.name.clone());
        let key = key.chain(bound.filter(|_| keep == Keep::All).map(str::to_owned)).collect();
        let own = time.iter().filter(|(name, _)| keep == Keep::All || *name != "_event").copied();
        let own = own.chain([VERSION, DELETED]).collect();
        Ok(ReplacingTable { columns, of_query: shape.columns.fields().len(), own, key })
    }

    /// The statement that makes the table.
    pub(super) fn statement(&self, database: &str, table: &str) -> String {
        let of_query = self.columns.iter().map(|column| (column.name.as_str(), made(&column.data_type)));
        let own = self.own.iter().map(|(name, kind)| (*name, (*kind).to_owned()));
        let columns: Vec<String> =
            of_query.chain(own).map(|(name, kind)| format!("  {} {kind}", quoted(name))).collect();
        let key: Vec<String> = self.key.iter().map(|name| quoted(name)).collect();
        format!(
            "CREATE TABLE {}.{} (\n{}\n) ENGINE = ReplacingMergeTree({}, {})\nORDER BY ({})\n\
             SETTINGS allow_nullable_key = 1, non_replicated_deduplication_window = 1000;\n",
            quoted(database),
            quoted(table),
            columns.join(",\n"),
            VERSION.0,
            DELETED.0,
            key.join(", ")
        )
    }

    /// What is wrong with the columns of a table, if anything: the first that is missing or does not take its values.
    pub(super) fn misfit(&self, found: &[FoundColumn]) -> Option<String> {
        let find = |name: &str| found.iter().find(|column| column.name == name);
        for column in &self.columns {
            let (name, data_type) = (&column.name, &column.data_type);
            let Some(found) = find(name) else { return Some(format!("has no column `{name}`")) };
            if !takes(&found.found, data_type) {
                let (kind, made) = (&found.found, made(data_type));
                return Some(format!(
                    "has `{name}` as {kind}, which does not hold {data_type}; make it {made}"
                ));
            }
        }
        for (name, kind) in &self.own {
            let Some(found) = find(name) else {
                return Some(format!("has no column `{name}` of type {kind}"));
            };
            let plain = |text: &str| text.replace(' ', "");
            if plain(&found.found) != plain(kind) {
                return Some(format!("has `{name}` as {}; make it {kind}", found.found));
            }
        }
        None
    }

    /// What is wrong with the engine of a table, if that is one that keeps rows itself.
    pub(super) fn engine_misfit(&self, engine: &str, full: &str, sorted_by: &str) -> Option<String> {
        if !engine.ends_with("MergeTree") {
            return None;
        }
        let engine_is = format!("ReplacingMergeTree({}, {})", VERSION.0, DELETED.0);
        let plain = |text: &str| text.chars().filter(|letter| !" `'\"".contains(*letter)).collect::<String>();
        if !engine.ends_with("ReplacingMergeTree")
            || !plain(full).contains(&format!("{},{})", VERSION.0, DELETED.0))
        {
            return Some(format!(
                "is of the engine {engine}, in which older rows stay beside newer ones; make it {engine_is}"
            ));
        }
        // A key of one column is told with brackets around it.
        let sorted = sorted_by.strip_prefix('(').and_then(|by| by.strip_suffix(')')).unwrap_or(sorted_by);
        let found: BTreeSet<String> = sorted.split(',').map(plain).filter(|name| !name.is_empty()).collect();
        let key: BTreeSet<String> = self.key.iter().map(|name| plain(name)).collect();
        (found != key).then(|| {
            let key = self.key.join(", ");
            format!("is sorted by ({sorted_by}), so that other rows take each other's place; make it ORDER BY ({key})")
        })
    }

    /// How many columns it has.
    pub(super) fn len(&self) -> usize {
        self.columns.len() + self.own.len()
    }

    /// Appends a row as an object. One that takes another away has its key and its version alone.
    pub(super) fn push_row(&self, item: &Item, out: &mut Vec<u8>) {
        out.push(b'{');
        let (of_query, hidden) = self.columns.split_at(self.of_query);
        for (column, (_, array)) in of_query.iter().zip(item.columns()) {
            push_member(column, item, array, out);
        }
        if let Some(keys) = &item.meta().keys {
            for column in hidden {
                if let Some(array) = keys.column_by_name(&column.name) {
                    push_member(column, item, array, out);
                }
            }
        }
        let mut text = |name: &str, value: &str| {
            out.extend_from_slice(format!("\"{name}\":{},", serde_json::Value::from(value)).as_bytes());
        };
        let time = |millis: i64| EventTime::from_millis(millis).to_string();
        for (name, _) in &self.own {
            let value = match *name {
                "_window_start" => item.window().map(|(start, _)| time(start)),
                "_window_end" => item.window().map(|(_, end)| time(end)),
                "_event_time" => item.event_time().map(|time| time.to_string()),
                "_event" => item.identity.clone(),
                _ => None,
            };
            if let Some(value) = value {
                text(name, &value);
            }
        }
        let is_deleted = u8::from(item.op() == Op::Delete);
        let version = version(item);
        out.extend_from_slice(
            format!("\"{}\":{version},\"{}\":{is_deleted}}}", VERSION.0, DELETED.0).as_bytes(),
        );
    }
}

const WINDOW: &[(&str, &str)] =
    &[("_window_start", "DateTime64(3, 'UTC')"), ("_window_end", "DateTime64(3, 'UTC')")];
const EVENT: &[(&str, &str)] = &[("_event_time", "DateTime64(3, 'UTC')"), ("_event", "String")];

/// A number that rises as an item's fence does.
fn version(item: &Item) -> u128 {
    let time = item.fence.time as u64 ^ (1 << 63);
    u128::from(time) << 64 | u128::from(item.fence.revision)
}

/// A list, a map or a record that is null is left out, and so is empty there.
fn push_member(column: &ReplacingColumn, item: &Item, array: &dyn Array, out: &mut Vec<u8>) {
    let is_of_key = item.op() == Op::Upsert || column.is_key;
    if is_of_key && !(array.is_null(item.row()) && array.data_type().is_nested()) {
        out.extend_from_slice(&column.label);
        push_cell(array, item.row(), out);
        out.push(b',');
    }
}

/// A name as a statement has it.
fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}
