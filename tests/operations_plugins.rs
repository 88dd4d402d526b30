//! Plugins of a running server: what lacks a function waits for it, and another version reaches what runs.

use crate::harness::{Project, Server, repository};
use crate::zoo::{scalar_guest, tame_with};
use serde_json::{Value, json};

const STREAM: &str = "fields: {k: string, lat: double, t: timestamp}\nevent_time: t\nsource: {http: {}}\n";
const SCALAR: &str = "query: |\n  SELECT k, MAX(haversine_km(lat, 0.0, 0.0, 0.0)) AS km FROM s\n  GROUP BY k, \
                      TUMBLE(t, INTERVAL '1' HOUR)\n";
const AGGREGATE: &str =
    "query: |\n  SELECT k, trip(lat, lat) AS km FROM s GROUP BY k, TUMBLE(t, INTERVAL '1' HOUR)\n";
const PLAIN: &str = "query: |\n  SELECT k, COUNT(*) AS n FROM s GROUP BY k, TUMBLE(t, INTERVAL '1' HOUR)\n";
const EVENT: &str = r#"{"k":"a","lat":1.0,"t":"2026-01-01T00:00:00Z"}"#;

fn component(name: &str) -> Vec<u8> {
    std::fs::read(repository().join(format!("plugins/dist/{name}.wasm"))).expect("plugins/build made it")
}

/// The same functions in other bytes: a custom section named `note` is added.
fn other_bytes(mut component: Vec<u8>) -> Vec<u8> {
    component.extend_from_slice(&[0, 5, 4]);
    component.extend_from_slice(b"note");
    component
}

fn push(server: &Server, name: &str, component: &[u8]) -> u64 {
    let (status, answer) = server.post(&format!("/v1/plugins?name={name}"), component);
    assert_eq!(status, 201, "{answer}");
    answer["version"].as_u64().expect("a version")
}

fn activate(server: &Server, name: &str, version: u64) -> Value {
    let (status, answer) =
        server.post(&format!("/v1/plugins/{name}/activate"), json!({ "version": version }).to_string());
    assert_eq!(status, 200, "{answer}");
    answer["jobs"].clone()
}

fn post(server: &Server) {
    let (status, answer) = server.post("/v1/streams/s/events?wait=visible", EVENT);
    assert_eq!((status, &answer["accepted"]), (200, &json!(1)), "{answer}");
}

#[test]
fn a_server_starts_without_a_function_and_the_job_starts_with_it() {
    let project = Project::new();
    project.file("streams/s.yaml", STREAM).file("jobs/scalar.yaml", SCALAR);
    let server = Server::start(&project, "");
    let waits = server.wait_for_job("scalar", "the job to wait", |status| status["next_try"].is_string());
    let reason = waits["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("haversine_km") && reason.contains("weir plugin push"), "{reason}");
    assert_eq!(server.get("/readyz").0, 503);
    let version = push(&server, "geo", &component("geo"));
    assert_eq!(activate(&server, "geo", version), json!([{"job": "scalar", "applied": true}]));
    server.wait_ready();
    post(&server);
    assert_eq!(server.get("/v1/jobs/scalar/values?k=a").0, 200);
    assert!(server.terminate().success());
}

#[test]
fn a_component_put_into_the_project_is_found_by_what_waits_for_it() {
    let project = Project::new();
    project.file("streams/s.yaml", STREAM).file("jobs/scalar.yaml", SCALAR).file("jobs/plain.yaml", PLAIN);
    let server = Server::start(&project, "");
    server.wait_ready();
    server.wait_for_job("scalar", "the job to wait", |status| status["next_try"].is_string());
    std::fs::create_dir(project.path().join("plugins")).expect("a folder can be made");
    // Written aside and renamed, as whoever deploys does: a half file would be refused and tried again.
    std::fs::write(project.path().join("geo.new"), component("geo")).expect("a file can be written");
    std::fs::rename(project.path().join("geo.new"), project.path().join("plugins/geo.wasm"))
        .expect("it is there");
    server.wait_for_job("scalar", "the job to run", |status| status["state"] == "running");
    assert!(server.terminate().success());
}

#[test]
fn a_job_that_is_added_before_its_function_starts_when_that_becomes_active() {
    let project = Project::new();
    project.file("streams/s.yaml", STREAM).file("jobs/plain.yaml", PLAIN);
    let server = Server::start(&project, "");
    server.wait_ready();
    let without = push(&server, "geo", &scalar_guest("traps_below_zero"));
    activate(&server, "geo", without);
    project.file("jobs/scalar.yaml", SCALAR);
    server.signal("HUP");
    server.wait_for_job("scalar", "the job to wait", |status| status["next_try"].is_string());
    let version = push(&server, "geo", &component("geo"));
    assert_eq!(activate(&server, "geo", version), json!([{"job": "scalar", "applied": true}]));
    server.wait_for_job("scalar", "the job to run", |status| status["state"] == "running");
    assert!(server.terminate().success());
}

#[test]
fn another_version_reaches_what_runs_also_after_a_kill() {
    let project = Project::new();
    project
        .file("streams/s.yaml", STREAM)
        .file("jobs/scalar.yaml", SCALAR)
        .file("jobs/aggregate.yaml", AGGREGATE);
    let server = Server::start(&project, "");
    for name in ["geo", "trip"] {
        let version = push(&server, name, &component(name));
        activate(&server, name, version);
    }
    server.wait_ready();
    post(&server);
    let definition = |server: &Server, job: &str| {
        server.wait_for_job(job, "the job to run", |status| status["state"] == "running")["definition"]
            .clone()
    };
    let before = ["scalar", "aggregate"].map(|job| definition(&server, job));

    let version = push(&server, "geo", &other_bytes(component("geo")));
    assert_eq!(activate(&server, "geo", version), json!([{"job": "scalar", "applied": true}]));
    let after = definition(&server, "scalar");
    assert_ne!(after, before[0], "the version that makes a value is part of its definition");
    server.wait_for_job("scalar", "what was counted before", |status| status["events"] == 1);

    // Only the component that made a state can read it: the job keeps it until somebody decides.
    let version = push(&server, "trip", &other_bytes(component("trip")));
    let effects = activate(&server, "trip", version);
    assert_eq!(
        (&effects[0]["job"], &effects[0]["applied"]),
        (&json!("aggregate"), &json!(false)),
        "{effects}"
    );
    assert!(
        effects[0]["reason"].as_str().is_some_and(|reason| reason.contains("restart aggregate --upgrade")),
        "{effects}"
    );
    assert_eq!(definition(&server, "aggregate"), before[1], "it goes on with its own version");
    let (_, page) = server.get_text("/metrics");
    assert!(
        page.contains("weir_plugin_calls_total{job_name=\"aggregate\",plugin=\"trip\",version=\"1\"}"),
        "{page}"
    );
    let (status, answer) = server.delete("/v1/plugins/trip");
    assert_eq!(status, 409, "a job calls the version that is not active: {answer}");
    server.kill();

    let server = Server::start(&project, "");
    server.wait_ready();
    assert_eq!(definition(&server, "scalar"), after);
    assert_eq!(definition(&server, "aggregate"), before[1], "as before the kill");
    let (status, answer) = server.post("/v1/plugins/trip/rollback", "");
    assert_eq!((status, &answer["jobs"]), (200, &json!([])), "{answer}");
    assert_eq!(definition(&server, "aggregate"), before[1]);
    server.wait_for_job("aggregate", "what was counted before", |status| status["events"] == 1);
    assert!(server.terminate().success());
}

#[test]
fn what_a_job_calls_is_not_rolled_back_away() {
    let project = Project::new();
    project.file("streams/s.yaml", STREAM).file("jobs/scalar.yaml", SCALAR);
    let server = Server::start(&project, "");
    for guest in [scalar_guest("traps_below_zero"), component("geo")] {
        let version = push(&server, "geo", &guest);
        activate(&server, "geo", version);
    }
    server.wait_ready();
    server.wait_for_job("scalar", "the job to run", |status| status["state"] == "running");
    let (status, refused) = server.post("/v1/plugins/geo/rollback", "");
    assert_eq!(status, 409, "{refused}");
    assert!(refused.to_string().contains("version 1 of plugin `geo` does not have"), "{refused}");
    let (_, plugin) = server.get("/v1/plugins/geo");
    assert_eq!((&plugin["active"], &plugin["previous"]), (&json!(2), &json!(1)), "{plugin}");
    assert!(server.terminate().success());
}

/// A job over `f`, which the guest `traps_below_zero` exports.
fn over_f(argument: &str) -> String {
    format!(
        "query: |\n  SELECT k, MAX(f({argument})) AS most FROM s GROUP BY k, TUMBLE(t, INTERVAL '1' HOUR)\n"
    )
}

#[test]
fn rows_that_trap_in_one_job_stop_the_plugin_for_that_job_alone() {
    let project = Project::new();
    project
        .file("streams/s.yaml", STREAM)
        .file("jobs/bad.yaml", &over_f("lat"))
        .file("jobs/good.yaml", &over_f("ABS(lat)"));
    let server = Server::start(&project, "");
    let version = push(&server, "guest", &scalar_guest("traps_below_zero"));
    activate(&server, "guest", version);
    server.wait_ready();
    let rows: String = (0..150).map(|_| EVENT.replace("1.0", "-1.0") + "\n").collect();
    let (status, answer) = server.post("/v1/streams/s/events", rows);
    assert_eq!((status, &answer["accepted"]), (200, &json!(150)), "{answer}");
    let stopped = server.wait_for_job("bad", "the breaker to open", |status| status["state"] == "failed");
    let reason = stopped["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("plugin `guest`: stopped after 100 bad rows"), "{reason}");
    assert!(stopped["next_try"].is_string(), "{stopped}");
    assert!(stopped["fuel"].as_u64() > Some(0), "{stopped}");
    assert_eq!(
        (&stopped["plugins"][0]["plugin"], &stopped["plugins"][0]["breaker"]),
        (&json!("guest"), &json!("open"))
    );

    server.wait_for_job("good", "its rows", |status| status["events"] == 150);
    let (status, value) = server.get("/v1/jobs/good/values?k=a");
    assert_eq!((status, &value["features"]["most"]["current"]["value"]), (200, &json!(1.0)), "{value}");
    let (_, plugin) = server.get("/v1/plugins/guest");
    let used_by = plugin["used_by"].as_array().expect("both jobs use it");
    let breakers: Vec<_> = used_by.iter().map(|usage| (&usage["job"], &usage["breaker"])).collect();
    assert_eq!(breakers, [(&json!("bad"), &json!("open")), (&json!("good"), &json!("closed"))], "{plugin}");
    let (_, page) = server.get_text("/metrics");
    for (job, open) in [("bad", 1), ("good", 0)] {
        let line = format!(
            "weir_plugin_breaker_open{{job_name=\"{job}\",plugin=\"guest\",version=\"1\"}} {open}.0\n"
        );
        assert!(page.contains(&line), "{line}: {page}");
        assert!(page.contains(&format!("weir_plugin_fuel_total{{job_name=\"{job}\",")), "{page}");
    }
    assert!(server.terminate().success());
}

#[test]
fn a_version_without_a_function_that_a_running_job_calls_does_not_become_active() {
    let project = Project::new();
    project.file("streams/s.yaml", STREAM).file("jobs/scalar.yaml", SCALAR);
    let server = Server::start(&project, "");
    let version = push(&server, "geo", &component("geo"));
    activate(&server, "geo", version);
    server.wait_for_job("scalar", "the job to run", |status| status["state"] == "running");
    let (status, pushed) = server.post("/v1/plugins?name=geo", component("trip"));
    assert_eq!(status, 201, "{pushed}");
    let lost = pushed["lost"].as_array().expect("what the version does not have");
    assert!(lost.contains(&json!("haversine_km")), "{pushed}");
    let body = json!({ "version": pushed["version"] }).to_string();
    let (status, refused) = server.post("/v1/plugins/geo/activate", body);
    assert_eq!(status, 409, "{refused}");
    let detail = refused["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("`haversine_km`") && detail.contains("job `scalar` calls"), "{refused}");
    let (_, plugin) = server.get("/v1/plugins/geo");
    assert_eq!(plugin["active"], json!(version), "{plugin}");
    assert!(server.terminate().success());
}

#[test]
fn a_function_keeps_its_types_as_long_as_a_running_job_calls_it() {
    let project = Project::new();
    let job = SCALAR.replace("haversine_km(lat, 0.0, 0.0, 0.0)", "f(lat)");
    project.file("streams/s.yaml", STREAM).file("jobs/scalar.yaml", &job);
    let server = Server::start(&project, "");
    let version = push(&server, "guest", &scalar_guest("tame"));
    activate(&server, "guest", version);
    server.wait_for_job("scalar", "the job to run", |status| status["state"] == "running");
    let (arguments, result) = (r"\11\00\00\00\01\00\00\00", r"\20\00\00\00\01\00\00\00");
    let of_doubles = |place: &str| format!(r"{place}\02");
    let of_whole_numbers = |place: &str| format!(r"{place}\01");
    let changes = [arguments, result].map(|place| (of_doubles(place), of_whole_numbers(place)));
    let changed = tame_with(&changes.each_ref().map(|(from, to)| (from.as_str(), to.as_str())));
    let (status, pushed) = server.post("/v1/plugins?name=guest", &changed);
    assert_eq!((status, &pushed["lost"]), (201, &json!(["f"])), "{pushed}");
    let body = json!({ "version": pushed["version"] }).to_string();
    let (status, refused) = server.post("/v1/plugins/guest/activate", body);
    let detail = refused["detail"].as_str().unwrap_or_default();
    let said = "version 2 of plugin `guest` has `scalar f(x bigint) -> bigint` in place of `f`, which job `scalar` calls";
    assert!(status == 409 && detail.contains(said), "{refused}");
    post(&server);
    assert_eq!(server.get("/v1/jobs/scalar/values?k=a").0, 200);
    assert!(server.terminate().success());
}

#[test]
fn a_function_that_a_built_in_one_hides_is_refused() {
    let server = Server::start(&Project::new(), "");
    let renamed = tame_with(&[
        (r#""fx""#, r#""lnx""#),
        (r"\11\00\00\00\01", r"\12\00\00\00\01"),
        (r"\10\00\00\00\01", r"\10\00\00\00\02"),
    ]);
    let (status, refused) = server.post("/v1/plugins?name=guest", &renamed);
    let detail = refused["detail"].as_str().unwrap_or_default();
    assert!(status == 422 && detail.contains("`ln` is a built-in function"), "{refused}");
    assert!(detail.contains("rename the function"), "{refused}");
    assert!(server.terminate().success());
}

#[test]
fn a_server_starts_with_a_plugin_that_may_not_have_what_it_needs() {
    let project = Project::new();
    project.file("streams/s.yaml", STREAM).file("jobs/plain.yaml", PLAIN).file("jobs/scalar.yaml", SCALAR);
    let server = Server::start(&project, "");
    let version = push(&server, "geo", &component("geo"));
    activate(&server, "geo", version);
    server.wait_for_job("scalar", "the job to run", |status| status["state"] == "running");
    post(&server);
    assert!(server.terminate().success());

    let server = Server::start(&project, "plugins: {geo: {memory: 1KiB}}\n");
    server.wait_for_job("plain", "the other job to run", |status| status["state"] == "running");
    let waits = server.wait_for_job("scalar", "the job to wait", |status| status["next_try"].is_string());
    let reason = waits["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("of which it may have 1024 (`memory` of the plugin in weir.yaml)"), "{reason}");
    assert_eq!(server.get("/v1/jobs/plain/values?k=a").0, 200);
    assert!(server.terminate().success());

    let server = Server::start(&project, "");
    server.wait_ready();
    assert_eq!(server.get("/v1/jobs/scalar/values?k=a").0, 200);
    assert!(server.terminate().success());
}
