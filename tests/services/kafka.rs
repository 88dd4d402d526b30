//! A real Kafka broker, by the script `kafka`. The first start on a machine fetches it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::file;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// A broker with data of its own; killed when this is dropped, or when the test's process ends.
#[derive(Debug)]
pub(crate) struct Broker {
    dir: PathBuf,
    /// `HOST:PORT`.
    pub(crate) address: String,
}

/// One broker for all tests that leave it running.
pub(crate) fn shared() -> &'static Broker {
    static SHARED: OnceLock<Broker> = OnceLock::new();
    SHARED.get_or_init(Broker::start)
}

impl Broker {
    /// Starts a broker without topics.
    pub(crate) fn start() -> Broker {
        let dir = tempfile::Builder::new().prefix("weir-kafka-").tempdir().unwrap().keep();
        let mut broker = Broker { dir, address: String::new() };
        broker.address = broker.restart();
        broker
    }

    /// Starts one that also takes TLS with SASL, at an address of its own: that, and the file of who is to be trusted.
    pub(crate) fn start_secure() -> (Broker, String, PathBuf) {
        let dir = tempfile::Builder::new().prefix("weir-kafka-").tempdir().unwrap().keep();
        let mut broker = Broker { dir, address: String::new() };
        broker.address = broker.run_with("start", &[], "", &[("KAFKA_SECURE", "1")]).trim().to_owned();
        let secure = broker.run("secure", &[], "").trim().to_owned();
        let ca = broker.dir.join("ca.pem");
        (broker, secure, ca)
    }

    /// Starts it again after [`Broker::kill`], at the same address.
    pub(crate) fn restart(&self) -> String {
        self.run("start", &[], "").trim().to_owned()
    }

    /// `kill -9`.
    pub(crate) fn kill(&self) {
        self.run("kill", &[], "");
    }

    /// Sends it a signal, such as `STOP` or `CONT`.
    pub(crate) fn signal(&self, name: &str) {
        self.run("signal", &[name], "");
    }

    /// Makes a topic.
    pub(crate) fn topic(&self, name: &str, partitions: u16) {
        self.topic_with(name, partitions, &[]);
    }

    /// Makes a topic with options of Kafka's own tool.
    pub(crate) fn topic_with(&self, name: &str, partitions: u16, options: &[&str]) {
        let partitions = partitions.to_string();
        self.run("topic", &[&[name, &partitions], options].concat(), "");
    }

    /// Sends JSON Lines, keyed by a member.
    pub(crate) fn fill(&self, topic: &str, key: &str, lines: &str) {
        self.run("fill", &[topic, key], lines);
    }

    fn run(&self, command: &str, arguments: &[&str], input: &str) -> String {
        self.run_with(command, arguments, input, &[])
    }

    fn run_with(&self, command: &str, arguments: &[&str], input: &str, set: &[(&str, &str)]) -> String {
        let mut child = Command::new(file("services/kafka"))
            .arg(command)
            .arg(&self.dir)
            .args(arguments)
            .env("KAFKA_OWNER", std::process::id().to_string())
            .envs(set.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "kafka {command} {arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let script =
            Command::new(file("services/kafka")).arg("kill").arg(&self.dir).stderr(Stdio::null()).status();
        if script.is_ok() {
            let _ = std::fs::remove_dir_all(&self.dir);
        }
    }
}
