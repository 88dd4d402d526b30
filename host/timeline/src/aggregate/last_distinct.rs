//! `LAST_DISTINCT_N(n, x [, 'asc' | 'desc'])`: the n values that were seen last, each once, by their last row.
//!
//! A value that n others were seen after can come back only with a later row, so that it may be forgotten: rows and
//! states may come in any order.

use super::call::{Call, Descriptor, Duplicates, aggregate, by_shape};
use super::catalog::{BuiltinDoc, BuiltinError};
use super::edge::{put_place, take_place};
use super::fold::{Fold, Place};
use super::top::{Lists, limit_and_order, list_array, list_type, spelled};
use super::value::Value;
use super::{Aggregate, Algebra, Card};
use crate::bytes::{self, Reader};
use arrow_array::ArrayRef;
use arrow_schema::DataType;
use std::marker::PhantomData;
use std::sync::Arc;

pub(super) const BUILTINS: &[Descriptor] = &[Descriptor {
    doc: BuiltinDoc {
        name: "LAST_DISTINCT_N",
        aliases: &[],
        signature: "LAST_DISTINCT_N(n, x [, 'asc' | 'desc'])",
        does: "the n distinct values that were seen last, by their last row, the oldest first, or the newest with 'desc'",
        algebra: Algebra::Exact,
        inverse: false,
        bounded: true,
        nulls: "skipped; an empty list of no values",
    },
    takes: "a number of values, one column of numbers, booleans, times, dates, text or bytes, or a row of several, and 'asc' or 'desc'",
    distinct: Duplicates::Counted,
    bind,
}];

/// Values are looked for one by one: with more of them each row would cost too much.
const LIMIT_VALUES: i64 = 10_000;

fn bind(call: &Call<'_>) -> Result<Arc<dyn Aggregate>, BuiltinError> {
    fn of<V: Value>(item: DataType, limit: usize, newest_first: bool, card: Card) -> Arc<dyn Aggregate> {
        aggregate(LastDistinct { limit, newest_first, item, value: PhantomData::<V> }, card)
    }
    let (limit, newest_first) = limit_and_order(call, LIMIT_VALUES)?;
    let (item, shape) = call.shaped(call.arguments)?;
    let card = call.card(list_type(&item), &spelled(limit, newest_first));
    Ok(by_shape!(shape, of(item, limit, newest_first, card)))
}

/// The last distinct values.
#[derive(Debug, Clone)]
pub(crate) struct LastDistinct<V> {
    limit: usize,
    newest_first: bool,
    item: DataType,
    value: PhantomData<V>,
}

impl<V: Value> LastDistinct<V> {
    fn see(&self, state: &mut Vec<(Place, V)>, place: Place, value: V) {
        match state.iter().rposition(|(_, kept)| *kept == value) {
            Some(at) if state[at].0 >= place => return,
            Some(at) => {
                state.remove(at);
            }
            None => {}
        }
        let at = state.partition_point(|(kept, _)| *kept < place);
        state.insert(at, (place, value));
        if state.len() > self.limit {
            state.remove(0);
        }
    }
}

impl<V: Value> Fold for LastDistinct<V> {
    /// In order of place, the oldest first.
    type State = Vec<(Place, V)>;
    type Column<'a> = V::Column<'a>;
    type Builder = Lists<V::Builder>;

    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<V::Column<'a>> {
        V::columns(arguments)
    }

    fn insert(&self, state: &mut Self::State, column: &V::Column<'_>, row: usize, place: Place) {
        let is_too_old =
            state.len() >= self.limit && state.first().is_some_and(|(oldest, _)| place < *oldest);
        if let Some(value) = V::get(column, row).filter(|_| !is_too_old) {
            self.see(state, place, V::identity(value));
        }
    }

    fn merge(&self, into: &mut Self::State, other: &Self::State) {
        for (place, value) in other {
            self.see(into, *place, value.clone());
        }
    }

    fn builder(&self, capacity: usize) -> Self::Builder {
        Lists::new(V::builder(&self.item, capacity), capacity)
    }

    fn push(&self, state: &Self::State, _as_of: i64, builder: &mut Self::Builder) -> Result<(), String> {
        let room = builder.check_room(state.len());
        let shown = if room.is_ok() { state.as_slice() } else { &[] };
        if self.newest_first {
            shown.iter().rev().for_each(|(_, value)| V::append(&mut builder.items, Some(value)));
        } else {
            shown.iter().for_each(|(_, value)| V::append(&mut builder.items, Some(value)));
        }
        builder.end(shown.len());
        room
    }

    fn build(&self, builder: Self::Builder) -> ArrayRef {
        let (items, ends) = builder.into_parts();
        list_array(V::build(items), ends, None)
    }

    fn encode(&self, state: &Self::State, out: &mut Vec<u8>) {
        bytes::put_unsigned(state.len() as u64, out);
        for (place, value) in state {
            put_place(*place, out);
            value.encode(out);
        }
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Option<Self::State> {
        let count = reader.count(5).filter(|count| *count <= self.limit)?;
        let mut state: Self::State = Vec::with_capacity(count);
        for _ in 0..count {
            let place = take_place(reader)?;
            if state.last().is_some_and(|(newest, _)| *newest >= place) {
                return None;
            }
            state.push((place, V::decode(reader)?));
        }
        Some(state)
    }

    fn heap_bytes(&self, state: &Self::State) -> usize {
        let values: usize = state.iter().map(|(_, value)| value.heap_bytes()).sum();
        state.capacity() * size_of::<(Place, V)>() + values
    }
}
