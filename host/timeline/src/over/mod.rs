//! A stage with `OVER` frames: rows into logs, and for each event that is settled its values.
//!
//! Follow a row: `insert.rs` puts it into its key's log, `settle.rs` returns events that are settled, `change.rs` those
//! that changed, `look.rs` answers a lookup, `stored.rs` is what a checkpoint keeps. `frame.rs` says which rows are in a
//! frame, `cursor.rs` and what it stands on make the values faster.

mod change;
pub(crate) mod choice;
mod cursor;
pub(crate) mod frame;
mod insert;
mod lists;
mod look;
mod settle;
mod stack;
mod steps;
mod stored;
mod tail;

use crate::aggregate::AggregateError;
use crate::row_log::logs::{Life, Logs};
use crate::row_log::{Layout, Log};
use crate::slots::{ByNumber, Slots};
use crate::spec::{OverFrame, StageSpec};
use change::Arrived;
use cursor::{OverCursor, Source, Walk};
use frame::OverFrames;
use std::collections::BTreeMap;
use std::sync::Arc;
use tail::{Leaving, Tail};

/// Logs and cursors of one segment.
pub(crate) struct OverStage {
    pub(crate) spec: Arc<StageSpec>,
    pub(crate) frames: OverFrames,
    pub(crate) logs: Logs,
    /// What has left the logs, if it is not gone.
    pub(crate) tail: Option<Tail>,
    pub(crate) cursor: OverCursor,
    /// How long after its event a key's newest row is found, also where no frame reaches it; `None` where a lookup shows
    /// nothing of it.
    found_for: Option<i64>,
    settled: i64,
    /// By slot, the times of late rows whose corrections are due.
    due: BTreeMap<u32, Vec<i64>>,
    /// Newest event that was returned before it was settled.
    pub(crate) returned_until: i64,
    /// Rows that came since changes were last asked for; only if they will be.
    pub(crate) arrived: Arrived,
    /// By slot, the time of the event that the cursor stands on, where that may be a pending one.
    pub(crate) stands: ByNumber<i64>,
    /// By slot, the number of the event that the cursor was moved to for a lookup.
    followed: ByNumber<u64>,
    /// The oldest time that may be asked for; rows before it are refused, as state that their results need is gone.
    horizon: i64,
    /// What an aggregate failed with when rows left the logs.
    broken: Option<AggregateError>,
}

impl OverStage {
    /// `None` if a column is of a type that logs do not keep.
    pub(crate) fn new(spec: Arc<StageSpec>, frames: &[OverFrame]) -> Option<OverStage> {
        let frames = OverFrames::new(frames, spec.retention, spec.tail);
        let layout = Layout::new(spec.logged(), &spec.inputs)?;
        let cursor = OverCursor::new(&spec, &layout, &frames);
        let (tail, mut lives) = match spec.tail {
            Some(step) => (Some(Tail::new(step, &frames)?), frames.lives_before_tiles()),
            None => (None, frames.lives()),
        };
        let is_joined = spec.results_below.is_some();
        let shows_rows = is_joined || !spec.carried.is_empty();
        let found_for = shows_rows.then(|| found_for(&spec, &frames));
        // The newest row is enough, except where it may be one that has no result.
        let rows = (!is_joined).then_some(0);
        lives.extend(found_for.map(|span| Life { span: Some(span), rows }));
        Some(OverStage {
            spec,
            logs: Logs::with_lives(layout, lives),
            frames,
            tail,
            cursor,
            found_for,
            settled: i64::MIN,
            due: BTreeMap::new(),
            returned_until: i64::MIN,
            arrived: Arrived::new(),
            stands: ByNumber::default(),
            followed: ByNumber::default(),
            horizon: i64::MIN,
            broken: None,
        })
    }

    fn source(&self) -> Source<'_> {
        Source { spec: &self.spec, logs: &self.logs, frames: &self.frames, tail: self.tail.as_ref() }
    }

    /// Leaves only events that have results.
    pub(crate) fn leave_results(&self, walks: &mut [Walk]) {
        if self.spec.results_below.is_none() {
            return;
        }
        for walk in walks {
            let log = self.logs.log(walk.slot);
            walk.events.retain(|number| self.has_result(log, *number));
        }
    }

    /// Whether an event has a result.
    pub(crate) fn has_result(&self, log: &Log, number: u64) -> bool {
        let (block, row) = log.row(number);
        self.spec.has_result(block.rank(row))
    }

    pub(crate) fn settled(&self) -> i64 {
        self.settled
    }

    pub(crate) fn next_result(&self) -> Option<i64> {
        if self.due.is_empty() {
            self.logs.first_pending().map(|time| time.saturating_add(1))
        } else {
            Some(i64::MIN)
        }
    }

    /// The oldest time that may be asked for.
    pub(crate) fn horizon(&self) -> i64 {
        self.horizon
    }

    /// Moves the horizon on to where the boundary is.
    fn move_horizon(&mut self) {
        let reached = self.settled.saturating_sub(self.spec.reach().millis());
        self.horizon = self.horizon.max(reached);
    }

    pub(crate) fn expire(&mut self, slots: &mut Slots) {
        let OverStage { spec, logs, tail, cursor, .. } = self;
        let layout = logs.layout.clone();
        let mut leaving = Leaving::default();
        logs.evict(
            slots,
            self.horizon,
            |_| None,
            |slot, log, until| {
                cursor.forget_rows(spec, &layout, log, slot, until);
                if let Some(tail) = tail {
                    tail.leave((spec, &layout), (slot, log), until, &mut leaving);
                }
            },
        );
        if let Some(tail) = tail {
            let folded = tail.fold(slots, leaving);
            let done = folded.and_then(|()| tail.expire(spec, slots, logs, self.horizon));
            self.broken = self.broken.take().or(done.err());
        }
    }

    /// Forgets what cursors keep of keys that are gone.
    pub(crate) fn forget(&mut self, slots: &[u32]) {
        for slot in slots {
            self.logs.forget(*slot);
            self.cursor.reset(*slot);
            self.due.remove(slot);
            self.arrived.remove(slot);
            self.stands.remove(slot);
            self.followed.remove(slot);
        }
    }

    /// Keys' tiles.
    pub(crate) fn tiles(&self) -> u64 {
        self.tail.as_ref().map_or(0, Tail::tiles)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let tail = self.tail.as_ref().map_or(0, Tail::memory_bytes);
        self.logs.memory_bytes() + tail + self.cursor.memory_bytes()
    }
}

/// As long as lookups reach back, or longer where frames do, so that whether a row is found does not depend on when it
/// is asked for; the retention ends it.
fn found_for(spec: &StageSpec, frames: &OverFrames) -> i64 {
    let span = spec.reach().millis().max(frames.longest().unwrap_or(0));
    spec.retention.map_or(span, |retention| span.min(retention.millis()))
}
