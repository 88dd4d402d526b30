//! `GET /v1/jobs/{job}/values` and `POST /v1/lookup`: values of features, read from the timelines of running jobs.
//!
//! Knows how a lookup is asked for and answered. Must not know how a value is computed.

use crate::app::App;
use crate::entity::{self, Key, push_json};
use crate::face::{Face, FeatureFace};
use crate::problem::{Kind, Problem, suggestion};
use crate::query::Query;
use crate::request::{Name, json_response, read_body};
use crate::routes::Parameter;
use crate::value::{Asked, push_failed, push_value};
use axum::extract::{RawQuery, Request, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use weir_engine::{Job, LookupError};
use weir_event::EventTime;

/// An answer of a feature or two fits without growing.
const ANSWER_BYTES: usize = 512;
/// After so many lookups of one request others get their turn: at some 10 us each that is well under a millisecond.
const LOOKUPS_PER_TURN: usize = 64;
/// More errors than these help nobody.
const MAX_ERRORS: usize = 100;

/// What may follow `?` beside the entity's columns.
pub(crate) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "as_of", does: "values as of this event time: RFC 3339 or epoch milliseconds" },
    Parameter { name: "explain", does: "weir 0.1 does not have this yet" },
];

/// One entity of one job.
pub(crate) async fn values(
    State(app): State<Arc<App>>,
    Name(name): Name,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let (job, face) = app.job(&name)?;
    refuse_without_entity(&face)?;
    let mut query = Query::parse(query.as_deref())?;
    if query.take_flag("explain")? {
        return Err(Problem::new(Kind::NotYet, "`explain` is known, not available yet; leave it out"));
    }
    let as_of = query.take("as_of").map(|text| text_time(&text)).transpose()?;
    let mut body = Vec::with_capacity(ANSWER_BYTES);
    body.extend_from_slice(b"{\"entity\":");
    let key = entity::of_texts(&face.keys, |name| query.take(name), &mut body);
    let key = finish_entity(key, &query, &face)?;

    let one = OneJob::new(job, face);
    body.extend_from_slice(b",\"features\":{");
    one.push_values(
        &app,
        &key,
        as_of,
        one.face.features.iter().map(|feature| (feature, &feature.label)),
        &mut body,
    )?;
    body.extend_from_slice(b"},\"jobs\":{");
    one.face.push_meta(one.watermark, &mut body);
    body.extend_from_slice(b"}}");
    Ok(json_response(body))
}

/// A job without window or aggregate has no entity, whatever key is given.
fn refuse_without_entity(face: &Face) -> Result<(), Problem> {
    match face.plan.stage {
        Some(_) => Ok(()),
        None => Err(Problem::not_found(LookupError::NoEntity(face.plan.name.clone()).to_string())),
    }
}

/// The key, or everything that is wrong with the parameters.
fn finish_entity(key: Result<Key, Vec<String>>, query: &Query<'_>, face: &Face) -> Result<Key, Problem> {
    let (key, mut errors) = match key {
        Ok(key) => (key, Vec::new()),
        Err(errors) => (Key::new(), errors),
    };
    if !query.is_empty() {
        let mut known: Vec<&str> = face.keys.iter().map(|key| key.name.as_str()).collect();
        known.extend(PARAMETERS.iter().map(|parameter| parameter.name));
        errors.extend(query.leftovers(&known));
    }
    if errors.is_empty() {
        Ok(key)
    } else {
        Err(Problem::of_reasons(Kind::Malformed, "the parameters", &errors))
    }
}

/// A job as one request asks it.
struct OneJob {
    job: Arc<Job>,
    face: Arc<Face>,
    watermark: Option<EventTime>,
    stale: bool,
    since: Option<EventTime>,
}

impl OneJob {
    fn new(job: Arc<Job>, face: Arc<Face>) -> OneJob {
        let is_behind = |limit: weir_event::Span| job.lag_ms() > limit.millis().max(0) as u64;
        let stale = !job.is_running() || face.plan.stale_after.is_some_and(is_behind);
        OneJob { watermark: job.watermark(), since: job.data_since(), stale, job, face }
    }

    /// Appends these features of one entity to an open object.
    fn push_values<'f>(
        &self,
        app: &App,
        key: &Key,
        as_of: Option<EventTime>,
        features: impl Iterator<Item = (&'f FeatureFace, &'f Vec<u8>)>,
        out: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        let time = as_of.unwrap_or_else(|| app.served.clock.now());
        let answer = match self.job.lookup(key, as_of) {
            Ok(answer) => Ok(answer),
            Err(LookupError::Failed(reason)) => Err(reason),
            Err(error @ LookupError::NoEntity(_)) => return Err(Problem::not_found(error.to_string())),
            Err(error @ LookupError::OutOfReach { .. }) => return Err(Problem::malformed(error.to_string())),
            Err(error @ LookupError::Starting(_)) => {
                return Err(Problem::new(Kind::Unavailable, error.to_string()));
            }
        };
        let asked = Asked { time, watermark: self.watermark, stale: self.stale, since: self.since };
        for (feature, label) in features {
            if out.last() != Some(&b'{') {
                out.push(b',');
            }
            out.extend_from_slice(label);
            match &answer {
                Ok(answer) => push_value(feature, self.face.frame, answer, asked, out),
                Err(reason) => push_failed(reason, out),
            }
        }
        Ok(())
    }
}

/// The body of `POST /v1/lookup`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asks {
    features: Vec<String>,
    entities: Vec<Map<String, Value>>,
    #[serde(default)]
    as_of: Option<Value>,
    #[serde(default)]
    request: Option<Value>,
}

/// Many entities, features of several jobs.
pub(crate) async fn lookup(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let body = read_body(request, app.served.limits.body_bytes).await?;
    let asks: Asks = serde_json::from_slice(&body).map_err(|error| {
        let shape = r#"{"features": ["job:feature"], "entities": [{"user_id": "u1"}]}"#;
        Problem::malformed(format!("the body: {error}; send {shape}"))
    })?;
    let jobs = asked_jobs(&app, &asks.features)?;
    if asks.request.is_some_and(|request| !request.is_null()) {
        return Err(Problem::new(Kind::NotYet, "`request` is known, not available yet; leave it out"));
    }
    let as_of = asks.as_of.as_ref().filter(|value| !value.is_null()).map(json_time).transpose()?;
    let keys = keys(&jobs, &asks.entities)?;
    let body = rows(&app, &jobs, &asks.entities, &keys, as_of).await?;
    Ok(json_response(body))
}

/// A job with those of its features that are asked for.
type AskedJob = (OneJob, Vec<usize>);

/// The jobs behind `job` and `job:feature`, each once, in the order of the first mention.
fn asked_jobs(app: &App, names: &[String]) -> Result<Vec<AskedJob>, Problem> {
    if names.is_empty() {
        return Err(Problem::malformed("`features` is empty; name a job, or `job:feature`"));
    }
    let mut jobs: Vec<AskedJob> = Vec::new();
    for name in names {
        let (job, feature) =
            name.split_once(':').map_or((name.as_str(), None), |(job, feature)| (job, Some(feature)));
        let known = jobs.iter().position(|(known, _)| known.face.plan.name == job);
        if known.is_none() {
            let (job, face) = app.job(job)?;
            refuse_without_entity(&face)?;
            jobs.push((OneJob::new(job, face), Vec::new()));
        }
        let at = known.unwrap_or(jobs.len() - 1);
        let (one, asked) = &mut jobs[at];
        let wanted = match feature {
            None => (0..one.face.features.len()).collect(),
            Some(feature) => vec![feature_index(&one.face, feature)?],
        };
        for index in wanted {
            if !asked.contains(&index) {
                asked.push(index);
            }
        }
    }
    Ok(jobs)
}

fn feature_index(face: &Face, name: &str) -> Result<usize, Problem> {
    face.features.iter().position(|feature| feature.name == name).ok_or_else(|| {
        let known = suggestion(name, face.features.iter().map(|feature| feature.name.as_str()));
        Problem::not_found(format!("job `{}` has no feature `{name}`; {known}", face.plan.name))
    })
}

/// For every entity the key of each job, or everything that is wrong with them.
fn keys(jobs: &[AskedJob], entities: &[Map<String, Value>]) -> Result<Vec<Vec<Key>>, Problem> {
    let known: BTreeSet<&str> =
        jobs.iter().flat_map(|(one, _)| one.face.keys.iter().map(|key| key.name.as_str())).collect();
    let mut errors = Vec::new();
    let mut keys = Vec::with_capacity(entities.len());
    for (row, entity) in entities.iter().enumerate() {
        let mut reasons = BTreeSet::new();
        let mut of_row = Vec::with_capacity(jobs.len());
        for (one, _) in jobs {
            match entity::of_members(&one.face.keys, entity) {
                Ok(key) => of_row.push(key),
                Err(of_job) => reasons.extend(of_job),
            }
        }
        for name in entity.keys().filter(|name| !known.contains(name.as_str())) {
            reasons.insert(format!("unknown key `{name}`; {}", suggestion(name, known.iter().copied())));
        }
        errors.extend(reasons.into_iter().map(|reason| json!({"entity": row, "detail": reason})));
        keys.push(of_row);
    }
    if errors.is_empty() {
        return Ok(keys);
    }
    let detail = format!("the entities cannot be looked up: {} errors", errors.len());
    errors.truncate(MAX_ERRORS);
    Err(Problem::malformed(detail).with_errors(errors))
}

async fn rows(
    app: &App,
    jobs: &[AskedJob],
    entities: &[Map<String, Value>],
    keys: &[Vec<Key>],
    as_of: Option<EventTime>,
) -> Result<Vec<u8>, Problem> {
    let mut body = Vec::with_capacity(ANSWER_BYTES * (1 + entities.len()));
    body.extend_from_slice(b"{\"rows\":[");
    for (row, (entity, keys)) in entities.iter().zip(keys).enumerate() {
        if row > 0 {
            body.push(b',');
        }
        body.extend_from_slice(b"{\"entity\":");
        push_json(entity, &mut body);
        body.extend_from_slice(b",\"features\":{");
        for ((one, asked), key) in jobs.iter().zip(keys) {
            let features = asked.iter().map(|index| &one.face.features[*index]);
            one.push_values(
                app,
                key,
                as_of,
                features.map(|feature| (feature, &feature.full_label)),
                &mut body,
            )?;
        }
        body.extend_from_slice(b"}}");
        if (row + 1) * jobs.len() % LOOKUPS_PER_TURN < jobs.len() {
            tokio::task::yield_now().await;
        }
    }
    body.extend_from_slice(b"],\"jobs\":{");
    for (index, (one, _)) in jobs.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        one.face.push_meta(one.watermark, &mut body);
    }
    body.extend_from_slice(b"}}");
    Ok(body)
}

fn text_time(text: &str) -> Result<EventTime, Problem> {
    text.parse().map_err(|error| Problem::malformed(format!("`as_of`: {error}")))
}

fn json_time(value: &Value) -> Result<EventTime, Problem> {
    match value {
        Value::String(text) => text_time(text),
        Value::Number(number) if number.is_i64() => {
            Ok(EventTime::from_millis(number.as_i64().unwrap_or_default()))
        }
        other => text_time(&other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_text_or_milliseconds() {
        assert_eq!(json_time(&json!(1500)).unwrap().millis(), 1500);
        assert_eq!(json_time(&json!("1970-01-01T00:00:01Z")).unwrap().millis(), 1000);
        for bad in [json!(1.5), json!(true), json!("noon"), json!([])] {
            assert_eq!(json_time(&bad).unwrap_err().kind(), Kind::Malformed, "{bad}");
        }
    }
}
