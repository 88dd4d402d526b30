//! A sink whose folder is gone for a while, beside one that works: it fails alone, and gets each row once when its folder
//! is back, whatever happens to the process meanwhile.

use crate::harness::{Project, Server, wait_for};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

const STREAM: &str =
    "stream: s\nfields: {user_id: string, t: timestamp}\nevent_time: t\ndisorder: 0s\nidle_after: 1h\n";
const QUERY: &str = "query: |\n  SELECT user_id, COUNT(*) AS n, TUMBLE_END(rowtime, INTERVAL '1' SECOND) AS e FROM s \
                     GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' SECOND)\n";

fn project(source: &str, options: &str) -> Project {
    let project = Project::new();
    project.file("streams/s.yaml", &format!("{STREAM}source: {source}\n"));
    let sinks = format!("sinks:\n  - file: {{path: good}}\n  - file: {{path: bad, meta: true{options}}}\n");
    project.file("jobs/j.yaml", &format!("{QUERY}{sinks}"));
    project
}

/// Two events in each of these seconds.
fn events(seconds: std::ops::Range<u32>) -> String {
    let line = |second: u32| json!({"user_id": "u", "t": i64::from(second) * 1000 + 1}).to_string();
    seconds.map(|second| format!("{0}\n{0}\n", line(second))).collect()
}

fn post(server: &Server, seconds: std::ops::Range<u32>) {
    let (status, answer) = server.post("/v1/streams/s/events", events(seconds));
    assert_eq!(status, 200, "{answer}");
}

/// The ends of the windows that a sink has written, in seconds and in order of writing.
fn written(project: &Project, folder: &str) -> Vec<i64> {
    let end = |row: Value| {
        assert_eq!(row["n"], 2, "{row}");
        let end: weir_event::EventTime = row["e"].as_str().expect("a time").parse().expect("a time");
        end.millis() / 1000
    };
    project.rows(folder).into_iter().map(end).collect()
}

fn wait_until_written(project: &Project, folder: &str, windows: i64) {
    let mut seen = Vec::new();
    wait_for(&format!("{windows} windows in {folder}"), Duration::from_secs(40), || {
        seen = written(project, folder);
        (seen.len() as i64 >= windows).then_some(())
    });
    assert_eq!(seen, (1..=windows).collect::<Vec<_>>(), "each window is written once, in order");
}

/// Takes the folder of the bad sink away and puts a file in its place; gives where it went.
fn take_away(project: &Project) -> PathBuf {
    let (folder, away) = (project.path().join("bad"), project.path().join("away"));
    if folder.exists() {
        std::fs::rename(&folder, &away).expect("a folder can be renamed");
    }
    std::fs::write(&folder, "not a folder").expect("a file can be written");
    away
}

fn bring_back(project: &Project) {
    let (folder, away) = (project.path().join("bad"), project.path().join("away"));
    std::fs::remove_file(&folder).expect("the file is there");
    if away.exists() {
        std::fs::rename(&away, &folder).expect("a folder can be renamed");
    }
}

fn checkpoint(status: &Value) -> u64 {
    status["last_checkpoint"]["number"].as_u64().unwrap_or(0)
}

pub(crate) const OFTEN: &str = "checkpoint: {every: 50ms}\n";

#[test]
fn a_folder_that_is_away_for_a_while_stops_nothing_else_and_misses_nothing() {
    let project = project("{http: {}}", "");
    let server = Server::start(&project, OFTEN);
    post(&server, 0..6);
    wait_until_written(&project, "good", 5);
    wait_until_written(&project, "bad", 5);

    take_away(&project);
    post(&server, 6..11);
    wait_until_written(&project, "good", 10);
    let status = server.wait_for_job("j", "the sink is in trouble", |job| {
        job["sink_counts"]["file-2"]["state"] != "running"
    });
    assert_eq!(status["state"], "running", "{status}");
    assert_eq!(status["sink_counts"]["file"]["state"], "running", "{status}");
    let reason = status["sink_counts"]["file-2"]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("bad"), "{status}");
    let before = checkpoint(&status);
    server.wait_for_job("j", "checkpoints go on", |job| checkpoint(job) > before + 3);
    let (_, page) = server.get_text("/metrics");
    assert!(page.contains("weir_sink_running{job_name=\"j\",sink=\"file-2\"} 0"), "{page}");
    assert!(page.contains("weir_sink_running{job_name=\"j\",sink=\"file\"} 1"), "{page}");
    let (_, told) = server.weir(&["status"]);
    assert!(told.contains("sink `file-2`"), "{told}");

    let mut server = server;
    for end in [16, 21] {
        server.kill();
        server = Server::start(&project, OFTEN);
        post(&server, end - 5..end);
        wait_until_written(&project, "good", i64::from(end) - 1);
        server.wait_for_job("j", "a checkpoint", |job| checkpoint(job) > 0);
    }
    bring_back(&project);
    wait_until_written(&project, "bad", 20);
    let status =
        server.wait_for_job("j", "the sink works", |job| job["sink_counts"]["file-2"]["state"] == "running");
    assert_eq!(status["sink_counts"]["file-2"]["waiting_rows"], 0, "{status}");
    assert!(server.terminate().success());
    wait_until_written(&project, "bad", 20);
}

#[test]
fn a_server_that_is_stopped_while_a_sink_is_away_says_nothing_twice_later() {
    let project = project("{http: {}}", "");
    take_away(&project);
    let server = Server::start(&project, OFTEN);
    post(&server, 0..6);
    wait_until_written(&project, "good", 5);
    assert!(server.terminate().success());
    bring_back(&project);
    let server = Server::start(&project, OFTEN);
    wait_until_written(&project, "bad", 5);
    post(&server, 6..8);
    wait_until_written(&project, "bad", 7);
    assert!(server.terminate().success());
}

#[test]
fn sinks_that_are_moved_in_the_definition_stay_what_they_are() {
    let project = project("{http: {}}", "");
    let mut server = Server::start(&project, OFTEN);
    post(&server, 0..6);
    wait_until_written(&project, "bad", 5);
    take_away(&project);
    post(&server, 6..11);
    wait_until_written(&project, "good", 10);
    server.wait_for_job("j", "the sink is in trouble", |job| {
        job["sink_counts"]["file-2"]["state"] == "retrying"
    });
    let moved = [
        "sinks:\n  - file: {path: ./bad/, meta: true}\n  - file: {path: good}\n",
        "sinks:\n  - file: {path: new}\n  - file: {path: good}\n  - file: {path: bad}\n",
        "sinks:\n  - file: {path: bad, on_full: suspend}\n",
    ];
    for (end, sinks) in [16, 21, 26].into_iter().zip(moved) {
        server.kill();
        project.file("jobs/j.yaml", &format!("{QUERY}{sinks}"));
        server = Server::start(&project, OFTEN);
        post(&server, end - 5..end);
        let status = server.wait_for_job("j", "the rows wait", |job| {
            job["sink_counts"]["file-2"]["waiting_rows"] == i64::from(end) - 6
        });
        let named = status["sink_counts"].as_object().expect("sinks by name");
        let names: Vec<&str> = named.keys().map(String::as_str).collect();
        match end {
            16 => assert_eq!(names, ["file", "file-2"]),
            21 => assert_eq!(names, ["file", "file-2", "file-3"]),
            _ => assert_eq!(names, ["file-2"]),
        }
        if end < 26 {
            wait_until_written(&project, "good", i64::from(end) - 1);
        }
    }
    bring_back(&project);
    wait_until_written(&project, "bad", 25);
    assert!(server.terminate().success());
}

#[test]
fn rows_that_wait_for_a_sink_whose_place_is_mended_are_not_dropped_unsaid() {
    let project = project("{http: {}}", "");
    take_away(&project);
    let server = Server::start(&project, OFTEN);
    post(&server, 0..6);
    let status = server.wait_for_job("j", "the sink is in trouble", |job| {
        let sink = &job["sink_counts"]["file-2"];
        sink["state"] == "retrying" && sink["waiting_rows"] == 5
    });
    server.wait_for_job("j", "the state says so", |job| checkpoint(job) > checkpoint(&status) + 1);
    let mended = |sinks: &str| project.file("jobs/j.yaml", &format!("{QUERY}sinks:\n{sinks}"));
    mended("  - file: {path: good}\n  - file: {path: new}\n");
    let (code, said) = server.weir(&["restart", "j"]);
    assert!(code != Some(0) && said.contains("5 rows wait for the sink `file bad/"), "{said}");
    assert!(server.terminate().success());
    let checked = project.weir("check", &[]);
    let said = String::from_utf8_lossy(&checked.stdout);
    assert!(
        checked.status.success() && said.contains("warning: job `j`: 5 rows wait for the sink"),
        "{said}"
    );

    mended("  - file: {path: good}\n  - file: {path: new}\n  - file: {path: bad, meta: true}\n");
    bring_back(&project);
    let server = Server::start(&project, OFTEN);
    wait_until_written(&project, "bad", 5);
    post(&server, 6..11);
    wait_until_written(&project, "bad", 10);
    let (code, said) = server.weir(&["restart", "j"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(server.terminate().success());
}

#[test]
fn rows_that_came_to_wait_since_the_last_checkpoint_are_not_dropped_unsaid_either() {
    let project = project("{http: {}}", "");
    take_away(&project);
    let server = Server::start(&project, "checkpoint: {every: 1h}\n");
    post(&server, 0..6);
    server.wait_for_job("j", "the sink is in trouble", |job| {
        let sink = &job["sink_counts"]["file-2"];
        sink["state"] == "retrying" && sink["waiting_rows"] == 5
    });
    project.file("jobs/j.yaml", &format!("{QUERY}sinks:\n  - file: {{path: good}}\n"));
    let (code, said) = server.weir(&["restart", "j"]);
    assert!(code != Some(0) && said.contains("5 rows wait for the sink `file bad/"), "{said}");
    server.wait_for_job("j", "it goes on as it was", |job| {
        job["state"] == "running" && job["sink_counts"]["file-2"]["waiting_rows"] == 5
    });
    bring_back(&project);
    server
        .wait_for_job("j", "the sink has its rows", |job| job["sink_counts"]["file-2"]["waiting_rows"] == 0);
    let (code, said) = server.weir(&["restart", "j"]);
    assert_eq!(code, Some(0), "{said}");
    wait_until_written(&project, "bad", 5);
    assert!(server.terminate().success());
}

#[test]
fn a_run_to_the_end_writes_everything_else_and_ends_with_the_code_of_the_failure() {
    let project = project("{file: {path: in.jsonl}}", "");
    project.file("in.jsonl", &events(0..6));
    take_away(&project);
    let output = project.weir("run", &["--until-end"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("sink `file-2`") && said.contains("6 rows wait for it"), "{said}");
    wait_until_written(&project, "good", 6);

    bring_back(&project);
    project.run(&[]);
    wait_until_written(&project, "bad", 6);
    project.run(&[]);
    wait_until_written(&project, "good", 6);
    wait_until_written(&project, "bad", 6);
}

#[test]
fn a_full_outbox_suspends_a_sink_or_pauses_its_job() {
    let little = format!("{OFTEN}limits: {{outbox: 1KiB}}\n");
    let suspending = project("{http: {}}", ", on_full: suspend");
    take_away(&suspending);
    let server = Server::start(&suspending, &little);
    for second in 0..20 {
        post(&server, second..second + 1);
    }
    wait_until_written(&suspending, "good", 19);
    let status = server.wait_for_job("j", "the sink is suspended", |job| {
        job["sink_counts"]["file-2"]["state"] == "suspended"
    });
    let sink = &status["sink_counts"]["file-2"];
    let (waits, missed) = (sink["waiting_rows"].as_i64(), sink["missed_rows"].as_i64());
    let (waits, missed) = (waits.expect("a number"), missed.expect("a number"));
    assert!(status["state"] == "running" && waits > 0 && missed > 0 && waits + missed == 19, "{status}");
    bring_back(&suspending);
    assert_eq!(server.post("/v1/jobs/j/sinks/nobody/resume", "").0, 404);
    assert_eq!(server.post("/v1/jobs/j/sinks/file-2/resume", "").0, 200);
    wait_until_written(&suspending, "bad", waits);
    assert!(server.terminate().success());

    let pausing = project("{http: {}}", "");
    take_away(&pausing);
    let server = Server::start(&pausing, &little);
    for second in 0..60 {
        post(&server, second..second + 1);
    }
    let status = server.wait_for_job("j", "the job is paused", |job| job["state"] == "paused");
    assert!(status["reason"].as_str().is_some_and(|reason| reason.contains("sink `file-2`")), "{status}");
    let (_, ready) = server.get("/readyz");
    assert!(ready.to_string().contains("paused"), "{ready}");
    let before = checkpoint(&status);
    server.wait_for_job("j", "checkpoints go on", |job| {
        assert_eq!(job["state"], "paused", "{job}");
        checkpoint(job) > before + 3
    });
    bring_back(&pausing);
    wait_until_written(&pausing, "bad", 59);
    wait_until_written(&pausing, "good", 59);
    assert!(server.terminate().success());
}

/// A job that passes numbers on into these sinks.
pub(crate) fn numbers(sinks: &str) -> Project {
    let project = Project::new();
    project.file(
        "streams/s.yaml",
        "stream: s\nsource: {http: {}}\nfields: {n: bigint, t: timestamp}\nevent_time: t\n",
    );
    into(&project, sinks);
    project
}

pub(crate) fn into(project: &Project, sinks: &str) {
    project.file("jobs/j.yaml", &format!("query: SELECT n, t FROM s\nsinks: [{sinks}]\n"));
}

pub(crate) fn post_numbers(server: &Server, numbers: std::ops::Range<i64>) {
    let event = |n: i64| json!({"n": n, "t": 1_770_000_000_000_i64 + n}).to_string() + "\n";
    let (status, answer) = server.post("/v1/streams/s/events", numbers.map(event).collect::<String>());
    assert_eq!(status, 200, "{answer}");
}

#[test]
fn sinks_of_four_formats_write_into_one_folder_without_failing() {
    let sinks =
        ["jsonl", "csv", "avro", "parquet"].map(|format| format!("file: {{path: out, format: {format}}}"));
    let sinks = sinks.map(|sink| format!("{{{sink}}}")).join(", ");
    let project = numbers(&sinks);
    let server = Server::start(&project, "checkpoint: {every: 20ms}\n");
    for block in 0..60 {
        post_numbers(&server, block * 10..(block + 1) * 10);
        server.wait_for_job("j", "the rows", |job| job["events"] == (block + 1) * 10);
    }
    let job = server.wait_for_job("j", "all rows", |job| job["events"] == 600);
    for (name, sink) in job["sink_counts"].as_object().expect("sinks") {
        assert_eq!(sink["errors"], 0, "{name}: {sink}");
    }
    assert!(server.terminate().success());
    assert_eq!(project.rows("out").len(), 600);
    let mark = std::fs::read_to_string(project.path().join("out/.j.state")).unwrap();
    assert!(mark.starts_with("weir-"), "{mark:?}");
}
