//! How much a job has still to read, asked of its sources now and then while it is not at the end of its log.
//!
//! For figures alone: nothing is decided by it, and a source that does not answer is not waited for.

use crate::inputs::Inputs;
use crate::progress::Progress;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use weir_connect::Left;
use weir_event::{Clock, Ticks, within};

/// Somebody who watches a job catch up sees it move, and a broker hardly notices the question.
const EVERY: Duration = Duration::from_secs(1);
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
            loop {
                ticks.tick().await;
                let left = if progress.freshness.is_caught_up() {
                    Left { records: Some(0), bytes: Some(0) }
                } else {
                    let positions = progress.positions();
                    let asked = within(&*clock, PATIENCE, inputs.left(&positions, bounded)).await;
                    asked.and_then(Result::ok).unwrap_or_default()
                };
                progress.set_left(left);
            }
        }))
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        self.0.abort();
    }
}
