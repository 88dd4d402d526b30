//! What a training set is asked for by name: jobs and features, among those that there are.
//!
//! Must not know where the values come from.

use crate::definitions;
use crate::failure::Failure;
use crate::project::Project;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use weir_engine::Engine;
use weir_event::Clock;
use weir_event::suggestion::{instead_of, shown};
use weir_plan::JobPlan;
use weir_plugin::PluginRegistry;
use weir_project::Planned;
use weir_serve::FeaturesRefused;
use weir_train::WantedFeature;

/// Why something cannot be asked for.
#[derive(Debug)]
pub(crate) enum Unasked {
    /// There is nothing of the name.
    Unknown(String),
    /// Nothing of the job can be looked up.
    NoEntity(String),
    /// What is wrong with the job's definition, and whether only a plugin is missing.
    Refused(String, bool),
}

impl Unasked {
    /// As whoever typed the command is told.
    pub(super) fn failure(self) -> Failure {
        match self {
            Unasked::Unknown(message) | Unasked::NoEntity(message) => {
                Failure::user(format!("--features: {message}"))
            }
            Unasked::Refused(reasons, _) => Failure::user(reasons),
        }
    }
}

/// The jobs of which features are asked for, each with those of its features, in the order of the first mention.
pub(super) fn asked_for<'p>(
    planned: &'p Planned,
    features: &[String],
) -> Result<Vec<(&'p JobPlan, Vec<WantedFeature>)>, Unasked> {
    let plans: Vec<&JobPlan> = planned.jobs.iter().chain(&planned.for_training).collect();
    let mut asked: Vec<(&JobPlan, Vec<WantedFeature>)> = Vec::new();
    for name in features.iter().map(|name| name.trim()) {
        let (job, feature) = parts(name);
        let Some(plan) = plans.iter().copied().find(|plan| plan.name == job) else {
            if let Some(refused) = planned.refused.iter().find(|refused| refused.name == job) {
                return Err(Unasked::Refused(refused.reasons.join("\n"), !refused.lacks.is_empty()));
            }
            let known = instead_of(job, plans.iter().map(|plan| plan.name.as_str()));
            return Err(Unasked::Unknown(format!("job `{}` not found; {known}", shown(job))));
        };
        let wanted = wanted(plan, feature)?;
        let at = asked.iter().position(|(other, _)| other.name == plan.name).unwrap_or_else(|| {
            asked.push((plan, Vec::new()));
            asked.len() - 1
        });
        for feature in wanted {
            if !asked[at].1.contains(&feature) {
                asked[at].1.push(feature);
            }
        }
    }
    Ok(asked)
}

/// A job, and one of its features where not all are meant.
fn parts(name: &str) -> (&str, Option<&str>) {
    name.split_once(':').map_or((name, None), |(job, feature)| (job, Some(feature)))
}

/// Which of a job's features are meant.
fn wanted(plan: &JobPlan, feature: Option<&str>) -> Result<Vec<WantedFeature>, Unasked> {
    let job = &plan.name;
    if plan.stage.is_none() {
        let message =
            format!("job `{job}` has neither window nor aggregate, so nothing of it can be looked up");
        return Err(Unasked::NoEntity(message));
    }
    let stored = plan.features.iter().enumerate();
    let stored = stored.map(|(at, feature)| (feature.name.as_str(), WantedFeature::Stored(at)));
    let derived = plan.transform.features.iter().enumerate();
    let derived = derived.map(|(at, feature)| (feature.name.as_str(), WantedFeature::Derived(at)));
    let all: Vec<(&str, WantedFeature)> = stored.chain(derived).collect();
    let Some(feature) = feature else { return Ok(all.into_iter().map(|(_, wanted)| wanted).collect()) };
    let found = all.iter().find(|(name, _)| *name == feature);
    let found = found.ok_or_else(|| {
        let known = instead_of(feature, all.iter().map(|(name, _)| *name));
        Unasked::Unknown(format!("job `{job}` has no feature `{}`; {known}", shown(feature)))
    })?;
    Ok(vec![found.1])
}

/// Judges features for a server before their spine has come, by what runs; where that does not have them, by the
/// definitions as they are now, which training sets are made by.
pub(crate) struct Judge {
    pub(crate) engine: Arc<Engine>,
    pub(crate) folder: PathBuf,
    pub(crate) environment: BTreeMap<String, String>,
    pub(crate) plugins: Arc<PluginRegistry>,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Judge {
    pub(crate) fn judge(&self, features: &[String]) -> Result<(), FeaturesRefused> {
        let runs = |name: &String| {
            let (job, feature) = parts(name.trim());
            self.engine.job(job).is_some_and(|job| wanted(job.plan(), feature).is_ok())
        };
        if features.iter().all(runs) {
            return Ok(());
        }
        // What cannot be read is told by whoever makes the training set.
        let Ok(project) = Project::read_with(&self.folder, self.environment.clone()) else { return Ok(()) };
        let checked = definitions::check(&project, self.clock.clone());
        let planned = definitions::plan(project.folder(), &checked, &*self.plugins, self.clock.clone());
        match asked_for(&planned, features) {
            // The plugin may be in the folder, which is read for each training set.
            Ok(_) | Err(Unasked::Refused(_, true)) => Ok(()),
            Err(Unasked::Unknown(message)) => Err(FeaturesRefused::Unknown(message)),
            Err(Unasked::NoEntity(message) | Unasked::Refused(message, false)) => {
                Err(FeaturesRefused::Unusable(message))
            }
        }
    }
}
