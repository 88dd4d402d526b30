//! How much a job has still to read, asked of its sources now and then.
//!
//! Also of one that is at the end of its log, less often: what stands behind an open transaction is not at its end.
//! For figures alone: nothing is decided by it, and a source that does not answer is not waited for.

use crate::inputs::Inputs;
use crate::progress::Progress;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use weir_event::{Clock, Ticks, within};

/// Somebody who watches a job catch up sees it move, and a broker hardly notices the question.
const EVERY: Duration = Duration::from_secs(1);
/// At the end of the log every so many times.
const AT_END_EVERY: u32 = 2;
/// A source that has not answered by then is asked again at the next time.
const PATIENCE: Duration = Duration::from_secs(5);

/// Asks for as long as it is held.
pub(crate) struct Backlog(JoinHandle<()>);

impl Backlog {
    /// Shows in `progress` what the sources say.
    pub(crate) fn watch(
        inputs: Inputs,
        progress: Arc<Progress>,
        bounded: bool,
        clock: &Arc<dyn Clock>,
    ) -> Backlog {
        let clock = clock.clone();
        Backlog(tokio::spawn(async move {
            let mut ticks = Ticks::from_now(&clock, EVERY);
            let (mut unasked, mut before) = (0, None);
            loop {
                ticks.tick().await;
                unasked += 1;
                let is_at_end = progress.freshness.is_caught_up();
                if is_at_end && unasked < AT_END_EVERY {
                    continue;
                }
                unasked = 0;
                let positions = progress.positions();
                let asked = within(&*clock, PATIENCE, inputs.left(&positions, bounded)).await;
                let left = asked.and_then(Result::ok).unwrap_or_default();
                // It stood there the last time too, and what is behind it is not given out.
                let is_withheld = is_at_end && left.is_some() && before.as_ref() == Some(&positions);
                before = is_at_end.then_some(positions);
                progress.set_left(left, is_withheld);
            }
        }))
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        self.0.abort();
    }
}
