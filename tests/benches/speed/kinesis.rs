//! Events from a Kinesis stream, in events per CPU-second: a whole job beside the same job over a file, and beside a client
//! that only takes records out of answers.

use crate::rides::{cpu_of, cpu_of_job, generated, say};
use crate::services::aws::CREDENTIALS;
use crate::services::kinesis::Kinesis;
use serde_json::json;
use std::hint::black_box;

const NAME: &str = "rides";
const SHARDS: u16 = 2;
/// The stand-in gets slower with every record.
const MOST_EVENTS: u64 = 10_000;

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
    say("bare client", events, cpu_of(events, || bare(&kinesis)));
    let job = |name: &str, source: &str| cpu_of_job(&folder.path().join(name), &CREDENTIALS, source);
    let stream = format!("{{kinesis: {{stream: {NAME}, region: us-east-1, endpoint: \"{}\"}}}}", kinesis.url);
    say("Q1 from the stream", events, job("stream", &stream));
    say("Q1 from a file", events, job("file", &format!("{{file: {{path: \"{}\"}}}}", rides.display())));
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
