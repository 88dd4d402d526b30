//! `APPROX_PERCENTILE(p [, ..], x)`: values are counted in buckets, 128 to each power of two, whatever their magnitude.
//!
//! A rank is exact; the value at it is told by the middle of its bucket, which is at most 1/256 away. Sketches that
//! keep samples would depend on the order of rows and on chance; counts in fixed buckets depend on neither, and rows
//! can leave again.

use super::call::{Call, Descriptor, Duplicates, aggregate};
use super::catalog::{BuiltinDoc, BuiltinError};
use super::fold::{Fold, Place};
use super::top::{Lists, list_array, list_type};
use super::value::{Double, Doubles, Value, Wholes};
use super::{Aggregate, Algebra, Parameter};
use crate::bytes::{self, Reader};
use arrow_array::{ArrayRef, Float64Array};
use arrow_schema::DataType;
use std::sync::Arc;

pub(super) const BUILTINS: &[Descriptor] = &[Descriptor {
    doc: BuiltinDoc {
        name: "APPROX_PERCENTILE",
        aliases: &[],
        signature: "APPROX_PERCENTILE(p [, ..], x)",
        does: "the value below which a part p (0 to 1) of the values lie, within 0.4 % of it; a list for several p",
        algebra: Algebra::Approximate,
        inverse: true,
        bounded: true,
        nulls: "skipped; null of no values",
    },
    takes: "parts from 0 to 1 and one column of int, bigint, float, double or decimal",
    distinct: Duplicates::Counted,
    bind,
}];

/// Bits of a double below those that choose its bucket: 7 of the 52 of its fraction do.
const BUCKET_BITS: u32 = 45;
/// The most parts of one call.
const PARTS_LIMIT: usize = 100;

fn bind(call: &Call<'_>) -> Result<Arc<dyn Aggregate>, BuiltinError> {
    let is_whole = matches!(call.number()?, DataType::Int32 | DataType::Int64);
    let part = |parameter: &Parameter| match parameter {
        Parameter::Double(part) if (0.0..=1.0).contains(part) => Some(*part),
        Parameter::Int(part @ 0..=1) => Some(*part as f64),
        _ => None,
    };
    let parts: Option<Vec<f64>> = call.parameters.iter().map(part).collect();
    let Some(parts) = parts.filter(|parts| (1..=PARTS_LIMIT).contains(&parts.len())) else {
        return call.refuse("write APPROX_PERCENTILE(0.95, x) with up to 100 parts from 0 to 1");
    };
    let spelled: Vec<String> = parts.iter().map(ToString::to_string).collect();
    let result = if parts.len() == 1 { DataType::Float64 } else { list_type(&DataType::Float64) };
    Ok(aggregate(Percentile { parts, is_whole }, call.card(result, &spelled)))
}

/// Approximate percentiles.
#[derive(Debug, Clone)]
pub(crate) struct Percentile {
    parts: Vec<f64>,
    is_whole: bool,
}

/// Values by bucket: number of the bucket and how many are in it, in order of bucket.
#[derive(Debug, Clone, Default)]
pub(crate) struct Buckets(Vec<(i32, i64)>);

impl Buckets {
    fn change(&mut self, bucket: i32, by: i64) {
        match self.0.binary_search_by_key(&bucket, |(kept, _)| *kept) {
            Ok(at) => {
                self.0[at].1 = self.0[at].1.wrapping_add(by);
                if self.0[at].1 == 0 {
                    self.0.remove(at);
                }
            }
            Err(at) => self.0.insert(at, (bucket, by)),
        }
    }

    fn combine(&mut self, other: &Buckets, takes_out: bool) {
        let mut merged = Vec::with_capacity(self.0.len().max(other.0.len()));
        let (mut mine, mut others) = (self.0.iter().peekable(), other.0.iter().peekable());
        let signed = |count: i64| if takes_out { count.wrapping_neg() } else { count };
        loop {
            let next = match (mine.peek(), others.peek()) {
                (None, None) => break,
                (Some((a, _)), Some((b, _))) => *a.min(b),
                (Some((one, _)), None) | (None, Some((one, _))) => *one,
            };
            let a = mine.next_if(|(bucket, _)| *bucket == next).map_or(0, |(_, count)| *count);
            let b = others.next_if(|(bucket, _)| *bucket == next).map_or(0, |(_, count)| signed(*count));
            let count = a.wrapping_add(b);
            if count != 0 {
                merged.push((next, count));
            }
        }
        self.0 = merged;
    }

    /// The bucket of the value that a part of all values are not above.
    fn at(&self, part: f64) -> Option<i32> {
        let total = self.0.iter().fold(0_i64, |total, (_, count)| total.saturating_add(*count));
        let rank = ((part * total as f64).ceil() as i64).max(1);
        let mut below = 0_i64;
        let found = self.0.iter().find(|(_, count)| {
            below = below.saturating_add(*count);
            below >= rank
        });
        found.or(self.0.last()).map(|(bucket, _)| *bucket)
    }
}

fn bucket(value: f64) -> i32 {
    let value = if value == 0.0 { 0.0 } else { value };
    (Double::new(value).ordered_bits() >> BUCKET_BITS) as i32
}

/// The value that stands for a bucket's.
fn middle(bucket: i32, is_whole: bool) -> f64 {
    let low = i64::from(bucket) << BUCKET_BITS;
    let [low, middle, high] = [low, low + (1 << (BUCKET_BITS - 1)), low + (1 << BUCKET_BITS) - 1]
        .map(|bits| Double::of_bits(bits).value());
    if bucket == 0 {
        0.0
    } else if low.is_infinite() || high.is_infinite() {
        // The infinities are the first of what is else a bucket of NaN.
        if low.is_infinite() { low } else { high }
    } else if is_whole {
        // Whole numbers below 256 have a bucket each, at its end towards zero.
        middle.trunc()
    } else {
        middle
    }
}

/// A column of numbers, as doubles.
pub(crate) enum Measures<'a> {
    Whole(Wholes<'a>),
    Double(Doubles<'a>),
}

impl Measures<'_> {
    fn bucket(&self, row: usize) -> Option<i32> {
        match self {
            Measures::Whole(column) => <i64 as Value>::get(column, row).map(|value| bucket(value as f64)),
            Measures::Double(column) => column.get(row).map(bucket),
        }
    }
}

/// Percentiles in the making: single ones or lists.
pub(crate) enum Percentiles {
    Single(Vec<Option<f64>>),
    Lists { lists: Lists<Vec<Option<f64>>>, is_valid: Vec<bool> },
}

impl Fold for Percentile {
    type State = Buckets;
    type Column<'a> = Measures<'a>;
    type Builder = Percentiles;
    const INVERSE: bool = true;

    fn column<'a>(&self, arguments: &'a [ArrayRef]) -> Option<Measures<'a>> {
        if self.is_whole {
            <i64 as Value>::columns(arguments).map(Measures::Whole)
        } else {
            <Double as Value>::columns(arguments).map(Measures::Double)
        }
    }

    fn insert(&self, state: &mut Buckets, column: &Measures<'_>, row: usize, _place: Place) {
        if let Some(bucket) = column.bucket(row) {
            state.change(bucket, 1);
        }
    }

    fn remove(&self, state: &mut Buckets, column: &Measures<'_>, row: usize, _place: Place) {
        if let Some(bucket) = column.bucket(row) {
            state.change(bucket, -1);
        }
    }

    fn merge(&self, into: &mut Buckets, other: &Buckets) {
        into.combine(other, false);
    }

    fn unmerge(&self, from: &mut Buckets, leaving: &Buckets) {
        from.combine(leaving, true);
    }

    fn builder(&self, capacity: usize) -> Percentiles {
        if self.parts.len() == 1 {
            Percentiles::Single(Vec::with_capacity(capacity))
        } else {
            Percentiles::Lists { lists: Lists::new(Vec::new(), capacity), is_valid: Vec::new() }
        }
    }

    fn push(&self, state: &Buckets, _as_of: i64, builder: &mut Percentiles) -> Result<(), String> {
        let mut values = self.parts.iter().map(|part| state.at(*part).map(|it| middle(it, self.is_whole)));
        match builder {
            Percentiles::Single(singles) => singles.push(values.next().flatten()),
            Percentiles::Lists { lists, is_valid } => {
                let shown = if state.0.is_empty() { 0 } else { self.parts.len() };
                let room = lists.check_room(shown);
                let shown = if room.is_ok() { shown } else { 0 };
                lists.items.extend(values.take(shown));
                lists.end(shown);
                is_valid.push(shown > 0);
                return room;
            }
        }
        Ok(())
    }

    fn build(&self, builder: Percentiles) -> ArrayRef {
        match builder {
            Percentiles::Single(values) => Arc::new(Float64Array::from(values)),
            Percentiles::Lists { lists, is_valid } => {
                let (items, ends) = lists.into_parts();
                let items: ArrayRef = Arc::new(Float64Array::from(items));
                list_array(items, ends, Some(is_valid))
            }
        }
    }

    fn encode(&self, state: &Buckets, out: &mut Vec<u8>) {
        bytes::put_unsigned(state.0.len() as u64, out);
        for (bucket, count) in &state.0 {
            bytes::put_signed(i64::from(*bucket), out);
            bytes::put_signed(*count, out);
        }
    }

    fn decode(&self, reader: &mut Reader<'_>) -> Option<Buckets> {
        let mut state = Buckets::default();
        for _ in 0..reader.count(2)? {
            let bucket = i32::try_from(reader.signed()?).ok()?;
            let is_bucket = i64::from(bucket) << BUCKET_BITS >> BUCKET_BITS == i64::from(bucket);
            let count = reader.signed().filter(|count| *count > 0)?;
            if !is_bucket || state.0.last().is_some_and(|(last, _)| *last >= bucket) {
                return None;
            }
            state.0.push((bucket, count));
        }
        Some(state)
    }

    fn heap_bytes(&self, state: &Buckets) -> usize {
        state.0.capacity() * size_of::<(i32, i64)>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ends_and_small_whole_numbers_are_exact() {
        for value in [0.0, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(middle(bucket(value), false), value);
        }
        assert!(middle(bucket(f64::NAN), false).is_nan());
        for value in -255..256 {
            assert_eq!(middle(bucket(f64::from(value)), true), f64::from(value));
        }
        let mut buckets = Buckets::default();
        (1..=100).for_each(|value| buckets.change(bucket(f64::from(value)), 1));
        let at = |part| buckets.at(part).map(|it| middle(it, true));
        assert_eq!([at(0.0), at(0.5), at(0.95), at(1.0)], [Some(1.0), Some(50.0), Some(95.0), Some(100.0)]);
    }

    proptest! {
        #[test]
        fn a_bucket_stands_for_its_values(value in any::<f64>()) {
            let stands = middle(bucket(value), false);
            let is_near = (stands - value).abs() <= value.abs() / 256.0;
            prop_assert!(is_near || !value.is_normal() || stands == value, "{value} by {stands}");
        }
    }
}
