//! Plugins of a running server, uploaded, activated, rolled back and deleted at random by several clients at once, through
//! kills: whatever becomes of them, no value is wrong and no job stops.
//!
//! All versions compute the same, in other bytes, so that the values do not say which of them made them.
//! `WEIR_PLUGIN_ROUNDS=200` makes it long.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Dice, Project, Server, repository};
use crate::processes::{FIELDS, FIRST, JOB, Ride, USERS, check_served, some_rides};
use crate::zoo::scalar_guest;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const SCALAR: &str = "query: |\n  SELECT user_id, COUNT(*) AS rides, COUNT(haversine_km(CAST(CHAR_LENGTH(city) AS DOUBLE), 0.0, 0.0, \
                      0.0)) AS in_cities\n  FROM rides GROUP BY user_id\nemit: {on: change}\nretention: 30d\n";
const AGGREGATE: &str = "query: |\n  SELECT user_id, trip(CAST(MINUTE(rowtime) AS DOUBLE), 0.0) AS km\n  FROM rides GROUP BY user_id\n\
                         emit: {on: change}\nretention: 30d\n";
/// Of a degree of latitude.
const KM: f64 = 111.19;
/// What a good component is answered: it is kept, or comes at a bad time, or another client has deleted it already.
const TAKEN: [u16; 4] = [201, 429, 503, 404];
const PLUGINS: [&str; 4] = ["geo", "trip", "visits", "spare"];

/// The same functions in other bytes: a custom section of this name is added.
fn other_bytes(mut component: Vec<u8>, name: u8) -> Vec<u8> {
    component.extend_from_slice(&[0, 4, 3, b'a' + name / 16, b'a' + name % 16, b'.']);
    component
}

fn component(name: &str) -> Vec<u8> {
    let file = if name == "spare" { return scalar_guest("traps_below_zero") } else { name };
    std::fs::read(repository().join(format!("plugins/dist/{file}.wasm"))).expect("plugins/build made it")
}

/// What one client does: each answer is one that the documents know of.
fn meddle(server: &Server, seed: u64, steps: usize) {
    let mut dice = Dice::new(seed);
    for _ in 0..steps {
        let plugin = *dice.choose(&PLUGINS.each_ref());
        let path = |what: &str| format!("/v1/plugins/{plugin}{what}");
        let (known, answer) = match dice.below(7) {
            0 | 1 => {
                let bytes = other_bytes(component(plugin), dice.below(24) as u8);
                (&TAKEN[..], server.post(&format!("/v1/plugins?name={plugin}"), bytes))
            }
            2 => {
                let mut bytes = component(plugin);
                bytes.truncate(dice.below(bytes.len()));
                (&[422, 429, 503][..], server.post(&format!("/v1/plugins?name={plugin}"), bytes))
            }
            // A version that lacks what jobs call, and is not to become active.
            3 => (
                &TAKEN[..],
                server.post(&format!("/v1/plugins?name={plugin}"), scalar_guest("traps_below_zero")),
            ),
            4 => {
                let version = json!({"version": 1 + dice.below(30)});
                (&[200, 404, 409, 422][..], server.post(&path("/activate"), version.to_string()))
            }
            5 => (&[200, 404, 409, 422][..], server.post(&path("/rollback"), "")),
            _ => (&[200, 204, 404, 409][..], server.delete(&path(""))),
        };
        assert!(known.contains(&answer.0), "{plugin}: {} {}", answer.0, answer.1);
    }
}

/// Asks for every user of the jobs over a scalar function and an aggregate, and compares with what the rides make.
fn check_counts(server: &Server, rides: &[Ride]) {
    let mut by_user: BTreeMap<u64, Vec<&Ride>> = BTreeMap::new();
    for ride in rides {
        by_user.entry(ride.user).or_default().push(ride);
    }
    let entities: Vec<Value> = (0..USERS).map(|user| json!({"user_id": format!("u{user}")})).collect();
    let asked = json!({"features": ["counts", "ways"], "entities": entities});
    let (status, answer) = server.post("/v1/lookup", asked.to_string());
    assert_eq!(status, 200, "{answer}");
    for (user, found) in answer["rows"].as_array().unwrap().iter().enumerate() {
        let Some(own) = by_user.get_mut(&(user as u64)) else { continue };
        own.sort_by_key(|ride| ride.at);
        let value = |feature: &str| found["features"][feature]["value"].clone();
        assert_eq!(value("counts:rides"), json!(own.len()), "u{user}: {found}");
        let in_cities = own.iter().filter(|ride| ride.city.is_some()).count();
        assert_eq!(value("counts:in_cities"), json!(in_cities), "u{user}: {found}");
        let minute = |ride: &Ride| (ride.at / 60_000 % 60) as f64;
        let km: f64 = own.windows(2).map(|pair| (minute(pair[0]) - minute(pair[1])).abs() * KM).sum();
        let found_km = value("ways:km").as_f64().unwrap();
        assert!((found_km - km).abs() <= km * 1e-3, "u{user}: {found_km} km, expected {km}");
    }
}

#[test]
fn no_value_is_wrong_whatever_becomes_of_plugins() {
    let rounds: usize = std::env::var("WEIR_PLUGIN_ROUNDS").ok().and_then(|it| it.parse().ok()).unwrap_or(6);
    let project = Project::new();
    project
        .file("streams/rides.yaml", &format!("{FIELDS}source: {{http: {{keep: 30d}}}}\n"))
        .file("jobs/user_visits.yaml", JOB)
        .file("jobs/counts.yaml", SCALAR)
        .file("jobs/ways.yaml", AGGREGATE);
    let settings = "checkpoint: {every: 300ms}\nshards: 2\n";
    let mut server = Server::start(&project, settings);
    for plugin in PLUGINS {
        let (status, answer) = server.post(&format!("/v1/plugins?name={plugin}"), component(plugin));
        assert_eq!(status, 201, "{answer}");
        let (status, answer) = server.post(&format!("/v1/plugins/{plugin}/activate"), r#"{"version": 1}"#);
        assert_eq!(status, 200, "{answer}");
    }
    server.wait_ready();
    let (mut dice, mut now, mut rides) = (Dice::new(15), FIRST, Vec::<Ride>::new());
    for round in 0..rounds {
        let new = some_rides(&mut dice, &mut now, 60);
        std::thread::scope(|scope| {
            for client in 0..8 {
                let server = &server;
                let seed = (round * 8 + client) as u64;
                scope.spawn(move || meddle(server, seed, 6));
            }
            for part in new.chunks(10) {
                let lines: String = part.iter().map(Ride::line).collect();
                let (status, answer) = server.post("/v1/streams/rides/events?wait=visible", lines);
                assert_eq!((status, &answer["accepted"]), (200, &json!(part.len())), "{answer}");
            }
        });
        rides.extend(new);
        if dice.below(2) == 0 {
            server.kill();
            server = Server::start(&project, settings);
        }
        server.wait_ready();
        for job in ["user_visits", "counts", "ways"] {
            let status = server.wait_for_job(job, "the job to run", |status| status["state"] == "running");
            assert_eq!((&status["dropped"], &status["dead_letters"]), (&json!(0), &json!(0)), "{status}");
        }
        check_counts(&server, &rides);
        check_served(&server, &rides, None);
    }
    assert!(server.terminate().success());
}
