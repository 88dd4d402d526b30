//! Jobs that come to one stream at different times: those who have come to the same place read it together.

use super::harness::{Cells, World, lines, plan};
use super::waiting::{as_time_passes, eventually, in_time};
use crate::{Engine, Mode, StreamHub};
use async_trait::async_trait;
use bytes::Bytes;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use weir_connect::{
    ConnectError, CpuTime, Fetch, Framing, KnownTimes, OpenPartition, RawBlock, Reader, Source,
};
use weir_event::{ManualClock, PartitionId, Position};

/// Logs that grow, by partition how many records they have; each reader cuts them into blocks in its own way.
#[derive(Debug)]
struct Growing {
    ends: watch::Sender<Vec<u64>>,
    opened: AtomicU64,
    /// Records that readers have handed out.
    handed_out: Arc<AtomicU64>,
}

struct GrowingReader {
    ends: watch::Receiver<Vec<u64>>,
    at: BTreeMap<PartitionId, u64>,
    told: BTreeMap<PartitionId, bool>,
    /// Records of its longest block.
    longest: u64,
    handed_out: Arc<AtomicU64>,
}

#[async_trait]
impl Source for Growing {
    async fn partitions(&self, known: &[OpenPartition]) -> Result<Vec<OpenPartition>, ConnectError> {
        Ok(OpenPartition::numbered(self.ends.borrow().len() as u16, known))
    }

    async fn open(
        &self,
        source: u16,
        partitions: &[OpenPartition],
        _: bool,
    ) -> Result<Box<dyn Reader>, ConnectError> {
        let id = |open: &OpenPartition| PartitionId { source, partition: open.partition };
        let at = partitions.iter().map(|open| (id(open), open.from.as_ref().map_or(0, |from| from.next)));
        Ok(Box::new(GrowingReader {
            ends: self.ends.subscribe(),
            at: at.collect(),
            told: partitions.iter().map(|open| (id(open), false)).collect(),
            longest: 1 + self.opened.fetch_add(1, Ordering::SeqCst) % 4,
            handed_out: self.handed_out.clone(),
        }))
    }
}

impl GrowingReader {
    fn ready(&mut self) -> Option<Fetch> {
        let ends = self.ends.borrow_and_update().clone();
        for (partition, at) in &mut self.at {
            let first = *at;
            let end = ends[partition.partition as usize].min(first + self.longest);
            if end > first {
                *at = end;
                self.told.insert(*partition, false);
                self.handed_out.fetch_add(end - first, Ordering::SeqCst);
                let data: String = (first..end).map(|record| format!("u,{record},1,\n")).collect();
                return Some(Fetch::Block(RawBlock {
                    partition: *partition,
                    data: Bytes::from(data),
                    framing: Framing::Lines { first },
                    known: KnownTimes::Unknown,
                    next: Position { next: end, place: String::new() },
                    refused: Vec::new(),
                }));
            }
            if !std::mem::replace(self.told.entry(*partition).or_default(), true) {
                return Some(Fetch::CaughtUp(*partition));
            }
        }
        None
    }
}

#[async_trait]
impl Reader for GrowingReader {
    async fn next(&mut self) -> Result<Fetch, ConnectError> {
        loop {
            if let Some(fetch) = self.ready() {
                return Ok(fetch);
            }
            let _ = self.ends.changed().await;
        }
    }
}

struct Stream {
    log: Arc<Growing>,
    hub: StreamHub,
    /// By which jobs wait for one another.
    clock: Arc<ManualClock>,
}

impl Stream {
    fn new(partitions: usize) -> Stream {
        let (ends, _) = watch::channel(vec![0; partitions]);
        let log = Arc::new(Growing { ends, opened: AtomicU64::new(0), handed_out: Arc::default() });
        let clock = Arc::new(ManualClock::default());
        let hub = StreamHub::new(log.clone(), Box::new(|_| Arc::new(Cells)), 1, clock.clone());
        Stream { log, hub, clock }
    }

    fn grow(&self, partition: usize, records: u64) {
        self.log.ends.send_modify(|ends| ends[partition] += records);
    }

    /// Starts a job over it that writes what `world` shows.
    fn start(&self, world: &World, engine: &Engine, name: &str) -> Arc<crate::Job> {
        let mut plan = plan();
        plan.name = name.to_owned();
        let (source, decoder) = self.hub.for_job(Arc::new(Cells), &[0, 1, 2, 3], &CpuTime::default());
        engine.start(world.spec(&plan, source, decoder, Mode::Live)).unwrap()
    }

    /// A job that reads from these offsets; what it has read is checked and told.
    fn read(&self, from: Vec<u64>) -> Job {
        let (source, _) = self.hub.for_job(Arc::new(Cells), &[0], &CpuTime::default());
        let (told, read) = watch::channel(from.clone());
        let pause = self.log.opened.load(Ordering::SeqCst) % 3 * 20;
        let task = tokio::spawn(async move {
            let place = |(partition, next)| OpenPartition {
                partition,
                from: Some(Position { next, place: String::new() }),
            };
            let partitions: Vec<_> = (0..).zip(from).map(place).collect();
            let mut reader = source.open(0, &partitions, false).await.unwrap();
            loop {
                let Fetch::Block(block) = reader.next().await.unwrap() else { continue };
                let Framing::Lines { first } = block.framing else { panic!("lines") };
                let lines = block.data.split_inclusive(|byte| *byte == b'\n').count() as u64;
                assert_eq!(first + lines, block.next.next, "as many lines as offsets");
                assert!(block.data.starts_with(format!("u,{first},").as_bytes()), "the record of its offset");
                told.send_modify(|at| {
                    let at = &mut at[block.partition.partition as usize];
                    assert_eq!(*at, first, "the record after the last one");
                    *at = block.next.next;
                });
                pass(pause).await;
            }
        });
        Job { read, task, clock: self.clock.clone() }
    }
}

struct Job {
    read: watch::Receiver<Vec<u64>>,
    task: tokio::task::JoinHandle<()>,
    clock: Arc<ManualClock>,
}

/// Lets others go first, so many times.
async fn pass(times: u64) {
    for _ in 0..times {
        tokio::task::yield_now().await;
    }
}

impl Job {
    /// Waits until it has read everything.
    async fn reach(&mut self, ends: &[u64]) {
        as_time_passes(&self.clock, self.read.wait_for(|at| at == ends)).await.expect("it goes on");
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifty_that_start_at_different_times_end_with_one_reader() {
    let stream = Stream::new(2);
    let mut jobs = Vec::new();
    for number in 0..50 {
        stream.grow(number % 2, 3);
        let from = [number as u64 % 5, 0];
        jobs.push(stream.read(from.map(|from| from.min(stream.log.ends.borrow()[0])).to_vec()));
        pass(number as u64 % 3 * 100).await;
    }
    // Each looks for the others when it comes to an end.
    let mut handed_out = u64::MAX;
    for round in 0..200 {
        let before = stream.log.handed_out.load(Ordering::SeqCst);
        stream.grow(round % 2, 1);
        let ends = stream.log.ends.borrow().clone();
        for job in &mut jobs {
            job.reach(&ends).await;
        }
        handed_out = stream.log.handed_out.load(Ordering::SeqCst) - before;
        if handed_out == 1 {
            break;
        }
    }
    assert_eq!(handed_out, 1, "a new record is read once for all of them");
}

/// Jobs are started, stopped, reset and removed while others run, which notice nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn jobs_beside_those_that_come_and_go_write_what_they_would_alone() {
    let stream = Stream::new(1);
    let home = World::new();
    let engine = home.engine();
    let steady: Vec<(World, String)> =
        (0..10).map(|number| (World::new(), format!("steady_{number}"))).collect();
    let jobs: Vec<_> = steady.iter().map(|(world, name)| stream.start(world, &engine, name)).collect();
    let mut random =
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha);
    for _ in 0..200 {
        stream.grow(0, random.random_range(0..4));
        stream.clock.advance(Duration::from_millis(random.random_range(0..40)));
        let name = format!("other_{}", random.random_range(0..10));
        let runs = engine.job(&name).is_some_and(|job| !job.has_ended());
        match random.random_range(0..4) {
            _ if !runs => drop(stream.start(&home, &engine, &name)),
            0 => engine.remove(&name).await,
            1 => {
                engine.stop_job(&name).await;
                engine.forget(&name).await.unwrap();
            }
            _ => {
                engine.stop_job(&name).await;
                stream.start(&home, &engine, &name);
            }
        }
    }
    stream.grow(0, 25);
    let end = stream.log.ends.borrow()[0];
    for job in &jobs {
        in_time(&stream.clock, "everything is read", || job.status().counts.events == end).await;
    }
    engine.stop().await.unwrap();

    let log: String = (0..end).map(|record| format!("u,{record},1, ")).collect();
    let alone = World::new();
    let (engine, job) = alone.start(&plan(), lines(&[&log]), Mode::Live);
    eventually("everything is read", || job.status().counts.events == end).await;
    engine.stop().await.unwrap();
    assert!(alone.rows().len() > 20);
    for (world, name) in &steady {
        assert_eq!(world.rows(), alone.rows(), "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Records come, jobs come and go: each job gets every record once, in order.
    #[test]
    fn whoever_joins_or_is_left_behind_misses_nothing(
        steps in prop::collection::vec((0..4_u8, 0..2_usize, 1..40_u64), 1..60),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_time()
            .build()
            .unwrap();
        runtime.block_on(async {
            let stream = Stream::new(2);
            let mut jobs: Vec<Job> = Vec::new();
            for (step, partition, records) in steps {
                match step {
                    0 => {
                        let ends = stream.log.ends.borrow().clone();
                        jobs.push(stream.read(ends.iter().map(|end| end.saturating_sub(records)).collect()));
                    }
                    1 if jobs.len() > 3 => drop(jobs.remove(partition)),
                    2 => {
                        pass(records).await;
                        stream.clock.advance(Duration::from_millis(records * 2));
                    }
                    _ => stream.grow(partition, records),
                }
            }
            let ends = stream.log.ends.borrow().clone();
            for job in &mut jobs {
                job.reach(&ends).await;
            }
        });
    }
}
