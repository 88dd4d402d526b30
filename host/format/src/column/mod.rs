//! The columns that values are collected in, one builder per declared type, nested ones included.
//!
//! Knows types and Arrow's layouts. Must not know in which form a value was written: each format adds its own to
//! [`Values`], and what it refuses may leave a column one row too long, which who calls cuts back.

mod finish;
mod views;

pub(crate) use views::Views;

use arrow_array::builder::{BooleanBufferBuilder, NullBufferBuilder};
use weir_event::{DataType, DecimalType};

/// A growing column.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) data_type: DataType,
    valid: NullBufferBuilder,
    pub(crate) values: Values,
}

/// What it holds. Lists, maps and JSON have the end of each value, the first being 0.
#[derive(Debug)]
pub(crate) enum Values {
    Views(Views),
    Json { ends: Vec<i32>, text: Vec<u8> },
    Int64(Vec<i64>),
    Int32(Vec<i32>),
    Float64(Vec<f64>),
    Float32(Vec<f32>),
    Decimal(DecimalType, Vec<i128>),
    Boolean(BooleanBufferBuilder),
    List { ends: Vec<i32>, items: Box<Column> },
    Map { ends: Vec<i32>, keys: Box<Column>, values: Box<Column> },
    Row(Vec<Column>),
}

/// What is wrong where a value is for a column of another type.
pub(crate) fn unplanned() -> String {
    "the column is not of the type that it was planned for".to_owned()
}

impl Column {
    /// An empty column with room for `rows`.
    pub(crate) fn new(data_type: &DataType, rows: usize) -> Column {
        let boxed = |item: &DataType| Box::new(Column::new(item, rows));
        let values = match data_type {
            DataType::String | DataType::Bytes => Values::Views(Views::with_capacity(rows)),
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
            DataType::Row(fields) => {
                Values::Row(fields.iter().map(|(_, item)| Column::new(item, rows)).collect())
            }
        };
        Column { data_type: data_type.clone(), valid: NullBufferBuilder::new(rows), values }
    }

    /// Adds a time, in milliseconds, to the values; the error is what is wrong with it.
    pub(crate) fn push_time(&mut self, millis: Option<i64>) -> Result<(), String> {
        let Values::Int64(values) = &mut self.values else { return Err(unplanned()) };
        values.push(millis.ok_or_else(|| "the number is out of range of a time".to_owned())?);
        Ok(())
    }

    /// A value was added to [`Column::values`].
    pub(crate) fn added(&mut self) {
        self.valid.append_non_null();
    }

    pub(crate) fn push_null(&mut self) {
        self.valid.append_null();
        match &mut self.values {
            Values::Views(views) => views.push_nothing(),
            Values::Int64(values) => values.push(0),
            Values::Int32(values) => values.push(0),
            Values::Float64(values) => values.push(0.0),
            Values::Float32(values) => values.push(0.0),
            Values::Decimal(_, values) => values.push(0),
            Values::Boolean(values) => values.append(false),
            Values::Json { ends, .. } | Values::List { ends, .. } | Values::Map { ends, .. } => {
                ends.push(ends[ends.len() - 1]);
            }
            Values::Row(children) => children.iter_mut().for_each(Column::push_null),
        }
    }

    /// Whether its last value is null.
    pub(crate) fn ends_in_null(&self) -> bool {
        let last = self.len().checked_sub(1);
        last.is_some_and(|last| !self.valid.is_valid(last))
    }

    /// How many values there are.
    pub(crate) fn len(&self) -> usize {
        self.valid.len()
    }

    /// Forgets all values from `rows` on, also one that was refused half way.
    pub(crate) fn truncate(&mut self, rows: usize) {
        if self.valid.len() > rows {
            self.valid.truncate(rows);
        }
        match &mut self.values {
            Values::Views(views) => views.truncate(rows),
            Values::Int64(values) => values.truncate(rows),
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
            Values::Row(children) => children.iter_mut().for_each(|child| child.truncate(rows)),
        }
    }
}
