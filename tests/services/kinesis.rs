//! A stand-in for Amazon Kinesis, by the script `kinesis`. The first start on a machine fetches it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::aws::{Api, call};
use super::file;
use crate::harness::wait_for;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// The stand-in with streams of its own; killed when this is dropped, or when the test's process ends.
#[derive(Debug)]
pub(crate) struct Kinesis {
    dir: PathBuf,
    pub(crate) url: String,
}

impl Kinesis {
    /// Starts it with a stream of so many shards.
    pub(crate) fn start(stream: &str, shards: u16) -> Kinesis {
        let dir = tempfile::Builder::new().prefix("weir-kinesis-").tempdir().unwrap().keep();
        let output = Command::new(file("services/kinesis"))
            .arg("start")
            .arg(&dir)
            .arg(format!("{stream}:{shards}"))
            .env("KINESIS_OWNER", std::process::id().to_string())
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        let kinesis = Kinesis { dir, url: String::from_utf8(output.stdout).unwrap().trim().to_owned() };
        kinesis.wait_active(stream);
        kinesis
    }

    /// What it answers to a call, which must succeed.
    #[track_caller]
    pub(crate) fn call(&self, operation: &str, body: &Value) -> Value {
        let (status, answer) = call(&self.url, Api::Kinesis, operation, body);
        assert_eq!(status, 200, "{operation} {body}: {answer}");
        answer
    }

    /// Puts records, each with its partition key; all of them are there when this returns.
    pub(crate) fn put(&self, stream: &str, records: &[(String, Vec<u8>)]) {
        for part in records.chunks(100) {
            let record = |(key, data): &(String, Vec<u8>)| json!({"PartitionKey": key, "Data": base64(data)});
            let records: Vec<Value> = part.iter().map(record).collect();
            let answer = self.call("PutRecords", &json!({"StreamName": stream, "Records": records}));
            assert_eq!(answer["FailedRecordCount"], 0, "{answer}");
        }
    }

    /// Its shards that have not expired.
    pub(crate) fn shards(&self, stream: &str) -> Vec<Value> {
        self.call("ListShards", &json!({"StreamName": stream}))["Shards"].as_array().unwrap().clone()
    }

    /// The names of those that are written to, in order of their hash keys.
    pub(crate) fn open_shards(&self, stream: &str) -> Vec<(String, u128, u128)> {
        let key = |shard: &Value, name: &str| shard["HashKeyRange"][name].as_str().unwrap().parse().unwrap();
        let is_open = |shard: &&Value| shard["SequenceNumberRange"]["EndingSequenceNumber"].is_null();
        let shards = self.shards(stream);
        let open = shards.iter().filter(is_open).map(|shard| {
            let name = shard["ShardId"].as_str().unwrap().to_owned();
            (name, key(shard, "StartingHashKey"), key(shard, "EndingHashKey"))
        });
        let mut open: Vec<_> = open.collect();
        open.sort_by_key(|(_, first, _)| *first);
        open
    }

    /// Splits an open shard in the middle.
    pub(crate) fn split(&self, stream: &str, (shard, first, last): &(String, u128, u128)) {
        let middle = (first + (last - first) / 2).to_string();
        let split = json!({"StreamName": stream, "ShardToSplit": shard, "NewStartingHashKey": middle});
        self.call("SplitShard", &split);
        self.wait_active(stream);
    }

    /// Merges two neighbours.
    pub(crate) fn merge(&self, stream: &str, one: &str, other: &str) {
        self.call(
            "MergeShards",
            &json!({"StreamName": stream, "ShardToMerge": one, "AdjacentShardToMerge": other}),
        );
        self.wait_active(stream);
    }

    fn wait_active(&self, stream: &str) {
        wait_for("the stream to be active", Duration::from_secs(60), || {
            let (status, about) =
                call(&self.url, Api::Kinesis, "DescribeStreamSummary", &json!({"StreamName": stream}));
            (status == 200 && about["StreamDescriptionSummary"]["StreamStatus"] == "ACTIVE").then_some(())
        });
    }
}

impl Drop for Kinesis {
    fn drop(&mut self) {
        let script =
            Command::new(file("services/kinesis")).arg("stop").arg(&self.dir).stderr(Stdio::null()).status();
        if script.is_ok() {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}

fn base64(data: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for part in data.chunks(3) {
        let bits =
            part.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - part.len()));
        for at in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= part.len() { char::from(letter) } else { '=' });
        }
    }
    text
}
