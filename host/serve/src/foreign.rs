//! Requests that a page from elsewhere makes in the browser of whoever runs a server without a token: such a page must not
//! post events or upload plugins, nor read values under a name of its own that it lets point to this machine.
//!
//! Knows what browsers say of a request. Must not know any route.

use crate::problem::{Kind, Problem};
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue};
use std::net::IpAddr;
use weir_event::suggestion::shown;

const FETCH_SITE: &str = "sec-fetch-site";

/// Refuses what names another host than this machine, or says that it comes from elsewhere. A server without a token
/// listens on loopback only, so that its own name is known.
pub(crate) fn refuse(headers: &HeaderMap) -> Result<(), Problem> {
    let is_foreign = |value: &&HeaderValue, is_here: fn(&str) -> bool| !value.to_str().is_ok_and(is_here);
    let foreign = |header, is_here| headers.get_all(header).iter().find(|value| is_foreign(value, is_here));
    if let Some(host) = foreign(HOST.as_str(), is_loopback) {
        return Err(refusal("Host", host));
    }
    if let Some(origin) = foreign(ORIGIN.as_str(), is_local_origin) {
        return Err(refusal("Origin", origin));
    }
    match foreign(FETCH_SITE, |site| !site.eq_ignore_ascii_case("cross-site")) {
        Some(site) => Err(refusal("Sec-Fetch-Site", site)),
        None => Ok(()),
    }
}

fn refusal(header: &str, value: &HeaderValue) -> Problem {
    let value = String::from_utf8_lossy(value.as_bytes());
    let detail = format!(
        "the header `{header}: {}` is not of this machine, and without a token others are not served; set `token` in \
         weir.yaml and send it, or ask by `localhost`",
        shown(&value)
    );
    Problem::new(Kind::Foreign, detail)
}

fn is_local_origin(origin: &str) -> bool {
    origin.split_once("://").is_some_and(|(_, authority)| is_loopback(authority))
}

/// Whether `name` or `name:port` is this machine.
fn is_loopback(authority: &str) -> bool {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (authority, ""),
    };
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    port.bytes().all(|byte| byte.is_ascii_digit())
        && (name == "localhost"
            || name.ends_with(".localhost")
            || address.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderName;

    fn is_refused(header: &'static str, value: &str) -> bool {
        let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
        refuse(&HeaderMap::from_iter([(HeaderName::from_static(header), value)])).is_err()
    }

    #[test]
    fn this_machine_is_known_by_its_names() {
        for host in [
            "localhost",
            "localhost:8080",
            "LocalHost:1",
            "localhost.",
            "weir.localhost:80",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]:8080",
            "[::1]",
            "[::ffff:127.0.0.1]:80",
        ] {
            assert!(!is_refused("host", host), "{host}");
            assert!(!is_refused("origin", &format!("http://{host}")), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "evillocalhost",
            "10.0.0.1",
            "0.0.0.0:8080",
            "127.0.0.1.nip.io",
            "[2001:db8::1]",
            "localhost:80@evil.example",
            "\u{fc}",
            "",
        ] {
            assert!(is_refused("host", host), "{host}");
            assert!(is_refused("origin", &format!("https://{host}")), "{host}");
        }
    }

    #[test]
    fn what_a_browser_says_comes_from_elsewhere_is_refused() {
        assert!(is_refused("origin", "null") && is_refused("origin", "file://"));
        assert!(is_refused("sec-fetch-site", "cross-site"));
        for site in ["same-origin", "same-site", "none"] {
            assert!(!is_refused("sec-fetch-site", site), "{site}");
        }
        assert!(refuse(&HeaderMap::new()).is_ok(), "curl and load balancers say nothing");
        let long = refuse(&HeaderMap::from_iter([(HOST, HeaderValue::from_str(&"x".repeat(1000)).unwrap())]));
        assert!(long.unwrap_err().detail().len() < 300);
    }
}
