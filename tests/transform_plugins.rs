//! Plugins in derived features: another version reaches what runs, one without a function that is called is refused, and what
//! requests make a guest do does not stop the job that has it too.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Project, Server, repository};
use crate::zoo::{scalar_guest, transforming_guest};
use serde_json::{Value, json};

const STREAM: &str = "fields: {k: string, n: double, t: timestamp}\nevent_time: t\nsource: {http: {}}\n";

fn push(server: &Server, name: &str, component: &[u8]) -> u64 {
    let (status, answer) = server.post(&format!("/v1/plugins?name={name}"), component);
    assert_eq!(status, 201, "{answer}");
    answer["version"].as_u64().unwrap()
}

fn activate(server: &Server, name: &str, version: u64) -> (u16, Value) {
    server.post(&format!("/v1/plugins/{name}/activate"), json!({ "version": version }).to_string())
}

fn post(server: &Server, n: i64) {
    let event = json!({"k": "a", "n": n, "t": "2026-01-01T00:00:00Z"}).to_string();
    let (status, answer) = server.post("/v1/streams/s/events?wait=visible", event);
    assert_eq!((status, &answer["accepted"]), (200, &json!(1)), "{answer}");
}

#[test]
fn another_version_reaches_what_is_derived() {
    let geo = std::fs::read(repository().join("plugins/dist/geo.wasm")).unwrap();
    let project = Project::new();
    project.file("streams/s.yaml", STREAM).file(
        "jobs/j.yaml",
        "query: SELECT k, COUNT(*) AS n FROM s GROUP BY k\nemit: {on: change}\nrequest: {lat: double}\n\
         transform: {km: \"haversine_km(lat, 0.0, 0.0, 0.0)\"}\n",
    );
    let server = Server::start(&project, "");
    // It waits for the function, as it would for one of its query.
    server.wait_for_job("j", "the job to wait", |status| status["next_try"].is_string());
    let version = push(&server, "geo", &geo);
    assert_eq!(activate(&server, "geo", version).1["jobs"], json!([{"job": "j", "applied": true}]));
    server.wait_ready();
    post(&server, 1);
    let values = || {
        let (status, answer) = server.get("/v1/jobs/j/values?k=a&lat=1");
        assert_eq!(status, 200, "{answer}");
        answer
    };
    let before = values();
    assert!((before["features"]["km"]["value"].as_f64().unwrap() - 111.2).abs() < 0.2, "{before}");
    // The same functions in other bytes.
    let version = push(&server, "geo", &[geo, [&[0, 5, 4], b"note".as_slice()].concat()].concat());
    assert_eq!(activate(&server, "geo", version).1["jobs"], json!([{"job": "j", "applied": true}]));
    server.wait_for_job("j", "what was counted before", |status| status["events"] == 1);
    server.wait_ready();
    let after = values();
    let meta = |answer: &Value, name: &str| answer["jobs"]["j"][name].clone();
    assert_ne!(meta(&before, "transform"), meta(&after, "transform"));
    assert_eq!(meta(&before, "definition"), meta(&after, "definition"));
    assert_eq!(
        (&after["features"]["n"]["value"], &after["features"]["km"]),
        (&json!(1), &before["features"]["km"])
    );
    let without = push(&server, "geo", &scalar_guest("traps_below_zero"));
    let (status, refused) = activate(&server, "geo", without);
    assert_eq!(status, 409, "{refused}");
    assert!(refused.to_string().contains("does not have `haversine_km`, which job `j` calls"), "{refused}");
    assert!(server.terminate().success());
}

#[test]
fn what_requests_make_a_guest_do_does_not_stop_the_job() {
    let project = Project::new();
    project.file("streams/s.yaml", STREAM).file(
        "jobs/j.yaml",
        "query: SELECT k, SUM(f(n)) AS total FROM s GROUP BY k\nemit: {on: change}\nrequest: {given: double}\n\
         transform: {own: f(given), plain: total + given}\n",
    );
    let server = Server::start(&project, "");
    let version = push(&server, "guest", &scalar_guest("traps_below_zero"));
    assert_eq!(activate(&server, "guest", version).1["jobs"], json!([{"job": "j", "applied": true}]));
    server.wait_ready();
    post(&server, 7);
    let entity = |given: i64| json!({"k": "a", "request": {"given": given}});
    let ask = |givens: Vec<i64>| {
        let entities: Vec<Value> = givens.into_iter().map(entity).collect();
        let (status, answer) =
            server.post("/v1/lookup", json!({"features": ["j"], "entities": entities}).to_string());
        assert_eq!(status, 200, "{answer}");
        answer["rows"].as_array().unwrap().clone()
    };
    let sound = ask(vec![5, -1, 6]);
    let of = |row: &Value, name: &str| row["features"][format!("j:{name}")].clone();
    let statuses: Vec<Value> = sound.iter().map(|row| of(row, "own")["status"].clone()).collect();
    assert_eq!(statuses, ["ok", "error", "ok"], "{sound:?}");
    let total = of(&sound[0], "total")["value"].clone();
    // So many that nothing is called any more for a while.
    let stopped = ask((0..300).map(|given| -1 - given).collect());
    let reason = of(&stopped[299], "own")["reason"].clone();
    assert!(reason.as_str().unwrap().contains("plugin `guest`: stopped"), "{reason}");
    assert_eq!(
        (&of(&stopped[299], "total")["value"], &of(&stopped[299], "plain")["status"]),
        (&total, &json!("ok"))
    );
    post(&server, 7);
    let (_, answer) = server.get("/v1/jobs/j/values?k=a&given=1");
    assert_ne!(answer["features"]["total"]["value"], total, "its own calls go on: {answer}");
    let (_, described) = server.get("/v1/jobs/j");
    assert_eq!(described["state"], "running", "{described}");
    let callers: Vec<&Value> =
        described["plugins"].as_array().unwrap().iter().map(|usage| &usage["job"]).collect();
    assert_eq!(callers, ["j", "j:transform"], "{described}");
    assert!(server.terminate().success());
}

/// Three features share their call: one of them alone takes as many rows as all of them.
fn shares_its_call(server: &Server, entity: &Value) {
    let rows = || {
        let (_, described) = server.get("/v1/jobs/j");
        described["plugins"]
            .as_array()
            .unwrap()
            .iter()
            .map(|usage| usage["rows"].as_u64().unwrap())
            .sum::<u64>()
    };
    let ask = |features: &[&str]| {
        let before = rows();
        let asks = json!({"features": features, "entities": [entity]});
        assert_eq!(server.post("/v1/lookup", asks.to_string()).0, 200);
        rows() - before
    };
    assert_eq!((ask(&["j:own"]), ask(&["j:own", "j:same", "j:whole"])), (1, 1));
}

#[test]
fn what_a_call_gives_is_several_features_and_an_entity_that_fails_fails_alone() {
    let project = Project::new();
    project.file("streams/s.yaml", STREAM).file(
        "jobs/j.yaml",
        "query: SELECT k, COUNT(*) AS n FROM s GROUP BY k\nemit: {on: change}\nrequest: {x: double}\n\
         transform: {own: f(x).y, same: f(*).y, whole: f(x), twice: f(x).y * 2, some: \"CASE WHEN x > 0 THEN f(x).y END\"}\n\
         features: {same: {default: -7}}\n",
    );
    let server = Server::start(&project, "");
    server.wait_for_job("j", "the job to wait", |status| status["next_try"].is_string());
    let version = push(&server, "guest", &transforming_guest("transforms_all_but_negatives"));
    assert_eq!(activate(&server, "guest", version).1["jobs"], json!([{"job": "j", "applied": true}]));
    server.wait_ready();
    post(&server, 7);
    let entity = |given: Value| json!({"k": "a", "request": {"x": given}});
    let entities: Vec<Value> =
        [json!(1.5), json!(-1), Value::Null, json!(4)].into_iter().map(entity).collect();
    let (status, answer) =
        server.post("/v1/lookup", json!({"features": ["j"], "entities": entities}).to_string());
    assert_eq!(status, 200, "{answer}");
    let of = |row: usize, name: &str| answer["rows"][row]["features"][format!("j:{name}")].clone();
    for (row, value) in [(0, 1.5), (3, 4.0)] {
        for (name, expected) in [
            ("own", json!(value)),
            ("same", json!(value)),
            ("whole", json!({"y": value})),
            ("twice", json!(value * 2.0)),
            ("some", json!(value)),
        ] {
            assert_eq!(
                (&of(row, name)["value"], &of(row, name)["status"]),
                (&expected, &json!("ok")),
                "{name}: {answer}"
            );
        }
    }
    for name in ["own", "same", "whole", "twice"] {
        let reason = of(1, name)["reason"].to_string();
        assert!(
            reason.contains("call of `f`: trapped") && of(1, name)["status"] == "error",
            "{name}: {answer}"
        );
    }
    // What is asked for some rows alone is not called for the others.
    assert_eq!((&of(1, "some")["value"], &of(1, "some")["status"]), (&Value::Null, &json!("ok")), "{answer}");
    assert_eq!((&of(2, "own")["value"], &of(2, "own")["status"]), (&Value::Null, &json!("ok")), "{answer}");
    assert_eq!(
        (&of(2, "same")["value"], &of(2, "same")["status"]),
        (&json!(-7.0), &json!("default")),
        "{answer}"
    );
    shares_its_call(&server, &entity(json!(2)));
    // Queries have nothing of it.
    project.file("jobs/other.yaml", "query: SELECT k, SUM(f(n).y) AS total FROM s GROUP BY k\n");
    let checked = String::from_utf8_lossy(&project.weir("check", &[]).stderr).into_owned();
    assert!(checked.contains("write it in the job's `transform`"), "{checked}");
    assert!(server.terminate().success());
}
