//! A running server, asked over HTTP. Knows addresses, the bearer token and problem documents; must not know
//! what any answer means. Numbers of an answer keep all their digits, as decimals have more than doubles hold.

use crate::failure::Failure;
use clap::Args;
use serde::Deserialize;
use sonic_rs::{Deserializer, JsonContainerTrait, JsonValueTrait, Value};
use std::time::Duration;

/// Which server, and what it lets us in with.
#[derive(Debug, Args)]
pub(crate) struct ServerArguments {
    /// The server
    #[arg(long, value_name = "URL", env = "WEIR_SERVER", default_value = "http://127.0.0.1:8080")]
    pub(crate) server: String,
    /// Its token, where it has one
    #[arg(long, env = "WEIR_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
}

/// Admitting a component compiles it, for which a server takes five minutes at the most.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(6);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest answer that is read; listings and values are far below.
const ANSWER_LIMIT_BYTES: u64 = 256 << 20;

/// A client of one server.
#[derive(Debug)]
pub(crate) struct Client {
    agent: ureq::Agent,
    base: String,
    token: Option<String>,
}

impl Client {
    /// A client of the server that the arguments name.
    pub(crate) fn new(arguments: &ServerArguments) -> Result<Client, Failure> {
        let base = arguments.server.trim_end_matches('/').to_owned();
        if !base.starts_with("http://") {
            let message =
                format!("--server {base}: is not the address of a server; write http://ADDRESS:PORT");
            return Err(Failure::user(message));
        }
        let agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            // A proxy for the web has no business with a server that is mostly on this very machine.
            .proxy(None)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_global(Some(ANSWER_TIMEOUT))
            .build()
            .new_agent();
        let token = arguments.token.clone().filter(|token| !token.is_empty());
        Ok(Client { agent, base, token })
    }

    /// The answer to a GET; `path` begins with `/`.
    pub(crate) fn get(&self, path: &str) -> Result<Value, Failure> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let request = match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        self.answer(request.call())
    }

    /// The answer to a POST.
    pub(crate) fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Result<Value, Failure> {
        let request = self.agent.post(format!("{}{path}", self.base)).header("content-type", content_type);
        let request = match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        self.answer(request.send(body))
    }

    /// The answer to a DELETE.
    pub(crate) fn delete(&self, path: &str) -> Result<Value, Failure> {
        let request = self.agent.delete(format!("{}{path}", self.base));
        let request = match &self.token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        self.answer(request.call())
    }

    fn answer(
        &self,
        answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
    ) -> Result<Value, Failure> {
        let unreachable = |error: ureq::Error| {
            Failure::external(format!(
                "no answer from {}: {error}; is `weir serve` running there? (--server says where)",
                self.base
            ))
        };
        let mut answer = answer.map_err(unreachable)?;
        let status = answer.status().as_u16();
        let body = answer.body_mut().with_config().limit(ANSWER_LIMIT_BYTES).read_to_string();
        let body = body.map_err(unreachable)?;
        let value = parsed(&body);
        if (200..300).contains(&status) {
            if body.is_empty() {
                return Ok(Value::new());
            }
            return value
                .map_err(|_| Failure::external(format!("{} does not answer as weir does", self.base)));
        }
        let text = value.map_or_else(|_| format!("answered {status}"), |problem| problem_text(&problem));
        Err(match status {
            408 | 429 | 502..=504 => Failure::external(format!("the server says: {text}")),
            500 | 505..=599 => Failure::weir(format!("the server says: {text}")),
            401 | 403 => Failure::user(format!("the server says: {text}; give --token, or set WEIR_TOKEN")),
            _ => Failure::user(text),
        })
    }
}

/// A JSON text whose numbers stay as they are written, and members in their order.
pub(crate) fn parsed(text: &str) -> sonic_rs::Result<Value> {
    Value::deserialize(&mut Deserializer::from_str(text).use_rawnumber())
}

/// A problem document in words: its detail, or else its title, and every error that it lists.
fn problem_text(problem: &Value) -> String {
    let text = |key: &str| problem.get(key).and_then(JsonValueTrait::as_str);
    let mut words = text("detail").or_else(|| text("title")).unwrap_or("refused").to_owned();
    for error in problem.get("errors").and_then(JsonContainerTrait::as_array).into_iter().flatten() {
        let detail = error.as_str().or_else(|| error.get("detail")?.as_str());
        let error = detail.map_or_else(|| error.to_string(), str::to_owned);
        if !words.contains(&error) {
            words.push_str("\n  ");
            words.push_str(&error);
        }
    }
    words
}

/// A name or value as a part of a path or query.
pub(crate) fn encode(text: &str) -> String {
    use std::fmt::Write;
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte as char);
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonic_rs::json;

    #[test]
    fn values_survive_a_query() {
        assert_eq!(encode("a b&c=ü/1"), "a%20b%26c%3D%C3%BC%2F1");
    }

    #[test]
    fn a_problem_says_all_that_is_wrong() {
        let problem =
            json!({"title": "Invalid", "detail": "two errors", "errors": [{"detail": "a"}, {"row": 1}]});
        assert_eq!(problem_text(&problem), "two errors\n  a\n  {\"row\":1}");
        assert_eq!(problem_text(&json!({"title": "Not found"})), "Not found");
    }

    #[test]
    fn numbers_keep_their_digits() {
        let text = r#"{"sum":12345678901234567890123456789.00,"list":[3.10,9007199254740993]}"#;
        let answer = parsed(text).unwrap();
        assert_eq!(answer["sum"].to_string(), "12345678901234567890123456789.00");
        assert_eq!(answer.to_string(), text);
        assert_eq!(answer["list"][1].as_u64(), Some(9_007_199_254_740_993));
    }

    #[test]
    fn an_address_without_scheme_is_refused() {
        let arguments = |server: &str| ServerArguments { server: server.to_owned(), token: None };
        assert!(Client::new(&arguments("http://127.0.0.1:1/")).is_ok());
        assert_eq!(Client::new(&arguments("127.0.0.1:8080")).unwrap_err().exit_code(), 1);
    }

    #[test]
    fn a_server_that_is_not_there_is_an_outside_fault() {
        // Port 1 is reserved, and nothing listens there.
        let arguments = ServerArguments { server: "http://127.0.0.1:1".to_owned(), token: None };
        let failure = Client::new(&arguments).unwrap().get("/healthz").unwrap_err();
        assert_eq!(failure.exit_code(), 2);
    }
}
