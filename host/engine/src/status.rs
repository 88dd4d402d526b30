//! What a job says of itself while it runs: counters that stages bump and readers copy, without locks on the
//! data's way.

use crate::manifest::Counts;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use weir_event::{EventTime, PartitionId, Position};

/// Live counters of one job.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    pub(crate) events: AtomicU64,
    pub(crate) late: AtomicU64,
    pub(crate) dropped: AtomicU64,
    pub(crate) dead_letters: AtomicU64,
    pub(crate) skipped: AtomicU64,
    pub(crate) results: AtomicU64,
    pub(crate) failed_results: AtomicU64,
    /// The job's watermark in milliseconds, `i64::MIN` before the first.
    watermark: AtomicI64,
    caught_up: AtomicBool,
    ready: AtomicBool,
    /// For each shard, the number of the last message that it has applied.
    applied: Mutex<Vec<u64>>,
    slow: Mutex<Slow>,
}

/// What changes seldom.
#[derive(Debug, Default)]
struct Slow {
    /// Each partition, with the number of the last message that was sent when it was reported.
    partitions: BTreeMap<PartitionId, (PartitionStatus, u64)>,
    state: JobState,
    last_checkpoint: Option<CheckpointStatus>,
}

/// Where one partition stands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartitionStatus {
    /// Its number.
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

/// Whether a job runs.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(tag = "state", content = "reason", rename_all = "lowercase")]
pub enum JobState {
    /// It reads its state and opens its source.
    #[default]
    Starting,
    /// It runs.
    Running,
    /// It waits to try its source or a sink again.
    Retrying(String),
    /// It has read its sources to their end.
    Finished,
    /// It was stopped.
    Stopped,
    /// It failed and does not go on by itself.
    Failed(String),
}

/// A job's state at one moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct JobStatus {
    /// Its name.
    pub job: String,
    /// The version of its definition.
    pub version: u32,
    /// The hash of its definition.
    pub definition: String,
    /// Whether it runs.
    #[serde(flatten)]
    pub state: JobState,
    /// Whether it has applied everything that was durable when it started.
    pub ready: bool,
    /// Its watermark.
    #[serde(serialize_with = "as_text")]
    pub watermark: Option<EventTime>,
    /// How far its newest event is behind the wall, milliseconds, while it has not read to the end; 0 when it has.
    pub lag_ms: u64,
    /// What it counted.
    #[serde(flatten)]
    pub counts: Counts,
    /// Its newest checkpoint.
    pub last_checkpoint: Option<CheckpointStatus>,
    /// Its partitions.
    pub partitions: Vec<PartitionStatus>,
}

pub(crate) fn as_text<S: serde::Serializer>(time: &Option<EventTime>, out: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => out.collect_str(time),
        None => out.serialize_none(),
    }
}

fn time_as_text<S: serde::Serializer>(time: &EventTime, out: S) -> Result<S::Ok, S::Error> {
    out.collect_str(time)
}

impl Progress {
    pub(crate) fn resume(counts: Counts, watermark: Option<EventTime>) -> Self {
        let progress = Progress::default();
        progress.events.store(counts.events, Ordering::Relaxed);
        progress.late.store(counts.late, Ordering::Relaxed);
        progress.dropped.store(counts.dropped, Ordering::Relaxed);
        progress.dead_letters.store(counts.dead_letters, Ordering::Relaxed);
        progress.skipped.store(counts.skipped, Ordering::Relaxed);
        progress.results.store(counts.results, Ordering::Relaxed);
        progress.failed_results.store(counts.failed_results, Ordering::Relaxed);
        progress.set_watermark(watermark.unwrap_or(EventTime::MIN));
        progress
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            events: self.events.load(Ordering::Relaxed),
            late: self.late.load(Ordering::Relaxed),
            dropped: self.dropped.load(Ordering::Relaxed),
            dead_letters: self.dead_letters.load(Ordering::Relaxed),
            skipped: self.skipped.load(Ordering::Relaxed),
            results: self.results.load(Ordering::Relaxed),
            failed_results: self.failed_results.load(Ordering::Relaxed),
        }
    }

    pub(crate) fn set_watermark(&self, watermark: EventTime) {
        self.watermark.store(watermark.millis(), Ordering::Release);
    }

    pub(crate) fn watermark(&self) -> Option<EventTime> {
        let millis = self.watermark.load(Ordering::Acquire);
        (millis != i64::MIN).then(|| EventTime::from_millis(millis))
    }

    /// Forgets what an earlier attempt has applied.
    pub(crate) fn expect_shards(&self, shards: usize) {
        *self.applied.lock().unwrap_or_else(PoisonError::into_inner) = vec![0; shards];
    }

    /// A shard has applied all messages up to this number.
    pub(crate) fn applied(&self, shard: usize, sequence: u64) {
        if let Some(applied) = self.applied.lock().unwrap_or_else(PoisonError::into_inner).get_mut(shard) {
            *applied = sequence;
        }
    }

    /// Whether every shard has applied all messages up to this number.
    pub(crate) fn has_applied(&self, sequence: u64) -> bool {
        self.applied.lock().unwrap_or_else(PoisonError::into_inner).iter().all(|applied| *applied >= sequence)
    }

    pub(crate) fn set_caught_up(&self, caught_up: bool) {
        self.caught_up.store(caught_up, Ordering::Relaxed);
    }

    pub(crate) fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
    }

    pub(crate) fn ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    pub(crate) fn set_state(&self, state: JobState) {
        self.slow().state = state;
    }

    pub(crate) fn set_partition(&self, status: PartitionStatus, id: PartitionId, sequence: u64) {
        self.slow().partitions.insert(id, (status, sequence));
    }

    /// Whether lookups see the record at `offset` of a partition.
    pub(crate) fn is_visible(&self, id: PartitionId, offset: u64) -> bool {
        let reported =
            self.slow().partitions.get(&id).map(|(status, sequence)| (status.position.next, *sequence));
        reported.is_some_and(|(next, sequence)| next > offset && self.has_applied(sequence))
    }

    pub(crate) fn set_checkpoint(&self, checkpoint: CheckpointStatus) {
        self.slow().last_checkpoint = Some(checkpoint);
    }

    /// How far the newest event is behind the wall while the job has not read to the end.
    pub(crate) fn lag_ms(&self, now: EventTime) -> u64 {
        if self.caught_up.load(Ordering::Relaxed) {
            return 0;
        }
        let newest = self.slow().partitions.values().filter_map(|(partition, _)| partition.newest).max();
        newest.map_or(0, |newest| now.since(newest).millis().max(0) as u64)
    }

    pub(crate) fn status(&self, job: &str, version: u32, definition: &str, now: EventTime) -> JobStatus {
        let lag_ms = self.lag_ms(now);
        let slow = self.slow();
        JobStatus {
            job: job.to_owned(),
            version,
            definition: definition.to_owned(),
            state: slow.state.clone(),
            ready: self.ready(),
            watermark: self.watermark(),
            lag_ms,
            counts: self.counts(),
            last_checkpoint: slow.last_checkpoint.clone(),
            partitions: slow.partitions.values().map(|(partition, _)| partition.clone()).collect(),
        }
    }

    fn slow(&self) -> std::sync::MutexGuard<'_, Slow> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
