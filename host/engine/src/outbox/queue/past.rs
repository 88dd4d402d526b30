//! What waits of the past for a sink: it is given it at a pace, whenever nothing else waits for it.
//!
//! A row is given to the sink only once a safe checkpoint holds it. So whatever was taken from here, and whenever, was made
//! before the checkpoint that is on its way, and that holds it again unless its token covers it. All of it is in files at
//! each checkpoint. Only decides; knows no file, task or clock.

use crate::manifest::{KeptPast, Spooled, Stretch};
use std::collections::VecDeque;
use std::sync::Arc;
use weir_connect::SinkRows;
use weir_event::EventTime;

/// Rows of the past that the sink was not given yet, oldest first: `safe`, then `sealed`, then `later`, of which the last
/// are in memory.
#[derive(Debug, Default)]
pub(in crate::outbox) struct Past {
    /// The most rows a second that the sink is to be given.
    rate: u64,
    /// Those that a safe checkpoint holds.
    safe: VecDeque<Spooled>,
    /// Those before the barrier of the checkpoint that is on its way.
    sealed: VecDeque<Spooled>,
    later: VecDeque<Spooled>,
    memory: VecDeque<InMemory>,
    /// So many batches in memory, from the oldest, are before the barrier.
    sealed_in_memory: usize,
    rows: u64,
    bytes: u64,
    memory_bytes: u64,
    /// Whether some of it may not survive the loss of power.
    is_unsynced: bool,
}

#[derive(Debug)]
struct InMemory {
    rows: Arc<SinkRows>,
    bytes: u64,
    since: EventTime,
}

impl Past {
    /// What a checkpoint left.
    pub(super) fn restored(kept: Option<KeptPast>) -> Past {
        let KeptPast { rate, files } = kept.unwrap_or_default();
        let (rows, bytes) = sums(&files);
        Past { rate, safe: files.into(), rows, bytes, ..Past::default() }
    }

    /// It is given at this pace from now on.
    pub(in crate::outbox) fn set_rate(&mut self, rate: u64) {
        self.rate = rate;
    }

    pub(in crate::outbox) fn rate(&self) -> u64 {
        self.rate
    }

    /// Takes rows; `bytes` is what they take in memory.
    pub(in crate::outbox) fn append(&mut self, rows: Arc<SinkRows>, bytes: u64, now: EventTime) {
        self.rows += rows.columns.num_rows() as u64;
        self.bytes += bytes;
        self.memory_bytes += bytes;
        self.memory.push_back(InMemory { rows, bytes, since: now });
    }

    /// A checkpoint begins behind everything that came so far.
    pub(super) fn begin(&mut self) {
        join(&mut self.sealed, &mut self.later);
        self.sealed_in_memory = self.memory.len();
    }

    /// The checkpoint is safe: what it holds may be given to the sink.
    pub(super) fn make_safe(&mut self) {
        join(&mut self.safe, &mut self.sealed);
    }

    /// Whether the checkpoint that has begun may name all that is before its barrier.
    pub(in crate::outbox) fn is_kept(&self) -> bool {
        self.sealed_in_memory == 0 && !self.is_unsynced
    }

    /// Everything that is in files survives the loss of power.
    pub(in crate::outbox) fn synced(&mut self) {
        self.is_unsynced = false;
    }

    /// Bytes of rows in memory.
    pub(in crate::outbox) fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// All rows in memory.
    pub(in crate::outbox) fn in_memory(&self) -> Vec<Arc<SinkRows>> {
        self.memory.iter().map(|held| held.rows.clone()).collect()
    }

    /// As many batches, from the oldest in memory, are in files now.
    pub(in crate::outbox) fn moved(&mut self, places: Vec<Stretch>) {
        for stretch in places {
            let Some(InMemory { rows, bytes, since }) = self.memory.pop_front() else { return };
            let in_file = stretch.to.saturating_sub(stretch.from);
            self.memory_bytes = self.memory_bytes.saturating_sub(bytes);
            self.bytes = self.bytes.saturating_sub(bytes) + in_file;
            self.is_unsynced = true;
            let is_sealed = self.sealed_in_memory > 0;
            self.sealed_in_memory = self.sealed_in_memory.saturating_sub(1);
            let files = if is_sealed { &mut self.sealed } else { &mut self.later };
            push(files, Spooled { stretch, rows: rows.columns.num_rows() as u64, since });
        }
    }

    /// Forgets what is in memory alone, as no disk takes it; how many rows that are.
    pub(super) fn drop_memory(&mut self) -> u64 {
        let rows = self.memory.drain(..).map(|held| held.rows.columns.num_rows() as u64).sum();
        self.rows = self.rows.saturating_sub(rows);
        self.bytes = self.bytes.saturating_sub(std::mem::take(&mut self.memory_bytes));
        self.sealed_in_memory = 0;
        rows
    }

    /// Where the rows are, from the first frame on, that the sink may be given next.
    pub(in crate::outbox) fn next(&self) -> Option<Stretch> {
        self.safe.front().map(|first| first.stretch.clone())
    }

    /// The sink is given the first frame of [`Past::next`], which ends here and has so many rows.
    pub(super) fn take(&mut self, end: u64, rows: u64) -> Option<Spooled> {
        let first = self.safe.front_mut()?;
        let taken = Spooled {
            stretch: Stretch { to: end.min(first.stretch.to), ..first.stretch.clone() },
            rows,
            since: first.since,
        };
        first.stretch.from = end;
        first.rows = first.rows.saturating_sub(rows);
        if first.stretch.from >= first.stretch.to {
            self.safe.pop_front();
        }
        self.rows = self.rows.saturating_sub(rows);
        self.bytes = self.bytes.saturating_sub(taken.stretch.to.saturating_sub(taken.stretch.from));
        Some(taken)
    }

    /// What the checkpoint that has begun holds of it, behind what the sink was given and its token does not cover.
    pub(super) fn kept(&self, taken: Vec<Spooled>) -> Option<KeptPast> {
        let mut files = VecDeque::new();
        let waiting = self.safe.iter().chain(&self.sealed).cloned();
        taken.into_iter().chain(waiting).for_each(|next| push(&mut files, next));
        (!files.is_empty()).then(|| KeptPast { rate: self.rate, files: files.into() })
    }

    /// Files that hold some of it.
    pub(super) fn files(&self) -> impl Iterator<Item = Arc<str>> {
        let all = self.safe.iter().chain(&self.sealed).chain(&self.later);
        all.map(|spooled| spooled.stretch.file.clone())
    }

    /// Rows and bytes that the sink was not given.
    pub(super) fn waiting(&self) -> (u64, u64) {
        (self.rows, self.bytes)
    }

    /// Whether the sink was given all of it.
    pub(super) fn is_empty(&self) -> bool {
        self.rows == 0
    }
}

fn sums(files: &[Spooled]) -> (u64, u64) {
    let one = |file: &Spooled| (file.rows, file.stretch.to.saturating_sub(file.stretch.from));
    files.iter().map(one).fold((0, 0), |sum, next| (sum.0 + next.0, sum.1 + next.1))
}

/// Neighbours are one stretch, so that a past of any length is told in a few words for each file.
fn push(files: &mut VecDeque<Spooled>, next: Spooled) {
    match files.back_mut() {
        Some(last) if last.stretch.file == next.stretch.file && last.stretch.to == next.stretch.from => {
            last.stretch.to = next.stretch.to;
            last.rows += next.rows;
        }
        _ => files.push_back(next),
    }
}

fn join(files: &mut VecDeque<Spooled>, more: &mut VecDeque<Spooled>) {
    more.drain(..).for_each(|next| push(files, next));
}
