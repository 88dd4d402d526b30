//! The bytes of one chunk, and packing entries into chunks. Pure: knows no sled and no files.
//!
//! A chunk is `crc32 (4 bytes, little endian) | kind (1) | body`, at most [`CHUNK_BYTES`] long. The checksum covers the
//! chunk's address too. In a body entries follow one another: `shared | rest | value + 1, or 0 for a tombstone` as
//! three varint lengths, then the key from `shared` on and the value; `shared` is how many bytes of the key are those of the
//! entry before in the same chunk. An entry that is too long for a chunk starts one of its own and goes on in the next.

use crate::varint;

/// Above about 7 KiB sled puts pages into files of their own, which it neither syncs nor removes; half of that keeps
/// a full page of sixteen values well below.
pub(crate) const CHUNK_BYTES: usize = 4096;
const HEADER_BYTES: usize = 5;
const BODY_BYTES: usize = CHUNK_BYTES - HEADER_BYTES;

/// Where a chunk is: segment and number. Numbers of index chunks have the high bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Address {
    pub(crate) segment: u64,
    pub(crate) number: u32,
}

/// First number of the chunks of a segment's index.
pub(crate) const INDEX_BASE: u32 = 1 << 31;

/// What a chunk's body holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Entries, all of them whole.
    Whole,
    /// The beginning of one entry.
    First,
    /// More of the entry that began before.
    Next,
    /// A piece of the index.
    Index,
}

impl Kind {
    fn code(self) -> u8 {
        match self {
            Kind::Whole => 0,
            Kind::First => 1,
            Kind::Next => 2,
            Kind::Index => 3,
        }
    }

    fn from_code(code: u8) -> Option<Kind> {
        [Kind::Whole, Kind::First, Kind::Next, Kind::Index].into_iter().find(|kind| kind.code() == code)
    }
}

fn checksum(address: Address, kind_and_body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&address.segment.to_be_bytes());
    hasher.update(&address.number.to_be_bytes());
    hasher.update(kind_and_body);
    hasher.finalize()
}

/// Makes the stored form of a body of at most `CHUNK_BYTES - 5` bytes.
pub(crate) fn seal(address: Address, kind: Kind, body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER_BYTES + body.len());
    out.extend_from_slice(&[0; 4]);
    out.push(kind.code());
    out.extend_from_slice(body);
    let crc = checksum(address, &out[4..]);
    out[..4].copy_from_slice(&crc.to_le_bytes());
    out
}

/// Checks a stored chunk: its kind, where its body begins, and its checksum. The error says what is wrong.
pub(crate) fn open(address: Address, stored: &[u8]) -> Result<(Kind, u32), String> {
    let place = || format!("chunk {} of segment {}", address.number & !INDEX_BASE, address.segment);
    let (Some(crc), Some(code)) = (stored.first_chunk::<4>(), stored.get(4)) else {
        return Err(format!("{} is cut short", place()));
    };
    let crc = u32::from_le_bytes(*crc);
    if checksum(address, &stored[4..]) != crc {
        return Err(format!("{} does not match its checksum", place()));
    }
    let kind = Kind::from_code(*code).ok_or_else(|| format!("{} is of unknown kind {code}", place()))?;
    Ok((kind, crc))
}

/// The body of a chunk that `open` has checked.
pub(crate) fn body(stored: &[u8]) -> &[u8] {
    stored.get(HEADER_BYTES..).unwrap_or_default()
}

/// Cuts a byte stream into bodies of full chunks (the last may be shorter).
pub(crate) fn pieces(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.chunks(BODY_BYTES)
}

/// Packs entries that come in key order into bodies.
#[derive(Default)]
pub(crate) struct Packer {
    body: Vec<u8>,
    first_key: Vec<u8>,
    last_key: Vec<u8>,
    entries: u64,
}

impl Packer {
    /// Number of entries so far.
    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    /// Whether `key` may come next: keys rise.
    pub(crate) fn accepts(&self, key: &[u8]) -> bool {
        self.entries == 0 || key > self.last_key.as_slice()
    }

    /// Adds an entry; hands each body that is full to `emit`, with the first key in it where an entry begins there.
    pub(crate) fn push<E>(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
        emit: &mut impl FnMut(Kind, Option<&[u8]>, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let shared = if self.body.is_empty() { 0 } else { shared_len(&self.last_key, key) };
        let fits = self.body.len() + entry_len(shared, key, value) <= BODY_BYTES;
        if fits {
            self.append(shared, key, value);
        } else {
            self.finish(emit)?;
            self.append(0, key, value);
        }
        self.entries += 1;
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        if self.body.len() > BODY_BYTES { self.span(emit) } else { Ok(()) }
    }

    /// Hands out what is left.
    pub(crate) fn finish<E>(
        &mut self,
        emit: &mut impl FnMut(Kind, Option<&[u8]>, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.body.is_empty() {
            return Ok(());
        }
        let sent = emit(Kind::Whole, Some(&self.first_key), &self.body);
        self.body.clear();
        sent
    }

    fn append(&mut self, shared: usize, key: &[u8], value: Option<&[u8]>) {
        if self.body.is_empty() {
            self.first_key.clear();
            self.first_key.extend_from_slice(key);
        }
        varint::put(&mut self.body, shared as u64);
        varint::put(&mut self.body, (key.len() - shared) as u64);
        varint::put(&mut self.body, value_code(value));
        self.body.extend_from_slice(&key[shared..]);
        self.body.extend_from_slice(value.unwrap_or_default());
    }

    fn span<E>(
        &mut self,
        emit: &mut impl FnMut(Kind, Option<&[u8]>, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let body = std::mem::take(&mut self.body);
        for (i, piece) in pieces(&body).enumerate() {
            if i == 0 {
                emit(Kind::First, Some(&self.first_key), piece)?;
            } else {
                emit(Kind::Next, None, piece)?;
            }
        }
        Ok(())
    }
}

fn value_code(value: Option<&[u8]>) -> u64 {
    value.map_or(0, |value| value.len() as u64 + 1)
}

fn entry_len(shared: usize, key: &[u8], value: Option<&[u8]>) -> usize {
    let rest = key.len() - shared;
    varint::len(shared as u64)
        + varint::len(rest as u64)
        + varint::len(value_code(value))
        + rest
        + value.map_or(0, <[u8]>::len)
}

/// How many bytes two keys have in common at their beginning.
pub(crate) fn shared_len(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

/// The lengths at the front of an entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EntryHead {
    /// Bytes of the key that are those of the entry before.
    pub(crate) shared: usize,
    /// Bytes of the key that follow.
    pub(crate) rest: usize,
    /// Bytes of the value, `None` for a tombstone.
    pub(crate) value: Option<usize>,
    /// Bytes of these three lengths themselves.
    pub(crate) head: usize,
}

impl EntryHead {
    /// Reads the lengths from the front of `bytes`; `None` if they make no sense.
    pub(crate) fn read(bytes: &[u8]) -> Option<EntryHead> {
        let mut left = bytes;
        let shared = usize::try_from(varint::take(&mut left)?).ok()?;
        let rest = usize::try_from(varint::take(&mut left)?).ok()?;
        let value = varint::take(&mut left)?.checked_sub(1).map(usize::try_from).transpose().ok()?;
        let head = bytes.len() - left.len();
        rest.checked_add(value.unwrap_or(0))?.checked_add(head)?;
        Some(EntryHead { shared, rest, value, head })
    }

    /// Bytes of the whole entry.
    pub(crate) fn len(&self) -> usize {
        self.head + self.rest + self.value.unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_is_known_only_at_its_own_address() {
        let address = Address { segment: 7, number: 3 };
        let stored = seal(address, Kind::Whole, b"body");
        assert_eq!(open(address, &stored).map(|(kind, _)| kind), Ok(Kind::Whole));
        assert_eq!(body(&stored), b"body");
        let elsewhere = Address { segment: 7, number: 4 };
        assert!(open(elsewhere, &stored).is_err());
        for at in 0..stored.len() {
            let mut flipped = stored.clone();
            flipped[at] ^= 0x10;
            assert!(open(address, &flipped).is_err(), "a flip in byte {at} went unseen");
        }
        assert!(open(address, &stored[..3]).is_err());
    }

    #[test]
    fn no_chunk_is_longer_than_the_limit_and_long_entries_span() {
        let mut packer = Packer::default();
        let mut kinds = Vec::new();
        let mut emit = |kind: Kind, _: Option<&[u8]>, body: &[u8]| {
            assert!(!body.is_empty() && body.len() <= BODY_BYTES);
            kinds.push(kind);
            Ok::<(), ()>(())
        };
        assert_eq!(packer.push(b"a", Some(b"small"), &mut emit), Ok(()));
        assert_eq!(packer.push(b"b", Some(&[1; 3 * CHUNK_BYTES]), &mut emit), Ok(()));
        assert_eq!(packer.push(b"c", None, &mut emit), Ok(()));
        assert_eq!(packer.finish(&mut emit), Ok(()));
        assert!(!packer.accepts(b"c") && packer.accepts(b"d"));
        assert_eq!(kinds, [Kind::Whole, Kind::First, Kind::Next, Kind::Next, Kind::Next, Kind::Whole]);
    }

    #[test]
    fn senseless_lengths_are_refused() {
        assert!(EntryHead::read(&[]).is_none());
        let mut huge = Vec::new();
        for _ in 0..3 {
            varint::put(&mut huge, u64::MAX);
        }
        assert!(EntryHead::read(&huge).is_none());
    }
}
