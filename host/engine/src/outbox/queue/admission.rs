//! Whether a sink's outbox takes more rows, and whether its job is to wait.
//!
//! Must not know what becomes of rows that were taken.

use super::{Item, Queue, RowsIn, Waiting};
use weir_plan::OnFull;

/// Bytes that may wait for a sink that works: as little as keeps it busy, so that a slow one slows its job down.
pub(super) const WORKING_BYTES: u64 = 8 << 20;

/// At least so much may be on its way when a job begins to wait for a sink: what its stages and the channels between them
/// hold.
const LEAST_ON_ITS_WAY_BYTES: u64 = 32 << 20;

/// Why a sink gets nothing, or nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::outbox) enum Hold {
    #[default]
    None,
    /// Its outbox was full; until it is resumed.
    Suspended,
    /// It failed, and trying again does not help.
    GivenUp,
}

/// Whether a sink's outbox takes rows.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::outbox) enum Admission {
    Taken,
    /// Later.
    Full,
    /// Not before the sink, which is given up, is started again.
    Hopeless,
    /// The sink is suspended; they were counted.
    Missed,
}

impl Queue {
    /// Whether `rows` more may come, while `limit_bytes` may wait for a sink that is behind. Of a job that waits for
    /// the sink as much again may be on its way: barriers come behind it.
    pub(in crate::outbox) fn admit(&mut self, rows: u64, limit_bytes: u64, on_full: OnFull) -> Admission {
        let may_wait = match on_full {
            _ if !self.is_behind => WORKING_BYTES.min(limit_bytes),
            OnFull::Suspend => limit_bytes,
            OnFull::Pause => limit_bytes.saturating_add(limit_bytes.max(LEAST_ON_ITS_WAY_BYTES)),
        };
        let has_room = self.waiting_bytes < may_wait;
        match (self.hold, on_full) {
            (Hold::Suspended, _) => {}
            _ if has_room => return Admission::Taken,
            (_, OnFull::Suspend) if self.is_behind => self.suspend(),
            (Hold::GivenUp, _) => return Admission::Hopeless,
            (Hold::None, _) => return Admission::Full,
        }
        self.missed += rows;
        Admission::Missed
    }

    /// Whether the job is to wait for the sink before it reads on. Once it does, until a quarter of the room is free, so
    /// that it does not begin to wait with each batch.
    pub(in crate::outbox) fn is_full(&mut self, limit_bytes: u64, on_full: OnFull) -> bool {
        let full_at = if self.is_full { limit_bytes - limit_bytes / 4 } else { limit_bytes };
        let has_too_much = self.waiting_bytes >= full_at || self.kept_bytes >= full_at.saturating_mul(2);
        let waits = on_full == OnFull::Pause && self.hold != Hold::Suspended;
        self.is_full = waits && self.is_behind && has_too_much;
        self.is_full
    }

    /// The sink gets nothing more until it is resumed.
    fn suspend(&mut self) {
        (self.hold, self.is_full) = (Hold::Suspended, false);
    }

    /// Suspends the sink without the rows that are in memory alone, as they cannot be kept.
    pub(in crate::outbox) fn suspend_without_memory(&mut self) {
        self.suspend();
        self.missed += self.past.drop_memory();
        for at in self.first_in_memory().max(self.newest_covers())..self.items.len() {
            let Item::Rows(Waiting { place: RowsIn::Memory(_), rows, bytes, .. }) = &self.items[at] else {
                continue;
            };
            let (rows, bytes) = (*rows, *bytes);
            self.missed += rows;
            self.kept_bytes = self.kept_bytes.saturating_sub(bytes);
            self.memory_bytes = self.memory_bytes.saturating_sub(bytes);
            if at >= self.taken {
                self.waiting_rows = self.waiting_rows.saturating_sub(rows);
                self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
            }
            self.items[at] = Item::Gone;
        }
    }
}
