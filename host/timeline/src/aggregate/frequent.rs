//! `APPROX_MOST_FREQUENT_N(n, x)`: the counters of Misra and Gries.
//!
//! At most [`counters`] values are counted. When another one comes, all lose a row, and those left with none go. So a
//! value's count is too low by at most the number of rows over the number of counters, and what was seen more often
//! than that is never lost. Nothing here depends on how a table happens to be laid out: a state that was stored and
//! read back goes on as before.

use super::call::{Call, Descriptor, Duplicates, aggregate, by_shape};
use super::catalog::{BuiltinDoc, BuiltinError};
use super::distinct::RowsByValue;
use super::fold::{Fold, Place};
use super::spectrum::most_frequent;
use super::top::{Lists, list_array, list_type};
use super::value::Value;
use super::{Aggregate, Algebra, Card};
use crate::bytes::Reader;
use arrow_array::ArrayRef;
use arrow_schema::DataType;
use std::marker::PhantomData;
use std::sync::Arc;

pub(super) const BUILTINS: &[Descriptor] = &[Descriptor {
    doc: BuiltinDoc {
        name: "APPROX_MOST_FREQUENT_N",
        aliases: &[],
        signature: "APPROX_MOST_FREQUENT_N(n, x)",
        does: "about the n values that were seen most often; never without one that more than 1 in 10 n rows have (1 in 100 for n below 10)",
        algebra: Algebra::Approximate,
        inverse: false,
        bounded: true,
        nulls: "skipped; an empty list of no values",
    },
    takes: "a number of values and one column of numbers, booleans, times, dates, text or bytes, or a row of several",
    distinct: Duplicates::Counted,
    bind,
}];

/// The largest n: its counters take some hundred kilobytes.
const LIMIT_VALUES: i64 = 1_000;

/// How many values are counted to find the n most frequent.
fn counters(limit: usize) -> usize {
    (limit * 10).max(100)
}

fn bind(call: &Call<'_>) -> Result<Arc<dyn Aggregate>, BuiltinError> {
    fn of<V: Value>(item: DataType, limit: usize, card: Card) -> Arc<dyn Aggregate> {
        aggregate(Frequent { limit, item, value: PhantomData::<V> }, card)
    }
    let limit = call.only_limit(LIMIT_VALUES)?;
    let (item, shape) = call.shaped(call.arguments)?;
    let card = call.card(list_type(&item), &[limit.to_string()]);
    Ok(by_shape!(shape, of(item, limit, card)))
}

/// The values that were seen most often, about.
#[derive(Debug, Clone)]
pub(crate) struct Frequent<V> {
    limit: usize,
    item: DataType,
    value: PhantomData<V>,
}

impl<V: Value> Fold for Frequent<V> {
    type State = RowsByValue<V>;
    type Column<'a> = V::Column<'a>;
    type Builder = Lists<V::Builder>;

    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<V::Column<'a>> {
        V::columns(arguments)
    }

    fn insert(&self, state: &mut RowsByValue<V>, column: &V::Column<'_>, row: usize, _place: Place) {
        let Some(value) = V::get(column, row).map(V::identity) else { return };
        state.add(value, 1);
        if state.len() > counters(self.limit) {
            state.take_from_all(1);
        }
    }

    fn merge(&self, into: &mut RowsByValue<V>, other: &RowsByValue<V>) {
        other.for_each(|value, rows| into.add(value.clone(), rows));
        let most = counters(self.limit);
        if into.len() > most {
            let mut counts = Vec::with_capacity(into.len());
            into.for_each(|_, rows| counts.push(rows));
            let (_, surplus, _) = counts.select_nth_unstable_by(most, |a, b| b.cmp(a));
            into.take_from_all(*surplus);
        }
    }

    fn builder(&self, capacity: usize) -> Self::Builder {
        Lists::new(V::builder(&self.item, capacity), capacity)
    }

    fn push(&self, state: &RowsByValue<V>, _as_of: i64, builder: &mut Self::Builder) -> Result<(), String> {
        let room = builder.check_room(self.limit.min(state.len()));
        let shown = if room.is_ok() { most_frequent(state, self.limit) } else { Vec::new() };
        shown.iter().for_each(|value| V::append(&mut builder.items, Some(value)));
        builder.end(shown.len());
        room
    }

    fn build(&self, builder: Self::Builder) -> ArrayRef {
        let (items, ends) = builder.into_parts();
        list_array(V::build(items), ends, None)
    }

    fn encode(&self, state: &RowsByValue<V>, out: &mut Vec<u8>) {
        state.encode(out);
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Option<RowsByValue<V>> {
        RowsByValue::decode(reader).filter(|state| state.len() <= counters(self.limit))
    }

    fn heap_bytes(&self, state: &RowsByValue<V>) -> usize {
        state.heap_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::{Array, Int64Array};
    use weir_event::Rank;

    fn fed(fold: &Frequent<i64>, values: impl Iterator<Item = i64>) -> RowsByValue<i64> {
        let mut state = RowsByValue::default();
        let arguments: [ArrayRef; 1] = [Arc::new(values.map(Some).collect::<Int64Array>())];
        let column = fold.column(&arguments).unwrap();
        for row in 0..arguments[0].len() {
            fold.insert(&mut state, &column, row, Place { time: 0, rank: Rank::default() });
        }
        state
    }

    #[test]
    fn what_is_frequent_enough_is_never_lost() {
        let fold = Frequent::<i64> { limit: 3, item: DataType::Int64, value: PhantomData };
        // Three values that each twentieth row has, among values that come once.
        let value = |row: i64| if row % 20 < 3 { row % 20 } else { 1000 + row };
        let whole = fed(&fold, (0..20_000).map(value));
        assert!(whole.len() <= counters(3));
        let shown = |state: &RowsByValue<i64>| {
            let mut shown = most_frequent(state, 3);
            shown.sort_unstable();
            shown
        };
        assert_eq!(shown(&whole), vec![0, 1, 2]);
        let mut merged = RowsByValue::default();
        for part in 0..10 {
            fold.merge(&mut merged, &fed(&fold, (part * 2000..part * 2000 + 2000).map(value)));
        }
        assert!(merged.len() <= counters(3));
        assert_eq!(shown(&merged), vec![0, 1, 2]);
        merged.for_each(|value, rows| assert!(*value > 2 || rows >= 1000 - 20_000 / 100));
    }
}
