//! A plugin in JavaScript from its folder to looked-up values; whole numbers keep all of their 64 bits on the way. The samples
//! give what those in Rust give.
//!
//! To compile a component takes most of the time, so there are two: the sample `geo_js` is called as a part of the first.

use crate::harness::{Dice, Project, Server, last_rows, repository, weir};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

const STREAM: &str =
    "fields: {k: string, n: bigint, x: double, t: timestamp}\nevent_time: t\nsource: {http: {}}\n";
const JOB: &str = "query: |\n  SELECT k, MAX(same(n)) AS most, distinct_of(n) AS different, AVG(halved(x)) AS half\n  \
                   FROM s GROUP BY k, TUMBLE(t, INTERVAL '1' HOUR)\n";
const PLUGIN: &str = r"
import './geo_js.js';
import { aggregate, bigint, decode, double, scalar, text, timestamp } from './weir/index.js';

scalar({ name: 'same', arguments: { n: bigint }, result: bigint }, (n) => n);

scalar({ name: 'halved', arguments: { x: double }, result: double, columnar: true }, (values) => {
  if (values.some((value) => value < 0)) throw new RangeError('below nought');
  if (values.includes(1000)) return values.map(() => Math.random());
  return values.map((value) => value / 2);
});

aggregate(
  { name: 'distinct_of', arguments: { n: bigint }, result: bigint, algebra: 'exact' },
  class {
    seen = new Set();
    update(time, n) {
      console.log('saw', n);
      this.seen.add(n);
    }
    merge(later) {
      for (const n of later.seen) this.seen.add(n);
    }
    finish() {
      return this.seen.size;
    }
  },
);

decode({ columns: { k: text, at: timestamp, n: bigint } }, (payload) => {
  const [k, at, n] = new TextDecoder().decode(payload).split(' ');
  return { k, at: Number(at), n: BigInt(n) };
});
";
const STREAM_OF_LINES: &str = "fields: {k: string, at: timestamp, n: bigint}\nevent_time: at\n\
                               format: {plugin: numbers}\nsource: {file: {path: lines.txt}}\n";
const JOB_OF_LINES: &str = "query: SELECT k, MAX(n) AS most FROM lines GROUP BY k\nemit: {on: change}\n";
const STREAM_OF_PLACES: &str = "fields: {n: bigint, a: double, b: double, c: double, d: double, t: timestamp}\n\
                                event_time: t\nsource: {file: {path: places.jsonl}}\n";
const PLACES: usize = 4000;
const MINUTE: i64 = 60_000;
const STREAM_OF_RIDES: &str = "fields: {user_id: string, city: string, t: timestamp}\nevent_time: t\ndisorder: 10s\n\
                               source: {http: {keep: 30d}}\n";
const USERS: usize = 12;

/// `weir plugin ARGUMENTS`, which must succeed: what it says of its progress.
#[track_caller]
fn done(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(weir()).arg("plugin").args(arguments).current_dir(folder).output();
    let output = output.expect("weir starts");
    let [said, told] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{arguments:?}: {said}{told}");
    told
}

/// Gives a component to a running server, which compiles it meanwhile: one that finds it at its start answers only then, on a
/// busy machine minutes later.
#[track_caller]
fn push(project: &Project, server: &Server, name: &str) {
    let component = project.path().join(format!("built/{name}.wasm"));
    let component = component.to_str().expect("a path in UTF-8");
    let (code, said) = server.weir(&["plugin", "push", name, component, "--activate"]);
    assert_eq!(code, Some(0), "{said}");
    server.wait_ready();
}

/// Puts a sample in Rust into a project.
fn take_in_rust(project: &Project, name: &str) {
    let component = format!("{name}.wasm");
    std::fs::create_dir_all(project.path().join("plugins")).expect("a folder can be made");
    let built = repository().join("plugins/dist").join(&component);
    std::fs::copy(built, project.path().join("plugins").join(component)).expect("plugins/build made it");
}

#[test]
fn a_folder_in_javascript_becomes_values_that_are_looked_up() {
    let project = Project::new();
    let here = project.path();
    done(here, &["new", "numbers", "--lang", "js"]);
    done(here, &["test", "numbers"]);
    project.file("numbers/plugin.js", PLUGIN);
    let sample = repository().join("plugins/js/geo_js/plugin.js");
    std::fs::copy(sample, here.join("numbers/geo_js.js")).expect("the sample is there");
    done(here, &["build", "numbers", "--out", "built"]);
    measures_places(&project);
    project.file("streams/s.yaml", STREAM).file("jobs/j.yaml", JOB);
    let lines = format!("a 1767225600000 {}\na 1767225601000 x\na 1767225602000 7\n", i64::MAX);
    project
        .file("lines.txt", &lines)
        .file("streams/lines.yaml", STREAM_OF_LINES)
        .file("jobs/l.yaml", JOB_OF_LINES);
    let server = Server::start(&project, "plugins: {numbers: {memory: 96MiB}}\n");
    push(&project, &server, "numbers");

    let most = i64::MAX;
    let rows = [(most, 4.0), (most - 1, 2.0), (i64::MIN, -1.0), (0, 1000.0), (most, 6.0)];
    let body: String = rows
        .iter()
        .zip(1..)
        .map(|((n, x), at)| {
            format!("{{\"k\":\"a\",\"n\":{n},\"x\":{x},\"t\":\"2026-01-01T00:00:0{at}Z\"}}\n")
        })
        .collect();
    let (status, answer) = server.post("/v1/streams/s/events?wait=visible", body);
    assert_eq!((status, &answer["accepted"]), (200, &json!(5)), "{answer}");
    let (_, answer) = server.get("/v1/jobs/j/values?k=a");
    let value = |name: &str| answer["features"][name]["current"]["value"].clone();
    assert_eq!(
        [value("most"), value("different"), value("half")],
        [json!(most), json!(2), json!(2.0)],
        "{answer}"
    );
    let (_, letters) = server.get("/v1/deadletters/s");
    let text = letters.to_string();
    assert!(text.contains("call of `halved`: RangeError: below nought"), "{text}");
    assert!(text.contains("Math.random() is not there in a plugin"), "{text}");
    let (_, answer) = server.get("/v1/jobs/l/values?k=a");
    assert_eq!(answer["features"]["most"]["value"], json!(i64::MAX), "{answer}");
    let (_, letters) = server.get("/v1/deadletters/lines");
    let letters = letters["dead_letters"].as_array().expect("a list");
    let reason = letters[0]["reason"].as_str().unwrap_or_default();
    assert!(letters.len() == 1 && reason.contains("SyntaxError"), "{letters:?}");
    let (code, said) = server.weir(&["plugin", "logs", "numbers"]);
    assert!(code == Some(0) && said.contains(" info  [j] saw 9223372036854775807\n"), "{said}");
    assert!(server.terminate().success());
    check_distances(&project);
}

/// A job that measures how far made-up places are apart, by the sample in Rust and by those in JavaScript. Some are the same
/// place, some almost, some antipodes, and some are not known.
fn measures_places(project: &Project) {
    let mut dice = Dice::new(11);
    let mut within = |degrees: f64| (dice.below(2_000_001) as f64 / 1e6 - 1.0) * degrees;
    let place = |n: usize| {
        let (a, b) = (within(90.0), within(180.0));
        let (c, d) = match n % 5 {
            0 => (Some(-a), b + 180.0),
            1 => (Some(a + within(1e-5)), b + within(1e-5)),
            2 if n.is_multiple_of(2) => (Some(a), b),
            2 => (None, b),
            _ => (Some(within(90.0)), within(180.0)),
        };
        format!("{}\n", json!({"n": n, "a": a, "b": b, "c": c, "d": d, "t": 1_767_225_600_000_u64}))
    };
    let measured =
        ["haversine_km", "haversine_km_js", "great_circle_km_js"].map(|name| format!("{name}(a, b, c, d)"));
    let [rust, columns, rows] = measured;
    let query = format!("SELECT n, {rust} AS rust, {columns} AS of_columns, {rows} AS of_rows FROM places");
    let job = format!("query: {query}\nsinks: [{{file: {{path: out}}}}]\n");
    project
        .file("places.jsonl", &(0..PLACES).map(place).collect::<String>())
        .file("streams/places.yaml", STREAM_OF_PLACES)
        .file("jobs/distances.yaml", &job);
    take_in_rust(project, "geo");
}

/// Compares the distances that were written, to their last bits.
#[track_caller]
fn check_distances(project: &Project) {
    let rows = project.rows("out");
    for row in &rows {
        assert!(row["rust"] == row["of_columns"] && row["rust"] == row["of_rows"], "{row}");
    }
    let numbers: BTreeSet<Option<u64>> = rows.iter().map(|row| row["n"].as_u64()).collect();
    let unknown = rows.iter().filter(|row| row["rust"].is_null()).count();
    assert_eq!((rows.len(), numbers.len(), unknown), (PLACES, PLACES, PLACES / 10));
}

#[test]
fn the_samples_keep_their_own_tests() {
    let samples = repository().join("plugins/js");
    for sample in ["geo_js", "risk_js", "visits_js"] {
        done(&samples, &["test", sample]);
    }
}

#[test]
fn a_new_folder_of_any_kind_keeps_its_own_tests() {
    let project = Project::new();
    for kind in ["scalar", "transform", "aggregate", "decode", "process"] {
        let name = format!("of_{kind}");
        done(project.path(), &["new", &name, "--lang", "js", "--kind", kind]);
        done(project.path(), &["test", &name]);
    }
}

#[test]
fn the_samples_are_built_and_visits_are_those_of_the_sample_in_rust() {
    let project = Project::new();
    let samples = repository().join("plugins/js");
    let built = project.path().join("built");
    let built = built.to_str().expect("a path in UTF-8");
    let said = done(&samples, &["build", "geo_js", "--out", built]);
    for function in ["haversine_km_js", "great_circle_km_js"] {
        let signature =
            format!("scalar {function}(lat1 double, lon1 double, lat2 double, lon2 double) -> double");
        assert!(said.contains(&signature), "{said}");
    }
    done(&samples, &["build", "visits_js", "--out", built]);
    let said = done(&samples, &["build", "risk_js", "--out", built]);
    let results = "score double, band string, times_usual double";
    let signature =
        format!("transform risk_js(amount double, mean_fare double, rides bigint) -> ({results})");
    assert!(said.contains(&signature), "{said}");
    take_in_rust(&project, "visits");
    project.file("streams/rides.yaml", STREAM_OF_RIDES);
    for function in ["visits", "visits_js"] {
        let query = format!(
            "SELECT user_id, started, rides, cities, rowtime AS ended\n  \
             FROM TABLE({function}(TABLE rides PARTITION BY user_id, 30))"
        );
        let sinks = format!("retention: 30d\nsinks: [{{file: {{path: out_{function}, meta: true}}}}]\n");
        project.file(&format!("jobs/by_{function}.yaml"), &format!("query: |\n  {query}\n{sinks}"));
    }
    let server = Server::start(&project, "");
    push(&project, &server, "visits_js");
    let (mut dice, mut now) = (Dice::new(12), 1_793_491_200_000);
    for _ in 0..10 {
        let lines = some_rides(&mut dice, &mut now, 40);
        let (status, answer) = server.post("/v1/streams/rides/events?wait=visible", lines);
        assert_eq!((status, &answer["accepted"]), (200, &json!(40)), "{answer}");
        check_same_visits(&server, None);
        check_same_visits(&server, Some(now - dice.below(59 * MINUTE as usize) as i64));
    }
    for job in ["by_visits", "by_visits_js"] {
        let status = server.get(&format!("/v1/jobs/{job}")).1;
        assert_eq!((&status["dropped"], &status["dead_letters"]), (&json!(0), &json!(0)), "{status}");
        assert!(status["late"].as_u64() > Some(20), "{status}");
    }
    assert!(server.terminate().success());
    let [in_rust, in_js] = ["out_visits", "out_visits_js"].map(|folder| {
        let written = project.rows(folder);
        assert!(written.iter().any(|row| row["_weir"]["op"] == "delete"), "no late ride moved an end");
        last_rows(written).iter().map(Value::to_string).collect::<BTreeSet<_>>()
    });
    assert!(in_rust.len() > 50, "too few visits to tell much: {in_rust:?}");
    assert_eq!(in_js, in_rust);
}

/// Rides around a time, a quarter of them up to almost an hour late. Whole minutes, so that some fall together and some on the
/// moment at which a visit is over.
fn some_rides(dice: &mut Dice, now: &mut i64, count: usize) -> String {
    let mut ride = || {
        *now += dice.below(4 * MINUTE as usize) as i64;
        let behind = if dice.below(4) == 0 { dice.below(54 * MINUTE as usize) as i64 } else { 0 };
        let at = (*now - behind).div_euclid(MINUTE) * MINUTE;
        let city = (dice.below(5) > 0).then(|| format!("c{}", dice.below(3)));
        format!("{}\n", json!({"user_id": format!("u{}", dice.below(USERS)), "city": city, "t": at}))
    };
    (0..count).map(|_| ride()).collect()
}

/// Asks for every user's newest visit, as of now or as of a time, by both jobs.
#[track_caller]
fn check_same_visits(server: &Server, as_of: Option<i64>) {
    let entities: Vec<Value> = (0..=USERS).map(|user| json!({"user_id": format!("u{user}")})).collect();
    let mut asked = json!({"features": ["by_visits", "by_visits_js"], "entities": entities});
    if let Some(as_of) = as_of {
        asked["as_of"] = json!(as_of);
    }
    let (status, answer) = server.post("/v1/lookup", asked.to_string());
    assert_eq!(status, 200, "{answer}");
    let found = answer["rows"].as_array().expect("rows");
    assert_eq!(found.len(), USERS + 1, "{answer}");
    for row in found {
        for member in ["started", "rides", "cities"] {
            let of = |job: &str| &row["features"][format!("{job}:{member}")];
            assert!(of("by_visits")["status"].is_string(), "{row}");
            assert_eq!(of("by_visits"), of("by_visits_js"), "as of {as_of:?}: {row}");
        }
    }
}

#[test]
fn the_kit_keeps_its_own_tests() {
    let tests = Command::new("node")
        .args(["--test", "test"])
        .current_dir(repository().join("guest-sdk/js"))
        .output()
        .expect("node is there");
    assert!(tests.status.success(), "{}", String::from_utf8_lossy(&tests.stdout));
}
