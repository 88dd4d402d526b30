//! Topics as a source: which offsets to begin at, checked against what the topics hold.
//!
//! Reading itself is [`super::pump`]'s. A position that the topic does not hold (retention was faster than the
//! job, or the topic was made anew) stops the job with the reason: starting elsewhere would lose or repeat rows
//! in silence.

use super::client::{Cluster, Context, LIST_TOPICS, QUESTION_TIMEOUT};
use super::identity::LastRead;
use super::lane::Bounds;
use super::offsets::Offsets;
use super::pump::Pump;
use super::reader::KafkaReader;
use super::topics::{TopicPartition, Topics, named};
use crate::blocking::blocking;
use crate::log_start::LogStart;
use async_trait::async_trait;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use weir_connect::{ConnectError, Left, OpenPartition, Probe, Reader, Source};
use weir_event::{Clock, EventTime, Position};

/// Settings that nobody may change: positions are weir's, a lost one is an error, and the end of a log is what
/// the broker says it is.
pub(super) const OURS: &[(&str, &str)] = &[
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "error"),
    ("enable.partition.eof", "true"),
    // By them brokers are noticed that do not answer, and ends of logs that no message has.
    ("statistics.interval.ms", "1000"),
    // Says when a topic was exchanged for another one, and little else.
    ("debug", "topic"),
];

/// Better for weir than librdkafka's own defaults.
pub(super) const DEFAULTS: &[(&str, &str)] = &[
    ("group.id", "weir"),
    ("client.id", "weir"),
    ("isolation.level", "read_committed"),
    // A broker that was restarted should be found again soon; librdkafka waits up to 10 s.
    ("reconnect.backoff.max.ms", "1000"),
    // The end of a partition is only said after a fetch that found nothing: half a second by default.
    ("fetch.wait.max.ms", "100"),
    // After its queue was full librdkafka leaves a partition alone for a second, which is longer than it takes
    // to work the queue off.
    ("fetch.queue.backoff.ms", "20"),
];

/// So many complaints are listened to at a time.
const MOST_COMPLAINTS: usize = 32;
/// How long what a consumer complains of is waited for.
const COMPLAINTS_WAIT: Duration = Duration::from_millis(20);

/// Reads one topic, or all that a pattern names.
pub struct KafkaSource {
    cluster: Cluster,
    start: LogStart,
    clock: Arc<dyn Clock>,
    /// Asks how long the logs are, beside the readers; made when it is first needed.
    asking: Arc<Mutex<Option<BaseConsumer<Context>>>>,
    /// Shows to others what was read, where that is wanted.
    offsets: Option<Offsets>,
}

impl KafkaSource {
    pub(super) fn new(
        cluster: Cluster,
        start: LogStart,
        group: Option<String>,
        clock: Arc<dyn Clock>,
    ) -> KafkaSource {
        let offsets = group.map(|group| Offsets::new(cluster.clone(), group));
        KafkaSource { cluster, start, clock, asking: Arc::default(), offsets }
    }
}

impl fmt::Debug for KafkaSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSource")
            .field("cluster", &self.cluster)
            .field("start", &self.start)
            .finish_non_exhaustive()
    }
}

/// How many messages are behind these positions by now. Blocks.
fn messages_left(
    cluster: &Cluster,
    asking: &Mutex<Option<BaseConsumer<Context>>>,
    positions: &[OpenPartition],
) -> Result<u64, ConnectError> {
    let mut asking = asking.lock().unwrap_or_else(PoisonError::into_inner);
    let consumer = match &mut *asking {
        Some(consumer) => consumer,
        // What stands behind an open transaction was not read either.
        none => none.insert(cluster.quiet_client(&[("isolation.level", "read_uncommitted")])?),
    };
    listen(consumer);
    let mut left = 0;
    for open in positions {
        let of = cluster.topics.of(open)?;
        let ends = consumer.fetch_watermarks(&of.topic, of.number, QUESTION_TIMEOUT);
        let (low, high) = match (ends, &cluster.topics) {
            (Ok(ends), _) => ends,
            // Its topic is gone.
            (Err(error), Topics::Matching { .. }) if is_unknown(&error) => continue,
            (Err(error), _) => {
                let context = consumer.client().context();
                return Err(cluster.failure("find the ends of the log", &error, context));
            }
        };
        let from = open.from.as_ref().map_or(0, |position| i64::try_from(position.next).unwrap_or(i64::MAX));
        left += u64::try_from(high.saturating_sub(from.max(low))).unwrap_or_default();
    }
    Ok(left)
}

fn is_unknown(error: &KafkaError) -> bool {
    use RDKafkaErrorCode as Code;
    let unknown = [Code::UnknownTopic, Code::UnknownPartition, Code::UnknownTopicOrPartition];
    error.rdkafka_error_code().is_some_and(|code| unknown.contains(&code))
}

#[async_trait]
impl Source for KafkaSource {
    async fn partitions(&self, known: &[OpenPartition]) -> Result<Vec<OpenPartition>, ConnectError> {
        let (cluster, start, known) = (self.cluster.clone(), self.start, known.to_vec());
        blocking(move || {
            let opening = Opening::new(cluster)?;
            match opening.cluster.topics {
                Topics::One(_) => opening.numbered(&known, start),
                Topics::Matching { .. } => opening.named(known, start),
            }
        })
        .await
    }

    async fn open(
        &self,
        source: u16,
        partitions: &[OpenPartition],
        bounded: bool,
    ) -> Result<Box<dyn Reader>, ConnectError> {
        let (cluster, clock) = (self.cluster.clone(), self.clock.clone());
        let partitions = partitions.to_vec();
        blocking(move || {
            let opening = Opening::new(cluster)?;
            let bounds =
                partitions.iter().map(|wanted| opening.bounds(wanted)).collect::<Result<Vec<_>, _>>()?;
            let Opening { consumer, cluster, .. } = opening;
            let pump = Pump::new(consumer, cluster, clock, bounded, source, &bounds)?;
            KafkaReader::start(pump).map(|reader| Box::new(reader) as Box<dyn Reader>)
        })
        .await
    }

    fn committed(&self, job: &str, partition: u16, position: &Position) {
        let open = OpenPartition { partition, from: Some(position.clone()) };
        if let (Some(offsets), Ok(of)) = (&self.offsets, self.cluster.topics.of(&open)) {
            offsets.show(job, of, position.next);
        }
    }

    /// A number may be another partition's for another job, where a pattern names topics.
    fn is_same_log(&self, one: &Position, other: &Position) -> bool {
        named(one) == named(other)
    }

    fn place(&self, before: &Position) -> Option<String> {
        named(before).map(|of| of.to_string())
    }

    async fn probe(&self) -> Result<Probe, ConnectError> {
        let cluster = self.cluster.clone();
        let found =
            move || Opening::new(cluster).map(|opening| opening.cluster.topics.found(&opening.listed));
        Ok(Probe::Ready(blocking(found).await?))
    }

    async fn left(&self, positions: &[OpenPartition], _: bool) -> Result<Left, ConnectError> {
        let (cluster, asking, positions) = (self.cluster.clone(), self.asking.clone(), positions.to_vec());
        blocking(move || messages_left(&cluster, &asking, &positions).map(Left::records)).await
    }
}

/// What is needed while a reader is opened.
struct Opening {
    consumer: BaseConsumer<Context>,
    cluster: Cluster,
    /// The partitions that there are.
    listed: BTreeSet<TopicPartition>,
}

/// Lets a consumer say what it complains of, which waits in its queue.
fn listen(consumer: &BaseConsumer<Context>) {
    // Nothing is assigned, so no message comes; errors come one by one, and more of them as time passes.
    std::iter::from_fn(|| consumer.poll(COMPLAINTS_WAIT)).take(MOST_COMPLAINTS).for_each(drop);
}

impl Opening {
    /// Asks brokers what there is. Blocks.
    fn new(cluster: Cluster) -> Result<Opening, ConnectError> {
        let consumer = cluster.client()?;
        let mut opening = Opening { consumer, cluster, listed: BTreeSet::new() };
        // A question for one topic by name makes some brokers create it.
        let asked = opening.consumer.fetch_metadata(None, QUESTION_TIMEOUT);
        let all = asked.map_err(|error| opening.failure(LIST_TOPICS, &error))?;
        opening.listed = opening.cluster.among(&all)?;
        Ok(opening)
    }

    /// The partitions of one topic, which have its own numbers.
    fn numbered(&self, known: &[OpenPartition], start: LogStart) -> Result<Vec<OpenPartition>, ConnectError> {
        known.iter().try_for_each(|open| self.cluster.topics.of(open).map(drop))?;
        let count = u16::try_from(self.listed.len()).map_err(|_| self.cluster.too_many())?;
        let mut all = OpenPartition::numbered(count, known);
        // What comes later than the job is read from where it begins.
        if known.is_empty() && start != LogStart::Oldest {
            for open in &mut all {
                open.from = Some(self.start(&self.cluster.topics.of(open)?, start)?);
            }
        }
        Ok(all)
    }

    /// Those of topics that a pattern names: what is new gets the next numbers, which are on record with where it begins.
    fn named(&self, known: Vec<OpenPartition>, start: LogStart) -> Result<Vec<OpenPartition>, ConnectError> {
        let taken: Result<BTreeSet<_>, _> = known.iter().map(|open| self.cluster.topics.of(open)).collect();
        let start = if known.is_empty() { start } else { LogStart::Oldest };
        let mut all = known;
        for of in self.listed.difference(&taken?) {
            let from = Some(self.start(of, start)?);
            all.push(OpenPartition {
                partition: self.cluster.next_number(all.iter().map(|open| open.partition))?,
                from,
            });
        }
        Ok(all)
    }

    /// Where a new job begins in a partition.
    fn start(&self, of: &TopicPartition, start: LogStart) -> Result<Position, ConnectError> {
        let (low, high) = self.ends(of)?;
        let next = match start {
            LogStart::Oldest => low,
            LogStart::Latest => high,
            LogStart::At(time) => self.offset_at(of, time)?.unwrap_or(high),
        };
        // librdkafka's offsets of messages are never negative.
        Ok(Position { next: next as u64, place: self.cluster.topics.place(of, None) })
    }

    /// Where a partition's log begins and ends. Under read_committed the end is the last stable offset, behind which
    /// transactions are open.
    fn ends(&self, of: &TopicPartition) -> Result<(i64, i64), ConnectError> {
        self.consumer
            .fetch_watermarks(&of.topic, of.number, QUESTION_TIMEOUT)
            .map_err(|error| self.failure("find the ends of the log", &error))
    }

    /// Where one partition is read from and where it ends now.
    fn bounds(&self, wanted: &OpenPartition) -> Result<Bounds, ConnectError> {
        let of = self.cluster.topics.of(wanted)?;
        let (topic, number, partition) = (of.topic.clone(), of.number, wanted.partition);
        let from = wanted.from.as_ref().map(|position| i64::try_from(position.next).unwrap_or(i64::MAX));
        if !self.listed.contains(&of) {
            let count = self.listed.iter().filter(|listed| listed.topic == topic).count();
            if count > 0 {
                return Err(ConnectError::external(format!(
                    "kafka topic `{topic}` has {count} partitions, but the job has read a partition {number}: the \
                     topic was made anew; start the job anew with --reset"
                )));
            }
            let from = from.unwrap_or_default();
            return Ok(Bounds { partition, of, is_there: false, from, end: from, last: None });
        }
        let (low, high) = self.ends(&of)?;
        let found = |from, last| Bounds { partition, of, is_there: true, from, end: high, last };
        let Some((from, position)) = from.zip(wanted.from.as_ref()) else { return Ok(found(low, None)) };
        let outside = |what: &str| {
            ConnectError::external(format!(
                "kafka topic `{topic}`, partition {number}: the job goes on at offset {from}, but the log \
                 {what}; start the job anew with --reset"
            ))
        };
        if from < low {
            return Err(outside(&format!(
                "begins at {low}: retention deleted messages before they were read"
            )));
        }
        if from > high {
            return Err(outside(&format!("ends at {high}: the topic was made anew or has lost messages")));
        }
        // What retention has deleted cannot be compared any more.
        Ok(found(from, LastRead::before(position).filter(|last| last.offset >= low)))
    }

    /// The first offset whose timestamp is not before `time`; `None` when there is none yet.
    fn offset_at(&self, of: &TopicPartition, time: EventTime) -> Result<Option<i64>, ConnectError> {
        let mut question = TopicPartitionList::new();
        let at = Offset::Offset(time.millis().max(0));
        let answer = question
            .add_partition_offset(&of.topic, of.number, at)
            .and_then(|()| self.consumer.offsets_for_times(question, QUESTION_TIMEOUT))
            .map_err(|error| self.failure("find the offset of a time", &error))?;
        let elements = answer.elements();
        let Some(element) = elements.first() else { return Ok(None) };
        // An answer as a whole may be sound where that of its partition is not.
        element.error().map_err(|error| self.failure("find the offset of a time", &error))?;
        Ok(match element.offset() {
            Offset::Offset(offset) => Some(offset),
            _ => None,
        })
    }

    fn failure(&self, action: &str, error: &KafkaError) -> ConnectError {
        listen(&self.consumer);
        self.cluster.failure(action, error, self.consumer.client().context())
    }
}
