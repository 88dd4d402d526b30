//! The cursor of frames that begin at a step of their tail: for each key the fold of all steps before the newest, and
//! that of the newest, which rows come into one by one. A frame moves on by whole steps: a step that comes to an end
//! joins those before it, and those that the frame leaves are taken out where the aggregate has an inverse. Else the
//! frame is folded anew, no more than twice in each step.

use super::cursor::{Source, Walk, joined};
use super::frame::FrameRows;
use super::tail::{Piece, Tail, fold_pieces};
use crate::aggregate::{AggregateError, Finished, Input, States};
use crate::feed::{Feed, Feeder};
use crate::geometry::PaneStart;
use crate::slots::counted;
use crate::spec::AggregateSpec;
use std::ops::Range;

/// Events whose values are held as states at once: what bounds the memory of long lists.
const FINISHED_AT_ONCE: usize = 256;

/// One aggregate's folds, by group.
pub(crate) struct TailSteps {
    /// `None` where the key's cursor stands nowhere.
    stands: Vec<Option<Stand>>,
    before: Box<dyn States>,
    newest: Box<dyn States>,
}

/// Where a key's cursor stands.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stand {
    /// Start of the frame.
    since: i64,
    /// Its newest step.
    newest: PaneStart,
    /// Number of the row after the last that is folded.
    end: u64,
}

/// An event whose value is wanted.
struct TailEvent<'a> {
    group: u32,
    slot: u32,
    time: i64,
    stand: Stand,
    frame: &'a FrameRows,
    /// Rows that come in since the event before, of those copied; `None` if the frame is in other steps.
    entering: Option<Range<usize>>,
    /// Rows that are in this event's frame alone.
    rest: Range<usize>,
}

impl TailSteps {
    pub(crate) fn new(aggregate: &AggregateSpec) -> TailSteps {
        let states = || aggregate.function.states();
        TailSteps { stands: Vec::new(), before: states(), newest: states() }
    }

    pub(crate) fn make_room(&mut self, groups: usize) {
        self.stands.resize(groups, None);
        self.before.resize(groups);
        self.newest.resize(groups);
    }

    pub(crate) fn reset(&mut self, group: u32) {
        self.stands[group as usize] = None;
        self.before.reset(&[group]);
        self.newest.reset(&[group]);
    }

    /// A copy of the fold of all steps of a frame but the newest, if the key's cursor stands there.
    pub(crate) fn copy(&self, group: u32, since: i64, newest: PaneStart) -> Option<Box<dyn States>> {
        let stand = self.stands.get(group as usize).copied().flatten();
        let is_there = stand.is_some_and(|stand| (stand.since, stand.newest) == (since, newest));
        is_there.then(|| self.before.copy(&[group]))
    }

    /// The values of one aggregate for the events of all walks, in order. `bounds` are their frames.
    pub(crate) fn values(
        &mut self,
        at: usize,
        source: &Source<'_>,
        tail: &Tail,
        walks: &[Walk],
        bounds: &[FrameRows],
    ) -> Result<Finished, AggregateError> {
        let aggregate = &source.spec.aggregates[at];
        let (events, copied) = self.plan(aggregate, source, tail, walks, bounds);
        let mut done = Vec::new();
        for events in events.chunks(FINISHED_AT_ONCE) {
            let mut values = aggregate.function.states();
            values.resize(events.len());
            for (value, event) in counted(events.len()).into_iter().zip(events) {
                self.move_to(at, source, tail, event, &copied)?;
                self.fold_into(event, &copied, values.as_mut(), value)?;
            }
            let as_of: Vec<i64> = events.iter().map(|event| event.time).collect();
            done.push(values.finish(&counted(events.len()), &as_of)?);
        }
        joined(aggregate, done)
    }

    /// Finds out what each event's frame has beyond that of the event before, and copies those rows.
    fn plan<'a>(
        &self,
        aggregate: &AggregateSpec,
        source: &Source<'_>,
        tail: &Tail,
        walks: &[Walk],
        bounds: &'a [FrameRows],
    ) -> (Vec<TailEvent<'a>>, Feed) {
        let frame = source.frames.get(aggregate.frame);
        let mut feeder = Feeder::new(&source.logs.layout, aggregate);
        let mut events: Vec<TailEvent<'a>> = Vec::with_capacity(bounds.len());
        for walk in walks {
            let log = source.logs.log(walk.slot);
            let mut stands = self.stands[walk.group as usize];
            log.for_numbers(walk.events.iter().copied(), |block, row| {
                let (time, rows) = (block.time(row), &bounds[events.len()]);
                let core = rows.core();
                let (since, newest) = (frame.since(time), tail.step_of(frame.until(time)));
                let stand = Stand { since, newest, end: core.end };
                // Rows that a flush returned may have left the log before the cursor came to them.
                let is_near = |it: &Stand| (it.since, it.newest) == (since, newest) && it.end >= core.start;
                let entering = stands.filter(is_near).map(|stands| {
                    let from = feeder.len();
                    feeder.push(log, stands.end..core.end);
                    from..feeder.len()
                });
                let from = feeder.len();
                rows.rest().into_iter().for_each(|rows| feeder.push(log, rows));
                let rest = from..feeder.len();
                let Walk { slot, group, .. } = *walk;
                events.push(TailEvent { group, slot, time, stand, frame: rows, entering, rest });
                stands = Some(stand);
            });
        }
        (events, feeder.finish())
    }

    /// Takes in an event's frame, but for what is in no other.
    fn move_to(
        &mut self,
        at: usize,
        source: &Source<'_>,
        tail: &Tail,
        event: &TailEvent<'_>,
        copied: &Feed,
    ) -> Result<(), AggregateError> {
        let (group, stand) = (event.group, event.stand);
        if let Some(entering) = &event.entering {
            feed(self.newest.as_mut(), group, copied, entering)?;
        } else if !self.slide(at, source, tail, event)? {
            let log = source.logs.log(event.slot);
            let pieces = tail.pieces((event.slot, log), stand.since, [event.frame.core()]);
            let states = fold_pieces(&pieces, (at, &source.spec.aggregates[at]), &source.logs.layout, log)?;
            let is_before = |piece: &Piece<'_>| piece.start < stand.newest;
            let before = counted(pieces.partition_point(is_before));
            let newest = counted(pieces.len()).split_off(before.len());
            self.reset(group);
            self.before.merge(&vec![group; before.len()], states.as_ref(), &before)?;
            self.newest.merge(&vec![group; newest.len()], states.as_ref(), &newest)?;
        }
        self.stands[group as usize] = Some(stand);
        Ok(())
    }

    /// Moves a key's cursor on to an event's frame by whole steps; false if the frame must be folded anew.
    fn slide(
        &mut self,
        at: usize,
        source: &Source<'_>,
        tail: &Tail,
        event: &TailEvent<'_>,
    ) -> Result<bool, AggregateError> {
        let (group, to) = (event.group, event.stand);
        let Some(from) = self.stands[group as usize] else { return Ok(false) };
        let (aggregate, layout) = (&source.spec.aggregates[at], &source.logs.layout);
        let log = source.logs.log(event.slot);
        let may_leave = aggregate.function.card().inverse && tail.has_steps_since(from.since);
        // The newest step stays in the frame, and the rows that come in are all in the log.
        let is_on = from.since <= to.since && to.since <= from.newest.millis() && from.newest <= to.newest;
        let has_rows = log.start() <= from.end && from.end <= to.end;
        if !is_on || !has_rows || from.since < to.since && !may_leave {
            return Ok(false);
        }
        if from.since < to.since {
            let rows = log.first_at(from.since)..log.first_at(to.since);
            let mut pieces = tail.pieces((event.slot, log), from.since, [rows]);
            pieces.truncate(pieces.partition_point(|piece| piece.start.millis() < to.since));
            let leaving = fold_pieces(&pieces, (at, aggregate), layout, log)?;
            self.before.unmerge(&vec![group; pieces.len()], leaving.as_ref(), &counted(pieces.len()))?;
        }
        let mut newest = from.newest;
        for (start, rows) in tail.by_step(log, from.end..to.end) {
            self.begin_step(group, &mut newest, start)?;
            let mut feeder = Feeder::new(layout, aggregate);
            feeder.push(log, rows);
            let groups = vec![group; feeder.len()];
            // Rows that fail have been refused when they came.
            feeder.finish().fold(self.newest.as_mut(), &groups)?;
        }
        self.begin_step(group, &mut newest, to.newest)?;
        Ok(true)
    }

    /// Lets the newest step join those before it, if another begins.
    fn begin_step(
        &mut self,
        group: u32,
        newest: &mut PaneStart,
        start: PaneStart,
    ) -> Result<(), AggregateError> {
        if *newest < start {
            *newest = start;
            self.before.merge(&[group], self.newest.as_ref(), &[group])?;
            self.newest.reset(&[group]);
        }
        Ok(())
    }

    /// Folds an event's frame into a state of its own.
    fn fold_into(
        &self,
        event: &TailEvent<'_>,
        copied: &Feed,
        values: &mut dyn States,
        value: u32,
    ) -> Result<(), AggregateError> {
        values.merge(&[value], self.before.as_ref(), &[event.group])?;
        if event.rest.is_empty() {
            return values.merge(&[value], self.newest.as_ref(), &[event.group]);
        }
        let mut newest = self.newest.copy(&[event.group]);
        feed(newest.as_mut(), 0, copied, &event.rest)?;
        values.merge(&[value], newest.as_ref(), &[0])
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let stands = self.stands.capacity() * size_of::<Option<Stand>>();
        stands + self.before.memory_bytes() + self.newest.memory_bytes()
    }
}

fn feed(
    states: &mut dyn States,
    group: u32,
    copied: &Feed,
    range: &Range<usize>,
) -> Result<(), AggregateError> {
    if range.is_empty() {
        return Ok(());
    }
    let rows: Vec<u32> = (range.start as u32..range.end as u32).collect();
    let Input { times, ranks, arguments, .. } = copied.input(&[], &[]);
    states.update(&Input { groups: &vec![group; rows.len()], rows: &rows, times, ranks, arguments })
}
