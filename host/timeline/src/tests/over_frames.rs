//! The frames of `OVER`: what they are, row by row, and the properties of stages that mix them.

use super::model::{Model, Op, Row, insert_rows};
use super::{cases, ops, row, testers};
use crate::answer::Question;
use crate::builtin;
use crate::spec::{AggregateSpec, Bounds, Exclude, Frames, OverFrame, SpecError, StageSpec};
use crate::timeline::Timelines;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::DataType;
use proptest::prelude::*;
use std::sync::Arc;
use weir_event::{EventTime, Rank, Span, key_hash};

/// Where the rows of a frame stand.
pub(super) type Places = Vec<(i64, Rank)>;

/// The rows of each frame.
pub(super) fn places(frames: &[Vec<&(usize, Row)>]) -> Vec<Places> {
    frames.iter().map(|rows| rows.iter().map(|(_, row)| row.place()).collect()).collect()
}

/// A frame's rows, out of all of a key's, for an event at a time, or for a lookup at that time.
pub(super) fn rows<'a>(
    frame: &OverFrame,
    spec: &StageSpec,
    all: &[&'a (usize, Row)],
    time: i64,
    event: Option<Rank>,
) -> Vec<&'a (usize, Row)> {
    let newest = all.iter().rposition(|(_, row)| row.time <= time);
    let current = event.map_or(newest, |rank| all.iter().position(|(_, row)| row.place() == (time, rank)));
    let age = |at: usize| time - all[at].1.time;
    let is_within = |at: usize| match frame.bounds {
        Bounds::Range { preceding, until } => {
            let is_young = is_young(all[at].1.time, preceding.or(spec.retention), spec, time);
            age(at) >= until.millis() && is_young
        }
        Bounds::Rows { preceding, until } => current.is_some_and(|current| {
            let is_far_enough = at as u64 + until <= current as u64;
            let is_near_enough = preceding.is_none_or(|preceding| at as u64 + preceding >= current as u64);
            let is_retained = spec.retention.is_none_or(|retention| age(at) <= retention.millis());
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

/// Whether a row is not older than a frame of this reach, which begins at a multiple of the tail's step.
fn is_young(row: i64, reach: Option<Span>, spec: &StageSpec, time: i64) -> bool {
    let step = spec.tail.map_or(1, Span::millis);
    reach.is_none_or(|reach| row >= (time - reach.millis()).div_euclid(step) * step)
}

/// The row whose plain columns a lookup shows: the newest one, unless it is out of the reach of lookups and of every
/// frame.
pub(super) fn shown<'a>(
    frames: &[OverFrame],
    spec: &StageSpec,
    all: &[&'a (usize, Row)],
    time: i64,
) -> Option<&'a (usize, Row)> {
    let newest = *all.iter().rfind(|(_, row)| row.time <= time)?;
    let reaches = |frame: &OverFrame| match frame.bounds {
        Bounds::Range { preceding, .. } => preceding.or(spec.retention),
        Bounds::Rows { .. } => spec.retention,
    };
    let is_reached = |frame: &OverFrame| is_young(newest.1.time, reaches(frame), spec, time);
    // The longest frame's step is not known to be whole for each row.
    let step = spec.tail.map_or(0, |step| step.millis() - 1);
    let longest = frames.iter().filter_map(reaches).max().map_or(0, |longest| longest.millis() + step);
    let found_for = spec.reach().millis().max(longest);
    let found_for = spec.retention.map_or(found_for, |retention| found_for.min(retention.millis()));
    let is_found = time - newest.1.time <= found_for;
    (is_found || frames.iter().any(is_reached)).then_some(newest)
}

/// A frame of any kind; ranges reach back less than `reach`.
pub(super) fn frame(reach: i64) -> impl Strategy<Value = OverFrame> {
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
    list_views: bool,
    ops: Vec<Op>,
) -> Result<(), TestCaseError> {
    let mut model = Model::new(Frames::Over(frames), history).retaining(retention).viewing(list_views);
    for op in ops {
        model.apply(op)?;
    }
    Ok(())
}

/// A frame that is bounded by time; it reaches back less than `reach`.
fn range_frame(reach: i64) -> impl Strategy<Value = OverFrame> {
    frame(reach).prop_map(|frame| match frame.bounds {
        Bounds::Range { .. } => frame,
        Bounds::Rows { preceding, .. } => OverFrame {
            exclude: frame.exclude,
            ..OverFrame::range(preceding.map(|rows| Span::from_millis(rows as i64)))
        },
    })
}

/// Batches that each come 50 milliseconds after the one before, some of them followed by a restart, a flush or a look.
fn stream(batches: Vec<(Vec<Row>, u8)>) -> Vec<Op> {
    let mut ops = Vec::new();
    for (at, (mut rows, then)) in batches.into_iter().enumerate() {
        let now = at as i64 * 50;
        rows.iter_mut().for_each(|row| row.time += now);
        ops.extend([Op::Insert(rows, 0), Op::Settle(now), Op::Expire]);
        ops.extend(match then {
            0 => Some(Op::Restart),
            1 => Some(Op::Flush),
            2 => Some(Op::Look(now + 20)),
            _ => None,
        });
    }
    ops
}

proptest! {
    #![proptest_config(cases(160, 3000))]

    #[test]
    fn frames_of_all_kinds(
        frames in prop::collection::vec(frame(40), 1..5),
        history in 0..40_i64,
        list_views in any::<bool>(),
        ops in ops(-60..120, 12, 14),
    ) {
        check(frames, history, None, list_views, ops)?;
    }

    #[test]
    fn lookups_where_nobody_wants_results(
        frames in prop::collection::vec(frame(40), 1..5),
        history in 0..40_i64,
        emit_changes in any::<bool>(),
        is_asked_in_order in any::<bool>(),
        ops in ops(-60..120, 12, 20),
    ) {
        let mut model = Model::new(Frames::Over(frames), history).changing(emit_changes).unheard(is_asked_in_order);
        for op in ops {
            model.apply(op)?;
        }
    }

    #[test]
    fn frames_of_many_ties(
        frames in prop::collection::vec(frame(8), 1..5),
        history in 0..10_i64,
        list_views in any::<bool>(),
        ops in ops(-6..10, 12, 14),
    ) {
        check(frames, history, None, list_views, ops)?;
    }

    #[test]
    fn frames_under_a_retention(
        frames in prop::collection::vec(frame(20), 1..5),
        retention in 20..40_i64,
        history in 0..20_i64,
        list_views in any::<bool>(),
        ops in ops(-60..60, 12, 14),
    ) {
        check(frames, history, Some(retention), list_views, ops)?;
    }
}

proptest! {
    #![proptest_config(cases(8, 200))]

    #[test]
    fn rows_that_keep_coming_under_all_frames(
        frames in prop::collection::vec(frame(120), 1..4),
        history in 0..60_i64,
        retention in prop::option::weighted(0.2, 120..300_i64),
        list_views in any::<bool>(),
        batches in prop::collection::vec((prop::collection::vec(row(-60..100), 30..90), 0..4_u8), 4..24),
    ) {
        check(frames, history, retention, list_views, stream(batches))?;
    }

    #[test]
    fn long_logs_under_all_frames(
        frames in prop::collection::vec(frame(300), 2..4),
        list_views in any::<bool>(),
        ops in ops(0..2000, 200, 8),
    ) {
        check(frames, 100, None, list_views, ops)?;
    }
}

proptest! {
    #![proptest_config(cases(160, 3000))]

    #[test]
    fn frames_with_a_tail(
        frames in prop::collection::vec(range_frame(40), 1..4),
        step in 1..30_i64,
        history in 0..40_i64,
        emit_changes in any::<bool>(),
        ops in ops(-60..120, 12, 14),
    ) {
        let mut model = Model::new(Frames::Over(frames), history).changing(emit_changes).tailing(step);
        for op in ops {
            model.apply(op)?;
        }
    }
}

proptest! {
    #![proptest_config(cases(8, 200))]

    #[test]
    fn rows_that_leave_their_logs_for_tiles(
        frames in prop::collection::vec(range_frame(600), 1..3),
        step in prop_oneof![1..30_i64, 30..200_i64],
        history in 0..60_i64,
        retention in prop::option::weighted(0.2, 600..900_i64),
        list_views in any::<bool>(),
        mut batches in prop::collection::vec((prop::collection::vec(row(-60..100), 30..60), 0..4_u8), 8..12),
    ) {
        // Enough rows of one key for blocks to fill.
        batches.iter_mut().flat_map(|(rows, _)| rows).for_each(|row| row.key /= 2);
        let mut model = Model::new(Frames::Over(frames), history).retaining(retention).tailing(step);
        model = model.viewing(list_views);
        for op in stream(batches) {
            model.apply(op)?;
        }
    }
}

fn stage(frames: Vec<OverFrame>, retention: Option<Span>) -> StageSpec {
    let sum = AggregateSpec {
        function: builtin("SUM", false, &[DataType::Int64], &[]).unwrap(),
        arguments: vec![0],
        filter: None,
        frame: 0,
        edits: None,
    };
    StageSpec {
        frames: Frames::Over(frames),
        aggregates: vec![sum],
        inputs: testers::inputs(),
        carried: vec![],
        history: Span::from_millis(1000),
        corrects: Some(Span::from_millis(1000)),
        retention,
        tail: None,
        emit_changes: false,
        results_below: None,
        process: None,
    }
}

#[test]
fn senseless_bounds_are_refused() {
    let span = Span::from_millis;
    let range = |preceding, until| Bounds::Range { preceding, until };
    for (bounds, retention, is_sound) in [
        (range(Some(span(5)), span(5)), None, true),
        (range(Some(span(5)), span(6)), None, false),
        (range(Some(span(5)), span(-1)), None, false),
        (range(Some(span(-1)), span(-1)), None, false),
        (range(None, span(6)), None, true),
        (range(None, span(6)), Some(span(5)), false),
        (Bounds::Rows { preceding: Some(3), until: 3 }, None, true),
        (Bounds::Rows { preceding: Some(3), until: 4 }, None, false),
        (Bounds::Rows { preceding: None, until: 4 }, None, true),
    ] {
        let frames = vec![OverFrame::rows(None), OverFrame { bounds, exclude: Exclude::None }];
        let expected = if is_sound { Ok(()) } else { Err(SpecError::Backwards(1)) };
        assert_eq!(stage(frames, retention).check(), expected, "{bounds:?}");
    }
}

#[test]
fn counted_rows_stay_bounded_without_a_retention() {
    let frames = vec![OverFrame::rows(Some(10)), OverFrame::rows(Some(700))];
    let mut timelines = Timelines::new(Arc::new(stage(frames, None))).unwrap();
    let mut most = 0;
    for batch in 0..200_i64 {
        let rows: Vec<Row> = (0..100).map(|at| Row::at(batch * 100 + at)).collect();
        insert_rows(&mut timelines, &rows);
        let now = EventTime::from_millis(batch * 100 + 100);
        timelines.settle(now).unwrap();
        timelines.expire();
        most = most.max(timelines.stats().rows);
        assert_memory_is_near(&mut timelines);
    }
    // The last 701 before the horizon, 1,000 after it, and what its blocks hold beside.
    assert!((1701..1701 + 2 * 256).contains(&most), "{most}");
    // Nothing is too old where only rows are counted.
    timelines.settle(EventTime::from_millis(1 << 40)).unwrap();
    timelines.expire();
    assert!((701..701 + 2 * 256).contains(&timelines.stats().rows));
    assert_memory_is_near(&mut timelines);
}

/// What is said of the memory without a walk is not far from what a walk finds.
fn assert_memory_is_near(timelines: &mut Timelines) {
    let said = timelines.stats().memory_bytes;
    timelines.measure();
    let found = timelines.stats().memory_bytes;
    assert!(said <= found * 2 && found <= said * 2 + 1_000, "{said} was said, {found} found");
}

#[test]
fn a_tail_bounds_the_rows_of_a_key() {
    let frames = vec![OverFrame::range(Some(Span::from_millis(100_000))), OverFrame::range(None)];
    let spec = StageSpec { tail: Some(Span::from_millis(1000)), ..stage(frames, None) };
    let of_frame = |frame| AggregateSpec { frame, ..spec.aggregates[0].clone() };
    let spec = StageSpec { aggregates: vec![of_frame(0), of_frame(1)], ..spec };
    let mut timelines = Timelines::new(Arc::new(spec)).unwrap();
    let (mut most_rows, mut most_tiles) = (0, 0);
    for batch in 0..400_i64 {
        let rows: Vec<Row> = (0..100).map(|at| Row::at(batch * 1000 + at * 10)).collect();
        insert_rows(&mut timelines, &rows);
        let now = EventTime::from_millis(batch * 1000 + 1000);
        let results = timelines.settle(now).unwrap();
        let last = results.len() - 1;
        let sums = results.values.iter().map(|values| values.as_primitive::<Int64Type>().value(last));
        let all = (batch + 1) * 100;
        // 990 milliseconds of the step before the frame, every 10 of which there is a row.
        assert_eq!(sums.collect::<Vec<_>>(), vec![all.min(10_100), all], "at {now}");
        timelines.expire();
        let stats = timelines.stats();
        (most_rows, most_tiles) = (most_rows.max(stats.rows), most_tiles.max(stats.tiles));
    }
    // The rows of `history`, those that stay rows, and what their blocks hold beside; a tile for each step of the
    // frame, those that the horizon lags by, and one of all that is older.
    assert!(most_rows < 100 + 64 + 3 * 256, "{most_rows}");
    assert!((100..=104).contains(&most_tiles), "{most_tiles}");
}

#[test]
fn a_tail_is_of_frames_of_time() {
    let span = Span::from_millis;
    let tail_of = |frames: Frames, tail| {
        let spec = stage(vec![OverFrame::range(None)], None);
        StageSpec { frames, tail: Some(span(tail)), ..spec }.check()
    };
    let over = |frame: OverFrame| Frames::Over(vec![frame]);
    assert_eq!(tail_of(over(OverFrame::range(Some(span(100_000)))), 1), Ok(()));
    assert_eq!(tail_of(over(OverFrame::rows(Some(3))), 1), Err(SpecError::NoTail));
    assert_eq!(tail_of(Frames::Lifetime, 1), Err(SpecError::NoTail));
    let (reach, step) = (span(100_001), span(1));
    let too_many = SpecError::TooManySteps { reach, step };
    assert_eq!(tail_of(over(OverFrame::range(Some(reach))), 1), Err(too_many));
}

#[test]
fn a_lookup_at_the_horizon_finds_all_steps_of_its_tail() {
    const PRECEDING: i64 = 300;
    for step in [1, 7, 10, 100] {
        let frames = vec![OverFrame::range(Some(Span::from_millis(PRECEDING)))];
        let spec = StageSpec { tail: Some(Span::from_millis(step)), ..stage(frames, None) };
        let mut timelines = Timelines::new(Arc::new(spec)).unwrap();
        for time in 0..2500_i64 {
            insert_rows(&mut timelines, &[Row::at(time)]);
            timelines.settle(EventTime::from_millis(time + 1)).unwrap();
            timelines.expire();
            let horizon = time + 1 - 1000;
            let slot = timelines.slot(&[0], key_hash(&[0])).unwrap();
            let question = Question::Over { as_of: EventTime::from_millis(horizon) };
            let values = timelines.snapshot(slot, &question).finish().unwrap();
            // There is a row every millisecond since 0.
            let since = ((horizon - PRECEDING).div_euclid(step) * step).max(0);
            assert_eq!(values.rows, vec![(horizon + 1 - since).max(0) as u64], "{step} at {horizon}");
        }
    }
}

#[test]
fn the_newest_row_is_found_as_far_back_as_lookups_reach() {
    for tail in [None, Some(Span::from_millis(1))] {
        let frames = vec![OverFrame::range(Some(Span::from_millis(10)))];
        let spec = StageSpec { carried: vec![0], tail, ..stage(frames, None) };
        let mut timelines = Timelines::new(Arc::new(spec)).unwrap();
        let at = |time: i64| Question::Over { as_of: EventTime::from_millis(time) };
        let found = |timelines: &Timelines, time: i64| {
            let slot = timelines.slot(&[0], key_hash(&[0]))?;
            Some(timelines.snapshot(slot, &at(time)).finish().unwrap().event?.millis())
        };
        // Enough of them to leave their log, if nothing kept the newest one.
        insert_rows(&mut timelines, &(0..1000).map(Row::at).collect::<Vec<Row>>());
        for now in [1000, 1500, 1999, 2999] {
            timelines.settle(EventTime::from_millis(now)).unwrap();
            timelines.expire();
            assert_eq!(found(&timelines, now.min(1999)), Some(999), "at {now}");
        }
        assert_eq!(found(&timelines, 2000), None, "longer ago than lookups reach");
        assert!(timelines.stats().rows <= 256, "only its block stays: {}", timelines.stats().rows);
        timelines.settle(EventTime::from_millis(3001)).unwrap();
        timelines.expire();
        assert_eq!(timelines.stats().rows, 0, "no lookup asks for it any more");
    }
}

#[test]
fn a_lookup_at_the_horizon_finds_all_rows_that_it_counts() {
    for preceding in [0, 1, 10, 300] {
        let frames = vec![OverFrame::rows(Some(preceding))];
        let mut timelines = Timelines::new(Arc::new(stage(frames, None))).unwrap();
        for row in 0..1500_i64 {
            insert_rows(&mut timelines, &[Row::at(row * 2)]);
            let now = row * 2 + 1;
            timelines.settle(EventTime::from_millis(now)).unwrap();
            timelines.expire();
            let horizon = now - 1000;
            let slot = timelines.slot(&[0], key_hash(&[0])).unwrap();
            let question = Question::Over { as_of: EventTime::from_millis(horizon) };
            let values = timelines.snapshot(slot, &question).finish().unwrap();
            let until_then = (horizon + 1).div_euclid(2).max(0);
            assert_eq!(values.rows, vec![(until_then as u64).min(preceding + 1)], "{preceding} at {horizon}");
        }
    }
}
