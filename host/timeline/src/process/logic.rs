//! What keyed logic is: code of a user's that takes the events of one key one after the other, remembers what it likes, and
//! makes rows.
//!
//! A call is for many keys at once. Logic never sees a key, a watermark or a clock: what it makes of a key follows from that
//! key's events and from the moments at which its timers fire. Must not know where states are kept.

use crate::aggregate::AggregateError;
use crate::migration::StateMaker;
use arrow_array::ArrayRef;
use arrow_schema::DataType;
use std::fmt::Debug;

/// What the planner and the timeline need to know of keyed logic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogicCard {
    /// Names and types of the columns of its rows.
    pub results: Vec<(String, DataType)>,
    /// What makes its rows, for definition hashes: name, types, parameters and the sha256 of the component.
    pub identity: String,
}

/// Keys that are given something, each with what its logic remembers.
#[derive(Debug, Clone, Copy)]
pub struct Turn<'a> {
    /// What each remembers; no bytes of one of which nothing has happened.
    pub states: &'a [&'a [u8]],
    /// When the timer of each fires, milliseconds.
    pub timers: &'a [Option<i64>],
}

/// Events of keys: first those of the first key, then those of the next.
#[derive(Debug, Clone, Copy)]
pub struct Events<'a> {
    /// How many each key has; at least one.
    pub counts: &'a [u32],
    /// Event times, milliseconds. Those of a key are in total order.
    pub times: &'a [i64],
    /// The columns of the logic's arguments.
    pub arguments: &'a [ArrayRef],
}

/// What came of a call.
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// What each key remembers now.
    pub states: Vec<Box<[u8]>>,
    /// When the timer of each fires now.
    pub timers: Vec<Option<i64>>,
    /// How many of its events each took, the first ones; the others are to be given again. It may be none.
    pub taken: Vec<u32>,
    /// For each row made the index of the event, or of the timer's key, that made it; never falling.
    pub made_by: Vec<u32>,
    /// The rows made: a column for each of [`LogicCard::results`].
    pub rows: Vec<ArrayRef>,
    /// Keys whose first event that is given here, or whose timer, fails alone, rising. It is left out: what the key remembers is
    /// what it was, the event counts as taken, and the timer is gone.
    pub failed: Vec<FailedKey>,
}

/// A key whose event or timer fails alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailedKey {
    /// Which of the keys of the call.
    pub key: u32,
    /// Why.
    pub reason: String,
    /// Whether that counts against the logic, as a trap does.
    pub misbehaved: bool,
}

/// Keyed logic bound to its types and constants.
///
/// A call that is an error has changed nothing. [`AggregateError::Rows`] is not expected: what fails alone is told in
/// [`Progress::failed`].
pub trait KeyedLogic: Debug + Send + Sync {
    /// Its card.
    fn card(&self) -> &LogicCard;
    /// Gives events to keys: of each at least the first one is taken, and none that lies behind a timer that an earlier one
    /// has left set. A timer that it sets before the event counts as one at it.
    fn on_events(&self, keys: Turn<'_>, events: Events<'_>) -> Result<Progress, AggregateError>;
    /// An event or a timer, of which this is the reason, made it misbehave: told once, however often the same is tried again.
    fn misbehaved(&self, _reason: &str) {}
    /// Fires the timers of keys, which all have one. A timer that this sets is later than the one that fires.
    fn on_timers(&self, keys: Turn<'_>) -> Result<Progress, AggregateError>;
    /// Whether it makes states of its own of those that another version of it has made.
    fn migrates(&self) -> bool {
        false
    }
    /// States of its own, one for each of those that another version of it has made.
    ///
    /// # Errors
    /// If it does not take them over: all stay as they are.
    fn migrate(&self, _from: &StateMaker, _states: &[&[u8]]) -> Result<Vec<Vec<u8>>, AggregateError> {
        Err(AggregateError::takes_nothing_over())
    }
}
