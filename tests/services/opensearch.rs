//! OpenSearch by the script of the same name: the stand-in in memory, the real one, and Elasticsearch.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::program::Program;
use super::web;
use crate::harness::wait_for;
use serde_json::{Value, json};
use std::time::Duration;

/// A node has to start a virtual machine, on machines that do other things.
const PATIENCE: Duration = Duration::from_secs(180);

/// A server, killed with its test.
#[derive(Debug)]
pub(crate) struct OpenSearch {
    program: Program,
}

impl OpenSearch {
    /// The stand-in.
    pub(crate) fn quick() -> OpenSearch {
        OpenSearch::start(Program::in_memory("opensearch", "quick"))
    }

    /// The real one.
    pub(crate) fn node() -> OpenSearch {
        OpenSearch::start(Program::with_data("opensearch", "node"))
    }

    /// A real Elasticsearch.
    pub(crate) fn elasticsearch() -> OpenSearch {
        OpenSearch::start(Program::with_data("opensearch", "elasticsearch"))
    }

    fn start(program: Program) -> OpenSearch {
        let mut server = OpenSearch { program };
        server.restart();
        server
    }

    /// Starts it, at first or after [`OpenSearch::kill`], at the same address.
    pub(crate) fn restart(&mut self) {
        self.program.start();
        wait_for("the index's server to answer", PATIENCE, || {
            let (status, _) = web::ask("GET", &format!("{}/_cluster/health", self.url()), "")?;
            (status == 200).then_some(())
        });
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.program.kill();
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, name: &str) {
        self.program.signal(name);
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.program.port)
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
