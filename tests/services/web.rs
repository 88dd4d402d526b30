//! Plain HTTP for tests: questions to a server, and a receiver of rows that fails now and then.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::Value;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The status and the body of an answer; `None` where there is none.
pub(crate) fn ask(method: &str, url: &str, body: &str) -> Option<(u16, String)> {
    let timeout = Some(Duration::from_secs(30));
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(timeout).build();
    let agent: ureq::Agent = config.into();
    let response = match method {
        "GET" => agent.get(url).call(),
        "PUT" => agent.put(url).header("content-type", "application/json").send(body),
        _ => agent.post(url).header("content-type", "application/json").send(body),
    };
    let mut response = response.ok()?;
    let mut text = String::new();
    response.body_mut().as_reader().read_to_string(&mut text).ok()?;
    Some((response.status().as_u16(), text))
}

/// Takes rows as JSON Lines. Of every five requests one is refused for now, one is taken and never answered.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) url: String,
    taken: Arc<Mutex<Vec<Value>>>,
}

impl Receiver {
    /// Starts it; it ends with the test's process.
    pub(crate) fn start() -> Receiver {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/rows", listener.local_addr().unwrap());
        let receiver = Receiver { url, taken: Arc::default() };
        let taken = receiver.taken.clone();
        std::thread::spawn(move || {
            let mut requests = 0;
            for stream in listener.incoming().flatten() {
                // A connection for each request, so that a lost answer is a lost connection.
                let _ = receive(&stream, &taken, &mut requests);
            }
        });
        receiver
    }

    /// Every row that it has taken, in order.
    pub(crate) fn rows(&self) -> Vec<Value> {
        self.taken.lock().unwrap().clone()
    }
}

/// A request: its first line, and its body.
pub(super) fn request(stream: &TcpStream) -> std::io::Result<(String, Vec<u8>)> {
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut reader = BufReader::new(stream);
    let (mut asked, mut line, mut length) = (String::new(), String::new(), 0);
    reader.read_line(&mut asked)?;
    while reader.read_line(&mut line)? > 2 {
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        line.clear();
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok((asked, body))
}

fn receive(stream: &TcpStream, taken: &Mutex<Vec<Value>>, requests: &mut usize) -> std::io::Result<()> {
    let (_, body) = request(stream)?;
    *requests += usize::from(!body.is_empty());
    let fault = if body.is_empty() { 0 } else { *requests % 5 };
    let mut stream = stream;
    if fault == 2 {
        return stream.write_all(b"HTTP/1.1 503 busy\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    }
    let rows = String::from_utf8(body).unwrap();
    taken.lock().unwrap().extend(rows.lines().map(|row| serde_json::from_str::<Value>(row).unwrap()));
    if fault == 4 {
        return Ok(());
    }
    stream.write_all(b"HTTP/1.1 200 ok\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
}
