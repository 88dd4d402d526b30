//! Lookups over HTTP: one feature of one key per request at 16 connections, without and with events coming in, client
//! and server on the same machine.

use crate::{project, weir};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;
use weir_engine::SystemClock;
use weir_event::Clock;

const CONNECTIONS: u64 = 16;
const SECONDS: u64 = 10;
const USERS: u64 = 10_000;
/// Events that are there before the measurement.
const BACKLOG: u64 = 200_000;

/// Measures both and prints a line for each.
pub(crate) fn measure() {
    println!("\nlookups: one feature of one key per request, {CONNECTIONS} connections, {SECONDS} s");
    println!(
        "{:<22} {:>12} {:>8} {:>8} {:>8}",
        "events coming in", "requests/s", "p50 us", "p99 us", "max us"
    );
    for rate in [None, Some(50_000)] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let server = Server::start(folder.path(), rate);
        let mut latencies = load(&server.address);
        latencies.sort_unstable();
        let at = |share: usize| latencies[(latencies.len() - 1) * share / 100].as_micros();
        let rate_text = rate.map_or("none".to_owned(), |rate| format!("{rate}/s"));
        let per_second = latencies.len() as u64 / SECONDS;
        println!("{rate_text:<22} {per_second:>12} {:>8} {:>8} {:>8}", at(50), at(99), at(100));
    }
}

struct Server {
    child: Child,
    address: String,
}

impl Server {
    fn start(folder: &Path, rate: Option<u64>) -> Server {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound port").to_string();
        drop(listener);
        // A start in the past is a backlog, read at full speed.
        let (rate, until, start) = match rate {
            None => (1_000_000, format!(", until: {BACKLOG}"), "2026-01-01T00:00:00Z".to_owned()),
            Some(rate) => {
                let backlog = weir_event::Span::from_millis((BACKLOG * 1000 / rate) as i64);
                (rate, String::new(), (SystemClock::new().now() - backlog).to_string())
            }
        };
        let stream = format!(
            "stream: rides\nfields: {{user_id: string, action: string, event_time: timestamp}}\n\
             event_time: event_time\ndisorder: 5s\nsource:\n  \
             generator: {{kind: rides, rate: {rate}, seed: 7, keys: {USERS}, start: \"{start}\"{until}}}\n"
        );
        let job = "job: q\nquery: |\n  SELECT user_id, COUNT(*) OVER (PARTITION BY user_id ORDER BY event_time \
                   RANGE INTERVAL '10' MINUTE PRECEDING) AS n FROM rides\n";
        let settings = format!("listen: {address}\n");
        let files =
            [("weir.yaml", settings), ("streams/rides.yaml", stream), ("jobs/q.yaml", job.to_owned())];
        project(folder, &files);
        let child = Command::new(weir()).arg("serve").arg(folder).stderr(Stdio::null()).spawn();
        let server = Server { child: child.expect("weir starts"), address };
        while !server.is_ready() {
            pause();
        }
        server
    }

    fn is_ready(&self) -> bool {
        let Ok(stream) = TcpStream::connect(&self.address) else { return false };
        Connection::new(stream).get("/readyz").0 == 200
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[allow(clippy::disallowed_methods, reason = "the server is another process, which goes by its own clock")]
fn pause() {
    thread::sleep(Duration::from_millis(100));
}

/// Keeps every connection busy and gives the time of each request.
fn load(address: &str) -> Vec<Duration> {
    let clients: Vec<_> = (0..CONNECTIONS)
        .map(|client| {
            let address = address.to_owned();
            thread::spawn(move || {
                let clock = SystemClock::new();
                let mut connection =
                    Connection::new(TcpStream::connect(address).expect("the server listens"));
                let (mut latencies, mut user) = (Vec::new(), client);
                while clock.monotonic() < Duration::from_secs(SECONDS) {
                    user = (user * 25_214_903_917 + 11) % USERS;
                    let before = clock.monotonic();
                    let (status, length) = connection.get(&format!("/v1/jobs/q/values?user_id=u{user}"));
                    latencies.push(clock.monotonic().saturating_sub(before));
                    assert!(status == 200 && length > 0, "a lookup was answered with {status}");
                }
                latencies
            })
        })
        .collect();
    clients.into_iter().flat_map(|client| client.join().expect("a client ends")).collect()
}

/// One connection that is kept.
struct Connection {
    stream: BufReader<TcpStream>,
    line: String,
    body: Vec<u8>,
}

impl Connection {
    fn new(stream: TcpStream) -> Connection {
        stream.set_nodelay(true).expect("a socket takes its options");
        Connection { stream: BufReader::new(stream), line: String::new(), body: Vec::new() }
    }

    /// The status and the length of the body.
    fn get(&mut self, path: &str) -> (u16, usize) {
        let request = format!("GET {path} HTTP/1.1\r\nHost: weir\r\n\r\n");
        self.stream.get_mut().write_all(request.as_bytes()).expect("the server reads");
        let (mut status, mut length) = (0, 0);
        loop {
            self.line.clear();
            self.stream.read_line(&mut self.line).expect("the server answers");
            let line = self.line.trim_end();
            if line.is_empty() {
                break;
            }
            if let Some(rest) = line.strip_prefix("HTTP/1.1 ") {
                status = rest.split(' ').next().and_then(|code| code.parse().ok()).unwrap_or(0);
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("content-length")
            {
                length = value.trim().parse().unwrap_or(0);
            }
        }
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body).expect("a whole body");
        (status, length)
    }
}
