//! Why a record or a time is refused, in words that say what to write instead.
//!
//! Only called for what has been refused already, so it may look again and at leisure. Must not decide what is
//! refused: that is the scanner's and the columns' part.

use super::scan::{Kind, SyntaxError};
use weir_event::written::likely_patterns;
use weir_event::{EventTime, TIME_UNITS, TimeForm};

/// What a file that is one array, or one object over several lines, has to become.
const ONE_PER_LINE: &str = "write one object per line (jq -c '.[]' FILE)";

/// Why a record that does not begin with an object is refused; `record` is its bytes from the first that is not blank.
#[cold]
pub(super) fn no_object(record: &[u8]) -> String {
    match record.first() {
        Some(b'[') => format!("a JSON array, or the first line of one: {ONE_PER_LINE}"),
        Some(b']') => format!("the last line of a JSON array: {ONE_PER_LINE}"),
        _ if looks_like_csv(record) => {
            "not a JSON object but CSV, by its look: convert it (mlr --icsv --ojsonl cat FILE, where `mlr` is the \
             program Miller)"
                .to_owned()
        }
        _ => "not a JSON object: a record must start with `{`".to_owned(),
    }
}

/// Whether it has a separator of columns outside of quotes, and none of JSON's brackets there.
fn looks_like_csv(record: &[u8]) -> bool {
    let outside = record.split(|byte| *byte == b'"').step_by(2);
    let mut separators = 0;
    for byte in outside.flatten() {
        match byte {
            b',' | b';' | b'\t' | b'|' => separators += 1,
            b'{' | b'}' | b'[' | b']' => return false,
            _ => {}
        }
    }
    separators > 0
}

/// Why a record that is not UTF-8 is refused.
#[cold]
pub(super) fn no_text(record: &[u8]) -> String {
    match record {
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => {
            "not UTF-8 but UTF-16: convert it (iconv -f UTF-16 -t UTF-8 FILE)".to_owned()
        }
        _ => "not JSON: not valid UTF-8".to_owned(),
    }
}

/// Why a record that begins with an object is refused; `record` is its bytes, `start` where they begin in those that
/// the error counts.
#[cold]
pub(super) fn syntax(error: SyntaxError, record: &[u8], start: usize) -> String {
    let at = error.at - start;
    let follows = error.is_after_object.then(|| record.get(at)).flatten();
    match follows {
        Some(b',') => {
            format!("a comma follows the object at byte {at}, as in an array: {ONE_PER_LINE}")
        }
        Some(b'{') => {
            format!("another object follows at byte {at}: write one object per line (jq -c . FILE)")
        }
        None if record[at..].trim_ascii().is_empty() => format!(
            "not JSON: expected {} at byte {at}, where the record ends; an object must not go on in the next \
             line: write one object per line (jq -c . FILE)",
            error.expected
        ),
        _ => format!("not JSON: expected {} at byte {at}", error.expected),
    }
}

/// Why a text is not a time, to follow the text itself.
#[cold]
pub(super) fn no_time(text: &str) -> String {
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
pub(super) fn or_unit(number: &str) -> String {
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
pub(super) fn no_written_time(form: &TimeForm, kind: Kind) -> Option<String> {
    let why = match (form, kind) {
        (TimeForm::Standard, _) => return None,
        (TimeForm::Unit(unit), Kind::Integer | Kind::Number) => {
            return Some(format!("is out of range of a time in {}", unit.noun()));
        }
        (TimeForm::Unit(_), _) => "is not a number",
        (TimeForm::Pattern(_), Kind::Text | Kind::EscapedText) => "is not a time of this form",
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
