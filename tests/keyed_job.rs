//! A job with late rows whose results go into keyed stores and into files: what the files say is what a store must hold.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Project, Server, weir};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

const STREAM: &str = "stream: s\nfields: {user_id: string, x: double, t: timestamp}\nevent_time: t\ndisorder: 0s\n\
                      idle_after: 1h\nsource: {http: {}}\n";
pub(crate) const QUERY: &str = "query: |\n  SELECT user_id, COUNT(*) AS n, SUM(x) AS total, TOP(3, x) AS newest, \
                     TUMBLE_END(rowtime, INTERVAL '1' SECOND) AS ends FROM s\n  GROUP BY user_id, TUMBLE(rowtime, \
                     INTERVAL '1' SECOND)\n";
pub(crate) const OFTEN: &str = "checkpoint: {every: 100ms}\n";
pub(crate) const USERS: u32 = 7;
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A job whose rows go to files too, which say what is expected.
pub(crate) fn project(sinks: &str) -> Project {
    let project = Project::new();
    project.file("streams/s.yaml", STREAM);
    project.file("jobs/j.yaml", &format!("{QUERY}sinks:\n  - file: {{path: out, meta: true}}\n{sinks}"));
    project
}

/// What `weir sink ddl` prints for each sink.
pub(crate) fn statements(project: &Project) -> Vec<String> {
    let mut ddl = Command::new(weir());
    ddl.args(["sink", "ddl", "j"]).arg(project.path()).envs(project.environment());
    let output = ddl.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    printed.split("-- sink ").skip(1).map(|of| of.split_once('\n').unwrap().1.to_owned()).collect()
}

/// Rows by key.
pub(crate) type Rows = BTreeMap<String, Value>;

/// By user, the newest window's row; and by user and window, its newest row: without what weir says of it.
pub(crate) fn newest_and_all(rows: Vec<Value>) -> (Rows, Rows) {
    let (mut newest, mut all) = (Ordered::new(), Ordered::new());
    for mut row in rows {
        let meta = row.as_object_mut().unwrap().remove("_weir").unwrap();
        let user = row["user_id"].as_str().unwrap().to_owned();
        let end = meta["window"]["end"].as_str().unwrap().to_owned();
        let order = (end.clone(), meta["revision"].as_u64().unwrap());
        keep_newer(&mut newest, user.clone(), order.clone(), row.clone());
        keep_newer(&mut all, format!("{user} {end}"), order, row);
    }
    let rows = |of: Ordered| of.into_iter().map(|(key, (_, row))| (key, plain(row))).collect();
    (rows(newest), rows(all))
}

/// The same with every number as a double: some write 1 for 1.0.
pub(crate) fn plain(value: Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.into_iter().map(plain).collect(),
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, plain(value))).collect(),
        other => other,
    }
}

type Ordered = BTreeMap<String, ((String, u64), Value)>;

fn keep_newer(rows: &mut Ordered, key: String, order: (String, u64), row: Value) {
    if rows.get(&key).is_none_or(|(known, _)| *known <= order) {
        rows.insert(key, (order, row));
    }
}

fn event(user: u32, second: u32) -> String {
    let x = f64::from(user) + f64::from(second) / 8.0;
    json!({"user_id": format!("u{user}"), "x": x, "t": i64::from(second) * 1000 + 1}).to_string() + "\n"
}

/// Everybody has an event in this second, and a late one in each of the two before the last.
fn events(second: u32) -> String {
    let late = second.saturating_sub(3)..second.saturating_sub(1);
    let seconds = late.chain([second]).collect::<Vec<_>>();
    (0..USERS).flat_map(|user| seconds.iter().map(move |second| event(user, *second))).collect()
}

/// Posts the events of a second.
pub(crate) fn post(server: &Server, second: u32) {
    let (status, answer) = server.post("/v1/streams/s/events", events(second));
    assert_eq!(status, 200, "{answer}");
}
