//! All panes of a stage in order of time, and the arithmetic of its grid.
//!
//! Where windows overlap, panes are as long as divides every window. Where they do not, each window is one pane, and
//! times between two windows have none.

use crate::aggregate::{AggregateError, Algebra, States};
use crate::pane::Pane;
use crate::spec::{AggregateSpec, Grid};
use std::collections::BTreeMap;
use weir_event::EventTime;

/// Panes by start.
pub(crate) type Panes = BTreeMap<i64, Pane>;

/// The grid in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Geometry {
    grid: Grid,
    pub(crate) size: i64,
    pub(crate) slide: i64,
    /// Length of a pane.
    pub(crate) width: i64,
}

impl Geometry {
    pub(crate) fn new(grid: Grid) -> Geometry {
        let (size, slide) = (grid.size.millis(), grid.slide.millis());
        let width = if slide >= size { size } else { grid.pane().millis() };
        Geometry { grid, size, slide, width }
    }

    /// Whether each window is one pane.
    pub(crate) fn is_whole(&self) -> bool {
        self.slide >= self.size
    }

    /// Start of the pane that holds `time`; `None` between two windows.
    pub(crate) fn pane_of(&self, time: i64) -> Option<i64> {
        let time = EventTime::from_millis(time);
        if self.is_whole() {
            let start = self.grid.last_start(time);
            (time < start + self.grid.size || self.slide == self.size).then_some(start.millis())
        } else {
            Some(time.floor_to(self.grid.pane(), self.grid.offset).millis())
        }
    }

    /// Start of the oldest window that holds a pane.
    pub(crate) fn first_window(&self, pane: i64) -> i64 {
        if self.is_whole() { pane } else { self.grid.first_start(EventTime::from_millis(pane)).millis() }
    }

    /// Start of the newest window that holds a pane.
    pub(crate) fn last_window(&self, pane: i64) -> i64 {
        if self.is_whole() { pane } else { self.grid.last_start(EventTime::from_millis(pane)).millis() }
    }

    /// Start of the newest window that is complete at a watermark; `None` before there is a watermark.
    pub(crate) fn last_complete(&self, watermark: i64) -> Option<i64> {
        let time = EventTime::from_millis(watermark);
        (watermark > i64::MIN).then(|| self.grid.last_complete(time).millis())
    }

    pub(crate) fn end_of(&self, window: i64) -> i64 {
        window.saturating_add(self.size)
    }

    /// End of the stretch of windows' lengths, fixed by the grid alone, that holds the start of a window. A window
    /// is folded from there to the left and to the right, so that its value does not depend on what was asked before.
    pub(crate) fn boundary(&self, window: i64) -> i64 {
        let block = EventTime::from_millis(window).floor_to(self.grid.size, self.grid.offset);
        (block + self.grid.size).millis()
    }
}

/// Folds one window's panes for some keys: group `i` of what is returned is the window's state of `slots[i]`.
pub(crate) fn fold_window(
    panes: &Panes,
    geometry: &Geometry,
    aggregates: &[AggregateSpec],
    aggregate: usize,
    window: i64,
    slots: &[u32],
) -> Result<Box<dyn States>, AggregateError> {
    let function = &aggregates[aggregate].function;
    let boundary = match function.card().algebra {
        // The same bits wherever it is cut.
        Algebra::Exact => window,
        Algebra::Ordered | Algebra::Approximate => geometry.boundary(window).min(geometry.end_of(window)),
    };
    let mut suffix = function.states();
    suffix.resize(slots.len());
    for pane in panes.range(window..boundary).rev().map(|(_, pane)| pane) {
        let (places, groups) = present(pane, slots);
        let mut earlier = pane.states[aggregate].copy(&groups);
        earlier.merge(&counted(groups.len()), suffix.as_ref(), &places)?;
        suffix.reset(&places);
        suffix.merge(&places, earlier.as_ref(), &counted(groups.len()))?;
    }
    let mut prefix = function.states();
    prefix.resize(slots.len());
    for pane in panes.range(boundary..geometry.end_of(window)).map(|(_, pane)| pane) {
        let (places, groups) = present(pane, slots);
        prefix.merge(&places, pane.states[aggregate].as_ref(), &groups)?;
    }
    if boundary == window {
        return Ok(prefix);
    }
    let all = counted(slots.len());
    suffix.merge(&all, prefix.as_ref(), &all)?;
    Ok(suffix)
}

/// Which of the slots have rows in a pane: their places among the slots, and their groups.
fn present(pane: &Pane, slots: &[u32]) -> (Vec<u32>, Vec<u32>) {
    let found = slots.iter().enumerate().filter_map(|(place, slot)| Some((place as u32, pane.group(*slot)?)));
    found.unzip()
}

/// The numbers below `count`.
pub(crate) fn counted(count: usize) -> Vec<u32> {
    (0..count as u32).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_event::Span;

    fn geometry(size: i64, slide: i64, offset: i64) -> Geometry {
        let [size, slide, offset] = [size, slide, offset].map(Span::from_millis);
        Geometry::new(Grid { size, slide, offset })
    }

    #[test]
    fn overlapping_windows_share_panes() {
        let hop = geometry(30, 20, 5);
        assert_eq!((hop.width, hop.pane_of(-6)), (10, Some(-15)));
        assert_eq!((hop.first_window(-15), hop.last_window(-15)), (-35, -15));
        assert_eq!((hop.first_window(-5), hop.last_window(-5)), (-15, -15));
        assert_eq!(hop.last_complete(15), Some(-15));
        assert_eq!((hop.boundary(-15), hop.boundary(5)), (5, 35));
    }

    #[test]
    fn between_windows_there_is_nothing() {
        let sparse = geometry(10, 30, 0);
        assert_eq!((sparse.pane_of(9), sparse.pane_of(10), sparse.pane_of(-21)), (Some(0), None, Some(-30)));
        assert_eq!(geometry(10, 10, 0).pane_of(-1), Some(-10));
    }
}
