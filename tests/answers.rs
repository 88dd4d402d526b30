//! What a lookup says: as of when, whether a window is complete, whether anything is known, and what stands in the
//! way of an answer.

use crate::harness::{Project, Server, wait_for, weir};
use serde_json::{Value, json};
use std::process::Command;
use std::time::Duration;
use weir_engine::SystemClock;
use weir_event::{Clock, EventTime, Span};

fn minutes(minutes: i64) -> Span {
    Span::from_millis(minutes * 60_000)
}

/// A full hour, a week ago.
fn a_week_ago() -> EventTime {
    (SystemClock::new().now() - minutes(7 * 24 * 60)).floor_to(minutes(60), Span::ZERO)
}

fn stream(project: &Project, source: &str) {
    let stream = format!(
        "stream: events\nfields: {{k: string, t: timestamp}}\nevent_time: t\ndisorder: 0s\nsource: {source}\n"
    );
    project.file("streams/events.yaml", &stream);
}

fn job(project: &Project, name: &str, query: &str, more: &str) {
    project.file(&format!("jobs/{name}.yaml"), &format!("query: |\n  {query}\n{more}"));
}

/// Events of `u` at some minutes behind `start`, then one of `v` in minute 90.
fn week_old_jobs(start: EventTime) -> Project {
    let project = Project::new();
    let line =
        |k: &str, minute: i64| format!("{}\n", json!({"k": k, "t": (start + minutes(minute)).millis()}));
    let lines: String = [0, 5, 20, 50, 62].map(|minute| line("u", minute)).concat();
    project.file("data/events.jsonl", &(lines + &line("v", 90)));
    stream(&project, "{file: {path: data/events.jsonl}}");
    let grouped = |window: &str| format!("SELECT k, COUNT(*) AS n FROM events GROUP BY k, {window}");
    let history = "history: 4d\n";
    job(&project, "tumble", &grouped("TUMBLE(rowtime, INTERVAL '10' MINUTE)"), history);
    job(&project, "hop", &grouped("HOP(rowtime, INTERVAL '10' MINUTE, INTERVAL '1' HOUR)"), history);
    job(&project, "session", &grouped("SESSION(rowtime, INTERVAL '15' MINUTE)"), history);
    let sliding = "SELECT k, COUNT(*) OVER (PARTITION BY k ORDER BY rowtime RANGE INTERVAL '1' HOUR PRECEDING) AS n \
                   FROM events";
    job(&project, "sliding", sliding, history);
    project
}

/// What a job says of a key: the value, its status and window (in minutes behind `start`), and `as_of`.
#[derive(Debug, PartialEq)]
struct Said {
    value: Value,
    status: String,
    window: Option<(i64, i64, bool)>,
    as_of: EventTime,
}

fn time(value: &Value) -> EventTime {
    value.as_str().expect("a time is text").parse().expect("a time is RFC 3339")
}

fn ask(server: &Server, job: &str, key: &str, as_of: Option<EventTime>, start: EventTime) -> Said {
    let as_of = as_of.map_or_else(String::new, |time| format!("&as_of={time}"));
    let (status, answer) = server.get(&format!("/v1/jobs/{job}/values?k={key}{as_of}"));
    assert_eq!(status, 200, "{answer}");
    let feature = &answer["features"]["n"];
    let minute = |bound: &Value| time(bound).since(start).millis().div_euclid(60_000);
    let window = &feature["window"];
    let window = (!window.is_null())
        .then(|| (minute(&window["start"]), minute(&window["end"]), window["complete"] == json!(true)));
    Said {
        value: feature["value"].clone(),
        status: feature["status"].as_str().unwrap_or_default().to_owned(),
        window,
        as_of: time(&answer["jobs"][job]["as_of"]),
    }
}

#[track_caller]
fn assert_says(
    server: &Server,
    start: EventTime,
    (job, key): (&str, &str),
    value: i64,
    window: (i64, i64, bool),
) {
    let said = ask(server, job, key, None, start);
    assert_eq!((&said.value, said.status.as_str()), (&json!(value), "ok"), "{job} of {key}: {said:?}");
    assert_eq!(said.window, Some(window), "{job} of {key}: {said:?}");
    let newest = start + minutes(90);
    assert!((newest..newest + minutes(1)).contains(&said.as_of), "{job}: {said:?}");
}

fn every_form_agrees(server: &Server, start: EventTime) {
    assert_says(server, start, ("sliding", "u"), 2, (30, 90, false));
    assert_says(server, start, ("hop", "u"), 2, (30, 90, true));
    assert_says(server, start, ("session", "u"), 2, (50, 77, true));
    // The watermark has not passed its end.
    assert_says(server, start, ("session", "v"), 1, (90, 105, false));
    let said = ask(server, "tumble", "u", None, start);
    assert_eq!((said.status.as_str(), said.window), ("not_found", Some((80, 90, true))));

    // Rows at the time asked for count, and a window that ends a millisecond later is complete.
    let moment = Span::from_millis(1);
    let at = |job: &str, time: EventTime| {
        let said = ask(server, job, "u", Some(time), start);
        assert_eq!(said.as_of, time);
        (said.value.as_i64(), said.window)
    };
    let minute = |minute: i64| start + minutes(minute);
    assert_eq!(at("sliding", minute(62)).0, Some(4));
    assert_eq!(at("sliding", minute(62) - moment).0, Some(3));
    assert_eq!(at("tumble", minute(10) - moment), (Some(2), Some((0, 10, true))));
    assert_eq!(at("tumble", minute(10) - moment - moment).1, Some((-10, 0, true)));
    assert_eq!(at("hop", minute(10) - moment), (Some(2), Some((-50, 10, true))));
    assert_eq!(at("session", minute(10)), (Some(2), Some((0, 20, false))));
    assert_eq!(at("session", minute(35)), (Some(3), Some((0, 35, true))));
    assert_eq!(at("session", minute(35) - moment), (Some(3), Some((0, 35, false))));
    // A row at the watermark may still come, one before it not.
    assert_eq!(at("sliding", minute(90)).1, Some((30, 90, false)));
    assert_eq!(at("sliding", minute(90) - moment).1, Some((29, 89, true)));
    // What is unfinished is shown of the job's own time alone.
    let has_current = |as_of: &str| {
        let (_, answer) = server.get(&format!("/v1/jobs/tumble/values?k=u{as_of}"));
        answer["features"]["n"]["current"].is_object()
    };
    assert_eq!((has_current(""), has_current(&format!("&as_of={}", minute(90)))), (true, false));
    // Later than anything that was read: the rows have left the window.
    assert_eq!(at("sliding", minute(200)).0, Some(0));
}

#[test]
fn a_file_of_last_week_is_looked_up_at_its_own_time_in_every_form_also_after_a_kill() {
    let start = a_week_ago();
    let project = week_old_jobs(start);
    let settings = "shards: 2\ncheckpoint: {every: 100ms}\n";
    let server = Server::start(&project, settings);
    server.wait_ready();
    every_form_agrees(&server, start);
    // A checkpoint has what was read by now.
    wait_for("a checkpoint", Duration::from_secs(30), || {
        let (_, job) = server.get("/v1/jobs/sliding");
        (job["last_checkpoint"]["number"].as_u64()? > 3).then_some(())
    });
    let before = ask(&server, "sliding", "u", None, start).as_of;
    server.kill();
    let server = Server::start(&project, "shards: 3\ncheckpoint: {every: 100ms}\n");
    server.wait_ready();
    every_form_agrees(&server, start);
    assert!(ask(&server, "sliding", "u", None, start).as_of >= before);
}

#[test]
fn a_job_with_most_of_its_backlog_unread_is_catching_up() {
    let project = Project::new();
    let generator = "{generator: {kind: rides, rate: 5000, start: 2020-01-01T00:00:00Z}}";
    project.file(
        "streams/rides.yaml",
        &format!(
            "stream: rides\nfields: {{user_id: string, event_time: timestamp}}\nevent_time: event_time\nsource: \
             {generator}\n"
        ),
    );
    let query = "SELECT user_id, COUNT(*) OVER (PARTITION BY user_id ORDER BY rowtime RANGE INTERVAL '1' HOUR \
                 PRECEDING) AS n FROM rides";
    job(&project, "recent", query, "");
    job(&project, "strict", query, "stale_after: 10m\n");
    job(&project, "patient", query, "stale_after: 36500d\n");
    let server = Server::start(&project, "");
    let answer = wait_for("the backlog to be known", Duration::from_secs(30), || {
        let (status, answer) = server.get("/v1/jobs/recent/values?user_id=u1");
        let meta = &answer["jobs"]["recent"];
        let is_known = meta["behind"]["records"].is_u64() && meta["as_of"].is_string();
        (status == 200 && is_known).then_some(answer)
    });
    assert_eq!(answer["features"]["n"]["status"], "catching_up", "{answer}");
    let meta = &answer["jobs"]["recent"];
    assert!(meta["behind"]["records"].as_u64() > Some(1_000_000), "{meta}");
    assert!(time(&meta["as_of"]) < SystemClock::new().now() - minutes(60), "{meta}");
    for (job, status) in [("strict", "stale"), ("patient", "catching_up")] {
        let said = wait_for("an event to be read", Duration::from_secs(30), || {
            let (_, answer) = server.get(&format!("/v1/jobs/{job}/values?user_id=u1"));
            answer["jobs"][job]["as_of"].is_string().then(|| answer["features"]["n"]["status"].clone())
        });
        assert_eq!(said, status, "{job}");
    }
    assert_eq!(server.get("/readyz").0, 503);
    let (_, status) = server.get("/v1/jobs/recent");
    assert!(status["behind"]["records"].as_u64() > Some(1_000_000), "{status}");
}

#[test]
fn each_feature_of_several_frames_says_what_is_in_its_own() {
    let project = Project::new();
    stream(&project, "{http: {}}");
    let over = |frame: &str| format!("OVER (PARTITION BY k ORDER BY rowtime {frame})");
    let query = format!(
        "SELECT k, COUNT(*) {hour} AS hour, COUNT(*) {week} AS week, COUNT(*) {before} AS before, \
         COUNT(*) {rows} AS of_rows, COUNT(*) {hour} - COUNT(*) {week} AS both FROM events",
        hour = over("RANGE INTERVAL '1' HOUR PRECEDING"),
        week = over("RANGE INTERVAL '7' DAY PRECEDING"),
        before = over("RANGE BETWEEN INTERVAL '4' HOUR PRECEDING AND INTERVAL '3' HOUR PRECEDING"),
        rows = over("ROWS 2 PRECEDING"),
    );
    job(&project, "several", &query, "history: 1d\nfeatures: {hour: {type: bigint, default: -1}}\n");
    let server = Server::start(&project, "");
    server.wait_ready();
    let now = SystemClock::new().now();
    let rows = json!([{"k": "u", "t": (now - minutes(120)).millis()}, {"k": "v", "t": now.millis()}]);
    server.post("/v1/streams/events/events?wait=visible", rows.to_string());
    let as_of = now.millis();
    let (_, answer) = server.get(&format!("/v1/jobs/several/values?k=u&as_of={as_of}"));
    let said = |name: &str| {
        let feature = &answer["features"][name];
        (
            feature["status"].as_str().expect("a status"),
            feature["value"].clone(),
            !feature["event_time"].is_null(),
        )
    };
    assert_eq!(said("hour"), ("default", json!(-1), false), "{answer}");
    assert_eq!(said("week"), ("ok", json!(1), true), "{answer}");
    assert_eq!(said("before"), ("not_found", json!(0), false), "{answer}");
    assert_eq!(said("of_rows"), ("ok", json!(1), true), "{answer}");
    assert_eq!(said("both"), ("ok", json!(-1), true), "{answer}");
    let window = |name: &str, bound: &str| time(&answer["features"][name]["window"][bound]);
    assert_eq!((window("hour", "start"), window("hour", "end")), (now - minutes(60), now));
    assert_eq!(window("week", "start"), now - minutes(7 * 24 * 60));
    assert_eq!(
        (window("before", "start"), window("before", "end")),
        (now - minutes(240), now - minutes(180))
    );
    assert!(answer["features"]["of_rows"]["window"].is_null(), "{answer}");
    assert!(answer["features"]["both"]["window"].is_null(), "{answer}");
}

#[test]
fn who_was_never_seen_is_told_from_who_has_no_row_in_the_window() {
    let project = Project::new();
    stream(&project, "{http: {}}");
    let query = "SELECT k, COUNT(*) OVER (PARTITION BY k ORDER BY rowtime RANGE INTERVAL '1' MINUTE PRECEDING) AS n \
                 FROM events";
    job(&project, "recent", query, "history: 1d\nfeatures: {n: {type: bigint, default: 7}}\n");
    job(&project, "plain", query, "history: 1d\n");
    let server = Server::start(&project, "");
    server.wait_ready();
    let now = SystemClock::new().now();
    let rows = json!([{"k": "u", "t": (now - minutes(20)).millis()}, {"k": "v", "t": now.millis()}]);
    server.post("/v1/streams/events/events?wait=visible", rows.to_string());
    for (job, status, value) in [("recent", "default", 7), ("plain", "not_found", 0)] {
        for (key, is_unknown) in [("u", false), ("nobody", true)] {
            let (_, answer) = server.get(&format!("/v1/jobs/{job}/values?k={key}"));
            let feature = &answer["features"]["n"];
            assert_eq!((&feature["status"], &feature["value"]), (&json!(status), &json!(value)), "{answer}");
            assert_eq!(feature["unknown"] == json!(true), is_unknown, "{answer}");
        }
    }
    let sample = Command::new(weir()).args(["sample", "plain", "--server", server.url()]).output();
    let sample = String::from_utf8(sample.expect("weir starts").stdout).expect("text");
    let mut rows: Vec<&str> = sample.lines().skip(1).take(2).map(str::trim_end).collect();
    rows.sort_unstable();
    assert_eq!(rows, ["u  0 [not_found]", "v  1"], "{sample}");
}

#[test]
fn a_decimal_is_shown_with_all_its_digits() {
    let project = Project::new();
    project.file(
        "streams/events.yaml",
        "stream: events\nfields: {k: string, amount: 'decimal(28, 2)', t: timestamp}\nevent_time: t\n\
         source: {http: {}}\n",
    );
    let query = "SELECT k, SUM(amount) OVER (PARTITION BY k ORDER BY rowtime RANGE INTERVAL '1' DAY PRECEDING) AS total \
                 FROM events";
    job(&project, "totals", query, "history: 1d\n");
    let server = Server::start(&project, "");
    server.wait_ready();
    let now = SystemClock::new().now().millis();
    let row = |amount: &str| format!("{{\"k\": \"u\", \"amount\": {amount}, \"t\": {now}}}\n");
    let rows = row("12345678901234567890123.10") + &row("0.90");
    server.post("/v1/streams/events/events?wait=visible", rows);
    let total = "12345678901234567890124.00";
    let asked: [&[&str]; 4] = [
        &["lookup", "totals", "k=u"],
        &["lookup", "totals", "k=u", "--json"],
        &["sample", "totals"],
        &["sample", "totals", "--json"],
    ];
    for asked in asked {
        let output = Command::new(weir()).args(asked).args(["--server", server.url()]).output();
        let said = String::from_utf8(output.expect("weir starts").stdout).expect("text");
        assert!(said.contains(total), "{asked:?}: {said}");
    }
}

#[test]
fn a_failed_job_says_why_and_others_answer() {
    let project = Project::new();
    stream(&project, "{http: {}}");
    let query = |stream: &str| {
        format!("SELECT k, COUNT(*) AS n FROM {stream} GROUP BY k, TUMBLE(rowtime, INTERVAL '1' MINUTE)")
    };
    job(&project, "sound", &query("events"), "");
    project.file(
        "streams/lost.yaml",
        "stream: lost\nfields: {k: string, t: timestamp}\nevent_time: t\nsource: {file: {path: nowhere.jsonl}}\n",
    );
    job(&project, "broken", &query("lost"), "");
    job(&project, "unsound", "SELECT nothing FROM events GROUP BY TUMBLE(rowtime, INTERVAL '1' MINUTE)", "");
    let server = Server::start(&project, "");
    let reason = |problem: &Value| problem["detail"].as_str().unwrap_or_default().to_owned();
    // Before that its state is being read, which is 503 too.
    let (status, problem) = wait_for("the job to fail", Duration::from_secs(30), || {
        let answer = server.get("/v1/jobs/broken/values?k=u");
        Some(answer).filter(|(_, problem)| reason(problem).contains("`broken` has failed"))
    });
    assert_eq!(status, 503, "{problem}");
    assert!(reason(&problem).contains("nowhere.jsonl"), "{problem}");
    let asks = |features: &[&str]| {
        server.post("/v1/lookup", json!({"features": features, "entities": [{"k": "u"}]}).to_string())
    };
    let (status, problem) = asks(&["broken:n"]);
    assert_eq!(status, 503, "{problem}");
    assert!(reason(&problem).contains("nowhere.jsonl"), "{problem}");
    let (status, problem) = server.get("/v1/jobs/unsound/values?k=u");
    assert!(status == 503 && reason(&problem).contains("`unsound` has failed"), "{problem}");
    assert!(reason(&problem).contains("nothing"), "{problem}");
    assert_eq!(asks(&["unsound", "broken"]).0, 503);
    server.wait_for_job("sound", "the sound one to have caught up", |status| status["ready"] == true);
    let (status, answer) = asks(&["sound", "broken", "unsound:n"]);
    assert_eq!(status, 200, "{answer}");
    let features = &answer["rows"][0]["features"];
    assert_eq!(features["sound:n"]["status"], "not_found");
    assert_eq!(
        (&features["broken:n"]["status"], &features["broken:n"]["value"]),
        (&json!("error"), &Value::Null)
    );
    assert!(
        features["broken:n"]["reason"].as_str().is_some_and(|text| text.contains("nowhere.jsonl")),
        "{answer}"
    );
    assert_eq!(features["unsound:n"]["status"], "error", "{answer}");
}
