//! Text of single values into numbers and times.
//!
//! Numbers have already been found to be legal JSON; what these refuse is a value that does not fit its type. Must not
//! know columns.

use weir_event::{Date, EventTime, TimePattern, TimeUnit};

/// Integers of at most so many digits cannot overflow 64 bits.
const SAFE_DIGITS: usize = 18;

/// A whole number; `None` when it is out of range.
#[inline]
pub(crate) fn integer(bytes: &[u8]) -> Option<i64> {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    if digits.len() > SAFE_DIGITS {
        return as_str(bytes).parse().ok();
    }
    let mut value = 0_i64;
    let mut rest = digits;
    while let Some((chunk, tail)) = rest.split_first_chunk::<8>() {
        value = value * 100_000_000 + eight_digits(*chunk) as i64;
        rest = tail;
    }
    for digit in rest {
        value = value * 10 + i64::from(digit - b'0');
    }
    Some(if digits.len() == bytes.len() { value } else { -value })
}

/// Eight digits at once: pairs, then fours, then all.
#[inline]
fn eight_digits(chunk: [u8; 8]) -> u64 {
    let digits = u64::from_le_bytes(chunk) & 0x0F0F_0F0F_0F0F_0F0F;
    let pairs = (digits.wrapping_mul(10) + (digits >> 8)) & 0x00FF_00FF_00FF_00FF;
    let fours = (pairs.wrapping_mul(100) + (pairs >> 16)) & 0x0000_FFFF_0000_FFFF;
    (fours.wrapping_mul(10_000) + (fours >> 32)) & 0xFFFF_FFFF
}

/// A text that need not be legal JSON as a whole number: it may have a plus and zeros in front, and be written as `12.0` or
/// `1e18`; `None` when it is not one, or out of range.
pub(crate) fn whole_text(bytes: &[u8]) -> Option<i64> {
    let text = as_str(bytes);
    text.parse().ok().or_else(|| {
        let is_number = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'+' | b'-' | b'.' | b'e' | b'E');
        (text.bytes().all(is_number) && text.parse::<f64>().is_ok()).then_some(())?;
        whole(bytes.strip_prefix(b"+").unwrap_or(bytes))
    })
}

/// A number written with a fraction or an exponent that is whole all the same, such as `12.0` or `1e18`, digit by digit;
/// `None` when it is not, or out of range.
pub(crate) fn whole(bytes: &[u8]) -> Option<i64> {
    const OUT_OF_RANGE: i128 = 1 << 63;
    /// More than any text has digits, so that a larger exponent says the same.
    const FARTHEST: i64 = 1 << 40;
    let text = as_str(bytes);
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (is_negative, mantissa) = mantissa.strip_prefix('-').map_or((false, mantissa), |rest| (true, rest));
    let (before, behind) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    // One that is no number of 64 bits has too many digits.
    let farthest = if exponent.starts_with('-') { -FARTHEST } else { FARTHEST };
    let exponent = exponent.parse::<i64>().map_or(farthest, |exponent| exponent.clamp(-FARTHEST, FARTHEST));
    // So many digits stand before the point once the exponent has moved it.
    let mut places = exponent.saturating_add(before.len() as i64);
    let mut value: i128 = 0;
    for digit in before.bytes().chain(behind.bytes()) {
        if places > 0 {
            value = value * 10 + i128::from(digit - b'0');
        } else if digit != b'0' {
            return None;
        }
        places = places.saturating_sub(1);
        (value <= OUT_OF_RANGE).then_some(())?;
    }
    while places > 0 && value != 0 {
        value *= 10;
        places -= 1;
        (value <= OUT_OF_RANGE).then_some(())?;
    }
    i64::try_from(if is_negative { -value } else { value }).ok()
}

/// The correctly rounded double; `None` when it is out of range.
#[inline]
pub(crate) fn double(bytes: &[u8]) -> Option<f64> {
    simple_double(bytes).or_else(|| as_str(bytes).parse().ok().filter(|value: &f64| value.is_finite()))
}

/// Powers of ten that a double holds exactly.
const EXACT_POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];

/// Digits below 2^53 over a power of ten up to 22: both are exact, so one division rounds correctly.
#[inline]
fn simple_double(bytes: &[u8]) -> Option<f64> {
    let digits = bytes.strip_prefix(b"-").unwrap_or(bytes);
    if digits.len() > SAFE_DIGITS {
        return None;
    }
    let (mut mantissa, mut fraction_digits, mut in_fraction) = (0_u64, 0_usize, 0_usize);
    for byte in digits {
        match byte {
            b'0'..=b'9' => {
                mantissa = mantissa * 10 + u64::from(byte - b'0');
                fraction_digits += in_fraction;
            }
            b'.' => in_fraction = 1,
            _ => return None,
        }
    }
    if mantissa > 1 << 53 {
        return None;
    }
    let value = mantissa as f64 / EXACT_POWERS[fraction_digits];
    Some(if digits.len() == bytes.len() { value } else { -value })
}

/// The correctly rounded 32-bit float; `None` when it is out of range.
pub(crate) fn float(bytes: &[u8]) -> Option<f32> {
    as_str(bytes).parse().ok().filter(|value: &f32| value.is_finite())
}

/// Days since 1970-01-01 of `2026-01-31`.
pub(crate) fn date(text: &[u8]) -> Option<i32> {
    as_str(text).parse().ok().map(Date::days)
}

/// Milliseconds of a time in RFC 3339. Digits alone are refused: a text never becomes a number.
pub(crate) fn timestamp(text: &[u8]) -> Option<i64> {
    if let Some(millis) = plain_timestamp(text) {
        return Some(millis);
    }
    let text = std::str::from_utf8(text).ok()?;
    if text.parse::<i64>().is_ok() {
        return None;
    }
    text.parse().ok().map(EventTime::millis)
}

/// Milliseconds of a number that counts other units.
pub(crate) fn counted(unit: TimeUnit, number: &[u8]) -> Option<i64> {
    unit.read(as_str(number)).map(EventTime::millis)
}

/// Milliseconds of a text of this pattern.
pub(crate) fn patterned(pattern: &TimePattern, text: &[u8]) -> Option<i64> {
    pattern.read(std::str::from_utf8(text).ok()?).map(EventTime::millis)
}

/// `2026-01-31T12:00:00Z` with up to nine digits of fraction: what nearly everybody writes.
fn plain_timestamp(text: &[u8]) -> Option<i64> {
    let (head, tail) = text.split_first_chunk::<19>()?;
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators.iter().any(|(at, byte)| head[*at] != *byte) {
        return None;
    }
    let field = |from: usize, to: usize| digits_value(&head[from..to]);
    let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let days = days_from_civil(year, month, day);
    let seconds = ((days * 24 + hour) * 60 + minute) * 60 + second;
    Some(seconds * 1000 + fraction_millis(tail.strip_suffix(b"Z")?)?)
}

/// `.123456` in whole milliseconds, floored; nothing at all is 0.
fn fraction_millis(text: &[u8]) -> Option<i64> {
    if text.is_empty() {
        return Some(0);
    }
    let digits = text.strip_prefix(b".").filter(|digits| (1..=9).contains(&digits.len()))?;
    let value = digits_value(digits)?;
    let nanos = value * 10_i64.pow(9 - digits.len() as u32);
    Some(nanos / 1_000_000)
}

fn digits_value(digits: &[u8]) -> Option<i64> {
    digits
        .iter()
        .try_fold(0, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days since 1970-01-01 of a date of the Gregorian calendar, years counted from March so that the leap day is
/// the last.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The text of a number, which is ASCII.
fn as_str(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn integers_are_those_of_the_standard_library(value: i64) {
            prop_assert_eq!(integer(value.to_string().as_bytes()), Some(value));
        }

        #[test]
        fn doubles_are_those_of_the_standard_library(whole in 0_u64..1 << 60, scale in 0_usize..20, negative: bool) {
            let digits = format!("{whole:021}");
            let (front, back) = digits.split_at(digits.len() - scale);
            let text = format!("{}{}{}{}", if negative { "-" } else { "" }, front.trim_start_matches('0'),
                if front.trim_start_matches('0').is_empty() { "0" } else { "" },
                if back.is_empty() { String::new() } else { format!(".{back}") });
            let expected: f64 = text.parse().unwrap();
            prop_assert_eq!(double(text.as_bytes()).map(f64::to_bits), Some(expected.to_bits()), "{}", text);
        }

        #[test]
        fn times_read_back(millis in -62_135_596_800_000_i64..253_402_300_799_999) {
            let text = EventTime::from_millis(millis).to_string();
            prop_assert_eq!(plain_timestamp(text.as_bytes()), Some(millis));
        }
    }

    #[test]
    fn times_in_other_shapes_are_read_and_nonsense_is_not() {
        assert_eq!(timestamp(b"1970-01-01T01:00:00.9999+01:00"), Some(999));
        assert_eq!(timestamp(b"1969-12-31T23:59:59.9999Z"), Some(-1));
        for text in ["", "1", "2026-02-29T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:00", "today"]
        {
            assert_eq!(timestamp(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_month_has_the_days_that_the_calendar_gives_it() {
        for year in [1900, 1999, 2000, 2023, 2024, 2100, 2200, 2400] {
            for month in 1..=12 {
                for day in 0..=32 {
                    let text = format!("{year:04}-{month:02}-{day:02}T00:00:00Z");
                    let expected = text.parse().ok().map(EventTime::millis);
                    assert_eq!(plain_timestamp(text.as_bytes()), expected, "{text}");
                }
            }
        }
    }

    /// Whole numbers up to 2^53 are doubles; above it a quotient of one would be rounded twice.
    #[test]
    fn doubles_are_rounded_once_where_their_digits_are_no_double() {
        for exact in [1_u64 << 53, 1 << 54, 9_999_999_999_999_999, 99_999_999_999_999_999] {
            for digits in (exact - 300..exact + 300).map(|digits| digits.to_string()) {
                for point in 1..digits.len() {
                    let text = format!("{}.{}", &digits[..point], &digits[point..]);
                    let expected: f64 = text.parse().unwrap();
                    assert_eq!(double(text.as_bytes()).map(f64::to_bits), Some(expected.to_bits()), "{text}");
                }
            }
        }
    }

    #[test]
    fn whole_numbers_may_be_written_with_a_fraction_of_zero() {
        assert_eq!(whole(b"12.0"), Some(12));
        assert_eq!(whole(b"-1.2e1"), Some(-12));
        assert_eq!(whole(b"1.5"), None);
        assert_eq!(whole(b"1e16"), Some(10_000_000_000_000_000));
        assert_eq!(whole(b"9007199254740993.0"), Some(9_007_199_254_740_993));
        assert_eq!((whole(b"120e-1"), whole(b"-9223372036854775808.0")), (Some(12), Some(i64::MIN)));
        assert_eq!((whole(b"0e999999999"), whole(b"-0.0")), (Some(0), Some(0)));
        for zero in [
            "0e9223372036854775807",
            "0.0e-9223372036854775808",
            "-0e-99999999999999999999",
            "0E+99999999999999999999",
        ] {
            assert_eq!(whole(zero.as_bytes()), Some(0), "{zero}");
        }
        for wrong in [
            "1e-400",
            "12.0000000000000000000000001",
            "1e19",
            "9.3e18",
            "1e999999999999",
            "1e-99999999999",
            "1e9223372036854775807",
            "1.5e-9223372036854775808",
            "1e99999999999999999999",
            "10e-99999999999999999999",
        ] {
            assert_eq!(whole(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn whole_numbers_of_texts_may_have_a_plus_and_zeros_and_nothing_else() {
        for (text, value) in [
            ("+007", Some(7)),
            ("-007.00", Some(-7)),
            ("+1e18", Some(1_000_000_000_000_000_000)),
            ("9007199254740993.0", Some(9_007_199_254_740_993)),
            ("5.", Some(5)),
            (".5e1", Some(5)),
            ("1e-400", None),
            ("0.5", None),
        ] {
            assert_eq!(whole_text(text.as_bytes()), value, "{text}");
        }
        for wrong in
            ["", "-", ".", "e", "1e", "inf", "NaN", "infinity", "--1", "+-1", "1_0", "0x1", "1.2.3", "1e1e1"]
        {
            assert_eq!(whole_text(wrong.as_bytes()), None, "{wrong}");
        }
    }

    #[test]
    fn numbers_out_of_range_are_none() {
        assert_eq!(integer(b"9223372036854775808"), None);
        assert_eq!(integer(b"-9223372036854775808"), Some(i64::MIN));
        assert_eq!(double(b"1e999"), None);
        assert_eq!(float(b"1e39"), None);
    }
}
