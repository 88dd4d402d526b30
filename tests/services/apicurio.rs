//! A real schema registry, Apicurio's, by the script of the same name.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::program::Program;
use super::web;
use crate::harness::wait_for;
use serde_json::{Value, json};
use std::time::Duration;

/// It has to start a virtual machine, on machines that do other things.
const PATIENCE: Duration = Duration::from_secs(180);

/// A registry with data of its own, killed with its test.
#[derive(Debug)]
pub(crate) struct Registry {
    program: Program,
}

impl Registry {
    pub(crate) fn start() -> Registry {
        let mut registry = Registry { program: Program::with_data("apicurio", "run") };
        registry.restart();
        registry
    }

    /// Starts it, at first or after [`Registry::kill`], at the same address and with what it had.
    pub(crate) fn restart(&mut self) {
        self.program.start();
        wait_for("the schema registry to answer", PATIENCE, || {
            web::ask("GET", &format!("{}/subjects", self.url()), "").filter(|(status, _)| *status == 200)
        });
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.program.kill();
    }

    /// Where its interface is that is Confluent's.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/apis/ccompat/v7", self.program.port)
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
