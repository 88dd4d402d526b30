//! How many rows go into one guest call: as many as use under half of the budget, learnt from the calls before.
//! Results never depend on it. Knows fuel and row counts only.

use std::sync::atomic::{AtomicU32, Ordering};

/// Rows of the first call: enough to make its overhead small, few enough that most functions stay within budget.
const FIRST_ROWS: u32 = 256;
/// Rows of the largest call: beyond it a call's overhead is nothing.
const MAX_ROWS: u32 = 8192;

#[derive(Debug)]
pub(crate) struct Pace {
    rows: AtomicU32,
    fuel_per_call: u64,
}

impl Pace {
    pub(crate) fn new(fuel_per_call: u64) -> Self {
        Pace { rows: AtomicU32::new(FIRST_ROWS), fuel_per_call }
    }

    /// Rows for the next call; at least one.
    pub(crate) fn rows(&self) -> usize {
        self.rows.load(Ordering::Relaxed) as usize
    }

    /// A call of so many rows used so much fuel.
    pub(crate) fn used(&self, rows: usize, fuel: u64) {
        let now = self.rows();
        // A call much smaller than the pace says little: its fixed cost would be taken for the rows'.
        if rows == 0 || rows * 2 < now {
            return;
        }
        let per_row = fuel.div_ceil(rows as u64).max(1);
        let fitting = (self.fuel_per_call / 2 / per_row).min(u64::from(MAX_ROWS)) as usize;
        let next = fitting.min(now * 2).max(1);
        self.rows.store(next as u32, Ordering::Relaxed);
    }

    /// So many rows were too many.
    pub(crate) fn too_many(&self, rows: usize) {
        let next = (rows / 2).clamp(1, MAX_ROWS as usize);
        self.rows.fetch_min(next as u32, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_settle_below_half_of_the_budget() {
        let pace = Pace::new(1_000_000);
        for _ in 0..20 {
            let rows = pace.rows();
            pace.used(rows, rows as u64 * 1000 + 50);
        }
        assert!((250..=500).contains(&pace.rows()), "{}", pace.rows());
        pace.too_many(pace.rows());
        assert!((125..=250).contains(&pace.rows()), "{}", pace.rows());
    }

    #[test]
    fn it_stays_within_its_bounds() {
        let pace = Pace::new(1_000_000);
        for _ in 0..20 {
            pace.used(pace.rows(), 1);
        }
        assert_eq!(pace.rows(), MAX_ROWS as usize);
        for _ in 0..20 {
            pace.too_many(pace.rows());
        }
        assert_eq!(pace.rows(), 1);
        pace.used(1, 10_000_000);
        assert_eq!(pace.rows(), 1);
    }
}
