//! Values that are chosen among a frame's rows, straight from the row log: no states, no copies.
//!
//! Per key it keeps the rows that may still be chosen, by number: for least and greatest a monotonic queue, for the
//! newest one row, for the oldest how far there is none, for lists the newest ones where nulls or a filter make
//! them differ from the frame's last rows. How lists are made of them is for `lists.rs`.

use super::frame::FrameRows;
use super::lists::SlidingLists;
use crate::aggregate::{AggregateError, Finished, Selection};
use crate::row_log::block::RowBlock;
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
pub(crate) enum ChosenRows {
    One(Gather),
    Many(SlidingLists),
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

    pub(crate) fn output(&self, layout: &Layout) -> ChosenRows {
        match self.selection {
            Selection::List { limit, newest_first } => {
                ChosenRows::Many(SlidingLists::new(layout, *self, limit, newest_first))
            }
            _ => ChosenRows::One(self.gather(layout)),
        }
    }

    /// An empty column of argument values.
    pub(crate) fn gather(&self, layout: &Layout) -> Gather {
        Gather::new(&layout.types[self.column])
    }

    /// The argument among the log's columns.
    pub(crate) fn column(&self) -> usize {
        self.column
    }

    fn is_candidate(&self, block: &RowBlock, row: usize) -> bool {
        !block.columns[self.column].is_null(row)
            && self.filter.is_none_or(|filter| block.columns[filter].is_true(row))
    }

    /// Whether all rows of a block are candidates.
    fn takes_all(&self, block: &RowBlock) -> bool {
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
    fn beats(&self, log: &Log, kept: u64, block: &RowBlock, row: usize) -> bool {
        let (kept_block, kept_row) = log.row(kept);
        let order = kept_block.columns[self.column].compare(kept_row, &block.columns[self.column], row);
        order == if self.selection == Selection::Least { Ordering::Less } else { Ordering::Greater }
    }

    /// Appends the value of a frame whose core has come in.
    pub(crate) fn push(
        &self,
        candidates: &mut Candidates,
        log: &Log,
        frame: &FrameRows,
        out: &mut ChosenRows,
    ) {
        match out {
            ChosenRows::Many(lists) => lists.push(candidates, log, frame),
            ChosenRows::One(gather) => match self.choose(candidates, log, frame) {
                Some(number) => {
                    let (block, row) = log.row(number);
                    gather.push(block, self.column, row..row + 1);
                }
                None => gather.push_null(),
            },
        }
    }

    /// The row that is a frame's value.
    fn choose(&self, candidates: &mut Candidates, log: &Log, frame: &FrameRows) -> Option<u64> {
        let rest = frame.rest();
        match self.selection {
            Selection::Oldest => {
                let core = frame.core();
                candidates.searched = self.oldest(log, candidates.searched.max(core.start)..core.end);
                let of_rest = || {
                    let found = rest.into_iter().map(|rows| (self.oldest(log, rows.clone()), rows.end));
                    found.filter(|(first, end)| first < end).map(|(first, _)| first).next()
                };
                Some(candidates.searched).filter(|first| *first < core.end).or_else(of_rest)
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
                best
            }
            Selection::Newest | Selection::List { .. } => {
                let of_rest = rest.into_iter().rev().find_map(|rows| self.newest(log, rows));
                of_rest.or_else(|| candidates.queue.back().copied())
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
    pub(super) fn listed(
        &self,
        candidates: &Candidates,
        log: &Log,
        frame: &FrameRows,
        limit: usize,
    ) -> VecDeque<u64> {
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

    /// The value of one frame, found from the candidates of an earlier one if there are such.
    pub(crate) fn value(
        &self,
        layout: &Layout,
        log: &Log,
        frame: &FrameRows,
        earlier: Option<(&Candidates, &FrameRows)>,
    ) -> Result<Finished, AggregateError> {
        let core = frame.core();
        let is_earlier = |stands: &Range<u64>| stands.start <= core.start && stands.end <= core.end;
        let earlier = earlier.map(|(candidates, stands)| (candidates, stands.core()));
        let (mut candidates, stands) = match earlier.filter(|(_, stands)| is_earlier(stands)) {
            Some((candidates, stands)) => (candidates.clone(), stands),
            None => (Candidates::default(), core.start..core.start),
        };
        let mut out = self.output(layout);
        self.enter(&mut candidates, log, stands.start, stands.end.max(core.start)..core.end);
        candidates.leave(core.start);
        self.push(&mut candidates, log, frame, &mut out);
        out.close(log);
        out.finish()
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

    /// The rows of a list, if they are not just the last ones of the frame's core.
    pub(super) fn listed(&self) -> Option<&VecDeque<u64>> {
        self.is_listed.then_some(&self.queue)
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.queue.capacity() * 8
    }
}

impl ChosenRows {
    /// The values of one key are complete.
    pub(crate) fn close(&mut self, log: &Log) {
        if let ChosenRows::Many(lists) = self {
            lists.close(log);
        }
    }

    /// The values; lists as views.
    pub(crate) fn finish(self) -> Result<Finished, AggregateError> {
        match self {
            ChosenRows::One(gather) => Ok(Finished { values: gather.finish(), errors: Vec::new() }),
            ChosenRows::Many(lists) => lists.finish(),
        }
    }
}
