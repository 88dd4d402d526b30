//! Kinds of windows beside the plain grid, and what the kinds have in common for whoever asks: which windows hold a
//! time, which is complete, which ends next.
//!
//! Arithmetic only. Knows no row and no state.

use crate::geometry::{Geometry, WindowName};
use crate::spec::{Frames, MAX_PANES, SpecError};
use std::sync::Arc;
use weir_event::{EventTime, Span};

/// Cumulating windows: `[start, start + k * step)` for each k up to `size / step`, with starts on the size's grid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cumulate {
    /// Length of the longest window; positive, a multiple of the step.
    pub size: Span,
    /// From one window's end to the next one's; positive.
    pub step: Span,
    /// Where the grid is anchored, from the epoch.
    pub offset: Span,
}

/// Windows between bounds that are known beforehand: window `i` is `[starts[i], starts[i + 1])`. Rows before the
/// first bound, and at or after the last, are in no window.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Bounds, milliseconds, rising.
    pub starts: Arc<[i64]>,
}

/// Windows that go on while the pause from row to row is at most the gap: `[first row, last row + gap)`.
///
/// A row exactly at a session's end still goes on with it, so that a session is final when the watermark is past its
/// end, not at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Session {
    /// The longest pause; positive.
    pub gap: Span,
}

impl Cumulate {
    pub(crate) fn check(&self) -> Result<(), SpecError> {
        let Cumulate { size, step, .. } = *self;
        if size.millis() <= 0 || step.millis() <= 0 {
            return Err(SpecError::EmptyWindow);
        }
        if size.millis() % step.millis() != 0 {
            return Err(SpecError::UnevenSteps { size, step });
        }
        let panes = size.millis() / step.millis();
        if panes > MAX_PANES {
            return Err(SpecError::TooManyPanes { size, slide: step, panes });
        }
        Ok(())
    }
}

impl Table {
    pub(crate) fn check(&self) -> Result<(), SpecError> {
        let is_rising = self.starts.is_sorted_by(|a, b| a < b);
        if self.starts.len() < 2 || !is_rising { Err(SpecError::UnorderedTable) } else { Ok(()) }
    }
}

/// A window `[start, end)`.
pub type Window = (EventTime, EventTime);

/// The windows of a stage whose windows are known without any row: all but sessions, lifetime aggregates and `OVER`.
///
/// ```
/// use weir_event::{EventTime, Span};
/// use weir_timeline::{Cumulate, Frames};
/// let [size, step, offset] = [30, 10, 0].map(Span::from_millis);
/// let windows = Frames::Cumulate(Cumulate { size, step, offset }).windows().unwrap();
/// let at = |start, end| (EventTime::from_millis(start), EventTime::from_millis(end));
/// assert_eq!(windows.holding(EventTime::from_millis(12)), Some((at(0, 20), at(0, 30))));
/// assert_eq!(windows.complete_at(EventTime::from_millis(45)), Some(at(30, 40)));
/// assert_eq!(windows.open_at(EventTime::from_millis(45)), Some(at(30, 50)));
/// ```
#[derive(Debug, Clone)]
pub struct Windows(pub(crate) Geometry);

impl Frames {
    /// The windows, if they are known without any row.
    pub fn windows(&self) -> Option<Windows> {
        Geometry::new(self).map(Windows)
    }

    /// The first and the last moment at which a result that holds a row at `time` becomes final, if no other row came
    /// (where others tell, see [`Frames::is_judged_by_key`]); `None` if there is no such result: between two windows, or
    /// of a lifetime aggregate, which is never final.
    pub fn final_between(&self, time: EventTime) -> Option<(EventTime, EventTime)> {
        let moment = Span::from_millis(1);
        match self {
            Frames::Session(session) => {
                let end = time + session.gap + moment;
                Some((end, end))
            }
            Frames::Over(_) | Frames::Process => Some((time + moment, time + moment)),
            Frames::Lifetime => None,
            Frames::Grid(_) | Frames::Cumulate(_) | Frames::Table(_) => {
                let (first, last) = self.windows()?.holding(time)?;
                Some((first.1, last.1))
            }
        }
    }

    /// Whether only a key's other rows tell which result a row belongs to, and so whether it is late: its session may
    /// go on long after it. Then [`crate::Timelines::insert`] is the judge of late rows.
    pub fn is_judged_by_key(&self) -> bool {
        matches!(self, Frames::Session(_))
    }
}

impl Windows {
    /// The window that ends first, and the one that ends last, of those that hold `time`.
    pub fn holding(&self, time: EventTime) -> Option<(Window, Window)> {
        let pane = self.0.pane_of(time.millis())?;
        Some((self.window(self.0.first_window(pane)), self.window(self.0.last_window(pane))))
    }

    /// The newest window that ends at or before `time`.
    pub fn complete_at(&self, time: EventTime) -> Option<Window> {
        self.0.last_complete(time.millis()).map(|window| self.window(window))
    }

    /// The window that ends next after `time`.
    pub fn open_at(&self, time: EventTime) -> Option<Window> {
        self.0.first_open(time.millis()).map(|window| self.window(window))
    }

    fn window(&self, window: WindowName) -> Window {
        let (start, end) = self.0.bounds(window);
        (EventTime::from_millis(start), EventTime::from_millis(end))
    }
}
