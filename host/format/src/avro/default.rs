//! Defaults of fields, which schemas write as JSON, as bytes of Avro.

use super::input::NESTING_LIMIT;
use super::schema::{AvroKind, Schema};
use serde_json::Value;

/// A default may come to so many values: one of a few bytes can have others within it that have others.
const MOST_VALUES: u32 = 1 << 16;
/// The defaults of a record may come to so many bytes, which each row that lacks them has in memory.
pub(super) const MOST_DEFAULT_BYTES: usize = 1 << 20;

/// A value of a type as bytes; `None` where it is not one, or is too large. Of a union the default is of the first type, or
/// since Avro 1.12 of any.
pub(super) fn default_bytes(schema: &Schema, node: usize, value: &Value) -> Option<Vec<u8>> {
    let (mut out, mut left) = (Vec::new(), MOST_VALUES);
    push_default(schema, node, value, (NESTING_LIMIT, &mut left), &mut out)?;
    (out.len() <= MOST_DEFAULT_BYTES).then_some(out)
}

/// Appends a value so deep within a default that may come to so many more.
fn push_default(
    schema: &Schema,
    node: usize,
    value: &Value,
    (depth, left): (u32, &mut u32),
    out: &mut Vec<u8>,
) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    *left = left.checked_sub(1)?;
    (out.len() <= MOST_DEFAULT_BYTES).then_some(())?;
    match (&schema.node(node).kind, value) {
        (AvroKind::Null, Value::Null) => {}
        (AvroKind::Boolean, Value::Bool(flag)) => out.push(u8::from(*flag)),
        (AvroKind::Int, Value::Number(number)) => {
            push_long(i64::from(i32::try_from(number.as_i64()?).ok()?), out)
        }
        (AvroKind::Long, Value::Number(number)) => push_long(number.as_i64()?, out),
        (AvroKind::Float, Value::Number(number)) => out.extend((number.as_f64()? as f32).to_le_bytes()),
        (AvroKind::Double, Value::Number(number)) => out.extend(number.as_f64()?.to_le_bytes()),
        (AvroKind::String, Value::String(text)) => push_bytes(text.as_bytes(), out),
        (AvroKind::Bytes, Value::String(text)) => push_bytes(&code_points(text)?, out),
        (AvroKind::Fixed(size), Value::String(text)) => {
            out.extend(Some(code_points(text)?).filter(|bytes| bytes.len() == *size)?);
        }
        (AvroKind::Enum(symbols), Value::String(symbol)) => {
            push_long(symbols.iter().position(|known| known == symbol)? as i64, out);
        }
        (AvroKind::Array(items), Value::Array(values)) => {
            if !values.is_empty() {
                push_long(values.len() as i64, out);
            }
            for value in values {
                push_default(schema, *items, value, (depth, left), out)?;
            }
            out.push(0);
        }
        (AvroKind::Map(of), Value::Object(entries)) => {
            if !entries.is_empty() {
                push_long(entries.len() as i64, out);
            }
            for (key, value) in entries {
                push_bytes(key.as_bytes(), out);
                push_default(schema, *of, value, (depth, left), out)?;
            }
            out.push(0);
        }
        (AvroKind::Record(fields), Value::Object(members)) => {
            for field in fields {
                let value = members.get(&field.name).or(field.default.as_ref())?;
                push_default(schema, field.node, value, (depth, left), out)?;
            }
        }
        (AvroKind::Union(branches), value) => {
            let start = out.len();
            for (index, branch) in branches.iter().enumerate() {
                push_long(index as i64, out);
                if push_default(schema, *branch, value, (depth, left), out).is_some() {
                    return Some(());
                }
                out.truncate(start);
            }
            return None;
        }
        _ => return None,
    }
    Some(())
}

/// Appends a whole number.
pub(super) fn push_long(value: i64, out: &mut Vec<u8>) {
    let mut rest = ((value << 1) ^ (value >> 63)) as u64;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Appends bytes behind their length.
pub(super) fn push_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    push_long(bytes.len() as i64, out);
    out.extend_from_slice(bytes);
}

/// Bytes are written as the characters of their numbers.
fn code_points(text: &str) -> Option<Vec<u8>> {
    text.chars().map(|character| u8::try_from(u32::from(character)).ok()).collect()
}
