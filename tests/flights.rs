//! Real input: 26,953 departures whose events arrive up to 21.8 hours out of order, against the answers of an
//! independent engine, from files at one, two and three shards.

use crate::harness::{Project, repository};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The stream over the file; `disorder` covers the latest flight, so nothing is late.
pub(crate) const STREAM: &str = "\
stream: flights
fields: {flight_id: string, carrier: string, tailnum: string, origin: string, dest: string, event_time: timestamp, dep_delay: double, distance: bigint, cancelled: boolean, origin_lat: double, origin_lon: double, dest_lat: double, dest_lon: double}
event_time: event_time
disorder: 24h
";

/// The three queries, by the name of their answers.
pub(crate) const QUERIES: [(&str, &str); 3] = [
    (
        "tumble_day",
        "SELECT origin, COUNT(*) AS flights, COUNT(dep_delay) AS departed, SUM(dep_delay) AS delay_sum, \
         MAX(dep_delay) AS delay_max, TUMBLE_END(rowtime, INTERVAL '1' DAY) AS window_end \
         FROM flights GROUP BY origin, TUMBLE(rowtime, INTERVAL '1' DAY)",
    ),
    (
        "hop_6h_1h",
        "SELECT carrier, COUNT(*) AS flights, SUM(distance) AS miles, \
         HOP_END(rowtime, INTERVAL '1' HOUR, INTERVAL '6' HOUR) AS window_end \
         FROM flights GROUP BY carrier, HOP(rowtime, INTERVAL '1' HOUR, INTERVAL '6' HOUR)",
    ),
    (
        "over_7d",
        "SELECT flight_id, tailnum, COUNT(*) OVER w AS flights, SUM(distance) OVER w AS miles, \
         TOP(5, dest) OVER w AS last_dests FROM flights WHERE tailnum IS NOT NULL \
         WINDOW w AS (PARTITION BY tailnum ORDER BY rowtime RANGE INTERVAL '7' DAY PRECEDING)",
    ),
];

/// Adds the three jobs, each with a file sink `out/NAME`.
pub(crate) fn add_jobs(project: &Project) {
    for (name, query) in QUERIES {
        project.file(
            &format!("jobs/{name}.yaml"),
            &format!("job: {name}\nquery: |\n  {query}\nsinks: [{{file: {{path: out/{name}}}}}]\n"),
        );
    }
}

/// The independent engine's answers as the rows that weir writes, counted.
pub(crate) fn answers(name: &str) -> BTreeMap<String, u64> {
    let path = repository().join(format!("tests/data/answers_{name}.csv"));
    let text = std::fs::read_to_string(path).expect("the answers are there");
    let mut lines = text.lines().filter(|line| !line.starts_with('#'));
    let header: Vec<&str> = lines.next().expect("a header").split(',').collect();
    let row = |line: &str| -> Value {
        header
            .iter()
            .zip(line.split(','))
            .map(|(name, cell)| ((*name).to_owned(), cell_of(name, cell)))
            .collect()
    };
    counted(lines.map(row))
}

fn cell_of(column: &str, cell: &str) -> Value {
    match column {
        "window_end" => json!(rfc3339(cell.parse().expect("epoch milliseconds"))),
        "last_dests" => cell.split('/').collect(),
        _ => cell
            .parse::<i64>()
            .map(Value::from)
            .or_else(|_| cell.parse::<f64>().map(Value::from))
            .unwrap_or_else(|_| Value::from(cell)),
    }
}

fn rfc3339(millis: i64) -> String {
    weir_event::EventTime::from_millis(millis).to_string()
}

/// Rows as a multiset; numbers are written alike whether whole or not.
pub(crate) fn counted(rows: impl Iterator<Item = Value>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for row in rows {
        let members = row.as_object().expect("a row is an object").iter();
        let text: Vec<String> = members
            .map(|(name, value)| match value.as_f64() {
                Some(number) => format!("{name}={number}"),
                None => format!("{name}={value}"),
            })
            .collect();
        *counts.entry(text.join(" ")).or_default() += 1;
    }
    counts
}

/// What is in one and not in the other; empty when they agree.
#[track_caller]
pub(crate) fn assert_same(name: &str, found: &BTreeMap<String, u64>, expected: &BTreeMap<String, u64>) {
    let missing: Vec<_> =
        expected.iter().filter(|(row, count)| found.get(*row) != Some(count)).take(5).collect();
    let extra: Vec<_> =
        found.iter().filter(|(row, count)| expected.get(*row) != Some(count)).take(5).collect();
    assert!(missing.is_empty() && extra.is_empty(), "{name}: expected {missing:#?}\nbut found {extra:#?}");
}

fn from_file(shards: u32) {
    let project = Project::new();
    let data = repository().join("tests/data/flights_2013_01.jsonl.gz");
    let source = format!("source: {{file: {{path: \"{}\"}}}}\n", data.display());
    project.file("streams/flights.yaml", &format!("{STREAM}{source}"));
    project.file("weir.yaml", &format!("shards: {shards}\n"));
    add_jobs(&project);
    project.run(&[]);
    for (name, _) in QUERIES {
        let found = counted(project.rows(&format!("out/{name}")).into_iter());
        assert_same(name, &found, &answers(name));
    }
    let before = project.rows("out/over_7d").len();
    project.run(&[]);
    assert_eq!(project.rows("out/over_7d").len(), before, "a second run with nothing new wrote something");
}

#[test]
fn all_three_answers_come_out_at_one_shard() {
    from_file(1);
}

#[test]
fn all_three_answers_come_out_at_two_shards() {
    from_file(2);
}

#[test]
fn all_three_answers_come_out_at_three_shards() {
    from_file(3);
}

#[test]
fn a_plugin_s_distance_agrees_with_the_recorded_one() {
    let project = Project::new();
    let data = repository().join("tests/data/flights_2013_01.jsonl.gz");
    project.file(
        "streams/flights.yaml",
        &format!("{STREAM}source: {{file: {{path: \"{}\"}}}}\n", data.display()),
    );
    std::fs::create_dir_all(project.path().join("plugins")).expect("a folder");
    let component = repository().join("plugins/dist/geo.wasm");
    std::fs::copy(&component, project.path().join("plugins/geo.wasm"))
        .unwrap_or_else(|error| panic!("{}: {error}; `plugins/build` makes it", component.display()));
    project.file(
        "jobs/km.yaml",
        "query: |\n  SELECT origin, AVG(haversine_km(origin_lat, origin_lon, dest_lat, dest_lon)) AS km, \
         AVG(distance) AS miles FROM flights WHERE dest_lat IS NOT NULL \
         GROUP BY origin, TUMBLE(rowtime, INTERVAL '1' DAY)\nsinks: [{file: {path: out}}]\n",
    );
    project.run(&[]);
    let rows = project.rows("out");
    assert!(rows.len() >= 90, "{} rows", rows.len());
    const KM_PER_MILE: f64 = 1.609_344;
    let ratio = |row: &Value| {
        row["km"].as_f64().expect("a distance") / (row["miles"].as_f64().expect("a distance") * KM_PER_MILE)
    };
    let average = rows.iter().map(ratio).sum::<f64>() / rows.len() as f64;
    assert!((average - 1.0).abs() < 0.01, "on average {average} of the recorded distance");
}
