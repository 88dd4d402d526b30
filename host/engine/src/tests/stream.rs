//! Several jobs of one stream.

use super::harness::{Cells, Lines, World, lines, plan};
use super::waiting::as_time_passes;
use crate::{Mode, StreamHub};
use async_trait::async_trait;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use weir_connect::{ConnectError, CpuTime, Decoded, Decoder, Fetch, OpenPartition, RawBlock, Reader, Source};
use weir_event::{Clock, ManualClock};

/// A log that counts how often it is opened, and may fail after so many fetches of its first reader.
#[derive(Debug)]
struct Counted {
    lines: Lines,
    opened: AtomicUsize,
    breaks_after: Option<usize>,
}

struct Breaks(Box<dyn Reader>, usize);

#[async_trait]
impl Reader for Breaks {
    async fn next(&mut self) -> Result<Fetch, ConnectError> {
        if self.1 == 0 {
            return Err(ConnectError::unavailable("gone"));
        }
        self.1 -= 1;
        self.0.next().await
    }
}

#[async_trait]
impl Source for Counted {
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
        let is_first = self.opened.fetch_add(1, Ordering::SeqCst) == 0;
        Ok(match self.breaks_after.filter(|_| is_first) {
            Some(after) => Box::new(Breaks(reader, after)),
            None => reader,
        })
    }
}

#[derive(Debug, Default)]
struct CountedCells(AtomicUsize);

impl Decoder for CountedCells {
    fn decode(&self, block: &RawBlock) -> Decoded {
        self.0.fetch_add(1, Ordering::SeqCst);
        Cells.decode(block)
    }
}

/// A hub over a log, what counts its opening, and the decoders of all and of one job.
struct Shared {
    hub: StreamHub,
    source: Arc<Counted>,
    together: Arc<CountedCells>,
    alone: Arc<CountedCells>,
    /// By which jobs wait for one another.
    clock: Arc<ManualClock>,
}

impl Shared {
    fn new(lines: Lines, jobs: usize, breaks_after: Option<usize>) -> Shared {
        let source = Arc::new(Counted { lines, opened: AtomicUsize::new(0), breaks_after });
        let together = Arc::new(CountedCells::default());
        let decoder = together.clone();
        let clock = Arc::new(ManualClock::default());
        let hub = StreamHub::new(source.clone(), Box::new(move |_| decoder.clone()), 2, clock.clone());
        (0..jobs).for_each(|_| hub.expect(&[0, 1, 2, 3]));
        Shared { hub, source, together, alone: Arc::new(CountedCells::default()), clock }
    }

    fn for_job(&self) -> (Arc<dyn Source>, Arc<dyn Decoder>) {
        self.hub.for_job(self.alone.clone(), &[0, 1, 2, 3], &CpuTime::default())
    }

    /// How often the log was opened, and how many blocks were decoded for all and for one.
    fn counts(&self) -> (usize, usize, usize) {
        let count = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        (count(&self.source.opened), count(&self.together.0), count(&self.alone.0))
    }
}

fn start(partitions: u16) -> Vec<OpenPartition> {
    (0..partitions).map(|partition| OpenPartition { partition, from: None }).collect()
}

/// The lines that a reader hands out until every partition was said to be at its end, in order.
async fn rest(reader: &mut dyn Reader, mut open: usize) -> Vec<String> {
    let mut lines = Vec::new();
    while open > 0 {
        match reader.next().await.unwrap() {
            Fetch::CaughtUp(_) | Fetch::Ended(_) => open -= 1,
            Fetch::Watermark(..) | Fetch::Appeared(..) => {}
            Fetch::Block(block) => {
                lines.extend(std::str::from_utf8(&block.data).unwrap().lines().map(str::to_owned));
            }
        }
    }
    lines
}

fn many() -> Lines {
    let log: String = (0..200).map(|i| format!("u,{i},1, ")).collect();
    Lines { block: 1, ..lines(&[&log]) }
}

#[tokio::test]
async fn jobs_that_start_together_read_and_decode_once_and_write_what_each_would_alone() {
    let log = "u,1,1, u,2,1, v,3,1, u,12,1, w,13,1, v,30,1, u,4,1,";
    let alone = World::new();
    alone.run(&plan(), lines(&[log, "x,1,1, x,40,1,"])).await.unwrap();

    let world = World::new();
    let shared = Shared::new(lines(&[log, "x,1,1, x,40,1,"]), 2, None);
    let engine = world.engine();
    let jobs: Vec<_> = ["counts", "counts_again"]
        .map(|name| {
            let mut plan = plan();
            plan.name = name.to_owned();
            let (source, decoder) = shared.for_job();
            world.start_in(&engine, &plan, source, decoder, Mode::UntilEnd)
        })
        .into();
    for job in jobs {
        job.outcome().await.unwrap();
    }
    let twice: Vec<_> = alone.rows().into_iter().flat_map(|row| [row.clone(), row]).collect();
    assert_eq!(world.rows(), twice);
    assert_eq!(shared.counts(), (1, 5, 0));
}

#[tokio::test]
async fn a_block_with_a_bad_record_is_decoded_by_each_job_for_itself() {
    let shared = Shared::new(lines(&["u,1,1, bad u,2,1, u,3,1,"]), 2, None);
    let world = World::new();
    let engine = world.engine();
    let jobs = ["counts", "counts_again"].map(|name| {
        let mut plan = plan();
        plan.name = name.to_owned();
        let (source, decoder) = shared.for_job();
        world.start_in(&engine, &plan, source, decoder, Mode::UntilEnd)
    });
    for job in jobs {
        job.outcome().await.unwrap();
    }
    assert_eq!((world.rows(), world.dead().len()), (vec!["u@0=3".to_owned(); 2], 1));
    assert_eq!(shared.counts(), (1, 2, 2));
}

/// Decodes some columns of lines.
#[derive(Debug)]
struct Picked(Vec<usize>);

impl Decoder for Picked {
    fn decode(&self, block: &RawBlock) -> Decoded {
        let decoded = Cells.decode(block);
        Decoded { columns: decoded.columns.project(&self.0).unwrap(), ..decoded }
    }
}

#[tokio::test]
async fn columns_of_a_job_that_comes_later_are_decoded_for_all() {
    let source = Arc::new(lines(&["u,1,1, v,2,2, w,3,3,"]));
    let counted = Arc::new(AtomicUsize::new(0));
    let of_all = counted.clone();
    let make = move |columns: &[usize]| -> Arc<dyn Decoder> {
        of_all.store(columns.len(), Ordering::SeqCst);
        Arc::new(Picked(columns.to_vec()))
    };
    let hub = StreamHub::new(source, Box::new(make), 1, Arc::new(ManualClock::default()));
    hub.expect(&[1]);
    hub.expect(&[1]);
    let mut jobs = Vec::new();
    for columns in [vec![1], vec![2, 0]] {
        let own: Arc<dyn Decoder> = Arc::new(Picked(columns.clone()));
        let (source, decoder) = hub.for_job(own.clone(), &columns, &CpuTime::default());
        jobs.push((source.open(0, &start(1), false).await.unwrap(), decoder, own));
    }
    assert_eq!(counted.load(Ordering::SeqCst), 3);
    for (reader, decoder, own) in &mut jobs {
        let Fetch::Block(block) = reader.next().await.unwrap() else { panic!("a block comes first") };
        assert_eq!(decoder.decode(&block).columns, own.decode(&block).columns);
    }
}

/// A log whose offsets count from where each job began, so that only the place says which record they mean.
#[tokio::test]
async fn places_that_are_not_the_same_are_not_compared_by_their_offsets() {
    let shared = Shared::new(many(), 2, None);
    let [(source, _), (other, _)] = [shared.for_job(), shared.for_job()];
    let at = |next, place: &str| {
        let from = Some(weir_event::Position { next, place: place.to_owned() });
        [OpenPartition { partition: 0, from }]
    };
    let mut one = source.open(0, &at(10, "b.log 20"), false).await.unwrap();
    let mut two = other.open(0, &at(10, "a.log 10"), false).await.unwrap();
    let both = async { tokio::join!(rest(&mut *one, 1), rest(&mut *two, 1)) };
    let (one, two) = as_time_passes(&shared.clock, both).await;
    assert_eq!((one.len(), two.len()), (190, 190));
    assert_eq!(shared.counts().0, 2, "each has a reader of its own");
}

#[tokio::test]
async fn who_is_left_behind_goes_on_alone_and_misses_nothing() {
    let shared = Shared::new(many(), 2, None);
    let [(source, _), (other, _)] = [shared.for_job(), shared.for_job()];
    let mut fast = source.open(0, &start(1), false).await.unwrap();
    let mut slow = other.open(0, &start(1), false).await.unwrap();
    let Fetch::Block(first) = slow.next().await.unwrap() else { panic!("a block comes first") };
    let all: Vec<String> = many().partitions.remove(0);
    assert_eq!(as_time_passes(&shared.clock, rest(&mut *fast, 1)).await, all);
    assert_eq!(shared.counts().0, 1);
    assert_eq!((&first.data[..], rest(&mut *slow, 1).await), (all[0].as_bytes(), all[1..].to_vec()));
    assert_eq!(shared.counts().0, 2, "the slow one has a reader of its own");
}

#[tokio::test]
async fn a_run_until_the_end_waits_for_its_slowest_job() {
    let shared = Shared::new(many(), 2, None);
    let sources = [shared.for_job().0, shared.for_job().0];
    let mut readers = Vec::new();
    for (pause, source) in (0..).zip(&sources) {
        let mut reader = source.open(0, &start(1), true).await.unwrap();
        let clock = shared.clock.clone();
        readers.push(tokio::spawn(async move {
            let mut blocks = 0;
            while let Fetch::Block(_) = reader.next().await.unwrap() {
                blocks += 1;
                clock.sleep(Duration::from_secs(pause * 2)).await;
            }
            blocks
        }));
    }
    for reader in readers {
        assert_eq!(as_time_passes(&shared.clock, reader).await.unwrap(), 200);
    }
    assert_eq!(shared.counts().0, 1);
}

#[tokio::test]
async fn who_comes_later_joins_where_it_left_off_or_reads_alone() {
    let shared = Shared::new(many(), 2, None);
    let [(source, _), (other, _)] = [shared.for_job(), shared.for_job()];
    let mut first = source.open(0, &start(1), false).await.unwrap();
    let mut second = other.open(0, &start(1), false).await.unwrap();
    let (one, two) = tokio::join!(rest(&mut *first, 1), rest(&mut *second, 1));
    assert_eq!((one.len(), two.len()), (200, 200));
    // From the log's end it can follow, and is told that it is there; from the start it cannot.
    let next = weir_event::Position { next: 200, place: String::new() };
    let at_end = [OpenPartition { partition: 0, from: Some(next) }];
    let mut again = source.open(0, &at_end, false).await.unwrap();
    assert_eq!(rest(&mut *again, 1).await.len(), 0);
    assert_eq!(shared.counts().0, 1);
    let mut late = source.open(0, &start(1), false).await.unwrap();
    assert_eq!(rest(&mut *late, 1).await.len(), 200);
    assert_eq!(shared.counts().0, 2);
}

#[tokio::test]
async fn when_the_reader_fails_each_job_is_told_behind_what_was_read_and_they_begin_anew() {
    let shared = Shared::new(many(), 2, Some(3));
    let [(source, _), (_other, _)] = [shared.for_job(), shared.for_job()];
    let mut readers =
        [source.open(0, &start(1), false).await.unwrap(), source.open(0, &start(1), false).await.unwrap()];
    for reader in &mut readers {
        for _ in 0..3 {
            assert!(matches!(reader.next().await, Ok(Fetch::Block(_))));
        }
        assert_eq!(reader.next().await.unwrap_err().message, "gone");
    }
    let from = Some(weir_event::Position { next: 3, place: String::new() });
    for reader in &mut readers {
        *reader = source.open(0, &[OpenPartition { partition: 0, from: from.clone() }], false).await.unwrap();
    }
    let mut both = readers.iter_mut();
    let (one, two) = (both.next().unwrap(), both.next().unwrap());
    let (one, two) = tokio::join!(rest(&mut **one, 1), rest(&mut **two, 1));
    assert_eq!((one.len(), two.len()), (197, 197));
    assert_eq!(shared.counts().0, 2, "once before and once after the failure");
}
