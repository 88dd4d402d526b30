//! Records of Avro and Protocol Buffers whose schemas are in a real registry, through a real Kafka: written and read back,
//! through versions that fit and one that does not, and while the registry is away.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::every_type::{self, assert_same, texts};
use crate::harness::{Project, Server, wait_for};
use crate::services::apicurio::Registry;
use crate::services::kafka;
use crate::services::topics::{PATIENCE, send_bytes};
use serde_json::{Value, json};

const KINDS: [Kind; 2] = [Kind::Avro, Kind::Protobuf];
const OFTEN: &str = "checkpoint: {every: 100ms}\n";

#[derive(Debug, Clone, Copy, PartialEq)]
enum Kind {
    Avro,
    Protobuf,
}

impl Kind {
    fn format(self) -> &'static str {
        match self {
            Kind::Avro => "avro",
            Kind::Protobuf => "protobuf",
        }
    }

    /// Three versions of a schema: one more field, with a default; and `n` as a text, which does not fit.
    fn schema(self, version: usize) -> String {
        let n = if version == 3 { "string" } else { ["long", "int64"][self as usize] };
        match self {
            Kind::Avro => {
                let mut fields =
                    vec![json!({"name": "user", "type": "string"}), json!({"name": "n", "type": n})];
                if version > 1 {
                    fields.insert(1, json!({"name": "city", "type": "string", "default": "nowhere"}));
                }
                fields
                    .push(json!({"name": "t", "type": {"type": "long", "logicalType": "timestamp-millis"}}));
                json!({"type": "record", "name": "Ride", "fields": fields}).to_string()
            }
            Kind::Protobuf => {
                let city = if version > 1 { "string city = 4;" } else { "" };
                format!(
                    "syntax = \"proto3\";\nmessage Ride {{ string user = 1; {n} n = 2; int64 t = 3; {city} }}\n"
                )
            }
        }
    }

    /// A record of a version as others write it.
    fn record(self, id: u32, version: usize, number: i64) -> Vec<u8> {
        let mut record = [&[0][..], &id.to_be_bytes()].concat();
        let (user, text, time) = (format!("u{}", number % 3), format!("{number}"), number * 1000);
        match self {
            Kind::Avro => {
                let zigzag = |value: i64, out: &mut Vec<u8>| push_varint((value << 1) as u64, out);
                push_text(&user, zigzag, &mut record);
                if version > 1 {
                    push_text("paris", zigzag, &mut record);
                }
                if version == 3 {
                    push_text(&text, zigzag, &mut record);
                } else {
                    zigzag(number, &mut record);
                }
                zigzag(time, &mut record);
            }
            Kind::Protobuf => {
                let plain = |value: i64, out: &mut Vec<u8>| push_varint(value as u64, out);
                // The first message of its file.
                record.push(0);
                record.push(0x0a);
                push_text(&user, plain, &mut record);
                if version == 3 {
                    record.push(0x12);
                    push_text(&text, plain, &mut record);
                } else {
                    record.push(0x10);
                    plain(number, &mut record);
                }
                record.push(0x18);
                plain(time, &mut record);
                if version > 1 {
                    record.push(0x22);
                    push_text("paris", plain, &mut record);
                }
            }
        }
        record
    }
}

fn push_varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn push_text(text: &str, length: impl Fn(i64, &mut Vec<u8>), out: &mut Vec<u8>) {
    length(text.len() as i64, out);
    out.extend_from_slice(text.as_bytes());
}

/// Rows whose lists and maps hold what a format can tell: no null, and nothing for those that are null themselves.
fn told(mut rows: Vec<Value>, kind: Kind) -> Vec<Value> {
    for row in rows.iter_mut().filter(|_| kind == Kind::Protobuf) {
        if row["counts"].is_null() {
            row["counts"] = json!({});
        }
        let words = row["words"].as_array().into_iter().flatten().filter(|word| !word.is_null());
        row["words"] = words.cloned().collect();
    }
    rows
}

#[test]
#[ignore = "starts a real schema registry: `make test-services`"]
fn rows_of_every_type_are_read_back_by_the_schemas_that_were_registered_for_them() {
    let (broker, registry) = (kafka::shared(), Registry::start());
    registry.ask_for_backward_compatibility();
    for kind in KINDS {
        let (topic, format) = (format!("every_type_{}", kind.format()), kind.format());
        broker.topic(&topic, 2);
        let kafka = format!("brokers: \"{}\", topic: {topic}", broker.address);
        let by = format!("{{{format}: {{registry: \"{}\"}}}}", registry.url());
        let writer = every_type::project(&format!("  - kafka: {{{kafka}, key: id, format: {by}}}\n"));
        writer.run(&[]);
        assert_eq!(registry.versions(&format!("{topic}-value")), 1);
        let reader = Project::new();
        let by = by.replace("}}", &format!(", subject: {topic}-value}}}}"));
        let stream =
            format!("stream: s\n{}format: {by}\nsource: {{kafka: {{{kafka}}}}}\n", every_type::FIELDS);
        reader.file("streams/s.yaml", &stream);
        let query = every_type::QUERY;
        reader.file("jobs/j.yaml", &format!("{query}sinks:\n  - file: {{path: out}}\n"));
        reader.run(&[]);
        let written = texts(told(writer.rows("lines"), kind));
        assert_same(format, &texts(reader.rows("out")), &written);
    }
}

/// A stream of a topic that is read by the newest version of its subject, and a job that hands on a column of it and `n`.
struct Reading<'t> {
    kind: Kind,
    topic: &'t str,
    broker: &'t str,
    registry: String,
}

impl Reading<'_> {
    fn add_to(&self, project: &Project, name: &str, fields: &str, column: &str) {
        let (format, topic) = (self.kind.format(), self.topic);
        let stream = format!(
            "stream: {name}\nfields: {{{fields}n: bigint, t: timestamp}}\nevent_time: t\n\
             format: {{{format}: {{registry: \"{}\", subject: {topic}-value}}}}\n\
             source: {{kafka: {{brokers: \"{}\", topic: {topic}}}}}\n",
            self.registry, self.broker
        );
        project.file(&format!("streams/{name}.yaml"), &stream);
        let job =
            format!("query: |\n  SELECT {column}, n FROM {name}\nsinks:\n  - file: {{path: out_{name}}}\n");
        project.file(&format!("jobs/{name}.yaml"), &job);
    }
}

#[test]
#[ignore = "starts a real schema registry: `make test-services`"]
fn a_field_with_a_default_goes_on_a_registry_that_is_away_is_waited_for_and_what_does_not_fit_stops() {
    let (broker, mut registry) = (kafka::shared(), Registry::start());
    for kind in KINDS {
        let topic = format!("versions_{}", kind.format());
        let subject = format!("{topic}-value");
        broker.topic(&topic, 1);
        let register = |registry: &Registry, version: usize| {
            registry.register(&subject, &kind.format().to_uppercase(), &kind.schema(version))
        };
        let send = |id: u32, version: usize, numbers: std::ops::Range<i64>| {
            let records: Vec<_> = numbers.map(|number| kind.record(id, version, number)).collect();
            send_bytes(&broker.address, &topic, &records);
        };
        let first = register(&registry, 1);
        send(first, 1, 0..10);
        let reading = Reading { kind, topic: &topic, broker: &broker.address, registry: registry.url() };
        let project = Project::new();
        reading.add_to(&project, "rides", "user: string, ", "user");
        let server = Server::start(&project, OFTEN);
        let has_read = |server: &Server, job: &str, rows: u64| {
            server.wait_for_job(job, "rows", |job| job["events"].as_u64() == Some(rows));
        };
        has_read(&server, "rides", 10);

        // A version that comes while nobody can be asked for it.
        let second = register(&registry, 2);
        registry.kill();
        send(second, 2, 10..20);
        server.wait_for_job("rides", "the registry to be missed", |job| {
            let reason = job["reason"].as_str().unwrap_or_default();
            job["state"] == "retrying"
                && reason.contains(&registry.url())
                && reason.contains("does not answer")
        });
        send(first, 1, 20..30);
        registry.restart();
        has_read(&server, "rides", 30);
        let job = server.wait_for_job("rides", "the job to run on", |job| job["state"] == "running");
        assert_eq!(job["dead_letters"], 0, "{job}");
        assert!(server.terminate().success());

        // Whoever declares the new field reads older records with its default.
        reading.add_to(&project, "cities", "city: string, ", "city");
        let server = Server::start(&project, OFTEN);
        has_read(&server, "cities", 30);
        wait_for("the rows with cities", PATIENCE, || (project.rows("out_cities").len() == 30).then_some(()));
        let default = if kind == Kind::Avro { "nowhere" } else { "" };
        for row in project.rows("out_cities") {
            let is_second = (10..20).contains(&row["n"].as_i64().unwrap());
            assert_eq!(row["city"], if is_second { "paris" } else { default }, "{kind:?}: {row}");
        }

        // What a stream is read by is the newest version when it begins to read.
        send(second, 2, 30..31);
        has_read(&server, "rides", 31);
        let third = register(&registry, 3);
        send(third, 3, 31..32);
        let job =
            server.wait_for_job("rides", "the schema that does not fit", |job| job["state"] == "failed");
        let reason = job["reason"].as_str().unwrap();
        let by = format!("schema {third}, read by schema {second} ({subject}, version 2),");
        for part in [by.as_str(), "does not fit what the stream declares: `n`, declared bigint"] {
            assert!(reason.contains(part), "{part}: {job}");
        }
        assert!(server.terminate().success());
        assert_eq!(numbers(&project), (0..31).collect::<Vec<_>>(), "{kind:?}");
    }
}

/// What was written of the rides.
fn numbers(project: &Project) -> Vec<i64> {
    project.rows("out_rides").iter().map(|row| row["n"].as_i64().unwrap()).collect()
}

const WRITER: &str = "query: |\n  SELECT user, COLUMN AS n FROM s\nsinks:\n  - kafka: ";

#[test]
#[ignore = "starts a real schema registry: `make test-services`"]
fn a_sink_waits_for_its_registry_and_stops_where_that_refuses_its_schema() {
    let (broker, mut registry) = (kafka::shared(), Registry::start());
    registry.ask_for_backward_compatibility();
    let url = registry.url();
    for kind in KINDS {
        let topic = format!("refused_{}", kind.format());
        broker.topic(&topic, 1);
        let sink = format!(
            "{{brokers: \"{}\", topic: {topic}, format: {{{}: {{registry: \"{url}\"}}}}}}\n",
            broker.address,
            kind.format()
        );
        let project = Project::new();
        let fields = "fields: {user: string, n: bigint, t: timestamp}\nevent_time: t\n";
        project.file("streams/s.yaml", &format!("stream: s\n{fields}source: {{http: {{}}}}\n"));
        project.file("jobs/j.yaml", &format!("{}{sink}", WRITER.replace("COLUMN", "n")));
        let post = |server: &Server, number: i64| {
            let row = json!({"user": "u", "n": number, "t": number * 1000}).to_string();
            let (status, answer) = server.post("/v1/streams/s/events", row);
            assert_eq!(status, 200, "{answer}");
        };
        let sink_of = |job: &Value| job["sink_counts"]["kafka"].clone();

        registry.kill();
        let server = Server::start(&project, OFTEN);
        post(&server, 1);
        server.wait_for_job("j", "the sink to miss its registry", |job| {
            let sink = sink_of(job);
            let reason = sink["reason"].as_str().unwrap_or_default();
            reason.contains(&url) && reason.contains("does not answer") && sink["waiting_rows"] == 1
        });
        registry.restart();
        let is_drained =
            |job: &Value| sink_of(job)["waiting_rows"] == 0 && sink_of(job)["state"] == "running";
        server.wait_for_job("j", "the row to be there", is_drained);
        assert_eq!(registry.versions(&format!("{topic}-value")), 1);
        assert!(server.terminate().success());

        // The same column as a text does not fit what readers of the version before know.
        let job = format!("{}{sink}", WRITER.replace("COLUMN", "CAST(n AS STRING)"));
        project.file("jobs/j.yaml", &job);
        let server = Server::start(&project, OFTEN);
        post(&server, 2);
        let job = server.wait_for_job("j", "the sink to say what is refused", |job| {
            sink_of(job)["reason"].as_str().is_some_and(|reason| reason.contains("refuses"))
        });
        let reason = sink_of(&job)["reason"].as_str().unwrap().to_owned();
        assert!(reason.contains("does not fit the versions before it"), "{reason}");
        assert!(reason.contains(&format!("`{topic}-value`")), "{reason}");
        assert_eq!(sink_of(&job)["waiting_rows"], 1, "{job}");
        assert_eq!(registry.versions(&format!("{topic}-value")), 1);
    }
}
