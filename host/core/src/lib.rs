//! The core: everything of a job that decides, for every host. Rows of partitions' logs are judged, projected and keyed
//! by [`Intake`]; what becomes of them in the timelines is for [`Keyed`].
//!
//! Synchronous: it is handed rows and returns what follows from them. Must not know: threads, tokio, files, a clock,
//! a store, SQL, or where rows come from and results go.

mod bounds;
mod counts;
mod error;
mod filter;
pub mod groups;
mod halve;
mod intake;
mod keyed;
mod letter;
mod project;
pub mod stored;
pub mod wire;

pub use bounds::TimeBounds;
pub use counts::Counts;
pub use error::CoreError;
pub use intake::beginning::Beginning;
pub use intake::refusals::{FirstRefused, Judgement, Refusals, Taken};
pub use intake::route::KeyedRows;
pub use intake::steps::{Step, Steps};
pub use intake::{Intake, Standing, first_offset};
pub use keyed::effects::Effects;
pub use keyed::emit::ResultRows;
pub use keyed::failures::{EventPlace, FailedResult, FailedWindow};
pub use keyed::lookup::{Answer, AsOf, Copies, Entity, Looked, LookupError};
pub use keyed::parts::Parts;
pub use keyed::segment::{Segment, StateSink};
pub use keyed::views::prefer_views;
pub use keyed::{Keyed, Segments, add_stats};
pub use letter::{DeadLetter, Subject};

#[cfg(test)]
mod tests;
