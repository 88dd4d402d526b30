//! `TOP` and `LAST_N`, `FIRST_N` and `COLLECT`: the last, the first or all values in order of time, nulls left out.
//!
//! The state carries each value's place, so that rows and states may come in any order.

use super::call::{Call, Descriptor, Duplicates, LIST_LIMIT_VALUES, Shape, aggregate, by_shape, selected};
use super::catalog::{BuiltinDoc, BuiltinError};
use super::edge::{put_place, take_place};
use super::fold::{Fold, Place};
use super::value::Value;
use super::{Aggregate, Algebra, Card, Parameter, Selection};
use crate::bytes::{self, Reader};
use arrow_array::{ArrayRef, ListArray};
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field};
use std::collections::VecDeque;
use std::marker::PhantomData;
use std::sync::Arc;

pub(super) const BUILTINS: &[Descriptor] = &[
    Descriptor {
        doc: BuiltinDoc {
            name: "TOP",
            aliases: &[],
            signature: "TOP(n, x [, 'asc' | 'desc'])",
            does: "the last n values in order of time, the oldest first, or the newest with 'desc'",
            algebra: Algebra::Exact,
            inverse: false,
            bounded: true,
            nulls: NULLS,
        },
        takes: TAKES,
        distinct: Duplicates::Counted,
        bind: |call| bind_ordered(call, Keeps::Newest),
    },
    Descriptor {
        doc: BuiltinDoc {
            name: "LAST_N",
            aliases: &[],
            signature: "LAST_N(n, x [, 'asc' | 'desc'])",
            does: "as TOP: the last n values in order of time, the oldest first, or the newest with 'desc'",
            algebra: Algebra::Exact,
            inverse: false,
            bounded: true,
            nulls: NULLS,
        },
        takes: TAKES,
        distinct: Duplicates::Counted,
        bind: |call| bind_ordered(call, Keeps::Newest),
    },
    Descriptor {
        doc: BuiltinDoc {
            name: "FIRST_N",
            aliases: &[],
            signature: "FIRST_N(n, x [, 'asc' | 'desc'])",
            does: "the first n values in order of time, the oldest first, or the newest with 'desc'",
            algebra: Algebra::Exact,
            inverse: false,
            bounded: true,
            nulls: NULLS,
        },
        takes: TAKES,
        distinct: Duplicates::Counted,
        bind: |call| bind_ordered(call, Keeps::Oldest),
    },
    Descriptor {
        doc: BuiltinDoc {
            name: "COLLECT",
            aliases: &["ARRAY_AGG"],
            signature: "COLLECT(x)",
            does: "all values in order of time, the oldest first",
            algebra: Algebra::Exact,
            inverse: false,
            bounded: false,
            nulls: NULLS,
        },
        takes: "one column of numbers, booleans, times, dates, text or bytes, or a row of several",
        distinct: Duplicates::Counted,
        bind: |call| {
            call.no_parameters()?;
            bind(call, usize::MAX, Keeps::Newest, false, &[])
        },
    },
];

const NULLS: &str = "skipped; an empty list of no values";
const TAKES: &str = "a number of values, one column of numbers, booleans, times, dates, text or bytes, or a row of several, and 'asc' or 'desc'";

/// Which values stay when there are more than the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keeps {
    Newest,
    Oldest,
}

/// The last or the first values.
#[derive(Debug, Clone)]
pub(crate) struct Top<V> {
    pub(crate) limit: usize,
    pub(crate) keeps: Keeps,
    pub(crate) newest_first: bool,
    pub(crate) item: DataType,
    pub(crate) value: PhantomData<V>,
}

/// The parameters n and, if there is one, 'asc' or 'desc': whether the newest comes first.
pub(crate) fn limit_and_order(call: &Call<'_>, most: i64) -> Result<(usize, bool), BuiltinError> {
    let (limit, order) = match call.parameters {
        [limit @ Parameter::Int(_)] => (limit, "asc"),
        [limit @ Parameter::Int(_), Parameter::Text(order)] => (limit, order.as_str()),
        _ => return call.refuse(format!("write {} with a whole number n", call.descriptor.doc.signature)),
    };
    let limit = call.limit(limit, most)?;
    match order.to_ascii_lowercase().as_str() {
        "asc" => Ok((limit, false)),
        "desc" => Ok((limit, true)),
        _ => call.refuse(format!("the order is '{order}'; it must be 'asc' (oldest first) or 'desc'")),
    }
}

/// How constants of [`limit_and_order`] are spelled in an identity.
pub(crate) fn spelled(limit: usize, newest_first: bool) -> [String; 2] {
    [limit.to_string(), if newest_first { "desc" } else { "asc" }.to_owned()]
}

fn bind_ordered(call: &Call<'_>, keeps: Keeps) -> Result<Arc<dyn Aggregate>, BuiltinError> {
    let (limit, newest_first) = limit_and_order(call, LIST_LIMIT_VALUES)?;
    bind(call, limit, keeps, newest_first, &spelled(limit, newest_first))
}

fn bind(
    call: &Call<'_>,
    limit: usize,
    keeps: Keeps,
    newest_first: bool,
    constants: &[String],
) -> Result<Arc<dyn Aggregate>, BuiltinError> {
    fn of<V: Value>(
        item: DataType,
        limit: usize,
        keeps: Keeps,
        newest_first: bool,
        card: Card,
        is_row: bool,
    ) -> Arc<dyn Aggregate> {
        let fold = Top { limit, keeps, newest_first, item, value: PhantomData::<V> };
        // A row log chooses the newest values of one column.
        if is_row || keeps == Keeps::Oldest {
            aggregate(fold, card)
        } else {
            selected(fold, card, Selection::List { limit, newest_first })
        }
    }
    let (item, shape) = call.shaped(call.arguments)?;
    let card = call.card(list_type(&item), constants);
    Ok(by_shape!(shape, of(item, limit, keeps, newest_first, card, shape == Shape::Row)))
}

/// A list's items and where each list of the column ends.
pub(crate) struct Lists<B> {
    pub(crate) items: B,
    ends: Vec<i32>,
}

impl<B> Lists<B> {
    /// No lists yet.
    pub(crate) fn new(items: B, capacity: usize) -> Self {
        let mut ends = Vec::with_capacity(capacity + 1);
        ends.push(0);
        Lists { items, ends }
    }

    /// Whether a list of `items` more still has room among 32-bit offsets, as Arrow's lists have them.
    pub(crate) fn check_room(&self, items: usize) -> Result<(), String> {
        let last = self.ends.last().copied().unwrap_or(0) as usize;
        if i32::try_from(last + items).is_ok() {
            return Ok(());
        }
        Err(format!("a list of {items} values is too long beside the others of one call; 2^31 is the most"))
    }

    /// Ends a list whose items have been appended.
    pub(crate) fn end(&mut self, items: usize) {
        self.ends.push(self.ends.last().copied().unwrap_or(0) + items as i32);
    }

    /// The items, and where each list ends.
    pub(crate) fn into_parts(self) -> (B, Vec<i32>) {
        (self.items, self.ends)
    }
}

/// The type of a `TOP` of values of type `item`.
pub(crate) fn list_type(item: &DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item.clone(), true)))
}

/// A column of lists; list `i` ends at item `ends[i + 1]`, and is null where `is_valid` is there and says so.
pub(crate) fn list_array(items: ArrayRef, ends: Vec<i32>, is_valid: Option<Vec<bool>>) -> ArrayRef {
    let field = Arc::new(Field::new("item", items.data_type().clone(), true));
    let nulls = is_valid.map(NullBuffer::from).filter(|nulls| nulls.null_count() > 0);
    Arc::new(ListArray::new(field, OffsetBuffer::new(ScalarBuffer::from(ends)), items, nulls))
}

impl<V: Value> Top<V> {
    fn drop_surplus(&self, state: &mut VecDeque<(Place, V)>) {
        match self.keeps {
            Keeps::Newest => {
                let surplus = state.len().saturating_sub(self.limit);
                state.drain(..surplus);
            }
            Keeps::Oldest => state.truncate(self.limit),
        }
    }

    fn has_no_room(&self, state: &VecDeque<(Place, V)>, place: Place) -> bool {
        state.len() >= self.limit
            && match self.keeps {
                Keeps::Newest => state.front().is_none_or(|(oldest, _)| place < *oldest),
                Keeps::Oldest => state.back().is_none_or(|(newest, _)| *newest < place),
            }
    }
}

impl<V: Value> Fold for Top<V> {
    /// In order of place, the oldest first.
    type State = VecDeque<(Place, V)>;
    type Column<'a> = V::Column<'a>;
    type Builder = Lists<V::Builder>;

    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<V::Column<'a>> {
        V::columns(arguments)
    }

    fn insert(&self, state: &mut Self::State, column: &V::Column<'_>, row: usize, place: Place) {
        if self.has_no_room(state, place) {
            return;
        }
        let Some(value) = V::get(column, row).map(V::own) else { return };
        if state.back().is_none_or(|(newest, _)| *newest < place) {
            state.push_back((place, value));
        } else {
            let at = state.partition_point(|(kept, _)| *kept < place);
            state.insert(at, (place, value));
        }
        self.drop_surplus(state);
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
        self.drop_surplus(into);
    }

    fn builder(&self, capacity: usize) -> Self::Builder {
        Lists::new(V::builder(&self.item, capacity), capacity)
    }

    fn push(&self, state: &Self::State, _as_of: i64, builder: &mut Self::Builder) -> Result<(), String> {
        if let Err(reason) = builder.check_room(state.len()) {
            builder.end(0);
            return Err(reason);
        }
        if self.newest_first {
            for (_, value) in state.iter().rev() {
                V::append(&mut builder.items, Some(value));
            }
        } else {
            for (_, value) in state {
                V::append(&mut builder.items, Some(value));
            }
        }
        builder.end(state.len());
        Ok(())
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
