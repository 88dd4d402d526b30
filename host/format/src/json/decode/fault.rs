//! Why a record is refused, in words that say what to write instead.
//!
//! Only called for what has been refused already, so it may look again and at leisure. Must not decide what is
//! refused: that is the scanner's part.

use super::scan::SyntaxError;

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
