//! Results as files of a real object store and of this machine: weir is killed in each window of the protocol and goes on,
//! and independent readers find each row once. Files that others wrote, read from both.

use crate::harness::Project;
use crate::services::killing::{Kill, Killing};
use crate::services::readers;
use crate::services::s3::{Store, shared, with_key, with_other_key};
use serde_json::Value;
use std::process::Output;

const RIDES: &str = "stream: rides\nfields: {user_id: string, fare: double, event_time: timestamp}\n\
                     event_time: event_time\ndisorder: 1s\n";

/// A project with made-up rides whose result has columns of several types, in a file sink of lines and in another sink.
fn project(rides: u32, query: &str, sink: &str) -> Project {
    let project = Project::new();
    let source = format!(
        "source: {{generator: {{kind: rides, rate: 1, seed: 7, until: {rides}, start: \"2026-01-01T00:00:00Z\"}}}}\n"
    );
    project.file("streams/rides.yaml", &format!("{RIDES}{source}"));
    let sinks = format!("sinks:\n  - file: {{path: lines}}\n  - file: {sink}\n");
    project.file("jobs/j.yaml", &format!("query: |\n  {query}\n{sinks}"));
    project
}

const HOURLY: &str = "SELECT user_id, COUNT(*) AS n, SUM(fare) AS fares, TOP(3, fare) AS newest, \
                      TUMBLE_END(rowtime, INTERVAL '1' HOUR) AS hour_end FROM rides \
                      GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)";

fn run(project: &Project, url: &str) -> Output {
    with_key(&mut project.command("run", &["--until-end"]), url).output().expect("weir starts")
}

/// Runs until it is killed.
fn run_into(project: &Project, killing: &Killing) {
    let mut command = project.command("run", &["--until-end"]);
    let log = std::fs::File::create(project.path().join("killed.log")).expect("a log file");
    let mut child = with_key(&mut command, &killing.url).stderr(log).spawn().expect("weir starts");
    killing.victim.set(child.id()).expect("a way is to one process");
    let status = child.wait().expect("a child ends");
    let log = std::fs::read_to_string(project.path().join("killed.log")).unwrap_or_default();
    assert!(
        status.code().is_none(),
        "it was to be killed after {} requests: {status}\n{log}",
        killing.seen()
    );
}

fn sorted(rows: Vec<Value>) -> Vec<String> {
    let mut rows: Vec<_> = rows.iter().map(ToString::to_string).collect();
    rows.sort_unstable();
    rows
}

#[track_caller]
fn assert_run(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Kills a run at a request, lets another one go on, and compares what the bucket holds with the lines.
fn kill_and_compare(store: &Store, name: &str, sink: &str, rides: u32, query: &str, kill: Kill) {
    let bucket = format!("weir-{name}");
    store.bucket(&bucket);
    let project = project(rides, query, &sink.replace("BUCKET", &bucket));
    run_into(&project, &Killing::before(&store.url, kill));
    assert_run(&run(&project, &store.url));
    // Nothing new is written by a run that has nothing to do.
    assert_run(&run(&project, &store.url));
    let found = tempfile::tempdir().expect("a temporary folder");
    store.get(&bucket, "out", found.path());
    let folder = found.path().join("out");
    let is_parquet = sink.contains("parquet");
    let rows = if is_parquet { readers::rows(&folder) } else { crate::harness::rows(&folder) };
    let expected = sorted(project.rows("lines"));
    assert!(!expected.is_empty() && sorted(rows) == expected, "{name}: other rows than in the lines");
    let left = std::fs::read_dir(project.path().join(".weir/unfinished/j")).expect("a folder");
    let left: Vec<_> = left
        .flat_map(|folder| std::fs::read_dir(folder.expect("a folder").path()).expect("a folder"))
        .collect();
    assert!(left.is_empty(), "{name}: {left:?}");
}

#[test]
fn partitions_of_parquet_in_a_bucket_hold_each_row_once_wherever_weir_is_killed() {
    let sink = "{path: \"s3://BUCKET/out\", format: parquet, partition: [\"dt=%Y-%m-%d\", \"hour=%H\"]}";
    let puts = |line: &str| line.starts_with("PUT ");
    for (at, is_after) in [(1, false), (1, true), (20, false), (20, true)] {
        let name = format!("small-{at}-{is_after}");
        kill_and_compare(shared(), &name, sink, 100_000, HOURLY, Kill { counts: puts, at, is_after });
    }
}

#[test]
fn a_file_in_parts_holds_each_row_once_wherever_weir_is_killed() {
    let sink = "{path: \"s3://BUCKET/out\"}";
    let query = "SELECT user_id, fare, event_time, CONCAT(user_id, ' rides at ', CAST(event_time AS STRING), \
                 ' for the fare that is said beside, in a text that makes the row long') AS told FROM rides";
    let begins = |line: &str| line.starts_with("POST ") && line.contains("uploads");
    let parts = |line: &str| line.starts_with("PUT ") && line.contains("partNumber");
    let completes = |line: &str| line.starts_with("POST ") && line.contains("uploadId");
    let kills: [(&str, fn(&str) -> bool, usize, bool); 5] = [
        ("begun", begins, 1, true),
        ("part", parts, 2, false),
        ("part-sent", parts, 2, true),
        ("whole", completes, 1, false),
        ("complete", completes, 1, true),
    ];
    for (name, counts, at, is_after) in kills {
        kill_and_compare(shared(), name, sink, 120_000, query, Kill { counts, at, is_after });
    }
}

#[test]
fn files_of_parquet_on_this_machine_are_read_by_others() {
    let project =
        project(50_000, HOURLY, "{path: table, format: parquet, meta: true, partition: [\"dt=%Y-%m-%d\"]}");
    project.run(&[]);
    let mut rows = readers::rows(&project.path().join("table"));
    for row in &mut rows {
        let meta =
            row.as_object_mut().and_then(|row| row.remove("_weir")).expect("the sink has `meta: true`");
        assert_eq!(meta["window"]["end"], row["hour_end"]);
        assert_eq!(meta["key"]["user_id"], row["user_id"]);
    }
    assert_eq!(sorted(rows), sorted(project.rows("lines")));
}

const TRIPS: &str = "fields:\n  user_id: string\n  fare: double\n  exact: decimal(12, 2)\n  tags: array<string>\n  \
                     seconds: {type: bigint, from: trip.seconds}\n  dt: date\n  event_time: timestamp\n\
                     event_time: event_time\ndisorder: 1s\n";

#[test]
fn files_that_pyarrow_wrote_give_the_same_results_as_lines_from_a_disk_and_a_bucket() {
    let project = Project::new();
    readers::write(&project.path().join("in"));
    let store = shared();
    store.bucket("weir-trips");
    store.put(&project.path().join("in"), "weir-trips", "in");
    for (name, format, path) in [
        ("lines", "json", "in/rows.jsonl"),
        ("disk", "parquet", "in/dt=*/*.parquet"),
        ("bucket", "parquet", "s3://weir-trips/in/dt=*/*.parquet"),
        ("bucket_lines", "json", "s3://weir-trips/in/rows.jsonl"),
    ] {
        let source = format!("format: {format}\nsource: {{file: {{path: \"{path}\"}}}}\n");
        project.file(&format!("streams/{name}.yaml"), &format!("stream: {name}\n{TRIPS}{source}"));
        let query = format!(
            "SELECT user_id, dt, COUNT(*) AS n, SUM(fare) AS fares, SUM(exact) AS exact, SUM(seconds) AS seconds, \
             SUM(CARDINALITY(tags)) AS tags, TUMBLE_END(rowtime, INTERVAL '1' MINUTE) AS ends FROM {name} \
             GROUP BY user_id, dt, TUMBLE(rowtime, INTERVAL '1' MINUTE)"
        );
        let job = format!("query: |\n  {query}\nsinks:\n  - file: {{path: out_{name}}}\n");
        project.file(&format!("jobs/j_{name}.yaml"), &job);
    }
    assert_run(&run(&project, &store.url));
    let expected = sorted(project.rows("out_lines"));
    assert!(expected.len() > 30, "{} rows", expected.len());
    for name in ["disk", "bucket", "bucket_lines"] {
        assert_eq!(sorted(project.rows(&format!("out_{name}"))), expected, "{name}");
    }
}

#[test]
fn what_is_wrong_with_a_bucket_or_a_key_is_said_and_no_secret_is() {
    let store = shared();
    store.bucket("weir-refused");
    for (bucket, key, secret, says) in [
        ("weir-missing", "weir", "weir-secret", "the bucket does not exist"),
        ("weir-refused", "nobody", "hush-hush", "does not accept the credentials"),
        ("weir-refused", "weir", "hush-hush", "does not accept the credentials"),
        ("weir-refused", "reader", "reader-secret", "do not permit it"),
    ] {
        let project = project(2_000, HOURLY, &format!("{{path: \"s3://{bucket}/out\", format: parquet}}"));
        let mut command = project.command("run", &["--until-end"]);
        let output = with_other_key(&mut command, &store.url, key, secret).output().expect("weir starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(says), "{bucket} {key}: {said}");
        assert!(!said.contains(secret), "{said}");
    }
}
