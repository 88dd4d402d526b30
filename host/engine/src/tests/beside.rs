//! A job with a sink that works beside one on a disk, which can be made to fail in every way.

use super::harness::{Cells, World, plan};
use super::waiting::{as_time_passes, in_time};
use crate::status::SinkStatus;
use crate::{AsOf, Engine, EngineError, Job, Mode, SinkSpec};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use arrow_array::{ArrayRef, StringViewArray};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use weir_connect::{
    ConnectError, Delivery, Fetch, Framing, KnownTimes, OpenPartition, RawBlock, Reader, Sink, SinkRows,
    Source, Token,
};
use weir_event::{Clock, ManualClock, PartitionId, Position};
use weir_plan::OnFull;

/// A log that grows.
#[derive(Debug, Clone, Default)]
pub(super) struct Fed {
    lines: Arc<watch::Sender<Vec<String>>>,
}

impl Fed {
    /// A row of user `u` in each of these windows of ten seconds.
    pub(super) fn feed(&self, windows: std::ops::Range<i64>) {
        let lines = windows.map(|window| format!("u,{},1,", window * 10 + 1));
        self.lines.send_modify(|all| all.extend(lines));
    }
}

struct Follow {
    lines: watch::Receiver<Vec<String>>,
    at: usize,
    ends: VecDeque<Fetch>,
    bounded: bool,
}

#[async_trait]
impl Reader for Follow {
    async fn next(&mut self) -> Result<Fetch, ConnectError> {
        loop {
            let line = self.lines.borrow_and_update().get(self.at).cloned();
            if let Some(line) = line {
                let first = self.at as u64;
                self.at += 1;
                return Ok(Fetch::Block(RawBlock {
                    partition: PartitionId { source: 0, partition: 0 },
                    data: Bytes::from(line),
                    framing: Framing::Lines { first },
                    known: KnownTimes::Unknown,
                    next: Position { next: self.at as u64, place: String::new() },
                    refused: Vec::new(),
                }));
            }
            if let Some(end) = self.ends.pop_front().filter(|_| self.bounded) {
                return Ok(end);
            }
            // A log that nobody writes to any more has said everything.
            if self.lines.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

#[async_trait]
impl Source for Fed {
    async fn partitions(&self, known: &[OpenPartition]) -> Result<Vec<OpenPartition>, ConnectError> {
        Ok(OpenPartition::numbered(1, known))
    }

    async fn open(
        &self,
        source: u16,
        partitions: &[OpenPartition],
        bounded: bool,
    ) -> Result<Box<dyn Reader>, ConnectError> {
        let at = partitions[0].from.as_ref().map_or(0, |from| from.next as usize);
        let ends = VecDeque::from([Fetch::CaughtUp(PartitionId { source, partition: 0 })]);
        Ok(Box::new(Follow { lines: self.lines.subscribe(), at, ends, bounded }))
    }
}

/// Where a sink is in trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trouble {
    None,
    Start,
    Write,
    Prepare,
    Commit,
    /// Writing does not return.
    Hang,
    /// Writing takes long.
    Slow,
    /// It cannot be opened, which somebody has to mend.
    Refused,
}

/// A disk: rows written, of which so many are visible; it outlives the process.
#[derive(Debug)]
struct Disk {
    written: Vec<String>,
    visible: usize,
    trouble: Trouble,
    /// How many rows were ever written, also those that were taken back.
    writes: usize,
}

/// A sink that writes to it, exactly once.
#[derive(Debug, Clone)]
pub(super) struct OnDisk {
    disk: Arc<watch::Sender<Disk>>,
    clock: Arc<ManualClock>,
    place: &'static str,
    goes_on: bool,
}

/// What a disk that is slow takes for each row.
pub(super) const SLOW: Duration = Duration::from_secs(5);

impl OnDisk {
    pub(super) fn new(world: &World, place: &'static str, trouble: Trouble) -> OnDisk {
        let disk = watch::Sender::new(Disk { written: Vec::new(), visible: 0, trouble, writes: 0 });
        OnDisk { disk: Arc::new(disk), clock: world.clock.clone(), place, goes_on: false }
    }

    /// One that goes on from its last token when it comes back.
    pub(super) fn going_on(self) -> OnDisk {
        OnDisk { goes_on: true, ..self }
    }

    pub(super) fn writes(&self) -> usize {
        self.disk.borrow().writes
    }

    pub(super) fn set(&self, trouble: Trouble) {
        self.disk.send_modify(|disk| disk.trouble = trouble);
    }

    pub(super) fn visible(&self) -> Vec<String> {
        let disk = self.disk.borrow();
        disk.written[..disk.visible].to_vec()
    }

    pub(super) fn spec(&self, name: &str, on_full: OnFull) -> SinkSpec {
        let disk = self.clone();
        let make = move || -> Result<Box<dyn Sink>, ConnectError> { Ok(Box::new(disk.clone())) };
        SinkSpec { name: name.to_owned(), kind: "disk".to_owned(), on_full, make: Arc::new(make) }
    }

    fn act<T>(&self, at: Trouble, act: impl FnOnce(&mut Disk) -> T) -> Result<T, ConnectError> {
        match self.disk.borrow().trouble {
            Trouble::Refused => return Err(ConnectError::user("the disk is not one")),
            trouble if trouble == at => return Err(ConnectError::unavailable(format!("no {at:?}"))),
            _ => {}
        }
        let mut done = None;
        self.disk.send_modify(|disk| done = Some(act(disk)));
        Ok(done.unwrap())
    }
}

fn length(token: &Token) -> usize {
    token.0.as_u64().unwrap() as usize
}

#[async_trait]
impl Sink for OnDisk {
    fn delivery(&self) -> Delivery {
        Delivery::ExactlyOnce
    }

    fn goes_on(&self) -> bool {
        self.goes_on
    }

    fn place(&self) -> String {
        self.place.to_owned()
    }

    async fn start(&mut self, last: Option<&Token>) -> Result<(), ConnectError> {
        let last = last.map_or(0, length);
        let visible = self.act(Trouble::Start, |disk| {
            assert!(disk.visible <= last && last <= disk.written.len(), "visible rows would vanish");
            disk.written.truncate(last);
            disk.visible
        })?;
        if visible < last { self.act(Trouble::Commit, |disk| disk.visible = last) } else { Ok(()) }
    }

    async fn write(&mut self, rows: &SinkRows) -> Result<(), ConnectError> {
        let mut disk = self.disk.subscribe();
        let trouble = disk.wait_for(|disk| disk.trouble != Trouble::Hang).await.unwrap().trouble;
        if trouble == Trouble::Slow {
            self.clock.sleep(SLOW * rows.columns.num_rows() as u32).await;
        }
        let users = rows.columns.column(0).as_string_view();
        let starts = rows.columns.column(1).as_primitive::<TimestampMillisecondType>();
        let counts = rows.columns.column(2).as_primitive::<Int64Type>();
        self.act(Trouble::Write, |disk| {
            for row in 0..rows.columns.num_rows() {
                disk.writes += 1;
                let (user, start) = (users.value(row), starts.value(row) / 1000);
                disk.written.push(format!("{user}@{start}={}", counts.value(row)));
            }
        })
    }

    async fn prepare(&mut self, _: u64) -> Result<Token, ConnectError> {
        self.act(Trouble::Prepare, |disk| Token(disk.written.len().into()))
    }

    async fn commit(&mut self, token: &Token) -> Result<(), ConnectError> {
        self.act(Trouble::Commit, |disk| disk.visible = disk.visible.max(length(token)))
    }
}

/// The files in the folder of an outbox that hold rows.
pub(super) fn files_of_rows(outbox: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(outbox).into_iter().flatten().flatten();
    let paths = entries.map(|entry| entry.path());
    paths.filter(|path| path.extension().is_some_and(|ending| ending == "rows")).collect()
}

/// The rows of these windows.
pub(super) fn rows(windows: std::ops::Range<i64>) -> Vec<String> {
    windows.map(|window| format!("u@{}=1", window * 10)).collect()
}

/// A server with a job that has a good sink, the shelf, and one on disk.
pub(super) struct Beside {
    pub(super) world: World,
    pub(super) fed: Fed,
    pub(super) disk: OnDisk,
    pub(super) running: Option<(Runtime, Engine, Arc<Job>)>,
}

impl Beside {
    pub(super) fn new(trouble: Trouble, on_full: OnFull) -> Beside {
        let mut world = World::new();
        world.shards = 1;
        let disk = OnDisk::new(&world, "a", trouble);
        world.others = vec![disk.spec("disk", on_full)];
        Beside { world, fed: Fed::default(), disk, running: None }
    }

    pub(super) fn start(&mut self, mode: Mode) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (engine, job) = runtime.block_on(async {
            let engine = self.world.engine();
            let source = Arc::new(self.fed.clone());
            let job = self.world.start_in(&engine, &plan(), source, Arc::new(Cells), mode);
            (engine, job)
        });
        self.running = Some((runtime, engine, job));
    }

    pub(super) fn job(&self) -> &Job {
        &self.running.as_ref().unwrap().2
    }

    /// As by `kill -9`.
    pub(super) fn kill(&mut self) {
        let (runtime, ..) = self.running.take().unwrap();
        runtime.shutdown_timeout(Duration::from_secs(5));
    }

    pub(super) fn stop(&mut self) {
        let (runtime, engine, _) = self.running.take().unwrap();
        runtime.block_on(as_time_passes(&self.world.clock, engine.stop())).unwrap();
        runtime.shutdown_timeout(Duration::from_secs(5));
    }

    /// Lets time pass until something is so.
    pub(super) fn eventually(&self, what: &str, is_so: impl Fn(&Beside) -> bool) {
        let runtime = &self.running.as_ref().unwrap().0;
        runtime.block_on(in_time(&self.world.clock, what, || is_so(self)));
    }

    /// Another checkpoint begins and gets safe.
    pub(super) fn checkpoint(&self) {
        let number = || self.job().status().last_checkpoint.map_or(0, |checkpoint| checkpoint.number);
        // The one under way may have begun long ago.
        let wanted = number() + 2;
        self.eventually("a checkpoint is safe", |_| number() >= wanted);
    }

    /// Runs until its source is read, with time passing.
    pub(super) fn outcome(&mut self) -> (Arc<Job>, Result<(), Arc<EngineError>>) {
        let (runtime, _engine, job) = self.running.take().unwrap();
        let outcome = runtime.block_on(as_time_passes(&self.world.clock, job.outcome()));
        (job, outcome)
    }

    pub(super) fn sink(&self) -> SinkStatus {
        self.job().status().sink_counts.get("disk").cloned().unwrap_or_default()
    }

    /// How many rows of `u` the job knows.
    pub(super) fn looked_up(&self) -> bool {
        let key: ArrayRef = Arc::new(StringViewArray::from(vec!["u"]));
        let as_of = AsOf::JobTime(self.job().time().unwrap());
        self.job().lookup(&[key], as_of).is_ok()
    }
}
