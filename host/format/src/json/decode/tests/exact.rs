//! Values that must keep every digit: decimals and dates.

use super::*;
use arrow_array::types::{Date32Type, Decimal128Type};

/// The number of 0.0000001s that plain digits are, by moving them; `None` if some are left over.
fn moved(digits: &str, exponent: i32) -> Option<i128> {
    let unsigned = digits.trim_start_matches('-');
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let mut all = format!("{whole}{fraction}");
    let mut missing = 7 + exponent - fraction.len() as i32;
    while missing < 0 && all.ends_with('0') {
        all.pop();
        missing += 1;
    }
    // Nothing is left of a zero.
    let missing = if all.is_empty() { 0 } else { usize::try_from(missing).ok()? };
    let value = format!("0{all}{}", "0".repeat(missing)).parse::<i128>().ok()?;
    let value = if digits.starts_with('-') { -value } else { value };
    (value.abs() < 10_i128.pow(38)).then_some(value)
}

proptest! {
    #[test]
    fn decimals_keep_every_digit(
        digits in "-?(0|[1-9][0-9]{0,30})(\\.[0-9]{1,7})?",
        exponent in prop::option::of(-3..4_i32),
        quoted: bool,
    ) {
        let stated = format!("{digits}{}", exponent.map(|it| format!("e{it}")).unwrap_or_default());
        let value = if quoted { format!("\"{stated}\"") } else { stated.clone() };
        let schema = stream(&[("t", "timestamp"), ("d", "decimal(38, 7)")]);
        let decoded = decode_lines(&schema, &format!("{{\"t\":1,\"d\":{value}}}"));
        let found = (decoded.columns.num_rows() == 1)
            .then(|| decoded.columns.column(1).as_primitive::<Decimal128Type>().value(0));
        prop_assert_eq!(found, moved(&digits, exponent.unwrap_or(0)), "{}", stated);
    }
}

#[test]
fn dates_are_days_in_quotes() {
    let schema = stream(&[("t", "timestamp"), ("d", "date")]);
    let decoded = decode_lines(&schema, r#"{"t":1,"d":"2026-01-31"}"#);
    assert_eq!(decoded.columns.column(1).as_primitive::<Date32Type>().value(0), 20_484);
    for value in [r#""2026-01-31T00:00:00Z""#, r#""2026-02-29""#, "20484", "true"] {
        let reason = only_reason(&schema, &format!("{{\"t\":1,\"d\":{value}}}"));
        assert!(reason.starts_with("member `d`: ") && reason.ends_with("fit type date"), "{reason}");
    }
}

#[test]
fn a_decimal_that_does_not_fit_says_which_way() {
    let schema = stream(&[("t", "timestamp"), ("d", "decimal(4, 2)")]);
    for (value, reason) in [
        ("0.125", "the number 0.125 has more digits after the point than type decimal(4, 2)"),
        ("100", "the number 100 has more digits before the point than type decimal(4, 2)"),
        (r#""free""#, "the text \"free\" is not a number, as type decimal(4, 2)"),
        ("[1]", "the array [1] does not fit type decimal(4, 2)"),
    ] {
        assert_eq!(
            only_reason(&schema, &format!("{{\"t\":1,\"d\":{value}}}")),
            format!("member `d`: {reason}")
        );
    }
}
