//! What weir writes as Feast's online stores keep it, read by Feast's own client: in Redis and in DynamoDB.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::Project;
use crate::keyed_job::{Rows, newest_and_all, plain};
use crate::services::aws::CREDENTIALS;
use crate::services::dynamodb::DynamoDb;
use crate::services::file;
use crate::services::stores::{PASSWORD, Redis};
use serde_json::{Value, json};
use std::io::Write;
use std::process::Command;

const USERS: u32 = 300;
const JOB: &str = "job: counts\nquery: |\n  SELECT user_id, COUNT(*) AS n, SUM(x) AS total, TOP(3, x) AS newest, MAX(note) AS note, \
                   TUMBLE_END(rowtime, INTERVAL '1' SECOND) AS ends FROM s\n  \
                   GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' SECOND)\n";

/// The script `feast` with a folder of its project.
fn feast(project: &Project, command: &str, arguments: &[&str]) -> String {
    let mut script = Command::new(file("services/feast"));
    script.arg(command).arg(project.path().join(format!("feast-{}", arguments[0]))).args(&arguments[1..]);
    let output = script.envs(CREDENTIALS).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{told}");
    eprintln!("feast {command} {}: {}", arguments[0], told.lines().last().unwrap_or_default());
    String::from_utf8(output.stdout).unwrap()
}

/// What Feast's client reads of all users, and of one that nobody wrote.
fn read(project: &Project, store: &str) -> (Rows, Value) {
    let lines = feast(project, "read", &[store, "0", &USERS.to_string()]);
    let mut rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let nobody = rows.pop().unwrap();
    let by_user = rows.into_iter().map(|row| (row["user_id"].as_str().unwrap().to_owned(), plain(row)));
    (by_user.collect(), nobody)
}

/// Every user has some events in these seconds, out of order; some never have a note.
fn append(project: &Project, seconds: std::ops::Range<u32>) {
    let path = project.path().join("in/events.jsonl");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
    for second in seconds {
        for user in 0..USERS {
            let note = (!user.is_multiple_of(7)).then(|| format!("ü {second}"));
            let second = if user.is_multiple_of(5) { second.saturating_sub(2) } else { second };
            let event = json!({"user_id": format!("u{user}"), "x": f64::from(user) / 8.0 + f64::from(second),
                               "note": note, "t": 1_700_000_000_000_u64 + u64::from(second) * 1000 + 1});
            writeln!(file, "{event}").unwrap();
        }
    }
}

#[test]
#[ignore = "Feast's client is 600 MB: make test-services"]
fn feasts_client_reads_what_weir_writes() {
    let (redis, dynamodb) = (Redis::start(), DynamoDb::start());
    let project = Project::new().with_environment(&CREDENTIALS);
    project.file(
        "streams/s.yaml",
        "stream: s\nfields: {user_id: string, x: double, note: string, t: timestamp}\nevent_time: t\ndisorder: 3s\n\
         source: {file: {path: \"in/*.jsonl\", follow: true}}\n",
    );
    let sinks = format!(
        "sinks:\n  - file: {{path: out, meta: true}}\n  \
         - redis: {{url: \"{}\", layout: feast, project: shop, ttl: 1d}}\n  \
         - dynamodb: {{table: shop.counts, region: us-east-1, endpoint: \"{}\", layout: feast}}\n",
        redis.url(),
        dynamodb.url
    );
    project.file("jobs/counts.yaml", &format!("{JOB}{sinks}"));
    let port = redis.url().rsplit(':').next().unwrap().to_owned();
    feast(&project, "apply", &["redis", "redis", &format!("127.0.0.1:{port},password={PASSWORD}")]);
    feast(&project, "apply", &["dynamodb", "dynamodb", &dynamodb.url]);
    for seconds in [0..3, 2..6] {
        append(&project, seconds);
        project.run(&[]);
        let (expected, _) = newest_and_all(project.rows("out"));
        assert_eq!(expected.len(), USERS as usize);
        assert!(expected["u7"]["note"].is_null() && expected["u1"]["note"].is_string());
        for store in ["redis", "dynamodb"] {
            let (rows, nobody) = read(&project, store);
            assert_eq!(rows, expected, "{store}");
            assert_eq!(
                nobody,
                json!({"user_id": "nobody", "n": null, "total": null, "newest": null, "note": null, "ends": null})
            );
        }
    }
}
