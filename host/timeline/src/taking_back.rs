//! An aggregate over the rows that a table has: some of the rows that come take an earlier one back.
//!
//! It is an aggregate around an aggregate, with one more argument: whether the row is one that takes back what it holds.
//! Such a row has the event time of the one that it takes back, so both are in the same frames. Only aggregates whose
//! states may owe rows are taken: then what is left does not depend on the order in which both came, nor on what came
//! between. Knows no window.

use crate::aggregate::{Aggregate, AggregateError, Card, Finished, Input, States};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use std::any::Any;
use std::sync::Arc;

/// `inner` over rows that are left when those are gone that were taken back; behind its own arguments comes a boolean,
/// true for a row that takes back. `None` if `inner` cannot do without rows that it never had.
pub fn taking_back(inner: Arc<dyn Aggregate>) -> Option<Arc<dyn Aggregate>> {
    if !inner.owes() || inner.fallible() {
        return None;
    }
    let card = Card { identity: format!("taking back({})#1", inner.card().identity), ..inner.card().clone() };
    Some(Arc::new(TakingBack { inner, card }))
}

#[derive(Debug)]
struct TakingBack {
    inner: Arc<dyn Aggregate>,
    card: Card,
}

impl Aggregate for TakingBack {
    fn card(&self) -> &Card {
        &self.card
    }

    fn states(&self) -> Box<dyn States> {
        Box::new(TakingBackStates { inner: self.inner.states() })
    }

    fn fallible(&self) -> bool {
        false
    }
}

struct TakingBackStates {
    inner: Box<dyn States>,
}

/// The rows of an input that come, and those that take others back: groups and rows of each.
#[derive(Default)]
struct Parted {
    coming: (Vec<u32>, Vec<u32>),
    going: (Vec<u32>, Vec<u32>),
}

impl TakingBackStates {
    fn same_kind(other: &dyn States) -> Result<&dyn States, AggregateError> {
        let other = other.as_any().downcast_ref::<TakingBackStates>();
        let other = other.map(|other| &*other.inner);
        other.ok_or_else(AggregateError::other_kind)
    }

    /// Feeds rows, each in or out as it says; `takes_out` turns that round.
    fn feed(&mut self, input: &Input<'_>, takes_out: bool) -> Result<(), AggregateError> {
        let mistyped = || AggregateError::Broken("it does not say which rows take others back".to_owned());
        let (flags, arguments) = input.arguments.split_last().ok_or_else(mistyped)?;
        if *flags.data_type() != DataType::Boolean {
            return Err(mistyped());
        }
        let Parted { coming, going } = parted(input, flags);
        let of = |(groups, rows): &(Vec<u32>, Vec<u32>), states: &mut dyn States, out: bool| {
            let input = Input { groups, rows, arguments, ..*input };
            if out { states.retract(&input) } else { states.update(&input) }
        };
        of(&coming, &mut *self.inner, takes_out)?;
        of(&going, &mut *self.inner, !takes_out)
    }
}

fn parted(input: &Input<'_>, flags: &ArrayRef) -> Parted {
    let (flags, mut parted) = (flags.as_boolean(), Parted::default());
    for (group, row) in input.groups.iter().zip(input.rows) {
        let at = *row as usize;
        let goes = flags.is_valid(at) && flags.value(at);
        let (groups, rows) = if goes { &mut parted.going } else { &mut parted.coming };
        groups.push(*group);
        rows.push(*row);
    }
    parted
}

impl States for TakingBackStates {
    fn len(&self) -> usize {
        self.inner.len()
    }

    fn resize(&mut self, groups: usize) {
        self.inner.resize(groups);
    }

    fn reset(&mut self, groups: &[u32]) {
        self.inner.reset(groups);
    }

    fn update(&mut self, input: &Input<'_>) -> Result<(), AggregateError> {
        self.feed(input, false)
    }

    fn retract(&mut self, input: &Input<'_>) -> Result<(), AggregateError> {
        self.feed(input, true)
    }

    fn merge(&mut self, into: &[u32], later: &dyn States, from: &[u32]) -> Result<(), AggregateError> {
        self.inner.merge(into, Self::same_kind(later)?, from)
    }

    fn unmerge(
        &mut self,
        from: &[u32],
        leaving: &dyn States,
        leaving_groups: &[u32],
    ) -> Result<(), AggregateError> {
        self.inner.unmerge(from, Self::same_kind(leaving)?, leaving_groups)
    }

    fn finish(&self, groups: &[u32], as_of: &[i64]) -> Result<Finished, AggregateError> {
        self.inner.finish(groups, as_of)
    }

    fn copy(&self, groups: &[u32]) -> Box<dyn States> {
        Box::new(TakingBackStates { inner: self.inner.copy(groups) })
    }

    fn append(&mut self, others: &mut dyn States) -> Result<(), AggregateError> {
        let others = others.as_any_mut().downcast_mut::<TakingBackStates>();
        self.inner.append(&mut *others.ok_or_else(AggregateError::other_kind)?.inner)
    }

    fn encode(&self, group: u32, out: &mut Vec<u8>) {
        self.inner.encode(group, out);
    }

    fn decode(&mut self, group: u32, bytes: &[u8]) -> Result<(), AggregateError> {
        self.inner.decode(group, bytes)
    }

    fn memory_bytes(&self) -> usize {
        self.inner.memory_bytes()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
