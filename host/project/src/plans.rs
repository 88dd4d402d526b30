//! Checked definitions -> plans, with everything that is wrong at once; and for each job that has no plan, why.

use crate::catalog::ProjectCatalog;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_format::plugin::{Unfit, unfit};
use weir_plan::check::Environment;
use weir_plan::{
    Checked, ConnectorKinds, Diagnostic, FunctionCatalog, JobCatalogs, JobDefinition, JobPlan, NoVersion,
    Pin, ProjectFiles, Severity, StreamDefinition, UsedVersion, check_project,
};

/// What a project's definitions come to.
#[derive(Debug)]
pub struct Planned {
    /// Plans of the jobs that have no error and can run.
    pub jobs: Vec<JobPlan>,
    /// Plans of the jobs that have no error and are for training only, as they look ahead.
    pub for_training: Vec<JobPlan>,
    /// The jobs that have errors.
    pub refused: Vec<RefusedJob>,
    /// Everything to say of the definitions, errors among it.
    pub diagnostics: Vec<Diagnostic>,
}

/// A job without a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedJob {
    /// Its name.
    pub name: String,
    /// What is wrong, a line each.
    pub reasons: Vec<String>,
    /// What of plugins it lacks, where it lacks nothing else: that can come at any time.
    pub lacks: Lacks,
    /// Whether nothing is wrong with it, and it is for training only.
    pub for_training: bool,
}

/// What a job lacks of plugins.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lacks {
    /// Functions that no active plugin has.
    pub functions: Vec<String>,
    /// Plugins of which the job is to have a version that is not there.
    pub versions: Vec<String>,
}

impl Lacks {
    /// Whether it lacks nothing, or something that no plugin brings.
    pub fn is_empty(&self) -> bool {
        self.functions.is_empty() && self.versions.is_empty()
    }
}

impl Planned {
    /// What keeps jobs or the server from running.
    pub fn errors(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|found| found.severity == Severity::Error)
    }

    /// What is not an error and still worth knowing.
    pub fn remarks(&self) -> impl Iterator<Item = &Diagnostic> {
        self.diagnostics.iter().filter(|found| found.severity != Severity::Error)
    }
}

/// How the names of columns begin that a query does not name.
const UNNAMED: &str = "EXPR$";

/// Plans every job of a project's texts; `environment` has the values for `${NAME}`.
pub fn plan(
    texts: &ProjectFiles,
    environment: &Environment<'_>,
    kinds: &dyn ConnectorKinds,
    functions: &dyn JobCatalogs,
) -> Planned {
    plan_checked(&check_project(texts, environment, kinds), functions)
}

/// Plans every job of a checked project.
pub fn plan_checked(checked: &Checked, functions: &dyn JobCatalogs) -> Planned {
    let refused = checked.refused_jobs.iter().map(|(name, file)| RefusedJob {
        name: name.clone(),
        reasons: errors_of(checked, file),
        lacks: Lacks::default(),
        for_training: false,
    });
    let mut planned = Planned {
        jobs: Vec::new(),
        for_training: Vec::new(),
        refused: refused.collect(),
        diagnostics: checked.diagnostics.clone(),
    };
    let names: Vec<String> = checked.jobs.iter().map(|job| job.name.clone()).collect();
    for job in &checked.jobs {
        if let Some((stream, file)) = refused_stream(job, checked) {
            let mut reasons = vec![format!("it reads the stream `{stream}`, which is refused")];
            reasons.extend(errors_of(checked, file));
            planned.refused.push(RefusedJob {
                name: job.name.clone(),
                reasons,
                lacks: Lacks::default(),
                for_training: false,
            });
            continue;
        }
        match plan_job(job, &checked.streams, &names, functions) {
            Ok((plan, notices)) => {
                planned.diagnostics.extend(notices);
                let of_its_kind =
                    if plan.looks_ahead.is_some() { &mut planned.for_training } else { &mut planned.jobs };
                of_its_kind.push(plan);
            }
            Err(refusal) => {
                let (refused, diagnostics) = *refusal;
                planned.refused.push(refused);
                planned.diagnostics.extend(diagnostics);
            }
        }
    }
    planned
}

/// Why a job is not planned, in words and with places.
pub type Refusal = (RefusedJob, Vec<Diagnostic>);

/// Plans one job beside others of these names; else says why not, in words and with places.
pub fn plan_job(
    job: &JobDefinition,
    streams: &[Arc<StreamDefinition>],
    names: &[String],
    functions: &dyn JobCatalogs,
) -> Result<(JobPlan, Vec<Diagnostic>), Box<Refusal>> {
    let functions = functions.of_job(job).map_err(|missing| Box::new(without_versions(job, missing)))?;
    let functions = &*functions;
    let catalog = ProjectCatalog::new(streams, names, functions);
    let masked = |found: Vec<Diagnostic>| -> Vec<Diagnostic> {
        found
            .into_iter()
            .map(|found| Diagnostic { message: job.masks.masked(found.message), ..found })
            .collect()
    };
    match weir_sql::plan(job, &catalog) {
        Ok(mut plan) => {
            plan.plan.decoders = decoders(job, &plan.plan, functions)?;
            plan.plan.versions = versions(job, &plan.plan, functions);
            let mut notices = masked(plan.notices);
            notices.extend(has_no_use_for(job, &plan.plan));
            notices.extend(has_no_effect(job, &plan.plan));
            notices.extend(is_called_otherwise(job, &plan.plan));
            Ok((plan.plan, notices))
        }
        Err(diagnostics) => {
            let diagnostics = masked(diagnostics);
            let errors = diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
            let reasons: Vec<String> = errors.map(ToString::to_string).collect();
            let mut lacks = catalog.into_missing();
            if lacks.len() < reasons.len() {
                lacks.clear();
            }
            lacks.sort_unstable();
            lacks.dedup();
            let lacks = Lacks { functions: lacks, ..Lacks::default() };
            let job = RefusedJob { name: job.name.clone(), reasons, lacks, for_training: false };
            Err(Box::new((job, diagnostics)))
        }
    }
}

/// A job that cannot have a version of a plugin that it pins, or that alone can read its state.
fn without_versions(job: &JobDefinition, missing: Vec<NoVersion>) -> Refusal {
    let error = |NoVersion { plugin, reason }: &NoVersion| {
        let (line, column) = job.pins.get(plugin).map_or((1, 1), |pin| pin.place);
        Diagnostic::error(&*job.file, line, column, reason.clone())
    };
    let errors: Vec<Diagnostic> = missing.iter().map(error).collect();
    let reasons = errors.iter().map(ToString::to_string).collect();
    let versions = missing.into_iter().map(|missing| missing.plugin).collect();
    let lacks = Lacks { versions, ..Lacks::default() };
    (RefusedJob { name: job.name.clone(), reasons, lacks, for_training: false }, errors)
}

/// The versions of plugins whose functions a plan calls.
fn versions(job: &JobDefinition, plan: &JobPlan, functions: &dyn FunctionCatalog) -> Vec<UsedVersion> {
    let making_state = plan.state_components();
    let used = |component: &String| {
        let of = functions.version_of(component)?;
        let is_pinned = job.pins.contains_key(&of.plugin);
        Some(UsedVersion { of, makes_state: making_state.contains(component), is_pinned })
    };
    plan.function_components().iter().filter_map(used).collect()
}

/// Versions that a job pins of plugins that it calls nothing of.
fn has_no_use_for(job: &JobDefinition, plan: &JobPlan) -> Vec<Diagnostic> {
    let is_unused =
        |(plugin, _): &(&String, &Pin)| !plan.versions.iter().any(|used| used.of.plugin == **plugin);
    let told = |(plugin, pin): (&String, &Pin)| {
        let (line, column) = pin.place;
        let message = if plan.decoders.contains_key(plugin) {
            format!(
                "`plugins.{plugin}`: has no effect: it decodes a stream, for all who read that, and they have the active version; \
                 leave it out"
            )
        } else {
            format!("`plugins.{plugin}`: has no effect: the job calls no function of it; leave it out")
        };
        Diagnostic::warning(&*job.file, line, column, message)
    };
    job.pins.iter().filter(is_unused).map(told).collect()
}

/// The plugins that decode what a job reads, with the component of each. Refuses a job of a stream whose payloads no active
/// plugin decodes into the stream's columns.
fn decoders(
    job: &JobDefinition,
    plan: &JobPlan,
    functions: &dyn FunctionCatalog,
) -> Result<BTreeMap<String, String>, Box<Refusal>> {
    let (mut found, mut reasons, mut lacks) = (BTreeMap::new(), Vec::new(), Vec::new());
    for stream in plan.inputs.iter().map(|input| &input.stream) {
        let archive = stream.archive.as_ref().map(|archive| (&archive.format, &archive.schema));
        let records = [(&stream.format, &stream.schema)].into_iter().chain(archive);
        for (plugin, schema) in
            records.filter_map(|(format, schema)| Some((format.decoding_plugin()?, schema)))
        {
            let name = &stream.name;
            let Some(decoded) = functions.decoded(plugin) else {
                reasons.push(format!(
                    "stream `{name}` has the format of plugin `{plugin}`, and no active plugin of that name decodes"
                ));
                lacks.push(plugin.to_owned());
                continue;
            };
            let told = |Unfit { column, reason }| format!("stream `{name}`, `fields.{column}`: {reason}");
            reasons.extend(unfit(schema, &decoded.columns).into_iter().map(told));
            found.insert(plugin.to_owned(), decoded.component);
        }
    }
    reasons.dedup();
    lacks.dedup();
    if reasons.is_empty() {
        return Ok(found);
    }
    // Where more is wrong, a plugin alone does not help.
    if lacks.len() < reasons.len() {
        lacks.clear();
    }
    let error = |reason: &String| Diagnostic::error(&*job.file, 1, 1, reason.clone());
    let errors = reasons.iter().map(error).collect();
    let lacks = Lacks { functions: lacks, ..Lacks::default() };
    Err(Box::new((RefusedJob { name: job.name.clone(), reasons, lacks, for_training: false }, errors)))
}

/// A job whose results nobody ever sees.
fn has_no_effect(job: &JobDefinition, plan: &JobPlan) -> Option<Diagnostic> {
    let message = "the query has neither window nor aggregate, so nothing of it can be looked up, and the job has no \
                   sink: it does nothing; write `sinks`, or a query that aggregates";
    (plan.stage.is_none() && plan.sinks.is_empty()).then(|| Diagnostic::warning(&*job.file, 1, 1, message))
}

/// A job whose only feature has another name in `features` than in its query: it may be meant so, and it may be misspelt.
fn is_called_otherwise(job: &JobDefinition, plan: &JobPlan) -> Option<Diagnostic> {
    let ([declared], [feature]) = (job.features.as_slice(), plan.features.as_slice()) else { return None };
    let (name, column) = (&declared.name, &plan.output.columns.get(feature.column)?.name);
    let (line, at) = declared.place;
    let message = format!(
        "`features`: `{name}` is the query's `{column}`, its only value; where it is misspelt, lookups do not know `{column}`"
    );
    // One that the query does not name gets its name here.
    (name != column && !column.starts_with(UNNAMED))
        .then(|| Diagnostic::notice(&*job.file, line, at, message))
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

#[cfg(test)]
mod tests;
