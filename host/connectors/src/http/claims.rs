//! How far jobs have read an ingest log, as their checkpoints say it: where a log that is made anew begins, whether the
//! log is behind one of them, and what must not be deleted yet.
//!
//! Knows names of jobs and their positions. Must not know files or what jobs do.

use super::identity::{LogIdentity, Standing};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use weir_event::Position;

/// The positions of the newest checkpoint of each job that reads a log.
#[derive(Debug, Default)]
pub(super) struct Claims {
    positions: Mutex<BTreeMap<String, Position>>,
    /// How often one of them has moved.
    moves: AtomicU64,
}

impl Claims {
    /// Takes over where a job's newest checkpoint stands.
    pub(super) fn put(&self, job: &str, position: &Position) {
        let mut claims = self.positions();
        match claims.get_mut(job) {
            Some(known) if known == position => return,
            Some(known) => known.clone_from(position),
            None => drop(claims.insert(job.to_owned(), position.clone())),
        }
        self.moves.fetch_add(1, Ordering::Relaxed);
    }

    /// How often a job has come further.
    pub(super) fn moves(&self) -> u64 {
        self.moves.load(Ordering::Relaxed)
    }

    /// The job has no state any more, or is gone.
    pub(super) fn remove(&self, job: &str) {
        self.positions().remove(job);
    }

    /// The offset that no job has read beyond.
    pub(super) fn highest(&self) -> u64 {
        self.positions().values().map(|position| position.next).max().unwrap_or(0)
    }

    /// The job that needs the oldest rows of a log, and from which offset on.
    pub(super) fn furthest_behind(&self, log: &LogIdentity) -> Option<(String, u64)> {
        let needs = |position: &Position| match log.standing(position, u64::MAX) {
            Standing::Within | Standing::BeyondEnd => position.next,
            Standing::BeforeOrigin | Standing::OfAnother => log.origin,
        };
        let claims = self.positions();
        let needs = claims.iter().map(|(job, position)| (job, needs(position)));
        needs.min_by_key(|(_, from)| *from).map(|(job, from)| (job.clone(), from))
    }

    /// Why the log in `dir`, which ends at `end`, must not take rows: a job would pass over them without having read them.
    pub(super) fn dispute(&self, dir: &Path, log: &LogIdentity, end: u64) -> Option<String> {
        let claims = self.positions();
        claims.iter().find_map(|(job, position)| unfit(dir, log, end, &format!("job `{job}`"), position))
    }

    fn positions(&self) -> MutexGuard<'_, BTreeMap<String, Position>> {
        self.positions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why whoever stands at this position cannot go on in this log, and what to do; `None` if it can.
pub(super) fn unfit(
    dir: &Path,
    log: &LogIdentity,
    end: u64,
    who: &str,
    position: &Position,
) -> Option<String> {
    let (dir, next) = (dir.display(), position.next);
    let what = match log.standing(position, end) {
        Standing::Within | Standing::BeforeOrigin => return None,
        Standing::BeyondEnd => format!(
            "the ingest log {dir} ends at row {end}, but {who} has read it up to row {next}: accepted rows are gone, for \
             an older copy was put back or it was shortened"
        ),
        Standing::OfAnother => {
            format!("the ingest log {dir} is not the one that {who} has read up to row {next}")
        }
    };
    Some(format!(
        "{what}; stop weir and put the right log back, or stop weir and move {dir} away to go on with a new log that \
         begins above what was read, or start each job that has read further anew, with `--reset`"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_is_behind_a_job_is_disputed_until_the_job_is_gone() {
        let (log, claims, dir) = (LogIdentity::new(0), Claims::default(), Path::new("log"));
        assert!(claims.dispute(dir, &log, 0).is_none() && claims.furthest_behind(&log).is_none());
        claims.put("a", &log.position(7));
        claims.put("b", &log.position(9));
        assert_eq!((claims.highest(), claims.furthest_behind(&log)), (9, Some(("a".to_owned(), 7))));
        assert!(claims.dispute(dir, &log, 9).is_none());
        let reason = claims.dispute(dir, &log, 8).unwrap();
        assert!(reason.contains("job `b`") && reason.contains("up to row 9"), "{reason}");
        claims.remove("b");
        assert!(claims.dispute(dir, &log, 8).is_none());
        let another = LogIdentity::new(6);
        assert!(claims.dispute(dir, &another, 100).unwrap().contains("is not the one"));
        assert_eq!(claims.furthest_behind(&another), Some(("a".to_owned(), 6)));
        assert!(claims.dispute(dir, &LogIdentity::new(7), 7).is_none(), "it begins above the job");
    }
}
