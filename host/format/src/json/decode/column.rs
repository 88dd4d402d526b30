//! The values of tokens, as a column holds them.
//!
//! Knows types and what of JSON fits them. Must not know members' names above its own rows, nor what happens to a record
//! whose value it refuses: a refused value may leave a column one row too long, and who calls cuts it back.

use super::members::Members;
use super::scan::{Kind, Scanner, Token, unescape};
use crate::base64;
use crate::column::{Column, Values};
use crate::no_time::{self, Shape};
use crate::scalar;
use arrow_array::ArrayRef;
use arrow_buffer::Buffer;
use arrow_schema::ArrowError;
use std::borrow::Cow;
use std::collections::HashMap;
use weir_event::{DataType, DecimalError, TimeForm};

/// A column, and how its values are read.
#[derive(Debug)]
pub(super) struct JsonColumn {
    column: Column,
    reading: Reading,
}

/// What reading a value needs beside its type.
#[derive(Debug)]
enum Reading {
    Plain,
    /// Times in another form than the standard one.
    Written(TimeForm),
    List(Box<Reading>),
    Map(Box<Reading>, Box<Reading>),
    Row {
        members: Members,
        children: Vec<Reading>,
        tokens: Vec<Token>,
    },
}

impl Reading {
    fn of(data_type: &DataType) -> Reading {
        match data_type {
            DataType::Array(item) => Reading::List(Box::new(Reading::of(item))),
            DataType::Map(key, value) => {
                Reading::Map(Box::new(Reading::of(key)), Box::new(Reading::of(value)))
            }
            DataType::Row(fields) => Reading::Row {
                members: Members::new(fields.iter().map(|(name, _)| std::slice::from_ref(name))),
                children: fields.iter().map(|(_, item)| Reading::of(item)).collect(),
                tokens: vec![Token::ABSENT; fields.len()],
            },
            _ => Reading::Plain,
        }
    }
}

/// How values are read that stand in a text of their own, as in a field of another format.
#[derive(Debug)]
pub(crate) struct JsonReading(Reading);

impl JsonReading {
    /// For values of this type.
    pub(crate) fn of(data_type: &DataType) -> JsonReading {
        JsonReading(Reading::of(data_type))
    }

    /// Adds the value of a JSON text, which is UTF-8; the error says what does not fit.
    pub(crate) fn push_text(&mut self, column: &mut Column, text: &[u8]) -> Result<(), String> {
        let mut scanner = Scanner::new(text, 0);
        scanner.skip_space();
        let token = scanner.value(0).and_then(|token| scanner.end().map(|()| token));
        let token =
            token.map_err(|error| format!("not JSON: expected {} at byte {}", error.expected, error.at))?;
        push::<false>(column, &mut self.0, text, token)
            .ok_or_else(|| mismatch(&column.data_type, &TimeForm::Standard, text, token))
    }
}

impl JsonColumn {
    /// An empty column with room for `rows`, of values that, if they are times, are written in this form.
    pub(super) fn new(data_type: &DataType, form: &TimeForm, rows: usize) -> JsonColumn {
        let reading = match form {
            TimeForm::Unit(_) | TimeForm::Pattern(_) if *data_type == DataType::Timestamp => {
                Reading::Written(form.clone())
            }
            _ => Reading::of(data_type),
        };
        JsonColumn { column: Column::new(data_type, rows), reading }
    }

    /// Adds the value of a token; the error says what does not fit.
    #[inline]
    pub(super) fn push(&mut self, bytes: &[u8], token: Token) -> Result<(), String> {
        push::<true>(&mut self.column, &mut self.reading, bytes, token)
            .ok_or_else(|| self.mismatch(bytes, token))
    }

    #[cold]
    fn mismatch(&self, bytes: &[u8], token: Token) -> String {
        let form = match &self.reading {
            Reading::Written(form) => form,
            _ => &TimeForm::Standard,
        };
        mismatch(&self.column.data_type, form, bytes, token)
    }

    /// Forgets all values from `rows` on.
    pub(super) fn truncate(&mut self, rows: usize) {
        self.column.truncate(rows);
    }

    /// The Arrow array; `block` is the bytes that every token pointed into.
    pub(super) fn finish(self, block: &Buffer) -> Result<ArrayRef, ArrowError> {
        self.column.finish(block)
    }
}

#[inline]
fn push<const IN_BLOCK: bool>(
    column: &mut Column,
    reading: &mut Reading,
    bytes: &[u8],
    token: Token,
) -> Option<()> {
    if let Kind::Absent | Kind::Null = token.kind {
        column.push_null();
        return Some(());
    }
    push_value::<IN_BLOCK>(column, reading, bytes, token)?;
    column.added();
    Some(())
}

#[inline]
fn push_value<const IN_BLOCK: bool>(
    column: &mut Column,
    reading: &mut Reading,
    bytes: &[u8],
    token: Token,
) -> Option<()> {
    let text = &bytes[token.range()];
    match (&mut column.values, token.kind) {
        (_, Kind::NoObject) => return None,
        (Values::Views(views), kind) => match (&column.data_type, kind) {
            (DataType::String, Kind::Text) if IN_BLOCK => {
                views.push_borrowed(bytes, token.start, token.end);
            }
            (DataType::String, Kind::Text) => views.push_rewritten(|out| {
                out.extend_from_slice(text);
                Some(())
            })?,
            (DataType::String, Kind::EscapedText) => views.push_rewritten(|out| {
                unescape(text, out);
                Some(())
            })?,
            (DataType::Bytes, Kind::Text) => views.push_rewritten(|out| base64::read(text, out))?,
            (DataType::Bytes, Kind::EscapedText) => {
                let plain = unescaped(bytes, token);
                views.push_rewritten(|out| base64::read(&plain, out))?;
            }
            _ => return None,
        },
        (Values::Json { ends, text }, _) => {
            text.extend_from_slice(&bytes[token.outer_range()]);
            ends.push(i32::try_from(text.len()).ok()?);
        }
        (Values::Int64(values), kind) => values.push(match (&*reading, &column.data_type, kind) {
            (Reading::Written(form), _, kind) => written(form, bytes, token, kind)?,
            (_, _, Kind::Integer) => scalar::integer(text)?,
            (_, _, Kind::Number) => scalar::whole(text)?,
            (_, DataType::Timestamp, Kind::Text | Kind::EscapedText) => {
                scalar::timestamp(&unescaped(bytes, token))?
            }
            _ => return None,
        }),
        (Values::Int32(values), Kind::Text | Kind::EscapedText) if column.data_type == DataType::Date => {
            values.push(scalar::date(&unescaped(bytes, token))?);
        }
        (Values::Int32(_), _) if column.data_type == DataType::Date => return None,
        (Values::Decimal(of, values), Kind::Integer | Kind::Number) => values.push(of.parse(text).ok()?),
        (Values::Decimal(of, values), Kind::Text | Kind::EscapedText) => {
            values.push(of.parse(&unescaped(bytes, token)).ok()?);
        }
        (Values::Int32(values), Kind::Integer) => values.push(i32::try_from(scalar::integer(text)?).ok()?),
        (Values::Int32(values), Kind::Number) => values.push(i32::try_from(scalar::whole(text)?).ok()?),
        (Values::Float64(values), Kind::Integer | Kind::Number) => values.push(scalar::double(text)?),
        (Values::Float32(values), Kind::Integer | Kind::Number) => values.push(scalar::float(text)?),
        (Values::Boolean(values), Kind::True) => values.append(true),
        (Values::Boolean(values), Kind::False) => values.append(false),
        (nested, kind) => return push_nested::<IN_BLOCK>(nested, reading, bytes, token, kind),
    }
    Some(())
}

fn push_nested<const IN_BLOCK: bool>(
    values: &mut Values,
    reading: &mut Reading,
    bytes: &[u8],
    token: Token,
    kind: Kind,
) -> Option<()> {
    match (values, reading, kind) {
        (Values::List { ends, items }, Reading::List(reading), Kind::Array) => {
            push_list::<IN_BLOCK>(bytes, token, ends, items, reading)
        }
        (Values::Map { ends, keys, values }, Reading::Map(of_keys, of_values), Kind::Object) => {
            push_map::<IN_BLOCK>(bytes, token, ends, (keys, of_keys), (values, of_values))
        }
        (Values::Row(columns), Reading::Row { members, children, tokens }, Kind::Object) => {
            tokens.fill(Token::ABSENT);
            members.read(&mut Scanner::new(bytes, token.start), 0, tokens).ok()?;
            for ((column, child), token) in columns.iter_mut().zip(children).zip(tokens) {
                push::<IN_BLOCK>(column, child, bytes, *token)?;
            }
            Some(())
        }
        _ => None,
    }
}

/// A time in a form of its own.
fn written(form: &TimeForm, bytes: &[u8], token: Token, kind: Kind) -> Option<i64> {
    match (form, kind) {
        (TimeForm::Unit(unit), Kind::Integer | Kind::Number) => scalar::counted(*unit, &bytes[token.range()]),
        (TimeForm::Pattern(pattern), Kind::Text | Kind::EscapedText) => {
            scalar::patterned(pattern, &unescaped(bytes, token))
        }
        _ => None,
    }
}

fn push_list<const IN_BLOCK: bool>(
    bytes: &[u8],
    token: Token,
    ends: &mut Vec<i32>,
    items: &mut Column,
    reading: &mut Reading,
) -> Option<()> {
    let mut fits = true;
    let mut scanner = Scanner::new(bytes, token.start);
    let walked = scanner.items(0, |scanner, depth| {
        let item = scanner.value(depth)?;
        fits = fits && push::<IN_BLOCK>(items, reading, bytes, item).is_some();
        Ok(())
    });
    walked.ok().filter(|()| fits)?;
    ends.push(items.len() as i32);
    Some(())
}

fn push_map<const IN_BLOCK: bool>(
    bytes: &[u8],
    token: Token,
    ends: &mut Vec<i32>,
    (keys, of_keys): (&mut Column, &mut Reading),
    (values, of_values): (&mut Column, &mut Reading),
) -> Option<()> {
    let mut entries: Vec<(Token, Token)> = Vec::new();
    let mut places: HashMap<Cow<'_, [u8]>, usize> = HashMap::new();
    let mut scanner = Scanner::new(bytes, token.start);
    scanner
        .members(0, |scanner, key, depth| {
            let value = scanner.value(depth)?;
            let place = *places.entry(unescaped(bytes, key)).or_insert(entries.len());
            match entries.get_mut(place) {
                Some(entry) => entry.1 = value,
                None => entries.push((key, value)),
            }
            Ok(())
        })
        .ok()?;
    for (key, value) in entries {
        let key = map_key(&keys.data_type, bytes, key)?;
        push::<IN_BLOCK>(keys, of_keys, bytes, key)?;
        push::<IN_BLOCK>(values, of_values, bytes, value)?;
    }
    ends.push(keys.len() as i32);
    Some(())
}

/// JSON knows only text as a key: for a map by number or boolean it is the text of one.
fn map_key(data_type: &DataType, bytes: &[u8], key: Token) -> Option<Token> {
    if let DataType::String
    | DataType::Json
    | DataType::Timestamp
    | DataType::Date
    | DataType::Decimal(_)
    | DataType::Bytes = data_type
    {
        return Some(key);
    }
    let mut scanner = Scanner::new(&bytes[..key.end], key.start);
    let token = scanner.value(0).ok()?;
    (scanner.at == key.end && token.kind != Kind::Null).then_some(token)
}

fn unescaped(bytes: &[u8], text: Token) -> Cow<'_, [u8]> {
    let raw = &bytes[text.range()];
    if text.kind != Kind::EscapedText {
        return Cow::Borrowed(raw);
    }
    let mut plain = Vec::with_capacity(raw.len());
    unescape(raw, &mut plain);
    Cow::Owned(plain)
}

/// Values longer than this are cut in a reason: the payload is kept beside it.
const SHOWN_BYTES: usize = 40;

#[cold]
fn mismatch(data_type: &DataType, form: &TimeForm, bytes: &[u8], token: Token) -> String {
    let (what, shape) = match token.kind {
        Kind::NoObject => return "the member above it is not an object".to_owned(),
        Kind::Text | Kind::EscapedText => ("the text ", Shape::Text),
        Kind::Integer | Kind::Number => ("the number ", Shape::Number),
        Kind::Object => ("the object ", Shape::Other),
        Kind::Array => ("the array ", Shape::Other),
        Kind::Absent | Kind::Null | Kind::True | Kind::False => ("", Shape::Other),
    };
    let text = String::from_utf8_lossy(&bytes[token.outer_range()]);
    let mut shown: String = text.chars().take(SHOWN_BYTES).collect();
    if shown.len() < text.len() {
        shown.push_str("..");
    }
    if let Some(why) = no_time::no_written_time(form, shape) {
        return format!("{what}{shown} {why}");
    }
    let why = match (data_type, token.kind) {
        (DataType::Timestamp, Kind::Text | Kind::EscapedText) => {
            let plain = unescaped(bytes, token);
            return format!("{what}{shown} {}", no_time::no_time(&String::from_utf8_lossy(&plain)));
        }
        (DataType::Timestamp, Kind::Number) => {
            return format!("{what}{shown} is not a whole number of milliseconds{}", no_time::or_unit(&text));
        }
        (DataType::Date, Kind::Text | Kind::EscapedText) => {
            "is not a date such as 2026-01-31 and does not fit"
        }
        (DataType::Decimal(of), Kind::Integer | Kind::Number | Kind::Text | Kind::EscapedText) => {
            let why = of.parse(&unescaped(bytes, token)).err().unwrap_or(DecimalError::NotANumber);
            return format!("{what}{shown} {why} type {data_type}");
        }
        (DataType::Bytes, Kind::Text | Kind::EscapedText) => "is not base64 and does not fit",
        (DataType::Bigint | DataType::Int, Kind::Number) => "is not a whole number in range of",
        (DataType::Bigint | DataType::Int | DataType::Timestamp, Kind::Integer)
        | (DataType::Double | DataType::Float, Kind::Integer | Kind::Number) => "is out of range of",
        _ => "does not fit",
    };
    format!("{what}{shown} {why} type {data_type}")
}
