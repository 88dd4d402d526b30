//! Messages of one partition on their way into a block.
//!
//! Knows how a message becomes a record: tombstones are passed over, and when it could first be known is the
//! broker's time, or the producer's where that is not after now.

use bytes::Bytes;
use rdkafka::Timestamp;
use rdkafka::message::{BorrowedMessage, Message};
use weir_connect::source::RefusedRecord;
use weir_connect::{Framing, KnownTimes, RawBlock};
use weir_event::{PartitionId, Position};

/// A block is handed on when it has reached this size.
pub(super) const BLOCK_BYTES: usize = 1 << 20;

/// A block that is being filled.
#[derive(Debug, Default)]
pub(super) struct Filling {
    data: Vec<u8>,
    ends: Vec<u32>,
    offsets: Vec<u64>,
    known: Vec<i64>,
    refused: Vec<RefusedRecord>,
    next: u64,
}

impl Filling {
    /// An empty block that says where reading begins.
    pub(super) fn at(next: u64) -> Filling {
        Filling { next, ..Filling::default() }
    }

    /// Appends a message; `now` is the wall's time, milliseconds since the epoch.
    pub(super) fn push(&mut self, message: &BorrowedMessage<'_>, now: i64) {
        // librdkafka's offsets of messages are never negative.
        let offset = message.offset() as u64;
        self.next = offset + 1;
        let Some(payload) = message.payload() else {
            let reason = "tombstone (a key without a value)".to_owned();
            self.refused.push(RefusedRecord { offset, reason, payload: Vec::new(), skip: true });
            return;
        };
        self.data.extend_from_slice(payload);
        self.ends.push(self.data.len() as u32);
        self.offsets.push(offset);
        self.known.push(match message.timestamp() {
            Timestamp::LogAppendTime(time) => time,
            Timestamp::CreateTime(time) => time.min(now),
            Timestamp::NotAvailable => now,
        });
    }

    /// Whether it should be handed on.
    pub(super) fn is_full(&self) -> bool {
        self.data.len() >= BLOCK_BYTES
    }

    /// The finished block.
    pub(super) fn finish(self, partition: PartitionId) -> RawBlock {
        RawBlock {
            partition,
            data: Bytes::from(self.data),
            framing: Framing::Records { ends: self.ends, offsets: self.offsets },
            known: KnownTimes::Each(self.known),
            next: Position { next: self.next, place: String::new() },
            refused: self.refused,
        }
    }
}
