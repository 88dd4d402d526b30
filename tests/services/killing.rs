//! What stands between weir and a server and kills weir at a request: before the server sees it, or when the server has
//! answered it and weir has not heard so.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

/// At which request the process is killed.
#[derive(Clone, Copy)]
pub(crate) struct Kill {
    /// Whether a request with this first line counts.
    pub(crate) counts: fn(&str) -> bool,
    /// Which of those that count it is, from 1.
    pub(crate) at: usize,
    pub(crate) is_after: bool,
}

/// The way to a server.
pub(crate) struct Killing {
    pub(crate) url: String,
    /// The process that is killed.
    pub(crate) victim: Arc<OnceLock<u32>>,
    seen: Arc<AtomicUsize>,
}

impl Killing {
    /// To the server at this address, `http://HOST:PORT`.
    pub(crate) fn before(server: &str, kill: Kill) -> Killing {
        let server = server.strip_prefix("http://").unwrap().to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (victim, seen) = (Arc::new(OnceLock::new()), Arc::new(AtomicUsize::new(0)));
        let way = Way { server, kill, victim: victim.clone(), seen: seen.clone() };
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let way = way.clone();
                // A connection that breaks is of a process that is gone.
                std::thread::spawn(move || way.serve(&client).ok());
            }
        });
        Killing { url, victim, seen }
    }

    /// How many requests counted.
    pub(crate) fn seen(&self) -> usize {
        self.seen.load(Ordering::SeqCst)
    }
}

#[derive(Clone)]
struct Way {
    server: String,
    kill: Kill,
    victim: Arc<OnceLock<u32>>,
    seen: Arc<AtomicUsize>,
}

impl Way {
    fn serve(&self, client: &TcpStream) -> std::io::Result<()> {
        let server = TcpStream::connect(&self.server)?;
        let (mut asked, mut answered) = (BufReader::new(client), BufReader::new(&server));
        let mut back = client;
        loop {
            let head = head(&mut asked)?;
            let first = head.lines().next().unwrap_or_default().to_owned();
            if first.is_empty() {
                return Ok(());
            }
            let counted = (self.kill.counts)(&first).then(|| self.seen.fetch_add(1, Ordering::SeqCst) + 1);
            let is_it = counted == Some(self.kill.at);
            if is_it && !self.kill.is_after {
                self.kill();
                return Ok(());
            }
            (&server).write_all(head.as_bytes())?;
            body(&mut asked, &head, &mut &server)?;
            let answer = self::head(&mut answered)?;
            let mut content = Vec::new();
            if !first.starts_with("HEAD") {
                body(&mut answered, &answer, &mut content)?;
            }
            if is_it {
                self.kill();
                return Ok(());
            }
            back.write_all(answer.as_bytes())?;
            back.write_all(&content)?;
        }
    }

    fn kill(&self) {
        let pid = self.victim.wait();
        Command::new("kill").args(["-9", &pid.to_string()]).status().unwrap();
    }
}

fn head(from: &mut impl BufRead) -> std::io::Result<String> {
    let mut head = String::new();
    while from.read_line(&mut head)? > 2 {}
    Ok(head)
}

/// Copies what follows a head.
fn body(from: &mut impl BufRead, head: &str, to: &mut impl Write) -> std::io::Result<()> {
    let field = |name: &str| {
        let line = head
            .lines()
            .find_map(|line| line.split_once(':').filter(|(of, _)| of.eq_ignore_ascii_case(name)));
        line.map(|(_, value)| value.trim().to_owned())
    };
    if field("transfer-encoding").is_some() {
        loop {
            let mut size = String::new();
            from.read_line(&mut size)?;
            to.write_all(size.as_bytes())?;
            let length = u64::from_str_radix(size.trim(), 16).unwrap_or(0);
            std::io::copy(&mut from.take(length + 2), to)?;
            if length == 0 {
                return Ok(());
            }
        }
    }
    let length = field("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    std::io::copy(&mut from.take(length), to).map(drop)
}
