//! Messages of assigned partitions, many at a time: what the client's own interface hands out one by one, each with a look
//! at the clock.
//!
//! The only place that calls librdkafka by itself. Knows queues and messages. Must not know what becomes of them.

#![allow(
    unsafe_code,
    reason = "librdkafka takes many messages from a queue at once, and its Rust client does not"
)]

use super::client::Context;
use super::topics::TopicPartition;
use rdkafka::Timestamp;
use rdkafka::bindings as librdkafka;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use std::ffi::{CStr, CString};
use std::ptr::null_mut;
use std::sync::Arc;
use std::time::Duration;

/// So many messages are taken at once: enough that what is done for each batch costs nothing beside them.
const MOST_MESSAGES: usize = 1024;

/// A queue of a consumer's into which its partitions deliver.
pub(super) struct MessageQueue {
    consumer: Arc<BaseConsumer<Context>>,
    queue: *mut librdkafka::rd_kafka_queue_t,
    /// Where the client says everything else.
    events: *mut librdkafka::rd_kafka_queue_t,
    /// Taken and not yet given back.
    held: Vec<*mut librdkafka::rd_kafka_message_t>,
}

// SAFETY: librdkafka's queues and messages belong to no thread; they are used through `&mut self` alone.
unsafe impl Send for MessageQueue {}

/// Which partition a message is of, as long as its consumer lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Home {
    topic: usize,
    partition: i32,
}

/// What stands in a queue.
#[derive(Debug)]
pub(super) enum Queued<'q> {
    Record(Record<'q>),
    /// The log of the partition ends here, for now.
    End,
    Failed(KafkaError),
}

/// A message as it lies in the client's memory.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'q> {
    pub(super) offset: i64,
    pub(super) time: Timestamp,
    /// None for a tombstone.
    pub(super) payload: Option<&'q [u8]>,
}

impl MessageQueue {
    pub(super) fn new(consumer: Arc<BaseConsumer<Context>>) -> MessageQueue {
        // SAFETY: the client lives as long as `consumer`, which is held beside the queue.
        let queue = unsafe { librdkafka::rd_kafka_queue_new(consumer.client().native_ptr()) };
        // SAFETY: as above. A consumer of a group has this queue from the beginning, and keeps it.
        let events = unsafe { librdkafka::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        MessageQueue { consumer, queue, events, held: Vec::new() }
    }

    /// How much the client has said beside messages that nobody has heard yet.
    pub(super) fn events(&self) -> usize {
        if self.events.is_null() {
            return 0;
        }
        // SAFETY: it lives as long as this has not given it back.
        unsafe { librdkafka::rd_kafka_queue_length(self.events) }
    }

    /// Lets a partition deliver here; it is to be assigned only then, or what it has delivered before stands elsewhere.
    pub(super) fn route(&self, of: &TopicPartition) {
        // No topic has a name with a zero in it.
        let Ok(topic) = CString::new(&*of.topic) else { return };
        let client = self.consumer.client().native_ptr();
        // SAFETY: client and name live through the calls. The partition's queue is given back at once: that it delivers here
        // is known to the partition, which holds this queue as long as that.
        unsafe {
            let queue = librdkafka::rd_kafka_queue_get_partition(client, topic.as_ptr(), of.number);
            if !queue.is_null() {
                librdkafka::rd_kafka_queue_forward(queue, self.queue);
                librdkafka::rd_kafka_queue_destroy(queue);
            }
        }
    }

    /// Takes what there is, up to a bound; waits at most so long for the first.
    pub(super) fn take(&mut self, wait: Duration) {
        self.give_back();
        self.held.resize(MOST_MESSAGES, null_mut());
        let millis = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // A call waits until it has all that it was asked for, so that it is asked for one first.
        let first = if wait.is_zero() { 0 } else { self.fill(0, 1, millis) };
        let is_there = wait.is_zero() || first > 0;
        let more = if is_there { self.fill(first, MOST_MESSAGES, 0) } else { 0 };
        self.held.truncate(first + more);
    }

    fn fill(&mut self, from: usize, to: usize, millis: i32) -> usize {
        let room = &mut self.held[from..to];
        // SAFETY: there is room for as many messages as are asked for, and the queue lives.
        let taken = unsafe {
            librdkafka::rd_kafka_consume_batch_queue(self.queue, millis, room.as_mut_ptr(), room.len())
        };
        // It is -1 for an error, and there is none for a queue.
        usize::try_from(taken).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// What was taken, in order.
    pub(super) fn items(&self) -> impl Iterator<Item = (Home, Queued<'_>)> {
        self.held.iter().map(|message| {
            // SAFETY: librdkafka has given it out, and it is given back only when this borrow has ended.
            let message = unsafe { &**message };
            let home = Home { topic: message.rkt as usize, partition: message.partition };
            (home, item(message))
        })
    }

    /// The topic and the partition of a home.
    pub(super) fn partition(&self, home: Home) -> TopicPartition {
        // SAFETY: the topic is that of a message of this consumer, which holds its topics as long as they are assigned.
        let name = unsafe { CStr::from_ptr(librdkafka::rd_kafka_topic_name(home.topic as *mut _)) };
        TopicPartition { topic: name.to_string_lossy().into(), number: home.partition }
    }

    fn give_back(&mut self) {
        for message in self.held.drain(..) {
            // SAFETY: librdkafka has given it out, and nothing borrows it: items borrow the queue.
            unsafe { librdkafka::rd_kafka_message_destroy(message) };
        }
    }
}

impl Drop for MessageQueue {
    fn drop(&mut self) {
        self.give_back();
        // SAFETY: both were taken by `new`, and are not used any more.
        unsafe {
            librdkafka::rd_kafka_queue_destroy(self.queue);
            if !self.events.is_null() {
                librdkafka::rd_kafka_queue_destroy(self.events);
            }
        }
    }
}

fn item(message: &librdkafka::rd_kafka_message_t) -> Queued<'_> {
    match message.err {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {}
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__PARTITION_EOF => return Queued::End,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR__FATAL => {
            return Queued::Failed(KafkaError::MessageConsumptionFatal(RDKafkaErrorCode::Fatal));
        }
        other => return Queued::Failed(KafkaError::MessageConsumption(other.into())),
    }
    let mut kind = librdkafka::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
    // SAFETY: the message lives, and so does what its kind is written to.
    let millis = unsafe { librdkafka::rd_kafka_message_timestamp(message, &raw mut kind) };
    use librdkafka::rd_kafka_timestamp_type_t as Kind;
    let time = match kind {
        _ if millis == -1 => Timestamp::NotAvailable,
        Kind::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE => Timestamp::NotAvailable,
        Kind::RD_KAFKA_TIMESTAMP_CREATE_TIME => Timestamp::CreateTime(millis),
        Kind::RD_KAFKA_TIMESTAMP_LOG_APPEND_TIME => Timestamp::LogAppendTime(millis),
    };
    let payload = (!message.payload.is_null()).then(|| {
        // SAFETY: a payload that is there has so many bytes, which live as long as the message.
        unsafe { std::slice::from_raw_parts(message.payload.cast::<u8>(), message.len) }
    });
    Queued::Record(Record { offset: message.offset, time, payload })
}
