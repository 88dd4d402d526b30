//! Copies kept commits into a fresh sled folder. sled gives space back to its own log only; when the files have outgrown
//! what is alive, or commits must be left behind, a copy is the way out. The live folder is changed by replacing the state file: a crash
//! before leaves the old folder live, one after the new one.

use std::collections::BTreeSet;

use crate::StoreError;
use crate::guard::Progress;
use crate::ledger::Kept;
use crate::record::{self, CommitRecord, Name};
use crate::rows::{Change, Rows};
use crate::segment;

/// Chunks handed to sled at once.
const CHUNKS_PER_CALL: usize = 64;

/// Copies what `kept` (oldest first, not empty) names from `old` into the empty `new`, checks it on the way, and makes it durable.
pub(crate) fn copy(old: &Rows, new: &Rows, kept: &[Kept], progress: &Progress) -> Result<(), StoreError> {
    let mut done = BTreeSet::new();
    for segment in kept.iter().flat_map(Kept::segments) {
        if !done.insert(segment.id) {
            continue;
        }
        let mut waiting = Vec::with_capacity(CHUNKS_PER_CALL);
        segment::check(old, segment, |address, stored| {
            waiting.push((address, stored.to_vec()));
            if waiting.len() == CHUNKS_PER_CALL {
                progress.step();
                new.put_chunks(std::mem::take(&mut waiting))?;
            }
            Ok(())
        })?;
        new.put_chunks(waiting)?;
    }
    new.sync()?;
    progress.step();
    let mut changes = Vec::new();
    for commit in kept {
        changes.extend(commit_changes(commit)?);
    }
    new.change_records(changes)?;
    new.sync()
}

/// The changes that put a commit with all its manifests and make it HEAD.
fn commit_changes(kept: &Kept) -> Result<Vec<Change>, StoreError> {
    let mut changes = Vec::new();
    for (job, (epoch, manifest)) in &kept.jobs {
        changes.extend(record::put_manifest(job, *epoch, manifest)?);
    }
    changes.extend(head_changes(kept)?);
    Ok(changes)
}

/// The changes that put a commit's own record and make it HEAD.
pub(crate) fn head_changes(kept: &Kept) -> Result<Vec<Change>, StoreError> {
    let jobs = kept.jobs.iter().map(|(job, (epoch, _))| (job.clone(), *epoch)).collect();
    let mut changes = record::put(&Name::Commit(kept.epoch), &CommitRecord { epoch: kept.epoch, jobs })?;
    changes.extend(record::put(&Name::Head, &kept.epoch)?);
    Ok(changes)
}
