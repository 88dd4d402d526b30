//! What the tests of Kafka's source and sink do with topics.

#![allow(
    clippy::disallowed_methods,
    reason = "the broker is another process: what it does is waited for, with a bound"
)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use arrow_schema::{DataType, Field, Schema};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use weir_connect::{
    ConnectError, Fetch, FileLayout, NoMark, OpenPartition, Reader, RowIdentity, RowShape, Sink, Source,
    compliance,
};
use weir_connectors::context::{SinkContext, SourceContext};
use weir_connectors::http::IngestLogs;
use weir_connectors::registry;
use weir_engine::SystemClock;
use weir_event::{Clock, Position};

pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn source_of(settings: &Value) -> Result<Arc<dyn Source>, String> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let context = SourceContext {
        layout: FileLayout::Lines,
        project: PathBuf::new(),
        data_dir: PathBuf::new(),
        stream: "test".to_owned(),
        logs: Arc::new(IngestLogs::new(Path::new(""), clock.clone(), Arc::new(NoMark))),
        clock,
    };
    registry::source("kafka", settings, &context)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

pub(crate) fn source(brokers: &str, topic: &str) -> Arc<dyn Source> {
    source_of(&json!({"brokers": brokers, "topic": topic})).unwrap()
}

pub(crate) fn sink(settings: &Value) -> Box<dyn Sink> {
    sink_in(settings, Path::new("")).unwrap()
}

/// A sink of a weir that keeps what is its own in this folder, for rows of `user`, `n` and `total`.
pub(crate) fn sink_in(settings: &Value, data_dir: &Path) -> Result<Box<dyn Sink>, String> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let columns = [("user", DataType::Utf8), ("n", DataType::Int64), ("total", DataType::Int64)];
    let columns = columns.map(|(name, data_type)| Field::new(name, data_type, true));
    let shape = RowShape {
        job: "test".into(),
        columns: Arc::new(Schema::new(columns.to_vec())),
        keys: Arc::new(Schema::new(columns[..1].to_vec())),
        key_columns: vec![Some(0)],
        identity: RowIdentity::Key,
        deletes: true,
    };
    let context = SinkContext {
        project: PathBuf::new(),
        data_dir: data_dir.to_owned(),
        job: "test".to_owned(),
        sink: "kafka".to_owned(),
        shape: Some(Arc::new(shape)),
        refused_bytes: 1 << 20,
        began: clock.now(),
        clock,
        mark: Arc::new(NoMark),
    };
    let made = registry::sink("kafka", settings, &context);
    made.map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
}

pub(crate) fn producer(brokers: &str, options: &[(&str, &str)]) -> BaseProducer {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    for (name, value) in options {
        config.set(*name, *value);
    }
    config.create().unwrap()
}

/// Sends messages `range` to a partition: even ones carry `{"n": NUMBER}`; what is sent as `None` is a tombstone.
pub(crate) fn send(
    producer: &BaseProducer,
    topic: &str,
    partition: i32,
    payloads: impl IntoIterator<Item = Option<String>>,
) {
    for payload in payloads {
        let record = BaseRecord::<str, str>::to(topic).partition(partition).key("k");
        let record = match &payload {
            Some(payload) => record.payload(payload),
            None => record,
        };
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

/// Sends messages of any bytes to partition 0.
pub(crate) fn send_bytes(brokers: &str, topic: &str, messages: &[Vec<u8>]) {
    let producer = producer(brokers, &[]);
    for message in messages {
        let record = BaseRecord::<str, [u8]>::to(topic).partition(0).payload(message);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(PATIENCE).unwrap();
}

pub(crate) fn numbers(range: std::ops::Range<u64>) -> impl Iterator<Item = Option<String>> {
    range.map(|number| Some(format!("{{\"n\":{number}}}")))
}

pub(crate) fn at(partition: u16, next: u64) -> OpenPartition {
    OpenPartition { partition, from: Some(Position { next, place: String::new() }) }
}

pub(crate) const BEGIN: OpenPartition = OpenPartition { partition: 0, from: None };

pub(crate) async fn texts(source: &dyn Source, from: &[OpenPartition]) -> Vec<String> {
    let payloads = payloads(source, from).await;
    payloads.into_iter().map(|text| String::from_utf8(text).unwrap()).collect()
}

pub(crate) async fn payloads(source: &dyn Source, from: &[OpenPartition]) -> Vec<Vec<u8>> {
    let read = compliance::read_all(source, from);
    let (all, _) = tokio::time::timeout(PATIENCE, read).await.expect("the end is never reached").unwrap();
    all.into_iter().map(|(_, _, payload)| payload).collect()
}

pub(crate) async fn open_error(source: &dyn Source, from: &OpenPartition) -> ConnectError {
    source.open(0, std::slice::from_ref(from), true).await.err().expect("it opened")
}

pub(crate) async fn next_block(reader: &mut dyn Reader) -> Option<Vec<u64>> {
    match tokio::time::timeout(PATIENCE, reader.next()).await.expect("nothing comes").unwrap() {
        Fetch::Block(block) => {
            Some(compliance::records(&block).into_iter().map(|(_, offset, _)| offset).collect())
        }
        Fetch::CaughtUp(_) | Fetch::Watermark(..) | Fetch::Appeared(..) | Fetch::Ended(_) => None,
    }
}

pub(crate) async fn until_caught_up(reader: &mut dyn Reader) -> Vec<u64> {
    let mut offsets = Vec::new();
    while let Some(more) = next_block(reader).await {
        offsets.extend(more);
    }
    offsets
}

fn admin(brokers: &str) -> AdminClient<DefaultClientContext> {
    ClientConfig::new().set("bootstrap.servers", brokers).create().unwrap()
}

/// Lets partition 0 of a topic begin at an offset.
pub(crate) async fn delete_records(brokers: &str, topic: &str, before: i64) {
    let mut below = TopicPartitionList::new();
    below.add_partition_offset(topic, 0, Offset::Offset(before)).unwrap();
    admin(brokers).delete_records(&below, &AdminOptions::new()).await.unwrap();
}

/// Deletes a topic, and waits until it is gone, which is some time after that.
pub(crate) async fn delete_topic(brokers: &str, topic: &str) {
    let admin = admin(brokers);
    let deleted = admin.delete_topics(&[topic], &AdminOptions::new()).await.unwrap();
    deleted.into_iter().for_each(|one| _ = one.unwrap());
    for _ in 0..200 {
        let there = admin.inner().fetch_metadata(None, PATIENCE).unwrap();
        if there.topics().iter().all(|of| of.name() != topic) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{topic} is not gone");
}

/// Lets a topic have so many partitions.
pub(crate) async fn grow(brokers: &str, topic: &str, partitions: usize) {
    let new = rdkafka::admin::NewPartitions::new(topic, partitions);
    let grown = admin(brokers).create_partitions(&[new], &AdminOptions::new()).await.unwrap();
    grown.into_iter().for_each(|one| _ = one.unwrap());
}

/// What a consumer group has committed of partitions 0 and 1.
pub(crate) fn group_offsets(brokers: &str, group: &str, topic: &str) -> Vec<Option<i64>> {
    let mut config = ClientConfig::new();
    let consumer: BaseConsumer =
        config.set("bootstrap.servers", brokers).set("group.id", group).create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_range(topic, 0, 1);
    let committed = consumer.committed_offsets(list, PATIENCE).unwrap();
    let offset = |element: &TopicPartitionListElem<'_>| match element.offset() {
        Offset::Offset(offset) => Some(offset),
        _ => None,
    };
    committed.elements().iter().map(offset).collect()
}

/// The keys of the messages of partition 0, empty where there is none.
pub(crate) fn keys_of(brokers: &str, topic: &str) -> Vec<String> {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "keys").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Beginning).unwrap();
    consumer.assign(&list).unwrap();
    let key = |message: &BorrowedMessage<'_>| {
        String::from_utf8(message.key().unwrap_or_default().to_vec()).unwrap()
    };
    let messages = std::iter::from_fn(|| consumer.poll(PATIENCE)?.ok());
    messages.map(|message| key(&message)).collect()
}

/// The error that reading on from these positions ends with, found at opening or behind it.
pub(crate) async fn stopped_by(source: &dyn Source, from: &[OpenPartition]) -> ConnectError {
    let mut reader = match source.open(0, from, false).await {
        Ok(reader) => reader,
        Err(error) => return error,
    };
    let failed = async {
        loop {
            if let Err(error) = reader.next().await {
                return error;
            }
        }
    };
    tokio::time::timeout(PATIENCE, failed).await.expect("it reads on")
}
