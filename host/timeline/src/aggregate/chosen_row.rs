//! `ARG_MIN` and `ARG_MAX`: what one column says in the row where another is least or greatest.

use super::call::{Call, Descriptor, Duplicates, Shape, aggregate};
use super::catalog::{BuiltinDoc, BuiltinError};
use super::cell::{Cell, Cells};
use super::edge::{put_place, take_place};
use super::fold::{Fold, Place};
use super::rows::Row;
use super::value::{Value, kind_of};
use super::{Aggregate, Algebra};
use crate::bytes::Reader;
use arrow_array::ArrayRef;
use arrow_schema::DataType;
use std::cmp::Ordering;
use std::marker::PhantomData;
use std::sync::Arc;

const NULLS: &str = "rows where y is null are skipped; x is given as it is there, also null; null of no rows";
const TAKES: &str =
    "one or several columns and then the one to compare, of numbers, booleans, times, dates, text or bytes";

pub(super) const BUILTINS: &[Descriptor] = &[
    Descriptor {
        doc: BuiltinDoc {
            name: "ARG_MIN",
            aliases: &["MIN_BY"],
            signature: "ARG_MIN(x, y)",
            does: "x in the row where y is least; of several such rows the earliest",
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
            name: "ARG_MAX",
            aliases: &["MAX_BY"],
            signature: "ARG_MAX(x, y)",
            does: "x in the row where y is greatest; of several such rows the earliest",
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

fn bind(call: &Call<'_>, wins: Ordering) -> Result<Arc<dyn Aggregate>, BuiltinError> {
    call.no_parameters()?;
    let [shown @ .., by] = call.arguments else { return Err(call.wrong_arguments()) };
    if kind_of(by).is_none() {
        return Err(call.wrong_arguments());
    }
    let (data_type, shape) = call.shaped(shown)?;
    let card = call.card(data_type.clone(), &[]);
    Ok(match shape {
        Shape::One(_) => aggregate(ChosenRow { wins, data_type, value: PhantomData::<Cell> }, card),
        Shape::Row => aggregate(ChosenRow { wins, data_type, value: PhantomData::<Row> }, card),
    })
}

/// The row where a column is least or greatest.
#[derive(Debug, Clone)]
pub(crate) struct ChosenRow<X> {
    wins: Ordering,
    /// Of what is shown.
    data_type: DataType,
    value: PhantomData<X>,
}

/// The row that was chosen: what was compared, where it stands, what it shows.
#[derive(Debug, Clone)]
pub(crate) struct Chosen<X> {
    by: Cell,
    place: Place,
    shown: Option<X>,
}

impl<X: Value> ChosenRow<X> {
    fn wins(&self, order: Ordering, place: Place, kept: &Chosen<X>) -> bool {
        order == self.wins || order == Ordering::Equal && place < kept.place
    }
}

impl<X: Value> Fold for ChosenRow<X> {
    type State = Option<Chosen<X>>;
    type Column<'a> = (X::Column<'a>, Cells<'a>);
    type Builder = X::Builder;

    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<Self::Column<'a>> {
        let (by, shown) = arguments.split_last()?;
        Some((X::columns(shown)?, Cell::column(by)?))
    }

    fn insert(&self, state: &mut Self::State, (shown, by): &Self::Column<'_>, row: usize, place: Place) {
        let Some(by) = Cell::get(by, row) else { return };
        if state.as_ref().is_none_or(|kept| self.wins(kept.by.compare(by).reverse(), place, kept)) {
            *state = Some(Chosen { by: Cell::own(by), place, shown: X::get(shown, row).map(X::own) });
        }
    }

    fn merge(&self, into: &mut Self::State, other: &Self::State) {
        let Some(other) = other else { return };
        if into.as_ref().is_none_or(|kept| self.wins(other.by.cmp(&kept.by), other.place, kept)) {
            *into = Some(other.clone());
        }
    }

    fn builder(&self, capacity: usize) -> X::Builder {
        X::builder(&self.data_type, capacity)
    }

    fn push(&self, state: &Self::State, _as_of: i64, builder: &mut X::Builder) -> Result<(), String> {
        X::append(builder, state.as_ref().and_then(|chosen| chosen.shown.as_ref()));
        Ok(())
    }

    fn build(&self, builder: X::Builder) -> ArrayRef {
        X::build(builder)
    }

    fn encode(&self, state: &Self::State, out: &mut Vec<u8>) {
        let Some(Chosen { by, place, shown }) = state else { return out.push(0) };
        out.push(if shown.is_some() { 2 } else { 1 });
        by.encode(out);
        put_place(*place, out);
        if let Some(shown) = shown {
            shown.encode(out);
        }
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Option<Self::State> {
        let shows = match reader.byte()? {
            0 => return Some(None),
            1 => false,
            2 => true,
            _ => return None,
        };
        let (by, place) = (Cell::decode(reader)?, take_place(reader)?);
        let shown = if shows { Some(X::decode(reader)?) } else { None };
        Some(Some(Chosen { by, place, shown }))
    }

    fn heap_bytes(&self, state: &Self::State) -> usize {
        let of = |it: &Chosen<X>| it.by.heap_bytes() + it.shown.as_ref().map_or(0, Value::heap_bytes);
        state.as_ref().map_or(0, of)
    }
}
