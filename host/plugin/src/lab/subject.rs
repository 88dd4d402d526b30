//! What the lab looks at: an aggregate by its four calls, with nothing of weir's between. Must not know the laws.

use super::value::{self, Value};
use crate::aggregate::{Bound, PluginAggregate};
use crate::failure::{Cause, Failure};
use crate::wire::DataType;
use arrow_array::ArrayRef;
use std::sync::Arc;

/// A row of one key, in the order of event time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) time: i64,
    pub(crate) values: Vec<Value>,
}

/// A call that gave nothing.
#[derive(Debug, Clone)]
pub(crate) struct Failed {
    pub(crate) reason: String,
}

/// An aggregate as `wit/aggregate.wit` has it.
pub(crate) trait Subject {
    /// The types of its arguments.
    fn arguments(&self) -> Vec<DataType>;
    /// Adds rows to states: row `i` belongs to `states[groups[i]]`.
    fn update(&self, states: &[Vec<u8>], groups: &[u32], rows: &[&Row]) -> Result<Vec<Vec<u8>>, Failed>;
    /// Folds states into one per group, from the earliest to the latest.
    fn merge(&self, states: &[Vec<u8>], groups: &[u32], count: usize) -> Result<Vec<Vec<u8>>, Failed>;
    /// The value of each state at its moment.
    fn finish(&self, states: &[Vec<u8>], as_of: &[i64]) -> Result<Vec<Value>, Failed>;
    /// Drops every instance: whatever one remembers is gone.
    fn forget(&self);
}

/// A component's aggregate.
pub(crate) struct PluginSubject<'a> {
    pub(crate) aggregate: &'a PluginAggregate,
    pub(crate) arguments: Vec<DataType>,
}

impl PluginSubject<'_> {
    fn bound(&self) -> &Arc<Bound> {
        self.aggregate.bound()
    }

    fn told<T>(&self, phase: &str, answer: Result<(T, u64), Failure>) -> Result<T, Failed> {
        answer
            .map(|(answer, _)| answer)
            .map_err(|failure| Failed { reason: self.bound().blame(phase, &failure) })
    }
}

fn lent(states: &[Vec<u8>]) -> Vec<&[u8]> {
    states.iter().map(Vec::as_slice).collect()
}

impl Subject for PluginSubject<'_> {
    fn arguments(&self) -> Vec<DataType> {
        self.arguments.clone()
    }

    /// Rows that are too many for one call's fuel come in two, as the host gives them.
    fn update(&self, states: &[Vec<u8>], groups: &[u32], rows: &[&Row]) -> Result<Vec<Vec<u8>>, Failed> {
        match self.update_at_once(states, groups, rows)? {
            Ok(updated) => Ok(updated),
            Err(_) if rows.len() > 1 => {
                let half = rows.len() / 2;
                let states = self.update(states, &groups[..half], &rows[..half])?;
                self.update(&states, &groups[half..], &rows[half..])
            }
            Err(out_of_fuel) => Err(out_of_fuel),
        }
    }

    fn merge(&self, states: &[Vec<u8>], groups: &[u32], count: usize) -> Result<Vec<Vec<u8>>, Failed> {
        let (bound, states) = (self.bound(), lent(states));
        self.told("merge", bound.account.pool.run(|guest| bound.merge(guest, &states, groups, count)))
    }

    fn finish(&self, states: &[Vec<u8>], as_of: &[i64]) -> Result<Vec<Value>, Failed> {
        let (bound, states) = (self.bound(), lent(states));
        let values =
            self.told("finish", bound.account.pool.run(|guest| bound.finish(guest, &states, as_of)))?;
        Ok(value::values(&values))
    }

    fn forget(&self) {
        self.bound().account.barrier();
    }
}

impl PluginSubject<'_> {
    /// The states with the rows added; within that, the failure of a call that used up its fuel.
    fn update_at_once(
        &self,
        states: &[Vec<u8>],
        groups: &[u32],
        rows: &[&Row],
    ) -> Result<Result<Vec<Vec<u8>>, Failed>, Failed> {
        let columns: Result<Vec<ArrayRef>, Failure> = (0..)
            .zip(&self.arguments)
            .map(|(at, data_type): (usize, _)| {
                let values: Vec<&Value> = rows.iter().map(|row| &row.values[at]).collect();
                value::column(&values, *data_type)
            })
            .collect();
        let columns = columns.map_err(|failure| Failed { reason: failure.reason })?;
        let times: Vec<i64> = rows.iter().map(|row| row.time).collect();
        let bound = self.bound();
        let states = lent(states);
        let answer = bound.account.pool.run(|guest| bound.update(guest, &states, groups, &times, &columns));
        let is_too_much = matches!(&answer, Err(failure) if failure.cause == Cause::Fuel);
        match self.told("update", answer) {
            Err(failed) if !is_too_much => Err(failed),
            answer => Ok(answer),
        }
    }
}
