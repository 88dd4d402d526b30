//! Tables of DynamoDB as sinks: what they hold equals what a file sink says, through kills, throttling and lost answers.

use crate::harness::{Project, Server, last_rows, wait_for};
use crate::keyed_job::plain;
use crate::services::aws::{CREDENTIALS, Faults, Injected, Rule};
use crate::services::dynamodb::DynamoDb;
use crate::services::kinesis::Kinesis;
use crate::stored_rows::in_dynamodb;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

const JOB: &str = "job: counts\nquery: |\n  SELECT user_id, COUNT(*) AS n, SUM(n) AS total, TOP(3, note) AS notes, MAX(part) AS part, \
                   TUMBLE_END(rowtime, INTERVAL '10' SECOND) AS window_end\n  \
                   FROM events GROUP BY user_id, TUMBLE(rowtime, INTERVAL '10' SECOND)\n";

/// A project that counts the lines of a file per user and ten seconds, into files and into a table.
fn project(endpoint: &str, sink: &str) -> Project {
    let project = Project::new().with_environment(&CREDENTIALS);
    project.file(
        "streams/events.yaml",
        "stream: events\nfields: {user_id: string, n: bigint, part: double, note: string, event_time: timestamp}\n\
         event_time: event_time\ndisorder: 5s\nsource: {file: {path: \"in/*.jsonl\", follow: true}}\n",
    );
    let sinks = format!(
        "{JOB}sinks:\n  - file: {{path: out, format: jsonl, meta: true}}\n  \
         - dynamodb: {{table: features, region: us-east-1, endpoint: \"{endpoint}\"{sink}}}\n"
    );
    project.file("jobs/counts.yaml", &sinks);
    project
}

fn line(number: u64) -> String {
    let user = format!("u{}", number % 211);
    // Every 29th is late: it corrects a window that was written.
    let late = if number.is_multiple_of(29) { 30_000 } else { 0 };
    let time = 1_700_000_000_000 + 100 * number - late;
    let note = if number.is_multiple_of(5) { Value::Null } else { json!(format!("note {number}")) };
    json!({"user_id": user, "n": number, "part": number as f64 / 7.0, "note": note, "event_time": time})
        .to_string()
        + "\n"
}

fn append(project: &Project, numbers: std::ops::Range<u64>) {
    let path = project.path().join("in/events.jsonl");
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("folders can be made");
    let mut file = std::fs::File::options().create(true).append(true).open(path).expect("a file");
    let text: String = numbers.map(line).collect();
    file.write_all(text.as_bytes()).expect("lines can be written");
}

fn text(row: &Value, name: &str) -> String {
    row[name].as_str().expect("a text").to_owned()
}

/// The newest window's row of each user, as the files say.
fn newest(project: &Project) -> BTreeMap<String, Value> {
    let mut rows = last_rows(project.rows("out"));
    rows.sort_by_key(|row| text(row, "window_end"));
    rows.into_iter().map(|row| (text(&row, "user_id"), plain(row))).collect()
}

#[test]
fn a_table_holds_the_newest_row_of_each_key_through_kills_and_faults() {
    const PART: u64 = 1500;
    let service = DynamoDb::start();
    service.make_table("features", &["pk", "sk"]);
    let rule = |after, times, what| Rule { operation: "PutItem", after, times, what };
    let faults: Vec<Rule> = (0..30)
        .flat_map(|_| {
            [
                rule(13, 3, Injected::Error(400, "ProvisionedThroughputExceededException")),
                rule(7, 2, Injected::Lost),
                rule(5, 1, Injected::Error(500, "InternalServerError")),
            ]
        })
        .collect();
    let proxy = Faults::before(&service.url, &faults);
    let project = project(&proxy.url, ", ttl: 30d");
    for part in 0..4 {
        append(&project, part * PART..(part + 1) * PART);
        let before = proxy.calls("PutItem").0;
        let server = Server::start(&project, "checkpoint: {every: 500ms}\n");
        wait_for("rows on their way", Duration::from_secs(60), || {
            (proxy.calls("PutItem").0 > before + 60).then_some(())
        });
        server.kill();
    }
    project.run(&[]);
    assert_eq!(in_dynamodb(&service, |row| text(row, "user_id")), newest(&project));
    let (_, injected) = proxy.calls("PutItem");
    assert!(injected > 30, "only {injected} faults happened");
    let item = &service.items("features")[0];
    assert_eq!(item["sk"]["S"], "counts");
    assert!(item["_fence"]["S"].as_str().is_some_and(|fence| fence.len() == 32), "{item}");
    assert!(item["_expires"]["N"].is_string() && item["_event_time"]["S"].is_string(), "{item}");
}

#[test]
fn a_table_may_hold_every_window() {
    let service = DynamoDb::start();
    service.make_table("features", &["pk", "sk"]);
    let project = project(&service.url, ", keep: all");
    append(&project, 0..1500);
    project.run(&[]);
    append(&project, 1500..2200);
    project.run(&[]);
    let key = |row: &Value| format!("{} {}", text(row, "user_id"), text(row, "window_end"));
    let expected: BTreeMap<String, Value> =
        last_rows(project.rows("out")).into_iter().map(|row| (key(&row), plain(row))).collect();
    assert_eq!(in_dynamodb(&service, key), expected);
}

#[test]
fn a_row_that_the_table_never_takes_is_set_aside_and_the_others_are_written() {
    let service = DynamoDb::start();
    service.make_table("features", &["pk", "sk"]);
    let project = project(&service.url, "");
    let event = |user: &str, note: &str| {
        json!({"user_id": user, "n": 1, "note": note, "event_time": 1_700_000_000_000_u64}).to_string() + "\n"
    };
    let lines = event("good", "short") + &event("", "short") + &event("large", &"x".repeat(450 << 10));
    project.file("in/events.jsonl", &lines);
    project.run(&[]);
    assert_eq!(in_dynamodb(&service, |row| text(row, "user_id")).into_keys().collect::<Vec<_>>(), ["good"]);
    let folder = project.path().join(".weir/refused/counts");
    let output = std::process::Command::new("find")
        .arg(&folder)
        .args(["-name", "*.jsonl"])
        .output()
        .expect("find runs");
    let files = String::from_utf8(output.stdout).expect("paths are text");
    let refused: String = files.lines().map(|file| std::fs::read_to_string(file).expect("a file")).collect();
    assert_eq!(refused.lines().count(), 2, "{refused}");
    assert!(refused.contains("its key `pk` is empty") && refused.contains("ValidationException"), "{files}");
}

#[test]
fn what_is_wrong_with_table_and_permissions_is_said_by_name() {
    let service = DynamoDb::start();
    let said = |project: &Project| {
        let output = project.weir("run", &["--until-end"]);
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let missing = project(&service.url, "");
    append(&missing, 0..300);
    let text = said(&missing);
    assert!(text.contains("dynamodb table `features`") && text.contains("create it"), "{text}");
    service.make_table("features", &["user_id"]);
    let text = said(&missing);
    assert!(text.contains("its keys are `user_id`, but `key` gives `pk`, `sk`"), "{text}");
    let what = Injected::Error(400, "AccessDeniedException");
    let denied = Faults::before(&service.url, &[Rule { operation: "PutItem", after: 0, times: 999, what }]);
    let denied = project(&denied.url, ", key: {user_id: \"{user_id}\"}");
    append(&denied, 0..300);
    let text = said(&denied);
    assert!(text.contains("permission") && !text.contains("not-a-secret"), "{text}");
}

#[test]
fn dryfts_second_program_runs_from_kinesis_into_a_feature_service() {
    let (kinesis, service) = (Kinesis::start("features", 1), DynamoDb::start());
    service.make_table("features", &["pk"]);
    let mut variables = CREDENTIALS.to_vec();
    variables.extend([
        ("AWS_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL_KINESIS", kinesis.url.as_str()),
        ("AWS_ENDPOINT_URL_DYNAMODB", service.url.as_str()),
    ]);
    let project = Project::new().with_environment(&variables);
    project.file(
        "streams/features.yaml",
        "stream: features\nfields: {feature_name: string, version: int, id: string, feature_data: string, occurred_at: timestamp}\n\
         event_time: occurred_at\n",
    );
    project.file(
        "jobs/feature_fan_out.json",
        r#"{"stream": {"kinesis": "features"}, "sink": {"feature_service_dynamodb": {"write_rate": 1000, "retry_count": 5}}}"#,
    );
    project.file(
        "jobs/feature_fan_out.sql",
        "SELECT CONCAT_WS(' ', feature_name, version, id), feature_data, CONCAT_WS(' ', feature_name, version) AS \
         feature_definition, occurred_at FROM features",
    );
    let event = |id: &str, data: &str, at: u64| {
        let event =
            json!({"feature_name": "rides", "version": 1, "id": id, "feature_data": data, "occurred_at": at});
        (id.to_owned(), event.to_string().into_bytes())
    };
    let at = 1_700_000_000_000;
    kinesis.put("features", &[event("a", "old", at), event("b", "only", at), event("a", "new", at + 1000)]);
    project.run(&[]);
    let mut found: Vec<(Value, Value)> = service
        .items("features")
        .into_iter()
        .map(|item| (item["pk"]["S"].clone(), item["feature_data"]["S"].clone()))
        .collect();
    found.sort_by_key(|(key, _)| key.to_string());
    assert_eq!(found, [(json!("rides 1 a"), json!("new")), (json!("rides 1 b"), json!("only"))]);
}
