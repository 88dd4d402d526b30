//! `MAP_AGG_BY(category, 'sum', x)`: an aggregate for each category, as a map.

use super::average::Average;
use super::call::{Call, Descriptor, Duplicates, aggregate, is_number};
use super::catalog::{BuiltinDoc, BuiltinError};
use super::cell::{Cell, Cells};
use super::count::Count;
use super::distinct::DISTINCT_LIMIT_VALUES;
use super::extreme::Extreme;
use super::fold::{Fold, Place};
use super::spectrum::{map_array, map_type};
use super::sum::{DecimalSum, DoubleSum, WholeSum};
use super::top::Lists;
use super::value::{Value, kind_of};
use super::{Aggregate, Algebra, Parameter};
use crate::bytes::{self, Reader};
use arrow_array::ArrayRef;
use arrow_schema::DataType;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;

const NULLS: &str =
    "rows without a category are skipped; x as SUM, AVG, MIN, MAX and COUNT have it; an empty map of no rows";
const TAKES: &str = "a category column, 'count', 'sum', 'avg', 'min' or 'max', and, except for 'count', a column that it suits";

pub(super) const BUILTINS: &[Descriptor] = &[
    Descriptor {
        doc: BuiltinDoc {
            name: "MAP_AGG_BY",
            aliases: &[],
            signature: "MAP_AGG_BY(category, 'count' | 'sum' | 'avg' [, x])",
            does: "a map from each category to the count, sum or mean of its rows, in order of category",
            algebra: Algebra::Exact,
            inverse: true,
            bounded: false,
            nulls: NULLS,
        },
        takes: TAKES,
        distinct: Duplicates::Counted,
        bind,
    },
    Descriptor {
        doc: BuiltinDoc {
            name: "MAP_AGG_BY",
            aliases: &[],
            signature: "MAP_AGG_BY(category, 'min' | 'max', x)",
            does: "a map from each category to the least or greatest value of its rows, in order of category",
            algebra: Algebra::Exact,
            inverse: false,
            bounded: false,
            nulls: NULLS,
        },
        takes: TAKES,
        distinct: Duplicates::Counted,
        bind,
    },
];

fn bind(call: &Call<'_>) -> Result<Arc<dyn Aggregate>, BuiltinError> {
    let inner = match call.parameters {
        [Parameter::Text(inner)] => inner.to_ascii_lowercase(),
        _ => {
            return call
                .refuse("write MAP_AGG_BY(category, 'sum', x) with 'count', 'sum', 'avg', 'min' or 'max'");
        }
    };
    if !matches!(inner.as_str(), "count" | "sum" | "avg" | "min" | "max") {
        return call.refuse(format!("'{inner}' is not one of 'count', 'sum', 'avg', 'min' and 'max'"));
    }
    let (category, of) = match call.arguments {
        [category] => (category, None),
        [category, of] => (category, Some(of)),
        _ => return Err(call.wrong_arguments()),
    };
    if kind_of(category).is_none() {
        return Err(call.wrong_arguments());
    }
    let is_whole = matches!(of, Some(DataType::Int32 | DataType::Int64));
    let decimal = match of {
        Some(DataType::Decimal128(_, scale)) => Some(DecimalSum { scale: *scale }),
        _ => None,
    };
    let is_double = of.is_some_and(is_number) && !is_whole && decimal.is_none();
    let extreme = |wins, data_type: &DataType| Extreme::<Cell> {
        wins,
        data_type: data_type.clone(),
        value: PhantomData,
    };
    if let Some(sum) = decimal.filter(|_| matches!(inner.as_str(), "sum" | "avg")) {
        let result = sum.data_type();
        return Ok(if inner == "sum" {
            grouped(call, &inner, sum, category, &result)
        } else {
            grouped(call, &inner, Average(sum), category, &DataType::Float64)
        });
    }
    Ok(match (inner.as_str(), of) {
        ("count", _) => grouped(call, &inner, Count, category, &DataType::Int64),
        ("sum", Some(_)) if is_whole => grouped(call, &inner, WholeSum, category, &DataType::Int64),
        ("sum", Some(_)) if is_double => grouped(call, &inner, DoubleSum, category, &DataType::Float64),
        ("avg", Some(_)) if is_whole => {
            grouped(call, &inner, Average(WholeSum), category, &DataType::Float64)
        }
        ("avg", Some(_)) if is_double => {
            grouped(call, &inner, Average(DoubleSum), category, &DataType::Float64)
        }
        ("min", Some(of)) if kind_of(of).is_some() => {
            grouped(call, &inner, extreme(Ordering::Less, of), category, of)
        }
        ("max", Some(of)) if kind_of(of).is_some() => {
            grouped(call, &inner, extreme(Ordering::Greater, of), category, of)
        }
        _ => return Err(call.wrong_arguments()),
    })
}

fn grouped<F: Fold>(
    call: &Call<'_>,
    name: &str,
    inner: F,
    category: &DataType,
    value: &DataType,
) -> Arc<dyn Aggregate> {
    let descriptor = &BUILTINS[usize::from(!F::INVERSE)];
    let card = Call { descriptor, ..*call }.card(map_type(category, value), &[name.to_owned()]);
    aggregate(Grouped { inner, category: category.clone() }, card)
}

/// A fold for each category.
#[derive(Debug, Clone)]
pub(crate) struct Grouped<F> {
    inner: F,
    category: DataType,
}

/// What is kept of one category.
#[derive(Debug, Clone, Default)]
pub(crate) struct Group<S> {
    rows: i64,
    state: S,
}

/// Maps in the making.
pub(crate) struct Maps<B> {
    keys: Lists<<Cell as Value>::Builder>,
    values: B,
    is_valid: Vec<bool>,
}

impl<F: Fold> Fold for Grouped<F> {
    type State = BTreeMap<Cell, Group<F::State>>;
    type Column<'a> = (Cells<'a>, F::Column<'a>);
    type Builder = Maps<F::Builder>;
    const INVERSE: bool = F::INVERSE;

    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<Self::Column<'a>> {
        let (category, of) = arguments.split_first()?;
        Some((Cell::column(category)?, self.inner.column(of)?))
    }

    fn insert(&self, state: &mut Self::State, (category, of): &Self::Column<'_>, row: usize, place: Place) {
        let Some(category) = Cell::get(category, row) else { return };
        let group = state.entry(Cell::identity(category)).or_default();
        group.rows = group.rows.wrapping_add(1);
        self.inner.insert(&mut group.state, of, row, place);
    }

    fn remove(&self, state: &mut Self::State, (category, of): &Self::Column<'_>, row: usize, place: Place) {
        let Some(category) = Cell::get(category, row).map(Cell::identity) else { return };
        let Some(group) = state.get_mut(&category) else { return };
        group.rows = group.rows.wrapping_sub(1);
        self.inner.remove(&mut group.state, of, row, place);
        if group.rows == 0 {
            state.remove(&category);
        }
    }

    fn merge(&self, into: &mut Self::State, other: &Self::State) {
        for (category, other) in other {
            let group = into.entry(category.clone()).or_default();
            group.rows = group.rows.wrapping_add(other.rows);
            self.inner.merge(&mut group.state, &other.state);
        }
    }

    fn unmerge(&self, from: &mut Self::State, leaving: &Self::State) {
        for (category, leaving) in leaving {
            let Some(group) = from.get_mut(category) else { continue };
            group.rows = group.rows.wrapping_sub(leaving.rows);
            self.inner.unmerge(&mut group.state, &leaving.state);
            if group.rows == 0 {
                from.remove(category);
            }
        }
    }

    fn builder(&self, capacity: usize) -> Self::Builder {
        Maps {
            keys: Lists::new(Cell::builder(&self.category, capacity), capacity),
            values: self.inner.builder(capacity),
            is_valid: Vec::with_capacity(capacity),
        }
    }

    fn push(&self, state: &Self::State, as_of: i64, builder: &mut Self::Builder) -> Result<(), String> {
        let mut checked = builder.keys.check_room(state.len());
        if state.len() > DISTINCT_LIMIT_VALUES {
            checked = Err(format!(
                "MAP_AGG_BY of {} categories, more than {DISTINCT_LIMIT_VALUES}; use a coarser category",
                state.len()
            ));
        }
        let mut shown = 0;
        if checked.is_ok() {
            for (category, group) in state {
                Cell::append(&mut builder.keys.items, Some(category));
                let pushed = self.inner.push(&group.state, as_of, &mut builder.values);
                checked = checked.and(pushed);
                shown += 1;
            }
        }
        builder.keys.end(shown);
        builder.is_valid.push(checked.is_ok());
        checked
    }

    fn build(&self, builder: Self::Builder) -> ArrayRef {
        let (keys, ends) = builder.keys.into_parts();
        map_array(Cell::build(keys), self.inner.build(builder.values), ends, builder.is_valid)
    }

    fn encode(&self, state: &Self::State, out: &mut Vec<u8>) {
        bytes::put_unsigned(state.len() as u64, out);
        for (category, group) in state {
            category.encode(out);
            bytes::put_signed(group.rows, out);
            self.inner.encode(&group.state, out);
        }
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Option<Self::State> {
        let mut state = BTreeMap::new();
        let kind = kind_of(&self.category)?;
        for _ in 0..reader.count(3)? {
            // A map has no null among its keys, which is what a category of another kind would become.
            let category = Cell::decode(reader).filter(|category| category.kind() == kind)?;
            if state.last_key_value().is_some_and(|(last, _)| *last >= category) {
                return None;
            }
            let group = Group { rows: reader.signed()?, state: self.inner.decode(reader)? };
            state.insert(category, group);
        }
        Some(state)
    }

    fn heap_bytes(&self, state: &Self::State) -> usize {
        // A B-tree's nodes are two thirds full, more or less.
        let entries = state.len() * size_of::<(Cell, Group<F::State>)>() * 3 / 2;
        let of = |(category, group): (&Cell, &Group<F::State>)| {
            category.heap_bytes() + self.inner.heap_bytes(&group.state)
        };
        entries + state.iter().map(of).sum::<usize>()
    }
}
