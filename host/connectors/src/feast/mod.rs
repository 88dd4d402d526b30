//! How Feast's online stores keep an entity and its features, so that its clients read what weir writes: version 3 of its
//! serialized entity keys, hashes by MurmurHash3, and its Protobuf values.
//!
//! Knows columns and cells. Must not know any store.

mod murmur3;

use crate::settings::Settings;
use crate::upsert::{CellValue, Item, Template};
use arrow_array::{Array, RecordBatch};
use arrow_schema::DataType;
use serde::Deserialize;
use weir_connect::{KeyDoc, RowShape};
use weir_event::EventTime;

/// The numbers of Feast's types of values, which are also those of the fields that hold them.
mod kind {
    pub(super) const BYTES: u32 = 1;
    pub(super) const STRING: u32 = 2;
    pub(super) const INT32: u32 = 3;
    pub(super) const INT64: u32 = 4;
    pub(super) const DOUBLE: u32 = 5;
    pub(super) const FLOAT: u32 = 6;
    pub(super) const BOOL: u32 = 7;
    pub(super) const UNIX_TIMESTAMP: u32 = 8;
    /// Between a type's number and that of lists of it.
    pub(super) const LIST: u32 = 10;
}

/// What rows look like in a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StoreLayout {
    #[default]
    Weir,
    Feast,
}

/// Which of them a store has.
pub(crate) const LAYOUT: KeyDoc = KeyDoc::new(
    "layout",
    "weir or feast",
    "weir",
    "what rows look like there: weir's own, or as Feast's online store keeps a feature view (entity keys of version 3)",
);

/// What is wrong with rows of this shape for Feast.
pub(crate) fn check(settings: &mut Settings<'_>, shape: Option<&RowShape>, key_is_given: bool) {
    if key_is_given {
        settings.error("key", "Feast knows rows by their entity; leave it out");
    }
    if shape.is_some_and(|shape| shape.keys.fields().is_empty()) {
        settings.error(LAYOUT.name, "rows of this query have no entity key, by which Feast keeps them");
    }
}

/// The texts that tell entities apart.
pub(crate) fn keys(shape: Option<&RowShape>) -> Vec<Template> {
    let keys = shape.into_iter().flat_map(|shape| shape.keys.fields().iter());
    keys.map(|key| Template::column(key.name())).collect()
}

/// The id of a row's entity, where a store has texts for keys; or why Feast has none for it.
pub(crate) fn entity_id(item: &Item) -> Result<String, String> {
    let key = entity_key(item)?;
    Ok(murmur3::of_128_bits(&key).iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The key of a row's entity; or why Feast has none for it.
pub(crate) fn entity_key(item: &Item) -> Result<Vec<u8>, String> {
    let keys = item.meta().keys.as_ref().ok_or_else(|| "it has no entity key".to_owned())?;
    key_of(keys, item.row())
}

/// The features of a row by name, each with its value, which is empty for a null; or why Feast has none for one.
pub(crate) fn features(item: &Item) -> Result<Vec<(&str, Vec<u8>)>, String> {
    let keys = item.meta().keys.as_ref();
    let is_key = |name: &str| keys.is_some_and(|keys| keys.schema_ref().column_with_name(name).is_some());
    let mut features = Vec::new();
    for (index, (name, _)) in item.columns().enumerate().filter(|(_, (name, _))| !is_key(name)) {
        let value = value(item.value(index)).map_err(|reason| format!("its column `{name}`: {reason}"))?;
        features.push((name, value));
    }
    Ok(features)
}

/// The name of a view's feature in a hash of Redis.
pub(crate) fn field(view: &str, feature: &str) -> [u8; 4] {
    murmur3::of_32_bits(format!("{view}:{feature}").as_bytes()).to_le_bytes()
}

/// An event time as a message of Protobuf.
pub(crate) fn timestamp(time: EventTime) -> Vec<u8> {
    let (seconds, millis) = (time.millis().div_euclid(1000), time.millis().rem_euclid(1000));
    let mut out = Vec::new();
    for (number, value) in [(1, seconds), (2, millis * 1_000_000)] {
        if value != 0 {
            push_field(&mut out, number, &Wire::Varint(varint(value as u64)));
        }
    }
    out
}

/// An event time as a text.
pub(crate) fn time(time: EventTime) -> String {
    time.to_string().replace('T', " ").replace('Z', "000+00:00")
}

fn key_of(keys: &RecordBatch, row: usize) -> Result<Vec<u8>, String> {
    let mut joined = Vec::new();
    for (field, column) in keys.schema_ref().fields().iter().zip(keys.columns()) {
        let value = key_value(column.as_ref(), row)
            .map_err(|reason| format!("its key `{}`: {reason}", field.name()))?;
        joined.push((field.name().as_str(), value));
    }
    joined.sort_by_key(|(name, _)| *name);
    let mut serialized = (joined.len() as u32).to_le_bytes().to_vec();
    let mut push = |kind: u32, bytes: &[u8]| {
        serialized.extend(kind.to_le_bytes());
        serialized.extend((bytes.len() as u32).to_le_bytes());
        serialized.extend(bytes);
    };
    joined.iter().for_each(|(name, _)| push(kind::STRING, name.as_bytes()));
    joined.iter().for_each(|(_, (kind, bytes))| push(*kind, bytes));
    Ok(serialized)
}

fn key_value(column: &dyn Array, row: usize) -> Result<(u32, Vec<u8>), String> {
    Ok(match (CellValue::of(column, row), column.data_type()) {
        (CellValue::Text(text), _) => (kind::STRING, text.into_bytes()),
        (CellValue::Bytes(bytes), _) => (kind::BYTES, bytes),
        (CellValue::Integer(value), DataType::Int32) => (kind::INT32, (value as i32).to_le_bytes().to_vec()),
        (CellValue::Integer(value), _) => (kind::INT64, value.to_le_bytes().to_vec()),
        (CellValue::Time(millis), _) => {
            (kind::UNIX_TIMESTAMP, millis.div_euclid(1000).to_le_bytes().to_vec())
        }
        _ => return Err("Feast's keys are texts, whole numbers, times and bytes".to_owned()),
    })
}

/// A feature's value as Feast keeps it; nothing of a null.
fn value(cell: CellValue) -> Result<Vec<u8>, String> {
    let CellValue::List(items) = cell else {
        let Some((kind, bytes)) = scalar(cell)? else { return Ok(Vec::new()) };
        let mut out = Vec::new();
        push_field(&mut out, kind, &bytes);
        return Ok(out);
    };
    let (mut list, mut packed, mut of_list) = (Vec::new(), Vec::new(), kind::STRING);
    for item in items {
        let Some((kind, bytes)) = scalar(item)? else {
            return Err("a list of Feast has no nulls".to_owned());
        };
        of_list = kind;
        match bytes {
            Wire::Length(_) => push_field(&mut list, 1, &bytes),
            Wire::Fixed(bytes) | Wire::Varint(bytes) => packed.extend(bytes),
        }
    }
    if !packed.is_empty() {
        push_field(&mut list, 1, &Wire::Length(packed));
    }
    let mut out = Vec::new();
    push_field(&mut out, of_list + kind::LIST, &Wire::Length(list));
    Ok(out)
}

/// The bytes of a field by how Protobuf lays them out.
enum Wire {
    Varint(Vec<u8>),
    Fixed(Vec<u8>),
    Length(Vec<u8>),
}

fn scalar(cell: CellValue) -> Result<Option<(u32, Wire)>, String> {
    let number = |value: i64| Wire::Varint(varint(value as u64));
    Ok(Some(match cell {
        CellValue::Null => return Ok(None),
        CellValue::Bytes(bytes) => (kind::BYTES, Wire::Length(bytes)),
        CellValue::Text(text) | CellValue::Json(text) | CellValue::Decimal(text) => {
            (kind::STRING, Wire::Length(text.into_bytes()))
        }
        CellValue::Integer(value) => (kind::INT64, number(value)),
        CellValue::Double(value) => (kind::DOUBLE, Wire::Fixed(value.to_le_bytes().to_vec())),
        CellValue::Float(value) => (kind::FLOAT, Wire::Fixed(value.to_le_bytes().to_vec())),
        CellValue::Boolean(value) => (kind::BOOL, number(value.into())),
        CellValue::Time(millis) => (kind::UNIX_TIMESTAMP, number(millis.div_euclid(1000))),
        CellValue::Date(days) => (kind::UNIX_TIMESTAMP, number(i64::from(days) * 86_400)),
        CellValue::Unsigned(_) | CellValue::List(_) | CellValue::Map(_) | CellValue::Row(_) => {
            return Err("Feast has no such values: maps, rows, lists of lists, numbers above 2^63".to_owned());
        }
    }))
}

fn push_field(out: &mut Vec<u8>, number: u32, bytes: &Wire) {
    let (wire, bytes) = match bytes {
        Wire::Varint(bytes) => (0, bytes),
        Wire::Fixed(bytes) => (if bytes.len() == 4 { 5 } else { 1 }, bytes),
        Wire::Length(bytes) => (2, bytes),
    };
    out.extend(varint(u64::from(number << 3 | wire)));
    if wire == 2 {
        out.extend(varint(bytes.len() as u64));
    }
    out.extend(bytes);
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{ArrayRef, Int32Array, Int64Array, StringViewArray};
    use std::sync::Arc;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn id(columns: &[(&str, ArrayRef)]) -> String {
        let keys = RecordBatch::try_from_iter(columns.iter().cloned()).unwrap();
        hex(&murmur3::of_128_bits(&key_of(&keys, 0).unwrap()))
    }

    /// What Feast 0.67 makes of the same entities.
    #[test]
    fn entities_have_the_ids_that_feast_gives_them() {
        let text = |text: &str| -> ArrayRef { Arc::new(StringViewArray::from_iter_values([text])) };
        assert_eq!(id(&[("user_id", text("u1"))]), "043fa1fb6c163777379302ef726d3098");
        assert_eq!(
            id(&[("user_id", Arc::new(Int64Array::from(vec![-7])))]),
            "79911aabf3ab10459e87bd6e0d3b0e7c"
        );
        let two: [(&str, ArrayRef); 2] =
            [("user_id", Arc::new(Int32Array::from(vec![42]))), ("city", text("Zürich"))];
        assert_eq!(id(&two), "6c7acc82a8911b48bb19f9d3b53ddc6a");
    }

    /// What Feast's Protobuf classes make of the same values.
    #[test]
    fn values_are_what_feast_reads() {
        let text = |text: &str| CellValue::Text(text.to_owned());
        for (cell, expected) in [
            (CellValue::Double(1.5), "29000000000000f83f"),
            (CellValue::Integer(-1), "20ffffffffffffffffff01"),
            (text(""), "1200"),
            (CellValue::Boolean(false), "3800"),
            (CellValue::Time(1_700_000_000_999), "4080e2cfaa06"),
            (CellValue::List(vec![text("a"), text("")]), "62050a01610a00"),
            (
                CellValue::List(vec![CellValue::Integer(1), CellValue::Integer(-1)]),
                "720d0a0b01ffffffffffffffffff01",
            ),
            (CellValue::List(vec![CellValue::Double(0.5)]), "7a0a0a08000000000000e03f"),
            (CellValue::List(vec![CellValue::Boolean(true), CellValue::Boolean(false)]), "8a01040a020100"),
            (CellValue::List(Vec::new()), "6200"),
            (CellValue::Float(0.1), "35cdcccc3d"),
            (CellValue::Bytes(b"x".to_vec()), "0a0178"),
            (CellValue::Null, ""),
        ] {
            assert_eq!(hex(&value(cell.clone()).unwrap()), expected, "{cell:?}");
        }
        assert!(value(CellValue::Map(Vec::new())).is_err());
        assert_eq!(time(EventTime::from_millis(0)), "1970-01-01 00:00:00.000000+00:00");
        for (millis, expected) in [
            (0, ""),
            (1_700_000_000_999, "0880e2cfaa0610c08faedc03"),
            (-1, "08ffffffffffffffffff0110c08faedc03"),
        ] {
            assert_eq!(hex(&timestamp(EventTime::from_millis(millis))), expected, "{millis}");
        }
        assert_eq!(hex(&field("rides", "n")), "93d48fbb");
    }
}
