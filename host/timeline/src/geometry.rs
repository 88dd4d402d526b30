//! The arithmetic of windows on a grid and of their panes.
//!
//! Where windows overlap, panes are as long as divides every window. Where they do not, each window is one pane, and
//! times between two windows have none.
//!
//! Windows are named by a number that rises with their ends: where they slide, their start; where they cumulate, the
//! start of their last pane; where they are panes, that pane's start.
//!
//! Knows no row and no state.

use crate::spec::{Frames, Grid};
use crate::windows::Cumulate;
use std::sync::Arc;
use weir_event::{EventTime, Span};

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
            Frames::Session(_) | Frames::Lifetime | Frames::Over(_) => None,
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

    /// Start of the pane that holds `time`; `None` between two windows.
    pub(crate) fn pane_of(&self, time: i64) -> Option<i64> {
        match self {
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
        }
    }

    /// End of the pane that starts at `pane`.
    pub(crate) fn pane_end(&self, pane: i64) -> i64 {
        match self {
            Geometry::Apart(grid) => pane.saturating_add(grid.size.millis()),
            Geometry::Sliding(_, width) => pane.saturating_add(width.millis()),
            Geometry::Growing(cumulate) => pane.saturating_add(cumulate.step.millis()),
            Geometry::Given(_) => self.following(pane).unwrap_or(i64::MAX),
        }
    }

    /// The window that ends first of those that hold a pane.
    pub(crate) fn first_window(&self, pane: i64) -> i64 {
        match self {
            Geometry::Sliding(grid, _) => grid.first_start(EventTime::from_millis(pane)).millis(),
            Geometry::Apart(_) | Geometry::Growing(_) | Geometry::Given(_) => pane,
        }
    }

    /// The window that ends last of those that hold a pane.
    pub(crate) fn last_window(&self, pane: i64) -> i64 {
        match self {
            Geometry::Sliding(grid, _) => floor(pane, grid.slide, grid.offset),
            Geometry::Growing(cumulate) => {
                let end = floor(pane, cumulate.size, cumulate.offset).saturating_add(cumulate.size.millis());
                end.saturating_sub(cumulate.step.millis())
            }
            Geometry::Apart(_) | Geometry::Given(_) => pane,
        }
    }

    /// The window that ends next after another one.
    pub(crate) fn following(&self, window: i64) -> Option<i64> {
        match self {
            Geometry::Apart(grid) | Geometry::Sliding(grid, _) => window.checked_add(grid.slide.millis()),
            Geometry::Growing(cumulate) => window.checked_add(cumulate.step.millis()),
            Geometry::Given(bounds) => bounds.get(bounds.partition_point(|bound| *bound <= window)).copied(),
        }
    }

    /// The newest window that is complete at a watermark; `None` if there is none, or no watermark yet.
    pub(crate) fn last_complete(&self, watermark: i64) -> Option<i64> {
        let time = EventTime::from_millis(watermark);
        match self {
            _ if watermark == i64::MIN => None,
            Geometry::Apart(grid) | Geometry::Sliding(grid, _) => Some(grid.last_complete(time).millis()),
            Geometry::Growing(cumulate) => {
                Some(floor(watermark.saturating_sub(cumulate.step.millis()), cumulate.step, cumulate.offset))
            }
            Geometry::Given(bounds) => {
                let ended = bounds.partition_point(|bound| *bound <= watermark);
                ended.checked_sub(2).and_then(|at| bounds.get(at)).copied()
            }
        }
    }

    /// The window that ends next after a watermark; `None` if all are over, or there is no watermark yet.
    pub(crate) fn first_open(&self, watermark: i64) -> Option<i64> {
        match (self.last_complete(watermark), self) {
            (None, Geometry::Given(bounds)) => bounds.first().copied(),
            (complete, Geometry::Given(bounds)) => {
                self.following(complete?).filter(|window| Some(window) != bounds.last())
            }
            (complete, _) => self.following(complete?),
        }
    }

    /// Start of a window.
    pub(crate) fn start_of(&self, window: i64) -> i64 {
        match self {
            Geometry::Growing(cumulate) => floor(window, cumulate.size, cumulate.offset),
            Geometry::Apart(_) | Geometry::Sliding(..) | Geometry::Given(_) => window,
        }
    }

    /// End of a window.
    pub(crate) fn end_of(&self, window: i64) -> i64 {
        match self {
            Geometry::Sliding(grid, _) => window.saturating_add(grid.size.millis()),
            Geometry::Apart(_) | Geometry::Growing(_) | Geometry::Given(_) => self.pane_end(window),
        }
    }

    /// Start and end of a window.
    pub(crate) fn bounds(&self, window: i64) -> (i64, i64) {
        (self.start_of(window), self.end_of(window))
    }

    /// The window of these bounds; `None` if it is none.
    pub(crate) fn find(&self, start: i64, end: i64) -> Option<i64> {
        let window = match self {
            Geometry::Growing(cumulate) => end.saturating_sub(cumulate.step.millis()),
            Geometry::Apart(_) | Geometry::Sliding(..) | Geometry::Given(_) => start,
        };
        (self.bounds(window) == (start, end)).then_some(window)
    }

    /// Where a window is cut to be folded from there to the left and to the right, so that its value does not depend
    /// on what was asked before: the end of the stretch of windows' lengths, fixed by the grid alone, that holds its
    /// start. A window that grows is folded from its start.
    pub(crate) fn boundary(&self, window: i64) -> i64 {
        match self {
            Geometry::Apart(grid) | Geometry::Sliding(grid, _) => {
                floor(window, grid.size, grid.offset).saturating_add(grid.size.millis())
            }
            Geometry::Growing(_) | Geometry::Given(_) => self.start_of(window),
        }
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

    #[test]
    fn overlapping_windows_share_panes() {
        let hop = geometry(30, 20, 5);
        assert_eq!((hop.pane_of(-6), hop.pane_end(-15)), (Some(-15), -5));
        assert_eq!((hop.first_window(-15), hop.last_window(-15)), (-35, -15));
        assert_eq!((hop.first_window(-5), hop.last_window(-5)), (-15, -15));
        assert_eq!(hop.last_complete(15), Some(-15));
        assert_eq!((hop.boundary(-15), hop.boundary(5)), (5, 35));
        assert_eq!((hop.find(5, 35), hop.find(5, 36)), (Some(5), None));
    }

    #[test]
    fn between_windows_there_is_nothing() {
        let sparse = geometry(10, 30, 0);
        assert_eq!((sparse.pane_of(9), sparse.pane_of(10), sparse.pane_of(-21)), (Some(0), None, Some(-30)));
        assert_eq!(geometry(10, 10, 0).pane_of(-1), Some(-10));
    }

    #[test]
    fn growing_windows_are_named_by_their_last_pane() {
        let [size, step, offset] = [30, 10, 5].map(Span::from_millis);
        let growing = Geometry::new(&Frames::Cumulate(Cumulate { size, step, offset })).unwrap();
        assert_eq!((growing.pane_of(-1), growing.bounds(-5)), (Some(-5), (-25, 5)));
        assert_eq!((growing.first_window(5), growing.last_window(5)), (5, 25));
        assert_eq!((growing.bounds(5), growing.bounds(25)), ((5, 15), (5, 35)));
        assert_eq!((growing.last_complete(34), growing.last_complete(35)), (Some(15), Some(25)));
        assert_eq!((growing.find(5, 25), growing.find(15, 25)), (Some(15), None));
    }

    #[test]
    fn a_table_has_windows_of_any_length_and_ends() {
        let starts: Arc<[i64]> = Arc::from([-10, 0, 31, 59]);
        let table = Geometry::new(&Frames::Table(Table { starts })).unwrap();
        assert_eq!((table.pane_of(-11), table.pane_of(-1), table.pane_of(31)), (None, Some(-10), Some(31)));
        assert_eq!((table.pane_of(59), table.end_of(0), table.end_of(59)), (None, 31, i64::MAX));
        assert_eq!((table.last_complete(-1), table.last_complete(58)), (None, Some(0)));
        assert_eq!(
            (table.first_open(-1), table.first_open(58), table.first_open(59)),
            (Some(-10), Some(31), None)
        );
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
                assert!(hop.first_window(pane) <= hop.last_window(pane) && hop.end_of(pane) > time);
                assert!(hop.bounds(hop.first_window(pane)).1 > time && hop.last_window(pane) <= time);
                assert!(hop.last_complete(time).is_some_and(|window| hop.end_of(window) <= time));
            }
            for time in [i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX] {
                let pane = hop.pane_of(time).unwrap_or(time);
                let window = hop.last_complete(time).unwrap_or(hop.last_window(pane));
                assert!(hop.start_of(window) <= hop.end_of(window));
                assert!(hop.first_open(time).is_none_or(|next| next >= window));
            }
        }
    }
}
