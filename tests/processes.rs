//! Keyed logic of a plugin, whose rows are a job's results: late events, kills, edits; what is served, written and trained on
//! is what the events make one after the other.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Dice, Project, Server, last_rows, repository};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

pub(crate) const MINUTE: i64 = 60_000;
/// 2026-11-01T00:00:00Z
pub(crate) const FIRST: i64 = 1_793_491_200_000;
pub(crate) const FIELDS: &str =
    "fields: {user_id: string, city: string, t: timestamp}\nevent_time: t\ndisorder: 10s\n";
pub(crate) const JOB: &str = "query: |\n  SELECT user_id, started, rides, cities, rowtime AS ended\n  FROM TABLE(visits(TABLE rides \
                   PARTITION BY user_id, 30))\nretention: 30d\nsinks: [{file: {path: out, meta: true}}]\n";
pub(crate) const USERS: u64 = 6;

#[derive(Debug, Clone)]
pub(crate) struct Ride {
    pub(crate) user: u64,
    pub(crate) city: Option<u64>,
    pub(crate) at: i64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Visit {
    user: u64,
    started: i64,
    rides: u64,
    cities: Vec<String>,
    ended: i64,
}

impl Ride {
    pub(crate) fn line(&self) -> String {
        let city = self.city.map(|city| format!("c{city}"));
        format!("{}\n", json!({"user_id": format!("u{}", self.user), "city": city, "t": self.at}))
    }
}

/// All visits, as the rides make them that count, in the order in which they came; one is over half an hour after its last
/// ride.
fn visits(rides: &[Ride]) -> Vec<Visit> {
    let mut rides: Vec<&Ride> = rides.iter().collect();
    rides.sort_by_key(|ride| ride.at);
    let mut open: BTreeMap<u64, Visit> = BTreeMap::new();
    let mut over = Vec::new();
    for ride in rides {
        let gone = open.get(&ride.user).is_some_and(|visit| visit.ended < ride.at);
        over.extend(gone.then(|| open.remove(&ride.user)).flatten());
        let begun = Visit { user: ride.user, started: ride.at, rides: 0, cities: Vec::new(), ended: 0 };
        let visit = open.entry(ride.user).or_insert(begun);
        visit.rides += 1;
        visit.ended = ride.at + 30 * MINUTE;
        let city = ride.city.map(|city| format!("c{city}"));
        visit.cities.extend(city.filter(|city| !visit.cities.contains(city)));
    }
    over.extend(open.into_values());
    over
}

/// The newest visit of a user that is over at a time, of the rides up to it.
fn newest(rides: &[Ride], user: u64, as_of: i64) -> Option<Visit> {
    let own: Vec<Ride> = rides.iter().filter(|ride| ride.user == user && ride.at <= as_of).cloned().collect();
    visits(&own).into_iter().rfind(|visit| visit.ended <= as_of)
}

fn time(millis: i64) -> String {
    weir_event::EventTime::from_millis(millis).to_string()
}

fn millis(time: &Value) -> i64 {
    time.as_str().unwrap().parse::<weir_event::EventTime>().unwrap().millis()
}

fn row(visit: &Visit) -> Value {
    json!({"user_id": format!("u{}", visit.user), "started": time(visit.started), "rides": visit.rides,
           "cities": visit.cities, "ended": time(visit.ended)})
}

fn project(source: &str) -> Project {
    let project = Project::new();
    project
        .file("streams/rides.yaml", &format!("{FIELDS}source: {source}\n"))
        .file("jobs/user_visits.yaml", JOB);
    std::fs::create_dir_all(project.path().join("plugins")).unwrap();
    let component = repository().join("plugins/dist/visits.wasm");
    std::fs::copy(component, project.path().join("plugins/visits.wasm")).expect("plugins/build made it");
    project
}

/// Asks for every user, as of now or as of a time, and compares with what the rides make.
pub(crate) fn check_served(server: &Server, rides: &[Ride], as_of: Option<i64>) {
    let entities: Vec<Value> = (0..USERS).map(|user| json!({"user_id": format!("u{user}")})).collect();
    let mut asked = json!({"features": ["user_visits"], "entities": entities});
    if let Some(as_of) = as_of {
        asked["as_of"] = json!(as_of);
    }
    let (status, answer) = server.post("/v1/lookup", asked.to_string());
    assert_eq!(status, 200, "{answer}");
    let as_of = millis(&answer["jobs"]["user_visits"]["as_of"]);
    for (user, found) in answer["rows"].as_array().unwrap().iter().enumerate() {
        let value = |feature: &str| &found["features"][format!("user_visits:{feature}")];
        let expected = newest(rides, user as u64, as_of);
        let status = if expected.is_some() { "ok" } else { "not_found" };
        assert_eq!(value("rides")["status"], status, "u{user} as of {}: {found} {expected:?}", time(as_of));
        let of = |what: fn(&Visit) -> Value| expected.as_ref().map_or(Value::Null, what);
        assert_eq!(value("rides")["value"], of(|visit| json!(visit.rides)), "u{user} as of {}", time(as_of));
        assert_eq!(value("started")["value"], of(|visit| json!(time(visit.started))), "u{user}");
        assert_eq!(value("cities")["value"], of(|visit| json!(visit.cities)), "u{user}");
        assert_eq!(value("rides")["event_time"], of(|visit| json!(time(visit.ended))), "u{user}");
    }
}

/// Rides around a time, some of them up to almost an hour before it.
pub(crate) fn some_rides(dice: &mut Dice, now: &mut i64, count: usize) -> Vec<Ride> {
    let mut rides = Vec::new();
    for _ in 0..count {
        *now += dice.below(4 * MINUTE as usize) as i64;
        let behind = if dice.below(4) == 0 { dice.below(54 * MINUTE as usize) as i64 } else { 0 };
        // Whole minutes, so that rides fall together, and on the moment at which a visit is over.
        let at = (*now - behind).div_euclid(MINUTE) * MINUTE;
        let city = (dice.below(5) > 0).then(|| dice.below(3) as u64);
        rides.push(Ride { user: dice.below(USERS as usize) as u64, city, at });
    }
    rides
}

#[test]
fn rows_are_served_and_written_as_the_events_make_them_through_late_ones_and_kills() {
    let project = project("{http: {keep: 30d}}");
    let settings = "checkpoint: {every: 300ms}\nshards: 2\n";
    let (mut dice, mut now, mut rides) = (Dice::new(7), FIRST, Vec::<Ride>::new());
    let mut server = Server::start(&project, settings);
    server.wait_ready();
    for round in 0..12 {
        let new = some_rides(&mut dice, &mut now, 40);
        let lines: String = new.iter().map(Ride::line).collect();
        rides.extend(new);
        let (status, answer) = server.post("/v1/streams/rides/events?wait=visible", lines);
        assert_eq!((status, &answer["accepted"]), (200, &json!(40)), "{answer}");
        let newest = rides.iter().map(|ride| ride.at).max().unwrap();
        if round % 4 == 3 {
            server.kill();
            server = Server::start(&project, settings);
            server.wait_ready();
        }
        check_served(&server, &rides, None);
        for _ in 0..8 {
            let back = dice.below(59 * MINUTE as usize) as i64;
            check_served(&server, &rides, Some(newest - back));
        }
    }
    let status = server.get("/v1/jobs/user_visits").1;
    let watermark = millis(&status["watermark"]);
    assert_eq!((&status["dropped"], &status["dead_letters"]), (&json!(0), &json!(0)), "{status}");
    assert!(status["late"].as_u64().unwrap() > 20, "{status}");
    assert!(server.terminate().success());
    let over = |ended: i64| ended < watermark;
    let expected: BTreeSet<String> =
        visits(&rides).iter().filter(|visit| over(visit.ended)).map(|visit| row(visit).to_string()).collect();
    let written = project.rows("out");
    assert!(written.iter().any(|row| row["_weir"]["op"] == "delete"), "no late event moved an end");
    let found: BTreeSet<String> =
        last_rows(written).iter().filter(|row| over(millis(&row["ended"]))).map(Value::to_string).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_run_writes_each_row_once_and_what_is_trained_on_is_what_was_known() {
    let project = project("{file: {path: rides.jsonl}}");
    let (mut dice, mut now) = (Dice::new(8), FIRST);
    let rides = some_rides(&mut dice, &mut now, 2000);
    project.file("rides.jsonl", &rides.iter().map(Ride::line).collect::<String>());
    project.run(&[]);
    let written = project.rows("out");
    let last = last_rows(written.clone());
    let newest_of =
        |user: u64| rides.iter().filter(|ride| ride.user == user).map(|ride| ride.at).max().unwrap();
    let watermark = rides.iter().map(|ride| ride.at).max().unwrap() - 10_000;
    // What is open at the end stays so, and a timer that lies behind a key's last event has not come.
    let is_over = |visit: &&Visit| visit.ended < watermark || visit.ended < newest_of(visit.user);
    let expected: BTreeSet<String> =
        visits(&rides).iter().filter(is_over).map(|visit| row(visit).to_string()).collect();
    assert_eq!(last.iter().map(Value::to_string).collect::<BTreeSet<_>>(), expected);
    project.run(&[]);
    assert_eq!(project.rows("out").len(), written.len(), "nothing new, nothing written");

    let spine: Vec<(u64, i64)> = (0..300)
        .map(|_| (dice.below(USERS as usize + 1) as u64, FIRST + dice.below((now - FIRST) as usize) as i64))
        .collect();
    let lines: String = spine.iter().map(|(user, at)| format!("u{user},{at}\n")).collect();
    project.file("spine.csv", &format!("user_id,event_time\n{lines}"));
    let place = |name: &str| project.path().join(name).to_str().unwrap().to_owned();
    let (spine_file, set) = (place("spine.csv"), place("set.jsonl"));
    let arguments = ["--spine", &spine_file, "--features", "user_visits", "--as-of", "event", "-o", &set];
    let trained = project.weir("train", &arguments);
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    let text = std::fs::read_to_string(&set).unwrap();
    assert_eq!(text.lines().count(), spine.len());
    for (line, (user, at)) in text.lines().zip(&spine) {
        let found: Value = serde_json::from_str(line).unwrap();
        let expected = newest(&rides, *user, *at);
        let of = |what: fn(&Visit) -> Value| expected.as_ref().map_or(Value::Null, what);
        assert_eq!(found["user_visits__rides"], of(|visit| json!(visit.rides)), "u{user} at {}", time(*at));
        assert_eq!(found["user_visits__started"], of(|visit| json!(time(visit.started))), "{found}");
        assert_eq!(found["user_visits__cities"], of(|visit| json!(visit.cities)), "{found}");
    }
}

#[test]
fn rows_that_another_condition_lets_through_are_still_taken_away() {
    let project = project("{file: {path: rides.jsonl}}");
    let job = |version: u32, condition: &str| {
        let query = JOB.replace("user_id, 30))", &format!("user_id, 30)) {condition}"));
        project.file("jobs/user_visits.yaml", &format!("version: {version}\n{query}late: {{allow: 5h}}\n"));
    };
    let ride = |user: u64, minute: i64| Ride { user, city: None, at: FIRST + minute * MINUTE }.line();
    let first = [ride(1, 0), ride(2, 0), ride(3, 240)].concat();
    project.file("rides.jsonl", &first);
    job(1, "");
    project.run(&[]);
    let users = || -> BTreeMap<String, u64> {
        let of = |row: Value| (row["user_id"].as_str().unwrap().to_owned(), row["rides"].as_u64().unwrap());
        last_rows(project.rows("out")).into_iter().map(of).collect()
    };
    assert_eq!(users(), [("u1".to_owned(), 1), ("u2".to_owned(), 1)].into());
    // One ends later now, and the condition is not true of either any more.
    project.file("rides.jsonl", &[first, ride(1, 10), ride(2, 0)].concat());
    job(2, "WHERE rides <> 2");
    project.run(&[]);
    assert_eq!(users(), BTreeMap::new());
}
