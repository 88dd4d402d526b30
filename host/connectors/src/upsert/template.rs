//! Texts of a definition that name columns of a row: `{job}:{user_id}`.
//!
//! `{name}` is the text of that column of the query, or of the entity's key where the query does not select it; `{job}` the
//! job's name where there is no such column; `{{` and `}}` are braces. Where a text has several columns, two rows never come
//! to the same one: in every text but the last column's, `%` and the characters that stand between columns are `%` and two
//! digits for each of their bytes. Times and dates stay as they are, since they show where they end. Between two columns stands
//! a sign that no such text has: a letter, a digit and `%` are none. Must not know what a text is used for.

use super::cells;
use crate::context::SinkContext;
use arrow_array::ArrayRef;
use arrow_schema::DataType as ArrowType;
use std::fmt::{self, Write};
use std::str::FromStr;
use weir_connect::{RowShape, SinkRows};
use weir_event::suggestion::{instead_of, shown};

/// Stands for the job's name where no column is called so.
const JOB: &str = "job";

/// A text with the names of columns in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    parts: Vec<TemplatePart>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum TemplatePart {
    Text(String),
    Column(String),
    /// The same where a null has a text too.
    Nullable(String),
}

/// What stands before the digits of a character that is not written as itself.
const ESCAPE: char = '%';

/// What a null is in a text that may be made of one: no value has it.
const NULL_TEXT: &str = "\u{0}";

/// A column that a text needs is null in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NullInText {
    /// The column.
    pub column: String,
}

impl fmt::Display for NullInText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "its column `{}` is null, and a key has no text for that", self.column)
    }
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Template, String> {
        let (mut parts, mut plain) = (Vec::new(), String::new());
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            plain.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                plain.push_str(brace);
                rest = after;
                continue;
            }
            let closed = (brace == "{").then(|| rest.split_once('}')).flatten();
            let Some((name, after)) = closed.filter(|(name, _)| !name.is_empty()) else {
                let shown = shown(text);
                return Err(format!(
                    "`{shown}`: a `{brace}` without its other half; write {{column}}, and {{{{ for a brace"
                ));
            };
            if !plain.is_empty() {
                parts.push(TemplatePart::Text(std::mem::take(&mut plain)));
            }
            parts.push(TemplatePart::Column(name.to_owned()));
            rest = after;
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(TemplatePart::Text(plain));
        }
        Ok(Template { parts })
    }
}

impl Template {
    /// The text of one column.
    pub fn column(name: &str) -> Template {
        Template { parts: vec![TemplatePart::Column(name.to_owned())] }
    }

    /// The text of one column that only tells rows apart, so that a null has one as well.
    fn nullable(name: &str) -> Template {
        Template { parts: vec![TemplatePart::Nullable(name.to_owned())] }
    }

    /// Every column of the entity's key, with `:` between; of rows that have none, the job.
    pub fn of_key(shape: Option<&RowShape>) -> Template {
        let keys = shape.into_iter().flat_map(|shape| shape.keys.fields().iter());
        let columns = keys.map(|key| TemplatePart::Column(key.name().clone()));
        let mut parts: Vec<TemplatePart> =
            columns.flat_map(|column| [TemplatePart::Text(":".to_owned()), column]).skip(1).collect();
        if parts.is_empty() {
            parts.push(TemplatePart::Column(JOB.to_owned()));
        }
        Template { parts }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            TemplatePart::Column(name) | TemplatePart::Nullable(name) => Some(name.as_str()),
            TemplatePart::Text(_) => None,
        })
    }

    /// What is wrong with it for rows of this shape: it names a column that they do not have, or rows of two keys can have one
    /// text.
    pub fn check(&self, shape: &RowShape) -> Result<(), String> {
        let known = || shape.nameable().map(|field| field.name().as_str());
        if let Some(name) = self.names().find(|name| *name != JOB && !known().any(|known| known == *name)) {
            let instead = instead_of(name, known().chain([JOB]));
            return Err(format!("`{{{}}}`: the query has no such column; {instead}", shown(name)));
        }
        match self.run_together(|name| name != JOB || known().any(|known| known == name)) {
            None => Ok(()),
            Some((one, other)) => Err(format!(
                "between {{{one}}} and {{{other}}} stands nothing that is not a letter, a digit or `%`, so that rows of two keys \
                 can have one text; write {{{one}}}:{{{other}}}"
            )),
        }
    }

    /// Whether it tells keys of the entity apart by this column: it names it, or the query's column that holds it.
    pub fn holds_key(&self, shape: &RowShape, key: usize) -> bool {
        let selected = shape.key_columns.get(key).copied().flatten();
        let selected = selected.map(|column| shape.columns.field(column).name());
        self.names()
            .any(|name| name == shape.keys.field(key).name() || Some(name) == selected.map(String::as_str))
    }

    /// What is wrong with texts that together make the key of a store's rows: one names a column that there is not, or none
    /// names a column of the entity's key.
    pub fn key_faults(texts: &[Template], shape: &RowShape) -> Vec<String> {
        let mut faults: Vec<String> = texts.iter().filter_map(|text| text.check(shape).err()).collect();
        let lacks = |key: &usize| !texts.iter().any(|text| text.holds_key(shape, *key));
        if let Some(key) = (0..shape.keys.fields().len()).find(lacks)
            && faults.is_empty()
        {
            let name = shape.keys.field(key).name();
            faults.push(format!("rows of every `{name}` would overwrite each other; put {{{name}}} into it"));
        }
        faults
    }

    /// Its text, as it was written.
    pub fn written(&self) -> String {
        let part = |part: &TemplatePart| match part {
            TemplatePart::Text(text) => text.replace('{', "{{").replace('}', "}}"),
            TemplatePart::Column(name) | TemplatePart::Nullable(name) => format!("{{{name}}}"),
        };
        self.parts.iter().map(part).collect()
    }

    /// The columns of some rows that it is made of.
    pub fn over<'r>(&'r self, rows: &'r SinkRows) -> TemplateOver<'r> {
        let of = |part: &'r TemplatePart| match part {
            TemplatePart::Text(text) => PartOver::Text(text),
            TemplatePart::Column(name) | TemplatePart::Nullable(name) => {
                let is_nullable = matches!(part, TemplatePart::Nullable(_));
                let keys = rows.meta.keys.as_ref();
                let column = rows.columns.column_by_name(name);
                match column.or_else(|| keys.and_then(|keys| keys.column_by_name(name))) {
                    Some(column) if is_nullable => PartOver::Nullable(column),
                    Some(column) => PartOver::Column { name, column, is_escaped: false },
                    None if name == JOB => PartOver::Text(&rows.meta.job),
                    None => PartOver::Missing(name),
                }
            }
        };
        let mut parts: Vec<PartOver<'r>> = self.parts.iter().map(of).collect();
        let last = parts.iter().rposition(|part| matches!(part, PartOver::Column { .. }));
        for part in &mut parts[..last.unwrap_or(0)] {
            if let PartOver::Column { column, is_escaped, .. } = part {
                *is_escaped = !is_time(column.data_type());
            }
        }
        let first = parts.iter().position(|part| matches!(part, PartOver::Column { .. }));
        let between = first.zip(last).map_or(&[][..], |(first, last)| &self.parts[first..last]);
        let between = between.iter().filter_map(|part| match part {
            TemplatePart::Text(text) => Some(text.as_str()),
            TemplatePart::Column(_) | TemplatePart::Nullable(_) => None,
        });
        TemplateOver { between: between.collect(), parts }
    }

    /// Two columns of it between which nobody can tell where one ends, since no sign stands there. A name that is none of a
    /// column's stands for a text that is the same in every row.
    fn run_together(&self, is_column: impl Fn(&str) -> bool) -> Option<(&str, &str)> {
        let (mut before, mut is_told_apart) = (None, false);
        for part in &self.parts {
            match part {
                TemplatePart::Text(text) => is_told_apart |= text.contains(is_sign),
                TemplatePart::Column(name) | TemplatePart::Nullable(name) if is_column(name) => {
                    if let Some(before) = before.filter(|_| !is_told_apart) {
                        return Some((before, name));
                    }
                    (before, is_told_apart) = (Some(name.as_str()), false);
                }
                TemplatePart::Column(_) | TemplatePart::Nullable(_) => {}
            }
        }
        None
    }
}

/// Whether no text has this character where it stands between columns: what is written for it has letters, digits and `%`.
fn is_sign(character: char) -> bool {
    !character.is_alphanumeric() && character != ESCAPE
}

/// Times and dates are written in one form, which shows where it ends.
fn is_time(of: &ArrowType) -> bool {
    match of {
        ArrowType::Dictionary(_, values) => is_time(values),
        of => matches!(of, ArrowType::Timestamp(..) | ArrowType::Date32),
    }
}

/// The columns of the entity's key, for a store that keeps them as they are and makes no text of them: a null is a value
/// of theirs.
pub fn key_columns(context: &SinkContext) -> Vec<Template> {
    let keys = context.shape.iter().flat_map(|shape| shape.keys.fields().iter());
    keys.map(|key| Template::nullable(key.name())).collect()
}

/// A text over rows.
#[derive(Debug)]
pub struct TemplateOver<'r> {
    parts: Vec<PartOver<'r>>,
    /// What stands between columns.
    between: String,
}

#[derive(Debug)]
enum PartOver<'r> {
    Text(&'r str),
    Column { name: &'r str, column: &'r ArrayRef, is_escaped: bool },
    Nullable(&'r ArrayRef),
    Missing(&'r str),
}

impl TemplateOver<'_> {
    /// The text of a row.
    pub fn text(&self, row: usize) -> Result<String, NullInText> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                PartOver::Text(text) => out.push_str(text),
                PartOver::Column { name, column, is_escaped } => {
                    let text = cells::text(column, row);
                    let text = text.ok_or_else(|| NullInText { column: (*name).to_owned() })?;
                    if *is_escaped { self.push_escaped(&text, &mut out) } else { out.push_str(&text) }
                }
                PartOver::Nullable(column) => {
                    out.push_str(cells::text(column, row).as_deref().unwrap_or(NULL_TEXT));
                }
                PartOver::Missing(name) => return Err(NullInText { column: (*name).to_owned() }),
            }
        }
        Ok(out)
    }

    fn push_escaped(&self, text: &str, out: &mut String) {
        for character in text.chars() {
            if character == ESCAPE || self.between.contains(character) {
                let mut bytes = [0; 4];
                for byte in character.encode_utf8(&mut bytes).bytes() {
                    // Writing into a text does not fail.
                    let _ = write!(out, "{ESCAPE}{byte:02X}");
                }
            } else {
                out.push(character);
            }
        }
    }
}
