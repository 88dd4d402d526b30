//! How far back windows on a grid reach: which may still be returned again, which may still be asked for, and what
//! goes when none may.
//!
//! The horizon is as far behind the settled boundary as the stage reaches. A window that ends at or before it is not
//! returned again, but it may be the newest complete one at the horizon: so panes live until they are in no window
//! that is the newest complete one at the horizon or later, up to one slide longer than the horizon says. Rows may
//! reach less far than lookups: how far, the watermark of their own partition says, and a window that they do not reach
//! stays as it was for them (`kept.rs`).

use super::GridStage;
use crate::geometry::{PaneStart, WindowName};
use crate::slots::Slots;

impl GridStage {
    /// The oldest time that may be asked for.
    pub(crate) fn horizon(&self) -> i64 {
        self.horizon
    }

    /// Moves the horizon on to where the boundary is.
    pub(crate) fn move_horizon(&mut self) {
        self.horizon = self.horizon.max(self.settled.saturating_sub(self.reach));
    }

    /// The newest window that rows of a partition whose watermark this is do not change.
    pub(crate) fn sealed(&self, watermark: i64) -> Option<WindowName> {
        self.geometry.last_complete(self.spec.floor(watermark, self.horizon))
    }

    /// The newest window that stays as it is whatever row may come.
    pub(crate) fn out_of_reach(&self) -> Option<WindowName> {
        self.geometry.last_complete(self.horizon)
    }

    /// The oldest window that may be asked for: the newest complete one at the horizon.
    pub(crate) fn oldest_kept(&self) -> Option<WindowName> {
        // A window that ends a moment after a time holds nothing that is newer.
        self.geometry.last_complete(self.horizon.saturating_add(1).min(self.settled))
    }

    /// Whether a pane is in no window that may still be asked for.
    pub(crate) fn is_expired(&self, pane: PaneStart) -> bool {
        self.oldest_kept().is_some_and(|oldest| self.geometry.last_window(pane) < oldest)
    }

    pub(crate) fn expire(&mut self, slots: &mut Slots) {
        let Some(oldest) = self.oldest_kept() else { return };
        while let Some(first) = self.panes.first_entry() {
            if self.geometry.last_window(*first.key()) >= oldest {
                break;
            }
            let (start, pane) = first.remove_entry();
            if let Some(coarse) = &mut self.coarse {
                coarse.expire(start);
            }
            pane.live().for_each(|group| slots.release(pane.slots[group as usize]));
        }
        self.kept.expire(slots, oldest);
        self.evict_rows(slots);
    }

    /// Rows stay while another may come into their pane and have it folded anew.
    fn evict_rows(&mut self, slots: &mut Slots) {
        let open = self.out_of_reach().and_then(|window| self.geometry.following(window));
        let (Some(open), Some(ordered)) = (open, &mut self.ordered) else { return };
        ordered.logs.evict(slots, self.geometry.start_of(open), |_| None, |_, _, _| {});
    }
}
