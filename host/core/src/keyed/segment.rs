//! A segment: the timelines of a contiguous range of key groups, with one boundary up to which they are settled.
//!
//! Knows what rows, results and stored state mean to timelines. Must not know who else holds the segment, or how.

use crate::error::CoreError;
use crate::halve::{Halved, halve};
use crate::intake::admit::{Arrival, late_reason};
use crate::intake::route::KeyedRows;
use crate::keyed::effects::Effects;
use crate::keyed::emit::{StageRows, stage_rows};
use crate::keyed::views::has_views;
use crate::stored::Name;
use std::ops::Range;
use weir_event::{EventTime, key_hash};
use weir_plan::{JobPlan, KeyedStage, LatePolicy};
use weir_timeline::{AggregateError, Inserted, Results, Rows, Slot, Stats, Timelines};

/// A flush is made in parts of about so many results of a segment, for the sake of memory.
const FLUSHED_AT_ONCE: usize = 1 << 16;

/// Takes blocks of state: the name, and the bytes or `None` if the block is gone.
pub type StateSink<'a> = dyn FnMut(Name<'_>, Option<&[u8]>) + 'a;

/// The timelines of a range of key groups.
pub struct Segment {
    groups: Range<u16>,
    pub(crate) timelines: Timelines,
}

/// What brings results out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// What rows have changed since this was last asked.
    Changes,
    /// What is final at this boundary.
    Settle(EventTime),
    /// Everything that is open.
    End,
}

/// Some results of a segment.
pub(crate) struct Found {
    /// `None`: nothing is due.
    pub(crate) rows: Option<StageRows>,
    /// Whether the same question has more to return.
    pub(crate) has_more: bool,
}

impl std::fmt::Debug for Segment {
    /// Its range: what it holds is for lookups.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Segment({:?})", self.groups)
    }
}

impl Segment {
    /// An empty one; `gives_results` says whether anybody wants results beside lookups.
    pub fn open(stage: &KeyedStage, groups: Range<u16>, gives_results: bool) -> Result<Segment, CoreError> {
        let timelines = Timelines::new(stage.spec.clone())?;
        let timelines = if has_views(stage) { timelines.with_list_views() } else { timelines };
        let timelines = if gives_results { timelines } else { timelines.without_results() };
        Ok(Segment { groups, timelines })
    }

    /// Its key groups.
    pub fn groups(&self) -> &Range<u16> {
        &self.groups
    }

    /// Inserts rows of its key groups; a row on which an aggregate fails alone is a dead letter.
    pub(crate) fn insert(
        &mut self,
        plan: &JobPlan,
        batch: &KeyedRows,
        rows: &[u32],
        effects: &mut Effects,
    ) -> Result<(), CoreError> {
        let Halved { parts, failed } = halve(rows.len(), |range| {
            let (timelines, rows) = (&mut self.timelines, &rows[range]);
            let slot_of = |row: &u32| {
                let row = *row as usize;
                timelines.slot_or_insert(batch.keys.key(row), batch.hashes[row])
            };
            // Anew for each part: inserting one may free the slots of keys of which nothing is held.
            let slots: Vec<Slot> = rows.iter().map(slot_of).collect();
            let inserted = self.timelines.insert(&Rows {
                slots: &slots,
                rows,
                times: &batch.rows.times,
                ranks: &batch.ranks,
                columns: &batch.rows.columns,
                watermark: batch.rows.arrival.watermark,
            });
            match inserted {
                Ok(inserted) => Ok(Ok(inserted)),
                Err(AggregateError::Rows(reason)) => Ok(Err(reason)),
                Err(error) => Err(CoreError::from(error)),
            }
        })?;
        for (_, inserted) in parts {
            self.count_late(plan, batch, &inserted, effects);
        }
        for (row, reason) in failed {
            effects.refuse(&plan.name, batch.ranks[rows[row] as usize], reason, String::new());
        }
        Ok(())
    }

    /// Counts the rows that were too late, sets them aside if the policy says so, and counts those that were late at
    /// all where admission could not tell.
    fn count_late(&self, plan: &JobPlan, batch: &KeyedRows, inserted: &Inserted, effects: &mut Effects) {
        let dropped = inserted.too_late.len() as u64;
        effects.counts.dropped += dropped;
        if self.timelines.spec().frames.is_judged_by_key() {
            effects.counts.late += inserted.late + dropped;
        }
        if plan.late.policy != LatePolicy::Divert {
            return;
        }
        let Arrival { watermark, payloads } = &batch.rows.arrival;
        // Its state may be gone, though its own partition is not so far yet.
        let watermark = (*watermark).max(self.timelines.settled());
        for row in inserted.too_late.iter().map(|row| *row as usize) {
            let (rank, time) = (batch.ranks[row], EventTime::from_millis(batch.rows.times[row]));
            let payload = payloads.get(&rank.offset).cloned().unwrap_or_default();
            effects.refuse(&plan.name, rank, late_reason(time, watermark), payload);
        }
    }

    /// Asks for results.
    pub(crate) fn ask(
        &mut self,
        plan: &JobPlan,
        stage: &KeyedStage,
        ask: Ask,
        effects: &mut Effects,
    ) -> Result<Found, CoreError> {
        let mut results = match ask {
            Ask::Changes => self.timelines.changes(),
            Ask::Settle(to) => self.timelines.settle(to),
            Ask::End => self.timelines.flush_some(FLUSHED_AT_ONCE),
        }?;
        for refused in std::mem::take(&mut results.refused) {
            effects.refuse(&plan.name, refused.rank, refused.reason, String::new());
        }
        let has_more = results.more;
        let rows = self.stage_rows(stage, results)?;
        Ok(Found { rows, has_more })
    }

    fn stage_rows(&self, stage: &KeyedStage, results: Results) -> Result<Option<StageRows>, CoreError> {
        if results.is_empty() {
            return Ok(None);
        }
        Ok(Some(stage_rows(stage, &self.timelines, results)?))
    }

    /// Drops state that no lookup and no correction can need.
    pub fn expire(&mut self) {
        self.timelines.expire();
    }

    /// Shows every block of state that changed since this was last asked.
    pub fn dirty(&mut self, out: &mut StateSink<'_>) {
        self.timelines.encode_dirty(&mut |key, block, value| out(Name { key, block }, value));
    }

    /// Shows every block of state. What [`Segment::dirty`] has still to show stays so.
    pub fn all(&self, out: &mut StateSink<'_>) {
        self.timelines.encode_all(&mut |key, block, value| out(Name { key, block }, value));
    }

    /// Takes a block of state of its key groups back. All are to be taken back, then [`Segment::restore_done`] called,
    /// before anything else.
    pub fn restore(&mut self, name: Name<'_>, value: &[u8]) -> Result<(), CoreError> {
        Ok(self.timelines.decode(name.key, key_hash(name.key), name.block, value)?)
    }

    /// All blocks are back. `settled` is the boundary as it was when they were stored, and `oldest` the oldest time that
    /// could be asked for then, [`EventTime::MIN`] for as far back as the plan reaches.
    pub fn restore_done(&mut self, settled: EventTime, oldest: EventTime) -> Result<(), CoreError> {
        self.timelines.restore_done(settled, oldest)?;
        self.timelines.expire();
        Ok(())
    }

    /// The boundary up to which it is settled; [`EventTime::MIN`] before the first watermark.
    pub fn settled(&self) -> EventTime {
        self.timelines.settled()
    }

    /// The oldest time that may be asked for.
    pub fn oldest(&self) -> EventTime {
        self.timelines.oldest()
    }

    /// Whether a stored block is out of reach and need not be kept.
    pub fn is_expired(&self, name: Name<'_>) -> bool {
        self.timelines.is_expired(name.block)
    }

    /// How much is held. Walks over everything: not for every batch.
    pub fn stats(&self) -> Stats {
        self.timelines.stats()
    }

    /// The keys among these slots, in no order, and the hash of each; [`Segment::slots`] bounds them.
    pub fn keys(&self, slots: Range<usize>) -> impl Iterator<Item = (&[u8], u64)> {
        self.timelines.keys(slots)
    }

    /// One more than the highest slot that was ever given.
    pub fn slots(&self) -> usize {
        self.timelines.slots()
    }
}
