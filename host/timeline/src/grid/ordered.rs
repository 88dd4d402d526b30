//! Ordered aggregates on a grid: they are fed settled rows in total order, so their rows wait in logs until then,
//! and stay there as long as a late row may make a tile be folded anew.

use crate::aggregate::{AggregateError, States};
use crate::answer::{RefusedRow, Slot};
use crate::feed::{Feeder, by_pane};
use crate::geometry::{Geometry, PaneStart};
use crate::marks::Marks;
use crate::pane::Pane;
use crate::row_log::Layout;
use crate::row_log::logs::Logs;
use crate::slots::Slots;
use crate::slots::counted;
use crate::spec::{AggregateSpec, StageSpec};
use crate::tiles::Panes;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Rows of the stage's ordered aggregates.
pub(crate) struct Ordered {
    pub(crate) logs: Logs,
    /// Which of the stage's aggregates they are.
    aggregates: Vec<usize>,
    /// Panes and slots that a late row came into.
    refold: BTreeSet<(PaneStart, u32)>,
}

/// What a flush changed in a pane, to be put back: (pane, aggregate, groups, their states).
type Saved = (PaneStart, usize, Vec<u32>, Box<dyn States>);

impl Ordered {
    /// `None` if the stage has no ordered aggregate.
    pub(crate) fn new(spec: &StageSpec) -> Option<Ordered> {
        let ordered = spec.aggregates.iter().enumerate().filter(|(_, aggregate)| aggregate.is_ordered());
        let aggregates: Vec<usize> = ordered.map(|(at, _)| at).collect();
        let layout = Layout::new(spec.logged(), &spec.inputs)?;
        (!aggregates.is_empty()).then(|| Ordered {
            logs: Logs::new(layout),
            aggregates,
            refold: BTreeSet::new(),
        })
    }

    /// A late row came into a pane.
    pub(crate) fn mark_refold(&mut self, start: PaneStart, pane: &mut Pane, slot: u32) {
        if self.refold.insert((start, slot))
            && let Some(group) = pane.group(slot)
        {
            pane.change_marks(group, Marks::REFOLD, Marks::NONE);
        }
    }

    /// Takes up what was due when the panes were stored. Gives the slots whose row blocks contradict each other.
    pub(crate) fn restore_done(&mut self, panes: &Panes, settled: i64) -> Vec<u32> {
        for (start, pane) in panes {
            let due = pane.live().filter(|group| pane.marks[*group as usize].has(Marks::REFOLD));
            self.refold.extend(due.map(|group| (*start, pane.slots[group as usize])));
        }
        self.logs.restore_done(settled)
    }

    /// Folds what is settled at `to` into the panes. Returns rows that an aggregate failed on.
    pub(crate) fn settle(
        &mut self,
        spec: &StageSpec,
        geometry: &Geometry,
        panes: &mut Panes,
        slots: &mut Slots,
        to: i64,
    ) -> Result<Vec<RefusedRow>, AggregateError> {
        let mut work: BTreeMap<PaneStart, Vec<(u32, Range<u64>)>> = BTreeMap::new();
        for (start, slot) in std::mem::take(&mut self.refold) {
            let Some(pane) = panes.get_mut(&start) else { continue };
            let Some(group) = pane.group(slot) else { continue };
            self.aggregates.iter().for_each(|at| pane.states[*at].reset(&[group]));
            pane.change_marks(group, Marks::NONE, Marks::REFOLD);
            // A late row that came while there was no ordered aggregate is in no log.
            let Some(log) = self.logs.find(slot) else { continue };
            let end = log.first_at(geometry.pane_end(start)).min(self.logs.settled(slot));
            work.entry(start).or_default().push((slot, log.first_at(start.millis())..end));
        }
        for (slot, rows) in self.logs.settle(to) {
            for (start, rows) in by_pane(self.logs.log(slot), rows, geometry) {
                work.entry(start).or_default().push((slot, rows));
            }
        }
        let mut refused = Vec::new();
        for (start, stretches) in work {
            let Some(pane) = panes.get_mut(&start) else { continue };
            for at in &self.aggregates {
                self.fold(&spec.aggregates[*at], *at, pane, &stretches, Some(&mut refused))?;
            }
            for (slot, _) in &stretches {
                if let Some(group) = pane.group(*slot) {
                    pane.mark_dirty(group);
                }
            }
        }
        refused.sort_by_key(|row: &RefusedRow| (row.slot, row.time, row.rank));
        refused.dedup_by_key(|row| (row.slot, row.time, row.rank));
        for row in &refused {
            let log = self.logs.log(row.slot.0);
            let found = (log.first_at(row.time)..log.end()).find(|number| {
                let (block, index) = log.row(*number);
                block.rank(index) == row.rank
            });
            if let Some(number) = found {
                self.logs.remove_settled(slots, row.slot.0, number);
            }
        }
        Ok(refused)
    }

    /// Folds stretches of rows into a pane. Where rows make the aggregate fail, they are refused one by one if
    /// there is somewhere to say so, and else left out.
    fn fold(
        &self,
        aggregate: &AggregateSpec,
        at: usize,
        pane: &mut Pane,
        stretches: &[(u32, Range<u64>)],
        refused: Option<&mut Vec<RefusedRow>>,
    ) -> Result<(), AggregateError> {
        let mut feeder = Feeder::new(&self.logs.layout, aggregate);
        let mut groups = Vec::new();
        for (slot, rows) in stretches {
            let Some(group) = pane.group(*slot) else { continue };
            feeder.push(self.logs.log(*slot), rows.clone());
            groups.resize(feeder.len(), group);
        }
        let feed = feeder.finish();
        let failed = feed.fold(pane.states[at].as_mut(), &groups)?;
        if let Some(refused) = refused {
            refused.extend(failed.into_iter().map(|(row, reason)| RefusedRow {
                slot: Slot(pane.slots[groups[row as usize] as usize]),
                time: feed.times[row as usize],
                rank: feed.ranks[row as usize],
                aggregate: at,
                reason,
            }));
        }
        Ok(())
    }

    /// Folds pending rows of some keys into the panes for a while; `put_back` undoes it.
    pub(crate) fn fold_pending(
        &self,
        spec: &StageSpec,
        geometry: &Geometry,
        panes: &mut Panes,
        pending: Vec<(u32, Range<u64>)>,
    ) -> Result<Vec<Saved>, AggregateError> {
        let mut work: BTreeMap<PaneStart, Vec<(u32, Range<u64>)>> = BTreeMap::new();
        for (slot, rows) in pending {
            for (start, rows) in by_pane(self.logs.log(slot), rows, geometry) {
                work.entry(start).or_default().push((slot, rows));
            }
        }
        let mut saved = Vec::new();
        for (start, stretches) in work {
            let Some(pane) = panes.get_mut(&start) else { continue };
            let groups: Vec<u32> = stretches.iter().filter_map(|(slot, _)| pane.group(*slot)).collect();
            for at in &self.aggregates {
                saved.push((start, *at, groups.clone(), pane.states[*at].copy(&groups)));
                self.fold(&spec.aggregates[*at], *at, pane, &stretches, None)?;
            }
        }
        Ok(saved)
    }

    /// Rows of one key in one pane that are not folded into its state: the pending ones, or, if the state is to be
    /// folded anew, all of them.
    pub(crate) fn unfolded(
        &self,
        slot: u32,
        start: PaneStart,
        is_refolded: bool,
        geometry: &Geometry,
    ) -> Range<u64> {
        let Some(log) = self.logs.find(slot) else { return 0..0 };
        let settled = if is_refolded { 0 } else { self.logs.settled(slot) };
        let first = log.first_at(start.millis()).max(settled);
        first..log.first_at(geometry.pane_end(start)).max(first)
    }
}

/// Undoes `fold_pending`.
pub(crate) fn put_back(panes: &mut Panes, saved: Vec<Saved>) -> Result<(), AggregateError> {
    for (start, at, groups, states) in saved {
        if let Some(pane) = panes.get_mut(&start) {
            pane.states[at].reset(&groups);
            pane.states[at].merge(&groups, states.as_ref(), &counted(groups.len()))?;
        }
    }
    Ok(())
}
