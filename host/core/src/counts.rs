//! What a job counts. Every step says what it adds. The sums are part of what is stored of partitions and key groups, so that
//! they move along with them; whoever has a place of its own for them may keep them there.

use serde::{Deserialize, Serialize};

/// What a job has counted since its first start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Counts {
    /// Events read.
    pub events: u64,
    /// Rows that came after a result they belong to was final for their partition.
    pub late: u64,
    /// Late rows that did not count any more (too late to correct, or by policy).
    pub dropped: u64,
    /// Rows whose id was seen before.
    pub duplicates: u64,
    /// Events, results and parts of a source set aside.
    pub dead_letters: u64,
    /// Records passed over without fault (Kafka tombstones).
    pub skipped: u64,
    /// Result rows handed to the sinks.
    pub results: u64,
    /// Results that could not be computed (an overflow).
    pub failed_results: u64,
    /// Events that could not be used: broken, of a wrong type, of a time that cannot be, or failing an expression.
    pub refused: u64,
}

impl Counts {
    /// Adds what somebody else has counted.
    pub fn add(&mut self, other: Counts) {
        self.events += other.events;
        self.late += other.late;
        self.dropped += other.dropped;
        self.duplicates += other.duplicates;
        self.refused += other.refused;
        self.dead_letters += other.dead_letters;
        self.skipped += other.skipped;
        self.results += other.results;
        self.failed_results += other.failed_results;
    }

    /// As they are stored.
    pub(crate) fn to_numbers(self) -> [u64; COUNTS] {
        let Counts { events, late, dropped, duplicates, dead_letters, skipped, .. } = self;
        let Counts { results, failed_results, refused, .. } = self;
        [events, late, dropped, duplicates, dead_letters, skipped, results, failed_results, refused]
    }

    /// What [`Counts::to_numbers`] gave.
    pub(crate) fn of_numbers(numbers: [u64; COUNTS]) -> Counts {
        let [events, late, dropped, duplicates, dead_letters, skipped, results, failed_results, refused] =
            numbers;
        Counts { events, late, dropped, duplicates, dead_letters, skipped, results, failed_results, refused }
    }
}

/// How many numbers they are.
pub(crate) const COUNTS: usize = 9;
