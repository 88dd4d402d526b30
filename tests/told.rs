//! What whoever runs weir is told of what does not count, does not fit or has no effect, where he looks for it.

use crate::harness::{Project, Server};
use serde_json::json;

const STREAM: &str = "fields: {k: string, n: bigint, t: timestamp}\nevent_time: t\n";
const JOB: &str = "query: |\n  SELECT k, SUM(n) AS n FROM s GROUP BY k, TUMBLE(t, INTERVAL '1' HOUR)\n\
                   sinks: [{file: {path: out}}]\n";
/// 2026-03-01T10:08:00Z.
const TIME_SECONDS: i64 = 1_772_359_680;

fn project(source: &str) -> Project {
    let project = Project::new();
    project.file("streams/s.yaml", &format!("{STREAM}source: {source}\n")).file("jobs/j.yaml", JOB);
    project
}

fn row(time: i64) -> String {
    json!({"k": "a", "n": 1, "t": time}).to_string() + "\n"
}

#[test]
fn events_that_came_too_late_are_told_with_what_would_keep_them() {
    let project = project("{http: {}}");
    let server = Server::start(&project, "");
    let day_ago = [TIME_SECONDS, TIME_SECONDS - 86_400, TIME_SECONDS - 86_401];
    for seconds in day_ago {
        let (_, answer) = server.post("/v1/streams/s/events?wait=visible", row(seconds * 1000));
        assert_eq!(answer["accepted"], 1, "{answer}");
    }
    let status = server.wait_for_job("j", "a warning of both", |status| {
        status["warning"].as_str().is_some_and(|warning| warning.contains("2 of "))
    });
    assert_eq!((&status["dropped"], &status["events"]), (&json!(2), &json!(3)), "{status}");
    let (code, text) = server.weir(&["status"]);
    assert!(code == Some(0) && text.contains("dropped"), "{text}");
    assert!(text.contains("job j runs with a warning: ") && text.contains("`late: {allow: ..}`"), "{text}");

    for time in [TIME_SECONDS.to_string(), "2020-01-01T00:00:00Z".to_owned()] {
        let (code, text) = server.weir(&["lookup", "j", "k=a", "--as-of", &time]);
        let is_in_seconds = text.contains("is it in seconds?") && text.contains("2026-03-01T10:08:00.000Z");
        assert_eq!((code, is_in_seconds), (Some(1), !time.contains('-')), "{text}");
        assert_eq!(text.contains("history: "), time.contains('-'), "{text}");
    }
}

#[test]
fn a_time_in_seconds_among_others_is_set_aside_in_the_file_that_is_named() {
    let project = project("{file: {path: in.jsonl}}");
    let good = TIME_SECONDS * 1000;
    project.file("in.jsonl", &[good, good + 1, TIME_SECONDS, good + 2].map(row).concat());
    let said = String::from_utf8(project.run(&[]).stderr).expect("text");
    assert!(said.contains("is it in seconds?") && said.contains(".weir/dead_letters/s.jsonl"), "{said}");
    assert!(!said.contains("/v1/deadletters"), "no server runs: {said}");
    assert_eq!(project.rows("out"), [json!({"k": "a", "n": 3})]);

    // Where it comes first nothing tells yet that it is one; the rows behind it do.
    let first = project_of_rows(&[TIME_SECONDS, good]);
    let said = String::from_utf8(first.run(&[]).stderr).expect("text");
    assert!(said.contains("1 of 2 rows (50 %) have an event time between 12 and 24 January 1970"), "{said}");
    // A stream of 1970 itself is as good as any.
    let old = project_of_rows(&[TIME_SECONDS, TIME_SECONDS + 1, 0, 5_000_000_000]);
    old.run(&[]);
    let counted: i64 = old.rows("out").iter().filter_map(|row| row["n"].as_i64()).sum();
    assert!(counted >= 3, "{counted}");
}

fn project_of_rows(times: &[i64]) -> Project {
    let project = project("{file: {path: in.jsonl}}");
    project.file("in.jsonl", &times.iter().map(|time| row(*time)).collect::<String>());
    project
}

#[test]
fn what_a_changed_field_comes_to_is_told_before_and_after_the_restart() {
    let project = project("{http: {}}");
    project.file("jobs/other.yaml", JOB).file("jobs/counts.yaml", &JOB.replace("SUM(n)", "COUNT(*)"));
    let server = Server::start(&project, "");
    server.wait_ready();
    server.post("/v1/streams/s/events?wait=visible", row(TIME_SECONDS * 1000));
    let changed = STREAM.replace("n: bigint", "n: {type: bigint, from: m}");
    project.file("streams/s.yaml", &format!("{changed}source: {{http: {{}}}}\n"));
    let (code, text) = server.weir(&["restart", "j"]);
    assert!(code == Some(1) && text.contains("--reset j --reset other"), "{text}");
    assert!(server.terminate().success());

    let check = project.weir("check", &[]);
    let text = String::from_utf8([check.stdout, check.stderr].concat()).expect("text");
    assert!(text.contains("of stream `s` field `n` is bigint from m, was bigint"), "{text}");
    let server = Server::start(&project, "");
    let (_, text) = server.weir(&["status"]);
    assert!(text.contains("job j has failed: its stream changed"), "named once: {text}");
    let (code, text) = server.weir(&["restart", "j", "--reset"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("its sink `file` keeps the rows that were written before"), "{text}");
}

#[test]
fn another_setting_of_late_rows_under_the_same_version_is_named_with_both_values() {
    let project = project_of_rows(&[TIME_SECONDS * 1000]);
    project.run(&[]);
    project.file("jobs/j.yaml", &format!("{JOB}late: {{policy: drop}}\n"));
    let check = project.weir("check", &[]);
    let text = String::from_utf8([check.stdout, check.stderr].concat()).expect("text");
    let told = "`late` is {policy: drop, allow: 1h}, was {policy: correct, allow: 1h}";
    assert!(text.contains("its definition changed") && text.contains(told), "{text}");
}

#[test]
fn check_counts_what_is_sound_and_warns_of_what_has_no_effect() {
    let check = |project: &Project| {
        let output = project.weir("check", &[]);
        String::from_utf8([output.stdout, output.stderr].concat()).expect("text")
    };
    let project = project("{file: {path: nowhere.jsonl}}");
    project.file("jobs/idle.yaml", "query: SELECT k FROM s\n");
    let text = check(&project);
    assert!(
        text.contains("warning: stream `s`: file `") && text.contains("nowhere.jsonl` not found"),
        "{text}"
    );
    assert!(text.contains("jobs/idle.yaml:1:1: warning: ") && text.contains("it does nothing"), "{text}");
    assert!(text.contains("1 stream, 2 jobs: no errors"), "{text}");

    project.file("jobs/a.yaml", &format!("job: j\n{JOB}"));
    let text = check(&project);
    for line in ["jobs/a.yaml:1:6: job `j` is in jobs/j.yaml", "jobs/j.yaml:1:1: job `j` is in jobs/a.yaml"] {
        assert!(text.contains(line), "{text}");
    }
    assert!(
        text.contains("1 stream, 2 jobs (1 sound): `weir serve` will start, with 1 job failed"),
        "{text}"
    );

    project.file("jobs/a.yaml", &JOB.replace("SUM", "SUMM")).file("streams/b.yaml", "stream: b\n");
    let text = check(&project);
    assert!(
        text.contains("2 streams (1 sound), 3 jobs (2 sound): `weir serve` will start, with 1 job waiting"),
        "{text}"
    );
    assert!(text.contains("a plugin that has `summ`"), "{text}");
}
