//! Series: the values of the last tumbling windows as a list.

use super::grid;
use super::oracle::Cell;
use super::testers::insert_batch;
use crate::aggregate::{Aggregate, Algebra};
use crate::answer::{Question, Results};
use crate::series::series;
use crate::spec::{AggregateSpec, StageSpec};
use crate::timeline::Timelines;
use crate::{Parameter, builtin};
use arrow_array::{ArrayRef, Int64Array};
use arrow_schema::DataType;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_event::{EventTime, Rank, Span, key_hash};

const STEP_MILLIS: i64 = 10;
const OFFSET_MILLIS: i64 = 3;

fn inner() -> Vec<Arc<dyn Aggregate>> {
    let of = |name, parameters: &[Parameter]| builtin(name, false, &[DataType::Int64], parameters).unwrap();
    vec![of("COUNT", &[]), of("SUM", &[]), of("MAX", &[]), of("TOP", &[Parameter::Int(2)])]
}

fn spec(count: u32) -> Arc<StageSpec> {
    let [step, offset] = [STEP_MILLIS, OFFSET_MILLIS].map(Span::from_millis);
    let aggregate = |inner| AggregateSpec {
        function: series(inner, step, offset, count).unwrap(),
        arguments: vec![0],
        filter: None,
        frame: 0,
        edits: None,
    };
    Arc::new(StageSpec {
        frames: grid(i64::from(count) * STEP_MILLIS, STEP_MILLIS, OFFSET_MILLIS),
        aggregates: inner().into_iter().map(aggregate).collect(),
        inputs: vec![DataType::Int64],
        carried: vec![],
        history: Span::from_millis(50),
        corrects: Some(Span::from_millis(50)),
        retention: None,
        tail: None,
        emit_changes: false,
        results_below: None,
        process: None,
    })
}

/// What the inner aggregates say of a window of one step.
fn step_values(rows: &[(i64, i64)], start: i64) -> [Cell; 4] {
    let mut rows: Vec<(i64, usize, i64)> =
        rows.iter().enumerate().map(|(at, (time, value))| (*time, at, *value)).collect();
    rows.retain(|(time, _, _)| (start..start + STEP_MILLIS).contains(time));
    rows.sort_unstable();
    let values: Vec<i64> = rows.iter().map(|(_, _, value)| *value).collect();
    let whole = |value: Option<i64>| value.map_or(Cell::Null, Cell::Whole);
    let last = values[values.len().saturating_sub(2)..].iter().map(|value| Cell::Whole(*value)).collect();
    let sum = (!values.is_empty()).then(|| values.iter().sum());
    [Cell::Whole(values.len() as i64), whole(sum), whole(values.iter().max().copied()), Cell::List(last)]
}

fn expected(rows: &[(i64, i64)], window: (i64, i64)) -> Vec<Cell> {
    let steps: Vec<[Cell; 4]> =
        (window.0..window.1).step_by(STEP_MILLIS as usize).map(|start| step_values(rows, start)).collect();
    (0..4).map(|at| Cell::List(steps.iter().map(|step| step[at].clone()).collect())).collect()
}

fn insert(timelines: &mut Timelines, rows: &[(i64, i64)], first_offset: usize) {
    let slot = timelines.slot_or_insert(b"k", key_hash(b"k"));
    let column: ArrayRef = Arc::new(rows.iter().map(|(_, value)| Some(*value)).collect::<Int64Array>());
    let times: Vec<i64> = rows.iter().map(|(time, _)| *time).collect();
    let ranks: Vec<Rank> =
        (0..rows.len()).map(|at| Rank { offset: (first_offset + at) as u64, ..Rank::default() }).collect();
    insert_batch(timelines, &vec![slot; rows.len()], &times, &ranks, &[column]).unwrap();
}

fn restart(timelines: &mut Timelines) {
    let mut stored = BTreeMap::new();
    timelines.encode_dirty(&mut |_, block, bytes| drop(stored.insert(block, bytes.map(<[u8]>::to_vec))));
    let mut fresh = Timelines::new(timelines.spec().clone()).unwrap();
    for (block, bytes) in stored {
        let bytes = bytes.unwrap();
        fresh.decode(b"k", key_hash(b"k"), block, &bytes).unwrap();
        for cut in 0..bytes.len() {
            let mut broken = Timelines::new(timelines.spec().clone()).unwrap();
            assert!(broken.decode(b"k", key_hash(b"k"), block, &bytes[..cut]).is_err());
        }
    }
    fresh.restore_done(timelines.settled(), EventTime::MIN).unwrap();
    *timelines = fresh;
}

fn check(timelines: &Timelines, results: &Results, rows: &[(i64, i64)]) -> Result<(), TestCaseError> {
    for (at, window) in results.windows.iter().enumerate() {
        let found: Vec<Cell> = results.values.iter().map(|values| Cell::of(values, at)).collect();
        prop_assert_eq!(&found, &expected(rows, *window));
        let [start, end] = [window.0, window.1].map(EventTime::from_millis);
        let snapshot = timelines.snapshot(results.slots[at], &Question::Window { start, end });
        let values = snapshot.finish().unwrap().values;
        let found: Vec<Cell> = values.iter().map(|value| Cell::of(value, 0)).collect();
        prop_assert_eq!(&found, &expected(rows, *window));
    }
    Ok(())
}

proptest! {
    #[test]
    fn a_series_is_the_values_of_its_steps(
        count in 1..6_u32,
        batches in prop::collection::vec(prop::collection::vec((-40..90_i64, -5..6_i64), 0..12), 1..6),
        is_stored in any::<bool>(),
    ) {
        let mut timelines = Timelines::new(spec(count)).unwrap();
        let mut rows = Vec::new();
        for (at, batch) in batches.iter().enumerate() {
            insert(&mut timelines, batch, rows.len());
            rows.extend_from_slice(batch);
            if is_stored && at == 0 {
                restart(&mut timelines);
            }
            let results = timelines.settle(EventTime::from_millis(at as i64 * 25)).unwrap();
            check(&timelines, &results, &rows)?;
        }
        let results = timelines.flush().unwrap();
        check(&timelines, &results, &rows)?;
    }
}

#[test]
fn a_series_has_steps_and_says_what_it_is_of() {
    let [step, offset] = [STEP_MILLIS, OFFSET_MILLIS].map(Span::from_millis);
    let sum = inner().remove(1);
    assert!(series(sum.clone(), step, offset, 0).is_none());
    assert!(series(sum.clone(), Span::ZERO, offset, 3).is_none());
    let series = series(sum.clone(), step, offset, 3).unwrap();
    assert_eq!((series.card().algebra, series.card().inverse), (Algebra::Exact, false));
    assert_eq!(series.card().identity, format!("series(3 x 10ms + 3ms, {})#1", sum.card().identity));
}
