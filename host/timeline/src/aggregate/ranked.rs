//! `MAX_N`, `MIN_N` and `COLLECT_DISTINCT`: the n greatest or least values, the least distinct ones.

use super::call::{Call, Descriptor, Duplicates, LIST_LIMIT_VALUES, aggregate, by_shape};
use super::catalog::{BuiltinDoc, BuiltinError};
use super::fold::{Fold, Place};
use super::top::{Lists, list_array, list_type};
use super::value::Value;
use super::{Aggregate, Algebra, Card};
use crate::bytes::{self, Reader};
use arrow_array::ArrayRef;
use arrow_schema::DataType;
use std::cmp::Ordering;
use std::marker::PhantomData;
use std::sync::Arc;

const NULLS: &str = "skipped; an empty list of no values";
const TAKES: &str = "a number of values and one column of numbers, booleans, times, dates, text or bytes, or a row of several";

const fn descriptor(
    name: &'static str,
    signature: &'static str,
    does: &'static str,
    bind: fn(&Call<'_>) -> Result<Arc<dyn Aggregate>, BuiltinError>,
) -> Descriptor {
    Descriptor {
        doc: BuiltinDoc {
            name,
            aliases: &[],
            signature,
            does,
            algebra: Algebra::Exact,
            inverse: false,
            bounded: true,
            nulls: NULLS,
        },
        takes: TAKES,
        distinct: Duplicates::Counted,
        bind,
    }
}

pub(super) const BUILTINS: &[Descriptor] = &[
    descriptor(
        "MAX_N",
        "MAX_N(n, x)",
        "the n greatest values, the greatest first; a value stands there as often as it was seen",
        |call| bind(call, Ordering::Greater, false),
    ),
    descriptor(
        "MIN_N",
        "MIN_N(n, x)",
        "the n least values, the least first; a value stands there as often as it was seen",
        |call| bind(call, Ordering::Less, false),
    ),
    descriptor(
        "COLLECT_DISTINCT",
        "COLLECT_DISTINCT(n, x)",
        "the distinct values, rising; of more than n of them the n least",
        |call| bind(call, Ordering::Less, true),
    ),
];

fn bind(call: &Call<'_>, first: Ordering, distinct: bool) -> Result<Arc<dyn Aggregate>, BuiltinError> {
    fn of<V: Value>(
        item: DataType,
        limit: usize,
        first: Ordering,
        distinct: bool,
        card: Card,
    ) -> Arc<dyn Aggregate> {
        aggregate(Ranked { limit, first, distinct, item, value: PhantomData::<V> }, card)
    }
    let limit = call.only_limit(LIST_LIMIT_VALUES)?;
    let (item, shape) = call.shaped(call.arguments)?;
    let card = call.card(list_type(&item), &[limit.to_string()]);
    Ok(by_shape!(shape, of(item, limit, first, distinct, card)))
}

/// The first values by size.
#[derive(Debug, Clone)]
pub(crate) struct Ranked<V> {
    limit: usize,
    /// How a value compares to one that stands behind it.
    first: Ordering,
    distinct: bool,
    item: DataType,
    value: PhantomData<V>,
}

impl<V: Value> Ranked<V> {
    fn see(&self, state: &mut Vec<V>, value: V) {
        let at = state.partition_point(|kept| kept.cmp(&value) == self.first);
        let is_there = self.distinct && state.get(at) == Some(&value);
        if at < self.limit && !is_there {
            state.insert(at, value);
            state.truncate(self.limit);
        }
    }
}

impl<V: Value> Fold for Ranked<V> {
    /// In order of rank.
    type State = Vec<V>;
    type Column<'a> = V::Column<'a>;
    type Builder = Lists<V::Builder>;

    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<V::Column<'a>> {
        V::columns(arguments)
    }

    fn insert(&self, state: &mut Vec<V>, column: &V::Column<'_>, row: usize, _place: Place) {
        let Some(value) = V::get(column, row) else { return };
        // Most rows of a full state change nothing, and need not be copied to find that out.
        let is_behind = |last: &V| matches!(last.compare(value), order if order == self.first);
        if state.len() >= self.limit && state.last().is_some_and(is_behind) {
            return;
        }
        self.see(state, if self.distinct { V::identity(value) } else { V::own(value) });
    }

    fn merge(&self, into: &mut Vec<V>, other: &Vec<V>) {
        other.iter().for_each(|value| self.see(into, value.clone()));
    }

    fn builder(&self, capacity: usize) -> Self::Builder {
        Lists::new(V::builder(&self.item, capacity), capacity)
    }

    fn push(&self, state: &Vec<V>, _as_of: i64, builder: &mut Self::Builder) -> Result<(), String> {
        let room = builder.check_room(state.len());
        let shown = if room.is_ok() { state.as_slice() } else { &[] };
        shown.iter().for_each(|value| V::append(&mut builder.items, Some(value)));
        builder.end(shown.len());
        room
    }

    fn build(&self, builder: Self::Builder) -> ArrayRef {
        let (items, ends) = builder.into_parts();
        list_array(V::build(items), ends, None)
    }

    fn encode(&self, state: &Vec<V>, out: &mut Vec<u8>) {
        bytes::put_unsigned(state.len() as u64, out);
        state.iter().for_each(|value| value.encode(out));
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Option<Vec<V>> {
        let count = reader.count(1).filter(|count| *count <= self.limit)?;
        let mut state: Vec<V> = Vec::with_capacity(count);
        for _ in 0..count {
            let value = V::decode(reader)?;
            if state.last().is_some_and(|last| last.cmp(&value) == self.first.reverse()) {
                return None;
            }
            state.push(value);
        }
        Some(state)
    }

    fn heap_bytes(&self, state: &Vec<V>) -> usize {
        state.capacity() * size_of::<V>() + state.iter().map(Value::heap_bytes).sum::<usize>()
    }
}
