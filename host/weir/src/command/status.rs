//! `weir status`: the jobs of a running server.

use super::{print, print_json};
use crate::client::{Client, ServerArguments};
use crate::failure::Failure;
use crate::table;
use clap::Args;
use serde_json::Value;

/// The jobs of a running server: state, lag, watermark, dead letters
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  weir status\n  weir status --server http://10.0.0.5:8080 --json")]
pub(crate) struct Arguments {
    /// The server's answer as it is
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let answer = Client::new(&arguments.server)?.get("/v1/jobs")?;
    if arguments.json { print_json(&answer) } else { print(&shown(&answer)) }
}

fn shown(answer: &Value) -> String {
    let jobs = answer["jobs"].as_array().map(Vec::as_slice).unwrap_or_default();
    let row = |job: &Value| {
        let member = |key: &str| match job.get(key) {
            None | Some(Value::Null) => "-".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let lag = job.get("lag_ms").and_then(Value::as_u64).map_or_else(|| "-".to_owned(), seconds);
        vec![
            member("job"),
            member("state"),
            lag,
            member("watermark"),
            member("events"),
            member("late"),
            member("dead_letters"),
            job.get("reason").and_then(Value::as_str).unwrap_or_default().to_owned(),
        ]
    };
    let rows: Vec<_> = jobs.iter().map(row).collect();
    let head = ["job", "state", "lag", "watermark", "events", "late", "dead letters", "reason"];
    table::render(&head, &rows)
}

fn seconds(millis: u64) -> String {
    format!("{:.1} s", millis as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_job_is_a_row_and_a_failed_one_says_why() {
        let answer = json!({"jobs": [
            {"job": "a", "state": "running", "lag_ms": 1500, "watermark": null, "events": 7, "late": 0,
             "dead_letters": 2},
            {"job": "b", "state": "failed", "reason": "topic missing"},
        ]});
        let shown = shown(&answer);
        assert!(shown.contains("running  1.5 s") && shown.contains("topic missing"), "{shown}");
        assert_eq!(shown.lines().count(), 3);
    }
}
