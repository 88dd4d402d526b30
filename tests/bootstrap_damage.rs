//! Archives whose files are not what they were: a job does not go on without rows that a restored file has, training does not
//! either, and rows that stand there twice are told of.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::bootstrap::{bootstrapped, post};
use crate::filling::{ARCHIVED, project};
use crate::harness::{Project, Server};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

const POSTED: usize = 15_000;
const SETTINGS: &str = "shards: 2\ncheckpoint: {every: 50ms}\n";

fn write_job(project: &Project, features: &str) {
    let query = format!("query: SELECT origin, {features} FROM flights GROUP BY origin\n");
    project.file("jobs/all.yaml", &format!("{query}emit: {{on: change}}\nhistory: 1d\n"));
}

/// The files of the archive, the largest first.
fn files(project: &Project) -> Vec<PathBuf> {
    let below = |folder: &Path| {
        let entries = std::fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
    };
    let mut files: Vec<PathBuf> = below(&project.path().join("archive"))
        .iter()
        .filter(|it| it.is_dir())
        .flat_map(|it| below(it))
        .collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "parquet"));
    files.sort_by_key(|file| std::cmp::Reverse(std::fs::metadata(file).unwrap().len()));
    files
}

fn flights(server: &Server) -> u64 {
    let entities = ["EWR", "JFK", "LGA"].map(|origin| json!({"origin": origin}));
    let request = json!({"features": ["all"], "entities": entities});
    let (status, answer) = server.post("/v1/lookup", request.to_string());
    assert_eq!(status, 200, "{answer}");
    let counted = |row: &Value| row["features"]["all:flights"]["value"].as_u64().unwrap();
    answer["rows"].as_array().unwrap().iter().map(counted).sum()
}

#[test]
fn a_damaged_file_of_an_archive_stops_its_job_until_it_is_restored() {
    let (project, all) = project();
    write_job(&project, "COUNT(*) AS flights");
    let file = files(&project).swap_remove(0);
    let whole = std::fs::read(&file).unwrap();
    let mut damaged = whole.clone();
    let (from, until) = (whole.len() / 10, whole.len() / 2);
    damaged[from..until].fill(0xff);
    std::fs::write(&file, &damaged).unwrap();

    let server = Server::start(&project, SETTINGS);
    post(&server, &all[ARCHIVED - 1..POSTED]);
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    // Before the first row is posted it waits for that.
    let is_told = |job: &Value| job["reason"].as_str().is_some_and(|reason| reason.contains("is damaged"));
    let told = server.wait_for_job("all", "the damage", is_told);
    let reason = told["reason"].as_str().unwrap();
    assert!(reason.contains("restore the file"), "{reason}");
    assert!(reason.contains(&name), "{reason}");
    assert_ne!(told["bootstrap"]["state"], "done");
    let spine = "origin,event_time\nJFK,2013-01-20T00:00:00Z\n";
    project.file("spine.csv", spine);
    let place = |name: &str| project.path().join(name).to_str().unwrap().to_owned();
    let (spine, set) = (place("spine.csv"), place("set.csv"));
    let arguments = ["--spine", &spine, "--features", "all", "--as-of", "event", "-o", &set];
    let trained = project.weir("train", &arguments);
    let said = String::from_utf8_lossy(&trained.stderr).into_owned();
    assert!(!trained.status.success() && said.contains("restore the file"), "{said}");

    std::fs::write(&file, &whole).unwrap();
    let (status, answer) = server.post("/v1/jobs/all/restart", "");
    assert_eq!(status, 200, "{answer}");
    bootstrapped(&server, "all");
    server.wait_for_job("all", "all events", |job| job["events"] == POSTED);
    assert_eq!(flights(&server), POSTED as u64);
    assert!(server.terminate().success());
}

const ROWS: u64 = 20_000;

/// An archive of one object container file, and a log of one row behind it.
fn archived_in_a_container() -> (Project, PathBuf) {
    let project = Project::new();
    let fields = "fields: {k: string, v: bigint, t: timestamp}\nevent_time: t\n";
    let row =
        |at: u64| format!("{}\n", json!({"k": format!("k{}", at % 7), "v": at, "t": 1_760_000_000_000 + at}));
    let writer = Project::new();
    writer.file("rows.jsonl", &(0..ROWS).map(row).collect::<String>());
    writer.file("streams/s.yaml", &format!("{fields}source: {{file: {{path: rows.jsonl}}}}\n"));
    writer
        .file("jobs/all.yaml", "query: SELECT k, v, t FROM s\nsinks: [{file: {path: out, format: avro}}]\n");
    assert!(writer.weir("run", &["--until-end"]).status.success());
    let written = std::fs::read_dir(writer.path().join("out")).unwrap().map(|entry| entry.unwrap().path());
    let written = written.into_iter().find(|path| path.extension().is_some_and(|it| it == "avro")).unwrap();
    let file = project.path().join("archive/all.avro");
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    std::fs::copy(written, &file).unwrap();
    project.file("log.jsonl", &row(ROWS));
    let archive = "{source: {file: {path: 'archive/*'}}, format: avro, allow_gap: true}";
    let origin = format!("source: {{file: {{path: log.jsonl}}}}\narchive: {archive}\n");
    project.file("streams/s.yaml", &format!("{fields}{origin}"));
    let sink = "sinks: [{file: {path: counts.jsonl}}]\n";
    project.file(
        "jobs/n.yaml",
        &format!("query: SELECT k, COUNT(*) AS n FROM s GROUP BY k\nemit: {{on: change}}\n{sink}"),
    );
    (project, file)
}

#[test]
fn blocks_of_a_container_that_are_damaged_stop_a_job_as_columns_do() {
    let (project, file) = archived_in_a_container();
    let whole = std::fs::read(&file).unwrap();
    let middle = whole.len() / 2;
    let mut block = whole.clone();
    block[middle..middle + 40].fill(0xff);
    for (what, damaged) in [("a block", block), ("the end", whole[..middle].to_vec())] {
        std::fs::write(&file, damaged).unwrap();
        let run = project.weir("run", &["--until-end", "--reset", "n"]);
        let said = String::from_utf8_lossy(&run.stderr).into_owned();
        assert!(!run.status.success(), "{what}: {said}");
        assert!(said.contains("restore the file") && said.contains("all.avro"), "{what}: {said}");
    }
    std::fs::write(&file, &whole).unwrap();
    let run = project.weir("run", &["--until-end", "--stats", "--reset", "n"]);
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    assert!(run.status.success() && said.contains(&format!("\"events\":{}", ROWS + 1)), "{said}");
}

#[test]
fn a_training_set_that_failed_half_way_is_not_taken_for_done() {
    let (project, file) = archived_in_a_container();
    let whole = std::fs::read(&file).unwrap();
    std::fs::write(&file, &whole[..whole.len() / 4 * 3]).unwrap();
    let spine: String =
        (0..2000).map(|at| format!("k{},{}\n", at % 7, 1_760_000_000_000_u64 + at * 10)).collect();
    project.file("spine.csv", &format!("k,event_time\n{spine}"));
    let place = |name: &str| project.path().join(name).to_str().unwrap().to_owned();
    let (spine, set) = (place("spine.csv"), place("set.csv"));
    let train = || project.weir("train", &["--spine", &spine, "--features", "n", "-o", &set]);
    for attempt in 1..=3 {
        let trained = train();
        let said = String::from_utf8_lossy(&trained.stderr).into_owned();
        assert!(!trained.status.success() && said.contains("restore the file"), "{attempt}: {said}");
    }
    std::fs::write(&file, &whole).unwrap();
    let trained = train();
    assert!(trained.status.success(), "{}", String::from_utf8_lossy(&trained.stderr));
    assert_eq!(std::fs::read_to_string(&set).unwrap().lines().count(), 2001);
}

#[test]
fn rows_that_stand_in_an_archive_twice_are_told_when_a_feature_is_filled() {
    let (project, all) = project();
    write_job(&project, "COUNT(*) AS flights");
    let server = Server::start(&project, SETTINGS);
    post(&server, &all[ARCHIVED - 1..POSTED]);
    bootstrapped(&server, "all");
    server.wait_for_job("all", "all events", |job| job["events"] == POSTED);
    assert_eq!(flights(&server), POSTED as u64);

    let file = files(&project).swap_remove(0);
    std::fs::copy(&file, file.with_file_name("again.parquet")).unwrap();
    write_job(&project, "COUNT(*) AS flights, SUM(distance) AS miles");
    server.signal("HUP");
    let has_miles = |job: &Value| {
        let features = job["features"].as_array().unwrap();
        features.iter().any(|feature| feature["name"] == "miles") && job["state"] == "running"
    };
    server.wait_for_job("all", "lookups by the new definition", has_miles);
    let log = std::fs::read_to_string(project.path().join("serve.log")).unwrap();
    assert!(log.contains("rows between 2013-01-") && log.contains("or rows that stand there twice"), "{log}");
    assert!(server.terminate().success());
}

/// Rows that come while it is filled are no more than the job counts.
#[test]
fn a_filling_that_has_what_its_job_has_is_not_told_of() {
    let (project, all) = project();
    write_job(&project, "COUNT(*) AS flights");
    let server = Server::start(&project, SETTINGS);
    post(&server, &all[ARCHIVED - 1..POSTED]);
    bootstrapped(&server, "all");
    write_job(&project, "COUNT(*) AS flights, SUM(distance) AS miles");
    server.signal("HUP");
    for later in all[POSTED..POSTED + 4000].chunks(200) {
        post(&server, later);
    }
    let has_all = |job: &Value| {
        let features = job["features"].as_array().unwrap();
        let has_miles = features.iter().any(|feature| feature["name"] == "miles");
        has_miles && job["state"] == "running" && job["events"] == POSTED + 4000
    };
    server.wait_for_job("all", "lookups by the new definition, of all events", has_all);
    assert_eq!(flights(&server), POSTED as u64 + 4000);
    let log = std::fs::read_to_string(project.path().join("serve.log")).unwrap();
    assert!(!log.contains("that the job has not counted"), "{log}");
    assert!(server.terminate().success());
}

#[test]
fn a_training_set_takes_the_place_of_no_file_that_is_read() {
    let project = Project::new();
    let rows = "{\"u\":\"a\",\"t\":\"2026-01-01T00:00:00Z\"}\n";
    project
        .file("in/events.jsonl", rows)
        .file(
            "streams/s.yaml",
            "fields: {u: string, t: timestamp}\nevent_time: t\nsource: {file: {path: in/events.jsonl}}\n",
        )
        .file("jobs/j.yaml", "query: SELECT u, COUNT(*) AS c FROM s GROUP BY u\nemit: {on: change}\n")
        .file("spine.csv", "u,event_time\na,2026-01-02T00:00:00Z\n");
    std::fs::create_dir(project.path().join("folder.csv")).unwrap();
    std::os::unix::fs::symlink(project.path().join("in"), project.path().join("other")).unwrap();
    let place = |name: &str| project.path().join(name).to_str().unwrap().to_owned();
    let spine = place("spine.csv");
    for (output, reason) in [
        ("in/events.jsonl", "stream `s` reads files like it"),
        ("other/events.jsonl", "stream `s` reads files like it"),
        ("jobs/set.csv", "jobs/ is for definitions"),
        ("folder.csv", "that is a folder"),
    ] {
        let arguments = ["--spine", &spine, "--features", "j", "-o", &place(output)];
        let trained = project.weir("train", &arguments);
        let said = String::from_utf8_lossy(&trained.stderr).into_owned();
        assert!(trained.status.code() == Some(1) && said.contains(reason), "{output}: {said}");
    }
    assert_eq!(std::fs::read_to_string(project.path().join("in/events.jsonl")).unwrap(), rows);
    let wide: String = (0..10_001).map(|column| format!(",c{column}")).collect();
    project.file("wide.csv", &format!("u,event_time{wide}\na,2026-01-02T00:00:00Z{}\n", ",1".repeat(10_001)));
    let arguments = ["--spine", &place("wide.csv"), "--features", "j", "-o", &place("set.csv")];
    let trained = project.weir("train", &arguments);
    let said = String::from_utf8_lossy(&trained.stderr).into_owned();
    assert!(said.contains("more than 10000 columns"), "{said:.300}");
}
