//! JSON, one object per record: what it is read as, and how columns look in it.
//!
//! Times, dates, bytes, decimals and `json` columns are written in the form in which they are read.

mod decode;
mod encode;

pub use decode::JsonDecoder;
pub(crate) use decode::JsonReading;
pub(crate) use encode::Cells;
pub use encode::{JsonEncoder, push_cell, push_time};
