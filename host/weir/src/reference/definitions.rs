//! Keys of files, types and settings of connectors, from the tables by which they are read.

use super::{code, table};
use weir_connect::KeyDoc;
use weir_connect::key::{NONE, REQUIRED};
use weir_connectors::registry::{SINKS, SOURCES};
use weir_event::schema::TYPES;
use weir_format::FORMATS;
use weir_plan::check::{FILES, server_variables};

const KEYS: [&str; 4] = ["key", "value", "default", "meaning"];

pub(super) fn part() -> String {
    let mut part = "## Files of a project\n".to_owned();
    for file in FILES {
        let rows = file.sections.iter().flat_map(|section| rows(section.prefix, section.keys));
        part += &format!("\n### `{}`\n\n{}", file.path, table(&KEYS, rows));
        if file.path == "weir.yaml" {
            part += &variables();
        }
    }
    part += &types();
    let sources = SOURCES.iter().map(|kind| (kind.name, kind.does, kind.keys));
    part += &kinds("Sources", "`source: {KIND: {..}}` of a stream.", sources);
    let sinks = SINKS.iter().map(|kind| (kind.name, kind.does, kind.keys));
    part += &kinds("Sinks", "Items of a job's `sinks`. Each fails and is tried again alone.", sinks);
    let formats = FORMATS.iter().map(|format| (format.name, format.does, format.keys));
    part += &kinds("Formats", "`format` of a stream.", formats);
    part
}

/// What a kind of something is called, what it does, and its keys.
type KindDoc = (&'static str, &'static str, &'static [KeyDoc]);

const DECIMALS: &str = "A decimal stays exact: `+` and `-` keep the longer fraction, `*` adds the digits up, `/` gives \
    four digits more than its dividend has and rounds half up, as CAST does; more than 38 digits are an error \
    of that row. A constant of up to 15 digits beside a decimal is one too; beside a double, a decimal becomes a double. \
    SUM of a `decimal(p, s)` is a `decimal(38, s)`, AVG and the other statistics are doubles, and what chooses among \
    values (MIN, LAST_VALUE, TOP, ..) keeps their type. A bare DECIMAL in SQL is `decimal(10, 0)`. What a column of \
    `json` is handed on as (by COALESCE, CASE, `j -> 'a'`, JSON_QUERY or an aggregate that chooses) is JSON too; all else that \
    gives text gives a string.";

fn types() -> String {
    let listed =
        TYPES.iter().map(|doc| vec![code(doc.spelling), doc.read.to_owned(), doc.written.to_owned()]);
    let head = ["type", "read from JSON", "written as JSON"];
    format!(
        "\n## Types\n\nOf a stream's `fields` and of `features`; quote one that holds a comma. `null`, and a member that \
         is not there, are NULL.\n\n{}\n{DECIMALS}\n",
        table(&head, listed)
    )
}

/// Every setting of the server has a variable.
fn variables() -> String {
    let listed = server_variables().into_iter().map(|known| vec![code(&known.name), code(&known.setting())]);
    format!(
        "\nEach setting can be given by the environment, which comes before the file; an option of the command line \
         (`--listen`, `--shards`) comes before both. An empty variable counts as none.\n\n{}",
        table(&["variable", "setting"], listed)
    )
}

fn kinds(title: &str, about: &str, kinds: impl Iterator<Item = KindDoc> + Clone) -> String {
    let listed = kinds.clone().map(|(name, does, _)| vec![code(name), does.to_owned()]);
    let mut part = format!("\n## {title}\n\n{about}\n\n{}", table(&["kind", ""], listed));
    let keys: Vec<_> = kinds.flat_map(|(name, _, keys)| rows(&format!("{name}."), keys)).collect();
    if !keys.is_empty() {
        part += &format!("\n{}", table(&KEYS, keys));
    }
    part
}

fn rows(prefix: &str, keys: &[KeyDoc]) -> Vec<Vec<String>> {
    let default = |key: &KeyDoc| match key.default {
        NONE | REQUIRED => key.default.to_owned(),
        words if words.contains(' ') && !words.starts_with('{') => words.to_owned(),
        written => code(written),
    };
    let row = |key: &KeyDoc| {
        vec![code(&format!("{prefix}{}", key.name)), key.value.to_owned(), default(key), key.does.to_owned()]
    };
    keys.iter().map(row).collect()
}
