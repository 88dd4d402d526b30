//! The keyed stage: one task per shard that owns the writing of its segments.
//!
//! Hands rows and signals to the core and does what follows: sends results on, keeps dead letters, counts; at a barrier,
//! and ahead of it, what changed is encoded. Decides nothing.

use crate::ahead::Ahead;
use crate::checkpoint::Part;
use crate::dead_letters::DeadLetters;
use crate::error::EngineError;
use crate::progress::Tally;
use crate::shard::Locked;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use weir_core::{CoreError, Effects, Keyed, KeyedRows, Parts, ResultRows};
use weir_event::{Clock, Message, PartitionId, Signal, Ticks};
use weir_plan::{Emit, JobPlan};

/// The task of one shard.
pub(crate) struct KeyedShard {
    pub(crate) keyed: Keyed<Locked>,
    pub(crate) ahead: Ahead,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) number: usize,
    pub(crate) hands: Hands,
    pub(crate) parts: mpsc::UnboundedSender<Part>,
}

/// What does what the core says.
#[derive(Debug)]
pub(crate) struct Hands {
    pub(crate) plan: Arc<JobPlan>,
    pub(crate) results: mpsc::Sender<Message<ResultRows>>,
    pub(crate) tally: Tally,
    pub(crate) dead_letters: Arc<DeadLetters>,
}

impl KeyedShard {
    /// Handles messages until the channel closes. Each message carries its number in the order of sending.
    pub(crate) async fn run(
        self,
        mut inbox: mpsc::Receiver<(u64, Message<Arc<KeyedRows>>)>,
    ) -> Result<(), EngineError> {
        let KeyedShard { mut keyed, mut ahead, clock, number, hands, parts } = self;
        let mut ticks = ticks(&hands.plan, &clock);
        loop {
            let received = tokio::select! {
                biased;
                () = tick(&mut ticks) => {
                    hands.perform(keyed.changes()).await?;
                    continue;
                }
                received = inbox.recv() => received,
                () = ahead.is_due() => {
                    ahead.slice(&mut keyed);
                    continue;
                }
            };
            let Some((sequence, message)) = received else { break };
            match message {
                Message::Batch(rows) => {
                    let parts = keyed.rows(&rows).map_err(|error| hands.failed(error))?;
                    hands.perform_of(rows.partition(), parts).await?;
                }
                Message::Signal(Signal::Watermark(watermark)) => {
                    hands.perform(keyed.settle(watermark)).await?;
                }
                Message::Signal(Signal::End) => {
                    hands.perform(keyed.end()).await?;
                    hands.send(Message::Signal(Signal::End)).await?;
                }
                Message::Signal(Signal::Current) => {
                    hands.send(Message::Signal(Signal::Current)).await?;
                    hands.perform(keyed.current()).await?;
                }
                Message::Signal(Signal::Later) => hands.send(Message::Signal(Signal::Later)).await?,
                Message::Signal(Signal::Barrier(checkpoint)) => {
                    let entries = ahead.barrier(&mut keyed);
                    let oldest = keyed.oldest_of_all();
                    hands.send(Message::Signal(Signal::Barrier(checkpoint))).await?;
                    let counts = hands.tally.counts();
                    // The checkpoint is gone with the attempt if nobody listens any more.
                    let _ = parts.send(Part::Shard { checkpoint, shard: number, entries, oldest, counts });
                }
            }
            hands.tally.progress().applied(number, sequence);
            ahead.slice(&mut keyed);
        }
        // Whoever asks what a run took is told it exactly.
        keyed.measure();
        Ok(())
    }
}

impl Hands {
    /// Does what follows from a signal, part by part.
    async fn perform(&self, parts: Parts<'_, Locked>) -> Result<(), EngineError> {
        for effects in parts {
            self.do_part(effects.map_err(|error| self.failed(error))?).await?;
        }
        Ok(())
    }

    /// Does what follows from rows of a partition, part by part.
    async fn perform_of(&self, partition: PartitionId, parts: Parts<'_, Locked>) -> Result<(), EngineError> {
        for effects in parts {
            let effects = effects.map_err(|error| self.failed(error))?;
            self.tally.progress().tell_too_late(partition.input(), effects.counts.dropped);
            self.do_part(effects).await?;
        }
        Ok(())
    }

    async fn do_part(&self, effects: Effects) -> Result<(), EngineError> {
        self.tally.add(effects.counts);
        self.tally.progress().tell_failed(effects.failed_results());
        let Effects { results, letters, .. } = effects;
        self.dead_letters.set_aside(&self.plan, letters, &self.tally.progress().cpu);
        for rows in results {
            self.send(Message::Batch(rows)).await?;
        }
        Ok(())
    }

    async fn send(&self, message: Message<ResultRows>) -> Result<(), EngineError> {
        self.results
            .send(message)
            .await
            .map_err(|_| EngineError::Vanished { job: self.plan.name.clone(), stage: "deliver" })
    }

    fn failed(&self, error: CoreError) -> EngineError {
        EngineError::of_core(&self.plan.name, error)
    }
}

/// When changes are asked for, where that is not after every batch. What has changed since the last time is
/// part of the state, so a restart neither forgets it nor is in a hurry.
fn ticks(plan: &JobPlan, clock: &Arc<dyn Clock>) -> Option<Ticks> {
    let Emit::Every(every) = plan.emit else { return None };
    let every = Duration::from_millis(every.millis().max(1) as u64);
    Some(Ticks::every(clock, every))
}

/// The next tick, never if there are none.
async fn tick(ticks: &mut Option<Ticks>) {
    match ticks {
        Some(ticks) => ticks.tick().await,
        None => std::future::pending().await,
    }
}
