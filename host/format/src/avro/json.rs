//! Values of Avro as JSON, for columns of that type.
//!
//! For a text that holds JSON itself see `fill`. A value of a union is the value alone, bytes are base64, decimals numbers, times and dates texts, and a number that JSON
//! does not have is null.

use super::fill::uuid;
use super::input::Input;
use super::schema::{AvroKind, Logical, Schema, SchemaField};
use crate::base64;
use crate::json::push_time;
use serde_json::Value;

/// Appends a value; `None` where the bytes are not one.
pub(super) fn push_json(
    schema: &Schema,
    node: usize,
    input: &mut Input<'_>,
    depth: u32,
    out: &mut Vec<u8>,
) -> Option<()> {
    let depth = depth.checked_sub(1)?;
    let of = schema.node(node);
    match (&of.kind, of.logical) {
        (AvroKind::Null, _) => out.extend_from_slice(b"null"),
        (AvroKind::Boolean, _) => push(input.byte().filter(|flag| *flag <= 1)? == 1, out),
        (AvroKind::Int, Some(Logical::Date)) => {
            let days = i64::from(input.int()?);
            let text = weir_event::EventTime::from_millis(days * 86_400_000).to_string();
            push(text.split('T').next().unwrap_or_default(), out);
        }
        (AvroKind::Int, _) => push(input.int()?, out),
        (AvroKind::Long, Some(Logical::Timestamp(unit))) => push_time(unit.millis(input.long()?)?, out),
        (AvroKind::Long, _) => push(input.long()?, out),
        (AvroKind::Float, _) => push(f32::from_le_bytes(input.array()?), out),
        (AvroKind::Double, _) => push(f64::from_le_bytes(input.array()?), out),
        (AvroKind::String, _) => push(std::str::from_utf8(input.bytes()?).ok()?, out),
        (AvroKind::Bytes, Some(Logical::Decimal { scale })) => push_decimal(input.bytes()?, scale, out)?,
        (AvroKind::Fixed(size), Some(Logical::Decimal { scale })) => {
            push_decimal(input.take(*size)?, scale, out)?
        }
        (AvroKind::Fixed(16), Some(Logical::Uuid)) => push(uuid(input.array()?), out),
        (AvroKind::Bytes, _) => push_base64(input.bytes()?, out),
        (AvroKind::Fixed(size), _) => push_base64(input.take(*size)?, out),
        (AvroKind::Enum(symbols), _) => {
            push(symbols.get(usize::try_from(input.long()?).ok()?)?.as_str(), out)
        }
        (AvroKind::Union(branches), _) => {
            let branch = usize::try_from(input.long()?).ok().and_then(|at| branches.get(at))?;
            push_json(schema, *branch, input, depth, out)?;
        }
        (AvroKind::Record(fields), _) => push_record(schema, fields, input, depth, out)?,
        (AvroKind::Array(item), _) => push_items(*b"[]", out, |out, next| {
            let walked = input.items(
                || (),
                |input| {
                    next(out);
                    push_json(schema, *item, input, depth, out).ok_or(())
                },
            );
            walked.ok().map(drop)
        })?,
        (AvroKind::Map(value), _) => push_items(*b"{}", out, |out, next| {
            let walked = input.items(
                || (),
                |input| {
                    next(out);
                    push(std::str::from_utf8(input.bytes().ok_or(())?).map_err(|_| ())?, out);
                    out.push(b':');
                    push_json(schema, *value, input, depth, out).ok_or(())
                },
            );
            walked.ok().map(drop)
        })?,
    }
    Some(())
}

fn push_record(
    schema: &Schema,
    fields: &[SchemaField],
    input: &mut Input<'_>,
    depth: u32,
    out: &mut Vec<u8>,
) -> Option<()> {
    out.push(b'{');
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push(field.name.as_str(), out);
        out.push(b':');
        if schema.takes_nothing(field.node) {
            input.spend()?;
        }
        push_json(schema, field.node, input, depth, out)?;
    }
    out.push(b'}');
    Some(())
}

/// Writes what stands between brackets; `next` is to be called before each item.
fn push_items(
    brackets: [u8; 2],
    out: &mut Vec<u8>,
    write: impl FnOnce(&mut Vec<u8>, &mut dyn FnMut(&mut Vec<u8>)) -> Option<()>,
) -> Option<()> {
    out.push(brackets[0]);
    let mut is_first = true;
    write(out, &mut |out| {
        if !std::mem::take(&mut is_first) {
            out.push(b',');
        }
    })?;
    out.push(brackets[1]);
    Some(())
}

fn push(value: impl Into<Value>, out: &mut Vec<u8>) {
    out.extend_from_slice(value.into().to_string().as_bytes());
}

fn push_base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    base64::push(bytes, out);
    out.push(b'"');
}

fn push_decimal(bytes: &[u8], scale: u32, out: &mut Vec<u8>) -> Option<()> {
    let value = super::fill::big_endian(bytes)?;
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = scale as usize + 1);
    let (whole, fraction) = digits.split_at(digits.len().checked_sub(scale as usize)?);
    let sign = if value < 0 { "-" } else { "" };
    let point = if scale == 0 { "" } else { "." };
    out.extend_from_slice(format!("{sign}{whole}{point}{fraction}").as_bytes());
    Some(())
}
