//! A whole project, run to its end in this process.

use super::*;
use std::fs;
use weir_engine::SystemClock;

const STREAM: &str = r#"
stream: rides
fields: {user_id: string, action: string, event_time: timestamp}
event_time: event_time
source: {generator: {kind: rides, rate: 1, seed: 7, keys: 10, until: 5000, start: "2026-01-01T00:00:00Z"}}
"#;

const JOB: &str = "
job: activity
query: |
  SELECT user_id, COUNT(*) AS n FROM rides GROUP BY user_id, TUMBLE(rowtime, INTERVAL '1' HOUR)
sinks: [file: {path: out}]
";

fn project() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in
        [("weir.yaml", "shards: 1"), ("streams/rides.yaml", STREAM), ("jobs/activity.yaml", JOB)]
    {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    folder
}

fn open_with(folder: &Path, reset: &[&str]) -> Result<Opened, Failure> {
    let reset = reset.iter().map(|name| (*name).to_owned()).collect();
    open(folder, &Opening { reset, ..Opening::default() }, Arc::new(SystemClock::new()))
}

/// Runs the project to its end; gives how many events its job has counted since its first start.
fn run(folder: &Path, reset: &[&str]) -> Result<u64, Failure> {
    let opened = open_with(folder, reset)?;
    let runtime = crate::runtime::engine(1)?;
    runtime.block_on(async {
        let running = start(&opened, Mode::UntilEnd, None).await?;
        let job = running.engine.job("activity").expect("the project has this job");
        job.outcome().await.map_err(|error| Failure::from(&*error))?;
        Ok(job.status().counts.events)
    })
}

fn rows(folder: &Path) -> u64 {
    let files = fs::read_dir(folder.join("out")).unwrap().map(|entry| entry.unwrap().path());
    let finished = files.filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
    let lines = finished
        .flat_map(|path| fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect::<Vec<_>>());
    lines.map(|line| serde_json::from_str::<serde_json::Value>(&line).unwrap()["n"].as_u64().unwrap()).sum()
}

#[test]
fn a_project_runs_to_its_end_once() {
    let folder = project();
    assert_eq!(run(folder.path(), &[]).unwrap(), 5000);
    assert_eq!(rows(folder.path()), 5000);
    assert_eq!(run(folder.path(), &[]).unwrap(), 5000, "there is nothing new");
    assert_eq!(rows(folder.path()), 5000);
}

#[test]
fn a_changed_job_is_refused_until_its_state_is_dropped() {
    let folder = project();
    run(folder.path(), &[]).unwrap();
    let other = JOB.replace("user_id", "action");
    fs::write(folder.path().join("jobs/activity.yaml"), other).unwrap();
    let failure = run(folder.path(), &[]).unwrap_err();
    assert_eq!(failure.exit_code(), 1);
    assert!(format!("{failure:?}").contains("--reset activity"), "{failure:?}");
    let unknown = run(folder.path(), &["actvity"]).unwrap_err();
    assert!(format!("{unknown:?}").contains("did you mean `activity`?"), "{unknown:?}");
    assert_eq!(run(folder.path(), &["activity"]).unwrap(), 5000);
}

#[test]
fn a_folder_has_one_server_at_a_time() {
    let folder = project();
    let _first = open_with(folder.path(), &[]).unwrap();
    let failure = open_with(folder.path(), &[]).err().unwrap();
    assert_eq!(failure.exit_code(), 1);
    assert!(format!("{failure:?}").contains("in use by another server"), "{failure:?}");
}

#[test]
fn all_errors_of_definitions_come_at_once_and_state_is_not_touched() {
    let folder = project();
    fs::write(folder.path().join("weir.yaml"), "listne: 127.0.0.1:1").unwrap();
    fs::write(folder.path().join("jobs/other.yaml"), "query: SELECT nothing FROM rides").unwrap();
    let failure = format!("{:?}", open_with(folder.path(), &[]).err().unwrap());
    assert!(failure.contains("weir.yaml:1:1") && failure.contains("jobs/other.yaml:1:"), "{failure}");
    assert!(!folder.path().join(".weir").exists());
}

#[test]
fn a_job_that_is_refused_keeps_its_claim_on_what_it_has_not_read() {
    let folder = project();
    run(folder.path(), &[]).unwrap();
    let stands_at = |folder: &Path| {
        let opened = open_with_refused(folder);
        let head = opened.store.head().unwrap().unwrap();
        let of_job = |(job, plan): (&str, Option<&JobPlan>)| {
            let positions = weir_engine::positions(job, plan, &head).into_iter();
            positions.map(|(stream, at)| (job.to_owned(), stream, at.next)).collect::<Vec<_>>()
        };
        defined(&opened).flat_map(of_job).collect::<Vec<_>>()
    };
    let stands = [("activity".to_owned(), "rides".to_owned(), 5000)];
    assert_eq!(stands_at(folder.path()), stands);
    let sound = JOB.replace("activity", "sound");
    fs::write(folder.path().join("jobs/sound.yaml"), sound).unwrap();
    for broken in ["job: [activity\n", "job: activity\nquery: SELECT nothing FROM rides\n", "job: activity\n"]
    {
        fs::write(folder.path().join("jobs/activity.yaml"), broken).unwrap();
        assert_eq!(stands_at(folder.path()), stands, "{broken}");
    }
    fs::remove_file(folder.path().join("jobs/activity.yaml")).unwrap();
    assert_eq!(stands_at(folder.path()), [], "its definition is gone");
}

fn open_with_refused(folder: &Path) -> Opened {
    open(folder, &Opening::default(), Arc::new(SystemClock::new())).unwrap()
}
