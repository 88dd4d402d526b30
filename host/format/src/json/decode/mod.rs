//! Reading JSON: one object per record, straight from the bytes into Arrow columns.
//!
//! **What is a good record.** One JSON object as in RFC 8259: UTF-8 throughout, no raw control character in a text,
//! escaped surrogates in pairs, at most 127 containers deep, nothing but space around it, and before it a byte order
//! mark, which some programs write. This holds for members
//! that nobody asked for too: they are checked by the same scanner, only their value is not made. So a record
//! is broken or not whatever the columns, and whichever way it is read.
//!
//! **What is a good value.** An absent member and `null` are null, and so is everything below a parent that is
//! absent or null; a parent that is anything else but an object is an error. Undeclared members are ignored. Of
//! members of one name the last counts. Integers fit `double`; a number that is written with a fraction or an
//! exponent fits `bigint`, `int` and `timestamp` if it is whole all the same (`12.0`) and below 2^53; text never
//! becomes a number, nor a number text, except that a `decimal` may be written as either: many write the text to keep
//! its digits, all of which must fit (zeros at the end do not count; nothing is rounded). A `timestamp` is RFC 3339 (a zone is required; a blank or a small `t` may stand
//! for the `T`) or whole milliseconds, unless its column says in which unit or pattern it is written; `bytes` are base64, a `date` is YYYY-MM-DD,
//! `json` is the value's own text. Only the event time must be there.
//!
//! Knows records and the declared schema. Must not know sources, jobs or why a column is wanted.

mod column;
mod envelope;
mod fault;
mod members;
mod scan;
#[cfg(test)]
mod tests;

use self::column::JsonColumn;
pub(crate) use self::column::JsonReading;
use self::envelope::{Change, Images};
use self::members::{Keys, Members};
use self::scan::{Kind, Scanner, Token};
use crate::records::{bad_row, each_record, expected_rows};
use crate::rows::Wanted;
use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_buffer::Buffer;
use arrow_schema::ArrowError;
use std::ops::Range;
use weir_connect::{Decoded, Decoder, Framing, RawBlock};
use weir_event::StreamSchema;

/// Decodes JSON for the columns that it was made for.
///
/// ```
/// use weir_connect::{Decoder, Framing, KnownTimes, RawBlock};
/// use weir_format::json::JsonDecoder;
/// use weir_event::{DataType, Field, PartitionId, Position, StreamSchema};
/// let fields = vec![Field::named("at", DataType::Timestamp), Field::named("fare", DataType::Double)];
/// let decoder = JsonDecoder::new(&StreamSchema { fields, event_time: 0 }, &[0]);
/// let decoded = decoder.decode(&RawBlock {
///     partition: PartitionId::default(),
///     data: "{\"at\": 1, \"fare\": 2, \"more\": []}\n{\"fare\": 2}".into(),
///     framing: Framing::Lines { first: 0 },
///     known: KnownTimes::Unknown,
///     next: Position::default(),
///     refused: Vec::new(),
/// });
/// assert_eq!(decoded.columns.num_rows(), 1);
/// assert_eq!(decoded.bad[0].reason, "the event time `at` is missing");
/// ```
#[derive(Debug)]
pub struct JsonDecoder {
    wanted: Layout,
}

/// Columns and where they stand in a record.
#[derive(Debug)]
struct Layout {
    of: Wanted,
    members: Members,
    /// What is read of records that are changes in Debezium's envelope.
    images: Option<Images>,
}

impl Layout {
    fn new(stream: &StreamSchema, columns: &[usize]) -> Layout {
        let of = Wanted::new(stream, columns);
        let members = Members::new(of.columns.iter().map(|column| column.path.as_slice()));
        Layout { of, members, images: None }
    }

    fn in_envelope(stream: &StreamSchema, columns: &[usize], before: bool) -> Layout {
        let of = Wanted::new(stream, columns);
        let images = Images::new(&of, before);
        let paths = images.paths(&of);
        let members = Members::new(paths.iter().map(Vec::as_slice));
        Layout { of, members, images: Some(images) }
    }

    /// How many members are looked for.
    fn width(&self) -> usize {
        self.images.as_ref().map_or(self.of.columns.len(), Images::width)
    }
}

impl JsonDecoder {
    /// A decoder for the stream's columns of these indexes, in this order. The event time is required of a
    /// record if its column is among them.
    ///
    /// # Panics
    /// When an index is none of the schema's.
    pub fn new(schema: &StreamSchema, columns: &[usize]) -> Self {
        JsonDecoder { wanted: Layout::new(schema, columns) }
    }

    /// As [`JsonDecoder::new`] for records that are changes in Debezium's envelope: columns are members of the row as it is
    /// after the change.
    ///
    /// # Panics
    /// When an index is none of the schema's.
    pub fn in_envelope(schema: &StreamSchema, columns: &[usize]) -> Self {
        JsonDecoder { wanted: Layout::in_envelope(schema, columns, false) }
    }

    /// As [`JsonDecoder::in_envelope`] where the row before a change is taken back: a row of its own, before that after it.
    /// Which rows are is said by the column that the schema has for it, [`StreamSchema::taken_back`].
    ///
    /// # Panics
    /// When an index is none of the schema's.
    pub fn of_changes(schema: &StreamSchema, columns: &[usize]) -> Self {
        JsonDecoder { wanted: Layout::in_envelope(schema, columns, true) }
    }
}

impl Decoder for JsonDecoder {
    fn decode(&self, block: &RawBlock) -> Decoded {
        decode(&self.wanted, block, Some(Keys::default()))
    }
}

/// Decodes a block; without `keys` no key is ever expected.
fn decode(layout: &Layout, block: &RawBlock, mut keys: Option<Keys>) -> Decoded {
    let bytes: &[u8] = &block.data;
    let mut text = CheckedText::of(block);
    let mut rows = JsonRows::new(layout, expected_rows(block));
    let (mut offsets, mut records, mut bad) = (Vec::new(), Vec::new(), Vec::new());
    each_record(block, |index, offset, range| {
        let is_text = text.has(&range);
        if let Err(reason) = rows.push(bytes, range.clone(), is_text, keys.as_mut()) {
            bad.push(bad_row(offset, reason, &bytes[range]));
        }
        // A change has two rows, one or none.
        while offsets.len() < rows.count {
            offsets.push(offset);
            records.push(index);
        }
    });
    match rows.finish(&block.data) {
        Ok(columns) => Decoded { columns, offsets, records, bad },
        Err(error) => refuse_all(layout, block, &error),
    }
}

/// So many bytes are checked to be UTF-8 at once: few enough that they are still in the core's own cache when their
/// records are read.
const CHECKED_BYTES: usize = 32 << 10;

/// Which lines are known to be UTF-8 because a whole piece of their block is.
struct CheckedText<'a> {
    lines: &'a [u8],
    end: usize,
    is_text: bool,
}

impl<'a> CheckedText<'a> {
    fn of(block: &'a RawBlock) -> Self {
        let end = match block.framing {
            Framing::Lines { .. } | Framing::Container { .. } => 0,
            // Nothing is known of them, ever: one may end in the middle of a character.
            Framing::Records { .. } => usize::MAX,
        };
        CheckedText { lines: &block.data, end, is_text: false }
    }

    /// Whether the line at `range`, which is none before the last one asked for, is known to be UTF-8.
    #[inline]
    fn has(&mut self, range: &Range<usize>) -> bool {
        if range.end > self.end {
            self.check_from(range);
        }
        self.is_text
    }

    fn check_from(&mut self, range: &Range<usize>) {
        let least = range.end.max(range.start + CHECKED_BYTES).min(self.lines.len());
        let rest = &self.lines[least..];
        self.end = least + memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        self.is_text = std::str::from_utf8(&self.lines[range.start..self.end]).is_ok();
    }
}

/// The columns did not become arrays: a block beyond what Arrow can address. No record of it is lost unseen.
#[cold]
fn refuse_all(layout: &Layout, block: &RawBlock, error: &ArrowError) -> Decoded {
    let mut bad = Vec::new();
    each_record(block, |_, offset, range| {
        let reason = format!("the block cannot be held in columns: {error}");
        bad.push(bad_row(offset, reason, &block.data[range]));
    });
    Decoded {
        columns: RecordBatch::new_empty(layout.of.schema.clone()),
        offsets: Vec::new(),
        records: Vec::new(),
        bad,
    }
}

/// Columns that grow by whole rows.
struct JsonRows<'a> {
    layout: &'a Layout,
    columns: Vec<JsonColumn>,
    tokens: Vec<Token>,
    count: usize,
}

impl<'a> JsonRows<'a> {
    fn new(layout: &'a Layout, room: usize) -> Self {
        JsonRows {
            layout,
            columns: layout
                .of
                .columns
                .iter()
                .map(|of| JsonColumn::new(&of.data_type, &of.form, room))
                .collect(),
            tokens: vec![Token::ABSENT; layout.width()],
            count: 0,
        }
    }

    /// Adds the rows of the record at `range` of `bytes`, or says why there is none; of a change one of them may still have
    /// been added.
    #[inline]
    fn push(
        &mut self,
        bytes: &[u8],
        range: Range<usize>,
        is_text: bool,
        keys: Option<&mut Keys>,
    ) -> Result<(), String> {
        if !is_text && std::str::from_utf8(&bytes[range.clone()]).is_err() {
            return Err(fault::no_text(&bytes[range]));
        }
        self.tokens.fill(Token::ABSENT);
        let mut scanner = Scanner::new(&bytes[..range.end], range.start);
        scanner.skip_space();
        if scanner.peek() != Some(b'{') {
            scanner.skip_byte_order_mark();
            if scanner.peek() != Some(b'{') {
                return Err(fault::no_object(&bytes[scanner.at..range.end]));
            }
        }
        let read = match keys {
            Some(keys) => self.layout.members.read_expecting(&mut scanner, keys, &mut self.tokens),
            None => self.layout.members.read(&mut scanner, 0, &mut self.tokens),
        };
        read.and_then(|()| scanner.end())
            .map_err(|error| fault::syntax(error, &bytes[range.clone()], range.start))?;
        let layout = self.layout;
        match &layout.images {
            None => self.push_tokens(bytes, 0),
            Some(images) => self.push_change(bytes, images),
        }
    }

    /// Adds the rows of a change, each that can be.
    fn push_change(&mut self, bytes: &[u8], images: &Images) -> Result<(), String> {
        let Change { before, after } = images.open(bytes, &self.tokens)?;
        let mut push = |from: Option<usize>, taken_back: bool| {
            let Some(from) = from else { return Ok(()) };
            images.mark(&mut self.tokens[from..], taken_back);
            self.push_tokens(bytes, from)
        };
        let of_before = push(before, true).map_err(|reason| format!("the row before the change: {reason}"));
        let of_after = push(after, false);
        of_before.and(of_after)
    }

    /// Adds the row whose tokens begin at `from`.
    #[inline]
    fn push_tokens(&mut self, bytes: &[u8], from: usize) -> Result<(), String> {
        if let Some(reason) = self.missing_event_time(from) {
            return Err(reason);
        }
        for index in 0..self.columns.len() {
            if let Err(reason) = self.columns[index].push(bytes, self.tokens[from + index]) {
                self.columns[..=index].iter_mut().for_each(|column| column.truncate(self.count));
                return Err(format!("member `{}`: {reason}", self.layout.of.columns[index].member));
            }
        }
        self.count += 1;
        Ok(())
    }

    #[inline]
    fn missing_event_time(&self, from: usize) -> Option<String> {
        let column = self.layout.of.event_time?;
        let what = match self.tokens[from + column].kind {
            Kind::Absent => "missing",
            Kind::Null => "null",
            _ => return None,
        };
        Some(format!("the event time `{}` is {what}", self.layout.of.columns[column].member))
    }

    fn finish(self, block: &bytes::Bytes) -> Result<RecordBatch, ArrowError> {
        let block = Buffer::from(block.clone());
        let arrays: Vec<ArrayRef> =
            self.columns.into_iter().map(|column| column.finish(&block)).collect::<Result<_, _>>()?;
        let options = RecordBatchOptions::new().with_row_count(Some(self.count));
        RecordBatch::try_new_with_options(self.layout.of.schema.clone(), arrays, &options)
    }
}
