//! Rows that must not be lost without a word: what a stream refuses is said aloud, and a run that could use nothing
//! has not succeeded.

use crate::harness::{Project, Server, wait_for, weir};
use serde_json::{Value, json};
use std::process::Output;
use std::time::Duration;

const STREAM: &str = "stream: s\nfields: {k: string, t: timestamp}\nevent_time: t\ndisorder: 1h\nsource: {file: {path: \"data/*\"}}\n";
const JOB: &str = "query: SELECT k FROM s\nsinks: [{file: {path: out}}]\n";

fn project(lines: &str) -> Project {
    let project = Project::new();
    project.file("streams/s.yaml", STREAM).file("jobs/j.yaml", JOB).file("data/in.jsonl", lines);
    project
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn keys(project: &Project) -> Vec<String> {
    project.rows("out").iter().map(|row| row["k"].as_str().unwrap_or_default().to_owned()).collect()
}

struct Refused {
    lines: &'static str,
    /// Keys of the rows that are used all the same.
    used: &'static [&'static str],
    says: &'static [&'static str],
}

const REFUSED: &[Refused] = &[
    Refused {
        lines: "{\"k\":\"a\",\"t\":\"2026-01-01 12:00:00.000\"}\n{\"k\":\"a\",\"t\":\"2026-01-01T12:00:01\"}\n",
        used: &[],
        says: &[
            "2 of 2 rows (100 %)",
            "data/in.jsonl",
            "2026-01-01 12:00:00.000",
            "has no zone; add Z or +01:00",
        ],
    },
    Refused {
        lines: "{\"k\":\"a\",\"t\":\"2026-01-01\"}\n",
        used: &[],
        says: &["is a date without a time of day; write 2026-01-01T00:00:00Z"],
    },
    Refused { lines: "{\"k\":\"a\",\"t\":\"1767225600000\"}\n", used: &[], says: &["is a number in quotes"] },
    Refused {
        lines: "{\"k\":\"a\",\"t\":1767225600000000}\n{\"k\":\"b\",\"t\":1767225600000000000}\n",
        used: &[],
        says: &["is it in microseconds?"],
    },
    Refused {
        lines: "[\n{\"k\":\"a\",\"t\":0},\n{\"k\":\"b\",\"t\":1},\n{\"k\":\"c\",\"t\":2}\n]\n",
        used: &["c"],
        says: &["4 of 5 rows", "a JSON array", "write one object per line (jq -c '.[]' FILE)"],
    },
    Refused {
        lines: "[{\"k\":\"a\",\"t\":0},{\"k\":\"b\",\"t\":1}]",
        used: &[],
        says: &["1 of 1 rows", "a JSON array"],
    },
    Refused {
        lines: "{\n  \"k\": \"a\",\n  \"t\": 0\n}\n",
        used: &[],
        says: &["4 of 4 rows", "an object must not go on in the next line", "jq -c . FILE"],
    },
    Refused {
        lines: "{\"k\":\"a\",\"t\":0}{\"k\":\"b\",\"t\":1}\n",
        used: &[],
        says: &["another object follows at byte 15"],
    },
];

#[test]
fn a_source_most_of_whose_rows_are_refused_is_warned_of_with_the_first_reason() {
    for case in REFUSED {
        let project = project(case.lines);
        let output = project.weir("run", &["--until-end", "--stats"]);
        let text = stderr(&output);
        assert!(text.contains("WARN"), "{}: {text}", case.lines);
        for word in case.says {
            assert!(text.contains(word), "{}: `{word}` is not in: {text}", case.lines);
        }
        assert_eq!(keys(&project), case.used, "{}", case.lines);
        let code = i32::from(case.used.is_empty());
        assert_eq!(output.status.code(), Some(code), "{}: {text}", case.lines);
        let stats: Value = serde_json::from_slice(&output.stdout).expect("stats are JSON");
        let (events, refused) = (&stats["jobs"]["j"]["events"], &stats["jobs"]["j"]["refused"]);
        assert_eq!(
            events.as_u64(),
            refused.as_u64().map(|refused| refused + case.used.len() as u64),
            "{stats}"
        );
    }
}

#[test]
fn a_running_job_says_what_is_wrong_with_its_source() {
    let project = project(REFUSED[0].lines);
    let server = Server::start(&project, "");
    let warning = wait_for("the warning", Duration::from_secs(30), || {
        server.get("/v1/jobs/j").1["warning"].as_str().map(str::to_owned)
    });
    assert!(warning.contains("has no zone; add Z or +01:00"), "{warning}");
    let log = std::fs::read_to_string(project.path().join("serve.log")).expect("a log");
    assert_eq!(log.matches("were refused; the first at").count(), 1, "{log}");
}

#[test]
fn seconds_taken_for_milliseconds_are_warned_of_and_count_as_what_they_say() {
    let project = project("{\"k\":\"a\",\"t\":1767225600}\n{\"k\":\"b\",\"t\":1767227400}\n");
    let output = project.run(&[]);
    assert!(stderr(&output).contains("are their times in seconds?"), "{}", stderr(&output));
    assert_eq!(keys(&project), ["a", "b"]);
    // 1970 itself is a time as any other.
    let project = self::project("{\"k\":\"a\",\"t\":0}\n{\"k\":\"b\",\"t\":999999999}\n");
    let output = project.run(&[]);
    assert!(!stderr(&output).contains("WARN"), "{}", stderr(&output));
}

#[test]
fn marks_line_ends_and_compression_cost_no_row() {
    let project =
        project("\u{feff}{\"k\":\"a\",\"t\":0}\r\n\r\n\n{\"k\":\"b\",\"t\":1}\r\n  {\"k\":\"c\",\"t\":2}");
    project.file("data/z.jsonl", "\u{feff}{\"k\":\"d\",\"t\":3}");
    let output = project.run(&["--stats"]);
    assert_eq!(keys(&project), ["a", "b", "c", "d"], "{}", stderr(&output));
    assert!(!stderr(&output).contains("WARN"), "{}", stderr(&output));
}

#[test]
fn a_log_that_is_rotated_between_two_runs_is_read_once_and_one_that_is_lost_is_told() {
    let row = |key: &str| format!("{{\"k\":\"{key}\",\"t\":\"2026-01-01T00:00:00Z\"}}\n");
    let project = Project::new();
    project.file("streams/s.yaml", &STREAM.replace("data/*", "data/app.log")).file("jobs/j.yaml", JOB);
    project.file("data/app.log", &(row("old1") + &row("old2")));
    project.run(&[]);
    let log = project.path().join("data/app.log");
    std::fs::rename(&log, project.path().join("data/app.log.1")).expect("it can be renamed");
    project.file("data/app.log", &["new1", "new2", "new3"].map(row).concat());
    project.run(&[]);
    assert_eq!(keys(&project), ["old1", "old2", "new1", "new2", "new3"]);

    project.file("data/app.log", &["other1", "other2", "other3", "other4"].map(row).concat());
    let output = project.weir("run", &["--until-end"]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    for word in ["data/app.log", "is another file now", "--reset"] {
        assert!(stderr(&output).contains(word), "`{word}` is not in: {}", stderr(&output));
    }
    project.run(&["--reset", "j"]);
    assert_eq!(keys(&project).len(), 9);
}

#[test]
fn a_generated_file_fits_the_streams_of_the_template() {
    let project = Project::new();
    let output = project.weir("init", &["--template", "rides"]);
    assert!(output.status.success(), "{}", stderr(&output));
    for stream in ["streams/event_user_action.yaml", "streams/event_ride_completed.yaml"] {
        let text = std::fs::read_to_string(project.path().join(stream)).expect("the template's stream");
        let source =
            text.lines().find(|line| line.trim_start().starts_with("generator:")).expect("a generator");
        project.file(stream, &text.replace(source, "  file: {path: \"data/*.jsonl\"}"));
    }
    project.file("data/none.jsonl", "");
    let file = project.path().join("data/rides.jsonl");
    let generated = std::process::Command::new(weir())
        .args(["generate", "rides", "--events", "2000", "--days", "1", "--seed", "7", "-o"])
        .arg(&file)
        .output()
        .expect("weir starts");
    assert!(generated.status.success(), "{}", stderr(&generated));
    let output = project.run(&["--stats"]);
    let stats: Value = serde_json::from_slice(&output.stdout).expect("stats are JSON");
    for job in ["client_action_sequence", "passenger_rides", "user_activity"] {
        let of_job = &stats["jobs"][job];
        assert_eq!(
            (&of_job["events"], &of_job["refused"], &of_job["dropped"]),
            (&json!(2000), &json!(0), &json!(0)),
            "{job}"
        );
    }
    assert!(project.rows("out/user_activity").len() > 1000);
}

const HTTP: &str =
    "stream: s\nfields: {k: string, t: timestamp}\nevent_time: t\ndisorder: 5s\nsource: {http: {}}\n";
const COUNT: &str = "query: |\n  SELECT k, COUNT(*) OVER (PARTITION BY k ORDER BY rowtime RANGE BETWEEN INTERVAL '90' DAY PRECEDING AND CURRENT ROW) AS n FROM s\n";

#[test]
fn what_is_accepted_over_http_counts_and_what_does_not_count_is_rejected() {
    let project = Project::new();
    project.file("streams/s.yaml", HTTP).file("jobs/n.yaml", COUNT);
    let server = Server::start(&project, "");
    server.wait_ready();
    let now = std::process::Command::new("date").arg("+%s").output().expect("date runs").stdout;
    let seconds: i64 = String::from_utf8_lossy(&now).trim().parse().expect("a number");
    let rows = [seconds * 1000, seconds, seconds * 1_000_000, (seconds + 400 * 86_400) * 1000];
    // In one line, as `curl -d @FILE` sends a file of several.
    let body: String = rows.iter().map(|t| json!({"k": "a", "t": t}).to_string()).collect();
    let (status, outcome) = server.post("/v1/streams/s/events?wait=visible", body);
    assert_eq!((status, &outcome["accepted"]), (200, &json!(1)), "{outcome}");
    let reasons: Vec<_> =
        outcome["rejected"].as_array().expect("a list").iter().map(|row| row["reason"].to_string()).collect();
    for (reason, word) in reasons.iter().zip(["is it in seconds?", "is it in microseconds?", "max_future"]) {
        assert!(reason.contains(word), "{reasons:?}");
    }
    assert_eq!(reasons.len(), 3);
    let (_, job) = server.get("/v1/jobs/n");
    assert_eq!(
        (&job["events"], &job["late"], &job["dead_letters"]),
        (&json!(1), &json!(0), &json!(0)),
        "{job}"
    );
    let (_, answer) = server.get("/v1/jobs/n/values?k=a");
    assert_eq!(answer["features"]["n"]["value"], 1, "{answer}");
}

#[test]
fn a_key_used_for_another_body_is_refused_also_after_a_restart() {
    let project = Project::new();
    project.file("streams/s.yaml", HTTP).file("jobs/n.yaml", COUNT);
    let (first, other) =
        (r#"{"k":"first","t":"2026-01-01T00:00:00Z"}"#, r#"[{"k":"other","t":"2026-01-01T00:00:00Z"}]"#);
    let server = Server::start(&project, "");
    let path = "/v1/streams/s/events";
    for round in 0..2 {
        let (status, outcome) = server.post_with(path, ("Idempotency-Key", "b1"), first);
        assert_eq!((status, &outcome["accepted"]), (200, &json!(1)), "{round}: {outcome}");
        let (status, problem) = server.post_with(path, ("Idempotency-Key", "b1"), other);
        assert_eq!(status, 422, "{problem}");
        assert!(
            problem["detail"].as_str().is_some_and(|detail| detail.contains("another body")),
            "{problem}"
        );
    }
    server.kill();
    let server = Server::start(&project, "");
    assert_eq!(server.post_with(path, ("Idempotency-Key", "b1"), other).0, 422);
    assert_eq!(server.post_with(path, ("Idempotency-Key", "b1"), first).0, 200);
    server.wait_ready();
    assert_eq!(server.get("/v1/jobs/n").1["events"], 1);
}
