//! Results of which some value is an error, from the sink to the dead letters.

use crate::harness::{Project, Server};
use serde_json::{Value, json};

const STREAM: &str = "stream: s\nfields: {k: string, b: bigint, t: timestamp}\nevent_time: t\ndisorder: 1h\nsource: {file: {path: in.jsonl}}\n";
const EVENTS: &str = "{\"k\":\"once\",\"b\":1,\"t\":0}\n{\"k\":\"twice\",\"b\":9223372036854775807,\"t\":0}\n{\"k\":\"twice\",\"b\":1,\"t\":1}\n";

fn project() -> Project {
    let project = Project::new();
    let job = |columns: &str, out: &str| {
        format!(
            "query: |\n  SELECT k, {columns} FROM s GROUP BY k, TUMBLE(rowtime, INTERVAL '1' HOUR)\nhistory: 1d\nsinks: [{{file: {{path: {out}}}}}]\n"
        )
    };
    project
        .file("streams/s.yaml", STREAM)
        .file("in.jsonl", EVENTS)
        .file("jobs/a.yaml", &job("COUNT(*) AS n, 100 / (COUNT(*) - 1) AS r", "out/a"))
        .file("jobs/b.yaml", &job("COUNT(*) AS n, SUM(b) AS s", "out/b"));
    project
}

fn sorted(mut rows: Vec<Value>) -> Vec<Value> {
    rows.sort_by_key(ToString::to_string);
    rows
}

#[test]
fn they_are_written_with_null_and_told_on_stderr_in_stats_and_in_the_dead_letters() {
    let project = project();
    let output = project.run(&["--stats"]);
    let once = json!({"k": "once", "n": 1, "r": null});
    assert_eq!(sorted(project.rows("out/a")), [once, json!({"k": "twice", "n": 2, "r": 100})]);
    let twice = json!({"k": "twice", "n": 2, "s": null});
    assert_eq!(sorted(project.rows("out/b")), [json!({"k": "once", "n": 1, "s": 1}), twice]);

    let stderr = String::from_utf8_lossy(&output.stderr);
    let warnings: Vec<&str> = stderr.lines().filter(|line| line.contains("first=")).collect();
    assert_eq!(warnings.len(), 2, "{stderr}");
    for (job, key, reason) in [("a", "once", "division by zero"), ("b", "twice", "SUM")] {
        let of_job = warnings.iter().find(|line| line.contains(&format!("job=\"{job}\"")));
        let line = of_job.unwrap_or_else(|| panic!("job {job} is not in: {stderr}"));
        assert!(line.contains(key) && line.contains(reason) && line.contains("results=1"), "{line}");
    }
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stats: Value = serde_json::from_str(stdout.lines().last().unwrap_or_default()).expect("JSON");
    for job in ["a", "b"] {
        let counts = &stats["jobs"][job];
        assert_eq!((&counts["failed_results"], &counts["results"]), (&json!(1), &json!(2)), "{stats}");
    }

    let server = Server::start(&project, "");
    server.wait_ready();
    let (_, letters) = server.get("/v1/deadletters/s");
    let letters = letters["dead_letters"].as_array().expect("a list").clone();
    assert_eq!(letters.len(), 2, "{letters:?}");
    let of = |job: &str| letters.iter().find(|letter| letter["jobs"] == json!([job])).expect("a letter");
    let result = |key: &str, column: &str| {
        json!({
            "key": {"k": key},
            "window": {"start": "1970-01-01T00:00:00.000Z", "end": "1970-01-01T01:00:00.000Z"},
            "columns": [column],
        })
    };
    assert_eq!(of("a")["result"], result("once", "r"));
    assert_eq!(of("b")["result"], result("twice", "s"));
}

#[test]
fn a_lookup_says_error_for_the_column_that_failed_alone() {
    let project = project();
    // One more event, with which the first window is complete.
    project.file("in.jsonl", &format!("{EVENTS}{{\"k\":\"other\",\"b\":1,\"t\":10800000}}\n"));
    project.run(&[]);
    let server = Server::start(&project, "");
    server.wait_ready();
    let (status, looked) = server.get("/v1/jobs/a/values?k=once&as_of=1970-01-01T01:30:00Z");
    assert_eq!(status, 200, "{looked}");
    let features = &looked["features"];
    assert_eq!((&features["n"]["value"], &features["n"]["status"]), (&json!(1), &json!("ok")), "{looked}");
    assert_eq!(
        (&features["r"]["value"], &features["r"]["status"]),
        (&Value::Null, &json!("error")),
        "{looked}"
    );
    assert!(
        features["r"]["reason"].as_str().is_some_and(|reason| reason.contains("division by zero")),
        "{looked}"
    );
}
