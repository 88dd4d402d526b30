//! Data that is not what weir left: an ingest log or a state that was moved away, shortened or put back from an older
//! copy. Rows that a sender was told of are counted, or it is said that they are not.

use crate::harness::{Project, Server, wait_for};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};

const SETTINGS: &str = "shards: 1\ncheckpoint: {every: 100ms}\n";

/// A stream that takes rows and a job that counts them by key.
fn counting() -> Project {
    let project = Project::new();
    project
        .file(
            "streams/s.yaml",
            "stream: s\nfields: {k: string, n: bigint, t: timestamp}\nevent_time: t\ndisorder: 5s\nsource: {http: {}}\n",
        )
        .file("jobs/life.yaml", "query: SELECT k, COUNT(*) AS c FROM s GROUP BY k\nemit: {on: change}\n");
    project
}

fn body(rows: std::ops::Range<u64>, key: &str) -> String {
    rows.map(|n| format!("{{\"k\":\"{key}\",\"n\":{n},\"t\":\"2026-01-01T00:00:00Z\"}}\n")).collect()
}

#[track_caller]
fn post(server: &Server, rows: std::ops::Range<u64>, key: &str) {
    let count = rows.end - rows.start;
    let (status, answer) = server.post("/v1/streams/s/events", body(rows, key));
    assert_eq!((status, &answer["accepted"]), (200, &Value::from(count)), "{answer}");
}

fn count(server: &Server, key: &str) -> u64 {
    let (_, answer) = server.get(&format!("/v1/jobs/life/values?k={key}"));
    answer["features"]["c"]["value"].as_u64().unwrap_or(0)
}

/// Waits until a checkpoint holds so many rows of the log.
#[track_caller]
fn wait_committed(server: &Server, job: &str, events: u64) {
    let status = server.wait_for_job(job, "the rows to be read", |job| {
        job["partitions"][0]["position"]["next"].as_u64() == Some(events)
    });
    let taken = status["last_checkpoint"]["number"].as_u64().unwrap_or(0);
    // The next may have begun before the rows came; the one after it has not.
    server.wait_for_job(job, "a checkpoint of them", |job| {
        job["last_checkpoint"]["number"].as_u64() >= Some(taken + 2)
    });
}

fn log(project: &Project) -> String {
    fs::read_to_string(project.path().join("serve.log")).unwrap_or_default()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder can be made");
    for entry in fs::read_dir(from).expect("a folder can be listed") {
        let entry = entry.expect("an entry");
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            fs::copy(&from, &to).expect("a file can be copied");
        }
    }
}

fn put_back(copy_of: &Path, at: &Path) {
    fs::remove_dir_all(at).expect("a folder can be removed");
    copy(copy_of, at);
}

/// The one file of the stream's ingest log.
fn segment(project: &Project) -> PathBuf {
    let mut files: Vec<PathBuf> = fs::read_dir(project.path().join(".weir/ingest/s"))
        .expect("the log's folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

#[test]
fn rows_after_a_log_was_moved_away_are_all_counted_and_the_gap_is_said() {
    let project = counting();
    let server = Server::start(&project, SETTINGS);
    post(&server, 0..1000, "a");
    wait_committed(&server, "life", 1000);
    assert!(server.terminate().success());
    let ingest = project.path().join(".weir/ingest");
    fs::rename(&ingest, project.path().join("gone")).expect("a folder can be moved");

    let server = Server::start(&project, SETTINGS);
    post(&server, 0..1500, "b");
    server.wait_for_job("life", "all rows", |job| job["partitions"][0]["position"]["next"] == 2500);
    assert_eq!((count(&server, "a"), count(&server, "b")), (1000, 1500));
    server.kill();
    let server = Server::start(&project, SETTINGS);
    server.wait_ready();
    assert_eq!((count(&server, "a"), count(&server, "b")), (1000, 1500));
    let (_, letters) = server.get_text("/v1/deadletters/s");
    assert!(letters.contains("not there any more, and a new one begins at row 1000"), "{letters}");
    assert!(log(&project).contains("a new one begins at that row"), "{}", log(&project));
    assert!(server.terminate().success());
}

#[test]
fn a_log_of_an_older_copy_takes_no_rows_until_somebody_decides() {
    let project = counting();
    let server = Server::start(&project, SETTINGS);
    post(&server, 0..100, "a");
    wait_committed(&server, "life", 100);
    assert!(server.terminate().success());
    let (ingest, older) = (project.path().join(".weir/ingest"), project.path().join("older"));
    copy(&ingest, &older);
    let server = Server::start(&project, SETTINGS);
    post(&server, 100..300, "a");
    wait_committed(&server, "life", 300);
    assert!(server.terminate().success());
    put_back(&older, &ingest);

    let server = Server::start(&project, SETTINGS);
    let status = server.wait_for_job("life", "the job to fail", |job| job["state"] == "failed");
    let reason = status["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("ends at row 100") && reason.contains("up to row 300"), "{status}");
    let (status, answer) = server.post("/v1/streams/s/events", body(300..310, "a"));
    assert_eq!(status, 503, "{answer}");
    assert!(
        answer["detail"].as_str().is_some_and(|it| it.contains("move ") && it.contains("job `life`")),
        "{answer}"
    );
    // What the reason says does help: here, to begin anew from what the log has.
    let (code, said) = server.weir(&["restart", "life", "--reset"]);
    assert_eq!(code, Some(0), "{said}");
    post(&server, 300..310, "a");
    wait_for("the rows of the log", std::time::Duration::from_secs(30), || {
        (count(&server, "a") == 110).then_some(())
    });
    assert!(server.terminate().success());
}

#[test]
fn an_end_that_was_damaged_is_kept_aside_and_not_called_torn() {
    let project = counting();
    let server = Server::start(&project, "checkpoint: {every: 1h}\n");
    post(&server, 0..3, "a");
    server.kill();
    let path = segment(&project);
    let whole = fs::read(&path).expect("the log");
    fs::write(&path, &whole[..whole.len() - 1]).expect("the log can be written");
    let server = Server::start(&project, SETTINGS);
    let said = log(&project);
    assert!(said.contains("not a whole write") && !said.contains("no sender was told"), "{said}");
    let aside = path
        .with_file_name(format!("{}.cut1", path.file_name().and_then(|name| name.to_str()).expect("a name")));
    let kept = fs::read(&aside).expect("what was cut off is beside it");
    assert!(whole[..whole.len() - 1].ends_with(&kept) && said.contains(&*aside.to_string_lossy()), "{said}");
    // A checkpoint notes the end: what is missing then is known to have been accepted.
    post(&server, 3..8, "a");
    wait_committed(&server, "life", 5);
    assert!(server.terminate().success());
    let whole = fs::read(&path).expect("the log");
    fs::write(&path, &whole[..whole.len() - 1]).expect("the log can be written");
    let server = Server::start(&project, SETTINGS);
    assert!(log(&project).contains("5 rows that senders were told are kept are gone"), "{}", log(&project));
    drop(server);
}

/// [`counting`], with a job that writes every row into a file.
fn writing() -> Project {
    let project = counting();
    project.file("jobs/pass.yaml", "query: SELECT k, n FROM s\nsinks: [{file: {path: out/pass}}]\n");
    project
}

/// `weir serve` refuses to start and says this.
#[track_caller]
fn refused(project: &Project, says: &[&str]) {
    let output = project.weir("serve", &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3), "{said}");
    for word in says.iter().chain(&["--accept-older"]) {
        assert!(said.contains(word), "`{word}` is not in: {said}");
    }
}

fn written(project: &Project) -> (usize, usize) {
    let mut numbers: Vec<u64> = project.rows("out/pass").iter().filter_map(|row| row["n"].as_u64()).collect();
    let all = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    (all, numbers.len())
}

#[test]
fn a_state_of_an_older_copy_is_refused_and_accepted_when_told() {
    let project = writing();
    let (state, older) = (project.path().join(".weir/state"), project.path().join("older"));
    let server = Server::start(&project, SETTINGS);
    post(&server, 0..100, "a");
    wait_committed(&server, "pass", 100);
    assert!(server.terminate().success());
    copy(&state, &older);
    let server = Server::start(&project, SETTINGS);
    post(&server, 100..200, "a");
    wait_committed(&server, "pass", 200);
    assert!(server.terminate().success());
    assert_eq!(written(&project), (200, 200));

    put_back(&older, &state);
    refused(&project, &["can be found there", "put back"]);
    let server = Server::start_with(&project, SETTINGS, &["--accept-older"]);
    server.wait_ready();
    wait_committed(&server, "pass", 200);
    assert!(server.terminate().success());
    assert!(log(&project).contains("results since are written again"), "{}", log(&project));
    assert_eq!(written(&project), (300, 200), "as was said");
    let server = Server::start(&project, SETTINGS);
    server.wait_ready();
    assert!(server.terminate().success());

    // One that is gone is as much behind.
    fs::remove_dir_all(&state).expect("a folder can be removed");
    refused(&project, &["was left by another state", "deleted, replaced or moved"]);
    // The sink's folder alone knows it, too.
    fs::rename(project.path().join(".weir"), project.path().join("gone")).expect("a folder can be moved");
    refused(&project, &["out/pass/.pass.state"]);
    let server = Server::start_with(&project, SETTINGS, &["--accept-older"]);
    assert!(server.terminate().success());
    let server = Server::start(&project, SETTINGS);
    assert!(server.terminate().success());
}
