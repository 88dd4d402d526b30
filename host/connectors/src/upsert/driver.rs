//! The task that writes: takes items, cuts batches, has several on their way, tries again, sets aside.
//!
//! It ends with an error where a store fails for good, or too often; the sink is then made anew and gets again what no
//! checkpoint covers. Must not know any store, or what a checkpoint is.

use super::held::Held;
use super::item::Item;
use super::pace::Pace;
use super::queue::{Queue, UpsertBatch};
use super::refused::{RefusedRows, refused_line};
use super::settings::UpsertSettings;
use super::{KeyedClient, Outcome};
use crate::blocking::blocking;
use futures_util::future::{BoxFuture, pending};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use weir_connect::{ConnectError, CpuTime, SinkCounts};
use weir_event::Clock;

/// So many batches per batch on its way may wait: the next is ready when one is answered.
const BATCHES_AHEAD: usize = 2;
/// Rows that take less memory than this never hold up others: several that the engine hands over at once fit.
const LEAST_HELD_BYTES: u64 = 16 << 20;

/// What the task is asked to do.
pub(super) enum Ask {
    /// Write these, each the newest of its key among them.
    Items(Vec<Item>),
    /// Set so many rows aside, which are these lines.
    Refuse(u64, Vec<u8>),
    /// Write everything, and say so.
    Flush(oneshot::Sender<()>),
}

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Counted {
    bytes: AtomicU64,
    retries: AtomicU64,
    refused: AtomicU64,
    stale: AtomicU64,
}

impl Counted {
    pub(super) fn read(&self) -> SinkCounts {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        SinkCounts {
            bytes: read(&self.bytes),
            retries: read(&self.retries),
            refused: read(&self.refused),
            stale: read(&self.stale),
        }
    }
}

/// A batch and what the store said of it.
type BatchAnswer = (UpsertBatch, Result<Vec<Outcome>, ConnectError>);

/// The task.
pub(super) struct Driver {
    place: String,
    client: Arc<dyn KeyedClient>,
    settings: UpsertSettings,
    clock: Arc<dyn Clock>,
    asks: mpsc::Receiver<Ask>,
    queue: Queue,
    pace: Pace,
    refused: RefusedRows,
    counted: Arc<Counted>,
    held: Held,
    /// No more rows are taken while so many wait, or while they take so much memory.
    most_rows: usize,
    most_bytes: u64,
    flushes: Vec<oneshot::Sender<()>>,
}

/// The sink's end of the task.
pub(super) struct DriverHandle {
    asks: mpsc::Sender<Ask>,
    task: tokio::task::JoinHandle<()>,
    error: Arc<Mutex<Option<ConnectError>>>,
}

/// What a task is made with.
pub(super) struct DriverParts {
    pub(super) place: String,
    pub(super) client: Arc<dyn KeyedClient>,
    pub(super) most_items: usize,
    pub(super) settings: UpsertSettings,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) refused: RefusedRows,
    pub(super) counted: Arc<Counted>,
    pub(super) held: Held,
}

impl DriverHandle {
    /// Starts the task. Its processor time is that of whoever starts it.
    pub(super) fn start(parts: DriverParts) -> DriverHandle {
        let (sender, asks) = mpsc::channel(1);
        let batches = parts.settings.concurrency.saturating_mul(BATCHES_AHEAD);
        let mut driver = Driver {
            most_rows: parts.settings.batch_rows.saturating_mul(batches),
            most_bytes: parts.settings.batch_bytes.saturating_mul(batches as u64).max(LEAST_HELD_BYTES),
            queue: Queue::new(&parts.settings, parts.most_items),
            pace: Pace::new(parts.settings.write_rate),
            place: parts.place,
            client: parts.client,
            settings: parts.settings,
            clock: parts.clock,
            asks,
            refused: parts.refused,
            counted: parts.counted,
            held: parts.held,
            flushes: Vec::new(),
        };
        let error = Arc::new(Mutex::new(None));
        let told = error.clone();
        // The driver goes after the error is there: whoever waits for it to take something looks for that then.
        let run = async move {
            if let Err(error) = driver.run().await {
                *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            }
        };
        DriverHandle { asks: sender, task: tokio::spawn(measured(CpuTime::current(), run)), error }
    }

    /// Asks for something; the error is why the task has ended.
    pub(super) async fn ask(&self, ask: Ask) -> Result<(), ConnectError> {
        self.asks.send(ask).await.map_err(|_| self.failure())
    }

    /// Has everything written.
    pub(super) async fn flush(&self) -> Result<(), ConnectError> {
        let (done, is_done) = oneshot::channel();
        self.ask(Ask::Flush(done)).await?;
        is_done.await.map_err(|_| self.failure())
    }

    fn failure(&self) -> ConnectError {
        let error = self.error.lock().unwrap_or_else(PoisonError::into_inner).clone();
        error.unwrap_or_else(|| ConnectError::internal("the task that writes ended without an error"))
    }
}

impl Drop for DriverHandle {
    /// What is on its way may still take effect: its fences make that harmless.
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The same future, measured for an owner.
async fn measured(owner: Option<CpuTime>, work: impl Future<Output = ()>) {
    let mut work = std::pin::pin!(work);
    std::future::poll_fn(|context| match &owner {
        Some(owner) => owner.measure(|| work.as_mut().poll(context)),
        None => work.as_mut().poll(context),
    })
    .await
}

impl Driver {
    async fn run(&mut self) -> Result<(), ConnectError> {
        let mut on_their_way: FuturesUnordered<BoxFuture<'static, BatchAnswer>> = FuturesUnordered::new();
        loop {
            let due = self.send_due(&mut on_their_way);
            if on_their_way.is_empty() && self.queue.len() == 0 {
                for done in self.flushes.drain(..) {
                    // Whoever asked may be gone.
                    let _ = done.send(());
                }
            }
            let has_room = self.has_room();
            let wait = async {
                match due {
                    Some(pause) => self.clock.sleep(pause).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                Some(answer) = on_their_way.next(), if !on_their_way.is_empty() => self.answered(answer).await?,
                ask = self.asks.recv(), if has_room => match ask {
                    Some(ask) => self.asked(ask).await?,
                    None => return Ok(()),
                },
                () = wait => {}
            }
        }
    }

    /// Whether more rows may come. Those that come next are counted as held already.
    fn has_room(&self) -> bool {
        let waiting = self.queue.len();
        waiting == 0 || (waiting < self.most_rows && self.held.bytes() < self.most_bytes)
    }

    /// Sends every batch that can go; gives how long until the next can, if that depends on time alone.
    fn send_due(
        &mut self,
        on_their_way: &mut FuturesUnordered<BoxFuture<'static, BatchAnswer>>,
    ) -> Option<Duration> {
        while on_their_way.len() < self.settings.concurrency {
            let now = self.clock.monotonic();
            let is_pressed = !self.flushes.is_empty() || self.held.bytes() >= self.most_bytes;
            let due = self.queue.due_at(now, is_pressed)?.max(self.pace.free_at());
            if due > now {
                return Some(due.saturating_sub(now));
            }
            let batch = self.queue.take(self.pace.most_rows(), now)?;
            self.pace.let_through(batch.items.len(), now);
            let client = self.client.clone();
            on_their_way.push(Box::pin(async move {
                let answer = client.put(&batch.items).await;
                (batch, answer)
            }));
        }
        None
    }

    async fn asked(&mut self, ask: Ask) -> Result<(), ConnectError> {
        match ask {
            Ask::Items(items) => {
                let now = self.clock.monotonic();
                items.into_iter().for_each(|item| self.queue.push(item, now));
            }
            Ask::Refuse(count, lines) => self.set_aside(count, lines).await?,
            Ask::Flush(done) => self.flushes.push(done),
        }
        Ok(())
    }

    async fn answered(&mut self, (batch, answer): BatchAnswer) -> Result<(), ConnectError> {
        let (tries, now) = (batch.tries(), self.clock.monotonic());
        let is_last_try = tries >= self.settings.retry_count;
        let outcomes = match answer {
            Ok(outcomes) if outcomes.len() == batch.items.len() => outcomes,
            Ok(outcomes) => {
                let (given, said) = (batch.items.len(), outcomes.len());
                let message = format!("{}: {given} rows were given and {said} answered for", self.place);
                return Err(ConnectError::internal(message));
            }
            Err(error) if !error.retry || is_last_try => return Err(error),
            Err(_) => {
                self.count(&self.counted.retries, 1);
                self.queue.put_back(batch, now);
                return Ok(());
            }
        };
        let (mut lines, mut refused, mut bytes, mut stale, mut later) = (Vec::new(), 0, 0, 0, None);
        for (item, outcome) in batch.items.iter().zip(&outcomes) {
            match outcome {
                Outcome::Written => bytes += item.bytes(),
                Outcome::Stale => stale += 1,
                Outcome::Later(reason) => later = Some(reason),
                Outcome::Refused(reason) => {
                    refused += 1;
                    lines.extend_from_slice(&refused_line(&item.rows, item.row(), &item.keys, reason));
                }
            }
        }
        if let Some(reason) = later {
            if is_last_try {
                let message = format!("{}: {reason}; tried {} times", self.place, tries + 1);
                return Err(ConnectError::unavailable(message));
            }
            self.count(&self.counted.retries, 1);
        }
        self.count(&self.counted.bytes, bytes);
        self.count(&self.counted.stale, stale);
        self.set_aside(refused, lines).await?;
        self.queue.answered(batch, now, |at| !matches!(outcomes[at], Outcome::Later(_)));
        Ok(())
    }

    /// Keeps the lines of so many refused rows: they are on the disk when this returns.
    async fn set_aside(&self, count: u64, lines: Vec<u8>) -> Result<(), ConnectError> {
        if count > 0 {
            let refused = self.refused.clone();
            blocking(move || refused.append(&lines)).await?;
            self.count(&self.counted.refused, count);
        }
        Ok(())
    }

    fn count(&self, count: &AtomicU64, more: u64) {
        count.fetch_add(more, Ordering::Relaxed);
    }
}
