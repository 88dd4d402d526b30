//! What raw records look like: one file or folder per format.
//!
//! A format knows bytes and columns. It must not know which source the bytes came from or which sink they go to.

pub mod json;
pub mod json_lines;
