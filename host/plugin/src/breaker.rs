//! Stops a plugin that misbehaves on much of what it is given: its job fails with the reason instead of burning
//! processor time on rows that end as dead letters. Counts rows with a verdict, so that how rows are cut into
//! calls does not matter.

use std::sync::{Mutex, PoisonError};

/// Rows over which misbehaviour is counted, and how many of them open the breaker: one row in ten.
const WINDOW_ROWS: u64 = 1000;
/// As above.
const OPENS_AT: u64 = 100;

#[derive(Debug, Default)]
pub(crate) struct Breaker {
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    judged: u64,
    misbehaved: u64,
    open: Option<String>,
}

impl Breaker {
    /// The reason, if it is open.
    pub(crate) fn check(&self) -> Result<(), String> {
        match &self.lock().open {
            Some(reason) => Err(reason.clone()),
            None => Ok(()),
        }
    }

    /// So many rows got their results.
    pub(crate) fn passed(&self, rows: usize) {
        self.lock().judge(rows as u64);
    }

    /// A row made the plugin misbehave on its own.
    pub(crate) fn misbehaved(&self, reason: &str) {
        let mut counts = self.lock();
        counts.misbehaved += 1;
        if counts.misbehaved >= OPENS_AT {
            counts.open = Some(format!(
                "stopped after {OPENS_AT} bad rows among the last {WINDOW_ROWS}; upload a version that can take \
                 them, or roll back; the last one: {reason}"
            ));
        }
        counts.judge(1);
    }

    /// Closes it again.
    pub(crate) fn reset(&self) {
        *self.lock() = Counts::default();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn judge(&mut self, rows: u64) {
        self.judged += rows;
        if self.judged >= WINDOW_ROWS {
            self.judged = 0;
            self.misbehaved = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_row_in_ten_opens_it_and_fewer_do_not() {
        let breaker = Breaker::default();
        for _ in 0..10_000 {
            breaker.misbehaved("trapped");
            breaker.passed(10);
        }
        assert_eq!(breaker.check(), Ok(()));
        for _ in 0..200 {
            breaker.misbehaved("trapped");
            breaker.passed(8);
        }
        let reason = breaker.check().unwrap_err();
        assert!(reason.contains("the last one: trapped"), "{reason}");
        breaker.reset();
        assert_eq!(breaker.check(), Ok(()));
    }
}
