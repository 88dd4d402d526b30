//! The truth of one key's run at a time: its state, and the rows that have to come into it or out of it.

use super::{RunStage, is_deferred};
use crate::feed::{Feed, Feeder};
use crate::marks::Marks;
use crate::row_log::Log;
use crate::snapshot::{Part, Snapshot, Tile};
use std::ops::Range;
use weir_event::EventTime;

/// A run as of a time.
struct Cut {
    run: u32,
    slot: u32,
    /// Its rows up to then that are in the log.
    rows: Range<u64>,
    /// One past its last row that is in the log.
    end: u64,
}

impl RunStage {
    /// A key's newest run at a time, from rows up to it.
    pub(crate) fn snapshot(&self, slot: u32, as_of: i64) -> Snapshot {
        let mut snapshot = Snapshot::absent(&self.spec, 1);
        snapshot.as_of = as_of;
        let found = self.table.at(slot, as_of).filter(|_| as_of >= self.horizon);
        let (Some(run), Some(log)) = (found, self.logs.find(slot)) else { return snapshot };
        let run_now = self.table.run(run);
        let (from, end) = (log.first_at(run_now.start), log.first_after(run_now.last));
        let to = log.first_after(as_of).clamp(from, end);
        let is_whole = as_of >= run_now.last;
        let last = if is_whole {
            run_now.last
        } else {
            // A late row may be in the log though it is older than those that are gone.
            let logged = (to > from).then(|| log.time(to - 1));
            logged.max(self.bases.last(run)).unwrap_or(run_now.start)
        };
        let window_end = self.table.end_after(last);
        let is_forgotten = match (self.closes, self.spec.retention) {
            (true, Some(retention)) => window_end.saturating_add(retention.millis()) <= as_of,
            (true, None) => false,
            (false, _) => window_end < as_of,
        };
        if is_forgotten {
            return snapshot;
        }
        if self.closes {
            snapshot.as_of = window_end;
            let [start, end] = [run_now.start, window_end].map(EventTime::from_millis);
            snapshot.window = Some((start, end));
        }
        snapshot.rows[0] = run_now.rows.saturating_sub(end - to);
        snapshot.newest[0] = Some(EventTime::from_millis(last));
        let cut = Cut { run, slot, rows: from..to, end };
        snapshot.parts = (0..self.states.len()).map(|at| self.part(at, log, &cut)).collect();
        snapshot
    }

    fn part(&self, at: usize, log: &Log, cut: &Cut) -> Part {
        let aggregate = &self.spec.aggregates[at];
        let feed = |rows: Range<u64>| -> Feed {
            let mut feeder = Feeder::new(&self.logs.layout, aggregate);
            feeder.push(log, rows);
            feeder.finish()
        };
        let identity = || aggregate.function.states();
        let whole = || match self.states[at].len() > cut.run as usize {
            true => self.states[at].copy(&[cut.run]),
            false => self.bases.copy(at, cut.run, identity()),
        };
        let after = cut.rows.end..cut.end;
        let (states, entering) = if is_deferred(aggregate) {
            let settled = self.logs.settled(cut.slot).clamp(cut.rows.start, cut.end);
            let is_behind = self.table.run(cut.run).marks.has(Marks::REFOLD) || cut.rows.end < settled;
            if is_behind {
                (self.bases.copy(at, cut.run, identity()), cut.rows.clone())
            } else {
                (whole(), settled..cut.rows.end)
            }
        } else if after.is_empty() {
            (whole(), after)
        } else if aggregate.function.card().inverse && after.end - after.start < cut.rows.end - cut.rows.start
        {
            return Part::Rows { states: whole(), entering: feed(0..0), leaving: feed(after) };
        } else {
            (self.bases.copy(at, cut.run, identity()), cut.rows.clone())
        };
        let pending = Some(feed(entering)).filter(|feed| !feed.times.is_empty());
        Part::Tiles { identity: identity(), before: Vec::new(), after: vec![Tile { states, pending }] }
    }
}
