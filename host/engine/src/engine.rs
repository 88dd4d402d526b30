//! The engine as the server holds it: jobs by name over one store, also those that could not be started.

use crate::checkpoint::Committer;
use crate::dead_letters::DeadLetters;
use crate::error::EngineError;
use crate::job::{Job, JobSpec, Surroundings};
use crate::manifest::{Body, PartitionState};
use crate::revisions::{Revisions, revised_up_to};
use crate::status::{JobStatus, Refusal};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;
use tokio::runtime::Handle;
use weir_event::{Clock, Position};
use weir_plan::JobPlan;
use weir_store::{CheckpointStore, Commit, StoreError};

/// How the engine runs its jobs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Shards of each job.
    pub shards: usize,
    /// From one barrier of a job to the next.
    pub checkpoint_every: Duration,
    /// Where rows are kept that wait for a sink.
    pub outbox: PathBuf,
    /// So much may wait for one sink.
    pub outbox_bytes: u64,
    /// Threads that disturb nobody, for jobs while they read the past; `None`: those of all jobs.
    pub background: Option<Handle>,
}

/// All running jobs. Made and used inside a tokio runtime, whose workers run the stages.
pub struct Engine {
    surroundings: Surroundings,
    jobs: RwLock<Jobs>,
    /// By job, what is made beside it.
    fillings: Mutex<BTreeMap<String, Arc<Job>>>,
}

/// A name is in one of the two.
#[derive(Default)]
struct Jobs {
    started: BTreeMap<String, Arc<Job>>,
    /// What lookups ask until the started one has its state.
    before: BTreeMap<String, Arc<Job>>,
    refused: BTreeMap<String, Refusal>,
}

impl Jobs {
    fn refuse_running(&self, name: &str) -> Result<(), EngineError> {
        match self.started.get(name) {
            Some(job) if !job.has_ended() => Err(EngineError::Runs { job: name.to_owned() }),
            _ => Ok(()),
        }
    }
}

impl Engine {
    /// An engine without jobs.
    pub fn new(
        settings: Settings,
        store: Arc<dyn CheckpointStore>,
        dead_letters: Arc<DeadLetters>,
        clock: Arc<dyn Clock>,
    ) -> Result<Engine, StoreError> {
        let surroundings = Surroundings {
            committer: Committer::start(store.clone())?,
            store,
            dead_letters,
            clock,
            shards: settings.shards.max(1),
            checkpoint_every: settings.checkpoint_every,
            outbox: settings.outbox,
            outbox_bytes: settings.outbox_bytes,
            revisions: Revisions::default(),
            background: settings.background,
        };
        Ok(Engine { surroundings, jobs: RwLock::default(), fillings: Mutex::default() })
    }

    pub(crate) fn surroundings(&self) -> &Surroundings {
        &self.surroundings
    }

    pub(crate) fn fillings(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Job>>> {
        self.fillings.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a job from its last safe checkpoint, or anew. It takes the place of one of the same name that has come to
    /// an end; while that one runs, it is refused: two would write one state.
    pub fn start(&self, spec: JobSpec) -> Result<Arc<Job>, EngineError> {
        self.start_after(spec, false)
    }

    /// As [`Engine::start`]; until the job has its state, lookups go on as of where the one before it stood.
    pub fn succeed(&self, spec: JobSpec) -> Result<Arc<Job>, EngineError> {
        self.start_after(spec, true)
    }

    fn start_after(&self, spec: JobSpec, keeps_before: bool) -> Result<Arc<Job>, EngineError> {
        let mut jobs = self.jobs.write().unwrap_or_else(PoisonError::into_inner);
        let name = spec.plan.name.clone();
        jobs.refuse_running(&name)?;
        let was_ready = jobs.started.get(&name).is_some_and(|before| before.status().ready);
        let job = Job::start(spec, self.surroundings.clone(), keeps_before && was_ready)?;
        jobs.refused.remove(&name);
        let before = jobs.started.insert(name.clone(), job.clone()).filter(|_| keeps_before);
        jobs.before.extend(before.map(|before| (name, before)));
        Ok(job)
    }

    /// The job of this name that lookups ask, if any was started.
    pub fn serving(&self, name: &str) -> Option<Arc<Job>> {
        let jobs = self.jobs.read().unwrap_or_else(PoisonError::into_inner);
        let job = jobs.started.get(name)?.clone();
        let Some(before) = jobs.before.get(name).cloned() else { return Some(job) };
        if !job.has_state() {
            return Some(before);
        }
        drop(jobs);
        self.jobs.write().unwrap_or_else(PoisonError::into_inner).before.remove(name);
        Some(job)
    }

    /// Lists a job that could not be started, in place of one of this name that was.
    pub fn refuse(&self, name: &str, refusal: Refusal) {
        let mut jobs = self.jobs.write().unwrap_or_else(PoisonError::into_inner);
        jobs.started.remove(name);
        jobs.before.remove(name);
        jobs.refused.insert(name.to_owned(), refusal);
    }

    /// Lets a job make a last checkpoint and waits for it; it stays listed, and is looked up as it stood.
    pub async fn stop_job(&self, name: &str) {
        if let Some(job) = self.job(name) {
            job.stop();
            // Why it had failed, if it had, was told when it did.
            let _ = job.outcome().await;
        }
    }

    /// Lets a job make a last checkpoint and lists it no more. Its state stays.
    pub async fn remove(&self, name: &str) {
        self.stop_job(name).await;
        let mut jobs = self.jobs.write().unwrap_or_else(PoisonError::into_inner);
        jobs.started.remove(name);
        jobs.before.remove(name);
        jobs.refused.remove(name);
    }

    /// Drops the state of a job, so that it starts anew; refused while it runs.
    pub async fn forget(&self, name: &str) -> Result<(), EngineError> {
        self.jobs.read().unwrap_or_else(PoisonError::into_inner).refuse_running(name)?;
        let head = self.surroundings.store.head().map_err(|error| EngineError::store(name, &error))?;
        self.starts_above(name, head.map_or(0, |head| revised_up_to(&head, name)));
        self.surroundings.committer.forget(name).await
    }

    /// The state of a job was dropped whose newest attempt's revisions began here: rows of the next are newer.
    pub fn starts_above(&self, name: &str, revision: u64) {
        self.surroundings.revisions.dropped(name, revision);
    }

    /// The job of this name, if it was started.
    pub fn job(&self, name: &str) -> Option<Arc<Job>> {
        self.jobs.read().unwrap_or_else(PoisonError::into_inner).started.get(name).cloned()
    }

    /// All jobs that were started, by name.
    pub fn jobs(&self) -> Vec<Arc<Job>> {
        self.jobs.read().unwrap_or_else(PoisonError::into_inner).started.values().cloned().collect()
    }

    /// Why the job of this name could not be started, if it could not.
    pub fn refusal(&self, name: &str) -> Option<Refusal> {
        self.jobs.read().unwrap_or_else(PoisonError::into_inner).refused.get(name).cloned()
    }

    /// The state of every job, by name, also of those that could not be started.
    pub fn statuses(&self) -> Vec<JobStatus> {
        let jobs = self.jobs.read().unwrap_or_else(PoisonError::into_inner);
        let now = self.surroundings.clock.now();
        let refused = jobs.refused.iter().map(|(name, refusal)| JobStatus::unstarted(name, refusal, now));
        let status = |job: &Arc<Job>| self.with_filling(job.status());
        let mut all: Vec<_> = jobs.started.values().map(status).chain(refused).collect();
        all.sort_by(|left, right| left.job.cmp(&right.job));
        all
    }

    /// The state of one job, as [`Engine::statuses`] has it.
    pub fn status(&self, name: &str) -> Option<JobStatus> {
        Some(self.with_filling(self.job(name)?.status()))
    }

    /// The dead letters of all streams.
    pub fn dead_letters(&self) -> &Arc<DeadLetters> {
        &self.surroundings.dead_letters
    }

    /// Lets every job make a last checkpoint and waits for them; the first failure is returned.
    pub async fn stop(&self) -> Result<(), Arc<EngineError>> {
        self.stop_fillings().await;
        let jobs = self.jobs();
        for job in &jobs {
            job.stop();
        }
        let mut first = Ok(());
        for job in jobs {
            let outcome = job.outcome().await;
            if first.is_ok() {
                first = outcome;
            }
        }
        first
    }
}

impl Engine {
    /// Lets all that is made beside jobs make a last checkpoint.
    pub async fn stop_fillings(&self) {
        let names: Vec<String> = self.fillings().keys().cloned().collect();
        for name in names {
            self.stop_filling(&name).await;
        }
    }
}

/// Whether a job of this plan, when it starts, reads the past of its streams first.
pub fn begins_with_past(plan: &JobPlan, head: Option<&Commit>) -> bool {
    let manifest = head.and_then(|head| head.jobs.get(&plan.name));
    plan.has_archives() && manifest.is_none_or(Body::reads_past)
}

/// Where a store's newest commit stands in the streams that a job has read: their names and positions. The plan names the
/// streams where the commit is of a weir that did not.
pub fn positions(job: &str, plan: Option<&JobPlan>, head: &Commit) -> Vec<(String, Position)> {
    let partitions = head.jobs.get(job).map(Body::partitions_of).unwrap_or_default();
    let partitions = partitions.into_iter().filter(|partition| !partition.id.is_of_archive());
    let waiting = head.jobs.get(job).map(Body::waiting_logs).unwrap_or_default();
    let of_stream = |partition: PartitionState| {
        let of_plan = || Some(plan?.input_of(partition.id)?.stream.name.clone());
        Some((partition.stream.or_else(of_plan)?, partition.position))
    };
    partitions.filter_map(of_stream).chain(waiting).collect()
}
