//! The pace at which a sink is given what waits of the past for it.
//!
//! Knows rows and times as numbers; must not know what the rows are.

use std::time::Duration;

/// What was not used of the pace, because no clock wakes anybody to the microsecond, is made up for as far as this: longer
/// pauses are not, so that rows never come in a burst.
const MADE_UP_FOR: Duration = Duration::from_millis(100);

/// A pace in rows a second.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When the next rows are due; on a clock that only goes on.
    next: Duration,
}

impl Pace {
    /// How long the next rows have to wait.
    pub(super) fn wait(&self, now: Duration) -> Duration {
        self.next.saturating_sub(now)
    }

    /// So many rows are given now.
    pub(super) fn spend(&mut self, rows: u64, rate: u64, now: Duration) {
        let took = Duration::from_secs_f64(rows as f64 / rate.max(1) as f64);
        self.next = self.next.max(now.saturating_sub(MADE_UP_FOR)).saturating_add(took);
    }
}

/// Rows that go together at a pace: a tenth of a second's, so that they come evenly and later ones need not wait for long.
pub(crate) fn together(rate: u64) -> usize {
    usize::try_from(rate / 10).unwrap_or(usize::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_evenly_and_a_pause_is_not_made_up_for_by_a_burst() {
        let mut pace = Pace::default();
        let (mut now, mut given) = (Duration::from_secs(7), 0);
        for _ in 0..2000 {
            // Whoever waits wakes late.
            now += pace.wait(now) + Duration::from_micros(900);
            given += 10;
            pace.spend(10, 10_000, now);
        }
        let seconds = now.saturating_sub(Duration::from_secs(7)).as_secs_f64();
        assert!((1.8..=2.05).contains(&seconds), "{given} rows in {seconds} s");
        now += Duration::from_secs(3600);
        let begun = now;
        for _ in 0..1000 {
            now += pace.wait(now);
            pace.spend(10, 10_000, now);
        }
        let took = now.saturating_sub(begun);
        assert!(took >= Duration::from_millis(890), "{took:?}");
    }

    #[test]
    fn what_goes_together_is_a_tenth_of_a_second_s_and_never_nothing() {
        assert_eq!((together(1000), together(3), together(1)), (100, 1, 1));
    }
}
