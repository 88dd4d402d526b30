//! Which rows still count, and which of them are late.
//!
//! A session is final when the watermark is past its end. A late row counts if the session that it makes, goes on with
//! or joins ends where late rows reach, as in Flink; so a row of a session that is still open counts however old it is.
//! But it must not reach back into a session that is out of reach itself: one whose end lies so far back that a row at
//! it would be too late on its own. Such a session stays as it is, and what touches it is too late. It is kept as long
//! as the session after it takes rows, to tell which rows those are; so the verdict does not depend on when state is
//! dropped. With a retention, rows that are older than that do not count either.
//!
//! The watermark is that of the row's own partition: the verdict follows from the rows of the key that came before it.
//! Where these are all of one partition, its log alone tells.

use super::RunStage;
use weir_event::Span;

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    OnTime,
    /// It counts, though a result that it belongs to was final.
    Late,
    /// It does not count.
    TooLate,
}

impl RunStage {
    /// Judges a row of this time; `watermark` is its partition's.
    pub(super) fn judge(&self, slot: u32, time: i64, watermark: i64) -> Verdict {
        if !self.closes {
            return match time {
                time if time < self.horizon => Verdict::TooLate,
                time if time < self.settled => Verdict::Late,
                _ => Verdict::OnTime,
            };
        }
        // What is final ended before the watermark: no row at or after it touches that.
        let is_on_time = time >= watermark.max(self.horizon);
        if is_on_time { Verdict::OnTime } else { self.judge_late(slot, time, watermark) }
    }

    /// Of sessions, a row behind the watermark or the horizon.
    fn judge_late(&self, slot: u32, time: i64, watermark: i64) -> Verdict {
        let floor = self.spec.floor(watermark, self.horizon);
        let alone = self.table.end_after(time);
        let touched = || self.table.touched(slot, time).into_iter().flatten();
        if alone < floor {
            let retention = self.spec.retention.map_or(i64::MAX, Span::millis);
            let is_forgotten = time.saturating_add(retention) <= floor;
            let is_out_of_reach = touched().any(|run| self.table.touched_until(run) < floor);
            let goes_on = touched().any(|run| self.table.end(run) >= floor);
            if is_forgotten || is_out_of_reach || !goes_on {
                return Verdict::TooLate;
            }
        }
        let is_final = |end: i64| end < watermark;
        let was_final = touched().any(|run| is_final(self.table.end(run)));
        let is_new = touched().next().is_none();
        if was_final || is_new && is_final(alone) { Verdict::Late } else { Verdict::OnTime }
    }
}
