//! Looking for where an archive ends: what is said meanwhile, and that jobs of one stream that start together do it once.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Project, Server, wait_for};
use serde_json::json;
use std::fmt::Write;
use std::time::Duration;

/// A second or two for a debug build.
pub(crate) const ROWS: i64 = 200_000;
const JOBS: usize = 6;

/// A stream whose archive is long, and whose log has its last row again; no jobs.
pub(crate) fn with_long_past() -> Project {
    let project = Project::new();
    let mut lines = String::new();
    for row in 0..ROWS {
        let _ = writeln!(lines, "{{\"user\": \"u{}\", \"at\": {}}}", row % 7, 1_770_000_000_000_i64 + row);
    }
    project.file("archive/a.jsonl", &lines);
    let fields = "fields: {user: string, at: timestamp}\nevent_time: at\nidle_after: 1s\n";
    let archive = "archive: {source: {file: {path: \"archive/*\"}}}\n";
    project.file("streams/events.yaml", &format!("{fields}source: {{http: {{}}}}\n{archive}"));
    let server = Server::start(&project, "shards: 1\n");
    let last = json!({"user": "u0", "at": 1_770_000_000_000_i64 + ROWS - 1});
    assert_eq!(server.post("/v1/streams/events/events", last.to_string()).0, 200);
    assert!(server.terminate().success());
    project
}

fn write_job(project: &Project, number: usize, more: &str) {
    let text =
        format!("query: SELECT user, COUNT(*) AS c{more} FROM events GROUP BY user\nemit: {{on: change}}\n");
    project.file(&format!("jobs/job{number}.yaml"), &text);
}

fn looks(project: &Project) -> usize {
    let log = std::fs::read_to_string(project.path().join("serve.log")).unwrap();
    log.matches("looking for where its archive ends").count()
}

#[test]
fn jobs_that_start_together_look_once_and_say_so() {
    let project = with_long_past();
    (0..JOBS).for_each(|number| write_job(&project, number, ""));
    let server = Server::start(&project, "shards: 1\n");
    wait_for("a job to say that it looks", Duration::from_secs(60), || {
        let (_, job) = server.get("/v1/jobs/job0");
        (job["state"] == "starting" && job["bootstrap"]["state"] == "looking").then_some(())
    });
    let (status, ready) = server.get("/readyz");
    assert!(status == 503 && ready.to_string().contains("looks for where its archive ends"), "{ready}");
    for number in 0..JOBS {
        let name = format!("job{number}");
        let job = server.wait_for_job(&name, "the past", |job| job["bootstrap"]["state"] == "done");
        assert_eq!(job["bootstrap"]["archive"]["rows"], ROWS - 1, "{job}");
    }
    assert_eq!(looks(&project), 1);
    // Whoever begins later looks anew, as the archive may have more by then.
    write_job(&project, JOBS, ", MAX(at) AS last");
    server.signal("HUP");
    let name = format!("job{JOBS}");
    server.wait_for_job(&name, "it to look", |job| job["bootstrap"]["state"] == "looking");
    // It shows what is posted now when it has read the past; whoever waits for the others does not wait for that.
    let now = json!({"user": "u0", "at": 1_770_000_000_000_i64 + ROWS});
    let (_, told) = server.post("/v1/streams/events/events?wait=visible", now.to_string());
    assert_eq!(told["visible"], true, "{told}");
    let (_, job) = server.get(&format!("/v1/jobs/{name}"));
    assert_ne!(job["bootstrap"]["state"], "done", "{job}");
    server.wait_for_job(&name, "the past", |job| job["bootstrap"]["state"] == "done");
    assert_eq!(looks(&project), 2);
}
