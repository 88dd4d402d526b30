//! `weir status`: the jobs of a running server.

use super::{print, print_json};
use crate::client::{Client, ServerArguments};
use crate::failure::Failure;
use crate::table;
use clap::Args;
use sonic_rs::{JsonContainerTrait, JsonValueTrait, Value};

/// The jobs of a running server: state, lag, watermark, late rows and those dropped of them, dead letters, warnings; exit
/// code 1 when one has failed
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  weir status\n  weir status --server http://10.0.0.5:8080 --json")]
pub(crate) struct StatusArguments {
    /// The server's answer as it is
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArguments,
}

pub(super) fn run(arguments: &StatusArguments) -> Result<(), Failure> {
    let answer = Client::new(&arguments.server)?.get("/v1/jobs")?;
    if arguments.json {
        print_json(&answer)?
    } else {
        print(&shown(&answer))?
    }
    Failure::all(failed(&answer))
}

/// A line for each job that has failed; scripts tell by the exit code.
fn failed(answer: &Value) -> Vec<Failure> {
    let jobs = answer["jobs"].as_array().map_or(&[][..], |list| &**list);
    let failed = jobs.iter().filter(|job| job["state"] == "failed");
    let told = failed.map(|job| {
        let name = job["job"].as_str().unwrap_or("?");
        let reason = job["reason"].as_str().unwrap_or("?");
        let next = match job["next_try"].as_str() {
            Some(next_try) => format!("; it is tried again at {next_try}"),
            None if reason.contains("weir restart") => String::new(),
            None => format!("; once that is put right, `weir restart {name}` starts it"),
        };
        Failure::user(format!("job {name} has failed: {reason}{next}"))
    });
    told.collect()
}

fn shown(answer: &Value) -> String {
    let jobs = answer["jobs"].as_array().map_or(&[][..], |list| &**list);
    let row = |job: &Value| {
        let member = |key: &str| job.get(key).map_or_else(|| "-".to_owned(), table::cell);
        let lag = job.get("lag_ms").and_then(JsonValueTrait::as_u64).map_or_else(|| "-".to_owned(), seconds);
        vec![
            member("job"),
            member("state"),
            lag,
            member("watermark"),
            member("events"),
            member("late"),
            member("dropped"),
            member("dead_letters"),
            job.get("reason").and_then(JsonValueTrait::as_str).map_or_else(String::new, shortened),
        ]
    };
    let warning = |job: &Value| {
        let warning = job.get("warning")?.as_str().filter(|_| job["state"] != "failed")?;
        Some(format!("job {} runs with a warning: {warning}", job["job"].as_str().unwrap_or("?")))
    };
    let rows: Vec<_> = jobs.iter().map(row).collect();
    let head = ["job", "state", "lag", "watermark", "events", "late", "dropped", "dead letters", "reason"];
    let table = table::render(&head, &rows);
    let reasons = jobs.iter().filter_map(reason).chain(jobs.iter().flat_map(sink_reasons));
    let below = jobs
        .iter()
        .filter_map(bootstrap)
        .chain(jobs.iter().flat_map(sinks_behind_past))
        .chain(reasons)
        .chain(jobs.iter().flat_map(older_versions))
        .chain(jobs.iter().filter_map(warning));
    std::iter::once(table).chain(sinks(jobs)).chain(below).collect::<Vec<_>>().join("\n")
}

/// Versions of plugins that a job runs with while others are active.
fn older_versions(job: &Value) -> Vec<String> {
    let older =
        job.get("older_versions").and_then(JsonContainerTrait::as_array).map_or(&[][..], |list| &**list);
    let name = table::cell(&job["job"]);
    let told = |older: &Value| Some(format!("job {name} {}", older["told"].as_str()?));
    let why = job.get("not_taken_over").and_then(JsonValueTrait::as_str);
    let why = why.map(|why| format!("the state of job {name} is not taken over by another version: {why}"));
    older.iter().filter_map(told).chain(why).collect()
}

/// How far a job is with the past of its streams, until it has that.
fn bootstrap(job: &Value) -> Option<String> {
    let name = table::cell(&job["job"]);
    let told = of_past(&format!("job {name} begins"), job.get("bootstrap"));
    let filling = job.get("filling").map(|filling| {
        let subject = format!("what features of job {name} lack is made beside it, and begins");
        let failed = filling.get("reason").and_then(JsonValueTrait::as_str);
        let told = if filling["state"] == "declined" {
            "was made beside it, and has not taken its place"
        } else {
            "is not made now"
        };
        let failed = failed.map(|reason| format!("what features of job {name} lack {told}: {reason}"));
        failed
            .or_else(|| of_past(&subject, filling.get("bootstrap")))
            .unwrap_or_else(|| format!("what features of job {name} lack is made beside it"))
    });
    match (told, filling) {
        (Some(told), Some(filling)) => Some(format!("{told}\n{filling}")),
        (told, filling) => told.or(filling),
    }
}

fn of_past(subject: &str, bootstrap: Option<&Value>) -> Option<String> {
    let bootstrap = bootstrap.filter(|bootstrap| !bootstrap.is_null() && bootstrap["state"] != "done")?;
    let number = |value: &Value| value.as_u64().unwrap_or_default();
    let rows = number(&bootstrap["archive"]["rows"]);
    if bootstrap["state"] == "looking" {
        return Some(format!("{subject} with the past: it looks for where the archive ends"));
    }
    if bootstrap["state"] == "log" {
        return Some(format!("{subject} with the past: {rows} rows of the archive are read, now the log"));
    }
    let bytes = [&bootstrap["bytes"], &bootstrap["left_bytes"]].map(JsonValueTrait::as_u64);
    let [Some(bytes @ 1..), Some(left)] = bytes else {
        return Some(format!("{subject} with the past: {rows} rows of the archive are read"));
    };
    let done = bytes.saturating_sub(left);
    let filled = (u128::from(done) * u128::from(BAR) / u128::from(bytes)) as usize;
    let bar: String = (0..BAR as usize).map(|at| if at < filled { '#' } else { '.' }).collect();
    let percent = u128::from(done) * 100 / u128::from(bytes);
    let left =
        bootstrap["seconds_left"].as_u64().map_or_else(String::new, |seconds| format!(", {seconds} s left"));
    Some(format!("{subject} with the past: [{bar}] {percent} % of {bytes} bytes, {rows} rows{left}"))
}

/// Characters of a bar.
const BAR: u32 = 30;

/// Why a job is not running, where its row had to cut it; one that failed is told on stderr.
fn reason(job: &Value) -> Option<String> {
    let reason = job.get("reason")?.as_str().filter(|_| job["state"] != "failed")?;
    let is_cut = reason.chars().count() > REASON_CHARS;
    is_cut.then(|| format!("job {} is {}: {reason}", table::cell(&job["job"]), table::cell(&job["state"])))
}

/// How many rows of the past each sink of a job has still to get.
fn sinks_behind_past(job: &Value) -> Vec<String> {
    let sinks = job.get("sink_counts").and_then(JsonContainerTrait::as_object).into_iter().flatten();
    let told = |(name, sink): (&str, &Value)| {
        let rows = sink.get("past_waiting_rows").and_then(JsonValueTrait::as_u64).filter(|rows| *rows > 0)?;
        let job = table::cell(&job["job"]);
        Some(format!("sink {name} of job {job}: {rows} rows of the past wait for it, later ones go before"))
    };
    sinks.filter_map(told).collect()
}

/// What is wrong with each sink of a job, and what it has missed.
fn sink_reasons(job: &Value) -> Vec<String> {
    let sinks = job.get("sink_counts").and_then(JsonContainerTrait::as_object).into_iter().flatten();
    let told = |(name, sink): (&str, &Value)| {
        let reason = sink.get("reason")?.as_str()?;
        let missed = sink.get("missed_rows").and_then(JsonValueTrait::as_u64).unwrap_or(0);
        let missed = if missed > 0 { format!("; it has missed {missed} rows") } else { String::new() };
        let (job, state) = (table::cell(&job["job"]), table::cell(&sink["state"]));
        Some(format!("sink {name} of job {job} is {state}: {reason}{missed}"))
    };
    sinks.filter_map(told).collect()
}

/// A table with a row for each sink; none where no job has any.
fn sinks(jobs: &[Value]) -> Option<String> {
    let head = [
        "job",
        "sink",
        "state",
        "rows",
        "bytes",
        "retries",
        "refused_rows",
        "stale_rows",
        "waiting_rows",
        "behind_seconds",
    ];
    let of_job = |job: &Value| {
        let sinks = job.get("sink_counts").and_then(JsonContainerTrait::as_object).into_iter().flatten();
        let row = |(name, sink): (&str, &Value)| {
            let figure = |key: &&str| sink.get(*key).map_or_else(|| "-".to_owned(), table::cell);
            let name = [table::cell(&job["job"]), name.to_owned()];
            name.into_iter().chain(head[2..].iter().map(figure)).collect::<Vec<_>>()
        };
        sinks.map(row).collect::<Vec<_>>()
    };
    let rows: Vec<_> = jobs.iter().flat_map(of_job).collect();
    let head = head.map(|name| name.split('_').next().unwrap_or(name));
    (!rows.is_empty()).then(|| table::render(&head, &rows))
}

/// The longest reason that a row shows, in characters: the whole one is told below the table.
const REASON_CHARS: usize = 60;

fn shortened(reason: &str) -> String {
    match reason.char_indices().nth(REASON_CHARS) {
        Some((end, _)) => format!("{}..", &reason[..end]),
        None => reason.to_owned(),
    }
}

fn seconds(millis: u64) -> String {
    format!("{:.1} s", millis as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sonic_rs::json;

    #[test]
    fn a_job_is_a_row_and_a_failed_one_says_why() {
        let answer = json!({"jobs": [
            {"job": "a", "state": "running", "lag_ms": 1500, "watermark": null, "events": 7, "late": 0,
             "dropped": 4, "dead_letters": 2, "warning": "3 of 4 rows were refused"},
            {"job": "b", "state": "failed", "reason": "topic missing", "warning": "3 of 4 rows were refused"},
        ]});
        let shown = shown(&answer);
        assert!(shown.contains("running  1.5 s") && shown.contains("topic missing"), "{shown}");
        let lines: Vec<&str> = shown.lines().collect();
        let words: Vec<&str> = lines[1].split_whitespace().collect();
        assert_eq!(words, ["a", "running", "1.5", "s", "-", "7", "0", "4", "2"], "{shown}");
        assert_eq!(lines[3..], ["job a runs with a warning: 3 of 4 rows were refused"]);
    }

    #[test]
    fn a_job_that_begins_with_the_past_has_a_bar_until_it_has_that() {
        let job = |bootstrap: Value| {
            shown(&json!({"jobs": [{"job": "a", "state": "running", "bootstrap": bootstrap}]}))
        };
        let archive = json!({"rows": 70, "refused": 0});
        let half = job(
            json!({"state": "archive", "archive": archive.clone(), "bytes": 200, "left_bytes": 100, "seconds_left": 9}),
        );
        let bar = format!("[{}{}] 50 % of 200 bytes, 70 rows, 9 s left", "#".repeat(15), ".".repeat(15));
        assert!(half.ends_with(&format!("job a begins with the past: {bar}")), "{half}");
        let unknown = job(json!({"state": "archive", "archive": archive.clone()}));
        assert!(unknown.ends_with("begins with the past: 70 rows of the archive are read"), "{unknown}");
        assert!(job(json!({"state": "log", "archive": archive.clone()})).ends_with("are read, now the log"));
        let looking = job(json!({"state": "looking", "archive": archive.clone()}));
        assert!(looking.ends_with("begins with the past: it looks for where the archive ends"), "{looking}");
        assert!(!job(json!({"state": "done", "archive": archive.clone()})).contains("the past"));
        let filled =
            |filling: Value| shown(&json!({"jobs": [{"job": "a", "state": "running", "filling": filling}]}));
        let log = filled(json!({"state": "running", "bootstrap": {"state": "log", "archive": archive}}));
        assert!(log.contains("of job a lack is made beside it, and begins with the past: 70 rows"), "{log}");
        let failed = filled(json!({"state": "failed", "reason": "no file", "bootstrap": null}));
        assert!(failed.ends_with("of job a lack is not made now: no file"), "{failed}");
        let declined = filled(json!({"state": "declined", "reason": "12 rows", "bootstrap": null}));
        assert!(
            declined.ends_with("lack was made beside it, and has not taken its place: 12 rows"),
            "{declined}"
        );
    }

    #[test]
    fn a_sink_is_a_row_below_the_jobs() {
        let sink = json!({"state": "retrying", "rows": 5, "bytes": 70, "retries": 3, "refused_rows": 2,
                          "stale_rows": 1, "waiting_rows": 9, "behind_seconds": 12});
        let shown =
            shown(&json!({"jobs": [{"job": "a", "state": "running", "sink_counts": {"redis": sink}}]}));
        let lines: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(lines[2][6..], ["refused", "stale", "waiting", "behind"], "{shown}");
        assert_eq!(lines[3], ["a", "redis", "retrying", "5", "70", "3", "2", "1", "9", "12"], "{shown}");
    }

    #[test]
    fn what_waits_of_the_past_for_a_sink_is_told() {
        let sinks = json!({"redis": {"state": "running", "past_waiting_rows": 7000},
                           "file": {"state": "running", "past_waiting_rows": 0}});
        let shown = shown(&json!({"jobs": [{"job": "a", "state": "running", "sink_counts": sinks}]}));
        let told = "sink redis of job a: 7000 rows of the past wait for it, later ones go before";
        assert!(shown.ends_with(told) && !shown.contains("sink file"), "{shown}");
    }

    #[test]
    fn what_is_wrong_with_each_sink_is_told_whole() {
        let long = "redis at 127.0.0.1:6379: the password is wrong, or none was given; correct `password` in the sink";
        let sinks = json!({"redis": {"state": "retrying", "reason": long, "missed_rows": 0},
                           "kafka": {"state": "suspended", "reason": "no room", "missed_rows": 15},
                           "file": {"state": "running"}});
        let job = json!({"job": "a", "state": "paused", "reason": long, "sink_counts": sinks});
        let shown = shown(&json!({"jobs": [job]}));
        let below: Vec<&str> = shown.lines().filter(|line| line.contains(" is ")).skip(1).collect();
        assert_eq!(below[0], format!("job a is paused: {long}"), "{shown}");
        assert!(below.contains(&format!("sink redis of job a is retrying: {long}").as_str()), "{shown}");
        assert!(
            below.contains(&"sink kafka of job a is suspended: no room; it has missed 15 rows"),
            "{shown}"
        );
    }

    #[test]
    fn a_failed_job_is_told_with_what_comes_next() {
        let answer = json!({"jobs": [
            {"job": "a", "state": "running"},
            {"job": "b", "state": "failed", "reason": "topic missing", "next_try": "2026-01-01T00:00:00.000Z"},
            {"job": "c", "state": "failed", "reason": "bad query"},
        ]});
        let failure = Failure::all(failed(&answer)).unwrap_err();
        assert_eq!(failure.exit_code(), 1);
        let told = failure.to_string();
        assert!(told.contains("b has failed: topic missing; it is tried again at 2026"), "{told}");
        assert!(told.contains("`weir restart c`"), "{told}");
        assert!(Failure::all(failed(&json!({"jobs": [{"job": "a", "state": "retrying"}]}))).is_ok());
    }
}
