//! The engine as the server holds it: jobs by name over one store.

use crate::checkpoint::Committer;
use crate::dead_letters::DeadLetters;
use crate::error::EngineError;
use crate::job::{Job, JobSpec, Surroundings};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use weir_event::Clock;
use weir_store::{CheckpointStore, StoreError};

/// How the engine runs its jobs.
#[derive(Debug, Clone, Copy)]
pub struct Settings {
    /// Shards of each job.
    pub shards: usize,
    /// From one barrier of a job to the next.
    pub checkpoint_every: Duration,
}

/// All running jobs. Made and used inside a tokio runtime, whose workers run the stages.
pub struct Engine {
    surroundings: Surroundings,
    jobs: RwLock<BTreeMap<String, Arc<Job>>>,
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
        };
        Ok(Engine { surroundings, jobs: RwLock::default() })
    }

    /// Starts a job from its last safe checkpoint, or anew.
    pub fn start(&self, spec: JobSpec) -> Result<Arc<Job>, EngineError> {
        let job = Job::start(spec, self.surroundings.clone())?;
        let mut jobs = self.jobs.write().unwrap_or_else(PoisonError::into_inner);
        jobs.insert(job.plan().name.clone(), job.clone());
        Ok(job)
    }

    /// The job of this name.
    pub fn job(&self, name: &str) -> Option<Arc<Job>> {
        self.jobs.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// All jobs, by name.
    pub fn jobs(&self) -> Vec<Arc<Job>> {
        self.jobs.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// The dead letters of all streams.
    pub fn dead_letters(&self) -> &Arc<DeadLetters> {
        &self.surroundings.dead_letters
    }

    /// Lets every job make a last checkpoint and waits for them; the first failure is returned.
    pub async fn stop(&self) -> Result<(), Arc<EngineError>> {
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
