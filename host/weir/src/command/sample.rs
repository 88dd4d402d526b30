//! `weir sample JOB`: some of a job's keys with their values, asked of a running server.

use super::lookup::{freshness, status};
use super::{print, print_json};
use crate::client::{Client, ServerArguments, encode};
use crate::failure::Failure;
use crate::table;
use clap::Args;
use serde::Serialize;
use sonic_rs::{JsonContainerTrait, JsonValueMutTrait, JsonValueTrait, Value, json};

/// Some of a job's keys with their values
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  weir sample user_day\n  weir sample user_day -n 100 --json")]
pub(crate) struct SampleArguments {
    /// The job
    job: String,
    /// So many keys
    #[arg(short = 'n', value_name = "KEYS", default_value_t = 20, allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    keys: u32,
    /// The server's answer as it is
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArguments,
}

/// The answers to several lookups as one.
#[derive(Debug, Default, Serialize)]
struct Sample {
    rows: Vec<Value>,
    jobs: Value,
}

/// So many keys the server gives at once.
const PAGE_KEYS: usize = 10_000;
/// So many entities are asked for at once: their text stays well within a body.
const LOOKUP_ENTITIES: usize = 1_000;

pub(super) fn run(arguments: &SampleArguments) -> Result<(), Failure> {
    let client = Client::new(&arguments.server)?;
    let keys = keys(&client, &arguments.job, arguments.keys as usize)?;
    let features = features(&arguments.job, &client.get(&format!("/v1/jobs/{}", encode(&arguments.job)))?);
    let mut sample = Sample::default();
    for entities in keys.chunks(LOOKUP_ENTITIES) {
        let asks = json!({"features": features, "entities": entities}).to_string();
        let mut part = client.post("/v1/lookup", "application/json", asks.as_bytes())?;
        sample.rows.extend(part["rows"].take().into_array().into_iter().flatten());
        sample.jobs = part["jobs"].take();
    }
    if arguments.json { print_json(&sample) } else { print(&shown(&arguments.job, &sample)) }
}

/// What can be asked of a job without a request of one's own: all of it, where no feature is derived of fields of one.
fn features(job: &str, described: &Value) -> Vec<String> {
    let needs_request =
        |feature: &&Value| feature["request"].as_array().is_some_and(|fields| !fields.is_empty());
    let all = || described["features"].as_array().into_iter().flatten();
    let alone =
        all().filter(|feature| !needs_request(feature)).filter_map(|feature| feature["name"].as_str());
    let alone: Vec<String> = alone.map(|name| format!("{job}:{name}")).collect();
    if alone.is_empty() || alone.len() == all().count() { vec![job.to_owned()] } else { alone }
}

/// Up to so many of the job's keys.
fn keys(client: &Client, job: &str, wanted: usize) -> Result<Vec<Value>, Failure> {
    let mut keys = Vec::new();
    let mut after = String::new();
    while keys.len() < wanted {
        let limit = (wanted - keys.len()).min(PAGE_KEYS);
        let mut page = client.get(&format!("/v1/jobs/{}/keys?limit={limit}{after}", encode(job)))?;
        if let Some(more) = page["keys"].as_array_mut() {
            keys.extend(std::mem::take(more));
        }
        let Some(next) = page["next"].as_str() else { break };
        after = format!("&after={}", encode(next));
    }
    Ok(keys)
}

/// A table with a row for each key.
fn shown(job: &str, sample: &Sample) -> String {
    let Some(first) = sample.rows.first() else {
        return format!("job `{job}` has no keys yet");
    };
    let names = |member: &str| -> Vec<String> {
        first[member].as_object().into_iter().flatten().map(|(name, _)| name.to_owned()).collect()
    };
    let (keys, features) = (names("entity"), names("features"));
    let prefix = format!("{job}:");
    let mut head = keys.clone();
    let mut columns: Vec<(&str, bool)> = Vec::new();
    for name in &features {
        let short = name.strip_prefix(&prefix).unwrap_or(name);
        head.push(short.to_owned());
        columns.push((name, false));
        if sample.rows.iter().any(|row| row["features"][&**name].get("current").is_some()) {
            head.push(format!("{short} (current)"));
            columns.push((name, true));
        }
    }
    let cells = |row: &Value| -> Vec<String> {
        let of_key = keys.iter().map(|name| table::cell(&row["entity"][name]));
        let of_feature = columns.iter().map(|(name, is_current)| {
            let value = &row["features"][*name];
            feature(if *is_current { &value["current"] } else { value })
        });
        of_key.chain(of_feature).collect()
    };
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let table = table::render(&head, &sample.rows.iter().map(cells).collect::<Vec<_>>());
    format!("{table}\n{}", freshness(&sample.jobs[job]))
}

/// A value, with its status in brackets where that is not `ok`.
fn feature(feature: &Value) -> String {
    let value = table::cell(&feature["value"]);
    if feature["status"] == "ok" { value } else { format!("{value} [{}]", status(feature)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_needs_a_request_is_not_asked_for() {
        let described = json!({"features": [
            {"name": "n"}, {"name": "half", "request": []}, {"name": "ratio", "request": ["amount"]},
        ]});
        assert_eq!(features("rides", &described), ["rides:n", "rides:half"]);
        let of_request = json!({"features": [{"name": "ratio", "request": ["amount"]}]});
        for described in [json!({"features": [{"name": "n"}]}), of_request, json!({})] {
            assert_eq!(features("rides", &described), ["rides"]);
        }
    }

    #[test]
    fn a_key_is_a_row_with_its_values() {
        let row =
            |user: &str, value: Value| json!({"entity": {"user_id": user}, "features": {"rides:n": value}});
        let rows = vec![
            row("u1", json!({"value": 3, "status": "ok"})),
            row("u2", json!({"value": 0, "status": "not_found"})),
        ];
        let sample = Sample { rows, jobs: json!({"rides": {"as_of": "T", "watermark": "W"}}) };
        let expected = "user_id  n\nu1       3\nu2       0 [not_found]\nas of T, watermark W";
        assert_eq!(shown("rides", &sample), expected);
        let open = json!({"value": 0, "status": "not_found", "current": {"value": 2, "status": "ok"}});
        let sample = Sample { rows: vec![row("u3", open)], jobs: json!({"rides": {"as_of": "T"}}) };
        let expected = "user_id  n              n (current)\nu3       0 [not_found]  2\nas of T, watermark -";
        assert_eq!(shown("rides", &sample), expected);
        assert_eq!(shown("rides", &Sample::default()), "job `rides` has no keys yet");
    }
}
