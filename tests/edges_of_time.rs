//! Event times at the ends of what weir takes: each row is in a window or a dead letter, and none vanishes.

use crate::harness::Project;
use serde_json::Value;

/// A window, as the query names it.
const WINDOWS: [&str; 10] = [
    "TUMBLE(t, INTERVAL '1' SECOND)",
    "TUMBLE(t, INTERVAL '1' DAY)",
    "TUMBLE(t, INTERVAL '1' MONTH)",
    "TUMBLE(t, INTERVAL '1' YEAR)",
    "TUMBLE(t, INTERVAL '1' DAY, 'Europe/Berlin')",
    "TUMBLE(t, INTERVAL '1' WEEK, 'America/New_York')",
    "TUMBLE(t, INTERVAL '1' MONTH, 'Asia/Kolkata')",
    "TUMBLE(t, INTERVAL '4000' DAY)",
    "TUMBLE(t, INTERVAL '1' DAY, INTERVAL '23' HOUR)",
    "SESSION(t, INTERVAL '3000' DAY)",
];

/// A year apart at most where they are taken, out of order and past both ends where they are not.
const TIMES: [&str; 22] = [
    "\"1900-01-01T00:00:00Z\"",
    "\"1900-01-01T00:00:00.001Z\"",
    "\"1899-12-31T23:59:59.999Z\"",
    "\"1699-12-31T23:59:59.999Z\"",
    "\"1600-06-15T00:00:00Z\"",
    "\"0001-01-01T00:00:00Z\"",
    "\"-009999-01-02T01:59:59Z\"",
    "-62135596800001",
    "-9223372036854775808",
    "\"1900-02-28T23:59:59.999Z\"",
    "\"1900-12-31T23:59:59.999Z\"",
    "\"1969-12-31T23:59:59.999Z\"",
    "\"1970-02-01T00:00:00Z\"",
    "\"2000-02-29T12:00:00Z\"",
    "\"2199-12-31T23:59:59.999Z\"",
    "\"2200-01-01T00:00:00Z\"",
    "\"9999-12-30T22:00:00Z\"",
    "253402300800000",
    "9223372036854775807",
    "9223372036854775808",
    "1e300",
    "\"2199-12-31T00:00:00Z\"",
];

#[test]
fn every_row_is_in_a_window_or_a_dead_letter() {
    let project = Project::new();
    project.file(
        "streams/s.yaml",
        "stream: s\nfields: {k: string, t: timestamp}\nevent_time: t\nsource: {file: {path: in.jsonl}}\n",
    );
    let lines: String = TIMES.iter().map(|time| format!("{{\"k\":\"a\",\"t\":{time}}}\n")).collect();
    project.file("in.jsonl", &lines);
    for (number, window) in WINDOWS.iter().enumerate() {
        let late = "late: {policy: correct, allow: 200000d}\n";
        let query = format!("query: |\n  SELECT k, COUNT(*) AS c FROM s GROUP BY k, {window}\n");
        project.file(
            &format!("jobs/w{number}.yaml"),
            &format!("{query}{late}sinks: [{{file: {{path: out/w{number}, meta: true}}}}]\n"),
        );
    }
    let output = project.run(&["--stats"]);
    let stats: Value = serde_json::from_slice(&output.stdout).expect("stats are JSON");
    for (number, window) in WINDOWS.iter().enumerate() {
        let of_job = &stats["jobs"][&format!("w{number}")];
        let rows = project.rows(&format!("out/w{number}"));
        let rows = if window.starts_with("SESSION") {
            crate::harness::last_sessions(rows)
        } else {
            crate::harness::last_rows(rows)
        };
        let counted: u64 = rows.iter().filter_map(|row| row["c"].as_u64()).sum();
        let (events, refused) = (of_job["events"].as_u64(), of_job["refused"].as_u64());
        assert_eq!(events, Some(TIMES.len() as u64), "{window}: {of_job}");
        assert_eq!(refused.map(|refused| refused + counted), events, "{window}: {of_job}, {rows:?}");
        assert_eq!(counted, 9, "{window}: those from 1900 to 2199");
    }
    let letters =
        std::fs::read_to_string(project.path().join(".weir/dead_letters/s.jsonl")).expect("letters");
    assert!(letters.contains("lies outside 1900 to 2200"), "{letters}");
}
