//! Training sets by `POST /v1/train`: the bytes that `weir train` writes; what is wrong is said as it says it; some are made
//! at once and others wait; whatever ends a server, no process of it stays, and the next one goes on with what was not done.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Project, Server, wait_for};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::PathBuf;
use std::time::Duration;
use weir_engine::SystemClock;
use weir_event::Clock;

const STREAM: &str = "\
fields: {user_id: string, n: bigint, at: timestamp}
event_time: at
idle_after: 1h
source: {file: {path: rides.jsonl}}
";
const BASE: i64 = 1_770_000_000_000;
const SPINE: &str = "\
user_id,event_time,label
u1,2026-02-02T02:41:00Z,a
u2,2026-02-02T02:41:05Z,\"b, \"\"c\"\"\"
,2026-02-02T02:41:06Z,
nobody,1770000000000,d
";
/// How long anything may take on a slow machine.
const SOON: Duration = Duration::from_secs(120);

/// A job over so many events of three users, one each second.
fn project(events: i64) -> Project {
    let project = Project::new();
    let over = "query: |\n  SELECT user_id, COUNT(*) OVER w AS c, SUM(n) OVER w AS s FROM rides\n  WINDOW w AS (PARTITION BY \
                user_id ORDER BY at RANGE INTERVAL '10' SECOND PRECEDING)\n";
    let tumble = "query: |\n  SELECT user_id, COUNT(*) AS c FROM rides GROUP BY user_id, TUMBLE(at, INTERVAL '5' SECOND)\n";
    let event = |second: i64| json!({"user_id": format!("u{}", second % 3), "n": second % 5, "at": BASE + second * 1000});
    project.file("streams/rides.yaml", STREAM);
    project.file("jobs/user.yaml", over);
    project.file("jobs/five.yaml", tumble);
    project
        .file("rides.jsonl", &(0..events).map(|second| format!("{}\n", event(second))).collect::<String>());
    project
}

/// A project whose history nobody gets to the end of, and which only training reads: its one job is for that alone.
fn endless_project() -> Project {
    let project = project(1);
    std::fs::remove_file(project.path().join("jobs/five.yaml")).unwrap();
    project.file(
        "streams/rides.yaml",
        "fields: {user_id: string, event_time: timestamp}\nevent_time: event_time\nsource: {generator: {kind: rides, until: \
         1000000000000, start: \"2020-01-01T00:00:00Z\"}}\n",
    );
    let ahead = "query: |\n  SELECT user_id, COUNT(*) OVER w AS c FROM rides\n  WINDOW w AS (PARTITION BY user_id ORDER BY \
                 event_time RANGE BETWEEN CURRENT ROW AND INTERVAL '1' HOUR FOLLOWING)\n";
    project.file("jobs/user.yaml", ahead);
    project
}

/// What `weir train` writes.
#[track_caller]
fn by_command(project: &Project, spine: &str, features: &str, output: &str, more: &[&str]) -> Vec<u8> {
    let [spine, output] = [spine, output].map(|name| project.path().join(name).to_str().unwrap().to_owned());
    let done =
        project.weir("train", &[&["--spine", &spine, "--features", features, "-o", &output], more].concat());
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    std::fs::read(output).unwrap()
}

/// Orders a training set: its id.
#[track_caller]
fn ordered(server: &Server, query: &str, content_type: &str, spine: impl AsRef<[u8]>) -> String {
    let path = format!("/v1/train?{query}");
    let (status, answer) = server.post_with(&path, ("content-type", content_type), spine);
    assert_eq!(status, 202, "{answer}");
    answer["id"].as_str().unwrap().to_owned()
}

#[track_caller]
fn state(server: &Server, id: &str) -> Value {
    let (status, answer) = server.get(&format!("/v1/train/{id}"));
    assert_eq!(status, 200, "{answer}");
    answer
}

/// Waits until a training set is one of these.
#[track_caller]
fn reached(server: &Server, id: &str, states: &[&str]) -> Value {
    wait_for("a training set", SOON, || {
        let answer = state(server, id);
        states.contains(&answer["state"].as_str().unwrap()).then_some(answer)
    })
}

/// The file of one that gets done.
#[track_caller]
fn made(server: &Server, id: &str) -> Vec<u8> {
    let answer = reached(server, id, &["done", "failed"]);
    assert_eq!(answer["state"], "done", "{answer}");
    let (status, headers, bytes) = server.get_bytes(&format!("/v1/train/{id}/result"));
    assert_eq!((status, headers["content-length"].to_str().unwrap()), (200, &*bytes.len().to_string()));
    assert_eq!(answer["bytes"], bytes.len());
    bytes
}

/// Processes that make training sets of this project.
fn makers(project: &Project) -> Vec<PathBuf> {
    let of_project = project.path().to_string_lossy().into_owned();
    let is_maker = |path: &PathBuf| {
        let words = std::fs::read_to_string(path.join("cmdline")).unwrap_or_default();
        let words: Vec<&str> = words.split('\0').collect();
        words.contains(&"make-training-set") && words.contains(&&*of_project)
    };
    let processes = std::fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    processes.filter(is_maker).collect()
}

/// What is below `train` of the data folder: of each training set the names of its files.
fn left(project: &Project) -> Vec<Vec<String>> {
    let Ok(folders) = std::fs::read_dir(project.path().join(".weir/train")) else { return Vec::new() };
    let files = |folder: std::io::Result<std::fs::DirEntry>| {
        let files = std::fs::read_dir(folder.unwrap().path()).into_iter().flatten().flatten();
        let mut names: Vec<_> = files.map(|file| file.file_name().to_string_lossy().into_owned()).collect();
        names.sort_unstable();
        names
    };
    folders.map(files).collect()
}

/// Waits until one result is all that is left: what it was made of goes when it can be had already.
fn until_done_is_alone(project: &Project) {
    let alone = [["result.csv".to_owned(), "status.json".to_owned()].to_vec()];
    wait_for("what is done alone", SOON, || (left(project) == alone).then_some(()));
}

#[test]
fn a_training_set_is_the_same_by_command_and_by_post() {
    let project = project(1000);
    project.file("spine.csv", SPINE);
    let lines = by_command(&project, "spine.csv", "five", "spine.jsonl", &[]);
    let parquet = by_command(&project, "spine.csv", "five", "spine.parquet", &[]);
    let spines = [
        ("spine.csv", "text/csv; charset=utf-8", SPINE.as_bytes().to_vec()),
        ("spine.jsonl", "application/x-ndjson", lines),
        ("spine.parquet", "application/vnd.apache.parquet", parquet),
    ];
    let orders: [(&str, &[&str]); 3] = [
        ("as_of=event", &["--as-of", "event"]),
        ("status=true&serving_delay=2s", &["--status", "--serving-delay", "2s"]),
        ("time=event_time", &[]),
    ];
    let server = Server::start(&project, "");
    for (format, (query, options)) in ["csv", "jsonl", "parquet"].into_iter().zip(orders) {
        for (name, content_type, spine) in &spines {
            let by_command = by_command(&project, name, "user:s,user:c", &format!("out.{format}"), options);
            let query = format!("features=user:s,user:c&format={format}&{query}");
            for content_type in [content_type, "application/x-www-form-urlencoded"] {
                let id = ordered(&server, &query, content_type, spine);
                assert_eq!(made(&server, &id), by_command, "{name} {query}");
                let about = &state(&server, &id)["made_of"];
                assert_eq!(about["jobs"]["user"]["events"], 1000, "{about}");
            }
        }
    }
    let (status, all) = server.get("/v1/train");
    let all = all["training_sets"].as_array().unwrap();
    assert_eq!((status, all.len()), (200, 18));
    for one in all {
        assert_eq!((&one["state"], &one["rows"]), (&json!("done"), &json!(4)), "{one}");
        assert_eq!(one["progress"], json!({"events": 1000, "answered": 4, "of": 4, "share": 1.0}), "{one}");
        let id = one["id"].as_str().unwrap();
        assert_eq!(server.delete(&format!("/v1/train/{id}")), (200, json!({"id": id, "removed": true})));
        assert_eq!(server.get(&format!("/v1/train/{id}/result")).0, 404);
    }
    assert_eq!((left(&project), makers(&project)), (vec![], vec![]));
}

#[test]
fn what_is_wrong_is_said_as_the_command_says_it() {
    let project = project(100);
    project.file("jobs/plain.yaml", "query: SELECT user_id, n FROM rides\n");
    project.file("jobs/wrong.yaml", "query: SELECT user_id, nothing FROM rides\n");
    let server = Server::start(&project, "limits: {train_body: 1KiB}\n");
    let spines = [
        ("user", "user_id,at\nu1,2026-02-02T02:41:00Z\n", "no column `event_time`"),
        ("user", "user_id,event_time\nu1,yesterday\n", "yesterday"),
        ("user", "event_time\n2026-02-02T02:41:00Z\n", "user_id"),
        ("user", "user_id,event_time\n", "it has no rows"),
        ("user", "user_id,event_time,user__c\nu1,1770000000000,1\n", "two columns would be called `user__c`"),
    ];
    for (features, spine, said) in spines {
        // As the process that makes it finds it.
        project.file("spine.csv", spine);
        let mut command = std::process::Command::new(crate::harness::weir());
        let command = command.current_dir(project.path()).arg("train").arg(project.path());
        let command = command.args(["--spine", "spine.csv", "--features", features, "-o", "out.csv"]);
        let by_command = String::from_utf8(command.output().unwrap().stderr).unwrap();
        let id = ordered(&server, &format!("features={features}"), "text/csv", spine);
        let answer = reached(&server, &id, &["done", "failed"]);
        let reason = answer["reason"].as_str().unwrap_or_default();
        assert!(answer["state"] == "failed" && reason.contains(said), "{answer}");
        let by_command = by_command.replace(&format!("{}/", project.path().display()), "");
        assert!(by_command.trim_end().ends_with(reason), "{by_command}\n{reason}");
        let (status, problem) = server.get(&format!("/v1/train/{id}/result"));
        assert!(status == 409 && problem["detail"].as_str().unwrap().ends_with(reason), "{problem}");
    }
    for (query, content_type, spine, status, said) in [
        ("features=", "text/csv", SPINE, 400, "/v1/train?features=JOB"),
        ("features=user&as_of=now", "text/csv", SPINE, 400, "`as_of` is known or event"),
        ("features=user&format=xlsx", "text/csv", SPINE, 400, "`format` is parquet, csv or jsonl"),
        ("features=user&as_of=event&serving_delay=1s", "text/csv", SPINE, 400, "leave one out"),
        ("features=user&spine=x", "text/csv", SPINE, 400, "unknown parameter `spine`"),
        ("features=user", "text/csv", "", 400, "send the spine"),
        ("features=user:n", "text/csv", SPINE, 404, "job `user` has no feature `n`; "),
        ("features=five,usr", "text/csv", SPINE, 404, "job `usr` not found; did you mean `user`?"),
        ("features=plain", "text/csv", SPINE, 400, "job `plain` has neither window nor aggregate"),
        ("features=wrong", "text/csv", SPINE, 400, "jobs/wrong.yaml:"),
        ("features=user", "application/json", "[{}]", 400, "one JSON object a line"),
        ("features=user", "text/csv", &"x".repeat(1025), 413, "`limits.train_body`"),
    ] {
        let path = format!("/v1/train?{query}");
        let (answered, problem) = server.post_with(&path, ("content-type", content_type), spine);
        assert!(
            answered == status && problem["detail"].as_str().unwrap().contains(said),
            "{query}: {problem}"
        );
    }
    // What says that it is something else is read as that.
    let id = ordered(&server, "features=user", "application/vnd.apache.parquet", SPINE);
    let reason = reached(&server, &id, &["done", "failed"])["reason"].clone();
    assert!(reason.as_str().is_some_and(|reason| reason.contains("spine.parquet")), "{reason}");
    let (status, problem) = server.post_with("/v1/train?features=user", ("content-encoding", "gzip"), SPINE);
    assert!(status == 415 && problem["detail"].as_str().unwrap().contains("`gzip`"), "{problem}");
    // One whose sender goes away.
    let mut half = std::net::TcpStream::connect(server.url().trim_start_matches("http://")).unwrap();
    half.write_all(
        b"POST /v1/train?features=user HTTP/1.1\r\nhost: localhost\r\ncontent-length: 900\r\n\r\nuser_id",
    )
    .unwrap();
    wait_for("its spine to begin", SOON, || left(&project).contains(&vec!["spine".to_owned()]).then_some(()));
    drop(half);
    wait_for("refused spines to go", SOON, || {
        left(&project).iter().all(|of| *of == ["status.json"]).then_some(())
    });
}

/// A definition that came after the server had started is known by its file, as it is to the process.
#[test]
fn what_only_the_folder_has_can_be_asked_for() {
    let project = project(100);
    let server = Server::start(&project, "");
    project.file(
        "jobs/later.yaml",
        "query: |\n  SELECT user_id, COUNT(*) OVER w AS c FROM rides\n  WINDOW w AS (PARTITION BY user_id ORDER BY at RANGE \
         BETWEEN CURRENT ROW AND INTERVAL '10' SECOND FOLLOWING)\n",
    );
    let id = ordered(&server, "features=later:c,user:s", "text/csv", SPINE);
    made(&server, &id);
    let path = "/v1/train?features=later:s";
    let (status, problem) = server.post_with(path, ("content-type", "text/csv"), SPINE);
    assert!(status == 404 && problem["detail"].as_str().unwrap().contains("no feature `s`"), "{problem}");
}

/// Begins to send a spine, of which more never comes.
fn begun(server: &Server, head: &str, start: &str) -> std::net::TcpStream {
    let mut stream = std::net::TcpStream::connect(server.url().trim_start_matches("http://")).unwrap();
    let request =
        format!("POST /v1/train?features=user HTTP/1.1\r\nhost: localhost\r\n{head}\r\n\r\n{start}");
    stream.write_all(request.as_bytes()).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream
}

fn answer(mut stream: std::net::TcpStream) -> String {
    let mut answer = String::new();
    // Whoever sends too much is cut off behind the answer.
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[test]
fn who_sends_nothing_holds_no_place_for_long() {
    let project = project(100);
    let server = Server::start(&project, "limits: {train_body: 1KiB}\n");
    let clock = SystemClock::new();
    let asked = clock.now();
    let idle: Vec<_> = (0..8).map(|_| begun(&server, "content-length: 900", "user_id")).collect();
    wait_for("all places to be taken", SOON, || (left(&project).len() == 8).then_some(()));
    assert_eq!(server.post("/v1/train?features=user", SPINE).0, 503);
    let id = wait_for("a place", SOON, || {
        let (status, answer) = server.post("/v1/train?features=user", SPINE);
        (status == 202).then(|| answer["id"].as_str().unwrap().to_owned())
    });
    let took = clock.now().since(asked).millis();
    assert!(took < 20_000, "it took {took} ms");
    made(&server, &id);
    for stream in idle {
        let answer = answer(stream);
        assert!(
            answer.starts_with("HTTP/1.1 408") && answer.contains("of the body 7 bytes arrived within 5 s"),
            "{answer}"
        );
    }
}

#[test]
fn a_body_without_a_length_that_gets_too_large_is_told_so() {
    let project = project(100);
    let server = Server::start(&project, "limits: {train_body: 1KiB}\n");
    // Neither its end nor more of it comes: its sender waits for the answer.
    let chunk = format!("800\r\n{}\r\n", "x".repeat(2048));
    let answer = answer(begun(&server, "transfer-encoding: chunked", &chunk));
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("`limits.train_body`"), "{answer}");
    wait_for("its spine to go", SOON, || left(&project).is_empty().then_some(()));
}

#[test]
fn a_job_for_training_only_is_listed_as_that() {
    let project = endless_project();
    let server = Server::start(&project, "");
    let (status, ready) = server.get("/readyz");
    assert_eq!((status, &ready["not_running"]), (200, &json!([])), "{ready}");
    let (_, jobs) = server.get("/v1/jobs");
    let job = &jobs["jobs"][0];
    assert_eq!(
        (&job["job"], &job["state"], &job["lag_ms"]),
        (&json!("user"), &json!("training_only"), &json!(0)),
        "{job}"
    );
    assert!(job["reason"].as_str().unwrap().contains("weir train --features user"), "{job}");
    let (code, told) = server.weir(&["status"]);
    assert!(code == Some(0) && told.contains("training_only") && !told.contains("failed"), "{told}");
    let (_, metrics) = server.get_text("/metrics");
    assert!(metrics.contains("weir_job_failed{job_name=\"user\"} 0"), "{metrics}");
    assert!(!metrics.contains("weir_job_ready{job_name=\"user\"}"), "{metrics}");
}

#[test]
fn nobody_reaches_further_than_the_training_sets() {
    let project = project(100);
    let server = Server::start(&project, "token: secret\n");
    for (method, path) in
        [("GET", "/v1/train"), ("GET", "/v1/train/x/result"), ("POST", "/v1/train?features=user")]
    {
        let status = if method == "GET" { server.get(path).0 } else { server.post(path, "").0 };
        assert_eq!(status, 401, "{path}");
    }
    assert_eq!(server.delete("/v1/train/x").0, 401);
    drop(server);
    let server = Server::start(&project, "");
    assert_eq!(server.post_with("/v1/train?features=user", ("origin", "http://evil.example"), "").0, 403);
    for id in ["..%2F..%2Fweir.yaml", "%2Fetc%2Fpasswd", "..", "status.json"] {
        for path in [format!("/v1/train/{id}"), format!("/v1/train/{id}/result")] {
            assert_eq!(server.get(&path).0, 404, "{path}");
        }
        assert_eq!(server.delete(&format!("/v1/train/{id}")).0, 404, "{id}");
    }
    for features in ["--output=/tmp/x", "user%00", "..%2Fuser", "-o"] {
        let path = format!("/v1/train?features={features}&time=%2D%2Dspine");
        let (status, problem) = server.post_with(&path, ("content-type", "text/csv"), SPINE);
        assert_eq!(status, 404, "{problem}");
    }
    let id = ordered(&server, "features=user&time=%2D%2Dspine", "text/csv", SPINE);
    assert_eq!(reached(&server, &id, &["done", "failed"])["state"], "failed");
    assert!(project.path().join("weir.yaml").is_file());
}

#[test]
fn two_are_made_at_once_others_wait_and_any_can_be_removed() {
    let project = endless_project();
    let server = Server::start(&project, "");
    let order = || ordered(&server, "features=user", "text/csv", SPINE);
    let ids: Vec<String> = (0..2).map(|_| order()).collect();
    for id in &ids {
        let answer = reached(&server, id, &["running"]);
        assert!(answer["started_at"].is_string(), "{answer}");
    }
    let waiting: Vec<String> = (0..8).map(|_| order()).collect();
    let answer = state(&server, &waiting[7]);
    assert_eq!((&answer["state"], &answer["ahead"]), (&json!("waiting"), &json!(9)), "{answer}");
    let (status, problem) = server.post("/v1/train?features=user", SPINE);
    assert!(
        status == 503 && problem["detail"].as_str().unwrap().contains("8 training sets wait"),
        "{problem}"
    );
    let (status, problem) = server.get(&format!("/v1/train/{}/result", ids[0]));
    assert!(status == 409 && problem["detail"].as_str().unwrap().contains("being made"), "{problem}");
    assert_eq!(server.get(&format!("/v1/train/{}/result", waiting[0])).0, 409);
    wait_for("two processes", SOON, || (makers(&project).len() == 2).then_some(()));
    wait_for("progress", SOON, || {
        (state(&server, &ids[0])["progress"]["events"].as_u64() > Some(0)).then_some(())
    });
    assert_eq!(server.delete(&format!("/v1/train/{}", ids[0])).0, 200);
    assert!(!project.path().join(".weir/train").join(&ids[0]).exists());
    assert_eq!(server.get(&format!("/v1/train/{}", ids[0])).0, 404);
    reached(&server, &waiting[0], &["running"]);
    for id in ids.iter().skip(1).chain(waiting.iter().rev()) {
        assert_eq!(server.delete(&format!("/v1/train/{id}")).0, 200);
    }
    wait_for("all processes to end", SOON, || makers(&project).is_empty().then_some(()));
    wait_for("all files to go", SOON, || left(&project).is_empty().then_some(()));
    let (_, all) = server.get("/v1/train");
    assert_eq!(all["training_sets"], json!([]));
}

#[test]
fn whatever_ends_a_server_ends_its_training_sets_and_the_next_goes_on_with_them() {
    let project = endless_project();
    project.file(
        "jobs/small.yaml",
        "query: |\n  SELECT user_id, COUNT(*) AS c FROM few GROUP BY user_id\nemit: {on: change}\n",
    );
    project.file("streams/few.yaml", &STREAM.replace("rides.jsonl", "few.jsonl"));
    project.file("few.jsonl", &format!("{}\n", json!({"user_id": "u1", "n": 1, "at": BASE})));
    let server = Server::start(&project, "");
    let done = ordered(&server, "features=small&format=csv&as_of=event", "text/csv", SPINE);
    let file = made(&server, &done);
    let order = |server: &Server| ordered(server, "features=user&as_of=event", "text/csv", SPINE);
    let running: Vec<String> = (0..3).map(|_| order(&server)).collect();
    running[..2].iter().for_each(|id| drop(reached(&server, id, &["running"])));
    wait_for("two processes", SOON, || (makers(&project).len() == 2).then_some(()));
    server.kill();
    wait_for("its processes to end with it", Duration::from_secs(5), || {
        makers(&project).is_empty().then_some(())
    });

    let server = Server::start(&project, "");
    assert_eq!(made(&server, &done), file);
    running[..2].iter().for_each(|id| drop(reached(&server, id, &["running"])));
    assert_eq!(state(&server, &running[2])["state"], "waiting");
    wait_for("two processes", SOON, || (makers(&project).len() == 2).then_some(()));
    let clock = SystemClock::new();
    let asked = clock.now();
    assert!(server.terminate().success());
    let took = clock.now().since(asked).millis();
    assert!(took < 2000, "stopping took {took} ms");
    assert_eq!(makers(&project), Vec::<PathBuf>::new());

    let server = Server::start(&project, "");
    running[..2].iter().for_each(|id| drop(reached(&server, id, &["running"])));
    wait_for("two processes", SOON, || (makers(&project).len() == 2).then_some(()));
    for id in &running {
        assert_eq!(server.delete(&format!("/v1/train/{id}")).0, 200);
    }
    wait_for("nobody to make anything", SOON, || makers(&project).is_empty().then_some(()));
    until_done_is_alone(&project);
}

#[test]
fn what_was_not_done_when_its_server_was_killed_gets_done_by_the_next() {
    let project = project(400_000);
    project.file("spine.csv", SPINE);
    let expected = by_command(&project, "spine.csv", "user,five", "expected.csv", &[]);
    let server = Server::start(&project, "");
    let id = ordered(&server, "features=user,five&format=csv", "text/csv", SPINE);
    reached(&server, &id, &["running"]);
    wait_for("its process", SOON, || (!makers(&project).is_empty()).then_some(()));
    server.kill();
    wait_for("its process to end with it", SOON, || makers(&project).is_empty().then_some(()));
    let server = Server::start(&project, "");
    assert_eq!(made(&server, &id), expected);
    until_done_is_alone(&project);
}
