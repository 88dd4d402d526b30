//! Payloads to rows: what `#[weir::decode]` implements, and the loop over payloads. Knows nothing of the component's exports.

pub use crate::bindings::decode::exports::weir::feature::decoder::{Decoded, Refusal};
use crate::{Column, Field, Row};
use std::fmt::Display;

/// What a decoding function returns: `Result<Row, E>`.
pub trait Outcome {
    /// The row within.
    type Row: Row;
    /// The row, or why the payload is none.
    fn into_row(self) -> Result<Self::Row, String>;
}

impl<R: Row, E: Display> Outcome for Result<R, E> {
    type Row = R;
    fn into_row(self) -> Result<R, String> {
        self.map_err(|error| error.to_string())
    }
}

/// A decoder. `#[weir::decode]` implements it for an empty type of the function's name.
pub trait Decoder {
    /// The columns of a payload.
    fn describe() -> Vec<Field>;
    /// The wanted columns of payloads.
    fn decode(payloads: &[Vec<u8>], wanted: &[String]) -> Result<Decoded, String>;
}

/// The columns of what a function returns.
pub fn describe<O: Outcome>(_: impl Fn(&[u8]) -> O) -> Vec<Field> {
    O::Row::columns()
}

/// Calls `function` for each payload. One for which it gives an error is refused with that.
pub fn for_each_payload<O: Outcome>(
    payloads: &[Vec<u8>],
    wanted: &[String],
    function: impl Fn(&[u8]) -> O,
) -> Result<Decoded, String> {
    let (mut builders, mut refused) = (O::Row::builders(payloads.len()), Vec::new());
    for (payload, at) in payloads.iter().zip(0..) {
        let pushed = function(payload).into_row().and_then(|row| row.push(&mut builders));
        if let Err(reason) = pushed {
            O::Row::push_nothing(&mut builders);
            refused.push(Refusal { payload: at, reason });
        }
    }
    let names = O::Row::columns();
    let mut made: Vec<Option<Column>> = O::Row::finish(builders).into_iter().map(Some).collect();
    let columns = wanted.iter().map(|name| {
        let place = names.iter().position(|field| field.name == *name);
        let column = place.and_then(|place| made[place].take());
        column.ok_or_else(|| format!("no column `{name}`, or wanted twice"))
    });
    Ok(Decoded { columns: columns.collect::<Result<_, _>>()?, refused })
}
