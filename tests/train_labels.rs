//! Labels: frames that look ahead, beside a join by brute force, at every edge of the time that they are over and beside
//! it; where the history ends too early; and who refuses them.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Project, Server};
use crate::train_oracle::{
    ALLOW, BASE, Event, NAMES, RANGE, RULES, Rule, STREAM, USERS, World, query, train, values,
};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// As long as the ordinary frames of the oracle, so that its moments are at the edges of both.
const AHEAD: &str = "RANGE BETWEEN CURRENT ROW AND INTERVAL '10' SECOND FOLLOWING";
const BEHIND: &str = "RANGE INTERVAL '10' SECOND PRECEDING";
/// The jobs, how far behind the watermark of its file an event still counts, and how far ahead they look.
const JOBS: [(&str, &str, &str, i64, i64); 3] = [
    ("label", AHEAD, "late: {allow: 5s}\n", ALLOW, RANGE),
    ("over", BEHIND, "late: {allow: 5s}\n", ALLOW, 0),
    ("strict_label", AHEAD, "late: {policy: drop, allow: 5s}\n", 0, RANGE),
];

/// The last moment by which all is known, by each of the rules.
fn end(world: &World, rule: usize) -> i64 {
    let known = world.files.iter().flat_map(|events| World::known(events)).max().unwrap();
    let newest = world.files.iter().flatten().map(|event| event.at).max().unwrap();
    [known, known + 200, newest][rule]
}

/// What a user's features of a job are at a moment, and their status.
fn expected(
    world: &World,
    number: usize,
    (user, moment): (u64, i64),
    (reach, ahead): (i64, i64),
) -> ([Value; 7], &'static str) {
    let Rule { counts, .. } = &RULES[number];
    let (as_of, events) = counts(world, moment + ahead, reach);
    let is_in = |event: &&Event| event.user == Some(user) && (as_of - RANGE..=as_of).contains(&event.at);
    let events: Vec<&Event> = events.into_iter().filter(is_in).collect();
    let is_cut_off = ahead > 0 && moment + ahead > end(world, number);
    let status = match (is_cut_off, events.is_empty()) {
        (true, _) => "partial",
        (false, true) => "not_found",
        (false, false) => "ok",
    };
    (values(events), status)
}

#[test]
fn a_label_is_what_a_lookup_at_its_end_says_under_each_rule() {
    let project = Project::new();
    project.file("streams/rides.yaml", STREAM);
    for (job, frame, more, ..) in JOBS {
        project.file(&format!("jobs/{job}.yaml"), &format!("query: |\n  {}\n{more}", query(job, frame)));
    }
    let mut world = World::new(7, 700, 1000);
    for (number, events) in world.files.iter().enumerate() {
        let lines: String = events.iter().map(Event::line).collect();
        project.file(&format!("data/{number}.jsonl"), &lines);
    }
    let mut moments = world.moments();
    moments.extend(world.moments().into_iter().map(|moment| moment - RANGE));
    for end in (0..3).map(|rule| end(&world, rule)) {
        moments.extend([-1, 0, 1].map(|off| end - RANGE + off));
    }
    let spine: Vec<(u64, i64)> =
        moments.into_iter().map(|moment| (world.roll(USERS as i64) as u64, moment)).collect();
    let line = |(user, moment): &(u64, i64)| {
        format!("{}\n", json!({"user_id": format!("u{user}"), "event_time": moment}))
    };
    project.file("spine.jsonl", &spine.iter().map(line).collect::<String>());
    let mut statuses = BTreeMap::<&str, usize>::new();
    for (number, rule) in RULES.iter().enumerate() {
        let rows = train(&project, "label,over,strict_label", rule.arguments);
        assert_eq!(rows.len(), spine.len());
        for (asked, row) in spine.iter().zip(&rows) {
            assert_eq!(row["user_id"], format!("u{}", asked.0));
            for (job, _, _, reach, ahead) in JOBS {
                let (values, status) = expected(&world, number, *asked, (reach, ahead));
                let found = NAMES.map(|name| row[format!("{job}__{name}")].clone());
                assert_eq!(found, values, "{:?} {job} {asked:?}: {row}", rule.arguments);
                for name in NAMES {
                    let found = &row[format!("{job}__{name}__status")];
                    assert_eq!(found, status, "{:?} {job} {asked:?}: {row}", rule.arguments);
                }
                *statuses.entry(status).or_default() += 1;
            }
        }
        // One feature alone is as it is beside others.
        let alone = train(&project, "label:sum", rule.arguments);
        let sums = |rows: &[Value]| rows.iter().map(|row| row["label__sum"].clone()).collect::<Vec<_>>();
        assert_eq!(sums(&alone), sums(&rows));
    }
    assert!(statuses.len() == 3 && statuses.values().all(|count| *count > spine.len() / 10), "{statuses:?}");
}

/// Two streams of one event a second, up to the second 100 and up to the second 50, known when they happen.
fn two_streams(project: &Project) {
    for (stream, seconds) in [("a", 100), ("b", 50)] {
        project.file(
            &format!("streams/{stream}.yaml"),
            &format!(
                "fields: {{u: string, t: timestamp}}\nevent_time: t\nidle_after: 1h\nsource: {{file: {{path: {stream}.jsonl}}}}\n"
            ),
        );
        let event = |second: i64| format!("{}\n", json!({"u": "m", "t": BASE + second * 1000}));
        project.file(&format!("{stream}.jsonl"), &(0..=seconds).map(event).collect::<String>());
    }
}

const LABEL: &str = "WINDOW w AS (PARTITION BY u ORDER BY rowtime RANGE BETWEEN CURRENT ROW AND INTERVAL '10' SECOND FOLLOWING)";

#[test]
fn a_label_beyond_the_end_of_any_of_its_streams_is_partial() {
    let project = Project::new();
    two_streams(&project);
    let both = "(SELECT u, rowtime FROM a UNION ALL SELECT u, rowtime FROM b)";
    for (job, of) in [("one", "a"), ("both", both)] {
        let query = format!("SELECT u, COUNT(*) OVER w AS n FROM {of} {LABEL}");
        project.file(
            &format!("jobs/{job}.yaml"),
            &format!("query: {query}\nfeatures: {{n: {{default: -1}}}}\n"),
        );
    }
    let moments = [39_999, 40_000, 40_001, 89_999, 90_000, 90_001, 100_000, 100_001, -10_001];
    let row = |moment: &i64| format!("{}\n", json!({"u": "m", "event_time": BASE + moment}));
    project.file("spine.jsonl", &moments.iter().map(row).collect::<String>());
    for rule in ["known", "event"] {
        let rows = train(&project, "one,both", &["--as-of", rule]);
        let of = |job: &str| -> Vec<(i64, String)> {
            let value = |row: &Value| {
                let status = row[format!("{job}__n__status")].as_str().unwrap().to_owned();
                (row[format!("{job}__n")].as_i64().unwrap(), status)
            };
            rows.iter().map(value).collect()
        };
        let named = |values: [(i64, &str); 9]| values.map(|(value, status)| (value, status.to_owned()));
        let (ok, partial, default) = ("ok", "partial", "default");
        let one = [
            (10, ok),
            (11, ok),
            (10, ok),
            (10, ok),
            (11, ok),
            (10, partial),
            (1, partial),
            (-1, partial),
            (-1, default),
        ];
        assert_eq!(of("one"), named(one), "{rule}");
        let both = [
            (20, ok),
            (22, ok),
            (20, partial),
            (10, partial),
            (11, partial),
            (10, partial),
            (1, partial),
            (-1, partial),
            (-1, default),
        ];
        assert_eq!(of("both"), named(both), "{rule}");
    }
    let about = std::fs::read_to_string(project.path().join("out.jsonl.meta.json")).unwrap();
    let about: Value = serde_json::from_str(&about).unwrap();
    let cut_off =
        |job: &str| (about["jobs"][job]["cut_off"].clone(), about["jobs"][job]["looks_ahead"].clone());
    assert_eq!([cut_off("one"), cut_off("both")], [(json!(3), json!("10s")), (json!(6), json!("10s"))]);
    let [spine, output] = ["spine.jsonl", "out.csv"].map(|name| project.path().join(name));
    let arguments = ["--spine", spine.to_str().unwrap(), "--features", "one", "-o", output.to_str().unwrap()];
    let said = String::from_utf8_lossy(&project.weir("train", &arguments).stderr).into_owned();
    assert!(said.contains("the history ends less than 10s after these rows"), "{said}");
}

#[test]
fn whoever_runs_jobs_refuses_a_label_and_goes_on_with_the_others() {
    let project = Project::new();
    two_streams(&project);
    let label = format!("query: SELECT u, COUNT(*) OVER w AS n FROM a {LABEL}\n");
    project.file("jobs/label.yaml", &label);
    let checked = project.weir("check", &[]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(
        checked.status.success() && said.contains("2 streams, 1 job, for training only: no errors"),
        "{said}"
    );
    let only_label = project.weir("run", &["--until-end"]);
    let said = String::from_utf8_lossy(&only_label.stderr).into_owned();
    assert_eq!(only_label.status.code(), Some(1), "{said}");
    assert!(said.contains("job `label`: it is for training only"), "{said}");
    project.file(
        "jobs/count.yaml",
        "query: SELECT u, COUNT(*) AS n FROM a GROUP BY u, TUMBLE(t, INTERVAL '10' SECOND)\nsinks: [{file: {path: out}}]\n",
    );
    let checked = project.weir("check", &[]);
    let said = String::from_utf8_lossy(&checked.stdout).into_owned();
    assert!(checked.status.success(), "{said}");
    for what in [
        "job label version 1, by u string, for training only: it looks 10s ahead, which `weir train` alone can ask",
        "2 streams, 2 jobs, 1 of them for training only: no errors",
    ] {
        assert!(said.contains(what), "{said}");
    }
    let ran = project.run(&[]);
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(said.contains("it is for training only: its frames look 10s ahead"), "{said}");
    assert_eq!(project.rows("out").len(), 11);
    let server = Server::start(&project, "");
    server.wait_ready();
    let (status, answer) = server.get("/v1/jobs/count/values?u=m");
    assert_eq!((status, &answer["features"]["n"]["value"]), (200, &json!(10)), "{answer}");
    let reason = "ask by `weir train --features label`";
    let (status, answer) = server.get("/v1/jobs/label/values?u=m");
    assert!(status == 503 && answer.to_string().contains(reason), "{status} {answer}");
    let (_, answer) = server.get("/v1/jobs/label");
    assert!(answer.to_string().contains(reason), "{answer}");
    let (_, said) = server.weir(&["restart", "label"]);
    assert!(said.contains(reason) && !said.contains("correct that"), "{said}");
    assert!(server.terminate().success());
}
