//! The contract of a source: partitions, each an ordered log that can be read again from a position.
//!
//! The life of a source: [`Source::partitions`] at start (again only after an error that says retry), then
//! [`Source::open`] with a place to start for every partition, then [`Reader::next`] until the job stops. A
//! reader that returned an error is dropped; the engine opens another from the positions it holds, so a
//! connector never retries across `next` calls by itself. Back-off belongs to the engine.
//!
//! Partitions may appear while a reader is open, which says [`Fetch::Appeared`], and end for ever, which it says by
//! [`Fetch::Ended`]. Both outlive a restart by positions alone: one that has appeared has a position from then on, and
//! the position of one that has ended says so to its source.
//!
//! Constraints:
//! * Offsets of one partition rise strictly and mean the same record for ever.
//! * `next` is cancel safe: dropping its future loses no record.
//! * [`Fetch::CaughtUp`] is said once each time that the reader has handed out everything up to the end of a
//!   partition's log *as the source reports it*, never guessed from the last record's offset: markers, aborted
//!   and compacted records leave offsets that never come.

use crate::error::ConnectError;
use crate::health::Health;
use crate::probe::Probe;
use async_trait::async_trait;
use bytes::Bytes;
use std::time::Duration;
use weir_event::{EventTime, PartitionId, Position};

/// One partition and where to read it from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenPartition {
    /// Its number in the source.
    pub partition: u16,
    /// Where reading goes on; `None` starts where the definition says.
    pub from: Option<Position>,
}

impl OpenPartition {
    /// Partitions `0..count`, and those that are `known` beside them, each where `known` says: what a source answers
    /// whose partitions begin where its definition says.
    pub fn numbered(count: u16, known: &[OpenPartition]) -> Vec<OpenPartition> {
        let new = |partition| OpenPartition { partition, from: None };
        let is_new = |open: &OpenPartition| known.iter().all(|other| other.partition != open.partition);
        let mut all: Vec<_> = (0..count).map(new).filter(is_new).chain(known.iter().cloned()).collect();
        all.sort_by_key(|open| open.partition);
        all
    }
}

/// What of a source's logs was not read yet: in records, or where only that can be told, in bytes or in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Left {
    /// Records that are left.
    pub records: Option<u64>,
    /// Bytes that are left, as they are stored.
    pub bytes: Option<u64>,
    /// How long reading is behind what came last, where the source says so.
    pub time: Option<Duration>,
}

impl Left {
    /// So many records.
    pub fn records(records: u64) -> Left {
        Left { records: Some(records), ..Left::default() }
    }

    /// Whether anything is known to be left.
    pub fn is_some(&self) -> bool {
        let counted = self.records.or(self.bytes).is_some_and(|left| left > 0);
        counted || self.time.is_some_and(|time| !time.is_zero())
    }
}

/// A source as a definition describes it. Making one checks the settings and does no I/O.
#[async_trait]
pub trait Source: Send + Sync + std::fmt::Debug {
    /// The partitions that there are now, in order of their numbers, which never change their meaning. Those that are
    /// `known` are among them as they are, also where they have ended. One that is new may have a position: where it
    /// begins is then on record before the first record of it, so that it is found again after a crash.
    async fn partitions(&self, known: &[OpenPartition]) -> Result<Vec<OpenPartition>, ConnectError>;

    /// Starts reading. With `bounded` (a run until the end), each partition ends where its log ends now, and
    /// [`Fetch::CaughtUp`] or [`Fetch::Ended`] is the last thing said of it, and none appears; otherwise the reader
    /// follows the log.
    /// `source` is the number to stamp into every [`PartitionId`].
    async fn open(
        &self,
        source: u16,
        partitions: &[OpenPartition],
        bounded: bool,
    ) -> Result<Box<dyn Reader>, ConnectError>;

    /// Whether the offsets of two positions of one partition count in the same log, and so can be compared.
    fn is_same_log(&self, one: &Position, other: &Position) -> bool {
        one.place == other.place
    }

    /// How much of its logs lies behind these positions; for figures alone, so a source that cannot tell it, or not
    /// soon, says nothing. `bounded` is as for [`Source::open`].
    async fn left(&self, _positions: &[OpenPartition], _bounded: bool) -> Result<Left, ConnectError> {
        Ok(Left::default())
    }

    /// What it consists of now, by name, and how many bytes each part has: for whoever relies on them to be there until they
    /// are read. Nothing of a source that is not kept in parts.
    async fn parts(&self) -> Result<Vec<(String, u64)>, ConnectError> {
        Ok(Vec::new())
    }

    /// Its parts by name, in the order in which they are read, each with what tells it from another one that had the name
    /// before it, or from what it was before something was written to it: for whoever goes on later with what was made of
    /// them. Nothing of a source that is not kept in parts.
    async fn stamps(&self) -> Result<Vec<(String, String)>, ConnectError> {
        Ok(Vec::new())
    }

    /// Looks whether it could start: whether what it reads can be reached and lets it read. Has no effect.
    async fn probe(&self) -> Result<Probe, ConnectError> {
        let count = self.partitions(&[]).await?.len();
        Ok(Probe::Ready(if count == 1 { "1 partition".to_owned() } else { format!("{count} partitions") }))
    }

    /// What of it is not there, as far as this machine alone can tell at once; `None` also where only another could.
    fn missing(&self) -> Option<String> {
        None
    }

    /// Where the record before a position stands, for a person to look at, such as a file's path; `None` where
    /// partition and offset say it all.
    fn place(&self, _before: &Position) -> Option<String> {
        None
    }

    /// The newest checkpoint of a job stands here in a partition and is safe: it will not ask for what lies before.
    fn committed(&self, _job: &str, _partition: u16, _position: &Position) {}

    /// Whether it would read a file at this place, or what a sink writes there, as
    /// [`Sink::own_place`](crate::Sink::own_place) tells it.
    fn reads(&self, _place: &str) -> bool {
        false
    }

    /// Whether an unbounded read can ever see more than there is now. A file that is not followed cannot.
    fn grows(&self) -> bool {
        true
    }
}

/// An open source.
#[async_trait]
pub trait Reader: Send {
    /// What comes next; waits while there is nothing. Cancel safe.
    async fn next(&mut self) -> Result<Fetch, ConnectError>;

    /// Asks that no more of a partition is handed out until it is resumed: others are to catch up with it. What is
    /// on its way already may still come. A reader of several partitions that cannot do this makes the engine hold
    /// what should wait, and only up to a bound.
    fn pause(&mut self, _partition: PartitionId) {}

    /// Takes [`Reader::pause`] back.
    fn resume(&mut self, _partition: PartitionId) {}

    /// Where it says that the source cannot be reached, if its client goes on trying by itself.
    fn health(&self) -> Health {
        Health::default()
    }
}

/// What a reader hands out.
#[derive(Debug)]
pub enum Fetch {
    /// Records of one partition, in the order of its log.
    Block(RawBlock),
    /// Everything up to the present end of this partition's log has been handed out.
    CaughtUp(PartitionId),
    /// Said by a source that knows it: every record of this partition that is still to come has an event time at or after
    /// this. It belongs to its place among the blocks, and is said again by whoever reads from there again.
    Watermark(PartitionId, EventTime),
    /// There is a new partition, which begins at this position. It holds the watermark back as one that was there from
    /// the start; where it goes on with another one, this is said before the other has ended.
    Appeared(PartitionId, Position),
    /// All of this partition was handed out, and nothing more will ever come of it. The position that it was left at
    /// says so: a reader that is opened there says this again and asks nobody.
    Ended(PartitionId),
}

/// Raw records of one partition: about 1 MiB at most (or one larger record).
#[derive(Debug, Clone)]
pub struct RawBlock {
    /// The partition that they came from.
    pub partition: PartitionId,
    /// The records, end to end.
    pub data: Bytes,
    /// Where one record ends and which offset it has.
    pub framing: Framing,
    /// When the records could first be known.
    pub known: KnownTimes,
    /// The position after the last record.
    pub next: Position,
    /// Records that the source itself had to pass over (tombstones, lines too long), with the reason and up to
    /// 1 KiB of payload; they are counted, and dead letters unless `skip` is set. What is not of the log itself (a file
    /// that comes too late to be read) has the offset of the next record and takes none.
    pub refused: Vec<RefusedRecord>,
}

impl RawBlock {
    /// Whether there is a record in it, be it one that was passed over. One without says where its log goes on.
    pub fn holds_records(&self) -> bool {
        self.holds_data() || !self.refused.is_empty()
    }

    /// Whether there is a record in it that was not passed over.
    pub fn holds_data(&self) -> bool {
        match &self.framing {
            Framing::Lines { .. } | Framing::Container { .. } => !self.data.is_empty(),
            Framing::Records { offsets, .. } => !offsets.is_empty(),
        }
    }

    /// The part of it from the record at `offset` on; `None` where everything in it lies before.
    pub fn from_offset(&self, offset: u64) -> Option<RawBlock> {
        if self.next.next <= offset {
            return None;
        }
        let (records, data, framing) = match &self.framing {
            Framing::Lines { first } => {
                let lines = usize::try_from(offset.saturating_sub(*first)).unwrap_or(usize::MAX);
                let start = match lines.checked_sub(1) {
                    None => 0,
                    Some(last) => {
                        let bytes = self.data.iter().enumerate();
                        let mut breaks = bytes.filter(|(_, byte)| **byte == b'\n');
                        breaks.nth(last).map_or(self.data.len(), |(at, _)| at + 1)
                    }
                };
                (lines, self.data.slice(start..), Framing::Lines { first: (*first).max(offset) })
            }
            Framing::Records { ends, offsets } => {
                let records = offsets.partition_point(|known| *known < offset);
                let start = records.checked_sub(1).map_or(0, |last| ends[last]);
                let ends = ends[records..].iter().map(|end| end - start).collect();
                let framing = Framing::Records { ends, offsets: offsets[records..].to_vec() };
                (records, self.data.slice(start as usize..), framing)
            }
            Framing::Container { head, base, first } => {
                let framing =
                    Framing::Container { head: head.clone(), base: *base, first: (*first).max(offset) };
                (
                    usize::try_from(offset.saturating_sub(*first)).unwrap_or(usize::MAX),
                    self.data.clone(),
                    framing,
                )
            }
        };
        let known = match &self.known {
            KnownTimes::Each(times) => KnownTimes::Each(times.get(records..).unwrap_or(&[]).to_vec()),
            other => other.clone(),
        };
        let refused = self.refused.iter().filter(|refused| refused.offset >= offset).cloned().collect();
        Some(RawBlock { partition: self.partition, data, framing, known, next: self.next.clone(), refused })
    }
}

/// A record that never reaches the decoder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRecord {
    /// Its offset.
    pub offset: u64,
    /// Why.
    pub reason: String,
    /// Its first bytes.
    pub payload: Vec<u8>,
    /// Counted only: no fault of anybody's (a Kafka tombstone).
    pub skip: bool,
    /// Whether its file is damaged there, as that of a [`BadRow`](crate::BadRow).
    pub damaged: bool,
}

/// How `data` falls into records.
#[derive(Debug, Clone)]
pub enum Framing {
    /// One record per line; the lines are offsets `first`, `first + 1`, .. A line may end in `\r\n`; empty lines
    /// count as offsets but are no records; the last line may lack its newline.
    Lines {
        /// Offset of the first line.
        first: u64,
    },
    /// Record `i` ends (exclusive) at `ends[i]` and has offset `offsets[i]`.
    Records {
        /// Ends in `data`, rising.
        ends: Vec<u32>,
        /// Offsets, rising strictly.
        offsets: Vec<u64>,
    },
    /// Laid out as files of the format are, so that only its decoder can tell records apart: they are `base`,
    /// `base + 1`, .., and those before `first` are not of this block.
    Container {
        /// What stands once at the head of their file and is needed to read them, such as a line of names.
        head: Bytes,
        /// Offset of the first record in the data.
        base: u64,
        /// Offset of the first record that counts.
        first: u64,
    },
}

/// When the records of a block could first be known, milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KnownTimes {
    /// Nothing says so (files without a declared column).
    Unknown,
    /// The event time itself (generator).
    EventTime,
    /// One time per record (broker append times, ingest stamps). For `Framing::Lines`, one per line.
    Each(Vec<i64>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compliance::records;

    #[test]
    fn a_part_of_a_block_holds_the_records_from_an_offset_on() {
        let refused = |offset| RefusedRecord {
            offset,
            reason: String::new(),
            payload: Vec::new(),
            skip: true,
            damaged: false,
        };
        let block = |framing, data: &'static [u8]| RawBlock {
            partition: PartitionId::default(),
            data: Bytes::from_static(data),
            framing,
            known: KnownTimes::Each(vec![1, 2, 3]),
            next: Position { next: 20, place: "there".to_owned() },
            refused: vec![refused(11), refused(19)],
        };
        let lines = block(Framing::Lines { first: 10 }, b"a\nbb\nccc\n");
        let framed = block(Framing::Records { ends: vec![1, 3, 6], offsets: vec![10, 11, 12] }, b"abbccc");
        let container = Framing::Container { head: Bytes::new(), base: 9, first: 10 };
        let held = block(container, b"whatever").from_offset(12).unwrap();
        assert!(matches!(held.framing, Framing::Container { base: 9, first: 12, .. }));
        assert_eq!((&held.data[..], held.known), (&b"whatever"[..], KnownTimes::Each(vec![3])));
        for whole in [lines, framed] {
            assert!(whole.from_offset(20).is_none());
            for (offset, left) in [(0, 3), (10, 3), (11, 2), (12, 1), (13, 0), (19, 0)] {
                let part = whole.from_offset(offset).unwrap();
                assert_eq!(records(&part), records(&whole)[3 - left..], "from {offset}");
                assert_eq!(part.known, KnownTimes::Each(vec![1, 2, 3][3 - left..].to_vec()));
                assert_eq!(part.refused.len(), if offset <= 11 { 2 } else { 1 });
                assert_eq!(part.next, whole.next);
            }
        }
    }
}
