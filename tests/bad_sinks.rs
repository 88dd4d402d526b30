//! What befalls sinks and the machine that they run on, for long: each is a state with its reason, the rest of the job goes
//! on, and nothing is lost.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Project, Server, wait_for};
use crate::keyed_job::{OFTEN, PATIENCE, USERS, newest_and_all, post, project};
use crate::services::aws::{CREDENTIALS, Faults, Injected, Rule};
use crate::services::dynamodb::DynamoDb;
use crate::services::kinesis::Kinesis;
use crate::services::stores::Redis;
use serde_json::{Value, json};
use std::time::Duration;
use weir_engine::SystemClock;
use weir_event::Clock;

/// What AWS says to whose clock is wrong.
const SKEWED: Injected = Injected::Told(
    403,
    "InvalidSignatureException",
    "Signature expired: 20260131T120000Z is now earlier than 20260131T123500Z (20260131T124000Z - 5 min.)",
);

fn always(operation: &'static str, what: Injected) -> Rule {
    Rule { operation, after: 0, times: usize::MAX, what }
}

/// A job with a table of DynamoDB behind a proxy.
fn behind(faults: &Faults) -> Project {
    let sink =
        format!("  - dynamodb: {{table: features, region: us-east-1, endpoint: \"{}\"}}\n", faults.url);
    project(&sink).with_environment(&CREDENTIALS)
}

/// The numbers of rows by user that the table holds.
fn in_table(service: &DynamoDb) -> Vec<(String, Value)> {
    let mut rows: Vec<(String, Value)> = service
        .items("features")
        .iter()
        .map(|item| (item["user_id"]["S"].as_str().unwrap().to_owned(), item["ends"]["S"].clone()))
        .collect();
    rows.sort_by_key(|(user, _)| user.clone());
    rows
}

/// Waits until the table holds the newest row of each user, as the files say it.
fn comes_to_what_files_say(project: &Project, service: &DynamoDb) {
    wait_for("the table to hold everything", PATIENCE, || {
        let (newest, _) = newest_and_all(project.rows("out"));
        let expected: Vec<(String, Value)> =
            newest.into_iter().map(|(user, row)| (user, row["ends"].clone())).collect();
        (expected.len() == USERS as usize && in_table(service) == expected).then_some(())
    });
}

fn is_over(job: &Value) -> bool {
    let sinks = job["sink_counts"].as_object().unwrap();
    sinks.values().all(|sink| sink["waiting_rows"] == 0 && sink["state"] == "running")
}

fn is_throttled_for(length: Duration) {
    let service = DynamoDb::start();
    service.make_table("features", &["pk", "sk"]);
    let throttled = Injected::Error(400, "ProvisionedThroughputExceededException");
    let faults = Faults::before(&service.url, &[always("PutItem", throttled)]);
    let project = behind(&faults);
    let server = Server::start(&project, OFTEN);
    let (clock, mut second) = (SystemClock::new(), 0);
    let began = clock.monotonic();
    while clock.monotonic().saturating_sub(began) < length {
        post(&server, second);
        second += 1;
        // The job, its checkpoints and its other sink go on.
        let (_, before) = server.get("/v1/jobs/j");
        let number = |job: &Value| job["last_checkpoint"]["number"].as_u64().unwrap_or(0);
        let job = server.wait_for_job("j", "checkpoints", |job| number(job) > number(&before) + 1);
        assert_eq!(
            (&job["state"], &job["sink_counts"]["file"]["state"]),
            (&json!("running"), &json!("running"))
        );
    }
    assert!(project.rows("out").len() >= ((second - 2) * USERS) as usize);
    server.wait_for_job("j", "the reason", |job| {
        let sink = &job["sink_counts"]["dynamodb"];
        sink["state"] == "retrying" && sink["reason"].to_string().contains("throttled")
    });
    assert!(service.items("features").is_empty());
    faults.end();
    server.wait_for_job("j", "the table to have everything", is_over);
    comes_to_what_files_say(&project, &service);
    let (_, job) = server.get("/v1/jobs/j");
    assert_eq!(job["sink_counts"]["dynamodb"]["refused_rows"], 0, "{job}");
    assert!(server.terminate().success());
}

#[test]
fn a_table_that_throttles_for_20_seconds_loses_nothing() {
    is_throttled_for(Duration::from_secs(20));
}

#[test]
#[ignore = "takes five minutes: make test-services"]
fn a_table_that_throttles_for_five_minutes_loses_nothing() {
    is_throttled_for(Duration::from_secs(300));
}

#[test]
fn a_clock_that_is_off_that_of_aws_is_told_as_that_and_loses_nothing() {
    let service = DynamoDb::start();
    service.make_table("features", &["pk", "sk"]);
    let faults = Faults::before(&service.url, &[always("PutItem", SKEWED)]);
    let project = behind(&faults);
    let server = Server::start(&project, OFTEN);
    (0..4).for_each(|second| post(&server, second));
    server.wait_for_job("j", "the reason", |job| {
        let sink = &job["sink_counts"]["dynamodb"];
        sink["state"] == "retrying"
            && sink["reason"].to_string().contains("this machine's clock is more than five minutes off")
    });
    faults.end();
    server.wait_for_job("j", "the table to have everything", is_over);
    comes_to_what_files_say(&project, &service);
    assert!(server.terminate().success());
}

#[test]
fn a_clock_that_is_off_stops_no_stream_for_good() {
    let kinesis = Kinesis::start("s", 1);
    let faults = Faults::before(&kinesis.url, &[always("GetRecords", SKEWED)]);
    let project = Project::new().with_environment(&CREDENTIALS);
    project.file(
        "streams/s.yaml",
        &format!(
            "stream: s\nfields: {{user_id: string, t: timestamp}}\nevent_time: t\ndisorder: 0s\n\
             source: {{kinesis: {{stream: s, region: us-east-1, endpoint: \"{}\", start: trim_horizon}}}}\n",
            faults.url
        ),
    );
    project.file(
        "jobs/j.yaml",
        "query: |\n  SELECT user_id, COUNT(*) AS n FROM s GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' SECOND)\n\
         emit: {on: change}\nsinks:\n  - file: {path: out}\n",
    );
    let record =
        |second: u32| ("u".to_owned(), json!({"user_id": "u", "t": second * 1000}).to_string().into_bytes());
    kinesis.put("s", &(0..9).map(record).collect::<Vec<_>>());
    let server = Server::start(&project, OFTEN);
    server.wait_for_job("j", "the reason", |job| {
        job.to_string().contains("this machine's clock is more than five minutes off")
    });
    faults.end();
    server.wait_for_job("j", "every record", |job| job["events"] == 9);
    assert!(server.terminate().success());
}

#[test]
fn a_disk_that_is_full_under_waiting_rows_holds_the_job_and_loses_nothing() {
    let mut redis = Redis::start();
    let made = project(&format!("  - redis: {{url: \"{}\"}}\n", redis.url()))
        .with_small_disk(".weir/outbox", "256k");
    let Some(project) = made else {
        return eprintln!("passed over: this machine does not let a test mount a disk");
    };
    let server = Server::start(&project, OFTEN);
    post(&server, 0);
    redis.kill();
    let is_full = |job: &Value| job.to_string().contains("cannot be kept in");
    let mut second = 1;
    let mut job = server.get("/v1/jobs/j").1;
    while !is_full(&job) {
        assert!(second < 20_000, "the disk is never full: {job}");
        post(&server, second);
        second += 1;
        if second.is_multiple_of(100) {
            job = server.get("/v1/jobs/j").1;
        }
    }
    assert!(job.to_string().contains("No space left on device"), "{job}");
    assert_eq!(job["state"], "paused", "{job}");
    redis.restart();
    server.wait_for_job("j", "everything to be there", is_over);
    wait_for("redis to hold the newest rows", PATIENCE, || {
        let (newest, all) = newest_and_all(project.rows("out"));
        let ends = |user: u32| redis.answer(&["HGET", &format!("j:u{user}"), "ends"]);
        let is_newest =
            |user: u32| newest.get(&format!("u{user}")).is_some_and(|row| row["ends"] == ends(user));
        (all.len() == ((second - 1) * USERS) as usize && (0..USERS).all(is_newest)).then_some(())
    });
    let (_, job) = server.get("/v1/jobs/j");
    assert_eq!(job["sink_counts"]["redis"]["missed_rows"], 0, "{job}");
    assert!(server.terminate().success());
}
