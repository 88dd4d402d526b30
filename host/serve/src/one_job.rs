//! A job as one request asks it: what holds for all entities of the request, and the values of each.
//!
//! Knows the engine's answers and when there is none. Must not know routes, or how a request is written.

use crate::entity::{Key, push_json};
use crate::face::{Face, FeatureFace};
use crate::problem::{Kind, Problem};
use crate::value::{Asked, push_failed, push_value};
use std::sync::Arc;
use weir_engine::{AsOf, Job, LookupError};
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

    /// Appends these features of one entity to an open object.
    pub(crate) fn push_values<'f>(
        &self,
        key: &Key,
        as_of: Option<EventTime>,
        features: impl Iterator<Item = (&'f FeatureFace, &'f Vec<u8>)>,
        out: &mut Vec<u8>,
    ) -> Result<(), NoValues> {
        if let Some(failure) = &self.failure {
            self.push_errors(failure.detail(), features, out);
            return Ok(());
        }
        // Where no event was read, the time makes no difference.
        let own = || AsOf::JobTime(self.time.unwrap_or(self.now));
        let answer = match self.job.lookup(key, as_of.map_or_else(own, AsOf::Asked)) {
            Ok(answer) => answer,
            Err(LookupError::Failed(reason)) => {
                self.push_errors(&reason, features, out);
                return Ok(());
            }
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
        for (feature, label) in features {
            let begun = self.begun.get(feature.served.column).copied().flatten();
            push_label(label, out);
            push_value(feature, &answer, Asked { since: self.since.max(begun), ..asked }, out);
        }
        Ok(())
    }

    /// Appends these features, none of which can be given for this reason.
    pub(crate) fn push_errors<'f>(
        &self,
        reason: &str,
        features: impl Iterator<Item = (&'f FeatureFace, &'f Vec<u8>)>,
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
