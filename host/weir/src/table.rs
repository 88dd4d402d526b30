//! Tables for people: columns as wide as their widest cell, and values that are cut where they would not fit a line.

use sonic_rs::{JsonContainerTrait, JsonValueTrait, Value};

/// A list or map of more is shown by its first ones and their number.
const SHOWN_ITEMS: usize = 5;
const FIRST_ITEMS: usize = 3;
/// A text is cut here.
const SHOWN_LETTERS: usize = 60;

/// Lays out `rows` under `head`; every row has as many cells as the head.
pub(crate) fn render(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain([head[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> =
            cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width)).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(&mut head.iter().copied())];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.join("\n")
}

/// A value as a cell: `-` for null, a text without quotes, a long list by its first items.
pub(crate) fn cell(value: &Value) -> String {
    if let Some(text) = value.as_str() {
        return cut(text);
    }
    if let Some(items) = value.as_array().filter(|items| items.len() > SHOWN_ITEMS) {
        let first = items.iter().take(FIRST_ITEMS).map(|item| cut(&item.to_string()));
        return format!("[{}, ..] {} items", first.collect::<Vec<_>>().join(","), items.len());
    }
    if let Some(members) = value.as_object().filter(|members| members.len() > SHOWN_ITEMS) {
        let text =
            |(name, value): (&str, &Value)| format!("{}:{}", Value::from(name), cut(&value.to_string()));
        let first = members.iter().take(FIRST_ITEMS).map(text);
        return format!("{{{}, ..}} {} members", first.collect::<Vec<_>>().join(","), members.len());
    }
    if value.is_null() { "-".to_owned() } else { value.to_string() }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_LETTERS) {
        Some((at, _)) => format!("{}..", &text[..at]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::parsed;
    use sonic_rs::json;

    #[test]
    fn what_is_long_is_cut() {
        assert_eq!(cell(&json!(["a", "b", "c", "d", "e"])), r#"["a","b","c","d","e"]"#);
        let many: Vec<u32> = (0..2056).collect();
        assert_eq!(cell(&json!(many)), "[0,1,2, ..] 2056 items");
        let counts = parsed(r#"{"a": 1, "b": 2, "c": 3, "d": 4, "e": 5, "f": 6}"#).unwrap();
        assert_eq!(cell(&counts), r#"{"a":1,"b":2,"c":3, ..} 6 members"#);
        assert_eq!(cell(&json!("ü".repeat(61))), format!("{}..", "ü".repeat(60)));
        assert_eq!(
            (cell(&json!(null)), cell(&json!("a")), cell(&json!(1.5))),
            ("-".into(), "a".into(), "1.5".into())
        );
    }

    #[test]
    fn columns_line_up() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["long".to_owned(), "22".to_owned()]];
        assert_eq!(render(&["job", "n"], &rows), "job   n\na     1\nlong  22");
    }
}
