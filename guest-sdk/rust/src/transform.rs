//! Functions that give several columns: what `#[weir::transform]` implements, and the loop over rows. Knows nothing of the
//! component's exports.

use std::fmt::Display;

pub use crate::bindings::transform::exports::weir::feature::transformer::TransformInfo;
use crate::scalar::fields;
use crate::{Column, Input, Row};

/// A transform. `#[weir::transform]` implements it for an empty type of the function's name.
pub trait TransformFunction {
    /// The name in a job's `transform`.
    const NAME: &'static str;
    /// How the function describes itself.
    fn describe() -> TransformInfo;
    /// Applies the function to every row: a column for each of its results.
    fn call(arguments: &[Column], rows: u32) -> Result<Vec<Column>, String>;
}

/// What a transform may return for one row: a row, an `Option` of one, or a `Result` of either.
pub trait Transformed {
    /// The row within.
    type Row: Row;
    /// The row, nothing for a row of nulls, or why it fails.
    fn into_row(self) -> Result<Option<Self::Row>, String>;
}

impl<R: Row> Transformed for R {
    type Row = R;
    fn into_row(self) -> Result<Option<R>, String> {
        Ok(Some(self))
    }
}

impl<R: Row> Transformed for Option<R> {
    type Row = R;
    fn into_row(self) -> Result<Option<R>, String> {
        Ok(self)
    }
}

impl<O: Transformed, E: Display> Transformed for Result<O, E> {
    type Row = O::Row;
    fn into_row(self) -> Result<Option<O::Row>, String> {
        self.map_err(|error| error.to_string())?.into_row()
    }
}

/// Describes a function that takes `I` of each row and returns `O`.
pub fn describe<'a, I: Input<'a>, O: Transformed>(
    name: &str,
    arguments: &[&str],
    description: &str,
) -> TransformInfo {
    TransformInfo {
        name: name.to_owned(),
        arguments: fields(arguments, I::types()),
        results: O::Row::columns(),
        description: description.to_owned(),
    }
}

/// Calls `function` for each row. A row with a null where `I` has no place for one gives a row of nulls; the first row that
/// fails fails them all.
pub fn for_each_row<'a, I: Input<'a>, O: Transformed>(
    arguments: &'a [Column],
    rows: u32,
    function: impl Fn(I) -> O,
) -> Result<Vec<Column>, String> {
    let rows = rows as usize;
    let readers = I::open(arguments, rows)?;
    let mut builders = O::Row::builders(rows);
    for row in 0..rows {
        let made = match I::read(&readers, row) {
            Some(input) => function(input).into_row()?,
            None => None,
        };
        match made {
            Some(made) => made.push(&mut builders)?,
            None => O::Row::push_nothing(&mut builders),
        }
    }
    Ok(O::Row::finish(builders))
}

/// One transform of a component.
pub struct TransformEntry {
    name: &'static str,
    call: fn(&[Column], u32) -> Result<Vec<Column>, String>,
}

impl TransformEntry {
    /// The entry of a function.
    pub const fn of<F: TransformFunction>() -> Self {
        TransformEntry { name: F::NAME, call: F::call }
    }
}

/// Calls the function of that name; an error is prefixed with it.
pub fn call(
    functions: &[TransformEntry],
    name: &str,
    arguments: &[Column],
    rows: u32,
) -> Result<Vec<Column>, String> {
    let function = functions
        .iter()
        .find(|function| function.name == name)
        .ok_or_else(|| format!("no transform `{name}` in this component"))?;
    (function.call)(arguments, rows).map_err(|problem| format!("{name}: {problem}"))
}
