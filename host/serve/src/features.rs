//! `GET /v1/features` and `GET /v1/features/{job}/{feature}`: what there is to ask for, found by a word.
//!
//! Knows plans as listings show them and the state of their jobs. Must not know values.

use crate::app::App;
use crate::jobs::plugins_of;
use crate::problem::Problem;
use crate::query::Query;
use crate::request::{answer, blocking};
use crate::routes::Parameter;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use serde_json::{Value, json};
use std::sync::Arc;
use weir_engine::Job;
use weir_event::suggestion::{instead_of, shown};
use weir_plugin::PluginUsage;

/// What may follow `?` of the list.
pub(crate) const PARAMETERS: &[Parameter] = &[Parameter {
    name: "q",
    does: "only features in whose name, job, entity, streams, description or owner each of these words is",
}];

/// The features of all jobs that are served, by job, in the order of their queries.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let mut query = Query::parse(query.as_deref())?;
    let words = query.take("q").unwrap_or_default().to_lowercase();
    query.finish(PARAMETERS)?;
    let found = blocking(move || {
        let words: Vec<&str> = words.split_whitespace().collect();
        let usage = app.served.plugins.usage();
        let jobs = app.served.engine.jobs();
        let all = jobs.iter().flat_map(|job| of_job(job, &usage));
        all.filter(|feature| words.iter().all(|word| mentions(feature, word))).collect::<Vec<Value>>()
    });
    Ok(answer(StatusCode::OK, &json!({ "features": found.await? })))
}

/// One of them.
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    path: Result<Path<(String, String)>, PathRejection>,
) -> Result<Response, Problem> {
    let Path((name, wanted)) = path.map_err(|_| Problem::malformed("a name in the path is not UTF-8"))?;
    let job = app.served.engine.job(&name).ok_or_else(|| app.no_job(&name))?;
    let found = blocking(move || {
        let features = of_job(&job, &app.served.plugins.usage());
        let names: Vec<String> = features.iter().map(|feature| text(feature, "name").to_owned()).collect();
        let at = names.iter().position(|known| *known == wanted);
        at.and_then(|at| features.into_iter().nth(at)).ok_or_else(|| {
            let known = instead_of(&wanted, names.iter().map(String::as_str));
            Problem::not_found(format!("job `{name}` has no feature `{}`; {known}", shown(&wanted)))
        })
    });
    Ok(answer(StatusCode::OK, &found.await??))
}

/// A job's features, each with where it comes from and how fresh it is.
fn of_job(job: &Job, usage: &[PluginUsage]) -> Vec<Value> {
    let (plan, status) = (job.plan(), job.status());
    let streams: Vec<&str> = plan.inputs.iter().map(|input| input.stream.name.as_str()).collect();
    let entity = plan.stage.as_ref().map(|stage| &stage.key_names);
    let cost = cost(&plugins_of(plan, usage), status.counts.events);
    let seen = json!(status);
    let described = |mut feature: Value| {
        feature["feature"] = format!("{}:{}", plan.name, text(&feature, "name")).into();
        feature["job"] = plan.name.as_str().into();
        feature["entity"] = json!(entity);
        feature["streams"] = json!(streams);
        for member in ["state", "watermark", "lag_ms"] {
            feature[member] = seen[member].clone();
        }
        feature["cost"] = cost.clone();
        feature
    };
    plan.features_as_json().into_iter().map(described).collect()
}

/// What plugins took for the job, for each million of its events; a job's features share its calls. Nothing if it calls none.
fn cost(plugins: &[&PluginUsage], events: u64) -> Value {
    if plugins.is_empty() || events == 0 {
        return Value::Null;
    }
    let by_million = |sum: f64| sum * 1e6 / events as f64;
    let fuel = plugins.iter().map(|usage| usage.fuel as f64).sum();
    let seconds = plugins.iter().map(|usage| usage.seconds).sum();
    let names: Vec<&str> = plugins.iter().map(|usage| usage.plugin.as_str()).collect();
    json!({
        "plugins": names,
        "fuel_per_million_events": by_million(fuel).round(),
        "cpu_seconds_per_million_events": by_million(seconds),
    })
}

fn text<'a>(feature: &'a Value, member: &str) -> &'a str {
    feature[member].as_str().unwrap_or_default()
}

/// Whether a word in small letters is in what a person would look for.
fn mentions(feature: &Value, word: &str) -> bool {
    let is_in = |value: &Value| match value {
        Value::String(text) => text.to_lowercase().contains(word),
        Value::Array(texts) => {
            texts.iter().filter_map(Value::as_str).any(|text| text.to_lowercase().contains(word))
        }
        _ => false,
    };
    ["feature", "entity", "streams", "description", "owner"].iter().any(|member| is_in(&feature[*member]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_wherever_a_person_would_look() {
        let feature = json!({"feature": "user_day:rides", "entity": ["user_id"], "streams": ["Rides_eu"],
            "description": "How often somebody rode", "owner": null});
        for (word, is_there) in [
            ("day:r", true),
            ("user_id", true),
            ("rides_eu", true),
            ("often", true),
            ("fare", false),
            ("null", false),
        ] {
            assert_eq!(mentions(&feature, word), is_there, "{word}");
        }
    }
}
