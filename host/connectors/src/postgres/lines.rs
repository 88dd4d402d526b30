//! Result rows as lines of PostgreSQL's text form of COPY.
//!
//! Knows rows and the table's columns. Must not connect.

use super::layout::{ColumnSource, Layout};
use crate::upsert::{CellValue, Fence, Keep, identity_text, text};
use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;
use std::fmt::Write;
use weir_connect::{Op, RowIdentity, SinkRows};

/// Where a column's texts come from.
enum LineColumn<'r> {
    Values(&'r ArrayRef),
    Identity,
}

/// The lines of some rows.
pub(super) struct Lines<'r> {
    rows: &'r SinkRows,
    columns: Vec<(LineColumn<'r>, bool, &'r str)>,
    keep: Keep,
    identity: RowIdentity,
}

impl<'r> Lines<'r> {
    /// Over rows; the error is a column that they lack.
    pub(super) fn new(layout: &'r Layout, identity: RowIdentity, rows: &'r SinkRows) -> Result<Self, String> {
        let of_keys = rows.meta.keys.as_ref();
        let columns = layout.columns.iter().map(|column| {
            let found = match column.source {
                ColumnSource::Query(at) => rows.columns.columns().get(at).map(LineColumn::Values),
                ColumnSource::Key(at) => {
                    of_keys.and_then(|keys| keys.columns().get(at)).map(LineColumn::Values)
                }
                ColumnSource::Identity => Some(LineColumn::Identity),
            };
            let found = found.ok_or_else(|| format!("rows came without the column `{}`", column.name))?;
            Ok((found, column.is_key, column.name.as_str()))
        });
        Ok(Lines { rows, columns: columns.collect::<Result<_, String>>()?, keep: layout.keep, identity })
    }

    /// Appends a row as a line, with its end. The error names a column of the key that is null.
    pub(super) fn push(
        &self,
        row: usize,
        (job, epoch, seq): (&str, u64, u64),
        out: &mut String,
    ) -> Result<(), &'r str> {
        let op = if self.rows.meta.op == Op::Delete { 'd' } else { 'u' };
        let Fence { time, revision } = Fence::of(&self.rows.meta, row, self.keep);
        push_escaped(job, out);
        // Writing to a text does not fail.
        let _ = write!(out, "\t{epoch}\t{seq}\t{op}\t{time}\t{revision}");
        for (column, is_key, name) in &self.columns {
            out.push('\t');
            let text = match column {
                LineColumn::Values(values) => cell(values, row),
                LineColumn::Identity => identity_text(&self.rows.meta, row, self.identity),
            };
            match text {
                Some(text) => push_escaped(&text, out),
                None if *is_key => return Err(name),
                None => out.push_str("\\N"),
            }
        }
        out.push('\n');
        Ok(())
    }

    /// The texts of a row's key, for a person.
    pub(super) fn key(&self, row: usize) -> Vec<String> {
        let keys = self.columns.iter().filter(|(_, is_key, _)| *is_key);
        let text = |(column, ..): &(LineColumn<'r>, bool, &str)| match column {
            LineColumn::Values(values) => text(values, row),
            LineColumn::Identity => identity_text(&self.rows.meta, row, self.identity),
        };
        keys.map(|column| text(column).unwrap_or_else(|| "null".to_owned())).collect()
    }
}

/// As the text that PostgreSQL reads; bytes alone are written otherwise there than elsewhere.
fn cell(values: &ArrayRef, row: usize) -> Option<String> {
    let is_binary =
        matches!(values.data_type(), DataType::Binary | DataType::BinaryView | DataType::LargeBinary);
    match CellValue::of(values, row) {
        CellValue::Bytes(bytes) if is_binary => {
            let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
            Some(std::iter::once("\\x".to_owned()).chain(digits).collect())
        }
        CellValue::Null => None,
        _ => text(values, row),
    }
}

fn push_escaped(text: &str, out: &mut String) {
    for letter in text.chars() {
        match letter {
            '\\' => out.push_str("\\\\"),
            '\t' => out.push_str("\\t"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            other => out.push(other),
        }
    }
}
