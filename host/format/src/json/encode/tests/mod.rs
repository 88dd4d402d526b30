//! Every type of column as JSON.

use super::*;
use crate::json::JsonDecoder;
use arrow_array::builder::{Int32Builder, ListBuilder, StringDictionaryBuilder};
use arrow_array::types::Int32Type;
use arrow_array::{
    ArrayRef, Date32Array, Decimal128Array, Float64Array, Int64Array, ListViewArray, StringArray,
};
use arrow_buffer::ScalarBuffer;
use proptest::prelude::*;
use std::sync::Arc;
use weir_connect::{Decoder, Framing, KnownTimes, RawBlock};
use weir_event::{EventTime, PartitionId, Position, StreamSchema};

fn text(columns: RecordBatch) -> String {
    let mut out = Vec::new();
    JsonEncoder::new(false).encode(&SinkRows { columns, meta: RowMeta::default() }, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn decode(columns: &[(&str, &str)], lines: &str) -> RecordBatch {
    let fields =
        columns.iter().map(|(name, data_type)| weir_event::Field::named(name, data_type.parse().unwrap()));
    let schema = StreamSchema { fields: fields.collect(), event_time: 0 };
    let block = RawBlock {
        partition: PartitionId::default(),
        data: bytes::Bytes::copy_from_slice(lines.as_bytes()),
        framing: Framing::Lines { first: 0 },
        known: KnownTimes::Unknown,
        next: Position::default(),
        refused: Vec::new(),
    };
    let decoded = JsonDecoder::new(&schema, &(0..columns.len()).collect::<Vec<_>>()).decode(&block);
    assert_eq!(decoded.bad, []);
    decoded.columns
}

#[test]
fn what_was_decoded_is_written_back() {
    let columns = [
        ("t", "timestamp"),
        ("s", "string"),
        ("d", "double"),
        ("f", "float"),
        ("n", "bigint"),
        ("b", "boolean"),
        ("raw", "bytes"),
        ("j", "json"),
        ("l", "array<row<a int, b array<string>>>"),
        ("m", "map<bigint, timestamp>"),
        ("e", "decimal(38, 2)"),
        ("w", "date"),
        ("nested", "row<e array<decimal(5, 2)>, w map<date, json>, j array<json>>"),
    ];
    let lines = concat!(
        r#"{"t":"2026-01-01T00:00:00.250Z","s":"a\"\n\u001fé","d":0.1,"f":0.1,"n":9007199254740993,"b":true,"raw":"QUJDRA==","j":{"x":[1, 2]},"l":[{"a":1,"b":["x",null]},null],"m":{"5":"1969-12-31T23:59:59.999Z"},"e":123456789012345678901234567890123456.70,"w":"2024-02-29","nested":{"e":[0.10,-1.00,null],"w":{"0001-01-01":{"a": [1]}},"j":["x",{"y":1.50},null]}}"#,
        "\n",
        r#"{"t":"0001-01-01T00:00:00.000Z","s":null,"d":-0.0,"f":null,"n":null,"b":null,"raw":"","j":null,"l":[],"m":null,"e":null,"w":null,"nested":null}"#,
        "\n",
    );
    assert_eq!(text(decode(&columns, lines)), lines);
}

#[test]
fn a_cell_is_written_as_in_its_row() {
    let columns = [("t", "timestamp"), ("j", "json"), ("l", "array<float>"), ("m", "map<boolean, bytes>")];
    let line = r#"{"t":5,"j":[{"a":1e2}],"l":[0.1,null],"m":{"true":"QQ=="}}"#;
    let mut cells = Vec::new();
    for column in decode(&columns, line).columns() {
        push_cell(column, 0, &mut cells);
        cells.push(b' ');
    }
    let expected = r#""1970-01-01T00:00:00.005Z" [{"a":1e2}] [0.1,null] {"true":"QQ=="} "#;
    assert_eq!(String::from_utf8(cells).unwrap(), expected);
}

#[test]
fn members_are_named_by_text_whatever_the_type_of_a_map_s_keys() {
    let columns = [("t", "timestamp"), ("m", "map<json, int>"), ("d", "map<decimal(4, 1), int>")];
    let lines = decode(&columns, r#"{"t":5,"m":{"a":1},"d":{"1.5":1,"20":2}}"#);
    let expected = r#"{"t":"1970-01-01T00:00:00.005Z","m":{"a":1},"d":{"1.5":1,"20.0":2}}"#;
    assert_eq!(text(lines), format!("{expected}\n"));
    let keys = StringArray::from(vec![r#"{"a":"b"}"#, "[1]"]);
    let cells = Cells::new(&keys).unwrap();
    let mut names = Vec::new();
    (0..2).for_each(|row| cells.write_key(row, &mut names));
    assert_eq!(String::from_utf8(names).unwrap(), r#""{\"a\":\"b\"}""[1]""#);
}

#[test]
fn dates_that_no_calendar_holds_are_days() {
    let days: ArrayRef =
        Arc::new(Date32Array::from(vec![0, -719_528, -719_529, 2_932_896, 2_932_897, i32::MAX]));
    let batch = RecordBatch::try_from_iter([("d", days)]).unwrap();
    let expected = [
        r#""1970-01-01""#,
        r#""0000-01-01""#,
        r#""-000001-12-31""#,
        r#""9999-12-31""#,
        "2932897",
        "2147483647",
    ];
    let lines: Vec<String> = expected.iter().map(|date| format!("{{\"d\":{date}}}\n")).collect();
    assert_eq!(text(batch), lines.concat());
}

#[test]
fn what_json_cannot_say_is_null() {
    let doubles: ArrayRef =
        Arc::new(Float64Array::from(vec![f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 1e300]));
    let batch = RecordBatch::try_from_iter([("d", doubles)]).unwrap();
    assert_eq!(
        text(batch),
        "{\"d\":null}\n{\"d\":null}\n{\"d\":null}\n{\"d\":1e300}\n".replace("1e300", "1e+300").as_str()
    );
}

#[test]
fn views_of_lists_over_a_dictionary_are_written_as_lists() {
    let mut words = StringDictionaryBuilder::<Int32Type>::new();
    words.extend(["a", "b", "a", "c"].map(Some));
    let words: ArrayRef = Arc::new(words.finish());
    let item = Arc::new(Field::new("item", words.data_type().clone(), true));
    let offsets = ScalarBuffer::from(vec![1, 0, 0]);
    let sizes = ScalarBuffer::from(vec![3, 2, 0]);
    let lists: ArrayRef = Arc::new(ListViewArray::try_new(item, offsets, sizes, words, None).unwrap());
    let batch = RecordBatch::try_from_iter([("top", lists)]).unwrap();
    assert_eq!(text(batch), "{\"top\":[\"b\",\"a\",\"c\"]}\n{\"top\":[\"a\",\"b\"]}\n{\"top\":[]}\n");
}

#[test]
fn slices_are_written_from_where_they_start() {
    let mut lists = ListBuilder::new(Int32Builder::new());
    lists.append_value([Some(1)]);
    lists.append_value([Some(2), None]);
    let lists: ArrayRef = Arc::new(lists.finish().slice(1, 1));
    let decimals = Decimal128Array::from(vec![100, -1250]).with_precision_and_scale(10, 2).unwrap();
    let decimals: ArrayRef = Arc::new(decimals.slice(1, 1));
    let batch = RecordBatch::try_from_iter([("l", lists), ("d", decimals)]).unwrap();
    assert_eq!(text(batch), "{\"l\":[2,null],\"d\":-12.50}\n");
}

#[test]
fn text_that_claims_to_be_json_cannot_break_the_line() {
    let values: ArrayRef = Arc::new(StringArray::from(vec!["[1,\n2]", "{\"", ""]));
    let batch = RecordBatch::try_from_iter([("j", values)]).unwrap();
    assert_eq!(text(batch), "{\"j\":[1, 2]}\n{\"j\":\"{\\\"\"}\n{\"j\":\"\"}\n");
}

#[test]
fn what_weir_says_of_a_row_is_added_on_request() {
    let key: ArrayRef = Arc::new(StringArray::from(vec!["u1", "u2"]));
    let total: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let meta = RowMeta {
        job: "activity".into(),
        version: 2,
        definition: "sha256:ab".into(),
        epoch: 7,
        windows: vec![(0, 3_600_000), (3_600_000, 7_200_000)],
        revision: 3,
        keys: Some(RecordBatch::try_from_iter([("user", key.clone())]).unwrap()),
        ..RowMeta::default()
    };
    let columns = RecordBatch::try_from_iter([("user", key), ("total", total)]).unwrap();
    let mut rows = SinkRows { columns, meta };
    let mut out = Vec::new();
    JsonEncoder::new(true).encode(&rows, &mut out).unwrap();
    let first = String::from_utf8(out).unwrap().lines().next().unwrap().to_owned();
    assert_eq!(
        first,
        concat!(
            r#"{"user":"u1","total":1,"_weir":{"job":"activity","version":2,"key":{"user":"u1"},"#,
            r#""window":{"start":"1970-01-01T00:00:00.000Z","end":"1970-01-01T01:00:00.000Z"},"#,
            r#""revision":3,"op":"upsert","epoch":7,"definition":"sha256:ab"}}"#
        )
    );
    rows.meta.windows.clear();
    let mut out = Vec::new();
    JsonEncoder::new(true).records(&rows).unwrap().write(1, &mut out);
    let value: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(value["_weir"]["window"], Value::Null);
}

proptest! {
    #[test]
    fn times_are_written_as_the_calendar_has_them(millis in -63_000_000_000_000_i64..253_402_207_200_000) {
        let mut out = Vec::new();
        push_time(millis, &mut out);
        prop_assert_eq!(String::from_utf8(out).unwrap(), format!("\"{}\"", EventTime::from_millis(millis)));
    }

    #[test]
    fn doubles_read_back_the_same(value: f64) {
        prop_assume!(value.is_finite());
        let array: ArrayRef = Arc::new(Float64Array::from(vec![value]));
        let line = text(RecordBatch::try_from_iter([("d", array)]).unwrap());
        let number = line.trim().trim_start_matches("{\"d\":").trim_end_matches('}');
        prop_assert_eq!(number.parse::<f64>().unwrap().to_bits(), value.to_bits());
    }
}
