//! A job's state as its checkpoints hold it: timelines, each block under its key group, and behind them what
//! belongs to no key. Reads a checkpoint back and judges what of it is out of reach.
//!
//! Knows whose an entry is. Must not know its bytes.

use crate::error::EngineError;
use crate::manifest::Body;
use crate::progress::Progress;
use crate::shard::Shards;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_core::intake::seen::{self, Seen};
use weir_core::stored::BlockExpiry;
use weir_event::{EventTime, PartitionId, Span};
use weir_plan::{JobPlan, KeyedStage};
use weir_store::{CheckpointStore, StoreError};
use weir_timeline::AggregateError;

/// What a checkpoint gave back.
#[derive(Debug)]
pub(crate) struct Restored {
    /// The timelines; `None` for a job without a stage.
    pub(crate) shards: Option<Arc<Shards>>,
    /// The ids seen; `None` where the stream does not tell events apart.
    pub(crate) seen: Option<Seen>,
}

/// Reads the job's newest safe checkpoint, whose body is `body`. Blocks.
pub(crate) fn restore(
    plan: &JobPlan,
    body: &Body,
    store: &dyn CheckpointStore,
    shards: usize,
    progress: &Progress,
) -> Result<Restored, EngineError> {
    let in_plan = |message: String| EngineError::Plan { job: plan.name.clone(), message };
    let damaged = |message: String| EngineError::Damaged { job: plan.name.clone(), message };
    let in_store = |error: &StoreError| EngineError::store(&plan.name, error);
    let stage = plan.stage.as_ref().map(|stage| Shards::new(stage, shards, !plan.sinks.is_empty()));
    let shards = stage.transpose().map_err(|error| in_plan(error.to_string()))?;
    let mut seen = plan.inputs[0].stream.dedup.map(|dedup| Seen::new(dedup.within));
    let is_expired = expiry(plan, body).map_err(|error| EngineError::aggregate(&plan.name, &error))?;
    let head = store.head().map_err(|error| in_store(&error))?;
    if let Some(manifest) = head.as_ref().and_then(|head| head.jobs.get(&plan.name)) {
        progress.restore_begins(manifest.segments.iter().map(|segment| segment.entries).sum());
        let mut visit = |entry: &[u8], value: &[u8]| -> Result<(), StoreError> {
            progress.restored_one();
            if is_expired(entry) {
                return Ok(());
            }
            let read = match (&mut seen, &shards) {
                (Some(seen), _) if seen::is_entry(entry) => {
                    seen.decode(entry, value).ok_or_else(|| damaged("a block of seen ids".to_owned()))
                }
                (_, Some(shards)) => shards.decode(entry, value).map_err(|error| damaged(error.to_string())),
                (_, None) => Err(damaged("a block of a key, where the job has no keys".to_owned())),
            };
            read.map_err(StoreError::visit)
        };
        store.read(manifest, &mut visit).map_err(|error| in_store(&error))?;
    }
    if let Some(shards) = &shards {
        let settled = body.watermark.unwrap_or(EventTime::MIN);
        shards.restore_done(settled, body.oldest(plan)).map_err(|error| damaged(error.to_string()))?;
    }
    Ok(Restored { shards: shards.map(Arc::new), seen })
}

/// Judges which entries are out of reach of whoever goes on from `body`.
pub(crate) fn expiry(plan: &JobPlan, body: &Body) -> Result<impl Fn(&[u8]) -> bool + use<>, AggregateError> {
    let settled = body.watermark.unwrap_or(EventTime::MIN);
    let at = |stage: &KeyedStage| BlockExpiry::at(&stage.spec, settled, body.oldest(plan));
    let blocks = plan.stage.as_ref().map(at).transpose()?;
    let stream = &plan.inputs[0].stream;
    let within: Option<Span> = stream.dedup.map(|dedup| dedup.within);
    let newest = body.partitions.iter().filter_map(|partition| Some((partition.id, partition.newest?)));
    let watermarks: BTreeMap<PartitionId, EventTime> =
        newest.map(|(id, newest)| (id, newest - stream.disorder)).collect();
    Ok(move |entry: &[u8]| {
        if seen::is_entry(entry) {
            // A stream that does not tell events apart any more has no use for ids.
            return within.is_none_or(|within| seen::is_expired(entry, within, &watermarks));
        }
        blocks.as_ref().is_some_and(|blocks| blocks.is_expired(entry))
    })
}
