//! Features that are added to a job that knows more of the past than its archive does now: what did not change stays as it
//! was, whatever becomes of what was added, and the job says why.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::bootstrap::{bootstrapped, post};
use crate::filling::{ARCHIVED, project};
use crate::harness::{Project, Server, wait_for};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

const POSTED: usize = 15_000;
const SETTINGS: &str = "shards: 2\ncheckpoint: {every: 50ms}\n";
const AIRPORTS: [&str; 3] = ["EWR", "JFK", "LGA"];

fn write_job(project: &Project, features: &str, windows: &str, rest: &str) {
    let text = format!("query: |\n  SELECT origin, {features} FROM flights GROUP BY origin{windows}\n{rest}");
    project.file("jobs/all.yaml", &text);
}

fn write_lifetime(project: &Project, features: &str) {
    write_job(project, features, "", "emit: {on: change}\nhistory: 1d\n");
}

/// A job that has the archive, and events behind it.
fn running(project: &Project, all: &[String]) -> Server {
    let server = Server::start(project, SETTINGS);
    post(&server, &all[ARCHIVED - 1..POSTED]);
    bootstrapped(&server, "all");
    server.wait_for_job("all", "all events", |job| job["events"] == POSTED);
    server
}

/// Of each airport.
fn served(server: &Server) -> Vec<Value> {
    let one = |origin: &str| {
        let request = json!({"features": ["all"], "entities": [{"origin": origin}]});
        let (status, answer) = server.post("/v1/lookup", request.to_string());
        assert_eq!(status, 200, "{answer}");
        answer["rows"][0]["features"].clone()
    };
    AIRPORTS.map(one).to_vec()
}

fn flights(served: &[Value]) -> Vec<Value> {
    served.iter().map(|of| of["all:flights"]["value"].clone()).collect()
}

/// The folders of the archive's first days go elsewhere, as a retention deletes them.
fn put_away(project: &Project, days: usize) -> Vec<(PathBuf, PathBuf)> {
    let mut folders: Vec<PathBuf> = std::fs::read_dir(project.path().join("archive"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    folders.sort();
    let away = project.path().join("away");
    std::fs::create_dir_all(&away).unwrap();
    let moved = |folder: PathBuf| (folder.clone(), away.join(folder.file_name().unwrap()));
    let moved: Vec<_> = folders.into_iter().take(days).map(moved).collect();
    moved.iter().for_each(|(from, to)| std::fs::rename(from, to).unwrap());
    moved
}

fn has_miles(job: &Value) -> bool {
    job["features"].as_array().unwrap().iter().any(|feature| feature["name"] == "miles")
}

/// Waits for a job that has taken its new definition without what was made beside it.
fn declined(server: &Server) -> String {
    let is_declined = |job: &Value| {
        let is_so =
            job["filling"]["state"] == "declined" && job["state"] == "running" && job["ready"] == true;
        is_so && has_miles(job)
    };
    let job = server.wait_for_job("all", "what was made beside it to be declined", is_declined);
    job["filling"]["reason"].as_str().unwrap().to_owned()
}

#[test]
fn features_that_did_not_change_keep_what_the_archive_does_not_have_any_more() {
    let (project, all) = project();
    write_lifetime(&project, "COUNT(*) AS flights");
    let server = running(&project, &all);
    let before = flights(&served(&server));
    let moved = put_away(&project, 5);
    write_lifetime(&project, "COUNT(*) AS flights, SUM(distance) AS miles");
    server.signal("HUP");
    let reason = declined(&server);
    assert!(
        reason.contains(" rows between 2013-01-0") && reason.contains("`weir restart all --reset`"),
        "{reason}"
    );
    let is_kept = |served: Vec<Value>| {
        assert_eq!(flights(&served), before);
        for of in served {
            assert_eq!(
                (&of["all:flights"]["status"], &of["all:miles"]["status"]),
                (&json!("ok"), &json!("partial")),
                "{of}"
            );
        }
    };
    is_kept(served(&server));
    let (_, told) = server.weir(&["status"]);
    assert!(told.contains(&format!("has not taken its place: {reason}")), "{told}");
    // A server that starts again knows it: it does not read the archive once more.
    server.kill();
    let server = Server::start(&project, SETTINGS);
    server.wait_ready();
    assert_eq!(declined(&server), reason);
    is_kept(served(&server));
    // Once the archive has everything, what was added is made as asked.
    moved.iter().for_each(|(from, to)| std::fs::rename(to, from).unwrap());
    let (code, told) = server.weir(&["restart", "all"]);
    assert_eq!(code, Some(0), "{told}");
    wait_for("the feature to be whole", Duration::from_secs(60), || {
        let (_, job) = server.get("/v1/jobs/all");
        (job["filling"].is_null() && job["state"] == "running" && job["ready"] == true).then_some(())
    });
    let whole = served(&server);
    assert_eq!(flights(&whole), before);
    assert!(whole.iter().all(|of| of["all:miles"]["status"] == "ok"), "{whole:?}");
    server.wait_for_job("all", "all events", |job| job["events"] == POSTED);
}

#[test]
fn an_archive_with_a_hole_is_told_with_the_time_of_the_hole() {
    let (project, all) = project();
    write_lifetime(&project, "COUNT(*) AS flights");
    let server = running(&project, &all);
    let before = flights(&served(&server));
    let hole = project.path().join("archive/dt=2013-01-09");
    assert!(hole.is_dir());
    std::fs::remove_dir_all(hole).unwrap();
    write_lifetime(&project, "COUNT(*) AS flights, SUM(distance) AS miles");
    server.signal("HUP");
    let reason = declined(&server);
    assert!(reason.contains("rows between 2013-01-09T"), "{reason}");
    assert_eq!(flights(&served(&server)), before);
    // As they say who ask for that, the job begins anew with what the archive has.
    let (code, told) = server.weir(&["restart", "all", "--reset"]);
    assert_eq!(code, Some(0), "{told}");
    bootstrapped(&server, "all");
    let job = server.wait_for_job("all", "all events", |job| job["events"].as_u64() > Some(13_000));
    assert_eq!(job["filling"], Value::Null, "{job}");
    assert_ne!(flights(&served(&server)), before);
}

#[test]
fn what_no_feature_counts_any_more_may_be_missing() {
    let (project, all) = project();
    let (windows, rest) = (", TUMBLE(rowtime, INTERVAL '1' DAY)", "history: 2d\n");
    write_job(&project, "COUNT(*) AS flights", windows, rest);
    let server = running(&project, &all);
    put_away(&project, 5);
    write_job(&project, "COUNT(*) AS flights, SUM(distance) AS miles", windows, rest);
    server.signal("HUP");
    let is_filled = |job: &Value| has_miles(job) && job["filling"].is_null() && job["state"] == "running";
    server.wait_for_job("all", "the feature to be whole", is_filled);
    assert!(served(&server).iter().all(|of| of["all:miles"]["status"] == "ok"));
}
