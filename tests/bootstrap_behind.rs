//! Jobs read the past behind all others, and come forward when they have read it.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::bootstrap_look::{ROWS, with_long_past};
use crate::harness::Server;
use serde_json::json;

#[test]
fn the_past_is_read_behind_everything_else_and_lookups_do_not_notice_its_end() {
    let project = with_long_past();
    let query = "query: SELECT user, COUNT(*) AS c FROM events GROUP BY user\nemit: {on: change}\n";
    project.file("jobs/counts.yaml", query);
    let server = Server::start(&project, "shards: 2\n");
    server.wait_for_job("counts", "the past", |job| job["bootstrap"]["state"] == "done");
    // The log has what is of the archive's last time.
    let of_archive = (0..ROWS - 1).filter(|row| row % 7 == 0).count() as i64;
    let expected = of_archive + 1;
    for _ in 0..200 {
        let (_, found) = server.get("/v1/jobs/counts/values?user=u0");
        let value = &found["features"]["c"];
        assert_eq!((&value["value"], &value["status"]), (&json!(expected), &json!("ok")), "{found}");
    }
    let (past, live) = (server.processor_time("weir-past"), server.processor_time("weir-engine"));
    assert!(past > 2 * live, "{past} and {live} ticks");
    // What comes now is for the threads of all jobs.
    let before = server.processor_time("weir-past");
    let now = json!({"user": "u0", "at": 1_770_000_000_000_i64 + ROWS});
    for more in 1..=50 {
        assert_eq!(server.post("/v1/streams/events/events?wait=visible", now.to_string()).1["visible"], true);
        let (_, found) = server.get("/v1/jobs/counts/values?user=u0");
        assert_eq!(found["features"]["c"]["value"], expected + more, "{found}");
    }
    assert!(server.processor_time("weir-past") <= before + 1);
    assert!(server.terminate().success());
}
