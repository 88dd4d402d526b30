//! The driver: the task that drives a job. Reads, decodes, has blocks taken, and says where barriers fall.
//!
//! What counts is decided by taking, in the order of each partition's log. The wall's clock is asked for pacing
//! alone: when to checkpoint, when a partition is idle, how long to back off.

use crate::backlog::Backlog;
use crate::bootstrap::Phase;
use crate::checkpoint::Begun;
use crate::dead_letters::DeadLetters;
use crate::decode::{Decoding, Outcome};
use crate::error::EngineError;
use crate::inputs::{Inputs, Readers};
use crate::outbox::Room;
use crate::progress::{Progress, Tally};
use crate::reading::DriverState;
use crate::skew::Tell;
use crate::status::JobState;
use crate::stop::stopped;
use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use weir_connect::{ConnectError, Fetch, OpenPartition, RawBlock};
use weir_core::idle::Wish;
use weir_core::stored::Stored;
use weir_core::{Judgement, KeyedRows, ResultRows, Taken};
use weir_event::{Clock, EventTime, Message, PartitionId, Signal, Ticks};
use weir_plan::JobPlan;
use weir_store::Entry;

/// How long a job reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Until it is stopped.
    Live,
    /// To where the source's log ends at start, then everything open is written.
    UntilEnd,
}

/// Idleness and readiness are judged this often.
const TICK: Duration = Duration::from_millis(100);
/// Back-off after a failure of the source that may pass: doubled from the first to the last.
const FIRST_BACK_OFF: Duration = Duration::from_millis(250);
const LAST_BACK_OFF: Duration = Duration::from_secs(10);

/// Where rows go from here.
pub(crate) enum Next {
    /// To the shards.
    Shards(Vec<ShardInbox>),
    /// Straight to delivery: a job without a stage.
    Delivery(mpsc::Sender<Message<ResultRows>>),
}

/// Where a shard is handed rows, and which are its.
pub(crate) struct ShardInbox {
    pub(crate) groups: Range<u16>,
    /// Each message goes with its number.
    pub(crate) inbox: mpsc::Sender<(u64, Message<Arc<KeyedRows>>)>,
}

/// The task that drives a job.
pub(crate) struct Driver {
    pub(crate) plan: Arc<JobPlan>,
    /// What is read now.
    pub(crate) inputs: Inputs,
    /// What is read once the past is.
    pub(crate) logs: Inputs,
    pub(crate) decoding: Decoding,
    pub(crate) mode: Mode,
    pub(crate) next: Next,
    /// Whether the sinks let it read on.
    pub(crate) room: Room,
    pub(crate) begun: mpsc::Sender<Begun>,
    pub(crate) done: mpsc::UnboundedReceiver<u64>,
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) tally: Tally,
    pub(crate) dead_letters: Arc<DeadLetters>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) checkpoint_every: Duration,
    /// Whether the attempt ends when the job is bootstrapped, as the next one has other shards.
    pub(crate) is_to_restart: bool,
    pub(crate) state: DriverState,
}

enum Event {
    Decoded(Option<Option<Outcome>>),
    Fetched(Result<Fetch, ConnectError>),
    CheckpointDone,
    /// A sink has taken something.
    Room,
    Tick,
    Stop,
}

impl Driver {
    /// Drives the job until it is stopped or, in [`Mode::UntilEnd`], has read everything. Returns after the last
    /// checkpoint is safe.
    pub(crate) async fn run(mut self) -> Result<(), EngineError> {
        let mut reader = self.open().await?;
        self.watch_backlog();
        self.show_bootstrap();
        let mut ticks = Ticks::from_now(&self.clock, TICK);
        loop {
            let open = reader.as_mut().filter(|_| self.decoding.has_room());
            let is_free = self.room.is_free()?;
            let event = tokio::select! {
                biased;
                () = stopped(&mut self.stop) => Event::Stop,
                Some(_) = self.done.recv() => Event::CheckpointDone,
                () = ticks.tick() => Event::Tick,
                // Before what is decoded is taken, so that other workers decode meanwhile.
                fetched = fetch(open) => Event::Fetched(fetched),
                decoded = self.decoding.next(), if is_free && !self.decoding.is_empty() => {
                    Event::Decoded(decoded)
                }
                () = self.room.changed(), if !is_free => Event::Room,
            };
            match event {
                Event::Decoded(decoded) => {
                    let broke = || self.broken("the decoder panicked; its block cannot be read");
                    let outcome = decoded.flatten().ok_or_else(broke)?;
                    self.take_decoded(outcome).await?;
                    if let Some(reader) = &mut reader {
                        self.pause_and_resume(reader);
                    }
                }
                Event::Fetched(Ok(fetch)) => {
                    self.decoding.push(fetch);
                    continue;
                }
                Event::Fetched(Err(error)) => {
                    reader = self.reopen(error).await?;
                    continue;
                }
                Event::CheckpointDone => self.state.begun = None,
                Event::Room => {}
                Event::Tick => {
                    let trouble = reader.as_ref().and_then(Readers::trouble);
                    self.progress.set_trouble(trouble.or_else(|| self.state.undecoded.clone()));
                    self.progress.observe_end(self.clock.now());
                    self.show_past();
                    self.tick().await?;
                }
                Event::Stop => {
                    self.progress.set_state(JobState::Stopped);
                    return self.commit_now(false).await;
                }
            }
            let (goes_on, is_bootstrapped) = self.next_phase(reader).await?;
            reader = goes_on;
            if is_bootstrapped && self.is_to_restart {
                return Ok(());
            }
            if self.is_at_end() {
                self.send_signal(Signal::End).await?;
                self.commit_now(true).await?;
                self.refuse_too_late();
                for source in 0..self.state.refusals.len() {
                    self.warn(source, self.state.refusals[source].at_end());
                }
                self.progress.set_state(JobState::Finished);
                return Ok(());
            }
            self.checkpoint_when_due().await?;
        }
    }

    async fn take_decoded(&mut self, outcome: Outcome) -> Result<(), EngineError> {
        match outcome {
            Outcome::Ready(arrival) => {
                self.state.undecoded = None;
                self.take_in_turn(arrival).await
            }
            Outcome::Unready(unready) => {
                let (block, error) = *unready;
                self.decode_later(block, error)
            }
        }
    }

    /// What a block's records need to be decoded cannot be had now: the job says so, and tries again.
    fn decode_later(&mut self, block: RawBlock, error: ConnectError) -> Result<(), EngineError> {
        if !error.retry {
            return Err(EngineError::Source { job: self.plan.name.clone(), error });
        }
        if self.state.undecoded.as_ref() != Some(&error.message) {
            tracing::warn!(job = self.plan.name, %error, "records cannot be decoded now; trying again until they can");
        }
        self.progress.set_trouble(Some(error.message.clone()));
        self.state.undecoded = Some(error.message);
        self.decoding.again(block, &self.clock);
        Ok(())
    }

    fn pause_and_resume(&mut self, reader: &mut Readers) {
        for tell in self.state.skew.tell() {
            match tell {
                Tell::Pause(partition) => reader.pause(partition),
                Tell::Resume(partition) => reader.resume(partition),
            }
        }
    }

    fn is_at_end(&self) -> bool {
        self.mode == Mode::UntilEnd
            && self.state.phase() != Phase::Past
            && self.state.caught_up.len() == self.state.all.len()
            && self.decoding.is_empty()
    }

    /// Asks how much is left of what is read now.
    pub(crate) fn watch_backlog(&mut self) {
        let bounded = self.mode == Mode::UntilEnd;
        let (inputs, progress) = (self.inputs.clone(), self.progress.clone());
        self.state.backlog = Some(Backlog::watch(inputs, progress, bounded, &self.clock));
    }

    /// Opens the sources where reading goes on; retries with back-off what may pass.
    pub(crate) async fn open(&mut self) -> Result<Option<Readers>, EngineError> {
        let mut back_off = FIRST_BACK_OFF;
        let mut stop = self.stop.clone();
        loop {
            // The other side may take as long as it likes to answer: a stop does not wait for it.
            let partitions = tokio::select! {
                partitions = self.inputs.partitions(&self.state.positions) => partitions,
                () = stopped(&mut stop) => return Ok(None),
            };
            let opened = match partitions {
                Ok(partitions) => {
                    self.expect_all(&partitions).await?;
                    tokio::select! {
                        opened = self.inputs.open(&partitions, self.mode == Mode::UntilEnd) => opened,
                        () = stopped(&mut stop) => return Ok(None),
                    }
                }
                Err(error) => Err(error),
            };
            match opened {
                Ok(reader) => {
                    self.progress.set_state(JobState::Running);
                    return Ok(Some(reader));
                }
                Err(error) if error.retry => {
                    tracing::warn!(job = self.plan.name, %error, "source not available; retrying in {back_off:?}");
                    self.progress.set_state(JobState::Retrying(error.message));
                    tokio::select! {
                        () = self.clock.sleep(back_off) => {}
                        () = stopped(&mut stop) => return Ok(None),
                    }
                    back_off = (back_off * 2).min(LAST_BACK_OFF);
                }
                Err(error) => return Err(EngineError::Source { job: self.plan.name.clone(), error }),
            }
        }
    }

    /// These partitions are about to be read. Where new ones begin is safe before anything of them is answered for: the
    /// same beginning may not be found again.
    async fn expect_all(&mut self, partitions: &[(u16, Vec<OpenPartition>)]) -> Result<(), EngineError> {
        let known = self.state.positions.len();
        for (source, own) in partitions {
            for open in own {
                let partition = PartitionId { source: *source, partition: open.partition };
                self.expect(partition, open.from.as_ref());
            }
        }
        if self.state.positions.len() > known { self.commit_now(false).await } else { Ok(()) }
    }

    /// A reader has failed: what was handed out is taken first, then all are opened anew from there.
    async fn reopen(&mut self, error: ConnectError) -> Result<Option<Readers>, EngineError> {
        if !error.retry {
            return Err(EngineError::Source { job: self.plan.name.clone(), error });
        }
        tracing::warn!(job = self.plan.name, %error, "reading failed; opening the source again");
        while let Some(decoded) = self.decoding.next().await {
            match decoded.ok_or_else(|| self.broken("the decoder panicked; its block cannot be read"))? {
                Outcome::Ready(arrival) => self.take_in_turn(arrival).await?,
                // It and what is behind it are read again.
                Outcome::Unready(_) => self.decoding.clear(),
            }
        }
        self.state.undecoded = None;
        self.state.skew.forget();
        self.state.held.clear();
        self.state.idleness.lost(self.state.intake.watermark());
        self.state.caught_up.clear();
        self.progress.freshness.left_end(self.clock.monotonic());
        self.progress.set_state(JobState::Retrying(error.message));
        self.clock.sleep(FIRST_BACK_OFF).await;
        self.open().await
    }

    pub(crate) async fn send_watermark(&mut self, watermark: Option<EventTime>) -> Result<(), EngineError> {
        if let Some(watermark) = watermark {
            if let Some(end) = self.state.past_ends_before(watermark) {
                self.send_signal(Signal::Watermark(end)).await?;
                self.past_is_over().await?;
            }
            self.progress.set_watermark(watermark);
            self.send_signal(Signal::Watermark(watermark)).await?;
        }
        Ok(())
    }

    pub(crate) async fn send_signal(&mut self, signal: Signal) -> Result<(), EngineError> {
        self.state.sequence += 1;
        match &self.next {
            Next::Shards(shards) => {
                for (number, shard) in shards.iter().enumerate() {
                    self.progress.sent(number, self.state.sequence);
                    let message = (self.state.sequence, Message::Signal(signal));
                    shard.inbox.send(message).await.map_err(|_| self.vanished("keyed"))?;
                }
            }
            Next::Delivery(delivery) => {
                delivery.send(Message::Signal(signal)).await.map_err(|_| self.vanished("deliver"))?;
            }
        }
        Ok(())
    }

    async fn tick(&mut self) -> Result<(), EngineError> {
        if self.mode == Mode::UntilEnd {
            return Ok(());
        }
        self.refuse_too_late();
        for source in 0..self.state.refusals.len() {
            match self.state.refusals[source].tick(self.clock.monotonic()) {
                Judgement::NotYet => {}
                Judgement::Fine => self.warn(source, None),
                Judgement::Warning(warning) => self.warn(source, Some(warning)),
                Judgement::GoesOn(warning) => self.show_warning(source, Some(warning)),
            }
        }
        let asked = self.state.idleness.tick(self.clock.monotonic(), self.state.intake.watermark());
        self.report_idle();
        match asked {
            Wish::Watermark => {
                let before = self.progress.watermark();
                let moved = self.state.intake.promised().filter(|now| Some(*now) > before);
                self.send_watermark(moved).await
            }
            Wish::Flush => self.send_signal(Signal::End).await,
        }
    }

    /// Reports partitions that have become idle, or are so no more.
    fn report_idle(&mut self) {
        let is_idle = |id: &PartitionId| self.state.intake.is_idle(*id);
        let idle: BTreeSet<PartitionId> = self.state.all.iter().copied().filter(is_idle).collect();
        for id in idle.symmetric_difference(&self.state.idle) {
            self.report(*id);
        }
        self.state.idle = idle;
    }

    /// Counts among the rows that are of no use those that the keyed stage has found to be.
    fn refuse_too_late(&mut self) {
        for (input, too_late) in self.progress.take_too_late() {
            if let Some(refusals) = self.state.refusals.get_mut(input) {
                refusals.add(Taken { too_late, ..Taken::default() });
            }
        }
    }

    /// Says aloud what is wrong with most rows of an input, and shows it until it is no longer so.
    fn warn(&mut self, source: usize, warning: Option<String>) {
        if let Some(warning) = &warning {
            tracing::warn!(job = self.plan.name, stream = self.plan.inputs[source].stream.name, "{warning}");
        }
        self.show_warning(source, warning);
    }

    fn show_warning(&mut self, source: usize, warning: Option<String>) {
        self.state.warnings[source] = warning;
        let names = self.plan.inputs.iter().map(|input| &input.stream.name);
        let told = names.zip(&self.state.warnings).filter_map(|(name, warning)| {
            let warning = warning.as_ref()?;
            let is_only = self.plan.inputs.len() == 1;
            Some(if is_only { warning.clone() } else { format!("stream `{name}`: {warning}") })
        });
        let told: Vec<String> = told.collect();
        self.progress.set_warning((!told.is_empty()).then(|| told.join("; ")));
    }

    async fn checkpoint_when_due(&mut self) -> Result<(), EngineError> {
        let now = self.clock.monotonic();
        let due = now.saturating_sub(self.state.last_barrier) >= self.checkpoint_every;
        if due && self.state.begun.is_none() { self.begin_checkpoint(false).await } else { Ok(()) }
    }

    async fn begin_checkpoint(&mut self, at_end: bool) -> Result<(), EngineError> {
        let body = self.state.next_body(self.tally.counts(), self.progress.freshness.distance());
        let now = self.clock.monotonic();
        self.state.last_barrier = now;
        self.state.begun = Some(body.checkpoint);
        let entry = |it: Stored| Entry { key: it.key.into(), value: Some(it.value.into()) };
        let entries = self.state.intake.fresh_ids(body.checkpoint).into_iter().map(entry).collect();
        let begun = Begun { body, entries, at: now, at_end };
        self.begun.send(begun).await.map_err(|_| self.vanished("checkpoint"))?;
        self.send_signal(Signal::Barrier(self.state.body.checkpoint)).await
    }

    /// A checkpoint that is waited for: everything taken so far is safe when this returns. At the end of the sources, so is
    /// everything in the sinks.
    pub(crate) async fn commit_now(&mut self, at_end: bool) -> Result<(), EngineError> {
        while self.state.begun.is_some() {
            self.done.recv().await.ok_or_else(|| self.vanished("checkpoint"))?;
            self.state.begun = None;
        }
        self.begin_checkpoint(at_end).await?;
        self.done.recv().await.ok_or_else(|| self.vanished("checkpoint"))?;
        self.state.begun = None;
        Ok(())
    }

    pub(crate) fn broken(&self, message: &str) -> EngineError {
        EngineError::Broken { job: self.plan.name.clone(), message: message.to_owned() }
    }

    pub(crate) fn vanished(&self, stage: &'static str) -> EngineError {
        EngineError::Vanished { job: self.plan.name.clone(), stage }
    }
}

/// The next thing that the reader has, never if there is none.
async fn fetch(reader: Option<&mut Readers>) -> Result<Fetch, ConnectError> {
    match reader {
        Some(reader) => reader.next().await,
        None => std::future::pending().await,
    }
}
