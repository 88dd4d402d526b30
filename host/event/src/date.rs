//! Days of the calendar, without a time or a zone.

use jiff::civil;
use std::fmt;
use std::str::FromStr;

/// A day of the Gregorian calendar, as the number of days since 1970-01-01.
///
/// ```
/// let day: weir_event::Date = "2026-01-31".parse().unwrap();
/// assert_eq!((day.days(), day.to_string()), (20484, "2026-01-31".to_owned()));
/// assert!("2026-02-29".parse::<weir_event::Date>().is_err());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(i32);

/// A text that is not a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a date; write it as 2026-01-31")]
pub struct DateError;

const EPOCH: civil::Date = civil::date(1970, 1, 1);

impl Date {
    /// The day so many days after 1970-01-01.
    pub const fn from_days(days: i32) -> Date {
        Date(days)
    }

    /// Days since 1970-01-01.
    pub const fn days(self) -> i32 {
        self.0
    }
}

impl FromStr for Date {
    type Err = DateError;

    /// Reads `2026-01-31`: four, two and two digits, nothing else.
    fn from_str(text: &str) -> Result<Date, DateError> {
        let bytes = text.as_bytes();
        let is_plain = bytes.len() == 10
            && bytes.iter().enumerate().all(|(at, byte)| match at {
                4 | 7 => *byte == b'-',
                _ => byte.is_ascii_digit(),
            });
        if !is_plain {
            return Err(DateError);
        }
        let field = |from: usize, to: usize| text[from..to].parse::<i16>().map_err(|_| DateError);
        let (month, day) = (field(5, 7)? as i8, field(8, 10)? as i8);
        let date = civil::Date::new(field(0, 4)?, month, day).map_err(|_| DateError)?;
        let days = EPOCH.until(date).map_err(|_| DateError)?.get_days();
        Ok(Date(days))
    }
}

/// `2026-01-31`; a day that is in no calendar as its number.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match EPOCH.checked_add(jiff::SignedDuration::from_hours(i64::from(self.0) * 24)) {
            Ok(date) => date.fmt(f),
            Err(_) => self.0.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_read_back_as_they_were_written() {
        for text in ["0000-01-01", "0001-12-31", "1969-12-31", "1970-01-01", "2024-02-29", "9999-12-31"] {
            assert_eq!(text.parse::<Date>().unwrap().to_string(), text);
        }
        assert_eq!("1969-12-31".parse::<Date>().unwrap().days(), -1);
        assert_eq!(Date::from_days(i32::MAX).to_string(), i32::MAX.to_string());
    }

    #[test]
    fn what_is_not_a_date_is_refused() {
        for text in [
            "",
            "2026-1-1",
            "2026-13-01",
            "2026-00-10",
            "2023-02-29",
            "20260101",
            "2026-01-01T00:00:00Z",
            " 2026-01-01",
            "2026/01/01",
            "+026-01-01",
            "２026-01-1",
        ] {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
    }
}
