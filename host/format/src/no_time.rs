//! Why a text or a number is not a time, in words that say what to write instead.
//!
//! Only called for what has been refused already, so it may look again and at leisure. Must not decide what is
//! refused, nor know in which format it stood.

use weir_event::written::likely_patterns;
use weir_event::{EventTime, TIME_UNITS, TimeForm};

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// A number.
    Number,
    /// A text.
    Text,
    /// Anything else.
    Other,
}

/// Why a text is not a time, to follow the text itself.
#[cold]
pub(crate) fn no_time(text: &str) -> String {
    let is_time = |text: &str| text.parse::<EventTime>().is_ok();
    let bare = text.trim();
    let date = bare.get(..10).filter(|date| is_time(&format!("{date}T00:00:00Z")));
    if bare.is_empty() {
        "is not a time; write one such as 2026-01-31T12:00:00Z, or leave the member out".to_owned()
    } else if bare.parse::<f64>().is_ok() {
        "is a number in quotes and not a time; write milliseconds since 1970 without quotes, or RFC 3339 such as \
         2026-01-31T12:00:00Z"
            .to_owned()
    } else if bare != text && is_time(bare) {
        "has blanks around it; write the time alone".to_owned()
    } else if date == Some(bare) {
        format!("is a date without a time of day; write {bare}T00:00:00Z{}", or_pattern(bare))
    } else if is_time(&format!("{bare}Z")) {
        format!("has no zone; add Z or +01:00{}", or_pattern(bare))
    } else if without_zone_name(bare).is_some_and(|time| is_time(&format!("{time}Z"))) {
        format!("names its zone; write Z or +01:00 in place of the name{}", or_pattern(bare))
    } else if bare.rsplit_once(' ').is_some_and(|(time, zone)| is_time(&format!("{time}{zone}"))) {
        let or_pattern = or_pattern(bare);
        format!("has a blank before its zone; write them together, such as 12:00:00+01:00{or_pattern}")
    } else if date.is_none() && has_form_of_date(bare) {
        "names a day that the calendar does not have".to_owned()
    } else {
        format!("is not a time in RFC 3339, such as 2026-01-31T12:00:00Z{}", or_pattern(bare))
    }
}

/// How times that look so can be read as they are.
fn or_pattern(text: &str) -> String {
    let patterns: Vec<String> =
        likely_patterns(text).into_iter().map(|pattern| format!("`pattern: \"{pattern}\"`")).collect();
    if patterns.is_empty() {
        return String::new();
    }
    let zone = if patterns[0].contains("%z") || patterns[0].contains("UTC") { "" } else { " and `zone`" };
    format!(", or give its column {}{zone} in the stream's file", patterns.join(" or "))
}

/// From 2001 to 2100: whoever writes times of other years is not told which unit they are in.
const LIKELY_MS: std::ops::Range<i64> = 978_307_200_000..4_102_444_800_000;

/// How a number with a fraction can be read as a time, to follow why it is none.
#[cold]
pub(crate) fn or_unit(number: &str) -> String {
    let is_likely = |time: EventTime| LIKELY_MS.contains(&time.millis());
    match TIME_UNITS.iter().find(|(_, unit)| unit.read(number).is_some_and(is_likely)) {
        Some((symbol, unit)) => format!(
            "; if it counts {}, give its column `unit: {symbol}` in the stream's file, which reads fractions too",
            unit.noun()
        ),
        None => " and does not fit type timestamp".to_owned(),
    }
}

/// Why a value is not a time of this form, to follow the value; `None` for the standard form.
#[cold]
pub(crate) fn no_written_time(form: &TimeForm, shape: Shape) -> Option<String> {
    let why = match (form, shape) {
        (TimeForm::Standard, _) => return None,
        (TimeForm::Unit(unit), Shape::Number) => {
            return Some(format!("is out of range of a time in {}", unit.noun()));
        }
        (TimeForm::Unit(_), _) => "is not a number",
        (TimeForm::Pattern(_), Shape::Text) => "is not a time of this form",
        (TimeForm::Pattern(_), _) => "is not a text",
    };
    Some(format!("{why}; the stream's file says `{form}` of its column"))
}

/// `2026-01-31 12:00:00` of `2026-01-31 12:00:00 CET` or of one that ends in `UTC` or `[Europe/Berlin]`.
fn without_zone_name(text: &str) -> Option<&str> {
    let is_name = |character: char| character.is_ascii_alphabetic() || "/_[]".contains(character);
    let time = text.trim_end_matches(is_name);
    (time.len() < text.len()).then(|| time.trim_end())
}

fn has_form_of_date(text: &str) -> bool {
    let form = |byte: u8| if byte.is_ascii_digit() { b'0' } else { byte };
    text.bytes().take(10).map(form).eq(*b"0000-00-00")
}

#[cfg(test)]
mod tests {
    use super::no_time;

    #[test]
    fn a_text_that_is_not_a_time_is_told_what_it_lacks() {
        let or = |pattern: &str| {
            format!(", or give its column `pattern: \"{pattern}\"` and `zone` in the stream's file")
        };
        for (text, reason, pattern) in [
            ("2026-01-01 12:00:00.000", "has no zone; add Z or +01:00", "%Y-%m-%d %H:%M:%S%.f"),
            ("2026-01-01T12:00:01", "has no zone; add Z or +01:00", "%Y-%m-%dT%H:%M:%S"),
            ("2026-01-01T12:00", "has no zone; add Z or +01:00", "%Y-%m-%dT%H:%M"),
            ("2026-01-01", "is a date without a time of day; write 2026-01-01T00:00:00Z", "%Y-%m-%d"),
            ("31.01.2026 12:00", "is not a time in RFC 3339, such as 2026-01-31T12:00:00Z", "%d.%m.%Y %H:%M"),
        ] {
            assert_eq!(no_time(text), format!("{reason}{}", or(pattern)), "{text}");
        }
        for (text, reason) in [
            ("2026-01-01t12:00:00.123456789", "has no zone; add Z or +01:00"),
            ("2026-01-01 12:00 UTC", "names its zone; write Z or +01:00 in place of the name"),
            ("2026-01-01T12:00:00 Europe/Berlin", "names its zone; write Z or +01:00 in place of the name"),
            ("2026-01-01T12:00:00[Europe/Berlin]", "names its zone; write Z or +01:00 in place of the name"),
            (" 2026-01-01T12:00:00Z\n", "has blanks around it; write the time alone"),
            ("2026-02-30T12:00:00Z", "names a day that the calendar does not have"),
        ] {
            assert_eq!(no_time(text), reason, "{text}");
        }
        assert!(no_time("1767225600000").starts_with("is a number in quotes"));
        assert!(no_time("1767225600.5").starts_with("is a number in quotes"));
        for (text, reason, pattern) in [
            ("2026-01-01 12:00:00 UTC", "names its zone; write Z", "%Y-%m-%d %H:%M:%S UTC"),
            ("2026-01-01 12:00:00 +0100", "has a blank before its zone; write", "%Y-%m-%d %H:%M:%S %z"),
        ] {
            let or = format!(", or give its column `pattern: \"{pattern}\"` in the stream's file");
            assert!(no_time(text).starts_with(reason) && no_time(text).ends_with(&or), "{}", no_time(text));
        }
        let either = "`pattern: \"%m/%d/%Y\"` or `pattern: \"%d/%m/%Y\"` and `zone` in the stream's file";
        assert!(no_time("04/03/2026").ends_with(either), "{}", no_time("04/03/2026"));
        assert!(no_time("").contains("leave the member out"));
        for text in
            ["soon", "31.01.2026 12:00", "01/31/2026", "2026-01-31T25:00:00Z", "12:00:00Z", "é", "2026-01-3"]
        {
            assert!(no_time(text).starts_with("is not a time in RFC 3339"), "{text}: {}", no_time(text));
        }
    }
}
