//! A store of keys in memory, with faults to order: what the frame must stand.

use crate::upsert::{Fence, Item, KeyedClient, KeyedStore, Opened, Outcome};
use async_trait::async_trait;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use weir_connect::{ConnectError, Op};
use weir_event::ManualClock;

/// What goes wrong in a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StoreFault {
    /// Nothing.
    None,
    /// It takes effect, and its answer is lost.
    AnswerLost,
    /// It cannot be reached.
    Unreachable,
    /// It takes the first so many items and hands the others back.
    Throttled(usize),
    /// It refuses this key for ever.
    Refuses(&'static str),
    /// It is not allowed any more.
    Forbidden,
}

#[derive(Debug, Default)]
pub(super) struct StoreContents {
    /// By key and identity: the fence, and the row's columns as JSON unless it was taken away.
    pub(super) rows: BTreeMap<(Vec<String>, Option<String>), (Fence, Option<String>)>,
    pub(super) faults: VecDeque<StoreFault>,
    /// How many items each call had.
    pub(super) calls: Vec<usize>,
    on_their_way: BTreeSet<(Vec<String>, Option<String>)>,
    pub(super) most_at_once: usize,
    at_once: usize,
    pub(super) delay_ms: u64,
}

/// The store; clones are the same one.
#[derive(Debug, Clone)]
pub(super) struct MemoryStore {
    contents: Arc<Mutex<StoreContents>>,
    clock: Arc<dyn weir_event::Clock>,
}

impl MemoryStore {
    pub(super) fn new(clock: &Arc<ManualClock>) -> MemoryStore {
        MemoryStore { contents: Arc::default(), clock: clock.clone() }
    }

    pub(super) fn contents(&self) -> MutexGuard<'_, StoreContents> {
        self.contents.lock().unwrap()
    }

    /// The rows that a reader sees: their keys and columns.
    pub(super) fn visible(&self) -> Vec<(String, String)> {
        let contents = self.contents();
        let rows = contents.rows.iter().filter_map(|((keys, identity), (_, row))| {
            let name = keys.iter().chain(identity).cloned().collect::<Vec<_>>().join("|");
            Some((name, row.clone()?))
        });
        rows.collect()
    }
}

#[async_trait]
impl KeyedStore for MemoryStore {
    fn place(&self) -> String {
        "memory".to_owned()
    }

    async fn open(&self) -> Result<Opened, ConnectError> {
        Ok(Opened { found: "memory".to_owned(), client: Arc::new(self.clone()) })
    }
}

fn json(item: &Item) -> String {
    let columns = item.columns().enumerate().map(|(column, (name, _))| {
        let mut json = Vec::new();
        item.push_json(column, &mut json);
        format!("{name}={}", String::from_utf8(json).unwrap())
    });
    columns.collect::<Vec<_>>().join(",")
}

impl StoreContents {
    fn take(&mut self, item: &Item) -> Outcome {
        let row = (item.op() == Op::Upsert).then(|| json(item));
        match self.rows.get(&(item.keys.clone(), item.identity.clone())) {
            Some((fence, _)) if *fence > item.fence => Outcome::Stale,
            _ => {
                self.rows.insert((item.keys.clone(), item.identity.clone()), (item.fence, row));
                Outcome::Written
            }
        }
    }
}

#[async_trait]
impl KeyedClient for MemoryStore {
    async fn put(&self, items: &[Item]) -> Result<Vec<Outcome>, ConnectError> {
        let (fault, delay) = {
            let mut contents = self.contents();
            contents.calls.push(items.len());
            contents.at_once += 1;
            contents.most_at_once = contents.most_at_once.max(contents.at_once);
            for item in items {
                let is_new = contents.on_their_way.insert((item.keys.clone(), item.identity.clone()));
                assert!(is_new, "two rows of one key are on their way");
            }
            (contents.faults.pop_front().unwrap_or(StoreFault::None), contents.delay_ms)
        };
        if delay > 0 {
            self.clock.sleep(std::time::Duration::from_millis(delay)).await;
        }
        let mut contents = self.contents();
        contents.at_once -= 1;
        for item in items {
            contents.on_their_way.remove(&(item.keys.clone(), item.identity.clone()));
        }
        let taken = match fault {
            StoreFault::Unreachable => return Err(ConnectError::unavailable("memory: unreachable")),
            StoreFault::Forbidden => return Err(ConnectError::external("memory: forbidden")),
            StoreFault::Throttled(taken) => taken,
            _ => usize::MAX,
        };
        let outcomes = items.iter().enumerate().map(|(at, item)| match &fault {
            StoreFault::Refuses(key) if item.keys[0] == *key => Outcome::Refused("too large".to_owned()),
            _ if at >= taken => Outcome::Later("throttled".to_owned()),
            _ => contents.take(item),
        });
        let outcomes = outcomes.collect();
        match fault {
            StoreFault::AnswerLost => Err(ConnectError::unavailable("memory: no answer")),
            _ => Ok(outcomes),
        }
    }
}
