//! Streams of Kinesis as sources: resharding under load with weir killed on the way, and where reading begins and ends.

use crate::harness::{Project, Server, last_rows, wait_for};
use crate::services::aws::{CREDENTIALS, Faults, Injected, Rule};
use crate::services::kinesis::Kinesis;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const STREAM: &str = "events";

/// A record of a user, whose event times are a tenth of a second apart.
fn record(number: u64) -> (String, Vec<u8>) {
    let user = format!("u{}", number % 17);
    let event = json!({"user_id": user, "n": number, "event_time": 1_700_000_000_000_u64 + 100 * number});
    (user, event.to_string().into_bytes())
}

fn records(numbers: std::ops::Range<u64>) -> Vec<(String, Vec<u8>)> {
    numbers.map(record).collect()
}

/// A project that counts a stream's records per user and ten seconds.
fn project(endpoint: &str, start: &str) -> Project {
    let project = Project::new().with_environment(&CREDENTIALS);
    let stream = format!(
        "stream: events\nfields: {{user_id: string, n: bigint, event_time: timestamp}}\nevent_time: event_time\n\
         disorder: 10s\nsource: {{kinesis: {{stream: {STREAM}, region: us-east-1, endpoint: \"{endpoint}\", start: {start}}}}}\n"
    );
    project.file("streams/events.yaml", &stream);
    project.file(
        "jobs/counts.yaml",
        "job: counts\nquery: |\n  SELECT user_id, COUNT(*) AS n, SUM(n) AS total, TUMBLE_END(rowtime, INTERVAL '10' SECOND) AS window_end\n  \
         FROM events GROUP BY user_id, TUMBLE(rowtime, INTERVAL '10' SECOND)\n\
         sinks: [{file: {path: out, format: jsonl, meta: true}}]\n",
    );
    project
}

/// What every record counted once comes to: the count and the sum of each user.
fn expected(numbers: std::ops::Range<u64>) -> BTreeMap<String, (u64, u64)> {
    let mut all = BTreeMap::<String, (u64, u64)>::new();
    for number in numbers {
        let (count, total) = all.entry(format!("u{}", number % 17)).or_default();
        (*count, *total) = (*count + 1, *total + number);
    }
    all
}

/// What the last row of each window comes to.
fn counted(project: &Project) -> BTreeMap<String, (u64, u64)> {
    let mut all = BTreeMap::<String, (u64, u64)>::new();
    for row in last_rows(project.rows("out")) {
        let number = |name: &str| row[name].as_u64().expect("a number");
        let (count, total) = all.entry(row["user_id"].as_str().expect("a user").to_owned()).or_default();
        (*count, *total) = (*count + number("n"), *total + number("total"));
    }
    all
}

fn events(status: &Value) -> u64 {
    status["events"].as_u64().unwrap_or_default()
}

#[test]
fn a_stream_that_is_split_and_merged_under_load_counts_every_record_once_through_kills() {
    const BATCH: u64 = 40;
    let kinesis = Kinesis::start(STREAM, 2);
    let project = project(&kinesis.url, "trim_horizon");
    let settings = "checkpoint: {every: 1s}\n";
    let is_over = AtomicBool::new(false);
    let put = std::thread::scope(|scope| {
        let producer = scope.spawn(|| {
            let mut next = 0;
            while !is_over.load(Ordering::Relaxed) {
                kinesis.put(STREAM, &records(next..next + BATCH));
                next += BATCH;
            }
            next
        });
        let has_read = |server: &Server, more: u64| {
            let before = events(&server.get("/v1/jobs/counts").1);
            server.wait_for_job("counts", "more events", |status| events(status) >= before + more);
        };
        let server = Server::start(&project, settings);
        has_read(&server, 100);
        let open = kinesis.open_shards(STREAM);
        kinesis.split(STREAM, &open[0]);
        server.kill();

        let server = Server::start(&project, settings);
        server.wait_for_job("counts", "the children to be known", |status| {
            status["partitions"].as_array().is_some_and(|partitions| partitions.len() == 4)
        });
        has_read(&server, 100);
        let open = kinesis.open_shards(STREAM);
        kinesis.merge(STREAM, &open[1].0, &open[2].0);
        has_read(&server, 100);
        server.kill();

        let server = Server::start(&project, settings);
        let open = kinesis.open_shards(STREAM);
        kinesis.split(STREAM, open.last().expect("an open shard"));
        has_read(&server, 100);
        is_over.store(true, Ordering::Relaxed);
        server.kill();
        producer.join().expect("the producer ends")
    });
    project.run(&[]);
    assert_eq!(counted(&project), expected(0..put));
    // What has been read to its end stays so.
    let rows = project.rows("out").len();
    project.run(&[]);
    assert_eq!(project.rows("out").len(), rows);
}

#[test]
fn throttling_lost_answers_and_failures_of_the_service_lose_and_repeat_nothing() {
    const EACH: u64 = 150;
    let kinesis = Kinesis::start(STREAM, 1);
    let rule = |operation, after, times, what| Rule { operation, after, times, what };
    let throttled = Injected::Error(400, "ProvisionedThroughputExceededException");
    let faults = Faults::before(
        &kinesis.url,
        &[
            rule("GetRecords", 1, 4, throttled),
            rule("GetRecords", 0, 1, Injected::Error(400, "ExpiredIteratorException")),
            rule("GetRecords", 1, 1, Injected::Lost),
            rule("GetRecords", 0, 1, Injected::Error(500, "InternalFailure")),
            rule("GetShardIterator", 1, 1, throttled),
            rule("ListShards", 2, 1, Injected::Error(400, "LimitExceededException")),
        ],
    );
    kinesis.put(STREAM, &records(0..EACH));
    let project = project(&faults.url, "trim_horizon");
    let server = Server::start(&project, "");
    for part in 1..4 {
        kinesis.put(STREAM, &records(part * EACH..(part + 1) * EACH));
        server.wait_for_job("counts", "the part", |status| events(status) >= (part + 1) * EACH);
    }
    wait_for("all faults to have happened", Duration::from_secs(60), || {
        (faults.calls("GetRecords").1 == 7).then_some(())
    });
    assert!(server.terminate().success());
    project.run(&[]);
    assert_eq!(counted(&project), expected(0..4 * EACH));
    assert_eq!((faults.calls("GetShardIterator").1, faults.calls("ListShards").1), (1, 1));
}

#[test]
fn a_job_that_starts_at_the_latest_record_keeps_its_place_through_a_kill_before_the_first() {
    let kinesis = Kinesis::start(STREAM, 1);
    kinesis.put(STREAM, &records(0..50));
    // By the machine's clock the records arrived before the job's start.
    let project = project(&kinesis.url, "latest");
    let server = Server::start(&project, "checkpoint: {every: 500ms}\n");
    server.wait_for_job("counts", "a checkpoint with a place", |status| {
        status["last_checkpoint"]["number"].as_u64() >= Some(4)
    });
    server.kill();
    kinesis.put(STREAM, &records(50..90));
    let server = Server::start(&project, "");
    server.wait_for_job("counts", "what came meanwhile", |status| events(status) >= 40);
    assert!(server.terminate().success());
    project.run(&[]);
    assert_eq!(counted(&project), expected(50..90));
}

#[test]
fn what_is_wrong_with_stream_credentials_and_clock_is_said_by_name() {
    let kinesis = Kinesis::start(STREAM, 1);
    let said = |endpoint: &str| {
        let output = project(endpoint, "trim_horizon").weir("run", &["--until-end"]);
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    for (code, words) in [
        ("ResourceNotFoundException", "create it"),
        ("AccessDeniedException", "permission"),
        ("UnrecognizedClientException", "AWS_ACCESS_KEY_ID"),
        ("RequestExpired", "clock"),
    ] {
        let what = Injected::Error(400, code);
        let faults = Faults::before(
            &kinesis.url,
            &[Rule { operation: "DescribeStreamSummary", after: 0, times: 99, what }],
        );
        let (status, text) = said(&faults.url);
        assert_eq!(status, Some(2), "{text}");
        assert!(text.contains("kinesis stream `events`") && text.contains(words), "{text}");
        assert!(!text.contains("not-a-secret"), "{text}");
    }
}

#[test]
fn a_consumer_of_its_own_has_shards_pushed_and_goes_on_after_a_kill() {
    let kinesis = Kinesis::start(STREAM, 2);
    let project = project(&kinesis.url, "trim_horizon, fan_out: weir");
    kinesis.put(STREAM, &records(0..200));
    let server = Server::start(&project, "checkpoint: {every: 500ms}\n");
    server.wait_for_job("counts", "the first records", |status| events(status) >= 200);
    kinesis.put(STREAM, &records(200..400));
    server.wait_for_job("counts", "what is pushed later", |status| events(status) >= 400);
    server.kill();
    kinesis.put(STREAM, &records(400..500));
    project.run(&[]);
    assert_eq!(counted(&project), expected(0..500));
    let about = kinesis.call("DescribeStreamSummary", &json!({"StreamName": STREAM}));
    let arn = &about["StreamDescriptionSummary"]["StreamARN"];
    let consumers = kinesis.call("ListStreamConsumers", &json!({"StreamARN": arn}));
    assert_eq!(consumers["Consumers"][0]["ConsumerName"], "weir");
}

#[test]
fn how_far_a_job_is_behind_is_what_the_service_says() {
    let kinesis = Kinesis::start(STREAM, 1);
    kinesis.put(STREAM, &records(0..50));
    let behind =
        Rule { operation: "GetRecords", after: 0, times: usize::MAX, what: Injected::Behind(90_000) };
    let faults = Faults::before(&kinesis.url, &[behind]);
    let server = Server::start(&project(&faults.url, "trim_horizon"), "");
    let lag = |status: &Value| status["lag_ms"].as_u64();
    // The events are years old.
    server.wait_for_job("counts", "the service's word for it", |status| {
        events(status) == 50 && lag(status) >= Some(90_000) && lag(status) < Some(100_000)
    });
    faults.end();
    server.wait_for_job("counts", "the end", |status| lag(status) == Some(0));
    assert!(server.terminate().success());
}

#[test]
fn dryfts_own_configuration_names_the_stream() {
    let kinesis = Kinesis::start("user_activities", 1);
    let mut variables = CREDENTIALS.to_vec();
    variables.extend([("AWS_REGION", "us-east-1"), ("AWS_ENDPOINT_URL", kinesis.url.as_str())]);
    let project = Project::new().with_environment(&variables);
    let stream = "stream: event_user_action\nfields: {geohash: string, event_time: timestamp}\nevent_time: event_time\n";
    project.file("streams/event_user_action.yaml", stream);
    project.file(
        "jobs/user_activity.json",
        r#"{"retention": {}, "lookback": {}, "stream": {"kinesis": "user_activities"}, "features": {"user_activity_per_geohash": {"type": "int", "version": 1, "description": "user activities"}}}"#,
    );
    project.file(
        "jobs/user_activity.sql",
        "SELECT geohash, COUNT(*) AS total_events, TUMBLE_END(rowtime, INTERVAL '1' hour) FROM event_user_action \
         GROUP BY geohash, TUMBLE(rowtime, INTERVAL '1' hour)",
    );
    let event = json!({"geohash": "9q8", "event_time": 1_700_000_000_000_u64}).to_string();
    kinesis.put("user_activities", &[("9q8".to_owned(), event.into_bytes())]);
    let server = Server::start(&project, "");
    server.wait_for_job("user_activity", "the event", |status| events(status) == 1);
    let (status, answer) = server.get("/v1/jobs/user_activity/values?geohash=9q8&as_of=2023-11-15T00:00:00Z");
    assert_eq!(status, 200, "{answer}");
    assert!(server.terminate().success());
}
