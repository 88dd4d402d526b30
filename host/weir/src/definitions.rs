//! Checked definitions -> plans, with everything that is wrong at once.

use crate::catalog::ProjectCatalog;
use crate::failure::Failure;
use crate::kinds::RegisteredKinds;
use crate::plugins;
use crate::project::Project;
use std::sync::Arc;
use weir_event::Clock;
use weir_plan::{Checked, Diagnostic, JobDefinition, JobPlan, Severity};
use weir_plugin::{PluginError, PluginRegistry};

/// What a project's definitions come to.
#[derive(Debug)]
pub(crate) struct Planned {
    /// Plans of the jobs that have no error.
    pub(crate) jobs: Vec<JobPlan>,
    /// Plugins of the project's folder that are not taken.
    pub(crate) refused_plugins: Vec<PluginError>,
    /// Everything to say of the definitions, errors among it.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Planned {
    /// Everything that keeps the project from running.
    pub(crate) fn errors(&self) -> Result<(), Failure> {
        let mut failures: Vec<Failure> = self.refused_plugins.iter().cloned().map(Failure::from).collect();
        let is_error = |diagnostic: &&Diagnostic| diagnostic.severity == Severity::Error;
        let errors: Vec<Diagnostic> = self.diagnostics.iter().filter(is_error).cloned().collect();
        if !errors.is_empty() {
            failures.push(Failure::definitions(&errors));
        }
        Failure::all(failures)
    }

    /// What is not an error and still worth knowing.
    pub(crate) fn remarks(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|diagnostic| diagnostic.severity != Severity::Error)
    }
}

/// The definitions of a project; its state is not touched.
pub(crate) fn check(project: &Project, clock: Arc<dyn Clock>) -> Checked {
    project.check(&RegisteredKinds::new(project.folder(), clock))
}

/// Plans every job of a checked project.
pub(crate) fn plan(
    checked: &Checked,
    plugins: &Arc<PluginRegistry>,
    refused_plugins: Vec<PluginError>,
) -> Planned {
    let jobs = checked.jobs.iter().map(|job| job.name.clone());
    let catalog = ProjectCatalog::new(&checked.streams, jobs, plugins.clone());
    let mut planned = Planned { jobs: Vec::new(), refused_plugins, diagnostics: checked.diagnostics.clone() };
    for job in checked.jobs.iter().filter(|job| !reads_refused(job, checked)) {
        match weir_sql::plan(job, &catalog) {
            Ok(plan) => {
                planned.diagnostics.extend(plan.notices);
                planned.jobs.push(plan.plan);
            }
            Err(diagnostics) => planned.diagnostics.extend(diagnostics),
        }
    }
    planned
}

/// Plans a project for whoever only looks; see [`plugins::open_copy`].
pub(crate) fn plan_copy(project: &Project, checked: &Checked) -> Result<Planned, Failure> {
    let server = checked.server.clone().unwrap_or_default();
    let (_copy, plugins, refused) = plugins::open_copy(project, &server)?;
    Ok(plan(checked, &plugins, refused))
}

/// Whether the job's stream has errors of its own, so that its query cannot be judged.
fn reads_refused(job: &JobDefinition, checked: &Checked) -> bool {
    let tables = weir_sql::tables(&job.query).unwrap_or_default();
    tables.iter().any(|table| checked.refused_streams.contains(table))
}
