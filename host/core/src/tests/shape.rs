//! Since when columns of an edited query have all rows.

use super::plan;
use crate::{EditTime, StoredShape};
use weir_event::EventTime;
use weir_plan::JobPlan;

fn time(seconds: i64) -> EventTime {
    EventTime::from_millis(seconds * 1000)
}

/// Read up to 1000 s, with a watermark at 990 s and a history of 90 s.
fn moment() -> EditTime {
    EditTime { newest: Some(time(1000)), watermark: Some(time(990)), oldest: Some(time(900)) }
}

/// By result column, since when it has all rows, in seconds; of the last query, behind edits one after the other.
fn since(queries: &[&str], job: &str) -> Vec<Option<i64>> {
    let plans: Vec<JobPlan> = queries.iter().map(|query| plan(query, "", job)).collect();
    let mut shape = StoredShape::of(&plans[0]);
    for plan in &plans {
        // As it is stored.
        let stored = serde_json::to_string(&shape).unwrap();
        shape = serde_json::from_str(&stored).unwrap();
        if let Some(edited) = shape.edited(plan, moment()).unwrap() {
            shape = edited.shape;
        }
    }
    let last = &plans[plans.len() - 1];
    let seconds = |time: EventTime| time.millis() / 1000;
    (0..last.output.columns.len()).map(|column| shape.since(last, column).map(seconds)).collect()
}

fn over(calls: &[&str]) -> String {
    let calls = calls.iter().enumerate().map(|(at, call)| {
        let (call, frame) = call.split_once(' ').unwrap();
        format!("{call} OVER (PARTITION BY user ORDER BY t {frame}) AS c{at}")
    });
    format!("SELECT {} FROM events", calls.collect::<Vec<_>>().join(", "))
}

fn since_over(before: &[&str], after: &[&str], job: &str) -> Vec<Option<i64>> {
    since(&[&over(before), &over(after)], job)
}

#[test]
fn what_is_added_to_windows_has_what_is_read_from_then_on() {
    let of = |what: &str| {
        format!("SELECT user, {what} FROM events GROUP BY user, TUMBLE(t, INTERVAL '10' SECOND)")
    };
    let (one, two) = (of("SUM(n) AS a"), of("MAX(n) AS b, SUM(n) AS a, SUM(n) + MAX(n) AS c"));
    assert_eq!(since(&[&one, &two], ""), [None, Some(1000), None, Some(1000)]);
    assert_eq!(since(&[&two, &one, &two], ""), [None, Some(1000), None, Some(1000)], "it was gone meanwhile");
    let other = one.replace("FROM events", "FROM events WHERE n > 1");
    assert_eq!(since(&[&one, &other], ""), [None, Some(1000)]);
    assert_eq!(
        since(&[&one, &other, &two.replace("FROM events", "FROM events WHERE n > 1")], "")[2],
        Some(1000)
    );
}

#[test]
fn results_that_were_made_of_what_is_gone_are_out_of_reach() {
    let begins_anew = |before: &str, after: &str| {
        let [before, after] = [before, after].map(|query| plan(query, "", ""));
        StoredShape::of(&before).edited(&after, moment()).unwrap().unwrap().begins_anew
    };
    let of = |what: &str, filter: &str| {
        format!("SELECT user, {what} FROM events {filter} GROUP BY user, TUMBLE(t, INTERVAL '10' SECOND)")
    };
    let sum = of("SUM(n) AS a", "");
    assert!(begins_anew(&sum, &of("SUM(n) AS a", "WHERE n > 0")));
    assert!(begins_anew(&sum, &of("MAX(n) AS a", "")));
    assert!(!begins_anew(&sum, &of("MAX(n) AS b, SUM(n) AS a", "")));
    let [sum, most] = ["SUM(n)", "MAX(id)"].map(|call| format!("{call} {MINUTE}"));
    let with_id = |call: &str| over(&[call]).replace(" FROM", ", n FROM");
    assert!(begins_anew(&over(&[&sum]), &over(&[&most])));
    assert!(begins_anew(&with_id(&sum), &with_id(&most)), "a column of rows goes on, and no aggregate");
    assert!(!begins_anew(&over(&[&sum]), &over(&[&most, &sum])));
}

const MINUTE: &str = "RANGE INTERVAL '1' MINUTE PRECEDING";
const TWO: &str = "RANGE INTERVAL '2' MINUTE PRECEDING";

#[test]
fn over_has_the_rows_that_were_kept_of_the_columns_that_it_reads() {
    let [sum, longer_sum] = [MINUTE, TWO].map(|frame| format!("SUM(n) {frame}"));
    let of = |before: &[&str], after: &[&str]| since_over(before, after, "");
    assert_eq!(of(&[&sum], &["COUNT(*) ROWS 0 PRECEDING", &format!("MAX(n) {MINUTE}"), &sum]), [None; 3]);
    assert_eq!(of(&[&sum], &[&longer_sum, &sum]), [Some(840), None], "a minute before the oldest lookup");
    assert_eq!(of(&[&longer_sum], &[&sum]), [None]);
    assert_eq!(
        of(&["SUM(n) RANGE UNBOUNDED PRECEDING"], &[&longer_sum, "SUM(n) ROWS 99 PRECEDING"]),
        [None; 2]
    );
    assert_eq!(of(&[&sum, "SUM(n) ROWS 9 PRECEDING"], &["SUM(n) ROWS 9 PRECEDING"]), [None]);
    let more =
        of(&["SUM(n) ROWS 9 PRECEDING"], &["SUM(n) ROWS 10 PRECEDING", "MAX(n) ROWS 8 PRECEDING", &sum]);
    assert_eq!(more, [Some(900), None, Some(900)]);
    let new = format!("MAX(id) {MINUTE}");
    assert_eq!(of(&[&sum], &[&new, &format!("COUNT(*) {MINUTE}")]), [Some(1000), None]);
    let count = format!("COUNT(*) {MINUTE}");
    let anew = [over(&[&sum]), over(&[&new]), over(&[&new, &count])];
    let behind_two = since(&[&anew[0], &anew[1], &anew[2]], "");
    assert_eq!(behind_two, [Some(1000); 2], "it reads no column, and has the rows that there are");
    let filtered = over(&[&sum]) + " WHERE n > 0";
    assert_eq!(since(&[&over(&[&sum]), &filtered], ""), [Some(1000)]);
}

#[test]
fn what_a_tail_holds_is_of_the_aggregates_that_were_there() {
    let of = |after: &[&str]| since_over(&[&format!("SUM(n) {MINUTE}")], after, "tail: 10s");
    assert_eq!(of(&[&format!("SUM(n) {MINUTE}"), &format!("MAX(n) {MINUTE}")]), [None, Some(900)]);
    assert_eq!(of(&[&format!("SUM(n) {TWO}")]), [Some(840)]);
}

#[test]
fn rows_that_lie_in_tiles_alone_are_gone_with_the_tail() {
    let [sum, most] = ["SUM(n)", "MAX(n)"].map(|call| format!("{call} {MINUTE}"));
    let of = |calls: &[&str], job: &str| plan(&over(calls), "", job);
    let with_tail = of(&[&sum], "tail: 10s");
    let edited = |from: &StoredShape, to: &JobPlan| from.edited(to, moment()).unwrap().unwrap();
    let stored = StoredShape::of(&with_tail);
    let as_stored: StoredShape = serde_json::from_str(&serde_json::to_string(&stored).unwrap()).unwrap();
    assert_eq!(as_stored, stored);

    let exact = of(&[&sum], "");
    let without = edited(&as_stored, &exact);
    assert!(without.begins_anew, "a late row would have results made anew of a part of their rows");
    assert_eq!(without.shape.since(&exact, 0), Some(time(900)), "what was in the log");
    let both = of(&[&sum, &most], "");
    let since = |shape: &StoredShape| [0, 1].map(|column| shape.since(&both, column));
    assert_eq!(
        since(&edited(&without.shape, &both).shape),
        [Some(time(900)); 2],
        "and no edit brings it back"
    );

    assert!(edited(&stored, &of(&[&sum], "tail: 20s")).begins_anew, "other tiles");
    assert!(!edited(&stored, &of(&[&sum, &most], "tail: 10s")).begins_anew, "the same");
    assert!(!edited(&StoredShape::of(&exact), &with_tail).begins_anew, "rows leave for tiles from now on");
    let without_rows = stored.edited(&exact, EditTime::default()).unwrap().unwrap();
    assert_eq!(without_rows.shape.since(&exact, 0), None, "nothing was read");
}

#[test]
fn nothing_is_missing_where_no_row_was_read() {
    let of = |what: &str| {
        plan(
            &format!("SELECT user, {what} FROM events GROUP BY user, TUMBLE(t, INTERVAL '10' SECOND)"),
            "",
            "",
        )
    };
    let (one, two) = (of("SUM(n) AS a"), of("MAX(n) AS b"));
    let edited = StoredShape::of(&one).edited(&two, EditTime::default()).unwrap().unwrap();
    assert_eq!((edited.shape.since(&two, 1), edited.begun(&two, 1)), (None, None));
}

#[test]
fn another_key_stream_or_event_time_is_told_in_words() {
    let of = |key: &str| {
        plan(
            &format!("SELECT {key}, COUNT(*) AS n FROM events GROUP BY {key}, TUMBLE(t, INTERVAL '1' HOUR)"),
            "",
            "",
        )
    };
    let (one, other) = (of("user"), of("user, id"));
    let lost = StoredShape::of(&one).lost_ground(&other);
    let words = |what: &str, before: &str, now: &str| (what.to_owned(), before.to_owned(), now.to_owned());
    assert_eq!(lost, [words("key", "user string", "user string, id string")]);
    let without = plan("SELECT user, n FROM events", "", "");
    let lost = StoredShape::of(&one).lost_ground(&without);
    assert_eq!(lost, [words("key", "user string", "nothing")]);
}
