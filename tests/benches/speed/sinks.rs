//! Sinks into real servers on this machine: rows per CPU-second beside what else puts the same rows there, and how long an
//! event takes until its row is seen there.
//!
//! What a sink costs is what its job takes more than the same job that discards its rows.

use crate::harness::{Project, Server, result_lines};
use crate::services::aws::CREDENTIALS;
use crate::services::clickhouse::ClickHouse;
use crate::services::dynamodb::DynamoDb;
use crate::services::kafka::Broker;
use crate::services::opensearch::OpenSearch;
use crate::services::stores::{PASSWORD, Postgres, Redis};
use crate::services::web;
use crate::takers::Takers;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use weir_connect::CpuTime;
use weir_engine::SystemClock;
use weir_event::Clock;

/// The stand-in for DynamoDB takes some hundred rows a second.
const ROWS_OF_STAND_IN: u64 = 5_000;
/// Each document is looked for before it is written.
const ROWS_OF_INDEX: u64 = 50_000;
/// So many rows go to a server at a time that takes them in batches.
const LOADED_AT_ONCE: usize = 5_000;
/// The longest file of rides that is read for sinks.
const MOST_ROWS: u64 = 500_000;
/// Fields 14 to 17 of `/proc/self/stat` are in these.
const TICKS_PER_SECOND: f64 = 100.0;
const QUERY: &str = "job: j\nquery: |\n  SELECT event_id, COUNT(*) AS n, SUM(fare) AS total, MAX(geohash) AS place, \
                     TUMBLE_END(rowtime, INTERVAL '1' HOUR) AS ends FROM rides\n  \
                     GROUP BY event_id, TUMBLE(rowtime, INTERVAL '1' HOUR)\n";
const RIDES: &str = "stream: rides\nfields: {event_id: bigint, user_id: bigint, geohash: string, fare: double, event_time: timestamp}\n\
                     event_time: event_time\ndisorder: 10m\n";

/// Everything that rows are put into.
pub(crate) struct Stores {
    pub(crate) redis: Redis,
    pub(crate) postgres: Postgres,
    pub(crate) dynamodb: DynamoDb,
    pub(crate) broker: Broker,
    pub(crate) takers: Takers,
    pub(crate) index: OpenSearch,
    pub(crate) columns: ClickHouse,
}

impl Stores {
    /// The settings of each sink, with where it writes called so.
    pub(crate) fn sinks(&self, name: &str) -> [(&'static str, String); 8] {
        let endpoint = &self.dynamodb.url;
        [
            ("redis", format!("redis: {{url: \"{}\"}}", self.redis.url())),
            ("postgres", format!("postgres: {{url: \"{}\", table: {name}}}", self.postgres.url())),
            ("kafka", format!("kafka: {{brokers: \"{}\", topic: {name}}}", self.broker.address)),
            ("file", "file: {path: out}".to_owned()),
            ("http", format!("http: {{url: \"{}\"}}", self.takers.url)),
            ("opensearch", format!("opensearch: {{url: \"{}\", index: {name}}}", self.index.url())),
            ("clickhouse", format!("clickhouse: {{url: \"{}\", table: {name}}}", self.columns.url())),
            (
                "dynamodb",
                format!(
                    "dynamodb: {{table: {name}, region: us-east-1, endpoint: \"{endpoint}\", key: {{pk: \"{{KEY}}\"}}}}"
                ),
            ),
        ]
    }

    /// Makes what a sink writes to.
    pub(crate) fn make(&self, kind: &str, name: &str, project: &Project) {
        match kind {
            "postgres" => drop(self.postgres.run(&statement(project))),
            "opensearch" => self.index.make(&statement(project)),
            "clickhouse" => drop(self.columns.run(statement(project).trim_end().trim_end_matches(';'))),
            "kafka" => self.broker.topic(name, 1),
            "dynamodb" => self.dynamodb.make_table(name, &["pk"]),
            _ => {}
        }
    }
}

/// What makes the place that a job's only sink writes to.
fn statement(project: &Project) -> String {
    let output = Command::new(crate::weir()).args(["sink", "ddl", "j"]).arg(project.path()).output();
    let printed = String::from_utf8(output.expect("weir starts").stdout).expect("a text");
    // The first line names the sink.
    printed.split_once('\n').map_or_else(String::new, |(_, statement)| statement.to_owned())
}

/// Measures all and prints a line for each.
pub(crate) fn measure(events: u64) {
    let stores = Stores {
        redis: Redis::start(),
        postgres: Postgres::start(),
        dynamodb: DynamoDb::start(),
        broker: Broker::start(),
        takers: Takers::start(),
        index: OpenSearch::node(),
        columns: ClickHouse::start(),
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rows = events.min(MOST_ROWS);
    println!(
        "\nsinks, {rows} rows of five columns (the stand-in for DynamoDB: {ROWS_OF_STAND_IN}, OpenSearch: {ROWS_OF_INDEX})"
    );
    println!(
        "{:<10} {:>18} {:>16} {:>12}   beside it: rows/CPU-s and rows/s",
        "sink", "rows/CPU-s alone", "with its job", "rows/s"
    );
    let lines = {
        let project = job(&generated(folder.path(), rows), "file: {path: out}");
        project.run(&[]);
        result_lines(&project.path().join("out"))
    };
    let mut discarded = BTreeMap::new();
    for (kind, settings) in stores.sinks("loaded") {
        let rows = match kind {
            "dynamodb" => ROWS_OF_STAND_IN,
            "opensearch" => rows.min(ROWS_OF_INDEX),
            _ => rows,
        };
        let settings = settings.replace("KEY", "event_id");
        let (cpu, seconds) = delivered(&stores, folder.path(), kind, &settings, rows);
        let discard = || delivered(&stores, folder.path(), "discard", "discard: {}", rows).0;
        let alone = (cpu - *discarded.entry(rows).or_insert_with(discard)).max(1.0 / TICKS_PER_SECOND);
        let other = other_loader(&stores, kind, &lines[..lines.len().min(rows as usize)], folder.path());
        println!(
            "{kind:<10} {:>18.0} {:>16.0} {:>12.0}   {other}",
            rows as f64 / alone,
            rows as f64 / cpu,
            rows as f64 / seconds
        );
    }
    crate::visible::measure(&stores);
}

fn job(rides: &Path, sink: &str) -> Project {
    let project = Project::new().with_environment(&CREDENTIALS);
    project.file("weir.yaml", "shards: 1\n");
    project
        .file("streams/rides.yaml", &format!("{RIDES}source: {{file: {{path: \"{}\"}}}}\n", rides.display()));
    project.file("jobs/j.yaml", &format!("{QUERY}sinks:\n  - {sink}\n"));
    project
}

fn generated(folder: &Path, events: u64) -> PathBuf {
    let path = folder.join(format!("rides_{events}.jsonl"));
    if !path.exists() {
        let count = events.to_string();
        let made = Command::new(crate::weir())
            .args(["generate", "rides", "--events", &count, "--days", "1", "--seed", "7", "-o"])
            .arg(&path)
            .status();
        assert!(made.expect("weir starts").success());
    }
    path
}

/// The CPU seconds and the seconds that a job takes to deliver its rows.
fn delivered(stores: &Stores, folder: &Path, kind: &str, sink: &str, rows: u64) -> (f64, f64) {
    let project = job(&generated(folder, rows), sink);
    stores.make(kind, "loaded", &project);
    let clock = SystemClock::new();
    let before = clock.monotonic();
    let output = project.run(&["--stats"]);
    let seconds = clock.monotonic().saturating_sub(before).as_secs_f64();
    let text = String::from_utf8(output.stdout).expect("statistics are text");
    let stats: Value = serde_json::from_str(text.lines().last().expect("a line of statistics"))
        .expect("statistics are JSON");
    (stats["cpu_seconds"].as_f64().expect("Linux counts them"), seconds)
}

/// What else puts the same rows there.
fn other_loader(stores: &Stores, kind: &str, lines: &[String], folder: &Path) -> String {
    let path = folder.join("loaded");
    let clock = SystemClock::new();
    let told = |what: &str, cpu: f64, before: Duration| {
        let seconds = clock.monotonic().saturating_sub(before).as_secs_f64();
        format!("{:.0} and {:.0}, {what}", lines.len() as f64 / cpu, lines.len() as f64 / seconds)
    };
    let of_child = |what: &str, mut command: Command| {
        let (cpu, before) = (children_seconds(), clock.monotonic());
        assert!(command.stdout(Stdio::null()).status().expect("it starts").success(), "{what}");
        told(what, (children_seconds() - cpu).max(1.0 / TICKS_PER_SECOND), before)
    };
    match kind {
        "redis" => {
            std::fs::write(&path, commands(lines)).expect("a file");
            let mut command = stores.redis.client();
            command.arg("--pipe").stdin(File::open(&path).expect("a file"));
            of_child("redis-cli --pipe", command)
        }
        "postgres" => {
            let columns =
                "event_id bigint PRIMARY KEY, n bigint, total double precision, place text, ends timestamptz";
            stores.postgres.run(&format!("CREATE TABLE copied ({columns})"));
            std::fs::write(&path, lines.iter().map(|line| tabbed(line)).collect::<String>()).expect("a file");
            let copy = format!("\\copy copied FROM '{}'", path.display());
            of_child("psql \\copy", stores.postgres.client(&copy))
        }
        "http" => {
            std::fs::write(&path, lines.join("\n") + "\n").expect("a file");
            let mut command = Command::new("curl");
            command.args(["-sf", "--data-binary", &format!("@{}", path.display()), &stores.takers.url]);
            of_child("curl, one request", command)
        }
        "kafka" => {
            stores.broker.topic("bare", 1);
            let (cpu, before) = (own_seconds(), clock.monotonic());
            send_bare(&stores.broker, lines);
            told("a bare producer of librdkafka", own_seconds() - cpu, before)
        }
        "file" => {
            let cpu = CpuTime::default();
            let rows: Vec<Value> =
                lines.iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
            let before = clock.monotonic();
            cpu.measure(|| {
                let text: String = rows.iter().map(|row| format!("{row}\n")).collect();
                std::fs::write(&path, text).expect("a file");
            });
            told("serde_json of rows in memory", cpu.total().as_secs_f64(), before)
        }
        "opensearch" => {
            let bodies = bodies_of_index(lines);
            let (cpu, before) = (own_seconds(), clock.monotonic());
            load(&format!("{}/_bulk", stores.index.url()), &bodies);
            told("_bulk without looking first", own_seconds() - cpu, before)
        }
        "clickhouse" => {
            stores.columns.run("CREATE TABLE copied AS loaded");
            let bodies = bodies_of_inserts(lines);
            let (cpu, before) = (own_seconds(), clock.monotonic());
            load(&stores.columns.url(), &bodies);
            told("INSERT .. FORMAT JSONEachRow", own_seconds() - cpu, before)
        }
        _ => "-".to_owned(),
    }
}

fn send_bare(broker: &Broker, lines: &[String]) {
    let producer: BaseProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", &broker.address)
        .set("linger.ms", "50")
        .set("queue.buffering.max.messages", "1000000")
        .create()
        .expect("a producer");
    for line in lines {
        producer.send(BaseRecord::<(), str>::to("bare").payload(line)).expect("room for all of them");
    }
    producer.flush(Duration::from_secs(60)).expect("the broker takes them");
}

fn bodies_of_index(lines: &[String]) -> Vec<String> {
    let document = |line: &String| {
        format!("{{\"index\":{{\"_index\":\"copied\",\"_id\":\"{}\"}}}}\n{line}\n", values(line)[0])
    };
    lines.chunks(LOADED_AT_ONCE).map(|part| part.iter().map(document).collect()).collect()
}

fn bodies_of_inserts(lines: &[String]) -> Vec<String> {
    const INSERT: &str = "INSERT INTO copied (event_id, n, total, place, ends) SETTINGS date_time_input_format = \
                          'best_effort' FORMAT JSONEachRow\n";
    lines.chunks(LOADED_AT_ONCE).map(|part| format!("{INSERT}{}\n", part.join("\n"))).collect()
}

/// Posts what a server has to take.
fn load(url: &str, bodies: &[String]) {
    for body in bodies {
        let (status, answer) = web::ask("POST", url, body).expect("it answers");
        assert_eq!(status, 200, "{answer}");
    }
}

fn values(line: &str) -> [String; 5] {
    let row: Value = serde_json::from_str(line).expect("rows are JSON");
    ["event_id", "n", "total", "place", "ends"].map(|name| match &row[name] {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    })
}

fn tabbed(line: &str) -> String {
    values(line).join("\t") + "\n"
}

/// The same as commands of Redis.
fn commands(lines: &[String]) -> String {
    let mut out = format!("*2\r\n$4\r\nAUTH\r\n${}\r\n{PASSWORD}\r\n", PASSWORD.len());
    for line in lines {
        let values = values(line);
        let key = format!("bare:{}", values[0]);
        let mut words = vec!["HSET", &key];
        words.extend(
            ["event_id", "n", "total", "place", "ends"]
                .into_iter()
                .zip(&values)
                .flat_map(|(name, value)| [name, value]),
        );
        let _ = write!(out, "*{}\r\n", words.len());
        for word in words {
            let _ = write!(out, "${}\r\n{word}\r\n", word.len());
        }
    }
    out
}

/// Fields of `/proc/self/stat`, in seconds, counted from 0 behind the name.
fn seconds(first: usize) -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux keeps statistics");
    let after_name = stat.rsplit(')').next().expect("the name ends in a bracket");
    let fields = after_name.split_whitespace().skip(first).take(2);
    fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / TICKS_PER_SECOND
}

/// Of this process.
fn own_seconds() -> f64 {
    seconds(11)
}

/// Of the processes that it has waited for.
fn children_seconds() -> f64 {
    seconds(13)
}

/// A server whose job writes to this sink.
pub(crate) fn serving(sink: &str, every: &str) -> (Project, Server) {
    let project = Project::new().with_environment(&CREDENTIALS);
    project.file(
        "streams/s.yaml",
        "stream: s\nfields: {user_id: string, t: timestamp}\nevent_time: t\ndisorder: 0s\nsource: {http: {}}\n",
    );
    project.file(
        "jobs/j.yaml",
        &format!(
            "query: |\n  SELECT user_id, COUNT(*) AS n FROM s GROUP BY user_id\nemit: {{on: change}}\nsinks:\n  - {sink}\n"
        ),
    );
    let server = Server::start(&project, &format!("shards: 1\ncheckpoint: {{every: {every}}}\n"));
    (project, server)
}
