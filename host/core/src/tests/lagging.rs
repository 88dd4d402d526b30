//! Windows over two partitions, of which one lags or is idle: whether a row counts in a window is decided by its own
//! partition's log, whatever the other has made final or holds open, under every policy.

use super::two_logs::{Turn, TwoLogs, in_turns};
use crate::AsOf;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringViewArray, TimestampMillisecondArray};
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_event::{EventTime, PartitionId};
use weir_plan::JobPlan;

const DISORDER: i64 = 3;
const ALLOW: i64 = 15;
const HISTORY: i64 = 25;
/// Rows of one log at most: each has a bit of a sum, so that it says which rows it is of.
const ROWS: usize = 30;

/// Windows of these kinds, by seconds.
const TUMBLE: i64 = 10;
const STEP: i64 = 5;
const SIZE: i64 = 20;

/// What a job says: its windows, its policy, and whether it writes on change.
type Asked = (&'static str, &'static str, bool);

/// Start and end, seconds.
type Window = (i64, i64);

/// A row that its partition has judged: its bit, its time, and before when nothing is changed by it.
type Judged = (i64, i64, i64);

/// Planned once: planning takes longer than a case does.
fn plan(asked: Asked) -> Arc<JobPlan> {
    thread_local!(static PLANS: RefCell<BTreeMap<Asked, Arc<JobPlan>>> = RefCell::default());
    PLANS.with_borrow_mut(|plans| plans.entry(asked).or_insert_with(|| Arc::new(make_plan(asked))).clone())
}

fn make_plan((kind, policy, change): Asked) -> JobPlan {
    let window = match kind {
        "TUMBLE" => format!("TUMBLE(t, INTERVAL '{TUMBLE}' SECOND)"),
        kind => format!("{kind}(t, INTERVAL '{STEP}' SECOND, INTERVAL '{SIZE}' SECOND)"),
    };
    let query = format!("SELECT user, SUM(n) AS s, LAST_VALUE(n) AS l FROM events GROUP BY user, {window}");
    let emit = if change { "emit: {on: change}" } else { "" };
    let job = format!("late: {{policy: {policy}, allow: {ALLOW}s}}\nhistory: {HISTORY}s\n{emit}");
    super::plan(&query, &format!("disorder: {DISORDER}s"), &job)
}

/// All windows that hold a time.
fn windows(kind: &str, time: i64) -> Vec<Window> {
    let starts = |length: i64| (time / STEP * STEP - length + STEP..=time).step_by(STEP as usize);
    match kind {
        "TUMBLE" => vec![(time / TUMBLE * TUMBLE, time / TUMBLE * TUMBLE + TUMBLE)],
        "HOP" => starts(SIZE).map(|start| (start, start + SIZE)).collect(),
        _ => {
            let start = time / SIZE * SIZE;
            let ends = (start + STEP..=start + SIZE).step_by(STEP as usize);
            ends.filter(|end| *end > time).map(|end| (start, end)).collect()
        }
    }
}

fn batch(times: &[i64], first_bit: usize) -> RecordBatch {
    let users: ArrayRef = Arc::new(times.iter().map(|_| Some("a")).collect::<StringViewArray>());
    let bits: ArrayRef =
        Arc::new((first_bit..).take(times.len()).map(|bit| Some(1_i64 << bit)).collect::<Int64Array>());
    let times: ArrayRef =
        Arc::new(times.iter().map(|time| Some(time * 1000)).collect::<TimestampMillisecondArray>());
    let ids: ArrayRef = Arc::new(StringViewArray::new_null(times.len()));
    RecordBatch::try_from_iter([("user", users), ("t", times), ("n", bits), ("id", ids)]).unwrap()
}

/// Reads both logs; gives every row as its own partition judges it.
fn read(run: &mut TwoLogs, logs: [&[i64]; 2], turns: &[Turn], reach: i64) -> Vec<Judged> {
    let (mut judged, mut newest) = (Vec::new(), [None::<i64>; 2]);
    for (log, rows, is_idle) in in_turns(logs.map(<[i64]>::len), turns) {
        if is_idle {
            run.idle(1 - log);
        }
        // A window that is out of the job's reach is not written again, whoever's row it is.
        let gone = run.settled().millis().saturating_sub(HISTORY * 1000).div_euclid(1000);
        let (first, first_bit) = (rows.start, rows.start + log * ROWS);
        for (bit, time) in (first_bit..).zip(&logs[log][rows.clone()]) {
            let sealed = newest[log].map_or(i64::MIN, |newest: i64| newest - DISORDER - reach);
            judged.push((1 << bit, *time, sealed.max(gone)));
            newest[log] = newest[log].max(Some(*time));
        }
        run.read(log, first, &batch(&logs[log][rows], first_bit));
    }
    run.end();
    judged
}

/// The rows that count in each window, as bits; 0 where none does.
fn expected(kind: &str, judged: &[Judged]) -> BTreeMap<Window, i64> {
    let mut expected = BTreeMap::new();
    for (bit, time, sealed) in judged {
        for window in windows(kind, *time) {
            let bits: &mut i64 = expected.entry(window).or_default();
            *bits |= if window.1 > *sealed { *bit } else { 0 };
        }
    }
    expected
}

fn check(logs: [&[i64]; 2], asked: Asked, turns: &[Turn]) -> Result<(), TestCaseError> {
    let mut run = TwoLogs::new(&plan(asked), [0, 1].map(|partition| PartitionId { source: 0, partition }));
    let reach = if asked.1 == "correct" { ALLOW } else { 0 };
    let judged = read(&mut run, logs, turns, reach);
    let expected = expected(asked.0, &judged);
    let mut written: BTreeMap<Window, Option<i64>> = BTreeMap::new();
    for rows in &run.written {
        let sums = rows.columns.column(1).as_primitive::<Int64Type>();
        for (at, (start, end)) in rows.windows.iter().enumerate() {
            written.insert((start / 1000, end / 1000), sums.is_valid(at).then(|| sums.value(at)));
        }
    }
    let with_rows = expected.iter().filter(|(_, bits)| **bits != 0);
    let with_rows: BTreeMap<Window, Option<i64>> =
        with_rows.map(|(window, bits)| (*window, Some(*bits))).collect();
    prop_assert_eq!(&written, &with_rows);
    let (oldest, settled) = (run.oldest(), run.settled());
    for ((start, end), bits) in expected {
        let [start, end] = [start, end].map(|time| EventTime::from_millis(time * 1000));
        let as_of = EventTime::from_millis(end.millis() - 1);
        if end > settled || as_of < oldest {
            continue;
        }
        let key: ArrayRef = Arc::new(StringViewArray::from(vec!["a"]));
        let looked = run.keyed.lookup(&[key], AsOf::Asked(as_of)).unwrap().settled;
        prop_assert_eq!(looked.window, Some((start, end)));
        let column = |at: usize| {
            let values = looked.columns.column(at).as_primitive::<Int64Type>();
            values.is_valid(0).then(|| values.value(0))
        };
        prop_assert_eq!(column(1), (bits != 0).then_some(bits), "of {:?}", (start, end));
        let in_it = judged.iter().enumerate().filter(|(_, row)| bits & row.0 != 0);
        let last = in_it.max_by_key(|(_, row)| (row.1, row.0)).map(|(_, row)| row.0);
        prop_assert_eq!(column(2), last, "the last of {:?}", (start, end));
    }
    Ok(())
}

/// Times of a log, some of them late.
fn log() -> impl Strategy<Value = Vec<i64>> {
    let step = prop_oneof![6 => 0..4_i64, 2 => -12..0_i64, 1 => -40..0_i64, 1 => 4..30_i64];
    (0..60_i64, prop::collection::vec(step, 0..ROWS)).prop_map(|(start, steps)| {
        let mut newest = 100 + start;
        let at = |step: i64| {
            let time = newest + step;
            newest = newest.max(time);
            time
        };
        steps.into_iter().map(at).collect()
    })
}

#[test]
fn windows_hold_the_times_within_them() {
    assert_eq!(windows("TUMBLE", 19), [(10, 20)]);
    assert_eq!(windows("HOP", 19), [(0, 20), (5, 25), (10, 30), (15, 35)]);
    assert_eq!(windows("CUMULATE", 19), [(0, 20)]);
    assert_eq!(windows("CUMULATE", 20), [(20, 25), (20, 30), (20, 35), (20, 40)]);
}

#[test]
fn a_row_that_is_late_for_its_partition_counts_only_in_windows_that_are_open_for_it() {
    // The second log holds the job at 97; the row at 104 is late for the first one, whose watermark is at 117.
    let logs: [&[i64]; 2] = [&[101, 120, 104], &[100]];
    for (kind, without) in
        [("HOP", vec![(90, 110), (95, 115)]), ("CUMULATE", vec![(100, 105), (100, 110), (100, 115)])]
    {
        let mut run = TwoLogs::new(
            &plan((kind, "drop", false)),
            [0, 1].map(|partition| PartitionId { source: 0, partition }),
        );
        let judged = read(&mut run, logs, &[(true, 1, false)], 0);
        let expected = expected(kind, &judged);
        assert!(without.iter().all(|window| expected[window] & (1 << 2) == 0), "{kind}: {expected:?}");
        assert!(expected.values().any(|bits| bits & (1 << 2) != 0), "{kind}: {expected:?}");
        check(logs, (kind, "drop", false), &[(true, 1, false)]).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn a_row_counts_where_its_own_partition_says(
        one in log(),
        other in log(),
        kind in prop::sample::select(vec!["TUMBLE", "HOP", "CUMULATE"]),
        policy in prop::sample::select(vec!["correct", "drop", "divert"]),
        change in prop::bool::weighted(0.3),
        turns in prop::collection::vec((any::<bool>(), 1..8_usize, prop::bool::weighted(0.1)), 0..16),
    ) {
        check([&one, &other], (kind, policy, change), &turns)?;
    }
}
