//! A real Apache Druid by the script of the same name.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::{file, web};
use crate::harness::wait_for;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Four virtual machines have to start, on machines that do other things.
const PATIENCE: Duration = Duration::from_secs(400);

/// A cluster, killed with its test.
#[derive(Debug)]
pub(crate) struct Druid {
    folder: tempfile::TempDir,
    overlord: String,
    broker: String,
}

impl Druid {
    pub(crate) fn start() -> Druid {
        let folder = tempfile::tempdir().unwrap();
        let printed = script("start", folder.path());
        let (overlord, broker) = printed.trim().split_once(' ').unwrap();
        let druid = Druid { overlord: overlord.to_owned(), broker: broker.to_owned(), folder };
        for server in [&druid.overlord, &druid.broker] {
            let health = format!("{server}/status/health");
            wait_for("druid to answer", PATIENCE, || {
                web::ask("GET", &health, "").filter(|(status, _)| *status == 200)
            });
        }
        druid
    }

    /// Makes a supervisor. The overlord has to lead first, some time after it answers.
    pub(crate) fn supervise(&self, spec: &str) {
        let url = format!("{}/druid/indexer/v1/supervisor", self.overlord);
        wait_for("the supervisor to be made", PATIENCE, || {
            web::ask("POST", &url, spec).filter(|(status, _)| *status == 200)
        });
    }

    /// The rows that a query gives; `None` while it cannot be answered.
    pub(crate) fn rows(&self, query: &str) -> Option<Vec<Value>> {
        let asked = json!({"query": query}).to_string();
        let (status, answer) = web::ask("POST", &format!("{}/druid/v2/sql", self.broker), &asked)?;
        if status == 200 { serde_json::from_str(&answer).ok() } else { None }
    }
}

/// What Druid's own classes say of a spec.
pub(crate) fn judged(spec: &Path) -> String {
    script("check", spec)
}

fn script(command: &str, path: &Path) -> String {
    let output = Command::new(file("services/druid")).arg(command).arg(path).output().unwrap();
    assert!(output.status.success(), "druid {command}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

impl Drop for Druid {
    fn drop(&mut self) {
        // The folder goes with its owner.
        let _ = Command::new(file("services/druid")).arg("kill").arg(self.folder.path()).status();
    }
}
