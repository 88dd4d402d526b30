//! Sinks that keep a row per key, opened as the engine opens them over real servers, pass the kit that all of them must.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::services::stores::{Postgres, Redis};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use arrow_schema::{DataType, Field, Schema};
use serde_json::{Value, json};
use std::path::Path;
use std::sync::Arc;
use weir_connect::compliance::keyed::KeyedCase;
use weir_connect::sink::RowMeta;
use weir_connect::{NoMark, RowIdentity, RowShape, Sink, SinkRows};
use weir_connectors::context::SinkContext;
use weir_connectors::registry;
use weir_engine::SystemClock;

/// A key holds whatever a text can.
const USERS: [&str; 3] = ["a", "b\t\\x'\"", "ü c"];

fn shape() -> RowShape {
    let columns = vec![Field::new("user", DataType::Utf8View, true), Field::new("n", DataType::Int64, true)];
    RowShape {
        job: "j".into(),
        columns: Arc::new(Schema::new(columns)),
        keys: Arc::new(Schema::new(vec![Field::new("user", DataType::Utf8View, true)])),
        key_columns: vec![Some(0)],
        identity: RowIdentity::WindowEnd,
        deletes: false,
    }
}

/// A sink of this kind, as a job has it whose data is in this folder.
fn open(kind: &str, settings: &Value, folder: &Path) -> Box<dyn Sink> {
    let context = SinkContext {
        project: folder.to_owned(),
        data_dir: folder.to_owned(),
        job: "j".to_owned(),
        sink: kind.to_owned(),
        shape: Some(Arc::new(shape())),
        refused_bytes: 1 << 20,
        clock: Arc::new(SystemClock::new()),
        mark: Arc::new(NoMark),
    };
    registry::sink(kind, settings, &context).unwrap()
}

/// A row of every user with these numbers, in the window that ends in this second.
fn rows_of(numbers: [i64; 3], second: u64, revision: u64) -> SinkRows {
    let users: ArrayRef = Arc::new(USERS.iter().map(|user| Some(*user)).collect::<StringViewArray>());
    let numbers: ArrayRef = Arc::new(Int64Array::from(numbers.to_vec()));
    let end = second as i64 * 1000;
    SinkRows {
        columns: RecordBatch::try_from_iter([("user", users.clone()), ("n", numbers)]).unwrap(),
        meta: RowMeta {
            job: "j".into(),
            version: 1,
            windows: vec![(end - 1000, end); 3],
            revision,
            keys: Some(RecordBatch::try_from_iter([("user", users)]).unwrap()),
            ..RowMeta::default()
        },
    }
}

fn rows(round: u64, revision: u64) -> SinkRows {
    rows_of([revision as i64; 3], round, revision)
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_keeps_the_newest_row_of_each_key() {
    let (redis, folder) = (Redis::start(), tempfile::tempdir().unwrap());
    let settings = json!({"url": redis.url()});
    let make = || open("redis", &settings, folder.path());
    let visible = || -> Vec<u64> {
        let keys = redis.answer(&["KEYS", "j:*"]);
        let number = |key: &Value| -> Option<u64> {
            redis.answer(&["HGET", key.as_str()?, "n"]).as_str()?.parse().ok()
        };
        keys.as_array().unwrap().iter().filter_map(number).collect()
    };
    KeyedCase { make: &make, rows: &rows, visible: &visible }.keeps_the_newest().await.unwrap();
}

fn numbers(postgres: &Postgres, table: &str) -> Vec<u64> {
    postgres
        .run(&format!("SELECT n FROM {table} ORDER BY n"))
        .iter()
        .map(|line| line.parse().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_the_newest_row_of_each_key_and_sets_aside_what_a_column_does_not_hold() {
    let (postgres, folder) = (Postgres::start(), tempfile::tempdir().unwrap());
    let settings = json!({"url": postgres.url(), "table": "kit"});
    let make = || open("postgres", &settings, folder.path());
    postgres.run(&make().ddl().unwrap());
    let visible = || numbers(&postgres, "kit");
    KeyedCase { make: &make, rows: &rows, visible: &visible }.keeps_the_newest().await.unwrap();
    assert_eq!(postgres.run("SELECT count(*) FROM kit_weir_staging"), ["0"]);

    for table in ["kit", "kit_weir_staging"] {
        postgres.run(&format!("ALTER TABLE {table} ALTER COLUMN n TYPE numeric(3, 0)"));
    }
    let mut sink = make();
    sink.start(None).await.unwrap();
    sink.write(&rows_of([1, 1_000_000, 3], 20, 900)).await.unwrap();
    let token = sink.prepare(1).await.unwrap();
    sink.commit(&token).await.unwrap();
    assert_eq!((visible(), sink.counts().refused), (vec![1, 3], 1));
    let refused = std::fs::read_to_string(folder.path().join("refused/j/postgres/refused.jsonl")).unwrap();
    let line: Value = serde_json::from_str(&refused).unwrap();
    assert_eq!((&line["key"], &line["row"]["n"]), (&json!([USERS[1]]), &json!(1_000_000)));
    assert!(line["reason"].as_str().unwrap().contains("numeric field overflow"), "{line}");
}
