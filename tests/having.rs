//! HAVING and what is taken away: what was never written is not, after `kill -9` too, and what was written is.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Project, Server, last_rows, last_sessions, wait_for};
use serde_json::{Value, json};
use std::time::Duration;

const STREAM: &str = "\
fields: {k: string, n: bigint, at: timestamp}
event_time: at
idle_after: 1h
source: {http: {}}
";
const OFTEN: &str = "checkpoint: {every: 50ms}\n";
/// The start of a window, whatever its length here.
const FIRST: i64 = 1_770_000_000_000;

fn add_job(project: &Project, job: &str, window: &str, more: &str) {
    let query = format!("SELECT k, SUM(n) AS total FROM s GROUP BY k, {window}");
    let sinks = format!("sinks: [{{file: {{path: out/{job}, meta: true}}}}]\n");
    project.file(&format!("jobs/{job}.yaml"), &format!("query: |\n  {query}\n{more}{sinks}"));
}

/// Posts an event of so many milliseconds after the first window's start.
#[track_caller]
fn post(server: &Server, k: &str, at: i64, n: i64) {
    let event = json!({"k": k, "n": n, "at": FIRST + at}).to_string();
    let (status, answer) = server.post("/v1/streams/s/events?wait=visible", event);
    assert_eq!((status, &answer["visible"]), (200, &json!(true)), "{answer}");
}

fn deletes(rows: &[Value]) -> Vec<&Value> {
    rows.iter().map(|row| &row["_weir"]).filter(|meta| meta["op"] == "delete").collect()
}

/// Written rows of a job and a key.
fn written(project: &Project, job: &str, k: &str) -> Vec<Value> {
    let rows = project.rows(&format!("out/{job}"));
    rows.into_iter().filter(|row| row["_weir"]["key"]["k"] == k).collect()
}

#[test]
fn sessions_of_which_having_is_never_true_are_never_deleted() {
    let project = Project::new();
    project.file("streams/s.yaml", &format!("{STREAM}disorder: 5s\n"));
    let session = "SESSION(at, INTERVAL '2' SECOND)";
    for (emit, more) in [("change", "emit: {on: change}\n"), ("close", "")] {
        add_job(&project, &format!("never_{emit}"), &format!("{session} HAVING SUM(n) > 1000"), more);
        add_job(&project, &format!("small_{emit}"), &format!("{session} HAVING SUM(n) < 4"), more);
        add_job(&project, &format!("all_{emit}"), session, more);
    }
    let mut server = Server::start(&project, OFTEN);
    // Sessions grow at both ends, are joined by an event between them, are left behind, and are corrected late.
    let times = [1000, 2500, 500, 6000, 4200, 12_000, 11_000, 15_000, 13_500, 40_000, 15_500, 9000, 60_000];
    for (number, at) in times.into_iter().enumerate() {
        post(&server, "a", at, 1);
        post(&server, "b", at / 3, 1);
        if number % 5 == 4 {
            server.kill();
            server = Server::start(&project, OFTEN);
            server.wait_ready();
        }
    }
    assert!(server.terminate().success());
    for emit in ["change", "close"] {
        let never = project.rows(&format!("out/never_{emit}"));
        assert!(never.is_empty(), "{emit}: {never:?}");
        let small = project.rows(&format!("out/small_{emit}"));
        let are_known = |meta: &Value| {
            let is_it = |row: &&Value| {
                row["_weir"]["op"] == "upsert"
                    && row["_weir"]["key"] == meta["key"]
                    && row["_weir"]["window"]["start"] == meta["window"]["start"]
            };
            small.iter().any(|row| is_it(&row))
        };
        let gone = deletes(&small);
        assert!(gone.iter().all(|meta| are_known(meta)), "{emit}: {small:?}");
        let all = last_sessions(project.rows(&format!("out/all_{emit}")));
        let few: Vec<Value> = all.into_iter().filter(|row| row["total"].as_i64() < Some(4)).collect();
        assert_eq!(last_sessions(small.clone()), few, "{emit}: {small:?}");
        assert!(!few.is_empty());
    }
    let changes = project.rows("out/small_change");
    assert!(!deletes(&changes).is_empty(), "sessions have grown too large: {changes:?}");
}

#[test]
fn a_late_row_takes_only_away_what_was_written_before_a_kill() {
    let project = Project::new();
    project.file("streams/s.yaml", STREAM);
    add_job(&project, "j", "TUMBLE(at, INTERVAL '10' SECOND) HAVING SUM(n) > 0", "");
    let server = Server::start(&project, OFTEN);
    for (k, second, n) in [("a", 1, 5), ("a", 11, -5), ("z", 30, 1)] {
        post(&server, k, second * 1000, n);
    }
    let five = || (written(&project, "j", "a").len() == 1).then_some(());
    wait_for("the first window to be written", Duration::from_secs(20), five);
    server.kill();
    let server = Server::start(&project, OFTEN);
    server.wait_ready();
    post(&server, "a", 12_000, -1);
    assert!(server.terminate().success());
    let rows = written(&project, "j", "a");
    assert!(deletes(&rows).is_empty(), "{rows:?}");
    assert_eq!(last_rows(rows.clone()), [json!({"k": "a", "total": 5})], "{rows:?}");
    // What was written before is known still.
    let server = Server::start(&project, OFTEN);
    server.wait_ready();
    post(&server, "a", 2000, -9);
    assert!(server.terminate().success());
    let rows = written(&project, "j", "a");
    let gone = deletes(&rows);
    assert_eq!((gone.len(), &gone[0]["window"]), (1, &rows[0]["_weir"]["window"]), "{rows:?}");
    assert!(last_rows(rows).is_empty());
}
