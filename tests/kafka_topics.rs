//! Topics that a pattern names, against a real broker: those that come later, go, and come again; and one fetch for all jobs
//! that read a topic.

#![allow(
    clippy::disallowed_methods,
    reason = "the broker is another process: what it does is waited for, with a bound"
)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Project, Server, wait_for};
use crate::services::kafka::{Broker, shared};
use crate::services::topics::{PATIENCE, delete_topic, numbers, producer, send, source_of, stopped_by};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use weir_connect::{Fetch, OpenPartition, Probe, Reader, Source, compliance};
use weir_event::{Fault, Position};

fn source(pattern: &str) -> Arc<dyn Source> {
    source_of(&json!({"brokers": shared().address, "topic": {"pattern": pattern}})).unwrap()
}

fn fill(topic: &str, partitions: u16, each: u64) {
    shared().topic(topic, partitions);
    let sender = producer(&shared().address, &[]);
    (0..partitions).for_each(|partition| send(&sender, topic, i32::from(partition), numbers(0..each)));
}

/// How many records of each partition, by its number, a bounded read gives; and where it ends.
async fn read(source: &dyn Source, from: &[OpenPartition]) -> (BTreeMap<u16, usize>, Vec<OpenPartition>) {
    let all = tokio::time::timeout(PATIENCE, compliance::read_all(source, from)).await;
    let (records, ends) = all.expect("the end is never reached").unwrap();
    let mut counts = BTreeMap::new();
    records.iter().for_each(|(partition, ..)| *counts.entry(*partition).or_default() += 1);
    let at = |from: &OpenPartition| {
        let end = ends.iter().rev().find(|(partition, _)| *partition == from.partition);
        OpenPartition { from: end.map(|(_, at)| at.clone()).or_else(|| from.from.clone()), ..from.clone() }
    };
    (counts, from.iter().map(at).collect())
}

fn places(partitions: &[OpenPartition]) -> Vec<(u16, String)> {
    let place = |open: &OpenPartition| {
        let place = &open.from.as_ref().unwrap().place;
        (open.partition, place.split(' ').next().unwrap().to_owned())
    };
    partitions.iter().map(place).collect()
}

fn named(all: &[(u16, &str)]) -> Vec<(u16, String)> {
    all.iter().map(|(number, place)| (*number, (*place).to_owned())).collect()
}

#[tokio::test]
async fn topics_that_come_and_go_keep_the_numbers_of_the_others() {
    fill("several-b", 2, 10);
    fill("several-c", 1, 20);
    fill("other-several-b", 1, 5);
    let source = source("several-.*");
    let begins = source.partitions(&[]).await.unwrap();
    assert_eq!(places(&begins), named(&[(0, "several-b/0"), (1, "several-b/1"), (2, "several-c/0")]));
    let (counts, ends) = read(&*source, &begins).await;
    assert_eq!(counts, [(0, 10), (1, 10), (2, 20)].into());
    let Probe::Ready(found) = source.probe().await.unwrap() else { panic!("it is not ready") };
    assert_eq!(found, "3 partitions of 2 topics: several-b, several-c");
    assert_eq!(source.place(ends[2].from.as_ref().unwrap()).as_deref(), Some("several-c/0"));

    // One that comes later sorts first, and is numbered last.
    fill("several-a", 1, 7);
    let known = source.partitions(&ends).await.unwrap();
    assert_eq!(places(&known)[..3], places(&begins));
    assert_eq!(places(&known)[3], (3, "several-a/0".to_owned()));
    assert_eq!(known[..3], ends);
    let (counts, ends) = read(&*source, &known).await;
    assert_eq!(counts, [(3, 7)].into());

    // One that is gone is passed over, and holds its place.
    delete_topic(&shared().address, "several-b").await;
    fill("several-d", 1, 3);
    let known = source.partitions(&ends).await.unwrap();
    let (counts, ends) = read(&*source, &known).await;
    assert_eq!(counts, [(4, 3)].into());
    assert_eq!(ends[0], known[0]);
    assert!(source.left(&ends, false).await.unwrap().records == Some(0));

    // It comes again with another log.
    fill("several-b", 2, 30);
    let error = stopped_by(&*source, &ends).await;
    assert!(error.fault == Fault::External && !error.retry, "{error}");
    assert!(error.message.contains("`several-b`, partition") && error.message.contains("--reset"), "{error}");
}

#[tokio::test]
async fn topics_that_come_while_others_are_read_are_read_within_a_minute() {
    fill("coming-a", 1, 4);
    let source = source("coming-.*");
    let begins = source.partitions(&[]).await.unwrap();
    let mut reader = source.open(5, &begins, false).await.unwrap();
    assert!(take(&mut *reader, 4).await.is_empty());
    fill("coming-b", 2, 6);
    let appeared = tokio::time::timeout(Duration::from_secs(60), take(&mut *reader, 12)).await;
    let appeared = appeared.expect("they are not read");
    assert_eq!(appeared, [(5, 1, "coming-b/0".to_owned()), (5, 2, "coming-b/1".to_owned())]);
}

/// Reads so many records; gives what has appeared before them.
async fn take(reader: &mut dyn Reader, records: usize) -> Vec<(u16, u16, String)> {
    let (mut appeared, mut read) = (Vec::new(), 0);
    while read < records {
        match reader.next().await.unwrap() {
            Fetch::Appeared(id, at) => appeared.push((id.source, id.partition, at.place)),
            Fetch::Block(block) => read += compliance::records(&block).len(),
            _ => {}
        }
    }
    assert_eq!(read, records);
    appeared
}

#[tokio::test]
async fn what_a_pattern_does_not_fit_is_said() {
    fill("alone", 1, 3);
    let error = source("no-such-.*").partitions(&[]).await.unwrap_err();
    assert!(
        error.fault == Fault::External && error.message.contains("no topic like `no-such-.*`"),
        "{error}"
    );
    let one = source_of(&json!({"brokers": shared().address, "topic": "alone"})).unwrap();
    let known = one.partitions(&[]).await.unwrap();
    let (_, ends) = read(&*one, &known).await;
    let error = source("alon.").partitions(&ends).await.unwrap_err();
    assert!(error.message.contains("the job has read one topic by its name"), "{error}");
    let (_, ends) = read(&*source("alon."), &source("alon.").partitions(&[]).await.unwrap()).await;
    let error = one.partitions(&ends).await.unwrap_err();
    assert!(error.message.contains("the job has read topic `alone` by a pattern"), "{error}");
    let other = Position { place: "alone/1".to_owned(), ..Position::default() };
    let same = Position { place: "alone/0".to_owned(), ..Position::default() };
    let at = ends[0].from.as_ref().unwrap();
    assert!(one.is_same_log(at, &same) && !one.is_same_log(at, &other));
}

const STREAM: &str = "fields: {n: bigint, user: string, ts: timestamp}\nevent_time: ts\ndisorder: 0s\n";

fn event(number: u64) -> Option<String> {
    let time = 1_700_000_000_000_u64 + number;
    Some(json!({"n": number, "user": format!("u{}", number % 7), "ts": time}).to_string())
}

fn events(status: &Value) -> u64 {
    status["events"].as_u64().unwrap_or_default()
}

#[test]
fn a_job_over_a_pattern_counts_each_event_once_while_topics_come_and_it_is_killed() {
    let broker = shared();
    let sender = producer(&broker.address, &[]);
    let more = |topic: &str, numbers: std::ops::Range<u64>| send(&sender, topic, 0, numbers.map(event));
    broker.topic("regions-eu", 1);
    more("regions-eu", 0..100);
    let project = Project::new();
    let of = format!("{{kafka: {{brokers: \"{}\", topic: {{pattern: \"regions-.+\"}}}}}}", broker.address);
    project.file("streams/s.yaml", &format!("{STREAM}source: {of}\n"));
    project.file("jobs/j.yaml", "query: SELECT n FROM s\nsinks: [file: {path: out}]\n");
    let checked = project.weir("check", &["--connect"]);
    let text =
        String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
    assert!(text.contains("1 partition of 1 topic: regions-eu"), "{text}");
    let settings = "checkpoint: {every: 200ms}\n";
    let server = Server::start(&project, settings);
    server.wait_for_job("j", "the first topic", |status| events(status) >= 100);
    broker.topic("regions-us", 1);
    more("regions-us", 100..200);
    server.wait_for_job("j", "the second topic", |status| events(status) >= 200);
    more("regions-eu", 200..300);
    server.kill();
    broker.topic("regions-asia", 1);
    more("regions-asia", 300..400);
    let server = Server::start(&project, settings);
    let status = server.wait_for_job("j", "all topics", |status| events(status) >= 400);
    assert_eq!(status["partitions"].as_array().map(Vec::len), Some(3), "{status}");
    assert!(server.terminate().success());
    let mut found: Vec<u64> = project.rows("out").iter().map(|row| row["n"].as_u64().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, (0..400).collect::<Vec<_>>());
}

#[test]
fn jobs_that_read_other_columns_of_a_topic_share_its_fetch() {
    const EVENTS: u64 = 40_000;
    let (broker, sent) = Broker::start_counted();
    broker.topic("fetched", 2);
    let sender = producer(&broker.address, &[]);
    for partition in 0..2 {
        send(&sender, "fetched", partition, (0..EVENTS / 2).map(event));
    }
    let mut bytes = Vec::new();
    for queries in [&["SELECT n FROM s"][..], &["SELECT n FROM s", "SELECT user FROM s", "SELECT ts FROM s"]]
    {
        let project = Project::new();
        let of = format!("{{kafka: {{brokers: \"{}\", topic: fetched}}}}", broker.address);
        project.file("streams/s.yaml", &format!("{STREAM}source: {of}\n"));
        let jobs: Vec<String> = (0..queries.len()).map(|number| format!("j{number}")).collect();
        for (job, query) in jobs.iter().zip(queries) {
            project.file(&format!("jobs/{job}.yaml"), &format!("query: {query}\nsinks: [discard: {{}}]\n"));
        }
        let before = sent.load(Ordering::Relaxed);
        let server = Server::start(&project, "");
        for job in &jobs {
            server.wait_for_job(job, "all events", |status| events(status) == EVENTS);
        }
        bytes.push(sent.load(Ordering::Relaxed) - before);
        wait_for("one reader for all jobs", PATIENCE, || (server.threads("weir-kafka") == 1).then_some(()));
        assert!(server.terminate().success());
    }
    eprintln!("bytes fetched by one job and by three: {bytes:?}");
    // Each asks for the list of topics and the ends of logs by itself.
    assert!(bytes[0] > 1_000_000 && bytes[1] < bytes[0] + bytes[0] / 5, "{bytes:?}");
}
