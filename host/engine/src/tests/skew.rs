//! Partitions that run ahead of others.

use super::harness::{World, lines, plan, seconds, with_stream};
use super::waiting::eventually;
use crate::{Job, Mode};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::{Arc, Mutex};
use tokio::sync::mpsc;
use weir_connect::{ConnectError, Fetch, Framing, KnownTimes, OpenPartition, RawBlock, Reader, Source};
use weir_event::{PartitionId, Position};

/// Two partitions that say what the test says, in that order.
#[derive(Debug)]
pub(super) struct Told {
    fetches: Mutex<Option<mpsc::UnboundedReceiver<Fetch>>>,
    paused: Arc<Mutex<Vec<String>>>,
    /// What its reader was opened with.
    pub(super) opened: Mutex<Vec<OpenPartition>>,
}

impl Told {
    pub(super) fn new() -> (mpsc::UnboundedSender<Fetch>, Told) {
        let (say, fetches) = mpsc::unbounded_channel();
        (say, Told { fetches: Mutex::new(Some(fetches)), paused: Arc::default(), opened: Mutex::default() })
    }
}

#[derive(Debug)]
struct Listens(mpsc::UnboundedReceiver<Fetch>, Arc<Mutex<Vec<String>>>);

#[async_trait]
impl Source for Told {
    async fn partitions(&self, known: &[OpenPartition]) -> Result<Vec<OpenPartition>, ConnectError> {
        Ok(OpenPartition::numbered(2, known))
    }

    async fn open(
        &self,
        _: u16,
        partitions: &[OpenPartition],
        _: bool,
    ) -> Result<Box<dyn Reader>, ConnectError> {
        *self.opened.lock().unwrap() = partitions.to_vec();
        let fetches = self.fetches.lock().unwrap().take().unwrap();
        Ok(Box::new(Listens(fetches, self.paused.clone())))
    }
}

#[async_trait]
impl Reader for Listens {
    async fn next(&mut self) -> Result<Fetch, ConnectError> {
        match self.0.recv().await {
            Some(fetch) => Ok(fetch),
            None => std::future::pending().await,
        }
    }

    fn pause(&mut self, partition: PartitionId) {
        self.1.lock().unwrap().push(format!("pause {}", partition.partition));
    }

    fn resume(&mut self, partition: PartitionId) {
        self.1.lock().unwrap().push(format!("resume {}", partition.partition));
    }
}

pub(super) fn id(partition: u16) -> PartitionId {
    PartitionId { source: 0, partition }
}

pub(super) fn line(partition: u16, offset: u64, line: &str) -> Fetch {
    Fetch::Block(RawBlock {
        partition: id(partition),
        data: Bytes::from(line.to_owned()),
        framing: Framing::Lines { first: offset },
        known: KnownTimes::Unknown,
        next: Position { next: offset + 1, place: String::new() },
        refused: Vec::new(),
    })
}

/// Where both partitions were read to.
fn read_to(job: &Job) -> (u64, u64) {
    let next = |partition: u16| {
        let partitions = job.status().partitions;
        partitions
            .iter()
            .find(|status| status.partition == partition)
            .map_or(0, |status| status.position.next)
    };
    (next(0), next(1))
}

#[tokio::test]
async fn a_partition_that_runs_ahead_waits_for_the_slowest() {
    let world = World::new();
    let mut plan = plan();
    with_stream(&mut plan, |stream| stream.max_skew = Some(seconds(20)));
    let (say, source) = Told::new();
    let paused = source.paused.clone();
    let (engine, job) = world.start_from(&plan, Arc::new(source), Mode::Live);
    for fetch in [
        line(0, 0, "u,1,1,"),
        line(1, 0, "u,1,1,"),
        line(0, 1, "u,100,1,"),
        line(0, 2, "u,101,1,"),
        Fetch::CaughtUp(id(0)),
        line(1, 1, "u,2,1,"),
    ] {
        say.send(fetch).unwrap();
    }
    eventually("the slower one is read", || read_to(&job).1 == 2).await;
    assert_eq!((read_to(&job), paused.lock().unwrap().join(" ")), ((2, 2), "pause 0".to_owned()));
    assert!(!job.status().partitions[0].caught_up);

    say.send(line(1, 2, "u,85,1,")).unwrap();
    eventually("the faster one goes on", || read_to(&job) == (3, 3)).await;
    eventually("the reader is told", || paused.lock().unwrap().join(" ") == "pause 0 resume 0").await;
    assert!(job.status().partitions[0].caught_up);
    engine.stop().await.unwrap();
    assert_eq!(world.counts().events, 6);
}

#[tokio::test]
async fn a_run_until_the_end_comes_to_its_end_and_to_the_same_rows() {
    let fast: String = (0..200).map(|i| format!("u,{},1, ", i * 50)).collect();
    let slow: String = (0..20).map(|i| format!("v,{i},1, ")).collect();
    let run = async |max_skew: Option<i64>| {
        let world = World::new();
        let mut plan = plan();
        with_stream(&mut plan, |stream| stream.max_skew = max_skew.map(seconds));
        world.run(&plan, lines(&[&fast, &slow])).await.unwrap();
        assert_eq!(world.counts().events, 220);
        world.rows()
    };
    assert_eq!(run(Some(10)).await, run(None).await);
}
