//! Rows on their way into states: from a batch, or copied out of row logs.
//!
//! Knows aggregates, filters and logs. Must not know windows.

use crate::aggregate::{AggregateError, Input, States};
use crate::answer::Rows;
use crate::geometry::{Geometry, PaneStart};
use crate::marks::Marks;
use crate::row_log::gather::Gather;
use crate::row_log::{Layout, Log};
use crate::slots::counted;
use crate::spec::AggregateSpec;
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use std::ops::Range;
use weir_event::Rank;

/// Rows copied out of logs for one aggregate.
pub(crate) struct Feed {
    pub(crate) times: Vec<i64>,
    pub(crate) ranks: Vec<Rank>,
    pub(crate) arguments: Vec<ArrayRef>,
}

/// Copies rows of logs out.
pub(crate) struct Feeder {
    times: Vec<i64>,
    ranks: Vec<Rank>,
    arguments: Vec<(usize, Gather)>,
    filter: Option<usize>,
    edits: Option<u32>,
    /// Rows that carry these are left out.
    without: Option<Marks>,
}

impl Feeder {
    pub(crate) fn new(layout: &Layout, aggregate: &AggregateSpec) -> Feeder {
        let filter = aggregate.filter.and_then(|filter| layout.position(filter));
        Feeder { filter, edits: aggregate.edits, ..Feeder::of_columns(layout, &aggregate.arguments) }
    }

    /// Of these input columns, of all rows.
    pub(crate) fn of_columns(layout: &Layout, inputs: &[usize]) -> Feeder {
        let kept = |input: &usize| layout.position(*input).map(|at| (at, Gather::new(&layout.types[at])));
        let arguments = inputs.iter().filter_map(kept).collect();
        Feeder { times: Vec::new(), ranks: Vec::new(), arguments, filter: None, edits: None, without: None }
    }

    /// Without rows that carry these marks.
    pub(crate) fn without(self, marks: Marks) -> Feeder {
        Feeder { without: Some(marks), ..self }
    }

    /// How many rows it has.
    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }

    /// Appends those of a log's rows that are the aggregate's own and that the filter lets through.
    pub(crate) fn push(&mut self, log: &Log, rows: Range<u64>) {
        log.for_each(rows, |block, rows| {
            let (filter, edits) = (self.filter.map(|filter| &block.columns[filter]), self.edits);
            let without = self.without.filter(|_| !block.is_unmarked());
            if filter.is_none() && edits.is_none() && without.is_none() {
                return self.push_rows(block, rows);
            }
            let passes = |row: &usize| {
                filter.is_none_or(|filter| filter.is_true(*row))
                    && edits.is_none_or(|edits| block.edits(*row) < i64::from(edits))
                    && without.is_none_or(|without| !block.marks(*row).has_any(without))
            };
            rows.filter(passes).for_each(|row| self.push_rows(block, row..row + 1));
        });
    }

    fn push_rows(&mut self, block: &crate::row_log::block::RowBlock, rows: Range<usize>) {
        self.times.extend(rows.clone().map(|row| block.time(row)));
        self.ranks.extend(rows.clone().map(|row| block.rank(row)));
        for (column, gather) in &mut self.arguments {
            gather.push(block, *column, rows.clone());
        }
    }

    pub(crate) fn finish(self) -> Feed {
        let arguments = self.arguments.into_iter().map(|(_, gather)| gather.finish()).collect();
        Feed { times: self.times, ranks: self.ranks, arguments }
    }
}

impl Feed {
    /// The rows as input to states, all to the given groups.
    pub(crate) fn input<'a>(&'a self, groups: &'a [u32], rows: &'a [u32]) -> Input<'a> {
        Input { groups, rows, times: &self.times, ranks: &self.ranks, arguments: &self.arguments }
    }

    /// Gives all rows to the one group of some states; nothing where there are none.
    pub(crate) fn give(
        &self,
        to: impl FnOnce(&Input<'_>) -> Result<(), AggregateError>,
    ) -> Result<(), AggregateError> {
        if self.times.is_empty() {
            return Ok(());
        }
        to(&self.input(&vec![0; self.times.len()], &counted(self.times.len())))
    }

    /// Feeds row `i` to group `groups[i]`. Rows that make the aggregate fail are left out, one by one: they are
    /// returned, with the reason.
    pub(crate) fn fold(
        &self,
        states: &mut dyn States,
        groups: &[u32],
    ) -> Result<Vec<(u32, String)>, AggregateError> {
        let rows = counted(groups.len());
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        match states.update(&self.input(groups, &rows)) {
            Err(AggregateError::Rows(_)) => {}
            done => return done.map(|()| Vec::new()),
        }
        let mut failed = Vec::new();
        for row in rows {
            match states.update(&self.input(&groups[row as usize..=row as usize], &[row])) {
                Err(AggregateError::Rows(reason)) => failed.push((row, reason)),
                done => done?,
            }
        }
        Ok(failed)
    }
}

/// Cuts a stretch of a log at the panes' edges.
pub(crate) fn by_pane(log: &Log, rows: Range<u64>, geometry: &Geometry) -> Vec<(PaneStart, Range<u64>)> {
    let mut cut = Vec::new();
    let mut from = rows.start;
    while from < rows.end {
        // Rows between two windows never came into the log.
        let Some(pane) = geometry.pane_of(log.time(from)) else { break };
        let to = log.first_at(geometry.pane_end(pane)).clamp(from + 1, rows.end);
        cut.push((pane, from..to));
        from = to;
    }
    cut
}

/// Feeds rows of a batch, each to its group; those that the filter does not let through are left out.
pub(crate) fn feed_batch(
    states: &mut dyn States,
    aggregate: &AggregateSpec,
    batch: &Rows<'_>,
    groups: &[u32],
    rows: &[u32],
) -> Result<(), AggregateError> {
    let arguments: Vec<ArrayRef> =
        aggregate.arguments.iter().map(|input| batch.columns[*input].clone()).collect();
    let mut feed = |groups: &[u32], rows: &[u32]| {
        let Rows { times, ranks, .. } = *batch;
        states.update(&Input { groups, rows, times, ranks, arguments: &arguments })
    };
    let Some(filter) = aggregate.filter.and_then(|filter| batch.columns[filter].as_boolean_opt()) else {
        return feed(groups, rows);
    };
    let passing = groups.iter().zip(rows).filter(|(_, row)| {
        let row = **row as usize;
        filter.is_valid(row) && filter.value(row)
    });
    let (groups, rows): (Vec<u32>, Vec<u32>) = passing.unzip();
    if groups.is_empty() { Ok(()) } else { feed(&groups, &rows) }
}

/// Finds out whether any row alone makes an aggregate fail that will be fed later on: then it is still time to leave
/// it out everywhere. Whether a row fails so depends on nothing but the row.
pub(crate) fn probe<'a>(
    aggregates: impl Iterator<Item = &'a AggregateSpec>,
    rows: &Rows<'_>,
) -> Result<(), AggregateError> {
    for aggregate in aggregates.filter(|aggregate| aggregate.function.fallible()) {
        let filter = aggregate.filter.and_then(|filter| rows.columns[filter].as_boolean_opt());
        let passes = |row: usize| filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row));
        let passing: Vec<u32> = rows.rows.iter().copied().filter(|row| passes(*row as usize)).collect();
        if passing.is_empty() {
            continue;
        }
        let arguments: Vec<ArrayRef> =
            aggregate.arguments.iter().map(|input| rows.columns[*input].clone()).collect();
        let groups = counted(passing.len());
        let mut states = aggregate.function.states();
        states.resize(groups.len());
        let Rows { times, ranks, .. } = *rows;
        states.update(&Input { groups: &groups, rows: &passing, times, ranks, arguments: &arguments })?;
    }
    Ok(())
}
