//! Jobs that begin with the past: flights of which the first half is kept in an archive, Parquet in folders by day, and the
//! rest comes as events, a stretch of both being in either. Whatever the cut, and however often the server is killed on
//! the way, the rows are those of all flights read at once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a server is let run for a moment before it is killed")]

use crate::flights::{QUERIES, STREAM, answers, assert_same, counted};
use crate::harness::{Project, Server, wait_for};
use crate::services::flights;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// Flights of the archive, and the first that is posted.
const ARCHIVED: usize = 13_000;
const POSTED_FROM: usize = 12_000;
/// When the first flight was known; the others follow, a second each.
const FIRST_SEEN: i64 = 1_393_632_000_000;

pub(crate) fn seen(flight: usize) -> i64 {
    FIRST_SEEN + flight as i64 * 1000
}

/// All flights in the order in which they were known, which each says.
pub(crate) fn known_flights() -> Vec<String> {
    let with_seen = |(number, line): (usize, &str)| {
        let mut flight: Value = serde_json::from_str(line).unwrap();
        flight["seen"] = json!(seen(number));
        flight.to_string()
    };
    flights().lines().enumerate().map(with_seen).collect()
}

pub(crate) fn stream(rest: &str) -> String {
    let fields = STREAM.replace("cancelled: boolean", "cancelled: boolean, seen: timestamp");
    format!("{fields}known_time: seen\n{rest}")
}

/// Writes flights as an archive: Parquet, in a folder for each day. `more` are further columns.
pub(crate) fn write_archive(project: &Project, flights: &[String], more: &[&str]) {
    let writer = Project::new();
    let declared: String = more.iter().map(|name| format!(", {name}: bigint")).collect();
    let text = stream("source: {file: {path: flights.jsonl}}\n")
        .replace("seen: timestamp", &format!("seen: timestamp{declared}"));
    writer.file("streams/flights.yaml", &text);
    let columns =
        "flight_id, carrier, tailnum, origin, dest, event_time, dep_delay, distance, cancelled, seen";
    let columns = std::iter::once(columns).chain(more.iter().copied()).collect::<Vec<_>>().join(", ");
    let path = project.path().join("archive");
    let sink =
        format!("{{file: {{path: {}, format: parquet, partition: [\"dt=%Y-%m-%d\"]}}}}", path.display());
    writer.file("jobs/all.yaml", &format!("query: SELECT {columns} FROM flights\nsinks: [{sink}]\n"));
    writer.file("flights.jsonl", &flights.iter().map(|flight| format!("{flight}\n")).collect::<String>());
    writer.run(&[]);
}

/// The three jobs; results of the past and of what came later go to sinks of their own.
pub(crate) fn add_jobs(project: &Project) {
    for (name, query) in QUERIES {
        let sinks = format!("sinks: [{{file: {{path: out/{name}}}}}, {{file: {{path: past/{name}}}}}]\n");
        let bootstrap = "bootstrap: {shards: 4, writes: {separate: [file-2]}}\n";
        project.file(&format!("jobs/{name}.yaml"), &format!("query: |\n  {query}\n{sinks}{bootstrap}"));
    }
}

/// A later event closes the last windows.
pub(crate) fn closing() -> String {
    let later = json!({"flight_id": "later", "carrier": "ZZ", "origin": "ZZZ", "event_time": "2014-02-20T00:00:00Z",
                       "seen": "2014-06-01T00:00:00Z"});
    format!("{later}\n")
}

/// What was written of the past and later is what all flights read at once give. Only the current result of a key may be in
/// both.
#[track_caller]
pub(crate) fn assert_whole(project: &Project) {
    for (name, _) in QUERIES {
        let is_flight =
            |row: &Value| row["carrier"] != "ZZ" && row["origin"] != "ZZZ" && row["flight_id"] != "later";
        let rows = |folder: &str| {
            let mut rows = project.rows(&format!("{folder}/{name}"));
            rows.retain(is_flight);
            counted(rows.into_iter())
        };
        let (past, later) = (rows("past"), rows("out"));
        let all = answers(name);
        let twice: Vec<_> = past.iter().chain(&later).filter(|(_, count)| **count > 1).take(3).collect();
        let expected_twice = all.values().any(|count| *count > 1);
        assert!(expected_twice || twice.is_empty(), "{name}: written twice: {twice:#?}");
        let mut joined: BTreeMap<String, u64> = past.clone();
        for (row, count) in &later {
            let known = joined.entry(row.clone()).or_default();
            *known = (*known).max(*count);
        }
        assert_same(name, &joined, &all);
        assert!(
            !past.is_empty() && later.len() < all.len(),
            "{name}: {} of the past, {} later",
            past.len(),
            later.len()
        );
    }
}

pub(crate) fn post(server: &Server, flights: &[String]) {
    for flights in flights.chunks(2000) {
        let body: String = flights.iter().map(|flight| format!("{flight}\n")).collect();
        let (status, answer) = server.post("/v1/streams/flights/events", &body);
        assert!(status == 200 && answer["rejected"] == json!([]), "{status}: {:.300}", answer.to_string());
    }
}

pub(crate) fn bootstrapped(server: &Server, job: &str) -> Value {
    let is_so = |job: &Value| job["bootstrap"]["state"] == "done";
    server.wait_for_job(job, "the job to be bootstrapped", is_so)["bootstrap"].clone()
}

#[test]
fn an_archive_and_events_that_overlap_are_one_history_whatever_the_cut() {
    let all = known_flights();
    let middle = weir_event::EventTime::from_millis(seen(12_500));
    for (cut, of_archive) in [("auto".to_owned(), ARCHIVED - 1), (format!("{middle}"), 12_500)] {
        let project = Project::new();
        write_archive(&project, &all[..ARCHIVED], &[]);
        let archive = format!(
            "archive: {{source: {{file: {{path: \"archive/dt=*/*.parquet\"}}}}, format: parquet, cut: {cut}}}\n"
        );
        project.file("streams/flights.yaml", &stream(&format!("source: {{http: {{}}}}\n{archive}")));
        let settings = "shards: 1\ncheckpoint: {every: 100ms}\n";
        // The events are there before any job is.
        let server = Server::start(&project, settings);
        post(&server, &all[POSTED_FROM..20_000]);
        assert!(server.terminate().success());
        add_jobs(&project);
        let server = Server::start(&project, settings);
        for (name, _) in QUERIES {
            let told = bootstrapped(&server, name);
            assert_eq!(
                told["archive"],
                json!({"rows": of_archive, "refused": ARCHIVED - of_archive}),
                "{told}"
            );
            let refused = of_archive - POSTED_FROM;
            assert_eq!(told["log"]["flights/0"]["refused"], refused, "{told}");
        }
        post(&server, &all[20_000..]);
        let (_, _) = server.post("/v1/streams/flights/events", closing());
        wait_for_the_end(&server);
        assert!(server.terminate().success());
        assert_whole(&project);
    }
}

pub(crate) fn wait_for_the_end(server: &Server) {
    for (name, _) in QUERIES {
        let is_closed = |job: &Value| job["watermark"].as_str() >= Some("2014-02-19T00:00:00.000Z");
        server.wait_for_job(name, "the last windows", is_closed);
    }
}

#[test]
fn a_job_that_is_killed_while_it_reads_the_past_goes_on_where_it_was() {
    let all = known_flights();
    let project = Project::new();
    write_archive(&project, &all[..ARCHIVED], &[]);
    let archive = "archive: {source: {file: {path: \"archive/dt=*/*.parquet\"}}, format: parquet}\n";
    project.file("streams/flights.yaml", &stream(&format!("source: {{http: {{}}}}\n{archive}")));
    let settings = "shards: 1\ncheckpoint: {every: 10ms}\n";
    let server = Server::start(&project, settings);
    post(&server, &all[POSTED_FROM..20_000]);
    assert!(server.terminate().success());
    add_jobs(&project);
    let mut pause = Duration::from_millis(5);
    for _ in 0..20 {
        let server = Server::start(&project, settings);
        std::thread::sleep(pause);
        server.kill();
        pause += Duration::from_millis(5);
    }
    let server = Server::start(&project, settings);
    for (name, _) in QUERIES {
        let told = bootstrapped(&server, name);
        assert_eq!(told["archive"], json!({"rows": ARCHIVED - 1, "refused": 1}), "{told}");
    }
    post(&server, &all[20_000..]);
    let (_, _) = server.post("/v1/streams/flights/events", closing());
    wait_for_the_end(&server);
    assert!(server.terminate().success());
    assert_whole(&project);
}

#[test]
fn a_gap_between_the_archive_and_the_log_is_named_and_refused_unless_it_is_allowed() {
    let all = known_flights();
    let project = Project::new();
    write_archive(&project, &all[..1000], &[]);
    let stream_with = |more: &str| {
        let archive = format!(
            "archive: {{source: {{file: {{path: \"archive/dt=*/*.parquet\"}}}}, format: parquet{more}}}\n"
        );
        project.file("streams/flights.yaml", &stream(&format!("source: {{http: {{}}}}\n{archive}")));
    };
    stream_with("");
    let settings = "shards: 1\ncheckpoint: {every: 100ms}\n";
    let server = Server::start(&project, settings);
    post(&server, &all[1500..2000]);
    assert!(server.terminate().success());
    add_jobs(&project);
    let server = Server::start(&project, settings);
    let [archive, log] =
        [999, 1500].map(|flight| weir_event::EventTime::from_millis(seen(flight)).to_string());
    let says_so = |job: &Value| {
        let reason = job["reason"].as_str().unwrap_or_default();
        job["state"] == "failed"
            && reason.contains(&archive)
            && reason.contains(&log)
            && reason.contains("allow_gap: true")
    };
    server.wait_for_job("tumble_day", "the gap to be named", says_so);
    assert!(server.terminate().success());
    stream_with(", allow_gap: true");
    let server = Server::start(&project, settings);
    let told = bootstrapped(&server, "tumble_day");
    assert_eq!(told["gap"], json!({"flights": [archive, log]}), "{told}");
    assert_eq!(told["archive"]["rows"], 1000, "the last row before a gap is in the archive alone: {told}");
    let job = server.wait_for_job("tumble_day", "its figures", |job| job["events"] == 1500);
    assert_eq!(job["data_since"], log.as_str(), "{job}");
}

#[test]
fn what_is_written_once_the_past_is_read_is_what_lookups_say() {
    let all = known_flights();
    let project = Project::new();
    write_archive(&project, &all[..ARCHIVED], &[]);
    let archive = "archive: {source: {file: {path: \"archive/dt=*/*.parquet\"}}, format: parquet}\n";
    project.file("streams/flights.yaml", &stream(&format!("source: {{http: {{}}}}\n{archive}")));
    for (name, query) in QUERIES {
        let text = format!("query: |\n  {query}\nhistory: 10d\nsinks: [{{file: {{path: out/{name}}}}}]\n");
        project.file(&format!("jobs/{name}.yaml"), &text);
    }
    let settings = "shards: 2\ncheckpoint: {every: 100ms}\n";
    let server = Server::start(&project, settings);
    post(&server, &all[ARCHIVED - 1..ARCHIVED]);
    for (name, _) in QUERIES {
        bootstrapped(&server, name);
    }
    for (name, key) in [("tumble_day", "origin"), ("hop_6h_1h", "carrier")] {
        let rows = wait_for("current rows", Duration::from_secs(20), || {
            Some(project.rows(&format!("out/{name}"))).filter(|rows| !rows.is_empty())
        });
        for row in rows {
            let window_end = row["window_end"].as_str().unwrap();
            let before = window_end.parse::<weir_event::EventTime>().unwrap().millis() - 1;
            let request = json!({"features": [name], "entities": [{key: row[key]}], "as_of": before});
            let (status, answer) = server.post("/v1/lookup", request.to_string());
            assert_eq!(status, 200, "{request}: {answer}");
            assert_eq!(
                answer["rows"][0]["features"][format!("{name}:flights")]["value"],
                row["flights"],
                "{request}: {answer}"
            );
        }
    }
    let last = wait_for("current rows", Duration::from_secs(20), || {
        Some(project.rows("out/over_7d")).filter(|rows| !rows.is_empty())
    });
    let tails: Vec<&str> = last.iter().map(|row| row["tailnum"].as_str().unwrap()).collect();
    let mut once = tails.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(tails.len(), once.len(), "the newest row of each key, once");
    // Nothing of the past is among them that is not an answer of all flights.
    let all = answers("over_7d");
    let wrong = counted(last.into_iter()).into_keys().find(|row| !all.contains_key(row));
    assert_eq!(wrong, None);
}
