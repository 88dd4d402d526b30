//! Waits that are made of a clock's: again and again, and for something else but not for ever.

use super::{Clock, Sleep};
use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// Waits for some work, but no longer than `patience`: `None` if that has passed first.
///
/// ```
/// use std::{future::{pending, ready}, pin::pin, task::{Context, Poll, Waker}, time::Duration};
/// use weir_event::{ManualClock, within};
/// let clock = ManualClock::default();
/// let (mut done, mut never) =
///     (pin!(within(&clock, Duration::ZERO, ready(1))), pin!(within(&clock, Duration::from_secs(9), pending::<()>())));
/// let mut context = Context::from_waker(Waker::noop());
/// assert_eq!(done.as_mut().poll(&mut context), Poll::Ready(Some(1)));
/// assert_eq!(never.as_mut().poll(&mut context), Poll::Pending);
/// clock.advance(Duration::from_secs(9));
/// assert_eq!(never.as_mut().poll(&mut context), Poll::Ready(None));
/// ```
pub async fn within<F: Future>(clock: &dyn Clock, patience: Duration, work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    // Work that is done at once costs no wait.
    let mut wait: Option<Sleep> = None;
    std::future::poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => {
            let wait = wait.get_or_insert_with(|| clock.sleep(patience));
            wait.as_mut().poll(context).map(|()| None)
        }
    })
    .await
}

/// A wait that comes again and again. Whoever was busy at a tick's time gets it late, and the next one a whole span
/// after it.
pub struct Ticks {
    clock: Arc<dyn Clock>,
    every: Duration,
    next: Sleep,
}

impl Ticks {
    /// The first tick is there at once.
    pub fn from_now(clock: &Arc<dyn Clock>, every: Duration) -> Ticks {
        Ticks { clock: clock.clone(), every, next: clock.sleep(Duration::ZERO) }
    }

    /// The first tick comes after one span.
    pub fn every(clock: &Arc<dyn Clock>, every: Duration) -> Ticks {
        Ticks { clock: clock.clone(), every, next: clock.sleep(every) }
    }

    /// Waits for the next one. Cancel safe.
    pub async fn tick(&mut self) {
        self.next.as_mut().await;
        self.next = self.clock.sleep(self.every);
    }
}

impl fmt::Debug for Ticks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticks")
            .field("clock", &self.clock)
            .field("every", &self.every)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use std::task::{Context, Waker};

    #[test]
    fn a_tick_that_is_taken_late_is_followed_by_a_whole_span() {
        let clock = Arc::new(ManualClock::default());
        let of: Arc<dyn Clock> = clock.clone();
        let (mut now, mut later) =
            (Ticks::from_now(&of, Duration::from_secs(10)), Ticks::every(&of, Duration::from_secs(10)));
        let ticks = |ticks: &mut Ticks| {
            let mut context = Context::from_waker(Waker::noop());
            // Each is given up when it has not come.
            (0..9).take_while(|_| pin!(ticks.tick()).poll(&mut context).is_ready()).count()
        };
        assert_eq!((ticks(&mut now), ticks(&mut later)), (1, 0));
        for (seconds, expected) in [(9, 0), (1, 1), (35, 1), (9, 0), (1, 1)] {
            clock.advance(Duration::from_secs(seconds));
            assert_eq!((ticks(&mut now), ticks(&mut later)), (expected, expected), "after {seconds} s more");
        }
    }
}
