//! A sink that fails in every way beside one that does not: it fails alone, and gets each row once.

use super::harness::{Cells, World, as_time_passes, in_time, plan};
use crate::status::{SinkState, SinkStatus};
use crate::{AsOf, Engine, Job, JobState, Mode, SinkSpec};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use arrow_array::{ArrayRef, StringViewArray};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::sync::watch;
use weir_connect::{
    ConnectError, Delivery, Fetch, Framing, KnownTimes, OpenPartition, RawBlock, Reader, Sink, SinkRows,
    Source, Token,
};
use weir_event::{Fault, PartitionId, Position};
use weir_plan::OnFull;

/// A log that grows.
#[derive(Debug, Clone, Default)]
struct Fed {
    lines: Arc<watch::Sender<Vec<String>>>,
}

impl Fed {
    /// A row of user `u` in each of these windows of ten seconds.
    fn feed(&self, windows: std::ops::Range<i64>) {
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
    async fn partitions(&self) -> Result<u16, ConnectError> {
        Ok(1)
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
enum Trouble {
    None,
    Start,
    Write,
    Prepare,
    Commit,
    /// Writing does not return.
    Hang,
    /// It cannot be opened, which somebody has to mend.
    Refused,
}

/// A disk: rows written, of which so many are visible; it outlives the process.
#[derive(Debug)]
struct Disk {
    written: Vec<String>,
    visible: usize,
    trouble: Trouble,
}

/// A sink that writes to it, exactly once.
#[derive(Debug, Clone)]
struct OnDisk(Arc<watch::Sender<Disk>>);

impl OnDisk {
    fn new(trouble: Trouble) -> OnDisk {
        OnDisk(Arc::new(watch::Sender::new(Disk { written: Vec::new(), visible: 0, trouble })))
    }

    fn set(&self, trouble: Trouble) {
        self.0.send_modify(|disk| disk.trouble = trouble);
    }

    fn visible(&self) -> Vec<String> {
        let disk = self.0.borrow();
        disk.written[..disk.visible].to_vec()
    }

    fn spec(&self, on_full: OnFull) -> SinkSpec {
        let disk = self.clone();
        let make = move || -> Result<Box<dyn Sink>, ConnectError> { Ok(Box::new(disk.clone())) };
        SinkSpec { name: "disk".to_owned(), kind: "disk".to_owned(), on_full, make: Arc::new(make) }
    }

    fn act<T>(&self, at: Trouble, act: impl FnOnce(&mut Disk) -> T) -> Result<T, ConnectError> {
        match self.0.borrow().trouble {
            Trouble::Refused => return Err(ConnectError::user("the disk is not one")),
            trouble if trouble == at => return Err(ConnectError::unavailable(format!("no {at:?}"))),
            _ => {}
        }
        let mut done = None;
        self.0.send_modify(|disk| done = Some(act(disk)));
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
        let mut disk = self.0.subscribe();
        disk.wait_for(|disk| disk.trouble != Trouble::Hang).await.unwrap();
        let users = rows.columns.column(0).as_string_view();
        let starts = rows.columns.column(1).as_primitive::<TimestampMillisecondType>();
        let counts = rows.columns.column(2).as_primitive::<Int64Type>();
        self.act(Trouble::Write, |disk| {
            for row in 0..rows.columns.num_rows() {
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

/// The rows of these windows.
fn rows(windows: std::ops::Range<i64>) -> Vec<String> {
    windows.map(|window| format!("u@{}=1", window * 10)).collect()
}

/// A server with a job that has a good sink, the shelf, and one on disk.
struct Beside {
    world: World,
    fed: Fed,
    disk: OnDisk,
    running: Option<(Runtime, Engine, Arc<Job>)>,
}

impl Beside {
    fn new(trouble: Trouble, on_full: OnFull) -> Beside {
        let disk = OnDisk::new(trouble);
        let mut world = World::new();
        world.shards = 1;
        world.others = vec![disk.spec(on_full)];
        Beside { world, fed: Fed::default(), disk, running: None }
    }

    fn start(&mut self, mode: Mode) {
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

    fn job(&self) -> &Job {
        &self.running.as_ref().unwrap().2
    }

    /// As by `kill -9`.
    fn kill(&mut self) {
        let (runtime, ..) = self.running.take().unwrap();
        runtime.shutdown_timeout(Duration::from_secs(5));
    }

    fn stop(&mut self) {
        let (runtime, engine, _) = self.running.take().unwrap();
        runtime.block_on(as_time_passes(&self.world.clock, engine.stop())).unwrap();
        runtime.shutdown_timeout(Duration::from_secs(5));
    }

    /// Lets time pass until something is so.
    fn eventually(&self, what: &str, is_so: impl Fn(&Beside) -> bool) {
        let runtime = &self.running.as_ref().unwrap().0;
        runtime.block_on(in_time(&self.world.clock, what, || is_so(self)));
    }

    /// Another checkpoint begins and gets safe.
    fn checkpoint(&self) {
        let number = || self.job().status().last_checkpoint.map_or(0, |checkpoint| checkpoint.number);
        // The one under way may have begun long ago.
        let wanted = number() + 2;
        self.eventually("a checkpoint is safe", |_| number() >= wanted);
    }

    fn sink(&self) -> SinkStatus {
        self.job().status().sink_counts["disk"].clone()
    }

    /// How many rows of `u` the job knows.
    fn looked_up(&self) -> bool {
        let key: ArrayRef = Arc::new(StringViewArray::from(vec!["u"]));
        let as_of = AsOf::JobTime(self.job().time().unwrap());
        self.job().lookup(&[key], as_of).is_ok()
    }
}

#[test]
fn a_sink_that_fails_in_any_way_fails_alone_and_then_gets_everything() {
    for trouble in [Trouble::Start, Trouble::Write, Trouble::Prepare, Trouble::Commit, Trouble::Hang] {
        let mut beside = Beside::new(Trouble::None, OnFull::Pause);
        if trouble == Trouble::Start {
            beside.disk.set(trouble);
        }
        beside.start(Mode::Live);
        beside.fed.feed(0..10);
        if trouble != Trouble::Start {
            beside.eventually("the first rows are there", |it| it.disk.visible() == rows(0..9));
            beside.disk.set(trouble);
        }
        beside.fed.feed(10..20);
        beside.eventually("the other sink goes on", |it| it.world.rows().len() == 19);
        beside.checkpoint();
        beside.eventually("it says so", |it| matches!(it.sink().state, SinkState::Retrying(_)));
        beside.fed.feed(20..30);
        beside.checkpoint();
        let events = beside.job().status().counts.events;
        assert!(events >= 20 && beside.looked_up(), "{trouble:?}: {events}");
        assert_eq!(beside.job().status().state, JobState::Running, "{trouble:?}");
        assert!(beside.disk.visible().len() < 19, "{trouble:?}");

        beside.disk.set(Trouble::None);
        beside.eventually("it gets everything", |it| it.disk.visible() == rows(0..29));
        beside.eventually("it works", |it| it.sink().state == SinkState::Running);
        let status = beside.sink();
        assert_eq!((status.rows, status.waiting_rows, status.missed_rows), (29, 0, 0), "{trouble:?}");
        assert_eq!(beside.world.written().len(), 29, "{trouble:?}: the other one has each row once");
        assert_eq!(beside.job().status().counts.events, 30, "{trouble:?}: nothing was read twice");
        beside.stop();
    }
}

#[test]
fn a_process_that_ends_in_the_middle_of_the_trouble_loses_and_doubles_nothing() {
    for trouble in [Trouble::Start, Trouble::Write, Trouble::Prepare, Trouble::Commit, Trouble::Hang] {
        for is_killed in [true, false] {
            let mut beside = Beside::new(trouble, OnFull::Pause);
            beside.start(Mode::Live);
            beside.fed.feed(0..10);
            beside.eventually("rows are made", |it| it.job().status().counts.results == 9);
            beside.checkpoint();
            beside.fed.feed(10..15);
            if is_killed {
                beside.kill()
            } else {
                beside.stop()
            }

            // Once more: what waits is handed from one process to the next.
            beside.start(Mode::Live);
            beside.fed.feed(15..20);
            beside.eventually("rows are made", |it| it.job().status().counts.results == 19);
            beside.checkpoint();
            if is_killed {
                beside.kill()
            } else {
                beside.stop()
            }

            beside.disk.set(Trouble::None);
            beside.start(Mode::Live);
            beside.eventually("it gets everything", |it| it.disk.visible() == rows(0..19));
            beside.stop();
            let outbox = beside.world.path().join("outbox/counts/disk");
            let left = std::fs::read_dir(outbox).map_or(0, Iterator::count);
            assert_eq!(left, 0, "{trouble:?}: files that nobody needs are removed");
        }
    }
}

#[test]
fn a_damaged_outbox_fails_its_sink_alone() {
    let mut beside = Beside::new(Trouble::Write, OnFull::Pause);
    beside.start(Mode::Live);
    beside.fed.feed(0..10);
    beside.eventually("rows are made", |it| it.job().status().counts.results == 9);
    beside.checkpoint();
    beside.kill();
    for file in std::fs::read_dir(beside.world.path().join("outbox/counts/disk")).unwrap() {
        std::fs::write(file.unwrap().path(), "no rows").unwrap();
    }
    beside.disk.set(Trouble::None);
    beside.start(Mode::Live);
    beside.fed.feed(10..20);
    beside.eventually("the other sink goes on", |it| it.world.rows().len() == 19);
    beside.eventually(
        "it says so",
        |it| matches!(&it.sink().state, SinkState::Failed(why) if why.contains("restore it")),
    );
    assert_eq!((beside.sink().next_try, beside.job().status().state), (None, JobState::Running));
    assert!(beside.disk.visible().is_empty(), "nothing comes before what is missing");
    beside.stop();
}

#[test]
fn a_full_outbox_pauses_the_job_which_can_be_stopped_and_goes_on_when_there_is_room() {
    let mut beside = Beside::new(Trouble::Write, OnFull::Pause);
    beside.world.outbox_bytes = 2000;
    beside.start(Mode::Live);
    beside.fed.feed(0..50);
    beside.eventually("it is paused", |it| matches!(it.job().status().state, JobState::Paused(_)));
    assert!(beside.job().stands_still());
    let made = beside.job().status().counts.results;
    assert!(made < 40, "{made}");
    beside.stop();

    beside.start(Mode::Live);
    beside.eventually("it is paused", |it| matches!(it.job().status().state, JobState::Paused(_)));
    beside.disk.set(Trouble::None);
    beside.eventually("it gets everything", |it| it.disk.visible() == rows(0..49));
    assert_eq!(beside.job().status().state, JobState::Running);
    beside.stop();
}

#[test]
fn a_full_outbox_suspends_its_sink_which_gets_what_waits_when_it_is_resumed() {
    let mut beside = Beside::new(Trouble::Write, OnFull::Suspend);
    beside.world.outbox_bytes = 2000;
    beside.start(Mode::Live);
    beside.fed.feed(0..50);
    beside.eventually("the other sink gets everything", |it| it.world.rows().len() == 49);
    let status = beside.sink();
    assert!(matches!(status.state, SinkState::Suspended(_)), "{status:?}");
    assert_eq!(status.missed_rows + status.waiting_rows, 49, "{status:?}");
    assert!(status.missed_rows > 0 && status.waiting_rows > 0, "{status:?}");
    beside.disk.set(Trouble::None);
    beside.checkpoint();
    assert!(beside.disk.visible().is_empty(), "it is not resumed by itself");

    assert_eq!(beside.job().resume_sink("disk"), Some(true));
    assert_eq!(beside.job().resume_sink("no"), None);
    let waiting = status.waiting_rows as i64;
    let wanted = || [rows(0..waiting), rows(49..59)].concat();
    beside.eventually("it gets what waits", |it| it.disk.visible() == rows(0..waiting));
    beside.fed.feed(50..60);
    beside.eventually("it gets what comes", |it| it.disk.visible() == wanted());
    beside.stop();
    beside.start(Mode::Live);
    beside.eventually("what it missed is not forgotten", |it| {
        let now = it.job().status().sink_counts.get("disk").map(|sink| sink.missed_rows);
        now == Some(status.missed_rows)
    });
    beside.stop();
}

#[test]
fn a_run_to_the_end_waits_for_a_sink_that_may_come_back() {
    let mut beside = Beside::new(Trouble::Commit, OnFull::Pause);
    beside.fed.feed(0..10);
    beside.start(Mode::UntilEnd);
    beside.eventually("the other sink has everything", |it| it.world.rows().len() == 10);
    beside.disk.set(Trouble::None);
    let (runtime, _, job) = beside.running.take().unwrap();
    runtime.block_on(as_time_passes(&beside.world.clock, job.outcome())).unwrap();
    assert_eq!(beside.disk.visible(), rows(0..10));
}

#[test]
fn a_run_to_the_end_ends_with_the_failure_of_a_sink_when_everything_else_is_written() {
    let mut beside = Beside::new(Trouble::Refused, OnFull::Pause);
    beside.fed.feed(0..10);
    beside.start(Mode::UntilEnd);
    let (runtime, _engine, job) = beside.running.take().unwrap();
    let error = runtime.block_on(as_time_passes(&beside.world.clock, job.outcome())).unwrap_err();
    assert_eq!(error.fault(), Fault::User);
    let said = error.to_string();
    assert!(said.contains("sink `disk`: the disk is not one; 10 rows wait for it"), "{said}");
    assert_eq!(beside.world.rows().len(), 10);
    assert!(matches!(job.status().sink_counts["disk"].state, SinkState::Failed(_)));

    // Nothing is read again, and yet nothing is missing.
    beside.disk.set(Trouble::None);
    beside.start(Mode::UntilEnd);
    let (runtime, _engine, job) = beside.running.take().unwrap();
    runtime.block_on(as_time_passes(&beside.world.clock, job.outcome())).unwrap();
    assert_eq!(beside.disk.visible(), rows(0..10));
    assert_eq!((beside.world.rows().len(), job.status().counts.events), (10, 10));
}
