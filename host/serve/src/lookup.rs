//! `GET /v1/jobs/{job}/values`: the features of one entity of one job.
//!
//! Knows how it is asked for and answered. Must not know how a value is computed.

use crate::app::App;
use crate::entity::{self, Key};
use crate::face::Face;
use crate::one_job::{NoValues, OneEntity, OneJob};
use crate::problem::{Kind, Problem};
use crate::query::Query;
use crate::request::{Name, json_response};
use crate::request_fields::{self, Field};
use crate::routes::Parameter;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use std::sync::Arc;
use weir_engine::LookupError;
use weir_event::EventTime;

/// An answer of a feature or two fits without growing.
const ANSWER_BYTES: usize = 512;

/// What may follow `?` beside the entity's columns and the fields of the request.
pub(crate) const PARAMETERS: &[Parameter] = &[
    Parameter { name: "as_of", does: "values as of this event time: RFC 3339 or epoch milliseconds" },
    META,
];

/// Of every lookup.
pub(crate) const META: Parameter =
    Parameter { name: "meta", does: "false leaves out jobs, windows and event times (default true)" };

/// One entity of one job.
pub(crate) async fn values(
    State(app): State<Arc<App>>,
    Name(name): Name,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let (job, face) = app.job(&name)?;
    refuse_without_entity(&face)?;
    let mut query = Query::parse(query.as_deref())?;
    if query.take_flag("explain", false)? {
        return Err(Problem::not_yet("`explain`", "leave it out"));
    }
    let with_meta = query.take_flag("meta", true)?;
    let as_of = query.take("as_of").map(|text| text_time(&text)).transpose()?;
    let mut body = Vec::with_capacity(ANSWER_BYTES);
    body.extend_from_slice(b"{\"entity\":");
    let key = entity::of_texts(&face.keys, |name| query.take(name), &mut body);
    let fields = request_fields::of_texts(&face.request, |name| query.take(name));
    let key = finish_entity(key, &fields, &query, &face)?;
    let one = OneJob::new(job, face, app.served.clock.now(), !with_meta);
    if let Some(failure) = one.failure() {
        return Err(failure.clone());
    }

    if with_meta {
        body.push(b',');
    } else {
        // Whoever asks for one entity knows which.
        body.truncate(1);
    }
    let calls_guests = one.face.calls_guests;
    let answer = move || one_entity(&one, (key, fields), as_of, with_meta, body);
    let body = if calls_guests { app.pool.run(|_| answer()).await? } else { answer()? };
    Ok(json_response(body))
}

/// Appends the values to an answer that begins with the entity.
fn one_entity(
    one: &OneJob,
    (key, fields): (Key, Vec<Field>),
    as_of: Option<EventTime>,
    with_meta: bool,
    mut body: Vec<u8>,
) -> Result<Vec<u8>, Problem> {
    body.extend_from_slice(b"\"features\":{");
    let found = one.look(&key, as_of).map_err(|no_values| match no_values {
        NoValues::OutOfReach(reason) => Problem::malformed(reason),
        NoValues::Nobody(problem) => problem,
    })?;
    let entity = OneEntity { key, found, fields };
    let derived: Vec<usize> = (0..one.face.derived.len()).collect();
    let computed = one.compute(&derived, [Some(&entity)]);
    let features = one.face.all().map(|feature| (feature, feature.label()));
    one.push_values((0, &entity), &computed, features, &mut body);
    body.push(b'}');
    if with_meta {
        body.extend_from_slice(b",\"jobs\":{");
        one.push_meta(as_of, &mut body);
        body.push(b'}');
    }
    body.push(b'}');
    Ok(body)
}

/// A job without window or aggregate has no entity, whatever key is given.
pub(crate) fn refuse_without_entity(face: &Face) -> Result<(), Problem> {
    match face.plan.stage {
        Some(_) => Ok(()),
        None => Err(Problem::not_found(LookupError::NoEntity(face.plan.name.clone()).to_string())),
    }
}

/// The key, or everything that is wrong with the parameters.
fn finish_entity(
    key: Result<Key, Vec<String>>,
    fields: &[Field],
    query: &Query<'_>,
    face: &Face,
) -> Result<Key, Problem> {
    let (key, mut errors) = match key {
        Ok(key) => (key, Vec::new()),
        Err(errors) => (Key::new(), errors),
    };
    errors.extend(request_fields::wrong(fields));
    if !query.is_empty() {
        let mut known: Vec<&str> = face.keys.iter().map(|key| key.name.as_str()).collect();
        known.extend(face.request.iter().map(|field| field.name.as_str()));
        known.extend(PARAMETERS.iter().map(|parameter| parameter.name));
        errors.extend(query.leftovers(&known));
        if face.keys.is_empty() {
            let name = &face.plan.name;
            errors.push(format!("job `{name}` has no key, so its one value is looked up without one"));
        }
    }
    if errors.is_empty() {
        Ok(key)
    } else {
        Err(Problem::of_reasons(Kind::Malformed, "the parameters", &errors))
    }
}

fn text_time(text: &str) -> Result<EventTime, Problem> {
    text.parse().map_err(|error| Problem::malformed(format!("`as_of`: {error}")))
}

#[cfg(test)]
mod tests {
    use super::PARAMETERS;
    use weir_plan::LOOKUP_PARAMETERS;

    #[test]
    fn no_field_of_a_request_can_be_called_as_a_parameter_is() {
        let known = PARAMETERS.iter().map(|parameter| parameter.name).chain(["explain"]);
        assert_eq!(known.collect::<Vec<_>>(), LOOKUP_PARAMETERS);
    }
}
