//! The settings of whatever is reached over HTTP.
//!
//! Each store puts these rows into its own table of keys. A wrong one is never repeated in full: it may hold a password.

use crate::context::SinkContext;
use crate::settings::Settings;
use crate::upsert::CA;
use percent_encoding::percent_decode_str;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use weir_connect::KeyDoc;
use weir_connect::key::{NONE, REQUIRED};
use weir_event::{Clock, Span};

/// Where it is.
pub(crate) const URL: KeyDoc = KeyDoc::new("url", "URL", REQUIRED, "its address, http:// or https://");
/// Who writes.
pub(crate) const USER: KeyDoc = KeyDoc::new("user", "text", NONE, "who writes there, told with each request");
/// The secret of whoever writes.
pub(crate) const PASSWORD: KeyDoc = KeyDoc::new("password", "text", NONE, "that user's password");
/// Anything else that each request says.
pub(crate) const HEADERS: KeyDoc =
    KeyDoc::new("headers", "{name: text}", "{}", "headers of each request, such as Authorization");
/// How long an answer may take.
pub(crate) const TIMEOUT: KeyDoc = KeyDoc::new(
    "timeout",
    "duration",
    "30s",
    "an answer that takes longer counts as lost: the rows are sent again",
);

/// Headers that say what a body is, which is not for a definition to say.
const OURS: [&str; 4] = ["content-type", "content-length", "host", "idempotency-key"];
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// How something is reached over HTTP.
#[derive(Clone)]
pub(crate) struct WebSettings {
    /// Without credentials.
    pub(super) url: Option<Url>,
    pub(super) user: Option<(String, Option<String>)>,
    pub(super) headers: HeaderMap,
    /// Texts that no message may show.
    pub(super) secrets: Vec<String>,
    pub(super) timeout: Duration,
    pub(super) ca: Option<PathBuf>,
    pub(super) clock: Arc<dyn Clock>,
}

impl WebSettings {
    /// Reads [`URL`], [`USER`], [`PASSWORD`], [`HEADERS`], [`TIMEOUT`] and [`CA`].
    pub(crate) fn read(settings: &mut Settings<'_>, context: &SinkContext) -> WebSettings {
        let given: Option<String> = settings.required(URL.name, "http://HOST:PORT");
        let mut url = given.and_then(|text| address(&text, settings));
        let (user, password): (Option<String>, Option<String>) =
            (settings.optional(USER.name), settings.optional(PASSWORD.name));
        let mut named = user.map(|user| (user, password.clone()));
        if named.is_none() && password.is_some() {
            settings.error(PASSWORD.name, "whose it is, is missing; give `user` as well");
        }
        if let Some(url) = &mut url
            && (!url.username().is_empty() || url.password().is_some())
        {
            let of_url = (decoded(url.username()), url.password().map(decoded));
            named.get_or_insert(of_url);
            // An address that has a host takes them off without fail.
            let _ = (url.set_username(""), url.set_password(None));
        }
        let (headers, mut secrets) = headers(settings);
        let of_path = url.iter().flat_map(|url| url.path().split('/')).filter(|part| is_secret(part));
        secrets.extend(of_path.map(str::to_owned));
        secrets.extend(named.iter().filter_map(|(_, password)| password.clone()));
        secrets.retain(|secret| !secret.is_empty());
        let timeout: Option<Span> = settings.parsed(TIMEOUT.name);
        let timeout =
            timeout.map_or(DEFAULT_TIMEOUT, |span| Duration::from_millis(span.millis().max(0) as u64));
        if timeout.is_zero() {
            settings.error(TIMEOUT.name, "no answer comes at once; give 1s or more");
        }
        let ca: Option<PathBuf> = settings.optional(CA.name);
        let ca = ca.map(|path| context.project.join(path));
        WebSettings { url, user: named, headers, secrets, timeout, ca, clock: context.clock.clone() }
    }

    /// The address, without credentials and what is asked there; what looks like a secret in its path, as of a webhook, by
    /// its beginning and a sum, which tells addresses apart.
    pub(crate) fn shown(&self) -> String {
        let shown = self.url.clone().map(|mut url| {
            url.set_query(None);
            let path = url.path().split('/').map(|part| match is_secret(part) {
                true => format!("{}..{:08x}", &part[..4], crc32fast::hash(part.as_bytes())),
                false => part.to_owned(),
            });
            let path = path.collect::<Vec<_>>().join("/");
            url.set_path(&path);
            url.to_string()
        });
        shown.unwrap_or_default().trim_end_matches('/').to_owned()
    }
}

/// Whether a part of a path looks as if a machine had made it up: names are shorter, or hold no digits.
fn is_secret(part: &str) -> bool {
    let has = |kind: fn(&u8) -> bool| part.as_bytes().iter().any(kind);
    part.len() >= 16 && part.is_ascii() && has(u8::is_ascii_digit) && has(u8::is_ascii_alphabetic)
}

fn address(text: &str, settings: &mut Settings<'_>) -> Option<Url> {
    let parsed =
        Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if parsed.is_none() {
        settings.error(URL.name, "not an address of HTTP; write http://HOST:PORT or https://HOST");
    }
    parsed
}

/// What is left of %XX in the parts of an address.
fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// The headers, and the words of them that are secret.
fn headers(settings: &mut Settings<'_>) -> (HeaderMap, Vec<String>) {
    let given: BTreeMap<String, String> = settings.optional(HEADERS.name).unwrap_or_default();
    let (mut headers, mut secrets) = (HeaderMap::new(), Vec::new());
    for (name, value) in given {
        let Ok(parsed) = name.parse::<HeaderName>() else {
            settings.error(HEADERS.name, format!("`{name}` is not the name of a header"));
            continue;
        };
        if OURS.contains(&parsed.as_str()) {
            settings.error(HEADERS.name, format!("`{name}` is what weir says of its own; leave it out"));
            continue;
        }
        let Ok(mut sensitive) = HeaderValue::from_str(&value) else {
            settings
                .error(HEADERS.name, format!("the value of `{name}` holds a letter that no header can have"));
            continue;
        };
        sensitive.set_sensitive(true);
        headers.insert(parsed, sensitive);
        // `Bearer SECRET`: the first word is not the secret one.
        let secret = value.split_once(' ').map_or(value.as_str(), |(_, secret)| secret);
        secrets.push(secret.to_owned());
    }
    (headers, secrets)
}
