//! Queries over generated rides, in events per CPU-second, beside a bare loop in the same run.
//!
//! The bare loop is one thread: a SIMD JSON parser that reads only the needed members, hash maps, the simplest exact
//! state, every result row built and dropped; no checkpoint, no lateness beyond the ten minutes.

use crate::{bare, project, weir};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;

struct Query {
    name: &'static str,
    days: u32,
    sql: &'static str,
    /// [`DISCARD`], or none: then the values are kept for lookups alone.
    sinks: &'static str,
    bare: fn(&[u8]) -> u64,
}

const DISCARD: &str = "{discard: {}}";
/// Q1.
const TUMBLING: &str = "SELECT geohash, COUNT(*) AS n, TUMBLE_END(rowtime, INTERVAL '1' HOUR) AS e FROM rides \
                        GROUP BY geohash, TUMBLE(rowtime, INTERVAL '1' HOUR)";
const SEQUENCES: &str = "SELECT user_id, TOP(2056, action) OVER (PARTITION BY user_id ORDER BY event_time \
                         RANGE INTERVAL '90' DAYS PRECEDING) AS s FROM rides";

const QUERIES: [Query; 7] = [
    Query { name: "Q1", days: 1, sql: TUMBLING, sinks: DISCARD, bare: bare::tumbling_count },
    Query {
        name: "Q2",
        days: 1,
        sql: "SELECT user_id, COUNT(ride_id) AS n FROM rides \
              GROUP BY user_id, HOP(rowtime, INTERVAL '1' HOUR, INTERVAL '1' DAY)",
        sinks: DISCARD,
        bare: bare::hopping_count::<24>,
    },
    Query {
        name: "Q2m",
        days: 120,
        sql: "SELECT user_id, COUNT(ride_id) AS n FROM rides \
              GROUP BY user_id, HOP(rowtime, INTERVAL '30' DAY, INTERVAL '1' HOUR)",
        sinks: DISCARD,
        bare: bare::hopping_count::<720>,
    },
    Query { name: "Q3", days: 120, sql: SEQUENCES, sinks: DISCARD, bare: bare::sequences },
    Query { name: "Q3k", days: 120, sql: SEQUENCES, sinks: "", bare: bare::kept_sequences },
    Query {
        name: "Q4",
        days: 120,
        sql: "SELECT user_id, COUNT(*) AS n, SUM(fare) AS s, MIN(fare) AS mi, MAX(fare) AS ma, AVG(fare) AS av, \
              COUNT(DISTINCT ride_id) AS d, TOP(5, action) AS l FROM rides \
              GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)",
        sinks: DISCARD,
        bare: bare::seven_aggregates,
    },
    Query {
        name: "Q5",
        days: 120,
        sql: "SELECT user_id, COUNT(*) AS n FROM rides GROUP BY user_id, SESSION(rowtime, INTERVAL '30' MINUTE)",
        sinks: DISCARD,
        bare: bare::sessions,
    },
];

const STREAM: &str = "\
stream: rides
fields: {event_id: bigint, user_id: bigint, action: string, geohash: string, ride_id: string, fare: double, event_time: timestamp}
event_time: event_time
disorder: 10m
";

/// Clock ticks per second in `/proc/self/stat`: 100 on every Linux that is built for servers.
const TICKS_PER_SECOND: f64 = 100.0;

/// Runs the wanted queries and prints a line for each.
pub(crate) fn measure(events: u64, is_wanted: impl Fn(&str) -> bool) {
    let wanted: Vec<&Query> = QUERIES.iter().filter(|query| is_wanted(query.name)).collect();
    if wanted.is_empty() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    println!("{events} events; one shard, a checkpoint every 10 s; thousand events per CPU-second");
    println!(
        "{:<5} {:>8} {:>8} {:>6} {:>9} {:>12} {:>14} {:>12}",
        "query", "weir", "bare", "ratio", "peak MB", "bytes/key", "bytes/tile,row", "rows out"
    );
    for query in wanted {
        let rides = generated(folder.path(), events, query.days);
        let weir = run_weir(folder.path(), query, &rides);
        let (bare_rows, bare_seconds) = run_bare(query, &rides);
        let job = &weir["jobs"]["q"];
        let rate = |seconds: f64| events as f64 / seconds / 1000.0;
        let (weir_rate, bare_rate) = (rate(number(&weir, "cpu_seconds")), rate(bare_seconds));
        println!(
            "{:<5} {:>8.0} {:>8.0} {:>6.2} {:>9.0} {:>12.0} {:>14.0} {:>12}",
            query.name,
            weir_rate,
            bare_rate,
            weir_rate / bare_rate,
            number(&weir, "peak_memory_bytes") / 1e6,
            number(&weir, "state_bytes_per_key"),
            number(job, "state_bytes") / (number(job, "tiles") + number(job, "rows")),
            bare_rows
        );
    }
}

fn number(stats: &Value, name: &str) -> f64 {
    stats[name].as_f64().unwrap_or(f64::NAN)
}

pub(crate) fn generated(folder: &Path, events: u64, days: u32) -> PathBuf {
    let path = folder.join(format!("rides_{days}.jsonl"));
    if !path.exists() {
        let made = Command::new(weir())
            .args(["generate", "rides", "--events", &events.to_string(), "--days", &days.to_string()])
            .args(["--seed", "7", "-o"])
            .arg(&path)
            .status();
        assert!(made.expect("weir starts").success());
    }
    path
}

fn run_weir(folder: &Path, query: &Query, rides: &Path) -> Value {
    let source = format!("source: {{file: {{path: \"{}\"}}}}\n", rides.display());
    let job = format!("job: q\nquery: |\n  {}\nsinks: [{}]\n", query.sql, query.sinks);
    stats_of(&folder.join(query.name), &[], &format!("{STREAM}{source}"), &job)
}

/// Prints thousand events per CPU-second of a reader.
pub(crate) fn say(what: &str, events: u64, cpu_seconds: f64) {
    println!("  {what}: {:.0}", events as f64 / cpu_seconds / 1000.0);
}

/// The CPU seconds of a reader that gives how many events it has read.
pub(crate) fn cpu_of(events: u64, read: impl FnOnce() -> u64) -> f64 {
    let before = cpu_seconds();
    assert_eq!(read(), events);
    cpu_seconds() - before
}

/// The CPU seconds of a job of Q1 over this source, with these variables.
pub(crate) fn cpu_of_job(home: &Path, environment: &[(&str, &str)], source: &str) -> f64 {
    let job = format!("job: q\nquery: |\n  {TUMBLING}\nsinks: [{DISCARD}]\n");
    number(&stats_of(home, environment, &format!("{STREAM}source: {source}\n"), &job), "cpu_seconds")
}

/// Runs a job over a stream to its end; what it says of itself.
fn stats_of(home: &Path, environment: &[(&str, &str)], stream: &str, job: &str) -> Value {
    let files = [
        ("weir.yaml", "shards: 1\n".to_owned()),
        ("streams/rides.yaml", stream.to_owned()),
        ("jobs/q.yaml", job.to_owned()),
    ];
    project(home, &files);
    let mut command = Command::new(weir());
    command.arg("run").arg(home).args(["--until-end", "--stats"]).envs(environment.iter().copied());
    let output = command.output().expect("weir starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("statistics are text");
    serde_json::from_str(text.lines().last().expect("a line of statistics")).expect("statistics are JSON")
}

fn run_bare(query: &Query, rides: &Path) -> (u64, f64) {
    let before = cpu_seconds();
    let events = std::fs::read(rides).expect("the rides are there");
    let rows = (query.bare)(&events);
    (rows, cpu_seconds() - before)
}

fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux keeps statistics");
    // Fields 14 and 15, counted from 1, of which the second is a name in brackets that may hold spaces.
    let after_name = stat.rsplit(')').next().expect("the name ends in a bracket");
    let ticks: f64 =
        after_name.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    ticks / TICKS_PER_SECOND
}
