//! The entities of one lookup: each asked of all jobs, what is derived of them computed together, and a row written for each.
//!
//! What is wrong with one entity is said in its row, and the others are answered. Must not know how the request came.

use crate::asked_jobs::{AskedJob, RefusedJob, no_request, unknown_fields};
use crate::derived::Computed;
use crate::entity::{self, push_json};
use crate::one_job::{NoValues, OneEntity, push_label};
use crate::problem::{Kind, Problem};
use crate::request_fields;
use crate::room::Held;
use crate::value::push_failed;
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use weir_event::EventTime;
use weir_event::suggestion::{instead_of, shown};

/// So many lookups at some 10 us each hold an async thread up for well under a millisecond; more are done elsewhere, as
/// are those that call guests.
const LOOKUPS_INLINE: usize = 64;
/// The longest answer: as much as a client can read while it waits, and a part of the room that there is for all.
const MAX_ANSWER_BYTES: usize = 32 << 20;
/// So many entities are looked up before what is derived of them is computed for all at once: enough that a call for each
/// counts little, few enough to hold.
const ENTITIES_TOGETHER: usize = 256;
/// So many unknown keys of an entity are named.
const UNKNOWN_NAMED: usize = 8;

/// Lookups of several entities.
pub(crate) struct Batch {
    jobs: Vec<AskedJob>,
    refused: Vec<RefusedJob>,
    /// Without what is not the value: `?meta=false`.
    lean: bool,
    /// The time that is asked for of entities that name none.
    as_of: Option<EventTime>,
    /// The key columns of all jobs.
    keys: BTreeSet<String>,
    /// Whether any job has fields that an entity may bring.
    takes_request: bool,
}

/// What is known of one entity.
struct Row<'r> {
    entity: &'r Value,
    /// Of each job, or what is wrong with the entity for it.
    jobs: Vec<Result<OneEntity, String>>,
    /// All that is wrong with it.
    reasons: BTreeSet<String>,
}

/// What an entity says beside its keys.
#[derive(Clone, Copy)]
struct Own<'e> {
    as_of: Option<EventTime>,
    request: Option<&'e Map<String, Value>>,
}

impl Batch {
    pub(crate) fn new(
        jobs: Vec<AskedJob>,
        refused: Vec<RefusedJob>,
        as_of: Option<EventTime>,
        lean: bool,
    ) -> Batch {
        let keys = jobs.iter().flat_map(|asked| asked.one.face.keys.iter().map(|key| key.name.clone()));
        let keys: BTreeSet<String> = keys.collect();
        // A key column of this name is a key.
        let takes_request =
            !keys.contains("request") && jobs.iter().any(|asked| !asked.one.face.request.is_empty());
        Batch { jobs, refused, lean, as_of, keys, takes_request }
    }

    /// Whether the lookups for so many entities are done in no time.
    pub(crate) fn is_short(&self, entities: usize) -> bool {
        let calls_guests = self.jobs.iter().any(|asked| asked.one.face.calls_guests);
        !calls_guests && entities * self.jobs.len() <= LOOKUPS_INLINE
    }

    /// The whole answer. `go_on` is asked before each entity, and what it grows by is taken of the room.
    pub(crate) fn answer(
        &self,
        entities: &[Value],
        with_meta: bool,
        mut held: Held,
        go_on: impl Fn() -> Result<(), Problem>,
    ) -> Result<Vec<u8>, Problem> {
        let mut out = b"{\"rows\":[".to_vec();
        for together in entities.chunks(ENTITIES_TOGETHER) {
            let rows = together.iter().map(|entity| go_on().and_then(|()| self.row(entity)));
            let rows: Vec<Row<'_>> = rows.collect::<Result<_, _>>()?;
            let computed = self.compute(&rows);
            for (at, row) in rows.iter().enumerate() {
                if out.last() != Some(&b'[') {
                    out.push(b',');
                }
                self.push_row((at, row), &computed, &mut out);
                if out.len() > MAX_ANSWER_BYTES {
                    let mib = MAX_ANSWER_BYTES >> 20;
                    let detail =
                        format!("the answer has more than {mib} MiB; ask for fewer entities or features");
                    return Err(Problem::new(Kind::TooLarge, detail));
                }
                held.grow_to(out.len())?;
            }
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

    /// Asks all jobs for an entity.
    fn row<'e>(&self, entity: &'e Value) -> Result<Row<'e>, Problem> {
        let (mut jobs, mut reasons) = (Vec::with_capacity(self.jobs.len()), BTreeSet::new());
        match self.members(entity) {
            Ok((members, own)) => {
                for asked in &self.jobs {
                    let found = self.look(asked, members, own, &mut reasons)?;
                    reasons.extend(found.as_ref().err().cloned());
                    jobs.push(found);
                }
            }
            Err(reason) => {
                jobs.extend(self.jobs.iter().map(|_| Err(reason.clone())));
                reasons.insert(reason);
            }
        }
        Ok(Row { entity, jobs, reasons })
    }

    /// Computes what each job derives for all these entities.
    fn compute(&self, rows: &[Row<'_>]) -> Vec<Computed> {
        let of_job = |(job, asked): (usize, &AskedJob)| {
            let entities = rows.iter().map(|row| row.jobs.get(job).and_then(|found| found.as_ref().ok()));
            asked.one.compute(&asked.derived, entities)
        };
        self.jobs.iter().enumerate().map(of_job).collect()
    }

    fn push_row(&self, (at, row): (usize, &Row<'_>), computed: &[Computed], out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"entity\":");
        push_json(row.entity, out);
        out.extend_from_slice(b",\"features\":{");
        for ((asked, computed), found) in self.jobs.iter().zip(computed).zip(&row.jobs) {
            match found {
                Ok(entity) => asked.one.push_values((at, entity), computed, asked.features(), out),
                Err(reason) => asked.one.push_errors(reason, asked.features(), out),
            }
        }
        for refused in &self.refused {
            for label in &refused.labels {
                push_label(label, out);
                push_failed(refused.problem.detail(), self.lean, out);
            }
        }
        out.push(b'}');
        if !row.reasons.is_empty() {
            out.extend_from_slice(b",\"error\":");
            push_json(&joined(&row.reasons), out);
        }
        out.push(b'}');
    }

    /// An entity's members and what it says beside its keys, or what is wrong with it for all jobs.
    fn members<'e>(&self, entity: &'e Value) -> Result<(&'e Map<String, Value>, Own<'e>), String> {
        let Value::Object(members) = entity else {
            return Err(format!(
                "an entity is an object of its keys, such as {{\"user_id\": \"u1\"}}, not {}",
                shown(&entity.to_string())
            ));
        };
        // A key column of this name is a key.
        let has_time = !self.keys.contains("as_of");
        let others = [(has_time, "as_of"), (self.takes_request, "request")];
        let is_other = |name: &str| others.iter().any(|(is_taken, other)| *is_taken && *other == name);
        // A key that no job has may be one of a job that could not be started.
        let unknown = members
            .keys()
            .filter(|name| self.refused.is_empty() && !self.keys.contains(*name) && !is_other(name));
        let others = || others.iter().filter(|(is_taken, _)| *is_taken).map(|(_, other)| *other);
        let known = || self.keys.iter().map(String::as_str).chain(others());
        let unknown =
            unknown.map(|name| format!("unknown key `{}`; {}", shown(name), instead_of(name, known())));
        let mut unknown: BTreeSet<String> = unknown.take(UNKNOWN_NAMED).collect();
        let as_of = members.get("as_of").filter(|_| has_time).map(json_time).transpose()?.flatten();
        let request = match members.get("request").filter(|_| self.takes_request) {
            None | Some(Value::Null) => None,
            Some(Value::Object(request)) => Some(request),
            Some(other) => return Err(no_request(other)),
        };
        if let Some(request) = request.filter(|_| self.refused.is_empty()) {
            unknown.extend(unknown_fields(&self.jobs, request));
        }
        if unknown.is_empty() { Ok((members, Own { as_of, request })) } else { Err(joined(&unknown)) }
    }

    /// Asks one job for an entity, or says what is wrong with it. What is wrong with fields that it brings is among the
    /// reasons, and keeps nothing from being looked up.
    fn look(
        &self,
        asked: &AskedJob,
        members: &Map<String, Value>,
        own: Own<'_>,
        reasons: &mut BTreeSet<String>,
    ) -> Result<Result<OneEntity, String>, Problem> {
        let key = match entity::of_members(&asked.one.face.keys, members) {
            Ok(key) => key,
            Err(reasons) => return Ok(Err(joined(&reasons))),
        };
        let fields = asked.fields_with(own.request);
        let lacks = asked.lacks(&fields);
        // The whole request lacks it, and not this entity.
        if own.request.is_none() && !lacks.is_empty() {
            return Err(Problem::of_reasons(Kind::Malformed, "`request`", &lacks));
        }
        reasons.extend(lacks);
        reasons.extend(request_fields::wrong(&fields));
        match asked.one.look(&key, own.as_of.or(self.as_of)) {
            Ok(found) => Ok(Ok(OneEntity { key, found, fields })),
            Err(NoValues::OutOfReach(reason)) if own.as_of.is_some() => Ok(Err(reason)),
            // The whole request asks for it.
            Err(NoValues::OutOfReach(reason)) => Err(Problem::malformed(reason)),
            Err(NoValues::Nobody(problem)) => Err(problem),
        }
    }
}

fn joined<'r>(reasons: impl IntoIterator<Item = &'r String>) -> String {
    reasons.into_iter().map(String::as_str).collect::<Vec<_>>().join("; ")
}

/// A time as text or milliseconds; null is none.
pub(crate) fn json_time(value: &Value) -> Result<Option<EventTime>, String> {
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
