//! Dates, and times as RFC 3339 text, digit by digit: a sink writes two or three per row.

use weir_event::{Date, EventTime};

const DAY_MILLIS: i64 = 86_400_000;

/// The span of four-digit years; the text of times outside it is made the slow way.
const YEAR_0_MILLIS: i64 = -62_167_219_200_000;
const YEAR_10000_MILLIS: i64 = 253_402_300_800_000;

/// Appends a time with its quotes, `"2026-01-01T00:00:00.000Z"`; one that no calendar holds as its milliseconds.
pub fn push_time(millis: i64, out: &mut Vec<u8>) {
    if !(YEAR_0_MILLIS..YEAR_10000_MILLIS).contains(&millis) {
        let text = EventTime::from_millis(millis).to_string();
        let is_number = text.parse::<i64>().is_ok();
        out.extend_from_slice(if is_number { text } else { format!("\"{text}\"") }.as_bytes());
        return;
    }
    let of_day = millis.rem_euclid(DAY_MILLIS);
    out.push(b'"');
    push_day(millis.div_euclid(DAY_MILLIS), out);
    out.push(b'T');
    push_digits(of_day / 3_600_000, 2, out);
    out.push(b':');
    push_digits(of_day / 60_000 % 60, 2, out);
    out.push(b':');
    push_digits(of_day / 1000 % 60, 2, out);
    out.push(b'.');
    push_digits(of_day % 1000, 3, out);
    out.extend_from_slice(b"Z\"");
}

/// Appends a date with its quotes, `"2026-01-31"`; one that no calendar holds as its number of days.
pub(super) fn push_date(days: i32, out: &mut Vec<u8>) {
    let first_milli = i64::from(days) * DAY_MILLIS;
    if (YEAR_0_MILLIS..YEAR_10000_MILLIS).contains(&first_milli) {
        out.push(b'"');
        push_day(days.into(), out);
        out.push(b'"');
        return;
    }
    let text = Date::from_days(days).to_string();
    let is_number = text.parse::<i32>().is_ok();
    out.extend_from_slice(if is_number { text } else { format!("\"{text}\"") }.as_bytes());
}

/// Appends `2026-01-31` for a number of days since 1970-01-01 that falls in a four-digit year.
fn push_day(days: i64, out: &mut Vec<u8>) {
    // Years are counted from March here, so that the leap day is a year's last.
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    push_digits(era * 400 + year_of_era + i64::from(month <= 2), 4, out);
    out.push(b'-');
    push_digits(month, 2, out);
    out.push(b'-');
    push_digits(day_of_year - (153 * march_month + 2) / 5 + 1, 2, out);
}

fn push_digits(value: i64, count: u32, out: &mut Vec<u8>) {
    for place in (0..count).rev() {
        out.push(b'0' + (value / 10_i64.pow(place) % 10) as u8);
    }
}
