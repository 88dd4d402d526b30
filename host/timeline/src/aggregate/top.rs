//! `TOP(n, x [, 'asc' | 'desc'])`: the last n values in time order, nulls left out.
//!
//! The state carries each value's place, so that rows and states may come in any order.

use super::edge::{put_place, take_place};
use super::fold::{Fold, Place};
use super::value::Value;
use crate::bytes::{self, Reader};
use arrow_array::{ArrayRef, ListArray};
use arrow_buffer::{OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field};
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::Arc;

/// The last values.
#[derive(Debug, Clone)]
pub(crate) struct Top<V> {
    pub(crate) limit: usize,
    pub(crate) newest_first: bool,
    pub(crate) item: DataType,
    pub(crate) value: PhantomData<V>,
}

/// A list's items and where each list of the column ends.
pub(crate) struct Lists<B> {
    items: B,
    ends: Vec<i32>,
}

/// The type of a `TOP` of values of type `item`.
pub(crate) fn list_type(item: &DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item.clone(), true)))
}

/// A column of lists; list `i` ends at item `ends[i + 1]`.
pub(crate) fn list_array(items: ArrayRef, ends: Vec<i32>) -> ArrayRef {
    let field = Arc::new(Field::new("item", items.data_type().clone(), true));
    Arc::new(ListArray::new(field, OffsetBuffer::new(ScalarBuffer::from(ends)), items, None))
}

impl<V: Value> Top<V> {
    fn keep_newest(&self, state: &mut VecDeque<(Place, V)>) {
        let surplus = state.len().saturating_sub(self.limit);
        state.drain(..surplus);
    }
}

impl<V: Value> Fold for Top<V> {
    /// In order of place, the oldest first.
    type State = VecDeque<(Place, V)>;
    type Column<'a> = V::Column<'a>;
    type Builder = Lists<V::Builder>;

    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<V::Column<'a>> {
        arguments.first().and_then(V::column)
    }

    fn insert(&self, state: &mut Self::State, column: &V::Column<'_>, row: usize, place: Place) {
        let is_too_old = state.len() >= self.limit && state.front().is_none_or(|(oldest, _)| place < *oldest);
        if is_too_old {
            return;
        }
        let Some(value) = V::get(column, row).map(V::own) else { return };
        if state.back().is_none_or(|(newest, _)| *newest < place) {
            state.push_back((place, value));
        } else {
            let at = state.partition_point(|(kept, _)| *kept < place);
            state.insert(at, (place, value));
        }
        self.keep_newest(state);
    }

    fn merge(&self, into: &mut Self::State, other: &Self::State) {
        let Some((oldest, _)) = other.front() else { return };
        if into.back().is_none_or(|(newest, _)| newest < oldest) {
            into.extend(other.iter().cloned());
        } else {
            let mut merged = VecDeque::with_capacity(into.len() + other.len());
            let (mut mine, mut others) =
                (std::mem::take(into).into_iter().peekable(), other.iter().peekable());
            while let (Some((a, _)), Some((b, _))) = (mine.peek(), others.peek()) {
                merged.extend(if a < b { mine.next() } else { others.next().cloned() });
            }
            merged.extend(mine);
            merged.extend(others.cloned());
            *into = merged;
        }
        self.keep_newest(into);
    }

    fn builder(&self, capacity: usize) -> Self::Builder {
        let mut ends = Vec::with_capacity(capacity + 1);
        ends.push(0);
        Lists { items: V::builder(&self.item, capacity), ends }
    }

    fn push(&self, state: &Self::State, builder: &mut Self::Builder) -> Result<(), String> {
        if self.newest_first {
            for (_, value) in state.iter().rev() {
                V::append(&mut builder.items, Some(value));
            }
        } else {
            for (_, value) in state {
                V::append(&mut builder.items, Some(value));
            }
        }
        builder.ends.push(builder.ends.last().copied().unwrap_or(0) + state.len() as i32);
        Ok(())
    }

    fn build(&self, builder: Self::Builder) -> ArrayRef {
        list_array(V::build(builder.items), builder.ends)
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
        let mut state: Self::State = VecDeque::with_capacity(count);
        for _ in 0..count {
            let place = take_place(reader)?;
            if state.back().is_some_and(|(newest, _)| *newest >= place) {
                return None;
            }
            state.push_back((place, V::decode(reader)?));
        }
        Some(state)
    }

    fn heap_bytes(&self, state: &Self::State) -> usize {
        let values: usize = state.iter().map(|(_, value)| value.heap_bytes()).sum();
        state.capacity() * size_of::<(Place, V)>() + values
    }
}
