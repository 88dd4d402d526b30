//! Settings of the server that the environment gives: each key of `weir.yaml` has a variable, which comes before it.
//!
//! Knows the tables of keys and how variables are named after them. Must not know how any value is read.

use super::environment::{Environment, plain};
use super::keys::{FILES, Section};
use super::node::{Key, Node, Place, Value};
use crate::diagnostic::Diagnostic;

/// A setting of `weir.yaml` and its variable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Variable {
    /// Its name, such as `WEIR_CHECKPOINT_EVERY`.
    pub name: String,
    /// The mapping that holds the key; `None` at the top.
    section: Option<&'static str>,
    key: &'static str,
}

impl Variable {
    /// The key, such as `checkpoint.every`.
    pub fn setting(&self) -> String {
        self.section.map_or_else(|| self.key.to_owned(), |section| format!("{section}.{}", self.key))
    }
}

/// The variables of all settings of `weir.yaml`.
pub fn server_variables() -> Vec<Variable> {
    let sections = FILES.iter().filter(|file| file.path == "weir.yaml").flat_map(|file| file.sections);
    let sections: Vec<&Section> = sections.collect();
    let is_mapping = |key: &str| sections.iter().any(|section| section.prefix == format!("{key}."));
    let of_section = |section: &&Section| {
        let name = section.prefix.strip_suffix('.');
        let keys = section.keys.iter().map(|doc| doc.name);
        // `log` is a mapping and also a word.
        let keys = keys.filter(move |key| name.is_some() || *key == "log" || !is_mapping(key));
        keys.map(move |key| Variable { name: variable(section.prefix, key), section: name, key })
            .collect::<Vec<_>>()
    };
    sections.iter().flat_map(of_section).collect()
}

fn variable(prefix: &str, key: &str) -> String {
    format!("WEIR_{}", format!("{prefix}{key}").replace('.', "_").to_uppercase())
}

/// The settings with those that the environment gives in place of the file's. What the environment gave stands in no
/// line: its place is line 0, and the column says which of the variables it was.
pub(super) fn with_variables(root: &Node, environment: &Environment<'_>) -> Node {
    let mut root = root.clone();
    for (number, variable) in server_variables().iter().enumerate() {
        let Some(text) = environment(&variable.name).filter(|text| !text.is_empty()) else { continue };
        let place = (0, number as u32);
        let node = Node { value: plain(&text), place, quoted: false, substituted: Some(text) };
        match variable.section {
            None => put(&mut root, variable.key, node, place),
            Some(section) => {
                let below = root.entry(section).map(|(_, node)| node.clone());
                // A word there, as `log: json`, gives way to the mapping.
                let below = below.filter(|node| matches!(node.value, Value::Mapping(_)));
                let mut below = below.unwrap_or_else(|| empty(place));
                put(&mut below, variable.key, node, place);
                put(&mut root, section, below, place);
            }
        }
    }
    root
}

/// Says of what the environment gave which variable it was.
pub(super) fn name_variables(diagnostics: &mut [Diagnostic]) {
    let variables = server_variables();
    for diagnostic in diagnostics.iter_mut().filter(|diagnostic| diagnostic.line == 0) {
        if let Some(variable) = variables.get(diagnostic.column as usize) {
            diagnostic.file = place_of_variable(&variable.name);
        }
        (diagnostic.line, diagnostic.column) = (1, 1);
    }
}

/// What stands in place of a file where a variable of the environment gave what is told of.
pub fn place_of_variable(name: &str) -> String {
    format!("environment variable {name}")
}

fn empty(place: Place) -> Node {
    Node { value: Value::Mapping(Vec::new()), place, quoted: false, substituted: None }
}

fn put(mapping: &mut Node, name: &str, node: Node, place: Place) {
    if matches!(mapping.value, Value::Null) {
        *mapping = empty(mapping.place);
    }
    // Anything but a mapping is refused by whoever reads it.
    if let Value::Mapping(entries) = &mut mapping.value {
        entries.retain(|(key, _)| key.name != name);
        entries.push((Key { name: name.to_owned(), place }, node));
    }
}
