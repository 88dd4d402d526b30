//! A stage whose windows follow from its rows: sessions, and lifetime values, which are sessions without an end.
//!
//! A key's rows form *runs*, with no pause longer than the gap within one. A run keeps one state per aggregate for all
//! of its rows. Those that do not depend on order take rows as they come; the others, and those that may fail, take
//! them when they are settled, in total order, out of the row log. The log keeps rows as far back as late rows and
//! lookups may reach; of older rows only their states are left (`base.rs`). So a run may be as long as it likes. Where
//! states depend on order, a session keeps its rows as long as late ones may come among them.
//!
//! What is returned, and when: a session when the settled boundary is past its end; one that was returned and then
//! got a late row, once more; at a flush, every open one; as changes, whatever got a row since the last time. What was
//! returned is not returned again until another row comes. A run that was returned and has another start since, as a
//! late row moved its start or joined it to an older run, is returned once more as deleted, at the next occasion.
//!
//! Which late rows count (`judge.rs`) is said by the watermark of their partition and by the key's sessions.
//!
//! Runs wait in queues by the time at which they are to be looked at; a run that has grown since is put back then, so
//! that a row costs nothing there.

mod base;
mod change;
mod insert;
mod judge;
mod look;
mod settle;
mod stored;
pub(crate) use stored::restated;
mod table;

use crate::aggregate::{AggregateError, Algebra, States};
use crate::marks::Marks;
use crate::row_log::Layout;
use crate::row_log::logs::Logs;
use crate::slots::Slots;
use crate::spec::{AggregateSpec, Frames, StageSpec};
use base::Bases;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;
use table::RunTable;
use weir_event::Span;

/// Runs by the time at which they are to be looked at. An entry is good if it is what the run says.
type Queue = BinaryHeap<Reverse<(i64, u32)>>;

/// Runs, their states and logs of one segment.
pub(crate) struct RunStage {
    pub(crate) spec: Arc<StageSpec>,
    pub(crate) logs: Logs,
    /// Whether runs end; lifetime values do not.
    closes: bool,
    /// Whether any aggregate takes rows only when they are settled.
    defers: bool,
    table: RunTable,
    /// One column of states per aggregate, by run.
    states: Vec<Box<dyn States>>,
    bases: Bases,
    closing: Queue,
    expiring: Queue,
    /// By run, windows that were returned and are part of it now: start and end.
    gone: BTreeMap<u32, Vec<(i64, i64)>>,
    refold: Vec<u32>,
    /// Runs that got rows since changes were last asked for; only if they will be.
    changed: Vec<u32>,
    dirty: Vec<u32>,
    /// Stored runs that are no more: key and start.
    graves: Vec<(Box<[u8]>, i64)>,
    settled: i64,
    /// The oldest time that may be asked for.
    horizon: i64,
    /// What went wrong when rows were dropped, to be told at the next occasion.
    broken: Option<AggregateError>,
}

/// Whether an aggregate takes rows only when they are settled, in total order.
fn is_deferred(aggregate: &AggregateSpec) -> bool {
    aggregate.function.card().algebra != Algebra::Exact || aggregate.function.fallible()
}

impl RunStage {
    /// `None` if the stage has no runs, or a column is of a type that logs do not keep.
    pub(crate) fn new(spec: Arc<StageSpec>) -> Option<RunStage> {
        let (gap, closes) = match &spec.frames {
            Frames::Session(session) => (session.gap, true),
            Frames::Lifetime => (spec.retention.unwrap_or(Span::MAX), false),
            Frames::Grid(_) | Frames::Cumulate(_) | Frames::Table(_) | Frames::Process | Frames::Over(_) => {
                return None;
            }
        };
        Some(RunStage {
            logs: Logs::new(Layout::new(spec.logged(), &spec.inputs)?),
            closes,
            defers: spec.aggregates.iter().any(is_deferred),
            table: RunTable::new(gap.millis().max(0)),
            states: spec.aggregates.iter().map(|aggregate| aggregate.function.states()).collect(),
            bases: Bases::new(&spec.aggregates),
            closing: Queue::new(),
            expiring: Queue::new(),
            gone: BTreeMap::new(),
            refold: Vec::new(),
            changed: Vec::new(),
            dirty: Vec::new(),
            graves: Vec::new(),
            settled: i64::MIN,
            horizon: i64::MIN,
            broken: None,
            spec,
        })
    }

    /// What is stored of a run under this start, if anything is, is no more.
    fn bury(&mut self, slots: &Slots, run: u32, start: i64) {
        let run_now = self.table.run_mut(run);
        if run_now.marks.has(Marks::STORED) {
            run_now.marks.clear(Marks::STORED);
            let slot = crate::answer::Slot(run_now.slot);
            self.graves.push((slots.key(slot).into(), start));
        }
    }

    fn touch(&mut self, run: u32) {
        let run_now = self.table.run_mut(run);
        if !run_now.marks.has(Marks::DIRTY) {
            run_now.marks.set(Marks::DIRTY);
            self.dirty.push(run);
        }
    }

    /// Puts a run into the queue of those that will be dropped, if it will be.
    fn await_expiry(&mut self, run: u32) {
        let time = self.expiry(run);
        self.table.run_mut(run).queued = time.unwrap_or(i64::MAX);
        self.expiring.extend(time.map(|time| Reverse((time, run))));
    }

    /// The horizon at which no row can join a run and no lookup can see it; `None` if there is none yet.
    fn expiry(&self, run: u32) -> Option<i64> {
        let end = self.table.end(run);
        if !self.closes {
            // Without a gap, a run lives for ever.
            return (self.table.gap < i64::MAX).then(|| end.saturating_add(1));
        }
        // A key's last session at the horizon is what a lookup there shows, however long ago it ended. One that is not
        // the last shows how far back late rows may go on with the next, as long as that takes any.
        let replaced = self.table.follower(run).map(|next| self.table.touched_until(next));
        let forgotten = self.spec.retention.map(|retention| end.saturating_add(retention.millis() - 1));
        let forgotten = forgotten.map(|time| time.max(self.table.touched_until(run)));
        Some(replaced.into_iter().chain(forgotten).min()?.saturating_add(1))
    }

    /// A run has got a start: the one before it may be dropped some day.
    fn succeed(&mut self, run: u32) {
        let Some(before) = self.table.predecessor(run) else { return };
        if self.closes && self.table.run(before).is_closed {
            self.await_expiry(before);
        }
    }

    pub(crate) fn settled(&self) -> i64 {
        self.settled
    }

    /// Keys' runs.
    pub(crate) fn runs(&self) -> u64 {
        self.table.count() as u64
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let states: usize = self.states.iter().map(|states| states.memory_bytes()).sum();
        let queues = (self.closing.capacity() + self.expiring.capacity()) * size_of::<(i64, u32)>();
        let lists = (self.refold.capacity() + self.changed.capacity() + self.dirty.capacity()) * 4;
        self.logs.memory_bytes()
            + self.table.memory_bytes()
            + self.bases.memory_bytes()
            + states
            + queues
            + lists
    }
}
