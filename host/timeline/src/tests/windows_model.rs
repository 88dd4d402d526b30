//! Windows of every kind that is known without rows: which windows hold a time, in the most obvious way, and random
//! histories over them.

use super::model::{Model, Op};
use super::{cases, grid, ops};
use crate::spec::Frames;
use crate::windows::{Cumulate, Table};
use proptest::prelude::*;
use std::sync::Arc;
use weir_event::{EventTime, Span};

/// All windows that hold a time.
pub(super) fn windows_over(frames: &Frames, time: i64) -> Vec<(i64, i64)> {
    match frames {
        Frames::Grid(grid) => {
            let (size, slide, offset) = (grid.size.millis(), grid.slide.millis(), grid.offset.millis());
            let newest = (time - offset).div_euclid(slide) * slide + offset;
            let starts = (0..).map(|back| newest - back * slide).take_while(|start| start + size > time);
            starts.map(|start| (start, start + size)).collect()
        }
        Frames::Cumulate(cumulate) => {
            let (size, step) = (cumulate.size.millis(), cumulate.step.millis());
            let start = (time - cumulate.offset.millis()).div_euclid(size) * size + cumulate.offset.millis();
            let windows = (1..=size / step).map(|steps| (start, start + steps * step));
            windows.filter(|(_, end)| *end > time).collect()
        }
        Frames::Table(table) => {
            let windows = table.starts.windows(2).map(|pair| (pair[0], pair[1]));
            windows.filter(|(start, end)| (*start..*end).contains(&time)).collect()
        }
        Frames::Session(_) | Frames::Lifetime | Frames::Process | Frames::Over(_) => Vec::new(),
    }
}

fn cumulate(step: i64, steps: i64, offset: i64) -> Frames {
    let [size, step, offset] = [step * steps, step, offset].map(Span::from_millis);
    Frames::Cumulate(Cumulate { size, step, offset })
}

fn table(first: i64, lengths: &[i64]) -> Frames {
    let mut starts = vec![first];
    starts.extend(lengths.iter().scan(first, |start, length| {
        *start += length;
        Some(*start)
    }));
    Frames::Table(Table { starts: Arc::from(starts) })
}

/// Any kind of window.
fn any_windows() -> impl Strategy<Value = Frames> {
    prop_oneof![
        (1..30_i64, -20..20_i64).prop_map(|(size, offset)| grid(size, size, offset)),
        (2..40_i64, 1..40_i64, -20..20_i64).prop_map(|(size, slide, offset)| grid(size, slide, offset)),
        (1..12_i64, 1..8_i64, -20..20_i64).prop_map(|(step, steps, offset)| cumulate(step, steps, offset)),
        (-70..0_i64, prop::collection::vec(1..50_i64, 1..8))
            .prop_map(|(first, lengths)| table(first, &lengths)),
    ]
}

fn check(
    frames: Frames,
    history: i64,
    emit_changes: bool,
    ops: impl IntoIterator<Item = Op>,
) -> Result<(), TestCaseError> {
    let holds_all = matches!(frames, Frames::Grid(_) | Frames::Cumulate(_));
    for time in [-30, 0, 17].into_iter().filter(|_| holds_all) {
        let windows = windows_over(&frames, time);
        let Some((first, last)) = frames.windows().unwrap().holding(EventTime::from_millis(time)) else {
            prop_assert!(windows.is_empty());
            continue;
        };
        let ends = |window: (EventTime, EventTime)| (window.0.millis(), window.1.millis());
        prop_assert_eq!(Some(ends(first)), windows.iter().copied().min_by_key(|(_, end)| *end));
        prop_assert_eq!(Some(ends(last)), windows.iter().copied().max_by_key(|(_, end)| *end));
    }
    let mut model = Model::new(frames, history).changing(emit_changes);
    ops.into_iter().try_for_each(|op| model.apply(op))
}

proptest! {
    #![proptest_config(cases(120, 3000))]

    #[test]
    fn cumulating(
        step in 1..12_i64,
        steps in 1..8_i64,
        offset in -20..20_i64,
        history in 0..40_i64,
        ops in ops(-60..120, 12, 14),
    ) {
        check(cumulate(step, steps, offset), history, false, ops)?;
    }

    #[test]
    fn between_given_bounds(
        first in -70..0_i64,
        lengths in prop::collection::vec(1..50_i64, 1..8),
        history in 0..40_i64,
        ops in ops(-60..120, 12, 14),
    ) {
        check(table(first, &lengths), history, false, ops)?;
    }

    #[test]
    fn late_rows_reach_less_far_than_lookups(
        frames in any_windows(),
        history in 0..80_i64,
        allowed_percent in 0..100_i64,
        ops in ops(-60..120, 12, 20),
    ) {
        let mut model = Model::new(frames, history).correcting(history * allowed_percent / 100);
        ops.into_iter().try_for_each(|op| model.apply(op))?;
    }

    #[test]
    fn as_they_change(
        frames in any_windows(),
        history in 0..40_i64,
        ops in prop::collection::vec((ops(-60..120, 12, 3), any::<bool>()), 1..10),
    ) {
        let with_changes = |(ops, are_asked): (Vec<Op>, bool)| {
            ops.into_iter().chain(are_asked.then_some(Op::Changes))
        };
        check(frames, history, true, ops.into_iter().flat_map(with_changes))?;
    }
}

proptest! {
    #![proptest_config(cases(8, 200))]

    #[test]
    fn long_cumulations_have_many_panes(step in 3..9_i64, ops in ops(0..2000, 150, 8)) {
        check(cumulate(step, 40, 1), 100, false, ops)?;
    }

    #[test]
    fn long_windows_have_coarse_tiles(
        slide in 2..6_i64,
        panes in 32..90_i64,
        history in 0..400_i64,
        ops in prop::collection::vec((ops(0..900, 120, 4), any::<bool>()), 1..5),
    ) {
        let with_changes = |(ops, are_asked): (Vec<Op>, bool)| {
            ops.into_iter().chain(are_asked.then_some(Op::Changes))
        };
        check(grid(slide * panes, slide, 1), history, true, ops.into_iter().flat_map(with_changes))?;
    }
}
