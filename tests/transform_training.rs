//! Derived features in training sets: to the bit what a lookup of the same moment says, of the same request; and what of a
//! spine does not fit is told before anything is read.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Project, Server, repository};
use serde_json::{Value, json};

const STREAM: &str = "\
fields: {user_id: string, city: string, fare: double, lat: double, t: timestamp}
event_time: t
disorder: 0s
idle_after: 1h
source: {http: {}}
";
const JOB: &str = "\
query: |
  SELECT user_id, AVG(fare) OVER w AS mean_fare, COUNT(*) OVER w AS rides, TOP(3, city) OVER w AS cities,
    LAST_VALUE(lat) OVER w AS lat
  FROM rides WINDOW w AS (PARTITION BY user_id ORDER BY t RANGE INTERVAL '10' SECOND PRECEDING)
history: 1d
request: {amount: double, now_lat: double, tags: array<string>, event_time: timestamp}
transform:
  ratio: amount / mean_fare
  km: haversine_km(lat, 13.4, now_lat, 13.4)
  share: LN(amount) / rides
  label: CONCAT(user_id, CAST(rides AS VARCHAR), cities[1], tags[1])
  list: ARRAY_CONCAT(cities, tags)
  minute: MINUTE(event_time)
  half: mean_fare / 3
  score: risk(amount, mean_fare, rides).score
  band: risk(*).band
  usual: risk(*).times_usual
features: {ratio: {default: -1}, mean_fare: {default: 7.5}}
";
const T: i64 = 1_770_000_000_000;
const NAMES: [&str; 14] = [
    "mean_fare",
    "rides",
    "cities",
    "lat",
    "ratio",
    "km",
    "share",
    "label",
    "list",
    "minute",
    "half",
    "score",
    "band",
    "usual",
];

fn roll(dice: &mut u64, sides: u64) -> u64 {
    *dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*dice >> 33) % sides
}

fn project() -> Project {
    let project = Project::new();
    project.file("streams/rides.yaml", STREAM).file("jobs/spend.yaml", JOB);
    let plugins = project.path().join("plugins");
    std::fs::create_dir(&plugins).unwrap();
    for plugin in ["geo.wasm", "risk.wasm"] {
        std::fs::copy(repository().join("plugins/dist").join(plugin), plugins.join(plugin)).unwrap();
    }
    project
}

fn train(project: &Project, spine: &str, features: &str, more: &[&str]) -> (bool, String) {
    let [spine, output] =
        [spine, "out.jsonl"].map(|name| project.path().join(name).to_str().unwrap().to_owned());
    let all = ["--spine", &spine, "--features", features, "-o", &output, "--as-of", "event"];
    let done = project.weir("train", &[&all, more].concat());
    let text = String::from_utf8_lossy(&done.stderr).into_owned();
    (
        done.status.success(),
        if done.status.success() { std::fs::read_to_string(&output).unwrap() + &text } else { text },
    )
}

/// Rows of a spine: of users with rides and without, requests with all fields and with null for some.
fn spine(dice: &mut u64) -> Vec<Value> {
    let row = |_| {
        let amount =
            if roll(dice, 8) == 0 { Value::Null } else { json!((roll(dice, 900) as f64 - 40.0) / 7.0) };
        let tags = if roll(dice, 6) == 0 { Value::Null } else { json!([format!("t{}", roll(dice, 9)), "x"]) };
        json!({
            "user_id": format!("u{}", roll(dice, 7)), "event_time": T + roll(dice, 60_000) as i64, "amount": amount,
            "now_lat": roll(dice, 900) as f64 / 10.0, "tags": tags, "note": roll(dice, 5),
        })
    };
    (0..400).map(row).collect()
}

/// Rides of a minute, in their order; some cost nothing.
fn post_rides(server: &Server, dice: &mut u64) {
    let mut rides: Vec<(i64, Value)> = Vec::new();
    for _ in 0..500 {
        let time = T + roll(dice, 60_000) as i64;
        let fare = if roll(dice, 9) == 0 { json!(0.0) } else { json!(roll(dice, 3000) as f64 / 70.0) };
        let city = format!("c{}", roll(dice, 4));
        let event = json!({"user_id": format!("u{}", roll(dice, 5)), "city": city, "fare": fare,
                           "lat": roll(dice, 1800) as f64 / 10.0 - 90.0, "t": time});
        rides.push((time, event));
    }
    rides.sort_by_key(|(time, _)| *time);
    let rows: Vec<String> = rides.iter().map(|(_, event)| event.to_string()).collect();
    let (status, answer) = server.post("/v1/streams/rides/events?wait=visible", rows.join("\n"));
    assert_eq!((status, &answer["accepted"]), (200, &json!(500)), "{answer}");
}

#[test]
fn a_training_set_has_what_lookups_answer_to_the_bit() {
    let project = project();
    let server = Server::start(&project, "");
    server.wait_ready();
    let dice = &mut 11;
    post_rides(&server, dice);
    let spine = spine(dice);
    let entity = |row: &Value| {
        let request = json!({"amount": row["amount"], "now_lat": row["now_lat"], "tags": row["tags"],
                             "event_time": row["event_time"]});
        json!({"user_id": row["user_id"], "as_of": row["event_time"], "request": request})
    };
    let entities: Vec<Value> = spine.iter().map(entity).collect();
    let features: Vec<String> = NAMES.iter().map(|name| format!("spend:{name}")).collect();
    let asks = json!({"features": features, "entities": entities});
    let (status, answer) = server.post("/v1/lookup", asks.to_string());
    assert_eq!(status, 200, "{answer}");
    assert!(server.terminate().success());
    let lines: Vec<String> = spine.iter().map(Value::to_string).collect();
    project.file("spine.jsonl", &lines.join("\n"));
    let (is_done, text) = train(&project, "spine.jsonl", "spend", &["--status"]);
    assert!(is_done, "{text}");
    let trained: Vec<Value> =
        text.lines().take(400).map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut seen = std::collections::BTreeMap::<String, usize>::new();
    for (row, (trained, served)) in trained.iter().zip(answer["rows"].as_array().unwrap()).enumerate() {
        for name in NAMES {
            let value = &served["features"][format!("spend:{name}")];
            let column = format!("spend__{name}");
            // The text of a number has all of its bits.
            assert_eq!(
                trained[&column].to_string(),
                value["value"].to_string(),
                "row {row} {name}: {trained} {served}"
            );
            let status = &trained[format!("{column}__status")];
            assert_eq!(status, &value["status"], "row {row} {name}: {served}");
            *seen.entry(format!("{name} {}", status.as_str().unwrap())).or_default() += 1;
        }
        assert_eq!(trained["note"], spine[row]["note"]);
    }
    for wanted in
        ["ratio ok", "ratio default", "share ok", "share error", "half default", "band ok", "label not_found"]
    {
        assert!(seen.contains_key(wanted), "{wanted} is not among {seen:?}");
    }
    assert!(
        text.contains("rows of the spine for which a derived feature cannot be computed are null"),
        "{text}"
    );
    assert!(text.contains("column=\"spend__share\"") || text.contains("column=spend__share"), "{text}");
}

#[test]
fn a_spine_without_what_is_derived_of_it_is_refused_by_name() {
    let project = project();
    let server = Server::start(&project, "");
    server.wait_ready();
    let event = json!({"user_id": "u1", "city": "c", "fare": 4.0, "lat": 1.0, "t": T});
    assert_eq!(server.post("/v1/streams/rides/events?wait=visible", event.to_string()).0, 200);
    assert!(server.terminate().success());
    project.file("spine.csv", "user_id,event_time\nu1,2026-02-02T02:40:30Z\n");
    for (features, said) in [
        (
            "spend:ratio",
            Some(
                "the spine has no column `amount`, a field of the request that feature `ratio` of job `spend` is computed of; add it, or leave that feature out",
            ),
        ),
        ("spend", Some("the spine has no column `amount`")),
        ("spend:rides,spend:half,spend:minute", None),
        // What is derived of the moment alone asks for nothing that is stored.
        ("spend:minute", None),
        ("spend:rato", Some("job `spend` has no feature `rato`; did you mean `ratio`?")),
    ] {
        let (is_done, text) = train(&project, "spine.csv", features, &[]);
        assert_eq!(
            (is_done, said.is_none_or(|said| text.contains(said))),
            (said.is_none(), true),
            "{features}: {text}"
        );
    }
    // Of CSV, whose texts are read as the fields are declared; one derived feature needs what it is computed of alone.
    project
        .file("few.csv", "user_id,event_time,amount\nu1,2026-02-02T02:40:30Z,12\nu1,2026-02-02T02:40:50Z,\n");
    let (is_done, text) = train(&project, "few.csv", "spend:ratio,spend:rides", &[]);
    assert!(is_done, "{text}");
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    let columns: Vec<&String> = first.as_object().unwrap().keys().collect();
    assert_eq!(columns, ["user_id", "event_time", "amount", "spend__ratio", "spend__rides"]);
    project.file("wrong.jsonl", "{\"user_id\":\"u1\",\"event_time\":1770000000000,\"amount\":\"much\"}\n");
    let (is_done, text) = train(&project, "wrong.jsonl", "spend:ratio", &[]);
    assert!(!is_done && text.contains("row 1 of") && text.contains("amount"), "{text}");
}
