//! The lines of a file, also of one that is compressed: piece by piece of the file, so that it is never held whole.

use super::WholeFile;
use super::place::WholePlace;
use super::read::WholeReading;
use crate::file::cut::{Cutter, Piece};
use crate::file::source::{BLOCK_BYTES, MAX_RECORD_BYTES};
use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use std::io::{self, Write};
use weir_connect::source::RefusedRecord;
use weir_connect::{ConnectError, FileLayout, Framing};

/// So much of a file is fetched at once.
const FETCH_BYTES: u64 = 4 << 20;
/// So much of it is decompressed at once: it may become a thousand times as much.
const DECOMPRESS_BYTES: usize = 32 << 10;

/// What was fetched, on its way to lines.
enum Unpacked {
    Plain(Vec<u8>),
    Gzip(Box<MultiGzDecoder<Vec<u8>>>),
    Zstd(Box<zstd::stream::write::Decoder<'static, Vec<u8>>>),
}

impl Unpacked {
    fn of(name: &str) -> io::Result<Unpacked> {
        Ok(if name.ends_with(".gz") {
            Unpacked::Gzip(Box::new(MultiGzDecoder::new(Vec::new())))
        } else if name.ends_with(".zst") {
            Unpacked::Zstd(Box::new(zstd::stream::write::Decoder::new(Vec::new())?))
        } else {
            Unpacked::Plain(Vec::new())
        })
    }

    fn is_plain(&self) -> bool {
        matches!(self, Unpacked::Plain(_))
    }

    /// What comes out for what goes in.
    fn push(&mut self, packed: &[u8]) -> io::Result<Vec<u8>> {
        Ok(std::mem::take(match self {
            Unpacked::Plain(out) => {
                out.extend_from_slice(packed);
                out
            }
            Unpacked::Gzip(decoder) => {
                decoder.write_all(packed)?;
                decoder.flush()?;
                decoder.get_mut()
            }
            Unpacked::Zstd(decoder) => {
                decoder.write_all(packed)?;
                decoder.flush()?;
                decoder.get_mut()
            }
        }))
    }

    /// What comes out at the end; an error where that is in the middle.
    fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Unpacked::Plain(out) => Ok(out),
            Unpacked::Gzip(decoder) => decoder.finish(),
            Unpacked::Zstd(decoder) => decoder.finish(),
        }
    }
}

/// Reads what was not read of a file.
pub(super) async fn read(
    reading: &mut WholeReading,
    place: &mut WholePlace,
    file: &WholeFile,
) -> Result<(), ConnectError> {
    let shelf = reading.shelf.clone();
    let path = shelf.path(&file.name);
    let damaged =
        |error: io::Error| ConnectError::external(format!("`{path}` is damaged: {error}; restore the file"));
    let mut unpacked = Unpacked::of(&file.name).map_err(damaged)?;
    let mut fetched = if unpacked.is_plain() { place.at } else { 0 };
    let mut skip = if unpacked.is_plain() { 0 } else { place.at };
    let mut cutter = Cutter::new(FileLayout::Lines, None, BLOCK_BYTES, MAX_RECORD_BYTES);
    while fetched < file.bytes {
        reading.taken().await;
        let end = (fetched + FETCH_BYTES).min(file.bytes);
        let packed = shelf.read(file, fetched..end).await?;
        fetched = end;
        for packed in packed.chunks(DECOMPRESS_BYTES) {
            let content = unpacked.push(packed).map_err(damaged)?;
            cut(reading, place, &mut cutter, skipped(&content, &mut skip)).await;
        }
    }
    let content = unpacked.finish().map_err(damaged)?;
    cut(reading, place, &mut cutter, skipped(&content, &mut skip)).await;
    while let Some(piece) = cutter.take(true) {
        hand_out(reading, place, piece).await;
    }
    place.is_done = true;
    if let Some(piece) = cutter.take_rest() {
        hand_out(reading, place, piece).await;
    }
    Ok(())
}

/// The content without what was read before.
fn skipped<'c>(content: &'c [u8], skip: &mut u64) -> &'c [u8] {
    let skipping = usize::try_from(*skip).map_or(content.len(), |skip| skip.min(content.len()));
    *skip -= skipping as u64;
    &content[skipping..]
}

async fn cut(reading: &mut WholeReading, place: &mut WholePlace, cutter: &mut Cutter, mut content: &[u8]) {
    while !content.is_empty() {
        let (space, room) = cutter.space();
        let (now, rest) = content.split_at(room.min(content.len()));
        space.extend_from_slice(now);
        content = rest;
        while let Some(piece) = cutter.take(false) {
            hand_out(reading, place, piece).await;
        }
    }
}

async fn hand_out(reading: &mut WholeReading, place: &mut WholePlace, piece: Piece) {
    let (first, lines) = (reading.next, piece.lines());
    place.at += piece.length();
    let refused = |reason, payload| Some(RefusedRecord { offset: first, reason, payload, skip: false });
    let (data, refused) = match piece {
        // Lines have no head.
        Piece::Lines { data, .. } | Piece::Head { data, .. } => (data, None),
        Piece::Refused { start, reason, .. } => (Bytes::new(), refused(reason, start)),
        Piece::TooLong { start, length } => {
            let reason =
                format!("the line is {length} bytes long, more than the {MAX_RECORD_BYTES} that are read");
            (Bytes::new(), refused(reason, start))
        }
    };
    reading.hand_out((data, Framing::Lines { first }), lines, refused, place).await;
}
