//! Where the revisions of a job's next attempt begin, by which stores tell newer rows from older ones.
//!
//! They are above those of all attempts before, also where the state that knew them is gone: dropped, lost with its folder,
//! or put back from an older copy. So they rise with the clock; where that stands still or was put back, they rise all the
//! same, as far as the state says where they were.

use crate::manifest::Body;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use weir_event::EventTime;
use weir_store::Commit;

/// 2024 begins here.
const FIRST_MILLIS: i64 = 1_704_067_200_000;
/// Revisions by which the clock goes ahead in a millisecond: more than there are batches in one, so that whatever an attempt
/// has written is below what the clock says when it has ended. Revisions stay below 2^53, where JSON readers lose whole
/// numbers, until 2093.
const PER_MILLISECOND: u64 = 4096;
/// More batches than an attempt can write: what the clock does not say is at most so far above where the attempt began.
const PER_ATTEMPT: u64 = 1 << 32;

/// Where the revisions of attempts began that no state knows any more, by job; a clone is the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Revisions {
    dropped: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl Revisions {
    /// A job's state is dropped whose newest attempt began here.
    pub(crate) fn dropped(&self, job: &str, began: u64) {
        let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        let highest = dropped.entry(job.to_owned()).or_default();
        *highest = began.max(*highest);
    }

    /// Where the next attempt begins, after one that began at `last`; 0 where there is none.
    pub(crate) fn next(&self, job: &str, last: u64, now: EventTime) -> u64 {
        let dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner).get(job).copied();
        let last = last.max(dropped.unwrap_or(0));
        let by_clock = (now.millis() - FIRST_MILLIS).max(0) as u64 * PER_MILLISECOND;
        if by_clock > last { by_clock } else { last + PER_ATTEMPT }
    }
}

impl Body {
    /// Where the revisions of its attempt began: all earlier ones are at most this, also those that no checkpoint knows of.
    pub(crate) fn revised_up_to(&self) -> u64 {
        began(self.revised, self.attempt)
    }
}

/// An older weir numbered the revisions of each attempt by its number.
fn began(revised: u64, attempt: u64) -> u64 {
    if revised == 0 { attempt.saturating_mul(PER_ATTEMPT) } else { revised }
}

/// Where the revisions of a job's newest attempt began, as its state says; 0 where there is none.
pub fn revised_up_to(head: &Commit, job: &str) -> u64 {
    let number = |key: &str| head.jobs.get(job).and_then(|manifest| manifest.body.get(key)?.as_u64());
    began(number("revised").unwrap_or(0), number("attempt").unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_rise_over_starts_dropped_state_and_lost_state() {
        let at = |millis: i64| EventTime::from_millis(FIRST_MILLIS + millis);
        let revisions = Revisions::default();
        let first = revisions.next("j", 0, at(1000));
        assert_eq!(first, 1000 * PER_MILLISECOND);
        // State that is gone a moment later, a clock that stands still, one that was put back.
        assert!(Revisions::default().next("j", 0, at(1001)) > first + 1000);
        assert_eq!(revisions.next("j", first, at(1000)), first + PER_ATTEMPT);
        assert_eq!(revisions.next("j", first, at(-5)), first + PER_ATTEMPT);
        revisions.dropped("j", first + PER_ATTEMPT);
        revisions.dropped("j", first);
        assert_eq!(revisions.next("j", 0, at(1002)), first + 2 * PER_ATTEMPT);
        assert_eq!(revisions.next("other", 0, at(1002)), 1002 * PER_MILLISECOND);
    }

    #[test]
    fn state_of_an_older_weir_says_where_its_revisions_were() {
        assert_eq!((began(0, 3), began(7, 3)), (3 * PER_ATTEMPT, 7));
    }
}
