//! The columns that values are collected in, one builder per declared type, nested ones included.
//!
//! Knows types and Arrow's layouts. Must not know members' names above its own rows, nor what happens to a record
//! whose value it refuses: a refused value may leave a column one row too long, and who calls cuts it back.

use super::fault;
use super::members::Members;
use super::scalar;
use super::scan::{Kind, Scanner, Token};
use crate::base64;
use arrow_array::builder::{BooleanBufferBuilder, NullBufferBuilder, make_view};
use arrow_array::types::{BinaryViewType, ByteViewType, StringViewType};
use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, GenericByteViewArray,
    Int32Array, Int64Array, ListArray, MapArray, StringArray, StructArray, TimestampMillisecondArray,
};
use arrow_buffer::{Buffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType as ArrowType};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use weir_event::{DataType, DecimalError, DecimalType, TimeForm};

/// A growing column.
#[derive(Debug)]
pub(super) struct Column {
    data_type: DataType,
    valid: NullBufferBuilder,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Views(Views),
    Json {
        ends: Vec<i32>,
        text: Vec<u8>,
    },
    Int64(Vec<i64>),
    /// Times in another form than the standard one.
    Written(TimeForm, Vec<i64>),
    Int32(Vec<i32>),
    Float64(Vec<f64>),
    Float32(Vec<f32>),
    Decimal(DecimalType, Vec<i128>),
    Boolean(BooleanBufferBuilder),
    List {
        ends: Vec<i32>,
        items: Box<Column>,
    },
    Map {
        ends: Vec<i32>,
        keys: Box<Column>,
        values: Box<Column>,
    },
    Row {
        members: Members,
        children: Vec<Column>,
        tokens: Vec<Token>,
    },
}

/// Text and bytes: views into the block, and into a buffer of what had to be rewritten.
#[derive(Debug, Default)]
struct Views {
    cells: Vec<u128>,
    rewritten: Vec<u8>,
    /// Whether any view reaches into the block: if not, the block need not be kept alive.
    in_block: bool,
}

/// Views hold up to so many bytes in themselves.
const INLINE_BYTES: usize = 12;
const BLOCK_BUFFER: u32 = 0;
const REWRITTEN_BUFFER: u32 = 1;

impl Views {
    fn push_borrowed(&mut self, bytes: &[u8], start: usize, end: usize) {
        self.in_block |= end - start > INLINE_BYTES;
        self.cells.push(make_view(&bytes[start..end], BLOCK_BUFFER, start as u32));
    }

    /// Adds what `write` appends.
    fn push_rewritten(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Option<()>) -> Option<()> {
        let start = self.rewritten.len();
        write(&mut self.rewritten)?;
        self.cells.push(make_view(&self.rewritten[start..], REWRITTEN_BUFFER, start as u32));
        Some(())
    }

    fn finish<T: ByteViewType + ?Sized>(
        self,
        block: &Buffer,
        nulls: Option<arrow_buffer::NullBuffer>,
    ) -> Result<GenericByteViewArray<T>, ArrowError> {
        let block = if self.in_block { block.clone() } else { Buffer::default() };
        let buffers = match (self.in_block, self.rewritten.is_empty()) {
            (false, true) => Vec::new(),
            (true, true) => vec![block],
            (_, false) => vec![block, Buffer::from(self.rewritten)],
        };
        GenericByteViewArray::try_new(ScalarBuffer::from(self.cells), buffers, nulls)
    }
}

impl Column {
    /// An empty column with room for `rows`.
    pub(super) fn new(data_type: &DataType, rows: usize) -> Column {
        let boxed = |item: &DataType| Box::new(Column::new(item, rows));
        let values = match data_type {
            DataType::String | DataType::Bytes => {
                Values::Views(Views { cells: Vec::with_capacity(rows), ..Views::default() })
            }
            DataType::Json => Values::Json { ends: vec![0], text: Vec::new() },
            DataType::Bigint | DataType::Timestamp => Values::Int64(Vec::with_capacity(rows)),
            DataType::Int | DataType::Date => Values::Int32(Vec::with_capacity(rows)),
            DataType::Double => Values::Float64(Vec::with_capacity(rows)),
            DataType::Float => Values::Float32(Vec::with_capacity(rows)),
            DataType::Decimal(of) => Values::Decimal(*of, Vec::with_capacity(rows)),
            DataType::Boolean => Values::Boolean(BooleanBufferBuilder::new(rows)),
            DataType::Array(item) => Values::List { ends: vec![0], items: boxed(item) },
            DataType::Map(key, value) => {
                Values::Map { ends: vec![0], keys: boxed(key), values: boxed(value) }
            }
            DataType::Row(fields) => Values::Row {
                members: Members::new(fields.iter().map(|(name, _)| std::slice::from_ref(name))),
                children: fields.iter().map(|(_, item)| Column::new(item, rows)).collect(),
                tokens: vec![Token::ABSENT; fields.len()],
            },
        };
        Column { data_type: data_type.clone(), valid: NullBufferBuilder::new(rows), values }
    }

    /// As [`Column::new`] for values that, if they are times, are written in this form.
    pub(super) fn written(data_type: &DataType, form: &TimeForm, rows: usize) -> Column {
        let mut column = Column::new(data_type, rows);
        if *data_type == DataType::Timestamp && *form != TimeForm::Standard {
            column.values = Values::Written(form.clone(), Vec::with_capacity(rows));
        }
        column
    }

    /// Adds the value of a token; the error says what does not fit.
    #[inline]
    pub(super) fn push(&mut self, bytes: &[u8], token: Token) -> Result<(), String> {
        if let Kind::Absent | Kind::Null = token.kind {
            self.push_null();
            return Ok(());
        }
        self.push_value(bytes, token).ok_or_else(|| self.mismatch(bytes, token))?;
        self.valid.append_non_null();
        Ok(())
    }

    #[inline]
    fn push_value(&mut self, bytes: &[u8], token: Token) -> Option<()> {
        let text = &bytes[token.range()];
        match (&mut self.values, token.kind) {
            (_, Kind::NoObject) => return None,
            (Values::Views(views), kind) => match (&self.data_type, kind) {
                (DataType::String, Kind::Text) => views.push_borrowed(bytes, token.start, token.end),
                (DataType::String, Kind::EscapedText) => views.push_rewritten(|out| {
                    scalar::unescape(text, out);
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
            (Values::Int64(values), kind) => values.push(match (&self.data_type, kind) {
                (_, Kind::Integer) => scalar::integer(text)?,
                (_, Kind::Number) => scalar::whole(text)?,
                (DataType::Timestamp, Kind::Text | Kind::EscapedText) => {
                    scalar::timestamp(&unescaped(bytes, token))?
                }
                _ => return None,
            }),
            (Values::Written(form, values), kind) => values.push(match (form, kind) {
                (TimeForm::Unit(unit), Kind::Integer | Kind::Number) => scalar::counted(*unit, text)?,
                (TimeForm::Pattern(pattern), Kind::Text | Kind::EscapedText) => {
                    scalar::patterned(pattern, &unescaped(bytes, token))?
                }
                _ => return None,
            }),
            (Values::Int32(values), Kind::Text | Kind::EscapedText) if self.data_type == DataType::Date => {
                values.push(scalar::date(&unescaped(bytes, token))?);
            }
            (Values::Int32(_), _) if self.data_type == DataType::Date => return None,
            (Values::Decimal(of, values), Kind::Integer | Kind::Number) => values.push(of.parse(text).ok()?),
            (Values::Decimal(of, values), Kind::Text | Kind::EscapedText) => {
                values.push(of.parse(&unescaped(bytes, token)).ok()?);
            }
            (Values::Int32(values), Kind::Integer) => {
                values.push(i32::try_from(scalar::integer(text)?).ok()?);
            }
            (Values::Int32(values), Kind::Number) => values.push(i32::try_from(scalar::whole(text)?).ok()?),
            (Values::Float64(values), Kind::Integer | Kind::Number) => values.push(scalar::double(text)?),
            (Values::Float32(values), Kind::Integer | Kind::Number) => values.push(scalar::float(text)?),
            (Values::Boolean(values), Kind::True) => values.append(true),
            (Values::Boolean(values), Kind::False) => values.append(false),
            (Values::List { ends, items }, Kind::Array) => push_list(bytes, token, ends, items)?,
            (Values::Map { ends, keys, values }, Kind::Object) => push_map(bytes, token, ends, keys, values)?,
            (Values::Row { members, children, tokens }, Kind::Object) => {
                tokens.fill(Token::ABSENT);
                members.read(&mut Scanner::new(bytes, token.start), 0, tokens).ok()?;
                for (child, token) in children.iter_mut().zip(tokens) {
                    child.push(bytes, *token).ok()?;
                }
            }
            _ => return None,
        }
        Some(())
    }

    #[cold]
    fn mismatch(&self, bytes: &[u8], token: Token) -> String {
        let form = match &self.values {
            Values::Written(form, _) => form,
            _ => &TimeForm::Standard,
        };
        mismatch(&self.data_type, form, bytes, token)
    }

    fn push_null(&mut self) {
        self.valid.append_null();
        match &mut self.values {
            Values::Views(views) => views.cells.push(0),
            Values::Int64(values) | Values::Written(_, values) => values.push(0),
            Values::Int32(values) => values.push(0),
            Values::Float64(values) => values.push(0.0),
            Values::Float32(values) => values.push(0.0),
            Values::Decimal(_, values) => values.push(0),
            Values::Boolean(values) => values.append(false),
            Values::Json { ends, .. } | Values::List { ends, .. } | Values::Map { ends, .. } => {
                ends.push(ends[ends.len() - 1])
            }
            Values::Row { children, .. } => children.iter_mut().for_each(Column::push_null),
        }
    }

    /// How many values there are.
    fn len(&self) -> usize {
        self.valid.len()
    }

    /// Forgets all values from `rows` on, also one that was refused half way.
    pub(super) fn truncate(&mut self, rows: usize) {
        if self.valid.len() > rows {
            self.valid.truncate(rows);
        }
        match &mut self.values {
            Values::Views(views) => views.cells.truncate(rows),
            Values::Int64(values) | Values::Written(_, values) => values.truncate(rows),
            Values::Int32(values) => values.truncate(rows),
            Values::Float64(values) => values.truncate(rows),
            Values::Float32(values) => values.truncate(rows),
            Values::Decimal(_, values) => values.truncate(rows),
            Values::Json { ends, text } => {
                ends.truncate(rows + 1);
                text.truncate(ends[ends.len() - 1] as usize);
            }
            Values::Boolean(values) => values.truncate(rows),
            Values::List { ends, items } => {
                ends.truncate(rows + 1);
                items.truncate(ends[ends.len() - 1] as usize);
            }
            Values::Map { ends, keys, values } => {
                ends.truncate(rows + 1);
                keys.truncate(ends[ends.len() - 1] as usize);
                values.truncate(ends[ends.len() - 1] as usize);
            }
            Values::Row { children, .. } => children.iter_mut().for_each(|child| child.truncate(rows)),
        }
    }

    /// The Arrow array; `block` is the bytes that every token pointed into.
    pub(super) fn finish(mut self, block: &Buffer) -> Result<ArrayRef, ArrowError> {
        let rows = self.len();
        let nulls = self.valid.finish();
        Ok(match self.values {
            Values::Views(views) if self.data_type == DataType::Bytes => {
                Arc::new(views.finish::<BinaryViewType>(block, nulls)?)
            }
            Values::Views(views) => Arc::new(views.finish::<StringViewType>(block, nulls)?),
            Values::Int64(values) if self.data_type == DataType::Timestamp => {
                Arc::new(TimestampMillisecondArray::try_new(values.into(), nulls)?)
            }
            Values::Written(_, values) => Arc::new(TimestampMillisecondArray::try_new(values.into(), nulls)?),
            Values::Int64(values) => Arc::new(Int64Array::try_new(values.into(), nulls)?),
            Values::Json { ends, text } => {
                Arc::new(StringArray::try_new(offsets(ends), Buffer::from(text), nulls)?)
            }
            Values::Decimal(of, values) => {
                let decimals = Decimal128Array::try_new(values.into(), nulls)?;
                Arc::new(decimals.with_precision_and_scale(of.precision(), of.scale() as i8)?)
            }
            Values::Int32(values) if self.data_type == DataType::Date => {
                Arc::new(Date32Array::try_new(values.into(), nulls)?)
            }
            Values::Int32(values) => Arc::new(Int32Array::try_new(values.into(), nulls)?),
            Values::Float64(values) => Arc::new(Float64Array::try_new(values.into(), nulls)?),
            Values::Float32(values) => Arc::new(Float32Array::try_new(values.into(), nulls)?),
            Values::Boolean(mut values) => Arc::new(BooleanArray::new(values.finish(), nulls)),
            Values::List { ends, items } => {
                let ArrowType::List(field) = self.data_type.to_arrow() else {
                    return Err(ArrowError::SchemaError("a list's type is not a list".to_owned()));
                };
                Arc::new(ListArray::try_new(field, offsets(ends), items.finish(block)?, nulls)?)
            }
            Values::Map { ends, keys, values } => {
                let ArrowType::Map(field, sorted) = self.data_type.to_arrow() else {
                    return Err(ArrowError::SchemaError("a map's type is not a map".to_owned()));
                };
                let ArrowType::Struct(parts) = field.data_type().clone() else {
                    return Err(ArrowError::SchemaError("a map's entries are no record".to_owned()));
                };
                let columns = vec![keys.finish(block)?, values.finish(block)?];
                let entries = StructArray::try_new(parts, columns, None)?;
                Arc::new(MapArray::try_new(field, offsets(ends), entries, nulls, sorted)?)
            }
            Values::Row { children, .. } => {
                let ArrowType::Struct(fields) = self.data_type.to_arrow() else {
                    return Err(ArrowError::SchemaError("a record's type is not a record".to_owned()));
                };
                let columns =
                    children.into_iter().map(|child| child.finish(block)).collect::<Result<Vec<_>, _>>()?;
                Arc::new(StructArray::try_new_with_length(fields, columns, nulls, rows)?)
            }
        })
    }
}

/// Rising by construction, from 0.
fn offsets(ends: Vec<i32>) -> OffsetBuffer<i32> {
    OffsetBuffer::new(ScalarBuffer::from(ends))
}

fn push_list(bytes: &[u8], token: Token, ends: &mut Vec<i32>, items: &mut Column) -> Option<()> {
    let mut fits = true;
    let mut scanner = Scanner::new(bytes, token.start);
    let walked = scanner.items(0, |scanner, depth| {
        let item = scanner.value(depth)?;
        fits = fits && items.push(bytes, item).is_ok();
        Ok(())
    });
    walked.ok().filter(|()| fits)?;
    ends.push(items.len() as i32);
    Some(())
}

fn push_map(
    bytes: &[u8],
    token: Token,
    ends: &mut Vec<i32>,
    keys: &mut Column,
    values: &mut Column,
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
        keys.push(bytes, map_key(&keys.data_type, bytes, key)?).ok()?;
        values.push(bytes, value).ok()?;
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
    scalar::unescape(raw, &mut plain);
    Cow::Owned(plain)
}

/// Values longer than this are cut in a reason: the payload is kept beside it.
const SHOWN_BYTES: usize = 40;

#[cold]
fn mismatch(data_type: &DataType, form: &TimeForm, bytes: &[u8], token: Token) -> String {
    let what = match token.kind {
        Kind::NoObject => return "the member above it is not an object".to_owned(),
        Kind::Text | Kind::EscapedText => "the text ",
        Kind::Integer | Kind::Number => "the number ",
        Kind::Object => "the object ",
        Kind::Array => "the array ",
        Kind::Absent | Kind::Null | Kind::True | Kind::False => "",
    };
    let text = String::from_utf8_lossy(&bytes[token.outer_range()]);
    let mut shown: String = text.chars().take(SHOWN_BYTES).collect();
    if shown.len() < text.len() {
        shown.push_str("..");
    }
    if let Some(why) = fault::no_written_time(form, token.kind) {
        return format!("{what}{shown} {why}");
    }
    let why = match (data_type, token.kind) {
        (DataType::Timestamp, Kind::Text | Kind::EscapedText) => {
            let plain = unescaped(bytes, token);
            return format!("{what}{shown} {}", fault::no_time(&String::from_utf8_lossy(&plain)));
        }
        (DataType::Timestamp, Kind::Number) => {
            return format!("{what}{shown} is not a whole number of milliseconds{}", fault::or_unit(&text));
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
