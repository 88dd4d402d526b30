//! Bodies that are too large for memory: written to a file as they arrive.
//!
//! Knows bytes and how long they may take. Must not know what they say.

use crate::problem::{Kind, Problem};
use crate::request::{declared_bytes, refuse_encoding};
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{CONTENT_ENCODING, EXPECT};
use http_body_util::BodyExt;
use std::path::Path;
use std::time::Duration;
use tokio::fs::File;
use tokio::io::AsyncWriteExt;
use weir_event::{Clock, within};

/// The whole, or each [`STEP_BYTES`] of it, has so long to arrive.
const STEP_SECONDS: u64 = 30;
/// Over a line of 3 Mbit/s.
const STEP_BYTES: u64 = 10 << 20;
/// Whoever sends nothing holds a place for so long.
const FIRST_SECONDS: u64 = 5;
/// After that a body brings so much each second, on average since it began.
const BYTES_PER_SECOND: u64 = 1 << 10;
/// The rest of a body that is refused is not waited for longer than this at a time: its sender may wait for the answer.
const PAUSE_OF_REFUSED: Duration = Duration::from_secs(1);
/// Of a body that is too large so much is still read, so that its sender gets to read the answer.
const DRAINED_BYTES: u64 = 64 << 20;
/// So much of its start is told.
const START_BYTES: usize = 64;

/// A body that is on the disk.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Spooled {
    pub(crate) bytes: u64,
    /// The first few of them.
    pub(crate) start: Vec<u8>,
}

/// A file that grows with a body.
struct Growing {
    /// None once nothing is kept any more.
    file: Option<File>,
    limit_bytes: u64,
    spooled: Spooled,
    refused: Option<Problem>,
    /// When it began, by the monotonic clock.
    began: Duration,
}

/// Writes a body of at most `limit_bytes` to a file; `limit` names the setting.
pub(crate) async fn spool(
    request: Request,
    path: &Path,
    (limit, limit_bytes): (&str, u64),
    clock: &dyn Clock,
) -> Result<Spooled, Problem> {
    refuse_encoding(request.headers().get(CONTENT_ENCODING))?;
    let too_large = || {
        let detail = format!(
            "the body is larger than {limit_bytes} bytes; send it in parts, or set `{limit}` in weir.yaml higher"
        );
        Problem::new(Kind::TooLarge, detail)
    };
    let is_too_large = declared_bytes(&request).is_some_and(|declared| declared > limit_bytes);
    if is_too_large && request.headers().contains_key(EXPECT) {
        return Err(too_large());
    }
    let file = File::create(path).await.map_err(|error| unwritable(&error))?;
    let refused = is_too_large.then(too_large);
    let mut growing = Growing {
        file: refused.is_none().then_some(file),
        limit_bytes,
        spooled: Spooled::default(),
        refused,
        began: clock.monotonic(),
    };
    let mut body = request.into_body();
    let patience = Duration::from_secs(STEP_SECONDS);
    let is_over = loop {
        match within(clock, patience, growing.step((&mut body, clock), &too_large)).await {
            Some(is_more) => {
                if !is_more? {
                    break true;
                }
            }
            None => break false,
        }
    };
    if !is_over && growing.refused.is_none() {
        return Err(too_slow(&format!("less than {} MiB arrived within {STEP_SECONDS} s", STEP_BYTES >> 20)));
    }
    growing.end().await
}

fn too_slow(what: &str) -> Problem {
    Problem::new(Kind::TooSlow, format!("of the body {what}; send it over a faster line, or in parts"))
}

impl Growing {
    /// Takes a step's worth of the body; whether there may be more.
    async fn step(
        &mut self,
        (body, clock): (&mut Body, &dyn Clock),
        too_large: &(dyn Fn() -> Problem + Sync),
    ) -> Result<bool, Problem> {
        let until = self.spooled.bytes + STEP_BYTES;
        while self.spooled.bytes < until {
            let frame = match within(clock, self.patience(clock), body.frame()).await {
                Some(Some(frame)) => frame,
                Some(None) => return Ok(false),
                None if self.refused.is_some() => return Ok(false),
                None => {
                    let (bytes, after) = (self.spooled.bytes, clock.monotonic().saturating_sub(self.began));
                    return Err(too_slow(&format!("{bytes} bytes arrived within {} s", after.as_secs())));
                }
            };
            let broke_off = |error| Problem::malformed(format!("the body broke off: {error}; send it again"));
            let Ok(data) = frame.map_err(broke_off)?.into_data() else { continue };
            self.spooled.bytes += data.len() as u64;
            let room = START_BYTES - self.spooled.start.len();
            self.spooled.start.extend_from_slice(&data[..data.len().min(room)]);
            if self.refused.is_none() && self.spooled.bytes > self.limit_bytes {
                self.refuse(too_large()).await;
            }
            if self.refused.is_some() && self.spooled.bytes > self.limit_bytes.saturating_add(DRAINED_BYTES) {
                return Ok(false);
            }
            if let Some(file) = &mut self.file
                && let Err(error) = file.write_all(&data).await
            {
                self.refuse(unwritable(&error)).await;
            }
        }
        Ok(true)
    }

    /// How long the next part is waited for.
    fn patience(&self, clock: &dyn Clock) -> Duration {
        if self.refused.is_some() {
            return PAUSE_OF_REFUSED;
        }
        let until = Duration::from_secs(FIRST_SECONDS + self.spooled.bytes / BYTES_PER_SECOND);
        (self.began + until).saturating_sub(clock.monotonic())
    }

    /// Keeps nothing any more, and lets go of what it has.
    async fn refuse(&mut self, problem: Problem) {
        self.refused = Some(problem);
        if let Some(file) = self.file.take() {
            // By this handle, which waits for what is being written. Whoever made the folder removes what is left.
            let _ = file.set_len(0).await;
        }
    }

    async fn end(mut self) -> Result<Spooled, Problem> {
        if let Some(file) = &mut self.file
            && let Err(error) = file.flush().await
        {
            self.refuse(unwritable(&error)).await;
        }
        self.refused.map_or(Ok(self.spooled), Err)
    }
}

/// Reads a body that is refused, as far as is reasonable, so that its sender gets to read the answer.
pub(crate) async fn drain(request: Request, clock: &dyn Clock) {
    // Who asks first has sent none of it.
    if request.headers().contains_key(EXPECT) {
        return;
    }
    let mut body = request.into_body();
    let reading = async {
        let mut left_bytes = DRAINED_BYTES as usize;
        while let Some(Ok(frame)) = body.frame().await
            && let Some(left) = left_bytes.checked_sub(frame.data_ref().map_or(0, bytes::Bytes::len))
        {
            left_bytes = left;
        }
    };
    // What does not come in time is as good as read.
    let _ = within(clock, Duration::from_secs(STEP_SECONDS), reading).await;
}

fn unwritable(error: &std::io::Error) -> Problem {
    Problem::later(format!("the body cannot be written to the server's disk: {error}; make room there"), 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Bytes;
    use futures_util::stream;
    use std::io;
    use weir_event::ManualClock;

    async fn spooled(body: Body, limit_bytes: u64) -> (Result<Spooled, Problem>, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("body");
        let limit = ("limits.train_body", limit_bytes);
        let spooled = spool(Request::new(body), &path, limit, &ManualClock::default()).await;
        (spooled, std::fs::read(path).unwrap())
    }

    #[tokio::test]
    async fn a_body_is_written_up_to_the_limit() {
        let parts = || stream::iter(["ab", "", "cde"].map(|part| io::Result::Ok(Bytes::from(part))));
        let (whole, written) = spooled(Body::from_stream(parts()), 5).await;
        assert_eq!(whole, Ok(Spooled { bytes: 5, start: b"abcde".to_vec() }));
        assert_eq!(written, b"abcde");
        let (more, written) = spooled(Body::from_stream(parts()), 4).await;
        let problem = more.unwrap_err();
        assert_eq!((problem.kind(), written.len()), (Kind::TooLarge, 0));
        assert!(problem.detail().contains("`limits.train_body`"), "{}", problem.detail());
        let (declared, _) = spooled(Body::from("12345"), 4).await;
        assert_eq!(declared.unwrap_err().kind(), Kind::TooLarge);
    }

    #[tokio::test]
    async fn a_body_that_does_not_arrive_is_not_waited_for_for_ever() {
        let folder = tempfile::tempdir().unwrap();
        let (path, clock) = (folder.path().join("body"), ManualClock::default());
        let start = stream::iter([io::Result::Ok(Bytes::from("a"))]);
        let never = Body::from_stream(futures_util::StreamExt::chain(start, stream::pending()));
        let passes = async {
            // The file is made on another thread.
            while !path.exists() {
                tokio::task::yield_now().await;
            }
            for _ in 0..STEP_SECONDS * 4 {
                clock.advance(Duration::from_secs(1));
                tokio::task::yield_now().await;
            }
            std::future::pending::<()>().await;
        };
        let spooling = spool(Request::new(never), &path, ("limits.train_body", 5), &clock);
        let problem = tokio::select! {
            spooled = spooling => spooled.unwrap_err(),
            () = passes => unreachable!("it pends"),
        };
        assert_eq!(problem.kind(), Kind::TooSlow);
    }
}
