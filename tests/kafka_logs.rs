//! Logs of a Kafka topic that are not what they were: made anew, trimmed, compacted, ended by markers, silent.

#![allow(
    clippy::disallowed_methods,
    reason = "the broker is another process: what it does is waited for, with a bound"
)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::services::kafka::{Broker, shared};
use crate::services::topics::{
    BEGIN, PATIENCE, delete_records, delete_topic, group_offsets, grow, numbers, open_error, producer, send,
    source, source_of, stopped_by, texts, until_caught_up,
};
use rdkafka::producer::Producer;
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::Duration;
use weir_connect::{ConnectError, Fetch, OpenPartition, Reader, Source, compliance};
use weir_event::{Fault, Position};

/// The position at the end of partition 0.
async fn end_of(source: &dyn Source) -> Position {
    let read = tokio::time::timeout(PATIENCE, compliance::read_all(source, &[BEGIN])).await;
    read.expect("the end is never reached").unwrap().1.pop().unwrap().1
}

fn go_on(position: &Position) -> OpenPartition {
    OpenPartition { partition: 0, from: Some(position.clone()) }
}

#[track_caller]
fn assert_stops(error: &ConnectError, said: &str) {
    assert!(error.fault == Fault::External && !error.retry, "{error:?}");
    assert!(error.message.contains(said) && error.message.contains("--reset"), "{error}");
}

async fn make_anew(broker: &Broker, topic: &str) {
    delete_topic(&broker.address, topic).await;
    broker.topic(topic, 1);
}

#[tokio::test]
async fn a_topic_that_was_made_anew_and_filled_further_is_told_from_the_one_that_was_read() {
    let broker = shared();
    broker.topic("anew", 1);
    send(&producer(&broker.address, &[]), "anew", 0, numbers(0..10));
    let source = source(&broker.address, "anew");
    let read = end_of(&*source).await;
    assert_eq!(read.next, 10);
    assert!(texts(&*source, &[go_on(&read)]).await.is_empty());

    make_anew(broker, "anew").await;
    assert_stops(&open_error(&*source, &go_on(&read)).await, "ends at 0");
    // The same payloads again, and more of them.
    let sender = producer(&broker.address, &[]);
    send(&sender, "anew", 0, numbers(0..30));
    assert_stops(&stopped_by(&*source, &[go_on(&read)]).await, "the record at offset 9 is not the one");
    // A position of an older weir names no record.
    let unnamed = Position { place: String::new(), ..read };
    assert_eq!(texts(&*source, &[go_on(&unnamed)]).await.len(), 20);
}

#[tokio::test]
async fn a_topic_that_has_a_marker_where_the_last_record_was_is_another_one() {
    let broker = shared();
    broker.topic("marked", 1);
    send(&producer(&broker.address, &[]), "marked", 0, numbers(0..10));
    let source = source(&broker.address, "marked");
    let read = end_of(&*source).await;
    make_anew(broker, "marked").await;
    let sender = producer(&broker.address, &[("transactional.id", "marked")]);
    sender.init_transactions(PATIENCE).unwrap();
    for range in [0..9, 10..20] {
        sender.begin_transaction().unwrap();
        send(&sender, "marked", 0, numbers(range));
        sender.commit_transaction(PATIENCE).unwrap();
    }
    assert_stops(
        &stopped_by(&*source, &[go_on(&read)]).await,
        "the record that was read last is not in the log",
    );
}

#[tokio::test]
async fn a_topic_that_is_made_anew_while_it_is_read_stops_the_reader() {
    let broker = shared();
    broker.topic("under_way", 1);
    send(&producer(&broker.address, &[]), "under_way", 0, numbers(0..10));
    let source = source(&broker.address, "under_way");
    let mut reader = source.open(0, &[BEGIN], false).await.unwrap();
    let mut position = Position::default();
    while let Fetch::Block(block) = reader.next().await.unwrap() {
        position = block.next;
    }
    assert_eq!(position.next, 10);
    make_anew(broker, "under_way").await;
    send(&producer(&broker.address, &[]), "under_way", 0, numbers(0..30));
    let failed = async {
        loop {
            if let Err(error) = reader.next().await {
                return error;
            }
        }
    };
    let error = tokio::time::timeout(2 * PATIENCE, failed).await.expect("it reads on");
    if error.retry {
        assert_stops(&stopped_by(&*source, &[go_on(&position)]).await, "is not the one that was read there");
    } else {
        assert_stops(&error, "is not the one that was read there");
    }
}

#[tokio::test]
async fn compaction_may_take_away_the_record_that_was_read_last() {
    let broker = shared();
    let options = ["--config", "cleanup.policy=compact", "--config", "segment.ms=100"];
    broker.topic_with("compacted", 1, &options);
    let sender = producer(&broker.address, &[]);
    send(&sender, "compacted", 0, numbers(0..10));
    let source = source(&broker.address, "compacted");
    let read = end_of(&*source).await;
    for number in 10.. {
        // What is in the newest segment is not compacted.
        tokio::time::sleep(Duration::from_millis(200)).await;
        send(&sender, "compacted", 0, numbers(number..number + 1));
        let kept = texts(&*source, &[BEGIN]).await;
        if !kept.contains(&r#"{"n":9}"#.to_owned()) {
            break;
        }
        assert!(number < 200, "it is not compacted");
    }
    assert!(!texts(&*source, &[go_on(&read)]).await.is_empty());
}

#[tokio::test]
async fn a_position_moves_on_with_the_end_of_the_log_and_not_only_with_messages() {
    let broker = shared();
    broker.topic("markers", 1);
    let sender = producer(&broker.address, &[("transactional.id", "markers")]);
    sender.init_transactions(PATIENCE).unwrap();
    sender.begin_transaction().unwrap();
    send(&sender, "markers", 0, numbers(0..5));
    sender.commit_transaction(PATIENCE).unwrap();
    let source = source(&broker.address, "markers");
    let read = end_of(&*source).await;
    assert_eq!(read.next, 6, "the marker is behind the position");

    let mut reader = source.open(0, &[BEGIN], false).await.unwrap();
    assert_eq!(until_caught_up(&mut *reader).await.len(), 5);
    sender.begin_transaction().unwrap();
    send(&sender, "markers", 0, numbers(5..7));
    sender.abort_transaction(PATIENCE).unwrap();
    // Two messages that nobody sees, and a marker.
    let moved = tokio::time::timeout(PATIENCE, next_position(&mut *reader)).await.expect("nothing is said");
    assert_eq!((moved.next, &moved.place), (9, &read.place));

    delete_records(&broker.address, "markers", 9).await;
    assert!(texts(&*source, &[go_on(&moved)]).await.is_empty());
    assert_stops(&open_error(&*source, &go_on(&read)).await, "begins at 9");
}

async fn next_position(reader: &mut dyn Reader) -> Position {
    loop {
        if let Fetch::Block(block) = reader.next().await.unwrap() {
            return block.next;
        }
    }
}

#[tokio::test]
async fn a_broker_that_does_not_answer_is_told_of_within_five_seconds() {
    let broker = Broker::start();
    broker.topic("silent", 1);
    send(&producer(&broker.address, &[]), "silent", 0, numbers(0..3));
    let mut reader = source(&broker.address, "silent").open(0, &[BEGIN], false).await.unwrap();
    until_caught_up(&mut *reader).await;
    // A topic without news is not silence.
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(reader.health().trouble(), None);
    broker.signal("STOP");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let trouble = reader.health().trouble().expect("nothing is said");
    assert!(trouble.contains("has not answered") && trouble.contains(&broker.address), "{trouble}");
    broker.signal("CONT");
    send(&producer(&broker.address, &[]), "silent", 0, numbers(3..4));
    assert_eq!(until_caught_up(&mut *reader).await, [3]);
    let mut seconds = 0;
    while let Some(trouble) = reader.health().trouble() {
        assert!(seconds < 10, "{trouble}");
        tokio::time::sleep(Duration::from_secs(1)).await;
        seconds += 1;
    }
}

/// A listener that is not a broker: it answers every question with this, and hangs up.
fn answering(answer: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            // Who asks may have gone.
            let _ = client.read(&mut [0; 1024]).and_then(|_| client.write_all(answer));
        }
    });
    address
}

#[tokio::test]
async fn what_keeps_a_broker_from_being_reached_is_called_by_its_name() {
    let (broker, secure, ca) = Broker::start_secure();
    broker.topic("named", 1);
    // The machine takes connections for it, and nobody reads.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mute = silent.local_addr().unwrap().to_string();
    let (http, closing) = (answering(b"HTTP/1.1 400 Bad Request\r\n\r\n"), answering(b""));
    send(&producer(&broker.address, &[]), "named", 0, numbers(0..3));
    let named = |brokers: &str, security: &Value| {
        source_of(&json!({"brokers": brokers, "topic": "named", "security": security})).unwrap()
    };
    let sasl = |password: &str| json!({"user": "weir", "password": password});
    for (brokers, security, said) in [
        ("no-such-host.invalid:9092", json!({}), "name is not known"),
        ("127.0.0.1:1", json!({}), "nobody listens there"),
        (http.as_str(), json!({}), "does not speak Kafka"),
        (closing.as_str(), json!({}), "hangs up at the first question, as a listener does that wants TLS"),
        (mute.as_str(), json!({}), "nothing answers there"),
        (broker.address.as_str(), json!({"tls": {}}), "TLS fails"),
        (secure.as_str(), json!({"tls": {}, "sasl": sasl("hunter2")}), "TLS fails"),
        (secure.as_str(), json!({"tls": {"ca": ca}, "sasl": sasl("swordfish")}), "credentials are refused"),
    ] {
        let error = named(brokers, &security).partitions(&[]).await.expect_err("it was reached").message;
        assert!(error.contains(said) && error.contains(brokers), "{error}");
        assert!(!error.contains("BrokerTransportFailure") && !error.contains("swordfish"), "{error}");
    }
    let trusted = named(&secure, &json!({"tls": {"ca": ca}, "sasl": sasl("hunter2")}));
    assert_eq!(texts(&*trusted, &[BEGIN]).await.len(), 3);
}

#[tokio::test]
async fn partitions_that_a_topic_gets_while_it_is_read_are_read_within_a_minute() {
    let broker = shared();
    broker.topic("growing", 1);
    let sender = producer(&broker.address, &[]);
    send(&sender, "growing", 0, numbers(0..2));
    let source = source(&broker.address, "growing");
    let begins = source.partitions(&[]).await.unwrap();
    let mut reader = source.open(3, &begins, false).await.unwrap();
    assert_eq!(until_caught_up(&mut *reader).await, [0, 1]);
    grow(&broker.address, "growing", 3).await;
    send(&producer(&broker.address, &[]), "growing", 2, numbers(0..5));
    let (mut appeared, mut read) = (Vec::new(), 0);
    let both = async {
        while appeared.len() < 2 || read < 5 {
            match reader.next().await.unwrap() {
                Fetch::Appeared(partition, at) => {
                    appeared.push((partition.source, partition.partition, at.next))
                }
                Fetch::Block(block) => {
                    assert!(appeared.iter().any(|(_, number, _)| *number == block.partition.partition));
                    read += compliance::records(&block).len();
                }
                _ => {}
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(60), both).await.expect("they are not read");
    assert_eq!(appeared, [(3, 1, 0), (3, 2, 0)]);
    // A restart knows of the first alone.
    let all = source.partitions(&begins).await.unwrap();
    assert_eq!(all.iter().map(|open| open.partition).collect::<Vec<_>>(), [0, 1, 2]);
}

#[tokio::test]
async fn what_jobs_have_read_is_shown_to_tools_that_measure_lag() {
    let broker = shared();
    broker.topic("shown", 2);
    let settings = json!({"brokers": broker.address, "topic": "shown", "group": "weir-{job}"});
    let source = source_of(&settings).unwrap();
    let at = |next| Position { next, place: String::new() };
    source.committed("rides", 0, &at(3));
    source.committed("rides", 1, &at(5));
    source.committed("rides", 0, &at(4));
    for _ in 0..100 {
        if group_offsets(&broker.address, "weir-rides", "shown") == [Some(4), Some(5)] {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{:?}", group_offsets(&broker.address, "weir-rides", "shown"));
}
