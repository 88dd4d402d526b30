//! How long to wait before what failed is tried again.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// The pause after the first failure; it doubles with each that follows.
const FIRST: Duration = Duration::from_secs(1);
/// The longest pause: somebody who has made a topic looks for the job's rows soon after.
const LAST: Duration = Duration::from_mins(1);
/// Whoever has run so long before failing has not failed for the reason of the time before.
const FORGIVEN_AFTER: Duration = Duration::from_mins(1);
/// Pauses differ by up to a fifth, so that jobs which failed together do not come back together.
const JITTER_PER_CENT: u64 = 20;

/// Pauses between tries: from a second to a minute, doubled each time.
///
/// ```
/// use std::time::Duration;
/// let mut back_off = weir_engine::BackOff::default();
/// assert!(back_off.after(Duration::ZERO) <= Duration::from_secs(1));
/// assert!(back_off.after(Duration::ZERO) > Duration::from_secs(1));
/// ```
#[derive(Debug)]
pub struct BackOff {
    failures: u32,
    longest: Duration,
}

impl Default for BackOff {
    fn default() -> Self {
        BackOff::up_to(LAST)
    }
}

impl BackOff {
    /// One with shorter pauses.
    pub(crate) fn up_to(longest: Duration) -> Self {
        BackOff { failures: 0, longest }
    }

    /// The pause after a failure of something that had run for `ran`.
    pub fn after(&mut self, ran: Duration) -> Duration {
        if ran >= FORGIVEN_AFTER {
            self.failures = 0;
        }
        let whole = FIRST.saturating_mul(1 << self.failures.min(16)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        whole * (100 - chance(JITTER_PER_CENT)) as u32 / 100
    }
}

/// A number below `bound` that differs from process to process and call to call.
fn chance(bound: u64) -> u64 {
    RandomState::new().build_hasher().finish() % bound
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_from_a_second_to_a_minute_and_begin_anew_after_a_long_run() {
        let mut back_off = BackOff::default();
        let pauses: Vec<Duration> = (0..40).map(|_| back_off.after(Duration::ZERO)).collect();
        for (nth, pause) in pauses.iter().enumerate() {
            let whole = Duration::from_secs(1 << nth.min(6)).min(LAST);
            assert!(*pause <= whole && *pause >= whole * 4 / 5, "pause {nth} is {pause:?}");
        }
        assert!(back_off.after(FORGIVEN_AFTER) <= FIRST);
        let mut shorter = BackOff::up_to(Duration::from_secs(2));
        assert!((0..40).all(|_| shorter.after(Duration::ZERO) <= Duration::from_secs(2)));
    }
}
