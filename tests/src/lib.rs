//! The test crate has no library of its own; see main.rs.
