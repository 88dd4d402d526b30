//! `COUNT(DISTINCT x)`, exact, and the multiset behind it: each value with the number of rows that hold it, so that
//! rows can leave again.
//!
//! Doubles are told apart as values: there is one NaN and one zero.

use super::call::{Call, Descriptor, Duplicates, aggregate, by_shape};
use super::catalog::{BuiltinDoc, BuiltinError};
use super::fold::{Fold, Place};
use super::value::Value;
use super::{Aggregate, Algebra, Card};
use crate::bytes::{self, Reader};
use arrow_array::{ArrayRef, Int64Array};
use arrow_schema::DataType;
use foldhash::fast::RandomState;
use smallvec::{SmallVec, smallvec};
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;

pub(super) const BUILTINS: &[Descriptor] = &[Descriptor {
    doc: BuiltinDoc {
        name: "COUNT",
        aliases: &[],
        signature: "COUNT(DISTINCT x)",
        does: "the number of distinct values, exact; an error above 100000 values of one key: see APPROX_COUNT_DISTINCT",
        algebra: Algebra::Exact,
        inverse: true,
        bounded: false,
        nulls: "not counted; 0 of no values",
    },
    takes: "DISTINCT and one column of numbers, booleans, times, dates, text or bytes, or a row of several",
    distinct: Duplicates::Distinct,
    bind,
}];

/// Distinct values of one key that exact aggregates hold: at about 50 bytes each, 5 MB for a key is as much as a
/// process with thousands of them can afford.
pub(crate) const DISTINCT_LIMIT_VALUES: usize = 100_000;

fn bind(call: &Call<'_>) -> Result<Arc<dyn Aggregate>, BuiltinError> {
    fn of<V: Value>(card: Card) -> Arc<dyn Aggregate> {
        aggregate(Distinct::<V>(PhantomData), card)
    }
    call.no_parameters()?;
    let (_, shape) = call.shaped(call.arguments)?;
    let mut card = call.card(DataType::Int64, &[]);
    card.identity = card.identity.replacen('(', "(distinct ", 1);
    Ok(by_shape!(shape, of(card)))
}

/// Values up to which a list is searched instead of a hash table: most keys have few in a tile.
const FEW_VALUES: usize = 8;

/// Exact distinct count.
#[derive(Debug, Clone)]
pub(crate) struct Distinct<V>(pub(crate) PhantomData<V>);

/// A multiset of values.
#[derive(Debug, Clone)]
pub(crate) enum RowsByValue<V> {
    /// In no order, each value once.
    Few(SmallVec<[(V, u64); 1]>),
    /// More than a list is good for.
    Many(HashMap<V, u64, RandomState>),
}

impl<V> Default for RowsByValue<V> {
    fn default() -> Self {
        RowsByValue::Few(smallvec![])
    }
}

impl<V: Value> RowsByValue<V> {
    pub(crate) fn add(&mut self, value: V, rows: u64) {
        match self {
            RowsByValue::Few(list) => {
                if let Some((_, count)) = list.iter_mut().find(|(kept, _)| *kept == value) {
                    *count = count.saturating_add(rows);
                } else if list.len() < FEW_VALUES {
                    list.push((value, rows));
                } else {
                    let mut table: HashMap<V, u64, RandomState> = std::mem::take(list).into_iter().collect();
                    table.insert(value, rows);
                    *self = RowsByValue::Many(table);
                }
            }
            RowsByValue::Many(table) => {
                let count = table.entry(value).or_default();
                *count = count.saturating_add(rows);
            }
        }
    }

    pub(crate) fn take(&mut self, value: &V, rows: u64) {
        match self {
            RowsByValue::Few(list) => {
                if let Some(at) = list.iter().position(|(kept, _)| kept == value) {
                    list[at].1 = list[at].1.saturating_sub(rows);
                    if list[at].1 == 0 {
                        list.swap_remove(at);
                    }
                }
            }
            RowsByValue::Many(table) => {
                if let Some(count) = table.get_mut(value) {
                    *count = count.saturating_sub(rows);
                    if *count == 0 {
                        table.remove(value);
                    }
                }
                if table.is_empty() {
                    *self = RowsByValue::default();
                }
            }
        }
    }

    pub(crate) fn len(&self) -> usize {
        match self {
            RowsByValue::Few(list) => list.len(),
            RowsByValue::Many(table) => table.len(),
        }
    }

    /// Shows each value with its rows, in no order.
    pub(crate) fn for_each(&self, mut visit: impl FnMut(&V, u64)) {
        match self {
            RowsByValue::Few(list) => list.iter().for_each(|(value, rows)| visit(value, *rows)),
            RowsByValue::Many(table) => table.iter().for_each(|(value, rows)| visit(value, *rows)),
        }
    }

    /// Each value with its rows, in order of value.
    pub(crate) fn sorted(&self) -> Vec<(V, u64)> {
        let mut rows: Vec<(V, u64)> = Vec::with_capacity(self.len());
        self.for_each(|value, count| rows.push((value.clone(), count)));
        rows.sort_unstable();
        rows
    }

    /// Takes rows off every value; those left without any go.
    pub(crate) fn take_from_all(&mut self, rows: u64) {
        match self {
            RowsByValue::Few(list) => list.retain_mut(|(_, count)| {
                *count = count.saturating_sub(rows);
                *count > 0
            }),
            RowsByValue::Many(table) => table.retain(|_, count| {
                *count = count.saturating_sub(rows);
                *count > 0
            }),
        }
    }

    /// An error where there are more values than one key may have.
    pub(crate) fn check_limit(&self, of: &str, instead: &str) -> Result<(), String> {
        if self.len() <= DISTINCT_LIMIT_VALUES {
            return Ok(());
        }
        Err(format!(
            "{of} of {} distinct values, more than {DISTINCT_LIMIT_VALUES}; use {instead}",
            self.len()
        ))
    }

    /// In order of value, so that the same state always has the same bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        bytes::put_unsigned(self.len() as u64, out);
        for (value, count) in self.sorted() {
            value.encode(out);
            bytes::put_unsigned(count, out);
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        let mut state = RowsByValue::default();
        let mut last: Option<V> = None;
        for _ in 0..reader.count(2)? {
            let value = V::decode(reader)?;
            // A count with its highest bit set is damage; without it sums of counts cannot overflow.
            let count = reader.unsigned().filter(|count| (1..1 << 62).contains(count))?;
            if last.is_some_and(|last| last >= value) {
                return None;
            }
            last = Some(value.clone());
            state.add(value, count);
        }
        Some(state)
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        let entry = size_of::<(V, u64)>();
        let mut bytes = match self {
            RowsByValue::Few(list) => {
                if list.spilled() {
                    list.capacity() * entry
                } else {
                    0
                }
            }
            RowsByValue::Many(table) => {
                table.capacity() * (entry + 1) + size_of::<HashMap<V, u64, RandomState>>()
            }
        };
        self.for_each(|value, _| bytes += value.heap_bytes());
        bytes
    }
}

impl<V: Value> Fold for Distinct<V> {
    type State = RowsByValue<V>;
    type Column<'a> = V::Column<'a>;
    type Builder = Vec<Option<i64>>;
    const INVERSE: bool = true;

    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<V::Column<'a>> {
        V::columns(arguments)
    }

    fn insert(&self, state: &mut RowsByValue<V>, column: &V::Column<'_>, row: usize, _place: Place) {
        if let Some(value) = V::get(column, row) {
            state.add(V::identity(value), 1);
        }
    }

    fn remove(&self, state: &mut RowsByValue<V>, column: &V::Column<'_>, row: usize, _place: Place) {
        if let Some(value) = V::get(column, row) {
            state.take(&V::identity(value), 1);
        }
    }

    fn merge(&self, into: &mut RowsByValue<V>, other: &RowsByValue<V>) {
        other.for_each(|value, rows| into.add(value.clone(), rows));
    }

    fn unmerge(&self, from: &mut RowsByValue<V>, leaving: &RowsByValue<V>) {
        leaving.for_each(|value, rows| from.take(value, rows));
    }

    fn builder(&self, capacity: usize) -> Vec<Option<i64>> {
        Vec::with_capacity(capacity)
    }

    fn push(
        &self,
        state: &RowsByValue<V>,
        _as_of: i64,
        builder: &mut Vec<Option<i64>>,
    ) -> Result<(), String> {
        let checked = state.check_limit("COUNT(DISTINCT x)", "APPROX_COUNT_DISTINCT(x)");
        builder.push(checked.is_ok().then_some(state.len() as i64));
        checked
    }

    fn build(&self, builder: Vec<Option<i64>>) -> ArrayRef {
        Arc::new(Int64Array::from(builder))
    }

    fn encode(&self, state: &RowsByValue<V>, out: &mut Vec<u8>) {
        state.encode(out);
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Option<RowsByValue<V>> {
        RowsByValue::decode(reader)
    }

    fn heap_bytes(&self, state: &RowsByValue<V>) -> usize {
        state.heap_bytes()
    }
}
