//! The sink's side of an outbox: what it does next, and what became of it.
//!
//! Must not know how rows are kept, or when checkpoints are made.

use super::queue::{Hold, NextStep};
use super::{Outbox, VisibleMark};
use crate::status::{SinkState, SinkStatus};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use weir_connect::{ConnectError, SinkCounts, SinkRows, Token};
use weir_event::EventTime;

/// What a sink is to do.
pub(crate) enum Work {
    Commit(Token),
    Write(Arc<SinkRows>),
    Prepare(u64),
    /// It gets nothing until it is resumed.
    Pause,
    /// Nothing any more.
    End,
}

impl Outbox {
    /// Where the sink starts; everything since comes again.
    pub(crate) async fn rewind(&self) -> Option<Token> {
        let mut changed = self.changed.subscribe();
        loop {
            let safe = self.queue().rewind();
            if let Some(safe) = safe {
                self.tell(|_| {});
                return safe;
            }
            let _ = changed.changed().await;
        }
    }

    /// What the sink does next, once there is something.
    pub(crate) async fn next(&self) -> Result<Work, ConnectError> {
        let mut changed = self.changed.subscribe();
        loop {
            let next = self.queue().next();
            match next {
                NextStep::Commit(token) => return Ok(Work::Commit(token)),
                NextStep::Write(rows) => return Ok(Work::Write(rows)),
                NextStep::Prepare(checkpoint) => return Ok(Work::Prepare(checkpoint)),
                NextStep::Suspended | NextStep::GoBack => return Ok(Work::Pause),
                NextStep::Closed => return Ok(Work::End),
                NextStep::Read(stretch) => {
                    let (rows, end) = self.read(stretch).await?;
                    self.queue().was_read(end, rows.columns.num_rows() as u64);
                    return Ok(Work::Write(Arc::new(rows)));
                }
                NextStep::CaughtUp => self.works(),
                NextStep::Wait => match self.past_due() {
                    Some(Duration::ZERO) => {
                        if let Some(rows) = self.next_past().await? {
                            return Ok(Work::Write(rows));
                        }
                    }
                    Some(wait) => {
                        // What comes meanwhile goes before.
                        tokio::select! {
                            _ = changed.changed() => {}
                            () = self.clock.sleep(wait) => {}
                        }
                    }
                    None => {
                        let _ = changed.changed().await;
                    }
                },
            }
        }
    }

    /// The sink has counted so much more.
    pub(crate) fn counted(&self, more: SinkCounts) {
        self.show(|status| {
            status.bytes += more.bytes;
            status.retries += more.retries;
            status.refused_rows += more.refused;
            status.stale_rows += more.stale;
        });
    }

    /// The sink has written what it was given.
    pub(crate) fn wrote(&self) {
        let new_rows = self.queue().wrote(self.is_kept);
        self.tell(|status| status.rows += new_rows);
        if new_rows > 0 {
            self.has_worked.store(true, Ordering::Release);
            self.works();
        }
    }

    /// The sink has prepared a checkpoint.
    pub(crate) fn prepared(&self, checkpoint: u64, token: Token, is_last: bool) {
        self.queue().prepared(checkpoint, token, is_last);
        self.works();
    }

    /// The sink has committed its newest token.
    pub(crate) async fn committed(&self, token: &Token) {
        self.queue().committed();
        self.has_worked.store(true, Ordering::Release);
        self.works();
        self.made_visible(Some(token)).await;
    }

    /// What the safe token covers is visible; where rows of it were not before, a mark beside the rows that wait says so.
    pub(crate) async fn made_visible(&self, safe: Option<&Token>) {
        let rows = self.queue().made_visible();
        if let Some(token) = safe.filter(|_| rows > 0 && self.shows_when_safe) {
            let mark = VisibleMark::of(self.identity(), token);
            let (folder, cpu) = (self.folder.clone(), self.progress.cpu.clone());
            // What it cannot leave it tells itself.
            drop(tokio::task::spawn_blocking(move || cpu.measure(|| mark.leave(&folder))).await);
        }
    }

    /// Whether the sink has come further since the last call: has written rows for the first time, or made some visible.
    pub(crate) fn take_worked(&self) -> bool {
        self.has_worked.swap(false, Ordering::AcqRel)
    }

    /// The sink has failed. It is tried again at a time, or not.
    pub(crate) fn failed(&self, error: &ConnectError, next_try: Option<EventTime>) {
        {
            let mut queue = self.queue();
            queue.is_behind = true;
            if next_try.is_none() && queue.hold == Hold::None {
                queue.hold = Hold::GivenUp;
            }
        }
        let is_suspended = self.queue().hold == Hold::Suspended;
        *self.trouble() = Some(error.clone());
        let (reason, now) = (error.message.clone(), self.clock.now());
        self.tell(|status| {
            status.errors += 1;
            status.attempts += 1;
            status.next_try = next_try.filter(|_| !is_suspended);
            if !is_suspended {
                let is_tried_again = next_try.is_some();
                let state =
                    if is_tried_again { SinkState::Retrying(reason) } else { SinkState::Failed(reason) };
                status.trouble(state, now);
            }
        });
    }

    /// Returns once the sink may go on, or nothing comes any more.
    pub(crate) async fn resumed(&self) {
        self.until(|queue| queue.hold != Hold::Suspended || queue.is_closed).await;
    }

    /// Lets a suspended sink go on with what waits for it.
    pub(crate) fn resume(&self) -> bool {
        let was_suspended = {
            let mut queue = self.queue();
            let was_suspended = queue.hold == Hold::Suspended;
            if was_suspended {
                queue.hold = Hold::None;
            }
            was_suspended
        };
        if was_suspended {
            tracing::info!(job = self.job, sink = self.sink, "the sink was resumed");
            self.tell(SinkStatus::works);
        }
        was_suspended
    }

    /// The sink has done something that it had not done before.
    fn works(&self) {
        *self.trouble() = None;
        self.tell(|status| {
            if !matches!(status.state, SinkState::Suspended(_)) {
                status.works();
            }
        });
    }
}
