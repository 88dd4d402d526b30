//! The shape of a job's state: which columns it consists of, each named by what makes it, so that an edited query finds
//! what it still has.
//!
//! Names are hashes: two of one name hold the same. Knows nothing of where state is, or how much of it there is.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a job's state consists of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StateShape {
    /// Without these nothing of it is of use, by what they are called.
    pub ground: BTreeMap<String, Ground>,
    /// Name of what decides which rows count, and in which windows.
    pub rows: String,
    /// The stage's aggregates, in their order.
    pub aggregates: Vec<AggregateShape>,
    /// Names of the projected columns, in their order.
    pub inputs: Vec<String>,
}

/// Something that a job's state stands on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ground {
    /// The same where it is the same.
    pub identity: String,
    /// What it is, as its author would say it.
    pub words: String,
}

/// An aggregate of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AggregateShape {
    /// Name of its states.
    pub name: String,
    /// The frame that its values are over.
    pub frame: String,
}
