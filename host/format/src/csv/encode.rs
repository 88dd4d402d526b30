//! Writing CSV: a line of names at the head of each file, then a line per row; quotes only where they are needed.
//!
//! Values are written in the form in which they are read. An empty text has quotes, so that it is not null.

use super::CsvOptions;
use super::scan::Dialect;
use crate::json::Cells;
use std::sync::Arc;
use weir_connect::{ConnectError, Encoder, Records, SinkRows};

/// Encodes rows as CSV.
#[derive(Debug)]
pub struct CsvEncoder {
    options: Arc<CsvOptions>,
}

impl CsvEncoder {
    /// An encoder.
    pub fn new(options: Arc<CsvOptions>) -> CsvEncoder {
        CsvEncoder { options }
    }
}

impl Encoder for CsvEncoder {
    fn head(&self, rows: &SinkRows) -> Result<Vec<u8>, ConnectError> {
        let mut head = Vec::new();
        if self.options.header {
            for (index, field) in rows.columns.schema_ref().fields().iter().enumerate() {
                if index > 0 {
                    head.push(self.options.dialect.delimiter);
                }
                push_text(field.name().as_bytes(), &self.options, &mut head);
            }
            head.push(b'\n');
        }
        Ok(head)
    }

    fn terminator(&self) -> &'static [u8] {
        b"\n"
    }

    fn records<'r>(&self, rows: &'r SinkRows) -> Result<Box<dyn Records + 'r>, ConnectError> {
        let fields = rows.columns.schema_ref().fields().iter().zip(rows.columns.columns());
        let cells = fields.map(|(field, array)| {
            Cells::new(array.as_ref()).map_err(|data_type| {
                ConnectError::user(format!(
                    "column `{}` of type {data_type} has no form in CSV; cast it to another type in the query",
                    field.name()
                ))
            })
        });
        Ok(Box::new(Lines { columns: cells.collect::<Result<_, _>>()?, options: self.options.clone() }))
    }
}

/// The rows of one batch.
struct Lines<'a> {
    columns: Vec<Cells<'a>>,
    options: Arc<CsvOptions>,
}

impl Records for Lines<'_> {
    fn write(&self, row: usize, out: &mut Vec<u8>) {
        let (start, mut text) = (out.len(), Vec::new());
        for (index, cells) in self.columns.iter().enumerate() {
            if index > 0 {
                out.push(self.options.dialect.delimiter);
            }
            text.clear();
            if cells.write_plain(row, &mut text) {
                push_text(&text, &self.options, out);
            } else {
                out.extend_from_slice(self.options.null.as_bytes());
            }
        }
        if out.len() == start {
            // An empty line would not be a row.
            out.extend_from_slice(&[self.options.dialect.quote; 2]);
        }
    }
}

/// Appends a text that is not null, in quotes where it would be read as something else.
fn push_text(text: &[u8], options: &CsvOptions, out: &mut Vec<u8>) {
    let Dialect { delimiter, quote } = options.dialect;
    let breaks = |byte: &u8| *byte == delimiter || *byte == quote || *byte == b'\n' || *byte == b'\r';
    if text != options.null.as_bytes() && !text.is_empty() && !text.iter().any(breaks) {
        out.extend_from_slice(text);
        return;
    }
    out.push(quote);
    for byte in text {
        if *byte == quote {
            out.push(quote);
        }
        out.push(*byte);
    }
    out.push(quote);
}
