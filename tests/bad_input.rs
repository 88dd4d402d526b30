//! Bad input, a row each: a clear error or a dead letter, nothing lost, the exit code of the contract.

use crate::harness::{Project, Server};
use serde_json::Value;

const STREAM: &str = "stream: s\nfields: {k: string, n: bigint, t: timestamp}\nevent_time: t\nsource: {file: {path: in.jsonl}}\n";
const JOB: &str = "query: |\n  SELECT k, SUM(n) AS total FROM s GROUP BY k, TUMBLE(t, INTERVAL '1' HOUR)\nsinks: [{file: {path: out}}]\n";

fn project() -> Project {
    let project = Project::new();
    project.file("streams/s.yaml", STREAM).file("jobs/j.yaml", JOB).file("in.jsonl", "");
    project
}

struct Wrong {
    what: &'static str,
    file: &'static str,
    text: &'static str,
    says: &'static [&'static str],
    code: i32,
}

const DEFINITIONS: &[Wrong] = &[
    Wrong { what: "malformed YAML", file: "jobs/j.yaml", text: "query: [", says: &["jobs/j.yaml:"], code: 1 },
    Wrong {
        what: "unknown key",
        file: "streams/s.yaml",
        text: "stream: s\nfields: {t: timestamp}\nevent_time: t\ndisordr: 5s\nsource: {file: {path: in.jsonl}}\n",
        says: &["streams/s.yaml:4:1", "disordr", "did you mean `disorder`"],
        code: 1,
    },
    Wrong {
        what: "unknown column",
        file: "jobs/j.yaml",
        text: "query: |\n  SELECT kk, SUM(n) AS total FROM s GROUP BY kk, TUMBLE(t, INTERVAL '1' HOUR)\n",
        says: &["jobs/j.yaml:2:", "kk"],
        code: 1,
    },
    Wrong {
        what: "type mismatch",
        file: "jobs/j.yaml",
        text: "query: |\n  SELECT k, SUM(k) AS total FROM s GROUP BY k, TUMBLE(t, INTERVAL '1' HOUR)\n",
        says: &["jobs/j.yaml:2:", "SUM"],
        code: 1,
    },
    Wrong {
        what: "missing plugin function",
        file: "jobs/j.yaml",
        text: "query: |\n  SELECT k, SUM(haversine_miles(n)) AS total FROM s GROUP BY k, TUMBLE(t, INTERVAL '1' HOUR)\n",
        says: &["jobs/j.yaml:2:", "haversine_miles"],
        code: 1,
    },
    Wrong {
        what: "a source that is not there yet",
        file: "streams/s.yaml",
        text: "stream: s\nfields: {t: timestamp}\nevent_time: t\nsource: {kinesis: {stream: x}}\n",
        says: &["weir 0.1 does not have the source `kinesis` yet"],
        code: 1,
    },
    Wrong {
        what: "beyond loopback without a token",
        file: "weir.yaml",
        text: "listen: 0.0.0.0:8080\n",
        says: &["weir.yaml:1:", "token"],
        code: 1,
    },
];

#[test]
fn wrong_definitions_are_told_with_their_place() {
    for wrong in DEFINITIONS {
        let project = project();
        project.file(wrong.file, wrong.text);
        for command in ["check", "run"] {
            let arguments: &[&str] = if command == "run" { &["--until-end"] } else { &[] };
            let output = project.weir(command, arguments);
            let text = String::from_utf8_lossy(&output.stderr).into_owned()
                + &String::from_utf8_lossy(&output.stdout);
            assert_eq!(output.status.code(), Some(wrong.code), "{}: {text}", wrong.what);
            for word in wrong.says {
                assert!(text.contains(word), "{}: `{word}` is not in: {text}", wrong.what);
            }
        }
    }
}

#[test]
fn a_query_of_a_megabyte_is_refused_at_once() {
    let project = project();
    let text = format!(
        "query: |\n  SELECT k, SUM({}n) AS total FROM s GROUP BY k, TUMBLE(t, INTERVAL '1' HOUR)\n",
        "1+".repeat(500_000)
    );
    project.file("jobs/j.yaml", &text);
    let output = project.weir("check", &[]);
    assert_eq!(
        output.status.code(),
        Some(1),
        "{}",
        String::from_utf8_lossy(&output.stderr).chars().take(500).collect::<String>()
    );
}

#[test]
fn bad_events_are_dead_letters_and_the_good_ones_count() {
    let project = project();
    let good = |n: u32| format!("{{\"k\":\"a\",\"n\":{n},\"t\":\"2026-01-01T00:00:0{n}Z\"}}\n");
    let mut events = good(1);
    events += "not json at all\n";
    events += "{\"k\":\"a\",\"n\":\"seven\",\"t\":\"2026-01-01T00:00:00Z\"}\n";
    events += "{\"k\":\"a\",\"n\":1,\"t\":null}\n";
    events += "{\"k\":\"a\",\"n\":1,\"t\":\"9999-01-01T00:00:00Z\"}\n";
    events += &good(2);
    events += &format!("{{\"k\":\"{}\",\"n\":1,\"t\":0}}\n", "x".repeat(20_000_000));
    events += &good(4);
    project.file("in.jsonl", &events);
    project.run(&[]);
    let rows = project.rows("out");
    assert_eq!(rows.len(), 1, "{rows:?}");
    assert_eq!(rows[0]["total"], 7);

    let server = Server::start(&project, "");
    server.wait_ready();
    let (status, letters) = server.get("/v1/deadletters/s?limit=10");
    assert_eq!(status, 200);
    let letters = letters["dead_letters"].as_array().expect("a list").clone();
    let offsets: Vec<u64> =
        letters.iter().filter_map(|letter| letter["position"]["offset"].as_u64()).collect();
    assert_eq!(offsets, [1, 2, 3, 4, 6], "{letters:?}");
    assert!(letters.iter().all(|letter| letter["reason"].as_str().is_some_and(|reason| !reason.is_empty())));
    assert_eq!(letters[1]["jobs"], serde_json::json!(["j"]));
}

#[test]
fn a_second_server_on_the_folder_and_a_taken_port_are_told() {
    let project = project();
    let server = Server::start(&project, "");
    let address = server.url().trim_start_matches("http://").to_owned();
    let output = project.weir("run", &["--until-end"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("in use"), "{text}");

    let other = self::project();
    other.file("weir.yaml", &format!("listen: {address}\n"));
    let output = other.weir("serve", &[]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(&address), "{text}");
}

#[test]
fn a_changed_plan_is_refused_until_its_state_is_dropped() {
    let project = project();
    project.file("in.jsonl", "{\"k\":\"a\",\"n\":1,\"t\":0}\n");
    project.run(&[]);
    project.file("jobs/j.yaml", &JOB.replace("SUM(n)", "MAX(n)"));
    let output = project.weir("run", &["--until-end"]);
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("--reset j"), "{text}");
    project.run(&["--reset", "j"]);
}

#[test]
fn state_that_cannot_be_used_is_told() {
    let project = project();
    project.run(&[]);
    let state = find(&project.path().join(".weir"), "state").expect("the store's state file");
    let kept = std::fs::read(&state).expect("it can be read");
    std::fs::write(&state, "garbage").expect("it can be written");
    let output = project.weir("run", &["--until-end"]);
    assert_eq!(output.status.code(), Some(3), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(&state, kept).expect("it can be written");
    project.run(&[]);

    let unreadable = self::project();
    unreadable.file(".weir", "a file where a folder should be");
    let output = unreadable.weir("run", &["--until-end"]);
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
}

fn find(folder: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        let path = entry.path();
        if path.is_file() && entry.file_name() == name {
            return Some(path);
        }
        if let Some(found) = path.is_dir().then(|| find(&path, name)).flatten() {
            return Some(found);
        }
    }
    None
}

#[test]
fn kafka_that_is_down_is_retried_and_says_so() {
    let project = project();
    let source = "source: {kafka: {brokers: \"127.0.0.1:1\", topic: t}}\n";
    project.file("streams/s.yaml", &STREAM.replace("source: {file: {path: in.jsonl}}\n", source));
    let server = Server::start(&project, "");
    let reason = crate::harness::wait_for("the job to retry", std::time::Duration::from_secs(30), || {
        let (_, job) = server.get("/v1/jobs/j");
        (job["state"] == "retrying").then(|| job["reason"].clone())
    });
    assert!(reason.as_str().is_some_and(|reason| reason.contains("127.0.0.1:1")), "{reason}");
    let (status, body): (u16, Value) = server.get("/readyz");
    assert_eq!(status, 503, "{body}");
    assert!(server.terminate().success());
}
