//! The task of one sink: does what its outbox says, and starts the sink anew when it fails, alone.
//!
//! Knows a sink by its trait and an outbox. Must not know of other sinks, or what a checkpoint is.

use crate::back_off::BackOff;
use crate::driver::Mode;
use crate::error::EngineError;
use crate::outbox::{Outbox, Work};
use std::sync::Arc;
use std::time::Duration;
use weir_connect::{ConnectError, Delivery, Sink, SinkCounts};
use weir_event::{Clock, Fault, Span};
use weir_plan::OnFull;

/// The longest pause before a sink is tried again: rows wait for it, and a try costs little.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// So long a sink may take to make the last checkpoint visible once its job has stopped; else its next start does.
const GRACE: Duration = Duration::from_secs(5);

/// So long a sink that fails is tried again when a run has come to its end: who waits for the run has to hear of it, and the
/// next one gives it what waits.
const AFTER_THE_END: Duration = Duration::from_secs(120);

/// Makes a sink. Does no I/O.
pub type MakeSink = Arc<dyn Fn() -> Result<Box<dyn Sink>, ConnectError> + Send + Sync>;

/// A sink of a job.
#[derive(Clone)]
pub struct SinkSpec {
    /// Unique in the job, and fit for a file's name. A sink that the job's last checkpoint knows keeps the name that it
    /// has there.
    pub name: String,
    /// Kind, such as `file`.
    pub kind: String,
    /// What happens when it is far behind.
    pub on_full: OnFull,
    /// Opens it anew: at the start of the job, and after each failure.
    pub make: MakeSink,
}

/// What a sink says of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AboutSink {
    pub(crate) wants_meta: bool,
    /// Whether rows that it has written may have to be written again.
    pub(crate) is_kept: bool,
    /// Whether it goes on from its last token where it was out of the definition for a while.
    pub(crate) goes_on: bool,
    /// Whether it shows rows only when their checkpoint is safe.
    pub(crate) shows_when_safe: bool,
    /// Whether it keeps a newer row of a key where an older one comes behind it.
    pub(crate) refuses_older: bool,
}

impl AboutSink {
    pub(crate) fn of(sink: &dyn Sink) -> AboutSink {
        AboutSink {
            wants_meta: sink.wants_meta(),
            is_kept: !sink.forgets(),
            goes_on: sink.goes_on(),
            shows_when_safe: sink.delivery() == Delivery::ExactlyOnce,
            refuses_older: sink.refuses_older(),
        }
    }
}

impl Default for AboutSink {
    /// Of one that cannot be made.
    fn default() -> AboutSink {
        AboutSink {
            wants_meta: true,
            is_kept: true,
            goes_on: false,
            shows_when_safe: false,
            refuses_older: true,
        }
    }
}

/// The task that feeds a sink.
pub(crate) struct SinkTask {
    pub(crate) job: String,
    pub(crate) make: MakeSink,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) mode: Mode,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Why a sink is not fed any more.
enum Pause {
    Suspended,
    End,
}

impl SinkTask {
    /// Until the outbox is closed.
    pub(crate) async fn run(self) -> Result<(), EngineError> {
        let grace = async {
            self.outbox.closed().await;
            self.clock.sleep(GRACE).await;
        };
        tokio::select! {
            () = self.feed() => {}
            () = grace => {
                let (job, sink) = (&self.job, self.outbox.sink());
                tracing::warn!(job, sink, "the sink does not answer; its next start goes on from the last checkpoint");
            }
        }
        Ok(())
    }

    async fn feed(&self) {
        let mut back_off = BackOff::up_to(LONGEST_PAUSE);
        // When it first failed at the end of a run, since it last worked.
        let mut at_the_end: Option<Duration> = None;
        loop {
            self.outbox.resumed().await;
            let began = self.clock.monotonic();
            let error = match self.feed_one().await {
                Ok(Pause::End) => return,
                Ok(Pause::Suspended) => continue,
                Err(error) => error,
            };
            if self.outbox.take_worked() {
                at_the_end = None;
            }
            let now = self.clock.monotonic();
            let pause = back_off.after(now.saturating_sub(began));
            let is_over = self.mode != Mode::Live
                && self.outbox.is_last()
                && now.saturating_sub(*at_the_end.get_or_insert(now)) >= AFTER_THE_END;
            let is_tried_again =
                (error.retry && !is_over) || (self.mode == Mode::Live && error.fault != Fault::Weir);
            let next_try =
                is_tried_again.then(|| self.clock.now() + Span::from_millis(pause.as_millis() as i64));
            self.tell(&error, next_try.map(|_| pause));
            self.outbox.failed(&error, next_try);
            if next_try.is_none() {
                return self.outbox.closed().await;
            }
            tokio::select! {
                () = self.clock.sleep(pause) => {}
                () = self.outbox.closed() => return,
            }
        }
    }

    /// Opens the sink and feeds it until it fails.
    async fn feed_one(&self) -> Result<Pause, ConnectError> {
        let safe = self.outbox.rewind().await;
        if self.outbox.is_closed() {
            return Ok(Pause::End);
        }
        let mut sink = (self.make)()?;
        sink.start(safe.as_ref()).await?;
        self.outbox.made_visible(safe.as_ref()).await;
        let mut counted = SinkCounts::default();
        loop {
            let work = self.outbox.next().await?;
            let done = self.act(&mut *sink, work).await;
            let counts = sink.counts();
            self.outbox.counted(counts.since(std::mem::replace(&mut counted, counts)));
            if let Some(pause) = done? {
                return Ok(pause);
            }
        }
    }

    /// Has the sink do one thing, and says in its outbox what became of it; gives why it gets nothing more, if so.
    async fn act(&self, sink: &mut dyn Sink, work: Work) -> Result<Option<Pause>, ConnectError> {
        match work {
            Work::Commit(token) => {
                sink.commit(&token).await?;
                self.outbox.committed(&token).await;
            }
            Work::Write(rows) => {
                sink.write(&rows).await?;
                self.outbox.wrote();
            }
            Work::Prepare(checkpoint) => {
                let is_last = self.outbox.is_last();
                let token = match is_last {
                    true => sink.prepare_last(checkpoint).await?,
                    false => sink.prepare(checkpoint).await?,
                };
                self.outbox.prepared(checkpoint, token, is_last);
            }
            Work::Pause => return Ok(Some(Pause::Suspended)),
            Work::End => return Ok(Some(Pause::End)),
        }
        Ok(None)
    }

    fn tell(&self, error: &ConnectError, pause: Option<Duration>) {
        let (job, sink) = (&self.job, self.outbox.sink());
        match pause {
            Some(pause) => {
                tracing::warn!(job, sink, %error, "the sink failed; trying it again in {pause:.1?}")
            }
            None => tracing::error!(job, sink, %error, "the sink failed; the rest of the job goes on"),
        }
    }
}
