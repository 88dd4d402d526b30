//! Intake: the task that drives a job. Reads, decodes, admits, projects and routes, and says where barriers fall.
//!
//! Everything that decides what counts happens here, in the order of each partition's log. The wall's clock is
//! asked for pacing alone: when to checkpoint, when a partition is idle, how long to back off.

use crate::admit::{Payloads, Rows, Rules, Step, admit, letter};
use crate::checkpoint::Begun;
use crate::dead_letters::{DeadLetter, DeadLetters};
use crate::decode::{Decoding, Intake};
use crate::emit::{ResultRows, emit_projected};
use crate::error::EngineError;
use crate::idle::{Ask, Idleness};
use crate::manifest::{Body, PartitionState};
use crate::project::{FailedRow, project};
use crate::route::{Routed, route};
use crate::status::{JobState, PartitionStatus, Progress};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use weir_connect::{ConnectError, Decoded, Fetch, OpenPartition, RawBlock, Reader, Source};
use weir_event::{
    Clock, EventTime, JobWatermark, Message, PartitionId, PartitionWatermark, Position, Signal,
};
use weir_plan::{ExpressionError, JobPlan};

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
    /// To the shards, with the number of each message.
    Shards(Vec<mpsc::Sender<(u64, Message<Routed>)>>),
    /// Straight to delivery: a job without a stage.
    Delivery(mpsc::Sender<Message<ResultRows>>),
}

/// The task that drives a job.
pub(crate) struct Driver {
    pub(crate) plan: Arc<JobPlan>,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) decoding: Decoding,
    pub(crate) mode: Mode,
    pub(crate) next: Next,
    pub(crate) begun: mpsc::Sender<Begun>,
    pub(crate) done: mpsc::UnboundedReceiver<u64>,
    pub(crate) stop: watch::Receiver<bool>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) dead_letters: Arc<DeadLetters>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) checkpoint_every: Duration,
    pub(crate) with_identity: bool,
    pub(crate) state: DriverState,
}

/// What the driver carries from block to block; what of it must survive is in every checkpoint's body.
pub(crate) struct DriverState {
    pub(crate) body: Body,
    pub(crate) rules: Rules,
    pub(crate) positions: BTreeMap<PartitionId, Position>,
    pub(crate) watermarks: BTreeMap<PartitionId, PartitionWatermark>,
    pub(crate) watermark: JobWatermark,
    pub(crate) idleness: Idleness,
    pub(crate) caught_up: BTreeSet<PartitionId>,
    pub(crate) all: BTreeSet<PartitionId>,
    pub(crate) sequence: u64,
    pub(crate) ready_at: Option<u64>,
    pub(crate) begun: Option<u64>,
    pub(crate) last_barrier: Duration,
}

impl DriverState {
    pub(crate) fn resume(plan: &JobPlan, body: Body, now: Duration) -> Self {
        let input = &plan.inputs[0].stream;
        let mut state = DriverState {
            rules: Rules::of(plan),
            positions: BTreeMap::new(),
            watermarks: BTreeMap::new(),
            watermark: JobWatermark::resume(body.watermark),
            idleness: Idleness::new(input.idle_after, input.when_idle),
            caught_up: BTreeSet::new(),
            all: BTreeSet::new(),
            sequence: 0,
            ready_at: None,
            begun: None,
            last_barrier: now,
            body,
        };
        for partition in &state.body.partitions {
            state.positions.insert(partition.id, partition.position.clone());
            if let Some(newest) = partition.newest {
                let watermark = PartitionWatermark::resume(input.disorder, newest);
                state.watermarks.insert(partition.id, watermark);
                state.watermark.update(partition.id, watermark.current());
            }
        }
        state
    }
}

enum Event {
    Decoded(Option<Option<Intake>>),
    Fetched(Result<Fetch, ConnectError>),
    CheckpointDone,
    Tick,
    Stop,
}

impl Driver {
    /// Drives the job until it is stopped or, in [`Mode::UntilEnd`], has read everything. Returns after the last
    /// checkpoint is safe.
    pub(crate) async fn run(mut self) -> Result<(), EngineError> {
        let mut reader = self.open().await?;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let open = reader.as_mut().filter(|_| self.decoding.has_room());
            let event = tokio::select! {
                biased;
                () = stopped(&mut self.stop) => Event::Stop,
                Some(_) = self.done.recv() => Event::CheckpointDone,
                _ = ticks.tick() => Event::Tick,
                decoded = self.decoding.next(), if !self.decoding.is_empty() => Event::Decoded(decoded),
                fetched = fetch(open) => Event::Fetched(fetched),
            };
            match event {
                Event::Decoded(decoded) => {
                    let broke = || self.broken("the decoder panicked; its block cannot be read");
                    let intake = decoded.flatten().ok_or_else(broke)?;
                    self.take(intake).await?;
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
                Event::Tick => self.tick().await?,
                Event::Stop => {
                    self.progress.set_state(JobState::Stopped);
                    return self.finish().await;
                }
            }
            if self.is_at_end() {
                self.send_signal(Signal::End).await?;
                self.finish().await?;
                self.progress.set_state(JobState::Finished);
                return Ok(());
            }
            self.checkpoint_when_due().await?;
        }
    }

    fn is_at_end(&self) -> bool {
        self.mode == Mode::UntilEnd
            && self.state.caught_up.len() == self.state.all.len()
            && self.decoding.is_empty()
    }

    /// Opens the source where reading goes on; retries with back-off what may pass.
    async fn open(&mut self) -> Result<Option<Box<dyn Reader>>, EngineError> {
        let mut back_off = FIRST_BACK_OFF;
        loop {
            match self.try_open().await {
                Ok(reader) => {
                    self.progress.set_state(JobState::Running);
                    return Ok(Some(reader));
                }
                Err(error) if error.retry => {
                    tracing::warn!(job = self.plan.name, %error, "source not available; retrying in {back_off:?}");
                    self.progress.set_state(JobState::Retrying(error.message));
                    tokio::select! {
                        () = tokio::time::sleep(back_off) => {}
                        () = stopped(&mut self.stop) => return Ok(None),
                    }
                    back_off = (back_off * 2).min(LAST_BACK_OFF);
                }
                Err(error) => return Err(EngineError::Source { job: self.plan.name.clone(), error }),
            }
        }
    }

    async fn try_open(&mut self) -> Result<Box<dyn Reader>, ConnectError> {
        let count = self.source.partitions().await?;
        let ids = (0..count).map(|partition| PartitionId { source: 0, partition });
        for id in ids.clone() {
            self.state.all.insert(id);
            self.state.watermark.add(id);
        }
        let partitions: Vec<_> = ids
            .map(|id| OpenPartition { partition: id.partition, from: self.state.positions.get(&id).cloned() })
            .collect();
        self.source.open(0, &partitions, self.mode == Mode::UntilEnd).await
    }

    /// A reader has failed: what it handed out is taken first, then another is opened from there.
    async fn reopen(&mut self, error: ConnectError) -> Result<Option<Box<dyn Reader>>, EngineError> {
        if !error.retry {
            return Err(EngineError::Source { job: self.plan.name.clone(), error });
        }
        tracing::warn!(job = self.plan.name, %error, "reading failed; opening the source again");
        while let Some(decoded) = self.decoding.next().await {
            let intake =
                decoded.ok_or_else(|| self.broken("the decoder panicked; its block cannot be read"))?;
            self.take(intake).await?;
        }
        self.state.idleness.lost(&mut self.state.watermark);
        self.state.caught_up.clear();
        self.progress.set_caught_up(false);
        self.progress.set_state(JobState::Retrying(error.message));
        tokio::time::sleep(FIRST_BACK_OFF).await;
        self.open().await
    }

    async fn take(&mut self, intake: Intake) -> Result<(), EngineError> {
        match intake {
            Intake::Block(taken) => {
                let (block, decoded) = *taken;
                self.take_block(&block, decoded).await
            }
            Intake::CaughtUp(partition) => {
                self.state.caught_up.insert(partition);
                self.state.idleness.caught_up(partition, self.clock.monotonic());
                // A run until the end waits for no partition that was empty at its start.
                if self.mode == Mode::UntilEnd && !self.state.watermarks.contains_key(&partition) {
                    self.state.watermark.set_idle(partition, true);
                }
                self.report(partition);
                if self.state.caught_up.len() == self.state.all.len() {
                    self.progress.set_caught_up(true);
                    self.state.ready_at.get_or_insert(self.state.sequence);
                }
                self.send_watermark().await
            }
        }
    }

    async fn take_block(&mut self, block: &RawBlock, decoded: Decoded) -> Result<(), EngineError> {
        let partition = block.partition;
        let events = decoded.offsets.len() + decoded.bad.len();
        self.progress.events.fetch_add(events as u64, Ordering::Relaxed);
        let mut letters = self.refused(block);
        let disorder = self.state.rules.disorder;
        let watermark =
            self.state.watermarks.entry(partition).or_insert_with(|| PartitionWatermark::new(disorder));
        let admission = admit(&self.state.rules, watermark, block, decoded);
        self.progress.late.fetch_add(admission.late, Ordering::Relaxed);
        self.progress.dropped.fetch_add(admission.dropped, Ordering::Relaxed);
        letters.extend(admission.dead);
        for step in admission.steps {
            match step {
                Step::Rows(rows) => {
                    self.state.idleness.heard(partition, self.clock.monotonic());
                    letters.extend(self.forward(rows, block).await?);
                }
                Step::Watermark(watermark) => {
                    self.state.watermark.update(partition, watermark);
                    self.send_watermark().await?;
                }
            }
        }
        self.set_aside(&letters)?;
        if self.state.caught_up.remove(&partition) {
            self.progress.set_caught_up(false);
        }
        self.state.positions.insert(partition, block.next.clone());
        self.report(partition);
        Ok(())
    }

    fn refused(&self, block: &RawBlock) -> Vec<DeadLetter> {
        let (skipped, refused): (Vec<_>, Vec<_>) = block.refused.iter().partition(|record| record.skip);
        self.progress.skipped.fetch_add(skipped.len() as u64, Ordering::Relaxed);
        let rules = &self.state.rules;
        refused
            .iter()
            .map(|record| {
                letter(rules, block.partition, record.offset, record.reason.clone(), &record.payload)
            })
            .collect()
    }

    /// Projects admitted rows and hands them on; returns those that an expression failed on.
    async fn forward(&mut self, rows: Rows, block: &RawBlock) -> Result<Vec<DeadLetter>, EngineError> {
        let partition = rows.partition;
        let records: BTreeMap<u64, u32> = if matches!(self.next, Next::Delivery(_)) {
            rows.offsets.iter().copied().zip(rows.records.clone()).collect()
        } else {
            BTreeMap::new()
        };
        let projection = &self.plan.projection;
        let (projected, mut failed) = project(projection.filter.as_ref(), &projection.columns, rows)
            .map_err(|error| self.expression(&error))?;
        self.state.sequence += 1;
        match &self.next {
            Next::Shards(shards) => {
                let keys = self.plan.stage.as_ref().map_or(&[][..], |stage| &stage.keys);
                let routed =
                    route(projected, keys, shards.len()).map_err(|error| self.broken(&error.to_string()))?;
                for (shard, routed) in shards.iter().zip(routed) {
                    if let Some(routed) = routed {
                        let message = (self.state.sequence, Message::Batch(routed));
                        shard.send(message).await.map_err(|_| self.vanished("keyed"))?;
                    }
                }
            }
            Next::Delivery(delivery) => {
                let batch = projected.batch(&projection.schema).map_err(|error| self.expression(&error))?;
                let emitted = emit_projected(
                    &self.plan.output,
                    &batch,
                    &projected.offsets,
                    partition,
                    self.with_identity,
                );
                let (results, failing) = emitted.map_err(|error| self.expression(&error))?;
                failed
                    .extend(failing.into_iter().map(|row| FailedRow { record: records[&row.offset], ..row }));
                if results.columns.num_rows() > 0 {
                    let message = Message::Batch(results);
                    delivery.send(message).await.map_err(|_| self.vanished("deliver"))?;
                }
            }
        }
        let payloads = Payloads::of(block);
        let rules = &self.state.rules;
        Ok(failed
            .into_iter()
            .map(|row| letter(rules, partition, row.offset, row.reason, payloads.get(row.record)))
            .collect())
    }

    async fn send_watermark(&mut self) -> Result<(), EngineError> {
        let watermark = self.state.watermark.current();
        if watermark > EventTime::MIN {
            self.progress.set_watermark(watermark);
            self.send_signal(Signal::Watermark(watermark)).await?;
        }
        Ok(())
    }

    async fn send_signal(&mut self, signal: Signal) -> Result<(), EngineError> {
        self.state.sequence += 1;
        match &self.next {
            Next::Shards(shards) => {
                for shard in shards {
                    let message = (self.state.sequence, Message::Signal(signal));
                    shard.send(message).await.map_err(|_| self.vanished("keyed"))?;
                }
            }
            Next::Delivery(delivery) => {
                delivery.send(Message::Signal(signal)).await.map_err(|_| self.vanished("deliver"))?;
            }
        }
        Ok(())
    }

    async fn tick(&mut self) -> Result<(), EngineError> {
        if let Some(sequence) = self.state.ready_at
            && !self.progress.ready()
            && self.progress.has_applied(sequence)
        {
            self.progress.set_ready();
        }
        if self.mode == Mode::UntilEnd {
            return Ok(());
        }
        match self.state.idleness.tick(self.clock.monotonic(), &mut self.state.watermark) {
            Ask::Watermark => {
                let before = self.progress.watermark().unwrap_or(EventTime::MIN);
                if self.state.watermark.current() > before { self.send_watermark().await } else { Ok(()) }
            }
            Ask::Flush => self.send_signal(Signal::End).await,
        }
    }

    async fn checkpoint_when_due(&mut self) -> Result<(), EngineError> {
        let now = self.clock.monotonic();
        let due = now.saturating_sub(self.state.last_barrier) >= self.checkpoint_every;
        if due && self.state.begun.is_none() { self.begin_checkpoint().await } else { Ok(()) }
    }

    async fn begin_checkpoint(&mut self) -> Result<(), EngineError> {
        let state = &mut self.state;
        state.body.checkpoint += 1;
        state.body.watermark =
            Some(state.watermark.current()).filter(|watermark| *watermark > EventTime::MIN);
        state.body.counts = self.progress.counts();
        let newest = |id: &PartitionId| state.watermarks.get(id).map(PartitionWatermark::newest);
        state.body.partitions = state
            .positions
            .iter()
            .map(|(id, position)| PartitionState {
                id: *id,
                position: position.clone(),
                newest: newest(id).filter(|newest| *newest > EventTime::MIN),
            })
            .collect();
        state.last_barrier = self.clock.monotonic();
        state.begun = Some(state.body.checkpoint);
        let begun = Begun { body: state.body.clone(), at: state.last_barrier };
        self.begun.send(begun).await.map_err(|_| self.vanished("checkpoint"))?;
        self.send_signal(Signal::Barrier(self.state.body.checkpoint)).await
    }

    /// The last checkpoint: everything taken so far is safe when this returns.
    async fn finish(&mut self) -> Result<(), EngineError> {
        while self.state.begun.is_some() {
            self.done.recv().await.ok_or_else(|| self.vanished("checkpoint"))?;
            self.state.begun = None;
        }
        self.begin_checkpoint().await?;
        self.done.recv().await.ok_or_else(|| self.vanished("checkpoint"))?;
        Ok(())
    }

    fn set_aside(&self, letters: &[DeadLetter]) -> Result<(), EngineError> {
        if letters.is_empty() {
            return Ok(());
        }
        self.progress.dead_letters.fetch_add(letters.len() as u64, Ordering::Relaxed);
        self.dead_letters.append(&self.plan.inputs[0].stream.name, letters).map_err(|error| {
            EngineError::DeadLetters { job: self.plan.name.clone(), message: error.to_string() }
        })
    }

    fn report(&self, id: PartitionId) {
        let status = PartitionStatus {
            partition: id.partition,
            position: self.state.positions.get(&id).cloned().unwrap_or_default(),
            newest: self.state.watermarks.get(&id).map(PartitionWatermark::newest),
            caught_up: self.state.caught_up.contains(&id),
            idle: false,
        };
        self.progress.set_partition(status, id, self.state.sequence);
    }

    fn expression(&self, error: &ExpressionError) -> EngineError {
        self.broken(&error.to_string())
    }

    fn broken(&self, message: &str) -> EngineError {
        EngineError::Broken { job: self.plan.name.clone(), message: message.to_owned() }
    }

    fn vanished(&self, stage: &'static str) -> EngineError {
        EngineError::Vanished { job: self.plan.name.clone(), stage }
    }
}

/// Returns once the job is asked to stop, also if that was before.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    if stop.wait_for(|stop| *stop).await.is_err() {
        // The job's handle is gone: nobody can ask any more.
        std::future::pending().await
    }
}

/// The next thing that the reader has, never if there is none.
async fn fetch(reader: Option<&mut Box<dyn Reader>>) -> Result<Fetch, ConnectError> {
    match reader {
        Some(reader) => reader.next().await,
        None => std::future::pending().await,
    }
}
