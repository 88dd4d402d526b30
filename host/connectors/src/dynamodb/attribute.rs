//! What a cell of a result column is in DynamoDB.
//!
//! Numbers are exact: DynamoDB takes them as texts of up to 38 digits. A number that it does not hold (a double above
//! 10^126, say) makes the row one that is refused. Times are texts, as everywhere where JSON is written.

use crate::upsert::CellValue;
use aws_sdk_dynamodb::primitives::Blob;
use aws_sdk_dynamodb::types::AttributeValue;
use std::collections::HashMap;
use weir_event::EventTime;

/// What numbers are below, and the least above zero: what DynamoDB documents.
const TOO_LARGE: f64 = 1e126;
const SMALLEST: f64 = 1e-130;
/// The most digits of a number.
const DIGITS: usize = 38;

/// The attribute of a cell, or why DynamoDB does not hold it.
pub(super) fn attribute(value: CellValue) -> Result<AttributeValue, String> {
    Ok(match value {
        CellValue::Null => AttributeValue::Null(true),
        CellValue::Boolean(value) => AttributeValue::Bool(value),
        CellValue::Integer(value) => AttributeValue::N(value.to_string()),
        CellValue::Unsigned(value) => AttributeValue::N(value.to_string()),
        CellValue::Double(value) => double(value, value.to_string())?,
        // The text of a float is shorter than that of the double that it is.
        CellValue::Float(value) => double(f64::from(value), value.to_string())?,
        CellValue::Decimal(text) => decimal(text)?,
        CellValue::Text(text) | CellValue::Json(text) => AttributeValue::S(text),
        CellValue::Bytes(bytes) => AttributeValue::B(Blob::new(bytes)),
        CellValue::Time(millis) => AttributeValue::S(EventTime::from_millis(millis).to_string()),
        CellValue::Date(days) => AttributeValue::S(date(days)),
        CellValue::List(values) => {
            AttributeValue::L(values.into_iter().map(attribute).collect::<Result<_, _>>()?)
        }
        CellValue::Map(entries) => {
            let entry = |(key, value)| Ok((name(key)?, attribute(value)?));
            AttributeValue::M(entries.into_iter().map(entry).collect::<Result<HashMap<_, _>, String>>()?)
        }
        CellValue::Row(fields) => {
            let field = |(name, value)| Ok((name, attribute(value)?));
            AttributeValue::M(fields.into_iter().map(field).collect::<Result<HashMap<_, _>, String>>()?)
        }
    })
}

/// A number; those that JSON does not have are no value, as in every other sink.
fn double(value: f64, text: String) -> Result<AttributeValue, String> {
    let size = value.abs();
    if !value.is_finite() {
        return Ok(AttributeValue::Null(true));
    }
    if value != 0.0 && !(SMALLEST..TOO_LARGE).contains(&size) {
        return Err(format!("{value:e} is outside of what a number may be there (1e-130 to 9.99e125)"));
    }
    // The text of a double has at most 17 digits that count, but is written out with all its zeros.
    Ok(AttributeValue::N(if (1e-5..1e21).contains(&size) || value == 0.0 {
        text
    } else {
        format!("{value:e}")
    }))
}

fn decimal(text: String) -> Result<AttributeValue, String> {
    let digits = text.trim_start_matches(['-', '0', '.']).chars().filter(char::is_ascii_digit).count();
    if digits > DIGITS {
        return Err(format!("{text} has more than {DIGITS} digits, the most that a number may have there"));
    }
    Ok(AttributeValue::N(text))
}

fn date(days: i32) -> String {
    let midnight = EventTime::from_millis(i64::from(days) * 86_400_000).to_string();
    midnight.split_once('T').map_or(midnight.clone(), |(date, _)| date.to_owned())
}

/// A map's key as the name of an attribute.
fn name(key: CellValue) -> Result<String, String> {
    Ok(match attribute(key)? {
        AttributeValue::S(text) | AttributeValue::N(text) => text,
        AttributeValue::Bool(value) => value.to_string(),
        _ => return Err("the key of a map is neither a text, a number nor true or false".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(value: CellValue) -> String {
        attribute(value).unwrap().as_n().unwrap().clone()
    }

    #[test]
    fn numbers_are_exact() {
        assert_eq!(number(CellValue::Integer(i64::MIN)), "-9223372036854775808");
        assert_eq!(number(CellValue::Unsigned(u64::MAX)), "18446744073709551615");
        assert_eq!(number(CellValue::Decimal("-0.10".to_owned())), "-0.10");
        assert_eq!(number(CellValue::Float(0.1)), "0.1");
        for value in [0.0, 0.1, -2.5, 1e-7, 123_456.789, 1e25, 1.797e125, -1e-130] {
            assert_eq!(number(CellValue::Double(value)).parse::<f64>().unwrap(), value);
        }
        for value in [f64::NAN, f64::INFINITY] {
            assert_eq!(attribute(CellValue::Double(value)).unwrap(), AttributeValue::Null(true));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused_with_the_reason() {
        assert!(attribute(CellValue::Double(1e126)).unwrap_err().contains("1e126"));
        assert!(attribute(CellValue::Double(1e-140)).is_err());
        let wide = CellValue::Decimal("1".repeat(39));
        assert!(attribute(CellValue::List(vec![wide])).unwrap_err().contains("38 digits"));
        let map = CellValue::Map(vec![(CellValue::Null, CellValue::Null)]);
        assert!(attribute(map).unwrap_err().contains("key of a map"));
    }

    #[test]
    fn times_are_texts_and_what_holds_others_holds_attributes() {
        let text = |value| attribute(value).unwrap().as_s().unwrap().clone();
        assert_eq!(text(CellValue::Time(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(
            (text(CellValue::Date(31)), text(CellValue::Date(-1))),
            ("1970-02-01".to_owned(), "1969-12-31".to_owned())
        );
        let row = CellValue::Row(vec![("a".to_owned(), CellValue::Boolean(true))]);
        let list = attribute(CellValue::List(vec![row, CellValue::Null])).unwrap();
        let list = list.as_l().unwrap();
        assert_eq!(list[0].as_m().unwrap()["a"], AttributeValue::Bool(true));
        let map = CellValue::Map(vec![(CellValue::Integer(7), CellValue::Bytes(vec![1]))]);
        assert_eq!(attribute(map).unwrap().as_m().unwrap()["7"].as_b().unwrap().as_ref(), [1]);
    }
}
