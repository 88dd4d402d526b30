//! Jobs whose sinks get the results of the past at a pace: later ones come first, all come in the end, each once, whatever
//! is killed meanwhile, and a store that keeps the newest row of a key has it all the while.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test fails by panicking; the server and the store are other processes, which go by their own clocks"
)]

use crate::bootstrap::{bootstrapped, closing, known_flights, stream, write_archive};
use crate::flights::{QUERIES, answers, assert_same, counted};
use crate::harness::{Project, Server, wait_for};
use crate::services::stores::Redis;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

/// Flights of the archive.
const ARCHIVED: usize = 13_000;
const PATIENCE: Duration = Duration::from_secs(60);
const SETTINGS: &str = "shards: 2\ncheckpoint: {every: 50ms}\n";

fn project(all: &[String], job: &str, sinks: &str, rate: u32) -> Project {
    let project = Project::new();
    write_archive(&project, &all[..ARCHIVED], &[]);
    let archive = "archive: {source: {file: {path: \"archive/dt=*/*.parquet\"}}, format: parquet}\n";
    project.file("streams/flights.yaml", &stream(&format!("source: {{http: {{}}}}\n{archive}")));
    let server = Server::start(&project, SETTINGS);
    // The newest row of the archive is the log's.
    post(&server, &all[ARCHIVED - 1..ARCHIVED]);
    assert!(server.terminate().success());
    let (_, query) = QUERIES.iter().find(|(name, _)| *name == job).unwrap();
    let bootstrap = format!("bootstrap: {{writes: {{smooth: {{rate: {rate}}}}}}}\n");
    project.file(&format!("jobs/{job}.yaml"), &format!("query: |\n  {query}\nsinks: [{sinks}]\n{bootstrap}"));
    project
}

fn post(server: &Server, flights: &[String]) {
    for flights in flights.chunks(2000) {
        let body: String = flights.iter().map(|flight| format!("{flight}\n")).collect();
        let (status, answer) = server.post("/v1/streams/flights/events", &body);
        assert_eq!(status, 200, "{answer}");
    }
}

/// How many rows of the past wait for each sink of a job, and later ones.
fn waiting(job: &Value) -> (u64, u64) {
    let figure = |name: &str| {
        let sinks = job["sink_counts"].as_object().unwrap();
        sinks.values().map(|sink| sink[name].as_u64().unwrap()).max().unwrap()
    };
    (figure("past_waiting_rows"), figure("waiting_rows"))
}

#[test]
fn files_have_each_row_of_the_past_and_later_once_though_the_server_is_killed_while_the_past_waits() {
    let all = known_flights();
    let project = project(&all, "over_7d", "{file: {path: out}}", 2000);
    let server = Server::start(&project, SETTINGS);
    bootstrapped(&server, "over_7d");
    let (of_past, _) = waiting(&server.get("/v1/jobs/over_7d").1);
    assert!(of_past > 8000, "{of_past} rows wait: the job is not held up by them");
    // A later row is there while those of the past wait.
    post(&server, &all[ARCHIVED..15_000]);
    // Its result is final when a day more is known.
    let later: Value = serde_json::from_str(&all[13_100]).unwrap();
    wait_for("a later row", PATIENCE, || {
        project.rows("out").iter().any(|row| row["flight_id"] == later["flight_id"]).then_some(())
    });
    let (left, _) = waiting(&server.get("/v1/jobs/over_7d").1);
    assert!(left > 1000 && left < of_past, "of {of_past}, {left} wait");
    let (_, metrics) = server.get_text("/metrics");
    assert!(metrics.contains("weir_sink_past_waiting_rows{job_name=\"over_7d\",sink=\"file\"}"), "{metrics}");
    let (_, told) = server.weir(&["status"]);
    assert!(told.contains("rows of the past wait for it, later ones go before"), "{told}");
    server.kill();

    for life in 0..10_usize {
        let server = Server::start(&project, SETTINGS);
        let running = |job: &Value| job["state"] == "running" && job["sink_counts"]["file"].is_object();
        let job = server.wait_for_job("over_7d", "it to run", running);
        let now = waiting(&job).0;
        assert!(now > 0 && now <= of_past, "life {life}: {now} wait, {of_past} at first");
        let from = 15_000 + life * 400;
        post(&server, &all[from..from + 400]);
        std::thread::sleep(Duration::from_millis(30 + 23 * life as u64));
        server.kill();
    }
    let server = Server::start(&project, SETTINGS);
    post(&server, &all[19_000..]);
    let (_, _) = server.post("/v1/streams/flights/events", closing());
    let has_all =
        |job: &Value| job["watermark"].as_str() >= Some("2014-02-19T00:00:00.000Z") && waiting(job) == (0, 0);
    server.wait_for_job("over_7d", "all rows", has_all);
    assert!(server.terminate().success());
    let mut rows = project.rows("out");
    rows.retain(|row| row["flight_id"] != "later");
    assert_same("over_7d", &counted(rows.into_iter()), &answers("over_7d"));
}

#[test]
fn a_run_to_the_end_writes_what_waits_of_the_past_however_slow_its_pace_is() {
    let all = known_flights();
    let project = project(&all, "over_7d", "{file: {path: out}}", 1);
    let server = Server::start(&project, SETTINGS);
    bootstrapped(&server, "over_7d");
    assert!(waiting(&server.get("/v1/jobs/over_7d").1).0 > 10_000);
    post(&server, &all[ARCHIVED..]);
    assert!(server.terminate().success());
    project.run(&[]);
    assert_same("over_7d", &counted(project.rows("out").into_iter()), &answers("over_7d"));
}

/// By carrier, the end of the window whose row a store holds, and how many flights that has.
type Held = BTreeMap<String, (String, String)>;

fn held(redis: &Redis) -> Held {
    let keys = redis.answer(&["KEYS", "*"]);
    let row = |key: &Value| {
        let key = key.as_str().unwrap();
        let row = redis.answer(&["HGETALL", key]);
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        (text("carrier"), (text("window_end"), text("flights")))
    };
    keys.as_array().unwrap().iter().map(row).collect()
}

/// The same as files say that have every row.
fn newest(rows: Vec<Value>) -> Held {
    let mut newest = Held::new();
    for row in rows {
        let text = |name: &str| row[name].as_str().unwrap().to_owned();
        let held = (text("window_end"), row["flights"].to_string());
        let known = newest.entry(text("carrier")).or_insert_with(|| held.clone());
        *known = known.clone().max(held);
    }
    newest
}

#[test]
fn a_store_has_the_newest_row_of_each_key_as_soon_as_the_past_is_read_and_keeps_it() {
    let all = known_flights();
    let redis = Redis::start();
    let sinks =
        format!("{{file: {{path: out}}}}, {{redis: {{url: \"{}\", batch: {{rows: 20}}}}}}", redis.url());
    let project = project(&all, "hop_6h_1h", &sinks, 400);
    let server = Server::start(&project, SETTINGS);
    bootstrapped(&server, "hop_6h_1h");
    let (of_past, _) = waiting(&server.get("/v1/jobs/hop_6h_1h").1);
    assert!(of_past > 1000, "{of_past} rows wait");
    let job = server.wait_for_job("hop_6h_1h", "current rows to be written", |job| waiting(job).1 == 0);
    assert!(waiting(&job).0 > 500, "{job}");
    std::thread::sleep(Duration::from_millis(300));
    let at_first = held(&redis);
    let last = at_first.values().map(|(end, _)| end).max().unwrap().clone();
    let current: Held = at_first.clone().into_iter().filter(|(_, (end, _))| *end == last).collect();
    assert!(current.len() >= 10, "{at_first:?}");
    // What comes of the past takes the place of no row; a carrier without any flight in the last window has its own there.
    while waiting(&server.get("/v1/jobs/hop_6h_1h").1).0 > of_past / 2 {
        let now = held(&redis);
        let is_older = |(carrier, row): &(&String, &(String, String))| now[*carrier].0 < row.0;
        assert_eq!(at_first.iter().find(is_older), None, "{now:?}");
        assert_eq!(current.iter().find(|(carrier, row)| now[*carrier] != **row), None, "{now:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
    post(&server, &all[ARCHIVED..]);
    let (_, _) = server.post("/v1/streams/flights/events", closing());
    server.kill();
    let server = Server::start(&project, SETTINGS);
    let has_all =
        |job: &Value| job["watermark"].as_str() >= Some("2014-02-19T00:00:00.000Z") && waiting(job) == (0, 0);
    let job = server.wait_for_job("hop_6h_1h", "all rows", has_all);
    let stale = job["sink_counts"]["redis"]["stale_rows"].as_u64();
    assert!(stale > Some(100), "rows of the past came last: {stale:?}");
    let newest = newest(project.rows("out"));
    wait_for("the newest rows", PATIENCE, || (held(&redis) == newest).then_some(()));
    assert!(server.terminate().success());
}
