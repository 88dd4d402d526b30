//! One partition that is being read: where it stands, what fills its next block, and what must come first.
//!
//! Knows the messages of one partition in the order of its log. Must not know how they are fetched.

use super::block::MessageBlock;
use super::identity::{LastRead, Likeness};
use super::queue::Record;
use super::topics::{TopicPartition, Topics};
use rdkafka::{Offset, TopicPartitionList};
use weir_connect::RawBlock;
use weir_event::PartitionId;

/// Where one partition is read from.
#[derive(Debug)]
pub(super) struct Bounds {
    /// Its number in the source.
    pub(super) partition: u16,
    pub(super) of: TopicPartition,
    /// Whether it is there: a topic that a pattern named may be gone, and come again.
    pub(super) is_there: bool,
    /// Offset of the first message to hand out.
    pub(super) from: i64,
    /// The offset after the last message when the source was opened.
    pub(super) end: i64,
    /// The record that was read last, where the log still holds its offset.
    pub(super) last: Option<LastRead>,
}

impl Bounds {
    /// Where fetching begins: with the record that was read last.
    pub(super) fn fetched_from(&self) -> Offset {
        Offset::Offset(self.last.map_or(self.from, |last| last.offset.min(self.from)))
    }
}

/// One partition that is being read.
#[derive(Debug)]
pub(super) struct TopicLane {
    pub(super) id: PartitionId,
    pub(super) of: TopicPartition,
    pub(super) is_there: bool,
    /// The end of its log when it was opened: whoever says later that the log ends says that it ends there or behind.
    end: i64,
    /// Whether it is read to that end alone.
    is_bounded: bool,
    pub(super) done: bool,
    /// Whether others are to catch up with it.
    pub(super) waits: bool,
    filling: Option<MessageBlock>,
    /// All before this offset was handed out or is in the block that is being filled.
    next: i64,
    /// The record that was read last in the blocks that were handed out.
    last: Option<LastRead>,
    /// It must come first.
    expected: Option<LastRead>,
    /// Whether it was said to be at its end, and nothing has come since.
    is_at_end: bool,
}

impl TopicLane {
    pub(super) fn new(bounds: &Bounds, source: u16, is_bounded: bool) -> TopicLane {
        TopicLane {
            id: PartitionId { source, partition: bounds.partition },
            of: bounds.of.clone(),
            is_there: bounds.is_there,
            end: bounds.end,
            is_bounded,
            done: false,
            waits: false,
            filling: None,
            next: bounds.from,
            last: bounds.last,
            expected: bounds.last,
            is_at_end: false,
        }
    }

    /// It alone, as the client takes partitions.
    pub(super) fn in_a_list(&self) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.of.topic, self.of.number);
        list
    }

    /// What is said of the record that must come first by one that comes; `None` where none must.
    pub(super) fn check(&mut self, record: &Record<'_>) -> Option<Likeness> {
        let likeness = self.expected.as_ref()?.compare(record);
        if likeness != Likeness::Earlier {
            self.expected = None;
        }
        Some(likeness)
    }

    /// The record that must come first, which does not come any more.
    pub(super) fn take_expected(&mut self) -> Option<LastRead> {
        self.expected.take()
    }

    /// Where reading goes on when it begins anew: with the record that was read last, where one was. What is in a block must
    /// have been handed out.
    pub(super) fn go_back(&mut self) -> Offset {
        debug_assert!(self.filling.is_none());
        self.expected = self.last;
        Offset::Offset(self.last.map_or(self.next, |last| last.offset))
    }

    /// Takes a record; true when it lies behind the end of a bounded read, and is left out.
    pub(super) fn take(&mut self, record: &Record<'_>, now: i64) -> bool {
        let offset = record.offset;
        if self.done || offset < self.next {
            return false;
        }
        if self.is_bounded && offset >= self.end {
            return true;
        }
        self.next = offset + 1;
        self.is_at_end = false;
        self.filling.get_or_insert_default().push(record, now);
        false
    }

    pub(super) fn is_full(&self) -> bool {
        self.filling.as_ref().is_some_and(MessageBlock::is_full)
    }

    pub(super) fn is_filling(&self) -> bool {
        self.filling.is_some()
    }

    /// The block that was filled, if there is one.
    pub(super) fn block(&mut self, topics: &Topics) -> Option<RawBlock> {
        let filling = self.filling.take()?;
        let of = &self.of;
        Some(filling.finish(self.id, &mut self.last, |last| topics.place(of, last)))
    }

    /// The log was read to its end, which is not before the end that it had when it was opened; whether that is news.
    pub(super) fn reach_end(&mut self) -> bool {
        if self.done {
            return false;
        }
        let moved = self.move_to(self.end);
        self.done = self.is_bounded;
        !std::mem::replace(&mut self.is_at_end, true) || moved
    }

    /// The log ends at this offset or behind it, and everything before it was handed out: markers of transactions and
    /// what was aborted have no message. Whether reading goes on further on than before.
    pub(super) fn move_to(&mut self, end: i64) -> bool {
        if self.expected.is_some() || end <= self.next {
            return false;
        }
        self.next = end;
        self.filling.get_or_insert_default().move_to(end as u64);
        true
    }

    /// What the client says of the partition some time after it was so: the log ended at `end`, and nothing of it
    /// waited to be taken. Whether reading goes on further on than before.
    pub(super) fn ended_at(&mut self, end: i64) -> bool {
        self.is_at_end && !self.done && self.move_to(end)
    }
}
