//! Delivery: the one place through which results leave.
//!
//! Takes the results of all shards, aligns their barriers (a shard that has passed a barrier waits for the
//! others), prepares every sink at the barrier and makes a checkpoint visible once it is safe. Knows sinks by
//! their trait alone.

use crate::checkpoint::Part;
use crate::error::EngineError;
use crate::progress::Tally;
use futures_util::future::select_all;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use weir_connect::sink::RowMeta;
use weir_connect::{Op, Sink, SinkRows, Token};
use weir_core::{Counts, ResultRows};
use weir_event::{Message, Signal};
use weir_plan::JobPlan;

/// A sink with its name.
pub struct NamedSink {
    /// Unique in the job.
    pub name: String,
    /// Where rows go.
    pub sink: Box<dyn Sink>,
}

/// The task that feeds a job's sinks.
pub(crate) struct Delivery {
    pub(crate) plan: Arc<JobPlan>,
    pub(crate) sinks: Vec<NamedSink>,
    pub(crate) parts: mpsc::UnboundedSender<Part>,
    pub(crate) tally: Tally,
    pub(crate) checkpoint: u64,
}

impl Delivery {
    /// Opens every sink with the token of the last safe checkpoint.
    pub(crate) async fn start(&mut self, tokens: &BTreeMap<String, Token>) -> Result<(), EngineError> {
        for NamedSink { name, sink } in &mut self.sinks {
            let started = sink.start(tokens.get(name)).await;
            started.map_err(|error| failed(&self.plan, &self.tally, name, error))?;
        }
        Ok(())
    }

    /// Handles messages until every input has closed and the last checkpoint is visible.
    pub(crate) async fn run(
        mut self,
        mut inputs: Vec<mpsc::Receiver<Message<ResultRows>>>,
        mut safe: mpsc::UnboundedReceiver<BTreeMap<String, Token>>,
    ) -> Result<(), EngineError> {
        let count = inputs.len();
        let mut open = vec![true; count];
        let mut waiting = vec![false; count];
        while open.iter().any(|open| *open) {
            let readable = inputs.iter_mut().enumerate().filter(|(at, _)| open[*at] && !waiting[*at]);
            let receives: Vec<_> =
                readable.map(|(at, input)| Box::pin(async move { (at, input.recv().await) })).collect();
            tokio::select! {
                ((at, message), _, _) = select_all(receives) => match message {
                    None => open[at] = false,
                    Some(Message::Batch(rows)) => self.write(rows).await?,
                    Some(Message::Signal(Signal::Barrier(checkpoint))) => {
                        waiting[at] = true;
                        if (0..count).all(|input| waiting[input] || !open[input]) {
                            self.prepare(checkpoint).await?;
                            waiting.fill(false);
                        }
                    }
                    Some(Message::Signal(_)) => {}
                },
                Some(tokens) = safe.recv() => self.commit(&tokens).await?,
            }
        }
        while let Some(tokens) = safe.recv().await {
            self.commit(&tokens).await?;
        }
        Ok(())
    }

    async fn write(&mut self, rows: ResultRows) -> Result<(), EngineError> {
        self.tally.add(Counts { results: rows.columns.num_rows() as u64, ..Counts::default() });
        let op = rows.op;
        let rows = SinkRows {
            columns: rows.columns,
            meta: RowMeta {
                job: self.plan.name.as_str().into(),
                version: self.plan.version,
                definition: self.plan.definition.as_str().into(),
                epoch: self.checkpoint + 1,
                identities: rows.identities,
                windows: rows.windows,
                op,
                revision: rows.revision,
                keys: rows.keys,
            },
        };
        let told = self.sinks.iter_mut().filter(|named| op == Op::Upsert || named.sink.wants_meta());
        for NamedSink { name, sink } in told {
            let before = sink.written_bytes();
            let written = sink.write(&rows).await;
            written.map_err(|error| failed(&self.plan, &self.tally, name, error))?;
            self.tally.progress().count_sink(name, |counts| {
                counts.rows += rows.columns.num_rows() as u64;
                counts.bytes += sink.written_bytes().saturating_sub(before);
            });
        }
        Ok(())
    }

    async fn prepare(&mut self, checkpoint: u64) -> Result<(), EngineError> {
        let mut tokens = BTreeMap::new();
        for NamedSink { name, sink } in &mut self.sinks {
            let token = sink.prepare(checkpoint).await;
            let token = token.map_err(|error| failed(&self.plan, &self.tally, name, error))?;
            tokens.insert(name.clone(), token);
        }
        self.checkpoint = checkpoint;
        // The checkpoint is gone with the attempt if nobody listens any more.
        let counts = self.tally.counts();
        let _ = self.parts.send(Part::Sinks { checkpoint, tokens, counts });
        Ok(())
    }

    async fn commit(&mut self, tokens: &BTreeMap<String, Token>) -> Result<(), EngineError> {
        for NamedSink { name, sink } in &mut self.sinks {
            if let Some(token) = tokens.get(name) {
                let visible = sink.commit(token).await;
                visible.map_err(|error| failed(&self.plan, &self.tally, name, error))?;
            }
        }
        Ok(())
    }
}

/// Counts a failure of a sink, and says whose it is.
fn failed(plan: &JobPlan, tally: &Tally, sink: &str, error: weir_connect::ConnectError) -> EngineError {
    tally.progress().count_sink(sink, |counts| counts.errors += 1);
    EngineError::Sink { job: plan.name.clone(), sink: sink.to_owned(), error }
}
