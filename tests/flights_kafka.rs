//! The flights once more through a real Kafka broker: four partitions keyed by tail number, read to the end, and read
//! live while weir is killed twice and the broker restarted once.

use crate::flights::{QUERIES, STREAM, add_jobs, answers, assert_same, counted};
use crate::harness::{Project, Server, wait_for};
use crate::services::flights;
use crate::services::kafka::{Broker, shared};
use serde_json::json;
use std::time::Duration;

fn stream(broker: &str, topic: &str) -> String {
    format!("{STREAM}source: {{kafka: {{brokers: \"{broker}\", topic: {topic}}}}}\n")
}

#[test]
fn a_run_until_the_end_gives_all_three_answers() {
    let broker = shared();
    broker.topic("flights_until_end", 4);
    broker.fill("flights_until_end", "tailnum", &flights());
    let project = Project::new();
    project.file("streams/flights.yaml", &stream(&broker.address, "flights_until_end"));
    project.file("weir.yaml", "shards: 2\n");
    add_jobs(&project);
    project.run(&[]);
    for (name, _) in QUERIES {
        let found = project.rows(&format!("out/{name}"));
        if name == "over_7d" {
            assert_sequences(found);
        } else {
            assert_same(name, &counted(found.into_iter()), &answers(name));
        }
    }
}

/// Flights tied in time are ordered by partition and offset, and all of a tail number are in one partition: the
/// answers are those of the file's order.
#[track_caller]
fn assert_sequences(found: Vec<serde_json::Value>) {
    assert_same("over_7d", &counted(found.into_iter()), &answers("over_7d"));
}

#[test]
fn a_server_killed_twice_and_a_broker_restarted_give_all_three_answers() {
    let broker = Broker::start();
    broker.topic("flights_live", 4);
    let all = flights();
    let half = all.match_indices('\n').nth(13_000).expect("there are more flights").0 + 1;
    broker.fill("flights_live", "tailnum", &all[..half]);
    let project = Project::new();
    project.file("streams/flights.yaml", &stream(&broker.address, "flights_live"));
    add_jobs(&project);
    let settings = "shards: 2\ncheckpoint: {every: 100ms}\n";

    let server = Server::start(&project, settings);
    has_read(&server, 1);
    server.kill();
    let server = Server::start(&project, settings);
    server.wait_ready();
    broker.kill();
    wait_for("the job to say that the broker is away", Duration::from_secs(30), || {
        let (_, job) = server.get(&format!("/v1/jobs/{}", QUERIES[0].0));
        let says_so = job["reason"].as_str().is_some_and(|reason| reason.contains(&broker.address));
        (job["state"] == "retrying" && says_so).then_some(())
    });
    broker.restart();
    wait_for("the job to run again", Duration::from_secs(30), || {
        let (_, job) = server.get(&format!("/v1/jobs/{}", QUERIES[0].0));
        (job["state"] == "running").then_some(())
    });
    broker.fill("flights_live", "tailnum", &all[half..]);
    has_read(&server, 13_500);
    server.kill();
    // A later event in every partition closes the last windows; tail numbers of their own keep them apart.
    let closing: String = (0..64)
        .map(|n| json!({"flight_id": "later", "carrier": "ZZ", "tailnum": format!("closing{n}"), "origin": "ZZZ", "event_time": "2014-02-20T00:00:00Z"}))
        .map(|event| format!("{event}\n"))
        .collect();
    broker.fill("flights_live", "tailnum", &closing);
    let server = Server::start(&project, settings);
    server.wait_ready();
    // A day of disorder behind the closing events.
    for (name, _) in QUERIES {
        wait_for("the last windows", Duration::from_secs(60), || {
            let (_, job) = server.get(&format!("/v1/jobs/{name}"));
            (job["watermark"] == "2014-02-19T00:00:00.000Z").then_some(())
        });
    }
    assert!(server.terminate().success());
    for (name, _) in QUERIES {
        assert_same(name, &counted(written(&project, name).into_iter()), &answers(name));
    }
}

/// Waits until a job has read so many flights.
fn has_read(server: &Server, flights: u64) {
    let is_so = |job: &serde_json::Value| job["events"].as_u64() >= Some(flights);
    server.wait_for_job(QUERIES[0].0, "flights to be read", is_so);
}

/// Result rows of the flights themselves, without those of the closing events.
fn written(project: &Project, name: &str) -> Vec<serde_json::Value> {
    let mut rows = project.rows(&format!("out/{name}"));
    rows.retain(|row| row["carrier"] != "ZZ" && row["origin"] != "ZZZ" && row["flight_id"] != "later");
    rows
}
