//! Which segments of a log may go: those whose rows are all older than `keep` and were read by every job that reads them.
//!
//! Knows segments, their ages and the jobs' positions. Must not know rows.

use super::log::Shared;
use super::segment::Segment;
use super::tail;
use weir_event::Span;

/// Deletes the oldest segments as far as they may go. `now` is in milliseconds since the epoch.
pub(super) fn delete_old(shared: &Shared, keep: Span, now: i64) {
    let behind = shared.claims.furthest_behind(&shared.log);
    let unread_from = behind.as_ref().map_or(u64::MAX, |(_, from)| *from);
    let (gone, held) = shared.change_segments(|segments| {
        let old = old(segments, now.saturating_sub(keep.millis()));
        let read = segments.iter().skip(1).take_while(|next| next.base <= unread_from).count();
        (segments.drain(..old.min(read)).collect::<Vec<_>>(), old.saturating_sub(read))
    });
    if let Some((job, from)) = behind.filter(|_| held > 0) {
        tracing::warn!(
            job,
            "{held} parts of the ingest log {} are older than `keep` and stay, because job `{job}` has read it up to row \
             {from} only; see why in its status, start it anew with `--reset`, or remove it",
            shared.dir.display()
        );
    }
    for Segment { path, .. } in gone {
        if let Err(error) = std::fs::remove_file(&path).and_then(|()| tail::remove_kept(&path)) {
            tracing::warn!(path = %path.display(), %error, "cannot delete an old part of the ingest log");
        }
    }
}

/// How many of the first segments hold only rows that were accepted before `stamp`. Each was before any later segment was
/// made; of their times the earliest counts, for a clock that was wrong dates ahead.
fn old(segments: &[Segment], stamp: i64) -> usize {
    let mut earliest = i64::MAX;
    let mut all_old = 0;
    for (index, next) in segments.iter().enumerate().skip(1).rev() {
        earliest = earliest.min(next.created);
        if earliest < stamp {
            all_old = all_old.max(index);
        }
    }
    all_old
}
