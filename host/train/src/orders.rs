//! What the workers of a job are told, in one order for all: rows that count, how far everything is settled, and what is
//! asked meanwhile.

use crate::kept_worker::Keep;
use arrow_array::RecordBatch;
use std::ops::Range;
use std::sync::Arc;
use weir_core::{AsOf, Entities, KeyedRows};
use weir_event::EventTime;

/// Something to do.
#[derive(Debug, Clone)]
pub(crate) enum Order {
    /// Inserts these of the rows, by index.
    Rows(Arc<OwnRows>, Range<u32>),
    /// Nothing comes any more from before this time that is not late.
    Settle(EventTime),
    /// Answers, for the worker whose key it is.
    Ask(Ask),
    /// Keeps everything for a checkpoint, which nothing comes behind until all have done so.
    Keep(Keep),
}

/// Rows of a block that count, with those of each worker.
#[derive(Debug)]
pub(crate) struct OwnRows {
    pub(crate) rows: Arc<KeyedRows>,
    /// Row indices of each worker, rising.
    own: Vec<Vec<u32>>,
}

impl OwnRows {
    /// Divides rows among workers by their key groups.
    pub(crate) fn of(rows: Arc<KeyedRows>, groups: &[Range<u16>]) -> OwnRows {
        let own = |groups: &Range<u16>| {
            let mut own = rows.of_groups(groups).to_vec();
            own.sort_unstable();
            own
        };
        OwnRows { own: groups.iter().map(own).collect(), rows }
    }

    /// Those of a range that are a worker's.
    pub(crate) fn of_worker(&self, worker: usize, range: &Range<u32>) -> &[u32] {
        let own = &self.own[worker];
        let at = |row: u32| own.partition_point(|other| *other < row);
        &own[at(range.start)..at(range.end)]
    }
}

/// A row of the spine, at its moment.
#[derive(Debug, Clone)]
pub(crate) struct Ask {
    /// Whose key it is.
    pub(crate) worker: usize,
    pub(crate) rows: Arc<Asking>,
    /// Which of them.
    pub(crate) row: usize,
    pub(crate) as_of: AsOf,
    /// The time that values are as of, which there is not before any event.
    pub(crate) time: Option<EventTime>,
    /// Since when the job has all data; `None` for all that was ever in its logs.
    pub(crate) since: Option<EventTime>,
    /// Whether the history ends before the time that values look ahead to.
    pub(crate) is_cut_off: bool,
}

/// Rows of the spine.
#[derive(Debug)]
pub(crate) struct Asking {
    /// As they are sorted.
    pub(crate) rows: RecordBatch,
    /// Whom they ask about.
    pub(crate) entities: Entities,
}
