//! Rows that count, as the intake admits them and every later step takes them.

use arrow_array::RecordBatch;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_event::{EventTime, PartitionId};

/// Admitted rows of one partition.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    pub(crate) partition: PartitionId,
    pub(crate) columns: RecordBatch,
    pub(crate) times: Vec<i64>,
    pub(crate) offsets: Vec<u64>,
    /// Index of each row's record in its block, to find its payload again.
    pub(crate) records: Vec<u32>,
    pub(crate) arrival: Arrival,
}

/// How the late ones among some rows came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arrival {
    /// The partition's watermark, which all of them are behind.
    pub(crate) watermark: EventTime,
    /// By offset, the payloads of those that are set aside if the keyed stage finds them too late.
    pub(crate) payloads: Arc<BTreeMap<u64, String>>,
}
