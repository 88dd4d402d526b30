//! Features that are added to a job, or changed, while it serves: they are made beside it from the archive of its stream, and
//! are whole when lookups change to them; what did not change is answered all the time.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::disallowed_methods, reason = "a server is let run for a moment before it is killed")]

use crate::bootstrap::{bootstrapped, known_flights, post, stream, write_archive};
use crate::harness::{Project, Server, wait_for};
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) const ARCHIVED: usize = 13_000;
const SETTINGS: &str = "shards: 2\ncheckpoint: {every: 50ms}\n";
const WINDOW: &str = "FROM flights GROUP BY origin, TUMBLE(rowtime, INTERVAL '1' DAY)";

fn write_job(project: &Project, features: &str, version: u32) {
    let sinks = "sinks: [{file: {path: out}}]\n";
    let text =
        format!("version: {version}\nquery: |\n  SELECT origin, {features} {WINDOW}\nhistory: 10d\n{sinks}");
    project.file("jobs/daily.yaml", &text);
}

/// What is served of each airport's days: by airport and the end of the day, the features.
fn served(server: &Server, days: &[i64]) -> Vec<Value> {
    let mut all = Vec::new();
    for origin in ["EWR", "JFK", "LGA"] {
        for day in days {
            let request = json!({"features": ["daily"], "entities": [{"origin": origin}], "as_of": day});
            let (status, answer) = server.post("/v1/lookup", request.to_string());
            assert_eq!(status, 200, "{answer}");
            all.push(answer["rows"][0]["features"].clone());
        }
    }
    all
}

/// The ends of the days that are kept, less a millisecond.
fn days(server: &Server) -> Vec<i64> {
    let job = server.wait_for_job("daily", "its watermark", |job| job["watermark"].is_string());
    let watermark = job["watermark"].as_str().unwrap().parse::<weir_event::EventTime>().unwrap().millis();
    let last = watermark.div_euclid(86_400_000) * 86_400_000;
    (0..8).map(|back| last - back * 86_400_000 - 1).collect()
}

/// Flights that are archived, and a stream that has them and takes more; and all flights.
pub(crate) fn project() -> (Project, Vec<String>) {
    let all = known_flights();
    let project = Project::new();
    write_archive(&project, &all[..ARCHIVED], &[]);
    let archive = "archive: {source: {file: {path: \"archive/dt=*/*.parquet\"}}, format: parquet}\n";
    project.file("streams/flights.yaml", &stream(&format!("source: {{http: {{}}}}\n{archive}")));
    (project, all)
}

fn is_filled(job: &Value) -> bool {
    let features = job["features"].as_array().unwrap();
    features.iter().any(|feature| feature["name"] == "miles")
        && job["filling"].is_null()
        && job["state"] == "running"
}

/// A server that starts has nothing to make any more.
#[track_caller]
fn assert_nothing_is_made(project: &Project) {
    let server = Server::start(project, SETTINGS);
    server.wait_ready();
    let (_, job) = server.get("/v1/jobs/daily");
    assert!(is_filled(&job) && job["events"] == 15_000, "{job}");
}

/// A job with these features that has the archive, and events behind it.
fn begun(project: &Project, all: &[String], features: &str) -> Server {
    write_job(project, features, 1);
    let server = Server::start(project, SETTINGS);
    post(&server, &all[ARCHIVED - 1..15_000]);
    bootstrapped(&server, "daily");
    server.wait_for_job("daily", "all events", |job| job["events"] == 15_000);
    server
}

/// What a job with all features that began anew serves.
fn begun_anew(all: &[String], days: &[i64]) -> Vec<Value> {
    let (project, _) = project();
    let server = begun(&project, all, "COUNT(*) AS flights, SUM(distance) AS miles");
    served(&server, days)
}

fn values(features: &[Value]) -> Vec<[Value; 4]> {
    let of = |features: &Value| {
        let [flights, miles] = ["daily:flights", "daily:miles"].map(|name| &features[name]);
        [&flights["value"], &flights["status"], &miles["value"], &miles["status"]].map(Value::clone)
    };
    features.iter().map(of).collect()
}

#[test]
fn a_feature_that_is_added_is_whole_when_lookups_change_to_it() {
    let (project, all) = project();
    write_job(&project, "COUNT(*) AS flights", 1);
    let server = Server::start(&project, SETTINGS);
    post(&server, &all[ARCHIVED - 1..14_000]);
    bootstrapped(&server, "daily");
    let days = days(&server);
    let before = served(&server, &days);
    write_job(&project, "COUNT(*) AS flights, SUM(distance) AS miles", 1);
    server.signal("HUP");
    let filled = wait_for("the feature to be whole", Duration::from_secs(60), || {
        // What did not change is answered meanwhile as it was.
        for (now, before) in served(&server, &days).iter().zip(&before) {
            assert_eq!(now["daily:flights"]["value"], before["daily:flights"]["value"]);
            // The job stops for a moment when it is changed.
            let status = &now["daily:flights"]["status"];
            let is_changing = status == "stale" || status == "catching_up";
            assert!(*status == before["daily:flights"]["status"] || is_changing, "{now}");
        }
        let (_, job) = server.get("/v1/jobs/daily");
        is_filled(&job).then_some(job)
    });
    assert_eq!(filled["data_since"], Value::Null, "{filled}");
    post(&server, &all[14_000..15_000]);
    server.wait_for_job("daily", "all events", |job| job["events"] == 15_000);
    assert_eq!(values(&served(&server, &days)), values(&begun_anew(&all, &days)));
    assert!(server.terminate().success());
    // Each key's current row has the new column; so have all later ones.
    let rows = project.rows("out");
    let newest = rows.iter().rev().find(|row| row["origin"] == "EWR").unwrap();
    assert!(newest["miles"].is_i64(), "{newest}");
    assert_nothing_is_made(&project);
}

#[test]
fn what_is_made_beside_a_job_goes_on_after_kills() {
    let (project, all) = project();
    let server = begun(&project, &all, "COUNT(*) AS flights");
    let days = days(&server);
    write_job(&project, "COUNT(*) AS flights, SUM(distance) AS miles", 1);
    server.signal("HUP");
    std::thread::sleep(Duration::from_millis(20));
    server.kill();
    for pause in [10, 40, 70, 100, 130, 160] {
        let server = Server::start(&project, SETTINGS);
        std::thread::sleep(Duration::from_millis(pause));
        server.kill();
    }
    let server = Server::start(&project, SETTINGS);
    wait_for("the feature to be whole", Duration::from_secs(60), || {
        let (_, job) = server.get("/v1/jobs/daily");
        let is_whole = is_filled(&job) && job["data_since"].is_null() && job["ready"] == true;
        let all_whole = || values(&served(&server, &days)).iter().all(|[_, _, _, miles]| miles == "ok");
        (is_whole && all_whole()).then_some(())
    });
    assert_eq!(values(&served(&server, &days)), values(&begun_anew(&all, &days)));
}

#[test]
fn a_job_that_is_older_than_the_archive_of_its_stream_gets_the_past() {
    let (project, all) = project();
    let without = stream("source: {http: {}}\n");
    let with = std::fs::read_to_string(project.path().join("streams/flights.yaml")).unwrap();
    project.file("streams/flights.yaml", &without);
    write_job(&project, "COUNT(*) AS flights, SUM(distance) AS miles", 1);
    let server = Server::start(&project, SETTINGS);
    post(&server, &all[12_000..15_000]);
    server.wait_for_job("daily", "all events", |job| job["events"] == 3000);
    assert!(server.terminate().success());
    // It has all of its log, so that nothing tells it from a job that has everything: it goes on so.
    project.file("streams/flights.yaml", &with);
    let server = Server::start(&project, SETTINGS);
    server.wait_ready();
    let (_, job) = server.get("/v1/jobs/daily");
    assert_eq!((&job["events"], &job["filling"]), (&json!(3000), &Value::Null), "{job}");
    // Anew it begins with the past.
    let (code, told) = server.weir(&["restart", "daily", "--reset"]);
    assert_eq!(code, Some(0), "{told}");
    bootstrapped(&server, "daily");
    server.wait_for_job("daily", "all events", |job| job["events"] == 15_000);
}

/// A job with a result for every event; `more` are further features.
fn write_events_job(project: &Project, more: &str) {
    let query = format!("SELECT flight_id, origin, COUNT(*) OVER w AS n{more} FROM events");
    let window = "WINDOW w AS (PARTITION BY origin ORDER BY at RANGE INTERVAL '7' DAY PRECEDING)";
    project
        .file("jobs/each.yaml", &format!("query: |\n  {query} {window}\nsinks: [{{file: {{path: out}}}}]\n"));
}

#[test]
fn every_event_has_its_row_while_jobs_change_to_what_was_made_beside_them() {
    const ARCHIVE: i64 = 20_000;
    const KEYS: i64 = 3;
    let project = Project::new();
    let event = |number: i64| json!({"flight_id": number, "origin": format!("k{}", number % KEYS), "at": 1_770_000_000_000_i64 + number * 100});
    let lines =
        |numbers: std::ops::Range<i64>| numbers.map(|n| format!("{}\n", event(n))).collect::<String>();
    project.file("archive/a.jsonl", &lines(0..ARCHIVE));
    let archive = "archive: {source: {file: {path: \"archive/*\"}}}\n";
    let fields =
        "fields: {flight_id: bigint, origin: string, at: timestamp}\nevent_time: at\nidle_after: 1m\n";
    project.file("streams/events.yaml", &format!("{fields}source: {{http: {{}}}}\n{archive}"));
    write_events_job(&project, "");
    let server = Server::start(&project, SETTINGS);
    let post = |numbers: std::ops::Range<i64>| {
        let (status, answer) = server.post("/v1/streams/events/events", lines(numbers));
        assert_eq!(status, 200, "{answer}");
    };
    post(ARCHIVE - 1..ARCHIVE + 1);
    bootstrapped(&server, "each");
    let mut next = ARCHIVE + 1;
    for edit in 1..=3 {
        write_events_job(&project, &format!(", SUM(flight_id + {edit}) OVER w AS s{edit}"));
        server.signal("HUP");
        let mut begun = false;
        wait_for("the change", Duration::from_secs(60), || {
            post(next..next + 7);
            next += 7;
            let (_, job) = server.get("/v1/jobs/each");
            begun |= !job["filling"].is_null();
            (begun && job["filling"].is_null() && job["state"] == "running").then_some(())
        });
    }
    post(next..next + 50);
    next += 50;
    let all = u64::try_from(next + 1).unwrap() - 1;
    server.wait_for_job("each", "all events", |job| job["events"] == all);
    assert!(server.terminate().success());
    let mut rows = std::collections::BTreeMap::<i64, Vec<Value>>::new();
    for row in project.rows("out") {
        rows.entry(row["flight_id"].as_i64().unwrap()).or_default().push(row);
    }
    // The newest of all is not settled; before the end of the past there are but current rows.
    let missing: Vec<i64> = (ARCHIVE..next - 1).filter(|number| !rows.contains_key(number)).collect();
    assert!(missing.is_empty(), "{} of {} have no row: {missing:?}", missing.len(), next - ARCHIVE);
    let twice = rows.values().filter(|rows| rows.len() > 1).count() as i64;
    assert!(twice <= 3 * KEYS, "{twice} have more rows than one");
    for (number, rows) in rows {
        // All events of its key so far, whatever wrote the row.
        let expected = number / KEYS + 1;
        assert!(rows.iter().all(|row| row["n"] == expected), "{number}: {rows:?}");
    }
}

/// Serves the job by an earlier definition until the other one is whole; what is asked of it meanwhile is `ok`.
fn changes_to_the_new_definition(project: &Project, all: &[String], days: &[i64], before: &[Value]) {
    let server = Server::start(project, SETTINGS);
    server.wait_ready();
    let (_, job) = server.get("/v1/jobs/daily");
    let is_new = |job: &Value| job["features"].as_array().unwrap().iter().any(|it| it["name"] == "miles");
    assert!(!is_new(&job) || is_filled(&job), "{job}");
    wait_for("the feature to be whole", Duration::from_secs(60), || {
        for (now, before) in served(&server, days).iter().zip(before) {
            assert_eq!(now["daily:flights"]["value"], before["daily:flights"]["value"]);
            assert!(now["daily:miles"].is_null() || now["daily:miles"]["status"] != "partial", "{now}");
        }
        let (_, job) = server.get("/v1/jobs/daily");
        (is_filled(&job) && job["data_since"].is_null()).then_some(())
    });
    assert_eq!(values(&served(&server, days)), values(&begun_anew(all, days)));
    assert!(server.terminate().success());
}

#[test]
fn a_server_that_starts_with_an_edited_job_goes_on_by_the_earlier_one_until_the_other_is_whole() {
    let (project, all) = project();
    let server = begun(&project, &all, "COUNT(*) AS flights");
    let days = days(&server);
    let before = served(&server, &days);
    assert!(server.terminate().success());
    // Edited while nothing runs, and once more while what was begun by the first edit is not whole.
    write_job(&project, "COUNT(*) AS flights, AVG(distance) AS mean", 1);
    let server = Server::start(&project, SETTINGS);
    server.kill();
    write_job(&project, "COUNT(*) AS flights, SUM(distance) AS miles", 1);
    changes_to_the_new_definition(&project, &all, &days, &before);
    assert_nothing_is_made(&project);
}
