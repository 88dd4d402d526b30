//! The keyed stage: results of the timelines on their way to the query's columns.

pub mod deletes;
pub mod emit;
pub mod failures;
pub mod outputs;
pub mod views;
