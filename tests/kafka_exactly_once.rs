//! The Kafka sink's `delivery: exactly_once` against a real broker: a crash in every window of its protocol, a broker
//! that dies in the middle of a commit, and a whole server that is killed again and again. Whoever reads with
//! `read_committed` sees each row once.

#![allow(
    clippy::disallowed_methods,
    reason = "the broker is another process: what it does is waited for, with a bound"
)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Project, Server, wait_for};
use crate::services::kafka::{Broker, shared};
use crate::services::topics::{BEGIN, numbers, producer, send, sink_in, source, texts};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use weir_connect::sink::RowMeta;
use weir_connect::{Delivery, Op, Sink, SinkRows, Token, compliance};

fn rows(range: std::ops::Range<i64>) -> SinkRows {
    let users: ArrayRef = Arc::new(StringViewArray::from_iter_values(range.clone().map(|n| format!("u{n}"))));
    let totals: ArrayRef = Arc::new(Int64Array::from_iter_values(range));
    let columns = RecordBatch::try_from_iter([("user", users), ("n", totals)]).unwrap();
    SinkRows { columns, meta: RowMeta::default() }
}

fn exact(broker: &Broker, topic: &str, data_dir: &Path) -> Box<dyn Sink> {
    let settings =
        json!({"brokers": broker.address, "topic": topic, "key": "user", "delivery": "exactly_once"});
    sink_in(&settings, data_dir).unwrap()
}

/// How often each number is in a topic, as `read_committed` shows it.
async fn seen(broker: &Broker, topic: &str) -> BTreeMap<i64, usize> {
    let mut seen = BTreeMap::new();
    for text in texts(&*source(&broker.address, topic), &[BEGIN]).await {
        let row: Value = serde_json::from_str(&text).unwrap();
        *seen.entry(row["n"].as_i64().unwrap()).or_default() += 1;
    }
    seen
}

fn once(range: std::ops::Range<i64>) -> BTreeMap<i64, usize> {
    range.map(|number| (number, 1)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_promise_of_exactly_once() {
    let broker = shared();
    broker.topic("kept", 1);
    let folder = tempfile::tempdir().unwrap();
    let visible = || {
        let read = async { seen(broker, "kept").await.values().sum() };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(read))
    };
    let make = || exact(broker, "kept", folder.path());
    assert_eq!(make().delivery(), Delivery::ExactlyOnce);
    compliance::sink_keeps_its_promise(&make, &rows(0..3), &visible).await.unwrap();
}

/// Where a process dies: after so much of the protocol was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Dies {
    AfterWrite,
    /// The token of what was prepared is in no checkpoint.
    AfterPrepare,
    /// The checkpoint is safe.
    BeforeCommit,
    AfterCommit,
}

#[tokio::test]
async fn a_process_that_dies_in_any_window_leaves_each_row_once() {
    let broker = shared();
    broker.topic("windows", 1);
    let folder = tempfile::tempdir().unwrap();
    let (mut safe, mut next, mut epoch): (Option<Token>, i64, u64) = (None, 0, 0);
    let all = [Dies::AfterWrite, Dies::AfterPrepare, Dies::BeforeCommit, Dies::AfterCommit];
    for dies in all.into_iter().cycle().take(12) {
        let mut sink = exact(broker, "windows", folder.path());
        sink.start(safe.as_ref()).await.unwrap();
        assert_eq!(seen(broker, "windows").await, once(0..next), "at the start before {dies:?}");
        // One checkpoint that goes well, and another that does not.
        for step in [Dies::AfterCommit, dies] {
            let end = next + 5;
            sink.write(&rows(next..end)).await.unwrap();
            if step == Dies::AfterWrite {
                break;
            }
            epoch += 1;
            let token = sink.prepare(epoch).await.unwrap();
            if step == Dies::AfterPrepare {
                break;
            }
            (safe, next) = (Some(token.clone()), end);
            if step == Dies::BeforeCommit {
                break;
            }
            sink.commit(&token).await.unwrap();
        }
    }
    let mut sink = exact(broker, "windows", folder.path());
    sink.start(safe.as_ref()).await.unwrap();
    assert_eq!(seen(broker, "windows").await, once(0..next));
}

#[tokio::test]
async fn one_token_may_cover_several_barriers() {
    let broker = shared();
    broker.topic("covered", 1);
    let folder = tempfile::tempdir().unwrap();
    let mut sink = exact(broker, "covered", folder.path());
    sink.start(None).await.unwrap();
    sink.write(&rows(0..2)).await.unwrap();
    sink.prepare(1).await.unwrap();
    sink.write(&rows(2..4)).await.unwrap();
    let token = sink.prepare(2).await.unwrap();
    assert!(seen(broker, "covered").await.is_empty());
    sink.commit(&token).await.unwrap();
    assert_eq!(seen(broker, "covered").await, once(0..4));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_dies_in_a_commit_leaves_each_row_once() {
    let broker = Broker::start();
    broker.topic("dies", 1);
    let folder = tempfile::tempdir().unwrap();
    let mut sink = exact(&broker, "dies", folder.path());
    // A broker that has just started may not have found its coordinators yet, and says to try again.
    while let Err(error) = sink.start(None).await {
        assert!(error.retry, "{error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let mut next = 0;
    for (epoch, pause) in (1..).zip([0, 20, 60, 150]) {
        sink.write(&rows(next..next + 20_000)).await.unwrap();
        next += 20_000;
        let token = sink.prepare(epoch).await.unwrap();
        let (committed, ()) = tokio::join!(
            async {
                let committed = tokio::time::timeout(Duration::from_secs(5), sink.commit(&token)).await;
                committed.is_ok_and(|committed| committed.is_ok())
            },
            async {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                tokio::task::block_in_place(|| broker.kill());
            }
        );
        broker.restart();
        // Whatever became of it, the next of its name finds out, as soon as the broker is there again.
        let mut tries = 0;
        sink = loop {
            let mut next = exact(&broker, "dies", folder.path());
            match next.start(Some(&token)).await {
                Ok(()) => break next,
                Err(error) => assert!(error.retry && tries < 30, "{error}"),
            }
            tries += 1;
            tokio::time::sleep(Duration::from_secs(1)).await;
        };
        let found = seen(&broker, "dies").await;
        assert!(found == once(0..next), "committed: {committed}; {} of {next} rows", found.len());
    }
}

#[tokio::test]
async fn who_comes_in_place_of_another_keeps_it_from_writing() {
    let broker = shared();
    broker.topic("fenced", 1);
    let folder = tempfile::tempdir().unwrap();
    let mut zombie = exact(broker, "fenced", folder.path());
    zombie.start(None).await.unwrap();
    zombie.write(&rows(0..5)).await.unwrap();
    let token = zombie.prepare(1).await.unwrap();
    // Somebody runs weir from a copy of its folder.
    let copy = tempfile::tempdir().unwrap();
    let mut copying = std::process::Command::new("cp");
    copying.arg("-r").arg(folder.path().join("kafka")).arg(copy.path());
    assert!(copying.status().unwrap().success());
    let mut successor = exact(broker, "fenced", copy.path());
    successor.start(Some(&token)).await.unwrap();
    assert_eq!(seen(broker, "fenced").await, once(0..5));
    let error = zombie.commit(&token).await.unwrap_err();
    assert!(!error.retry && error.message.contains("another weir writes"), "{error}");
    assert_eq!(seen(broker, "fenced").await, once(0..5));
}

#[tokio::test]
async fn a_result_that_is_taken_back_is_a_tombstone() {
    let broker = shared();
    broker.topic_with("taken_back", 1, &["--config", "cleanup.policy=compact"]);
    let folder = tempfile::tempdir().unwrap();
    let settings =
        json!({"brokers": broker.address, "topic": "taken_back", "key": "user", "tombstones": true});
    let mut sink = sink_in(&settings, folder.path()).unwrap();
    assert!(sink.wants_meta());
    sink.start(None).await.unwrap();
    sink.write(&rows(0..2)).await.unwrap();
    let mut gone = rows(0..1);
    gone.meta.op = Op::Delete;
    sink.write(&gone).await.unwrap();
    sink.prepare(1).await.unwrap();
    let mut reader = source(&broker.address, "taken_back").open(0, &[BEGIN], true).await.unwrap();
    let weir_connect::Fetch::Block(block) = reader.next().await.unwrap() else { panic!("no block") };
    assert_eq!(block.refused.len(), 1);
    assert_eq!(compliance::records(&block).len(), 2);
}

const JOB: &str = "query: SELECT n FROM numbers\nsinks: [{kafka: {brokers: \"BROKERS\", topic: out, delivery: exactly_once}}]\n";

#[test]
fn a_server_that_is_killed_again_and_again_leaves_each_row_once() {
    let broker = Broker::start();
    for topic in ["in", "out"] {
        broker.topic(topic, 1);
    }
    let project = Project::new();
    let stream = "fields: {n: bigint, ts: timestamp}\nevent_time: ts\n";
    let source_of = format!("source: {{kafka: {{brokers: \"{}\", topic: in}}}}\n", broker.address);
    project.file("streams/numbers.yaml", &format!("{stream}{source_of}"));
    project.file("jobs/passed_on.yaml", &JOB.replace("BROKERS", &broker.address));
    let settings = "checkpoint: {every: 100ms}\n";
    let sender = producer(&broker.address, &[]);
    let mut sent = 0;
    let mut more = |count: u64| {
        let of = |number| Some(format!("{{\"n\":{number},\"ts\":{}}}", 1_700_000_000_000_u64 + number));
        send(&sender, "in", 0, (sent..sent + count).map(of));
        sent += count;
    };
    for (round, pause_ms) in [700, 40, 1100, 130, 900, 333].into_iter().enumerate() {
        let server = Server::start(&project, settings);
        for _ in 0..10 {
            more(200);
            std::thread::sleep(Duration::from_millis(pause_ms / 10));
        }
        if round == 2 {
            broker.kill();
            broker.restart();
        }
        server.kill();
    }
    let server = Server::start(&project, settings);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let expected = once(0..i64::try_from(sent).unwrap());
    wait_for("all rows to be in the topic", Duration::from_secs(60), || {
        let found = runtime.block_on(seen(&broker, "out"));
        let twice = found.iter().find(|(_, count)| **count > 1);
        assert_eq!(twice, None, "a row is there more than once");
        (found == expected).then_some(())
    });
    assert!(server.terminate().success());
    assert_eq!(runtime.block_on(seen(&broker, "out")), expected);
}

#[test]
fn rows_behind_the_start_of_a_job_survive_a_kill_in_its_first_seconds() {
    let broker = shared();
    broker.topic("from_now_on", 1);
    let sender = producer(&broker.address, &[]);
    send(&sender, "from_now_on", 0, numbers(0..10));
    let project = Project::new();
    let stream = "fields: {n: bigint, ts: timestamp}\nevent_time: ts\n";
    let address = &broker.address;
    let of = format!("source: {{kafka: {{brokers: \"{address}\", topic: from_now_on, start: latest}}}}\n");
    project.file("streams/numbers.yaml", &format!("{stream}{of}"));
    project.file("jobs/late.yaml", "query: SELECT n FROM numbers\nsinks: [file: {path: out}]\n");
    // No checkpoint is due before the kill.
    let server = Server::start(&project, "checkpoint: {every: 1h}\n");
    server.wait_ready();
    let rows = (10..110).map(|n| Some(format!("{{\"n\":{n},\"ts\":{}}}", 1_700_000_000_000_u64 + n)));
    send(&sender, "from_now_on", 0, rows);
    server.wait_for_job("late", "rows to be read", |job| job["events"].as_u64() >= Some(100));
    server.kill();
    let server = Server::start(&project, "checkpoint: {every: 100ms}\n");
    server.wait_for_job("late", "rows to be read again", |job| job["events"].as_u64() >= Some(100));
    assert!(server.terminate().success());
    let mut found: Vec<_> = project.rows("out").iter().map(|row| row["n"].as_i64().unwrap()).collect();
    found.sort_unstable();
    assert_eq!(found, (10..110).collect::<Vec<_>>());
}

#[test]
fn a_job_reads_on_while_its_sink_s_broker_is_away_and_stops_when_it_is_told_to() {
    outages(&[(1, false), (30, false), (5, true)]);
}

#[test]
#[ignore = "its broker is away for ten minutes: `make test-services`"]
fn a_job_reads_on_while_its_sink_s_broker_is_away_for_long() {
    outages(&[(300, false), (300, true)]);
}

/// Lets the broker of a sink be away for so many seconds, with the server stopped at the end of some of them.
fn outages(outages: &[(u64, bool)]) {
    let broker = Broker::start();
    broker.topic("out", 1);
    let project = Project::new();
    project.file(
        "streams/numbers.yaml",
        "fields: {n: bigint, ts: timestamp}\nevent_time: ts\nsource: {file: {path: in.jsonl, follow: true}}\n",
    );
    project.file("in.jsonl", "");
    project.file("jobs/passed_on.yaml", &JOB.replace("BROKERS", &broker.address));
    let settings = "checkpoint: {every: 100ms}\n";
    let mut written = 0;
    let mut more = |count: i64| {
        let mut file =
            std::fs::OpenOptions::new().append(true).open(project.path().join("in.jsonl")).unwrap();
        for n in written..written + count {
            writeln!(file, "{{\"n\":{n},\"ts\":{}}}", 1_700_000_000_000 + n).unwrap();
        }
        written += count;
        written
    };
    let mut server = Server::start(&project, settings);
    for (outage, stops) in outages.iter().copied() {
        more(100);
        broker.kill();
        let began = Instant::now();
        let outage = Duration::from_secs(outage);
        loop {
            let events = more(100);
            let is_read = |job: &Value| job["events"].as_i64() >= Some(events) && job["state"] == "running";
            let status = server.wait_for_job("passed_on", "the job to read on", is_read);
            // A broker that has just gone is not missed yet.
            if began.elapsed() > Duration::from_secs(20) {
                let sink = &status["sink_counts"]["kafka"];
                assert!(sink["state"] != "running" && sink["waiting_rows"].as_u64() > Some(0), "{status}");
                let reason = sink["reason"].as_str().unwrap_or_default();
                assert!(reason.contains(&broker.address), "{status}");
            }
            let left = outage.saturating_sub(began.elapsed());
            if left.is_zero() {
                break;
            }
            std::thread::sleep(left.min(Duration::from_secs(5)));
        }
        if stops {
            let began = Instant::now();
            assert!(server.terminate().success());
            eprintln!("SIGTERM was answered in {:?}, {outage:?} into an outage", began.elapsed());
            assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
            broker.restart();
            server = Server::start(&project, settings);
        } else {
            broker.restart();
        }
    }
    let expected = once(0..more(1));
    let runtime = tokio::runtime::Runtime::new().unwrap();
    wait_for("all rows to be in the topic", Duration::from_secs(60), || {
        (runtime.block_on(seen(&broker, "out")) == expected).then_some(())
    });
    assert!(server.terminate().success());
}
