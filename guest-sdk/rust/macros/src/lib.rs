//! The attributes of `weir-guest`. They write what a person would otherwise write by hand, and know of the
//! kit only its public traits.

mod aggregate;
mod decode;
mod implementation;
mod options;
mod process;
mod row;
mod rows;
mod scalar;
mod transform;

use proc_macro::TokenStream;
use proc_macro2::TokenStream as Tokens;

/// Makes a scalar function of SQL of a Rust function. The function itself stays as it is.
///
/// - `#[weir::scalar]`: called for each row. Name, arguments and description are the function's own.
/// - `#[weir::scalar(name = "other_name", description = "..")]` says them differently.
/// - `#[weir::scalar(columnar, arguments(lat: f64, lon: f64), returns = f64)]`: called for all rows at once,
///   as `fn(&[weir::Column], u32) -> Result<weir::Column, String>`.
///
/// ```
/// use weir::{Column, Values};
///
/// /// Halves each value, all in one go.
/// #[weir::scalar(columnar, arguments(value: f64), returns = f64)]
/// fn half(arguments: &[Column], rows: u32) -> Result<Column, String> {
///     let [Column { values: Values::Float64s(values), validity, .. }] = arguments else {
///         return Err("expected one column of doubles".to_owned());
///     };
///     let halves: Vec<f64> = values.iter().map(|value| value / 2.0).collect();
///     debug_assert_eq!(halves.len(), rows as usize);
///     Ok(Column { values: Values::Float64s(halves), validity: validity.clone(), offsets: vec![] })
/// }
/// # fn main() {}
/// ```
#[proc_macro_attribute]
pub fn scalar(options: TokenStream, item: TokenStream) -> TokenStream {
    emit(scalar::expand(options.into(), item.into()))
}

/// Makes a transform of a Rust function: it takes columns, and returns a struct with `#[derive(weir::Row)]`, whose fields are
/// columns too. A job's `transform` names one of them, `name(a, b).column`. The function itself stays as it is.
///
/// - `#[weir::transform]`: called for each row; it returns the row, an `Option` of one, or a `Result` of either. Name,
///   arguments and description are the function's own.
/// - `#[weir::transform(name = "other_name", description = "..")]` says them differently.
/// - `#[weir::transform(columnar, arguments(fare: f64), returns = Risk)]`: called for all rows at once, as
///   `fn(&[weir::Column], u32) -> Result<Vec<weir::Column>, String>`, which gives the columns of that struct.
#[proc_macro_attribute]
pub fn transform(options: TokenStream, item: TokenStream) -> TokenStream {
    emit(transform::expand(options.into(), item.into()))
}

/// Makes an aggregate of SQL of an `impl weir::Aggregate for Type`.
///
/// - `#[weir::aggregate]`: the name is the type's in snake case, the arguments' names are those of the
///   pattern in `update`, the description is the impl's comment, and the algebra is `ordered`.
/// - `#[weir::aggregate(name = "..", arguments(lat, lon), parameters(n), algebra = exact, description = "..")]`
///   says them differently; the algebra is `exact`, `ordered` or `approximate`.
///
/// `type Parameters = ()` is added when left out.
#[proc_macro_attribute]
pub fn aggregate(options: TokenStream, item: TokenStream) -> TokenStream {
    emit(aggregate::expand(options.into(), item.into()))
}

/// Makes a format of a function `fn(payload: &[u8]) -> Result<Row, E>`: a message's payload becomes a row, or is refused
/// with the error. The row is a struct with `#[derive(weir::Row)]`.
#[proc_macro_attribute]
pub fn decode(options: TokenStream, item: TokenStream) -> TokenStream {
    emit(decode::expand(options.into(), item.into()))
}

/// Makes keyed logic, `FROM TABLE(name(TABLE t PARTITION BY k))`, of an `impl weir::Process for Type`.
///
/// - `#[weir::process]`: the name is the type's in snake case, the description is the impl's comment, and columns are called as
///   the fields of `type Event` and `type Row` are.
/// - `#[weir::process(name = "..", parameters(n), description = "..")]` says them differently, and names the constants.
///
/// `type Parameters = ()` is added when left out.
#[proc_macro_attribute]
pub fn process(options: TokenStream, item: TokenStream) -> TokenStream {
    emit(process::expand(options.into(), item.into()))
}

/// Makes a row of a struct: each field is a column of the field's name, with a type as a scalar function may return it. A
/// field that is an `Option` may be null.
#[proc_macro_derive(Row)]
pub fn row(item: TokenStream) -> TokenStream {
    emit(row::row(item.into()))
}

/// Makes a struct of what is taken of an event: each field is the column of the field's name, with a type as an aggregate may
/// take it. A field that is an `Option` may be null; an event with another null is passed over.
#[proc_macro_derive(Event)]
pub fn event(item: TokenStream) -> TokenStream {
    emit(row::event(item.into()))
}

fn emit(expanded: syn::Result<Tokens>) -> TokenStream {
    expanded.unwrap_or_else(|error| error.to_compile_error()).into()
}
