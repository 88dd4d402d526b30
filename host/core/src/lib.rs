//! The core: everything of a job that decides, for every host. Rows of partitions' logs are judged, projected and keyed
//! by [`intake`]; what becomes of them in the timelines is for [`keyed`].
//!
//! Synchronous: it is handed rows and returns what follows from them. Must not know: threads, tokio, files, a clock,
//! a store, SQL, or where rows come from and results go.

// Modules are open while the engine takes them into use one by one.
#![allow(missing_docs)]

pub mod bounds;
pub mod counts;
pub mod filter;
pub mod halve;
pub mod intake;
pub mod keyed;
pub mod letter;
pub mod project;
pub mod stored;

pub use bounds::TimeBounds;
pub use counts::Counts;
pub use intake::beginning::Beginning;
pub use keyed::failures::{EventPlace, FailedResult, FailedWindow};
pub use letter::{DeadLetter, Subject};

#[cfg(test)]
mod tests;
