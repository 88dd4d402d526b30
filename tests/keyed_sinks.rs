//! Jobs whose rows go into keyed stores, real ones: whatever is killed on the way, at the end a store holds what the files
//! of the same job say.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Project, Server, wait_for};
use crate::services::stores::{PASSWORD, Postgres, Redis};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Output;
use std::time::Duration;

const STREAM: &str = "stream: s\nfields: {user_id: string, x: double, t: timestamp}\nevent_time: t\ndisorder: 0s\n\
                      idle_after: 1h\nsource: {http: {}}\n";
const QUERY: &str = "query: |\n  SELECT user_id, COUNT(*) AS n, SUM(x) AS total, TOP(3, x) AS newest, \
                     TUMBLE_END(rowtime, INTERVAL '1' SECOND) AS ends FROM s\n  GROUP BY user_id, TUMBLE(rowtime, \
                     INTERVAL '1' SECOND)\n";
const OFTEN: &str = "checkpoint: {every: 100ms}\n";
const USERS: u32 = 7;
const PATIENCE: Duration = Duration::from_secs(120);

struct World {
    project: Project,
    redis: Redis,
    postgres: Postgres,
}

impl World {
    fn new() -> World {
        let (redis, postgres) = (Redis::start(), Postgres::start());
        let project = Project::new();
        project.file("streams/s.yaml", STREAM);
        let (of_redis, of_postgres) = (redis.url(), postgres.url());
        let sinks = format!(
            "sinks:\n  - file: {{path: out, meta: true}}\n  - redis: {{url: \"{of_redis}\", batch: {{rows: 20}}}}\n  \
             - postgres: {{url: \"{of_postgres}\", table: newest}}\n  \
             - postgres: {{url: \"{of_postgres}\", table: every, keep: all}}\n"
        );
        project.file("jobs/j.yaml", &format!("{QUERY}{sinks}"));
        World { project, redis, postgres }
    }

    fn make_tables(&self) {
        let statements = std::process::Command::new(crate::harness::weir())
            .args(["sink", "ddl", "j"])
            .arg(self.project.path())
            .output()
            .unwrap();
        assert!(statements.status.success(), "{statements:?}");
        self.postgres.run(&String::from_utf8(statements.stdout).unwrap());
    }

    /// By user, the newest window's row; and by user and window, its newest row: without what weir says of it.
    fn expected(&self) -> (BTreeMap<String, Value>, BTreeMap<String, Value>) {
        let (mut newest, mut all) = (BTreeMap::new(), BTreeMap::new());
        for mut row in self.project.rows("out") {
            let meta = row.as_object_mut().unwrap().remove("_weir").unwrap();
            let user = row["user_id"].as_str().unwrap().to_owned();
            let end = meta["window"]["end"].as_str().unwrap().to_owned();
            let order = (end.clone(), meta["revision"].as_u64().unwrap());
            keep_newer(&mut newest, user.clone(), order.clone(), row.clone());
            keep_newer(&mut all, format!("{user} {end}"), order, row);
        }
        let rows = |of: BTreeMap<String, (_, Value)>| {
            of.into_iter().map(|(key, (_, row))| (key, plain(row))).collect()
        };
        (rows(newest), rows(all))
    }

    fn in_redis(&self) -> BTreeMap<String, Value> {
        let keys = self.redis.answer(&["KEYS", "*"]);
        let hash = |key: &Value| {
            let key = key.as_str().unwrap();
            let hash = self.redis.answer(&["HGETALL", key]);
            let number = |name: &str| serde_json::from_str::<Value>(hash[name].as_str().unwrap()).unwrap();
            let row = json!({"user_id": hash["user_id"], "n": number("n"), "total": number("total"),
                             "newest": number("newest"), "ends": hash["ends"]});
            assert_eq!(
                (hash["_window_end"].clone(), hash["_version"].clone()),
                (hash["ends"].clone(), json!("1"))
            );
            (key.strip_prefix("j:").unwrap().to_owned(), plain(row))
        };
        keys.as_array().unwrap().iter().map(hash).collect()
    }

    fn in_postgres(&self, table: &str, key: &str) -> BTreeMap<String, Value> {
        let time =
            |name: &str| format!("to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')");
        let (ends, key) = (time("ends"), key.replace("END", &time("_window_end")));
        let row = format!(
            "json_build_object('user_id', user_id, 'n', n, 'total', total, 'newest', newest, 'ends', {ends})"
        );
        let lines = self.postgres.run(&format!("SELECT {key}, {row} FROM {table}"));
        let row = |line: &String| {
            let (key, row) = line.split_once('|').unwrap();
            (key.to_owned(), plain(serde_json::from_str(row).unwrap()))
        };
        lines.iter().map(row).collect()
    }

    /// Waits until every sink has everything, then compares them.
    fn compare(&self, server: &Server, windows: usize) {
        let is_drained = |job: &Value| {
            let sinks = job["sink_counts"].as_object().unwrap();
            sinks.values().all(|sink| sink["waiting_rows"] == 0 && sink["state"] == "running")
        };
        server.wait_for_job("j", "every sink to have everything", is_drained);
        wait_for("the last rows in files", PATIENCE, || (self.expected().1.len() == windows).then_some(()));
        let (newest, all) = self.expected();
        come_to(&all, || self.in_postgres("every", "user_id || ' ' || END"));
        come_to(&newest, || self.in_postgres("newest", "user_id"));
        come_to(&newest, || self.in_redis());
    }
}

/// Waits until rows are those that are expected; what differs is told.
fn come_to(expected: &BTreeMap<String, Value>, rows: impl Fn() -> BTreeMap<String, Value>) {
    let mut tries = 0;
    wait_for("the last rows", PATIENCE, || {
        tries += 1;
        let seen = rows();
        if tries > 300 {
            assert_eq!(&seen, expected);
        }
        (seen == *expected).then_some(())
    });
}

/// The same with every number as a double: some write 1 for 1.0.
fn plain(value: Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, plain(value))).collect(),
        other => other,
    }
}

type Ordered = BTreeMap<String, ((String, u64), Value)>;

fn keep_newer(rows: &mut Ordered, key: String, order: (String, u64), row: Value) {
    match rows.get(&key) {
        Some((known, _)) if *known > order => {}
        _ => {
            rows.insert(key, (order, row));
        }
    }
}

fn event(user: u32, second: u32) -> String {
    let x = f64::from(user) + f64::from(second) / 8.0;
    json!({"user_id": format!("u{user}"), "x": x, "t": i64::from(second) * 1000 + 1}).to_string() + "\n"
}

/// Everybody has an event in this second, and a late one in each of the two before the last.
fn events(second: u32) -> String {
    let late = second.saturating_sub(3)..second.saturating_sub(1);
    let seconds = late.chain([second]).collect::<Vec<_>>();
    (0..USERS).flat_map(|user| seconds.iter().map(move |second| event(user, *second))).collect()
}

fn post(server: &Server, second: u32) {
    let (status, answer) = server.post("/v1/streams/s/events", events(second));
    assert_eq!(status, 200, "{answer}");
}

fn told(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).concat()
}

#[test]
fn stores_that_are_killed_and_a_server_that_is_killed_end_with_the_same_rows() {
    let mut world = World::new();
    world.make_tables();
    let mut server = Server::start(&world.project, OFTEN);
    for second in 0..24 {
        match second {
            4 => world.redis.kill(),
            7 => world.redis.restart(),
            9 => world.postgres.kill(),
            12 => world.postgres.restart(),
            14 | 20 => {
                server.kill();
                server = Server::start(&world.project, OFTEN);
            }
            16 => {
                world.redis.kill();
                world.postgres.kill();
                server.kill();
                server = Server::start(&world.project, OFTEN);
            }
            18 => {
                world.postgres.restart();
                world.redis.restart();
            }
            _ => {}
        }
        post(&server, second);
        // Some checkpoints pass between one and the next.
        let (_, before) = server.get("/v1/jobs/j");
        let number = |job: &Value| job["last_checkpoint"]["number"].as_u64().unwrap_or(0);
        server.wait_for_job("j", "a checkpoint", |job| number(job) > number(&before) + 1);
    }
    world.compare(&server, 23 * USERS as usize);
    assert_eq!(world.postgres.run("SELECT count(*) FROM newest_weir_staging"), ["0"]);
    let (_, status) = server.get_text("/v1/jobs/j");
    let (_, metrics) = server.get_text("/metrics");
    let log = std::fs::read_to_string(world.project.path().join("serve.log")).unwrap();
    for text in [&status, &metrics, &log] {
        assert!(!text.contains(PASSWORD), "{text}");
    }
    assert!(metrics.contains("weir_sink_retries_total{job_name=\"j\",sink=\"redis\"}"), "{metrics}");
    assert!(server.terminate().success());
}

#[test]
fn a_sink_s_connection_is_tried_without_writing() {
    let mut world = World::new();
    let output = world.project.weir("check", &["--connect"]);
    let text = told(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("stream s: http: ready, events that are posted"), "{text}");
    assert!(text.contains("job j: redis: ready, redis 127.0.0.1:"), "{text}");
    assert!(text.contains("there is no table \"newest\"; `weir sink ddl j` prints"), "{text}");
    world.make_tables();
    let output = world.project.weir("check", &["--connect"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    world.postgres.run("ALTER TABLE newest ALTER COLUMN n TYPE integer; ALTER TABLE every DROP COLUMN total");
    world.redis.kill();
    let text = told(&world.project.weir("check", &["--connect"]));
    assert!(text.contains("its column `n` is of type int4, which does not hold bigint"), "{text}");
    assert!(text.contains("it has no column `total`"), "{text}");
    assert!(text.contains("job j: redis: redis 127.0.0.1:") && text.contains("is not reachable"), "{text}");
    assert!(!text.contains(PASSWORD), "{text}");
    assert_eq!(world.postgres.run("SELECT count(*) FROM newest_weir_epochs"), ["0"]);
}
