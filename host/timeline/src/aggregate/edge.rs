//! `FIRST_VALUE` and `LAST_VALUE`: the value of the first or last row in total order whose argument is not null.
//!
//! The state carries the row's place, so that rows and states may come in any order.

use super::call::{Call, Descriptor, Duplicates, Shape, aggregate, by_shape, selected};
use super::catalog::{BuiltinDoc, BuiltinError};
use super::fold::{Fold, Place};
use super::value::Value;
use super::{Aggregate, Algebra, Card, Selection};
use crate::bytes::{self, Reader};
use arrow_array::ArrayRef;
use arrow_schema::DataType;
use std::cmp::Ordering;
use std::marker::PhantomData;
use std::sync::Arc;

pub(super) const BUILTINS: &[Descriptor] = &[
    Descriptor {
        doc: BuiltinDoc {
            name: "FIRST_VALUE",
            aliases: &["ANY_VALUE"],
            signature: "FIRST_VALUE(x)",
            does: "the value of the first row in order of time",
            algebra: Algebra::Exact,
            inverse: false,
            bounded: true,
            nulls: NULLS,
        },
        takes: TAKES,
        distinct: Duplicates::Counted,
        bind: |call| bind(call, Ordering::Less),
    },
    Descriptor {
        doc: BuiltinDoc {
            name: "LAST_VALUE",
            aliases: &[],
            signature: "LAST_VALUE(x)",
            does: "the value of the last row in order of time",
            algebra: Algebra::Exact,
            inverse: false,
            bounded: true,
            nulls: NULLS,
        },
        takes: TAKES,
        distinct: Duplicates::Counted,
        bind: |call| bind(call, Ordering::Greater),
    },
];

const NULLS: &str = "skipped; null of no values";
const TAKES: &str = "one column of numbers, booleans, times, dates, text or bytes, or a row of several";

fn bind(call: &Call<'_>, wins: Ordering) -> Result<Arc<dyn Aggregate>, BuiltinError> {
    fn of<V: Value>(data_type: &DataType, wins: Ordering, card: Card, is_row: bool) -> Arc<dyn Aggregate> {
        let fold = Edge { wins, data_type: data_type.clone(), value: PhantomData::<V> };
        let selection = if wins == Ordering::Less { Selection::Oldest } else { Selection::Newest };
        // A row log chooses values of one column.
        if is_row { aggregate(fold, card) } else { selected(fold, card, selection) }
    }
    call.no_parameters()?;
    let (data_type, shape) = call.shaped(call.arguments)?;
    let card = call.card(data_type.clone(), &[]);
    Ok(by_shape!(shape, of(&data_type, wins, card, shape == Shape::Row)))
}

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
        V::columns(arguments)
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

    fn push(&self, state: &Self::State, _as_of: i64, builder: &mut V::Builder) -> Result<(), String> {
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
