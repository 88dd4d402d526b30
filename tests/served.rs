//! A server's values over a file of weeks, as newest and at times inside the reach, before and after SIGTERM and
//! kill -9: each is what the events of the window say.

use crate::harness::{Project, Server, wait_for};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use weir_event::{EventTime, Span};

const SECOND: i64 = 1000;
const HOUR: i64 = 3600 * SECOND;
const DAY: i64 = 24 * HOUR;
const START: i64 = 1_767_225_600_000;
const DISORDER: i64 = 600 * SECOND;
const KEYS: u64 = 6;

/// Name, length and slide of its windows, and the rest of its definition.
const JOBS: [(&str, i64, i64, &str); 9] = [
    ("t6h", 6 * HOUR, 6 * HOUR, ""),
    ("t1d", DAY, DAY, ""),
    ("t1d_drop", DAY, DAY, "late: {policy: drop}\n"),
    ("t1d_far", DAY, DAY, "history: 4d\n"),
    ("t7d", 7 * DAY, 7 * DAY, ""),
    ("h2h", 2 * HOUR, HOUR / 6, ""),
    ("h2h_drop", 2 * HOUR, HOUR / 6, "late: {policy: drop}\nhistory: 4h\n"),
    ("h1d_far", DAY, 6 * HOUR, "history: 4d\n"),
    ("h20d", 20 * DAY, 5 * DAY, "late: {policy: divert}\n"),
];

/// A sequence that is always the same.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: i64) -> i64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % bound.max(1) as u64) as i64
    }
}

struct Event {
    key: u64,
    time: i64,
    amount: i64,
}

/// Six weeks; one event in thirty comes up to four hours late.
fn events() -> Vec<Event> {
    let mut numbers = Numbers(7);
    let (count, span) = (4000, 42 * DAY + 17 * HOUR + 23 * 60 * SECOND);
    let event = |at: i64| {
        let disorder = numbers.below(DISORDER) - DISORDER / 2;
        let late = if numbers.below(30) == 0 { numbers.below(4 * HOUR) } else { 0 };
        let time = START + span * at / count + disorder - late;
        Event { key: numbers.below(KEYS as i64) as u64, time, amount: numbers.below(100) }
    };
    (0..count).map(event).collect()
}

/// What a job must know of each key and window: how many events, and their sum.
struct Truth {
    values: BTreeMap<(u64, i64), (i64, i64)>,
    watermark: i64,
    history: i64,
}

impl Truth {
    fn of(size: i64, slide: i64, definition: &str, events: &[Event]) -> Truth {
        let corrects = !definition.contains("policy");
        let history = definition
            .split_once("history: ")
            .map_or(HOUR, |(_, text)| text.trim_end().parse::<Span>().expect("a duration").millis());
        let (mut values, mut watermark) = (BTreeMap::new(), i64::MIN);
        for event in events {
            let newest = event.time.div_euclid(slide) * slide;
            let allowed = if corrects { HOUR } else { 0 };
            let is_too_late = watermark > i64::MIN && newest + size <= watermark - allowed;
            let starts =
                (0..).map(|back| newest - back * slide).take_while(|start| start + size > event.time);
            for start in starts.filter(|_| !is_too_late) {
                let sealed = watermark.saturating_sub(allowed);
                if start + size > sealed {
                    let value: &mut (i64, i64) = values.entry((event.key, start)).or_default();
                    *value = (value.0 + 1, value.1 + event.amount);
                }
            }
            watermark = watermark.max(event.time - DISORDER);
        }
        Truth { values, watermark, history: history.max(HOUR) }
    }
}

fn interval(millis: i64) -> String {
    let units = [(DAY, "DAY"), (HOUR, "HOUR"), (60 * SECOND, "MINUTE")];
    let (unit, name) = units.into_iter().find(|(unit, _)| millis % unit == 0).expect("whole minutes");
    format!("INTERVAL '{}' {name}", millis / unit)
}

fn project(events: &[Event]) -> Project {
    let project = Project::new();
    project.file(
        "streams/payments.yaml",
        "stream: payments\nfields: {user: string, amount: bigint, t: timestamp}\nevent_time: t\ndisorder: 10m\n\
         when_idle: hold\nsource: {file: {path: data/in.jsonl}}\n",
    );
    let line = |event: &Event| {
        json!({"user": format!("u{}", event.key), "amount": event.amount, "t": event.time}).to_string() + "\n"
    };
    project.file("data/in.jsonl", &events.iter().map(line).collect::<String>());
    for (name, size, slide, definition) in JOBS {
        let window = match size == slide {
            true => format!("TUMBLE(t, {})", interval(size)),
            false => format!("HOP(t, {}, {})", interval(slide), interval(size)),
        };
        project.file(
            &format!("jobs/{name}.yaml"),
            &format!(
                "job: {name}\n{definition}query: |\n  SELECT user, COUNT(*) AS n, SUM(amount) AS total FROM payments \
                 GROUP BY user, {window}\n"
            ),
        );
    }
    project
}

/// Asks for every key at a time; `None` is as new as can be.
fn check(server: &Server, (name, size, slide): (&str, i64, i64), truth: &Truth, as_of: Option<i64>) {
    let entities: Vec<Value> = (0..KEYS).map(|key| json!({"user": format!("u{key}")})).collect();
    let mut request = json!({"features": [name], "entities": entities});
    if let Some(as_of) = as_of {
        request["as_of"] = json!(as_of);
    }
    let (status, answer) = server.post("/v1/lookup", request.to_string());
    assert_eq!(status, 200, "{name} at {as_of:?}: {answer}");
    let complete_by = as_of.map_or(truth.watermark, |as_of| truth.watermark.min(as_of + 1));
    let start = (complete_by - size).div_euclid(slide) * slide;
    for key in 0..KEYS {
        let features = &answer["rows"][key as usize]["features"];
        let [count, total] = ["n", "total"].map(|feature| &features[&format!("{name}:{feature}")]);
        let window = [start, start + size].map(|time| json!(EventTime::from_millis(time).to_string()));
        let found = [&count["window"]["start"], &count["window"]["end"]];
        assert_eq!(found, [&window[0], &window[1]], "{name} u{key} at {as_of:?}");
        let (n, sum) = truth.values.get(&(key, start)).map_or((0, None), |(n, sum)| (*n, Some(*sum)));
        let expected = (&json!(n), &json!(sum));
        assert_eq!((&count["value"], &total["value"]), expected, "{name} u{key} at {as_of:?}: {features}");
    }
}

fn check_all(server: &Server, truths: &[Truth]) {
    let mut numbers = Numbers(9);
    for ((name, size, slide, _), truth) in JOBS.iter().zip(truths) {
        let oldest = truth.watermark - truth.history;
        let mut times = vec![None, Some(oldest), Some(truth.watermark), Some(truth.watermark + HOUR)];
        let end = truth.watermark.div_euclid(*slide) * slide;
        times.extend([end - 2, end - 1, end].into_iter().filter(|time| *time >= oldest).map(Some));
        times.extend((0..6).map(|_| Some(oldest + numbers.below(truth.history))));
        for as_of in times {
            check(server, (name, *size, *slide), truth, as_of);
        }
        let (status, refused) = server.get(&format!("/v1/jobs/{name}/values?user=u1&as_of={}", oldest - 1));
        assert_eq!(status, 400, "{name}: {refused}");
    }
}

fn wait_for_truth(server: &Server, truths: &[Truth]) {
    server.wait_ready();
    for ((name, ..), truth) in JOBS.iter().zip(truths) {
        wait_for("the watermark", std::time::Duration::from_secs(30), || {
            let (_, job) = server.get(&format!("/v1/jobs/{name}"));
            let expected = EventTime::from_millis(truth.watermark).to_string();
            (job["watermark"] == json!(expected)).then_some(())
        });
    }
}

#[test]
fn values_are_true_before_and_after_every_kind_of_stop() {
    let events = events();
    let truths: Vec<Truth> = JOBS
        .iter()
        .map(|(_, size, slide, definition)| Truth::of(*size, *slide, definition, &events))
        .collect();
    let project = project(&events);
    let settings = "shards: 2\ncheckpoint: {every: 1s}\n";
    let server = Server::start(&project, settings);
    wait_for_truth(&server, &truths);
    check_all(&server, &truths);
    assert!(server.terminate().success());
    let server = Server::start(&project, "shards: 3\ncheckpoint: {every: 1s}\n");
    wait_for_truth(&server, &truths);
    check_all(&server, &truths);
    server.kill();
    let server = Server::start(&project, settings);
    wait_for_truth(&server, &truths);
    check_all(&server, &truths);
}

#[test]
fn a_longer_history_reaches_back_only_as_far_as_state_was_kept() {
    let events = events();
    let project = project(&events);
    let definition = std::fs::read_to_string(project.path().join("jobs/t1d.yaml")).expect("a job");
    let truth = Truth::of(DAY, DAY, "", &events);
    let server = Server::start(&project, "");
    wait_for_truth(
        &server,
        &JOBS.map(|(_, size, slide, definition)| Truth::of(size, slide, definition, &events)),
    );
    assert!(server.terminate().success());
    project.file("jobs/t1d.yaml", &format!("history: 30d\n{definition}"));
    let server = Server::start(&project, "");
    server.wait_ready();
    check(&server, ("t1d", DAY, DAY), &truth, Some(truth.watermark - HOUR));
    let (status, refused) =
        server.get(&format!("/v1/jobs/t1d/values?user=u1&as_of={}", truth.watermark - 3 * DAY));
    let detail = refused["detail"].as_str().unwrap_or_default();
    assert!(status == 400 && detail.contains("reaches back to"), "{status}: {refused}");
}
