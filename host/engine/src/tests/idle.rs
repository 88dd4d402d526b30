//! Partitions that are idle: who holds the watermark back, and what is said of it.

use super::harness::{World, plan};
use super::skew::{Told, id, line};
use super::waiting::eventually;
use crate::{Engine, Job, Mode};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedSender;
use weir_connect::Fetch;
use weir_event::EventTime;

fn at(seconds: i64) -> Option<EventTime> {
    Some(EventTime::from_millis(seconds * 1000))
}

/// What the job says of its partitions: whether each is idle.
fn idle(job: &Job) -> Vec<bool> {
    job.status().partitions.iter().map(|partition| partition.idle).collect()
}

/// A job whose two partitions have been read to 1 s, and are idle.
async fn asleep(world: &World) -> (UnboundedSender<Fetch>, Engine, Arc<Job>) {
    let (say, source) = Told::new();
    let (engine, job) = world.start_from(&plan(), Arc::new(source), Mode::Live);
    for partition in 0..2 {
        say.send(line(partition, 0, "u,1,1,")).unwrap();
        say.send(Fetch::CaughtUp(id(partition))).unwrap();
    }
    eventually("both are read", || job.status().partitions.iter().filter(|it| it.caught_up).count() == 2)
        .await;
    assert_eq!(idle(&job), [false, false]);
    world.clock.advance(Duration::from_secs(61));
    eventually("both are idle", || idle(&job) == [true, true]).await;
    (say, engine, job)
}

#[tokio::test]
async fn who_wakes_first_after_all_were_idle_closes_nothing_before_the_others_are_looked_at() {
    let world = World::new();
    let (say, engine, job) = asleep(&world).await;
    say.send(line(0, 1, "u,90000,1,")).unwrap();
    eventually("the first is read", || job.status().counts.events == 3).await;
    world.clock.advance(Duration::from_millis(500));
    eventually("the other counts again", || idle(&job) == [false, false]).await;
    assert_eq!(job.status().watermark, at(1));
    say.send(line(1, 1, "u,50,1,")).unwrap();
    eventually("the other is heard", || job.status().watermark == at(50)).await;
    engine.stop().await.unwrap();
    assert_eq!((world.counts().late, world.counts().dropped), (0, 0));
}

#[tokio::test]
async fn who_has_nothing_when_another_wakes_does_not_hold_it_back_for_long() {
    let world = World::new();
    let (say, engine, job) = asleep(&world).await;
    say.send(line(0, 1, "u,90000,1,")).unwrap();
    eventually("the first is read", || job.status().counts.events == 3).await;
    world.clock.advance(Duration::from_secs(1));
    eventually("the other was looked at", || job.status().watermark == at(90_000)).await;
    assert_eq!(idle(&job), [false, true]);
    engine.stop().await.unwrap();
}

#[tokio::test]
async fn rows_are_visible_at_once_though_a_partition_without_a_row_holds_the_watermark_back() {
    let world = World::new();
    let (say, source) = Told::new();
    let (engine, job) = world.start_from(&plan(), Arc::new(source), Mode::Live);
    // One shard holds the key, and the other one is sent nothing.
    say.send(line(0, 0, "u,1,1,")).unwrap();
    eventually("lookups see the row", || job.is_visible(id(0), 0)).await;
    assert_eq!(job.status().watermark, None);
    engine.stop().await.unwrap();
}
