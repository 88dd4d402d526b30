//! Columns handed in, and a partition that moves from one intake to another.

use super::{cases, plan};
use crate::groups::ALL_GROUPS;
use crate::{AsOf, Intake, Keyed, Looked, Step, Steps, Subject};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{
    ArrayRef, Int64Array, LargeStringArray, RecordBatch, StringArray, StringViewArray,
    TimestampMillisecondArray,
};
use proptest::prelude::*;
use std::sync::Arc;
use weir_connect::KnownTimes;
use weir_event::{EventTime, PartitionId};
use weir_plan::JobPlan;

const P: PartitionId = PartitionId { source: 0, partition: 3 };
const Q: PartitionId = PartitionId { source: 0, partition: 4 };

fn hourly(stream: &str) -> Arc<JobPlan> {
    let query =
        "SELECT user, SUM(n) AS s FROM events WHERE n > 0 GROUP BY user, TUMBLE(t, INTERVAL '1' HOUR)";
    Arc::new(plan(query, stream, "late: {policy: divert}"))
}

fn batch(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)))
        .unwrap()
}

/// Rows of user, minute, n and id.
fn rows(rows: &[(&str, Option<i64>, i64, &str)]) -> RecordBatch {
    let minutes = rows.iter().map(|row| row.1.map(|minute| minute * 60_000));
    batch(vec![
        ("id", Arc::new(rows.iter().map(|row| Some(row.3)).collect::<LargeStringArray>())),
        ("t", Arc::new(minutes.collect::<TimestampMillisecondArray>())),
        ("what nobody reads", Arc::new(rows.iter().map(|_| Some(1)).collect::<Int64Array>())),
        ("user", Arc::new(rows.iter().map(|row| Some(row.0)).collect::<StringArray>())),
        ("n", Arc::new(rows.iter().map(|row| Some(row.2)).collect::<Int64Array>())),
    ])
}

/// Each step as a text: offsets of rows, or a watermark in minutes.
fn shown(steps: &Steps) -> Vec<String> {
    let show = |step: &Step| match step {
        Step::Rows(rows) => format!("{:?}", rows.rows.offsets),
        Step::Watermark(watermark) => format!("W {}", watermark.millis() / 60_000),
        Step::Results(_) => panic!("the job has keys"),
    };
    steps.steps.iter().map(show).collect()
}

#[test]
fn columns_are_found_by_name_and_each_row_is_judged() {
    let mut intake = Intake::open(hourly("event_id: id\ndedup_for: 1h"));
    let first =
        rows(&[("a", Some(1), 1, "x"), ("a", None, 1, "y"), ("b", Some(59), 1, "z"), ("b", Some(3), 0, "w")]);
    let steps = intake.columns(P, &[10, 12, 13, 20], KnownTimes::Unknown, &first).unwrap();
    assert_eq!(shown(&steps), ["[10, 13]", "W 59"]);
    let reasons: Vec<_> =
        steps.letters.iter().map(|letter| (letter.offset(), letter.reason.as_str())).collect();
    assert_eq!(reasons, [(Some(12), "the event time `t` is missing")]);
    let counts = steps.counts;
    assert_eq!((counts.events, counts.refused, counts.dead_letters, counts.duplicates), (4, 1, 1, 0));

    let second = rows(&[("a", Some(130), 1, "v"), ("a", Some(2), 5, "u"), ("a", Some(125), 1, "z")]);
    let steps = intake.columns(P, &[21, 22, 23], KnownTimes::Unknown, &second).unwrap();
    assert_eq!(
        shown(&steps),
        ["[21, 23]", "W 130"],
        "the second is too late, and the third so far from its id's"
    );
    let Subject::Event { partition, offset, .. } = &steps.letters[0].subject else {
        panic!("{:?}", steps.letters)
    };
    assert_eq!((*partition, *offset, steps.counts.dropped), (P, 22, 1));
}

#[test]
fn columns_that_do_not_fit_are_refused_with_what_to_do() {
    let mut intake = Intake::open(hourly(""));
    let mut refusal = |offsets: &[u64], batch: &RecordBatch| {
        intake.columns(P, offsets, KnownTimes::Unknown, batch).unwrap_err().to_string()
    };
    let good = rows(&[("a", Some(1), 1, "x"), ("a", Some(2), 1, "y")]);
    let offsets =
        "partition 0/3: 2 rows need as many offsets, rising strictly, and as many known times or none";
    assert_eq!(refusal(&[0], &good), offsets);
    assert_eq!(refusal(&[5, 5], &good), offsets);
    let lacking = good.project(&[0, 1, 3]).unwrap();
    assert_eq!(refusal(&[0, 1], &lacking), "column `n` is not in the batch; add it");
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["1", "2"]));
    let (times, users) = (good.column(1).clone(), good.column(3).clone());
    let wrong = batch(vec![("t", times), ("user", users), ("n", texts)]);
    assert_eq!(refusal(&[0, 1], &wrong), "column `n` has type Utf8; cast it to Int64");
}

#[test]
fn a_partition_holds_the_watermark_back_until_it_is_idle_or_at_the_end_of_all() {
    let first = rows(&[("a", Some(10), 1, "x")]);
    let started = || {
        let mut intake = Intake::open(hourly(""));
        [P, Q].into_iter().for_each(|partition| intake.expect(partition));
        let steps = intake.columns(P, &[0], KnownTimes::Unknown, &first).unwrap();
        assert_eq!(shown(&steps), ["[0]"], "the other one has no row");
        intake
    };
    let ten = Some(EventTime::from_millis(600_000));
    assert_eq!(started().idle(Q, true), ten);
    assert_eq!((started().caught_up(Q, false), started().caught_up(Q, true)), (None, ten));
    let mut intake = started();
    intake.idle(Q, true);
    let steps = intake.columns(Q, &[0], KnownTimes::Unknown, &rows(&[("a", Some(3), 1, "x")])).unwrap();
    assert_eq!(shown(&steps), ["[0]", "W 10"], "it does not go back");
}

#[test]
fn the_window_of_the_job_s_time_is_open_while_a_partition_without_a_row_holds_the_watermark_back() {
    let plan = hourly("");
    let mut intake = Intake::open(plan.clone());
    [P, Q].into_iter().for_each(|partition| intake.expect(partition));
    let mut keyed = Keyed::open(plan, ALL_GROUPS).unwrap();
    let log = rows(&[("a", Some(50), 7, "x"), ("a", Some(70), 1, "y"), ("a", Some(80), 2, "z")]);
    for step in intake.columns(P, &[0, 1, 2], KnownTimes::Unknown, &log).unwrap().steps {
        let Step::Rows(rows) = step else { panic!("there is no watermark") };
        keyed.rows(&rows).unwrap().for_each(|effects| assert!(effects.unwrap().results.is_empty()));
    }
    let minutes = |minutes: i64| EventTime::from_millis(minutes * 60_000);
    let look = |keyed: &Keyed, user: &str| {
        let key: ArrayRef = Arc::new(StringViewArray::from(vec![user]));
        keyed.lookup(&[key], AsOf::JobTime(minutes(80))).unwrap()
    };
    let sum = |looked: &Looked| looked.columns.column(1).as_primitive::<Int64Type>().value(0);
    let answer = look(&keyed, "a");
    let current = answer.current.unwrap();
    assert_eq!((answer.settled.window, answer.settled.has_rows(&[0])), (None, false));
    assert_eq!((current.window, current.complete), (Some((minutes(60), minutes(120))), false));
    assert_eq!(sum(&current), 3);
    assert!(look(&keyed, "b").current.is_none(), "of whom nothing is known");
    let watermark = intake.idle(Q, true).unwrap();
    keyed.settle(watermark).for_each(|effects| drop(effects.unwrap()));
    let answer = look(&keyed, "a");
    assert_eq!((sum(&answer.settled), sum(&answer.current.unwrap())), (7, 3));
}

#[test]
fn a_snapshot_that_does_not_read_is_refused() {
    let plan = hourly("event_id: id\ndedup_for: 1h");
    let mut intake = Intake::open(plan.clone());
    intake.columns(P, &[4], KnownTimes::Unknown, &rows(&[("a", Some(1), 1, "x")])).unwrap();
    let snapshot = intake.snapshot(P);
    for length in 0..snapshot.len() {
        // Without its id it is another one's.
        let is_whole = length == snapshot.len() - 24;
        assert_eq!(Intake::open(plan.clone()).restore(P, &snapshot[..length]).is_ok(), is_whole, "{length}");
    }
    let query = "SELECT user, COUNT(*) AS s FROM events GROUP BY user, TUMBLE(t, INTERVAL '1' DAY)";
    let mut other = Intake::open(Arc::new(super::plan(query, "event_id: id\ndedup_for: 1h", "")));
    let error = other.restore(P, &snapshot).unwrap_err().to_string();
    assert!(error.contains("was made by another query"), "{error}");
    let newer = [&[3], &snapshot[1..]].concat();
    let error = Intake::open(plan.clone()).restore(P, &newer).unwrap_err().to_string();
    assert!(error.ends_with("has format 3, this weir reads 2"), "{error}");
    // The first format had no revision, no counts and no promise before the ids.
    let (head, id) = snapshot.split_at(snapshot.len() - 24);
    let (rest, numbers) = head.split_at(head.len() - 89);
    let older = [&[1], &rest[1..], id].concat();
    let mut from_older = Intake::open(plan.clone());
    from_older.restore(P, &older).unwrap();
    assert_eq!(from_older.snapshot(P), [rest, &[0; 89], id].concat());
    let mut moved = Intake::open(plan);
    moved.restore(P, &snapshot).unwrap();
    assert_eq!((moved.counts(), numbers.len()), (intake.counts(), 89));
    assert_eq!(moved.counts().events, 1);
}

proptest! {
    #![proptest_config(cases(100, 4000))]

    /// Wherever the log is cut, and the partition moves, the same rows count.
    #[test]
    fn a_partition_that_moves_goes_on_as_it_would_have(
        log in prop::collection::vec((0..300_i64, -1..3_i64, 0..12_u8), 1..60),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let plan = hourly("disorder: 10m\nevent_id: id\ndedup_for: 1h");
        let offsets: Vec<u64> = (0..log.len() as u64).map(|row| 7 + 2 * row).collect();
        let ids: Vec<String> = log.iter().map(|row| row.2.to_string()).collect();
        let whole: Vec<_> =
            log.iter().zip(&ids).map(|(row, id)| ("a", Some(row.0), row.1, id.as_str())).collect();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(log.len() + 1)).collect();
        cuts.sort_unstable();
        cuts.push(log.len());
        let run = |cuts: &[usize], moves: bool| {
            let (mut intake, mut from) = (Intake::open(plan.clone()), 0);
            let (mut admitted, mut totals) = (Vec::new(), [0; 4]);
            for to in cuts {
                let steps = intake
                    .columns(P, &offsets[from..*to], KnownTimes::Unknown, &rows(&whole[from..*to]))
                    .unwrap();
                for step in &steps.steps {
                    if let Step::Rows(rows) = step {
                        admitted.extend(rows.rows.offsets.iter().copied());
                    }
                }
                let counts = steps.counts;
                let of_block = [counts.late, counts.dropped, counts.duplicates, counts.dead_letters];
                totals.iter_mut().zip(of_block).for_each(|(total, count)| *total += count);
                from = *to;
                if moves {
                    let snapshot = intake.snapshot(P);
                    intake = Intake::open(plan.clone());
                    intake.restore(P, &snapshot).unwrap();
                }
            }
            (admitted, totals, intake.snapshot(P))
        };
        prop_assert_eq!(run(&cuts, true), run(&[log.len()], false));
    }
}

#[test]
fn what_a_source_promises_makes_later_rows_late_wherever_the_partition_moves() {
    let plan = hourly("disorder: 3h");
    let mut intake = Intake::open(plan.clone());
    intake.columns(P, &[1], KnownTimes::Unknown, &rows(&[("a", Some(1), 1, "x")])).unwrap();
    let promised = EventTime::from_millis(120 * 60_000);
    assert_eq!(intake.watermark_at_least(P, promised).unwrap(), Some(promised));
    let mut moved = Intake::open(plan);
    moved.restore(P, &intake.snapshot(P)).unwrap();
    for mut intake in [intake, moved] {
        let steps = intake.columns(P, &[2], KnownTimes::Unknown, &rows(&[("a", Some(30), 1, "y")])).unwrap();
        assert_eq!((steps.counts.late, intake.promised()), (1, Some(promised)));
    }
}
