//! Aggregates without an inverse that are no choice of rows: the same values as those that are, over long frames too.

use super::model::{Row, insert_rows};
use super::oracle::Cell;
use super::over_frames::frame;
use super::{cases, row, testers};
use crate::aggregate::extreme::Extreme;
use crate::aggregate::fold::Builtin;
use crate::aggregate::value::Bytes;
use crate::answer::Results;
use crate::builtin;
use crate::spec::{AggregateSpec, Frames, OverFrame, StageSpec};
use crate::timeline::Timelines;
use arrow_schema::DataType;
use proptest::prelude::*;
use std::cmp::Ordering;
use std::marker::PhantomData;
use std::sync::Arc;
use weir_event::{EventTime, Span};

/// `MAX` of text as a choice of rows, and as a fold.
fn stage(frames: Vec<OverFrame>) -> StageSpec {
    let choice = builtin("MAX", false, &[DataType::Utf8View], &[]).unwrap();
    let fold =
        Extreme { wins: Ordering::Greater, data_type: DataType::Utf8View, value: PhantomData::<Bytes> };
    let fold = Arc::new(Builtin { fold, card: choice.card().clone(), selection: None });
    let mut aggregates = Vec::new();
    for frame in 0..frames.len() {
        let of =
            |function| AggregateSpec { function, arguments: vec![2], filter: Some(3), frame, edits: None };
        aggregates.extend([of(choice.clone()), of(fold.clone())]);
    }
    StageSpec {
        frames: Frames::Over(frames),
        aggregates,
        inputs: testers::inputs(),
        carried: vec![],
        history: Span::from_millis(40),
        corrects: Some(Span::from_millis(40)),
        retention: None,
        tail: None,
        emit_changes: false,
        results_below: None,
        process: None,
    }
}

fn check(results: &Results) -> Result<(), TestCaseError> {
    for pair in results.values.chunks(2) {
        for at in 0..results.len() {
            prop_assert_eq!(Cell::of(&pair[0], at), Cell::of(&pair[1], at), "of {:?}", results.events[at]);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(cases(24, 500))]

    #[test]
    fn folds_choose_the_same(
        frames in prop::collection::vec(frame(400), 1..4),
        batches in prop::collection::vec(prop::collection::vec(row(-60..100), 60..120), 4..20),
    ) {
        let mut timelines = Timelines::new(Arc::new(stage(frames))).unwrap();
        for (at, mut rows) in batches.into_iter().enumerate() {
            let now = at as i64 * 50;
            for (offset, row) in rows.iter_mut().enumerate() {
                let text = row.text.take().map(|text| format!("{}{text}", offset * 7 % 10));
                // Most rows are of one key, so that its frames are long.
                *row = Row {
                    key: row.key / 2,
                    time: row.time + now,
                    offset: (at * 1000 + offset) as u64,
                    text,
                    ..row.clone()
                };
            }
            insert_rows(&mut timelines, &rows);
            check(&timelines.settle(EventTime::from_millis(now)).unwrap())?;
            timelines.expire();
        }
        check(&timelines.flush().unwrap())?;
    }
}
