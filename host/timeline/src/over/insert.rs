//! Rows of a batch into the logs of their keys, with notes of what is due since.

use super::OverStage;
use crate::aggregate::AggregateError;
use crate::aggregate::fold::Place;
use crate::answer::{Inserted, Rows};
use crate::feed::probe;
use crate::marks::Marks;
use crate::slots::Slots;

impl OverStage {
    /// `gives_results`: else nothing is noted of what results are due.
    pub(crate) fn insert(
        &mut self,
        slots: &mut Slots,
        rows: &Rows<'_>,
        gives_results: bool,
    ) -> Result<Inserted, AggregateError> {
        probe(self.spec.aggregates.iter(), rows)?;
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
            let marks = if gives_results { self.note_due(slot, place, is_late) } else { Marks::NONE };
            self.logs.insert(slots, slot, place, is_late, marks, (&sources, row));
        }
        Ok(inserted)
    }

    /// Notes that a row's result is due, and perhaps those of others; returns the row's marks.
    fn note_due(&mut self, slot: u32, place: Place, is_late: bool) -> Marks {
        let mut marks = Marks::NONE.with_if(Marks::LISTED, place.time <= self.returned_until);
        if self.spec.emit_changes {
            marks.set(Marks::LISTED);
            self.step_back(slot, place.time);
            self.arrived.entry(slot).or_default().push(place);
        }
        if is_late {
            marks.set(Marks::DUE);
            self.due.entry(slot).or_default().push(place.time);
        }
        marks
    }
}
