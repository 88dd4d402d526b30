//! What the tests share: a stream of lines `user,time,n,id`, a job that counts per user and ten seconds, and a
//! sink that shows the rows of safe checkpoints.

use crate::dead_letters::Listed;
use crate::{Counts, DeadLetters, Engine, EngineError, InputSource, Job, JobSpec, Mode, Settings, SinkSpec};
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, StringViewArray, TimestampMillisecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use weir_connect::format::BadRow;
use weir_connect::source::RefusedRecord;
use weir_connect::{
    ConnectError, CpuTime, Decoded, Decoder, Delivery, Fetch, Framing, KnownTimes, Op, OpenPartition,
    RawBlock, Reader, Sink, SinkRows, Source, Token,
};
use weir_event::{ManualClock, PartitionId, Position, Span, StreamSchema};
use weir_plan::definition::WhenIdle;
use weir_plan::{
    Column, ColumnRole, Emit, Expression, ExpressionError, JobPlan, KeyedStage, Late, LatePolicy, OnFull,
    Output, Projection, SinkPlan, StateShape, StreamDefinition, StreamInput, StreamOrigin,
};
use weir_store::{CheckpointStore, SledStore, StoreOptions};
use weir_timeline::{AggregateSpec, Frames, Grid, StageSpec, builtin};

/// The column at an index, or with `true`, whether it is positive.
#[derive(Debug)]
struct At([usize; 1], DataType, bool);

impl Expression for At {
    fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, ExpressionError> {
        let column = batch.column(self.0[0]);
        if !self.2 {
            return Ok(column.clone());
        }
        let numbers = column.as_primitive::<Int64Type>();
        Ok(Arc::new(numbers.iter().map(|n| Some(n? > 0)).collect::<arrow_array::BooleanArray>()))
    }

    fn data_type(&self) -> &DataType {
        &self.1
    }

    fn canonical(&self) -> &'static str {
        "column"
    }

    fn reads(&self) -> &[usize] {
        &self.0
    }
}

/// The column at an index.
pub(super) fn column(index: usize, data_type: &DataType) -> Arc<dyn Expression> {
    Arc::new(At([index], data_type.clone(), false))
}

/// `HAVING n > 0`, where `n` is what is counted.
pub(super) fn having() -> Arc<dyn Expression> {
    Arc::new(At([1], DataType::Boolean, true))
}

/// `WHERE n > 0`.
pub(super) fn positive() -> Arc<dyn Expression> {
    Arc::new(At([2], DataType::Boolean, true))
}

pub(super) fn schema(fields: &[(&str, DataType)]) -> SchemaRef {
    let fields = fields.iter().map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

pub(super) const MILLIS: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

/// Seconds as a span.
pub(super) fn seconds(seconds: i64) -> Span {
    Span::from_millis(seconds * 1000)
}

fn stream() -> StreamDefinition {
    let origin = StreamOrigin { kind: "memory".to_owned(), settings: serde_json::Value::Null };
    let names = ["user", "t", "n", "id"];
    let types = ["string", "timestamp", "bigint", "string"];
    let fields = names
        .iter()
        .zip(types)
        .map(|(name, data_type)| weir_event::Field::named(name, data_type.parse().unwrap()));
    StreamDefinition {
        name: "events".to_owned(),
        schema: StreamSchema { fields: fields.collect(), event_time: 1 },
        disorder: Span::ZERO,
        idle_after: seconds(60),
        when_idle: WhenIdle::Hold,
        max_future: seconds(3600),
        max_skew: None,
        dedup: None,
        known_time: None,
        format: weir_plan::FormatDefinition::default(),
        origin: Some(origin),
        archive: None,
    }
}

/// COUNT(*) in windows of ten seconds.
fn counts_by_ten_seconds() -> StageSpec {
    StageSpec {
        frames: Frames::Grid(Grid { size: seconds(10), slide: seconds(10), offset: Span::ZERO }),
        aggregates: vec![AggregateSpec {
            function: builtin("COUNT", false, &[], &[]).unwrap(),
            arguments: Vec::new(),
            filter: None,
            frame: 0,
            edits: None,
        }],
        inputs: vec![DataType::Utf8View],
        carried: Vec::new(),
        history: seconds(3600),
        corrects: Some(seconds(3600)),
        retention: None,
        tail: None,
        emit_changes: false,
        results_below: None,
        process: None,
    }
}

/// `SELECT user, window_start, COUNT(*) .. GROUP BY user, TUMBLE(t, INTERVAL '10' SECOND)`, without disorder.
pub(crate) fn plan() -> JobPlan {
    let stream = stream();
    let origin = stream.origin.clone().unwrap();
    let (text, count) = (DataType::Utf8View, DataType::Int64);
    let of_stage = [("user", text.clone()), ("n", count.clone()), ("s", MILLIS), ("e", MILLIS)];
    let of_output = [("user", text.clone()), ("s", MILLIS), ("n", count.clone())];
    let output = |name: &str, role, index, data_type| Column {
        name: name.to_owned(),
        role,
        expression: column(index, data_type),
    };
    JobPlan {
        name: "counts".to_owned(),
        version: 1,
        definition: "sha256:ab".to_owned(),
        definition_without_components: "sha256:ab".to_owned(),
        state_shape: StateShape::default(),
        state_fingerprint: "state".to_owned(),
        inputs: vec![StreamInput {
            stream: Arc::new(stream),
            origin,
            columns: vec![0, 1, 2, 3],
            event_time: 1,
            known_time: None,
            event_id: None,
            unnest: None,
            projection: Projection {
                filter: None,
                columns: vec![column(0, &text)],
                schema: schema(&[("user", text.clone())]),
            },
        }],
        stage: Some(KeyedStage {
            keys: vec![0],
            key_names: vec!["user".to_owned()],
            key_types: vec![text.clone()],
            spec: Arc::new(counts_by_ten_seconds()),
            present: None,
            results: schema(&of_stage),
        }),
        output: Output {
            filter: None,
            columns: vec![
                output("user", ColumnRole::Key(0), 0, &text),
                output("s", ColumnRole::WindowBound, 2, &MILLIS),
                output("n", ColumnRole::Feature, 1, &count),
            ],
            schema: schema(&of_output),
        },
        features: Vec::new(),
        transform: weir_plan::Transform::default(),
        decoders: std::collections::BTreeMap::new(),
        versions: Vec::new(),
        leaves_older_states: false,
        late: Late { policy: LatePolicy::Correct, allow: seconds(3600) },
        emit: Emit::Close,
        stale_after: None,
        bootstrap: weir_plan::Bootstrap::default(),
        sinks: vec![SinkPlan {
            kind: "shelf".to_owned(),
            settings: serde_json::Value::Null,
            name: "shelf".to_owned(),
            on_full: OnFull::Pause,
            stands_at: (1, 1),
        }],
        looks_ahead: None,
    }
}

/// Late rows change nothing that is final.
pub(super) fn dropping(plan: &mut JobPlan) {
    plan.late.policy = LatePolicy::Drop;
    if let Some(stage) = &mut plan.stage {
        stage.spec = Arc::new(StageSpec { corrects: None, ..(*stage.spec).clone() });
    }
}

/// Changes the definition of a plan's stream.
pub(super) fn with_stream(plan: &mut JobPlan, change: impl FnOnce(&mut StreamDefinition)) {
    let mut stream = (*plan.inputs[0].stream).clone();
    change(&mut stream);
    plan.inputs[0].stream = Arc::new(stream);
}

/// A log per partition, read in turns, `block` lines at a time.
#[derive(Debug, Clone)]
pub(super) struct Lines {
    pub(super) partitions: Vec<Vec<String>>,
    pub(super) block: usize,
    /// Offset of the first line of each partition.
    pub(super) first: u64,
    /// What opening it says.
    pub(super) fails: Option<ConnectError>,
}

/// A log of these partitions, each a text of lines.
pub(super) fn lines(partitions: &[&str]) -> Lines {
    let split = |text: &&str| text.split_whitespace().map(str::to_owned).collect();
    Lines { partitions: partitions.iter().map(split).collect(), block: 2, first: 0, fails: None }
}

#[derive(Debug)]
struct Script(VecDeque<Fetch>);

#[async_trait]
impl Reader for Script {
    async fn next(&mut self) -> Result<Fetch, ConnectError> {
        match self.0.pop_front() {
            Some(fetch) => Ok(fetch),
            None => std::future::pending().await,
        }
    }
}

#[async_trait]
impl Source for Lines {
    async fn partitions(&self, known: &[OpenPartition]) -> Result<Vec<OpenPartition>, ConnectError> {
        let all = || OpenPartition::numbered(self.partitions.len() as u16, known);
        self.fails.clone().map_or_else(|| Ok(all()), Err)
    }

    async fn open(
        &self,
        source: u16,
        partitions: &[OpenPartition],
        _: bool,
    ) -> Result<Box<dyn Reader>, ConnectError> {
        let mut script = VecDeque::new();
        let mut at: Vec<u64> =
            partitions.iter().map(|open| open.from.as_ref().map_or(self.first, |from| from.next)).collect();
        let mut ended = vec![false; at.len()];
        while ended.iter().any(|ended| !ended) {
            for (index, open) in
                partitions.iter().enumerate().filter(|(index, _)| !ended[*index]).collect::<Vec<_>>()
            {
                let id = PartitionId { source, partition: open.partition };
                let log = &self.partitions[open.partition as usize];
                let rest = log.get((at[index] - self.first) as usize..).unwrap_or(&[]);
                let rest = &rest[..rest.len().min(self.block)];
                if rest.is_empty() {
                    ended[index] = true;
                    script.push_back(Fetch::CaughtUp(id));
                    continue;
                }
                let first = at[index];
                at[index] += rest.len() as u64;
                script.push_back(Fetch::Block(RawBlock {
                    partition: id,
                    data: Bytes::from(rest.join("\n")),
                    framing: Framing::Lines { first },
                    known: KnownTimes::Unknown,
                    next: Position { next: at[index], place: String::new() },
                    refused: Vec::<RefusedRecord>::new(),
                }));
            }
        }
        Ok(Box::new(Script(script)))
    }
}

/// Reads `user,seconds,n,id`; an empty `id` is null.
#[derive(Debug)]
pub(super) struct Cells;

impl Decoder for Cells {
    fn decode(&self, block: &RawBlock) -> Decoded {
        let Framing::Lines { first } = block.framing else { panic!("lines are framed by lines") };
        let text = std::str::from_utf8(&block.data).unwrap();
        let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
        let is_good = |row: &Vec<&str>| row.len() == 4;
        let numbered = || rows.iter().zip(first..);
        let good: Vec<_> = rows.iter().filter(|row| is_good(row)).collect();
        let users: StringViewArray = good.iter().map(|row| Some(row[0])).collect();
        let times: TimestampMillisecondArray =
            good.iter().map(|row| Some(row[1].parse::<i64>().unwrap() * 1000)).collect();
        let numbers: Int64Array = good.iter().map(|row| Some(row[2].parse::<i64>().unwrap())).collect();
        let ids: StringViewArray = good.iter().map(|row| Some(row[3]).filter(|id| !id.is_empty())).collect();
        let columns: [(&str, ArrayRef); 4] = [
            ("user", Arc::new(users)),
            ("t", Arc::new(times)),
            ("n", Arc::new(numbers)),
            ("id", Arc::new(ids)),
        ];
        Decoded {
            columns: RecordBatch::try_from_iter(columns).unwrap(),
            offsets: numbered().filter(|(row, _)| is_good(row)).map(|(_, offset)| offset).collect(),
            records: (0..rows.len() as u32).filter(|row| is_good(&rows[*row as usize])).collect(),
            bad: numbered()
                .filter(|(row, _)| !is_good(row))
                .map(|(_, offset)| BadRow {
                    offset,
                    reason: "no row".to_owned(),
                    payload: Vec::new(),
                    damaged: false,
                })
                .collect(),
        }
    }
}

/// Rows as `user@window_start=count` or `user@window_start is gone`, with their revision.
pub(super) type Shown = Arc<Mutex<Vec<(String, u64)>>>;

/// Shows rows when their checkpoint is safe.
pub(super) struct Shelf {
    pending: Vec<(String, u64)>,
    /// What a checkpoint that has begun holds.
    prepared: Vec<(String, u64)>,
    shown: Shown,
    wants_meta: bool,
}

impl Shelf {
    pub(super) fn new(shown: Shown, wants_meta: bool) -> Shelf {
        Shelf { pending: Vec::new(), prepared: Vec::new(), shown, wants_meta }
    }
}

#[async_trait]
impl Sink for Shelf {
    fn delivery(&self) -> Delivery {
        Delivery::ExactlyOnce
    }

    fn wants_meta(&self) -> bool {
        self.wants_meta
    }

    async fn start(&mut self, _: Option<&Token>) -> Result<(), ConnectError> {
        Ok(())
    }

    async fn write(&mut self, rows: &SinkRows) -> Result<(), ConnectError> {
        let columns = &rows.columns;
        let users = columns.column(0).as_string_view();
        let starts = columns.column(1).as_primitive::<TimestampMillisecondType>();
        let counts = columns.column(2).as_primitive::<Int64Type>();
        for row in 0..columns.num_rows() {
            let identity = format!("{}@{}", users.value(row), starts.value(row) / 1000);
            let text = match rows.meta.op {
                Op::Upsert if counts.is_null(row) => format!("{identity}=null"),
                Op::Upsert => format!("{identity}={}", counts.value(row)),
                Op::Delete => format!("{identity} is gone"),
            };
            self.pending.push((text, rows.meta.revision));
        }
        Ok(())
    }

    async fn prepare(&mut self, _: u64) -> Result<Token, ConnectError> {
        self.prepared.append(&mut self.pending);
        Ok(Token::default())
    }

    async fn commit(&mut self, _: &Token) -> Result<(), ConnectError> {
        self.shown.lock().unwrap().append(&mut self.prepared);
        Ok(())
    }
}

/// A server's folder, across several runs.
pub(super) struct World {
    folder: tempfile::TempDir,
    pub(super) store: Arc<SledStore>,
    pub(super) clock: Arc<ManualClock>,
    shown: Shown,
    pub(super) shards: usize,
    /// Whether the sink has a use for what is said of rows.
    pub(super) wants_meta: bool,
    /// What may wait for a sink.
    pub(super) outbox_bytes: u64,
    /// Sinks beside the shelf.
    pub(super) others: Vec<SinkSpec>,
}

impl World {
    pub(super) fn new() -> World {
        // What a test leaves survives nothing but the job's own end, so it need not wait for a disk.
        let in_memory = Some(Path::new("/dev/shm")).filter(|folder| folder.is_dir());
        let folder = in_memory.map_or_else(tempfile::tempdir, tempfile::tempdir_in).unwrap();
        let store = SledStore::open(&folder.path().join("state"), StoreOptions::default()).unwrap();
        World {
            folder,
            store: Arc::new(store),
            clock: Arc::new(ManualClock::at("2026-01-01T00:00:00Z".parse().unwrap())),
            shown: Shown::default(),
            shards: 2,
            wants_meta: true,
            outbox_bytes: 1 << 30,
            others: Vec::new(),
        }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    fn letters(&self) -> Arc<DeadLetters> {
        Arc::new(DeadLetters::new(self.folder.path().join("letters"), 1 << 20))
    }

    /// Starts the job.
    pub(super) fn start(&self, plan: &JobPlan, source: Lines, mode: Mode) -> (Engine, Arc<Job>) {
        self.start_from(plan, Arc::new(source), mode)
    }

    pub(super) fn start_from(
        &self,
        plan: &JobPlan,
        source: Arc<dyn Source>,
        mode: Mode,
    ) -> (Engine, Arc<Job>) {
        let engine = self.engine();
        let job = self.start_in(&engine, plan, source, Arc::new(Cells), mode);
        (engine, job)
    }

    pub(super) fn engine(&self) -> Engine {
        // Nothing moves the clock, so the only checkpoints are those at the end.
        let settings = Settings {
            shards: self.shards,
            checkpoint_every: Duration::from_secs(10),
            outbox: self.folder.path().join("outbox"),
            outbox_bytes: self.outbox_bytes,
            background: None,
        };
        Engine::new(settings, self.store.clone(), self.letters(), self.clock.clone()).unwrap()
    }

    pub(super) fn start_in(
        &self,
        engine: &Engine,
        plan: &JobPlan,
        source: Arc<dyn Source>,
        decoder: Arc<dyn Decoder>,
        mode: Mode,
    ) -> Arc<Job> {
        engine.start(self.spec(plan, source, decoder, mode)).unwrap()
    }

    /// What a job needs to start.
    pub(super) fn spec(
        &self,
        plan: &JobPlan,
        source: Arc<dyn Source>,
        decoder: Arc<dyn Decoder>,
        mode: Mode,
    ) -> JobSpec {
        let (shown, wants_meta) = (self.shown.clone(), self.wants_meta);
        let make = move || -> Result<Box<dyn Sink>, ConnectError> {
            Ok(Box::new(Shelf::new(shown.clone(), wants_meta)))
        };
        let name = || "shelf".to_owned();
        let shelf = SinkSpec { name: name(), kind: name(), on_full: OnFull::Pause, make: Arc::new(make) };
        JobSpec {
            plan: plan.clone(),
            inputs: vec![InputSource { source, decoder, archive: None }],
            sinks: std::iter::once(shelf).chain(self.others.iter().cloned()).collect(),
            mode,
            cpu: CpuTime::default(),
        }
    }

    /// Runs the job to the end of its source.
    pub(super) async fn run(&self, plan: &JobPlan, source: Lines) -> Result<Arc<Job>, Arc<EngineError>> {
        let (_engine, job) = self.start(plan, source, Mode::UntilEnd);
        job.outcome().await?;
        Ok(job)
    }

    /// What is visible, in order of writing.
    pub(super) fn written(&self) -> Vec<(String, u64)> {
        self.shown.lock().unwrap().clone()
    }

    /// What is visible: `user@window_start=count`, sorted.
    pub(super) fn rows(&self) -> Vec<String> {
        let mut rows: Vec<_> = self.written().into_iter().map(|(row, _)| row).collect();
        rows.sort();
        rows
    }

    pub(super) fn dead(&self) -> Vec<Listed> {
        self.letters().list("events", 100).unwrap()
    }

    /// The counts in the newest manifest.
    pub(super) fn counts(&self) -> Counts {
        let head = self.store.head().unwrap().unwrap();
        serde_json::from_value(head.jobs["counts"].body["counts"].clone()).unwrap()
    }
}
