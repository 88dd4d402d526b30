//! `weir lookup JOB key=value..`: one entity's features, asked of a running server.

use super::{not_yet, print, print_json};
use crate::client::{Client, ServerArguments, encode};
use crate::failure::Failure;
use crate::table;
use clap::Args;
use sonic_rs::{JsonContainerTrait, JsonValueTrait, Value};

/// One entity's features, over HTTP
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  weir lookup user_day user_id=u1\n  weir lookup user_spend user_id=u1 amount=12.5\n  weir lookup user_day user_id=u1 --as-of 2026-01-31T11:00:00Z"
)]
pub(crate) struct LookupArguments {
    /// The job
    job: String,
    /// The entity, such as user_id=u1, one for each column of the key; and fields of the request that the job declares
    #[arg(value_name = "KEY=VALUE")]
    entity: Vec<String>,
    /// As of this event time: RFC 3339, or milliseconds since the epoch
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
    #[arg(long, hide = true)]
    explain: bool,
    /// The server's answer as it is
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArguments,
}

pub(super) fn run(arguments: &LookupArguments) -> Result<(), Failure> {
    if arguments.explain {
        return Err(not_yet("weir lookup --explain"));
    }
    let path = path(&arguments.job, &arguments.entity, arguments.as_of.as_deref())?;
    let answer = Client::new(&arguments.server)?.get(&path)?;
    if arguments.json { print_json(&answer) } else { print(&shown(&answer)) }
}

/// The path of a lookup; every item of `entity` is `key=value`.
pub(super) fn path(job: &str, entity: &[String], as_of: Option<&str>) -> Result<String, Failure> {
    let mut parameters = Vec::new();
    for item in entity {
        let Some((key, value)) = item.split_once('=').filter(|(key, _)| !key.is_empty()) else {
            return Err(Failure::user(format!(
                "`{item}` names no entity; write KEY=VALUE, such as user_id=u1"
            )));
        };
        parameters.push(format!("{}={}", encode(key), encode(value)));
    }
    parameters.extend(as_of.map(|time| format!("as_of={}", encode(time))));
    let query = if parameters.is_empty() { String::new() } else { format!("?{}", parameters.join("&")) };
    Ok(format!("/v1/jobs/{}/values{query}", encode(job)))
}

/// An answer as a table, a row for each feature and for what of it is unfinished, and as of when it is.
fn shown(answer: &Value) -> String {
    let features = answer.get("features").and_then(JsonContainerTrait::as_object);
    let rows = features.into_iter().flatten().flat_map(|(name, feature)| {
        let current = feature.get("current").map(|current| row(format!("{name} (current)"), current));
        [Some(row(name.to_owned(), feature)), current].into_iter().flatten()
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let table = table::render(&["feature", "value", "status", "event time", "window"], &rows);
    let jobs = answer.get("jobs").and_then(JsonContainerTrait::as_object).into_iter().flatten();
    let notes: Vec<String> = jobs.map(|(_, meta)| freshness(meta)).collect();
    [table, notes.join("\n")].join("\n")
}

fn row(name: String, feature: &Value) -> Vec<String> {
    let member = |key: &str| feature.get(key).map_or_else(String::new, table::cell);
    vec![name, member("value"), status(feature), member("event_time"), window(feature)]
}

/// The status, with what there is to say of it.
pub(super) fn status(feature: &Value) -> String {
    let text = |key: &str| feature.get(key).and_then(JsonValueTrait::as_str);
    let unknown = feature.get("unknown").map(|_| "unknown entity".to_owned());
    let since = text("since").map(|since| format!("since {since}"));
    let notes = [text("reason").map(str::to_owned), since, unknown].into_iter().flatten();
    let notes = notes.collect::<Vec<_>>().join(", ");
    let status = text("status").unwrap_or_default();
    if notes.is_empty() { status.to_owned() } else { format!("{status} ({notes})") }
}

fn window(feature: &Value) -> String {
    let bound = |key: &str| feature.pointer(&["window", key]).map(table::cell);
    match (bound("start"), bound("end")) {
        (Some(start), Some(end)) => format!("[{start}, {end})"),
        _ => String::new(),
    }
}

/// As of when an answer of a job is, and how much the job has still to read.
pub(super) fn freshness(meta: &Value) -> String {
    let member = |key: &str| meta.get(key).map_or_else(|| "-".to_owned(), table::cell);
    let mut text = format!("as of {}, watermark {}", member("as_of"), member("watermark"));
    if let Some(behind) = meta.get("behind") {
        let left = ["records", "bytes"].iter().find_map(|unit| {
            behind
                .get(*unit)
                .and_then(JsonValueTrait::as_u64)
                .map(|number| format!(": {number} {unit} to read"))
        });
        text.push_str("; catching up");
        text.push_str(&left.unwrap_or_default());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::parsed;

    #[test]
    fn entities_and_times_are_encoded() {
        let entity = ["user_id=u 1".to_owned(), "day=a=b".to_owned()];
        assert_eq!(
            path("rides", &entity, Some("2026-01-01T00:00:00Z")).unwrap(),
            "/v1/jobs/rides/values?user_id=u%201&day=a%3Db&as_of=2026-01-01T00%3A00%3A00Z"
        );
        assert_eq!(path("rides", &[], None).unwrap(), "/v1/jobs/rides/values");
        assert_eq!(path("rides", &["u1".to_owned()], None).unwrap_err().exit_code(), 1);
    }

    #[test]
    fn an_answer_is_a_row_per_feature() {
        let answer = r#"{"features": {
            "n": {"value": 3.00, "status": "ok", "event_time": "t", "window": {"start": "a", "end": "b"},
                  "current": {"value": 1, "status": "ok"}},
            "s": {"value": null, "status": "not_found", "unknown": true}
        }, "jobs": {"j": {"as_of": "T", "watermark": null, "behind": {"records": 7, "seconds": 1}}}}"#;
        let answer = parsed(answer).unwrap();
        let shown = shown(&answer);
        let cells: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(cells[1], ["n", "3.00", "ok", "t", "[a,", "b)"]);
        assert_eq!(cells[2], ["n", "(current)", "1", "ok"]);
        assert_eq!(cells[3], ["s", "-", "not_found", "(unknown", "entity)"]);
        assert!(shown.ends_with("\nas of T, watermark -; catching up: 7 records to read"), "{shown}");
    }
}
