//! Exact decimal numbers: text on one side, the whole number of their last digit on the other.
//!
//! Nothing is ever rounded here: a text that has more than its type can hold is an error that says which way. Must
//! not know where a text stood.

use std::fmt;

/// The most digits that a decimal can have: those of 128 bits.
pub const DECIMAL_DIGITS: u8 = 38;

/// Digits before and after the point: `DECIMAL(precision, scale)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DecimalType {
    precision: u8,
    scale: u8,
}

/// A text that is not a value of a decimal type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// It does not read as a number.
    #[error("is not a number, as")]
    NotANumber,
    /// Digits after the point would be lost.
    #[error("has more digits after the point than")]
    Fraction,
    /// There are too many digits before the point.
    #[error("has more digits before the point than")]
    Range,
}

impl DecimalType {
    /// A type of `precision` digits, `scale` of them after the point; `None` beyond 38 digits, or when there are
    /// more after the point than in all.
    pub fn new(precision: u8, scale: u8) -> Option<DecimalType> {
        ((1..=DECIMAL_DIGITS).contains(&precision) && scale <= precision)
            .then_some(DecimalType { precision, scale })
    }

    /// Digits in all.
    pub fn precision(self) -> u8 {
        self.precision
    }

    /// Digits after the point.
    pub fn scale(self) -> u8 {
        self.scale
    }

    /// Whether every value of `other` is one of this type.
    pub fn holds(self, other: DecimalType) -> bool {
        self.scale >= other.scale && self.precision - self.scale >= other.precision - other.scale
    }

    /// The value of a number's text, as the whole number of its last digit. Zeros at its end do not count; an
    /// exponent is read.
    ///
    /// ```
    /// use weir_event::decimal::{DecimalError, DecimalType};
    /// let fare = DecimalType::new(6, 2).unwrap();
    /// assert_eq!(fare.parse(b"-12.5"), Ok(-1250));
    /// assert_eq!(fare.parse(b"1.25e3"), Ok(125_000));
    /// assert_eq!(fare.parse(b"0.125"), Err(DecimalError::Fraction));
    /// assert_eq!(fare.parse(b"10000"), Err(DecimalError::Range));
    /// ```
    pub fn parse(self, text: &[u8]) -> Result<i128, DecimalError> {
        let (is_negative, unsigned) = match text.split_first() {
            Some((b'-', rest)) => (true, rest),
            Some((b'+', rest)) => (false, rest),
            _ => (false, text),
        };
        let number = Digits::of(unsigned).ok_or(DecimalError::NotANumber)?;
        let Some(zeros) = number.zeros_at_scale(self) else { return Ok(0) };
        if zeros < 0 {
            return Err(DecimalError::Fraction);
        }
        if number.count as i64 + zeros > i64::from(self.precision) {
            return Err(DecimalError::Range);
        }
        // At most 38 digits, which 127 bits hold.
        let value = number.value() * 10_i128.pow(zeros as u32);
        Ok(if is_negative { -value } else { value })
    }
}

/// As a definition spells it.
impl fmt::Display for DecimalType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "decimal({}, {})", self.precision, self.scale)
    }
}

/// The digits of a number without the zeros around them, and the power of ten of the last.
struct Digits<'a> {
    text: &'a [u8],
    /// Leading zeros in `text`.
    skipped: usize,
    count: usize,
    exponent: i64,
}

/// Exponents are cut here: beyond, no number fits but zero.
const EXPONENT_LIMIT: i64 = 1_000_000_000;

impl<'a> Digits<'a> {
    /// `None` for what is not a number.
    fn of(text: &'a [u8]) -> Option<Digits<'a>> {
        let end = text.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(text.len());
        let (mantissa, exponent) = (&text[..end], exponent(&text[end..])?);
        let point = mantissa.iter().position(|byte| *byte == b'.');
        let fraction = point.map_or(0, |point| mantissa.len() - point - 1);
        let all = || mantissa.iter().filter(|byte| **byte != b'.');
        let is_number = !mantissa.is_empty()
            && all().all(u8::is_ascii_digit)
            && mantissa.iter().filter(|byte| **byte == b'.').count() <= 1
            && point != Some(0)
            && point != Some(mantissa.len() - 1);
        let digits = mantissa.len() - usize::from(point.is_some());
        let skipped = all().take_while(|byte| **byte == b'0').count();
        let trailing = all().rev().take_while(|byte| **byte == b'0').count();
        let exponent = exponent - fraction as i64 + trailing as i64;
        is_number.then(|| Digits {
            text: mantissa,
            skipped,
            count: digits.saturating_sub(skipped + trailing),
            exponent,
        })
    }

    /// How many zeros follow the digits where the last stands at a type's scale; `None` of the number zero.
    fn zeros_at_scale(&self, of: DecimalType) -> Option<i64> {
        (self.count > 0).then(|| self.exponent + i64::from(of.scale))
    }

    fn value(&self) -> i128 {
        let digits = self.text.iter().filter(|byte| **byte != b'.').skip(self.skipped).take(self.count);
        digits.fold(0, |value, digit| value * 10 + i128::from(digit - b'0'))
    }
}

/// The number after `e`; 0 of nothing.
fn exponent(text: &[u8]) -> Option<i64> {
    let Some((_, rest)) = text.split_first() else { return Some(0) };
    let (sign, digits) = match rest.split_first()? {
        (b'-', digits) => (-1, digits),
        (b'+', digits) => (1, digits),
        _ => (1, rest),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value =
        digits.iter().fold(0_i64, |value, digit| (value * 10 + i64::from(digit - b'0')).min(EXPONENT_LIMIT));
    Some(sign * value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, precision: u8, scale: u8) -> Result<i128, DecimalError> {
        DecimalType::new(precision, scale).unwrap().parse(text.as_bytes())
    }

    #[test]
    fn digits_are_kept_and_never_rounded() {
        let widest = "9".repeat(38);
        for (text, precision, scale, value) in [
            ("0.1", 10, 2, 10),
            ("1.50", 3, 2, 150),
            ("1.500", 3, 2, 150),
            ("-0.00", 3, 2, 0),
            ("0e999999999999", 3, 2, 0),
            ("1e2", 5, 2, 10_000),
            ("12.5E-1", 3, 2, 125),
            ("000123", 3, 0, 123),
            ("+7", 1, 0, 7),
            (&widest, 38, 0, 10_i128.pow(38) - 1),
            (&format!("-{widest}e-38"), 38, 38, 1 - 10_i128.pow(38)),
        ] {
            assert_eq!(parse(text, precision, scale), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_does_not_fit_says_which_way() {
        for (text, error) in [
            ("0.001", DecimalError::Fraction),
            ("1e-3", DecimalError::Fraction),
            ("1e-999999999999999999999", DecimalError::Fraction),
            ("1000", DecimalError::Range),
            ("1e3", DecimalError::Range),
            ("1e999999999999999999999", DecimalError::Range),
        ] {
            assert_eq!(parse(text, 5, 2), Err(error), "{text}");
        }
        for text in ["", "-", ".", "1.", ".5", "1.2.3", "1e", "1e+", "e5", "0x1", "NaN", "1_000", " 1", "--1"]
        {
            assert_eq!(parse(text, 5, 2), Err(DecimalError::NotANumber), "{text}");
        }
    }

    #[test]
    fn types_have_one_to_38_digits() {
        assert!(DecimalType::new(38, 38).is_some());
        for (precision, scale) in [(0, 0), (39, 0), (2, 3)] {
            assert_eq!(DecimalType::new(precision, scale), None);
        }
        let of = |precision, scale| DecimalType::new(precision, scale).unwrap();
        assert!(of(12, 2).holds(of(10, 2)));
        assert!(!of(12, 3).holds(of(12, 2)) && !of(10, 1).holds(of(3, 2)));
    }
}
