//! The engine: runs plans. One file per stage, wired in data order by [`pipeline`].
//!
//! Knows: stages, shards, barriers, back-pressure, the life of a job. Must not know: wasmtime, SQL, Kafka or HTTP;
//! it sees plugins as aggregates and expressions, connectors as traits, the store as one. What rows and results mean is
//! decided in `weir_core`.
//!
//! A batch's way: [`driver`] drives [`decode`] and [`take`] -> [`keyed`] -> [`deliver`] -> [`outbox`] -> [`sink_task`]; [`lookup`] reads the timelines of [`shard`] directly; [`inputs`] reads several streams as one; [`checkpoint`] rides
//! the same channels, and [`state`] reads back what it wrote. [`stream`] lets jobs share reading and decoding.

mod ahead;
mod apart;
mod back_off;
mod backlog;
mod beside;
mod bootstrap;
mod checkpoint;
mod clock;
pub mod dead_letters;
mod decode;
mod deliver;
mod driver;
mod engine;
mod entries;
mod error;
mod failures;
mod filling;
mod fit;
mod follower;
mod freshness;
mod gone_sinks;
mod holdings;
mod inputs;
mod job;
mod keyed;
mod keys;
mod lookup;
mod manifest;
mod merging;
mod metered;
mod migrating;
mod outbox;
mod pipeline;
mod progress;
mod reading;
mod revisions;
mod session;
mod shard;
mod shared_look;
mod sink_names;
mod sink_task;
mod skew;
mod state;
pub mod status;
mod stop;
pub mod stream;
mod take;

pub use back_off::BackOff;
pub use beside::filling_name;
pub use bootstrap::ends::cuts;
pub use clock::SystemClock;
pub use dead_letters::{DeadLetters, Listing};
pub use driver::Mode;
pub use engine::{Engine, Settings, begins_with_past, positions};
pub use error::EngineError;
pub use failures::FailureSample;
pub use filling::{fills, is_declined, lacks_past, runs_by};
pub use fit::{StateEdit, state_edit, state_made_by};
pub use gone_sinks::{HiddenRows, hidden_rows};
pub use holdings::{Comparison, Holdings};
pub use inputs::{ArchiveSource, InputSource};
pub use job::{Job, JobSpec, KeyPage};
pub use migrating::NotTakenOver;
pub use revisions::revised_up_to;
pub use shared_look::SharedLook;
pub use sink_names::{LeftRows, left_rows, sink_identity};
pub use sink_task::{MakeSink, SinkSpec};
pub use status::{
    Behind, BootstrapStatus, DroppedFilling, FillingState, FillingStatus, JobState, JobStatus, Refusal,
    RestoreStatus, SideStatus, SinkState, SinkStatus,
};
pub use stream::{MakeDecoder, StreamHub};
pub use weir_core::{
    Answer, AsOf, Counts, DeadLetter, FailedResult, FrameRows, Lookback, Looked, LookupError, Outcome,
    OverLookback, Served, Subject, takes_over,
};

#[cfg(test)]
mod tests;
