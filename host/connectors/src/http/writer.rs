//! The one writer of an ingest log: collects what waits, writes it as one frame, syncs once, answers all.
//!
//! It runs on a thread of its own because a sync blocks for milliseconds. There is no timer: while a sync runs,
//! the next group gathers behind it, so that load makes groups larger and an idle log answers at once.

use super::end;
use super::frame;
use super::key::IdempotencyKey;
use super::log::{AppendError, Appended, Durable, LogSettings, Shared};
use super::logs::mark_of;
use super::memory::{KeyMemory, MOST_KEYS};
use super::recovery::Recovered;
use super::retention;
use super::segment::Segment;
use bytes::Bytes;
use std::collections::HashMap;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use weir_connect::ConnectError;
use weir_event::Clock;

/// Enough for one sync to be paid by many batches, little enough to stay in the processor's caches.
const GROUP_BYTES: usize = 4 << 20;
/// A segment covers at most this part of the time that rows are kept, so that what is kept too long is little.
const SEGMENTS_PER_KEEP: i64 = 8;
/// But it is not cut more often than once a minute, nor less often than once a day.
const SEGMENT_MILLIS: (i64, i64) = (60_000, 86_400_000);

/// A clock that goes back by more was wrong before and is believed; less is evened out, so that stamps do not fall.
const EVENED_OUT_MILLIS: i64 = 60_000;

/// What the thread is asked.
#[derive(Debug)]
pub(super) enum Request {
    Append(Batch),
    /// A job that reads the log has made a checkpoint.
    Checkpointed,
}

/// One batch that waits to be written.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) rows: Vec<Bytes>,
    pub(super) key: Option<IdempotencyKey>,
    pub(super) answer: oneshot::Sender<Result<Appended, AppendError>>,
}

/// Owns the end of the log.
#[derive(Debug)]
pub(super) struct Writer {
    shared: Arc<Shared>,
    settings: LogSettings,
    clock: Arc<dyn Clock>,
    durable: watch::Sender<Durable>,
    active: Segment,
    /// Bytes of the active segment that are durable.
    length: u64,
    end: u64,
    newest: i64,
    keys: KeyMemory,
    /// The end that was noted last.
    noted: Option<u64>,
    /// How far jobs had come when the state left its mark last.
    marked: u64,
    /// Why nothing can be written any more.
    broken: Option<String>,
}

impl Writer {
    pub(super) fn new(
        shared: Arc<Shared>,
        settings: LogSettings,
        clock: Arc<dyn Clock>,
        durable: watch::Sender<Durable>,
        recovered: Recovered,
        active: Segment,
    ) -> Writer {
        let Recovered { length, end, newest, keyed, .. } = recovered;
        let mut keys = KeyMemory::default();
        for (stamp, batch) in keyed {
            if let Some(key) = &batch.key {
                keys.remember(stamp, key, batch.first, batch.rows);
            }
        }
        let noted = end::read(&shared.dir, &shared.log);
        // What they had read before was marked when they had.
        let marked = shared.claims.moves();
        let broken = None;
        Writer { shared, settings, clock, durable, active, length, end, newest, keys, noted, marked, broken }
    }

    /// Serves requests until the log is dropped.
    pub(super) fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        self.delete_old();
        while let Some(first) = requests.blocking_recv() {
            let (mut bytes, mut group, mut is_checkpointed) = (0, Vec::new(), false);
            let mut next = Some(first);
            while let Some(request) = next {
                match request {
                    Request::Append(batch) => {
                        bytes += size(&batch);
                        group.push(batch);
                    }
                    Request::Checkpointed => is_checkpointed = true,
                }
                next = if bytes < GROUP_BYTES { requests.try_recv().ok() } else { None };
            }
            if !group.is_empty() {
                self.commit(group);
            }
            if is_checkpointed {
                self.note_end();
                self.leave_mark();
            }
        }
        self.note_end();
    }

    /// Lets the state that has read the log leave its mark, where a job has come further.
    fn leave_mark(&mut self) {
        let moves = self.shared.claims.moves();
        if moves == self.marked {
            return;
        }
        let at = mark_of(&self.shared.dir);
        match self.shared.mark.leave(&at) {
            Ok(()) => self.marked = moves,
            Err(error) => {
                tracing::warn!(path = %at.display(), %error, "an older state would not be noticed: its mark cannot be written");
            }
        }
    }

    /// Notes how far the log is durable, for the next start to know what must be there.
    fn note_end(&mut self) {
        if self.noted == Some(self.end) {
            return;
        }
        match end::write(&self.shared.dir, &self.shared.log, self.end) {
            Ok(()) => self.noted = Some(self.end),
            Err(error) => {
                let dir = self.shared.dir.display();
                tracing::warn!(%error, "cannot note the end of the ingest log {dir}; a loss there would not be noticed");
            }
        }
    }

    /// The stamp of what is written now: the wall's time, but for small steps back.
    fn stamp(&mut self) -> i64 {
        let now = self.clock.now().millis();
        if now < self.newest.saturating_sub(EVENED_OUT_MILLIS) {
            self.keys.none_later_than(now);
            self.newest = now;
        }
        self.newest = self.newest.max(now);
        self.newest
    }

    /// Writes what is new in the group, then answers every request in it.
    fn commit(&mut self, group: Vec<Batch>) {
        let stamp = self.stamp();
        self.keys.forget_before(stamp.saturating_sub(self.settings.keys_for()));
        let (mut fresh, mut twins): (Vec<Batch>, Vec<_>) = (Vec::new(), Vec::new());
        let mut in_group = HashMap::new();
        for request in group {
            let Some(key) = &request.key else {
                fresh.push(request);
                continue;
            };
            if let Some(known) = self.keys.answer(key) {
                let _ = request.answer.send(known);
                continue;
            }
            match in_group.get(&key.text) {
                None if !self.keys.has_room(in_group.len() + 1) => {
                    let _ = request.answer.send(Err(AppendError::Failed(too_many_keys())));
                }
                None => {
                    in_group.insert(key.text.clone(), fresh.len());
                    fresh.push(request);
                }
                Some(index) if fresh[*index].key.as_ref().is_some_and(|twin| key.is_of_body(twin.body)) => {
                    twins.push((*index, request.answer));
                }
                Some(_) => drop(request.answer.send(Err(AppendError::KeyReused))),
            }
        }
        if fresh.is_empty() {
            return;
        }
        let outcome = self.append(&fresh);
        for (index, answer) in twins {
            let twin = |answers: &Vec<Appended>| Appended { repeated: true, ..answers[index] };
            let _ = answer.send(outcome.as_ref().map(twin).map_err(|error| error.clone().into()));
        }
        for (index, request) in fresh.into_iter().enumerate() {
            let _ = request
                .answer
                .send(outcome.as_ref().map(|answers| answers[index]).map_err(|error| error.clone().into()));
        }
    }

    /// Makes the batches durable as one frame; on an error none of them is in the log.
    fn append(&mut self, fresh: &[Batch]) -> Result<Vec<Appended>, ConnectError> {
        if let Some(reason) = &self.broken {
            return Err(ConnectError::internal(reason.clone()));
        }
        if self.roll_is_due() {
            self.roll()?;
        }
        let batches: Vec<_> = fresh.iter().map(|request| (request.key.as_ref(), &request.rows[..])).collect();
        let mut bytes = Vec::with_capacity(fresh.iter().map(size).sum());
        frame::encode(&mut bytes, self.end, self.newest, &batches);
        self.write(&bytes)?;
        self.length += bytes.len() as u64;
        let mut answers = Vec::with_capacity(fresh.len());
        for (key, rows) in batches {
            if let Some(key) = key {
                self.keys.remember(self.newest, key, self.end, rows.len() as u32);
            }
            answers.push(Appended { first_offset: self.end, count: rows.len(), repeated: false });
            self.end += rows.len() as u64;
        }
        self.publish();
        Ok(answers)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), ConnectError> {
        let file = &self.active.file;
        let Err(error) = file.write_all_at(bytes, self.length).and_then(|()| file.sync_data()) else {
            return Ok(());
        };
        // Whatever part arrived must go, or the next frame would stand behind a broken one.
        if let Err(second) = file.set_len(self.length).and_then(|()| file.sync_all()) {
            self.broken = Some(format!(
                "the ingest log {} could neither be written ({error}) nor put back as it was ({second}); mend \
                 the disk and restart",
                self.active.path.display()
            ));
        }
        Err(self.refusal(&error))
    }

    fn refusal(&self, error: &io::Error) -> ConnectError {
        let what_to_do = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free space, or lower `keep`",
            _ => "see to the disk",
        };
        ConnectError::unavailable(format!(
            "cannot write the ingest log {}: {error}; these rows were not kept: {what_to_do}, then send them again",
            self.active.path.display()
        ))
    }

    fn publish(&self) {
        let durable = Durable { end: self.end, active: self.active.base, bytes: self.length };
        self.durable.send_replace(durable);
    }

    fn roll_is_due(&self) -> bool {
        let (shortest, longest) = SEGMENT_MILLIS;
        let span = (self.settings.keep.millis() / SEGMENTS_PER_KEEP).clamp(shortest, longest);
        let age = self.newest.saturating_sub(self.active.created);
        // One that a wrong clock has dated ahead would never be old enough.
        let is_due = age >= span || age < -EVENED_OUT_MILLIS;
        self.end > self.active.base && (self.length >= self.settings.segment_bytes || is_due)
    }

    fn roll(&mut self) -> Result<(), ConnectError> {
        let dir = &self.shared.dir;
        let next = Segment::create(dir, self.end, self.newest, self.shared.log)
            .map_err(|error| ConnectError { retry: true, ..error })?;
        self.shared.change_segments(|segments| segments.push(next.clone()));
        (self.active, self.length) = (next, super::segment::HEADER_BYTES);
        self.publish();
        self.delete_old();
        Ok(())
    }

    fn delete_old(&self) {
        retention::delete_old(&self.shared, self.settings.keep, self.clock.now().millis());
    }
}

fn too_many_keys() -> ConnectError {
    ConnectError::unavailable(format!(
        "{MOST_KEYS} idempotency keys of the last day are remembered, and more find no room; these rows were not kept: \
         send more rows with each key, or send them without"
    ))
}

/// The bytes of a batch in a frame, near enough.
fn size(request: &Batch) -> usize {
    request.rows.iter().map(|row| row.len() + 4).sum::<usize>()
        + request.key.as_ref().map_or(0, |key| key.text.len())
        + 64
}
