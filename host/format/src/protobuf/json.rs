//! Values of Protocol Buffers as JSON, for columns of that type.
//!
//! Fields have their own names, whole numbers are numbers, enums their names, bytes base64, and a Timestamp is a text. A field
//! that is a text holds JSON.

use crate::base64;
use crate::json::push_time;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage, Value,
};

/// What a column of that type has of a field.
pub(super) enum FieldJson {
    /// Nothing: it is not there, or an empty text.
    Absent,
    /// A text, which is JSON itself.
    Text(String),
    /// What was appended.
    Appended,
}

/// Takes a field of a message; `None` where the bytes are not a message.
pub(super) fn push_field(
    message: &MessageDescriptor,
    field: &FieldDescriptor,
    bytes: &[u8],
    out: &mut Vec<u8>,
) -> Option<FieldJson> {
    let message = DynamicMessage::decode(message.clone(), bytes).ok()?;
    if field.supports_presence() && !message.has_field(field) {
        return Some(FieldJson::Absent);
    }
    Some(match &*message.get_field(field) {
        Value::String(text) if text.is_empty() => FieldJson::Absent,
        Value::String(text) => FieldJson::Text(text.clone()),
        value => {
            push_value(value, &field.kind(), out);
            FieldJson::Appended
        }
    })
}

fn push_value(value: &Value, kind: &Kind, out: &mut Vec<u8>) {
    match value {
        Value::Bool(flag) => push(*flag, out),
        Value::I32(number) => push(*number, out),
        Value::I64(number) => push(*number, out),
        Value::U32(number) => push(*number, out),
        Value::U64(number) => push(*number, out),
        Value::F32(number) => push(*number, out),
        Value::F64(number) => push(*number, out),
        Value::String(text) => push(text.as_str(), out),
        Value::Bytes(bytes) => {
            out.push(b'"');
            base64::push(bytes, out);
            out.push(b'"');
        }
        Value::EnumNumber(number) => {
            let known = kind.as_enum().and_then(|of| of.get_value(*number));
            match known {
                Some(value) => push(value.name(), out),
                None => push(*number, out),
            }
        }
        Value::Message(message) => push_message(message, out),
        Value::List(items) => {
            out.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                push_value(item, kind, out);
            }
            out.push(b']');
        }
        Value::Map(entries) => push_map(entries.iter().collect(), kind, out),
    }
}

fn push_map(mut entries: Vec<(&MapKey, &Value)>, kind: &Kind, out: &mut Vec<u8>) {
    entries.sort_by_key(|(key, _)| *key);
    let values = kind.as_message().map(|entry| entry.map_entry_value_field().kind());
    out.push(b'{');
    for (index, (key, value)) in entries.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        let name = match key {
            MapKey::String(text) => text.clone(),
            MapKey::Bool(flag) => flag.to_string(),
            MapKey::I32(number) => number.to_string(),
            MapKey::I64(number) => number.to_string(),
            MapKey::U32(number) => number.to_string(),
            MapKey::U64(number) => number.to_string(),
        };
        push(name, out);
        out.push(b':');
        push_value(value, values.as_ref().unwrap_or(kind), out);
    }
    out.push(b'}');
}

fn push_message(message: &DynamicMessage, out: &mut Vec<u8>) {
    if message.descriptor().full_name() == "google.protobuf.Timestamp" {
        let number = |field| match message.get_field_by_number(field).as_deref() {
            Some(Value::I64(number)) => *number,
            Some(Value::I32(number)) => i64::from(*number),
            _ => 0,
        };
        let (seconds, nanos) = (number(1), number(2));
        return push_time(seconds.saturating_mul(1000).saturating_add(nanos.div_euclid(1_000_000)), out);
    }
    out.push(b'{');
    let mut is_first = true;
    for field in message.descriptor().fields() {
        if field.supports_presence() && !message.has_field(&field) {
            continue;
        }
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
        push(field.name(), out);
        out.push(b':');
        push_value(&message.get_field(&field), &field.kind(), out);
    }
    out.push(b'}');
}

fn push(value: impl Into<serde_json::Value>, out: &mut Vec<u8>) {
    out.extend_from_slice(value.into().to_string().as_bytes());
}
