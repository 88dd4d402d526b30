//! Sessions and lifetime values by example: what is deleted, what is kept, what is refused; and which definitions of
//! windows are.

use super::failures::{column, insert, settle, timelines, wholes};
use super::grid;
use super::oracle::Cell;
use super::testers::insert_batch;
use crate::aggregate::{AggregateError, Algebra};
use crate::answer::{Question, Results, Values};
use crate::spec::{Frames, SpecError, StageSpec};
use crate::timeline::Timelines;
use crate::windows::{Cumulate, Session, Table};
use arrow_array::{ArrayRef, Int64Array};
use std::sync::Arc;
use weir_event::{EventTime, Rank, Span, key_hash};

fn session(gap: i64) -> Frames {
    Frames::Session(Session { gap: Span::from_millis(gap) })
}

/// Start, end, whether it was returned before, whether it is deleted.
fn told(results: &Results) -> Vec<(i64, i64, bool, bool)> {
    let mut told: Vec<(i64, i64, bool, bool)> = (0..results.len())
        .map(|at| (results.windows[at].0, results.windows[at].1, results.revised[at], results.is_deleted(at)))
        .collect();
    told.sort_unstable();
    told
}

fn look(timelines: &Timelines, question: &Question) -> Values {
    let slot = timelines.slot(b"k", key_hash(b"k")).unwrap();
    timelines.snapshot(slot, question).finish().unwrap()
}

fn cells(values: &Values) -> Vec<Cell> {
    values.values.iter().map(|value| Cell::of(value, 0)).collect()
}

#[test]
fn a_late_row_joins_sessions_and_deletes_the_later_one() {
    let mut timelines = timelines(session(10), Algebra::Ordered, None);
    insert(&mut timelines, &[(0, 1), (10, 2), (25, 3)]).unwrap();
    // At its end, a row could still go on with it.
    assert!(settle(&mut timelines, 20).is_empty());
    assert_eq!(told(&settle(&mut timelines, 21)), vec![(0, 20, false, false)]);
    assert_eq!(told(&settle(&mut timelines, 36)), vec![(25, 35, false, false)]);
    insert(&mut timelines, &[(17, 4)]).unwrap();
    let results = settle(&mut timelines, 36);
    assert_eq!(told(&results), vec![(0, 35, true, false), (25, 35, true, true)]);
    let merged = results.windows.iter().position(|window| window.0 == 0).unwrap();
    assert_eq!(column(&results, 1)[merged], Cell::Whole(10));
    assert!(settle(&mut timelines, 36).is_empty() && timelines.flush().unwrap().is_empty());
}

#[test]
fn a_late_row_moves_the_start_and_deletes_the_old_one() {
    let mut timelines = timelines(session(10), Algebra::Exact, None);
    insert(&mut timelines, &[(20, 1)]).unwrap();
    assert_eq!(told(&timelines.flush().unwrap()), vec![(20, 30, false, false)]);
    insert(&mut timelines, &[(15, 2)]).unwrap();
    assert_eq!(timelines.next_result_time(), Some(EventTime::MIN));
    // What is gone is told at once, what took its place when it is over.
    assert_eq!(told(&settle(&mut timelines, 16)), vec![(20, 30, true, true)]);
    let results = settle(&mut timelines, 31);
    assert_eq!((told(&results), column(&results, 1)), (vec![(15, 30, false, false)], wholes(&[3])));
}

#[test]
fn an_endless_session_keeps_its_value_but_not_its_rows() {
    let mut timelines = timelines(session(10), Algebra::Exact, Some(Span::from_millis(100)));
    for time in 0..3000 {
        insert(&mut timelines, &[(time, 2)]).unwrap();
        settle(&mut timelines, time);
        timelines.expire();
    }
    // Rows go block by block. There are states that depend on order, so rows stay as long as late ones may come among
    // them: as long as the retention says.
    assert!(timelines.stats().rows < 600, "{:?}", timelines.stats());
    let values = look(&timelines, &Question::Session { as_of: EventTime::from_millis(2990) });
    assert_eq!((values.rows[0], &cells(&values)[1]), (2991, &Cell::Whole(5982)));
    let window = values.window.map(|(start, end)| (start.millis(), end.millis()));
    assert_eq!(window, Some((0, 3000)));
    settle(&mut timelines, 3100);
    timelines.expire();
    let stats = timelines.stats();
    assert_eq!((stats.keys, stats.tiles, stats.rows), (1, 1, 0), "a key's last session stays");
}

#[test]
fn an_old_row_of_an_open_session_counts_in_its_place() {
    for until in [0, 500, 900] {
        let mut timelines = timelines(session(10), Algebra::Exact, None);
        for time in 0..1000 {
            insert(&mut timelines, &[(time, 2)]).unwrap();
            settle(&mut timelines, time);
            timelines.expire();
        }
        assert_eq!(insert(&mut timelines, &[(until, 7)]), Ok(0));
        settle(&mut timelines, 1000);
        let values = look(&timelines, &Question::Session { as_of: EventTime::from_millis(999) });
        assert_eq!((values.rows[0], &cells(&values)[1]), (1001, &Cell::Whole(2007)));
        assert_eq!(values.newest[0].map(EventTime::millis), Some(999));
        // The newest nine are not among those that came before.
        assert_eq!(cells(&values)[2], Cell::List(wholes(&[2; 9])));
        let results = settle(&mut timelines, 1010);
        assert_eq!((told(&results), column(&results, 1)), (vec![(0, 1009, false, false)], wholes(&[2007])));
    }
}

#[test]
fn a_late_row_does_not_reach_into_a_session_that_is_out_of_reach() {
    // History and corrections reach 20 back.
    let mut timelines = timelines(session(10), Algebra::Exact, None);
    insert(&mut timelines, &[(0, 1), (30, 1), (40, 1), (50, 1), (60, 1)]).unwrap();
    settle(&mut timelines, 60);
    timelines.expire();
    // It would go on with the first as well as with the second.
    assert_eq!(insert(&mut timelines, &[(20, 1)]), Ok(0), "the start of the second moves");
    assert_eq!(insert(&mut timelines, &[(10, 1)]), Ok(1), "which touches the first");
    assert_eq!(insert(&mut timelines, &[(11, 1)]), Ok(0));
    let results = timelines.flush().unwrap();
    assert_eq!(told(&results), vec![(11, 70, false, false)]);
    settle(&mut timelines, 200);
    assert_eq!(insert(&mut timelines, &[(60, 1)]), Ok(1), "everything is over");
}

#[test]
fn a_row_that_does_not_count_leaves_no_key_behind() {
    let mut timelines = timelines(session(10), Algebra::Exact, None);
    settle(&mut timelines, 100);
    assert_eq!(insert(&mut timelines, &[(10, 1)]), Ok(1), "it is too late");
    assert_eq!(timelines.slot(b"k", key_hash(b"k")), None);
    assert_eq!(timelines.keys(0..timelines.slots()).count(), 0);
    assert_eq!(insert(&mut timelines, &[(10, 1), (99, 1)]), Ok(1));
    assert_eq!(timelines.keys(0..timelines.slots()).count(), 1, "of the other row");
    for number in 0..5_000_i64 {
        let key = number.to_be_bytes();
        let slot = timelines.slot_or_insert(&key, key_hash(&key));
        let column: ArrayRef = Arc::new(Int64Array::from(vec![1]));
        let inserted = insert_batch(&mut timelines, &[slot], &[10], &[Rank::default()], &[column]).unwrap();
        assert_eq!(inserted.too_late, [0]);
    }
    assert!(timelines.slots() < 2_000, "their slots are given again: {}", timelines.slots());
    assert_eq!(timelines.keys(0..timelines.slots()).count(), 1);
}

#[test]
fn a_row_that_an_ordered_state_cannot_take_is_refused_once_and_counts_elsewhere() {
    for frames in [session(10), Frames::Lifetime] {
        let mut timelines = timelines(frames.clone(), Algebra::Ordered, None);
        insert(&mut timelines, &[(3, 1), (1, 100), (4, 7)]).unwrap();
        let results = settle(&mut timelines, 5);
        let refused: Vec<i64> = results.refused.iter().map(|row| row.time).collect();
        assert_eq!(refused, vec![3]);
        insert(&mut timelines, &[(2, 4)]).unwrap();
        assert!(settle(&mut timelines, 5).refused.is_empty());
        let as_of = EventTime::from_millis(4);
        let question = match frames {
            Frames::Lifetime => Question::Lifetime { as_of },
            _ => Question::Session { as_of },
        };
        assert_eq!(cells(&look(&timelines, &question))[..2], wholes(&[4, 111]));
    }
}

#[test]
fn a_batch_that_fails_leaves_no_run_behind() {
    for algebra in [Algebra::Exact, Algebra::Ordered] {
        let mut timelines = timelines(session(10), algebra, None);
        let failed = insert(&mut timelines, &[(1, 2), (12, 13)]);
        assert!(matches!(failed, Err(AggregateError::Rows(_))), "{failed:?}");
        assert_eq!((timelines.stats().tiles, timelines.stats().rows), (0, 0));
    }
}

#[test]
fn a_lifetime_value_starts_anew_after_a_pause_longer_than_retention() {
    let mut timelines = timelines(Frames::Lifetime, Algebra::Exact, Some(Span::from_millis(50)));
    insert(&mut timelines, &[(0, 1), (50, 2), (101, 4)]).unwrap();
    assert!(settle(&mut timelines, 110).is_empty());
    let sum = |timelines: &Timelines, as_of: i64| {
        cells(&look(timelines, &Question::Lifetime { as_of: EventTime::from_millis(as_of) }))[1].clone()
    };
    let sums: Vec<Cell> = [100, 101, 151, 152].map(|as_of| sum(&timelines, as_of)).to_vec();
    assert_eq!(sums, wholes(&[3, 4, 4, 0]));
    timelines.expire();
    settle(&mut timelines, 1000);
    timelines.expire();
    assert_eq!(timelines.stats().keys, 0);
}

fn spec(frames: Frames) -> StageSpec {
    StageSpec {
        frames,
        aggregates: vec![],
        inputs: vec![],
        carried: vec![],
        history: Span::ZERO,
        corrects: Some(Span::ZERO),
        retention: None,
        tail: None,
        emit_changes: false,
        results_below: None,
        process: None,
    }
}

fn cumulate(size: i64, step: i64) -> Frames {
    let [size, step] = [size, step].map(Span::from_millis);
    Frames::Cumulate(Cumulate { size, step, offset: Span::ZERO })
}

#[test]
fn windows_that_cannot_be_are_refused() {
    let day = 86_400_000;
    let refused = |frames| spec(frames).check().unwrap_err().to_string();
    assert_eq!(
        refused(grid(30 * day, 7_001, 0)),
        "a window of 30d that moves by 7001ms is cut into 2592000000 panes, more than 100000; choose a slide that \
         divides the size, or a longer one"
    );
    assert!(
        refused(cumulate(day, 7)).contains("the longest window of 1d is not a multiple of the step of 7ms")
    );
    assert!(refused(cumulate(day, 10)).contains("8640000 panes"));
    assert_eq!(refused(session(0)), SpecError::EmptyGap.to_string());
    for bounds in [vec![], vec![1], vec![1, 1], vec![2, 1]] {
        let table = Frames::Table(Table { starts: Arc::from(bounds) });
        assert_eq!(spec(table).check(), Err(SpecError::UnorderedTable));
    }
    assert_eq!(spec(grid(3650 * day, 3650 * day / 64, 0)).check(), Ok(()));
}

#[test]
fn a_definition_says_how_many_rows_it_makes_of_one() {
    let of = |frames| spec(frames).rows_out_per_row();
    assert!((of(grid(30, 10, 0)) - 3.0).abs() < 1e-9 && (of(grid(10, 30, 0)) - 1.0).abs() < 1e-9);
    assert!((of(cumulate(60, 10)) - 6.0).abs() < 1e-9 && (of(session(5)) - 1.0).abs() < 1e-9);
}

#[test]
fn long_empty_stretches_are_skipped() {
    // One window a second, for 300 years: stepping through them would take for ever.
    let mut timelines = timelines(grid(2_000, 1_000, 0), Algebra::Exact, None);
    let (from_1900, to_2200) = (-2_208_988_800_000, 7_258_118_400_000);
    insert(&mut timelines, &[(from_1900, 1), (0, 2), (to_2200, 3)]).unwrap();
    let results = settle(&mut timelines, i64::MAX);
    assert_eq!(column(&results, 1), wholes(&[1, 1, 2, 2, 3, 3]));
}
