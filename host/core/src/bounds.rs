//! Which event times can be: what intake refuses and what HTTP refuses beforehand; and which times that are asked for
//! were meant in another unit.
//!
//! A function of the time, of when it was first known and of the newest one before it. Knows no disorder and no clock.

use weir_event::{EventTime, Span, TimeForm, TimeUnit};
use weir_plan::StreamDefinition;

/// An event before 1900-01-01 or from 2200-01-01 on is refused: it also catches times that are written in
/// seconds-turned-micro or nanoseconds. Whatever is said of when it was known: one such row would be ahead of all others
/// of its partition, and they would be late for ever.
const OLDEST_MS: i64 = -2_208_988_800_000;
const NEWEST_MS: i64 = 7_258_118_400_000;

/// What seconds of the years 2001 to 2033 are when they are taken for milliseconds: 12 to 24 January 1970.
const SECONDS_AS_MS: std::ops::Range<i64> = 1_000_000_000..2_000_000_000;
/// What is first known after this, 2000-01-01, or comes behind such a time, did not happen in January 1970.
const RECENT_MS: i64 = 946_684_800_000;
/// From 2001 to 2100: in this range a time is told to be in another unit.
const LIKELY_MS: std::ops::Range<i64> = 978_307_200_000..4_102_444_800_000;

/// The bounds of a stream's event times.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeBounds {
    /// Further ahead of known time than this is refused.
    max_future: Span,
    /// The column of the event time.
    column: String,
    /// In which unit numbers of it are read.
    unit: TimeUnit,
}

impl TimeBounds {
    /// What a stream says of its event times.
    pub fn of(stream: &StreamDefinition) -> TimeBounds {
        let field = stream.schema.fields.get(stream.schema.event_time);
        let unit = match field.map(|field| &field.form) {
            Some(TimeForm::Unit(unit)) => *unit,
            _ => TimeUnit::Millis,
        };
        let column = field.map(|field| field.name.clone()).unwrap_or_default();
        TimeBounds { max_future: stream.max_future, column, unit }
    }

    /// Why an event of this time, first known at `known`, cannot be; `None` if it can. `newest` is the newest event time
    /// before it in its partition, as far as there is one.
    pub fn refusal(
        &self,
        time: EventTime,
        known: Option<EventTime>,
        newest: Option<EventTime>,
    ) -> Option<String> {
        if let Some(known) = known.filter(|known| time > *known + self.max_future) {
            let unit = self.finer_unit(time).map_or_else(String::new, |unit| self.question(unit));
            return Some(format!(
                "event time {time} is more than max_future {} ahead of {known}, when it was first known{unit}",
                self.max_future
            ));
        }
        if !(OLDEST_MS..NEWEST_MS).contains(&time.millis()) {
            let unit = self.finer_unit(time).map_or_else(
                || format!(": is it in another unit than {}?", self.unit.noun()),
                |unit| self.question(unit),
            );
            return Some(format!("event time {time} lies outside 1900 to 2200{unit}"));
        }
        if !looks_like_seconds(time) {
            return None;
        }
        let coarser = self.unit.finer(-1);
        if known.is_some_and(is_recent) {
            let unit = coarser.map_or_else(String::new, |unit| self.question(unit));
            return Some(format!("event time {time} lies in January 1970{unit}"));
        }
        // Those before it are of the unit that the stream says, so it is for whoever writes this one to change.
        newest.filter(|newest| is_recent(*newest))?;
        let meant = coarser.map_or_else(String::new, |unit| {
            let instead = EventTime::from_millis(time.millis() * 1000);
            format!(": is it in {}? Write it in {} or as {instead}", unit.noun(), self.unit.noun())
        });
        Some(format!("event time {time} lies in January 1970, unlike those before it{meant}"))
    }

    /// The unit in which it would be a time of this century.
    fn finer_unit(&self, time: EventTime) -> Option<TimeUnit> {
        let units = [(1, 1000), (2, 1_000_000)];
        let (steps, _) =
            units.into_iter().find(|(_, per_ms)| LIKELY_MS.contains(&(time.millis() / per_ms)))?;
        self.unit.finer(steps)
    }

    fn question(&self, unit: TimeUnit) -> String {
        format!(
            ": is it in {}? Then write `event_time: {{column: {}, unit: {}}}` in the stream's file",
            unit.noun(),
            self.column,
            unit.symbol()
        )
    }
}

/// When a row was first known: when the log took it, unless the stream has a column for it that says an earlier time. A
/// row in the log is known, so a later time is not one.
pub fn known_at(declared: Option<EventTime>, stamp: Option<EventTime>) -> Option<EventTime> {
    declared.into_iter().chain(stamp).min()
}

/// Whether a time can be asked for: an event of it could be.
pub fn can_be(time: EventTime) -> bool {
    (OLDEST_MS..NEWEST_MS).contains(&time.millis())
}

/// How to write a time that was meant in seconds, as one beside it is of this century.
pub fn meant_in_seconds(time: EventTime, beside: EventTime) -> Option<String> {
    (looks_like_seconds(time) && is_recent(beside)).then(|| {
        format!(
            "lies in January 1970: is it in seconds? Write milliseconds or RFC 3339 ({}000 or {})",
            time.millis(),
            EventTime::from_millis(time.millis() * 1000)
        )
    })
}

/// Whether it is of this century, as are those of nearly every stream.
pub(crate) fn is_recent(time: EventTime) -> bool {
    time.millis() >= RECENT_MS
}

/// Whether it is a thousandth of a time of the years 2001 to 2033, as seconds are that are read as milliseconds.
pub(crate) fn looks_like_seconds(time: EventTime) -> bool {
    SECONDS_AS_MS.contains(&time.millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_767_225_600_000;

    fn refusal_in(unit: TimeUnit, millis: i64, known: Option<i64>) -> String {
        let known = known.map(EventTime::from_millis);
        let bounds = TimeBounds { max_future: Span::from_millis(3_600_000), column: "t".to_owned(), unit };
        bounds.refusal(EventTime::from_millis(millis), known, None).unwrap_or_default()
    }

    fn refusal(millis: i64, known: Option<i64>) -> String {
        refusal_in(TimeUnit::Millis, millis, known)
    }

    #[test]
    fn a_time_in_another_unit_is_told_so() {
        for known in [None, Some(NOW)] {
            for (unit, factor, said) in [
                (
                    TimeUnit::Millis,
                    1000,
                    "is it in microseconds? Then write `event_time: {column: t, unit: us}` in",
                ),
                (TimeUnit::Millis, 1_000_000, "is it in nanoseconds? Then write"),
                (
                    TimeUnit::Seconds,
                    1000,
                    "is it in milliseconds? Then write `event_time: {column: t, unit: ms}`",
                ),
                (TimeUnit::Seconds, 1_000_000, "is it in microseconds? Then"),
            ] {
                let reason = refusal_in(unit, NOW * factor, known);
                assert!(reason.contains(said), "{reason}");
            }
            assert!(!refusal_in(TimeUnit::Nanos, NOW * 1000, known).contains("column"));
        }
        let seconds = refusal(NOW / 1000, Some(NOW));
        assert!(seconds.contains("lies in January 1970: is it in seconds?"), "{seconds}");
        assert!(seconds.ends_with("`event_time: {column: t, unit: s}` in the stream's file"), "{seconds}");
        // The year 1, the zero of some languages, is not a time in another unit.
        let zero = refusal(-62_135_596_800_000, Some(NOW));
        assert!(zero.contains("outside 1900 to 2200"), "{zero}");
    }

    #[test]
    fn beside_a_time_of_this_century_january_1970_is_in_seconds() {
        let behind = |newest: Option<i64>| {
            let newest = newest.map(EventTime::from_millis);
            let max_future = Span::from_millis(3_600_000);
            let bounds = TimeBounds { max_future, column: "t".to_owned(), unit: TimeUnit::Millis };
            bounds.refusal(EventTime::from_millis(NOW / 1000), None, newest).is_some()
        };
        assert_eq!(
            [None, Some(i64::MIN), Some(NOW / 1000), Some(NOW)].map(behind),
            [false, false, false, true]
        );
    }

    #[test]
    fn the_bounds_themselves_can_be() {
        for (millis, known) in [
            (OLDEST_MS, None),
            (NEWEST_MS - 1, None),
            (NOW + 3_600_000, Some(NOW)),
            (0, Some(NOW)),
            (SECONDS_AS_MS.start - 1, Some(NOW)),
            (SECONDS_AS_MS.end, Some(NOW)),
            // Where nothing says when it was known, or it was known then, January 1970 is as good as any time.
            (NOW / 1000, None),
            (NOW / 1000, Some(NOW / 1000)),
            (NEWEST_MS - 1, Some(NEWEST_MS)),
        ] {
            assert_eq!(refusal(millis, known), "", "{millis} {known:?}");
        }
        for (millis, known) in [
            (OLDEST_MS - 1, None),
            (OLDEST_MS - 1, Some(NOW)),
            (NEWEST_MS, None),
            (NEWEST_MS, Some(NEWEST_MS)),
            (NOW + 3_600_001, Some(NOW)),
            (SECONDS_AS_MS.start, Some(NOW)),
            (SECONDS_AS_MS.end - 1, Some(NOW)),
            (i64::MIN, None),
            (i64::MAX, Some(NOW)),
        ] {
            assert_ne!(refusal(millis, known), "", "{millis} {known:?}");
        }
    }
}
