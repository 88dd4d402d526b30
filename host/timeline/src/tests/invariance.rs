//! Results do not depend on how rows were cut into batches, nor on the order in which they came.

use super::model::{Row, insert_rows};
use super::oracle::{self, Cell};
use super::over_frames::frame;
use super::{cases, grid, row, testers};
use crate::answer::Results;
use crate::spec::{Frames, StageSpec};
use crate::timeline::Timelines;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_event::{EventTime, Rank, Span};

/// What a step returned: by key, window or event, whether it was revised, and its values.
type Returned = BTreeMap<(u8, i64, i64, Rank), (bool, Vec<Cell>)>;

/// Rows that come between two steps of the boundary, the keys that their second order is made of, how many come at
/// once in it, and where the boundary goes then.
type Step = (Vec<(Row, u32)>, usize, i64);

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let rows = prop::collection::vec((row(-40..80), any::<u32>()), 0..30);
    prop::collection::vec((rows, 1..9_usize, -50..100_i64), 1..6)
}

/// Flushes in parts of about `flushed` results.
fn run(spec: &Arc<StageSpec>, steps: &[(Vec<Vec<Row>>, i64)], flushed: usize) -> Vec<Returned> {
    let mut timelines = Timelines::new(spec.clone()).unwrap();
    let mut returned = Vec::new();
    for (batches, to) in steps {
        for batch in batches {
            insert_rows(&mut timelines, batch);
        }
        let results = timelines.settle(EventTime::from_millis(*to)).unwrap();
        returned.push(collect(&timelines, &results));
        timelines.expire();
    }
    let mut open = Returned::default();
    loop {
        let results = timelines.flush_some(flushed).unwrap();
        open.extend(collect(&timelines, &results));
        if !results.more {
            break;
        }
    }
    returned.push(open);
    // Nothing has changed since.
    let results = timelines.settle(EventTime::from_millis(1_000)).unwrap();
    returned.push(collect(&timelines, &results));
    returned
}

fn collect(timelines: &Timelines, results: &Results) -> Returned {
    let exact: Vec<bool> = oracle::values(&[], 0).iter().map(Option::is_some).collect();
    let of = |at: usize| {
        let key = timelines.key(results.slots[at])[0];
        let (start, end) = results.windows.get(at).copied().unwrap_or_default();
        let (time, rank) = results.events.get(at).copied().unwrap_or((start, Rank::default()));
        let values = results.values.iter().zip(&exact).filter(|(_, exact)| **exact);
        let values = values.map(|(values, _)| Cell::of(values, at)).collect();
        ((key, time, end, rank), (results.revised[at], values))
    };
    (0..results.len()).map(of).collect()
}

fn check(frames: Frames, history: i64, mut steps: Vec<Step>) -> Result<(), TestCaseError> {
    for (offset, (row, _)) in steps.iter_mut().flat_map(|(rows, ..)| rows).enumerate() {
        row.offset = offset as u64;
    }
    let count = if let Frames::Over(frames) = &frames { frames.len() } else { 1 };
    let spec = Arc::new(StageSpec {
        frames,
        aggregates: testers::aggregates(count),
        inputs: testers::inputs(),
        carried: vec![],
        history: Span::from_millis(history),
        corrects: Some(Span::from_millis(history)),
        retention: None,
        tail: None,
        emit_changes: false,
        results_below: None,
        process: None,
    });
    let plain = |(rows, _, to): &Step| (vec![rows.iter().map(|(row, _)| row.clone()).collect()], *to);
    let mixed = |(rows, batch, to): &Step| {
        let mut rows = rows.clone();
        rows.sort_by_key(|(_, order)| *order);
        let rows: Vec<Row> = rows.into_iter().map(|(row, _)| row).collect();
        (rows.chunks(*batch).map(<[Row]>::to_vec).collect(), *to)
    };
    let plain = run(&spec, &steps.iter().map(plain).collect::<Vec<_>>(), usize::MAX);
    let mixed = run(&spec, &steps.iter().map(mixed).collect::<Vec<_>>(), 2);
    prop_assert_eq!(plain, mixed);
    Ok(())
}

proptest! {
    #![proptest_config(cases(120, 3000))]

    #[test]
    fn of_windows(
        (size, slide) in (1..40_i64, 1..40_i64), offset in -20..20_i64, history in 0..40_i64, steps in steps(),
    ) {
        check(grid(size, slide, offset), history, steps)?;
    }

    #[test]
    fn of_over(frames in prop::collection::vec(frame(40), 1..5), history in 0..40_i64, steps in steps()) {
        check(Frames::Over(frames), history, steps)?;
    }
}
