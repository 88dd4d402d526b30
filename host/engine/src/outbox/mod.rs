//! An outbox: the queue between a job and one of its sinks, which keeps what the sink has not made durable itself.
//!
//! Delivery appends rows and barriers; the sink's task takes them; the checkpointer asks for the sink's part of a
//! checkpoint and says when that is safe. Rows are in memory while the sink works, and in files when there are many, or
//! when the sink is behind at a barrier: then the checkpoint names the files, so that neither a failing sink nor the end
//! of the process loses or doubles a row. What is made of the past waits behind all that, see [`past`]. What is decided
//! is decided in [`queue`]; files are [`spool`]'s.

mod feed;
mod frame;
mod left;
mod mark;
mod pace;
mod past;
mod queue;
mod room;
mod spool;

pub(crate) use feed::Work;
pub(crate) use left::LeftOutboxes;
pub(crate) use mark::VisibleMark;
pub(crate) use pace::together;
pub(crate) use room::Room;

use crate::back_off::BackOff;
use crate::error::EngineError;
use crate::manifest::{Covered, Kept};
use crate::progress::Progress;
use crate::status::{SinkState, SinkStatus};
use crate::stop::stopped;
use pace::Pace;
use queue::{Admission, Hold, Queue};
use spool::{LONGEST_FILE_BYTES, Spool};
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, OwnedMutexGuard, watch};
use weir_connect::{ConnectError, SinkRows, Token};
use weir_event::{Clock, within};
use weir_plan::OnFull;

/// Rows in memory above which they go to files: what a sink takes between two checkpoints, unless it is much.
const MEMORY_BYTES: u64 = 32 << 20;
/// A sink that has not answered for so long is behind: nobody waits for it any more.
const PATIENCE: Duration = Duration::from_secs(5);
/// Into so many files what may wait is cut: space is freed file by file.
const FILES: u64 = 16;
/// The longest pause before rows are kept that a disk did not take: whoever frees it sees the job go on soon.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// What an outbox is made with.
pub(crate) struct OutboxOpening {
    pub(crate) job: String,
    pub(crate) sink: String,
    /// What the sink is known by over edits.
    pub(crate) identity: Option<String>,
    /// Where its files are.
    pub(crate) folder: PathBuf,
    /// So much may wait for a sink that is behind.
    pub(crate) limit_bytes: u64,
    pub(crate) on_full: OnFull,
    /// Whether rows that the sink has written may have to be written again.
    pub(crate) is_kept: bool,
    /// Whether it shows rows only when their checkpoint is safe.
    pub(crate) shows_when_safe: bool,
    /// Whether it goes on from its last token where it was out of the definition for a while.
    pub(crate) goes_on: bool,
    /// Whether the job ends where its sources do: then it does not wait for a sink that is given up.
    pub(crate) is_bounded: bool,
    /// The number of the attempt.
    pub(crate) attempt: u64,
    /// What the last checkpoint says of the sink.
    pub(crate) token: Option<Token>,
    pub(crate) kept: Kept,
    pub(crate) covered: Covered,
    /// Rows of the past a second that it is to be given, where the definition says it.
    pub(crate) past_rate: Option<u64>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stop: watch::Receiver<bool>,
    /// Told whenever something has changed in the queue.
    pub(crate) room: Arc<Notify>,
}

/// What a checkpoint says of a sink.
#[derive(Debug)]
pub(crate) struct SinkPart {
    pub(crate) token: Option<Token>,
    /// What that is good for.
    pub(crate) covered: Covered,
    /// What it does not cover, which is durable.
    pub(crate) kept: Kept,
}

/// The queue before one sink.
#[derive(Debug)]
pub(crate) struct Outbox {
    job: String,
    sink: String,
    identity: Option<String>,
    folder: PathBuf,
    limit_bytes: u64,
    on_full: OnFull,
    is_kept: bool,
    shows_when_safe: bool,
    goes_on: bool,
    is_bounded: bool,
    is_ending: AtomicBool,
    /// Whether the sink has come further since somebody last asked.
    has_worked: AtomicBool,
    queue: Mutex<Queue>,
    /// How far the sink is with the pace of the past.
    pace: Mutex<Pace>,
    /// Locked before `queue`.
    spool: Arc<tokio::sync::Mutex<Spool>>,
    /// Something has changed in the queue.
    changed: watch::Sender<()>,
    /// The newest failure since the sink last worked.
    trouble: Mutex<Option<ConnectError>>,
    /// Why its files do not take its rows, while they do not.
    unkept: Mutex<Option<String>>,
    /// The job's present wait for the sink.
    waits: Mutex<room::Waits>,
    room: Arc<Notify>,
    progress: Arc<Progress>,
    clock: Arc<dyn Clock>,
    stop: watch::Receiver<bool>,
}

impl Outbox {
    /// As the last checkpoint left it. Files of which that says nothing go once another checkpoint is safe.
    pub(crate) fn open(opening: OutboxOpening) -> Outbox {
        let OutboxOpening { job, sink, folder, progress, kept, .. } = opening;
        let mut queue = Queue::restored(opening.token, kept).with_token_of(opening.covered);
        if let Some(rate) = opening.past_rate {
            queue.past.set_rate(rate);
        }
        // What waits of the past has no such limit: a checkpoint names as few files of it as can be.
        let file_bytes = opening.past_rate.map_or(opening.limit_bytes / FILES, |_| LONGEST_FILE_BYTES);
        let spool = Spool::open(folder.clone(), opening.attempt, file_bytes, queue.files());
        // The job goes on in the same process: what was suspended stays so.
        if progress.is_suspended(&sink) {
            (queue.hold, queue.is_behind) = (Hold::Suspended, true);
        }
        let outbox = Outbox {
            job,
            sink,
            identity: opening.identity,
            folder,
            limit_bytes: opening.limit_bytes,
            on_full: opening.on_full,
            is_kept: opening.is_kept,
            shows_when_safe: opening.shows_when_safe,
            goes_on: opening.goes_on,
            is_bounded: opening.is_bounded,
            is_ending: AtomicBool::new(false),
            has_worked: AtomicBool::new(false),
            queue: Mutex::new(queue),
            pace: Mutex::default(),
            spool: Arc::new(tokio::sync::Mutex::new(spool)),
            changed: watch::Sender::new(()),
            trouble: Mutex::default(),
            unkept: Mutex::default(),
            waits: Mutex::default(),
            room: opening.room,
            progress,
            clock: opening.clock,
            stop: opening.stop,
        };
        outbox.show(|_| {});
        outbox
    }

    /// The sink's name.
    pub(crate) fn sink(&self) -> &str {
        &self.sink
    }

    /// What the sink is known by over edits, if anything.
    pub(crate) fn identity(&self) -> Option<&str> {
        self.identity.as_deref()
    }

    /// Takes rows, which are `bytes` in memory, once there is room for them.
    pub(crate) async fn append(&self, rows: &Arc<SinkRows>, bytes: u64) -> Result<(), EngineError> {
        let count = rows.columns.num_rows() as u64;
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
                Admission::Full | Admission::Hopeless => self.wait(&mut changed).await,
                Admission::Missed => {
                    self.suspended(None);
                    return Ok(());
                }
            }
        }
        self.queue().append(rows.clone(), bytes, self.clock.now());
        self.tell(|_| {});
        self.is_full();
        // Where little may wait, what it takes in files counts: in memory a few rows take many times that.
        let is_too_much = self.queue().memory_bytes() > MEMORY_BYTES.min(self.limit_bytes / 4);
        if is_too_much && let Some(reason) = self.spool(false).await? {
            self.cannot_keep(reason)?;
        }
        Ok(())
    }

    /// Until something changes, or the sink has not answered for too long, or the job is asked to stop.
    async fn wait(&self, changed: &mut watch::Receiver<()>) {
        self.is_full();
        let mut stop = self.stop.clone();
        tokio::select! {
            _ = changed.changed() => {}
            () = self.clock.sleep(PATIENCE) => self.does_not_answer(),
            () = stopped(&mut stop) => {}
        }
    }

    /// Every source was read to its end; so ends a job that has nothing else to wait for.
    pub(crate) fn sources_end(&self) {
        if self.is_bounded {
            self.is_ending.store(true, Ordering::Release);
        }
    }

    /// Whether what is prepared now is the last of the job: it ends, or was asked to stop.
    pub(crate) fn is_last(&self) -> bool {
        self.is_ending.load(Ordering::Acquire) || *self.stop.borrow()
    }

    /// A checkpoint begins behind everything that was appended.
    pub(crate) fn begin(&self, checkpoint: u64) {
        self.queue().begin(checkpoint);
        self.tell(|_| {});
    }

    /// The sink's part of the checkpoint that has begun.
    pub(crate) async fn part(&self) -> Result<SinkPart, EngineError> {
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
        self.keep().await?;
        let mut queue = self.queue();
        let (token, kept) = queue.part();
        let covered = queue.token_covers();
        let rows = if self.shows_when_safe { covered.rows } else { 0 };
        Ok(SinkPart { token, kept, covered: Covered { goes_on: self.goes_on, rows, ..covered } })
    }

    /// Makes durable what the token of the checkpoint that has begun does not cover; waits where no disk takes it.
    async fn keep(&self) -> Result<(), EngineError> {
        let mut back_off = BackOff::up_to(LONGEST_PAUSE);
        let mut stop = self.stop.clone();
        loop {
            let is_covered = {
                let mut queue = self.queue();
                queue.take_token();
                queue.is_covered() && queue.past.is_kept()
            };
            if is_covered {
                return Ok(());
            }
            let Some(reason) = self.spool(true).await? else { return Ok(()) };
            if *stop.borrow() {
                return Err(self.unkept_rows(reason));
            }
            if self.cannot_keep(reason)? {
                continue;
            }
            // It may be well again: what it has made safe itself need not be kept.
            self.queue().wait_at_barrier();
            self.tell(|_| {});
            tokio::select! {
                () = self.clock.sleep(back_off.after(Duration::ZERO)) => {}
                () = stopped(&mut stop) => {}
            }
        }
    }

    /// A disk does not take rows: a sink that is behind is suspended without them, if it is to be, which is then so;
    /// otherwise the job waits for the disk.
    fn cannot_keep(&self, reason: String) -> Result<bool, EngineError> {
        let is_suspended = {
            let mut queue = self.queue();
            let is_suspended = self.on_full == OnFull::Suspend && queue.is_behind;
            if is_suspended {
                queue.suspend_without_memory();
            }
            is_suspended
        };
        if is_suspended {
            self.suspended(Some(reason));
        } else if self.is_bounded {
            return Err(self.unkept_rows(reason));
        } else {
            *self.unkept() = Some(reason);
            self.is_full();
        }
        Ok(is_suspended)
    }

    /// The checkpoint that has begun is safe.
    pub(crate) async fn make_safe(&self) -> Result<(), EngineError> {
        let mut spool = self.spool.clone().lock_owned().await;
        let needed = {
            let mut queue = self.queue();
            queue.make_safe();
            if queue.memory_bytes() <= MEMORY_BYTES {
                *self.unkept() = None;
            }
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

    /// Moves rows from memory to files, or only makes durable those that the checkpoint that has begun needs. Gives why
    /// the files do not take them, if so.
    async fn spool(&self, durable: bool) -> Result<Option<String>, EngineError> {
        let mut spool = self.spool.clone().lock_owned().await;
        let (rows, past) = {
            let queue = self.queue();
            let rows = if durable { queue.to_be_kept() } else { queue.in_memory() };
            (rows, queue.past.in_memory())
        };
        let (numbers, mut batches): (Vec<u64>, Vec<Arc<SinkRows>>) = rows.into_iter().unzip();
        batches.extend(past);
        let write = move || {
            let (places, refused) = spool.append(&batches);
            if durable && refused.is_none() {
                spool.sync()?;
            }
            Ok((spool, (places, refused)))
        };
        let (_spool, (mut places, refused)) = self.blocking(write).await?;
        {
            let mut queue = self.queue();
            queue.past.moved(places.split_off(numbers.len().min(places.len())));
            queue.moved(numbers.into_iter().zip(places).collect());
            if durable && refused.is_none() {
                queue.past.synced();
            }
        }
        let reason = refused.map(|error| self.unusable(&error));
        if reason.is_none() {
            *self.unkept() = None;
        }
        Ok(reason)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<(OwnedMutexGuard<Spool>, T)> + Send + 'static,
    ) -> Result<(OwnedMutexGuard<Spool>, T), EngineError> {
        let cpu = self.progress.cpu.clone();
        let done = tokio::task::spawn_blocking(move || cpu.measure(work)).await;
        let done = done.map_err(|_| self.vanished())?;
        done.map_err(|error| self.unkept_rows(self.unusable(&error)))
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
            (queue.hold, queue.missed, queue.waiting().0 + queue.waiting_past().0)
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
            message += &format!("; {missed} rows were not kept for it");
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
        let now = self.clock.now();
        self.tell(|status| status.trouble(SinkState::Retrying(reason), now));
    }

    /// The sink gets no more rows, for this reason or because its outbox is full.
    fn suspended(&self, disk: Option<String>) {
        let trouble = self.trouble().as_ref().map(|error| error.message.clone());
        let trouble = trouble.unwrap_or_else(|| "it does not answer".to_owned());
        let (why, reason) = match disk {
            None => ("its outbox is full", trouble),
            Some(disk) => ("its outbox cannot be written", format!("{disk}; and the sink: {trouble}")),
        };
        let is_news = !self.progress.is_suspended(&self.sink);
        let now = self.clock.now();
        self.tell(|status| {
            if is_news {
                status.trouble(SinkState::Suspended(reason.clone()), now);
                status.next_try = None;
            }
        });
        if is_news {
            let job = &self.job;
            tracing::error!(
                job,
                sink = self.sink,
                reason,
                "the sink is suspended: {why}, and later rows do not wait for it; `weir restart {job}` resumes it"
            );
        }
    }

    /// Something has changed: whoever waits looks, and so does the status.
    fn tell(&self, change: impl FnOnce(&mut SinkStatus)) {
        self.show(change);
        self.changed.send_replace(());
        self.room.notify_one();
    }

    fn show(&self, change: impl FnOnce(&mut SinkStatus)) {
        let (missed, (rows, bytes, since), past) = {
            let queue = self.queue();
            (queue.missed, queue.waiting(), queue.waiting_past())
        };
        self.progress.show_sink(&self.sink, |status| {
            (status.waiting_rows, status.waiting_bytes, status.waiting_since) = (rows, bytes, since);
            (status.past_waiting_rows, status.past_waiting_bytes) = past;
            status.missed_rows = missed;
            change(status);
        });
    }

    fn unusable(&self, error: &io::Error) -> String {
        format!(
            "rows that wait for sink `{}` cannot be kept in `{}`: {error}",
            self.sink,
            self.folder.display()
        )
    }

    fn unkept_rows(&self, message: String) -> EngineError {
        EngineError::Outbox { job: self.job.clone(), message }
    }

    fn vanished(&self) -> EngineError {
        EngineError::Vanished { job: self.job.clone(), stage: "outbox" }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unkept(&self) -> MutexGuard<'_, Option<String>> {
        self.unkept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn trouble(&self) -> MutexGuard<'_, Option<ConnectError>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
