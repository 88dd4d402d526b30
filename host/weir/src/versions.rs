//! With which versions of plugins jobs are planned: with the active ones and those that they pin; and where a job's state
//! was made by aggregates or keyed logic of another version, which alone can read it, with these, also after a restart.
//!
//! Must not know how versions are loaded, or what becomes of a plan.

use crate::definitions;
use crate::wiring::kept::KeptDefinitions;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use weir_engine::{state_edit, state_made_by};
use weir_event::Clock;
use weir_plan::{Checked, JobDefinition, JobPlan, StreamDefinition};
use weir_plugin::PluginRegistry;
use weir_project::{Planned, RefusedJob, plan_job};
use weir_store::Commit;

/// By plugin, the hash of the component that made a job's state.
type MadeBy = BTreeMap<String, String>;

/// What says which versions have made the state of jobs.
#[derive(Clone, Copy)]
pub(crate) enum StateOf<'s> {
    /// A store's newest commit, except of jobs whose state is dropped.
    Commit(Option<&'s Commit>, &'s [String]),
    /// What is kept of what jobs run by, for whoever cannot look at the state.
    Kept(&'s KeptDefinitions),
}

/// Plans, and those by which they go on when their states are brought there.
#[derive(Debug)]
pub(crate) struct Versioned {
    pub(crate) planned: Planned,
    /// Of jobs that go on with versions that are not active, as their state was made by these: plans with the active ones.
    pub(crate) newer: BTreeMap<String, JobPlan>,
}

impl StateOf<'_> {
    /// What made a job's state, where a plan with the versions that are active does not go on from it.
    fn that_is_needed(self, job: &JobDefinition, plan: Option<&JobPlan>) -> Option<MadeBy> {
        let name = &job.name;
        let made_by = match self {
            StateOf::Commit(_, dropped) if dropped.contains(name) => return None,
            StateOf::Commit(head, _) => {
                let made_by = state_made_by(name, head?);
                made_by.into_iter().map(|(plugin, made)| (plugin, made.component)).collect()
            }
            StateOf::Kept(kept) => kept.versions(name).filter(|kept| kept.version == job.version)?.made_by,
        };
        let by_others: MadeBy =
            made_by.into_iter().filter(|(plugin, _)| !job.pins.contains_key(plugin)).collect();
        let Some(plan) = plan else { return (!by_others.is_empty()).then_some(by_others) };
        let now = plan.state_made_by();
        let is_other = |(plugin, component): (&String, &String)| now.get(plugin) != Some(component);
        let goes_on = match self {
            StateOf::Commit(head, _) => head.is_none_or(|head| state_edit(plan, head).is_ok()),
            StateOf::Kept(_) => false,
        };
        (by_others.iter().any(is_other) && !goes_on).then_some(by_others)
    }
}

/// Plans a project.
pub(crate) fn plan(
    folder: &Path,
    checked: &Checked,
    plugins: &PluginRegistry,
    clock: &Arc<dyn Clock>,
    state: StateOf<'_>,
) -> Versioned {
    let planned = definitions::plan(folder, checked, plugins, clock.clone());
    let by_active = |name: &str| planned.jobs.iter().find(|plan| plan.name == name);
    let mut changed = checked.clone();
    let mut going_on = Vec::new();
    for job in &mut changed.jobs {
        if let Some(made_by) = state.that_is_needed(job, by_active(&job.name)) {
            job.state_made_by = made_by;
            going_on.push(job.name.clone());
        }
    }
    if going_on.is_empty() {
        return Versioned { planned, newer: BTreeMap::new() };
    }
    let newer = going_on.iter().filter_map(|name| Some((name.clone(), by_active(name)?.clone()))).collect();
    Versioned { planned: definitions::plan(folder, &changed, plugins, clock.clone()), newer }
}

/// Plans one job; with that, where it goes on with versions that are not active, the plan with these.
pub(crate) fn plan_one(
    job: &JobDefinition,
    streams: &[Arc<StreamDefinition>],
    names: &[String],
    plugins: &PluginRegistry,
    state: StateOf<'_>,
) -> Result<(JobPlan, Option<JobPlan>), RefusedJob> {
    let plan = |job: &JobDefinition| match plan_job(job, streams, names, plugins) {
        Ok((plan, _)) => definitions::to_run(plan),
        Err(refusal) => Err(refusal.0),
    };
    let by_active = plan(job);
    let Some(state_made_by) = state.that_is_needed(job, by_active.as_ref().ok()) else {
        return by_active.map(|plan| (plan, None));
    };
    let going_on = plan(&JobDefinition { state_made_by, ..job.clone() })?;
    Ok((going_on, by_active.ok()))
}
