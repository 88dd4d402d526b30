//! Dead letters in the log: each job's reasons at once when they are new, then once a minute with how many there were.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use weir_core::{DeadLetter, Subject};
use weir_event::Clock;

/// The same reason is told again after so long.
const EVERY: Duration = Duration::from_mins(1);
/// Kinds of reasons of a job that are told apart at once. Some name what they refuse, so there is no end of them.
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

/// A kind of reasons, which differ only in the values that they quote.
#[derive(Debug)]
struct Reason {
    told_at: Duration,
    untold: u64,
    /// The first of those that are not told yet.
    example: String,
    /// Whether another of them says something else.
    varies: bool,
}

impl Reason {
    fn of(reason: &str, now: Duration) -> Reason {
        Reason { told_at: now, untold: 1, example: reason.to_owned(), varies: false }
    }

    fn add(&mut self, reason: &str) {
        if self.untold == 0 {
            reason.clone_into(&mut self.example);
        }
        self.varies |= self.example != reason;
        self.untold += 1;
    }

    /// Says it, so that it is told.
    fn tell(&mut self, now: Duration) -> (String, u64) {
        let told = if self.varies { format!("such as: {}", self.example) } else { self.example.clone() };
        let count = std::mem::take(&mut self.untold);
        (self.told_at, self.varies) = (now, false);
        (told, count)
    }
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
        let mut new = BTreeSet::new();
        for letter in letters {
            let reasons = jobs.entry(letter.job.clone()).or_default();
            let about = About::of(letter);
            let own = (about, kind(&letter.reason));
            let is_known = reasons.contains_key(&own) || reasons.len() < REASONS;
            let (key, reason) =
                if is_known { (own, letter.reason.as_str()) } else { ((about, OTHERS.to_owned()), OTHERS) };
            match reasons.get_mut(&key) {
                Some(known) => known.add(reason),
                None => {
                    reasons.insert(key.clone(), Reason::of(reason, now));
                    new.insert((letter.job.clone(), key));
                }
            }
        }
        let mut lines = Vec::new();
        for (job, reasons) in &mut *jobs {
            reasons.retain(|key, known| {
                let is_new = new.contains(&(job.clone(), key.clone()));
                let is_due = now.saturating_sub(known.told_at) >= EVERY;
                let had = known.untold;
                if had > 0 && (is_new || is_due) {
                    let (reason, count) = known.tell(now);
                    lines.push(Line { job: job.clone(), about: key.0, reason, count });
                }
                had > 0 || !is_due
            });
        }
        lines
    }
}

/// A reason without the values that it quotes: texts in double quotes, and numbers that do not belong to a name.
fn kind(reason: &str) -> String {
    let mut kind = String::with_capacity(reason.len());
    let mut rest = reason;
    let mut before = ' ';
    while let Some(next) = rest.chars().next() {
        let value = match next {
            '"' => quoted(rest),
            '0'..='9' if !(before.is_alphanumeric() || before == '_') => number(rest),
            _ => 0,
        };
        let taken = value.max(next.len_utf8());
        kind.push_str(if value > 0 { ".." } else { &rest[..taken] });
        before = rest[..taken].chars().next_back().unwrap_or(' ');
        rest = &rest[taken..];
    }
    kind
}

/// How long the text in double quotes is that begins here. One that was cut has no quotes at its end, and two dots there.
fn quoted(text: &str) -> usize {
    let mut is_escaped = true;
    let end = text.char_indices().find(|(_, character)| {
        let ends = *character == '"' && !is_escaped;
        is_escaped = *character == '\\' && !is_escaped;
        ends
    });
    let cut = || text.find(".. ").map(|at| at + "..".len());
    end.map(|(at, quote)| at + quote.len_utf8()).or_else(cut).unwrap_or(1)
}

/// How long the number or the time is that begins here.
fn number(text: &str) -> usize {
    let is_of_it = |character: char| character.is_ascii_digit() || ".eE+-:TZ".contains(character);
    text.find(|character| !is_of_it(character)).unwrap_or(text.len())
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
    fn reasons_that_differ_only_in_what_they_quote_are_told_as_one_with_an_example() {
        let told = Told::new(Arc::new(ManualClock::at(EventTime::from_millis(0))), Listing::Route);
        let letters: Vec<DeadLetter> = (0..30)
            .flat_map(|n| {
                [
                    letter(&format!("member `t1`: the text \"day {n} \\\" of\" is not a time")),
                    letter(&format!("member `t1`: the number {n}.5e-{n} is out of range")),
                    letter(&format!("`t` is 2026-01-{:02}T{:02}:00:00.000Z, too far ahead", n + 1, n % 24)),
                    letter(&format!("member `t2`: the text \"{n}, which is lon.. is not a time")),
                ]
            })
            .collect();
        assert_eq!(
            counts(&told.take(&letters)),
            [
                ("such as: `t` is 2026-01-01T00:00:00.000Z, too far ahead", 30),
                ("such as: member `t1`: the number 0.5e-0 is out of range", 30),
                ("such as: member `t1`: the text \"day 0 \\\" of\" is not a time", 30),
                ("such as: member `t2`: the text \"0, which is lon.. is not a time", 30),
            ]
        );
        assert_eq!(kind("\"é"), "..é", "what is not closed is no longer than itself");
        assert_ne!(kind("member `t1`"), kind("member `t2`"));
    }

    #[test]
    fn reasons_without_end_are_told_as_one() {
        let told = Told::new(Arc::new(ManualClock::at(EventTime::from_millis(0))), Listing::Route);
        let letters: Vec<DeadLetter> = (0..1000).map(|n| letter(&format!("`n{n}` is bad"))).collect();
        let lines = told.take(&letters);
        assert_eq!(lines.len(), REASONS + 1);
        assert!(counts(&lines).contains(&(OTHERS, 1000 - REASONS as u64)));
    }
}
