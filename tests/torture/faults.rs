//! A disk that fails for a while, at any call: nothing acknowledged is lost, and when it works again so does weir, by itself.

#![allow(clippy::disallowed_methods, reason = "a server is let run for a moment while its disk fails")]

use super::disk::Disk;
use super::world::{SETTINGS, World, project};
use super::{Dice, times};
use crate::harness::{Server, wait_for};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Back-off included.
const AGAIN_WITHIN: Duration = Duration::from_secs(60);
const FULL: i32 = 28;
const BROKEN: i32 = 5;

/// The disk fails from a call on, for some calls, with this error, at paths with this in them.
fn fail(at: &str, (from, count): (usize, usize), error: i32) {
    let project = project();
    let disk = Disk::under(project.path());
    let mut environment = disk.environment().to_vec();
    environment.push(("DISK_FAILS", format!("{at}:{from}:{count}:{error}")));
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let failing = project.with_environment(&environment);
    let mut world = World::default();
    let server = Server::start(&failing, SETTINGS);
    let senders = world.post_to(&server);
    std::thread::sleep(Duration::from_millis(1500));
    let job = || server.get("/v1/jobs/rows").1;
    let is_running = || (job()["state"] == "running").then_some(());
    let runs = catch_unwind(AssertUnwindSafe(|| wait_for("the job to run again", AGAIN_WITHIN, is_running)));
    assert!(runs.is_ok(), "calls from {from} on, {count} of them, at {at}: error {error}: {}", job());
    server.kill();
    world.learn(senders);
    let sound = failing.with_environment(&[("DISK_FAILS", "")]);
    world.check(&sound);
}

#[test]
fn a_disk_that_fails_for_a_while_costs_nothing_that_was_acknowledged() {
    let mut dice = Dice(1);
    for _ in 0..times() {
        for at in ["/.weir/ingest/", "/.weir/state/", "/out", "/.weir/dead_letters"] {
            let error = [FULL, BROKEN][dice.roll(2)];
            fail(at, (5 + dice.roll(60), 1 + dice.roll(10)), error);
        }
    }
}
