//! The frame of every sink that keeps a row per key: a store says how a batch of rows is put, the frame does the rest.
//!
//! The frame makes [`Item`]s of result rows (their keys from texts such as `{job}:{user_id}`), keeps the newest of each key,
//! cuts batches by rows, bytes and age, has several on their way at once though never two items of one key, paces them,
//! tries again what a store puts off, and sets aside what it refuses for ever. Every item carries a [`Fence`]: a store
//! changes what it holds of a key only if that has a smaller one, so no retry, no restart and no process that was thought
//! dead lets an older value win. So rows may be visible before their checkpoint is safe, and are written again after a
//! crash.
//!
//! Whoever writes a store implements [`KeyedStore`] and [`KeyedClient`] and hands the first to [`UpsertSink`]. Must not know
//! any store.

mod cells;
mod driver;
mod encoded;
mod held;
mod item;
mod pace;
mod queue;
mod refused;
mod settings;
mod sink;
mod template;

pub use cells::{CellValue, text};
pub use encoded::EncodedItems;
pub use item::{Fence, Item, identity_text};
#[cfg(feature = "postgres")]
pub(crate) use pace::{Pace, pause};
#[cfg(feature = "postgres")]
pub(crate) use refused::line_of;
pub(crate) use refused::{RefusedRows, refused_line};
pub use settings::{BATCH, CA, CONCURRENCY, KEEP, Keep, RETRY_COUNT, UpsertSettings, WRITE_RATE};
pub use sink::UpsertSink;
pub use template::{NullInText, Template, key_columns};

use async_trait::async_trait;
use std::sync::Arc;
use weir_connect::{ConnectError, Delivery};

/// A store as settings describe it. Making one checks the settings and does no I/O.
#[async_trait]
pub trait KeyedStore: Send + Sync {
    /// Where it writes, without secrets: see [`weir_connect::Sink::place`]. Messages name it.
    fn place(&self) -> String;

    /// What it promises its readers; less where it cannot compare fences.
    fn delivery(&self) -> Delivery {
        Delivery::EffectivelyOnce
    }

    /// The statements that make what it writes to: see [`weir_connect::Sink::ddl`].
    fn ddl(&self) -> Option<String> {
        None
    }

    /// The most items that one call to [`KeyedClient::put`] takes.
    fn most_items(&self) -> usize {
        usize::MAX
    }

    /// Connects, and checks what it writes to: that it can be reached, that it may be written, that it fits the rows, naming
    /// the column that does not. Writes nothing.
    async fn open(&self) -> Result<Opened, ConnectError>;
}

/// A store that was opened.
pub struct Opened {
    /// What was found there, for a person: `table features, 3 columns`.
    pub found: String,
    /// Writes there.
    pub client: Arc<dyn KeyedClient>,
}

/// An open connection to a store, dropped when a call to it fails for good.
#[async_trait]
pub trait KeyedClient: Send + Sync {
    /// Puts items, of which no two have the same key, and says what became of each, in their order. An item whose own
    /// fence is found in the store was written by a call whose answer was lost: it counts as written. An error is one of
    /// the whole call, of which any part may have taken effect; where it says retry, the same items come again.
    async fn put(&self, items: &[Item]) -> Result<Vec<Outcome>, ConnectError>;
}

/// What became of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The store holds it, or has taken away what it deletes.
    Written,
    /// The store holds a newer one of its key.
    Stale,
    /// The store did not take it now (it throttles, or handed part of a batch back), for this reason: it comes again.
    Later(String),
    /// The store will never take it, for this reason: it is set aside.
    Refused(String),
}

#[cfg(test)]
pub(crate) mod tests;
