//! What definitions come to, for whoever looks at a pack: its streams with their columns, its jobs with their features.

use crate::definitions;
use crate::failure::Failure;
use crate::project::Project;
use std::sync::Arc;
use weir_engine::SystemClock;
use weir_pack::config::PackColumn;
use weir_pack::{PackJob, PackStream};
use weir_plan::{Checked, Diagnostic, JobPlan, Severity, StreamDefinition};
use weir_project::Planned;

/// A project's definitions, which have no errors.
#[derive(Debug)]
pub(crate) struct SoundProject {
    checked: Checked,
    planned: Planned,
}

/// Checks and plans a project as `weir check` does; what is wrong with it is an error.
pub(crate) fn planned(project: &Project) -> Result<SoundProject, Failure> {
    let checked = definitions::check(project, Arc::new(SystemClock::new()));
    let (planned, refused_plugins) = definitions::plan_copy(project, &checked)?;
    definitions::errors(&planned, &refused_plugins)?;
    Ok(SoundProject { checked, planned })
}

impl SoundProject {
    /// What is not an error and still worth knowing.
    pub(crate) fn warnings(&self) -> impl Iterator<Item = &Diagnostic> {
        self.planned.remarks().filter(|found| found.severity == Severity::Warning)
    }

    /// The plans of its jobs.
    pub(crate) fn jobs(&self) -> impl Iterator<Item = &JobPlan> {
        self.planned.jobs.iter().chain(&self.planned.for_training)
    }

    /// The plans of the jobs that a server runs.
    pub(crate) fn running(&self) -> &[JobPlan] {
        &self.planned.jobs
    }

    /// Its streams, as a pack lists them.
    pub(crate) fn streams(&self) -> Vec<PackStream> {
        self.checked.streams.iter().map(|stream| listed_stream(stream)).collect()
    }

    /// Its jobs, as a pack lists them.
    pub(crate) fn listed_jobs(&self) -> Vec<PackJob> {
        let mut jobs: Vec<PackJob> = self.jobs().map(listed_job).collect();
        jobs.sort_by(|left, right| left.name.cmp(&right.name));
        jobs
    }
}

fn listed_stream(stream: &StreamDefinition) -> PackStream {
    let column = |field: &weir_event::schema::Field| PackColumn {
        name: field.name.clone(),
        data_type: field.data_type.to_string(),
        description: None,
    };
    PackStream {
        name: stream.name.clone(),
        source: stream.origin.as_ref().map(|origin| origin.kind.clone()),
        columns: stream.schema.declared().map(column).collect(),
    }
}

fn listed_job(plan: &JobPlan) -> PackJob {
    let stored = plan.features.iter().map(|feature| PackColumn {
        name: feature.name.clone(),
        data_type: feature.data_type.to_string(),
        description: feature.description.clone(),
    });
    let derived = plan.transform.features.iter().map(|feature| PackColumn {
        name: feature.name.clone(),
        data_type: feature.data_type.to_string(),
        description: feature.description.clone(),
    });
    PackJob {
        name: plan.name.clone(),
        version: plan.version,
        entity: plan.stage.as_ref().map(|stage| stage.key_names.clone()).unwrap_or_default(),
        features: stored.chain(derived).collect(),
        sinks: plan.sinks.iter().map(|sink| sink.kind.clone()).collect(),
    }
}
