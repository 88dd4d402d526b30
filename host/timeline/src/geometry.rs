//! The arithmetic of windows on a grid and of their panes.
//!
//! Where windows overlap, panes are as long as divides every window. Where they do not, each window is one pane, and
//! times between two windows have none.
//!
//! Windows are named by a number that rises with their ends: where they slide, their start; where they cumulate, the
//! start of their last pane; where they are panes, that pane's start. All that is computed from names and panes is
//! computed here.
//!
//! Knows no row and no state.

use crate::spec::{Frames, Grid};
use crate::windows::Cumulate;
use std::ops::Range;
use std::sync::Arc;
use weir_event::{EventTime, Span};

/// A pane, by the time that it starts at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PaneStart(i64);

/// A window, by its name. What is greater ends later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WindowName(i64);

impl PaneStart {
    /// No pane starts earlier.
    pub(crate) const FIRST: PaneStart = PaneStart(i64::MIN);

    /// The pane that starts at a time, in milliseconds.
    pub(crate) const fn from_millis(start: i64) -> PaneStart {
        PaneStart(start)
    }

    pub(crate) const fn millis(self) -> i64 {
        self.0
    }

    /// Panes that start in a stretch of time.
    pub(crate) fn within(times: Range<i64>) -> Range<PaneStart> {
        PaneStart(times.start)..PaneStart(times.end)
    }
}

impl WindowName {
    /// No window ends later.
    pub(crate) const LAST: WindowName = WindowName(i64::MAX);

    /// The window that was stored under this number.
    pub(crate) const fn from_millis(name: i64) -> WindowName {
        WindowName(name)
    }

    pub(crate) const fn millis(self) -> i64 {
        self.0
    }
}

/// Where windows and panes start and end, in milliseconds.
#[derive(Debug, Clone)]
pub(crate) enum Geometry {
    /// Windows that do not overlap, on a grid.
    Apart(Grid),
    /// Windows that overlap, and the length of their panes.
    Sliding(Grid, Span),
    /// Windows of one start that grow.
    Growing(Cumulate),
    /// Windows between given bounds.
    Given(Arc<[i64]>),
}

fn floor(time: i64, size: Span, offset: Span) -> i64 {
    EventTime::from_millis(time).floor_to(size, offset).millis()
}

impl Geometry {
    /// `None` where windows depend on rows.
    pub(crate) fn new(frames: &Frames) -> Option<Geometry> {
        match frames {
            Frames::Grid(grid) if grid.slide >= grid.size => Some(Geometry::Apart(*grid)),
            Frames::Grid(grid) => Some(Geometry::Sliding(*grid, grid.pane())),
            Frames::Cumulate(cumulate) => Some(Geometry::Growing(*cumulate)),
            Frames::Table(table) => Some(Geometry::Given(table.starts.clone())),
            Frames::Session(_) | Frames::Lifetime | Frames::Process | Frames::Over(_) => None,
        }
    }

    /// Whether each window is one pane.
    pub(crate) fn is_whole(&self) -> bool {
        matches!(self, Geometry::Apart(_) | Geometry::Given(_))
    }

    /// Whether windows only grow until the next ones start anew.
    pub(crate) fn is_growing(&self) -> bool {
        matches!(self, Geometry::Growing(_))
    }

    /// The pane that holds `time`; `None` between two windows.
    pub(crate) fn pane_of(&self, time: i64) -> Option<PaneStart> {
        let start = match self {
            Geometry::Apart(grid) => {
                let start = floor(time, grid.slide, grid.offset);
                (grid.slide == grid.size || time < start.saturating_add(grid.size.millis())).then_some(start)
            }
            Geometry::Sliding(grid, width) => Some(floor(time, *width, grid.offset)),
            Geometry::Growing(cumulate) => Some(floor(time, cumulate.step, cumulate.offset)),
            Geometry::Given(bounds) => {
                let at = bounds.partition_point(|bound| *bound <= time);
                (at < bounds.len()).then(|| bounds.get(at.checked_sub(1)?).copied()).flatten()
            }
        };
        start.map(PaneStart)
    }

    /// End of a pane.
    pub(crate) fn pane_end(&self, PaneStart(start): PaneStart) -> i64 {
        match self {
            Geometry::Apart(grid) => start.saturating_add(grid.size.millis()),
            Geometry::Sliding(_, width) => start.saturating_add(width.millis()),
            Geometry::Growing(cumulate) => start.saturating_add(cumulate.step.millis()),
            Geometry::Given(_) => self.following(WindowName(start)).map_or(i64::MAX, WindowName::millis),
        }
    }

    /// The window that ends first of those that hold a pane.
    pub(crate) fn first_window(&self, PaneStart(start): PaneStart) -> WindowName {
        WindowName(match self {
            Geometry::Sliding(grid, _) => grid.first_start(EventTime::from_millis(start)).millis(),
            Geometry::Apart(_) | Geometry::Growing(_) | Geometry::Given(_) => start,
        })
    }

    /// The window that ends last of those that hold a pane.
    pub(crate) fn last_window(&self, PaneStart(start): PaneStart) -> WindowName {
        WindowName(match self {
            Geometry::Sliding(grid, _) => floor(start, grid.slide, grid.offset),
            Geometry::Growing(cumulate) => {
                let end = floor(start, cumulate.size, cumulate.offset).saturating_add(cumulate.size.millis());
                end.saturating_sub(cumulate.step.millis())
            }
            Geometry::Apart(_) | Geometry::Given(_) => start,
        })
    }

    /// The window that ends next after another one.
    pub(crate) fn following(&self, WindowName(name): WindowName) -> Option<WindowName> {
        let next = match self {
            Geometry::Apart(grid) | Geometry::Sliding(grid, _) => name.checked_add(grid.slide.millis()),
            Geometry::Growing(cumulate) => name.checked_add(cumulate.step.millis()),
            Geometry::Given(bounds) => bounds.get(bounds.partition_point(|bound| *bound <= name)).copied(),
        };
        next.map(WindowName)
    }

    /// The newest window that is complete at a watermark; `None` if there is none, or no watermark yet.
    pub(crate) fn last_complete(&self, watermark: i64) -> Option<WindowName> {
        let time = EventTime::from_millis(watermark);
        let complete = match self {
            _ if watermark == i64::MIN => None,
            Geometry::Apart(grid) | Geometry::Sliding(grid, _) => Some(grid.last_complete(time).millis()),
            Geometry::Growing(cumulate) => {
                Some(floor(watermark.saturating_sub(cumulate.step.millis()), cumulate.step, cumulate.offset))
            }
            Geometry::Given(bounds) => {
                let ended = bounds.partition_point(|bound| *bound <= watermark);
                ended.checked_sub(2).and_then(|at| bounds.get(at)).copied()
            }
        };
        complete.map(WindowName)
    }

    /// The window that ends next after a watermark; `None` if all are over, or there is no watermark yet.
    pub(crate) fn first_open(&self, watermark: i64) -> Option<WindowName> {
        match (self.last_complete(watermark), self) {
            (None, Geometry::Given(bounds)) => bounds.first().copied().map(WindowName),
            (complete, Geometry::Given(bounds)) => {
                self.following(complete?).filter(|window| Some(&window.0) != bounds.last())
            }
            (complete, _) => self.following(complete?),
        }
    }

    /// Start of a window.
    pub(crate) fn start_of(&self, WindowName(name): WindowName) -> i64 {
        match self {
            Geometry::Growing(cumulate) => floor(name, cumulate.size, cumulate.offset),
            Geometry::Apart(_) | Geometry::Sliding(..) | Geometry::Given(_) => name,
        }
    }

    /// End of a window.
    pub(crate) fn end_of(&self, WindowName(name): WindowName) -> i64 {
        match self {
            Geometry::Sliding(grid, _) => name.saturating_add(grid.size.millis()),
            Geometry::Apart(_) | Geometry::Growing(_) | Geometry::Given(_) => self.pane_end(PaneStart(name)),
        }
    }

    /// Start and end of a window.
    pub(crate) fn bounds(&self, window: WindowName) -> (i64, i64) {
        (self.start_of(window), self.end_of(window))
    }

    /// The panes of a window.
    pub(crate) fn panes(&self, window: WindowName) -> Range<PaneStart> {
        PaneStart::within(self.start_of(window)..self.end_of(window))
    }

    /// The window of these bounds; `None` if it is none.
    pub(crate) fn find(&self, start: i64, end: i64) -> Option<WindowName> {
        let window = WindowName(match self {
            Geometry::Growing(cumulate) => end.saturating_sub(cumulate.step.millis()),
            Geometry::Apart(_) | Geometry::Sliding(..) | Geometry::Given(_) => start,
        });
        (self.bounds(window) == (start, end)).then_some(window)
    }

    /// Where a window is cut to be folded from there to the left and to the right, so that its value does not depend
    /// on what was asked before: the end of the stretch of windows' lengths, fixed by the grid alone, that holds its
    /// start. It is told by the pane that begins there. A window that grows is folded from its start.
    pub(crate) fn boundary(&self, window: WindowName) -> PaneStart {
        PaneStart(match self {
            Geometry::Apart(grid) | Geometry::Sliding(grid, _) => {
                floor(window.0, grid.size, grid.offset).saturating_add(grid.size.millis())
            }
            Geometry::Growing(_) | Geometry::Given(_) => self.start_of(window),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::windows::Table;

    fn geometry(size: i64, slide: i64, offset: i64) -> Geometry {
        let [size, slide, offset] = [size, slide, offset].map(Span::from_millis);
        Geometry::new(&Frames::Grid(Grid { size, slide, offset })).unwrap()
    }

    fn pane(start: Option<i64>) -> Option<PaneStart> {
        start.map(PaneStart)
    }

    fn window(name: Option<i64>) -> Option<WindowName> {
        name.map(WindowName)
    }

    #[test]
    fn overlapping_windows_share_panes() {
        let hop = geometry(30, 20, 5);
        let [early, late] = [-15, -5].map(PaneStart);
        assert_eq!((hop.pane_of(-6), hop.pane_end(early)), (Some(early), -5));
        assert_eq!((hop.first_window(early), hop.last_window(early)), (WindowName(-35), WindowName(-15)));
        assert_eq!((hop.first_window(late), hop.last_window(late)), (WindowName(-15), WindowName(-15)));
        assert_eq!(hop.last_complete(15), Some(WindowName(-15)));
        assert_eq!(hop.panes(WindowName(-15)), early..PaneStart(15));
        assert_eq!([-15, 5].map(|name| hop.boundary(WindowName(name))), [5, 35].map(PaneStart));
        assert_eq!((hop.find(5, 35), hop.find(5, 36)), (Some(WindowName(5)), None));
    }

    #[test]
    fn between_windows_there_is_nothing() {
        let sparse = geometry(10, 30, 0);
        assert_eq!([9, 10, -21].map(|time| sparse.pane_of(time)), [Some(0), None, Some(-30)].map(pane));
        assert_eq!(geometry(10, 10, 0).pane_of(-1), pane(Some(-10)));
    }

    #[test]
    fn growing_windows_are_named_by_their_last_pane() {
        let [size, step, offset] = [30, 10, 5].map(Span::from_millis);
        let growing = Geometry::new(&Frames::Cumulate(Cumulate { size, step, offset })).unwrap();
        assert_eq!(growing.pane_of(-1), pane(Some(-5)));
        let bounds = [-5, 5, 25].map(|name| growing.bounds(WindowName(name)));
        assert_eq!(bounds, [(-25, 5), (5, 15), (5, 35)]);
        assert_eq!(growing.first_window(PaneStart(5)), WindowName(5));
        assert_eq!(growing.last_window(PaneStart(5)), WindowName(25));
        assert_eq!([34, 35].map(|time| growing.last_complete(time)), [Some(15), Some(25)].map(window));
        assert_eq!([5, 15].map(|start| growing.find(start, 25)), [Some(15), None].map(window));
    }

    #[test]
    fn a_table_has_windows_of_any_length_and_ends() {
        let starts: Arc<[i64]> = Arc::from([-10, 0, 31, 59]);
        let table = Geometry::new(&Frames::Table(Table { starts })).unwrap();
        let panes = [-11, -1, 31, 59].map(|time| table.pane_of(time));
        assert_eq!(panes, [None, Some(-10), Some(31), None].map(pane));
        assert_eq!([0, 59].map(|name| table.end_of(WindowName(name))), [31, i64::MAX]);
        assert_eq!([-1, 58].map(|time| table.last_complete(time)), [None, Some(0)].map(window));
        let open = [-1, 58, 59].map(|time| table.first_open(time));
        assert_eq!(open, [Some(-10), Some(31), None].map(window));
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        let ten_years = 10 * 366 * 86_400_000;
        let (from_1900, to_2200) = (-2_208_988_800_000, 7_258_118_400_000);
        for hop in
            [geometry(ten_years, ten_years / 64, -7), geometry(1, 1, 0), geometry(ten_years, ten_years, 9)]
        {
            for time in [from_1900, to_2200] {
                let pane = hop.pane_of(time).unwrap();
                assert!(hop.first_window(pane) <= hop.last_window(pane) && hop.pane_end(pane) > time);
                assert!(hop.end_of(hop.first_window(pane)) > time);
                assert!(hop.start_of(hop.last_window(pane)) <= time);
                assert!(hop.last_complete(time).is_some_and(|window| hop.end_of(window) <= time));
            }
            for time in [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX] {
                let pane = hop.pane_of(time).unwrap_or(PaneStart(time));
                let window = hop.last_complete(time).unwrap_or(hop.last_window(pane));
                assert!(hop.start_of(window) <= hop.end_of(window));
                assert!(hop.first_open(time).is_none_or(|next| next >= window));
            }
        }
    }
}
