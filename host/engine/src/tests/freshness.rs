//! The time that lookups are as of, and how far a job is behind the end of its log.

use super::harness::{Cells, Lines, World, lines, plan};
use super::waiting::{eventually, in_time};
use crate::{AsOf, Job, Mode};
use arrow_array::{ArrayRef, StringViewArray};
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use weir_connect::{ConnectError, Fetch, Left, OpenPartition, Reader, Source};
use weir_event::{Clock, EventTime};

fn at(seconds: i64) -> EventTime {
    EventTime::from_millis(seconds * 1000)
}

fn key(user: &str) -> Vec<ArrayRef> {
    vec![Arc::new(StringViewArray::from(vec![user]))]
}

#[tokio::test]
async fn the_job_s_time_is_that_of_its_newest_event_and_goes_on_over_restarts() {
    let world = World::new();
    // The last time cannot be: such a row is set aside.
    let log = lines(&["u,5,1, u,40,1, u,7,1,", "u,20,1, u,99999999999,1,"]);
    let job = world.run(&plan(), log.clone()).await.unwrap();
    assert_eq!((job.time(), world.dead().len()), (Some(at(40)), 1));
    world.clock.advance(Duration::from_secs(3));
    assert_eq!(job.time(), Some(at(43)));
    // Nothing new is read, and time went on while nobody ran.
    world.clock.advance(Duration::from_secs(2));
    let job = world.run(&plan(), log).await.unwrap();
    assert_eq!((job.time(), job.status().as_of), (Some(at(45)), Some(at(45))));
    let more = lines(&["u,5,1, u,40,1, u,7,1, u,44,1,", "u,20,1, u,99999999999,1, u,60,1,"]);
    let job = world.run(&plan(), more).await.unwrap();
    assert_eq!(job.time(), Some(at(60)));
}

#[tokio::test]
async fn it_is_never_later_than_now_and_unknown_before_any_event() {
    let world = World::new();
    let job = world.run(&plan(), lines(&[""])).await.unwrap();
    assert_eq!(job.time(), None);
    let ahead = world.clock.now().millis() / 1000 + 500;
    let job = world.run(&plan(), lines(&[&format!("u,{ahead},1,")])).await.unwrap();
    assert_eq!(job.time(), Some(world.clock.now()));
}

#[tokio::test]
async fn an_entity_is_known_as_long_as_any_of_its_rows_is_kept() {
    let world = World::new();
    let job = world.run(&plan(), lines(&["u,1,1, v,5000,1,"])).await.unwrap();
    let is_known = |user: &str| job.lookup(&key(user), AsOf::JobTime(world.clock.now())).unwrap().known;
    assert_eq!(["u", "v", "w"].map(is_known), [false, true, false]);
}

/// A log whose reader hands out so much, and then waits.
#[derive(Debug)]
struct Slow {
    lines: Lines,
    fetches: usize,
    /// What it holds beyond what it ever hands out.
    withheld: u64,
}

struct SlowReader(Box<dyn Reader>, usize);

#[async_trait]
impl Reader for SlowReader {
    async fn next(&mut self) -> Result<Fetch, ConnectError> {
        if self.1 == 0 {
            return std::future::pending().await;
        }
        self.1 -= 1;
        self.0.next().await
    }
}

#[async_trait]
impl Source for Slow {
    async fn partitions(&self, known: &[OpenPartition]) -> Result<Vec<OpenPartition>, ConnectError> {
        self.lines.partitions(known).await
    }

    async fn open(
        &self,
        source: u16,
        partitions: &[OpenPartition],
        bounded: bool,
    ) -> Result<Box<dyn Reader>, ConnectError> {
        let reader = self.lines.open(source, partitions, bounded).await?;
        Ok(Box::new(SlowReader(reader, self.fetches)))
    }

    async fn left(&self, positions: &[OpenPartition], _: bool) -> Result<Left, ConnectError> {
        let lengths = self.lines.partitions.iter().map(|lines| lines.len() as u64);
        let read = positions.iter().map(|open| open.from.as_ref().map_or(0, |position| position.next));
        Ok(Left::records(lengths.sum::<u64>() + self.withheld - read.sum::<u64>()))
    }
}

fn start_slow(world: &World, fetches: usize) -> (crate::Engine, Arc<Job>) {
    start_of(world, fetches, 0)
}

fn start_withholding(world: &World, withheld: u64) -> (crate::Engine, Arc<Job>) {
    start_of(world, 6, withheld)
}

fn start_of(world: &World, fetches: usize, withheld: u64) -> (crate::Engine, Arc<Job>) {
    let engine = world.engine();
    let log = "u,1,1, u,2,1, u,3,1, u,4,1, u,5,1,";
    let source = Arc::new(Slow { lines: Lines { block: 1, ..lines(&[log]) }, fetches, withheld });
    let job = world.start_in(&engine, &plan(), source, Arc::new(Cells), Mode::Live);
    (engine, job)
}

#[tokio::test]
async fn who_has_not_read_to_the_end_says_how_much_is_left() {
    let world = World::new();
    let (_engine, job) = start_slow(&world, 3);
    in_time(&world.clock, "the source was asked", || {
        job.status().behind.is_some_and(|behind| behind.records == Some(2))
    })
    .await;
    assert!(job.is_catching_up() && !job.is_ready());
}

#[tokio::test]
async fn who_has_read_to_the_end_is_not_catching_up() {
    let world = World::new();
    let (_engine, job) = start_slow(&world, 6);
    eventually("everything was applied", || job.is_ready()).await;
    assert!(!job.is_catching_up());
    assert_eq!(job.status().behind, None);
}

#[tokio::test]
async fn what_a_source_does_not_give_out_at_its_end_is_said_to_be_left() {
    let world = World::new();
    // It says that it holds a record more than it hands out, as one does behind an open transaction.
    let (_engine, job) = start_withholding(&world, 1);
    eventually("everything was applied", || job.is_ready()).await;
    in_time(&world.clock, "the source was asked", || {
        job.status().behind.is_some_and(|behind| behind.records == Some(1))
    })
    .await;
    assert!(!job.is_catching_up());
    let before = job.status().lag_ms;
    in_time(&world.clock, "it lags more and more", || job.status().lag_ms > before + 5000).await;
}

#[tokio::test]
async fn a_watermark_from_the_future_takes_the_job_s_time_with_it_where_nothing_older_is_kept() {
    let world = World::new();
    let mut plan = plan();
    if let Some(stage) = &mut plan.stage {
        let spec = weir_timeline::StageSpec { history: weir_event::Span::ZERO, ..(*stage.spec).clone() };
        stage.spec = Arc::new(spec);
    }
    let now = world.clock.now().millis() / 1000;
    let log = format!("u,{},1, u,{},1, u,{},1,", now, now + 1, now + 300);
    let job = world.run(&plan, lines(&[&log])).await.unwrap();
    assert_eq!(job.time(), Some(at(now + 300)));
    let answer = job.lookup(&key("u"), AsOf::JobTime(at(now))).unwrap();
    assert_eq!((answer.as_of, answer.settled.window), (at(now + 300), Some((at(now + 290), at(now + 300)))));
    assert!(matches!(
        job.lookup(&key("u"), AsOf::Asked(at(now))),
        Err(crate::LookupError::OutOfReach { .. })
    ));
}
