//! Which share of its rows a job refuses, and when that has to be said aloud: a stream's file that does not fit its
//! source makes every row a dead letter, and nobody looks for dead letters that nobody told of.
//!
//! Counts what was taken; pure. Knows no clock but what it is told.

use crate::letter::DeadLetter;
use std::time::Duration;
use weir_event::{EventTime, Span};
use weir_plan::{JobPlan, Late, LatePolicy, StreamInput};
use weir_timeline::Frames;

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
    /// Those whose time is of this century.
    pub recent: u64,
    /// What of the source was not read, each in words.
    pub unread: Vec<String>,
    /// The first that was refused.
    pub first: Option<FirstRefused>,
    /// The first whose time would be of this century were it in seconds.
    pub first_like_seconds: Option<FirstRefused>,
    /// The first that is far ahead of all before it.
    pub first_ahead: Option<FirstRefused>,
    /// By column that the job reads, whether any row has a value of it; empty where no row was read.
    pub filled: Vec<bool>,
}

/// The first row that was refused or looks wrong, for a person to look at.
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
    /// What was said goes on; by now it is this.
    GoesOn(String),
}

/// What was taken since a warning was last given or found needless.
#[derive(Debug)]
pub struct Refusals {
    since: Option<Duration>,
    warned: bool,
    taken: Taken,
    /// What the last warning was about.
    told: Taken,
    /// Rows since the job was started, and those of them that came too late.
    all_rows: u64,
    all_too_late: u64,
    /// What would keep those that come too late.
    remedy: String,
    /// The columns that the job reads.
    columns: Vec<String>,
    /// For each, whether any row has had a value of it; none before the first row.
    filled: Vec<bool>,
}

impl Refusals {
    /// Of one input of a job, which has taken nothing.
    pub fn of(plan: &JobPlan, input: &StreamInput) -> Refusals {
        Refusals {
            since: None,
            warned: false,
            taken: Taken::default(),
            told: Taken::default(),
            all_rows: 0,
            all_too_late: 0,
            remedy: remedy(plan, input),
            columns: names(input).collect(),
            filled: Vec::new(),
        }
    }

    /// Counts a block.
    pub fn add(&mut self, block: Taken) {
        self.all_rows += block.rows;
        self.all_too_late += block.too_late;
        self.filled.resize(self.filled.len().max(block.filled.len()), false);
        for (known, new) in self.filled.iter_mut().zip(&block.filled) {
            *known |= new;
        }
        self.taken.add(block);
    }

    /// What has to be said while the job runs, aloud at most once a minute; each minute is judged by itself.
    pub fn tick(&mut self, now: Duration) -> Judgement {
        let quiet = self.since.is_some_and(|since| now.saturating_sub(since) < SILENCE);
        // The keyed stage tells of rows that came too late a moment after they were taken: they wait for others.
        if self.taken.rows == 0 && self.taken.unread.is_empty() {
            return Judgement::NotYet;
        }
        if quiet && self.warned {
            let mut all = self.told.clone();
            all.add(self.taken.clone());
            return self.warning(&all).map_or(Judgement::NotYet, Judgement::GoesOn);
        }
        let judgement = self.warning(&self.taken).map_or(Judgement::Fine, Judgement::Warning);
        let warned = judgement != Judgement::Fine;
        if quiet && !warned {
            return Judgement::NotYet;
        }
        (self.since, self.warned) = (Some(now), warned);
        self.told = std::mem::take(&mut self.taken);
        judgement
    }

    /// What has to be said at the end of a run, over all of it.
    pub fn at_end(&self) -> Option<String> {
        let said: Vec<String> = self.warning(&self.taken).into_iter().chain(self.without_values()).collect();
        (!said.is_empty()).then(|| said.join("; "))
    }

    /// Columns of which no row has a value: mostly their names are misspelt.
    fn without_values(&self) -> Option<String> {
        let unfilled = self.columns.iter().zip(&self.filled).filter(|(_, filled)| !**filled);
        let names: Vec<String> = unfilled.map(|(name, _)| format!("`{name}`")).collect();
        if names.is_empty() {
            return None;
        }
        Some(format!(
            "no row has a value of {}: is it written so in the source? Capital letters count, and `fields: {{NAME: \
             {{type: TYPE, from: MEMBER}}}}` in the stream's file reads a member of another name",
            names.join(", ")
        ))
    }

    fn warning(&self, taken: &Taken) -> Option<String> {
        let said: Vec<String> = taken.unread.iter().cloned().chain(self.of_rows(taken)).collect();
        (!said.is_empty()).then(|| said.join("; "))
    }

    fn of_rows(&self, taken: &Taken) -> Option<String> {
        let Taken {
            rows,
            refused,
            too_late,
            like_seconds,
            recent,
            first,
            first_like_seconds,
            first_ahead,
            ..
        } = taken;
        let too_late = too_late.min(rows);
        let share = |part: u64| format!("{part} of {rows} rows ({} %)", part * 100 / (*rows).max(1));
        let shown =
            |first: &Option<FirstRefused>| first.as_ref().map(ToString::to_string).unwrap_or_default();
        if 2 * refused > *rows {
            Some(format!("{} were refused{}", share(*refused), shown(first)))
        } else if 10 * too_late > *rows || (*too_late > 0 && first_ahead.is_some()) {
            let since = match self.all_rows {
                all if all == *rows => String::new(),
                all => format!(" ({} of {all} since the job was started)", self.all_too_late),
            };
            let late = format!("{} came too late to count and were dropped{since}", share(*too_late));
            Some(format!("{late}; {}{}", self.remedy, shown(first_ahead)))
        } else if 2 * like_seconds > *rows || (*like_seconds > 0 && *recent > 0) {
            Some(format!(
                "{} have an event time between 12 and 24 January 1970{}: are their times in seconds? {}{}",
                share(*like_seconds),
                if *recent > 0 { ", and others of this century" } else { "" },
                if *recent > 0 {
                    "All of a stream are written in one unit"
                } else {
                    "Then write `event_time: {column: NAME, unit: s}` in the stream's file"
                },
                shown(first_like_seconds)
            ))
        } else {
            None
        }
    }
}

impl Taken {
    fn add(&mut self, block: Taken) {
        self.rows += block.rows;
        self.refused += block.refused;
        self.too_late += block.too_late;
        self.like_seconds += block.like_seconds;
        self.recent += block.recent;
        self.unread.extend(block.unread);
        self.first = self.first.take().or(block.first);
        self.first_like_seconds = self.first_like_seconds.take().or(block.first_like_seconds);
        self.first_ahead = self.first_ahead.take().or(block.first_ahead);
    }
}

/// The names of the columns that a job reads of a stream, in order.
fn names(input: &StreamInput) -> impl Iterator<Item = String> {
    let fields = &input.stream.schema.fields;
    input.columns.iter().map(|column| fields.get(*column).map(|field| field.name.clone()).unwrap_or_default())
}

/// What keeps rows that come too late for a job, in words.
fn remedy(plan: &JobPlan, input: &StreamInput) -> String {
    let Late { policy, allow } = plan.late;
    let lifetime = plan.stage.as_ref().filter(|stage| stage.spec.frames == Frames::Lifetime);
    let of_job = match (lifetime, policy) {
        (Some(stage), _) => format!("a longer `history` of the job, now {}", stage.spec.reach()),
        (None, LatePolicy::Correct) => format!("a longer `late: {{allow: ..}}` of the job, now {allow}"),
        (None, LatePolicy::Drop) => "`late: {policy: correct, allow: ..}` of the job, now drop".to_owned(),
        (None, LatePolicy::Divert) => {
            "`late: {policy: correct, allow: ..}` of the job, now divert".to_owned()
        }
    };
    let stream = &input.stream;
    format!(
        "what keeps such rows is {of_job}, or a longer `disorder` of the stream `{}`, now {}; one row whose time lies in \
         the future makes those behind it late",
        stream.name, stream.disorder
    )
}

impl FirstRefused {
    /// Of letters about one block.
    pub fn of(letters: &[DeadLetter]) -> Option<FirstRefused> {
        let events = letters.iter().filter_map(|letter| Some((letter.offset()?, letter)));
        let (offset, first) = events.min_by_key(|(offset, _)| *offset)?;
        Some(FirstRefused { offset, place: None, reason: first.reason.clone() })
    }

    /// Of a row whose time would be of this century were it in seconds.
    pub(crate) fn like_seconds((offset, time): (u64, EventTime)) -> FirstRefused {
        FirstRefused { offset, place: None, reason: format!("event time {time}") }
    }

    /// Of a row that is far ahead of the newest before it.
    pub(crate) fn far_ahead((offset, time, newest): (u64, EventTime, EventTime)) -> FirstRefused {
        let reason = format!(
            "event time {time}, {} ahead of the newest before it",
            Span::from_millis(time.millis() - newest.millis())
        );
        FirstRefused { offset, place: None, reason }
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
    use arrow_array::RecordBatch;
    use arrow_schema::{DataType as ArrowType, Field, Schema};
    use std::sync::Arc;

    fn refusals() -> Refusals {
        let query =
            "SELECT user, COUNT(*) AS n FROM events GROUP BY user, TUMBLE(rowtime, INTERVAL '1' HOUR)";
        let plan = crate::tests::plan(query, "disorder: 1m", "late: {allow: 1h}");
        Refusals::of(&plan, &plan.inputs[0])
    }

    fn block(rows: u64, refused: u64) -> Taken {
        let first = (refused > 0).then(|| FirstRefused {
            offset: 7,
            place: Some("data/in.jsonl".to_owned()),
            reason: "not JSON".to_owned(),
        });
        Taken { rows, refused, first, ..Taken::default() }
    }

    #[test]
    fn late_rows_that_are_told_of_afterwards_are_no_share_of_nothing() {
        let mut refusals = refusals();
        refusals.add(block(10, 0));
        assert_eq!(refusals.tick(SILENCE), Judgement::Fine);
        refusals.add(Taken { too_late: 5, ..Taken::default() });
        assert_eq!(refusals.tick(2 * SILENCE), Judgement::NotYet);
        refusals.add(block(1, 0));
        let Judgement::Warning(warning) = refusals.tick(3 * SILENCE) else { panic!("of all of them") };
        assert!(warning.starts_with("1 of 1 rows (100 %) came too late"), "{warning}");
    }

    #[test]
    fn what_was_not_read_is_told_and_is_no_row() {
        let mut refusals = refusals();
        let unread = || Taken { unread: vec!["`a` is not read".to_owned()], ..Taken::default() };
        refusals.add(unread());
        assert_eq!(refusals.tick(SILENCE), Judgement::Warning("`a` is not read".to_owned()));
        refusals.add(block(1, 1));
        refusals.add(unread());
        let told = refusals.at_end().unwrap();
        assert!(told.starts_with("`a` is not read; 1 of 1 rows (100 %) were refused"), "{told}");
    }

    #[test]
    fn of_lifetime_values_the_history_is_what_keeps_late_rows() {
        let query = "SELECT user, COUNT(*) AS n FROM events GROUP BY user";
        let settings = "late: {policy: drop}\nhistory: 2h\nemit: {on: change}";
        let plan = crate::tests::plan(query, "disorder: 1m", settings);
        let remedy = remedy(&plan, &plan.inputs[0]);
        assert!(remedy.contains("a longer `history` of the job, now 2h"), "{remedy}");
    }

    #[test]
    fn most_rows_refused_are_told_of_with_share_place_and_reason() {
        let mut refusals = refusals();
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
        let late = refusals.at_end().unwrap();
        assert!(late.starts_with("40 of 64 rows (62 %) came too late to count and were dropped; "), "{late}");
        assert!(late.contains("`late: {allow: ..}` of the job, now 1h, or"), "{late}");
        assert!(late.contains("`disorder` of the stream `events`, now 1m"), "{late}");
    }

    #[test]
    fn one_time_in_seconds_among_others_of_this_century_is_told_with_its_place() {
        let mut refusals = refusals();
        let mut first = FirstRefused::like_seconds((3, EventTime::from_millis(1_769_857_800)));
        first.place = Some("in.jsonl".to_owned());
        let taken = Taken { rows: 9, like_seconds: 1, first_like_seconds: Some(first), ..Taken::default() };
        refusals.add(taken);
        assert_eq!(refusals.at_end(), None, "a stream of 1970 itself");
        refusals.add(Taken { rows: 1, recent: 1, ..Taken::default() });
        let told = refusals.at_end().unwrap();
        assert!(told.starts_with("1 of 10 rows (10 %)"), "{told}");
        assert!(
            told.ends_with("; the first at offset 3, in in.jsonl: event time 1970-01-21T11:37:37.800Z"),
            "{told}"
        );
    }

    #[test]
    fn columns_that_no_row_has_are_named_at_the_end_and_what_lies_far_ahead_beside_what_came_too_late() {
        let mut refusals = refusals();
        let columns = refusals.columns.len();
        let filled = |but: usize| (0..columns).map(|column| column != but).collect();
        refusals.add(Taken { rows: 3, filled: filled(0), ..Taken::default() });
        let said = refusals.at_end().unwrap();
        assert!(said.starts_with(&format!("no row has a value of `{}`:", refusals.columns[0])), "{said}");
        refusals.add(Taken { rows: 3, filled: filled(1), ..Taken::default() });
        assert_eq!(refusals.at_end(), None);
        let time = EventTime::from_millis;
        let ahead = FirstRefused::far_ahead((5, time(10 * 86_400_000), time(0)));
        refusals.add(Taken { rows: 6, too_late: 1, first_ahead: Some(ahead), ..Taken::default() });
        let said = refusals.at_end().unwrap();
        assert!(said.starts_with("1 of 12 rows (8 %) came too late"), "{said}");
        assert!(said.ends_with("; the first at offset 5: event time 1970-01-11T00:00:00.000Z, 10d ahead of the newest before it"), "{said}");
    }

    #[test]
    fn where_no_row_could_be_read_nothing_is_said_of_their_columns() {
        let mut refusals = refusals();
        let columns = refusals.columns.iter().map(|name| Field::new(name, ArrowType::Utf8, true));
        let none = RecordBatch::new_empty(Arc::new(Schema::new(columns.collect::<Vec<_>>())));
        refusals.add(Taken { filled: super::super::filled(&none), ..block(2, 2) });
        let said = refusals.at_end().unwrap();
        assert!(said.ends_with("in data/in.jsonl: not JSON"), "{said}");
    }

    #[test]
    fn what_was_too_late_since_the_start_is_told_beside_the_last_rows() {
        let at = Duration::from_secs;
        let mut refusals = refusals();
        let late = || Taken { rows: 1, too_late: 1, ..Taken::default() };
        refusals.add(Taken { rows: 7, ..Taken::default() });
        assert_eq!(refusals.tick(at(0)), Judgement::Fine);
        refusals.add(late());
        assert!(matches!(refusals.tick(at(1)), Judgement::Warning(_)));
        refusals.add(late());
        refusals.add(late());
        let Judgement::GoesOn(shown) = refusals.tick(at(2)) else { panic!("nothing is said aloud so soon") };
        assert!(shown.starts_with("3 of 3 rows (100 %)") && shown.contains("(3 of 10 since"), "{shown}");
        let Judgement::Warning(told) = refusals.tick(at(62)) else { panic!("a minute has passed") };
        let wanted =
            "2 of 2 rows (100 %) came too late to count and were dropped (3 of 10 since the job was started)";
        assert!(told.starts_with(wanted), "{told}");
    }

    #[test]
    fn while_it_runs_a_minute_passes_between_two_warnings() {
        let at = Duration::from_secs;
        let mut refusals = refusals();
        let warns = |judgement: Judgement, text: &str| matches!(judgement, Judgement::Warning(it) if it.starts_with(text));
        assert_eq!(refusals.tick(at(0)), Judgement::NotYet, "nothing was taken");
        refusals.add(block(10, 0));
        assert_eq!(refusals.tick(at(1)), Judgement::Fine);
        refusals.add(block(1, 1));
        assert!(warns(refusals.tick(at(2)), "1 of 1 rows"), "the ten good ones were judged before");
        refusals.add(block(5, 5));
        assert!(matches!(refusals.tick(at(61)), Judgement::GoesOn(it) if it.starts_with("6 of 6 rows")));
        assert!(warns(refusals.tick(at(62)), "5 of 5 rows"));
        refusals.add(block(5, 0));
        assert_eq!(refusals.tick(at(200)), Judgement::Fine);
    }
}
