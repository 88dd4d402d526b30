//! What flows between stages: batches of admitted rows, and signals in line with them.
//!
//! Two words only. A stage that does not understand a signal passes it on.

use crate::position::{PartitionId, Position};
use crate::time::EventTime;
use arrow_array::RecordBatch;
use std::sync::Arc;

/// What a stage is handed.
#[derive(Debug, Clone)]
pub enum Message {
    /// Rows of one partition.
    Batch(Arc<Batch>),
    /// Something about all rows before it.
    Signal(Signal),
}

/// Rows of one partition, in the order of its log.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The partition that they came from.
    pub partition: PartitionId,
    /// The columns, one row each.
    pub columns: RecordBatch,
    /// Event time of each row, milliseconds.
    pub times: Vec<i64>,
    /// When each row could first be known, milliseconds; `None` where nothing says.
    pub known: Option<Vec<i64>>,
    /// Offset of each row in its partition.
    pub offsets: Vec<u64>,
}

impl Batch {
    /// The number of rows.
    pub fn rows(&self) -> usize {
        self.times.len()
    }
}

/// Said in line with the batches.
#[derive(Debug, Clone, PartialEq)]
pub enum Signal {
    /// Every later row has an event time at or after this one, or is late.
    Watermark(EventTime),
    /// All rows before it belong to this checkpoint; the positions are where reading goes on after it.
    Barrier {
        /// The number of the checkpoint.
        epoch: u64,
        /// For each partition, the position after the last row before the barrier.
        positions: Arc<Vec<(PartitionId, Position)>>,
    },
    /// Every source has been read to its end; what is open is written, but the watermark stays.
    End,
}
