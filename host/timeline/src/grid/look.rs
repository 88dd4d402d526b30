//! What a lookup finds of a key's window: tiles and rows that are still pending, copied out.

use super::GridStage;
use super::coarse::Coarse;
use super::kept::KeptState;
use crate::aggregate::States;
use crate::feed::Feeder;
use crate::geometry::PaneStart;
use crate::marks::Marks;
use crate::snapshot::{Part, Snapshot, Tile};
use crate::spec::{AggregateSpec, StageSpec};
use std::ops::Range;
use weir_event::EventTime;

impl GridStage {
    /// A key's window.
    pub(crate) fn snapshot(&self, slot: u32, window: Range<i64>) -> Snapshot {
        let mut snapshot = Snapshot::absent(&self.spec, 1);
        snapshot.as_of = window.end;
        if window.start >= window.end {
            return snapshot;
        }
        let named = self.geometry.find(window.start, window.end);
        if let Some(kept) = named.and_then(|window| self.kept.find(window, slot)) {
            return snapshot.of_kept(kept, &self.spec);
        }
        for pane in self.panes.range(PaneStart::within(window.clone())).map(|(_, pane)| pane) {
            let Some(group) = pane.group(slot) else { continue };
            snapshot.rows[0] += u64::from(pane.rows[group as usize]);
            let newest = Some(EventTime::from_millis(pane.newest[group as usize]));
            snapshot.newest[0] = snapshot.newest[0].max(newest);
        }
        if snapshot.rows[0] > 0 {
            let parts = (0..self.spec.aggregates.len()).map(|at| self.part(at, slot, window.clone()));
            snapshot.parts = parts.collect();
        }
        snapshot
    }

    fn part(&self, at: usize, slot: u32, window: Range<i64>) -> Part {
        let aggregate = &self.spec.aggregates[at];
        let identity = aggregate.function.states();
        let named = self.geometry.find(window.start, window.end);
        let whole = |states| Tile { states, pending: None };
        if let (Some(hop), Some(window)) = (&self.hop, named)
            && let Some([before, after]) = hop.copy(at, window, slot)
        {
            let (before, after) = (before.map(whole), after.map(whole));
            return Part::Tiles {
                identity,
                before: before.into_iter().collect(),
                after: after.into_iter().collect(),
            };
        }
        if let Some(coarse) = self.coarse.as_ref().filter(|coarse| coarse.has(at)) {
            return Part::Tiles {
                identity,
                before: Vec::new(),
                after: self.tiles_of(coarse, at, slot, PaneStart::within(window)),
            };
        }
        let of_window = PaneStart::within(window);
        let boundary = named.map_or(of_window.start, |window| self.geometry.boundary(window));
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for (start, pane) in self.panes.range(of_window) {
            let Some(group) = pane.group(slot) else { continue };
            let mut tile = Tile { states: pane.states[at].copy(&[group]), pending: None };
            if let Some(ordered) = self.ordered.as_ref().filter(|_| aggregate.is_ordered()) {
                let is_refolded = pane.marks[group as usize].has(Marks::REFOLD);
                if is_refolded {
                    tile.states.reset(&[0]);
                }
                let rows = ordered.unfolded(slot, *start, is_refolded, &self.geometry);
                let mut feeder = Feeder::new(&ordered.logs.layout, aggregate);
                if let Some(log) = ordered.logs.find(slot) {
                    feeder.push(log, rows);
                }
                tile.pending = Some(feeder.finish()).filter(|feed| !feed.times.is_empty());
            }
            if *start < boundary { before.push(tile) } else { after.push(tile) }
        }
        Part::Tiles { identity, before, after }
    }

    /// The tiles of a key in a window, coarse ones where there are.
    fn tiles_of(&self, coarse: &Coarse, at: usize, slot: u32, window: Range<PaneStart>) -> Vec<Tile> {
        let tile = |states: &dyn States, group: u32| Tile { states: states.copy(&[group]), pending: None };
        let mut tiles = Vec::new();
        for stretch in coarse.stretches(at, window) {
            if let Some((states, group)) = stretch.find(slot) {
                tiles.push(tile(states, group));
                continue;
            }
            let panes = self.panes.range(stretch.panes).map(|(_, pane)| pane);
            tiles.extend(panes.filter_map(|pane| Some(tile(pane.states[at].as_ref(), pane.group(slot)?))));
        }
        tiles
    }
}

impl Snapshot {
    /// The same of a window that stays as it was.
    fn of_kept(mut self, kept: &KeptState, spec: &StageSpec) -> Snapshot {
        self.rows[0] = kept.rows;
        self.newest[0] = (kept.rows > 0).then(|| EventTime::from_millis(kept.newest));
        let states = kept.states.iter().map(AsRef::as_ref).zip(&spec.aggregates);
        let part = |(states, aggregate): (&dyn States, &AggregateSpec)| Part::Tiles {
            identity: aggregate.function.states(),
            before: Vec::new(),
            after: vec![Tile { states: states.copy(&[0]), pending: None }],
        };
        self.parts = states.map(part).collect();
        self
    }
}
