//! Which event times can be, whatever came before them: what intake refuses and what HTTP refuses beforehand.
//!
//! A function of the event time and of when it was first known. Knows no watermark and no clock.

use weir_event::{EventTime, Span};

/// An event before 1900-01-01 or, where nothing is known, from 2200-01-01 on is refused: it also catches times that
/// are written in seconds-turned-micro or nanoseconds.
const OLDEST_MS: i64 = -2_208_988_800_000;
const NEWEST_MS: i64 = 7_258_118_400_000;

/// What seconds of the years 2001 to 2033 are when they are taken for milliseconds: 12 to 24 January 1970.
const SECONDS_AS_MS: std::ops::Range<i64> = 1_000_000_000..2_000_000_000;
/// What is first known after this, 2000-01-01, did not happen in January 1970.
const RECENT_MS: i64 = 946_684_800_000;
/// From 2001 to 2100: in this range a time is told to be in another unit.
const LIKELY_MS: std::ops::Range<i64> = 978_307_200_000..4_102_444_800_000;

/// The bounds of a stream's event times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeBounds {
    /// Further ahead of known time than this is refused.
    pub max_future: Span,
}

impl TimeBounds {
    /// Why an event of this time, first known at `known`, cannot be; `None` if it can.
    pub fn refusal(&self, time: EventTime, known: Option<EventTime>) -> Option<String> {
        let unit = unit_of(time);
        if time.millis() < OLDEST_MS || (known.is_none() && time.millis() >= NEWEST_MS) {
            let unit = unit.unwrap_or("another unit than milliseconds");
            return Some(format!("event time {time} lies outside 1900 to 2200: is it in {unit}?"));
        }
        let known = known?;
        if time > known + self.max_future {
            let unit = unit.map_or_else(String::new, |unit| format!(": is it in {unit}?"));
            return Some(format!(
                "event time {time} is more than max_future {} ahead of {known}, when it was first known{unit}",
                self.max_future
            ));
        }
        (looks_like_seconds(time) && known.millis() >= RECENT_MS).then(|| {
            format!(
                "event time {time} lies in January 1970: is it in seconds? Write milliseconds or RFC 3339 ({}000 or \
                 {})",
                time.millis(),
                EventTime::from_millis(time.millis() * 1000)
            )
        })
    }
}

/// Whether it would be a time of the years 2001 to 2033 were it in seconds.
pub(crate) fn looks_like_seconds(time: EventTime) -> bool {
    SECONDS_AS_MS.contains(&time.millis())
}

/// The unit in which it would be a time of this century.
fn unit_of(time: EventTime) -> Option<&'static str> {
    let units = [("microseconds", 1000), ("nanoseconds", 1_000_000)];
    units.into_iter().find(|(_, per_ms)| LIKELY_MS.contains(&(time.millis() / per_ms))).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: TimeBounds = TimeBounds { max_future: Span::from_millis(3_600_000) };
    const NOW: i64 = 1_767_225_600_000;

    fn refusal(millis: i64, known: Option<i64>) -> String {
        let known = known.map(EventTime::from_millis);
        BOUNDS.refusal(EventTime::from_millis(millis), known).unwrap_or_default()
    }

    #[test]
    fn a_time_in_another_unit_is_told_so() {
        for known in [None, Some(NOW)] {
            assert!(
                refusal(NOW * 1000, known).ends_with("is it in microseconds?"),
                "{}",
                refusal(NOW * 1000, known)
            );
            assert!(refusal(NOW * 1_000_000, known).ends_with("is it in nanoseconds?"));
        }
        let seconds = refusal(NOW / 1000, Some(NOW));
        assert!(seconds.contains("lies in January 1970: is it in seconds?"), "{seconds}");
        assert!(seconds.ends_with("(1767225600000 or 2026-01-01T00:00:00.000Z)"), "{seconds}");
        // The year 1, the zero of some languages, is not a time in another unit.
        let zero = refusal(-62_135_596_800_000, Some(NOW));
        assert!(zero.contains("outside 1900 to 2200"), "{zero}");
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
            (NEWEST_MS, Some(NEWEST_MS)),
        ] {
            assert_eq!(refusal(millis, known), "", "{millis} {known:?}");
        }
        for (millis, known) in [
            (OLDEST_MS - 1, None),
            (OLDEST_MS - 1, Some(NOW)),
            (NEWEST_MS, None),
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
