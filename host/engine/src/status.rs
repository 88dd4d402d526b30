//! What a job says of itself: its state at one moment, for people and programs.
//!
//! Only words; what counts while a job runs is in [`progress`](crate::progress).

use crate::beside::DeclinedFilling;
use serde::Serialize;
use std::collections::BTreeMap;
use weir_core::Counts;
use weir_event::{EventTime, Position};

/// Whether a sink takes rows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(tag = "state", content = "reason", rename_all = "lowercase")]
pub enum SinkState {
    /// It does.
    #[default]
    Running,
    /// It failed or does not answer, and is tried again.
    Retrying(String),
    /// It failed, and is not tried again: somebody has to mend it.
    Failed(String),
    /// It was so far behind that it gets no more rows, until it is resumed; with why it was behind.
    Suspended(String),
}

/// One sink since this process started the job.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct SinkStatus {
    /// Whether it takes rows.
    #[serde(flatten)]
    pub state: SinkState,
    /// Since when it has not, wall time.
    #[serde(serialize_with = "as_text", skip_serializing_if = "Option::is_none")]
    pub since: Option<EventTime>,
    /// How often it was tried and failed since it last took any.
    pub attempts: u64,
    /// When one that failed is tried again, wall time.
    #[serde(serialize_with = "as_text", skip_serializing_if = "Option::is_none")]
    pub next_try: Option<EventTime>,
    /// Rows that were handed to it.
    pub rows: u64,
    /// Bytes that it wrote, as far as it counts them.
    pub bytes: u64,
    /// How often it failed.
    pub errors: u64,
    /// How often it tried again by itself what the other side did not take at once.
    pub retries: u64,
    /// Rows that the other side refuses for ever, each set aside with its reason.
    pub refused_rows: u64,
    /// Rows that the other side had newer ones for.
    pub stale_rows: u64,
    /// Rows that wait for it.
    pub waiting_rows: u64,
    /// What they take.
    pub waiting_bytes: u64,
    /// Since when the oldest of them waits, wall time.
    #[serde(serialize_with = "as_text", skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<EventTime>,
    /// How long the oldest of them has waited.
    pub behind_seconds: u64,
    /// Rows of the past that wait for it, which it is given at a pace.
    pub past_waiting_rows: u64,
    /// What they take on disk.
    pub past_waiting_bytes: u64,
    /// Rows that it did not get while it was suspended, or that waited for the sink whose name it has taken, in the life
    /// of the job's state.
    pub missed_rows: u64,
}

impl SinkStatus {
    /// It is in this trouble now.
    pub(crate) fn trouble(&mut self, state: SinkState, now: EventTime) {
        self.state = state;
        self.since.get_or_insert(now);
    }

    /// It takes rows.
    pub(crate) fn works(&mut self) {
        self.state = SinkState::Running;
        (self.since, self.attempts, self.next_try) = (None, 0, None);
    }
}

/// Where one partition stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartitionStatus {
    /// The stream that it is of.
    pub stream: String,
    /// Which of the job's inputs that is: a job may read a stream twice.
    pub input: u16,
    /// Whether it is of the stream's archive.
    #[serde(rename = "archive", skip_serializing_if = "std::ops::Not::not")]
    pub is_of_archive: bool,
    /// Its number in the stream, or in its archive.
    pub partition: u16,
    /// Where reading goes on.
    pub position: Position,
    /// Its newest event time.
    #[serde(serialize_with = "as_text")]
    pub newest: Option<EventTime>,
    /// Whether everything up to its present end was read.
    pub caught_up: bool,
    /// Whether it does not hold the watermark back.
    pub idle: bool,
}

/// How far a job is with the past of its streams.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BootstrapStatus {
    /// What it does: `looking` for where the archives end; what it reads: `archive`, then `log` until the watermark is beyond the past, then `done`: it is bootstrapped.
    pub state: &'static str,
    /// By stream, which rows come from its archive; the others come from its log.
    pub cut: BTreeMap<String, String>,
    /// By stream, the known times between which rows may be in neither, as `allow_gap` lets them.
    #[serde(serialize_with = "gaps", skip_serializing_if = "BTreeMap::is_empty")]
    pub gap: BTreeMap<String, (EventTime, EventTime)>,
    /// What was read of the archives.
    pub archive: SideStatus,
    /// What was read of each partition of the logs until it was bootstrapped, by stream and number.
    pub log: BTreeMap<String, SideStatus>,
    /// Bytes of the archives, and how many of them are left; where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Those that are left.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_bytes: Option<u64>,
    /// Whether it was bootstrapped by this process.
    #[serde(skip)]
    pub is_new: bool,
    /// How long they take at the pace of those that were read, seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seconds_left: Option<u64>,
}

/// What is made beside a job.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FillingStatus {
    /// The hash of the definition that lookups change to.
    pub definition: Option<String>,
    /// Whether it runs.
    #[serde(flatten)]
    pub state: FillingState,
    /// Events that it has read.
    pub events: u64,
    /// How far it is with the past.
    pub bootstrap: Option<BootstrapStatus>,
}

/// Whether what is made beside a job runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum FillingState {
    /// As any job.
    Job(JobState),
    /// It has ended, and was dropped.
    Dropped(DroppedFilling),
}

/// What was made beside a job has not taken its place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename = "declined")]
pub struct DroppedFilling {
    /// What it lacks that the job has, and what to do.
    pub reason: String,
}

impl FillingStatus {
    /// Of one that was dropped.
    pub(crate) fn declined(declined: &DeclinedFilling) -> FillingStatus {
        let DeclinedFilling { definition, reason } = declined.clone();
        let state = FillingState::Dropped(DroppedFilling { reason });
        FillingStatus { definition: Some(definition), state, events: 0, bootstrap: None }
    }
}

impl BootstrapStatus {
    /// Of a job that looks for how its streams are cut.
    pub(crate) fn looking() -> BootstrapStatus {
        let (archive, log) = (SideStatus::default(), BTreeMap::new());
        BootstrapStatus {
            state: "looking",
            cut: BTreeMap::new(),
            gap: BTreeMap::new(),
            archive,
            log,
            bytes: None,
            left_bytes: None,
            is_new: false,
            seconds_left: None,
        }
    }

    /// Whether the job is bootstrapped.
    pub fn is_done(&self) -> bool {
        self.state == "done"
    }

    /// What was read of all logs.
    pub fn of_logs(&self) -> SideStatus {
        let mut all = SideStatus::default();
        for side in self.log.values() {
            all.rows += side.rows;
            all.refused += side.refused;
        }
        all
    }

    /// Rows that the other side has, on both.
    pub fn refused(&self) -> u64 {
        self.archive.refused + self.of_logs().refused
    }
}

/// Rows of one side of a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct SideStatus {
    /// Those that count.
    pub rows: u64,
    /// Those that do not, as the other side has them.
    pub refused: u64,
}

/// The newest safe checkpoint.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckpointStatus {
    /// Its number among the job's checkpoints.
    pub number: u64,
    /// When it was safe, wall time.
    #[serde(serialize_with = "time_as_text")]
    pub at: EventTime,
    /// From its barrier to safety, milliseconds.
    pub took_ms: u64,
}

/// How far a job has read its state back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RestoreStatus {
    /// Entries that were read.
    pub read: u64,
    /// Entries that there are, some of which later ones replace.
    pub of: u64,
}

/// Whether a job runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(tag = "state", content = "reason", rename_all = "lowercase")]
pub enum JobState {
    /// It reads its state and opens its source.
    #[default]
    Starting,
    /// It runs.
    Running,
    /// It waits to try its source again.
    Retrying(String),
    /// It waits for a sink whose outbox is full.
    Paused(String),
    /// It has read its sources to their end.
    Finished,
    /// It was stopped.
    Stopped,
    /// It failed. It goes on by itself only where its status names the time of the next try.
    Failed(String),
    /// It does not run, and is not to: it says what training sets ask for.
    #[serde(rename = "training_only")]
    TrainingOnly(String),
}

/// A job's state at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobStatus {
    /// Its name.
    pub job: String,
    /// The version of its definition; `None` of a job that could not be planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The hash of its definition, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub definition: Option<String>,
    /// Whether it runs.
    #[serde(flatten)]
    pub state: JobState,
    /// What is wrong with its source though it runs, such as that most rows are refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// Why newer versions of its plugins have not taken over its state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_taken_over: Option<String>,
    /// When a job that failed is tried again by itself, wall time.
    #[serde(serialize_with = "as_text", skip_serializing_if = "Option::is_none")]
    pub next_try: Option<EventTime>,
    /// Whether it has applied everything that was durable when it started.
    pub ready: bool,
    /// Its watermark.
    #[serde(serialize_with = "as_text")]
    pub watermark: Option<EventTime>,
    /// The time that its lookups are as of; `None` before any event.
    #[serde(serialize_with = "as_text")]
    pub as_of: Option<EventTime>,
    /// Since when it has all data; `None` where its source was read from the beginning of its log.
    #[serde(serialize_with = "as_text")]
    pub data_since: Option<EventTime>,
    /// How far it is behind, milliseconds: 0 while everything in its source is read, else what the source says of it, or
    /// the time since everything was read or since its newest event, whichever is shorter. It grows while the source cannot
    /// be read. Of a job that waits for a sink and has read nothing since it was started: the time since then.
    pub lag_ms: u64,
    /// How far behind the end of its log it is, while it is catching up and knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub behind: Option<Behind>,
    /// What it counted.
    #[serde(flatten)]
    pub counts: Counts,
    /// Processor time that was spent for it since this process started it: its tasks, its share of reading that it has
    /// in common with others, and its lookups.
    pub cpu_seconds: f64,
    /// How far it has read its state back, while it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restore: Option<RestoreStatus>,
    /// How far it is with the past of its streams, where it began with that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<BootstrapStatus>,
    /// How far that is which is made beside it, as features lack some of the past; lookups change to it when it has that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filling: Option<FillingStatus>,
    /// Its newest checkpoint.
    pub last_checkpoint: Option<CheckpointStatus>,
    /// Its partitions.
    pub partitions: Vec<PartitionStatus>,
    /// Its sinks, by name.
    pub sink_counts: BTreeMap<String, SinkStatus>,
}

impl JobStatus {
    /// A job that has not been started, for a reason.
    pub(crate) fn unstarted(job: &str, refusal: &Refusal, now: EventTime) -> JobStatus {
        JobStatus {
            job: job.to_owned(),
            version: None,
            definition: None,
            state: if refusal.for_training {
                JobState::TrainingOnly(refusal.reason.clone())
            } else {
                JobState::Failed(refusal.reason.clone())
            },
            next_try: refusal.next_try,
            ready: false,
            watermark: None,
            as_of: None,
            data_since: None,
            lag_ms: if refusal.for_training { 0 } else { millis_between(refusal.since, now) },
            behind: None,
            warning: None,
            not_taken_over: None,
            counts: Counts::default(),
            cpu_seconds: 0.0,
            restore: None,
            bootstrap: None,
            filling: None,
            last_checkpoint: None,
            partitions: Vec::new(),
            sink_counts: BTreeMap::new(),
        }
    }
}

/// Why a job could not be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What is wrong, and what to do.
    pub reason: String,
    /// Since when, wall time.
    pub since: EventTime,
    /// When it is tried again by itself, wall time; `None` where somebody has to change something first.
    pub next_try: Option<EventTime>,
    /// Whether nothing is wrong: it is for training only.
    pub for_training: bool,
}

/// Milliseconds from one time to another, 0 where that is not later; whatever the times are.
pub(crate) fn millis_between(from: EventTime, to: EventTime) -> u64 {
    to.millis().saturating_sub(from.millis()).max(0) as u64
}

/// How far a job is behind the end of its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Behind {
    /// Records that it has still to read, where its source knows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub records: Option<u64>,
    /// Bytes that it has still to read, where its source knows only that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// How long it has been behind, as [`JobStatus::lag_ms`] says it.
    pub seconds: u64,
}

pub(crate) fn as_text<S: serde::Serializer>(time: &Option<EventTime>, out: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => out.collect_str(time),
        None => out.serialize_none(),
    }
}

fn gaps<S: serde::Serializer>(
    gaps: &BTreeMap<String, (EventTime, EventTime)>,
    out: S,
) -> Result<S::Ok, S::Error> {
    out.collect_map(
        gaps.iter().map(|(stream, (from, until))| (stream, [from.to_string(), until.to_string()])),
    )
}

fn time_as_text<S: serde::Serializer>(time: &EventTime, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(time)
}
