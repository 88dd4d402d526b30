//! Requests to a registry: bounded answers, a login where the registry asks for one, and what an answer means in words.
//!
//! Knows HTTP and whose fault a status is. Must not know any route.

use super::Access;
use super::login::{Grant, Login};
use crate::address::Address;
use crate::bounds;
use crate::digest::Digest;
use crate::error::{PackError, Result};
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, LINK, WWW_AUTHENTICATE};
use reqwest::{Client, Method, Response, Url};
use serde::Deserialize;
use std::error::Error;
use std::time::Duration;

/// A registry that is up answers a connection within milliseconds, over continents too.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A registry that sends nothing for so long is not waited for.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);
/// Answers that say little.
const SHORT_BYTES: u64 = 1 << 20;
/// Docker's own registry is called otherwise than it is reached.
const DOCKER: (&str, &str) = ("docker.io", "registry-1.docker.io");

/// A request.
pub(super) struct Sent<'a> {
    method: Method,
    /// A path, or a whole address.
    to: &'a str,
    accept: Option<&'a str>,
    body: Option<(&'a str, &'a [u8])>,
    what: &'a str,
    limit: u64,
}

impl<'a> Sent<'a> {
    pub(super) fn new(method: Method, to: &'a str) -> Sent<'a> {
        Sent { method, to, accept: None, body: None, what: "an answer", limit: SHORT_BYTES }
    }

    pub(super) fn get(to: &'a str) -> Sent<'a> {
        Sent::new(Method::GET, to)
    }

    pub(super) fn put(to: &'a str, media_type: &'a str, body: &'a [u8]) -> Sent<'a> {
        Sent { body: Some((media_type, body)), ..Sent::new(Method::PUT, to) }
    }

    pub(super) fn accept(self, accept: &'a str) -> Self {
        Sent { accept: Some(accept), ..self }
    }

    /// The answer is so large at most, and called this.
    pub(super) fn limit(self, what: &'a str, bytes: u64) -> Self {
        Sent { what, limit: bytes, ..self }
    }
}

/// An answer, whatever it says.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// Where the next page of a listing is.
    pub(super) fn next(&self) -> Option<String> {
        let link = self.headers.get(LINK)?.to_str().ok()?;
        let (to, rest) = link.strip_prefix('<')?.split_once('>')?;
        rest.contains("next").then(|| to.to_owned())
    }
}

/// A registry, and what it lets us do.
pub(super) struct Connection {
    client: Client,
    base: Url,
    host: String,
    repository: String,
    action: &'static str,
    login: Login,
    grant: Grant,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({})", self.base)
    }
}

impl Connection {
    pub(super) fn open(address: &Address, access: &Access, action: &'static str) -> Result<Connection> {
        let is_plain = access.plain_http || address.is_loopback();
        let scheme = if is_plain { "http" } else { "https" };
        let (named, reached) = DOCKER;
        let reached = if address.host == named { reached } else { &address.host };
        let base = Url::parse(&format!("{scheme}://{reached}/")).map_err(|error| {
            PackError::user(format!("`{}` is not the name of a registry: {error}", address.host))
        })?;
        let mut client = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(SILENCE_TIMEOUT)
            .user_agent(concat!("weir/", env!("CARGO_PKG_VERSION")));
        if address.is_loopback() {
            // A proxy for the web has no business with what is on this very machine.
            client = client.no_proxy();
        }
        let client = client
            .build()
            .map_err(|error| PackError::external(format!("HTTP cannot be set up: {}", innermost(&error))))?;
        Ok(Connection {
            client,
            base,
            host: address.host.clone(),
            repository: address.repository.clone(),
            action,
            login: Login::of(address, access)?,
            grant: Grant::None,
        })
    }

    /// Sends a request; where the registry asks who that is, once more with an answer to that.
    pub(super) async fn send(&mut self, sent: &Sent<'_>) -> Result<Answer> {
        let response = self.send_once(sent).await?;
        if response.status().as_u16() != 401 {
            return self.answer(response, sent).await;
        }
        let challenges = response.headers().get_all(WWW_AUTHENTICATE).iter();
        let challenges: Vec<String> =
            challenges.filter_map(|one| one.to_str().ok()).map(str::to_owned).collect();
        let scope = format!("repository:{}:{}", self.repository, self.action);
        match self.login.grant(&self.client, &self.base, &challenges, &scope).await? {
            Some(grant) if grant != self.grant => {
                self.grant = grant;
                let response = self.send_once(sent).await?;
                self.answer(response, sent).await
            }
            _ => self.answer(response, sent).await,
        }
    }

    async fn send_once(&self, sent: &Sent<'_>) -> Result<Response> {
        let to = self.at(sent.to)?;
        let mut request = self.client.request(sent.method.clone(), to.clone());
        if let Some(accept) = sent.accept {
            request = request.header(ACCEPT, accept);
        }
        if let Some((media_type, bytes)) = sent.body {
            request = request.header(CONTENT_TYPE, media_type).body(bytes.to_vec());
        }
        // What lets us into this registry is nobody else's to see.
        if to.origin() == self.base.origin()
            && let Some(value) = self.grant.header(&self.login)
        {
            request = request.header(AUTHORIZATION, value);
        }
        request.send().await.map_err(|error| self.unreachable(&error))
    }

    fn at(&self, to: &str) -> Result<Url> {
        let joined = self.base.join(to);
        let mut url = joined.map_err(|error| {
            PackError::external(format!(
                "{} leads to `{}`, which is no address: {error}",
                self.host,
                to.escape_debug()
            ))
        })?;
        // Behind a proxy that has the certificate, a registry may believe that it is spoken to without TLS.
        if self.base.scheme() == "https" && url.scheme() == "http" && url.host() == self.base.host() {
            let wanted = self.base.clone();
            url.set_scheme("https").and_then(|()| url.set_port(wanted.port())).map_err(|()| {
                PackError::external(format!("{} leads to {url}, which is not an address of it", self.host))
            })?;
        }
        Ok(url)
    }

    /// Where a blob of this digest is put, of where its upload began.
    pub(super) fn upload(&self, location: &str, digest: &Digest) -> Result<String> {
        if location.is_empty() {
            return Err(PackError::external(format!(
                "{} does not say where to upload; it does not answer as a registry does",
                self.host
            )));
        }
        let mut url = self.at(location)?;
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        Ok(url.into())
    }

    async fn answer(&self, mut response: Response, sent: &Sent<'_>) -> Result<Answer> {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        // What is no success says little, whatever was asked for.
        let limit = if status == 200 { sent.limit } else { SHORT_BYTES };
        let what = format!("{} from {}", sent.what, self.host);
        let mut body = Vec::new();
        if sent.method != Method::HEAD {
            bounds::check(&what, response.content_length().unwrap_or(0), limit)?;
            while let Some(bytes) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
                bounds::check(&what, (body.len() + bytes.len()) as u64, limit)?;
                body.extend_from_slice(&bytes);
            }
        }
        Ok(Answer { status, headers, body })
    }

    fn unreachable(&self, error: &reqwest::Error) -> PackError {
        let cause = innermost(error);
        let plain = self.base.scheme() == "https"
            && (cause.contains("InvalidContentType") || cause.contains("corrupt message"));
        let advice = if plain {
            "it does not speak TLS; --plain-http speaks to it without"
        } else if error.is_timeout() {
            "it does not answer; try again later, or write another address"
        } else {
            "is its name right, and can it be reached from here?"
        };
        PackError::external(format!("no answer from the registry {}: {cause}; {advice}", self.host))
    }

    /// What an answer that is no success means.
    pub(super) fn refused(&self, answer: &Answer) -> PackError {
        let said = said(&answer.body);
        let (host, repository) = (&self.host, &self.repository);
        match answer.status {
            401 | 403 => {
                let does = if self.action == "pull" { "pull from" } else { "push to" };
                PackError::user(format!(
                    "{host} does not let {} {does} {repository} ({}{said}); give --username and --password-stdin, set \
                     WEIR_REGISTRY_USERNAME and WEIR_REGISTRY_PASSWORD, or type `docker login {host}`",
                    self.login.who(),
                    answer.status
                ))
            }
            404 => PackError::user(format!(
                "{host} has no {repository}, or takes nothing there (404{said}); is it written as it is there, and was it made?"
            )),
            413 => PackError::user(format!(
                "{host} takes nothing so large (413{said}); ask who runs it for more, or make the pack smaller"
            )),
            429 => PackError::external(format!("{host} was asked too often (429{said}); try again later")),
            status if status >= 500 => {
                PackError::external(format!("{host} failed ({status}{said}); try again later"))
            }
            status => PackError::external(format!(
                "{host} refused it ({status}{said}); it may be no registry that takes artifacts of OCI 1.0 or later"
            )),
        }
    }
}

/// What an error's body says.
fn said(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Errors {
        errors: Vec<OneError>,
    }
    #[derive(Deserialize)]
    struct OneError {
        #[serde(default)]
        code: String,
        #[serde(default)]
        message: String,
    }
    let errors = serde_json::from_slice::<Errors>(body).map(|found| found.errors).unwrap_or_default();
    let one = |error: OneError| if error.message.is_empty() { error.code } else { error.message };
    let words = errors.into_iter().map(one).collect::<Vec<_>>().join(", ");
    let short: String = words.chars().take(200).collect();
    if short.is_empty() { short } else { format!(": {}", short.escape_debug()) }
}

/// The first cause, which says what happened.
pub(super) fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    cause.to_string()
}
