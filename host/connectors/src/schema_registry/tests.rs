//! The client against a registry of the test's own that answers as Confluent's documentation says, and as servers that are
//! down, slow or something else do.

use super::*;
use std::io::{Read, Write};
use std::net::TcpListener;

/// Answers one request after the other with these status lines and bodies; gives back what was asked.
fn answering(answers: Vec<(&'static str, String)>) -> (String, std::thread::JoinHandle<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let serve = move || {
        let mut asked = Vec::new();
        for (status, body) in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            loop {
                let mut part = [0; 4096];
                let read = stream.read(&mut part).unwrap();
                request.extend_from_slice(&part[..read]);
                let text = String::from_utf8_lossy(&request).into_owned();
                let Some((head, sent)) = text.split_once("\r\n\r\n") else { continue };
                let length = head.lines().find_map(|line| {
                    line.to_ascii_lowercase()
                        .strip_prefix("content-length: ")
                        .map(|length| length.parse().unwrap())
                });
                if sent.len() >= length.unwrap_or(0) {
                    asked.push(text);
                    break;
                }
            }
            let length = body.len();
            let answer =
                format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
            stream.write_all(answer.as_bytes()).unwrap();
        }
        asked
    };
    (address, std::thread::spawn(serve))
}

#[tokio::test]
async fn schemas_are_asked_for_by_number_and_by_subject_below_a_path_with_a_login() {
    let latest = json!({"subject": "a/b", "id": 9, "version": 2, "schema": "\"long\"", "schemaType": "AVRO",
        "references": [{"name": "n", "subject": "s", "version": 1}]});
    let (address, served) =
        answering(vec![("200 OK", json!({"schema": "\"int\""}).to_string()), ("200 OK", latest.to_string())]);
    let registry = HttpRegistry::new(&format!("http://me%40x:se%3Acret@{address}/apis/ccompat/v7/")).unwrap();
    assert_eq!(registry.place(), format!("http://{address}/apis/ccompat/v7"));
    assert!(!format!("{registry:?}").contains("cret"));
    for _ in 0..2 {
        let SchemaAnswer::Found(found) = registry.by_id(7).await.unwrap() else { panic!("it is there") };
        assert_eq!((found.id, found.text.as_str()), (7, "\"int\""));
    }
    let (version, found) = registry.latest("a/b").await.unwrap();
    assert_eq!((version, found.id, found.references[0].subject.as_str()), (2, 9, "s"));
    let asked = served.join().unwrap();
    assert!(asked[0].starts_with("GET /apis/ccompat/v7/schemas/ids/7 "), "{asked:?}");
    assert!(asked[0].to_ascii_lowercase().contains("authorization: basic bwvaedpzztpjcmv0"), "{asked:?}");
    assert!(asked[1].starts_with("GET /apis/ccompat/v7/subjects/a%2Fb/versions/latest "), "{asked:?}");
}

#[tokio::test]
async fn a_schema_is_registered_where_it_is_not_there() {
    let missing = json!({"error_code": 40401, "message": "Subject not found."}).to_string();
    let (address, served) =
        answering(vec![("404 Not Found", missing), ("200 OK", json!({"id": 3}).to_string())]);
    let registry = HttpRegistry::new(&format!("http://{address}")).unwrap();
    assert_eq!(registry.register("out-value", SchemaKind::Avro, "\"int\"").await, Ok(3));
    let asked = served.join().unwrap();
    assert!(asked[0].starts_with("POST /subjects/out-value "), "{asked:?}");
    assert!(asked[1].starts_with("POST /subjects/out-value/versions "), "{asked:?}");
    assert!(asked[1].ends_with(r#"{"schema":"\"int\"","schemaType":"AVRO"}"#), "{asked:?}");
}

#[tokio::test]
async fn what_goes_wrong_says_whose_fault_it_is_and_whether_to_ask_again() {
    let said = |code: u64| json!({"error_code": code, "message": "why"}).to_string();
    for (status, body, retry, part) in [
        ("404 Not Found", "<html>".to_owned(), true, "is not a schema registry with Confluent's API"),
        ("404 Not Found", said(404), true, "is not a schema registry with Confluent's API"),
        ("401 Unauthorized", said(40101), false, "give `registry` a user who may"),
        ("500 Internal Server Error", said(50001), true, "does not serve schema 7 now: HTTP 500"),
        ("429 Too Many Requests", String::new(), true, "does not serve schema 7 now"),
        ("200 OK", "<html>".to_owned(), false, "is not a schema registry with Confluent's API"),
    ] {
        let (address, served) = answering(vec![(status, body)]);
        let registry = HttpRegistry::new(&format!("http://u:hidden@{address}")).unwrap();
        let error = registry.by_id(7).await.unwrap_err();
        assert_eq!(error.retry, retry, "{error}");
        assert!(error.message.contains(part) && !error.message.contains("hidden"), "{error}");
        served.join().unwrap();
    }
    let (address, served) = answering(vec![("404 Not Found", said(40403)), ("404 Not Found", said(40402))]);
    let registry = HttpRegistry::new(&format!("http://{address}")).unwrap();
    for (absent, what) in [
        (registry.by_id(7).await.unwrap(), "schema 7"),
        (registry.version("s", 2).await.unwrap(), "version 2 of subject `s`"),
    ] {
        let why = format!("{what} is not in the schema registry at http://{address}");
        assert_eq!(absent, SchemaAnswer::Absent(why));
    }
    served.join().unwrap();
    let (address, served) = answering(vec![
        ("404 Not Found", said(40401)),
        ("200 OK", json!({"schema": "", "schemaType": "XML"}).to_string()),
    ]);
    let registry = HttpRegistry::new(&format!("http://{address}")).unwrap();
    let error = registry.latest("s").await.unwrap_err();
    assert!(error.retry && error.message.contains("; register it, or correct `registry`"), "{error}");
    let SchemaAnswer::Found(found) = registry.by_id(7).await.unwrap() else { panic!("it is there") };
    assert_eq!(found.kind, SchemaKind::Other);
    served.join().unwrap();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = HttpRegistry::new(&format!("http://u:hidden@{closed}")).unwrap().by_id(7).await.unwrap_err();
    assert!(error.retry && error.message.contains("does not answer: "), "{error}");
    assert!(!error.message.contains("hidden"), "{error}");
    for wrong in ["", "registry:8081", "ftp://x", "http://"] {
        assert!(HttpRegistry::new(wrong).is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn subjects_may_be_more_than_a_schema_has_bytes() {
    let subjects: Vec<String> = (0..100_000).map(|number| format!("rides-of-{number:020}-value")).collect();
    let text = json!(subjects).to_string();
    assert!(text.len() > ANSWER_LIMIT_BYTES);
    let (address, served) = answering(vec![("200 OK", text.clone())]);
    let registry = HttpRegistry::new(&format!("http://{address}")).unwrap();
    assert_eq!(registry.subjects().await, Ok(100_000));
    served.join().unwrap();
}

#[test]
fn schemas_are_kept_up_to_a_limit_of_bytes() {
    let schema = |length: usize| Registered {
        id: 0,
        kind: SchemaKind::Avro,
        text: "x".repeat(length),
        references: Vec::new(),
    };
    let mut known = KnownSchemas::default();
    for length in [KEPT_BYTES / 2, 5, KEPT_BYTES / 2] {
        known.keep(1, schema(length));
    }
    known.keep(2, schema(KEPT_BYTES / 2));
    assert_eq!((known.by_id.len(), known.bytes), (2, KEPT_BYTES));
    known.keep(3, schema(1));
    assert_eq!((known.by_id.len(), known.bytes), (1, 1));
}
