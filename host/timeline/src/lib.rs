//! The timeline: event-time truth for every window of every job.
//!
//! Everything that weir answers (a closing window, a row of an `OVER`, an online lookup, a training replay) is
//! one question to one structure, [`Timelines::snapshot`]; cursors only make the same answers faster.
//!
//! Knows: windows, aggregates, tiles, row logs, cursors. Must not know: a clock, I/O, threads, SQL, plugins or
//! where rows come from. Pure and synchronous.

pub mod aggregate;
pub mod answer;
mod bytes;
mod collect;
mod current;
pub mod edit;
mod feed;
mod geometry;
mod grid;
mod marks;
mod measured;
mod migration;
mod over;
mod pane;
mod process;
mod row_log;
mod runs;
pub mod series;
mod slots;
pub mod snapshot;
pub mod spec;
mod state_origins;
pub mod taking_back;
mod tiles;
pub mod timeline;
pub mod windows;

#[cfg(test)]
mod tests;

pub use aggregate::catalog::{BuiltinDoc, BuiltinError, builtin, builtin_docs, builtin_named, builtin_names};
pub use aggregate::value::Kind;
pub use aggregate::{
    Aggregate, AggregateError, Algebra, Card, Finished, Input, Parameter, Selection, States, Steps, Stretch,
};
pub use answer::{
    AboutValues, Block, BlockSink, DecodeError, Inserted, ManyValues, Question, RefusedRow, ResultError,
    Results, Rows, Slot, Stats, Values, list_view_type, to_list_views, to_lists,
};
pub use edit::{Edit, EditError, Origins};

pub use migration::StateMaker;
pub use process::logic::{Events, FailedKey, KeyedLogic, LogicCard, Progress, Turn};
pub use series::series;
pub use snapshot::{Folded, Snapshot};
pub use spec::{
    AggregateSpec, Bounds, Exclude, Frames, Grid, MAX_PANES, OverFrame, ProcessSpec, SpecError, StageSpec,
    storable,
};
pub use taking_back::taking_back;
pub use timeline::Timelines;
pub use windows::{Cumulate, Session, Table, Window, Windows};
