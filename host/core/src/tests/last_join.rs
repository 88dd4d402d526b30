//! LAST JOIN against an obvious oracle: random logs of both sides with late rows and ties, in random blocks; and what is
//! looked up against what was written.

use crate::groups::ALL_GROUPS;
use crate::{AsOf, Effects, Intake, Keyed, Step};
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringViewArray, TimestampMillisecondArray};
use proptest::prelude::*;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use weir_connect::KnownTimes;
use weir_event::{EventTime, PartitionId, Span};
use weir_plan::JobPlan;

const DISORDER: i64 = 5;
const ALLOW: i64 = 30;
const USERS: [Option<&str>; 4] = [Some("a"), Some("b"), Some("c"), None];

/// A row of either side: user, time in seconds, number.
type Row = (usize, i64, Option<i64>);
/// What a left row is joined to: the offset of the right row, and its number.
type Match = Option<(u64, Option<i64>)>;

/// Planned once: planning takes longer than a case does.
fn plan(within: Option<i64>, change: bool) -> Arc<JobPlan> {
    type Plans = BTreeMap<(Option<i64>, bool), Arc<JobPlan>>;
    thread_local!(static PLANS: RefCell<Plans> = RefCell::default());
    PLANS.with_borrow_mut(|plans| {
        plans.entry((within, change)).or_insert_with(|| Arc::new(make_plan(within, change))).clone()
    })
}

fn make_plan(within: Option<i64>, change: bool) -> JobPlan {
    let within = within.map_or_else(String::new, |within| format!(" WITHIN INTERVAL '{within}' SECOND"));
    let query = format!(
        "SELECT a.user, a.id, b.id AS other, b.n FROM events AS a LAST JOIN events AS b ON a.user = b.user{within}"
    );
    let emit = if change { "emit: {on: change}" } else { "" };
    super::plan(&query, &format!("disorder: {DISORDER}s"), &format!("late: {{allow: {ALLOW}s}}\n{emit}"))
}

/// The rows of a log that count, with their offsets: judged one by one against the newest time before them.
fn admitted(log: &[Row]) -> Vec<(u64, Row)> {
    let (mut newest, mut counted) = (None::<i64>, Vec::new());
    for (offset, row) in (0..).zip(log) {
        // Final a millisecond after its time, and out of reach so long after that.
        let is_out_of_reach = newest.is_some_and(|newest| row.1 < newest - DISORDER - ALLOW);
        if !is_out_of_reach {
            counted.push((offset, *row));
        }
        newest = newest.max(Some(row.1));
    }
    counted
}

/// The newest row of the right side as of a time.
fn newest(right: &[(u64, Row)], user: usize, time: i64, within: Option<i64>) -> Match {
    USERS[user]?;
    let fits = right.iter().filter(|(_, row)| {
        row.0 == user && row.1 <= time && within.is_none_or(|within| row.1 >= time - within)
    });
    fits.max_by_key(|(offset, row)| (row.1, *offset)).map(|(offset, row)| (*offset, row.2))
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

/// A job over both logs.
struct Run {
    intake: Intake,
    keyed: Keyed,
    /// By position of the left row, what was written last.
    written: BTreeMap<String, Match>,
}

impl Run {
    fn new(plan: &Arc<JobPlan>) -> Run {
        let mut intake = Intake::open(plan.clone());
        (0..2).for_each(|source| intake.expect(PartitionId { source, partition: 0 }));
        let keyed = Keyed::open(plan.clone(), ALL_GROUPS).unwrap().with_identity(true);
        Run { intake, keyed, written: BTreeMap::new() }
    }

    fn read(&mut self, source: u16, first: usize, rows: &[Row]) {
        let offsets: Vec<u64> = (first as u64..).take(rows.len()).collect();
        let id = PartitionId { source, partition: 0 };
        let steps = self.intake.columns(id, &offsets, KnownTimes::Unknown, &batch(rows, first)).unwrap();
        for step in steps.steps {
            let effects: Vec<_> = match step {
                Step::Rows(rows) => self.keyed.rows(&rows).unwrap().collect(),
                Step::Watermark(watermark) => self.keyed.settle(watermark).collect(),
                Step::Results(_) => unreachable!("a join has keys"),
            };
            self.write(effects);
        }
    }

    fn end(&mut self) {
        for source in 0..2 {
            if let Some(watermark) = self.intake.caught_up(PartitionId { source, partition: 0 }, true) {
                let effects = self.keyed.settle(watermark).collect();
                self.write(effects);
            }
        }
        let effects = self.keyed.end().collect();
        self.write(effects);
    }

    fn write(&mut self, effects: Vec<Result<Effects, crate::CoreError>>) {
        for rows in effects.into_iter().flat_map(|effects| effects.unwrap().results) {
            for (row, identity) in rows.identities.iter().enumerate() {
                self.written.insert(identity.clone(), joined(&rows.columns, row));
            }
        }
    }
}

fn joined(columns: &RecordBatch, row: usize) -> Match {
    let (other, n) = (columns.column(2).as_string_view(), columns.column(3).as_primitive::<Int64Type>());
    other.is_valid(row).then(|| (other.value(row).parse().unwrap(), n.is_valid(row).then(|| n.value(row))))
}

/// Reads both logs in turns of these lengths.
fn read(run: &mut Run, logs: [&[Row]; 2], turns: &[(bool, usize)]) {
    let mut at = [0_usize, 0];
    for (is_right, length) in turns.iter().chain(&[(false, usize::MAX), (true, usize::MAX)]) {
        let side = usize::from(*is_right);
        let end = at[side].saturating_add(*length).min(logs[side].len());
        if at[side] < end {
            run.read(side as u16, at[side], &logs[side][at[side]..end]);
            at[side] = end;
        }
    }
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

fn check(
    left: &[Row],
    right: &[Row],
    within: Option<i64>,
    turns: &[(bool, usize)],
    change: bool,
) -> Result<(), TestCaseError> {
    let mut run = Run::new(&plan(within, change));
    read(&mut run, [left, right], turns);
    run.end();
    let (of_left, of_right) = (admitted(left), admitted(right));
    let expected = of_left
        .iter()
        .map(|(offset, row)| (format!("0/0:{offset}"), newest(&of_right, row.0, row.1, within)));
    prop_assert_eq!(&run.written, &expected.collect::<BTreeMap<_, _>>());
    let watermark = run.intake.promised();
    let oldest = watermark.map(|watermark| watermark - Span::from_millis(ALLOW * 1000));
    for (_, (user, time, _)) in &of_left {
        let as_of = EventTime::from_millis(time * 1000);
        if USERS[*user].is_none() || oldest.is_some_and(|oldest| as_of < oldest) {
            continue;
        }
        let key: ArrayRef = Arc::new(StringViewArray::from_iter([USERS[*user]]));
        let looked = run.keyed.lookup(&[key], AsOf::Asked(as_of)).unwrap().settled.columns;
        prop_assert_eq!(joined(&looked, 0), newest(&of_right, *user, *time, within), "at {}", time);
        let own = of_left.iter().filter(|(_, row)| row.0 == *user && row.1 <= *time);
        let own = own.max_by_key(|(offset, row)| (row.1, *offset)).map(|(offset, _)| offset.to_string());
        prop_assert_eq!(Some(looked.column(1).as_string_view().value(0)), own.as_deref());
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn each_row_has_the_newest_of_the_other_side_as_of_its_time(
        left in log(),
        right in log(),
        within in prop::sample::select(vec![None, Some(1), Some(6), Some(25)]),
        turns in prop::collection::vec((any::<bool>(), 1..6_usize), 0..16),
        change in prop::bool::weighted(0.3),
    ) {
        check(&left, &right, within, &turns, change)?;
    }
}
