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
        what: "a stream that is fed what its job writes",
        file: "streams/s.yaml",
        text: "stream: s\nfields: {k: string, n: bigint, t: timestamp}\nevent_time: t\nsource: {file: {path: \"**/*.jsonl\"}}\n",
        says: &["jobs/j.yaml:1:1", "out/j-*.jsonl is read by the stream `s`", "write to a folder"],
        code: 1,
    },
    Wrong {
        what: "a sink among the server's data",
        file: "jobs/j.yaml",
        text: "query: SELECT k, n FROM s\nsinks: [{file: {path: .weir/out}}]\n",
        says: &["jobs/j.yaml:1:1", ".weir/out/j-*.jsonl is in `data_dir`"],
        code: 1,
    },
    Wrong {
        what: "a sink that is not there yet",
        file: "jobs/j.yaml",
        text: "query: SELECT k, n FROM s\nsinks: [{kinesis: {stream: x}}]\n",
        says: &["weir 0.1 does not have the sink `kinesis` yet"],
        code: 1,
    },
    Wrong {
        what: "where a stream of Kinesis begins and is asked for",
        file: "streams/s.yaml",
        text: "stream: s\nfields: {t: timestamp}\nevent_time: t\nsource: {kinesis: {start: soon, endpoint: \"http://me:secret@host\"}}\n",
        says: &[
            "missing; give the stream's name",
            "neither trim_horizon, latest nor a time",
            "holds a user or password",
        ],
        code: 1,
    },
    Wrong {
        what: "two sinks in one place",
        file: "jobs/j.yaml",
        text: "query: SELECT k, n FROM s\nsinks:\n  - file: {path: out/a}\n  - file: {path: ./out/../out/a/, meta: true}\n",
        says: &["jobs/j.yaml:4:5: `sinks`: two of them write ", "/out/a/j-*.jsonl, and each would take"],
        code: 1,
    },
    Wrong {
        what: "an id that is floored",
        file: "streams/s.yaml",
        text: "stream: s\nfields: {i: {type: timestamp, unit: ns}, t: timestamp}\nevent_time: t\nevent_id: i\nsource: {file: {path: in.jsonl}}\n",
        says: &["streams/s.yaml:4:11", "an id is a text or a number"],
        code: 1,
    },
    Wrong {
        what: "a constant over zero",
        file: "jobs/j.yaml",
        text: "query: |\n  SELECT k, n FROM s WHERE n > 1.0 / CAST(0 AS DOUBLE)\n",
        says: &["jobs/j.yaml:2:", "a constant of the query has no value: division by zero"],
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
fn a_file_that_comes_too_late_is_told_and_is_no_event() {
    let project = project();
    let event = |n: u32| format!("{{\"k\":\"a\",\"n\":{n},\"t\":\"2026-01-01T00:00:0{n}Z\"}}\n");
    project.file("streams/s.yaml", &STREAM.replace("in.jsonl", "in-*.jsonl")).file("in-5.jsonl", &event(1));
    project.run(&[]);
    let told = |code: i32| {
        let output = project.weir("run", &["--until-end", "--stats"]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{text}");
        let stats: Value = serde_json::from_slice(&output.stdout).expect("statistics are JSON");
        (text, stats)
    };
    // Nothing else is there to be read, so the run has done nothing.
    project.file("in-4.jsonl", &event(2));
    let (text, stats) = told(1);
    assert!(
        text.contains("job `j`: `in-4.jsonl` is not read: a name that sorts before `in-5.jsonl`"),
        "{text}"
    );
    assert!(text.contains("parts of the source were not read; they are in"), "{text}");
    assert!(!text.contains("events were set aside") && !text.contains("refused;"), "{text}");
    assert_eq!((&stats["events"], &stats["jobs"]["j"]["dead_letters"]), (&Value::from(0), &Value::from(1)));
    project.file("in-3.jsonl", &event(3)).file("in-6.jsonl", "not JSON\n").file("in-7.jsonl", &event(4));
    let (text, stats) = told(0);
    assert!(text.contains("a file is not read: a name that sorts before"), "{text}");
    assert_eq!((&stats["events"], &stats["jobs"]["j"]["refused"]), (&Value::from(2), &Value::from(1)));

    let server = Server::start(&project, "");
    let (_, letters) = server.get("/v1/deadletters/s");
    let listed = letters["dead_letters"].as_array().expect("a list");
    let positions: Vec<(&Value, &Value)> =
        listed.iter().map(|letter| (&letter["position"]["before"], &letter["position"]["offset"])).collect();
    let (before, none, one) = (Value::from(1), Value::Null, Value::from(1));
    let expected = [(&before, &none), (&before, &none), (&none, &one)];
    assert_eq!(positions, expected, "{letters}");
    let place = listed[2]["place"].as_str().expect("an event of a file stands somewhere");
    assert!(place.ends_with("in-6.jsonl"), "{place}");
}

#[test]
fn where_definitions_cannot_be_read_nothing_starts_and_check_says_so() {
    let project = Project::new();
    project.file("weir.yaml", "").file("streams", "not a folder").file("jobs", "not a folder");
    let output = project.weir("check", &[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("0 streams, 0 jobs: `weir serve` will not start"), "{text}");
    assert_eq!(project.weir("serve", &[]).status.code(), Some(1));
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
    assert!(text.contains(&address) && text.contains("set another `listen` in weir.yaml"), "{text}");
    let output = other.command("serve", &[]).env("WEIR_LISTEN", &address).output().expect("weir starts");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains(&address) && text.contains("set WEIR_LISTEN"), "{text}");
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
