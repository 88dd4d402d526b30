//! A topic as a source: which offsets to begin at, checked against what the topic holds.
//!
//! Reading itself is [`super::pump`]'s. A position that the topic does not hold (retention was faster than the
//! job, or the topic was made anew) stops the job with the reason: starting elsewhere would lose or repeat rows
//! in silence.

use super::client::{Cluster, Context, QUESTION_TIMEOUT};
use super::identity::LastRead;
use super::lane::Bounds;
use super::offsets::Offsets;
use super::pump::Pump;
use super::reader::KafkaReader;
use crate::blocking::blocking;
use crate::log_start::LogStart;
use async_trait::async_trait;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Offset, TopicPartitionList};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use weir_connect::{ConnectError, Left, OpenPartition, Reader, Source};
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

/// Reads one topic.
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
        let (low, high) =
            consumer.fetch_watermarks(&cluster.topic, i32::from(open.partition), QUESTION_TIMEOUT).map_err(
                |error| cluster.failure("find the ends of the log", &error, consumer.client().context()),
            )?;
        let from = open.from.as_ref().map_or(0, |position| i64::try_from(position.next).unwrap_or(i64::MAX));
        left += u64::try_from(high.saturating_sub(from.max(low))).unwrap_or_default();
    }
    Ok(left)
}

#[async_trait]
impl Source for KafkaSource {
    async fn partitions(&self, known: &[OpenPartition]) -> Result<Vec<OpenPartition>, ConnectError> {
        let (cluster, start, known) = (self.cluster.clone(), self.start, known.to_vec());
        blocking(move || {
            let opening = Opening { consumer: cluster.client()?, cluster };
            let count = opening.count()?;
            let mut all = OpenPartition::numbered(count, &known);
            // What comes later than the job is read from where it begins.
            if known.is_empty() && start != LogStart::Oldest {
                for open in &mut all {
                    open.from = Some(opening.start(open.partition, start)?);
                }
            }
            Ok(all)
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
            let opening = Opening { consumer: cluster.client()?, cluster };
            let count = opening.count()?;
            let bounds = partitions
                .iter()
                .map(|wanted| opening.bounds(wanted, count))
                .collect::<Result<Vec<_>, _>>()?;
            opening.assign(&bounds)?;
            let Opening { consumer, cluster, .. } = opening;
            let pump = Pump::new(consumer, cluster, clock, bounded, source, &bounds);
            KafkaReader::start(pump).map(|reader| Box::new(reader) as Box<dyn Reader>)
        })
        .await
    }

    fn committed(&self, job: &str, partition: u16, position: &Position) {
        if let Some(offsets) = &self.offsets {
            offsets.show(job, partition, position.next);
        }
    }

    fn is_same_log(&self, _: &Position, _: &Position) -> bool {
        true
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
}

/// Lets a consumer say what it complains of, which waits in its queue.
fn listen(consumer: &BaseConsumer<Context>) {
    // Nothing is assigned, so no message comes; errors come one by one, and more of them as time passes.
    std::iter::from_fn(|| consumer.poll(COMPLAINTS_WAIT)).take(MOST_COMPLAINTS).for_each(drop);
}

impl Opening {
    /// The number of the topic's partitions.
    fn count(&self) -> Result<u16, ConnectError> {
        let asked = self.consumer.fetch_metadata(None, QUESTION_TIMEOUT);
        self.cluster.count(asked.map_err(|error| self.failure("list the topics", &error))?)
    }

    /// Where a new job begins in a partition.
    fn start(&self, partition: u16, start: LogStart) -> Result<Position, ConnectError> {
        let (low, high) = self.ends(partition)?;
        let next = match start {
            LogStart::Oldest => low,
            LogStart::Latest => high,
            LogStart::At(time) => self.offset_at(partition, time)?.unwrap_or(high),
        };
        // librdkafka's offsets of messages are never negative.
        Ok(Position { next: next as u64, place: String::new() })
    }

    /// Where a partition's log begins and ends. Under read_committed the end is the last stable offset, behind which
    /// transactions are open.
    fn ends(&self, partition: u16) -> Result<(i64, i64), ConnectError> {
        self.consumer
            .fetch_watermarks(&self.cluster.topic, i32::from(partition), QUESTION_TIMEOUT)
            .map_err(|error| self.failure("find the ends of the log", &error))
    }

    /// Where one partition is read from and where it ends now.
    fn bounds(&self, wanted: &OpenPartition, count: u16) -> Result<Bounds, ConnectError> {
        let (topic, partition) = (&self.cluster.topic, wanted.partition);
        if partition >= count {
            return Err(ConnectError::external(format!(
                "kafka topic `{topic}` has {count} partitions, but the job has read a partition {partition}: the \
                 topic was made anew; start the job anew with --reset"
            )));
        }
        let (low, high) = self.ends(partition)?;
        let Some(position) = &wanted.from else {
            return Ok(Bounds { partition, from: low, end: high, last: None });
        };
        let from = i64::try_from(position.next).unwrap_or(i64::MAX);
        let outside = |what: &str| {
            ConnectError::external(format!(
                "kafka topic `{topic}`, partition {partition}: the job goes on at offset {from}, but the log \
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
        let last = LastRead::before(position).filter(|last| last.offset >= low);
        Ok(Bounds { partition, from, end: high, last })
    }

    /// The first offset whose timestamp is not before `time`; `None` when there is none yet.
    fn offset_at(&self, partition: u16, time: EventTime) -> Result<Option<i64>, ConnectError> {
        let mut question = TopicPartitionList::new();
        let ask = question.add_partition_offset(
            &self.cluster.topic,
            i32::from(partition),
            Offset::Offset(time.millis().max(0)),
        );
        let answer = ask
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

    fn assign(&self, bounds: &[Bounds]) -> Result<(), ConnectError> {
        let mut list = TopicPartitionList::new();
        let filled = bounds.iter().try_for_each(|bound| {
            let offset = Offset::Offset(bound.fetched_from());
            list.add_partition_offset(&self.cluster.topic, i32::from(bound.partition), offset)
        });
        let assigned = filled.and_then(|()| self.consumer.assign(&list));
        assigned.map_err(|error| self.failure("start reading", &error))
    }

    fn failure(&self, action: &str, error: &rdkafka::error::KafkaError) -> ConnectError {
        listen(&self.consumer);
        self.cluster.failure(action, error, self.consumer.client().context())
    }
}
