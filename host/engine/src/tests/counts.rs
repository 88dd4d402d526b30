//! What a job says of itself.

use super::harness::{Lines, World, eventually, lines, plan};
use crate::{JobState, Mode};
use weir_connect::ConnectError;

#[tokio::test]
async fn the_last_checkpoint_counts_what_the_end_wrote() {
    let world = World::new();
    let job = world.run(&plan(), lines(&["u,5,1, v,6,1, bad u,31,1, u,2,1,"])).await.unwrap();
    let counts = world.counts();
    assert_eq!((counts.events, counts.results, counts.dead_letters, counts.late), (5, 4, 1, 1));
    assert_eq!(counts, job.status().counts);
    assert_eq!(world.rows().len(), 4);

    // Another run counts from there.
    world.run(&plan(), lines(&["u,5,1, v,6,1, bad u,31,1, u,2,1, w,32,1,"])).await.unwrap();
    let counts = world.counts();
    assert_eq!((counts.events, counts.results, counts.dead_letters), (6, 5, 1));
}

#[tokio::test]
async fn only_a_job_that_can_read_is_running() {
    let world = World::new();
    let (engine, job) = world.start(&plan(), lines(&["u,5,1,"]), Mode::Live);
    eventually("it runs", || job.is_running()).await;
    engine.stop().await.unwrap();
    assert!(!job.is_running());

    let away = Lines { fails: Some(ConnectError::unavailable("away")), ..lines(&["u,5,1,"]) };
    let (engine, job) = world.start(&plan(), away, Mode::Live);
    eventually("it waits", || matches!(job.status().state, JobState::Retrying(_))).await;
    assert!(!job.is_running());
    engine.stop().await.unwrap();

    let gone = Lines { fails: Some(ConnectError::user("gone")), ..lines(&["u,5,1,"]) };
    let (_engine, job) = world.start(&plan(), gone, Mode::Live);
    assert!(job.outcome().await.is_err());
    assert!(!job.is_running());
}
