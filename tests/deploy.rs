//! What a service is made of: the container's file, the unit, alerts and dashboard are checked by the tools that would
//! read them, where those are, and against the program and its metrics, everywhere.

use crate::harness::{Project, Server, repository, weir};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn folder() -> PathBuf {
    repository().join("host/weir/deploy")
}

fn text(name: &str) -> String {
    std::fs::read_to_string(folder().join(name)).expect("a file of the deploy folder")
}

/// A program on the path, or where `tests/setup` puts what it fetches.
fn tool(name: &str) -> Option<PathBuf> {
    let home = std::env::var("HOME").unwrap_or_default();
    let cache = std::env::var("WEIR_CACHE").unwrap_or_else(|_| format!("{home}/.cache/weir"));
    let path = std::env::var("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).chain([PathBuf::from(cache)]).map(|folder| folder.join(name));
    let found = found.into_iter().find(|path| path.is_file());
    if found.is_none() {
        eprintln!("{name} is not here, so what it would check is not checked");
    }
    found
}

/// Runs a tool in a folder; it must find nothing.
#[track_caller]
fn check_with(tool: &Path, arguments: &[&str], folder: &Path) {
    let output = Command::new(tool).args(arguments).current_dir(folder).output().expect("the tool runs");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{} {arguments:?}: {said}", tool.display());
}

#[test]
fn prometheus_takes_the_alerts_and_they_fire() {
    let Some(promtool) = tool("promtool") else { return };
    check_with(&promtool, &["check", "config", "prometheus.yaml"], &folder());
    check_with(&promtool, &["test", "rules", "alerts.test.yaml"], &folder());
}

#[test]
fn systemd_takes_the_unit_and_finds_it_closed() {
    let Some(analyze) = tool("systemd-analyze") else { return };
    let project = Project::new();
    let here = text("weir.service").replace("/usr/local/bin/weir", &weir().display().to_string());
    project.file("weir.service", &here);
    check_with(&analyze, &["verify", "./weir.service"], project.path());
    // Of 100, where a service without any setting has 96.
    let closed = ["security", "--offline=yes", "--threshold=20", "./weir.service"];
    check_with(&analyze, &closed, project.path());
}

/// The names of weir's series in a text, without what histograms add.
fn series(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let ours = words.filter(|word| word.starts_with("weir_") || word.starts_with("process_"));
    ours.map(|word| word.trim_end_matches("_bucket").to_owned()).collect()
}

#[test]
fn alerts_and_dashboard_ask_for_series_that_there_are() {
    let project = Project::new();
    project
        .file("streams/s.yaml", "fields: {u: string, t: timestamp}\nevent_time: t\nsource: {http: {}}\n")
        .file("jobs/j.yaml", "query: SELECT u, COUNT(*) OVER (PARTITION BY u ORDER BY t) AS n FROM s\n");
    let server = Server::start(&project, "");
    let (status, answer) = server.post("/v1/streams/s/events", "{\"u\":\"a\",\"t\":0}");
    assert_eq!(status, 200, "{answer}");
    let (status, page) = server.get_text("/metrics");
    assert_eq!(status, 200);
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let known: BTreeSet<String> = types.map(str::to_owned).collect();
    for file in ["alerts.yaml", "alerts.test.yaml", "dashboard.json"] {
        let asked = series(&text(file));
        assert!(asked.len() > 3, "{file}: {asked:?}");
        let unknown: Vec<_> = asked.difference(&known).collect();
        assert!(unknown.is_empty(), "{file} asks for {unknown:?}; there are {known:?}");
    }
}

#[test]
fn every_panel_of_the_dashboard_can_be_drawn() {
    let dashboard: Value = serde_json::from_str(&text("dashboard.json")).expect("the dashboard is JSON");
    let variables = dashboard["templating"]["list"].as_array().expect("variables");
    let variables: Vec<&str> = variables.iter().filter_map(|variable| variable["name"].as_str()).collect();
    let panels = dashboard["panels"].as_array().expect("panels");
    assert!(panels.len() > 10, "{}", panels.len());
    let mut taken = BTreeSet::new();
    for panel in panels {
        let title = panel["title"].as_str().expect("a title");
        assert!(panel["description"].as_str().is_some_and(|words| !words.is_empty()), "{title}");
        for target in panel["targets"].as_array().expect("targets") {
            let query = target["expr"].as_str().expect("a query");
            let depth = query.chars().map(|c| i32::from("([{".contains(c)) - i32::from(")]}".contains(c)));
            assert_eq!(depth.sum::<i32>(), 0, "{title}: {query}");
            let names = query.match_indices("=~\"$").map(|(at, mark)| &query[at + mark.len()..]);
            for name in names.filter_map(|rest| rest.split('"').next()) {
                assert!(variables.contains(&name), "{title}: ${name} is not a variable");
            }
        }
        let at = |side: &str| panel["gridPos"][side].as_u64().expect("a place");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(x < 24 && taken.insert((x, y)), "{title} lies over another panel, or outside");
            }
        }
    }
}

/// The instructions of a container's file: the word, and the rest with continued lines joined.
fn instructions(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    let split =
        |line: &str| line.split_once(' ').map(|(word, rest)| (word.to_owned(), rest.trim().to_owned()));
    joined.lines().filter_map(split).collect()
}

#[test]
fn the_container_is_made_of_what_is_there_and_has_no_rights() {
    let instructions = instructions(&text("Dockerfile"));
    let all = |word: &str| -> Vec<&str> {
        instructions.iter().filter(|(found, _)| found == word).map(|(_, rest)| rest.as_str()).collect()
    };
    let stages = all("FROM");
    let toolchain = std::fs::read_to_string(repository().join("rust-toolchain.toml")).expect("the toolchain");
    let version = toolchain.split('"').nth(1).expect("a version");
    assert!(
        stages[0].starts_with(&format!("rust:{version}-")) && stages[0].ends_with(" AS build"),
        "{stages:?}"
    );
    assert!(
        stages
            .last()
            .is_some_and(|last| last.starts_with("gcr.io/distroless/") && last.ends_with(":nonroot"))
    );
    assert!(
        all("USER").iter().all(|user| !user.starts_with('0') && !user.starts_with("root"))
            && !all("USER").is_empty()
    );
    // What a part of the workspace is made of is there, or the build of a fresh clone fails.
    let copied: Vec<&str> = all("COPY").into_iter().filter(|copy| !copy.starts_with("--from=")).collect();
    let copied: Vec<&str> = copied.iter().flat_map(|copy| copy.split(' ')).collect();
    let manifest = std::fs::read_to_string(repository().join("Cargo.toml")).expect("the workspace");
    let members =
        manifest.split("members = [").nth(1).and_then(|rest| rest.split(']').next()).expect("members");
    for member in members.split('"').skip(1).step_by(2).chain(["Cargo.lock", "rust-toolchain.toml", "wit"]) {
        let top = member.split('/').next().unwrap_or(member);
        assert!(copied.contains(&top) && repository().join(top).exists(), "{top} is not copied: {copied:?}");
    }
    // The program takes the arguments that it is started with.
    let words = all("CMD")[0].trim_matches(['[', ']']).replace(['"', ','], "");
    let mut weir = Command::new(weir());
    let output = weir.args(words.split_whitespace()).arg("--help").output().expect("weir starts");
    assert!(output.status.success(), "{output:?}");
}

/// The variables of weir in a text.
fn variables(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_uppercase() && c != '_');
    words.filter(|word| word.starts_with("WEIR_")).collect()
}

#[test]
fn settings_that_the_files_name_are_settings_of_weir() {
    let reference =
        std::fs::read_to_string(repository().join("host/weir/REFERENCE.md")).expect("the reference");
    for file in ["Dockerfile", "weir.service"] {
        let text = text(file);
        let (known, named) = (variables(&reference), variables(&text));
        assert!(!named.is_empty(), "{file} names no setting");
        let unknown: Vec<_> = named.difference(&known).collect();
        assert!(unknown.is_empty(), "{file} names {unknown:?}, which weir does not know: {known:?}");
    }
}
