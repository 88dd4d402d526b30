//! Stores that speak TLS and ask for passwords: rows get there, and what is wrong with certificates, logins and permissions
//! is told by its name.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Project, Server, wait_for};
use crate::keyed_job::{OFTEN, PATIENCE, USERS, post, project, statements};
use crate::services::certificates::Certificates;
use crate::services::stores::{PASSWORD, Postgres, Redis};
use serde_json::Value;
use std::path::Path;

const WRONG: &str = "not-that-one";

/// A job with this sink, which trusts this authority.
fn trusting(authority: &Path, sink: &str) -> Project {
    project(&sink.replace("CA", authority.to_str().unwrap()))
}

/// What `weir check --connect` says of it, which shows no password.
fn told(project: &Project, exit: i32) -> String {
    let output = project.weir("check", &["--connect"]);
    let text = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).concat();
    assert_eq!(output.status.code(), Some(exit), "{text}");
    assert!(!text.contains(PASSWORD) && !text.contains(WRONG), "{text}");
    text
}

/// Runs the job until its sink has every row and shows them.
fn deliver(project: &Project, is_shown: impl Fn() -> bool) {
    let server = Server::start(project, OFTEN);
    (0..4).for_each(|second| post(&server, second));
    server.wait_for_job("j", "the sink to have everything", |job: &Value| {
        let is_done = |sink: &Value| {
            sink["waiting_rows"] == 0 && sink["state"] == "running" && sink["rows"].as_u64() > Some(0)
        };
        job["sink_counts"].as_object().unwrap().values().all(is_done)
    });
    wait_for("the last checkpoint to be seen", PATIENCE, || is_shown().then_some(()));
    assert!(server.terminate().success());
}

#[test]
fn redis_by_tls_and_what_is_wrong_with_it_by_name() {
    let ((redis, authority), other) = (Redis::start_secure(), Certificates::make());
    let of = |url: &str| format!("  - redis: {{url: \"{url}\", ca: \"CA\"}}\n");
    let good = trusting(&authority, &of(&redis.url()));
    assert!(told(&good, 0).contains("runs scripts"));
    deliver(&good, || redis.answer(&["DBSIZE"]) == USERS);

    let by_machine = project(&format!("  - redis: {{url: \"{}\"}}\n", redis.url()));
    assert!(told(&by_machine, 2).contains("`ca`"));
    assert!(
        told(&by_machine.with_environment(&[("SSL_CERT_FILE", authority.to_str().unwrap())]), 0)
            .contains("ready")
    );
    let text = told(&trusting(&other.authority(), &of(&redis.url())), 2);
    assert!(text.contains("certificate") && text.contains("`ca`"), "{text}");
    let text = told(&trusting(&authority, &of(&redis.url_of("", WRONG))), 2);
    assert!(text.contains("refuses the login"), "{text}");
    redis.answer(&[
        "ACL",
        "SETUSER",
        "reader",
        "on",
        &format!(">{PASSWORD}"),
        "~*",
        "+@read",
        "+@connection",
    ]);
    let text = told(&trusting(&authority, &of(&redis.url_of("reader", PASSWORD))), 2);
    assert!(text.contains("lacks a permission") && text.contains("EVAL"), "{text}");
    let plain = Redis::start();
    let text = told(&trusting(&authority, &of(&plain.url().replace("redis:", "rediss:"))), 2);
    assert!(text.contains("one that does not speak TLS"), "{text}");
}

#[test]
fn postgres_by_tls_and_what_is_wrong_with_it_by_name() {
    let ((postgres, authority), other) = (Postgres::start_secure(), Certificates::make());
    let of = |url: &str| format!("  - postgres: {{url: \"{url}\", table: newest, ca: \"CA\"}}\n");
    let good = trusting(&authority, &of(&postgres.url()));
    postgres.run(&statements(&good).concat());
    assert!(told(&good, 0).contains("table newest"));
    deliver(&good, || postgres.run("SELECT count(*) FROM newest") == [USERS.to_string()]);

    let text = told(&trusting(&other.authority(), &of(&postgres.url())), 2);
    assert!(text.contains("certificate") && text.contains("`ca`"), "{text}");
    let text = told(&trusting(&authority, &of(&postgres.url_of("postgres", WRONG))), 2);
    assert!(text.contains("refuses the login"), "{text}");
    let text = told(&trusting(&authority, &of(&postgres.url().replace("require", "disable"))), 2);
    assert!(text.contains("refuses the login") && text.contains("sslmode=require"), "{text}");
    postgres.run(&format!(
        "CREATE USER reader PASSWORD '{PASSWORD}'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader"
    ));
    let text = told(&trusting(&authority, &of(&postgres.url_of("reader", PASSWORD))), 2);
    assert!(text.contains("lacks a permission") && text.contains("newest"), "{text}");
    let plain = Postgres::start();
    let text = told(&trusting(&authority, &of(&plain.url().replace("disable", "require"))), 2);
    assert!(text.contains("does not speak TLS"), "{text}");
}
