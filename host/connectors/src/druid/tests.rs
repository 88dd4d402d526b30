//! What a row and its supervisor look like.

use super::rows::DruidEncoder;
use super::sink;
use crate::registry::tests::sink_context;
use crate::upsert::tests::fixture::{rows, shape};
use serde_json::{Value, json};
use std::sync::Arc;
use weir_connect::{Encoder, Op, RowIdentity, RowShape};

fn through() -> Value {
    json!({"brokers": "127.0.0.1:9092", "topic": "rows"})
}

#[test]
fn a_row_has_its_time_its_revision_and_the_whole_key() {
    let of = RowShape { key_columns: vec![None], ..shape() };
    let encoder = DruidEncoder::of(Some(&of));
    let mut rows = rows(&[(Some("a"), 1, 20), (None, 2, 30)], 7, Op::Delete);
    rows.columns = rows.columns.project(&[1]).unwrap();
    let mut out = Vec::new();
    encoder.encode(&rows, &mut out).unwrap();
    let expected = "{\"n\":1,\"user\":\"a\",\"__time\":10,\"_revision\":7,\"_deleted\":1,\"_window_end\":20}\n\
                    {\"n\":2,\"user\":null,\"__time\":20,\"_revision\":7,\"_deleted\":1,\"_window_end\":30}\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn the_supervisor_has_a_dimension_for_each_member_of_a_row() {
    let settings = json!({"kafka": through(), "datasource": "d", "segments": "hour"});
    let sink = sink(&settings, &sink_context(Some(shape()))).unwrap();
    assert!(sink.wants_meta());
    let ddl = sink.ddl().unwrap();
    let (_, spec) = ddl.split_once("POST /druid/indexer/v1/supervisor\n").unwrap();
    let spec: Value = serde_json::from_str(spec).unwrap();
    let schema = &spec["spec"]["dataSchema"];
    let dimensions = schema["dimensionsSpec"]["dimensions"].as_array().unwrap();
    let named: Vec<String> = dimensions
        .iter()
        .map(|of| format!("{} {}", of["name"].as_str().unwrap(), of["type"].as_str().unwrap()))
        .collect();
    assert_eq!(
        named,
        ["user string", "n long", "half double", "_window_end long", "_revision long", "_deleted long"]
    );
    assert_eq!((&schema["dataSource"], &spec["spec"]["ioConfig"]["topic"]), (&json!("d"), &json!("rows")));
    assert_eq!(schema["granularitySpec"]["segmentGranularity"], "HOUR");
}

#[test]
fn what_cannot_be_there_is_told() {
    let told = |settings: Value, shape: RowShape| {
        let errors = sink(&settings, &sink_context(Some(shape))).err().unwrap_or_default();
        errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    let of = |identity: RowIdentity| RowShape { identity, ..shape() };
    assert_eq!(told(json!({"kafka": through()}), of(RowIdentity::Event)), "");
    assert!(told(json!({"kafka": through()}), of(RowIdentity::Key)).contains("give the query a window"));
    assert!(told(json!({}), shape()).contains("kafka: missing"));
    assert!(told(json!({"kafka": {"topic": "t"}}), shape()).contains("kafka.brokers: missing"));
    let own = arrow_schema::Schema::new(vec![arrow_schema::Field::new(
        "_revision",
        arrow_schema::DataType::Int64,
        true,
    )]);
    let own = RowShape { columns: Arc::new(own), ..shape() };
    assert!(told(json!({"kafka": through()}), own).contains("`_revision` has a meaning of its own"));
}
