//! Connections: accepted, timed out, and let finish when the server stops.
//!
//! Knows hyper, which times idle connections and slow heads by the machine's clock. Must not know any route.

use crate::deadline::Deadline;
use crate::places::{Place, Places};
use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use weir_event::{Clock, within};

/// The head of a request has so long to arrive, counted from the end of the one before: an idle connection is kept
/// so long, and one that sends a byte at a time is not kept longer.
const HEAD_SECONDS: u64 = 30;
/// The same while few places for connections are left: others wait for the one that is idle.
const SCARCE_HEAD_SECONDS: u64 = 2;
/// The largest head of a request; a lookup's takes some hundred bytes.
const HEAD_BYTES: usize = 64 << 10;
/// What a connection is told for which there is no place.
const NO_PLACE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
/// Requests that are being answered when the server stops have so long to end.
const GRACE_SECONDS: u64 = 5;
/// Pause after an `accept` that failed: the process is out of file descriptors, and soon will not be.
const ACCEPT_PAUSE_MILLIS: u64 = 50;

/// Serves until `shutdown` completes, then lets running requests finish.
pub(crate) async fn run(
    listener: TcpListener,
    router: Router,
    clock: Arc<dyn Clock>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let (stop, stopped) = watch::channel(false);
    let places = Places::new();
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &places) => match accepted {
                Ok(Some((stream, place))) => {
                    let head = if places.are_scarce() { SCARCE_HEAD_SECONDS } else { HEAD_SECONDS };
                    let head = Duration::from_secs(head);
                    let stream = Deadline::new(stream, clock.clone());
                    connections.spawn(serve(stream, place, head, router.clone(), stopped.clone()));
                }
                Ok(None) => {}
                Err(error) if !may_pass(&error) => return Err(error),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    clock.sleep(Duration::from_millis(ACCEPT_PAUSE_MILLIS)).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    stop.send_replace(true);
    let ended = async { while connections.join_next().await.is_some() {} };
    if within(&*clock, Duration::from_secs(GRACE_SECONDS), ended).await.is_none() {
        tracing::warn!(
            "requests were still running {GRACE_SECONDS} s after the server was stopped; they are cut off"
        );
    }
    Ok(())
}

/// The next connection, once there is a place for it; `None` where its address has too many, which it is told.
async fn accept(listener: &TcpListener, places: &Places) -> io::Result<Option<(TcpStream, Place)>> {
    let permit = places.free().await;
    let (stream, peer) = listener.accept().await?;
    // An answer is one small write: waiting for more of them would only make lookups slower.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let place = places.take(permit, peer.ip());
    if place.is_none() {
        tracing::debug!(%peer, "refused: too many connections from there");
        // Nothing was written to it before, so that it takes these few bytes; if it is gone already, so be it.
        let _ = stream.try_write(NO_PLACE);
    }
    Ok(place.map(|place| (stream, place)))
}

/// Whether `accept` may succeed later: the peer has gone, or the machine is out of file descriptors or memory.
fn may_pass(error: &io::Error) -> bool {
    !matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::NotConnected | ErrorKind::Unsupported)
}

async fn serve(
    stream: Deadline<TcpStream>,
    _place: Place,
    head: Duration,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut connection = pin!(connection);
    let stopping = async move { stopped.wait_for(|stopped| *stopped).await.is_ok() };
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        _ = stopping => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended badly");
    }
}
