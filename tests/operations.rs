//! A server in the hands of whoever runs it: what is sound runs, what is not says why and comes back.

use crate::harness::{Project, Server, wait_for};
use crate::services::kafka::shared;
use serde_json::{Value, json};
use std::time::Duration;

const STREAM: &str = "fields: {k: string, n: bigint, t: timestamp}\nevent_time: t\nsource: {http: {}}\n";
const GOOD: &str = "query: |\n  SELECT k, COUNT(*) AS n FROM s GROUP BY k, TUMBLE(t, INTERVAL '1' HOUR)\n";
const BAD: &str =
    "query: |\n  SELECT k, COUNT(*) AS n FROM s GROUP BY nobody, TUMBLE(t, INTERVAL '1' HOUR)\n";
const EVENT: &str = r#"{"k":"a","n":1,"t":"2026-01-01T00:00:00Z"}"#;

fn project() -> Project {
    let project = Project::new();
    project.file("streams/s.yaml", STREAM).file("jobs/good.yaml", GOOD);
    project
}

fn failed(server: &Server, job: &str) -> String {
    let status = server.wait_for_job(job, "the job to fail", |status| status["state"] == "failed");
    status["reason"].as_str().expect("a reason").to_owned()
}

#[track_caller]
fn post(server: &Server, stream: &str, event: &str) {
    let (status, answer) = server.post(&format!("/v1/streams/{stream}/events?wait=visible"), event);
    assert_eq!((status, &answer["accepted"]), (200, &json!(1)), "{answer}");
}

#[test]
fn a_bad_job_is_listed_with_its_reason_and_the_good_one_serves() {
    let project = project();
    project.file("jobs/bad.yaml", BAD).file("streams/broken.yaml", "fields: {t: timestamp}\n");
    project.file("jobs/on_broken.yaml", &GOOD.replace("FROM s", "FROM broken"));
    let server = Server::start(&project, "");
    server.wait_ready();
    post(&server, "s", EVENT);
    assert_eq!(server.get("/v1/jobs/good/values?k=a").0, 200);

    let reason = failed(&server, "bad");
    assert!(reason.contains("jobs/bad.yaml:2:") && reason.contains("weir restart bad"), "{reason}");
    let reason = failed(&server, "on_broken");
    assert!(reason.contains("streams/broken.yaml:1:"), "{reason}");
    assert_eq!(server.get("/v1/jobs/bad/values?k=a").0, 503);
    let (status, ready) = server.get("/readyz");
    assert_eq!((status, ready["not_running"][0]["job"].as_str()), (200, Some("bad")), "{ready}");
    let (code, text) = server.weir(&["status"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("job bad has failed") && text.contains("good"), "{text}");

    let (code, text) = server.weir(&["restart", "bad"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("jobs/bad.yaml:2:"), "{text}");
    project.file("jobs/bad.yaml", GOOD).file("streams/broken.yaml", STREAM);
    for job in ["bad", "on_broken"] {
        let (code, text) = server.weir(&["restart", job]);
        assert_eq!(code, Some(0), "{text}");
    }
    post(&server, "broken", EVENT);
    server.wait_for_job("bad", "what was posted before it ran", |status| status["events"] == 1);
    let (code, text) = server.weir(&["status"]);
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = server.weir(&["restart", "god"]);
    assert!(code == Some(1) && text.contains("did you mean `good`?"), "{text}");
    assert!(server.terminate().success());
}

#[test]
fn where_nothing_is_sound_the_server_does_not_start() {
    for (file, text, says) in [
        ("jobs/good.yaml", BAD, "jobs/good.yaml:2:"),
        ("weir.yaml", "listne: 127.0.0.1:1\n", "weir.yaml:1:1"),
        ("streams/s.yaml", "fields: {}\n", "streams/s.yaml:1:"),
    ] {
        let project = project();
        project.file(file, text);
        let output = project.command("serve", &["--listen", "127.0.0.1:0"]).output().expect("weir starts");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn a_job_that_no_longer_fits_its_state_fails_alone_until_it_is_reset() {
    let project = project();
    project.file("jobs/other.yaml", GOOD);
    let server = Server::start(&project, "");
    server.wait_ready();
    post(&server, "s", EVENT);
    assert!(server.terminate().success());

    project.file("jobs/good.yaml", &GOOD.replace("GROUP BY k", "GROUP BY k, n").replace("AS n", "AS rides"));
    let checked = project.weir("check", &[]);
    let said =
        String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
    assert_eq!(checked.status.code(), Some(1), "check says what serve will say: {said}");
    assert!(said.contains("--reset good"), "{said}");
    let server = Server::start(&project, "");
    server.wait_ready();
    let reason = failed(&server, "good");
    assert!(reason.contains("--reset good") && reason.contains("with the values of n"), "{reason}");
    server.wait_for_job("other", "the other job", |status| status["state"] == "running");
    let checked = project.weir("check", &[]);
    let said =
        String::from_utf8_lossy(&checked.stdout).into_owned() + &String::from_utf8_lossy(&checked.stderr);
    assert!(
        checked.status.success() && said.contains("has the state open"),
        "a server runs on the state: {said}"
    );

    let (code, text) = server.weir(&["restart", "good"]);
    assert!(code == Some(1) && text.contains("--reset"), "{text}");
    let (code, text) = server.weir(&["restart", "good", "--reset"]);
    assert_eq!(code, Some(0), "{text}");
    server.wait_for_job("good", "its source read anew", |status| status["events"] == 1);
    let (_, values) = server.get("/v1/jobs/good/values?k=a&n=1");
    assert!(values["features"]["rides"].is_object(), "{values}");
    assert!(server.terminate().success());
}

#[test]
fn a_server_none_of_whose_jobs_runs_is_not_ready_and_a_topic_made_later_is_read() {
    let broker = shared();
    let project = project();
    let source = format!("source: {{kafka: {{brokers: \"{}\", topic: made_later}}}}\n", broker.address);
    project.file("streams/s.yaml", &STREAM.replace("source: {http: {}}\n", &source));
    let server = Server::start(&project, "");
    let status = server.wait_for_job("good", "the missing topic", |status| status["state"] == "failed");
    assert!(status["reason"].as_str().is_some_and(|reason| reason.contains("made_later")), "{status}");
    assert!(status["next_try"].is_string(), "{status}");
    let (ready, problem) = server.get("/readyz");
    assert_eq!(ready, 503, "{problem}");
    assert_eq!(problem["errors"][0]["job"], "good", "{problem}");
    let lag = |status: &Value| status["lag_ms"].as_u64().expect("a lag");
    let earlier = lag(&status);
    server.wait_for_job("good", "the lag to grow", |status| lag(status) > earlier && lag(status) < 1 << 40);

    broker.topic("made_later", 1);
    broker.fill("made_later", "k", &format!("{EVENT}\n"));
    server.wait_for_job("good", "the topic to be read", |status| status["events"] == 1);
    server.wait_ready();
    assert!(server.terminate().success());
}

#[test]
fn a_hangup_reads_the_definitions_again_and_kills_nothing() {
    let project = project();
    project.file("jobs/gone.yaml", GOOD);
    let server = Server::start(&project, "");
    server.wait_ready();
    post(&server, "s", EVENT);
    project.file("jobs/fresh.yaml", GOOD).file("jobs/good.yaml", BAD);
    std::fs::remove_file(project.path().join("jobs/gone.yaml")).expect("it is there");
    server.signal("HUP");
    server
        .wait_for_job("fresh", "the new job", |status| status["state"] == "running" && status["events"] == 1);
    wait_for("the job without a definition to be gone", Duration::from_secs(10), || {
        (server.get("/v1/jobs/gone").0 == 404).then_some(())
    });
    let (_, good) = server.get("/v1/jobs/good");
    assert_eq!(good["state"], "running", "what cannot be planned anew goes on as it is: {good}");
    let log = std::fs::read_to_string(project.path().join("serve.log")).expect("a log");
    assert!(log.contains("jobs/good.yaml:2:"), "{log}");
    assert!(server.terminate().success());
}

#[test]
fn settings_come_from_flags_the_environment_and_the_file_in_this_order() {
    let project = project();
    project.file("jobs/note.yaml.bak", "").file("weir.yaml", "listen: 127.0.0.1:1\nlog: {level: info}\n");
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = free.local_addr().expect("a bound port").to_string();
    let mut command = project.command("serve", &["--listen", &address]);
    command
        .env("WEIR_LISTEN", "127.0.0.1:2")
        .env("WEIR_LOG_FORMAT", "json")
        .env("WEIR_DATA_DIR", "elsewhere");
    let taken = command.output().expect("weir starts");
    let said = String::from_utf8_lossy(&taken.stderr).into_owned();
    assert_eq!(taken.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("{address} is taken")), "{said}");
    assert!(project.path().join("elsewhere/state").is_dir());
    let line: Value = serde_json::from_str(said.lines().next().expect("a line")).expect("the log is JSON");
    assert_eq!((&line["level"], line["message"].is_string()), (&json!("WARN"), true), "{line}");
    assert!(line["message"].as_str().is_some_and(|message| message.contains("jobs/note.yaml.bak")), "{line}");

    let wrong = project.command("check", &[]).env("WEIR_SHARDS", "many").output().expect("weir starts");
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(wrong.status.code() == Some(1) && said.contains("environment variable WEIR_SHARDS"), "{said}");
}

/// What Prometheus' own linter objects to, as far as it concerns names and descriptions.
fn lint(page: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let described =
        |what: &str, name: &str| page.lines().any(|line| line.starts_with(&format!("# {what} {name} ")));
    let samples = page.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    for line in samples {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|ending| name.strip_suffix(ending));
        let family = of_histogram.filter(|family| described("TYPE", family)).unwrap_or(name);
        if !described("HELP", family) || !described("TYPE", family) {
            wrong.push(format!("{family} is not described"));
        }
        let is_counter = page.contains(&format!("# TYPE {family} counter\n"));
        if is_counter != family.ends_with("_total") {
            wrong.push(format!("{family}: counters, and they alone, end in _total"));
        }
        if family.ends_with("_ms") || family.ends_with("_millis") {
            wrong.push(format!("{family}: base units only"));
        }
        let value = line.rsplit(' ').next().unwrap_or_default();
        if value.parse::<f64>().is_err() {
            wrong.push(format!("{line}: the value is not a number"));
        }
    }
    wrong.dedup();
    wrong
}

#[test]
fn the_metrics_page_is_clean_and_says_what_operators_ask() {
    let project = project();
    project
        .file("jobs/good.yaml", &format!("{GOOD}emit: {{on: change}}\nsinks: [{{file: {{path: out}}}}]\n"));
    project.file("jobs/bad.yaml", BAD);
    let server = Server::start(&project, "");
    server.wait_ready();
    post(&server, "s", EVENT);
    let page = wait_for("the sink's row", Duration::from_secs(10), || {
        let (_, page) = server.get_text("/metrics");
        page.contains("weir_sink_rows_total{job_name=\"good\",sink=\"file\"} 1").then_some(page)
    });
    assert_eq!(lint(&page), Vec::<String>::new());
    for series in [
        "weir_build_info{version=\"",
        "weir_lag_seconds{job_name=\"good\"} 0",
        "weir_job_failed{job_name=\"bad\"} 1",
        "weir_sink_bytes_total{job_name=\"good\",sink=\"file\"} ",
        "weir_partition_offset{job_name=\"good\",partition=\"0\",stream=\"s\",input=\"0\"} 1",
        "process_cpu_seconds_total ",
        "process_resident_memory_bytes ",
        "process_open_fds ",
        "process_start_time_seconds ",
    ] {
        assert!(page.lines().any(|line| line.starts_with(series)), "{series} is not on the page:\n{page}");
    }
    promtool(&page);
    assert!(server.terminate().success());
}

/// Prometheus' own linter, where it is installed.
fn promtool(page: &str) {
    use std::io::Write;
    use std::process::{Command, Stdio};
    let linter = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut linter) = linter else { return };
    linter.stdin.take().expect("a pipe").write_all(page.as_bytes()).expect("it reads");
    let output = linter.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Three jobs of one stream, which read and decode it together.
const RIDES: &str = "\
fields: {user_id: string, action: string, geohash: string, fare: double, event_time: timestamp}
event_time: event_time
source: {generator: {kind: rides, rate: 20, seed: 5, keys: 2000, until: 150000, start: 2026-01-01T00:00:00Z}}
";

#[test]
fn the_process_s_processor_time_has_owners() {
    let project = Project::new();
    project.file("streams/rides.yaml", RIDES);
    let hourly = |what: &str| {
        format!(
            "query: SELECT user_id, {what} AS x FROM rides GROUP BY user_id, TUMBLE(event_time, INTERVAL '1' HOUR)\n"
        )
    };
    let jobs = [
        ("counts", hourly("COUNT(*)")),
        ("fares", hourly("SUM(fare)")),
        ("places", hourly("COUNT(DISTINCT geohash)")),
    ];
    for (job, text) in &jobs {
        project.file(&format!("jobs/{job}.yaml"), text);
    }
    let server = Server::start(&project, "");
    for (job, _) in &jobs {
        server.wait_for_job(job, "every ride", |status| status["events"] == 150_000);
    }
    let (_, page) = server.get_text("/metrics");
    let figure = |series: &str| -> f64 {
        let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{series} is not among {page}")).parse().expect("a number")
    };
    let owned =
        jobs.each_ref().map(|(job, _)| figure(&format!("weir_job_cpu_seconds_total{{job_name=\"{job}\"}}")));
    let (sum, process) = (owned.iter().sum::<f64>(), figure("process_cpu_seconds_total"));
    println!("jobs {owned:?}, together {sum:.2} of {process:.2} s");
    assert!(owned.iter().all(|seconds| *seconds > 0.0), "{owned:?}");
    // Starting and planning are no job's, and the process's time is in hundredths of a second.
    assert!(sum > 0.5 * process && sum < process + 0.1, "{owned:?} of {process}");
    let (_, status) = server.get("/v1/jobs/counts");
    assert!(status["cpu_seconds"].as_f64() >= Some(owned[0]), "{status}");
    assert!(status["state_bytes"].as_u64() > Some(0) && status["fuel"] == 0, "{status}");
    assert!(server.terminate().success());
}

#[test]
fn a_server_that_answers_ends_in_order_however_soon_it_is_asked_to() {
    let project = project();
    for _ in 0..30 {
        let server = Server::start(&project, "");
        assert!(server.terminate().success());
    }
}
