//! Protocol Buffers in and out: presence, types, framing, and that nothing panics.

use super::*;
use crate::registry::{Reference, SchemaKind};
use crate::table::{sink_format, stream_format};
use crate::tests::{WIDE, World, block, columns_of, every, now, rows, stream, wide_row};
use proptest::prelude::*;
use prost_reflect::prost::Message as _;
use prost_reflect::{DynamicMessage, Value as ProtoValue};
use serde_json::json;
use weir_connect::SinkRows;
use weir_connect::sink::RowMeta;

const RIDE: &str = r#"
syntax = "proto3";
package rides;
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
import "money.proto";
enum Kind { UNKNOWN = 0; SHARED = 1; }
message Ride {
  int64 at = 1;
  string city = 2;
  optional double fare = 3;
  Kind kind = 4;
  google.protobuf.Timestamp ended = 5;
  uint64 big = 6;
  sint32 delta = 7;
  repeated int32 stops = 8;
  map<string, int64> counts = 9;
  Money price = 10;
  bytes raw = 11;
  repeated string tags = 12;
  google.protobuf.Int64Value points = 13;
  fixed32 code = 14;
  bool paid = 15;
  float rate = 16;
  oneof way { string street = 17; int32 rail = 18; }
  message Inner { int32 a = 1; }
  repeated Inner inners = 19;
}
"#;
const MONEY: &str =
    "syntax = \"proto3\";\npackage rides;\nmessage Money { int64 cents = 1; string currency = 2; }\n";

fn world() -> World {
    let files = [("protos/ride.proto", RIDE), ("protos/money.proto", MONEY)];
    let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect();
    World { files, ..World::default() }
}

fn ride() -> MessageDescriptor {
    descriptors::message(&pool("protos/ride.proto", &world()).unwrap(), "Ride").unwrap()
}

const COLUMNS: [(&str, &str); 21] = [
    ("at", "timestamp"),
    ("city", "string"),
    ("fare", "double"),
    ("kind", "string"),
    ("kind_number=kind", "int"),
    ("ended", "timestamp"),
    ("big", "decimal(20, 0)"),
    ("delta", "int"),
    ("stops", "array<bigint>"),
    ("counts", "map<string, bigint>"),
    ("cents=price.cents", "bigint"),
    ("price", "row<currency string, cents bigint>"),
    ("raw", "bytes"),
    ("tags", "array<string>"),
    ("points", "bigint"),
    ("code", "bigint"),
    ("paid", "boolean"),
    ("rate", "float"),
    ("street", "string"),
    ("rail", "int"),
    ("inners", "array<row<a int>>"),
];

fn decoder(world: &World, options: Value, schema: &StreamSchema) -> Arc<dyn Decoder> {
    stream_format("protobuf", &options, schema, world).unwrap().decoder(&every(schema))
}

fn given() -> Value {
    json!({"descriptor": "protos/ride.proto", "message": "rides.Ride"})
}

/// A message as the reference library writes it.
fn written(set: impl FnOnce(&mut DynamicMessage)) -> Vec<u8> {
    let mut message = DynamicMessage::new(ride());
    set(&mut message);
    message.encode_to_vec()
}

fn full() -> Vec<u8> {
    written(|ride| {
        let pool = ride.descriptor_pool();
        let message = |name: &str, fields: Vec<(&str, ProtoValue)>| {
            let mut message = DynamicMessage::new(pool.get_message_by_name(name).unwrap());
            fields.into_iter().for_each(|(name, value)| message.set_field_by_name(name, value));
            ProtoValue::Message(message)
        };
        let time = message(
            "google.protobuf.Timestamp",
            vec![("seconds", ProtoValue::I64(-1)), ("nanos", ProtoValue::I32(999_999_999))],
        );
        let price = message(
            "rides.Money",
            vec![("cents", ProtoValue::I64(i64::MIN)), ("currency", ProtoValue::String("eur".to_owned()))],
        );
        let inner = message("rides.Ride.Inner", vec![("a", ProtoValue::I32(7))]);
        for (name, value) in [
            ("at", ProtoValue::I64(1)),
            ("city", ProtoValue::String("a city with a long name".to_owned())),
            ("fare", ProtoValue::F64(0.0)),
            ("kind", ProtoValue::EnumNumber(1)),
            ("ended", time),
            ("big", ProtoValue::U64(u64::MAX)),
            ("delta", ProtoValue::I32(i32::MIN)),
            ("stops", ProtoValue::List(vec![ProtoValue::I32(-1), ProtoValue::I32(300)])),
            (
                "counts",
                ProtoValue::Map([(prost_reflect::MapKey::String("k".to_owned()), ProtoValue::I64(5))].into()),
            ),
            ("price", price),
            ("raw", ProtoValue::Bytes(vec![0, 255].into())),
            (
                "tags",
                ProtoValue::List(vec![ProtoValue::String("x".to_owned()), ProtoValue::String(String::new())]),
            ),
            ("points", message("google.protobuf.Int64Value", vec![("value", ProtoValue::I64(9))])),
            ("code", ProtoValue::U32(u32::MAX)),
            ("paid", ProtoValue::Bool(true)),
            ("rate", ProtoValue::F32(0.5)),
            ("rail", ProtoValue::I32(0)),
            ("inners", ProtoValue::List(vec![inner.clone(), message("rides.Ride.Inner", vec![]), inner])),
        ] {
            ride.set_field_by_name(name, value);
        }
    })
}

trait Pool {
    fn descriptor_pool(&self) -> DescriptorPool;
}

impl Pool for DynamicMessage {
    fn descriptor_pool(&self) -> DescriptorPool {
        use prost_reflect::ReflectMessage;
        self.descriptor().parent_pool().clone()
    }
}

#[test]
fn values_of_every_type_are_read_and_absence_is_as_the_language_has_it() {
    let schema = stream(&COLUMNS);
    let reading = decoder(&world(), given(), &schema);
    let records = block(&[
        full(),
        Vec::new(),
        [full(), written(|ride| ride.set_field_by_name("city", ProtoValue::String("b".to_owned())))].concat(),
    ]);
    now(reading.ready(&records)).unwrap();
    let decoded = reading.decode(&records);
    assert_eq!(decoded.bad, []);
    let whole = r#"{"at":"1970-01-01T00:00:00.001Z","city":"a city with a long name","fare":0.0,"kind":"SHARED","kind_number":1,"ended":"1969-12-31T23:59:59.999Z","big":18446744073709551615,"delta":-2147483648,"stops":[-1,300],"counts":{"k":5},"cents":-9223372036854775808,"price":{"currency":"eur","cents":-9223372036854775808},"raw":"AP8=","tags":["x",""],"points":9,"code":4294967295,"paid":true,"rate":0.5,"street":null,"rail":0,"inners":[{"a":7},{"a":0},{"a":7}]}"#;
    let nothing = r#"{"at":"1970-01-01T00:00:00.000Z","city":"","fare":null,"kind":"UNKNOWN","kind_number":0,"ended":null,"big":0,"delta":0,"stops":[],"counts":{},"cents":null,"price":null,"raw":"","tags":[],"points":null,"code":0,"paid":false,"rate":0.0,"street":null,"rail":null,"inners":[]}"#;
    // Of two the last counts.
    let last = whole.replace("a city with a long name", "b");
    assert_eq!(rows(&decoded), [whole, nothing, last.as_str()]);
    let wide = stream(&[
        ("at", "timestamp"),
        ("price", "json"),
        ("counts", "json"),
        ("kind", "json"),
        ("fare", "json"),
        ("ended", "json"),
    ]);
    let reading = decoder(&world(), given(), &wide);
    now(reading.ready(&records)).unwrap();
    assert_eq!(
        rows(&reading.decode(&records))[..2],
        [
            r#"{"at":"1970-01-01T00:00:00.001Z","price":{"cents":-9223372036854775808,"currency":"eur"},"counts":{"k":5},"kind":"SHARED","fare":0.0,"ended":"1969-12-31T23:59:59.999Z"}"#,
            r#"{"at":"1970-01-01T00:00:00.000Z","price":null,"counts":{},"kind":"UNKNOWN","fare":null,"ended":null}"#,
        ]
    );
}

#[test]
fn a_text_that_is_json_is_read_as_such() {
    let schema = stream(&[("at", "timestamp"), ("doc=city", "json")]);
    let reading = decoder(&world(), given(), &schema);
    let texts = [r#"{"a": [1, null]}"#, "", "paris"];
    let city =
        |text: &str| written(|ride| ride.set_field_by_name("city", ProtoValue::String(text.to_owned())));
    let records = block(&texts.map(city));
    now(reading.ready(&records)).unwrap();
    let decoded = reading.decode(&records);
    let read = [
        r#"{"at":"1970-01-01T00:00:00.000Z","doc":{"a": [1, null]}}"#,
        r#"{"at":"1970-01-01T00:00:00.000Z","doc":null}"#,
    ];
    assert_eq!(rows(&decoded), read);
    assert!(decoded.bad[0].reason.contains("not JSON"), "{:?}", decoded.bad);
}

#[test]
fn check_says_what_the_message_has_otherwise() {
    let mut world = world();
    world.files.insert("set.desc".to_owned(), pool("protos/ride.proto", &world).unwrap().encode_to_vec());
    world.files.insert("bad.proto".to_owned(), b"message {".to_vec());
    world.files.insert("bad.desc".to_owned(), b"\xff".to_vec());
    let schema = stream(&[
        ("at", "timestamp"),
        ("fares", "double"),
        ("city", "int"),
        ("x=city.y", "int"),
        ("tags", "string"),
        ("c=price.cent", "int"),
    ]);
    let problems = |options: Value| -> Vec<String> {
        let found = stream_format("protobuf", &options, &schema, &world).err().unwrap_or_default();
        let said = found.iter().map(|problem| match problem {
            FormatProblem::Option(error) => error.to_string(),
            FormatProblem::Field(column, why) => format!("{column} {why}"),
        });
        said.collect()
    };
    for descriptor in ["set.desc", "protos/ride.proto"] {
        assert_eq!(
            problems(json!({"descriptor": descriptor, "message": "rides.Ride"})),
            [
                "1 the message `rides.Ride` does not have it: unknown field; did you mean `fare`?",
                "2 the message has a value of string, which does not fit type int",
                "3 `city` is a value of string where a message has to be",
                "4 the message has several of string, which does not fit type string",
                "5 the message `rides.Money` does not have it: unknown field; did you mean `cents`?",
            ]
        );
    }
    assert_eq!(
        problems(json!({"descriptor": "set.desc", "message": "rides.Rid"})),
        ["message: `rides.Rid`: unknown message; did you mean `rides.Ride`?"]
    );
    assert_eq!(
        problems(json!({"descriptor": "no.desc", "message": "M"})),
        ["descriptor: `no.desc` is not there"]
    );
    assert!(
        problems(json!({"descriptor": "bad.desc", "message": "M"}))[0]
            .starts_with("descriptor: `bad.desc`: not a set of descriptors")
    );
    assert!(
        problems(json!({"descriptor": "bad.proto", "message": "M"}))[0]
            .starts_with("descriptor: `bad.proto`: not a definition of messages")
    );
    assert!(problems(json!({"descriptor": "set.desc"}))[0].starts_with("message: missing"));
    assert!(problems(json!({}))[0].starts_with("messages do not say what they are"));
    assert!(problems(json!({"mesage": "M", "registry": "http://x"}))[0].ends_with("did you mean `message`?"));
}

/// Registers a definition of rides, or one that names no other.
fn add_ride(world: &World, subject: &str, text: &str, names_money: bool) -> u32 {
    let money = Reference { name: "money.proto".to_owned(), subject: "money".to_owned(), version: 1 };
    let references = if names_money { vec![money] } else { vec![] };
    world.registry.add(subject, SchemaKind::Protobuf, text, references)
}

/// A message behind the number of its schema and its places, as they are written.
fn frame(id: u32, path: &[u8], record: Vec<u8>) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), path, &record].concat()
}

#[test]
fn framed_messages_are_read_by_the_registry() {
    let world = world();
    add_ride(&world, "money", MONEY, false);
    let id = add_ride(&world, "rides-value", RIDE, true);
    let older = add_ride(&world, "other", &RIDE.replace("string city = 2;", "int32 city = 2;"), true);
    let newer = RIDE.replace("bool paid = 15;", "bool paid = 15; string added = 20;");
    let latest = add_ride(&world, "rides-value", &newer, true);
    let schema = stream(&[("at", "timestamp"), ("city", "string"), ("added", "string")]);
    let reading = decoder(&world, json!({"registry": "http://x", "subject": "rides-value"}), &schema);
    let records = block(&[
        frame(id, &[0], full()),
        frame(latest, &[2, 0], full()),
        b"{}".to_vec(),
        frame(id, &[], vec![]),
    ]);
    now(reading.ready(&records)).unwrap();
    let decoded = reading.decode(&records);
    assert_eq!(decoded.offsets, [5, 6]);
    assert!(
        rows(&decoded)[0].ends_with(r#""city":"a city with a long name","added":""}"#),
        "{:?}",
        rows(&decoded)
    );
    assert!(
        decoded.bad.iter().all(|bad| bad.reason.starts_with("not a record of the registry")),
        "{:?}",
        decoded.bad
    );
    let error = now(reading.ready(&block(&[frame(older, &[0], vec![])]))).unwrap_err();
    assert!(
        !error.retry && error.message.contains("what wrote field 2 has int32 where string is read"),
        "{error}"
    );
    let inner = decoder(&world, json!({"registry": "http://x"}), &stream(&[("a", "timestamp")]));
    let nested = block(&[frame(id, &[4, 0, 0], vec![8, 3])]);
    now(inner.ready(&nested)).unwrap();
    assert_eq!(rows(&inner.decode(&nested)), [r#"{"a":"1970-01-01T00:00:00.003Z"}"#]);
}

#[test]
fn a_message_that_the_schema_does_not_have_is_a_bad_record() {
    let world = World::default();
    let id = add_ride(
        &world,
        "two",
        "syntax = \"proto3\"; message A { int64 a = 1; } message B { int64 a = 1; }",
        false,
    );
    let schema = stream(&[("a", "timestamp")]);
    for options in [json!({"registry": "http://x"}), json!({"registry": "http://x", "subject": "two"})] {
        let reading = decoder(&world, options, &schema);
        // The second of the file, one that there is not, the second within the first, the first in two ways.
        let paths: [&[u8]; 5] = [&[2, 2], &[2, 4], &[4, 0, 2], &[0], &[2, 0]];
        let records = block(&paths.map(|path| frame(id, path, vec![8, 3])));
        now(reading.ready(&records)).unwrap();
        let decoded = reading.decode(&records);
        assert_eq!(decoded.offsets, [5, 8, 9]);
        let reasons: Vec<_> = decoded.bad.iter().map(|bad| (bad.offset, bad.reason.as_str())).collect();
        assert_eq!(
            reasons,
            [
                (
                    6,
                    "schema 0 in the schema registry at memory has no message at the places [2] that the record names"
                ),
                (
                    7,
                    "schema 0 in the schema registry at memory has no message at the places [0, 1] that the record names"
                ),
            ]
        );
    }
}

proptest! {
    #[test]
    fn rows_come_back_as_they_were_written(lines in prop::collection::vec(wide_row(false), 1..6)) {
        let (world, schema) = (World::default(), stream(&WIDE));
        let given = columns_of(&lines.join("\n"));
        let sent = SinkRows { columns: given.columns.clone(), meta: RowMeta::default() };
        let writing = Writing { meta: false, in_files: false, subject: "out-value", around: &world };
        let encoder = sink_format(&json!({"protobuf": {"registry": "http://x"}}), &writing).unwrap().encoder;
        now(encoder.ready(&sent)).unwrap();
        let records = encoder.records(&sent).unwrap();
        let messages: Vec<Vec<u8>> = (0..lines.len()).map(|row| { let mut out = Vec::new(); records.write(row, &mut out); out }).collect();
        let back = decoder(&world, json!({"registry": "http://x"}), &schema);
        let blocks = block(&messages);
        now(back.ready(&blocks)).unwrap();
        let decoded = back.decode(&blocks);
        prop_assert_eq!(&decoded.bad, &Vec::new());
        prop_assert_eq!(rows(&decoded), rows(&given));
    }
}

#[test]
fn wrapped_numbers_and_times_that_are_written_as_texts_are_bad() {
    let schema = stream(&[("at", "timestamp"), ("points", "bigint"), ("ended", "timestamp")]);
    let reading = decoder(&world(), given(), &schema);
    let text = |field: u8| vec![8, 1, field << 3 | 2, 3, 1 << 3 | 2, 1, b'x'];
    let number = |field: u8| vec![8, 1, field << 3 | 2, 2, 1 << 3, 7];
    let records = block(&[text(13), number(13), text(5), number(5)]);
    now(reading.ready(&records)).unwrap();
    let decoded = reading.decode(&records);
    assert_eq!(decoded.offsets, [6, 8]);
    assert_eq!(decoded.bad.iter().map(|bad| bad.offset).collect::<Vec<_>>(), [5, 7]);
}

/// One byte after the other is changed, taken away or put in: nothing panics, and every record is there, good or bad.
#[test]
fn ten_thousand_damaged_records_do_no_harm() {
    let mut columns = COLUMNS.to_vec();
    columns.push(("whole=inners", "json"));
    let schema = stream(&columns);
    let reading = decoder(&world(), given(), &schema);
    let record = full();
    now(reading.ready(&block(&[]))).unwrap();
    let mut seed = 7_u64;
    let mut next = |below: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as usize % below
    };
    for _ in 0..10_000 {
        let (mut damaged, at) = (record.clone(), next(record.len()));
        match next(3) {
            0 => damaged[at] = next(256) as u8,
            1 => drop(damaged.remove(at)),
            _ => damaged.insert(at, next(256) as u8),
        }
        let decoded = reading.decode(&block(&[damaged, record.clone()]));
        assert_eq!(decoded.offsets.len() + decoded.bad.len(), 2);
        assert_eq!((decoded.columns.num_rows(), decoded.offsets.last()), (decoded.offsets.len(), Some(&6)));
    }
}
