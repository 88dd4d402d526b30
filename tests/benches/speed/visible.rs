//! How long an event takes until its row is seen in a store: posted alone, looked for all the time.

use crate::harness::{result_lines, wait_for};
use crate::services::stores::PASSWORD;
use crate::services::web;
use crate::sinks::{Stores, serving};
use rdkafka::Message;
use rdkafka::consumer::{BaseConsumer, Consumer};
use serde_json::json;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;
use weir_engine::SystemClock;
use weir_event::Clock;

const EVENTS: usize = 200;
/// What is seen with its checkpoint takes about that long.
const EVENTS_BY_CHECKPOINT: usize = 60;
const EVERY: &str = "500ms";
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures each sink and prints a line for it.
pub(crate) fn measure(stores: &Stores) {
    println!("\nfrom the post of an event to its row in the store, milliseconds; checkpoints every {EVERY}");
    println!("{:<10} {:>8} {:>8} {:>8}", "sink", "p50", "p99", "max");
    for (kind, settings) in stores.sinks("seen") {
        let sink = settings.replace("KEY", "user_id");
        let (project, server) = {
            let (project, server) = serving(&sink, "1h");
            drop(server);
            stores.make(kind, "seen", &project);
            serving(&sink, EVERY)
        };
        let mut is_seen = looking(stores, kind, project.path().join("out"));
        let clock = SystemClock::new();
        let mut times = Vec::new();
        let events = if matches!(kind, "postgres" | "file") { EVENTS_BY_CHECKPOINT } else { EVENTS };
        for event in 0..events + 5 {
            let user = format!("u{event}");
            let line = json!({"user_id": user, "t": clock.now().millis()}).to_string();
            let before = clock.monotonic();
            assert_eq!(server.post("/v1/streams/s/events", line).0, 200);
            while !is_seen(&user) {
                assert!(clock.monotonic().saturating_sub(before) < PATIENCE, "{kind} never shows {user}");
            }
            times.push(clock.monotonic().saturating_sub(before));
        }
        // The first have connections made for them.
        let mut times = times.split_off(5);
        times.sort_unstable();
        let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1000.0;
        println!("{kind:<10} {:>8.1} {:>8.1} {:>8.1}", at(50), at(99), at(100));
        assert!(server.terminate().success());
    }
}

/// Whether a user is in the store.
type Look<'s> = Box<dyn FnMut(&str) -> bool + 's>;

fn looking<'s>(stores: &'s Stores, kind: &str, out: PathBuf) -> Look<'s> {
    match kind {
        "redis" => {
            let address = stores.redis.url().rsplit('@').next().unwrap_or_default().to_owned();
            let mut stream = BufReader::new(TcpStream::connect(address).expect("redis listens"));
            let mut ask = move |command: String| {
                stream.get_mut().write_all(command.as_bytes()).expect("redis reads");
                let mut line = String::new();
                stream.read_line(&mut line).expect("redis answers");
                line
            };
            assert_eq!(ask(format!("AUTH {PASSWORD}\r\n")), "+OK\r\n");
            Box::new(move |user| ask(format!("EXISTS j:{user}\r\n")) == ":1\r\n")
        }
        "postgres" => Box::new(|user| {
            stores.postgres.run(&format!("SELECT count(*) FROM seen WHERE user_id = '{user}'")) == ["1"]
        }),
        "kafka" => {
            let consumer: BaseConsumer = rdkafka::ClientConfig::new()
                .set("bootstrap.servers", &stores.broker.address)
                .set("group.id", "bench")
                .set("auto.offset.reset", "earliest")
                .set("fetch.wait.max.ms", "5")
                .create()
                .expect("a consumer");
            consumer.subscribe(&["seen"]).expect("the topic is there");
            wait_for("an assignment", PATIENCE, || {
                consumer.poll(Duration::from_millis(10));
                consumer.assignment().ok().filter(|list| list.count() > 0).map(drop)
            });
            Box::new(move |user| {
                let Some(Ok(message)) = consumer.poll(Duration::from_millis(5)) else { return false };
                let text = String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned();
                text.contains(&format!("\"{user}\""))
            })
        }
        "file" => Box::new(move |user| {
            let wanted = format!("\"user_id\":\"{user}\"");
            result_lines(&out).iter().any(|line| line.contains(&wanted))
        }),
        "http" => Box::new(|user| stores.takers.has(user)),
        "opensearch" => {
            let index = format!("{}/seen/_doc", stores.index.url());
            Box::new(move |user| {
                web::ask("GET", &format!("{index}/{user}"), "").is_some_and(|(status, _)| status == 200)
            })
        }
        "clickhouse" => Box::new(|user| {
            let count = format!("SELECT count() AS n FROM seen WHERE user_id = '{user}' FORMAT JSONEachRow");
            let rows = stores.columns.run(&count);
            rows.first().is_some_and(|row| row["n"].as_u64() == Some(1) || row["n"] == "1")
        }),
        _ => Box::new(|user| {
            let key = json!({"TableName": "seen", "Key": {"pk": {"S": user}}, "ConsistentRead": true});
            !stores.dynamodb.call("GetItem", &key)["Item"].is_null()
        }),
    }
}
