//! What a project's stored state says to its plans, for whoever only looks. Nothing of it is changed.

use crate::failure::Failure;
use crate::project::Project;
use std::path::Path;
use weir_engine::fits_state;
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
    /// It was; these jobs have a state that does not fit them.
    Seen(Vec<String>),
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
            let unfit = |plan: &JobPlan| fits_state(plan, head.as_ref()?).err().map(|error| error.to_string());
            Ok(StateCheck::Seen(plans.iter().filter_map(unfit).collect()))
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
