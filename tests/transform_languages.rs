//! The transform of the samples, in Rust, Python and JavaScript: the same bits in lookups, as of the past too, and in training
//! sets, and what is computed here by hand.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Dice, Project, Server, repository, weir};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;

const STREAM: &str = "fields: {user_id: string, fare: double, t: timestamp}\nevent_time: t\ndisorder: 0s\n\
                      idle_after: 1h\nsource: {http: {}}\n";
const LANGUAGES: [&str; 3] = ["risk", "risk_py", "risk_js"];
const RESULTS: [&str; 3] = ["score", "band", "times_usual"];
const T: i64 = 1_770_000_000_000;
const RIDES: usize = 300;
const SECOND: i64 = 1000;

/// Each result of each language, the arguments by their names or in their order.
fn job() -> String {
    let feature = |function: &str, result: &str| {
        let arguments = if result == "band" { "*" } else { "amount, mean_fare, rides" };
        format!("  {function}_{result}: {function}({arguments}).{result}\n")
    };
    let features =
        LANGUAGES.iter().flat_map(|language| RESULTS.iter().map(|result| feature(language, result)));
    format!(
        "query: |\n  SELECT user_id, AVG(fare) OVER w AS mean_fare, COUNT(*) OVER w AS rides\n  FROM rides WINDOW w AS \
         (PARTITION BY user_id ORDER BY t RANGE INTERVAL '1' MINUTE PRECEDING)\nhistory: 1d\n\
         request: {{amount: double}}\ntransform:\n{}",
        features.collect::<String>()
    )
}

#[track_caller]
fn done(folder: &Path, arguments: &[&str]) {
    let output = Command::new(weir()).args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What the functions compute, once more.
fn by_hand(amount: Option<f64>, mean_fare: Option<f64>, rides: Option<i64>) -> [Value; 3] {
    let Some(amount) = amount else { return [Value::Null, Value::Null, Value::Null] };
    let known = mean_fare.filter(|mean| *mean > 0.0);
    let expected = match (known, rides.filter(|rides| *rides > 0)) {
        (Some(mean), Some(rides)) => (rides as f64 * mean + 100.0) / (rides as f64 + 5.0),
        _ => 20.0,
    };
    let beyond = if amount / expected <= 1.0 { 0.0 } else { amount / expected - 1.0 };
    let score = 1.0 - 3.0 / (beyond + 3.0);
    let band = if score < 0.25 {
        "low"
    } else if score < 0.5 {
        "medium"
    } else {
        "high"
    };
    [json!(score), json!(band), known.map_or(Value::Null, |mean| json!(amount / mean))]
}

/// Compares what is said of one entity in each language with what is computed by hand; gives its band.
#[track_caller]
fn check(request: &Value, of: impl Fn(&str) -> Value) -> Value {
    let amount = request["amount"].as_f64();
    let expected = by_hand(amount, of("mean_fare").as_f64(), of("rides").as_i64());
    for language in LANGUAGES {
        for (result, expected) in RESULTS.iter().zip(&expected) {
            let found = of(&format!("{language}_{result}"));
            // The text of a number has all of its bits.
            assert_eq!(found.to_string(), expected.to_string(), "{language} {result} of {request}");
        }
    }
    expected[1].clone()
}

/// A project whose job calls the function in each language.
fn started() -> (Project, Server) {
    let project = Project::new();
    let plugins = project.path().join("plugins");
    std::fs::create_dir(&plugins).unwrap();
    std::fs::copy(repository().join("plugins/dist/risk.wasm"), plugins.join("risk.wasm")).unwrap();
    let built = project.path().join("built");
    let built = built.to_str().unwrap();
    done(&repository().join("plugins/python"), &["plugin", "build", "risk_py", "--out", built]);
    done(&repository().join("plugins/js"), &["plugin", "build", "risk_js", "--out", built]);
    project.file("streams/rides.yaml", STREAM).file("jobs/spend.yaml", &job());
    let server = Server::start(&project, "");
    // A running server compiles them while it answers others.
    for name in ["risk_py", "risk_js"] {
        let (code, said) =
            server.weir(&["plugin", "push", name, &format!("{built}/{name}.wasm"), "--activate"]);
        assert_eq!(code, Some(0), "{said}");
    }
    server.wait_ready();
    (project, server)
}

#[test]
fn a_function_gives_the_same_bits_in_every_language_in_lookups_and_in_training() {
    let (project, server) = started();
    let mut dice = Dice::new(5);
    let mut ride = |at: usize| {
        let fare = if dice.below(9) == 0 { 0.0 } else { dice.below(3000) as f64 / 70.0 };
        let user = format!("u{}", dice.below(4));
        json!({"user_id": user, "fare": fare, "t": T + at as i64 * SECOND}).to_string()
    };
    let rides: Vec<String> = (0..RIDES).map(&mut ride).collect();
    let (status, answer) = server.post("/v1/streams/rides/events?wait=visible", rides.join("\n"));
    assert_eq!((status, &answer["accepted"]), (200, &json!(RIDES)), "{answer}");
    let mut asked = |_| {
        let amount = match dice.below(8) {
            0 => Value::Null,
            _ => json!(dice.below(90_000) as f64 / 700.0),
        };
        let at = T + dice.below(RIDES * 1000) as i64;
        json!({"user_id": format!("u{}", dice.below(5)), "as_of": at, "request": {"amount": amount}})
    };
    let entities: Vec<Value> = (0..300).map(&mut asked).collect();
    let (status, answer) =
        server.post("/v1/lookup", json!({"features": ["spend"], "entities": entities}).to_string());
    assert_eq!(status, 200, "{answer}");
    assert!(server.terminate().success());
    let rows = answer["rows"].as_array().unwrap();
    let mut bands: Vec<String> = Vec::new();
    for (entity, row) in entities.iter().zip(rows) {
        let value = |name: &str| row["features"][format!("spend:{name}")]["value"].clone();
        bands.push(check(&entity["request"], value).to_string());
    }
    for band in ["\"low\"", "\"medium\"", "\"high\"", "null"] {
        assert!(bands.iter().any(|known| known == band), "no {band} among {bands:?}");
    }
    let spine = entities.iter().map(|entity| {
        let [user, at, amount] = [&entity["user_id"], &entity["as_of"], &entity["request"]["amount"]];
        json!({"user_id": user, "event_time": at, "amount": amount}).to_string()
    });
    project.file("spine.jsonl", &spine.collect::<Vec<_>>().join("\n"));
    let train = [
        "train",
        ".",
        "--spine",
        "spine.jsonl",
        "--features",
        "spend",
        "-o",
        "out.jsonl",
        "--as-of",
        "event",
    ];
    done(project.path(), &train);
    let trained = std::fs::read_to_string(project.path().join("out.jsonl")).unwrap();
    assert_eq!(trained.lines().count(), entities.len());
    for (entity, line) in entities.iter().zip(trained.lines()) {
        let row: Value = serde_json::from_str(line).unwrap();
        check(&entity["request"], |name| row[format!("spend__{name}")].clone());
    }
}
