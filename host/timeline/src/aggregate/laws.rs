//! The laws of aggregates, tested for every built-in one on random rows: tiles are as good as rows, a fresh state is
//! the identity, what was taken out is as if it had never been, and stored states finish as the ones they came from.

use super::catalog::{Parameter, builtin};
use super::{Aggregate, Input, States, Steps, Stretch};
use arrow_array::{Array, ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, StringViewArray};
use arrow_schema::DataType;
use proptest::prelude::*;
use std::sync::Arc;
use weir_event::Rank;

/// Rows: time, whole, double, text, flag.
type Row = (i64, Option<i64>, Option<f64>, Option<String>, Option<bool>);

fn rows() -> impl Strategy<Value = Vec<Row>> {
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

/// A column per type, times and ranks.
struct Batch {
    columns: Vec<ArrayRef>,
    times: Vec<i64>,
    ranks: Vec<Rank>,
}

fn batch(rows: &[Row]) -> Batch {
    Batch {
        columns: vec![
            Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|row| row.2).collect::<Float64Array>()),
            Arc::new(rows.iter().map(|row| row.3.clone()).collect::<StringViewArray>()),
            Arc::new(rows.iter().map(|row| row.4).collect::<BooleanArray>()),
            Arc::new(rows.iter().map(|row| row.1.map(|it| it as i32)).collect::<Int32Array>()),
        ],
        times: rows.iter().map(|row| row.0).collect(),
        ranks: (0..rows.len() as u64).map(|offset| Rank { offset, ..Rank::default() }).collect(),
    }
}

/// Every built-in aggregate over every type that it takes, with the column of its argument.
fn all() -> Vec<(Arc<dyn Aggregate>, Option<usize>)> {
    let types = [DataType::Int64, DataType::Float64, DataType::Utf8View, DataType::Boolean, DataType::Int32];
    let desc = [Parameter::Int(2), Parameter::Text("desc".to_owned())];
    let mut all = vec![(builtin("COUNT", false, &[], &[]).unwrap(), None)];
    for (column, data_type) in types.iter().enumerate() {
        let argument = std::slice::from_ref(data_type);
        for name in ["COUNT", "SUM", "AVG", "MIN", "MAX", "FIRST_VALUE", "LAST_VALUE"] {
            all.extend(builtin(name, false, argument, &[]).ok().map(|it| (it, Some(column))));
        }
        all.push((builtin("COUNT", true, argument, &[]).unwrap(), Some(column)));
        all.push((builtin("TOP", false, argument, &[Parameter::Int(3)]).unwrap(), Some(column)));
        all.push((builtin("TOP", false, argument, &desc).unwrap(), Some(column)));
    }
    all
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
    column: Option<usize>,
    rows: &[u32],
    group: u32,
    takes_out: bool,
) {
    let groups = vec![group; rows.len()];
    let arguments: Vec<ArrayRef> = column.iter().map(|at| batch.columns[*at].clone()).collect();
    let Batch { times, ranks, .. } = batch;
    let input = Input { groups: &groups, rows, times, ranks, arguments: &arguments };
    if takes_out { states.retract(&input) } else { states.update(&input) }.unwrap();
}

fn value(states: &dyn States, group: u32) -> String {
    let finished = states.finish(&[group], &[0]).unwrap();
    assert_eq!(finished.values.len(), 1);
    format!("{:?} {:?}", finished.values, finished.errors)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn hold_for_every_built_in_aggregate(rows in rows(), cut in 0..40_usize, from in 0..40_usize) {
        let batch = batch(&rows);
        let all_rows: Vec<u32> = (0..rows.len() as u32).collect();
        let (early, late) = all_rows.split_at(cut.min(rows.len()));
        let backwards: Vec<u32> = all_rows.iter().rev().copied().collect();
        for (aggregate, column) in all() {
            let card = aggregate.card();
            let mut whole = states(aggregate.as_ref(), 1);
            feed(whole.as_mut(), &batch, column, &all_rows, 0, false);
            let expected = value(whole.as_ref(), 0);
            let types = whole.finish(&[0], &[0]).unwrap();
            prop_assert_eq!(types.values.data_type(), &card.result, "{}", card.identity);

            // In any order, cut anywhere, merged in any order: 1 and 2 are the parts, 3 and 4 are fresh.
            let mut parts = states(aggregate.as_ref(), 5);
            feed(parts.as_mut(), &batch, column, &backwards, 0, false);
            prop_assert_eq!(&value(parts.as_ref(), 0), &expected, "order: {}", card.identity);
            feed(parts.as_mut(), &batch, column, early, 1, false);
            feed(parts.as_mut(), &batch, column, late, 2, false);
            let copy = parts.copy(&[1, 2, 3]);
            parts.merge(&[3, 3, 3, 4, 4], copy.as_ref(), &[2, 0, 1, 1, 0]).unwrap();
            prop_assert_eq!(&value(parts.as_ref(), 3), &value(whole.as_ref(), 0), "tiles: {}", card.identity);
            prop_assert_eq!(&value(parts.as_ref(), 4), &expected, "tiles the other way: {}", card.identity);

            // Stored and read back; damaged bytes are an error.
            let mut bytes = Vec::new();
            parts.encode(3, &mut bytes);
            let mut back = states(aggregate.as_ref(), 1);
            back.decode(0, &bytes).unwrap();
            prop_assert_eq!(&value(back.as_ref(), 0), &expected, "storage: {}", card.identity);
            prop_assert!(back.decode(0, &bytes[..bytes.len() - 1]).is_err(), "cut short: {}", card.identity);
            bytes.push(0);
            prop_assert!(back.decode(0, &bytes).is_err(), "too long: {}", card.identity);

            if card.inverse {
                let leaving = parts.copy(&[2]);
                parts.unmerge(&[3], leaving.as_ref(), &[0]).unwrap();
                feed(parts.as_mut(), &batch, column, late, 4, true);
                let left = value(parts.as_ref(), 1);
                prop_assert_eq!(&value(parts.as_ref(), 3), &left, "unmerge: {}", card.identity);
                prop_assert_eq!(&value(parts.as_ref(), 4), &left, "retract: {}", card.identity);
            } else {
                prop_assert!(parts.unmerge(&[3], copy.as_ref(), &[0]).is_err());
            }
            slides(aggregate.as_ref(), column, &batch, from.min(rows.len()))?;
        }
    }
}

/// Sliding over frames of rows gives what folding each does; nothing leaves where there is no inverse.
fn slides(
    aggregate: &dyn Aggregate,
    column: Option<usize>,
    batch: &Batch,
    width: usize,
) -> Result<(), TestCaseError> {
    let rows = batch.times.len();
    let width = if aggregate.card().inverse { width } else { rows };
    let entering: Vec<u32> = (1..=rows as u32).collect();
    let leaving: Vec<u32> = (1..=rows).map(|end| end.saturating_sub(width) as u32).collect();
    let arguments: Vec<ArrayRef> = column.iter().map(|at| batch.columns[*at].clone()).collect();
    let Batch { times, ranks, .. } = batch;
    let stretch = |ends| Stretch { ends, times, ranks, arguments: &arguments };
    let (groups, as_of) = (vec![0; rows], vec![0; rows]);
    let mut sliding = states(aggregate, 1);
    let steps =
        Steps { groups: &groups, as_of: &as_of, entering: stretch(&entering), leaving: stretch(&leaving) };
    let finished = sliding.slide(&steps).unwrap();
    for end in 0..rows {
        let frame: Vec<u32> = (leaving[end]..entering[end]).collect();
        let mut folded = states(aggregate, 1);
        feed(folded.as_mut(), batch, column, &frame, 0, false);
        let expected = folded.finish(&[0], &[0]).unwrap().values;
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
