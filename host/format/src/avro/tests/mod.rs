//! Avro in and out: evolution of schemas, framing, files, and that nothing panics.

mod round;
mod types;

use super::*;
use crate::contract::SinkFormat;
use crate::registry::{Reference, SchemaKind};
use crate::table::{sink_format, stream_format};
use crate::tests::{WIDE, World, block, columns_of, every, now, of, rows, stream, wide_row};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::json;
use weir_connect::sink::RowMeta;
use weir_connect::{ConnectError, Framing, SinkRows};
use weir_event::DataType;

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
fn defaults_that_hold_themselves_or_without_end_are_none() {
    let own = json!({"name": "x", "default": {}, "type":
        {"type": "record", "name": "R", "fields": [{"name": "a", "type": "R", "default": {}}]}});
    let mut many = json!({"type": "record", "name": "R0", "fields": []});
    for depth in 1..30 {
        let field = |name: &str, of: &Value| json!({"name": name, "default": {}, "type": of});
        let below = format!("R{}", depth - 1);
        let fields = json!([field("a", &many), field("b", &json!(below))]);
        many = json!({"type": "record", "name": format!("R{depth}"), "fields": fields});
    }
    let without_end = json!({"name": "x", "default": {}, "type": many});
    for field in [own, without_end] {
        let schema = Schema::parse(&record(&json!([field])), &[]).unwrap();
        let fields = schema.record(schema.root()).unwrap();
        assert_eq!(default::default_bytes(&schema, fields[0].node, &json!({})), None);
    }
}

#[test]
fn defaults_of_a_record_have_a_limit_of_bytes() {
    let repeated = |length: usize| json!("x".repeat(length));
    let of_record = |lengths: &[usize]| {
        let world = World::default();
        let at = json!({"name": "at", "type": "long"});
        let old = world.registry.add("s", SchemaKind::Avro, &record(&json!([at])), vec![]);
        let fields = lengths.iter().enumerate().map(
            |(at, length)| json!({"name": format!("f{at}"), "type": "string", "default": repeated(*length)}),
        );
        let fields: Vec<Value> = std::iter::once(at).chain(fields).collect();
        world.registry.add("s", SchemaKind::Avro, &record(&json!(fields)), vec![]);
        let schema = stream(&[("at", AT), ("f0", "string"), ("f1", "string")]);
        let decoder = decoder(&world, json!({"registry": "http://x", "subject": "s"}), &schema);
        now(decoder.ready(&block(&[framed(old, &[&long(1)])]))).map_err(|error| error.message)
    };
    let half = default::MOST_DEFAULT_BYTES / 2;
    of_record(&[half - 4, half - 4]).unwrap();
    let told = of_record(&[half, half]).unwrap_err();
    assert!(told.contains("`f1`") && told.contains("come to more than 1048576 bytes"), "{told}");
    let told = of_record(&[2 * half, 0]).unwrap_err();
    assert!(told.contains("the default of `f0` is not of its type, or has more than"), "{told}");
    let text = json!({"type": "record", "name": "R", "fields": [{"name": "a", "type": "string", "default": repeated(1000)}]});
    let many = json!({"type": "array", "items": text});
    let schema = Schema::parse(&many.to_string(), &[]).unwrap();
    assert_eq!(default::default_bytes(&schema, schema.root(), &json!(vec![json!({}); 2000])), None);
}

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
        record(&json!([{"name": "at", "type": ["null", "long"]}, {"name": "s", "type": "string"}])).into(),
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
        record(&json!([{"name": "at", "type": "long"}, {"name": "payload", "type": ["null", inner]}, {"name": "n", "type": "long"}])).into(),
    );
    world.files.insert("b.avsc".to_owned(), "{".into());
    world.files.insert("c.avsc".to_owned(), "[\"nul\"]".into());
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
