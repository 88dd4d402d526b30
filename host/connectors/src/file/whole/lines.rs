//! The records of a file that stand one behind the other, also of one that is compressed: piece by piece of the file, so that
//! it is never held whole.

use super::place::WholePlace;
use super::read::WholeReading;
use super::{Shelf, WholeFile};
use crate::file::cut::{Cutter, Piece};
use crate::file::source::{BLOCK_BYTES, MAX_RECORD_BYTES};
use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use std::io::{self, Write};
use weir_connect::source::RefusedRecord;
use weir_connect::{ConnectError, FileLayout, Framing};

/// So much of a file is fetched at once.
const FETCH_BYTES: u64 = 4 << 20;
/// So much is fetched at once to find a head again: most are shorter.
const HEAD_FETCH_BYTES: u64 = 64 << 10;
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

/// A file on its way to pieces.
struct Pieces {
    cutter: Cutter,
    layout: FileLayout,
    /// What stands at the head of the file.
    head: Bytes,
}

impl Pieces {
    /// Behind this head, or where the file begins.
    fn new(layout: FileLayout, head: Option<Bytes>) -> Pieces {
        let cutter = Cutter::new(layout, head.as_deref(), BLOCK_BYTES, MAX_RECORD_BYTES);
        Pieces { cutter, layout, head: head.unwrap_or_default() }
    }

    async fn push(&mut self, reading: &mut WholeReading, place: &mut WholePlace, mut content: &[u8]) {
        while !content.is_empty() {
            let (space, room) = self.cutter.space();
            let (now, rest) = content.split_at(room.min(content.len()));
            space.extend_from_slice(now);
            content = rest;
            while let Some(piece) = self.cutter.take(false) {
                self.hand_out(reading, place, piece).await;
            }
        }
    }

    /// The file has ended, which its position says from now on: it may be taken away.
    async fn finish(mut self, reading: &mut WholeReading, place: &mut WholePlace) {
        while let Some(piece) = self.cutter.take(true) {
            self.hand_out(reading, place, piece).await;
        }
        while let Some(piece) = self.cutter.take_rest() {
            self.hand_out(reading, place, piece).await;
        }
        place.is_done = true;
        let nothing = (Bytes::new(), Framing::Lines { first: reading.next });
        reading.hand_out(nothing, 0, None, place).await;
    }

    async fn hand_out(&mut self, reading: &mut WholeReading, place: &mut WholePlace, piece: Piece) {
        let (first, lines) = (reading.next, piece.lines());
        place.at += piece.length();
        let refused = |reason, payload, damaged| {
            Some(RefusedRecord { offset: first, reason, payload, skip: false, damaged })
        };
        let (data, refused) = match piece {
            Piece::Lines { data, .. } => (data, None),
            Piece::Head { data, .. } => {
                self.head = data;
                reading.next += lines;
                return;
            }
            Piece::Refused { start, reason, damaged, .. } => (Bytes::new(), refused(reason, start, damaged)),
            Piece::TooLong { start, length } => {
                let reason = format!(
                    "the line is {length} bytes long, more than the {MAX_RECORD_BYTES} that are read"
                );
                (Bytes::new(), refused(reason, start, false))
            }
        };
        let framing = match self.layout {
            layout if layout.is_of_lines() => Framing::Lines { first },
            _ => Framing::Container { head: self.head.clone(), base: first, first },
        };
        reading.hand_out((data, framing), lines, refused, place).await;
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
    let damaged = |error: io::Error| damaged(&path, &error);
    let mut unpacked = Unpacked::of(&file.name).map_err(damaged)?;
    let mut fetched = if unpacked.is_plain() { place.at } else { 0 };
    let mut skip = if unpacked.is_plain() { 0 } else { place.at };
    let head = if place.at > 0 { Some(head_of(&*shelf, reading.layout, file).await?) } else { None };
    let mut pieces = Pieces::new(reading.layout, head);
    while fetched < file.bytes {
        reading.taken().await;
        let end = (fetched + FETCH_BYTES).min(file.bytes);
        let packed = shelf.read(file, fetched..end).await?;
        fetched = end;
        for packed in packed.chunks(DECOMPRESS_BYTES) {
            let content = unpacked.push(packed).map_err(damaged)?;
            pieces.push(reading, place, skipped(&content, &mut skip)).await;
        }
    }
    let content = unpacked.finish().map_err(damaged)?;
    pieces.push(reading, place, skipped(&content, &mut skip)).await;
    pieces.finish(reading, place).await;
    Ok(())
}

fn damaged(path: &str, error: &io::Error) -> ConnectError {
    ConnectError::external(format!("`{path}` is damaged: {error}; restore the file"))
}

/// What stands at the head of a file that is gone on with; nothing where it has none, as when it was begun.
async fn head_of(shelf: &dyn Shelf, layout: FileLayout, file: &WholeFile) -> Result<Bytes, ConnectError> {
    if layout.is_of_lines() {
        return Ok(Bytes::new());
    }
    let path = shelf.path(&file.name);
    let damaged = |error: io::Error| damaged(&path, &error);
    let mut unpacked = Unpacked::of(&file.name).map_err(damaged)?;
    let mut cutter = Cutter::new(layout, None, BLOCK_BYTES, MAX_RECORD_BYTES);
    let mut fetched = 0;
    while fetched < file.bytes {
        let end = (fetched + HEAD_FETCH_BYTES).min(file.bytes);
        let packed = shelf.read(file, fetched..end).await?;
        fetched = end;
        for packed in packed.chunks(DECOMPRESS_BYTES) {
            cutter.space().0.extend(unpacked.push(packed).map_err(damaged)?);
            match cutter.take(false) {
                Some(Piece::Head { data, .. }) => return Ok(data),
                Some(_) => return Ok(Bytes::new()),
                None => {}
            }
        }
    }
    Ok(Bytes::new())
}

/// The content without what was read before.
fn skipped<'c>(content: &'c [u8], skip: &mut u64) -> &'c [u8] {
    let skipping = usize::try_from(*skip).map_or(content.len(), |skip| skip.min(content.len()));
    *skip -= skipping as u64;
    &content[skipping..]
}
