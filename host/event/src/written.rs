//! How a source writes its times, where that is not weir's own way.
//!
//! Knows units of numbers and patterns of text. Must not know which column is written so, nor in which format.

use crate::time::EventTime;
use crate::zone::{UnknownZone, zone_named};
use jiff::SignedDuration;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use std::fmt;
use std::sync::LazyLock;

/// How the times of a column are written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum TimeForm {
    /// RFC 3339, or whole milliseconds since 1970.
    #[default]
    Standard,
    /// A number of such units since 1970.
    Unit(TimeUnit),
    /// A text of a pattern.
    Pattern(TimePattern),
}

/// What a number of a time counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TimeUnit {
    /// `s`.
    Seconds,
    /// `ms`.
    #[default]
    Millis,
    /// `us`.
    Micros,
    /// `ns`.
    Nanos,
}

/// As a definition writes units, from the longest.
pub const TIME_UNITS: [(&str, TimeUnit); 4] =
    [("s", TimeUnit::Seconds), ("ms", TimeUnit::Millis), ("us", TimeUnit::Micros), ("ns", TimeUnit::Nanos)];

/// More digits than this have no meaning in a time, and would not fit the arithmetic below.
const DIGITS_LIMIT: usize = 30;

impl TimeUnit {
    /// The time that a number in JSON's form means, finer parts floored; `None` when it is out of range.
    ///
    /// ```
    /// use weir_event::{EventTime, TimeUnit};
    /// let read = |text| TimeUnit::Seconds.read(text).map(EventTime::millis);
    /// assert_eq!(read("1767225600.1239"), Some(1_767_225_600_123));
    /// assert_eq!(read("1.7672256E9"), Some(1_767_225_600_000));
    /// assert_eq!(read("-0.0001"), Some(-1));
    /// ```
    pub fn read(self, text: &str) -> Option<EventTime> {
        if let Ok(whole) = text.parse::<i64>() {
            let power = 10_i64.pow(self.thousandths().unsigned_abs());
            let millis =
                if self.thousandths() < 0 { Some(whole.div_euclid(power)) } else { whole.checked_mul(power) };
            return millis.map(EventTime::from_millis);
        }
        let (number, exponent) = match text.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.len() + fraction.len() > DIGITS_LIMIT {
            return None;
        }
        let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
        let scale = exponent.checked_add(self.thousandths())?.checked_sub(fraction.len() as i32)?;
        let power = 10_i128.checked_pow(scale.unsigned_abs());
        let millis = match power {
            _ if digits == 0 => 0,
            Some(power) if scale >= 0 => digits.checked_mul(power)?,
            Some(power) => digits.div_euclid(power),
            None if scale >= 0 => return None,
            None => digits.signum().min(0),
        };
        i64::try_from(millis).ok().map(EventTime::from_millis)
    }

    /// So many of them in whole milliseconds, finer parts floored; `None` where that is out of range.
    pub const fn millis(self, count: i64) -> Option<i64> {
        match self {
            TimeUnit::Seconds => count.checked_mul(1000),
            TimeUnit::Millis => Some(count),
            TimeUnit::Micros => Some(count.div_euclid(1000)),
            TimeUnit::Nanos => Some(count.div_euclid(1_000_000)),
        }
    }

    /// The power of ten of milliseconds in one.
    const fn thousandths(self) -> i32 {
        match self {
            TimeUnit::Seconds => 3,
            TimeUnit::Millis => 0,
            TimeUnit::Micros => -3,
            TimeUnit::Nanos => -6,
        }
    }

    /// As a definition writes it.
    pub fn symbol(self) -> &'static str {
        TIME_UNITS[self as usize].0
    }

    /// In words.
    pub const fn noun(self) -> &'static str {
        match self {
            TimeUnit::Seconds => "seconds",
            TimeUnit::Millis => "milliseconds",
            TimeUnit::Micros => "microseconds",
            TimeUnit::Nanos => "nanoseconds",
        }
    }

    /// The unit of which one of these holds a thousand to the power of `steps`; of a negative power, the other way.
    pub fn finer(self, steps: i32) -> Option<TimeUnit> {
        let at = usize::try_from(self as i32 + steps).ok()?;
        TIME_UNITS.get(at).map(|(_, unit)| *unit)
    }
}

/// A pattern of `strftime` and the zone of what it reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimePattern {
    pattern: String,
    zone: TimeZone,
}

/// Why a pattern cannot read a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// It has not one `%`.
    #[error(
        "`{0}` holds no directive; write them as strftime does, such as \"%Y-%m-%d %H:%M:%S\" for 2026-01-31 12:00:00"
    )]
    Plain(String),
    /// It has a directive that is not known, or that cannot be read.
    #[error("`{0}`: {1}; write directives of strftime, such as \"%Y-%m-%d %H:%M:%S\"")]
    Directive(String, String),
    /// It leaves the day open.
    #[error("`{0}` does not say the year and the day; add them, such as \"%Y-%m-%d %H:%M:%S\"")]
    NoDay(String),
    /// It leaves the hour open.
    #[error("`{0}` {1}, such as \"%Y-%m-%d %H:%M:%S\" or \"%Y-%m-%d %I:%M %p\"")]
    NoHour(String, &'static str),
    /// It reads an offset of its own.
    #[error("`{0}` reads the offset of each time; leave `zone` out")]
    TwoZones(String),
    /// The time zone is not in the database.
    #[error(transparent)]
    Zone(#[from] UnknownZone),
}

/// A time with nothing the same: what a pattern writes of it is read back, to see that it can be.
const SAMPLE_MS: i64 = 1_234_567_890_123;

impl TimePattern {
    /// Texts of this pattern; those that say no offset are what clocks of the zone show, of UTC where none is given.
    pub fn new(pattern: &str, zone: Option<&str>) -> Result<TimePattern, PatternError> {
        let owned = || pattern.to_owned();
        if !pattern.contains('%') {
            return Err(PatternError::Plain(owned()));
        }
        let sample = jiff::Timestamp::from_millisecond(SAMPLE_MS).unwrap_or_default().to_zoned(TimeZone::UTC);
        let directive = |error: jiff::Error| PatternError::Directive(owned(), error.to_string());
        let written = strtime::format(pattern, &sample).map_err(directive)?;
        let read = strtime::parse(pattern, &written).map_err(directive)?;
        let has_zone =
            read.offset().is_some() || read.timestamp().is_some() || read.iana_time_zone().is_some();
        if read.timestamp().is_none() {
            read.to_date().map_err(|_| PatternError::NoDay(owned()))?;
            let no_hour = |why| PatternError::NoHour(owned(), why);
            let time = read.to_time().map_err(|_| no_hour("does not say the hour; add it"))?;
            if ![0, sample.hour()].contains(&time.hour()) {
                return Err(no_hour("does not say which half of the day an hour is in; add %p, or write %H"));
            }
        }
        if has_zone && zone.is_some() {
            return Err(PatternError::TwoZones(owned()));
        }
        let zone = zone.map_or(Ok(TimeZone::UTC), zone_named)?;
        Ok(TimePattern { pattern: owned(), zone })
    }

    /// The time of a text, finer parts floored; `None` when it does not have the pattern. Of a time that clocks show
    /// twice it is the first, one that they skip counts from before the change.
    ///
    /// ```
    /// use weir_event::TimePattern;
    /// let pattern = TimePattern::new("%d.%m.%Y %H:%M", Some("Europe/Berlin")).unwrap();
    /// assert_eq!(pattern.read("31.01.2026 12:00").unwrap().to_string(), "2026-01-31T11:00:00.000Z");
    /// assert!(pattern.read("31.02.2026 12:00").is_none());
    /// ```
    pub fn read(&self, text: &str) -> Option<EventTime> {
        let read = strtime::parse(&self.pattern, text).ok()?;
        let stamp = if read.iana_time_zone().is_some() {
            read.to_zoned().ok()?.timestamp()
        } else if let Some(seconds) = read.timestamp() {
            // A fraction stands beside `%s`, and does not count for it by itself.
            let fraction = SignedDuration::from_nanos(i64::from(read.subsec_nanosecond().unwrap_or(0)));
            seconds.checked_add(fraction).ok()?
        } else if read.offset().is_some() {
            read.to_timestamp().ok()?
        } else {
            self.zone.to_ambiguous_timestamp(read.to_datetime().ok()?).compatible().ok()?
        };
        let millis = stamp.as_nanosecond().div_euclid(1_000_000);
        i64::try_from(millis).ok().map(EventTime::from_millis)
    }
}

impl fmt::Display for TimeForm {
    /// As a definition says it; nothing for weir's own form.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TimeForm::Standard => Ok(()),
            TimeForm::Unit(unit) => write!(f, "unit: {}", unit.symbol()),
            TimeForm::Pattern(TimePattern { pattern, zone }) => {
                write!(f, "pattern: {pattern:?}, zone: {}", zone.iana_name().unwrap_or("UTC"))
            }
        }
    }
}

/// Patterns that are often met, so that a text that one of them reads can be told how to be read.
const FREQUENT: &[&str] = &[
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%d",
    "%Y/%m/%d %H:%M:%S",
    "%Y/%m/%d %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y",
    "%m/%d/%Y %H:%M:%S",
    "%m/%d/%Y %H:%M",
    "%m/%d/%Y %I:%M:%S %p",
    "%m/%d/%Y %I:%M %p",
    "%m/%d/%Y",
    "%d/%m/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M",
    "%d/%m/%Y",
    "%d.%m.%y %H:%M:%S",
    "%d.%m.%y %H:%M",
    "%d.%m.%y",
    "%m/%d/%y %H:%M",
    "%m/%d/%y",
    "%d/%m/%y %H:%M",
    "%d/%m/%y",
    "%Y-%m-%d %H:%M:%S UTC",
    "%Y-%m-%d %H:%M:%S%.f UTC",
    "%Y-%m-%d %H:%M:%S %z",
    "%Y-%m-%d %H:%M:%S%.f %z",
    "%a, %d %b %Y %H:%M:%S %z",
    "%d/%b/%Y:%H:%M:%S %z",
    "%a %b %d %H:%M:%S %Y",
];

/// From 1900 to 2200: a pattern that reads a time outside of it takes another part for the year.
const FREQUENT_MS: std::ops::Range<i64> = -2_208_988_800_000..7_258_118_400_000;

/// The frequent pattern that reads this text, and another one that reads a different time from it: which of the two was
/// meant, only its writer knows.
pub fn likely_patterns(text: &str) -> Vec<&'static str> {
    static PATTERNS: LazyLock<Vec<TimePattern>> = LazyLock::new(|| {
        let of_utc = |pattern: &&str| TimePattern { pattern: (*pattern).to_owned(), zone: TimeZone::UTC };
        FREQUENT.iter().map(of_utc).collect()
    });
    let mut times = Vec::new();
    let mut found = Vec::new();
    for (pattern, name) in PATTERNS.iter().zip(FREQUENT) {
        let time = pattern.read(text).filter(|time| FREQUENT_MS.contains(&time.millis()));
        if let Some(time) = time.filter(|time| !times.contains(time)) {
            times.push(time);
            found.push(*name);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_unit_are_read_exactly() {
        let cases = [
            (TimeUnit::Seconds, "1767225600", Some(1_767_225_600_000)),
            (TimeUnit::Seconds, "1767225600.999999", Some(1_767_225_600_999)),
            (TimeUnit::Seconds, "1.767225600123E9", Some(1_767_225_600_123)),
            (TimeUnit::Millis, "1767225600250.9", Some(1_767_225_600_250)),
            (TimeUnit::Micros, "1767225600250999", Some(1_767_225_600_250)),
            (TimeUnit::Nanos, "1767225600250999999", Some(1_767_225_600_250)),
            (TimeUnit::Nanos, "-1", Some(-1)),
            (TimeUnit::Seconds, "1e-99999", Some(0)),
            (TimeUnit::Seconds, "-1e-99999", Some(-1)),
            (TimeUnit::Seconds, "0e99999", Some(0)),
            (TimeUnit::Seconds, "1e99999", None),
            (TimeUnit::Seconds, "1e999999999999", None),
            (TimeUnit::Seconds, "9223372036854775807", None),
            (TimeUnit::Seconds, "1234567890123456789012345678901", None),
        ];
        for (unit, text, millis) in cases {
            assert_eq!(unit.read(text).map(EventTime::millis), millis, "{text} {}", unit.symbol());
        }
    }

    #[test]
    fn units_lie_a_thousand_apart() {
        for (at, (symbol, unit)) in TIME_UNITS.iter().enumerate() {
            assert_eq!((unit.symbol(), unit.finer(-(at as i32))), (*symbol, Some(TimeUnit::Seconds)));
        }
        assert_eq!((TimeUnit::Nanos.finer(1), TimeUnit::Seconds.finer(-1)), (None, None));
    }

    #[test]
    fn texts_are_read_by_the_clock_of_their_zone() {
        let read = |pattern: &str, zone: Option<&str>, text: &str| {
            TimePattern::new(pattern, zone).unwrap().read(text).map(|time| time.to_string())
        };
        let plain = "%Y-%m-%d %H:%M:%S";
        let berlin = Some("Europe/Berlin");
        for (pattern, zone, text, time) in [
            (plain, None, "2026-03-01 10:00:00", "2026-03-01T10:00:00.000Z"),
            (plain, berlin, "2026-07-01 10:00:00", "2026-07-01T08:00:00.000Z"),
            // Shown twice, and skipped.
            (plain, berlin, "2026-10-25 02:30:00", "2026-10-25T00:30:00.000Z"),
            (plain, berlin, "2026-03-29 02:30:00", "2026-03-29T01:30:00.000Z"),
            ("%Y-%m-%d", None, "2026-03-01", "2026-03-01T00:00:00.000Z"),
            ("%Y-%m-%d %H:%M:%S%.f", None, "1969-12-31 23:59:59.9999", "1969-12-31T23:59:59.999Z"),
            ("%d/%b/%Y:%H:%M:%S %z", None, "01/Mar/2026:10:00:00 +0100", "2026-03-01T09:00:00.000Z"),
            ("%s", None, "1767225600", "2026-01-01T00:00:00.000Z"),
            ("%s%.f", None, "1767225600.123", "2026-01-01T00:00:00.123Z"),
            ("%s.%f", None, "1767225600.5", "2026-01-01T00:00:00.500Z"),
        ] {
            assert_eq!(read(pattern, zone, text).as_deref(), Some(time), "{text}");
        }
        for text in
            ["", "2026-03-01", "2026-02-30 10:00:00", "2026-03-01 10:00:00Z", "2026-03-01 25:00:00", "é"]
        {
            assert_eq!(read(plain, None, text), None, "{text}");
        }
    }

    #[test]
    fn a_pattern_that_cannot_read_a_time_is_refused() {
        for (pattern, zone, said) in [
            ("yyyy-MM-dd HH:mm:ss", None, "holds no directive"),
            ("%Y-%m-%d %!", None, "write directives of strftime"),
            ("%H:%M:%S", None, "does not say the year and the day"),
            ("%Y-%m-%d %M", None, "does not say the hour; add it"),
            ("%Y-%m-%d %I:%M", None, "add %p, or write %H"),
            ("%Y-%m-%d %z", Some("Europe/Berlin"), "leave `zone` out"),
            ("%Y-%m-%d", Some("Europe/Berln"), "did you mean `Europe/Berlin`?"),
        ] {
            let error = TimePattern::new(pattern, zone).unwrap_err().to_string();
            assert!(error.contains(said), "{pattern}: {error}");
        }
    }

    #[test]
    fn a_frequent_form_is_recognised() {
        for (text, pattern) in [
            ("2026-03-01 10:00:00", "%Y-%m-%d %H:%M:%S"),
            ("2026-03-01 10:00:00.5", "%Y-%m-%d %H:%M:%S%.f"),
            ("2026-03-01", "%Y-%m-%d"),
            ("01.03.2026 10:10", "%d.%m.%Y %H:%M"),
            ("03/31/2026", "%m/%d/%Y"),
            ("31/03/2026", "%d/%m/%Y"),
            ("01.03.26 10:00", "%d.%m.%y %H:%M"),
            ("03/31/26", "%m/%d/%y"),
        ] {
            assert_eq!(likely_patterns(text), [pattern], "{text}");
        }
        assert_eq!(likely_patterns("04/03/2026 10:00"), ["%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M"]);
        assert!(likely_patterns("soon").is_empty());
        let sample = jiff::Timestamp::from_millisecond(SAMPLE_MS).unwrap().to_zoned(TimeZone::UTC);
        for pattern in FREQUENT {
            assert!(TimePattern::new(pattern, None).is_ok(), "{pattern}");
            let written = strtime::format(pattern, &sample).unwrap();
            assert_eq!(likely_patterns(&written), [*pattern], "{written}");
            assert!(written.parse::<EventTime>().is_err(), "{written} is read without a pattern");
        }
    }
}
