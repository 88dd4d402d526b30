//! Rows as the stores hold that jobs write them into, by key: to be compared with what the files of a job say.
//!
//! Knows the layout that each sink gives a row, and the columns of [`crate::keyed_job`].

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::wait_for;
use crate::keyed_job::{PATIENCE, Rows, plain};
use crate::services::dynamodb::DynamoDb;
use crate::services::stores::{Postgres, Redis};
use serde_json::{Map, Value, json};

/// The hashes of the job `j`, by user.
pub(crate) fn in_redis(redis: &Redis) -> Rows {
    let keys = redis.answer(&["KEYS", "*"]);
    let hash = |key: &Value| {
        let key = key.as_str().unwrap();
        let hash = redis.answer(&["HGETALL", key]);
        let number = |name: &str| serde_json::from_str::<Value>(hash[name].as_str().unwrap()).unwrap();
        let row = json!({"user_id": hash["user_id"], "n": number("n"), "total": number("total"),
                         "newest": number("newest"), "ends": hash["ends"]});
        assert_eq!(
            (hash["_window_end"].clone(), hash["_version"].clone()),
            (hash["ends"].clone(), json!("1"))
        );
        (key.strip_prefix("j:").unwrap().to_owned(), plain(row))
    };
    keys.as_array().unwrap().iter().map(hash).collect()
}

/// The rows of a table by what an expression makes of them, in which `END` is the end of the window as weir says it.
pub(crate) fn in_postgres(postgres: &Postgres, table: &str, key: &str) -> Rows {
    let time =
        |name: &str| format!("to_char({name} AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')");
    let (ends, key) = (time("ends"), key.replace("END", &time("_window_end")));
    let row = format!(
        "json_build_object('user_id', user_id, 'n', n, 'total', total, 'newest', newest, 'ends', {ends})"
    );
    let lines = postgres.run(&format!("SELECT {key}, {row} FROM {table}"));
    let row = |line: &String| {
        let (key, row) = line.split_once('|').unwrap();
        (key.to_owned(), plain(serde_json::from_str(row).unwrap()))
    };
    lines.iter().map(row).collect()
}

/// The items of the table `features` without its keys and what weir adds, by a key.
pub(crate) fn in_dynamodb(service: &DynamoDb, key: impl Fn(&Value) -> String) -> Rows {
    let item = |item: Value| {
        let members = item.as_object().unwrap().iter();
        let row = members.filter(|(name, _)| !name.starts_with('_') && *name != "pk" && *name != "sk");
        let row: Map<String, Value> = row.map(|(name, value)| (name.clone(), attribute(value))).collect();
        let row = Value::from(row);
        (key(&row), plain(row))
    };
    service.items("features").into_iter().map(item).collect()
}

/// An attribute as JSON says its value.
fn attribute(attribute: &Value) -> Value {
    let (kind, value) = attribute.as_object().unwrap().iter().next().unwrap();
    match kind.as_str() {
        "N" => serde_json::from_str(value.as_str().unwrap()).unwrap(),
        "NULL" => Value::Null,
        "L" => value.as_array().unwrap().iter().map(self::attribute).collect(),
        _ => value.clone(),
    }
}

/// Waits until rows are those that are expected; what differs is told.
pub(crate) fn come_to(expected: &Rows, rows: impl Fn() -> Rows) {
    let mut tries = 0;
    wait_for("the last rows", PATIENCE, || {
        tries += 1;
        let seen = rows();
        if tries > 300 {
            assert_eq!(&seen, expected);
        }
        (seen == *expected).then_some(())
    });
}
