//! `COUNT(DISTINCT x)`, exact: each value with the number of rows that hold it, so that rows can leave again.
//!
//! Doubles are told apart as values: there is one NaN and one zero.

use super::fold::{Fold, Place};
use super::value::{Double, Value};
use crate::bytes::{self, Reader};
use arrow_array::{ArrayRef, Int64Array};
use foldhash::fast::RandomState;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::Arc;

/// Values up to which a list is searched instead of a hash table: most keys have few in a tile.
const FEW_VALUES: usize = 8;

/// Exact distinct count.
#[derive(Debug, Clone)]
pub(crate) struct Distinct<V>(pub(crate) PhantomData<V>);

/// A multiset of values.
#[derive(Debug, Clone)]
pub(crate) enum Rows<V> {
    /// In no order, each value once.
    Few(Vec<(V, u64)>),
    /// More than a list is good for.
    Many(HashMap<V, u64, RandomState>),
}

impl<V> Default for Rows<V> {
    fn default() -> Self {
        Rows::Few(Vec::new())
    }
}

impl<V: Value> Rows<V> {
    fn add(&mut self, value: V, rows: u64) {
        match self {
            Rows::Few(list) => {
                if let Some((_, count)) = list.iter_mut().find(|(kept, _)| *kept == value) {
                    *count += rows;
                } else if list.len() < FEW_VALUES {
                    list.push((value, rows));
                } else {
                    let mut table: HashMap<V, u64, RandomState> = std::mem::take(list).into_iter().collect();
                    table.insert(value, rows);
                    *self = Rows::Many(table);
                }
            }
            Rows::Many(table) => *table.entry(value).or_default() += rows,
        }
    }

    fn take(&mut self, value: &V, rows: u64) {
        match self {
            Rows::Few(list) => {
                if let Some(at) = list.iter().position(|(kept, _)| kept == value) {
                    list[at].1 = list[at].1.saturating_sub(rows);
                    if list[at].1 == 0 {
                        list.swap_remove(at);
                    }
                }
            }
            Rows::Many(table) => {
                if let Some(count) = table.get_mut(value) {
                    *count = count.saturating_sub(rows);
                    if *count == 0 {
                        table.remove(value);
                    }
                }
                if table.is_empty() {
                    *self = Rows::default();
                }
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Rows::Few(list) => list.len(),
            Rows::Many(table) => table.len(),
        }
    }

    fn for_each(&self, mut visit: impl FnMut(&V, u64)) {
        match self {
            Rows::Few(list) => list.iter().for_each(|(value, rows)| visit(value, *rows)),
            Rows::Many(table) => table.iter().for_each(|(value, rows)| visit(value, *rows)),
        }
    }
}

/// A value as it is told apart from others.
pub(crate) trait Identity: Value {
    /// The same for all spellings of one value.
    fn identity(borrowed: Self::Borrowed<'_>) -> Self {
        Self::own(borrowed)
    }
}

impl Identity for i64 {}
impl Identity for bool {}
impl Identity for super::value::Bytes {}
impl Identity for Double {
    fn identity(borrowed: Double) -> Self {
        if borrowed.value() == 0.0 { Double::new(0.0) } else { borrowed }
    }
}

impl<V: Identity> Fold for Distinct<V> {
    type State = Rows<V>;
    type Column<'a> = V::Column<'a>;
    type Builder = Vec<i64>;
    const INVERSE: bool = true;

    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<V::Column<'a>> {
        arguments.first().and_then(V::column)
    }

    fn insert(&self, state: &mut Rows<V>, column: &V::Column<'_>, row: usize, _place: Place) {
        if let Some(value) = V::get(column, row) {
            state.add(V::identity(value), 1);
        }
    }

    fn remove(&self, state: &mut Rows<V>, column: &V::Column<'_>, row: usize) {
        if let Some(value) = V::get(column, row) {
            state.take(&V::identity(value), 1);
        }
    }

    fn merge(&self, into: &mut Rows<V>, other: &Rows<V>) {
        other.for_each(|value, rows| into.add(value.clone(), rows));
    }

    fn unmerge(&self, from: &mut Rows<V>, leaving: &Rows<V>) {
        leaving.for_each(|value, rows| from.take(value, rows));
    }

    fn builder(&self, capacity: usize) -> Vec<i64> {
        Vec::with_capacity(capacity)
    }

    fn push(&self, state: &Rows<V>, builder: &mut Vec<i64>) -> Result<(), String> {
        builder.push(state.len() as i64);
        Ok(())
    }

    fn build(&self, builder: Vec<i64>) -> ArrayRef {
        Arc::new(Int64Array::from(builder))
    }

    /// In order of value, so that the same state always has the same bytes.
    fn encode(&self, state: &Rows<V>, out: &mut Vec<u8>) {
        let mut rows: Vec<(V, u64)> = Vec::with_capacity(state.len());
        state.for_each(|value, count| rows.push((value.clone(), count)));
        rows.sort_unstable();
        bytes::put_unsigned(rows.len() as u64, out);
        for (value, count) in rows {
            value.encode(out);
            bytes::put_unsigned(count, out);
        }
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Option<Rows<V>> {
        let mut state = Rows::default();
        let mut last: Option<V> = None;
        for _ in 0..reader.count(2)? {
            let value = V::decode(reader)?;
            let count = reader.unsigned().filter(|count| *count > 0)?;
            if last.is_some_and(|last| last >= value) {
                return None;
            }
            last = Some(value.clone());
            state.add(value, count);
        }
        Some(state)
    }

    fn heap_bytes(&self, state: &Rows<V>) -> usize {
        let entry = size_of::<(V, u64)>();
        let mut bytes = match state {
            Rows::Few(list) => list.capacity() * entry,
            Rows::Many(table) => table.capacity() * (entry + 1) + size_of::<HashMap<V, u64, RandomState>>(),
        };
        state.for_each(|value, _| bytes += value.heap_bytes());
        bytes
    }
}
