//! How fresh a job is: the time that its lookups are as of, and whether it is far behind the end of its log.
//!
//! The *job's time* is the newest event time read from any partition, going on at the wall's pace since it was read,
//! and never later than now. Over live data that is now; over old or replayed data it is the data's own time. Seen
//! from the wall it is one number, the least distance behind it at which an event was read, which only falls: the
//! job's time never steps back, and the number in a commit brings it back after a restart.
//!
//! Asks no clock: whoever calls says what time it is.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use weir_event::{EventTime, Span};

/// A job that has not been at the end of its log for so long, and whose newest event is so far back, is behind. A busy
/// log is seldom read to its very end, however little is missing.
const BEHIND_AFTER: Duration = Duration::from_secs(10);

/// In place of a distance, before any event.
const NOTHING_READ: i64 = i64::MAX;
/// In place of a time since when something is unread.
const ALL_READ: i64 = i64::MIN;

/// Told by who reads, asked by lookups.
#[derive(Debug)]
pub(crate) struct Freshness {
    /// How far the job's time is behind the wall's, milliseconds.
    distance: AtomicI64,
    /// Since when not everything was read, monotonic milliseconds.
    unread_since: AtomicI64,
}

impl Default for Freshness {
    fn default() -> Self {
        Freshness { distance: AtomicI64::new(NOTHING_READ), unread_since: AtomicI64::new(0) }
    }
}

impl Freshness {
    /// Goes on from what a commit says; one of an older weir says only what the newest event was.
    pub(crate) fn restart(&self, distance: Option<Span>, newest: Option<EventTime>, now: EventTime) {
        match (distance, newest) {
            (Some(distance), _) => self.come_closer(distance),
            (None, Some(newest)) => self.heard(newest, now),
            (None, None) => {}
        }
    }

    /// An event was read whose time can be.
    pub(crate) fn heard(&self, newest: EventTime, now: EventTime) {
        self.come_closer(now.since(newest));
    }

    fn come_closer(&self, distance: Span) {
        self.distance.fetch_min(distance.millis().max(0), Ordering::AcqRel);
    }

    /// How far the job's time is behind the wall's; `None` before any event.
    pub(crate) fn distance(&self) -> Option<Span> {
        let millis = self.distance.load(Ordering::Acquire);
        (millis != NOTHING_READ).then(|| Span::from_millis(millis))
    }

    /// The job's time; there is none before any event.
    pub(crate) fn time(&self, now: EventTime) -> Option<EventTime> {
        self.distance().map(|distance| now - distance)
    }

    /// Every partition was read to its present end.
    pub(crate) fn caught_up(&self) {
        self.unread_since.store(ALL_READ, Ordering::Release);
    }

    /// Something is there that was not read yet.
    pub(crate) fn left_end(&self, monotonic: Duration) {
        let since = monotonic.as_millis() as i64;
        // It fails where something was unread before, which is since then.
        let _ = self.unread_since.compare_exchange(ALL_READ, since, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Whether every partition was read to its end.
    pub(crate) fn is_caught_up(&self) -> bool {
        self.unread_since.load(Ordering::Acquire) == ALL_READ
    }

    /// Whether a job that was once at its log's end has fallen far behind it; `lag` is how old its newest event is.
    pub(crate) fn has_fallen_behind(&self, monotonic: Duration, lag: Duration) -> bool {
        let since = self.unread_since.load(Ordering::Acquire);
        let unread_ms = (monotonic.as_millis() as i64).saturating_sub(since);
        since != ALL_READ && unread_ms > BEHIND_AFTER.as_millis() as i64 && lag > BEHIND_AFTER
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> EventTime {
        EventTime::from_millis(seconds * 1000)
    }

    #[test]
    fn the_job_s_time_goes_on_at_the_wall_s_pace_and_never_back() {
        let freshness = Freshness::default();
        assert_eq!(freshness.time(at(1000)), None);
        freshness.heard(at(100), at(1000));
        assert_eq!(freshness.time(at(1000)), Some(at(100)));
        assert_eq!(freshness.time(at(1007)), Some(at(107)));
        // An event that lies behind the job's time by now says nothing new.
        freshness.heard(at(105), at(1008));
        assert_eq!(freshness.time(at(1008)), Some(at(108)));
        freshness.heard(at(500), at(1009));
        assert_eq!(freshness.time(at(1010)), Some(at(501)));
        freshness.heard(at(2000), at(1011));
        assert_eq!(freshness.time(at(1011)), Some(at(1011)), "never later than now");
    }

    #[test]
    fn a_restart_goes_on_where_it_would_be_without_one() {
        let freshness = Freshness::default();
        freshness.heard(at(100), at(1000));
        let after = Freshness::default();
        after.restart(freshness.distance(), Some(at(100)), at(1060));
        assert_eq!(after.time(at(1060)), Some(at(160)));
        let from_older = Freshness::default();
        from_older.restart(None, Some(at(100)), at(1060));
        assert_eq!(from_older.time(at(1061)), Some(at(101)));
        // An attempt that begins anew in the same process does not go back to its commit.
        after.heard(at(900), at(1065));
        after.restart(freshness.distance(), Some(at(100)), at(1070));
        assert_eq!(after.time(at(1070)), Some(at(905)));
    }

    #[test]
    fn behind_is_who_was_long_not_at_the_end_and_reads_old_events() {
        let freshness = Freshness::default();
        let second = Duration::from_secs;
        freshness.caught_up();
        assert!(!freshness.has_fallen_behind(second(100), second(100)));
        freshness.left_end(second(100));
        freshness.left_end(second(109));
        assert!(!freshness.has_fallen_behind(second(110), second(100)));
        assert!(freshness.has_fallen_behind(second(111), second(100)));
        assert!(!freshness.has_fallen_behind(second(111), second(1)), "a busy log of new events");
        freshness.caught_up();
        assert!(freshness.is_caught_up() && !freshness.has_fallen_behind(second(200), second(100)));
    }
}
