//! The contract of a sink: rows of one checkpoint are prepared before it is safe and made visible after.
//!
//! The life of a sink: [`Sink::start`] with the token of the last safe checkpoint, then any number of
//! [`Sink::write`], then at each barrier [`Sink::prepare`]; once the checkpoint is safe, [`Sink::commit`] with
//! that token. After a crash the next `start` is handed the token of the last *safe* checkpoint: what it names
//! must become visible (again), what it does not name must vanish or never have been visible, as far as the
//! sink's [`Delivery`] promises.
//!
//! Nobody waits for a sink that takes long: the checkpoint is then safe without its token, which is not committed, and the
//! next [`Sink::prepare`] names all since the last token that was. When a call fails, the sink is dropped and
//! another one is started. That is never done while a call has not returned, for it might still act: each call
//! ends by itself, with an error when the other side does not answer.

use crate::error::ConnectError;
use crate::probe::Probe;
use arrow_array::RecordBatch;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// What a sink promises its readers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Delivery {
    /// Every result row is visible exactly once, across crashes.
    ExactlyOnce,
    /// A row may be written again after a crash, and overwrites itself.
    EffectivelyOnce,
    /// A row may be seen again after a crash.
    AtLeastOnce,
}

impl fmt::Display for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Delivery::ExactlyOnce => "exactly-once",
            Delivery::EffectivelyOnce => "effectively-once",
            Delivery::AtLeastOnce => "at-least-once",
        })
    }
}

/// What a sink needs to make a prepared checkpoint visible; opaque JSON that travels in the job's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Token(pub serde_json::Value);

/// Result rows on their way out.
#[derive(Debug, Clone)]
pub struct SinkRows {
    /// The query's columns by name, in query order.
    pub columns: RecordBatch,
    /// What weir says of each row.
    pub meta: RowMeta,
}

impl SinkRows {
    /// So many of the rows, from one on.
    pub fn slice(&self, from: usize, length: usize) -> SinkRows {
        fn part<T: Clone>(all: &[T], from: usize, length: usize) -> Vec<T> {
            all.iter().skip(from).take(length).cloned().collect()
        }
        let meta = &self.meta;
        SinkRows {
            columns: self.columns.slice(from, length),
            meta: RowMeta {
                job: meta.job.clone(),
                version: meta.version,
                definition: meta.definition.clone(),
                epoch: meta.epoch,
                identities: part(&meta.identities, from, length),
                windows: part(&meta.windows, from, length),
                times: part(&meta.times, from, length),
                op: meta.op,
                revision: meta.revision,
                keys: meta.keys.as_ref().map(|keys| keys.slice(from, length)),
            },
        }
    }
}

/// What a row does to what was written under its identity before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Op {
    /// It takes its place.
    #[default]
    Upsert,
    /// It takes it away; only the key's columns and the window mean anything in such a row.
    Delete,
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Op::Upsert => "upsert",
            Op::Delete => "delete",
        })
    }
}

/// What weir says of the rows of one [`SinkRows`]; every `Vec` is as long as the batch or empty.
#[derive(Debug, Clone, Default)]
pub struct RowMeta {
    /// The job.
    pub job: std::sync::Arc<str>,
    /// The version of its definition.
    pub version: u32,
    /// The hash of its definition, `sha256:..`.
    pub definition: std::sync::Arc<str>,
    /// The checkpoint that the rows will belong to.
    pub epoch: u64,
    /// Where a row's identity is its event's position: that, as `source/partition:offset`. Empty where it is the key
    /// and the window, or no sink asked.
    pub identities: Vec<String>,
    /// Each row's window, milliseconds `[start, end)`; empty where rows have none.
    pub windows: Vec<(i64, i64)>,
    /// Each row's event time, milliseconds; empty where rows have windows, where they have no time of their own (an
    /// aggregate over all time), or no sink asked.
    pub times: Vec<i64>,
    /// What all of the rows do.
    pub op: Op,
    /// Rises strictly over all rows of one identity, also across restarts.
    pub revision: u64,
    /// The columns of each row's entity key, whether the query selects them or not; `None` if no sink asked.
    pub keys: Option<RecordBatch>,
}

/// What a sink counts of what it does, since it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SinkCounts {
    /// Bytes that it has written; 0 where it does not count them.
    pub bytes: u64,
    /// Times that it tried again what the other side did not take at once.
    pub retries: u64,
    /// Rows that the other side refuses for ever, each set aside with its reason.
    pub refused: u64,
    /// Rows that the other side had newer ones for.
    pub stale: u64,
}

impl SinkCounts {
    /// What was counted since `earlier`.
    pub fn since(self, earlier: SinkCounts) -> SinkCounts {
        SinkCounts {
            bytes: self.bytes.saturating_sub(earlier.bytes),
            retries: self.retries.saturating_sub(earlier.retries),
            refused: self.refused.saturating_sub(earlier.refused),
            stale: self.stale.saturating_sub(earlier.stale),
        }
    }
}

/// Where result rows go.
#[async_trait]
pub trait Sink: Send {
    /// What it promises.
    fn delivery(&self) -> Delivery;

    /// Whether it has a use for [`RowMeta::identities`] and `windows`, which cost text per row. A sink that has
    /// none cannot tell a row that deletes from one that writes: it is handed no such rows.
    fn wants_meta(&self) -> bool {
        false
    }

    /// Whether it goes on from the last token that it had, when it comes back into a definition that was without it for a
    /// while: what it had written then is still where it was, whatever its job has done meanwhile.
    fn goes_on(&self) -> bool {
        false
    }

    /// Whether it keeps the newer of two rows of one key, by their times and revisions, also where the older one comes last:
    /// rows may come to it in any order.
    fn refuses_older(&self) -> bool {
        false
    }

    /// What to write so that whoever reads there sees rows go that are taken back; `None` where that is seen.
    fn keeps_what_goes(&self) -> Option<&'static str> {
        None
    }

    /// What it has counted since it was made, for figures alone.
    fn counts(&self) -> SinkCounts {
        SinkCounts::default()
    }

    /// Where it writes, for a person to look at, if no other sink of its job may write there: what one of them brings to
    /// what its token says, the other would lose.
    fn own_place(&self) -> Option<String> {
        None
    }

    /// What of its settings says where it writes, in one form whatever they are written as: a sink of its kind with the
    /// same place goes on from its token and is given what waits for it, whatever else was changed. Kept with
    /// checkpoints, so it holds no secret, and does not depend on where the project's folder is. Empty where there is one
    /// place alone.
    fn place(&self) -> String {
        String::new()
    }

    /// Where the mark of the state lies that its rows were made with; `None` where it leaves none.
    fn mark(&self) -> Option<PathBuf> {
        None
    }

    /// Whether it keeps nothing of what it is given: rows that it has written are not needed again if it fails.
    fn forgets(&self) -> bool {
        false
    }

    /// The statements that make what it writes to (tables, an index, a topic), for whoever runs them; `None` where nothing
    /// has to be made before, or its rows are not known yet. Does no I/O.
    fn ddl(&self) -> Option<String> {
        None
    }

    /// Looks whether it could start: whether what it writes to can be reached, lets it write, and fits its rows. Writes
    /// nothing. A sink that cannot tell says so.
    async fn probe(&mut self) -> Result<Probe, ConnectError> {
        Ok(Probe::NotTried("it can only be tried by writing"))
    }

    /// Opens the sink and brings what is visible to exactly what `last` says (`None`: no safe checkpoint yet).
    async fn start(&mut self, last: Option<&Token>) -> Result<(), ConnectError>;

    /// Takes rows. They may become visible at once only if the sink promises no more than at-least-once.
    async fn write(&mut self, rows: &SinkRows) -> Result<(), ConnectError>;

    /// Everything written so far is durable on the sink's side when this returns; the token names it.
    async fn prepare(&mut self, epoch: u64) -> Result<Token, ConnectError>;

    /// As [`Sink::prepare`], where the job ends or stops behind it: what would else be gone on with is made whole, as nobody
    /// may ever come back to it.
    async fn prepare_last(&mut self, epoch: u64) -> Result<Token, ConnectError> {
        self.prepare(epoch).await
    }

    /// The checkpoint of `token` is safe: make it visible. Idempotent.
    async fn commit(&mut self, token: &Token) -> Result<(), ConnectError>;
}
