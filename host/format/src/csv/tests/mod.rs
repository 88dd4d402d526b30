//! CSV in and out: what is read of examples, that rows come back as they were written, and that nothing panics.

use super::*;
use crate::json::JsonEncoder;
use bytes::Bytes;
use proptest::prelude::*;
use std::sync::Arc;
use weir_connect::sink::RowMeta;
use weir_connect::{Decoded, Decoder, Encoder, Framing, KnownTimes, RawBlock, SinkRows};
use weir_event::{DataType, Field, PartitionId, Position, StreamSchema, TimeForm, TimeUnit};

fn field(name: &str, data_type: &str) -> Field {
    Field::named(name, data_type.parse().unwrap())
}

/// A stream of these columns besides the event time `at`, which is the first.
fn stream(columns: &[(&str, &str)]) -> StreamSchema {
    let others = columns.iter().map(|(name, data_type)| field(name, data_type));
    StreamSchema { fields: std::iter::once(field("at", "timestamp")).chain(others).collect(), event_time: 0 }
}

fn block(data: &[u8], framing: Framing) -> RawBlock {
    RawBlock {
        partition: PartitionId::default(),
        data: Bytes::copy_from_slice(data),
        framing,
        known: KnownTimes::Unknown,
        next: Position::default(),
        refused: Vec::new(),
    }
}

fn in_file(head: &str, data: &[u8]) -> RawBlock {
    block(data, Framing::Container { head: Bytes::copy_from_slice(head.as_bytes()), base: 10, first: 10 })
}

fn decode(schema: &StreamSchema, block: &RawBlock) -> Decoded {
    let columns: Vec<usize> = (0..schema.fields.len()).collect();
    CsvDecoder::new(Arc::new(CsvOptions::default()), schema, &columns).decode(block)
}

/// The rows as JSON lines.
fn rows(decoded: &Decoded) -> Vec<String> {
    let rows = SinkRows { columns: decoded.columns.clone(), meta: RowMeta::default() };
    let mut lines = Vec::new();
    JsonEncoder::new(false).encode(&rows, &mut lines).unwrap();
    String::from_utf8(lines).unwrap().lines().map(str::to_owned).collect()
}

#[test]
fn columns_are_found_by_their_names_and_offsets_count_records() {
    let mut schema = stream(&[("fare", "double"), ("note", "string"), ("gone", "int")]);
    schema.fields[1].path = vec!["payload".to_owned(), "fare".to_owned()];
    let data = b"x,1.5,1\r\n\"a \"\"b\"\"\n,c\",2,2\n\n,,3\ny,,\n";
    let decoded = decode(&schema, &in_file("\u{feff}note, payload.fare ,at\r\n", data));
    assert_eq!(
        rows(&decoded),
        [
            r#"{"at":"1970-01-01T00:00:00.001Z","fare":1.5,"note":"x","gone":null}"#,
            r#"{"at":"1970-01-01T00:00:00.002Z","fare":2.0,"note":"a \"b\"\n,c","gone":null}"#,
            r#"{"at":"1970-01-01T00:00:00.003Z","fare":null,"note":null,"gone":null}"#,
        ]
    );
    assert_eq!((decoded.offsets, decoded.records), (vec![10, 11, 13], vec![0, 1, 3]));
    assert_eq!(decoded.bad[0].offset, 14);
    assert_eq!(decoded.bad[0].reason, "the event time `at` is missing");
}

#[test]
fn without_names_fields_have_the_order_of_the_columns() {
    let schema = stream(&[("n", "int"), ("s", "string")]);
    let data = b"1,2,a2,3,\"b\n\"\n";
    let decoded = decode(&schema, &block(data, Framing::Records { ends: vec![5, 14], offsets: vec![4, 9] }));
    let expected = [
        r#"{"at":"1970-01-01T00:00:00.001Z","n":2,"s":"a"}"#,
        r#"{"at":"1970-01-01T00:00:00.002Z","n":3,"s":"b\n"}"#,
    ];
    assert_eq!(rows(&decoded), expected);
    assert_eq!(decoded.offsets, [4, 9]);
    let bare = CsvOptions { header: false, ..CsvOptions::default() };
    let decoder = CsvDecoder::new(Arc::new(bare), &schema, &[2, 0]);
    let later = block(b"1,2,a\n2,3,b\n", Framing::Container { head: Bytes::new(), base: 0, first: 1 });
    let decoded = decoder.decode(&later);
    assert_eq!(rows(&decoded), [r#"{"s":"b","at":"1970-01-01T00:00:00.002Z"}"#]);
    assert_eq!(decoded.offsets, [1]);
}

#[test]
fn values_of_every_type_are_read() {
    for (data_type, text, value) in [
        ("string", " x ", r#"" x ""#),
        ("string", "\"\"", r#""""#),
        ("bigint", "+007", "7"),
        ("bigint", "9223372036854775807", "9223372036854775807"),
        ("bigint", "-9223372036854775808", "-9223372036854775808"),
        ("bigint", "1e18", "1000000000000000000"),
        ("bigint", "9007199254740993.0", "9007199254740993"),
        ("int", " -12.0 ", "-12"),
        ("double", "1e300", "1e+300"),
        ("double", ".5", "0.5"),
        ("float", "0.1", "0.1"),
        (
            "decimal(38, 2)",
            "123456789012345678901234567890123456.78",
            "123456789012345678901234567890123456.78",
        ),
        ("boolean", "TRUE", "true"),
        ("boolean", "f", "false"),
        ("timestamp", "2026-01-31T12:00:00+01:00", r#""2026-01-31T11:00:00.000Z""#),
        ("date", "2024-02-29", r#""2024-02-29""#),
        ("bytes", "AP8=", r#""AP8=""#),
        ("json", "\"{\"\"a\"\": [1, null]}\"", r#"{"a": [1, null]}"#),
        (
            "array<string>",
            "\"[\"\"a long text, longer than a view\"\", null]\"",
            r#"["a long text, longer than a view",null]"#,
        ),
        ("map<string, int>", "\"{\"\"a\"\": 1}\"", r#"{"a":1}"#),
        ("row<a int, b string>", "\"{\"\"b\"\": \"\"x\"\"}\"", r#"{"a":null,"b":"x"}"#),
        ("double", "", "null"),
    ] {
        let schema = stream(&[("v", data_type)]);
        let decoded = decode(&schema, &in_file("at,v\n", format!("0,{text}\n").as_bytes()));
        let expected = format!(r#"{{"at":"1970-01-01T00:00:00.000Z","v":{value}}}"#);
        assert_eq!(rows(&decoded), [expected], "{data_type} {text} {:?}", decoded.bad);
    }
}

#[test]
fn what_does_not_fit_is_told() {
    for (data_type, text, reason) in [
        ("int", "2147483648", "column `v`: the text `2147483648` is not a whole number in range of type int"),
        ("bigint", "1.5", "column `v`: the text `1.5` is not a whole number in range of type bigint"),
        ("double", "nan", "column `v`: the text `nan` is out of range of type double"),
        ("double", "x", "column `v`: the text `x` does not fit type double"),
        (
            "decimal(4, 1)",
            "1.25",
            "column `v`: the text `1.25` has more digits after the point than type decimal(4, 1)",
        ),
        ("boolean", "yes", "column `v`: the text `yes` does not fit type boolean"),
        (
            "date",
            "31.01.2026",
            "column `v`: the text `31.01.2026` is not a date such as 2026-01-31 and does not fit type date",
        ),
        ("bytes", "!", "column `v`: the text `!` is not base64 and does not fit type bytes"),
        ("json", "{", "column `v`: not JSON: expected"),
        ("array<int>", "\"[\"\"a\"\"]\"", "column `v`: the array [\"a\"] does not fit type array<int>"),
        (
            "timestamp",
            "2026-01-31 12:00:00",
            "column `v`: the text `2026-01-31 12:00:00` has no zone; add Z or +01:00",
        ),
        ("string", "a,b", "not a row: it has 3 fields and there are 2 columns"),
        ("string", "\"a", "not CSV: the quote at byte 2 is not closed"),
        ("string", "\"a\"b", "not CSV: text follows the closing quote at byte 4; double the quotes"),
    ] {
        let schema = stream(&[("v", data_type)]);
        let decoded = decode(&schema, &in_file("at,v\n", format!("0,{text}\n1,\n").as_bytes()));
        assert!(decoded.bad[0].reason.starts_with(reason), "{data_type} {text}: {}", decoded.bad[0].reason);
        // An open quote takes what follows with it: whoever cuts files keeps that apart.
        assert_eq!(decoded.offsets.len(), usize::from(text != "\"a"), "{text}");
    }
}

#[test]
fn other_dialects_other_times_and_wrong_names_are_known() {
    let mut schema = stream(&[("v", "string")]);
    schema.fields[0].form = TimeForm::Unit(TimeUnit::Seconds);
    let options = json_options(r#"{"delimiter": ";", "quote": "'", "null": "\\N"}"#);
    let decoder = CsvDecoder::new(options, &schema, &[0, 1]);
    let decoded = decoder.decode(&in_file("at;v\n", b"1.5;'a;''b'\n2;\\N\n3;'\\N'\n"));
    assert_eq!(
        rows(&decoded),
        [
            r#"{"at":"1970-01-01T00:00:01.500Z","v":"a;'b"}"#,
            r#"{"at":"1970-01-01T00:00:02.000Z","v":null}"#,
            r#"{"at":"1970-01-01T00:00:03.000Z","v":"\\N"}"#,
        ]
    );
    let twice = decode(&stream(&[("v", "int")]), &in_file("at,v,v\n", b"0,1,2\n"));
    assert_eq!(twice.bad[0].reason, "the line of names has `v` twice; rename one");
    let other = decode(&stream(&[("v", "int")]), &in_file("at,v\n", b"0;1\n"));
    assert!(
        other.bad[0].reason.ends_with("told apart by ';', set `delimiter: ';'`"),
        "{}",
        other.bad[0].reason
    );
}

fn json_options(text: &str) -> Arc<CsvOptions> {
    Arc::new(CsvOptions::of(&serde_json::from_str(text).unwrap()).unwrap())
}

const TYPES: [&str; 14] = [
    "string",
    "string",
    "bigint",
    "int",
    "double",
    "float",
    "decimal(20, 3)",
    "boolean",
    "timestamp",
    "date",
    "bytes",
    "array<string>",
    "map<string, bigint>",
    "row<a int, b string>",
];

/// A value of each of [`TYPES`], or null.
fn row() -> impl Strategy<Value = serde_json::Value> {
    let text = "[ -~\n\r\té\u{1F600}]{0,20}";
    let values = (
        text,
        any::<i64>(),
        any::<i32>(),
        any::<f64>(),
        any::<bool>(),
        any::<u64>(),
        prop::collection::vec(any::<u8>(), 0..9),
    );
    (values, any::<u16>()).prop_map(|((text, big, int, double, flag, nanos, bytes), nulls)| {
        let mut base64 = Vec::new();
        crate::base64::push(&bytes, &mut base64);
        let time =
            weir_event::EventTime::from_millis((nanos % 100_000_000_000_000) as i64 - 50_000_000_000_000);
        let date = time.to_string()[..10].to_owned();
        let double = if double.is_finite() { double } else { 0.5 };
        let values = [
            text.clone().into(),
            "".into(),
            big.into(),
            int.into(),
            double.into(),
            (int as f32 / 3.0).into(),
            format!("{}.{:03}", big / 1000, (big % 1000).abs()).into(),
            flag.into(),
            time.to_string().into(),
            date.into(),
            String::from_utf8(base64).unwrap().into(),
            serde_json::json!([text, null_text(&text)]),
            serde_json::json!({"k": big, text.clone(): 1}),
            serde_json::json!({"a": int, "b": text}),
        ];
        let members = values.into_iter().enumerate().map(|(index, value)| {
            (format!("c{index}"), if nulls >> index & 1 == 1 { serde_json::Value::Null } else { value })
        });
        std::iter::once(("at".to_owned(), 1.into())).chain(members).collect()
    })
}

fn null_text(text: &str) -> serde_json::Value {
    if text.len().is_multiple_of(2) { serde_json::Value::Null } else { text.into() }
}

fn wide_stream() -> StreamSchema {
    let columns: Vec<(String, &str)> = (0..).map(|index| format!("c{index}")).zip(TYPES).collect();
    stream(&columns.iter().map(|(name, data_type)| (name.as_str(), *data_type)).collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn rows_come_back_as_they_were_written(rows_given in prop::collection::vec(row(), 1..8), split in any::<prop::sample::Index>()) {
        let schema = wide_stream();
        let lines: String = rows_given.iter().map(|row| format!("{row}\n")).collect();
        let every: Vec<usize> = (0..schema.fields.len()).collect();
        let json = crate::json::JsonDecoder::new(&schema, &every).decode(&block(lines.as_bytes(), Framing::Lines { first: 0 }));
        prop_assert_eq!(&json.bad, &Vec::new());
        let given = SinkRows { columns: json.columns.clone(), meta: RowMeta::default() };
        let encoder = CsvEncoder::new(Arc::new(CsvOptions::default()));
        let (head, mut data) = (encoder.head(&given).unwrap(), Vec::new());
        encoder.encode(&given, &mut data).unwrap();
        let head = String::from_utf8(head).unwrap();
        let back = decode(&schema, &in_file(&head, &data));
        prop_assert_eq!(&back.bad, &Vec::new());
        prop_assert_eq!(rows(&back), rows(&json));

        // Whoever cuts files and whoever reads them agree on where a record ends.
        let (mut boundary, mut ends) = (Boundary::new(CsvOptions::default().dialect), Vec::new());
        let bytes = &data[..split.index(data.len())];
        ends.extend(std::iter::from_fn(|| boundary.next_end(bytes)));
        ends.extend(std::iter::from_fn(|| boundary.next_end(&data)));
        prop_assert_eq!(ends.len(), rows_given.len());
        prop_assert_eq!(ends.last(), Some(&data.len()));
    }
}

#[test]
fn a_line_of_a_million_fields_is_looked_at_once() {
    let line = [vec![b','; 1 << 20], b"\"a\nb\"\nnext\n".to_vec()].concat();
    let mut boundary = Boundary::new(Dialect { delimiter: b',', quote: b'"' });
    assert_eq!(boundary.next_end(&line), Some(line.len() - b"next\n".len()));
    assert_eq!(boundary.next_end(&line), Some(line.len()));
}

/// One byte after the other is changed, taken away or put in: every row is there, good or bad, and nothing panics.
#[test]
fn ten_thousand_damaged_texts_do_no_harm() {
    let schema = wide_stream();
    let good = "1,text,\"qu\"\"o\nted\",12,3,1.5,0.25,12.345,true,2026-01-31T12:00:00Z,2026-01-31,AP8=,\"[\"\"a\"\"]\",\"{\"\"k\"\": 1}\",\"{\"\"a\"\": 1}\"\n";
    let (data, mut seed) = (good.repeat(3).into_bytes(), 7_u64);
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let head =
        (0..schema.fields.len()).map(|index| schema.fields[index].name.clone()).collect::<Vec<_>>().join(",");
    for _ in 0..10_000 {
        let (mut damaged, at) = (data.clone(), next(data.len()));
        match next(3) {
            0 => damaged[at] = b",\"\n\r\x00\xff{[9e"[next(10)],
            1 => drop(damaged.remove(at)),
            _ => damaged.insert(at, next(256) as u8),
        }
        let decoded = decode(&schema, &in_file(&head, &damaged));
        assert_eq!(decoded.columns.num_rows(), decoded.offsets.len());
        assert!(decoded.offsets.is_sorted_by(|one, next| one < next));
        assert!(decoded.offsets.len() + decoded.bad.len() >= 1);
    }
    assert_eq!(DataType::String, schema.fields[1].data_type);
}
