//! Golden cases: folders of `golden/`, each a job, its input and its exact output.
//!
//! A case is `stream.yaml` and `job.yaml` (as a project has them, without source and sinks), the input of each
//! partition as `in.jsonl`, `in.1.jsonl`, .. (those of a second stream, `second.yaml`, as `second.jsonl`, ..), and `out.jsonl`, or `error.txt` for a definition that is refused. Every
//! case runs straight, in blocks of one row, at three shards, and killed and resumed at every barrier (also to another
//! number of shards), always against the same file: the last row of each identity counts, and if
//! that is a delete, none. What lookups find of it is for `golden_served.rs`. A case whose name begins with `exact_` is
//! also compared letter by letter: JSON's reader here takes 1.5 and 1.50 for the same.

use crate::harness::{last_rows, last_sessions, repository, result_lines, rows};
use crate::replay::{Logs, Replay, plan_of};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use weir_engine::Subject;
use weir_engine::dead_letters::Listed;
use weir_plan::{JobPlan, StreamInput};

pub(crate) fn cases() -> Vec<PathBuf> {
    let folder = repository().join("tests/golden");
    let entries = std::fs::read_dir(folder).expect("the golden cases are there");
    let mut cases: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    cases.retain(|case| case.is_dir());
    cases.sort();
    cases
}

fn read(case: &Path, name: &str) -> Option<String> {
    std::fs::read_to_string(case.join(name)).ok()
}

/// The lines of each partition of each input of its plan.
pub(crate) fn logs(case: &Path, plan: &JobPlan) -> Logs {
    let of_input = |input: &StreamInput| {
        let log = if input.stream.name == "second" { "second" } else { "in" };
        let name = |number: usize| match number {
            0 => format!("{log}.jsonl"),
            number => format!("{log}.{number}.jsonl"),
        };
        let texts = (0..).map(|number| read(case, &name(number))).take_while(Option::is_some).flatten();
        texts.map(|text| text.lines().map(str::to_owned).collect()).collect()
    };
    plan.inputs.iter().map(of_input).collect()
}

/// How many lines the longest partition has.
pub(crate) fn longest(logs: &Logs) -> usize {
    logs.iter().flatten().map(Vec::len).max().unwrap_or(0)
}

fn counted(rows: impl Iterator<Item = Value>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for row in rows {
        *counts.entry(row.to_string()).or_default() += 1;
    }
    counts
}

#[track_caller]
fn check(case: &Path, how: &str, replay: &Replay) {
    check_rows(case, how, replay.has_sessions(), rows(&replay.out()));
}

/// Checks rows, written with `meta`, against those that the case has.
#[track_caller]
pub(crate) fn check_rows(case: &Path, how: &str, has_sessions: bool, rows: Vec<Value>) {
    let expected = read(case, "out.jsonl").unwrap_or_default();
    let expected =
        counted(expected.lines().map(|line| serde_json::from_str(line).expect("out.jsonl is JSON")));
    let last = if has_sessions { last_sessions } else { last_rows };
    let found = counted(last(rows).into_iter());
    assert_eq!(found, expected, "{} {how}", case.display());
}

#[test]
fn straight_at_one_and_three_shards_and_row_by_row() {
    for case in cases() {
        let Some(plan) = planned(&case) else { continue };
        for (shards, block) in [(1, usize::MAX), (3, usize::MAX), (1, 1), (2, 3)] {
            let replay = Replay::new(plan.clone(), logs(&case, &plan));
            replay.to_the_end(shards, block);
            check(&case, &format!("at {shards} shards in blocks of {block}"), &replay);
        }
    }
}

#[test]
fn killed_and_resumed_at_every_barrier() {
    for case in cases() {
        let Some(plan) = planned(&case) else { continue };
        let longest = longest(&logs(&case, &plan));
        let block = longest.div_ceil(6).max(1);
        for barrier in 0..longest.div_ceil(block) {
            let replay = Replay::new(plan.clone(), logs(&case, &plan));
            replay.killed_after(1, block, barrier);
            replay.killed_after(3, block, barrier + 1);
            replay.to_the_end(2, block);
            check(&case, &format!("killed after block {barrier}"), &replay);
        }
    }
}

#[test]
fn exact_values_are_written_with_every_digit() {
    let exact =
        |case: &PathBuf| case.file_name().is_some_and(|name| name.to_string_lossy().starts_with("exact_"));
    let cases: Vec<PathBuf> = cases().into_iter().filter(exact).collect();
    assert!(!cases.is_empty(), "no case is exact");
    for case in cases {
        let plan = planned(&case).expect("an exact case has rows");
        let logs = logs(&case, &plan);
        let replay = Replay::new(plan, logs);
        replay.to_the_end(2, 3);
        let mut found: Vec<String> = result_lines(&replay.out())
            .iter()
            .map(|line| line.split_once(",\"_weir\":").map_or(line.clone(), |(row, _)| format!("{row}}}")))
            .collect();
        found.sort_unstable();
        let expected = read(&case, "out.jsonl").expect("a case has its rows");
        let mut expected: Vec<&str> = expected.lines().collect();
        expected.sort_unstable();
        assert_eq!(found, expected, "{}", case.display());
    }
}

#[test]
fn what_cannot_run_is_refused_with_its_place() {
    let mut refused = 0;
    let mut wrong = Vec::new();
    for case in cases() {
        let Some(expected) = read(&case, "error.txt") else { continue };
        refused += 1;
        let found = match plan_of(&case) {
            Ok(_) => "it was planned".to_owned(),
            Err(errors) => errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
        };
        if found != expected.trim_end() {
            wrong.push(format!("{}\nsays    {found}\nnot     {expected}", case.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(refused > 0, "no case is refused");
}

/// The plan of a case that runs; `None` for one that is refused.
pub(crate) fn planned(case: &Path) -> Option<JobPlan> {
    if case.join("error.txt").exists() {
        return None;
    }
    Some(plan_of(case).unwrap_or_else(|errors| panic!("{}: {errors:#?}", case.display())))
}

#[test]
fn what_divert_drops_is_a_dead_letter_with_its_position_and_payload() {
    for (case, dropped) in
        [("late_divert", &[2, 3, 5, 7][..]), ("session_late_row_of_open_session_divert", &[10, 12, 16])]
    {
        let case = repository().join("tests/golden").join(case);
        let plan = planned(&case).expect("it runs");
        let logs = logs(&case, &plan);
        for (shards, block) in [(1, 1), (2, 3), (3, usize::MAX)] {
            let replay = Replay::new(plan.clone(), logs.clone());
            replay.to_the_end(shards, block);
            let mut letters = replay.dead_letters();
            letters.sort_by_key(Listed::offset);
            let offsets: Vec<u64> = letters.iter().filter_map(Listed::offset).collect();
            assert_eq!(offsets, dropped, "{letters:?}");
            for letter in letters {
                let Subject::Event { offset, payload, .. } = &letter.subject else { panic!("{letter:?}") };
                assert_eq!(payload, &logs[0][0][*offset as usize]);
                assert!(letter.reason.starts_with("late: "), "{letter:?}");
            }
        }
    }
}
