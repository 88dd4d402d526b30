//! What may go wrong with an archive and its cut: files that go before they are read, an archive that its stream has no more,
//! cuts where neither side has rows, rows that cannot be used, and events that come on both sides.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Project, Server};
use serde_json::{Value, json};
use std::io::Write;
use std::process::{Command, Stdio};

const FIELDS: &str =
    "fields: {user: string, n: bigint, at: timestamp, id: string}\nevent_time: at\nidle_after: 1s\n";
const JOB: &str =
    "query: SELECT user, COUNT(*) AS c, SUM(n) AS s FROM events GROUP BY user\nemit: {on: change}\n";
const SETTINGS: &str = "shards: 1\ncheckpoint: {every: 20ms}\n";
const BASE: i64 = 1_770_000_000_000;

fn at(second: i64) -> String {
    weir_event::EventTime::from_millis(BASE + second * 1000).to_string()
}

fn lines(seconds: std::ops::Range<i64>) -> String {
    let line =
        |second: i64| json!({"user": "u", "n": 1, "at": BASE + second * 1000, "id": second.to_string()});
    seconds.map(|second| format!("{}\n", line(second))).collect()
}

/// A project with an archive of these options, whose log has these events.
fn project(archive: &str, more: &str, posted: &str) -> Project {
    let project = Project::new();
    define(&project, archive, more);
    if !posted.is_empty() {
        let server = Server::start(&project, SETTINGS);
        post(&server, posted);
        assert!(server.terminate().success());
    }
    project.file("jobs/all.yaml", JOB);
    project
}

fn define(project: &Project, archive: &str, more: &str) {
    let archive = if archive.is_empty() {
        String::new()
    } else {
        format!("archive: {{source: {{file: {{path: \"archive/*\"}}}}{archive}}}\n")
    };
    project.file("streams/events.yaml", &format!("{FIELDS}{more}source: {{http: {{}}}}\n{archive}"));
}

fn post(server: &Server, lines: &str) {
    let (status, answer) = server.post("/v1/streams/events/events", lines);
    assert!(status == 200 && answer["rejected"] == json!([]), "{status}: {answer}");
}

fn done(server: &Server) -> Value {
    server.wait_for_job("all", "it to be bootstrapped", |job| job["bootstrap"]["state"] == "done")["bootstrap"].clone()
}

fn count(server: &Server, events: u64) -> Value {
    server.wait_for_job("all", "all events", |job| job["events"] == events);
    let (_, answer) = server.get("/v1/jobs/all/values?user=u");
    answer["features"]["c"].clone()
}

fn fails_with(server: &Server, words: &str) {
    let says_so = |job: &Value| {
        let reason = job["reason"].as_str().unwrap_or_default();
        job["state"] == "failed" && reason.contains(words)
    };
    server.wait_for_job("all", words, says_so);
}

fn gzip(text: &str) -> Vec<u8> {
    let mut child =
        Command::new("gzip").arg("-c").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap().stdout
}

#[test]
fn an_archive_that_goes_before_it_is_read_stops_the_job_until_it_is_back() {
    let cut = format!(", cut: {}", at(2000));
    let project = project(&cut, "", &lines(1900..2100));
    let whole = gzip(&lines(1000..2000));
    project.file("archive/a0.jsonl", &lines(0..1000));
    let second = project.path().join("archive/a1.jsonl.gz");
    std::fs::write(&second, &whole[..whole.len() / 2]).unwrap();
    let server = Server::start(&project, SETTINGS);
    fails_with(&server, "a1.jsonl.gz");
    assert!(server.terminate().success());

    define(&project, "", "");
    let server = Server::start(&project, SETTINGS);
    fails_with(
        &server,
        "the job has begun to read its `archive`, which its definition does not have any more",
    );
    assert!(server.terminate().success());

    define(&project, &cut, "");
    std::fs::remove_file(&second).unwrap();
    let server = Server::start(&project, SETTINGS);
    fails_with(&server, "`a1.jsonl.gz` is gone, or shorter; put it back");
    // It goes on by itself.
    std::fs::write(&second, &whole).unwrap();
    let told = done(&server);
    assert_eq!(told["archive"], json!({"rows": 2000, "refused": 0}), "{told}");
    assert_eq!(count(&server, 2100)["value"], 2100);
}

#[test]
fn where_only_one_side_has_rows_they_are_that_side_s_whatever_the_cut() {
    // The archive ends long before the cut, and the log has nothing yet.
    let late = project(", cut: \"2099-01-01T00:00:00Z\"", "", "");
    late.file("archive/a.jsonl", &lines(0..100));
    let server = Server::start(&late, SETTINGS);
    assert_eq!(done(&server)["archive"]["rows"], 100);
    post(&server, &lines(100..150));
    assert_eq!((&count(&server, 150)["value"], &count(&server, 150)["status"]), (&json!(150), &json!("ok")));
    assert!(server.terminate().success());
    // The log begins behind the cut, and the archive has what is between them.
    let early = project(&format!(", cut: {}", at(50)), "", &lines(80..150));
    early.file("archive/a.jsonl", &lines(0..100));
    let server = Server::start(&early, SETTINGS);
    assert_eq!(done(&server)["archive"], json!({"rows": 80, "refused": 20}));
    assert_eq!(count(&server, 150)["value"], 150);
    assert!(server.terminate().success());
    // The archive has nothing before the cut, and the log has all of it.
    let empty = project(&format!(", cut: {}", at(50)), "", &lines(0..150));
    empty.file("archive/a.jsonl", &lines(60..100));
    let server = Server::start(&empty, SETTINGS);
    assert_eq!(done(&server)["archive"], json!({"rows": 0, "refused": 40}));
    assert_eq!(count(&server, 150)["value"], 150);
}

#[test]
fn what_cannot_be_used_does_not_move_the_cut() {
    let project = project(", cut: auto", "", &lines(80..150));
    let bad = json!({"user": "u", "n": "many", "at": BASE + 140_000, "id": "x"});
    project.file("archive/a.jsonl", &format!("{}{bad}\n", lines(0..100)));
    let server = Server::start(&project, SETTINGS);
    let told = done(&server);
    assert_eq!(told["log"]["events/0"], json!({"rows": 50, "refused": 20}), "{told}");
    server.wait_for_job("all", "all events", |job| job["events"] == 151 && job["refused"] == 1);
    assert_eq!(count(&server, 151)["value"], 150);
}

#[test]
fn an_event_that_came_on_both_sides_of_the_cut_counts_once() {
    let again = lines(90..91).replace(&(BASE + 90_000).to_string(), &(BASE + 110_000).to_string());
    let project = project(", cut: auto", "event_id: id\n", &format!("{}{again}", lines(80..110)));
    project.file("archive/a.jsonl", &lines(0..100));
    for _ in 0..2 {
        let server = Server::start(&project, SETTINGS);
        done(&server);
        let job = server.wait_for_job("all", "all events", |job| job["events"] == 111);
        assert_eq!(job["duplicates"], 1, "{job}");
        assert_eq!(count(&server, 111)["value"], 110);
        server.kill();
    }
}
