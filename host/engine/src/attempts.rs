//! The number of a job's next attempt: the high part of the revisions of its rows, by which stores tell newer from older.
//!
//! It has to be above those of all attempts before, also where the state that knew them is gone: dropped, lost with its
//! folder, or put back from an older copy. So it is at least as high as the clock says, too.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use weir_event::EventTime;
use weir_store::Commit;

/// 2024 begins here.
const FIRST_MILLIS: i64 = 1_704_067_200_000;
/// A quarter of an hour: by these, numbers stay below 2^21, above which revisions are no longer exact for JSON readers, for
/// 59 years, and a job may be started four times an hour before its numbers run ahead of the clock.
const UNIT_MILLIS: i64 = 900_000;

/// The numbers of attempts that no state knows any more, by job; a clone is the same.
#[derive(Debug, Clone, Default)]
pub(crate) struct Attempts {
    dropped: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl Attempts {
    /// A job's state is dropped that knew of attempts up to this one.
    pub(crate) fn dropped(&self, job: &str, attempt: u64) {
        let mut dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner);
        let highest = dropped.entry(job.to_owned()).or_default();
        *highest = attempt.max(*highest);
    }

    /// The number after `last`, which is that of its state, or 0.
    pub(crate) fn next(&self, job: &str, last: u64, now: EventTime) -> u64 {
        let dropped = self.dropped.lock().unwrap_or_else(PoisonError::into_inner).get(job).copied();
        let by_clock = (now.millis() - FIRST_MILLIS).max(0) / UNIT_MILLIS;
        (last.max(dropped.unwrap_or(0)) + 1).max(by_clock as u64)
    }
}

/// How many attempts the state of a job knows of; 0 where there is none.
pub fn attempts_of(head: &Commit, job: &str) -> u64 {
    let attempt = head.jobs.get(job).and_then(|manifest| manifest.body.get("attempt")?.as_u64());
    attempt.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_rise_over_starts_dropped_state_and_lost_state() {
        let now = EventTime::from_millis(FIRST_MILLIS + 100 * UNIT_MILLIS);
        let attempts = Attempts::default();
        assert_eq!(attempts.next("j", 0, now), 100);
        assert_eq!(attempts.next("j", 100, now), 101);
        attempts.dropped("j", 140);
        attempts.dropped("j", 120);
        assert_eq!((attempts.next("j", 0, now), attempts.next("other", 0, now)), (141, 100));
        assert_eq!(Attempts::default().next("j", 3, EventTime::from_millis(0)), 4);
    }
}
