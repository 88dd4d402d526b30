//! Jobs whose rows go into stores that are reached over HTTP: whatever is killed on the way, at the end they hold what the
//! files of the same job say.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Project, Server, wait_for};
use crate::keyed_job::{
    self, OFTEN, PATIENCE, QUERY, Rows, USERS, newest_and_all, plain, project, statements,
};
use crate::services::clickhouse::ClickHouse;
use crate::services::opensearch::OpenSearch;
use crate::services::web::Receiver;
use crate::services::{druid, kafka};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// What no message may show.
const SECRET: &str = "hidden-from-all";

/// The documents of an index by what a function makes of their ids, without what weir says of them.
fn documents(server: &OpenSearch, index: &str, key: impl Fn(&str) -> String) -> Rows {
    let of = |(id, mut document): (String, Value)| {
        document.as_object_mut().unwrap().retain(|name, _| !name.starts_with('_'));
        (key(&id), plain(document))
    };
    server.documents(index).into_iter().map(of).collect()
}

/// Posts the events of a second; some checkpoints pass after.
fn post(server: &Server, second: u32) {
    keyed_job::post(server, second);
    let number = |job: &Value| job["last_checkpoint"]["number"].as_u64().unwrap_or(0);
    let (_, before) = server.get("/v1/jobs/j");
    server.wait_for_job("j", "a checkpoint", |job| number(job) > number(&before) + 1);
}

fn wait_until_drained(server: &Server) {
    wait_for("every sink to have everything", PATIENCE, || {
        let (_, job) = server.get("/v1/jobs/j");
        let sinks = job["sink_counts"].as_object()?;
        let is_drained = |sink: &Value| sink["waiting_rows"] == 0 && sink["state"] == "running";
        sinks.values().all(is_drained).then_some(())
    });
}

/// Posts events for 24 seconds, with what `disturb` does before each, while the server is killed now and then; gives what is
/// expected of a store at the end, once every sink says that it has everything.
fn flow(project: &Project, mut disturb: impl FnMut(u32)) -> (Rows, Rows) {
    let mut server = Server::start(project, OFTEN);
    for second in 0..24 {
        disturb(second);
        if [5, 14, 20].contains(&second) {
            server.kill();
            server = Server::start(project, OFTEN);
        }
        post(&server, second);
    }
    wait_for("the last rows in files", PATIENCE, || {
        (newest_and_all(project.rows("out")).1.len() == 23 * USERS as usize).then_some(())
    });
    wait_until_drained(&server);
    let (_, status) = server.get_text("/v1/jobs/j");
    let (_, metrics) = server.get_text("/metrics");
    assert!(server.terminate().success());
    let log = std::fs::read_to_string(project.path().join("serve.log")).unwrap();
    for text in [&status, &metrics, &log] {
        assert!(!text.contains(SECRET), "{text}");
    }
    newest_and_all(project.rows("out"))
}

/// What happens to the index's server, by second.
type Disturb = fn(u32, &mut OpenSearch);

fn an_index_ends_with_the_same_rows(kind: &str, mut index: OpenSearch, disturb: Disturb) {
    let receiver = Receiver::start();
    let url = index.url().replace("//", &format!("//me:{SECRET}@"));
    let sink = format!("{kind}: {{url: \"{url}\", timeout: 1s, batch: {{rows: 10}}");
    let project = project(&format!(
        "  - {sink}, index: newest}}\n  - {sink}, index: every, keep: all, id: \"{{user_id}}\"}}\n  \
         - http: {{url: \"{}\", keep: all, headers: {{X-Key: {SECRET}}}}}\n",
        receiver.url
    ));
    let statements = statements(&project);
    assert_eq!(statements.len(), 2, "{statements:?}");
    statements.iter().for_each(|statement| index.make(statement));
    let (newest, all) = flow(&project, |second| disturb(second, &mut index));
    assert_eq!(documents(&index, "every", |id| id.replace('@', " ")), all);
    assert_eq!(documents(&index, "newest", str::to_owned), newest);
    // Whoever takes rows keeps the greatest revision of each key and window.
    assert_eq!(newest_and_all(receiver.rows()).1, all);
}

#[test]
fn an_index_and_a_receiver_end_with_the_rows_of_the_files() {
    an_index_ends_with_the_same_rows("opensearch", OpenSearch::quick(), |second, index| match second {
        // It keeps nothing over a kill, so that it only does not answer for a while.
        8 | 16 => index.signal("STOP"),
        11 | 18 => index.signal("CONT"),
        _ => {}
    });
}

#[test]
#[ignore = "starts a real OpenSearch: `make test-services`"]
fn a_real_opensearch_that_is_killed_ends_with_the_rows_of_the_files() {
    an_index_ends_with_the_same_rows("opensearch", OpenSearch::node(), kill_twice);
}

#[test]
#[ignore = "starts a real Elasticsearch: `make test-services`"]
fn a_real_elasticsearch_that_is_killed_ends_with_the_rows_of_the_files() {
    an_index_ends_with_the_same_rows("elasticsearch", OpenSearch::elasticsearch(), kill_twice);
}

fn kill_twice(second: u32, index: &mut OpenSearch) {
    match second {
        8 | 16 => index.kill(),
        11 | 18 => index.restart(),
        _ => {}
    }
}

#[test]
#[ignore = "starts the engine of ClickHouse: `make test-services`"]
fn a_table_of_clickhouse_that_is_killed_ends_with_the_rows_of_the_files() {
    let mut tables = ClickHouse::start();
    let url = tables.url().replace("//", &format!("//me:{SECRET}@"));
    let clickhouse = format!("clickhouse: {{url: \"{url}\", timeout: 5s, batch: {{rows: 10}}");
    let project =
        project(&format!("  - {clickhouse}, table: newest}}\n  - {clickhouse}, table: every, keep: all}}\n"));
    let (code, text) = check(&project);
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.contains("table default.newest is not there; make it with what `weir sink ddl j` prints"),
        "{text}"
    );
    for statement in statements(&project) {
        tables.run(&statement);
    }
    let (code, text) = check(&project);
    assert_eq!(code, Some(0), "{text}");
    let (newest, all) = flow(&project, |second| match second {
        8 | 16 => tables.kill(),
        11 | 18 => tables.restart(),
        _ => {}
    });
    let ends = "formatDateTime(ENDS, '%Y-%m-%dT%H:%i:%S.000Z')";
    let of = |table: &str, key: &str| -> Rows {
        let key = key.replace("END", &ends.replace("ENDS", "_window_end"));
        let row = format!("{key} AS key, user_id, n, total, newest, {} AS end", ends.replace("ENDS", "ends"));
        let rows = tables.run(&format!("SELECT {row} FROM {table} FINAL FORMAT JSONEachRow"));
        let one = |row: Value| {
            let key = row["key"].as_str().unwrap().to_owned();
            // Whole numbers of 64 bits may be texts in its JSON.
            let n = row["n"].as_str().map_or(row["n"].clone(), |n| json!(n.parse::<i64>().unwrap()));
            let (user, total, newest, ends) = (&row["user_id"], &row["total"], &row["newest"], &row["end"]);
            let row = json!({"user_id": user, "n": n, "total": total, "newest": newest, "ends": ends});
            (key, plain(row))
        };
        rows.into_iter().map(one).collect()
    };
    assert_eq!(of("every", "concat(user_id, ' ', END)"), all);
    assert_eq!(of("newest", "user_id"), newest);
}

#[test]
#[ignore = "starts a real Druid: `make test-services`"]
fn rows_that_go_to_druid_can_be_asked_for() {
    let broker = kafka::shared();
    broker.topic("druid_rows", 2);
    let through = format!("{{brokers: \"{}\", topic: druid_rows}}", broker.address);
    let project = project(&format!("  - druid: {{datasource: features, kafka: {through}}}\n"));
    let statement = statements(&project).remove(0);
    let (_, spec) = statement.split_once("POST /druid/indexer/v1/supervisor\n").unwrap();
    let file = project.path().join("spec.json");
    std::fs::write(&file, spec).unwrap();
    let judged = druid::judged(&file);
    assert!(
        judged.contains("features <- druid_rows [user_id, n, total, newest, ends, _window_end"),
        "{judged}"
    );
    let cluster = druid::Druid::start();
    cluster.supervise(spec);
    let (_, all) = flow(&project, |_| {});
    let query = "SELECT user_id, LATEST_BY(n, MILLIS_TO_TIMESTAMP(_revision)) AS n, \
                 LATEST_BY(total, MILLIS_TO_TIMESTAMP(_revision)) AS total, _window_end FROM features \
                 GROUP BY user_id, _window_end";
    let expected: BTreeMap<String, (i64, f64)> = all
        .iter()
        .map(|(key, row)| (key.clone(), (row["n"].as_f64().unwrap() as i64, row["total"].as_f64().unwrap())))
        .collect();
    wait_for("the rows in druid", Duration::from_secs(300), || {
        let rows = cluster.rows(query)?;
        let one = |row: &Value| {
            let end = weir_event::EventTime::from_millis(row["_window_end"].as_i64().unwrap());
            let key = format!("{} {end}", row["user_id"].as_str().unwrap());
            (key, (row["n"].as_i64().unwrap(), row["total"].as_f64().unwrap()))
        };
        let found: BTreeMap<String, (i64, f64)> = rows.iter().map(one).collect();
        (found == expected).then_some(())
    });
}

/// The exit code of `weir check --connect`, and what it says.
fn check(project: &Project) -> (Option<i32>, String) {
    let output = project.weir("check", &["--connect"]);
    let text = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).concat();
    (output.status.code(), text)
}

#[test]
fn an_index_that_does_not_fit_is_told_before_anything_is_written() {
    let index = OpenSearch::quick();
    let project = project(&format!("  - opensearch: {{url: \"{}\", index: rows}}\n", index.url()));
    let (code, text) = check(&project);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("index `rows` is not there; make it with what `weir sink ddl j` prints"), "{text}");
    let statement = statements(&project).remove(0);
    index.make(&statement.replace("/rows", "/other").replace("\"n\"", "\"m\""));
    index.make(&statement);
    let (code, text) = check(&project);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("index `rows`, which takes all 9 fields"), "{text}");
    assert!(index.documents("rows").is_empty());
    project.file(
        "jobs/j.yaml",
        &format!("{QUERY}sinks:\n  - opensearch: {{url: \"{}\", index: other}}\n", index.url()),
    );
    let (code, text) = check(&project);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("has no field `n`"), "{text}");
}
