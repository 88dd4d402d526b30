//! Files of Parquet, both ways.

mod reading;
mod writing;
