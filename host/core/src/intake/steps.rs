//! What follows from a block of a partition's log: rows and watermarks in order, and beside them what is to be kept and
//! counted. Whoever hosts the core does it.

use crate::counts::Counts;
use crate::intake::refusals::Taken;
use crate::intake::route::KeyedRows;
use crate::keyed::emit::ResultRows;
use crate::letter::DeadLetter;
use std::sync::Arc;
use weir_event::EventTime;

/// What follows from a block.
#[derive(Debug, Default)]
pub struct Steps {
    /// In this order.
    pub steps: Vec<Step>,
    /// Events that are set aside.
    pub letters: Vec<DeadLetter>,
    /// What was counted.
    pub counts: Counts,
    /// How the block was judged, as [`Refusals`](crate::intake::refusals::Refusals) takes it.
    pub taken: Taken,
    /// The partition's newest event time, if the block has a row whose time can be.
    pub heard: Option<EventTime>,
}

/// One step.
#[derive(Debug)]
pub enum Step {
    /// Rows for the keyed stage.
    Rows(Arc<KeyedRows>),
    /// Result rows of a job without a stage.
    Results(ResultRows),
    /// What all partitions of this intake promise together: every later row has an event time at or after it, or is
    /// late.
    Watermark(EventTime),
}
