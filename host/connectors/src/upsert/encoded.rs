//! Items as JSON Lines, of which any that stand together can be sent without copying them.
//!
//! Knows how a row looks in JSON. Must not know any store.

use super::item::Item;
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;
use weir_connect::{ConnectError, Encoder};
use weir_format::json::JsonEncoder;

/// An object a line for each item, with the query's columns.
#[derive(Debug)]
pub struct EncodedItems {
    bytes: Bytes,
    /// Where each line ends, behind its line break.
    ends: Vec<usize>,
}

impl EncodedItems {
    /// Encodes items; with `meta` each object has a `_weir` member, and `more` appends further members, each with a comma
    /// before it.
    pub fn json(
        items: &[Item],
        meta: bool,
        more: impl Fn(&Item, &mut Vec<u8>),
    ) -> Result<EncodedItems, ConnectError> {
        let encoder = JsonEncoder::new(meta);
        let mut encoded = ItemLines::of(items);
        // Rows that came together mostly go together: what is the same in all of them is made once.
        for together in items.chunk_by(|one, next| Arc::ptr_eq(&one.rows, &next.rows)) {
            let Some(first) = together.first() else { continue };
            let records = encoder.records(&first.rows)?;
            for item in together {
                encoded.push(|out| {
                    records.write(item.row, out);
                    out.pop();
                    more(item, out);
                    out.push(b'}');
                });
            }
        }
        Ok(encoded.done())
    }

    /// The same where `object` writes the whole object of an item.
    pub fn objects(items: &[Item], object: impl Fn(&Item, &mut Vec<u8>)) -> EncodedItems {
        let mut encoded = ItemLines::of(items);
        items.iter().for_each(|item| encoded.push(|out| object(item, out)));
        encoded.done()
    }

    /// The lines of some items, each with its line break.
    pub fn lines(&self, items: Range<usize>) -> Bytes {
        self.bytes.slice(self.start(items.start)..self.start(items.end))
    }

    /// The object of an item, without a line break.
    pub fn object(&self, item: usize) -> &[u8] {
        let line = &self.bytes[self.start(item)..self.start(item + 1)];
        line.strip_suffix(b"\n").unwrap_or(line)
    }

    fn start(&self, item: usize) -> usize {
        if item == 0 { 0 } else { self.ends[item - 1] }
    }
}

/// Lines that are being written.
struct ItemLines {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl ItemLines {
    fn of(items: &[Item]) -> ItemLines {
        ItemLines { bytes: Vec::new(), ends: Vec::with_capacity(items.len()) }
    }

    fn push(&mut self, object: impl FnOnce(&mut Vec<u8>)) {
        object(&mut self.bytes);
        self.bytes.push(b'\n');
        self.ends.push(self.bytes.len());
    }

    fn done(self) -> EncodedItems {
        EncodedItems { bytes: self.bytes.into(), ends: self.ends }
    }
}
