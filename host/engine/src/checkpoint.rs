//! Checkpoints: from a barrier's parts to a safe commit.
//!
//! The barrier rides with the data. Each shard answers with what changed, delivery with its sinks' tokens; when
//! all parts of a checkpoint are here, it goes to the committer, which groups the checkpoints of many jobs into one
//! commit of the store. Only then do the effects become visible. The stream never waits for the disk.

use crate::dead_letters::DeadLetters;
use crate::error::EngineError;
use crate::manifest::{Body, Counts, FORMAT};
use crate::shard::expiry;
use crate::status::{CheckpointStatus, Progress};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use weir_connect::Token;
use weir_event::{Clock, EventTime};
use weir_plan::JobPlan;
use weir_store::{CheckpointStore, Entry, Epoch, Manifest, SegmentRef, StoreError};
use weir_timeline::StageSpec;

/// What a stage contributes to a checkpoint; `counts` is what it counted in this attempt before the barrier.
#[derive(Debug)]
pub(crate) enum Part {
    /// What changed in a shard, sorted by key.
    Shard { checkpoint: u64, shard: usize, entries: Vec<Entry>, counts: Counts },
    /// What the sinks need to make it visible.
    Sinks { checkpoint: u64, tokens: BTreeMap<String, Token>, counts: Counts },
}

/// A barrier that is on its way: what intake knew when it sent it.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) body: Body,
    pub(crate) at: Duration,
}

/// The task that completes the checkpoints of one job, one at a time.
pub(crate) struct Checkpointer {
    pub(crate) plan: Arc<JobPlan>,
    pub(crate) shards: usize,
    pub(crate) committer: Committer,
    pub(crate) progress: Arc<Progress>,
    pub(crate) dead_letters: Arc<DeadLetters>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Checkpointer {
    /// For each barrier begun: collects its parts, commits, tells delivery, and then intake through `done`.
    pub(crate) async fn run(
        self,
        mut begun: mpsc::Receiver<Begun>,
        mut parts: mpsc::UnboundedReceiver<Part>,
        safe: mpsc::UnboundedSender<BTreeMap<String, Token>>,
        done: mpsc::UnboundedSender<u64>,
    ) -> Result<(), EngineError> {
        while let Some(Begun { mut body, at }) = begun.recv().await {
            let mut entries: Vec<Option<Vec<Entry>>> = (0..self.shards).map(|_| None).collect();
            let mut tokens = None;
            while tokens.is_none() || entries.iter().any(Option::is_none) {
                match parts.recv().await {
                    Some(Part::Shard { checkpoint, shard, entries: changed, counts })
                        if checkpoint == body.checkpoint =>
                    {
                        entries[shard] = Some(changed);
                        body.counts.add(counts);
                    }
                    Some(Part::Sinks { checkpoint, tokens: prepared, counts })
                        if checkpoint == body.checkpoint =>
                    {
                        tokens = Some(prepared);
                        body.counts.add(counts);
                    }
                    Some(_) => {}
                    // A stage has failed; its own error says why.
                    None => return Ok(()),
                }
            }
            let tokens = tokens.unwrap_or_default();
            body.sinks.clone_from(&tokens);
            self.sync_dead_letters()?;
            let number = body.checkpoint;
            let watermark = body.watermark;
            let entries = entries.into_iter().flatten().flatten().collect();
            self.committer.commit(&self.plan, body, entries, watermark).await?;
            let took = self.clock.monotonic().saturating_sub(at);
            self.progress.set_checkpoint(CheckpointStatus {
                number,
                at: self.clock.now(),
                took_ms: took.as_millis() as u64,
            });
            // Both may be gone already when the job stops; the checkpoint is safe all the same.
            let _ = safe.send(tokens);
            let _ = done.send(number);
        }
        Ok(())
    }

    fn sync_dead_letters(&self) -> Result<(), EngineError> {
        self.plan.inputs.iter().try_for_each(|input| {
            self.dead_letters.sync(&input.stream.name).map_err(|error| EngineError::DeadLetters {
                job: self.plan.name.clone(),
                message: error.to_string(),
            })
        })
    }
}

/// Hands checkpoints to the thread that owns the store's writing side.
#[derive(Debug, Clone)]
pub(crate) struct Committer {
    submissions: std::sync::mpsc::Sender<Submission>,
}

struct Submission {
    job: String,
    body: Body,
    entries: Vec<Entry>,
    /// To judge what has expired when segments are merged.
    spec: Option<Arc<StageSpec>>,
    settled: Option<EventTime>,
    reply: oneshot::Sender<Result<(), EngineError>>,
}

impl Committer {
    /// Starts the thread. It ends when the last clone of the committer is gone.
    pub(crate) fn start(store: Arc<dyn CheckpointStore>) -> Result<Committer, StoreError> {
        let (submissions, inbox) = std::sync::mpsc::channel::<Submission>();
        let segments = match store.head()? {
            Some(head) => head.jobs.into_iter().map(|(job, manifest)| (job, manifest.segments)).collect(),
            None => BTreeMap::new(),
        };
        let mut writer = Writer { store, segments };
        std::thread::spawn(move || {
            while let Ok(first) = inbox.recv() {
                // Whatever waits joins the same commit, one checkpoint per job.
                let mut group = vec![first];
                let mut held = Vec::new();
                while let Ok(next) = inbox.try_recv() {
                    let twice = group.iter().any(|submission| submission.job == next.job);
                    if twice { held.push(next) } else { group.push(next) }
                }
                writer.commit(group);
                for submission in held {
                    writer.commit(vec![submission]);
                }
            }
        });
        Ok(Committer { submissions })
    }

    /// Returns when the checkpoint survives the loss of power.
    pub(crate) async fn commit(
        &self,
        plan: &JobPlan,
        body: Body,
        entries: Vec<Entry>,
        settled: Option<EventTime>,
    ) -> Result<(), EngineError> {
        let (reply, answer) = oneshot::channel();
        let spec = plan.stage.as_ref().map(|stage| stage.spec.clone());
        let submission = Submission { job: plan.name.clone(), body, entries, spec, settled, reply };
        let vanished = || EngineError::Vanished { job: plan.name.clone(), stage: "committer" };
        self.submissions.send(submission).map_err(|_| vanished())?;
        answer.await.map_err(|_| vanished())?
    }
}

/// The writing side of the store.
struct Writer {
    store: Arc<dyn CheckpointStore>,
    /// Each job's live segments, oldest first.
    segments: BTreeMap<String, Vec<SegmentRef>>,
}

impl Writer {
    fn commit(&mut self, group: Vec<Submission>) {
        let mut manifests = BTreeMap::new();
        let mut waiting = Vec::new();
        for mut submission in group {
            match self.manifest(&mut submission) {
                Ok(manifest) => {
                    manifests.insert(submission.job.clone(), manifest);
                    waiting.push(submission);
                }
                Err(error) => {
                    let error = EngineError::store(&submission.job, &error);
                    let _ = submission.reply.send(Err(error));
                }
            }
        }
        if manifests.is_empty() {
            return;
        }
        let outcome = self.store.commit(manifests.clone());
        for Submission { job, spec, settled, reply, .. } in waiting {
            let answer = match &outcome {
                Ok(_) => Ok(()),
                Err(error) => Err(EngineError::store(&job, error)),
            };
            let safe = answer.is_ok();
            // The job may have been stopped meanwhile.
            let _ = reply.send(answer);
            if safe && let (Some(manifest), Some(spec)) = (manifests.remove(&job), spec) {
                self.compact(&job, &spec, settled.unwrap_or(EventTime::MIN), &manifest);
            }
        }
    }

    /// Writes the job's segment and names all that is live.
    fn manifest(&mut self, submission: &mut Submission) -> Result<Manifest, StoreError> {
        let epoch = self.next_epoch()?;
        let mut segments = self.segments.get(&submission.job).cloned().unwrap_or_default();
        if submission.body.checkpoint == 0 {
            segments.clear();
        }
        let mut entries = std::mem::take(&mut submission.entries).into_iter();
        let segment = self.store.write_segment(&submission.job, epoch, &mut entries)?;
        if !segment.is_empty() {
            segments.push(segment);
        }
        self.segments.insert(submission.job.clone(), segments.clone());
        Ok(Manifest { format: FORMAT, segments, body: submission.body.to_json() })
    }

    /// Merges segments of a job where that pays; the result counts from its next commit.
    fn compact(&mut self, job: &str, spec: &Arc<StageSpec>, settled: EventTime, manifest: &Manifest) {
        let merged = self.next_epoch().and_then(|epoch| match expiry(spec, settled) {
            Ok(expired) => self.store.compact(job, epoch, manifest, &expired),
            Err(error) => Err(StoreError::visit(error)),
        });
        match merged {
            Ok(Some(merged)) => {
                self.segments.insert(job.to_owned(), merged.segments);
            }
            Ok(None) => {}
            Err(error) => {
                tracing::warn!(job, %error, "merging checkpoint segments failed; trying again later");
            }
        }
    }

    fn next_epoch(&self) -> Result<Epoch, StoreError> {
        Ok(self.store.head()?.map_or(Epoch(1), |head| head.epoch.next()))
    }
}
