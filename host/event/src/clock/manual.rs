//! A clock for tests: it stands still until it is moved, and whoever waits by it goes on when it has been moved far
//! enough.

use super::{Clock, Sleep};
use crate::time::{EventTime, Span};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// A clock that stands still until it is moved.
///
/// ```
/// use weir_event::{Clock, EventTime, ManualClock};
/// use std::time::Duration;
/// let clock = ManualClock::at(EventTime::from_millis(1000));
/// clock.advance(Duration::from_secs(2));
/// assert_eq!((clock.now().millis(), clock.monotonic()), (3000, Duration::from_secs(2)));
/// ```
#[derive(Debug, Default)]
pub struct ManualClock {
    start: EventTime,
    hand: Arc<Mutex<Hand>>,
}

#[derive(Debug, Default)]
struct Hand {
    passed: Duration,
    /// By when they end, and of those at one time in the order in which they began.
    sleepers: BTreeMap<(Duration, u64), Waker>,
    began: u64,
}

impl ManualClock {
    /// A clock that stands at `now`.
    pub fn at(now: EventTime) -> Self {
        ManualClock { start: now, hand: Arc::default() }
    }

    /// Moves both the wall and the monotonic time on, and wakes whoever waited for a time that has come: in the order of
    /// those times.
    pub fn advance(&self, by: Duration) {
        let mut guard = locked(&self.hand);
        let hand = &mut *guard;
        hand.passed = hand.passed.saturating_add(by);
        let later = hand.sleepers.split_off(&(hand.passed, u64::MAX));
        let due = std::mem::replace(&mut hand.sleepers, later);
        // Who is woken may look at the clock there and then.
        drop(guard);
        due.into_values().for_each(Waker::wake);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> EventTime {
        self.start + Span::from_millis(self.monotonic().as_millis() as i64)
    }

    fn monotonic(&self) -> Duration {
        locked(&self.hand).passed
    }

    fn sleep(&self, span: Duration) -> Sleep {
        let mut hand = locked(&self.hand);
        hand.began += 1;
        let until = (hand.passed.saturating_add(span), hand.began);
        Box::pin(Sleeper { hand: self.hand.clone(), until })
    }
}

fn locked(hand: &Mutex<Hand>) -> MutexGuard<'_, Hand> {
    hand.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Somebody who waits for the hand to come to a place.
struct Sleeper {
    hand: Arc<Mutex<Hand>>,
    until: (Duration, u64),
}

impl Future for Sleeper {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut hand = locked(&self.hand);
        if hand.passed >= self.until.0 {
            return Poll::Ready(());
        }
        let before = hand.sleepers.insert(self.until, context.waker().clone());
        drop(hand);
        // It may be the last that holds a task which waits by this clock too: not to be dropped under the lock.
        drop(before);
        Poll::Pending
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let waker = locked(&self.hand).sleepers.remove(&self.until);
        // As above: the lock is free by now.
        drop(waker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::task::Wake;

    struct Bell(u32, mpsc::Sender<u32>);

    impl Wake for Bell {
        fn wake(self: Arc<Self>) {
            self.1.send(self.0).unwrap();
        }
    }

    fn is_over(sleep: &mut Sleep, waker: &Waker) -> bool {
        sleep.as_mut().poll(&mut Context::from_waker(waker)).is_ready()
    }

    #[test]
    fn who_waits_is_woken_when_the_time_has_come_and_in_its_order() {
        let clock = ManualClock::at(EventTime::from_millis(-5));
        let (rang, heard) = mpsc::channel();
        let waker = |number| Waker::from(Arc::new(Bell(number, rang.clone())));
        let mut sleeps: Vec<Sleep> =
            [30, 10, 20, 10].into_iter().map(|millis| clock.sleep(Duration::from_millis(millis))).collect();
        for (number, sleep) in (0..).zip(&mut sleeps) {
            assert!(!is_over(sleep, &waker(99)) && !is_over(sleep, &waker(number)), "the last waker counts");
        }
        clock.advance(Duration::from_micros(9_999));
        assert_eq!((heard.try_iter().count(), clock.now().millis()), (0, 4));
        clock.advance(Duration::from_micros(10_001));
        assert_eq!(heard.try_iter().collect::<Vec<_>>(), [1, 3, 2]);
        assert!(is_over(&mut sleeps[2], &waker(2)) && is_over(&mut sleeps[2], &waker(2)));
        assert!(!is_over(&mut sleeps[0], &waker(0)));
        drop(sleeps);
        clock.advance(Duration::from_secs(1));
        assert_eq!(heard.try_iter().count(), 0, "whoever gave up is not woken");
        assert!(is_over(&mut clock.sleep(Duration::ZERO), &waker(0)));
    }
}
