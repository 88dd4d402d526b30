//! Connections: accepted, bounded, timed out, and let finish when the server stops.
//!
//! Knows hyper, which times idle connections and slow heads by the machine's clock. Must not know any route.

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use weir_event::{Clock, within};

/// The head of a request has so long to arrive, counted from the end of the one before: an idle connection is kept
/// so long, and one that sends a byte at a time is not kept longer.
const HEAD_SECONDS: u64 = 30;
/// The largest head of a request; a lookup's takes some hundred bytes.
const HEAD_BYTES: usize = 64 << 10;
/// Connections at once; more wait to be accepted. Each takes up to [`HEAD_BYTES`].
const MAX_CONNECTIONS: usize = 4096;
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
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener, &room) => match accepted {
                Ok((stream, permit)) => {
                    connections.spawn(serve(stream, permit, router.clone(), stopped.clone()));
                }
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

/// The next connection, once there is room for it.
async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let permit = room.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, permit))
}

/// Whether `accept` may succeed later: the peer has gone, or the machine is out of file descriptors or memory.
fn may_pass(error: &io::Error) -> bool {
    !matches!(error.kind(), ErrorKind::InvalidInput | ErrorKind::NotConnected | ErrorKind::Unsupported)
}

async fn serve(
    stream: TcpStream,
    _room: OwnedSemaphorePermit,
    router: Router,
    mut stopped: watch::Receiver<bool>,
) {
    // An answer is one small write: waiting for more of them would only make lookups slower.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(HEAD_SECONDS))
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
