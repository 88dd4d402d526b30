//! Structs whose fields are columns: rows that are made, and events that are given. Knows nothing of who makes or takes them.

use crate::{Argument, Column, Field, Reader};

/// A row that is made: a struct whose fields are columns. `#[derive(weir::Row)]` implements it.
pub trait Row: Sized {
    /// The columns while they grow.
    type Builders;
    /// The columns' names and types.
    fn columns() -> Vec<Field>;
    /// Empty columns with room for so many rows.
    fn builders(rows: usize) -> Self::Builders;
    /// Adds a row; the error is that of a field that is a `Result`, and nothing is added then.
    fn push(self, builders: &mut Self::Builders) -> Result<(), String>;
    /// Adds a row of nulls.
    fn push_nothing(builders: &mut Self::Builders);
    /// The columns, in the order of [`Row::columns`].
    fn finish(builders: Self::Builders) -> Vec<Column>;
}

/// What is taken of an event: a struct whose fields are columns, or `()` for none of them. `#[derive(weir::Event)]` implements
/// it.
pub trait Event: Sized {
    /// The readers of the columns.
    type Readers<'a>;
    /// The columns' names and types.
    fn columns() -> Vec<Field>;
    /// Readers for columns of `rows` rows; the error says which column is wrong and why.
    fn open(columns: &[Column], rows: usize) -> Result<Self::Readers<'_>, String>;
    /// One event; nothing where a column is null whose field has no place for a null.
    fn read(readers: &Self::Readers<'_>, row: usize) -> Option<Self>;
}

impl Event for () {
    type Readers<'a> = ();
    fn columns() -> Vec<Field> {
        Vec::new()
    }
    fn open(columns: &[Column], _rows: usize) -> Result<(), String> {
        exactly(columns).map(|[]: &[Column; 0]| ())
    }
    fn read((): &(), _row: usize) -> Option<()> {
        Some(())
    }
}

/// So many columns, or what is wrong.
pub fn exactly<const COUNT: usize>(columns: &[Column]) -> Result<&[Column; COUNT], String> {
    columns.try_into().map_err(|_| format!("expected {COUNT} columns, got {}", columns.len()))
}

/// The reader of a field's column; an error names the column.
pub fn reader<'a, T: Argument<'a>>(
    name: &str,
    column: &'a Column,
    rows: usize,
) -> Result<Reader<'a, T>, String> {
    Reader::new(column, rows).map_err(|problem| format!("column `{name}`: {problem}"))
}
