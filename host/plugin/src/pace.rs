//! How many rows go into one guest call: as many as use under half of the budget that a call leaves to them, learnt from
//! the calls before. Results never depend on it. Knows fuel and row counts only.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Rows of the first call: enough to make its overhead small, few enough that most functions stay within budget.
const FIRST_ROWS: usize = 256;
/// Rows of the largest call: beyond it a call's overhead is nothing.
const MAX_ROWS: usize = 8192;
/// What a call counts for in the estimate once another has come: rows change what they cost.
const REMEMBERED: f64 = 0.9;
/// Row counts that differ less than this, as a variance over the squared mean, tell nothing of what a call costs beside
/// its rows.
const LEAST_SPREAD: f64 = 1e-4;

/// What a call that was too large would have used is not known, only that it is more than the budget: taken for so many of
/// them, the next ones are clearly smaller.
const BEYOND: u64 = 4;

#[derive(Debug)]
pub(crate) struct Pace {
    fuel_per_call: u64,
    learnt: Mutex<Learnt>,
}

#[derive(Debug)]
struct Learnt {
    /// Rows for the next call.
    rows: usize,
    costs: Costs,
}

impl Pace {
    pub(crate) fn new(fuel_per_call: u64) -> Self {
        Pace { fuel_per_call, learnt: Mutex::new(Learnt { rows: FIRST_ROWS, costs: Costs::default() }) }
    }

    /// Rows for the next call; at least one.
    pub(crate) fn rows(&self) -> usize {
        self.learnt().rows
    }

    /// A call of so many rows used so much fuel.
    pub(crate) fn used(&self, rows: usize, fuel: u64) {
        if rows == 0 {
            return;
        }
        let mut learnt = self.learnt();
        learnt.costs.add(rows, fuel);
        let now = learnt.rows;
        let fitting = match learnt.costs.estimate() {
            Some((of_call, of_row)) => {
                let left = (self.fuel_per_call as f64 - of_call).max(0.0);
                (left / 2.0 / of_row.max(f64::MIN_POSITIVE)).min(MAX_ROWS as f64) as usize
            }
            // A call much smaller than the pace says little: its fixed cost would be taken for the rows'.
            None if rows * 2 < now => return,
            // What a call costs beside its rows shows when the next one differs.
            None if fuel <= self.fuel_per_call / 4 * 3 => {
                let of_row = fuel.div_ceil(rows as u64).max(1);
                ((self.fuel_per_call / 2 / of_row) as usize).max(rows + 1)
            }
            None => rows / 2,
        };
        learnt.rows = fitting.min(now * 2).clamp(1, MAX_ROWS);
    }

    /// So many rows were too many.
    pub(crate) fn too_many(&self, rows: usize) {
        let mut learnt = self.learnt();
        learnt.costs.add(rows, self.fuel_per_call.saturating_mul(BEYOND));
        learnt.rows = learnt.rows.min(rows / 2).max(1);
    }

    fn learnt(&self) -> MutexGuard<'_, Learnt> {
        self.learnt.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sums over the calls before, the newest weighing most: for the line of least squares of fuel over rows.
#[derive(Debug, Default)]
struct Costs {
    weight: f64,
    rows: f64,
    fuel: f64,
    rows_squared: f64,
    rows_by_fuel: f64,
}

impl Costs {
    fn add(&mut self, rows: usize, fuel: u64) {
        let (rows, fuel) = (rows as f64, fuel as f64);
        let sums = [
            (&mut self.weight, 1.0),
            (&mut self.rows, rows),
            (&mut self.fuel, fuel),
            (&mut self.rows_squared, rows * rows),
            (&mut self.rows_by_fuel, rows * fuel),
        ];
        for (sum, of_call) in sums {
            *sum = *sum * REMEMBERED + of_call;
        }
    }

    /// What a call costs beside its rows, and what a row costs; `None` where all calls had as many rows.
    fn estimate(&self) -> Option<(f64, f64)> {
        let mean = |sum: f64| sum / self.weight;
        let (rows, fuel) = (mean(self.rows), mean(self.fuel));
        let spread = mean(self.rows_squared) - rows * rows;
        if spread <= rows * rows * LEAST_SPREAD {
            return None;
        }
        // Neither costs less than nothing, whatever chance says.
        let of_row = ((mean(self.rows_by_fuel) - rows * fuel) / spread).clamp(0.0, fuel / rows);
        Some((fuel - of_row * rows, of_row))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pace after so many full calls of a guest that costs this much, and how many of them went beyond the budget.
    fn settled(of_call: u64, of_row: u64) -> (usize, usize) {
        let (pace, mut failed) = (Pace::new(1_000_000), 0);
        for _ in 0..100 {
            let rows = pace.rows();
            let fuel = of_call + rows as u64 * of_row;
            if fuel > 1_000_000 {
                failed += 1;
                pace.too_many(rows);
            } else {
                pace.used(rows, fuel);
            }
        }
        (pace.rows(), failed)
    }

    #[test]
    fn calls_settle_below_half_of_the_budget() {
        let (rows, failed) = settled(50, 1000);
        // What is left beside the fixed cost is estimated.
        assert!((250..=510).contains(&rows) && failed == 0, "{rows} rows, {failed} failed");
        let pace = Pace::new(1_000_000);
        pace.too_many(256);
        assert_eq!(pace.rows(), 128);
    }

    #[test]
    fn a_fixed_cost_does_not_drive_calls_down_to_one_row() {
        for of_call in [400_000, 500_000, 700_000, 900_000] {
            let (rows, failed) = settled(of_call, 10);
            let fitting = ((1_000_000 - of_call as usize) / 20).min(MAX_ROWS);
            assert!(rows >= fitting / 2 && rows <= fitting * 2 && failed <= 5, "{of_call}: {rows}, {failed}");
        }
    }

    #[test]
    fn a_row_that_costs_nearly_all_comes_alone() {
        let (rows, failed) = settled(0, 600_000);
        assert!(rows <= 2 && failed <= 20, "{rows} rows, {failed} failed");
    }

    #[test]
    fn it_stays_within_its_bounds() {
        let pace = Pace::new(1_000_000);
        for _ in 0..20 {
            pace.used(pace.rows(), 1);
        }
        assert_eq!(pace.rows(), MAX_ROWS);
        for _ in 0..20 {
            pace.too_many(pace.rows());
        }
        assert_eq!(pace.rows(), 1);
        pace.used(1, 10_000_000);
        assert_eq!(pace.rows(), 1);
    }

    #[test]
    fn single_rows_do_not_slow_a_batch_down_that_comes_behind_them() {
        let pace = Pace::new(1_000_000);
        for _ in 0..100 {
            pace.used(1, 500_010);
        }
        assert_eq!(pace.rows(), FIRST_ROWS);
        pace.used(256, 502_560);
        assert!(pace.rows() >= FIRST_ROWS, "{}", pace.rows());
    }
}
