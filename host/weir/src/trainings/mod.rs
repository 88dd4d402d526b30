//! Training sets that a server is asked for: a few are made at once, each by a process of its own; others wait; what is done
//! is kept for a day.
//!
//! [`kept`] is their folders, [`child`] the process that makes one, [`words`] what it says. Must not know HTTP, nor how a
//! training set is made: that is what [`crate::training`] does, in that process.

pub(crate) mod child;
mod kept;
pub(crate) mod words;

use crate::training::Judge;
use child::{Ended, Slot};
use kept::Folders;
use std::collections::{BTreeMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use weir_event::{Clock, EventTime, Span, Ticks};
use weir_serve::{
    FeaturesRefused, Training, TrainingOrder, TrainingPlace, TrainingProgress, TrainingRefused,
    TrainingState, TrainingStatus,
};

/// So many are made at once: each takes all cores that serving leaves, so that more would only take more memory.
const AT_ONCE: usize = 2;
/// So many wait, those among them whose spines are on their way.
const WAITING: usize = 8;
/// A place is free again after about so long.
const RETRY_AFTER_SECONDS: u32 = 10;
/// So long is one kept that is done or has failed.
const KEPT: Span = Span::from_millis(24 * 3_600_000);
/// So many of them are kept, whatever their age: each has a file.
const MOST_KEPT: usize = 100;
/// How often it is looked whether one is too old.
const SWEPT_EVERY: Duration = Duration::from_secs(60);

/// All of them. Clones are the same.
#[derive(Clone)]
pub(crate) struct Trainings(Arc<Works>);

struct Works {
    folders: Folders,
    makes: child::Makes,
    judge: Judge,
    clock: Arc<dyn Clock>,
    known: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    by_id: BTreeMap<String, Entry>,
    /// Ids in the order in which they came.
    order: Vec<String>,
    waiting: VecDeque<String>,
    running: usize,
    /// Places of which the spine is on its way.
    reserved: usize,
    /// The server stops: nothing is started any more.
    stopped: bool,
}

struct Entry {
    status: TrainingStatus,
    ended: Option<EventTime>,
    slot: Arc<Slot>,
}

impl Trainings {
    /// Those of a data folder, with what earlier processes left there: what was not done goes on. They are made of the project
    /// that `judge` knows.
    pub(crate) fn open(data_dir: &Path, judge: Judge, threads: &Handle) -> Trainings {
        let folders = Folders::at(data_dir.join("train"));
        let makes = child::Makes { project: judge.folder.clone(), environment: judge.environment.clone() };
        let clock = judge.clock.clone();
        let mut known = Queue::default();
        for (status, ended) in folders.recover(clock.now()) {
            known.waiting.extend(ended.is_none().then(|| status.id.clone()));
            known.add(Entry { status, ended, slot: Arc::default() });
        }
        let trainings = Trainings(Arc::new(Works { folders, makes, judge, clock, known: Mutex::new(known) }));
        trainings.0.sweep();
        trainings.0.advance();
        threads.spawn(sweep_again_and_again(Arc::downgrade(&trainings.0), trainings.0.clock.clone()));
        trainings
    }

    /// Stops all that are made, and starts none any more: the next server goes on with them.
    pub(crate) fn stop(&self) {
        let slots: Vec<_> = {
            let mut known = self.0.lock();
            known.stopped = true;
            known.by_id.values().map(|entry| entry.slot.clone()).collect()
        };
        slots.iter().for_each(|slot| slot.stop());
    }
}

async fn sweep_again_and_again(trainings: Weak<Works>, clock: Arc<dyn Clock>) {
    let mut ticks = Ticks::every(&clock, SWEPT_EVERY);
    loop {
        ticks.tick().await;
        let Some(trainings) = trainings.upgrade() else { return };
        // Removing a large file takes a while.
        let _ = tokio::task::spawn_blocking(move || trainings.sweep()).await;
    }
}

impl Queue {
    fn add(&mut self, entry: Entry) {
        let id = entry.status.id.clone();
        self.order.push(id.clone());
        self.by_id.insert(id, entry);
    }

    fn take(&mut self, id: &str) -> Option<Entry> {
        let entry = self.by_id.remove(id)?;
        self.order.retain(|other| other != id);
        self.waiting.retain(|other| other != id);
        Some(entry)
    }

    /// One as it stands now.
    fn status(&self, id: &str) -> Option<TrainingStatus> {
        let mut status = self.by_id.get(id)?.status.clone();
        let before = self.waiting.iter().position(|other| other == id);
        status.ahead = before.map(|before| before + self.running);
        Some(status)
    }

    /// Those that are too old, and of those that ended more than enough the oldest; failed ones first, which have no file.
    fn outdated(&self, now: EventTime) -> Vec<String> {
        let ended = self.order.iter().filter_map(|id| Some((id, self.by_id.get(id)?)));
        let ended: Vec<_> =
            ended.filter_map(|(id, entry)| Some((id, entry.ended?, entry.status.state))).collect();
        let (old, mut young): (Vec<_>, Vec<_>) =
            ended.into_iter().partition(|(_, at, _)| now.since(*at) >= KEPT);
        young.sort_by_key(|(_, at, state)| (*state != TrainingState::Failed, *at));
        let many = young.len().saturating_sub(MOST_KEPT);
        old.into_iter().chain(young.into_iter().take(many)).map(|(id, ..)| id.clone()).collect()
    }
}

impl Works {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Whoever panicked held it for moments only, between which everything is consistent.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sweep(&self) {
        let mut known = self.lock();
        let outdated = known.outdated(self.clock.now());
        let taken: Vec<_> = outdated.iter().filter_map(|id| known.take(id)).collect();
        drop(known);
        taken.iter().for_each(|entry| self.folders.remove(&entry.status.id));
    }

    /// Starts those whose turn it is.
    fn advance(self: &Arc<Works>) {
        let mut known = self.lock();
        while known.running < AT_ONCE && !known.stopped {
            let Some(id) = known.waiting.pop_front() else { return };
            let Some(entry) = known.by_id.get_mut(&id) else { continue };
            entry.status.state = TrainingState::Running;
            entry.status.started_at = Some(self.clock.now().to_string());
            let (order, slot) = (entry.status.order.clone(), entry.slot.clone());
            let (inner, of) = (self.clone(), id.clone());
            let work = move || inner.make(&of, &order, &slot);
            match std::thread::Builder::new().name("weir-train".to_owned()).spawn(work) {
                // It counts as one that runs before it can have ended: whoever ends needs the lock.
                Ok(_) => known.running += 1,
                Err(error) => {
                    entry.status.state = TrainingState::Waiting;
                    known.waiting.push_front(id);
                    tracing::error!(%error, "a thread for a training set cannot be started; it waits for the next one");
                    return;
                }
            }
        }
    }

    /// Has one made, on a thread of its own.
    fn make(self: Arc<Works>, id: &str, order: &TrainingOrder, slot: &Slot) {
        tracing::info!(id, features = order.features.join(","), "making a training set");
        let hear = |progress: TrainingProgress| {
            if let Some(entry) = self.lock().by_id.get_mut(id) {
                entry.status.progress = progress;
            }
        };
        let ended = self.makes.make(&self.folders.folder(id), order, slot, &hear);
        let bytes = self.folders.result_bytes(id, order.format);
        let mut known = self.lock();
        known.running -= 1;
        if known.stopped && ended.outcome.is_err() && known.by_id.contains_key(id) {
            // The next server goes on with it.
            return;
        }
        let now = self.clock.now();
        let status = known.by_id.get_mut(id).map(|entry| {
            entry.ended = Some(now);
            conclude(&mut entry.status, ended, bytes);
            entry.status.ended_at = Some(now.to_string());
            entry.status.kept_until = Some((now + KEPT).to_string());
            entry.status.clone()
        });
        drop(known);
        match status {
            // It was removed meanwhile.
            None => self.folders.remove(id),
            Some(status) => {
                match &status.reason {
                    None => tracing::info!(id, rows = status.rows, "a training set is done"),
                    Some(reason) => tracing::warn!(id, "a training set failed: {reason}"),
                }
                self.folders.settle(&status);
            }
        }
        self.advance();
    }
}

/// What became of it.
fn conclude(status: &mut TrainingStatus, ended: Ended, bytes: Option<u64>) {
    status.warnings = ended.warnings;
    match (ended.outcome, bytes) {
        (Ok(made), Some(bytes)) => {
            status.state = TrainingState::Done;
            (status.rows, status.bytes, status.made_of) = (Some(made.rows), Some(bytes), Some(made.made_of));
        }
        (outcome, _) => {
            status.state = TrainingState::Failed;
            let lost = "its file is not there; post it again".to_owned();
            status.reason = Some(outcome.err().unwrap_or(lost));
        }
    }
}

impl Training for Trainings {
    fn judge(&self, features: &[String]) -> Result<(), FeaturesRefused> {
        self.0.judge.judge(features)
    }

    fn reserve(&self) -> Result<Box<dyn TrainingPlace>, TrainingRefused> {
        let inner = self.0.clone();
        let mut known = inner.lock();
        if known.stopped {
            return Err(refused("the server stops; post it again in a moment".to_owned()));
        }
        if known.waiting.len() + known.reserved >= WAITING {
            return Err(refused(format!(
                "{WAITING} training sets wait already; post this one again later, or remove one with DELETE /v1/train/ID"
            )));
        }
        known.reserved += 1;
        drop(known);
        match inner.folders.make() {
            Ok((id, spine)) => Ok(Box::new(Reserved { inner, id: Some(id), spine })),
            Err(error) => {
                inner.lock().reserved -= 1;
                Err(unwritable(&error))
            }
        }
    }

    fn list(&self) -> Vec<TrainingStatus> {
        let known = self.0.lock();
        known.order.iter().filter_map(|id| known.status(id)).collect()
    }

    fn one(&self, id: &str) -> Option<TrainingStatus> {
        self.0.lock().status(id)
    }

    fn result(&self, id: &str) -> Option<PathBuf> {
        let status = self.one(id).filter(|status| status.state == TrainingState::Done)?;
        Some(self.0.folders.result(id, status.order.format))
    }

    fn remove(&self, id: &str) -> bool {
        let taken = self.0.lock().take(id);
        let Some(entry) = taken else { return false };
        entry.slot.stop();
        self.0.folders.remove(id);
        tracing::info!(id, "a training set was removed");
        true
    }
}

fn refused(message: String) -> TrainingRefused {
    TrainingRefused { message, retry_after_seconds: RETRY_AFTER_SECONDS }
}

fn unwritable(error: &std::io::Error) -> TrainingRefused {
    refused(format!(
        "the server cannot keep a spine: {error}; make room in the `train` folder of its data folder"
    ))
}

/// A place whose spine is on its way.
struct Reserved {
    inner: Arc<Works>,
    /// None once it is among those that wait.
    id: Option<String>,
    spine: PathBuf,
}

impl TrainingPlace for Reserved {
    fn spine(&self) -> &Path {
        &self.spine
    }

    fn start(mut self: Box<Self>, order: TrainingOrder) -> Result<TrainingStatus, TrainingRefused> {
        let Some(id) = self.id.clone() else { return Err(refused("it was started already".to_owned())) };
        let spine_bytes =
            self.inner.folders.name_spine(&id, order.spine_format).map_err(|error| unwritable(&error))?;
        let status =
            TrainingStatus::waiting(id.clone(), order, spine_bytes, self.inner.clock.now().to_string());
        self.inner.folders.write(&status).map_err(|error| unwritable(&error))?;
        let mut known = self.inner.lock();
        if known.stopped {
            return Err(refused("the server stops; post it again in a moment".to_owned()));
        }
        known.reserved -= 1;
        self.id = None;
        known.add(Entry { status: status.clone(), ended: None, slot: Arc::default() });
        known.waiting.push_back(id.clone());
        drop(known);
        self.inner.advance();
        let started = self.inner.lock().status(&id);
        Ok(started.unwrap_or(status))
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some(id) = self.id.take() {
            self.inner.lock().reserved -= 1;
            let inner = self.inner.clone();
            // What answers requests does not wait for the disk.
            std::thread::spawn(move || inner.folders.remove(&id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_serve::{TableFormat, TrainingRule};

    fn entry(id: usize, state: TrainingState, ended: i64) -> Entry {
        let order = TrainingOrder {
            features: vec!["a".to_owned()],
            as_of: TrainingRule::Known,
            serving_delay: "0ms".to_owned(),
            time: "event_time".to_owned(),
            status: false,
            with_log: false,
            spine_format: TableFormat::Csv,
            format: TableFormat::Csv,
        };
        let status = kept::tests::status(&id.to_string(), state, order);
        Entry { status, ended: Some(EventTime::from_millis(ended)), slot: Arc::default() }
    }

    #[test]
    fn what_is_old_goes_and_of_too_many_the_failed_and_the_oldest() {
        let mut queue = Queue::default();
        for id in 0..MOST_KEPT {
            queue.add(entry(id, TrainingState::Done, 1000 + id as i64));
        }
        let now = EventTime::from_millis(5000);
        assert!(queue.outdated(now).is_empty());
        queue.add(entry(MOST_KEPT, TrainingState::Failed, 4000));
        queue.add(entry(MOST_KEPT + 1, TrainingState::Done, 4000));
        assert_eq!(queue.outdated(now), ["100", "0"]);
        let later = EventTime::from_millis(1001) + KEPT;
        assert_eq!(queue.outdated(later), ["0", "1"]);
        let mut running = entry(MOST_KEPT + 2, TrainingState::Running, 0);
        running.ended = None;
        queue.add(running);
        assert!(!queue.outdated(later).contains(&(MOST_KEPT + 2).to_string()));
    }
}
