//! A job's state is brought from older versions of its plugins to newer ones, which make their states of the older ones', while
//! the job does not run: all of it in one commit, or nothing. What was read, counted and written stays as it is.
//!
//! Must not know what states mean, or when this is asked for.

use crate::engine::Engine;
use crate::entries::Entries;
use crate::error::EngineError;
use crate::fit::check_state;
use crate::manifest::{Body, SAYS_OF_GROUPS};
use crate::state::expiry;
use std::sync::Arc;
use weir_connect::CpuTime;
use weir_core::stored::Name;
use weir_core::{CoreError, Migrated, block_of, is_of_intake};
use weir_plan::JobPlan;
use weir_store::{CheckpointStore, Manifest, StoreError};

/// That newer versions of a job's plugins have not taken over its state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotTakenOver {
    /// The hash of the definition that it has with them.
    pub definition: String,
    /// Why.
    pub reason: String,
}

/// So many blocks are brought over together: enough that a call of a plugin is worth its cost, few enough for its memory.
const TOGETHER: usize = 1024;

impl Engine {
    /// Brings the state that a job's older plan has made to its newer plan; the job does not run. Without state there is
    /// nothing to do.
    pub async fn migrate(&self, older: &JobPlan, newer: &JobPlan) -> Result<(), EngineError> {
        let surroundings = self.surroundings();
        surroundings.committer.settle().await;
        let (older, newer, store) = (older.clone(), Arc::new(newer.clone()), surroundings.store.clone());
        let (cpu, plan) = (CpuTime::default(), newer.clone());
        let counted = cpu.clone();
        let read = move || counted.measure(|| migrated(&older, &newer, &*store));
        let vanished = |_| EngineError::Vanished { job: plan.name.clone(), stage: "migration" };
        let Some((body, entries)) = tokio::task::spawn_blocking(read).await.map_err(vanished)?? else {
            return Ok(());
        };
        surroundings.committer.replace(&plan, body, entries.into_iter(), &cpu).await
    }
}

/// All of the state as the newer plan has it. Blocks.
fn migrated(
    older: &JobPlan,
    newer: &JobPlan,
    store: &dyn CheckpointStore,
) -> Result<Option<(Body, Entries)>, EngineError> {
    let in_core = |error: CoreError| EngineError::of_core(&newer.name, error);
    let in_store = |error: &StoreError| EngineError::store(&newer.name, error);
    let head = store.head().map_err(|error| in_store(&error))?;
    let Some(mut body) = check_state(older, head.as_ref())? else { return Ok(None) };
    let Some(manifest) = head.as_ref().and_then(|head| head.jobs.get(&newer.name)) else { return Ok(None) };
    let shape = body.shape.as_ref().filter(|_| manifest.format >= SAYS_OF_GROUPS);
    let edit = shape.map(|shape| shape.migrated(older, newer)).transpose().map_err(in_core)?.flatten();
    let edit = edit.ok_or_else(|| EngineError::Plan {
        job: newer.name.clone(),
        message:
            "its state is of another form than its plan; start it once without another version of a plugin"
                .to_owned(),
    })?;
    let entries = entries(&edit, (older, &body, manifest), store)?;
    body.adopt(newer);
    body.shape = Some(edit.shape);
    Ok(Some((body, entries)))
}

fn entries(
    edit: &Migrated,
    (older, body, manifest): (&JobPlan, &Body, &Manifest),
    store: &dyn CheckpointStore,
) -> Result<Entries, EngineError> {
    let in_core = |error: CoreError| EngineError::of_core(&older.name, error);
    let expiry = expiry(older, body).map_err(in_core)?;
    let (mut entries, mut waiting, mut failed) = (Entries::default(), Vec::new(), None);
    let mut visit = |entry: &[u8], value: &[u8]| -> Result<(), StoreError> {
        if expiry.is_expired(entry) {
            return Ok(());
        }
        let holds_states = !is_of_intake(entry)
            && Name::parse_with_group(entry).is_some_and(|name| block_of(name).is_some());
        if !holds_states {
            entries.push(|out| out.extend_from_slice(entry), Some(value));
            return Ok(());
        }
        waiting.push((entry.to_vec(), value.to_vec()));
        if waiting.len() < TOGETHER {
            return Ok(());
        }
        let brought = bring_over(edit, std::mem::take(&mut waiting), &mut entries);
        brought.map_err(|error| {
            let told = StoreError::visit(error.to_string());
            failed = Some(error);
            told
        })
    };
    let read = store.read(manifest, &mut visit);
    // Reading was ended for it.
    if let Some(error) = failed {
        return Err(in_core(error));
    }
    read.map_err(|error| EngineError::store(&older.name, &error))?;
    bring_over(edit, waiting, &mut entries).map_err(in_core)?;
    Ok(entries)
}

fn bring_over(
    edit: &Migrated,
    waiting: Vec<(Vec<u8>, Vec<u8>)>,
    entries: &mut Entries,
) -> Result<(), CoreError> {
    let mut blocks = Vec::with_capacity(waiting.len());
    for (entry, value) in &waiting {
        // Only what reads as the name of a block came here.
        blocks
            .extend(Name::parse_with_group(entry).and_then(block_of).map(|block| (block, value.as_slice())));
    }
    for ((entry, _), value) in waiting.iter().zip(edit.translate(&blocks)?) {
        if let Some(value) = value {
            entries.push(|out| out.extend_from_slice(entry), Some(&value));
        }
    }
    Ok(())
}
