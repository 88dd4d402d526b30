//! `kill -9` at any moment, and on: the final output equals an uninterrupted run's.

use crate::harness::{Project, Server, last_rows, result_files, wait_for, weir};
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::{Command, Stdio};
use std::time::Duration;

const STREAM: &str = "\
stream: rides
fields: {event_id: bigint, user_id: bigint, action: string, geohash: string, ride_id: string, fare: double, event_time: timestamp}
event_time: event_time
disorder: 10m
";

const JOBS: [(&str, &str); 2] = [
    (
        "per_cell",
        "SELECT geohash, COUNT(*) AS n, SUM(fare) AS s, TUMBLE_END(rowtime, INTERVAL '1' HOUR) AS e FROM rides \
         GROUP BY geohash, TUMBLE(rowtime, INTERVAL '1' HOUR)",
    ),
    (
        "per_user",
        "SELECT user_id, event_id, COUNT(*) OVER w AS n, TOP(5, action) OVER w AS l FROM rides \
         WINDOW w AS (PARTITION BY user_id ORDER BY rowtime RANGE INTERVAL '2' HOUR PRECEDING)",
    ),
];

fn add_jobs(project: &Project) {
    for (name, query) in JOBS {
        let sinks = format!("sinks: [{{file: {{path: out/{name}, meta: true}}}}]");
        project.file(&format!("jobs/{name}.yaml"), &format!("query: |\n  {query}\n{sinks}\n"));
    }
}

fn rides(project: &Project, events: u32) {
    std::fs::create_dir_all(project.path().join("data")).expect("a folder");
    let made = Command::new(weir())
        .args(["generate", "rides", "--events", &events.to_string(), "--days", "1", "--seed", "3", "-o"])
        .arg(project.path().join("data/rides.jsonl"))
        .stderr(Stdio::null())
        .status();
    assert!(made.expect("weir starts").success());
}

fn counted(rows: Vec<Value>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for row in rows {
        *counts.entry(row.to_string()).or_default() += 1;
    }
    counts
}

fn from_file(project: &Project) {
    project.file("weir.yaml", "shards: 2\ncheckpoint: {every: 20ms}\n");
    project.file("streams/rides.yaml", &format!("{STREAM}source: {{file: {{path: data/rides.jsonl}}}}\n"));
    add_jobs(project);
}

#[track_caller]
fn assert_exact(found: &Project, expected: &Project) {
    for (name, _) in JOBS {
        let folder = format!("out/{name}");
        let (rows, all) = (found.rows(&folder), expected.rows(&folder));
        assert_eq!(rows.len(), all.len(), "{name}: each result is written exactly once");
        assert!(counted(last_rows(rows)) == counted(last_rows(all)), "{name}: results differ");
    }
}

/// Runs again and again, and is killed each time when so many more files of results are there: in the middle of what
/// comes after them.
fn killed_after(project: &Project, files: impl IntoIterator<Item = usize>) {
    let finished = || -> usize {
        let of_job = |(name, _): &(&str, &str)| result_files(&project.path().join("out").join(name)).len();
        JOBS.iter().map(of_job).sum()
    };
    let mut killed = 0;
    for more in files {
        let wanted = finished() + more;
        let mut child =
            project.command("run", &["--until-end"]).stderr(Stdio::null()).spawn().expect("weir starts");
        wait_for("results, or the end", Duration::from_secs(60), || {
            let has_ended = child.try_wait().expect("a child can be asked").is_some();
            (has_ended || finished() >= wanted).then_some(())
        });
        killed += usize::from(child.try_wait().expect("a child can be asked").is_none());
        child.kill().expect("a child can be killed");
        child.wait().expect("a killed child ends");
    }
    assert!(killed > 1, "it came to its end before it could be killed");
}

#[test]
fn a_run_over_files_killed_again_and_again_ends_as_if_it_never_was() {
    let whole = Project::new();
    rides(&whole, 120_000);
    from_file(&whole);
    whole.run(&[]);
    let broken = Project::new();
    rides(&broken, 120_000);
    from_file(&broken);
    killed_after(&broken, [0, 1, 1, 2, 4]);
    broken.run(&[]);
    assert_exact(&broken, &whole);
}

#[test]
fn a_generator_killed_again_and_again_ends_as_if_it_never_was() {
    let stream = "\
stream: rides
fields: {event_id: bigint, user_id: string, action: string, geohash: string, fare: double, event_time: timestamp}
event_time: event_time
source: {generator: {kind: rides, rate: 20, seed: 5, keys: 200, until: 120000, start: 2026-01-01T00:00:00Z}}
";
    let made = || {
        let project = Project::new();
        project
            .file("weir.yaml", "shards: 2\ncheckpoint: {every: 20ms}\n")
            .file("streams/rides.yaml", stream);
        add_jobs(&project);
        project
    };
    let (whole, broken) = (made(), made());
    whole.run(&[]);
    killed_after(&broken, [1, 2, 3]);
    broken.run(&[]);
    assert_exact(&broken, &whole);
}

#[test]
fn what_http_has_accepted_survives_a_kill_and_counts_once() {
    let project = Project::new();
    project.file(
        "streams/rides.yaml",
        "stream: rides\nfields: {user_id: string, n: bigint, t: timestamp}\nevent_time: t\nsource: {http: {}}\n",
    );
    project.file(
        "jobs/seen.yaml",
        "query: |\n  SELECT user_id, SUM(n) OVER w AS total, COUNT(*) OVER w AS c FROM rides \
         WINDOW w AS (PARTITION BY user_id ORDER BY t RANGE INTERVAL '3650' DAYS PRECEDING)\n",
    );
    let settings = "checkpoint: {every: 200ms}\n";
    let mut sent = 0_u64;
    for round in 0..4_u64 {
        let server = Server::start(&project, settings);
        for batch in 0..10_u64 {
            let line = |at: u64| {
                let n = round * 1000 + batch * 50 + at;
                format!("{{\"user_id\":\"u{}\",\"n\":{n},\"t\":{}}}\n", n % 5, 1_767_225_600_000 + n)
            };
            let body: String = (0..50).map(line).collect();
            let (status, answer) = server.post("/v1/streams/rides/events", body);
            assert_eq!((status, &answer["accepted"]), (200, &Value::from(50)), "{answer}");
            sent += 50;
        }
        server.kill();
    }
    let server = Server::start(&project, settings);
    server.wait_ready();
    let total = || -> u64 {
        let count = |user: u64| {
            let (_, answer) = server.get(&format!("/v1/jobs/seen/values?user_id=u{user}"));
            answer["features"]["c"]["value"].as_u64().unwrap_or(0)
        };
        (0..5).map(count).sum()
    };
    assert_eq!(total(), sent, "every accepted row counts exactly once as soon as the server is ready");
    assert!(server.terminate().success());
}

#[test]
fn a_server_killed_while_it_reads_a_file_goes_on() {
    let whole = Project::new();
    rides(&whole, 60_000);
    from_file(&whole);
    whole.run(&[]);
    let broken = Project::new();
    rides(&broken, 60_000);
    from_file(&broken);
    let settings = "shards: 2\ncheckpoint: {every: 20ms}\n";
    for events in [1, 20_000] {
        let server = Server::start(&broken, settings);
        let is_read = |job: &Value| job["events"].as_u64() >= Some(events);
        server.wait_for_job("per_cell", "events to be read", is_read);
        server.kill();
    }
    let server = Server::start(&broken, settings);
    server.wait_ready();
    wait_for("a checkpoint", Duration::from_secs(30), || {
        let (_, job) = server.get("/v1/jobs/per_cell");
        job["last_checkpoint"]["number"].as_u64()
    });
    assert!(server.terminate().success());
    broken.file("weir.yaml", settings);
    broken.run(&[]);
    assert_exact(&broken, &whole);
}
