//! Reads the parts of a block in order, and never more than there is.

use super::damaged;
use crate::error::CoreError;

/// What is left of a block.
#[derive(Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(block: &'a [u8]) -> Self {
        Reader(block)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn bytes(&mut self, count: usize) -> Result<&'a [u8], CoreError> {
        let split = self.0.split_at_checked(count);
        let (bytes, rest) = split.ok_or_else(|| damaged("shorter than it says"))?;
        self.0 = rest;
        Ok(bytes)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], CoreError> {
        let split = self.0.split_first_chunk::<N>();
        let (bytes, rest) = split.ok_or_else(|| damaged("shorter than it says"))?;
        self.0 = rest;
        Ok(*bytes)
    }

    pub(super) fn byte(&mut self) -> Result<u8, CoreError> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(super) fn short(&mut self) -> Result<u16, CoreError> {
        self.array().map(u16::from_le_bytes)
    }

    pub(super) fn count(&mut self) -> Result<u32, CoreError> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn long(&mut self) -> Result<u64, CoreError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Lengths of so many items.
    pub(super) fn lengths(&mut self, count: usize) -> Result<Vec<usize>, CoreError> {
        let (lengths, _) = self.bytes(count.saturating_mul(4))?.as_chunks::<4>();
        Ok(lengths.iter().map(|length| u32::from_le_bytes(*length) as usize).collect())
    }

    pub(super) fn longs(&mut self, count: usize) -> Result<Vec<u64>, CoreError> {
        let (longs, _) = self.bytes(count.saturating_mul(8))?.as_chunks::<8>();
        Ok(longs.iter().map(|long| u64::from_le_bytes(*long)).collect())
    }
}
