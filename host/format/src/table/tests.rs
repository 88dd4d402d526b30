//! What is said of names and options, and that every format reads what it writes.

use super::*;
use arrow_array::{ArrayRef, RecordBatch, TimestampMillisecondArray};
use bytes::Bytes;
use weir_connect::sink::RowMeta;
use weir_connect::{Framing, KnownTimes, RawBlock, SinkRows};
use weir_event::{DataType, Field, PartitionId, Position};

/// Surroundings with nothing in them.
#[derive(Debug)]
struct Nowhere;

impl Surroundings for Nowhere {
    fn file(&self, path: &str) -> Result<Vec<u8>, String> {
        Err(format!("`{path}` is not there"))
    }

    fn registry(&self, _: &str) -> Result<Arc<dyn crate::SchemaRegistry>, String> {
        Err("no address".to_owned())
    }

    fn plugins(&self) -> Option<(Arc<dyn crate::payload::PayloadPlugins>, String)> {
        None
    }

    fn clock(&self) -> Arc<dyn weir_event::Clock> {
        Arc::new(weir_event::ManualClock::default())
    }
}

fn writing(in_files: bool) -> Writing<'static> {
    Writing { meta: false, in_files, subject: "out-value", around: &Nowhere }
}

fn schema() -> StreamSchema {
    StreamSchema { fields: vec![Field::named("at", DataType::Timestamp)], event_time: 0 }
}

#[test]
fn a_typing_error_gets_a_suggestion_and_options_are_judged() {
    let read = |name: &str, options: Value| {
        stream_format(name, &options, &schema(), &Nowhere).unwrap_err()[0].to_string()
    };
    assert_eq!(read("jsn", json!({})), "`jsn`: unknown format; did you mean `json`?");
    assert_eq!(read("csv", json!({"delimeter": ";"})), "delimeter: unknown key; did you mean `delimiter`?");
    assert_eq!(
        read("csv", json!({"delimiter": "ab"})),
        "delimiter: `ab` is not one character of ASCII; write one such as \";\""
    );
    assert_eq!(read("csv", json!({"quote": ","})), "quote: is the delimiter too; write another character");
    assert!(read("csv", json!({"null": "a,b"})).starts_with("null: holds a delimiter"));
    let written =
        |format: Value, in_files| sink_format(&format, &writing(in_files)).unwrap_err()[0].to_string();
    assert_eq!(written(json!("json"), true), "`json`: unknown format; did you mean `jsonl`?");
    assert_eq!(
        written(json!({"csv": {"header": 1}}), true),
        "csv.header: the number `1` stands where true or false belongs"
    );
    assert!(written(json!({"csv": {}, "json": {}}), false).starts_with("expected the name of a format"));
    assert!(written(json!("parquet"), false).contains("not written one by one"));
    let meta = Writing { meta: true, ..writing(true) };
    assert!(
        sink_format(&json!("csv"), &meta).unwrap_err()[0].to_string().starts_with("csv: csv has no place")
    );
}

#[test]
fn changes_are_taken_back_unless_deletes_are_ignored() {
    let json = by_name("json").unwrap();
    for (options, gives_changes) in [
        (json!({}), false),
        (json!({"envelope": "debezium"}), true),
        (json!({"envelope": "debezium", "deletes": "retract"}), true),
        (json!({"envelope": "debezium", "deletes": "ignore"}), false),
    ] {
        assert_eq!(json.gives_changes(&options), gives_changes, "{options}");
        assert!(stream_format("json", &options, &schema(), &Nowhere).is_ok(), "{options}");
    }
    let read =
        |options: Value| stream_format("json", &options, &schema(), &Nowhere).unwrap_err()[0].to_string();
    assert_eq!(
        read(json!({"envelope": "debezium", "deletes": "drop"})),
        "deletes: `drop`: unknown value; known: retract, ignore"
    );
    assert_eq!(
        read(json!({"envelope": "maxwell"})),
        "envelope: `maxwell`: unknown envelope; known: debezium"
    );
    assert_eq!(read(json!({"deletes": "ignore"})), "deletes: is for `envelope: debezium`; leave it out");
    assert!(!by_name("csv").unwrap().gives_changes(&json!({})));
}

#[test]
fn every_format_that_needs_nothing_else_reads_what_it_writes() {
    for name in ["jsonl", "csv"] {
        let at: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![1, -1]));
        let columns = RecordBatch::try_from_iter([("at", at)]).unwrap();
        let rows = SinkRows { columns: columns.clone(), meta: RowMeta::default() };
        let format = sink_format(&json!(name), &writing(true)).unwrap();
        assert_eq!(format.ending, name);
        let (head, mut data) = (format.encoder.head(&rows).unwrap(), Vec::new());
        format.encoder.encode(&rows, &mut data).unwrap();
        let row = FORMATS.iter().find(|row| row.ending == Some(name)).unwrap();
        let reading = stream_format(row.name, &json!({}), &schema(), &Nowhere).unwrap();
        let decoded = reading.decoder(&[0]).decode(&RawBlock {
            partition: PartitionId::default(),
            data: data.into(),
            framing: match reading.layout() {
                FileLayout::Lines => Framing::Lines { first: 0 },
                _ => Framing::Container { head: Bytes::from(head), base: 0, first: 0 },
            },
            known: KnownTimes::Unknown,
            next: Position::default(),
            refused: Vec::new(),
        });
        assert_eq!(decoded.columns.columns(), columns.columns(), "{name}");
    }
}
