//! ClickHouse by the script of the same name: its engine behind an interface of our own, which shows no users and takes one
//! statement at a time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::program::Program;
use super::web;
use crate::harness::wait_for;
use serde_json::Value;
use std::time::Duration;

/// The engine takes some seconds to load.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server with data of its own, killed with its test.
#[derive(Debug)]
pub(crate) struct ClickHouse {
    program: Program,
}

impl ClickHouse {
    pub(crate) fn start() -> ClickHouse {
        let mut server = ClickHouse { program: Program::with_data("clickhouse", "run") };
        server.restart();
        server
    }

    /// Starts it, at first or after [`ClickHouse::kill`], at the same address.
    pub(crate) fn restart(&mut self) {
        self.program.start();
        wait_for("the table's server to answer", PATIENCE, || {
            web::ask("GET", &format!("{}/ping", self.url()), "")
        });
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.program.kill();
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.program.port)
    }

    /// Does what a statement says, and gives the objects of its answer.
    pub(crate) fn run(&self, statement: &str) -> Vec<Value> {
        let (status, answer) = web::ask("POST", &self.url(), statement).unwrap();
        assert_eq!(status, 200, "{statement}: {answer}");
        answer.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}
