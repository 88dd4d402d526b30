//! The Kafka source and sink against a real broker: what is read, where reading ends, what stops it, and what a
//! restart of the broker does.

#![allow(
    clippy::disallowed_methods,
    reason = "the broker is another process: what it does is waited for, with a bound"
)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::services::kafka::{Broker, shared};
use crate::services::topics::{
    BEGIN, PATIENCE, at, delete_records, keys_of, next_block, numbers, open_error, producer, send, sink,
    sink_in, source, source_of, texts, until_caught_up,
};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use rdkafka::producer::{BaseRecord, Producer};
use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use weir_connect::sink::RowMeta;
use weir_connect::{Fetch, KnownTimes, OpenPartition, SinkRows, compliance};
use weir_engine::SystemClock;
use weir_event::{Clock, Fault, PartitionId};

#[tokio::test]
async fn it_reads_the_same_from_each_of_its_positions() {
    let broker = shared();
    broker.topic("replayed", 3);
    let sender = producer(&broker.address, &[]);
    for partition in 0..3 {
        send(&sender, "replayed", partition, numbers(0..50));
    }
    let source = source(&broker.address, "replayed");
    assert_eq!(source.partitions(&[]).await.unwrap().len(), 3);
    tokio::time::timeout(2 * PATIENCE, compliance::source_replays(&*source)).await.unwrap().unwrap();
}

#[tokio::test]
async fn every_flight_arrives_in_order_of_its_partition() {
    let broker = shared();
    broker.topic("flights", 4);
    let flights = crate::services::flights();
    broker.fill("flights", "tailnum", &flights);
    let start: Vec<_> = (0..4).map(|partition| OpenPartition { partition, from: None }).collect();
    let mut read = texts(&*source(&broker.address, "flights"), &start).await;
    let mut sent: Vec<_> = flights.lines().map(str::to_owned).collect();
    read.sort();
    sent.sort();
    assert!(read == sent, "{} flights were sent and {} read, or others", sent.len(), read.len());
}

#[tokio::test]
async fn aborted_and_open_transactions_are_not_read_and_the_end_is_still_found() {
    let broker = shared();
    broker.topic("transactions", 1);
    let sender = producer(&broker.address, &[("transactional.id", "test")]);
    sender.init_transactions(PATIENCE).unwrap();
    sender.begin_transaction().unwrap();
    send(&sender, "transactions", 0, numbers(0..10));
    sender.commit_transaction(PATIENCE).unwrap();
    sender.begin_transaction().unwrap();
    send(&sender, "transactions", 0, numbers(90..95));
    sender.abort_transaction(PATIENCE).unwrap();
    let source = source(&broker.address, "transactions");
    let committed: Vec<_> = numbers(0..10).flatten().collect();
    assert_eq!(texts(&*source, &[BEGIN]).await, committed);
    assert!(texts(&*source, &[at(0, 10)]).await.is_empty());

    sender.begin_transaction().unwrap();
    send(&sender, "transactions", 0, numbers(10..12));
    assert_eq!(texts(&*source, &[BEGIN]).await, committed);
    sender.commit_transaction(PATIENCE).unwrap();
    assert_eq!(texts(&*source, &[BEGIN]).await, numbers(0..12).flatten().collect::<Vec<_>>());
}

#[tokio::test]
async fn tombstones_are_passed_over_and_known_times_are_the_brokers() {
    let broker = shared();
    broker.topic_with("tombstones", 1, &["--config", "message.timestamp.type=LogAppendTime"]);
    let before = SystemClock::new().now().millis();
    let sender = producer(&broker.address, &[]);
    send(&sender, "tombstones", 0, numbers(0..2).chain([None]).chain(numbers(3..4)).chain([None]));
    let mut reader = source(&broker.address, "tombstones").open(7, &[BEGIN], true).await.unwrap();
    let (mut records, mut skipped, mut next) = (Vec::new(), Vec::new(), 0);
    while let Fetch::Block(block) = reader.next().await.unwrap() {
        assert_eq!(block.partition.source, 7);
        let KnownTimes::Each(known) = &block.known else { panic!("no times") };
        let after = SystemClock::new().now().millis();
        assert!(known.iter().all(|time| (before..=after).contains(time)), "{known:?}");
        records.extend(compliance::records(&block).into_iter().map(|(_, offset, _)| offset));
        skipped.extend(block.refused.iter().map(|refused| (refused.offset, refused.skip)));
        next = block.next.next;
    }
    assert_eq!((records, skipped, next), (vec![0, 1, 3], vec![(2, true), (4, true)], 5));
}

#[tokio::test]
async fn a_position_outside_the_log_stops_with_the_reason() {
    let broker = shared();
    broker.topic("trimmed", 1);
    send(&producer(&broker.address, &[]), "trimmed", 0, numbers(0..10));
    delete_records(&broker.address, "trimmed", 4).await;
    let source = source(&broker.address, "trimmed");
    assert_eq!(texts(&*source, &[BEGIN]).await.len(), 6);
    assert_eq!(texts(&*source, &[at(0, 10)]).await.len(), 0);
    for (from, said) in [(at(0, 3), "begins at 4"), (at(0, 11), "ends at 10"), (at(1, 0), "1 partitions")] {
        let error = open_error(&*source, &from).await;
        assert!(error.fault == Fault::External && !error.retry && error.message.contains(said), "{error}");
    }
}

#[tokio::test]
async fn a_start_may_be_the_end_or_a_time() {
    let broker = shared();
    broker.topic("starts", 1);
    let sender = producer(&broker.address, &[]);
    for (number, time) in [(0, 1000), (1, 2000), (2, 3000)] {
        let payload = format!("{{\"n\":{number}}}");
        let record = BaseRecord::<str, str>::to("starts").partition(0).payload(&payload).timestamp(time);
        sender.send(record).map_err(|(error, _)| error).unwrap();
    }
    sender.flush(PATIENCE).unwrap();
    for (start, expected) in [
        (json!("earliest"), 3),
        (json!("latest"), 0),
        (json!(2000), 2),
        (json!("1970-01-01T00:00:02.001Z"), 1),
    ] {
        let settings = json!({"brokers": broker.address, "topic": "starts", "start": start});
        let source = source_of(&settings).unwrap();
        let begins = source.partitions(&[]).await.unwrap();
        assert_eq!(texts(&*source, &begins).await.len(), expected, "{start}");
        assert_eq!(begins[0].from.is_none(), start == "earliest", "{start}");
        // What is known stays, and what comes later is read from where it begins.
        let known = source.partitions(&begins).await.unwrap();
        assert_eq!(known, begins);
        let later = source.partitions(&[OpenPartition { partition: 7, from: None }]).await.unwrap();
        assert_eq!(later[0], BEGIN);
    }
}

#[tokio::test]
async fn what_is_wrong_with_topic_brokers_and_options_is_said() {
    let broker = shared();
    let error = source(&broker.address, "nowhere").partitions(&[]).await.unwrap_err();
    assert!(error.fault == Fault::External && !error.retry && error.message.contains("`nowhere`"), "{error}");
    let mut to_nowhere = sink(&json!({"brokers": broker.address, "topic": "nowhere"}));
    let error = to_nowhere.start(None).await.unwrap_err();
    assert!(error.fault == Fault::External && !error.retry && error.message.contains("`nowhere`"), "{error}");

    let error = source("127.0.0.1:1", "flights").partitions(&[]).await.unwrap_err();
    assert!(error.retry && error.message.contains("127.0.0.1:1"), "{error}");

    for (options, said) in [
        (json!({"auto.offset.reset": "earliest"}), "set by weir"),
        (json!({"bootstrap.servers": "x:1"}), "`brokers`"),
        (json!({"no.such.setting": 1}), "no.such.setting"),
        (json!({"fetch.wait.max.ms": "soon"}), "fetch.wait.max.ms"),
        (json!({"group.id": ["a"]}), "neither"),
    ] {
        let error = source_of(&json!({"brokers": "x:1", "topic": "t", "options": options})).unwrap_err();
        assert!(error.contains(said), "{error}");
    }
    assert!(source_of(&json!({"brokers": "x:1", "start": "soon"})).unwrap_err().lines().count() == 2);
}

#[tokio::test]
async fn a_live_reader_follows_the_log_through_a_restart_of_the_broker() {
    let broker = Broker::start();
    broker.topic("live", 1);
    let mut reader = source(&broker.address, "live").open(0, &[BEGIN], false).await.unwrap();
    assert!(until_caught_up(&mut *reader).await.is_empty());
    let sender = producer(&broker.address, &[]);
    send(&sender, "live", 0, numbers(0..5));
    assert_eq!(until_caught_up(&mut *reader).await, [0, 1, 2, 3, 4]);
    // Dropping a `next` that waits loses nothing.
    assert!(tokio::time::timeout(Duration::from_millis(50), reader.next()).await.is_err());

    broker.kill();
    assert!(tokio::time::timeout(Duration::from_secs(1), reader.next()).await.is_err());
    let error = open_error(&*source(&broker.address, "live"), &BEGIN).await;
    assert!(error.retry && error.message.contains(&broker.address), "{error}");
    broker.restart();
    send(&sender, "live", 0, numbers(5..9));
    let mut offsets = Vec::new();
    while offsets.len() < 4 {
        offsets.extend(next_block(&mut *reader).await.unwrap_or_default());
    }
    assert_eq!(offsets, [5, 6, 7, 8]);
}

#[tokio::test]
async fn a_partition_that_waited_goes_on_where_it_was_also_at_the_end_of_its_log() {
    let broker = shared();
    broker.topic("waited", 1);
    let sender = producer(&broker.address, &[]);
    let mut reader = source(&broker.address, "waited").open(0, &[BEGIN], false).await.unwrap();
    assert!(until_caught_up(&mut *reader).await.is_empty());
    for round in 0..3 {
        reader.pause(PartitionId::default());
        tokio::time::sleep(Duration::from_millis(300)).await;
        send(&sender, "waited", 0, numbers(round * 5..round * 5 + 5));
        // What is on its way when it is told to wait may still come.
        let early = tokio::time::timeout(Duration::from_millis(300), next_block(&mut *reader)).await;
        let mut offsets = early.ok().flatten().unwrap_or_default();
        reader.resume(PartitionId::default());
        while offsets.len() < 5 {
            offsets.extend(next_block(&mut *reader).await.unwrap_or_default());
        }
        assert_eq!(offsets, (round * 5..round * 5 + 5).collect::<Vec<_>>());
    }
}

fn rows() -> SinkRows {
    let users: ArrayRef = Arc::new(StringViewArray::from(vec![Some("u1"), Some("u2"), None]));
    let totals: ArrayRef = Arc::new(Int64Array::from(vec![3, 4, 5]));
    let columns = RecordBatch::try_from_iter_with_nullable([("user", users, true), ("total", totals, true)]);
    SinkRows { columns: columns.unwrap(), meta: RowMeta { job: "test".into(), ..RowMeta::default() } }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_delivers_every_row_at_least_once() {
    let broker = shared();
    broker.topic("results", 2);
    let settings = json!({"brokers": broker.address, "topic": "results", "key": "user"});
    let results = source(&broker.address, "results");
    let start: Vec<_> = (0..2).map(|partition| OpenPartition { partition, from: None }).collect();
    let visible = || {
        let read = texts(&*results, &start);
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(read).len())
    };
    compliance::sink_keeps_its_promise(&|| sink(&settings), &rows(), &visible).await.unwrap();
    let read = texts(&*results, &start).await;
    assert!(read.iter().any(|text| text == r#"{"user":null,"total":5}"#), "{read:?}");

    for (key, said) in [("usr", "`{usr}`: the query has no such column"), ("{user", "without its other half")]
    {
        let settings = json!({"brokers": broker.address, "topic": "results", "key": key});
        let error = sink_in(&settings, Path::new("")).err().expect("it was made");
        assert!(error.contains(said), "{error}");
    }
}

#[tokio::test]
async fn a_message_s_key_is_a_column_or_a_text_with_columns_in_it() {
    let broker = shared();
    broker.topic("keyed", 1);
    let folder = tempfile::tempdir().unwrap();
    for key in ["user", "{job}/{user}: {total}"] {
        let settings = json!({"brokers": broker.address, "topic": "keyed", "key": key});
        let mut sink = sink_in(&settings, folder.path()).unwrap();
        sink.start(None).await.unwrap();
        sink.write(&rows()).await.unwrap();
        sink.prepare(1).await.unwrap();
    }
    let keys = keys_of(&broker.address, "keyed");
    let expected = ["u1", "u2", "", "test/u1: 3", "test/u2: 4", ""];
    assert_eq!(keys, expected);
}

#[tokio::test]
async fn rows_that_a_topic_never_takes_are_set_aside_and_the_others_delivered() {
    let broker = shared();
    for (topic, options) in [
        ("small", ["--config", "max.message.bytes=2000"]),
        ("compact", ["--config", "cleanup.policy=compact"]),
    ] {
        broker.topic_with(topic, 1, &options);
        for delivery in ["at_least_once", "exactly_once"] {
            let folder = tempfile::tempdir().unwrap();
            let settings =
                json!({"brokers": broker.address, "topic": topic, "key": "user", "delivery": delivery});
            let mut sink = sink_in(&settings, folder.path()).unwrap();
            sink.start(None).await.unwrap();
            let users = [Some("u1".to_owned()), None, Some("x".repeat(1900)), Some("u2".to_owned())];
            let users: ArrayRef = Arc::new(StringViewArray::from_iter(users));
            let totals: ArrayRef = Arc::new(Int64Array::from_iter_values(0..4));
            let columns = RecordBatch::try_from_iter([("user", users), ("total", totals)]).unwrap();
            for _ in 0..100 {
                // Small ones together are more than the topic takes at once.
                sink.write(&SinkRows { columns: columns.clone(), meta: RowMeta::default() }).await.unwrap();
            }
            let token = sink.prepare(1).await.unwrap();
            sink.commit(&token).await.unwrap();
            assert_eq!(sink.counts().refused, 100, "{topic}");
            let kept =
                std::fs::read_to_string(folder.path().join("refused/test/kafka/refused.jsonl")).unwrap();
            let said = if topic == "small" { "takes 2000 at most" } else { "it has no key" };
            assert!(kept.lines().count() == 100 && kept.lines().all(|line| line.contains(said)), "{kept}");
        }
        assert_eq!(texts(&*source(&broker.address, topic), &[BEGIN]).await.len(), 600, "{topic}");
    }
}

#[tokio::test]
async fn a_sink_says_what_was_not_delivered() {
    let broker = Broker::start();
    broker.topic("lost", 1);
    let options = json!({"message.timeout.ms": 1500});
    let mut lost = sink(&json!({"brokers": broker.address, "topic": "lost", "options": options}));
    lost.start(None).await.unwrap();
    lost.write(&rows()).await.unwrap();
    lost.prepare(1).await.unwrap();
    broker.kill();
    lost.write(&rows()).await.unwrap();
    let error = lost.prepare(2).await.unwrap_err();
    assert!(error.retry && error.message.contains(&broker.address), "{error}");
    assert!(lost.write(&rows()).await.is_err());
}
