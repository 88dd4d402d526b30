//! Whether a job may read on.
//!
//! A sink that is far behind holds its job up where that reads, not where results leave: what is on its way still goes to
//! the outboxes, and so do barriers, so that checkpoints go on while the job waits. Must not know how rows are kept.

use super::queue::Hold;
use super::{Outbox, PoisonError};
use crate::error::EngineError;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;
use tokio::sync::Notify;

/// The log says at most so often that a job waits for the same sink: one that is slow makes it wait again and again.
const TELL_EVERY: Duration = Duration::from_mins(1);

/// The outboxes of a job, as whoever reads for it sees them.
pub(crate) struct Room {
    outboxes: Vec<Arc<Outbox>>,
    changed: Arc<Notify>,
}

/// How a job waits for one sink.
#[derive(Debug, Default)]
pub(super) struct Waits {
    /// Since when, while it does.
    since: Option<Duration>,
    /// Whether the log says so.
    is_told: bool,
    told_at: Option<Duration>,
}

impl Room {
    /// `changed` is told whenever something has changed in one of the outboxes.
    pub(crate) fn new(outboxes: Vec<Arc<Outbox>>, changed: Arc<Notify>) -> Room {
        Room { outboxes, changed }
    }

    /// Whether the job may read on now; an error where it never may.
    pub(crate) fn is_free(&self) -> Result<bool, EngineError> {
        let mut is_free = true;
        for outbox in self.outboxes.iter().filter(|outbox| outbox.is_full()) {
            is_free = false;
            outbox.hopeless().map_or(Ok(()), Err)?;
        }
        Ok(is_free)
    }

    /// Returns once something has changed. Cancel safe.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl Outbox {
    /// Whether its job is to wait before it reads on; shows that it does.
    pub(super) fn is_full(&self) -> bool {
        let is_full = self.queue().is_full(self.limit_bytes, self.on_full);
        let unkept = self.unkept().clone();
        match unkept.or_else(|| is_full.then(|| self.why_full())) {
            Some(reason) => self.job_waits(reason),
            None => self.job_goes_on(),
        }
    }

    /// Why a job that is to end does not: what waits will not go.
    fn hopeless(&self) -> Option<EngineError> {
        let is_given_up = self.queue().hold == Hold::GivenUp;
        self.undelivered().filter(|_| self.is_bounded && is_given_up)
    }

    fn why_full(&self) -> String {
        let why = self.trouble().as_ref().map(|error| error.message.clone());
        let why = why.unwrap_or_else(|| "it takes its rows too slowly".to_owned());
        let (sink, bytes) = (&self.sink, self.limit_bytes);
        format!("the outbox of sink `{sink}` is full ({bytes} bytes, `limits.outbox`): {why}")
    }

    fn job_waits(&self, reason: String) -> bool {
        let now = self.clock.monotonic();
        let mut waits = self.waits();
        if waits.since.is_none() {
            waits.since = Some(now);
            let is_due = |told_at: Duration| now.saturating_sub(told_at) >= TELL_EVERY;
            waits.is_told = waits.told_at.is_none_or(is_due);
            if waits.is_told {
                waits.told_at = Some(now);
                tracing::warn!(job = self.job, "the job is paused: {reason}");
            }
        }
        self.progress.set_held(&self.sink, Some(reason));
        true
    }

    fn job_goes_on(&self) -> bool {
        let mut waits = self.waits();
        if let Some(since) = waits.since.take() {
            self.progress.set_held(&self.sink, None);
            if waits.is_told {
                let (job, sink) = (&self.job, &self.sink);
                let waited = self.clock.monotonic().saturating_sub(since);
                tracing::info!(job, sink, "the job goes on; it was paused for {waited:.1?}");
            }
        }
        false
    }

    fn waits(&self) -> MutexGuard<'_, Waits> {
        self.waits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
