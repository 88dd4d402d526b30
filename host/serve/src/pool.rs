//! Work of requests that takes longer than an async thread may be held up: on threads of its own, so many at once, and
//! given up between its steps when nobody waits for it any more.
//!
//! Must not know what the work is.

use crate::problem::{Kind, Problem};
use crate::request::blocking;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;
use weir_event::{Clock, within};

/// One request may take so long, waiting for its turn and working, as its body may take to arrive.
const BUDGET: Duration = Duration::from_secs(30);
/// Pieces of work at once: as many as answer requests otherwise, so that jobs keep their share of the cores.
const AT_ONCE: usize = 2;

/// The threads' places.
#[derive(Debug)]
pub(crate) struct Pool {
    places: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
}

/// How long work may go on.
pub(crate) struct Budget {
    clock: Arc<dyn Clock>,
    until: Duration,
    is_given_up: Arc<AtomicBool>,
}

impl Pool {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Pool {
        Pool { places: Arc::new(Semaphore::new(AT_ONCE)), clock }
    }

    /// Does some work when it is its turn; the work asks its budget between steps.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Budget) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let is_given_up = Arc::new(AtomicBool::new(false));
        let until = self.clock.monotonic() + BUDGET;
        let budget = Budget { clock: self.clock.clone(), until, is_given_up: is_given_up.clone() };
        let _waits = Waits(is_given_up);
        let place = within(&*self.clock, BUDGET, self.places.clone().acquire_owned()).await;
        // An error would mean that the semaphore was closed, which it never is.
        let place = place.ok_or_else(too_long)?;
        blocking(move || {
            let _place = place;
            budget.check().and_then(|()| work(&budget))
        })
        .await?
    }
}

impl Budget {
    /// Whether the work may go on; asked between steps of some milliseconds at most.
    pub(crate) fn check(&self) -> Result<(), Problem> {
        let is_over = self.is_given_up.load(Ordering::Relaxed) || self.clock.monotonic() >= self.until;
        if is_over { Err(too_long()) } else { Ok(()) }
    }
}

/// Whoever waits for the work.
struct Waits(Arc<AtomicBool>);

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn too_long() -> Problem {
    let detail = format!(
        "the request took longer than {} s; ask for less at once, or again when fewer do",
        BUDGET.as_secs()
    );
    Problem::new(Kind::Unavailable, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_engine::SystemClock;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn work_ends_soon_after_nobody_waits_for_it() {
        let pool = Arc::new(Pool::new(Arc::new(SystemClock::new())));
        let (ended, mut end) = tokio::sync::mpsc::unbounded_channel();
        let (begun, mut begin) = tokio::sync::mpsc::unbounded_channel();
        let works = pool.clone();
        let waiting = tokio::spawn(async move {
            let work = move |budget: &Budget| -> Result<(), Problem> {
                begun.send(()).unwrap();
                while budget.check().is_ok() {
                    std::thread::yield_now();
                }
                ended.send(()).unwrap();
                Ok(())
            };
            works.run(work).await
        });
        begin.recv().await.unwrap();
        waiting.abort();
        let end = within(&SystemClock::new(), Duration::from_secs(10), end.recv()).await;
        assert_eq!(end, Some(Some(())), "the work has ended");
        assert_eq!(pool.run(|_| Ok(7)).await.unwrap(), 7);
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn others_wait_for_their_turn() {
        let pool = Arc::new(Pool::new(Arc::new(SystemClock::new())));
        let at_once = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let all = (0..8).map(|_| {
            let (pool, at_once) = (pool.clone(), at_once.clone());
            tokio::spawn(async move {
                let work = move |_: &Budget| {
                    let now = at_once.fetch_add(1, Ordering::SeqCst) + 1;
                    (0..1000).for_each(|_| std::thread::yield_now());
                    at_once.fetch_sub(1, Ordering::SeqCst);
                    Ok(now)
                };
                pool.run(work).await.unwrap()
            })
        });
        let most = futures_util::future::join_all(all).await.into_iter().map(Result::unwrap).max();
        assert_eq!(most, Some(AT_ONCE));
    }
}
