//! How much memory is taken by rows that a store has not answered for.
//!
//! Rows that came together stay in memory together until the last of them is gone, however few are left. Must not know why
//! they wait.

use arrow_array::RecordBatch;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use weir_connect::SinkRows;

/// What a row takes beside its columns, roughly: its keys, its fence and its place in the queue.
const ROW_BYTES: usize = 256;

/// The bytes of all rows of one sink; clones count the same ones.
#[derive(Debug, Clone, Default)]
pub(super) struct Held(Arc<AtomicU64>);

impl Held {
    pub(super) fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts rows from now on until the last that holds them lets them go.
    pub(super) fn hold(&self, rows: &SinkRows) -> Arc<HeldRows> {
        let columns = rows.columns.get_array_memory_size();
        let keys = rows.meta.keys.as_ref().map_or(0, RecordBatch::get_array_memory_size);
        let bytes = (columns + keys + rows.columns.num_rows() * ROW_BYTES) as u64;
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Arc::new(HeldRows { rows: rows.clone(), bytes, held: self.clone() })
    }
}

/// Rows that are counted.
#[derive(Debug)]
pub(super) struct HeldRows {
    rows: SinkRows,
    bytes: u64,
    held: Held,
}

impl Deref for HeldRows {
    type Target = SinkRows;

    fn deref(&self) -> &SinkRows {
        &self.rows
    }
}

impl Drop for HeldRows {
    fn drop(&mut self) {
        self.held.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
