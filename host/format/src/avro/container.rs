//! Object container files: a head with the schema, then blocks of records, each closed by the file's own mark.
//!
//! Knows how such files are laid out, so that they can be cut into blocks without being read. Must not know records.

use super::default::{push_bytes, push_long};
use super::input::Input;
use std::io::Read;

/// What a file begins with.
const MAGIC: &[u8] = b"Obj\x01";
/// A block that says to be larger is damaged.
const BLOCK_LIMIT_BYTES: usize = 64 << 20;
/// A block that says to have more records is damaged; blocks are handed on together up to about as many.
pub const BLOCK_LIMIT_RECORDS: u64 = 1 << 24;

/// The mark that closes the head and every block of a file.
pub type Sync = [u8; 16];

/// How blocks are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Codec {
    Null,
    Deflate,
    Snappy,
    Zstandard,
}

/// The head of a file.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) schema: String,
    pub(super) codec: Codec,
    pub(super) sync: Sync,
    length: usize,
}

/// Why bytes are not what they ought to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broken {
    /// They may be once there are more.
    Short,
    /// They never will; why.
    Damaged(String),
}

/// How long the head is that a file begins with, and its mark.
pub fn head_length(bytes: &[u8]) -> Result<(usize, Sync), Broken> {
    let head = read_head(bytes)?;
    Ok((head.length, head.sync))
}

pub(super) fn read_head(bytes: &[u8]) -> Result<Head, Broken> {
    let known = bytes.len().min(MAGIC.len());
    if bytes[..known] != MAGIC[..known] {
        return Err(Broken::Damaged(
            "not an object container file of Avro, which begins with `Obj` and 1".to_owned(),
        ));
    }
    let mut input = Input::new(bytes, false);
    let (mut schema, mut codec) = (None, Codec::Null);
    input.take(MAGIC.len()).ok_or(Broken::Short)?;
    input.items(
        || Broken::Short,
        |input| {
            let key = input.bytes().ok_or(Broken::Short)?;
            let value = String::from_utf8_lossy(input.bytes().ok_or(Broken::Short)?).into_owned();
            match key {
                b"avro.schema" => schema = Some(value),
                b"avro.codec" => {
                    codec = match value.as_str() {
                        "null" => Codec::Null,
                        "deflate" => Codec::Deflate,
                        "snappy" => Codec::Snappy,
                        "zstandard" => Codec::Zstandard,
                        other => {
                            let known = "null, deflate, snappy and zstandard";
                            return Err(Broken::Damaged(format!(
                                "compressed by `{other}`; {known} are read"
                            )));
                        }
                    }
                }
                _ => {}
            }
            Ok(())
        },
    )?;
    let sync = input.array().ok_or(Broken::Short)?;
    let schema = schema.ok_or_else(|| Broken::Damaged("the file does not say its schema".to_owned()))?;
    Ok(Head { schema, codec, sync, length: input.at })
}

/// A block: how many records, where they are, and how long it is with its mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockPlace {
    /// How many records it holds.
    pub records: u64,
    /// Where their bytes begin.
    pub start: usize,
    /// Where they end.
    pub end: usize,
    /// Where what follows the block begins.
    pub next: usize,
}

/// The block that begins at a place.
pub fn block_at(bytes: &[u8], at: usize, sync: &Sync) -> Result<BlockPlace, Broken> {
    let damaged = |what: &str| Broken::Damaged(format!("a block of the file is damaged: {what}"));
    let mut input = Input::new(bytes, false);
    input.at = at;
    let (records, size) = match (input.long(), input.long()) {
        (Some(records), Some(size)) => (u64::try_from(records), usize::try_from(size)),
        // The longest that two numbers can be.
        _ if bytes.len().saturating_sub(at) < 20 => return Err(Broken::Short),
        _ => return Err(damaged("it does not begin with two numbers")),
    };
    let (Ok(records), Ok(size)) = (records, size) else {
        return Err(damaged("it says to have less than nothing"));
    };
    if size > BLOCK_LIMIT_BYTES {
        return Err(damaged(&format!("it says to have {size} bytes")));
    }
    if records > BLOCK_LIMIT_RECORDS {
        return Err(damaged(&format!("it says to have {records} records")));
    }
    let (start, end) = (input.at, input.at + size);
    let mark = bytes.get(end..end + sync.len()).ok_or(Broken::Short)?;
    if mark != sync {
        return Err(damaged("it does not end with the file's mark"));
    }
    Ok(BlockPlace { records, start, end, next: end + sync.len() })
}

/// Where the next mark of a file ends, behind a place; `None` if there is none.
pub fn behind_next_mark(bytes: &[u8], from: usize, sync: &Sync) -> Option<usize> {
    memchr::memmem::find(bytes.get(from..)?, sync).map(|at| from + at + sync.len())
}

/// A record takes at least this part of a byte in what was compressed: what says otherwise is damaged.
const LARGEST_RATIO: u64 = 2000;
/// Nor one that is longer than this: writers make blocks of some 64 KiB, and as many are held as there are workers.
const LARGEST_BLOCK_BYTES: u64 = 128 << 20;

/// The records of a block as they were before they were compressed.
pub(super) fn decompressed(codec: Codec, bytes: &[u8]) -> Result<Vec<u8>, String> {
    let limit = (bytes.len() as u64).saturating_mul(LARGEST_RATIO).clamp(1 << 20, LARGEST_BLOCK_BYTES);
    let mut out = Vec::new();
    let read = match codec {
        Codec::Null => {
            out.extend_from_slice(bytes);
            Ok(out.len())
        }
        Codec::Deflate => flate2::read::DeflateDecoder::new(bytes).take(limit + 1).read_to_end(&mut out),
        Codec::Zstandard => zstd::stream::read::Decoder::new(bytes)
            .and_then(|decoder| decoder.take(limit + 1).read_to_end(&mut out)),
        Codec::Snappy => {
            // Behind it stands a checksum of what it was.
            let (packed, sum) =
                bytes.split_last_chunk::<4>().ok_or("a block of the file is damaged: it is too short")?;
            let length = snap::raw::decompress_len(packed).unwrap_or(usize::MAX);
            if length as u64 > limit {
                return Err("a block of the file is damaged: it says to be too long".to_owned());
            }
            out = snap::raw::Decoder::new()
                .decompress_vec(packed)
                .map_err(|error| format!("a block of the file is damaged: {error}"))?;
            let found = crc32fast::hash(&out);
            if found != u32::from_be_bytes(*sum) {
                return Err("a block of the file is damaged: its checksum is another".to_owned());
            }
            Ok(out.len())
        }
    };
    let read = read.map_err(|error| format!("a block of the file is damaged: {error}"))?;
    if read as u64 > limit {
        return Err(format!(
            "a block of the file is damaged, or has more than {limit} bytes when it is decompressed"
        ));
    }
    Ok(out)
}

/// The head of a file of this schema whose blocks are not compressed.
pub(super) fn head_of(schema: &str, sync: &Sync) -> Vec<u8> {
    let mut head = MAGIC.to_vec();
    push_long(2, &mut head);
    for (key, value) in [("avro.schema", schema), ("avro.codec", "null")] {
        push_bytes(key.as_bytes(), &mut head);
        push_bytes(value.as_bytes(), &mut head);
    }
    push_long(0, &mut head);
    head.extend_from_slice(sync);
    head
}

/// Appends a block of records.
pub(super) fn push_block(records: u64, bytes: &[u8], sync: &Sync, out: &mut Vec<u8>) {
    push_long(records as i64, out);
    push_bytes(bytes, out);
    out.extend_from_slice(sync);
}
