//! Watermarks: one per partition, kept from that partition's log alone, and the job's, their minimum.
//!
//! A watermark W is the promise that every later row has an event time at or after W; a row that breaks it is
//! late. Knows no clock: idleness is decided by who calls.

use crate::position::PartitionId;
use crate::time::{EventTime, Span};
use std::collections::BTreeMap;

/// The watermark of one partition: its newest event time less the disorder, and at least what its source has promised.
/// Never goes back.
///
/// ```
/// use weir_event::{EventTime, PartitionWatermark, Span};
/// let mut watermark = PartitionWatermark::new(Span::from_millis(10));
/// watermark.observe(EventTime::from_millis(100));
/// watermark.observe(EventTime::from_millis(95));
/// assert_eq!(watermark.current(), EventTime::from_millis(90));
/// watermark.promise(EventTime::from_millis(98));
/// assert_eq!(watermark.current(), EventTime::from_millis(98));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartitionWatermark {
    disorder: Span,
    newest: EventTime,
    promised: EventTime,
}

impl PartitionWatermark {
    /// Of a partition that has no row yet.
    pub fn new(disorder: Span) -> Self {
        PartitionWatermark { disorder, newest: EventTime::MIN, promised: EventTime::MIN }
    }

    /// Of a partition whose newest event time was kept with a commit.
    pub fn resume(disorder: Span, newest: EventTime) -> Self {
        PartitionWatermark { disorder, newest, promised: EventTime::MIN }
    }

    /// Takes a row's event time into account.
    pub fn observe(&mut self, time: EventTime) {
        self.newest = self.newest.max(time);
    }

    /// The source promises that every later row has an event time at or after this.
    pub fn promise(&mut self, time: EventTime) {
        self.promised = self.promised.max(time);
    }

    /// What the source has promised; [`EventTime::MIN`] where it promises nothing.
    pub fn promised(&self) -> EventTime {
        self.promised
    }

    /// The newest event time seen; [`EventTime::MIN`] before the first row.
    pub fn newest(&self) -> EventTime {
        self.newest
    }

    /// The promise; [`EventTime::MIN`] before the first row and any promise of the source.
    pub fn current(&self) -> EventTime {
        let of_rows =
            if self.newest == EventTime::MIN { EventTime::MIN } else { self.newest - self.disorder };
        of_rows.max(self.promised)
    }
}

/// The watermark of a job: the minimum over the partitions that hold it. Never goes back.
#[derive(Debug, Clone, Default)]
pub struct JobWatermark {
    partitions: BTreeMap<PartitionId, Holder>,
    current: Option<EventTime>,
}

#[derive(Debug, Clone, Copy)]
struct Holder {
    watermark: EventTime,
    idle: bool,
}

impl JobWatermark {
    /// Of a job that had reached `current` at its last commit, if it had one.
    pub fn resume(current: Option<EventTime>) -> Self {
        JobWatermark { partitions: BTreeMap::new(), current }
    }

    /// A partition that holds the watermark back until its first row.
    pub fn add(&mut self, partition: PartitionId) {
        self.partitions.entry(partition).or_insert(Holder { watermark: EventTime::MIN, idle: false });
    }

    /// What a partition promises now; it holds the watermark again if it was idle.
    pub fn update(&mut self, partition: PartitionId, watermark: EventTime) {
        self.partitions.insert(partition, Holder { watermark, idle: false });
    }

    /// A partition of which nothing more will come: it does not hold the watermark back any more.
    pub fn remove(&mut self, partition: PartitionId) {
        self.partitions.remove(&partition);
    }

    /// Those that hold it back, or do so when they are not idle.
    pub fn partitions(&self) -> impl Iterator<Item = PartitionId> {
        self.partitions.keys().copied()
    }

    /// Whether a partition holds the watermark back.
    pub fn set_idle(&mut self, partition: PartitionId, idle: bool) {
        if let Some(holder) = self.partitions.get_mut(&partition) {
            holder.idle = idle;
        }
    }

    /// Whether a partition does not hold the watermark back.
    pub fn is_idle(&self, partition: PartitionId) -> bool {
        self.partitions.get(&partition).is_some_and(|holder| holder.idle)
    }

    /// Whether there are partitions and none holds the watermark back.
    pub fn all_idle(&self) -> bool {
        !self.partitions.is_empty() && self.partitions.values().all(|holder| holder.idle)
    }

    /// Moves on to `to` whatever the partitions say: the wall's pace while all are idle.
    pub fn advance_to(&mut self, to: EventTime) {
        self.current = Some(self.current.map_or(to, |current| current.max(to)));
    }

    /// What it was when it was last asked for, if it was anything: for [`JobWatermark::resume`].
    pub fn reached(&self) -> Option<EventTime> {
        self.current
    }

    /// The job's watermark, [`EventTime::MIN`] while a partition that holds it has no row.
    pub fn current(&mut self) -> EventTime {
        let holders = || self.partitions.values().filter(|holder| !holder.idle);
        // When all are idle, what they reached before still counts; only the wall moves it further.
        let minimum = match holders().map(|holder| holder.watermark).min() {
            Some(minimum) => minimum,
            None => self.partitions.values().map(|holder| holder.watermark).max().unwrap_or(EventTime::MIN),
        };
        if minimum > EventTime::MIN {
            self.advance_to(minimum);
        }
        self.current.unwrap_or(EventTime::MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: u16) -> PartitionId {
        PartitionId { source: 0, partition: number }
    }

    #[test]
    fn a_partition_without_rows_holds_the_job_back_until_it_is_idle() {
        let mut job = JobWatermark::default();
        job.add(partition(0));
        job.add(partition(1));
        job.update(partition(0), EventTime::from_millis(50));
        assert_eq!(job.current(), EventTime::MIN);
        job.set_idle(partition(1), true);
        assert_eq!(job.current(), EventTime::from_millis(50));
    }

    #[test]
    fn one_that_has_ended_holds_nothing_back_and_moves_nothing() {
        let mut job = JobWatermark::default();
        job.update(partition(0), EventTime::from_millis(50));
        job.update(partition(1), EventTime::from_millis(20));
        job.add(partition(2));
        job.remove(partition(1));
        assert_eq!(job.current(), EventTime::MIN, "a new one holds it");
        job.update(partition(2), EventTime::from_millis(60));
        assert_eq!(job.current(), EventTime::from_millis(50));
        job.remove(partition(0));
        job.remove(partition(2));
        assert_eq!(job.current(), EventTime::from_millis(50));
        assert!(!job.all_idle(), "it does not go on by itself");
    }

    #[test]
    fn it_never_goes_back() {
        let mut job = JobWatermark::default();
        job.update(partition(0), EventTime::from_millis(50));
        assert_eq!(job.current(), EventTime::from_millis(50));
        job.update(partition(1), EventTime::from_millis(20));
        assert_eq!(job.current(), EventTime::from_millis(50));
    }

    #[test]
    fn when_all_are_idle_the_furthest_counts() {
        let mut job = JobWatermark::default();
        job.update(partition(0), EventTime::from_millis(50));
        job.update(partition(1), EventTime::from_millis(20));
        job.set_idle(partition(0), true);
        job.set_idle(partition(1), true);
        assert!(job.all_idle());
        assert_eq!(job.current(), EventTime::from_millis(50));
    }
}
