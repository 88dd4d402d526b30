//! Streams whose payloads a plugin decodes: files and topics, before there is the plugin and while another version of it
//! becomes active, through kills; what is served, written and trained on is what an oracle of the payloads says.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Dice, Project, Server, repository, wait_for, weir};
use crate::services::kafka;
use crate::services::topics::send_bytes;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

const FIELDS: &str = "fields: {device: string, at: timestamp, lat: double, knots: double}\nevent_time: at\n\
                      format: {plugin: tracker}\n";
const JOB: &str = "query: |\n  SELECT device, COUNT(*) AS n, SUM(knots) AS knots, MAX(lat) AS north FROM positions GROUP BY device\n\
                   emit: {on: change}\n";
/// 2026-11-01T00:00:00Z
const FIRST: i64 = 1_793_491_200_000;

fn component() -> Vec<u8> {
    std::fs::read(repository().join("plugins/dist/tracker.wasm")).expect("plugins/build made it")
}

/// What a tracker sends of this second of the day, in degrees of northern latitude and half knots.
fn sentence(device: u64, second: i64, degrees: u64, half_knots: Option<u64>) -> String {
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    let knots = half_knots.map_or(String::new(), |half| format!("{}.{}", half / 2, half % 2 * 5));
    let content = format!(
        "GPRMC,{hour:02}{minute:02}{second:02},A,{degrees:02}30.00,N,01300.00,E,{knots},054.7,011126,020.3,E"
    );
    let sum = content.bytes().fold(0, |sum, byte| sum ^ byte);
    format!("bus{device} ${content}*{sum:02X}")
}

/// Payloads, what each device comes to (rows, sum of knots, northernmost), and how many payloads are none.
#[derive(Default)]
struct Made {
    payloads: Vec<String>,
    of_devices: BTreeMap<String, (u64, Option<f64>, f64)>,
    bad: usize,
}

fn made(dice: &mut Dice, count: usize) -> Made {
    let mut made = Made::default();
    for at in 0..count {
        let (device, degrees) = (dice.below(7) as u64, dice.below(80) as u64);
        let half_knots = (dice.below(5) > 0).then(|| dice.below(100) as u64);
        let whole = sentence(device, at as i64 % 86_400, degrees, half_knots);
        let spoilt = [
            whole.replace('*', ""),
            whole.replace(",A,", ",V,"),
            "nothing of the kind".to_owned(),
            whole.replace("GPRMC", "GPGGA"),
        ];
        if dice.below(20) == 0 {
            made.payloads.push(spoilt[dice.below(spoilt.len())].clone());
            made.bad += 1;
            continue;
        }
        made.payloads.push(whole);
        let of_device = made.of_devices.entry(format!("bus{device}")).or_insert((0, None, f64::MIN));
        of_device.0 += 1;
        if let Some(half) = half_knots {
            of_device.1 = Some(of_device.1.unwrap_or(0.0) + half as f64 / 2.0);
        }
        of_device.2 = of_device.2.max(degrees as f64 + 0.5);
    }
    made
}

fn expected(made: &Made) -> BTreeMap<String, Value> {
    let row = |(device, (n, knots, north)): (&String, &(u64, Option<f64>, f64))| {
        (device.clone(), json!({"n": n, "knots": knots, "north": north}))
    };
    made.of_devices.iter().map(row).collect()
}

fn with_plugin(project: &Project) {
    std::fs::create_dir_all(project.path().join("plugins")).unwrap();
    std::fs::write(project.path().join("plugins/tracker.wasm"), component()).unwrap();
}

fn served(server: &Server, made: &Made) -> BTreeMap<String, Value> {
    let entities: Vec<Value> = made.of_devices.keys().map(|device| json!({ "device": device })).collect();
    let (status, answer) =
        server.post("/v1/lookup", json!({"features": ["moves"], "entities": entities}).to_string());
    assert_eq!(status, 200, "{answer}");
    let row = |row: &Value| {
        let value = |feature: &str| row["features"][format!("moves:{feature}")]["value"].clone();
        let values = json!({"n": value("n"), "knots": value("knots"), "north": value("north")});
        (row["entity"]["device"].as_str().unwrap().to_owned(), values)
    };
    answer["rows"].as_array().unwrap().iter().map(row).collect()
}

#[test]
fn lines_of_a_file_become_rows_and_what_is_written_and_trained_on_is_what_they_say() {
    let project = Project::new();
    let made = made(&mut Dice::new(14), 3000);
    project.file("in.txt", &format!("{}\n", made.payloads.join("\n")));
    project.file("streams/positions.yaml", &format!("{FIELDS}source: {{file: {{path: in.txt}}}}\n"));
    project.file("jobs/moves.yaml", &format!("{JOB}sinks: [{{file: {{path: out}}}}]\n"));
    with_plugin(&project);
    let ran = project.run(&["--stats"]);
    let stats = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(stats.contains(&format!("\"dead_letters\":{}", made.bad)), "{stats}");
    let newest = |rows: Vec<Value>| -> BTreeMap<String, Value> {
        let row = |row: Value| {
            let values = json!({"n": row["n"], "knots": row["knots"], "north": row["north"]});
            (row["device"].as_str().unwrap().to_owned(), values)
        };
        rows.into_iter().map(row).collect()
    };
    assert_eq!(newest(project.rows("out")), expected(&made));

    let spine: String =
        made.of_devices.keys().map(|device| format!("{device},{}\n", FIRST + 86_400_000)).collect();
    project.file("spine.csv", &format!("device,event_time\n{spine}"));
    let place = |name: &str| project.path().join(name).to_str().unwrap().to_owned();
    let (spine, set) = (place("spine.csv"), place("set.jsonl"));
    let arguments = ["--spine", &spine, "--features", "moves", "--as-of", "event", "-o", &set];
    let trained = project.weir("train", &arguments);
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    let explained = project.weir("check", &["--explain"]);
    let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
    let (_, component) =
        explained.split_once("reads positions from file, decoded by plugin tracker@sha256:").unwrap();
    let meta = std::fs::read_to_string(place("set.jsonl.meta.json")).unwrap();
    assert!(meta.contains(&component[..64]), "{meta}");
    let lines = std::fs::read_to_string(&set).unwrap();
    let row = |line: &str| -> (String, Value) {
        let row: Value = serde_json::from_str(line).unwrap();
        let value = |feature: &str| row[format!("moves__{feature}")].clone();
        let values = json!({"n": value("n"), "knots": value("knots"), "north": value("north")});
        (row["device"].as_str().unwrap().to_owned(), values)
    };
    assert_eq!(lines.lines().map(row).collect::<BTreeMap<_, _>>(), expected(&made));
}

#[test]
fn a_topic_waits_for_its_plugin_and_goes_on_through_another_version_and_a_kill() {
    let broker = kafka::shared();
    broker.topic("positions", 2);
    let project = Project::new();
    let source = format!("source: {{kafka: {{brokers: \"{}\", topic: positions}}}}\n", broker.address);
    project.file("streams/positions.yaml", &format!("{FIELDS}disorder: 1d\nidle_after: 1s\n{source}"));
    project.file("jobs/moves.yaml", JOB);
    let made = made(&mut Dice::new(15), 6000);
    let payloads: Vec<Vec<u8>> = made.payloads.iter().map(|payload| payload.clone().into_bytes()).collect();
    send_bytes(&broker.address, "positions", &payloads[..2000]);

    let settings = "checkpoint: {every: 100ms}\n";
    let server = Server::start(&project, settings);
    let waits = server.wait_for_job("moves", "the job to wait", |job| job["next_try"].is_string());
    let reason = waits["reason"].as_str().unwrap();
    assert!(
        reason.contains("has the format of plugin `tracker`, and no active plugin of that name decodes"),
        "{reason}"
    );
    assert!(reason.contains("weir plugin push"), "{reason}");
    let push = |component: &[u8]| {
        let (status, pushed) = server.post("/v1/plugins?name=tracker", component);
        assert_eq!(status, 201, "{pushed}");
        assert_eq!(
            pushed["exports"],
            json!(["decode payload -> (device string, at timestamp, lat double, lon double, knots double)"])
        );
        let body = json!({ "version": pushed["version"] }).to_string();
        let (status, answer) = server.post("/v1/plugins/tracker/activate", body);
        assert_eq!(status, 200, "{answer}");
    };
    push(&component());
    let read = |job: &Value| job["events"].as_u64().unwrap_or(0);
    server.wait_for_job("moves", "the first payloads", |job| read(job) == 2000);
    let mut other = component();
    other.extend_from_slice(&[0, 5, 4]);
    other.extend_from_slice(b"note");
    push(&other);
    send_bytes(&broker.address, "positions", &payloads[2000..4000]);
    server.wait_for_job("moves", "payloads behind them", |job| read(job) >= 2500);
    server.kill();
    send_bytes(&broker.address, "positions", &payloads[4000..]);
    let server = Server::start(&project, settings);
    server.wait_for_job("moves", "all payloads", |job| read(job) == 6000);
    // A row is read before it can be looked up.
    wait_for("all values", Duration::from_secs(30), || {
        (served(&server, &made) == expected(&made)).then_some(())
    });
    let (_, plugin) = server.get("/v1/plugins/tracker");
    let used = plugin["used_by"].as_array().unwrap();
    assert!(used.iter().any(|usage| usage["version"] == 2 && usage["rows"].as_u64() >= Some(1)), "{plugin}");
    let (status, refused) = server.delete("/v1/plugins/tracker");
    assert!(
        status == 409 && refused["detail"].as_str().unwrap().contains("job `moves` calls `decode`"),
        "{refused}"
    );
    let (_, letters) = server.get("/v1/deadletters/positions?limit=10000");
    let letters = letters["dead_letters"].as_array().unwrap();
    assert_eq!(letters.len(), made.bad);
    let reasons =
        ["has no checksum", "was sent without a fix", "has no sentence", "is a sentence", "has the checksum"];
    for letter in letters {
        let reason = letter["reason"].as_str().unwrap();
        assert!(reasons.iter().any(|known| reason.starts_with(known)), "{letter}");
    }
    assert!(server.terminate().success());
}

#[test]
fn the_laws_of_a_decoder_are_tried_on_payloads_of_its_author() {
    let project = Project::new();
    let good = |at: i64| sentence(7, at, 49, Some(1));
    project.file("payloads.txt", &format!("{}\n\n{}\nbus7 $GPRMC*00\n", good(1), good(2)));
    let check = |arguments: &[&str]| {
        let component = repository().join("plugins/dist/tracker.wasm");
        let output =
            Command::new(weir()).args(["plugin", "check"]).arg(component).args(arguments).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{said}");
        said
    };
    let payloads = project.path().join("payloads.txt");
    let said = check(&["--payloads", payloads.to_str().unwrap()]);
    for expected in [
        "decode payload -> (device string, at timestamp, lat double, lon double, knots double)",
        "note    rows: 1 of 3 payloads are refused, such as \"bus7 $GPRMC*00\"",
        "holds   payloads: payloads decoded together give what each gives alone",
        "holds   columns: ",
        "holds   memory: ",
    ] {
        assert!(said.contains(expected), "{said}");
    }
    assert!(check(&["--cases", "5"]).contains("give some of yours with --payloads FILE"));
}

#[test]
fn what_does_not_fit_is_said_before_anything_is_read() {
    let project = Project::new();
    project.file("in.txt", "");
    project.file("jobs/moves.yaml", &JOB.replace("SUM(knots)", "SUM(speed)"));
    let stream = |fields: &str, format: &str| {
        let text = format!("{fields}event_time: at\nformat: {format}\nsource: {{file: {{path: in.txt}}}}\n");
        project.file("streams/positions.yaml", &text);
    };
    let check = |reason: &str| {
        let checked = project.weir("check", &[]);
        let said = [checked.stdout, checked.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(said.contains(reason), "{said}");
    };
    let fields = "fields: {device: string, at: timestamp, lat: double, speed: double}\n";
    stream(fields, "{plugin: tracker}");
    check("waiting for a plugin that has `tracker`");
    let run = project.weir("run", &["--until-end"]);
    let said = String::from_utf8_lossy(&run.stderr).into_owned();
    assert!(
        !run.status.success()
            && said.contains("has the format of plugin `tracker`, and no active plugin of that name decodes"),
        "{said}"
    );
    with_plugin(&project);
    check("`fields.speed`: the plugin gives no column `speed`; known: device, at, lat, lon, knots");
    stream(&fields.replace("speed: double", "speed: {type: bigint, from: knots}"), "{plugin: tracker}");
    check("the plugin gives `knots` as double, and it is declared as bigint");
    stream(&fields.replace("speed: double", "speed: {type: double, from: knots}"), "{plugin: tracker}");
    assert!(project.weir("check", &[]).status.success());
    stream(&fields.replace("at: timestamp", "at: {type: timestamp, unit: s}"), "{plugin: tracker}");
    check("the plugin gives `at` as a timestamp, so that it is not written in any unit or pattern");
    let posted = format!("{fields}event_time: at\nformat: {{plugin: tracker}}\nsource: {{http: {{}}}}\n");
    project.file("streams/positions.yaml", &posted);
    check("its events are JSON, one a line; leave `format` out, or give it as json");
    for format in ["plugin", "{plugin: {}}", "{plugin: ''}", "{plugin: Tracker}"] {
        stream(fields, format);
        check("expected the name of a plugin that decodes, as {plugin: rides_proto}");
    }
}
