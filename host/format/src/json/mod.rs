//! JSON, one object per record: what it is read as, and how columns look in it.
//!
//! Times, dates, bytes, decimals and `json` columns are written in the form in which they are read.

mod decode;
mod encode;

pub use decode::JsonDecoder;
pub use encode::{JsonEncoder, push_cell, push_time};
