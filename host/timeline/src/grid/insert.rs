//! Rows of a batch into the panes of their windows, and into the log where aggregates depend on order.

use super::{GridStage, ordered};
use crate::aggregate::AggregateError;
use crate::answer::{Inserted, Rows};
use crate::feed::{feed_batch, probe};
use crate::geometry::{PaneStart, WindowName};
use crate::marks::Marks;
use crate::pane::Pane;
use crate::slots::Slots;
use std::collections::BTreeMap;

/// Rows of one batch that go to one pane.
pub(crate) struct Share {
    pub(crate) pane: PaneStart,
    groups: Vec<u32>,
    pub(crate) rows: Vec<u32>,
    pub(crate) slots: Vec<u32>,
}

impl GridStage {
    pub(crate) fn insert(&mut self, slots: &mut Slots, rows: &Rows<'_>) -> Result<Inserted, AggregateError> {
        self.flushed = None;
        probe(self.spec.aggregates.iter().filter(|aggregate| aggregate.is_ordered()), rows)?;
        let mut inserted = Inserted::default();
        let sealed = self.sealed(rows.watermark.millis());
        let mut shares = self.share(rows, sealed, &mut inserted);
        for share in &shares {
            self.keep_sealed(slots, share, sealed)?;
        }
        let changed = self.feed_kept(rows, &shares, sealed)?;
        self.find_groups(&mut shares);
        self.update_fallible(rows, &shares)?;
        for share in &shares {
            self.update_infallible(rows, share)?;
            inserted.late += self.count_rows(slots, rows, share, sealed);
        }
        self.log_rows(slots, rows, &shares)?;
        self.change_kept(rows, changed)?;
        Ok(inserted)
    }

    /// Splits a batch by pane, and leaves rows out that change no window.
    fn share(&self, rows: &Rows<'_>, sealed: Option<WindowName>, inserted: &mut Inserted) -> Vec<Share> {
        let mut shares: Vec<Share> = Vec::new();
        let mut places: BTreeMap<PaneStart, usize> = BTreeMap::new();
        // Neighbours mostly fall into the same pane.
        let (mut from, mut to, mut at) = (0, 0, None);
        for (slot, row) in rows.slots.iter().zip(rows.rows) {
            let time = rows.times[*row as usize];
            if at.is_none() || time < from || time >= to {
                let Some(pane) = self.geometry.pane_of(time) else {
                    inserted.between += 1;
                    continue;
                };
                if sealed.is_some_and(|sealed| self.geometry.last_window(pane) <= sealed) {
                    inserted.too_late.push(*row);
                    continue;
                }
                (from, to) = (pane.millis(), self.geometry.pane_end(pane));
                at = Some(*places.entry(pane).or_insert_with(|| {
                    shares.push(Share { pane, groups: Vec::new(), rows: Vec::new(), slots: Vec::new() });
                    shares.len() - 1
                }));
            }
            let share = &mut shares[at.unwrap_or(0)];
            share.rows.push(*row);
            share.slots.push(slot.0);
        }
        shares
    }

    /// Makes panes, and in them groups, for all rows.
    fn find_groups(&mut self, shares: &mut [Share]) {
        for share in shares {
            let pane = self.panes.entry(share.pane).or_insert_with(|| Pane::new(&self.spec.aggregates));
            share.groups.extend(share.slots.iter().map(|slot| pane.group_or_insert(*slot)));
            pane.make_room();
        }
    }

    /// Feeds aggregates that may fail, of all panes or of none.
    fn update_fallible(&mut self, rows: &Rows<'_>, shares: &[Share]) -> Result<(), AggregateError> {
        let aggregates = &self.spec.aggregates;
        let mut saved = Vec::new();
        let mut outcome = Ok(());
        'shares: for share in shares {
            let Some(pane) = self.panes.get_mut(&share.pane) else { continue };
            for (at, aggregate) in aggregates.iter().enumerate() {
                if aggregate.is_ordered() || !aggregate.function.fallible() {
                    continue;
                }
                let mut groups = share.groups.clone();
                groups.sort_unstable();
                groups.dedup();
                let before = pane.states[at].copy(&groups);
                outcome = feed_batch(pane.states[at].as_mut(), aggregate, rows, &share.groups, &share.rows);
                if outcome.is_err() {
                    break 'shares;
                }
                saved.push((share.pane, at, groups, before));
            }
        }
        if outcome.is_err() {
            ordered::put_back(&mut self.panes, saved)?;
        }
        outcome
    }

    fn update_infallible(&mut self, rows: &Rows<'_>, share: &Share) -> Result<(), AggregateError> {
        let Some(pane) = self.panes.get_mut(&share.pane) else { return Ok(()) };
        for (at, aggregate) in self.spec.aggregates.iter().enumerate() {
            if !aggregate.is_ordered() && !aggregate.function.fallible() {
                feed_batch(pane.states[at].as_mut(), aggregate, rows, &share.groups, &share.rows)?;
            }
        }
        Ok(())
    }

    /// Counts rows of a share, and marks what is due if windows over its pane were returned. Gives how many are late.
    fn count_rows(
        &mut self,
        slots: &mut Slots,
        rows: &Rows<'_>,
        share: &Share,
        sealed: Option<WindowName>,
    ) -> u64 {
        let open = self.open_windows(share.pane);
        let Some(pane) = self.panes.get_mut(&share.pane) else { return 0 };
        let mut changes = self.changes.as_mut().zip(open);
        for (group, row) in share.groups.iter().zip(&share.rows) {
            let (at, time) = (*group as usize, rows.times[*row as usize]);
            if pane.rows[at] == 0 {
                slots.retain(pane.slots[at]);
            }
            pane.rows[at] = pane.rows[at].saturating_add(1);
            pane.newest[at] = pane.newest[at].max(time);
            pane.marks[at].set(Marks::CHANGED);
            if let Some((changes, open)) = &mut changes {
                pane.marks[at].set(Marks::LISTED);
                changes.note_row(pane.slots[at], share.pane, open.clone());
            }
            pane.mark_dirty(*group);
            if let Some(coarse) = &mut self.coarse {
                coarse.mark_stale(share.pane, pane.slots[at]);
            }
        }
        let Some(closed) = self.closed.filter(|closed| self.geometry.first_window(share.pane) <= *closed)
        else {
            return 0;
        };
        let changes_returned = Some(closed.min(self.geometry.last_window(share.pane))) > sealed;
        for (group, slot) in share.groups.iter().zip(&share.slots) {
            if changes_returned {
                pane.set_due(*group, pane.due(*group).saturating_add(1));
                self.due.insert((share.pane, *slot));
            }
            if let Some(hop) = self.hop.as_mut().filter(|hop| share.pane >= hop.first_pane()) {
                hop.mark_stale(*slot);
            }
        }
        share.rows.len() as u64
    }

    /// Keeps the rows that ordered aggregates will be fed.
    fn log_rows(
        &mut self,
        slots: &mut Slots,
        rows: &Rows<'_>,
        shares: &[Share],
    ) -> Result<(), AggregateError> {
        let Some(ordered) = &mut self.ordered else { return Ok(()) };
        let mistyped = || AggregateError::Broken("an input column is not of its declared type".to_owned());
        let sources = ordered.logs.layout.sources(rows.columns).ok_or_else(mistyped)?;
        for share in shares {
            for (slot, row) in share.slots.iter().zip(&share.rows) {
                let row = *row as usize;
                let place = crate::aggregate::fold::Place { time: rows.times[row], rank: rows.ranks[row] };
                let is_settled = place.time < self.settled;
                ordered.logs.insert(slots, *slot, place, is_settled, Marks::NONE, (&sources, row));
                if is_settled && let Some(pane) = self.panes.get_mut(&share.pane) {
                    ordered.mark_refold(share.pane, pane, *slot);
                }
            }
        }
        Ok(())
    }
}
