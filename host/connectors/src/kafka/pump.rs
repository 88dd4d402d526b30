//! What the thread does that reads assigned partitions: polls librdkafka and hands blocks over a short channel, a full
//! one of which holds back librdkafka's queue and nothing else.
//!
//! While only the way to the broker is broken the thread goes on polling: librdkafka connects again by itself
//! and goes on at the same offset, which the reader's health tells. Everything else ends the reader.
//!
//! How long a poll waits is librdkafka's to measure, by the machine's clock; what follows from it is decided by ours.

use super::client::{Cluster, Context};
use super::growth;
use super::identity::Likeness;
use super::lane::{Bounds, TopicLane};
use super::policy::TopicPolicy;
use super::trouble::{BrokerTrouble, Verdict, verdict};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::statistics::Statistics;
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use weir_connect::{ConnectError, Fetch, Health};
use weir_event::{Clock, PartitionId, Position};

/// A block waits at most so long for more messages.
const GATHER: Duration = Duration::from_millis(5);
/// How often the thread looks whether its reader is still there.
const IDLE_POLL: Duration = Duration::from_millis(100);
/// Messages that are taken between two looks at the clock: a fraction of a millisecond's.
const BATCH: usize = 512;
/// While brokers are away one is asked so often, and for so long: an empty log says nothing when they are back.
const ASK_EVERY: Duration = Duration::from_secs(1);
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);
/// Going back to a record is a matter between the client's threads.
const SEEK_TIMEOUT: Duration = Duration::from_secs(1);

/// The reader's side that runs on its own thread.
pub(super) struct Pump {
    consumer: Arc<BaseConsumer<Context>>,
    cluster: Cluster,
    clock: Arc<dyn Clock>,
    lanes: BTreeMap<i32, TopicLane>,
    is_bounded: bool,
    /// When the oldest block that is being filled was begun.
    gathering_since: Option<Duration>,
    /// When a broker was last asked whether it is there again.
    asked_at: Duration,
    /// When it was last asked how many partitions there are.
    counted_at: Duration,
    source: u16,
    /// Whether the topic is compacted, once it was asked.
    is_compacted: Option<bool>,
    trouble: BrokerTrouble,
    orders: Orders,
    /// Where what takes a future waits for it.
    runtime: Handle,
}

/// Partitions that are to wait (true), or to go on, since it was looked last.
pub(super) type Orders = Arc<Mutex<Vec<(PartitionId, bool)>>>;

/// Why the thread ends.
enum End {
    /// The reader is gone.
    Closed,
    Failed(ConnectError),
}

pub(super) type BlockSender = mpsc::Sender<Result<Fetch, ConnectError>>;

impl Pump {
    /// Over a consumer that has been assigned these partitions.
    pub(super) fn new(
        consumer: BaseConsumer<Context>,
        cluster: Cluster,
        clock: Arc<dyn Clock>,
        is_bounded: bool,
        source: u16,
        bounds: &[Bounds],
    ) -> Pump {
        let lane =
            |bounds: &Bounds| (i32::from(bounds.partition), TopicLane::new(bounds, source, is_bounded));
        let now = clock.monotonic();
        Pump {
            consumer: Arc::new(consumer),
            lanes: bounds.iter().map(lane).collect(),
            is_bounded,
            gathering_since: None,
            asked_at: now,
            counted_at: now,
            source,
            is_compacted: None,
            trouble: BrokerTrouble::new(&cluster),
            cluster,
            clock,
            orders: Orders::default(),
            runtime: Handle::current(),
        }
    }

    /// What is ordered here is done soon.
    pub(super) fn orders(&self) -> Orders {
        self.orders.clone()
    }

    pub(super) fn health(&self) -> Health {
        self.trouble.health()
    }

    /// How many partitions a bounded read has.
    pub(super) fn bounded_lanes(&self) -> Option<usize> {
        self.is_bounded.then_some(self.lanes.len())
    }

    /// Polls until the reader is gone, every bounded partition is read, or an error does not pass by itself.
    pub(super) fn run(mut self, blocks: &BlockSender) {
        while !blocks.is_closed() {
            match self.step(blocks) {
                Ok(()) => {}
                Err(End::Failed(error)) => {
                    // Nobody may be listening any more, and then nobody needs to know.
                    let _ = blocks.blocking_send(Err(error));
                    return;
                }
                Err(End::Closed) => return,
            }
            if self.is_bounded && self.lanes.values().all(|lane| lane.done) {
                return;
            }
        }
    }

    fn step(&mut self, blocks: &BlockSender) -> Result<(), End> {
        self.obey(blocks)?;
        let gathered = |since: Duration| self.clock.monotonic().saturating_sub(since);
        let wait = self.gathering_since.map_or(IDLE_POLL, |since| GATHER.saturating_sub(gathered(since)));
        let is_drained = self.take_batch(wait, blocks)?;
        if is_drained || wait.is_zero() {
            self.hand_over_all(blocks)?;
        }
        if let Some(statistics) = self.consumer.context().take_statistics() {
            self.look_at(&statistics, blocks)?;
        }
        if is_drained {
            self.ask_again();
        }
        self.grow_when_due(blocks)
    }

    /// Reads partitions that the topic has got since it was opened.
    fn grow_when_due(&mut self, blocks: &BlockSender) -> Result<(), End> {
        let now = self.clock.monotonic();
        let is_due = now.saturating_sub(self.counted_at) >= growth::ASK_EVERY;
        if self.is_bounded || self.trouble.is_there() || !is_due {
            return Ok(());
        }
        self.counted_at = now;
        let known = self.lanes.len();
        let new = growth::new_partitions(&self.cluster, &self.consumer, known).map_err(End::Failed)?;
        if new.is_empty() {
            return Ok(());
        }
        for bounds in &new {
            let lane = TopicLane::new(bounds, self.source, false);
            // librdkafka's offsets of messages are never negative.
            let at = Position { next: bounds.from as u64, place: String::new() };
            tracing::info!("{}: partition {} is new, and read from now on", self.cluster, bounds.partition);
            send(Fetch::Appeared(lane.id, at), blocks)?;
            self.lanes.insert(i32::from(bounds.partition), lane);
        }
        growth::assign(&self.cluster, &self.consumer, &new).map_err(End::Failed)
    }

    /// Takes what librdkafka has, up to a bound, and at first waits for something; whether nothing came at all.
    fn take_batch(&mut self, wait: Duration, blocks: &BlockSender) -> Result<bool, End> {
        let consumer = self.consumer.clone();
        let mut polled = consumer.poll(wait);
        let is_drained = polled.is_none();
        let (wall, now) = (self.clock.now().millis(), self.clock.monotonic());
        for taken in 1.. {
            match polled {
                Some(Ok(message)) => {
                    if self.take_message(&message, wall, blocks)? {
                        self.gathering_since.get_or_insert(now);
                    }
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => {
                    self.heard();
                    self.check_topic()?;
                    if self.lanes.get_mut(&partition).and_then(TopicLane::take_expected).is_some() {
                        self.without_the_last(partition)?;
                    }
                    self.reached_end(partition, blocks)?;
                }
                Some(Err(error)) => self.judge(&error, blocks)?,
                None => break,
            }
            if taken >= BATCH {
                break;
            }
            polled = consumer.poll(Duration::ZERO);
        }
        Ok(is_drained)
    }

    /// Takes a message; whether it waits in a block that is not full.
    fn take_message(
        &mut self,
        message: &BorrowedMessage<'_>,
        wall: i64,
        blocks: &BlockSender,
    ) -> Result<bool, End> {
        self.heard();
        self.check_topic()?;
        let partition = message.partition();
        match self.lanes.get_mut(&partition).and_then(|lane| lane.check(message)) {
            None => {}
            Some(Likeness::Same | Likeness::Earlier) => return Ok(false),
            Some(Likeness::Other) => return Err(End::Failed(self.other_log(message))),
            Some(Likeness::Gone) => self.without_the_last(partition)?,
        }
        let Some(lane) = self.lanes.get_mut(&partition) else { return Ok(false) };
        if lane.take(message, wall) {
            self.reached_end(partition, blocks)?;
            return Ok(false);
        }
        if lane.is_full() {
            hand_over(lane, blocks)?;
            return Ok(false);
        }
        Ok(lane.is_filling())
    }

    /// Lets partitions wait or go on.
    fn obey(&mut self, blocks: &BlockSender) -> Result<(), End> {
        let orders = std::mem::take(&mut *self.orders.lock().unwrap_or_else(PoisonError::into_inner));
        for (id, waits) in orders {
            let partition = i32::from(id.partition);
            let Some(lane) = self.lanes.get_mut(&partition).filter(|lane| !lane.done) else { continue };
            hand_over(lane, blocks)?;
            lane.waits = waits;
            if waits {
                // It goes on behind what it has taken, and is compared then.
                lane.take_expected();
            }
            let mut list = TopicPartitionList::new();
            list.add_partition(&self.cluster.topic, partition);
            let obeyed = if waits { self.consumer.pause(&list) } else { self.consumer.resume(&list) };
            obeyed.map_err(|error| self.seek_failed(&error))?;
            if !waits {
                self.look_again_at(&[partition])?;
            }
        }
        Ok(())
    }

    fn hand_over_all(&mut self, blocks: &BlockSender) -> Result<(), End> {
        self.gathering_since = None;
        self.lanes.values_mut().try_for_each(|lane| hand_over(lane, blocks))
    }

    /// The broker said that the partition's log ends here. The end was recorded before the first fetch and logs
    /// only grow, so this is at or past it.
    fn reached_end(&mut self, partition: i32, blocks: &BlockSender) -> Result<(), End> {
        let Some(lane) = self.lanes.get_mut(&partition) else { return Ok(()) };
        let is_news = lane.reach_end();
        hand_over(lane, blocks)?;
        if !is_news {
            return Ok(());
        }
        let (id, done) = (lane.id, lane.done);
        if done {
            let mut list = TopicPartitionList::new();
            list.add_partition(&self.cluster.topic, partition);
            if let Err(error) = self.consumer.pause(&list) {
                tracing::debug!(%error, partition, "a partition that was read to its end goes on being fetched");
            }
        }
        send(Fetch::CaughtUp(id), blocks)
    }

    /// The record that was read last is not in the log any more: where nothing but compaction may take one away, that
    /// is another log.
    fn without_the_last(&mut self, partition: i32) -> Result<(), End> {
        let is_compacted = match self.is_compacted {
            Some(known) => known,
            None => self.runtime.block_on(TopicPolicy::ask(&self.cluster)).is_compacted.unwrap_or(true),
        };
        self.is_compacted = Some(is_compacted);
        if is_compacted {
            return Ok(());
        }
        Err(End::Failed(ConnectError::external(format!(
            "kafka topic `{}`, partition {partition}: the record that was read last is not in the log any more, which \
             is not compacted: the topic was made anew, or its log was cut and filled again; start the job anew with \
             --reset",
            self.cluster.topic
        ))))
    }

    fn other_log(&self, message: &impl Message) -> ConnectError {
        ConnectError::external(format!(
            "kafka topic `{}`, partition {}: the record at offset {} is not the one that was read there: the topic was \
             made anew, or its log was cut and filled again; start the job anew with --reset",
            self.cluster.topic,
            message.partition(),
            message.offset()
        ))
    }

    /// A broker has answered.
    fn heard(&mut self) {
        if self.trouble.is_there() {
            self.trouble.passed();
            self.consumer.context().calmed();
        }
    }

    /// Whether what comes is of the topic that was opened.
    fn check_topic(&self) -> Result<(), End> {
        if !self.consumer.context().is_made_anew() {
            return Ok(());
        }
        // Opening compares positions with what the other topic holds.
        let message = format!("{}: the topic was deleted and made anew", self.cluster);
        Err(End::Failed(ConnectError::unavailable(message)))
    }

    /// Whether reading goes on after this error.
    fn judge(&mut self, error: &KafkaError, blocks: &BlockSender) -> Result<(), End> {
        let context = self.consumer.client().context();
        match verdict(&self.cluster, error, context) {
            Verdict::Fails(error) => Err(End::Failed(error)),
            Verdict::PassesByItself(error) => {
                if self.trouble.arises(error.message, self.clock.monotonic()) {
                    // Who comes back may have another log.
                    return self.look_again(blocks);
                }
                Ok(())
            }
        }
    }

    /// Asks a broker that was away whether it is there again.
    fn ask_again(&mut self) {
        let now = self.clock.monotonic();
        if !self.trouble.is_there() || now.saturating_sub(self.asked_at) < ASK_EVERY {
            return;
        }
        self.asked_at = now;
        if self.consumer.fetch_metadata(Some(&self.cluster.topic), ANSWER_TIMEOUT).is_ok() {
            self.heard();
        }
    }

    /// Goes back to the record that was read last, in every partition that does not wait: it must still be there.
    fn look_again(&mut self, blocks: &BlockSender) -> Result<(), End> {
        self.hand_over_all(blocks)?;
        let going: Vec<i32> =
            self.lanes.iter().filter(|(_, lane)| !lane.waits).map(|(partition, _)| *partition).collect();
        self.look_again_at(&going)
    }

    fn look_again_at(&mut self, partitions: &[i32]) -> Result<(), End> {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            if let Some(last) = self.lanes.get_mut(partition).and_then(TopicLane::expect_again) {
                // It fails for a negative offset alone.
                let _ =
                    list.add_partition_offset(&self.cluster.topic, *partition, Offset::Offset(last.offset));
            }
        }
        if list.count() == 0 {
            return Ok(());
        }
        let sought = self.consumer.seek_partitions(list, SEEK_TIMEOUT);
        let sought = sought.map_err(|error| self.seek_failed(&error))?;
        sought
            .elements()
            .iter()
            .try_for_each(|element| element.error().map_err(|error| self.seek_failed(&error)))
    }

    fn seek_failed(&self, error: &KafkaError) -> End {
        let failure = self.cluster.failure("go on reading", error, self.consumer.context());
        End::Failed(ConnectError { retry: true, ..failure })
    }

    /// What librdkafka says of itself once a second: whether brokers answer, and ends of logs that no message has.
    fn look_at(&mut self, statistics: &Statistics, blocks: &BlockSender) -> Result<(), End> {
        let Some(topic) = statistics.topics.get(&self.cluster.topic) else { return Ok(()) };
        let leaders = self.lanes.keys().filter_map(|partition| topic.partitions.get(partition));
        let leaders: Vec<i32> = leaders.map(|partition| partition.broker).collect();
        self.trouble.look_at(statistics, &leaders, self.clock.monotonic());
        for (number, lane) in &mut self.lanes {
            let Some(partition) = topic.partitions.get(number) else { continue };
            // What was before that end had been put into the queue before it was noted, and nothing was left in there.
            if partition.fetchq_cnt == 0 && lane.ended_at(partition.eof_offset) {
                hand_over(lane, blocks)?;
                send(Fetch::CaughtUp(lane.id), blocks)?;
            }
        }
        Ok(())
    }
}

fn hand_over(lane: &mut TopicLane, blocks: &BlockSender) -> Result<(), End> {
    lane.block().map_or(Ok(()), |block| send(Fetch::Block(block), blocks))
}

fn send(fetch: Fetch, blocks: &BlockSender) -> Result<(), End> {
    blocks.blocking_send(Ok(fetch)).map_err(|_| End::Closed)
}
