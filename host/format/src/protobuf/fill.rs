//! Values of Protocol Buffers, as a column holds them.
//!
//! Knows a plan and bytes. What it refuses may leave columns one row too long, and who calls cuts them back.

use super::json::{FieldJson, push_field};
use super::plan::{FieldShape, Item, MessagePlan, unit_of};
use super::wire::{NESTING_LIMIT, Wire, WireValue, varint, walk};
use crate::column::{Column, Values, unplanned};
use crate::json::JsonReading;
use crate::no_time;
use crate::scalar;
use prost_reflect::Kind;
use std::collections::HashMap;
use std::ops::Range;
use weir_event::{DataType, TimeForm};

/// Names of wanted columns, for reasons; a row's are its own.
pub(super) type FieldNames<'a> = &'a dyn Fn(usize) -> String;

/// What is said of bytes that are not a message.
pub(super) fn broken() -> String {
    "not a message of Protocol Buffers: the bytes end too early or hold a number or a type that cannot be"
        .to_owned()
}

/// Memory for what is found in messages, which one record leaves to the next.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// For each field that somebody wants, what was found of it. One for each message that another is within.
    tables: Vec<Vec<Vec<WireValue>>>,
    /// Keys and values of a map's entries.
    entries: Vec<(Option<WireValue>, Option<WireValue>)>,
}

/// Values on their way into columns.
struct Filling<'a> {
    block: &'a [u8],
    scratch: &'a mut Scratch,
}

/// Adds a whole message, which stands in one place, to columns.
pub(super) fn fill_record(
    plan: &MessagePlan,
    block: &[u8],
    place: Range<usize>,
    columns: &mut [Column],
    scratch: &mut Scratch,
    name: FieldNames<'_>,
) -> Result<(), String> {
    let whole = WireValue { wire: Wire::Bytes, bits: 0, start: place.start, end: place.end };
    Filling { block, scratch }.message(plan, &[whole], columns, NESTING_LIMIT, name)
}

impl Filling<'_> {
    /// Adds the fields of a message to columns. What comes several times is one message with the fields of all.
    fn message(
        &mut self,
        plan: &MessagePlan,
        parts: &[WireValue],
        columns: &mut [Column],
        depth: u32,
        name: FieldNames<'_>,
    ) -> Result<(), String> {
        let depth = depth.checked_sub(1).ok_or("messages are nested too deeply")?;
        let mut table = self.scratch.tables.pop().unwrap_or_default();
        if table.len() < plan.slots.len() {
            table.resize_with(plan.slots.len(), Vec::new);
        }
        table[..plan.slots.len()].iter_mut().for_each(Vec::clear);
        each_field(self.block, parts, |number, token| {
            if let Some(slot) = plan.slot(number) {
                table[slot].push(token);
            }
        })?;
        for (slot, tokens) in plan.slots.iter().zip(&table) {
            for (column, shape) in &slot.columns {
                self.field(shape, parts, tokens, &mut columns[*column], depth)
                    .map_err(|reason| format!("field `{}`: {reason}", name(*column)))?;
            }
            let Some((below, filled)) = &slot.below else { continue };
            if tokens.is_empty() {
                filled.iter().for_each(|column| columns[*column].push_null());
            } else {
                self.message(below, tokens, columns, depth, name)?;
            }
        }
        self.scratch.tables.push(table);
        Ok(())
    }

    fn field(
        &mut self,
        shape: &FieldShape,
        parts: &[WireValue],
        tokens: &[WireValue],
        column: &mut Column,
        depth: u32,
    ) -> Result<(), String> {
        let block = self.block;
        match shape {
            FieldShape::One { item, null_if_absent } => match (tokens, item) {
                ([], _) if *null_if_absent => column.push_null(),
                ([], Item::Scalar(kind, form)) => push_scalar(kind, form, block, WireValue::ZERO, column)?,
                ([], _) => column.push_null(),
                (_, Item::Message(_)) => self.item(item, tokens, column, depth)?,
                ([.., last], _) => self.item(item, std::slice::from_ref(last), column, depth)?,
            },
            FieldShape::List(item) => {
                let Values::List { ends, items } = &mut column.values else { return Err(unplanned()) };
                for token in tokens {
                    each_packed(item, block, *token, |token| self.item(item, &[token], items, depth))?;
                }
                ends.push(i32::try_from(items.len()).map_err(too_many)?);
                column.added();
            }
            FieldShape::Map(key, value) => self.map(key, value, tokens, column, depth)?,
            FieldShape::Json(message, field) => {
                let Values::Json { ends, text } = &mut column.values else { return Err(unplanned()) };
                let whole: Vec<u8> = match parts {
                    [one] => block[one.start..one.end].to_vec(),
                    _ => parts.iter().flat_map(|part| &block[part.start..part.end]).copied().collect(),
                };
                match push_field(message, field, &whole, text).ok_or_else(broken)? {
                    FieldJson::Absent => column.push_null(),
                    FieldJson::Text(text) => {
                        JsonReading::of(&column.data_type).push_text(column, text.as_bytes())?;
                    }
                    FieldJson::Appended => {
                        ends.push(i32::try_from(text.len()).map_err(too_many)?);
                        column.added();
                    }
                }
            }
        }
        Ok(())
    }

    fn map(
        &mut self,
        key: &Item,
        value: &Item,
        tokens: &[WireValue],
        column: &mut Column,
        depth: u32,
    ) -> Result<(), String> {
        let Values::Map { ends, keys, values } = &mut column.values else { return Err(unplanned()) };
        let mut entries = std::mem::take(&mut self.scratch.entries);
        find_entries(key, self.block, tokens, &mut entries)?;
        for (of_key, of_value) in &entries {
            self.item_or_zero(key, *of_key, keys, depth)?;
            self.item_or_zero(value, *of_value, values, depth)?;
        }
        self.scratch.entries = entries;
        ends.push(i32::try_from(keys.len()).map_err(too_many)?);
        column.added();
        Ok(())
    }

    fn item_or_zero(
        &mut self,
        item: &Item,
        token: Option<WireValue>,
        column: &mut Column,
        depth: u32,
    ) -> Result<(), String> {
        match (token, item) {
            (Some(token), _) => self.item(item, &[token], column, depth),
            (None, Item::Scalar(kind, form)) => push_scalar(kind, form, self.block, WireValue::ZERO, column),
            (None, Item::Message(_)) => self.item(item, &[], column, depth),
            (None, _) => {
                column.push_null();
                Ok(())
            }
        }
    }

    /// Adds one value, which is there.
    fn item(
        &mut self,
        item: &Item,
        tokens: &[WireValue],
        column: &mut Column,
        depth: u32,
    ) -> Result<(), String> {
        let block = self.block;
        match item {
            Item::Scalar(kind, form) => {
                let Some(token) = tokens.last() else { return Err(broken()) };
                if token.wire != wire_of(kind) {
                    return Err(other_wire());
                }
                push_scalar(kind, form, block, *token, column)
            }
            Item::Message(plan) => {
                let DataType::Row(fields) = &column.data_type else { return Err(unplanned()) };
                let Values::Row(children) = &mut column.values else { return Err(unplanned()) };
                self.message(plan, tokens, children, depth, &|index| fields[index].0.clone())?;
                column.added();
                Ok(())
            }
            Item::Wrapped(kind, form) => {
                let mut inner = None;
                each_field(block, tokens, |number, token| {
                    if number == 1 {
                        inner = Some(token);
                    }
                })?;
                if inner.is_some_and(|inner| inner.wire != wire_of(kind)) {
                    return Err(other_wire());
                }
                push_scalar(kind, form, block, inner.unwrap_or(WireValue::ZERO), column)
            }
            Item::Timestamp => push_millis(timestamp(block, tokens)?, column),
        }
    }
}

/// The milliseconds of a Timestamp.
fn timestamp(block: &[u8], tokens: &[WireValue]) -> Result<Option<i64>, String> {
    let (mut seconds, mut nanos, mut is_other) = (0_i64, 0_i64, false);
    each_field(block, tokens, |number, token| {
        is_other |= matches!(number, 1 | 2) && token.wire != Wire::Varint;
        match number {
            1 => seconds = token.bits as i64,
            2 => nanos = i64::from(token.bits as i32),
            _ => {}
        }
    })?;
    if is_other {
        return Err(other_wire());
    }
    let of_seconds = seconds.checked_mul(1000);
    Ok(of_seconds.and_then(|millis| millis.checked_add(nanos.div_euclid(1_000_000))))
}

/// Calls `found` with each field of a message that stands in these places.
#[inline]
fn each_field(
    block: &[u8],
    parts: &[WireValue],
    mut found: impl FnMut(u32, WireValue),
) -> Result<(), String> {
    for part in parts {
        if part.wire != Wire::Bytes {
            return Err(other_wire());
        }
        walk(&block[..part.end], part.start, &mut found).ok_or_else(broken)?;
    }
    Ok(())
}

#[cold]
fn other_wire() -> String {
    "the value is written as another type than the message says".to_owned()
}

#[cold]
fn too_many<E>(_: E) -> String {
    "the block holds too much for one column".to_owned()
}

/// Numbers of a list may stand in one run of bytes.
fn each_packed(
    item: &Item,
    block: &[u8],
    token: WireValue,
    mut each: impl FnMut(WireValue) -> Result<(), String>,
) -> Result<(), String> {
    let Item::Scalar(kind, _) = item else { return each(token) };
    let wire = match (token.wire, wire_of(kind)) {
        (Wire::Bytes, wire) if wire != Wire::Bytes => wire,
        _ => return each(token),
    };
    let (bytes, mut at) = (&block[..token.end], token.start);
    while at < bytes.len() {
        let start = at;
        let bits = match wire {
            Wire::Fixed64 => bytes.get(at..at + 8).map(|bytes| fixed(bytes, &mut at)),
            Wire::Fixed32 => bytes.get(at..at + 4).map(|bytes| fixed(bytes, &mut at)),
            _ => varint(bytes, &mut at),
        };
        each(WireValue { wire, bits: bits.ok_or_else(broken)?, start, end: at })?;
    }
    Ok(())
}

/// A number whose lowest byte is first.
fn fixed(bytes: &[u8], at: &mut usize) -> u64 {
    *at += bytes.len();
    bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// So many entries of a map are looked through for one of the same key; more are found by a table.
const FEW_ENTRIES: usize = 16;

/// The entries of a map; of those with one key the last counts, in the place of the first.
fn find_entries(
    key: &Item,
    block: &[u8],
    tokens: &[WireValue],
    entries: &mut Vec<(Option<WireValue>, Option<WireValue>)>,
) -> Result<(), String> {
    entries.clear();
    let is_text = matches!(key, Item::Scalar(Kind::String, _));
    let identity = |of_key: &Option<WireValue>| match of_key {
        Some(token) if is_text => (0, &block[token.start..token.end]),
        Some(token) => (token.bits, &block[0..0]),
        None => (0, &block[0..0]),
    };
    let mut places = HashMap::new();
    for part in tokens {
        let (mut of_key, mut of_value) = (None, None);
        each_field(block, std::slice::from_ref(part), |number, token| match number {
            1 => of_key = Some(token),
            2 => of_value = Some(token),
            _ => {}
        })?;
        let known = if tokens.len() <= FEW_ENTRIES {
            entries.iter().position(|(known, _)| identity(known) == identity(&of_key))
        } else {
            let place = *places.entry(identity(&of_key)).or_insert(entries.len());
            (place < entries.len()).then_some(place)
        };
        match known {
            Some(place) => entries[place] = (of_key, of_value),
            None => entries.push((of_key, of_value)),
        }
    }
    Ok(())
}

pub(super) fn wire_of(kind: &Kind) -> Wire {
    match kind {
        Kind::Double | Kind::Fixed64 | Kind::Sfixed64 => Wire::Fixed64,
        Kind::Float | Kind::Fixed32 | Kind::Sfixed32 => Wire::Fixed32,
        Kind::String | Kind::Bytes | Kind::Message(_) => Wire::Bytes,
        _ => Wire::Varint,
    }
}

fn push_scalar(
    kind: &Kind,
    form: &TimeForm,
    block: &[u8],
    token: WireValue,
    column: &mut Column,
) -> Result<(), String> {
    let bits = token.bits;
    match kind {
        Kind::Double => push_double(f64::from_bits(bits), form, column)?,
        Kind::Float => {
            let value = f32::from_bits(bits as u32);
            match &mut column.values {
                Values::Float32(values) => values.push(value),
                Values::Float64(values) => values.push(f64::from(value)),
                _ => return Err(unplanned()),
            }
        }
        Kind::Int32 | Kind::Sfixed32 => push_whole(i128::from(bits as i32), form, column)?,
        Kind::Int64 | Kind::Sfixed64 => push_whole(i128::from(bits as i64), form, column)?,
        Kind::Uint32 | Kind::Fixed32 => push_whole(i128::from(bits as u32), form, column)?,
        Kind::Uint64 | Kind::Fixed64 => push_whole(i128::from(bits), form, column)?,
        Kind::Sint32 | Kind::Sint64 => {
            push_whole(i128::from((bits >> 1) as i64 ^ -((bits & 1) as i64)), form, column)?;
        }
        Kind::Bool => {
            let Values::Boolean(values) = &mut column.values else { return Err(unplanned()) };
            values.append(bits != 0);
        }
        Kind::Enum(of) => {
            let number = bits as i32;
            if let Values::Views(views) = &mut column.values {
                // One that is not known here is told by its number.
                let known = of.get_value(number);
                let text = known.map_or_else(|| number.to_string(), |value| value.name().to_owned());
                let pushed = views.push_rewritten(|out| {
                    out.extend_from_slice(text.as_bytes());
                    Some(())
                });
                pushed.ok_or_else(unplanned)?;
            } else {
                push_whole(i128::from(number), form, column)?;
            }
        }
        Kind::String | Kind::Bytes => push_text(*kind == Kind::String, form, block, token, column)?,
        Kind::Message(_) => return Err(unplanned()),
    }
    column.added();
    Ok(())
}

fn push_double(value: f64, form: &TimeForm, column: &mut Column) -> Result<(), String> {
    if column.data_type == DataType::Timestamp {
        let time = unit_of(form).read(&value.to_string()).map(weir_event::EventTime::millis);
        return column.push_time(time);
    }
    let Values::Float64(values) = &mut column.values else { return Err(unplanned()) };
    values.push(value);
    Ok(())
}

fn push_whole(value: i128, form: &TimeForm, column: &mut Column) -> Result<(), String> {
    let out_of_range =
        |data_type: &DataType| format!("the number {value} is out of range of type {data_type}");
    match &mut column.values {
        Values::Int64(_) if column.data_type == DataType::Timestamp => {
            let millis = i64::try_from(value).ok().and_then(|value| unit_of(form).millis(value));
            column.push_time(millis)?;
        }
        Values::Int64(values) => {
            values.push(i64::try_from(value).map_err(|_| out_of_range(&column.data_type))?)
        }
        Values::Int32(values) => {
            values.push(i32::try_from(value).map_err(|_| out_of_range(&column.data_type))?)
        }
        Values::Float64(values) => values.push(value as f64),
        Values::Float32(values) => values.push(value as f32),
        Values::Decimal(of, values) => {
            let parsed = of.parse(value.to_string().as_bytes());
            values.push(parsed.map_err(|why| format!("the number {value} {why} type {of}"))?);
        }
        _ => return Err(unplanned()),
    }
    Ok(())
}

fn push_millis(millis: Option<i64>, column: &mut Column) -> Result<(), String> {
    column.push_time(millis)?;
    column.added();
    Ok(())
}

fn push_text(
    is_text: bool,
    form: &TimeForm,
    block: &[u8],
    token: WireValue,
    column: &mut Column,
) -> Result<(), String> {
    let bytes = &block[token.start..token.end];
    let must_be_text = is_text || column.data_type != DataType::Bytes;
    let Ok(text) = std::str::from_utf8(bytes).or(if must_be_text { Err(()) } else { Ok("") }) else {
        return Err("the text is not valid UTF-8".to_owned());
    };
    match &mut column.values {
        Values::Views(views) => views.push_borrowed(block, token.start, token.end),
        Values::Decimal(of, values) => {
            let parsed = of.parse(bytes);
            values.push(parsed.map_err(|why| format!("the text `{text}` {why} type {of}"))?);
        }
        Values::Int32(values) => {
            let days = scalar::date(bytes);
            values.push(days.ok_or_else(|| format!("the text `{text}` is not a date such as 2026-01-31"))?);
        }
        Values::Int64(values) => {
            let millis = match form {
                TimeForm::Pattern(pattern) => scalar::patterned(pattern, bytes),
                _ => scalar::timestamp(bytes),
            };
            values.push(millis.ok_or_else(|| {
                let why = no_time::no_written_time(form, no_time::Shape::Text);
                format!("the text `{text}` {}", why.unwrap_or_else(|| no_time::no_time(text)))
            })?);
        }
        _ => return Err(unplanned()),
    }
    Ok(())
}
