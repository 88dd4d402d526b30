//! What a project's stored state says to its plans, for whoever only looks (nothing of it is changed), and where it leaves
//! its marks.

use crate::failure::Failure;
use crate::kinds::RegisteredKinds;
use crate::project::Project;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weir_connect::StateMark;
use weir_connectors::http::IngestLogs;
use weir_engine::{StateEdit, hidden_rows, left_rows, state_edit};
use weir_event::Clock;
use weir_plan::{Checked, JobPlan, ServerDefinition};
use weir_store::{CheckpointStore, Commit, Copied, LastingStore, SledStore, StoreError, StoreOptions};

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
        /// Of jobs that go on from their state, rows that wait for sinks that they do not have any more.
        left: Vec<String>,
        /// Likewise, rows that are not visible in such sinks.
        hidden: Vec<String>,
    },
}

/// A project's stored state, as it is looked at.
#[derive(Debug)]
pub(crate) enum StateLook {
    /// There is none, or it was not looked at.
    Nothing(StateCheck),
    /// Its newest commit, and where rows wait for sinks.
    Head(Option<Commit>, PathBuf),
}

/// Looks at the state in a project's data folder.
pub(crate) fn look(project: &Project, server: &ServerDefinition) -> Result<StateLook, Failure> {
    let data_dir = project.folder().join(&server.data_dir);
    let (folder, outboxes) = (data_dir.join("state"), outboxes(&data_dir));
    let unable =
        |error: std::io::Error| Failure::external(format!("cannot copy the state to look at it: {error}"));
    let not_seen = |reason: String| Ok(StateLook::Nothing(StateCheck::NotSeen(reason)));
    let into = tempfile::tempdir().map_err(unable)?;
    match weir_store::copy(&folder, into.path(), COPY_LIMIT_BYTES) {
        Ok(Copied::Empty) => Ok(StateLook::Nothing(StateCheck::None)),
        Ok(Copied::TooLarge { bytes }) => not_seen(format!(
            "the state has {} MiB, and more than {} MiB are not copied to be looked at; `weir serve` says whether it fits",
            bytes >> 20,
            COPY_LIMIT_BYTES >> 20
        )),
        Ok(Copied::Whole) => Ok(StateLook::Head(head(into.path())?, outboxes)),
        Err(StoreError::Locked { .. }) => not_seen(
            "a running server has the state open, so whether the jobs still fit it was not checked: one whose query or \
             stream has changed may not, and would fail at the next start; `weir restart JOB` checks one: it takes its \
             changed definition if that fits, and else runs on as it is"
                .to_owned(),
        ),
        Err(error) => Err(error.into()),
    }
}

impl StateLook {
    /// Compares plans with it.
    pub(crate) fn check(self, plans: &[JobPlan], kinds: &RegisteredKinds) -> StateCheck {
        let (head, outboxes) = match self {
            StateLook::Nothing(said) => return said,
            StateLook::Head(head, outboxes) => (head, outboxes),
        };
        let (mut unfit, mut edits) = (Vec::new(), BTreeMap::new());
        let (mut left, mut hidden) = (Vec::new(), Vec::new());
        for (plan, head) in plans.iter().filter_map(|plan| Some((plan, head.as_ref()?))) {
            let (job, sinks) = (&plan.name, kinds.sink_identities(plan));
            // Where the state does not fit, that is what is said.
            let rows = left_rows(plan, head, &sinks).unwrap_or_default();
            left.extend(rows.iter().map(|rows| format!("job `{job}`: {rows}")));
            let rows = hidden_rows(plan, head, &outboxes, &sinks).unwrap_or_default();
            hidden.extend(rows.iter().map(|rows| format!("job `{job}`: {rows}")));
            match state_edit(plan, head) {
                Ok(edit) => edits.extend(edit.map(|edit| (plan.name.clone(), edit))),
                Err(error) => unfit.push(error.to_string()),
            }
        }
        StateCheck::Seen { unfit, edits, left, hidden }
    }
}

/// Where rows wait for sinks, in a project's data folder.
pub(crate) fn outboxes(data_dir: &Path) -> PathBuf {
    data_dir.join("outbox")
}

/// Where the state may have left its marks: beside each ingest log, and where sinks write.
pub(crate) fn marks(
    project: &Path,
    data_dir: &Path,
    checked: &Checked,
    clock: Arc<dyn Clock>,
) -> Vec<PathBuf> {
    let kinds = RegisteredKinds::new(project, clock);
    let of_job = |job: &weir_plan::JobDefinition| {
        let marks = job.sinks.iter().filter_map(|sink| kinds.mark(&job.name, sink));
        marks.collect::<Vec<_>>()
    };
    let mut marks = IngestLogs::marks(data_dir);
    marks.extend(checked.jobs.iter().flat_map(of_job));
    marks.sort();
    marks.dedup();
    marks
}

/// Leaves the marks of a store.
#[derive(Clone)]
pub(crate) struct Marking(pub(crate) Arc<LastingStore>);

impl std::fmt::Debug for Marking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Marking")
    }
}

impl StateMark for Marking {
    fn leave(&self, at: &Path) -> io::Result<()> {
        self.0.leave_mark(at).map_err(io::Error::other)
    }
}

fn head(folder: &Path) -> Result<Option<Commit>, Failure> {
    let store = SledStore::open(folder, StoreOptions::default())?;
    Ok(store.head()?)
}
