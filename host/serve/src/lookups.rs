//! `POST /v1/lookup`: features of several jobs for many entities.
//!
//! What is wrong with one entity is said in its row, and the others are answered. Knows how it is asked for and
//! answered. Must not know how a value is computed.

use crate::app::App;
use crate::asks::Asks;
use crate::entity::{self, push_json};
use crate::face::{Face, FeatureFace};
use crate::lookup::{META, refuse_without_entity};
use crate::one_job::{NoValues, OneJob, push_label};
use crate::pool::Budget;
use crate::problem::{Kind, Problem};
use crate::query::Query;
use crate::request::{json_response, read_body};
use crate::room::Held;
use crate::routes::Parameter;
use crate::value::push_failed;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use serde_json::{Map, Value};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use weir_event::EventTime;
use weir_event::suggestion::{instead_of, shown};

/// So many lookups at some 10 us each hold an async thread up for well under a millisecond; more are done elsewhere, as
/// are those that call guests.
const LOOKUPS_INLINE: usize = 64;
/// A body of so many bytes is read in some 100 us.
const READ_INLINE_BYTES: usize = 32 << 10;
/// The longest answer: as much as a client can read while it waits, and a part of the room that there is for all.
const MAX_ANSWER_BYTES: usize = 32 << 20;
/// So many unknown keys of an entity are named.
const UNKNOWN_NAMED: usize = 8;

/// What may follow `?`.
pub(crate) const PARAMETERS: &[Parameter] = &[META];

/// A job with those of its features that are asked for.
struct AskedJob {
    one: OneJob,
    /// In the order of the first mention.
    features: Vec<usize>,
    /// Of each of the job's features, whether it is among them.
    is_asked: Vec<bool>,
}

impl AskedJob {
    fn new(one: OneJob) -> AskedJob {
        AskedJob { is_asked: vec![false; one.face.features.len()], one, features: Vec::new() }
    }

    /// Asks for one of its features, or for all.
    fn ask(&mut self, feature: Option<&str>) -> Result<(), Problem> {
        let wanted = match feature {
            None => (0..self.one.face.features.len()).collect(),
            Some(feature) => vec![feature_index(&self.one.face, feature)?],
        };
        for index in wanted {
            if !std::mem::replace(&mut self.is_asked[index], true) {
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
    let body = read_body(request, app.served.limits.body_bytes, &app.room, &*app.served.clock).await?;
    let (body, asks, read) = read_asks(&app, body).await?;
    let (jobs, refused) = asked_jobs(&app, &asks.features, with_meta)?;
    if asks.has_request {
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
    let held = app.room.hold();
    let answer = if batch.is_short(asks.entities.len()) {
        batch.answer(&asks.entities, with_meta, held, || Ok(()))?
    } else {
        let work = move |budget: &Budget| {
            let answer = batch.answer(&asks.entities, with_meta, held, || budget.check());
            drop((body, read));
            answer
        };
        app.pool.run(work).await?
    };
    Ok(json_response(answer))
}

/// What a body asks for, with the room that it takes beside the body; of a large one it is read off the async threads.
async fn read_asks(app: &App, body: Bytes) -> Result<(Bytes, Asks, Held), Problem> {
    let mut held = app.room.hold();
    if body.len() <= READ_INLINE_BYTES {
        let asks = Asks::read(&body)?;
        return Ok((body, asks, held));
    }
    held.grow_to(Asks::most_bytes(&body))?;
    app.pool.run(move |_| Asks::read(&body).map(|asks| (body, asks, held))).await
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
    let mut at: HashMap<&str, usize> = HashMap::new();
    let mut seen = HashSet::new();
    for name in names.iter().filter(|name| seen.insert(name.as_str())) {
        let (asked, feature) =
            name.split_once(':').map_or((name.as_str(), None), |(asked, feature)| (asked, Some(feature)));
        if let Some(known) = at.get(asked) {
            jobs[*known].ask(feature)?;
            continue;
        }
        // A job that runs as it was before its file became wrong answers.
        match (app.job(asked), app.refusal(asked)) {
            (Ok((job, face)), _) => {
                refuse_without_entity(&face)?;
                let one = OneJob::new(job, face, app.served.clock.now(), !with_meta);
                let mut one = AskedJob::new(one);
                one.ask(feature)?;
                at.insert(asked, jobs.len());
                jobs.push(one);
            }
            (Err(_), Some(problem)) => {
                let label = format!("{}:", Value::from(name.as_str())).into_bytes();
                match refused.iter_mut().find(|known| known.name == asked) {
                    Some(known) => known.labels.push(label),
                    None => refused.push(RefusedJob { name: asked.to_owned(), labels: vec![label], problem }),
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
        Problem::not_found(format!("job `{}` has no feature `{}`; {known}", face.plan.name, shown(name)))
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

    /// Whether the lookups for so many entities are done in no time.
    fn is_short(&self, entities: usize) -> bool {
        let calls_guests = self.jobs.iter().any(|asked| asked.one.face.calls_guests);
        !calls_guests && entities * self.jobs.len() <= LOOKUPS_INLINE
    }

    /// The whole answer. `go_on` is asked before each entity, and what it grows by is taken of the room.
    fn answer(
        &self,
        entities: &[Value],
        with_meta: bool,
        mut held: Held,
        go_on: impl Fn() -> Result<(), Problem>,
    ) -> Result<Vec<u8>, Problem> {
        let mut out = b"{\"rows\":[".to_vec();
        for (row, entity) in entities.iter().enumerate() {
            go_on()?;
            if row > 0 {
                out.push(b',');
            }
            self.push_row(entity, &mut out)?;
            if out.len() > MAX_ANSWER_BYTES {
                let mib = MAX_ANSWER_BYTES >> 20;
                let detail =
                    format!("the answer has more than {mib} MiB; ask for fewer entities or features");
                return Err(Problem::new(Kind::TooLarge, detail));
            }
            held.grow_to(out.len())?;
        }
        out.push(b']');
        if with_meta {
            self.push_jobs(&mut out);
        }
        out.push(b'}');
        Ok(out)
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
                "an entity is an object of its keys, such as {{\"user_id\": \"u1\"}}, not {}",
                shown(&entity.to_string())
            ));
        };
        // A key column of this name is a key.
        let has_time = !self.keys.contains("as_of");
        let is_known = |name: &str| self.keys.contains(name) || (has_time && name == "as_of");
        // A key that no job has may be one of a job that could not be started.
        let unknown = members.keys().filter(|name| self.refused.is_empty() && !is_known(name));
        let known = || self.keys.iter().map(String::as_str).chain(["as_of"]);
        let unknown =
            unknown.map(|name| format!("unknown key `{}`; {}", shown(name), instead_of(name, known())));
        let unknown: BTreeSet<String> = unknown.take(UNKNOWN_NAMED).collect();
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
