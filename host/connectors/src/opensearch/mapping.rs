//! What the documents of a job look like: the mapping that is made for them, and whether one that is there takes them.
//!
//! Knows the query's columns and the types of fields. Must not ask the server.

use crate::upsert::Keep;
use serde_json::{Map, Value, json};
use weir_connect::{RowIdentity, RowShape};
use weir_event::DataType;

/// The fields of a document.
#[derive(Debug, Clone)]
pub(super) struct IndexMapping {
    /// The query's columns.
    columns: Vec<(String, DataType)>,
    /// Those that are weir's own, and their types.
    own: Vec<(&'static str, &'static str)>,
}

/// Names that are weir's own.
const OWN_FIELDS: [&str; 5] = ["_window_start", "_window_end", "_event_time", "_revision", "_fence"];
/// Names that are the index's.
const RESERVED: [&str; 12] = [
    "_id",
    "_index",
    "_source",
    "_version",
    "_seq_no",
    "_primary_term",
    "_routing",
    "_type",
    "_field_names",
    "_ignored",
    "_doc_count",
    "_size",
];

impl IndexMapping {
    /// Of the rows of a job; the error says which column no document can have.
    pub(super) fn of(shape: &RowShape, keep: Keep) -> Result<IndexMapping, String> {
        let mut columns = Vec::new();
        for field in shape.columns.fields() {
            let name = field.name();
            if OWN_FIELDS.contains(&name.as_str()) || RESERVED.contains(&name.as_str()) {
                return Err(format!(
                    "a document's `{name}` is not for a column; give that column another name"
                ));
            }
            if name.is_empty() || name.starts_with('.') || name.ends_with('.') || name.contains("..") {
                return Err(format!("a document has no field `{name}`; give that column another name"));
            }
            let data_type = DataType::from_arrow(field.data_type());
            columns.push((
                name.clone(),
                data_type.ok_or_else(|| {
                    format!(
                        "column `{name}` of type {} has no form in JSON; cast it to another type",
                        field.data_type()
                    )
                })?,
            ));
        }
        let mut own = match shape.identity {
            RowIdentity::WindowEnd | RowIdentity::WindowStart => {
                vec![("_window_start", "date"), ("_window_end", "date")]
            }
            RowIdentity::Event => vec![("_event_time", "date")],
            RowIdentity::Key => Vec::new(),
        };
        own.push(("_revision", "long"));
        if keep == Keep::Newest {
            own.push(("_fence", "keyword"));
        }
        Ok(IndexMapping { columns, own })
    }

    /// The body of the request that makes the index. It takes no other fields, so that none is made by accident.
    pub(super) fn statement(&self) -> String {
        let mut properties = Map::new();
        for (name, data_type) in &self.columns {
            put(&mut properties, name, field(data_type));
        }
        for (name, kind) in &self.own {
            let is_fence = *name == "_fence";
            let field = if is_fence {
                json!({"type": kind, "index": false, "doc_values": false})
            } else {
                json!({"type": kind})
            };
            properties.insert((*name).to_owned(), field);
        }
        let body = json!({"mappings": {"dynamic": "strict", "properties": properties}});
        serde_json::to_string_pretty(&body).unwrap_or_default()
    }

    /// What is wrong with the mapping of an index, if anything: the first field that does not take its column.
    pub(super) fn misfit(&self, mappings: &Value) -> Option<String> {
        let dynamic = mappings.get("dynamic").map_or("true".to_owned(), |value| {
            value.as_str().map_or_else(|| value.to_string(), str::to_owned)
        });
        let is_closed = dynamic.starts_with("strict");
        let names =
            self.columns.iter().map(|(name, _)| name.as_str()).chain(self.own.iter().map(|(name, _)| *name));
        for name in names {
            if lookup(mappings, name).is_none() && is_closed {
                return Some(format!(
                    "has no field `{name}`, and takes none that its mapping does not name (dynamic: {dynamic})"
                ));
            }
        }
        let own = self.own.iter().map(|(name, kind)| (*name, own_type(kind)));
        let columns = self.columns.iter().map(|(name, data_type)| (name.as_str(), data_type.clone()));
        for (name, data_type) in columns.chain(own) {
            let Some(found) = lookup(mappings, name) else { continue };
            let kind = found.get("type").and_then(Value::as_str).unwrap_or("object");
            if !takes(kind, &data_type) {
                return Some(format!(
                    "has `{name}` as {kind}, and the query's is {data_type}; make it {}, or cast the column",
                    field(&data_type)["type"].as_str().unwrap_or("object")
                ));
            }
        }
        None
    }

    /// How many fields a document has.
    pub(super) fn len(&self) -> usize {
        self.columns.len() + self.own.len()
    }
}

fn own_type(kind: &str) -> DataType {
    match kind {
        "date" => DataType::Timestamp,
        "long" => DataType::Bigint,
        _ => DataType::String,
    }
}

/// A field whose name has points is one of an object, as the index takes it.
fn put(properties: &mut Map<String, Value>, name: &str, field: Value) {
    let Some((first, rest)) = name.split_once('.') else {
        properties.insert(name.to_owned(), field);
        return;
    };
    let object = properties.entry(first).or_insert_with(|| json!({"properties": {}}));
    if let Some(inner) = object.get_mut("properties").and_then(Value::as_object_mut) {
        put(inner, rest, field);
    }
}

/// The field of that name, which may be one of an object.
fn lookup<'m>(mappings: &'m Value, name: &str) -> Option<&'m Value> {
    let properties = mappings.get("properties")?;
    if let Some(field) = properties.get(name) {
        return Some(field);
    }
    let (first, rest) = name.split_once('.')?;
    lookup(properties.get(first)?, rest)
}

/// The field that is made for a column. A list has the field of its items: any field may have several values.
fn field(data_type: &DataType) -> Value {
    match data_type {
        // Longer texts are kept, and not searched: a document with a longer term would be refused.
        DataType::String => json!({"type": "keyword", "ignore_above": 8191}),
        DataType::Bigint => json!({"type": "long"}),
        DataType::Int => json!({"type": "integer"}),
        // Searched and sorted as doubles; the document itself keeps every digit.
        DataType::Double | DataType::Decimal(_) => json!({"type": "double"}),
        DataType::Float => json!({"type": "float"}),
        DataType::Boolean => json!({"type": "boolean"}),
        DataType::Timestamp | DataType::Date => json!({"type": "date"}),
        DataType::Bytes => json!({"type": "binary"}),
        // Kept whatever is in it, so that no key of a map becomes a field of the index.
        DataType::Json | DataType::Map(..) => json!({"type": "object", "enabled": false}),
        DataType::Array(item) => field(item),
        DataType::Row(fields) => {
            let properties: Map<String, Value> =
                fields.iter().map(|(name, of)| (name.clone(), field(of))).collect();
            json!({"type": "object", "properties": properties})
        }
    }
}

/// Whether a field of this kind takes the values of a column, as far as that depends on types alone.
fn takes(kind: &str, data_type: &DataType) -> bool {
    const NUMBERS: [&str; 9] = [
        "long",
        "integer",
        "short",
        "byte",
        "double",
        "float",
        "half_float",
        "scaled_float",
        "unsigned_long",
    ];
    const TEXTS: [&str; 5] = ["keyword", "text", "wildcard", "match_only_text", "constant_keyword"];
    const OBJECTS: [&str; 5] = ["object", "nested", "flattened", "flat_object", "passthrough"];
    const KNOWN: [&str; 4] = ["date", "date_nanos", "boolean", "binary"];
    let (is_number, is_text) = (NUMBERS.contains(&kind), TEXTS.contains(&kind));
    let is_object = OBJECTS.contains(&kind);
    if !is_number && !is_text && !is_object && !KNOWN.contains(&kind) {
        // Of an address, a place or a range only the value tells.
        return true;
    }
    match data_type {
        DataType::String => !is_object && kind != "binary",
        DataType::Bigint | DataType::Int => is_number || is_text || kind.starts_with("date"),
        DataType::Double | DataType::Float | DataType::Decimal(_) => is_number || is_text,
        DataType::Boolean => kind == "boolean" || is_text,
        DataType::Timestamp | DataType::Date => kind.starts_with("date") || is_text,
        DataType::Bytes => kind == "binary" || is_text,
        DataType::Json => true,
        DataType::Map(..) | DataType::Row(_) => is_object,
        DataType::Array(item) => takes(kind, item),
    }
}
