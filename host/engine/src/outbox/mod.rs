//! An outbox: the queue between a job and one of its sinks, which keeps what the sink has not made durable itself.
//!
//! Delivery appends rows and barriers; the sink's task takes them; the checkpointer asks for the sink's part of a
//! checkpoint and says when that is safe. Rows are in memory while the sink works, and in files when there are many, or
//! when the sink is behind at a barrier: then the checkpoint names the files, so that neither a failing sink nor the end
//! of the process loses or doubles a row. What is decided is decided in [`queue`]; files are [`spool`]'s.

mod feed;
mod frame;
mod queue;
mod spool;

pub(crate) use feed::Work;

use crate::error::EngineError;
use crate::manifest::Kept;
use crate::progress::Progress;
use crate::status::{SinkState, SinkStatus};
use crate::stop::stopped;
use queue::{Admission, Hold, Queue};
use spool::Spool;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedMutexGuard, watch};
use weir_connect::{ConnectError, SinkRows, Token};
use weir_event::{Clock, within};
use weir_plan::OnFull;

/// Rows in memory above which they go to files: what a sink takes between two checkpoints, unless it is much.
const MEMORY_BYTES: u64 = 32 << 20;
/// A sink that has not answered for so long is behind: nobody waits for it any more.
const PATIENCE: Duration = Duration::from_secs(5);

/// What an outbox is made with.
pub(crate) struct OutboxOpening {
    pub(crate) job: String,
    pub(crate) sink: String,
    /// Where its files are.
    pub(crate) folder: PathBuf,
    /// So much may wait for a sink that is behind.
    pub(crate) limit_bytes: u64,
    pub(crate) on_full: OnFull,
    /// Whether rows that the sink has written may have to be written again.
    pub(crate) is_kept: bool,
    /// Whether the job ends where its sources do: then it does not wait for a sink that is given up.
    pub(crate) is_bounded: bool,
    /// The number of the attempt.
    pub(crate) attempt: u64,
    /// What the last checkpoint says of the sink.
    pub(crate) token: Option<Token>,
    pub(crate) kept: Kept,
    pub(crate) progress: Arc<Progress>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stop: watch::Receiver<bool>,
}

/// The queue before one sink.
#[derive(Debug)]
pub(crate) struct Outbox {
    job: String,
    sink: String,
    folder: PathBuf,
    limit_bytes: u64,
    on_full: OnFull,
    is_kept: bool,
    is_bounded: bool,
    queue: Mutex<Queue>,
    /// Locked before `queue`.
    spool: Arc<tokio::sync::Mutex<Spool>>,
    /// Something has changed in the queue.
    changed: watch::Sender<()>,
    /// The newest failure since the sink last worked.
    trouble: Mutex<Option<ConnectError>>,
    progress: Arc<Progress>,
    clock: Arc<dyn Clock>,
    stop: watch::Receiver<bool>,
}

impl Outbox {
    /// As the last checkpoint left it; files of which that says nothing are removed.
    pub(crate) fn open(opening: OutboxOpening) -> Result<Outbox, EngineError> {
        let OutboxOpening { job, sink, folder, progress, kept, .. } = opening;
        let mut queue = Queue::restored(opening.token, kept);
        let spool = Spool::open(folder.clone(), opening.attempt, queue.files())
            .map_err(|error| unusable(&job, &sink, &folder, &error))?;
        // The job goes on in the same process: what was suspended stays so.
        if progress.is_suspended(&sink) {
            (queue.hold, queue.is_behind) = (Hold::Suspended, true);
        }
        let outbox = Outbox {
            job,
            sink,
            folder,
            limit_bytes: opening.limit_bytes,
            on_full: opening.on_full,
            is_kept: opening.is_kept,
            is_bounded: opening.is_bounded,
            queue: Mutex::new(queue),
            spool: Arc::new(tokio::sync::Mutex::new(spool)),
            changed: watch::Sender::new(()),
            trouble: Mutex::default(),
            progress,
            clock: opening.clock,
            stop: opening.stop,
        };
        outbox.show(|_| {});
        Ok(outbox)
    }

    /// The sink's name.
    pub(crate) fn sink(&self) -> &str {
        &self.sink
    }

    /// Takes rows, which are `bytes` in memory, once there is room for them.
    pub(crate) async fn append(&self, rows: &Arc<SinkRows>, bytes: u64) -> Result<(), EngineError> {
        let count = rows.columns.num_rows() as u64;
        let mut waits = Waits { outbox: self, is_held: false };
        let mut changed = self.changed.subscribe();
        loop {
            let admission = self.queue().admit(count, self.limit_bytes, self.on_full);
            match admission {
                Admission::Taken => break,
                // What is on its way when the job is stopped is little.
                Admission::Full | Admission::Hopeless if *self.stop.borrow() => break,
                Admission::Hopeless if self.is_bounded => {
                    return Err(self.undelivered().unwrap_or_else(|| self.vanished()));
                }
                Admission::Full | Admission::Hopeless => waits.wait(&mut changed).await,
                Admission::Missed => {
                    drop(waits);
                    self.suspended();
                    return Ok(());
                }
            }
        }
        drop(waits);
        self.queue().append(rows.clone(), bytes, self.clock.now());
        self.tell(|_| {});
        if self.queue().memory_bytes() > MEMORY_BYTES { self.spool(false).await } else { Ok(()) }
    }

    /// A checkpoint begins behind everything that was appended.
    pub(crate) fn begin(&self, checkpoint: u64) {
        self.queue().begin(checkpoint);
        self.tell(|_| {});
    }

    /// The sink's part of the checkpoint that has begun: its token, and what that does not cover, which is durable then.
    pub(crate) async fn part(&self) -> Result<(Option<Token>, Kept), EngineError> {
        let mut changed = self.changed.subscribe();
        let answered = async {
            while !self.queue().is_answered() {
                // The outbox, and with it the sender, is held here.
                let _ = changed.changed().await;
            }
        };
        if within(&*self.clock, PATIENCE, answered).await.is_none() {
            self.does_not_answer();
            self.queue().is_answered();
        }
        let is_prepared = self.queue().has_new_token();
        if !is_prepared {
            self.spool(true).await?;
        }
        Ok(self.queue().part())
    }

    /// The checkpoint that has begun is safe.
    pub(crate) async fn make_safe(&self) -> Result<(), EngineError> {
        let mut spool = self.spool.clone().lock_owned().await;
        let needed = {
            let mut queue = self.queue();
            queue.make_safe();
            queue.files()
        };
        self.tell(|_| {});
        if !spool.has_others(&needed) {
            return Ok(());
        }
        let remove = move || {
            spool.keep_only(&needed);
            Ok((spool, ()))
        };
        self.blocking(remove).await.map(drop)
    }

    /// Moves rows from memory to files, and makes what is there durable.
    async fn spool(&self, durable: bool) -> Result<(), EngineError> {
        let mut spool = self.spool.clone().lock_owned().await;
        let (numbers, batches): (Vec<u64>, Vec<Arc<SinkRows>>) = self.queue().in_memory().into_iter().unzip();
        let write = move || {
            let places = spool.append(&batches)?;
            if durable {
                spool.sync()?;
            }
            Ok((spool, places))
        };
        let (_spool, places) = self.blocking(write).await?;
        self.queue().moved(numbers.into_iter().zip(places).collect());
        Ok(())
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<(OwnedMutexGuard<Spool>, T)> + Send + 'static,
    ) -> Result<(OwnedMutexGuard<Spool>, T), EngineError> {
        let cpu = self.progress.cpu.clone();
        let done = tokio::task::spawn_blocking(move || cpu.measure(work)).await;
        let done = done.map_err(|_| self.vanished())?;
        done.map_err(|error| unusable(&self.job, &self.sink, &self.folder, &error))
    }

    /// Whether nothing comes any more.
    pub(crate) fn is_closed(&self) -> bool {
        self.queue().is_closed
    }

    /// Nothing comes any more: the last checkpoint is safe.
    pub(crate) fn close(&self) {
        self.queue().is_closed = true;
        self.tell(|_| {});
    }

    /// Returns once nothing comes any more.
    pub(crate) async fn closed(&self) {
        self.until(|queue| queue.is_closed).await;
    }

    /// Returns once the sink has taken and committed everything, or gets nothing more.
    pub(crate) async fn settled(&self) {
        self.until(|queue| queue.is_settled() || queue.hold != Hold::None).await;
    }

    /// Whether another checkpoint would hold a newer token of the sink.
    pub(crate) fn lacks_token(&self) -> bool {
        let queue = self.queue();
        queue.hold == Hold::None && queue.lacks_token()
    }

    /// Why the sink does not have everything, if it never will by itself.
    pub(crate) fn undelivered(&self) -> Option<EngineError> {
        let (hold, missed, rows) = {
            let queue = self.queue();
            (queue.hold, queue.missed, queue.waiting().0)
        };
        if hold == Hold::None {
            return None;
        }
        let trouble = self.trouble().clone();
        let trouble = trouble.unwrap_or_else(|| ConnectError::external("it did not answer"));
        let mut message = trouble.message;
        if rows > 0 {
            message += &format!("; {rows} rows wait for it, and are written when the job is started again");
        }
        if missed > 0 {
            message += &format!("; {missed} rows were not kept for it while it was suspended");
        }
        let error = ConnectError { retry: false, message, ..trouble };
        Some(EngineError::Sink { job: self.job.clone(), sink: self.sink.clone(), error })
    }

    async fn until(&self, is_so: impl Fn(&Queue) -> bool) {
        let mut changed = self.changed.subscribe();
        while !is_so(&self.queue()) {
            let _ = changed.changed().await;
        }
    }

    fn does_not_answer(&self) {
        let was_behind = std::mem::replace(&mut self.queue().is_behind, true);
        if was_behind {
            return;
        }
        let reason = format!("it has not answered for {PATIENCE:?}; the job goes on without it");
        tracing::warn!(job = self.job, sink = self.sink, "{reason}");
        self.tell(|status| status.state = SinkState::Retrying(reason));
    }

    fn suspended(&self) {
        let trouble = self.trouble().as_ref().map(|error| error.message.clone());
        let reason = trouble.unwrap_or_else(|| "it does not answer".to_owned());
        let is_news = !self.progress.is_suspended(&self.sink);
        self.tell(|status| {
            (status.state, status.next_try) = (SinkState::Suspended(reason.clone()), None);
        });
        if is_news {
            let job = &self.job;
            tracing::error!(
                job,
                sink = self.sink,
                reason,
                "the sink is suspended: its outbox is full, and later rows do not wait for it; `weir restart {job}` resumes it"
            );
        }
    }

    /// Something has changed: whoever waits looks, and so does the status.
    fn tell(&self, change: impl FnOnce(&mut SinkStatus)) {
        self.show(change);
        self.changed.send_replace(());
    }

    fn show(&self, change: impl FnOnce(&mut SinkStatus)) {
        let (missed, (rows, bytes, since)) = {
            let queue = self.queue();
            (queue.missed, queue.waiting())
        };
        self.progress.show_sink(&self.sink, |status| {
            (status.waiting_rows, status.waiting_bytes, status.waiting_since) = (rows, bytes, since);
            status.missed_rows = missed;
            change(status);
        });
    }

    fn vanished(&self) -> EngineError {
        EngineError::Vanished { job: self.job.clone(), stage: "outbox" }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble(&self) -> MutexGuard<'_, Option<ConnectError>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The job, while it waits for room in an outbox.
struct Waits<'a> {
    outbox: &'a Outbox,
    is_held: bool,
}

impl Waits<'_> {
    /// Until something changes, or the sink has not answered for too long, or the job is asked to stop.
    async fn wait(&mut self, changed: &mut watch::Receiver<()>) {
        let outbox = self.outbox;
        if outbox.queue().is_behind && !self.is_held {
            self.is_held = true;
            let why = outbox.trouble().as_ref().map(|error| error.message.clone());
            let why = why.unwrap_or_else(|| "it takes its rows too slowly".to_owned());
            let (sink, bytes) = (&outbox.sink, outbox.limit_bytes);
            let reason =
                format!("the outbox of sink `{sink}` is full ({bytes} bytes, `limits.outbox`): {why}");
            tracing::warn!(job = outbox.job, "the job is paused: {reason}");
            outbox.progress.set_held(Some(reason));
        }
        let mut stop = outbox.stop.clone();
        tokio::select! {
            _ = changed.changed() => {}
            () = outbox.clock.sleep(PATIENCE) => outbox.does_not_answer(),
            () = stopped(&mut stop) => {}
        }
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        if self.is_held {
            self.outbox.progress.set_held(None);
        }
    }
}

fn unusable(job: &str, sink: &str, folder: &std::path::Path, error: &io::Error) -> EngineError {
    let message =
        format!("rows that wait for sink `{sink}` cannot be kept in `{}`: {error}", folder.display());
    EngineError::Outbox { job: job.to_owned(), message }
}
