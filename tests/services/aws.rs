//! Services of AWS as their stand-ins answer: plain calls, and a proxy before one that injects faults.
//!
//! The stand-ins do not check signatures, so that a call only has to look signed.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What weir needs to be told in order to ask a stand-in.
pub(crate) const CREDENTIALS: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "test"),
    ("AWS_SECRET_ACCESS_KEY", "not-a-secret"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
];

/// A service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    Kinesis,
    DynamoDb,
}

impl Api {
    /// The name, the version and the type of what is sent.
    fn names(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Api::Kinesis => ("kinesis", "Kinesis_20131202", "application/x-amz-json-1.1"),
            Api::DynamoDb => ("dynamodb", "DynamoDB_20120810", "application/x-amz-json-1.0"),
        }
    }
}

/// One call: the status and the answer.
pub(crate) fn call(url: &str, api: Api, operation: &str, body: &Value) -> (u16, Value) {
    let (service, version, kind) = api.names();
    let signed = format!(
        "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host, Signature=00"
    );
    let headers = [
        ("x-amz-target", format!("{version}.{operation}")),
        ("content-type", kind.to_owned()),
        ("x-amz-date", "20260101T000000Z".to_owned()),
        ("authorization", signed),
    ];
    let (status, answer) = post(url, &headers, body.to_string().as_bytes());
    (status, serde_json::from_slice(&answer).unwrap_or_else(|_| json!(String::from_utf8_lossy(&answer))))
}

fn post(url: &str, headers: &[(impl AsRef<str>, String)], body: &[u8]) -> (u16, Vec<u8>) {
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build();
    let mut request = ureq::Agent::from(agent).post(url);
    for (name, value) in headers {
        request = request.header(name.as_ref(), value);
    }
    let mut response = request.send(body).unwrap();
    let mut answer = Vec::new();
    response.body_mut().as_reader().read_to_end(&mut answer).unwrap();
    (response.status().as_u16(), answer)
}

/// What happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Injected {
    /// It is not done, and this error of the service is its answer.
    Error(u16, &'static str),
    /// It is not done, and this error of the service is its answer, with this message.
    Told(u16, &'static str, &'static str),
    /// It is done, and its answer never sent.
    Lost,
    /// It is done, and its answer sent so many milliseconds later.
    Slow(u64),
    /// It is done, and its answer says that the newest record came so many milliseconds after those that it gives.
    Behind(u64),
}

/// How often what happens to which operation.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rule {
    pub(crate) operation: &'static str,
    /// So many calls pass before.
    pub(crate) after: usize,
    pub(crate) times: usize,
    pub(crate) what: Injected,
}

/// A proxy before a stand-in.
#[derive(Debug)]
pub(crate) struct Faults {
    pub(crate) url: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    /// Every call, with whether something happened to it.
    calls: Vec<(String, bool)>,
}

impl Faults {
    /// Starts it before the stand-in at this URL, with these rules. It ends with the test's process.
    pub(crate) fn before(upstream: &str, rules: &[Rule]) -> Faults {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State { rules: rules.to_vec(), calls: Vec::new() }));
        let (shared, upstream) = (state.clone(), upstream.to_owned());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (shared, upstream) = (shared.clone(), upstream.clone());
                std::thread::spawn(move || while serve(&client, &shared, &upstream).is_some() {});
            }
        });
        Faults { url, state }
    }

    /// Nothing happens to calls any more.
    pub(crate) fn end(&self) {
        self.state.lock().unwrap().rules.clear();
    }

    /// How many calls of an operation there were, and to how many of them something happened.
    pub(crate) fn calls(&self, operation: &str) -> (usize, usize) {
        let state = self.state.lock().unwrap();
        let calls = || state.calls.iter().filter(|(name, _)| name == operation);
        (calls().count(), calls().filter(|(_, injected)| *injected).count())
    }
}

impl State {
    fn judge(&mut self, operation: &str) -> Option<Injected> {
        let mut injected = None;
        let of_operation = |rule: &&mut Rule| rule.operation == operation && rule.times > 0;
        if let Some(rule) = self.rules.iter_mut().find(of_operation) {
            if rule.after > 0 {
                rule.after -= 1;
            } else {
                rule.times -= 1;
                injected = Some(rule.what);
            }
        }
        self.calls.push((operation.to_owned(), injected.is_some()));
        injected
    }
}

#[allow(clippy::disallowed_methods, reason = "an answer that is slow is so by the clock of the machine")]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Passes one call on; `None` where the connection is over.
fn serve(client: &TcpStream, state: &Mutex<State>, upstream: &str) -> Option<()> {
    let mut reader = BufReader::new(client);
    let (mut line, mut headers) = (String::new(), Vec::new());
    reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = header.trim_end().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let header =
        |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.clone());
    let mut body = vec![0; header("content-length")?.parse().ok()?];
    reader.read_exact(&mut body).ok()?;
    let operation = header("x-amz-target")?.rsplit('.').next()?.to_owned();
    let kind = header("content-type").unwrap_or_default();
    headers.retain(|(name, _)| {
        !["host", "content-length", "accept-encoding", "connection"].contains(&name.as_str())
    });
    let injected = state.lock().unwrap().judge(&operation);
    let refused = |status, code: &'static str, message| {
        let answer = json!({"__type": format!("com.amazonaws#{code}"), "message": message});
        (status, answer.to_string().into_bytes(), code)
    };
    let (status, answer, code) = match injected {
        Some(Injected::Error(status, code)) => refused(status, code, "injected"),
        Some(Injected::Told(status, code, message)) => refused(status, code, message),
        other => {
            let (status, answer) = post(upstream, &headers, &body);
            match other {
                Some(Injected::Lost) => return None,
                Some(Injected::Slow(millis)) => {
                    pause(Duration::from_millis(millis));
                    (status, answer, "")
                }
                Some(Injected::Behind(millis)) => (status, behind(&answer, millis), ""),
                _ => (status, answer, ""),
            }
        }
    };
    let error = if code.is_empty() { String::new() } else { format!("x-amzn-errortype: {code}\r\n") };
    let length = answer.len();
    let head =
        format!("HTTP/1.1 {status} X\r\ncontent-type: {kind}\r\n{error}content-length: {length}\r\n\r\n");
    let mut client = client;
    client.write_all(&[head.as_bytes(), &answer].concat()).ok()
}

/// The same answer of a service that has records of so much later.
fn behind(answer: &[u8], millis: u64) -> Vec<u8> {
    let mut answer: Value = serde_json::from_slice(answer).unwrap();
    answer["MillisBehindLatest"] = json!(millis);
    answer.to_string().into_bytes()
}
