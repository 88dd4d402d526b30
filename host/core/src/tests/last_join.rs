//! LAST JOIN against an obvious oracle: random logs of both sides with late rows and ties, in random blocks, under every
//! policy, and with a side that is idle meanwhile; and what is looked up, also of sides that are long over, against the
//! oracle and what was written.

use super::two_logs::{Turn, TwoLogs, in_turns};
use crate::{AsOf, ResultRows};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringViewArray, TimestampMillisecondArray};
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_event::{EventTime, PartitionId};
use weir_plan::JobPlan;

const DISORDER: i64 = 5;
const ALLOW: i64 = 30;
const HISTORY: i64 = 40;
const USERS: [Option<&str>; 4] = [Some("a"), Some("b"), Some("c"), None];

/// A row of either side: user, time in seconds, number.
type Row = (usize, i64, Option<i64>);
/// What a left row is joined to: the offset of the right row, and its number.
type Match = Option<(u64, Option<i64>)>;

/// Planned once: planning takes longer than a case does.
fn plan(asked: Asked) -> Arc<JobPlan> {
    thread_local!(static PLANS: RefCell<BTreeMap<Asked, Arc<JobPlan>>> = RefCell::default());
    PLANS.with_borrow_mut(|plans| plans.entry(asked).or_insert_with(|| Arc::new(make_plan(asked))).clone())
}

/// What a job says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    within: Option<i64>,
    change: bool,
    corrects: bool,
}

fn make_plan(Asked { within, change, corrects }: Asked) -> JobPlan {
    let within = within.map_or_else(String::new, |within| format!(" WITHIN INTERVAL '{within}' SECOND"));
    let query = format!(
        "SELECT a.user, a.id, b.id AS other, b.n FROM events AS a LAST JOIN events AS b ON a.user = b.user{within}"
    );
    let emit = if change { "emit: {on: change}" } else { "" };
    let policy = if corrects { "correct" } else { "drop" };
    let job = format!("late: {{policy: {policy}, allow: {ALLOW}s}}\nhistory: {HISTORY}s\n{emit}");
    super::plan(&query, &format!("disorder: {DISORDER}s"), &job)
}

/// The rows of a log that count so far, with their offsets.
#[derive(Default)]
struct Counted {
    rows: Vec<(u64, Row)>,
    newest: Option<i64>,
}

impl Counted {
    /// Judges rows one by one against the newest time before them in their own log, and how far the job reaches back
    /// from where it was settled.
    fn judge(&mut self, first: usize, rows: &[Row], settled: EventTime, corrects: bool) {
        let reach = if corrects { ALLOW } else { 0 };
        for (offset, row) in (first as u64..).zip(rows) {
            // Final a millisecond after its time, and out of reach so long after that.
            let is_late = self.newest.is_some_and(|newest| row.1 < newest - DISORDER - reach);
            let is_gone = row.1 * 1000 < settled.millis().saturating_sub(HISTORY * 1000);
            if !is_late && !is_gone {
                self.rows.push((offset, *row));
            }
            self.newest = self.newest.max(Some(row.1));
        }
    }

    /// The newest row as of a time.
    fn newest(&self, user: usize, time: i64, within: Option<i64>) -> Option<(u64, Row)> {
        USERS[user]?;
        let fits = self.rows.iter().filter(|(_, row)| {
            row.0 == user && row.1 <= time && within.is_none_or(|within| row.1 >= time - within)
        });
        fits.max_by_key(|(offset, row)| (row.1, *offset)).copied()
    }

    fn matching(&self, user: usize, time: i64, within: Option<i64>) -> Match {
        self.newest(user, time, within).map(|(offset, row)| (offset, row.2))
    }
}

fn batch(rows: &[Row], first: usize) -> RecordBatch {
    let users: ArrayRef = Arc::new(rows.iter().map(|row| USERS[row.0]).collect::<StringViewArray>());
    let times: ArrayRef =
        Arc::new(rows.iter().map(|row| Some(row.1 * 1000)).collect::<TimestampMillisecondArray>());
    let numbers: ArrayRef = Arc::new(rows.iter().map(|row| row.2).collect::<Int64Array>());
    let ids = (first..).zip(rows).map(|(offset, _)| Some(offset.to_string()));
    let ids: ArrayRef = Arc::new(ids.collect::<StringViewArray>());
    RecordBatch::try_from_iter([("user", users), ("t", times), ("n", numbers), ("id", ids)]).unwrap()
}

/// A job over both logs, and what counts of them.
struct Run {
    logs: TwoLogs,
    counted: [Counted; 2],
}

impl Run {
    /// Reads both logs in turns.
    fn of(asked: Asked, logs: [&[Row]; 2], turns: &[Turn]) -> Run {
        let ids = [0, 1].map(|source| PartitionId { source, partition: 0 });
        let mut run = Run { logs: TwoLogs::new(&plan(asked), ids), counted: Default::default() };
        for (side, rows, is_idle) in in_turns(logs.map(<[Row]>::len), turns) {
            if is_idle {
                run.logs.idle(1 - side);
            }
            let (first, rows) = (rows.start, &logs[side][rows]);
            run.counted[side].judge(first, rows, run.logs.settled(), asked.corrects);
            run.logs.read(side, first, &batch(rows, first));
        }
        run.logs.end();
        run
    }

    /// By position of the left row, what was written last.
    fn written(&self) -> BTreeMap<String, Match> {
        let of_rows = |rows: &ResultRows| {
            let numbered = rows.identities.iter().enumerate();
            numbered.map(|(at, it)| (it.clone(), joined(&rows.columns, at))).collect::<Vec<_>>()
        };
        self.logs.written.iter().flat_map(of_rows).collect()
    }
}

fn joined(columns: &RecordBatch, row: usize) -> Match {
    let (other, n) = (columns.column(2).as_string_view(), columns.column(3).as_primitive::<Int64Type>());
    other.is_valid(row).then(|| (other.value(row).parse().unwrap(), n.is_valid(row).then(|| n.value(row))))
}

fn log() -> impl Strategy<Value = Vec<Row>> {
    let step = prop_oneof![6 => 0..4_i64, 2 => -12..0_i64, 1 => -60..0_i64, 1 => 4..40_i64];
    let row = (0..USERS.len(), step, prop::option::weighted(0.8, 0..9_i64));
    prop::collection::vec(row, 0..24).prop_map(|rows| {
        let mut time = 100;
        let at = |(user, step, n): (usize, i64, Option<i64>)| {
            let own = time + step;
            time = time.max(own);
            (user, own, n)
        };
        rows.into_iter().map(at).collect()
    })
}

fn check(left: &[Row], right: &[Row], asked: Asked, turns: &[Turn]) -> Result<(), TestCaseError> {
    let run = Run::of(asked, [left, right], turns);
    let [of_left, of_right] = &run.counted;
    let expected = of_left
        .rows
        .iter()
        .map(|(offset, row)| (format!("0/0:{offset}"), of_right.matching(row.0, row.1, asked.within)));
    prop_assert_eq!(run.written(), expected.collect::<BTreeMap<_, _>>());
    let oldest = run.logs.oldest();
    let reach = asked.within.unwrap_or(0);
    for (_, (user, time, _)) in of_left.rows.iter().chain(&of_right.rows) {
        for time in [0, reach, reach + 1, HISTORY, HISTORY + 1].map(|after| time + after) {
            if USERS[*user].is_some() && EventTime::from_millis(time * 1000) >= oldest {
                look(&run, *user, time, asked.within)?;
            }
        }
    }
    Ok(())
}

/// The right side is bound by WITHIN; the left row is found as long as lookups reach, or WITHIN does.
fn look(run: &Run, user: usize, time: i64, within: Option<i64>) -> Result<(), TestCaseError> {
    let [of_left, of_right] = &run.counted;
    let key: ArrayRef = Arc::new(StringViewArray::from_iter([USERS[user]]));
    let looked =
        run.logs.keyed.lookup(&[key], AsOf::Asked(EventTime::from_millis(time * 1000))).unwrap().settled;
    let right = of_right.newest(user, time, within);
    let left = of_left.newest(user, time, within.map(|within| within.max(HISTORY)));
    prop_assert_eq!(joined(&looked.columns, 0), right.map(|(offset, row)| (offset, row.2)), "at {}", time);
    let ids = looked.columns.column(1).as_string_view();
    let id = ids.is_valid(0).then(|| ids.value(0).to_owned());
    prop_assert_eq!(id, left.map(|(offset, _)| offset.to_string()), "at {}", time);
    let newest: Vec<_> =
        looked.frames.iter().map(|frame| frame.newest.map(|it| it.millis() / 1000)).collect();
    prop_assert_eq!(newest, [right, left].map(|row| row.map(|(_, row)| row.1)), "at {}", time);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn each_row_has_the_newest_of_the_other_side_as_of_its_time(
        left in log(),
        right in log(),
        within in prop::sample::select(vec![None, Some(1), Some(6), Some(25), Some(60)]),
        turns in prop::collection::vec((any::<bool>(), 1..6_usize, prop::bool::weighted(0.1)), 0..16),
        change in prop::bool::weighted(0.3),
        corrects in any::<bool>(),
    ) {
        check(&left, &right, Asked { within, change, corrects }, &turns)?;
    }
}
