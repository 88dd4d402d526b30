//! The cursor of `OVER`: for each key it stands on an event, and walks to later ones; rows come into their frames
//! and leave them one by one.

use super::choice::{Candidates, Chooser, ChosenRows};
use super::frame::{FrameRows, OverFrames};
use super::stack::{self, Stack};
use super::steps::TailSteps;
use super::tail::Tail;
use crate::aggregate::{self, AggregateError, Algebra, Finished, Selection, States, Stretch};
use crate::feed::Feeder;
use crate::geometry::PaneStart;
use crate::row_log::logs::Logs;
use crate::row_log::{Layout, Log};
use crate::slots::counted;
use crate::spec::{AggregateSpec, StageSpec};
use arrow_array::{Array, new_null_array};

/// Rows that a direct fold copies at once, about: what bounds its memory.
const DIRECT_ROWS: u64 = 65_536;

/// One key's events, in order, for each of which values are wanted.
pub(crate) struct Walk {
    pub(crate) slot: u32,
    /// The key's place in the cursor.
    pub(crate) group: u32,
    /// Numbers of the events in the key's log, rising.
    pub(crate) events: Vec<u64>,
}

/// What values are made of.
pub(crate) struct Source<'a> {
    pub(crate) spec: &'a StageSpec,
    pub(crate) logs: &'a Logs,
    pub(crate) frames: &'a OverFrames,
    pub(crate) tail: Option<&'a Tail>,
}

/// Cursors of keys by group.
pub(crate) struct OverCursor {
    /// By group and frame: the rows that are in it. `None` if the key's cursor stands nowhere.
    frames: Vec<Option<FrameRows>>,
    frames_per_group: usize,
    columns: Vec<OverColumn>,
}

/// How one aggregate's values are found.
enum OverColumn {
    /// A running state by group.
    Running(Box<dyn States>),
    /// Rows that may be chosen, by group.
    Choice(Chooser, Vec<Candidates>),
    /// Folds of parts of the frame, by group.
    Stacks(Vec<Stack>),
    /// Folds of the steps of a tail, by group.
    Steps(TailSteps),
    /// Each frame anew.
    Direct,
}

impl OverCursor {
    pub(crate) fn new(spec: &StageSpec, layout: &Layout, frames: &OverFrames) -> OverCursor {
        let columns = spec.aggregates.iter().map(|aggregate| {
            if spec.tail.is_some() {
                return OverColumn::Steps(TailSteps::new(aggregate));
            }
            let frame = frames.get(aggregate.frame);
            let only_grows = frame.only_grows();
            // What nothing leaves needs no queue.
            let runs_anyway =
                |it: &Chooser| only_grows && matches!(it.selection(), Selection::Least | Selection::Greatest);
            match Chooser::new(layout, aggregate).filter(|it| !runs_anyway(it)) {
                Some(chooser) => OverColumn::Choice(chooser, Vec::new()),
                None if aggregate.function.card().inverse || only_grows => {
                    OverColumn::Running(aggregate.function.states())
                }
                None if frame.is_whole() && is_free_of_brackets(aggregate) => OverColumn::Stacks(Vec::new()),
                None => OverColumn::Direct,
            }
        });
        OverCursor { frames: Vec::new(), frames_per_group: frames.len(), columns: columns.collect() }
    }

    pub(crate) fn make_room(&mut self, groups: usize) {
        if self.frames.len() < groups * self.frames_per_group {
            self.frames.resize(groups * self.frames_per_group, None);
            for column in &mut self.columns {
                match column {
                    OverColumn::Running(states) => states.resize(groups),
                    OverColumn::Choice(_, candidates) => candidates.resize(groups, Candidates::default()),
                    OverColumn::Stacks(stacks) => stacks.resize_with(groups, Stack::default),
                    OverColumn::Steps(steps) => steps.make_room(groups),
                    OverColumn::Direct => {}
                }
            }
        }
    }

    /// Makes a key's cursor stand nowhere: the next walk starts from the log.
    pub(crate) fn reset(&mut self, group: u32) {
        let at = group as usize * self.frames_per_group;
        if at >= self.frames.len() {
            return;
        }
        self.frames[at..at + self.frames_per_group].fill(None);
        for column in &mut self.columns {
            match column {
                OverColumn::Running(states) => states.reset(&[group]),
                OverColumn::Choice(_, candidates) => candidates[group as usize] = Candidates::default(),
                OverColumn::Stacks(stacks) => stacks[group as usize] = Stack::default(),
                OverColumn::Steps(steps) => steps.reset(group),
                OverColumn::Direct => {}
            }
        }
    }

    /// Whether lookups start from where it stands.
    pub(crate) fn serves_lookups(&self) -> bool {
        let serves = |column: &OverColumn| !matches!(column, OverColumn::Stacks(_) | OverColumn::Direct);
        self.columns.iter().any(serves)
    }

    /// Where a key's cursor stands in a frame.
    pub(crate) fn frame(&self, group: u32, frame: usize) -> Option<&FrameRows> {
        self.frames.get(group as usize * self.frames_per_group + frame)?.as_ref()
    }

    /// A copy of a key's running state, if the aggregate has one.
    pub(crate) fn copy(&self, aggregate: usize, group: u32) -> Option<Box<dyn States>> {
        match &self.columns[aggregate] {
            OverColumn::Running(states) => Some(states.copy(&[group])),
            _ => None,
        }
    }

    /// The rows of a key that may be chosen, if the aggregate is a choice.
    pub(crate) fn candidates(&self, aggregate: usize, group: u32) -> Option<&Candidates> {
        match &self.columns[aggregate] {
            OverColumn::Choice(_, candidates) => candidates.get(group as usize),
            _ => None,
        }
    }

    /// A copy of the fold of all steps but the newest of a frame under a tail, if a key's cursor stands there.
    pub(crate) fn copy_steps(
        &self,
        aggregate: usize,
        group: u32,
        (since, newest): (i64, PaneStart),
    ) -> Option<Box<dyn States>> {
        match &self.columns[aggregate] {
            OverColumn::Steps(steps) => steps.copy(group, since, newest),
            _ => None,
        }
    }

    /// The values of one aggregate for the events of all walks, in order. `bounds` are their frames.
    fn values(
        &mut self,
        at: usize,
        source: &Source<'_>,
        walks: &[Walk],
        bounds: &[FrameRows],
    ) -> Result<Finished, AggregateError> {
        let Source { spec, logs, .. } = source;
        let aggregate = &spec.aggregates[at];
        let stands =
            |group: u32| self.frames[group as usize * self.frames_per_group + aggregate.frame].clone();
        match &mut self.columns[at] {
            OverColumn::Running(states) => slide(states.as_mut(), aggregate, logs, walks, bounds, stands),
            OverColumn::Choice(chooser, candidates) => {
                choose(*chooser, candidates, logs, walks, bounds, stands)
            }
            OverColumn::Stacks(stacks) => stack::values(stacks, aggregate, logs, walks, bounds),
            OverColumn::Steps(steps) => match source.tail {
                Some(tail) => steps.values(at, source, tail, walks, bounds),
                None => Err(AggregateError::Broken("the steps of a tail without one".to_owned())),
            },
            OverColumn::Direct => direct(aggregate, logs, walks, bounds),
        }
    }

    /// Walks over events and shows, per aggregate, their values in the order of the walks.
    pub(crate) fn walk(
        &mut self,
        source: &Source<'_>,
        walks: &[Walk],
        mut out: impl FnMut(usize, Finished),
    ) -> Result<(), AggregateError> {
        let Source { spec, logs, frames, .. } = source;
        let events: usize = walks.iter().map(|walk| walk.events.len()).sum();
        let of_frame = frames.iter().map(|frame| {
            let mut bounds = Vec::with_capacity(events);
            walks.iter().for_each(|walk| frame.of_events(logs.log(walk.slot), &walk.events, &mut bounds));
            bounds
        });
        let bounds: Vec<Vec<FrameRows>> = of_frame.collect();
        for (at, aggregate) in spec.aggregates.iter().enumerate() {
            out(at, self.values(at, source, walks, &bounds[aggregate.frame])?);
        }
        for (frame, bounds) in bounds.iter().enumerate() {
            let mut last = 0;
            for walk in walks.iter().filter(|walk| !walk.events.is_empty()) {
                last += walk.events.len();
                self.frames[walk.group as usize * self.frames_per_group + frame] =
                    Some(bounds[last - 1].clone());
            }
        }
        Ok(())
    }

    /// Takes rows out that are about to leave a key's log: those before `until`.
    pub(crate) fn forget_rows(&mut self, spec: &StageSpec, logs: &Layout, log: &Log, group: u32, until: u64) {
        let mut is_broken = false;
        for (at, aggregate) in spec.aggregates.iter().enumerate() {
            let Some(stands) = self.frame(group, aggregate.frame).cloned() else { continue };
            match &mut self.columns[at] {
                OverColumn::Running(states) if stands.start() < until => {
                    let mut feeder = Feeder::new(logs, aggregate);
                    stands
                        .pieces()
                        .into_iter()
                        .for_each(|rows| feeder.push(log, rows.start..rows.end.min(until)));
                    let feed = feeder.finish();
                    let rows = counted(feed.times.len());
                    is_broken |= states.retract(&feed.input(&vec![group; rows.len()], &rows)).is_err();
                }
                OverColumn::Choice(_, candidates) => candidates[group as usize].leave(until),
                OverColumn::Running(_)
                | OverColumn::Stacks(_)
                | OverColumn::Steps(_)
                | OverColumn::Direct => {}
            }
        }
        let at = group as usize * self.frames_per_group;
        let frames = self.frames.iter_mut().skip(at).take(self.frames_per_group);
        frames.flatten().for_each(|frame| frame.leave(until));
        if is_broken {
            self.reset(group);
        }
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let columns = self.columns.iter().map(|column| match column {
            OverColumn::Running(states) => states.memory_bytes(),
            OverColumn::Choice(_, candidates) => {
                let queues: usize = candidates.iter().map(Candidates::memory_bytes).sum();
                queues + candidates.capacity() * size_of::<Candidates>()
            }
            OverColumn::Stacks(stacks) => {
                let folds: usize = stacks.iter().map(Stack::memory_bytes).sum();
                folds + stacks.capacity() * size_of::<Stack>()
            }
            OverColumn::Steps(steps) => steps.memory_bytes(),
            OverColumn::Direct => 0,
        });
        columns.sum::<usize>() + self.frames.capacity() * size_of::<Option<FrameRows>>()
    }
}

/// Whether folds of parts may be merged in any way without a change of any bit, and without a failure.
fn is_free_of_brackets(aggregate: &AggregateSpec) -> bool {
    aggregate.function.card().algebra == Algebra::Exact && !aggregate.function.fallible()
}

fn slide(
    states: &mut dyn States,
    aggregate: &AggregateSpec,
    logs: &Logs,
    walks: &[Walk],
    bounds: &[FrameRows],
    stands: impl Fn(u32) -> Option<FrameRows>,
) -> Result<Finished, AggregateError> {
    let (mut entering, mut leaving) =
        (Feeder::new(&logs.layout, aggregate), Feeder::new(&logs.layout, aggregate));
    let (mut entering_ends, mut leaving_ends) = (Vec::new(), Vec::new());
    let (mut groups, mut as_of) = (Vec::new(), Vec::new());
    let (mut bounds, nothing) = (bounds.iter(), FrameRows::default());
    for walk in walks {
        let log = logs.log(walk.slot);
        let stands = stands(walk.group);
        let mut from = stands.as_ref().unwrap_or(&nothing);
        log.for_numbers(walk.events.iter().copied(), |block, row| {
            let Some(next) = bounds.next() else { return };
            next.outside(from, |rows| entering.push(log, rows));
            from.outside(next, |rows| leaving.push(log, rows));
            entering_ends.push(entering.len() as u32);
            leaving_ends.push(leaving.len() as u32);
            groups.push(walk.group);
            as_of.push(block.time(row));
            from = next;
        });
    }
    let (entering, leaving) = (entering.finish(), leaving.finish());
    states.slide(&aggregate::Steps {
        groups: &groups,
        as_of: &as_of,
        entering: entering.stretch(&entering_ends),
        leaving: leaving.stretch(&leaving_ends),
    })
}

impl crate::feed::Feed {
    /// The rows as those of steps that end where `ends` says.
    pub(crate) fn stretch<'a>(&'a self, ends: &'a [u32]) -> Stretch<'a> {
        Stretch { ends, times: &self.times, ranks: &self.ranks, arguments: &self.arguments }
    }
}

fn choose(
    chooser: Chooser,
    candidates: &mut [Candidates],
    logs: &Logs,
    walks: &[Walk],
    bounds: &[FrameRows],
    stands: impl Fn(u32) -> Option<FrameRows>,
) -> Result<Finished, AggregateError> {
    let mut out: ChosenRows = chooser.output(&logs.layout);
    let mut rest = bounds;
    for walk in walks {
        let (log, own) = (logs.log(walk.slot), &mut candidates[walk.group as usize]);
        let (of_walk, after) = rest.split_at(walk.events.len().min(rest.len()));
        rest = after;
        let mut from = stands(walk.group).map(|stands| stands.core());
        for next in of_walk {
            let core = next.core();
            let stands = from.take().unwrap_or(core.start..core.start);
            chooser.enter(own, log, stands.start, stands.end.max(core.start)..core.end);
            own.leave(core.start);
            chooser.push(own, log, next, &mut out);
            from = Some(core);
        }
        out.close(log);
    }
    out.finish()
}

/// Folds each frame anew, in total order. An event whose frame makes the aggregate fail has an error for a value.
fn direct(
    aggregate: &AggregateSpec,
    logs: &Logs,
    walks: &[Walk],
    bounds: &[FrameRows],
) -> Result<Finished, AggregateError> {
    let mut events: Vec<OverEvent> = Vec::with_capacity(bounds.len());
    for walk in walks {
        let log = logs.log(walk.slot);
        log.for_numbers(walk.events.iter().copied(), |block, row| {
            let frame = bounds[events.len()].clone();
            events.push(OverEvent { slot: walk.slot, time: block.time(row), frame });
        });
    }
    let mut done: Vec<Finished> = Vec::new();
    let mut from = 0;
    while from < events.len() {
        let mut rows = 0;
        let fits = events[from..].iter().take_while(|event| {
            rows += event.frame.len();
            rows <= DIRECT_ROWS
        });
        let to = from + fits.count().max(1);
        match fold_frames(aggregate, logs, &events[from..to]) {
            Err(AggregateError::Rows(_)) => {
                for event in &events[from..to] {
                    done.push(fold_frame(aggregate, logs, event)?);
                }
            }
            finished => done.push(finished?),
        }
        from = to;
    }
    joined(aggregate, done)
}

/// Values that were made in parts; the errors of each are counted from its own first.
pub(super) fn joined(aggregate: &AggregateSpec, done: Vec<Finished>) -> Result<Finished, AggregateError> {
    let parts: Vec<&dyn Array> = done.iter().map(|it| it.values.as_ref()).collect();
    if parts.is_empty() {
        return aggregate.function.states().finish(&[], &[]);
    }
    let values =
        arrow_select::concat::concat(&parts).map_err(|error| AggregateError::Broken(error.to_string()))?;
    let (mut errors, mut first) = (Vec::new(), 0);
    for Finished { values, errors: of_part } in done {
        errors.extend(of_part.into_iter().map(|(at, reason)| (first + at, reason)));
        first += values.len() as u32;
    }
    Ok(Finished { values, errors })
}

/// An event and its rows.
struct OverEvent {
    slot: u32,
    time: i64,
    frame: FrameRows,
}

fn fold_frame(aggregate: &AggregateSpec, logs: &Logs, event: &OverEvent) -> Result<Finished, AggregateError> {
    match fold_frames(aggregate, logs, std::slice::from_ref(event)) {
        Err(AggregateError::Rows(reason)) => {
            let values = new_null_array(&aggregate.function.card().result, 1);
            Ok(Finished { values, errors: vec![(0, reason)] })
        }
        finished => finished,
    }
}

fn fold_frames(
    aggregate: &AggregateSpec,
    logs: &Logs,
    events: &[OverEvent],
) -> Result<Finished, AggregateError> {
    let mut feeder = Feeder::new(&logs.layout, aggregate);
    let mut groups = Vec::new();
    for (group, event) in events.iter().enumerate() {
        event.frame.pieces().into_iter().for_each(|rows| feeder.push(logs.log(event.slot), rows));
        groups.resize(feeder.len(), group as u32);
    }
    let feed = feeder.finish();
    let mut states = aggregate.function.states();
    states.resize(events.len());
    if !groups.is_empty() {
        states.update(&feed.input(&groups, &counted(groups.len())))?;
    }
    let as_of: Vec<i64> = events.iter().map(|event| event.time).collect();
    states.finish(&counted(events.len()), &as_of)
}
