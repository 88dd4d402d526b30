//! Outside systems that tests run against, started by the scripts beside this file, and the real events that they
//! are fed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub(crate) mod apicurio;
pub(crate) mod aws;
pub(crate) mod certificates;
pub(crate) mod clickhouse;
pub(crate) mod druid;
pub(crate) mod dynamodb;
pub(crate) mod kafka;
pub(crate) mod killing;
pub(crate) mod kinesis;
pub(crate) mod oci;
pub(crate) mod opensearch;
pub(crate) mod program;
pub(crate) mod readers;
pub(crate) mod s3;
pub(crate) mod schema_registry;
pub(crate) mod stores;
pub(crate) mod topics;
pub(crate) mod web;

use std::path::{Path, PathBuf};
use std::process::Command;

/// A file of the tests' folder.
pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// What a command prints; it must succeed.
#[track_caller]
pub(crate) fn said(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The flights of `data/`, one JSON object a line.
pub(crate) fn flights() -> String {
    let output = Command::new("gzip").arg("-cd").arg(file("data/flights_2013_01.jsonl.gz")).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}
