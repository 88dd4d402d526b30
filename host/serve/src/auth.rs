//! Who may ask: the bearer token, and where a server without one may listen.
//!
//! Must not know routes, apart from which two are open to everybody.

use crate::foreign;
use crate::problem::{Kind, Problem};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, HeaderValue};
use std::net::SocketAddr;

/// What load balancers and supervisors ask without a token.
const OPEN_PATHS: [&str; 2] = ["/healthz", "/readyz"];

/// Whether a server may listen here: beyond loopback only with a token.
///
/// # Errors
/// What is wrong and what to do, for the user.
pub fn check_listen(address: SocketAddr, token: Option<&str>) -> Result<(), String> {
    if address.ip().is_loopback() || token.is_some_and(|token| !token.is_empty()) {
        return Ok(());
    }
    Err(format!(
        "`listen`: {address} can be reached from other machines and `token` is not set; set `token` in weir.yaml, \
         or listen on 127.0.0.1"
    ))
}

/// Refuses a request that does not carry the token, or where there is none one that somebody else's page makes.
pub(crate) fn check(token: Option<&str>, path: &str, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(token) = token.filter(|token| !token.is_empty()) else { return foreign::refuse(headers) };
    if OPEN_PATHS.contains(&path) {
        return Ok(());
    }
    match headers.get(AUTHORIZATION).and_then(bearer) {
        Some(given) if same(given, token.as_bytes()) => Ok(()),
        Some(_) => Err(Problem::new(Kind::Unauthorized, "the bearer token is wrong")),
        None => {
            let detail = "send the header `Authorization: Bearer TOKEN`, with the `token` of weir.yaml";
            Err(Problem::new(Kind::Unauthorized, detail))
        }
    }
}

fn bearer(header: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = header.as_bytes().split_at_checked("bearer ".len())?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

/// Compares in a time that depends on the lengths alone.
fn same(given: &[u8], token: &[u8]) -> bool {
    let difference =
        given.iter().zip(token).fold(0, |bits, (left, right)| std::hint::black_box(bits | (left ^ right)));
    given.len() == token.len() && difference == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn only_the_token_opens() {
        let token = Some("s3cret");
        for (value, open) in [
            ("Bearer s3cret", true),
            ("bearer s3cret", true),
            ("Bearer s3cre", false),
            ("Bearer s3crets", false),
            ("Bearer ", false),
            ("Basic s3cret", false),
            ("s3cret", false),
        ] {
            assert_eq!(check(token, "/v1/jobs", &headers(value)).is_ok(), open, "{value}");
        }
        assert!(check(token, "/v1/jobs", &HeaderMap::new()).is_err());
        assert!(check(token, "/readyz", &HeaderMap::new()).is_ok());
        assert!(check(token, "/metrics", &HeaderMap::new()).is_err());
        assert!(check(None, "/metrics", &HeaderMap::new()).is_ok());
    }

    #[test]
    fn beyond_loopback_needs_a_token() {
        let listen = |address: &str, token| check_listen(address.parse().unwrap(), token);
        assert!(listen("127.0.0.1:8080", None).is_ok());
        assert!(listen("[::1]:8080", None).is_ok());
        assert!(listen("0.0.0.0:8080", None).is_err());
        assert!(listen("0.0.0.0:8080", Some("")).is_err());
        assert!(listen("10.0.0.7:8080", Some("t")).is_ok());
    }
}
