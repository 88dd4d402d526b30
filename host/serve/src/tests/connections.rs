//! What a client sees of the connection itself: answers that come at once, refusals of what is not HTTP, the end.

use crate::server;
use axum::Router;
use axum::routing::get;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use weir_event::{Clock, ManualClock};

async fn listening() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(ManualClock::default())
}

fn router() -> Router {
    Router::new().route("/", get(|| async { "here" }))
}

/// Far less than an idle connection is kept, and far more than an answer takes.
#[allow(clippy::disallowed_methods, reason = "the connection is a real one, and hyper times it by the wall")]
async fn soon<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), work).await.expect("an answer comes at once")
}

/// Sends these bytes, keeps the connection open, and gives the first line of the answer.
async fn first_line(address: SocketAddr, sent: &[u8]) -> String {
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(sent).await.unwrap();
    let mut answer = Vec::new();
    let reading =
        async { while !answer.contains(&b'\r') && connection.read_buf(&mut answer).await.unwrap() > 0 {} };
    soon(reading).await;
    String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_does_not_wait_for_what_follows_the_request() {
    let (listener, address) = listening().await;
    let server = tokio::spawn(server::run(listener, router(), clock(), std::future::pending()));
    const WHOLE: &[u8] = b"GET / HTTP/1.1\r\nhost: weir\r\n\r\n";
    for behind in [&b""[..], b"\r\n", b"\r", b"GET / HT", b"GET / HTTP/1.1\r\nhost: we"] {
        let line = first_line(address, &[WHOLE, behind].concat()).await;
        assert_eq!(line, "HTTP/1.1 200 OK", "followed by {:?}", String::from_utf8_lossy(behind));
    }
    server.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_http_is_told_so() {
    let (listener, address) = listening().await;
    let server = tokio::spawn(server::run(listener, router(), clock(), std::future::pending()));
    let long_target = format!("GET /{} HTTP/1.1\r\nhost: weir\r\n\r\n", "a".repeat(70_000));
    let header = |name: usize| format!("h{name}: v\r\n");
    let many_headers = format!("GET / HTTP/1.1\r\n{}\r\n", (0..200).map(header).collect::<String>());
    for (sent, status) in [
        ("\u{16}\u{3}\u{1}garbage\r\n\r\n", "400"),
        ("GET\r\n\r\n", "400"),
        ("GET / HTTP/3.7\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nhost: weir\r\ncontent-length: -5\r\n\r\n", "400"),
        ("POST / HTTP/1.1\r\nhost: weir\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcde", "400"),
        (&long_target, "414"),
        (&many_headers, "431"),
    ] {
        let line = first_line(address, sent.as_bytes()).await;
        let start: String = sent.chars().take(40).collect();
        assert_eq!(line.split(' ').nth(1), Some(status), "{start:?} is answered with {line:?}");
    }
    server.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_server_lets_connections_end() {
    let router = Router::new().route("/", axum::routing::get(|| async { "here" }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let server = tokio::spawn(server::run(listener, router, clock(), async { drop(stopped.await) }));
    let mut connection = TcpStream::connect(address).await.unwrap();
    connection.write_all(b"GET / HTTP/1.1\r\nhost: weir\r\n\r\n").await.unwrap();
    let mut head = [0; 15];
    connection.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200 OK");
    stop.send(()).unwrap();
    let mut rest = Vec::new();
    connection.read_to_end(&mut rest).await.unwrap();
    assert!(rest.ends_with(b"here"));
    server.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}
