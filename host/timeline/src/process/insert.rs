//! Rows of a batch into the logs of their keys.

use super::ProcessStage;
use crate::aggregate::AggregateError;
use crate::aggregate::fold::Place;
use crate::answer::{Inserted, Rows};
use crate::marks::Marks;
use crate::slots::Slots;

impl ProcessStage {
    pub(crate) fn insert(&mut self, slots: &mut Slots, rows: &Rows<'_>) -> Result<Inserted, AggregateError> {
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
            self.make_room(slot as usize + 1);
            let is_late = place.time < self.settled;
            if is_late {
                inserted.late += 1;
                let due = self.due.entry(slot).or_insert(place.time);
                *due = place.time.min(*due);
                self.touch(slot);
            }
            self.logs.insert(slots, slot, place, is_late, Marks::NONE, (&sources, row));
        }
        Ok(inserted)
    }
}
