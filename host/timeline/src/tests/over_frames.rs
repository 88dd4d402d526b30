//! The frames of `OVER`: what they are, row by row, and the properties of stages that mix them.

use super::model::{Model, Op, Row};
use super::{cases, ops};
use crate::spec::{Bounds, Exclude, Frames, OverFrame};
use proptest::prelude::*;
use weir_event::{Rank, Span};

/// Where the rows of a frame stand.
pub(super) type Places = Vec<(i64, Rank)>;

pub(super) fn places(frames: &[Vec<&(usize, Row)>]) -> Vec<Places> {
    frames.iter().map(|rows| rows.iter().map(|(_, row)| row.place()).collect()).collect()
}

/// A frame's rows, out of all of a key's, for an event at a time, or for a lookup at that time.
pub(super) fn rows<'a>(
    frame: &OverFrame,
    retention: Option<Span>,
    all: &[&'a (usize, Row)],
    time: i64,
    event: Option<Rank>,
) -> Vec<&'a (usize, Row)> {
    let newest = all.iter().rposition(|(_, row)| row.time <= time);
    let current = event.map_or(newest, |rank| all.iter().position(|(_, row)| row.place() == (time, rank)));
    let age = |at: usize| time - all[at].1.time;
    let is_within = |at: usize| match frame.bounds {
        Bounds::Range { preceding, until } => {
            let reach = preceding.or(retention);
            age(at) >= until.millis() && reach.is_none_or(|reach| age(at) <= reach.millis())
        }
        Bounds::Rows { preceding, until } => current.is_some_and(|current| {
            let is_far_enough = at as u64 + until <= current as u64;
            let is_near_enough = preceding.is_none_or(|preceding| at as u64 + preceding >= current as u64);
            let is_retained = retention.is_none_or(|retention| age(at) <= retention.millis());
            is_far_enough && is_near_enough && is_retained
        }),
    };
    // Nothing is the current row of a lookup, unless rows are counted from it.
    let left_out_for = current.filter(|_| event.is_some() || matches!(frame.bounds, Bounds::Rows { .. }));
    let is_excluded = |at: usize| match (frame.exclude, left_out_for) {
        (Exclude::CurrentRow, Some(current)) => at == current,
        (Exclude::Ties, Some(current)) => at != current && all[at].1.time == all[current].1.time,
        _ => false,
    };
    (0..all.len()).filter(|at| is_within(*at) && !is_excluded(*at)).map(|at| all[at]).collect()
}

/// The row whose plain columns a lookup shows: the newest one, unless it is out of every frame's reach.
pub(super) fn shown<'a>(
    frames: &[OverFrame],
    retention: Option<Span>,
    all: &[&'a (usize, Row)],
    time: i64,
) -> Option<&'a (usize, Row)> {
    let newest = *all.iter().rfind(|(_, row)| row.time <= time)?;
    let reaches = |frame: &OverFrame| match frame.bounds {
        Bounds::Range { preceding, .. } => preceding.or(retention),
        Bounds::Rows { .. } => retention,
    };
    let is_reached = |reach: Option<Span>| reach.is_none_or(|reach| time - newest.1.time <= reach.millis());
    frames.iter().any(|frame| is_reached(reaches(frame))).then_some(newest)
}

/// A frame of any kind; ranges reach back less than `reach`.
fn frame(reach: i64) -> impl Strategy<Value = OverFrame> {
    let range = (prop::option::weighted(0.8, 0..reach), 0..reach).prop_map(|(preceding, until)| {
        let until = Span::from_millis(preceding.map_or(until, |preceding| until.min(preceding)));
        Bounds::Range { preceding: preceding.map(Span::from_millis), until }
    });
    let range_to_current = prop::option::weighted(0.8, 0..reach)
        .prop_map(|preceding| OverFrame::range(preceding.map(Span::from_millis)).bounds);
    let rows = (prop::option::weighted(0.8, 0..9_u64), 0..6_u64).prop_map(|(preceding, until)| {
        let until = preceding.map_or(until, |preceding| until.min(preceding));
        Bounds::Rows { preceding, until }
    });
    let rows_to_current =
        prop::option::weighted(0.8, 0..9_u64).prop_map(|preceding| OverFrame::rows(preceding).bounds);
    let bounds = prop_oneof![range, range_to_current, rows, rows_to_current];
    let exclude = prop_oneof![Just(Exclude::None), Just(Exclude::CurrentRow), Just(Exclude::Ties)];
    (bounds, exclude).prop_map(|(bounds, exclude)| OverFrame { bounds, exclude })
}

fn check(
    frames: Vec<OverFrame>,
    history: i64,
    retention: Option<i64>,
    ops: Vec<Op>,
) -> Result<(), TestCaseError> {
    let mut model = Model::new(Frames::Over(frames), history).retaining(retention);
    for op in ops {
        model.apply(op)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(160, 3000))]

    #[test]
    fn frames_of_all_kinds(
        frames in prop::collection::vec(frame(40), 1..5),
        history in 0..40_i64,
        ops in ops(-60..120, 12, 14),
    ) {
        check(frames, history, None, ops)?;
    }

    #[test]
    fn frames_of_many_ties(
        frames in prop::collection::vec(frame(8), 1..5),
        history in 0..10_i64,
        ops in ops(-6..10, 12, 14),
    ) {
        check(frames, history, None, ops)?;
    }

    #[test]
    fn frames_under_a_retention(
        frames in prop::collection::vec(frame(20), 1..5),
        retention in 20..40_i64,
        history in 0..20_i64,
        ops in ops(-60..60, 12, 14),
    ) {
        check(frames, history, Some(retention), ops)?;
    }
}

proptest! {
    #![proptest_config(cases(8, 200))]

    #[test]
    fn long_logs_under_all_frames(
        frames in prop::collection::vec(frame(300), 2..4),
        ops in ops(0..2000, 200, 8),
    ) {
        check(frames, 100, None, ops)?;
    }
}
