//! How a test waits for a job: until something is so, with a bound. Time passes for the job only where the test says so,
//! on the test's clock.

use std::pin::pin;
use std::time::Duration;
use weir_event::ManualClock;

/// So many moments are waited for what a machine that is not hopelessly busy does in one of them.
const MOMENTS: usize = 20_000;
/// So often it is asked at once whether something is so: most of it takes less than a moment.
const AT_ONCE: usize = 500;
/// What passes on a test's clock in a moment: much less than anybody in the engine has patience.
const IN_A_MOMENT: Duration = Duration::from_millis(200);

/// A moment of the wall's for the threads that work for a job. Nothing is made to happen by its length.
#[allow(
    clippy::disallowed_methods,
    reason = "threads are waited for, with a bound; what happens has its own clock"
)]
pub(super) async fn moment() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

/// Waits until something is so; no time passes for the job.
pub(super) async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    for tries in 0..MOMENTS {
        if is_so() {
            return;
        }
        if tries < AT_ONCE {
            // Other tasks, and the threads of the store.
            tokio::task::yield_now().await;
            std::thread::yield_now();
        } else {
            moment().await;
        }
    }
    panic!("never came true: {what}");
}

/// Lets time pass until something is so.
pub(super) async fn in_time(clock: &ManualClock, what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..MOMENTS {
        if is_so() {
            return;
        }
        moment().await;
        clock.advance(IN_A_MOMENT);
    }
    panic!("never came true: {what}");
}

/// Lets time pass until some work is done.
pub(super) async fn as_time_passes<T>(clock: &ManualClock, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    for _ in 0..MOMENTS {
        tokio::select! {
            biased;
            output = &mut work => return output,
            () = moment() => clock.advance(IN_A_MOMENT),
        }
    }
    panic!("never came to its end");
}
