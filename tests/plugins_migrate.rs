//! A version of a plugin that takes over the states of the one before it: jobs change to it without losing or repeating an
//! event, and without a lookup that fails; and where it does not take them over, they go on with the version that they have.
//!
//! Version 1 counts rows, version 2 too, and adds 1000, so that values say which of them made them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Project, Server, repository};
use crate::plugins_versions::{activate, push, version};
use crate::zoo::{guest_of, logic_of};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

const STREAM: &str = "fields: {k: string, x: double, t: timestamp}\nevent_time: t\ndisorder: 10s\nsource: {http: {keep: 30d}}\n";
const SETTINGS: &str = "checkpoint: {every: 200ms}\nshards: 2\n";
/// 2026-11-01T00:00:00Z
const FIRST: i64 = 1_793_491_200_000;
const KEYS: i64 = 40;

/// Jobs whose state is of every form, each of which has all events so far in one window. Of the last one rows are kept, of
/// which any version makes its values.
const JOBS: [(&str, &str); 5] = [
    ("life", "SELECT k, g(CAST(x AS BIGINT)) AS n, COUNT(*) AS rows FROM s GROUP BY k"),
    ("hours", "SELECT k, g(CAST(x AS BIGINT)) AS n FROM s GROUP BY k, TUMBLE(t, INTERVAL '1' HOUR)"),
    (
        "days",
        "SELECT k, g(CAST(x AS BIGINT)) AS n FROM s GROUP BY k, HOP(t, INTERVAL '1' HOUR, INTERVAL '1' DAY)",
    ),
    ("pauses", "SELECT k, g(CAST(x AS BIGINT)) AS n FROM s GROUP BY k, SESSION(t, INTERVAL '10' MINUTE)"),
    (
        "recent",
        "SELECT k, g(CAST(x AS BIGINT)) OVER w AS n FROM s WINDOW w AS (PARTITION BY k ORDER BY t RANGE INTERVAL '2' DAY PRECEDING)",
    ),
];

fn text(name: &str) -> String {
    std::fs::read_to_string(repository().join(format!("tests/versions/{name}.wat"))).unwrap()
}

/// Version 2, which takes over states; its `migrate` begins with this.
fn migrating(begins_with: &str) -> Vec<u8> {
    let first = "  (if (i32.ne (local.get $version)";
    let migrate = text("migrate_count").replacen(first, &format!("{begins_with}\n{first}"), 1);
    guest_of("migrating-aggregate", &[text("count"), migrate].concat())
}

fn project() -> Project {
    let project = Project::new();
    project.file("streams/s.yaml", STREAM);
    for (name, query) in JOBS {
        let rest = match name {
            "life" => "emit: {on: change}\nretention: 30d\nsinks: [{file: {path: out}}]\n",
            _ => "",
        };
        project.file(&format!("jobs/{name}.yaml"), &format!("query: |\n  {query}\n{rest}"));
    }
    project
}

/// Posts so many events of each key, behind those that were posted.
fn post(server: &Server, posted: &mut i64, count: i64) {
    let event =
        |at: i64, key: i64| format!("{}\n", json!({"k": format!("k{key}"), "x": at, "t": FIRST + at * 1000}));
    let lines = (*posted..*posted + count).flat_map(|at| (0..KEYS).map(move |key| event(at, key)));
    *posted += count;
    let (status, answer) = server.post("/v1/streams/s/events?wait=visible", lines.collect::<String>());
    assert_eq!((status, &answer["accepted"]), (200, &json!(KEYS * count)), "{answer}");
}

/// The value of a job of each key.
fn values(server: &Server, job: &str) -> Vec<Value> {
    let entities: Vec<Value> = (0..KEYS).map(|key| json!({"k": format!("k{key}")})).collect();
    let asked = json!({"features": [format!("{job}:n")], "entities": entities});
    let (status, answer) = server.post("/v1/lookup", asked.to_string());
    assert_eq!(status, 200, "{answer}");
    let value = |row: &Value| {
        let feature = &row["features"][format!("{job}:n")];
        feature.get("current").unwrap_or(feature)["value"].clone()
    };
    answer["rows"].as_array().unwrap().iter().map(value).collect()
}

#[track_caller]
fn assert_values(server: &Server, jobs: &[&str], expected: i64) {
    for job in jobs {
        let found: Vec<Option<f64>> = values(server, job).iter().map(Value::as_f64).collect();
        assert_eq!(found, vec![Some(expected as f64); KEYS as usize], "{job}");
    }
}

fn all_jobs() -> Vec<&'static str> {
    JOBS.iter().map(|(name, _)| *name).collect()
}

/// Those that keep states of the aggregate.
fn jobs_with_states() -> Vec<&'static str> {
    all_jobs().into_iter().filter(|job| *job != "recent").collect()
}

fn wait_until_running(server: &Server) {
    for job in all_jobs() {
        server.wait_for_job(job, "the job to run", |job| job["state"] == "running");
    }
}

/// A server whose jobs run with version 1 and have forty events of each key.
fn begun(project: &Project) -> (Server, i64) {
    let server = Server::start(project, SETTINGS);
    activate(&server, "guest", push(&server, "guest", &version("rows")));
    server.wait_ready();
    let mut posted = 0;
    post(&server, &mut posted, 40);
    assert_values(&server, &all_jobs(), posted);
    (server, posted)
}

#[test]
fn jobs_change_to_a_version_that_takes_over_their_states() {
    let project = project();
    let (server, mut posted) = begun(&project);
    let number = push(&server, "guest", &migrating(""));
    let is_over = AtomicBool::new(false);
    let effects = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut has_changed = BTreeMap::new();
            while !is_over.load(Ordering::Acquire) {
                for job in all_jobs() {
                    for (key, value) in values(&server, job).into_iter().enumerate() {
                        let value = value.as_i64().expect("a value at any time");
                        let is_changed = value > 1000;
                        assert!((40..=80).contains(&(value % 1000)), "{job}, k{key}: {value}");
                        let before = has_changed.insert((job, key), is_changed).unwrap_or_default();
                        assert!(is_changed || !before, "{job}, k{key}: goes back");
                    }
                }
            }
        });
        let activated = scope.spawn(|| activate(&server, "guest", number));
        for _ in 0..10 {
            post(&server, &mut posted, 4);
        }
        let effects = activated.join().unwrap();
        is_over.store(true, Ordering::Release);
        effects
    });
    let applied = |effect: &Value| effect["applied"] == true;
    assert_eq!(effects.as_array().unwrap().iter().filter(|it| applied(it)).count(), 5, "{effects}");
    wait_until_running(&server);
    assert_values(&server, &all_jobs(), 1000 + posted);
    server.kill();
    let server = Server::start(&project, SETTINGS);
    server.wait_ready();
    assert_values(&server, &all_jobs(), 1000 + posted);
    post(&server, &mut posted, 5);
    assert_values(&server, &all_jobs(), 1000 + posted);
    for job in all_jobs() {
        let (_, job) = server.get(&format!("/v1/jobs/{job}"));
        assert_eq!((&job["older_versions"], &job["not_taken_over"]), (&json!([]), &Value::Null), "{job}");
        assert_eq!(job["events"], json!(posted * KEYS), "none is lost or counted twice: {job}");
    }
    assert!(server.terminate().success());
    let last: BTreeMap<String, (Value, Value)> = project
        .rows("out")
        .into_iter()
        .map(|row| (row["k"].as_str().unwrap().to_owned(), (row["n"].clone(), row["rows"].clone())))
        .collect();
    assert_eq!(last.len(), KEYS as usize);
    assert!(last.values().all(|row| *row == (json!(1000 + posted), json!(posted))), "{last:?}");
}

#[test]
fn jobs_go_on_with_their_version_where_another_does_not_take_over_their_states() {
    let project = project();
    let (mut server, mut posted) = begun(&project);
    let failures = [
        ("(return (call $refuse (i32.const 16) (i32.const 1)))", "migrate of `g`: f"),
        ("(unreachable)", "migrate of `g`: trapped: wasm `unreachable`"),
        ("(loop $for_ever (br $for_ever))", "it may loop for ever"),
        ("(return (call $states (local.get $states) (i32.const 0)))", "gave 0 states where 1 were due"),
        (
            "(i32.store (local.get $states) (call $allocate (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 65537))) \
             (i32.store offset=4 (local.get $states) (i32.const 65537)) \
             (return (call $states (local.get $states) (local.get $states_length)))",
            "gave a state of 65537 bytes, of which 65536 are allowed",
        ),
    ];
    for (begins_with, reason) in failures {
        let number = push(&server, "guest", &migrating(begins_with));
        let effects = activate(&server, "guest", number);
        let (with_states, others): (Vec<&Value>, Vec<&Value>) =
            effects.as_array().unwrap().iter().partition(|effect| effect["job"] != "recent");
        assert!(others.len() == 1 && others[0]["applied"] == true, "{effects}");
        assert_eq!(with_states.len(), jobs_with_states().len(), "{effects}");
        for effect in with_states {
            let told = effect["reason"].as_str().unwrap_or_default();
            assert!(effect["applied"] == false && told.contains(reason), "{reason}: {effect}");
            assert!(told.contains("goes on with version 1 of plugin `guest`"), "{effect}");
            assert!(!told.contains("checkpoint"), "the store is not to blame: {effect}");
        }
        wait_until_running(&server);
        let (_, job) = server.get("/v1/jobs/life");
        assert!(job["not_taken_over"].as_str().is_some_and(|told| told.contains(reason)), "{job}");
        assert_values(&server, &jobs_with_states(), posted);
        assert_values(&server, &["recent"], 1000 + posted);
        post(&server, &mut posted, 2);
        assert_values(&server, &jobs_with_states(), posted);
        assert_values(&server, &["recent"], 1000 + posted);
    }
    server.kill();
    server = Server::start(&project, SETTINGS);
    server.wait_ready();
    assert_values(&server, &jobs_with_states(), posted);
    assert_values(&server, &["recent"], 1000 + posted);
    let (_, told) = server.weir(&["status"]);
    assert!(told.contains("the state of job life is not taken over by another version: "), "{told}");

    // The next version does, also at a start.
    project.file("plugins/README.md", "");
    std::fs::write(project.path().join("plugins/guest.wasm"), migrating("")).unwrap();
    server.kill();
    server = Server::start(&project, SETTINGS);
    server.wait_ready();
    assert_values(&server, &all_jobs(), 1000 + posted);
    post(&server, &mut posted, 2);
    assert_values(&server, &all_jobs(), 1000 + posted);
    assert!(server.terminate().success());
}

#[test]
fn keyed_logic_takes_over_what_another_version_remembers() {
    let project = Project::new();
    let query = "query: SELECT k, y AS n FROM TABLE(p(TABLE s PARTITION BY k))\nretention: 30d\n";
    project.file("streams/s.yaml", STREAM).file("jobs/numbers.yaml", query);
    let of = |memory: &str, world: &str, offset: &str| {
        logic_of(world, &[text(memory), text("logic").replace("OFFSET", offset)].concat())
    };
    let mut server = Server::start(&project, SETTINGS);
    activate(&server, "guest", push(&server, "guest", &of("logic_rows", "process", "0")));
    server.wait_ready();
    let mut posted = 0;
    post(&server, &mut posted, 20);
    assert_values(&server, &["numbers"], posted);
    let number = push(&server, "guest", &of("logic_count", "migrating-process", "1000"));
    let effects = activate(&server, "guest", number);
    assert_eq!(effects, json!([{"job": "numbers", "applied": true}]));
    for _ in 0..2 {
        post(&server, &mut posted, 7);
        assert_values(&server, &["numbers"], 1000 + posted);
        server.kill();
        server = Server::start(&project, SETTINGS);
        server.wait_ready();
        assert_values(&server, &["numbers"], 1000 + posted);
    }
    assert!(server.terminate().success());
}
