//! `weir run` into sinks that do not take its rows: how it ends, and what it says last.

use crate::harness::{Project, wait_for};
use crate::services::stores::Postgres;
use std::fs::File;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A job that passes ten numbers on into these sinks.
fn ten_numbers(sinks: &str) -> Project {
    let project = Project::new();
    let stream = "fields: {n: bigint, t: timestamp}\nevent_time: t\nsource: {file: {path: in.jsonl}}\n";
    let events: String =
        (0..10).map(|n| format!("{{\"n\":{n},\"t\":{}}}\n", 1_770_000_000_000_i64 + n)).collect();
    project.file("streams/s.yaml", stream).file("in.jsonl", &events);
    project.file(
        "jobs/j.yaml",
        &format!(
            "query: SELECT n, COUNT(*) AS c FROM s GROUP BY n, TUMBLE(t, INTERVAL '1' DAY)\nsinks: [{sinks}]\n"
        ),
    );
    project
}

#[test]
fn a_table_that_is_missing_ends_a_run_as_another_system_s_fault() {
    let postgres = Postgres::start();
    let project = ten_numbers(&format!("{{postgres: {{url: \"{}\", table: missing}}}}", postgres.url()));
    let output = project.weir("run", &["--until-end"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(last.contains("there is no table") && last.contains("10 rows wait for it"), "{said}");
}

#[test]
fn a_run_that_is_stopped_while_sinks_are_away_names_each_with_the_rows_that_wait() {
    let away = |table: &str| format!("{{postgres: {{url: \"postgres://a@127.0.0.1:9/d\", table: {table}}}}}");
    let project = ten_numbers(&format!("{}, {{file: {{path: out}}}}, {}", away("one"), away("two")));
    let log = project.path().join("run.log");
    let mut run = project.command("run", &["--until-end"]);
    let stderr = File::create(&log).expect("a log file");
    let mut run = run.stdout(Stdio::null()).stderr(stderr).spawn().expect("weir starts");
    let said = || std::fs::read_to_string(&log).unwrap_or_default();
    wait_for("both sinks to be tried again", Duration::from_secs(60), || {
        let are_away = ["sink=\"postgres\"", "sink=\"postgres-2\""].iter().all(|sink| said().contains(sink));
        (are_away && project.rows("out").len() == 10).then_some(())
    });
    let sent = Command::new("kill").args(["-INT", &run.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
    let status = run.wait().expect("it ends");
    let said = said();
    assert_eq!(status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("stopped before the end; run it again to go on from here; job `j`: sink"),
        "{said}"
    );
    assert_eq!(last.matches("; 10 rows wait for it").count(), 2, "{said}");
    assert!(last.contains("sink `postgres`: ") && last.contains("sink `postgres-2`: "), "{said}");
}
