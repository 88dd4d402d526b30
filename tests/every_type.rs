//! Rows with a column of every type, null now and then, and a job that hands them on: as lines of JSON, which say what is
//! expected, and wherever else.

use crate::harness::Project;
use serde_json::{Map, Value, json};

/// Their stream, without its name, format and source.
pub(crate) const FIELDS: &str = "fields:\n  id: bigint\n  word: string\n  small: int\n  wide: double\n  narrow: float\n  \
                                 exact: decimal(12, 2)\n  agreed: boolean\n  born: date\n  raw: bytes\n  anything: json\n  \
                                 words: array<string>\n  counts: map<string, bigint>\n  \
                                 trip: row<place string, seconds int>\n  country: string\n  t: timestamp\n\
                                 event_time: t\ndisorder: 1h\n";
/// Hands on every row.
pub(crate) const QUERY: &str = "query: |\n  SELECT id, word, small, wide, narrow, exact, agreed, born, raw, anything, \
                                words, counts, trip, country, t FROM s\n";
/// 2025-12-31T21:00:00Z: the rows are of two days.
const FIRST_MILLIS: i64 = 1_767_214_800_000;
const MINUTE_MILLIS: i64 = 60_000;
const ROWS: i64 = 300;

/// Some of what a folder's name cannot hold as it is.
const COUNTRIES: [Option<&str>; 7] =
    [Some("de"), Some("a/b"), None, Some("x y"), Some("50%=half"), Some(""), Some("é")];

/// A project whose job `j` writes the rows as lines to `lines`, and to these sinks.
pub(crate) fn project(sinks: &str) -> Project {
    let project = Project::new();
    let lines: String = (0..ROWS).map(|number| row(number).to_string() + "\n").collect();
    project.file("in.jsonl", &lines);
    project.file("streams/s.yaml", &format!("stream: s\n{FIELDS}source: {{file: {{path: in.jsonl}}}}\n"));
    project.file("jobs/j.yaml", &format!("{QUERY}sinks:\n  - file: {{path: lines}}\n{sinks}"));
    project
}

fn row(number: i64) -> Value {
    let unless = |every: i64, value: Value| if number % every == 0 { Value::Null } else { value };
    let words = [json!("a\"b"), Value::Null, json!(""), json!(format!("w{number}"))];
    json!({
        "id": number,
        "word": unless(11, json!(format!("wörd\n{number}"))),
        "small": unless(7, json!(number - 150)),
        "wide": unless(13, json!(number as f64 / 8.0 - 3.0)),
        "narrow": unless(5, json!(number as f64 / 4.0)),
        "exact": unless(3, json!(format!("{}{}.{:02}", ["", "-"][number as usize % 2], number * 1_000_003, number % 100))),
        "agreed": unless(4, json!(number % 3 == 1)),
        "born": unless(6, json!(format!("19{:02}-02-{:02}", number % 100, number % 28 + 1))),
        "raw": unless(8, json!(["", "AAEC", "/w=="][number as usize % 3])),
        "anything": unless(9, json!({"n": [number, null, "x"], "deep": {"true": true}})),
        "words": unless(10, json!(words[..number as usize % 5])),
        "counts": unless(12, if number % 2 == 0 { json!({"a": number, "b c": -1}) } else { json!({}) }),
        "trip": unless(14, json!({"place": unless(3, json!("home")), "seconds": number})),
        "country": COUNTRIES[number as usize % COUNTRIES.len()],
        "t": FIRST_MILLIS + number * MINUTE_MILLIS + number,
    })
}

/// Rows as texts, in order, whatever order a reader has their members in. `json` is a value in lines, and a text to who
/// reads it from another format.
#[track_caller]
pub(crate) fn texts(rows: Vec<Value>) -> Vec<String> {
    let text = |mut row: Value| {
        if let Value::String(text) = &row["anything"] {
            row["anything"] = serde_json::from_str(text).expect("a text of JSON");
        }
        in_order(row).to_string()
    };
    let mut texts: Vec<_> = rows.into_iter().map(text).collect();
    texts.sort_unstable();
    texts
}

fn in_order(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members.into_iter().collect();
            members.sort_unstable_by(|one, other| one.0.cmp(&other.0));
            let members = members.into_iter().map(|(name, value)| (name, in_order(value)));
            Value::Object(members.collect::<Map<String, Value>>())
        }
        Value::Array(items) => items.into_iter().map(in_order).collect(),
        other => other,
    }
}

/// Fails with the first row that is another one.
#[track_caller]
pub(crate) fn assert_same(who: &str, found: &[String], expected: &[String]) {
    let other = found.iter().zip(expected).find(|(found, expected)| found != expected);
    assert!(
        found.len() == expected.len() && other.is_none(),
        "{who}: {} rows for {}, {other:#?}",
        found.len(),
        expected.len()
    );
}
