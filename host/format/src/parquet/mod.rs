//! Parquet: result rows as files of columns.
//!
//! A Parquet file is written as a whole and never added to, so rows that come bit by bit wait as *pieces*, one behind the
//! other, until a file is made of them. Knows columns, bytes and files of them as readers and writers; must not know where
//! the bytes go, or when a file is made.

mod columns;
mod piece;
#[cfg(test)]
mod tests;
mod write;

pub use self::columns::file_columns;
pub use self::piece::{push_piece, schema_mark};
pub use self::write::{Compression, UnknownCompression, write_file};
