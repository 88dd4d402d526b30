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
use weir_core::{CoreError, Expiry, Intake, StoredShape, is_of_intake};
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
    /// What the next commit has to say, whatever that is: all of the state where it was edited; else what state of an
    /// older format does not say and this one does.
    pub(crate) unsaid: Entries,
    /// What the state consists of.
    pub(crate) shape: StoredShape,
    /// Whether the state was left by a plan of another shape, and is now of this one's.
    pub(crate) is_edited: bool,
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
    let edited = body.edited(plan).map_err(in_core)?;
    let shape = edited.as_ref().map_or_else(|| body.shape_of(plan), |edited| edited.shape.clone());
    let stage = plan.stage.as_ref().map(|stage| shape.stage(stage));
    let shards = stage.map(|stage| Shards::new(&stage, shards, !plan.sinks.is_empty()));
    let shards = shards.transpose().map_err(in_core)?;
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
            let read = match (&shards, &edited) {
                _ if is_of_intake(entry) => {
                    if edited.is_some() {
                        unsaid.push(|out| out.extend_from_slice(entry), Some(value));
                    }
                    intake.restore_ids(entry, value)
                }
                (Some(shards), None) => shards.restore(entry, value),
                (Some(shards), Some(edited)) => shards.restore_edited(entry, value, edited, &mut unsaid),
                (None, _) => {
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
        if edited.is_some() {
            shards.push_blocks(&mut unsaid);
        }
    }
    if let Some(edited) = &edited {
        let told = body.edit_told(plan, Some(edited));
        tracing::info!(job = plan.name, "the query was edited; of its state: {told}");
    }
    let shards = shards.map(Arc::new);
    Ok(Restored { shards, intake, unsaid, shape, is_edited: edited.is_some() })
}

/// Judges which entries are out of reach of whoever goes on from `body`.
pub(crate) fn expiry(plan: &JobPlan, body: &Body) -> Result<Expiry, CoreError> {
    let settled = body.watermark.unwrap_or(EventTime::MIN);
    let newest = body.partitions.iter().filter_map(|partition| Some((partition.id, partition.newest?)));
    Expiry::at(plan, settled, body.reached.unwrap_or(EventTime::MIN), newest)
}
