//! Values of every type.

use super::*;

/// A declared type, that of Avro, a value's bytes, and the value as JSON.
type Case = (&'static str, Value, Vec<u8>, String);

fn cases() -> Vec<Case> {
    let decimal = |kind: Value| json!({"type": kind, "logicalType": "decimal", "precision": 20, "scale": 3, "name": "D", "size": 9});
    let fixed = json!({"type": "fixed", "name": "U", "size": 16, "logicalType": "uuid"});
    let list = json!({"type": "record", "name": "Node", "fields": [
        {"name": "v", "type": "int"}, {"name": "next", "type": ["null", "Node"]}]});
    let minus = [vec![0xff; 7], vec![0xfb, 0x2e]].concat();
    vec![
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
        ("json", json!("string"), text(r#" {"a": [1, null]}"#), r#"{"a": [1, null]}"#.to_owned()),
        ("json", json!(["null", "string"]), [vec![2], text("12.50")].concat(), "12.50".to_owned()),
        ("json", json!(["null", "string"]), vec![0], "null".to_owned()),
        ("json", json!({"type": "string", "logicalType": "uuid"}), text("12"), r#""12""#.to_owned()),
        ("int", json!("null"), vec![], "null".to_owned()),
    ]
}

#[test]
fn values_of_every_type_are_read() {
    let mut world = World::default();
    for (data_type, of, bytes, value) in cases() {
        world.files.insert(
            "a".to_owned(),
            record(&json!([{"name": "at", "type": "long"}, {"name": "v", "type": of}])).into(),
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
