//! Training sets beside a point-in-time join by brute force: events that are out of order, late within and beyond what is
//! allowed, at one time, and null; moments anywhere, at the very millisecond of events and beside it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::Project;
use serde_json::{Value, json};
use std::collections::BTreeSet;

pub(crate) const BASE: i64 = 1_770_000_000_000;
pub(crate) const DISORDER: i64 = 3000;
pub(crate) const ALLOW: i64 = 5000;
pub(crate) const RANGE: i64 = 10_000;
pub(crate) const USERS: u64 = 8;

pub(crate) const STREAM: &str = "\
fields: {user_id: string, n: bigint, fare: double, at: timestamp, known: timestamp}
event_time: at
known_time: known
disorder: 3s
idle_after: 1h
source: {file: {path: 'data/*.jsonl', partitions: files}}
";
/// The jobs, and how far behind the watermark of its file an event still counts.
pub(crate) const JOBS: [(&str, &str, i64); 3] = [
    ("over", "late: {allow: 5s}\n", ALLOW),
    ("strict", "late: {policy: drop, allow: 5s}\n", 0),
    ("life", "late: {allow: 5s}\nemit: {on: change}\n", ALLOW),
];
pub(crate) const PRECEDING: &str = "RANGE INTERVAL '10' SECOND PRECEDING";
/// What the features are called.
pub(crate) const NAMES: [&str; 7] = ["events", "count", "sum", "revenue", "least", "most", "last"];

/// A job's query, over windows of this frame if it has any.
pub(crate) fn query(job: &str, frame: &str) -> String {
    let what = ["COUNT(*)", "COUNT(n)", "SUM(n)", "SUM(fare)", "MIN(fare)", "MAX(n)", "LAST_VALUE(n)"];
    let over = if job == "life" { "" } else { " OVER w" };
    let columns: Vec<String> =
        what.iter().zip(NAMES).map(|(what, name)| format!("{what}{over} AS {name}")).collect();
    let behind = match job {
        "life" => "GROUP BY user_id".to_owned(),
        _ => format!("WINDOW w AS (PARTITION BY user_id ORDER BY at {frame})"),
    };
    format!("SELECT user_id, {} FROM rides {behind}", columns.join(", "))
}

#[derive(Debug, Clone)]
pub(crate) struct Event {
    pub(crate) user: Option<u64>,
    n: Option<i64>,
    fare: Option<f64>,
    pub(crate) at: i64,
    pub(crate) known: Option<i64>,
}

impl Event {
    pub(crate) fn line(&self) -> String {
        let Event { user, n, fare, at, known } = self;
        let user = user.map(|user| format!("u{user}"));
        format!("{}\n", json!({"user_id": user, "n": n, "fare": fare, "at": at, "known": known}))
    }
}

/// Files of events, and dice.
pub(crate) struct World {
    pub(crate) files: Vec<Vec<Event>>,
    /// Of each file, where the job's watermark stood when it began.
    pub(crate) floors: Vec<i64>,
    dice: u64,
    /// How long before it is known an event happens at least; less than 0 for events that are known before they happen.
    least_delay: i64,
}

impl World {
    pub(crate) fn roll(&mut self, sides: i64) -> i64 {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.dice >> 33) % sides as u64) as i64
    }

    pub(crate) fn new(seed: u64, least_delay: i64, count: usize) -> World {
        let mut world =
            World { files: vec![Vec::new(); 2], floors: vec![i64::MIN / 2; 2], dice: seed, least_delay };
        for file in 0..2 {
            let mut clock = BASE;
            for _ in 0..count {
                clock += world.roll(160);
                let event = world.event(clock, file as i64);
                world.files[file].push(event);
            }
        }
        world
    }

    fn event(&mut self, clock: i64, file: i64) -> Event {
        let delay = self.least_delay
            + match self.roll(20) {
                0..12 => self.roll(1000),
                12..17 => self.roll(ALLOW + DISORDER),
                _ => self.roll(30_000),
            };
        let fare = self.roll(400) as f64 / 4.0;
        Event {
            user: (self.roll(20) > 0).then(|| self.roll(USERS as i64) as u64),
            n: (self.roll(10) > 0).then(|| self.roll(100) - 50),
            fare: (self.roll(10) > 0).then_some(fare),
            // Of two events of one time the one further down is the later, so they are of one file.
            at: (clock - delay).div_euclid(20) * 20 + file,
            known: match self.roll(10) {
                0 => None,
                1 => Some(clock - self.roll(3000)),
                _ => Some(clock),
            },
        }
    }

    /// When each event of a file was known: no earlier than those before it.
    pub(crate) fn known(events: &[Event]) -> Vec<i64> {
        let mut known = i64::MIN;
        let later = |event: &Event| {
            known = known.max(event.known.unwrap_or(event.at));
            known
        };
        events.iter().map(later).collect()
    }

    /// The time of a job at a moment, and the events that count by then.
    fn known_by(&self, moment: i64, reach: i64) -> (i64, Vec<&Event>) {
        let (mut least, mut counted) = (None, Vec::new());
        for (events, floor) in self.files.iter().zip(&self.floors) {
            let mut newest = None;
            for (event, known) in events.iter().zip(World::known(events)) {
                if known > moment {
                    break;
                }
                let is_in_time = newest.is_none_or(|newest: i64| event.at >= newest - DISORDER - reach);
                if is_in_time && event.at >= floor - ALLOW {
                    counted.push(event);
                }
                newest = newest.max(Some(event.at));
                let distance = newest.map(|newest| (known - newest).max(0));
                least = [least, distance].into_iter().flatten().min();
            }
        }
        (moment - least.unwrap_or(0), counted)
    }

    /// Moments anywhere, and at every edge there can be of some events.
    pub(crate) fn moments(&mut self) -> Vec<i64> {
        let end = BASE + 90_000;
        let (as_of, _) = self.known_by(end, 0);
        let mut moments = vec![BASE - 60_000, BASE - 1, end + 60_000, end + 30 * 86_400_000];
        for _ in 0..40 {
            moments.push(BASE - 5000 + self.roll(100_000));
            let file = self.roll(self.files.len() as i64) as usize;
            let events = &self.files[file];
            let (known, count) = (World::known(events), events.len() as i64);
            let ats: Vec<i64> = events.iter().map(|event| event.at).collect();
            let event = self.roll(count) as usize;
            let edges = [ats[event], ats[event] + RANGE, known[event]];
            let shift = [0, end - as_of][self.roll(2) as usize];
            let near = |edge: i64| [edge - 1, edge, edge + 1];
            moments.extend(edges.into_iter().flat_map(|edge| near(edge + shift)));
        }
        moments
    }
}

/// What a feature set is over these events, which are in the order in which they count at one time.
pub(crate) fn values(mut events: Vec<&Event>) -> [Value; 7] {
    events.sort_by_key(|event| event.at);
    let numbers: Vec<i64> = events.iter().filter_map(|event| event.n).collect();
    let fares: Vec<f64> = events.iter().filter_map(|event| event.fare).collect();
    let sum = (!numbers.is_empty()).then(|| numbers.iter().sum::<i64>());
    let revenue = (!fares.is_empty()).then(|| fares.iter().sum::<f64>());
    [
        json!(events.len()),
        json!(numbers.len()),
        json!(sum),
        json!(revenue),
        json!(fares.iter().copied().reduce(f64::min)),
        json!(numbers.iter().max()),
        json!(numbers.last()),
    ]
}

/// A way to train, and what counts for a moment then: the time that values are as of, and the events.
pub(crate) struct Rule {
    pub(crate) arguments: &'static [&'static str],
    pub(crate) counts: for<'w> fn(&'w World, i64, i64) -> (i64, Vec<&'w Event>),
}

pub(crate) const RULES: [Rule; 3] = [
    Rule { arguments: &["--as-of", "known"], counts: World::known_by },
    Rule {
        arguments: &["--serving-delay", "200ms"],
        counts: |world, moment, reach| world.known_by(moment - 200, reach),
    },
    Rule {
        arguments: &["--as-of", "event"],
        counts: |world, moment, _| (moment, world.files.iter().flatten().collect()),
    },
];

pub(crate) fn train(project: &Project, features: &str, arguments: &[&str]) -> Vec<Value> {
    let [spine, output] = ["spine.jsonl", "out.jsonl"].map(|name| project.path().join(name));
    let [spine, output] = [&spine, &output].map(|path| path.to_str().unwrap());
    let all = ["--spine", spine, "--features", features, "--status", "-o", output];
    let trained = project.weir("train", &[&all, arguments].concat());
    assert!(trained.status.success(), "{trained:?}");
    let rows = std::fs::read_to_string(output).unwrap();
    rows.lines().map(|row| serde_json::from_str(row).unwrap()).collect()
}

/// What a rule says of a user at a moment, and the row of the training set.
#[track_caller]
pub(crate) fn assert_row(world: &World, rule: &Rule, (user, moment): (u64, i64), row: &Value) -> Vec<Value> {
    let mut all = Vec::new();
    for (job, _, reach) in JOBS {
        let (as_of, events) = (rule.counts)(world, moment, reach);
        let from = if job == "life" { i64::MIN } else { as_of - RANGE };
        let is_in = |event: &&Event| event.user == Some(user) && (from..=as_of).contains(&event.at);
        let events: Vec<&Event> = events.into_iter().filter(is_in).collect();
        let status = if events.is_empty() { "not_found" } else { "ok" };
        let expected = values(events.clone());
        let found = NAMES.map(|name| row[format!("{job}__{name}")].clone());
        let place =
            || format!("{:?} {job} u{user} at {moment}, as of {as_of}: {events:?}\n{row}", rule.arguments);
        assert_eq!(found, expected, "{}", place());
        for name in NAMES {
            assert_eq!(row[format!("{job}__{name}__status")], status, "{}", place());
        }
        all.extend(expected);
    }
    all
}

fn check(seed: u64, least_delay: i64) {
    let project = Project::new();
    project.file("streams/rides.yaml", STREAM);
    for (job, more, _) in JOBS {
        project.file(&format!("jobs/{job}.yaml"), &format!("query: |\n  {}\n{more}", query(job, PRECEDING)));
    }
    let mut world = World::new(seed, least_delay, 1000);
    for (number, events) in world.files.iter().enumerate() {
        let lines: String = events.iter().map(Event::line).collect();
        project.file(&format!("data/{number}.jsonl"), &lines);
    }
    let mut spine = Vec::new();
    for moment in world.moments() {
        spine.push((world.roll(USERS as i64) as u64, moment));
    }
    let line = |(user, moment): &(u64, i64)| {
        format!("{}\n", json!({"user_id": format!("u{user}"), "event_time": moment}))
    };
    project.file("spine.jsonl", &spine.iter().map(line).collect::<String>());
    let mut answers = Vec::new();
    for rule in &RULES {
        let rows = train(&project, "over,strict,life", rule.arguments);
        assert_eq!(rows.len(), spine.len());
        let asked = spine.iter().zip(&rows);
        answers.push(asked.map(|(asked, row)| assert_row(&world, rule, *asked, row)).collect::<Vec<_>>());
    }
    // The rules tell most moments apart, and so do late events.
    let different = |one: &[Vec<Value>], other: &[Vec<Value>]| {
        one.iter().zip(other).filter(|(one, other)| one != other).count()
    };
    let (known, event) = (&answers[0], &answers[2]);
    assert!(different(known, event) > spine.len() / 2);
    assert!(different(known, &answers[1]) > spine.len() / 20);
    let late = known.iter().filter(|values| values[..7] != values[7..14]).count();
    assert!(late > spine.len() / 10, "{late} of {}", spine.len());
    let kinds: BTreeSet<bool> = known.iter().map(|values| values[0] == 0).collect();
    assert_eq!(kinds.len(), 2);
}

#[test]
fn what_counts_was_known_and_had_happened_by_then() {
    check(1, 700);
}

#[test]
fn the_jobs_time_is_the_moment_where_events_come_before_they_happen() {
    check(2, -1500);
}

/// Two files, each of them a partition, whose events say who, when and when that was known, all in seconds.
fn two_files(project: &Project, idle_after: &str, job: &str, files: [&[(&str, i64, i64)]; 2]) {
    project.file(
        "streams/e.yaml",
        &format!(
            "fields: {{u: string, t: timestamp, k: timestamp}}\nevent_time: t\nknown_time: k\nidle_after: {idle_after}\nsource: \
             {{file: {{path: \"data/*.jsonl\", partitions: files}}}}\n"
        ),
    );
    project.file("jobs/j.yaml", job);
    for (number, events) in files.iter().enumerate() {
        let line = |(user, time, known): &(&str, i64, i64)| {
            format!("{}\n", json!({"u": user, "t": BASE + time * 1000, "k": BASE + known * 1000}))
        };
        project.file(&format!("data/{number}.jsonl"), &events.iter().map(line).collect::<String>());
    }
}

/// What is counted for `m` at these seconds.
fn counted(project: &Project, seconds: &[i64], more: &[&str]) -> Vec<i64> {
    let row = |second: &i64| format!("{}\n", json!({"u": "m", "event_time": BASE + second * 1000}));
    project.file("spine.jsonl", &seconds.iter().map(row).collect::<String>());
    let rows = train(project, "j", more);
    rows.iter().map(|row| row["j__c"].as_i64().unwrap()).collect()
}

#[test]
fn what_others_ask_changes_no_answer() {
    // The first file is idle after a minute, so that the first window is complete before its late event comes.
    let project = Project::new();
    let windows = "query: SELECT u, COUNT(*) AS c FROM e GROUP BY u, TUMBLE(t, INTERVAL '50' SECOND)\n";
    two_files(&project, "1m", windows, [&[("m", 0, 0), ("m", 10, 62)], &[("m", 0, 0), ("z", 55, 55)]]);
    assert_eq!(counted(&project, &[63], &[]), [3]);
    assert_eq!(counted(&project, &[61, 63], &[]), [2, 3]);
    // The second file's first event is known when the job is so far that nothing takes it any more.
    let project = Project::new();
    let life = "query: SELECT u, COUNT(*) AS c FROM e GROUP BY u\nemit: {on: change}\nhistory: 1m\nlate: {allow: 1m}\n";
    let steady: Vec<(&str, i64, i64)> = (0..9).map(|at| ("z", at * 20, at * 20)).collect();
    two_files(&project, "1m", life, [&steady, &[("m", 10, 165)]]);
    assert_eq!(counted(&project, &[170], &[]), [0]);
    assert_eq!(counted(&project, &[150, 170], &[]), [0, 0]);
}

#[test]
fn of_events_that_repeat_an_id_the_first_of_the_log_counts_whenever_it_happened() {
    let project = Project::new();
    project.file(
        "streams/e.yaml",
        "fields: {id: bigint, u: string, x: bigint, t: timestamp}\nevent_time: t\nevent_id: id\nsource: {file: {path: e.jsonl}}\n",
    );
    let event =
        |x: i64, second: i64| format!("{}\n", json!({"id": 1, "u": "m", "x": x, "t": BASE + second * 1000}));
    project.file("e.jsonl", &[event(1, 10), event(9, 0)].concat());
    project.file(
        "jobs/j.yaml",
        "query: SELECT u, SUM(x) AS c FROM e GROUP BY u\nemit: {on: change}\nfeatures: {c: {default: 0}}\n",
    );
    for rule in ["known", "event"] {
        assert_eq!(counted(&project, &[5, 20], &["--as-of", rule]), [0, 1], "{rule}");
    }
}
