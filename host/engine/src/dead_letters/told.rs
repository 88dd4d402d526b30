//! Dead letters in the log: each job's reasons at once when they are new, then once a minute with how many there were.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use weir_core::{DeadLetter, Subject};
use weir_event::Clock;

/// The same reason is told again after so long.
const EVERY: Duration = Duration::from_mins(1);
/// Reasons of a job that are told apart at once. Some quote what they refuse, so there is no end of them.
const REASONS: usize = 20;
/// What the others are told as.
const OTHERS: &str = "other reasons";

/// Where whoever reads the log finds the letters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listing {
    /// A server lists them.
    Route,
    /// Only their file has them.
    File,
}

/// What was told, and when.
#[derive(Debug)]
pub(super) struct Told {
    clock: Arc<dyn Clock>,
    listing: Listing,
    jobs: Mutex<BTreeMap<String, BTreeMap<(About, String), Reason>>>,
}

/// What letters are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum About {
    Events,
    Results,
    /// What of the source was not read.
    Source,
}

impl About {
    fn of(letter: &DeadLetter) -> About {
        match letter.subject {
            Subject::Event { .. } => About::Events,
            Subject::Unread { .. } => About::Source,
            Subject::Result { .. } => About::Results,
        }
    }
}

#[derive(Debug)]
struct Reason {
    told_at: Duration,
    untold: u64,
}

/// Something to say.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    job: String,
    about: About,
    reason: String,
    count: u64,
}

impl Told {
    pub(super) fn new(clock: Arc<dyn Clock>, listing: Listing) -> Self {
        Told { clock, listing, jobs: Mutex::default() }
    }

    /// Events of a stream were set aside, in this file.
    pub(super) fn letters(&self, stream: &str, file: &Path, letters: &[DeadLetter]) {
        self.say(stream, file, self.take(letters));
    }

    /// Says what is due, also where no event is set aside any more.
    pub(super) fn due(&self, stream: &str, file: &Path) {
        self.say(stream, file, self.take(&[]));
    }

    fn say(&self, stream: &str, file: &Path, lines: Vec<Line>) {
        let found = match self.listing {
            Listing::Route => format!("GET /v1/deadletters/{stream} lists them"),
            Listing::File => format!("they are in {}", file.display()),
        };
        for Line { job, about, reason, count } in lines {
            let what = match about {
                About::Events => "events were set aside",
                About::Results => "results have a value that failed and is null",
                About::Source => "parts of the source were not read",
            };
            tracing::warn!(job, stream, count, reason, "{what}; {found}");
        }
    }

    fn take(&self, letters: &[DeadLetter]) -> Vec<Line> {
        let now = self.clock.monotonic();
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        let mut lines = BTreeMap::new();
        for letter in letters {
            let reasons = jobs.entry(letter.job.clone()).or_default();
            let about = About::of(letter);
            let own = (about, letter.reason.clone());
            let is_known = reasons.contains_key(&own);
            let key = if is_known || reasons.len() < REASONS { own } else { (about, OTHERS.to_owned()) };
            match reasons.get_mut(&key) {
                Some(known) => known.untold += 1,
                None => {
                    reasons.insert(key.clone(), Reason { told_at: now, untold: 1 });
                    lines.insert((letter.job.clone(), key), 0);
                }
            }
        }
        for (job, reasons) in &mut *jobs {
            reasons.retain(|key, known| {
                let is_new = lines.contains_key(&(job.clone(), key.clone()));
                let is_due = now.saturating_sub(known.told_at) >= EVERY;
                if known.untold > 0 && (is_new || is_due) {
                    lines.insert((job.clone(), key.clone()), known.untold);
                    *known = Reason { told_at: now, untold: 0 };
                }
                known.untold > 0 || now.saturating_sub(known.told_at) < EVERY
            });
        }
        let line = |((job, (about, reason)), count)| Line { job, about, reason, count };
        lines.into_iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_event::{EventTime, ManualClock, PartitionId};

    fn letter(reason: &str) -> DeadLetter {
        DeadLetter::of_event("j", reason.to_owned(), PartitionId::default(), 0, String::new())
    }

    fn counts(lines: &[Line]) -> Vec<(&str, u64)> {
        lines.iter().map(|line| (line.reason.as_str(), line.count)).collect()
    }

    #[test]
    fn a_reason_is_told_at_once_and_then_once_a_minute_with_its_count() {
        let clock = Arc::new(ManualClock::at(EventTime::from_millis(0)));
        let told = Told::new(clock.clone(), Listing::Route);
        assert_eq!(counts(&told.take(&[letter("bad"), letter("bad")])), [("bad", 2)]);
        assert!(told.take(&[letter("bad")]).is_empty());
        assert_eq!(counts(&told.take(&[letter("worse"), letter("bad")])), [("worse", 1)]);
        clock.advance(EVERY);
        assert_eq!(counts(&told.take(&[])), [("bad", 2)], "also when nothing more is set aside");
        clock.advance(EVERY);
        assert!(told.take(&[]).is_empty());
        assert_eq!(counts(&told.take(&[letter("bad")])), [("bad", 1)]);
    }

    #[test]
    fn reasons_without_end_are_told_as_one() {
        let told = Told::new(Arc::new(ManualClock::at(EventTime::from_millis(0))), Listing::Route);
        let letters: Vec<DeadLetter> = (0..1000).map(|n| letter(&format!("`{n}` is bad"))).collect();
        let lines = told.take(&letters);
        assert_eq!(lines.len(), REASONS + 1);
        assert!(counts(&lines).contains(&(OTHERS, 1000 - REASONS as u64)));
    }
}
