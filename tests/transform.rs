//! Derived features, as a server answers them: each value is what is computed by hand, in every shape of a request, after a
//! restart, and for many entities at once; what cannot be computed is told beside the others.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Project, Server, repository};
use serde_json::{Value, json};

const STREAM: &str = "\
fields: {user_id: string, city: string, fare: double, lat: double, lon: double, t: timestamp}
event_time: t
disorder: 0s
idle_after: 1h
source: {http: {}}
";
const STORED: &str = "\
query: |
  SELECT user_id, AVG(fare) OVER w AS mean_fare, COUNT(*) OVER w AS rides, TOP(3, city) OVER w AS cities,
    LAST_VALUE(lat) OVER w AS lat, LAST_VALUE(lon) OVER w AS lon
  FROM rides WINDOW w AS (PARTITION BY user_id ORDER BY t RANGE INTERVAL '1' DAY PRECEDING)
emit: {on: change}
history: 2d
sinks: [{file: {path: out}}]
";
const DERIVED: &str = "\
request: {amount: double, now_lat: double, now_lon: double, visited: array<string>, at: timestamp}
transform:
  amount_ratio: amount / mean_fare
  km_from_last: haversine_km(lat, lon, now_lat, now_lon)
  label: CONCAT(user_id, ':', CAST(rides AS VARCHAR))
  share: amount / rides
  known_cities: CARDINALITY(visited) + COALESCE(CARDINALITY(cities), 0)
  newest_city: cities[CAST(CARDINALITY(cities) AS BIGINT)]
  hour: HOUR(at)
features:
  amount_ratio: {default: -1, version: 3, owner: fraud}
";
const T: i64 = 1_770_000_000_000;

fn project(job: &str) -> Project {
    let project = Project::new();
    project.file("streams/rides.yaml", STREAM).file("jobs/spend.yaml", job);
    let plugins = project.path().join("plugins");
    std::fs::create_dir(&plugins).unwrap();
    std::fs::copy(repository().join("plugins/dist/geo.wasm"), plugins.join("geo.wasm")).unwrap();
    project
}

fn post(server: &Server, events: &[(&str, &str, f64, i64)]) {
    let row = |(user, city, fare, second): &(&str, &str, f64, i64)| {
        json!({"user_id": user, "city": city, "fare": fare, "lat": 52.5, "lon": 13.4, "t": T + second * 1000})
            .to_string()
    };
    let rows: Vec<String> = events.iter().map(row).collect();
    let (status, answer) = server.post("/v1/streams/rides/events?wait=visible", rows.join("\n"));
    assert_eq!((status, &answer["visible"]), (200, &json!(true)), "{answer}");
}

fn rides(server: &Server) {
    post(server, &[("u1", "paris", 10.0, 0), ("u1", "berlin", 20.0, 10), ("u2", "rome", 0.5, 20)]);
}

const ALL: &str = "/v1/jobs/spend/values?user_id=u1&amount=45&now_lat=48.8&now_lon=2.3&visited=%5B%22a%22%5D&at=1970-01-01T07:30:00Z";

/// Of two points on a sphere of the size of the Earth, as anybody would write it.
fn kilometres((lat, lon): (f64, f64), (other_lat, other_lon): (f64, f64)) -> f64 {
    let half = |a: f64, b: f64| ((b - a).to_radians() / 2.0).sin().powi(2);
    let a =
        half(lat, other_lat) + lat.to_radians().cos() * other_lat.to_radians().cos() * half(lon, other_lon);
    2.0 * 6371.0 * a.sqrt().asin()
}

#[track_caller]
fn assert_all(answer: &Value, prefix: &str) {
    let value = |name: &str| &answer["features"][format!("{prefix}{name}")];
    for (name, expected) in [
        ("amount_ratio", json!(3.0)),
        ("label", json!("u1:2")),
        ("share", json!(22.5)),
        ("known_cities", json!(3)),
        ("newest_city", json!("berlin")),
        ("hour", json!(7)),
        ("mean_fare", json!(15.0)),
    ] {
        assert_eq!(
            (&value(name)["value"], &value(name)["status"]),
            (&expected, &json!("ok")),
            "{name}: {answer}"
        );
    }
    let km = value("km_from_last")["value"].as_f64().unwrap();
    let expected = kilometres((52.5, 13.4), (48.8, 2.3));
    assert!((km - expected).abs() < expected * 0.005, "{km} {expected}");
}

#[test]
fn values_are_what_is_computed_by_hand_also_after_a_kill() {
    let project = project(&[STORED, DERIVED].concat());
    let server = Server::start(&project, "checkpoint: {every: 200ms}\n");
    server.wait_ready();
    rides(&server);
    let (status, answer) = server.get(ALL);
    assert_eq!(status, 200, "{answer}");
    assert_all(&answer, "");
    let ratio = &answer["features"]["amount_ratio"];
    assert_eq!(ratio["event_time"], answer["features"]["rides"]["event_time"]);
    assert_eq!(
        (&ratio["window"], ratio["window"].is_object()),
        (&answer["features"]["rides"]["window"], true)
    );
    // What is computed of the request alone has neither.
    let hour = &answer["features"]["hour"];
    assert_eq!((&hour["event_time"], &hour["window"]), (&Value::Null, &Value::Null));
    let meta = &answer["jobs"]["spend"];
    let hash = |name: &str| meta[name].as_str().unwrap().starts_with("sha256:");
    assert!(hash("definition") && hash("transform"), "{meta}");
    let km = answer["features"]["km_from_last"]["value"].clone();
    server.kill();
    let server = Server::start(&project, "");
    server.wait_ready();
    let (_, answer) = server.get(ALL);
    assert_all(&answer, "");
    assert_eq!(answer["features"]["km_from_last"]["value"], km);
    assert!(server.terminate().success());
    // Nothing of it goes to sinks.
    let rows = project.rows("out");
    assert!(!rows.is_empty() && rows.iter().all(|row| row.get("amount_ratio").is_none()), "{rows:?}");
}

#[test]
fn entities_bring_fields_of_their_own_or_share_those_of_the_request() {
    let server_project = project(&[STORED, DERIVED].concat());
    let server = Server::start(&server_project, "");
    server.wait_ready();
    rides(&server);
    let at = (T + 10_000).to_string();
    let whole = json!({"amount": 45, "now_lat": 48.8, "now_lon": 2.3, "visited": ["a"], "at": "1970-01-01T07:30:00Z"});
    let ask = |features: Value, entities: Value, request: Value| {
        let asks = json!({"features": features, "entities": entities, "request": request});
        let (status, answer) = server.post("/v1/lookup", asks.to_string());
        assert_eq!(status, 200, "{answer}");
        answer
    };
    let answer = ask(json!(["spend"]), json!([{"user_id": "u1"}]), whole);
    assert_all(&answer["rows"][0], "spend:");
    // Own fields go before shared ones; an entity may have a time of its own too.
    let entities = json!([
        {"user_id": "u1"}, {"user_id": "u1", "request": {"amount": 30}}, {"user_id": "u1", "request": {"amount": null}},
        {"user_id": "u2", "request": {"amount": 1}}, {"user_id": "u1", "as_of": T, "request": {"amount": 5}},
        {"user_id": "nobody", "request": {}},
    ]);
    let answer = ask(json!(["spend:amount_ratio", "spend:rides"]), entities.clone(), json!({"amount": 15}));
    let ratios: Vec<Value> = answer["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["features"]["spend:amount_ratio"]["value"].clone())
        .collect();
    assert_eq!(
        ratios,
        [json!(1.0), json!(2.0), json!(-1.0), json!(2.0), json!(0.5), json!(-1.0)],
        "{answer}"
    );
    let statuses: Vec<&Value> = answer["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["features"]["spend:amount_ratio"]["status"])
        .collect();
    assert_eq!(statuses, ["ok", "ok", "default", "ok", "ok", "default"]);
    let nobody = &answer["rows"][5]["features"];
    assert_eq!(
        (&nobody["spend:amount_ratio"]["unknown"], &nobody["spend:rides"]["status"]),
        (&json!(true), &json!("not_found"))
    );
    assert_eq!(answer["rows"][3]["entity"], entities[3]);
    // Without a default it has what the expression makes of nothing, and says that it is of nothing.
    let answer =
        ask(json!(["spend:label", "spend:newest_city"]), json!([{"user_id": "nobody"}]), Value::Null);
    let label = &answer["rows"][0]["features"]["spend:label"];
    assert_eq!((&label["value"], &label["status"]), (&json!("nobody:0"), &json!("not_found")), "{answer}");
    let city = &answer["rows"][0]["features"]["spend:newest_city"];
    assert_eq!((&city["value"], &city["status"]), (&Value::Null, &json!("not_found")));
    let (_, lean) = server.get(&format!("{ALL}&meta=false&as_of={at}"));
    assert_eq!(lean["features"]["amount_ratio"], json!({"value": 3.0, "status": "ok"}));
    // The command line takes fields as it takes keys.
    let (code, shown) = server.weir(&["lookup", "spend", "user_id=u1", "amount=45"]);
    assert_eq!(code, Some(0), "{shown}");
    let row = shown.lines().find(|line| line.starts_with("amount_ratio")).unwrap();
    assert_eq!(row.split_whitespace().take(3).collect::<Vec<_>>(), ["amount_ratio", "3.0", "ok"]);
    let (code, shown) = server.weir(&["sample", "spend"]);
    assert!(code == Some(0) && shown.contains("label") && !shown.contains("amount_ratio"), "{shown}");
    assert!(server.terminate().success());
}

#[test]
fn what_is_missing_or_does_not_fit_is_told() {
    let server_project = project(&[STORED, DERIVED].concat());
    let server = Server::start(&server_project, "");
    server.wait_ready();
    rides(&server);
    // Whoever asks for a whole job gets all that can be computed.
    let (status, answer) = server.get("/v1/jobs/spend/values?user_id=u1&amount=45");
    assert_eq!(status, 200, "{answer}");
    let value = |name: &str| answer["features"][name].clone();
    assert_eq!((&value("amount_ratio")["value"], &value("rides")["value"]), (&json!(3.0), &json!(2)));
    let km = value("km_from_last");
    assert_eq!((&km["value"], &km["status"]), (&Value::Null, &json!("error")));
    assert_eq!(km["reason"], "the request field `now_lat` is missing; give it as a number");
    // Whoever names what needs it has made a mistake.
    let refused = |asks: Value, said: &str| {
        let (status, problem) = server.post("/v1/lookup", asks.to_string());
        assert_eq!((status, problem.to_string().contains(said)), (400, true), "{asks}: {problem}");
    };
    let one = json!([{"user_id": "u1"}]);
    let ratio = json!(["spend:amount_ratio"]);
    refused(
        json!({"features": ratio, "entities": one}),
        "the request field `amount` is missing; give it as a number",
    );
    refused(json!({"features": ratio, "entities": one, "request": {}}), "`amount` is missing");
    refused(
        json!({"features": ratio, "entities": one, "request": {"amount": "45"}}),
        "`amount`: \\\"45\\\" is not a number",
    );
    refused(
        json!({"features": ratio, "entities": one, "request": {"amuont": 45}}),
        "unknown request field `amuont`; did you mean `amount`?",
    );
    refused(
        json!({"features": ratio, "entities": one, "request": [45]}),
        "`request` is an object of fields, such as",
    );
    refused(
        json!({"features": ["spend"], "entities": one, "request": {"visited": ["a", 1]}}),
        "is not of type array<string>",
    );
    for (query, said) in [
        ("amount=much", "`amount`: `much` is not a number"),
        ("amount=NaN", "`amount`: `NaN` is not a number"),
        ("visited=%5B1", "`visited`: it is not JSON"),
        ("at=noon", "`at`: `noon` is not a time"),
        ("amuont=1", "unknown parameter `amuont`; did you mean `amount`?"),
    ] {
        let (status, problem) = server.get(&format!("/v1/jobs/spend/values?user_id=u1&{query}"));
        assert_eq!((status, problem.to_string().contains(said)), (400, true), "{query}: {problem}");
    }
    // Others' features need nothing of it.
    let asks = json!({"features": ["spend:rides", "spend:label"], "entities": one});
    assert_eq!(server.post("/v1/lookup", asks.to_string()).0, 200);
    assert!(server.terminate().success());
}

#[test]
fn what_is_wrong_with_what_one_entity_brings_is_told_in_its_row() {
    let server_project = project(&[STORED, DERIVED].concat());
    let server = Server::start(&server_project, "");
    server.wait_ready();
    rides(&server);
    let entities = json!([
        {"user_id": "u1", "request": {"amount": "x"}}, {"user_id": "u1", "request": {}}, {"user_id": "u1", "request": 7},
        {"user_id": "u1", "request": {"amuont": 1}}, {"user_id": "u1", "request": {"amount": 30}}, {"user_id": 7, "request": {"amount": 1}},
    ]);
    let asks = json!({"features": ["spend:amount_ratio", "spend:rides"], "entities": entities});
    let (status, answer) = server.post("/v1/lookup", asks.to_string());
    assert_eq!(status, 200, "{answer}");
    let expected = [
        (Value::Null, json!(2), "`amount`: \"x\" is not a number"),
        (Value::Null, json!(2), "the request field `amount` is missing; give it as a number"),
        (Value::Null, Value::Null, "`request` is an object of fields, such as {\"amount\": 12.5}, not 7"),
        (Value::Null, Value::Null, "unknown request field `amuont`; did you mean `amount`?"),
        (json!(2.0), json!(2), ""),
        (Value::Null, Value::Null, "`user_id`: 7 is not a string"),
    ];
    for (row, (ratio, rides, error)) in answer["rows"].as_array().unwrap().iter().zip(expected) {
        let value = |name: &str| &row["features"][name]["value"];
        assert_eq!((value("spend:amount_ratio"), value("spend:rides")), (&ratio, &rides), "{row}");
        assert_eq!(row.get("error").and_then(Value::as_str).unwrap_or_default(), error, "{row}");
    }
    assert!(server.terminate().success());
}

#[test]
fn many_entities_are_computed_together_and_fail_alone() {
    let server_project = project(&[STORED, DERIVED].concat());
    let server = Server::start(&server_project, "");
    server.wait_ready();
    let users: Vec<String> = (0..600).map(|user| format!("u{user}")).collect();
    let events: Vec<(&str, &str, f64, i64)> =
        users.iter().enumerate().map(|(at, user)| (user.as_str(), "c", (at % 7) as f64, at as i64)).collect();
    post(&server, &events);
    let entity = |at: usize| match at % 5 {
        4 => json!({"user_id": format!("none{at}"), "request": {"amount": 21}}),
        0 => json!({"user_id": format!("u{at}")}),
        other => json!({"user_id": format!("u{at}"), "request": {"amount": other}}),
    };
    let entities: Vec<Value> = (0..600).map(entity).collect();
    let features = ["spend:share", "spend:amount_ratio", "spend:mean_fare"];
    let asks = json!({"features": features, "entities": entities, "request": {"amount": 42}});
    let (status, answer) = server.post("/v1/lookup?meta=false", asks.to_string());
    assert_eq!(status, 200, "{answer}");
    let rows = answer["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 600);
    for (at, row) in rows.iter().enumerate() {
        let of = |name: &str| row["features"][format!("spend:{name}")].clone();
        let amount = [42.0, 1.0, 2.0, 3.0, 21.0][at % 5];
        let (share, ratio) = (of("share"), of("amount_ratio"));
        if at % 5 == 4 {
            assert_eq!(ratio, json!({"value": -1.0, "status": "default", "unknown": true}), "{row}");
            let (status, reason) = (&share["status"], share["reason"].as_str().unwrap());
            assert!(status == "error" && reason.contains("zero"), "{row}");
            continue;
        }
        assert_eq!(share, json!({"value": amount, "status": "ok"}));
        if at % 7 == 0 {
            assert!(
                ratio["status"] == "error" && ratio["reason"].as_str().unwrap().contains("zero"),
                "{row}"
            );
            assert_eq!(of("mean_fare")["value"], 0.0);
        } else {
            assert_eq!(ratio["value"], amount / (at % 7) as f64, "{row}");
        }
    }
    assert!(server.terminate().success());
}

#[test]
fn a_window_that_is_open_has_its_own_value() {
    let grid = "query: |\n  SELECT user_id, SUM(fare) AS spent FROM rides GROUP BY user_id, TUMBLE(t, INTERVAL '10' SECOND)\n\
                request: {amount: double}\ntransform: {share: amount / spent, doubled: amount * 2}\n";
    let server_project = project(grid);
    let server = Server::start(&server_project, "");
    server.wait_ready();
    post(&server, &[("u1", "a", 10.0, 0), ("u1", "a", 30.0, 5), ("u1", "a", 5.0, 12)]);
    let (_, answer) = server.get("/v1/jobs/spend/values?user_id=u1&amount=20");
    let (share, spent) = (&answer["features"]["share"], &answer["features"]["spent"]);
    assert_eq!((&share["value"], &share["current"]["value"]), (&json!(0.5), &json!(4.0)), "{answer}");
    assert_eq!(
        (&share["window"], &share["current"]["window"]),
        (&spent["window"], &spent["current"]["window"])
    );
    let doubled = &answer["features"]["doubled"];
    assert_eq!((&doubled["value"], doubled.get("current")), (&json!(40.0), None));
    assert!(server.terminate().success());
}

#[test]
fn a_derived_feature_is_added_changed_and_listed_without_touching_state() {
    let project = project(STORED);
    let server = Server::start(&project, "");
    server.wait_ready();
    rides(&server);
    let definition = server.get("/v1/jobs/spend").1["definition"].clone();
    project.file("jobs/spend.yaml", &[STORED, DERIVED].concat());
    let (status, listed) = server.post("/v1/jobs/spend/restart", "");
    assert_eq!((status, &listed["definition"]), (200, &definition), "{listed}");
    server.wait_ready();
    let (_, listed) = server.get("/v1/jobs/spend");
    assert_eq!((listed.get("filling"), &listed["events"]), (None, &json!(3)), "{listed}");
    let ratio =
        listed["features"].as_array().unwrap().iter().find(|it| it["name"] == "amount_ratio").unwrap();
    let expected = json!({
        "name": "amount_ratio", "type": "double", "version": 3, "definition": ratio["definition"], "description": null,
        "owner": "fraud", "default": -1, "derived": true, "expression": "amount / mean_fare",
        "inputs": ["mean_fare", "amount"], "request": ["amount"],
    });
    assert_eq!(ratio, &expected);
    assert_eq!(listed["request"]["visited"], "array<string>");
    assert_all(&server.get(ALL).1, "");
    let before = server.get(ALL).1["jobs"]["spend"]["transform"].clone();
    project.file(
        "jobs/spend.yaml",
        &[STORED, &DERIVED.replace("amount / mean_fare", "2 * amount / mean_fare")].concat(),
    );
    server.signal("HUP");
    let doubled = crate::harness::wait_for("the new expression", std::time::Duration::from_secs(60), || {
        let (status, answer) = server.get(ALL);
        (status == 200 && answer["features"]["amount_ratio"]["value"] == 6.0).then_some(answer)
    });
    assert_ne!(doubled["jobs"]["spend"]["transform"], before);
    assert_eq!(doubled["features"]["rides"]["value"], 2);
    assert!(server.terminate().success());
    // A start takes it as well, and the check says what is and what becomes of the state.
    project.file("jobs/spend.yaml", &[STORED, "transform: {half: rides / 2.0}\n"].concat());
    let checked = project.weir("check", &["--explain"]);
    let text = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(
        text.contains("derives when asked  sha256:") && text.contains("    rides / 2.0 of rides\n"),
        "{text}"
    );
    assert!(text.contains("state: kept mean_fare, rides, cities, lat, lon\n"), "{text}");
    let server = Server::start(&project, "");
    server.wait_ready();
    let (_, answer) = server.get("/v1/jobs/spend/values?user_id=u1");
    assert_eq!(answer["features"]["half"]["value"], 1.0, "{answer}");
    assert!(server.terminate().success());
}
