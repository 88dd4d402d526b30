//! Spines of `weir train`: every format, its order and its other columns as they are, large and empty ones; and what is
//! wrong with one, or with what is asked for, is said so that it can be put right.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::Project;
use serde_json::{Value, json};
use std::process::{Command, Output};

const STREAM: &str = "\
fields: {user_id: string, n: bigint, at: timestamp}
event_time: at
idle_after: 1h
source: {file: {path: rides.jsonl}}
";
const BASE: i64 = 1_770_000_000_000;
const SECONDS: i64 = 1000;
const USERS: i64 = 3;

/// An event a second, of one user after the other, known when it happens.
fn project() -> Project {
    let project = Project::new();
    let over = "user_id, COUNT(*) OVER w AS c, SUM(n) OVER w AS s FROM rides WINDOW w AS (PARTITION BY user_id ORDER BY at \
                RANGE INTERVAL '10' SECOND PRECEDING)";
    let jobs = [
        ("user", over, ""),
        (
            "number",
            "n, COUNT(*) AS c FROM rides GROUP BY n, TUMBLE(at, INTERVAL '5' SECOND)",
            "features: {c: {default: 0}}\n",
        ),
        ("pair", "n, user_id, COUNT(*) AS c FROM rides GROUP BY n, user_id", "emit: {on: change}\n"),
        ("plain", "user_id, n FROM rides", "sinks: [{file: {path: out}}]\n"),
    ];
    for (job, query, more) in jobs {
        project.file(&format!("jobs/{job}.yaml"), &format!("query: |\n  SELECT {query}\n{more}"));
    }
    let event = |second: i64| {
        let user = format!("u{}", second % USERS);
        format!("{}\n", json!({"user_id": user, "n": second % 5, "at": BASE + second * 1000}))
    };
    project.file("streams/rides.yaml", STREAM);
    project.file("rides.jsonl", &(0..SECONDS).map(event).collect::<String>());
    project
}

fn train(project: &Project, spine: &str, features: &str, output: &str, more: &[&str]) -> Output {
    let [spine, output] = [spine, output].map(|name| project.path().join(name).to_str().unwrap().to_owned());
    project.weir("train", &[&["--spine", &spine, "--features", features, "-o", &output], more].concat())
}

#[track_caller]
fn trained(project: &Project, spine: &str, features: &str, output: &str, more: &[&str]) -> String {
    let done = train(project, spine, features, output, more);
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    assert_nothing_left(project);
    String::from_utf8_lossy(&std::fs::read(project.path().join(output)).unwrap()).into_owned()
}

/// What a run puts aside is gone.
#[track_caller]
fn assert_nothing_left(project: &Project) {
    let names = std::fs::read_dir(project.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = names.filter(|name| name.to_string_lossy().starts_with(".weir-train")).collect();
    assert!(left.is_empty(), "{left:?}");
}

fn objects(lines: &str) -> Vec<Value> {
    lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

const CSV: &str = "\
\"label, \"\"x\"\"\",user_id,event_time,price,n,code,empty
\"say \"\"hi\"\"\",u1,1770000001000,1.50,1,007,
,u1,1770000000999,2,0,010,
\"line
two\",u2,2026-02-02T02:40:05Z,-0.1,2,000,
x,,2026-02-02T02:40:06Z,1e3,,,
\"\",nobody,1770000000000,,9,1,
";
/// The same rows with their features, the moments as weir writes times.
const CSV_TRAINED: &str = "\
\"label, \"\"x\"\"\",user_id,event_time,price,n,code,empty,user__c,user__c__status,user__s,user__s__status,number__c,\
number__c__status
\"say \"\"hi\"\"\",u1,2026-02-02T02:40:01.000Z,1.50,1,007,,1,ok,1,ok,0,default
,u1,2026-02-02T02:40:00.999Z,2,0,010,,0,not_found,,not_found,0,default
\"line
two\",u2,2026-02-02T02:40:05.000Z,-0.1,2,000,,2,ok,2,ok,1,ok
x,,2026-02-02T02:40:06.000Z,1e3,,,,,error,,error,,error
\"\",nobody,2026-02-02T02:40:00.000Z,,9,1,,0,not_found,,not_found,0,default
";

#[test]
fn csv_keeps_its_rows_and_columns_compressed_too() {
    let project = project();
    project.file("spine.csv", CSV);
    let features = "user,number:c";
    assert_eq!(trained(&project, "spine.csv", features, "out.csv", &["--status"]), CSV_TRAINED);
    assert!(Command::new("gzip").arg(project.path().join("spine.csv")).status().unwrap().success());
    assert_eq!(trained(&project, "spine.csv.gz", features, "out.csv", &["--status"]), CSV_TRAINED);
    let about = std::fs::read_to_string(project.path().join("out.csv.meta.json")).unwrap();
    let about: Value = serde_json::from_str(&about).unwrap();
    assert_eq!((&about["as_of"], &about["jobs"]["user"]["late"]), (&json!("known"), &json!(0)), "{about}");
}

/// Columns with values of several types.
const MIXED: [&str; 3] = ["x", "list", "large"];

/// Values of every kind, some of which other rows do not have.
fn rows_of_json() -> Vec<Value> {
    let row = |user: Option<&str>, n: Option<i64>, second: i64, more: Value| {
        let moment = weir_event::EventTime::from_millis(BASE + second * 1000).to_string();
        let mut row = json!({"user_id": user, "n": n, "event_time": moment});
        row.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        row
    };
    let (large, text) = (18_446_744_073_709_551_615_u64, "ü\u{0}\n\"");
    vec![
        row(Some("u1"), Some(1), 7, json!({"x": 1, "list": [1, {"a": null}], "large": large})),
        row(Some("u0"), Some(0), 4, json!({"x": 1.5, "list": null, "large": 5, "é": text})),
        row(Some("u2"), None, 900, json!({"x": "text", "flag": true, "double": 0.1})),
        row(None, Some(3), 3, json!({"x": null, "flag": false, "double": 1e300})),
    ]
}

fn lines(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

/// Each row has all values of the one that it was made of, and these columns beside them.
#[track_caller]
fn assert_kept(rows: &[Value], of: &[Value], added: &[&str]) {
    assert_eq!(rows.len(), of.len());
    for (row, of) in rows.iter().zip(of) {
        let (row, of) = (row.as_object().unwrap(), of.as_object().unwrap());
        let mut names = row.keys().map(String::as_str).collect::<Vec<_>>();
        assert!(names.ends_with(added), "{row:?}");
        names.truncate(names.len() - added.len());
        for name in &names {
            assert_eq!(row[*name], *of.get(*name).unwrap_or(&Value::Null), "{name}: {row:?}");
        }
        assert!(of.keys().all(|name| names.contains(&name.as_str())), "{row:?}");
    }
}

#[test]
fn json_and_parquet_of_an_earlier_training_set_keep_theirs() {
    let project = project();
    let mut spine = rows_of_json();
    project.file("spine.jsonl", &lines(&spine));
    let event = ["--as-of", "event"];
    let first = objects(&trained(&project, "spine.jsonl", "user:s", "first.jsonl", &event));
    assert_kept(&first, &spine, &["user__s"]);
    let sums: Vec<&Value> = first.iter().map(|row| &row["user__s"]).collect();
    assert_eq!(sums, [&json!(1 + 4 + 2), &json!(3), &json!(1 + 4 + 3), &Value::Null]);
    // Of values of several types in one column Parquet would have the texts.
    for row in &mut spine {
        MIXED.iter().for_each(|name| drop(row.as_object_mut().unwrap().remove(*name)));
    }
    project.file("spine.jsonl", &lines(&spine));
    trained(&project, "spine.jsonl", "user:s", "first.parquet", &event);
    let plain = objects(&trained(&project, "spine.jsonl", "user:s", "plain.jsonl", &event));
    for (second, of) in [("first.jsonl", &first), ("first.parquet", &plain)] {
        let features = "pair,number";
        let rows = objects(&trained(&project, second, features, "second.jsonl", &["--status"]));
        assert_kept(&rows, of, &["pair__c", "pair__c__status", "number__c", "number__c__status"]);
        let values = |name: &str| rows.iter().map(|row| row[name].clone()).collect::<Vec<_>>();
        assert_eq!(values("pair__c"), [json!(1), json!(1), Value::Null, Value::Null], "{second}");
        assert_eq!(values("pair__c__status"), ["ok", "ok", "error", "error"], "{second}");
        assert_eq!(values("number__c"), [json!(1), json!(0), Value::Null, json!(0)], "{second}");
        assert_eq!(values("number__c__status"), ["ok", "default", "error", "default"], "{second}");
    }
}

#[test]
fn a_large_spine_keeps_its_order_whatever_its_moments() {
    let project = project();
    let count = 20_000;
    let row = |number: i64| {
        // Every so many milliseconds once, in an order that has nothing of theirs.
        let at = number * 7919 % count * (SECONDS * 1000 / count);
        (format!("u{}", number % (USERS + 1)), at)
    };
    let mut spine = "number,user_id,event_time,note\n".to_owned();
    let mut expected = "number,user_id,event_time,note,user__c\n".to_owned();
    for number in 0..count {
        let (user, at) = row(number);
        let is_in = |second: &i64| {
            let time = second * 1000;
            format!("u{}", second % USERS) == user && time <= at && time >= at - 10_000
        };
        let near = at / 1000;
        let events = (near - 11..=near).filter(|second| *second >= 0).filter(is_in).count();
        let moment = weir_event::EventTime::from_millis(BASE + at);
        spine += &format!("{number},{user},{},n{number}\n", BASE + at);
        expected += &format!("{number},{user},{moment},n{number},{events}\n");
    }
    project.file("spine.csv", &spine);
    for rule in ["known", "event"] {
        let found = trained(&project, "spine.csv", "user:c", "out.csv", &["--as-of", rule]);
        let first = found.lines().zip(expected.lines()).find(|(found, expected)| found != expected);
        assert_eq!(first, None, "{rule}");
        assert_eq!(found.len(), expected.len(), "{rule}");
    }
}

#[test]
fn a_streams_past_is_read_from_its_archive() {
    let project = project();
    // What was asked about is the past of another stream, under other names.
    let asked =
        |at: i64| json!({"user_id": format!("u{}", at % USERS), "n": at % 5, "event_time": BASE + at * 1000});
    project.file("spine.jsonl", &(0..60).map(|at| format!("{}\n", asked(at))).collect::<String>());
    project.file("arch/dt=2026-02-02/none", "");
    trained(&project, "spine.jsonl", "user:c", "arch/dt=2026-02-02/a.parquet", &[]);
    project.file(
        "streams/past.yaml",
        "fields: {who: string, n: bigint, at: timestamp, dt: date}\nevent_time: at\nsource: {http: {}}\narchive: {source: {file: \
         {path: \"arch/dt=*/*.parquet\"}}, format: parquet, columns: {who: user_id, at: event_time}}\n",
    );
    project.file(
        "jobs/past.yaml",
        "query: SELECT who, COUNT(*) AS c, SUM(n) AS s, LAST_VALUE(dt) AS d FROM past GROUP BY who\nemit: {on: change}\n",
    );
    let ask = |at: i64| format!("{}\n", json!({"who": "u1", "event_time": BASE + at * 1000}));
    project.file("who.jsonl", &[ask(0), ask(10), ask(1000)].concat());
    let found = trained(&project, "who.jsonl", "past", "out.csv", &[]);
    let values: Vec<&str> = found.lines().skip(1).map(|line| line.split_once("Z,").unwrap().1).collect();
    // Of the numbers 1, 4, 7, 10 the rest by five is 1, 4, 2, 0.
    assert_eq!(values, ["0,,", "4,7,2026-02-02", "20,40,2026-02-02"]);
}

/// Arguments that cannot be, and what is said of them.
const WRONG: [(&str, &str, &str, &[&str]); 14] = [
    ("empty.csv", "user", "out.csv", &["empty.csv", "it has no rows"]),
    (
        "twice.jsonl",
        "user:c",
        "out.csv",
        &["two columns would be called `user__c`", "leave it out of the spine"],
    ),
    ("seconds.jsonl", "user:c", "out.csv", &["lies in January 1970: is it in seconds?"]),
    ("good.jsonl", "usr", "out.csv", &["job `usr` not found", "did you mean `user`"]),
    ("good.jsonl", "user:d", "out.csv", &["job `user` has no feature `d`", "known: c, s"]),
    ("good.jsonl", "plain", "out.csv", &["job `plain` has neither window nor aggregate"]),
    ("none.jsonl", "user", "out.csv", &["none.jsonl", "there is no such file"]),
    ("good.txt", "user", "out.csv", &["good.txt", "has to end in .csv, .jsonl or .parquet"]),
    ("good.jsonl", "user", "out.xlsx", &["out.xlsx", "has to end in .csv, .jsonl or .parquet"]),
    ("good.jsonl", "user", "none/out.csv", &["none/out.csv", "its folder is not there; make it"]),
    ("at.jsonl", "user", "out.csv", &["no column `event_time`", "--time COLUMN", "known: user_id, at"]),
    ("bad.jsonl", "user", "out.csv", &["row 3 of", "bad.jsonl", "`event_time`", "yesterday"]),
    ("late.csv", "user", "out.csv", &["late.csv", "`event_time`", "yesterday"]),
    ("at.jsonl", "number", "out.csv", &["no column `event_time`"]),
];

#[test]
fn what_is_wrong_is_said_and_nothing_is_left() {
    let project = project();
    let good = "{\"user_id\":\"u1\",\"event_time\":1770000001000}\n";
    project.file("good.jsonl", good).file("good.txt", good);
    project.file("at.jsonl", &good.replace("event_time", "at"));
    project.file("empty.csv", "user_id,event_time\n");
    project.file("twice.jsonl", &good.replace('{', "{\"user__c\":1,"));
    project.file("seconds.jsonl", &good.replace("1770000001000", "1770000001"));
    let bad = good.replace("1770000001000", "\"yesterday\"");
    project.file("bad.jsonl", &format!("{good}{good}{bad}{good}"));
    project.file("late.csv", "user_id,event_time\nu1,1770000001000\nu1,1770000001000\nu1,yesterday\n");
    for (spine, features, output, says) in WRONG {
        let failed = train(&project, spine, features, output, &[]);
        let said = String::from_utf8_lossy(&[failed.stdout, failed.stderr].concat()).into_owned();
        assert_eq!(failed.status.code(), Some(1), "{spine} {features} {output}: {said}");
        assert!(says.iter().all(|what| said.contains(what)), "{spine} {features} {output}: {said}");
        assert_nothing_left(&project);
        assert!(!project.path().join(output).exists(), "{spine} {features} {output}");
    }
    let failed = train(&project, "at.jsonl", "number", "out.csv", &["--time", "at"]);
    let said = String::from_utf8_lossy(&failed.stderr).into_owned();
    assert_eq!(failed.status.code(), Some(1), "{said}");
    assert!(said.contains("the spine has no column `n`, by which job `number` is looked up"), "{said}");
    assert_nothing_left(&project);
    let found = trained(&project, "at.jsonl", "user:c", "out.csv", &["--time", "at"]);
    assert_eq!(found, "user_id,at,user__c\nu1,2026-02-02T02:40:01.000Z,1\n");
}
