//! A real Kafka broker, by the script `kafka`. The first start on a machine fetches it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::file;
use crate::harness::free_port;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

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

    /// Starts one that is reached through a proxy, which counts the bytes that it sends.
    pub(crate) fn start_counted() -> (Broker, Arc<AtomicU64>) {
        let dir = tempfile::Builder::new().prefix("weir-kafka-").tempdir().unwrap().keep();
        let (listener, port) = (TcpListener::bind("127.0.0.1:0").unwrap(), free_port().to_string());
        let proxy = listener.local_addr().unwrap();
        let sent = count_before(listener, format!("127.0.0.1:{port}"));
        let broker = Broker { dir, address: proxy.to_string() };
        broker.run_with("start", &[&port], "", &[("KAFKA_ADVERTISED", &proxy.port().to_string())]);
        (broker, sent)
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

/// Passes connections on, and counts what comes back. It ends with the test's process.
fn count_before(listener: TcpListener, to: String) -> Arc<AtomicU64> {
    let sent = Arc::new(AtomicU64::new(0));
    let counted = sent.clone();
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // Nobody is there until the broker has started; whoever asks asks again.
            let Ok(server) = TcpStream::connect(&to) else { continue };
            let (asked, answered) = (client.try_clone().unwrap(), server.try_clone().unwrap());
            let counted = counted.clone();
            std::thread::spawn(move || pass(asked, server, &AtomicU64::new(0)));
            std::thread::spawn(move || pass(answered, client, &counted));
        }
    });
    sent
}

fn pass(mut from: TcpStream, mut to: TcpStream, counted: &AtomicU64) {
    let mut bytes = vec![0; 64 << 10];
    while let Ok(read @ 1..) = from.read(&mut bytes) {
        counted.fetch_add(read as u64, Ordering::Relaxed);
        if to.write_all(&bytes[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(std::net::Shutdown::Both);
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
