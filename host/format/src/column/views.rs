//! Text and bytes: views into the block, and into a buffer of what had to be rewritten.

use arrow_array::GenericByteViewArray;
use arrow_array::builder::make_view;
use arrow_array::types::ByteViewType;
use arrow_buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow_schema::ArrowError;

/// A growing column of text or bytes.
#[derive(Debug, Default)]
pub(crate) struct Views {
    cells: Vec<u128>,
    rewritten: Vec<u8>,
    /// Whether any view reaches into the block: if not, the block need not be kept alive.
    in_block: bool,
}

/// Views hold up to so many bytes in themselves.
const INLINE_BYTES: usize = 12;
const BLOCK_BUFFER: u32 = 0;
const REWRITTEN_BUFFER: u32 = 1;

impl Views {
    pub(super) fn with_capacity(rows: usize) -> Views {
        Views { cells: Vec::with_capacity(rows), ..Views::default() }
    }

    /// Adds a part of the block.
    pub(crate) fn push_borrowed(&mut self, block: &[u8], start: usize, end: usize) {
        self.in_block |= end - start > INLINE_BYTES;
        self.cells.push(make_view(&block[start..end], BLOCK_BUFFER, start as u32));
    }

    /// Adds what `write` appends.
    pub(crate) fn push_rewritten(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> Option<()> {
        let start = self.rewritten.len();
        write(&mut self.rewritten)?;
        self.cells.push(make_view(&self.rewritten[start..], REWRITTEN_BUFFER, start as u32));
        Some(())
    }

    pub(super) fn push_nothing(&mut self) {
        self.cells.push(0);
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        self.cells.truncate(rows);
    }

    pub(super) fn finish<T: ByteViewType + ?Sized>(
        self,
        block: &Buffer,
        nulls: Option<NullBuffer>,
    ) -> Result<GenericByteViewArray<T>, ArrowError> {
        let block = if self.in_block { block.clone() } else { Buffer::default() };
        let buffers = match (self.in_block, self.rewritten.is_empty()) {
            (false, true) => Vec::new(),
            (true, true) => vec![block],
            (_, false) => vec![block, Buffer::from(self.rewritten)],
        };
        GenericByteViewArray::try_new(ScalarBuffer::from(self.cells), buffers, nulls)
    }
}
