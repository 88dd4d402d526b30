//! Sinks whose definition is edited after a kill: rows that a checkpoint has are where they belong, or are told of.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Project, Server, wait_for};
use crate::services::kafka::Broker;
use crate::services::topics::{BEGIN, source, texts};
use crate::sinks::{OFTEN, into, numbers, post_numbers};
use serde_json::Value;
use std::time::Duration;

/// So seldom that a job is killed before its first checkpoint.
const SELDOM: &str = "checkpoint: {every: 1h}\n";

fn epoch(job: &Value) -> u64 {
    job["last_checkpoint"]["number"].as_u64().unwrap_or(0)
}

/// Waits for these rows, and for checkpoints behind them.
fn wait_for_checkpoints(server: &Server, events: i64) {
    server.wait_for_job("j", "the rows", |job| job["events"] == events);
    let (status, job) = server.get("/v1/jobs/j");
    assert_eq!(status, 200, "{job}");
    let before = job["last_checkpoint"]["number"].as_u64();
    server.wait_for_job("j", "checkpoints behind them", |job| epoch(job) >= before.unwrap_or(0) + 2);
}

/// Kills a server whose file sink has a hundred numbers in a file that is not finished.
fn killed_before_the_file_is_finished(project: &Project, folder: &str) {
    let server = Server::start(project, OFTEN);
    post_numbers(&server, 0..100);
    wait_for_checkpoints(&server, 100);
    server.kill();
    assert!(project.rows(folder).is_empty(), "the file is not finished");
}

/// The numbers in the finished files of a folder.
fn found(project: &Project, folder: &str) -> Vec<i64> {
    let mut found: Vec<i64> = project.rows(folder).iter().map(|row| row["n"].as_i64().unwrap()).collect();
    for entry in std::fs::read_dir(project.path().join(folder)).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "csv") {
            let text = std::fs::read_to_string(path).unwrap();
            let number = |line: &str| line.split(',').next().unwrap().parse::<i64>().unwrap();
            found.extend(text.lines().skip(1).map(number));
        }
    }
    found.sort_unstable();
    found
}

fn check(project: &Project) -> String {
    let checked = project.weir("check", &[]);
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
    String::from_utf8(checked.stdout).unwrap()
}

fn log(project: &Project) -> String {
    std::fs::read_to_string(project.path().join("serve.log")).unwrap()
}

#[test]
fn a_sink_that_writes_another_format_for_a_while_after_a_kill_loses_no_row() {
    for is_killed_again in [false, true] {
        let [lines, fields] =
            ["jsonl", "csv"].map(|format| format!("file: {{path: out, format: {format}, roll: 1h}}"));
        let project = numbers(&lines);
        killed_before_the_file_is_finished(&project, "out");

        into(&project, &fields);
        let server = Server::start(&project, if is_killed_again { SELDOM } else { OFTEN });
        post_numbers(&server, 100..200);
        server.wait_for_job("j", "the others", |job| job["events"] == 200);
        if is_killed_again {
            server.kill()
        } else {
            assert!(server.terminate().success())
        }

        into(&project, &lines);
        let server = Server::start(&project, OFTEN);
        server.wait_for_job("j", "all rows", |job| job["events"] == 200);
        assert!(server.terminate().success());
        assert_eq!(found(&project, "out"), (0..200).collect::<Vec<_>>(), "killed again: {is_killed_again}");
    }
}

#[test]
fn sinks_that_swap_their_places_after_a_kill_have_each_row_once() {
    let sink = |folder: &str| format!("{{file: {{path: {folder}, roll: 1h}}}}");
    let (a, b) = (sink("a"), sink("b"));
    let project = numbers(&format!("{a}, {b}"));
    killed_before_the_file_is_finished(&project, "a");
    into(&project, &format!("{b}, {a}"));
    assert!(!check(&project).contains("visible"));
    let server = Server::start(&project, OFTEN);
    post_numbers(&server, 100..200);
    wait_for_checkpoints(&server, 200);
    assert!(server.terminate().success());
    for folder in ["a", "b"] {
        assert_eq!(found(&project, folder), (0..200).collect::<Vec<_>>(), "{folder}");
    }
}

#[test]
fn a_file_that_was_not_finished_where_a_sink_wrote_before_is_told_of_and_finished_when_that_is_put_back() {
    let [old, new] = ["old", "new"].map(|folder| format!("{{file: {{path: {folder}, roll: 1h}}}}"));
    let project = numbers(&old);
    killed_before_the_file_is_finished(&project, "old");
    let told = "the last rows of the sink `file old/j-*.jsonl`, which the definition does not have any more, may not be visible";
    assert!(!check(&project).contains(told));
    into(&project, &new);
    assert!(check(&project).contains(told), "{}", check(&project));
    let server = Server::start(&project, OFTEN);
    post_numbers(&server, 100..200);
    wait_for_checkpoints(&server, 200);
    assert!(log(&project).contains(told), "{}", log(&project));
    assert!(server.terminate().success());
    assert_eq!(found(&project, "new"), (100..200).collect::<Vec<_>>());
    assert!(check(&project).contains(told), "as long as it is so");

    into(&project, &format!("{new}, {old}"));
    let server = Server::start(&project, OFTEN);
    server.wait_for_job("j", "a checkpoint", |job| epoch(job) > 0);
    assert!(server.terminate().success());
    assert_eq!(found(&project, "old"), (0..100).collect::<Vec<_>>());
    into(&project, &new);
    assert!(!check(&project).contains("visible"), "it was stopped");
}

#[test]
fn messages_of_a_checkpoint_that_are_not_in_the_topic_of_before_are_told_of_and_sent_when_that_is_put_back() {
    let broker = Broker::start();
    let [old, new] = ["old", "new"].map(|topic| {
        broker.topic(topic, 1);
        format!("{{kafka: {{brokers: \"{}\", topic: {topic}, delivery: exactly_once}}}}", broker.address)
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let sent = |topic: &str| {
        let texts = runtime.block_on(texts(&*source(&broker.address, topic), &[BEGIN]));
        let number = |text: String| serde_json::from_str::<Value>(&text).unwrap()["n"].as_i64().unwrap();
        texts.into_iter().map(number).collect::<Vec<_>>()
    };
    let project = numbers(&old);
    let server = Server::start(&project, OFTEN);
    post_numbers(&server, 0..50);
    wait_for("the first rows", Duration::from_secs(60), || (sent("old").len() == 50).then_some(()));
    broker.kill();
    post_numbers(&server, 50..100);
    wait_for_checkpoints(&server, 100);
    server.kill();
    broker.restart();

    into(&project, &new);
    let told = check(&project);
    let told =
        told.lines().find(|line| line.contains("rows of the last checkpoint are not visible in the sink"));
    let told = told.unwrap_or_else(|| panic!("{}", check(&project)));
    assert!(told.contains("job `j`: 50 rows") && told.contains("kafka old at"), "{told}");
    let server = Server::start(&project, OFTEN);
    post_numbers(&server, 100..150);
    wait_for_checkpoints(&server, 150);
    assert!(server.terminate().success());
    assert_eq!(sent("new"), (100..150).collect::<Vec<_>>());
    assert_eq!(sent("old"), (0..50).collect::<Vec<_>>());

    into(&project, &format!("{new}, {old}"));
    let server = Server::start(&project, OFTEN);
    wait_for("the others", Duration::from_secs(60), || (sent("old").len() == 100).then_some(()));
    server.wait_for_job("j", "a checkpoint", |job| epoch(job) > 0);
    assert!(server.terminate().success());
    assert_eq!(sent("old"), (0..100).collect::<Vec<_>>());
    into(&project, &new);
    assert!(!check(&project).contains("visible"));
}
