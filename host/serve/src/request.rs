//! What handlers need of requests and answers: names in paths, bodies within bounds, JSON.
//!
//! Must not know what any route means.

use crate::problem::{Kind, Problem};
use crate::room::{NoRoom, Room};
use axum::RequestPartsExt;
use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Request};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, EXPECT};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;
use weir_event::suggestion::shown;
use weir_event::{Clock, within};

/// A body has so long to arrive: 10 MiB over a line of 3 Mbit/s.
const BODY_SECONDS: u64 = 30;
/// Of a body that is too large so much is still read, so that its sender gets to read the answer.
const DRAINED_BYTES: u64 = 64 << 20;
/// So much of what is wrong with JSON is said: it may repeat a name of the body, at any length.
const SAID_BYTES: usize = 256;

/// The `{name}` in a route's path, decoded.
#[derive(Debug)]
pub(crate) struct Name(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Name {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        let path = parts.extract::<Path<String>>().await;
        path.map(|Path(name)| Name(name)).map_err(|_| Problem::malformed("the name in the path is not UTF-8"))
    }
}

/// What the sender says of the body's length.
pub(crate) fn declared_bytes(request: &Request) -> Option<u64> {
    request.body().size_hint().exact()
}

/// Reads a body of at most `limit_bytes`, which holds its room for as long as a part of it is there, and waits for it by
/// this clock.
pub(crate) async fn read_body(
    request: Request,
    limit_bytes: u64,
    room: &Room,
    clock: &dyn Clock,
) -> Result<Bytes, Problem> {
    refuse_encoding(request.headers().get(CONTENT_ENCODING))?;
    let too_large = || {
        Problem::new(Kind::TooLarge, format!("the body is larger than {limit_bytes} bytes; send it in parts"))
    };
    let is_too_large = declared_bytes(&request).is_some_and(|declared| declared > limit_bytes);
    if is_too_large && request.headers().contains_key(EXPECT) {
        return Err(too_large());
    }
    let reading = read(request.into_body(), if is_too_large { 0 } else { limit_bytes }, room);
    match within(clock, Duration::from_secs(BODY_SECONDS), reading).await {
        Some(Ok(Ok(body))) => Ok(body),
        Some(Ok(Err(Refused::TooLarge))) => Err(too_large()),
        Some(Ok(Err(Refused::NoRoom(no_room)))) => Err(no_room.into()),
        Some(Err(error)) => Err(Problem::malformed(format!("the body broke off: {error}"))),
        None => Err(Problem::new(Kind::TooSlow, format!("the body did not arrive within {BODY_SECONDS} s"))),
    }
}

pub(crate) fn refuse_encoding(encoding: Option<&HeaderValue>) -> Result<(), Problem> {
    match encoding.map(HeaderValue::as_bytes) {
        None | Some(b"" | b"identity") => Ok(()),
        Some(other) => {
            let other = String::from_utf8_lossy(other);
            let other = shown(&other);
            Err(Problem::new(
                Kind::Encoding,
                format!("the body has the encoding `{other}`; send it as it is"),
            ))
        }
    }
}

/// Why a body is not kept.
enum Refused {
    TooLarge,
    NoRoom(NoRoom),
}

/// What has come of a body.
#[derive(Default)]
struct Come {
    first: Bytes,
    /// With the first, once there is another.
    all: BytesMut,
}

impl Come {
    fn push(&mut self, data: Bytes) {
        if self.first.is_empty() {
            self.first = data;
            return;
        }
        if self.all.is_empty() {
            self.all.extend_from_slice(&self.first);
        }
        self.all.extend_from_slice(&data);
    }

    fn whole(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.freeze() }
    }
}

/// The whole body. One that is not kept is read on all the same, so that its sender gets to read the answer.
async fn read(mut body: Body, limit_bytes: u64, room: &Room) -> Result<Result<Bytes, Refused>, axum::Error> {
    let mut kept = Ok((Come::default(), room.hold()));
    let mut seen_bytes = 0_u64;
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        seen_bytes += data.len() as u64;
        kept = match kept {
            Ok(_) if seen_bytes > limit_bytes => Err(Refused::TooLarge),
            Ok((mut come, mut held)) => {
                held.grow_to(seen_bytes as usize).map_err(Refused::NoRoom).map(|()| {
                    come.push(data);
                    (come, held)
                })
            }
            Err(refused) if seen_bytes > limit_bytes.saturating_add(DRAINED_BYTES) => {
                return Ok(Err(refused));
            }
            refused => refused,
        };
    }
    Ok(kept.map(|(come, held)| held.with(come.whole())))
}

/// Reads a body of JSON; `shape` is what to send.
pub(crate) fn of_json<T: DeserializeOwned>(body: &[u8], shape: &str) -> Result<T, Problem> {
    serde_json::from_slice(body).map_err(|error| {
        let mut said = error.to_string();
        if said.len() > SAID_BYTES {
            said.truncate(said.floor_char_boundary(SAID_BYTES));
            said.push_str(&format!("… at line {} column {}", error.line(), error.column()));
        }
        Problem::malformed(format!("the body: {said}; send {shape}"))
    })
}

/// An answer with its room, which it holds until it is written; in its place a refusal where there is none.
pub(crate) async fn in_room(answer: Response, room: &Room) -> Result<Response, Problem> {
    let Some(bytes) = answer.body().size_hint().exact() else { return Ok(answer) };
    let mut held = room.hold();
    held.grow_to(bytes as usize)?;
    let (head, body) = answer.into_parts();
    // What has a known length is there already.
    let whole = body.collect().await.map_err(|error| Problem::new(Kind::Internal, error.to_string()))?;
    Ok(Response::from_parts(head, Body::from(held.with(whole.to_bytes()))))
}

/// 200 with this JSON.
pub(crate) fn json_response(body: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// This status with a value as JSON.
pub(crate) fn answer<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Response {
    let mut body = Vec::new();
    crate::entity::push_json(value, &mut body);
    let mut response = json_response(body);
    *response.status_mut() = status;
    response
}

/// Runs what blocks off the async threads.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|_| Problem::new(Kind::Internal, "a task of the server ended early; see its log"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;
    use weir_event::ManualClock;

    async fn read(request: Request) -> Result<Bytes, Problem> {
        read_body(request, 5, &Room::for_bodies_of(5), &ManualClock::default()).await
    }

    #[tokio::test]
    async fn a_body_that_does_not_arrive_is_not_waited_for_for_ever() {
        let (room, clock) = (Room::for_bodies_of(5), ManualClock::default());
        let never = Request::new(Body::from_stream(futures_util::stream::pending::<io::Result<Bytes>>()));
        let waits = read_body(never, 5, &room, &clock);
        let passes = async {
            clock.advance(Duration::from_secs(BODY_SECONDS - 1));
            tokio::task::yield_now().await;
            clock.advance(Duration::from_secs(1));
        };
        let (problem, ()) = tokio::join!(waits, passes);
        assert_eq!(problem.unwrap_err().kind(), Kind::TooSlow);
    }

    fn request(body: &'static str) -> Request {
        Request::new(Body::from(body))
    }

    #[tokio::test]
    async fn a_body_is_read_up_to_the_limit() {
        assert_eq!(read(request("12345")).await.unwrap(), "12345");
        assert_eq!(read(request("123456")).await.unwrap_err().kind(), Kind::TooLarge);
        assert_eq!(read(request("")).await.unwrap(), "");
    }

    #[tokio::test]
    async fn parts_are_put_together() {
        let parts = Body::from_stream(futures(vec!["ab", "", "cd", "e"]));
        assert_eq!(read(Request::new(parts)).await.unwrap(), "abcde");
        let parts = Body::from_stream(futures(vec!["abc", "def"]));
        assert_eq!(read(Request::new(parts)).await.unwrap_err().kind(), Kind::TooLarge);
    }

    #[tokio::test]
    async fn a_body_and_an_answer_take_room_for_what_there_is_of_them() {
        const ALL_BYTES: usize = 128 << 20;
        let (room, clock) = (Room::for_bodies_of(0), ManualClock::default());
        let has_all = || room.hold().grow_to(ALL_BYTES).is_ok();
        let large = Bytes::from(vec![b'x'; 1 << 20]);
        let post = || read_body(Request::new(Body::from(large.clone())), 2 << 20, &room, &clock);
        let mut others = room.hold();
        others.grow_to(ALL_BYTES).unwrap();
        assert_eq!(post().await.unwrap_err().kind(), Kind::Unavailable);
        let small = read_body(request("12345"), 5, &room, &clock).await;
        assert_eq!(small.unwrap(), "12345", "what is small has its own");
        let answer = in_room(json_response(large.to_vec()), &room).await;
        assert_eq!(answer.unwrap_err().kind(), Kind::Unavailable);
        drop(others);
        let silent = Body::from_stream(futures_util::stream::pending::<io::Result<Bytes>>());
        let mut reading = std::pin::pin!(read_body(Request::new(silent), 2 << 20, &room, &clock));
        assert!(futures_util::poll!(reading.as_mut()).is_pending());
        assert!(has_all(), "what sends nothing takes none");
        let body = post().await.unwrap();
        assert!(!has_all(), "the body is there");
        drop(body);
        let answer = in_room(json_response(large.to_vec()), &room).await.unwrap();
        assert!(!has_all(), "the answer is there");
        drop(answer);
        assert!(has_all());
    }

    fn futures(parts: Vec<&'static str>) -> impl futures_util::Stream<Item = io::Result<Bytes>> {
        futures_util::stream::iter(parts.into_iter().map(|part| Ok(Bytes::from_static(part.as_bytes()))))
    }

    #[tokio::test]
    async fn a_compressed_body_is_refused_by_name() {
        let mut gzip = request("..");
        gzip.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        let problem = read(gzip).await.unwrap_err();
        assert_eq!(problem.kind(), Kind::Encoding);
        assert!(problem.detail().contains("`gzip`"));
    }
}
