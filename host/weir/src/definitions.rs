//! A project's definitions as its server plans them: judged by the connectors that there are, with the functions of its
//! plugins; and what to do about what cannot be planned.

use crate::failure::Failure;
use crate::feeding;
use crate::kinds::{RegisteredKinds, Told};
use crate::plugins;
use crate::project::Project;
use crate::versions::{self, StateOf};
use crate::wiring::kept::KeptDefinitions;
use std::path::Path;
use std::sync::Arc;
use weir_engine::SystemClock;
use weir_event::Clock;
use weir_plan::{Checked, Diagnostic, JobCatalogs, JobPlan};
use weir_plugin::PluginError;
use weir_project::{Lacks, Planned, RefusedJob, plan_checked};

/// The definitions of a project; its state is not touched.
pub(crate) fn check(project: &Project, clock: Arc<dyn Clock>) -> Checked {
    project.check(&RegisteredKinds::new(project.folder(), clock))
}

/// Plans a project for whoever only looks, with the versions of plugins that its jobs run with; see
/// [`plugins::open_copy`]. Plugins that are not taken stand beside.
pub(crate) fn plan_copy(
    project: &Project,
    checked: &Checked,
) -> Result<(Planned, Vec<PluginError>), Failure> {
    let server = checked.server.clone().unwrap_or_default();
    let kept = KeptDefinitions::of(&project.folder().join(&server.data_dir));
    plan_copy_by(project, checked, StateOf::Kept(&kept))
}

/// The same by what is known of the state.
pub(crate) fn plan_copy_by(
    project: &Project,
    checked: &Checked,
    state: StateOf<'_>,
) -> Result<(Planned, Vec<PluginError>), Failure> {
    let server = checked.server.clone().unwrap_or_default();
    let (_copy, plugins, refused) = plugins::open_copy(project, &server)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    Ok((versions::plan(project.folder(), checked, &plugins, &clock, state).planned, refused))
}

/// Plans the project in this folder; jobs that would be fed their own results are refused, and those whose rows do not
/// fit a sink.
pub(crate) fn plan(
    folder: &Path,
    checked: &Checked,
    functions: &dyn JobCatalogs,
    clock: Arc<dyn Clock>,
) -> Planned {
    let mut planned = plan_checked(checked, functions);
    let kinds = RegisteredKinds::new(folder, clock);
    let fed = |jobs: &[JobPlan]| feeding::faults(jobs, checked, &kinds, folder);
    let of_job = |faults: Vec<String>| faults.into_iter().map(Told::of_job).collect();
    refuse(&mut planned, checked, |jobs| fed(jobs).into_iter().map(of_job).collect());
    refuse(&mut planned, checked, |jobs| jobs.iter().map(|job| kinds.misfits(job)).collect());
    for job in &planned.jobs {
        let file = file_of(checked, &job.name);
        let warning = |Told { at: (line, column), message }| Diagnostic::warning(file, line, column, message);
        planned.diagnostics.extend(kinds.keep_what_goes(job).into_iter().map(warning));
    }
    planned
}

/// The file of a job's definition.
fn file_of<'c>(checked: &'c Checked, job: &str) -> &'c str {
    checked.jobs.iter().find(|definition| definition.name == job).map_or("", |job| &job.file)
}

/// Refuses the jobs with which something is wrong.
fn refuse(planned: &mut Planned, checked: &Checked, faults: impl Fn(&[JobPlan]) -> Vec<Vec<Told>>) {
    let faults = faults(&planned.jobs);
    for (job, faults) in std::mem::take(&mut planned.jobs).into_iter().zip(faults) {
        if faults.is_empty() {
            planned.jobs.push(job);
            continue;
        }
        let file = file_of(checked, &job.name);
        let error = |Told { at: (line, column), message }| Diagnostic::error(file, line, column, message);
        let errors: Vec<Diagnostic> = faults.into_iter().map(error).collect();
        let reasons = errors.iter().map(ToString::to_string).collect();
        planned.refused.push(RefusedJob {
            name: job.name,
            reasons,
            lacks: Lacks::default(),
            for_training: false,
        });
        planned.diagnostics.extend(errors);
    }
}

/// A plan for whoever runs it: one that looks ahead is refused, as nobody knows yet what it asks for.
pub(crate) fn to_run(plan: JobPlan) -> Result<JobPlan, RefusedJob> {
    let Some(ahead) = plan.looks_ahead else { return Ok(plan) };
    let name = plan.name;
    let reason = format!(
        "it is for training only: its frames look {ahead} ahead (FOLLOWING), and what will happen until then is not known when a \
         lookup asks; ask by `weir train --features {name}`, or have its frames end at the row (PRECEDING) and run `weir restart \
         {name}`"
    );
    Err(RefusedJob { name, reasons: vec![reason], lacks: Lacks::default(), for_training: true })
}

/// Plans for whoever runs them; see [`to_run`].
pub(crate) fn all_to_run(mut planned: Planned) -> Planned {
    let refused = std::mem::take(&mut planned.for_training).into_iter().filter_map(|plan| to_run(plan).err());
    planned.refused.extend(refused);
    planned
}

/// Everything that is wrong with a project, plugins that are not taken first.
pub(crate) fn errors(planned: &Planned, refused_plugins: &[PluginError]) -> Result<(), Failure> {
    let mut failures: Vec<Failure> = refused_plugins.iter().cloned().map(Failure::from).collect();
    let errors: Vec<Diagnostic> = planned.errors().cloned().collect();
    if !errors.is_empty() {
        failures.push(Failure::definitions(&errors));
    }
    Failure::all(failures)
}

/// All that is wrong with a job that has no plan, and what to do.
pub(crate) fn reason(refused: &RefusedJob) -> String {
    let reasons = refused.reasons.join("; ");
    if refused.for_training {
        return reasons;
    }
    let Lacks { functions, versions } = &refused.lacks;
    let quoted =
        |names: &[String]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if let Some(plugin) = versions.first() {
        let plugins = quoted(versions);
        return format!(
            "{reasons}; it starts by itself once the version of {plugins} is there: `weir plugin push {plugin} FILE.wasm`"
        );
    }
    if functions.is_empty() {
        return format!("{reasons}; correct that and run `weir restart {}`", refused.name);
    }
    format!(
        "{reasons}; it starts by itself once a plugin with {} is active: `weir plugin push NAME FILE.wasm`, then \
         `weir plugin activate NAME 1`",
        quoted(functions)
    )
}
