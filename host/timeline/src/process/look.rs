//! A lookup: the newest row that a key's logic has made at a time, of the events up to it and the timers that have fired by
//! then.

use super::ProcessStage;
use super::drive::{Course, KeptRows, drive};
use super::memory::Memory;
use super::row;
use super::settle::times;
use crate::aggregate::AggregateError;
use crate::answer::AboutValues;
use crate::feed::Feed;
use crate::snapshot::{FoundRow, Snapshot, Unfinished, no_time};
use crate::spec::ProcessSpec;
use arrow_array::ArrayRef;
use arrow_schema::DataType;
use weir_event::EventTime;

/// What a question needs of a key, copied out: its logic goes on from there when nobody waits.
struct ProcessLook {
    process: ProcessSpec,
    retention: Option<i64>,
    memory: Memory,
    feed: Feed,
    as_of: i64,
}

impl ProcessStage {
    pub(crate) fn snapshot(&self, slot: u32, as_of: i64) -> Snapshot {
        let absent = Snapshot::absent(&self.spec, 1);
        let Some(held) = self.held.get(slot as usize).filter(|_| as_of >= self.horizon) else {
            return absent;
        };
        let mut feeder = self.feeder();
        // What is settled at the boundary is, as of a time before it, not so far; and a late event that came since changes it.
        let due = self.due.get(&slot).copied();
        let goes_on = as_of >= self.settled && due.is_none();
        let (memory, from) = match goes_on {
            true => (held.now(), None),
            false => {
                let (memory, from) = held.known_before(due.map_or(as_of, |due| due.min(as_of)));
                (memory, Some(from))
            }
        };
        if let Some(log) = self.logs.find(slot) {
            let first = from.map_or_else(|| self.logs.settled(slot), |from| log.first_at(from));
            feeder.push(log, first..log.first_after(as_of).max(first));
        }
        let memory = memory.clone();
        let (process, retention) = (self.process.clone(), self.retention());
        absent.unfinished(ProcessLook { process, retention, memory, feed: feeder.finish(), as_of })
    }

    /// The newest row of a key that was made before the settled boundary: time, number and columns.
    pub(crate) fn newest(&self, slot: u32) -> Option<((i64, u32), Vec<ArrayRef>)> {
        let newest = self.held.get(slot as usize)?.now().newest.as_ref()?;
        let values = row::columns(&[Some(&newest.values)], &self.types);
        Some(((newest.time, newest.number), values))
    }
}

impl Unfinished for ProcessLook {
    /// Has the logic go on to the time that is asked for.
    fn finish(self: Box<Self>) -> Result<FoundRow, AggregateError> {
        let ProcessLook { process, retention, memory, feed, as_of } = *self;
        let course = Course::new(0, memory, 0..feed.times.len(), as_of.saturating_add(1));
        // Events on which it fails will be refused when they are settled.
        let driven = drive(process.logic.as_ref(), retention, (&feed, KeptRows::Newest), vec![course])?;
        let memory = driven.courses.into_iter().next().map(|course| course.memory).unwrap_or_default();
        let newest = memory.newest.as_ref().filter(|_| !memory.is_forgotten(as_of, retention));
        let types: Vec<DataType> = process.types().cloned().collect();
        let values = row::columns(&[newest.map(|newest| &*newest.values)], &types);
        let time = newest.map(|newest| newest.time);
        let about = AboutValues {
            rows: vec![u64::from(newest.is_some())],
            newest: vec![time.map(EventTime::from_millis)],
            oldest: vec![None],
            ..AboutValues::default()
        };
        let time = newest.map_or_else(no_time, |newest| times(&[(newest.time, newest.number)]));
        Ok(FoundRow { values, time, about })
    }
}
