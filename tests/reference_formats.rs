//! Formats against the libraries that are the reference for each: fastavro, Google's protobuf, and pyarrow for Parquet and
//! CSV. Rows of every type, with nulls, nesting and the edges of numbers and times, go both ways and stay the same.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::Project;
use crate::services::file;
use crate::services::kafka::shared;
use crate::services::s3::{shared as store, with_key};
use crate::services::schema_registry::SchemaRegistry;
use crate::services::topics::{BEGIN, payloads, send_bytes, source};
use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// As the script that makes the rows has them.
const FIELDS: &str = r"fields:
  id: bigint
  t: timestamp
  s: string
  big: bigint
  n: int
  d: double
  f: float
  m: decimal(38, 3)
  b: boolean
  born: date
  content: bytes
  ts: timestamp
  l: array<string>
  p: map<string, bigint>
  r: row<a int, b array<double>>
  rr: array<row<a bigint, s string>>
";
/// What Protocol Buffers have no form for, and what comes behind it.
const LISTS_IN_MAPS: &str = "  pl: map<string, array<bigint>>\n";
const LAST: &str = "event_time: t\ndisorder: 1d\n";
const COLUMNS: &str = "id, t, s, big, n, d, f, m, b, born, content, ts, l, p, r, rr, j";

/// What the libraries do; what they do not find the same ends the test.
#[track_caller]
fn reference(arguments: &[&OsStr]) {
    let output = Command::new(file("services/readers")).arg("formats").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Lets the libraries write rows into a folder; messages carry these numbers.
fn generate(folder: &Path, numbers: [&str; 2]) {
    reference(&["generate".as_ref(), folder.as_ref(), numbers[0].as_ref(), numbers[1].as_ref()]);
}

fn base64_lines(path: &Path) -> Vec<Vec<u8>> {
    let text = std::fs::read_to_string(path).unwrap();
    let bytes = |line: &str| {
        let mut bytes = Vec::new();
        weir_format::base64::read(line.as_bytes(), &mut bytes).unwrap();
        bytes
    };
    text.lines().map(bytes).collect()
}

/// A stream, and a job that passes its rows on into lines and into `sinks`.
fn pass_on(project: &Project, stream: &str, reads: &str, sinks: &str) {
    let is_protobuf = stream.contains("protobuf");
    let (more_fields, more) = if is_protobuf { ("", "") } else { (LISTS_IN_MAPS, ", pl") };
    let definition = format!("stream: {stream}\n{FIELDS}{more_fields}  j: json\n{LAST}{reads}");
    project.file(&format!("streams/{stream}.yaml"), &definition);
    let query = format!("query: SELECT {COLUMNS}{more} FROM {stream}\n");
    let sinks = format!("sinks:\n  - file: {{path: out/{stream}}}\n{sinks}");
    project.file(&format!("jobs/j_{stream}.yaml"), &format!("{query}{sinks}"));
}

/// What the rows of a stream look like: Avro and Protocol Buffers have no JSON but its text.
fn form_of(stream: &str) -> &'static str {
    match stream {
        _ if stream.contains("avro") => "avro",
        _ if stream.contains("protobuf") => "protobuf",
        _ => "plain",
    }
}

fn kafka(topic: &str) -> String {
    format!("kafka: {{brokers: \"{}\", topic: {topic}", shared().address)
}

#[test]
fn what_the_libraries_wrote_is_read_the_same() {
    let (registry, project) = (SchemaRegistry::start(), Project::new());
    // Of whose four bytes more than one counts.
    for number in 1..=300 {
        registry.add("filler", "JSON", &number.to_string());
    }
    let folder = project.path();
    generate(folder, ["301", "302"]);
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap();
    assert_eq!(registry.add("avro", "AVRO", &text("avro.avsc")), 301);
    assert_eq!(registry.add("protobuf", "PROTOBUF", &text("rows.proto")), 302);
    for format in ["avro", "protobuf"] {
        let topic = format!("reference_{format}");
        shared().topic(&topic, 1);
        send_bytes(&shared().address, &topic, &base64_lines(&folder.join(format!("{format}.messages"))));
        let of = format!("format: {{{format}: {{registry: \"{}\"}}}}\n", registry.url);
        pass_on(
            &project,
            &format!("{format}_messages"),
            &format!("{of}source: {{{}}}}}\n", kafka(&topic)),
            "",
        );
    }
    for (stream, format, path) in [
        ("avro_files", "avro", "*.avro"),
        ("csv_files", "csv", "rows.csv"),
        ("parquet_files", "parquet", "*.parquet"),
        ("json_files", "json", "rows.jsonl"),
    ] {
        let reads = format!("format: {format}\nsource: {{file: {{path: \"{path}\"}}}}\n");
        pass_on(&project, stream, &reads, "");
    }
    let store = store();
    store.bucket("weir-formats");
    store.put(folder, "weir-formats", "in");
    for (stream, format, path) in [("avro_objects", "avro", "*.avro"), ("csv_objects", "csv", "r*.csv")] {
        let reads =
            format!("format: {format}\nsource: {{file: {{path: \"s3://weir-formats/in/{path}\"}}}}\n");
        pass_on(&project, stream, &reads, "");
    }
    let ran = with_key(&mut project.command("run", &["--until-end"]), &store.url).output().unwrap();
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    for stream in [
        "avro_messages",
        "protobuf_messages",
        "avro_files",
        "csv_files",
        "parquet_files",
        "json_files",
        "avro_objects",
        "csv_objects",
    ] {
        let found = folder.join("out").join(stream);
        reference(&["same".as_ref(), found.as_ref(), form_of(stream).as_ref()]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_the_libraries_read_the_same() {
    let (registry, project) = (SchemaRegistry::start(), Project::new());
    let folder = project.path();
    generate(folder, ["1", "2"]);
    let message_sink = |format: &str| {
        let topic = format!("written_{format}");
        shared().topic(&topic, 1);
        format!("  - {}, format: {{{format}: {{registry: \"{}\"}}}}}}\n", kafka(&topic), registry.url)
    };
    let files = ["avro", "csv", "parquet"]
        .map(|format| format!("  - file: {{path: wrote/{format}, format: {format}}}\n"));
    let reads = "source: {file: {path: rows.jsonl}}\n";
    pass_on(&project, "rows", reads, &format!("{}{}", files.concat(), message_sink("avro")));
    pass_on(&project, "rows_for_protobuf", reads, &message_sink("protobuf"));
    project.run(&[]);
    for format in ["avro", "csv", "parquet"] {
        reference(&["wrote".as_ref(), format.as_ref(), folder.join("wrote").join(format).as_ref()]);
    }
    for (format, form) in [("avro", "avro-messages"), ("protobuf", "protobuf")] {
        let topic = format!("written_{format}");
        let messages = payloads(&*source(&shared().address, &topic), &[BEGIN]).await;
        let mut text = Vec::new();
        for message in &messages {
            weir_format::base64::push(message, &mut text);
            text.push(b'\n');
        }
        let number = u32::from_be_bytes(messages[0][1..5].try_into().unwrap());
        let place = folder.join("messages").join(format);
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("messages"), text).unwrap();
        std::fs::write(place.join("schema"), registry.text(number)).unwrap();
        reference(&["wrote".as_ref(), form.as_ref(), place.as_ref()]);
    }
}
