//! `POST /v1/lookup`: features of several jobs for many entities.
//!
//! What is wrong with one entity is said in its row, and the others are answered. Knows how it is asked for and
//! answered. Must not know how a value is computed.

use crate::app::App;
use crate::entity::{self, push_json};
use crate::face::{Face, FeatureFace};
use crate::lookup::{ANSWER_BYTES, META, refuse_without_entity};
use crate::one_job::{NoValues, OneJob, push_label};
use crate::problem::Problem;
use crate::query::Query;
use crate::request::{json_response, read_body};
use crate::routes::Parameter;
use crate::value::push_failed;
use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::Arc;
use weir_event::EventTime;
use weir_event::suggestion::instead_of;

/// After so many lookups of one request others get their turn: at some 10 us each that is well under a millisecond.
const LOOKUPS_PER_TURN: usize = 64;

/// What may follow `?`.
pub(crate) const PARAMETERS: &[Parameter] = &[META];

/// The body.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asks {
    features: Vec<String>,
    entities: Vec<Value>,
    #[serde(default)]
    as_of: Option<Value>,
    #[serde(default)]
    request: Option<Value>,
}

/// A job with those of its features that are asked for.
struct AskedJob {
    one: OneJob,
    features: Vec<usize>,
}

impl AskedJob {
    /// Asks for one of its features, or for all.
    fn ask(&mut self, feature: Option<&str>) -> Result<(), Problem> {
        let wanted = match feature {
            None => (0..self.one.face.features.len()).collect(),
            Some(feature) => vec![feature_index(&self.one.face, feature)?],
        };
        for index in wanted {
            if !self.features.contains(&index) {
                self.features.push(index);
            }
        }
        Ok(())
    }

    fn features(&self) -> impl Iterator<Item = (&FeatureFace, &Vec<u8>)> {
        let features = self.features.iter().map(|index| &self.one.face.features[*index]);
        features.map(|feature| (feature, &feature.full_label))
    }
}

/// Many entities, features of several jobs.
pub(crate) async fn lookup(State(app): State<Arc<App>>, request: Request) -> Result<Response, Problem> {
    let mut query = Query::parse(request.uri().query())?;
    let with_meta = query.take_flag("meta", true)?;
    query.finish(PARAMETERS)?;
    let body = read_body(request, app.served.limits.body_bytes, &*app.served.clock).await?;
    let asks: Asks = serde_json::from_slice(&body).map_err(|error| {
        let shape = r#"{"features": ["job:feature"], "entities": [{"user_id": "u1"}]}"#;
        Problem::malformed(format!("the body: {error}; send {shape}"))
    })?;
    let (jobs, refused) = asked_jobs(&app, &asks.features, with_meta)?;
    if asks.request.is_some_and(|request| !request.is_null()) {
        return Err(Problem::not_yet("`request`", "leave it out"));
    }
    let as_of = asks.as_of.as_ref().map(json_time).transpose().map_err(Problem::malformed)?.flatten();
    // Where some jobs can answer they do, and the features of the others say why they do not.
    let failures = jobs.iter().filter_map(|asked| asked.one.failure());
    let failures: Vec<Problem> =
        failures.chain(refused.iter().map(|refused| &refused.problem)).cloned().collect();
    if failures.len() == jobs.len() + refused.len() {
        return Err(Problem::of_all(failures));
    }
    let batch = Batch::new(jobs, refused, as_of, !with_meta);
    let mut body = Vec::with_capacity(ANSWER_BYTES * (1 + asks.entities.len()));
    batch.push_rows(&asks.entities, &mut body).await?;
    if with_meta {
        batch.push_jobs(&mut body);
    }
    body.push(b'}');
    Ok(json_response(body))
}

/// A job that could not be started: its features are not known, and what was asked for is all that is said.
struct RefusedJob {
    name: String,
    /// What was asked for, each with the colon.
    labels: Vec<Vec<u8>>,
    problem: Problem,
}

/// The jobs behind `job` and `job:feature`, each once, in the order of the first mention.
fn asked_jobs(
    app: &App,
    names: &[String],
    with_meta: bool,
) -> Result<(Vec<AskedJob>, Vec<RefusedJob>), Problem> {
    if names.is_empty() {
        return Err(Problem::malformed("`features` is empty; name a job, or `job:feature`"));
    }
    let (mut jobs, mut refused): (Vec<AskedJob>, Vec<RefusedJob>) = (Vec::new(), Vec::new());
    for name in names {
        let (job, feature) =
            name.split_once(':').map_or((name.as_str(), None), |(job, feature)| (job, Some(feature)));
        if let Some(known) = jobs.iter_mut().find(|known| known.one.face.plan.name == job) {
            known.ask(feature)?;
            continue;
        }
        // A job that runs as it was before its file became wrong answers.
        match (app.job(job), app.refusal(job)) {
            (Ok((job, face)), _) => {
                refuse_without_entity(&face)?;
                let one = OneJob::new(job, face, app.served.clock.now(), !with_meta);
                let mut asked = AskedJob { one, features: Vec::new() };
                asked.ask(feature)?;
                jobs.push(asked);
            }
            (Err(_), Some(problem)) => {
                let label = format!("{}:", Value::from(name.as_str())).into_bytes();
                match refused.iter_mut().find(|known| known.name == job) {
                    Some(known) if known.labels.contains(&label) => {}
                    Some(known) => known.labels.push(label),
                    None => refused.push(RefusedJob { name: job.to_owned(), labels: vec![label], problem }),
                }
            }
            (Err(problem), None) => return Err(problem),
        }
    }
    Ok((jobs, refused))
}

fn feature_index(face: &Face, name: &str) -> Result<usize, Problem> {
    face.features.iter().position(|feature| feature.name == name).ok_or_else(|| {
        let known = instead_of(name, face.features.iter().map(|feature| feature.name.as_str()));
        Problem::not_found(format!("job `{}` has no feature `{name}`; {known}", face.plan.name))
    })
}

/// Lookups of several entities.
struct Batch {
    jobs: Vec<AskedJob>,
    refused: Vec<RefusedJob>,
    /// Without what is not the value: `?meta=false`.
    lean: bool,
    /// The time that is asked for of entities that name none.
    as_of: Option<EventTime>,
    /// The key columns of all jobs.
    keys: BTreeSet<String>,
}

impl Batch {
    fn new(jobs: Vec<AskedJob>, refused: Vec<RefusedJob>, as_of: Option<EventTime>, lean: bool) -> Batch {
        let keys = jobs.iter().flat_map(|asked| asked.one.face.keys.iter().map(|key| key.name.clone()));
        Batch { keys: keys.collect(), jobs, refused, lean, as_of }
    }

    async fn push_rows(&self, entities: &[Value], out: &mut Vec<u8>) -> Result<(), Problem> {
        out.extend_from_slice(b"{\"rows\":[");
        for (row, entity) in entities.iter().enumerate() {
            if row > 0 {
                out.push(b',');
            }
            self.push_row(entity, out)?;
            if (row + 1) * self.jobs.len() % LOOKUPS_PER_TURN < self.jobs.len() {
                tokio::task::yield_now().await;
            }
        }
        out.push(b']');
        Ok(())
    }

    fn push_jobs(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"jobs\":{");
        for (index, asked) in self.jobs.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            asked.one.push_meta(self.as_of, out);
        }
        out.push(b'}');
    }

    fn push_row(&self, entity: &Value, out: &mut Vec<u8>) -> Result<(), Problem> {
        out.extend_from_slice(b"{\"entity\":");
        push_json(entity, out);
        out.extend_from_slice(b",\"features\":{");
        let mut reasons = BTreeSet::new();
        match self.members(entity) {
            Ok((members, as_of)) => {
                for asked in &self.jobs {
                    if let Err(reason) = self.push_job(asked, members, as_of, out)? {
                        asked.one.push_errors(&reason, asked.features(), out);
                        reasons.insert(reason);
                    }
                }
            }
            Err(reason) => {
                self.jobs.iter().for_each(|asked| asked.one.push_errors(&reason, asked.features(), out));
                reasons.insert(reason);
            }
        }
        for refused in &self.refused {
            for label in &refused.labels {
                push_label(label, out);
                push_failed(refused.problem.detail(), self.lean, out);
            }
        }
        out.push(b'}');
        if !reasons.is_empty() {
            out.extend_from_slice(b",\"error\":");
            push_json(&joined(reasons), out);
        }
        out.push(b'}');
        Ok(())
    }

    /// An entity's members and the time that it is asked as of, or what is wrong with it for all jobs.
    fn members<'e>(&self, entity: &'e Value) -> Result<(&'e Map<String, Value>, Option<EventTime>), String> {
        let Value::Object(members) = entity else {
            return Err(format!(
                "an entity is an object of its keys, such as {{\"user_id\": \"u1\"}}, not {entity}"
            ));
        };
        // A key column of this name is a key.
        let has_time = !self.keys.contains("as_of");
        let is_known = |name: &str| self.keys.contains(name) || (has_time && name == "as_of");
        // A key that no job has may be one of a job that could not be started.
        let unknown = members.keys().filter(|name| self.refused.is_empty() && !is_known(name));
        let known = || self.keys.iter().map(String::as_str).chain(["as_of"]);
        let unknown = unknown.map(|name| format!("unknown key `{name}`; {}", instead_of(name, known())));
        let unknown: BTreeSet<String> = unknown.collect();
        if !unknown.is_empty() {
            return Err(joined(unknown));
        }
        let own = members.get("as_of").filter(|_| has_time).map(json_time).transpose()?.flatten();
        Ok((members, own))
    }

    /// Appends one job's features of an entity, or says what is wrong with it.
    fn push_job(
        &self,
        asked: &AskedJob,
        members: &Map<String, Value>,
        own: Option<EventTime>,
        out: &mut Vec<u8>,
    ) -> Result<Result<(), String>, Problem> {
        let key = match entity::of_members(&asked.one.face.keys, members) {
            Ok(key) => key,
            Err(reasons) => return Ok(Err(joined(reasons))),
        };
        match asked.one.push_values(&key, own.or(self.as_of), asked.features(), out) {
            Ok(()) => Ok(Ok(())),
            Err(NoValues::OutOfReach(reason)) if own.is_some() => Ok(Err(reason)),
            // The whole request asks for it.
            Err(NoValues::OutOfReach(reason)) => Err(Problem::malformed(reason)),
            Err(NoValues::Nobody(problem)) => Err(problem),
        }
    }
}

fn joined(reasons: impl IntoIterator<Item = String>) -> String {
    reasons.into_iter().collect::<Vec<_>>().join("; ")
}

/// A time as text or milliseconds; null is none.
fn json_time(value: &Value) -> Result<Option<EventTime>, String> {
    let read = |text: &str| text.parse().map_err(|error| format!("`as_of`: {error}"));
    match value {
        Value::Null => Ok(None),
        Value::String(text) => read(text).map(Some),
        other => read(&other.to_string()).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_time_is_text_or_milliseconds() {
        let millis = |value: &Value| json_time(value).unwrap().map(EventTime::millis);
        assert_eq!(millis(&json!(1500)), Some(1500));
        assert_eq!(millis(&json!("1970-01-01T00:00:01Z")), Some(1000));
        assert_eq!(millis(&Value::Null), None);
        for bad in [json!(1.5), json!(true), json!("noon"), json!([]), json!(i64::MIN), json!(i64::MAX)] {
            assert!(json_time(&bad).unwrap_err().starts_with("`as_of`"), "{bad}");
        }
    }
}
