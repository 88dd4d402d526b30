//! A job's state as its checkpoints hold it: timelines, each block under its key group, and behind them what
//! belongs to no key. Reads a checkpoint back.
//!
//! Knows whose an entry is. Must not know its bytes.

use crate::entries::Entries;
use crate::error::EngineError;
use crate::manifest::{Body, SAYS_OF_GROUPS};
use crate::progress::Progress;
use crate::shard::Shards;
use std::sync::Arc;
use weir_core::{CoreError, Expiry, Intake, is_of_intake};
use weir_event::EventTime;
use weir_plan::JobPlan;
use weir_store::{CheckpointStore, StoreError};

/// What a checkpoint gave back.
#[derive(Debug)]
pub(crate) struct Restored {
    /// The timelines; `None` for a job without a stage.
    pub(crate) shards: Option<Arc<Shards>>,
    /// The intake, with the ids that it had seen.
    pub(crate) intake: Intake,
    /// What state of an older format does not say and this one does, sorted by key: part of the next commit, whatever
    /// that is.
    pub(crate) unsaid: Entries,
}

/// Reads the job's newest safe checkpoint, whose body is `body`. Blocks.
pub(crate) fn restore(
    plan: &Arc<JobPlan>,
    body: &Body,
    store: &dyn CheckpointStore,
    shards: usize,
    progress: &Progress,
) -> Result<Restored, EngineError> {
    let in_core = |error: CoreError| EngineError::of_core(&plan.name, error);
    let in_store = |error: &StoreError| EngineError::store(&plan.name, error);
    let stage = plan.stage.as_ref().map(|stage| Shards::new(stage, shards, !plan.sinks.is_empty()));
    let shards = stage.transpose().map_err(in_core)?;
    let mut intake = Intake::open(plan.clone());
    let expiry = expiry(plan, body).map_err(in_core)?;
    let head = store.head().map_err(|error| in_store(&error))?;
    let mut unsaid = Entries::default();
    if let Some(manifest) = head.as_ref().and_then(|head| head.jobs.get(&plan.name)) {
        progress.restore_begins(manifest.segments.iter().map(|segment| segment.entries).sum());
        let mut visit = |entry: &[u8], value: &[u8]| -> Result<(), StoreError> {
            progress.restored_one();
            if expiry.is_expired(entry) {
                return Ok(());
            }
            let read = match &shards {
                _ if is_of_intake(entry) => intake.restore_ids(entry, value),
                Some(shards) => shards.restore(entry, value),
                None => {
                    let what = "a block of a key, where the job has no keys";
                    Err(CoreError::Damaged(what.to_owned()))
                }
            };
            read.map_err(|error| StoreError::visit(in_core(error)))
        };
        store.read(manifest, &mut visit).map_err(|error| in_store(&error))?;
        if let (Some(shards), Some(stage)) = (&shards, &plan.stage)
            && manifest.format < SAYS_OF_GROUPS
        {
            shards.restore_reached(body.reached(stage), &mut unsaid);
        }
    }
    if let Some(shards) = &shards {
        shards.restore_done().map_err(in_core)?;
    }
    Ok(Restored { shards: shards.map(Arc::new), intake, unsaid })
}

/// Judges which entries are out of reach of whoever goes on from `body`.
pub(crate) fn expiry(plan: &JobPlan, body: &Body) -> Result<Expiry, CoreError> {
    let settled = body.watermark.unwrap_or(EventTime::MIN);
    let newest = body.partitions.iter().filter_map(|partition| Some((partition.id, partition.newest?)));
    Expiry::at(plan, settled, body.reached.unwrap_or(EventTime::MIN), newest)
}
