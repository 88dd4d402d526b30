//! The outbox's side of what is made of the past: taken without end, given at a pace when nothing else waits.
//!
//! Rows that are made of the past are many and in no hurry: a job does not wait until a sink has taken them. They are on
//! disk meanwhile, as many as that takes. What is decided is decided in [`super::queue`].

use super::{MEMORY_BYTES, Outbox, spool};
use crate::error::EngineError;
use std::sync::Arc;
use std::time::Duration;
use weir_connect::{ConnectError, SinkRows};

impl Outbox {
    /// Takes rows that are made of the past, which are `bytes` in memory.
    pub(crate) async fn append_past(&self, rows: &Arc<SinkRows>, bytes: u64) -> Result<(), EngineError> {
        let is_too_much = {
            let mut queue = self.queue();
            queue.past.append(rows.clone(), bytes, self.clock.now());
            queue.past.memory_bytes() > MEMORY_BYTES.min(self.limit_bytes / 4)
        };
        self.tell(|_| {});
        if is_too_much && let Some(reason) = self.spool(false).await? {
            self.cannot_keep(reason)?;
        }
        Ok(())
    }

    /// Whether the sink has still to take rows of the past.
    pub(crate) fn has_past(&self) -> bool {
        self.queue().waiting_past().0 > 0
    }

    /// How long until the sink may be given rows of the past; `None` while there are none for it. Who waits for the end of a
    /// run waits for all of them, so that they come as fast as they go.
    pub(super) fn past_due(&self) -> Option<Duration> {
        let is_there = self.queue().past.next().is_some();
        let wait = if self.is_bounded { Duration::ZERO } else { self.pace().wait(self.clock.monotonic()) };
        is_there.then_some(wait)
    }

    /// The rows of the past that are next, which the sink is given now.
    pub(super) async fn next_past(&self) -> Result<Option<Arc<SinkRows>>, ConnectError> {
        let Some(stretch) = self.queue().past.next() else { return Ok(None) };
        let (rows, end) = self.read(stretch).await?;
        let rate = {
            let mut queue = self.queue();
            queue.take_past(end, rows.columns.num_rows() as u64);
            queue.past.rate()
        };
        self.pace().spend(rows.columns.num_rows() as u64, rate, self.clock.monotonic());
        Ok(Some(Arc::new(rows)))
    }

    /// The first frame of a stretch, and where it ends.
    pub(super) async fn read(
        &self,
        stretch: crate::manifest::Stretch,
    ) -> Result<(SinkRows, u64), ConnectError> {
        let (folder, cpu) = (self.folder.clone(), self.progress.cpu.clone());
        let read = move || cpu.measure(|| spool::read(&folder, &stretch));
        let read = tokio::task::spawn_blocking(read).await;
        read.map_err(|_| ConnectError::internal("reading an outbox ended without an answer"))?
    }
}
