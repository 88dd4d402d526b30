//! What an aggregate is: one trait for built-ins and plugins alike.
//!
//! An aggregate is columnar: its states live in columns ([`States`]), one state per *group*, and every call
//! works on many groups at once. What a group is (a slot's pane, a slot's running value, a copy for a lookup) is
//! the timeline's business; an aggregate never sees a key, a window or a clock.
//!
//! Laws, tested for every aggregate: merging the states of two adjacent stretches of time equals the state of
//! the whole; a fresh state is the identity of `merge`; `retract` undoes `update` and `unmerge` undoes `merge`
//! (where the card has an inverse); `decode(encode(s))` finishes as `s` does.
//!
//! A built-in one is a file: a fold over rows, its documentation and how a call is bound to it. Adding one takes a
//! line in the catalog's table of families and, for the laws, one in the table of examples.

pub(crate) mod average;
pub(crate) mod big;
pub(crate) mod by_category;
pub(crate) mod call;
pub mod catalog;
pub(crate) mod cell;
pub(crate) mod chosen_row;
pub(crate) mod comoments;
pub(crate) mod count;
pub(crate) mod decay;
pub(crate) mod decimal;
pub(crate) mod distinct;
pub(crate) mod edge;
pub(crate) mod exact;
pub(crate) mod extreme;
pub(crate) mod fold;
pub(crate) mod frequent;
pub(crate) mod gaps;
pub(crate) mod hll;
pub(crate) mod last_distinct;
pub(crate) mod logic;
pub(crate) mod moments;
pub(crate) mod percentile;
pub(crate) mod ranked;
pub(crate) mod rows;
pub(crate) mod since;
pub(crate) mod spectrum;
pub(crate) mod streak;
pub(crate) mod sum;
pub(crate) mod top;
pub(crate) mod value;

#[cfg(test)]
pub(crate) mod examples;
#[cfg(test)]
mod laws;

use crate::migration::StateMaker;
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use std::any::Any;
use std::fmt::Debug;
use weir_event::Rank;

/// How an aggregate's result depends on the order and the cutting of its input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algebra {
    /// The same bits whatever the order of rows and however tiles are cut. (A state may carry (time, rank) to
    /// get there, as `LAST_VALUE`'s does.)
    Exact,
    /// Rows must be fed in total order (time, rank), and `merge` joins an earlier stretch with a later one.
    Ordered,
    /// Folds a cover of tiles that is fixed by the range and the grid alone.
    Approximate,
}

/// What the planner, the timeline and the documentation need to know of an aggregate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Card {
    /// How the result depends on order and tiles.
    pub algebra: Algebra,
    /// Whether `retract` and `unmerge` work: they leave the state as if what they take out had never come. Never
    /// with [`Algebra::Ordered`].
    pub inverse: bool,
    /// Whether a state's size has a bound that does not grow with its rows.
    pub bounded: bool,
    /// Type of the result.
    pub result: DataType,
    /// What makes the value, for definition hashes: name, argument types, parameters and the version of the
    /// semantics, such as `sum(double)#1`; a plugin adds its component's sha256.
    pub identity: String,
    /// What becomes of nulls, in a few words.
    pub nulls: &'static str,
}

impl Card {
    /// Whether rows must be fed in total order. (Every aggregate can merge.)
    pub fn is_order_dependent(&self) -> bool {
        self.algebra == Algebra::Ordered
    }
}

impl Algebra {
    /// As cards and documentation name it.
    pub fn name(self) -> &'static str {
        match self {
            Algebra::Exact => "exact",
            Algebra::Ordered => "ordered",
            Algebra::Approximate => "approximate",
        }
    }
}

/// An aggregate function bound to its argument types and constant parameters.
pub trait Aggregate: Debug + Send + Sync {
    /// Its card.
    fn card(&self) -> &Card;
    /// A column of states without a group.
    fn states(&self) -> Box<dyn States>;
    /// Whether `update`, `merge` or `finish` may fail on rows and states of the right types, as a plugin's may.
    /// The timeline then keeps copies to go back to.
    fn fallible(&self) -> bool {
        true
    }
    /// Whether a state may owe rows: `retract` of rows that have not come yet, or never come, leaves it without them, and
    /// only what has come and was not taken out counts, in whatever order that was.
    fn owes(&self) -> bool {
        false
    }
    /// Set if the value is a choice among the frame's rows: an `OVER` then takes it from its row log directly.
    fn selection(&self) -> Option<Selection> {
        None
    }
    /// Whether it makes states of its own of those that another version of it has made.
    fn migrates(&self) -> bool {
        false
    }
    /// States of its own, one for each of those that another version of it has made; all as [`States::encode`] writes them.
    ///
    /// # Errors
    /// If it does not take them over: all stay as they are.
    fn migrate(&self, _from: &StateMaker, _states: &[&[u8]]) -> Result<Vec<Vec<u8>>, AggregateError> {
        Err(AggregateError::takes_nothing_over())
    }
}

/// A value that is one or several of its argument's non-null values, chosen by time or by size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selection {
    /// The value of the oldest row.
    Oldest,
    /// The value of the newest row.
    Newest,
    /// The least value; of doubles, NaN is above all numbers.
    Least,
    /// The greatest value.
    Greatest,
    /// A list of the values of the newest rows, at most `limit`.
    List {
        /// How many at most.
        limit: usize,
        /// Whether the newest comes first.
        newest_first: bool,
    },
}

/// Rows on their way into states: row `rows[i]` of every argument goes to the state of group `groups[i]`.
///
/// Rows of one group come in the order of `rows`; for [`Algebra::Ordered`] that is the total order.
/// Rows whose FILTER is not true have been left out. Nulls are still in: ignoring them is the aggregate's duty.
#[derive(Debug, Clone, Copy)]
pub struct Input<'a> {
    /// For each row, its group.
    pub groups: &'a [u32],
    /// For each row, its index into `times`, `ranks` and the arguments.
    pub rows: &'a [u32],
    /// Event times, milliseconds.
    pub times: &'a [i64],
    /// Total order of rows that are tied in event time.
    pub ranks: &'a [Rank],
    /// The arguments' columns.
    pub arguments: &'a [ArrayRef],
}

/// A run of steps, each of which moves one group's frame on and asks for its value.
///
/// Step `i` takes in the rows `entering_ends[i - 1]..entering_ends[i]` of `entering`, takes out those rows of
/// `leaving` alike, and is finished as of `as_of[i]`. FILTER has been applied.
#[derive(Debug, Clone, Copy)]
pub struct Steps<'a> {
    /// For each step its group.
    pub groups: &'a [u32],
    /// For each step the time of its value, milliseconds.
    pub as_of: &'a [i64],
    /// Rows that come into frames, step by step.
    pub entering: Stretch<'a>,
    /// Rows that leave frames, step by step.
    pub leaving: Stretch<'a>,
}

/// Rows of a run of steps.
#[derive(Debug, Clone, Copy)]
pub struct Stretch<'a> {
    /// For each step, one past its last row.
    pub ends: &'a [u32],
    /// Event times, milliseconds.
    pub times: &'a [i64],
    /// Ranks.
    pub ranks: &'a [Rank],
    /// The arguments' columns.
    pub arguments: &'a [ArrayRef],
}

impl Stretch<'_> {
    /// The rows of one step.
    pub fn step(&self, step: usize) -> std::ops::Range<usize> {
        let start = if step == 0 { 0 } else { self.ends[step - 1] };
        start as usize..self.ends[step] as usize
    }
}

/// A column of states. Groups are numbered from 0; a group that was never updated is the identity.
///
/// A call that fails leaves every state as it was. A value that cannot be computed (an overflow) is not a
/// failure of the call: the state remembers, and `finish` reports it for that group.
pub trait States: Send + Sync + Any {
    /// The number of groups.
    fn len(&self) -> usize;
    /// Whether there is no group.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// Adds or drops groups at the end; new ones are the identity.
    fn resize(&mut self, groups: usize);
    /// Makes groups the identity again.
    fn reset(&mut self, groups: &[u32]);
    /// Feeds rows.
    fn update(&mut self, input: &Input<'_>) -> Result<(), AggregateError>;
    /// Takes rows out that had been fed. Only if the card has an inverse.
    fn retract(&mut self, input: &Input<'_>) -> Result<(), AggregateError>;
    /// Folds group `from[i]` of `later` into group `into[i]`; `later` holds the later stretch of time. A group
    /// may occur many times in `into`: its parts are folded in that order. `later` must be of the same aggregate.
    fn merge(&mut self, into: &[u32], later: &dyn States, from: &[u32]) -> Result<(), AggregateError>;
    /// Takes group `leaving_groups[i]` of `leaving` out of group `from[i]`. Only if the card has an inverse.
    fn unmerge(
        &mut self,
        from: &[u32],
        leaving: &dyn States,
        leaving_groups: &[u32],
    ) -> Result<(), AggregateError>;
    /// The value of each of `groups`, as of the time beside it (milliseconds).
    fn finish(&self, groups: &[u32], as_of: &[i64]) -> Result<Finished, AggregateError>;
    /// Moves frames on step by step and gives the value after each. Only if nothing leaves or the card has an
    /// inverse.
    fn slide(&mut self, steps: &Steps<'_>) -> Result<Finished, AggregateError> {
        let mut values: Vec<ArrayRef> = Vec::with_capacity(steps.groups.len());
        let mut errors = Vec::new();
        for (step, group) in steps.groups.iter().enumerate() {
            let rows_of =
                |stretch: &Stretch<'_>| stretch.step(step).map(|row| row as u32).collect::<Vec<u32>>();
            let (entering, leaving) = (rows_of(&steps.entering), rows_of(&steps.leaving));
            let input =
                |stretch: &Stretch<'_>,
                 groups: &[u32],
                 rows: &[u32],
                 feed: &mut dyn FnMut(&Input<'_>) -> Result<(), AggregateError>| {
                    let Stretch { times, ranks, arguments, .. } = *stretch;
                    if rows.is_empty() {
                        Ok(())
                    } else {
                        feed(&Input { groups, rows, times, ranks, arguments })
                    }
                };
            input(&steps.entering, &vec![*group; entering.len()], &entering, &mut |input| {
                self.update(input)
            })?;
            input(&steps.leaving, &vec![*group; leaving.len()], &leaving, &mut |input| self.retract(input))?;
            let finished = self.finish(&[*group], &steps.as_of[step..=step])?;
            errors.extend(finished.errors.into_iter().map(|(_, reason)| (step as u32, reason)));
            values.push(finished.values);
        }
        let parts: Vec<&dyn Array> = values.iter().map(AsRef::as_ref).collect();
        if parts.is_empty() {
            return self.finish(&[], &[]);
        }
        let values = arrow_select::concat::concat(&parts)
            .map_err(|error| AggregateError::Broken(error.to_string()))?;
        Ok(Finished { values, errors })
    }
    /// A copy of some groups, numbered anew from 0: what a lookup takes away from under a lock.
    fn copy(&self, groups: &[u32]) -> Box<dyn States>;
    /// Adds groups behind its own as they are, so that one `finish` is enough for all; `others` must be of the same
    /// aggregate, and is left without any.
    fn append(&mut self, others: &mut dyn States) -> Result<(), AggregateError>;
    /// Appends a group's state as bytes that `decode` of any later version of weir reads.
    fn encode(&self, group: u32, out: &mut Vec<u8>);
    /// Replaces a group's state by an encoded one; an error if the bytes are damaged.
    fn decode(&mut self, group: u32, bytes: &[u8]) -> Result<(), AggregateError>;
    /// Memory held, in bytes, roughly.
    fn memory_bytes(&self) -> usize;
    /// For `merge` to see its own kind.
    fn as_any(&self) -> &dyn Any;
    /// For `append` to see its own kind.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

/// The values of some groups.
#[derive(Debug, Clone)]
pub struct Finished {
    /// One value per group asked for; null where there is an error.
    pub values: ArrayRef,
    /// Groups whose value is an error: (index into the groups asked for, reason).
    pub errors: Vec<(u32, String)>,
}

/// A call to an aggregate that failed as a whole; states are as they were.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AggregateError {
    /// Some rows make the call fail (a plugin that traps): whoever called bisects to find them.
    #[error("aggregate failed on its input: {0}")]
    Rows(String),
    /// The aggregate cannot go on whatever the rows (a plugin behind its circuit breaker): the job stops.
    #[error("aggregate cannot go on: {0}")]
    Broken(String),
    /// Stored state does not decode.
    #[error("stored aggregate state is damaged: {0}")]
    Damaged(String),
}

impl AggregateError {
    /// Of what makes no states of those of other versions.
    pub(crate) fn takes_nothing_over() -> AggregateError {
        AggregateError::Broken("it takes over no states of other versions".to_owned())
    }

    pub(crate) fn other_kind() -> AggregateError {
        AggregateError::Broken("states of different aggregates were put together".to_owned())
    }
}

/// A constant parameter of an aggregate, such as the n of `TOP(n, x)`.
#[derive(Debug, Clone, PartialEq)]
pub enum Parameter {
    /// A whole number.
    Int(i64),
    /// Any other number.
    Double(f64),
    /// A text.
    Text(String),
    /// A truth value.
    Bool(bool),
}
