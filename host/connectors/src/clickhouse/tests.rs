//! The sink against a server that answers as ClickHouse does, with faults to order.

use super::sink;
use super::table::ReplacingTable;
use super::types::{made, takes};
use crate::registry::tests::sink_context;
use crate::upsert::Keep;
use crate::upsert::tests::fixture::{context, refused, rows, rows_of_revision, run, shape};
use crate::web::tests::server::{Asked, Reply, TestServer};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};
use weir_connect::compliance::keyed::KeyedCase;
use weir_connect::{Op, RowIdentity, RowShape, Sink};
use weir_event::{DataType, ManualClock};

/// A table in memory.
#[derive(Debug, Default)]
struct TestTable {
    engine: Value,
    columns: Vec<(String, String)>,
    /// By user and window, the row with the greatest version.
    rows: BTreeMap<(String, String), (u128, Value)>,
    tokens: BTreeSet<String>,
    inserts: usize,
    faults: VecDeque<Reply>,
}

impl TestTable {
    fn new(keep: Keep) -> TestTable {
        let statement = ReplacingTable::of(&shape(), keep).unwrap().statement("d", "f");
        let columns = statement.lines().filter_map(|line| line.trim().strip_prefix('`')?.split_once("` "));
        let columns = columns.map(|(name, of)| (name.to_owned(), of.trim_end_matches(',').to_owned()));
        let key = if keep == Keep::All { "user, _window_end" } else { "user" };
        TestTable {
            columns: columns.collect(),
            engine: json!({
                "engine": "ReplacingMergeTree",
                "engine_full": format!("ReplacingMergeTree(_version, _deleted) ORDER BY ({key})"),
                "sorting_key": key
            }),
            ..TestTable::default()
        }
    }

    fn answer(&mut self, asked: &Asked) -> Reply {
        if asked.body.contains("system.tables") {
            return Reply::ok(format!("{}\n", self.engine));
        }
        if asked.body.contains("system.columns") {
            let line = |(name, of): &(String, String)| format!("{}\n", json!({"name": name, "type": of}));
            return Reply::ok(self.columns.iter().map(line).collect::<String>());
        }
        match self.faults.pop_front() {
            Some(Reply::HangsUp) => {
                self.insert(asked);
                Reply::HangsUp
            }
            Some(reply) => reply,
            None => self.insert(asked),
        }
    }

    fn insert(&mut self, asked: &Asked) -> Reply {
        let token = asked.line.split("insert_deduplication_token=").nth(1).unwrap();
        let token = token.split('&').next().unwrap().to_owned();
        if asked.body.contains("\"n\":13,") {
            return failure(500, 27, "Cannot parse input: (at row 1)");
        }
        if !self.tokens.insert(token) {
            return Reply::ok("");
        }
        self.inserts += 1;
        for line in asked.body.lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            let name = |name: &str| row[name].as_str().unwrap_or("null").to_owned();
            // A double holds no such number: it is read as what it is written as.
            let version =
                line.split("\"_version\":").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
            let end = if self.engine["sorting_key"] == "user" { String::new() } else { name("_window_end") };
            let held = self.rows.entry((name("user"), end)).or_insert((version, row.clone()));
            if version >= held.0 {
                *held = (version, row);
            }
        }
        Reply::ok("")
    }
}

fn failure(status: u16, code: u16, text: &str) -> Reply {
    let header = match code {
        27 => "x-clickhouse-exception-code: 27\r\n",
        60 => "x-clickhouse-exception-code: 60\r\n",
        252 => "x-clickhouse-exception-code: 252\r\n",
        497 => "x-clickhouse-exception-code: 497\r\n",
        _ => "",
    };
    Reply::Says(status, header, format!("Code: {code}. DB::Exception: {text}"))
}

struct World {
    clock: Arc<ManualClock>,
    folder: tempfile::TempDir,
    table: Arc<Mutex<TestTable>>,
    server: TestServer,
    keep: &'static str,
}

impl World {
    async fn new(keep: &'static str) -> World {
        let of = if keep == "all" { Keep::All } else { Keep::Newest };
        let table = Arc::new(Mutex::new(TestTable::new(of)));
        let answering = table.clone();
        let server = TestServer::start(move |asked| answering.lock().unwrap().answer(asked)).await;
        World { clock: Arc::default(), folder: tempfile::tempdir().unwrap(), table, server, keep }
    }

    fn sink(&self) -> Box<dyn Sink> {
        let settings = json!({
            "url": self.server.url, "database": "d", "table": "f", "keep": self.keep, "user": "me", "password": "sesame"
        });
        sink(&settings, &context(self.folder.path(), &self.clock)).unwrap()
    }

    /// What a reader sees with FINAL.
    fn seen(&self) -> String {
        let table = self.table.lock().unwrap();
        let rows = table.rows.iter().filter(|(_, (_, row))| row["_deleted"] == 0);
        rows.map(|((user, end), (_, row))| format!("{user}{end} {}\n", row["n"])).collect()
    }
}

#[tokio::test]
async fn the_newest_of_each_key_has_the_greatest_version_whatever_goes_wrong_on_the_way() {
    let world = World::new("newest").await;
    world.table.lock().unwrap().faults =
        [Reply::HangsUp, failure(500, 252, "Too many parts"), Reply::Says(503, "", "starting".to_owned())]
            .into();
    let mut sink = world.sink();
    run(&world.clock, async {
        sink.start(None).await.unwrap();
        sink.write(&rows(&[(Some("a"), 1, 20), (Some("b"), 2, 20), (None, 9, 20)], 5, Op::Upsert))
            .await
            .unwrap();
        sink.prepare(1).await.unwrap();
        // An older window, a correction of the same one, a row that no table takes.
        sink.write(&rows(&[(Some("a"), 3, 10)], 6, Op::Upsert)).await.unwrap();
        sink.write(&rows(&[(Some("b"), 4, 20), (Some("c"), 13, 20)], 6, Op::Upsert)).await.unwrap();
        sink.prepare(2).await.unwrap();
        sink.write(&rows(&[(Some("b"), 0, 20), (Some("d"), 0, 20)], 7, Op::Delete)).await.unwrap();
        sink.prepare(3).await.unwrap();
    })
    .await;
    assert_eq!(world.seen(), "a 1\nnull 9\n");
    let table = world.table.lock().unwrap();
    assert!(table.faults.is_empty());
    let deleted = &table.rows[&("b".to_owned(), String::new())].1;
    assert!(deleted.get("n").is_none() && deleted["_window_end"] == "1970-01-01T00:00:00.020Z", "{deleted}");
    assert_eq!(sink.counts().refused, 1);
    let refused = refused(world.folder.path());
    assert!(refused.contains("Cannot parse input") && refused.contains("\"n\":13"), "{refused}");
    assert!(world.server.posted()[0].header("authorization").starts_with("Basic "));
}

#[tokio::test]
async fn it_passes_the_kit_of_keyed_stores_with_requests_disturbed() {
    let world = World::new("newest").await;
    let faults = [Reply::HangsUp, failure(500, 252, "Too many parts")];
    world.table.lock().unwrap().faults = faults.into_iter().cycle().take(4).collect();
    let visible = || -> Vec<u64> {
        let table = world.table.lock().unwrap();
        let rows = table.rows.values().filter(|(_, row)| row["_deleted"] == 0);
        rows.map(|(_, row)| row["n"].as_u64().unwrap() / 100).collect()
    };
    let make = || world.sink();
    let case = KeyedCase { make: &make, rows: &rows_of_revision, visible: &visible };
    run(&world.clock, case.keeps_the_newest()).await.unwrap();
}

#[tokio::test]
async fn a_batch_without_an_answer_is_known_by_its_token_and_rows_of_other_windows_stay() {
    let world = World::new("all").await;
    world.table.lock().unwrap().faults = [Reply::HangsUp].into();
    let mut sink = world.sink();
    run(&world.clock, async {
        sink.start(None).await.unwrap();
        sink.write(&rows(&[(Some("a"), 1, 20), (Some("a"), 2, 30)], 5, Op::Upsert)).await.unwrap();
        sink.prepare(1).await.unwrap();
        sink.write(&rows(&[(Some("a"), 3, 20)], 4, Op::Upsert)).await.unwrap();
        sink.prepare(2).await.unwrap();
    })
    .await;
    assert_eq!(world.seen(), "a1970-01-01T00:00:00.020Z 1\na1970-01-01T00:00:00.030Z 2\n");
    assert_eq!(world.table.lock().unwrap().inserts, 2);
    assert_eq!(world.server.posted().iter().filter(|asked| asked.line.contains("INSERT")).count(), 3);
}

#[tokio::test]
async fn what_does_not_fit_is_told_at_the_start_and_no_password_with_it() {
    let world = World::new("newest").await;
    let probe = async |change: &dyn Fn(&mut TestTable)| {
        let mut table = TestTable::new(Keep::Newest);
        change(&mut table);
        *world.table.lock().unwrap() = table;
        world.sink().probe().await.map_or_else(|error| error.message, |probe| format!("{probe:?}"))
    };
    let told = probe(&|_| {}).await;
    assert!(told.contains("table d.f, which takes all 7 columns"), "{told}");
    let told = probe(&|table| table.columns.retain(|(name, _)| name != "half")).await;
    assert!(
        told.contains("table d.f has no column `half`; `weir sink ddl j` prints one that fits"),
        "{told}"
    );
    let told = probe(&|table| table.columns[1].1 = "Nullable(Int32)".to_owned()).await;
    assert!(
        told.contains("has `n` as Nullable(Int32), which does not hold bigint; make it Nullable(Int64)"),
        "{told}"
    );
    let told = probe(&|table| table.engine["engine"] = json!("MergeTree")).await;
    assert!(told.contains("is of the engine MergeTree"), "{told}");
    let told = probe(&|table| table.engine["sorting_key"] = json!("(user)")).await;
    assert!(told.contains("which takes all"), "{told}");
    let told = probe(&|table| table.engine["sorting_key"] = json!("user, n")).await;
    assert!(told.contains("is sorted by (user, n)") && told.contains("ORDER BY (user)"), "{told}");
    let mut sink = world.sink();
    *world.table.lock().unwrap() = TestTable::new(Keep::Newest);
    world.table.lock().unwrap().faults = [failure(403, 497, "me with sesame: Not enough privileges")].into();
    let error = run(&world.clock, async {
        sink.start(None).await.unwrap();
        sink.write(&rows(&[(Some("a"), 1, 20)], 5, Op::Upsert)).await.unwrap();
        sink.prepare(1).await.unwrap_err()
    });
    let error = error.await;
    assert!(!error.retry && error.message.contains("me with ***: Not enough privileges"), "{error}");
}

#[test]
fn wrong_settings_are_told_by_name() {
    let made = sink(&json!({"url": "http://h", "table": "a.b"}), &sink_context(Some(shape())));
    assert!(made.err().unwrap()[0].to_string().starts_with("table: not a name"));
}

#[test]
fn every_type_has_a_column_and_that_takes_it() {
    let types = [
        ("string", "Nullable(String)"),
        ("bigint", "Nullable(Int64)"),
        ("decimal(20, 2)", "Nullable(Decimal(20, 2))"),
        ("timestamp", "Nullable(DateTime64(3, 'UTC'))"),
        ("date", "Nullable(Date32)"),
        ("boolean", "Nullable(Bool)"),
        ("bytes", "Nullable(String)"),
        ("json", "Nullable(String)"),
        ("array<array<double>>", "Array(Array(Nullable(Float64)))"),
        ("map<string, int>", "Map(String, Nullable(Int32))"),
        ("row<a float, b string>", "Tuple(`a` Nullable(Float32), `b` Nullable(String))"),
    ];
    for (of, column) in types {
        let data_type: DataType = of.parse().unwrap();
        assert_eq!(made(&data_type), column);
        assert!(takes(column, &data_type), "{column}");
    }
    let takes = |column: &str, of: &str| takes(column, &of.parse().unwrap());
    assert!(takes("LowCardinality(Nullable(String))", "string") && takes("Decimal(38, 4)", "decimal(20, 2)"));
    assert!(takes("Int64", "int") && takes("UInt32", "int") && takes("Float64", "float"));
    assert!(!takes("Int16", "int") && !takes("Float32", "double") && !takes("DateTime", "timestamp"));
    assert!(!takes("Decimal(20, 4)", "decimal(20, 2)") && !takes("Array(Int32)", "array<bigint>"));
    assert!(!takes("String", "bigint"));
}

#[test]
fn keys_that_are_not_selected_are_columns_and_events_have_their_position() {
    let schema = |names: &[&str]| {
        let fields =
            names.iter().map(|name| arrow_schema::Field::new(*name, arrow_schema::DataType::Int64, true));
        Arc::new(arrow_schema::Schema::new(fields.collect::<Vec<_>>()))
    };
    let of = RowShape {
        columns: schema(&["n", "b"]),
        keys: schema(&["a", "b"]),
        key_columns: vec![None, Some(1)],
        identity: RowIdentity::Event,
        ..shape()
    };
    let all = ReplacingTable::of(&of, Keep::All).unwrap().statement("d", "t");
    assert!(all.contains("ORDER BY (`b`, `a`, `_event`)") && all.contains("`_event` String"), "{all}");
    let newest = ReplacingTable::of(&of, Keep::Newest).unwrap().statement("d", "t");
    assert!(newest.contains("ORDER BY (`b`, `a`)\n") && !newest.contains("`_event`"), "{newest}");
    assert!(newest.contains("`_event_time` DateTime64(3, 'UTC')"), "{newest}");
    assert!(ReplacingTable::of(&RowShape { columns: schema(&["_version"]), ..of }, Keep::All).is_err());
}
