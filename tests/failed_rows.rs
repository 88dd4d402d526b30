//! One event must never end a job: whatever an expression makes of it, the event is a dead letter with its position,
//! the others count, and another job of the stream hears nothing of it.

use crate::harness::{Project, Server};
use serde_json::{Value, json};

const STREAM: &str = "stream: s\nfields: {k: string, b: bigint, o: timestamp, t: timestamp}\nevent_time: t\ndisorder: 1h\nsource: {file: {path: in.jsonl}}\n";

/// What fails on an event of `b`, and on none of 0, 1 or 2.
const FAILING: &[(&str, &str)] = &[
    ("ABS(b)", "-9223372036854775808"),
    ("b * 3", "9223372036854775807"),
    ("100 / (b - 7)", "7"),
    ("CAST(b AS TIMESTAMP)", "9007199254740993"),
    ("CAST(b AS INT)", "2147483648"),
    ("TIMESTAMPADD(DAY, b, o)", "9000000000000"),
    ("FACTORIAL(b)", "25"),
    ("LENGTH(REPEAT('ab', b))", "9223372036854775807"),
    ("LENGTH(LPAD(k, b, 'x'))", "2000000000"),
    ("CARDINALITY(ARRAY_REPEAT(1, b))", "1000000000"),
    ("CARDINALITY(RANGE(0, b))", "9223372036854775807"),
    ("REGEXP_LIKE(k, CONCAT('(a{', CAST(b AS VARCHAR), '}){50}'))", "1000"),
];

#[test]
fn an_event_on_which_an_expression_fails_is_a_dead_letter_and_the_others_count() {
    let project = Project::new();
    project.file("streams/s.yaml", STREAM);
    let mut events = String::new();
    for (offset, (_, bad)) in FAILING.iter().enumerate() {
        for b in ["0", bad, "1"] {
            events += &format!("{{\"k\":\"u{offset}\",\"b\":{b},\"o\":0,\"t\":{offset}}}\n");
        }
    }
    project.file("in.jsonl", &events);
    for (job, (expression, _)) in FAILING.iter().enumerate() {
        let of_user = format!("FROM s WHERE k = 'u{job}'");
        let plain = format!(
            "query: |\n  SELECT b, {expression} AS x {of_user}\nsinks: [{{file: {{path: out/p{job}}}}}]\n"
        );
        let keyed = format!(
            "query: |\n  SELECT COUNT(*) AS n, COUNT({expression}) AS x {of_user} GROUP BY k, TUMBLE(t, INTERVAL '1' HOUR)\nsinks: [{{file: {{path: out/w{job}}}}}]\n"
        );
        project.file(&format!("jobs/p{job}.yaml"), &plain).file(&format!("jobs/w{job}.yaml"), &keyed);
    }
    let output = project.run(&[]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("panicked"), "{stderr}");
    for (job, (expression, _)) in FAILING.iter().enumerate() {
        let of_rows: Vec<Value> =
            project.rows(&format!("out/p{job}")).into_iter().map(|row| row["b"].clone()).collect();
        assert_eq!(of_rows, [json!(0), json!(1)], "{expression}");
        let counted = project.rows(&format!("out/w{job}"));
        assert_eq!((counted.len(), &counted[0]["n"]), (1, &json!(2)), "{expression}: {counted:?}");
    }

    let server = Server::start(&project, "");
    server.wait_ready();
    let (_, letters) = server.get("/v1/deadletters/s?limit=1000");
    let mut letters = letters["dead_letters"].as_array().expect("a list").clone();
    letters.sort_by_key(|letter| letter["position"]["offset"].as_u64());
    assert_eq!(letters.len(), FAILING.len(), "{letters:?}");
    for (job, letter) in letters.iter().enumerate() {
        let mut jobs: Vec<&str> =
            letter["jobs"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        jobs.sort_unstable();
        assert_eq!(jobs, [format!("p{job}"), format!("w{job}")], "{letter}");
        assert_eq!(letter["position"]["offset"], json!(job * 3 + 1), "{letter}");
        assert!(letter["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{letter}");
    }
}
