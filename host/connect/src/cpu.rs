//! For whom processor time is spent: work is measured by the clock of the thread that does it, wherever that is. For
//! figures alone: nothing decides by it. Must not know what a job is.

use cpu_time::ThreadTime;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Processor time that was spent for one owner, such as a job. A clone counts for the same one.
///
/// ```
/// let owner = weir_connect::CpuTime::default();
/// let sum: u64 = owner.measure(|| (0..100_000_u64).map(std::hint::black_box).sum());
/// assert!(sum > 0 && owner.total() > std::time::Duration::ZERO);
/// ```
#[derive(Debug, Clone, Default)]
pub struct CpuTime {
    nanos: Arc<AtomicU64>,
}

thread_local! {
    /// For whom this thread works now.
    static OWNER: RefCell<Option<CpuTime>> = const { RefCell::new(None) };
}

impl CpuTime {
    /// The owner for whom this thread works now: whoever hands work to another thread has it measured for the same one.
    pub fn current() -> Option<CpuTime> {
        OWNER.with_borrow(Clone::clone)
    }

    /// Does `work` for this owner. Within a measurement for somebody it is theirs, so that nothing is counted twice.
    pub fn measure<T>(&self, work: impl FnOnce() -> T) -> T {
        if OWNER.with_borrow(Option::is_some) {
            return work();
        }
        let _measuring = Measuring::begin(self);
        work()
    }

    /// So much was spent for this owner by others.
    pub fn add(&self, spent: Duration) {
        // 584 years of nanoseconds fit.
        self.nanos.fetch_add(spent.as_nanos() as u64, Ordering::Relaxed);
    }

    /// What was spent so far.
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::Relaxed))
    }

    /// What was spent since this was last asked, to be given to others.
    pub fn take(&self) -> Duration {
        Duration::from_nanos(self.nanos.swap(0, Ordering::Relaxed))
    }
}

/// A measurement that goes on; it ends also where the work panics.
struct Measuring<'a> {
    owner: &'a CpuTime,
    /// Nothing where the system has no such clock.
    began: Option<ThreadTime>,
}

impl<'a> Measuring<'a> {
    fn begin(owner: &'a CpuTime) -> Self {
        OWNER.set(Some(owner.clone()));
        Measuring { owner, began: ThreadTime::try_now().ok() }
    }
}

impl Drop for Measuring<'_> {
    fn drop(&mut self) {
        OWNER.set(None);
        if let Some(spent) = self.began.and_then(|began| began.try_elapsed().ok()) {
            self.owner.add(spent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    /// Works until the thread's clock has moved by so much.
    fn work(much: Duration) {
        let began = ThreadTime::now();
        while began.elapsed() < much {
            std::hint::spin_loop();
        }
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "a wait of the thread's own is what is not to be counted")]
    fn work_counts_and_waiting_does_not() {
        let owner = CpuTime::default();
        owner.measure(|| work(Duration::from_millis(20)));
        assert!(owner.total() >= Duration::from_millis(20));
        let before = owner.total();
        owner.measure(|| std::thread::sleep(Duration::from_millis(50)));
        assert!(owner.total() < before + Duration::from_millis(40), "{:?}", owner.total());
        assert!(owner.take() >= before && owner.total() == Duration::ZERO);
    }

    #[test]
    fn what_is_measured_within_a_measurement_is_counted_once() {
        let (outer, inner) = (CpuTime::default(), CpuTime::default());
        assert!(CpuTime::current().is_none());
        outer.measure(|| {
            inner.measure(|| work(Duration::from_millis(5)));
            CpuTime::current().unwrap().add(Duration::from_secs(7));
        });
        assert!(outer.total() >= Duration::from_millis(7005) && inner.total() == Duration::ZERO);
    }

    #[test]
    fn work_that_panics_ends_its_measurement() {
        let owner = CpuTime::default();
        assert!(catch_unwind(|| owner.measure(|| panic!("as planned"))).is_err());
        assert!(CpuTime::current().is_none());
        let other = CpuTime::default();
        other.measure(|| work(Duration::from_millis(5)));
        assert!(other.total() >= Duration::from_millis(5));
    }
}
