//! Scalar functions: what `#[weir::scalar]` implements, and the loop over rows. Knows nothing of the
//! component's exports.

pub use crate::bindings::scalar::exports::weir::feature::scalar_functions::FunctionInfo;
use crate::{Builder, Cell, Column, DataType, Field, Input, Returned};

/// A scalar function. `#[weir::scalar]` implements it for an empty type of the function's name.
pub trait ScalarFunction {
    /// The name in SQL.
    const NAME: &'static str;
    /// How the function describes itself.
    fn describe() -> FunctionInfo;
    /// Applies the function to every row.
    fn call(arguments: &[Column], rows: u32) -> Result<Column, String>;
}

/// Puts names to types: the arguments or parameters of a function. A name that is not given is made of
/// the position.
pub fn fields(names: &[&str], types: Vec<DataType>) -> Vec<Field> {
    let named = |(position, data_type)| {
        let name = names.get(position).map_or_else(|| format!("value_{}", position + 1), ToString::to_string);
        Field { name, data_type }
    };
    types.into_iter().enumerate().map(named).collect()
}

/// Describes a function that takes `I` of each row and returns `R`.
pub fn describe<'a, I: Input<'a>, R: Returned>(
    name: &str,
    arguments: &[&str],
    description: &str,
) -> FunctionInfo {
    FunctionInfo {
        name: name.to_owned(),
        arguments: fields(arguments, I::types()),
        result: R::Cell::TYPE,
        description: description.to_owned(),
    }
}

/// Calls `function` for each row. A row with a null where `I` has no place for one gives a null; the first
/// row that fails fails them all.
pub fn for_each_row<'a, I: Input<'a>, R: Returned>(
    arguments: &'a [Column],
    rows: u32,
    function: impl Fn(I) -> R,
) -> Result<Column, String> {
    let rows = rows as usize;
    let readers = I::open(arguments, rows)?;
    let mut builder = Builder::<R::Cell>::with_capacity(rows);
    for row in 0..rows {
        let cell = match I::read(&readers, row) {
            Some(input) => function(input).into_cell()?,
            None => None,
        };
        builder.push(cell);
    }
    Ok(builder.finish())
}

/// One function of a component.
pub struct ScalarEntry {
    name: &'static str,
    call: fn(&[Column], u32) -> Result<Column, String>,
}

impl ScalarEntry {
    /// The entry of a function.
    pub const fn of<F: ScalarFunction>() -> Self {
        ScalarEntry { name: F::NAME, call: F::call }
    }
}

/// Calls the function of that name; an error is prefixed with it.
pub fn call(
    functions: &[ScalarEntry],
    name: &str,
    arguments: &[Column],
    rows: u32,
) -> Result<Column, String> {
    let function = functions
        .iter()
        .find(|function| function.name == name)
        .ok_or_else(|| format!("no scalar function `{name}` in this component"))?;
    (function.call)(arguments, rows).map_err(|problem| format!("{name}: {problem}"))
}
