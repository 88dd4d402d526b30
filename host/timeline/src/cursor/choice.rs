//! Values that are chosen among a frame's rows, straight from the row log: no states, no copies.
//!
//! Per key it keeps the rows that may still be chosen, by number: for least and greatest a monotonic queue, for the
//! newest one row, for the oldest how far there is none, for lists the newest ones where nulls or a filter make
//! them differ from the frame's last rows.

use crate::aggregate::top::list_array;
use crate::aggregate::{AggregateError, Finished, Selection};
use crate::frame::FrameRows;
use crate::row_log::block::Block;
use crate::row_log::gather::Gather;
use crate::row_log::{Layout, Log};
use crate::spec::AggregateSpec;
use std::cmp::Ordering;
use std::collections::VecDeque;
use std::ops::Range;

/// What is chosen, and from which columns of the log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chooser {
    selection: Selection,
    /// Argument and filter among the log's columns.
    column: usize,
    filter: Option<usize>,
}

/// The rows of one key that may be chosen.
#[derive(Debug, Clone, Default)]
pub(crate) struct Candidates {
    /// In order of number. Of a list: empty and unused unless `is_listed`.
    queue: VecDeque<u64>,
    is_listed: bool,
    /// Of the oldest: no row below this one is a candidate.
    searched: u64,
}

/// Values in the making.
pub(crate) struct Chosen {
    gather: Gather,
    /// Of lists: where each ends.
    ends: Vec<i32>,
}

impl Chooser {
    /// `None` if the aggregate is no choice of rows.
    pub(crate) fn new(layout: &Layout, aggregate: &AggregateSpec) -> Option<Chooser> {
        let selection = aggregate.function.selection()?;
        let column = layout.position(*aggregate.arguments.first()?)?;
        let filter = match aggregate.filter {
            Some(filter) => Some(layout.position(filter)?),
            None => None,
        };
        Some(Chooser { selection, column, filter })
    }

    pub(crate) fn selection(&self) -> Selection {
        self.selection
    }

    pub(crate) fn output(&self, layout: &Layout) -> Chosen {
        Chosen { gather: Gather::new(&layout.types[self.column]), ends: vec![0] }
    }

    fn is_candidate(&self, block: &Block, row: usize) -> bool {
        !block.columns[self.column].is_null(row)
            && self.filter.is_none_or(|filter| block.columns[filter].is_true(row))
    }

    /// Whether all rows of a block are candidates.
    fn takes_all(&self, block: &Block) -> bool {
        self.filter.is_none() && !block.columns[self.column].has_nulls()
    }

    /// Shows the candidates of a range, the newest first, until `visit` gives false.
    fn newest_first(&self, log: &Log, range: Range<u64>, mut visit: impl FnMut(u64) -> bool) {
        let mut end = range.end;
        while end > range.start {
            let (block, last) = log.row(end - 1);
            for row in (0..=last).rev() {
                let number = block.start + row as u64;
                if number < range.start || self.is_candidate(block, row) && !visit(number) {
                    return;
                }
            }
            end = block.start;
        }
    }

    /// Rows come into the frame; `low` is its first row before they do.
    pub(crate) fn enter(&self, candidates: &mut Candidates, log: &Log, low: u64, entering: Range<u64>) {
        let queue = &mut candidates.queue;
        match self.selection {
            Selection::Oldest => {}
            Selection::Newest => self.newest_first(log, entering, |number| {
                queue.clear();
                queue.push_back(number);
                false
            }),
            Selection::Least | Selection::Greatest => log.for_each(entering, |block, rows| {
                for row in rows.filter(|row| self.is_candidate(block, *row)) {
                    while queue.back().is_some_and(|kept| !self.beats(log, *kept, block, row)) {
                        queue.pop_back();
                    }
                    queue.push_back(block.start + row as u64);
                }
            }),
            Selection::List { limit, .. } => {
                if !candidates.is_listed {
                    let mut takes_all = true;
                    log.for_each(entering.clone(), |block, _| takes_all &= self.takes_all(block));
                    if takes_all {
                        return;
                    }
                    candidates.is_listed = true;
                    self.newest_first(log, low..entering.start, |number| {
                        queue.push_front(number);
                        queue.len() < limit
                    });
                }
                log.for_each(entering, |block, rows| {
                    let rows = rows.filter(|row| self.is_candidate(block, *row));
                    queue.extend(rows.map(|row| block.start + row as u64));
                });
                let surplus = queue.len().saturating_sub(limit);
                queue.drain(..surplus);
            }
        }
    }

    /// Whether a kept row's value is still of use beside a newer row's.
    fn beats(&self, log: &Log, kept: u64, block: &Block, row: usize) -> bool {
        let (kept_block, kept_row) = log.row(kept);
        let order = kept_block.columns[self.column].compare(kept_row, &block.columns[self.column], row);
        order == if self.selection == Selection::Least { Ordering::Less } else { Ordering::Greater }
    }

    /// Appends the value of a frame whose core has come in.
    pub(crate) fn push(&self, candidates: &mut Candidates, log: &Log, frame: &FrameRows, out: &mut Chosen) {
        let rest = frame.rest();
        match self.selection {
            Selection::List { limit, newest_first } => {
                if rest.iter().all(Range::is_empty) && !candidates.is_listed {
                    let core = frame.core();
                    let last = core.start.max(core.end.saturating_sub(limit as u64))..core.end;
                    if newest_first {
                        last.clone().rev().for_each(|number| out.push(self.column, log, number));
                    } else {
                        log.for_each(last.clone(), |block, rows| out.gather.push(block, self.column, rows));
                    }
                    out.end_list((last.end - last.start) as usize);
                } else {
                    let numbers = self.listed(candidates, log, frame, limit);
                    self.push_numbers(log, numbers.into_iter(), newest_first, out);
                }
            }
            Selection::Oldest => {
                let core = frame.core();
                candidates.searched = self.oldest(log, candidates.searched.max(core.start)..core.end);
                let of_core = Some(candidates.searched).filter(|first| *first < core.end);
                let of_rest = || {
                    let found = rest.into_iter().map(|rows| (self.oldest(log, rows.clone()), rows.end));
                    found.filter(|(first, end)| first < end).map(|(first, _)| first).next()
                };
                out.push_one(self.column, log, of_core.or_else(of_rest));
            }
            Selection::Newest => {
                let of_rest = rest.into_iter().rev().find_map(|rows| self.newest(log, rows));
                out.push_one(self.column, log, of_rest.or_else(|| candidates.queue.front().copied()));
            }
            Selection::Least | Selection::Greatest => {
                let mut best = candidates.queue.front().copied();
                for rows in rest {
                    log.for_each(rows, |block, rows| {
                        for row in rows.filter(|row| self.is_candidate(block, *row)) {
                            if best.is_none_or(|best| !self.beats(log, best, block, row)) {
                                best = Some(block.start + row as u64);
                            }
                        }
                    });
                }
                out.push_one(self.column, log, best);
            }
        }
    }

    /// The first candidate of a range; its end if there is none.
    fn oldest(&self, log: &Log, range: Range<u64>) -> u64 {
        let mut first = range.start;
        while first < range.end {
            let (block, row) = log.row(first);
            if self.is_candidate(block, row) {
                break;
            }
            first += 1;
        }
        first
    }

    fn newest(&self, log: &Log, range: Range<u64>) -> Option<u64> {
        let mut found = None;
        self.newest_first(log, range, |number| {
            found = Some(number);
            false
        });
        found
    }

    /// The rows of a frame's list, in order.
    fn listed(&self, candidates: &Candidates, log: &Log, frame: &FrameRows, limit: usize) -> VecDeque<u64> {
        let mut list = VecDeque::new();
        for rows in frame.rest().into_iter().rev() {
            self.newest_first(log, rows, |number| {
                if list.len() < limit {
                    list.push_front(number);
                }
                list.len() < limit
            });
        }
        let room = limit - list.len();
        if candidates.is_listed {
            candidates.queue.iter().rev().take(room).for_each(|number| list.push_front(*number));
        } else {
            frame.core().rev().take(room).for_each(|number| list.push_front(number));
        }
        list
    }

    fn push_numbers(
        &self,
        log: &Log,
        numbers: impl DoubleEndedIterator<Item = u64> + ExactSizeIterator,
        newest_first: bool,
        out: &mut Chosen,
    ) {
        let length = numbers.len();
        if newest_first {
            numbers.rev().for_each(|number| out.push(self.column, log, number));
        } else {
            log.for_numbers(numbers, |block, row| out.gather.push(block, self.column, row..row + 1));
        }
        out.end_list(length);
    }

    pub(crate) fn finish(&self, out: Chosen) -> Result<Finished, AggregateError> {
        let items = out.gather.finish();
        let values = match self.selection {
            // Lists are told apart by 32-bit offsets, as everywhere in Arrow's lists.
            Selection::List { .. } if out.ends.iter().any(|end| *end < 0) => {
                return Err(AggregateError::Broken("one call's lists have more than 2^31 items".to_owned()));
            }
            Selection::List { .. } => list_array(items, out.ends),
            _ => items,
        };
        Ok(Finished { values, errors: Vec::new() })
    }

    /// The value of one frame, found without candidates.
    pub(crate) fn value(
        &self,
        layout: &Layout,
        log: &Log,
        frame: &FrameRows,
    ) -> Result<Finished, AggregateError> {
        let mut candidates = Candidates::default();
        let mut out = self.output(layout);
        self.enter(&mut candidates, log, frame.start(), frame.core());
        self.push(&mut candidates, log, frame, &mut out);
        self.finish(out)
    }
}

impl Candidates {
    /// Rows before `low` have left the frame.
    pub(crate) fn leave(&mut self, low: u64) {
        while self.queue.front().is_some_and(|number| *number < low) {
            self.queue.pop_front();
        }
        self.searched = self.searched.max(low);
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.queue.capacity() * 8
    }
}

impl Chosen {
    fn push(&mut self, column: usize, log: &Log, number: u64) {
        let (block, row) = log.row(number);
        self.gather.push(block, column, row..row + 1);
    }

    fn push_one(&mut self, column: usize, log: &Log, number: Option<u64>) {
        match number {
            Some(number) => self.push(column, log, number),
            None => self.gather.push_null(),
        }
    }

    fn end_list(&mut self, items: usize) {
        let last = i64::from(self.ends.last().copied().unwrap_or(0));
        // A sum beyond 2^31 becomes a negative end, which `finish` refuses.
        self.ends.push(i32::try_from(last + items as i64).ok().filter(|_| last >= 0).unwrap_or(i32::MIN));
    }
}
