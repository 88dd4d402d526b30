//! A stage with windows on a grid: rows into panes, windows out of panes.
//!
//! Follow a row: `insert.rs` puts it into its pane, `settle.rs` returns windows that are complete, `change.rs` those
//! that changed, `look.rs` answers a lookup, `reach.rs` drops what nobody may ask for, `stored.rs` is what a checkpoint
//! keeps.

mod blocks;
pub(crate) mod change;
pub(crate) mod coarse;
mod fold;
pub(crate) mod hop;
mod insert;
pub(crate) mod kept;
mod kept_change;
mod look;
mod ordered;
mod reach;
mod settle;
mod stored;

use crate::geometry::{Geometry, PaneStart, WindowName};
use crate::pane::Pane;
use crate::spec::StageSpec;
use crate::tiles::Panes;
use change::Changes;
use coarse::Coarse;
use hop::Hop;
use kept::Kept;
use ordered::Ordered;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Panes, cursor and, for ordered aggregates, logs of one segment.
pub(crate) struct GridStage {
    pub(crate) spec: Arc<StageSpec>,
    pub(crate) geometry: Geometry,
    pub(crate) panes: Panes,
    pub(crate) ordered: Option<Ordered>,
    /// Folds of many panes; only where windows are long.
    pub(crate) coarse: Option<Coarse>,
    /// Stands on the newest complete window; only where windows overlap.
    pub(crate) hop: Option<Hop>,
    pub(crate) settled: i64,
    /// The newest window that is complete.
    closed: Option<WindowName>,
    /// The last window that a flush in parts has returned; only between its parts.
    flushed: Option<WindowName>,
    /// What has changed; only if that will be asked for.
    pub(crate) changes: Option<Changes>,
    /// Stored notes on windows, by key, that nobody keeps up to date any more: they go with the next commit, so that who
    /// asks for changes again does not take them for true.
    pub(crate) unread: Vec<(Box<[u8]>, WindowName)>,
    /// Panes and slots that late rows came into after windows over them were returned.
    due: BTreeSet<(PaneStart, u32)>,
    /// Windows that some rows in their panes do not count in.
    pub(crate) kept: Kept,
    /// How far the horizon is behind the boundary, milliseconds.
    pub(crate) reach: i64,
    /// The oldest time that may be asked for, as it was when the boundary last moved.
    pub(crate) horizon: i64,
}

impl GridStage {
    pub(crate) fn new(spec: Arc<StageSpec>, geometry: Geometry) -> GridStage {
        GridStage {
            coarse: Coarse::new(&geometry, &spec.aggregates),
            geometry,
            ordered: Ordered::new(&spec),
            changes: spec.emit_changes.then(Changes::default),
            unread: Vec::new(),
            reach: spec.reach().millis(),
            spec,
            panes: Panes::new(),
            hop: None,
            settled: i64::MIN,
            closed: None,
            flushed: None,
            due: BTreeSet::new(),
            kept: Kept::default(),
            horizon: i64::MIN,
        }
    }

    /// The newest window that is complete.
    pub(crate) fn closed(&self) -> Option<WindowName> {
        self.closed
    }

    pub(crate) fn settled(&self) -> i64 {
        self.settled
    }

    /// When the next window becomes complete that has rows.
    pub(crate) fn next_result(&self) -> Option<i64> {
        if !self.due.is_empty() || self.kept.has_changed(self.closed) {
            return Some(i64::MIN);
        }
        self.next_window(self.closed).map(|window| self.geometry.end_of(window))
    }

    /// Forgets what is kept of keys that are gone.
    pub(crate) fn forget(&mut self, slots: &[u32]) {
        if let Some(ordered) = &mut self.ordered {
            slots.iter().for_each(|slot| ordered.logs.forget(*slot));
        }
        if let Some(changes) = self.changes.as_mut().filter(|_| !slots.is_empty()) {
            changes.forget(slots);
        }
    }

    pub(crate) fn tiles(&self) -> u64 {
        self.panes.values().map(|pane| pane.slots.len() as u64).sum()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let panes: usize = self.panes.values().map(Pane::memory_bytes).sum();
        let logs = self.ordered.as_ref().map_or(0, |ordered| ordered.logs.memory_bytes());
        let changes = self.changes.as_ref().map_or(0, Changes::memory_bytes);
        let coarse = self.coarse.as_ref().map_or(0, Coarse::memory_bytes);
        panes
            + logs
            + changes
            + coarse
            + self.kept.memory_bytes()
            + self.hop.as_ref().map_or(0, Hop::memory_bytes)
    }
}
