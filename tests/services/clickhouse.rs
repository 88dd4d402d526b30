//! ClickHouse by the script of the same name: its engine behind an interface of our own, which shows no users and takes one
//! statement at a time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::{file, web};
use crate::harness::{free_port, wait_for};
use serde_json::Value;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// The engine takes some seconds to load.
const PATIENCE: Duration = Duration::from_secs(120);

/// A server with data of its own, killed with its test.
#[derive(Debug)]
pub(crate) struct ClickHouse {
    folder: tempfile::TempDir,
    port: u16,
    child: Option<Child>,
}

impl ClickHouse {
    pub(crate) fn start() -> ClickHouse {
        let mut server = ClickHouse { folder: tempfile::tempdir().unwrap(), port: free_port(), child: None };
        server.restart();
        server
    }

    /// Starts it, at first or after [`ClickHouse::kill`], at the same address.
    pub(crate) fn restart(&mut self) {
        let child = Command::new(file("services/clickhouse"))
            .arg("run")
            .arg(self.folder.path())
            .arg(self.port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.unwrap());
        wait_for("the table's server to answer", PATIENCE, || {
            web::ask("GET", &format!("{}/ping", self.url()), "")
        });
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Does what a statement says, and gives the objects of its answer.
    pub(crate) fn run(&self, statement: &str) -> Vec<Value> {
        let (status, answer) = web::ask("POST", &self.url(), statement).unwrap();
        assert_eq!(status, 200, "{statement}: {answer}");
        answer.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

impl Drop for ClickHouse {
    fn drop(&mut self) {
        self.kill();
    }
}
