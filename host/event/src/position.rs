//! Where a source partition was read to, and the order of rows that are tied in event time.
//!
//! Knows nothing of any connector: what a connector needs to find its place again is carried as opaque text.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One partition of one source of a job. Stable across restarts: it is part of the total order of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct PartitionId {
    /// Number of the source in the job, counted from 0 in order of the streams in its query.
    pub source: u16,
    /// Number of the partition in the source.
    pub partition: u16,
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.source, self.partition)
    }
}

/// Orders rows that are tied in event time: (source, partition, offset). Never depends on arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Rank {
    /// The partition that the row came from.
    pub partition: PartitionId,
    /// Its number in that partition, rising in the order of the partition's log.
    pub offset: u64,
}

/// The place in a partition's log up to which everything was read.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Position {
    /// Offset of the next record to be read; all below were read.
    pub next: u64,
    /// What else the connector needs to find that record (a file's name and byte, say); empty where the
    /// offset is enough.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub place: String,
}
