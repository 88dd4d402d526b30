//! A place that is reached over HTTP: requests go there and answers come back, whole and bounded.
//!
//! The library waits for connections and answers by the machine's clock; a pause that the other side asks for is waited for
//! by the `Clock`. Redirections are not followed: what is posted would be lost on the way. Must not know any store.

use super::failure::WebFailure;
use super::settings::WebSettings;
use crate::blocking::blocking;
use bytes::{Bytes, BytesMut};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Method, Response, StatusCode, Url};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;
use weir_connect::ConnectError;
use weir_event::Clock;

/// A server that is up answers a connection within milliseconds, over continents too.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// No answer to a batch of rows is longer.
const LONGEST_ANSWER_BYTES: usize = 64 << 20;
/// What is waited at most when asked to wait: the sink looks for itself after that.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Something that is reached over HTTP.
#[derive(Clone)]
pub(crate) struct WebEndpoint {
    client: Client,
    url: Url,
    shown: Arc<str>,
    secrets: Arc<[String]>,
    timeout: Duration,
    user: Option<(String, Option<String>)>,
    headers: HeaderMap,
    clock: Arc<dyn Clock>,
}

/// One request.
#[derive(Debug, Clone)]
pub(crate) struct WebRequest<'r> {
    /// What is done.
    pub(crate) method: Method,
    /// Whereto, each name below the address.
    pub(crate) path: &'r [&'r str],
    /// What is said behind `?`.
    pub(crate) query: &'r [(&'r str, &'r str)],
    /// Headers of this request alone.
    pub(crate) headers: &'r [(&'static str, &'r str)],
    /// What the body is.
    pub(crate) content: &'static str,
    /// The body.
    pub(crate) body: Bytes,
}

impl WebRequest<'_> {
    /// A question without a body, at the address itself.
    pub(crate) const fn of(method: Method) -> WebRequest<'static> {
        WebRequest { method, path: &[], query: &[], headers: &[], content: "", body: Bytes::new() }
    }
}

/// An answer.
#[derive(Debug)]
pub(crate) struct WebAnswer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its headers.
    pub(crate) headers: HeaderMap,
    /// Its body.
    pub(crate) body: Bytes,
}

impl WebEndpoint {
    /// Makes the client. Reads the machine's certificates, and connects to nothing.
    pub(crate) async fn open(settings: &WebSettings) -> Result<WebEndpoint, ConnectError> {
        let settings = settings.clone();
        blocking(move || WebEndpoint::made(&settings)).await
    }

    pub(super) fn made(settings: &WebSettings) -> Result<WebEndpoint, ConnectError> {
        let shown = settings.shown();
        let url = settings.url.clone().ok_or_else(|| ConnectError::user("`url` is not an address"))?;
        let mut client = ClientBuilder::new()
            .redirect(Policy::none())
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(settings.timeout)
            .tcp_nodelay(true)
            .user_agent("weir");
        if let Some(path) = &settings.ca {
            let unfit = |reason: String| {
                ConnectError::user(format!(
                    "{shown}: `ca`: `{}`: {reason}; give certificates in PEM",
                    path.display()
                ))
            };
            let pem = std::fs::read(path).map_err(|error| unfit(error.to_string()))?;
            let certificates =
                Certificate::from_pem_bundle(&pem).map_err(|error| unfit(error.to_string()))?;
            client = certificates.into_iter().fold(client, ClientBuilder::add_root_certificate);
        }
        let client = client.build().map_err(|error| {
            ConnectError::user(format!("{shown}: HTTP cannot be set up: {}", innermost(&error)))
        })?;
        Ok(WebEndpoint {
            client,
            url,
            shown: shown.into(),
            secrets: settings.secrets.clone().into(),
            timeout: settings.timeout,
            user: settings.user.clone(),
            headers: settings.headers.clone(),
            clock: settings.clock.clone(),
        })
    }

    /// What messages call it.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Sends a request and gives the answer of any status that is about it; where the other side is busy or broken, that
    /// is an error that says retry, given after the pause that it asks for.
    pub(crate) async fn send(&self, request: WebRequest<'_>) -> Result<WebAnswer, ConnectError> {
        let answer = self.receive(request).await?;
        self.unless_busy(answer).await
    }

    /// An answer, unless it says that the other side is busy or broken: then the same error after the same pause.
    pub(crate) async fn unless_busy(&self, answer: WebAnswer) -> Result<WebAnswer, ConnectError> {
        if !is_busy(answer.status) {
            return Ok(answer);
        }
        if let Some(pause) = retry_after(&answer.headers) {
            self.clock.sleep(pause.min(LONGEST_PAUSE)).await;
        }
        let message = format!("{}: {}; the rows are sent again", self.shown, self.reason(&answer));
        Err(ConnectError::unavailable(message))
    }

    /// The same for a question whose answer has to be of success.
    pub(crate) async fn ask(&self, request: WebRequest<'_>) -> Result<WebAnswer, WebFailure> {
        let answer = self.send(request).await.map_err(WebFailure::Whole)?;
        if answer.status.is_success() { Ok(answer) } else { Err(WebFailure::of(self, &answer)) }
    }

    /// Sends a request and gives the answer, whatever it is.
    pub(crate) async fn receive(&self, request: WebRequest<'_>) -> Result<WebAnswer, ConnectError> {
        let mut url = self.url.clone();
        if !request.path.is_empty()
            && let Ok(mut path) = url.path_segments_mut()
        {
            path.pop_if_empty().extend(request.path);
        }
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(request.query);
        }
        let mut builder = self.client.request(request.method, url).headers(self.headers.clone());
        if let Some((user, password)) = &self.user {
            builder = builder.basic_auth(user, password.as_deref());
        }
        for (name, value) in request.headers {
            builder = builder.header(*name, *value);
        }
        if !request.content.is_empty() {
            builder = builder.header(CONTENT_TYPE, request.content).body(request.body);
        }
        let response = builder.send().await.map_err(|error| self.broken(&error))?;
        self.whole(response).await
    }

    async fn whole(&self, mut response: Response) -> Result<WebAnswer, ConnectError> {
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.broken(&error))? {
            if body.len() + chunk.len() > LONGEST_ANSWER_BYTES {
                let message =
                    format!("{}: its answer is longer than 64 MiB; is that the right address?", self.shown);
                return Err(ConnectError::external(message));
            }
            body.extend_from_slice(&chunk);
        }
        let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
        Ok(WebAnswer { status, headers, body: body.freeze() })
    }

    /// What is wrong where there is no answer.
    fn broken(&self, error: &reqwest::Error) -> ConnectError {
        let reason = innermost(error);
        let message = if error.is_connect() && error.is_timeout() {
            format!("no connection within {} s; is it up, and the port right?", CONNECT_TIMEOUT.as_secs())
        } else if error.is_connect() {
            format!("cannot be reached: {reason}")
        } else if error.is_timeout() {
            let seconds = self.timeout.as_secs_f64();
            format!("no answer within {seconds} s; the rows are sent again")
        } else {
            format!("the connection broke: {reason}; the rows are sent again")
        };
        ConnectError::unavailable(self.masked(&format!("{}: {message}", self.shown)))
    }

    /// An answer as a reason: its status, and what it says of it.
    pub(crate) fn reason(&self, answer: &WebAnswer) -> String {
        const MOST_LETTERS: usize = 300;
        // Before anything is cut: what is left of a secret would not be known as one.
        let text = self.masked(&String::from_utf8_lossy(&answer.body));
        let said: String =
            text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(MOST_LETTERS).collect();
        let status = answer.status;
        let name = status.canonical_reason().unwrap_or_default().to_lowercase();
        let name =
            if name.is_empty() { status.as_u16().to_string() } else { format!("{} {name}", status.as_u16()) };
        self.masked(&if said.is_empty() { name } else { format!("{name}: {said}") })
    }

    /// A text without the secrets of this place.
    pub(crate) fn masked(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
    }
}

/// Whether the same may be taken later.
fn is_busy(status: StatusCode) -> bool {
    status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
        || matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY
        )
}

/// The pause that an answer asks for, in seconds; one that names a time of day is left to the sink's own pauses.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// The reason at the bottom of an error, which alone names no address.
fn innermost(error: &reqwest::Error) -> String {
    let mut innermost: Option<&dyn Error> = error.source();
    while let Some(below) = innermost.and_then(Error::source) {
        innermost = Some(below);
    }
    innermost.map_or_else(|| "it is not told why".to_owned(), ToString::to_string)
}
