//! Rows of several columns as one value: what `LAST_N(5, ROW(a, b))` keeps.
//!
//! A row's fields are named as the call names its arguments, or else f0, f1, .. in their order. A row whose fields are
//! all null counts as a null.

use super::cell::{Cell, CellBuilder};
use super::value::Value;
use crate::bytes::Reader;
use arrow_array::{Array, ArrayRef, StructArray};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, Fields};
use std::cmp::Ordering;
use std::sync::Arc;

/// The fields of a row; `None` is a null.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Row(Box<[Option<Cell>]>);

/// The type of rows of these columns; fields without a name are f0, f1, ...
pub(crate) fn row_type(columns: &[DataType], names: &[&str]) -> DataType {
    let field = |(at, column): (usize, &DataType)| {
        let name = names.get(at).map_or_else(|| format!("f{at}"), ToString::to_string);
        Field::new(name, column.clone(), true)
    };
    DataType::Struct(columns.iter().enumerate().map(field).collect())
}

/// Collects rows.
pub(crate) struct RowBuilder {
    fields: Fields,
    columns: Vec<CellBuilder>,
    is_valid: Vec<bool>,
}

fn cell(column: &ArrayRef, row: usize, own: impl Fn(<Cell as Value>::Borrowed<'_>) -> Cell) -> Option<Cell> {
    Cell::column(column).and_then(|column| Cell::get(&column, row).map(own))
}

impl Value for Row {
    type Borrowed<'a> = (&'a [ArrayRef], usize);
    type Column<'a> = &'a [ArrayRef];
    type Builder = RowBuilder;

    fn column(array: &ArrayRef) -> Option<&[ArrayRef]> {
        Some(std::slice::from_ref(array))
    }

    fn columns(arguments: &[ArrayRef]) -> Option<&[ArrayRef]> {
        arguments.iter().all(|column| Cell::column(column).is_some()).then_some(arguments)
    }

    fn get<'a>(column: &&'a [ArrayRef], row: usize) -> Option<(&'a [ArrayRef], usize)>
    where
        'a: 'a,
    {
        column.iter().any(|field| field.is_valid(row)).then_some((*column, row))
    }

    fn own((columns, row): (&[ArrayRef], usize)) -> Row {
        Row(columns.iter().map(|column| cell(column, row, Cell::own)).collect())
    }

    fn identity((columns, row): (&[ArrayRef], usize)) -> Row {
        Row(columns.iter().map(|column| cell(column, row, Cell::identity)).collect())
    }

    fn compare(&self, other: (&[ArrayRef], usize)) -> Ordering {
        self.cmp(&Row::own(other))
    }

    fn builder(data_type: &DataType, capacity: usize) -> RowBuilder {
        let fields = match data_type {
            DataType::Struct(fields) => fields.clone(),
            _ => Fields::empty(),
        };
        let columns = fields.iter().map(|field| Cell::builder(field.data_type(), capacity)).collect();
        RowBuilder { fields, columns, is_valid: Vec::with_capacity(capacity) }
    }

    fn append(builder: &mut RowBuilder, value: Option<&Row>) {
        builder.is_valid.push(value.is_some());
        for (at, column) in builder.columns.iter_mut().enumerate() {
            Cell::append(column, value.and_then(|row| row.0.get(at)?.as_ref()));
        }
    }

    fn build(builder: RowBuilder) -> ArrayRef {
        let length = builder.is_valid.len();
        let columns: Vec<ArrayRef> = builder.columns.into_iter().map(Cell::build).collect();
        let nulls = Some(NullBuffer::from(builder.is_valid)).filter(|nulls| nulls.null_count() > 0);
        let rows = StructArray::try_new_with_length(builder.fields, columns, nulls, length);
        Arc::new(rows.expect("the columns were built from the fields, a value for each row"))
    }

    fn encode(&self, out: &mut Vec<u8>) {
        crate::bytes::put_unsigned(self.0.len() as u64, out);
        for field in &self.0 {
            out.push(u8::from(field.is_some()));
            if let Some(value) = field {
                value.encode(out);
            }
        }
    }

    fn decode(reader: &mut Reader<'_>) -> Option<Row> {
        let count = reader.count(1)?;
        let field = |_| match reader.byte()? {
            0 => Some(None),
            1 => Cell::decode(reader).map(Some),
            _ => None,
        };
        (0..count).map(field).collect::<Option<Box<[_]>>>().map(Row)
    }

    fn heap_bytes(&self) -> usize {
        let values: usize = self.0.iter().flatten().map(Value::heap_bytes).sum();
        self.0.len() * size_of::<Option<Cell>>() + values
    }
}
