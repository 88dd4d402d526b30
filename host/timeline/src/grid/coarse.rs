//! Coarser tiles of long windows: for keys with many panes, the folds of sixteen neighbouring panes at a time, so that
//! a window's value out of turn (a lookup, a correction, a change) takes tens of merges and not hundreds.
//!
//! They are made of panes that are settled, of aggregates whose bits do not depend on how time is cut, are never
//! stored, and lose a key when a late row comes to it.

use crate::aggregate::{Aggregate, AggregateError, Algebra, States};
use crate::geometry::{Geometry, PaneStart};
use crate::pane::Pane;
use crate::slots::ByNumber;
use crate::slots::counted;
use crate::spec::{AggregateSpec, Grid};
use crate::tiles::Panes;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use weir_event::Span;

/// Panes in a coarse tile: with 720 panes in a window, 45 tiles, and 15 panes at either edge.
const PANES: i64 = 16;
/// A key has a coarse tile if it has rows in so many of its panes: it then saves more than it takes up.
const FEWEST_PANES: usize = 4;

/// The coarse tiles of a stage.
pub(crate) struct Coarse {
    /// The coarse tiles are panes of this.
    geometry: Geometry,
    /// Which of the stage's aggregates it has states of, and what they are.
    aggregates: Vec<(usize, Arc<dyn Aggregate>)>,
    tiles: BTreeMap<PaneStart, CoarseTile>,
    /// Tiles before this are made.
    made_until: PaneStart,
    /// Tiles and slots that late rows came to.
    stale: BTreeSet<(PaneStart, u32)>,
}

struct CoarseTile {
    groups: ByNumber<u32>,
    /// One column per aggregate that has states here.
    states: Vec<Box<dyn States>>,
}

/// A stretch of a window, in order of time.
pub(crate) struct TileStretch<'a> {
    /// The panes that it is made of.
    pub(crate) panes: Range<PaneStart>,
    tile: Option<(&'a CoarseTile, usize)>,
}

impl TileStretch<'_> {
    /// The states, and the group in them, that stand for all of a key's panes in the stretch.
    pub(crate) fn find(&self, slot: u32) -> Option<(&dyn States, u32)> {
        let (tile, column) = self.tile?;
        Some((tile.states[column].as_ref(), *tile.groups.get(&slot)?))
    }
}

/// All of a window as one stretch.
pub(crate) fn whole<'a>(window: Range<PaneStart>) -> Vec<TileStretch<'a>> {
    vec![TileStretch { panes: window, tile: None }]
}

impl Coarse {
    /// `None` where windows are short, or no aggregate can be cut at will.
    pub(crate) fn new(geometry: &Geometry, aggregates: &[AggregateSpec]) -> Option<Coarse> {
        let (pane, offset, panes) = match geometry {
            Geometry::Sliding(grid, pane) => (*pane, grid.offset, grid.size.millis() / pane.millis()),
            Geometry::Growing(cumulate) => {
                (cumulate.step, cumulate.offset, cumulate.size.millis() / cumulate.step.millis())
            }
            Geometry::Apart(_) | Geometry::Given(_) => return None,
        };
        let exact = aggregates.iter().enumerate().filter(|(_, aggregate)| {
            aggregate.function.card().algebra == Algebra::Exact && !aggregate.function.fallible()
        });
        let aggregates: Vec<_> = exact.map(|(at, aggregate)| (at, aggregate.function.clone())).collect();
        // Shorter windows hold one whole tile at the most.
        if panes < 2 * PANES || aggregates.is_empty() {
            return None;
        }
        let width = Span::from_millis(pane.millis().saturating_mul(PANES));
        Some(Coarse {
            geometry: Geometry::Apart(Grid { size: width, slide: width, offset }),
            aggregates,
            tiles: BTreeMap::new(),
            made_until: PaneStart::FIRST,
            stale: BTreeSet::new(),
        })
    }

    /// The tile that holds a time.
    fn tile_of(&self, time: i64) -> PaneStart {
        // Tiles leave no time between them.
        self.geometry.pane_of(time).unwrap_or(PaneStart::from_millis(time))
    }

    /// The first pane that a tile does not hold any more.
    fn end_of(&self, tile: PaneStart) -> PaneStart {
        PaneStart::from_millis(self.geometry.pane_end(tile))
    }

    /// A late row came to a key.
    pub(crate) fn mark_stale(&mut self, pane: PaneStart, slot: u32) {
        if pane < self.made_until {
            let start = self.tile_of(pane.millis());
            if let Some(tile) = self.tiles.get_mut(&start) {
                tile.groups.remove(&slot);
            }
            self.stale.insert((start, slot));
        }
    }

    /// Makes the tiles that are settled, and those anew that late rows came to.
    pub(crate) fn make(&mut self, panes: &Panes, settled: i64) -> Result<(), AggregateError> {
        let until = self.tile_of(settled);
        let mut from = self.made_until;
        while let Some((first, _)) = panes.range(from..).next().filter(|(first, _)| **first < until) {
            let start = self.tile_of(first.millis());
            from = self.end_of(start);
            let slots = frequent(panes.range(start..from).map(|(_, pane)| pane));
            self.fold(panes, start, &slots)?;
        }
        self.made_until = self.made_until.max(until);
        for (start, slot) in std::mem::take(&mut self.stale) {
            let own = panes.range(start..self.end_of(start)).filter(|(_, pane)| pane.group(slot).is_some());
            if own.count() >= FEWEST_PANES {
                self.fold(panes, start, &[slot])?;
            }
        }
        Ok(())
    }

    /// Folds the panes of a tile for some keys that it does not have.
    fn fold(&mut self, panes: &Panes, start: PaneStart, slots: &[u32]) -> Result<(), AggregateError> {
        if slots.is_empty() {
            return Ok(());
        }
        let end = self.end_of(start);
        let functions = &self.aggregates;
        let tile = self.tiles.entry(start).or_insert_with(|| {
            let states = functions.iter().map(|(_, function)| function.states()).collect();
            CoarseTile { groups: ByNumber::default(), states }
        });
        let first = tile.states[0].len() as u32;
        tile.groups.extend(slots.iter().zip(first..).map(|(slot, group)| (*slot, group)));
        for ((at, _), states) in functions.iter().zip(&mut tile.states) {
            states.resize(first as usize + slots.len());
            for pane in panes.range(start..end).map(|(_, pane)| pane) {
                let found =
                    slots.iter().zip(first..).filter_map(|(slot, group)| Some((group, pane.group(*slot)?)));
                let (into, from): (Vec<u32>, Vec<u32>) = found.unzip();
                states.merge(&into, pane.states[*at].as_ref(), &from)?;
            }
        }
        Ok(())
    }

    /// Whether it has states of an aggregate.
    pub(crate) fn has(&self, aggregate: usize) -> bool {
        self.aggregates.iter().any(|(at, _)| *at == aggregate)
    }

    /// Cuts a window at the edges of the tiles in it.
    pub(crate) fn stretches(&self, aggregate: usize, window: Range<PaneStart>) -> Vec<TileStretch<'_>> {
        let Some(column) = self.aggregates.iter().position(|(at, _)| *at == aggregate) else {
            return whole(window);
        };
        let mut stretches = Vec::new();
        let mut from = window.start;
        for (start, tile) in self.tiles.range(window.start..window.end) {
            let end = self.end_of(*start);
            if end > window.end {
                break;
            }
            stretches.push(TileStretch { panes: from..*start, tile: None });
            stretches.push(TileStretch { panes: *start..end, tile: Some((tile, column)) });
            from = end;
        }
        stretches.push(TileStretch { panes: from..window.end, tile: None });
        stretches.retain(|stretch| stretch.panes.start < stretch.panes.end);
        stretches
    }

    /// Panes up to this one are gone: drops the tiles that held any.
    pub(crate) fn expire(&mut self, gone: PaneStart) {
        while let Some(first) = self.tiles.first_entry().filter(|first| *first.key() <= gone) {
            first.remove();
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let of_tile = |tile: &CoarseTile| {
            let states: usize = tile.states.iter().map(|states| states.memory_bytes()).sum();
            tile.groups.allocation_size() + states
        };
        self.tiles.values().map(of_tile).sum()
    }
}

/// Keys that have rows in enough of some panes.
fn frequent<'a>(panes: impl Iterator<Item = &'a Pane>) -> Vec<u32> {
    let mut counts: ByNumber<usize> = ByNumber::default();
    for pane in panes {
        for group in pane.live() {
            *counts.entry(pane.slots[group as usize]).or_default() += 1;
        }
    }
    counts.retain(|_, count| *count >= FEWEST_PANES);
    let mut slots: Vec<u32> = counts.into_keys().collect();
    slots.sort_unstable();
    slots
}

/// Merges a stretch of a window into states: place `i` is that of `slots[i]`.
pub(crate) fn merge_stretch(
    states: &mut dyn States,
    panes: &Panes,
    aggregate: usize,
    stretch: &TileStretch<'_>,
    slots: &[u32],
) -> Result<(), AggregateError> {
    let (mut into, mut from, mut others) = (Vec::new(), Vec::new(), Vec::new());
    let mut tile = None;
    for (place, slot) in counted(slots.len()).into_iter().zip(slots) {
        match stretch.find(*slot) {
            Some((found, group)) => {
                tile = Some(found);
                into.push(place);
                from.push(group);
            }
            None => others.push((place, *slot)),
        }
    }
    if let Some(tile) = tile {
        states.merge(&into, tile, &from)?;
    }
    if others.is_empty() {
        return Ok(());
    }
    for pane in panes.range(stretch.panes.clone()).map(|(_, pane)| pane) {
        let found = others.iter().filter_map(|(place, slot)| Some((*place, pane.group(*slot)?)));
        let (into, from): (Vec<u32>, Vec<u32>) = found.unzip();
        states.merge(&into, pane.states[aggregate].as_ref(), &from)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin;
    use crate::spec::Frames;

    #[test]
    fn a_month_of_hours_is_read_in_tens_of_merges() {
        let [size, slide, offset] = [720, 1, 0].map(Span::from_millis);
        let geometry = Geometry::new(&Frames::Grid(Grid { size, slide, offset })).unwrap();
        let count = AggregateSpec {
            function: builtin("COUNT", false, &[], &[]).unwrap(),
            arguments: vec![],
            filter: None,
            frame: 0,
            edits: None,
        };
        let mut coarse = Coarse::new(&geometry, std::slice::from_ref(&count)).unwrap();
        let mut panes = Panes::new();
        for start in 0..800 {
            let pane = panes.entry(PaneStart::from_millis(start));
            let pane = pane.or_insert_with(|| Pane::new(std::slice::from_ref(&count)));
            // A key that has rows all the time, and one that seldom has any.
            for slot in [1, 2].into_iter().filter(|slot| *slot == 1 || start % 10 == 0) {
                let group = pane.group_or_insert(slot);
                pane.rows[group as usize] = 1;
            }
            pane.make_room();
        }
        coarse.make(&panes, 790).unwrap();
        let window = PaneStart::within(70..790);
        let stretches = coarse.stretches(0, window.clone());
        let merges = |slot: u32| -> usize {
            let merges = |stretch: &TileStretch<'_>| match stretch.find(slot) {
                Some(_) => 1,
                None => {
                    panes.range(stretch.panes.clone()).filter(|(_, pane)| pane.group(slot).is_some()).count()
                }
            };
            stretches.iter().map(merges).sum()
        };
        assert_eq!((merges(1), merges(2)), (10 + 44 + 6, 72));
        coarse.mark_stale(PaneStart::from_millis(100), 1);
        assert!(coarse.stretches(0, window.clone())[2].find(1).is_none());
        coarse.make(&panes, 790).unwrap();
        assert!(coarse.stretches(0, window.clone())[2].find(1).is_some());
        coarse.expire(PaneStart::from_millis(96));
        assert_eq!(coarse.stretches(0, window)[0].panes, PaneStart::within(70..112));
    }
}
