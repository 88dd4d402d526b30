//! What runs: the state of jobs and the declared streams.
//!
//! Must not know how a job is planned or what its state is made of.

use crate::StreamEntry;
use crate::app::App;
use crate::control::{ControlError, Restart};
use crate::problem::{Kind, Problem};
use crate::query::Query;
use crate::request::{Name, answer, blocking};
use crate::routes::Parameter;
use crate::versions::older_versions;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use weir_engine::Job;
use weir_event::suggestion::{instead_of, shown};
use weir_plan::{JobPlan, Transform};
use weir_plugin::PluginUsage;

/// `GET /v1/jobs`.
pub(crate) async fn list(State(app): State<Arc<App>>) -> Response {
    let described = app.served.engine.statuses().into_iter().map(|status| {
        let job = app.served.engine.job(&status.job);
        let older = job.map(|job| older_versions(job.plan(), &app.served.plugins)).unwrap_or_default();
        let mut described = json!(status);
        if !older.is_empty() {
            described["older_versions"] = json!(older);
        }
        described
    });
    answer(StatusCode::OK, &json!({ "jobs": described.collect::<Vec<_>>() }))
}

/// `GET /v1/jobs/{job}`.
pub(crate) async fn one(State(app): State<Arc<App>>, Name(name): Name) -> Result<Response, Problem> {
    if let Some(job) = app.served.engine.job(&name) {
        return described(app, job).await;
    }
    // It could not be started, which its state says.
    let mut all = app.served.engine.statuses().into_iter();
    let status = all.find(|status| status.job == name).ok_or_else(|| app.no_job(&name))?;
    Ok(answer(StatusCode::OK, &status))
}

/// What may follow `?` of a restart.
pub(crate) const RESTART_PARAMETERS: &[Parameter] = &[
    Parameter {
        name: "reset",
        does: "true drops the job's state, so that it begins at its source's start; its sinks keep the rows that they have and get \
               its results again",
    },
    Parameter {
        name: "upgrade",
        does: "true changes to the active versions of plugins also where others have made the job's state: what these have made \
               begins anew, filled from the archive of the job's stream if there is one",
    },
];

/// `POST /v1/jobs/{job}/restart`: one job anew from its definition and its last commit.
pub(crate) async fn restart(
    State(app): State<Arc<App>>,
    Name(name): Name,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut query = Query::parse(query.as_deref())?;
    let how =
        Restart { reset: query.take_flag("reset", false)?, upgrade: query.take_flag("upgrade", false)? };
    query.finish(RESTART_PARAMETERS)?;
    app.served.control.restart(&name, how).await.map_err(|error| match error {
        ControlError::Unknown(known) => {
            let known = instead_of(&name, known.iter().map(String::as_str));
            Problem::not_found(format!("job `{}` not found; {known}", shown(&name)))
        }
        ControlError::Refused(reasons) => {
            Problem::of_reasons(Kind::Invalid, &format!("job `{name}`"), &reasons)
        }
        ControlError::Failed { fault, message } => Problem::of_fault(fault, false, Kind::Invalid, message),
    })?;
    one(State(app), Name(name)).await
}

/// `POST /v1/jobs/{job}/sinks/{sink}/resume`: a suspended sink goes on. One that is not suspended goes on anyway.
pub(crate) async fn resume_sink(
    State(app): State<Arc<App>>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Response, Problem> {
    let Path((name, sink)) = path.map_err(|_| Problem::malformed("a name in the path is not UTF-8"))?;
    let job = app.served.engine.job(&name).ok_or_else(|| app.no_job(&name))?;
    let known = || instead_of(&sink, job.plan().sinks.iter().map(|sink| sink.name.as_str()));
    job.resume_sink(&sink).ok_or_else(|| {
        Problem::not_found(format!("job `{name}`: sink `{}` not found; {}", shown(&sink), known()))
    })?;
    described(app, job).await
}

/// The state of a job, and what can be asked of it.
async fn described(app: Arc<App>, job: Arc<Job>) -> Result<Response, Problem> {
    // The sizes of its state are read when whoever works on it lets go of it.
    let described = blocking(move || description(&app, &job)).await?;
    Ok(answer(StatusCode::OK, &described))
}

fn description(app: &App, job: &Job) -> Value {
    let mut described = json!(app.served.engine.status(&job.plan().name).unwrap_or_else(|| job.status()));
    let stats = job.stats();
    if let Some(members) = described.as_object_mut() {
        members.insert("state_keys".to_owned(), stats.keys.into());
        members.insert("state_rows".to_owned(), stats.rows.into());
        members.insert("state_bytes".to_owned(), stats.memory_bytes.into());
        let usage = app.served.plugins.usage();
        let plugins = plugins_of(job.plan(), &usage);
        members.insert("fuel".to_owned(), plugins.iter().map(|usage| usage.fuel).sum::<u64>().into());
        members.insert("plugins".to_owned(), json!(plugins));
        members.insert("older_versions".to_owned(), json!(older_versions(job.plan(), &app.served.plugins)));
        members.extend(shape(job.plan()));
    }
    described
}

/// What plugins took for a job, and for what it derives.
pub(crate) fn plugins_of<'a>(plan: &JobPlan, usage: &'a [PluginUsage]) -> Vec<&'a PluginUsage> {
    let callers = [plan.name.clone(), Transform::caller(&plan.name)];
    usage.iter().filter(|usage| callers.contains(&usage.job)).collect()
}

fn shape(plan: &JobPlan) -> Map<String, Value> {
    let features = plan.features_as_json();
    let entity = plan.stage.as_ref().map(|stage| &stage.key_names);
    let streams =
        plan.inputs.iter().map(|input| json!({"stream": input.stream.name, "source": input.origin.kind}));
    let sinks: Vec<&str> = plan.sinks.iter().map(|sink| sink.name.as_str()).collect();
    let members = [
        ("entity", json!(entity)),
        ("features", features.into()),
        ("request", plan.request_as_json()),
        ("streams", streams.collect()),
        ("sinks", json!(sinks)),
    ];
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// `GET /v1/streams`.
pub(crate) async fn streams(State(app): State<Arc<App>>) -> Response {
    let jobs = app.served.engine.jobs();
    let readers = |stream: &str| -> Vec<String> {
        let plans = jobs.iter().map(|job| job.plan());
        let reading = plans.filter(|plan| plan.inputs.iter().any(|input| input.stream.name == stream));
        reading.map(|plan| plan.name.clone()).collect()
    };
    let described =
        |entry: &Arc<StreamEntry>| described_stream(entry, readers(entry.definition.name.as_str()));
    let streams: Vec<Value> = app.served.streams.all().iter().map(described).collect();
    answer(StatusCode::OK, &json!({ "streams": streams }))
}

fn described_stream(entry: &StreamEntry, jobs: Vec<String>) -> Value {
    let definition = &entry.definition;
    let schema = &definition.schema;
    let fields: Map<String, Value> =
        schema.declared().map(|field| (field.name.clone(), field.data_type.to_string().into())).collect();
    json!({
        "stream": definition.name,
        "fields": fields,
        "event_time": schema.fields.get(schema.event_time).map(|field| &field.name),
        "disorder": definition.disorder.to_string(),
        "format": definition.format.name,
        "source": definition.origin.as_ref().map(|origin| &origin.kind),
        "accepts_events": entry.log.is_some(),
        "jobs": jobs,
    })
}
