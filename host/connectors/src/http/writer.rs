//! The one writer of an ingest log: collects what waits, writes it as one frame, syncs once, answers all.
//!
//! It runs on a thread of its own because a sync blocks for milliseconds. There is no timer: while a sync runs,
//! the next group gathers behind it, so that load makes groups larger and an idle log answers at once.

use super::frame;
use super::key::IdempotencyKey;
use super::log::{AppendError, Appended, Durable, LogSettings, Shared};
use super::recovery::Recovered;
use super::segment::Segment;
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot, watch};
use weir_connect::ConnectError;
use weir_event::Clock;

/// A key is remembered for a day, as the contract of ingest says.
pub(super) const KEY_MEMORY_MILLIS: i64 = 86_400_000;
/// Enough for one sync to be paid by many batches, little enough to stay in the processor's caches.
const GROUP_BYTES: usize = 4 << 20;
/// A segment covers at most this part of the time that rows are kept, so that what is kept too long is little.
const SEGMENTS_PER_KEEP: i64 = 8;
/// But it is not cut more often than once a minute, nor less often than once a day.
const SEGMENT_MILLIS: (i64, i64) = (60_000, 86_400_000);

/// One batch that waits to be written.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) rows: Vec<Bytes>,
    pub(super) key: Option<IdempotencyKey>,
    pub(super) answer: oneshot::Sender<Result<Appended, AppendError>>,
}

/// The idempotency keys of the last day and what was answered.
#[derive(Debug, Default)]
struct KeyMemory {
    /// With the hash of the body, where it is known.
    answers: HashMap<Arc<str>, (Option<u64>, Appended)>,
    by_age: VecDeque<(i64, Arc<str>)>,
}

impl KeyMemory {
    fn remember(&mut self, stamp: i64, key: &IdempotencyKey, first_offset: u64, count: usize) {
        let text: Arc<str> = key.text.as_str().into();
        self.by_age.push_back((stamp, text.clone()));
        self.answers.insert(text, (key.body, Appended { first_offset, count, repeated: true }));
    }

    /// What a key was answered with before, or that it was for another body; `None` for a new one.
    fn answer(&self, key: &IdempotencyKey) -> Option<Result<Appended, AppendError>> {
        let (body, answer) = self.answers.get(key.text.as_str())?;
        Some(if key.is_of_body(*body) { Ok(*answer) } else { Err(AppendError::KeyReused) })
    }

    fn forget_before(&mut self, stamp: i64) {
        while let Some((_, key)) = self.by_age.pop_front_if(|(of, _)| *of <= stamp) {
            self.answers.remove(&key);
        }
    }
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
                keys.remember(stamp, key, batch.first, batch.rows as usize);
            }
        }
        Writer { shared, settings, clock, durable, active, length, end, newest, keys, broken: None }
    }

    /// Serves requests until the log is dropped.
    pub(super) fn run(mut self, mut requests: mpsc::Receiver<Request>) {
        self.delete_old();
        while let Some(first) = requests.blocking_recv() {
            let mut bytes = size(&first);
            let mut group = vec![first];
            while bytes < GROUP_BYTES
                && let Ok(request) = requests.try_recv()
            {
                bytes += size(&request);
                group.push(request);
            }
            self.commit(group);
        }
    }

    /// Writes what is new in the group, then answers every request in it.
    fn commit(&mut self, group: Vec<Request>) {
        // Stamps never fall, whatever the wall does: the age of a segment is read off its neighbour's.
        self.newest = self.newest.max(self.clock.now().millis());
        self.keys.forget_before(self.newest.saturating_sub(KEY_MEMORY_MILLIS));
        let (mut fresh, mut twins): (Vec<Request>, Vec<_>) = (Vec::new(), Vec::new());
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
    fn append(&mut self, fresh: &[Request]) -> Result<Vec<Appended>, ConnectError> {
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
                self.keys.remember(self.newest, key, self.end, rows.len());
                if !self.active.keyed {
                    self.active.keyed = true;
                    self.shared.change_segments(|segments| {
                        if let Some(active) = segments.last_mut() {
                            active.keyed = true;
                        }
                    });
                }
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
        self.end > self.active.base && (self.length >= self.settings.segment_bytes || age >= span)
    }

    fn roll(&mut self) -> Result<(), ConnectError> {
        let dir = &self.shared.dir;
        let next = Segment::create(dir, self.end, self.newest)
            .map_err(|error| ConnectError { retry: true, ..error })?;
        self.shared.change_segments(|segments| segments.push(next.clone()));
        (self.active, self.length) = (next, super::segment::HEADER_BYTES);
        self.publish();
        self.delete_old();
        Ok(())
    }

    /// Deletes the oldest segments while all their rows are older than `keep`; one with idempotency keys stays
    /// for the day that they are remembered.
    fn delete_old(&self) {
        let now = self.newest.max(self.clock.now().millis());
        let is_old = |pair: &[Segment]| {
            let age = now.saturating_sub(pair[1].created);
            age > self.settings.keep.millis() && (!pair[0].keyed || age > KEY_MEMORY_MILLIS)
        };
        let old = self.shared.change_segments(|segments| {
            let count = segments.windows(2).take_while(|pair| is_old(pair)).count();
            segments.drain(..count).collect::<Vec<_>>()
        });
        for segment in old {
            if let Err(error) = std::fs::remove_file(&segment.path) {
                tracing::warn!(path = %segment.path.display(), %error, "cannot delete an old part of the ingest log");
            }
        }
    }
}

/// The bytes of a batch in a frame, near enough.
fn size(request: &Request) -> usize {
    request.rows.iter().map(|row| row.len() + 4).sum::<usize>()
        + request.key.as_ref().map_or(0, |key| key.text.len())
        + 64
}
