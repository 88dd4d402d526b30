//! A topic as a sink: one message per result row.
//!
//! At-least-once: rows are sent as they come, and a checkpoint waits until the brokers have acknowledged all of
//! them. After a crash the rows since the last safe checkpoint are sent again.
//!
//! What librdkafka waits for (retries, acknowledgements, its flush) it waits for by the machine's clock.

use super::client::{Cluster, Context};
use crate::blocking::blocking;
use arrow_array::Array;
use async_trait::async_trait;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, Producer, ThreadedProducer};
use std::sync::Arc;
use std::time::Duration;
use weir_connect::{ConnectError, Delivery, Encoder, Sink, SinkCounts, SinkRows, Token};
use weir_event::Clock;
use weir_format::json::push_cell;

/// Settings that nobody may change: a message counts when every replica in step has it, and librdkafka's own
/// retries neither repeat nor reorder.
pub(super) const OURS: &[(&str, &str)] = &[("acks", "all"), ("enable.idempotence", "true")];

/// Better for weir than librdkafka's own defaults.
pub(super) const DEFAULTS: &[(&str, &str)] = &[
    ("client.id", "weir"),
    ("reconnect.backoff.max.ms", "1000"),
    // A checkpoint waits for undelivered messages; after this long it is better to say so and try anew than
    // to hold up the job for librdkafka's five minutes.
    ("message.timeout.ms", "60000"),
];

/// How long to wait for room in librdkafka's queue before looking again.
const FULL_QUEUE_WAIT: Duration = Duration::from_millis(5);
/// How often an undelivered message is looked for while a checkpoint waits.
const FLUSH_SLICE: Duration = Duration::from_millis(500);

type Client = ThreadedProducer<Context>;

/// Writes to one topic.
pub struct KafkaSink {
    cluster: Cluster,
    encoder: Arc<dyn Encoder>,
    /// The column whose text is the message's key.
    key: Option<String>,
    clock: Arc<dyn Clock>,
    client: Option<Arc<Client>>,
    bytes: u64,
}

impl std::fmt::Debug for KafkaSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSink")
            .field("cluster", &self.cluster)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}

impl KafkaSink {
    pub(super) fn new(
        cluster: Cluster,
        encoder: Arc<dyn Encoder>,
        key: Option<String>,
        clock: Arc<dyn Clock>,
    ) -> KafkaSink {
        KafkaSink { cluster, encoder, key, clock, client: None, bytes: 0 }
    }

    fn client(&self) -> Result<&Arc<Client>, ConnectError> {
        self.client.as_ref().ok_or_else(|| ConnectError::internal("a kafka sink was used before its start"))
    }

    async fn send(&self, client: &Client, key: Option<&[u8]>, payload: &[u8]) -> Result<(), ConnectError> {
        loop {
            check(&self.cluster, client)?;
            let record = BaseRecord::<[u8], [u8]>::to(&self.cluster.topic).payload(payload);
            let record = match key {
                Some(key) => record.key(key),
                None => record,
            };
            match client.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                    self.clock.sleep(FULL_QUEUE_WAIT).await;
                }
                Err((error, _)) => {
                    return Err(self.cluster.failure("send", &error, client.client().context()));
                }
            }
        }
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

/// A message's key: the column's text, without quotes; a null has none, and so spreads over all partitions.
fn key_text(column: &dyn Array, row: usize) -> Option<String> {
    let mut json = Vec::new();
    push_cell(column, row, &mut json);
    let json = String::from_utf8(json).ok().filter(|json| json != "null")?;
    Some(serde_json::from_str::<String>(&json).unwrap_or(json))
}

#[async_trait]
impl Sink for KafkaSink {
    fn delivery(&self) -> Delivery {
        Delivery::AtLeastOnce
    }

    fn place(&self) -> String {
        let mut brokers: Vec<&str> = self.cluster.brokers.split(',').map(str::trim).collect();
        brokers.sort_unstable();
        format!("{} at {}", self.cluster.topic, brokers.join(","))
    }

    fn counts(&self) -> SinkCounts {
        SinkCounts { bytes: self.bytes, ..SinkCounts::default() }
    }

    async fn start(&mut self, _: Option<&Token>) -> Result<(), ConnectError> {
        let cluster = self.cluster.clone();
        let client = blocking(move || {
            let client: Client = cluster.client()?;
            cluster.partitions(client.client()).map(|_| client)
        });
        self.client = Some(Arc::new(client.await?));
        Ok(())
    }

    async fn write(&mut self, rows: &SinkRows) -> Result<(), ConnectError> {
        let client = self.client()?;
        let key = match &self.key {
            None => None,
            Some(name) => Some(rows.columns.column_by_name(name).ok_or_else(|| {
                ConnectError::user(format!(
                    "the kafka sink's `key` names a column `{name}` that the query does not have"
                ))
            })?),
        };
        self.encoder.ready(rows).await?;
        let (records, mut payload) = (self.encoder.records(rows)?, Vec::new());
        let mut sent = 0;
        for row in 0..rows.columns.num_rows() {
            payload.clear();
            records.write(row, &mut payload);
            let key = key.and_then(|column| key_text(column, row));
            self.send(client, key.as_deref().map(str::as_bytes), &payload).await?;
            sent += payload.len() as u64;
        }
        self.bytes += sent;
        Ok(())
    }

    /// Waits until the brokers have every message. How long is bounded by `message.timeout.ms`.
    async fn prepare(&mut self, _: u64) -> Result<Token, ConnectError> {
        let (cluster, client) = (self.cluster.clone(), self.client()?.clone());
        blocking(move || {
            while client.in_flight_count() > 0 {
                check(&cluster, &client)?;
                match client.flush(FLUSH_SLICE) {
                    Ok(()) | Err(KafkaError::Flush(RDKafkaErrorCode::OperationTimedOut)) => {}
                    Err(error) => return Err(cluster.failure("flush", &error, client.client().context())),
                }
            }
            check(&cluster, &client)
        })
        .await?;
        Ok(Token::default())
    }

    async fn commit(&mut self, _: &Token) -> Result<(), ConnectError> {
        Ok(())
    }
}
