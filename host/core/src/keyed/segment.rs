//! A segment: the timelines of a contiguous range of key groups, with one boundary up to which they are settled.
//!
//! Knows what rows, results and stored state mean to timelines. Whoever works on it holds a lock, so that it does only
//! what timelines are needed for, and returns what the rest is made of. Must not know who else holds it, or how.

use crate::counts::Counts;
use crate::error::CoreError;
use crate::halve::{Halved, halve};
use crate::intake::route::KeyedRows;
use crate::keyed::entered::Entered;
use crate::keyed::found::Found;
use crate::keyed::lookup::EntityKey;
use crate::keyed::reached::Reached;
use crate::keyed::views::has_views;
use crate::keyed::written::Written;
use crate::stored::Name;
use std::ops::Range;
use weir_event::{EventTime, KeyGroup, key_hash};
use weir_plan::KeyedStage;
use weir_timeline::{AggregateError, Block, Results, Rows, Slot, Stats, Timelines};

/// Current results are found for so many slots of a segment at a time: it is locked meanwhile.
pub(crate) const SLOTS_AT_ONCE: usize = 1 << 10;

/// A flush is made in parts of about so many results of a segment, for the sake of memory.
const FLUSHED_AT_ONCE: usize = 1 << 16;

/// Takes blocks of state: the name, and the bytes or `None` if the block is gone.
pub type StateSink<'a> = dyn FnMut(Name<'_>, Option<&[u8]>) + 'a;

/// The timelines of a range of key groups.
pub struct Segment {
    groups: Range<u16>,
    pub(crate) timelines: Timelines,
    /// How far its groups had come when they were stored, as far as they were taken back.
    restored: Option<Reached>,
    /// How far they had come when they were last shown.
    shown: Option<Reached>,
    /// Which results sinks have; empty where none can be taken back.
    pub(crate) written: Written,
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
    /// The current result of each key again, from this slot on.
    Current(usize),
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
        Ok(Segment { groups, timelines, restored: None, shown: None, written: Written::default() })
    }

    /// Nobody but who inserts rows looks anything up, and follows a key before.
    pub(crate) fn asked_in_order(self) -> Segment {
        Segment { timelines: self.timelines.asked_in_order(), ..self }
    }

    /// Does of a key what makes the next lookup fast.
    pub(crate) fn follow(&mut self, key: EntityKey<'_>) -> Result<(), CoreError> {
        match self.timelines.slot(key.bytes, key.hash) {
            Some(slot) => Ok(self.timelines.follow(slot)?),
            None => Ok(()),
        }
    }

    /// Its key groups.
    pub fn groups(&self) -> &Range<u16> {
        &self.groups
    }

    /// Inserts rows of its key groups.
    pub(crate) fn insert(&mut self, batch: &KeyedRows, rows: &[u32]) -> Result<Entered, CoreError> {
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
        let parts = parts.into_iter().map(|(_, inserted)| inserted).collect();
        Ok(Entered { parts, failed, settled: self.timelines.settled() })
    }

    /// Asks for results.
    pub(crate) fn ask(&mut self, ask: Ask) -> Result<Found, CoreError> {
        let results = match ask {
            Ask::Changes => self.timelines.changes(),
            Ask::Settle(to) => self.timelines.settle(to),
            Ask::End => self.timelines.flush_some(FLUSHED_AT_ONCE),
            Ask::Current(from) => {
                let to = from + SLOTS_AT_ONCE;
                let more = to < self.timelines.slots();
                self.timelines.current(from..to).map(|current| Results { more, ..current })
            }
        }?;
        Ok(Found::of(&self.timelines, results))
    }

    /// Drops state that no lookup and no correction can need.
    pub fn expire(&mut self) {
        self.timelines.expire();
        let timelines = &self.timelines;
        let reach = timelines.spec().history;
        self.written.expire(timelines.settled() - reach, |key| timelines.slot(key, key_hash(key)).is_some());
    }

    /// Shows everything of its state that changed since this was last asked; `revision` is the highest that a result of
    /// its keys may have, and `counts` what is to be stored with its first group. About `limit` blocks at the most; whether
    /// none is left.
    pub(crate) fn dirty(
        &mut self,
        revision: u64,
        counts: Counts,
        limit: usize,
        out: &mut StateSink<'_>,
    ) -> bool {
        let reached = self.reached(revision, counts);
        if self.shown != Some(reached) {
            self.show_reached(reached, out);
            self.shown = Some(reached);
        }
        let limit = limit.saturating_sub(self.written.show_dirty(limit, out));
        self.timelines.encode_some(limit, &mut |key, block, value| out(Name::Block { key, block }, value))
    }

    /// Shows everything of its state. What [`Segment::dirty`] has still to show stays so.
    pub(crate) fn all(&self, revision: u64, counts: Counts, out: &mut StateSink<'_>) {
        self.show_reached(self.reached(revision, counts), out);
        self.blocks(out);
    }

    /// Shows every block of its state, without how far its groups have come.
    pub fn blocks(&self, out: &mut StateSink<'_>) {
        self.timelines.encode_all(&mut |key, block, value| out(Name::Block { key, block }, value));
        self.written.show_all(out);
    }

    /// Shows of each of its groups how far it has come; the first has the counts.
    pub fn show_reached(&self, reached: Reached, out: &mut StateSink<'_>) {
        let first = reached.encode();
        let others = Reached { counts: Counts::default(), ..reached }.encode();
        for group in self.groups.clone() {
            let bytes = if group == self.groups.start { &first } else { &others };
            out(Name::Reached(KeyGroup(group)), Some(bytes));
        }
    }

    fn reached(&self, revision: u64, counts: Counts) -> Reached {
        Reached { settled: self.settled(), oldest: self.oldest(), revision, counts }
    }

    /// Takes something of the state of its key groups back. All is to be taken back, then [`Segment::restore_done`]
    /// called, before anything else.
    pub fn restore(&mut self, name: Name<'_>, value: &[u8]) -> Result<(), CoreError> {
        match name {
            Name::Reached(_) => self.restore_reached(Reached::decode(value)?),
            Name::Block { key, block: Block { column: Name::WRITTEN, .. } } => {
                self.written.restore(key, value)?;
            }
            Name::Block { key, block } => self.timelines.decode(key, key_hash(key), block, value)?,
        }
        Ok(())
    }

    /// So far some of its groups had come: for who has it from elsewhere than their state.
    pub fn restore_reached(&mut self, reached: Reached) {
        self.restored = Some(self.restored.map_or(reached, |others| others.together_with(reached)));
    }

    /// Everything is back.
    pub fn restore_done(&mut self) -> Result<(), CoreError> {
        let Some(Reached { settled, oldest, .. }) = self.restored else {
            // Nothing is ever stored of a group without how far it has come.
            let is_empty = self.slots() == 0;
            let message = format!("of key groups {:?} it is not stored how far they had come", self.groups);
            return if is_empty { Ok(()) } else { Err(CoreError::Damaged(message)) };
        };
        self.timelines.restore_done(settled, oldest)?;
        self.expire();
        Ok(())
    }

    /// How far its groups had come when its state was stored; `None` of one that has none.
    pub(crate) fn restored(&self) -> Option<Reached> {
        self.restored
    }

    /// The boundary up to which it is settled; [`EventTime::MIN`] before the first watermark.
    pub fn settled(&self) -> EventTime {
        self.timelines.settled()
    }

    /// The oldest time that may be asked for.
    pub fn oldest(&self) -> EventTime {
        self.timelines.oldest()
    }

    /// Whether something stored is out of reach and need not be kept.
    pub fn is_expired(&self, name: Name<'_>) -> bool {
        match name {
            Name::Reached(_) | Name::Block { block: Block { column: Name::WRITTEN, .. }, .. } => false,
            Name::Block { block, .. } => self.timelines.is_expired(block),
        }
    }

    /// Walks over everything that is held to find how much memory it takes, which [`Segment::stats`] otherwise knows as it
    /// was a while ago.
    pub fn measure(&mut self) {
        self.timelines.measure();
    }

    /// How much is held.
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
