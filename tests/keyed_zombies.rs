//! A server that stood still and goes on beside its successor, which was started from a copy of its folder: stores hold what
//! the successor says.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Project, Server, wait_for};
use crate::keyed_job::{OFTEN, PATIENCE, QUERY, newest_and_all};
use crate::services::aws::CREDENTIALS;
use crate::services::dynamodb::DynamoDb;
use crate::services::stores::{Postgres, Redis};
use crate::stored_rows::{come_to, in_dynamodb, in_postgres, in_redis};
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::process::Command;

const USERS: u32 = 40;

fn project(log: &Path, redis: &Redis, postgres: &Postgres, dynamodb: &DynamoDb) -> Project {
    let project = Project::new().with_environment(&CREDENTIALS);
    project.file(
        "streams/s.yaml",
        &format!(
            "stream: s\nfields: {{user_id: string, x: double, t: timestamp}}\nevent_time: t\ndisorder: 0s\nidle_after: 1h\n\
             source: {{file: {{path: \"{}\", follow: true}}}}\n",
            log.display()
        ),
    );
    let sinks = format!(
        "  - file: {{path: out, meta: true}}\n  - redis: {{url: \"{}\", batch: {{rows: 5}}}}\n  \
         - postgres: {{url: \"{}\", table: newest}}\n  \
         - dynamodb: {{table: features, region: us-east-1, endpoint: \"{}\", batch: {{rows: 5}}}}\n",
        redis.url(),
        postgres.url(),
        dynamodb.url
    );
    project.file("jobs/j.yaml", &format!("{QUERY}sinks:\n{sinks}"));
    project
}

/// Everybody has an event in this second, and a late one in the two before the last.
fn append(log: &Path, second: u32) {
    let mut file = std::fs::File::options().create(true).append(true).open(log).unwrap();
    for second in (second.saturating_sub(3)..second.saturating_sub(1)).chain([second]) {
        for user in 0..USERS {
            let x = f64::from(user) + f64::from(second) / 8.0;
            let event = json!({"user_id": format!("u{user}"), "x": x, "t": i64::from(second) * 1000 + 1});
            writeln!(file, "{event}").unwrap();
        }
    }
}

#[test]
fn a_server_that_was_thought_dead_changes_nothing_beside_its_successor() {
    let (redis, postgres, dynamodb) = (Redis::start(), Postgres::start(), DynamoDb::start());
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("events.jsonl");
    append(&log, 0);
    let zombie = project(&log, &redis, &postgres, &dynamodb);
    let statements = crate::keyed_job::statements(&zombie);
    postgres.run(statements.iter().find(|of| of.contains("CREATE TABLE")).unwrap());
    dynamodb.make_table("features", &["pk", "sk"]);
    let server = Server::start(&zombie, OFTEN);
    let mut second = 0;
    for stop in 1..=3 {
        for _ in 0..3 {
            second += 1;
            append(&log, second);
        }
        // It stands still with rows on their way, a little later each time.
        let wanted = u64::from(USERS) * stop;
        server.wait_for_job("j", "rows", |job| job["sink_counts"]["redis"]["rows"].as_u64() >= Some(wanted));
        server.signal("STOP");
        let heir = project(&log, &redis, &postgres, &dynamodb);
        let copied = |name: &str| {
            let to = heir.path().join(name);
            std::fs::remove_dir_all(&to).ok();
            let status =
                Command::new("cp").arg("-a").arg(zombie.path().join(name)).arg(&to).status().unwrap();
            assert!(status.success());
        };
        copied(".weir");
        copied("out");
        let successor = Server::start(&heir, OFTEN);
        for _ in 0..3 {
            second += 1;
            append(&log, second);
        }
        server.signal("CONT");
        for _ in 0..3 {
            second += 1;
            append(&log, second);
        }
        let told = |job: &Value| job["sink_counts"]["postgres"].to_string().contains("which began at");
        server.wait_for_job("j", "the zombie to be told", told);
        successor.wait_for_job("j", "everything to be there", |job| {
            let sinks = job["sink_counts"].as_object().unwrap();
            sinks.values().all(|sink| sink["waiting_rows"] == 0 && sink["state"] == "running")
        });
        wait_for("the last window", PATIENCE, || {
            let rows = newest_and_all(heir.rows("out")).1;
            (rows.len() == (second * USERS) as usize).then_some(())
        });
        let expected = newest_and_all(heir.rows("out")).0;
        come_to(&expected, || in_postgres(&postgres, "newest", "user_id"));
        come_to(&expected, || in_redis(&redis));
        come_to(&expected, || in_dynamodb(&dynamodb, |row| row["user_id"].as_str().unwrap().to_owned()));
        successor.kill();
    }
    server.kill();
}
