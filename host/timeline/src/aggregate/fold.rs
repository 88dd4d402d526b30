//! From a row-wise fold to a column of states: what the built-in aggregates share.
//!
//! A built-in says how one state takes one row; [`FoldStates`] makes the columnar calls of it, with one dynamic
//! call per batch and typed loops inside. Knows nothing of plugins.

use super::{Aggregate, AggregateError, Card, Finished, Input, Selection, States, Steps};
use crate::bytes::Reader;
use arrow_array::ArrayRef;
use std::any::Any;
use std::fmt::Debug;
use weir_event::Rank;

/// Where a row stands in the total order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) time: i64,
    pub(crate) rank: Rank,
}

/// A built-in aggregate, one state and one row at a time. A default state is the identity.
pub(crate) trait Fold: Debug + Clone + Send + Sync + 'static {
    /// What is kept of the rows.
    type State: Clone + Default + Send + Sync + 'static;
    /// The arguments of a batch, their types resolved.
    type Column<'a>;
    /// Where values are collected.
    type Builder;
    /// Whether `remove` and `unmerge` work.
    const INVERSE: bool = false;
    /// Whether a state may owe rows: what is taken out before it came, or without ever coming, is missing until it comes.
    /// Then no order in which rows come in and go out can make a difference.
    const OWES: bool = false;

    /// Resolves the arguments' types, once per call.
    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<Self::Column<'a>>;
    /// Takes a row in.
    fn insert(&self, state: &mut Self::State, column: &Self::Column<'_>, row: usize, place: Place);
    /// Takes a row out.
    fn remove(&self, _state: &mut Self::State, _column: &Self::Column<'_>, _row: usize, _place: Place) {}
    /// Folds the state of other rows in.
    fn merge(&self, into: &mut Self::State, other: &Self::State);
    /// Takes the state of some of its rows out.
    fn unmerge(&self, _from: &mut Self::State, _leaving: &Self::State) {}

    /// An empty column of values.
    fn builder(&self, capacity: usize) -> Self::Builder;
    /// Appends a state's value as of a time in milliseconds; on an error, a null and the reason.
    fn push(&self, state: &Self::State, as_of: i64, builder: &mut Self::Builder) -> Result<(), String>;
    /// The column of values.
    fn build(&self, builder: Self::Builder) -> ArrayRef;

    /// Appends a state as bytes.
    fn encode(&self, state: &Self::State, out: &mut Vec<u8>);
    /// Reads a state back; `None` if the bytes are damaged.
    fn decode(&self, reader: &mut Reader<'_>) -> Option<Self::State>;
    /// Bytes that a state holds beside itself.
    fn heap_bytes(&self, _state: &Self::State) -> usize {
        0
    }
}

/// A built-in aggregate with its card.
#[derive(Debug, Clone)]
pub(crate) struct Builtin<F> {
    pub(crate) fold: F,
    pub(crate) card: Card,
    pub(crate) selection: Option<Selection>,
}

impl<F: Fold> Aggregate for Builtin<F> {
    fn card(&self) -> &Card {
        &self.card
    }

    fn states(&self) -> Box<dyn States> {
        Box::new(FoldStates { fold: self.fold.clone(), states: Vec::new() })
    }

    fn fallible(&self) -> bool {
        false
    }

    fn owes(&self) -> bool {
        F::OWES
    }

    fn selection(&self) -> Option<Selection> {
        self.selection
    }
}

/// The states of a [`Fold`], one per group.
#[derive(Debug)]
pub(crate) struct FoldStates<F: Fold> {
    fold: F,
    states: Vec<F::State>,
}

fn mistyped() -> AggregateError {
    AggregateError::Broken("an argument is not of the type that the aggregate was bound to".to_owned())
}

fn no_inverse() -> AggregateError {
    AggregateError::Broken("the aggregate has no inverse".to_owned())
}

impl<F: Fold> FoldStates<F> {
    fn same_kind(other: &dyn States) -> Result<&Self, AggregateError> {
        other.as_any().downcast_ref().ok_or_else(AggregateError::other_kind)
    }
}

impl<F: Fold> States for FoldStates<F> {
    fn len(&self) -> usize {
        self.states.len()
    }

    fn resize(&mut self, groups: usize) {
        self.states.resize_with(groups, F::State::default);
    }

    fn reset(&mut self, groups: &[u32]) {
        for group in groups {
            self.states[*group as usize] = F::State::default();
        }
    }

    fn update(&mut self, input: &Input<'_>) -> Result<(), AggregateError> {
        let column = self.fold.column(input.arguments).ok_or_else(mistyped)?;
        for (group, row) in input.groups.iter().zip(input.rows) {
            let row = *row as usize;
            let place = Place { time: input.times[row], rank: input.ranks[row] };
            self.fold.insert(&mut self.states[*group as usize], &column, row, place);
        }
        Ok(())
    }

    fn retract(&mut self, input: &Input<'_>) -> Result<(), AggregateError> {
        if !F::INVERSE {
            return Err(no_inverse());
        }
        let column = self.fold.column(input.arguments).ok_or_else(mistyped)?;
        for (group, row) in input.groups.iter().zip(input.rows) {
            let row = *row as usize;
            let place = Place { time: input.times[row], rank: input.ranks[row] };
            self.fold.remove(&mut self.states[*group as usize], &column, row, place);
        }
        Ok(())
    }

    fn merge(&mut self, into: &[u32], later: &dyn States, from: &[u32]) -> Result<(), AggregateError> {
        let later = Self::same_kind(later)?;
        for (into, from) in into.iter().zip(from) {
            self.fold.merge(&mut self.states[*into as usize], &later.states[*from as usize]);
        }
        Ok(())
    }

    fn unmerge(
        &mut self,
        from: &[u32],
        leaving: &dyn States,
        leaving_groups: &[u32],
    ) -> Result<(), AggregateError> {
        if !F::INVERSE {
            return Err(no_inverse());
        }
        let leaving = Self::same_kind(leaving)?;
        for (from, group) in from.iter().zip(leaving_groups) {
            self.fold.unmerge(&mut self.states[*from as usize], &leaving.states[*group as usize]);
        }
        Ok(())
    }

    fn finish(&self, groups: &[u32], as_of: &[i64]) -> Result<Finished, AggregateError> {
        let mut builder = self.fold.builder(groups.len());
        let mut errors = Vec::new();
        for (at, (group, as_of)) in groups.iter().zip(as_of).enumerate() {
            if let Err(reason) = self.fold.push(&self.states[*group as usize], *as_of, &mut builder) {
                errors.push((at as u32, reason));
            }
        }
        Ok(Finished { values: self.fold.build(builder), errors })
    }

    fn slide(&mut self, steps: &Steps<'_>) -> Result<Finished, AggregateError> {
        if !F::INVERSE && steps.leaving.ends.last().is_some_and(|rows| *rows > 0) {
            return Err(no_inverse());
        }
        let entering = self.fold.column(steps.entering.arguments).ok_or_else(mistyped)?;
        let leaving = self.fold.column(steps.leaving.arguments).ok_or_else(mistyped)?;
        let mut builder = self.fold.builder(steps.groups.len());
        let mut errors = Vec::new();
        for (step, group) in steps.groups.iter().enumerate() {
            let state = &mut self.states[*group as usize];
            for row in steps.entering.step(step) {
                let place = Place { time: steps.entering.times[row], rank: steps.entering.ranks[row] };
                self.fold.insert(state, &entering, row, place);
            }
            for row in steps.leaving.step(step) {
                let place = Place { time: steps.leaving.times[row], rank: steps.leaving.ranks[row] };
                self.fold.remove(state, &leaving, row, place);
            }
            if let Err(reason) = self.fold.push(state, steps.as_of[step], &mut builder) {
                errors.push((step as u32, reason));
            }
        }
        Ok(Finished { values: self.fold.build(builder), errors })
    }

    fn copy(&self, groups: &[u32]) -> Box<dyn States> {
        let states = groups.iter().map(|group| self.states[*group as usize].clone()).collect();
        Box::new(FoldStates { fold: self.fold.clone(), states })
    }

    fn append(&mut self, others: &mut dyn States) -> Result<(), AggregateError> {
        let others: Option<&mut Self> = others.as_any_mut().downcast_mut();
        self.states.append(&mut others.ok_or_else(AggregateError::other_kind)?.states);
        Ok(())
    }

    fn encode(&self, group: u32, out: &mut Vec<u8>) {
        self.fold.encode(&self.states[group as usize], out);
    }

    fn decode(&mut self, group: u32, bytes: &[u8]) -> Result<(), AggregateError> {
        let mut reader = Reader::new(bytes);
        let state = self.fold.decode(&mut reader).filter(|_| reader.is_empty());
        self.states[group as usize] =
            state.ok_or_else(|| AggregateError::Damaged(format!("{:?}", self.fold)))?;
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        let heap: usize = self.states.iter().map(|state| self.fold.heap_bytes(state)).sum();
        self.states.capacity() * size_of::<F::State>() + heap
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
