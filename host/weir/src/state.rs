//! What a project's stored state says to its plans, for whoever only looks. Nothing of it is changed.

use crate::failure::Failure;
use crate::project::Project;
use std::collections::BTreeMap;
use std::path::Path;
use weir_engine::{StateEdit, state_edit};
use weir_plan::{JobPlan, ServerDefinition};
use weir_store::{CheckpointStore, Commit, Copied, SledStore, StoreError, StoreOptions};

/// The largest state that is copied to be looked at.
const COPY_LIMIT_BYTES: u64 = 2 << 30;

/// What the state says.
#[derive(Debug)]
pub(crate) enum StateCheck {
    /// There is none: every job begins at its source's start.
    None,
    /// It was not looked at, for this reason.
    NotSeen(String),
    /// It was.
    Seen {
        /// Jobs whose state does not fit them, each with the reason and what to do.
        unfit: Vec<String>,
        /// By job that goes on from its state, what becomes of that.
        edits: BTreeMap<String, StateEdit>,
    },
}

/// Compares plans with the state in a project's data folder.
pub(crate) fn check(
    project: &Project,
    server: &ServerDefinition,
    plans: &[JobPlan],
) -> Result<StateCheck, Failure> {
    let folder = project.folder().join(&server.data_dir).join("state");
    let unable =
        |error: std::io::Error| Failure::external(format!("cannot copy the state to look at it: {error}"));
    let into = tempfile::tempdir().map_err(unable)?;
    match weir_store::copy(&folder, into.path(), COPY_LIMIT_BYTES) {
        Ok(Copied::Empty) => Ok(StateCheck::None),
        Ok(Copied::TooLarge { bytes }) => Ok(StateCheck::NotSeen(format!(
            "the state has {} MiB, and more than {} MiB are not copied to be looked at; `weir serve` says whether it fits",
            bytes >> 20,
            COPY_LIMIT_BYTES >> 20
        ))),
        Ok(Copied::Whole) => {
            let head = head(into.path())?;
            let (mut unfit, mut edits) = (Vec::new(), BTreeMap::new());
            for plan in plans {
                match head.as_ref().map_or(Ok(None), |head| state_edit(plan, head)) {
                    Ok(edit) => edits.extend(edit.map(|edit| (plan.name.clone(), edit))),
                    Err(error) => unfit.push(error.to_string()),
                }
            }
            Ok(StateCheck::Seen { unfit, edits })
        }
        Err(StoreError::Locked { .. }) => Ok(StateCheck::NotSeen(
            "a running server has the state open, so whether the jobs still fit it was not checked: one whose query or \
             stream has changed may not, and would fail at the next start; `weir restart JOB` checks one: it takes its \
             changed definition if that fits, and else runs on as it is"
                .to_owned(),
        )),
        Err(error) => Err(error.into()),
    }
}

fn head(folder: &Path) -> Result<Option<Commit>, Failure> {
    let store = SledStore::open(folder, StoreOptions::default())?;
    Ok(store.head()?)
}
