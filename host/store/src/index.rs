//! The index of a segment: the first key of every chunk in which an entry begins. Pure: knows no sled.
//!
//! Keys are cut to [`KEY_BYTES`]: the index then stays about one percent of its segment whatever the keys are, and a seek starts
//! a little too early at worst, never too late.

use crate::chunk::shared_len;
use crate::varint;

/// Long enough for a key group, a usual key and a column; longer keys only make a seek less exact.
const KEY_BYTES: usize = 128;

/// Builds the stored form of an index.
#[derive(Default)]
pub(crate) struct IndexBuilder {
    bytes: Vec<u8>,
    last_key: Vec<u8>,
    last_number: u32,
}

impl IndexBuilder {
    /// Notes that chunk `number` begins with `key`. Numbers and keys rise.
    pub(crate) fn push(&mut self, number: u32, key: &[u8]) {
        let key = &key[..key.len().min(KEY_BYTES)];
        let shared = shared_len(&self.last_key, key);
        varint::put(&mut self.bytes, u64::from(number - self.last_number));
        varint::put(&mut self.bytes, shared as u64);
        varint::put(&mut self.bytes, (key.len() - shared) as u64);
        self.bytes.extend_from_slice(&key[shared..]);
        self.last_key.clear();
        self.last_key.extend_from_slice(key);
        self.last_number = number;
    }

    /// The stored form.
    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// An index in memory: keys end to end, so that a million of them are three allocations.
#[derive(Debug, Default)]
pub(crate) struct Index {
    keys: Vec<u8>,
    ends: Vec<usize>,
    numbers: Vec<u32>,
}

impl Index {
    /// Reads the stored form; `None` if it makes no sense.
    pub(crate) fn read(mut bytes: &[u8]) -> Option<Index> {
        let mut index = Index::default();
        let mut key: Vec<u8> = Vec::new();
        let mut number = 0_u32;
        while !bytes.is_empty() {
            number = number.checked_add(u32::try_from(varint::take(&mut bytes)?).ok()?)?;
            let shared = usize::try_from(varint::take(&mut bytes)?).ok()?;
            let rest = usize::try_from(varint::take(&mut bytes)?).ok()?;
            if shared > key.len() || rest > bytes.len() {
                return None;
            }
            let (suffix, left) = bytes.split_at(rest);
            bytes = left;
            key.truncate(shared);
            key.extend_from_slice(suffix);
            index.keys.extend_from_slice(&key);
            index.ends.push(index.keys.len());
            index.numbers.push(number);
        }
        Some(index)
    }

    fn key(&self, at: usize) -> &[u8] {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.keys[start..self.ends[at]]
    }

    /// The chunk from which a scan must start to meet every key >= `key`.
    pub(crate) fn seek(&self, key: &[u8]) -> u32 {
        let key = &key[..key.len().min(KEY_BYTES)];
        let (mut low, mut high) = (0, self.numbers.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.key(middle) < key {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        // The chunk before the first whose key is not below: its own first key is below, so all that is before it is.
        low.checked_sub(1).map_or(0, |at| self.numbers[at])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seek_never_starts_too_late() {
        let long = vec![b'x'; 2 * KEY_BYTES];
        let keys: Vec<Vec<u8>> = vec![
            b"b".to_vec(),
            b"d".to_vec(),
            long.clone(),
            [long.clone(), b"1".to_vec()].concat(),
            b"z".to_vec(),
        ];
        let numbers = [0, 1, 5, 6, 7];
        let mut builder = IndexBuilder::default();
        for (number, key) in numbers.iter().zip(&keys) {
            builder.push(*number, key);
        }
        let index = Index::read(&builder.into_bytes()).expect("own bytes");
        for probe in [b"".as_slice(), b"a", b"b", b"c", b"d", &long, &keys[3], b"y", b"z", b"zz"] {
            let right =
                numbers.iter().zip(&keys).rfind(|(_, key)| key.as_slice() <= probe).map_or(0, |(n, _)| *n);
            assert!(index.seek(probe) <= right, "{probe:?}");
        }
        assert_eq!(index.seek(b"c"), 0);
        assert_eq!(index.seek(b"zz"), 7);
        assert!(Index::read(&[1, 200]).is_none());
    }
}
