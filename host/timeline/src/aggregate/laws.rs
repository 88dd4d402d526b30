//! The laws of aggregates, tested for every built-in one on random rows: tiles are as good as rows, a fresh state is
//! the identity, what was taken out is as if it had never been, stored states finish as the ones they came from,
//! damaged ones are refused or at least harmless, and what is said to be bounded is.

use super::catalog::builtin;
use super::examples::{Batch, Example, ExampleRow, examples};
use super::{Aggregate, Algebra, Input, States, Steps, Stretch};
use arrow_array::cast::AsArray;
use arrow_array::types::Decimal128Type;
use arrow_array::{Array, ArrayRef, Decimal128Array, Int64Array};
use arrow_schema::DataType;
use proptest::prelude::*;
use std::sync::Arc;
use weir_event::Rank;

/// A time after all rows.
const AS_OF: i64 = 30;

fn rows() -> impl Strategy<Value = Vec<ExampleRow>> {
    let double = prop_oneof![any::<f64>(), -10.0..10.0, Just(f64::NAN), Just(0.0), Just(-0.0)];
    let text = prop_oneof!["[a-c]{0,2}", "[a-c]{20}"];
    let row = (
        0..20_i64,
        prop::option::of(-4..4_i64),
        prop::option::of(double),
        prop::option::of(text),
        prop::option::of(any::<bool>()),
    );
    prop::collection::vec(row, 0..40)
}

/// The rows as an aggregate may be fed them: those of ordered ones in order of time.
fn batch_for(aggregate: &dyn Aggregate, rows: &[ExampleRow]) -> Batch {
    let mut rows = rows.to_vec();
    if aggregate.card().is_order_dependent() {
        rows.sort_by_key(|row| row.0);
    }
    Batch::new(&rows)
}

fn states(aggregate: &dyn Aggregate, groups: usize) -> Box<dyn States> {
    let mut states = aggregate.states();
    states.resize(groups);
    states
}

/// Feeds rows or takes them out.
fn feed(
    states: &mut dyn States,
    batch: &Batch,
    columns: &[usize],
    rows: &[u32],
    group: u32,
    takes_out: bool,
) {
    let groups = vec![group; rows.len()];
    let arguments: Vec<ArrayRef> = columns.iter().map(|at| batch.columns[*at].clone()).collect();
    let Batch { times, ranks, .. } = batch;
    let input = Input { groups: &groups, rows, times, ranks, arguments: &arguments };
    if takes_out { states.retract(&input) } else { states.update(&input) }.unwrap();
}

fn value(states: &dyn States, group: u32) -> String {
    let finished = states.finish(&[group], &[AS_OF]).unwrap();
    assert_eq!(finished.values.len(), 1);
    format!("{:?} {:?}", finished.values, finished.errors)
}

fn encoded(states: &dyn States, group: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    states.encode(group, &mut bytes);
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn hold_for_every_built_in_aggregate(rows in rows(), cuts in (0..40_u32, 0..40_u32), from in 0..40_usize) {
        let count = rows.len() as u32;
        let (cut, second) = (cuts.0.min(cuts.1).min(count), cuts.0.max(cuts.1).min(count));
        let all_rows: Vec<u32> = (0..count).collect();
        for Example { aggregate, columns, .. } in examples() {
            let card = aggregate.card();
            let batch = batch_for(aggregate.as_ref(), &rows);
            let mut whole = states(aggregate.as_ref(), 1);
            feed(whole.as_mut(), &batch, &columns, &all_rows, 0, false);
            let expected = value(whole.as_ref(), 0);
            let types = whole.finish(&[0], &[AS_OF]).unwrap();
            prop_assert_eq!(types.values.data_type(), &card.result, "{}", card.identity);

            // Adjacent stretches 0, 1 and 2, joined from the left in 3 and from the right in 4; 5 is fresh.
            let mut parts = states(aggregate.as_ref(), 6);
            for (group, part) in [0..cut, cut..second, second..count].into_iter().enumerate() {
                let part: Vec<u32> = part.collect();
                feed(parts.as_mut(), &batch, &columns, &part, group as u32, false);
            }
            let copy = parts.copy(&[0, 1, 2, 5]);
            parts.merge(&[3, 3, 3, 3, 3], copy.as_ref(), &[3, 0, 1, 2, 3]).unwrap();
            let mut later = copy.copy(&[1]);
            later.merge(&[0], copy.as_ref(), &[2]).unwrap();
            parts.merge(&[4], copy.as_ref(), &[0]).unwrap();
            parts.merge(&[4], later.as_ref(), &[0]).unwrap();
            prop_assert_eq!(&value(parts.as_ref(), 3), &expected, "tiles: {}", card.identity);
            prop_assert_eq!(&value(parts.as_ref(), 4), &expected, "associativity: {}", card.identity);
            if card.algebra != Algebra::Ordered {
                any_order(&aggregate, &columns, &batch, &expected)?;
            }
            let bytes = encoded(parts.as_ref(), 3);
            let mut back = states(aggregate.as_ref(), 1);
            back.decode(0, &bytes).unwrap();
            prop_assert_eq!(&value(back.as_ref(), 0), &expected, "storage: {}", card.identity);
            prop_assert!(back.decode(0, &bytes[..bytes.len() - 1]).is_err(), "cut short: {}", card.identity);
            prop_assert!(back.decode(0, &[&bytes[..], &[0]].concat()).is_err(), "too long: {}", card.identity);

            if card.inverse {
                let late: Vec<u32> = (second..count).collect();
                let leaving = parts.copy(&[2]);
                parts.unmerge(&[3], leaving.as_ref(), &[0]).unwrap();
                feed(parts.as_mut(), &batch, &columns, &late, 4, true);
                parts.merge(&[0], copy.as_ref(), &[1]).unwrap();
                let left = value(parts.as_ref(), 0);
                prop_assert_eq!(&value(parts.as_ref(), 3), &left, "unmerge: {}", card.identity);
                prop_assert_eq!(&value(parts.as_ref(), 4), &left, "retract: {}", card.identity);
            } else {
                prop_assert!(parts.unmerge(&[3], copy.as_ref(), &[0]).is_err());
            }
            slides(aggregate.as_ref(), &columns, &batch, from.min(rows.len()))?;
        }
    }

    #[test]
    fn damaged_states_are_harmless(rows in rows(), damage in prop::collection::vec((any::<u16>(), any::<u8>()), 1..4)) {
        let all_rows: Vec<u32> = (0..rows.len() as u32).collect();
        for Example { aggregate, columns, .. } in examples() {
            let batch = batch_for(aggregate.as_ref(), &rows);
            let mut states = states(aggregate.as_ref(), 3);
            feed(states.as_mut(), &batch, &columns, &all_rows, 0, false);
            let mut bytes = encoded(states.as_ref(), 0);
            for (at, to) in &damage {
                let at = *at as usize % bytes.len();
                bytes[at] = *to;
            }
            if states.decode(1, &bytes).is_err() {
                continue;
            }
            value(states.as_ref(), 1);
            let copy = states.copy(&[0, 1]);
            states.merge(&[1, 2, 2], copy.as_ref(), &[0, 1, 1]).unwrap();
            feed(states.as_mut(), &batch, &columns, &all_rows, 1, false);
            value(states.as_ref(), 1);
            value(states.as_ref(), 2);
            if aggregate.card().inverse {
                states.unmerge(&[2], copy.as_ref(), &[0]).unwrap();
                feed(states.as_mut(), &batch, &columns, &all_rows, 2, true);
                value(states.as_ref(), 2);
            }
        }
    }
}

/// The tag of a value's kind, a count and a sign are one byte each, which random damage seldom hits.
#[test]
fn one_damaged_byte_is_harmless_wherever_it_is() {
    let rows = [
        (1, Some(-1), Some(1.5), Some("a".to_owned()), Some(false)),
        (2, None, None, None, Some(true)),
        (3, Some(2), Some(f64::NAN), Some("b".repeat(20)), None),
    ];
    for Example { aggregate, columns, .. } in examples() {
        let batch = batch_for(aggregate.as_ref(), &rows);
        let mut states = states(aggregate.as_ref(), 2);
        feed(states.as_mut(), &batch, &columns, &[0, 1, 2], 0, false);
        let whole = encoded(states.as_ref(), 0);
        // Sketches are long; their first bytes say what they are.
        for at in 0..whole.len().min(200) {
            for to in [0, 1, 2, 3, 0x7F, 0xFF] {
                let mut bytes = whole.clone();
                bytes[at] = to;
                if states.decode(1, &bytes).is_ok() {
                    value(states.as_ref(), 1);
                }
            }
        }
    }
}

/// Rows and tiles may come in any order. (Of approximate aggregates too, with as few rows as there are here.)
fn any_order(
    aggregate: &Arc<dyn Aggregate>,
    columns: &[usize],
    batch: &Batch,
    expected: &str,
) -> Result<(), TestCaseError> {
    let identity = &aggregate.card().identity;
    let backwards: Vec<u32> = (0..batch.times.len() as u32).rev().collect();
    let (early, late) = backwards.split_at(backwards.len() / 3);
    let mut states = states(aggregate.as_ref(), 3);
    feed(states.as_mut(), batch, columns, &backwards, 0, false);
    prop_assert_eq!(&value(states.as_ref(), 0), expected, "order: {}", identity);
    feed(states.as_mut(), batch, columns, early, 1, false);
    feed(states.as_mut(), batch, columns, late, 2, false);
    let copy = states.copy(&[2]);
    states.merge(&[1], copy.as_ref(), &[0]).unwrap();
    prop_assert_eq!(&value(states.as_ref(), 1), expected, "tiles in any order: {}", identity);
    Ok(())
}

/// Sliding over frames of rows gives what folding each does; nothing leaves where there is no inverse.
fn slides(
    aggregate: &dyn Aggregate,
    columns: &[usize],
    batch: &Batch,
    width: usize,
) -> Result<(), TestCaseError> {
    let rows = batch.times.len();
    let width = if aggregate.card().inverse { width } else { rows };
    let entering: Vec<u32> = (1..=rows as u32).collect();
    let leaving: Vec<u32> = (1..=rows).map(|end| end.saturating_sub(width) as u32).collect();
    let arguments: Vec<ArrayRef> = columns.iter().map(|at| batch.columns[*at].clone()).collect();
    let Batch { times, ranks, .. } = batch;
    let stretch = |ends| Stretch { ends, times, ranks, arguments: &arguments };
    let (groups, as_of) = (vec![0; rows], vec![AS_OF; rows]);
    let mut sliding = states(aggregate, 1);
    let steps =
        Steps { groups: &groups, as_of: &as_of, entering: stretch(&entering), leaving: stretch(&leaving) };
    let finished = sliding.slide(&steps).unwrap();
    for end in 0..rows {
        let frame: Vec<u32> = (leaving[end]..entering[end]).collect();
        let mut folded = states(aggregate, 1);
        feed(folded.as_mut(), batch, columns, &frame, 0, false);
        let expected = folded.finish(&[0], &[AS_OF]).unwrap().values;
        let identity = &aggregate.card().identity;
        prop_assert_eq!(
            format!("{:?}", finished.values.slice(end, 1)),
            format!("{expected:?}"),
            "{}",
            identity
        );
    }
    Ok(())
}

#[test]
fn bounded_states_stay_small_however_many_rows_come() {
    /// Twice what the largest of the examples takes, the registers of a HyperLogLog.
    const BOUND_BYTES: usize = 8192;
    let row = |at: i64| (at, Some(at), Some(at as f64), Some(format!("value {at}")), Some(at % 3 == 0));
    let rows: Vec<ExampleRow> = (0..20_000).map(row).collect();
    let batch = Batch::new(&rows);
    let all_rows: Vec<u32> = (0..rows.len() as u32).collect();
    for Example { aggregate, columns, .. } in examples() {
        let mut states = states(aggregate.as_ref(), 1);
        feed(states.as_mut(), &batch, &columns, &all_rows, 0, false);
        let card = aggregate.card();
        let bytes = encoded(states.as_ref(), 0).len();
        assert!(!card.bounded || bytes <= BOUND_BYTES, "{}: {bytes} bytes", card.identity);
    }
}

#[test]
fn a_sum_that_overflows_says_so_and_comes_back() {
    let sum = builtin("SUM", false, &[DataType::Int64], &[]).unwrap();
    let column: ArrayRef = Arc::new(Int64Array::from(vec![i64::MAX, 1]));
    let (times, ranks) = ([0, 0], [Rank::default(); 2]);
    let mut states = states(sum.as_ref(), 1);
    let arguments = [column];
    let input = Input { groups: &[0, 0], rows: &[0, 1], times: &times, ranks: &ranks, arguments: &arguments };
    states.update(&input).unwrap();
    let finished = states.finish(&[0], &[0]).unwrap();
    assert!(finished.values.is_null(0));
    assert_eq!(
        finished.errors,
        vec![(0, "SUM overflows bigint: 2 values add up to 9223372036854775808".to_owned())]
    );
    states.retract(&Input { groups: &[0], rows: &[1], ..input }).unwrap();
    assert!(states.finish(&[0], &[0]).unwrap().errors.is_empty());
}

#[test]
fn a_sum_of_decimals_that_overflows_says_so_and_comes_back() {
    let most = 10_i128.pow(38) - 1;
    let of = DataType::Decimal128(38, 2);
    let sum = builtin("SUM", false, std::slice::from_ref(&of), &[]).unwrap();
    let column: ArrayRef = Arc::new(Decimal128Array::from(vec![most, 1, -most, -most]).with_data_type(of));
    let (times, ranks) = ([0; 4], [Rank::default(); 4]);
    let mut states = states(sum.as_ref(), 1);
    let arguments = [column];
    let rows = |groups, rows| Input { groups, rows, times: &times, ranks: &ranks, arguments: &arguments };
    states.update(&rows(&[0, 0], &[0, 1])).unwrap();
    let finished = states.finish(&[0], &[0]).unwrap();
    assert!(finished.values.is_null(0));
    let reason = "SUM overflows decimal(38, 2): 2 values add up to more digits";
    assert_eq!(finished.errors, vec![(0, reason.to_owned())]);
    states.update(&rows(&[0], &[2])).unwrap();
    let value = |states: &dyn States| {
        let finished = states.finish(&[0], &[0]).unwrap();
        assert!(finished.errors.is_empty(), "{:?}", finished.errors);
        finished.values.as_primitive::<Decimal128Type>().value(0)
    };
    assert_eq!(value(states.as_ref()), 1);
    states.retract(&rows(&[0], &[1])).unwrap();
    states.update(&rows(&[0], &[3])).unwrap();
    assert_eq!(value(states.as_ref()), -most);
}

#[test]
fn too_many_distinct_values_of_one_key_are_an_error_that_names_the_way_out() {
    let count = builtin("COUNT", true, &[DataType::Int64], &[]).unwrap();
    let column: ArrayRef = Arc::new(Int64Array::from_iter_values(0..100_001));
    let rows: Vec<u32> = (0..100_001).collect();
    let (times, ranks) = (vec![0; rows.len()], vec![Rank::default(); rows.len()]);
    let mut states = states(count.as_ref(), 1);
    let groups = vec![0; rows.len()];
    let arguments = [column];
    let input = Input { groups: &groups, rows: &rows, times: &times, ranks: &ranks, arguments: &arguments };
    states.update(&input).unwrap();
    let finished = states.finish(&[0], &[0]).unwrap();
    assert!(finished.values.is_null(0));
    let reason =
        "COUNT(DISTINCT x) of 100001 distinct values, more than 100000; use APPROX_COUNT_DISTINCT(x)";
    assert_eq!(finished.errors, vec![(0, reason.to_owned())]);
    states.retract(&Input { groups: &[0], rows: &[7], ..input }).unwrap();
    let finished = states.finish(&[0], &[0]).unwrap();
    assert!(finished.errors.is_empty() && !finished.values.is_null(0));
}
