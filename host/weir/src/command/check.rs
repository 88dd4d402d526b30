//! `weir check DIR`: every definition, what it comes to, and whether stored state fits it; nothing is run and no state
//! is touched.

use super::{ProjectArgument, print, print_json};
use crate::definitions;
use crate::failure::Failure;
use crate::kinds::RegisteredKinds;
use crate::project::Project;
use crate::state::{self, StateCheck, StateLook};
use crate::table;
use crate::trying::{Tried, try_all};
use crate::versions::StateOf;
use crate::wiring::may_serve;
use clap::Args;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use weir_engine::{StateEdit, SystemClock};
use weir_event::Clock;
use weir_plan::{Checked, DerivedFeature, Feature, JobPlan, SinkPlan, StreamDefinition};
use weir_plugin::PluginError;
use weir_project::{Planned, RefusedJob};

/// Check every definition: all errors, warnings and notices, and each job's features
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  weir check my-features\n  weir check my-features --explain\n  weir check my-features --connect"
)]
pub(crate) struct CheckArguments {
    #[command(flatten)]
    project: ProjectArgument,
    /// Show the plan of each job
    #[arg(long)]
    explain: bool,
    /// Try every source and sink: reach, permissions, tables, schema registries; reads no events and writes nothing
    #[arg(long)]
    connect: bool,
    /// As JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &CheckArguments) -> Result<(), Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let project = Project::read(&arguments.project.folder)?;
    let checked = definitions::check(&project, clock.clone());
    // What is wrong with the state is said behind what is sound of the definitions.
    let look = match &checked.server {
        Some(server) => state::look(&project, server),
        None => Ok(StateLook::Nothing(StateCheck::None)),
    };
    let (planned, refused_plugins) = match &look {
        Ok(StateLook::Head(head, _)) => {
            definitions::plan_copy_by(&project, &checked, StateOf::Commit(head.as_ref(), &[]))?
        }
        _ => definitions::plan_copy(&project, &checked)?,
    };
    let kinds = Arc::new(RegisteredKinds::new(project.folder(), clock.clone()));
    let missing = missing(&checked, &kinds);
    let state = look.map(|look| look.check(&planned.jobs, &kinds));
    let (edits, left, hidden) = match &state {
        Ok(StateCheck::Seen { edits, left, hidden, .. }) => (edits.clone(), left.clone(), hidden.clone()),
        _ => Default::default(),
    };
    let tried =
        if arguments.connect { try_all(&checked, &planned.jobs, &kinds, &clock)? } else { Vec::new() };
    if arguments.json {
        let mut answer = as_json(&planned, &refused_plugins, &kinds, (&edits, arguments.explain));
        answer["missing"] = json!(missing);
        answer["waiting_rows"] = json!(left);
        answer["hidden_rows"] = json!(hidden);
        if arguments.connect {
            answer["tried"] = json!(tried.iter().map(Tried::as_json).collect::<Vec<_>>());
        }
        print_json(&answer)?;
    } else {
        for remark in planned.remarks() {
            print(&remark.to_string())?;
        }
        for warning in missing.iter().chain(&left).chain(&hidden) {
            print(&format!("warning: {warning}"))?;
        }
        for plan in all_jobs(&planned) {
            print(&shown(plan, &kinds, edits.get(&plan.name), arguments.explain))?;
        }
        for sound in tried.iter().filter(|tried| tried.outcome.is_ok()) {
            print(&sound.line())?;
        }
    }
    let unfit = match state? {
        StateCheck::None => Vec::new(),
        StateCheck::NotSeen(reason) => {
            print(&reason)?;
            Vec::new()
        }
        StateCheck::Seen { unfit, .. } => unfit,
    };
    let errors = definitions::errors(&planned, &refused_plugins);
    if !arguments.json {
        print(&verdict(&checked, &planned, errors.is_err(), unfit.len()))?;
        let unready = tried.iter().filter(|tried| tried.outcome.is_err()).count();
        if unready > 0 {
            print(&format!("{unready} of {} sources and sinks cannot be used now", tried.len()))?;
        }
    }
    let unfit = unfit.iter().map(Failure::user);
    let unready = tried.iter().filter_map(Tried::failure);
    Failure::all(errors.err().into_iter().chain(unfit).chain(unready).collect())
}

/// What sources have not got yet; it may come before they are read.
fn missing(checked: &Checked, kinds: &RegisteredKinds) -> Vec<String> {
    let told = |stream: &Arc<StreamDefinition>| {
        Some(format!("stream `{}`: {}", stream.name, kinds.missing(stream)?))
    };
    checked.streams.iter().filter_map(told).collect()
}

/// What `weir serve` would do with it.
fn verdict(checked: &Checked, planned: &Planned, has_errors: bool, unfit: usize) -> String {
    let waiting: Vec<&RefusedJob> = planned.refused.iter().filter(|job| !job.lacks.is_empty()).collect();
    let failed = planned.refused.len() - waiting.len() + unfit;
    let streams = sound_of(checked.streams.len(), checked.refused_streams.len(), "stream");
    let runnable = planned.jobs.len() - unfit;
    let jobs = sound_of(runnable + planned.for_training.len(), failed + waiting.len(), "job");
    let counts = format!("{streams}, {jobs}{}", for_training(planned));
    match (may_serve(checked), failed, runnable + waiting.len()) {
        (_, 1.., 0) if checked.server.is_some() => {
            format!("{counts}: `weir serve` will not start, since no job can run")
        }
        (false, ..) => format!("{counts}: `weir serve` will not start"),
        (true, 0, _) if has_errors && waiting.is_empty() => {
            format!("{counts}: `weir serve` will start all jobs, and log the errors")
        }
        (true, 0, _) if waiting.is_empty() => format!("{counts}: no errors"),
        (true, failed, _) => {
            let failed = (failed > 0).then(|| format!("{} failed", count(failed, "job")));
            let with: Vec<String> = failed.into_iter().chain(waiting_for(&waiting)).collect();
            format!("{counts}: `weir serve` will start, with {}; `weir run` will not", with.join(" and "))
        }
    }
}

/// All jobs with which nothing is wrong. One that is for training only is among them: whoever writes it knows that it is,
/// and a project with labels is to pass where definitions are checked before they go out.
fn all_jobs(planned: &Planned) -> impl Iterator<Item = &JobPlan> {
    planned.jobs.iter().chain(&planned.for_training)
}

/// How many of the jobs `weir train` alone can ask.
fn for_training(planned: &Planned) -> String {
    match planned.for_training.len() {
        0 => String::new(),
        _ if planned.jobs.is_empty() && planned.refused.is_empty() => ", for training only".to_owned(),
        some => format!(", {some} of them for training only"),
    }
}

/// How many there are, and how many of them are sound where some are not.
fn sound_of(sound: usize, unsound: usize, noun: &str) -> String {
    let all = count(sound + unsound, noun);
    if unsound == 0 { all } else { format!("{all} ({sound} sound)") }
}

/// Jobs that run once a plugin brings what they lack.
fn waiting_for(jobs: &[&RefusedJob]) -> Option<String> {
    let functions = jobs.iter().flat_map(|job| &job.lacks.functions);
    let functions = functions.map(|name| format!("a plugin that has `{name}`"));
    let versions = jobs.iter().flat_map(|job| &job.lacks.versions);
    let versions = versions.map(|plugin| format!("a version of plugin `{plugin}`"));
    let lacks: BTreeSet<String> = functions.chain(versions).collect();
    let lacks = lacks.into_iter().collect::<Vec<_>>().join(", ");
    (!jobs.is_empty()).then(|| format!("{} waiting for {lacks}", count(jobs.len(), "job")))
}

/// A number and what is counted, in the singular or plural.
pub(super) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

fn shown(plan: &JobPlan, kinds: &RegisteredKinds, edit: Option<&StateEdit>, explain: bool) -> String {
    let mut lines =
        if explain { weir_sql::explain(plan).lines().map(str::to_owned).collect() } else { summary(plan) };
    lines.extend(edit.filter(|_| !plan.features.is_empty()).map(|edit| format!("state: {edit}")));
    lines.extend(plan.sinks.iter().map(|sink| format!("sink {}: {}", sink.name, promise(plan, sink, kinds))));
    lines.push(String::new());
    lines.join("\n")
}

/// A job in a line, and a line for each of its features.
fn summary(plan: &JobPlan) -> Vec<String> {
    let mut head = format!("job {} version {}", plan.name, plan.version);
    if let Some(stage) = plan.stage.as_ref().filter(|stage| !stage.key_names.is_empty()) {
        let keys = stage.key_names.iter().zip(&stage.key_types).map(|(name, key_type)| {
            let key_type = weir_event::DataType::from_arrow(key_type)
                .map_or_else(|| key_type.to_string(), |key_type| key_type.to_string());
            format!("{name} {key_type}")
        });
        head = format!("{head}, by {}", keys.collect::<Vec<_>>().join(", "));
    }
    if let Some(ahead) = plan.looks_ahead {
        head = format!("{head}, for training only: it looks {ahead} ahead, which `weir train` alone can ask");
    }
    let row = |feature: &Feature| {
        let hash = feature.definition.chars().take(SHORT_HASH_CHARS).collect();
        vec![
            feature.name.clone(),
            feature.data_type.to_string(),
            feature.version.to_string(),
            hash,
            feature.description.clone().unwrap_or_default(),
        ]
    };
    let derived_row = |feature: &DerivedFeature| {
        let request: Vec<&str> = plan.requested_by(feature).collect();
        let how = match request.as_slice() {
            [] => "derived".to_owned(),
            fields => format!("derived, of the request: {}", fields.join(", ")),
        };
        let described = feature.description.as_ref().map(|text| format!("{how}; {text}"));
        vec![
            feature.name.clone(),
            feature.data_type.to_string(),
            feature.version.to_string(),
            feature.definition.chars().take(SHORT_HASH_CHARS).collect(),
            described.unwrap_or(how),
        ]
    };
    let rows = plan.features.iter().map(row);
    let rows: Vec<_> = rows.chain(plan.transform.features.iter().map(derived_row)).collect();
    let mut lines = vec![head];
    if !rows.is_empty() {
        let table = table::render(&["feature", "type", "version", "definition", "description"], &rows);
        lines.extend(table.lines().map(|line| format!("  {line}")));
    }
    lines
}

/// `sha256:` and as much of the hash as tells definitions apart for the eye.
const SHORT_HASH_CHARS: usize = "sha256:".len() + 12;

fn promise(plan: &JobPlan, sink: &SinkPlan, kinds: &RegisteredKinds) -> String {
    kinds.promise(&plan.name, sink).map_or_else(|| "unknown".to_owned(), |delivery| delivery.to_string())
}

fn as_json(
    planned: &Planned,
    refused_plugins: &[PluginError],
    kinds: &RegisteredKinds,
    (edits, explain): (&BTreeMap<String, StateEdit>, bool),
) -> Value {
    let jobs = all_jobs(planned).map(|plan| {
        let mut job = job_as_json(plan, kinds, explain);
        job["state"] = edits.get(&plan.name).map_or(Value::Null, edit_as_json);
        job
    });
    json!({
        "jobs": jobs.collect::<Vec<_>>(),
        "diagnostics": planned.diagnostics,
        "refused_plugins": refused_plugins.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

/// What becomes of the features of a job that goes on from its state.
fn edit_as_json(edit: &StateEdit) -> Value {
    let begun = edit.begun.iter().map(|(name, since)| json!({"feature": name, "since": since.to_string()}));
    json!({
        "kept": edit.kept,
        "whole": edit.added,
        "starts_anew": begun.collect::<Vec<_>>(),
        "goes": edit.gone,
    })
}

fn job_as_json(plan: &JobPlan, kinds: &RegisteredKinds, explain: bool) -> Value {
    let features = plan.features_as_json();
    let sink = |sink: &SinkPlan| json!({"name": sink.name, "delivery": promise(plan, sink, kinds)});
    let mut job = json!({
        "job": plan.name,
        "version": plan.version,
        "definition": plan.definition,
        "for_training_only": plan.looks_ahead.is_some(),
        "entity": plan.stage.as_ref().map(|stage| stage.key_names.clone()).unwrap_or_default(),
        "features": features,
        "request": plan.request_as_json(),
        "sinks": plan.sinks.iter().map(sink).collect::<Vec<_>>(),
    });
    if explain {
        job["plan"] = Value::String(weir_sql::explain(plan));
    }
    job
}
