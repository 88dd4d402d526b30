//! Event time and spans of it, as values with laws.
//!
//! Time is a whole number of milliseconds since 1970-01-01T00:00:00Z, before it negative; finer input is
//! floored. Arithmetic saturates: a window over absurd times is empty or clipped, never wrapped around.

use crate::suggestion::shown;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A point in event time, in milliseconds since the epoch.
///
/// ```
/// use weir_event::{EventTime, Span};
/// let t: EventTime = "2026-01-01T00:00:00.250Z".parse().unwrap();
/// assert_eq!(t.millis(), 1_767_225_600_250);
/// assert_eq!((t - Span::from_millis(250)).to_string(), "2026-01-01T00:00:00.000Z");
/// assert_eq!(EventTime::from_millis(253_402_300_799_999).to_string(), "9999-12-31T23:59:59.999Z");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventTime(i64);

impl EventTime {
    /// Before every event: the watermark of a partition that has said nothing.
    pub const MIN: EventTime = EventTime(i64::MIN);
    /// After every event.
    pub const MAX: EventTime = EventTime(i64::MAX);

    /// The time `millis` milliseconds after the epoch.
    pub const fn from_millis(millis: i64) -> Self {
        EventTime(millis)
    }

    /// Milliseconds since the epoch.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// The start of the grid cell of width `size`, anchored at `offset`, that holds this time: a true floor,
    /// also before 1970.
    ///
    /// ```
    /// use weir_event::{EventTime, Span};
    /// let cell = EventTime::from_millis(-1).floor_to(Span::from_millis(10), Span::ZERO);
    /// assert_eq!(cell.millis(), -10);
    /// ```
    pub fn floor_to(self, size: Span, offset: Span) -> EventTime {
        let shifted = self.0.saturating_sub(offset.0);
        EventTime(shifted.saturating_sub(shifted.rem_euclid(size.0.max(1))).saturating_add(offset.0))
    }

    /// The time elapsed since `earlier`, negative if that is later.
    pub fn since(self, earlier: EventTime) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl std::ops::Add<Span> for EventTime {
    type Output = EventTime;
    fn add(self, span: Span) -> EventTime {
        EventTime(self.0.saturating_add(span.0))
    }
}

impl std::ops::Sub<Span> for EventTime {
    type Output = EventTime;
    fn sub(self, span: Span) -> EventTime {
        EventTime(self.0.saturating_sub(span.0))
    }
}

impl fmt::Display for EventTime {
    /// RFC 3339 in UTC with milliseconds; a time outside the calendar's range, which ends with the year 9999, as its
    /// milliseconds.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Ok(stamp) = jiff::Timestamp::from_millisecond(self.0) {
            return write!(f, "{stamp:.3}");
        }
        // Instants of the library end a day earlier than its calendar, as the clocks of some zones are ahead.
        let epoch = jiff::civil::date(1970, 1, 1).at(0, 0, 0, 0);
        match epoch.checked_add(jiff::SignedDuration::from_millis(self.0)) {
            Ok(clock) if self.0 > 0 => write!(f, "{clock:.3}Z"),
            _ => write!(f, "{}", self.0),
        }
    }
}

/// A text that is neither RFC 3339 nor whole milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a time; write RFC 3339, such as 2026-01-31T12:00:00Z, or whole milliseconds since 1970"
)]
pub struct TimeError(String);

impl FromStr for EventTime {
    type Err = TimeError;

    /// RFC 3339 (an offset or `Z` is required) or an integer of epoch milliseconds, of the years -9999 to 9999 except the
    /// last day of that, which is written and not read.
    fn from_str(text: &str) -> Result<Self, TimeError> {
        let refused = || TimeError(shown(text).into_owned());
        let stamp = match text.parse::<i64>() {
            Ok(millis) => jiff::Timestamp::from_millisecond(millis),
            Err(_) => text.parse(),
        };
        let stamp = stamp.map_err(|_| refused())?;
        let nanos = stamp.as_nanosecond();
        i64::try_from(nanos.div_euclid(1_000_000)).map(EventTime).map_err(|_| refused())
    }
}

/// A length of event time in milliseconds.
///
/// ```
/// use weir_event::Span;
/// assert_eq!("30s".parse::<Span>().unwrap(), Span::from_millis(30_000));
/// assert_eq!(Span::from_millis(90_000).to_string(), "90s");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Span(i64);

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);
    /// Longer than any history.
    pub const MAX: Span = Span(i64::MAX);

    /// A span of `millis` milliseconds.
    pub const fn from_millis(millis: i64) -> Self {
        Span(millis)
    }

    /// Its length in milliseconds.
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// The greatest span that divides both.
    pub fn gcd(self, other: Span) -> Span {
        let (mut a, mut b) = (self.0.unsigned_abs(), other.0.unsigned_abs());
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Span(a as i64)
    }
}

const UNITS: [(&str, i64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// A text that is not an integer and one of `ms|s|m|h|d`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration; write a whole number and a unit of ms, s, m, h or d, such as 30s")]
pub struct SpanError(String);

impl FromStr for Span {
    type Err = SpanError;

    fn from_str(text: &str) -> Result<Self, SpanError> {
        let error = || SpanError(text.to_owned());
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let number: i64 = number.parse().map_err(|_| error())?;
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit.trim()).ok_or_else(error)?;
        number.checked_mul(*millis).map(Span).ok_or_else(error)
    }
}

impl fmt::Display for Span {
    /// The largest unit that divides it, so that the text reads back as the same span.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, millis) =
            UNITS.iter().find(|(_, millis)| self.0 % millis == 0 && self.0 != 0).unwrap_or(&("ms", 1));
        write!(f, "{}{name}", self.0 / millis)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finer_input_is_floored_also_before_1970() {
        assert_eq!("1969-12-31T23:59:59.9999Z".parse::<EventTime>().unwrap().millis(), -1);
        assert_eq!("1970-01-01T01:00:00+01:00".parse::<EventTime>().unwrap().millis(), 0);
    }

    #[test]
    fn floor_follows_the_offset() {
        let day = Span::from_millis(86_400_000);
        let offset = Span::from_millis(3_600_000);
        assert_eq!(EventTime::from_millis(0).floor_to(day, offset).millis(), 3_600_000 - 86_400_000);
    }

    #[test]
    fn what_is_not_a_duration_is_refused() {
        for text in ["", "s", "-5s", "5", "5 weeks", "99999999999999999d", "1.5h"] {
            assert!(text.parse::<Span>().is_err(), "{text}");
        }
    }
}
