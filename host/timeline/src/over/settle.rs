//! Results that are returned: an event's values when the settled boundary passes its time; those of settled events
//! whose frames got a late row, once more; at a flush, those of pending events. What was returned before it was settled
//! is marked, and is not returned again unless a row came into its frame since.

use super::OverStage;
use super::change::{numbers, returned};
use super::cursor::{OverCursor, Source, Walk};
use crate::aggregate::AggregateError;
use crate::answer::{Results, Slot};
use crate::collect::Collector;
use crate::marks::Marks;
use crate::row_log::gather::Gather;
use crate::timeline::Wanted;
use std::ops::Range;

impl OverStage {
    pub(crate) fn settle(&mut self, to: i64, wanted: Wanted) -> Result<Results, AggregateError> {
        if let Some(broken) = &self.broken {
            return Err(broken.clone());
        }
        let mut out = Collector::new(&self.spec);
        self.correct(&mut out)?;
        let to = to.max(self.settled);
        let settled = self.logs.settle(to);
        self.settled = to;
        self.move_horizon();
        match wanted {
            Wanted::Results => {}
            Wanted::Lookups => {
                self.follow(settled, &mut out)?;
                return Ok(Results::default());
            }
            Wanted::LookupsInOrder => return Ok(Results::default()),
        }
        let mut walks = self.unreturned(settled);
        self.emit_on(&mut walks, &mut out)?;
        if to > self.returned_until {
            self.returned_until = i64::MIN;
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

    /// Moves a key's cursor to its newest settled event, where lookups start from it and it does not stand there.
    pub(crate) fn follow_key(&mut self, slot: u32) -> Result<(), AggregateError> {
        let Some(log) = self.logs.find(slot).filter(|_| self.cursor.serves_lookups()) else { return Ok(()) };
        let newest = self.logs.settled(slot).checked_sub(1).filter(|newest| *newest >= log.start());
        let Some(newest) = newest else { return Ok(()) };
        let stands_there = self.followed.get(&slot) == Some(&newest) && self.cursor.frame(slot, 0).is_some();
        if stands_there {
            return Ok(());
        }
        let mut walks = [Walk { slot, group: slot, events: vec![newest] }];
        self.leave_results(&mut walks);
        self.cursor.make_room(slot as usize + 1);
        let OverStage { spec, logs, frames, tail, cursor, .. } = self;
        let source = Source { spec, logs, frames, tail: tail.as_ref() };
        cursor.walk(&source, &walks, |_, _| ())?;
        self.followed.insert(slot, newest);
        Ok(())
    }

    pub(crate) fn flush(&mut self) -> Result<Results, AggregateError> {
        let mut out = Collector::new(&self.spec);
        self.correct(&mut out)?;
        let pending = self.logs.pending();
        let mut walks = self.unreturned(pending.clone());
        self.emit_aside(&mut walks, |marks| marks.has(Marks::RETURNED), &mut out)?;
        self.arrived.clear();
        for (slot, number, _) in self.logs.marked(Marks::LISTED) {
            self.clear_mark(slot, number, Marks::LISTED);
        }
        for (slot, rows) in pending {
            for number in rows {
                let (block, row) = self.logs.log(slot).row(number);
                let (marks, time) = (block.marks(row), block.time(row));
                self.returned_until = self.returned_until.max(time);
                self.logs.set_marks(slot, number, returned(marks));
            }
        }
        out.finish(&self.spec)
    }

    /// Walks over the rows of stretches, less those whose result was returned and has not changed since.
    fn unreturned(&self, stretches: Vec<(u32, Range<u64>)>) -> Vec<Walk> {
        let mut walks: Vec<Walk> = Vec::with_capacity(stretches.len());
        for (slot, rows) in stretches {
            let log = self.logs.log(slot);
            let group = slot;
            let mut returned_rows = Vec::new();
            if self.returned_until > i64::MIN {
                log.for_each(rows.clone(), |block, rows| {
                    let rows = rows.filter(|row| block.marks(*row).is_current());
                    returned_rows.extend(rows.map(|row| (block.start + row as u64, block.time(row))));
                });
            }
            if returned_rows.is_empty() {
                walks.push(Walk { slot, group, events: rows.collect() });
                continue;
            }
            let mut new = Vec::new();
            if self.spec.emit_changes {
                new = self.arrived.get(&slot).map_or_else(Vec::new, |places| numbers(log, places));
            } else {
                for block in log.blocks().filter(|block| !block.is_unmarked()) {
                    let rows = (0..block.len()).filter(|row| block.marks(*row).has(Marks::LISTED));
                    new.extend(rows.map(|row| block.start + row as u64));
                }
            }
            returned_rows.retain(|(number, time)| !self.frames.is_changed(log, &new, *number, *time));
            let is_returned =
                |number: &u64| returned_rows.binary_search_by_key(number, |(number, _)| *number).is_ok();
            walks.push(Walk { slot, group, events: rows.filter(|number| !is_returned(number)).collect() });
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
                    let rows = rows.filter(|row| block.marks(*row).has(Marks::DUE));
                    new.extend(rows.map(|row| block.start + row as u64));
                });
            }
            let among = log.first_at(self.horizon)..self.logs.settled(*slot);
            let events = self.frames.changed(log, &new, among);
            walks.push(Walk { slot: *slot, group: 0, events });
        }
        self.emit_aside(&mut walks, |marks| !marks.has(Marks::DUE), out)?;
        for (slot, times) in due {
            for time in times {
                let log = self.logs.log(slot);
                for number in log.first_at(time)..log.first_after(time) {
                    self.clear_mark(slot, number, Marks::DUE);
                }
            }
        }
        Ok(())
    }

    fn clear_mark(&mut self, slot: u32, number: u64, mark: Marks) {
        let (block, row) = self.logs.log(slot).row(number);
        let marks = block.marks(row);
        if marks.has(mark) {
            self.logs.set_marks(slot, number, marks.without(mark));
        }
    }

    /// As `emit`, with a cursor of its own.
    pub(crate) fn emit_aside(
        &self,
        walks: &mut [Walk],
        is_revised: impl Fn(Marks) -> bool,
        out: &mut Collector,
    ) -> Result<(), AggregateError> {
        self.leave_results(walks);
        walks.iter_mut().enumerate().for_each(|(at, walk)| walk.group = at as u32);
        let mut cursor = OverCursor::new(&self.spec, &self.logs.layout, &self.frames);
        cursor.make_room(walks.len());
        emit(&self.source(), &mut cursor, walks, is_revised, out)
    }
}

/// Results of the walks' events; `is_revised` is told an event's marks.
pub(crate) fn emit(
    source: &Source<'_>,
    cursor: &mut OverCursor,
    walks: &[Walk],
    is_revised: impl Fn(Marks) -> bool,
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
