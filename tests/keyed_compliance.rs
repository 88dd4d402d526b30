//! Sinks that keep a row per key, opened as the engine opens them over real servers, pass the kit that all of them must.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::services::stores::{Postgres, Redis};
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringViewArray};
use arrow_schema::{DataType, Field, Schema};
use serde_json::{Value, json};
use std::sync::Arc;
use weir_connect::compliance::keyed::KeyedCase;
use weir_connect::sink::RowMeta;
use weir_connect::{NoMark, RowIdentity, RowShape, Sink, SinkRows};
use weir_connectors::context::SinkContext;
use weir_connectors::registry;
use weir_engine::SystemClock;
use weir_event::Clock;

/// A key holds whatever a text can.
pub(crate) const USERS: [&str; 3] = ["a", "b\t\\x'\"", "ü c"];

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

/// A sink with the folder of its job.
pub(crate) struct Kit {
    kind: &'static str,
    settings: Value,
    folder: tempfile::TempDir,
}

impl Kit {
    pub(crate) fn new(kind: &'static str, settings: Value) -> Kit {
        Kit { kind, settings, folder: tempfile::tempdir().unwrap() }
    }

    /// The sink, as the engine opens it.
    pub(crate) fn open(&self) -> Box<dyn Sink> {
        let folder = self.folder.path();
        let context = SinkContext {
            project: folder.to_owned(),
            data_dir: folder.to_owned(),
            job: "j".to_owned(),
            sink: self.kind.to_owned(),
            shape: Some(Arc::new(shape())),
            refused_bytes: 1 << 20,
            clock: Arc::new(SystemClock::new()),
            began: SystemClock::new().now(),
            mark: Arc::new(NoMark),
        };
        registry::sink(self.kind, &self.settings, &context).unwrap()
    }

    /// The rows that were set aside.
    pub(crate) fn refused(&self) -> Vec<Value> {
        let path = self.folder.path().join("refused/j").join(self.kind).join("refused.jsonl");
        let lines = std::fs::read_to_string(path).unwrap_or_default();
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// Rows of users with their numbers, in the window that ends in this second.
pub(crate) fn numbers_of(of: &[(&str, Option<i64>)], second: u64, revision: u64) -> SinkRows {
    let users: ArrayRef = Arc::new(of.iter().map(|(user, _)| Some(*user)).collect::<StringViewArray>());
    let numbers: ArrayRef = Arc::new(of.iter().map(|(_, number)| *number).collect::<Int64Array>());
    let end = second as i64 * 1000;
    SinkRows {
        columns: RecordBatch::try_from_iter([("user", users.clone()), ("n", numbers)]).unwrap(),
        meta: RowMeta {
            job: "j".into(),
            version: 1,
            windows: vec![(end - 1000, end); of.len()],
            revision,
            keys: Some(RecordBatch::try_from_iter([("user", users)]).unwrap()),
            ..RowMeta::default()
        },
    }
}

/// A row of every user with its revision.
pub(crate) fn rows(round: u64, revision: u64) -> SinkRows {
    numbers_of(&USERS.map(|user| (user, Some(revision as i64))), round, revision)
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_keeps_the_newest_row_of_each_key() {
    let redis = Redis::start();
    let kit = Kit::new("redis", json!({"url": redis.url()}));
    let make = || kit.open();
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
    let postgres = Postgres::start();
    let kit = Kit::new("postgres", json!({"url": postgres.url(), "table": "kit"}));
    let make = || kit.open();
    postgres.run(&make().ddl().unwrap());
    let visible = || numbers(&postgres, "kit");
    KeyedCase { make: &make, rows: &rows, visible: &visible }.keeps_the_newest().await.unwrap();
    assert_eq!(postgres.run("SELECT count(*) FROM kit_weir_staging"), ["0"]);

    for table in ["kit", "kit_weir_staging"] {
        postgres.run(&format!("ALTER TABLE {table} ALTER COLUMN n TYPE numeric(3, 0)"));
    }
    let mut sink = make();
    sink.start(None).await.unwrap();
    let wide = [(USERS[0], Some(1)), (USERS[1], Some(1_000_000)), (USERS[2], Some(3))];
    sink.write(&numbers_of(&wide, 20, 900)).await.unwrap();
    let token = sink.prepare(1).await.unwrap();
    sink.commit(&token).await.unwrap();
    assert_eq!((visible(), sink.counts().refused), (vec![1, 3], 1));
    let line = kit.refused().remove(0);
    assert_eq!((&line["key"], &line["row"]["n"]), (&json!([USERS[1]]), &json!(1_000_000)));
    assert!(line["reason"].as_str().unwrap().contains("numeric field overflow"), "{line}");
}
