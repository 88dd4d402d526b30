//! Where the tasks of a job run that calls guests: beside the threads that all jobs share, since one step of such a task
//! may take as long as the fuel of all its rows' calls lasts; and few at once, so that the cores are not its alone.
//!
//! Knows no task.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use tokio::runtime::{Handle, RuntimeFlavor};

/// Lanes of one job.
#[derive(Debug, Clone)]
pub(crate) struct Apart(Arc<Lanes>);

#[derive(Debug)]
struct Lanes {
    free: Mutex<usize>,
    freed: Condvar,
}

/// A lane that is taken; free again on drop.
struct Lane<'a>(&'a Lanes);

impl Apart {
    /// Half of so many cores, at least one.
    pub(crate) fn on_half_of(cores: usize) -> Apart {
        Apart(Arc::new(Lanes { free: Mutex::new((cores / 2).max(1)), freed: Condvar::new() }))
    }

    /// Does a step of a task while other threads go on with everybody else's.
    pub(crate) fn run<T>(&self, step: impl FnOnce() -> T) -> T {
        let in_lane = || {
            let _lane = self.0.take();
            step()
        };
        match Handle::current().runtime_flavor() {
            // There is no other thread, and nobody else in a lane.
            RuntimeFlavor::CurrentThread => in_lane(),
            _ => tokio::task::block_in_place(in_lane),
        }
    }
}

impl Lanes {
    fn take(&self) -> Lane<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self.freed.wait_while(free, |free| *free == 0).unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Lane(self)
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SystemClock;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;
    use weir_event::within;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn long_steps_hold_up_nobody_else_and_come_few_at_once() {
        let (apart, at_once, most) =
            (Apart::on_half_of(2), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (begun, mut begin) = tokio::sync::mpsc::unbounded_channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let ended = Arc::new(Mutex::new(ended));
        let steps: Vec<_> = (0..4)
            .map(|_| {
                let (apart, at_once, most) = (apart.clone(), at_once.clone(), most.clone());
                let (begun, ended) = (begun.clone(), ended.clone());
                let step = move || {
                    most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    begun.send(()).unwrap();
                    ended.lock().unwrap().recv().unwrap();
                    at_once.fetch_sub(1, Ordering::SeqCst);
                };
                tokio::spawn(async move { apart.run(step) })
            })
            .collect();
        begin.recv().await.unwrap();
        // Both workers would be taken by the four steps; another task runs all the same.
        let other = tokio::spawn(async { 7 });
        let other = within(&SystemClock::new(), Duration::from_secs(10), other).await;
        assert_eq!(other.expect("it ends").unwrap(), 7);
        for _ in 0..4 {
            end.send(()).unwrap();
        }
        for step in steps {
            step.await.unwrap();
        }
        assert_eq!(most.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn one_thread_alone_does_it_itself() {
        assert_eq!(Apart::on_half_of(1).run(|| 7), 7);
    }
}
