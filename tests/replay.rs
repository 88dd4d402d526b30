//! A job run inside the test over lines that are handed out block by block, so that it can be killed at an exact
//! barrier: the engine, the store, the decoder and the file sink are the real ones.

use crate::harness::wait_for;
use async_trait::async_trait;
use serde_json::json;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Runtime;
use weir_connect::{
    ConnectError, CpuTime, Decoder, Fetch, Framing, KnownTimes, NoMark, OpenPartition, RawBlock, Reader,
    Source,
};
use weir_connectors::context::SinkContext;
use weir_connectors::registry;
use weir_engine::status::PartitionStatus;
use weir_engine::{DeadLetters, Engine, InputSource, Job, JobSpec, Mode, Settings, SinkSpec};
use weir_event::{ManualClock, PartitionId, Position};
use weir_format::json::JsonDecoder;
use weir_plan::{Diagnostic, JobPlan, OnFull, SinkPlan, StreamDefinition, StreamInput};
use weir_project::{AnyConnectors, BuiltIns, ProjectFiles, plan};
use weir_store::{SledStore, StoreError, StoreOptions};

/// One job over fixed input, with the state that it leaves.
pub(crate) struct Replay {
    folder: tempfile::TempDir,
    plan: JobPlan,
    /// The lines of each partition of each input.
    lines: Arc<Logs>,
}

/// The lines of each partition, for each input of a job.
pub(crate) type Logs = Vec<Vec<Vec<String>>>;

impl Replay {
    /// The plan's results go to a file.
    pub(crate) fn new(mut plan: JobPlan, lines: Logs) -> Replay {
        let settings = json!({"path": "out", "meta": true});
        plan.sinks = vec![SinkPlan {
            kind: "file".to_owned(),
            settings,
            name: "file".to_owned(),
            on_full: OnFull::Pause,
            stands_at: (1, 1),
        }];
        Replay { folder: tempfile::tempdir().expect("a temporary folder"), plan, lines: Arc::new(lines) }
    }

    /// The same with another definition, and the state that this one has left.
    pub(crate) fn edited(self, plan: JobPlan) -> Replay {
        let JobPlan { sinks, .. } = self.plan;
        Replay { plan: JobPlan { sinks, ..plan }, ..self }
    }

    /// The folder of the file sink.
    pub(crate) fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    /// Whether its windows are sessions.
    pub(crate) fn has_sessions(&self) -> bool {
        has_sessions(&self.plan)
    }

    /// The dead letters so far.
    pub(crate) fn dead_letters(&self) -> Vec<weir_engine::dead_letters::Listed> {
        let letters = DeadLetters::new(self.folder.path().join("dead"), 1 << 20);
        let streams: BTreeSet<_> = self.plan.inputs.iter().map(|input| &input.stream.name).collect();
        let of = |stream: &String| letters.list(stream, 1000).expect("dead letters can be read");
        streams.into_iter().flat_map(of).collect()
    }

    /// Runs on from the last checkpoint to the end of the input.
    pub(crate) fn to_the_end(&self, shards: usize, block: usize) {
        self.run(shards, block, |_| ());
    }

    /// Runs on to the end of the input; `ask` is handed the job when it is there.
    pub(crate) fn finished(&self, shards: usize, ask: impl FnOnce(&Job)) {
        self.run(shards, usize::MAX, ask);
    }

    fn run(&self, shards: usize, block: usize, ask: impl FnOnce(&Job)) {
        let runtime = runtime();
        runtime.block_on(async {
            let (_engine, job, _) = self.start(shards, block, usize::MAX);
            job.outcome().await.unwrap_or_else(|error| panic!("the job failed: {error}"));
            ask(&job);
        });
        runtime.shutdown_timeout(Duration::from_secs(5));
    }

    /// Runs on until `blocks` blocks of each partition, counted from the start of the input, are in a safe
    /// checkpoint, and is then dropped without a word, as by `kill -9`.
    pub(crate) fn killed_after(&self, shards: usize, block: usize, blocks: usize) {
        self.killed_then(shards, block, blocks, |_| ());
    }

    /// As [`Replay::killed_after`]; `ask` is handed the job before.
    pub(crate) fn killed_then(&self, shards: usize, block: usize, blocks: usize, ask: impl FnOnce(&Job)) {
        let runtime = runtime();
        runtime.block_on(async {
            let (_engine, job, clock) = self.start(shards, block, blocks);
            let reached = |job: &Job| {
                let status = job.status();
                let at = |id: PartitionId| {
                    let is_it = |known: &&PartitionStatus| {
                        (known.input, known.partition) == (id.source, id.partition)
                    };
                    status.partitions.iter().find(is_it)
                };
                partitions_of(&self.lines).all(|(id, lines)| {
                    let end = blocks.saturating_mul(block).min(lines.len()) as u64;
                    at(id).map_or(end == 0, |known| known.position.next >= end)
                })
            };
            until(&clock, || reached(&job)).await;
            let number = |job: &Job| job.status().last_checkpoint.map_or(0, |checkpoint| checkpoint.number);
            let now = number(&job);
            // The checkpoint under way may have begun before the last block; the one after it has not.
            until(&clock, || number(&job) >= now + 2).await;
            ask(&job);
        });
        runtime.shutdown_timeout(Duration::from_secs(5));
    }

    /// Opens the store; the thread of a killed engine lets go of it a moment later than the runtime ends.
    fn open_store(&self) -> SledStore {
        let folder = self.folder.path().join("state");
        wait_for("the store to be free", Duration::from_secs(10), || {
            match SledStore::open(&folder, StoreOptions::default()) {
                Ok(store) => Some(store),
                Err(StoreError::Locked { .. }) => None,
                Err(error) => panic!("the store does not open: {error}"),
            }
        })
    }

    fn start(&self, shards: usize, block: usize, blocks: usize) -> (Engine, Arc<Job>, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(LATER.parse().expect("a time")));
        let store = self.open_store();
        let letters = Arc::new(DeadLetters::new(self.folder.path().join("dead"), 1 << 20));
        let settings = Settings {
            shards,
            checkpoint_every: Duration::from_millis(1),
            outbox: self.folder.path().join("outbox"),
            outbox_bytes: 1 << 30,
            background: None,
        };
        let store = Arc::new(store);
        let engine = Engine::new(settings, store, letters, clock.clone()).expect("the engine starts");
        let folder = self.folder.path().to_owned();
        let (job, plans) = (self.plan.name.clone(), self.plan.sinks.clone());
        let spec = |plan: SinkPlan| {
            let (name, kind, on_full) = (plan.name.clone(), plan.kind.clone(), plan.on_full);
            let context = SinkContext {
                project: folder.clone(),
                data_dir: folder.clone(),
                job: job.clone(),
                sink: name.clone(),
                shape: None,
                refused_bytes: 0,
                clock: clock.clone(),
                began: weir_event::EventTime::from_millis(0),
                mark: Arc::new(NoMark),
            };
            let make = move || {
                let sink = registry::sink(&plan.kind, &plan.settings, &context);
                sink.map_err(|errors| ConnectError::user(format!("{errors:?}")))
            };
            SinkSpec { name, kind, on_full, make: Arc::new(make) }
        };
        let input_source = |input: &StreamInput| InputSource {
            source: Arc::new(Lines { logs: self.lines.clone(), block, blocks }),
            decoder: decoder(input),
            archive: None,
        };
        let started = engine.start(JobSpec {
            plan: self.plan.clone(),
            inputs: self.plan.inputs.iter().map(input_source).collect(),
            sinks: plans.into_iter().map(spec).collect(),
            mode: if blocks == usize::MAX { Mode::UntilEnd } else { Mode::Live },
            cpu: CpuTime::default(),
        });
        let started = started.expect("the job starts");
        (engine, started, clock)
    }
}

/// What decodes the columns that a plan reads of an input.
pub(crate) fn decoder(input: &StreamInput) -> Arc<dyn Decoder> {
    let StreamDefinition { schema, format, .. } = &*input.stream;
    assert_eq!(format.name, "json");
    let gives_changes = weir_format::by_name("json").is_ok_and(|json| json.gives_changes(&format.options));
    let make = if gives_changes { JsonDecoder::of_changes } else { JsonDecoder::new };
    Arc::new(make(schema, &input.columns))
}

/// All partitions with their lines.
pub(crate) fn partitions_of(logs: &Logs) -> impl Iterator<Item = (PartitionId, &Vec<String>)> {
    (0..).zip(logs).flat_map(|(source, log)| {
        (0..).zip(log).map(move |(partition, lines)| (PartitionId { source, partition }, lines))
    })
}

/// Whether a job's windows are sessions.
pub(crate) fn has_sessions(plan: &JobPlan) -> bool {
    let frames = plan.stage.as_ref().map(|stage| &stage.spec.frames);
    matches!(frames, Some(weir_timeline::Frames::Session(_)))
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// After every event of a case.
const LATER: &str = "2100-01-01T00:00:00Z";

/// Lets time pass until something is so.
#[allow(
    clippy::disallowed_methods,
    reason = "a job works on threads of its own: it is looked at, with a bound"
)]
async fn until(clock: &ManualClock, mut reached: impl FnMut() -> bool) {
    for _ in 0..30_000 {
        if reached() {
            return;
        }
        clock.advance(Duration::from_millis(100));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("waited 30 s for the job");
}

/// Lines by partition, handed out `block` at a time up to `blocks` blocks; whoever opens it says of which input.
#[derive(Debug)]
struct Lines {
    logs: Arc<Logs>,
    block: usize,
    blocks: usize,
}

#[async_trait]
impl Source for Lines {
    async fn partitions(&self, known: &[OpenPartition]) -> Result<Vec<OpenPartition>, ConnectError> {
        Ok(OpenPartition::numbered(self.logs.iter().map(Vec::len).max().unwrap_or(0) as u16, known))
    }

    async fn open(
        &self,
        source: u16,
        partitions: &[OpenPartition],
        bounded: bool,
    ) -> Result<Box<dyn Reader>, ConnectError> {
        let mut fetches = Vec::new();
        for open in partitions {
            let id = PartitionId { source, partition: open.partition };
            let log = self.logs.get(usize::from(source)).and_then(|log| log.get(usize::from(open.partition)));
            let lines = log.map_or(&[][..], Vec::as_slice);
            let end = self.blocks.saturating_mul(self.block).min(lines.len());
            let mut at = open.from.as_ref().map_or(0, |position| position.next as usize);
            while at < end {
                let next = (at + self.block.min(end - at)).min(end);
                fetches.push(Fetch::Block(block(id, at, &lines[at..next])));
                at = next;
            }
            if bounded {
                fetches.push(Fetch::CaughtUp(id));
            }
        }
        fetches.reverse();
        Ok(Box::new(LinesReader { fetches }))
    }
}

/// Lines of a partition from this one on, as a source hands them out.
pub(crate) fn block(partition: PartitionId, first: usize, lines: &[String]) -> RawBlock {
    let data: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    RawBlock {
        partition,
        data: data.into_bytes().into(),
        framing: Framing::Lines { first: first as u64 },
        known: KnownTimes::Unknown,
        next: Position { next: (first + lines.len()) as u64, place: String::new() },
        refused: Vec::new(),
    }
}

/// What is left to hand out, last first.
struct LinesReader {
    fetches: Vec<Fetch>,
}

#[async_trait]
impl Reader for LinesReader {
    async fn next(&mut self) -> Result<Fetch, ConnectError> {
        match self.fetches.pop() {
            Some(fetch) => Ok(fetch),
            None => std::future::pending().await,
        }
    }
}

/// The files of a case's streams.
const STREAMS: [&str; 2] = ["stream.yaml", "second.yaml"];

/// The plan of a case's `stream.yaml`, `second.yaml` if there is one, and `job.yaml`; its source is the test's, and its sink the harness's.
pub(crate) fn plan_of(case: &Path) -> Result<JobPlan, Vec<Diagnostic>> {
    let text = |name: &str| {
        std::fs::read_to_string(case.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    let streams = STREAMS.into_iter().filter(|name| case.join(name).exists());
    let streams: Vec<(&str, String)> = streams.map(|name| (name, text(name))).collect();
    plan_of_all(&streams, text("job.yaml"))
}

/// The plan of a job over one stream.
pub(crate) fn plan_of_texts(stream: &str, job: &str) -> Result<JobPlan, Vec<Diagnostic>> {
    plan_of_all(&[("s.yaml", stream.to_owned())], job.to_owned())
}

fn plan_of_all(streams: &[(&str, String)], job: String) -> Result<JobPlan, Vec<Diagnostic>> {
    let stream = |(name, text): &(&str, String)| {
        (format!("streams/{name}"), format!("{text}\nsource: {{test: {{}}}}\n"))
    };
    let job = ("jobs/job.yaml".to_owned(), job);
    let texts: ProjectFiles = streams.iter().map(stream).chain([job]).collect();
    let mut planned = plan(&texts, &|_: &str| None, &AnyConnectors, &BuiltIns);
    let errors: Vec<Diagnostic> = planned.errors().cloned().collect();
    if errors.is_empty() { Ok(planned.jobs.remove(0)) } else { Err(errors) }
}
