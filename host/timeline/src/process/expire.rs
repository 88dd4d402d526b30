//! What goes by time: rows leave the log and go into the base, returned rows are out of reach of late events, and memories
//! are forgotten where there is a retention.

use super::ProcessStage;
use super::drive::{Course, Driven, KeptRows};
use super::memory::Memory;
use crate::aggregate::AggregateError;
use crate::slots::Slots;
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;

impl ProcessStage {
    pub(crate) fn expire(&mut self, slots: &mut Slots) {
        let moved = self.move_bases(slots);
        self.broken = self.broken.take().or(moved.err());
        self.look_at_watched(slots);
    }

    /// Has the logic of each key go on to where its log begins, and its timers fire up to the horizon.
    fn move_bases(&mut self, slots: &mut Slots) -> Result<(), AggregateError> {
        let mut feeder = self.feeder();
        let mut moving: BTreeMap<u32, Range<usize>> = BTreeMap::new();
        let leaving = |slot: u32, log: &crate::row_log::Log, until: u64| {
            let first = feeder.len();
            feeder.push(log, log.start()..until);
            moving.insert(slot, first..feeder.len());
        };
        self.logs.evict(slots, self.horizon, |_| None, leaving);
        for (_, slot) in self.base_timers.range(..(self.horizon, 0)) {
            moving.entry(*slot).or_insert(0..0);
        }
        if moving.is_empty() {
            return Ok(());
        }
        let course = |(slot, rows): (u32, Range<usize>)| {
            let front = self.logs.find(slot).and_then(|log| log.front());
            let until = front.map_or(self.horizon, |block| block.time(0).min(self.horizon));
            Course::new(slot, self.held[slot as usize].base.clone(), rows, until)
        };
        let courses = moving.into_iter().map(course).collect();
        let Driven { courses, .. } = self.drive((&feeder.finish(), KeptRows::Newest), courses)?;
        for Course { slot, memory, .. } in courses {
            let first =
                self.logs.find(slot).and_then(|log| log.front()).map_or(i64::MAX, |block| block.time(0));
            self.held[slot as usize].waypoints.retain(|waypoint| waypoint.time > first);
            self.set_base(slots, slot, memory);
        }
        Ok(())
    }

    fn look_at_watched(&mut self, slots: &mut Slots) {
        let (retention, horizon) = (self.retention(), self.horizon);
        // Those first, since what stays is watched again, perhaps by the same time.
        let mut gone_by = Vec::new();
        while let Some(Reverse((time, slot))) =
            self.watched.peek().copied().filter(|Reverse((time, _))| *time < horizon)
        {
            self.watched.pop();
            if self.held[slot as usize].watched.take_if(|watched| *watched == time).is_some() {
                gone_by.push(slot);
            }
        }
        for slot in gone_by {
            let held = &mut self.held[slot as usize];
            let in_reach = held.returned.partition_point(|returned| returned.time < horizon);
            held.returned.drain(..in_reach);
            held.returned.shrink_to_fit();
            let has_rows = self.logs.find(slot).is_some_and(|log| !log.is_empty());
            let is_forgotten = held.now().is_forgotten(horizon, retention);
            if is_forgotten && !has_rows {
                self.set_base(slots, slot, Memory::default());
                self.set_now(slots, slot, Memory::default());
            } else {
                self.changed(slots, slot);
            }
        }
    }

    /// Forgets what is kept of keys that are gone.
    pub(crate) fn forget(&mut self, slots: &[u32]) {
        for slot in slots {
            self.logs.forget(*slot);
            self.due.remove(slot);
            if let Some(held) = self.held.get_mut(*slot as usize) {
                *held = super::Held { is_dirty: held.is_dirty, ..super::Held::default() };
            }
        }
    }
}
