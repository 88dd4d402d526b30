//! Stops a plugin that misbehaves on much of what a job gives it: the job fails with the reason instead of burning
//! processor time on rows that end as dead letters. After a pause it is tried again, and the first row with a verdict
//! decides. Counts rows with a verdict, so that how rows are cut into calls does not matter. Is told the time; must not
//! read a clock.

use serde::Serialize;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Rows over which misbehaviour is counted, and how many of them open the breaker: one row in ten.
const WINDOW_ROWS: u64 = 1000;
/// As above.
const OPENS_AT: u64 = 100;
/// How long it stays open before it is tried again: long enough that a plugin which goes on so costs next to nothing,
/// short enough that a job whose bad rows have passed is soon back.
const PAUSE: Duration = Duration::from_secs(10);

/// Whether calls are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BreakerStatus {
    /// They are.
    Closed,
    /// They are not.
    Open,
    /// They are again, until the first row decides.
    HalfOpen,
}

#[derive(Debug, Default)]
pub(crate) struct Breaker {
    switch: Mutex<Switch>,
}

#[derive(Debug)]
enum Switch {
    Closed {
        judged: u64,
        misbehaved: u64,
    },
    /// Since that time.
    Open {
        reason: String,
        since: Duration,
    },
    HalfOpen,
}

impl Default for Switch {
    fn default() -> Self {
        Switch::Closed { judged: 0, misbehaved: 0 }
    }
}

impl Breaker {
    /// Asked before a call: the reason why it is not to be made. The first one after the pause is a trial. Others that
    /// come during a trial are not refused: a refusal stops the whole job, also when the trial succeeds.
    pub(crate) fn check(&self, now: Duration) -> Result<(), String> {
        let mut switch = self.lock();
        match &*switch {
            Switch::Open { reason, since } if now.saturating_sub(*since) < PAUSE => Err(reason.clone()),
            Switch::Open { .. } => {
                *switch = Switch::HalfOpen;
                Ok(())
            }
            Switch::Closed { .. } | Switch::HalfOpen => Ok(()),
        }
    }

    /// So many rows got their results.
    pub(crate) fn passed(&self, rows: usize) {
        let mut switch = self.lock();
        match &mut *switch {
            Switch::Closed { judged, misbehaved } => judge(judged, misbehaved, rows as u64),
            Switch::HalfOpen if rows > 0 => *switch = Switch::default(),
            // A call that was on its way when others opened it says nothing of what comes after.
            Switch::HalfOpen | Switch::Open { .. } => {}
        }
    }

    /// A row made the plugin misbehave on its own.
    pub(crate) fn misbehaved(&self, reason: &str, now: Duration) {
        let mut switch = self.lock();
        let why = match &mut *switch {
            Switch::Closed { judged, misbehaved } => {
                *misbehaved += 1;
                if *misbehaved < OPENS_AT {
                    judge(judged, misbehaved, 1);
                    return;
                }
                format!("stopped after {OPENS_AT} bad rows among the last {WINDOW_ROWS}")
            }
            Switch::HalfOpen => "stopped again by the first row that it was tried on".to_owned(),
            Switch::Open { .. } => return,
        };
        let pause = PAUSE.as_secs();
        let reason = format!(
            "{why}, and tried again after {pause} s; upload a version that can take them, or roll back; the last one: \
             {reason}"
        );
        *switch = Switch::Open { reason, since: now };
    }

    /// How it stands, and why where it is open: also after the pause, until a call tries.
    pub(crate) fn shown(&self) -> (BreakerStatus, Option<String>) {
        match &*self.lock() {
            Switch::Closed { .. } => (BreakerStatus::Closed, None),
            Switch::Open { reason, .. } => (BreakerStatus::Open, Some(reason.clone())),
            Switch::HalfOpen => (BreakerStatus::HalfOpen, None),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Switch> {
        self.switch.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn judge(judged: &mut u64, misbehaved: &mut u64, rows: u64) {
    *judged += rows;
    if *judged >= WINDOW_ROWS {
        (*judged, *misbehaved) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(3);

    fn opened() -> Breaker {
        let breaker = Breaker::default();
        for _ in 0..200 {
            breaker.misbehaved("trapped", START);
            breaker.passed(8);
        }
        breaker
    }

    #[test]
    fn one_bad_row_in_ten_opens_it_and_fewer_do_not() {
        let breaker = Breaker::default();
        for _ in 0..10_000 {
            breaker.misbehaved("trapped", START);
            breaker.passed(10);
        }
        assert_eq!(breaker.check(START), Ok(()));
        let reason = opened().check(START).unwrap_err();
        assert!(reason.contains("the last one: trapped"), "{reason}");
    }

    #[test]
    fn after_a_pause_the_first_row_decides() {
        let breaker = opened();
        let soon = (START + PAUSE).saturating_sub(Duration::from_millis(1));
        breaker.passed(1000);
        assert!(breaker.check(soon).is_err());
        assert_eq!(breaker.shown().0, BreakerStatus::Open);
        assert_eq!(breaker.check(START + PAUSE), Ok(()));
        assert_eq!(breaker.shown(), (BreakerStatus::HalfOpen, None));
        // No row says nothing.
        breaker.passed(0);
        breaker.misbehaved("trapped again", START + PAUSE);
        let reason = breaker.check(START + PAUSE).unwrap_err();
        assert!(reason.contains("trapped again"), "{reason}");
        let later = START + PAUSE * 2;
        assert_eq!(breaker.check(later), Ok(()));
        breaker.passed(1);
        assert_eq!(breaker.shown(), (BreakerStatus::Closed, None));
        // It has forgotten what was before: one bad row is one of many again.
        breaker.misbehaved("trapped", later);
        assert_eq!(breaker.check(later), Ok(()));
    }
}
