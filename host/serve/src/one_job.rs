//! A job as one request asks it: what holds for all entities of the request, and the values of each.
//!
//! Knows the engine's answers and when there is none. Must not know routes, or how a request is written.

use crate::derived::{Computed, OfEntity};
use crate::entity::{Key, push_json};
use crate::face::{Face, OneFeature};
use crate::problem::{Kind, Problem};
use crate::request_fields::Field;
use crate::value::{Asked, push_failed, push_value};
use std::sync::Arc;
use weir_engine::{Answer, AsOf, Job, LookupError};
use weir_event::{EventTime, Span};

/// A job, with what a request finds it to be.
pub(crate) struct OneJob {
    pub(crate) face: Arc<Face>,
    job: Arc<Job>,
    /// The job's own time.
    time: Option<EventTime>,
    now: EventTime,
    stale: bool,
    catching_up: bool,
    since: Option<EventTime>,
    /// By result column, since when it has all rows, where that is later than for the job.
    begun: Arc<[Option<EventTime>]>,
    /// What to answer where it has failed.
    failure: Option<Problem>,
    /// Without what is not the value: `?meta=false`.
    lean: bool,
}

/// Why one entity's values cannot be given.
pub(crate) enum NoValues {
    /// `as_of` is further back than the job reaches.
    OutOfReach(String),
    /// Nobody's values can be given.
    Nobody(Problem),
}

/// One entity of a request.
pub(crate) struct OneEntity {
    pub(crate) key: Key,
    pub(crate) found: Found,
    /// What the request has for derived features.
    pub(crate) fields: Vec<Field>,
}

/// What was found of an entity.
pub(crate) enum Found {
    /// Values, and how they were asked for.
    Values(Box<Answer>, Asked),
    /// Nothing can be said of it, for this reason.
    Failed(String),
}

impl OneJob {
    pub(crate) fn new(job: Arc<Job>, face: Arc<Face>, now: EventTime, lean: bool) -> OneJob {
        let is_behind = |limit: Span| job.lag_ms() > limit.millis().max(0) as u64;
        let stale = job.stands_still() || face.plan.stale_after.is_some_and(is_behind);
        OneJob {
            time: job.time(),
            now,
            stale,
            catching_up: job.is_catching_up(),
            since: job.data_since(),
            begun: job.begun(),
            failure: job
                .failure()
                .map(|(reason, next_try)| Problem::job_failed(&face.plan.name, &reason, next_try, now)),
            lean,
            job,
            face,
        }
    }

    /// What to answer where nothing can be said but that the job has failed.
    pub(crate) fn failure(&self) -> Option<&Problem> {
        self.failure.as_ref()
    }

    /// Asks for an entity.
    pub(crate) fn look(&self, key: &Key, as_of: Option<EventTime>) -> Result<Found, NoValues> {
        if let Some(failure) = &self.failure {
            return Ok(Found::Failed(failure.detail().to_owned()));
        }
        // Where no event was read, the time makes no difference.
        let own = || AsOf::JobTime(self.time.unwrap_or(self.now));
        let answer = match self.job.lookup(key, as_of.map_or_else(own, AsOf::Asked)) {
            Ok(answer) => answer,
            Err(LookupError::Failed(reason)) => return Ok(Found::Failed(reason)),
            Err(
                error @ (LookupError::OutOfReach { .. }
                | LookupError::NotKeptYet { .. }
                | LookupError::InSeconds { .. }),
            ) => {
                return Err(NoValues::OutOfReach(error.to_string()));
            }
            Err(error @ LookupError::NoEntity(_)) => {
                return Err(NoValues::Nobody(Problem::not_found(error.to_string())));
            }
            Err(error @ LookupError::Starting(_)) => {
                return Err(NoValues::Nobody(Problem::new(Kind::Unavailable, error.to_string())));
            }
        };
        let asked = Asked {
            time: as_of.or(self.time).map(|_| answer.as_of),
            stale: self.stale,
            catching_up: self.catching_up,
            since: self.since,
            lean: self.lean,
        };
        Ok(Found::Values(Box::new(answer), asked))
    }

    /// Computes these of its derived features for some entities.
    pub(crate) fn compute<'e>(
        &self,
        derived: &[usize],
        entities: impl IntoIterator<Item = Option<&'e OneEntity>>,
    ) -> Computed {
        let entities = entities.into_iter().map(|entity| self.of_entity(entity?).ok());
        Computed::of(&self.face, derived, &entities.collect::<Vec<_>>())
    }

    /// What was found of an entity, or why there is nothing.
    fn of_entity<'e>(&'e self, entity: &'e OneEntity) -> Result<OfEntity<'e>, &'e str> {
        let OneEntity { key, found, fields } = entity;
        match found {
            Found::Values(answer, asked) => {
                Ok(OfEntity { key, answer, asked: *asked, begun: &self.begun, fields })
            }
            Found::Failed(reason) => Err(reason),
        }
    }

    /// Appends these features to an open object, each with its label; the entity is one of those that the derived ones were
    /// computed for, the one in this row.
    pub(crate) fn push_values<'f>(
        &self,
        (row, entity): (usize, &OneEntity),
        computed: &Computed,
        features: impl Iterator<Item = (OneFeature<'f>, &'f [u8])>,
        out: &mut Vec<u8>,
    ) {
        let of = match self.of_entity(entity) {
            Ok(of) => of,
            Err(reason) => return self.push_errors(reason, features, out),
        };
        for (feature, label) in features {
            push_label(label, out);
            match feature {
                OneFeature::Stored(feature) => {
                    push_value(feature, of.answer, of.asked.of(feature, of.begun), out);
                }
                OneFeature::Derived(at, _) => computed.push(&self.face, at, (row, of), out),
            }
        }
    }

    /// Appends these features, none of which can be given for this reason.
    pub(crate) fn push_errors<'f>(
        &self,
        reason: &str,
        features: impl Iterator<Item = (OneFeature<'f>, &'f [u8])>,
        out: &mut Vec<u8>,
    ) {
        for (_, label) in features {
            push_label(label, out);
            push_failed(reason, self.lean, out);
        }
    }

    /// Appends the job's member of `jobs`; `as_of` is what the request asks for.
    pub(crate) fn push_meta(&self, as_of: Option<EventTime>, out: &mut Vec<u8>) {
        let mut extra = Vec::new();
        if self.catching_up
            && self.failure.is_none()
            && let Some(behind) = self.job.behind()
        {
            extra.extend_from_slice(b",\"behind\":");
            push_json(&behind, &mut extra);
        }
        // Read behind the lookups, so that no window that they call complete ends after it.
        self.face.push_meta(self.job.watermark(), as_of.or(self.time), &extra, out);
    }
}

/// Appends a member's name to an open object.
pub(crate) fn push_label(label: &[u8], out: &mut Vec<u8>) {
    if out.last() != Some(&b'{') {
        out.push(b',');
    }
    out.extend_from_slice(label);
}
