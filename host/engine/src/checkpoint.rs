//! Checkpoints: from a barrier's parts to a safe commit.
//!
//! The barrier rides with the data. Each shard answers with what changed, delivery when the barrier has reached every
//! outbox, and each outbox with its sink's token and what that does not cover; when all parts of a checkpoint are here, it goes to the committer, which groups the checkpoints of many jobs into one
//! commit of the store. Only then do the effects become visible. The stream never waits for the disk.

use crate::beside::{DeclinedFilling, filling_name};
use crate::dead_letters::DeadLetters;
use crate::entries::Entries;
use crate::error::EngineError;
use crate::inputs::Inputs;
use crate::manifest::{Body, FORMAT, Kept};
use crate::merging::{Merged, Merging, Order};
use crate::outbox::{LeftOutboxes, Outbox, SinkPart};
use crate::progress::Progress;
use crate::state::expiry;
use crate::status::CheckpointStatus;
use crate::stop::stopped;
use futures_util::future::{join_all, try_join_all};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use weir_connect::CpuTime;
use weir_core::Counts;
use weir_event::{Clock, EventTime};
use weir_plan::JobPlan;
use weir_store::{CheckpointStore, Entry, Epoch, Manifest, SegmentRef, StoreError};

/// What a stage contributes to a checkpoint; `counts` is what it counted in this attempt before the barrier.
#[derive(Debug)]
pub(crate) enum Part {
    /// What changed in a shard.
    Shard { checkpoint: u64, shard: usize, entries: Entries, oldest: EventTime, counts: Counts },
    /// It has reached the outboxes.
    Delivery { checkpoint: u64, counts: Counts },
}

/// A barrier that is on its way: what intake knew when it sent it.
#[derive(Debug)]
pub(crate) struct Begun {
    pub(crate) body: Body,
    /// State that belongs to no key group, sorted by key.
    pub(crate) entries: Vec<Entry>,
    pub(crate) at: Duration,
    /// Whether the sources were read to their end: then it is not done before every sink has everything.
    pub(crate) at_end: bool,
}

/// The task that completes the checkpoints of one job, one at a time.
pub(crate) struct Checkpointer {
    pub(crate) plan: Arc<JobPlan>,
    pub(crate) inputs: Inputs,
    pub(crate) shards: usize,
    /// How often a checkpoint is made.
    pub(crate) every: Duration,
    pub(crate) outboxes: Vec<Arc<Outbox>>,
    /// Goes with the first checkpoint.
    pub(crate) left: LeftOutboxes,
    pub(crate) committer: Committer,
    pub(crate) progress: Arc<Progress>,
    pub(crate) dead_letters: Arc<DeadLetters>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stop: watch::Receiver<bool>,
}

impl Checkpointer {
    /// For each barrier begun: collects its parts, commits, tells the outboxes, and then intake through `done`.
    pub(crate) async fn run(
        self,
        mut begun: mpsc::Receiver<Begun>,
        mut parts: mpsc::UnboundedReceiver<Part>,
        done: mpsc::UnboundedSender<u64>,
    ) -> Result<(), EngineError> {
        let mut is_at_end = false;
        let mut left = Some(self.left.clone());
        while let Some(Begun { mut body, entries: of_intake, at, at_end }) = begun.recv().await {
            // A stage has failed if parts are missing; its own error says why.
            let Some(entries) = self.collect(&mut body, &mut parts).await else { return Ok(()) };
            let number = body.checkpoint;
            // Key groups rise from shard to shard, and what has none comes behind them.
            let entries = entries.into_iter().flatten().chain(of_intake);
            self.commit(&mut body, Box::new(entries), at).await?;
            if let Some(left) = left.take() {
                // What it cannot remove it tells itself, and nobody waits for it.
                drop(tokio::task::spawn_blocking(move || left.remove()));
            }
            if at_end {
                self.wait_for_sinks(&mut body).await?;
                is_at_end = true;
            }
            // It may be gone already when the job stops; the checkpoint is safe all the same.
            let _ = done.send(number);
        }
        self.outboxes.iter().for_each(|outbox| outbox.close());
        let undelivered = self.outboxes.iter().filter_map(|outbox| outbox.undelivered());
        undelivered.filter(|_| is_at_end).reduce(EngineError::beside).map_or(Ok(()), Err)
    }

    /// What each shard and delivery have to say.
    async fn collect(
        &self,
        body: &mut Body,
        parts: &mut mpsc::UnboundedReceiver<Part>,
    ) -> Option<Vec<Entries>> {
        let mut entries: Vec<Option<Entries>> = (0..self.shards).map(|_| None).collect();
        let mut is_delivered = false;
        body.reached = None;
        while !is_delivered || entries.iter().any(Option::is_none) {
            match parts.recv().await? {
                Part::Shard { checkpoint, shard, entries: changed, oldest, counts }
                    if checkpoint == body.checkpoint =>
                {
                    entries[shard] = Some(changed);
                    body.reached = body.reached.into_iter().chain([oldest]).min();
                    body.counts.add(counts);
                }
                Part::Delivery { checkpoint, counts } if checkpoint == body.checkpoint => {
                    is_delivered = true;
                    body.counts.add(counts);
                }
                _ => {}
            }
        }
        Some(entries.into_iter().flatten().collect())
    }

    /// Makes a checkpoint safe that lacks only what the sinks say.
    async fn commit(&self, body: &mut Body, entries: SortedEntries, at: Duration) -> Result<(), EngineError> {
        let parts = try_join_all(self.outboxes.iter().map(|outbox| outbox.part())).await?;
        body.sinks.clear();
        body.outboxes.clear();
        body.sink_identities.clear();
        body.covered.clear();
        for (outbox, SinkPart { token, covered, kept }) in self.outboxes.iter().zip(parts) {
            let name = || outbox.sink().to_owned();
            body.sink_identities.extend(outbox.identity().map(|identity| (name(), identity.to_owned())));
            body.covered.extend(token.is_some().then(|| (name(), covered)));
            body.sinks.extend(token.map(|token| (name(), token)));
            if kept != Kept::default() {
                body.outboxes.insert(name(), kept);
            }
        }
        body.forget_returned();
        self.sync_dead_letters().await?;
        body.lost_letters = self.dead_letters.lost_of(&self.plan.name);
        self.committer.commit(&self.plan, body.clone(), entries, &self.progress.cpu).await?;
        for partition in &body.partitions {
            self.inputs.committed(&self.plan.name, partition.id, &partition.position);
        }
        let took = self.clock.monotonic().saturating_sub(at);
        self.progress.set_checkpoint(CheckpointStatus {
            number: body.checkpoint,
            at: self.clock.now(),
            took_ms: took.as_millis() as u64,
        });
        try_join_all(self.outboxes.iter().map(|outbox| outbox.make_safe())).await.map(drop)
    }

    /// Makes checkpoints until every sink that can has everything, or the job is asked to stop.
    async fn wait_for_sinks(&self, body: &mut Body) -> Result<(), EngineError> {
        let mut stop = self.stop.clone();
        loop {
            let settled = join_all(self.outboxes.iter().map(|outbox| outbox.settled()));
            let have_everything = tokio::select! {
                _ = settled => true,
                // What a slow one has written meanwhile need not be kept.
                () = self.clock.sleep(self.every) => false,
                () = stopped(&mut stop) => return Ok(()),
            };
            if have_everything && !self.outboxes.iter().any(|outbox| outbox.lacks_token()) {
                return Ok(());
            }
            body.checkpoint += 1;
            self.outboxes.iter().for_each(|outbox| outbox.begin(body.checkpoint));
            let at = self.clock.monotonic();
            self.commit(body, Box::new(std::iter::empty()), at).await?;
        }
    }

    /// Waits for the letters of the rows that the checkpoint holds: shards and intake have handed them over by now.
    async fn sync_dead_letters(&self) -> Result<(), EngineError> {
        let job = &self.plan.name;
        for input in &self.plan.inputs {
            let synced = self.dead_letters.sync(job, &input.stream.name).await;
            synced
                .map_err(|error| EngineError::DeadLetters { job: job.clone(), message: error.to_string() })?;
        }
        Ok(())
    }
}

/// Hands checkpoints to the thread that owns the store's writing side.
#[derive(Debug, Clone)]
pub(crate) struct Committer {
    requests: std::sync::mpsc::Sender<Request>,
}

/// The entries of one checkpoint, in order of key.
type SortedEntries = Box<dyn Iterator<Item = Entry> + Send>;

struct Submission {
    plan: Arc<JobPlan>,
    body: Body,
    entries: SortedEntries,
    /// Whether they are all of the job's state, and not what changed in it.
    replaces: bool,
    cpu: CpuTime,
    reply: oneshot::Sender<Result<(), EngineError>>,
}

enum Request {
    Commit(Box<Submission>),
    /// What was made beside a job takes its place, or is dropped for a reason.
    Beside {
        of: String,
        declined: Option<DeclinedFilling>,
        reply: oneshot::Sender<Result<(), StoreError>>,
    },
    /// Drops a job's state.
    Forget(String, oneshot::Sender<Result<(), StoreError>>),
    /// Answered when everything that was asked for before is done.
    Fence(oneshot::Sender<()>),
}

impl Committer {
    /// Starts the thread. It ends when the last clone of the committer is gone.
    pub(crate) fn start(store: Arc<dyn CheckpointStore>) -> Result<Committer, StoreError> {
        let (requests, inbox) = std::sync::mpsc::channel::<Request>();
        let segments = match store.head()? {
            Some(head) => head.jobs.into_iter().map(|(job, manifest)| (job, manifest.segments)).collect(),
            None => BTreeMap::new(),
        };
        let mut writer =
            Writer { merging: Merging::start(store.clone()), store, segments, has_failed: false };
        std::thread::spawn(move || {
            while let Ok(first) = inbox.recv() {
                // Whatever waits joins the same commit, one checkpoint per job.
                let (mut group, mut held) = (Vec::new(), Vec::new());
                let (mut forgotten, mut fences, mut beside) = (Vec::new(), Vec::new(), Vec::new());
                for request in std::iter::once(first).chain(std::iter::from_fn(|| inbox.try_recv().ok())) {
                    match request {
                        Request::Commit(next) => {
                            let is_twice =
                                group.iter().any(|other: &Submission| other.plan.name == next.plan.name);
                            if is_twice { held.push(*next) } else { group.push(*next) }
                        }
                        Request::Beside { of, declined, reply } => beside.push((of, declined, reply)),
                        Request::Forget(job, reply) => forgotten.push((job, reply)),
                        Request::Fence(fence) => fences.push(fence),
                    }
                }
                writer.take_merged();
                writer.commit(group);
                for submission in held {
                    writer.commit(vec![submission]);
                }
                for (job, declined, reply) in beside {
                    let _ = reply.send(writer.end_filling(&job, declined));
                }
                for (job, reply) in forgotten {
                    let _ = reply.send(writer.forget(&job));
                }
                for fence in fences {
                    // Whoever waited may have been stopped.
                    let _ = fence.send(());
                }
            }
        });
        Ok(Committer { requests })
    }

    /// Returns when the checkpoint survives the loss of power. The work is counted on `cpu`.
    pub(crate) async fn commit(
        &self,
        plan: &Arc<JobPlan>,
        body: Body,
        entries: SortedEntries,
        cpu: &CpuTime,
    ) -> Result<(), EngineError> {
        self.submit(plan, body, (entries, false), cpu).await
    }

    /// As [`Committer::commit`], of all of a job's state, which takes the place of what there was.
    pub(crate) async fn replace(
        &self,
        plan: &Arc<JobPlan>,
        body: Body,
        entries: SortedEntries,
        cpu: &CpuTime,
    ) -> Result<(), EngineError> {
        self.submit(plan, body, (entries, true), cpu).await
    }

    async fn submit(
        &self,
        plan: &Arc<JobPlan>,
        body: Body,
        (entries, replaces): (SortedEntries, bool),
        cpu: &CpuTime,
    ) -> Result<(), EngineError> {
        let (reply, answer) = oneshot::channel();
        let (plan_now, cpu) = (plan.clone(), cpu.clone());
        let submission = Box::new(Submission { plan: plan_now, body, entries, replaces, cpu, reply });
        let vanished = || EngineError::Vanished { job: plan.name.clone(), stage: "committer" };
        self.requests.send(Request::Commit(submission)).map_err(|_| vanished())?;
        answer.await.map_err(|_| vanished())?
    }

    /// Drops the state of a job that does not run.
    pub(crate) async fn forget(&self, job: &str) -> Result<(), EngineError> {
        let (reply, answer) = oneshot::channel();
        let vanished = || EngineError::Vanished { job: job.to_owned(), stage: "committer" };
        self.requests.send(Request::Forget(job.to_owned(), reply)).map_err(|_| vanished())?;
        let answer = answer.await.map_err(|_| vanished())?;
        answer.map_err(|error| EngineError::store(job, &error))
    }

    /// Puts the state that was made beside a job in the place of the job's, or drops it, which the job remembers. Neither runs.
    pub(crate) async fn end_filling(
        &self,
        job: &str,
        declined: Option<DeclinedFilling>,
    ) -> Result<(), EngineError> {
        let (reply, answer) = oneshot::channel();
        let vanished = || EngineError::Vanished { job: job.to_owned(), stage: "committer" };
        let request = Request::Beside { of: job.to_owned(), declined, reply };
        self.requests.send(request).map_err(|_| vanished())?;
        let answer = answer.await.map_err(|_| vanished())?;
        answer.map_err(|error| EngineError::store(job, &error))
    }

    /// Returns when no earlier checkpoint is on its way any more: what an attempt that failed had handed in is
    /// safe by then or never will be, and the next may look where to go on.
    pub(crate) async fn settle(&self) {
        let (fence, passed) = oneshot::channel();
        if self.requests.send(Request::Fence(fence)).is_ok() {
            // An error means that the thread is gone, and nothing is on its way either.
            let _ = passed.await;
        }
    }
}

/// The writing side of the store.
struct Writer {
    store: Arc<dyn CheckpointStore>,
    /// Each job's live segments, oldest first.
    segments: BTreeMap<String, Vec<SegmentRef>>,
    merging: Merging,
    /// Whether the newest commit failed: `segments` then has what is in none.
    has_failed: bool,
}

/// So many segments of different jobs are written at once.
const WRITERS: usize = 4;

impl Writer {
    fn commit(&mut self, mut group: Vec<Submission>) {
        if self.has_failed
            && let Err(error) = self.go_back()
        {
            for Submission { plan, reply, .. } in group {
                let _ = reply.send(Err(EngineError::store(&plan.name, &error)));
            }
            return;
        }
        let mut manifests = BTreeMap::new();
        let mut waiting = Vec::new();
        let written = self.write_segments(&mut group);
        for (submission, segment) in group.into_iter().zip(written) {
            match segment.map(|segment| self.manifest(&submission, segment)) {
                Ok(manifest) => {
                    manifests.insert(submission.plan.name.clone(), manifest);
                    waiting.push(submission);
                }
                Err(error) => {
                    let error = EngineError::store(&submission.plan.name, &error);
                    let _ = submission.reply.send(Err(error));
                }
            }
        }
        if manifests.is_empty() {
            return;
        }
        let common = CpuTime::default();
        let outcome = common.measure(|| self.store.commit(manifests.clone()));
        self.has_failed = outcome.is_err();
        let share = common.total() / waiting.len().max(1) as u32;
        for Submission { plan, body, cpu, reply, .. } in waiting {
            cpu.add(share);
            let answer = match &outcome {
                Ok(_) => Ok(()),
                Err(error) => Err(EngineError::store(&plan.name, error)),
            };
            let safe = answer.is_ok();
            // The job may have been stopped meanwhile.
            let _ = reply.send(answer);
            if safe && let Some(manifest) = manifests.remove(&plan.name) {
                self.merge(&plan, &body, manifest, cpu);
            }
        }
    }

    /// Goes back to the segments of the newest commit: what a failed one brought would be of rows that its job reads again.
    fn go_back(&mut self) -> Result<(), StoreError> {
        let merged = self.merging.wait_for_all();
        let head = self.store.head()?;
        let safe = head.into_iter().flat_map(|head| head.jobs);
        let safe: BTreeMap<_, _> = safe.map(|(job, manifest)| (job, manifest.segments)).collect();
        let of_merges = merged.into_iter().filter_map(|merged| merged.segments.ok().flatten());
        let given = std::mem::take(&mut self.segments).into_values().chain(of_merges);
        let kept: BTreeSet<u64> = safe.values().flatten().map(|segment| segment.id).collect();
        for segment in given.flatten().filter(|segment| !kept.contains(&segment.id)) {
            self.store.discard(&segment)?;
        }
        self.segments = safe;
        self.has_failed = false;
        Ok(())
    }

    fn forget(&mut self, job: &str) -> Result<(), StoreError> {
        // A segment that is being written cannot be discarded.
        let merged = self.merging.wait_for(job);
        merged.into_iter().for_each(|merged| self.put_merged(merged));
        self.segments.remove(job);
        self.store.forget(job)
    }

    /// The job's state goes with the commit that has the other in its place; or that commit has why it stays. The other's own
    /// name goes after that.
    fn end_filling(&mut self, job: &str, declined: Option<DeclinedFilling>) -> Result<(), StoreError> {
        let (from, to) = (filling_name(job), job.to_owned());
        for job in [&from, &to] {
            // What was merged would count from the next commit of its job, which is another one's then.
            for Merged { of, segments, .. } in self.merging.wait_for(job) {
                let merged = segments.ok().flatten().into_iter().flatten();
                for segment in merged.filter(|segment| !of.contains(segment)) {
                    self.store.discard(&segment)?;
                }
            }
        }
        let head = self.store.head()?;
        let of = |job: &str| {
            let manifest = head.as_ref().and_then(|head| head.jobs.get(job));
            let body =
                manifest.and_then(|manifest| serde_json::from_value::<Body>(manifest.body.clone()).ok());
            body.zip(manifest)
        };
        let (Some((filled, of_filling)), Some((body, of_job))) = (of(&from), of(&to)) else { return Ok(()) };
        let own = self.segments.get(&to).unwrap_or(&of_job.segments);
        let (format, segments, body) = match declined {
            None => (of_filling.format, &of_filling.segments, body.taken_over_by(filled)),
            Some(_) => (of_job.format, own, Body { declined, ..body }),
        };
        let manifest = Manifest { format, segments: segments.clone(), body: body.to_json() };
        self.segments.insert(to.clone(), manifest.segments.clone());
        self.segments.remove(&from);
        let committed = self.store.commit(BTreeMap::from([(to, manifest)]));
        self.has_failed = committed.is_err();
        committed?;
        self.store.forget(&from)
    }

    /// Writes what changed in each job, several at once.
    fn write_segments(&self, group: &mut [Submission]) -> Vec<Result<SegmentRef, StoreError>> {
        let store = &*self.store;
        let write = |submission: &mut Submission| {
            let cpu = submission.cpu.clone();
            let mut entries = std::mem::replace(&mut submission.entries, Box::new(std::iter::empty()));
            cpu.measure(|| store.write_segment(&submission.plan.name, next_epoch(store)?, &mut entries))
        };
        let share = group.len().div_ceil(WRITERS).max(1);
        if group.len() < 2 {
            return group.iter_mut().map(write).collect();
        }
        std::thread::scope(|scope| {
            let parts = group.chunks_mut(share);
            let writers: Vec<_> = parts
                .map(|part| scope.spawn(move || part.iter_mut().map(write).collect::<Vec<_>>()))
                .collect();
            writers.into_iter().flat_map(|writer| writer.join().expect("writing does not panic")).collect()
        })
    }

    /// Names all that is live of the job, with its new segment.
    fn manifest(&mut self, submission: &Submission, segment: SegmentRef) -> Manifest {
        let segments = self.segments.entry(submission.plan.name.clone()).or_default();
        if submission.replaces || submission.body.checkpoint == 0 {
            segments.clear();
        }
        if !segment.is_empty() {
            segments.push(segment);
        }
        Manifest { format: FORMAT, segments: segments.clone(), body: submission.body.to_json() }
    }

    /// Lets segments of a job be merged where that pays; the result counts from one of its next commits.
    fn merge(&mut self, plan: &JobPlan, body: &Body, manifest: Manifest, cpu: CpuTime) {
        let job = plan.name.clone();
        match next_epoch(&*self.store) {
            Ok(epoch) => {
                self.merging.begin(Order { job, epoch, manifest, expiry: expiry(plan, body), cpu });
            }
            Err(error) => unmerged(&job, &error),
        }
    }

    fn take_merged(&mut self) {
        self.merging.done().into_iter().for_each(|merged| self.put_merged(merged));
    }

    /// Puts merged segments in place of those that they were made of, which are still the job's oldest, unless it has
    /// begun anew.
    fn put_merged(&mut self, merged: Merged) {
        let Merged { job, of, segments } = merged;
        match segments {
            Ok(Some(merged)) => match self.segments.get_mut(&job).filter(|known| known.starts_with(&of)) {
                Some(known) => drop(known.splice(..of.len(), merged)),
                None => {
                    for segment in merged.iter().filter(|segment| !of.contains(segment)) {
                        if let Err(error) = self.store.discard(segment) {
                            unmerged(&job, &error);
                        }
                    }
                }
            },
            Ok(None) => {}
            Err(error) => unmerged(&job, &error),
        }
    }
}

fn next_epoch(store: &dyn CheckpointStore) -> Result<Epoch, StoreError> {
    Ok(store.head()?.map_or(Epoch(1), |head| head.epoch.next()))
}

fn unmerged(job: &str, error: &StoreError) {
    tracing::warn!(job, %error, "merging checkpoint segments failed; trying again later");
}
