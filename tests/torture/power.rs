//! The power goes while rows come in: what was acknowledged is there, once. On a disk that only says it has synced some files
//! that is noticed, whichever they are.

#![allow(clippy::disallowed_methods, reason = "a server is let run for a moment before its power goes")]

use super::disk::Disk;
use super::world::{SETTINGS, World, project};
use super::{Dice, times};
use crate::harness::Server;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// Loses power so many times, and looks at what is there then. The disk lies about what is synced of these.
fn lose_power(seed: u64, rounds: usize, lies: Option<&str>) {
    let project = project();
    let disk = Disk::under(project.path());
    let mut environment = disk.environment().to_vec();
    environment.extend(lies.map(|lies| ("DISK_LIES", lies.to_owned())));
    let environment: Vec<(&str, &str)> =
        environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let project = project.with_environment(&environment);
    let (mut world, mut dice) = (World::default(), Dice(seed));
    for _ in 0..rounds {
        let server = Server::start(&project, SETTINGS);
        let senders = world.post_to(&server);
        std::thread::sleep(Duration::from_millis(100 + dice.roll(300) as u64));
        server.kill();
        world.learn(senders);
        disk.lose_power(&mut dice);
    }
    world.check(&project);
}

#[test]
fn what_was_acknowledged_survives_the_loss_of_power() {
    for seed in 0..2 * times() as u64 {
        lose_power(seed, 5, None);
    }
}

/// What is synced: content of files (`f`) or names in folders (`d`), by parts of their paths.
const SYNCED: [&str; 8] = [
    "f:/.weir/ingest/",
    "d:/.weir/ingest/",
    "f:/.weir/state/",
    "d:/.weir/state",
    "f:/.weir/dead_letters/",
    "d:/.weir/dead_letters",
    "f:/out/",
    "d:/out",
];

#[test]
fn a_disk_that_lies_is_caught_whatever_it_lies_about() {
    for lies in SYNCED {
        let is_caught =
            (0..8).any(|seed| catch_unwind(AssertUnwindSafe(|| lose_power(seed, 3, Some(lies)))).is_err());
        assert!(is_caught, "nobody missed what was not synced under {lies}");
    }
}
