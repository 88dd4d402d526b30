//! Two hours of a whole job, which pass as fast as it works: everything that it waits for is the test's clock.

use super::harness::{Shelf, Shown, World, plan, seconds, with_stream};
use super::waiting::eventually;
use crate::{Job, JobState, Mode, SinkSpec, SinkState};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use weir_connect::{
    ConnectError, Delivery, Fetch, Framing, KnownTimes, OpenPartition, RawBlock, Reader, Sink, SinkRows,
    Source, Token,
};
use weir_event::{Clock, ManualClock, PartitionId, Position};
use weir_plan::OnFull;

/// From one row of a partition to the next, from one checkpoint to the next, and the length of a window.
const STEP: Duration = Duration::from_secs(10);
const STEPS: u64 = 720;
/// The sink is away for the first half.
const AWAY: Duration = Duration::from_secs(3600);
/// So many rows has the partition that falls silent, and for so many more steps it is waited for.
const BEFORE_SILENCE: u64 = 30;
const SILENCE: u64 = 30;

/// Two partitions with a row of a user each, step by step; the second one ends early.
#[derive(Debug)]
struct Paced(Arc<ManualClock>);

struct PacedReader {
    clock: Arc<ManualClock>,
    /// Of each partition: its user, the next row, and how many there are.
    lanes: [(char, u64, u64); 2],
    /// Whether it was said of each that it is at its end.
    told: [bool; 2],
}

#[async_trait]
impl Source for Paced {
    async fn partitions(&self, known: &[OpenPartition]) -> Result<Vec<OpenPartition>, ConnectError> {
        Ok(OpenPartition::numbered(2, known))
    }

    async fn open(&self, _: u16, _: &[OpenPartition], _: bool) -> Result<Box<dyn Reader>, ConnectError> {
        let lanes = [('a', 0, STEPS), ('b', 0, BEFORE_SILENCE)];
        Ok(Box::new(PacedReader { clock: self.0.clone(), lanes, told: [false; 2] }))
    }
}

impl PacedReader {
    fn ready(&mut self) -> Option<Fetch> {
        let due = 1 + (self.clock.monotonic().as_secs() / STEP.as_secs());
        for ((partition, (user, next, rows)), told) in (0..).zip(&mut self.lanes).zip(&mut self.told) {
            let partition = PartitionId { source: 0, partition };
            let row = *next;
            if row < due.min(*rows) {
                (*next, *told) = (row + 1, false);
                return Some(Fetch::Block(RawBlock {
                    partition,
                    data: Bytes::from(format!("{user},{},1,", row * STEP.as_secs() + 1)),
                    framing: Framing::Lines { first: row },
                    known: KnownTimes::Unknown,
                    next: Position { next: row + 1, place: String::new() },
                    refused: Vec::new(),
                }));
            }
            if !std::mem::replace(told, true) {
                return Some(Fetch::CaughtUp(partition));
            }
        }
        None
    }
}

#[async_trait]
impl Reader for PacedReader {
    async fn next(&mut self) -> Result<Fetch, ConnectError> {
        loop {
            if let Some(fetch) = self.ready() {
                return Ok(fetch);
            }
            let since_last = self.clock.monotonic().as_secs() % STEP.as_secs();
            self.clock.sleep(STEP.saturating_sub(Duration::from_secs(since_last))).await;
        }
    }
}

/// A sink that cannot be opened for some time.
struct Away {
    shelf: Shelf,
    clock: Arc<ManualClock>,
    tries: Arc<AtomicU64>,
}

#[async_trait]
impl Sink for Away {
    fn delivery(&self) -> Delivery {
        Delivery::ExactlyOnce
    }

    async fn start(&mut self, last: Option<&Token>) -> Result<(), ConnectError> {
        self.tries.fetch_add(1, Ordering::SeqCst);
        if self.clock.monotonic() < AWAY {
            return Err(ConnectError::unavailable("away"));
        }
        self.shelf.start(last).await
    }

    async fn write(&mut self, rows: &SinkRows) -> Result<(), ConnectError> {
        self.shelf.write(rows).await
    }

    async fn prepare(&mut self, checkpoint: u64) -> Result<Token, ConnectError> {
        self.shelf.prepare(checkpoint).await
    }

    async fn commit(&mut self, token: &Token) -> Result<(), ConnectError> {
        self.shelf.commit(token).await
    }
}

/// A world whose job has the shelf and a sink that is away, what that has, and how often it was opened.
fn with_one_away() -> (World, Shown, Arc<AtomicU64>) {
    let mut world = World::new();
    world.shards = 1;
    let (shown, tries) = (Shown::default(), Arc::new(AtomicU64::new(0)));
    let of_sink = (shown.clone(), world.clock.clone(), tries.clone());
    let make = move || -> Result<Box<dyn Sink>, ConnectError> {
        let (shown, clock, tries) = of_sink.clone();
        Ok(Box::new(Away { shelf: Shelf::new(shown, false), clock, tries }))
    };
    let name = || "away".to_owned();
    let sink = SinkSpec { name: name(), kind: name(), on_full: OnFull::Pause, make: Arc::new(make) };
    world.others = vec![sink];
    (world, shown, tries)
}

/// The rows that a safe checkpoint shows which began before row `step` was read: `held` is the row that the silent
/// partition holds the watermark at, if it does.
fn expected(step: u64, held: Option<u64>) -> Vec<String> {
    let newest = held.unwrap_or(step - 1).min(step - 1);
    let windows = |user: char, rows: u64| {
        (0..newest.min(rows)).map(move |window| format!("{user}@{}=1", window * STEP.as_secs()))
    };
    let mut rows: Vec<String> = windows('a', STEPS).chain(windows('b', BEFORE_SILENCE)).collect();
    rows.sort();
    rows
}

fn number(job: &Job) -> u64 {
    job.status().last_checkpoint.map_or(0, |checkpoint| checkpoint.number)
}

#[tokio::test]
async fn two_hours_pass_as_fast_as_the_job_works() {
    let (world, shown, tries) = with_one_away();
    let mut plan = plan();
    with_stream(&mut plan, |stream| stream.idle_after = seconds((SILENCE * STEP.as_secs()) as i64));
    let (engine, job) = world.start_from(&plan, Arc::new(Paced(world.clock.clone())), Mode::Live);
    let read = |step: u64| (step + 1).min(STEPS) + (step + 1).min(BEFORE_SILENCE);
    eventually("the first rows are read", || job.status().counts.events == read(0)).await;
    let first = number(&job);
    for step in 1..=STEPS {
        world.clock.advance(STEP);
        let tried = (step + 1).min(1 + AWAY.as_secs() / STEP.as_secs());
        eventually("the step is done", || {
            let is_read = job.status().counts.events == read(step);
            is_read && number(&job) == first + step && tries.load(Ordering::SeqCst) == tried
        })
        .await;
        let last = BEFORE_SILENCE - 1;
        match step {
            // Both partitions have rows; then one holds the other back; then it is idle, and nobody waits for it.
            20 => assert_eq!(world.rows(), expected(step, None)),
            58 => assert_eq!(world.rows(), expected(step, Some(last))),
            62 => assert_eq!(world.rows(), expected(step, None)),
            359 => {
                let sink = job.status().sink_counts["away"].clone();
                assert!(matches!(&sink.state, SinkState::Retrying(why) if why == "away"), "{sink:?}");
                assert_eq!((sink.errors, sink.waiting_rows), (360, expected(step + 1, None).len() as u64));
                assert!(shown.lock().unwrap().is_empty());
            }
            _ => {}
        }
    }
    assert_eq!((number(&job) - first, job.status().state), (STEPS, JobState::Running));
    engine.stop().await.unwrap();
    let mut late: Vec<String> = shown.lock().unwrap().iter().map(|(row, _)| row.clone()).collect();
    late.sort();
    let all = expected(STEPS, None);
    assert!(world.rows() == all, "each row once");
    assert!(late == all, "each row once, though late");
}
