//! An aggregate guest that misbehaves on some rows and states, fed as timelines feed it.

use super::{AGGREGATE, account, component, host};
use crate::aggregate::PluginAggregate;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int64Array};
use arrow_schema::DataType as ArrowType;
use std::sync::Arc;
use weir_event::Rank;
use weir_timeline::aggregate::Parameter;
use weir_timeline::{Aggregate, AggregateError, Algebra, Input, States};

fn aggregate() -> PluginAggregate {
    let plugin = host().admit("guest", &component("aggregate", AGGREGATE)).unwrap();
    PluginAggregate::bind(&account(&plugin), &plugin.functions()[0], &[ArrowType::Int64], &[]).unwrap()
}

/// Feeds (group, digit) pairs.
fn update(states: &mut Box<dyn States>, rows: &[(u32, i64)]) -> Result<(), AggregateError> {
    let groups: Vec<u32> = rows.iter().map(|(group, _)| *group).collect();
    let numbers: Vec<u32> = (0..rows.len() as u32).collect();
    let times: Vec<i64> = (0..rows.len() as i64).collect();
    let ranks = vec![Rank::default(); rows.len()];
    let arguments: Vec<ArrayRef> =
        vec![Arc::new(rows.iter().map(|(_, digit)| Some(*digit)).collect::<Int64Array>())];
    states.update(&Input {
        groups: &groups,
        rows: &numbers,
        times: &times,
        ranks: &ranks,
        arguments: &arguments,
    })
}

fn states(groups: usize, rows: &[(u32, i64)]) -> Box<dyn States> {
    let mut states = aggregate().states();
    states.resize(groups);
    update(&mut states, rows).unwrap();
    states
}

fn encoded(states: &dyn States, group: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    states.encode(group, &mut bytes);
    bytes
}

fn counts(states: &dyn States, groups: &[u32]) -> (Vec<Option<i64>>, Vec<u32>) {
    let finished = states.finish(groups, &vec![0; groups.len()]).unwrap();
    let values = finished.values.as_primitive::<Int64Type>().iter().collect();
    (values, finished.errors.into_iter().map(|(group, _)| group).collect())
}

#[test]
fn its_card_says_what_it_is() {
    let aggregate = aggregate();
    let card = aggregate.card();
    assert_eq!((card.algebra, card.inverse, card.bounded), (Algebra::Ordered, false, true));
    assert_eq!(card.result, ArrowType::Int64);
    assert!(card.identity.starts_with("g(bigint)@sha256:"), "{}", card.identity);
}

#[test]
fn wrong_types_and_parameters_do_not_bind() {
    let plugin = host().admit("guest", &component("aggregate", AGGREGATE)).unwrap();
    let bind = |arguments: &[ArrowType], parameters: &[Parameter]| {
        PluginAggregate::bind(&account(&plugin), &plugin.functions()[0], arguments, parameters)
            .map(|_| ())
            .unwrap_err()
    };
    assert!(bind(&[ArrowType::Utf8View], &[]).contains("of type string, where the function takes bigint"));
    assert!(bind(&[], &[]).contains("takes 1 arguments and is given 0"));
    assert!(bind(&[ArrowType::Int64], &[Parameter::Int(1)]).contains("takes 0 parameters"));
}

#[test]
fn rows_go_to_their_groups_in_order() {
    let mut states = states(3, &[(0, 2), (2, 3), (0, 4), (2, 5), (0, 6)]);
    assert_eq!(encoded(&*states, 0), [0, 2, 4, 6]);
    assert_eq!(encoded(&*states, 1), [0]);
    update(&mut states, &[(2, 8)]).unwrap();
    assert_eq!(encoded(&*states, 2), [0, 3, 5, 8]);
    assert_eq!(counts(&*states, &[2, 1, 0]), (vec![Some(3), Some(0), Some(3)], vec![]));
    states.reset(&[2]);
    assert_eq!(counts(&*states, &[2]), (vec![Some(0)], vec![]));
    assert_eq!(counts(&*states, &[]), (vec![], vec![]));
}

#[test]
fn a_row_that_traps_leaves_every_state_as_it_was() {
    let mut states = states(2, &[(0, 2), (1, 3)]);
    let mut rows: Vec<(u32, i64)> = (0..600).map(|row| (row % 2, 4)).collect();
    rows[431] = (1, 1);
    match update(&mut states, &rows) {
        Err(AggregateError::Rows(reason)) => assert!(reason.contains("update of `g`: trapped"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert_eq!((encoded(&*states, 0), encoded(&*states, 1)), (vec![0, 2], vec![0, 3]));
    rows[431] = (1, 4);
    update(&mut states, &rows).unwrap();
    assert_eq!(counts(&*states, &[0, 1]).0, [Some(301), Some(301)]);
}

#[test]
fn parts_are_folded_from_early_to_late() {
    let mut early = states(3, &[(0, 2), (1, 3)]);
    let late = states(4, &[(0, 4), (1, 5), (2, 6)]);
    early.merge(&[0, 0, 2, 1, 0], &*late, &[0, 1, 2, 3, 2]).unwrap();
    assert_eq!(encoded(&*early, 0), [0, 2, 4, 5, 6]);
    assert_eq!(encoded(&*early, 1), [0, 3]);
    assert_eq!(encoded(&*early, 2), [0, 6]);
}

#[test]
fn a_state_that_cannot_be_merged_is_an_error_of_its_group_alone() {
    let mut early = states(2, &[(0, 2), (1, 3)]);
    let late = states(2, &[(0, 9), (1, 4)]);
    early.merge(&[0, 1], &*late, &[0, 1]).unwrap();
    assert_eq!(counts(&*early, &[1, 0]), (vec![Some(2), None], vec![1]));
    // It stays so, also through a checkpoint and a copy, until it is reset.
    update(&mut early, &[(0, 2), (1, 5)]).unwrap();
    let mut read = aggregate().states();
    read.resize(1);
    read.decode(0, &encoded(&*early, 0)).unwrap();
    for states in [early.copy(&[0]), read] {
        let finished = states.finish(&[0], &[0]).unwrap();
        assert!(finished.values.is_null(0) && finished.errors[0].1.contains("merge of `g`: trapped"));
    }
    let mut third = states(1, &[]);
    third.merge(&[0], &*early, &[0]).unwrap();
    assert_eq!(counts(&*third, &[0]), (vec![None], vec![0]));
    early.reset(&[0]);
    assert_eq!(counts(&*early, &[0, 1]), (vec![Some(0), Some(3)], vec![]));
}

#[test]
fn a_value_that_cannot_be_computed_is_an_error_of_its_group_alone() {
    let states = states(4, &[(0, 2), (1, 7), (2, 3), (3, 7)]);
    assert_eq!(counts(&*states, &[3, 0, 1, 2]), (vec![None, Some(1), None, Some(1)], vec![0, 2]));
}

#[test]
fn damaged_states_are_not_taken() {
    let mut states = states(1, &[(0, 2)]);
    for bytes in [vec![], vec![2, 3], vec![1, 0xff], vec![0; 65_538]] {
        assert!(matches!(states.decode(0, &bytes), Err(AggregateError::Damaged(_))));
    }
    states.decode(0, &[0, 5, 6]).unwrap();
    assert_eq!(counts(&*states, &[0]).0, [Some(2)]);
}

#[test]
fn a_state_beyond_its_limit_is_refused() {
    let mut states = states(1, &[]);
    let full: Vec<u8> = std::iter::once(0).chain(vec![4; 65_536]).collect();
    states.decode(0, &full).unwrap();
    match update(&mut states, &[(0, 4)]) {
        Err(AggregateError::Rows(reason)) => {
            assert!(reason.contains("65537 bytes, of which 65536"), "{reason}")
        }
        other => panic!("{other:?}"),
    }
}
