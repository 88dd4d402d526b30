//! One window's panes folded out of turn, so that no bit depends on what was asked before.

use super::coarse::{Coarse, merge_stretch, whole};
use crate::aggregate::{Aggregate, AggregateError, Algebra, States};
use crate::geometry::{Geometry, WindowName};
use crate::slots::counted;
use crate::tiles::{Panes, present};

/// Folds one window's panes for some keys: group `i` of what is returned is the window's state of `slots[i]`.
pub(crate) fn fold_window(
    panes: &Panes,
    coarse: Option<&Coarse>,
    geometry: &Geometry,
    (aggregate, function): (usize, &dyn Aggregate),
    window: WindowName,
    slots: &[u32],
) -> Result<Box<dyn States>, AggregateError> {
    let of_window = geometry.panes(window);
    let mut prefix = function.states();
    prefix.resize(slots.len());
    if function.card().algebra == Algebra::Exact {
        // The same bits wherever it is cut.
        let stretches = match coarse {
            Some(coarse) => coarse.stretches(aggregate, of_window),
            None => whole(of_window),
        };
        for stretch in &stretches {
            merge_stretch(prefix.as_mut(), panes, aggregate, stretch, slots)?;
        }
        return Ok(prefix);
    }
    let boundary = geometry.boundary(window).min(of_window.end);
    let mut suffix = function.states();
    suffix.resize(slots.len());
    for pane in panes.range(of_window.start..boundary).rev().map(|(_, pane)| pane) {
        let (places, groups) = present(pane, slots);
        let mut earlier = pane.states[aggregate].copy(&groups);
        earlier.merge(&counted(groups.len()), suffix.as_ref(), &places)?;
        suffix.reset(&places);
        suffix.merge(&places, earlier.as_ref(), &counted(groups.len()))?;
    }
    for pane in panes.range(boundary..of_window.end).map(|(_, pane)| pane) {
        let (places, groups) = present(pane, slots);
        prefix.merge(&places, pane.states[aggregate].as_ref(), &groups)?;
    }
    if boundary == of_window.start {
        return Ok(prefix);
    }
    let all = counted(slots.len());
    suffix.merge(&all, prefix.as_ref(), &all)?;
    Ok(suffix)
}
