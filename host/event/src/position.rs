//! Where a source partition was read to, and the order of rows that are tied in event time.
//!
//! Knows nothing of any connector: what a connector needs to find its place again is carried as opaque text.

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;

/// One partition of one source of a job. Stable across restarts: it is part of the total order of rows, in which those of
/// archives come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct PartitionId {
    /// Number of the source in the job: that of its stream, counted from 0 in order of the streams in its query, or of that
    /// stream's archive, which [`PartitionId::ARCHIVE`] is added to.
    pub source: u16,
    /// Number of the partition in the source.
    pub partition: u16,
}

impl PartitionId {
    /// Marks the number of a source that is the archive of a stream.
    pub const ARCHIVE: u16 = 1 << 15;

    /// The number of the stream, counted from 0 in order of the streams in the job's query.
    ///
    /// ```
    /// use weir_event::PartitionId;
    /// let live = PartitionId { source: 1, partition: 0 };
    /// let archived = PartitionId { source: 1 | PartitionId::ARCHIVE, partition: 7 };
    /// assert_eq!((live.input(), archived.input()), (1, 1));
    /// assert!(archived < PartitionId::default() && archived.to_string() == "archive1/7");
    /// ```
    pub fn input(self) -> usize {
        usize::from(self.source & !PartitionId::ARCHIVE)
    }

    /// Whether it is of its stream's archive.
    pub fn is_of_archive(self) -> bool {
        self.source & PartitionId::ARCHIVE != 0
    }

    /// Archives come first.
    fn order(self) -> (u16, u16) {
        (self.source ^ PartitionId::ARCHIVE, self.partition)
    }
}

impl Ord for PartitionId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for PartitionId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for PartitionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let archive = if self.is_of_archive() { "archive" } else { "" };
        write!(f, "{archive}{}/{}", self.input(), self.partition)
    }
}

/// Orders rows that are tied in event time: (source, partition, offset). Never depends on arrival. Rows that one record
/// gives several of are told apart, and ordered, by which of them each is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Rank {
    /// The partition that the row came from.
    pub partition: PartitionId,
    /// Its number in that partition, rising in the order of the partition's log; of one of several rows of a record, with
    /// its place among them ([`Rank::of_element`]).
    pub offset: u64,
}

/// Marks the number of a row that is one of several of its record.
const OF_ELEMENT: u64 = 1 << 63;
/// Bits of its place among them.
const INDEX_BITS: u32 = 16;

impl Rank {
    /// The rank of one of the rows that the record at `offset` gives; `None` where the offset leaves no room for it.
    ///
    /// ```
    /// use weir_event::{PartitionId, Rank};
    /// let rank = Rank::of_element(PartitionId::default(), 7, 2).unwrap();
    /// assert_eq!((rank.record(), rank.element()), (7, Some(2)));
    /// assert_eq!(rank.to_string(), "0/0:7:2");
    /// assert!(rank < Rank::of_element(PartitionId::default(), 8, 0).unwrap());
    /// ```
    pub fn of_element(partition: PartitionId, offset: u64, index: u16) -> Option<Rank> {
        let fits = offset < OF_ELEMENT >> INDEX_BITS;
        fits.then_some(Rank { partition, offset: OF_ELEMENT | (offset << INDEX_BITS) | u64::from(index) })
    }

    /// The offset of its record.
    pub fn record(&self) -> u64 {
        if self.offset & OF_ELEMENT == 0 { self.offset } else { (self.offset & !OF_ELEMENT) >> INDEX_BITS }
    }

    /// Which of its record's rows it is, where the record gives several.
    pub fn element(&self) -> Option<u16> {
        (self.offset & OF_ELEMENT != 0).then_some(self.offset as u16)
    }
}

impl fmt::Display for Rank {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.partition, self.record())?;
        self.element().map_or(Ok(()), |index| write!(f, ":{index}"))
    }
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
