//! State that an older weir stored: it opens, goes on, and ends as if this weir had read everything.

use crate::harness::{Project, Server, last_rows, last_sessions, repository};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

/// Events in each of the two parts; the first was read when the state was stored.
const EVENTS: [u64; 2] = [400, 300];
/// Within the reach of every window.
const AS_OF: &str = "2025-06-01T14:00:00Z";

fn fixture(path: &str) -> PathBuf {
    repository().join("tests/data/state_of_format_1").join(path)
}

fn text(path: &str) -> String {
    std::fs::read_to_string(fixture(path)).expect("a fixture is text")
}

/// The names of the project's jobs, one for each kind of window.
fn jobs() -> Vec<String> {
    let files = std::fs::read_dir(fixture("jobs")).expect("a folder of jobs");
    let mut names: Vec<String> = files
        .map(|file| file.expect("a file").path().file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn project() -> Project {
    let project = Project::new();
    project.file("streams/events.yaml", &text("streams/events.yaml"));
    for job in jobs() {
        project.file(&format!("jobs/{job}.yaml"), &text(&format!("jobs/{job}.yaml")));
    }
    project
}

/// The project with the state and the results that the older weir left when it was stopped behind the first part.
fn left_by_the_older() -> Project {
    let project = project();
    let unpacked =
        Command::new("tar").arg("-xzf").arg(fixture("state.tar.gz")).arg("-C").arg(project.path()).status();
    assert!(unpacked.expect("tar runs").success());
    project
}

/// Returns when every job has taken it.
fn post(server: &Server, part: &str) {
    let (status, answer) = server.post("/v1/streams/events/events?wait=visible", text(part));
    assert_eq!((status, answer["rejected"].as_array().map(Vec::len)), (200, Some(0)), "{answer}");
}

/// What a job says when it has read everything: counts that do not depend on how rows came together, and values.
fn said(server: &Server, job: &str) -> (Vec<Value>, Vec<Value>) {
    let all = EVENTS.iter().sum::<u64>();
    let status = server.wait_for_job(job, "all events to be read", |status| status["events"] == all);
    let counts = ["late", "dropped", "duplicates", "dead_letters", "watermark"];
    let counts = counts.iter().map(|name| status[name].clone()).collect();
    let value = |key: u32| {
        let (code, answer) = server.get(&format!("/v1/jobs/{job}/values?k=k{key}&as_of={AS_OF}"));
        assert!(code == 200 || job == "plain", "{job}: {answer}");
        answer["features"].clone()
    };
    (counts, (0..12).map(value).collect())
}

/// Each job's final rows, in order of their text.
fn written(project: &Project) -> BTreeMap<String, Vec<String>> {
    let of_job = |job: String| {
        let rows = project.rows(&format!("out/{job}"));
        let rows = if job == "session" { last_sessions(rows) } else { last_rows(rows) };
        let mut rows: Vec<String> = rows.iter().map(Value::to_string).collect();
        rows.sort();
        (job, rows)
    };
    jobs().into_iter().map(of_job).collect()
}

#[test]
fn state_of_the_first_format_goes_on_as_if_this_weir_had_read_everything() {
    let (old, whole) = (left_by_the_older(), project());
    let seldom = "shards: 3\ncheckpoint: {every: 1h}\n";
    let server = Server::start(&old, seldom);
    server.wait_ready();
    // It has stored that it began, and no checkpoint of its own.
    server.kill();
    let (of_old, of_whole) = (Server::start(&old, seldom), Server::start(&whole, "shards: 2\n"));
    of_old.wait_ready();
    post(&of_whole, "part_1.jsonl");
    for server in [&of_old, &of_whole] {
        post(server, "part_2.jsonl");
    }
    for job in jobs() {
        assert_eq!(said(&of_old, &job), said(&of_whole, &job), "{job}");
    }
    assert!(of_old.terminate().success() && of_whole.terminate().success());
    // In state of this format, and at yet another number of shards.
    old.file("weir.yaml", "shards: 1\n");
    for project in [&old, &whole] {
        project.run(&[]);
    }
    let (found, expected) = (written(&old), written(&whole));
    for (job, rows) in &expected {
        assert!(rows.len() > 10, "{job} has hardly any rows");
        assert_eq!(&found[job], rows, "{job}");
    }
}
