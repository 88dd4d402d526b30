//! Avro's bytes: numbers of varying length, lengths and blocks, read with care.
//!
//! Knows no column. Whatever the bytes, nothing here panics, and nothing takes longer than they are long.

use super::schema::{AvroKind, Schema};

/// Bytes and a place in them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    /// Whether the bytes are the block's own, so that values may be parts of it.
    pub(super) in_block: bool,
    /// So many values that take no bytes may still come.
    empty: u32,
}

/// Values nested deeper than this are refused, so that hostile input cannot use up the stack.
pub(super) const NESTING_LIMIT: u32 = 64;

/// Values that take no bytes (nulls of a list, records of them) are at most so many, of a message or of the blocks that are
/// read together, and so many more for each of their bytes: else a few bytes would keep a processor for ever, or become a text
/// of any length.
pub(super) const EMPTY_VALUES: u32 = 1 << 17;
/// For each byte of their other fields, sound records have fewer fields that take none.
const EMPTY_VALUES_PER_BYTE: u32 = 16;

/// So many values that take no bytes may come beside so many bytes.
pub(super) fn empty_values_of(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX).saturating_mul(EMPTY_VALUES_PER_BYTE)
}

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8], in_block: bool) -> Input<'a> {
        Input { in_block, ..Input::within(bytes, 0) }
    }

    /// What stands behind a place of the block.
    pub(super) fn within(bytes: &'a [u8], at: usize) -> Input<'a> {
        let empty = EMPTY_VALUES.saturating_add(empty_values_of(bytes.len().saturating_sub(at)));
        Input { bytes, at, in_block: true, empty }
    }

    /// A value that takes no bytes comes; `None`: they were too many.
    pub(super) fn spend(&mut self) -> Option<()> {
        self.empty = self.empty.checked_sub(1)?;
        Some(())
    }

    /// The same where others came before in what is one block to whoever reads.
    pub(super) fn with_left(self, empty: u32) -> Input<'a> {
        Input { empty, ..self }
    }

    /// So many may still come.
    pub(super) fn left(&self) -> u32 {
        self.empty
    }

    #[inline]
    pub(super) fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// A whole number; `None` where the bytes end or it has more than 64 bits.
    #[inline]
    pub(super) fn long(&mut self) -> Option<i64> {
        let (mut value, mut shift) = (0_u64, 0);
        loop {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                return None;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some((value >> 1) as i64 ^ -((value & 1) as i64));
            }
            shift += 7;
        }
    }

    pub(super) fn int(&mut self) -> Option<i32> {
        i32::try_from(self.long()?).ok()
    }

    #[inline]
    pub(super) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(length)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    /// Bytes behind their length.
    #[inline]
    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.long()?).ok()?;
        self.take(length)
    }

    /// Reads the items of an array or a map with `item`; `None` where any is not there, and the block's length where it
    /// is said is not looked at.
    pub(super) fn items<E>(
        &mut self,
        short: impl Fn() -> E,
        mut item: impl FnMut(&mut Self) -> Result<(), E>,
    ) -> Result<usize, E> {
        let mut total = 0;
        loop {
            let mut count = self.long().ok_or_else(&short)?;
            if count == 0 {
                return Ok(total);
            }
            if count < 0 {
                self.long().ok_or_else(&short)?;
                count = count.checked_neg().ok_or_else(&short)?;
            }
            for _ in 0..count {
                let before = self.at;
                item(self)?;
                total += 1;
                if self.at == before {
                    self.spend().ok_or_else(&short)?;
                }
            }
        }
    }

    /// Passes over a value.
    pub(super) fn skip(&mut self, schema: &Schema, node: usize, depth: u32) -> Option<()> {
        if depth > NESTING_LIMIT {
            return None;
        }
        match &schema.node(node).kind {
            _ if schema.takes_nothing(node) => {}
            AvroKind::Null => {}
            AvroKind::Boolean => drop(self.byte()?),
            AvroKind::Int | AvroKind::Long | AvroKind::Enum(_) => drop(self.long()?),
            AvroKind::Float => drop(self.take(4)?),
            AvroKind::Double => drop(self.take(8)?),
            AvroKind::Bytes | AvroKind::String => drop(self.bytes()?),
            AvroKind::Fixed(size) => drop(self.take(*size)?),
            AvroKind::Union(branches) => {
                let branch = usize::try_from(self.long()?).ok().and_then(|at| branches.get(at))?;
                self.skip(schema, *branch, depth + 1)?;
            }
            AvroKind::Record(fields) => {
                for field in fields {
                    self.skip(schema, field.node, depth + 1)?;
                }
            }
            AvroKind::Array(_) | AvroKind::Map(_) => self.skip_items(schema, node, depth)?,
        }
        Some(())
    }

    /// Passes over an array or a map, over whole blocks where they say how long they are.
    fn skip_items(&mut self, schema: &Schema, node: usize, depth: u32) -> Option<()> {
        let (item, has_keys) = match schema.node(node).kind {
            AvroKind::Map(values) => (values, true),
            AvroKind::Array(items) => (items, false),
            _ => return None,
        };
        let is_nothing = !has_keys && schema.takes_nothing(item);
        loop {
            let count = self.long()?;
            if count == 0 {
                return Some(());
            }
            if count < 0 {
                self.bytes()?;
                continue;
            }
            if is_nothing {
                continue;
            }
            for _ in 0..count {
                if has_keys {
                    self.bytes()?;
                }
                self.skip(schema, item, depth + 1)?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::avro::default::push_long;
    use crate::avro::json::push_json;
    use std::fmt::Write;

    #[test]
    fn nulls_beside_bytes_are_read_however_many_they_are() {
        let text = r#"{"type": "array", "items": {"type": "record", "name": "R", "fields": [
            {"name": "a", "type": ["null", "int"]}, {"name": "b", "type": "null"}]}}"#;
        let schema = Schema::parse(text, &[]).unwrap();
        let count = 2 * EMPTY_VALUES as usize;
        let (mut bytes, mut json) = (Vec::new(), Vec::new());
        push_long(count as i64, &mut bytes);
        bytes.resize(bytes.len() + count + 1, 0);
        let mut input = Input::new(&bytes, true);
        assert_eq!(push_json(&schema, schema.root(), &mut input, NESTING_LIMIT, &mut json), Some(()));
        assert_eq!((input.at, json.len()), (bytes.len(), count * r#"{"a":null,"b":null},"#.len() + 1));
    }

    #[test]
    fn records_of_records_without_any_bytes_are_passed_over_at_once() {
        let mut text = r#"{"type": "record", "name": "R0", "fields": []}"#.to_owned();
        for number in 1..40 {
            let mut fields = format!(r#"{{"name": "a", "type": {text}}}"#);
            write!(fields, r#", {{"name": "b", "type": "R{}"}}"#, number - 1).unwrap();
            text = format!(r#"{{"type": "record", "name": "R{number}", "fields": [{fields}]}}"#);
        }
        let schema = Schema::parse(&text, &[]).unwrap();
        let mut input = Input::new(&[], true);
        assert_eq!(input.skip(&schema, schema.root(), 0), Some(()));
        let mut json = Vec::new();
        assert_eq!(push_json(&schema, schema.root(), &mut input, NESTING_LIMIT, &mut json), None);
        assert!(json.len() < 16 << 20, "{} bytes", json.len());
        let lists = r#"{"type": "array", "items": {"type": "array", "items": "null"}}"#;
        let lists = Schema::parse(lists, &[]).unwrap();
        // Each list says to hold 65,536 nulls.
        let bytes = [&[0x80, 0x40][..], &[0x80, 0x80, 0x08, 0].repeat(4096), &[0]].concat();
        let mut input = Input::new(&bytes, true);
        assert_eq!(input.skip(&lists, lists.root(), 0), Some(()));
        assert_eq!(input.at, bytes.len());
        let (mut input, mut json) = (Input::new(&bytes, true), Vec::new());
        assert_eq!(push_json(&lists, lists.root(), &mut input, NESTING_LIMIT, &mut json), None);
        assert!(json.len() < 16 << 20, "{} bytes", json.len());
    }
}
