//! The text of a definition as a tree of values that know their places.
//!
//! Knows YAML (so also JSON) and the bounds on a text. Must not know any key of any definition.

use crate::diagnostic::Diagnostic;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;
use serde_saphyr::options::DuplicateKeyPolicy;
use serde_saphyr::{Error, Location, MessageFormatter, Spanned, UserMessageFormatter};
use std::fmt;

/// A definition is written by hand: a longer text is a mistake, and reading it would take memory from the jobs.
pub(crate) const TEXT_LIMIT_BYTES: usize = 1 << 20;

/// Deeper nesting than this is refused: no definition needs it, and reading recurses.
const DEPTH_LIMIT: usize = 32;

/// Each alias may repeat the whole text, so this many bound the memory of a text at their number times its size;
/// an alias inside of what another repeats is refused, as that multiplies.
const ALIAS_LIMIT: usize = 64;

/// More values than a text of the size limit holds, unless aliases multiply them.
const REPLAYED_EVENTS_LIMIT: usize = 100_000;

/// Line and column, both counted from 1, the column in characters.
pub(crate) type Place = (u32, u32);

/// Where a text starts.
pub(crate) const START: Place = (1, 1);

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) place: Place,
    /// Whether it was written in quotes.
    pub(crate) quoted: bool,
    /// The text as it was before a plain scalar was read as a number or the like, where the environment gave it.
    pub(crate) substituted: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) enum Value {
    Null,
    Boolean(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Mapping(Vec<(Key, Node)>),
}

impl Value {
    /// What it is, for "found ..".
    pub(crate) fn noun(&self) -> &'static str {
        match self {
            Value::Null => "nothing",
            Value::Boolean(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::List(_) => "a list",
            Value::Mapping(_) => "a mapping",
        }
    }
}

/// A key of a mapping.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) name: String,
    pub(crate) place: Place,
}

impl Node {
    /// The value as JSON; of a repeated key the last.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Boolean(value) => serde_json::Value::Bool(*value),
            Value::Number(value) => serde_json::Value::Number(value.clone()),
            Value::Text(value) => serde_json::Value::String(value.clone()),
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            Value::Mapping(entries) => {
                entries.iter().map(|(key, value)| (key.name.clone(), value.to_json())).collect()
            }
        }
    }

    /// The key and value at a key of a mapping.
    pub(crate) fn entry(&self, name: &str) -> Option<&(Key, Node)> {
        match &self.value {
            Value::Mapping(entries) => entries.iter().find(|(key, _)| key.name == name),
            _ => None,
        }
    }

    /// The place of the key that `path` names (`a` or `a.b`), or as much of it as there is.
    pub(crate) fn place_of(&self, path: &str) -> Option<Place> {
        if let Some((key, _)) = self.entry(path) {
            return Some(key.place);
        }
        let (first, rest) = path.split_once('.')?;
        let (key, value) = self.entry(first)?;
        Some(value.place_of(rest).unwrap_or(key.place))
    }
}

/// Reads a text; the error is one, as what follows broken syntax has no meaning.
pub(crate) fn parse(file: &str, text: &str) -> Result<Node, Diagnostic> {
    if text.len() > TEXT_LIMIT_BYTES {
        let message = format!(
            "the text has {} bytes, and a definition at most {TEXT_LIMIT_BYTES}; split it",
            text.len()
        );
        return Err(Diagnostic::error(file, 1, 1, message));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let raw: Spanned<Raw> = serde_saphyr::from_str_with_options(text, options()).map_err(|error| {
        let (line, column) = error.location().map_or(START, place);
        Diagnostic::error(file, line, column, explain(&error))
    })?;
    Ok(with_quotes(raw, text))
}

fn options() -> serde_saphyr::Options {
    let budget = serde_saphyr::budget! {
        max_depth: DEPTH_LIMIT,
        flow_nesting_limit: DEPTH_LIMIT,
        max_aliases: ALIAS_LIMIT,
        max_anchors: ALIAS_LIMIT,
        // One more than is allowed, so that it is refused for what it is.
        max_documents: 2,
    };
    let alias_limits = serde_saphyr::alias_limits! {
        max_total_replayed_events: REPLAYED_EVENTS_LIMIT,
        max_replay_stack_depth: 1,
    };
    serde_saphyr::options! {
        budget: budget,
        alias_limits: alias_limits,
        // All repeated keys are reported together by whoever reads the mapping.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        // `on` is a key and `no` a country: only true and false are booleans.
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        reject_unsupported_tags: true,
        with_snippet: false,
    }
}

fn explain(error: &Error) -> String {
    match error.without_snippet() {
        Error::AliasError { error, .. } => explain(error),
        Error::Budget { .. }
        | Error::AliasReplayCounterOverflow { .. }
        | Error::AliasReplayLimitExceeded { .. }
        | Error::AliasExpansionLimitExceeded { .. }
        | Error::AliasReplayStackDepthExceeded { .. } => {
            "the text holds too many values, is nested too deeply or repeats too much through aliases; write less"
                .to_owned()
        }
        Error::MultipleDocuments { .. } => {
            "a second document starts here, and a file holds one definition; use a file for each".to_owned()
        }
        other => {
            let text = UserMessageFormatter.format_message(other);
            let text = text.trim_end_matches('.');
            let advice = match text {
                "null is not allowed here" => "; a key called null stands in quotes: \"null\"",
                _ => "",
            };
            format!("not readable as YAML: {text}{advice}")
        }
    }
}

fn place(location: Location) -> Place {
    let bounded = |number: u64| u32::try_from(number).unwrap_or(u32::MAX).max(1);
    (bounded(location.line()), bounded(location.column()))
}

/// What serde reads, before quotes are looked up in the text.
enum Raw {
    Scalar(Value),
    List(Vec<Spanned<Raw>>),
    Mapping(Vec<(Spanned<String>, Spanned<Raw>)>),
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a mapping, a list, a text, a number of at most 64 bits, true or false")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_none<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Null))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Boolean(value)))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Number(value.into())))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Number(value.into())))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("not a finite number"))?;
        Ok(Raw::Scalar(Value::Number(number)))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(Value::Text(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut mapping = Vec::new();
        while let Some(entry) = entries.next_entry()? {
            mapping.push(entry);
        }
        Ok(Raw::Mapping(mapping))
    }
}

fn with_quotes(raw: Spanned<Raw>, text: &str) -> Node {
    let offset = raw.defined.span().byte_offset().and_then(|offset| usize::try_from(offset).ok());
    let first = offset.and_then(|offset| text.as_bytes().get(offset));
    let quoted = matches!(raw.value, Raw::Scalar(_)) && matches!(first, Some(b'"' | b'\''));
    let value = match raw.value {
        Raw::Scalar(value) => value,
        Raw::List(items) => Value::List(items.into_iter().map(|item| with_quotes(item, text)).collect()),
        Raw::Mapping(entries) => Value::Mapping(
            entries
                .into_iter()
                .map(|(key, value)| {
                    (Key { place: place(key.referenced), name: key.value }, with_quotes(value, text))
                })
                .collect(),
        ),
    };
    Node { value, place: place(raw.referenced), quoted, substituted: None }
}
