//! Rows that are taken back: whatever came between, and in whatever order, what is left is what rows that never went make.

use crate::aggregate::examples::{Batch, Example, ExampleRow, examples};
use crate::aggregate::{Aggregate, Input, States};
use crate::taking_back::taking_back;
use arrow_array::{ArrayRef, BooleanArray};
use proptest::prelude::*;
use std::sync::Arc;

const AS_OF: i64 = 30;

fn rows() -> impl Strategy<Value = Vec<(ExampleRow, bool)>> {
    let double = prop_oneof![any::<f64>(), -10.0..10.0, Just(f64::NAN), Just(f64::INFINITY), Just(-0.0)];
    let row = (
        0..20_i64,
        prop::option::of(prop_oneof![-4..4_i64, Just(i64::MIN), Just(i64::MAX)]),
        prop::option::of(double),
        prop::option::of("[a-c]{0,2}"),
        prop::option::of(any::<bool>()),
    );
    prop::collection::vec((row, any::<bool>()), 0..24)
}

/// Rows as they stand in a batch, and of each whether it takes back.
struct Changes {
    batch: Batch,
    taken_back: ArrayRef,
}

impl Changes {
    fn of(rows: &[(ExampleRow, bool)]) -> Changes {
        let batch = Batch::new(&rows.iter().map(|(row, _)| row.clone()).collect::<Vec<_>>());
        let taken_back: BooleanArray = rows.iter().map(|(_, taken_back)| Some(*taken_back)).collect();
        Changes { batch, taken_back: Arc::new(taken_back) }
    }

    fn feed(&self, states: &mut dyn States, columns: &[usize], rows: &[u32], group: u32, takes_out: bool) {
        let columns = columns.iter().map(|at| self.batch.columns[*at].clone());
        let arguments: Vec<ArrayRef> = columns.chain([self.taken_back.clone()]).collect();
        let groups = vec![group; rows.len()];
        let Batch { times, ranks, .. } = &self.batch;
        let input = Input { groups: &groups, rows, times, ranks, arguments: &arguments };
        if takes_out { states.retract(&input) } else { states.update(&input) }.unwrap();
    }
}

fn fresh(aggregate: &dyn Aggregate, groups: usize) -> Box<dyn States> {
    let mut states = aggregate.states();
    states.resize(groups);
    states
}

fn value(states: &dyn States, group: u32) -> String {
    let finished = states.finish(&[group], &[AS_OF]).unwrap();
    format!("{:?} {:?}", finished.values, finished.errors)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn leave_what_was_never_taken_back(rows in rows(), order in any::<u64>(), cut in 0..48_usize) {
        // Every row comes; those with a mark also go, before or after.
        let gone = rows.iter().filter(|(_, goes)| *goes).map(|(row, _)| (row.clone(), true));
        let mut changes: Vec<_> = rows.iter().map(|(row, _)| (row.clone(), false)).chain(gone).collect();
        let mut seed = order | 1;
        for at in (1..changes.len()).rev() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            changes.swap(at, (seed >> 33) as usize % (at + 1));
        }
        let left: Vec<ExampleRow> = rows.iter().filter(|(_, goes)| !goes).map(|(row, _)| row.clone()).collect();
        let (changes, left) = (Changes::of(&changes), Batch::new(&left));
        let count = changes.batch.times.len() as u32;
        let cut = (cut as u32).min(count);
        let (early, late): (Vec<u32>, Vec<u32>) = ((0..cut).collect(), (cut..count).collect());
        for Example { aggregate, columns, .. } in examples() {
            let identity = aggregate.card().identity.clone();
            let Some(changing) = taking_back(aggregate.clone()) else {
                prop_assert!(!aggregate.owes(), "{}", identity);
                continue;
            };
            let mut plain = fresh(aggregate.as_ref(), 1);
            let all: Vec<u32> = (0..left.times.len() as u32).collect();
            let arguments: Vec<ArrayRef> = columns.iter().map(|at| left.columns[*at].clone()).collect();
            let groups = vec![0; all.len()];
            let (times, ranks) = (&left.times, &left.ranks);
            plain.update(&Input { groups: &groups, rows: &all, times, ranks, arguments: &arguments }).unwrap();
            let expected = value(plain.as_ref(), 0);

            let mut states = fresh(changing.as_ref(), 4);
            changes.feed(states.as_mut(), &columns, &early, 0, false);
            changes.feed(states.as_mut(), &columns, &late, 0, false);
            prop_assert_eq!(&value(states.as_ref(), 0), &expected, "rows: {}", identity);
            // Tiles, one of which is stored and read back while it may owe rows.
            changes.feed(states.as_mut(), &columns, &early, 1, false);
            let mut bytes = Vec::new();
            states.encode(1, &mut bytes);
            states.decode(2, &bytes).unwrap();
            changes.feed(states.as_mut(), &columns, &late, 3, false);
            let copy = states.copy(&[3]);
            states.merge(&[2], copy.as_ref(), &[0]).unwrap();
            prop_assert_eq!(&value(states.as_ref(), 2), &expected, "tiles: {}", identity);
            states.unmerge(&[2], copy.as_ref(), &[0]).unwrap();
            changes.feed(states.as_mut(), &columns, &late, 2, false);
            changes.feed(states.as_mut(), &columns, &late, 2, true);
            changes.feed(states.as_mut(), &columns, &late, 2, false);
            prop_assert_eq!(&value(states.as_ref(), 2), &expected, "sliding: {}", identity);
        }
    }
}

#[test]
fn only_what_may_owe_rows_takes_any_back() {
    let of = |name: &str| {
        let column = match name {
            "BOOL_AND" => arrow_schema::DataType::Boolean,
            _ => arrow_schema::DataType::Int64,
        };
        crate::builtin(name, false, &[column], &[]).unwrap()
    };
    for name in ["COUNT", "SUM", "AVG", "VAR_POP", "STDDEV_SAMP", "SKEWNESS", "BOOL_AND", "BIT_XOR"] {
        assert!(taking_back(of(name)).is_some(), "{name}");
    }
    for name in ["MIN", "MAX", "LAST_VALUE", "MODE", "HISTOGRAM", "COLLECT", "APPROX_COUNT_DISTINCT"] {
        assert!(taking_back(of(name)).is_none(), "{name}");
    }
    let distinct = crate::builtin("COUNT", true, &[arrow_schema::DataType::Int64], &[]).unwrap();
    assert!(taking_back(distinct).is_none());
    let states = taking_back(of("SUM")).unwrap().states();
    assert!(of("SUM").states().merge(&[], states.as_ref(), &[]).is_err());
}
