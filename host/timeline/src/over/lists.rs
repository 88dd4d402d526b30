//! Lists of the newest rows of frames, as views: lists of one key share their items, which are copied out of the log
//! once per call however many lists they are in.

use super::choice::{Candidates, Chooser};
use super::frame::FrameRows;
use crate::aggregate::{AggregateError, Finished};
use crate::row_log::gather::Gather;
use crate::row_log::{Layout, Log};
use arrow_array::{ArrayRef, ListViewArray};
use arrow_schema::Field;
use std::ops::Range;
use std::sync::Arc;

/// Lists in the making.
pub(crate) struct SlidingLists {
    chooser: Chooser,
    limit: usize,
    newest_first: bool,
    gather: Gather,
    /// Items that were copied.
    items: u64,
    /// Of each list, where its items begin; of those of the open run, where in the run.
    starts: Vec<u64>,
    lengths: Vec<u64>,
    run: ListRun,
    /// The first list of the open run.
    run_from: usize,
}

/// Rows of one key of which each list is a stretch.
enum ListRun {
    Closed,
    /// All rows of a range.
    Rows(Range<u64>),
    /// These rows.
    Numbers(Vec<u64>),
}

impl SlidingLists {
    pub(crate) fn new(layout: &Layout, chooser: Chooser, limit: usize, newest_first: bool) -> SlidingLists {
        SlidingLists {
            chooser,
            limit,
            newest_first,
            gather: chooser.gather(layout),
            items: 0,
            starts: Vec::new(),
            lengths: Vec::new(),
            run: ListRun::Closed,
            run_from: 0,
        }
    }

    /// Appends the list of a frame whose core has come in. Frames of one key come in order, and `close` is called
    /// before those of the next.
    pub(crate) fn push(&mut self, candidates: &Candidates, log: &Log, frame: &FrameRows) {
        if frame.rest().iter().any(|rows| !rows.is_empty()) {
            self.close(log);
            let numbers = self.chooser.listed(candidates, log, frame, self.limit);
            self.starts.push(0);
            self.lengths.push(numbers.len() as u64);
            self.run = ListRun::Numbers(numbers.into());
            self.close(log);
        } else if let Some(queue) = candidates.listed() {
            if !matches!(self.run, ListRun::Numbers(_)) {
                self.close(log);
                self.run = ListRun::Numbers(Vec::new());
            }
            if let ListRun::Numbers(numbers) = &mut self.run {
                let known = numbers.last().map_or(0, |last| queue.partition_point(|number| number <= last));
                numbers.extend(queue.range(known..));
                self.starts.push((numbers.len() - queue.len()) as u64);
                self.lengths.push(queue.len() as u64);
            }
        } else {
            let core = frame.core();
            let rows = core.start.max(core.end.saturating_sub(self.limit as u64))..core.end;
            match &mut self.run {
                ListRun::Rows(run) if run.start <= rows.start && rows.start <= run.end => run.end = rows.end,
                _ => {
                    self.close(log);
                    self.run = ListRun::Rows(rows.clone());
                }
            }
            let from = if let ListRun::Rows(run) = &self.run { run.start } else { rows.start };
            self.starts.push(rows.start - from);
            self.lengths.push(rows.end - rows.start);
        }
    }

    /// Copies the items of the open run.
    pub(crate) fn close(&mut self, log: &Log) {
        let column = self.chooser.column();
        let length = match std::mem::replace(&mut self.run, ListRun::Closed) {
            ListRun::Closed => 0,
            ListRun::Rows(rows) => {
                let length = rows.end - rows.start;
                if self.newest_first {
                    for (block, rows) in log.stretches(rows).rev() {
                        rows.rev().for_each(|row| self.gather.push(block, column, row..row + 1));
                    }
                } else {
                    log.for_each(rows, |block, rows| self.gather.push(block, column, rows));
                }
                length
            }
            ListRun::Numbers(numbers) => {
                if self.newest_first {
                    for number in numbers.iter().rev() {
                        let (block, row) = log.row(*number);
                        self.gather.push(block, column, row..row + 1);
                    }
                } else {
                    log.for_numbers(numbers.iter().copied(), |block, row| {
                        self.gather.push(block, column, row..row + 1);
                    });
                }
                numbers.len() as u64
            }
        };
        let of_run = self.starts[self.run_from..].iter_mut().zip(&self.lengths[self.run_from..]);
        for (start, own) in of_run {
            *start = self.items + if self.newest_first { length - *start - own } else { *start };
        }
        self.items += length;
        self.run_from = self.starts.len();
    }

    pub(crate) fn finish(self) -> Result<Finished, AggregateError> {
        let too_many = |error: &dyn std::fmt::Display| {
            AggregateError::Broken(format!("one call's lists have more than 2^31 items: {error}"))
        };
        let narrow =
            |numbers: Vec<u64>| numbers.into_iter().map(i32::try_from).collect::<Result<Vec<i32>, _>>();
        let starts = narrow(self.starts).map_err(|error| too_many(&error))?;
        let lengths = narrow(self.lengths).map_err(|error| too_many(&error))?;
        let items: ArrayRef = self.gather.finish();
        let field = Arc::new(Field::new("item", items.data_type().clone(), true));
        let lists = ListViewArray::try_new(field, starts.into(), lengths.into(), items, None);
        let lists = lists.map_err(|error| AggregateError::Broken(error.to_string()))?;
        Ok(Finished { values: Arc::new(lists), errors: Vec::new() })
    }
}
