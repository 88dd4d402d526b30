//! A registry of schemas over HTTP: Confluent's API, which others (Apicurio, Karapace, Redpanda) speak as well.
//!
//! Knows the API and its error codes. Must not know any schema's language. What it found by a number is kept, since a
//! number means the same schema for ever. How long an answer is waited for is the machine's time, as the other side's is.

use async_trait::async_trait;
use percent_encoding::percent_decode_str;
use reqwest::{Client, RequestBuilder, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use weir_connect::ConnectError;
use weir_format::{Reference, Registered, SchemaAnswer, SchemaKind, SchemaRegistry};

/// Long enough for a registry that starts, short enough that a job's state says soon what it waits for.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// A schema is text that people write: a longer answer is not one.
const ANSWER_LIMIT_BYTES: usize = 2 << 20;
/// The names of subjects, of which a registry may have very many.
const SUBJECTS_LIMIT_BYTES: usize = 64 << 20;
/// What was found is kept up to so many bytes, and asked for again beyond.
const KEPT_BYTES: usize = 64 << 20;

const SUBJECT_NOT_FOUND: u64 = 40401;
const VERSION_NOT_FOUND: u64 = 40402;
const SCHEMA_NOT_FOUND: u64 = 40403;

/// A registry at an address.
#[derive(Debug)]
pub struct HttpRegistry {
    /// Without user and password.
    base: Url,
    place: String,
    login: Option<Login>,
    client: OnceLock<Client>,
    known: Mutex<KnownSchemas>,
}

/// Schemas by their numbers.
#[derive(Debug, Default)]
struct KnownSchemas {
    by_id: HashMap<u32, Registered>,
    /// How long their texts are together.
    bytes: usize,
}

impl KnownSchemas {
    fn keep(&mut self, id: u32, found: Registered) {
        if self.bytes + found.text.len() > KEPT_BYTES {
            *self = KnownSchemas::default();
        }
        self.bytes += found.text.len();
        // Two may have asked at once.
        if let Some(replaced) = self.by_id.insert(id, found) {
            self.bytes -= replaced.text.len();
        }
    }
}

/// Who asks; shown to nobody.
struct Login {
    user: String,
    password: Option<String>,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Login")
    }
}

/// An answer about a schema; what is not asked for is not there.
#[derive(Debug, Deserialize)]
struct RegistryAnswer {
    id: Option<u32>,
    version: Option<u32>,
    #[serde(default)]
    schema: String,
    #[serde(rename = "schemaType")]
    kind: Option<String>,
    #[serde(default)]
    references: Vec<AnswerReference>,
}

/// Why there is no answer about a schema.
#[derive(Debug)]
enum NoAnswer {
    /// The registry says that it has no such one.
    Absent(String),
    Failed(ConnectError),
}

impl From<ConnectError> for NoAnswer {
    fn from(error: ConnectError) -> NoAnswer {
        NoAnswer::Failed(error)
    }
}

impl NoAnswer {
    /// Of what somebody has to register first.
    fn into_error(self) -> ConnectError {
        match self {
            NoAnswer::Absent(why) => {
                ConnectError::unavailable(format!("{why}; register it, or correct `registry`"))
            }
            NoAnswer::Failed(error) => error,
        }
    }
}

#[derive(Debug, Deserialize)]
struct AnswerReference {
    name: String,
    subject: String,
    version: u32,
}

impl HttpRegistry {
    /// The registry at `http://[USER:PASSWORD@]HOST[:PORT][/PATH]`; asks it nothing yet.
    pub fn new(url: &str) -> Result<HttpRegistry, String> {
        let mut base =
            Url::parse(url).map_err(|error| format!("not an address: {error}; write http://HOST:PORT"))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err("not an address of http or https; write http://HOST:PORT".to_owned());
        }
        let decoded = |text: &str| percent_decoded(text);
        let has_login = !base.username().is_empty() || base.password().is_some();
        let login = has_login
            .then(|| Login { user: decoded(base.username()), password: base.password().map(decoded) });
        let cleared = base.set_username("").and_then(|()| base.set_password(None));
        cleared
            .map_err(|()| "user and password cannot be read; write http://USER:PASSWORD@HOST".to_owned())?;
        base.set_query(None);
        let place = base.as_str().trim_end_matches('/').to_owned();
        Ok(HttpRegistry { base, place, login, client: OnceLock::new(), known: Mutex::default() })
    }

    fn address(&self, path: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    fn client(&self) -> Result<&Client, ConnectError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let made = Client::builder().timeout(ANSWER_WITHIN).build();
        let made = made.map_err(|error| ConnectError::internal(format!("an HTTP client: {error}")))?;
        Ok(self.client.get_or_init(|| made))
    }

    async fn get(&self, path: &[&str], what: &str) -> Result<RegistryAnswer, NoAnswer> {
        self.ask(self.client()?.get(self.address(path)), what, ANSWER_LIMIT_BYTES).await
    }

    async fn post(&self, path: &[&str], body: &Value, what: &str) -> Result<RegistryAnswer, NoAnswer> {
        const CONTENT: &str = "application/vnd.schemaregistry.v1+json";
        let request = self.client()?.post(self.address(path)).header("content-type", CONTENT);
        self.ask(request.body(body.to_string()), what, ANSWER_LIMIT_BYTES).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
        what: &str,
        limit_bytes: usize,
    ) -> Result<T, NoAnswer> {
        let request = match &self.login {
            Some(login) => request.basic_auth(&login.user, login.password.as_ref()),
            None => request,
        };
        let unreachable = |error: reqwest::Error| {
            let place = &self.place;
            ConnectError::unavailable(format!(
                "the schema registry at {place} does not answer: {}; start it, or correct `registry`",
                root_cause(&error.without_url())
            ))
        };
        let mut response = request.send().await.map_err(unreachable)?;
        let (status, mut body) = (response.status(), Vec::new());
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if body.len() + chunk.len() > limit_bytes {
                let message = format!(
                    "the schema registry at {} answers with more than {limit_bytes} bytes when asked for {what}",
                    self.place
                );
                return Err(ConnectError::external(message).into());
            }
            body.extend_from_slice(&chunk);
        }
        if !status.is_success() {
            return Err(self.refusal(status, &body, what));
        }
        serde_json::from_slice(&body).map_err(|_| ConnectError::external(self.something_else()).into())
    }

    fn something_else(&self) -> String {
        format!(
            "what answers at {} is not a schema registry with Confluent's API; correct `registry` (the path belongs to it, such \
             as /apis/ccompat/v7)",
            self.place
        )
    }

    /// What an answer that is not a success means.
    fn refusal(&self, status: StatusCode, body: &[u8], what: &str) -> NoAnswer {
        let place = &self.place;
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let (code, said) = (body["error_code"].as_u64(), body["message"].as_str().unwrap_or_default());
        let said = if said.is_empty() { String::new() } else { format!(" ({said})") };
        NoAnswer::Failed(match (status.as_u16(), code) {
            (_, Some(SUBJECT_NOT_FOUND | VERSION_NOT_FOUND | SCHEMA_NOT_FOUND)) => {
                return NoAnswer::Absent(format!("{what} is not in the schema registry at {place}"));
            }
            // Whoever answers so knows nothing of schemas, or not now.
            (404, _) => ConnectError::unavailable(self.something_else()),
            (401 | 403, _) => ConnectError::external(format!(
                "the schema registry at {place} does not let weir see or register {what}: HTTP {status}{said}; give \
                 `registry` a user who may, as http://USER:PASSWORD@HOST"
            )),
            (409, _) => ConnectError::external(format!(
                "the schema registry at {place} refuses {what}, which does not fit the versions before it{said}; change \
                 the query's columns back, or write under another `subject`"
            )),
            (408 | 429 | 500.., _) => ConnectError::unavailable(format!(
                "the schema registry at {place} does not serve {what} now: HTTP {status}{said}"
            )),
            _ => ConnectError::external(format!(
                "the schema registry at {place} refuses {what}: HTTP {status}{said}"
            )),
        })
    }

    fn without_id(&self, what: &str) -> ConnectError {
        ConnectError::external(format!(
            "the schema registry at {} does not say the number of {what}",
            self.place
        ))
    }

    fn known(&self) -> std::sync::MutexGuard<'_, KnownSchemas> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl RegistryAnswer {
    fn registered(self, id: u32) -> Registered {
        let kind = match self.kind.as_deref() {
            None | Some("AVRO") => SchemaKind::Avro,
            Some("PROTOBUF") => SchemaKind::Protobuf,
            Some("JSON") => SchemaKind::Json,
            Some(_) => SchemaKind::Other,
        };
        let reference =
            |it: AnswerReference| Reference { name: it.name, subject: it.subject, version: it.version };
        let references = self.references.into_iter().map(reference).collect();
        Registered { id, kind, text: self.schema, references }
    }
}

/// `%40` is an at sign.
fn percent_decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// What is at the bottom of an error: the layers above it repeat each other.
fn root_cause(error: &(dyn std::error::Error + 'static)) -> String {
    let mut cause = error;
    while let Some(below) = cause.source() {
        cause = below;
    }
    cause.to_string()
}

#[async_trait]
impl SchemaRegistry for HttpRegistry {
    fn place(&self) -> &str {
        &self.place
    }

    async fn by_id(&self, id: u32) -> Result<SchemaAnswer, ConnectError> {
        if let Some(known) = self.known().by_id.get(&id) {
            return Ok(SchemaAnswer::Found(known.clone()));
        }
        let what = format!("schema {id}");
        match self.get(&["schemas", "ids", &id.to_string()], &what).await {
            Ok(answer) => {
                let found = answer.registered(id);
                self.known().keep(id, found.clone());
                Ok(SchemaAnswer::Found(found))
            }
            Err(NoAnswer::Absent(why)) => Ok(SchemaAnswer::Absent(why)),
            Err(NoAnswer::Failed(error)) => Err(error),
        }
    }

    async fn latest(&self, subject: &str) -> Result<(u32, Registered), ConnectError> {
        let what = format!("subject `{subject}`");
        let answer = self.get(&["subjects", subject, "versions", "latest"], &what).await;
        let answer = answer.map_err(NoAnswer::into_error)?;
        let (id, version) = answer.id.zip(answer.version).ok_or_else(|| self.without_id(&what))?;
        Ok((version, answer.registered(id)))
    }

    async fn version(&self, subject: &str, version: u32) -> Result<SchemaAnswer, ConnectError> {
        let what = format!("version {version} of subject `{subject}`");
        match self.get(&["subjects", subject, "versions", &version.to_string()], &what).await {
            Ok(answer) => {
                let id = answer.id.ok_or_else(|| self.without_id(&what))?;
                Ok(SchemaAnswer::Found(answer.registered(id)))
            }
            Err(NoAnswer::Absent(why)) => Ok(SchemaAnswer::Absent(why)),
            Err(NoAnswer::Failed(error)) => Err(error),
        }
    }

    async fn subjects(&self) -> Result<usize, ConnectError> {
        let request = self.client()?.get(self.address(&["subjects"]));
        let answer: Result<Vec<String>, NoAnswer> =
            self.ask(request, "its subjects", SUBJECTS_LIMIT_BYTES).await;
        answer.map(|subjects| subjects.len()).map_err(NoAnswer::into_error)
    }

    async fn register(&self, subject: &str, kind: SchemaKind, text: &str) -> Result<u32, ConnectError> {
        let what = format!("the schema under subject `{subject}`");
        let kind = match kind {
            SchemaKind::Avro => "AVRO",
            SchemaKind::Protobuf => "PROTOBUF",
            SchemaKind::Json => "JSON",
            SchemaKind::Other => {
                return Err(ConnectError::internal(format!("{what} is of no known kind")));
            }
        };
        let body = json!({"schema": text, "schemaType": kind});
        // Whoever may not register may use what is there.
        let found = self.post(&["subjects", subject], &body, &what).await;
        let answer = match found {
            Ok(answer) if answer.id.is_some() => answer,
            Err(NoAnswer::Failed(error)) if !error.retry => return Err(error),
            _ => {
                let answer = self.post(&["subjects", subject, "versions"], &body, &what).await;
                answer.map_err(NoAnswer::into_error)?
            }
        };
        answer.id.ok_or_else(|| self.without_id(&what))
    }
}

#[cfg(test)]
mod tests;
