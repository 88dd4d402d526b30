//! The client against a server that answers as it is told.

pub(crate) mod server;

use self::server::{Reply, TestServer};
use super::PartAnswer;
use super::WebAnswer;
use super::{
    HEADERS, PASSWORD, TIMEOUT, URL, USER, WebEndpoint, WebFailure, WebRequest, WebSettings, by_halves,
};
use crate::registry::tests::sink_context;
use crate::settings::{SettingError, Settings};
use crate::upsert::CA;
use crate::upsert::Outcome;
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use weir_connect::KeyDoc;
use weir_event::{Clock, ManualClock};

const KEYS: &[KeyDoc] = &[URL, USER, PASSWORD, HEADERS, TIMEOUT, CA];

fn read(value: &Value) -> Result<WebSettings, Vec<SettingError>> {
    let mut settings = Settings::new(value, KEYS);
    let read = WebSettings::read(&mut settings, &sink_context(None));
    settings.finish().map(|()| read)
}

fn endpoint(value: &Value) -> WebEndpoint {
    WebEndpoint::made(&read(value).unwrap()).unwrap()
}

async fn get(endpoint: &WebEndpoint) -> Result<WebAnswer, WebFailure> {
    endpoint.ask(WebRequest::of(Method::GET)).await
}

#[test]
fn wrong_settings_are_told_and_no_secret_with_them() {
    let wrong = json!({
        "url": "ftp://u:sesame@host", "password": "sesame", "timeout": "0s",
        "headers": {"a b": "sesame", "Content-Type": "x", "X-Ok": "a\nsesame"}
    });
    let errors = read(&wrong).err().unwrap();
    let text = errors.iter().map(|error| format!("{error}\n")).collect::<String>();
    assert!(!text.contains("sesame"), "{text}");
    for part in [
        "not an address of HTTP",
        "`a b` is not the name",
        "give `user`",
        "`Content-Type`",
        "`X-Ok`",
        "timeout",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(errors.len(), 6, "{text}");
    let of_password = endpoint(&json!({"url": "http://:sesame@host/path"}));
    assert_eq!(of_password.shown(), "http://host/path");
    let hook = endpoint(&json!({"url": "https://host/services/T0/xoxb17secret42words"}));
    assert!(hook.shown().starts_with("https://host/services/T0/xoxb.."), "{}", hook.shown());
    assert!(!hook.shown().contains("secret"));
}

#[tokio::test]
async fn credentials_are_sent_and_never_shown() {
    let server = TestServer::start(|asked| {
        let said = format!("{} with {}", asked.line, asked.header("authorization"));
        Reply::Says(if asked.line.contains("secret") { 200 } else { 401 }, "", said)
    })
    .await;
    let url = server.url.replace("//", "//me:op%65n%2Fsesame@") + "/base/?token=secret";
    let of_url = endpoint(&json!({"url": url}));
    assert_eq!(of_url.shown(), format!("{}/base", server.url));
    let answer =
        of_url.ask(WebRequest { path: &["a b", "_x"], ..WebRequest::of(Method::GET) }).await.unwrap();
    let said = String::from_utf8(answer.body.to_vec()).unwrap();
    // The letters after Basic are `me:open/sesame`.
    assert_eq!(said, "GET /base/a%20b/_x?token=secret with Basic bWU6b3Blbi9zZXNhbWU=");
    let of_headers = endpoint(&json!({"url": server.url, "headers": {"Authorization": "Bearer s3cr3t"}}));
    let Err(WebFailure::Whole(error)) = get(&of_headers).await else { panic!("it is refused") };
    assert!(
        error.message.contains("correct `user` and `password`") && error.message.contains("Bearer ***"),
        "{error}"
    );
    assert!(!error.retry && !error.message.contains("s3cr3t"), "{error}");
}

#[tokio::test]
async fn each_failure_says_whose_it_is_and_whether_to_retry() {
    let status = Arc::new(AtomicUsize::new(0));
    let now = status.clone();
    let server = TestServer::start(move |_| match now.load(Ordering::Relaxed) {
        0 => Reply::HangsUp,
        1 => Reply::IsSilent,
        status => Reply::Says(status as u16, "", "because\n  of this".to_owned()),
    })
    .await;
    let endpoint = endpoint(&json!({"url": server.url, "timeout": "300ms"}));
    let mut told = String::new();
    for code in [0, 1, 307, 400, 403, 404, 405, 415, 422, 429, 500, 503] {
        status.store(code, Ordering::Relaxed);
        let failure = get(&endpoint).await.unwrap_err();
        let kind = match &failure {
            WebFailure::Whole(error) if error.retry => "again",
            WebFailure::Whole(_) => "whole",
            WebFailure::Content(_) => "content",
            WebFailure::Missing(_) => "missing",
        };
        told.push_str(&format!("{code} {kind}\n"));
        let error = failure.whole(&endpoint);
        assert!(error.message.starts_with(&server.url), "{error}");
        assert!(code < 2 || error.message.contains("because of this"), "{error}");
    }
    assert_eq!(
        told,
        "0 again\n1 again\n307 whole\n400 content\n403 whole\n404 missing\n405 whole\n415 whole\n422 content\n429 again\n\
         500 again\n503 again\n"
    );
    let nobody = self::endpoint(&json!({"url": "http://127.0.0.1:1"}));
    let error = get(&nobody).await.unwrap_err().whole(&nobody);
    assert!(error.retry && error.message.contains("cannot be reached: "), "{error}");
}

#[tokio::test]
async fn a_pause_that_is_asked_for_is_waited_for() {
    let server = TestServer::start(|_| Reply::Says(429, "retry-after: 7\r\n", String::new())).await;
    let clock = Arc::new(ManualClock::default());
    let mut settings = read(&json!({"url": server.url})).unwrap();
    settings.clock = clock.clone();
    let endpoint = WebEndpoint::made(&settings).unwrap();
    let began = clock.monotonic();
    let asking = tokio::spawn(async move { get(&endpoint).await });
    while !asking.is_finished() {
        tokio::task::yield_now().await;
        if !server.asked().is_empty() {
            clock.advance(Duration::from_millis(10));
        }
    }
    assert!(asking.await.unwrap().is_err());
    assert!(clock.monotonic() >= began + Duration::from_secs(7));
}

#[tokio::test]
async fn rows_that_are_refused_are_found_by_halves_and_all_others_are_sent_in_order() {
    let bad = [3, 4, 10];
    let sent = std::sync::Mutex::new(Vec::new());
    let outcomes = by_halves(11, |part| {
        let rejects = part.clone().any(|row| bad.contains(&row));
        if !rejects {
            sent.lock().unwrap().extend(part.clone());
        }
        let answer = if rejects { PartAnswer::Rejected(format!("{part:?}")) } else { PartAnswer::Taken };
        std::future::ready(Ok(answer))
    });
    let outcomes = outcomes.await.unwrap();
    assert_eq!(*sent.lock().unwrap(), [0, 1, 2, 5, 6, 7, 8, 9]);
    for (row, outcome) in outcomes.iter().enumerate() {
        assert_eq!(matches!(outcome, Outcome::Refused(_)), bad.contains(&row), "{row}");
    }
}
