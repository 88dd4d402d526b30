//! `MIN` and `MAX` of everything that has an order. Of doubles, NaN is above every number: `MAX` gives it if there
//! is one, `MIN` only if there is nothing else.

use super::call::{Call, Descriptor, Duplicates, Shape, by_shape, selected};
use super::catalog::{BuiltinDoc, BuiltinError};
use super::fold::{Fold, Place};
use super::value::Value;
use super::{Aggregate, Algebra, Card, Selection};
use crate::bytes::Reader;
use arrow_array::ArrayRef;
use arrow_schema::DataType;
use std::cmp::Ordering;
use std::marker::PhantomData;
use std::sync::Arc;

pub(super) const BUILTINS: &[Descriptor] = &[
    Descriptor {
        doc: BuiltinDoc {
            name: "MIN",
            aliases: &[],
            signature: "MIN(x)",
            does: "the least value",
            algebra: Algebra::Exact,
            inverse: false,
            bounded: true,
            nulls: NULLS,
        },
        takes: TAKES,
        distinct: Duplicates::Ignored,
        bind: |call| bind(call, Ordering::Less),
    },
    Descriptor {
        doc: BuiltinDoc {
            name: "MAX",
            aliases: &[],
            signature: "MAX(x)",
            does: "the greatest value; of doubles, NaN is above every number",
            algebra: Algebra::Exact,
            inverse: false,
            bounded: true,
            nulls: NULLS,
        },
        takes: TAKES,
        distinct: Duplicates::Ignored,
        bind: |call| bind(call, Ordering::Greater),
    },
];

const NULLS: &str = "skipped; null of no values";
const TAKES: &str = "one column of numbers, booleans, times, dates, text or bytes";

fn bind(call: &Call<'_>, wins: Ordering) -> Result<Arc<dyn Aggregate>, BuiltinError> {
    fn of<V: Value>(data_type: &DataType, wins: Ordering, card: Card) -> Arc<dyn Aggregate> {
        let selection = if wins == Ordering::Less { Selection::Least } else { Selection::Greatest };
        selected(Extreme { wins, data_type: data_type.clone(), value: PhantomData::<V> }, card, selection)
    }
    call.no_parameters()?;
    let (data_type, kind) = call.value()?;
    let card = call.card(data_type.clone(), &[]);
    Ok(by_shape!(Shape::One(kind), of(data_type, wins, card)))
}

/// The least or the greatest value.
#[derive(Debug, Clone)]
pub(crate) struct Extreme<V> {
    /// How a value compares to the kept one when it takes its place.
    pub(crate) wins: Ordering,
    pub(crate) data_type: DataType,
    pub(crate) value: PhantomData<V>,
}

impl<V: Value> Fold for Extreme<V> {
    type State = Option<V>;
    type Column<'a> = V::Column<'a>;
    type Builder = V::Builder;

    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<V::Column<'a>> {
        arguments.first().and_then(V::column)
    }

    fn insert(&self, state: &mut Option<V>, column: &V::Column<'_>, row: usize, _place: Place) {
        let Some(value) = V::get(column, row) else { return };
        if state.as_ref().is_none_or(|kept| kept.compare(value) == self.wins.reverse()) {
            *state = Some(V::own(value));
        }
    }

    fn merge(&self, into: &mut Option<V>, other: &Option<V>) {
        let Some(value) = other else { return };
        if into.as_ref().is_none_or(|kept| value.cmp(kept) == self.wins) {
            *into = Some(value.clone());
        }
    }

    fn builder(&self, capacity: usize) -> V::Builder {
        V::builder(&self.data_type, capacity)
    }

    fn push(&self, state: &Option<V>, _as_of: i64, builder: &mut V::Builder) -> Result<(), String> {
        V::append(builder, state.as_ref());
        Ok(())
    }

    fn build(&self, builder: V::Builder) -> ArrayRef {
        V::build(builder)
    }

    fn encode(&self, state: &Option<V>, out: &mut Vec<u8>) {
        out.push(u8::from(state.is_some()));
        if let Some(value) = state {
            value.encode(out);
        }
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Option<Option<V>> {
        match reader.byte()? {
            0 => Some(None),
            1 => V::decode(reader).map(Some),
            _ => None,
        }
    }

    fn heap_bytes(&self, state: &Option<V>) -> usize {
        state.as_ref().map_or(0, Value::heap_bytes)
    }
}
