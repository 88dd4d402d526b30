//! A stage with `OVER` frames: rows into logs, and for each event that is settled its values.
//!
//! What is returned, and when: an event's values when the settled boundary passes its time; those of settled events
//! whose frames got a late row, once more; at a flush, those of pending events. What a flush returned is marked, and
//! is not returned again unless a row came into its frame since.

use crate::aggregate::AggregateError;
use crate::aggregate::fold::Place;
use crate::answer::{BlockSink, Inserted, Results, Rows, Slot};
use crate::collect::Collector;
use crate::cursor::over::{OverCursor, Source, Walk};
use crate::frame::OverFrames;
use crate::ordered;
use crate::over_change::{Arrived, numbers};
use crate::row_log::block::{AGAIN, DUE, NEW, WRITTEN};
use crate::row_log::gather::Gather;
use crate::row_log::logs::Logs;
use crate::row_log::{Layout, Log};
use crate::slots::{ByNumber, Slots};
use crate::spec::{OverFrame, StageSpec};
use crate::tail::{Leaving, Tail};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

/// Logs and cursors of one segment.
pub(crate) struct OverStage {
    pub(crate) spec: Arc<StageSpec>,
    pub(crate) frames: OverFrames,
    pub(crate) logs: Logs,
    /// What has left the logs, if it is not gone.
    pub(crate) tail: Option<Tail>,
    pub(crate) cursor: OverCursor,
    settled: i64,
    /// By slot, the times of late rows whose corrections are due.
    due: BTreeMap<u32, Vec<i64>>,
    /// Newest event that a flush returned before it was settled.
    pub(crate) written_until: i64,
    /// Rows that came since changes were last asked for; only if they will be.
    pub(crate) arrived: Arrived,
    /// By slot, the time of the event that the cursor stands on, where that may be a pending one.
    pub(crate) stands: ByNumber<i64>,
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
        let (tail, lives) = match spec.tail {
            Some(step) => (Some(Tail::new(step, &frames)?), frames.lives_before_tiles()),
            None => (None, frames.lives()),
        };
        Some(OverStage {
            spec,
            logs: Logs::with_lives(layout, lives),
            frames,
            tail,
            cursor,
            settled: i64::MIN,
            due: BTreeMap::new(),
            written_until: i64::MIN,
            arrived: Arrived::new(),
            stands: ByNumber::default(),
            horizon: i64::MIN,
            broken: None,
        })
    }

    /// `gives_results`: else nothing is noted of what results are due.
    pub(crate) fn insert(
        &mut self,
        slots: &mut Slots,
        rows: &Rows<'_>,
        gives_results: bool,
    ) -> Result<Inserted, AggregateError> {
        ordered::probe(self.spec.aggregates.iter(), rows)?;
        let mistyped = || AggregateError::Broken("an input column is not of its declared type".to_owned());
        let layout = self.logs.layout.clone();
        let sources = layout.sources(rows.columns).ok_or_else(mistyped)?;
        let mut inserted = Inserted::default();
        let floor = self.spec.floor(rows.watermark.millis(), self.horizon);
        for (slot, row) in rows.slots.iter().zip(rows.rows) {
            let (slot, index, row) = (slot.0, *row, *row as usize);
            let place = Place { time: rows.times[row], rank: rows.ranks[row] };
            if place.time < floor {
                inserted.too_late.push(index);
                continue;
            }
            let is_late = place.time < self.settled;
            if is_late {
                inserted.late += 1;
                self.cursor.reset(slot);
            }
            let marks = if gives_results { self.note_due(slot, place, is_late) } else { 0 };
            self.logs.insert(slots, slot, place, is_late, marks, (&sources, row));
        }
        Ok(inserted)
    }

    /// Notes that a row's result is due, and perhaps those of others; returns the row's marks.
    fn note_due(&mut self, slot: u32, place: Place, is_late: bool) -> i64 {
        let mut marks = if place.time <= self.written_until { NEW } else { 0 };
        if self.spec.emit_changes {
            marks |= NEW;
            self.step_back(slot, place.time);
            self.arrived.entry(slot).or_default().push(place);
        }
        if is_late {
            marks |= DUE;
            self.due.entry(slot).or_default().push(place.time);
        }
        marks
    }

    pub(crate) fn settle(&mut self, to: i64, gives_results: bool) -> Result<Results, AggregateError> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        let mut out = Collector::new(&self.spec);
        self.correct(&mut out)?;
        let to = to.max(self.settled);
        let settled = self.logs.settle(to);
        self.settled = to;
        self.move_horizon();
        if !gives_results {
            self.follow(settled, &mut out)?;
            return Ok(Results::default());
        }
        let mut walks = self.unwritten(settled);
        self.emit_on(&mut walks, &mut out)?;
        if to > self.written_until {
            self.written_until = i64::MIN;
        }
        out.finish(&self.spec)
    }

    /// Where nobody wants results, the cursor moves only where lookups start from it.
    fn follow(&mut self, settled: Vec<(u32, Range<u64>)>, out: &mut Collector) -> Result<(), AggregateError> {
        if !self.cursor.serves_lookups() {
            return Ok(());
        }
        let newest = settled.into_iter().filter(|(_, rows)| !rows.is_empty());
        let newest = newest.map(|(slot, rows)| Walk { slot, group: slot, events: vec![rows.end - 1] });
        self.emit_on(&mut newest.collect::<Vec<Walk>>(), out)
    }

    pub(crate) fn flush(&mut self) -> Result<Results, AggregateError> {
        let mut out = Collector::new(&self.spec);
        self.correct(&mut out)?;
        let pending = self.logs.pending();
        let mut walks = self.unwritten(pending.clone());
        self.emit_aside(&mut walks, |marks| marks & (WRITTEN | AGAIN) != 0, &mut out)?;
        self.arrived.clear();
        for (slot, number, _) in self.logs.marked(NEW) {
            self.clear_mark(slot, number, NEW);
        }
        for (slot, rows) in pending {
            for number in rows {
                let (block, row) = self.logs.log(slot).row(number);
                let (marks, time) = (block.marks(row), block.time(row));
                self.written_until = self.written_until.max(time);
                self.logs.set_marks(slot, number, marks | WRITTEN);
            }
        }
        out.finish(&self.spec)
    }

    /// Walks over the rows of stretches, less those whose result a flush returned and nothing has changed since.
    fn unwritten(&self, stretches: Vec<(u32, Range<u64>)>) -> Vec<Walk> {
        let mut walks: Vec<Walk> = Vec::with_capacity(stretches.len());
        for (slot, rows) in stretches {
            let log = self.logs.log(slot);
            let group = slot;
            let mut written = Vec::new();
            if self.written_until > i64::MIN {
                log.for_each(rows.clone(), |block, rows| {
                    let rows = rows.filter(|row| block.marks(*row) & WRITTEN != 0);
                    written.extend(rows.map(|row| (block.start + row as u64, block.time(row))));
                });
            }
            if written.is_empty() {
                walks.push(Walk { slot, group, events: rows.collect() });
                continue;
            }
            let mut new = Vec::new();
            if self.spec.emit_changes {
                new = self.arrived.get(&slot).map_or_else(Vec::new, |places| numbers(log, places));
            } else {
                for block in log.blocks().filter(|block| !block.is_unmarked()) {
                    let rows = (0..block.len()).filter(|row| block.marks(*row) & NEW != 0);
                    new.extend(rows.map(|row| block.start + row as u64));
                }
            }
            written.retain(|(number, time)| !self.frames.is_changed(log, &new, *number, *time));
            let is_written =
                |number: &u64| written.binary_search_by_key(number, |(number, _)| *number).is_ok();
            walks.push(Walk { slot, group, events: rows.filter(|number| !is_written(number)).collect() });
        }
        walks.retain(|walk| !walk.events.is_empty());
        walks
    }

    /// Events that were returned and whose frames then got late rows, and those rows' own results, as far back as the
    /// horizon.
    fn correct(&mut self, out: &mut Collector) -> Result<(), AggregateError> {
        let mut due = std::mem::take(&mut self.due);
        let mut walks = Vec::with_capacity(due.len());
        for (slot, times) in &mut due {
            let Some(log) = self.logs.find(*slot) else { continue };
            times.sort_unstable();
            times.dedup();
            let mut new: Vec<u64> = Vec::new();
            for time in times {
                log.for_each(log.first_at(*time)..log.first_after(*time), |block, rows| {
                    let rows = rows.filter(|row| block.marks(*row) & DUE != 0);
                    new.extend(rows.map(|row| block.start + row as u64));
                });
            }
            let among = log.first_at(self.horizon)..self.logs.settled(*slot);
            let events = self.frames.changed(log, &new, among);
            walks.push(Walk { slot: *slot, group: 0, events });
        }
        self.emit_aside(&mut walks, |marks| marks & DUE == 0, out)?;
        for (slot, times) in due {
            for time in times {
                let log = self.logs.log(slot);
                for number in log.first_at(time)..log.first_after(time) {
                    self.clear_mark(slot, number, DUE);
                }
            }
        }
        Ok(())
    }

    fn clear_mark(&mut self, slot: u32, number: u64, mark: i64) {
        let (block, row) = self.logs.log(slot).row(number);
        let marks = block.marks(row);
        if marks & mark != 0 {
            self.logs.set_marks(slot, number, marks & !mark);
        }
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

    /// As `emit`, with a cursor of its own.
    pub(crate) fn emit_aside(
        &self,
        walks: &mut [Walk],
        is_revised: impl Fn(i64) -> bool,
        out: &mut Collector,
    ) -> Result<(), AggregateError> {
        self.leave_results(walks);
        walks.iter_mut().enumerate().for_each(|(at, walk)| walk.group = at as u32);
        let mut cursor = OverCursor::new(&self.spec, &self.logs.layout, &self.frames);
        cursor.make_room(walks.len());
        emit(&self.source(), &mut cursor, walks, is_revised, out)
    }

    fn source(&self) -> Source<'_> {
        Source { spec: &self.spec, logs: &self.logs, frames: &self.frames, tail: self.tail.as_ref() }
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

    pub(crate) fn encode_dirty(&mut self, slots: &Slots, out: &mut BlockSink<'_>) {
        self.logs.encode_dirty(slots, out);
        if let Some(tail) = &mut self.tail {
            tail.encode_dirty(slots, out);
        }
    }

    pub(crate) fn encode_all(&self, slots: &Slots, out: &mut BlockSink<'_>) {
        self.logs.encode_all(slots, out);
        if let Some(tail) = &self.tail {
            tail.encode_all(slots, out);
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
        }
    }

    pub(crate) fn restore_done(&mut self, settled: i64, oldest: i64) -> Vec<u32> {
        self.settled = settled;
        self.horizon = oldest;
        if oldest == i64::MIN {
            self.move_horizon();
        }
        let damaged = self.logs.restore_done(settled);
        for (slot, number, marks) in self.logs.marked(DUE | WRITTEN) {
            let time = self.logs.log(slot).time(number);
            if marks & DUE != 0 {
                self.due.entry(slot).or_default().push(time);
            } else if time >= settled {
                self.written_until = self.written_until.max(time);
            }
        }
        if self.spec.emit_changes {
            for (slot, number, _) in self.logs.marked(NEW) {
                let (block, row) = self.logs.log(slot).row(number);
                self.arrived.entry(slot).or_default().push(block.place(row));
            }
        }
        damaged
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let tail = self.tail.as_ref().map_or(0, Tail::memory_bytes);
        self.logs.memory_bytes() + tail + self.cursor.memory_bytes()
    }
}

/// Results of the walks' events; `is_revised` is told an event's marks.
pub(crate) fn emit(
    source: &Source<'_>,
    cursor: &mut OverCursor,
    walks: &[Walk],
    is_revised: impl Fn(i64) -> bool,
    out: &mut Collector,
) -> Result<(), AggregateError> {
    if walks.is_empty() {
        return Ok(());
    }
    let Source { spec, logs, .. } = source;
    let (first, layout) = (out.len(), &logs.layout);
    let columns = spec.carried.iter().filter_map(|input| layout.position(*input));
    let mut carried: Vec<(usize, Gather)> =
        columns.map(|column| (column, Gather::new(&layout.types[column]))).collect();
    for walk in walks {
        logs.log(walk.slot).for_numbers(walk.events.iter().copied(), |block, row| {
            let results = out.results();
            results.slots.push(Slot(walk.slot));
            results.events.push((block.time(row), block.rank(row)));
            results.revised.push(is_revised(block.marks(row)));
            for (column, gather) in &mut carried {
                gather.push(block, *column, row..row + 1);
            }
        });
    }
    for (at, (_, gather)) in carried.into_iter().enumerate() {
        out.carried(at, gather.finish());
    }
    cursor.walk(source, walks, |at, finished| out.values(at, first, finished))
}
