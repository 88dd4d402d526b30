//! Which columns records have that nobody declared, and of which types: told by the records themselves.
//!
//! A type is the narrowest that holds every value exactly, so that what is written again is what was read. Of JSON and CSV
//! that takes every record; a file of columns says it. Must not know which columns are wanted.

use crate::csv::{CsvDecoder, CsvOptions, names};
use crate::records::each_record;
use arrow_array::cast::AsArray;
use arrow_schema::DataType as ArrowType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use weir_connect::{Decoder, FileLayout, Framing, RawBlock};
use weir_event::{DataType, Field, StreamSchema};

/// The columns of records, as far as these were looked at; in the order in which they came.
#[derive(Debug, Default)]
pub struct Discovered {
    columns: Vec<(String, Option<DataType>)>,
    places: HashMap<String, usize>,
}

/// Columns of one file: each has a place in every row of it.
const MOST_COLUMNS: usize = 10_000;

impl Discovered {
    /// Looks at all records of a block of files that are laid out so. The error says what is wrong with it.
    pub fn look_at(&mut self, block: &RawBlock, layout: FileLayout) -> Result<(), String> {
        match layout {
            FileLayout::Lines => self.look_at_json(block),
            FileLayout::Quoted { .. } => self.look_at_csv(block),
            FileLayout::Columns => self.look_at_parquet(block),
            FileLayout::AvroContainer | FileLayout::Payloads | FileLayout::None => {
                Err("write it as JSON lines, CSV or Parquet".to_owned())
            }
        }
    }

    /// The columns; one without any value is text.
    pub fn columns(self) -> Vec<(String, DataType)> {
        let typed = |(name, found): (String, Option<DataType>)| (name, found.unwrap_or(DataType::String));
        self.columns.into_iter().map(typed).collect()
    }

    fn see(&mut self, name: &str, found: Option<DataType>, widest: &DataType) {
        let at = match self.places.get(name) {
            Some(at) => *at,
            None => {
                self.places.insert(name.to_owned(), self.columns.len());
                self.columns.push((name.to_owned(), None));
                self.columns.len() - 1
            }
        };
        let known = &mut self.columns[at].1;
        *known = match (known.take(), found) {
            (None, one) | (one, None) => one,
            (Some(one), Some(other)) if one == other => Some(one),
            (Some(DataType::Bigint | DataType::Double), Some(DataType::Bigint | DataType::Double)) => {
                Some(DataType::Double)
            }
            _ => Some(widest.clone()),
        };
    }

    fn look_at_json(&mut self, block: &RawBlock) -> Result<(), String> {
        let mut fault = Ok(());
        each_record(block, |_, _, range| {
            let line = &block.data[range];
            if fault.is_err() || line.iter().all(u8::is_ascii_whitespace) {
                return;
            }
            match serde_json::from_slice::<serde_json::Map<String, Value>>(line) {
                Ok(members) => {
                    for (name, value) in &members {
                        self.see(name, json_type(value), &DataType::Json);
                    }
                    fault = bounded(self.columns.len());
                }
                Err(error) => fault = Err(format!("a line is not a JSON object: {error}")),
            }
        });
        fault
    }

    fn look_at_csv(&mut self, block: &RawBlock) -> Result<(), String> {
        let options = CsvOptions::default();
        let Framing::Container { head, .. } = &block.framing else {
            return Err("it has no line of names".to_owned());
        };
        let names = names(head, &options).map_err(|fault| format!("the line of names: {fault}"))?;
        bounded(names.len())?;
        let fields = names.iter().map(|name| Field::named(name, DataType::String)).collect::<Vec<_>>();
        let columns: Vec<usize> = (0..fields.len()).collect();
        let schema = StreamSchema { event_time: fields.len(), fields };
        let decoded = CsvDecoder::new(Arc::new(options), &schema, &columns).decode(block);
        if let Some(bad) = decoded.bad.first() {
            return Err(format!("row {}: {}", bad.offset + 1, bad.reason));
        }
        for (name, column) in names.iter().zip(decoded.columns.columns()) {
            self.see(name, None, &DataType::String);
            for text in column.as_string_view().iter().flatten() {
                self.see(name, Some(csv_type(text)), &DataType::String);
            }
        }
        Ok(())
    }

    fn look_at_parquet(&mut self, block: &RawBlock) -> Result<(), String> {
        let damaged = |error| format!("the file is damaged: {error}");
        let file = ParquetRecordBatchReaderBuilder::try_new(block.data.clone()).map_err(damaged)?;
        bounded(file.schema().fields().len())?;
        for field in file.schema().fields() {
            let own = file.schema().fields().iter().filter(|other| other.name() == field.name());
            if own.count() > 1 {
                return Err(format!("it has `{}` twice; rename one", field.name()));
            }
            if *field.data_type() == ArrowType::Null {
                self.see(field.name(), None, &DataType::String);
                continue;
            }
            let of_file = DataType::from_arrow(field.data_type()).map(DataType::without_json);
            let of_file = of_file.ok_or_else(|| {
                format!(
                    "column `{}` has type {}, which no column here can have",
                    field.name(),
                    field.data_type()
                )
            })?;
            self.see(field.name(), Some(of_file), &DataType::String);
        }
        Ok(())
    }
}

fn bounded(columns: usize) -> Result<(), String> {
    if columns <= MOST_COLUMNS {
        return Ok(());
    }
    Err(format!("it has more than {MOST_COLUMNS} columns; leave out what nobody asks for"))
}

fn json_type(value: &Value) -> Option<DataType> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(_) => DataType::Boolean,
        Value::Number(number) if number.is_i64() => DataType::Bigint,
        Value::Number(number) if number.is_f64() => DataType::Double,
        Value::String(_) => DataType::String,
        Value::Number(_) | Value::Array(_) | Value::Object(_) => DataType::Json,
    })
}

/// Of a text that is written so again.
fn csv_type(text: &str) -> DataType {
    if text.parse::<i64>().is_ok_and(|number| number.to_string() == text) {
        return DataType::Bigint;
    }
    let written = |number: f64| number.is_finite().then(|| Value::from(number).to_string());
    let is_same = |number: f64| written(number).is_some_and(|written| written == text);
    if text.parse::<f64>().is_ok_and(is_same) {
        return DataType::Double;
    }
    match text {
        "true" | "false" => DataType::Boolean,
        _ => DataType::String,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(framing: Framing, data: &[u8]) -> RawBlock {
        crate::tests::of(data.to_vec(), framing)
    }

    fn named(found: Discovered) -> String {
        let columns = found.columns().into_iter().map(|(name, of)| format!("{name} {of}"));
        columns.collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn json_says_by_its_values_what_columns_hold() {
        let mut found = Discovered::default();
        let lines =
            b"{\"a\": 1, \"b\": null, \"c\": true}\n\n{\"a\": 1.5, \"d\": [1], \"c\": \"x\", \"e\": \"t\"}\n";
        found.look_at(&block(Framing::Lines { first: 0 }, lines), FileLayout::Lines).unwrap();
        assert_eq!(named(found), "a double, b string, c json, d json, e string");
        let of_list = block(Framing::Lines { first: 0 }, b"[1]\n");
        let fault = Discovered::default().look_at(&of_list, FileLayout::Lines).unwrap_err();
        assert!(fault.starts_with("a line is not a JSON object"), "{fault}");
    }

    #[test]
    fn csv_is_typed_only_where_its_texts_come_out_the_same() {
        let head = bytes::Bytes::from_static(b"n,x,mixed,money,flag,none\n");
        let framing = Framing::Container { head, base: 0, first: 0 };
        let rows = b"1,0.5,7,12.50,true,\n-3,2,x,1.5,false,\n";
        let layout = FileLayout::Quoted { quote: b'"', delimiter: b',', head: true };
        let mut found = Discovered::default();
        found.look_at(&block(framing, rows), layout).unwrap();
        assert_eq!(named(found), "n bigint, x double, mixed string, money string, flag boolean, none string");
    }
}
