//! Write weir plugins in Rust.
//!
//! One annotated function is a scalar function of SQL, one annotated impl an aggregate; [`export!`] makes
//! the component's exports of them. Code is written for one row, and the loops over columns are generated.
//! Everything here is plain Rust but the exports, so a plugin's tests run on any machine with `cargo test`.
//!
//! ```
//! /// Degrees Celsius as degrees Fahrenheit.
//! #[weir::scalar]
//! pub fn fahrenheit(celsius: f64) -> f64 {
//!     celsius * 1.8 + 32.0
//! }
//!
//! #[derive(Default, serde::Serialize, serde::Deserialize)]
//! pub struct Longest(u64);
//!
//! /// The length of the longest text, in bytes.
//! #[weir::aggregate(algebra = exact)]
//! impl weir::Aggregate for Longest {
//!     type Input = String;
//!     type Output = i64;
//!     fn update(&mut self, _time: i64, text: String) {
//!         self.0 = self.0.max(text.len() as u64);
//!     }
//!     fn merge(&mut self, later: &Self) {
//!         self.0 = self.0.max(later.0);
//!     }
//!     fn finish(&self, _as_of: i64) -> i64 {
//!         self.0 as i64
//!     }
//! }
//!
//! weir::export! { scalars: [fahrenheit], aggregates: [Longest] }
//! # fn main() {}
//! ```
//!
//! | Rust | SQL | |
//! |---|---|---|
//! | `bool`, `i64`, `f64` | boolean, bigint, double | |
//! | `String`, `Vec<u8>` | text, bytes | scalars and transforms may take `&str` and `&[u8]`, without a copy |
//! | [`Timestamp`] | timestamp | milliseconds since 1970 |
//! | `Vec<T>` of these | a list of them | those may take `&[i64]`, `&[f64]` |
//! | `Option<T>` | a value that may be null | without it a null argument skips the row: a scalar gives null, a transform a row of nulls, an aggregate ignores it |
//! | `Result<T, E>` | result only | an error fails the row |
//!
//! A function that gives several columns for each row is a transform. A job computes them when it is asked, of what it has stored
//! and of what the request says: `transform: {risk: "risk(amount, mean_fare).score"}`.
//!
//! ```
//! #[derive(weir::Row)]
//! pub struct Risk {
//!     score: f64,
//!     band: String,
//! }
//!
//! /// How much more a ride is than usual.
//! #[weir::transform]
//! pub fn risk(amount: f64, mean_fare: Option<f64>) -> Risk {
//!     let score = amount / mean_fare.unwrap_or(20.0);
//!     Risk { score, band: if score < 2.0 { "low" } else { "high" }.to_owned() }
//! }
//!
//! weir::export! { transforms: [risk] }
//! # fn main() {}
//! ```
//!
//! A function that makes a row of a message's payload is a format of its own, `format: {plugin: NAME}`:
//!
//! ```
//! #[derive(weir::Row)]
//! pub struct Ride {
//!     user_id: String,
//!     at: weir::Timestamp,
//!     fare: Option<f64>,
//! }
//!
//! /// `USER MILLISECONDS [FARE]`
//! #[weir::decode]
//! pub fn ride(payload: &[u8]) -> Result<Ride, String> {
//!     let text = std::str::from_utf8(payload).map_err(|error| error.to_string())?;
//!     let words: Vec<&str> = text.split(' ').collect();
//!     let [user_id, at, ref fare @ ..] = words[..] else { return Err("has less than two words".to_owned()) };
//!     let at = weir::Timestamp(at.parse().map_err(|error| format!("the time: {error}"))?);
//!     let fare = fare.first().map(|fare| fare.parse()).transpose().map_err(|error| format!("the fare: {error}"))?;
//!     Ok(Ride { user_id: user_id.to_owned(), at, fare })
//! }
//!
//! weir::export! { decoder: ride }
//! # fn main() {}
//! ```
//!
//! An annotated impl of [`Process`] is logic of one key's events, with a memory and a timer.
//!
//! The kit knows the WIT package and nothing of the host. It asks the host for nothing, unless [`log`] is
//! called.

pub mod aggregate;
pub mod bindings;
pub mod decode;
mod display;
mod export;
mod input;
mod literal;
mod play;
pub mod process;
mod read;
pub mod row;
pub mod scalar;
mod state;
mod timestamp;
pub mod transform;
mod write;

pub use aggregate::Aggregate;
pub use bindings::aggregate::exports::weir::feature::aggregate_functions::Algebra;
pub use bindings::scalar::weir::feature::platform::Level;
pub use bindings::scalar::weir::feature::types::{Column, DataType, Field, Literal, LogicalType, Values};
pub use input::Input;
pub use literal::{Parameter, Parameters};
pub use play::play;
pub use process::{Output, Process};
pub use read::{Argument, Entry, Reader};
pub use row::{Event, Row};
pub use timestamp::Timestamp;
pub use weir_guest_macros::{Event, Row, aggregate, decode, process, scalar, transform};
pub use write::{Builder, Cell, Element, Returned};

/// Writes a line to the host's log, under the plugin's name; in a native test, to standard error. Never
/// part of a result.
pub fn log(level: Level, message: &str) {
    #[cfg(target_arch = "wasm32")]
    bindings::scalar::weir::feature::platform::log(level, message);
    #[cfg(not(target_arch = "wasm32"))]
    eprintln!("{level:?}: {message}");
}
