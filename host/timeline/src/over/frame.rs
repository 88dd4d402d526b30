//! Which rows of a key's log are in the frames of an event, or of a lookup.
//!
//! Works on the numbers of rows alone. Knows nothing of aggregates or of what is done with the rows.

use crate::row_log::block::RowBlock;
use crate::row_log::logs::Life;
use crate::row_log::{Log, Seeker};
use crate::spec::{Bounds, Exclude, OverFrame};
use std::ops::Range;
use weir_event::{EventTime, Span};

/// So many of a key's rows stay rows under a tail.
pub(crate) const UNFOLDED_ROWS: u64 = 64;

/// The frames of a stage, their bounds made whole by its retention.
#[derive(Debug, Clone)]
pub(crate) struct OverFrames(Vec<Frame>);

/// One frame.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Frame {
    extent: Extent,
    exclude: Exclude,
}

/// Bounds; times in milliseconds.
#[derive(Debug, Clone, Copy)]
enum Extent {
    /// `step`: it begins at a multiple of this.
    Range { preceding: Option<i64>, until: i64, step: i64 },
    /// `lasting`: rows older than this are no part of it.
    Rows { preceding: Option<u64>, until: u64, lasting: Option<i64> },
}

/// Numbers of rows that a frame's bounds are made of.
#[derive(Debug, Clone, Copy)]
struct Edges {
    /// The first row that is young enough.
    from: u64,
    /// Of a range: the row after the last.
    to: u64,
    /// The first row of the event's own time; only where ties are told from others.
    ties: u64,
}

/// Where the bounds of the last event's frame were found.
#[derive(Default)]
struct FrameEdge<'a> {
    from: Option<Seeker<'a>>,
    to: Option<Seeker<'a>>,
}

/// The first row at or after `time`, which is none before the last one asked for.
fn moved<'a>(seeker: &mut Option<Seeker<'a>>, log: &'a Log, time: i64) -> u64 {
    seeker.get_or_insert_with(|| log.seek(time)).move_to(time)
}

/// The rows of a frame of one event: a range of the log, less a hole.
///
/// Its core is the part that moves with the events: it starts at the range's start, and neither its start nor its
/// end goes back from an event to a later one. What is beyond the core and not in the hole are ties of the event.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct FrameRows {
    rows: Range<u64>,
    hole: Range<u64>,
    core_end: u64,
}

impl OverFrames {
    pub(crate) fn new(frames: &[OverFrame], retention: Option<Span>, tail: Option<Span>) -> OverFrames {
        let retention = retention.map(Span::millis);
        let step = tail.map_or(1, Span::millis);
        let extent = |bounds| match bounds {
            Bounds::Range { preceding, until } => {
                let preceding = preceding.map(Span::millis).or(retention);
                Extent::Range { preceding, until: until.millis(), step }
            }
            Bounds::Rows { preceding, until } => Extent::Rows { preceding, until, lasting: retention },
        };
        let frames = frames.iter().map(|it| Frame { extent: extent(it.bounds), exclude: it.exclude });
        OverFrames(frames.collect())
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Frame> {
        self.0.iter()
    }

    pub(crate) fn get(&self, frame: usize) -> &Frame {
        &self.0[frame]
    }

    /// How long rows are of use, frame by frame.
    pub(crate) fn lives(&self) -> Vec<Life> {
        let lives: Vec<Life> = self.iter().map(Frame::life).collect();
        if lives.is_empty() { vec![Life::NONE] } else { lives }
    }

    /// As `lives`, where rows that no edge cuts through may leave for the tiles of a tail. The newest stay while a
    /// frame reaches them: few rows take less than their tiles would.
    pub(crate) fn lives_before_tiles(&self) -> Vec<Life> {
        let cut = self.iter().map(Frame::ends_before).max();
        let reach = self.iter().map(Frame::reach).try_fold(0, |longest, reach| Some(longest.max(reach?)));
        vec![Life { span: cut, rows: None }, Life { span: reach, rows: Some(UNFOLDED_ROWS) }]
    }

    /// How far before its event the longest of the bounded frames may begin, milliseconds.
    pub(crate) fn longest(&self) -> Option<i64> {
        self.iter().filter_map(Frame::reach).max()
    }

    /// Whether a row of this time is still of use, as the newest one, to a lookup at `as_of`.
    pub(crate) fn reaches(&self, time: i64, as_of: i64) -> bool {
        self.iter().any(|frame| time >= frame.since(as_of))
    }

    /// Events of `among` whose frames are not what they were before the rows `new` came, and those rows' own.
    /// `new` rises.
    pub(crate) fn changed(&self, log: &Log, new: &[u64], among: Range<u64>) -> Vec<u64> {
        let own = new.iter().map(|number| *number..number + 1);
        let of_frames = new.iter().flat_map(|number| {
            let time = log.time(*number);
            self.iter().map(move |frame| frame.within_reach(log, *number, time))
        });
        let mut stretches: Vec<Range<u64>> = own.chain(of_frames).collect();
        stretches.sort_unstable_by_key(|stretch| stretch.start);
        let mut events = Vec::new();
        let mut from = among.start;
        for stretch in stretches {
            let numbers = from.max(stretch.start)..stretch.end.min(among.end);
            from = from.max(numbers.end);
            log.for_each(numbers, |block, rows| {
                let numbered = rows.map(|row| (block.start + row as u64, block.time(row)));
                let is_changed = |(number, time): &(u64, i64)| {
                    new.binary_search(number).is_ok() || self.is_changed(log, new, *number, *time)
                };
                events.extend(numbered.filter(is_changed).map(|(number, _)| number));
            });
        }
        events
    }

    /// Whether an event's frames are not what they were before the rows `new` came. `new` rises, and the event is
    /// none of them.
    pub(crate) fn is_changed(&self, log: &Log, new: &[u64], number: u64, time: i64) -> bool {
        let before = |number: u64| number - new.partition_point(|it| *it < number) as u64;
        let oldest = log.start();
        self.iter().any(|frame| {
            let edges = frame.edges(log, time);
            let now = frame.resolve(number, oldest, edges).pieces();
            let Edges { from, to, ties } = edges;
            let edges = Edges { from: before(from), to: before(to), ties: before(ties) };
            let then = frame.resolve(before(number), oldest, edges).pieces();
            // Rows that came lie in it, or those that were there are others than before.
            let has_new =
                now.iter().any(|rows| before(rows.end) - before(rows.start) != rows.end - rows.start);
            has_new || joined(now.map(|rows| before(rows.start)..before(rows.end))) != then
        })
    }
}

impl Frame {
    /// The time from which on rows are in it, as far as time says; [`i64::MIN`] if all are.
    pub(crate) fn since(&self, time: i64) -> i64 {
        let (span, step) = match self.extent {
            Extent::Range { preceding, step, .. } => (preceding, step),
            Extent::Rows { lasting, .. } => (lasting, 1),
        };
        span.map_or(i64::MIN, |span| floor(time.saturating_sub(span), step))
    }

    /// The time up to which, inclusive, rows may be in it.
    pub(crate) fn until(&self, time: i64) -> i64 {
        match self.extent {
            Extent::Range { until, .. } => time.saturating_sub(until),
            Extent::Rows { .. } => time,
        }
    }

    /// Whether time sets its beginning no bound.
    pub(crate) fn is_unbounded(&self) -> bool {
        matches!(self.extent, Extent::Range { preceding: None, .. } | Extent::Rows { lasting: None, .. })
    }

    /// How far before its event it may begin.
    fn reach(&self) -> Option<i64> {
        match self.extent {
            Extent::Range { preceding, step, .. } => preceding.map(|it| it.saturating_add(step - 1)),
            Extent::Rows { lasting, .. } => lasting,
        }
    }

    /// How far before its event it may end.
    fn ends_before(&self) -> i64 {
        match self.extent {
            Extent::Range { until, .. } => until,
            Extent::Rows { .. } => 0,
        }
    }

    /// Whether no row leaves it.
    pub(crate) fn only_grows(&self) -> bool {
        let is_unbounded = matches!(
            self.extent,
            Extent::Range { preceding: None, .. } | Extent::Rows { preceding: None, lasting: None, .. }
        );
        is_unbounded && self.is_whole()
    }

    /// Whether it never has a hole.
    pub(crate) fn is_whole(&self) -> bool {
        match (self.extent, self.exclude) {
            (_, Exclude::None) | (Extent::Rows { .. }, Exclude::CurrentRow) => true,
            // A frame that ends before the event's time has no ties in it.
            (Extent::Range { until, .. }, _) => until > 0,
            (Extent::Rows { until, .. }, Exclude::Ties) => until > 0,
        }
    }

    fn life(&self) -> Life {
        match self.extent {
            Extent::Range { .. } => Life { span: self.reach(), rows: None },
            Extent::Rows { preceding, lasting, .. } => Life { span: lasting, rows: preceding },
        }
    }

    /// Appends the rows of the frames of events, which are named by rising numbers.
    pub(crate) fn of_events(&self, log: &Log, events: &[u64], out: &mut Vec<FrameRows>) {
        let mut last: Option<(i64, Edges)> = None;
        let mut edge = FrameEdge::default();
        log.for_numbers(events.iter().copied(), |block, row| {
            let (time, number) = (block.time(row), block.start + row as u64);
            let edges = match last {
                Some((tied, edges)) if tied == time => edges,
                _ => self.next_edges(&mut edge, log, block, row),
            };
            last = Some((time, edges));
            out.push(self.resolve(number, log.start(), edges));
        });
    }

    /// As `edges`, of an event that is none before the last one.
    fn next_edges<'a>(&self, edge: &mut FrameEdge<'a>, log: &'a Log, block: &RowBlock, row: usize) -> Edges {
        let (time, number) = (block.time(row), block.start + row as u64);
        let mut since = || match self.since(time) {
            i64::MIN => log.start(),
            since => moved(&mut edge.from, log, since),
        };
        let is_first_tie = row > 0 && block.time(row - 1) < time;
        let is_last_tie = row + 1 < block.len() && block.time(row + 1) > time;
        let ties = match self.knows_ties() {
            true if is_first_tie => number,
            true => log.first_at(time),
            false => log.start(),
        };
        match self.extent {
            Extent::Range { until, .. } => {
                let from = since();
                let to = match until {
                    0 if is_last_tie => number + 1,
                    0 => log.first_after(time),
                    _ => moved(&mut edge.to, log, time.saturating_sub(until).saturating_add(1)),
                };
                Edges { from, to: to.max(from), ties }
            }
            Extent::Rows { .. } => {
                let from = since();
                Edges { from, to: from, ties }
            }
        }
    }

    /// The rows at a lookup. Where rows are counted, the newest one stands for the event; else there is none that
    /// could be left out.
    pub(crate) fn as_of(&self, log: &Log, as_of: i64) -> FrameRows {
        let (edges, oldest) = (self.edges(log, as_of), log.start());
        match self.extent {
            Extent::Range { .. } => FrameRows::whole(edges.from..edges.to),
            Extent::Rows { .. } => match log.first_after(as_of).checked_sub(1) {
                Some(newest) if newest >= edges.from => {
                    let ties = self.edges(log, log.time(newest)).ties;
                    self.resolve(newest, oldest, Edges { ties, ..edges })
                }
                _ => FrameRows::whole(edges.from..edges.from),
            },
        }
    }

    /// Whether its rows depend on which rows are ties.
    fn knows_ties(&self) -> bool {
        !self.is_whole() || matches!(self.extent, Extent::Rows { .. }) && self.exclude == Exclude::Ties
    }

    fn edges(&self, log: &Log, time: i64) -> Edges {
        let from = match self.since(time) {
            i64::MIN => log.start(),
            since => log.first_at(since),
        };
        let ties = if self.knows_ties() { log.first_at(time) } else { log.start() };
        match self.extent {
            Extent::Range { .. } => Edges { from, to: log.first_after(self.until(time)).max(from), ties },
            Extent::Rows { .. } => Edges { from, to: from, ties },
        }
    }

    fn resolve(&self, number: u64, oldest: u64, edges: Edges) -> FrameRows {
        match self.extent {
            Extent::Range { .. } if self.is_whole() => FrameRows::whole(edges.from..edges.to),
            Extent::Range { .. } if self.exclude == Exclude::CurrentRow => {
                FrameRows { rows: edges.from..edges.to, hole: number..number + 1, core_end: edges.ties }
            }
            Extent::Range { .. } => FrameRows::without_ties(edges.from, edges.ties, number),
            Extent::Rows { preceding, until, .. } => {
                let start = preceding.map_or(oldest, |preceding| number.saturating_sub(preceding));
                let start = start.max(oldest).max(edges.from);
                let end = (number + 1).saturating_sub(until).max(start);
                match self.exclude {
                    Exclude::None => FrameRows::whole(start..end),
                    Exclude::CurrentRow => FrameRows::whole(start..end.min(number).max(start)),
                    Exclude::Ties if until > 0 => FrameRows::whole(start..end.min(edges.ties).max(start)),
                    Exclude::Ties => FrameRows::without_ties(start, edges.ties, number),
                }
            }
        }
    }

    /// The events whose frame a row may be in, or may have moved.
    fn within_reach(&self, log: &Log, number: u64, time: i64) -> Range<u64> {
        let unless_unbounded = |end: Option<u64>| end.unwrap_or_else(|| log.end());
        match self.extent {
            Extent::Range { preceding, until, step } => {
                let step_end = floor(time, step).saturating_add(step);
                let last = preceding.map(|preceding| log.first_at(step_end.saturating_add(preceding)));
                log.first_at(time.saturating_add(until))..unless_unbounded(last)
            }
            Extent::Rows { preceding, .. } => {
                let last = preceding.map(|preceding| number.saturating_add(preceding).saturating_add(1));
                number..unless_unbounded(last)
            }
        }
    }
}

impl FrameRows {
    fn whole(rows: Range<u64>) -> FrameRows {
        FrameRows { hole: rows.end..rows.end, core_end: rows.end, rows }
    }

    /// Up to the event and it, but no other row from the first of its time on.
    fn without_ties(start: u64, ties: u64, number: u64) -> FrameRows {
        let ties = ties.max(start);
        FrameRows { rows: start..number + 1, hole: ties..number, core_end: ties }
    }

    /// Number of its first row.
    pub(crate) fn start(&self) -> u64 {
        self.rows.start
    }

    /// Number after that of its last row, unless it has none.
    pub(crate) fn end(&self) -> u64 {
        self.rows.end
    }

    /// The core.
    pub(crate) fn core(&self) -> Range<u64> {
        self.rows.start..self.core_end
    }

    /// What is not in the core, in order.
    pub(crate) fn rest(&self) -> [Range<u64>; 2] {
        [self.core_end..self.hole.start, self.hole.end.max(self.core_end)..self.rows.end]
    }

    /// Its rows in order, as ranges that do not touch; those that are not needed are empty, come last and are equal.
    pub(crate) fn pieces(&self) -> [Range<u64>; 2] {
        joined([self.rows.start..self.hole.start, self.hole.end..self.rows.end])
    }

    /// How many rows it has.
    pub(crate) fn len(&self) -> u64 {
        self.pieces().iter().map(|rows| rows.end - rows.start).sum()
    }

    /// Number of its first row.
    pub(crate) fn first(&self) -> Option<u64> {
        self.pieces().into_iter().find(|rows| !rows.is_empty()).map(|rows| rows.start)
    }

    /// Number of its last row.
    pub(crate) fn last(&self) -> Option<u64> {
        let [first, rest] = self.pieces();
        if rest.is_empty() { first.end.checked_sub(1) } else { Some(rest.end - 1) }
    }

    /// Shows its rows that are not in another frame, in order.
    pub(crate) fn outside(&self, other: &FrameRows, mut visit: impl FnMut(Range<u64>)) {
        for rows in self.pieces() {
            let mut from = rows.start;
            for known in other.pieces().into_iter().filter(|known| !known.is_empty()) {
                visit(from..known.start.min(rows.end));
                from = from.max(known.end);
            }
            visit(from..rows.end);
        }
    }

    /// Its rows before `until` are gone.
    pub(crate) fn leave(&mut self, until: u64) {
        for edge in [&mut self.rows.start, &mut self.rows.end, &mut self.hole.start, &mut self.hole.end] {
            *edge = (*edge).max(until);
        }
        self.core_end = self.core_end.max(until);
    }
}

fn floor(time: i64, step: i64) -> i64 {
    // Without a tail the division would be for nothing, at every event.
    if step == 1 {
        return time;
    }
    EventTime::from_millis(time).floor_to(Span::from_millis(step), Span::ZERO).millis()
}

/// The same rows as few ranges; those that are not needed are empty, come last and are equal.
fn joined([first, rest]: [Range<u64>; 2]) -> [Range<u64>; 2] {
    match (first.is_empty(), rest.is_empty()) {
        (true, true) => [0..0, 0..0],
        (false, true) => [first, 0..0],
        (true, false) => [rest, 0..0],
        (false, false) if first.end == rest.start => [first.start..rest.end, 0..0],
        (false, false) => [first, rest],
    }
}
