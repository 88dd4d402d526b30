//! Paths into JSON, as in `$.user.tags[0]`, and where in a text they lead.
//!
//! One pass over the text without a tree of it: what is not on the way is skipped, and a value is given as the text
//! that it is, so that numbers keep their digits. Must not know functions or columns.

/// A path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JsonPath {
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Member(String),
    /// Of a list, from 0.
    Item(usize),
}

/// Deeper values are not read: no record that was meant has them, and a stack has an end.
const DEPTH_LIMIT: usize = 128;

impl JsonPath {
    /// Reads `$.a.b[0]['c d']`, perhaps after `lax` or `strict`; the error says what is wrong with it.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let body = text.trim();
        let body = ["lax ", "strict "].iter().find_map(|mode| body.strip_prefix(mode)).unwrap_or(body);
        let refuse =
            |what: &str| Err(format!("{what} in the JSON path '{text}'; write one such as '$.user.tags[0]'"));
        let Some(mut rest) = body.trim_start().strip_prefix('$') else {
            return refuse("`$` is missing at the beginning");
        };
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let step: Step;
            (step, rest) = if let Some(after) = rest.strip_prefix('.') {
                let end = after.find(['.', '[']).unwrap_or(after.len());
                let name = &after[..end];
                let is_plain = |it: char| it.is_alphanumeric() || matches!(it, '_' | '-' | '$' | '@');
                if name.is_empty() || !name.chars().all(is_plain) {
                    return refuse(&format!("`.{name}` is not a member"));
                }
                (Step::Member(name.to_owned()), &after[end..])
            } else if let Some(after) = rest.strip_prefix('[') {
                let Some((inside, after)) = bracket(after) else { return refuse("a bracket does not close") };
                let Some(step) = bracketed(inside) else {
                    return refuse(&format!("`[{inside}]` is neither a position nor a quoted member"));
                };
                (step, after)
            } else {
                return refuse(&format!("`{rest}` does not go on"));
            };
            steps.push(step);
        }
        Ok(JsonPath { steps })
    }

    /// The text of the value that the path leads to; `None` if there is none, or the text is not JSON.
    pub(crate) fn find<'j>(&self, json: &'j str) -> Option<&'j str> {
        let mut reader = Reader { text: json, at: 0, found: None };
        reader.value(Some(&self.steps), 0)?;
        reader.space();
        (reader.at == json.len()).then_some(reader.found).flatten()
    }
}

/// What stands before the bracket that closes, and what after it; a quoted name may hold brackets.
fn bracket(text: &str) -> Option<(&str, &str)> {
    let quote = text.chars().next().filter(|first| matches!(first, '\'' | '"'));
    let end = match quote {
        Some(quote) => text[1..].find(quote)? + 2,
        None => text.find(']')?,
    };
    Some((&text[..end], text[end..].strip_prefix(']')?))
}

fn bracketed(inside: &str) -> Option<Step> {
    for quote in ['\'', '"'] {
        if let Some(name) = inside.strip_prefix(quote).and_then(|it| it.strip_suffix(quote)) {
            return Some(Step::Member(name.to_owned()));
        }
    }
    inside.trim().parse().ok().map(Step::Item)
}

/// Reads values and remembers the one that is looked for.
struct Reader<'j> {
    text: &'j str,
    at: usize,
    found: Option<&'j str>,
}

impl<'j> Reader<'j> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.space();
        (self.peek() == Some(byte)).then(|| self.at += 1)
    }

    /// Reads a value; `steps` lead from it to what is looked for, if that is in it.
    fn value(&mut self, steps: Option<&[Step]>, depth: usize) -> Option<()> {
        self.space();
        let start = self.at;
        match self.peek()? {
            _ if depth > DEPTH_LIMIT => return None,
            b'{' => self.object(steps, depth)?,
            b'[' => self.list(steps, depth)?,
            b'"' => self.quoted().map(drop)?,
            _ => self.word()?,
        }
        if steps.is_some_and(<[Step]>::is_empty) {
            self.found = Some(&self.text[start..self.at]);
        }
        Some(())
    }

    fn object(&mut self, steps: Option<&[Step]>, depth: usize) -> Option<()> {
        self.at += 1;
        if self.take(b'}').is_some() {
            return Some(());
        }
        loop {
            self.space();
            let name = self.quoted()?;
            self.take(b':')?;
            let inner = match steps {
                Some([Step::Member(wanted), rest @ ..]) if is_name(name, wanted) => {
                    // Of a member that stands there twice the last counts, whatever the first one held.
                    self.found = None;
                    Some(rest)
                }
                _ => None,
            };
            self.value(inner, depth + 1)?;
            if self.take(b',').is_none() {
                return self.take(b'}');
            }
        }
    }

    fn list(&mut self, steps: Option<&[Step]>, depth: usize) -> Option<()> {
        self.at += 1;
        if self.take(b']').is_some() {
            return Some(());
        }
        let mut position = 0;
        loop {
            let inner = match steps {
                Some([Step::Item(wanted), rest @ ..]) if *wanted == position => Some(rest),
                _ => None,
            };
            self.value(inner, depth + 1)?;
            position += 1;
            if self.take(b',').is_none() {
                return self.take(b']');
            }
        }
    }

    /// A quoted text with its quotes.
    fn quoted(&mut self) -> Option<&'j str> {
        let start = self.at;
        (self.peek() == Some(b'"')).then_some(())?;
        self.at += 1;
        loop {
            match self.peek()? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        self.text.get(start..self.at)
    }

    /// A number, `true`, `false` or `null`.
    fn word(&mut self) -> Option<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9' | b'a'..=b'z' | b'E' | b'+' | b'-' | b'.')) {
            self.at += 1;
        }
        let word = &self.text[start..self.at];
        let is_number = || word.parse::<f64>().is_ok() && !word.starts_with(['+', '.', 'i', 'n']);
        (matches!(word, "true" | "false" | "null") || is_number()).then_some(())
    }
}

/// Whether a quoted name is this one.
fn is_name(quoted: &str, wanted: &str) -> bool {
    let plain = &quoted[1..quoted.len() - 1];
    if plain.contains('\\') { unescaped(quoted).is_some_and(|name| name == wanted) } else { plain == wanted }
}

/// The text that a quoted one stands for.
pub(super) fn unescaped(quoted: &str) -> Option<String> {
    serde_json::from_str(quoted).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(path: &str, json: &str) -> Option<String> {
        JsonPath::read(path).unwrap().find(json).map(str::to_owned)
    }

    #[test]
    fn a_path_leads_to_the_text_of_a_value() {
        let json = r#" {"a": {"b": [1.50, {"c d": "x\"]y"}], "b2": null}, "z": 12345678901234567890123} "#;
        assert_eq!(find("$.a.b[0]", json).as_deref(), Some("1.50"));
        assert_eq!(find("$.a['b'][1]['c d']", json).as_deref(), Some(r#""x\"]y""#));
        assert_eq!(find("lax $.z", json).as_deref(), Some("12345678901234567890123"));
        assert_eq!(find("$.a.b2", json).as_deref(), Some("null"));
        assert_eq!(find("$", " 7 ").as_deref(), Some("7"));
        for missing in ["$.b", "$.a.b[2]", "$.a[0]", "$.z.y", "$.a.b.c"] {
            assert_eq!(find(missing, json), None, "{missing}");
        }
    }

    #[test]
    fn the_last_of_two_members_counts_and_escaped_names_are_known() {
        assert_eq!(find("$.a", r#"{"a": 1, "\u0061": 2}"#).as_deref(), Some("2"));
        assert_eq!(find("$.a.b", r#"{"a": {"b": 1}, "a": 2}"#), None);
    }

    #[test]
    fn what_is_not_json_has_no_value() {
        for json in
            ["", "{", r#"{"a": 1"#, r#"{"a": 1}}"#, r#"{"a" 1}"#, r#"{"a": nul}"#, r#"{"a": 1,}"#, "{a: 1}"]
        {
            assert_eq!(find("$.a", json), None, "{json}");
        }
        assert_eq!(find("$.a", &format!("{}{}", "[".repeat(100_000), "]".repeat(100_000))), None);
    }

    #[test]
    fn a_path_that_cannot_be_read_is_refused() {
        for path in ["", "a", "$.", "$.a.", "$[", "$['a", "$[a]", "$[-1]", "$.a b", "$a", "$.*", "$[*]"] {
            assert!(JsonPath::read(path).is_err(), "{path}");
        }
    }
}
