//! What is served is what is true: random specifications, random histories with late rows, ties and times before 1970,
//! lookups at every time inside the reach, live, after state has expired and after restarts at other numbers of
//! shards, against an obvious oracle and against the rows written.
//!
//! `WEIR_CASES=25 cargo test --release -p weir-core served` asks 25 times as many histories as `cargo test` does,
//! 50,000 in all.

mod edit;
mod oracle;
mod world;

use super::cases;
use proptest::prelude::*;
use std::sync::Arc;
use weir_event::Span;
use weir_timeline::{Bounds, Cumulate, Exclude, Frames, Grid, OverFrame, Session, StageSpec, Table};
use world::{KEYS, World};

#[derive(Debug, Clone)]
enum Op {
    /// Rows, and how far the watermark of their partition is ahead; behind, if it is negative.
    Insert(Vec<(u8, i64, i64, bool)>, i64),
    Settle(i64),
    /// To where a row is just in reach, or just not.
    SettleAtEdge(usize, i64),
    Flush,
    Changes,
    Expire,
    Restart(usize, Option<i64>),
    /// Which aggregates the query has from now on, and at how many segments.
    Edit(Vec<usize>, usize),
    Look(i64),
}

fn spans<const N: usize>(millis: [i64; N]) -> [Span; N] {
    millis.map(Span::from_millis)
}

fn grid((size, slide, offset): (i64, i64, i64)) -> Frames {
    let [size, slide, offset] = spans([size, slide, offset]);
    Frames::Grid(Grid { size, slide, offset })
}

fn windows() -> impl Strategy<Value = Frames> {
    let table = |(first, lengths): (i64, Vec<i64>)| {
        let mut starts = vec![first];
        lengths.iter().for_each(|length| starts.push(starts[starts.len() - 1] + length));
        Frames::Table(Table { starts: Arc::from(starts) })
    };
    let cumulate = |(step, steps, offset)| {
        let [size, step, offset] = spans([step * steps, step, offset]);
        Frames::Cumulate(Cumulate { size, step, offset })
    };
    prop_oneof![
        (1..60_i64, -20..20_i64).prop_map(|(size, offset)| grid((size, size, offset))),
        (1..60_i64, 1..60_i64, -20..20_i64).prop_map(grid),
        (1..12_i64, 2..8_i64, -20..20_i64).prop_map(|(slide, panes, offset)| grid((
            slide * panes,
            slide,
            offset
        ))),
        // Long enough for coarse tiles.
        (1..3_i64, 32..50_i64).prop_map(|(slide, panes)| grid((slide * panes, slide, 0))),
        (1..12_i64, 1..8_i64, -20..20_i64).prop_map(cumulate),
        (-120..0_i64, prop::collection::vec(1..70_i64, 1..8)).prop_map(table),
    ]
}

fn frame() -> impl Strategy<Value = OverFrame> {
    let exclude =
        prop_oneof![3 => Just(Exclude::None), 1 => Just(Exclude::CurrentRow), 1 => Just(Exclude::Ties)];
    let range = (prop::option::weighted(0.85, 0..60_i64), 0..20_i64).prop_map(|(preceding, until)| {
        let until = until.min(preceding.unwrap_or(0)).max(0);
        Bounds::Range { preceding: preceding.map(Span::from_millis), until: Span::from_millis(until) }
    });
    let rows = (prop::option::weighted(0.85, 0..6_u64), 0..3_u64).prop_map(|(preceding, until)| {
        Bounds::Rows { preceding, until: preceding.map_or(until, |preceding| until.min(preceding)) }
    });
    (prop_oneof![range, rows], exclude).prop_map(|(bounds, exclude)| OverFrame { bounds, exclude })
}

/// How far back corrections reach, if there are any; they never reach farther than lookups.
fn corrects() -> impl Strategy<Value = Option<Span>> {
    prop::option::of(history().prop_map(Span::from_millis))
}

/// How far back: nothing, a little, more than there is.
fn history() -> impl Strategy<Value = i64> {
    prop_oneof![1 => Just(0), 8 => 1..120_i64, 1 => Just(i64::MAX / 2)]
}

fn specs() -> impl Strategy<Value = StageSpec> {
    let frames = prop_oneof![
        5 => windows(),
        2 => (1..40_i64).prop_map(|gap| Frames::Session(Session { gap: Span::from_millis(gap) })),
        1 => Just(Frames::Lifetime),
        3 => prop::collection::vec(frame(), 1..4).prop_map(Frames::Over),
    ];
    let retention = prop::option::weighted(0.25, 60..200_i64);
    let tail = prop::option::weighted(0.3, 1..30_i64);
    (frames, history(), corrects(), retention, tail, any::<bool>()).prop_map(
        |(frames, history, corrects, retention, tail, emit_changes)| {
            let spec = StageSpec {
                aggregates: world::aggregates(&frames),
                frames,
                inputs: vec![
                    arrow_schema::DataType::Int64,
                    arrow_schema::DataType::Int64,
                    arrow_schema::DataType::Boolean,
                ],
                carried: vec![],
                history: Span::from_millis(history).max(corrects.unwrap_or(Span::ZERO)),
                corrects,
                retention: retention.map(Span::from_millis),
                tail: tail.map(Span::from_millis),
                emit_changes,
                results_below: None,
                process: None,
            };
            if spec.check().is_ok() { spec } else { StageSpec { tail: None, ..spec } }
        },
    )
}

fn op() -> impl Strategy<Value = Op> {
    let row = (0..KEYS, -100..300_i64, 0..2_i64, any::<bool>());
    prop_oneof![
        6 => (prop::collection::vec(row, 0..14), prop_oneof![2 => Just(0), 1 => -60..60_i64])
            .prop_map(|(rows, ahead)| Op::Insert(rows, ahead)),
        4 => (-120..340_i64).prop_map(Op::Settle),
        1 => (any::<usize>(), -1..2_i64).prop_map(|(which, beside)| Op::SettleAtEdge(which, beside)),
        1 => Just(Op::Flush),
        1 => Just(Op::Changes),
        2 => Just(Op::Expire),
        2 => (1..5_usize, prop::option::weighted(0.2, history())).prop_map(|(shards, history)| {
            Op::Restart(shards, history)
        }),
        4 => (-120..360_i64).prop_map(Op::Look),
    ]
}

/// As others, and the query is edited.
fn op_or_edit() -> impl Strategy<Value = Op> {
    let edit = (prop::collection::vec(0..7_usize, 1..6), 1..5_usize);
    prop_oneof![8 => op(), 1 => edit.prop_map(|(wanted, segments)| Op::Edit(wanted, segments))]
}

fn check(spec: StageSpec, ops: Vec<Op>) -> Result<(), TestCaseError> {
    let mut world = World::new(spec);
    for op in ops {
        match op {
            Op::Insert(rows, ahead) => world.insert(&rows, ahead)?,
            Op::Settle(to) => world.settle(to)?,
            Op::SettleAtEdge(which, beside) => world.settle_at_edge(which, beside)?,
            Op::Flush => world.flush()?,
            Op::Changes => world.changes()?,
            Op::Expire => world.expire(),
            Op::Restart(shards, history) => world.restart(shards, history)?,
            Op::Edit(wanted, segments) => world.edit(&wanted, segments)?,
            Op::Look(time) => world.look(time)?,
        }
    }
    world.look_everywhere()?;
    world.expire();
    world.restart(3, None)?;
    world.look_everywhere()
}

proptest! {
    #![proptest_config(cases(2000, 4000))]

    #[test]
    fn served_values_are_true(spec in specs(), ops in prop::collection::vec(op(), 1..18)) {
        check(spec, ops)?;
    }

    #[test]
    fn an_edited_query_keeps_what_it_still_has(
        spec in specs(),
        ops in prop::collection::vec(op_or_edit(), 1..18),
    ) {
        check(spec, ops)?;
    }
}
