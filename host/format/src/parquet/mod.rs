//! Parquet: result rows as files of columns, and rows of such files as columns of a stream.
//!
//! A Parquet file is written as a whole and never added to, so rows that come bit by bit wait as *pieces*, one behind the
//! other, until a file is made of them. Knows columns, bytes and files of them as readers and writers; must not know where
//! the bytes go, or when a file is made.

mod columns;
mod decode;
mod fit;
mod group;
mod piece;
#[cfg(test)]
mod tests;
mod write;

pub use self::columns::file_columns;
pub use self::decode::ParquetDecoder;
pub use self::group::{Footer, TAIL_BYTES, footer_bytes};
pub use self::piece::{Pieces, push_piece, schema_mark};
pub use self::write::{Compression, UnknownCompression, write_file};

use std::panic::{AssertUnwindSafe, catch_unwind};

/// How reasons begin that are the file's and not its rows'.
const DAMAGED: &str = "the file is damaged";

/// Reads what may be damaged: the library is not to be trusted with everything that a file can say.
fn guarded<T>(read: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(read)).unwrap_or_else(|_| Err(DAMAGED.to_owned()))
}
