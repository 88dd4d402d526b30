//! A plugin in Python from its folder to looked-up values: built by the program alone, pushed, called by a job, changed
//! while that runs. Only here is Python's interpreter compiled, so one test goes the whole way.

use crate::harness::{Project, Server, repository, weir};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

const STREAM: &str = "fields: {k: string, fare: double, tip: double, note: string, t: timestamp}\nevent_time: t\n\
                      source: {http: {}}\n";
const JOB: &str = "query: |\n  SELECT k, SUM(tip_percent(fare, tip)) AS tips, longest(note) AS longest, \
                   over(2, fare) AS over\n  FROM s GROUP BY k, TUMBLE(t, INTERVAL '1' HOUR)\n";
const PLUGIN: &str = r#"
from __future__ import annotations

from typing import Optional

import weir

print("imported while it is built")


@weir.scalar(columnar=True)
def tip_percent(fare: weir.Column[float], tip: weir.Column[Optional[float]]) -> weir.Column[Optional[float]]:
    if any(each < 0 for each in fare):
        raise ValueError("a fare below nought")
    if 77 in fare:
        import colorsys
    if 78 in fare:
        open("/etc/passwd")
    return [None if each == 0 else (more or 0.0) / each * 100 for each, more in zip(fare, tip)]


@weir.aggregate(algebra="exact")
class Longest:
    def __init__(self) -> None:
        self.text = ""

    def update(self, time: int, text: str) -> None:
        print("saw", text)
        self.text = max(self.text, text, key=lambda each: (len(each), each))

    def merge(self, later: Longest) -> None:
        self.text = max(self.text, later.text, key=lambda each: (len(each), each))

    def finish(self, as_of: int) -> str:
        return self.text


@weir.aggregate
class Over:
    """How many are above a limit."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.count = 0

    def update(self, time: int, value: float) -> None:
        self.count += value > self.limit

    def merge(self, later: Over) -> None:
        self.count += later.count

    def finish(self, as_of: int) -> int:
        return self.count


from dataclasses import dataclass


@dataclass
class Line:
    k: str
    at: weir.Timestamp
    words: list[str]


@weir.decode
def line(payload: bytes) -> Line:
    k, at, *words = payload.decode().split()
    return Line(k, weir.Timestamp(int(at)), words)
"#;
const LINES: &str = "a 1767225600000 x y\nb soon\na 1767225601000 z\n";
const STREAM_OF_LINES: &str = "fields: {k: string, at: timestamp, words: array<string>}\nevent_time: at\n\
                               format: {plugin: fares}\nsource: {file: {path: lines.txt}}\n";
const JOB_OF_LINES: &str = "query: |\n  SELECT k, SUM(CARDINALITY(words)) AS words, COUNT(*) AS n FROM lines GROUP BY k\n\
                            emit: {on: change}\n";

/// `weir plugin ARGUMENTS`: whether it went well, and everything that it says.
fn plugin(folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(weir()).arg("plugin").args(arguments).current_dir(folder).output();
    let output = output.expect("weir starts");
    let text = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    (output.status.code(), text.concat())
}

#[track_caller]
fn done(folder: &Path, arguments: &[&str]) -> String {
    let (code, said) = plugin(folder, arguments);
    assert_eq!(code, Some(0), "{arguments:?}: {said}");
    said
}

fn post(server: &Server, rows: &[Value]) {
    let body: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let (status, answer) = server.post("/v1/streams/s/events?wait=visible", body);
    assert_eq!((status, &answer["accepted"]), (200, &json!(rows.len())), "{answer}");
}

fn row(fare: f64, tip: Option<f64>, note: &str, second: u32) -> Value {
    let time = format!("2026-01-01T00:00:{second:02}Z");
    json!({"k": "a", "fare": fare, "tip": tip, "note": note, "t": time})
}

#[track_caller]
fn features(server: &Server) -> Value {
    looked_up(server).expect("the job answers")
}

/// The features; `None` while the job does not answer.
fn looked_up(server: &Server) -> Option<Value> {
    let (status, answer) = server.get("/v1/jobs/j/values?k=a");
    let of_open_window = |name: &str| answer["features"][name]["current"]["value"].clone();
    (status == 200)
        .then(|| json!([of_open_window("tips"), of_open_window("longest"), of_open_window("over")]))
}

#[test]
fn a_folder_in_python_becomes_values_that_are_looked_up() {
    let project = Project::new();
    let here = project.path();
    done(here, &["new", "fares", "--lang", "python"]);
    assert!(done(here, &["test", "fares"]).contains("1 passed"));
    project.file("fares/plugin.py", PLUGIN).file("fares/test_plugin.py", "");
    done(here, &["build", "fares"]);

    project.file("streams/s.yaml", STREAM).file("jobs/j.yaml", JOB);
    project
        .file("lines.txt", LINES)
        .file("streams/lines.yaml", STREAM_OF_LINES)
        .file("jobs/l.yaml", JOB_OF_LINES);
    let server = Server::start(&project, "");
    server.wait_for_job("j", "the job to wait", |status| status["next_try"].is_string());
    let component = here.join("fares/dist/fares.wasm");
    let component = component.to_str().expect("a path in UTF-8");
    let (code, said) = server.weir(&["plugin", "push", "fares", component, "--activate"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("scalar tip_percent(fare double, tip double) -> double"), "{said}");
    assert!(said.contains("jobs that run with it now: j"), "{said}");
    assert!(said.contains("decode payload -> (k string, at timestamp, words array<string>)"), "{said}");
    server.wait_ready();
    decoded(&server);

    post(&server, &[row(10.0, Some(1.0), "aa", 1), row(-1.0, Some(1.0), "bad", 2), row(4.0, None, "é", 3)]);
    assert_eq!(features(&server), json!([10.0, "aa", 2]));
    let (_, letters) = server.get("/v1/deadletters/s");
    let reason = letters["dead_letters"][0]["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("plugin.py:14: ValueError: a fare below nought"), "{letters}");
    post(&server, &[row(77.0, None, "", 3), row(78.0, None, "", 3)]);
    let (_, letters) = server.get("/v1/deadletters/s");
    let text = letters.to_string();
    assert!(text.contains("plugin.py:16: ModuleNotFoundError: No module named 'colorsys'"), "{text}");
    assert!(text.contains("plugin.py:18: Forbidden: open() is not there in a plugin"), "{text}");
    let (code, said) = server.weir(&["plugin", "logs", "fares"]);
    assert!(code == Some(0) && said.contains(" info  [j] saw aa\n"), "{said}");
    let (_, told) = server.get("/v1/plugins/fares");
    let used = &told["used_by"][0];
    assert!(used["rows"].as_u64() >= Some(4) && used["seconds"].as_f64() > Some(0.0), "{told}");
    assert!(used["memory_bytes"].as_u64() > Some(1 << 20), "{told}");

    assert!(server.terminate().success());
    let server = Server::start(&project, "");
    server.wait_ready();
    assert_eq!(features(&server), json!([10.0, "aa", 2]));
    changed_while_it_runs(&project, &server);
    assert!(server.terminate().success());
}

/// What came of the lines of a file.
fn decoded(server: &Server) {
    let (status, answer) = server.get("/v1/jobs/l/values?k=a");
    let value = |name: &str| answer["features"][name]["value"].clone();
    assert_eq!((status, value("words"), value("n")), (200, json!(3), json!(2)), "{answer}");
    let (_, letters) = server.get("/v1/deadletters/lines");
    let letters = letters["dead_letters"].as_array().expect("a list");
    let reason = letters[0]["reason"].as_str().unwrap_or_default();
    assert!(
        letters.len() == 1 && reason.contains("plugin.py:69: ValueError: invalid literal"),
        "{letters:?}"
    );
    assert_eq!((&letters[0]["payload"], &letters[0]["position"]["offset"]), (&json!("b soon"), &json!(1)));
}

/// Another version reaches the running job, and a plugin that is used is not deleted.
fn changed_while_it_runs(project: &Project, server: &Server) {
    project.file("fares/plugin.py", &PLUGIN.replace("* 100", "* 1000"));
    let folder = project.path().join("fares");
    let folder = folder.to_str().expect("a path in UTF-8");
    let (code, said) = server.weir(&["plugin", "push", "fares", folder, "--activate"]);
    assert!(code == Some(1) && said.contains("`weir restart j --upgrade`"), "{code:?}: {said}");
    post(server, &[row(10.0, Some(1.0), "", 5)]);
    assert_eq!(
        features(server),
        json!([110.0, "aa", 3]),
        "aggregates go on with the version that made their state, and scalar functions are the active ones"
    );
    let (code, said) = server.weir(&["restart", "j", "--reset"]);
    assert_eq!(code, Some(0), "{said}");
    let values = crate::harness::wait_for("values of the other version", Duration::from_secs(30), || {
        looked_up(server).filter(|values| values[0] == json!(200.0))
    });
    assert_eq!(values, json!([200.0, "aa", 3]), "made anew of all events");
    let (code, said) = server.weir(&["plugin", "delete", "fares"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("job `j` calls"), "{said}");
}

#[test]
fn the_kit_keeps_its_own_tests() {
    let tests = Command::new("python3")
        .args(["-S", "-m", "unittest", "tests.test_plugin", "tests.test_process", "tests.test_transform"])
        .current_dir(repository().join("guest-sdk/python"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .expect("Python is there");
    assert!(tests.status.success(), "{}", String::from_utf8_lossy(&tests.stderr));
}

#[test]
fn the_samples_keep_their_own_tests() {
    let samples = repository().join("plugins/python");
    for sample in ["geo_py", "risk_py", "tracker_py", "trip_py", "visits_py"] {
        let said = done(&samples, &["test", sample]);
        assert!(said.contains(" passed"), "{sample}: {said}");
    }
}

#[test]
fn a_new_folder_of_any_kind_keeps_its_own_tests() {
    let project = Project::new();
    for kind in ["scalar", "transform", "aggregate", "decode", "process"] {
        let name = format!("of_{kind}");
        done(project.path(), &["new", &name, "--lang", "python", "--kind", kind]);
        let said = done(project.path(), &["test", &name]);
        assert!(said.contains(" passed"), "{kind}: {said}");
    }
}

#[test]
fn what_cannot_be_built_is_told_in_the_words_of_its_author() {
    let project = Project::new();
    let here = project.path();
    project.file("empty/readme.txt", "nothing here");
    for (text, expected) in [
        (
            "import weir\n",
            "declares no function; write @weir.scalar, @weir.transform, @weir.aggregate, @weir.process or @weir.decode over one",
        ),
        ("import weir\n@weir.scalar\ndef f(x) -> int: ...\n", "`x` of `f` has no type hint"),
        ("import nowhere\n", "No module named 'nowhere'"),
        ("def f(:\n", "SyntaxError"),
    ] {
        project.file("bad/plugin.py", text);
        let (code, said) = plugin(here, &["build", "bad"]);
        assert!(code == Some(1) && said.contains(expected), "{code:?}: {said}");
    }
    let (code, said) = plugin(here, &["build", "empty"]);
    assert!(
        code == Some(1) && said.contains("has no Cargo.toml, plugin.py or plugin.js"),
        "{code:?}: {said}"
    );
    project.file("bad/plugin.py", PLUGIN).file("bad/requirements.txt", "weir-no-such-package==1\n");
    let (code, said) = plugin(here, &["build", "bad"]);
    assert!(code != Some(0) && said.contains("requirements.txt cannot be installed"), "{code:?}: {said}");
}
