//! Messages of one partition on their way into a block.
//!
//! Knows how a message becomes a record: tombstones are passed over, and when it could first be known is the
//! broker's time, or the producer's where that is not after now.

use super::identity::LastRead;
use super::queue::Record;
use bytes::Bytes;
use rdkafka::Timestamp;
use weir_connect::source::RefusedRecord;
use weir_connect::{Framing, KnownTimes, RawBlock};
use weir_event::{PartitionId, Position};

/// A block is handed on when it has reached this size.
pub(super) const BLOCK_BYTES: usize = 1 << 20;

/// A block that is being filled.
#[derive(Debug, Default)]
pub(super) struct MessageBlock {
    data: Vec<u8>,
    ends: Vec<u32>,
    offsets: Vec<u64>,
    known: Vec<i64>,
    refused: Vec<RefusedRecord>,
    next: u64,
    /// The newest message: its offset, its time, and whether it is a tombstone.
    newest: Option<(i64, Timestamp, bool)>,
}

impl MessageBlock {
    /// The log goes on at this offset at the earliest: all before it was read.
    pub(super) fn move_to(&mut self, next: u64) {
        self.next = self.next.max(next);
    }

    /// Appends a message; `now` is the wall's time, milliseconds since the epoch.
    pub(super) fn push(&mut self, record: &Record<'_>, now: i64) {
        let Record { time, payload, .. } = *record;
        // librdkafka's offsets of messages are never negative.
        let offset = record.offset as u64;
        self.next = offset + 1;
        self.newest = Some((record.offset, time, payload.is_none()));
        let Some(payload) = payload else {
            let reason = "tombstone (a key without a value)".to_owned();
            self.refused.push(RefusedRecord {
                offset,
                reason,
                payload: Vec::new(),
                skip: true,
                damaged: false,
            });
            return;
        };
        self.data.extend_from_slice(payload);
        self.ends.push(self.data.len() as u32);
        self.offsets.push(offset);
        self.known.push(match time {
            Timestamp::LogAppendTime(time) => time,
            Timestamp::CreateTime(time) => time.min(now),
            Timestamp::NotAvailable => now,
        });
    }

    /// Whether it should be handed on.
    pub(super) fn is_full(&self) -> bool {
        self.data.len() >= BLOCK_BYTES
    }

    /// The finished block; `last` is the record that was read last before it, and then that of the block. `place` says it as
    /// a position does.
    pub(super) fn finish(
        self,
        partition: PartitionId,
        last: &mut Option<LastRead>,
        place: impl Fn(Option<&LastRead>) -> String,
    ) -> RawBlock {
        if let Some((offset, time, is_tombstone)) = self.newest {
            let start = self.ends.iter().rev().nth(1).map_or(0, |end| *end as usize);
            let payload = (!is_tombstone).then(|| &self.data[start..]);
            *last = Some(LastRead::new(offset, time, payload));
        }
        let place = place(last.as_ref());
        RawBlock {
            partition,
            data: Bytes::from(self.data),
            framing: Framing::Records { ends: self.ends, offsets: self.offsets },
            known: KnownTimes::Each(self.known),
            next: Position { next: self.next, place },
            refused: self.refused,
        }
    }
}
