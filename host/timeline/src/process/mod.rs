//! A stage of keyed logic: events into logs, and through the logic when they are settled, in total order.
//!
//! Of each key it is known what its logic was at the beginning of the log (the *base*), which moves on as rows leave the log,
//! and what it is at the settled boundary. So a late event, and a question about a time that lies behind the boundary, have
//! the logic go from the base through the log once more; a question about a later time goes on from the boundary with a
//! copy. Of a key with many events it is also known what its logic was at some of them on the way (*waypoints*), and then it
//! goes on from the last one that still holds. As far back as late events reach it is noted which rows were returned, so that of what is made anew only that is
//! returned which is not as it was.
//!
//! Follow an event: `insert.rs` puts it into its key's log, `settle.rs` drives the logic on (`drive.rs`) and returns rows,
//! `look.rs` answers a lookup, `expire.rs` moves bases on, `stored.rs` is what a checkpoint keeps. Must not know what logic
//! does.

mod drive;
mod expire;
mod insert;
pub(crate) mod logic;
mod look;
mod memory;
mod row;
mod settle;
mod stored;

pub(crate) use stored::restated;

use crate::aggregate::AggregateError;
use crate::answer::Slot;
use crate::feed::{Feed, Feeder};
use crate::marks::Marks;
use crate::row_log::Layout;
use crate::row_log::logs::Logs;
use crate::slots::Slots;
use crate::spec::{ProcessSpec, StageSpec};
use arrow_schema::DataType;
use drive::{Course, Driven, KeptRows, Waypoint, drive};
use memory::Memory;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

/// Slots by the horizon at which they are to be looked at.
type Watched = BinaryHeap<Reverse<(i64, u32)>>;

/// Logs and memories of one segment.
pub(crate) struct ProcessStage {
    pub(crate) spec: Arc<StageSpec>,
    process: ProcessSpec,
    types: Vec<DataType>,
    pub(crate) logs: Logs,
    /// By slot.
    held: Vec<Held>,
    /// Slots by their timers at the settled boundary, and by those of their bases.
    timers: BTreeSet<(i64, u32)>,
    base_timers: BTreeSet<(i64, u32)>,
    /// Slots of which rows were returned at or behind the boundary, as everything open was, by the first of them.
    returned_early: BTreeSet<(i64, u32)>,
    /// By slot, the time of the earliest late event since it was settled last.
    due: BTreeMap<u32, i64>,
    /// Slots that have something which goes by time: what was returned, and memories where there is a retention.
    watched: Watched,
    dirty: Vec<u32>,
    /// Keys whose stored memories are no more.
    graves: Vec<Box<[u8]>>,
    settled: i64,
    /// The oldest time that may be asked for.
    horizon: i64,
    /// Bytes that were written to memories since this was last asked.
    written_bytes: u64,
    /// What went wrong when bases were moved on, to be told at the next occasion.
    broken: Option<AggregateError>,
}

/// What is held of a key beside its log.
#[derive(Debug, Default)]
struct Held {
    base: Memory,
    /// At the settled boundary, where that is not what the base is.
    ahead: Option<Box<Memory>>,
    /// What the logic was on its way from the base, rising; not stored.
    waypoints: Vec<Waypoint>,
    /// Rows that late events may still change, rising.
    returned: Vec<Returned>,
    /// Whether the key is referred to for it.
    is_kept: bool,
    is_dirty: bool,
    is_stored: bool,
    /// The horizon at which it is looked at, by the one good entry of the queue.
    watched: Option<i64>,
}

/// A row that was returned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Returned {
    time: i64,
    number: u32,
    /// Of its values.
    hash: u64,
}

impl Held {
    /// What the logic is at the settled boundary.
    fn now(&self) -> &Memory {
        self.ahead.as_deref().unwrap_or(&self.base)
    }

    /// The last that is known of the logic which holds for everything before a time, and the time from which on events are
    /// not in it; [`i64::MIN`] for the base, in which no event of the log is.
    fn known_before(&self, time: i64) -> (&Memory, i64) {
        let passed = self.waypoints.partition_point(|waypoint| waypoint.time <= time);
        let last = passed.checked_sub(1).map(|last| &self.waypoints[last]);
        last.map_or((&self.base, i64::MIN), |waypoint| (&waypoint.memory, waypoint.time))
    }

    fn is_blank(&self) -> bool {
        self.base.is_blank() && self.ahead.is_none() && self.returned.is_empty()
    }
}

impl ProcessStage {
    /// `None` if there is no logic, or a column is of a type that logs do not keep.
    pub(crate) fn new(spec: Arc<StageSpec>) -> Option<ProcessStage> {
        let process = spec.process.clone()?;
        let types = process.logic.card().results.iter().map(|(_, data_type)| data_type.clone()).collect();
        Some(ProcessStage {
            logs: Logs::new(Layout::new(spec.logged(), &spec.inputs)?),
            process,
            types,
            held: Vec::new(),
            timers: BTreeSet::new(),
            base_timers: BTreeSet::new(),
            returned_early: BTreeSet::new(),
            due: BTreeMap::new(),
            watched: Watched::new(),
            dirty: Vec::new(),
            graves: Vec::new(),
            settled: i64::MIN,
            horizon: i64::MIN,
            written_bytes: 0,
            broken: None,
            spec,
        })
    }

    fn retention(&self) -> Option<i64> {
        self.spec.retention.map(weir_event::Span::millis)
    }

    /// For the logic's arguments, without events that it has failed on.
    fn feeder(&self) -> Feeder {
        Feeder::of_columns(&self.logs.layout, &self.process.arguments).without(Marks::REFUSED)
    }

    fn drive(&self, feed: (&Feed, KeptRows), courses: Vec<Course>) -> Result<Driven, AggregateError> {
        drive(self.process.logic.as_ref(), self.retention(), feed, courses)
    }

    fn make_room(&mut self, slots: usize) {
        if self.held.len() < slots {
            self.held.resize_with(slots, Held::default);
        }
    }

    fn touch(&mut self, slot: u32) {
        let held = &mut self.held[slot as usize];
        if !held.is_dirty {
            held.is_dirty = true;
            self.dirty.push(slot);
        }
    }

    /// The logic of a key is this at the settled boundary from now on.
    fn set_now(&mut self, slots: &mut Slots, slot: u32, memory: Memory) {
        let held = &mut self.held[slot as usize];
        let timer_before = held.now().timer;
        let timer = memory.timer;
        self.written_bytes += memory.heap_bytes() as u64;
        held.ahead = (memory != held.base).then(|| Box::new(memory));
        replace(&mut self.timers, slot, timer_before, timer);
        self.changed(slots, slot);
    }

    /// The logic of a key is this at the beginning of its log from now on.
    fn set_base(&mut self, slots: &mut Slots, slot: u32, memory: Memory) {
        let held = &mut self.held[slot as usize];
        let (base_before, now_before) = (held.base.timer, held.now().timer);
        let timer = memory.timer;
        let now = held.ahead.take().map_or_else(|| held.base.clone(), |ahead| *ahead);
        held.ahead = (now != memory).then(|| Box::new(now));
        held.base = memory;
        let now = held.now().timer;
        replace(&mut self.base_timers, slot, base_before, timer);
        replace(&mut self.timers, slot, now_before, now);
        self.changed(slots, slot);
    }

    /// Something of a key is not what it was: it is stored, kept as long as there is anything, and looked at in time.
    fn changed(&mut self, slots: &mut Slots, slot: u32) {
        self.touch(slot);
        let held = &mut self.held[slot as usize];
        match (held.is_blank(), held.is_kept) {
            (false, false) => slots.retain(slot),
            (true, true) => slots.release(slot),
            _ => {}
        }
        held.is_kept = !held.is_blank();
        if !held.is_kept && std::mem::take(&mut held.is_stored) {
            // Its slot may be another key's when this is shown.
            self.graves.push(slots.key(Slot(slot)).into());
        }
        self.watch(slot);
    }

    /// Notes which rows of a key were returned at or behind the boundary.
    fn note_returned_early(&mut self, slot: u32) {
        let returned = &self.held[slot as usize].returned;
        let first = returned.get(returned.partition_point(|row| row.time < self.settled));
        self.returned_early.extend(first.map(|row| (row.time, slot)));
    }

    /// Has a key looked at when something of it has gone by time.
    fn watch(&mut self, slot: u32) {
        let retention = self.spec.retention.map(weir_event::Span::millis);
        let held = &mut self.held[slot as usize];
        let of_returned = held.returned.first().map(|returned| returned.time);
        let last = held.now().last.filter(|_| held.is_kept);
        let of_memory = last.zip(retention).map(|(last, retention)| last.saturating_add(retention));
        if let Some(time) = of_returned.into_iter().chain(of_memory).min()
            && held.watched.is_none_or(|watched| time < watched)
        {
            held.watched = Some(time);
            self.watched.push(Reverse((time, slot)));
        }
    }

    pub(crate) fn settled(&self) -> i64 {
        self.settled
    }

    /// The oldest time that may be asked for.
    pub(crate) fn horizon(&self) -> i64 {
        self.horizon
    }

    fn move_horizon(&mut self) {
        let reached = self.settled.saturating_sub(self.spec.reach().millis());
        self.horizon = self.horizon.max(reached);
    }

    /// The least boundary at which there is something to return.
    pub(crate) fn next_result(&self) -> Option<i64> {
        if !self.due.is_empty() {
            return Some(i64::MIN);
        }
        let first = |slots: &BTreeSet<(i64, u32)>| slots.first().map(|(time, _)| *time);
        let others = [first(&self.timers), first(&self.returned_early)].into_iter().flatten();
        self.logs.first_pending().into_iter().chain(others).min().map(|time| time.saturating_add(1))
    }

    /// How many bytes were written to memories since this was last asked.
    pub(crate) fn written_bytes(&mut self) -> u64 {
        std::mem::take(&mut self.written_bytes)
    }

    /// Keys whose logic remembers something.
    pub(crate) fn memories(&self) -> u64 {
        self.held.iter().filter(|held| held.is_kept).count() as u64
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let of_held = |held: &Held| {
            let ahead = held.ahead.as_ref().map_or(0, |ahead| size_of::<Memory>() + ahead.heap_bytes());
            let of_waypoint = |it: &Waypoint| size_of::<Waypoint>() + it.memory.heap_bytes();
            let waypoints: usize = held.waypoints.iter().map(of_waypoint).sum();
            held.base.heap_bytes() + ahead + waypoints + held.returned.capacity() * size_of::<Returned>()
        };
        let held: usize = self.held.iter().map(of_held).sum();
        let lists = (self.timers.len() + self.base_timers.len() + self.watched.len()) * 24;
        self.logs.memory_bytes() + self.held.capacity() * size_of::<Held>() + held + lists
    }
}

/// A slot's timer is another one now.
fn replace(timers: &mut BTreeSet<(i64, u32)>, slot: u32, before: Option<i64>, now: Option<i64>) {
    if before != now {
        before.map(|time| timers.remove(&(time, slot)));
        now.map(|time| timers.insert((time, slot)));
    }
}
