//! A server of HTTP for tests: it answers as it is told, in words or not at all.

use std::sync::{Arc, Mutex};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// A request as it came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// `POST /rows?a=b`.
    pub(crate) line: String,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Asked {
    /// A header's value; empty where there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(of, _)| of.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }
}

/// What is answered.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// A status, further header lines, a body.
    Says(u16, &'static str, String),
    /// The connection is closed without an answer.
    HangsUp,
    /// No answer comes.
    IsSilent,
}

impl Reply {
    pub(crate) fn ok(body: impl Into<String>) -> Reply {
        Reply::Says(200, "", body.into())
    }
}

/// The server; it ends with its test.
#[derive(Debug, Clone)]
pub(crate) struct TestServer {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl TestServer {
    /// Starts one.
    pub(crate) async fn start(answer: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> TestServer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = TestServer { url, asked: Arc::default() };
        let (asked, answer) = (server.asked.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (asked, answer) = (asked.clone(), answer.clone());
                tokio::spawn(async move { serve(stream, &asked, &*answer).await });
            }
        });
        server
    }

    /// What was asked so far.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// What was sent with a body.
    pub(crate) fn posted(&self) -> Vec<Asked> {
        self.asked().into_iter().filter(|asked| !asked.body.is_empty()).collect()
    }
}

async fn serve(
    stream: TcpStream,
    asked: &Mutex<Vec<Asked>>,
    answer: &(dyn Fn(&Asked) -> Reply + Send + Sync),
) {
    let mut stream = BufReader::new(stream);
    while let Some(request) = read(&mut stream).await {
        let reply = answer(&request);
        let is_head = request.line.starts_with("HEAD");
        asked.lock().unwrap().push(request);
        let Reply::Says(status, headers, body) = reply else {
            if matches!(reply, Reply::IsSilent) {
                std::future::pending::<()>().await;
            }
            return;
        };
        let length = body.len();
        let head = format!("HTTP/1.1 {status} x\r\n{headers}content-length: {length}\r\n\r\n");
        let text = if is_head { head } else { head + &body };
        if stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut BufReader<TcpStream>) -> Option<Asked> {
    let (mut request, mut line) = (Asked::default(), String::new());
    while stream.read_line(&mut line).await.ok()? > 2 {
        match line.trim_end().split_once(": ") {
            Some((name, value)) => request.headers.push((name.to_owned(), value.to_owned())),
            None => line.trim_end().trim_end_matches(" HTTP/1.1").clone_into(&mut request.line),
        }
        line.clear();
    }
    if request.line.is_empty() {
        return None;
    }
    let mut body = vec![0; request.header("content-length").parse().unwrap_or(0)];
    stream.read_exact(&mut body).await.ok()?;
    request.body = String::from_utf8(body).unwrap();
    Some(request)
}
