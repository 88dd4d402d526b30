//! Events from a topic, in events per CPU-second: weir's source alone beside a bare client, and a whole job beside the same
//! job over a file.

use crate::rides::{cpu_of, cpu_of_job, generated, say};
use crate::services::kafka::Broker;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};
use serde_json::json;
use std::hint::black_box;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use weir_connect::{Fetch, FileLayout, Framing, NoMark, Source};
use weir_connectors::context::SourceContext;
use weir_connectors::http::IngestLogs;
use weir_connectors::registry;
use weir_engine::SystemClock;
use weir_event::Clock;

const TOPIC: &str = "rides";
const PARTITIONS: i32 = 4;
/// What the broker has in its memory comes within milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);

/// Prints thousand events per CPU-second of each reader.
pub(crate) fn measure(events: u64) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rides = generated(folder.path(), events, 1);
    let broker = Broker::start();
    broker.topic(TOPIC, PARTITIONS as u16);
    fill(&broker.address, &std::fs::read_to_string(&rides).expect("the rides are there"));
    println!("Kafka, {events} events in {PARTITIONS} partitions: thousand events per CPU-second");
    say("bare client, message by message", events, cpu_of(events, || bare(&broker.address)));
    say("weir's source", events, cpu_of(events, || read(&broker.address)));
    let job = |name: &str, source: &str| cpu_of_job(&folder.path().join(name), &[], source);
    let topic = format!("{{kafka: {{brokers: \"{}\", topic: {TOPIC}}}}}", broker.address);
    say("Q1 from the topic", events, job("topic", &topic));
    say("Q1 from a file", events, job("file", &format!("{{file: {{path: \"{}\"}}}}", rides.display())));
}

/// Takes every message, and looks at its bytes.
fn bare(brokers: &str) -> u64 {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("group.id", "bare").set("enable.partition.eof", "true");
    let consumer: BaseConsumer = config.set("enable.auto.commit", "false").create().expect("a client");
    let mut list = TopicPartitionList::new();
    list.add_partition_range(TOPIC, 0, PARTITIONS - 1);
    list.set_all_offsets(Offset::Beginning).expect("an offset");
    consumer.assign(&list).expect("partitions");
    let (mut count, mut ended) = (0, 0);
    while ended < PARTITIONS {
        match consumer.poll(PATIENCE).expect("messages come") {
            Ok(message) => {
                black_box(message.payload());
                count += 1;
            }
            Err(KafkaError::PartitionEOF(_)) => ended += 1,
            Err(error) => panic!("{error}"),
        }
    }
    count
}

/// Takes every block of weir's source.
fn read(brokers: &str) -> u64 {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let context = SourceContext {
        layout: FileLayout::Lines,
        project: PathBuf::new(),
        data_dir: PathBuf::new(),
        stream: TOPIC.to_owned(),
        logs: Arc::new(IngestLogs::new(Path::new(""), clock.clone(), Arc::new(NoMark))),
        clock,
    };
    let source = registry::source("kafka", &json!({"brokers": brokers, "topic": TOPIC}), &context);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(count(&*source.expect("these settings are right")))
}

async fn count(source: &dyn Source) -> u64 {
    let partitions = source.partitions(&[]).await.expect("the topic is there");
    let mut reader = source.open(0, &partitions, true).await.expect("it opens");
    let (mut count, mut ended) = (0, 0);
    while ended < partitions.len() {
        match reader.next().await.expect("it can be read") {
            Fetch::Block(block) => {
                if let Framing::Records { offsets, .. } = &block.framing {
                    count += offsets.len() as u64;
                }
            }
            Fetch::CaughtUp(_) => ended += 1,
            _ => {}
        }
    }
    count
}

/// Sends each line to one of the partitions in turn.
fn fill(brokers: &str, lines: &str) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers).set("linger.ms", "20").set("batch.size", "500000");
    let producer: BaseProducer = config.create().expect("a client");
    for (number, line) in lines.lines().enumerate() {
        let partition = number as i32 % PARTITIONS;
        let mut record = BaseRecord::<(), str>::to(TOPIC).partition(partition).payload(line);
        // The queue to the broker is full now and then.
        while let Err((_, again)) = producer.send(record) {
            producer.poll(Duration::from_millis(10));
            record = again;
        }
        if number.is_multiple_of(1000) {
            producer.poll(Duration::ZERO);
        }
    }
    producer.flush(PATIENCE).expect("everything is delivered");
}
