//! How a definition is read: every key is asked for once, every wrong value goes on record with its place, and
//! reading goes on.
//!
//! Knows values and places. Must not know any key of any definition.

use super::environment::Environment;
use super::hidden::Hidden;
use super::node::{Key, Node, Place, Value};
use crate::diagnostic::{Diagnostic, Severity};
use crate::masks::Masks;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use weir_connect::KeyDoc;
use weir_event::Span;
use weir_event::suggestion::unknown;

/// What is wrong with one file, as far as it was read.
#[derive(Debug)]
pub(crate) struct Report {
    file: String,
    pub(crate) diagnostics: Vec<Diagnostic>,
    hidden: Hidden,
}

impl Report {
    pub(crate) fn new(file: &str) -> Self {
        Report { file: file.to_owned(), diagnostics: Vec::new(), hidden: Hidden::default() }
    }

    /// An environment whose values no message shows.
    pub(super) fn hiding<'a>(
        &'a self,
        environment: &'a Environment<'a>,
    ) -> impl Fn(&str) -> Option<String> + 'a {
        self.hidden.noting(environment)
    }

    /// What no message about the definition may show.
    pub(super) fn masks(&self) -> Masks {
        self.hidden.masks()
    }

    pub(crate) fn error(&mut self, (line, column): Place, message: impl Into<String>) {
        let message = self.hidden.masked(message.into());
        self.diagnostics.push(Diagnostic::error(&*self.file, line, column, message));
    }

    pub(crate) fn warning(&mut self, (line, column): Place, message: impl Into<String>) {
        let message = self.hidden.masked(message.into());
        self.diagnostics.push(Diagnostic::warning(&*self.file, line, column, message));
    }

    pub(crate) fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    fn wrong_kind<T>(&mut self, key: &str, node: &Node, wanted: &str) -> Option<T> {
        self.error(node.place, format!("`{key}`: expected {wanted}, found {}", node.value.noun()));
        None
    }

    /// A text; what looks like a number must be quoted, unless the environment gave it.
    pub(crate) fn text(&mut self, key: &str, node: &Node) -> Option<String> {
        match &node.value {
            Value::Text(text) => Some(text.clone()),
            _ if node.substituted.is_some() => node.substituted.clone(),
            Value::Number(_) | Value::Boolean(_) => self.wrong_kind(key, node, "a text (in quotes)"),
            _ => self.wrong_kind(key, node, "a text"),
        }
    }

    /// What `T::from_str` makes of a text; a number counts as its text.
    pub(crate) fn parsed<T>(&mut self, key: &str, node: &Node, wanted: &str) -> Option<T>
    where
        T: FromStr,
        T::Err: Display,
    {
        let text = match &node.value {
            Value::Text(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => return self.wrong_kind(key, node, wanted),
        };
        let read = text.parse();
        read.map_err(|error: T::Err| self.error(node.place, format!("`{key}`: {error}"))).ok()
    }

    /// A duration.
    pub(crate) fn span(&mut self, key: &str, node: &Node) -> Option<Span> {
        self.parsed(key, node, "a duration such as 30s")
    }

    /// A duration that is not zero.
    pub(crate) fn positive_span(&mut self, key: &str, node: &Node) -> Option<Span> {
        let span = self.span(key, node)?;
        if span == Span::ZERO {
            self.error(
                node.place,
                format!("`{key}`: must be longer than nothing; write a duration such as 10s"),
            );
            return None;
        }
        Some(span)
    }

    /// A whole number within bounds.
    pub(crate) fn integer(&mut self, key: &str, node: &Node, bounds: RangeInclusive<u64>) -> Option<u64> {
        let number = match &node.value {
            Value::Number(number) => number.as_u64(),
            _ => return self.wrong_kind(key, node, "a whole number"),
        };
        if let Some(number) = number.filter(|number| bounds.contains(number)) {
            return Some(number);
        }
        let (low, high) = bounds.into_inner();
        let wanted = if high == u64::MAX {
            format!("a whole number of at least {low}")
        } else {
            format!("a whole number from {low} to {high}")
        };
        self.error(node.place, format!("`{key}`: expected {wanted}, found {}", node.to_json()));
        None
    }

    /// True or false.
    pub(crate) fn boolean(&mut self, key: &str, node: &Node) -> Option<bool> {
        match node.value {
            Value::Boolean(value) => Some(value),
            _ => self.wrong_kind(key, node, "true or false"),
        }
    }

    /// One of a few words.
    pub(crate) fn word<T: Copy>(&mut self, key: &str, node: &Node, words: &[(&str, T)]) -> Option<T> {
        let names: Vec<_> = words.iter().map(|(name, _)| *name).collect();
        let Value::Text(text) = &node.value else {
            return self.wrong_kind(key, node, &format!("one of {}", names.join(", ")));
        };
        let found = words.iter().find(|(name, _)| name == text).map(|(_, word)| *word);
        if found.is_none() {
            let message = format!("`{key}`: `{text}`: {}", unknown("value", text, names.iter().copied()));
            self.error(node.place, message);
        }
        found
    }

    /// A mapping whose keys, those of `table`, are then asked for; repeated keys are reported.
    pub(crate) fn mapping<'n>(
        &mut self,
        key: &str,
        node: &'n Node,
        wanted: &str,
        table: &'static [KeyDoc],
    ) -> Option<Mapping<'n>> {
        let Value::Mapping(entries) = &node.value else {
            return self.wrong_kind(key, node, wanted);
        };
        self.repeated(entries);
        Some(Mapping { entries, table, asked: Vec::new() })
    }

    /// Reports repeated keys in this mapping.
    pub(crate) fn repeated(&mut self, entries: &[(Key, Node)]) {
        let mut seen = std::collections::HashMap::new();
        for (key, _) in entries {
            if let Some((line, _)) = seen.insert(&key.name, key.place) {
                self.error(key.place, format!("`{}`: already given in line {line}; keep one", key.name));
            }
        }
    }

    /// Reports repeated keys in this value and all below it.
    pub(crate) fn repeated_below(&mut self, node: &Node) {
        match &node.value {
            Value::Mapping(entries) => {
                self.repeated(entries);
                for (_, value) in entries {
                    self.repeated_below(value);
                }
            }
            Value::List(items) => items.iter().for_each(|item| self.repeated_below(item)),
            _ => {}
        }
    }
}

/// A mapping that is being read.
#[derive(Debug)]
pub(crate) struct Mapping<'n> {
    entries: &'n [(Key, Node)],
    table: &'static [KeyDoc],
    asked: Vec<&'static str>,
}

impl<'n> Mapping<'n> {
    /// The value of a key; `None` where it is absent or has no value.
    pub(crate) fn take(&mut self, name: &'static str) -> Option<&'n Node> {
        self.take_entry(name).map(|(_, node)| node)
    }

    /// As [`Mapping::take`], with the key.
    pub(crate) fn take_entry(&mut self, name: &'static str) -> Option<&'n (Key, Node)> {
        debug_assert!(
            self.table.iter().any(|row| row.name == name),
            "`{name}` has no row in its table of keys"
        );
        self.asked.push(name);
        let given = self.entries.iter().find(|(key, _)| key.name == name);
        given.filter(|(_, node)| !matches!(node.value, Value::Null))
    }

    /// Reports the keys that have no row; `label` is what stands before a key's name.
    pub(crate) fn finish(self, label: &str, report: &mut Report) {
        for row in self.table {
            debug_assert!(self.asked.contains(&row.name), "nobody reads the key `{label}{}`", row.name);
        }
        let known = || self.table.iter().map(|row| row.name);
        for (key, _) in self.entries {
            if !known().any(|name| name == key.name) {
                let message = unknown("key", &key.name, known());
                report.error(key.place, format!("`{label}{}`: {message}", key.name));
            }
        }
    }
}
