//! Changes of a table in Debezium's envelope: rows that are updated or deleted are taken back, so that what is written and
//! what is served are over the rows that the table has, after `kill -9` too; and what cannot be is refused.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Project, Server, last_rows, wait_for};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use weir_event::EventTime;

const STREAM: &str = "\
stream: rides
fields: {id: bigint, city: string, fare: double, seats: bigint, at: timestamp}
event_time: at
disorder: 10m
";
const FORMAT: &str = "format: {json: {envelope: debezium}}\n";
const OFTEN: &str = "shards: 2\ncheckpoint: {every: 50ms}\n";
const FIRST: i64 = 1_767_225_600_000;
const HOUR: i64 = 3_600_000;
const CITIES: [&str; 4] = ["paris", "berlin", "rome", "oslo"];
/// A row of it closes all windows, and is left out of what is compared.
const LAST: &str = "last";

const COLUMNS: &str = "city, COUNT(*) AS n, COUNT(seats) AS known, SUM(seats) AS seats, SUM(fare) AS revenue, AVG(fare) AS \
                       mean, SUM(fare) FILTER (WHERE seats > 2) AS large, VAR_POP(seats) AS spread";

fn add_jobs(project: &Project) {
    let more = "late: {allow: 30d}\nhistory: 30d\n";
    let windowed = [
        ("by_hour", "TUMBLE(at, INTERVAL '1' HOUR)", ""),
        ("by_three", "HOP(at, INTERVAL '1' HOUR, INTERVAL '3' HOUR)", " HAVING COUNT(*) > 1"),
    ];
    for (job, window, having) in windowed {
        let (of, _) = window.split_once('(').unwrap();
        let end = window.replacen(of, &format!("{of}_END"), 1);
        let query = format!("SELECT {COLUMNS}, {end} AS ends FROM rides GROUP BY city, {window}{having}");
        let sinks = format!("sinks: [{{file: {{path: out/{job}, meta: true}}}}]\n");
        project.file(&format!("jobs/{job}.yaml"), &format!("query: |\n  {query}\n{more}{sinks}"));
    }
}

#[derive(Debug, Clone)]
struct Row {
    id: u64,
    city: &'static str,
    fare: Option<f64>,
    seats: Option<i64>,
    at: i64,
}

impl Row {
    fn json(&self) -> Value {
        let Row { id, city, fare, seats, at } = self;
        json!({"id": id, "city": city, "fare": fare, "seats": seats, "at": at})
    }
}

/// A table, the changes that made it, and dice.
struct Table {
    rows: BTreeMap<u64, Row>,
    next: u64,
    clock: i64,
    dice: u64,
}

impl Table {
    fn new(seed: u64) -> Table {
        Table { rows: BTreeMap::new(), next: 0, clock: FIRST, dice: seed }
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % sides
    }

    fn row(&mut self, id: u64) -> Row {
        // Sums of these are exact in a double, whatever the order; those of what is left once a large one is gone are not.
        let fare = match self.roll(8) {
            0 => None,
            1 => Some(1e14),
            _ => Some(self.roll(400) as f64 / 4.0 - 20.0),
        };
        let seats = self.roll(6);
        Row {
            id,
            city: CITIES[self.roll(CITIES.len() as u64) as usize],
            fare,
            seats: (seats > 0).then_some(seats as i64),
            at: self.clock - self.roll(5 * HOUR as u64) as i64,
        }
    }

    /// The next change, as Debezium writes it.
    fn change(&mut self) -> String {
        self.clock += 90_000;
        let (rows, what) = (self.rows.len() as u64, self.roll(10));
        let (op, before, after) = if rows < 5 || what < 4 {
            let (id, op) = (self.next, if self.next < 3 { "r" } else { "c" });
            self.next += 1;
            (op, None, Some(self.row(id)))
        } else {
            let nth = self.roll(rows) as usize;
            let before = self.rows.values().nth(nth).unwrap().clone();
            let mut after = self.row(before.id);
            if self.roll(2) == 0 {
                (after.city, after.at) = (before.city, before.at);
            }
            let is_update = what < 8;
            (if is_update { "u" } else { "d" }, Some(before), Some(after).filter(|_| is_update))
        };
        let id = before.as_ref().or(after.as_ref()).unwrap().id;
        let [old, new] = [&before, &after].map(|row| row.as_ref().map(Row::json));
        self.rows.remove(&id);
        self.rows.extend(after.map(|row| (id, row)));
        let change =
            json!({"before": old, "after": new, "op": op, "source": {"table": "rides"}, "ts_ms": self.clock});
        let wrapped = json!({"schema": {"type": "struct"}, "payload": change});
        format!("{}\n", if id.is_multiple_of(3) { wrapped } else { change })
    }

    fn changes(&mut self, count: usize) -> String {
        (0..count).map(|_| self.change()).collect()
    }

    /// What closes all windows.
    fn last(&self) -> String {
        let row = Row { id: u64::MAX >> 12, city: LAST, fare: None, seats: None, at: self.clock + 9 * HOUR };
        format!("{}\n", json!({"before": null, "after": row.json(), "op": "c"}))
    }

    /// The result of each city and window of so many hours, one of which ends every hour.
    fn expected(&self, hours: i64, least: usize) -> BTreeMap<(String, i64), Value> {
        let mut windows: BTreeMap<(String, i64), Vec<&Row>> = BTreeMap::new();
        for row in self.rows.values() {
            let hour = row.at.div_euclid(HOUR) * HOUR;
            let ends = (1..=hours).map(|ahead| hour + ahead * HOUR);
            ends.for_each(|end| windows.entry((row.city.to_owned(), end)).or_default().push(row));
        }
        windows.retain(|_, rows| rows.len() >= least);
        windows
            .into_iter()
            .map(|((city, end), rows)| ((city.clone(), end), figures(&city, end, &rows)))
            .collect()
    }
}

fn sum(values: &[f64]) -> Value {
    if values.is_empty() { Value::Null } else { json!(values.iter().sum::<f64>()) }
}

fn figures(city: &str, end: i64, rows: &[&Row]) -> Value {
    let seats: Vec<i64> = rows.iter().filter_map(|row| row.seats).collect();
    let fares: Vec<f64> = rows.iter().filter_map(|row| row.fare).collect();
    let large: Vec<f64> = rows.iter().filter(|row| row.seats > Some(2)).filter_map(|row| row.fare).collect();
    let (known, total) = (seats.len() as i64, seats.iter().sum::<i64>());
    let spread = known * seats.iter().map(|it| it * it).sum::<i64>() - total * total;
    let mean = (!fares.is_empty()).then(|| fares.iter().sum::<f64>() / fares.len() as f64);
    let mut row = json!({
        "city": city, "n": rows.len(), "known": known, "seats": (known > 0).then_some(total),
        "revenue": sum(&fares), "mean": mean, "large": sum(&large),
        "spread": (known > 0).then(|| spread as f64 / (known * known) as f64),
    });
    row["ends"] = json!(EventTime::from_millis(end).to_string());
    // Reading a double's text may be off by its last digit here, for what is expected as for what is found.
    serde_json::from_str(&row.to_string()).unwrap()
}

/// What a job has written, the last row of each identity.
fn written(project: &Project, job: &str) -> BTreeMap<(String, i64), Value> {
    let rows = last_rows(project.rows(&format!("out/{job}"))).into_iter().filter(|row| row["city"] != LAST);
    let end = |row: &Value| row["ends"].as_str().unwrap().parse::<EventTime>().unwrap().millis();
    rows.map(|row| ((row["city"].as_str().unwrap().to_owned(), end(&row)), row)).collect()
}

const JOBS: [(&str, i64, usize); 2] = [("by_hour", 1, 1), ("by_three", 3, 2)];

#[track_caller]
fn assert_written(project: &Project, table: &Table, jobs: &[(&str, i64, usize)]) {
    for (job, hours, least) in jobs {
        assert_eq!(written(project, job), table.expected(*hours, *least), "{job}");
    }
}

/// Asks for every city in every window that there could be.
#[track_caller]
fn assert_served(server: &Server, table: &Table) -> usize {
    let mut found = 0;
    // What an empty window has of these, where it has anything.
    const COUNTS: [&str; 2] = ["n", "known"];
    for (job, hours, least) in JOBS {
        let expected = table.expected(hours, least);
        let ends: Vec<i64> = (FIRST / HOUR - 5..table.clock / HOUR + 3).map(|hour| hour * HOUR).collect();
        for (city, end) in CITIES.iter().flat_map(|city| ends.iter().map(move |end| (*city, *end))) {
            let as_of = EventTime::from_millis(end - 1);
            let (status, answer) = server.get(&format!("/v1/jobs/{job}/values?city={city}&as_of={as_of}"));
            assert_eq!(status, 200, "{job} {city}: {answer}");
            let features = answer["features"].as_object().unwrap();
            let expected = expected.get(&(city.to_owned(), end));
            found += usize::from(expected.is_some());
            for (name, feature) in features {
                let wanted = match expected {
                    Some(row) => (row[name].clone(), "ok"),
                    None if COUNTS.contains(&name.as_str()) && feature["value"] == 0 => {
                        (json!(0), "not_found")
                    }
                    None => (Value::Null, "not_found"),
                };
                let said = (feature["value"].clone(), feature["status"].as_str().unwrap());
                assert_eq!(said, wanted, "{job} {city} {name} up to {end}: {answer}");
            }
        }
    }
    found
}

#[test]
fn what_is_served_and_written_is_of_the_rows_that_the_table_has_after_kills_too() {
    let project = Project::new();
    project.file("streams/rides.yaml", &format!("{STREAM}{FORMAT}source: {{http: {{}}}}\n"));
    add_jobs(&project);
    let mut table = Table::new(11);
    let mut compared = 0;
    for round in 0..5 {
        let server = Server::start(&project, OFTEN);
        for _ in 0..6 {
            let (status, answer) = server.post("/v1/streams/rides/events?wait=visible", table.changes(30));
            assert_eq!((status, &answer["accepted"]), (200, &json!(30)), "{answer}");
        }
        // The newest windows are still open.
        if round == 4 {
            let (status, answer) = server.post("/v1/streams/rides/events?wait=visible", table.last());
            assert_eq!((status, &answer["visible"]), (200, &json!(true)), "{answer}");
            compared = assert_served(&server, &table);
            let settled = || {
                let same = |(job, hours, least): &(&str, i64, usize)| {
                    written(&project, job) == table.expected(*hours, *least)
                };
                JOBS.iter().all(same).then_some(())
            };
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                wait_for("what is written to be what the table has", Duration::from_secs(30), settled);
            }));
            if outcome.is_err() {
                assert_written(&project, &table, &JOBS);
            }
            let (_, job) = server.get("/v1/jobs/by_hour");
            assert_eq!((&job["dropped"], &job["dead_letters"]), (&json!(0), &json!(0)), "{job}");
        }
        server.kill();
    }
    assert!(compared > 100, "{compared} values were there");
    let server = Server::start(&project, OFTEN);
    server.wait_ready();
    assert_eq!(assert_served(&server, &table), compared);
    assert!(server.terminate().success());
}

#[test]
fn files_of_changes_give_what_the_table_has_at_the_end() {
    for seed in 0..4 {
        let project = Project::new();
        let mut table = Table::new(seed);
        project.file("data/rides.jsonl", &table.changes(400));
        project.file(
            "streams/rides.yaml",
            &format!("{STREAM}{FORMAT}source: {{file: {{path: data/rides.jsonl}}}}\n"),
        );
        add_jobs(&project);
        project.run(&[]);
        assert_written(&project, &table, &JOBS);
    }
}

#[test]
fn what_cannot_take_rows_back_is_refused_unless_deletes_are_ignored() {
    let by_hour = |what: &str| {
        format!("SELECT city, {what} AS x FROM rides GROUP BY city, TUMBLE(at, INTERVAL '1' HOUR)")
    };
    let over = "OVER (PARTITION BY city ORDER BY at RANGE INTERVAL '1' DAY PRECEDING)";
    for (query, what) in [
        (by_hour("MIN(fare)"), "MIN cannot take back rows"),
        (by_hour("TOP(3, fare)"), "TOP cannot take back rows"),
        (by_hour("COUNT(DISTINCT id)"), "COUNT(DISTINCT ..) cannot take back rows"),
        (format!("SELECT city, COUNT(*) {over} AS x FROM rides"), "OVER, which gives a result for each row,"),
        (
            "SELECT city, COUNT(*) AS x FROM rides GROUP BY city, SESSION(at, INTERVAL '1' HOUR)".to_owned(),
            "SESSION cannot take back rows of `rides`",
        ),
        ("SELECT city, fare AS x FROM rides".to_owned(), "a query that computes each row alone cannot"),
    ] {
        let project = Project::new();
        let stream = format!("{STREAM}source: {{http: {{}}}}\n");
        project.file("streams/rides.yaml", &format!("{stream}{FORMAT}"));
        project.file("jobs/j.yaml", &format!("query: |\n  {query}\n"));
        let refused = project.weir("check", &[]);
        let said = String::from_utf8_lossy(&[refused.stdout, refused.stderr].concat()).into_owned();
        assert!(!refused.status.success() && said.contains(what), "{query}\n{said}");
        assert!(said.contains("jobs/j.yaml:2:"), "{said}");
        assert!(said.contains("write `deletes: ignore` in the format of `rides`"), "{said}");
        let ignoring = "format: {json: {envelope: debezium, deletes: ignore}}\n";
        project.file("streams/rides.yaml", &format!("{stream}{ignoring}"));
        let checked = project.weir("check", &[]);
        assert!(checked.status.success(), "{query}: {checked:?}");
    }
}

#[test]
fn an_id_of_changes_is_refused_and_explain_says_that_rows_are_taken_back() {
    let project = Project::new();
    let stream = format!("{STREAM}source: {{http: {{}}}}\n{FORMAT}");
    project.file("streams/rides.yaml", &format!("{stream}event_id: id\n"));
    let refused = project.weir("check", &[]);
    let said = String::from_utf8_lossy(&[refused.stdout, refused.stderr].concat()).into_owned();
    assert!(!refused.status.success() && said.contains("`event_id`: every change of a row has"), "{said}");
    project.file("streams/rides.yaml", &stream);
    add_jobs(&project);
    let explained = project.weir("check", &["--explain"]);
    let said = String::from_utf8_lossy(&[explained.stdout, explained.stderr].concat()).into_owned();
    assert!(explained.status.success(), "{said}");
    assert!(said.contains("rows that are updated or deleted are taken back"), "{said}");
}

#[test]
fn a_result_of_which_having_is_not_true_any_more_goes_also_while_its_window_is_open() {
    let project = Project::new();
    project.file(
        "streams/rides.yaml",
        "stream: rides\nsource: {http: {}}\nfields: {city: string, fare: bigint, at: timestamp}\nevent_time: at\n",
    );
    let query = "query: |\n  SELECT city, SUM(fare) AS total FROM rides GROUP BY city";
    let sinks = "sinks: [{file: {path: out, meta: true}}]\nemit: {on: change}\n";
    project.file("jobs/all.yaml", &format!("{query} HAVING SUM(fare) > 0\n{sinks}"));
    let hours = ", TUMBLE(at, INTERVAL '1' HOUR) HAVING SUM(fare) > 0\n";
    project.file("jobs/hours.yaml", &format!("{query}{hours}{}", sinks.replace("out", "hours")));
    let server = Server::start(&project, "checkpoint: {every: 200ms}\n");
    let post = |fare: i64, city: &str| {
        let event = json!({"city": city, "fare": fare, "at": "2026-01-31T12:00:00Z"}).to_string();
        let (status, answer) = server.post("/v1/streams/rides/events?wait=visible", event.as_bytes());
        assert_eq!((status, &answer["visible"]), (200, &json!(true)), "{answer}");
    };
    for (fare, city) in
        [(5, "a"), (-10, "a"), (-1, "b"), (-1, "b"), (-1, "a"), (20, "a"), (-30, "a"), (2, "c")]
    {
        post(fare, city);
    }
    assert!(server.terminate().success());
    for (job, folder) in [("all", "out"), ("hours", "hours")] {
        let rows = project.rows(folder);
        let of = |city: &str| -> Vec<(Value, Value)> {
            let of_city = rows.iter().filter(|row| row["_weir"]["key"]["city"] == *city);
            of_city.map(|row| (row["_weir"]["op"].clone(), row["total"].clone())).collect()
        };
        let (written, gone) = (|total: i64| (json!("upsert"), json!(total)), (json!("delete"), Value::Null));
        assert_eq!(of("a"), [written(5), gone.clone(), written(14), gone], "{job}: {rows:?}");
        assert_eq!((of("b"), of("c")), (vec![], vec![written(2)]), "{job}: {rows:?}");
    }
}

#[test]
fn a_late_row_takes_no_window_away_that_was_never_written() {
    let project = Project::new();
    project.file(
        "streams/rides.yaml",
        "stream: rides\nsource: {file: {path: rides.jsonl}}\nfields: {city: string, fare: bigint, at: timestamp}\n\
         event_time: at\ndisorder: 1m\n",
    );
    let window = "GROUP BY city, TUMBLE(at, INTERVAL '10' MINUTE) HAVING SUM(fare) > 0";
    project.file(
        "jobs/j.yaml",
        &format!(
            "query: |\n  SELECT city, SUM(fare) AS total FROM rides {window}\nlate: {{allow: 30m}}\n\
             sinks: [{{file: {{path: out, meta: true}}}}]\n"
        ),
    );
    let events = [("a", 1, 5), ("a", 11, -5), ("z", 30, 1), ("a", 12, -1), ("a", 2, -9)];
    let line = |(city, minute, fare): (&str, i64, i64)| {
        json!({"city": city, "fare": fare, "at": 1_770_000_000_000_i64 / 600_000 * 600_000 + minute * 60_000})
            .to_string()
    };
    project.file("rides.jsonl", &events.map(line).join("\n"));
    project.run(&[]);
    let of_a: Vec<Value> =
        project.rows("out").into_iter().filter(|row| row["_weir"]["key"]["city"] == "a").collect();
    let told: Vec<_> = of_a.iter().map(|row| (row["_weir"]["op"].as_str(), row["total"].as_i64())).collect();
    assert_eq!(told, [(Some("upsert"), Some(5)), (Some("delete"), None)], "{of_a:?}");
    assert_eq!(of_a[0]["_weir"]["window"], of_a[1]["_weir"]["window"], "{of_a:?}");
}

#[test]
fn sinks_that_go_on_showing_what_was_taken_back_are_warned_of() {
    let plain = "SELECT city, COUNT(*) AS n FROM rides GROUP BY city, TUMBLE(at, INTERVAL '1' HOUR)";
    let having = format!("{plain} HAVING COUNT(*) < 3");
    let having = having.as_str();
    let sessions = "SELECT city, COUNT(*) AS n FROM rides GROUP BY city, SESSION(at, INTERVAL '1' HOUR)";
    let (lines, told) = ("file: {path: out}", "file: {path: out, meta: true}");
    let topic = "kafka: {brokers: \"127.0.0.1:9\", topic: t}";
    let deleting = "kafka: {brokers: \"127.0.0.1:9\", topic: t, key: \"{city}\", tombstones: true}";
    let keyed = "redis: {url: \"redis://127.0.0.1:9\"}";
    let dropping = "late: {policy: drop}\n";
    for (changes, query, sink, more, is_warned) in [
        (true, plain, lines, "", true),
        (true, plain, lines, dropping, true),
        (true, plain, told, "", false),
        (true, plain, topic, "", true),
        (true, plain, deleting, "", false),
        (true, plain, keyed, "", false),
        (false, plain, lines, "", false),
        (false, having, lines, "", true),
        (false, having, lines, dropping, true),
        (false, having, lines, "emit: {on: change}\n", true),
        (false, sessions, lines, "retention: 1d\n", true),
        (false, sessions, keyed, "retention: 1d\n", false),
        (false, sessions, topic, "retention: 1d\nlate: {policy: drop}\n", true),
    ] {
        let project = Project::new();
        let format = if changes { FORMAT } else { "" };
        project.file("streams/rides.yaml", &format!("{STREAM}source: {{http: {{}}}}\n{format}"));
        project.file("jobs/j.yaml", &format!("query: |\n  {query}\nsinks: [{{{sink}}}]\n{more}"));
        let checked = project.weir("check", &[]);
        let said = String::from_utf8_lossy(&[checked.stdout, checked.stderr].concat()).into_owned();
        assert!(checked.status.success(), "{query} {sink} {more}: {said}");
        let warning = "results that were written can be taken back";
        assert_eq!(said.contains(warning), is_warned, "{query} {sink} {more}: {said}");
    }
}

#[test]
fn changes_that_cannot_be_used_are_dead_letters_and_the_sender_is_told() {
    let project = Project::new();
    project.file("streams/rides.yaml", &format!("{STREAM}{FORMAT}source: {{http: {{}}}}\n"));
    project.file(
        "jobs/j.yaml",
        "query: |\n  SELECT city, COUNT(*) AS n FROM rides GROUP BY city, TUMBLE(at, INTERVAL '1' HOUR)\n",
    );
    let server = Server::start(&project, OFTEN);
    let row = json!({"id": 1, "city": "rome", "fare": 1, "seats": 1, "at": FIRST});
    let wrong = [
        json!({"op": "u", "before": null, "after": row}),
        json!({"op": "d", "before": {"id": 1}, "after": null}),
        json!({"op": "t"}),
        json!({"op": "u", "before": row, "after": {"id": "one", "at": FIRST}}),
        json!({"op": "c", "before": null, "after": row}),
    ];
    let body: String = wrong.iter().map(|line| format!("{line}\n")).collect();
    let (status, answer) = server.post("/v1/streams/rides/events?wait=visible", body);
    assert_eq!((status, &answer["accepted"]), (200, &json!(1)), "{answer}");
    let rejected = answer["rejected"].as_array().unwrap();
    assert_eq!(rejected.len(), 4, "{answer}");
    for (at, reason) in
        [(0, "REPLICA IDENTITY FULL"), (1, "REPLICA IDENTITY FULL"), (2, "truncated"), (3, "`id`")]
    {
        assert_eq!(rejected[at]["row"], json!(at));
        assert!(rejected[at]["reason"].as_str().unwrap().contains(reason), "{answer}");
    }
    assert!(server.terminate().success());
}
