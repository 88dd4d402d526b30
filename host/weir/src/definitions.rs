//! Checked definitions -> plans, with everything that is wrong at once; and for each job that has no plan, why.

use crate::catalog::ProjectCatalog;
use crate::failure::Failure;
use crate::kinds::RegisteredKinds;
use crate::plugins;
use crate::project::Project;
use std::sync::Arc;
use weir_event::Clock;
use weir_plan::{Checked, Diagnostic, JobDefinition, JobPlan, Severity, StreamDefinition};
use weir_plugin::{PluginError, PluginRegistry};

/// What a project's definitions come to.
#[derive(Debug)]
pub(crate) struct Planned {
    /// Plans of the jobs that have no error.
    pub(crate) jobs: Vec<JobPlan>,
    /// The jobs that have errors.
    pub(crate) refused: Vec<RefusedJob>,
    /// Plugins of the project's folder that are not taken.
    pub(crate) refused_plugins: Vec<PluginError>,
    /// Everything to say of the definitions, errors among it.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// A job without a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RefusedJob {
    /// Its name.
    pub(crate) name: String,
    /// What is wrong, a line each.
    pub(crate) reasons: Vec<String>,
    /// The functions that it lacks, where it lacks nothing else: a plugin can bring them at any time.
    pub(crate) lacks: Vec<String>,
}

impl RefusedJob {
    /// All that is wrong with it, and what to do.
    pub(crate) fn reason(&self) -> String {
        let reasons = self.reasons.join("; ");
        if self.lacks.is_empty() {
            return format!("{reasons}; correct that and run `weir restart {}`", self.name);
        }
        format!(
            "{reasons}; it starts by itself once a plugin with {} is active: `weir plugin push NAME FILE.wasm`, then \
             `weir plugin activate NAME 1`",
            self.lacks.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        )
    }
}

impl Planned {
    /// Everything that is wrong with the project.
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
    let refused = checked.refused_jobs.iter().map(|(name, file)| RefusedJob {
        name: name.clone(),
        reasons: errors_of(checked, file),
        lacks: Vec::new(),
    });
    let mut planned = Planned {
        jobs: Vec::new(),
        refused: refused.collect(),
        refused_plugins,
        diagnostics: checked.diagnostics.clone(),
    };
    let names: Vec<String> = checked.jobs.iter().map(|job| job.name.clone()).collect();
    for job in &checked.jobs {
        if let Some((stream, file)) = refused_stream(job, checked) {
            let mut reasons = vec![format!("it reads the stream `{stream}`, which is refused")];
            reasons.extend(errors_of(checked, file));
            planned.refused.push(RefusedJob { name: job.name.clone(), reasons, lacks: Vec::new() });
            continue;
        }
        match plan_job(job, &checked.streams, &names, plugins) {
            Ok((plan, notices)) => {
                planned.diagnostics.extend(notices);
                planned.jobs.push(plan);
            }
            Err((refused, diagnostics)) => {
                planned.refused.push(refused);
                planned.diagnostics.extend(diagnostics);
            }
        }
    }
    planned
}

/// Plans one job beside others of these names; else says why not, in words and with places.
pub(crate) fn plan_job(
    job: &JobDefinition,
    streams: &[Arc<StreamDefinition>],
    names: &[String],
    plugins: &Arc<PluginRegistry>,
) -> Result<(JobPlan, Vec<Diagnostic>), (RefusedJob, Vec<Diagnostic>)> {
    let catalog = ProjectCatalog::new(streams, names.iter().cloned(), plugins.clone());
    match weir_sql::plan(job, &catalog) {
        Ok(plan) => Ok((plan.plan, plan.notices)),
        Err(diagnostics) => {
            let errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
            let reasons: Vec<String> = errors.map(ToString::to_string).collect();
            let mut lacks = catalog.take_missing();
            if lacks.len() < reasons.len() {
                lacks.clear();
            }
            lacks.sort_unstable();
            lacks.dedup();
            Err((RefusedJob { name: job.name.clone(), reasons, lacks }, diagnostics))
        }
    }
}

/// Plans a project for whoever only looks; see [`plugins::open_copy`].
pub(crate) fn plan_copy(project: &Project, checked: &Checked) -> Result<Planned, Failure> {
    let server = checked.server.clone().unwrap_or_default();
    let (_copy, plugins, refused) = plugins::open_copy(project, &server)?;
    Ok(plan(checked, &plugins, refused))
}

fn errors_of(checked: &Checked, file: &str) -> Vec<String> {
    let is_error = |found: &&Diagnostic| found.file == file && found.severity == Severity::Error;
    checked.diagnostics.iter().filter(is_error).map(ToString::to_string).collect()
}

/// A stream of the job that has errors of its own, so that its query cannot be judged, and its file.
fn refused_stream<'c>(job: &JobDefinition, checked: &'c Checked) -> Option<(&'c String, &'c String)> {
    let tables = weir_sql::tables(&job.query).unwrap_or_default();
    tables.iter().find_map(|table| checked.refused_streams.get_key_value(table))
}
