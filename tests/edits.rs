//! Edited queries: a job that was killed goes on by another definition from its state, is killed once more and goes on at
//! yet another number of shards. What it still has is as if it had never been edited; what is new is as if its rows had
//! begun with the edit.

use crate::harness::{Project, Server, repository, rows};
use crate::replay::{Logs, Replay, plan_of_texts};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use weir_event::EventTime;
use weir_plan::JobPlan;

const STREAM: &str = "fields: {k: string, n: bigint, x: double, kind: string, t: timestamp}
event_time: t
disorder: 4s
";

/// Which results there are after the edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Results {
    /// Those of all rows.
    OfAll,
    /// Those of the rows since.
    OfNew,
}

/// A definition, another one, and what the columns of its results are like.
struct Edit {
    name: &'static str,
    before: &'static str,
    after: &'static str,
    /// Lines of both jobs beside their queries.
    job: &'static str,
    results: Results,
    /// Columns that are as if the job had never been edited, with what they were called before.
    kept: &'static [&'static str],
    /// Columns that are as if its rows had begun with the edit.
    anew: &'static [&'static str],
}

const HOUR: &str = "FROM s GROUP BY k, TUMBLE(t, INTERVAL '20' SECOND)";

const EDITS: &[Edit] = &[
    Edit {
        name: "a feature is added",
        before: "SELECT k, SUM(n) AS total {HOUR}",
        after: "SELECT k, SUM(n) AS total, MAX(x) AS most, COUNT(*) FILTER (WHERE kind = 'a') AS of_a {HOUR}",
        job: "",
        results: Results::OfAll,
        kept: &["total"],
        anew: &["most", "of_a"],
    },
    Edit {
        name: "a feature goes and others change places",
        before: "SELECT k, SUM(n) AS total, MAX(x) AS most, COUNT(*) AS rides {HOUR}",
        after: "SELECT COUNT(*) AS rides, SUM(n) AS total, k {HOUR}",
        job: "",
        results: Results::OfAll,
        kept: &["rides", "total"],
        anew: &[],
    },
    Edit {
        name: "a feature has another name, and another is made of it",
        before: "SELECT k, SUM(n) AS total, COUNT(*) AS rides {HOUR}",
        after: "SELECT k, SUM(n) AS sum_n, COUNT(*) AS rides, SUM(n) * 2 AS twice {HOUR}",
        job: "",
        results: Results::OfAll,
        kept: &["sum_n", "rides", "twice"],
        anew: &[],
    },
    Edit {
        name: "a filter is another",
        before: "SELECT k, COUNT(*) FILTER (WHERE kind = 'a') AS some, SUM(n) AS total {HOUR}",
        after: "SELECT k, COUNT(*) FILTER (WHERE kind = 'b') AS some, SUM(n) AS total {HOUR}",
        job: "version: 2",
        results: Results::OfAll,
        kept: &["total"],
        anew: &["some"],
    },
    Edit {
        name: "WHERE is another",
        before: "SELECT k, COUNT(*) AS rides, SUM(n) AS total FROM s WHERE n > 2 GROUP BY k, TUMBLE(t, INTERVAL '20' SECOND)",
        after: "SELECT k, COUNT(*) AS rides, SUM(n) AS total FROM s WHERE n > 1 GROUP BY k, TUMBLE(t, INTERVAL '20' SECOND)",
        job: "version: 2",
        results: Results::OfNew,
        kept: &[],
        anew: &["rides", "total"],
    },
    Edit {
        name: "the window is another",
        before: "SELECT k, COUNT(*) AS rides, TOP(3, n) AS newest {HOUR}",
        after: "SELECT k, COUNT(*) AS rides, TOP(3, n) AS newest FROM s GROUP BY k, TUMBLE(t, INTERVAL '12' SECOND)",
        job: "version: 2",
        results: Results::OfNew,
        kept: &[],
        anew: &["rides", "newest"],
    },
    Edit {
        name: "windows that overlap",
        before: "SELECT k, SUM(x) AS total, TOP(4, n) AS newest FROM s GROUP BY k, HOP(t, INTERVAL '5' SECOND, INTERVAL '30' SECOND)",
        after: "SELECT k, TOP(4, n) AS newest, TOP(2, x) AS last_x, AVG(n) AS mean FROM s GROUP BY k, HOP(t, INTERVAL '5' SECOND, INTERVAL '30' SECOND)",
        job: "",
        results: Results::OfAll,
        kept: &["newest"],
        anew: &["last_x", "mean"],
    },
    Edit {
        name: "windows that cumulate, as they change",
        before: "SELECT k, COUNT(DISTINCT kind) AS kinds FROM s GROUP BY k, CUMULATE(t, INTERVAL '10' SECOND, INTERVAL '40' SECOND)",
        after: "SELECT k, LAST_VALUE(n) AS last_n, COUNT(DISTINCT kind) AS kinds FROM s GROUP BY k, CUMULATE(t, INTERVAL '10' SECOND, INTERVAL '40' SECOND)",
        job: "emit: {on: change}",
        results: Results::OfAll,
        kept: &["kinds"],
        anew: &["last_n"],
    },
    Edit {
        name: "sessions",
        before: "SELECT k, COUNT(*) AS rides, TOP(3, n) AS newest FROM s GROUP BY k, SESSION(t, INTERVAL '7' SECOND)",
        after: "SELECT k, MIN(x) AS least, TOP(3, n) AS newest, TOP(3, kind) AS kinds, COUNT(*) AS rides FROM s GROUP BY k, SESSION(t, INTERVAL '7' SECOND)",
        job: "",
        results: Results::OfAll,
        kept: &["rides", "newest"],
        anew: &["least", "kinds"],
    },
    Edit {
        name: "lifetime values",
        before: "SELECT k, COUNT(*) AS rides, TOP(3, n) AS newest FROM s GROUP BY k",
        after: "SELECT k, TOP(3, n) AS newest, SUM(n) AS total FROM s GROUP BY k",
        job: "emit: {on: change}",
        results: Results::OfAll,
        kept: &["newest"],
        anew: &["total"],
    },
    Edit {
        name: "OVER over columns that it had, and a longer frame",
        before: "SELECT k, n, SUM(n) OVER (PARTITION BY k ORDER BY t RANGE INTERVAL '10' SECOND PRECEDING) AS total FROM s",
        after: "SELECT k, n, MAX(n) OVER (PARTITION BY k ORDER BY t ROWS 2 PRECEDING) AS most, COUNT(*) OVER (PARTITION BY k ORDER BY t RANGE INTERVAL '1' MINUTE PRECEDING) AS rides, SUM(n) OVER (PARTITION BY k ORDER BY t RANGE INTERVAL '10' SECOND PRECEDING) AS total FROM s",
        job: "",
        results: Results::OfAll,
        kept: &["n", "most", "rides", "total"],
        anew: &[],
    },
    Edit {
        name: "OVER over a column that is new",
        before: "SELECT k, SUM(n) OVER (PARTITION BY k ORDER BY t RANGE INTERVAL '30' SECOND PRECEDING) AS total FROM s",
        after: "SELECT k, TOP(5, kind) OVER (PARTITION BY k ORDER BY t RANGE INTERVAL '30' SECOND PRECEDING) AS kinds, SUM(n) OVER (PARTITION BY k ORDER BY t RANGE INTERVAL '30' SECOND PRECEDING) AS total, MAX(x) OVER (PARTITION BY k ORDER BY t RANGE INTERVAL '12' SECOND PRECEDING) AS most FROM s",
        job: "",
        results: Results::OfAll,
        kept: &["total"],
        anew: &["kinds", "most"],
    },
    Edit {
        name: "another value of the other side of a join",
        before: "SELECT a.k, a.n, b.x AS other FROM s AS a LAST JOIN s AS b ON a.k = b.k WITHIN INTERVAL '1' MINUTE",
        after: "SELECT a.k, a.n, b.kind AS other_kind, b.x AS other FROM s AS a LAST JOIN s AS b ON a.k = b.k WITHIN INTERVAL '1' MINUTE",
        job: "",
        results: Results::OfAll,
        kept: &["n", "other"],
        anew: &[],
    },
    Edit {
        name: "another value of the other side of a join, however old",
        before: "SELECT a.k, a.n, b.x AS other FROM s AS a LAST JOIN s AS b ON a.k = b.k",
        after: "SELECT a.k, b.kind AS other_kind, b.x AS other, a.n FROM s AS a LAST JOIN s AS b ON a.k = b.k",
        job: "history: 1s",
        results: Results::OfAll,
        kept: &["n", "other"],
        anew: &[],
    },
];

/// Seeded, so that each run has the same rows: of four keys, a little out of order, some of them very late.
fn lines() -> Vec<String> {
    let mut seed: u64 = 0x9E37_79B9;
    let mut below = |bound: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % bound
    };
    let line = |at: u64| {
        let late = if below(9) == 0 { below(15) } else { below(4) };
        let t = (1_000 + at).saturating_sub(late) * 1000;
        let (key, n, x) = (below(4), below(6), below(90) as f64 / 8.0);
        let kind = ["a", "b", "c"][below(3) as usize];
        json!({"k": format!("k{key}"), "n": n, "x": x, "kind": kind, "t": t}).to_string()
    };
    (0..240).map(line).collect()
}

/// The boundary up to which results are settled when so many lines were read.
fn settled_behind(cut: usize) -> String {
    let time = |line: &String| serde_json_of(line)["t"].as_i64();
    let newest = lines()[..cut].iter().filter_map(time).max().expect("lines have times");
    EventTime::from_millis(newest - 4_000).to_string()
}

fn plan(query: &str, job: &str) -> JobPlan {
    let query = query.replace("{HOUR}", HOUR);
    let job = format!("job: j\nlate: {{allow: 1h}}\n{job}\nquery: |\n  {query}\n");
    plan_of_texts(STREAM, &job).unwrap_or_else(|errors| panic!("{query}: {errors:#?}"))
}

/// A result as it was written last.
struct Written {
    row: Value,
    meta: Value,
}

/// The last row of each result. One that was taken back has none.
fn last(replay: &Replay) -> BTreeMap<String, Written> {
    let mut all: BTreeMap<String, Written> = BTreeMap::new();
    for mut row in rows(&replay.out()) {
        let meta =
            row.as_object_mut().and_then(|row| row.remove("_weir")).expect("the sink has `meta: true`");
        let window = if replay.has_sessions() { &meta["window"]["start"] } else { &meta["window"] };
        let identity = format!("{} {window} {}", meta["key"], meta["position"]);
        let revision = |meta: &Value| meta["revision"].as_u64().expect("a revision");
        if all.get(&identity).is_none_or(|known| revision(&known.meta) <= revision(&meta)) {
            all.insert(identity, Written { row, meta });
        }
    }
    all.retain(|_, written| written.meta["op"] != "delete");
    all
}

/// Those results that are of nothing but a part of the rows of another one: at most one where windows do not depend on
/// rows.
fn within<'w>(
    all: &'w BTreeMap<String, Written>,
    identity: &str,
    whole: &Written,
    has_sessions: bool,
) -> Vec<&'w Written> {
    if !has_sessions {
        return all.get(identity).into_iter().collect();
    }
    let bound = |written: &Written, bound: &str| written.meta["window"][bound].to_string();
    let is_within = |written: &&Written| {
        written.meta["key"] == whole.meta["key"]
            && bound(written, "start") >= bound(whole, "start")
            && bound(written, "end") <= bound(whole, "end")
    };
    all.values().filter(is_within).collect()
}

/// Everything in one run.
fn whole(plan: &JobPlan, logs: &Logs) -> BTreeMap<String, Written> {
    let replay = Replay::new(plan.clone(), logs.clone());
    replay.to_the_end(2, usize::MAX);
    last(&replay)
}

/// What an aggregate is without rows.
fn is_of_nothing(value: &Value) -> bool {
    value.is_null() || *value == 0 || value.as_array().is_some_and(Vec::is_empty)
}

fn check(edit: &Edit, cut: usize, shards: [usize; 3]) {
    let how = format!("{}, behind {cut} rows, at {shards:?} shards", edit.name);
    let before = plan(edit.before, &edit.job.replace("version: 2", ""));
    let after = plan(edit.after, edit.job);
    let logs: Logs = vec![vec![lines()]; before.inputs.len()];
    // Lines without a time do not count, and those behind them have the same numbers.
    let since = |line: (usize, &String)| if line.0 < cut { "{}".to_owned() } else { line.1.clone() };
    let of_partition = |log: &Vec<String>| log.iter().enumerate().map(since).collect();
    let rest: Logs = logs.iter().map(|input| input.iter().map(of_partition).collect()).collect();
    let (of_all, of_rest) = (whole(&after, &logs), whole(&after, &rest));

    let block = cut / 4;
    let replay = Replay::new(before.clone(), logs.clone());
    replay.killed_after(shards[0], block, 4);
    let replay = replay.edited(after.clone());
    replay.killed_after(shards[1], block, 4);
    replay.killed_after(shards[1], block, 6);
    replay.to_the_end(shards[2], 7);
    let found = last(&replay);

    let of_earlier = whole(&before, &logs);
    let mut compared = [0, 0];
    for (identity, written) in &found {
        let row = &written.row;
        if written.meta["definition"] == before.definition && before.definition != after.definition {
            // Rows that are late for windows of the earlier definition alone correct nothing any more.
            if edit.results == Results::OfAll {
                assert_eq!(Some(row), of_earlier.get(identity).map(|it| &it.row), "{how}: {identity}");
            }
            continue;
        }
        for name in edit.kept {
            let expected = of_all.get(identity).map(|it| &it.row[*name]);
            assert_eq!(Some(&row[*name]), expected, "{how}: {name} of {identity}");
            compared[0] += 1;
        }
        let since = within(&of_rest, identity, written, replay.has_sessions());
        for name in edit.anew {
            match since.as_slice() {
                // An event that came before has later ones in its frame where these are older than it is.
                [] if !written.meta["position"].is_null() => {}
                [] => assert!(is_of_nothing(&row[*name]), "{how}: {name} of {identity}: {row}"),
                [since] => {
                    assert_eq!(row[*name], since.row[*name], "{how}: {name} of {identity}");
                    compared[1] += 1;
                }
                // Sessions that an earlier row has joined.
                _ => {}
            }
        }
    }
    assert!(edit.kept.is_empty() || compared[0] > 3, "{how}: {compared:?}");
    assert!(edit.anew.is_empty() || compared[1] > 3, "{how}: {compared:?}");
    let expected = if edit.results == Results::OfAll { &of_all } else { &of_rest };
    let settled = settled_behind(cut);
    // A window that had ended is not made of late rows alone.
    let is_due = |written: &Written| {
        edit.results == Results::OfAll
            || written.meta["window"]["end"].as_str().is_none_or(|end| end > settled.as_str())
    };
    let missing = expected.iter().filter(|(identity, it)| is_due(it) && !found.contains_key(*identity));
    let missing: Vec<&String> = missing.map(|(identity, _)| identity).collect();
    assert!(missing.is_empty(), "{how}: {missing:?}");
}

#[test]
fn what_a_query_still_has_goes_on_and_what_is_new_begins() {
    for edit in EDITS {
        check(edit, 100, [1, 3, 2]);
        check(edit, 148, [2, 1, 5]);
    }
}

#[test]
fn since_when_a_column_has_all_rows_is_known_after_the_edit_and_after_others() {
    let first = plan("SELECT k, SUM(n) AS total {HOUR}", "");
    let second = plan("SELECT k, MAX(x) AS most, SUM(n) AS total {HOUR}", "");
    let third = plan("SELECT k, MAX(x) AS most, COUNT(*) AS rides, SUM(n) AS total {HOUR}", "");
    let replay = Replay::new(first, vec![vec![lines()]]);
    let begun = |replay: &Replay| {
        let mut begun = Vec::new();
        replay.killed_then(2, 10, 4, |job| begun = job.begun().iter().map(Option::is_some).collect());
        begun
    };
    assert_eq!(begun(&replay), [false, false]);
    let replay = replay.edited(second);
    assert_eq!(begun(&replay), [false, true, false]);
    assert_eq!(begun(&replay), [false, true, false], "from its state");
    let replay = replay.edited(third);
    assert_eq!(begun(&replay), [false, true, true, false]);
}

const HTTP: &str = "fields: {k: string, n: bigint, t: timestamp}\nevent_time: t\nsource: {http: {}}\n";

fn project(query: &str) -> Project {
    let project = Project::new();
    project.file("streams/s.yaml", HTTP);
    write(&project, query);
    project
}

fn write(project: &Project, query: &str) {
    project.file("jobs/j.yaml", &format!("query: {query}\nsinks: [{{file: {{path: out, meta: true}}}}]\n"));
}

fn post(server: &Server, rows: &[(&str, i64, &str)]) {
    let line = |(k, n, time): &(&str, i64, &str)| {
        format!("{}\n", json!({"k": k, "n": n, "t": format!("2026-01-01T{time}Z")}))
    };
    let body: String = rows.iter().map(line).collect();
    let (status, answer) = server.post("/v1/streams/s/events?wait=visible", body);
    assert_eq!((status, &answer["accepted"]), (200, &json!(rows.len())), "{answer}");
}

fn features(server: &Server) -> Value {
    let (status, answer) = server.get("/v1/jobs/j/values?k=a");
    assert_eq!(status, 200, "{answer}");
    answer["features"].clone()
}

fn check_text(project: &Project, arguments: &[&str]) -> String {
    let output = project.weir("check", arguments);
    String::from_utf8([output.stdout, output.stderr].concat()).expect("text")
}

#[test]
fn an_edit_is_told_beforehand_and_its_new_feature_is_partial_until_its_window_has_passed() {
    let hour = "FROM s GROUP BY k, TUMBLE(t, INTERVAL '1' HOUR)";
    let project = project(&format!("SELECT k, SUM(n) AS total, MAX(n) AS most {hour}"));
    let seldom = "checkpoint: {every: 1h}\n";
    let server = Server::start(&project, seldom);
    server.wait_ready();
    post(&server, &[("a", 5, "10:10:00"), ("a", 2, "10:20:00"), ("b", 1, "10:20:00")]);
    assert!(server.terminate().success());

    write(&project, &format!("SELECT k, COUNT(*) AS rides, SUM(n) AS total {hour}"));
    let text = check_text(&project, &[]);
    let told = "state: kept total; starts anew rides (partial since 2026-01-01T10:20:00.001Z); goes most";
    assert!(text.contains(told) && text.contains("1 stream, 1 job: no errors"), "{text}");
    let told: Value = serde_json_of(&check_text(&project, &["--json"]));
    let begun = json!([{"feature": "rides", "since": "2026-01-01T10:20:00.001Z"}]);
    let expected = json!({"kept": ["total"], "whole": [], "starts_anew": begun, "goes": ["most"]});
    assert_eq!(told["jobs"][0]["state"], expected);

    // Killed before it has made a checkpoint of its own: it is the edited state that the next start finds.
    for _ in 0..2 {
        let server = Server::start(&project, seldom);
        server.wait_ready();
        let current = |name: &str| features(&server)[name]["current"].clone();
        assert_eq!((&current("total")["value"], &current("total")["status"]), (&json!(7), &json!("ok")));
        let rides = current("rides");
        assert_eq!((&rides["value"], &rides["status"]), (&json!(0), &json!("partial")), "{rides}");
        assert_eq!(rides["since"], "2026-01-01T10:20:00.001Z");
        server.kill();
    }
    let server = Server::start(&project, seldom);
    server.wait_ready();
    post(&server, &[("a", 1, "10:40:00"), ("a", 4, "11:10:00"), ("a", 4, "11:20:00"), ("a", 4, "12:10:00")]);
    let found = features(&server);
    for (name, value) in [("rides", 2), ("total", 8)] {
        assert_eq!((&found[name]["value"], &found[name]["status"]), (&json!(value), &json!("ok")), "{found}");
    }
    assert!(server.terminate().success());
    let first = project.rows("out").into_iter().find(|row| row["k"] == "a").expect("the hour is written");
    assert_eq!((&first["total"], &first["rides"]), (&json!(8), &json!(1)));
    assert!(check_text(&project, &[]).contains("state: kept rides, total\n"));
}

fn serde_json_of(text: &str) -> Value {
    let end = text.rfind('}').expect("JSON");
    serde_json::from_str(&text[..=end]).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn a_running_server_takes_an_edit_and_refuses_one_of_the_key_with_what_would_be_lost() {
    let over = |what: &str| {
        format!(
            "SELECT k, {what} OVER (PARTITION BY k ORDER BY t RANGE INTERVAL '1' HOUR PRECEDING) AS total"
        )
    };
    let project = project(&format!("{} FROM s", over("SUM(n)")));
    let server = Server::start(&project, "");
    server.wait_ready();
    post(&server, &[("a", 5, "10:10:00"), ("a", 2, "10:20:00")]);
    let longer = "MAX(n) OVER (PARTITION BY k ORDER BY t RANGE INTERVAL '3' HOUR PRECEDING) AS most";
    write(
        &project,
        &format!(
            "{}, {longer}, COUNT(*) OVER (PARTITION BY k ORDER BY t ROWS 9 PRECEDING) AS rides FROM s",
            over("SUM(n)")
        ),
    );
    let (code, text) = server.weir(&["restart", "j"]);
    assert_eq!(code, Some(0), "{text}");
    server.wait_ready();
    let found = features(&server);
    assert_eq!((&found["total"]["value"], &found["total"]["status"]), (&json!(7), &json!("ok")), "{found}");
    assert_eq!(
        (&found["most"]["value"], &found["most"]["status"]),
        (&json!(5), &json!("partial")),
        "{found}"
    );
    assert_eq!(found["rides"]["value"], 2, "{found}");

    // Other values under the same name.
    write(&project, &format!("{} FROM s", over("AVG(n)")));
    let (code, text) = server.weir(&["restart", "j"]);
    assert!(code == Some(1) && text.contains("changed: total") && text.contains("raise `version`"), "{text}");
    write(
        &project,
        "SELECT n AS number, COUNT(*) OVER (PARTITION BY n ORDER BY t ROWS 9 PRECEDING) AS rides FROM s",
    );
    let (code, text) = server.weir(&["restart", "j"]);
    let told = "the key is n bigint, was k string: all of its state would be lost, with the values of most, rides, total";
    assert!(code == Some(1) && text.contains(told) && text.contains("`weir restart j --reset`"), "{text}");
    assert_eq!(features(&server)["total"]["value"], 7, "what runs goes on");
    assert!(server.terminate().success());
}

#[test]
fn a_plugin_s_aggregate_goes_on_beside_what_is_new_and_begins_beside_what_is_kept() {
    let hour = "FROM s GROUP BY k, TUMBLE(t, INTERVAL '1' HOUR)";
    let stream = HTTP.replace("n: bigint", "lat: double");
    let project = |query: &str| {
        let project = project(query);
        project.file("streams/s.yaml", &stream);
        std::fs::create_dir(project.path().join("plugins")).expect("a folder");
        let component = repository().join("plugins/dist/trip.wasm");
        std::fs::copy(component, project.path().join("plugins/trip.wasm")).expect("plugins/build made it");
        project
    };
    let post = |server: &Server, ways: &[(f64, &str)]| {
        let line = |(lat, time): &(f64, &str)| {
            format!("{}\n", json!({"k": "a", "lat": lat, "t": format!("2026-01-01T{time}Z")}))
        };
        let body: String = ways.iter().map(line).collect();
        let (status, answer) = server.post("/v1/streams/s/events?wait=visible", body);
        assert_eq!((status, &answer["accepted"]), (200, &json!(ways.len())), "{answer}");
    };
    let current = |server: &Server, name: &str| features(server)[name]["current"]["value"].clone();
    let (first, rest) = ([(1.0, "10:10:00"), (2.5, "10:20:00")], [(7.0, "10:30:00"), (4.0, "10:40:00")]);
    let trip = format!("SELECT k, trip(lat, lat) AS km {hour}");

    let (edited, whole) = (project(&trip), project(&trip));
    let servers = [&edited, &whole].map(|project| Server::start(project, ""));
    servers.iter().for_each(Server::wait_ready);
    post(&servers[0], &first);
    post(&servers[1], &first);
    write(&edited, &format!("SELECT k, COUNT(*) AS n, trip(lat, lat) AS km, MAX(lat) AS most {hour}"));
    let (code, text) = servers[0].weir(&["restart", "j"]);
    assert_eq!(code, Some(0), "{text}");
    servers[0].wait_ready();
    servers.iter().for_each(|server| post(server, &rest));
    assert_eq!(current(&servers[0], "km"), current(&servers[1], "km"));
    assert_eq!((current(&servers[0], "n"), current(&servers[0], "most")), (json!(2), json!(7.0)));

    // Without it, and with it again.
    write(&edited, &format!("SELECT k, COUNT(*) AS n {hour}"));
    assert_eq!(servers[0].weir(&["restart", "j"]).0, Some(0));
    write(&edited, &format!("SELECT k, trip(lat, lat) AS km, COUNT(*) AS n {hour}"));
    assert_eq!(servers[0].weir(&["restart", "j"]).0, Some(0));
    servers[0].wait_ready();
    let more = [(3.0, "10:50:00"), (9.0, "10:55:00")];
    post(&servers[0], &more);
    assert_eq!(current(&servers[0], "n"), 4);
    let of_more = project(&trip);
    let server = Server::start(&of_more, "");
    server.wait_ready();
    post(&server, &more);
    assert_eq!(current(&servers[0], "km"), current(&server, "km"));
}
