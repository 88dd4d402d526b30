//! A training set has what lookups have answered: random events and lookups, `kill -9` on the way, and then the same
//! questions by `weir train`, each at the moment at which it was asked.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Project, Server};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use weir_engine::SystemClock;
use weir_event::{Clock, EventTime};

const STREAM: &str = "\
fields: {id: bigint, user_id: string, city: string, fare: double, t: timestamp}
event_time: t
disorder: 300ms
idle_after: 1h
event_id: id
dedup_for: 1h
source: {http: {}}
";
const SETTINGS: &str = "shards: 2\ncheckpoint: {every: 1s}\n";
const CORRECTED: &str = "late: {allow: 3s}\n";
const DROPPED: &str = "late: {policy: drop}\n";
const RANGE: &str = "WINDOW w AS (PARTITION BY user_id ORDER BY t RANGE INTERVAL '3' SECOND PRECEDING)";
/// The same, seen from its beginning.
const AHEAD: &str = "WINDOW w AS (PARTITION BY user_id ORDER BY t RANGE BETWEEN CURRENT ROW AND INTERVAL '3' SECOND FOLLOWING)";
const AHEAD_MS: i64 = 3000;
const OVER: &str = "SELECT user_id, COUNT(*) OVER w AS n, SUM(fare) OVER w AS s, TOP(3, city) OVER w AS last, AVG(fare) OVER w \
                    AS a FROM rides";

/// Jobs of one kind of window each: what they compute, of which rows, and what else their definition says.
fn jobs() -> Vec<(&'static str, String, String)> {
    let grouped = |what: &str, window: &str| {
        format!(
            "SELECT user_id, {what} FROM rides GROUP BY user_id{}{window}",
            if window.is_empty() { "" } else { ", " }
        )
    };
    let with_default = format!("{CORRECTED}features: {{n: {{default: -1}}}}\n");
    let count_sum = "COUNT(*) AS n, SUM(fare) AS s";
    let rows = "SELECT user_id, AVG(fare) OVER v AS a, MAX(fare) OVER v AS m, FIRST_VALUE(city) OVER v AS f FROM rides \
                WINDOW v AS (PARTITION BY user_id ORDER BY t ROWS 4 PRECEDING)";
    let tumble = "TUMBLE(t, INTERVAL '1' SECOND)";
    let session = "SESSION(t, INTERVAL '800' MILLISECOND)";
    let hop = "HOP(t, INTERVAL '1' SECOND, INTERVAL '4' SECOND)";
    let having = format!("{tumble} HAVING COUNT(*) > 1");
    let cumulate = "SELECT user_id, COUNT(*) AS n, STDDEV_POP(fare) AS s FROM TABLE(CUMULATE(TABLE rides, DESCRIPTOR(t), \
                    INTERVAL '1' SECOND, INTERVAL '5' SECOND)) GROUP BY user_id, window_start, window_end";
    let filtered = format!("SELECT user_id, COUNT(*) OVER w AS n FROM rides WHERE fare > 10 {RANGE}");
    let (corrected, dropped) = (|| CORRECTED.to_owned(), || DROPPED.to_owned());
    vec![
        ("over", format!("{OVER} {RANGE}"), corrected()),
        ("rows", rows.to_owned(), corrected()),
        ("tumble", grouped(&format!("{count_sum}, COUNT(DISTINCT city) AS c"), tumble), with_default.clone()),
        ("hop", grouped("COUNT(*) AS n, MIN(fare) AS s", hop), corrected()),
        ("cumulate", cumulate.to_owned(), corrected()),
        ("session", grouped(&format!("{count_sum}, FIRST_VALUE(city) AS f"), session), corrected()),
        (
            "life",
            grouped(&format!("{count_sum}, LAST_VALUE(city) AS l"), ""),
            format!("{CORRECTED}emit: {{on: change}}\n"),
        ),
        ("having", grouped("COUNT(*) AS n", &having), with_default),
        ("filtered", filtered, corrected()),
        ("drop_over", format!("{OVER} {RANGE}"), dropped()),
        ("drop_tumble", grouped(count_sum, tumble), dropped()),
        ("drop_session", grouped(count_sum, session), dropped()),
    ]
}

#[allow(clippy::disallowed_methods, reason = "lookups and events come at times of the machine's clock")]
fn pause(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

/// Somebody who posts events and looks things up.
struct Client {
    clock: SystemClock,
    dice: u64,
    events: Vec<Value>,
    /// What was asked, and what was answered.
    lookups: Vec<(String, Value)>,
}

impl Client {
    fn new(seed: u64) -> Client {
        Client { clock: SystemClock::new(), dice: seed, events: Vec::new(), lookups: Vec::new() }
    }

    fn roll(&mut self, sides: u64) -> u64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) % sides
    }

    fn event(&mut self) -> Value {
        const AHEAD: [i64; 10] = [30, 60, 40, 60, -100, -250, -500, -1500, -4000, -9000];
        let ahead = match self.roll(10) {
            0..6 => AHEAD[self.roll(AHEAD.len() as u64) as usize],
            _ => self.roll(240) as i64 - 200,
        };
        let known = self.events.len() as u64;
        let id = if known > 0 && self.roll(20) == 0 { self.roll(known) } else { known };
        let city = ["a", "b", "c", "d"].get(self.roll(5) as usize).copied();
        let fare = (self.roll(20) > 0).then(|| 1.0 + self.roll(2900) as f64 / 100.0);
        let user = (self.roll(50) > 0).then(|| format!("u{}", self.roll(6)));
        json!({"id": id, "user_id": user, "city": city, "fare": fare, "t": self.clock.now().millis() + ahead})
    }

    fn post(&mut self, server: &Server) {
        let mut body = String::new();
        for _ in 0..=self.roll(4) {
            let event = self.event();
            body += &format!("{event}\n");
            self.events.push(event);
        }
        let (status, answer) = server.post("/v1/streams/rides/events?wait=visible", body);
        assert_eq!((status, &answer["visible"]), (200, &json!(true)), "{answer}");
    }

    fn look_up(&mut self, server: &Server, jobs: &[&str]) {
        let user = if self.roll(12) == 0 { "nobody".to_owned() } else { format!("u{}", self.roll(6)) };
        let question = json!({"features": jobs, "entities": [{"user_id": user}]}).to_string();
        let before = self.clock.now();
        let (status, answer) = server.post("/v1/lookup", question);
        assert_eq!(status, 200, "{answer}");
        let of_jobs = answer["jobs"].as_object().unwrap().values();
        let as_of: BTreeSet<Option<EventTime>> = of_jobs.map(|job| time(&job["as_of"])).collect();
        // Where the jobs' own time is not the wall's, it is not known here when they were asked.
        if as_of.len() == 1 && as_of.first().is_some_and(|as_of| *as_of >= Some(before)) {
            self.lookups.push((user, answer));
        }
    }

    /// Posts and asks for so long, never both within a millisecond.
    fn go_on(&mut self, server: &Server, jobs: &[&str], span: Duration) {
        let end = self.clock.monotonic() + span;
        while self.clock.monotonic() < end {
            match self.roll(100) {
                0..45 => self.post(server),
                45..97 => self.look_up(server, jobs),
                _ => pause([50, 300, 1100][self.roll(3) as usize]),
            }
            pause(3);
        }
    }
}

fn time(value: &Value) -> Option<EventTime> {
    value.as_str().map(|text| text.parse().unwrap())
}

/// Values and statuses of features by their names in a training set.
fn answered(answer: &Value) -> BTreeMap<String, Value> {
    let features = answer["rows"][0]["features"].as_object().unwrap();
    let named = |(name, feature): (&String, &Value)| {
        let name = name.replace(':', "__");
        let status = (format!("{name}__status"), feature["status"].clone());
        [(name, feature["value"].clone()), status]
    };
    features.iter().flat_map(named).collect()
}

#[test]
fn a_training_set_has_what_lookups_have_answered_after_kills_too() {
    let project = Project::new();
    project.file("streams/rides.yaml", STREAM);
    let jobs = jobs();
    for (job, query, more) in &jobs {
        project.file(&format!("jobs/{job}.yaml"), &format!("query: |\n  {query}\n{more}"));
    }
    project.file("jobs/label.yaml", &format!("query: |\n  {OVER} {AHEAD}\n{CORRECTED}"));
    let names: Vec<&str> = jobs.iter().map(|(job, ..)| *job).collect();
    let mut client = Client::new(SystemClock::new().now().millis().unsigned_abs());
    let seed = client.dice;
    for round in 0..3 {
        let server = Server::start(&project, SETTINGS);
        server.wait_ready();
        client.go_on(&server, &names, Duration::from_millis(2500));
        if round < 2 {
            server.kill();
            continue;
        }
        train(&project, &client.lookups, (&names.join(","), 0), "out.jsonl");
        train(&project, &client.lookups, ("label", AHEAD_MS), "labels.jsonl");
        assert!(server.terminate().success());
    }
    assert_agreement(&project, &client.lookups, seed);
    assert_labels(&project, &client.lookups, seed);
}

/// Asks for features so long before lookups were asked.
#[track_caller]
fn train(project: &Project, lookups: &[(String, Value)], (features, before): (&str, i64), output: &str) {
    let asked = lookups.iter().enumerate().map(|(number, (user, answer))| {
        let moment = time(&answer["jobs"]["over"]["as_of"]).unwrap().millis() - before;
        format!("{}\n", json!({"number": number, "user_id": user, "event_time": moment}))
    });
    project.file("spine.jsonl", &asked.collect::<String>());
    let [spine, output] = ["spine.jsonl", output].map(|name| project.path().join(name));
    let [spine, output] = [&spine, &output].map(|path| path.to_str().unwrap());
    let arguments = ["--spine", spine, "--features", features, "--status", "-o", output];
    let trained = project.weir("train", &arguments);
    assert!(trained.status.success(), "{trained:?}");
}

/// Labels are what was served at the end of the time that they are over.
#[track_caller]
fn assert_labels(project: &Project, lookups: &[(String, Value)], seed: u64) {
    let trained = std::fs::read_to_string(project.path().join("labels.jsonl")).unwrap();
    assert_eq!(trained.lines().count(), lookups.len());
    let mut whole = 0;
    for (line, (user, answer)) in trained.lines().zip(lookups) {
        let row: Value = serde_json::from_str(line).unwrap();
        for feature in ["n", "s", "last", "a"] {
            let served = &answer["rows"][0]["features"][format!("over:{feature}")];
            let (label, status) =
                (&row[format!("label__{feature}")], &row[format!("label__{feature}__status")]);
            assert_eq!(*label, served["value"], "seed {seed}: {user} {feature} {row} {served}");
            // Behind the last event of all, nobody knows whether there was another.
            assert!(*status == "partial" || *status == served["status"], "seed {seed}: {row} {served}");
            whole += usize::from(*status == "ok");
        }
    }
    assert!(whole > lookups.len(), "seed {seed}: {whole} values of {} lookups are whole", lookups.len());
}

#[track_caller]
fn assert_agreement(project: &Project, lookups: &[(String, Value)], seed: u64) {
    let trained = std::fs::read_to_string(project.path().join("out.jsonl")).unwrap();
    assert_eq!(trained.lines().count(), lookups.len());
    let (mut differ, mut statuses) = (Vec::new(), BTreeMap::<String, usize>::new());
    for (number, (line, (user, answer))) in trained.lines().zip(lookups).enumerate() {
        let row: Value = serde_json::from_str(line).unwrap();
        assert_eq!((&row["number"], &row["user_id"]), (&json!(number), &json!(user)));
        for (name, value) in answered(answer) {
            if name.ends_with("__status") {
                *statuses.entry(value.as_str().unwrap().to_owned()).or_default() += 1;
            }
            if row.get(&name) != Some(&value) {
                let moment = &row["event_time"];
                differ.push(format!("{moment} {user} {name}: {value} was served, {} trained", row[&name]));
            }
        }
    }
    let log = std::fs::read_to_string(project.path().join("serve.log")).unwrap_or_default();
    assert!(differ.is_empty(), "seed {seed}, {} differ:\n{}\n{log}", differ.len(), differ.join("\n"));
    assert!(lookups.len() > 50, "{} lookups", lookups.len());
    let found: Vec<&str> = statuses.keys().map(String::as_str).collect();
    assert_eq!(found, ["default", "not_found", "ok"], "{statuses:?}");
}
