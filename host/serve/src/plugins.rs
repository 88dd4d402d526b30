//! Uploading, listing and activating plugins.
//!
//! Knows the registry's verbs. Must not know what a component is.

use crate::app::App;
use crate::control::ControlError;
use crate::lost::Lost;
use crate::problem::{Kind, Problem};
use crate::query::Query;
use crate::request::{Name, answer, blocking, of_json, read_body};
use crate::routes::Parameter;
use axum::extract::{RawQuery, Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use weir_engine::Job;
use weir_event::suggestion::{instead_of, shown};
use weir_plan::is_name;
use weir_plugin::{PluginError, PluginRegistry, PluginStatus};

/// What may follow `?` of a push.
pub(crate) const PARAMETERS: &[Parameter] = &[Parameter { name: "name", does: "the plugin's name" }];

/// `POST /v1/plugins?name=`: admits the component in the body and keeps it.
pub(crate) async fn push(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    let mut query = Query::parse(query.as_deref())?;
    let name = query.take("name").map(String::from);
    query.finish(PARAMETERS)?;
    let name = name.ok_or_else(|| {
        Problem::malformed("the parameter `name` is missing; post to /v1/plugins?name=NAME")
    })?;
    if !is_name(&name) {
        let rule = "a name is a lower-case letter and then at most 63 of a-z, 0-9 and _";
        return Err(Problem::malformed(format!("`{}` is not a name for a plugin; {rule}", shown(&name))));
    }
    let _place = app.uploads.try_acquire().map_err(|_| {
        Problem::new(
            Kind::Unavailable,
            "too many plugins are uploaded at once; upload this one again in a moment",
        )
    })?;
    let component = read_body(request, app.served.component_bytes, &app.room, &*app.served.clock).await?;
    // An error means that it was closed, which it never is.
    let _turn = app.admitting.acquire().await;
    let plugins = app.served.plugins.clone();
    let (stored, lost) = blocking(move || {
        let stored = plugins.admit_and_store(&name, &component).map_err(|error| problem(&error))?;
        let lost = Lost::by(&find(&plugins, &name)?, stored.version.version);
        Ok::<_, Problem>((stored, lost.functions))
    })
    .await??;
    tracing::info!(plugin = stored.name, version = stored.version.version, "plugin admitted");
    let mut body = json!(stored);
    if !lost.is_empty() {
        body["lost"] = json!(lost);
    }
    Ok(answer(StatusCode::CREATED, &body))
}

/// `GET /v1/plugins`.
pub(crate) async fn list(State(app): State<Arc<App>>) -> Result<Response, Problem> {
    let plugins = app.served.plugins.clone();
    let plugins = blocking(move || plugins.list()).await?;
    Ok(answer(StatusCode::OK, &json!({ "plugins": plugins })))
}

/// `GET /v1/plugins/{name}`: also what each job that uses it makes of it.
pub(crate) async fn one(State(app): State<Arc<App>>, Name(name): Name) -> Result<Response, Problem> {
    let plugins = app.served.plugins.clone();
    let described = blocking(move || {
        let mut described = json!(find(&plugins, &name)?);
        let of_it = plugins.usage().into_iter().filter(|usage| usage.plugin == name);
        described["used_by"] = json!(of_it.collect::<Vec<_>>());
        Ok::<_, Problem>(described)
    });
    Ok(answer(StatusCode::OK, &described.await??))
}

/// What may follow `?` of a log.
pub(crate) const LOG_PARAMETERS: &[Parameter] =
    &[Parameter { name: "after", does: "only lines behind the one of this number" }];

/// `GET /v1/plugins/{name}/logs`: what it has logged last, up to 1,000 lines, oldest first.
pub(crate) async fn logs(
    State(app): State<Arc<App>>,
    Name(name): Name,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut query = Query::parse(query.as_deref())?;
    let after = query.take("after").map(String::from);
    query.finish(LOG_PARAMETERS)?;
    let after: u64 = after.map_or(Ok(0), |text| text.parse()).map_err(|_| {
        Problem::malformed(
            "the parameter `after` is not a line's number; give that of the last one that you have",
        )
    })?;
    let plugins = app.served.plugins.clone();
    let lines = blocking(move || {
        find(&plugins, &name)?;
        Ok::<_, Problem>(json!({ "plugin": name, "lines": plugins.host().log(&name, after) }))
    });
    Ok(answer(StatusCode::OK, &lines.await??))
}

/// The body of an activation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Activation {
    version: u32,
}

/// `POST /v1/plugins/{name}/activate`: what queries see from now on, those of running jobs from their next barrier.
pub(crate) async fn activate(
    State(app): State<Arc<App>>,
    Name(name): Name,
    request: Request,
) -> Result<Response, Problem> {
    let body = read_body(request, app.served.limits.body_bytes, &app.room, &*app.served.clock).await?;
    let (plugins, engine) = (app.served.plugins.clone(), app.served.engine.clone());
    let status = blocking(move || {
        let status = find(&plugins, &name)?;
        let asked: Activation = of_json(&body, r#"{"version": 1}"#)?;
        if !status.versions.iter().any(|known| known.version == asked.version) {
            let known = status.versions.len();
            let detail = format!("plugin `{name}` has no version {}; it has 1 to {known}", asked.version);
            return Err(Problem::not_found(detail));
        }
        refuse_to_lose(&Lost::by(&status, asked.version), &name, asked.version, &engine.jobs())?;
        plugins.activate(&name, asked.version).map_err(|error| problem(&error))?;
        tracing::info!(plugin = name, version = asked.version, "plugin activated");
        find(&plugins, &name)
    });
    applied(&app, status.await??).await
}

/// A version without a function that a running job calls, or with other types, does not become active: the job would stand still.
fn refuse_to_lose(lost: &Lost, plugin: &str, version: u32, jobs: &[Arc<Job>]) -> Result<(), Problem> {
    // A job that pins its version has that whichever is active.
    let pins =
        |job: &&Arc<Job>| job.plan().versions.iter().any(|used| used.is_pinned && used.of.plugin == plugin);
    let reasons: Vec<String> = jobs
        .iter()
        .filter(|job| !pins(job))
        .filter_map(|job| {
            let called = lost.called_by(job.plan());
            let in_words: Vec<String> = called.iter().map(|function| lost.in_its_place(function)).collect();
            (!called.is_empty()).then(|| {
                format!(
                    "version {version} of plugin `{plugin}` {}, which job `{}` calls; have the job call another function \
                     first, or push a version that has this one as it was",
                    in_words.join(", and "),
                    job.plan().name
                )
            })
        })
        .collect();
    if reasons.is_empty() {
        return Ok(());
    }
    Err(Problem::of_reasons(Kind::Conflict, "jobs call what the version does not have", &reasons))
}

/// `POST /v1/plugins/{name}/rollback`: the version that was active before, likewise.
pub(crate) async fn rollback(State(app): State<Arc<App>>, Name(name): Name) -> Result<Response, Problem> {
    let (plugins, engine) = (app.served.plugins.clone(), app.served.engine.clone());
    let status = blocking(move || {
        let status = find(&plugins, &name)?;
        if let Some(version) = status.previous {
            refuse_to_lose(&Lost::by(&status, version), &name, version, &engine.jobs())?;
        }
        let version = plugins.rollback(&name).map_err(|error| problem(&error))?;
        tracing::info!(plugin = name, version, "plugin rolled back");
        find(&plugins, &name)
    });
    applied(&app, status.await??).await
}

/// `DELETE /v1/plugins/{name}`: with all its versions, unless a job needs it.
pub(crate) async fn remove(State(app): State<Arc<App>>, Name(name): Name) -> Result<Response, Problem> {
    let (plugins, engine) = (app.served.plugins.clone(), app.served.engine.clone());
    let needed = app.served.control.needs(&name).await.map_err(unknown_needs)?;
    let deleted = blocking(move || {
        refuse_to_delete(&Lost::of_versions(&find(&plugins, &name)?), &name, (&engine.jobs(), &needed))?;
        // Another request may have deleted it meanwhile.
        let deleted = plugins
            .delete(&name)
            .map_err(|error| find(&plugins, &name).err().unwrap_or_else(|| problem(&error)))?;
        tracing::info!(plugin = name, "plugin deleted");
        Ok::<_, Problem>(deleted)
    });
    Ok(answer(StatusCode::OK, &json!(deleted.await??)))
}

/// `needed` says of jobs, which may not run, why they need it.
fn refuse_to_delete(
    lost: &[Lost],
    plugin: &str,
    (jobs, needed): (&[Arc<Job>], &BTreeMap<String, String>),
) -> Result<(), Problem> {
    let calls = |job: &Arc<Job>| {
        let called: BTreeSet<&str> = lost.iter().flat_map(|lost| lost.called_by(job.plan())).collect();
        let called: Vec<&str> = called.into_iter().collect();
        (!called.is_empty()).then(|| (job.plan().name.clone(), format!("calls `{}`", called.join("`, `"))))
    };
    let mut why = needed.clone();
    why.extend(jobs.iter().filter_map(calls));
    if why.is_empty() {
        return Ok(());
    }
    let reasons = why.iter().map(|(job, why)| format!("job `{job}` {why}; change or remove the job first"));
    let reasons: Vec<String> = reasons.collect();
    Err(Problem::of_reasons(Kind::Conflict, &format!("plugin `{plugin}` is used"), &reasons))
}

/// Whether jobs need a plugin cannot be told.
fn unknown_needs(error: ControlError) -> Problem {
    match error {
        ControlError::Failed { fault, message } => Problem::of_fault(fault, false, Kind::Invalid, message),
        ControlError::Unknown(reasons) | ControlError::Refused(reasons) => {
            Problem::of_reasons(Kind::Invalid, "jobs", &reasons)
        }
    }
}

/// Lets jobs use what is active now; says which do.
async fn applied(app: &App, status: PluginStatus) -> Result<Response, Problem> {
    let effects = app.served.control.plugin_changed(&status.name).await;
    let mut body = json!(status);
    body["jobs"] = json!(effects);
    Ok(answer(StatusCode::OK, &body))
}

fn find(plugins: &PluginRegistry, name: &str) -> Result<PluginStatus, Problem> {
    let mut known = plugins.list();
    let at = known.iter().position(|plugin| plugin.name == name);
    at.map(|at| known.swap_remove(at)).ok_or_else(|| {
        let known = instead_of(name, known.iter().map(|plugin| plugin.name.as_str()));
        Problem::not_found(format!("plugin `{}` not found; {known}", shown(name)))
    })
}

/// A refusal with every reason.
fn problem(error: &PluginError) -> Problem {
    let errors = error.reasons.iter().map(|reason| json!({ "detail": reason })).collect();
    Problem::of_fault(error.fault, error.retry, Kind::Invalid, error.to_string()).with_errors(errors)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse;
    use weir_event::Fault;
    use weir_plugin::Phase;

    #[test]
    fn a_refusal_is_422_with_every_reason_and_a_full_disk_is_not() {
        let refused = |fault, retry| {
            let error = PluginError {
                fault,
                retry,
                phase: Phase::Admit,
                plugin: "geo".to_owned(),
                reasons: vec!["one".to_owned(), "two".to_owned()],
            };
            problem(&error).into_response().status().as_u16()
        };
        assert_eq!(refused(Fault::User, false), 422);
        assert_eq!(refused(Fault::External, true), 503);
        assert_eq!(refused(Fault::Weir, false), 500);
    }
}
