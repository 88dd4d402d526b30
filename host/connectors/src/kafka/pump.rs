//! What the thread does that reads assigned partitions: takes what librdkafka has and hands blocks over a short channel, a
//! full one of which holds back librdkafka's queue and nothing else.
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
use super::queue::{Home, MessageQueue, Queued, Record};
use super::topics::TopicPartition;
use super::trouble::{BrokerTrouble, Verdict, verdict};
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::statistics::Statistics;
use std::collections::{BTreeSet, HashMap};
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
    lanes: Vec<TopicLane>,
    /// Where in `lanes` the partitions are that have had a message.
    homes: HashMap<Home, usize>,
    is_bounded: bool,
    /// When the oldest block that is being filled was begun.
    gathering_since: Option<Duration>,
    /// When a broker was last asked whether it is there again.
    asked_at: Duration,
    /// When it was last asked how many partitions there are.
    counted_at: Duration,
    source: u16,
    /// Whether topics are compacted, of those that were asked.
    are_compacted: HashMap<Arc<str>, bool>,
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
    /// Lets a consumer read these partitions; gives also where they deliver.
    pub(super) fn new(
        consumer: BaseConsumer<Context>,
        cluster: Cluster,
        clock: Arc<dyn Clock>,
        is_bounded: bool,
        source: u16,
        bounds: &[Bounds],
    ) -> Result<(Pump, MessageQueue), ConnectError> {
        let consumer = Arc::new(consumer);
        let queue = MessageQueue::new(consumer.clone());
        growth::assign(&cluster, &consumer, &queue, bounds)?;
        let now = clock.monotonic();
        let pump = Pump {
            consumer,
            lanes: bounds.iter().map(|bounds| TopicLane::new(bounds, source, is_bounded)).collect(),
            homes: HashMap::new(),
            is_bounded,
            gathering_since: None,
            asked_at: now,
            counted_at: now,
            source,
            are_compacted: HashMap::new(),
            trouble: BrokerTrouble::new(&cluster),
            cluster,
            clock,
            orders: Orders::default(),
            runtime: Handle::current(),
        };
        Ok((pump, queue))
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
    pub(super) fn run(mut self, mut queue: MessageQueue, blocks: &BlockSender) {
        let mut done = self.pass_over_what_is_gone(blocks);
        while done.is_ok()
            && !blocks.is_closed()
            && !(self.is_bounded && self.lanes.iter().all(|lane| lane.done))
        {
            done = self.step(&mut queue, blocks);
        }
        if let Err(End::Failed(error)) = done {
            // Nobody may be listening any more, and then nobody needs to know.
            let _ = blocks.blocking_send(Err(error));
        }
    }

    /// A topic that is not there has no more for now.
    fn pass_over_what_is_gone(&mut self, blocks: &BlockSender) -> Result<(), End> {
        for at in 0..self.lanes.len() {
            let TopicLane { is_there, of, .. } = &self.lanes[at];
            if !is_there {
                tracing::warn!(
                    "{}: {of} is not there any more; it is read on if it comes again",
                    self.cluster
                );
                self.reached_end(at, blocks)?;
            }
        }
        Ok(())
    }

    fn step(&mut self, queue: &mut MessageQueue, blocks: &BlockSender) -> Result<(), End> {
        self.obey(blocks)?;
        let gathered = |since: Duration| self.clock.monotonic().saturating_sub(since);
        let wait = self.gathering_since.map_or(IDLE_POLL, |since| GATHER.saturating_sub(gathered(since)));
        queue.take(wait);
        self.take_batch(queue, blocks)?;
        let is_drained = queue.is_empty();
        if is_drained || wait.is_zero() {
            self.hand_over_all(blocks)?;
        }
        if let Some(statistics) = self.consumer.context().take_statistics() {
            self.look_at(&statistics, blocks)?;
        }
        if is_drained {
            self.ask_again();
        }
        self.grow_when_due(queue, blocks)
    }

    /// Reads partitions that have come since the topics were opened.
    fn grow_when_due(&mut self, queue: &MessageQueue, blocks: &BlockSender) -> Result<(), End> {
        let now = self.clock.monotonic();
        let is_due = now.saturating_sub(self.counted_at) >= growth::ASK_EVERY;
        if self.is_bounded || self.trouble.is_there() || !is_due {
            return Ok(());
        }
        self.counted_at = now;
        let new = growth::new_partitions(&self.cluster, &self.consumer, &self.lanes).map_err(End::Failed)?;
        for bounds in &new {
            let lane = TopicLane::new(bounds, self.source, false);
            let place = self.cluster.topics.place(&bounds.of, None);
            // librdkafka's offsets of messages are never negative.
            let at = Position { next: bounds.from as u64, place };
            tracing::info!("{}: {} is new, and read from now on", self.cluster, bounds.of);
            send(Fetch::Appeared(lane.id, at), blocks)?;
            self.lanes.push(lane);
        }
        growth::assign(&self.cluster, &self.consumer, queue, &new).map_err(End::Failed)
    }

    /// Takes what was taken from the queue.
    fn take_batch(&mut self, queue: &MessageQueue, blocks: &BlockSender) -> Result<(), End> {
        let (wall, now) = (self.clock.now().millis(), self.clock.monotonic());
        // What is said of a topic's exchange was said before anything was fetched of the other topic, so that it is heard before
        // a batch is looked into. What follows from errors may let reading go back, which is only for what is still to be taken.
        let mut errors = self.listen(queue);
        if !queue.is_empty() {
            self.heard();
        }
        self.check_topic()?;
        let mut last: Option<(Home, usize)> = None;
        for (home, item) in queue.items() {
            let at = match last {
                Some((of, at)) if of == home => at,
                _ => {
                    let Some(at) = self.lane_of(home, queue) else { continue };
                    last = Some((home, at));
                    at
                }
            };
            match item {
                Queued::Record(record) => {
                    if self.take_record(at, &record, wall, blocks)? {
                        self.gathering_since.get_or_insert(now);
                    }
                }
                Queued::End => {
                    if self.lanes[at].take_expected().is_some() {
                        self.without_the_last(at)?;
                    }
                    self.reached_end(at, blocks)?;
                }
                Queued::Failed(error) => errors.push(error),
            }
        }
        errors.iter().try_for_each(|error| self.judge(error, blocks))
    }

    /// Serves all that librdkafka has said beside messages by now, and gives the errors among it. What is no error, as a line of
    /// its log, is served without an answer.
    fn listen(&self, queue: &MessageQueue) -> Vec<KafkaError> {
        let said = (0..queue.events()).filter_map(|_| self.consumer.poll(Duration::ZERO));
        said.filter_map(Result::err).collect()
    }

    /// Where in `lanes` a partition is.
    fn lane_of(&mut self, home: Home, queue: &MessageQueue) -> Option<usize> {
        if let Some(at) = self.homes.get(&home) {
            return Some(*at);
        }
        let of = queue.partition(home);
        let at = self.lanes.iter().position(|lane| lane.of == of)?;
        self.homes.insert(home, at);
        Some(at)
    }

    /// Takes a record; whether it waits in a block that is not full.
    fn take_record(
        &mut self,
        at: usize,
        record: &Record<'_>,
        wall: i64,
        blocks: &BlockSender,
    ) -> Result<bool, End> {
        match self.lanes[at].check(record) {
            None => {}
            Some(Likeness::Same | Likeness::Earlier) => return Ok(false),
            Some(Likeness::Other) => return Err(End::Failed(self.other_log(at, record.offset))),
            Some(Likeness::Gone) => self.without_the_last(at)?,
        }
        let lane = &mut self.lanes[at];
        if lane.take(record, wall) {
            self.reached_end(at, blocks)?;
            return Ok(false);
        }
        if lane.is_full() {
            self.hand_over(at, blocks)?;
            return Ok(false);
        }
        Ok(lane.is_filling())
    }

    /// Lets partitions wait or go on.
    fn obey(&mut self, blocks: &BlockSender) -> Result<(), End> {
        let orders = std::mem::take(&mut *self.orders.lock().unwrap_or_else(PoisonError::into_inner));
        for (id, waits) in orders {
            let is_meant = |lane: &TopicLane| lane.id == id && !lane.done && lane.is_there;
            let Some(at) = self.lanes.iter().position(is_meant) else { continue };
            self.hand_over(at, blocks)?;
            let lane = &mut self.lanes[at];
            lane.waits = waits;
            if waits {
                // It goes on behind what it has taken, and is compared then.
                lane.take_expected();
            }
            let list = lane.in_a_list();
            let obeyed = if waits { self.consumer.pause(&list) } else { self.consumer.resume(&list) };
            obeyed.map_err(|error| self.seek_failed(&error))?;
            if !waits {
                self.look_again_at(&[at])?;
            }
        }
        Ok(())
    }

    fn hand_over_all(&mut self, blocks: &BlockSender) -> Result<(), End> {
        self.gathering_since = None;
        (0..self.lanes.len()).try_for_each(|at| self.hand_over(at, blocks))
    }

    fn hand_over(&mut self, at: usize, blocks: &BlockSender) -> Result<(), End> {
        let block = self.lanes[at].block(&self.cluster.topics);
        block.map_or(Ok(()), |block| send(Fetch::Block(block), blocks))
    }

    /// The broker said that the partition's log ends here. The end was recorded before the first fetch and logs
    /// only grow, so this is at or past it.
    fn reached_end(&mut self, at: usize, blocks: &BlockSender) -> Result<(), End> {
        let is_news = self.lanes[at].reach_end();
        self.hand_over(at, blocks)?;
        if !is_news {
            return Ok(());
        }
        let lane = &self.lanes[at];
        if lane.done
            && lane.is_there
            && let Err(error) = self.consumer.pause(&lane.in_a_list())
        {
            tracing::debug!(%error, of = %lane.of, "a partition that was read to its end goes on being fetched");
        }
        send(Fetch::CaughtUp(lane.id), blocks)
    }

    /// The record that was read last is not in the log any more: where nothing but compaction may take one away, that
    /// is another log.
    fn without_the_last(&mut self, at: usize) -> Result<(), End> {
        let TopicPartition { topic, number } = self.lanes[at].of.clone();
        let is_compacted = match self.are_compacted.get(&topic) {
            Some(known) => *known,
            None => {
                let policy = self.runtime.block_on(TopicPolicy::ask(&self.cluster, &topic));
                policy.is_compacted.unwrap_or(true)
            }
        };
        self.are_compacted.insert(topic.clone(), is_compacted);
        if is_compacted {
            return Ok(());
        }
        Err(End::Failed(ConnectError::external(format!(
            "kafka topic `{topic}`, partition {number}: the record that was read last is not in the log any more, which \
             is not compacted: the topic was made anew, or its log was cut and filled again; start the job anew with \
             --reset"
        ))))
    }

    fn other_log(&self, at: usize, offset: i64) -> ConnectError {
        let TopicPartition { topic, number } = &self.lanes[at].of;
        ConnectError::external(format!(
            "kafka topic `{topic}`, partition {number}: the record at offset {offset} is not the one that was read there: \
             the topic was made anew, or its log was cut and filled again; start the job anew with --reset"
        ))
    }

    /// A broker has answered.
    fn heard(&mut self) {
        if self.trouble.is_there() {
            self.trouble.passed();
            self.consumer.context().calmed();
        }
    }

    /// Whether what comes is of the topics that were opened.
    fn check_topic(&self) -> Result<(), End> {
        if !self.consumer.context().is_made_anew() {
            return Ok(());
        }
        // Opening compares positions with what the other topic holds.
        let message = format!("{}: a topic was deleted and made anew", self.cluster);
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
        let topic = self.lanes.first().map(|lane| &*lane.of.topic);
        if self.consumer.fetch_metadata(topic, ANSWER_TIMEOUT).is_ok() {
            self.heard();
        }
    }

    /// Goes back to the record that was read last, in every partition that does not wait: it must still be there.
    fn look_again(&mut self, blocks: &BlockSender) -> Result<(), End> {
        self.hand_over_all(blocks)?;
        let is_going = |at: &usize| {
            let lane = &self.lanes[*at];
            lane.is_there && !lane.waits && !lane.done
        };
        let going: Vec<usize> = (0..self.lanes.len()).filter(is_going).collect();
        self.look_again_at(&going)
    }

    fn look_again_at(&mut self, lanes: &[usize]) -> Result<(), End> {
        let mut list = TopicPartitionList::new();
        for at in lanes {
            let lane = &mut self.lanes[*at];
            // By itself librdkafka would go on one further where it has said that the log ends. It fails for a negative
            // offset alone.
            let from = lane.go_back();
            let _ = list.add_partition_offset(&lane.of.topic, lane.of.number, from);
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
        let of = |lane: &TopicLane| statistics.topics.get(&*lane.of.topic)?.partitions.get(&lane.of.number);
        let leaders: BTreeSet<i32> =
            self.lanes.iter().filter_map(of).map(|partition| partition.broker).collect();
        self.trouble.look_at(statistics, &leaders, self.clock.monotonic());
        for at in 0..self.lanes.len() {
            let Some(partition) = of(&self.lanes[at]) else { continue };
            // What was before that end had been put into the queue before it was noted, and nothing was left in there.
            if partition.fetchq_cnt == 0 && self.lanes[at].ended_at(partition.eof_offset) {
                self.hand_over(at, blocks)?;
                send(Fetch::CaughtUp(self.lanes[at].id), blocks)?;
            }
        }
        Ok(())
    }
}

fn send(fetch: Fetch, blocks: &BlockSender) -> Result<(), End> {
    blocks.blocking_send(Ok(fetch)).map_err(|_| End::Closed)
}
