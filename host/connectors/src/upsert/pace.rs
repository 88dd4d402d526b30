//! How many rows a second a store is given.
//!
//! Knows durations since some fixed point. Must not wait.

use std::time::Duration;

/// Rows at an even rate, without bursts: what a store has room for in a second is not saved for the next.
#[derive(Debug)]
pub(super) struct Pace {
    rows_per_second: Option<u32>,
    /// When the rows that were let through have had their time.
    free_at: Duration,
}

impl Pace {
    pub(super) fn new(rows_per_second: Option<u32>) -> Pace {
        Pace { rows_per_second, free_at: Duration::ZERO }
    }

    /// The most rows to let through at once: those of a tenth of a second.
    pub(super) fn most_rows(&self) -> usize {
        self.rows_per_second.map_or(usize::MAX, |rate| (rate / 10).max(1) as usize)
    }

    /// When rows may be let through.
    pub(super) fn free_at(&self) -> Duration {
        self.free_at
    }

    /// So many rows are let through now.
    pub(super) fn let_through(&mut self, rows: usize, now: Duration) {
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
