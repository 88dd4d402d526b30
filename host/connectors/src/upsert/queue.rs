//! Rows that wait for their batch: the newest of each key, none of a key that is on its way.
//!
//! Knows items and durations since some fixed point. Must not wait, nor know any store.

use super::item::{Item, RowKey};
use super::pace::pause;
use super::settings::UpsertSettings;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// An item that waits, and how often it was tried.
#[derive(Debug)]
struct Waiting {
    item: Item,
    bytes: u64,
    since: Duration,
    tries: u32,
}

#[derive(Debug, Default)]
struct KeyPlace {
    waiting: Option<Waiting>,
    is_on_its_way: bool,
}

/// Items on their way to the store together.
#[derive(Debug)]
pub(super) struct UpsertBatch {
    pub(super) keys: Vec<RowKey>,
    pub(super) items: Vec<Item>,
    tries: Vec<u32>,
}

impl UpsertBatch {
    /// How often its most tried item was tried before.
    pub(super) fn tries(&self) -> u32 {
        self.tries.iter().copied().max().unwrap_or(0)
    }
}

/// The rows that wait.
#[derive(Debug)]
pub(super) struct Queue {
    places: HashMap<RowKey, KeyPlace>,
    /// Keys whose waiting item can go, oldest first.
    ready: VecDeque<RowKey>,
    /// Keys whose waiting item goes later, and when; few.
    delayed: Vec<(Duration, RowKey)>,
    /// Batches of which no answer came, and when they go again, as they were: a store may know them by their content.
    again: Vec<(Duration, UpsertBatch)>,
    ready_bytes: u64,
    most_rows: usize,
    most_bytes: u64,
    every: Duration,
}

impl Queue {
    pub(super) fn new(settings: &UpsertSettings, most_items: usize) -> Queue {
        Queue {
            places: HashMap::new(),
            ready: VecDeque::new(),
            delayed: Vec::new(),
            again: Vec::new(),
            ready_bytes: 0,
            most_rows: settings.batch_rows.min(most_items),
            most_bytes: settings.batch_bytes,
            every: settings.every,
        }
    }

    /// How many keys have rows here or on their way.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }

    /// Takes a row; of two of one key that wait, the newer stays.
    pub(super) fn push(&mut self, item: Item, now: Duration) {
        let (key, bytes) = (item.key.clone(), item.bytes());
        let place = self.places.entry(key.clone()).or_default();
        match &mut place.waiting {
            Some(waiting) if waiting.item.fence > item.fence => {}
            // It takes the other's place in the order and among the tries.
            Some(waiting) => waiting.item = item,
            None => {
                place.waiting = Some(Waiting { item, bytes, since: now, tries: 0 });
                if !place.is_on_its_way {
                    self.ready.push_back(key);
                    self.ready_bytes += bytes;
                }
            }
        }
    }

    /// When there is a batch to take next, as far as that depends on time alone.
    pub(super) fn due_at(&mut self, now: Duration, is_pressed: bool) -> Option<Duration> {
        self.wake(now);
        let delayed =
            self.delayed.iter().map(|(at, _)| *at).chain(self.again.iter().map(|(at, _)| *at)).min();
        let oldest = self.ready.front().and_then(|key| self.places.get(key)?.waiting.as_ref());
        let ready = oldest.map(|oldest| {
            let is_full = self.ready.len() >= self.most_rows || self.ready_bytes >= self.most_bytes;
            // What was tried before has waited.
            if is_full || is_pressed || oldest.tries > 0 { now } else { oldest.since + self.every }
        });
        ready.into_iter().chain(delayed).min()
    }

    /// Delayed rows whose time has come.
    fn wake(&mut self, now: Duration) {
        let (due, delayed) = std::mem::take(&mut self.delayed).into_iter().partition(|(at, _)| *at <= now);
        self.delayed = delayed;
        for (_, key) in due {
            let waiting = self.places.get(&key).and_then(|place| place.waiting.as_ref());
            self.ready_bytes += waiting.map_or(0, |waiting| waiting.bytes);
            self.ready.push_front(key);
        }
    }

    /// The next batch, of at most so many rows; none where no row can go.
    pub(super) fn take(&mut self, most_rows: usize, now: Duration) -> Option<UpsertBatch> {
        if let Some(at) = self.again.iter().position(|(at, _)| *at <= now) {
            return Some(self.again.swap_remove(at).1);
        }
        let (mut batch, mut bytes) =
            (UpsertBatch { keys: Vec::new(), items: Vec::new(), tries: Vec::new() }, 0);
        let most_rows = most_rows.min(self.most_rows);
        while batch.items.len() < most_rows && bytes < self.most_bytes {
            let Some(key) = self.ready.pop_front() else { break };
            let Some(place) = self.places.get_mut(&key) else { continue };
            let Some(waiting) = place.waiting.take() else { continue };
            place.is_on_its_way = true;
            bytes += waiting.bytes;
            batch.keys.push(key);
            batch.items.push(waiting.item);
            batch.tries.push(waiting.tries);
        }
        self.ready_bytes = self.ready_bytes.saturating_sub(bytes);
        (!batch.items.is_empty()).then_some(batch)
    }

    /// A batch that may or may not have taken effect goes again as it is, after a pause; its keys stay on their way.
    pub(super) fn put_back(&mut self, mut batch: UpsertBatch, now: Duration) {
        let pause = pause(batch.tries(), batch.keys.first().map_or("", |key| &**key));
        batch.tries.iter_mut().for_each(|tries| *tries += 1);
        self.again.push((now + pause, batch));
    }

    /// What became of a batch: the items to which `is_done` says no wait to be tried again.
    pub(super) fn answered(&mut self, batch: UpsertBatch, now: Duration, is_done: impl Fn(usize) -> bool) {
        let UpsertBatch { keys, items, tries } = batch;
        for (at, ((key, item), tries)) in keys.into_iter().zip(items).zip(tries).enumerate() {
            let Some(place) = self.places.get_mut(&key) else { continue };
            place.is_on_its_way = false;
            let is_done = is_done(at);
            let Some(waiting) = &mut place.waiting else {
                if is_done {
                    self.places.remove(&key);
                } else {
                    let bytes = item.bytes();
                    place.waiting = Some(Waiting { item, bytes, since: now, tries: tries + 1 });
                    self.delayed.push((now + pause(tries, &key), key));
                }
                continue;
            };
            if is_done {
                self.ready_bytes += waiting.bytes;
                self.ready.push_back(key);
            } else {
                // The newer of both goes, no sooner than this one would have.
                if item.fence > waiting.item.fence {
                    (waiting.bytes, waiting.item) = (item.bytes(), item);
                }
                waiting.tries = tries + 1;
                self.delayed.push((now + pause(tries, &key), key));
            }
        }
    }
}
