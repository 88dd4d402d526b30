//! `FIRST_VALUE` and `LAST_VALUE`: the value of the first or last row in total order whose argument is not null.
//!
//! The state carries the row's place, so that rows and states may come in any order.

use super::fold::{Fold, Place};
use super::value::Value;
use crate::bytes::{self, Reader};
use arrow_array::ArrayRef;
use arrow_schema::DataType;
use std::cmp::Ordering;
use std::marker::PhantomData;

/// The value of the first or the last row.
#[derive(Debug, Clone)]
pub(crate) struct Edge<V> {
    /// How a row's place compares to the kept one's when it takes over: less for the first, greater for the last.
    pub(crate) wins: Ordering,
    pub(crate) data_type: DataType,
    pub(crate) value: PhantomData<V>,
}

impl<V: Value> Edge<V> {
    fn takes_over(&self, state: Option<&(Place, V)>, place: Place) -> bool {
        state.is_none_or(|(kept, _)| place.cmp(kept) == self.wins)
    }
}

impl<V: Value> Fold for Edge<V> {
    type State = Option<(Place, V)>;
    type Column<'a> = V::Column<'a>;
    type Builder = V::Builder;

    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<V::Column<'a>> {
        arguments.first().and_then(V::column)
    }

    fn insert(&self, state: &mut Self::State, column: &V::Column<'_>, row: usize, place: Place) {
        if self.takes_over(state.as_ref(), place)
            && let Some(value) = V::get(column, row)
        {
            *state = Some((place, V::own(value)));
        }
    }

    fn merge(&self, into: &mut Self::State, other: &Self::State) {
        if let Some((place, value)) = other
            && self.takes_over(into.as_ref(), *place)
        {
            *into = Some((*place, value.clone()));
        }
    }

    fn builder(&self, capacity: usize) -> V::Builder {
        V::builder(&self.data_type, capacity)
    }

    fn push(&self, state: &Self::State, builder: &mut V::Builder) -> Result<(), String> {
        V::append(builder, state.as_ref().map(|(_, value)| value));
        Ok(())
    }

    fn build(&self, builder: V::Builder) -> ArrayRef {
        V::build(builder)
    }

    fn encode(&self, state: &Self::State, out: &mut Vec<u8>) {
        out.push(u8::from(state.is_some()));
        if let Some((place, value)) = state {
            put_place(*place, out);
            value.encode(out);
        }
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Option<Self::State> {
        match reader.byte()? {
            0 => Some(None),
            1 => Some(Some((take_place(reader)?, V::decode(reader)?))),
            _ => None,
        }
    }

    fn heap_bytes(&self, state: &Self::State) -> usize {
        state.as_ref().map_or(0, |(_, value)| value.heap_bytes())
    }
}

pub(crate) fn put_place(place: Place, out: &mut Vec<u8>) {
    bytes::put_signed(place.time, out);
    bytes::put_rank(place.rank, out);
}

pub(crate) fn take_place(reader: &mut Reader<'_>) -> Option<Place> {
    Some(Place { time: reader.signed()?, rank: reader.rank()? })
}
