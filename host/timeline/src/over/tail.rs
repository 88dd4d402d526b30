//! The tail of long frames of `OVER`: rows that no edge of a frame cuts through any more, folded into tiles of one
//! step.
//!
//! Under a tail a frame begins at a multiple of the step. Rows come here when they leave their log, in total order,
//! each into the tile of its step. The value of a frame is the fold of its steps from the oldest on, and a step is its
//! tile followed by those of its rows that are still in the log: so no bit depends on when rows leave. Tiles that no
//! bounded frame reaches are dropped or, where a frame is unbounded, folded into one of everything older.
//!
//! Knows nothing of cursors, of settled and pending.

use super::frame::{Frame, OverFrames};
use crate::aggregate::{AggregateError, States};
use crate::answer::{Block, BlockSink, Slot};
use crate::feed::Feeder;
use crate::feed::by_pane;
use crate::geometry::{Geometry, PaneStart};
use crate::pane::Pane;
use crate::row_log::logs::Logs;
use crate::row_log::{Layout, Log};
use crate::slots::Slots;
use crate::slots::counted;
use crate::spec::{AggregateSpec, Frames, Grid, StageSpec};
use crate::tiles::{Panes, decode_tile, encode_all_tiles, encode_tiles};
use std::collections::BTreeMap;
use std::ops::{Bound, Range};
use weir_event::Span;

/// The tile of everything that is older than bounded frames reach.
const OLDEST: PaneStart = PaneStart::FIRST;

/// The tiles of a segment's keys.
pub(crate) struct Tail {
    geometry: Geometry,
    panes: Panes,
    /// How far before an event the longest of the bounded frames begins.
    reach: i64,
    /// Whether a frame is unbounded.
    keeps_all: bool,
    /// No bounded frame reaches before this.
    bound: PaneStart,
    /// Stored tiles that were folded into the oldest one, with their key.
    graves: Vec<(Box<[u8]>, PaneStart)>,
}

/// Rows on their way from logs into tiles: by tile, what each aggregate is fed.
#[derive(Default)]
pub(crate) struct Leaving {
    feeds: BTreeMap<PaneStart, Vec<(Feeder, Vec<u32>)>>,
    /// Slots, once for each new tile.
    retained: Vec<u32>,
}

/// A frame's share of one step.
pub(crate) struct Piece<'a> {
    pub(crate) start: PaneStart,
    pub(crate) tile: Option<(&'a Pane, u32)>,
    /// Rows of the log that come after those of the tile, in order.
    pub(crate) rows: Vec<Range<u64>>,
}

impl Tail {
    pub(crate) fn new(step: Span, frames: &OverFrames) -> Option<Tail> {
        let grid = Grid { size: step, slide: step, offset: Span::ZERO };
        Some(Tail {
            geometry: Geometry::new(&Frames::Grid(grid))?,
            panes: Panes::new(),
            reach: frames.longest().unwrap_or(0),
            keeps_all: frames.iter().any(Frame::is_unbounded),
            bound: OLDEST,
            graves: Vec::new(),
        })
    }

    /// The step that holds a time.
    pub(crate) fn step_of(&self, time: i64) -> PaneStart {
        // Steps leave no time between them.
        self.geometry.pane_of(time).unwrap_or(PaneStart::from_millis(time))
    }

    /// Takes in the rows of a log that come before `until`, which are about to leave it.
    pub(crate) fn leave(
        &mut self,
        (spec, layout): (&StageSpec, &Layout),
        (slot, log): (u32, &Log),
        until: u64,
        leaving: &mut Leaving,
    ) {
        for (start, rows) in self.by_step(log, log.start()..until) {
            if start < self.bound && !self.keeps_all {
                continue;
            }
            let Some((count, newest)) = taken_in(spec, log, rows.clone()) else { continue };
            let pane = self.panes.entry(start).or_insert_with(|| Pane::new(&spec.aggregates));
            if pane.group(slot).is_none() {
                leaving.retained.push(slot);
            }
            let group = pane.group_or_insert(slot);
            count_rows(pane, group, count, newest);
            let feeders = || spec.aggregates.iter().map(|it| (Feeder::new(layout, it), Vec::new())).collect();
            for (feeder, groups) in leaving.feeds.entry(start).or_insert_with(feeders) {
                feeder.push(log, rows.clone());
                groups.resize(feeder.len(), group);
            }
        }
    }

    /// Folds rows that have left their logs.
    pub(crate) fn fold(&mut self, slots: &mut Slots, leaving: Leaving) -> Result<(), AggregateError> {
        leaving.retained.into_iter().for_each(|slot| slots.retain(slot));
        for (start, feeds) in leaving.feeds {
            let Some(pane) = self.panes.get_mut(&start) else { continue };
            pane.make_room();
            for (states, (feeder, groups)) in pane.states.iter_mut().zip(feeds) {
                // Rows that fail have been refused when they came.
                feeder.finish().fold(states.as_mut(), &groups)?;
            }
        }
        Ok(())
    }

    /// Lets go of what no bounded frame of an event at or after the horizon reaches. `logs` have let go of theirs.
    pub(crate) fn expire(
        &mut self,
        spec: &StageSpec,
        slots: &mut Slots,
        logs: &Logs,
        horizon: i64,
    ) -> Result<(), AggregateError> {
        let bound = self.step_of(horizon.saturating_sub(self.reach));
        if bound <= self.bound {
            return Ok(());
        }
        self.bound = bound;
        let unreached = (Bound::Excluded(OLDEST), Bound::Excluded(bound));
        let unreached: Vec<PaneStart> = self.panes.range(unreached).map(|(start, _)| *start).collect();
        for start in unreached {
            let Some(mut pane) = self.panes.remove(&start) else { continue };
            if !self.keeps_all {
                pane.live().for_each(|group| slots.release(pane.slots[group as usize]));
                continue;
            }
            self.fold_oldest(spec, slots, logs, start, &mut pane)?;
            if pane.live().next().is_some() {
                self.panes.insert(start, pane);
            }
        }
        Ok(())
    }

    /// Folds the tiles of a step into those of everything older, unless some of its rows are still in their logs.
    fn fold_oldest(
        &mut self,
        spec: &StageSpec,
        slots: &mut Slots,
        logs: &Logs,
        start: PaneStart,
        pane: &mut Pane,
    ) -> Result<(), AggregateError> {
        let end = self.geometry.pane_end(start);
        let is_whole = |slot: u32| logs.find(slot).is_none_or(|log| log.first_at(end) == log.start());
        let groups: Vec<u32> = pane.live().filter(|group| is_whole(pane.slots[*group as usize])).collect();
        let oldest = self.panes.entry(OLDEST).or_insert_with(|| Pane::new(&spec.aggregates));
        let mut into = Vec::with_capacity(groups.len());
        for group in &groups {
            let slot = pane.slots[*group as usize];
            // One tile for another.
            if oldest.group(slot).is_some() {
                slots.release(slot);
            }
            let oldest_group = oldest.group_or_insert(slot);
            count_rows(oldest, oldest_group, pane.rows[*group as usize], pane.newest[*group as usize]);
            into.push(oldest_group);
            self.graves.push((slots.key(Slot(slot)).into(), start));
        }
        oldest.make_room();
        for (oldest, states) in oldest.states.iter_mut().zip(&mut pane.states) {
            oldest.merge(&into, states.as_ref(), &groups)?;
            states.reset(&groups);
        }
        groups.into_iter().for_each(|group| pane.rows[group as usize] = 0);
        Ok(())
    }

    /// A frame that begins at `since`, step by step. `rows` are those of it that are in the log.
    pub(crate) fn pieces<'a>(
        &'a self,
        (slot, log): (u32, &Log),
        since: i64,
        rows: impl IntoIterator<Item = Range<u64>>,
    ) -> Vec<Piece<'a>> {
        let tiles = self.panes.range(PaneStart::from_millis(since)..);
        let tiles = tiles.filter_map(|(start, pane)| Some((*start, (pane, pane.group(slot)?))));
        let mut pieces: Vec<Piece<'a>> =
            tiles.map(|(start, tile)| Piece { start, tile: Some(tile), rows: Vec::new() }).collect();
        for (start, rows) in rows.into_iter().flat_map(|rows| self.by_step(log, rows)) {
            match pieces.last_mut() {
                Some(piece) if piece.start == start => piece.rows.push(rows),
                _ => pieces.push(Piece { start, tile: None, rows: vec![rows] }),
            }
        }
        pieces
    }

    /// Rows of a log by their step.
    pub(crate) fn by_step(&self, log: &Log, rows: Range<u64>) -> Vec<(PaneStart, Range<u64>)> {
        by_pane(log, rows, &self.geometry)
    }

    /// Whether steps from this one on are still told apart.
    pub(crate) fn has_steps_since(&self, since: i64) -> bool {
        self.bound.millis() <= since
    }

    /// Whether a stored tile is out of reach.
    pub(crate) fn is_expired(&self, start: PaneStart) -> bool {
        !self.keeps_all && start < self.bound
    }

    pub(crate) fn encode_dirty(&mut self, slots: &Slots, left: &mut usize, out: &mut BlockSink<'_>) {
        for (key, start) in self.graves.drain(..) {
            out(&key, Block { column: Block::TILES, level: 0, start: start.millis() }, None);
        }
        encode_tiles(&mut self.panes, slots, left, out);
    }

    pub(crate) fn encode_all(&self, slots: &Slots, out: &mut BlockSink<'_>) {
        encode_all_tiles(&self.panes, slots, out);
    }

    pub(crate) fn decode(
        &mut self,
        spec: &StageSpec,
        slots: &mut Slots,
        slot: Slot,
        start: PaneStart,
        stored: &[u8],
    ) -> Result<(), AggregateError> {
        decode_tile(&mut self.panes, &spec.aggregates, slots, slot, start, stored)
    }

    pub(crate) fn tiles(&self) -> u64 {
        self.panes.values().map(|pane| pane.live().count() as u64).sum()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.panes.values().map(Pane::memory_bytes).sum()
    }
}

impl Piece<'_> {
    /// How many rows its tile is folded from, and the time of the newest of them.
    pub(crate) fn folded(&self) -> Option<(u64, i64)> {
        let (pane, group) = self.tile?;
        Some((u64::from(pane.rows[group as usize]), pane.newest[group as usize]))
    }
}

/// Folds pieces, each into a state of its own.
pub(crate) fn fold_pieces(
    pieces: &[Piece<'_>],
    (at, aggregate): (usize, &AggregateSpec),
    layout: &Layout,
    log: &Log,
) -> Result<Box<dyn States>, AggregateError> {
    let mut states = aggregate.function.states();
    states.resize(pieces.len());
    let (mut feeder, mut groups) = (Feeder::new(layout, aggregate), Vec::new());
    for (group, piece) in counted(pieces.len()).into_iter().zip(pieces) {
        if let Some((pane, tile)) = piece.tile {
            states.merge(&[group], pane.states[at].as_ref(), &[tile])?;
        }
        piece.rows.iter().for_each(|rows| feeder.push(log, rows.clone()));
        groups.resize(feeder.len(), group);
    }
    feeder.finish().fold(states.as_mut(), &groups)?;
    Ok(states)
}

/// How many of some rows aggregates take in, and the time of the newest of these; `None` if it is none.
fn taken_in(spec: &StageSpec, log: &Log, rows: Range<u64>) -> Option<(u32, i64)> {
    if spec.results_below.is_none() {
        return rows.clone().last().map(|last| ((rows.end - rows.start) as u32, log.time(last)));
    }
    let is_joined = |number: &u64| {
        let (block, row) = log.row(*number);
        !spec.has_result(block.rank(row))
    };
    let mut joined = rows.rev().filter(is_joined);
    let newest = joined.next()?;
    Some((1 + joined.count() as u32, log.time(newest)))
}

fn count_rows(pane: &mut Pane, group: u32, rows: u32, newest: i64) {
    let at = group as usize;
    pane.rows[at] = pane.rows[at].saturating_add(rows);
    pane.newest[at] = pane.newest[at].max(newest);
    pane.mark_dirty(group);
}
