//! One job whose rows go to six sinks of six kinds at once. One of them is down for a minute, and the server is killed
//! meanwhile: the others get each row on time, and at the end all six hold what the events come to.

#![allow(
    clippy::disallowed_methods,
    reason = "servers are other processes: what they do is waited for, with a bound"
)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Project, Server, rows as rows_of, wait_for};
use crate::keyed_job::{OFTEN, PATIENCE, Rows, USERS, plain, post, project, statements};
use crate::services::dynamodb::DynamoDb;
use crate::services::stores::{Postgres, Redis};
use crate::services::topics::{BEGIN, source, texts};
use crate::services::web::Receiver;
use crate::services::{kafka, readers, s3};
use crate::stored_rows::{come_to, in_dynamodb, in_postgres, in_redis};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use weir_event::EventTime;

/// So long one sink is down.
const OUTAGE: Duration = Duration::from_secs(60);
/// What a row takes to be seen while nothing is wrong with its sink is well under a second; here all servers, and those of
/// other tests, share the machine, and reading a bucket takes some seconds. Whatever waits for the sink that is down comes
/// later than this.
const ON_TIME: Duration = Duration::from_secs(20);
const TOPIC: &str = "six_sinks";
const BUCKET: &str = "six-sinks";

/// The sinks that keep every window and work all the time.
const OTHERS: [&str; 5] = ["postgres", "dynamodb", "kafka", "http", "parquet"];

struct World {
    project: Project,
    broker: &'static kafka::Broker,
    bucket: &'static s3::Store,
    redis: Redis,
    postgres: Postgres,
    dynamodb: DynamoDb,
    receiver: Receiver,
}

impl World {
    fn new() -> World {
        let (broker, bucket) = (kafka::shared(), s3::shared());
        let (redis, postgres, dynamodb) = (Redis::start(), Postgres::start(), DynamoDb::start());
        let receiver = Receiver::start();
        broker.topic(TOPIC, 1);
        bucket.bucket(BUCKET);
        dynamodb.make_table("features", &["pk", "sk"]);
        let sinks = format!(
            "  - kafka: {{brokers: \"{}\", topic: {TOPIC}, key: user_id, delivery: exactly_once}}\n  \
             - redis: {{url: \"{}\"}}\n  \
             - postgres: {{url: \"{}\", table: every, keep: all}}\n  \
             - dynamodb: {{table: features, region: us-east-1, endpoint: \"{}\", keep: all}}\n  \
             - file: {{path: \"s3://{BUCKET}/out\", format: parquet}}\n  \
             - http: {{url: \"{}\", keep: all}}\n",
            broker.address,
            redis.url(),
            postgres.url(),
            dynamodb.url,
            receiver.url
        );
        let project = project(&sinks).with_environment(&bucket.variables());
        let statements = statements(&project);
        let table = statements.iter().find(|statement| statement.contains("CREATE TABLE")).unwrap();
        postgres.run(table);
        World { project, broker, bucket, redis, postgres, dynamodb, receiver }
    }

    /// Every row in the topic, as whoever reads `read_committed` sees them.
    fn in_kafka(&self) -> Vec<Value> {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let texts = runtime.block_on(texts(&*source(&self.broker.address, TOPIC), &[BEGIN]));
        texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect()
    }

    /// Every row in the bucket, as pyarrow and DuckDB read it.
    fn in_bucket(&self) -> Vec<Value> {
        let found = tempfile::tempdir().unwrap();
        self.bucket.get(BUCKET, "out", found.path());
        if found.path().join("out").exists() { readers::rows(&found.path().join("out")) } else { Vec::new() }
    }

    /// What one of [`OTHERS`] holds now, by user and window.
    fn held_by(&self, sink: &str) -> Rows {
        match sink {
            "postgres" => in_postgres(&self.postgres, "every", "user_id || ' ' || END"),
            "dynamodb" => in_dynamodb(&self.dynamodb, key),
            "kafka" => newest(self.in_kafka()),
            "http" => newest(self.receiver.rows()),
            _ => newest(self.in_bucket()),
        }
    }

    /// Each of the others has all rows soon after the first `posts` seconds were posted; how long the slowest took.
    fn wait_for_others(&self, posts: u32) -> Duration {
        let (began, expected) = (Instant::now(), expected(posts));
        for sink in OTHERS {
            wait_for(&format!("all rows in {sink}"), ON_TIME, || {
                (self.held_by(sink) == expected).then_some(())
            });
            let took = began.elapsed();
            assert!(took < ON_TIME, "{sink} had all rows of {posts} seconds only after {took:?}");
        }
        began.elapsed()
    }
}

fn key(row: &Value) -> String {
    format!("{} {}", row["user_id"].as_str().unwrap(), row["ends"].as_str().unwrap())
}

/// The newest row of each user and window: one that is corrected counts more events.
fn newest(rows: Vec<Value>) -> Rows {
    let mut newest = Rows::new();
    for mut row in rows {
        row.as_object_mut().unwrap().remove("_weir");
        let (key, row) = (key(&row), plain(row));
        if newest.get(&key).is_none_or(|known| known["n"].as_f64() <= row["n"].as_f64()) {
            newest.insert(key, row);
        }
    }
    newest
}

/// What the events of the first `posts` seconds come to, counted one by one: a second has its own event and one more of
/// the posts two and three seconds later, and its window is complete once a later event has come.
fn expected(posts: u32) -> Rows {
    let mut rows = Rows::new();
    for second in 0..posts.saturating_sub(1) {
        let n = [0, 2, 3].iter().filter(|later| second + **later < posts).count();
        let ends = EventTime::from_millis(i64::from(second + 1) * 1000).to_string();
        for user in 0..USERS {
            let x = f64::from(user) + f64::from(second) / 8.0;
            let row = json!({"user_id": format!("u{user}"), "n": n, "total": x * n as f64,
                             "newest": vec![x; n], "ends": ends});
            rows.insert(key(&row), plain(row));
        }
    }
    rows
}

/// The same of each user's newest window.
fn expected_newest(posts: u32) -> Rows {
    let ends = EventTime::from_millis(i64::from(posts - 1) * 1000).to_string();
    let rows = expected(posts).into_iter().filter(|(_, row)| row["ends"] == ends.as_str());
    rows.map(|(_, row)| (row["user_id"].as_str().unwrap().to_owned(), row)).collect()
}

fn sorted(rows: Vec<Value>) -> Vec<String> {
    let mut rows: Vec<String> = rows.into_iter().map(|row| plain(row).to_string()).collect();
    rows.sort_unstable();
    rows
}

#[test]
fn five_sinks_are_exact_and_on_time_while_the_sixth_is_down() {
    let mut world = World::new();
    let mut server = Server::start(&world.project, OFTEN);
    let mut posts = 0;
    let mut next = |server: &Server| {
        post(server, posts);
        posts += 1;
        posts
    };
    for _ in 0..4 {
        next(&server);
    }
    world.wait_for_others(next(&server));

    world.redis.kill();
    let (began, mut slowest, mut killed) = (Instant::now(), Duration::ZERO, false);
    while began.elapsed() < OUTAGE {
        slowest = slowest.max(world.wait_for_others(next(&server)));
        // Rows that it was handed when it failed wait from its next try on.
        server.wait_for_job("j", "the job to go on without redis, and rows to wait for it", |job| {
            let redis = &job["sink_counts"]["redis"];
            let waits = redis["waiting_rows"].as_u64() > Some(0);
            job["state"] == "running" && redis["state"] != "running" && waits
        });
        if began.elapsed() > OUTAGE / 2 && !std::mem::replace(&mut killed, true) {
            next(&server);
            server.kill();
            server = Server::start(&world.project, OFTEN);
        }
    }
    world.redis.restart();
    next(&server);
    let posts = next(&server);
    eprintln!(
        "{posts} seconds of events; the slowest of the others took {slowest:?} to show one, reading it included"
    );

    come_to(&expected_newest(posts), || in_redis(&world.redis));
    world.wait_for_others(posts);
    server.wait_for_job("j", "no sink to have more to do", |job| {
        let sinks = job["sink_counts"].as_object().unwrap();
        sinks.values().all(|sink| sink["waiting_rows"] == 0 && sink["state"] == "running")
    });
    assert!(server.terminate().success());
    wait_for("the last rows in files", PATIENCE, || {
        (newest(rows_of(&world.project.path().join("out"))) == expected(posts)).then_some(())
    });
    // What promises to be exact has every row that was ever written, and each once.
    let mut written = world.project.rows("out");
    written.iter_mut().for_each(|row| _ = row.as_object_mut().unwrap().remove("_weir"));
    let written = sorted(written);
    assert_eq!(sorted(world.in_kafka()), written);
    assert_eq!(sorted(world.in_bucket()), written);
    assert_eq!(world.held_by("postgres"), expected(posts));
    assert_eq!(in_redis(&world.redis), expected_newest(posts));
}
