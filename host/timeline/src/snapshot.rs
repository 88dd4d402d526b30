//! The truth: one key's values for one question, from tiles and row log.
//!
//! Taking a snapshot copies states and rows out, for it is done under a lock; merging and finishing is for later.

use crate::aggregate::{AggregateError, Finished, States, Steps};
use crate::answer::{Values, shape_lists};
use crate::coarse::Coarse;
use crate::cursor::choice::Chooser;
use crate::frame::{FrameRows, UNFOLDED_ROWS};
use crate::grid::GridStage;
use crate::kept::KeptState;
use crate::ordered::{Feed, Feeder};
use crate::over::OverStage;
use crate::pane::REFOLD;
use crate::row_log::Log;
use crate::row_log::gather::Gather;
use crate::spec::{AggregateSpec, StageSpec};
use crate::tail::{Piece, Tail};
use arrow_array::{Array, ArrayRef, new_null_array};
use std::ops::Range;
use weir_event::EventTime;

/// What a question needs of a key's timeline, copied out of it.
pub struct Snapshot {
    pub(crate) parts: Vec<Part>,
    pub(crate) as_of: i64,
    pub(crate) rows: Vec<u64>,
    pub(crate) newest: Vec<Option<EventTime>>,
    carried: Vec<ArrayRef>,
    pub(crate) window: Option<(EventTime, EventTime)>,
    list_views: bool,
}

/// One aggregate's share.
pub(crate) enum Part {
    /// Found already.
    Value(Finished),
    /// A tile each: those before the cut, to be folded from right to left, and those after it.
    Tiles { identity: Box<dyn States>, before: Vec<Tile>, after: Vec<Tile> },
    /// A state, rows that come into its frame and rows that leave it.
    Rows { states: Box<dyn States>, entering: Feed, leaving: Feed },
}

/// A copy of a tile, and rows of it that are still pending.
pub(crate) struct Tile {
    pub(crate) states: Box<dyn States>,
    pub(crate) pending: Option<Feed>,
}

impl Snapshot {
    /// Of a key that is not there: every aggregate's identity.
    pub(crate) fn absent(spec: &StageSpec, frames: usize) -> Snapshot {
        let parts = spec.aggregates.iter().map(|aggregate| Part::Tiles {
            identity: aggregate.function.states(),
            before: Vec::new(),
            after: Vec::new(),
        });
        let carried = spec.carried.iter().map(|input| new_null_array(&spec.inputs[*input], 1));
        Snapshot {
            parts: parts.collect(),
            as_of: 0,
            rows: vec![0; frames],
            newest: vec![None; frames],
            carried: carried.collect(),
            window: None,
            list_views: false,
        }
    }

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

    /// Whether lists are wanted as views.
    pub(crate) fn with_list_views(self, list_views: bool) -> Snapshot {
        Snapshot { list_views, ..self }
    }

    /// The values.
    pub fn finish(mut self) -> Result<Values, AggregateError> {
        let mut values = Vec::with_capacity(self.parts.len());
        let mut errors = Vec::new();
        for (at, part) in std::mem::take(&mut self.parts).into_iter().enumerate() {
            let finished = part.finish(self.as_of)?;
            errors.extend(finished.errors.into_iter().map(|(_, reason)| (at, reason)));
            values.push(shape_lists(&finished.values, self.list_views)?);
        }
        let Snapshot { rows, newest, carried, window, .. } = self;
        Ok(Values { values, rows, newest, carried, window, errors })
    }
}

impl Part {
    fn finish(self, as_of: i64) -> Result<Finished, AggregateError> {
        match self {
            Part::Value(finished) => Ok(finished),
            Part::Tiles { mut identity, before, after } => {
                identity.resize(1);
                let mut suffix: Option<Box<dyn States>> = None;
                for tile in before.into_iter().rev() {
                    let mut earlier = tile.whole()?;
                    if let Some(later) = suffix {
                        earlier.merge(&[0], later.as_ref(), &[0])?;
                    }
                    suffix = Some(earlier);
                }
                let mut prefix: Option<Box<dyn States>> = None;
                for tile in after {
                    let later = tile.whole()?;
                    match &mut prefix {
                        Some(prefix) => prefix.merge(&[0], later.as_ref(), &[0])?,
                        None => prefix = Some(later),
                    }
                }
                let states = match (suffix, prefix) {
                    (Some(mut suffix), Some(prefix)) => {
                        suffix.merge(&[0], prefix.as_ref(), &[0])?;
                        suffix
                    }
                    (one, other) => one.or(other).unwrap_or(identity),
                };
                states.finish(&[0], &[as_of])
            }
            Part::Rows { mut states, entering, leaving } => {
                let (enter, leave) = ([entering.times.len() as u32], [leaving.times.len() as u32]);
                let (entering, leaving) = (entering.stretch(&enter), leaving.stretch(&leave));
                states.slide(&Steps { groups: &[0], as_of: &[as_of], entering, leaving })
            }
        }
    }
}

impl Tile {
    fn whole(self) -> Result<Box<dyn States>, AggregateError> {
        let mut states = self.states;
        if let Some(pending) = &self.pending {
            // Rows that fail will be refused when they are settled.
            pending.fold(states.as_mut(), &vec![0; pending.times.len()])?;
        }
        Ok(states)
    }
}

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
        for pane in self.panes.range(window.clone()).map(|(_, pane)| pane) {
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
                after: self.tiles_of(coarse, at, slot, window),
            };
        }
        let boundary = named.map_or(window.start, |window| self.geometry.boundary(window));
        let (mut before, mut after) = (Vec::new(), Vec::new());
        for (start, pane) in self.panes.range(window) {
            let Some(group) = pane.group(slot) else { continue };
            let mut tile = Tile { states: pane.states[at].copy(&[group]), pending: None };
            if let Some(ordered) = self.ordered.as_ref().filter(|_| aggregate.is_ordered()) {
                let is_refolded = pane.flags[group as usize] & REFOLD != 0;
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
}

impl GridStage {
    /// The tiles of a key in a window, coarse ones where there are.
    fn tiles_of(&self, coarse: &Coarse, at: usize, slot: u32, window: Range<i64>) -> Vec<Tile> {
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

impl OverStage {
    /// A key's frames at a time.
    pub(crate) fn snapshot(&self, slot: u32, as_of: i64) -> Snapshot {
        let mut snapshot = Snapshot::absent(&self.spec, self.frames.len());
        snapshot.as_of = as_of;
        let Some(log) = self.logs.find(slot).filter(|log| !log.is_empty()) else { return snapshot };
        let frames: Vec<FrameRows> = self.frames.iter().map(|frame| frame.as_of(log, as_of)).collect();
        for (at, frame) in frames.iter().enumerate() {
            snapshot.rows[at] = frame.len();
            snapshot.newest[at] = frame.last().map(|last| EventTime::from_millis(log.time(last)));
        }
        if let Some(tail) = &self.tail {
            self.look_at_steps(tail, (slot, log), &frames, &mut snapshot);
        } else {
            let parts = self.spec.aggregates.iter().enumerate();
            snapshot.parts = parts.map(|(at, it)| self.part(at, slot, log, &frames[it.frame])).collect();
        }
        let after = log.first_after(as_of);
        // That a row's block happens to be still there must not be seen: as many as these are.
        let newest = self.newest_result(log, after, after.saturating_sub(UNFOLDED_ROWS));
        if let Some(newest) = newest.filter(|newest| self.frames.reaches(log.time(*newest), as_of)) {
            let (block, row) = log.row(newest);
            let columns = self.spec.carried.iter().filter_map(|input| self.logs.layout.position(*input));
            snapshot.carried = columns
                .map(|column| {
                    let mut gather = Gather::new(&self.logs.layout.types[column]);
                    gather.push(block, column, row..row + 1);
                    gather.finish()
                })
                .collect();
        }
        snapshot
    }

    /// Frames under a tail: their steps, and how many rows these have.
    fn look_at_steps(
        &self,
        tail: &Tail,
        (slot, log): (u32, &Log),
        frames: &[FrameRows],
        snapshot: &mut Snapshot,
    ) {
        let bounds: Vec<(i64, i64)> = self
            .frames
            .iter()
            .map(|frame| (frame.since(snapshot.as_of), tail.step_of(frame.until(snapshot.as_of))))
            .collect();
        let pieces: Vec<Vec<Piece<'_>>> = bounds
            .iter()
            .zip(frames)
            .map(|((since, _), frame)| tail.pieces((slot, log), *since, frame.pieces()))
            .collect();
        for (frame, pieces) in pieces.iter().enumerate() {
            for (rows, newest) in pieces.iter().filter_map(Piece::folded) {
                snapshot.rows[frame] += rows;
                snapshot.newest[frame] = snapshot.newest[frame].max(Some(EventTime::from_millis(newest)));
            }
        }
        let parts = self.spec.aggregates.iter().enumerate().map(|(at, aggregate)| {
            let (bounds, mut pieces) = (bounds[aggregate.frame], pieces[aggregate.frame].as_slice());
            let mut after = Vec::new();
            if let Some(states) = self.cursor.copy_steps(at, slot, bounds) {
                after.push(Tile { states, pending: None });
                pieces = &pieces[pieces.partition_point(|piece| piece.start < bounds.1)..];
            }
            after.extend(pieces.iter().map(|piece| self.tile(at, log, piece)));
            Part::Tiles { identity: aggregate.function.states(), before: Vec::new(), after }
        });
        snapshot.parts = parts.collect();
    }

    fn tile(&self, at: usize, log: &Log, piece: &Piece<'_>) -> Tile {
        let aggregate = &self.spec.aggregates[at];
        let states = match piece.tile {
            Some((pane, group)) => pane.states[at].copy(&[group]),
            None => {
                let mut identity = aggregate.function.states();
                identity.resize(1);
                identity
            }
        };
        let mut feeder = Feeder::new(&self.logs.layout, aggregate);
        piece.rows.iter().for_each(|rows| feeder.push(log, rows.clone()));
        Tile { states, pending: Some(feeder.finish()).filter(|feed| !feed.times.is_empty()) }
    }

    fn part(&self, at: usize, slot: u32, log: &Log, frame: &FrameRows) -> Part {
        let aggregate = &self.spec.aggregates[at];
        let layout = &self.logs.layout;
        let chosen = Chooser::new(layout, aggregate).map(|chooser| chooser.value(layout, log, frame));
        if let Some(Ok(finished)) = chosen {
            debug_assert_eq!(finished.values.len(), 1);
            return Part::Value(finished);
        }
        // Where more rows have left than stay, the frame itself is less work.
        let is_near = |stands: &&FrameRows| {
            let (left, stay) =
                (frame.start().saturating_sub(stands.start()), stands.end().saturating_sub(frame.start()));
            stands.end() <= frame.end() && left <= stay
        };
        let running = self.cursor.frame(slot, aggregate.frame).filter(is_near);
        let running = running.and_then(|stands| Some((self.cursor.copy(at, slot)?, stands)));
        let nothing = FrameRows::default();
        let (states, stands) = running.unwrap_or_else(|| {
            let mut identity = aggregate.function.states();
            identity.resize(1);
            (identity, &nothing)
        });
        let (mut entering, mut leaving) = (Feeder::new(layout, aggregate), Feeder::new(layout, aggregate));
        frame.outside(stands, |rows| entering.push(log, rows));
        stands.outside(frame, |rows| leaving.push(log, rows));
        Part::Rows { states, entering: entering.finish(), leaving: leaving.finish() }
    }
}
