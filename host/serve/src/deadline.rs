//! A connection whose peer does not take what is written to it is cut: what waits for it takes memory.
//!
//! Must not know HTTP.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use weir_event::{Clock, Sleep};

/// An answer, or each [`STEP_BYTES`] of it, is to be taken within so long: as long as a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);
/// Over a line of 3 Mbit/s.
const STEP_BYTES: usize = 10 << 20;

/// A connection with a deadline for what is written.
pub(crate) struct Deadline<S> {
    stream: S,
    clock: Arc<dyn Clock>,
    /// While the peer does not take all that is there for it.
    waiting: Option<Waiting>,
}

struct Waiting {
    until: Sleep,
    taken_bytes: usize,
}

impl<S> Deadline<S> {
    pub(crate) fn new(stream: S, clock: Arc<dyn Clock>) -> Self {
        Deadline { stream, clock, waiting: None }
    }

    fn judge(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match (&written, &mut self.waiting) {
            (Poll::Ready(Ok(bytes)), Some(waiting)) => {
                waiting.taken_bytes += bytes;
                if waiting.taken_bytes >= STEP_BYTES {
                    self.waiting = None;
                }
                written
            }
            (Poll::Ready(_), _) => written,
            (Poll::Pending, waiting) => {
                let clock = &self.clock;
                let begin = || Waiting { until: clock.sleep(PATIENCE), taken_bytes: 0 };
                ready!(waiting.get_or_insert_with(begin).until.as_mut().poll(context));
                Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client does not read its answer",
                )))
            }
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Deadline<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Deadline<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Comes when everything was written.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.waiting = None;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
    use weir_event::ManualClock;

    /// A connection that holds 64 bytes, and the client's end of it.
    fn connected(clock: &Arc<ManualClock>) -> (DuplexStream, Deadline<DuplexStream>) {
        let (client, server) = tokio::io::duplex(64);
        (client, Deadline::new(server, clock.clone()))
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_is_cut_and_one_that_comes_slowly_too() {
        let clock = Arc::new(ManualClock::default());
        // Steps of a fortieth of the time, and what the client reads in each.
        for (steps, read_bytes, is_cut) in [(41, 0, true), (41, 1, true), (25, 40, false)] {
            let (mut client, mut server) = connected(&clock);
            let passes = async {
                for _ in 0..steps {
                    tokio::task::yield_now().await;
                    clock.advance(PATIENCE / 40);
                    client.read_exact(&mut vec![0; read_bytes]).await.unwrap();
                }
                tokio::task::yield_now().await;
            };
            let (written, ()) = tokio::join!(server.write_all(&[0; 1000]), passes);
            let outcome = written.map_err(|error| error.kind());
            assert_eq!(outcome, if is_cut { Err(io::ErrorKind::TimedOut) } else { Ok(()) }, "{read_bytes}");
        }
    }

    #[tokio::test]
    async fn each_answer_has_the_time_anew() {
        let clock = Arc::new(ManualClock::default());
        let (mut client, mut server) = connected(&clock);
        for _ in 0..4 {
            let writing = async {
                server.write_all(&[0; 100]).await.unwrap();
                server.flush().await.unwrap();
            };
            let reading = async {
                tokio::task::yield_now().await;
                clock.advance(PATIENCE * 6 / 10);
                client.read_exact(&mut [0; 100]).await.unwrap();
            };
            tokio::join!(writing, reading);
        }
    }
}
