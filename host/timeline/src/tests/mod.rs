//! The law of the timeline, tested on random histories: what cursors return, what a snapshot answers and what thirty
//! obvious lines compute are the same, whatever the order, the batches, the boundary's steps and the restarts.
//!
//! `WEIR_CASES=75 cargo test --release -p weir-timeline tests::` runs 75 times as many cases of each property as `cargo test`
//! does, more than 200,000 in all; `PROPTEST_RNG_SEED=1` beside it makes them the same ones each time.

mod failures;
mod figures;
mod invariance;
mod merged;
mod model;
mod oracle;
mod over_changes;
mod over_frames;
mod processes;
mod series;
mod session_model;
mod sessions;
mod stacks;
mod stored_marks;
mod taking_back;
mod testers;
mod windows_model;

use crate::spec::{Frames, Grid, OverFrame};
use model::{Model, Op, Row};
use proptest::prelude::*;
use weir_event::Span;

fn row(times: std::ops::Range<i64>) -> impl Strategy<Value = Row> {
    let double = prop_oneof![
        10 => (-40..40_i64).prop_map(|quarters| quarters as f64 / 4.0),
        1 => Just(f64::NAN),
        1 => Just(f64::INFINITY),
        1 => Just(-0.0),
    ];
    let text = prop_oneof!["[ab]{0,2}", Just("a text that is too long to be kept in a view".to_owned())];
    (
        (0..3_u8, times, 0..3_u16),
        prop::option::weighted(0.8, -5..6_i64),
        prop::option::weighted(0.8, double),
        prop::option::weighted(0.8, text),
        prop::option::weighted(0.9, any::<bool>()),
    )
        .prop_map(|((key, time, partition), whole, double, text, flag)| Row {
            key,
            time,
            partition,
            offset: 0,
            whole,
            double,
            text,
            flag,
        })
}

fn ops(times: std::ops::Range<i64>, rows: usize, count: usize) -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => (prop::collection::vec(row(times.clone()), 0..rows), prop_oneof![2 => Just(0), 1 => -80..80_i64])
            .prop_map(|(rows, behind)| Op::Insert(rows, behind)),
        4 => times.clone().prop_map(Op::Settle),
        1 => Just(Op::Flush),
        1 => Just(Op::Expire),
        1 => Just(Op::Restart),
        2 => times.prop_map(Op::Look),
    ];
    prop::collection::vec(op, 1..count)
}

fn grid(size: i64, slide: i64, offset: i64) -> Frames {
    let [size, slide, offset] = [size, slide, offset].map(Span::from_millis);
    Frames::Grid(Grid { size, slide, offset })
}

fn over(reaches: &[Option<i64>]) -> Frames {
    Frames::Over(reaches.iter().map(|reach| OverFrame::range(reach.map(Span::from_millis))).collect())
}

/// So many cases of a property, times `WEIR_CASES` if that is set.
fn cases(cases: u32, max_shrink_iters: u32) -> ProptestConfig {
    let factor = std::env::var("WEIR_CASES").ok().and_then(|factor| factor.parse().ok()).unwrap_or(1);
    ProptestConfig { cases: cases.saturating_mul(factor), max_shrink_iters, ..ProptestConfig::default() }
}

fn check(frames: Frames, history: i64, ops: Vec<Op>) -> Result<(), TestCaseError> {
    let mut model = Model::new(frames, history);
    for op in ops {
        model.apply(op)?;
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(120, 3000))]

    #[test]
    fn tumbling(size in 1..30_i64, offset in -20..20_i64, history in 0..40_i64, ops in ops(-60..120, 12, 14)) {
        check(grid(size, size, offset), history, ops)?;
    }

    #[test]
    fn hopping(
        (size, slide) in (2..40_i64).prop_flat_map(|size| (Just(size), 1..size)),
        offset in -20..20_i64,
        history in 0..40_i64,
        ops in ops(-60..120, 12, 14),
    ) {
        check(grid(size, slide, offset), history, ops)?;
    }

    #[test]
    fn lists_as_views(size in 1..30_i64, ops in ops(-60..120, 12, 14)) {
        let mut model = Model::new(grid(size, size, 0), 20).viewing(true);
        for op in ops {
            model.apply(op)?;
        }
    }

    #[test]
    fn lookups_where_nobody_wants_results(size in 1..30_i64, slide in 1..30_i64, ops in ops(-60..120, 12, 20)) {
        let mut model = Model::new(grid(size, slide, 0), 20).unheard(false);
        for op in ops {
            model.apply(op)?;
        }
    }

    #[test]
    fn windows_apart(
        (size, slide) in (1..20_i64).prop_flat_map(|size| (Just(size), size + 1..40)),
        ops in ops(-60..120, 12, 14),
    ) {
        check(grid(size, slide, 3), 20, ops)?;
    }

    #[test]
    fn over_ranges(
        reaches in prop::collection::vec(prop::option::weighted(0.85, 0..50_i64), 1..4),
        history in 0..40_i64,
        ops in ops(-60..120, 12, 14),
    ) {
        check(over(&reaches), history, ops)?;
    }
}

proptest! {
    #![proptest_config(cases(8, 200))]

    #[test]
    fn long_logs_are_split_into_blocks(reach in 0..300_i64, ops in ops(0..2000, 200, 8)) {
        check(over(&[Some(reach)]), 100, ops)?;
    }

    #[test]
    fn long_hops_cross_many_panes(slide in 3..9_i64, ops in ops(0..2000, 150, 8)) {
        check(grid(slide * 20, slide, 1), 100, ops)?;
    }
}
