//! How stored state is spelled in bytes: variable-length whole numbers, lengths before contents.
//!
//! Reading never panics and never allocates more than the bytes at hand can fill.

use weir_event::{PartitionId, Rank};

/// Appends a whole number, seven bits a byte, the lowest first.
pub(crate) fn put_unsigned(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends a signed whole number so that small ones of either sign are short.
pub(crate) fn put_signed(value: i64, out: &mut Vec<u8>) {
    put_unsigned(((value << 1) ^ (value >> 63)) as u64, out);
}

/// Appends bytes with their length before them.
pub(crate) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_unsigned(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// Appends a rank.
pub(crate) fn put_rank(rank: Rank, out: &mut Vec<u8>) {
    put_unsigned(u64::from(rank.partition.source), out);
    put_unsigned(u64::from(rank.partition.partition), out);
    put_unsigned(rank.offset, out);
}

/// Bytes that are being read. Every read gives `None` where the bytes end too early or make no sense.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Reader { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some(taken)
    }

    /// What has been read of these bytes, of which it is the rest.
    pub(crate) fn read_of<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        &bytes[..bytes.len().saturating_sub(self.rest.len())]
    }

    /// What is left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    pub(crate) fn unsigned(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7F);
            if bits << shift >> shift != bits {
                return None;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    pub(crate) fn signed(&mut self) -> Option<i64> {
        let value = self.unsigned()?;
        Some((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// A count of things that take at least `least_bytes` each, so that a damaged one cannot make us allocate.
    pub(crate) fn count(&mut self, least_bytes: usize) -> Option<usize> {
        let count = usize::try_from(self.unsigned()?).ok()?;
        (count.checked_mul(least_bytes)? <= self.rest.len()).then_some(count)
    }

    pub(crate) fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.unsigned()?).ok()?;
        self.take(length)
    }

    pub(crate) fn double(&mut self) -> Option<f64> {
        self.take(8)?.first_chunk().map(|bytes| f64::from_le_bytes(*bytes))
    }

    pub(crate) fn rank(&mut self) -> Option<Rank> {
        let source = u16::try_from(self.unsigned()?).ok()?;
        let partition = u16::try_from(self.unsigned()?).ok()?;
        Some(Rank { partition: PartitionId { source, partition }, offset: self.unsigned()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back() {
        for value in [0, 1, -1, 63, -64, 64, 1 << 40, i64::MIN, i64::MAX] {
            let mut out = Vec::new();
            put_signed(value, &mut out);
            put_unsigned(value as u64, &mut out);
            let mut reader = Reader::new(&out);
            assert_eq!((reader.signed(), reader.unsigned()), (Some(value), Some(value as u64)));
            assert!(reader.is_empty());
        }
    }

    #[test]
    fn damaged_numbers_and_lengths_are_refused() {
        assert_eq!(Reader::new(&[0xFF; 10]).unsigned(), None);
        assert_eq!(Reader::new(&[0x80]).unsigned(), None);
        assert_eq!(Reader::new(&[5, 1, 2]).bytes(), None);
        assert_eq!(Reader::new(&[100, 1, 2]).count(1), None);
    }
}
