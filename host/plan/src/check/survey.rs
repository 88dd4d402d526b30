//! What a definition names that is not in it, and what it holds that is nobody else's business: for whoever hands
//! definitions on.
//!
//! Looks at the text as it is written, so no value of the environment is in what it says. Must not know any connector's
//! settings: what may be a file's name is a text among them, what may be a secret is told by what its key is called.

use super::SourceFile;
use super::environment::{Piece, pieces};
use super::node::{self, Node, Place, Value};
use crate::diagnostic::Diagnostic;

/// What the text of one definition names and holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Survey {
    /// The variables of the environment, in the order of their first places, with what stands for each that is not set.
    pub variables: Vec<(String, Option<String>)>,
    /// The texts of where events come from and how they are read: each may name a file.
    pub texts: Vec<String>,
    /// Secrets that are written out, each with what to do.
    pub secrets: Vec<Diagnostic>,
}

/// The keys of a definition below which connectors have their settings, and whether those may name files that belong to
/// the definition: what a sink names is where it writes.
const CONNECTORS: [(&str, bool); 6] = [
    ("source", true),
    ("archive", true),
    ("format", true),
    ("stream", true),
    ("sinks", false),
    ("sink", false),
];

/// Parts of names of keys whose values are secrets.
const SECRET_KEYS: [&str; 9] = [
    "password",
    "passwd",
    "passphrase",
    "secret",
    "token",
    "api_key",
    "apikey",
    "access_key",
    "authorization",
];

/// Surveys a definition. One that is no YAML says nothing: whoever checks it says what is wrong.
pub fn survey(file: &SourceFile) -> Survey {
    let mut survey = Survey::default();
    let Ok(root) = node::parse(&file.path, &file.text) else { return survey };
    each_text(&root, "", &mut |_, text, _| survey.note_variables(text));
    for (name, names_files) in CONNECTORS {
        let Some((_, below)) = root.entry(name) else { continue };
        each_text(below, name, &mut |key, text, place| {
            if names_files {
                survey.texts.push(text.to_owned());
            }
            if let Some(what) = secret(key, text) {
                survey.secrets.push(told(&file.path, place, &what));
            }
        });
    }
    survey
}

impl Survey {
    fn note_variables(&mut self, text: &str) {
        for piece in pieces(text).unwrap_or_default() {
            let Piece::Reference(reference) = piece else { continue };
            let default = reference.default.map(str::to_owned);
            match self.variables.iter_mut().find(|(name, _)| name == reference.name) {
                // One place that has no default needs it set.
                Some((_, known)) if default.is_none() => *known = None,
                Some(_) => {}
                None => self.variables.push((reference.name.to_owned(), default)),
            }
        }
    }
}

/// Every text below a node, with the name of the nearest key above it and its place.
fn each_text(node: &Node, key: &str, take: &mut impl FnMut(&str, &str, Place)) {
    match &node.value {
        Value::Text(text) => take(key, text, node.place),
        Value::List(items) => items.iter().for_each(|item| each_text(item, key, take)),
        Value::Mapping(entries) => entries.iter().for_each(|(key, value)| each_text(value, &key.name, take)),
        Value::Null | Value::Boolean(_) | Value::Number(_) => {}
    }
}

/// What of a text is a secret that is written out: what is left of it without its variables, defaults counted.
fn secret(key: &str, text: &str) -> Option<String> {
    let written = pieces(text).ok()?.into_iter().map(|piece| match piece {
        Piece::Text(text) => text,
        Piece::Reference(reference) => reference.default.unwrap_or_default(),
    });
    let written: String = written.collect();
    let lower = key.to_ascii_lowercase().replace(['-', '.'], "_");
    if SECRET_KEYS.iter().any(|part| lower.contains(part)) && !without_scheme(&written).is_empty() {
        return Some(format!("`{key}`"));
    }
    if written.contains("-----BEGIN") && written.contains("PRIVATE KEY") {
        return Some(format!("`{key}`: a private key"));
    }
    in_address(&written)
}

/// `Bearer ${TOKEN}` without its variable is no secret.
fn without_scheme(written: &str) -> &str {
    let written = written.trim();
    let is_scheme = ["Bearer", "Basic", "ApiKey"].iter().any(|scheme| scheme.eq_ignore_ascii_case(written));
    if is_scheme { "" } else { written }
}

/// A password in an address: `SCHEME://USER:PASSWORD@HOST`, or what is asked there under a name of [`SECRET_KEYS`].
fn in_address(written: &str) -> Option<String> {
    let (_, rest) = written.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let credentials = rest[..end].rsplit_once('@').map(|(credentials, _)| credentials);
    if credentials.and_then(|both| both.split_once(':')).is_some_and(|(_, password)| !password.is_empty()) {
        return Some("a password in an address".to_owned());
    }
    let (_, asked) = rest.split_once('?')?;
    let is_secret = |(name, value): (&str, &str)| {
        let name = name.to_ascii_lowercase();
        !value.is_empty() && SECRET_KEYS.iter().any(|part| name.contains(part))
    };
    let mut asked = asked.split('&').filter_map(|one| one.split_once('='));
    asked.any(is_secret).then(|| "a secret in an address".to_owned())
}

fn told(file: &str, (line, column): Place, what: &str) -> Diagnostic {
    let message =
        format!("{what} is written out; write ${{NAME}}, and set that in the environment of whoever runs it");
    Diagnostic::error(file, line, column, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Survey {
        survey(&SourceFile { path: "streams/a.yaml".to_owned(), text: text.to_owned() })
    }

    #[test]
    fn variables_are_told_with_their_defaults() {
        let found = of(
            "fields: {a: string}\nsource:\n  kafka: {brokers: \"${HOST}:${PORT:-9092}\", topic: \"${TOPIC:-a}\"}\n\
                        max_skew: ${TOPIC}\nnote: $${NOT}\nx: ${",
        );
        let variable = |name: &str, default: Option<&str>| (name.to_owned(), default.map(str::to_owned));
        assert_eq!(
            found.variables,
            [variable("HOST", None), variable("PORT", Some("9092")), variable("TOPIC", None)]
        );
        assert_eq!(found.texts, ["${HOST}:${PORT:-9092}", "${TOPIC:-a}"]);
        assert_eq!(of("a: [\n"), Survey::default());
    }

    #[test]
    fn secrets_that_are_written_out_are_told_by_their_place() {
        for (settings, part) in [
            ("{http: {password: sesame}}", "2:27: `password`"),
            ("{http: {password: \"${P:-sesame}\"}}", "`password`"),
            ("{http: {headers: {Authorization: Bearer sesame}}}", "`Authorization`"),
            ("{http: {headers: {X-Api-Key: sesame}}}", "`X-Api-Key`"),
            ("{kafka: {options: {sasl.password: sesame}}}", "`sasl.password`"),
            ("{file: {options: {aws_secret_access_key: sesame}}}", "`aws_secret_access_key`"),
            ("{redis: {url: \"redis://:sesame@h:1\"}}", "a password in an address"),
            ("{postgres: {url: \"postgres://u:sesame@h/d\"}}", "a password in an address"),
            ("{http: {url: \"https://h/x?a=b&token=sesame\"}}", "a secret in an address"),
            ("{kafka: {options: {ssl.key.pem: \"-----BEGIN PRIVATE KEY-----\"}}}", "a private key"),
        ] {
            let found = of(&format!("query: x\nsinks: [{settings}]"));
            let said: Vec<String> = found.secrets.iter().map(ToString::to_string).collect();
            assert!(said.len() == 1 && said[0].contains(part), "{settings}: {said:?}");
            assert!(!said[0].contains("sesame"), "{said:?}");
        }
    }

    #[test]
    fn variables_columns_and_plain_settings_are_no_secrets() {
        for sound in [
            "fields: {token: string, password: string}",
            "features: {secret_count: {type: bigint}}",
            "sinks: [{http: {password: \"${PASSWORD}\", headers: {Authorization: \"Bearer ${TOKEN}\"}}}]",
            "sinks: [{postgres: {url: \"postgres://u:${P}@h/d\", table: a}}]",
            "sinks: [{redis: {url: \"redis://127.0.0.1:6379\", key: \"{user}:{id}\"}}]",
            "source: {http: {url: \"https://h/a:b@c?page=1\", token: \"\"}}",
            "sinks: [{kafka: {security: {sasl: {user: u, password: \"${P:-}\"}}}}]",
        ] {
            assert_eq!(of(sound).secrets, [], "{sound}");
        }
    }
}
