//! Reading assigned partitions: a thread polls librdkafka and hands blocks over a short channel.
//!
//! A thread of its own because polling blocks, and because a full channel must hold back librdkafka's queue and
//! nothing else. The channel makes [`KafkaReader::next`] cancel safe.
//!
//! While only the way to the broker is broken the thread goes on polling: librdkafka connects again by itself
//! and goes on at the same offset, which the reader's health tells. Everything else ends the reader.
//!
//! How long a poll waits is librdkafka's to measure, by the machine's clock; what follows from it is decided by ours.

use super::block::Filling;
use super::client::{Cluster, Context, passes_by_itself};
use async_trait::async_trait;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use weir_connect::{ConnectError, Fetch, Health, Reader};
use weir_event::{Clock, PartitionId};

/// A block waits at most so long for more messages.
const GATHER: Duration = Duration::from_millis(5);
/// How often the thread looks whether its reader is still there.
const IDLE_POLL: Duration = Duration::from_millis(100);
/// A broken connection is complained of at most so often.
const COMPLAIN_EVERY: Duration = Duration::from_secs(10);
/// While brokers are away one is asked so often, and for so long: an empty log says nothing when they are back.
const ASK_EVERY: Duration = Duration::from_secs(1);
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);
/// Blocks that wait for the reader: enough to decode in parallel, little to hold in memory.
const CHANNEL_BLOCKS: usize = 4;

/// Where one partition is read from.
#[derive(Debug)]
pub(super) struct Bounds {
    pub(super) partition: u16,
    /// Offset of the first message to read.
    pub(super) from: i64,
    /// The offset after the last message when the source was opened.
    pub(super) end: i64,
    /// A block to hand out before anything is read.
    pub(super) first: Option<Filling>,
}

/// One partition that is being read.
#[derive(Debug)]
struct Lane {
    id: PartitionId,
    /// The end of a bounded read.
    until: Option<i64>,
    done: bool,
    filling: Option<Filling>,
}

/// The reader's side that runs on its own thread.
pub(super) struct Pump {
    consumer: BaseConsumer<Context>,
    cluster: Cluster,
    clock: Arc<dyn Clock>,
    lanes: BTreeMap<i32, Lane>,
    bounded: bool,
    /// When the oldest block that is being filled was begun.
    gathering_since: Option<Duration>,
    complained_at: Option<Duration>,
    /// When a broker was last asked whether it is there again.
    asked_at: Duration,
    health: Health,
}

/// The reader is gone.
struct Closed;

type Blocks = mpsc::Sender<Result<Fetch, ConnectError>>;

impl Pump {
    /// Over a consumer that has been assigned these partitions.
    pub(super) fn new(
        consumer: BaseConsumer<Context>,
        cluster: Cluster,
        clock: Arc<dyn Clock>,
        bounded: bool,
        source: u16,
        bounds: Vec<Bounds>,
    ) -> Pump {
        let lane = |bound: Bounds| {
            let id = PartitionId { source, partition: bound.partition };
            let until = bounded.then_some(bound.end);
            (i32::from(bound.partition), Lane { id, until, done: false, filling: bound.first })
        };
        let lanes: BTreeMap<_, _> = bounds.into_iter().map(lane).collect();
        let gathering_since = lanes.values().any(|lane| lane.filling.is_some()).then(|| clock.monotonic());
        Pump {
            consumer,
            cluster,
            clock,
            lanes,
            bounded,
            gathering_since,
            complained_at: None,
            asked_at: Duration::ZERO,
            health: Health::default(),
        }
    }

    /// Polls until the reader is gone, every bounded partition is read, or an error does not pass by itself.
    fn run(mut self, blocks: &Blocks) {
        while !blocks.is_closed() {
            match self.step(blocks) {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    // Nobody may be listening any more, and then nobody needs to know.
                    let _ = blocks.blocking_send(Err(error));
                    return;
                }
                Err(Closed) => return,
            }
            if self.bounded && self.lanes.values().all(|lane| lane.done) {
                return;
            }
        }
    }

    fn step(&mut self, blocks: &Blocks) -> Result<Result<(), ConnectError>, Closed> {
        let gathered = |since: Duration| self.clock.monotonic().saturating_sub(since);
        let wait = self.gathering_since.map_or(IDLE_POLL, |since| GATHER.saturating_sub(gathered(since)));
        // The message borrows the consumer, the rest of the pump is changed by it.
        let Pump { consumer, clock, lanes, gathering_since, .. } = self;
        match consumer.poll(wait) {
            Some(Ok(message)) => {
                let partition = message.partition();
                let ended = lanes.get_mut(&partition).is_some_and(|lane| lane.take(&message, &**clock));
                gathering_since.get_or_insert_with(|| clock.monotonic());
                drop(message);
                self.resumed();
                if ended {
                    self.caught_up(partition, blocks)?;
                } else if self.lanes.get(&partition).is_some_and(Lane::is_full) {
                    self.hand_over(partition, blocks)?;
                }
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                self.resumed();
                self.caught_up(partition, blocks)?;
            }
            Some(Err(error)) => return Ok(self.judge(&error)),
            None => {
                self.hand_over_all(blocks)?;
                self.ask_again();
            }
        }
        if wait.is_zero() {
            self.hand_over_all(blocks)?;
        }
        Ok(Ok(()))
    }

    fn hand_over_all(&mut self, blocks: &Blocks) -> Result<(), Closed> {
        self.gathering_since = None;
        let partitions: Vec<_> = self.lanes.keys().copied().collect();
        partitions.into_iter().try_for_each(|partition| self.hand_over(partition, blocks))
    }

    fn hand_over(&mut self, partition: i32, blocks: &Blocks) -> Result<(), Closed> {
        let Some(lane) = self.lanes.get_mut(&partition) else { return Ok(()) };
        let Some(filling) = lane.filling.take() else { return Ok(()) };
        blocks.blocking_send(Ok(Fetch::Block(filling.finish(lane.id)))).map_err(|_| Closed)
    }

    /// The broker said that the partition's log ends here. The end was recorded before the first fetch and logs
    /// only grow, so this is at or past it.
    fn caught_up(&mut self, partition: i32, blocks: &Blocks) -> Result<(), Closed> {
        self.hand_over(partition, blocks)?;
        let Some(lane) = self.lanes.get_mut(&partition).filter(|lane| !lane.done) else { return Ok(()) };
        lane.done = self.bounded;
        let caught_up = Fetch::CaughtUp(lane.id);
        if lane.done {
            let mut list = TopicPartitionList::new();
            list.add_partition(&self.cluster.topic, partition);
            if let Err(error) = self.consumer.pause(&list) {
                tracing::debug!(%error, partition, "a partition that was read to its end goes on being fetched");
            }
        }
        blocks.blocking_send(Ok(caught_up)).map_err(|_| Closed)
    }

    /// Whether reading goes on after this error.
    fn judge(&mut self, error: &KafkaError) -> Result<(), ConnectError> {
        let context = self.consumer.client().context();
        let failure = self.cluster.failure("read", error, context);
        match (error, error.rdkafka_error_code()) {
            (KafkaError::MessageConsumptionFatal(_), _) => Err(ConnectError { retry: true, ..failure }),
            (_, Some(code)) if passes_by_itself(code) => {
                let now = self.clock.monotonic();
                if self.complained_at.is_none_or(|at| now.saturating_sub(at) >= COMPLAIN_EVERY) {
                    tracing::warn!("{failure}; weir goes on trying");
                    self.complained_at = Some(now);
                }
                self.health.waits_for(failure.message);
                Ok(())
            }
            (_, Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)) => {
                Err(ConnectError::external(format!(
                    "{}: retention deleted messages before they were read, or the topic was made anew; start the \
                     job anew with --reset",
                    failure.message
                )))
            }
            // Opening again tells whether the topic is really gone, and says so.
            (
                _,
                Some(
                    RDKafkaErrorCode::UnknownTopicOrPartition
                    | RDKafkaErrorCode::UnknownTopic
                    | RDKafkaErrorCode::UnknownPartition,
                ),
            ) => Err(ConnectError { retry: true, ..failure }),
            _ => Err(failure),
        }
    }

    /// Asks a broker that was away whether it is there again.
    fn ask_again(&mut self) {
        let now = self.clock.monotonic();
        if self.complained_at.is_none() || now.saturating_sub(self.asked_at) < ASK_EVERY {
            return;
        }
        self.asked_at = now;
        if self.consumer.fetch_metadata(Some(&self.cluster.topic), ANSWER_TIMEOUT).is_ok() {
            self.resumed();
        }
    }

    fn resumed(&mut self) {
        if self.complained_at.take().is_some() {
            self.health.recovered();
            tracing::info!(
                "kafka at {}, topic `{}`: reading goes on",
                self.cluster.brokers,
                self.cluster.topic
            );
        }
    }
}

impl Lane {
    /// Takes a message; true when it lies behind the end of a bounded read, and is left out.
    fn take(&mut self, message: &BorrowedMessage<'_>, clock: &dyn Clock) -> bool {
        if self.done || self.until.is_some_and(|until| message.offset() >= until) {
            return !self.done;
        }
        self.filling.get_or_insert_default().push(message, clock.now().millis());
        false
    }

    fn is_full(&self) -> bool {
        self.filling.as_ref().is_some_and(Filling::is_full)
    }
}

/// The async side: blocks as the thread hands them over.
#[derive(Debug)]
pub(super) struct KafkaReader {
    blocks: mpsc::Receiver<Result<Fetch, ConnectError>>,
    /// Partitions of a bounded read that are not at their end.
    open: Option<usize>,
    health: Health,
}

impl KafkaReader {
    /// Starts the thread; it ends soon after the reader is dropped.
    pub(super) fn start(pump: Pump) -> Result<KafkaReader, ConnectError> {
        let (sender, blocks) = mpsc::channel(CHANNEL_BLOCKS);
        let open = pump.bounded.then_some(pump.lanes.len());
        let health = pump.health.clone();
        std::thread::Builder::new()
            .name("weir-kafka".to_owned())
            .spawn(move || pump.run(&sender))
            .map_err(|error| ConnectError::unavailable(format!("cannot start a thread: {error}")))?;
        Ok(KafkaReader { blocks, open, health })
    }
}

#[async_trait]
impl Reader for KafkaReader {
    async fn next(&mut self) -> Result<Fetch, ConnectError> {
        if self.open == Some(0) {
            std::future::pending::<()>().await;
        }
        let ended = || Err(ConnectError::internal("the thread that reads kafka has ended"));
        let fetch = self.blocks.recv().await.unwrap_or_else(ended)?;
        if let (Fetch::CaughtUp(_), Some(open)) = (&fetch, &mut self.open) {
            *open -= 1;
        }
        Ok(fetch)
    }

    fn health(&self) -> Health {
        self.health.clone()
    }
}
