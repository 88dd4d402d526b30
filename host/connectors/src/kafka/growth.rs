//! Partitions that a topic gets while it is read.
//!
//! Knows how the brokers are asked how many there are, now and then. Must not know what is read of them.

use super::client::{Cluster, Context};
use super::lane::Bounds;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use std::time::Duration;
use weir_connect::ConnectError;

/// Whoever adds partitions sees them read well within a minute.
pub(super) const ASK_EVERY: Duration = Duration::from_secs(20);
/// Reading waits for the answer: a broker that is up gives it within milliseconds, and others are asked again.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// The partitions that a topic has beside the first `known`, each from where its log begins; none where nobody answers.
pub(super) fn new_partitions(
    cluster: &Cluster,
    consumer: &BaseConsumer<Context>,
    known: usize,
) -> Result<Vec<Bounds>, ConnectError> {
    let Ok(answer) = consumer.fetch_metadata(Some(&cluster.topic), ANSWER_TIMEOUT) else {
        return Ok(Vec::new());
    };
    let topic = answer.topics().iter().find(|topic| topic.name() == cluster.topic);
    let count = topic.filter(|topic| topic.error().is_none()).map_or(known, |topic| topic.partitions().len());
    let mut new = Vec::new();
    for partition in known..count {
        let partition = u16::try_from(partition).map_err(|_| cluster.too_many())?;
        let ends = consumer.fetch_watermarks(&cluster.topic, i32::from(partition), ANSWER_TIMEOUT);
        // One that is just being made has no leader yet; it is found the next time.
        let Ok((low, high)) = ends else { break };
        new.push(Bounds { partition, from: low, end: high, last: None });
    }
    Ok(new)
}

/// Reads these partitions too.
pub(super) fn assign(
    cluster: &Cluster,
    consumer: &BaseConsumer<Context>,
    new: &[Bounds],
) -> Result<(), ConnectError> {
    let mut list = TopicPartitionList::new();
    let filled = new.iter().try_for_each(|bounds| {
        let offset = Offset::Offset(bounds.fetched_from());
        list.add_partition_offset(&cluster.topic, i32::from(bounds.partition), offset)
    });
    let failed =
        |error: KafkaError| cluster.failure("read new partitions", &error, consumer.client().context());
    filled.and_then(|()| consumer.incremental_assign(&list)).map_err(failed)
}
