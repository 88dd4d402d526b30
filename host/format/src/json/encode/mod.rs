//! Writing JSON: result rows as JSON Lines, and single cells; the one place that says how a column looks in JSON.
//!
//! One object per row, keys in query order, nulls as `null`, 64-bit integers as numbers, doubles in the shortest
//! text that reads back the same, NaN and the infinities as `null`, decimals as numbers with the digits of their scale, times in RFC 3339 with milliseconds in UTC,
//! dates as 2026-01-31, bytes as base64, `json` columns as the value that their text is. Knows columns and what weir says of a row;
//! must not know where the bytes go.

mod cells;
mod time;

pub(crate) use self::cells::Cells;
pub use self::time::push_time;
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType as ArrowType, Field};
use serde_json::Value;
use weir_connect::sink::RowMeta;
use weir_connect::{ConnectError, Encoder, Records, SinkRows};

/// Encodes rows as JSON Lines.
///
/// ```
/// use arrow_array::{ArrayRef, Int64Array, RecordBatch};
/// use std::sync::Arc;
/// use weir_connect::{Encoder, SinkRows, sink::RowMeta};
/// use weir_format::json::JsonEncoder;
/// let total: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), None]));
/// let columns = RecordBatch::try_from_iter([("total", total)]).unwrap();
/// let mut out = Vec::new();
/// JsonEncoder::new(false).encode(&SinkRows { columns, meta: RowMeta::default() }, &mut out).unwrap();
/// assert_eq!(out, b"{\"total\":3}\n{\"total\":null}\n");
/// ```
#[derive(Debug)]
pub struct JsonEncoder {
    meta: bool,
}

impl JsonEncoder {
    /// An encoder; with `meta` each object ends in a `_weir` member.
    pub fn new(meta: bool) -> Self {
        JsonEncoder { meta }
    }
}

impl Encoder for JsonEncoder {
    fn terminator(&self) -> &'static [u8] {
        b"\n"
    }

    fn records<'r>(&self, rows: &'r SinkRows) -> Result<Box<dyn Records + 'r>, ConnectError> {
        let columns = labelled(&rows.columns)?;
        let meta = if self.meta { Some(MetaWriter::new(rows)?) } else { None };
        Ok(Box::new(Objects { columns, meta }))
    }
}

/// The rows of one batch.
#[derive(Debug)]
struct Objects<'a> {
    /// Each column with its quoted name and colon.
    columns: Vec<(Vec<u8>, Cells<'a>)>,
    meta: Option<MetaWriter<'a>>,
}

impl Records for Objects<'_> {
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        out.push(b'{');
        write_members(&self.columns, row, out);
        if let Some(meta) = &self.meta {
            if !self.columns.is_empty() {
                out.push(b',');
            }
            meta.write(row, out);
        }
        out.push(b'}');
    }
}

/// What goes into the `_weir` member.
#[derive(Debug)]
struct MetaWriter<'a> {
    meta: &'a RowMeta,
    key: Vec<(Vec<u8>, Cells<'a>)>,
    /// The members that are the same in every row: before the key, and after the window.
    before_key: Vec<u8>,
    after_window: Vec<u8>,
}

impl<'a> MetaWriter<'a> {
    fn new(rows: &'a SinkRows) -> Result<Self, ConnectError> {
        let meta = &rows.meta;
        let text = |text: &str| Value::from(text).to_string();
        let before_key =
            format!(r#""_weir":{{"job":{},"version":{},"key":{{"#, text(&meta.job), meta.version);
        let after_window = format!(
            r#","revision":{},"op":"{}","epoch":{},"definition":{}}}"#,
            meta.revision,
            meta.op,
            meta.epoch,
            text(&meta.definition)
        );
        Ok(MetaWriter {
            meta,
            key: meta.keys.as_ref().map_or(Ok(Vec::new()), labelled)?,
            before_key: before_key.into_bytes(),
            after_window: after_window.into_bytes(),
        })
    }

    fn write(&self, row: usize, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.before_key);
        write_members(&self.key, row, out);
        out.extend_from_slice(b"},\"window\":");
        match self.meta.windows.get(row) {
            Some((start, end)) => {
                out.extend_from_slice(b"{\"start\":");
                push_time(*start, out);
                out.extend_from_slice(b",\"end\":");
                push_time(*end, out);
                out.push(b'}');
            }
            None => out.extend_from_slice(b"null"),
        }
        if let Some(position) = self.meta.identities.get(row) {
            out.extend_from_slice(b",\"position\":");
            out.extend_from_slice(Value::from(position.as_str()).to_string().as_bytes());
        }
        out.extend_from_slice(&self.after_window);
    }
}

fn labelled(batch: &RecordBatch) -> Result<Vec<(Vec<u8>, Cells<'_>)>, ConnectError> {
    let fields = batch.schema_ref().fields().iter().zip(batch.columns());
    let labelled = fields.map(|(field, array)| {
        let label = format!("{}:", Value::from(field.name().as_str()));
        Ok((label.into_bytes(), cells(field, array.as_ref())?))
    });
    labelled.collect()
}

fn write_members(columns: &[(Vec<u8>, Cells<'_>)], row: usize, out: &mut Vec<u8>) {
    for (index, (label, cells)) in columns.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(label);
        cells.write(row, out);
    }
}

fn cells<'a>(field: &Field, array: &'a dyn Array) -> Result<Cells<'a>, ConnectError> {
    Cells::new(array).map_err(|data_type: ArrowType| {
        ConnectError::user(format!(
            "column `{}` of type {data_type} has no form in JSON; cast it to another type in the query",
            field.name()
        ))
    })
}

/// Appends one cell as [`JsonEncoder`] would write it; `null` for a type that has no form in JSON.
///
/// # Panics
/// When there is no such row.
pub fn push_cell(array: &dyn Array, row: usize, out: &mut Vec<u8>) {
    match Cells::new(array) {
        Ok(cells) => cells.write(row, out),
        Err(_) => out.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod tests;
