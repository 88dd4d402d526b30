//! What is told of how often each value was seen: `MODE`, `MOST_FREQUENT_N`, `HISTOGRAM`, `ENTROPY`.
//!
//! All keep the multiset of `COUNT(DISTINCT x)`, exact, so that rows can leave again.

use super::call::{Call, Descriptor, Duplicates, LIST_LIMIT_VALUES, Shape, aggregate, by_shape};
use super::catalog::{BuiltinDoc, BuiltinError};
use super::distinct::RowsByValue;
use super::exact::ExactSum;
use super::fold::{Fold, Place};
use super::top::{Lists, list_array, list_type};
use super::value::Value;
use super::{Aggregate, Algebra, Card};
use crate::bytes::Reader;
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array, MapArray, StructArray};
use arrow_buffer::{NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{DataType, Field, Fields};
use std::cmp::Ordering;
use std::marker::PhantomData;
use std::sync::Arc;

const VALUES: &str = "one column of numbers, booleans, times, dates, text or bytes";

const fn descriptor(
    name: &'static str,
    signature: &'static str,
    does: &'static str,
    nulls: &'static str,
    takes: &'static str,
    bind: fn(&Call<'_>) -> Result<Arc<dyn Aggregate>, BuiltinError>,
) -> Descriptor {
    Descriptor {
        doc: BuiltinDoc {
            name,
            aliases: &[],
            signature,
            does,
            algebra: Algebra::Exact,
            inverse: true,
            bounded: false,
            nulls,
        },
        takes,
        distinct: Duplicates::Counted,
        bind,
    }
}

pub(super) const BUILTINS: &[Descriptor] = &[
    descriptor(
        "MODE",
        "MODE(x)",
        "the value that was seen most often; of several such values the least",
        "skipped; null of no values",
        VALUES,
        |call| {
            let (data_type, kind) = unparametrised(call)?;
            bind(Reading::Mode, &data_type, Shape::One(kind), call.card(data_type.clone(), &[]))
        },
    ),
    descriptor(
        "MOST_FREQUENT_N",
        "MOST_FREQUENT_N(n, x)",
        "the n values that were seen most often, the most frequent first, values of equal frequency rising",
        "skipped; an empty list of no values",
        "a number of values and one column of numbers, booleans, times, dates, text or bytes, or a row of several",
        |call| {
            let limit = call.only_limit(LIST_LIMIT_VALUES)?;
            let (item, shape) = call.shaped(call.arguments)?;
            let card = call.card(list_type(&item), &[limit.to_string()]);
            bind(Reading::MostFrequent { limit }, &item, shape, card)
        },
    ),
    descriptor(
        "HISTOGRAM",
        "HISTOGRAM(x)",
        "a map from each value to the number of rows that have it, in order of value",
        "left out; an empty map of no values",
        VALUES,
        |call| {
            let (data_type, kind) = unparametrised(call)?;
            let card = call.card(map_type(&data_type, &DataType::Int64), &[]);
            bind(Reading::Histogram, &data_type, Shape::One(kind), card)
        },
    ),
    descriptor(
        "ENTROPY",
        "ENTROPY(x)",
        "the entropy of the values' distribution, in nats (divide by LN(2) for bits)",
        "skipped; null of no values",
        VALUES,
        |call| {
            let (data_type, kind) = unparametrised(call)?;
            bind(Reading::Entropy, &data_type, Shape::One(kind), call.card(DataType::Float64, &[]))
        },
    ),
];

fn unparametrised(call: &Call<'_>) -> Result<(DataType, super::value::Kind), BuiltinError> {
    call.no_parameters()?;
    call.value().map(|(data_type, kind)| (data_type.clone(), kind))
}

fn bind(
    reading: Reading,
    item: &DataType,
    shape: Shape,
    card: Card,
) -> Result<Arc<dyn Aggregate>, BuiltinError> {
    fn of<V: Value>(reading: Reading, item: &DataType, card: Card) -> Arc<dyn Aggregate> {
        aggregate(Spectrum { reading, item: item.clone(), value: PhantomData::<V> }, card)
    }
    Ok(by_shape!(shape, of(reading, item, card)))
}

/// The type of a map.
pub(crate) fn map_type(key: &DataType, value: &DataType) -> DataType {
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(map_fields(key, value)), false)), false)
}

fn map_fields(key: &DataType, value: &DataType) -> Fields {
    Fields::from(vec![Field::new("key", key.clone(), false), Field::new("value", value.clone(), true)])
}

/// A column of maps; map `i` ends at entry `ends[i + 1]`, and is null where `is_valid` says so.
pub(crate) fn map_array(keys: ArrayRef, values: ArrayRef, ends: Vec<i32>, is_valid: Vec<bool>) -> ArrayRef {
    let fields = map_fields(keys.data_type(), values.data_type());
    let field = Arc::new(Field::new("entries", DataType::Struct(fields.clone()), false));
    let entries = StructArray::new(fields, vec![keys, values], None);
    let nulls = Some(NullBuffer::from(is_valid)).filter(|nulls| nulls.null_count() > 0);
    Arc::new(MapArray::new(field, OffsetBuffer::new(ScalarBuffer::from(ends)), entries, nulls, false))
}

/// What is told of the multiset.
#[derive(Debug, Clone, Copy)]
enum Reading {
    Mode,
    MostFrequent { limit: usize },
    Histogram,
    Entropy,
}

impl Reading {
    fn name(self) -> &'static str {
        match self {
            Reading::Mode => "MODE(x)",
            Reading::MostFrequent { .. } => "MOST_FREQUENT_N(n, x)",
            Reading::Histogram => "HISTOGRAM(x)",
            Reading::Entropy => "ENTROPY(x)",
        }
    }
}

/// Values with their numbers of rows, read in one of the ways.
#[derive(Debug, Clone)]
pub(crate) struct Spectrum<V> {
    reading: Reading,
    item: DataType,
    value: PhantomData<V>,
}

/// Results in the making.
pub(crate) enum Readings<V: Value> {
    Values(V::Builder),
    Lists(Lists<V::Builder>),
    Maps { keys: Lists<V::Builder>, counts: Vec<i64>, is_valid: Vec<bool> },
    Doubles(Vec<Option<f64>>),
}

/// Values by how often they were seen, the most frequent first, ties by value.
pub(crate) fn most_frequent<V: Value>(rows: &RowsByValue<V>, limit: usize) -> Vec<V> {
    let mut all: Vec<(V, u64)> = Vec::with_capacity(rows.len());
    rows.for_each(|value, count| all.push((value.clone(), count)));
    let order = |a: &(V, u64), b: &(V, u64)| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0));
    if limit < all.len() {
        all.select_nth_unstable_by(limit, order);
        all.truncate(limit);
    }
    all.sort_unstable_by(order);
    all.into_iter().map(|(value, _)| value).collect()
}

fn mode<V: Value>(rows: &RowsByValue<V>) -> Option<V> {
    let mut best: Option<(V, u64)> = None;
    rows.for_each(|value, count| {
        let order = best
            .as_ref()
            .map_or(Ordering::Greater, |(kept, most)| count.cmp(most).then_with(|| kept.cmp(value)));
        if order == Ordering::Greater {
            best = Some((value.clone(), count));
        }
    });
    best.map(|(value, _)| value)
}

/// The logarithm of the number of rows, less the mean logarithm of the values' numbers of rows.
fn entropy<V: Value>(rows: &RowsByValue<V>) -> Option<f64> {
    let (mut total, mut sum) = (0_u64, ExactSum::default());
    rows.for_each(|_, count| {
        total = total.saturating_add(count);
        sum.add(count as f64 * (count as f64).ln());
    });
    // Of a single value the two are equal but for rounding.
    let value = || (total as f64).ln() - sum.value() / total as f64;
    (total > 0).then(|| if rows.len() == 1 { 0.0 } else { value() })
}

impl<V: Value> Fold for Spectrum<V> {
    type State = RowsByValue<V>;
    type Column<'a> = V::Column<'a>;
    type Builder = Readings<V>;
    const INVERSE: bool = true;

    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<V::Column<'a>> {
        V::columns(arguments)
    }

    fn insert(&self, state: &mut RowsByValue<V>, column: &V::Column<'_>, row: usize, _place: Place) {
        if let Some(value) = V::get(column, row) {
            state.add(V::identity(value), 1);
        }
    }

    fn remove(&self, state: &mut RowsByValue<V>, column: &V::Column<'_>, row: usize, _place: Place) {
        if let Some(value) = V::get(column, row) {
            state.take(&V::identity(value), 1);
        }
    }

    fn merge(&self, into: &mut RowsByValue<V>, other: &RowsByValue<V>) {
        other.for_each(|value, rows| into.add(value.clone(), rows));
    }

    fn unmerge(&self, from: &mut RowsByValue<V>, leaving: &RowsByValue<V>) {
        leaving.for_each(|value, rows| from.take(value, rows));
    }

    fn builder(&self, capacity: usize) -> Readings<V> {
        let values = V::builder(&self.item, capacity);
        match self.reading {
            Reading::Mode => Readings::Values(values),
            Reading::MostFrequent { .. } => Readings::Lists(Lists::new(values, capacity)),
            Reading::Histogram => {
                let keys = Lists::new(values, capacity);
                Readings::Maps { keys, counts: Vec::with_capacity(capacity), is_valid: Vec::new() }
            }
            Reading::Entropy => Readings::Doubles(Vec::with_capacity(capacity)),
        }
    }

    fn push(&self, state: &RowsByValue<V>, _as_of: i64, builder: &mut Readings<V>) -> Result<(), String> {
        let instead = "APPROX_MOST_FREQUENT_N(n, x) or APPROX_COUNT_DISTINCT(x)";
        let mut checked = state.check_limit(self.reading.name(), instead);
        match builder {
            Readings::Values(values) => {
                V::append(values, if checked.is_ok() { mode(state) } else { None }.as_ref());
            }
            Readings::Lists(lists) => {
                let limit = if let Reading::MostFrequent { limit } = self.reading { limit } else { 0 };
                checked = checked.and_then(|()| lists.check_room(limit.min(state.len())));
                let shown = if checked.is_ok() { most_frequent(state, limit) } else { Vec::new() };
                shown.iter().for_each(|value| V::append(&mut lists.items, Some(value)));
                lists.end(shown.len());
            }
            Readings::Maps { keys, counts, is_valid } => {
                checked = checked.and_then(|()| keys.check_room(state.len()));
                let shown = if checked.is_ok() { state.sorted() } else { Vec::new() };
                for (value, count) in &shown {
                    V::append(&mut keys.items, Some(value));
                    counts.push(*count as i64);
                }
                keys.end(shown.len());
                is_valid.push(checked.is_ok());
            }
            Readings::Doubles(doubles) => {
                doubles.push(if checked.is_ok() { entropy(state) } else { None });
            }
        }
        checked
    }

    fn build(&self, builder: Readings<V>) -> ArrayRef {
        match builder {
            Readings::Values(values) => V::build(values),
            Readings::Lists(lists) => {
                let (items, ends) = lists.into_parts();
                list_array(V::build(items), ends, None)
            }
            Readings::Maps { keys, counts, is_valid } => {
                let (keys, ends) = keys.into_parts();
                map_array(V::build(keys), Arc::new(Int64Array::from(counts)), ends, is_valid)
            }
            Readings::Doubles(doubles) => Arc::new(Float64Array::from(doubles)),
        }
    }

    fn encode(&self, state: &RowsByValue<V>, out: &mut Vec<u8>) {
        state.encode(out);
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Option<RowsByValue<V>> {
        RowsByValue::decode(reader)
    }

    fn heap_bytes(&self, state: &RowsByValue<V>) -> usize {
        state.heap_bytes()
    }
}
