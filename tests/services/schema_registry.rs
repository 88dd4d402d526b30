//! A stand-in for a schema registry with Confluent's API, in the test's own process, so that a test can take it away and
//! look at what it was asked.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use super::web;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};

/// A registry; it ends with the test's process.
#[derive(Debug)]
pub(crate) struct SchemaRegistry {
    pub(crate) url: String,
    state: Arc<Mutex<Registrations>>,
}

#[derive(Debug, Default)]
struct Registrations {
    /// By number, from 1 on: their kind and their text.
    schemas: Vec<(String, String)>,
    /// The numbers of each subject's versions.
    subjects: HashMap<String, Vec<usize>>,
    is_away: bool,
}

impl SchemaRegistry {
    pub(crate) fn start() -> SchemaRegistry {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let registry = SchemaRegistry { url, state: Arc::default() };
        let state = registry.state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // Who asks may go away: others are served.
                let _ = serve(&stream, &state);
            }
        });
        registry
    }

    fn state(&self) -> MutexGuard<'_, Registrations> {
        self.state.lock().unwrap()
    }

    /// Registers a schema of this kind, and gives its number.
    pub(crate) fn add(&self, subject: &str, kind: &str, text: &str) -> u32 {
        self.state().register(subject, kind, text) as u32
    }

    /// The text of the schema of a number.
    pub(crate) fn text(&self, number: u32) -> String {
        self.state().schemas[number as usize - 1].1.clone()
    }

    /// Whether it answers only that it cannot serve.
    pub(crate) fn set_away(&self, is_away: bool) {
        self.state().is_away = is_away;
    }
}

impl Registrations {
    fn register(&mut self, subject: &str, kind: &str, text: &str) -> usize {
        let new = (kind.to_owned(), text.to_owned());
        let id = self.schemas.iter().position(|known| *known == new).unwrap_or_else(|| {
            self.schemas.push(new);
            self.schemas.len() - 1
        }) + 1;
        let versions = self.subjects.entry(subject.to_owned()).or_default();
        if !versions.contains(&id) {
            versions.push(id);
        }
        id
    }

    fn answer(&mut self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let missing = |code: u64| (404, json!({"error_code": code, "message": "not found"}));
        if self.is_away {
            return (503, json!({"error_code": 50003, "message": "away"}));
        }
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match (method, parts.as_slice()) {
            ("GET", ["subjects"]) => (200, self.subjects.keys().map(String::as_str).collect()),
            ("GET", ["schemas", "ids", id]) => {
                let id: usize = id.parse().unwrap();
                match id.checked_sub(1).and_then(|at| self.schemas.get(at)) {
                    Some((kind, text)) => (200, json!({"schema": text, "schemaType": kind})),
                    None => missing(40403),
                }
            }
            ("GET", ["subjects", subject, "versions", version]) => {
                let Some(versions) = self.subjects.get(*subject) else { return missing(40401) };
                let version = version.parse().unwrap_or(versions.len());
                let Some(id) = versions.get(version - 1) else { return missing(40402) };
                let (kind, text) = &self.schemas[id - 1];
                (
                    200,
                    json!({"subject": subject, "id": id, "version": version, "schema": text, "schemaType": kind}),
                )
            }
            ("POST", ["subjects", subject, rest @ ..]) => {
                let text = body["schema"].as_str().unwrap();
                let kind = body["schemaType"].as_str().unwrap_or("AVRO");
                let known = self.schemas.iter().position(|known| (&*known.0, &*known.1) == (kind, text));
                let is_there = known.is_some_and(|at| {
                    self.subjects.get(*subject).is_some_and(|versions| versions.contains(&(at + 1)))
                });
                match rest {
                    [] if !is_there => missing(40403),
                    _ => (200, json!({"id": self.register(subject, kind, text)})),
                }
            }
            _ => (404, json!({"error_code": 404, "message": "HTTP 404 Not Found"})),
        }
    }
}

fn serve(stream: &TcpStream, state: &Mutex<Registrations>) -> std::io::Result<()> {
    let (asked, body) = web::request(stream)?;
    let body = serde_json::from_slice(&body).unwrap_or_default();
    let mut words = asked.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (status, answer) = state.lock().unwrap().answer(method, path, &body);
    let answer = answer.to_string();
    let length = answer.len();
    let head = format!("HTTP/1.1 {status} -\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n");
    let mut stream = stream;
    stream.write_all([head, answer].concat().as_bytes())
}
