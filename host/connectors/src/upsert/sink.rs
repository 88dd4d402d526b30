//! The sink over a store of keys: result rows in, items out.
//!
//! Rows may be visible before their checkpoint is safe; a checkpoint waits until the store has answered for all of them.
//! Must not know any store.

use super::KeyedStore;
use super::driver::{Ask, Counted, DriverHandle, DriverParts};
use super::held::Held;
use super::item::{Fence, Item, identity_text};
use super::refused::{RefusedRows, refused_line};
use super::settings::{Keep, UpsertSettings};
use super::template::Template;
use crate::context::SinkContext;
use async_trait::async_trait;
use std::collections::HashMap;
use std::sync::Arc;
use weir_connect::{ConnectError, Delivery, Probe, RowIdentity, Sink, SinkCounts, SinkRows, Token};
use weir_event::Clock;

/// Writes a job's rows into a store of keys.
pub struct UpsertSink {
    store: Box<dyn KeyedStore>,
    keys: Vec<Template>,
    settings: UpsertSettings,
    /// What rows that are kept beside each other are told apart by; `None` where the newest alone is kept.
    identity: Option<RowIdentity>,
    clock: Arc<dyn Clock>,
    refused: RefusedRows,
    counted: Arc<Counted>,
    held: Held,
    driver: Option<DriverHandle>,
}

impl std::fmt::Debug for UpsertSink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UpsertSink").field("place", &self.store.place()).finish_non_exhaustive()
    }
}

impl UpsertSink {
    /// A sink over a store, where `keys` are the texts that make a row's key. Does no I/O.
    pub fn new(
        store: Box<dyn KeyedStore>,
        keys: Vec<Template>,
        settings: UpsertSettings,
        context: &SinkContext,
    ) -> UpsertSink {
        let identity = context.shape.as_ref().map_or(RowIdentity::WindowEnd, |shape| shape.identity);
        let identity = (settings.keep == Keep::All).then_some(identity);
        UpsertSink {
            store,
            keys,
            settings,
            identity,
            clock: context.clock.clone(),
            refused: RefusedRows::new(&context.data_dir, &context.job, &context.sink, context.refused_bytes),
            counted: Arc::default(),
            held: Held::default(),
            driver: None,
        }
    }

    fn driver(&self) -> Result<&DriverHandle, ConnectError> {
        self.driver.as_ref().ok_or_else(|| ConnectError::internal("a sink was used before its start"))
    }

    /// The items of some rows, of each key the newest alone, and the lines of rows that can have none.
    fn items(&self, rows: &SinkRows) -> (Vec<Item>, Vec<Vec<u8>>) {
        let rows = self.held.hold(rows);
        let keys: Vec<_> = self.keys.iter().map(|key| key.over(&rows)).collect();
        let share = rows.columns.get_array_memory_size() / rows.columns.num_rows().max(1);
        let (mut items, mut places, mut refused) = (Vec::<Item>::new(), HashMap::new(), Vec::new());
        for row in 0..rows.columns.num_rows() {
            let fence = Fence::of(&rows.meta, row, self.settings.keep);
            let identity = self.identity.and_then(|identity| identity_text(&rows.meta, row, identity));
            let texts: Result<Vec<String>, _> = keys.iter().map(|key| key.text(row)).collect();
            let keys = match texts {
                Ok(texts) => texts,
                Err(null) => {
                    refused.push(refused_line(&rows, row, &[], &null.to_string()));
                    continue;
                }
            };
            let item = Item::new((rows.clone(), row), keys, identity, fence, share);
            // Rows that came together are in order: of two with the same fence the later is the newer.
            let place = *places.entry(item.key.clone()).or_insert(items.len());
            match items.get_mut(place) {
                Some(earlier) if earlier.fence <= item.fence => *earlier = item,
                Some(_) => {}
                None => items.push(item),
            }
        }
        (items, refused)
    }
}

#[async_trait]
impl Sink for UpsertSink {
    fn delivery(&self) -> Delivery {
        self.store.delivery()
    }

    fn wants_meta(&self) -> bool {
        true
    }

    /// By their fences, where the store compares these.
    fn refuses_older(&self) -> bool {
        self.store.delivery() == Delivery::EffectivelyOnce
    }

    fn counts(&self) -> SinkCounts {
        self.counted.read()
    }

    fn place(&self) -> String {
        self.store.place()
    }

    fn ddl(&self) -> Option<String> {
        self.store.ddl()
    }

    async fn probe(&mut self) -> Result<Probe, ConnectError> {
        Ok(Probe::Ready(self.store.open().await?.found))
    }

    /// Nothing is to be brought back: what was written since `last` is written again and finds its own fences.
    async fn start(&mut self, _: Option<&Token>) -> Result<(), ConnectError> {
        let opened = self.store.open().await?;
        self.driver = Some(DriverHandle::start(DriverParts {
            place: self.store.place(),
            client: opened.client,
            most_items: self.store.most_items(),
            settings: self.settings.clone(),
            clock: self.clock.clone(),
            refused: self.refused.clone(),
            counted: self.counted.clone(),
            held: self.held.clone(),
        }));
        Ok(())
    }

    async fn write(&mut self, rows: &SinkRows) -> Result<(), ConnectError> {
        let (items, refused) = self.items(rows);
        let driver = self.driver()?;
        if !refused.is_empty() {
            driver.ask(Ask::Refuse(refused.len() as u64, refused.concat())).await?;
        }
        if items.is_empty() { Ok(()) } else { driver.ask(Ask::Items(items)).await }
    }

    /// Waits until the store has answered for every row.
    async fn prepare(&mut self, _: u64) -> Result<Token, ConnectError> {
        self.driver()?.flush().await?;
        Ok(Token::default())
    }

    async fn commit(&mut self, _: &Token) -> Result<(), ConnectError> {
        Ok(())
    }
}
