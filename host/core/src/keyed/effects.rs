//! What follows from something that was done to the keyed stage. Whoever hosts the core does it.

use crate::counts::Counts;
use crate::keyed::emit::ResultRows;
use crate::letter::DeadLetter;
use crate::letter::FailedResult;
use weir_event::Rank;

/// Result rows, in order, and what is to be kept and counted.
#[derive(Debug, Default)]
pub struct Effects {
    /// Result rows for the sinks.
    pub results: Vec<ResultRows>,
    /// Events that an aggregate failed on or that were too late, and results of which some value is an error.
    pub letters: Vec<DeadLetter>,
    /// What was counted.
    pub counts: Counts,
}

impl Effects {
    /// Whether nothing follows.
    pub fn is_empty(&self) -> bool {
        self.results.is_empty() && self.letters.is_empty() && self.counts == Counts::default()
    }

    /// Results of which some value is an error, among the letters.
    pub fn failed_results(&self) -> impl Iterator<Item = &FailedResult> {
        self.letters.iter().filter_map(DeadLetter::failed_result)
    }

    /// An event is set aside, with its payload if that is still at hand.
    pub(crate) fn refuse(&mut self, job: &str, rank: Rank, reason: String, payload: String) {
        self.counts.dead_letters += 1;
        self.letters.push(DeadLetter::of_event(job, reason, rank.partition, rank.record(), payload));
    }

    /// Results failed.
    pub(crate) fn fail(&mut self, job: &str, failed: Vec<FailedResult>) {
        self.counts.failed_results += failed.len() as u64;
        self.letters.extend(failed.into_iter().map(|result| DeadLetter::of_result(job, result)));
    }
}
