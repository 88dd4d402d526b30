//! What a job says of itself.

use super::harness::{Cells, Lines, World, eventually, lines, plan};
use crate::{JobState, Mode, Refusal};
use std::sync::Arc;
use std::time::Duration;
use weir_connect::ConnectError;
use weir_event::EventTime;

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
    let (engine, job) = world.start(&plan(), gone, Mode::Live);
    eventually("it has failed", || matches!(job.status().state, JobState::Failed(_))).await;
    assert!(!job.is_running());
    assert!(job.status().next_try.is_some(), "what is gone may come back, so it is tried again");
    assert!(engine.stop().await.is_err());
}

#[tokio::test]
async fn lag_is_nothing_at_the_end_and_grows_while_nothing_can_be_read() {
    let world = World::new();
    let (engine, job) = world.start(&plan(), lines(&["u,5,1,"]), Mode::Live);
    eventually("everything is read", || job.is_running() && job.lag_ms() == 0).await;
    engine.stop().await.unwrap();

    let far = Lines { fails: Some(ConnectError::unavailable("away")), ..lines(&["u,5,1,"]) };
    let fresh = World::new();
    for world in [&world, &fresh] {
        let (engine, job) = world.start(&plan(), far.clone(), Mode::Live);
        eventually("it waits", || matches!(job.status().state, JobState::Retrying(_))).await;
        let before = job.lag_ms();
        world.clock.advance(Duration::from_secs(7));
        assert_eq!(job.lag_ms(), before + 7000, "whether or not anything was ever read");
        assert!(before < 1 << 50);
        engine.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_job_that_cannot_start_is_listed_until_it_starts() {
    let world = World::new();
    let (engine, _) = world.start(&plan(), lines(&["u,5,1,"]), Mode::Live);
    let since = EventTime::from_millis(-1000);
    engine.refuse("b", Refusal { reason: "no such function".to_owned(), since, next_try: None });
    let names = |engine: &crate::Engine| -> Vec<String> {
        engine.statuses().into_iter().map(|status| status.job).collect()
    };
    assert_eq!(names(&engine), ["b", "counts"]);
    let refused = &engine.statuses()[0];
    assert_eq!(refused.state, JobState::Failed("no such function".to_owned()));
    assert!(refused.lag_ms >= 1000);
    engine.remove("b");
    assert_eq!(names(&engine), ["counts"]);
    engine.stop().await.unwrap();
}

#[tokio::test]
async fn a_job_that_was_reset_starts_anew_beside_others() {
    let world = World::new();
    let (engine, job) = world.start(&plan(), lines(&["u,5,1,"]), Mode::Live);
    eventually("everything is read", || job.status().counts.events == 1).await;
    engine.stop_job("counts").await;
    assert_eq!(world.counts().events, 1);
    engine.forget("counts").await.unwrap();
    let job =
        world.start_in(&engine, &plan(), Arc::new(lines(&["u,5,1, u,6,1,"])), Arc::new(Cells), Mode::Live);
    eventually("it reads from the start", || job.status().counts.events == 2).await;
    engine.stop().await.unwrap();
    assert_eq!(world.counts().events, 2);
}
