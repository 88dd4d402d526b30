//! Jobs that begin with the past and go on with a real Kafka topic of four partitions: flights archived up to some time, cut
//! by that and by the topic's own offsets, through twenty kills.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a server is let run for a moment before it is killed")]

use crate::bootstrap::{
    add_jobs, assert_whole, bootstrapped, closing, known_flights, seen, stream, wait_for_the_end,
    write_archive,
};
use crate::flights::QUERIES;
use crate::harness::{Project, Server};
use crate::services::kafka::shared;
use crate::services::topics::{delete_records, source};
use crate::train_oracle::train;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use weir_connect::compliance::read_all;

/// The flights known before this one are archived.
const ARCHIVED: usize = 13_000;
const SETTINGS: &str = "shards: 1\ncheckpoint: {every: 20ms}\n";

/// The records of a topic that are archived, each saying which it is, in the order in which they were known; and one more
/// than the highest offset of each partition.
fn archived(brokers: &str, topic: &str) -> (Vec<String>, BTreeMap<u16, u64>) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let source = source(brokers, topic);
    let (records, _) = runtime.block_on(async {
        let start = source.partitions(&[]).await.unwrap();
        read_all(&*source, &start).await.unwrap()
    });
    let (mut flights, mut ends) = (BTreeMap::new(), BTreeMap::new());
    for (partition, offset, payload) in records {
        let mut flight: Value = serde_json::from_slice(&payload).unwrap();
        let known = flight["seen"].as_i64().unwrap();
        if known < seen(ARCHIVED) {
            flight["kafka_partition"] = json!(partition);
            flight["kafka_offset"] = json!(offset);
            flights.insert(known, flight.to_string());
            let end: &mut u64 = ends.entry(partition).or_default();
            *end = (*end).max(offset + 1);
        }
    }
    (flights.into_values().collect(), ends)
}

/// Runs the jobs over an archive and the topic, kills the server twenty times on the way, and checks what was written.
fn through_kills(topic: &str, cut: &str) {
    let broker = shared();
    broker.topic(topic, 4);
    let all: String = known_flights().iter().map(|flight| format!("{flight}\n")).collect();
    broker.fill(topic, "tailnum", &all);
    let (past, ends) = archived(&broker.address, topic);
    assert_eq!(past.len(), ARCHIVED);
    let project = Project::new();
    write_archive(&project, &past, &["kafka_partition", "kafka_offset"]);
    let archive = format!(
        "archive: {{source: {{file: {{path: \"archive/dt=*/*.parquet\"}}}}, format: parquet, cut: {cut}}}\n"
    );
    let kafka = format!("source: {{kafka: {{brokers: \"{}\", topic: {topic}}}}}\n{archive}", broker.address);
    project.file("streams/flights.yaml", &stream(&kafka));
    add_jobs(&project);
    let mut pause = Duration::from_millis(10);
    for _ in 0..20 {
        let server = Server::start(&project, SETTINGS);
        std::thread::sleep(pause);
        server.kill();
        pause += Duration::from_millis(20);
    }
    let server = Server::start(&project, SETTINGS);
    for (name, _) in QUERIES {
        let told = bootstrapped(&server, name);
        assert_eq!(told["archive"], json!({"rows": ARCHIVED, "refused": 0}), "{told}");
        for (partition, end) in &ends {
            let of_log = &told["log"][format!("flights/{partition}")];
            assert_eq!(of_log["refused"], *end, "partition {partition}: {told}");
        }
    }
    // Tail numbers of their own keep them apart: one comes to every partition.
    let closings =
        (0..64).map(|n| closing().replace("\"ZZ\"", &format!("\"ZZ\",\"tailnum\":\"closing{n}\"")));
    let closings: String = closings.collect();
    broker.fill(topic, "tailnum", &closings);
    wait_for_the_end(&server);
    assert!(server.terminate().success());
    assert_whole(&project);
}

#[test]
fn cut_by_known_time_each_flight_counts_once() {
    let middle = weir_event::EventTime::from_millis(seen(ARCHIVED));
    through_kills("flights_cut_by_time", &middle.to_string());
}

#[test]
fn cut_by_the_log_s_own_offsets_each_flight_counts_once() {
    through_kills("flights_cut_by_offset", "{partition: kafka_partition, offset: kafka_offset}");
}

#[test]
fn a_topic_that_has_lost_what_the_archive_lacks_is_refused() {
    let broker = shared();
    let topic = "flights_with_a_gap";
    broker.topic(topic, 1);
    let all: String = known_flights()[..2000].iter().map(|flight| format!("{flight}\n")).collect();
    broker.fill(topic, "tailnum", &all);
    let (past, _) = archived(&broker.address, topic);
    let project = Project::new();
    write_archive(&project, &past[..1000], &["kafka_partition", "kafka_offset"]);
    tokio::runtime::Runtime::new().unwrap().block_on(delete_records(&broker.address, topic, 1200));
    let archive = "archive: {source: {file: {path: \"archive/dt=*/*.parquet\"}}, format: parquet, \
                   cut: {partition: kafka_partition, offset: kafka_offset}}\n";
    let kafka = format!("source: {{kafka: {{brokers: \"{}\", topic: {topic}}}}}\n{archive}", broker.address);
    project.file("streams/flights.yaml", &stream(&kafka));
    add_jobs(&project);
    let server = Server::start(&project, SETTINGS);
    let says_so = |job: &Value| {
        let reason = job["reason"].as_str().unwrap_or_default();
        job["state"] == "failed"
            && reason.contains("offsets before 1000")
            && reason.contains("begins with 1200")
    };
    server.wait_for_job("tumble_day", "the gap to be named", says_so);
    assert!(server.terminate().success());
}

const COUNTS: &str = "query: SELECT origin, COUNT(*) AS c, SUM(distance) AS miles FROM flights GROUP BY origin\nemit: {on: \
                      change}\nlate: {allow: 400d}\n";

/// What a training set of a project has at moments: those of flights, by the time that they are known or that they happen.
fn trained(project: &Project, moments: &[Value], more: &[&str]) -> Vec<Value> {
    project.file("jobs/counts.yaml", COUNTS);
    project.file("spine.jsonl", &moments.iter().map(|moment| format!("{moment}\n")).collect::<String>());
    train(project, "counts", more)
}

#[test]
fn a_training_set_reads_an_archive_and_the_topic_behind_it_as_it_reads_the_whole_topic() {
    let broker = shared();
    let topic = "flights_to_train_on";
    broker.topic(topic, 4);
    let all: Vec<Value> = known_flights()[..ARCHIVED + 3000]
        .iter()
        .map(|flight| serde_json::from_str(flight).unwrap())
        .collect();
    broker.fill(topic, "tailnum", &all.iter().map(|flight| format!("{flight}\n")).collect::<String>());
    let (past, _) = archived(&broker.address, topic);
    let (whole, both) = (Project::new(), Project::new());
    write_archive(&both, &past, &["kafka_partition", "kafka_offset"]);
    let kafka = format!("source: {{kafka: {{brokers: \"{}\", topic: {topic}}}}}\n", broker.address);
    whole.file("streams/flights.yaml", &stream(&kafka));
    let archive = "archive: {source: {file: {path: \"archive/dt=*/*.parquet\"}}, format: parquet, \
                   cut: {partition: kafka_partition, offset: kafka_offset}}\n";
    both.file("streams/flights.yaml", &stream(&format!("{kafka}{archive}")));
    let moments = |flights: &[Value], time: &str| {
        let moment = |flight: &Value| json!({"origin": flight["origin"], "event_time": flight[time]});
        flights.iter().step_by(61).map(moment).collect::<Vec<_>>()
    };
    let happened = moments(&all, "event_time");
    let event = ["--as-of", "event", "--with-log"];
    assert_eq!(trained(&both, &happened, &event), trained(&whole, &happened, &event));
    // Files of days tell when their flights happened; in which order they were known the topic tells.
    let known = moments(&all[ARCHIVED..], "seen");
    let found = trained(&both, &known, &["--with-log"]);
    assert_eq!(found, trained(&whole, &known, &[]));
    assert!(found.last().unwrap()["counts__c"].as_i64() > Some(4000), "{found:?}");
}
