//! Another version of a plugin, whose aggregate has states of another form: jobs go on with the version that made theirs,
//! also after a restart and a kill, until somebody decides; and with the version that they pin.
//!
//! Version 1 counts rows, version 2 too, and adds 1000, so that values say which of them made them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::bootstrap;
use crate::filling::{self, ARCHIVED};
use crate::harness::{Project, Server, repository, wait_for};
use crate::zoo::{guest_of, scalar_guest};
use serde_json::{Value, json};
use std::time::Duration;

const STREAM: &str =
    "fields: {k: string, x: bigint, t: timestamp}\nevent_time: t\nsource: {http: {keep: 30d}}\n";
pub(crate) const COUNTS: &str =
    "query: |\n  SELECT k, g(x) AS n FROM s GROUP BY k\nemit: {on: change}\nretention: 30d\n";
const SETTINGS: &str = "checkpoint: {every: 200ms}\nshards: 2\n";
/// 2026-11-01T00:00:00Z
const FIRST: i64 = 1_793_491_200_000;

/// A guest of `tests/versions`.
pub(crate) fn version(name: &str) -> Vec<u8> {
    let path = repository().join(format!("tests/versions/{name}.wat"));
    guest_of("aggregate", &std::fs::read_to_string(path).unwrap())
}

pub(crate) fn push(server: &Server, name: &str, component: &[u8]) -> u64 {
    let (status, answer) = server.post(&format!("/v1/plugins?name={name}"), component);
    assert_eq!(status, 201, "{answer}");
    answer["version"].as_u64().unwrap()
}

pub(crate) fn activate(server: &Server, name: &str, version: u64) -> Value {
    let path = format!("/v1/plugins/{name}/activate");
    let (status, answer) = server.post(&path, json!({ "version": version }).to_string());
    assert_eq!(status, 200, "{answer}");
    answer["jobs"].clone()
}

/// Posts so many events of each of the keys `a` and `b`, behind those that were posted.
fn post(server: &Server, posted: &mut i64, count: i64) {
    let event = |at: i64, key: &str| format!("{}\n", json!({"k": key, "x": at, "t": FIRST + at * 1000}));
    let lines = (*posted..*posted + count).flat_map(|at| [event(at, "a"), event(at, "b")]);
    *posted += count;
    let (status, answer) = server.post("/v1/streams/s/events?wait=visible", lines.collect::<String>());
    assert_eq!((status, &answer["accepted"]), (200, &json!(2 * count)), "{answer}");
}

/// The value of both keys.
fn values(server: &Server, job: &str) -> [Value; 2] {
    ["a", "b"].map(|key| {
        let (status, answer) = server.get(&format!("/v1/jobs/{job}/values?k={key}"));
        assert_eq!(status, 200, "{answer}");
        answer["features"]["n"]["value"].clone()
    })
}

fn both(value: i64) -> [Value; 2] {
    [json!(value), json!(value)]
}

/// A server with the job `counts`, whose state version 1 has made of ten events of each key, and version 2 active.
fn older_state() -> (Project, Server, i64) {
    let project = Project::new();
    project.file("streams/s.yaml", STREAM).file("jobs/counts.yaml", COUNTS);
    let server = Server::start(&project, SETTINGS);
    activate(&server, "guest", push(&server, "guest", &version("rows")));
    server.wait_ready();
    let mut posted = 0;
    post(&server, &mut posted, 10);
    let version = push(&server, "guest", &version("count"));
    let effects = activate(&server, "guest", version);
    let reason = effects[0]["reason"].as_str().unwrap_or_default();
    assert_eq!((&effects[0]["job"], &effects[0]["applied"]), (&json!("counts"), &json!(false)), "{effects}");
    assert!(reason.contains("goes on with version 1 of plugin `guest`"), "{effects}");
    assert!(reason.contains("`weir restart counts --upgrade`"), "{effects}");
    (project, server, posted)
}

#[track_caller]
fn assert_goes_on_with_1(server: &Server) {
    let (_, job) = server.get("/v1/jobs/counts");
    let older = &job["older_versions"][0];
    assert_eq!(
        (&older["plugin"], &older["version"], &older["active"], &older["pinned"]),
        (&json!("guest"), &json!(1), &json!(2), &json!(false)),
        "{job}"
    );
    let (_, told) = server.weir(&["status"]);
    assert!(told.contains("job counts goes on with version 1 of plugin `guest`"), "{told}");
    let (status, refused) = server.delete("/v1/plugins/guest");
    assert_eq!(status, 409, "{refused}");
}

#[test]
fn a_job_goes_on_with_the_version_that_made_its_state_also_after_a_kill() {
    let (project, mut server, mut posted) = older_state();
    for round in 0..4 {
        assert_goes_on_with_1(&server);
        assert_eq!(values(&server, "counts"), both(posted));
        post(&server, &mut posted, 5);
        assert_eq!(values(&server, "counts"), both(posted));
        if round % 2 == 0 {
            server.kill();
        } else {
            assert!(server.terminate().success());
        }
        server = Server::start(&project, SETTINGS);
        server.wait_ready();
    }
    assert_goes_on_with_1(&server);
    assert!(server.terminate().success());
    let checked = project.weir("check", &["--explain"]);
    let told = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success(), "{told}");
    assert!(told.contains("calls version 1 of plugin guest, which makes its state  sha256:"), "{told}");

    // Another job, whose state is yet to be made, follows what is active.
    project.file("jobs/others.yaml", COUNTS);
    let server = Server::start(&project, SETTINGS);
    server.wait_ready();
    assert_eq!(values(&server, "others"), both(1000 + posted));
    assert_eq!(values(&server, "counts"), both(posted));

    let (status, answer) = server.post("/v1/jobs/counts/restart?upgrade=true", "");
    assert_eq!((status, &answer["older_versions"]), (200, &json!([])), "{answer}");
    post(&server, &mut posted, 3);
    assert_eq!(values(&server, "counts"), both(1003), "it has begun anew");
    server.kill();
    let server = Server::start(&project, SETTINGS);
    server.wait_ready();
    assert_eq!(values(&server, "counts"), both(1003));
    let (_, job) = server.get("/v1/jobs/counts");
    assert_eq!(job["older_versions"], json!([]), "{job}");
    assert!(server.terminate().success());
}

#[test]
fn a_rollback_and_another_version_of_the_job_decide_as_well() {
    let (project, server, mut posted) = older_state();
    let (status, answer) = server.post("/v1/plugins/guest/rollback", "");
    assert_eq!((status, &answer["jobs"]), (200, &json!([])), "nothing changes: {answer}");
    let (_, job) = server.get("/v1/jobs/counts");
    assert_eq!(job["older_versions"], json!([]), "{job}");
    activate(&server, "guest", 2);
    assert_goes_on_with_1(&server);
    project.file("jobs/counts.yaml", &format!("version: 2\n{COUNTS}"));
    let (status, answer) = server.post("/v1/jobs/counts/restart", "");
    assert_eq!((status, &answer["older_versions"]), (200, &json!([])), "{answer}");
    post(&server, &mut posted, 4);
    assert_eq!(values(&server, "counts"), both(1004), "it has begun anew");
    let (status, answer) = server.post("/v1/jobs/counts/restart?reset=true", "");
    assert_eq!(status, 200, "{answer}");
    server.wait_for_job("counts", "all events", |job| job["events"] == 2 * posted);
    assert_eq!(values(&server, "counts"), both(1000 + posted));
    assert!(server.terminate().success());
}

#[test]
fn a_job_waits_for_a_version_that_is_lost_and_starts_when_it_comes() {
    let (project, server, mut posted) = older_state();
    let (_, plugin) = server.get("/v1/plugins/guest");
    let file = format!("{}.wasm", plugin["versions"][0]["sha256"].as_str().unwrap());
    assert!(server.terminate().success());
    std::fs::remove_file(project.path().join(".weir/plugins").join(file)).unwrap();
    let server = Server::start(&project, SETTINGS);
    let waits = server.wait_for_job("counts", "the job to wait", |job| job["next_try"].is_string());
    let reason = waits["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("made by a version of a plugin that alone can read it"), "{reason}");
    assert!(reason.contains("`weir plugin push guest FILE.wasm`"), "{reason}");
    let (status, refused) = server.delete("/v1/plugins/guest");
    assert_eq!(status, 409, "{refused}");
    assert!(
        refused.to_string().contains("job `counts` has state that version 1 of it has made"),
        "{refused}"
    );
    assert_eq!(push(&server, "guest", &version("rows")), 1);
    server.wait_for_job("counts", "the job to run", |job| job["state"] == "running");
    server.wait_ready();
    post(&server, &mut posted, 2);
    assert_eq!(values(&server, "counts"), both(posted));
    assert!(server.terminate().success());
}

fn pinned(version: u64) -> String {
    format!("plugins: {{guest: {version}}}\n{COUNTS}")
}

#[test]
fn a_job_that_pins_a_version_is_left_alone() {
    let project = Project::new();
    project.file("streams/s.yaml", STREAM).file("jobs/counts.yaml", &pinned(1));
    let server = Server::start(&project, SETTINGS);
    let waits = server.wait_for_job("counts", "the job to wait", |job| job["next_try"].is_string());
    let reason = waits["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("jobs/counts.yaml:1:11: plugin `guest` not found"), "{reason}");
    // It need not be active.
    assert_eq!(push(&server, "guest", &version("rows")), 1);
    server.wait_for_job("counts", "the job to run", |job| job["state"] == "running");
    let mut posted = 0;
    post(&server, &mut posted, 10);
    for other in [version("count"), scalar_guest("traps_below_zero")] {
        let effects = activate(&server, "guest", push(&server, "guest", &other));
        assert_eq!(effects, json!([]), "also a version without its function is none of its business");
        let (_, job) = server.get("/v1/jobs/counts");
        let older = &job["older_versions"][0];
        assert_eq!((&older["version"], &older["pinned"]), (&json!(1), &json!(true)), "{job}");
        let (status, refused) = server.delete("/v1/plugins/guest");
        assert_eq!(status, 409, "{refused}");
    }
    post(&server, &mut posted, 2);
    assert_eq!(values(&server, "counts"), both(posted));
    server.kill();
    let server = Server::start(&project, SETTINGS);
    server.wait_ready();
    assert_eq!(values(&server, "counts"), both(posted));

    // The state of version 1 is not silently begun anew by version 2, and neither is version 2 what it says then.
    project.file("jobs/counts.yaml", &pinned(2));
    let (status, refused) = server.post("/v1/jobs/counts/restart", "");
    let said = refused.to_string();
    assert!(status == 422 && said.contains("version 1 of plugin `guest`"), "{refused}");
    assert!(said.contains("is planned with version 2"), "{refused}");
    assert_eq!(values(&server, "counts"), both(posted));
    let (status, answer) = server.post("/v1/jobs/counts/restart?upgrade=true", "");
    assert_eq!(status, 200, "{answer}");
    post(&server, &mut posted, 1);
    assert_eq!(values(&server, "counts"), both(1001));
    assert!(server.terminate().success());
    let told = |arguments: &[&str]| {
        let checked = project.weir("check", arguments);
        let text = [checked.stdout, checked.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
        (checked.status.success(), text.concat())
    };
    let (passes, said) = told(&["--explain"]);
    assert!(passes && said.contains("calls version 2 of plugin guest, which it pins  sha256:"), "{said}");
    project.file("jobs/counts.yaml", &pinned(9));
    let (passes, said) = told(&[]);
    let refusal = "jobs/counts.yaml:1:11: `plugins.guest`: plugin `guest` has no version 9; it has 1 to 3";
    assert!(!passes && said.contains(refusal), "{said}");
    project.file(
        "jobs/counts.yaml",
        &COUNTS.replace("g(x)", "COUNT(*)").replace("query", "plugins: {guest: 1}\nquery"),
    );
    let (_, said) = told(&[]);
    assert!(
        said.contains("warning: `plugins.guest`: has no effect: the job calls no function of it"),
        "{said}"
    );
}

#[test]
fn a_training_set_is_made_by_the_version_that_the_job_runs_with() {
    let (project, server, posted) = older_state();
    project.file("spine.csv", "k,event_time\na,2026-11-01T00:00:04Z\n");
    let path = |name: &str| project.path().join(name).display().to_string();
    let train = |output: &str| {
        let (spine, to) = (path("spine.csv"), path(output));
        let asked = ["--spine", &spine, "--features", "counts", "--as-of", "event", "-o", &to];
        let made = project.weir("train", &asked);
        let said = String::from_utf8_lossy(&made.stderr).into_owned();
        assert!(made.status.success(), "{said}");
        let rows = std::fs::read_to_string(project.path().join(output)).unwrap();
        let about = std::fs::read_to_string(project.path().join(format!("{output}.meta.json"))).unwrap();
        let about: Value = serde_json::from_str(&about).unwrap();
        (rows.lines().last().unwrap().to_owned(), about["jobs"]["counts"]["plugins"][0]["version"].clone())
    };
    let made = train("beside.csv");
    assert!(made.0.ends_with(",5") && made.1 == 1, "{made:?}");
    assert!(server.terminate().success());
    let made = train("alone.csv");
    assert!(made.0.ends_with(",5") && made.1 == 1, "{made:?}");
    let server = Server::start(&project, SETTINGS);
    server.wait_ready();
    assert_eq!(values(&server, "counts"), both(posted));
    let (status, answer) = server.post("/v1/jobs/counts/restart?upgrade=true", "");
    assert_eq!(status, 200, "{answer}");
    let made = train("upgraded.csv");
    assert!(made.0.ends_with(",1005") && made.1 == 2, "{made:?}");
    assert!(server.terminate().success());
}

const DAILY: &str = "query: |\n  SELECT origin, COUNT(*) AS flights, g(CAST(distance AS BIGINT)) AS n\n  FROM flights GROUP BY \
                     origin, TUMBLE(rowtime, INTERVAL '1' DAY)\nhistory: 10d\n";

/// Of each airport's days, how many flights there were, and what version made of them.
fn days(server: &Server) -> Vec<[i64; 2]> {
    let (_, job) = server.get("/v1/jobs/daily");
    let watermark = job["watermark"].as_str().unwrap().parse::<weir_event::EventTime>().unwrap().millis();
    let last = watermark.div_euclid(86_400_000) * 86_400_000;
    let mut all = Vec::new();
    for origin in ["EWR", "JFK", "LGA"] {
        for back in 0..8 {
            let as_of = last - back * 86_400_000 - 1;
            let asked = json!({"features": ["daily"], "entities": [{"origin": origin}], "as_of": as_of});
            let (status, answer) = server.post("/v1/lookup", asked.to_string());
            assert_eq!(status, 200, "{answer}");
            let features = &answer["rows"][0]["features"];
            let value = |name: &str| features[name]["value"].as_i64().unwrap_or_default();
            all.push([value("daily:flights"), value("daily:n")]);
        }
    }
    all
}

#[test]
fn an_upgrade_is_filled_from_the_archive_beside_the_job() {
    const SETTINGS: &str = "shards: 2\ncheckpoint: {every: 50ms}\n";
    let (project, all) = filling::project();
    project.file("jobs/daily.yaml", DAILY);
    let server = Server::start(&project, SETTINGS);
    activate(&server, "guest", push(&server, "guest", &version("rows")));
    bootstrap::post(&server, &all[ARCHIVED - 1..15_000]);
    bootstrap::bootstrapped(&server, "daily");
    server.wait_for_job("daily", "all events", |job| job["events"] == 15_000);
    let before = days(&server);
    assert!(before.iter().filter(|[flights, n]| *flights > 0 && n == flights).count() > 10, "{before:?}");
    activate(&server, "guest", push(&server, "guest", &version("count")));
    let (status, answer) = server.post("/v1/jobs/daily/restart?upgrade=true", "");
    assert_eq!(status, 200, "{answer}");
    assert!(!answer["filling"].is_null(), "{answer}");
    assert_eq!(days(&server), before, "it goes on meanwhile");
    server.kill();
    let server = Server::start(&project, SETTINGS);
    server.wait_ready();
    wait_for("the upgrade to be whole", Duration::from_secs(60), || {
        let (_, job) = server.get("/v1/jobs/daily");
        let is_changed = job["filling"].is_null() && job["older_versions"] == json!([]);
        (is_changed && job["state"] == "running").then_some(())
    });
    let upgraded = |[flights, _]: &[i64; 2]| [*flights, if *flights > 0 { flights + 1000 } else { 0 }];
    assert_eq!(days(&server), before.iter().map(upgraded).collect::<Vec<_>>());
    assert!(server.terminate().success());
}
