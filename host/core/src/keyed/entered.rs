//! What became of rows that were inserted into a segment: counted, and set aside where they do not count.
//!
//! Made when the segment is free again: reasons are texts, and a flood of late rows has many of them.

use crate::intake::admit::late_reason;
use crate::intake::route::KeyedRows;
use crate::keyed::effects::Effects;
use crate::rows::Arrival;
use weir_event::EventTime;
use weir_plan::{JobPlan, KeyedStage, LatePolicy};
use weir_timeline::Inserted;

/// What timelines said of rows.
#[derive(Debug)]
pub(crate) struct Entered {
    /// Of each part that they were inserted in.
    pub(crate) parts: Vec<Inserted>,
    /// The rows on which an aggregate failed alone, by their places among those that were handed in, with the reasons.
    pub(crate) failed: Vec<(usize, String)>,
    /// The boundary up to which the segment was settled.
    pub(crate) settled: EventTime,
}

impl Entered {
    /// What follows for rows `rows` of a batch, which were handed in.
    pub(crate) fn tell(
        self,
        (plan, stage): (&JobPlan, &KeyedStage),
        batch: &KeyedRows,
        rows: &[u32],
        effects: &mut Effects,
    ) {
        for inserted in &self.parts {
            let dropped = inserted.too_late.len() as u64;
            effects.counts.dropped += dropped;
            // Of these, admission could not tell.
            if stage.spec.frames.is_judged_by_key() {
                effects.counts.late += inserted.late + dropped;
            }
            if plan.late.policy == LatePolicy::Divert {
                self.divert(plan, batch, inserted, effects);
            }
        }
        for (at, reason) in self.failed {
            effects.refuse(&plan.name, batch.ranks[rows[at] as usize], reason, String::new());
        }
    }

    /// Sets the rows aside that were too late.
    fn divert(&self, plan: &JobPlan, batch: &KeyedRows, inserted: &Inserted, effects: &mut Effects) {
        let Arrival { watermark, payloads } = &batch.rows.arrival;
        // Its state may be gone, though its own partition is not so far yet.
        let watermark = (*watermark).max(self.settled);
        for row in inserted.too_late.iter().map(|row| *row as usize) {
            let (rank, time) = (batch.ranks[row], EventTime::from_millis(batch.rows.times[row]));
            let payload = payloads.get(&rank.record()).cloned().unwrap_or_default();
            effects.refuse(&plan.name, rank, late_reason(time, watermark), payload);
        }
    }
}
