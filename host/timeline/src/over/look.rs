//! What a lookup finds of a key's frames: rows and tiles, copied out.

use super::OverStage;
use super::choice::Chooser;
use super::frame::{FrameRows, UNFOLDED_ROWS};
use super::tail::{Piece, Tail};
use crate::feed::Feeder;
use crate::geometry::PaneStart;
use crate::row_log::Log;
use crate::row_log::gather::Gather;
use crate::snapshot::{Part, Snapshot, Tile};
use weir_event::EventTime;

impl OverStage {
    /// A key's frames at a time.
    pub(crate) fn snapshot(&self, slot: u32, as_of: i64) -> Snapshot {
        let mut snapshot = Snapshot::absent(&self.spec, self.frames.len());
        snapshot.as_of = as_of;
        let Some(log) = self.logs.find(slot).filter(|log| !log.is_empty()) else { return snapshot };
        let frames: Vec<FrameRows> = self.frames.iter().map(|frame| frame.as_of(log, as_of)).collect();
        for (at, frame) in frames.iter().enumerate() {
            (snapshot.rows[at], snapshot.newest[at]) = self.rows_of(log, frame);
            snapshot.oldest[at] = frame.first().map(|first| EventTime::from_millis(log.time(first)));
        }
        if let Some(tail) = &self.tail {
            self.look_at_steps(tail, (slot, log), &frames, &mut snapshot);
        } else {
            let parts = self.spec.aggregates.iter().enumerate();
            snapshot.parts = parts.map(|(at, it)| self.part(at, slot, log, &frames[it.frame])).collect();
        }
        if let Some(event) = self.event(log, as_of) {
            snapshot.event = Some(EventTime::from_millis(log.time(event)));
            let (block, row) = log.row(event);
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

    /// How many rows a frame has, and the time of the newest; of a join, whether it has one that is joined.
    fn rows_of(&self, log: &Log, frame: &FrameRows) -> (u64, Option<EventTime>) {
        let time = |number: u64| EventTime::from_millis(log.time(number));
        if self.spec.results_below.is_none() {
            return (frame.len(), frame.last().map(time));
        }
        let mut newest_first = frame.pieces().into_iter().rev().flat_map(Iterator::rev);
        let joined = newest_first.find(|number| !self.has_result(log, *number));
        (u64::from(joined.is_some()), joined.map(time))
    }

    /// The event that a lookup repeats: a key's newest one, as long as it is found.
    fn event(&self, log: &Log, as_of: i64) -> Option<u64> {
        let after = log.first_after(as_of);
        // That a row's block happens to be still there must not be seen: as many as these are.
        let recent = after.saturating_sub(UNFOLDED_ROWS);
        let found = self.found_for.map(|span| log.first_at(as_of.saturating_sub(span)));
        let newest = self.newest_result(log, after, found.map_or(recent, |found| found.min(recent)))?;
        let is_found = found.is_some_and(|found| newest >= found);
        let is_reached = newest >= recent && self.frames.reaches(log.time(newest), as_of);
        (is_found || is_reached).then_some(newest)
    }

    /// Frames under a tail: their steps, and how many rows these have.
    fn look_at_steps(
        &self,
        tail: &Tail,
        (slot, log): (u32, &Log),
        frames: &[FrameRows],
        snapshot: &mut Snapshot,
    ) {
        let bounds: Vec<(i64, PaneStart)> = self
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
            if self.spec.results_below.is_some() {
                snapshot.rows[frame] = snapshot.rows[frame].min(1);
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
        let earlier = self.cursor.candidates(at, slot).zip(self.cursor.frame(slot, aggregate.frame));
        let chosen =
            Chooser::new(layout, aggregate).map(|chooser| chooser.value(layout, log, frame, earlier));
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
