//! Which share of its rows a job refuses, and when that has to be said aloud: a stream's file that does not fit its
//! source makes every row a dead letter, and nobody looks for dead letters that nobody told of.
//!
//! Counts what was taken; pure. Knows no clock but what it is told.

use crate::letter::DeadLetter;
use std::time::Duration;

/// While a job runs it warns no more often than this.
const SILENCE: Duration = Duration::from_mins(1);

/// What became of the rows of one block.
#[derive(Debug, Clone, Default)]
pub struct Taken {
    /// All of them.
    pub rows: u64,
    /// Those that cannot be used.
    pub refused: u64,
    /// Late ones that count in no result any more.
    pub too_late: u64,
    /// Those whose time would be of this century were it in seconds.
    pub like_seconds: u64,
    /// The first that was refused.
    pub first: Option<FirstRefused>,
}

/// The first row that was refused, for a person to look at.
#[derive(Debug, Clone)]
pub struct FirstRefused {
    /// Its offset.
    pub offset: u64,
    /// Where the source says that it stands, such as a file's path; for the host to fill in.
    pub place: Option<String>,
    /// Why.
    pub reason: String,
}

/// What the rows of the last while say of their source.
#[derive(Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Nothing new is to be said.
    NotYet,
    /// Whatever was said before is no longer so.
    Fine,
    /// This.
    Warning(String),
}

/// What was taken since a warning was last given or found needless.
#[derive(Debug, Default)]
pub struct Refusals {
    since: Option<Duration>,
    warned: bool,
    taken: Taken,
}

impl Refusals {
    /// Counts a block.
    pub fn add(&mut self, block: Taken) {
        let sum = &mut self.taken;
        sum.rows += block.rows;
        sum.refused += block.refused;
        sum.too_late += block.too_late;
        sum.like_seconds += block.like_seconds;
        if sum.first.is_none() {
            sum.first = block.first;
        }
    }

    /// What has to be said while the job runs, at most once a minute; each minute is judged by itself.
    pub fn tick(&mut self, now: Duration) -> Judgement {
        let quiet = self.since.is_some_and(|since| now.saturating_sub(since) < SILENCE);
        if self.taken.rows == 0 || (quiet && self.warned) {
            return Judgement::NotYet;
        }
        let judgement = self.taken.warning().map_or(Judgement::Fine, Judgement::Warning);
        let warned = judgement != Judgement::Fine;
        if quiet && !warned {
            return Judgement::NotYet;
        }
        *self = Refusals { since: Some(now), warned, taken: Taken::default() };
        judgement
    }

    /// What has to be said at the end of a run, over all of it.
    pub fn at_end(&self) -> Option<String> {
        self.taken.warning()
    }
}

impl Taken {
    fn warning(&self) -> Option<String> {
        let rows = self.rows;
        let share = |part: u64| format!("{part} of {rows} rows ({} %)", part * 100 / rows.max(1));
        if 2 * self.refused > rows {
            let first = self.first.as_ref().map(FirstRefused::to_string).unwrap_or_default();
            Some(format!("{} were refused{first}", share(self.refused)))
        } else if 2 * self.too_late > rows {
            Some(format!(
                "{} came too late to count: their event times are far behind the newest one; see the stream's \
                 `disorder` and whether one early row lies in the future",
                share(self.too_late)
            ))
        } else if 2 * self.like_seconds > rows {
            Some(format!(
                "{} have an event time between 12 and 24 January 1970: are their times in seconds? Then write \
                 `event_time: {{column: NAME, unit: s}}` in the stream's file",
                share(self.like_seconds)
            ))
        } else {
            None
        }
    }
}

impl FirstRefused {
    /// Of letters about one block.
    pub fn of(letters: &[DeadLetter]) -> Option<FirstRefused> {
        let events = letters.iter().filter_map(|letter| Some((letter.offset()?, letter)));
        let (offset, first) = events.min_by_key(|(offset, _)| *offset)?;
        Some(FirstRefused { offset, place: None, reason: first.reason.clone() })
    }
}

impl std::fmt::Display for FirstRefused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "; the first at offset {}", self.offset)?;
        if let Some(place) = &self.place {
            write!(f, ", in {place}")?;
        }
        write!(f, ": {}", self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(rows: u64, refused: u64) -> Taken {
        let first = (refused > 0).then(|| FirstRefused {
            offset: 7,
            place: Some("data/in.jsonl".to_owned()),
            reason: "not JSON".to_owned(),
        });
        Taken { rows, refused, first, ..Taken::default() }
    }

    #[test]
    fn most_rows_refused_are_told_of_with_share_place_and_reason() {
        let mut refusals = Refusals::default();
        refusals.add(block(1, 0));
        refusals.add(block(2, 2));
        assert_eq!(
            refusals.at_end().as_deref(),
            Some("2 of 3 rows (66 %) were refused; the first at offset 7, in data/in.jsonl: not JSON")
        );
        refusals.add(block(1, 0));
        assert_eq!(refusals.at_end(), None, "half of them is not most");
        refusals.add(Taken { rows: 20, like_seconds: 20, ..Taken::default() });
        assert!(refusals.at_end().unwrap().contains("are their times in seconds?"));
        refusals.add(Taken { rows: 40, too_late: 40, ..Taken::default() });
        assert!(refusals.at_end().unwrap().contains("came too late"));
    }

    #[test]
    fn while_it_runs_a_minute_passes_between_two_warnings() {
        let at = Duration::from_secs;
        let mut refusals = Refusals::default();
        let warns = |judgement: Judgement, text: &str| matches!(judgement, Judgement::Warning(it) if it.starts_with(text));
        assert_eq!(refusals.tick(at(0)), Judgement::NotYet, "nothing was taken");
        refusals.add(block(10, 0));
        assert_eq!(refusals.tick(at(1)), Judgement::Fine);
        refusals.add(block(1, 1));
        assert!(warns(refusals.tick(at(2)), "1 of 1 rows"), "the ten good ones were judged before");
        refusals.add(block(5, 5));
        assert_eq!(refusals.tick(at(61)), Judgement::NotYet);
        assert!(warns(refusals.tick(at(62)), "5 of 5 rows"));
        refusals.add(block(5, 0));
        assert_eq!(refusals.tick(at(200)), Judgement::Fine);
    }
}
