//! The package for Python against a real server, by its own tests: with the standard library alone, and with pandas.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Project, Server, repository};
use crate::services::file;
use std::process::{Command, Output};

const STREAM: &str = "\
fields: {user_id: string, n: bigint, at: timestamp}
event_time: at
idle_after: 1h
source: {http: {}}
";
const TOKEN: &str = "secret";

fn server(project: &Project) -> Server {
    project.file("streams/rides.yaml", STREAM);
    project.file(
        "jobs/user.yaml",
        "query: |\n  SELECT user_id, COUNT(*) OVER w AS c, SUM(n) OVER w AS s FROM rides\n  WINDOW w AS (PARTITION BY user_id \
         ORDER BY at RANGE INTERVAL '10' SECOND PRECEDING)\nlate: {allow: 1h}\n",
    );
    project.file(
        "jobs/life.yaml",
        "query: |\n  SELECT user_id, COUNT(*) AS c FROM rides GROUP BY user_id\nemit: {on: change}\n",
    );
    project.file(
        "jobs/paid.yaml",
        "query: |\n  SELECT user_id, COUNT(*) OVER w AS c FROM rides\n  WINDOW w AS (PARTITION BY user_id ORDER BY at RANGE \
         INTERVAL '10' SECOND PRECEDING)\nrequest: {amount: double}\ntransform: {share: amount / c}\n",
    );
    Server::start(project, &format!("token: {TOKEN}\n"))
}

/// Runs the package's tests with this Python against a server of their own; what they say.
#[track_caller]
fn tested(mut python: Command) -> String {
    let project = Project::new();
    let server = server(&project);
    let tests = python
        .args(["-m", "unittest", "-v", "tests.test_client"])
        .current_dir(repository().join("guest-sdk/python"))
        .env("WEIR_TEST_SERVER", server.url())
        .env("WEIR_TOKEN", TOKEN)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&tests.stderr).into_owned();
    assert!(tests.status.success(), "{said}");
    said
}

#[test]
fn the_package_needs_nothing_but_the_standard_library() {
    // Without what else is installed beside it.
    let mut python = Command::new("python3");
    python.arg("-S");
    let said = tested(python);
    assert!(said.contains("skipped=") && said.contains("pandas is not installed"), "{said}");
}

#[test]
fn with_pandas_training_sets_are_data_frames() {
    let with_frames = || {
        let mut python = Command::new(file("services/readers"));
        python.arg("frames");
        python
    };
    let Output { status, stderr, .. } =
        with_frames().args(["-c", "import pandas, pyarrow"]).output().unwrap();
    if !status.success() {
        eprintln!("skipped: pandas and pyarrow cannot be had: {}", String::from_utf8_lossy(&stderr));
        return;
    }
    let said = tested(with_frames());
    assert!(!said.contains("skipped"), "{said}");
}
