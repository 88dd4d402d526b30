//! Avro in and out: evolution of schemas, framing, files, and that nothing panics.

use super::*;
use crate::json::{JsonDecoder, JsonEncoder};
use crate::registry::{Reference, Registered, SchemaKind};
use crate::table::{SinkFormat, sink_format, stream_format};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;
use std::collections::HashMap;
use weir_connect::sink::RowMeta;
use weir_connect::{ConnectError, Decoded, Framing, KnownTimes, RawBlock, SinkRows};
use weir_event::{DataType, Field, PartitionId, Position};

/// A registry in memory: subjects with the numbers of their versions, and schemas by number.
#[derive(Debug, Default)]
struct Memory {
    schemas: Mutex<Vec<(String, SchemaKind, Vec<Reference>)>>,
    subjects: Mutex<HashMap<String, Vec<u32>>>,
    /// What it answers with while it is away.
    away: Mutex<Option<ConnectError>>,
}

impl Memory {
    fn add(&self, subject: &str, kind: SchemaKind, text: &str, references: Vec<Reference>) -> u32 {
        let mut schemas = self.schemas.lock().unwrap();
        let known = schemas.iter().position(|(known, ..)| known == text);
        let id = known.unwrap_or_else(|| {
            schemas.push((text.to_owned(), kind, references));
            schemas.len() - 1
        }) as u32;
        self.subjects.lock().unwrap().entry(subject.to_owned()).or_default().push(id);
        id
    }

    fn answer(&self, id: u32) -> Result<Registered, ConnectError> {
        if let Some(error) = &*self.away.lock().unwrap() {
            return Err(error.clone());
        }
        let schemas = self.schemas.lock().unwrap();
        let found = schemas.get(id as usize).cloned();
        let (text, kind, references) =
            found.ok_or_else(|| ConnectError::unavailable(format!("schema {id} is not there")))?;
        Ok(Registered { id, kind, text, references })
    }
}

#[async_trait::async_trait]
impl SchemaRegistry for Memory {
    fn place(&self) -> &'static str {
        "memory"
    }

    async fn by_id(&self, id: u32) -> Result<Registered, ConnectError> {
        self.answer(id)
    }

    async fn latest(&self, subject: &str) -> Result<(u32, Registered), ConnectError> {
        let versions = self.subjects.lock().unwrap().get(subject).cloned().unwrap_or_default();
        let last =
            versions.last().ok_or_else(|| ConnectError::unavailable(format!("no subject {subject}")))?;
        Ok((versions.len() as u32, self.answer(*last)?))
    }

    async fn version(&self, subject: &str, version: u32) -> Result<Registered, ConnectError> {
        let id = self.subjects.lock().unwrap()[subject][version as usize - 1];
        self.answer(id)
    }

    async fn register(&self, subject: &str, kind: SchemaKind, text: &str) -> Result<u32, ConnectError> {
        Ok(self.add(subject, kind, text, Vec::new()))
    }
}

/// Files by name, and one registry.
#[derive(Debug, Default)]
struct World {
    files: HashMap<String, String>,
    registry: Arc<Memory>,
}

impl Surroundings for World {
    fn file(&self, path: &str) -> Result<Vec<u8>, String> {
        self.files
            .get(path)
            .map(|text| text.clone().into_bytes())
            .ok_or_else(|| format!("`{path}` is not there"))
    }

    fn registry(&self, _: &str) -> Result<Arc<dyn SchemaRegistry>, String> {
        Ok(self.registry.clone())
    }
}

/// Runs what waits for nothing but what is in memory.
fn now<T>(work: impl Future<Output = T>) -> T {
    let mut work = std::pin::pin!(work);
    match work.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(done) => done,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

fn stream(columns: &[(&str, &str)]) -> StreamSchema {
    let fields = columns.iter().map(|(name, data_type)| {
        let (name, path) = name.split_once('=').unwrap_or((name, name));
        let mut field = Field::named(name, data_type.parse().unwrap());
        field.path = path.split('.').map(str::to_owned).collect();
        field
    });
    StreamSchema { fields: fields.collect(), event_time: 0 }
}

fn every(schema: &StreamSchema) -> Vec<usize> {
    (0..schema.fields.len()).collect()
}

fn block(records: &[Vec<u8>]) -> RawBlock {
    let ends = records.iter().scan(0, |end, record| {
        *end += record.len() as u32;
        Some(*end)
    });
    let framing = Framing::Records { ends: ends.collect(), offsets: (5..5 + records.len() as u64).collect() };
    of(records.concat(), framing)
}

fn of(data: Vec<u8>, framing: Framing) -> RawBlock {
    RawBlock {
        partition: PartitionId::default(),
        data: data.into(),
        framing,
        known: KnownTimes::Unknown,
        next: Position::default(),
        refused: Vec::new(),
    }
}

fn rows(decoded: &Decoded) -> Vec<String> {
    let rows = SinkRows { columns: decoded.columns.clone(), meta: RowMeta::default() };
    let mut lines = Vec::new();
    JsonEncoder::new(false).encode(&rows, &mut lines).unwrap();
    String::from_utf8(lines).unwrap().lines().map(str::to_owned).collect()
}

fn decoder(world: &World, options: Value, schema: &StreamSchema) -> Arc<dyn Decoder> {
    stream_format("avro", &options, schema, world).unwrap().decoder(&every(schema))
}

/// A record of these values, each already in Avro's bytes, behind the number of its schema.
fn framed(id: u32, parts: &[&[u8]]) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), &parts.concat()].concat()
}

/// What a test writes by hand.
fn long(value: i64) -> Vec<u8> {
    let mut out = Vec::new();
    default::push_long(value, &mut out);
    out
}

fn text(value: &str) -> Vec<u8> {
    let mut out = Vec::new();
    default::push_bytes(value.as_bytes(), &mut out);
    out
}

fn record(fields: &Value) -> String {
    json!({"type": "record", "name": "Ride", "namespace": "rides", "fields": fields}).to_string()
}

const AT: &str = "timestamp";

#[test]
fn a_field_added_with_a_default_goes_on_and_a_renamed_one_is_found() {
    let world = World::default();
    let at = json!({"name": "at", "type": {"type": "long", "logicalType": "timestamp-micros"}});
    let old = world.registry.add(
        "rides-value",
        SchemaKind::Avro,
        &record(&json!([at, {"name": "cost", "type": "int"}])),
        vec![],
    );
    let fare = json!({"name": "fare", "type": "double", "aliases": ["cost"]});
    let tip = json!({"name": "tip", "type": ["null", "double"], "default": null});
    let city = json!({"name": "city", "type": "string", "default": "paris"});
    let tags = json!({"name": "tags", "type": {"type": "array", "items": "string"}, "default": ["a", "b"]});
    let new = world.registry.add(
        "rides-value",
        SchemaKind::Avro,
        &record(&json!([fare, tip, city, at, tags])),
        vec![],
    );
    let schema = stream(&[
        ("at", AT),
        ("fare", "double"),
        ("tip", "double"),
        ("city", "string"),
        ("tags", "array<string>"),
    ]);
    let decoder = decoder(&world, json!({"registry": "http://x", "subject": "rides-value"}), &schema);
    let written = 1.5_f64.to_le_bytes();
    let blocks = block(&[
        framed(old, &[&long(1_999), &long(7)]),
        framed(new, &[&written, &long(1), &written, &text("berlin"), &long(-1), &[0]]),
    ]);
    now(decoder.ready(&blocks)).unwrap();
    let decoded = decoder.decode(&blocks);
    assert_eq!(
        rows(&decoded),
        [
            r#"{"at":"1970-01-01T00:00:00.001Z","fare":7.0,"tip":null,"city":"paris","tags":["a","b"]}"#,
            r#"{"at":"1969-12-31T23:59:59.999Z","fare":1.5,"tip":1.5,"city":"berlin","tags":[]}"#,
        ]
    );
    assert_eq!((decoded.offsets, decoded.records), (vec![5, 6], vec![0, 1]));
}

#[test]
fn a_schema_that_does_not_fit_stops_and_names_both() {
    let world = World::default();
    let at = json!({"name": "at", "type": "long"});
    let fits = world.registry.add(
        "s",
        SchemaKind::Avro,
        &record(&json!([at, {"name": "fare", "type": "double"}])),
        vec![],
    );
    let wrong = world.registry.add(
        "t",
        SchemaKind::Avro,
        &record(&json!([at, {"name": "fare", "type": "string"}])),
        vec![],
    );
    let bare = world.registry.add("t", SchemaKind::Avro, &record(&json!([at])), vec![]);
    let other = world.registry.add("t", SchemaKind::Protobuf, "syntax = \"proto3\";", vec![]);
    let schema = stream(&[("at", AT), ("fare", "double")]);
    let decoder = decoder(&world, json!({"registry": "http://x", "subject": "s"}), &schema);
    let said = |id| {
        let error = now(decoder.ready(&block(&[framed(id, &[])]))).unwrap_err();
        assert!(!error.retry, "{error}");
        error.message
    };
    let start = "schema 1, read by schema 0 (s, version 1), does not fit what the stream declares: `fare`, declared double: the \
                 schema has a value of string, which does not fit type double; ";
    assert!(said(wrong).starts_with(start), "{}", said(wrong));
    assert!(
        said(bare).contains("`fare` was not written, and the schema that it is read by gives it no default"),
        "{}",
        said(bare)
    );
    assert!(said(other).contains("is not one of Avro; read the stream as"), "{}", said(other));
    now(decoder.ready(&block(&[framed(fits, &[])]))).unwrap();
    // A registry that is away, or lacks a number, is asked again, and nothing is decoded meanwhile.
    *world.registry.away.lock().unwrap() = Some(ConnectError::unavailable("away"));
    assert!(now(decoder.ready(&block(&[framed(9, &[])]))).unwrap_err().retry);
    now(decoder.ready(&block(&[framed(fits, &[])]))).unwrap();
    // What a dropped field leaves behind in the declaration is told as soon as it is known.
    let dropped = stream(&[("at", AT), ("fares", "double")]);
    *world.registry.away.lock().unwrap() = None;
    let late = super::tests::decoder(&world, json!({"registry": "http://x", "subject": "s"}), &dropped);
    let error = now(late.ready(&block(&[framed(fits, &[])]))).unwrap_err().message;
    assert!(
        error.contains(
            "`fares`, declared double: the schema does not have it: unknown field; did you mean `fare`?"
        ),
        "{error}"
    );
}

#[test]
fn bad_records_are_told_one_by_one() {
    let mut world = World::default();
    world.files.insert(
        "a.avsc".to_owned(),
        record(&json!([{"name": "at", "type": ["null", "long"]}, {"name": "s", "type": "string"}])),
    );
    let schema = stream(&[("at", AT), ("s", "string")]);
    let bare = decoder(&world, json!({"schema": "a.avsc"}), &schema);
    let good = [long(1), long(3), text("a text that is longer than a view")].concat();
    let invalid = [long(1), long(3), long(2), vec![0xff, 0xff]].concat();
    let blocks = block(&[
        good.clone(),
        good[..9].to_vec(),
        Vec::new(),
        [good.clone(), vec![1]].concat(),
        [long(0), text("x")].concat(),
        [long(2), text("x")].concat(),
        invalid,
        good,
    ]);
    now(bare.ready(&blocks)).unwrap();
    let decoded = bare.decode(&blocks);
    assert_eq!((decoded.offsets, decoded.records), (vec![5, 12], vec![0, 7]));
    let reasons: Vec<_> = decoded.bad.iter().map(|bad| (bad.offset, bad.reason.as_str())).collect();
    for ((offset, reason), (expected, start)) in reasons.iter().zip([
        (6, "field `s`: not a record of its schema: the bytes end too early"),
        (7, "field `at`: not a record of its schema"),
        (8, "not a record of its schema: 1 bytes follow it"),
        (9, "the event time `at` is missing"),
        (10, "field `at`: not a record of its schema"),
        (11, "field `s`: the text is not valid UTF-8"),
    ]) {
        assert!(*offset == expected && reason.starts_with(start), "{offset} {reason}");
    }
    assert_eq!(reasons.len(), 6);
    let of_registry = decoder(&world, json!({"registry": "http://x"}), &schema);
    let decoded = of_registry.decode(&block(&[b"{}".to_vec()]));
    assert!(decoded.bad[0].reason.starts_with("not a record of the registry"), "{}", decoded.bad[0].reason);
    let no_schema = decoder(&world, json!({}), &schema);
    assert!(now(no_schema.ready(&block(&[]))).unwrap_err().message.contains("give it as"));
}

#[test]
fn check_says_what_the_schema_has_otherwise() {
    let mut world = World::default();
    let inner = json!({"type": "record", "name": "Payload", "fields": [{"name": "fare", "type": "bytes"}]});
    world.files.insert(
        "a.avsc".to_owned(),
        record(&json!([{"name": "at", "type": "long"}, {"name": "payload", "type": ["null", inner]}, {"name": "n", "type": "long"}])),
    );
    world.files.insert("b.avsc".to_owned(), "{".to_owned());
    world.files.insert("c.avsc".to_owned(), "[\"nul\"]".to_owned());
    let schema = stream(&[
        ("at", AT),
        ("fare=payload.fare", "double"),
        ("m", "bigint"),
        ("n", "int"),
        ("x=n.x", "int"),
    ]);
    let problems = |options: Value| -> Vec<String> {
        let found = stream_format("avro", &options, &schema, &world).err().unwrap_or_default();
        let said = found.iter().map(|problem| match problem {
            FormatProblem::Option(error) => error.to_string(),
            FormatProblem::Field(column, why) => format!("{column} {why}"),
        });
        said.collect()
    };
    assert_eq!(
        problems(json!({"schema": "a.avsc"})),
        [
            "1 the schema has a value of bytes, which does not fit type double",
            "2 the schema does not have it: unknown field; known: at, payload, n",
            "3 the schema has a value of long, which does not fit type int",
            "4 the schema has long where a record has to be",
        ]
    );
    assert_eq!(problems(json!({"schema": "d.avsc"})), ["schema: `d.avsc` is not there"]);
    assert!(
        problems(json!({"schema": "b.avsc"}))[0].starts_with("schema: `b.avsc`: not a schema of Avro: EOF")
    );
    assert!(
        problems(json!({"schema": "c.avsc"}))[0]
            .ends_with("the schema names a type `nul` that it does not have")
    );
    assert!(problems(json!({"subject": "s"}))[0].starts_with("subject: `registry` is missing"));
    assert_eq!(problems(json!({"shema": "a.avsc"})), ["shema: unknown key; did you mean `schema`?"]);
}

#[test]
fn values_of_every_type_are_read() {
    let mut world = World::default();
    let decimal = |kind: Value| json!({"type": kind, "logicalType": "decimal", "precision": 20, "scale": 3, "name": "D", "size": 9});
    let fixed = json!({"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"});
    let list = json!({"type": "record", "name": "Node", "fields": [
        {"name": "v", "type": "int"}, {"name": "next", "type": ["null", "Node"]}]});
    let minus = [vec![0xff; 7], vec![0xfb, 0x2e]].concat();
    for (data_type, of, bytes, value) in [
        ("bigint", json!("long"), long(i64::MIN), i64::MIN.to_string()),
        ("bigint", json!("int"), long(i64::from(i32::MAX)), i32::MAX.to_string()),
        ("double", json!("float"), 0.5_f32.to_le_bytes().to_vec(), "0.5".to_owned()),
        ("double", json!("long"), long(-3), "-3.0".to_owned()),
        ("float", json!("float"), f32::MAX.to_le_bytes().to_vec(), "3.4028235e+38".to_owned()),
        ("boolean", json!("boolean"), vec![1], "true".to_owned()),
        ("string", json!({"type": "enum", "name": "E", "symbols": ["a", "b"]}), long(1), r#""b""#.to_owned()),
        ("string", fixed, (0..16).collect(), r#""00010203-0405-0607-0809-0a0b0c0d0e0f""#.to_owned()),
        ("string", json!({"type": "string", "logicalType": "uuid"}), text("u"), r#""u""#.to_owned()),
        ("bytes", json!("bytes"), vec![4, 0, 255], r#""AP8=""#.to_owned()),
        ("bytes", json!({"type": "fixed", "name": "F", "size": 2}), vec![0, 255], r#""AP8=""#.to_owned()),
        ("decimal(20, 4)", decimal(json!("bytes")), vec![4, 0xfb, 0x2e], "-1.2340".to_owned()),
        ("decimal(20, 3)", decimal(json!("fixed")), minus, "-1.234".to_owned()),
        ("decimal(10, 1)", json!("long"), long(12), "12.0".to_owned()),
        ("decimal(10, 1)", json!("string"), text("1.50"), "1.5".to_owned()),
        (
            "timestamp",
            json!({"type": "long", "logicalType": "timestamp-nanos"}),
            long(-1),
            r#""1969-12-31T23:59:59.999Z""#.to_owned(),
        ),
        (
            "timestamp",
            json!("string"),
            text("2026-01-31T12:00:00Z"),
            r#""2026-01-31T12:00:00.000Z""#.to_owned(),
        ),
        ("date", json!({"type": "int", "logicalType": "date"}), long(-1), r#""1969-12-31""#.to_owned()),
        (
            "map<string, int>",
            json!({"type": "map", "values": "int"}),
            [long(-1), long(3), text("k"), vec![2, 0]].concat(),
            r#"{"k":1}"#.to_owned(),
        ),
        (
            "array<bigint>",
            json!({"type": "array", "items": ["int", "null"]}),
            vec![4, 0, 2, 2, 0],
            "[1,null]".to_owned(),
        ),
        (
            "row<b string, a int>",
            json!({"type": "record", "name": "R", "fields": [
            {"name": "a", "type": "int"}, {"name": "x", "type": {"type": "array", "items": "int"}}, {"name": "b", "type": "string"}]}),
            [vec![2, 4, 2, 4, 0], text("s")].concat(),
            r#"{"b":"s","a":1}"#.to_owned(),
        ),
        ("json", list, vec![2, 2, 4, 0], r#"{"v":1,"next":{"v":2,"next":null}}"#.to_owned()),
        (
            "json",
            json!({"type": "map", "values": decimal(json!("bytes"))}),
            [vec![2], text("d"), vec![2, 7, 0]].concat(),
            r#"{"d":0.007}"#.to_owned(),
        ),
        ("int", json!("null"), vec![], "null".to_owned()),
    ] {
        world.files.insert(
            "a".to_owned(),
            record(&json!([{"name": "at", "type": "long"}, {"name": "v", "type": of}])),
        );
        let schema = stream(&[("at", AT), ("v", data_type)]);
        let decoder = decoder(&world, json!({"schema": "a"}), &schema);
        let blocks = block(&[[long(0), bytes].concat()]);
        now(decoder.ready(&blocks)).unwrap();
        let decoded = decoder.decode(&blocks);
        let expected = format!(r#"{{"at":"1970-01-01T00:00:00.000Z","v":{value}}}"#);
        assert_eq!(rows(&decoded), [expected], "{data_type} {:?}", decoded.bad);
    }
}

#[test]
fn schemas_that_name_others_are_put_together() {
    let world = World::default();
    let money = json!({"type": "record", "name": "Money", "namespace": "m", "fields": [{"name": "cents", "type": "long"}]});
    world.registry.add("money", SchemaKind::Avro, &money.to_string(), vec![]);
    let uses = record(&json!([{"name": "at", "type": "long"}, {"name": "fare", "type": "m.Money"}]));
    let named = Reference { name: "m.Money".to_owned(), subject: "money".to_owned(), version: 1 };
    let id = world.registry.add("rides", SchemaKind::Avro, &uses, vec![named]);
    let schema = stream(&[("at", AT), ("cents=fare.cents", "bigint")]);
    let decoder = decoder(&world, json!({"registry": "http://x"}), &schema);
    let blocks = block(&[framed(id, &[&long(1), &long(250)])]);
    now(decoder.ready(&blocks)).unwrap();
    assert_eq!(rows(&decoder.decode(&blocks)), [r#"{"at":"1970-01-01T00:00:00.001Z","cents":250}"#]);
}

const WIDE: [(&str, &str); 13] = [
    ("at", "timestamp"),
    ("s", "string"),
    ("big", "bigint"),
    ("n", "int"),
    ("d", "double"),
    ("f", "float"),
    ("m", "decimal(38, 3)"),
    ("b", "boolean"),
    ("day", "date"),
    ("raw", "bytes"),
    ("l", "array<string>"),
    ("p", "map<string, bigint>"),
    ("r", "row<a int, b array<double>>"),
];

/// JSON of a row of [`WIDE`], some of whose values are null.
fn wide_row() -> impl Strategy<Value = String> {
    let values = (
        any::<i32>(),
        "[ -~é]{0,20}",
        any::<i64>(),
        any::<f32>(),
        any::<f64>(),
        any::<bool>(),
        prop::collection::vec(any::<u8>(), 0..9),
        any::<u16>(),
    );
    values.prop_map(|(n, text, big, f, d, flag, bytes, nulls)| {
        let mut base64 = Vec::new();
        crate::base64::push(&bytes, &mut base64);
        let values = [
            json!(text),
            json!(big),
            json!(n),
            json!(if d.is_finite() { d } else { 0.5 }),
            json!(if f.is_finite() { f } else { 0.5 }),
            json!(format!("{big}{}.{:03}", big.unsigned_abs() % 100_000, n.unsigned_abs() % 1000)),
            json!(flag),
            json!(format!(
                "{:04}-0{}-1{}",
                1900 + n.unsigned_abs() % 300,
                1 + n.unsigned_abs() % 9,
                n.unsigned_abs() % 9
            )),
            json!(String::from_utf8(base64).unwrap()),
            json!([text, null, "x"]),
            json!({"k": big}),
            json!({"a": n, "b": [0.5, null]}),
        ];
        let members = WIDE[1..].iter().zip(values).enumerate();
        let members = members.map(|(index, ((name, _), value))| {
            ((*name).to_owned(), if nulls >> index & 1 == 1 { Value::Null } else { value })
        });
        Value::Object(
            std::iter::once(("at".to_owned(), json!(big % 1_000_000_000_000))).chain(members).collect(),
        )
        .to_string()
    })
}

/// The rows in columns of [`WIDE`].
fn columns_of(lines: &str) -> Decoded {
    let schema = stream(&WIDE);
    let decoded = JsonDecoder::new(&schema, &every(&schema))
        .decode(&of(lines.as_bytes().to_vec(), Framing::Lines { first: 0 }));
    assert_eq!(decoded.bad, []);
    decoded
}

fn writes(world: &World, format: Value, in_files: bool) -> SinkFormat {
    sink_format(&format, &Writing { meta: false, in_files, subject: "out-value", around: world }).unwrap()
}

proptest! {
    #[test]
    fn rows_come_back_from_messages_and_from_files(lines in prop::collection::vec(wide_row(), 1..6)) {
        let (world, schema) = (World::default(), stream(&WIDE));
        let given = columns_of(&lines.join("\n"));
        let sent = SinkRows { columns: given.columns.clone(), meta: RowMeta::default() };
        let encoder = writes(&world, json!({"avro": {"registry": "http://x"}}), false).encoder;
        now(encoder.ready(&sent)).unwrap();
        let records = encoder.records(&sent).unwrap();
        let messages: Vec<Vec<u8>> = (0..lines.len()).map(|row| { let mut out = Vec::new(); records.write(row, &mut out); out }).collect();
        let back = decoder(&world, json!({"registry": "http://x", "subject": "out-value"}), &schema);
        let blocks = block(&messages);
        now(back.ready(&blocks)).unwrap();
        let decoded = back.decode(&blocks);
        prop_assert_eq!(&decoded.bad, &Vec::new());
        prop_assert_eq!(rows(&decoded), rows(&given));

        let encoder = writes(&world, json!("avro"), true).encoder;
        let (head, mut data) = (encoder.head(&sent).unwrap(), Vec::new());
        encoder.encode(&sent, &mut data).unwrap();
        encoder.encode(&sent, &mut data).unwrap();
        let framing = Framing::Container { head: Bytes::from(head), base: 10, first: 11 };
        let (file, blocks) = (decoder(&world, json!({}), &schema), of(data, framing));
        now(file.ready(&blocks)).unwrap();
        let decoded = file.decode(&blocks);
        let twice: Vec<String> = rows(&given).into_iter().chain(rows(&given)).skip(1).collect();
        prop_assert_eq!(rows(&decoded), twice);
        prop_assert_eq!(decoded.offsets[0], 11);
    }
}

/// One byte after the other is changed, taken away or put in: nothing panics, and every record is there, good or bad.
#[test]
fn ten_thousand_damaged_records_do_no_harm() {
    let world = World::default();
    let line = r#"{"at":1,"s":"text","big":12345678901,"n":-3,"d":1.5,"f":0.5,"m":12.345,"b":true,"day":"2026-01-31","raw":"AP8=","l":["a",null],"p":{"k":1},"r":{"a":1,"b":[0.5]}}"#;
    let given = columns_of(line);
    let sent = SinkRows { columns: given.columns, meta: RowMeta::default() };
    let encoder = writes(&world, json!("avro"), true).encoder;
    let (head, mut data) = (encoder.head(&sent).unwrap(), Vec::new());
    encoder.encode(&sent, &mut data).unwrap();
    let place = container::block_at(&data, 0, &container::head_length(&head).unwrap().1).unwrap();
    let record = data[place.start..place.end].to_vec();
    let mut columns = WIDE.to_vec();
    columns[10].1 = "json";
    let schema = stream(&columns);
    let mut files = world;
    files.files.insert("a".to_owned(), encode::schema_of(sent.columns.schema_ref()).unwrap().to_string());
    let bare = decoder(&files, json!({"schema": "a"}), &schema);
    now(bare.ready(&block(&[]))).unwrap();
    let contained = decoder(&files, json!({}), &schema);
    let framing = |head: &[u8]| Framing::Container { head: Bytes::copy_from_slice(head), base: 0, first: 0 };
    let mut seed = 7_u64;
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    let mut damage = |bytes: &[u8]| {
        let (mut damaged, at) = (bytes.to_vec(), next(bytes.len()));
        match next(3) {
            0 => damaged[at] = next(256) as u8,
            1 => drop(damaged.remove(at)),
            _ => damaged.insert(at, next(256) as u8),
        }
        damaged
    };
    for _ in 0..10_000 {
        let blocks = block(&[damage(&record), record.clone()]);
        let decoded = bare.decode(&blocks);
        assert_eq!(decoded.offsets.len() + decoded.bad.len(), 2);
        assert_eq!((decoded.columns.num_rows(), decoded.offsets.last()), (decoded.offsets.len(), Some(&6)));
        let blocks = of(damage(&data), framing(&head));
        now(contained.ready(&blocks)).unwrap();
        let decoded = contained.decode(&blocks);
        assert!(decoded.offsets.len() + decoded.bad.len() > 0);
        let blocks = of(data.clone(), framing(&damage(&head)));
        if now(contained.ready(&blocks)).is_ok() {
            contained.decode(&blocks);
        }
    }
    assert_eq!(schema.fields[10].data_type, DataType::Json);
}
