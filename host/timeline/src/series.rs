//! A series: one aggregate's value for each of the last steps of a window, as a list, the oldest first.
//!
//! It is an aggregate around an aggregate: a state keeps the inner states of its steps apart. Used over windows of
//! `count` steps that slide by one step, it gives the values of the last `count` tumbling windows. Knows no window
//! itself: the last step is the one that ends at the time asked for.

use crate::aggregate::top::list_type;
use crate::aggregate::{Aggregate, AggregateError, Card, Finished, Input, States};
use crate::bytes::{self, Reader};
use arrow_array::{Array, ListArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::Field;
use std::any::Any;
use std::sync::Arc;
use weir_event::{EventTime, Span};

/// The inner group that stands for every step without rows.
const NOTHING: u32 = 0;

/// The values of `inner` in each of the last `count` steps of length `step`, which lie on the grid anchored at
/// `offset`: to be used over [`crate::Grid`] with `size = count * step`, `slide = step` and the same offset. A step
/// without rows has the value of no row.
///
/// `None` if there is no step, or no length to it.
pub fn series(inner: Arc<dyn Aggregate>, step: Span, offset: Span, count: u32) -> Option<Arc<dyn Aggregate>> {
    if count == 0 || step.millis() <= 0 {
        return None;
    }
    let card = inner.card();
    let card = Card {
        algebra: card.algebra,
        inverse: false,
        bounded: card.bounded,
        result: list_type(&card.result),
        identity: format!("series({count} x {step} + {offset}, {})#1", card.identity),
        nulls: card.nulls,
    };
    Some(Arc::new(Series { inner, step, offset, count, card }))
}

#[derive(Debug, Clone)]
struct Series {
    inner: Arc<dyn Aggregate>,
    step: Span,
    offset: Span,
    count: u32,
    card: Card,
}

impl Series {
    /// Start of the step that holds `time`.
    fn step_of(&self, time: i64) -> i64 {
        EventTime::from_millis(time).floor_to(self.step, self.offset).millis()
    }
}

impl Aggregate for Series {
    fn card(&self) -> &Card {
        &self.card
    }

    fn states(&self) -> Box<dyn States> {
        Box::new(SeriesStates::new(self.clone()))
    }

    fn fallible(&self) -> bool {
        self.inner.fallible()
    }
}

struct SeriesStates {
    series: Series,
    inner: Box<dyn States>,
    /// By group, its steps in order: start, and inner group.
    steps: Vec<Vec<(i64, u32)>>,
    free: Vec<u32>,
}

impl SeriesStates {
    fn new(series: Series) -> SeriesStates {
        let mut inner = series.inner.states();
        inner.resize(1);
        SeriesStates { series, inner, steps: Vec::new(), free: Vec::new() }
    }

    fn same_kind(other: &dyn States) -> Result<&Self, AggregateError> {
        other.as_any().downcast_ref().ok_or_else(AggregateError::other_kind)
    }

    /// The inner group of one step of a group, made if need be.
    fn inner_group(&mut self, group: u32, start: i64) -> u32 {
        let steps = &mut self.steps[group as usize];
        let at = steps.partition_point(|(other, _)| *other < start);
        if let Some((_, inner)) = steps.get(at).filter(|(other, _)| *other == start) {
            return *inner;
        }
        let inner = self.free.pop().unwrap_or_else(|| {
            let inner = self.inner.len();
            self.inner.resize(inner + 1);
            inner as u32
        });
        steps.insert(at, (start, inner));
        inner
    }

    fn release(&mut self, steps: impl IntoIterator<Item = (i64, u32)>) {
        let inner: Vec<u32> = steps.into_iter().map(|(_, inner)| inner).collect();
        self.inner.reset(&inner);
        self.free.extend(inner);
    }
}

fn no_inverse() -> AggregateError {
    AggregateError::Broken("a series has no inverse".to_owned())
}

impl States for SeriesStates {
    fn len(&self) -> usize {
        self.steps.len()
    }

    fn resize(&mut self, groups: usize) {
        let dropped: Vec<(i64, u32)> = self.steps.iter().skip(groups).flatten().copied().collect();
        self.release(dropped);
        self.steps.resize(groups, Vec::new());
    }

    fn reset(&mut self, groups: &[u32]) {
        for group in groups {
            let steps = std::mem::take(&mut self.steps[*group as usize]);
            self.release(steps);
        }
    }

    fn update(&mut self, input: &Input<'_>) -> Result<(), AggregateError> {
        let mut inner_groups = Vec::with_capacity(input.groups.len());
        for (group, row) in input.groups.iter().zip(input.rows) {
            let start = self.series.step_of(input.times[*row as usize]);
            inner_groups.push(self.inner_group(*group, start));
        }
        self.inner.update(&Input { groups: &inner_groups, ..*input })
    }

    fn retract(&mut self, _input: &Input<'_>) -> Result<(), AggregateError> {
        Err(no_inverse())
    }

    fn merge(&mut self, into: &[u32], later: &dyn States, from: &[u32]) -> Result<(), AggregateError> {
        let later = Self::same_kind(later)?;
        let (mut inner_into, mut inner_from) = (Vec::new(), Vec::new());
        for (into, from) in into.iter().zip(from) {
            for (start, inner) in &later.steps[*from as usize] {
                inner_into.push(self.inner_group(*into, *start));
                inner_from.push(*inner);
            }
        }
        self.inner.merge(&inner_into, later.inner.as_ref(), &inner_from)
    }

    fn unmerge(&mut self, _: &[u32], _: &dyn States, _: &[u32]) -> Result<(), AggregateError> {
        Err(no_inverse())
    }

    fn finish(&self, groups: &[u32], as_of: &[i64]) -> Result<Finished, AggregateError> {
        let (count, step) = (self.series.count as usize, self.series.step.millis());
        let (mut inner_groups, mut ends) = (Vec::new(), Vec::new());
        for (group, as_of) in groups.iter().zip(as_of) {
            let last = self.series.step_of(as_of.saturating_sub(1));
            let steps = &self.steps[*group as usize];
            for back in (0..count as i64).rev() {
                let start = last.saturating_sub(back.saturating_mul(step));
                let found = steps.binary_search_by_key(&start, |(start, _)| *start);
                inner_groups.push(found.map_or(NOTHING, |at| steps[at].1));
                ends.push(start.saturating_add(step));
            }
        }
        let finished = self.inner.finish(&inner_groups, &ends)?;
        let mut errors: Vec<(u32, String)> =
            finished.errors.into_iter().map(|(at, reason)| (at / count as u32, reason)).collect();
        errors.dedup_by_key(|(group, _)| *group);
        let mut is_valid = vec![true; groups.len()];
        errors.iter().for_each(|(group, _)| is_valid[*group as usize] = false);
        let item = Arc::new(Field::new("item", finished.values.data_type().clone(), true));
        let lengths = OffsetBuffer::from_lengths(std::iter::repeat_n(count, groups.len()));
        let nulls = Some(NullBuffer::from(is_valid)).filter(|nulls| nulls.null_count() > 0);
        let list = ListArray::try_new(item, lengths, finished.values, nulls);
        let values = list.map_err(|error| AggregateError::Broken(error.to_string()))?;
        Ok(Finished { values: Arc::new(values), errors })
    }

    fn copy(&self, groups: &[u32]) -> Box<dyn States> {
        let mut inner_groups = vec![NOTHING];
        let mut copy_steps = |group: &u32| {
            let steps = self.steps[*group as usize].iter();
            let renumbered = steps.map(|(start, inner)| {
                inner_groups.push(*inner);
                (*start, inner_groups.len() as u32 - 1)
            });
            renumbered.collect::<Vec<(i64, u32)>>()
        };
        let steps = groups.iter().map(&mut copy_steps).collect();
        let inner = self.inner.copy(&inner_groups);
        Box::new(SeriesStates { series: self.series.clone(), inner, steps, free: Vec::new() })
    }

    fn append(&mut self, others: &mut dyn States) -> Result<(), AggregateError> {
        let others: Option<&mut Self> = others.as_any_mut().downcast_mut();
        let others = others.ok_or_else(AggregateError::other_kind)?;
        let first = self.inner.len() as u32;
        self.inner.append(&mut *others.inner)?;
        let behind =
            |steps: Vec<(i64, u32)>| steps.into_iter().map(|(start, inner)| (start, first + inner)).collect();
        self.steps.extend(others.steps.drain(..).map(behind));
        // Its group of nothing is one more here that nobody has.
        self.free.push(first + NOTHING);
        self.free.extend(others.free.drain(..).map(|inner| first + inner));
        others.inner.resize(1);
        Ok(())
    }

    fn encode(&self, group: u32, out: &mut Vec<u8>) {
        let steps = &self.steps[group as usize];
        bytes::put_unsigned(steps.len() as u64, out);
        let mut state = Vec::new();
        for (start, inner) in steps {
            bytes::put_signed(*start, out);
            state.clear();
            self.inner.encode(*inner, &mut state);
            bytes::put_bytes(&state, out);
        }
    }

    fn decode(&mut self, group: u32, stored: &[u8]) -> Result<(), AggregateError> {
        let damaged = || AggregateError::Damaged("a series does not read".to_owned());
        self.reset(&[group]);
        let mut reader = Reader::new(stored);
        // A start and the length of a state, a byte each at least.
        for _ in 0..reader.count(2).ok_or_else(damaged)? {
            let start = reader.signed().ok_or_else(damaged)?;
            let state = reader.bytes().ok_or_else(damaged)?;
            let inner = self.inner_group(group, start);
            self.inner.decode(inner, state)?;
        }
        if reader.is_empty() { Ok(()) } else { Err(damaged()) }
    }

    fn memory_bytes(&self) -> usize {
        let steps: usize = self.steps.iter().map(|steps| steps.capacity() * size_of::<(i64, u32)>()).sum();
        let lists = self.steps.capacity() * size_of::<Vec<(i64, u32)>>() + self.free.capacity() * 4;
        self.inner.memory_bytes() + steps + lists
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
