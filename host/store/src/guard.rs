//! Runs work that may panic or hang, and gives up on it when it shows no progress. Knows nothing of what the work is.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use crate::rows::panic_text;

/// By this the work says that it gets ahead.
pub(crate) struct Progress(Sender<()>);

impl Progress {
    /// One more step is done: the wait starts anew.
    pub(crate) fn step(&self) {
        // Nobody waits any more once the time was over: the work then runs to its end unheard.
        let _ = self.0.send(());
    }
}

/// How guarded work failed to give an answer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// It panicked, with this text.
    Panicked(String),
    /// No step for the whole patience. Its thread is left behind.
    Stalled,
    /// The system gave no thread.
    NoThread(String),
}

/// The next step of the work, within so much time. A disk and a thread that hang do it by the wall, and nothing else
/// hangs on when they are given up.
#[allow(clippy::disallowed_methods, reason = "the wall is what hangs")]
fn heard_within(heard: &Receiver<()>, patience: Duration) -> Result<(), RecvTimeoutError> {
    heard.recv_timeout(patience)
}

/// Runs `work` on a thread of its own for as long as every `patience` sees at least one step.
pub(crate) fn run<T: Send + 'static>(
    patience: Duration,
    work: impl FnOnce(&Progress) -> T + Send + 'static,
) -> Result<T, Failure> {
    let (steps, heard) = channel();
    let body = move || {
        let progress = Progress(steps);
        catch_unwind(AssertUnwindSafe(|| work(&progress)))
    };
    let worker = thread::Builder::new()
        .name("weir-store-open".to_owned())
        .spawn(body)
        .map_err(|error| Failure::NoThread(error.to_string()))?;
    loop {
        match heard_within(&heard, patience) {
            Ok(()) => {}
            Err(RecvTimeoutError::Timeout) => return Err(Failure::Stalled),
            // The sender went with the work's end: the thread is done but for its answer.
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    let answer = worker.join().and_then(|caught| caught);
    answer.map_err(|payload| Failure::Panicked(panic_text(payload.as_ref())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Long enough for a busy machine to start a thread and print a backtrace.
    const LONG: Duration = Duration::from_secs(20);

    #[test]
    fn an_answer_a_panic_and_a_hang_are_told_apart() {
        assert_eq!(run(LONG, |_| 7), Ok(7));
        let panicked = run(LONG, |_| -> u8 { panic!("broken page") });
        assert_eq!(panicked, Err(Failure::Panicked("broken page".to_owned())));
        let (release, held) = channel::<()>();
        let hangs = run(Duration::from_millis(50), move |_| held.recv().is_err());
        assert_eq!(hangs, Err(Failure::Stalled));
        drop(release);
    }

    #[test]
    #[allow(clippy::disallowed_methods, reason = "it is guarded by the wall")]
    fn slow_work_that_steps_is_waited_for() {
        let slow = |progress: &Progress| {
            for _ in 0..8 {
                thread::sleep(Duration::from_millis(80));
                progress.step();
            }
            "done"
        };
        assert_eq!(run(Duration::from_millis(500), slow), Ok("done"));
    }
}
