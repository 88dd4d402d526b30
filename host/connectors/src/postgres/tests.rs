//! What tables a PostgreSQL sink wants and what its rows look like on the way there. Real servers are met in the tests
//! of the whole.

use super::layout::Layout;
use super::lines::Lines;
use super::sink;
use crate::context::SinkContext;
use crate::upsert::Keep;
use arrow_array::{ArrayRef, BinaryViewArray, Float64Array, Int64Array, RecordBatch, StringViewArray};
use arrow_schema::{DataType, Field, Schema};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use weir_connect::sink::RowMeta;
use weir_connect::{NoMark, Op, RowIdentity, RowShape, SinkRows};
use weir_event::ManualClock;

fn shape() -> RowShape {
    let columns = vec![
        Field::new("n", DataType::Int64, true),
        Field::new("x", DataType::Float64, true),
        Field::new("raw", DataType::BinaryView, true),
    ];
    RowShape {
        job: "j".into(),
        columns: Arc::new(Schema::new(columns)),
        keys: Arc::new(Schema::new(vec![Field::new("user_id", DataType::Utf8View, true)])),
        key_columns: vec![None],
        identity: RowIdentity::WindowEnd,
        deletes: false,
    }
}

fn context() -> SinkContext {
    SinkContext {
        project: PathBuf::from("/project"),
        data_dir: PathBuf::from("/project/.weir"),
        job: "j".to_owned(),
        sink: "postgres".to_owned(),
        shape: Some(Arc::new(shape())),
        refused_bytes: 0,
        clock: Arc::new(ManualClock::default()),
        began: weir_event::EventTime::from_millis(0),
        mark: Arc::new(NoMark),
    }
}

fn errors(settings: &Value) -> String {
    let errors = sink(settings, &context()).err().unwrap();
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

#[test]
fn settings_are_checked_and_no_message_holds_the_password() {
    let made = sink(&json!({"url": "postgres://me:secret@h:5/d", "table": "s.f"}), &context()).unwrap();
    assert_eq!(made.place(), "s.f at h:5/d");
    let told = errors(&json!({"url": "postgres:me:secret@h", "table": ".f", "keep": "some"}));
    assert!(told.contains("url: not a URL") && told.contains("table: not a name"), "{told}");
    assert!(told.contains("keep: unknown variant") && !told.contains("secret"), "{told}");
}

#[test]
fn a_table_has_the_querys_columns_the_key_and_what_tells_rows_apart() {
    let layout = Layout::of("s.f", Keep::All, &shape()).unwrap();
    let ddl = layout.ddl();
    assert!(ddl.contains("CREATE TABLE \"s\".\"f\" (\n  \"n\" bigint,\n  \"x\" double precision,"), "{ddl}");
    assert!(ddl.contains("PRIMARY KEY (\"user_id\", \"_window_end\")"), "{ddl}");
    assert!(ddl.contains("CREATE TABLE IF NOT EXISTS \"s\".\"f_weir_epochs\""), "{ddl}");
    let types = [
        ("n", "text"),
        ("x", "float8"),
        ("raw", "bytea"),
        ("user_id", "text"),
        ("_window_end", "timestamptz"),
    ];
    let mut found: BTreeMap<String, String> =
        types.map(|(name, of)| (name.to_owned(), of.to_owned())).into_iter().collect();
    assert_eq!(layout.misfit(&found).unwrap(), "its column `n` is of type text, which does not hold bigint");
    found.insert("n".to_owned(), "int4".to_owned());
    assert_eq!(layout.misfit(&found).unwrap(), "it has no column `_time`; add it: \"_time\" bigint");
    found.remove("user_id");
    found.insert("userid".to_owned(), "text".to_owned());
    let told = layout.misfit(&found).unwrap();
    assert_eq!(told, "it has no column `user_id` (it has `userid`); add it: \"user_id\" text");
    let needed = ["n", "_time", "owner"].map(str::to_owned);
    assert!(layout.lacks(&needed).unwrap().starts_with("its column `owner` takes no null"));
    assert_eq!(layout.lacks(&needed[..2]), None);
    let place = Arc::new(Schema::new(vec![Field::new("place", DataType::Utf8, true)]));
    for (key_columns, declared) in [(vec![Some(0)], "text"), (Vec::new(), "jsonb")] {
        let by = RowShape { keys: place.clone(), columns: place.clone(), key_columns, ..shape() };
        let ddl = Layout::of("f", Keep::All, &by).unwrap().ddl();
        assert!(ddl.contains(&format!("\"place\" {declared},")), "{ddl}");
    }
    let keyless = RowShape { keys: Arc::new(Schema::empty()), key_columns: Vec::new(), ..shape() };
    assert!(Layout::of("f", Keep::Newest, &keyless).unwrap_err().contains("`keep: all`"));
}

#[test]
fn lines_hold_any_text_and_a_null_in_the_key_is_told() {
    let users: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a\tb\\\n"), None]));
    let n: ArrayRef = Arc::new(Int64Array::from(vec![None, Some(i64::MAX)]));
    let x: ArrayRef = Arc::new(Float64Array::from(vec![f64::NEG_INFINITY, 1.0]));
    let raw: ArrayRef = Arc::new(BinaryViewArray::from_iter_values([&b"\x00\xff"[..], b""]));
    let rows = SinkRows {
        columns: RecordBatch::try_from_iter([("n", n), ("x", x), ("raw", raw)]).unwrap(),
        meta: RowMeta {
            windows: vec![(0, 10); 2],
            revision: 7,
            op: Op::Delete,
            keys: Some(RecordBatch::try_from_iter([("user_id", users)]).unwrap()),
            ..RowMeta::default()
        },
    };
    let layout = Layout::of("f", Keep::Newest, &shape()).unwrap();
    let lines = Lines::new(&layout, RowIdentity::WindowEnd, &rows).unwrap();
    let mut text = String::new();
    lines.push(0, ("j", 3, 4), &mut text).unwrap();
    assert_eq!(text, "j\t3\t4\td\t10\t7\t\\N\t-Infinity\t\\\\x00ff\ta\\tb\\\\\\n\n");
    assert_eq!(lines.push(1, ("j", 3, 5), &mut text), Err("user_id"));
    assert_eq!(lines.key(1), ["null"]);
}
