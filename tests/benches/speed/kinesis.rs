//! Events from a Kinesis stream, in events per CPU-second: a whole job beside the same job over a file, and beside a client
//! that only takes records out of answers.

use crate::harness::Project;
use crate::rides::{DISCARD, STREAM, cpu_seconds, generated};
use crate::services::aws::CREDENTIALS;
use crate::services::kinesis::Kinesis;
use serde_json::{Value, json};
use std::hint::black_box;

const NAME: &str = "rides";
const SHARDS: u16 = 2;
/// The stand-in gets slower with every record.
const MOST_EVENTS: u64 = 10_000;
const QUERY: &str = "SELECT geohash, COUNT(*) AS n, TUMBLE_END(rowtime, INTERVAL '1' HOUR) AS e FROM rides \
                     GROUP BY geohash, TUMBLE(rowtime, INTERVAL '1' HOUR)";

/// Prints thousand events per CPU-second of each reader.
pub(crate) fn measure(events: u64) {
    let events = events.min(MOST_EVENTS);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rides = generated(folder.path(), events, 1);
    let lines = std::fs::read_to_string(&rides).expect("the rides are there");
    let records: Vec<(String, Vec<u8>)> =
        lines.lines().enumerate().map(|(number, line)| (number.to_string(), line.into())).collect();
    let kinesis = Kinesis::start(NAME, SHARDS);
    kinesis.put(NAME, &records);
    println!("Kinesis (a stand-in), {events} events in {SHARDS} shards: thousand events per CPU-second");
    let before = cpu_seconds();
    assert_eq!(bare(&kinesis), events);
    say("bare client", events, cpu_seconds() - before);
    let stream = format!("{{kinesis: {{stream: {NAME}, region: us-east-1, endpoint: \"{}\"}}}}", kinesis.url);
    say("Q1 from the stream", events, job(&stream));
    say("Q1 from a file", events, job(&format!("{{file: {{path: \"{}\"}}}}", rides.display())));
}

fn say(what: &str, events: u64, cpu: f64) {
    println!("  {what}: {:.0}", events as f64 / cpu / 1000.0);
}

/// The CPU seconds of a job over this source.
fn job(source: &str) -> f64 {
    let project = Project::new().with_environment(&CREDENTIALS);
    project
        .file("weir.yaml", "shards: 1\n")
        .file("streams/rides.yaml", &format!("{STREAM}source: {source}\n"));
    project.file("jobs/q.yaml", &format!("job: q\nquery: |\n  {QUERY}\nsinks: [{DISCARD}]\n"));
    let output = project.run(&["--stats"]);
    let text = String::from_utf8(output.stdout).expect("statistics are text");
    let stats: Value = serde_json::from_str(text.lines().last().expect("a line of statistics"))
        .expect("statistics are JSON");
    stats["cpu_seconds"].as_f64().expect("Linux counts them")
}

/// Takes every record, and looks at its bytes.
fn bare(kinesis: &Kinesis) -> u64 {
    let (mut count, mut bytes) = (0, Vec::new());
    for shard in kinesis.shards(NAME) {
        let from =
            json!({"StreamName": NAME, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"});
        let mut iterator = kinesis.call("GetShardIterator", &from)["ShardIterator"].clone();
        loop {
            let page = kinesis.call("GetRecords", &json!({"ShardIterator": iterator, "Limit": 10_000}));
            for record in page["Records"].as_array().expect("records") {
                bytes.clear();
                weir_format::base64::read(record["Data"].as_str().expect("a text").as_bytes(), &mut bytes);
                black_box(&bytes);
                count += 1;
            }
            if page["MillisBehindLatest"] == 0 {
                break;
            }
            iterator = page["NextShardIterator"].clone();
        }
    }
    count
}
