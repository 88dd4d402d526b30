//! How many rows a second a store is given, and how long it is left alone after it has put something off.
//!
//! Knows durations since some fixed point. Must not wait.

use std::time::Duration;

/// The pause before what a store put off is tried again; it doubles with each try that follows.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Pauses differ by up to a half, so that what was put off together does not all come back together.
const JITTER_PER_CENT: u64 = 50;

/// How long to wait after so many tries; `of` makes the difference between those that wait.
pub(crate) fn pause(tries: u32, of: &str) -> Duration {
    let whole = FIRST_PAUSE.saturating_mul(1 << tries.min(16)).min(LONGEST_PAUSE);
    let chance = xxhash_rust::xxh3::xxh3_64_with_seed(of.as_bytes(), u64::from(tries)) % JITTER_PER_CENT;
    whole * (100 - chance) as u32 / 100
}

/// Rows at an even rate, without bursts: what a store has room for in a second is not saved for the next.
#[derive(Debug)]
pub(crate) struct Pace {
    rows_per_second: Option<u32>,
    /// When the rows that were let through have had their time.
    free_at: Duration,
}

impl Pace {
    pub(crate) fn new(rows_per_second: Option<u32>) -> Pace {
        Pace { rows_per_second, free_at: Duration::ZERO }
    }

    /// The most rows to let through at once: those of a tenth of a second.
    pub(crate) fn most_rows(&self) -> usize {
        self.rows_per_second.map_or(usize::MAX, |rate| (rate / 10).max(1) as usize)
    }

    /// When rows may be let through.
    pub(crate) fn free_at(&self) -> Duration {
        self.free_at
    }

    /// So many rows are let through now.
    pub(crate) fn let_through(&mut self, rows: usize, now: Duration) {
        if let Some(rate) = self.rows_per_second {
            self.free_at = self.free_at.max(now) + Duration::from_secs(1) * rows as u32 / rate;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_even_rate_is_kept_and_pauses_are_not_saved_up() {
        let mut pace = Pace::new(Some(100));
        assert_eq!(pace.most_rows(), 10);
        let mut now = Duration::from_secs(5);
        for _ in 0..10 {
            assert!(pace.free_at() <= now);
            pace.let_through(10, now);
            now = pace.free_at();
        }
        assert_eq!(now, Duration::from_secs(6));
        pace.let_through(10, Duration::from_secs(60));
        assert_eq!(pace.free_at(), Duration::from_millis(60_100));
        assert_eq!((Pace::new(None).most_rows(), Pace::new(Some(1)).most_rows()), (usize::MAX, 1));
    }
}
