//! Aggregates that fail on rows, and state that may live only so long.

use super::oracle::Cell;
use super::testers::insert_batch;
use super::{grid, over};
use crate::aggregate::{Aggregate, AggregateError, Algebra, Card, Finished, Input, States};
use crate::answer::{Question, Results, Slot};
use crate::spec::{AggregateSpec, Frames, StageSpec};
use crate::timeline::Timelines;
use crate::{Parameter, builtin};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array};
use arrow_schema::DataType;
use std::any::Any;
use std::sync::Arc;
use weir_event::{EventTime, Rank, Span, key_hash};

/// Sums, but fails on a row of 13, and on a row of 1 that meets a sum above 99.
#[derive(Debug)]
struct Touchy(Card);

impl Aggregate for Touchy {
    fn card(&self) -> &Card {
        &self.0
    }

    fn states(&self) -> Box<dyn States> {
        Box::new(TouchyStates(Vec::new()))
    }
}

struct TouchyStates(Vec<i64>);

impl States for TouchyStates {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn resize(&mut self, groups: usize) {
        self.0.resize(groups, 0);
    }

    fn reset(&mut self, groups: &[u32]) {
        for group in groups {
            self.0[*group as usize] = 0;
        }
    }

    fn update(&mut self, input: &Input<'_>) -> Result<(), AggregateError> {
        let mut sums = self.0.clone();
        let values = input.arguments[0].as_primitive::<Int64Type>();
        for (group, row) in input.groups.iter().zip(input.rows) {
            let (sum, value) = (&mut sums[*group as usize], values.value(*row as usize));
            if value == 13 || value == 1 && *sum > 99 {
                return Err(AggregateError::Rows(format!("trap on {value}")));
            }
            *sum += value;
        }
        self.0 = sums;
        Ok(())
    }

    fn retract(&mut self, _input: &Input<'_>) -> Result<(), AggregateError> {
        Err(AggregateError::Broken("no inverse".to_owned()))
    }

    fn merge(&mut self, into: &[u32], later: &dyn States, from: &[u32]) -> Result<(), AggregateError> {
        let later = later.as_any().downcast_ref::<TouchyStates>().unwrap();
        into.iter().zip(from).for_each(|(into, from)| self.0[*into as usize] += later.0[*from as usize]);
        Ok(())
    }

    fn unmerge(&mut self, _: &[u32], _: &dyn States, _: &[u32]) -> Result<(), AggregateError> {
        Err(AggregateError::Broken("no inverse".to_owned()))
    }

    fn finish(&self, groups: &[u32], _as_of: &[i64]) -> Result<Finished, AggregateError> {
        let values = groups.iter().map(|group| self.0[*group as usize]).collect::<Vec<i64>>();
        Ok(Finished { values: Arc::new(Int64Array::from(values)), errors: Vec::new() })
    }

    fn copy(&self, groups: &[u32]) -> Box<dyn States> {
        Box::new(TouchyStates(groups.iter().map(|group| self.0[*group as usize]).collect()))
    }

    fn append(&mut self, others: &mut dyn States) -> Result<(), AggregateError> {
        self.0.append(&mut others.as_any_mut().downcast_mut::<TouchyStates>().unwrap().0);
        Ok(())
    }

    fn encode(&self, _group: u32, _out: &mut Vec<u8>) {}

    fn decode(&mut self, _group: u32, _bytes: &[u8]) -> Result<(), AggregateError> {
        Err(AggregateError::Damaged("nothing is stored".to_owned()))
    }

    fn memory_bytes(&self) -> usize {
        self.0.capacity() * 8
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

pub(super) fn timelines(frames: Frames, algebra: Algebra, retention: Option<Span>) -> Timelines {
    let card = Card {
        algebra,
        inverse: false,
        bounded: true,
        result: DataType::Int64,
        identity: "touchy#1".into(),
        nulls: "",
    };
    let of = |function, arguments| AggregateSpec { function, arguments, filter: None, frame: 0, edits: None };
    let last: &[Parameter] = &[Parameter::Int(9)];
    let spec = StageSpec {
        frames,
        aggregates: vec![
            of(builtin("COUNT", false, &[], &[]).unwrap(), vec![]),
            of(Arc::new(Touchy(card)), vec![0]),
            of(builtin("TOP", false, &[DataType::Int64], last).unwrap(), vec![0]),
        ],
        inputs: vec![DataType::Int64],
        carried: vec![],
        history: Span::from_millis(20),
        corrects: Some(Span::from_millis(20)),
        retention,
        tail: None,
        emit_changes: false,
        results_below: None,
        process: None,
    };
    Timelines::new(Arc::new(spec)).unwrap()
}

/// Inserts values, each at its time.
pub(super) fn insert(timelines: &mut Timelines, rows: &[(i64, i64)]) -> Result<u64, AggregateError> {
    let slot = timelines.slot_or_insert(b"k", key_hash(b"k"));
    let values: ArrayRef = Arc::new(rows.iter().map(|(_, value)| Some(*value)).collect::<Int64Array>());
    let times: Vec<i64> = rows.iter().map(|(time, _)| *time).collect();
    let rank = |(time, value): &(i64, i64)| Rank { offset: (time * 1000 + value) as u64, ..Rank::default() };
    let ranks: Vec<Rank> = rows.iter().map(rank).collect();
    let inserted = insert_batch(timelines, &vec![slot; rows.len()], &times, &ranks, &[values]);
    inserted.map(|inserted| inserted.too_late.len() as u64)
}

pub(super) fn settle(timelines: &mut Timelines, to: i64) -> Results {
    timelines.settle(EventTime::from_millis(to)).unwrap()
}

pub(super) fn column(results: &Results, aggregate: usize) -> Vec<Cell> {
    (0..results.len()).map(|row| Cell::of(&results.values[aggregate], row)).collect()
}

pub(super) fn wholes(values: &[i64]) -> Vec<Cell> {
    values.iter().map(|value| Cell::Whole(*value)).collect()
}

#[test]
fn a_batch_that_fails_leaves_nothing_behind() {
    for (frames, algebra) in [
        (grid(10, 10, 0), Algebra::Exact),
        (grid(10, 5, 0), Algebra::Exact),
        (grid(10, 10, 0), Algebra::Ordered),
        (over(&[Some(10)]), Algebra::Ordered),
    ] {
        let mut timelines = timelines(frames, algebra, None);
        insert(&mut timelines, &[(1, 5)]).unwrap();
        let failed = insert(&mut timelines, &[(1, 2), (11, 2), (12, 13)]);
        assert!(matches!(failed, Err(AggregateError::Rows(_))), "{failed:?}");
        let results = settle(&mut timelines, 30);
        assert!(column(&results, 0).iter().all(|count| *count == Cell::Whole(1)));
        assert!(column(&results, 1).iter().all(|sum| *sum == Cell::Whole(5)));
    }
}

#[test]
fn a_row_that_only_an_ordered_state_cannot_take_is_refused_when_it_is_folded() {
    let mut timelines = timelines(grid(10, 10, 0), Algebra::Ordered, None);
    insert(&mut timelines, &[(3, 1), (1, 100), (4, 7)]).unwrap();
    let results = settle(&mut timelines, 10);
    let refused: Vec<(i64, &str)> =
        results.refused.iter().map(|row| (row.time, row.reason.as_str())).collect();
    assert_eq!(refused, vec![(3, "trap on 1")]);
    assert_eq!((column(&results, 0), column(&results, 1)), (wholes(&[3]), wholes(&[107])));
    // A late row folds the tile anew; what was refused stays out of it, and is not told again.
    insert(&mut timelines, &[(2, 4)]).unwrap();
    let results = settle(&mut timelines, 10);
    assert!(results.refused.is_empty());
    assert_eq!(column(&results, 1), wholes(&[111]));
}

#[test]
fn an_event_whose_frame_fails_has_an_error_for_a_value() {
    let mut timelines = timelines(over(&[Some(10)]), Algebra::Ordered, None);
    insert(&mut timelines, &[(1, 100), (5, 1), (14, 3)]).unwrap();
    let results = settle(&mut timelines, 30);
    assert_eq!(column(&results, 1), vec![Cell::Whole(100), Cell::Null, Cell::Whole(4)]);
    let errors: Vec<(usize, usize)> =
        results.errors.iter().map(|error| (error.row, error.aggregate)).collect();
    assert_eq!(errors, vec![(1, 1)]);
}

#[test]
fn retention_bounds_the_life_of_state_and_unbounded_frames() {
    let retention = Some(Span::from_millis(15));
    let mut lasting = timelines(over(&[None]), Algebra::Ordered, retention);
    insert(&mut lasting, &[(0, 1), (10, 2), (20, 3), (100, 4)]).unwrap();
    let results = settle(&mut lasting, 101);
    assert_eq!(column(&results, 1), wholes(&[1, 3, 5, 4]));
    settle(&mut lasting, 1000);
    lasting.expire();
    assert_eq!((lasting.stats().rows, lasting.stats().keys), (0, 0));

    // History alone would reach 20 back; a window of 10 leaves 15 of this retention.
    let mut windows = timelines(grid(10, 10, 0), Algebra::Exact, Some(Span::from_millis(25)));
    insert(&mut windows, &[(5, 1), (15, 2)]).unwrap();
    settle(&mut windows, 25);
    assert_eq!(windows.oldest(), EventTime::from_millis(10));
    assert_eq!(insert(&mut windows, &[(5, 1), (15, 2)]).unwrap(), 1);
    for (settled, tiles) in [(33, 2), (34, 1)] {
        settle(&mut windows, settled);
        windows.expire();
        assert_eq!(windows.stats().tiles, tiles, "at {settled}");
    }
}

#[test]
fn an_unknown_key_has_the_identities() {
    let timelines = timelines(grid(10, 10, 0), Algebra::Exact, None);
    let values = timelines.absent().finish().unwrap();
    let cells: Vec<Cell> = values.values.iter().map(|value| Cell::of(value, 0)).collect();
    assert_eq!(cells, vec![Cell::Whole(0), Cell::Whole(0), Cell::List(vec![])]);
    assert_eq!((values.rows, values.newest), (vec![0], vec![None]));
    let over = Question::Over { as_of: EventTime::from_millis(5) };
    assert_eq!(timelines.snapshot(Slot(7), &over).finish().unwrap().rows, vec![0]);
}
