//! Dead letters: what is kept of an event that could not be used, or of a result that could not be computed.
//!
//! Must not know where letters go: whoever hosts the core keeps them.

use crate::keyed::failures::FailedResult;
use serde::{Deserialize, Serialize};
use weir_event::PartitionId;

/// An event that was set aside, or a result of which some value is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// The job that could not use it.
    pub job: String,
    /// Why.
    pub reason: String,
    /// What it is about.
    #[serde(flatten)]
    pub subject: Subject,
}

/// What a dead letter is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Subject {
    /// An event.
    Event {
        /// The partition that it came from.
        partition: PartitionId,
        /// Its offset there.
        offset: u64,
        /// Its first bytes, lossily as text; empty where they are no longer at hand.
        payload: String,
    },
    /// A result.
    Result {
        /// What tells it from others.
        result: FailedResult,
    },
}

impl DeadLetter {
    /// About an event; `payload` is its first bytes.
    pub fn of_event(job: &str, reason: String, partition: PartitionId, offset: u64, payload: String) -> Self {
        DeadLetter { job: job.to_owned(), reason, subject: Subject::Event { partition, offset, payload } }
    }

    /// About a result.
    pub fn of_result(job: &str, result: FailedResult) -> Self {
        let reason = result.reason.clone();
        DeadLetter { job: job.to_owned(), reason, subject: Subject::Result { result } }
    }

    /// The result that it is about.
    pub fn failed_result(&self) -> Option<&FailedResult> {
        match &self.subject {
            Subject::Event { .. } => None,
            Subject::Result { result } => Some(result),
        }
    }

    /// The offset of the event that it is about.
    pub fn offset(&self) -> Option<u64> {
        match &self.subject {
            Subject::Event { offset, .. } => Some(*offset),
            Subject::Result { .. } => None,
        }
    }
}
