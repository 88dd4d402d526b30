//! What a job says of itself.

use super::harness::{Cells, Lines, World, lines, plan};
use super::waiting::eventually;
use crate::{JobState, Mode, Refusal};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use weir_connect::ConnectError;
use weir_event::{EventTime, PartitionId};

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
async fn a_correction_after_a_restart_has_a_higher_revision_than_what_it_corrects() {
    let world = World::new();
    let log = "u,5,1, u,15,1, u,25,1, u,35,1, u,45,1, u,55,1,";
    world.run(&plan(), lines(&[log])).await.unwrap();
    let before = world.written();
    world.run(&plan(), lines(&[&format!("{log} u,46,1,")])).await.unwrap();
    let after = &world.written()[before.len()..];
    let [(corrected, revision)] = after else { panic!("{after:?}") };
    assert_eq!(corrected, "u@40=2");
    assert!(before.iter().all(|(_, earlier)| earlier < revision), "{before:?} {revision}");
}

#[tokio::test]
async fn lookups_see_an_event_once_it_is_read_and_not_one_that_is_still_to_come() {
    let world = World::new();
    let (engine, job) = world.start(&plan(), lines(&["u,5,1, u,6,1, u,7,1,"]), Mode::Live);
    let partition = PartitionId { source: 0, partition: 0 };
    eventually("the last event is visible", || job.is_visible(partition, 2)).await;
    assert!(job.is_visible(partition, 0) && !job.is_visible(partition, 3));
    engine.stop().await.unwrap();
}

#[tokio::test]
async fn what_holds_nothing_but_bad_rows_is_not_read_again() {
    let world = World::new();
    for _ in 0..2 {
        world.run(&plan(), lines(&["u,5,1, u,6,1, bad worse"])).await.unwrap();
        assert_eq!((world.counts().events, world.counts().dead_letters), (4, 2));
    }
}

#[tokio::test]
async fn a_job_that_cannot_read_stands_still() {
    let world = World::new();
    let (engine, job) = world.start(&plan(), lines(&["u,5,1,"]), Mode::Live);
    assert!(!job.stands_still(), "it is starting");
    eventually("it runs", || job.status().state == JobState::Running).await;
    assert!(!job.stands_still());
    engine.stop().await.unwrap();
    assert!(job.stands_still());

    let away = Lines { fails: Some(ConnectError::unavailable("away")), ..lines(&["u,5,1,"]) };
    let (engine, job) = world.start(&plan(), away, Mode::Live);
    eventually("it waits", || matches!(job.status().state, JobState::Retrying(_))).await;
    assert!(job.stands_still());
    engine.stop().await.unwrap();

    let gone = Lines { fails: Some(ConnectError::user("gone")), ..lines(&["u,5,1,"]) };
    let (engine, job) = world.start(&plan(), gone, Mode::Live);
    eventually("it has failed", || matches!(job.status().state, JobState::Failed(_))).await;
    assert!(job.stands_still());
    assert!(job.status().next_try.is_some(), "what is gone may come back, so it is tried again");
    assert!(engine.stop().await.is_err());
}

#[tokio::test]
async fn lag_is_nothing_at_the_end_and_grows_while_nothing_can_be_read() {
    let world = World::new();
    let (engine, job) = world.start(&plan(), lines(&["u,5,1,"]), Mode::Live);
    eventually("everything is read", || job.status().state == JobState::Running && job.lag_ms() == 0).await;
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
    let refusal = |reason: &str, for_training| Refusal {
        reason: reason.to_owned(),
        since,
        next_try: None,
        for_training,
    };
    engine.refuse("b", refusal("looks ahead", true));
    let for_training = &engine.statuses()[0];
    let state = JobState::TrainingOnly("looks ahead".to_owned());
    assert_eq!((&for_training.state, for_training.lag_ms), (&state, 0));
    engine.refuse("b", refusal("no such function", false));
    let names = |engine: &crate::Engine| -> Vec<String> {
        engine.statuses().into_iter().map(|status| status.job).collect()
    };
    assert_eq!(names(&engine), ["b", "counts"]);
    let refused = &engine.statuses()[0];
    assert_eq!(refused.state, JobState::Failed("no such function".to_owned()));
    assert!(refused.lag_ms >= 1000);
    engine.remove("b").await;
    assert_eq!(names(&engine), ["counts"]);
    engine.stop().await.unwrap();
}

#[tokio::test]
async fn a_job_that_was_reset_starts_anew_beside_others() {
    let world = World::new();
    let (engine, job) = world.start(&plan(), lines(&["u,5,1,"]), Mode::Live);
    eventually("everything is read", || job.status().counts.events == 1).await;
    let forgotten = engine.forget("counts").await.unwrap_err().to_string();
    assert_eq!(forgotten, "job `counts`: it runs; stop it first");
    let again = world.spec(&plan(), Arc::new(lines(&["u,5,1,"])), Arc::new(Cells), Mode::Live);
    assert_eq!(engine.start(again).unwrap_err().to_string(), forgotten);
    engine.stop_job("counts").await;
    assert_eq!(world.counts().events, 1);
    engine.forget("counts").await.unwrap();
    let job =
        world.start_in(&engine, &plan(), Arc::new(lines(&["u,5,1, u,6,1,"])), Arc::new(Cells), Mode::Live);
    eventually("it reads from the start", || job.status().counts.events == 2).await;
    engine.stop().await.unwrap();
    assert_eq!(world.counts().events, 2);
}

#[tokio::test]
async fn lost_letters_are_counted_on_by_the_next_process() {
    let world = World::new();
    let lost = BTreeMap::from([("events".to_owned(), 3)]);
    let (engine, job) = world.start(&plan(), lines(&["a,1,1,"]), Mode::UntilEnd);
    engine.dead_letters().resume_lost("counts", &lost);
    job.outcome().await.unwrap();
    drop(engine);
    let (engine, _job) = world.start(&plan(), lines(&["a,1,1,"]), Mode::UntilEnd);
    assert_eq!(engine.dead_letters().lost(), lost);
}
