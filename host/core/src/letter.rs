//! Dead letters: what is kept of an event that could not be used, of a result that could not be computed, or of a part
//! of a source that was not read.
//!
//! Must not know where letters go: whoever hosts the core keeps them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;
use weir_event::PartitionId;

/// An event that was set aside, a result of which some value is an error, or a part of a source that was not read.
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
        /// Where in its source it stands, for a person to look at, such as a file; the host fills it in.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        place: Option<String>,
        /// Its first bytes, lossily as text; empty where they are no longer at hand.
        payload: String,
    },
    /// Something that holds no event of the log, such as a file that came too late to be read; the reason names it.
    Unread {
        /// The partition that it would have belonged to.
        partition: PartitionId,
        /// The offset of the event before which that was found.
        before: u64,
    },
    /// A result.
    Result {
        /// What tells it from others.
        result: FailedResult,
    },
}

/// A result of which some value is an error, by what tells it from others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedResult {
    /// The columns of its key.
    pub key: Map<String, Value>,
    /// Its window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<FailedWindow>,
    /// Of `OVER`: where its event stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<EventPlace>,
    /// The columns that are null for it; none where HAVING has no value, so that the result has no row.
    pub columns: Vec<String>,
    /// Why, of the first of them.
    #[serde(skip)]
    pub reason: String,
}

/// Bounds of a window as RFC 3339 texts; the end is exclusive.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FailedWindow {
    /// Its first moment.
    pub start: String,
    /// The moment behind its last.
    pub end: String,
}

/// Where an event stands in its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EventPlace {
    /// The partition.
    pub partition: PartitionId,
    /// Its offset there.
    pub offset: u64,
}

impl fmt::Display for FailedResult {
    /// Its key, then the window or event.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Value::Object(self.key.clone()))?;
        if let Some(window) = &self.window {
            write!(f, " {} to {}", window.start, window.end)?;
        }
        if let Some(place) = self.event {
            write!(f, " at {}:{}", place.partition, place.offset)?;
        }
        Ok(())
    }
}

impl DeadLetter {
    /// About an event; `payload` is its first bytes.
    pub fn of_event(job: &str, reason: String, partition: PartitionId, offset: u64, payload: String) -> Self {
        DeadLetter {
            job: job.to_owned(),
            reason,
            subject: Subject::Event { partition, offset, place: None, payload },
        }
    }

    /// Says where the event stands that it is about, if that is of this partition, from this offset on.
    pub fn stands_at(&mut self, of: PartitionId, from: u64, at: &Option<String>) {
        if let Subject::Event { partition, offset, place, .. } = &mut self.subject
            && *partition == of
            && *offset >= from
        {
            place.clone_from(at);
        }
    }

    /// About a part of a source that was not read, found before the event of this offset.
    pub fn of_unread(job: &str, reason: String, partition: PartitionId, before: u64) -> Self {
        DeadLetter { job: job.to_owned(), reason, subject: Subject::Unread { partition, before } }
    }

    /// About a result.
    pub fn of_result(job: &str, result: FailedResult) -> Self {
        let reason = result.reason.clone();
        DeadLetter { job: job.to_owned(), reason, subject: Subject::Result { result } }
    }

    /// The result that it is about.
    pub fn failed_result(&self) -> Option<&FailedResult> {
        match &self.subject {
            Subject::Event { .. } | Subject::Unread { .. } => None,
            Subject::Result { result } => Some(result),
        }
    }

    /// The offset of the event that it is about.
    pub fn offset(&self) -> Option<u64> {
        match &self.subject {
            Subject::Event { offset, .. } => Some(*offset),
            Subject::Unread { .. } | Subject::Result { .. } => None,
        }
    }
}
