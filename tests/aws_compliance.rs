//! The sink into DynamoDB and the source from Kinesis, opened as the engine opens them over stand-ins, pass the kits that all
//! of their kind must, also where services throttle, fail, answer late or not at all.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::keyed_compliance::{Kit, numbers_of, rows};
use crate::services::aws::{CREDENTIALS, Faults, Injected, Rule};
use crate::services::dynamodb::DynamoDb;
use crate::services::kinesis::Kinesis;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use weir_connect::compliance::keyed::KeyedCase;
use weir_connect::compliance::source_replays;
use weir_connect::{FileLayout, NoMark, Source};
use weir_connectors::context::SourceContext;
use weir_connectors::http::IngestLogs;
use weir_connectors::registry;
use weir_engine::SystemClock;
use weir_event::Clock;

/// Whether this process has credentials. Where it has none, the test runs again in one of its own that has: they are read
/// from the environment, which a process does not change.
fn has_credentials(test: &str) -> bool {
    let (name, value) = CREDENTIALS[1];
    if std::env::var(name).is_ok_and(|found| found == value) {
        return true;
    }
    let mut again = Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", &format!("aws_compliance::{test}"), "--nocapture"]).envs(CREDENTIALS);
    assert!(again.env("AWS_REGION", "us-east-1").status().unwrap().success());
    false
}

const THROTTLED: Injected = Injected::Error(400, "ProvisionedThroughputExceededException");

/// A service of which every few calls one goes wrong, each in the next of these ways.
fn troubled(operation: &'static str, upstream: &str, ways: &[Injected]) -> Faults {
    let rule = |what| Rule { operation, after: 2, times: 1, what };
    Faults::before(upstream, &ways.iter().copied().cycle().take(200).map(rule).collect::<Vec<_>>())
}

fn kit(endpoint: &str) -> Kit {
    Kit::new(
        "dynamodb",
        json!({"table": "kit", "region": "us-east-1", "endpoint": endpoint, "key": {"pk": "{user}"}}),
    )
}

fn numbers(service: &DynamoDb) -> Vec<u64> {
    let items = service.items("kit");
    items.iter().filter_map(|item| item["n"]["N"].as_str()?.parse().ok()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn dynamodb_keeps_the_newest_row_of_each_key() {
    if !has_credentials("dynamodb_keeps_the_newest_row_of_each_key") {
        return;
    }
    for is_troubled in [false, true] {
        let service = DynamoDb::start();
        service.make_table("kit", &["pk"]);
        let faults = troubled(
            "PutItem",
            &service.url,
            &[
                THROTTLED,
                Injected::Lost,
                Injected::Error(500, "InternalServerError"),
                Injected::Slow(300),
                THROTTLED,
            ],
        );
        let kit = kit(if is_troubled { &faults.url } else { &service.url });
        let (make, visible) = (|| kit.open(), || numbers(&service));
        KeyedCase { make: &make, rows: &rows, visible: &visible }.keeps_the_newest().await.unwrap();
        assert!(!is_troubled || faults.calls("PutItem").1 > 10, "{:?}", faults.calls("PutItem"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dynamodb_sets_aside_what_it_never_takes() {
    if !has_credentials("dynamodb_sets_aside_what_it_never_takes") {
        return;
    }
    let service = DynamoDb::start();
    service.make_table("kit", &["pk"]);
    let kit = kit(&service.url);
    let mut sink = kit.open();
    sink.start(None).await.unwrap();
    let long = "k".repeat(3000);
    let of = [("good", Some(1)), ("", Some(2)), (long.as_str(), Some(3))];
    sink.write(&numbers_of(&of, 1, 1)).await.unwrap();
    sink.prepare(1).await.unwrap();
    assert_eq!((numbers(&service), sink.counts().refused), (vec![1], 2));
    let refused: Vec<Value> = kit.refused().iter().map(|line| line["row"]["n"].clone()).collect();
    assert!(refused.contains(&json!(2)) && refused.contains(&json!(3)), "{refused:?}");
}

fn source(endpoint: &str) -> Arc<dyn Source> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let settings =
        json!({"stream": "kit", "region": "us-east-1", "endpoint": endpoint, "start": "trim_horizon"});
    let context = SourceContext {
        layout: FileLayout::Lines,
        project: PathBuf::new(),
        data_dir: PathBuf::new(),
        stream: "kit".to_owned(),
        logs: Arc::new(IngestLogs::new(Path::new(""), clock.clone(), Arc::new(NoMark))),
        clock,
    };
    registry::source("kinesis", &settings, &context).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn kinesis_reads_the_same_from_each_of_its_positions() {
    if !has_credentials("kinesis_reads_the_same_from_each_of_its_positions") {
        return;
    }
    let kinesis = Kinesis::start("kit", 2);
    let record = |number: u32| (format!("u{}", number % 7), json!({"n": number}).to_string().into_bytes());
    kinesis.put("kit", &(0..300).map(record).collect::<Vec<_>>());
    source_replays(&*source(&kinesis.url)).await.unwrap();
    let faults = troubled("GetRecords", &kinesis.url, &[THROTTLED, Injected::Slow(300)]);
    source_replays(&*source(&faults.url)).await.unwrap();
    // Each of both ways at least once.
    assert!(faults.calls("GetRecords").1 >= 2, "{:?}", faults.calls("GetRecords"));
}
