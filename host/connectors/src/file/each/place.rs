//! Where a partition that is a file stands, and which number a new one gets.
//!
//! Reads nothing. What stands in a place within a file is the matter of the source of that file.

use serde::{Deserialize, Serialize};
use weir_connect::{ConnectError, OpenPartition};
use weir_event::Position;

/// So many partitions a source can have.
const MOST_FILES: u32 = 1 << 16;
/// From here on it is told that they run out.
const MANY_FILES: u32 = 60_000;

/// Where a partition stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FilePlace {
    /// The file's name below the fixed part of the path.
    pub(super) file: String,
    /// What the source of the file says, once something of it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) at: Option<String>,
    /// Whether all of it was read that there was.
    #[serde(default, rename = "done", skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_done: bool,
}

impl FilePlace {
    pub(super) fn beginning(file: &str) -> FilePlace {
        FilePlace { file: file.to_owned(), at: None, is_done: false }
    }

    pub(super) fn of(open: &OpenPartition) -> Result<FilePlace, ConnectError> {
        let place = open.from.as_ref().map_or("", |position| &position.place);
        serde_json::from_str(place).map_err(|_| {
            ConnectError::user(format!(
                "`{place}` is not a place in one file: the job has read the files as one partition; leave \
                 `partitions: files` out, or start it anew with --reset"
            ))
        })
    }

    pub(super) fn position(&self, next: u64) -> Position {
        Position { next, place: serde_json::to_string(self).unwrap_or_default() }
    }

    /// As the source of the file says it.
    pub(super) fn within(&self, next: u64) -> Option<Position> {
        self.at.clone().map(|place| Position { next, place })
    }
}

/// Gives files their numbers, in the order in which they are found.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    next: u32,
}

impl Numbers {
    /// Behind those that are taken.
    pub(super) fn behind(taken: impl Iterator<Item = u16>) -> Numbers {
        let mut numbers = Numbers::default();
        taken.for_each(|number| numbers.take(number));
        numbers
    }

    /// Another one is taken.
    pub(super) fn take(&mut self, number: u16) {
        self.next = self.next.max(u32::from(number) + 1);
    }

    pub(super) fn next(&mut self) -> Result<u16, ConnectError> {
        let number = u16::try_from(self.next).map_err(|_| {
            ConnectError::user(format!(
                "more than {MOST_FILES} files were found since the job began, and each is a partition for ever; read \
                 them as one partition, without `partitions: files`, and start the job anew with --reset"
            ))
        })?;
        self.take(number);
        if self.next == MANY_FILES {
            tracing::warn!(
                "{MANY_FILES} files are partitions of a source by now, and there can be {MOST_FILES}; read them as one \
                 partition, without `partitions: files`, before these are used up"
            );
        }
        Ok(number)
    }
}
