//! `${NAME}` and `${NAME:-default}` in scalar values, from an environment that the caller gives.
//!
//! `$${` stands for a literal `${`. Keys are left as they are. Must not know where the environment comes from: what
//! arrives over the network is read with an empty one, lest it show the server's secrets; what is said of the rest names
//! the variable in place of its value.

use super::node::{Node, Value};
use super::report::Report;

/// Looks a name up.
pub type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Replaces every reference below `node`; the missing and the malformed are reported.
pub(crate) fn substitute(node: &mut Node, environment: &Environment<'_>, report: &mut Report) {
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| substitute(item, environment, report)),
        Value::Mapping(entries) => {
            for (_, value) in entries {
                substitute(value, environment, report);
            }
        }
        Value::Text(text) if text.contains("${") => {
            let expanded = expand(text, &report.hiding(environment));
            match expanded {
                Ok(expanded) if !node.quoted => {
                    node.value = plain(&expanded);
                    node.substituted = Some(expanded);
                }
                Ok(expanded) => *text = expanded,
                Err(message) => report.error(node.place, message),
            }
        }
        _ => {}
    }
}

fn expand(text: &str, environment: &Environment<'_>) -> Result<String, String> {
    let mut expanded = String::new();
    for piece in pieces(text)? {
        match piece {
            Piece::Text(text) => expanded.push_str(text),
            Piece::Reference(reference) => expanded.push_str(&look_up(reference, environment)?),
        }
    }
    Ok(expanded)
}

/// A part of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Piece<'t> {
    /// As it stands there.
    Text(&'t str),
    /// What the environment gives.
    Reference(Reference<'t>),
}

/// `${NAME}` or `${NAME:-default}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reference<'t> {
    pub(super) name: &'t str,
    pub(super) default: Option<&'t str>,
}

/// What a text consists of.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let (mut pieces, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find("${") {
        let (before, reference) = rest.split_at(at);
        if let Some(literal) = before.strip_suffix('$') {
            pieces.extend([Piece::Text(literal), Piece::Text("${")]);
            rest = &reference[2..];
            continue;
        }
        let (inner, after) = reference[2..]
            .split_once('}')
            .ok_or("`${` has no `}`; write ${NAME} or ${NAME:-default}, or $${ where no variable is meant")?;
        pieces.extend([Piece::Text(before), Piece::Reference(parsed(inner)?)]);
        rest = after;
    }
    pieces.push(Piece::Text(rest));
    Ok(pieces)
}

fn parsed(inner: &str) -> Result<Reference<'_>, String> {
    let (name, default) = inner.split_once(":-").map_or((inner, None), |(name, value)| (name, Some(value)));
    let first_fits = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !first_fits || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!(
            "`${{{inner}}}` names no variable; write ${{NAME}} or ${{NAME:-default}}, or $${{ where none is meant"
        ));
    }
    Ok(Reference { name, default })
}

fn look_up(
    Reference { name, default }: Reference<'_>,
    environment: &Environment<'_>,
) -> Result<String, String> {
    match (environment(name), default) {
        (Some(value), Some(default)) if value.is_empty() => Ok(default.to_owned()),
        (Some(value), _) => Ok(value),
        (None, Some(default)) => Ok(default.to_owned()),
        (None, None) => {
            Err(format!("`{name}` is not set in the environment; set it, or write ${{{name}:-default}}"))
        }
    }
}

/// A plain scalar is read after its references are replaced, so that `rate: ${RATE}` is a number.
pub(super) fn plain(text: &str) -> Value {
    let leading_zero = text.trim_start_matches('-').starts_with('0') && text.trim_start_matches('-') != "0";
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => Value::Boolean(true),
        "false" => Value::Boolean(false),
        _ if leading_zero && !text.contains('.') => Value::Text(text.to_owned()),
        _ => serde_json::from_str(text).map_or_else(|_| Value::Text(text.to_owned()), Value::Number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, String> {
        expand(text, &|name| match name {
            "HOST" => Some("h1".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        })
    }

    #[test]
    fn references_are_replaced() {
        for (text, wanted) in [
            ("a${HOST}:9092,${HOST}", "ah1:9092,h1"),
            ("${NONE:-x:-y}", "x:-y"),
            ("${NONE:-}", ""),
            ("${EMPTY}", ""),
            ("${EMPTY:-d}", "d"),
            ("$HOST $${HOST} $", "$HOST ${HOST} $"),
        ] {
            assert_eq!(expanded(text).as_deref(), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn the_malformed_is_refused() {
        for text in ["${NONE}", "${", "${HOST", "${}", "${a.b}", "${1A}", "${:-x}"] {
            assert!(expanded(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_plain_value_is_read_after_it_was_replaced() {
        assert!(matches!(plain("12"), Value::Number(_)));
        assert!(matches!(plain("-0.5"), Value::Number(_)));
        assert!(matches!(plain("007"), Value::Text(_)));
        assert!(matches!(plain("[1]"), Value::Text(_)));
    }
}
