//! Partitions that come while topics are read: one more of a topic, or those of a topic that a pattern names.
//!
//! Knows how the brokers are asked what there is, now and then. Must not know what is read of it.

use super::client::{Cluster, Context};
use super::lane::{Bounds, TopicLane};
use super::queue::MessageQueue;
use super::topics::Topics;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use std::collections::BTreeMap;
use std::time::Duration;
use weir_connect::ConnectError;

/// Whoever adds partitions sees them read well within a minute.
pub(super) const ASK_EVERY: Duration = Duration::from_secs(20);
/// Reading waits for the answer: a broker that is up gives it within milliseconds, and others are asked again.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// So many partitions may be without an answer at one look: one that stays so must not hide those behind it, and reading
/// waits for each.
const MOST_UNANSWERED: u32 = 8;

/// The partitions that are there beside these lanes, each from where its log begins; none where nobody answers. An error where
/// a topic that was gone is there again: opening compares what it holds with what was read.
pub(super) fn new_partitions(
    cluster: &Cluster,
    consumer: &BaseConsumer<Context>,
    lanes: &[TopicLane],
) -> Result<Vec<Bounds>, ConnectError> {
    let one = match &cluster.topics {
        Topics::One(topic) => Some(&**topic),
        Topics::Matching { .. } => None,
    };
    let Ok(answer) = consumer.fetch_metadata(one, ANSWER_TIMEOUT) else { return Ok(Vec::new()) };
    let known: BTreeMap<_, _> = lanes.iter().map(|lane| (&lane.of, lane.is_there)).collect();
    let (mut new, mut unanswered) = (Vec::<Bounds>::new(), 0);
    // One that is just being made has no leader yet; it is found a later time.
    for of in cluster.topics.led(&answer) {
        match known.get(&of) {
            Some(true) => continue,
            Some(false) => {
                return Err(ConnectError::unavailable(format!(
                    "{cluster}: topic `{}` is there again",
                    of.topic
                )));
            }
            None => {}
        }
        let ends = consumer.fetch_watermarks(&of.topic, of.number, ANSWER_TIMEOUT);
        let Ok((low, high)) = ends else {
            unanswered += 1;
            if unanswered == MOST_UNANSWERED {
                break;
            }
            continue;
        };
        let partition = match cluster.topics {
            Topics::One(_) => u16::try_from(of.number).map_err(|_| cluster.too_many())?,
            Topics::Matching { .. } => {
                let lanes = lanes.iter().map(|lane| lane.id.partition);
                cluster.next_number(lanes.chain(new.iter().map(|bounds| bounds.partition)))?
            }
        };
        new.push(Bounds { partition, of, is_there: true, from: low, end: high, last: None });
    }
    Ok(new)
}

/// Reads these partitions from now on, into a queue.
pub(super) fn assign<'b>(
    cluster: &Cluster,
    consumer: &BaseConsumer<Context>,
    queue: &MessageQueue,
    bounds: impl IntoIterator<Item = &'b Bounds>,
) -> Result<(), ConnectError> {
    let mut list = TopicPartitionList::new();
    let filled = bounds.into_iter().filter(|bounds| bounds.is_there).try_for_each(|bounds| {
        queue.route(&bounds.of);
        list.add_partition_offset(&bounds.of.topic, bounds.of.number, bounds.fetched_from())
    });
    let failed = |error: KafkaError| cluster.failure("start reading", &error, consumer.client().context());
    let assign = || if list.count() == 0 { Ok(()) } else { consumer.incremental_assign(&list) };
    filled.and_then(|()| assign()).map_err(failed)
}
