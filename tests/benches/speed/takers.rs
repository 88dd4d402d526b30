//! Whoever takes rows for the benchmark: a server that takes anything over HTTP at once, and remembers who was in it.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The server; it ends with the process.
pub(crate) struct Takers {
    pub(crate) url: String,
    users: Arc<Mutex<BTreeSet<String>>>,
}

impl Takers {
    pub(crate) fn start() -> Takers {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let url = format!("http://{}/rows", listener.local_addr().expect("a bound port"));
        let users: Arc<Mutex<BTreeSet<String>>> = Arc::default();
        let taken = users.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let taken = taken.clone();
                // A client that goes ends its thread.
                std::thread::spawn(move || serve(&client, &taken).ok());
            }
        });
        Takers { url, users }
    }

    /// Whether rows of a user have come.
    pub(crate) fn has(&self, user: &str) -> bool {
        self.users.lock().expect("nobody panics with it").contains(user)
    }
}

fn serve(client: &TcpStream, users: &Mutex<BTreeSet<String>>) -> std::io::Result<()> {
    let mut reader = BufReader::new(client);
    let mut client = client;
    loop {
        let (mut length, mut line) = (0, String::new());
        while reader.read_line(&mut line)? > 2 {
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            } else if lower.starts_with("expect:") {
                client.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
            }
            line.clear();
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        for line in String::from_utf8_lossy(&body).lines().take(100) {
            if let Some((_, rest)) = line.split_once("\"user_id\":\"") {
                let user = rest.split('"').next().unwrap_or_default().to_owned();
                users.lock().expect("nobody panics with it").insert(user);
            }
        }
        client.write_all(b"HTTP/1.1 200 ok\r\ncontent-length: 0\r\n\r\n")?;
    }
}
