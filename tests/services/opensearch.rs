//! OpenSearch by the script of the same name: the stand-in in memory, the real one, and Elasticsearch.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::{file, web};
use crate::harness::{free_port, wait_for};
use serde_json::{Value, json};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A node has to start a virtual machine, on machines that do other things.
const PATIENCE: Duration = Duration::from_secs(180);

/// A server, killed with its test.
#[derive(Debug)]
pub(crate) struct OpenSearch {
    /// What the script is to run.
    program: &'static str,
    /// Where a real one has its data; the stand-in has none.
    folder: Option<tempfile::TempDir>,
    port: u16,
    child: Option<Child>,
}

impl OpenSearch {
    /// The stand-in.
    pub(crate) fn quick() -> OpenSearch {
        OpenSearch::start("quick", None)
    }

    /// The real one.
    pub(crate) fn node() -> OpenSearch {
        OpenSearch::start("node", Some(tempfile::tempdir().unwrap()))
    }

    /// A real Elasticsearch.
    pub(crate) fn elasticsearch() -> OpenSearch {
        OpenSearch::start("elasticsearch", Some(tempfile::tempdir().unwrap()))
    }

    fn start(program: &'static str, folder: Option<tempfile::TempDir>) -> OpenSearch {
        let mut server = OpenSearch { program, folder, port: free_port(), child: None };
        server.restart();
        server
    }

    /// Starts it, at first or after [`OpenSearch::kill`], at the same address.
    pub(crate) fn restart(&mut self) {
        let mut script = Command::new(file("services/opensearch"));
        script.arg(self.program);
        if let Some(folder) = &self.folder {
            script.arg(folder.path());
        }
        let child = script.arg(self.port.to_string()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.child = Some(child.unwrap());
        wait_for("the index's server to answer", PATIENCE, || {
            let (status, _) = web::ask("GET", &format!("{}/_cluster/health", self.url()), "")?;
            (status == 200).then_some(())
        });
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Makes an index as a statement says that was printed for it.
    pub(crate) fn make(&self, statement: &str) {
        let (head, body) = statement.split_once('\n').unwrap();
        let (method, path) = head.split_once(' ').unwrap();
        let answer = web::ask(method, &format!("{}{path}", self.url()), body).unwrap();
        assert_eq!(answer.0, 200, "{answer:?}");
    }

    /// Every document of an index by its id, in order.
    pub(crate) fn documents(&self, index: &str) -> Vec<(String, Value)> {
        let url = format!("{}/{index}", self.url());
        web::ask("POST", &format!("{url}/_refresh"), "").unwrap();
        let all = json!({"size": 10000, "query": {"match_all": {}}}).to_string();
        let (status, answer) = web::ask("POST", &format!("{url}/_search"), &all).unwrap();
        assert_eq!(status, 200, "{answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap();
        let hits = answer["hits"]["hits"].as_array().unwrap().iter();
        let mut found: Vec<_> =
            hits.map(|hit| (hit["_id"].as_str().unwrap().to_owned(), hit["_source"].clone())).collect();
        found.sort_by(|one, other| one.0.cmp(&other.0));
        found
    }
}

impl Drop for OpenSearch {
    fn drop(&mut self) {
        self.kill();
    }
}
