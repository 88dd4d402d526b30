//! How messages are sent: what the promise rests on, what a full queue and an undelivered message mean.
//!
//! What librdkafka waits for (retries, acknowledgements, its flush) it waits for by the machine's clock.

use super::client::{Cluster, Context};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use std::time::Duration;
use weir_connect::ConnectError;

/// Settings that nobody may change: a message counts when every replica in step has it, and librdkafka's own
/// retries neither repeat nor reorder.
pub(super) const OURS: &[(&str, &str)] =
    &[("acks", "all"), ("enable.idempotence", "true"), ("transactional.id", "")];

/// Better for weir than librdkafka's own defaults.
pub(super) const DEFAULTS: &[(&str, &str)] = &[
    ("client.id", "weir"),
    ("reconnect.backoff.max.ms", "1000"),
    // A checkpoint waits for undelivered messages; after this long it is better to say so and try anew than
    // to hold up the job for librdkafka's five minutes.
    ("message.timeout.ms", "60000"),
];

/// How often an undelivered message is looked for while everything is waited for.
const FLUSH_SLICE: Duration = Duration::from_millis(500);
/// How long the client's queue is given to become shorter before a message is offered again.
const FULL_QUEUE_WAIT: Duration = Duration::from_millis(20);

pub(super) type Client = ThreadedProducer<Context>;

/// Puts a message into the client's queue; false where that is full.
pub(super) fn offer(
    cluster: &Cluster,
    client: &Client,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> Result<bool, ConnectError> {
    check(cluster, client)?;
    let mut record = BaseRecord::<[u8], [u8]>::to(cluster.topic());
    (record.key, record.payload) = (key, value);
    match client.send(record) {
        Ok(()) => Ok(true),
        Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => Ok(false),
        Err((error, _)) => Err(cluster.failure("send", &error, client.client().context())),
    }
}

/// Puts a message into the client's queue as soon as there is room. Blocks.
pub(super) fn deliver(
    cluster: &Cluster,
    client: &Client,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
) -> Result<(), ConnectError> {
    while !offer(cluster, client, key, value)? {
        wait(cluster, client, FULL_QUEUE_WAIT)?;
    }
    Ok(())
}

/// Waits until the brokers have every message. How long is bounded by `message.timeout.ms`. Blocks.
pub(super) fn deliver_all(cluster: &Cluster, client: &Client) -> Result<(), ConnectError> {
    while client.in_flight_count() > 0 {
        check(cluster, client)?;
        wait(cluster, client, FLUSH_SLICE)?;
    }
    check(cluster, client)
}

fn wait(cluster: &Cluster, client: &Client, span: Duration) -> Result<(), ConnectError> {
    match client.flush(span) {
        Ok(()) | Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut)) => Ok(()),
        Err(error) => Err(cluster.failure("flush", &error, client.client().context())),
    }
}

/// Whether everything has been delivered so far.
fn check(cluster: &Cluster, client: &Client) -> Result<(), ConnectError> {
    let context = client.client().context();
    match context.undelivered() {
        Some(error) => Err(cluster.failure("deliver a message", &error, context)),
        None => Ok(()),
    }
}
