//! A real schema registry, Apicurio's, by the script of the same name.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::{file, web};
use crate::harness::{free_port, wait_for};
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// It has to start a virtual machine, on machines that do other things.
const PATIENCE: Duration = Duration::from_secs(180);

/// A registry with data of its own, killed with its test.
#[derive(Debug)]
pub(crate) struct Registry {
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl Registry {
    pub(crate) fn start() -> Registry {
        let mut registry = Registry { folder: tempfile::tempdir().unwrap(), port: free_port(), child: None };
        registry.restart();
        registry
    }

    /// Starts it, at first or after [`Registry::kill`], at the same address and with what it had.
    pub(crate) fn restart(&mut self) {
        let child = Command::new(file("services/apicurio"))
            .arg("run")
            .arg(self.folder.path())
            .arg(self.port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.unwrap());
        wait_for("the schema registry to answer", PATIENCE, || {
            web::ask("GET", &format!("{}/subjects", self.url()), "").filter(|(status, _)| *status == 200)
        });
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Where its interface is that is Confluent's.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/apis/ccompat/v7", self.port)
    }

    /// Registers a schema of a kind, such as `AVRO`: its number.
    pub(crate) fn register(&self, subject: &str, kind: &str, schema: &str) -> u32 {
        let body = json!({"schemaType": kind, "schema": schema}).to_string();
        let url = format!("{}/subjects/{subject}/versions", self.url());
        let (status, answer) = web::ask("POST", &url, &body).unwrap();
        assert_eq!(status, 200, "{answer}");
        serde_json::from_str::<Value>(&answer).unwrap()["id"].as_u64().unwrap() as u32
    }

    /// How many versions a subject has.
    pub(crate) fn versions(&self, subject: &str) -> usize {
        let (_, answer) =
            web::ask("GET", &format!("{}/subjects/{subject}/versions", self.url()), "").unwrap();
        serde_json::from_str::<Vec<u32>>(&answer).unwrap().len()
    }

    /// Whoever reads by a newer version must be able to read what older ones wrote.
    pub(crate) fn ask_for_backward_compatibility(&self) {
        let body = json!({"compatibility": "BACKWARD"}).to_string();
        let (status, answer) = web::ask("PUT", &format!("{}/config", self.url()), &body).unwrap();
        assert_eq!(status, 200, "{answer}");
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.kill();
    }
}
