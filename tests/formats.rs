//! Formats through the built program: messages whose schemas a registry has, from one topic into another, and numbers that
//! name no schema that can be read.

#![allow(
    clippy::disallowed_methods,
    reason = "the program is another process: what it does is waited for, with a bound"
)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Project, Server, wait_for};
use crate::services::kafka::shared;
use crate::services::schema_registry::SchemaRegistry;
use crate::services::topics::{PATIENCE, send_bytes};
use serde_json::{Value, json};
use std::time::Duration;

const AVRO: &str = r#"{"type": "record", "name": "Ride", "fields": [{"name": "at", "type": "long"}, {"name": "user", "type": "string"}]}"#;
const PROTO: &str = "syntax = \"proto3\"; message Ride { int64 at = 1; string user = 2; }";

/// A format whose messages are numbered: its name here and in a registry, a schema of rides, one of the same that does not
/// fit what is declared, and a message of a ride at so many milliseconds.
struct Numbered {
    name: &'static str,
    kind: &'static str,
    other_kind: &'static str,
    schema: &'static str,
    unfit: &'static str,
    ride: fn(u8) -> Vec<u8>,
}

const BOTH: [Numbered; 2] = [
    Numbered {
        name: "avro",
        kind: "AVRO",
        other_kind: "JSON",
        schema: AVRO,
        unfit: r#"{"type": "record", "name": "Ride", "fields": [{"name": "at", "type": "long"}, {"name": "user", "type": "double"}]}"#,
        ride: |at| vec![at * 2, 4, b'u', b'1'],
    },
    Numbered {
        name: "protobuf",
        kind: "PROTOBUF",
        other_kind: "AVRO",
        schema: PROTO,
        unfit: "syntax = \"proto3\"; message Ride { int64 at = 1; double user = 2; }",
        ride: |at| vec![0, 8, at, 18, 2, b'u', b'1'],
    },
];

fn framed(number: u32, record: &[u8]) -> Vec<u8> {
    [&[0][..], &number.to_be_bytes(), record].concat()
}

fn project(format: &Numbered, registry: &SchemaRegistry, topic: &str) -> Project {
    let project = Project::new();
    let stream = format!(
        "stream: rides\nfields: {{user: string, at: timestamp}}\nevent_time: at\n\
         format: {{{}: {{registry: \"{}\", schema_wait: 10s}}}}\n\
         source: {{kafka: {{brokers: \"{}\", topic: {topic}}}}}\n",
        format.name,
        registry.url,
        shared().address
    );
    project.file("streams/rides.yaml", &stream);
    let query = "query: SELECT user, COUNT(*) OVER w AS n FROM rides WINDOW w AS (PARTITION BY user ORDER BY rowtime \
                 ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)\n";
    project.file("jobs/j.yaml", query);
    project
}

fn reasons(server: &Server) -> Vec<(u64, String)> {
    let (_, letters) = server.get("/v1/deadletters/rides?limit=100");
    let letters = letters["dead_letters"].as_array().cloned().unwrap_or_default();
    let told = |letter: &Value| {
        (letter["position"]["offset"].as_u64().unwrap(), letter["reason"].as_str().unwrap().to_owned())
    };
    let mut reasons: Vec<_> = letters.iter().map(told).collect();
    reasons.sort();
    reasons
}

/// Waits until so many rides were read, those among them that are dead letters.
fn has_read(server: &Server, rides: u64) {
    server.wait_for_job("j", "rides to be read", |job| job["state"] == "running" && job["events"] == rides);
}

#[test]
fn a_bad_schema_number_costs_its_own_records_and_a_registry_that_is_away_none() {
    for format in BOTH {
        let (registry, topic) = (SchemaRegistry::start(), format!("numbers_{}", format.name));
        shared().topic(&topic, 1);
        let good = registry.add("rides", format.kind, format.schema);
        let other = registry.add("others", format.other_kind, "{\"type\": \"string\"}");
        let broken = registry.add("broken", format.kind, "message {");
        let ride = |number: u32, at: u8| framed(number, &(format.ride)(at));
        let project = project(&format, &registry, &topic);
        let server = Server::start(&project, "");
        send_bytes(
            &shared().address,
            &topic,
            &[ride(good, 1), ride(other, 2), ride(broken, 3), ride(good, 4)],
        );
        has_read(&server, 4);
        let said = reasons(&server);
        assert_eq!(said.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [1, 2], "{said:?}");
        assert!(
            said[0].1.starts_with(&format!("schema {other} in the schema registry at {}", registry.url)),
            "{said:?}"
        );
        assert!(said[0].1.contains("is not one of ") && said[1].1.contains(": not a "), "{said:?}");

        // One that is not there is waited for, with what is behind it, and then costs its own records alone.
        send_bytes(&shared().address, &topic, &[ride(99, 5), ride(good, 6)]);
        let job = server.wait_for_job("j", "the job to wait", |job| job["state"] == "retrying");
        let reason = job["reason"].as_str().unwrap();
        assert!(
            reason.starts_with("schema 99 is not in the schema registry") && reason.contains("up to 10s"),
            "{reason}"
        );
        has_read(&server, 6);
        let said = reasons(&server);
        assert_eq!((said.len(), said[2].0), (3, 4), "{said:?}");
        assert!(said[2].1.starts_with("schema 99 is not in the schema registry"), "{said:?}");

        // One that is new while the registry is away waits for it, however long that takes.
        let newer = registry.add("rides", format.kind, &format!("{} ", format.schema));
        registry.set_away(true);
        send_bytes(&shared().address, &topic, &[ride(newer, 7), ride(good, 8)]);
        let is_away = |job: &Value| {
            job["state"] == "retrying" && job["reason"].as_str().unwrap_or("").contains("HTTP 503")
        };
        server.wait_for_job("j", "the job to say that the registry is away", is_away);
        std::thread::sleep(Duration::from_secs(4));
        server.wait_for_job("j", "the job still to say so", is_away);
        registry.set_away(false);
        has_read(&server, 8);
        assert_eq!(reasons(&server).len(), 3);

        // One that does not fit stops the stream, with both named; nothing behind it is read.
        let unfit = registry.add("rides", format.kind, format.unfit);
        send_bytes(&shared().address, &topic, &[ride(unfit, 9), ride(good, 10)]);
        let job = server.wait_for_job("j", "the job to stop", |job| job["state"] == "failed");
        let reason = job["reason"].as_str().unwrap();
        let names_both =
            format!("schema {unfit} does not fit what the stream declares: `user`, declared string: ");
        assert!(reason.contains(&names_both), "{reason}");
        assert_eq!((&job["events"], reasons(&server).len()), (&json!(8), 3));
    }
}

const FIELDS: &str = "{user: string, big: bigint, fare: double, exact: \"decimal(12, 3)\", flag: boolean, born: date, \
                      content: bytes, tags: \"array<string>\", counts: \"map<string, bigint>\", \
                      trip: \"row<place string, seconds bigint>\", t: timestamp}";

fn rides() -> String {
    let ride = |n: i64| {
        let fare = if n % 5 == 0 { Value::Null } else { json!(n as f64 / 8.0) };
        json!({"t": format!("2026-01-01T00:00:{:02}.{n:03}Z", n % 60), "user": format!("u{}", n % 3),
            "big": n * 1_000_000_007_000_007, "fare": fare, "exact": format!("-{n}.{n:03}"), "flag": n % 2 == 0,
            "born": "2026-02-28", "content": "AP8=", "tags": ["a", format!("tag {n}")], "counts": {"k": n},
            "trip": {"place": "p", "seconds": n}})
    };
    (1..=40).map(|n| format!("{}\n", ride(n))).collect()
}

/// A stream and the job that passes its rows on: into lines, and into a topic if that is named.
fn pass_on(project: &Project, stream: &str, reads: &str, writes: &str) {
    project.file(
        &format!("streams/{stream}.yaml"),
        &format!("stream: {stream}\nfields: {FIELDS}\nevent_time: t\n{reads}"),
    );
    let query = format!(
        "query: SELECT user, big, fare, exact, flag, born, content, tags, counts, trip, t FROM {stream}\n\
         sinks:\n  - file: {{path: out_{stream}}}\n{writes}"
    );
    project.file(&format!("jobs/from_{stream}.yaml"), &query);
}

#[test]
fn rows_go_from_topic_to_topic_by_a_registry_and_stay_the_same() {
    for format in ["avro", "protobuf"] {
        let (registry, project) = (SchemaRegistry::start(), Project::new());
        project.file("rides.jsonl", &rides());
        let kafka =
            |topic: &str| format!("kafka: {{brokers: \"{}\", topic: {format}_{topic}", shared().address);
        let of = format!("format: {{{format}: {{registry: \"{}\"}}}}", registry.url);
        let (reads, writes) = (
            |topic: &str| format!("{of}\nsource: {{{}}}}}\n", kafka(topic)),
            |topic: &str| format!("  - {}, {of}}}\n", kafka(topic)),
        );
        for topic in ["one", "two"] {
            shared().topic(&format!("{format}_{topic}"), 1);
        }
        pass_on(&project, "rides", "source: {file: {path: rides.jsonl}}\n", &writes("one"));
        pass_on(&project, "one", &reads("one"), &writes("two"));
        pass_on(&project, "two", &reads("two"), "");
        let server = Server::start(&project, "checkpoint: {every: 100ms}\n");
        let is_whole = || (project.rows("out_two").len() == 40).then_some(());
        wait_for("all rides to come through", 2 * PATIENCE, is_whole);
        assert!(server.terminate().success());
        let rows = project.rows("out_rides");
        assert_eq!(
            (project.rows("out_one"), project.rows("out_two")),
            (rows.clone(), rows.clone()),
            "{format}"
        );
        assert_eq!((&rows[4]["fare"], rows[0]["exact"].to_string()), (&Value::Null, "-1.001".to_owned()));
        assert_eq!(
            (&rows[39]["big"], &rows[39]["trip"]["seconds"]),
            (&json!(40_000_000_280_000_280_i64), &json!(40))
        );
    }
}
