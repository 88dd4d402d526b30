//! How far back a value looks for rows, and whether that is further than its feature has all of them.
//!
//! Knows frames and what the engine found in them. Must not know how a value is written.

use crate::keyed::lookup::Looked;
use weir_event::{EventTime, Span};
use weir_timeline::{Bounds, Exclude, Frames, OverFrame, StageSpec};

/// Where the rows of a value come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookback {
    /// A window of a grid.
    Window,
    /// The last session, which rows up to the gap before it would belong to. It is found for so long after its end;
    /// `None` is always.
    Session {
        /// The pause that ends a session.
        gap: Span,
        /// How long it is found.
        kept: Option<Span>,
    },
    /// All that the key ever had.
    Everything,
    /// Frames of `OVER`.
    Over(OverLookback),
}

/// The frames of `OVER` that a value is over.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OverLookback {
    /// Those of the stage by their number in it.
    pub frames: Vec<(usize, OverFrame)>,
    /// Older rows are not looked for; `None`: however old they are.
    pub retention: Option<Span>,
    /// The number of the event, where the value repeats columns of it.
    pub event: Option<usize>,
    /// How long after its time an event is found; `None` is always.
    pub found_for: Option<Span>,
}

impl Lookback {
    /// Of these frames of a stage.
    pub fn of(spec: &StageSpec, read: &[usize]) -> Lookback {
        match &spec.frames {
            Frames::Grid(_) | Frames::Cumulate(_) | Frames::Table(_) => Lookback::Window,
            Frames::Session(session) => Lookback::Session { gap: session.gap, kept: spec.retention },
            Frames::Lifetime | Frames::Process => Lookback::Everything,
            Frames::Over(all) => Lookback::Over(OverLookback {
                frames: read.iter().filter_map(|frame| Some((*frame, *all.get(*frame)?))).collect(),
                retention: spec.retention,
                event: read.iter().copied().find(|frame| *frame == all.len()),
                found_for: found_for(spec, all),
            }),
        }
    }

    /// Whether a row from before `since` could be part of what was looked for at this time, which a job has not before
    /// any event.
    pub fn is_beyond(&self, since: EventTime, looked: &Looked, time: Option<EventTime>) -> bool {
        match self {
            Lookback::Window => looked.window.is_some_and(|(start, _)| start < since),
            Lookback::Session { gap, kept } => match looked.window {
                Some((start, _)) => start - *gap < since,
                None => is_within(*kept, time.map(|time| time - *gap), since),
            },
            Lookback::Everything => true,
            Lookback::Over(over) => over.is_beyond(since, looked, time),
        }
    }
}

impl OverLookback {
    fn is_beyond(&self, since: EventTime, looked: &Looked, time: Option<EventTime>) -> bool {
        let mut frames = self.frames.iter();
        let is_of_event = || self.event.is_some_and(|event| self.is_event_beyond(event, since, looked, time));
        frames.any(|(at, frame)| self.is_frame_beyond(*at, frame, since, looked, time)) || is_of_event()
    }

    fn is_frame_beyond(
        &self,
        at: usize,
        frame: &OverFrame,
        since: EventTime,
        looked: &Looked,
        time: Option<EventTime>,
    ) -> bool {
        match frame.bounds {
            Bounds::Range { preceding, .. } => is_within(preceding.or(self.retention), time, since),
            Bounds::Rows { .. } => {
                let (rows, oldest) =
                    looked.frames.get(at).map_or((0, None), |found| (found.rows, found.oldest));
                let has_older = oldest.is_some_and(|oldest| oldest < since);
                let lacks_rows = most_rows(frame).is_none_or(|most| rows < most);
                has_older || lacks_rows && is_within(self.retention, time, since)
            }
        }
    }

    /// An event that came before has not what was new in later ones; where none is found, there may have been one.
    fn is_event_beyond(
        &self,
        event: usize,
        since: EventTime,
        looked: &Looked,
        time: Option<EventTime>,
    ) -> bool {
        match looked.frames.get(event).and_then(|found| found.newest) {
            Some(found) => found < since,
            None => is_within(self.found_for, time, since),
        }
    }
}

/// How far before a stage's watermark the rows may be that lookups still count; `None` where nothing bounds that.
pub fn looks_back(spec: &StageSpec) -> Option<Span> {
    let of_values = match &spec.frames {
        // The newest complete window may have ended almost as long ago as the next one takes.
        Frames::Grid(grid) => Some(sum(grid.size, grid.size.max(grid.slide))),
        Frames::Cumulate(_) | Frames::Table(_) => spec.frames.longest().map(|longest| sum(longest, longest)),
        // A session is as long as its events make it; it is found for as long as it is kept.
        Frames::Session(session) => spec.retention.map(|retention| sum(retention, session.gap)),
        Frames::Lifetime | Frames::Process => None,
        Frames::Over(all) => found_for(spec, all),
    };
    of_values.map(|span| sum(span, spec.reach()))
}

fn sum(one: Span, other: Span) -> Span {
    Span::from_millis(one.millis().saturating_add(other.millis()))
}

/// Whether what reaches so far back of a time begins before `since`; without either it begins before all times.
fn is_within(back: Option<Span>, time: Option<EventTime>, since: EventTime) -> bool {
    time.zip(back).is_none_or(|(time, back)| time - back < since)
}

/// How many rows a frame that counts them can have; `None` is any number.
fn most_rows(frame: &OverFrame) -> Option<u64> {
    let Bounds::Rows { preceding, until } = frame.bounds else { return None };
    let is_left_out = frame.exclude == Exclude::CurrentRow && until == 0;
    Some(preceding?.saturating_sub(until).saturating_add(u64::from(!is_left_out)))
}

/// How long the newest event is found: where time sets no bound to a frame, as long as any row is.
fn found_for(spec: &StageSpec, frames: &[OverFrame]) -> Option<Span> {
    // Under a tail a frame begins up to a step earlier.
    let step = spec.tail.map_or(0, |step| step.millis() - 1);
    let reach = |frame: &OverFrame| Some(Span::from_millis(frame.reach()?.millis().saturating_add(step)));
    let longest = frames.iter().try_fold(spec.reach(), |longest, frame| Some(longest.max(reach(frame)?)));
    longest.map_or(spec.retention, |span| Some(spec.retention.map_or(span, |retention| span.min(retention))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyed::lookup::FrameRows;
    use arrow_array::RecordBatch;
    use arrow_schema::Schema;
    use std::sync::Arc;

    const fn span(millis: i64) -> Span {
        Span::from_millis(millis)
    }

    fn time(millis: i64) -> EventTime {
        EventTime::from_millis(millis)
    }

    /// What is found: a window, and of each frame its number of rows with the oldest and the newest.
    fn looked(window: Option<(i64, i64)>, frames: &[(u64, i64, i64)]) -> Looked {
        let of_frame = |(rows, oldest, newest): &(u64, i64, i64)| {
            let found = |at: i64| (*rows > 0).then(|| time(at));
            FrameRows { rows: *rows, newest: found(*newest), oldest: found(*oldest) }
        };
        Looked {
            columns: RecordBatch::new_empty(Arc::new(Schema::empty())),
            window: window.map(|(start, end)| (time(start), time(end))),
            complete: false,
            frames: frames.iter().map(of_frame).collect(),
            failures: Vec::new(),
        }
    }

    fn rows(preceding: Option<u64>, until: u64) -> OverFrame {
        OverFrame { bounds: Bounds::Rows { preceding, until }, exclude: Exclude::None }
    }

    #[test]
    fn a_frame_of_rows_is_whole_when_it_has_as_many_as_it_can_have() {
        let is_beyond = |frame: OverFrame, retention: Option<Span>, found: (u64, i64, i64)| {
            let over = OverLookback { frames: vec![(0, frame)], retention, ..OverLookback::default() };
            Lookback::Over(over).is_beyond(time(100), &looked(None, &[found]), Some(time(200)))
        };
        let nothing = (0, 0, 0);
        assert!(is_beyond(rows(Some(1), 0), None, nothing));
        assert!(is_beyond(rows(Some(1), 0), None, (1, 150, 150)));
        assert!(!is_beyond(rows(Some(1), 0), None, (2, 100, 150)));
        assert!(is_beyond(rows(Some(1), 0), None, (2, 99, 150)));
        assert!(!is_beyond(rows(Some(1), 1), None, (1, 100, 100)), "LAG");
        assert!(is_beyond(rows(Some(1), 1), None, nothing));
        assert!(is_beyond(rows(None, 0), None, (50, 100, 150)));
        // What is older than the retention is not part of it.
        assert!(is_beyond(rows(None, 0), Some(span(101)), (1, 150, 150)));
        assert!(!is_beyond(rows(None, 0), Some(span(100)), (1, 150, 150)));
        let others = OverFrame { exclude: Exclude::CurrentRow, ..rows(Some(1), 0) };
        assert!(!is_beyond(others, None, (1, 100, 100)));
    }

    #[test]
    fn a_session_is_whole_when_no_row_before_could_belong_to_it() {
        let is_beyond = |kept: Option<i64>, window: Option<(i64, i64)>, at: i64| {
            let session = Lookback::Session { gap: span(10), kept: kept.map(span) };
            session.is_beyond(time(100), &looked(window, &[]), Some(time(at)))
        };
        assert!(is_beyond(None, Some((109, 130)), 130));
        assert!(!is_beyond(None, Some((110, 130)), 130));
        // The last session is found however old it is, or as long as it is kept.
        assert!(is_beyond(None, None, 10_000));
        assert!(is_beyond(Some(50), None, 159));
        assert!(!is_beyond(Some(50), None, 160));
    }

    #[test]
    fn an_event_from_before_has_not_what_later_ones_have() {
        let frame = OverFrame::range(Some(span(20)));
        let over = OverLookback {
            frames: vec![(0, frame)],
            event: Some(1),
            found_for: Some(span(60)),
            ..OverLookback::default()
        };
        let over = Lookback::Over(over);
        let is_beyond = |event: (u64, i64, i64), at: i64| {
            over.is_beyond(time(100), &looked(None, &[(1, 130, 130), event]), Some(time(at)))
        };
        assert!(is_beyond((1, 110, 110), 119), "its frame");
        assert!(!is_beyond((1, 110, 110), 120));
        assert!(is_beyond((1, 99, 99), 140));
        assert!(is_beyond((0, 0, 0), 159));
        assert!(!is_beyond((0, 0, 0), 160));
    }

    #[test]
    fn rows_count_as_far_back_as_the_oldest_answer_reaches() {
        let spec = |frames: Frames, history: i64| StageSpec {
            frames,
            inputs: Vec::new(),
            aggregates: Vec::new(),
            carried: Vec::new(),
            corrects: None,
            history: span(history),
            retention: None,
            tail: None,
            emit_changes: false,
            results_below: None,
            process: None,
        };
        let grid = |size, slide| {
            Frames::Grid(weir_timeline::Grid { size: span(size), slide: span(slide), offset: Span::ZERO })
        };
        assert_eq!(looks_back(&spec(grid(10, 2), 5)), Some(span(25)));
        assert_eq!(looks_back(&spec(grid(10, 30), 5)), Some(span(45)));
        assert_eq!(looks_back(&spec(Frames::Lifetime, 5)), None);
        assert_eq!(
            looks_back(&spec(Frames::Over(vec![OverFrame::range(Some(span(20)))]), 5)),
            Some(span(25))
        );
        assert_eq!(looks_back(&spec(Frames::Over(vec![rows(Some(3), 0)]), 5)), None);
    }
}
