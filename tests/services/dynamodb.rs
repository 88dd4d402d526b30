//! A stand-in for Amazon DynamoDB, by the script `dynamodb`. The first start on a machine fetches it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::aws::{Api, call};
use super::file;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The stand-in with tables of its own; killed when this is dropped, or when the test's process ends.
#[derive(Debug)]
pub(crate) struct DynamoDb {
    dir: PathBuf,
    pub(crate) url: String,
}

impl DynamoDb {
    /// Starts it without tables.
    pub(crate) fn start() -> DynamoDb {
        let dir = tempfile::Builder::new().prefix("weir-dynamodb-").tempdir().unwrap().keep();
        let output = Command::new(file("services/dynamodb"))
            .arg("start")
            .arg(&dir)
            .env("DYNAMODB_OWNER", std::process::id().to_string())
            .stderr(Stdio::inherit())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        DynamoDb { dir, url: String::from_utf8(output.stdout).unwrap().trim().to_owned() }
    }

    /// What it answers to a call, which must succeed.
    #[track_caller]
    pub(crate) fn call(&self, operation: &str, body: &Value) -> Value {
        let (status, answer) = call(&self.url, Api::DynamoDb, operation, body);
        assert_eq!(status, 200, "{operation} {body}: {answer}");
        answer
    }

    /// Makes a table whose keys are texts of these names.
    pub(crate) fn make_table(&self, table: &str, names: &[&str]) {
        let kinds = ["HASH", "RANGE"];
        let keys: Vec<Value> = names
            .iter()
            .zip(kinds)
            .map(|(name, kind)| json!({"AttributeName": name, "KeyType": kind}))
            .collect();
        let types: Vec<Value> =
            names.iter().map(|name| json!({"AttributeName": name, "AttributeType": "S"})).collect();
        let table = json!({
            "TableName": table, "KeySchema": keys, "AttributeDefinitions": types,
            "BillingMode": "PAY_PER_REQUEST",
        });
        self.call("CreateTable", &table);
    }

    /// All items of a table.
    pub(crate) fn items(&self, table: &str) -> Vec<Value> {
        let (mut items, mut from) = (Vec::new(), Value::Null);
        loop {
            let mut scan = json!({"TableName": table, "ConsistentRead": true});
            if !from.is_null() {
                scan["ExclusiveStartKey"] = from;
            }
            let mut page = self.call("Scan", &scan);
            items.extend(page["Items"].as_array().unwrap().iter().cloned());
            from = page["LastEvaluatedKey"].take();
            if from.is_null() {
                return items;
            }
        }
    }
}

impl Drop for DynamoDb {
    fn drop(&mut self) {
        let script =
            Command::new(file("services/dynamodb")).arg("stop").arg(&self.dir).stderr(Stdio::null()).status();
        if script.is_ok() {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}
