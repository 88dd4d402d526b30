//! Rows that keyed logic has made, as bytes: the newest of a key is kept so, and told by them from what it was.
//!
//! A value is a byte that says whether there is one, and the value; a list is the number of its items, none of which is null,
//! and these. Knows the types of plugins' columns: plain values, and lists of them. Must not know what made a row.

use crate::aggregate::cell::Cell;
use crate::aggregate::value::Value;
use crate::bytes::{Reader, put_unsigned};
use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, ListArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::DataType;
use std::sync::Arc;

/// Appends row `row` of some columns.
pub(super) fn encode(columns: &[ArrayRef], row: usize, out: &mut Vec<u8>) {
    for column in columns {
        if column.is_null(row) {
            out.push(0);
            continue;
        }
        out.push(1);
        match column.data_type() {
            DataType::List(_) => {
                let items = column.as_list::<i32>().value(row);
                put_unsigned(items.len() as u64, out);
                (0..items.len()).for_each(|item| encode_value(&items, item, out));
            }
            _ => encode_value(column, row, out),
        }
    }
}

fn encode_value(column: &ArrayRef, row: usize, out: &mut Vec<u8>) {
    // The types of logic's results are such as are kept.
    if let Some(value) = Cell::column(column).and_then(|cells| Cell::get(&cells, row).map(Cell::own)) {
        value.encode(out);
    }
}

/// A value or a list of them, out of stored bytes.
enum Decoded {
    Null,
    Value(Cell),
    List(Vec<Cell>),
}

fn decode_value(reader: &mut Reader<'_>, is_list: bool) -> Option<Decoded> {
    Some(match (reader.byte()?, is_list) {
        (0, _) => Decoded::Null,
        (1, false) => Decoded::Value(Cell::decode(reader)?),
        (1, true) => {
            let count = reader.count(1)?;
            Decoded::List((0..count).map(|_| Cell::decode(reader)).collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

/// Rows as columns of these types; a row that is not there is null in each, and so is what does not read.
pub(super) fn columns(rows: &[Option<&[u8]>], types: &[DataType]) -> Vec<ArrayRef> {
    let mut readers: Vec<Option<Reader<'_>>> = rows.iter().map(|row| row.map(Reader::new)).collect();
    let mut column = |data_type: &DataType| {
        let is_list = matches!(data_type, DataType::List(_));
        let value = |reader: &mut Option<Reader<'_>>| {
            reader.as_mut().and_then(|reader| decode_value(reader, is_list)).unwrap_or(Decoded::Null)
        };
        build(&readers.iter_mut().map(value).collect::<Vec<_>>(), data_type)
    };
    types.iter().map(&mut column).collect()
}

/// Whether bytes are those of a row of columns of these types.
pub(super) fn reads(bytes: &[u8], types: &[DataType]) -> bool {
    let mut reader = Reader::new(bytes);
    let reads = |data_type: &DataType| decode_value(&mut reader, matches!(data_type, DataType::List(_)));
    types.iter().map(reads).all(|value| value.is_some()) && reader.is_empty()
}

fn build(values: &[Decoded], data_type: &DataType) -> ArrayRef {
    let DataType::List(item) = data_type else {
        let mut builder = Cell::builder(data_type, values.len());
        for value in values {
            let value = if let Decoded::Value(value) = value { Some(value) } else { None };
            Cell::append(&mut builder, value);
        }
        return Cell::build(builder);
    };
    let items_of = |value: &Decoded| if let Decoded::List(items) = value { items.len() } else { 0 };
    let mut items = Cell::builder(item.data_type(), values.iter().map(items_of).sum());
    for value in values {
        if let Decoded::List(own) = value {
            own.iter().for_each(|value| Cell::append(&mut items, Some(value)));
        }
    }
    let offsets = OffsetBuffer::from_lengths(values.iter().map(items_of));
    let is_there: NullBuffer = values.iter().map(|value| !matches!(value, Decoded::Null)).collect();
    Arc::new(ListArray::new(item.clone(), offsets, Cell::build(items), Some(is_there)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::builder::{ListBuilder, StringViewBuilder};
    use arrow_array::{BooleanArray, Float64Array};

    #[test]
    fn rows_read_back_whatever_they_hold() {
        let mut words = ListBuilder::new(StringViewBuilder::new());
        words.append_value([Some("a"), Some("a text that is longer than what is kept in place")]);
        words.append_null();
        words.append_value::<[Option<&str>; 0], &str>([]);
        let columns_in: Vec<ArrayRef> = vec![
            Arc::new(Float64Array::from(vec![Some(1.5), None, Some(f64::NAN)])),
            Arc::new(words.finish()),
            Arc::new(BooleanArray::from(vec![Some(true), Some(false), None])),
        ];
        let types: Vec<DataType> = columns_in.iter().map(|column| column.data_type().clone()).collect();
        let rows: Vec<Vec<u8>> = (0..3)
            .map(|row| {
                let mut bytes = Vec::new();
                encode(&columns_in, row, &mut bytes);
                bytes
            })
            .collect();
        let given: Vec<Option<&[u8]>> = rows.iter().map(|row| Some(&**row)).collect();
        let back = columns(&given, &types);
        for (one, other) in columns_in.iter().zip(&back) {
            assert_eq!(format!("{one:?}"), format!("{other:?}"));
        }
        assert!(rows.iter().all(|row| reads(row, &types)));
        assert!(!reads(&rows[0][1..], &types) && !reads(&[rows[0].clone(), vec![0]].concat(), &types));
        assert_eq!(columns(&[None], &types)[0].null_count(), 1);
    }
}
