//! Failed results of a job, remembered by their reasons, for its status.

use weir_core::FailedResult;

/// So many reasons are told apart: reasons may hold values of rows, and then there are as many as rows.
const REASONS: usize = 5;

/// Results of a job that failed for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailureSample {
    /// How many.
    pub results: u64,
    /// Their reason; of what is told together, the first one.
    pub reason: String,
    /// The first of them.
    pub first: FailedResult,
}

/// What is remembered of the results that failed.
#[derive(Debug, Default)]
pub(crate) struct Failures {
    /// Of the first reasons one each; the last stands for all others too.
    by_reason: Vec<FailureSample>,
}

impl Failures {
    pub(crate) fn add<'a>(&mut self, failed: impl Iterator<Item = &'a FailedResult>) {
        for result in failed {
            let known = self.by_reason.iter().position(|sample| sample.reason == result.reason);
            let place = known.or_else(|| (self.by_reason.len() == REASONS).then_some(REASONS - 1));
            match place {
                Some(place) => self.by_reason[place].results += 1,
                None => self.by_reason.push(FailureSample {
                    results: 1,
                    reason: result.reason.clone(),
                    first: result.clone(),
                }),
            }
        }
    }

    pub(crate) fn samples(&self) -> Vec<FailureSample> {
        self.by_reason.clone()
    }
}
