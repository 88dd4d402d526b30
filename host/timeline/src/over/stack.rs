//! Folds of frames that move on, for aggregates without an inverse whose bits do not depend on how rows are bracketed:
//! a few rows and merges per event, however many rows are in its frame.
//!
//! The rows of a frame are cut in two. Those before the cut are folded backwards from it, once, with a fold kept for
//! every few rows; those after it forwards, as they come. When the frame has moved beyond the cut, a new one is made.

use super::cursor::Walk;
use super::frame::FrameRows;
use crate::aggregate::{AggregateError, Finished, States};
use crate::feed::Feeder;
use crate::row_log::logs::Logs;
use crate::row_log::{Layout, Log};
use crate::slots::counted;
use crate::spec::AggregateSpec;
use std::ops::Range;

/// Rows between two kept folds: a state is larger than a row, and to fold some rows anew costs less than a merge.
const STRIDE_ROWS: u64 = 32;
/// Frames of no more rows are folded anew for each event.
const SHORT_ROWS: u64 = 64;
/// Rows that are copied at once, about: what bounds the memory of a call.
const COPIED_ROWS: usize = 65_536;

/// The folds of one key's frame. By default there is no cut yet.
#[derive(Default)]
pub(crate) struct Stack {
    /// The row after the cut, and the row after the last one that is folded.
    cut: u64,
    end: u64,
    folds: Option<Folds>,
}

struct Folds {
    /// State `i` is of the `(i + 1) * STRIDE_ROWS` rows before the cut.
    before: Box<dyn States>,
    /// One state.
    after: Box<dyn States>,
}

impl Stack {
    /// Takes in the rows of a frame that is none before the last one.
    fn move_to(
        &mut self,
        aggregate: &AggregateSpec,
        layout: &Layout,
        log: &Log,
        rows: &Range<u64>,
    ) -> Result<(), AggregateError> {
        if rows.start >= self.cut || self.folds.is_none() {
            *self = Stack::default();
            if rows.end - rows.start > SHORT_ROWS {
                self.fold_before(aggregate, layout, log, rows)?;
            }
        } else if let Some(folds) = &mut self.folds {
            let groups = |rows: usize| vec![0; rows];
            feed(aggregate, layout, log, self.end..rows.end, folds.after.as_mut(), groups)?;
            self.end = rows.end;
        }
        Ok(())
    }

    /// Cuts behind a frame.
    fn fold_before(
        &mut self,
        aggregate: &AggregateSpec,
        layout: &Layout,
        log: &Log,
        rows: &Range<u64>,
    ) -> Result<(), AggregateError> {
        let (mut before, mut after) = (aggregate.function.states(), aggregate.function.states());
        after.resize(1);
        let strides = (rows.end - rows.start) / STRIDE_ROWS;
        before.resize(strides as usize);
        for stride in 0..strides {
            let end = rows.end - stride * STRIDE_ROWS;
            let groups = |rows: usize| vec![stride as u32; rows];
            feed(aggregate, layout, log, end - STRIDE_ROWS..end, before.as_mut(), groups)?;
            if let Some(later) = stride.checked_sub(1) {
                let later = before.copy(&[later as u32]);
                before.merge(&[stride as u32], later.as_ref(), &[0])?;
            }
        }
        (self.cut, self.end, self.folds) = (rows.end, rows.end, Some(Folds { before, after }));
        Ok(())
    }

    /// Folds what it has of a frame into a state, and gives the rows that it has not.
    fn fold_into(
        &self,
        rows: &Range<u64>,
        states: &mut dyn States,
        group: u32,
    ) -> Result<Range<u64>, AggregateError> {
        let Some(folds) = &self.folds else { return Ok(rows.clone()) };
        let strides = (self.cut - rows.start) / STRIDE_ROWS;
        if let Some(last) = strides.checked_sub(1) {
            states.merge(&[group], folds.before.as_ref(), &[last as u32])?;
        }
        states.merge(&[group], folds.after.as_ref(), &[0])?;
        Ok(rows.start..self.cut - strides * STRIDE_ROWS)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.folds.as_ref().map_or(0, |folds| folds.before.memory_bytes() + folds.after.memory_bytes())
    }
}

fn feed(
    aggregate: &AggregateSpec,
    layout: &Layout,
    log: &Log,
    rows: Range<u64>,
    states: &mut dyn States,
    groups: impl Fn(usize) -> Vec<u32>,
) -> Result<(), AggregateError> {
    let mut feeder = Feeder::new(layout, aggregate);
    feeder.push(log, rows);
    let feed = feeder.finish();
    let rows = counted(feed.times.len());
    if rows.is_empty() { Ok(()) } else { states.update(&feed.input(&groups(rows.len()), &rows)) }
}

/// The values of one aggregate for the events of all walks, in order. `bounds` are their frames, without holes.
pub(crate) fn values(
    stacks: &mut [Stack],
    aggregate: &AggregateSpec,
    logs: &Logs,
    walks: &[Walk],
    bounds: &[FrameRows],
) -> Result<Finished, AggregateError> {
    let layout = &logs.layout;
    let mut states = aggregate.function.states();
    states.resize(bounds.len());
    let (mut feeder, mut groups) = (Feeder::new(layout, aggregate), Vec::new());
    let mut as_of = Vec::with_capacity(bounds.len());
    for walk in walks {
        let (log, stack) = (logs.log(walk.slot), &mut stacks[walk.group as usize]);
        for number in &walk.events {
            let (at, rows) = (as_of.len(), bounds[as_of.len()].core());
            as_of.push(log.time(*number));
            stack.move_to(aggregate, layout, log, &rows)?;
            let rest = stack.fold_into(&rows, states.as_mut(), at as u32)?;
            feeder.push(log, rest);
            groups.resize(feeder.len(), at as u32);
            if feeder.len() >= COPIED_ROWS {
                let feed = std::mem::replace(&mut feeder, Feeder::new(layout, aggregate)).finish();
                states.update(&feed.input(&groups, &counted(groups.len())))?;
                groups.clear();
            }
        }
    }
    let feed = feeder.finish();
    if !groups.is_empty() {
        states.update(&feed.input(&groups, &counted(groups.len())))?;
    }
    states.finish(&counted(bounds.len()), &as_of)
}
