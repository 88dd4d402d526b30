//! The ingest log of one stream: rows are on disk before `append` returns, and are read again from any offset.
//!
//! Offsets count rows from 0 in order of acceptance and never change their meaning. One thread writes
//! ([`super::writer`]); readers see exactly what has been synced, through a watch on [`Durable`].

use super::claims::Claims;
use super::identity::LogIdentity;
use super::key::IdempotencyKey;
use super::memory::KEY_MEMORY_MILLIS;
use super::recovery::{self, Circumstances};
use super::segment::Segment;
use super::writer::{Batch, Request, Writer};
use bytes::Bytes;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::{mpsc, oneshot, watch};
use weir_connect::{ConnectError, StateMark};
use weir_event::{Clock, Span};

/// The most one batch may hold; a frame's length must stay far below what its 32 bits can say.
const MAX_BATCH_BYTES: usize = 256 << 20;
/// Requests that wait behind the one being synced; more wait in the callers.
const QUEUE_REQUESTS: usize = 1024;

/// How long rows are kept and in what portions they are deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogSettings {
    /// Rows are deleted, in whole segments, when all of a segment's are older than this by ingest time and every job that
    /// reads them has.
    pub keep: Span,
    /// A segment is closed when it has reached this size.
    pub segment_bytes: u64,
}

impl Default for LogSettings {
    /// Seven days, and segments of 64 MiB: small enough to be read through at a start, large enough to be few.
    fn default() -> Self {
        LogSettings { keep: Span::from_millis(7 * 86_400_000), segment_bytes: 64 << 20 }
    }
}

impl LogSettings {
    /// For how long idempotency keys are remembered, in milliseconds.
    pub(super) fn keys_for(&self) -> i64 {
        self.keep.millis().min(KEY_MEMORY_MILLIS)
    }
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// Offset of its first row.
    pub first_offset: u64,
    /// How many rows were accepted.
    pub count: usize,
    /// A batch with the same idempotency key had been accepted before: this is its answer, nothing was written.
    pub repeated: bool,
}

/// Why a batch was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Its key came with another body within the last day.
    #[error(
        "this idempotency key was used for another body within the last day, and nothing of this one was kept; send \
         it with a key of its own"
    )]
    KeyReused,
    /// It could not be written.
    #[error(transparent)]
    Failed(#[from] ConnectError),
}

/// Up to where the log is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Durable {
    /// The offset after the last row.
    pub(super) end: u64,
    /// The base of the segment that is written to.
    pub(super) active: u64,
    /// Bytes of that segment that are durable.
    pub(super) bytes: u64,
}

/// What writer and readers both see.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) dir: PathBuf,
    pub(super) log: LogIdentity,
    pub(super) claims: Arc<Claims>,
    pub(super) mark: Arc<dyn StateMark>,
    segments: Mutex<Vec<Segment>>,
}

impl Shared {
    /// Works on the list of segments, oldest first, never empty. No I/O under this lock.
    pub(super) fn change_segments<T>(&self, change: impl FnOnce(&mut Vec<Segment>) -> T) -> T {
        change(&mut self.segments.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// An open ingest log.
#[derive(Debug)]
pub struct IngestLog {
    pub(super) shared: Arc<Shared>,
    pub(super) durable: watch::Receiver<Durable>,
    requests: Option<mpsc::Sender<Request>>,
    writer: Option<JoinHandle<()>>,
}

impl IngestLog {
    /// Opens or makes the log in `dir`; cuts off what a crash has torn, refuses what is damaged. Blocks.
    pub(super) fn open(
        dir: &Path,
        settings: LogSettings,
        clock: Arc<dyn Clock>,
        claims: Arc<Claims>,
        mark: Arc<dyn StateMark>,
    ) -> Result<Arc<IngestLog>, ConnectError> {
        let (now, keys_for) = (clock.now().millis(), settings.keys_for());
        let recovered = recovery::recover(dir, Circumstances { now, keys_for, origin: claims.highest() })?;
        let active = recovered.segments.last().cloned();
        let active = active.ok_or_else(|| ConnectError::internal("an ingest log without a segment"))?;
        let segments = Mutex::new(recovered.segments.clone());
        let shared = Arc::new(Shared { dir: dir.to_owned(), log: recovered.log, claims, mark, segments });
        if let Some(reason) = shared.claims.dispute(dir, &shared.log, recovered.end) {
            tracing::error!("events posted to the stream are refused: {reason}");
        }
        let durable = Durable { end: recovered.end, active: active.base, bytes: recovered.length };
        let (publish, durable) = watch::channel(durable);
        let (requests, waiting) = mpsc::channel(QUEUE_REQUESTS);
        let writer = Writer::new(shared.clone(), settings, clock, publish, recovered, active);
        let writer = std::thread::Builder::new()
            .name("weir-ingest-log".to_owned())
            .spawn(move || writer.run(waiting))
            .map_err(|error| ConnectError::unavailable(format!("cannot start a thread: {error}")))?;
        Ok(Arc::new(IngestLog { shared, durable, requests: Some(requests), writer: Some(writer) }))
    }

    /// Accepts rows (in this order, next to each other); they are durable when this returns. None are accepted while a
    /// job would pass over them, because it has read further than the log goes. A key that is remembered gives its first
    /// answer again and appends nothing; with another body it is refused.
    ///
    /// Dropping the future does not take the rows back. After an error none of them is in the log.
    pub async fn append(
        &self,
        rows: Vec<Bytes>,
        key: Option<IdempotencyKey>,
    ) -> Result<Appended, AppendError> {
        if key.is_none() && rows.is_empty() {
            return Ok(Appended { first_offset: self.end_offset(), count: 0, repeated: false });
        }
        if rows.iter().map(|row| row.len() + 4).sum::<usize>() > MAX_BATCH_BYTES {
            return Err(AppendError::Failed(ConnectError::user(format!(
                "a batch holds at most {MAX_BATCH_BYTES} bytes; send it in parts"
            ))));
        }
        if let Some(reason) =
            self.shared.claims.dispute(&self.shared.dir, &self.shared.log, self.end_offset())
        {
            let message = format!("these rows were not kept: {reason}");
            return Err(AppendError::Failed(ConnectError::unavailable(message)));
        }
        let ended = || ConnectError::internal("the writer of the ingest log has ended; restart weir");
        let requests = self.requests.as_ref().ok_or_else(ended)?;
        let (answer, answered) = oneshot::channel();
        let batch = Batch { rows, key, answer };
        requests.send(Request::Append(batch)).await.map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }

    /// A job that reads it has made a checkpoint. Does not wait: one that finds no room is made up for by the next.
    pub(super) fn checkpointed(&self) {
        if let Some(requests) = &self.requests {
            let _ = requests.try_send(Request::Checkpointed);
        }
    }

    /// The offset of the oldest row that is kept.
    pub fn begin_offset(&self) -> u64 {
        self.shared.change_segments(|segments| segments.first().map_or(0, |segment| segment.base))
    }

    /// The offset after the last durable row.
    pub fn end_offset(&self) -> u64 {
        self.durable.borrow().end
    }
}

impl Drop for IngestLog {
    /// Waits for the group that is being written, so that the same folder can be opened again at once.
    fn drop(&mut self) {
        drop(self.requests.take());
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has said so; every caller was answered with an error.
            let _ = writer.join();
        }
    }
}
