//! The core: everything of a job that decides, for every host. Rows of partitions' logs are judged, projected and keyed
//! by [`Intake`]; what becomes of them in the timelines is for [`Keyed`].
//!
//! Synchronous: it is handed rows and returns what follows from them. Must not know: threads, tokio, files, a clock,
//! a store, SQL, or where rows come from and results go.
//!
//! A job over Arrow batches, whose host is the loop:
//!
//! ```
//! use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray, StringViewArray, TimestampMillisecondArray};
//! use arrow_array::{cast::AsArray, types::Float64Type};
//! use std::sync::Arc;
//! use weir_connect::KnownTimes;
//! use weir_core::{AsOf, Intake, Keyed, Step, groups::ALL_GROUPS};
//! use weir_event::{EventTime, PartitionId};
//! use weir_project::{AnyConnectors, BuiltIns, ProjectFiles};
//!
//! let texts: ProjectFiles = [
//!     ("streams/rides.yaml", "
//! fields: {user_id: string, fare: double, at: timestamp}
//! event_time: at
//! source: {batches: {}}
//! "),
//!     ("jobs/user_hour.yaml", "
//! query: SELECT user_id, SUM(fare) AS spent FROM rides GROUP BY user_id, TUMBLE(at, INTERVAL '1' HOUR)
//! "),
//! ]
//! .into_iter()
//! .collect();
//! let plan = weir_project::plan(&texts, &|_: &str| None, &AnyConnectors, &BuiltIns).jobs.remove(0);
//! let plan = Arc::new(plan);
//! let mut intake = Intake::open(plan.clone());
//! let mut keyed = Keyed::open(plan, ALL_GROUPS)?;
//!
//! let users: ArrayRef = Arc::new(StringArray::from(vec!["ann", "bob", "ann", "ann"]));
//! let fares: ArrayRef = Arc::new(Float64Array::from(vec![7.0, 5.0, 2.5, 4.0]));
//! let times: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![0, 10, 20, 3_600_000]));
//! let batch = RecordBatch::try_from_iter([("user_id", users), ("fare", fares), ("at", times)])?;
//! let mut written = Vec::new();
//! for step in intake.columns(PartitionId::default(), &[0, 1, 2, 3], KnownTimes::Unknown, &batch)?.steps {
//!     let effects = match step {
//!         Step::Rows(rows) => keyed.rows(&rows)?,
//!         Step::Watermark(watermark) => keyed.settle(watermark),
//!         Step::Results(_) => unreachable!("only a job without keys has results at once"),
//!     };
//!     for part in effects {
//!         written.extend(part?.results);
//!     }
//! }
//! // The first hour is over: 9.5 for ann and 5.0 for bob.
//! assert_eq!(written.iter().map(|rows| rows.columns.num_rows()).sum::<usize>(), 2);
//!
//! // What ann has spent can be asked for at any time.
//! let ann: ArrayRef = Arc::new(StringViewArray::from(vec!["ann"]));
//! let answer = keyed.lookup(&[ann], AsOf::Asked(EventTime::from_millis(3_600_000)))?;
//! let spent = answer.settled.columns.column(1).as_primitive::<Float64Type>().value(0);
//! assert_eq!((spent, keyed.stats().keys), (9.5, 2));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod bounds;
mod counts;
mod error;
mod expiry;
mod extent;
mod filter;
pub mod groups;
mod halve;
mod history;
pub mod idle;
mod intake;
mod keyed;
mod letter;
mod project;
mod rows;
mod served;
pub mod shape;
pub mod stored;
pub mod wire;

pub use bounds::{TimeBounds, can_be, known_at, meant_in_seconds};
pub use counts::Counts;
pub use error::CoreError;
pub use expiry::{Expiry, is_of_intake};
pub use extent::{Extent, Shortfall};
pub use history::{Cut, Sided, known_times, record_of, split_at};
pub use intake::admit::Heard;
pub use intake::beginning::Beginning;
pub use intake::refusals::{FirstRefused, Judgement, Refusals, Taken};
pub use intake::route::KeyedRows;
pub use intake::steps::{Step, Steps};
pub use intake::{Intake, Standing, first_offset};
pub use keyed::effects::Effects;
pub use keyed::emit::ResultRows;
pub use keyed::keys::Page;
pub use keyed::lookup::{Answer, AsOf, Copies, Entity, EntityKey, FrameRows, Looked, LookupError};
pub use keyed::parts::Parts;
pub use keyed::reached::Reached;
pub use keyed::segment::{Segment, StateSink};
pub use keyed::together::{Entities, Pending, Together, finish_together};
pub use keyed::views::prefer_views;
pub use keyed::{Keyed, Segments, add_stats};
pub use letter::{DeadLetter, EventPlace, FailedResult, FailedWindow, Subject};
pub use served::{
    Called, Derived, Deriving, Given, Lookback, Outcome, OverLookback, Served, input_type, looks_back,
    of_type,
};
pub use shape::{EditTime, Edited, Migrated, StoredShape, block_of, takes_over};

#[cfg(test)]
mod tests;
