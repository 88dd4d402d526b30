//! Definitions that change, or are not files, below a server: what is acknowledged is read by every job of its stream.

use crate::harness::{Project, Server, wait_for};
use serde_json::json;
use std::process::Command;
use std::time::Duration;

const STREAM: &str = "fields: {k: string, n: bigint, t: timestamp}\nevent_time: t\nsource: {http: {}}\n";
const JOB: &str = "query: |\n  SELECT k, COUNT(*) AS n FROM s GROUP BY k, TUMBLE(t, INTERVAL '1' HOUR)\n";
const EVENT: &str = r#"{"k":"a","n":1,"t":"2026-01-01T00:00:00Z"}"#;
/// As [`EVENT`] is by a stream whose `n` is a text.
const CHANGED_EVENT: &str = r#"{"k":"a","n":"one","t":"2026-01-01T00:00:00Z"}"#;

fn project(jobs: &[&str]) -> Project {
    let project = Project::new();
    project.file("streams/s.yaml", STREAM);
    for job in jobs {
        project.file(&format!("jobs/{job}.yaml"), JOB);
    }
    project
}

fn accepts(server: &Server, event: &str) -> bool {
    let (status, answer) = server.post("/v1/streams/s/events?wait=visible", event);
    status == 200 && answer["accepted"] == json!(1) && answer["rejected"] != json!(1)
}

#[test]
fn a_changed_stream_is_not_taken_from_under_the_jobs_that_read_it() {
    let project = project(&["one", "two", "three"]);
    let server = Server::start(&project, "");
    server.wait_ready();
    assert!(accepts(&server, EVENT));
    let (_, before) = server.get("/v1/jobs/one");
    for changed in [
        STREAM.replace("n: bigint", "n: string"),
        format!("{STREAM}disorder: 5s\n"),
        STREAM.replace("{http: {}}", "{file: {path: rows.jsonl}}"),
    ] {
        project.file("rows.jsonl", "").file("streams/s.yaml", &changed);
        for reset in ["", "?reset=true"] {
            let (status, problem) = server.post(&format!("/v1/jobs/one/restart{reset}"), "");
            let detail = problem["detail"].as_str().unwrap_or_default();
            assert_eq!(status, 422, "{problem}");
            let says = ["stream `s`", "`two`", "`three`", "restart the server"];
            assert!(says.iter().all(|says| detail.contains(says)), "{problem}");
            let readers = detail.split("; restart").next().unwrap_or_default();
            assert!(!readers.contains("`one`"), "{problem}");
        }
    }
    std::fs::remove_file(project.path().join("streams/s.yaml")).expect("it is there");
    assert_eq!(server.post("/v1/jobs/one/restart", "").0, 422);
    let (_, after) = server.get("/v1/jobs/one");
    assert_eq!(
        (&after["state"], &after["events"]),
        (&before["state"], &json!(1)),
        "nothing changed: {after}"
    );
    assert!(accepts(&server, EVENT) && !accepts(&server, CHANGED_EVENT));
    for job in ["one", "two", "three"] {
        server.wait_for_job(job, "both events", |status| status["events"] == 2);
    }
    // The file as it was: nothing speaks against it.
    project.file("streams/s.yaml", STREAM);
    assert_eq!(server.post("/v1/jobs/one/restart", "").0, 200);
    assert!(server.terminate().success());
}

#[test]
fn a_changed_stream_comes_with_its_only_job_and_with_all_jobs_at_once() {
    let project = project(&["one"]);
    let server = Server::start(&project, "");
    server.wait_ready();
    project.file("streams/s.yaml", &STREAM.replace("n: bigint", "n: string"));
    let (status, answer) = server.post("/v1/jobs/one/restart", "");
    assert_eq!(status, 200, "{answer}");
    assert!(accepts(&server, CHANGED_EVENT));

    project.file("jobs/two.yaml", JOB);
    assert_eq!(server.post("/v1/jobs/two/restart", "").0, 200);
    project.file("streams/s.yaml", &STREAM.replace("n: bigint", "n: string, more: string"));
    assert_eq!(server.post("/v1/jobs/two/restart", "").0, 422);
    server.signal("HUP");
    let more = r#"{"k":"a","n":"one","more":"x","t":"2026-01-01T00:00:00Z"}"#;
    wait_for("both jobs to be planned anew", Duration::from_secs(30), || {
        (server.post("/v1/jobs/two/restart", "").0 == 200).then_some(())
    });
    assert!(accepts(&server, more));
    assert!(server.terminate().success());
}

#[test]
fn a_hangup_leaves_a_stream_to_jobs_one_of_which_cannot_follow() {
    let project = project(&["one", "two"]);
    let server = Server::start(&project, "checkpoint: {every: 1h}\n");
    server.wait_ready();
    assert!(accepts(&server, EVENT));
    let (status, answer) = server.post("/v1/jobs/one/restart", "");
    assert_eq!(status, 200, "its state is committed: {answer}");
    // It has other values under the same name and version, which its state keeps it from.
    project.file("jobs/one.yaml", &JOB.replace("COUNT(*) AS n", "SUM(n) AS n"));
    project.file("streams/s.yaml", &STREAM.replace("n: bigint", "n: double"));
    server.signal("HUP");
    wait_for("the definitions to be read", Duration::from_secs(30), || {
        let log = std::fs::read_to_string(project.path().join("serve.log")).expect("a log");
        log.contains("were read again").then_some(log)
    });
    let half = EVENT.replace("\"n\":1", "\"n\":1.5");
    assert!(accepts(&server, EVENT) && !accepts(&server, &half));
    for job in ["one", "two"] {
        server.wait_for_job(job, "both events", |status| status["events"] == 2);
    }
    let log = std::fs::read_to_string(project.path().join("serve.log")).expect("a log");
    assert!(log.contains("--reset one") && log.contains("stream `s` has changed"), "{log}");
    assert!(server.terminate().success());
}

#[test]
fn what_is_not_a_file_is_refused_by_name_and_the_rest_serves() {
    let project = project(&["one"]);
    let at = |path: &str| project.path().join(path);
    let made = Command::new("mkfifo").args([at("jobs/pipe.yaml"), at("streams/pipe.yaml")]).status();
    assert!(made.expect("mkfifo runs").success());
    std::os::unix::fs::symlink("/dev/zero", at("jobs/zero.sql")).expect("a link");
    std::os::unix::fs::symlink("..", at("jobs/loop")).expect("a link");
    let large = std::fs::File::create(at("jobs/large.yaml")).expect("a file");
    large.set_len(8 << 30).expect("a file with a hole");
    let says = [
        "jobs/pipe.yaml:1:1",
        "streams/pipe.yaml:1:1",
        "jobs/zero.sql:1:1",
        "jobs/large.yaml:1:1",
        "jobs/loop",
    ];
    let checked = project.command("check", &[]).env("WEIR_LIMTS_BODY", "1").output().expect("weir starts");
    let said = String::from_utf8_lossy(&checked.stdout) + String::from_utf8_lossy(&checked.stderr);
    assert_eq!(checked.status.code(), Some(1), "{said}");
    assert!(says.iter().all(|says| said.contains(says)), "{said}");
    assert!(said.contains("WEIR_LIMTS_BODY") && said.contains("did you mean `WEIR_LIMITS_BODY`?"), "{said}");

    let server = Server::start(&project, "");
    server.wait_ready();
    assert!(accepts(&server, EVENT));
    for job in ["pipe", "large"] {
        let (_, status) = server.get(&format!("/v1/jobs/{job}"));
        let reason = status["reason"].as_str().unwrap_or_default();
        assert!(reason.contains(&format!("jobs/{job}.yaml:1:1")), "{status}");
    }
    assert!(server.terminate().success());
}
