//! The keyed stage: one task per shard that owns the writing of its timelines.
//!
//! Rows go into the timelines; watermarks, and where the job says so rows or the passing of time, bring results
//! out; a barrier encodes what changed. Knows no source, no
//! sink and no expression but through what it is handed.

use crate::checkpoint::Part;
use crate::dead_letters::DeadLetters;
use crate::deliver::Outgoing;
use crate::error::EngineError;
use crate::progress::{Progress, Tally};
use crate::shard::Shards;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use arrow_select::concat::concat_batches;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};
use weir_connect::Op;
use weir_core::Counts;
use weir_core::DeadLetter;
use weir_core::FailedResult;
use weir_core::halve::{Halved, halve};
use weir_core::intake::route::{Keyed, Routed, SEGMENTS};
use weir_core::keyed::deletes::{output_of, part};
use weir_core::keyed::emit::{Emitted, StageRows, emit, stage_rows};
use weir_core::keyed::outputs::FailedCell;
use weir_event::{EventTime, Message, Signal, Span};
use weir_plan::{Emit, ExpressionError, JobPlan, KeyedStage};
use weir_timeline::{AggregateError, Results, Rows, Slot, Timelines};

/// Results of several segments travel together up to this many values, so that no more is copied to join them.
const JOINED_VALUES: usize = 4096;

/// A flush is made in parts of about so many results of a segment, for the sake of memory.
const FLUSHED_AT_ONCE: usize = 1 << 16;

/// The task of one shard.
#[derive(Debug)]
pub(crate) struct KeyedShard {
    pub(crate) plan: Arc<JobPlan>,
    pub(crate) stage: KeyedStage,
    pub(crate) number: usize,
    pub(crate) shards: Arc<Shards>,
    pub(crate) results: mpsc::Sender<Message<Outgoing>>,
    pub(crate) parts: mpsc::UnboundedSender<Part>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) tally: Tally,
    pub(crate) dead_letters: Arc<DeadLetters>,
    /// Whether a sink asks for each row's identity.
    pub(crate) with_identity: bool,
}

/// What is waiting to be emitted together: what deletes, and what writes.
#[derive(Default)]
struct Waiting {
    deletes: Vec<StageRows>,
    upserts: Vec<StageRows>,
    values: usize,
}

impl KeyedShard {
    /// Handles messages until the channel closes. Each message carries its number in the order of sending.
    pub(crate) async fn run(
        self,
        mut inbox: mpsc::Receiver<(u64, Message<Routed>)>,
    ) -> Result<(), EngineError> {
        let mut next_expiry = EventTime::MIN;
        let mut ticks = self.ticks();
        loop {
            let received = tokio::select! {
                received = inbox.recv() => received,
                () = tick(&mut ticks) => {
                    self.results_of(Timelines::changes).await?;
                    continue;
                }
            };
            let Some((sequence, message)) = received else { break };
            match message {
                Message::Batch(routed) => {
                    self.insert(&routed)?;
                    if self.plan.emit == Emit::Change {
                        self.results_of(Timelines::changes).await?;
                    }
                }
                Message::Signal(Signal::Watermark(watermark)) => {
                    self.results_of(|timelines| timelines.settle(watermark)).await?;
                    if watermark >= next_expiry {
                        self.expire();
                        next_expiry = watermark + self.expiry_step();
                    }
                }
                Message::Signal(Signal::End) => {
                    self.results_of(|timelines| timelines.flush_some(FLUSHED_AT_ONCE)).await?;
                    self.send(Message::Signal(Signal::End)).await?;
                }
                Message::Signal(Signal::Barrier(checkpoint)) => {
                    let entries = self.shards.encode_dirty(self.number);
                    self.send(Message::Signal(Signal::Barrier(checkpoint))).await?;
                    // The checkpoint is gone with the attempt if nobody listens any more.
                    let counts = self.tally.counts();
                    let _ = self.parts.send(Part::Shard { checkpoint, shard: self.number, entries, counts });
                }
            }
            self.progress.applied(self.number, sequence);
        }
        Ok(())
    }

    /// When changes are asked for, where that is not after every batch. What has changed since the last time is
    /// part of the state, so a restart neither forgets it nor is in a hurry.
    fn ticks(&self) -> Option<Interval> {
        let Emit::Every(every) = self.plan.emit else { return None };
        let every = Duration::from_millis(every.millis().max(1) as u64);
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // The first would come at once.
        ticks.reset();
        Some(ticks)
    }

    fn insert(&self, routed: &Routed) -> Result<(), EngineError> {
        let mut start = 0;
        for (segment, end) in routed.ends.iter().enumerate() {
            let rows = &routed.rows[start as usize..*end as usize];
            start = *end;
            if !rows.is_empty() {
                let mut timelines = self.shards.write(self.number, segment);
                let batch = &*routed.batch;
                let slots: Vec<Slot> = rows
                    .iter()
                    .map(|row| {
                        let row = *row as usize;
                        timelines.slot_or_insert(batch.keys.key(row), batch.hashes[row])
                    })
                    .collect();
                self.insert_rows(&mut timelines, batch, &slots, rows)?;
            }
        }
        Ok(())
    }

    /// Inserts rows of one segment; a row on which an aggregate fails alone is a dead letter.
    fn insert_rows(
        &self,
        timelines: &mut Timelines,
        batch: &Keyed,
        slots: &[Slot],
        rows: &[u32],
    ) -> Result<(), EngineError> {
        let Halved { parts, failed } = halve(rows.len(), |range| {
            let inserted = timelines.insert(&Rows {
                slots: &slots[range.clone()],
                rows: &rows[range],
                times: &batch.rows.times,
                ranks: &batch.ranks,
                columns: &batch.rows.columns,
            });
            match inserted {
                Ok(inserted) => Ok(Ok(inserted.expired)),
                Err(AggregateError::Rows(reason)) => Ok(Err(reason)),
                Err(error) => Err(EngineError::aggregate(&self.plan.name, &error)),
            }
        })?;
        let dropped = parts.into_iter().map(|(_, expired)| expired).sum();
        self.tally.add(Counts { dropped, ..Counts::default() });
        let letter = |(row, reason): (usize, String)| {
            let rank = batch.ranks[rows[row] as usize];
            DeadLetter::of_event(&self.plan.name, reason, rank.partition, rank.offset, String::new())
        };
        self.set_aside(failed.into_iter().map(letter).collect())
    }

    /// Asks every segment for results and sends them on.
    async fn results_of(
        &self,
        ask: impl Fn(&mut Timelines) -> Result<Results, AggregateError>,
    ) -> Result<(), EngineError> {
        let mut waiting = Waiting::default();
        for segment in 0..SEGMENTS {
            let mut has_more = true;
            while has_more {
                let rows = {
                    let mut timelines = self.shards.write(self.number, segment);
                    let mut results = ask(&mut timelines)
                        .map_err(|error| EngineError::aggregate(&self.plan.name, &error))?;
                    self.set_refused_aside(&mut results)?;
                    has_more = results.more;
                    if results.slots.is_empty() {
                        continue;
                    }
                    stage_rows(&self.stage, &timelines, results).map_err(|error| self.broken(&error))?
                };
                waiting.values += rows.batch.columns().iter().map(values_in).max().unwrap_or(0);
                for (op, rows) in part(&self.stage, rows).map_err(|error| self.broken(&error))? {
                    match op {
                        Op::Delete => waiting.deletes.push(rows),
                        Op::Upsert => waiting.upserts.push(rows),
                    }
                }
                if waiting.values >= JOINED_VALUES {
                    self.send_waiting(std::mem::take(&mut waiting)).await?;
                }
            }
        }
        self.send_waiting(waiting).await
    }

    async fn send_waiting(&self, waiting: Waiting) -> Result<(), EngineError> {
        for (op, parts) in [(Op::Delete, waiting.deletes), (Op::Upsert, waiting.upserts)] {
            let Some(joined) = self.join(parts).map_err(|error| self.broken(&error))? else { continue };
            let output = output_of(&self.plan.output, op);
            let emitted = emit(&output, joined, &self.stage.key_names, self.with_identity);
            let Emitted { rows, failed } = emitted.map_err(|error| self.broken(&error))?;
            // Of what deletes only the key and the window mean anything.
            if op == Op::Upsert {
                self.tell_failed(failed)?;
            }
            if rows.columns.num_rows() > 0 {
                self.send(Message::Batch(Outgoing { rows, op })).await?;
            }
        }
        Ok(())
    }

    fn join(&self, mut parts: Vec<StageRows>) -> Result<Option<StageRows>, ExpressionError> {
        if parts.len() <= 1 {
            return Ok(parts.pop());
        }
        let batch = concat_batches(&self.stage.results, parts.iter().map(|part| &part.batch))
            .map_err(|error| ExpressionError::Broken(error.to_string()))?;
        let (mut failed, mut first) = (Vec::new(), 0);
        for part in &mut parts {
            let own = std::mem::take(&mut part.failed).into_iter();
            failed.extend(own.map(|cell| FailedCell { row: first + cell.row, ..cell }));
            first += part.batch.num_rows() as u32;
        }
        Ok(Some(StageRows {
            batch,
            windows: parts.iter().flat_map(|part| part.windows.iter().copied()).collect(),
            events: parts.iter().flat_map(|part| part.events.iter().copied()).collect(),
            deleted: Vec::new(),
            failed,
        }))
    }

    fn set_refused_aside(&self, results: &mut Results) -> Result<(), EngineError> {
        let refused = std::mem::take(&mut results.refused);
        if refused.is_empty() {
            return Ok(());
        }
        let letter = |row: weir_timeline::RefusedRow| {
            let (partition, offset) = (row.rank.partition, row.rank.offset);
            DeadLetter::of_event(&self.plan.name, row.reason, partition, offset, String::new())
        };
        self.set_aside(refused.into_iter().map(letter).collect())
    }

    /// Sets events aside that an aggregate failed on.
    fn set_aside(&self, letters: Vec<DeadLetter>) -> Result<(), EngineError> {
        self.tally.add(Counts { dead_letters: letters.len() as u64, ..Counts::default() });
        self.append(&letters)
    }

    /// Counts results that failed, and keeps what is to be said of each.
    fn tell_failed(&self, failed: Vec<FailedResult>) -> Result<(), EngineError> {
        self.tally.add(Counts { failed_results: failed.len() as u64, ..Counts::default() });
        self.progress.tell_failed(&failed);
        let letters: Vec<_> =
            failed.into_iter().map(|result| DeadLetter::of_result(&self.plan.name, result)).collect();
        self.append(&letters)
    }

    fn append(&self, letters: &[DeadLetter]) -> Result<(), EngineError> {
        if letters.is_empty() {
            return Ok(());
        }
        let stream = &self.plan.inputs[0].stream.name;
        self.dead_letters.append(stream, letters).map_err(|error| EngineError::DeadLetters {
            job: self.plan.name.clone(),
            message: error.to_string(),
        })
    }

    fn expire(&self) {
        for segment in 0..SEGMENTS {
            self.shards.write(self.number, segment).expire();
        }
    }

    /// How far the watermark moves between two evictions: often enough that what has expired stays a small part
    /// of the state, seldom enough that sweeping costs nothing.
    fn expiry_step(&self) -> Span {
        let history = self.stage.spec.history.millis();
        Span::from_millis((history / 8).clamp(1_000, 3_600_000))
    }

    async fn send(&self, message: Message<Outgoing>) -> Result<(), EngineError> {
        self.results
            .send(message)
            .await
            .map_err(|_| EngineError::Vanished { job: self.plan.name.clone(), stage: "deliver" })
    }

    fn broken(&self, error: &ExpressionError) -> EngineError {
        EngineError::Broken { job: self.plan.name.clone(), message: error.to_string() }
    }
}

/// How many values a column has: of lists their items, which are far more than the rows.
fn values_in(column: &ArrayRef) -> usize {
    match column.data_type() {
        DataType::ListView(_) => column.as_list_view::<i32>().values().len(),
        DataType::List(_) => column.as_list::<i32>().values().len(),
        _ => column.len(),
    }
}

/// The next tick, never if there are none.
async fn tick(ticks: &mut Option<Interval>) {
    match ticks {
        Some(ticks) => {
            ticks.tick().await;
        }
        None => std::future::pending().await,
    }
}
