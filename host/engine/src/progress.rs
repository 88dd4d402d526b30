//! What a job counts while it runs: what stages count per block and readers copy, and no lock is held while data is
//! worked on.

use crate::failures::{FailureSample, Failures};
use crate::freshness::Freshness;
use crate::manifest::Body;
use crate::status::{
    Behind, BootstrapStatus, CheckpointStatus, FillingStatus, JobState, JobStatus, PartitionStatus,
    RestoreStatus, SinkState, SinkStatus, millis_between,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use weir_connect::{CpuTime, Left};
use weir_core::Counts;
use weir_core::FailedResult;
use weir_event::{Clock, EventTime, PartitionId, Position};

/// In place of a message's number.
const NOT_REACHED: u64 = u64::MAX;

/// Live counters of one job.
#[derive(Debug)]
pub(crate) struct Progress {
    /// What its work takes.
    pub(crate) cpu: CpuTime,
    counts: Mutex<Counts>,
    /// The job's watermark in milliseconds, `i64::MIN` before the first.
    watermark: AtomicI64,
    /// Since when it has all data, milliseconds; `i64::MIN` where it has everything.
    data_since: AtomicI64,
    pub(crate) freshness: Freshness,
    /// When everything of the source was last known to have been read, wall time in milliseconds; `i64::MIN` before.
    whole_at: AtomicI64,
    /// When the job was started, wall time in milliseconds.
    started_at: AtomicI64,
    /// Whether an attempt has replayed its log.
    ready: AtomicBool,
    /// Whether the present one has.
    replayed: AtomicBool,
    /// Whether the next one goes on where one ended that had.
    goes_on: AtomicBool,
    /// The number of the last message before the log's end was first reached.
    end_reached_at: AtomicU64,
    /// Entries of its state that were read back, and how many there are.
    restored: AtomicU64,
    restore_of: AtomicU64,
    /// Of each shard.
    messages: Mutex<Vec<Messages>>,
    /// For each input, rows that the keyed stage found too late since the driver last asked.
    too_late: Mutex<BTreeMap<usize, u64>>,
    slow: Mutex<Slow>,
    failures: Mutex<Failures>,
}

/// What one stage has counted since its attempt began: a checkpoint adds the stages up, each as it stood at the
/// barrier, while [`Progress`] shows everything at once.
#[derive(Debug)]
pub(crate) struct Tally {
    own: Mutex<Counts>,
    shown: Arc<Progress>,
}

impl Tally {
    pub(crate) fn new(shown: Arc<Progress>) -> Self {
        Tally { own: Mutex::default(), shown }
    }

    pub(crate) fn add(&self, counts: Counts) {
        if counts != Counts::default() {
            self.own.lock().unwrap_or_else(PoisonError::into_inner).add(counts);
            self.shown.counts.lock().unwrap_or_else(PoisonError::into_inner).add(counts);
        }
    }

    /// Where everything that the job counts is shown.
    pub(crate) fn progress(&self) -> &Progress {
        &self.shown
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The numbers of the last message that a shard was sent, and that it has applied. Rows go only to those that hold their
/// keys, so it may be sent nothing for long.
#[derive(Debug, Clone, Copy, Default)]
struct Messages {
    sent: u64,
    applied: u64,
}

/// What changes seldom.
#[derive(Debug, Default)]
struct Slow {
    /// Each partition, with the number of the last message that was sent when it was reported.
    partitions: BTreeMap<PartitionId, (PartitionStatus, u64)>,
    state: JobState,
    /// What was not read yet when the source was last asked.
    left: Left,
    /// Whether the source does not give out what is left, though it is at its end.
    is_withheld: bool,
    warning: Option<String>,
    next_try: Option<EventTime>,
    /// By the name of each sink that the job waits for, why it does.
    held: BTreeMap<String, String>,
    /// The newest event time of the checkpoint that the attempt began with.
    restored_newest: Option<EventTime>,
    /// The events that were counted by then.
    restored_events: u64,
    bootstrap: Option<BootstrapStatus>,
    /// What was made beside the job and has not taken its place.
    declined: Option<FillingStatus>,
    last_checkpoint: Option<CheckpointStatus>,
    sinks: BTreeMap<String, SinkStatus>,
}

impl Slow {
    fn state(&self) -> JobState {
        match &self.state {
            JobState::Running if !self.held.is_empty() => {
                JobState::Paused(self.held.values().cloned().collect::<Vec<_>>().join("; "))
            }
            state => state.clone(),
        }
    }

    /// What is wrong with the source, or else with a sink.
    fn warning(&self) -> Option<String> {
        let of_sink = |(name, sink): (&String, &SinkStatus)| match &sink.state {
            SinkState::Running => None,
            SinkState::Retrying(reason) => Some(format!("sink `{name}` is tried again: {reason}")),
            SinkState::Failed(reason) => Some(format!("sink `{name}` has failed: {reason}")),
            SinkState::Suspended(reason) => Some(format!("sink `{name}` is suspended: {reason}")),
        };
        self.warning.clone().or_else(|| self.sinks.iter().find_map(of_sink))
    }

    fn sinks(&self, now: EventTime) -> BTreeMap<String, SinkStatus> {
        let mut sinks = self.sinks.clone();
        for sink in sinks.values_mut() {
            sink.behind_seconds = sink.waiting_since.map_or(0, |since| millis_between(since, now) / 1000);
        }
        sinks
    }
}

impl Default for Progress {
    fn default() -> Self {
        Progress {
            cpu: CpuTime::default(),
            counts: Mutex::default(),
            watermark: AtomicI64::new(i64::MIN),
            data_since: AtomicI64::new(i64::MIN),
            freshness: Freshness::default(),
            whole_at: AtomicI64::new(i64::MIN),
            started_at: AtomicI64::new(i64::MIN),
            ready: AtomicBool::default(),
            replayed: AtomicBool::default(),
            goes_on: AtomicBool::default(),
            end_reached_at: AtomicU64::new(NOT_REACHED),
            restored: AtomicU64::default(),
            restore_of: AtomicU64::default(),
            messages: Mutex::default(),
            too_late: Mutex::default(),
            slow: Mutex::default(),
            failures: Mutex::default(),
        }
    }
}

impl Progress {
    /// Of a job that is started now, and whose work is counted on `cpu`.
    pub(crate) fn started(now: EventTime, cpu: CpuTime) -> Self {
        Progress { cpu, started_at: AtomicI64::new(now.millis()), ..Progress::default() }
    }

    /// Shows what a checkpoint says: an attempt begins there, and counts from there.
    pub(crate) fn restart(&self, body: &Body, now: EventTime) {
        let newest = body.partitions.iter().filter_map(|partition| partition.newest).max();
        self.freshness.restart(body.behind, newest, now);
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = body.counts;
        self.set_watermark(body.watermark.unwrap_or(EventTime::MIN));
        self.set_data_since(body.data_since());
        let mut slow = self.slow();
        slow.restored_newest = newest.filter(|newest| *newest > EventTime::MIN);
        slow.restored_events = body.counts.events;
        slow.declined = body.declined.as_ref().map(FillingStatus::declined);
        slow.held.clear();
    }

    pub(crate) fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the driver of rows of an input that were too late to count.
    pub(crate) fn tell_too_late(&self, input: usize, rows: u64) {
        if rows > 0 {
            *self.too_late().entry(input).or_default() += rows;
        }
    }

    /// Those that were told of since the last call, by input.
    pub(crate) fn take_too_late(&self) -> BTreeMap<usize, u64> {
        std::mem::take(&mut *self.too_late())
    }

    fn too_late(&self) -> std::sync::MutexGuard<'_, BTreeMap<usize, u64>> {
        self.too_late.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers results that failed, for whoever asks what is wrong.
    pub(crate) fn tell_failed<'a>(&self, failed: impl Iterator<Item = &'a FailedResult>) {
        let mut failed = failed.peekable();
        if failed.peek().is_some() {
            self.failures.lock().unwrap_or_else(PoisonError::into_inner).add(failed);
        }
    }

    /// Results that failed since the process began, by reason.
    pub(crate) fn failures(&self) -> Vec<FailureSample> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).samples()
    }

    pub(crate) fn set_data_since(&self, since: Option<EventTime>) {
        self.data_since.store(since.unwrap_or(EventTime::MIN).millis(), Ordering::Release);
    }

    pub(crate) fn data_since(&self) -> Option<EventTime> {
        let millis = self.data_since.load(Ordering::Acquire);
        (millis != i64::MIN).then(|| EventTime::from_millis(millis))
    }

    pub(crate) fn set_watermark(&self, watermark: EventTime) {
        self.watermark.store(watermark.millis(), Ordering::Release);
    }

    pub(crate) fn watermark(&self) -> Option<EventTime> {
        let millis = self.watermark.load(Ordering::Acquire);
        (millis != i64::MIN).then(|| EventTime::from_millis(millis))
    }

    /// So many entries of its state are to be read back.
    pub(crate) fn restore_begins(&self, entries: u64) {
        self.restored.store(0, Ordering::Relaxed);
        self.restore_of.store(entries, Ordering::Relaxed);
    }

    /// One of them was.
    pub(crate) fn restored_one(&self) {
        self.restored.fetch_add(1, Ordering::Relaxed);
    }

    fn restore(&self) -> Option<RestoreStatus> {
        let of = self.restore_of.load(Ordering::Relaxed);
        (of > 0).then(|| RestoreStatus { read: self.restored.load(Ordering::Relaxed), of })
    }

    /// The job has read its log to the end, and starts again there of its own will: lookups lack nothing meanwhile.
    pub(crate) fn goes_on(&self) {
        self.replayed.store(true, Ordering::Release);
        self.ready.store(true, Ordering::Release);
        self.goes_on.store(true, Ordering::Release);
    }

    /// Forgets what an earlier attempt has read and applied.
    pub(crate) fn expect_shards(&self, shards: usize) {
        let goes_on = self.goes_on.swap(false, Ordering::AcqRel);
        self.replayed.fetch_and(goes_on, Ordering::AcqRel);
        self.end_reached_at.store(NOT_REACHED, Ordering::Release);
        *self.messages() = vec![Messages::default(); shards];
    }

    fn messages(&self) -> MutexGuard<'_, Vec<Messages>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The message of this number is about to be sent to a shard.
    pub(crate) fn sent(&self, shard: usize, sequence: u64) {
        if let Some(messages) = self.messages().get_mut(shard) {
            messages.sent = sequence;
        }
    }

    /// A shard has applied all messages up to this number.
    pub(crate) fn applied(&self, shard: usize, sequence: u64) {
        if let Some(messages) = self.messages().get_mut(shard) {
            messages.applied = sequence;
        }
    }

    /// Whether every shard has applied all messages up to this number that it was sent.
    pub(crate) fn has_applied(&self, sequence: u64) -> bool {
        self.messages().iter().all(|messages| messages.applied >= sequence.min(messages.sent))
    }

    /// Every partition was read to its present end; `sequence` is the last message that was sent.
    pub(crate) fn caught_up(&self, sequence: u64) {
        self.freshness.caught_up();
        // It fails where the end was reached before, which is what counts.
        let _ =
            self.end_reached_at.compare_exchange(NOT_REACHED, sequence, Ordering::AcqRel, Ordering::Acquire);
    }

    /// Whether the present attempt has applied everything that was durable when it began.
    pub(crate) fn has_replayed(&self) -> bool {
        if self.replayed.load(Ordering::Acquire) {
            return true;
        }
        let reached = self.end_reached_at.load(Ordering::Acquire);
        let has_replayed = reached != NOT_REACHED && self.has_applied(reached);
        if has_replayed {
            self.replayed.store(true, Ordering::Release);
            self.ready.store(true, Ordering::Release);
        }
        has_replayed
    }

    /// Whether any attempt has.
    pub(crate) fn ready(&self) -> bool {
        self.ready.load(Ordering::Acquire) || self.has_replayed()
    }

    /// Whether lookups lack much of what is in the log by now.
    pub(crate) fn is_catching_up(&self, now: EventTime, monotonic: Duration) -> bool {
        let lag = Duration::from_millis(self.lag_ms(now));
        !self.has_replayed() || self.freshness.has_fallen_behind(monotonic, lag)
    }

    pub(crate) fn stands_still(&self) -> bool {
        !matches!(self.slow().state(), JobState::Starting | JobState::Running)
    }

    /// The job waits for this sink, or does so no more.
    pub(crate) fn set_held(&self, sink: &str, reason: Option<String>) {
        let mut slow = self.slow();
        match reason {
            Some(reason) => slow.held.insert(sink.to_owned(), reason),
            None => slow.held.remove(sink),
        };
    }

    /// Whether a sink was suspended and not resumed since.
    pub(crate) fn is_suspended(&self, sink: &str) -> bool {
        self.slow().sinks.get(sink).is_some_and(|sink| matches!(sink.state, SinkState::Suspended(_)))
    }

    /// Why the job has failed, and when it is tried again by itself.
    pub(crate) fn failure(&self) -> Option<(String, Option<EventTime>)> {
        let slow = self.slow();
        match &slow.state {
            JobState::Failed(reason) => Some((reason.clone(), slow.next_try)),
            _ => None,
        }
    }

    /// Whether the job was started and has not come to run yet, nor failed.
    pub(crate) fn is_starting(&self) -> bool {
        self.slow().state == JobState::Starting
    }

    pub(crate) fn set_state(&self, state: JobState) {
        let mut slow = self.slow();
        slow.state = state;
        slow.next_try = None;
    }

    /// The job waits to be tried again.
    pub(crate) fn wait_until(&self, state: JobState, next_try: EventTime) {
        let mut slow = self.slow();
        slow.state = state;
        slow.next_try = Some(next_try);
    }

    /// Something has changed about a sink.
    pub(crate) fn show_sink(&self, name: &str, change: impl FnOnce(&mut SinkStatus)) {
        let mut slow = self.slow();
        if let Some(sink) = slow.sinks.get_mut(name) {
            return change(sink);
        }
        change(slow.sinks.entry(name.to_owned()).or_default());
    }

    pub(crate) fn set_warning(&self, warning: Option<String>) {
        self.slow().warning = warning;
    }

    /// Whether a running job can reach its source; while it cannot, it is not running, though its client goes on
    /// trying.
    pub(crate) fn set_trouble(&self, trouble: Option<String>) {
        let mut slow = self.slow();
        match (&slow.state, trouble) {
            (JobState::Running | JobState::Retrying(_), Some(reason)) => {
                slow.state = JobState::Retrying(reason)
            }
            (JobState::Retrying(_), None) => slow.state = JobState::Running,
            _ => {}
        }
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

    /// Nothing more is said of some partitions.
    pub(crate) fn forget_partitions(&self, is_gone: impl Fn(PartitionId) -> bool) {
        self.slow().partitions.retain(|id, _| !is_gone(*id));
    }

    /// How many bytes its sources say are left.
    pub(crate) fn left_bytes(&self) -> Option<u64> {
        self.slow().left.bytes
    }

    /// How far the job is with the past; that it was bootstrapped by this process stays so.
    pub(crate) fn set_bootstrap(&self, bootstrap: BootstrapStatus) {
        let known = &mut self.slow().bootstrap;
        let was_new = known.as_ref().is_some_and(|known| known.is_new);
        *known = Some(BootstrapStatus { is_new: bootstrap.is_new || was_new, ..bootstrap });
    }

    /// The job looks for how its streams are cut, or has done so.
    pub(crate) fn set_looking(&self, is_looking: bool) {
        self.slow().bootstrap = is_looking.then(BootstrapStatus::looking);
    }

    pub(crate) fn set_checkpoint(&self, checkpoint: CheckpointStatus) {
        self.slow().last_checkpoint = Some(checkpoint);
    }

    /// The source was found to be at its end, or not to be; to be called again and again.
    pub(crate) fn observe_end(&self, now: EventTime) {
        if self.freshness.is_caught_up() && self.is_reading() && !self.slow().is_withheld {
            self.whole_at.store(now.millis(), Ordering::Relaxed);
        }
    }

    /// Whether the source can be read, as far as is known.
    fn is_reading(&self) -> bool {
        matches!(self.slow().state(), JobState::Running | JobState::Finished)
    }

    /// How far the job is behind; see [`JobStatus::lag_ms`].
    pub(crate) fn lag_ms(&self, now: EventTime) -> u64 {
        if self.freshness.is_caught_up() && self.is_reading() && !self.slow().is_withheld {
            return 0;
        }
        if let Some(time) = self.slow().left.time.filter(|time| !time.is_zero()) {
            return time.as_millis() as u64;
        }
        let known = |millis: &AtomicI64| {
            let millis = millis.load(Ordering::Relaxed);
            (millis != i64::MIN).then(|| EventTime::from_millis(millis))
        };
        let (whole_at, started_at) = (known(&self.whole_at), known(&self.started_at));
        let events = self.counts().events;
        let (newest, waits_since_start) = {
            let slow = self.slow();
            let reported = slow.partitions.values().filter_map(|(partition, _)| partition.newest);
            (
                reported.max().max(slow.restored_newest),
                !slow.held.is_empty() && events == slow.restored_events,
            )
        };
        // An event from the future says nothing of how long nothing was read, and an old one nothing of a job that waits for
        // a sink and has not begun to read.
        let past = newest.filter(|newest| *newest <= now && !waits_since_start);
        whole_at.max(past).or(started_at).map_or(0, |since| millis_between(since, now))
    }

    /// How much is not read yet; `None` where that is not known.
    pub(crate) fn behind(&self, now: EventTime) -> Option<Behind> {
        let Left { records, bytes, .. } = Some(self.slow().left).filter(Left::is_some)?;
        Some(Behind { records, bytes, seconds: self.lag_ms(now) / 1000 })
    }

    /// What the source says is left, and whether it does not give that out: then not everything was read, though it is at
    /// its end.
    pub(crate) fn set_left(&self, left: Left, is_withheld: bool) {
        let mut slow = self.slow();
        (slow.left, slow.is_withheld) = (left, is_withheld);
    }

    /// Where each partition is read next.
    pub(crate) fn positions(&self) -> BTreeMap<PartitionId, Position> {
        let slow = self.slow();
        slow.partitions.iter().map(|(id, (status, _))| (*id, status.position.clone())).collect()
    }

    pub(crate) fn status(&self, job: &str, version: u32, definition: &str, clock: &dyn Clock) -> JobStatus {
        let now = clock.now();
        let lag_ms = self.lag_ms(now);
        let is_catching_up = self.is_catching_up(now, clock.monotonic());
        let is_withheld = self.slow().is_withheld;
        let behind = self.behind(now).filter(|_| is_catching_up || is_withheld);
        let slow = self.slow();
        JobStatus {
            job: job.to_owned(),
            version: Some(version),
            definition: Some(definition.to_owned()),
            state: slow.state(),
            warning: slow.warning(),
            not_taken_over: None,
            next_try: slow.next_try,
            ready: self.ready(),
            watermark: self.watermark(),
            as_of: None,
            data_since: self.data_since(),
            lag_ms,
            behind,
            counts: self.counts(),
            cpu_seconds: self.cpu.total().as_secs_f64(),
            restore: if slow.state == JobState::Starting { self.restore() } else { None },
            bootstrap: slow.bootstrap.clone(),
            filling: slow.declined.clone(),
            last_checkpoint: slow.last_checkpoint.clone(),
            partitions: slow.partitions.values().map(|(partition, _)| partition.clone()).collect(),
            sink_counts: slow.sinks(now),
        }
    }

    fn slow(&self) -> std::sync::MutexGuard<'_, Slow> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
