//! Checked definitions -> plans, with everything that is wrong at once; and for each job that has no plan, why.

use crate::catalog::ProjectCatalog;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_format::plugin::{Unfit, unfit};
use weir_plan::check::Environment;
use weir_plan::{
    Checked, ConnectorKinds, Diagnostic, FunctionCatalog, JobDefinition, JobPlan, ProjectFiles, Severity,
    StreamDefinition, check_project,
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
    /// The functions that it lacks, where it lacks nothing else: a plugin can bring them at any time.
    pub lacks: Vec<String>,
    /// Whether nothing is wrong with it, and it is for training only.
    pub for_training: bool,
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
    functions: &dyn FunctionCatalog,
) -> Planned {
    plan_checked(&check_project(texts, environment, kinds), functions)
}

/// Plans every job of a checked project.
pub fn plan_checked(checked: &Checked, functions: &dyn FunctionCatalog) -> Planned {
    let refused = checked.refused_jobs.iter().map(|(name, file)| RefusedJob {
        name: name.clone(),
        reasons: errors_of(checked, file),
        lacks: Vec::new(),
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
                lacks: Vec::new(),
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
            Err((refused, diagnostics)) => {
                planned.refused.push(refused);
                planned.diagnostics.extend(diagnostics);
            }
        }
    }
    planned
}

/// Plans one job beside others of these names; else says why not, in words and with places.
pub fn plan_job(
    job: &JobDefinition,
    streams: &[Arc<StreamDefinition>],
    names: &[String],
    functions: &dyn FunctionCatalog,
) -> Result<(JobPlan, Vec<Diagnostic>), (RefusedJob, Vec<Diagnostic>)> {
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
            let mut notices = masked(plan.notices);
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
            Err((RefusedJob { name: job.name.clone(), reasons, lacks, for_training: false }, diagnostics))
        }
    }
}

/// The plugins that decode what a job reads, with the component of each. Refuses a job of a stream whose payloads no active
/// plugin decodes into the stream's columns.
fn decoders(
    job: &JobDefinition,
    plan: &JobPlan,
    functions: &dyn FunctionCatalog,
) -> Result<BTreeMap<String, String>, (RefusedJob, Vec<Diagnostic>)> {
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
    Err((RefusedJob { name: job.name.clone(), reasons, lacks, for_training: false }, errors))
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
