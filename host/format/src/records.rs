//! The records of a block, where it falls into them by its framing, and what becomes of bad ones.
//!
//! Must not know what a record looks like.

use std::ops::Range;
use weir_connect::format::PAYLOAD_KEPT_BYTES;
use weir_connect::{BadRow, Framing, RawBlock};

/// Calls `each` with the index, the offset and the place of every record.
#[inline]
pub(crate) fn each_record(block: &RawBlock, mut each: impl FnMut(u32, u64, Range<usize>)) {
    let bytes: &[u8] = &block.data;
    match &block.framing {
        Framing::Lines { first } => each_line(bytes, *first, each),
        Framing::Records { ends, offsets } => {
            let mut start = 0;
            for (index, (end, offset)) in ends.iter().zip(offsets).enumerate() {
                each(index as u32, *offset, start..*end as usize);
                start = *end as usize;
            }
        }
        // Of a format whose files have one record a line.
        Framing::Container { base, first, .. } => each_line(bytes, *base, |index, offset, range| {
            if offset >= *first {
                each(index, offset, range);
            }
        }),
    }
}

#[inline]
fn each_line(bytes: &[u8], first: u64, mut each: impl FnMut(u32, u64, Range<usize>)) {
    let (mut start, mut line) = (0, 0_u32);
    while start < bytes.len() {
        let end = memchr::memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |length| start + length);
        let content = if end > start && bytes[end - 1] == b'\r' { end - 1 } else { end };
        if content > start {
            each(line, first + u64::from(line), start..content);
        }
        start = end + 1;
        line += 1;
    }
}

/// Room is made for no more rows than this at once, however short the first line: columns can grow.
const ROOM_ROWS: usize = 1 << 16;

/// For how many rows to make room.
pub(crate) fn expected_rows(block: &RawBlock) -> usize {
    let rows = match &block.framing {
        Framing::Records { ends, .. } => ends.len(),
        Framing::Lines { .. } | Framing::Container { .. } => {
            let first = memchr::memchr(b'\n', &block.data).unwrap_or(block.data.len());
            block.data.len() / (first + 1) + 1
        }
    };
    rows.min(ROOM_ROWS)
}

/// A record that could not be decoded, of which `bytes` is all.
#[cold]
pub(crate) fn bad_row(offset: u64, reason: String, bytes: &[u8]) -> BadRow {
    BadRow { offset, reason, payload: bytes[..bytes.len().min(PAYLOAD_KEPT_BYTES)].to_vec(), damaged: false }
}
