//! Whether a plan goes on from the state that its job left, and what becomes of that.
//!
//! Keys and streams have to be the same; of the rest, what the plan still has stays. Whatever makes other values under
//! the name of a feature needs another version.

use crate::beside::job_of;
use crate::error::EngineError;
use crate::manifest::{Body, FORMAT, MadeBy, feature_versions, features, late_words, makers, stream_parts};
use std::collections::BTreeMap;
use weir_core::{CoreError, EditTime, Edited, StoredShape};
use weir_event::EventTime;
use weir_plan::{Feature, JobPlan};
use weir_store::{Commit, Manifest};

/// What a plan makes of the state that its job left.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StateEdit {
    /// Features that go on, in the plan's order.
    pub kept: Vec<String>,
    /// Features that are new and lack nothing, as what they are made of is kept.
    pub added: Vec<String>,
    /// Features that start anew, with the time from which on they have all rows.
    pub begun: Vec<(String, EventTime)>,
    /// Features whose values nothing of the plan has.
    pub gone: Vec<String>,
}

impl std::fmt::Display for StateEdit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let list = |names: &[String]| names.join(", ");
        let begun = self.begun.iter().map(|(name, since)| format!("{name} (partial since {since})"));
        let begun: Vec<String> = begun.collect();
        let parts = [
            ("kept", list(&self.kept)),
            ("new and whole at once", list(&self.added)),
            ("starts anew", list(&begun)),
            ("goes", list(&self.gone)),
        ];
        let told = parts.iter().filter(|(_, names)| !names.is_empty());
        let told: Vec<String> = told.map(|(what, names)| format!("{what} {names}")).collect();
        f.write_str(if told.is_empty() { "nothing" } else { "" })?;
        f.write_str(&told.join("; "))
    }
}

/// Whether a job of this plan could go on from what a store's newest commit holds of it, for whoever only looks, and what
/// would become of that; `None` where there is no state of the job.
///
/// # Errors
/// What differs, and what to do.
pub fn state_edit(plan: &JobPlan, head: &Commit) -> Result<Option<StateEdit>, EngineError> {
    let Some(body) = check_state(plan, Some(head))? else { return Ok(None) };
    let edited = body.edited(plan).map_err(|error| EngineError::of_core(&plan.name, error))?;
    Ok(Some(body.edit_told(plan, edited.as_ref())))
}

/// The versions of plugins that have made a job's state, by plugin, as a store's newest commit says.
pub fn state_made_by(job: &str, head: &Commit) -> BTreeMap<String, MadeBy> {
    let manifest = head.jobs.get(job);
    let made_by = manifest.and_then(|manifest| manifest.body.get("made_by").cloned()).unwrap_or_default();
    serde_json::from_value(made_by).unwrap_or_default()
}

/// The body that a commit has of the job, checked against the plan.
pub(crate) fn check_state(plan: &JobPlan, head: Option<&Commit>) -> Result<Option<Body>, EngineError> {
    match head.and_then(|head| head.jobs.get(&plan.name)) {
        Some(manifest) => Body::read(plan, manifest).map(Some),
        None => Ok(None),
    }
}

impl Body {
    /// Reads the body that the job left and checks that this plan can go on from it.
    pub(crate) fn read(plan: &JobPlan, manifest: &Manifest) -> Result<Body, EngineError> {
        let job = || plan.name.clone();
        if manifest.format > FORMAT {
            return Err(EngineError::NewerFormat { job: job(), found: manifest.format, known: FORMAT });
        }
        let body: Body = serde_json::from_value(manifest.body.clone())
            .map_err(|error| EngineError::Damaged { job: job(), message: error.to_string() })?;
        match body.misfit(plan)? {
            Some(difference) => {
                Err(EngineError::PlanChanged { job: job(), difference, has_sinks: !plan.sinks.is_empty() })
            }
            None => Ok(body),
        }
    }

    /// What keeps the plan from going on.
    fn misfit(&self, plan: &JobPlan) -> Result<Option<String>, EngineError> {
        let other_plugins_alone = self.definition != plan.definition
            && self.without_components == plan.definition_without_components;
        let streams = if plan.inputs.len() == 1 { "its stream" } else { "one of its streams" };
        let what = match (self.stream_changes(plan).is_empty(), self.late_change(plan)) {
            (false, _) => streams,
            (true, Some(_)) => "its definition",
            (true, None) => "the query",
        };
        match &self.shape {
            None if self.state == plan.state_fingerprint => {}
            None if other_plugins_alone => return Ok(Some(self.lost_to_a_plugin(plan))),
            None => {
                let difference = self.difference(plan);
                return Ok(Some(format!("{what} changed{difference}; its stored state does not fit")));
            }
            Some(shape) => {
                let lost = shape.lost_ground(plan);
                if !lost.is_empty() {
                    return Ok(Some(self.told_lost(&lost)));
                }
                if other_plugins_alone && self.version == plan.version && !plan.leaves_older_states {
                    let edited =
                        self.edited(plan).map_err(|error| EngineError::of_core(&plan.name, error))?;
                    let drops = edited.is_some_and(|edited| edited.drops_states);
                    return Ok(drops.then(|| self.lost_to_a_plugin(plan)));
                }
            }
        }
        if !other_plugins_alone && self.lacks_version(plan) {
            let edited = self.edited(plan).map_err(|error| EngineError::of_core(&plan.name, error))?;
            let then = match edited.is_some_and(|edited| edited.begins_anew()) {
                true => "to begin anew from now on, as nothing of its state is of use to it",
                false => "to go on from its state",
            };
            return Ok(Some(format!(
                "{what} changed{}: what makes its values is another under the same version {}; raise `version` {then}",
                self.difference(plan),
                self.version
            )));
        }
        Ok(None)
    }

    /// That nothing of the state is of use, and what it is that would be lost.
    fn told_lost(&self, lost: &[(String, String, String)]) -> String {
        let parts = lost.iter().map(|(what, before, now)| format!("the {what} is {now}, was {before}"));
        let parts = parts.collect::<Vec<_>>().join("; ");
        let features: Vec<&str> = self.features.keys().map(String::as_str).collect();
        let values = match features.as_slice() {
            [] => "all of its state would be lost".to_owned(),
            names => format!("all of its state would be lost, with the values of {}", names.join(", ")),
        };
        format!("{parts}: {values}")
    }

    /// Whether a feature has other values under its name without another version.
    fn lacks_version(&self, plan: &JobPlan) -> bool {
        if self.version != plan.version {
            return false;
        }
        // Of a job without features it is not known which of its columns differ, and nothing of one of an older weir. The
        // job's definition is that of its values in their order, and says nothing of what they are called.
        let has_none = plan.features.is_empty() && self.features.is_empty();
        if has_none || self.features.is_empty() && self.shape.is_none() {
            return self.definition != plan.definition;
        }
        let lacks = |feature: &Feature| {
            let before = self.features.get(&feature.name).filter(|before| **before != feature.definition);
            let version = self.feature_versions.get(&feature.name).copied().unwrap_or(self.version);
            before.is_some() && version == feature.version
        };
        plan.features.iter().any(lacks)
    }

    /// What the plan makes of the state; `None` if that is of its shape.
    pub(crate) fn edited(&self, plan: &JobPlan) -> Result<Option<Edited>, CoreError> {
        self.shape.as_ref().map_or(Ok(None), |shape| shape.edited(plan, self.moment()))
    }

    /// What its state consists of, where the plan is of the same shape.
    pub(crate) fn shape_of(&self, plan: &JobPlan) -> StoredShape {
        self.shape.clone().unwrap_or_else(|| StoredShape::of(plan))
    }

    fn moment(&self) -> EditTime {
        EditTime {
            newest: self.partitions.iter().filter_map(|partition| partition.newest).max(),
            watermark: self.watermark,
            oldest: self.reached,
        }
    }

    /// What becomes of the features, by name.
    pub(crate) fn edit_told(&self, plan: &JobPlan, edited: Option<&Edited>) -> StateEdit {
        let mut told = StateEdit::default();
        for feature in &plan.features {
            let name = feature.name.clone();
            let begun = edited.and_then(|edited| edited.begun(plan, feature.column));
            let is_known = self.features.values().any(|hash| *hash == feature.definition)
                || self.features.contains_key(&feature.name);
            match begun {
                Some(since) => told.begun.push((name, since)),
                None if is_known || self.features.is_empty() => told.kept.push(name),
                None => told.added.push(name),
            }
        }
        let is_there = |(name, hash): &(&String, &String)| {
            plan.features.iter().any(|feature| feature.name == **name || feature.definition == **hash)
        };
        told.gone = self.features.iter().filter(|it| !is_there(it)).map(|(name, _)| name.clone()).collect();
        told
    }

    /// Which parts of its stream are declared otherwise than before.
    fn stream_changes(&self, plan: &JobPlan) -> Vec<String> {
        let now = stream_parts(plan);
        let changed = |(part, before): (&String, &String)| {
            let now = now.get(part).filter(|now| *now != before)?;
            Some(format!("{part} is {now}, was {before}"))
        };
        self.stream.iter().filter_map(changed).collect()
    }

    /// What was said of late rows, and is now, where these differ.
    fn late_change(&self, plan: &JobPlan) -> Option<String> {
        let (before, now) = (self.late.as_ref()?, late_words(plan));
        (*before != now).then(|| format!("`late` is {now}, was {before}"))
    }

    /// Which features, which parts of the stream and what of late rows differ, in words; nothing where that is not known.
    fn difference(&self, plan: &JobPlan) -> String {
        let new = features(plan);
        let missing_in = |names: &BTreeMap<String, String>, others: &BTreeMap<String, String>| {
            names.keys().filter(|name| !others.contains_key(*name)).cloned().collect::<Vec<_>>()
        };
        let is_changed = |(name, hash): &(&String, &String)| new.get(*name).is_some_and(|now| now != *hash);
        let changed: Vec<String> =
            self.features.iter().filter(is_changed).map(|(name, _)| name.clone()).collect();
        let kinds = [
            ("new", missing_in(&new, &self.features)),
            ("gone", missing_in(&self.features, &new)),
            ("changed", changed),
        ];
        let told = kinds.iter().filter(|(_, names)| !names.is_empty() && !self.features.is_empty());
        let told = told.map(|(kind, names)| format!("{kind}: {}", names.join(", ")));
        let of_stream = self.stream_changes(plan);
        let streams = match plan.inputs.as_slice() {
            [only] => format!("of stream `{}`", only.stream.name),
            _ => "of streams".to_owned(),
        };
        let of_stream = (!of_stream.is_empty()).then(|| format!("{streams} {}", of_stream.join(", ")));
        let told: Vec<String> = told.chain(of_stream).chain(self.late_change(plan)).collect();
        if told.is_empty() { String::new() } else { format!(" ({})", told.join("; ")) }
    }

    /// That only other versions of plugins than the plan has can read the state, and what to do.
    fn lost_to_a_plugin(&self, plan: &JobPlan) -> String {
        let job = job_of(&plan.name);
        let makers = makers(plan);
        let others = self.made_by.iter().filter(|(plugin, made)| makers.get(*plugin) != Some(*made));
        let versions = others.map(|(plugin, MadeBy { version, .. })| {
            let now = makers.get(plugin).map(|now| format!(", and is planned with version {}", now.version));
            format!("version {version} of plugin `{plugin}`{}", now.unwrap_or_default())
        });
        let versions: Vec<String> = versions.collect();
        let made = match versions.as_slice() {
            [] => "another version of a plugin's aggregate or keyed logic".to_owned(),
            versions => versions.join("; "),
        };
        let plugin = self.made_by.keys().next().map_or("NAME", String::as_str);
        let upgrade = match &self.shape {
            None => String::new(),
            Some(_) => format!(
                "`weir restart {job} --upgrade`, or another `version` of the job, begins anew what that has made; "
            ),
        };
        format!(
            "its state was made by {made}: that version alone can read it; {upgrade}`weir plugin rollback {plugin}` goes back to \
             the version before"
        )
    }

    /// Takes the plan's definition for its own.
    pub(crate) fn adopt(&mut self, plan: &JobPlan) {
        self.version = plan.version;
        self.definition.clone_from(&plan.definition);
        self.without_components.clone_from(&plan.definition_without_components);
        self.features = features(plan);
        self.feature_versions = feature_versions(plan);
        self.stream = stream_parts(plan);
        self.late = Some(late_words(plan));
        self.state.clone_from(&plan.state_fingerprint);
        self.made_by = makers(plan);
        self.declined.take_if(|declined| declined.definition != plan.definition);
    }
}
