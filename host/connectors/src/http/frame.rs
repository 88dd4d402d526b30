//! The unit of the ingest log on disk: one *frame* holds all batches of one group commit, so that a torn write
//! is always one torn frame, and none of its rows was ever answered for.
//!
//! Layout, little-endian:
//!
//! | bytes | meaning |
//! |---|---|
//! | 4 | mark, never found in a row (rows are UTF-8) |
//! | 4 | length of the payload |
//! | 4 | CRC32 of length and payload |
//! | 8, 8 | payload: first offset; ingest stamp, milliseconds since the epoch |
//! | 4, 4 | number of rows; number of batches |
//! | 4 + 2 + k + 8 | for each batch: its rows; length of its idempotency key; the key; after a key that is not empty, a hash of the body that it came with |
//! | 4 each | length of each row |
//! | .. | the rows, end to end |
//!
//! Knows bytes only: no files, no clock.

use super::key::IdempotencyKey;
use bytes::{Buf, BufMut, Bytes};

/// Bytes before the payload.
pub(super) const HEADER_BYTES: usize = 12;
/// 0xFF occurs in no UTF-8 text, so a search for frames after a damaged one cannot be led astray by a row.
pub(super) const MARK: [u8; 4] = [0xFF, b'w', b'f', 0xFE];
/// The parts of a payload that have a fixed size.
const FIXED_BYTES: usize = 24;

/// How frames of a file are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// The first: idempotency keys stand alone, without the hash of a body. It is read and not written.
    KeysAlone,
    /// The present one.
    KeysWithBodies,
}

/// One batch of a frame: how many rows, and the idempotency key that it came with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct BatchNote {
    /// Offset of its first row.
    pub(super) first: u64,
    /// How many rows it has.
    pub(super) rows: u32,
    /// Its idempotency key.
    pub(super) key: Option<IdempotencyKey>,
}

/// A frame whose checksum was right.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    /// Offset of its first row.
    pub(super) first: u64,
    /// When its rows were accepted, milliseconds since the epoch.
    pub(super) stamp: i64,
    /// Its batches.
    pub(super) batches: Vec<BatchNote>,
    /// Where each row ends in `data`.
    pub(super) ends: Vec<u32>,
    /// Its rows, end to end.
    pub(super) data: Bytes,
}

impl Frame {
    /// The offset after its last row.
    pub(super) fn end(&self) -> u64 {
        self.first + self.ends.len() as u64
    }
}

/// Appends a frame of the present format with these batches (key, rows) to `out`.
pub(super) fn encode(
    out: &mut Vec<u8>,
    first: u64,
    stamp: i64,
    batches: &[(Option<&IdempotencyKey>, &[Bytes])],
) {
    let start = out.len();
    let rows: usize = batches.iter().map(|(_, rows)| rows.len()).sum();
    out.extend_from_slice(&MARK);
    out.put_u64_le(0);
    out.put_u64_le(first);
    out.put_i64_le(stamp);
    out.put_u32_le(rows as u32);
    out.put_u32_le(batches.len() as u32);
    for (key, rows) in batches {
        out.put_u32_le(rows.len() as u32);
        let text = key.map_or("", |key| key.text.as_str());
        out.put_u16_le(text.len() as u16);
        out.extend_from_slice(text.as_bytes());
        if let Some(key) = key {
            out.put_u64_le(key.body.unwrap_or_default());
        }
    }
    for row in batches.iter().flat_map(|(_, rows)| *rows) {
        out.put_u32_le(row.len() as u32);
    }
    for row in batches.iter().flat_map(|(_, rows)| *rows) {
        out.extend_from_slice(row);
    }
    let length = ((out.len() - start - HEADER_BYTES) as u32).to_le_bytes();
    let checksum = checksum(length, &out[start + HEADER_BYTES..]).to_le_bytes();
    out[start + 4..start + 8].copy_from_slice(&length);
    out[start + 8..start + 12].copy_from_slice(&checksum);
}

fn checksum(length: [u8; 4], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&length);
    hasher.update(payload);
    hasher.finalize()
}

/// What the bytes at some place of a log are.
#[derive(Debug)]
pub(super) enum Parsed {
    /// A whole frame and its size in bytes.
    Whole(Frame, usize),
    /// The beginning of what may be a frame: this many bytes are needed to tell.
    Needs(usize),
    /// No frame.
    Damaged,
}

/// Reads the frame at the beginning of `bytes`.
pub(super) fn parse(bytes: &Bytes, format: Format) -> Parsed {
    if bytes.len() < HEADER_BYTES {
        return Parsed::Needs(HEADER_BYTES);
    }
    let length = [bytes[4], bytes[5], bytes[6], bytes[7]];
    let size = HEADER_BYTES + u32::from_le_bytes(length) as usize;
    if bytes[..4] != MARK || size < HEADER_BYTES + FIXED_BYTES {
        return Parsed::Damaged;
    }
    if bytes.len() < size {
        return Parsed::Needs(size);
    }
    let payload = bytes.slice(HEADER_BYTES..size);
    let expected = u32::from_le_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]);
    if checksum(length, &payload) != expected {
        return Parsed::Damaged;
    }
    payload_of(payload, format).map_or(Parsed::Damaged, |frame| Parsed::Whole(frame, size))
}

/// `None` where the counts do not fit the bytes, which a right checksum makes all but impossible.
fn payload_of(mut payload: Bytes, format: Format) -> Option<Frame> {
    let (first, stamp) = (payload.get_u64_le(), payload.get_i64_le());
    let (rows, batch_count) = (payload.get_u32_le() as usize, payload.get_u32_le());
    let (mut batches, mut next) = (Vec::new(), first);
    for _ in 0..batch_count {
        let count = payload.try_get_u32_le().ok()?;
        let key_bytes = payload.try_get_u16_le().ok()? as usize;
        let key = (payload.len() >= key_bytes).then(|| payload.split_to(key_bytes))?;
        let text = String::from_utf8(key.to_vec()).ok()?;
        let body = match format {
            Format::KeysWithBodies if !text.is_empty() => Some(payload.try_get_u64_le().ok()?),
            _ => None,
        };
        let key = (!text.is_empty()).then_some(IdempotencyKey { text, body });
        batches.push(BatchNote { first: next, rows: count, key });
        next = next.checked_add(count.into())?;
    }
    let mut lengths = (payload.len() >= rows.checked_mul(4)?).then(|| payload.split_to(rows * 4))?;
    let (mut ends, mut end) = (Vec::with_capacity(rows), 0u32);
    while lengths.has_remaining() {
        end = end.checked_add(lengths.get_u32_le())?;
        ends.push(end);
    }
    let whole = Some(next) == first.checked_add(rows as u64) && end as usize == payload.len();
    whole.then_some(Frame { first, stamp, batches, ends, data: payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRESENT: Format = Format::KeysWithBodies;

    #[test]
    fn a_frame_reads_back_and_every_flipped_bit_is_noticed() {
        let rows = [Bytes::from_static(b"{}"), Bytes::from_static(b"{\"a\":1}")];
        let mut bytes = Vec::new();
        let (k, none) = (
            IdempotencyKey::new("k".to_owned(), b"body").unwrap(),
            IdempotencyKey::new("none".to_owned(), b"").unwrap(),
        );
        encode(&mut bytes, 7, -3, &[(Some(&k), &rows[..1]), (None, &rows[1..]), (Some(&none), &[])]);
        let Parsed::Whole(frame, size) = parse(&Bytes::from(bytes.clone()), PRESENT) else {
            panic!("not whole")
        };
        assert_eq!((frame.first, frame.stamp, frame.end(), size), (7, -3, 9, bytes.len()));
        assert_eq!((frame.ends, &frame.data[..]), (vec![2, 9], &b"{}{\"a\":1}"[..]));
        assert_eq!(frame.batches[0], BatchNote { first: 7, rows: 1, key: Some(k) });
        assert_eq!(frame.batches[1], BatchNote { first: 8, rows: 1, key: None });
        assert_eq!(frame.batches[2], BatchNote { first: 9, rows: 0, key: Some(none) });
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(parse(&Bytes::from(flipped), PRESENT), Parsed::Whole(..)), "bit {bit}");
        }
        for length in 0..bytes.len() {
            assert!(
                matches!(parse(&Bytes::from(bytes[..length].to_vec()), PRESENT), Parsed::Needs(_)),
                "{length}"
            );
        }
    }

    /// As if somebody had made them: a right checksum says nothing of what is behind it.
    #[test]
    fn payloads_of_any_bytes_are_frames_that_hold_together_or_damage() {
        let rows = [Bytes::from_static(b"{}"), Bytes::from_static(b"{\"a\":1}")];
        let mut whole = Vec::new();
        let key = IdempotencyKey::new("k".to_owned(), b"body").unwrap();
        encode(&mut whole, 7, -3, &[(Some(&key), &rows[..1]), (None, &rows[1..])]);
        // A linear congruential generator, of which the upper bits are taken.
        let mut state = 1_u64;
        let mut next = |below: usize| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize % below
        };
        for case in 0..50_000 {
            let mut bytes = whole.clone();
            for _ in 0..=next(6) {
                let at = HEADER_BYTES + next(bytes.len() - HEADER_BYTES);
                bytes[at] = [0, 1, 0x7f, 0x80, 0xff, next(256) as u8][next(6)];
            }
            bytes.truncate(bytes.len() - next(3) * next(8));
            let length = ((bytes.len() - HEADER_BYTES) as u32).to_le_bytes();
            let sum = checksum(length, &bytes[HEADER_BYTES..]).to_le_bytes();
            bytes[4..8].copy_from_slice(&length);
            bytes[8..12].copy_from_slice(&sum);
            for format in [Format::KeysAlone, PRESENT] {
                if let Parsed::Whole(frame, size) = parse(&Bytes::from(bytes.clone()), format) {
                    assert_eq!(size, bytes.len(), "case {case}");
                    assert!(frame.ends.is_sorted() && frame.end() >= frame.first, "case {case}");
                    assert_eq!(
                        frame.ends.last().map_or(0, |end| *end as usize),
                        frame.data.len(),
                        "case {case}"
                    );
                }
            }
        }
    }
}
