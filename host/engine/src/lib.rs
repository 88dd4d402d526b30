//! The engine: runs plans. One file per stage, wired in data order by [`pipeline`].
//!
//! Knows: stages, shards, barriers, back-pressure, the life of a job. Must not know: wasmtime, SQL, Kafka or HTTP;
//! it sees plugins as aggregates and expressions, connectors as traits, the store as one.
//!
//! A batch's way: [`intake`] drives [`decode`] and [`take`] ([`filter`], [`admit`], [`project`], [`route`]) ->
//! [`keyed`] -> [`emit`] -> [`deliver`]; [`lookup`] reads the timelines of [`shard`] directly; [`checkpoint`] rides
//! the same channels, and [`state`] reads back what it wrote. [`stream`] lets jobs share reading and decoding.

mod admit;
mod back_off;
mod backlog;
mod bounds;
mod checkpoint;
pub mod dead_letters;
mod decode;
mod deletes;
pub mod deliver;
mod emit;
mod engine;
mod entries;
mod error;
mod failures;
mod filter;
mod freshness;
mod halve;
mod idle;
mod intake;
mod job;
mod keyed;
mod keys;
pub mod lookup;
mod manifest;
mod outputs;
mod pipeline;
mod progress;
mod project;
mod reading;
mod refusals;
mod route;
mod seen;
mod session;
mod shard;
mod skew;
mod state;
pub mod status;
pub mod stream;
mod take;
mod told;
mod views;

pub use back_off::BackOff;
pub use bounds::TimeBounds;
pub use dead_letters::DeadLetters;
pub use deliver::NamedSink;
pub use engine::{Engine, Settings, fits_state};
pub use error::EngineError;
pub use failures::{FailedResult, FailureSample};
pub use intake::Mode;
pub use job::{Job, JobSpec, KeyPage, MakeSinks};
pub use lookup::{Answer, AsOf, Looked, LookupError};
pub use manifest::Counts;
pub use status::{Behind, JobState, JobStatus, Refusal, RestoreStatus};
pub use stream::StreamHub;

#[cfg(test)]
mod tests;
