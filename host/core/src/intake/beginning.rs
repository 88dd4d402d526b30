//! Where in a partition's log a job began, which says since when it has all data.

use serde::{Deserialize, Serialize};
use weir_event::{EventTime, Span};

/// Where in a partition's log a job began. Offsets count from 0, so a job whose first record has another one has
/// not seen the log's beginning: it started later (`latest`, a time), or retention had cut the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Beginning {
    /// At the first record.
    #[default]
    Whole,
    /// Behind it, and no row has come yet.
    Cut,
    /// Behind it; everything from this event time on was read. (What lies before the first row in the log may be
    /// as much newer as the disorder allows.)
    Since(EventTime),
}

impl Beginning {
    /// Of a partition whose first record (or, without one, first position) has this offset.
    pub fn at(offset: u64) -> Self {
        if offset == 0 { Beginning::Whole } else { Beginning::Cut }
    }

    /// Takes the first row's event time into account.
    pub fn heard(&mut self, time: EventTime, disorder: Span) {
        if *self == Beginning::Cut {
            *self = Beginning::Since(time + disorder);
        }
    }

    /// Since when everything was read; `None` for all of it, and while nothing is known.
    pub fn since(self) -> Option<EventTime> {
        match self {
            Beginning::Since(time) => Some(time),
            Beginning::Whole | Beginning::Cut => None,
        }
    }
}
