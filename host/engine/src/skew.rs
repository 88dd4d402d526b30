//! Skew: partitions that run ahead of the slowest, of whatever input, by more than their stream's `max_skew` wait for it.
//!
//! What a partition has read ahead cannot be written before the slowest has come as far, and is state until then.
//! So it is paused: the reader is told, and what it still hands out is held here in order. Holding is bounded. A
//! reader that cannot pause fills the bound, and then what is least ahead goes on: waiting for the slowest, whose
//! next block may lie behind others in the reader's hands, would be waiting for ever.
//!
//! This decides when rows are taken, never what counts: each partition is judged by its own log alone. The slowest
//! is looked for among partitions that have a row and are not read to their end: those at their end have nothing
//! to catch up with, and one without a row stands nowhere.
//!
//! Knows no clock and no connector.

use crate::decode::Arrival;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use weir_event::{EventTime, PartitionId, PartitionWatermark, Span};

/// Blocks held in all: some 32 MiB of records, more than a reader that pauses has on its way.
const HELD_BLOCKS: usize = 32;

/// Who waits, and what is held of them.
#[derive(Debug)]
pub(crate) struct Skew {
    /// Of each input's stream.
    limits: Vec<Option<Span>>,
    ahead: BTreeSet<PartitionId>,
    held: BTreeMap<PartitionId, VecDeque<Arrival>>,
    /// Partitions that the reader was told to pause.
    told: BTreeSet<PartitionId>,
}

/// What to tell the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tell {
    Pause(PartitionId),
    Resume(PartitionId),
}

impl Skew {
    pub(crate) fn new(limits: Vec<Option<Span>>) -> Self {
        Skew { limits, ahead: BTreeSet::new(), held: BTreeMap::new(), told: BTreeSet::new() }
    }

    /// Judges anew who is ahead.
    pub(crate) fn judge(
        &mut self,
        watermarks: &BTreeMap<PartitionId, PartitionWatermark>,
        caught_up: &BTreeSet<PartitionId>,
    ) {
        if self.limits.iter().all(Option::is_none) {
            return;
        }
        let newest = || {
            let newest = watermarks.iter().map(|(id, watermark)| (*id, watermark.newest()));
            newest.filter(|(_, newest)| *newest > EventTime::MIN)
        };
        let slowest = newest().filter(|(id, _)| !caught_up.contains(id)).map(|(_, newest)| newest).min();
        let is_ahead = |id: PartitionId, newest: EventTime| {
            let limit = self.limits.get(id.input()).copied().flatten();
            slowest.zip(limit).is_some_and(|(slowest, limit)| newest.since(slowest) > limit)
        };
        self.ahead = newest().filter(|(id, newest)| is_ahead(*id, *newest)).map(|(id, _)| id).collect();
    }

    /// Takes in what was read; gives it back if it need not wait.
    pub(crate) fn offer(&mut self, arrival: Arrival) -> Option<Arrival> {
        let partition = arrival.partition();
        if !self.ahead.contains(&partition) && !self.held.contains_key(&partition) {
            return Some(arrival);
        }
        self.held.entry(partition).or_default().push_back(arrival);
        None
    }

    /// Something that need not wait any more, or cannot because too much is held.
    pub(crate) fn release(
        &mut self,
        watermarks: &BTreeMap<PartitionId, PartitionWatermark>,
    ) -> Option<Arrival> {
        let behind = self.held.keys().find(|id| !self.ahead.contains(id)).copied();
        let is_full = || self.held.values().map(VecDeque::len).sum::<usize>() > HELD_BLOCKS;
        let newest = |id: &&PartitionId| watermarks.get(id).map(PartitionWatermark::newest);
        let partition =
            behind.or_else(|| if is_full() { self.held.keys().min_by_key(newest).copied() } else { None })?;
        let queue = self.held.get_mut(&partition)?;
        let first = queue.pop_front();
        if queue.is_empty() {
            self.held.remove(&partition);
        }
        first
    }

    /// What the reader is to be told since the last time.
    pub(crate) fn tell(&mut self) -> Vec<Tell> {
        let pause = self.ahead.difference(&self.told).map(|id| Tell::Pause(*id));
        let resume = self.told.difference(&self.ahead).map(|id| Tell::Resume(*id));
        let tell = pause.chain(resume).collect();
        self.told.clone_from(&self.ahead);
        tell
    }

    /// The reader is gone: what is held will be read again, and the next one has been told nothing.
    pub(crate) fn forget(&mut self) {
        self.held.clear();
        self.told.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(partition: u16) -> PartitionId {
        PartitionId { source: 0, partition }
    }

    fn at(newest: &[i64]) -> BTreeMap<PartitionId, PartitionWatermark> {
        let of = |(partition, newest): (u16, &i64)| {
            (id(partition), PartitionWatermark::resume(Span::ZERO, EventTime::from_millis(*newest)))
        };
        (0..).zip(newest).map(of).collect()
    }

    #[test]
    fn who_is_ahead_of_the_slowest_that_still_reads_waits() {
        let mut skew = Skew::new(vec![Some(Span::from_millis(10))]);
        skew.judge(&at(&[5, 15, 16]), &BTreeSet::new());
        assert_eq!(skew.tell(), [Tell::Pause(id(2))]);
        assert!(skew.offer(Arrival::CaughtUp(id(1))).is_some());
        assert!(skew.offer(Arrival::CaughtUp(id(2))).is_none());
        assert!(skew.release(&at(&[5, 15, 16])).is_none());
        // What comes behind something held waits too, whoever is ahead by then.
        skew.judge(&at(&[6, 15, 16]), &BTreeSet::new());
        assert!(skew.offer(Arrival::CaughtUp(id(2))).is_none());
        assert_eq!(skew.tell(), [Tell::Resume(id(2))]);
        for _ in 0..2 {
            assert!(matches!(skew.release(&at(&[6, 15, 16])), Some(Arrival::CaughtUp(of)) if of == id(2)));
        }
        assert!(skew.release(&at(&[6, 15, 16])).is_none());
        // One at its end, or without a row, is not waited for.
        let no_row = BTreeMap::from([(id(3), PartitionWatermark::new(Span::ZERO))]);
        let mut four = at(&[6, 99, 100]);
        four.extend(no_row);
        skew.judge(&four, &BTreeSet::from([id(0)]));
        assert_eq!(skew.tell(), []);
    }

    #[test]
    fn what_is_held_is_bounded_and_the_least_ahead_goes_on() {
        let mut skew = Skew::new(vec![Some(Span::from_millis(10))]);
        let newest = at(&[0, 200, 100]);
        skew.judge(&newest, &BTreeSet::new());
        for _ in 0..HELD_BLOCKS / 2 {
            assert!(skew.offer(Arrival::CaughtUp(id(1))).is_none());
            assert!(skew.offer(Arrival::CaughtUp(id(2))).is_none());
        }
        assert!(skew.release(&newest).is_none());
        assert!(skew.offer(Arrival::CaughtUp(id(1))).is_none());
        assert!(matches!(skew.release(&newest), Some(Arrival::CaughtUp(of)) if of == id(2)));
        assert!(skew.release(&newest).is_none());
        skew.forget();
        assert_eq!(skew.tell(), [Tell::Pause(id(1)), Tell::Pause(id(2))], "a new reader was told nothing");
    }

    #[test]
    fn nobody_waits_without_a_limit() {
        let mut skew = Skew::new(vec![None]);
        skew.judge(&at(&[0, 1_000_000]), &BTreeSet::new());
        assert!(skew.tell().is_empty() && skew.offer(Arrival::CaughtUp(id(1))).is_some());
    }
}
