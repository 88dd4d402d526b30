//! Result rows as JSON Lines, and single cells as JSON: the one place that says how a column looks in JSON.
//!
//! One object per row, keys in query order, nulls as `null`, 64-bit integers as numbers, doubles in the shortest
//! text that reads back the same, NaN and the infinities as `null`, decimals as numbers with the digits of their scale, times in RFC 3339 with milliseconds in UTC,
//! dates as 2026-01-31, bytes as base64, `json` columns as the value that their text is. Knows columns and what weir says of a row;
//! must not know where the bytes go.

mod cells;
mod time;

use self::cells::Cells;
pub use self::time::push_time;
use arrow_array::{Array, RecordBatch};
use arrow_schema::{DataType as ArrowType, Field};
use serde_json::Value;
use weir_connect::sink::RowMeta;
use weir_connect::{ConnectError, SinkRows};

/// Appends a line per row, newline included; with `meta` each object ends in a `_weir` member.
///
/// # Errors
/// A column is of a type that has no form in JSON; nothing has been appended then.
///
/// ```
/// use arrow_array::{ArrayRef, Int64Array, RecordBatch};
/// use std::sync::Arc;
/// use weir_connect::{SinkRows, sink::RowMeta};
/// let total: ArrayRef = Arc::new(Int64Array::from(vec![Some(3), None]));
/// let columns = RecordBatch::try_from_iter([("total", total)]).unwrap();
/// let mut out = Vec::new();
/// weir_connectors::format::json_lines::write_rows(
///     &SinkRows { columns, meta: RowMeta::default() }, false, &mut out).unwrap();
/// assert_eq!(out, b"{\"total\":3}\n{\"total\":null}\n");
/// ```
pub fn write_rows(rows: &SinkRows, meta: bool, out: &mut Vec<u8>) -> Result<(), ConnectError> {
    let writer = LineWriter::new(rows, meta)?;
    for row in 0..rows.columns.num_rows() {
        writer.write(row, out);
        out.push(b'\n');
    }
    Ok(())
}

/// Writes the rows of one [`SinkRows`] one by one: for sinks whose rows are messages of their own.
#[derive(Debug)]
pub struct LineWriter<'a> {
    /// Each column with its quoted name and colon.
    columns: Vec<(Vec<u8>, Cells<'a>)>,
    meta: Option<MetaWriter<'a>>,
}

impl<'a> LineWriter<'a> {
    /// # Errors
    /// A column is of a type that has no form in JSON.
    pub fn new(rows: &'a SinkRows, meta: bool) -> Result<Self, ConnectError> {
        let columns = labelled(&rows.columns, |_| true)?;
        let meta = if meta { Some(MetaWriter::new(rows)?) } else { None };
        Ok(LineWriter { columns, meta })
    }

    /// Appends one row as an object, without a newline.
    ///
    /// # Panics
    /// When there is no such row.
    pub fn write(&self, row: usize, out: &mut Vec<u8>) {
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
            key: meta.keys.as_ref().map_or(Ok(Vec::new()), |keys| labelled(keys, |_| true))?,
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

fn labelled(
    batch: &RecordBatch,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<(Vec<u8>, Cells<'_>)>, ConnectError> {
    let mut columns = Vec::new();
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        if wanted(field.name()) {
            let label = format!("{}:", Value::from(field.name().as_str()));
            columns.push((label.into_bytes(), cells(field, array.as_ref())?));
        }
    }
    Ok(columns)
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

/// Appends one cell as [`write_rows`] would write it; `null` for a type that has no form in JSON.
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
