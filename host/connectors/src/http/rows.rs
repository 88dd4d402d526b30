//! How the body of an ingest request falls into rows: an array of JSON objects, or objects one after another, in a line
//! each or however they stand.
//!
//! Pure. Knows JSON's outline only: that each row is a whole JSON object. Must not know a stream's fields.

use bytes::Bytes;
use serde::de::IgnoredAny;

/// Splits a body into rows, in order; a row's place in the result is its number in the answer to the sender.
/// A row that cannot be read is the reason why. Blank lines are no rows.
///
/// The error, for a body that has no row that can be read, says what is wrong with the body. Rows share the
/// body's memory.
///
/// ```
/// use bytes::Bytes;
/// use weir_connectors::http::split_rows;
/// let rows = split_rows(&Bytes::from("{\"a\":1}\nnonsense\n{\"a\":2}\n")).unwrap();
/// assert!(rows[0].is_ok() && rows[1].is_err() && rows[2].is_ok());
/// assert!(split_rows(&Bytes::from("nonsense")).is_err());
/// ```
pub fn split_rows(body: &Bytes) -> Result<Vec<Result<Bytes, String>>, String> {
    let body = trim(&without_mark(body));
    match body.first() {
        None => Err("the body is empty; send a JSON object, an array of them, or one per line".to_owned()),
        Some(b'[') => array_rows(&body),
        Some(_) => line_rows(&body),
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// How many bytes of white space are at the beginning.
fn blank_bytes(bytes: &[u8]) -> usize {
    bytes.iter().position(|byte| !is_blank(*byte)).unwrap_or(bytes.len())
}

/// Without the byte order mark that some programs write at the beginning.
fn without_mark(bytes: &Bytes) -> Bytes {
    bytes.slice(bytes.strip_prefix(b"\xEF\xBB\xBF").map_or(0, |_| 3)..)
}

/// Without JSON's white space at both ends.
fn trim(bytes: &Bytes) -> Bytes {
    let start = blank_bytes(bytes);
    let end = bytes.iter().rposition(|byte| !is_blank(*byte)).map_or(start, |last| last + 1);
    bytes.slice(start..end)
}

/// The elements of an array. One that is not closed or is broken in the middle is refused as a whole: where its
/// next element would begin cannot be told.
fn array_rows(body: &Bytes) -> Result<Vec<Result<Bytes, String>>, String> {
    if let Err(error) = std::str::from_utf8(body) {
        return Err(format!("the array is not UTF-8 at byte {}", error.valid_up_to()));
    }
    let (mut rows, mut at) = (Vec::new(), 1 + blank_bytes(&body[1..]));
    while body.get(at) != Some(&b']') || !rows.is_empty() {
        let mut values = serde_json::Deserializer::from_slice(&body[at..]).into_iter::<IgnoredAny>();
        match values.next() {
            Some(Ok(_)) => {}
            Some(Err(error)) => {
                return Err(format!("the array is not JSON at its element {}: {error}", rows.len()));
            }
            None => return Err("the array is not closed".to_owned()),
        }
        let end = at + values.byte_offset();
        let row = body.slice(at..end);
        rows.push(if row.first() == Some(&b'{') { Ok(row) } else { Err(no_object(&row)) });
        at = end + blank_bytes(&body[end..]);
        match body.get(at) {
            Some(b',') => at += 1 + blank_bytes(&body[at + 1..]),
            Some(b']') => break,
            Some(_) => {
                return Err(format!("a comma is missing after the array's element {}", rows.len() - 1));
            }
            None => return Err("the array is not closed".to_owned()),
        }
    }
    if at + 1 != body.len() {
        return Err("there is something after the array; send it alone".to_owned());
    }
    match rows.iter().find_map(|row| row.as_ref().err()) {
        Some(reason) if !rows.iter().any(Result::is_ok) => Err(reason.clone()),
        _ => Ok(rows),
    }
}

/// Objects one after another, each over any number of lines; or else, where that is broken somewhere, each line by
/// itself, so that a broken one costs no other.
fn line_rows(body: &Bytes) -> Result<Vec<Result<Bytes, String>>, String> {
    let rows = objects(body).unwrap_or_else(|_| {
        let ends = memchr::memchr_iter(b'\n', body).chain([body.len()]);
        let mut start = 0;
        let lines = ends.map(|end| {
            let line = trim(&without_mark(&body.slice(start..end)));
            start = end + 1;
            objects(&line).unwrap_or_else(|reason| vec![Err(reason)])
        });
        lines.flatten().collect()
    });
    match rows.first() {
        Some(Err(reason)) if !rows.iter().any(Result::is_ok) => {
            Err(format!("no row is a JSON object; the first: {reason}"))
        }
        _ => Ok(rows),
    }
}

/// The values that stand one after another in a text, with or without space between them; those that are not objects
/// are refused each by itself. The error is why the text is not JSON.
fn objects(text: &Bytes) -> Result<Vec<Result<Bytes, String>>, String> {
    if let Err(error) = std::str::from_utf8(text) {
        return Err(format!("not UTF-8 at byte {}", error.valid_up_to()));
    }
    let mut values = serde_json::Deserializer::from_slice(text).into_iter::<IgnoredAny>();
    let (mut rows, mut start) = (Vec::new(), 0);
    while let Some(value) = values.next() {
        if let Err(error) = value {
            return Err(not_json(&text[start..], !rows.is_empty(), &error));
        }
        let row = trim(&text.slice(start..values.byte_offset()));
        start = values.byte_offset();
        rows.push(if row.first() == Some(&b'{') { Ok(row) } else { Err(no_object(&row)) });
    }
    Ok(rows)
}

/// Why `rest` is not JSON, which follows whole values or is all there is.
fn not_json(rest: &[u8], follows: bool, error: &serde_json::Error) -> String {
    let rest = &rest[blank_bytes(rest)..];
    match rest.first() {
        Some(b',') if follows => {
            "a comma follows the object; send an array in brackets, or one object per line".to_owned()
        }
        Some(first) if !follows && *first != b'{' => no_object(rest),
        _ => format!("not JSON: {error}"),
    }
}

fn no_object(row: &[u8]) -> String {
    // Enough to recognise it by.
    let shown: String = String::from_utf8_lossy(&row[..row.len().min(40)]).chars().take(20).collect();
    format!("not a JSON object but `{shown}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows as text, refused ones as `!`.
    fn split(body: &str) -> Result<Vec<String>, String> {
        let rows = split_rows(&Bytes::copy_from_slice(body.as_bytes()))?;
        let show = |row: Result<Bytes, String>| {
            row.map_or_else(|_| "!".to_owned(), |row| String::from_utf8(row.to_vec()).unwrap())
        };
        Ok(rows.into_iter().map(show).collect())
    }

    #[test]
    fn every_shape_of_body_falls_into_its_rows() {
        let cases: [(&str, &[&str]); 15] = [
            ("{\"a\":1}", &["{\"a\":1}"]),
            (" {\n \"a\": [1,\n 2]\n}\n", &["{\n \"a\": [1,\n 2]\n}"]),
            ("\u{feff}{}", &["{}"]),
            ("{\"a\":1}\r\n\r\n{\"a\":2}", &["{\"a\":1}", "{\"a\":2}"]),
            ("{\"a\":1}\n{\"a\":\n{\"a\":3}\n", &["{\"a\":1}", "!", "{\"a\":3}"]),
            ("nonsense\n{}\n17\n[]", &["!", "{}", "!", "!"]),
            ("{\"a\":1}{\"a\":2}", &["{\"a\":1}", "{\"a\":2}"]),
            ("{\"a\":1} {\"a\":2}\n{\"a\":3}", &["{\"a\":1}", "{\"a\":2}", "{\"a\":3}"]),
            ("{\n \"a\":1\n}\n{\n \"a\":2\n}\n", &["{\n \"a\":1\n}", "{\n \"a\":2\n}"]),
            ("{\"a\":1}{\"a\":2}\n{\"a\":\n{} {}", &["{\"a\":1}", "{\"a\":2}", "!", "{}", "{}"]),
            ("{} {\"a\":\n{}", &["!", "{}"]),
            ("{}\nx\n\u{feff}{}", &["{}", "!", "{}"]),
            ("[]", &[]),
            (" [ {\"a\":\"]\"} , 7,{} ] \n", &["{\"a\":\"]\"}", "!", "{}"]),
            ("[[{}], {}]", &["!", "{}"]),
        ];
        for (body, rows) in cases {
            assert_eq!(split(body).unwrap(), rows, "{body}");
        }
    }

    #[test]
    fn a_body_without_a_readable_row_is_refused_with_a_reason() {
        for body in [
            "", " \n", "hello", "17", "null", "[", "[{}", "[{},]", "[{}] x", "[{}]\n{}", "[1]", "{\"a\":",
            "{}, x", "{},",
        ] {
            let reason = split(body).unwrap_err();
            assert!(!reason.is_empty() && !reason.contains('\n'), "{body}: {reason}");
        }
        assert!(split("{\"a\":1},\n{\"a\":").unwrap_err().contains("a comma follows"));
        assert!(split_rows(&Bytes::from_static(b"{\"a\":\"\xFF\"}")).is_err());
        assert!(split_rows(&Bytes::from_static(b"[{\"a\":\"\xFF\"}]")).is_err());
    }

    #[test]
    fn deep_nesting_is_only_text_here() {
        let deep = format!("{{\"a\":{}{}}}", "[".repeat(100_000), "]".repeat(100_000));
        assert_eq!(split(&deep).map(|rows| rows.len()), Ok(1));
        assert!(split(&format!("[{deep}")).is_err());
    }
}
