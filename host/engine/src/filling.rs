//! Filling: features of a job that lack some of the past are made beside it, from the archives of its streams. The job goes
//! on meanwhile; when the other has everything, its state takes the place of the job's.
//!
//! The other is a job of its own, with the whole plan, a name in the store that no definition can have, and no sinks. Knows
//! when a job lacks something. Must not know who asks for the change, or when.

use crate::beside::{DeclinedFilling, filling_name};
use crate::bootstrap::Phase;
use crate::bootstrap::handover::Handover;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::holdings::{Comparison, Holdings};
use crate::job::{Job, JobSpec};
use crate::manifest::{Body, PartitionState};
use crate::status::{FillingState, FillingStatus, JobStatus};
use std::sync::Arc;
use weir_plan::JobPlan;
use weir_store::Commit;

/// Whether a job of this plan, that has state, lacks some of the past that the archives of its streams have: features that
/// are new or were changed since it began, or what was before it began where it did not begin with the past.
pub fn lacks_past(plan: &JobPlan, head: Option<&Commit>) -> bool {
    let manifest = head.and_then(|head| head.jobs.get(&plan.name)).filter(|_| plan.has_archives());
    // One whose state does not fit does not run.
    let Some(body) = manifest.and_then(|manifest| Body::read(plan, manifest).ok()) else { return false };
    if body.bootstrap.as_ref().is_some_and(|bootstrap| bootstrap.phase.is_before_end()) {
        return false;
    }
    let begins_now = body.edited(plan).ok().flatten();
    let shape = begins_now.map_or_else(|| body.shape_of(plan), |edited| edited.shape);
    let mut columns = 0..plan.output.columns.len();
    let has_begun_later = columns.any(|column| shape.since(plan, column).is_some());
    has_begun_later || (body.bootstrap.is_none() && body.data_since().is_some())
}

/// Whether what was made beside a job by this plan has not taken its place, as it knew less than the job.
pub fn is_declined(plan: &JobPlan, head: Option<&Commit>) -> bool {
    let manifest = head.and_then(|head| head.jobs.get(&plan.name));
    let declined = manifest.and_then(|manifest| Body::read(plan, manifest).ok()?.declined);
    declined.is_some_and(|declined| declined.definition == plan.definition)
}

/// Whether the state of a job is that of this plan.
pub fn runs_by(plan: &JobPlan, head: Option<&Commit>) -> bool {
    let manifest = head.and_then(|head| head.jobs.get(&plan.name));
    manifest
        .and_then(|manifest| Body::read(plan, manifest).ok())
        .is_some_and(|body| body.definition == plan.definition)
}

/// Whether what was made beside a job so far, if anything was, is by its new plan.
pub fn fills(plan: &JobPlan, head: Option<&Commit>) -> bool {
    let name = filling_name(&plan.name);
    let has_begun = head.is_some_and(|head| head.jobs.contains_key(&name));
    !has_begun || runs_by(&JobPlan { name, ..plan.clone() }, head)
}

impl Engine {
    /// Starts what is made beside a job, from its last safe checkpoint or anew. `spec` is of the job's new plan.
    pub fn fill(&self, mut spec: JobSpec) -> Result<(), EngineError> {
        let job = std::mem::take(&mut spec.plan.name);
        spec.plan.name = filling_name(&job);
        spec.sinks.clear();
        let filling = Job::start(spec, self.surroundings().clone(), false)?;
        self.fillings().insert(job, filling);
        Ok(())
    }

    /// What is made beside a job.
    pub fn filling(&self, job: &str) -> Option<Arc<Job>> {
        self.fillings().get(job).cloned()
    }

    /// How far that is.
    pub(crate) fn filling_status(&self, job: &str) -> Option<FillingStatus> {
        let filling = self.filling(job)?;
        let status = filling.status();
        Some(FillingStatus {
            definition: status.definition,
            state: FillingState::Job(status.state),
            events: status.counts.events,
            bootstrap: status.bootstrap,
        })
    }

    /// Stops what is made beside a job, if anything is; its state stays.
    pub async fn stop_filling(&self, job: &str) {
        let filling = self.fillings().remove(job);
        if let Some(filling) = filling {
            filling.stop();
            // Why it had failed, if it had, was told when it did.
            let _ = filling.outcome().await;
        }
    }

    /// Stops what is made beside a job, and drops it.
    pub async fn drop_filling(&self, job: &str) -> Result<(), EngineError> {
        self.stop_filling(job).await;
        self.surroundings().committer.forget(&filling_name(job)).await
    }

    /// Whether a job has read at least as far as what was made beside it, and was stopped.
    pub fn has_passed_filling(&self, job: &str) -> Result<bool, EngineError> {
        let store = |error| EngineError::store(job, &error);
        let head = self.surroundings().store.head().map_err(store)?;
        let filled = head.as_ref().and_then(|head| head.jobs.get(&filling_name(job)));
        let filled = filled.map(Body::partitions_of).unwrap_or_default();
        let Some(job) = self.job(job) else { return Ok(true) };
        let positions = job.positions();
        let is_passed = |partition: &PartitionState| {
            let position = positions.get(&partition.id);
            position.is_some_and(|position| position.next >= partition.position.next)
        };
        Ok(filled.iter().filter(|partition| !partition.id.is_of_archive()).all(is_passed))
    }

    /// The state that was made beside a job takes the place of the job's, which does not run and neither does the other.
    pub async fn take_over(&self, job: &str) -> Result<(), EngineError> {
        self.surroundings().committer.end_filling(job, None).await
    }

    /// The state that was made beside a job by this plan is dropped, as it knows less than the job's, which stays and
    /// remembers why. Neither runs.
    pub async fn decline(&self, plan: &JobPlan, reason: String) -> Result<(), EngineError> {
        let declined = DeclinedFilling { definition: plan.definition.clone(), reason };
        self.surroundings().committer.end_filling(&plan.name, Some(declined)).await
    }

    /// Whether the state that is made beside a job, as its newest checkpoint has it, has what the job had.
    pub fn compare(&self, job: &str, had: &Holdings) -> Result<Comparison, EngineError> {
        let store = |error| EngineError::store(job, &error);
        let head = self.surroundings().store.head().map_err(store)?;
        let body = |name: &str| {
            let manifest = head.as_ref()?.jobs.get(name)?;
            serde_json::from_value::<Body>(manifest.body.clone()).ok()
        };
        let both = body(&filling_name(job)).zip(body(job));
        Ok(both.map_or(Comparison::NotYet, |(filled, own)| had.compare(&filled, &own)))
    }

    /// The status of a job with that of what is made beside it.
    pub(crate) fn with_filling(&self, status: JobStatus) -> JobStatus {
        let filling = self.filling_status(&status.job).or(status.filling);
        JobStatus { filling, ..status }
    }
}

impl Body {
    /// What was made beside the job whose body this is, in its place: what the job's sinks have stays known, and they get each
    /// key's current result.
    pub(crate) fn taken_over_by(self, filled: Body) -> Body {
        let mut bootstrap = filled.bootstrap;
        if let Some(bootstrap) = &mut bootstrap {
            bootstrap.phase = Phase::Owed;
            let until = self.partitions.iter().filter(|partition| !partition.id.is_of_archive());
            let until = until.map(|partition| (partition.id, partition.position.next)).collect();
            bootstrap.handover = Some(Handover { until, settled: self.watermark });
        }
        Body {
            bootstrap,
            revised: self.revised.max(filled.revised),
            attempt: self.attempt.max(filled.attempt),
            checkpoint: self.checkpoint.max(filled.checkpoint),
            sinks: self.sinks,
            sink_identities: self.sink_identities,
            gone_sinks: self.gone_sinks,
            covered: self.covered,
            hidden: self.hidden,
            outboxes: self.outboxes,
            lost_letters: self.lost_letters,
            declined: None,
            ..filled
        }
    }
}
