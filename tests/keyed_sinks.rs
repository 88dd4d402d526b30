//! Jobs whose rows go into keyed stores, real ones: whatever is killed on the way, at the end a store holds what the files
//! of the same job say.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::harness::{Project, Server, wait_for};
use crate::keyed_job::{OFTEN, PATIENCE, Rows, USERS, newest_and_all, post, project, statements};
use crate::services::stores::{PASSWORD, Postgres, Redis};
use crate::stored_rows::{come_to, in_postgres, in_redis};
use serde_json::Value;
use std::process::Output;

struct World {
    project: Project,
    redis: Redis,
    postgres: Postgres,
}

impl World {
    fn new() -> World {
        let (redis, postgres) = (Redis::start(), Postgres::start());
        let (of_redis, of_postgres) = (redis.url(), postgres.url());
        let sinks = format!(
            "  - redis: {{url: \"{of_redis}\", batch: {{rows: 20}}}}\n  \
             - postgres: {{url: \"{of_postgres}\", table: newest}}\n  \
             - postgres: {{url: \"{of_postgres}\", table: every, keep: all}}\n"
        );
        World { project: project(&sinks), redis, postgres }
    }

    fn make_tables(&self) {
        self.postgres.run(&statements(&self.project).concat());
    }

    fn expected(&self) -> (Rows, Rows) {
        newest_and_all(self.project.rows("out"))
    }

    /// Waits until every sink has everything, then compares them.
    fn compare(&self, server: &Server, windows: usize) {
        let is_drained = |job: &Value| {
            let sinks = job["sink_counts"].as_object().unwrap();
            sinks.values().all(|sink| sink["waiting_rows"] == 0 && sink["state"] == "running")
        };
        server.wait_for_job("j", "every sink to have everything", is_drained);
        wait_for("the last rows in files", PATIENCE, || (self.expected().1.len() == windows).then_some(()));
        let (newest, all) = self.expected();
        come_to(&all, || in_postgres(&self.postgres, "every", "user_id || ' ' || END"));
        come_to(&newest, || in_postgres(&self.postgres, "newest", "user_id"));
        come_to(&newest, || in_redis(&self.redis));
    }
}

fn told(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text)).concat()
}

#[test]
fn stores_that_are_killed_and_a_server_that_is_killed_end_with_the_same_rows() {
    let mut world = World::new();
    world.make_tables();
    let mut server = Server::start(&world.project, OFTEN);
    for second in 0..24 {
        match second {
            4 => world.redis.kill(),
            7 => world.redis.restart(),
            9 => world.postgres.kill(),
            12 => world.postgres.restart(),
            14 | 20 => {
                server.kill();
                server = Server::start(&world.project, OFTEN);
            }
            16 => {
                world.redis.kill();
                world.postgres.kill();
                server.kill();
                server = Server::start(&world.project, OFTEN);
            }
            18 => {
                world.postgres.restart();
                world.redis.restart();
            }
            _ => {}
        }
        post(&server, second);
        // Some checkpoints pass between one and the next.
        let (_, before) = server.get("/v1/jobs/j");
        let number = |job: &Value| job["last_checkpoint"]["number"].as_u64().unwrap_or(0);
        server.wait_for_job("j", "a checkpoint", |job| number(job) > number(&before) + 1);
    }
    world.compare(&server, 23 * USERS as usize);
    assert_eq!(world.postgres.run("SELECT count(*) FROM newest_weir_staging"), ["0"]);
    let (_, status) = server.get_text("/v1/jobs/j");
    let (_, metrics) = server.get_text("/metrics");
    let log = std::fs::read_to_string(world.project.path().join("serve.log")).unwrap();
    for text in [&status, &metrics, &log] {
        assert!(!text.contains(PASSWORD), "{text}");
    }
    assert!(metrics.contains("weir_sink_retries_total{job_name=\"j\",sink=\"redis\"}"), "{metrics}");
    assert!(server.terminate().success());
}

#[test]
fn a_sink_s_connection_is_tried_without_writing() {
    let mut world = World::new();
    let output = world.project.weir("check", &["--connect"]);
    let text = told(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("stream s: http: ready, events that are posted"), "{text}");
    assert!(text.contains("job j: redis: ready, redis 127.0.0.1:"), "{text}");
    assert!(text.contains("there is no table \"newest\"; `weir sink ddl j` prints"), "{text}");
    world.make_tables();
    let output = world.project.weir("check", &["--connect"]);
    assert_eq!(output.status.code(), Some(0), "{}", told(&output));
    world.postgres.run("ALTER TABLE newest ALTER COLUMN n TYPE text; ALTER TABLE every DROP COLUMN total");
    world.redis.kill();
    let text = told(&world.project.weir("check", &["--connect"]));
    assert!(text.contains("its column `n` is of type text, which does not hold bigint"), "{text}");
    assert!(text.contains("it has no column `total`"), "{text}");
    assert!(text.contains("job j: redis: redis 127.0.0.1:") && text.contains("is not reachable"), "{text}");
    assert!(!text.contains(PASSWORD), "{text}");
    assert_eq!(world.postgres.run("SELECT count(*) FROM newest_weir_epochs"), ["0"]);
}
