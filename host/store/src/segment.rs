//! Segments: writing one, scanning one in key order, checking one. Knows chunks and rows, not manifests.

use std::ops::Range;

use crate::chunk::{self, Address, EntryHead, INDEX_BASE, Kind, Packer};
use crate::index::{Index, IndexBuilder};
use crate::rows::{Chunks, Row, Rows};
use crate::{Epoch, SegmentRef, StoreError};

/// Chunks handed to sled at once: enough to keep its overhead per call small, and 256 KiB of memory.
const CHUNKS_PER_CALL: usize = 64;

/// Writes one segment, entry by entry.
pub(crate) struct SegmentWriter<'a> {
    packer: Packer,
    tombstones: u64,
    out: ChunkSink<'a>,
}

struct ChunkSink<'a> {
    rows: &'a Rows,
    id: u64,
    waiting: Vec<(Address, Vec<u8>)>,
    index: IndexBuilder,
    hasher: crc32fast::Hasher,
    bytes: u64,
    chunks: u32,
}

impl<'a> SegmentWriter<'a> {
    /// Starts segment `id`, of which no chunk may be in `rows`.
    pub(crate) fn new(rows: &'a Rows, id: u64) -> Self {
        let out = ChunkSink {
            rows,
            id,
            waiting: Vec::with_capacity(CHUNKS_PER_CALL),
            index: IndexBuilder::default(),
            hasher: crc32fast::Hasher::new(),
            bytes: 0,
            chunks: 0,
        };
        SegmentWriter { packer: Packer::default(), tombstones: 0, out }
    }

    /// Whether `key` is above all keys so far.
    pub(crate) fn accepts(&self, key: &[u8]) -> bool {
        self.packer.accepts(key)
    }

    /// Entries so far.
    pub(crate) fn entries(&self) -> u64 {
        self.packer.entries()
    }

    /// Adds an entry; its key must be accepted.
    pub(crate) fn push(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StoreError> {
        self.tombstones += u64::from(value.is_none());
        let out = &mut self.out;
        self.packer.push(key, value, &mut |kind, first_key, body| out.add(kind, first_key, body))
    }

    /// Writes what is left and the index.
    pub(crate) fn finish(mut self, epoch: Epoch) -> Result<SegmentRef, StoreError> {
        let out = &mut self.out;
        self.packer.finish(&mut |kind, first_key, body| out.add(kind, first_key, body))?;
        let index = std::mem::take(&mut out.index).into_bytes();
        let mut index_chunks = 0;
        for piece in chunk::pieces(&index) {
            let address = Address { segment: out.id, number: INDEX_BASE | index_chunks };
            out.put(address, chunk::seal(address, Kind::Index, piece))?;
            index_chunks += 1;
        }
        out.drain()?;
        Ok(SegmentRef {
            id: out.id,
            epoch,
            entries: self.packer.entries(),
            tombstones: self.tombstones,
            bytes: out.bytes,
            chunks: out.chunks,
            index_chunks,
            hash: self.out.hasher.finalize(),
        })
    }
}

impl ChunkSink<'_> {
    fn add(&mut self, kind: Kind, first_key: Option<&[u8]>, body: &[u8]) -> Result<(), StoreError> {
        let address = Address { segment: self.id, number: self.chunks };
        let stored = chunk::seal(address, kind, body);
        self.hasher.update(&stored[..4]);
        if let Some(key) = first_key {
            self.index.push(self.chunks, key);
        }
        self.chunks += 1;
        if self.chunks == INDEX_BASE {
            return Err(self.rows.damaged(format!("segment {} would take more than 8 TiB", self.id)));
        }
        self.put(address, stored)
    }

    fn put(&mut self, address: Address, stored: Vec<u8>) -> Result<(), StoreError> {
        self.bytes += stored.len() as u64;
        self.waiting.push((address, stored));
        if self.waiting.len() == CHUNKS_PER_CALL { self.drain() } else { Ok(()) }
    }

    fn drain(&mut self) -> Result<(), StoreError> {
        self.rows.put_chunks(std::mem::take(&mut self.waiting))
    }
}

/// Chunks of entries in order, each checked; at the end of a whole scan their count and rolling hash, too.
struct CheckedChunks<'a> {
    rows: &'a Rows,
    segment: &'a SegmentRef,
    stored: Chunks<'a>,
    next: u32,
    /// Kept only from chunk 0 on.
    hasher: Option<crc32fast::Hasher>,
}

impl<'a> CheckedChunks<'a> {
    fn new(rows: &'a Rows, segment: &'a SegmentRef, from: u32) -> Self {
        CheckedChunks {
            rows,
            segment,
            stored: rows.chunks(segment.id, from, INDEX_BASE),
            next: from,
            hasher: (from == 0).then(crc32fast::Hasher::new),
        }
    }

    fn next(&mut self) -> Result<Option<(Kind, Row)>, StoreError> {
        let id = self.segment.id;
        let Some(found) = self.stored.next().transpose()? else {
            if self.next != self.segment.chunks {
                let what = format!("segment {id} has {} chunks of {}", self.next, self.segment.chunks);
                return Err(self.rows.damaged(what));
            }
            if self.hasher.take().is_some_and(|hasher| hasher.finalize() != self.segment.hash) {
                return Err(self.rows.damaged(format!("segment {id} does not match its rolling hash")));
            }
            return Ok(None);
        };
        let (address, stored) = found;
        if address.number != self.next {
            return Err(self.rows.damaged(format!("chunk {} of segment {id} is missing", self.next)));
        }
        let (kind, crc) = chunk::open(address, &stored).map_err(|what| self.rows.damaged(what))?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&crc.to_le_bytes());
        }
        self.next += 1;
        Ok(Some((kind, stored)))
    }
}

/// Reads a segment's index.
pub(crate) fn read_index(rows: &Rows, segment: &SegmentRef) -> Result<Index, StoreError> {
    let mut bytes = Vec::new();
    let mut next = INDEX_BASE;
    for found in rows.chunks(segment.id, INDEX_BASE, u32::MAX) {
        let (address, stored) = found?;
        let opened = chunk::open(address, &stored).map_err(|what| rows.damaged(what))?;
        if address.number != next || opened.0 != Kind::Index {
            break;
        }
        bytes.extend_from_slice(chunk::body(&stored));
        next += 1;
    }
    let whole = next == INDEX_BASE | segment.index_chunks;
    let index = whole.then(|| Index::read(&bytes)).flatten();
    index.ok_or_else(|| rows.damaged(format!("the index of segment {} is not whole", segment.id)))
}

/// Checks every chunk of a segment; calls `seen` with each, as stored.
pub(crate) fn check(
    rows: &Rows,
    segment: &SegmentRef,
    mut seen: impl FnMut(Address, &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut chunks = CheckedChunks::new(rows, segment, 0);
    while let Some((_, stored)) = chunks.next()? {
        seen(Address { segment: segment.id, number: chunks.next - 1 }, &stored)?;
    }
    read_index(rows, segment)?;
    for found in rows.chunks(segment.id, INDEX_BASE, u32::MAX) {
        let (address, stored) = found?;
        seen(address, &stored)?;
    }
    Ok(())
}

/// Goes through a segment's entries in key order. Stands on one entry, or at the end.
pub(crate) struct Cursor<'a> {
    chunks: CheckedChunks<'a>,
    body: Body,
    /// Where the next entry begins in `body`.
    at: usize,
    key: Vec<u8>,
    value: Option<Range<usize>>,
    done: bool,
}

/// The bytes that entries are read from: one chunk, or an entry put together from several.
enum Body {
    Chunk(Row),
    Joined(Vec<u8>),
}

impl Body {
    fn bytes(&self) -> &[u8] {
        match self {
            Body::Chunk(stored) => chunk::body(stored),
            Body::Joined(bytes) => bytes,
        }
    }
}

impl<'a> Cursor<'a> {
    /// Stands on the first entry of chunk `from`, in which one must begin.
    pub(crate) fn new(rows: &'a Rows, segment: &'a SegmentRef, from: u32) -> Result<Self, StoreError> {
        let mut cursor = Cursor {
            chunks: CheckedChunks::new(rows, segment, from),
            body: Body::Joined(Vec::new()),
            at: 0,
            key: Vec::new(),
            value: None,
            done: false,
        };
        cursor.advance()?;
        Ok(cursor)
    }

    /// The key it stands on, `None` at the end.
    pub(crate) fn key(&self) -> Option<&[u8]> {
        (!self.done).then_some(self.key.as_slice())
    }

    /// The value it stands on, `None` for a tombstone.
    pub(crate) fn value(&self) -> Option<&[u8]> {
        self.value.clone().map(|range| &self.body.bytes()[range])
    }

    /// Goes to the next entry.
    pub(crate) fn advance(&mut self) -> Result<(), StoreError> {
        if self.at == self.body.bytes().len() && !self.load()? {
            self.done = true;
            return Ok(());
        }
        let bytes = &self.body.bytes()[self.at..];
        let entry = EntryHead::read(bytes)
            .filter(|entry| entry.shared <= self.key.len() && entry.len() <= bytes.len())
            .ok_or_else(|| self.malformed())?;
        self.key.truncate(entry.shared);
        self.key.extend_from_slice(&bytes[entry.head..entry.head + entry.rest]);
        let value_at = self.at + entry.head + entry.rest;
        self.at += entry.len();
        self.value = entry.value.map(|_| value_at..self.at);
        Ok(())
    }

    /// Takes the next chunk, or all chunks of a long entry; false at the end.
    fn load(&mut self) -> Result<bool, StoreError> {
        self.at = 0;
        self.key.clear();
        let Some((kind, stored)) = self.chunks.next()? else { return Ok(false) };
        self.body = match kind {
            Kind::Whole => Body::Chunk(stored),
            Kind::First => Body::Joined(self.join(&stored)?),
            Kind::Next | Kind::Index => return Err(self.malformed()),
        };
        Ok(true)
    }

    fn join(&mut self, first: &Row) -> Result<Vec<u8>, StoreError> {
        let mut bytes = chunk::body(first).to_vec();
        let wanted = EntryHead::read(&bytes).ok_or_else(|| self.malformed())?.len();
        while bytes.len() < wanted {
            match self.chunks.next()? {
                Some((Kind::Next, stored)) => bytes.extend_from_slice(chunk::body(&stored)),
                _ => return Err(self.malformed()),
            }
        }
        Ok(bytes)
    }

    fn malformed(&self) -> StoreError {
        let (id, number) = (self.chunks.segment.id, self.chunks.next.saturating_sub(1));
        self.chunks.rows.damaged(format!("entries in chunk {number} of segment {id} make no sense"))
    }
}
